//! Resolves the words of expressions: syntax trees to the general form, gates expanded, parameters
//! folded. Knows nothing of the scopes where an expression stands; see `lift` for that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::ParameterValue;
use super::build::{all, any, depth, except, has_links, linked, no, nodes, yes};
use super::draft::Draft;
use super::rows::check_pattern;
use crate::model::expression::{self, Function, Name, Term};
use crate::model::form::{Expr, FactKind, FactTest, NameId};
use crate::model::limits::{
    EXPRESSION_DEPTH_MAX, EXPRESSION_EXPANDED_DEPTH_MAX, EXPRESSION_NODES_MAX,
};
use crate::model::names::{Object, quoted};
use crate::model::pattern::matches;
use crate::model::problem::Position;
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// Where a word stands decides what it may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    /// In `model.yaml`: gates and names.
    Names,
    /// In a gate cell of a matrix: facts as well.
    Facts,
}

/// A gate of `gates:`.
#[derive(Debug)]
enum Gate {
    Source(Word),
    /// It is being resolved: a gate that meets itself is circular.
    Open,
    Done(Expr),
    /// Its own problem is reported already.
    Broken,
}

/// Turns texts into expressions. Every text is resolved once, whatever the types it is used at.
#[derive(Debug)]
pub(super) struct Resolver<'d> {
    pub(super) draft: &'d mut Draft,
    gates: BTreeMap<String, Gate>,
    relations: HashSet<NameId>,
    roles: HashSet<NameId>,
    /// Gate cells repeat; those without a problem are kept.
    cells: HashMap<String, Rc<Expr>>,
    /// The lists of patterns that were looked at as a whole.
    lists: HashSet<String>,
    /// The names of the gates being resolved, outermost first.
    open: Vec<String>,
    nodes: usize,
    /// So many right sides of `except` lie around what is being resolved.
    taken: usize,
}

impl<'d> Resolver<'d> {
    /// Resolves every gate, used or not.
    pub(super) fn new(gates: &[(Word, Word)], draft: &'d mut Draft) -> Self {
        let mut held = BTreeMap::new();
        for (word, source) in gates {
            let Some(name) = draft.new_name(word) else { continue };
            if draft.names.get(name.as_str()).is_some_and(|id| draft.known.contains(&id)) {
                let message =
                    format!("the gate `{name}` is a role, permission or computed name too");
                draft.report.push(&word.at, message);
            }
            held.insert(name.to_string(), Gate::Source(source.clone()));
        }
        let edges = draft.types.iter().flat_map(|def| &def.edges);
        let relations = edges.map(|edge| edge.relation).collect();
        let roles = draft.types.iter().flat_map(|def| &def.roles).map(|role| role.name).collect();
        let cells = HashMap::new();
        let mut resolver = Self {
            draft,
            gates: held,
            relations,
            roles,
            cells,
            lists: HashSet::new(),
            open: Vec::new(),
            nodes: 0,
            taken: 0,
        };
        for (word, _) in gates {
            resolver.nodes = 0;
            resolver.gate(&word.text, &word.at, 0);
        }
        resolver
    }

    /// The expression of a text in `model.yaml`; no, if there is a problem with it.
    pub(super) fn text(&mut self, word: &Word) -> Rc<Expr> {
        Rc::new(self.expr(word, Words::Names).unwrap_or_else(no))
    }

    /// The expression of a matrix' gate cell; no, if there is a problem with it.
    pub(super) fn cell(&mut self, word: &Word) -> Rc<Expr> {
        if let Some(expr) = self.cells.get(&word.text) {
            return Rc::clone(expr);
        }
        let Some(expr) = self.expr(word, Words::Facts) else { return Rc::new(no()) };
        let expr = Rc::new(expr);
        self.cells.insert(word.text.clone(), Rc::clone(&expr));
        expr
    }

    fn expr(&mut self, word: &Word, words: Words) -> Option<Expr> {
        self.nodes = 0;
        let term = expression::parse(word, &mut self.draft.report)?;
        self.term(&term, words, 0)
    }

