//! What the counted writes, builds and loads begin with.

use std::path::Path;
use std::sync::Arc;

use bailiwick::index::{Builder, Snapshot};
use bailiwick::model::SourceFiles;
use bailiwick::model::form::Model;
use bailiwick::model::tuple::Change;

use crate::asked::{TUPLES, tuple};
use crate::world;

/// The world, and what one commit changes in it: roles and memberships of known and of new users, new
/// devices, and roles that end.
pub(crate) fn hundred_changes() -> (Snapshot, &'static [Change]) {
    let (model, stored) = ten_thousand_changes();
    let mut builder = Builder::new(model);
    for change in stored {
        builder.apply(change).expect("the model admits it");
    }
    let snapshot = builder.build().expect("there is room");
    let mut changes = Vec::new();
    for i in 0..20 {
        changes.push(Change::Put(tuple(&format!("line:d{i}#admin@user:u{i}"))));
        changes.push(Change::Put(tuple(&format!("site:d{i}#viewer@user:new{i}"))));
        changes.push(Change::Put(tuple(&format!("group:g{i}#member@user:new{i}"))));
        changes.push(Change::Put(tuple(&format!("device:new{i}#parent@line:d{i}"))));
        let ended = stored.iter().rev().nth(i).expect("the world is larger");
        let Change::Put(ended) = ended else { panic!("the world is made of puts") };
        changes.push(Change::Delete(ended.key.clone()));
    }
    assert_eq!(changes.len(), 100);
    let mut once = snapshot.clone();
    for change in &changes {
        once.apply(change).expect("the model admits it");
    }
    assert_eq!(once.len(), snapshot.len() + 60, "80 more and 20 fewer");
    (snapshot, changes.leak())
}

/// The world's tuples as they are written.
pub(crate) fn ten_thousand_changes() -> (Arc<Model>, &'static [Change]) {
    let changes: Vec<Change> = world::tuples(TUPLES).into_iter().map(Change::Put).collect();
    (Arc::new(world::model()), changes.leak())
}

/// The files of the platform with the largest delegation.
pub(crate) fn chargeplatform() -> &'static SourceFiles {
    Box::leak(Box::new(platform("chargeplatform")))
}

/// The files of one of the platforms' models.
pub(crate) fn platform(name: &str) -> SourceFiles {
    let models = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../models"));
    SourceFiles::read_dir(&models.join(name)).expect("the model's files")
}
