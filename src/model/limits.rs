//! Every bound of the service, its unit in the name. Nothing else decides how much is too much.

use std::ops::RangeInclusive;

/// Longest type, role, permission, relation or fact name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;
/// Longest id (the part of an object after the first `:`), in bytes.
pub const ID_BYTES_MAX: usize = 1_024;
/// Longest chain of parent edges, and of subject sets within subject sets, in edges.
pub const DEPTH_MAX: usize = 32;
/// Most changes in one commit.
pub const COMMIT_CHANGES_MAX: usize = 10_000;
/// Largest encoded commit, in bytes.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;
/// Most preconditions of one commit.
pub const PRECONDITIONS_MAX: usize = 100;
/// Most tuples that one commit's preconditions may look at, together.
pub const PRECONDITION_TUPLES_MAX: usize = 10_000;
/// Most tuples that are looked at to know whether one commit's parents may stand, where a type lies above
/// itself: everybody waits for the writer, which looks at two million in about a second.
pub const HIERARCHY_WALK_TUPLES_MAX: usize = 200_000;
/// Most tuples that are looked at to know whether one commit keeps the constraints of the model.
pub const CONSTRAINT_TUPLES_MAX: usize = 100_000;
/// Most tuples that are looked at to know whether a live one names a scope that is to be made.
pub const NEW_SCOPE_TUPLES_MAX: usize = 1_000;
/// Longest idempotency key, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;
/// How long an idempotency key is kept after its commit, in seconds.
pub const IDEMPOTENCY_KEY_SECONDS: u64 = 24 * 60 * 60;
/// Most idempotency keys that are kept; the oldest is forgotten for one more.
pub const IDEMPOTENCY_KEYS_MAX: usize = 1_000_000;
/// Largest encoded commit that puts a model in force, in bytes: it holds the model's files.
pub const MODEL_COMMIT_BYTES_MAX: usize = 16 << 20;
/// Largest request message, in bytes.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;
/// Most fields of a request message, nested ones not counted.
pub const MESSAGE_FIELDS_MAX: usize = 20_000;
/// Most bytes of request messages under way at once in one process. A message that is read takes about
/// as much again.
pub const BODIES_BYTES_MAX: usize = 64 << 20;
/// Most bytes of request messages under way at once on one connection.
pub const CONNECTION_BODIES_BYTES_MAX: usize = 16 << 20;
/// Up to this size a request message does not count among those, in bytes: what others hold never keeps
/// a question out.
pub const SMALL_BODY_BYTES_MAX: usize = 16 << 10;
/// How long a request message may take to arrive, in seconds.
pub const BODY_SECONDS: u64 = 15;
/// Largest request message of health and reflection, in bytes: they are not counted.
pub const SIDE_REQUEST_BYTES_MAX: usize = 4 << 10;
/// Most items in one BatchCheck.
pub const BATCH_ITEMS_MAX: usize = 10_000;
/// Largest condition context of a request or a tuple, in bytes of its JSON text.
pub const CONTEXT_BYTES_MAX: usize = 64 << 10;
/// The same as it is sent: a number of one figure is two bytes of JSON with its comma, and eleven on the wire.
pub const CONTEXT_WIRE_BYTES_MAX: usize = 6 * CONTEXT_BYTES_MAX;
/// Deepest nesting of objects and lists in a condition context, in levels.
pub const CONTEXT_DEPTH_MAX: usize = 16;
/// Deepest nesting of a condition context that the store takes, in levels; no request gets so far. The
/// JSON reader stops at 128, and what cannot be read back must not be written.
pub const STORED_CONTEXT_DEPTH_MAX: usize = 64;
/// Most tuples that one request may bring along.
pub const CONTEXTUAL_TUPLES_MAX: usize = 100;
/// Most stored tuples that are looked at to know whether a request's contextual parents may stand.
pub const CONTEXTUAL_WALK_TUPLES_MAX: usize = 20_000;
/// Longest source, grantor or reason of a tuple, in bytes.
pub const CARRIED_BYTES_MAX: usize = 1_024;
/// Most requests under way at once in one process, unless set otherwise.
pub const IN_FLIGHT_REQUESTS_MAX: usize = 1_024;
/// What the most requests under way at once may be set to.
pub const IN_FLIGHT_REQUESTS_SETTABLE: RangeInclusive<u64> = 16..=65_536;
/// Most requests under way at once on one connection; a fourth of those of the process, if that is less.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 256;
/// Most connections at once, unless set otherwise.
pub const CONNECTIONS_MAX: usize = 1_024;
/// What the most connections at once may be set to.
pub const CONNECTIONS_SETTABLE: RangeInclusive<u64> = 1..=65_536;
/// Most connections at once to the admin page; one more takes the place of the one that has been silent
/// longest.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;
/// How long a connection to the admin page may be silent, in seconds; up to twice as long, as it is looked
/// at so often.
pub const ADMIN_IDLE_SECONDS: u64 = 10;
/// How long a new connection may stay silent, in seconds.
pub const GREETING_SECONDS: u64 = 5;
/// How long the service waits until it accepts connections again when the system has none left, in
/// milliseconds.
pub const ACCEPT_PAUSE_MILLIS: u64 = 100;
/// Most bytes of one request's body that wait to be read. The HTTP/2 library ends a connection on which small
/// frames wait that together lack half of the connection's bytes to 256 each: what waits of one body is so little
/// that frames of 29 bytes or more, which any question on a CheckStream has, never come to that.
pub const STREAM_WINDOW_BYTES: u32 = 256 << 10;
/// Most bytes of all request bodies on one connection that wait to be read.
pub const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;
/// How often a connection is pinged, in seconds.
pub const KEEPALIVE_SECONDS: u64 = 30;
/// How long the answer to a ping may take until the connection counts as dead, in seconds.
pub const KEEPALIVE_ANSWER_SECONDS: u64 = 20;
/// How long requests under way may take to end once the process is told to stop, in seconds, unless
/// set otherwise.
pub const DRAIN_SECONDS: u64 = 10;
/// What the drain may be set to, in seconds.
pub const DRAIN_SECONDS_SETTABLE: RangeInclusive<u64> = 1..=600;
/// How long a request may take until its answer begins, if it brings no deadline, in seconds, unless
/// set otherwise.
pub const REQUEST_SECONDS_DEFAULT: u64 = 30;
/// How long a request may take until its answer begins, whatever deadline it brings, in seconds, unless
/// set otherwise.
pub const REQUEST_SECONDS_MAX: u64 = 300;
/// What the two deadlines above may be set to, in seconds.
pub const REQUEST_SECONDS_SETTABLE: RangeInclusive<u64> = 1..=3_600;
/// Most lists that are being streamed at once in one process, a thread each.
pub const STREAMS_MAX: usize = 64;
/// Most CheckStreams open at once in one process; a fourth of the requests under way at once, if that is less.
pub const CHECK_STREAMS_MAX: usize = 256;
/// Largest question on a CheckStream, in bytes of its message: so nobody has to count what they hold.
pub const CHECK_STREAM_QUESTION_BYTES_MAX: usize = SMALL_BODY_BYTES_MAX;
/// Entries of a list that wait for a slow reader.
pub const STREAM_BUFFER_ENTRIES: usize = 256;
/// So many entries of a list, made and not yet sent, are sent together.
pub const STREAM_PART_ENTRIES: usize = 32;
/// Fewer are sent if nothing was for so long, in milliseconds.
pub const STREAM_PART_MILLISECONDS: u64 = 1;
/// How long a list waits for its reader to take anything, in seconds, unless set otherwise.
pub const STREAM_STALL_SECONDS: u64 = 30;
/// How long an answer may lie unread until its connection is closed, in seconds, unless set otherwise;
/// up to twice as long, as it is looked at so often.
pub const UNREAD_SECONDS: u64 = 60;
/// What these two may be set to, in seconds.
pub const STALL_SECONDS_SETTABLE: RangeInclusive<u64> = 1..=600;
/// Up to this size a part of an answer counts as read once the transport has it, in bytes: a box for
/// each would cost more than it bounds.
pub const UNREAD_PART_BYTES: usize = 4 << 10;
/// Most spans that wait to be sent to the collector; further ones are dropped.
pub const SPANS_WAITING_MAX: usize = 2_048;
/// How long the last spans may take to reach the collector at the end of the process, in seconds.
pub const SPAN_FLUSH_SECONDS: u64 = 3;
/// Longest caller's value that a message quotes, in bytes; the rest is cut.
pub const QUOTED_BYTES_MAX: usize = 100;
/// Longest message of an error, in bytes. It travels twice in the trailers, once percent-encoded, and common
/// clients drop trailers of over 8 KiB, and the error with them.
pub const ERROR_MESSAGE_BYTES_MAX: usize = 768;
/// Longest value in the metadata of an error, in bytes. Only a path of parents comes near it.
pub const ERROR_VALUE_BYTES_MAX: usize = 1_024;
/// Most evaluation steps (form nodes and tuples looked at) that one question may take.
pub const CHECK_STEPS_MAX: u64 = 1_000_000;
/// Most evaluation steps that a Check may take on the task of its connection, where all others of the
/// connection wait for it; what needs more begins anew on a task of its own.
pub const CONNECTION_STEPS_MAX: u64 = 200;
/// Most evaluation steps that a request may take on a thread that serves connections, about a
/// millisecond; what needs more begins anew on a thread of its own.
pub const INLINE_STEPS_MAX: u64 = 2_000;
/// Most such threads at once; further requests wait for one, each with its place under way.
pub const DEAR_REQUESTS_MAX: usize = 64;
/// How many large commits are read at once, each on a thread that gives way. More would keep memory, and get no more
/// done.
pub const BULK_REQUESTS_MAX: usize = 4;
/// How many entries a page of the model has if the request does not say.
pub const MODEL_PAGE_ENTRIES_DEFAULT: usize = 100;
/// Most entries of one page of the model.
pub const MODEL_PAGE_ENTRIES_MAX: usize = 1_000;
/// A page of the model ends before the entry that would pass this, in bytes; the first always fits.
pub const MODEL_PAGE_BYTES: usize = 1 << 20;
/// Most stored tuples that do not fit a proposed model and are counted; so many end the search.
pub const MISFITS_COUNTED_MAX: usize = 10_000;
/// Most stored tuples that a refusal of a proposed model names.
pub const MISFITS_NAMED_MAX: usize = 5;
/// Longest reason of a refused model that callers are told, in bytes; the rest is cut, the log has it.
pub const REFUSAL_BYTES_MAX: usize = 4 << 10;
/// Most problems of a proposed model that its refusal names; the log has more.
pub const PROBLEMS_NAMED_MAX: usize = 5;
/// Most problems of a model that are printed or logged; one mistake may have very many.
pub const PROBLEMS_SHOWN_MAX: usize = 500;
/// How often a watched model directory is looked at, in seconds. What has changed is proposed once
/// two looks in a row have found the same.
pub const MODEL_WATCH_SECONDS: u64 = 1;
/// Largest file of a model directory but its matrices, in bytes.
pub const MODEL_FILE_BYTES_MAX: usize = 4 << 20;
/// Largest matrix file, in bytes. The largest role lists of clouds, 2,500 roles with 13,000 permissions,
/// take 6 to 8 MB in the long form; with the largest `model.yaml` it still fits one commit.
pub const MATRIX_FILE_BYTES_MAX: usize = MODEL_COMMIT_BYTES_MAX - MODEL_FILE_BYTES_MAX - (64 << 10);
/// Largest model directory, in bytes of the files that are read of it.
pub const MODEL_DIRECTORY_BYTES_MAX: usize = 64 << 20;
/// Most files of a model directory.
pub const MODEL_FILES_MAX: usize = 256;
/// Deepest nesting of lists and maps in a YAML file of a model, in levels; no model comes near it.
pub const YAML_DEPTH_MAX: usize = 32;
/// Widest run of indentation and block indicators at the start of a YAML line, in bytes. Each nested
/// block begins further right within such a run, so this bounds how deep the library recurses.
pub const YAML_INDENT_BYTES_MAX: usize = 160;
/// Longest name that is made of one section or label of a table, in bytes; a longer one is cut and
/// marked.
pub const SLUG_PART_BYTES_MAX: usize = 60;
/// Most role columns of a matrix; a cloud has some 2,500 roles.
pub const MATRIX_COLUMNS_MAX: usize = 4_096;
/// Most cells that a matrix file writes: its lines in the long form; in the wide form role columns times
/// rows, blanks too. While it is read a cell takes about 100 bytes.
pub const MATRIX_CELLS_MAX: usize = 2_000_000;
/// Most verbs of delegation.
pub const DELEGATED_VERBS_MAX: usize = 64;
/// Most lines of a delegation table.
pub const DELEGATION_LINES_MAX: usize = 65_536;
/// Most constraints, each counted at every type that it holds at.
pub const CONSTRAINTS_MAX: usize = 256;
/// Most holders that a constraint may allow a role: a delegated change counts them.
pub const CONSTRAINT_HOLDERS_MAX: u32 = 10_000;
/// Deepest nesting of a condition's parameter type, `list<list<...>>`, in levels.
pub const PARAMETER_DEPTH_MAX: usize = 4;
/// Longest word that a nearest known name is looked for, in bytes: it costs the product of lengths.
pub const SUGGESTED_BYTES_MAX: usize = 256;
/// Deepest nesting of an expression as it is written, and of gates within gates, in levels.
pub const EXPRESSION_DEPTH_MAX: usize = 64;
/// Deepest nesting of an expression with its gates expanded, in levels. A level of parentheses is at
/// most an except, an any, an all, and what asks it of somebody else.
pub const EXPRESSION_EXPANDED_DEPTH_MAX: usize = 4 * EXPRESSION_DEPTH_MAX;
/// Most nodes of one expression with its gates expanded.
pub const EXPRESSION_NODES_MAX: usize = 2_000;
/// Largest compiled model: nodes of the general form, names at types, forms of `bound_by`, together.
pub const MODEL_TERMS_MAX: usize = 2_000_000;
/// Most permissions of a model.
pub const PERMISSIONS_MAX: usize = 16_384;
/// Longest CEL expression of a condition, in bytes.
pub const CONDITION_BYTES_MAX: usize = 4 << 10;
/// Most that evaluating a condition may cost on the largest values, in about bytes looked at.
pub const CONDITION_COST_MAX: u64 = 4_000_000;
/// So much of a condition's cost counts as one evaluation step.
pub const CONDITION_COST_PER_STEP: u64 = 400;
/// Deepest syntax tree of a CEL expression, in levels: evaluation recurses over it.
pub const CONDITION_DEPTH_MAX: usize = 64;
/// Most stages that a model's unions of roles are laid out in; names past that are evaluated.
pub const REACH_STAGES_MAX: usize = 1 << 18;
/// Most roles and relations that those stages hold in all.
pub const REACH_ROLES_MAX: usize = 4_000_000;
/// Most names that one evaluation may have open at once; keeps its recursion within a thread's stack.
pub const OPEN_NAMES_MAX: usize = 400;
/// Most expressions that one evaluation may have open at once, for the same reason. An unoptimized
/// build overflows 2 MiB at about 2,400, so there is room for more than twice as many.
pub const EVALUATION_NESTING_MAX: usize = 1_000;
/// Asking about another subject counts as so many expressions open at once: it takes as much of the stack.
pub const ASKED_OF_ANOTHER_NESTING: usize = 5;
/// Most revisions that `exactly` is served for, the newest included.
pub const HISTORY_REVISIONS_MAX: usize = 1_000;
/// How long a revision is served for `exactly` after a newer one was published, in seconds.
pub const HISTORY_SECONDS: u64 = 600;
/// A revision is served for `exactly` while at most so many changes lie between it and the newest:
/// bounds the memory of what they do not share, 2 to 4 KB a change as measured.
pub const HISTORY_CHANGES_MAX: u64 = 20_000;
/// Most revisions whose checksums are remembered, to tell a token of another history.
pub const HISTORY_CHECKSUMS_MAX: usize = 1 << 16;
/// Most openings with commits of their own whose tokens a store still knows.
pub const LINEAGES_KEPT_MAX: usize = 4_096;
/// Most reads that wait for a revision yet to come; each holds a place of a request under way.
pub const WAITING_READS_MAX: usize = 512;
/// So long before a request's deadline the wait for a revision ends, in milliseconds, or a tenth of
/// the time if that is less: the answer that says so must arrive in time.
pub const WAIT_MARGIN_MILLISECONDS: u64 = 100;
/// How long a cursor is good after its list was last read, in seconds.
pub const CURSOR_SECONDS: u64 = 600;
/// Longest text of a cursor, in bytes.
pub const CURSOR_BYTES_MAX: usize = 2_048;
/// Most revisions that are kept for cursors, those included that lists are reading.
pub const PINNED_REVISIONS_MAX: usize = 256;
/// A revision is kept for cursors while at most so many changes lie between it and the newest: bounds
/// the memory of what they do not share. Of lists that are being read, those of one revision may be
/// further behind.
pub const PINNED_CHANGES_MAX: u64 = 40_000;
/// The same for the cursors of lists that were read to their end.
pub const COMPLETED_CHANGES_MAX: u64 = HISTORY_CHANGES_MAX;
/// How long a list may take that is further behind than that, in seconds.
pub const OVERTAKEN_LIST_SECONDS: u64 = 600;
/// How often a client command goes on with a list that broke off.
pub const LIST_RESUMES_MAX: usize = 8;
/// Most commits that may wait for the writer; one more is refused.
pub const WAITING_COMMITS_MAX: usize = 1_024;
/// Most commits that are made durable together, by one sync.
pub const GROUP_COMMITS_MAX: usize = 256;
/// Most changes that those make.
pub const GROUP_CHANGES_MAX: usize = COMMIT_CHANGES_MAX;
/// After so many changes and new names, or more if the store is large, the index makes its next base.
pub const MERGE_CHANGES_MIN: usize = 256;
/// They are more than one in so many of the tuples and names that its base has.
pub const MERGE_SHARE: usize = 32;
/// After this many changes since the last checkpoint a new one is written.
pub const CHECKPOINT_CHANGES: u64 = 200_000;
/// More than one in so many of the tuples that are stored must have changed, too: otherwise a large store
/// would be written whole again and again.
pub const CHECKPOINT_SHARE: u64 = 2;
/// How many commits the log keeps behind the newest checkpoint.
pub const LOG_KEPT_COMMITS: u64 = 10_000;
/// How many changes these commits have at most together, but for the newest of them.
pub const LOG_KEPT_CHANGES: u64 = 100_000;
/// From this size on a file of the log is full, and the next commit begins another, in bytes: the log gives
/// back whole files only.
pub const LOG_VOLUME_BYTES_MAX: u64 = 8 << 20;
/// Largest group of commits that is made durable in the journal of the log, in bytes of its block: a larger one gains
/// little there, and goes into the log at once.
pub const JOURNAL_GROUP_BYTES_MAX: usize = 64 << 10;
/// Longest line or CSV record of a command's input, in bytes.
pub const INPUT_LINE_BYTES_MAX: usize = 1 << 20;
/// Largest chunk of an import, in bytes: of its changes on the wire and of their contexts as JSON, in
/// which form the commit keeps them. What else a commit holds takes less than the rest.
pub const IMPORT_CHUNK_BYTES_MAX: usize = COMMIT_BYTES_MAX - (64 << 10);
/// Largest chunk of a batch, in bytes of its items on the wire and of the context that they share.
pub const BATCH_CHUNK_BYTES_MAX: usize = REQUEST_BYTES_MAX - (64 << 10);
/// Largest answer to a chunk of a batch, in bytes: 10,000 errors of their longest fit.
pub const BATCH_ANSWER_BYTES_MAX: usize = 64 << 20;
/// How long a command can be told to wait for an answer, in seconds.
pub const CLIENT_TIMEOUT_SECONDS_MAX: u64 = 24 * 60 * 60;
/// How often a command repeats a request that the service could not take, unless told otherwise.
pub const CLIENT_RETRIES_DEFAULT: u32 = 10;
/// How long a command waits before it repeats a request for the first time; each time twice as long.
pub const CLIENT_BACKOFF_MILLIS: u64 = 100;
/// How long a command waits at most before it repeats a request.
pub const CLIENT_BACKOFF_MILLIS_MAX: u64 = 5_000;
/// How many problems a dry run tells before it gives up.
pub const DRY_RUN_PROBLEMS_MAX: usize = 100;
/// Most lines that a comparison of models tells of tuples, unless told otherwise.
pub const DIFF_LINES_DEFAULT: u64 = 10_000;
/// Most questions that a comparison of models asks, unless told otherwise.
pub const DIFF_QUESTIONS_DEFAULT: u64 = 10_000_000;
/// How many permissions a note of a comparison of models names; it counts the others.
pub const DIFF_NOTED_MAX: usize = 10;
/// Most parent edges that a comparison of models leaves out because they break the rules of the hierarchy:
/// each costs a look at all of them.
pub const DIFF_MISPLACED_MAX: usize = 100;

