//! What can be said of a model before any question: which subject sets can be found from the subject
//! upwards, and which values a subject can only have by being bound somewhere.

use std::collections::HashSet;

use rustc_hash::FxHashSet;

use super::reach::Map;
use super::rough::Rough;
use crate::model::form::{Expr, Model, NameId, SubjectForm, TypeDef, TypeId};

/// Static knowledge about one model.
///
/// Invariant *plain*: for `(T, n)` in `plain`, tuples may carry `y#n` as their subject; V(u, n, y) at any
/// y of type T is V(u, here(n), y); and each subject set that n's tuples may carry is plain too. So the
/// sets a subject is in are found from the subject, by as many steps as it has groups, whoever else is
/// bound there.
#[derive(Debug)]
pub struct Plan {
    plain: FxHashSet<(TypeId, NameId)>,
    /// The names in `plain`.
    plain_roles: Vec<NameId>,
    /// The same, roughly.
    roughly_plain: Rough,
    /// Those of them that are nothing else at any type.
    plain_everywhere: Vec<NameId>,
    /// Tuples of plain roles may carry sets.
    has_nested_sets: bool,
    bounded: HashSet<(TypeId, NameId)>,
    /// By type, which subject sets its roles' tuples may carry.
    sets: Vec<Option<BoundSets>>,
    /// By type, its roles in the order of their ids.
    roles: Vec<Vec<NameId>>,
    /// Some definition asks linked subjects.
    has_links: bool,
    /// The names that are a union of roles here and above.
    map: Map,
    has_short_ways: bool,
}

/// The subject sets that the roles of a type admit, of which there are some.
#[derive(Debug, Clone, Copy)]
pub(super) struct BoundSets {
    /// Each of them is plain.
    pub(super) are_plain: bool,
}

impl Plan {
    /// Looks the model through once. Costs a few passes over its definitions.
    #[must_use]
    pub fn new(model: &Model) -> Self {
        let plain = plain_sets(model);
        let mut plain_roles: Vec<NameId> = plain.iter().map(|(_, name)| *name).collect();
        plain_roles.sort_unstable();
        plain_roles.dedup();
        let is_other = |role: NameId| {
            types(model).any(|(at, def)| {
                let is_plain = plain.contains(&(at, role));
                def.edge(role).is_some() || def.role(role).is_some() && !is_plain
            })
        };
        let mut plain_everywhere = plain_roles.clone();
        plain_everywhere.retain(|role| !is_other(*role));
        let has_nested_sets = plain.iter().any(|(at, role)| {
            let def = model.type_def(*at).and_then(|def| def.role(*role));
            def.is_some_and(|role| {
                role.bound_by.iter().any(|form| matches!(form, SubjectForm::Set(..)))
            })
        });
        let sets = model.types.iter().map(|def| bound_sets(def, &plain)).collect();
        let roles = model.types.iter().map(|def| {
            let mut roles: Vec<NameId> = def.roles.iter().map(|role| role.name).collect();
            roles.sort_unstable();
            roles
        });
        Self {
            map: Map::new(model, &plain),
            has_short_ways: true,
            plain,
            roughly_plain: Rough::of(plain_roles.iter().copied()),
            plain_roles,
            plain_everywhere,
            has_nested_sets,
            bounded: bounded_names(model),
            sets,
            roles: roles.collect(),
            has_links: has_links(model),
        }
    }

    /// A plan without short ways: every question is evaluated. What the short ways are held against.
    #[must_use]
    pub fn without_short_ways(model: &Model) -> Self {
        Self { has_short_ways: false, ..Self::new(model) }
    }

    /// Whether what is known of unions may be used.
    pub(super) fn has_short_ways(&self) -> bool {
        self.has_short_ways
    }

    /// The names that are a union of roles here and above, and what they ask where.
    pub(super) fn map(&self) -> &Map {
        &self.map
    }

    /// Whether a role may be bound for sets that cannot be found from a subject upwards.
    pub(super) fn has_other_sets(&self) -> bool {
        self.sets.iter().flatten().any(|sets| !sets.are_plain)
    }

    /// The subject sets that may be bound on a type; `None` if there are none.
    pub(super) fn sets_bound_on(&self, at: TypeId) -> Option<BoundSets> {
        self.sets.get(usize::from(at.0)).copied().flatten()
    }

    /// The roles that are bound on a type, in the order of their ids.
    pub(super) fn roles_of(&self, at: TypeId) -> &[NameId] {
        self.roles.get(usize::from(at.0)).map_or(&[], Vec::as_slice)
    }

    /// Whether a subject may have a value through another one.
    pub(super) fn has_links(&self) -> bool {
        self.has_links
    }

    pub(super) fn is_plain(&self, at: TypeId, name: NameId) -> bool {
        self.plain.contains(&(at, name))
    }

    /// Whether a plain set may be in another.
    #[inline]
    pub(super) fn has_nested_sets(&self) -> bool {
        self.has_nested_sets
    }

    /// Whether each tuple of this role brings its subject into a plain set, whatever the type.
    #[inline]
    pub(super) fn is_plain_everywhere(&self, role: NameId) -> bool {
        self.plain_everywhere.contains(&role)
    }

    /// Whether tuples of this role may bring a subject into plain sets. Never wrongly no.
    #[inline]
    pub(super) fn may_be_plain(&self, role: NameId) -> bool {
        self.roughly_plain.may_have(role)
    }

    /// The roles by whose tuples a subject comes into plain sets.
    pub(super) fn plain_roles(&self) -> &[NameId] {
        &self.plain_roles
    }

