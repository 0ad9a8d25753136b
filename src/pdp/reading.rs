//! A read bound to one revision and one moment.

use std::sync::Arc;

use super::{FilterError, Published, Token};
use crate::engine::{
    self, CheckedContext, ContextualError, Decision, DelegatedQuestion, EngineError, ListQuestion,
    Question, QuestionError, Reason, RoleList, RolesQuestion, SubjectList,
};
use crate::index::{Binding, HierarchyError, Part, Position, Snapshot, SubjectKey};
use crate::model::admission::{Misfit, form_of};
use crate::model::form::{HAS, Model, NameId, SubjectForm, TypeDef, TypeId};
use crate::model::names::{Name, Object, Subject, quoted};
use crate::model::shape::Shape;
use crate::model::suggest::nearest;
use crate::model::tuple::{Time, Tuple, TupleKey};
use crate::store::ModelSince;
use crate::telemetry::figures::{Outcome, Work};

/// A read bound to one revision and one moment: everything asked of it has one answer.
#[derive(Debug, Clone)]
pub struct Reading {
    published: Arc<Published>,
    now: Time,
    /// The snapshot with contextual tuples over it, if there are any.
    contextual: Option<Arc<Snapshot>>,
}

/// Which tuples. `None` matches all; what is set must all match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TupleFilter {
    /// The type of the scope.
    pub scope_type: Option<String>,
    /// The scope.
    pub scope: Option<String>,
    /// The role or relation.
    pub role: Option<String>,
    /// The type of the subject, of whatever form.
    pub subject_type: Option<String>,
    /// The subject, as it stands in the tuple.
    pub subject: Option<String>,
    /// The source.
    pub source: Option<String>,
}

impl Reading {
    pub(super) fn new(published: Arc<Published>, now: Time) -> Self {
        Self { published, now, contextual: None }
    }

    /// The same reading with these tuples as if they had been committed: questions and lists see them,
    /// [`Reading::tuples`] does not. They take the place of those that it had. See
    /// [`engine::with_contextual`] for what they must be, and what they cost.
    ///
    /// # Errors
    /// A commit would refuse them, or there are too many.
    pub fn with_contextual(self, tuples: &[Tuple]) -> Result<Self, ContextualError> {
        let merged = engine::with_contextual(&self.published.snapshot, tuples, self.now)?;
        Ok(Self { contextual: Some(Arc::new(merged)), ..self })
    }

    /// The same at once, if that looks at no more than so many stored tuples. `None`: it looks at more.
    ///
    /// # Errors
    /// As of [`Reading::with_contextual`].
    pub fn with_contextual_within(
        &self,
        tuples: &[Tuple],
        walk: usize,
    ) -> Option<Result<Self, ContextualError>> {
        let snapshot = &self.published.snapshot;
        match engine::with_contextual_within(snapshot, tuples, self.now, walk) {
            Err(ContextualError::Hierarchy { error: HierarchyError::TooLarge { .. }, .. }) => None,
            Err(error) => Some(Err(error)),
            Ok(merged) => Some(Ok(Self { contextual: Some(Arc::new(merged)), ..self.clone() })),
        }
    }

    /// What questions are asked of.
    fn snapshot(&self) -> &Snapshot {
        self.contextual.as_deref().unwrap_or(&self.published.snapshot)
    }

    pub(super) fn published(&self) -> &Arc<Published> {
        &self.published
    }

    /// The model in force.
    #[must_use]
    pub fn model(&self) -> &Arc<Model> {
        self.published.snapshot.model()
    }

    /// The commit that put the model in force, if the store says which.
    #[must_use]
    pub fn model_since(&self) -> Option<ModelSince> {
        self.published.model_since
    }

