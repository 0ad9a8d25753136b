//! The tuples that two models are compared over: all of one revision, of a running service or of a store
//! that nobody has open. Complete, or an error.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tonic::Status;

use crate::api::convert::tuple_from_wire;
use crate::api::pb::v1 as pb;
use crate::cli::CliError;
use crate::cli::client::{ClientArgs, Output, ServiceArgs, describe};
use crate::cli::console::Stream;
use crate::cli::lists::ListArgs;
use crate::cli::progress::Progress;
use crate::cli::room::Room;
use crate::model::tuple::{Change, Revision, Time, Tuple, TupleKey};
use crate::store::sled::SledStore;
use crate::store::{CheckpointEntry, Store};

/// All tuples of a revision, by their keys.
pub(super) struct Stored {
    pub(super) tuples: BTreeMap<TupleKey, Tuple>,
    pub(super) revision: u64,
    /// The moment at which questions about them are asked.
    pub(super) now: Time,
}

/// Those of a running service, read in one list.
pub(super) fn of_service(
    service: ServiceArgs,
    output: Output,
    mut progress: Progress,
    err: &mut Stream<'_>,
) -> Result<Stored, CliError> {
    let list = ListArgs::whole(ClientArgs { service, output });
    let mut tuples = BTreeMap::new();
    let mut count = 0_u64;
    let end = list.read(pb::ReadTuplesRequest::default(), |tuple| {
        let unread = |error| CliError::Failed(describe(&Status::from(error)));
        let tuple = tuple_from_wire("tuple", tuple).map_err(unread)?;
        tuples.insert(tuple.key.clone(), tuple);
        count += 1;
        if count.is_multiple_of(1_000) {
            progress.set(count, 0, err)?;
        }
        Ok(())
    })?;
    progress.end();
    Ok(Stored { tuples, revision: end.revision, now: wall_clock()? })
}

/// Those of a store that nobody has open. It proves itself on a copy, which then is what is opened: nothing
/// in its directory changes.
pub(super) fn of_store(data: &Path) -> Result<Stored, CliError> {
    let room = Room::new("model-diff")?;
    let copy = room.path().join("store");
    SledStore::copy(data, &copy, false).map_err(CliError::failed)?;
    let store = SledStore::open(&copy).map_err(CliError::failed)?;
    let mut stored = Stored { tuples: BTreeMap::new(), revision: 0, now: wall_clock()? };
    let mut next = Revision(1);
    if let Some((state, entries)) = store.checkpoint().map_err(CliError::failed)? {
        for entry in entries {
            if let CheckpointEntry::Tuple(tuple) = entry.map_err(CliError::failed)? {
                stored.tuples.insert(tuple.key.clone(), tuple);
            }
        }
        next = state.head.revision.next();
        stored.now = stored.now.max(state.time);
    }
    for commit in store.read(next).map_err(CliError::failed)? {
        let (_, commit) = commit.map_err(CliError::failed)?;
        for change in commit.changes {
            match change {
                Change::Put(tuple) => stored.tuples.insert(tuple.key.clone(), tuple),
                Change::Delete(key) => stored.tuples.remove(&key),
            };
        }
        stored.now = stored.now.max(commit.time);
    }
    stored.now = stored.now.max(store.noted_time());
    stored.revision = store.head().revision.0;
    drop(store);
    room.remove().map(|()| stored)
}

fn wall_clock() -> Result<Time, CliError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(CliError::failed)?;
    i64::try_from(since.as_micros()).map(Time).map_err(CliError::failed)
}