    /// Whether V(u, expr, s) being yes, no target named, implies that a tuple binds u
    /// or one linked with it, a set with u in it, or all of u's
    /// type, somewhere that the expression leads to.
    pub(super) fn is_bounded(&self, model: &Model, at: TypeId, expr: &Expr) -> bool {
        bounded(model, &self.bounded, at, expr)
    }
}

fn types(model: &Model) -> impl Iterator<Item = (TypeId, &TypeDef)> {
    (0u16..).map(TypeId).zip(&model.types)
}

fn bound_sets(def: &TypeDef, plain: &FxHashSet<(TypeId, NameId)>) -> Option<BoundSets> {
    let forms = def.roles.iter().flat_map(|role| &role.bound_by);
    let mut sets = forms.filter_map(|form| match form {
        SubjectForm::Set(at, name) => Some(plain.contains(&(*at, *name))),
        SubjectForm::Object(_) | SubjectForm::All(_) => None,
    });
    let first = sets.next()?;
    Some(BoundSets { are_plain: first && sets.all(|is_plain| is_plain) })
}

fn has_links(model: &Model) -> bool {
    fn within(expr: &Expr) -> bool {
        match expr {
            Expr::As { .. } => true,
            Expr::Any(parts) | Expr::All(parts) => parts.iter().any(within),
            Expr::Except(left, right) => within(left) || within(right),
            Expr::OfTarget(inner) => within(inner),
            _ => false,
        }
    }
    model.types.iter().flat_map(|def| def.defs.values()).any(|def| within(&def.expr))
}

fn is_here(expr: &Expr, name: NameId) -> bool {
    match expr {
        Expr::Here(role) => *role == name,
        Expr::Any(parts) | Expr::All(parts) => {
            matches!(parts.as_slice(), [one] if is_here(one, name))
        }
        _ => false,
    }
}

fn plain_sets(model: &Model) -> FxHashSet<(TypeId, NameId)> {
    let roles = model.types.iter().flat_map(|def| &def.roles);
    let forms = roles.flat_map(|role| &role.bound_by);
    let carried: FxHashSet<(TypeId, NameId)> = forms
        .filter_map(|form| match form {
            SubjectForm::Set(at, name) => Some((*at, *name)),
            SubjectForm::Object(_) | SubjectForm::All(_) => None,
        })
        .collect();
    let mut plain = FxHashSet::default();
    for (at, def) in types(model) {
        for role in def.roles.iter().filter(|role| carried.contains(&(at, role.name))) {
            if def.defs.get(&role.name).is_some_and(|d| is_here(&d.expr, role.name)) {
                plain.insert((at, role.name));
            }
        }
    }
    // The greatest set that keeps the invariant: drop what admits a set that is not plain.
    loop {
        let admits_other = |at: TypeId, name: NameId| {
            let role = model.type_def(at).and_then(|def| def.role(name));
            role.is_some_and(|role| {
                role.bound_by.iter().any(
                    |form| matches!(form, SubjectForm::Set(t, n) if !plain.contains(&(*t, *n))),
                )
            })
        };
        let dropped: Vec<_> = plain.iter().copied().filter(|(t, n)| admits_other(*t, *n)).collect();
        if dropped.is_empty() {
            return plain;
        }
        for name in dropped {
            plain.remove(&name);
        }
    }
}

/// The greatest fixpoint: a name is bounded unless some way to a value above no needs no binding.
fn bounded_names(model: &Model) -> HashSet<(TypeId, NameId)> {
    let mut names: HashSet<(TypeId, NameId)> =
        types(model).flat_map(|(at, def)| def.defs.keys().map(move |name| (at, *name))).collect();
    loop {
        let is_open = |(at, name): &(TypeId, NameId)| {
            model.def(*at, *name).is_some_and(|def| !bounded(model, &names, *at, &def.expr))
        };
        let open: Vec<_> = names.iter().copied().filter(is_open).collect();
        if open.is_empty() {
            return names;
        }
        for name in open {
            names.remove(&name);
        }
    }
}

fn bounded(model: &Model, names: &HashSet<(TypeId, NameId)>, at: TypeId, expr: &Expr) -> bool {
    let holds =
        |at: TypeId, name: NameId| model.def(at, name).is_none() || names.contains(&(at, name));
    let here = |role: &NameId| {
        let sets = model.type_def(at).and_then(|def| def.role(*role));
        sets.is_none_or(|role| {
            role.bound_by.iter().all(|form| match form {
                SubjectForm::Set(t, n) => holds(*t, *n),
                SubjectForm::Object(_) | SubjectForm::All(_) => true,
            })
        })
    };
    match expr {
        Expr::Here(role) => here(role),
        Expr::HereAny(roles) => roles.iter().all(here),
        Expr::Ref(name) => holds(at, *name),
        Expr::Up { relation, name } | Expr::UpAll { relation, name } => {
            let def = model.type_def(at);
            def.into_iter().flat_map(|def| def.leads_to(*relation)).all(|t| holds(t, *name))
        }
        Expr::Any(parts) => parts.iter().all(|part| bounded(model, names, at, part)),
        Expr::All(parts) => parts.iter().any(|part| bounded(model, names, at, part)),
        Expr::Except(left, _) => bounded(model, names, at, left),
        Expr::As { expr, .. } => bounded(model, names, at, expr),
        // In a list, which names no target, it is unknown for everybody alike and lets nobody.
        Expr::SelfIs | Expr::OfTarget(_) => true,
        Expr::Fact(_) | Expr::Standing(_) | Expr::Condition(_) | Expr::Anywhere { .. } => false,
    }
}
