//! Layer 0: the nouns, and the model: parse, check, compile. Does no I/O but reading the files it is
//! given; knows no clock, no store, no wire.

pub mod admission;
pub mod form;
pub mod limits;
pub mod names;
pub mod suggest;
pub mod tuple;
