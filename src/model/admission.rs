//! Whether the model lets a tuple be stored. Knows the model alone: cycles, depth and one parent each
//! depend on the other tuples, and are the writer's to check.

use super::form::{
    ConditionId, EdgeDef, FactKind, HAS, Model, NameId, ParameterType, RoleDef, SubjectForm,
    TypeDef, TypeId,
};
use super::limits::CONTEXT_BYTES_MAX;
use super::names::{Name, Object, Subject, quoted};
use super::suggest::did_you_mean;
use super::tuple::{Tuple, TupleCondition};
use super::values::convert;

/// Why the model refuses a tuple. The message names the value, what was expected, and the nearest known
/// name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// A type, role, relation, name or condition that the model does not have: a typo.
    #[error("{0}")]
    Unknown(String),
    /// The model has the role or relation, but not at this type of scope, or not for this subject.
    #[error("{0}")]
    NotBindable(String),
    /// A fact that the scope's type does not declare, or no value of it.
    #[error("{0}")]
    NotAFact(String),
    /// The tuple may not carry this condition, or not with these values.
    #[error("{0}")]
    Condition(String),
}

/// Whether the model lets this tuple be stored.
///
/// # Errors
/// The scope's type has no such role, relation or fact; the subject has a form that it does not admit;
/// or the condition is not allowed there.
pub fn admit(model: &Model, tuple: &Tuple) -> Result<(), NotAdmitted> {
    let key = &tuple.key;
    let (_, def) = type_of(model, key.scope.type_name())?;
    let role = model.name_id(key.role.as_str());
    if role == Some(HAS) {
        return fact(model, def, key.scope.type_name(), tuple);
    }
    let found = role.and_then(|role| {
        let edge = def.edge(role).map(Bindable::Edge);
        edge.or_else(|| def.role(role).map(Bindable::Role))
    });
    let Some(found) = found else { return Err(not_here(model, def, tuple)) };
    subject(model, found, tuple)?;
    match &tuple.condition {
        None => Ok(()),
        Some(held) => condition(model, held, found.conditions(), &tuple.key.role),
    }
}

/// What a tuple's role can be.
#[derive(Clone, Copy)]
enum Bindable<'m> {
    Role(&'m RoleDef),
    Edge(&'m EdgeDef),
}

impl<'m> Bindable<'m> {
    fn conditions(self) -> &'m [ConditionId] {
        match self {
            Self::Role(role) => &role.conditions,
            Self::Edge(edge) => &edge.conditions,
        }
    }
}

fn type_of<'m>(model: &'m Model, name: &str) -> Result<(TypeId, &'m TypeDef), NotAdmitted> {
    let found = model.type_id(name).and_then(|id| Some((id, model.type_def(id)?)));
    found.ok_or_else(|| {
        let names = model.types.iter().filter_map(|def| def.name.as_ref());
        let near = did_you_mean(name, names.map(Name::as_str));
        NotAdmitted::Unknown(format!("`{}` is no type of the model{near}", quoted(name)))
    })
}

/// The scope's type has no such role or relation: another type may have it.
fn not_here(model: &Model, def: &TypeDef, tuple: &Tuple) -> NotAdmitted {
    let (role, scope) = (tuple.key.role.as_str(), tuple.key.scope.type_name());
    let bound = |def: &TypeDef, name: NameId| def.role(name).is_some() || def.edge(name).is_some();
    let names = |def: &TypeDef| {
        let roles = def.roles.iter().map(|role| role.name);
        roles.chain(def.edges.iter().map(|edge| edge.relation)).collect::<Vec<_>>()
    };
    let known: Vec<&str> = names(def).into_iter().map(|name| model.name_of(name)).collect();
    let near = did_you_mean(role, known.iter().copied());
    let elsewhere =
        model.name_id(role).is_some_and(|name| model.types.iter().any(|d| bound(d, name)));
    if elsewhere {
        return NotAdmitted::NotBindable(format!("`{role}` cannot be bound on `{scope}`{near}"));
    }
    NotAdmitted::Unknown(format!("`{role}` is no role or relation of `{scope}`{near}"))
}

fn subject(model: &Model, found: Bindable<'_>, tuple: &Tuple) -> Result<(), NotAdmitted> {
    let subject = &tuple.key.subject;
    let form = match subject {
        Subject::Object(object) => SubjectForm::Object(type_of(model, object.type_name())?.0),
        Subject::All(type_name) => SubjectForm::All(type_of(model, type_name.as_str())?.0),
        Subject::Set(object, name) => {
            let (id, def) = type_of(model, object.type_name())?;
            let known = model.name_id(name.as_str()).filter(|name| def.defs.contains_key(name));
            let Some(known) = known else {
                let names = def.defs.keys().filter(|name| is_named(model, **name));
                let near = did_you_mean(name.as_str(), names.map(|name| model.name_of(*name)));
                let message = format!("`{name}` is no name on `{}`{near}", object.type_name());
                return Err(NotAdmitted::Unknown(message));
            };
            SubjectForm::Set(id, known)
        }
    };
    let (admitted, expected) = match found {
        Bindable::Role(role) => {
            let forms = role.bound_by.iter().map(|form| form_text(model, *form)).collect();
            (role.bound_by.contains(&form), listed(forms))
        }
        Bindable::Edge(edge) => {
            let names = edge.targets.iter().map(|id| model.type_name(*id).to_owned()).collect();
            let fits = matches!(form, SubjectForm::Object(id) if edge.targets.contains(&id));
            (fits, listed(names))
        }
    };
    if admitted {
        return Ok(());
    }
    let (role, scope) = (&tuple.key.role, tuple.key.scope.type_name());
    let subject = quoted(&subject.to_string());
    let message = format!("`{subject}` cannot be bound to `{role}` on `{scope}`: {expected}");
    Err(NotAdmitted::NotBindable(message))
}

