//! The general form: what every model compiles into, and the only thing that is ever evaluated.
//! DESIGN's definition of a decision gives each node its value; this file holds data and look-ups, no
//! evaluation.
//!
//! Invariant *ids resolve*: every `TypeId`, `NameId`, `FactId` and `ConditionId` inside a [`Model`]
//! is an index into that model's own tables; only compilation makes them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use super::names::{Name, Object};

pub use super::cells::{Cell, Cells};
pub use super::rules::{
    Constraint, ConstraintRule, DelegatedOp, DelegatedVerb, Delegation, DelegationCell,
    DelegationRow, RoleGate,
};

/// A type of this model, as an index into [`Model::types`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u16);

/// A role, relation, permission, computed name or helper of this model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NameId(pub u32);

/// A fact that types may declare, as an index into [`Model::facts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(pub u16);

/// A condition, as an index into [`Model::conditions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionId(pub u16);

/// The type of `feature:...`, the subjects of facts; it exists in every model.
pub const FEATURE: TypeId = TypeId(0);
/// The relation `has` of a fact's tuple; it exists in every model.
pub const HAS: NameId = NameId(0);

/// A node of the general form. Its value is one of no < unknown < yes.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// The role is bound at this very scope.
    Here(NameId),
    /// Some of these roles, two or more, is bound at this very scope: the greatest value of `Here` over
    /// them. In order, and none twice.
    HereAny(Box<[NameId]>),
    /// Another name's value at this scope; no where the scope's type lacks the name.
    Ref(NameId),
    /// The greatest value of `name` over the objects that `relation` leads to.
    Up {
        /// A parent relation or an arrow.
        relation: NameId,
        /// The name asked there.
        name: NameId,
    },
    /// Some object is there, and `name` holds at every one.
    UpAll {
        /// A parent relation or an arrow.
        relation: NameId,
        /// The name asked there.
        name: NameId,
    },
    /// The greatest value; `Any([])` is no.
    Any(Vec<Expr>),
    /// The least value; `All([])` is yes.
    All(Vec<Expr>),
    /// The least of the first and not the second; not unknown is unknown.
    Except(Box<Expr>, Box<Expr>),
    /// A fact of the nearest object at or above this scope whose type declares it.
    Fact(FactTest),
    /// The same of the subject.
    Standing(FactTest),
    /// The subject is this scope.
    SelfIs,
    /// A condition over the request's context.
    Condition(ConditionId),
    /// `name` holds at some scope of this type where the subject has a role bound.
    Anywhere {
        /// The type of the scopes.
        scopes: TypeId,
        /// The name asked at each.
        name: NameId,
    },
    /// The greatest value for the subject and for those linked with it: both stand in tuples of `link` at
    /// one object.
    As {
        /// A relation.
        link: NameId,
        /// What is asked for each.
        expr: Box<Expr>,
    },
    /// The value for the question's target in place of the subject; unknown if it names none.
    OfTarget(Box<Expr>),
}

/// What a fact must be: the feature that must be had.
#[derive(Debug, Clone, PartialEq)]
pub struct FactTest {
    /// The fact: `verified`, `module`, `product`.
    pub fact: FactId,
    /// The feature that must be had: `feature:verified`, `feature:module:stations/find`,
    /// `feature:product:pro`.
    pub feature: Object,
}

/// A fact and its form.
#[derive(Debug, Clone, PartialEq)]
pub struct FactDef {
    /// Its name.
    pub name: Name,
    /// Its form, the same at every type that declares it.
    pub kind: FactKind,
}

/// The three forms of a fact.
#[derive(Debug, Clone, PartialEq)]
pub enum FactKind {
    /// `feature:NAME` is there or not.
    Flag,
    /// Any number of `feature:NAME:MEMBER`.
    Set,
    /// Exactly one of these `feature:NAME:VALUE`; none or several: unknown.
    OneOf(Vec<Object>),
}

/// A condition: CEL over typed parameters.
#[derive(Debug)]
pub struct Condition {
    /// Its name.
    pub name: Name,
    /// Its parameters and their types.
    pub parameters: BTreeMap<String, ParameterType>,
    /// The source text of the expression.
    pub when: String,
    /// The expression, compiled.
    pub program: cel::Program,
    /// The most that evaluating it may cost, in about bytes looked at.
    pub cost: u64,
}

