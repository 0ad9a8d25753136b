//! Compiles a model directory into the general form: the order of the steps, and the digest. Each step
//! is a file of its own.

mod build;
mod chains;
mod columns;
mod condition;
mod constraints;
mod cost;
mod declare;
mod delegation;
mod draft;
mod fixpoint;
mod hierarchy;
mod kind;
mod lift;
mod lower;
mod regex_cost;
mod resolve;
mod rows;
mod signatures;
mod typing;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use self::draft::Draft;
use self::rows::Listed;
pub use self::written::Written;
use super::files::{MODEL_FILE, SourceFiles};
use super::form::{Constraint, DefKind, Delegation, Matrix, Model, NameId, Permission};
use super::problem::{Position, Problems, Report};
use super::read;
use super::source::Source;

/// The value of a model's parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParameterValue {
    /// For `parameter(name)` and for a matrix' cell.
    Bool(bool),
    /// Row patterns.
    Patterns(Vec<String>),
}

impl ParameterValue {
    fn is_bool(&self) -> bool {
        matches!(self, Self::Bool(_))
    }
}

/// Checks a model directory as a whole and compiles it. `overrides` replace the values of parameters.
///
/// # Errors
/// Every problem of the model that can be found, in the order of its text.
pub fn load(
    files: &SourceFiles,
    overrides: &BTreeMap<String, ParameterValue>,
) -> Result<Model, Problems> {
    loaded(files, overrides, false).map(|(model, _)| model)
}

/// The same with what the author wrote, for comparing models. Costs what the cells are more.
///
/// # Errors
/// As of [`load`].
pub fn load_written(
    files: &SourceFiles,
    overrides: &BTreeMap<String, ParameterValue>,
) -> Result<(Model, Written), Problems> {
    loaded(files, overrides, true)
}

fn loaded(
    files: &SourceFiles,
    overrides: &BTreeMap<String, ParameterValue>,
    wants_written: bool,
) -> Result<(Model, Written), Problems> {
    let mut report = Report::default();
    let Some(text) = files.get(MODEL_FILE) else {
        report.push(&Position::start(MODEL_FILE), format!("there is no file `{MODEL_FILE}`"));
        return report.finish(None);
    };
    let source = read::read(text, &mut report);
    let Compiled { draft, listed, matrices, delegation, constraints, written } =
        compile(&source, files, overrides, report, wants_written);
    let Draft { report, names, types, facts, conditions, type_ids, .. } = draft;
    let mut permissions = BTreeMap::new();
    let mut is_permission = vec![false; names.texts.len()];
    for (id, Listed { section, at, .. }) in listed {
        let at = at.into_iter().collect();
        if let Some(name) = names.texts.get(id.0 as usize) {
            permissions.insert(name.clone(), Permission { name: id, section, at });
        }
        if let Some(is_permission) = is_permission.get_mut(id.0 as usize) {
            *is_permission = true;
        }
    }
    let counted = counted(&source, files);
    let model = Model {
        digest: digest(&counted, files, overrides),
        files: counted.into_iter().map(str::to_owned).collect(),
        name: source.name,
        types,
        facts,
        conditions,
        permissions,
        matrices,
        delegation,
        constraints,
        names: names.texts,
        is_permission,
        name_ids: names.ids,
        type_ids,
    };
    report.finish(Some((model, written)))
}

struct Compiled {
    draft: Draft,
    listed: BTreeMap<NameId, Listed>,
    matrices: Vec<Matrix>,
    delegation: Delegation,
    constraints: Vec<Constraint>,
    written: Written,
}

fn compile(
    source: &Source,
    files: &SourceFiles,
    overrides: &BTreeMap<String, ParameterValue>,
    report: Report,
    wants_written: bool,
) -> Compiled {
    let mut draft = Draft::new();
    draft.report = report;
    let mut listed = BTreeMap::new();
    // Names first, each kind before those that name it; then what they mean.
    declare::parameters(&source.parameters, overrides, &mut draft);
    condition::conditions(&source.conditions, &mut draft);
    declare::types(&source.types, &mut draft);
    declare::facts(&source.facts, &mut draft);
    declare::roles(&source.roles, &mut draft);
    let constraints = constraints::constraints(&source.constraints, &mut draft);
    let open = delegation::open(source.delegation.as_ref(), files, &mut draft);
    let plans = rows::plan(&source.matrices, files, &mut listed, &mut draft);
    let mut entries =
        lower::declare(&source.permissions, DefKind::Permission, &mut listed, &mut draft);
    entries.extend(lower::declare(&source.names, DefKind::Computed, &mut listed, &mut draft));
    declare::bound_by(source, &mut draft);
    let mut resolved = lower::resolve(source, plans, open, entries, &listed, &mut draft);
    lower::check_listed(&listed, &mut draft);
    let matrices = std::mem::take(&mut resolved.matrices);
    // What is missing would show as cycles and empty definitions: no second message for one fault.
    let mut delegation = Delegation::default();
    let mut written = Written::default();
    if draft.report.is_empty() {
        if wants_written {
            written = written::written(source, &resolved, &listed, &draft);
        }
        let mut defs = lower::define(&resolved, &listed, &mut draft);
        delegation = delegation::define(resolved.delegation, &mut defs, &mut draft);
        lift::within(&mut defs, &mut draft);
        fixpoint::check(&defs, &mut draft);
    }
    Compiled { draft, listed, matrices, delegation, constraints, written }
}

/// The files that the model is made of. `tests.yaml` and files that neither a matrix nor the
/// delegation names do not count.
fn counted<'a>(source: &'a Source, files: &SourceFiles) -> BTreeSet<&'a str> {
    let named = source.matrices.iter().map(|matrix| matrix.file.text.as_str());
    let delegation = source.delegation.iter().map(|delegation| delegation.file.text.as_str());
    let counted = named.chain(delegation).chain([MODEL_FILE]);
    counted.filter(|name| files.get(name).is_some()).collect()
}

/// SHA-256 over the files that the model is made of, each with its name and length, and over the
/// parameters set from outside.
fn digest(
    counted: &BTreeSet<&str>,
    files: &SourceFiles,
    overrides: &BTreeMap<String, ParameterValue>,
) -> String {
    let mut hash = Sha256::new();
    let mut field = |bytes: &[u8]| {
        hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(bytes);
    };
    field(b"bailiwick model 1");
    for (name, text) in counted.iter().filter_map(|name| Some((name, files.get(name)?))) {
        field(b"file");
        field(name.as_bytes());
        field(text.as_bytes());
    }
    for (name, value) in overrides {
        field(b"parameter");
        field(name.as_bytes());
        match value {
            ParameterValue::Bool(value) => field(if *value { b"yes" } else { b"no" }),
            ParameterValue::Patterns(patterns) => {
                field(b"patterns");
                patterns.iter().for_each(|pattern| field(pattern.as_bytes()));
            }
        }
    }
    let mut text = String::new();
    for byte in hash.finalize() {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
