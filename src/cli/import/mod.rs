//! `bailiwick import`: tuples from a file or the standard input, in atomic chunks that can be repeated.

mod changes;
mod chunk;
mod done;
mod notes;
mod send;
mod write;

use tokio::sync::mpsc;

use self::chunk::{Chunk, Cutter, Step};
use self::done::Done;
use self::notes::Notes;
use self::send::{Refused, Sender};
use self::write::write_all;
use super::client::{ClientArgs, block_on};
use super::console::Stream;
use super::input::{Format, InputArgs, in_background};
use super::progress::Progress;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::model::limits::{CLIENT_RETRIES_DEFAULT, COMMIT_CHANGES_MAX, DRY_RUN_PROBLEMS_MAX};
use crate::pdp::give_way;

/// Write tuples from a file or the standard input
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick export | bailiwick import
  printf 'scope,role,subject\\norg:acme,viewer,user:bob\\n' | \\
    bailiwick import --format csv --dry-run
  echo org:acme#viewer@user:bob | bailiwick import --format text --delete

Tuples are JSON lines as `export` prints them, CSV with the columns
scope,role,subject and perhaps source,expires_at,condition,context,grantor,reason,granted_at
in any order, or lines `scope#role@subject`. Each is stored, in place of a tuple
with its scope, role, subject and source; of two lines for the same tuple the
later one wins. --create and --delete say otherwise.

Lines are committed in chunks, each whole or not at all, as if in the order of
the file. If an import is interrupted, run the same command again. A refused
line ends it; the message says which line, and what is in.")]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Refuse a tuple that is there already
    #[arg(long, conflicts_with = "delete")]
    create: bool,
    /// Remove the tuples; one that is not there is passed over
    #[arg(long)]
    delete: bool,
    /// Write nothing; tell of every line that could not be written, each chunk on its own
    #[arg(long)]
    dry_run: bool,
    /// Begin with this line
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
    /// How many tuples are committed together at most
    #[arg(long, value_name = "TUPLES", default_value_t = COMMIT_CHANGES_MAX as u64,
          value_parser = clap::value_parser!(u64).range(1..=COMMIT_CHANGES_MAX as u64))]
    chunk: u64,
    /// How often a chunk is sent again that the service could not take
    #[arg(long, value_name = "TIMES", default_value_t = CLIENT_RETRIES_DEFAULT)]
    retries: u32,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    client: ClientArgs,
}

impl Args {
    fn operation(&self) -> pb::Operation {
        match (self.create, self.delete) {
            (true, _) => pb::Operation::Create,
            (_, true) => pb::Operation::Delete,
            _ => pb::Operation::Touch,
        }
    }

    /// What sets this run's commits apart from those of earlier ones. Creating twice is refused, so a
    /// chunk of an interrupted run must be known again. Touching and deleting can be repeated, and must
    /// be done again: others may have changed the tuples since.
    fn salt(&self) -> Result<Vec<u8>, CliError> {
        if self.create {
            return Ok(Vec::new());
        }
        let mut salt = vec![0; 16];
        getrandom::fill(&mut salt).map_err(CliError::failed)?;
        Ok(salt)
    }
}

pub(super) fn run(
    args: &Args,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
) -> Result<Exit, CliError> {
    // Whom the service on this machine answers meanwhile comes first.
    give_way();
    let source = args.input.open(err)?;
    let name = source.name.clone();
    let mut progress = Progress::new("tuples", source.size, args.quiet, err);
    let entries = source.entries(args.input.format(Format::Jsonl), args.from_line);
    let chunk = usize::try_from(args.chunk).unwrap_or(COMMIT_CHANGES_MAX);
    let cutter = Cutter::new(args.operation(), chunk, args.dry_run);
    let salt = args.salt()?;
    let ended = block_on(async {
        let notes = Notes::new(&mut progress, err);
        let note = |text: &str| {
            let _ = notes.note(text);
        };
        let sender = Sender::connect(&args.client.service, args.retries, salt, &note).await?;
        let steps = in_background(move |send| cutter.run(entries, send))?;
        if args.dry_run {
            try_all(args, &sender, steps, &notes).await
        } else {
            write_all(args, &sender, steps, &notes).await
        }
    });
    progress.end();
    ended?.tell(args, &name, out)
}

/// The dry run: every line is read and every chunk tried, and each problem told.
async fn try_all(
    args: &Args,
    sender: &Sender<'_>,
    mut steps: mpsc::Receiver<Step>,
    notes: &Notes<'_, '_>,
) -> Result<Done, CliError> {
    let newest = if args.create { sender.head().await? } else { 0 };
    let mut done = Done::begin(args.from_line, newest);
    while let Some(step) = steps.recv().await {
        match step {
            Step::Failed(error) => return Err(error),
            Step::Bad(line, error) => tell_problem(&mut done, line, &error, notes)?,
            Step::Chunk(chunk) => {
                let read = chunk.read;
                try_chunk(sender, chunk, &mut done, notes).await?;
                notes.set(done.tuples, read)?;
            }
        }
    }
    Ok(done)
}

/// Tries a chunk without the lines that are refused, until the rest is not.
async fn try_chunk(
    sender: &Sender<'_>,
    mut chunk: Chunk,
    done: &mut Done,
    notes: &Notes<'_, '_>,
) -> Result<(), CliError> {
    while !chunk.changes.is_empty() {
        let refused = match sender.validate(&chunk).await {
            Ok(answer) => match gone_since(sender, &chunk, &answer, done).await {
                Ok(None) => {
                    done.could(&chunk, answer);
                    return Ok(());
                }
                Ok(Some(gone)) => {
                    done.miss(gone);
                    done.add(&chunk, answer);
                    return Ok(());
                }
                Err(refused) => refused,
            },
            Err(refused) => refused,
        };
        let change = refused.change().filter(|change| *change < chunk.changes.len());
        let Some(change) = change else {
            let what = format!("{}: {}", chunk.place(), refused.words(None));
            return Err(CliError::Failed(format!("{what}; nothing was written")));
        };
        let line = chunk.remove(change);
        tell_problem(done, line, &refused.words(Some(change)), notes)?;
    }
    Ok(())
}

/// How many tuples of a chunk that an earlier run created are not there any more; `None` of a chunk that
/// could be created now.
async fn gone_since(
    sender: &Sender<'_>,
    chunk: &Chunk,
    answer: &pb::WriteTuplesResponse,
    done: &Done,
) -> Result<Option<u64>, Refused> {
    if !done.knows(answer) {
        return Ok(None);
    }
    let lacking = sender.lacking(chunk).await?;
    // The newest revision answers for what could be created now, and for what the last commit created:
    // of that, nothing is gone.
    let could = done.began_at(answer) && lacking > 0;
    Ok((!could).then_some(lacking))
}

fn tell_problem(
    done: &mut Done,
    line: u64,
    what: &str,
    notes: &Notes<'_, '_>,
) -> Result<(), CliError> {
    done.problems += 1;
    notes.problem(line, what)?;
    if done.problems >= DRY_RUN_PROBLEMS_MAX {
        let next = "mend these, and try again";
        let what = format!("{DRY_RUN_PROBLEMS_MAX} problems, the rest was not looked at; {next}");
        return Err(CliError::Failed(what));
    }
    Ok(())
}
