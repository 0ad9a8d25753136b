//! The constraints that a model lays on the tuples of one scope: exclusive roles, at most so many holders,
//! never from one or more holders to none. Judged for the tuples that a change touches, against the
//! snapshots before and after it. Knows no request and no commit.
//!
//! What is broken already, as after a constraint was put in force by a program that did not know it, may
//! become better bit by bit: a change is refused only if it puts a tuple in the way and leaves no less
//! broken than it found. So taking away is never refused by exclusive roles or by a number of holders.

use std::collections::{BTreeMap, HashSet};

use super::binding::{Binding, SubjectKey};
use super::names::ObjectId;
use super::part::{ByScope, Position};
use super::snapshot::Snapshot;
use crate::model::form::{Constraint, ConstraintRule, Model, NameId};
use crate::model::names::quoted;
use crate::model::tuple::{Time, TupleKey};

/// Why tuples cannot stand together. Values are cut for quoting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// A subject has two roles of which it may have one.
    #[error(
        "the constraint `{constraint}` lets a subject have one of its roles at a scope; `{subject}` has \
         `{role}` beside `{other}` at `{scope}`"
    )]
    Exclusive {
        /// The constraint's name.
        constraint: Box<str>,
        /// Where.
        scope: Box<str>,
        /// Who.
        subject: Box<str>,
        /// The role that the change puts.
        role: Box<str>,
        /// Another that the subject has.
        other: Box<str>,
    },
    /// A role has more holders than it may.
    #[error(
        "the constraint `{constraint}` lets {limit} at most have `{role}` at a scope; more have it at \
         `{scope}`"
    )]
    AtMost {
        /// The constraint's name.
        constraint: Box<str>,
        /// Where.
        scope: Box<str>,
        /// The role.
        role: Box<str>,
        /// The most holders.
        limit: u32,
    },
    /// The last holder would go.
    #[error(
        "the constraint `{constraint}` keeps one who has `{role}` at `{scope}`, granted here to one \
         object without a condition and without an end; nobody would be left"
    )]
    KeepOne {
        /// The constraint's name.
        constraint: Box<str>,
        /// Where.
        scope: Box<str>,
        /// The role.
        role: Box<str>,
    },
    /// Whether a constraint holds takes more tuples than may be looked at.
    #[error(
        "whether the constraint `{constraint}` holds at `{scope}` takes more than {limit} tuples to \
         know; change less at once, or delete tuples that have expired"
    )]
    TooLarge {
        /// The constraint's name.
        constraint: Box<str>,
        /// Where.
        scope: Box<str>,
        /// The bound, in tuples.
        limit: usize,
    },
}

/// Whether the last holder of a role may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepOne {
    /// Not where a constraint keeps one.
    #[default]
    Obeyed,
    /// Yes, as when all of an organization is deleted.
    Waived,
}

/// Judges what a change makes of `before`: `keys` are those of the tuples that it puts or deletes, `after`
/// has it. Looks at so many tuples at most. An error comes with the position of its tuple.
///
/// # Errors
/// The change breaks a constraint, or it takes more tuples than that to know.
pub fn check_constraints<'a>(
    (before, after): (&Snapshot, &Snapshot),
    keys: impl IntoIterator<Item = &'a TupleKey>,
    now: Time,
    keep_one: KeepOne,
    limit: usize,
) -> Result<(), (usize, ConstraintError)> {
    let placed = keys.into_iter().enumerate();
    let placed = placed.filter_map(|(at, key)| Some((at, after.position(key)?)));
    check_placed_constraints((before, after), placed, now, keep_one, limit)
}

