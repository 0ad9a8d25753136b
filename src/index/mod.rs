//! Layer 1: snapshots of the tuples at a revision, interned and indexed by scope and by subject.
//! Knows the model's ids; knows neither the store nor what a decision is.
//!
//! Invariant *one revision*: a [`Snapshot`] never changes. A write makes the next one, which shares
//! what is the same; readers keep theirs as long as they like and never wait.

mod base;
mod binding;
mod builder;
mod constraint;
mod find;
mod hierarchy;
mod hints;
mod layer;
mod layered;
mod merge;
mod name_table;
mod names;
mod overlay;
mod part;
mod position;
mod roles;
mod rows;
mod settled;
mod slots;
mod snapshot;
mod sources;
#[cfg(test)]
mod tests;
mod texts;
mod touched;
mod translate;

pub use binding::{Binding, Details, SubjectKey};
pub use builder::{Builder, PlainTuple};
pub use constraint::{
    ConstraintError, Constraints, KeepOne, check_constraints, check_placed_constraints,
};
pub use find::READ_AHEAD_TUPLES;
pub use hierarchy::{HierarchyError, check_parents, check_parents_within, check_placed_parents};
pub use hints::{Bloom, Crowd, FEW_ROWS};
pub use merge::{BaseUse, Merge, MergeError, Merged};
pub use names::ObjectId;
pub use part::{Part, Position};
pub use rows::{Entry, Other, Packed, Row};
pub use settled::{FewBound, Rows, Settled, Standing, rows_of};
pub use snapshot::{NotIndexable, Snapshot, Spot};
