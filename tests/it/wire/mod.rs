//! Every RPC and every error over real sockets.

mod asked;
mod bad_fields;
mod bad_input;
mod client;
mod conditions;
mod consistency;
mod contextual;
mod cursors;
mod exactly;
mod faults;
mod foreign_tokens;
mod fuzz;
mod granting;
mod hostile;
mod limits;
mod linear;
mod models;
mod new_enemy;
mod preconditions;
mod questions;
mod raw;
mod schema;
mod terms;
mod tokens;
mod tuples;
mod writes;