/// The type of a condition's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterType {
    /// true, false
    Bool,
    /// 64 bits, from an integral number or a decimal string.
    Int,
    /// 64 bits, not negative, from an integral number or a decimal string.
    Uint,
    /// From a number.
    Double,
    /// From a string.
    String,
    /// From an RFC 3339 string.
    Timestamp,
    /// From a string such as `90s` or `1h30m`.
    Duration,
    /// From a string such as `10.0.0.1` or `2001:db8::1`.
    IpAddress,
    /// A list of values of one type.
    List(Box<ParameterType>),
    /// A map from strings to values of one type.
    Map(Box<ParameterType>),
}

/// What a subject of a tuple may look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectForm {
    /// A plain object of the type.
    Object(TypeId),
    /// `type:*`.
    All(TypeId),
    /// `type:id#name`.
    Set(TypeId, NameId),
}

/// A role as bound on one type.
#[derive(Debug, Clone, PartialEq)]
pub struct RoleDef {
    /// Its name.
    pub name: NameId,
    /// What may hold it.
    pub bound_by: Vec<SubjectForm>,
    /// Conditions that its tuples may carry.
    pub conditions: Vec<ConditionId>,
    /// That it counts for somebody by a tuple of this very scope: bound here, its own gate fulfilled.
    pub bound_here: Expr,
}

/// A relation from a type to objects: a parent relation or an arrow. One per (type, relation).
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeDef {
    /// Its name.
    pub relation: NameId,
    /// The types it may lead to.
    pub targets: Vec<TypeId>,
    /// Those of them whose roles count here too; empty for an arrow.
    pub passing: Vec<TypeId>,
    /// A parent relation: part of the hierarchy (facts and depth follow it).
    pub is_parent: bool,
    /// More than one target is allowed.
    pub many: bool,
    /// Takes part in the rule that parent relations are acyclic together. False for every arrow.
    pub acyclic: bool,
    /// The most acyclic edges of a chain through one of its tuples, by the types alone; `None`: no bound.
    pub longest_chain: Option<usize>,
    /// Conditions that its tuples may carry.
    pub conditions: Vec<ConditionId>,
}

/// What a name means at one type.
#[derive(Debug, Clone, PartialEq)]
pub struct Def {
    /// Its value.
    pub expr: Expr,
    /// What it is for.
    pub kind: DefKind,
}

/// What a definition is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefKind {
    /// A role, held here or above.
    Role,
    /// A permission that may be asked at this type.
    Permission,
    /// A computed name of the author's.
    Computed,
    /// Made by compilation; cannot be named from outside.
    Helper,
}

/// A type of object.
#[derive(Debug, Clone, Default)]
pub struct TypeDef {
    /// Its name; empty only in the default.
    pub name: Option<Name>,
    /// Its parent relations and arrows.
    pub edges: Vec<EdgeDef>,
    /// The roles that are bound on it, in the author's order.
    pub roles: Vec<RoleDef>,
    /// The facts that it declares.
    pub facts: Vec<FactId>,
    /// Every name with a meaning here.
    pub defs: FxHashMap<NameId, Def>,
    /// Where each of `roles` stands.
    pub(super) role_places: FxHashMap<NameId, usize>,
}

/// A permission, as GetModel and the matrix show it.
#[derive(Debug, Clone)]
pub struct Permission {
    /// Its name.
    pub name: NameId,
    /// The section of the matrix it stands in; may be empty.
    pub section: String,
    /// The types at which it may be asked.
    pub at: Vec<TypeId>,
}

/// A matrix as a document.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Its name.
    pub name: String,
    /// Its columns, in the file's order; derived whole columns first.
    pub columns: Vec<Column>,
    /// Its rows, in the file's order.
    pub rows: Vec<Row>,
}

/// A column of a matrix: a role bound on a type.
#[derive(Debug, Clone)]
pub struct Column {
    /// The header.
    pub label: String,
    /// The role.
    pub role: NameId,
    /// The type it is bound on.
    pub bound: TypeId,
}

/// A row of a matrix: a permission.
#[derive(Debug, Clone)]
pub struct Row {
    /// The permission.
    pub permission: NameId,
    /// A cell per column.
    pub cells: Cells,
}