    fn spend(&mut self, nodes: usize, at: &Position) -> Option<()> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= EXPRESSION_NODES_MAX {
            return Some(());
        }
        let message =
            format!("with its gates the expression has over {EXPRESSION_NODES_MAX} terms");
        self.draft.report.push(at, message);
        None
    }

    /// `None` if there is a problem; every term is looked at nonetheless.
    fn term(&mut self, term: &Term, words: Words, level: usize) -> Option<Expr> {
        match term {
            Term::Yes => Some(yes()),
            Term::No => Some(no()),
            Term::SelfIs => Some(Expr::SelfIs),
            Term::Name(name) => {
                self.spend(1, &name.at)?;
                self.name(name, words, level)
            }
            Term::Call(function, first, second) => {
                self.spend(1, &first.at)?;
                self.call(*function, first, second.as_ref())
            }
            Term::Any(terms) => Some(any(self.terms(terms, words, level)?)),
            Term::All(terms) => Some(all(self.terms(terms, words, level)?)),
            Term::Except(term, taken) => {
                let term = self.term(term, words, level + 1);
                self.taken += 1;
                let taken = self.term(taken, words, level + 1);
                self.taken -= 1;
                Some(except(term?, taken?))
            }
            Term::As(at, link, inner) => {
                self.spend(1, at)?;
                let link = self.relation(link);
                let inner = self.term(inner, words, level + 1);
                self.not_taken(at)?;
                Some(linked(link?, inner?))
            }
            Term::OfTarget(at, inner) => {
                self.spend(1, at)?;
                // Not folded, be it a constant: without a target it is unknown.
                Some(Expr::OfTarget(Box::new(self.term(inner, words, level + 1)?)))
            }
            Term::Within(at) => {
                self.spend(1, at)?;
                Some(Expr::Ref(self.draft.within(at)))
            }
        }
    }

    /// What asks linked subjects must not stand under the right side of `except`: an account more would
    /// take away.
    fn not_taken(&mut self, at: &Position) -> Option<()> {
        if self.taken == 0 {
            return Some(());
        }
        self.draft.report.push(at, "`as` must not stand under the right side of `except`");
        None
    }

    fn terms(&mut self, terms: &[Term], words: Words, level: usize) -> Option<Vec<Expr>> {
        let found: Vec<_> = terms.iter().map(|term| self.term(term, words, level + 1)).collect();
        found.into_iter().collect()
    }

    fn name(&mut self, name: &Name, words: Words, level: usize) -> Option<Expr> {
        if self.gates.contains_key(&name.text) {
            return self.gate(&name.text, &name.at, level);
        }
        let is_fact = words == Words::Facts && {
            let fact = name.text.split(':').next().unwrap_or_default();
            self.draft.fact_of(fact).is_some()
        };
        let known = self.known_name(&name.text);
        match (is_fact, known) {
            (true, Some(_)) => {
                let message = format!("`{}` is a fact and a name: which?", quoted(&name.text));
                self.draft.report.push(&name.at, message);
                None
            }
            (true, None) => self.fact(name).map(Expr::Fact),
            (false, Some(id)) => Some(Expr::Ref(id)),
            (false, None) => {
                self.unknown_word(name, words);
                None
            }
        }
    }

    fn known_name(&self, text: &str) -> Option<NameId> {
        self.draft.names.get(text).filter(|id| self.draft.known.contains(id))
    }

    fn unknown_word(&mut self, name: &Name, words: Words) {
        let text = &name.text;
        let (bare, shown) = (text.split(':').next().unwrap_or_default(), quoted(text));
        let message = if words == Words::Facts && text.contains(':') {
            let near = did_you_mean(bare, self.draft.facts.iter().map(|f| f.name.as_str()));
            format!("`{}` is no fact{near}", quoted(bare))
        } else if self.draft.parameters.contains_key(text) {
            format!("`{shown}` is a parameter: write `parameter({shown})`")
        } else if self.draft.fact_of(bare).is_some() {
            format!("`{shown}` is a fact: write `fact({shown})` or `standing({shown})`")
        } else if self.draft.conditions.iter().any(|c| c.name.as_str() == text) {
            format!("`{shown}` is a condition: write `condition({shown})`")
        } else {
            let names = self.draft.known.iter().map(|id| self.draft.names.text(*id));
            let gates = self.gates.keys().map(String::as_str);
            let facts = self.draft.facts.iter().map(|fact| fact.name.as_str());
            let facts = facts.filter(|_| words == Words::Facts);
            let near = did_you_mean(text, names.chain(gates).chain(facts));
            format!("`{shown}` is no gate, role, permission or computed name{near}")
        };
        self.draft.report.push(&name.at, message);
    }

    fn gate(&mut self, name: &str, at: &Position, level: usize) -> Option<Expr> {
        match self.gates.get_mut(name)? {
            Gate::Done(expr) => {
                let expr = expr.clone();
                self.spend(nodes(&expr), at)?;
                if level + depth(&expr) > EXPRESSION_EXPANDED_DEPTH_MAX {
                    let message = format!(
                        "with its gates the expression has over {EXPRESSION_EXPANDED_DEPTH_MAX} levels"
                    );
                    self.draft.report.push(at, message);
                    return None;
                }
                if has_links(&expr) {
                    self.not_taken(at)?;
                }
                Some(expr)
            }
            Gate::Broken => None,
            Gate::Open => {
                let from = self.open.iter().position(|open| open == name).unwrap_or(0);
                let mut path = self.open.get(from..).unwrap_or_default().join("` -> `");
                path.push_str("` -> `");
                let message = format!("the gate `{name}` contains itself: `{path}{name}`");
                self.draft.report.push(at, message);
                None
            }
            gate @ Gate::Source(_) => {
                let Gate::Source(source) = std::mem::replace(gate, Gate::Open) else { return None };
                self.open.push(name.to_owned());
                let expr = if self.open.len() > EXPRESSION_DEPTH_MAX {
                    let message = format!("gates within gates, over {EXPRESSION_DEPTH_MAX} deep");
                    self.draft.report.push(at, message);
                    None
                } else {
                    let before = std::mem::take(&mut self.nodes);
                    let taken = std::mem::take(&mut self.taken);
                    let term = expression::parse(&source, &mut self.draft.report);
                    let expr = term.and_then(|term| self.term(&term, Words::Names, 0));
                    (self.nodes, self.taken) = (before, taken);
                    expr
                };
                self.open.pop();
                let done = expr.map_or(Gate::Broken, Gate::Done);
                self.gates.insert(name.to_owned(), done);
                self.gate(name, at, level)
            }
        }
    }

    fn call(&mut self, function: Function, first: &Name, second: Option<&Name>) -> Option<Expr> {
        Some(match function {
            Function::Here => Expr::Here(self.role(first)?),
            Function::Up | Function::UpAll => {
                let (relation, name) = (self.relation(first), self.target(second?));
                let (relation, name) = (relation?, name?);
                if function == Function::Up {
                    Expr::Up { relation, name }
                } else {
                    Expr::UpAll { relation, name }
                }
            }
            Function::Fact => Expr::Fact(self.fact(first)?),
            Function::Standing => Expr::Standing(self.fact(first)?),
            Function::Condition => {
                Expr::Condition(self.draft.condition_of(&first.text, &first.at)?)
            }
            Function::Anywhere => {
                let word = Word::on_line(&first.text, &first.at);
                let (scopes, name) = (self.draft.type_of(&word), self.target(second?));
                let (scopes, name) = (scopes?, name?);
                if !self.draft.meanings.contains_key(&(scopes, name)) {
                    let text = quoted(&second?.text);
                    let near = did_you_mean(&text, self.draft.names_at(scopes));
                    let message = format!("`{text}` is no name on `{}`{near}", quoted(&first.text));
                    self.draft.report.push(&second?.at, message);
                    return None;
                }
                Expr::Anywhere { scopes, name }
            }
            Function::Parameter => return self.parameter(first),
        })
    }

    fn role(&mut self, name: &Name) -> Option<NameId> {
        let id = self.draft.names.get(&name.text).filter(|id| self.roles.contains(id));
        if id.is_none() {
            let known = self.roles.iter().map(|id| self.draft.names.text(*id));
            let near = did_you_mean(&name.text, known);
            self.draft.unknown(&name.text, &name.at, "role", &near);
        }
        id
    }

    fn relation(&mut self, name: &Name) -> Option<NameId> {
        let id = self.draft.names.get(&name.text).filter(|id| self.relations.contains(id));
        if id.is_none() {
            let known = self.relations.iter().map(|id| self.draft.names.text(*id));
            let near = did_you_mean(&name.text, known);
            self.draft.unknown(&name.text, &name.at, "relation", &near);
        }
        id
    }

    /// A relation that is said beside an expression.
    pub(super) fn link(&mut self, word: &Word) -> Option<NameId> {
        self.relation(&Name { text: word.text.clone(), at: word.at.clone() })
    }

    /// A name asked at another scope; a gate has no value of its own there.
    fn target(&mut self, name: &Name) -> Option<NameId> {
        let id = self.known_name(&name.text);
        if id.is_none() {
            let message = if self.gates.contains_key(&name.text) {
                let shown = quoted(&name.text);
                format!("`{shown}` is a gate: give it a computed name in `names`")
            } else {
                let known = self.draft.known.iter().map(|id| self.draft.names.text(*id));
                let near = did_you_mean(&name.text, known);
                format!("`{}` is no role, permission or computed name{near}", quoted(&name.text))
            };
            self.draft.report.push(&name.at, message);
        }
        id
    }

    fn fact(&mut self, name: &Name) -> Option<FactTest> {
        let (text, member) = match name.text.split_once(':') {
            Some((text, member)) => (text, Some(member)),
            None => (name.text.as_str(), None),
        };
        let Some(fact) = self.draft.fact_of(text) else {
            let near = did_you_mean(text, self.draft.facts.iter().map(|f| f.name.as_str()));
            self.draft.unknown(text, &name.at, "fact", &near);
            return None;
        };
        let kind = self.draft.facts.get(usize::from(fact.0)).map(|def| &def.kind)?;
        let feature = match Object::parse(&format!("feature:{}", name.text)) {
            Ok(feature) => feature,
            Err(error) => {
                self.draft.report.push(&name.at, error.to_string());
                return None;
            }
        };
        let shown = quoted(text);
        let wrong = match (kind, member) {
            (FactKind::Flag, None) | (FactKind::Set, Some(_)) => None,
            (FactKind::Flag, Some(_)) => Some(format!("`{shown}` is a flag and has no members")),
            (FactKind::Set, None) => Some(format!("`{shown}` is a set: expected `{shown}:MEMBER`")),
            (FactKind::OneOf(values), _) if values.contains(&feature) => None,
            (FactKind::OneOf(values), _) => {
                let prefix = format!("{text}:");
                let known: Vec<&str> =
                    values.iter().filter_map(|v| v.id().strip_prefix(&prefix)).collect();
                let near = did_you_mean(member.unwrap_or_default(), known.iter().copied());
                let known = known.join(", ");
                let value = quoted(member.unwrap_or_default());
                Some(format!("`{value}` is no value of `{shown}`: expected one of {known}{near}"))
            }
        };
        if let Some(message) = wrong {
            self.draft.report.push(&name.at, message);
            return None;
        }
        Some(FactTest { fact, feature })
    }

    /// Reports the patterns of a list that match no permission, once for each list: a slip there must not
    /// look like a permission that is not listed.
    fn check_list(&mut self, name: &str, at: &Position) {
        let Some(ParameterValue::Patterns(patterns)) = self.draft.parameters.get(name) else {
            return;
        };
        if !self.lists.insert(name.to_owned()) {
            return;
        }
        let patterns: Vec<Word> = patterns.iter().map(|text| Word::on_line(text, at)).collect();
        let draft = &*self.draft;
        let known = draft.known.iter().filter(|id| draft.is_permission(**id));
        let known: Vec<String> = known.map(|id| draft.names.text(*id).to_owned()).collect();
        for pattern in &patterns {
            check_pattern(pattern, known.iter().map(String::as_str), self.draft);
        }
    }

    /// A boolean's value; of a list, whether a permission is in it: `LIST:PERMISSION`.
    fn parameter(&mut self, name: &Name) -> Option<Expr> {
        let (text, row) = match name.text.split_once(':') {
            Some((text, row)) => (text, Some(row)),
            None => (name.text.as_str(), None),
        };
        let shown = quoted(text);
        let message = match (self.draft.parameters.get(text), row) {
            (Some(ParameterValue::Bool(value)), None) => {
                return Some(if *value { yes() } else { no() });
            }
            (Some(ParameterValue::Patterns(patterns)), Some(row)) => {
                let draft = &*self.draft;
                if draft.names.get(row).is_some_and(|id| draft.is_permission(id)) {
                    let is_listed = patterns.iter().any(|pattern| matches(pattern, row));
                    self.check_list(text, &name.at);
                    return Some(if is_listed { yes() } else { no() });
                }
                // A slip must not look like what is not in the list.
                let known = draft.known.iter().filter(|id| draft.is_permission(**id));
                let near = did_you_mean(row, known.map(|id| draft.names.text(*id)));
                format!("`{}` is no permission{near}", quoted(row))
            }
            (Some(ParameterValue::Bool(_)), Some(_)) => {
                format!("the parameter `{shown}` is a boolean and has no members")
            }
            (Some(ParameterValue::Patterns(_)), None) => format!(
                "the parameter `{shown}` is a list of patterns, not a boolean; whether it lists a \
                 permission is `parameter({shown}:PERMISSION)`"
            ),
            (None, _) => {
                let known = self.draft.parameters.keys().map(String::as_str);
                let near = did_you_mean(text, known);
                format!("`{shown}` is no parameter{near}")
            }
        };
        self.draft.report.push(&name.at, message);
        None
    }
}
