//! The model while it is being made: its tables of names, and look-ups that report what is unknown.
//! Knows no syntax but that of names.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::ParameterValue;
use super::hierarchy::Hierarchy;
use crate::model::expression::RESERVED;
use crate::model::form::{
    Condition, ConditionId, DefKind, Expr, FEATURE, FactDef, FactId, HAS, NameId, TypeDef, TypeId,
};
use crate::model::limits::MODEL_TERMS_MAX;
use crate::model::names::Name;
use crate::model::problem::{Position, Report};
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// Every name, by id; those that compilation made have no entry in `ids`, so nobody can name them.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    pub(super) texts: Vec<Name>,
    pub(super) ids: FxHashMap<Name, NameId>,
}

impl NameTable {
    pub(super) fn intern(&mut self, name: &Name) -> NameId {
        if let Some(id) = self.ids.get(name) {
            return *id;
        }
        let id = self.add(name.clone());
        self.ids.insert(name.clone(), id);
        id
    }

    /// A name for a helper. `what` is for people who read an explanation; it need not be unique.
    pub(super) fn helper(&mut self, of: NameId, what: &str) -> NameId {
        let text = format!("{}/{what}", self.text(of));
        let name = Name::parse(&text).ok().or_else(|| self.texts.get(of.0 as usize).cloned());
        name.map_or(of, |name| self.add(name))
    }

    /// A name for a helper that helps no one name.
    fn helper_for_all(&mut self, what: &str) -> Option<NameId> {
        Name::parse(what).ok().map(|name| self.add(name))
    }

    fn add(&mut self, name: Name) -> NameId {
        // More names than ids would need 4 billion of them; a model's text is bounded far below.
        let id = NameId(u32::try_from(self.texts.len()).unwrap_or(u32::MAX));
        self.texts.push(name);
        id
    }

    pub(super) fn get(&self, text: &str) -> Option<NameId> {
        self.ids.get(text).copied()
    }

    pub(super) fn text(&self, id: NameId) -> &str {
        self.texts.get(id.0 as usize).map_or("", Name::as_str)
    }
}

/// What a name means at a type, and where the author said so.
#[derive(Debug, Clone)]
pub(super) struct Meaning {
    pub(super) kind: DefKind,
    pub(super) at: Position,
    /// Rows of several matrices may give one permission; nothing else may be said twice.
    pub(super) shared: bool,
}

/// A role as bound on one type.
#[derive(Debug)]
pub(super) struct BoundRole {
    /// Its index among the type's roles.
    pub(super) index: usize,
    /// Its gates as written; each counts. They become `gated` once names are known.
    pub(super) gates: Rc<[Word]>,
}

/// The model so far.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) report: Report,
    pub(super) names: NameTable,
    pub(super) types: Vec<TypeDef>,
    pub(super) type_ids: FxHashMap<Name, TypeId>,
    pub(super) facts: Vec<FactDef>,
    pub(super) fact_ids: HashMap<Name, FactId>,
    pub(super) conditions: Vec<Condition>,
    pub(super) parameters: BTreeMap<String, ParameterValue>,
    pub(super) hierarchy: Hierarchy,
    /// Every role at the type it is bound on.
    pub(super) roles: BTreeMap<(TypeId, NameId), BoundRole>,
    /// The gate of a role at the type it is bound on; yes where it has none.
    pub(super) gated: HashMap<(TypeId, NameId), Rc<Expr>>,
    /// The helper that stands for `here(role)` where the role has a gate.
    pub(super) here: HashMap<(TypeId, NameId), NameId>,
    pub(super) meanings: BTreeMap<(TypeId, NameId), Meaning>,
    /// The names with a meaning at some type.
    pub(super) known: HashSet<NameId>,
    /// The helper that stands for `within(target)`, and where the model first says it.
    pub(super) within: Option<(NameId, Position)>,
    terms: usize,
}

impl Draft {
    /// With `feature` and `has`, which every model has.
    pub(super) fn new() -> Self {
        let mut draft = Self::default();
        if let (Ok(feature), Ok(has)) = (Name::parse("feature"), Name::parse("has")) {
            let def = TypeDef { name: Some(feature.clone()), ..TypeDef::default() };
            draft.types.push(def);
            draft.type_ids.insert(feature, FEATURE);
            draft.names.intern(&has);
        }
        draft
    }

    /// A name that the author gives to something.
    pub(super) fn new_name(&mut self, word: &Word) -> Option<Name> {
        let name = match Name::parse(&word.text) {
            Ok(name) => name,
            Err(error) => {
                self.report.push(&word.at, error.to_string());
                return None;
            }
        };
        if RESERVED.contains(&name.as_str()) || name.as_str() == "has" {
            let message = format!("`{name}` is a word of the language and cannot be a name");
            self.report.push(&word.at, message);
            return None;
        }
        Some(name)
    }

    pub(super) fn type_of(&mut self, word: &Word) -> Option<TypeId> {
        match self.type_ids.get(word.text.as_str()) {
            Some(&id) if id != FEATURE => Some(id),
            _ => {
                let known = self.type_ids.keys().map(Name::as_str).filter(|t| *t != "feature");
                let near = did_you_mean(&word.text, known);
                self.report.push(&word.at, format!("`{}` is no type{near}", word.quoted()));
                None
            }
        }
    }

