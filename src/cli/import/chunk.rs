//! Cuts the tuples of a file into chunks, each a commit: small enough, no identity twice, and named so
//! that the same lines are the same chunk in the next run. Knows no service.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use prost::Message;
use prost_types::Timestamp;
use rustc_hash::FxBuildHasher;
use sha2::{Digest, Sha256};

use super::changes::Changes;
use crate::api::pb::v1 as pb;
use crate::cli::CliError;
use crate::cli::input::{Entries, Entry, place};
use crate::cli::render;
use crate::cli::tuple_form::{FileTuple, end_of, is_past};
use crate::model::limits::IMPORT_CHUNK_BYTES_MAX;

/// Changes that are committed together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    pub(super) changes: Changes,
    /// The line of each change.
    pub(super) lines: Vec<u64>,
    /// The ends of the tuples that have one and are to be stored, by their lines.
    ends: Vec<(u64, Timestamp)>,
    /// How much of the input was read when it was cut, in bytes.
    pub(super) read: u64,
    /// Whether it has no tuple that the chunk before it has too.
    is_apart: bool,
}

impl Chunk {
    /// Whether it may be under way together with the chunk before it: if both can be in, all comes out as in
    /// order, should the service judge this one first. Where they contradict each other, one of them is refused,
    /// and it may be the earlier.
    ///
    /// - No tuple is in both: else the earlier line could win.
    /// - `before` is not refused because this one is in, unless this one would be for `before`: the hierarchy and
    ///   the constraints look at what is there after a commit. But what was broken already may stay so where a
    ///   commit makes it better, and a chunk that takes a role away and one that gives it by another source would
    ///   come out otherwise in another order. Of tuples to be stored, those that have ended take away, by the
    ///   service's clock: there may be none with an end. Of tuples to be deleted, none gives. And a holder whom a
    ///   constraint keeps has one tuple, never of another source: what `before` takes of those, this one has not
    ///   put.
    ///
    /// What remains is how many tuples the service looks at for one commit: within 10,000 of that bound `before`
    /// may be refused for those of this one. So it would be when the import is repeated.
    pub(super) fn may_go_beside(&self, before: &Self) -> bool {
        self.is_apart && self.ends.is_empty() && before.ends.is_empty()
    }

    pub(super) fn first(&self) -> u64 {
        self.lines.first().copied().unwrap_or_default()
    }

    pub(super) fn last(&self) -> u64 {
        self.lines.last().copied().unwrap_or_default()
    }

    /// Where it stands, for messages.
    pub(super) fn place(&self) -> String {
        place(self.first(), self.last())
    }

    /// Leaves out one of the changes; its line.
    pub(super) fn remove(&mut self, change: usize) -> u64 {
        let line = self.lines.remove(change);
        self.changes.remove(change);
        self.ends.retain(|(at, _)| *at != line);
        line
    }

    /// How many of its tuples have ended, by this machine's clock.
    pub(super) fn ended(&self) -> u64 {
        self.ends.iter().filter(|(_, end)| is_past(*end)).count() as u64
    }

    /// The idempotency key: of what is changed and where in the file it stands. `salt` sets apart what
    /// must not be taken for one.
    pub(super) fn key(&self, salt: &[u8]) -> String {
        let mut digest = Sha256::new()
            .chain_update(b"bailiwick import 1\n")
            .chain_update((salt.len() as u64).to_be_bytes())
            .chain_update(salt)
            .chain_update(self.first().to_be_bytes());
        self.changes.encoded().for_each(|change| digest.update(change));
        let hex: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("import-{hex}")
    }
}

/// What reading the file gives, in its order.
#[derive(Debug)]
pub(super) enum Step {
    Chunk(Chunk),
    /// A line that is no tuple, and why.
    Bad(u64, String),
    /// The input cannot be read further.
    Failed(CliError),
}

/// Cuts where the next tuple would make a chunk too large, or change one that it changes already: the
/// later line then wins.
#[derive(Debug)]
pub(super) struct Cutter {
    operation: pb::Operation,
    changes_max: usize,
    /// Goes on after a line that is no tuple.
    goes_on: bool,
    changes: Changes,
    lines: Vec<u64>,
    ends: Vec<(u64, Timestamp)>,
    bytes: usize,
    /// The identities of the chunk's tuples, as they are, each by a hash of 64 bits that is the same in every
    /// run. Two with the same one begin a new chunk as well, or keep two from being under way together: seldom, and no
    /// harm.
    seen: HashSet<u64, FxBuildHasher>,
    /// Those of the chunk before, and whether none of them has come again.
    before: HashSet<u64, FxBuildHasher>,
    is_apart: bool,
}

impl Cutter {
    pub(super) fn new(operation: pb::Operation, changes_max: usize, goes_on: bool) -> Self {
        let (changes, lines, ends) = (Changes::default(), Vec::new(), Vec::new());
        let (seen, before) = (HashSet::default(), HashSet::default());
        let (bytes, is_apart) = (0, true);
        Self {
            operation,
            changes_max,
            goes_on,
            changes,
            lines,
            ends,
            bytes,
            seen,
            before,
            is_apart,
        }
    }

