//! What a model says of changes to tuples, compiled: who may give which role to whom, and what holds at
//! a scope whatever is given. Part of the general form; knows no tuple.

use std::collections::BTreeMap;

use super::cells::Cell;
use super::form::{NameId, TypeId};
use super::names::Name;

/// What a verb of delegation does to the target's tuples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DelegatedOp {
    /// The target gets the role.
    Grant,
    /// The target loses the role.
    Revoke,
    /// The target has one role for another; the verb is asked for both.
    Replace,
}

/// A verb of delegation, and who may do it with which roles.
#[derive(Debug, Clone)]
pub struct DelegatedVerb {
    /// Its name: `invite`.
    pub name: Name,
    /// What it does; a verb without is only asked about. At most one verb has each.
    pub op: Option<DelegatedOp>,
    /// By the target's role and the type that it is bound on: the helper at that type whose value for
    /// the actor is the answer. A role without an entry is delegated by nobody.
    pub rows: BTreeMap<(TypeId, NameId), NameId>,
}

/// A row of the delegation table as a document: a verb with a role.
#[derive(Debug, Clone)]
pub struct DelegationRow {
    /// The verb, as an index into [`Delegation::verbs`].
    pub verb: usize,
    /// The target's role.
    pub role: NameId,
    /// The type that it is bound on.
    pub bound: TypeId,
    /// What the file says of actors, in its order; of others it says nothing, which is no.
    pub cells: Vec<DelegationCell>,
}

/// What the delegation table says of one role of the actor's.
#[derive(Debug, Clone)]
pub struct DelegationCell {
    /// The actor's role.
    pub role: NameId,
    /// The type that it is bound on.
    pub bound: TypeId,
    /// Whether it may.
    pub cell: Cell,
}

/// The gate of a role at a type that it is bound on, as helpers there; who is given the role must
/// fulfil it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoleGate {
    /// What depends on the scope alone: where it is no, nobody can have the role.
    pub scope: Option<NameId>,
    /// What depends on the subject too.
    pub subject: Option<NameId>,
}

/// Who may give, take and change which roles.
#[derive(Debug, Clone, Default)]
pub struct Delegation {
    /// Its verbs, in the author's order.
    pub verbs: Vec<DelegatedVerb>,
    /// The table, in the file's order of verbs with roles.
    pub rows: Vec<DelegationRow>,
    /// The gates of the roles of the table.
    pub role_gates: BTreeMap<(TypeId, NameId), RoleGate>,
}

/// A rule over the tuples of one scope, kept by every commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// The author's name for it; the same at each of its types.
    pub name: Name,
    /// The type of the scopes that it holds at.
    pub at: TypeId,
    /// What must hold at each of them.
    pub rule: ConstraintRule,
}

/// What a constraint demands of a scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConstraintRule {
    /// A subject has at most one of these roles, counting every live tuple.
    Exclusive(Vec<NameId>),
    /// So many subjects at most have the role, counting every live tuple.
    AtMost {
        /// The role.
        role: NameId,
        /// The most holders.
        count: u32,
    },
    /// Whoever holds the role, the last holder does not go. Counted are tuples given here, without a
    /// condition and without an end.
    KeepOne {
        /// The role.
        role: NameId,
    },
}
