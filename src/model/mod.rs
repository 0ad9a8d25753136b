//! Layer 0: the nouns, and the model: parse, check, compile. Does no I/O but reading the files it is
//! given; knows no clock, no store, no wire.

pub mod address;
pub mod admission;
mod compile;
mod delegation_table;
mod expression;
mod files;
pub mod form;
mod isolate;
pub mod limits;
pub mod matrix;
pub mod names;
mod pattern;
mod problem;
mod read;
mod read_delegation;
mod read_types;
pub mod scenario;
pub mod shape;
mod source;
pub mod suggest;
mod table;
pub mod tuple;
pub mod values;
mod yaml;

pub use compile::{ParameterValue, load};
pub use files::{MODEL_FILE, ReadError, SourceFiles, TESTS_FILE};
pub use problem::{Position, Problem, Problems};