    /// The revision, as a token.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.published.named().token
    }

    /// The same as text. Made once for a revision.
    #[must_use]
    pub fn token_text(&self) -> &str {
        &self.published.named().text
    }

    /// The moment that everything is asked at.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// How many tuples are stored, expired ones too.
    #[must_use]
    pub fn tuple_count(&self) -> usize {
        self.published.snapshot.len()
    }

    /// Reads and resolves a question against the model in force.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub fn question<'q>(
        &self,
        subject: &'q str,
        permission: &str,
        scope: &'q str,
        context: CheckedContext,
    ) -> Result<Question<'q>, QuestionError> {
        Question::parse(self.model(), subject, permission, scope, context)
    }

    /// Decides.
    ///
    /// # Errors
    /// A limit was hit and decides.
    pub fn check(
        &self,
        question: &Question<'_>,
        with_grant: bool,
    ) -> Result<Decision, EngineError> {
        let plan = &self.published.plan;
        let decided = engine::check(self.snapshot(), plan, question, self.now, with_grant);
        self.published.work.decided(outcome(&decided));
        decided
    }

    /// Decides if that takes no more steps than there are left; they become fewer. `None`: it takes more.
    ///
    /// # Errors
    /// A limit was hit and decides.
    pub fn check_within(
        &self,
        question: &Question<'_>,
        with_grant: bool,
        left: &mut u64,
    ) -> Option<Result<Decision, EngineError>> {
        let (snapshot, plan) = (self.snapshot(), &self.published.plan);
        let decided = engine::check_within(snapshot, plan, question, self.now, with_grant, left)?;
        self.published.work.decided(outcome(&decided));
        Some(decided)
    }

    /// Many questions, each decided as [`Reading::check`] would, sooner than one after the other.
    #[must_use]
    pub fn series(&self) -> Series<'_> {
        let asked = engine::Series::new(self.snapshot(), &self.published.plan, self.now);
        Series { asked, work: &self.published.work }
    }

    /// Decides a delegated question.
    ///
    /// # Errors
    /// A limit was hit and decides.
    pub fn delegated(&self, question: &DelegatedQuestion) -> Result<Decision, EngineError> {
        let plan = &self.published.plan;
        let decided = engine::delegated(self.snapshot(), plan, question, self.now);
        self.published.work.decided(outcome(&decided));
        decided
    }

    /// Everybody of a type who may do this here, in byte order of their names, one by one. Computed as
    /// it is consumed (blocking work: not on an async thread).
    ///
    /// # Errors
    /// The question's.
    pub fn list_subjects(
        &self,
        permission: &str,
        scope: &str,
        subject_type: &str,
        context: CheckedContext,
    ) -> Result<SubjectList, QuestionError> {
        let question = ListQuestion::parse(self.model(), permission, scope, subject_type, context)?;
        let (snapshot, plan) = (self.snapshot().clone(), Arc::clone(&self.published.plan));
        Ok(SubjectList::new(snapshot, plan, question, self.now))
    }

    /// Where somebody is assigned, in byte order of scopes and roles, one by one. Computed as it is consumed
    /// (blocking work: not on an async thread).
    ///
    /// # Errors
    /// A limit was hit, and what lies beyond it would be listed.
    pub fn list_roles(&self, question: RolesQuestion) -> Result<RoleList, EngineError> {
        let (snapshot, plan) = (self.snapshot().clone(), Arc::clone(&self.published.plan));
        RoleList::new(snapshot, plan, question, self.now)
    }

    /// The stored tuples that match, expired ones left out. Computed as it is consumed.
    ///
    /// # Errors
    /// The filter is malformed, names what the model does not have, or could match nothing that the model
    /// admits.
    pub fn tuples(&self, filter: &TupleFilter) -> Result<TupleList, FilterError> {
        let matcher = Matcher::resolve(self.model(), filter)?;
        let snapshot = self.published.snapshot.clone();
        let part = matcher.part(&snapshot);
        Ok(TupleList { snapshot, part, matcher, now: self.now, position: None })
    }
}

/// Questions of one reading.
#[derive(Debug)]
pub struct Series<'a> {
    asked: engine::Series<'a>,
    work: &'a Work,
}

impl Series<'_> {
    /// Decides each question, in their order, without the grant; `told` hears of each with the steps that it took.
    ///
    /// # Errors
    /// That of `told`: no further question is asked.
    pub fn decide<E>(
        &mut self,
        questions: &[Question<'_>],
        mut told: impl FnMut(Result<Decision, EngineError>, u64) -> Result<(), E>,
    ) -> Result<(), E> {
        // Counted together: other threads count too, and each count would wait for theirs.
        let mut outcomes = [0; Outcome::ALL.len()];
        let ended = self.asked.decide(questions, |decided, steps| {
            if let Some(count) = outcomes.get_mut(outcome(&decided) as usize) {
                *count += 1;
            }
            told(decided, steps)
        });
        self.work.decided_each(outcomes);
        ended
    }
}

fn outcome(decided: &Result<Decision, EngineError>) -> Outcome {
    match decided.as_ref().map(Decision::reason) {
        Ok(Reason::Granted) => Outcome::Granted,
        Ok(Reason::NotGranted | Reason::NotDelegated | Reason::TargetNotEligible) => {
            Outcome::NotGranted
        }
        Ok(Reason::NotApplicable | Reason::NotBindable) => Outcome::NotApplicable,
        Ok(Reason::MissingContext) => Outcome::MissingContext,
        Err(_) => Outcome::Limit,
    }
}

/// Stored tuples: an item per tuple looked at, `None` if it does not match, so that whoever consumes
/// them can stop between any two, and go on after any of them in another list of the same revision.
#[derive(Debug)]
pub struct TupleList {
    snapshot: Snapshot,
    /// `None`: the filter names an object that no tuple names.
    part: Option<Part>,
    matcher: Matcher,
    now: Time,
    position: Option<Position>,
}