/// The same for tuples whose places are known; each comes with the position that an error says.
///
/// # Errors
/// As of [`check_constraints`].
pub fn check_placed_constraints(
    (before, after): (&Snapshot, &Snapshot),
    placed: impl IntoIterator<Item = (usize, Position)>,
    now: Time,
    keep_one: KeepOne,
    limit: usize,
) -> Result<(), (usize, ConstraintError)> {
    let model = after.model();
    if model.constraints.is_empty() {
        return Ok(());
    }
    let mut tally = Tally { before, after, now, crowds: BTreeMap::new(), bereft: BTreeMap::new() };
    let mut look = Look { now, left: limit, limit };
    for (at, Position(ByScope { scope, role, subject, .. })) in placed {
        let touched = Touched { scope, role, subject };
        for (number, constraint) in constraints_on(model, &touched, after) {
            match &constraint.rule {
                ConstraintRule::Exclusive(roles) => {
                    let exclusive = Exclusive { constraint, roles, touched };
                    exclusive.check(before, after, &mut look).map_err(|error| (at, error))?;
                }
                ConstraintRule::AtMost { .. } => tally.count(at, number, touched),
                ConstraintRule::KeepOne { .. } if keep_one == KeepOne::Obeyed => {
                    tally.miss(at, number, touched);
                }
                ConstraintRule::KeepOne { .. } => {}
            }
        }
    }
    tally.check(&mut look)
}

/// The constraints that a snapshot breaks as it stands, tuple by tuple: those of numbers and of exclusive
/// roles. That nobody holds a role breaks none.
#[derive(Debug)]
pub struct Constraints<'a> {
    snapshot: &'a Snapshot,
    now: Time,
    counted: HashSet<(usize, ObjectId)>,
}

impl<'a> Constraints<'a> {
    /// Nothing is judged yet.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot, now: Time) -> Self {
        Self { snapshot, now, counted: HashSet::new() }
    }

    /// The constraint that this tuple breaks beside the others, if it is live and breaks one. A crowd of
    /// holders is told once.
    pub fn broken_by(&mut self, binding: &Binding<'_>) -> Option<ConstraintError> {
        let Self { snapshot, now, counted } = self;
        let Binding { scope, role, subject, .. } = *binding;
        if !binding.is_live(*now) {
            return None;
        }
        let touched = Touched { scope, role, subject };
        let mut look = Look { now: *now, left: usize::MAX, limit: usize::MAX };
        let model = snapshot.model();
        constraints_on(model, &touched, snapshot).find_map(|(number, constraint)| {
            let broken = match &constraint.rule {
                ConstraintRule::Exclusive(roles) => {
                    let exclusive = Exclusive { constraint, roles, touched };
                    exclusive.check_state(snapshot, &mut look)
                }
                ConstraintRule::AtMost { count, .. } if counted.insert((number, scope)) => {
                    at_most(constraint, (scope, role, *count), snapshot, &mut look)
                }
                _ => Ok(()),
            };
            broken.err()
        })
    }
}

/// A tuple by its ids, whatever its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Touched {
    scope: ObjectId,
    role: NameId,
    subject: SubjectKey,
}

impl Touched {
    fn is_held(&self, snapshot: &Snapshot, now: Time) -> bool {
        let mut bound = snapshot.bound(self.scope, self.role, self.subject);
        bound.any(|binding| binding.is_live(now))
    }

    fn keeps(&self, snapshot: &Snapshot) -> bool {
        snapshot.bound(self.scope, self.role, self.subject).any(|binding| keeps(&binding))
    }
}

/// Whether a tuple counts where one holder must stay: granted here to a plain object, for good. A set may
/// have no members, and may have none tomorrow without a change at this scope.
fn keeps(binding: &Binding<'_>) -> bool {
    let is_somebody = matches!(binding.subject, SubjectKey::Object(_));
    let is_for_good = binding.condition().is_none() && binding.expires_at().is_none();
    is_somebody && is_for_good && binding.is_local()
}

