//! Lists from a running service, entry by entry; where a stream breaks off, the list goes on after the
//! last entry by its cursor. Knows no entry and how none is printed.

use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt;

use super::CliError;
use super::client::{ClientArgs, block_on, describe};
use super::consistency::ConsistencyArgs;
use super::retry::may_pass;
use crate::api::pb::v1 as pb;
use crate::api::status::Refusal;
use crate::model::limits::LIST_RESUMES_MAX;

/// Before a list goes on; twice as long each time that no entry has come since.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The flags of a command that lists.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ListArgs {
    /// Go on after the entry that this cursor came with, with the same flags otherwise
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    #[command(flatten)]
    consistency: ConsistencyArgs,
    #[command(flatten)]
    pub(super) client: ClientArgs,
}

/// A message of a list's stream.
pub(super) enum Part<T> {
    /// An entry and the cursor that stands after it.
    Entry(T, String),
    /// The end mark: the revision and its token.
    End(u64, String),
}

/// How a list was read to its end.
pub(super) struct End {
    pub(super) revision: u64,
    pub(super) token: String,
}

/// A list's request, whichever it is.
pub(super) trait ListRequest: Clone {
    /// What the stream carries.
    type Message;
    /// An entry of the list.
    type Entry;

    /// Asks for the list, from its start or after a cursor.
    async fn ask(
        channel: Channel,
        request: Request<Self>,
    ) -> Result<Streaming<Self::Message>, Status>;

    /// Reads a message; `None` for one of a later version.
    fn part(message: Self::Message) -> Option<Part<Self::Entry>>;

    /// The same request with these fields.
    fn with(self, cursor: String, consistency: Option<pb::Consistency>) -> Self;
}

impl ListArgs {
    /// The whole list, of the newest revision.
    pub(super) fn whole(client: ClientArgs) -> Self {
        Self { cursor: None, consistency: ConsistencyArgs::default(), client }
    }

    pub(super) fn is_json(&self) -> bool {
        self.client.is_json()
    }

    /// Reads the list to its end mark and hands each entry to `print`, none twice. The time limit of the
    /// flags holds for each step, not for the whole list.
    pub(super) fn read<R: ListRequest>(
        &self,
        request: R,
        mut print: impl FnMut(R::Entry) -> Result<(), CliError>,
    ) -> Result<End, CliError> {
        let mut reader = Reader {
            args: self,
            request,
            cursor: self.cursor.clone().unwrap_or_default(),
            entries: 0,
        };
        block_on(async {
            let channel = self.client.service.connect().await?;
            let mut pause = FIRST_PAUSE;
            for _ in 0..LIST_RESUMES_MAX {
                let before = reader.entries;
                match reader.stream(channel.clone(), &mut print).await {
                    Err(Broken::Off(status)) if reader.can_go_on(&status) => {
                        let has_come_on = reader.entries > before;
                        pause = if has_come_on { FIRST_PAUSE } else { pause * 2 };
                        tokio::time::sleep(pause).await;
                    }
                    ended => return ended.map_err(|broken| reader.failure(broken)),
                }
            }
            let ended = reader.stream(channel, &mut print).await;
            ended.map_err(|broken| reader.failure(broken))
        })
    }

    async fn in_time<T>(&self, step: impl Future<Output = T>) -> Result<T, CliError> {
        self.client.service.within(async { Ok(step.await) }).await
    }
}

/// Whether no cursor of the list will ever be taken: the process that made it is gone, or its revision is.
fn is_of_the_cursor(status: &Status) -> bool {
    let reason = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let of_a_cursor =
        [Refusal::InvalidCursor, Refusal::CursorExpired, Refusal::CursorOfOtherRequest];
    of_a_cursor.iter().chain(&[Refusal::ListOvertaken]).any(|refusal| refusal.text() == reason)
}

/// Why a stream did not come to its end mark.
enum Broken {
    Off(Status),
    Failed(CliError),
}

impl From<CliError> for Broken {
    fn from(error: CliError) -> Self {
        Self::Failed(error)
    }
}

/// A list that is being read.
struct Reader<'a, R> {
    args: &'a ListArgs,
    request: R,
    /// Stands after the last entry that was printed.
    cursor: String,
    /// How many were printed.
    entries: u64,
}

impl<R: ListRequest> Reader<'_, R> {
    /// One stream, from the cursor on.
    async fn stream(
        &mut self,
        channel: Channel,
        print: &mut impl FnMut(R::Entry) -> Result<(), CliError>,
    ) -> Result<End, Broken> {
        let consistency = self.args.consistency.to_wire();
        let waits = consistency.is_some() && self.cursor.is_empty();
        let mut request = Request::new(self.request.clone().with(self.cursor.clone(), consistency));
        if waits {
            // The service then says what it waited for before the time is over.
            request.set_timeout(self.args.client.service.patience());
        }
        let asked = self.args.in_time(R::ask(channel, request)).await?;
        let mut stream = asked.map_err(Broken::Off)?;
        while let Some(message) = self.args.in_time(stream.message()).await?.map_err(Broken::Off)? {
            match R::part(message) {
                Some(Part::Entry(entry, cursor)) => {
                    print(entry)?;
                    self.cursor = cursor;
                    self.entries += 1;
                }
                Some(Part::End(revision, token)) => return Ok(End { revision, token }),
                None => {}
            }
        }
        let cut = "the list ended without its end mark: it is cut short";
        Err(CliError::Failed(cut.to_owned()).into())
    }

    /// Whether the rest may come if it is asked for once more.
    fn can_go_on(&self, status: &Status) -> bool {
        let is_late = status.code() == Code::DeadlineExceeded;
        self.entries > 0 && (may_pass(status) || is_late)
    }

    fn failure(&self, broken: Broken) -> CliError {
        let status = match broken {
            Broken::Failed(error) => return error,
            Broken::Off(status) => status,
        };
        if self.entries == 0 || self.args.is_json() {
            return self.args.client.refused(status);
        }
        // What was printed stands; as JSON nothing is printed before the end.
        let (why, entries) = (describe(&status), self.entries);
        CliError::Failed(if is_of_the_cursor(&status) {
            format!("{why}; {entries} entries were printed, which are not the whole list")
        } else {
            let cursor = &self.cursor;
            format!("{why}; {entries} entries were printed, the rest comes with --cursor {cursor}")
        })
    }
}