impl TupleList {
    /// Where the last item stood; `None` before the first.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Goes on after this place. Costs nothing: what came before is not looked at.
    pub fn go_on_after(&mut self, position: Position) {
        self.position = Some(position);
    }
}

impl Iterator for TupleList {
    type Item = Option<Tuple>;

    fn next(&mut self) -> Option<Option<Tuple>> {
        let Self { snapshot, part, matcher, now, position } = self;
        let (at, binding) = snapshot.after((*part)?, *position).next()?;
        *position = Some(at);
        let tuple = snapshot.tuple(&binding).filter(|_| binding.is_live(*now));
        Some(tuple.filter(|tuple| matcher.matches(&tuple.key)))
    }
}

/// A filter whose names are known to be the model's, and that some tuple may match.
#[derive(Debug)]
pub(super) struct Matcher {
    scope_type: Option<String>,
    scope: Option<Object>,
    role: Option<Name>,
    subject_type: Option<String>,
    subject: Option<Subject>,
    source: Option<String>,
}

impl Matcher {
    /// # Errors
    /// The filter is malformed, names what the model does not have, or could match no tuple that the model
    /// admits: "nothing matches" would be true for ever, and a precondition would hold by a slip.
    pub(super) fn resolve(model: &Model, filter: &TupleFilter) -> Result<Self, FilterError> {
        let syntax = |field| move |error| FilterError::Syntax { field, error };
        let scope = filter.scope.as_deref().map(Object::parse).transpose();
        let scope = scope.map_err(syntax("filter.scope"))?;
        let subject = filter.subject.as_deref().map(Subject::parse).transpose();
        let subject = subject.map_err(syntax("filter.subject"))?;
        let role = filter.role.as_deref().map(Name::parse).transpose();
        let role = role.map_err(syntax("filter.role"))?;
        // What cannot be written as a source is a slip of the pen, and no list without entries.
        if let Some(source) = filter.source.as_deref().filter(|source| !source.is_empty()) {
            Name::parse(source).map_err(syntax("filter.source"))?;
        }
        let matcher = Self {
            scope_type: filter.scope_type.clone(),
            scope,
            role,
            subject_type: filter.subject_type.clone(),
            subject,
            source: filter.source.clone(),
        };
        matcher.shape(model)?;
        Ok(matcher)
    }

    /// What the filter says of a tuple's shape, which the model must have room for.
    fn shape(&self, model: &Model) -> Result<(), FilterError> {
        let of = |field, name: &Option<String>| {
            name.as_deref().map(|name| known_type(model, field, name)).transpose()
        };
        let scope_type = of("filter.scope_type", &self.scope_type)?;
        let scope = self.scope.as_ref().map(|scope| scope.type_name().to_owned());
        let scope = of("filter.scope", &scope)?;
        let subject_type = of("filter.subject_type", &self.subject_type)?;
        let subject = self.subject.as_ref().map(|subject| Ok((subject, known(model, subject)?)));
        let subject = subject.transpose()?;
        let at = scope.or(scope_type);
        let role = self.role.as_ref().map(|role| known_role(model, at, role)).transpose()?;

        let never = |field, value: &dyn std::fmt::Display, why: String| FilterError::Never {
            field,
            value: quoted(&value.to_string()),
            why,
        };
        if let (Some(scope), Some(wanted)) = (&self.scope, &self.scope_type)
            && at != scope_type
        {
            let why = format!("`{}` is no `{wanted}`", quoted(scope.as_str()));
            return Err(never("filter.scope_type", wanted, why));
        }
        let on = at.map_or(String::new(), |at| format!(" on `{}`", model.type_name(at)));
        let mut shape = Shape { scope: at, ..Shape::default() };
        if let Some(at) = at.filter(|_| !shape.is_possible(model)) {
            let field = if scope.is_some() { "filter.scope" } else { "filter.scope_type" };
            return Err(never(field, &model.type_name(at), format!("there are no tuples{on}")));
        }
        shape.role = role;
        if let Some(role) = self.role.as_ref().filter(|_| !shape.is_possible(model)) {
            return Err(never("filter.role", role, format!("`{role}` cannot be bound{on}")));
        }
        let to = self.role.as_ref().map_or("anything".to_owned(), |role| format!("`{role}`"));
        shape.subject = subject;
        if let Some(subject) = self.subject.as_ref().filter(|_| !shape.is_possible(model)) {
            let why = format!("`{}` cannot be bound to {to}{on}", quoted(&subject.to_string()));
            return Err(never("filter.subject", subject, why));
        }
        shape.subject_type = subject_type;
        if let Some(of) = self.subject_type.as_ref().filter(|_| !shape.is_possible(model)) {
            let why = match &self.subject {
                Some(subject) => format!("`{}` is of another type", quoted(&subject.to_string())),
                None => format!("no `{of}` can be bound to {to}{on}"),
            };
            return Err(never("filter.subject_type", of, why));
        }
        Ok(())
    }

