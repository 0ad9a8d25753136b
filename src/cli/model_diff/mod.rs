//! `bailiwick model diff`: what changes from one model to another, by role and permission, and over stored
//! tuples: who gains and who loses which permission at which scope.

mod changes;
mod effect;
mod stored;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use self::effect::{Bounds, Effect};
use self::stored::Stored;
use super::client::{Output, ServiceArgs};
use super::console::{Stream, Tone};
use super::opened::unsound;
use super::progress::Progress;
use super::{CliError, Exit};
use crate::engine::compare::worlds;
use crate::model::SourceFiles;
use crate::model::diff::{self, Side, concerns};
use crate::model::limits::{DIFF_LINES_DEFAULT, DIFF_QUESTIONS_DEFAULT};
use crate::model::tuple::Time;

/// Compare two models: what changes by role and permission, and who gains and who loses
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  bailiwick model diff models/virta virta-next
  bailiwick model diff models/virta virta-next --endpoint http://127.0.0.1:8470
  bailiwick model diff models/virta virta-next --data /backup/bailiwick-monday

Compares what the models mean: rows in another order, other labels, comments, or a pattern in the place of
names are no difference. With --endpoint or --data it then asks both models over the stored tuples, all at
one revision and one moment, and prints who gains (+) and who loses (-) which permission where. Nothing is
written, neither to the service nor to the store.

Exits with 0 if there is no difference, with 2 if there is one, and with 1 if the models could not be
compared or the list is not complete, which its last line says.")]
pub(super) struct Args {
    /// The old model directory, with its model.yaml
    old: PathBuf,
    /// The new one
    new: PathBuf,
    /// Compare over the tuples of this service too: a URL, or unix:PATH of a socket
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    endpoint: Option<String>,
    /// Compare over the tuples of this store too, which no service may have open
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How long to wait for the service, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Ask as of this moment instead of now: `2027-01-01T00:00:00Z`
    #[arg(long, value_name = "TIME")]
    now: Option<String>,
    /// Most lines about tuples; what is over is counted
    #[arg(long, value_name = "LINES", default_value_t = DIFF_LINES_DEFAULT)]
    limit: u64,
    /// Most questions to ask over the tuples
    #[arg(long, value_name = "QUESTIONS", default_value_t = DIFF_QUESTIONS_DEFAULT)]
    questions: u64,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(
    args: &Args,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
) -> Result<Exit, CliError> {
    let now = args.now.as_deref().map(moment).transpose()?;
    let (old, new) = (load(&args.old)?, load(&args.new)?);
    let changes = diff::changes(&old, &new);
    let is_text = args.output == Output::Text;
    if is_text {
        changes::write(&changes, out)?;
        // What follows may take long.
        out.flush()?;
    }
    let models = [changes::model_json(&old), changes::model_json(&new)];
    let effect = match args.stored(err)? {
        Some(mut stored) => {
            stored.now = now.unwrap_or(stored.now);
            Some(args.effect([old, new], stored, (&mut *out, &mut *err))?)
        }
        None => None,
    };
    let differs = !changes.is_empty() || effect.as_ref().is_some_and(|effect| !effect.is_none());
    let missing = effect.as_ref().map(Effect::missing).unwrap_or_default();
    if !is_text {
        let [old, new] = models;
        let effect = effect.as_ref().map(effect::json);
        let changes = changes::json(&changes);
        writeln!(out, "{}", json!({ "old": old, "new": new, "changes": changes, "data": effect }))?;
    }
    if !missing.is_empty() {
        let warning = err.paint(Tone::Bad, "warning:");
        writeln!(err, "{warning} the comparison is not complete: {}", missing.join("; "))?;
        return Ok(Exit::Failed);
    }
    Ok(if differs { Exit::Denied } else { Exit::Done })
}

impl Args {
    /// The tuples to compare over, if any were asked for.
    fn stored(&self, err: &mut Stream<'_>) -> Result<Option<Stored>, CliError> {
        if let Some(data) = &self.data {
            return stored::of_store(data).map(Some);
        }
        let Some(endpoint) = self.endpoint.clone() else { return Ok(None) };
        let service = ServiceArgs { endpoint, timeout: self.timeout };
        let progress = Progress::new("tuples", None, self.quiet, err);
        stored::of_service(service, self.output, progress, err).map(Some)
    }

    fn effect(
        &self,
        sides: [Side; 2],
        mut stored: Stored,
        (out, err): (&mut Stream<'_>, &mut Stream<'_>),
    ) -> Result<Effect, CliError> {
        let [old, new] = sides.map(|side| Arc::new(side.model));
        let concerns = concerns(&old, &new);
        let tuples = std::mem::take(&mut stored.tuples).into_values();
        let worlds = worlds([old, new], tuples, stored.now).map_err(CliError::failed)?;
        let bounds = Bounds { lines: self.limit, questions: self.questions };
        let is_text = self.output == Output::Text;
        // Beside lines on the same terminal a bar would be noise.
        let quiet = self.quiet || (is_text && out.is_terminal());
        let progress = Progress::new("questions", None, quiet, err);
        effect::tell(&worlds, (&concerns, &stored), bounds, is_text, progress, (out, err))
    }
}

fn moment(text: &str) -> Result<Time, CliError> {
    let expected = "a moment such as 2027-01-01T00:00:00Z";
    let wrong = || CliError::Usage(format!("--now: `{text}` is not {expected}"));
    Time::parse(text).ok_or_else(wrong)
}

fn load(dir: &Path) -> Result<Side, CliError> {
    let files = SourceFiles::read_dir(dir).map_err(CliError::failed)?;
    Side::load(&files).map_err(|problems| {
        CliError::Failed(format!("`{}`: {}", dir.display(), unsound(dir, &problems)))
    })
}
