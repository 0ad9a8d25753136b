//! Who of a type may have a name at an object: all whom the tuples that the name leads to may mean, and
//! among them those who have it for certain. Asks nobody; knows no order.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::eval::Eval;
use super::objects::Objects;
use super::plan::Plan;
use super::value::Value;
use super::view::View;
use crate::index::{ObjectId, Snapshot, SubjectKey};
use crate::model::form::{Expr, NameId, SubjectForm, TypeId};
use crate::model::limits::DEPTH_MAX;
use crate::model::tuple::{Context, Time};

/// A name at an object.
type Place = (NameId, ObjectId);

/// Those of a type who may have a name at an object.
///
/// Invariant *sure*: V(u, name, object) is yes for each u in `sure`.
#[derive(Debug)]
pub(super) struct Gathered {
    /// It can hold without a binding, or is bound to all of the type: anybody may have it.
    pub(super) everyone: bool,
    /// All others who may have it are among these.
    pub(super) found: Objects,
    /// Those of them who have it for certain.
    pub(super) sure: Objects,
    /// So has every other object of the type.
    all_sure: bool,
}

impl Gathered {
    /// Nobody.
    pub(super) fn none(snapshot: &Snapshot) -> Self {
        let none = || Objects::of(snapshot);
        Self { everyone: false, found: none(), sure: none(), all_sure: false }
    }

    /// Adds an object of the type, where anybody may have the name.
    pub(super) fn add_one_of_all(&mut self, id: ObjectId) {
        self.found.insert(id);
        if self.all_sure {
            self.sure.insert(id);
        }
    }
}

/// Gathers those who may have a name at an object, with these values and at this moment. Costs the tuples
/// that the name leads to.
pub(super) fn gather(
    view: &View<'_>,
    plan: &Plan,
    start: (NameId, ObjectId),
    wanted: TypeId,
    context: &Context,
    now: Time,
) -> Gathered {
    let mut gathering = Gathering {
        view,
        plan,
        context,
        now,
        wanted,
        gathered: Gathered::none(view.snapshot),
        seen: FxHashSet::default(),
        sure: Vec::new(),
        deeper: Vec::new(),
        unsure: Vec::new(),
        links: BTreeSet::new(),
        all_of_another: false,
    };
    gathering.walk(start);
    if plan.has_links() {
        gathering.follow_links();
    }
    gathering.gathered
}

/// Whether V(u, name, place) being yes implies that the name which is gathered for is yes for u too.
///
/// So it is at the start. It stays so over the steps of which V is the greatest: to another name at the same
/// place, to a part of an `any`, over a tuple that is live and has no condition to an object above, or to
/// a subject set that is bound; and to a part of an `all` whose other parts are yes for everybody alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Sure,
    Unsure,
}

impl Way {
    fn and(self, holds: bool) -> Self {
        if holds { self } else { Self::Unsure }
    }
}

/// A walk over all that the name leads to.
struct Gathering<'a> {
    view: &'a View<'a>,
    plan: &'a Plan,
    context: &'a Context,
    now: Time,
    wanted: TypeId,
    gathered: Gathered,
    seen: FxHashSet<Place>,
    /// Places still to walk, not recursion: groups may be nested as deep as the store is. Those on sure
    /// ways, and on sure ways over one more subject set.
    sure: Vec<Place>,
    deeper: Vec<Place>,
    unsure: Vec<Place>,
    /// The relations by which the name asks linked subjects.
    links: BTreeSet<NameId>,
    /// Something is bound to all of another type.
    all_of_another: bool,
}

