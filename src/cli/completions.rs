//! `bailiwick completions`: what a shell needs to complete command lines.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, CliError, Exit};

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick completions bash > bailiwick.bash

For this shell alone: source <(bailiwick completions bash). For every one: put
the file where your shell looks for it, for bash
~/.local/share/bash-completion/completions/bailiwick.")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    // The generator panics where it cannot write.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "bailiwick", &mut text);
    out.write_all(&text)?;
    Ok(Exit::Done)
}
