//! The model language: what is refused with which words, and what is compiled into which form.

mod compiled;
mod support;
