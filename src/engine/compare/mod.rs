//! Who may what under one model and not under another, over the same tuples at one moment. Asks those
//! questions alone that the models may answer differently, and for each scope those subjects alone who may
//! have the permission under either.
//!
//! Invariant *complete*: for each permission and type of the concerns, each scope that a tuple names and one
//! that none does, each subject of the concern's types that a tuple names, all of a type, and one that none
//! names: if the models let one of them and the other does not, it is told; or that not all was asked.

mod worlds;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use self::worlds::{Held, LeftOut, Refuses, WorldError, Worlds, worlds};
use super::EngineError;
use super::check::known;
use super::gather::gather;
use super::view::View;
use crate::index::{ObjectId, SubjectKey};
use crate::model::diff::Concern;
use crate::model::form::{DefKind, NameId, TypeId};
use crate::model::names::{Name, Object, Subject};
use crate::model::tuple::{Context, Time};

/// The answer to a question under one model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// DENY.
    No,
    /// DENY, as something that the request may bring is not known.
    Unknown,
    /// ALLOW.
    Yes,
}

impl Answer {
    /// The word for it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Unknown => "not known",
            Self::Yes => "yes",
        }
    }
}

/// A subject or a scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party {
    /// `type:*`; no scope.
    All(String),
    /// Any object of a type that no tuple names.
    Unnamed(String),
    /// The scope as its own subject, where no tuple names it.
    Itself(String),
    /// `type:id`.
    Named(String),
}

impl std::fmt::Display for Party {
    /// None but a named one or all of a type has a colon in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All(of) => write!(f, "{of}:*"),
            Self::Unnamed(of) => write!(f, "(any {of} that no tuple names)"),
            Self::Itself(of) => write!(f, "(that {of} itself)"),
            Self::Named(text) => f.write_str(text),
        }
    }
}

/// A question that the models answer differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Who.
    pub subject: Party,
    /// What.
    pub permission: String,
    /// Where.
    pub scope: Party,
    /// Under the old model.
    pub old: Answer,
    /// Under the new one.
    pub new: Answer,
}

/// What a comparison tells, in the order of permissions, types, scopes and subjects.
#[derive(Debug)]
pub enum Told {
    /// The models answer differently.
    Difference(Difference),
    /// One of the models gives no answer.
    Unanswered {
        /// Who.
        subject: Party,
        /// What.
        permission: String,
        /// Where.
        scope: Party,
        /// Why.
        error: EngineError,
    },
    /// So many questions have been asked.
    Asked(u64),
}

/// What a comparison came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// How many questions were asked of both models together; to look for subjects counts as one.
    pub questions: u64,
    /// There was more to ask than the bound allows.
    pub is_cut: bool,
}

/// Asks `concerns` of both worlds, at most `questions_max` questions, and tells what differs. Costs what a
/// check and the look for a list's candidates cost, for each scope of the types concerned.
///
/// # Errors
/// Those of `tell`, which end it.
pub fn compare<E>(
    worlds: &Worlds,
    concerns: &[Concern],
    now: Time,
    questions_max: u64,
    tell: &mut dyn FnMut(Told) -> Result<(), E>,
) -> Result<Compared, E> {
    let objects = objects_by_type(worlds);
    let mut asking = Asking {
        worlds,
        objects: &objects,
        now,
        context: Context::new(),
        asked: 0,
        questions_max,
        tell,
    };
    let mut is_cut = false;
    'all: for concern in concerns {
        let named = objects.get(&concern.at).into_iter().flatten();
        let named = named.map(|text| Where { text: text.to_string(), is_named: true });
        let unnamed = Where { text: asking.fresh(&concern.at), is_named: false };
        for scope in named.chain([unnamed]) {
            match asking.at(concern, &scope) {
                Ok(()) => {}
                Err(Ended::Cut) => {
                    is_cut = true;
                    break 'all;
                }
                Err(Ended::Failed(error)) => return Err(error),
            }
        }
    }
    Ok(Compared { questions: asking.asked, is_cut })
}

/// The objects that tuples name, by the names of their types, in byte order.
fn objects_by_type(worlds: &Worlds) -> BTreeMap<String, Vec<Arc<str>>> {
    let mut objects: BTreeMap<String, BTreeSet<Arc<str>>> = BTreeMap::new();
    for snapshot in [&worlds.old.snapshot, &worlds.new.snapshot] {
        let model = snapshot.model();
        for id in (0u16..).map(TypeId).take(model.types.len()) {
            let of = objects.entry(model.type_name(id).to_owned()).or_default();
            of.extend(snapshot.objects_of(id).map(|(_, text)| Arc::from(text)));
        }
    }
    objects.into_iter().map(|(of, texts)| (of, texts.into_iter().collect())).collect()
}

/// Why asking ended.
enum Ended<E> {
    /// No questions are left.
    Cut,
    /// It cannot be told.
    Failed(E),
}

/// A scope.
struct Where {
    text: String,
    is_named: bool,
}

struct Asking<'a, E> {
    worlds: &'a Worlds,
    objects: &'a BTreeMap<String, Vec<Arc<str>>>,
    now: Time,
    context: Context,
    asked: u64,
    questions_max: u64,
    tell: &'a mut dyn FnMut(Told) -> Result<(), E>,
}

