//! Bailiwick: may this subject do this at this scope?
//!
//! The library behind the `bailiwick` command. ARCHITECTURE.md is the map; the layers, lowest first:
//!
//! | layer | module | its one job |
//! |---|---|---|
//! | 0 | [`model`] | the nouns; parse, check and compile a model |
//! | 1 | [`store`] | the durable log of commits |
//! | 1 | [`index`] | snapshots of the tuples at a revision |
//! | 1 | [`config`] | what an operator may set, checked once |
//! | 1 | [`telemetry`] | what is counted and traced, and under which names |
//! | 2 | [`engine`] | the decision: a pure function of (model, view, request, now) |
//! | 3 | [`pdp`] | the service without a wire |
//! | 4 | [`api`] | one adapter per wire, the one table from errors to statuses |
//! | 5 | [`server`] | compose, serve, drain |
//! | 6 | [`cli`] | one file per command |
//!
//! A file imports lower numbers and its own folder only; `tests/it/layers.rs` checks it.

pub mod api;
pub mod cli;
pub mod config;
pub mod engine;
pub mod index;
pub mod model;
pub mod pdp;
pub mod server;
pub mod store;
pub mod telemetry;
