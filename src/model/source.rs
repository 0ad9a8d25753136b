//! `model.yaml` as written: every word with its place, no name resolved yet.

use super::form::ParameterType;
use super::problem::Position;
use super::yaml::{Node, Word};

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) name: String,
    pub(super) parameters: Vec<(Word, ParameterSource)>,
    pub(super) types: Vec<TypeSource>,
    pub(super) facts: Vec<FactSource>,
    pub(super) conditions: Vec<ConditionSource>,
    pub(super) roles: Vec<RoleGroup>,
    pub(super) gates: Vec<(Word, Word)>,
    pub(super) matrices: Vec<MatrixSource>,
    pub(super) asked: Vec<AskedSource>,
    pub(super) permissions: Vec<DefinitionSource>,
    pub(super) names: Vec<DefinitionSource>,
    pub(super) delegation: Option<DelegationSource>,
    pub(super) constraints: Vec<ConstraintSource>,
}

/// A parameter's default.
#[derive(Debug)]
pub(super) enum ParameterSource {
    Bool(bool),
    Patterns(Vec<Word>),
}

#[derive(Debug)]
pub(super) struct TypeSource {
    pub(super) name: Word,
    pub(super) edges: Vec<EdgeSource>,
}

/// A parent (one target, perhaps one of several entries of its relation) or an arrow.
#[derive(Debug)]
pub(super) struct EdgeSource {
    pub(super) relation: Word,
    pub(super) targets: Vec<Word>,
    pub(super) is_parent: bool,
    pub(super) roles_pass: bool,
    /// What was not said agrees with what another entry of the same relation says.
    pub(super) many: Option<bool>,
    pub(super) acyclic: Option<bool>,
    pub(super) conditions: Option<Vec<Word>>,
}

/// A fact that a type declares.
#[derive(Debug)]
pub(super) struct FactSource {
    pub(super) at: Word,
    pub(super) name: Word,
    pub(super) form: FactForm,
}

#[derive(Debug)]
pub(super) enum FactForm {
    Flag,
    Set,
    OneOf(Vec<Word>),
}

#[derive(Debug)]
pub(super) struct ConditionSource {
    pub(super) name: Word,
    /// `None`: of a type that there is not; told already.
    pub(super) parameters: Vec<(Word, Option<ParameterType>)>,
    pub(super) when: Word,
}

#[derive(Debug)]
pub(super) struct RoleGroup {
    pub(super) at: Vec<Word>,
    pub(super) names: Vec<Word>,
    pub(super) bound_by: Option<Vec<Word>>,
    pub(super) conditions: Vec<Word>,
    pub(super) gate: Option<Word>,
    pub(super) gates: Vec<(Word, Word)>,
}

#[derive(Debug)]
pub(super) struct MatrixSource {
    pub(super) name: Word,
    pub(super) file: Word,
    pub(super) at: Vec<Word>,
    pub(super) bound: Option<Word>,
    pub(super) columns: Vec<(Word, Word)>,
    pub(super) gate: Option<Word>,
    pub(super) whole: Vec<Word>,
    pub(super) rows: Vec<RowSource>,
    pub(super) cells: Vec<CellSource>,
}

/// What a pattern of a matrix' `rows` says.
#[derive(Debug)]
pub(super) struct RowSource {
    pub(super) pattern: Word,
    pub(super) at: Option<Vec<Word>>,
    pub(super) reach: Option<Word>,
    pub(super) levels: Option<(i64, Node)>,
}

#[derive(Debug)]
pub(super) struct CellSource {
    pub(super) row: Word,
    pub(super) column: Word,
    pub(super) value: Word,
}

#[derive(Debug)]
pub(super) struct AskedSource {
    pub(super) rows: RowsSource,
    pub(super) gate: Word,
}

#[derive(Debug)]
pub(super) enum RowsSource {
    Patterns(Vec<Word>),
    Parameter(Word),
}

/// An entry of `permissions` or `names`.
#[derive(Debug)]
pub(super) struct DefinitionSource {
    pub(super) name: Word,
    pub(super) at: Vec<Word>,
    pub(super) is: Word,
}

#[derive(Debug)]
pub(super) struct DelegationSource {
    pub(super) file: Word,
    pub(super) verbs: Vec<VerbSource>,
}

#[derive(Debug)]
pub(super) struct VerbSource {
    pub(super) name: Word,
    pub(super) op: Option<Word>,
    /// The relation of `as`.
    pub(super) link: Option<Word>,
    pub(super) gate: Option<Word>,
    /// Gates of the verb with single roles, `role` or `role@type`.
    pub(super) roles: Vec<(Word, Word)>,
}

#[derive(Debug)]
pub(super) struct ConstraintSource {
    pub(super) name: Word,
    pub(super) at: Vec<Word>,
    pub(super) rule: RuleSource,
}

#[derive(Debug)]
pub(super) enum RuleSource {
    OneRole,
    /// The roles, and where the list stands.
    Exclusive(Vec<Word>, Position),
    AtMost {
        role: Word,
        count: i64,
        at: Position,
    },
    KeepOne(Word),
}