impl Gathering<'_> {
    /// Walks the sure ways first, so that no place is seen on an unsure one before, and by so many subject
    /// sets as they lead over: past the limit no way is sure, as a check ends there in an error.
    fn walk(&mut self, start: Place) {
        self.deeper.push(start);
        for _ in 0..=DEPTH_MAX {
            self.sure.append(&mut self.deeper);
            while let Some(place) = self.sure.pop() {
                self.place(place, Way::Sure);
            }
        }
        self.unsure.append(&mut self.deeper);
        while let Some(place) = self.unsure.pop() {
            self.place(place, Way::Unsure);
        }
    }

    fn place(&mut self, (name, at): Place, way: Way) {
        if self.gathered.everyone || !self.seen.insert((name, at)) {
            return;
        }
        let type_id = self.view.type_of(at);
        let def = type_id.and_then(|type_id| self.view.model().def(type_id, name));
        if let (Some(def), Some(type_id)) = (def, type_id) {
            self.expr(&def.expr, at, type_id, way);
        }
    }

    fn lead(&mut self, place: Place, way: Way) {
        match way {
            Way::Sure => self.sure.push(place),
            Way::Unsure => self.unsure.push(place),
        }
    }

    fn expr(&mut self, expr: &Expr, at: ObjectId, type_id: TypeId, way: Way) {
        match expr {
            Expr::Here(role) => self.here(*role, at, type_id, way),
            Expr::HereAny(roles) => {
                roles.iter().for_each(|role| self.here(*role, at, type_id, way));
            }
            Expr::Ref(name) => self.lead((*name, at), way),
            Expr::Up { relation, name } => self.up(*relation, *name, at, way),
            Expr::UpAll { relation, name } => self.up(*relation, *name, at, Way::Unsure),
            Expr::Any(parts) => {
                for part in parts {
                    self.expr(part, at, type_id, way);
                }
            }
            Expr::All(parts) => self.all(parts, at, type_id, way),
            Expr::Except(left, right) => {
                let holds = way == Way::Sure && self.is_for_all(right, at, Value::No);
                self.expr(left, at, type_id, way.and(holds));
            }
            Expr::SelfIs => self.found(at, way),
            Expr::As { link, expr } => {
                self.links.insert(*link);
                self.expr(expr, at, type_id, way);
            }
            Expr::Fact(_) | Expr::Standing(_) | Expr::Condition(_) | Expr::Anywhere { .. } => {
                self.gathered.everyone = true;
            }
            // A list names no target, so this is unknown for each, and never what lets one.
            Expr::OfTarget(_) => {}
        }
    }

    /// All parts must hold, so the candidates of one of them suffice.
    fn all(&mut self, parts: &[Expr], at: ObjectId, type_id: TypeId, way: Way) {
        let model = self.view.model();
        let bounded = parts.iter().position(|part| self.plan.is_bounded(model, type_id, part));
        let Some((at_part, part)) = bounded.and_then(|at| Some((at, parts.get(at)?))) else {
            self.gathered.everyone = true;
            return;
        };
        let mut others = parts.iter().enumerate().filter(|(at, _)| *at != at_part);
        let holds = way == Way::Sure && others.all(|(_, o)| self.is_for_all(o, at, Value::Yes));
        self.expr(part, at, type_id, way.and(holds));
    }

    /// Whether an expression has this value for everybody alike: so do facts of the scope and conditions
    /// on the request, and what is made of them.
    fn is_for_all(&self, expr: &Expr, at: ObjectId, value: Value) -> bool {
        fn is_alike(expr: &Expr) -> bool {
            match expr {
                Expr::Fact(_) | Expr::Condition(_) => true,
                Expr::Any(parts) | Expr::All(parts) => parts.iter().all(is_alike),
                Expr::Except(left, right) => is_alike(left) && is_alike(right),
                _ => false,
            }
        }
        let anybody = SubjectKey::All(self.wanted);
        let ask = || {
            let mut eval = Eval::new(self.view, self.plan, anybody, self.context, self.now);
            eval.solve(expr, at, 0)
        };
        is_alike(expr) && ask() == value
    }

    fn up(&mut self, relation: NameId, name: NameId, at: ObjectId, way: Way) {
        let (snapshot, now) = (self.view.snapshot, self.now);
        for binding in snapshot.all_bound(at, relation).filter(|binding| binding.is_live(now)) {
            if let SubjectKey::Object(target) = binding.subject {
                self.lead((name, target), way.and(binding.condition().is_none()));
            }
        }
    }

    fn here(&mut self, role: NameId, at: ObjectId, type_id: TypeId, way: Way) {
        let (snapshot, now, wanted) = (self.view.snapshot, self.now, self.wanted);
        let def = self.view.model().type_def(type_id).and_then(|def| def.role(role));
        let forms = def.map(|role| role.bound_by.as_slice()).unwrap_or_default();
        // Then nobody's type needs to be looked up: a read from memory for each.
        let is_wanted =
            |form: &SubjectForm| !matches!(form, SubjectForm::Object(of) if *of != wanted);
        let are_wanted = def.is_some() && forms.iter().all(is_wanted);
        snapshot.all_bound(at, role).filter(|binding| binding.is_live(now)).for_each(|binding| {
            let way = way.and(binding.condition().is_none());
            match binding.subject {
                SubjectKey::Object(id) if are_wanted => self.add(id, way),
                SubjectKey::Object(id) => self.found(id, way),
                SubjectKey::All(of) if of == wanted => {
                    self.gathered.everyone = true;
                    self.gathered.all_sure |= way == Way::Sure;
                }
                SubjectKey::All(_) => self.all_of_another = true,
                SubjectKey::Set(object, name) => match way {
                    Way::Sure => self.deeper.push((name, object)),
                    Way::Unsure => self.unsure.push((name, object)),
                },
            }
        });
    }

    /// Someone who may have it. Of another type than the wanted only where links may lead on.
    fn found(&mut self, id: ObjectId, way: Way) {
        if self.plan.has_links() || self.view.type_of(id) == Some(self.wanted) {
            self.add(id, way);
        }
    }

    fn add(&mut self, id: ObjectId, way: Way) {
        self.gathered.found.insert(id);
        if way == Way::Sure {
            self.gathered.sure.insert(id);
        }
    }

    /// Adds whoever is linked with one of those found, over any number of links, and leaves those of the
    /// wanted type.
    fn follow_links(&mut self) {
        let Self { view, gathered, links, now, wanted, .. } = self;
        // Whom all of another type are linked with is not looked for one by one.
        gathered.everyone |= self.all_of_another && !links.is_empty();
        let mut open: Vec<ObjectId> = gathered.found.iter().filter(|_| !links.is_empty()).collect();
        while let Some(id) = open.pop().filter(|_| !gathered.everyone) {
            for &link in links.iter() {
                let linking = view.snapshot.scopes_in(SubjectKey::Object(id), link);
                let live = linking.filter(|b| b.is_live(*now) && view.is_edge(b));
                for from in live {
                    let others = view.snapshot.all_bound(from.scope, link);
                    for to in others.filter(|binding| binding.is_live(*now)) {
                        if let SubjectKey::Object(other) = to.subject
                            && gathered.found.insert(other)
                        {
                            open.push(other);
                        }
                    }
                }
            }
        }
        gathered.found.retain(|id| view.type_of(id) == Some(*wanted));
    }
}