    /// Reads to the end; stops early if nobody takes the steps any more.
    pub(super) fn run(
        mut self,
        mut entries: Entries<FileTuple>,
        send: &mut dyn FnMut(Step) -> bool,
    ) {
        loop {
            let before = entries.bytes();
            let entry = match entries.next() {
                Ok(Some(entry)) => entry,
                Ok(None) => break,
                Err(error) => {
                    send(Step::Failed(error));
                    return;
                }
            };
            let goes_on = match entry {
                Entry { line, item: Ok(FileTuple(tuple)) } => match self.add(line, tuple, before) {
                    Ok(None) => true,
                    Ok(Some(chunk)) => send(Step::Chunk(chunk)),
                    Err(error) => send(Step::Bad(line, error)) && self.goes_on,
                },
                Entry { line, item: Err(error) } => send(Step::Bad(line, error)) && self.goes_on,
            };
            if !goes_on {
                return;
            }
        }
        if !self.changes.is_empty() {
            let chunk = self.cut(entries.bytes());
            send(Step::Chunk(chunk));
        }
    }

    /// Takes a tuple; the chunk before it, if one is complete now.
    fn add(&mut self, line: u64, tuple: pb::Tuple, read: u64) -> Result<Option<Chunk>, String> {
        let mut hasher = DefaultHasher::new();
        [&tuple.scope, &tuple.role, &tuple.subject, &tuple.source].hash(&mut hasher);
        let identity = hasher.finish();
        let bytes = commit_bytes(&tuple);
        if bytes > IMPORT_CHUNK_BYTES_MAX {
            let limit = IMPORT_CHUNK_BYTES_MAX;
            return Err(format!("it takes {bytes} bytes, a commit has room for {limit}"));
        }
        let full = self.changes.len() >= self.changes_max
            || self.bytes + bytes > IMPORT_CHUNK_BYTES_MAX
            || self.seen.contains(&identity);
        let chunk = full.then(|| self.cut(read));
        self.seen.insert(identity);
        self.is_apart &= !self.before.contains(&identity);
        self.bytes += bytes;
        self.lines.push(line);
        let change = pb::TupleChange { operation: self.operation.into(), tuple: Some(tuple) };
        self.ends.extend(end_of(&change).map(|end| (line, end)));
        self.changes.push(&change);
        Ok(chunk)
    }

    fn cut(&mut self, read: u64) -> Chunk {
        std::mem::swap(&mut self.before, &mut self.seen);
        self.seen.clear();
        self.bytes = 0;
        let is_apart = std::mem::replace(&mut self.is_apart, true);
        let Self { changes, lines, ends, .. } = self;
        let (changes, lines) = (std::mem::take(changes), std::mem::take(lines));
        Chunk { changes, lines, ends: std::mem::take(ends), read, is_apart }
    }
}

