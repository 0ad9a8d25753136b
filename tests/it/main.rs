//! The one integration test binary: fast to link, a module per promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends where its expectation fails"
)]

mod layers;
mod model;
mod oracle;
