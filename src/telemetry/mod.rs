//! Layer 1: what the service counts and traces, and under which names. Knows no request, no store and
//! no listener.
//!
//! Counting takes no lock and no memory: what can be counted is laid out at the start. No label and no
//! attribute ever holds what a caller asked about, only the model's and the API's own words.
//!
//! | module | its one job |
//! |---|---|
//! | [`names`] | the one table of metrics |
//! | [`export`] | where request spans go |
//! | [`figures`] | what requests, decisions and commits are counted in |
//! | [`histogram`] | a distribution that many threads add to |
//! | [`page`] | metrics as text |
//! | [`process`] | what the system says of this process |
//! | `sampling` | which requests are recorded |
//! | [`span`] | the span of a request |

pub mod export;
pub mod figures;
pub mod histogram;
pub mod names;
pub mod page;
pub mod process;
mod sampling;
pub mod span;
