//! Layer 0: the nouns, and the model: parse, check, compile. Does no I/O but reading the files it is
//! given; knows no clock, no store, no wire.

pub mod address;
pub mod admission;
mod cells;
mod compile;
mod delegation_table;
pub mod diff;
pub mod document;
mod expression;
mod files;
pub mod form;
pub mod import;
mod isolate;
pub mod limits;
pub mod matrix;
pub mod names;
mod pasted;
mod pattern;
mod problem;
mod read;
mod read_delegation;
mod read_types;
mod rules;
pub mod scenario;
pub mod shape;
mod source;
pub mod suggest;
mod table;
pub mod tuple;
pub mod values;
mod yaml;

pub use compile::{ParameterValue, Written, load, load_written};
pub use files::{MODEL_FILE, ReadError, SourceFiles, TESTS_FILE, read_file};
pub use pasted::Reading;
pub use problem::{Position, Problem, Problems};