const _: () = assert!(COMMIT_BYTES_MAX <= REQUEST_BYTES_MAX);
const _: () = assert!(COMMIT_BYTES_MAX <= MODEL_COMMIT_BYTES_MAX);
const _: () = assert!(MODEL_PAGE_ENTRIES_DEFAULT <= MODEL_PAGE_ENTRIES_MAX);
const _: () = assert!(MATRIX_COLUMNS_MAX <= u16::MAX as usize);
const _: () = assert!(MODEL_PAGE_BYTES < REQUEST_BYTES_MAX);
const _: () = assert!(CONNECTION_STEPS_MAX < INLINE_STEPS_MAX);
const _: () = assert!(CONTEXT_DEPTH_MAX < STORED_CONTEXT_DEPTH_MAX);
const _: () = assert!(NAME_BYTES_MAX < ID_BYTES_MAX);
const _: () = assert!(STREAMS_MAX < IN_FLIGHT_REQUESTS_MAX);
const _: () = assert!(STREAM_PART_ENTRIES <= STREAM_BUFFER_ENTRIES);
// Reads that wait leave as many places to those that do not, and no connection alone can have all.
const _: () = assert!(WAITING_READS_MAX * 2 <= IN_FLIGHT_REQUESTS_MAX);
const _: () = assert!(STREAMS_PER_CONNECTION_MAX as usize * 2 <= WAITING_READS_MAX);
const _: () = assert!(COMPLETED_CHANGES_MAX <= PINNED_CHANGES_MAX);
const _: () = assert!(STREAMS_MAX < PINNED_REVISIONS_MAX);
// A role at a scope with all that stands around it in a cursor, four characters for three bytes.
const _: () = assert!((2 * (NAME_BYTES_MAX + 1) + ID_BYTES_MAX + 100) * 4 / 3 < CURSOR_BYTES_MAX);
// One connection alone cannot shed the requests of all others.
const _: () = assert!(STREAMS_PER_CONNECTION_MAX as usize * 4 <= IN_FLIGHT_REQUESTS_MAX);
const _: () = assert!(REQUEST_SECONDS_DEFAULT <= REQUEST_SECONDS_MAX);
// The largest request fits with its frame, and no connection alone keeps the large ones of all others out.
const _: () = assert!(REQUEST_BYTES_MAX + 5 <= CONNECTION_BODIES_BYTES_MAX);
const _: () = assert!(CONNECTION_BODIES_BYTES_MAX * 4 <= BODIES_BYTES_MAX);
// What has a bound of its own, which its refusal names, keeps it: one more is counted there.
const _: () = assert!(BATCH_ITEMS_MAX + CONTEXTUAL_TUPLES_MAX + 100 < MESSAGE_FIELDS_MAX);
// The first commit of a group always has room.
const _: () = assert!(COMMIT_CHANGES_MAX <= GROUP_CHANGES_MAX && GROUP_COMMITS_MAX > 0);
const _: () = assert!(COMMIT_CHANGES_MAX + PRECONDITIONS_MAX + 100 < MESSAGE_FIELDS_MAX);
const _: () = assert!(BODY_SECONDS < REQUEST_SECONDS_DEFAULT);
const _: () = assert!(STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
