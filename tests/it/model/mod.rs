//! The model language: what is refused with which words, and what is compiled into which form.

mod admitted;
mod compiled;
mod directory;
mod faults;
mod fixpoint;
mod hostile;
mod scenarios;
mod support;
