//! Every RPC and every error over real sockets.

mod client;
mod faults;
mod hostile;
mod questions;
mod tuples;
mod writes;