    /// The smallest part of the snapshot that holds all that match. `None`: nothing does, as no tuple
    /// names an object of the filter.
    pub(super) fn part(&self, snapshot: &Snapshot) -> Option<Part> {
        let Self { scope, role, subject, .. } = self;
        let scope = scope.as_ref().map(|scope| snapshot.find(scope.as_str()));
        let subject = subject.as_ref().map(|subject| snapshot.find_subject(subject));
        let role = role.as_ref().and_then(|role| snapshot.model().name_id(role.as_str()));
        Some(match (scope, subject, role) {
            (Some(scope), Some(subject), Some(role)) => Part::Bound(scope?, role, subject?),
            (_, Some(subject), Some(role)) => Part::SubjectRole(subject?, role),
            (_, Some(subject), None) => Part::Subject(subject?),
            (Some(scope), None, Some(role)) => Part::Role(scope?, role),
            (Some(scope), None, None) => Part::Scope(scope?),
            (None, None, _) => Part::All,
        })
    }

    /// Whether a tuple can match, as far as that costs little to say: never wrongly no.
    pub(super) fn may_match(&self, snapshot: &Snapshot, binding: &Binding<'_>) -> bool {
        let model = snapshot.model();
        let is_of = |wanted: &String, of: Option<TypeId>| {
            of.is_some_and(|of| model.type_name(of) == wanted.as_str())
        };
        let subject_type = || match binding.subject {
            SubjectKey::Object(id) | SubjectKey::Set(id, _) => snapshot.type_of(id),
            SubjectKey::All(of) => Some(of),
        };
        let role = model.name_of(binding.role);
        self.role.as_ref().is_none_or(|wanted| wanted.as_str() == role)
            && self.scope_type.as_ref().is_none_or(|t| is_of(t, snapshot.type_of(binding.scope)))
            && self.subject_type.as_ref().is_none_or(|t| is_of(t, subject_type()))
    }

    pub(super) fn matches(&self, key: &TupleKey) -> bool {
        self.scope_type.as_ref().is_none_or(|wanted| wanted == key.scope.type_name())
            && self.scope.as_ref().is_none_or(|wanted| *wanted == key.scope)
            && self.role.as_ref().is_none_or(|wanted| *wanted == key.role)
            && self.subject_type.as_ref().is_none_or(|wanted| wanted == subject_type(&key.subject))
            && self.subject.as_ref().is_none_or(|wanted| *wanted == key.subject)
            && self.source.as_ref().is_none_or(|wanted| *wanted == key.source)
    }
}

fn subject_type(subject: &Subject) -> &str {
    match subject {
        Subject::Object(object) | Subject::Set(object, _) => object.type_name(),
        Subject::All(type_name) => type_name.as_str(),
    }
}

fn known_type(model: &Model, field: &'static str, name: &str) -> Result<TypeId, FilterError> {
    model.type_id(name).ok_or_else(|| {
        let types = (0u16..).map(TypeId).take(model.types.len());
        let nearest = nearest(name, types.map(|id| model.type_name(id))).map(str::to_owned);
        FilterError::Unknown { field, kind: "type", value: quoted(name), nearest }
    })
}

/// The form of a subject whose names are the model's.
fn known(model: &Model, subject: &Subject) -> Result<SubjectForm, FilterError> {
    form_of(model, subject).map_err(|error| {
        let Misfit { kind, value, nearest, .. } = error.misfit().clone();
        FilterError::Unknown { field: "filter.subject", kind, value, nearest }
    })
}

/// A role or relation that some type has. If none has, those of the type `at` are suggested, else all.
fn known_role(model: &Model, at: Option<TypeId>, role: &Name) -> Result<NameId, FilterError> {
    let has = |id| model.types.iter().any(|def| def.role(id).is_some() || def.edge(id).is_some());
    let found = model.name_id(role.as_str()).filter(|id| *id == HAS || has(*id));
    found.ok_or_else(|| {
        let of_type = |def: &TypeDef| {
            let roles = def.roles.iter().map(|role| role.name);
            let edges = def.edges.iter().map(|edge| edge.relation);
            roles.chain(edges).collect::<Vec<_>>()
        };
        let scopes = (0u16..).map(TypeId).zip(&model.types);
        let scopes = scopes.filter(|(id, _)| at.is_none_or(|at| at == *id));
        let known = scopes.flat_map(|(_, def)| of_type(def)).chain([HAS]);
        let nearest = nearest(role.as_str(), known.map(|id| model.name_of(id))).map(str::to_owned);
        let (field, value) = ("filter.role", quoted(role.as_str()));
        FilterError::Unknown { field, kind: "role", value, nearest }
    })
}
