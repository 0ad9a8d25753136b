//! Everybody of a type who may do this here: candidates from the tuples that the permission leads to,
//! each then asked as Check would ask.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::EngineError;
use super::check::may;
use super::plan::Plan;
use super::question::{self, CheckedContext, QuestionError};
use super::view::View;
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::form::{DefKind, Expr, Model, NameId, TypeId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::Time;

/// Who of `subject_type` may do `permission` at `scope`?
#[derive(Debug, Clone, PartialEq)]
pub struct ListQuestion {
    permission: NameId,
    scope: Object,
    scope_type: TypeId,
    subject_type: TypeId,
    subject_type_name: Name,
    context: CheckedContext,
}

impl ListQuestion {
    /// Reads and resolves the question.
    ///
    /// # Errors
    /// A field is malformed, or names what the model does not have.
    pub fn parse(
        model: &Model,
        permission: &str,
        scope: &str,
        subject_type: &str,
        context: CheckedContext,
    ) -> Result<Self, QuestionError> {
        let permission = question::parse_permission(model, permission)?;
        let (scope, scope_type) = question::parse_scope(model, scope)?;
        let subject_type_name = Name::parse(subject_type)
            .map_err(|error| QuestionError::Syntax { field: "subject_type", error })?;
        let subject_type = question::parse_type(model, "subject_type", subject_type)?;
        Ok(Self { permission, scope, scope_type, subject_type, subject_type_name, context })
    }
}

/// The answer, computed as it is consumed: an item per candidate, in byte order, its name if it may and
/// `None` if not, so that whoever consumes it can stop between any two. An error ends it. First comes
/// `type:*`, for all of the type, those that no tuple names too.
#[derive(Debug)]
pub struct SubjectList {
    snapshot: Snapshot,
    plan: Arc<Plan>,
    question: ListQuestion,
    now: Time,
    everyone_next: bool,
    /// The permission can hold for objects that no tuple names.
    is_open: bool,
    /// In the order of their names.
    candidates: std::vec::IntoIter<ObjectId>,
    failed: bool,
}

impl SubjectList {
    /// Gathers the candidates. Costs the tuples that the permission leads to; all objects of the type
    /// where it can hold without a binding, or is bound to all of the type.
    #[must_use]
    pub fn new(snapshot: Snapshot, plan: Arc<Plan>, question: ListQuestion, now: Time) -> Self {
        let def = snapshot.model().def(question.scope_type, question.permission);
        let applies = def.is_some_and(|def| def.kind == DefKind::Permission);
        let mut view = View::new(&snapshot);
        let scope = if applies { view.object(&question.scope) } else { None };
        let Gathered { everyone, mut found } = match scope {
            Some(scope) => {
                let place = (question.permission, scope);
                gather(&view, &plan, place, question.subject_type, now)
            }
            None => Gathered::default(),
        };
        if everyone {
            found.extend(snapshot.objects_of(question.subject_type).map(|(id, _)| id));
            // The scope may be a subject of its own permission, and known to the question alone.
            found.extend(scope.filter(|id| view.type_of(*id) == Some(question.subject_type)));
        }
        let text = |id: ObjectId| view.text_of(id).map(|text| (text, id));
        let mut named: Vec<(&str, ObjectId)> = found.into_iter().filter_map(text).collect();
        named.sort_unstable();
        let candidates: Vec<ObjectId> = named.into_iter().map(|(_, id)| id).collect();
        Self {
            plan,
            question,
            now,
            everyone_next: applies,
            is_open: everyone,
            candidates: candidates.into_iter(),
            failed: false,
            snapshot,
        }
    }

    /// Goes on after this name, which an earlier list of the same question, revision and moment gave.
    /// Nobody before it is asked about again.
    pub fn go_on_after(&mut self, name: &str) {
        self.everyone_next = false;
        // `type:*` stands before all others, whatever the byte order of their names.
        if name != self.everyone() {
            let is_asked = |id: &ObjectId| self.text(*id) <= name;
            let asked = self.candidates.as_slice().partition_point(is_asked);
            self.candidates.by_ref().take(asked).for_each(drop);
        }
    }

    /// A candidate's name: that of the scope, if no tuple names it.
    fn text(&self, id: ObjectId) -> &str {
        self.snapshot.text_of(id).unwrap_or(self.question.scope.as_str())
    }

    fn everyone(&self) -> String {
        format!("{}:*", self.question.subject_type_name)
    }

    /// Whether all of the type may. If not, but an object that no tuple names may, there is no complete
    /// list: an error.
    fn everyone_may(&self) -> Result<bool, EngineError> {
        let everyone = Subject::All(self.question.subject_type_name.clone());
        if self.may(|view| view.subject(&everyone))? {
            return Ok(true);
        }
        let of = self.question.subject_type;
        if self.is_open && self.may(|view| view.nameless(of).map(SubjectKey::Object))? {
            let subject_type = self.question.subject_type_name.to_string();
            return Err(EngineError::OpenList { subject_type });
        }
        Ok(false)
    }

    fn may(
        &self,
        subject: impl FnOnce(&mut View<'_>) -> Option<SubjectKey>,
    ) -> Result<bool, EngineError> {
        let mut view = View::new(&self.snapshot);
        let (Some(scope), Some(subject)) = (view.object(&self.question.scope), subject(&mut view))
        else {
            return Ok(false);
        };
        let asked = (subject, self.question.permission, scope);
        may(&view, &self.plan, asked, self.question.context.values(), self.now)
    }
}

impl Iterator for SubjectList {
    type Item = Result<Option<String>, EngineError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (text, may) = if std::mem::take(&mut self.everyone_next) {
            (self.everyone(), self.everyone_may())
        } else {
            let id = self.candidates.next()?;
            (self.text(id).to_owned(), self.may(|_| Some(SubjectKey::Object(id))))
        };
        self.failed = may.is_err();
        Some(may.map(|may| may.then_some(text)))
    }
}

/// A name at an object.
type Place = (NameId, ObjectId);

/// Those of a type who may have a name at an object.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// It can hold without a binding, or is bound to all of the type: anybody may have it.
    pub(super) everyone: bool,
    /// All others who may have it are among these.
    pub(super) found: HashSet<ObjectId>,
}