fn is_named(model: &Model, name: NameId) -> bool {
    model.name_id(model.name_of(name)) == Some(name)
}

fn form_text(model: &Model, form: SubjectForm) -> String {
    match form {
        SubjectForm::Object(at) => model.type_name(at).to_owned(),
        SubjectForm::All(at) => format!("{}:*", model.type_name(at)),
        SubjectForm::Set(at, name) => {
            format!("{}#{}", model.type_name(at), model.name_of(name))
        }
    }
}

/// The first few of what was expected.
fn listed(mut forms: Vec<String>) -> String {
    const SHOWN_MAX: usize = 8;
    let more = if forms.len() > SHOWN_MAX { ", ..." } else { "" };
    forms.truncate(SHOWN_MAX);
    if forms.is_empty() {
        return "nothing can be".to_owned();
    }
    format!("expected {}{more}", forms.join(", "))
}

fn fact(model: &Model, def: &TypeDef, scope: &str, tuple: &Tuple) -> Result<(), NotAdmitted> {
    let refused = |message| Err(NotAdmitted::NotAFact(message));
    let feature = match &tuple.key.subject {
        Subject::Object(object) if object.type_name() == "feature" => object,
        other => {
            let other = quoted(&other.to_string());
            return refused(format!("`{other}` is no fact: expected `feature:...`"));
        }
    };
    let (text, member) = match feature.id().split_once(':') {
        Some((text, member)) => (text, Some(member)),
        None => (feature.id(), None),
    };
    let declared = || def.facts.iter().filter_map(|id| model.fact(*id));
    let Some(found) = declared().find(|fact| fact.name.as_str() == text) else {
        let near = did_you_mean(text, declared().map(|fact| fact.name.as_str()));
        return refused(format!("`{}` is no fact of `{scope}`{near}", quoted(text)));
    };
    if let Some(message) = misfit(&found.kind, text, member, feature) {
        return refused(message);
    }
    if tuple.condition.is_some() {
        return Err(NotAdmitted::Condition("a fact carries no condition".to_owned()));
    }
    Ok(())
}

/// What is wrong with a fact's member, if something is.
fn misfit(kind: &FactKind, text: &str, member: Option<&str>, feature: &Object) -> Option<String> {
    let member = member.filter(|member| !member.is_empty());
    match kind {
        FactKind::Flag if feature.id() == text => None,
        FactKind::Flag => Some(format!("`{text}` is a flag: expected `feature:{text}`")),
        FactKind::Set if member.is_some() => None,
        FactKind::Set => Some(format!("`{text}` is a set: expected `feature:{text}:MEMBER`")),
        FactKind::OneOf(values) if values.contains(feature) => None,
        FactKind::OneOf(values) => {
            let skip = text.len() + 1;
            let known: Vec<&str> = values.iter().filter_map(|v| v.id().get(skip..)).collect();
            let value = member.unwrap_or_default();
            let near = did_you_mean(value, known.iter().copied());
            let (value, known) = (quoted(value), known.join(", "));
            Some(format!("`{value}` is no value of `{text}`: expected one of {known}{near}"))
        }
    }
}

fn condition(
    model: &Model,
    held: &TupleCondition,
    allowed: &[ConditionId],
    role: &Name,
) -> Result<(), NotAdmitted> {
    let Some(id) = model.condition_id(held.name.as_str()) else {
        let near =
            did_you_mean(held.name.as_str(), model.conditions.iter().map(|c| c.name.as_str()));
        let message = format!("`{}` is no condition of the model{near}", held.name);
        return Err(NotAdmitted::Unknown(message));
    };
    let refused = |message| Err(NotAdmitted::Condition(message));
    if !allowed.contains(&id) {
        return refused(format!("a tuple of `{role}` cannot carry the condition `{}`", held.name));
    }
    let Some(def) = model.condition(id) else { return Ok(()) };
    let mut bytes = 0_usize;
    for (name, value) in &held.context {
        let Some(kind) = def.parameters.get(name) else {
            let near = did_you_mean(name, def.parameters.keys().map(String::as_str));
            let (shown, of) = (quoted(name), &held.name);
            return refused(format!("`{shown}` is no parameter of the condition `{of}`{near}"));
        };
        let text = value.to_string();
        bytes = bytes.saturating_add(name.len()).saturating_add(text.len());
        if !kind.admits(value) {
            let text = quoted(&text);
            return refused(format!(
                "`{text}` does not fit the parameter `{name}`: expected {kind}"
            ));
        }
    }
    if bytes > CONTEXT_BYTES_MAX {
        return refused(format!("the context is larger than {CONTEXT_BYTES_MAX} bytes"));
    }
    Ok(())
}

impl ParameterType {
    /// Whether a JSON value can be converted to this type.
    #[must_use]
    pub fn admits(&self, value: &serde_json::Value) -> bool {
        convert(value, self).is_some()
    }
}

impl std::fmt::Display for ParameterType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Uint => f.write_str("uint"),
            Self::Double => f.write_str("double"),
            Self::String => f.write_str("string"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            Self::List(of) => write!(f, "list<{of}>"),
            Self::Map(of) => write!(f, "map<{of}>"),
        }
    }
}
