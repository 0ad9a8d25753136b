//! The oracle: a naive evaluator of DESIGN's definition of a decision, random worlds to ask about, and
//! the runs in which the engine must agree with it. Knows the model's data types only, never the index;
//! the engine comes in through one adapter, in `agree`.
#![expect(clippy::print_stdout, reason = "a run says its seed and what it counted")]

mod agree;
mod compared;
mod coverage;
mod delegated;
mod eval;
mod facts;
mod lists;
mod models;
mod others;
mod readings;
mod readings_of_others;
mod report;
mod roles;
mod tables;
mod values;
mod worlds;
