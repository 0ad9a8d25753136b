//! Where somebody is assigned: each role that is bound for a subject, and where. Candidates from the tuples
//! that may mean the subject, each then asked as Check would ask. Knows no permission.

use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;

use super::EngineError;
use super::check::limit;
use super::closure::Closure;
use super::eval::Eval;
use super::plan::Plan;
use super::question::{CheckedContext, QuestionError, parse_scope, parse_subject};
use super::value::{Value, Why};
use super::view::View;
use crate::index::{Binding, ObjectId, Snapshot, SubjectKey};
use crate::model::form::{FEATURE, Model, NameId, RoleDef, SubjectForm};
use crate::model::limits::CHECK_STEPS_MAX;
use crate::model::names::{Object, Subject};
use crate::model::tuple::Time;

/// Where is `subject` assigned, or which of its roles count at `scope`?
#[derive(Debug, Clone, PartialEq)]
pub struct RolesQuestion {
    subject: Subject,
    scope: Option<Object>,
    context: CheckedContext,
}

impl RolesQuestion {
    /// Reads and resolves the question. An empty scope is none: everywhere.
    ///
    /// # Errors
    /// A field is malformed, or names what the model does not have.
    pub fn parse(
        model: &Model,
        subject: &str,
        scope: &str,
        context: CheckedContext,
    ) -> Result<Self, QuestionError> {
        let subject = parse_subject(model, "subject", subject)?;
        let scope = Some(scope).filter(|scope| !scope.is_empty());
        let scope = scope.map(|scope| parse_scope(model, scope)).transpose()?;
        Ok(Self { subject, scope: scope.map(|(scope, _)| scope), context })
    }
}

/// A role and the scope that it is bound at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundRole {
    /// Where.
    pub scope: Arc<str>,
    /// Which.
    pub role: String,
}

/// The answer, computed as it is consumed: an item per candidate, in byte order of scope and role, `None`
/// if it does not count, so that whoever consumes it can stop between any two. An error ends it.
///
/// A role counts if `here(role)` and the role's own gate are yes for the subject at the scope where it is
/// bound; a question about one scope wants a way up from there as well, over edges that let roles pass and
/// whose conditions are all yes.
#[derive(Debug)]
pub struct RoleList {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    question: RolesQuestion,
    now: Time,
    /// The subject's groups, the same for every candidate. `None`: the model lacks the subject's type.
    groups: Option<Rc<Closure>>,
    candidates: std::vec::IntoIter<Candidate>,
    failed: bool,
}

/// Roles at scopes where some tuple binds them.
type Places = HashSet<(ObjectId, NameId)>;
/// One of them, with the scope's text.
type Candidate = (Arc<str>, ObjectId, NameId);

impl RoleList {
    /// Gathers the candidates. Without a scope it costs what the subject's groups and the tuples that
    /// name it or one of them cost, and, where the model lets roles be bound by computed sets or by roles
    /// held from above, all tuples that bind a set. With one it costs what stands above that scope.
    ///
    /// # Errors
    /// The subject is in more groups than one question may look at, or there are more edges and roles above
    /// the scope.
    pub fn new(
        snapshot: Snapshot,
        plan: Arc<Plan>,
        question: RolesQuestion,
        now: Time,
    ) -> Result<Self, EngineError> {
        let mut view = View::new(&snapshot);
        let subject = view.subject(&question.subject);
        let scope = question.scope.as_ref().map(|scope| view.object(scope));
        let (mut groups, mut found) = (None, HashSet::new());
        if let Some(subject) = subject {
            let eval = || Eval::new(&view, &plan, subject, question.context.values(), now);
            let mut asking = eval();
            let closure = asking.closure();
            let places = match scope {
                // What the groups have cost is not the way's.
                Some(scope) => above(&mut eval(), scope),
                None => everywhere(&mut asking, &closure),
            };
            found = places.map_err(error)?;
            groups = Some(closure);
        }
        let candidates = in_order(found, &view);
        Ok(Self {
            plan,
            question,
            now,
            groups,
            candidates: candidates.into_iter(),
            failed: false,
            snapshot,
        })
    }

    /// Goes on after this entry, which an earlier list of the same question, revision and moment gave.
    /// Nothing before it is asked about again.
    pub fn go_on_after(&mut self, scope: &str, role: &str) {
        let model = self.snapshot.model();
        let is_before = |(at, _, name): &Candidate| (&**at, model.name_of(*name)) <= (scope, role);
        let asked = self.candidates.as_slice().partition_point(is_before);
        self.candidates.by_ref().take(asked).for_each(drop);
    }

    /// Whether the role counts where it is bound.
    fn counts(&self, scope: ObjectId, role: NameId) -> Result<bool, EngineError> {
        let mut view = View::new(&self.snapshot);
        let (Some(subject), Some(groups)) = (view.subject(&self.question.subject), &self.groups)
        else {
            return Ok(false);
        };
        let Some(role) = role_at(&view, scope, role) else { return Ok(false) };
        let context = self.question.context.values();
        let mut eval = Eval::new(&view, &self.plan, subject, context, self.now);
        eval.take_closure(Rc::clone(groups));
        match eval.solve(&role.bound_here, scope, 0) {
            Value::Yes => Ok(true),
            Value::No => Ok(false),
            Value::Unknown(why) => limit(why).map_or(Ok(false), Err),
        }
    }
}

