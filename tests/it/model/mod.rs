//! The model language: what is refused with which words, and what is compiled into which form.

mod admitted;
mod compiled;
mod conditions;
mod delegation;
mod directory;
pub(crate) mod faults;
mod faults_in_matrices;
mod fixpoint;
mod hostile;
mod limits;
mod scenarios;
mod support;
mod within;