/// What a change of it takes in a commit, at most. The commit keeps contexts as JSON, which can be
/// longer than on the wire.
fn commit_bytes(tuple: &pb::Tuple) -> usize {
    /// The keys and lengths around a tuple.
    const FRAME_BYTES: usize = 16;
    let context = tuple.condition.as_ref().and_then(|condition| condition.context.as_ref());
    let context = context.and_then(|context| render::context_json(context).ok());
    let json = context.map_or(0, |context| serde_json::Value::Object(context).to_string().len());
    tuple.encoded_len() + json + FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::input::{Format, Source};
    use crate::model::limits::COMMIT_CHANGES_MAX;

    fn steps(text: &str, changes_max: usize, goes_on: bool) -> Vec<Step> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tuples.txt");
        std::fs::write(&path, text).unwrap();
        let entries = Source::open(&path).unwrap().entries(Format::Text, 1);
        let mut found = Vec::new();
        let cutter = Cutter::new(pb::Operation::Touch, changes_max, goes_on);
        cutter.run(entries, &mut |step| {
            found.push(step);
            true
        });
        found
    }

    fn chunks(text: &str, changes_max: usize) -> Vec<Chunk> {
        let chunk = |step| match step {
            Step::Chunk(chunk) => chunk,
            other => panic!("{other:?}"),
        };
        steps(text, changes_max, false).into_iter().map(chunk).collect()
    }

    #[test]
    fn a_repeated_identity_begins_a_new_chunk() {
        let text = "org:a#r@user:a\n\norg:a#r@user:b\norg:a#r@user:a\norg:b#r@user:a\n";
        let lines: Vec<_> = chunks(text, 10).into_iter().map(|chunk| chunk.lines).collect();
        assert_eq!(lines, [vec![1, 3], vec![4, 5]]);
    }

    #[test]
    fn a_chunk_has_as_many_changes_as_it_may_and_says_how_far_the_input_is() {
        let text: String = (0..5).map(|at| format!("org:a#r@user:u{at}\n")).collect();
        let cut = chunks(&text, 2);
        let lines: Vec<_> = cut.iter().map(|chunk| (chunk.first(), chunk.last())).collect();
        assert_eq!(lines, [(1, 2), (3, 4), (5, 5)]);
        let line = text.len() as u64 / 5;
        assert_eq!(
            cut.iter().map(|chunk| chunk.read).collect::<Vec<_>>(),
            [2 * line, 4 * line, 5 * line]
        );
    }

    #[test]
    fn a_chunk_is_smaller_than_a_commit_may_be() {
        let long = "x".repeat(1_000);
        let text: String = (0..3_000).map(|at| format!("org:{long}#r@user:{long}{at}\n")).collect();
        let cut = chunks(&text, COMMIT_CHANGES_MAX);
        assert!(cut.len() >= 6, "{}", cut.len());
        for chunk in &cut {
            let request = chunk.changes.request(&<_>::default());
            assert!(request.len() <= IMPORT_CHUNK_BYTES_MAX);
        }
        assert_eq!(cut.iter().map(|chunk| chunk.changes.len()).sum::<usize>(), 3_000);
    }

    #[test]
    fn the_same_lines_have_the_same_key_wherever_the_run_began() {
        let text: String = (0..6).map(|at| format!("org:a#r@user:u{at}\n")).collect();
        let first = chunks(&text, 2);
        let again = chunks(&text, 2);
        assert_eq!(first[1].key(b""), again[1].key(b""));
        assert_ne!(first[1].key(b""), first[1].key(b"x"));
        assert_ne!(first[1].key(b""), first[2].key(b""));
        // The same changes at another place of the file are another chunk.
        let twice = chunks(&text.repeat(2), 6);
        assert_eq!(twice[0].changes, twice[1].changes);
        assert_ne!(twice[0].key(b""), twice[1].key(b""));
        let mut created = first[1].clone();
        let mut changes = created.changes.messages().unwrap();
        changes[0].operation = pb::Operation::Create.into();
        created.changes = Changes::default();
        changes.iter().for_each(|change| created.changes.push(change));
        assert_ne!(created.key(b""), first[1].key(b""));
    }

    #[test]
    fn a_chunk_may_go_beside_the_one_before_it_if_they_share_no_tuple_and_nothing_of_that_ends() {
        let line = |user: &str| format!("org:a#r@user:{user}\n");
        let text: String = ["a", "b", "c", "d", "c", "e", "a", "b"].map(line).concat();
        let cut = chunks(&text, 2);
        let beside: Vec<_> = cut.windows(2).map(|two| two[1].may_go_beside(&two[0])).collect();
        assert_eq!(beside, [true, false, true]);
        let mut ending = cut[0].clone();
        ending.ends = vec![(1, Timestamp::default())];
        assert!(!cut[1].may_go_beside(&ending));
        assert!(!ending.may_go_beside(&cut[0]));
        // Cut because a tuple came again.
        let cut = chunks(&[line("a"), line("b"), line("a")].concat(), 10);
        assert!(cut.len() == 2 && !cut[1].may_go_beside(&cut[0]));
    }

    /// A program of another version must know the chunks of this one.
    #[test]
    fn a_key_stays_what_it_was() {
        let cut = chunks("org:a#r@user:u0\norg:a#r@user:u1\n", 10);
        assert_eq!(
            cut[0].key(b"salt"),
            "import-e0f77229acd7f8e1ec7c140bdac0e459c8f05d7b0c01df881f155e8fe3f8bbfe"
        );
    }

    #[test]
    fn a_chunk_without_a_line_is_that_of_the_others() {
        let text: String = (0..6).map(|at| format!("org:a#r@user:u{at}\n")).collect();
        let mut chunk = chunks(&text, 10).remove(0);
        chunk.ends = vec![(2, Timestamp::default()), (3, Timestamp::default())];
        assert_eq!((chunk.ended(), chunk.remove(1)), (2, 2));
        let left: Vec<_> = chunk.changes.messages().unwrap();
        let subjects: Vec<_> = left.into_iter().map(|c| c.tuple.unwrap().subject).collect();
        assert_eq!(subjects, ["user:u0", "user:u2", "user:u3", "user:u4", "user:u5"]);
        assert_eq!((chunk.lines, chunk.ends.len()), (vec![1, 3, 4, 5, 6], 1));
    }

    #[test]
    fn a_line_that_is_no_tuple_ends_it_or_is_passed_over() {
        let text = "org:a#r@user:a\nnonsense\norg:a#r@user:b\n";
        let stopped = steps(text, 10, false);
        assert!(matches!(&stopped[..], [Step::Bad(2, _)]), "{stopped:?}");
        let passed = steps(text, 10, true);
        assert!(
            matches!(&passed[..], [Step::Bad(2, _), Step::Chunk(chunk)] if chunk.lines == [1, 3]),
            "{passed:?}"
        );
    }
}