impl Iterator for RoleList {
    type Item = Result<Option<BoundRole>, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (text, scope, role) = self.candidates.next()?;
        let counts = self.counts(scope, role);
        self.failed = counts.is_err();
        let role = || self.snapshot.model().name_of(role).to_owned();
        Some(counts.map(|counts| counts.then(|| BoundRole { scope: text, role: role() })))
    }
}

/// Only limits cut a search short; each has its error.
fn error(why: Why) -> EngineError {
    limit(why).unwrap_or(EngineError::StepsExceeded { limit: CHECK_STEPS_MAX })
}

fn role_at<'a>(view: &View<'a>, scope: ObjectId, role: NameId) -> Option<&'a RoleDef> {
    view.model().type_def(view.type_of(scope)?)?.role(role)
}

fn in_order(found: Places, view: &View<'_>) -> Vec<Candidate> {
    let named = found
        .into_iter()
        .filter_map(|(scope, role)| Some((Arc::from(view.text_of(scope)?), scope, role)));
    let mut candidates: Vec<Candidate> = named.collect();
    let model = view.model();
    let role_of = |candidate: &Candidate| model.name_of(candidate.2);
    candidates.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| role_of(a).cmp(role_of(b))));
    candidates
}

/// Wherever a tuple may bind a role for the subject: by a name of its own, by a plain set that it is in, or
/// by a set that only an evaluation tells.
fn everywhere(eval: &mut Eval<'_>, groups: &Closure) -> Result<Places, Why> {
    // What lies past too many nested sets shows where one of them is bound; past too many steps nothing does.
    if let Value::Unknown(why) = groups.beyond()
        && why.has(Why::STEPS)
    {
        return Err(why);
    }
    let (view, plan, now) = (eval.view, eval.plan, eval.now);
    let counts = |binding: &Binding<'_>| {
        binding.is_live(now) && role_at(view, binding.scope, binding.role).is_some()
    };
    let mut found = HashSet::new();
    for key in eval.matching_keys() {
        match other_than_edges(view, key) {
            None => places(view.snapshot.scopes_of(key).filter(counts), &mut found),
            Some(roles) => {
                let bound = roles.into_iter().flat_map(|role| view.snapshot.scopes_in(key, role));
                places(bound.filter(counts), &mut found);
            }
        }
    }
    if plan.has_other_sets() {
        let is_computed = |binding: &Binding<'_>| match binding.subject {
            SubjectKey::Set(object, name) => {
                !view.type_of(object).is_some_and(|of| plan.is_plain(of, name))
            }
            SubjectKey::Object(_) | SubjectKey::All(_) => false,
        };
        places(view.snapshot.set_subjects().filter(is_computed).filter(counts), &mut found);
    }
    Ok(found)
}

fn places<'a>(bound: impl Iterator<Item = Binding<'a>>, found: &mut Places) {
    found.extend(bound.map(|binding| (binding.scope, binding.role)));
}

/// The roles by which this subject may be bound, if it may stand in other tuples too: an organization is
/// the parent of all that it has, be that a million.
fn other_than_edges(view: &View<'_>, key: SubjectKey) -> Option<HashSet<NameId>> {
    let SubjectKey::Object(id) = key else { return None };
    let (of, model) = (view.type_of(id)?, view.model());
    let mut edges = model.types.iter().flat_map(|def| &def.edges);
    if of != FEATURE && !edges.any(|edge| edge.targets.contains(&of)) {
        return None;
    }
    let roles = model.types.iter().flat_map(|def| &def.roles);
    let admitted = roles.filter(|role| role.bound_by.contains(&SubjectForm::Object(of)));
    Some(admitted.map(|role| role.name).collect())
}

/// Every role that somebody has at the scope, or at an object from which roles pass to it.
fn above(eval: &mut Eval<'_>, scope: Option<ObjectId>) -> Result<Places, Why> {
    let (view, mut seen, mut found) = (eval.view, HashSet::new(), HashSet::new());
    let mut open: Vec<ObjectId> = scope.into_iter().collect();
    while let Some(at) = open.pop() {
        if !seen.insert(at) {
            continue;
        }
        let Some(def) = view.type_of(at).and_then(|of| view.model().type_def(of)) else { continue };
        for role in &def.roles {
            eval.look()?;
            if view.snapshot.all_bound(at, role.name).next().is_some() {
                found.insert((at, role.name));
            }
        }
        for edge in def.edges.iter().filter(|edge| !edge.passing.is_empty()) {
            for (binding, target) in eval.targets(edge.relation, at) {
                eval.look()?;
                let passes = view.type_of(target).is_some_and(|of| edge.passing.contains(&of));
                if passes && eval.certain(&binding)? {
                    open.push(target);
                }
            }
        }
    }
    Ok(found)
}

impl Eval<'_> {
    /// Whether a tuple's condition is yes.
    ///
    /// # Errors
    /// A limit was hit, and decides.
    fn certain(&mut self, binding: &Binding<'_>) -> Result<bool, Why> {
        match self.condition_of(binding) {
            Value::Yes => Ok(true),
            Value::No => Ok(false),
            Value::Unknown(why) => limit(why).map_or(Ok(false), |_| Err(why)),
        }
    }
}
