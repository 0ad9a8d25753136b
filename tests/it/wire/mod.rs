//! Every RPC and every error over real sockets.

mod bad_fields;
mod bad_input;
mod client;
mod faults;
mod hostile;
mod limits;
mod linear;
mod questions;
mod raw;
mod schema;
mod tuples;
mod writes;
