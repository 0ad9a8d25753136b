//! Random small models that delegate: what they say, kept as it was drawn, and the text of it that an
//! author would write. Must not know what any of it means.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bailiwick::model::form::Model;
use bailiwick::model::{MODEL_FILE, Problems, SourceFiles, load};
use fastrand::Rng;

/// A role and the type that it is bound on.
pub(super) type Bound = (&'static str, &'static str);

pub(super) const CONDITION: &str = "open";
/// The relation by which accounts of one person are linked, and the type that has it.
pub(super) const LINK: (&str, &str) = ("account", "person");

const TABLE_FILE: &str = "delegation.csv";
const ROLES: [Bound; 8] = [
    ("admin", "org"),
    ("clerk", "org"),
    ("admin", "zone"),
    ("guest", "zone"),
    ("owner", "site"),
    ("admin", "site"),
    ("guest", "site"),
    ("member", "group"),
];
const VERBS: [(&str, Option<Op>); 4] = [
    ("invite", Some(Op::Grant)),
    ("edit_role", Some(Op::Replace)),
    ("remove", Some(Op::Revoke)),
    ("block", None),
];
/// Those that admit all of a type, and sets.
const SUBJECTS: [&str; 7] =
    ["user:*", "group", "group:*", "group#member", "org#admin", "zone#guest", "site#owner"];
const FACTS: [&str; 4] = ["paid", "locked", "product:pro", "product:go"];
const STANDINGS: [&str; 2] = ["cert", "rank:senior"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Grant,
    Revoke,
    Replace,
}

/// The gate of a role, a cell, a verb.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Gate {
    Fact(&'static str),
    Standing(&'static str),
    Condition,
    Held(&'static str),
    Here(&'static str),
    WithinTarget,
    OfTarget(Box<Gate>),
    Not(Box<Gate>),
    And(Box<Gate>, Box<Gate>),
    Or(Box<Gate>, Box<Gate>),
}

impl Gate {
    fn text(&self) -> String {
        match self {
            Self::Fact(test) => format!("fact({test})"),
            Self::Standing(test) => format!("standing({test})"),
            Self::Condition => format!("condition({CONDITION})"),
            Self::Held(role) => (*role).to_owned(),
            Self::Here(role) => format!("here({role})"),
            Self::WithinTarget => "within(target)".to_owned(),
            Self::OfTarget(inner) => format!("of(target, {})", inner.text()),
            Self::Not(inner) => format!("(yes except {})", inner.text()),
            Self::And(a, b) => format!("({} and {})", a.text(), b.text()),
            Self::Or(a, b) => format!("({} or {})", a.text(), b.text()),
        }
    }
}

/// How a type leads to another.
#[derive(Debug, Clone)]
pub(super) struct Parent {
    pub(super) child: &'static str,
    pub(super) relation: &'static str,
    pub(super) parent: &'static str,
    pub(super) passes: bool,
    options: String,
}

#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) bound: Bound,
    pub(super) bound_by: Vec<&'static str>,
    /// All of them must hold.
    pub(super) gates: Vec<Gate>,
    conditions: &'static str,
}

#[derive(Debug, Clone)]
pub(super) struct Verb {
    pub(super) name: &'static str,
    pub(super) op: Option<Op>,
    pub(super) is_linked: bool,
    pub(super) gate: Option<Gate>,
    pub(super) by_role: Vec<(Bound, Gate)>,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) actor: Bound,
    pub(super) verb: &'static str,
    pub(super) target: Bound,
    pub(super) given: bool,
    pub(super) gate: Option<Gate>,
    text: String,
}

#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) parents: Vec<Parent>,
    pub(super) roles: Vec<Role>,
    pub(super) verbs: Vec<Verb>,
    pub(super) lines: Vec<Line>,
    facts_of_zones: bool,
}

impl Table {
    pub(super) fn generate(rng: &mut Rng) -> Self {
        let mut draft = Draft { rng };
        let parents = draft.parents();
        let roles = ROLES.map(|bound| draft.role(bound)).to_vec();
        let lines: Vec<Line> = VERBS.iter().flat_map(|(verb, _)| draft.lines(verb)).collect();
        let verbs = VERBS.map(|(name, op)| draft.verb(name, op, &lines)).to_vec();
        Self { parents, roles, verbs, lines, facts_of_zones: rng.bool() }
    }

    pub(super) fn role(&self, bound: (&str, &str)) -> Option<&Role> {
        self.roles.iter().find(|role| role.bound == bound)
    }

