//! Whether the model lets a tuple be stored. Knows the model alone: cycles, depth and one parent each
//! depend on the other tuples, and are the writer's to check.

use super::form::{
    ConditionId, EdgeDef, FactKind, HAS, Model, NameId, ParameterType, RoleDef, SubjectForm,
    TypeDef, TypeId,
};
use super::limits::CONTEXT_BYTES_MAX;
use super::names::{Name, Object, Subject, quoted};
use super::suggest::nearest;
use super::tuple::{Tuple, TupleCondition};
use super::values::convert;

/// Why the model refuses a tuple.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    /// A type, role, relation, name or condition that the model does not have: a typo.
    #[error("{0}")]
    Unknown(Misfit),
    /// The model has the role or relation, but not at this type of scope, or not for this subject.
    #[error("{0}")]
    NotBindable(Misfit),
    /// A fact that the scope's type does not declare, or no value of it.
    #[error("{0}")]
    NotAFact(Misfit),
    /// The tuple may not carry this condition, or not with these values.
    #[error("{0}")]
    Condition(Misfit),
}

impl NotAdmitted {
    /// What does not fit.
    #[must_use]
    pub fn misfit(&self) -> &Misfit {
        let (Self::Unknown(misfit)
        | Self::NotBindable(misfit)
        | Self::NotAFact(misfit)
        | Self::Condition(misfit)) = self;
        misfit
    }
}

/// A value of a tuple that does not fit the model. Its text names the value, what was expected, and the
/// nearest known name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// Where it stands: `scope`, `role`, `subject`, `condition`, `condition.name` or
    /// `condition.context`.
    pub field: &'static str,
    /// What it was taken for: `type`, `role`, `name`, `condition`, `parameter`, `subject` or `fact`.
    pub kind: &'static str,
    /// The value, cut for quoting.
    pub value: String,
    /// The nearest known name.
    pub nearest: Option<String>,
    message: String,
}

impl Misfit {
    fn new(field: &'static str, kind: &'static str, value: &str, message: String) -> Self {
        Self { field, kind, value: quoted(value), nearest: None, message }
    }

