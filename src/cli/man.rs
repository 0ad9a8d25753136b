//! `bailiwick man`: the manual pages, a page per sub-command.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

use super::{Cli, CliError, Exit};

/// Print the manual page, or write one per sub-command into a directory
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick man > bailiwick.1
  bailiwick man pages

To read one: man ./bailiwick.1")]
pub(super) struct Args {
    /// Where to write the pages of all sub-commands; made if it is not there
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<Exit, CliError> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let Some(dir) = &args.dir else {
        out.write_all(&page(command)?)?;
        return Ok(Exit::Done);
    };
    let wrong = |error| CliError::Failed(format!("cannot write to `{}`: {error}", dir.display()));
    std::fs::create_dir_all(dir).map_err(wrong)?;
    let written = pages(command, dir).map_err(wrong)?;
    writeln!(out, "{written} pages written to `{}`", dir.display())?;
    Ok(Exit::Done)
}

fn pages(command: Command, dir: &Path) -> std::io::Result<usize> {
    let mut written = 1;
    for sub in command.get_subcommands().cloned() {
        written += pages(sub, dir)?;
    }
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = dir.join(format!("{name}.1"));
    std::fs::write(path, page(command)?)?;
    Ok(written)
}

/// One page. The library runs the lines of examples into each other, so that part is made here.
fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let after = command.get_after_help().map(ToString::to_string);
    let has_options = command.get_arguments().next().is_some();
    let has_subcommands = command.has_subcommands();
    let source = concat!("bailiwick ", env!("CARGO_PKG_VERSION"));
    let man = Man::new(command).source(source).manual("Bailiwick");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if has_options {
        man.render_options_section(&mut page)?;
    }
    if has_subcommands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(after) = after {
        examples(&after).to_writer(&mut page)?;
    }
    Ok(page)
}

/// The text after the options: indented lines stay lines, others flow.
fn examples(text: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]);
    let mut as_written = false;
    for line in text.lines().skip_while(|line| *line == "Example:") {
        let indented = line.starts_with(' ');
        if indented != as_written {
            if indented {
                roff.control("RS", ["4"]).control("nf", []);
            } else {
                roff.control("fi", []).control("RE", []);
            }
            as_written = indented;
        }
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line.trim_start())]);
        }
    }
    if as_written {
        roff.control("fi", []).control("RE", []);
    }
    roff
}
