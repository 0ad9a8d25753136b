//! Every RPC and every error over real sockets.

mod client;
mod faults;
mod questions;
mod tuples;