/// Gathers those who may have a name at an object, at this moment. Costs the tuples that the name leads to.
pub(super) fn gather(
    view: &View<'_>,
    plan: &Plan,
    (name, at): Place,
    wanted: TypeId,
    now: Time,
) -> Gathered {
    let mut gathering = Gathering {
        view,
        plan,
        now,
        wanted,
        found: HashSet::new(),
        seen: HashSet::new(),
        everyone: false,
        links: BTreeSet::new(),
        all_of_another: false,
    };
    gathering.name(name, at);
    gathering.follow_links();
    Gathered { everyone: gathering.everyone, found: gathering.found }
}

/// A walk over all that the permission leads to. Gathers a superset of those who may.
struct Gathering<'a> {
    view: &'a View<'a>,
    plan: &'a Plan,
    now: Time,
    wanted: TypeId,
    found: HashSet<ObjectId>,
    seen: HashSet<Place>,
    everyone: bool,
    /// The relations by which the permission asks linked subjects.
    links: BTreeSet<NameId>,
    /// Something is bound to all of another type.
    all_of_another: bool,
}

impl Gathering<'_> {
    /// Adds whoever is linked with one of those found, over any number of links, and leaves those of the
    /// wanted type.
    fn follow_links(&mut self) {
        if self.links.is_empty() {
            self.found.retain(|id| self.view.type_of(*id) == Some(self.wanted));
            return;
        }
        // Whom those are linked with is not looked for one by one.
        self.everyone |= self.all_of_another;
        let mut open: Vec<ObjectId> = self.found.iter().copied().collect();
        while let Some(id) = open.pop().filter(|_| !self.everyone) {
            for &link in &self.links {
                let linking = self.view.snapshot.scopes_in(SubjectKey::Object(id), link);
                let live = linking.filter(|b| b.is_live(self.now) && self.view.is_edge(b));
                for from in live {
                    let others = self.view.snapshot.all_bound(from.scope, link);
                    for to in others.filter(|binding| binding.is_live(self.now)) {
                        if let SubjectKey::Object(other) = to.subject
                            && self.found.insert(other)
                        {
                            open.push(other);
                        }
                    }
                }
            }
        }
        self.found.retain(|id| self.view.type_of(*id) == Some(self.wanted));
    }

    /// Someone who may have it. Of another type than the wanted only where links may lead on.
    fn found(&mut self, id: ObjectId) {
        if self.plan.has_links() || self.view.type_of(id) == Some(self.wanted) {
            self.found.insert(id);
        }
    }

    fn name(&mut self, name: NameId, at: ObjectId) {
        // A list of places still to walk, not recursion: groups may be nested as deep as the store is.
        let mut waiting = vec![(name, at)];
        while let Some((name, at)) = waiting.pop() {
            if self.everyone || !self.seen.insert((name, at)) {
                continue;
            }
            let type_id = self.view.type_of(at);
            let def = type_id.and_then(|type_id| self.view.model().def(type_id, name));
            if let (Some(def), Some(type_id)) = (def, type_id) {
                self.expr(&def.expr, at, type_id, &mut waiting);
            }
        }
    }

    fn expr(&mut self, expr: &Expr, at: ObjectId, type_id: TypeId, waiting: &mut Vec<Place>) {
        match expr {
            Expr::Here(role) => self.here(*role, at, waiting),
            Expr::HereAny(roles) => roles.iter().for_each(|role| self.here(*role, at, waiting)),
            Expr::Ref(name) => waiting.push((*name, at)),
            Expr::Up { relation, name } | Expr::UpAll { relation, name } => {
                let bound = self.view.snapshot.all_bound(at, *relation);
                for binding in bound.filter(|binding| binding.is_live(self.now)) {
                    if let SubjectKey::Object(target) = binding.subject {
                        waiting.push((*name, target));
                    }
                }
            }
            Expr::Any(parts) => {
                for part in parts {
                    self.expr(part, at, type_id, waiting);
                }
            }
            // All parts must hold, so the candidates of one of them suffice.
            Expr::All(parts) => {
                let model = self.view.model();
                let bounded = parts.iter().find(|p| self.plan.is_bounded(model, type_id, p));
                match bounded {
                    Some(part) => self.expr(part, at, type_id, waiting),
                    None => self.everyone = true,
                }
            }
            Expr::Except(left, _) => self.expr(left, at, type_id, waiting),
            Expr::SelfIs => self.found(at),
            Expr::As { link, expr } => {
                self.links.insert(*link);
                self.expr(expr, at, type_id, waiting);
            }
            Expr::Fact(_) | Expr::Standing(_) | Expr::Condition(_) | Expr::Anywhere { .. } => {
                self.everyone = true;
            }
            // A list names no target, so this is unknown for each, and never what lets one.
            Expr::OfTarget(_) => {}
        }
    }

    fn here(&mut self, role: NameId, at: ObjectId, waiting: &mut Vec<Place>) {
        let now = self.now;
        for binding in self.view.snapshot.all_bound(at, role).filter(|b| b.is_live(now)) {
            match binding.subject {
                SubjectKey::Object(id) => self.found(id),
                SubjectKey::All(type_id) if type_id == self.wanted => self.everyone = true,
                SubjectKey::All(_) => self.all_of_another = true,
                SubjectKey::Set(object, name) => waiting.push((name, object)),
            }
        }
    }
}