/// The constraints that a tuple has to do with, with their numbers.
fn constraints_on<'m>(
    model: &'m Model,
    touched: &Touched,
    snapshot: &Snapshot,
) -> impl Iterator<Item = (usize, &'m Constraint)> + use<'m> {
    let (at, role) = (snapshot.type_of(touched.scope), touched.role);
    model.constraints.iter().enumerate().filter(move |(_, constraint)| {
        let is_of = match &constraint.rule {
            ConstraintRule::Exclusive(roles) => roles.contains(&role),
            ConstraintRule::AtMost { role: of, .. } | ConstraintRule::KeepOne { role: of } => {
                *of == role
            }
        };
        is_of && at == Some(constraint.at)
    })
}

/// How many tuples may still be looked at.
#[derive(Debug)]
struct Look {
    now: Time,
    left: usize,
    limit: usize,
}

/// All of them are used up.
struct Exhausted;

impl Look {
    fn spend(&mut self) -> Result<(), Exhausted> {
        self.left = self.left.checked_sub(1).ok_or(Exhausted)?;
        Ok(())
    }

    fn too_large(
        &self,
        constraint: &Constraint,
        scope: ObjectId,
        snapshot: &Snapshot,
    ) -> ConstraintError {
        ConstraintError::TooLarge {
            constraint: constraint.name.as_str().into(),
            scope: text(snapshot, scope),
            limit: self.limit,
        }
    }
}

struct Exclusive<'m> {
    constraint: &'m Constraint,
    roles: &'m [NameId],
    touched: Touched,
}

impl Exclusive<'_> {
    fn check(
        &self,
        before: &Snapshot,
        after: &Snapshot,
        look: &mut Look,
    ) -> Result<(), ConstraintError> {
        let Err(error) = self.check_state(after, look) else { return Ok(()) };
        match (self.held(before, look), self.held(after, look)) {
            (Ok(had), Ok(has)) if has.len() < had.len() => Ok(()),
            (Ok(_), Ok(_)) => Err(error),
            _ => Err(look.too_large(self.constraint, self.touched.scope, after)),
        }
    }

    /// Whether the subject has the touched role, and another beside it.
    fn check_state(&self, snapshot: &Snapshot, look: &mut Look) -> Result<(), ConstraintError> {
        let Touched { scope, role, subject } = self.touched;
        if !self.touched.is_held(snapshot, look.now) {
            return Ok(());
        }
        let held = self.held(snapshot, look);
        let held = held.map_err(|Exhausted| look.too_large(self.constraint, scope, snapshot))?;
        let Some(other) = held.into_iter().find(|held| *held != role) else { return Ok(()) };
        let model = snapshot.model();
        Err(ConstraintError::Exclusive {
            constraint: self.constraint.name.as_str().into(),
            scope: text(snapshot, scope),
            subject: subject_text(snapshot, subject),
            role: model.name_of(role).into(),
            other: model.name_of(other).into(),
        })
    }

    /// The roles of the constraint that the subject has here. There may be thousands of them, and a
    /// subject may stand in thousands of tuples: whichever is less is gone through.
    fn held(&self, snapshot: &Snapshot, look: &mut Look) -> Result<Vec<NameId>, Exhausted> {
        let Touched { scope, subject, .. } = self.touched;
        let mut held = Vec::new();
        let mut tuples = snapshot.scopes_of(subject);
        for _ in self.roles {
            look.spend()?;
            let Some(binding) = tuples.next() else { return Ok(held) };
            let is_here = binding.scope == scope && self.roles.contains(&binding.role);
            if is_here && binding.is_live(look.now) && !held.contains(&binding.role) {
                held.push(binding.role);
            }
        }
        held.clear();
        for role in self.roles {
            look.spend()?;
            if (Touched { role: *role, ..self.touched }).is_held(snapshot, look.now) {
                held.push(*role);
            }
        }
        Ok(held)
    }
}

/// Whether no more subjects than so many have the role here. Stops at the first that is one too many.
fn at_most(
    constraint: &Constraint,
    (scope, role, count): (ObjectId, NameId, u32),
    snapshot: &Snapshot,
    look: &mut Look,
) -> Result<(), ConstraintError> {
    let mut holders = HashSet::new();
    for binding in snapshot.all_bound(scope, role) {
        look.spend().map_err(|Exhausted| look.too_large(constraint, scope, snapshot))?;
        if binding.is_live(look.now) {
            holders.insert(binding.subject);
        }
        if holders.len() > count as usize {
            return Err(ConstraintError::AtMost {
                constraint: constraint.name.as_str().into(),
                scope: text(snapshot, scope),
                role: snapshot.model().name_of(role).into(),
                limit: count,
            });
        }
    }
    Ok(())
}

