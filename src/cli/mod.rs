//! Layer 6: the command, one file per sub-command. Parses, calls the service or the library, prints.
//! Decides nothing about authorization.
//!
//! Exit codes: 0 allowed or done, 1 error, 2 denied (of `model diff`: there is a difference), 64 wrong usage.

mod backup;
mod batch;
mod brought;
mod can_grant;
mod check;
mod client;
mod completions;
mod consistency;
mod console;
mod delegated;
mod demo;
mod end;
mod export;
mod grant;
mod health;
mod import;
mod input;
mod list_grantable_roles;
mod list_roles;
mod list_subjects;
mod lists;
mod logging;
mod man;
mod model_check;
mod model_diff;
mod model_import_matrix;
mod model_matrix;
mod model_schema;
mod model_show;
mod model_test;
mod opened;
mod progress;
mod read;
mod render;
mod replace;
mod retry;
mod revoke;
mod room;
mod scenarios;
mod serve;
mod settings;
mod tuple_filter;
mod tuple_form;
mod tuple_text;
mod write;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use console::Stream;
use console::{ColorWhen, Tone};
pub use scenarios::{Failure, TestReport, run_scenarios};

/// How a command ended, if it did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Allowed, or done.
    Done,
    /// The answer is no: denied, or not the same.
    Denied,
    /// Done, and what was found is not good.
    Failed,
    /// The command line makes no sense.
    Usage,
}

impl Exit {
    /// The process' exit code.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Denied => 2,
            // clap's own is 2, which reads as a denial here. 64 is EX_USAGE of sysexits.h.
            Self::Usage => 64,
        }
    }
}

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// It did not work.
    #[error("{0}")]
    Failed(String),
    /// No answer came in time; what was asked for may have happened.
    #[error("{0}")]
    Late(String),
    /// The service refused, or could not be asked.
    #[error("{}", client::describe(.status))]
    Refused { status: tonic::Status, json: bool },
    /// It did not work, told for programs.
    #[error("{0}")]
    Json(serde_json::Value),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl CliError {
    fn failed(error: impl std::fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }
}

/// May this subject do this at this scope? An authorization service that takes the documented role x
/// permission matrix as its policy.
#[derive(Debug, Parser)]
#[command(name = "bailiwick", version, about, max_term_width = 100)]
#[command(after_help = "\
Example:
  bailiwick demo
  bailiwick check user:eve alarms.create location:plant1 --with-grant

Each sub-command's --help has an example; those that ask a service work against a running demo.")]
struct Cli {
    /// When to colour what is printed
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = ColorWhen::Auto, global = true)]
    color: ColorWhen,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Args),
    Demo(demo::Args),
    Check(check::Args),
    Batch(batch::Args),
    ListSubjects(list_subjects::Args),
    ListRoles(list_roles::Args),
    Write(write::Args),
    Grant(grant::Args),
    Revoke(revoke::Args),
    Replace(replace::Args),
    CanGrant(can_grant::Args),
    ListGrantableRoles(list_grantable_roles::Args),
    Read(read::Args),
    Health(health::Args),
    Import(import::Args),
    Export(export::Args),
    Backup(backup::BackupArgs),
    Restore(backup::RestoreArgs),
    /// Check, test, compare and print model directories; show the model in force
    #[command(
        subcommand,
        after_help = "\
Example:
  bailiwick model check models/virta
  bailiwick model matrix models/energyhub --format markdown"
    )]
    Model(ModelCommand),
    Completions(completions::Args),
    Man(man::Args),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    Check(model_check::Args),
    Diff(model_diff::Args),
    Test(model_test::Args),
    Matrix(model_matrix::Args),
    ImportMatrix(model_import_matrix::Args),
    Schema(model_schema::Args),
    Show(model_show::Args),
}

