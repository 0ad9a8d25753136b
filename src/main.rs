//! Layer 7: the command. Parses nothing itself; turns the result into an exit code.

use std::io::{self, BufWriter};
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut out = BufWriter::new(io::stdout());
    let exit = bailiwick::cli::run(std::env::args_os(), &mut out, &mut io::stderr());
    ExitCode::from(exit.code())
}
