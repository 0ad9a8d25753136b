//! `bailiwick batch`: many questions from a file or the standard input, answered in order at one
//! revision, in bounded memory.

mod answer;
mod question;

use std::io::Write;
use std::time::Instant;

use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

use self::answer::{Answer, Kind, Printer};
use self::question::Question;
use super::client::{self, ServiceArgs};
use super::console::Stream;
use super::input::{Entries, Entry, Format, InputArgs, in_background, place};
use super::progress::{counted, grouped, rate};
use super::retry::retried;
use super::tuple_text::parse_context;
use super::{CliError, Exit};
use crate::api::pb::v1 as pb;
use crate::api::pb::v1::authorization_service_client::AuthorizationServiceClient;
use crate::api::status::Refusal;
use crate::api::values::Values;
use crate::model::limits::{
    BATCH_ANSWER_BYTES_MAX, BATCH_CHUNK_BYTES_MAX, BATCH_ITEMS_MAX, CLIENT_RETRIES_DEFAULT,
};

/// Answer many questions, from a file or the standard input
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  echo user:eve alarms.create location:plant1 | bailiwick batch
  printf 'subject,permission,scope\\nuser:eve,alarms.view,org:acme\\n' | \\
    bailiwick batch --format csv
  bailiwick list-subjects alarms.view location:plant1 | \\
    sed 's/$/ alarms.view location:plant1/' | bailiwick batch --fail-on-deny

Questions are lines `SUBJECT PERMISSION SCOPE` (blank lines and comments, which
begin with `#`, are skipped), CSV with the columns subject,permission,scope and
perhaps context (a JSON object) and target, or JSON lines with these keys. The
answers come in the same form and order, all at one revision; an error says its
line. If the service no longer keeps that revision, the batch ends and says the
line from which --from-line asks the rest, at a newer one.

Exits with 0 if all were answered, 1 if any had an error, 2 with --fail-on-deny
if any was denied, 64 if the command line is wrong.")]
pub(super) struct Args {
    #[command(flatten)]
    input: InputArgs,
    /// Exit with 2 if any question is denied
    #[arg(long)]
    fail_on_deny: bool,
    /// Values for conditions of all questions: `hour=9`, or a JSON object; may be repeated
    #[arg(long, value_name = "NAME=VALUE|JSON")]
    context: Vec<String>,
    /// Begin with this line
    #[arg(long, value_name = "LINE", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    from_line: u64,
    /// How many questions are asked in one request
    #[arg(long, value_name = "QUESTIONS", default_value_t = BATCH_ITEMS_MAX as u64,
          value_parser = clap::value_parser!(u64).range(1..=BATCH_ITEMS_MAX as u64))]
    chunk: u64,
    /// How often a request is repeated that the service could not take
    #[arg(long, value_name = "TIMES", default_value_t = CLIENT_RETRIES_DEFAULT)]
    retries: u32,
    /// Print the answers alone
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub(super) fn run(
    args: &Args,
    out: &mut Stream<'_>,
    err: &mut Stream<'_>,
) -> Result<Exit, CliError> {
    let context = parse_context(&args.context)?;
    let format = args.input.format(Format::Text);
    let source = args.input.open(err)?;
    let name = source.name.clone();
    let cutter = Cutter {
        items: usize::try_from(args.chunk).unwrap_or(BATCH_ITEMS_MAX),
        bytes: BATCH_CHUNK_BYTES_MAX
            .saturating_sub(context.as_ref().map_or(0, Message::encoded_len)),
    };
    let started = Instant::now();
    let tally = client::block_on(async {
        let mut asker = Asker::connect(args, context).await?;
        let entries = source.entries(format, args.from_line);
        let mut chunks = in_background(move |send| cutter.run(entries, send))?;
        let mut printer = Printer::new(format, out)?;
        let mut tally = Tally::default();
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk?;
            let results = asker.ask(&chunk, err).await?;
            tally.print(&chunk, &results, &mut printer)?;
            printer.flush()?;
        }
        tally.revision = asker.revision;
        Ok(tally)
    })?;
    if tally.asked() == 0 && args.fail_on_deny {
        // Zero says here that everything is allowed.
        return Err(CliError::Failed(format!("there is no question in {name}")));
    }
    if !args.quiet {
        writeln!(err, "{}", tally.summary(started.elapsed()))?;
    }
    Ok(match (tally.failed, tally.denied) {
        (0, 0) => Exit::Done,
        (0, _) if args.fail_on_deny => Exit::Denied,
        (0, _) => Exit::Done,
        _ => Exit::Failed,
    })
}