/// Runs a command line. What was asked for goes to `out`, what went wrong and how far it is to `err`.
pub fn run(
    args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    mut out: Stream<'_>,
    mut err: Stream<'_>,
) -> Exit {
    let matches = without_empty_variables(Cli::command()).try_get_matches_from(args);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &mut out, &mut err),
    };
    out.colour(cli.color);
    err.colour(cli.color);
    // Of what lists, the reader may have seen enough; of an answer, never.
    let lists = matches!(
        cli.command,
        Command::Read(_)
            | Command::ListSubjects(_)
            | Command::ListRoles(_)
            | Command::ListGrantableRoles(_)
            | Command::Model(
                ModelCommand::Matrix(_) | ModelCommand::Schema(_) | ModelCommand::Show(_)
            )
            | Command::Completions(_)
            | Command::Man(_)
            | Command::Demo(_)
    );
    let ended = dispatch(cli.command, &mut out, &mut err).and_then(|exit| {
        out.flush()?;
        Ok(exit)
    });
    match ended {
        Ok(exit) => exit,
        Err(CliError::Output(error)) if lists && error.kind() == io::ErrorKind::BrokenPipe => {
            Exit::Done
        }
        Err(CliError::Refused { status, json: true }) => {
            let _ = writeln!(err, "{}", client::describe_json(&status));
            refused(&status)
        }
        Err(CliError::Json(value)) => {
            let _ = writeln!(err, "{value}");
            Exit::Failed
        }
        Err(error) => {
            let _ = writeln!(err, "{} {error}", err.paint(Tone::Bad, "error:"));
            match error {
                CliError::Usage(_) => Exit::Usage,
                CliError::Refused { status, .. } => refused(&status),
                _ => Exit::Failed,
            }
        }
    }
}

/// A variable that is set to nothing counts as not set: templates of manifests make such.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let is_empty =
            arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
        if is_empty { arg.env(clap::builder::Resettable::Reset) } else { arg }
    });
    command.mut_subcommands(without_empty_variables)
}

/// What the model does not let somebody do is denied, as in an answer; all else is an error.
fn refused(status: &tonic::Status) -> Exit {
    if status.code() == tonic::Code::PermissionDenied { Exit::Denied } else { Exit::Failed }
}

fn usage(error: &clap::Error, out: &mut Stream<'_>, err: &mut Stream<'_>) -> Exit {
    let text = error.render();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = write!(out, "{text}");
            Exit::Done
        }
        _ => {
            let _ = write!(err, "{text}");
            Exit::Usage
        }
    }
}

fn dispatch(
    command: Command,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
) -> Result<Exit, CliError> {
    match command {
        Command::Serve(args) => serve::run(&args, out),
        Command::Demo(args) => demo::run(&args, out),
        Command::Check(args) => check::run(args, out),
        Command::Batch(args) => batch::run(&args, out, err),
        Command::ListSubjects(args) => list_subjects::run(args, out),
        Command::ListRoles(args) => list_roles::run(args, out),
        Command::Write(args) => write::run(&args, out),
        Command::Grant(args) => grant::run(&args, out),
        Command::Revoke(args) => revoke::run(&args, out),
        Command::Replace(args) => replace::run(&args, out),
        Command::CanGrant(args) => can_grant::run(args, out),
        Command::ListGrantableRoles(args) => list_grantable_roles::run(args, out),
        Command::Health(args) => health::run(args, out),
        Command::Read(args) => read::run(args, out),
        Command::Import(args) => import::run(&args, out, err),
        Command::Export(args) => export::run(args, out, err),
        Command::Backup(args) => backup::back_up(&args, out),
        Command::Restore(args) => backup::restore(&args, out),
        Command::Model(ModelCommand::Check(args)) => model_check::run(&args, out),
        Command::Model(ModelCommand::Diff(args)) => model_diff::run(&args, out, err),
        Command::Model(ModelCommand::Test(args)) => model_test::run(&args, out),
        Command::Model(ModelCommand::Matrix(args)) => model_matrix::run(&args, out),
        Command::Model(ModelCommand::ImportMatrix(args)) => model_import_matrix::run(&args, out),
        Command::Model(ModelCommand::Schema(args)) => model_schema::run(&args, out),
        Command::Completions(args) => completions::run(&args, out),
        Command::Man(args) => man::run(&args, out),
        Command::Model(ModelCommand::Show(args)) => model_show::run(&args, out),
    }
}