    /// Names the nearest of these to the value, if one is near.
    fn near<'a>(self, known: impl IntoIterator<Item = &'a str>) -> Self {
        let near = nearest(&self.value, known).map(str::to_owned);
        Self { nearest: near, ..self }
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

/// Whether the model lets this tuple be stored.
///
/// # Errors
/// The scope's type has no such role, relation or fact; the subject has a form that it does not admit;
/// or the condition is not allowed there.
pub fn admit(model: &Model, tuple: &Tuple) -> Result<(), NotAdmitted> {
    let key = &tuple.key;
    let (_, def) = type_of(model, "scope", key.scope.type_name())?;
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

fn type_of<'m>(
    model: &'m Model,
    field: &'static str,
    name: &str,
) -> Result<(TypeId, &'m TypeDef), NotAdmitted> {
    let found = model.type_id(name).and_then(|id| Some((id, model.type_def(id)?)));
    found.ok_or_else(|| {
        let names = model.types.iter().filter_map(|def| def.name.as_ref());
        let message = format!("`{}` is no type of the model", quoted(name));
        let misfit = Misfit::new(field, "type", name, message);
        NotAdmitted::Unknown(misfit.near(names.map(Name::as_str)))
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
    let misfit = |message| Misfit::new("role", "role", role, message).near(known.iter().copied());
    let elsewhere =
        model.name_id(role).is_some_and(|name| model.types.iter().any(|d| bound(d, name)));
    if elsewhere {
        return NotAdmitted::NotBindable(misfit(format!("`{role}` cannot be bound on `{scope}`")));
    }
    NotAdmitted::Unknown(misfit(format!("`{role}` is no role or relation of `{scope}`")))
}

/// The form of a subject.
///
/// # Errors
/// Its type, or the name of its set, is not the model's.
pub fn form_of(model: &Model, subject: &Subject) -> Result<SubjectForm, NotAdmitted> {
    Ok(match subject {
        Subject::Object(object) => {
            SubjectForm::Object(type_of(model, "subject", object.type_name())?.0)
        }
        Subject::All(of) => SubjectForm::All(type_of(model, "subject", of.as_str())?.0),
        Subject::Set(object, name) => {
            let (id, def) = type_of(model, "subject", object.type_name())?;
            let known = model.name_id(name.as_str()).filter(|name| def.defs.contains_key(name));
            let Some(known) = known else {
                let names = def.defs.keys().filter(|name| is_named(model, **name));
                let message = format!("`{name}` is no name on `{}`", object.type_name());
                let misfit = Misfit::new("subject", "name", name.as_str(), message);
                let misfit = misfit.near(names.map(|name| model.name_of(*name)));
                return Err(NotAdmitted::Unknown(misfit));
            };
            SubjectForm::Set(id, known)
        }
    })
}

fn subject(model: &Model, found: Bindable<'_>, tuple: &Tuple) -> Result<(), NotAdmitted> {
    let subject = &tuple.key.subject;
    let form = form_of(model, subject)?;
    let is_admitted = match (found, form) {
        (Bindable::Role(role), form) => role.bound_by.contains(&form),
        (Bindable::Edge(edge), SubjectForm::Object(id)) => edge.targets.contains(&id),
        (Bindable::Edge(_), _) => false,
    };
    if is_admitted {
        return Ok(());
    }
    let expected = listed(match found {
        Bindable::Role(role) => role.bound_by.iter().map(|form| form_text(model, *form)).collect(),
        Bindable::Edge(edge) => {
            edge.targets.iter().map(|id| model.type_name(*id).to_owned()).collect()
        }
    });
    let (role, scope) = (&tuple.key.role, tuple.key.scope.type_name());
    let (text, subject) = (subject.to_string(), quoted(&subject.to_string()));
    let message = format!("`{subject}` cannot be bound to `{role}` on `{scope}`: {expected}");
    Err(NotAdmitted::NotBindable(Misfit::new("subject", "subject", &text, message)))
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
    let misfit = |value: &str, message| Misfit::new("subject", "fact", value, message);
    let feature = match &tuple.key.subject {
        Subject::Object(object) if object.type_name() == "feature" => object,
        other => {
            let other = other.to_string();
            let message = format!("`{}` is no fact: expected `feature:...`", quoted(&other));
            return Err(NotAdmitted::NotAFact(misfit(&other, message)));
        }
    };
    declared_fact(model, def, scope, feature).map_err(NotAdmitted::NotAFact)?;
    if let Some(held) = &tuple.condition {
        let message = "a fact carries no condition".to_owned();
        let misfit = Misfit::new("condition", "condition", held.name.as_str(), message);
        return Err(NotAdmitted::Condition(misfit));
    }
    Ok(())
}

/// Whether scopes of this type can have this feature; what is wrong with it if not.
pub(super) fn declared_fact(
    model: &Model,
    def: &TypeDef,
    scope: &str,
    feature: &Object,
) -> Result<(), Misfit> {
    let (text, member) = match feature.id().split_once(':') {
        Some((text, member)) => (text, Some(member)),
        None => (feature.id(), None),
    };
    let declared = || def.facts.iter().filter_map(|id| model.fact(*id));
    let Some(found) = declared().find(|fact| fact.name.as_str() == text) else {
        let message = format!("`{}` is no fact of `{scope}`", quoted(text));
        let near = declared().map(|fact| fact.name.as_str());
        return Err(Misfit::new("subject", "fact", text, message).near(near));
    };
    wrong_member(&found.kind, text, member, feature).map_or(Ok(()), Err)
}

/// What is wrong with a fact's member, if something is.
fn wrong_member(
    kind: &FactKind,
    text: &str,
    member: Option<&str>,
    feature: &Object,
) -> Option<Misfit> {
    let value = member.unwrap_or_default();
    let misfit = |message| Some(Misfit::new("subject", "fact", value, message));
    match kind {
        FactKind::Flag if feature.id() == text => None,
        FactKind::Flag => misfit(format!("`{text}` is a flag: expected `feature:{text}`")),
        FactKind::Set if !value.is_empty() => None,
        FactKind::Set => misfit(format!("`{text}` is a set: expected `feature:{text}:MEMBER`")),
        FactKind::OneOf(values) if values.contains(feature) => None,
        FactKind::OneOf(values) => {
            let skip = text.len() + 1;
            let known: Vec<&str> = values.iter().filter_map(|v| v.id().get(skip..)).collect();
            let (shown, expected) = (quoted(value), known.join(", "));
            let message = format!("`{shown}` is no value of `{text}`: expected one of {expected}");
            misfit(message).map(|misfit| misfit.near(known))
        }
    }
}

fn condition(
    model: &Model,
    held: &TupleCondition,
    allowed: &[ConditionId],
    role: &Name,
) -> Result<(), NotAdmitted> {
    let name = held.name.as_str();
    let Some(id) = model.condition_id(name) else {
        let message = format!("`{name}` is no condition of the model");
        let misfit = Misfit::new("condition.name", "condition", name, message);
        let misfit = misfit.near(model.conditions.iter().map(|c| c.name.as_str()));
        return Err(NotAdmitted::Unknown(misfit));
    };
    if !allowed.contains(&id) {
        let message = format!("a tuple of `{role}` cannot carry the condition `{name}`");
        let misfit = Misfit::new("condition.name", "condition", name, message);
        return Err(NotAdmitted::Condition(misfit));
    }
    let parameter =
        |value: &str, message| Misfit::new("condition.context", "parameter", value, message);
    let Some(def) = model.condition(id) else { return Ok(()) };
    let mut bytes = 0_usize;
    for (name, value) in &held.context {
        let Some(kind) = def.parameters.get(name) else {
            let (shown, of) = (quoted(name), &held.name);
            let message = format!("`{shown}` is no parameter of the condition `{of}`");
            let misfit = parameter(name, message);
            let misfit = misfit.near(def.parameters.keys().map(String::as_str));
            return Err(NotAdmitted::Condition(misfit));
        };
        let text = value.to_string();
        bytes = bytes.saturating_add(name.len()).saturating_add(text.len());
        if !kind.admits(value) {
            let shown = quoted(&text);
            let message = format!("`{shown}` does not fit the parameter `{name}`: expected {kind}");
            return Err(NotAdmitted::Condition(parameter(&text, message)));
        }
    }
    if bytes > CONTEXT_BYTES_MAX {
        let message = format!("the context is larger than {CONTEXT_BYTES_MAX} bytes");
        return Err(NotAdmitted::Condition(parameter("", message)));
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
            Self::IpAddress => f.write_str("ipaddress"),
            Self::List(of) => write!(f, "list<{of}>"),
            Self::Map(of) => write!(f, "map<{of}>"),
        }
    }
}