/// A permission at a scope, in one of the worlds.
struct Place<'a> {
    held: &'a Held,
    permission: NameId,
    scope: Object,
}

impl<E> Asking<'_, E> {
    /// An object of this type that no tuple names.
    fn fresh(&self, of: &str) -> String {
        let is_known = |text: &str| {
            [&self.worlds.old, &self.worlds.new]
                .iter()
                .any(|held| held.snapshot.find(text).is_some())
        };
        let mut text = format!("{of}:unnamed");
        while is_known(&text) {
            text.push('-');
        }
        text
    }

    fn charge(&mut self) -> Result<(), Ended<E>> {
        if self.asked >= self.questions_max {
            return Err(Ended::Cut);
        }
        self.asked += 1;
        if self.asked.is_multiple_of(1_000) {
            (self.tell)(Told::Asked(self.asked)).map_err(Ended::Failed)?;
        }
        Ok(())
    }

    fn at(&mut self, concern: &Concern, scope: &Where) -> Result<(), Ended<E>> {
        let worlds = self.worlds;
        let places = [&worlds.old, &worlds.new].map(|held| held.place(concern, &scope.text));
        for of in &concern.subjects {
            let (mut everyone, mut names) = (false, BTreeSet::new());
            for place in places.iter().flatten() {
                self.charge()?;
                everyone |= place.candidates(of, self.now, &mut names);
            }
            let mut parties = Vec::new();
            if everyone {
                names.extend(self.objects.get(of).into_iter().flatten().cloned());
                if *of == concern.at {
                    names.insert(scope.text.as_str().into());
                }
                parties.extend([Party::All(of.clone()), Party::Unnamed(of.clone())]);
            }
            let named = |text: Arc<str>| match *text == *scope.text && !scope.is_named {
                true => Party::Itself(of.clone()),
                false => Party::Named(text.to_string()),
            };
            parties.extend(names.into_iter().map(named));
            for party in parties {
                self.ask(concern, scope, &places, party)?;
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        concern: &Concern,
        scope: &Where,
        places: &[Option<Place<'_>>; 2],
        subject: Party,
    ) -> Result<(), Ended<E>> {
        let mut answers = [Answer::No; 2];
        let mut failed = None;
        for (answer, place) in answers.iter_mut().zip(places) {
            let Some(place) = place else { continue };
            self.charge()?;
            match place.ask(&subject, &self.context, self.now) {
                Ok(found) => *answer = found,
                Err(error) => failed = Some(error),
            }
        }
        let [old, new] = answers;
        if failed.is_none() && old == new {
            return Ok(());
        }
        let permission = concern.permission.clone();
        let scope = match scope.is_named {
            true => Party::Named(scope.text.clone()),
            false => Party::Unnamed(concern.at.clone()),
        };
        let told = match failed {
            Some(error) => Told::Unanswered { subject, permission, scope, error },
            None => Told::Difference(Difference { subject, permission, scope, old, new }),
        };
        (self.tell)(told).map_err(Ended::Failed)
    }
}

impl Held {
    /// `None`: under this model the permission cannot be asked there, so nobody may.
    fn place(&self, concern: &Concern, scope: &str) -> Option<Place<'_>> {
        let model = self.snapshot.model();
        let permission = model.name_id(&concern.permission)?;
        let def = model.def(model.type_id(&concern.at)?, permission)?;
        let scope = Object::parse(scope).ok()?;
        (def.kind == DefKind::Permission).then_some(Place { held: self, permission, scope })
    }
}

impl Place<'_> {
    /// Adds those of a type who may have the permission; true: anybody may.
    fn candidates(&self, of: &str, now: Time, names: &mut BTreeSet<Arc<str>>) -> bool {
        let snapshot = &self.held.snapshot;
        let Some(wanted) = snapshot.model().type_id(of) else { return false };
        let mut view = View::new(snapshot);
        let Some(scope) = view.object(&self.scope) else { return false };
        let place = (self.permission, scope);
        let none = Context::default();
        let gathered = gather(&view, &self.held.plan, place, wanted, &none, now);
        let found = gathered.found.iter().filter_map(|id| view.text_of(id));
        names.extend(found.map(Arc::from));
        gathered.everyone
    }

    fn ask(&self, party: &Party, context: &Context, now: Time) -> Result<Answer, EngineError> {
        let mut view = View::new(&self.held.snapshot);
        let scope = view.object(&self.scope);
        let subject = self.subject(party, scope, &mut view);
        // Of a type that this model does not have.
        let (Some(scope), Some(subject)) = (scope, subject) else { return Ok(Answer::No) };
        let question = (subject, self.permission, scope);
        Ok(match known(&view, &self.held.plan, question, context, now)? {
            Some(true) => Answer::Yes,
            Some(false) => Answer::No,
            None => Answer::Unknown,
        })
    }

    fn subject(
        &self,
        party: &Party,
        scope: Option<ObjectId>,
        view: &mut View<'_>,
    ) -> Option<SubjectKey> {
        let model = self.held.snapshot.model();
        match party {
            Party::All(of) => view.subject(&Subject::All(Name::parse(of).ok()?)),
            Party::Unnamed(of) => view.nameless(model.type_id(of)?).map(SubjectKey::Object),
            Party::Itself(_) => scope.map(SubjectKey::Object),
            Party::Named(text) => view.object(&Object::parse(text).ok()?).map(SubjectKey::Object),
        }
    }
}
