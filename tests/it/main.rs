//! The one integration test binary: fast to link, a module per promise.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test ends where its expectation fails"
)]

mod activation;
mod cli;
mod cli_batch;
mod cli_batch_served;
mod cli_delegation;
mod cli_examples;
mod cli_export;
mod cli_import;
mod cli_import_in_flight;
mod cli_import_served;
mod cli_paper;
mod cli_reads;
mod cli_restart;
mod cloud;
mod constraints;
mod contextual;
mod delegation;
mod errors_page;
mod failing_store;
mod hierarchy;
mod kill;
mod layers;
mod limits;
mod limits_covered;
mod linked;
mod list_roles;
mod matrix_documents;
mod matrix_import;
mod matrix_import_guesses;
mod merging;
mod model;
mod model_diff;
mod model_in_force;
mod models_load;
mod ops;
mod oracle;
mod pdp;
mod platform_cells;
mod platform_delegation;
mod platform_examples;
mod policy_page;
mod refused_starts;
mod repeats;
mod schemas;
mod store_backup;
mod store_contract;
mod store_crash;
mod store_damage;
mod store_world;
mod support;
mod upkeep_fails;
mod wire;
mod writer_limits;