/// Entries that are answered together. What is no question keeps its place.
struct Chunk {
    entries: Vec<Entry<usize>>,
    /// The questions; an entry holds the index of its own.
    items: Vec<pb::BatchCheckItem>,
    bytes: usize,
}

impl Chunk {
    fn empty() -> Self {
        Self { entries: Vec::new(), items: Vec::new(), bytes: 0 }
    }

    fn first(&self) -> u64 {
        self.entries.first().map_or(0, |entry| entry.line)
    }

    /// The lines from the first to the last, for messages.
    fn lines(&self) -> String {
        place(self.first(), self.entries.last().map_or(0, |entry| entry.line))
    }
}

/// Cuts entries into chunks that a request can hold.
struct Cutter {
    items: usize,
    bytes: usize,
}

impl Cutter {
    fn run(
        self,
        mut entries: Entries<Question>,
        send: &mut dyn FnMut(Result<Chunk, CliError>) -> bool,
    ) {
        let mut chunk = Chunk::empty();
        loop {
            let entry = match entries.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    // What came before it is answered first.
                    let _ = send(Ok(chunk)) && send(Err(error));
                    return;
                }
            };
            let Entry { line, item } = entry;
            let (item, bytes) = self.sized(item);
            let mut cut = |chunk: &mut Chunk| send(Ok(std::mem::replace(chunk, Chunk::empty())));
            if chunk.bytes + bytes > self.bytes && !cut(&mut chunk) {
                return;
            }
            chunk.bytes += bytes;
            let item = item.map(|item| {
                chunk.items.push(item);
                chunk.items.len() - 1
            });
            chunk.entries.push(Entry { line, item });
            // At once, and not with the next one: whoever types may wait for the answer.
            if chunk.entries.len() >= self.items && !cut(&mut chunk) {
                return;
            }
        }
        if !chunk.entries.is_empty() {
            let _ = send(Ok(chunk));
        }
    }

    /// The question and what it takes in a request.
    fn sized(&self, item: Result<Question, String>) -> (Result<pb::BatchCheckItem, String>, usize) {
        /// The key and the length that go before an item.
        const FRAME_BYTES: usize = 8;
        match item {
            Ok(Question(item)) => match item.encoded_len() + FRAME_BYTES {
                bytes if bytes > self.bytes => {
                    let limit = self.bytes;
                    (Err(format!("it takes {bytes} bytes, a request has room for {limit}")), 0)
                }
                bytes => (Ok(item), bytes),
            },
            Err(error) => (Err(error), 0),
        }
    }
}

/// Asks chunk after chunk, all at the revision of the first answer.
struct Asker<'a> {
    args: &'a Args,
    client: AuthorizationServiceClient<Channel>,
    context: Option<Values>,
    token: Option<String>,
    revision: Option<u64>,
}

impl<'a> Asker<'a> {
    async fn connect(args: &'a Args, context: Option<Values>) -> Result<Self, CliError> {
        let channel = args.service.connect().await?;
        let client = AuthorizationServiceClient::new(channel)
            .max_decoding_message_size(BATCH_ANSWER_BYTES_MAX);
        Ok(Self { args, client, context, token: None, revision: None })
    }

