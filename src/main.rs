//! Layer 7: the command. Parses nothing itself; hands over the arguments and the two streams, and turns
//! the result into an exit code.

use std::io::{self, BufWriter, IsTerminal};
use std::process::ExitCode;

use bailiwick::cli::{self, Stream};

fn main() -> ExitCode {
    let (stdout, mut stderr) = (io::stdout(), io::stderr());
    let (out_is_terminal, err_is_terminal) = (stdout.is_terminal(), stderr.is_terminal());
    let mut stdout = BufWriter::new(stdout);
    let out = Stream::new(&mut stdout, out_is_terminal);
    let err = Stream::new(&mut stderr, err_is_terminal);
    ExitCode::from(cli::run(std::env::args_os(), out, err).code())
}