    /// The names of roles, each once.
    pub(super) fn role_names(&self) -> BTreeSet<&'static str> {
        self.roles.iter().map(|role| role.bound.0).collect()
    }

    /// # Errors
    /// The loader refuses it.
    pub(super) fn load(&self) -> Result<Model, Problems> {
        let (yaml, csv) = (self.yaml(), self.csv());
        let files = [(MODEL_FILE, &yaml), (TABLE_FILE, &csv)];
        load(&SourceFiles::from_iter(files), &BTreeMap::new())
    }

    pub(super) fn yaml(&self) -> String {
        let mut text = String::from(
            "model: delegated\nparameters: { strict: true, lax: false }\nconditions:\n  \
             open: { parameters: { ok: bool }, when: 'ok' }\ntypes:\n",
        );
        let (link, person) = LINK;
        let _ = writeln!(text, "  user: {{}}");
        let _ = writeln!(
            text,
            "  {person}: {{ relations: {{ {link}: {{ to: [user, group], conditions: [open] }} }} }}"
        );
        for child in ["org", "zone", "site", "group"] {
            let parents = self.parents.iter().filter(|parent| parent.child == child);
            let parents: Vec<String> = parents
                .map(|Parent { relation, parent, passes, options, .. }| {
                    format!("{parent}: {{ relation: {relation}, roles_pass: {passes}, {options} }}")
                })
                .collect();
            let _ = writeln!(text, "  {child}: {{ parents: {{ {} }} }}", parents.join(", "));
        }
        text.push_str(
            "facts:\n  user: { flags: [cert], one_of: { rank: [junior, senior] } }\n  \
             org: { flags: [paid], one_of: { product: [pro, go] } }\n  site: { flags: [locked] }\n",
        );
        if self.facts_of_zones {
            text.push_str("  zone: { flags: [paid], one_of: { product: [pro, go] } }\n");
        }
        text.push_str("roles:\n");
        for Role { bound: (name, at), bound_by, gates, conditions } in &self.roles {
            let forms: Vec<String> = bound_by.iter().map(|form| format!("\"{form}\"")).collect();
            let gates = match gates.as_slice() {
                [] => String::new(),
                [one] => format!(", gate: \"{}\"", one.text()),
                [all, own, ..] => {
                    format!(", gate: \"{}\", gates: {{ {name}: \"{}\" }}", all.text(), own.text())
                }
            };
            let forms = forms.join(", ");
            let _ = writeln!(
                text,
                "  - {{ at: [{at}], names: [{name}], bound_by: [{forms}], {conditions}{gates} }}"
            );
        }
        let _ = writeln!(text, "delegation:\n  file: {TABLE_FILE}\n  verbs:");
        for verb in &self.verbs {
            let _ = writeln!(text, "    {}: {{ {} }}", verb.name, verb.text().join(", "));
        }
        text
    }

    pub(super) fn csv(&self) -> String {
        let lines = self.lines.iter().map(|line| line.text.as_str());
        let header = "scope,actor_role,verb,target_role,allowed,gate\n";
        [header].into_iter().chain(lines).collect()
    }
}

impl Verb {
    fn text(&self) -> Vec<String> {
        let mut said = Vec::new();
        if let Some(op) = self.op {
            let op = match op {
                Op::Grant => "grant",
                Op::Revoke => "revoke",
                Op::Replace => "replace",
            };
            said.push(format!("op: {op}"));
        }
        if self.is_linked {
            said.push(format!("as: {}", LINK.0));
        }
        if let Some(gate) = &self.gate {
            said.push(format!("gate: \"{}\"", gate.text()));
        }
        let of =
            |((role, at), gate): &(Bound, Gate)| format!("\"{role}@{at}\": \"{}\"", gate.text());
        let by_role: Vec<String> = self.by_role.iter().map(of).collect();
        said.push(format!("roles: {{ {} }}", by_role.join(", ")));
        said
    }
}

/// A table being drawn.
struct Draft<'r> {
    rng: &'r mut Rng,
}