    /// The types of a list, without repetition, in the author's order.
    pub(super) fn types_of(&mut self, words: &[Word]) -> Vec<TypeId> {
        let mut types = Vec::new();
        for word in words {
            let Some(id) = self.type_of(word) else { continue };
            if types.contains(&id) {
                self.report.push(&word.at, format!("`{}` is named twice", word.quoted()));
            } else {
                types.push(id);
            }
        }
        types
    }

    pub(super) fn conditions_of(&mut self, words: &[Word]) -> Vec<ConditionId> {
        words.iter().filter_map(|word| self.condition_of(&word.text, &word.at)).collect()
    }

    pub(super) fn condition_of(&mut self, text: &str, at: &Position) -> Option<ConditionId> {
        let place = self.conditions.iter().position(|c| c.name.as_str() == text);
        if let Some(id) = place.and_then(|place| u16::try_from(place).ok()) {
            return Some(ConditionId(id));
        }
        let near = did_you_mean(text, self.conditions.iter().map(|c| c.name.as_str()));
        self.unknown(text, at, "condition", &near);
        None
    }

    pub(super) fn fact_of(&self, text: &str) -> Option<FactId> {
        self.fact_ids.get(text).copied()
    }

    pub(super) fn unknown(&mut self, text: &str, at: &Position, what: &str, near: &str) {
        let value = crate::model::names::quoted(text);
        self.report.push(at, format!("`{value}` is no {what}{near}"));
    }

    /// Whether the model may grow by so many terms: a few lines can say the product of long lists.
    pub(super) fn spend(&mut self, terms: usize, at: &Position) -> bool {
        let before = self.terms;
        self.terms = self.terms.saturating_add(terms);
        let fits = self.terms <= MODEL_TERMS_MAX;
        if !fits && before <= MODEL_TERMS_MAX {
            self.report.push(at, format!("the model compiles into over {MODEL_TERMS_MAX} terms"));
        }
        fits
    }

    /// Whether some type has a permission of this name.
    pub(super) fn is_permission(&self, name: NameId) -> bool {
        let mut meanings = self.type_ids().filter_map(|at| self.meanings.get(&(at, name)));
        meanings.any(|meaning| meaning.kind == DefKind::Permission)
    }

    /// Whether there is room for so many terms, which are spent once they are made; if not, that is said.
    pub(super) fn can_spend(&mut self, terms: usize, at: &Position) -> bool {
        self.terms.saturating_add(terms) <= MODEL_TERMS_MAX || self.spend(terms, at)
    }

    /// It will not grow any more; a problem says so.
    pub(super) fn is_full(&self) -> bool {
        self.terms > MODEL_TERMS_MAX
    }

    /// The helper that stands for `within(target)`; `lift` defines it wherever it is asked.
    pub(super) fn within(&mut self, at: &Position) -> NameId {
        if let Some((name, _)) = &self.within {
            return *name;
        }
        // The name is well formed; without it nothing would be within anything.
        let name = self.names.helper_for_all("within").unwrap_or(HAS);
        self.within = Some((name, at.clone()));
        name
    }

    pub(super) fn type_def(&self, id: TypeId) -> Option<&TypeDef> {
        self.types.get(usize::from(id.0))
    }

    pub(super) fn type_def_mut(&mut self, id: TypeId) -> Option<&mut TypeDef> {
        self.types.get_mut(usize::from(id.0))
    }

    pub(super) fn type_name(&self, id: TypeId) -> &str {
        self.type_def(id).and_then(|def| def.name.as_ref()).map_or("", Name::as_str)
    }

    /// Every type but `feature`.
    pub(super) fn type_ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (1..self.types.len()).filter_map(|at| u16::try_from(at).ok().map(TypeId))
    }

    /// The role, if it is bound on this type.
    pub(super) fn is_bound(&self, at: TypeId, role: NameId) -> bool {
        self.roles.contains_key(&(at, role))
    }

    /// Gives a name its meaning at a type, unless it has another one.
    pub(super) fn claim(&mut self, at: TypeId, name: NameId, meaning: &Meaning) -> bool {
        let Some(held) = self.meanings.get(&(at, name)) else {
            if !self.spend(1, &meaning.at) {
                return false;
            }
            self.meanings.insert((at, name), meaning.clone());
            self.known.insert(name);
            return true;
        };
        if meaning.shared && held.shared && meaning.kind == held.kind {
            return true;
        }
        let (text, on) = (self.names.text(name), self.type_name(at));
        let message = format!(
            "{} `{text}` is {} on `{on}` too: one name has one meaning there",
            kind_text(meaning.kind),
            kind_text(held.kind),
        );
        self.report.push(&meaning.at, message);
        false
    }

    /// The names with a meaning at this type, for suggestions.
    pub(super) fn names_at(&self, at: TypeId) -> impl Iterator<Item = &str> {
        let from = self.meanings.range((at, HAS)..).take_while(move |((t, _), _)| *t == at);
        from.map(|((_, name), _)| self.names.text(*name))
    }
}

/// A kind, as a message says it.
pub(super) fn kind_text(kind: DefKind) -> &'static str {
    match kind {
        DefKind::Role => "a role",
        DefKind::Permission => "a permission",
        DefKind::Computed => "a computed name",
        DefKind::Helper => "a helper",
    }
}