/// What must be seen of all the tuples of a change before it can be judged, by constraint and scope.
struct Tally<'a> {
    before: &'a Snapshot,
    after: &'a Snapshot,
    now: Time,
    /// Where the number of holders counts.
    crowds: BTreeMap<(usize, ObjectId), Crowd>,
    /// Where a holder that may have been the last went, and at which tuple.
    bereft: BTreeMap<(usize, ObjectId), usize>,
}

#[derive(Default)]
struct Crowd {
    /// The first tuple that is one holder more, or else the first that is put.
    at: Option<usize>,
    gained: usize,
    lost: usize,
    seen: HashSet<SubjectKey>,
}

impl Tally<'_> {
    fn count(&mut self, at: usize, number: usize, touched: Touched) {
        let crowd = self.crowds.entry((number, touched.scope)).or_default();
        if !crowd.seen.insert(touched.subject) {
            return;
        }
        match (touched.is_held(self.before, self.now), touched.is_held(self.after, self.now)) {
            (false, true) => {
                if crowd.gained == 0 {
                    crowd.at = Some(at);
                }
                crowd.gained += 1;
            }
            (true, true) => drop(crowd.at.get_or_insert(at)),
            (true, false) => crowd.lost += 1,
            (false, false) => {}
        }
    }

    fn miss(&mut self, at: usize, number: usize, touched: Touched) {
        if touched.keeps(self.before) && !touched.keeps(self.after) {
            self.bereft.entry((number, touched.scope)).or_insert(at);
        }
    }

    fn check(self, look: &mut Look) -> Result<(), (usize, ConstraintError)> {
        let Self { after, crowds, bereft, .. } = self;
        let constraint = |number: usize| after.model().constraints.get(number);
        for ((number, scope), Crowd { at, gained, lost, .. }) in crowds {
            // Fewer than before: whatever is left to be mended, it became better.
            let (Some(at), true) = (at, gained >= lost) else { continue };
            if let Some(constraint) = constraint(number)
                && let ConstraintRule::AtMost { role, count } = constraint.rule
            {
                at_most(constraint, (scope, role, count), after, look).map_err(|e| (at, e))?;
            }
        }
        for ((number, scope), at) in bereft {
            if let Some(constraint) = constraint(number)
                && let ConstraintRule::KeepOne { role } = constraint.rule
            {
                keep_one(constraint, scope, role, after, look).map_err(|error| (at, error))?;
            }
        }
        Ok(())
    }
}

/// Whether somebody is left with the role. Stops at the first.
fn keep_one(
    constraint: &Constraint,
    scope: ObjectId,
    role: NameId,
    snapshot: &Snapshot,
    look: &mut Look,
) -> Result<(), ConstraintError> {
    for binding in snapshot.all_bound(scope, role) {
        look.spend().map_err(|Exhausted| look.too_large(constraint, scope, snapshot))?;
        if keeps(&binding) {
            return Ok(());
        }
    }
    Err(ConstraintError::KeepOne {
        constraint: constraint.name.as_str().into(),
        scope: text(snapshot, scope),
        role: snapshot.model().name_of(role).into(),
    })
}

fn text(snapshot: &Snapshot, id: ObjectId) -> Box<str> {
    snapshot.text_of(id).map(quoted).unwrap_or_default().into()
}

fn subject_text(snapshot: &Snapshot, subject: SubjectKey) -> Box<str> {
    let object = |id| snapshot.text_of(id).map(|text| text.to_string()).unwrap_or_default();
    let model = snapshot.model();
    quoted(&match subject {
        SubjectKey::Object(id) => object(id),
        SubjectKey::All(of) => format!("{}:*", model.type_name(of)),
        SubjectKey::Set(id, name) => format!("{}#{}", object(id), model.name_of(name)),
    })
    .into()
}