impl Draft<'_> {
    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())].clone()
    }

    fn parents(&mut self) -> Vec<Parent> {
        // One relation to both, or one to each.
        let to_zones = self.one(&["parent", "area"]);
        let all = [
            ("org", "parent", "org"),
            ("zone", "parent", "org"),
            ("site", "parent", "org"),
            ("site", to_zones, "zone"),
            ("group", "parent", "org"),
        ];
        let mut made: Vec<Parent> = Vec::new();
        for (child, relation, parent) in all {
            if self.chance(10) {
                continue;
            }
            let same = made.iter().find(|p| p.child == child && p.relation == relation);
            let options = same.map(|same| same.options.clone()).unwrap_or_else(|| {
                let conditions = if self.chance(60) { CONDITION } else { "" };
                format!("many: {}, conditions: [{conditions}]", self.chance(60))
            });
            let passes = self.chance(65);
            made.push(Parent { child, relation, parent, passes, options });
        }
        made
    }

    fn role(&mut self, bound: Bound) -> Role {
        let mut bound_by = vec!["user"];
        bound_by.extend(SUBJECTS.into_iter().filter(|_| self.chance(25)));
        if bound.1 == "group" && !bound_by.contains(&"group#member") {
            bound_by.push("group#member");
        }
        let count = if bound.1 == "group" { 0 } else { self.one(&[0, 0, 1, 2]) };
        let gates = (0..count).map(|_| self.plain_gate(1)).collect();
        let conditions = self.one(&["conditions: []", "conditions: [open]"]);
        Role { bound, bound_by, gates, conditions }
    }

    fn lines(&mut self, verb: &'static str) -> Vec<Line> {
        let mut lines = Vec::new();
        for target in ROLES {
            for actor in ROLES {
                if self.chance(45) {
                    lines.push(self.line(verb, actor, target));
                }
            }
        }
        self.rng.shuffle(&mut lines);
        lines
    }

    fn line(&mut self, verb: &'static str, actor: Bound, target: Bound) -> Line {
        let words = [("x", true), ("1", true), ("yes", true), ("strict", true)];
        let (word, given) = if self.chance(80) {
            self.one(&words)
        } else {
            self.one(&[("", false), ("no", false), ("lax", false)])
        };
        let (gate, gate_text) = match self.rng.u8(..10) {
            0..=5 => (None, String::new()),
            // The word of a fact alone is its test.
            6 => {
                let fact = self.one(&FACTS);
                (Some(Gate::Fact(fact)), fact.to_owned())
            }
            _ => {
                let gate = self.gate(1);
                let text = format!("\"{}\"", gate.text());
                (Some(gate), text)
            }
        };
        let typed = |(role, at): Bound| format!("{role}@{at}");
        let (scope, actor_text) = match self.rng.u8(..3) {
            0 => ("", typed(actor)),
            _ => (actor.1, actor.0.to_owned()),
        };
        let is_only = ROLES.iter().filter(|(role, _)| *role == target.0).count() == 1;
        let may_be_bare = is_only || scope == target.1;
        let target_text =
            if may_be_bare && self.chance(60) { target.0.to_owned() } else { typed(target) };
        let text = format!("{scope},{actor_text},{verb},{target_text},{word},{gate_text}\n");
        Line { actor, verb, target, given, gate, text }
    }

    fn verb(&mut self, name: &'static str, op: Option<Op>, lines: &[Line]) -> Verb {
        let is_linked = self.chance(60);
        let gate = if self.chance(25) { Some(self.gate(1)) } else { None };
        let said: BTreeSet<Bound> =
            lines.iter().filter(|line| line.verb == name).map(|line| line.target).collect();
        let by_role = said.into_iter().filter(|_| self.chance(20)).collect::<Vec<_>>();
        let by_role = by_role.into_iter().map(|target| (target, self.gate(1))).collect();
        Verb { name, op, is_linked, gate, by_role }
    }

    /// A gate that names no role, so that no role depends on itself.
    fn plain_gate(&mut self, depth: u8) -> Gate {
        if depth > 0 && self.chance(40) {
            return self.joined(depth, Self::plain_gate);
        }
        match self.rng.u8(..10) {
            0..=3 => Gate::Fact(self.one(&FACTS)),
            4..=8 => Gate::Standing(self.one(&STANDINGS)),
            _ => Gate::Condition,
        }
    }

    fn gate(&mut self, depth: u8) -> Gate {
        if depth > 0 && self.chance(40) {
            return self.joined(depth, Self::gate);
        }
        match self.rng.u8(..20) {
            0..=4 => Gate::Held(self.one(&ROLES).0),
            5..=6 => Gate::Here(self.one(&ROLES).0),
            7..=8 => Gate::WithinTarget,
            9..=11 => Gate::OfTarget(Box::new(self.gate(0))),
            _ => self.plain_gate(0),
        }
    }

    fn joined(&mut self, depth: u8, of: fn(&mut Self, u8) -> Gate) -> Gate {
        let left = Box::new(of(self, depth - 1));
        match self.rng.u8(..10) {
            0..=2 => Gate::Not(left),
            3..=5 => Gate::And(left, Box::new(of(self, depth - 1))),
            _ => Gate::Or(left, Box::new(of(self, depth - 1))),
        }
    }
}