/// A compiled model: immutable, named by its digest.
#[derive(Debug)]
pub struct Model {
    /// The name the author gave it.
    pub name: String,
    /// SHA-256 of its canonical files, in lower-case hex.
    pub digest: String,
    /// The names of the files that it is made of, in byte order.
    pub files: Vec<String>,
    /// Its types; index 0 is `feature`.
    pub types: Vec<TypeDef>,
    /// Its facts.
    pub facts: Vec<FactDef>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// Its permissions, by name.
    pub permissions: BTreeMap<Name, Permission>,
    /// Its matrices, in the author's order.
    pub matrices: Vec<Matrix>,
    /// Who may give, take and change which roles; empty if the model says nothing of it.
    pub delegation: Delegation,
    /// Rules that hold at scopes whatever is delegated, in the author's order.
    pub constraints: Vec<Constraint>,
    pub(crate) names: Vec<Name>,
    /// By name, whether it is a permission's.
    pub(crate) is_permission: Vec<bool>,
    // Hashed without a key: only the author of a model puts names in.
    pub(crate) name_ids: FxHashMap<Name, NameId>,
    pub(crate) type_ids: FxHashMap<Name, TypeId>,
}

impl Model {
    /// The type of this name.
    #[must_use]
    pub fn type_id(&self, name: &str) -> Option<TypeId> {
        self.type_ids.get(name).copied()
    }

    /// The id of this role, relation, permission or computed name.
    #[must_use]
    pub fn name_id(&self, name: &str) -> Option<NameId> {
        self.name_ids.get(name).copied()
    }

    /// The id of this permission.
    #[must_use]
    pub fn permission_id(&self, name: &str) -> Option<NameId> {
        let id = self.name_id(name)?;
        self.is_permission.get(id.0 as usize).copied().unwrap_or(false).then_some(id)
    }

    /// The text of a name; empty for an id of another model.
    #[must_use]
    pub fn name_of(&self, id: NameId) -> &str {
        self.names.get(id.0 as usize).map_or("", Name::as_str)
    }

    /// A type's definition.
    #[must_use]
    pub fn type_def(&self, id: TypeId) -> Option<&TypeDef> {
        self.types.get(usize::from(id.0))
    }

    /// The text of a type's name; empty for an id of another model.
    #[must_use]
    pub fn type_name(&self, id: TypeId) -> &str {
        self.type_def(id).and_then(|def| def.name.as_ref()).map_or("", Name::as_str)
    }

    /// What a name means at a type.
    #[must_use]
    pub fn def(&self, at: TypeId, name: NameId) -> Option<&Def> {
        self.type_def(at)?.defs.get(&name)
    }

    /// A fact's definition.
    #[must_use]
    pub fn fact(&self, id: FactId) -> Option<&FactDef> {
        self.facts.get(usize::from(id.0))
    }

    /// A condition's definition.
    #[must_use]
    pub fn condition(&self, id: ConditionId) -> Option<&Condition> {
        self.conditions.get(usize::from(id.0))
    }

    /// The verb of delegation of this name.
    #[must_use]
    pub fn delegated_verb(&self, name: &str) -> Option<&DelegatedVerb> {
        self.delegation.verbs.iter().find(|verb| verb.name.as_str() == name)
    }

    /// The verb that does this, if the model has one.
    #[must_use]
    pub fn verb_that(&self, op: DelegatedOp) -> Option<&DelegatedVerb> {
        self.delegation.verbs.iter().find(|verb| verb.op == Some(op))
    }

    /// The condition of this name.
    #[must_use]
    pub fn condition_id(&self, name: &str) -> Option<ConditionId> {
        let at = self.conditions.iter().position(|c| c.name.as_str() == name)?;
        u16::try_from(at).ok().map(ConditionId)
    }
}

impl TypeDef {
    /// The role of this name, if it is bound on this type.
    #[must_use]
    pub fn role(&self, name: NameId) -> Option<&RoleDef> {
        self.roles.get(*self.role_places.get(&name)?)
    }

    /// Adds a role that is not there yet.
    pub(super) fn add_role(&mut self, role: RoleDef) {
        self.role_places.insert(role.name, self.roles.len());
        self.roles.push(role);
    }

    /// The relation of this name.
    #[must_use]
    pub fn edge(&self, relation: NameId) -> Option<&EdgeDef> {
        self.edges.iter().find(|edge| edge.relation == relation)
    }

    /// The types of the plain objects that tuples of this name lead to: those of a relation or, where a role
    /// has the name of another type's relation, those that may bear the role.
    pub fn leads_to(&self, name: NameId) -> impl Iterator<Item = TypeId> {
        let targets = self.edge(name).into_iter().flat_map(|edge| edge.targets.iter().copied());
        let bearers = self.role(name).into_iter().flat_map(|role| &role.bound_by);
        targets.chain(bearers.filter_map(|form| match form {
            SubjectForm::Object(of) => Some(*of),
            SubjectForm::All(_) | SubjectForm::Set(..) => None,
        }))
    }
}