    async fn ask(
        &mut self,
        chunk: &Chunk,
        err: &mut Stream<'_>,
    ) -> Result<Vec<pb::BatchCheckResult>, CliError> {
        use pb::consistency::Requirement;
        if chunk.items.is_empty() {
            return Ok(Vec::new());
        }
        let exactly = |token| pb::Consistency { requirement: Some(Requirement::Exactly(token)) };
        let message = pb::BatchCheckRequest {
            items: chunk.items.clone(),
            context: self.context.clone(),
            consistency: self.token.clone().map(exactly),
            ..pb::BatchCheckRequest::default()
        };
        let ask = || {
            let mut request = Request::new(message.clone());
            request.set_timeout(self.args.service.patience());
            let mut client = self.client.clone();
            async move { client.batch_check(request).await }
        };
        let failed = |status: &Status, wait: std::time::Duration| {
            let what = client::describe(status);
            let _ = writeln!(err, "{what}; asking again in {} s", wait.as_secs_f64());
        };
        let answer = retried(self.args.retries, ask, failed).await;
        let answer = answer.map_err(|status| self.unanswered(chunk, &status))?;
        let (asked, answered) = (chunk.items.len(), answer.results.len());
        if asked != answered {
            let what = format!("{asked} questions were asked and {answered} answered");
            return Err(CliError::Failed(format!("{}: {what}", chunk.lines())));
        }
        if self.revision.is_some_and(|revision| revision != answer.revision) {
            let what = "the answers stand on another revision than the ones before";
            return Err(CliError::Failed(format!("{}: {what}", chunk.lines())));
        }
        self.token.get_or_insert(answer.token);
        self.revision = Some(answer.revision);
        Ok(answer.results)
    }

    /// No answer to a whole chunk: what to do.
    fn unanswered(&self, chunk: &Chunk, status: &Status) -> CliError {
        let what = client::describe(status);
        let next = format!("--from-line {}", chunk.first());
        let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
        let is_late = matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled);
        let next = if reason == Refusal::RevisionExpired.text() {
            let revision = self.revision.unwrap_or_default();
            format!(
                "the answers before stand at revision {revision}, which the service no longer keeps; \
                 {next} asks the rest at a newer one"
            )
        } else if is_late {
            format!("go on with {next}, with a larger --timeout or a smaller --chunk")
        } else {
            format!("go on with {next}, at the revision of then")
        };
        CliError::Failed(format!("no answer to {}: {what}\n{next}", chunk.lines()))
    }
}

#[derive(Debug, Default)]
struct Tally {
    allowed: u64,
    denied: u64,
    failed: u64,
    revision: Option<u64>,
}

impl Tally {
    fn asked(&self) -> u64 {
        self.allowed + self.denied + self.failed
    }

    fn print(
        &mut self,
        chunk: &Chunk,
        results: &[pb::BatchCheckResult],
        printer: &mut Printer<'_, '_>,
    ) -> Result<(), CliError> {
        for Entry { line, item } in &chunk.entries {
            let asked = item.as_ref().map(|at| chunk.items.get(*at).zip(results.get(*at)));
            let answer = match asked {
                Ok(Some((item, result))) => Answer::of(*line, item, result),
                Ok(None) => Answer::malformed(*line, "there is no answer to it"),
                Err(error) => Answer::malformed(*line, error),
            };
            *match answer.kind() {
                Kind::Allowed => &mut self.allowed,
                Kind::Denied => &mut self.denied,
                Kind::Failed => &mut self.failed,
            } += 1;
            printer.print(&answer)?;
        }
        Ok(())
    }

    fn summary(&self, elapsed: std::time::Duration) -> String {
        let (asked, seconds) = (self.asked(), elapsed.as_secs_f64());
        let [allowed, denied, rate] =
            [self.allowed, self.denied, rate(asked, elapsed)].map(grouped);
        let (questions, errors) = (counted(asked, "question"), counted(self.failed, "error"));
        let at = self.revision.map_or_else(String::new, |at| format!(" at revision {at}"));
        let found = format!("{allowed} allowed, {denied} denied, {errors}{at}");
        format!("{questions}: {found}; {seconds:.1} s, {rate} a second")
    }
}
