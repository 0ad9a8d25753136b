//! Random models, as the text that an author would write. Must not know what any of it means: a text
//! that the loader refuses is thrown away by the caller and another one is made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::model::form::Model;
use bailiwick::model::{MODEL_FILE, Problems, SourceFiles, load};
use fastrand::Rng;

use super::coverage::Mark;

/// A model's files, and for each row of a matrix which reach it has.
#[derive(Debug, Clone)]
pub(super) struct ModelText {
    pub(super) yaml: String,
    pub(super) csv: String,
    pub(super) reaches: BTreeMap<String, Mark>,
}

impl ModelText {
    /// The model, if the loader takes it.
    pub(super) fn load(&self) -> Result<Model, Problems> {
        let files = [(MODEL_FILE, &self.yaml), (MATRIX_FILE, &self.csv)];
        load(&SourceFiles::from_iter(files), &BTreeMap::new())
    }
}

/// The file that the matrix is read from.
pub(super) const MATRIX_FILE: &str = "matrix.csv";

/// The members of every set of facts.
pub(super) const MEMBERS: [&str; 2] = ["a", "b"];

/// The relations by which subjects are linked.
pub(super) const LINKS: [&str; 2] = ["account", "badge"];

const CONDITIONS: [(&str, &str); 5] = [
    ("office", r"{ parameters: { hour: int }, when: 'hour >= 8 && hour < 18' }"),
    ("open", r"{ parameters: { ok: bool }, when: 'ok' }"),
    (
        "region",
        r#"{ parameters: { region: string, hour: int }, when: 'region == "eu" || hour > 12' }"#,
    ),
    (
        "ratio",
        r"{ parameters: { level: double, hour: int }, when: 'level > 0.5 && 100 / hour > 5' }",
    ),
    (
        "network",
        r#"{ parameters: { ip: ipaddress, net: string }, when: 'ip.in_cidr("10.0.0.0/8") || !ip.in_cidr(net)' }"#,
    ),
];

const MATRIX_ROWS: [&str; 8] =
    ["mx.read", "mx.write", "mx.list", "mx.audit", "mx.invite", "mx.remove", "mx.tune", "mx.close"];

const SET_SUBJECTS: [&str; 9] = [
    "group#member",
    "group#lead",
    "group#trusted",
    "org#admin",
    "org#engineer",
    "org#staff",
    "site#crew",
    "site#technician",
    "folder#keeper",
];

/// Relations of some types whose names a role of another type may have.
const SHARED: [&str; 2] = ["twin", "partner"];

/// One type of the model being written.
#[derive(Debug)]
struct Kind {
    name: &'static str,
    parents: Vec<(&'static str, &'static str)>,
    arrows: Vec<(&'static str, &'static str)>,
    roles: Vec<&'static str>,
    facts: Vec<&'static str>,
}

/// A model being written: what there is to name so far.
#[derive(Debug)]
struct Draft<'r> {
    rng: &'r mut Rng,
    kinds: Vec<Kind>,
    /// The computed names and permissions written so far, and a type where each has a meaning.
    names: Vec<(String, &'static str)>,
    /// The right side of an except is being written, where nothing may be linked.
    taken: bool,
    yaml: String,
}

/// Writes a model.
pub(super) fn generate(rng: &mut Rng) -> ModelText {
    let kinds = kinds(rng);
    let mut draft = Draft { rng, kinds, names: Vec::new(), taken: false, yaml: String::new() };
    draft.line("model: random");
    draft.line("parameters: { strict: true, lax: false }");
    draft.types();
    draft.facts();
    draft.line("conditions:");
    for (name, body) in CONDITIONS {
        draft.line(&format!("  {name}: {body}"));
    }
    draft.gates();
    draft.computed();
    let roles = draft.roles();
    draft.yaml.push_str(&roles);
    let (csv, reaches) = draft.matrix();
    draft.permissions();
    ModelText { yaml: draft.yaml, csv, reaches }
}

fn kinds(rng: &mut Rng) -> Vec<Kind> {
    let mut kinds = Vec::new();
    let mut add = |name, parents: &[_], arrows: &[_], roles: &[_], facts: &[_], rng: &mut Rng| {
        kinds.push(Kind {
            name,
            parents: some(rng, 85, parents),
            arrows: some(rng, 60, arrows),
            roles: roles.to_vec(),
            facts: some(rng, 75, facts),
        });
    };
    let org_facts = ["verified", "module", "product"];
    let user_facts = ["blocked", "cert", "rank"];
    add(
        "org",
        &[("parent", "org")],
        &[("partner", "org")],
        &["admin", "engineer", "auditor"],
        &org_facts,
        rng,
    );
    add(
        "folder",
        &[("parent", "org"), ("parent", "folder")],
        &[],
        &[&["keeper"][..], &some(rng, 35, &SHARED)].concat(),
        &some(rng, 25, &org_facts),
        rng,
    );
    add(
        "site",
        &[("parent", "org")],
        &[("twin", "site")],
        &["admin", "technician"],
        &some(rng, 40, &org_facts),
        rng,
    );
    let upward = if rng.u8(..10) < 3 { &[("parent", "org")][..] } else { &[] };
    add("group", upward, &[], &["member", "lead"], &some(rng, 30, &user_facts), rng);
    let upward = if rng.u8(..10) < 4 { &[("team", "group"), ("parent", "org")][..] } else { &[] };
    add("user", upward, &[], &["delegate"], &user_facts, rng);
    add("person", &[], &[], &["carer"], &[], rng);
    let parents = [("parent", "site"), ("folder", "folder")];
    add("doc", &parents, &[("home", "org")], &["viewer", "editor", "banned"], &[], rng);
    kinds
}

/// Each of these with so many chances in a hundred.
fn some<T: Copy>(rng: &mut Rng, percent: u8, of: &[T]) -> Vec<T> {
    of.iter().copied().filter(|_| rng.u8(..100) < percent).collect()
}

impl Draft<'_> {
    fn line(&mut self, text: &str) {
        self.yaml.push_str(text);
        self.yaml.push('\n');
    }

    fn chance(&mut self, percent: u8) -> bool {
        self.rng.u8(..100) < percent
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.usize(..of.len())]
    }

    fn kind(&self, name: &str) -> &Kind {
        self.kinds.iter().find(|kind| kind.name == name).unwrap()
    }

    fn conditions(&mut self, percent: u8) -> String {
        let names = CONDITIONS.map(|(name, _)| name);
        let names = if self.chance(percent) { some(self.rng, 60, &names) } else { Vec::new() };
        format!("conditions: [{}]", names.join(", "))
    }

    fn types(&mut self) {
        self.line("types:");
        for at in 0..self.kinds.len() {
            let parents = self.parents(at).join(", ");
            let mut arrows = Vec::new();
            for (relation, target) in self.kinds[at].arrows.clone() {
                let conditions = self.conditions(40);
                arrows.push(format!("{relation}: {{ to: [{target}], {conditions} }}"));
            }
            let name = self.kinds[at].name;
            if name == "person" {
                for (link, to) in LINKS.into_iter().zip(["user, group", "user"]) {
                    let conditions = self.conditions(50);
                    arrows.push(format!("{link}: {{ to: [{to}], {conditions} }}"));
                }
            }
            let arrows = arrows.join(", ");
            self.line(&format!(
                "  {name}: {{ parents: {{ {parents} }}, relations: {{ {arrows} }} }}"
            ));
        }
    }

    fn parents(&mut self, at: usize) -> Vec<String> {
        let name = self.kinds[at].name;
        let parents = self.kinds[at].parents.clone();
        let mut said: BTreeMap<&str, String> = BTreeMap::new();
        let mut texts = Vec::new();
        for (relation, target) in &parents {
            let pass = self.chance(75);
            // What a relation is, it is for each of its targets.
            let options = match said.get(relation) {
                Some(options) => options.clone(),
                None => {
                    let many = self.chance(45);
                    // A hierarchy within one type may opt out of the rule against cycles.
                    let within = parents.contains(&(*relation, name));
                    let acyclic = !within || self.chance(88);
                    let conditions = self.conditions(30);
                    format!("many: {many}, acyclic: {acyclic}, {conditions}")
                }
            };
            texts.push(format!(
                "{target}: {{ relation: {relation}, roles_pass: {pass}, {options} }}"
            ));
            said.insert(relation, options);
        }
        texts
    }

    fn facts(&mut self) {
        self.line("facts:");
        for at in 0..self.kinds.len() {
            let has = |fact: &str| self.kinds[at].facts.contains(&fact);
            let list = |names: &[&str]| {
                names.iter().copied().filter(|n| has(n)).collect::<Vec<_>>().join(", ")
            };
            let flags = list(&["verified", "blocked"]);
            let sets = list(&["module", "cert"]);
            let mut enums = Vec::new();
            for (name, values) in [("product", "[pro, go]"), ("rank", "[junior, senior]")] {
                if has(name) {
                    enums.push(format!("{name}: {values}"));
                }
            }
            let (name, enums) = (self.kinds[at].name, enums.join(", "));
            self.line(&format!(
                "  {name}: {{ flags: [{flags}], sets: [{sets}], one_of: {{ {enums} }} }}"
            ));
        }
    }

    /// Something true or false of the scope or the subject alone, without any name.
    fn plain_test(&mut self) -> String {
        let facts: Vec<_> = self.kinds.iter().flat_map(|kind| kind.facts.clone()).collect();
        match self.rng.u8(..10) {
            0..=7 if !facts.is_empty() => {
                let fact = self.one(&facts);
                let test = match fact {
                    "module" | "cert" => format!("{fact}:{}", self.one(&MEMBERS)),
                    "product" => format!("{fact}:{}", self.one(&["pro", "go"])),
                    "rank" => format!("{fact}:{}", self.one(&["junior", "senior"])),
                    _ => fact.to_owned(),
                };
                let of_subject = matches!(fact, "blocked" | "cert" | "rank") || self.chance(15);
                if of_subject { format!("standing({test})") } else { format!("fact({test})") }
            }
            8 => format!("parameter({})", self.one(&["strict", "lax"])),
            _ => format!("condition({})", self.one(&CONDITIONS.map(|(name, _)| name))),
        }
    }

    fn gates(&mut self) {
        self.line("gates:");
        let (a, b, c) = (self.plain_test(), self.plain_test(), self.plain_test());
        self.line(&format!("  calm: \"yes except {a}\""));
        self.line(&format!("  either: \"{b} or {c}\""));
    }

    fn roles(&mut self) -> String {
        let mut text = String::from("roles:\n");
        for at in 0..self.kinds.len() {
            for name in self.kinds[at].roles.clone() {
                let mut bound_by = vec!["user"];
                bound_by.extend(some(self.rng, 25, &["user:*", "group", "group:*", "org"]));
                let sets = if self.chance(60) { 25 } else { 0 };
                bound_by.extend(some(self.rng, sets, &SET_SUBJECTS));
                if name == "member" {
                    bound_by.push("group#member");
                    bound_by.dedup();
                }
                bound_by.sort_unstable();
                bound_by.dedup();
                let bound_by: Vec<_> = bound_by.iter().map(|form| format!("\"{form}\"")).collect();
                let conditions = self.conditions(40);
                let gate = match self.rng.u8(..16) {
                    0 => format!(", gate: \"{}\"", self.plain_test()),
                    1 => format!(", gates: {{ {name}: \"either\" }}"),
                    _ => String::new(),
                };
                let at = self.kinds[at].name;
                let bound_by = bound_by.join(", ");
                let _ = writeln!(
                    text,
                    "  - {{ at: [{at}], names: [{name}], bound_by: [{bound_by}], {conditions}{gate} }}"
                );
            }
        }
        text
    }

    /// Something that an expression at this type may be made of.
    fn leaf(&mut self, at: &'static str) -> String {
        let kind = self.kind(at);
        let mut relations = kind.parents.clone();
        relations.extend(&kind.arrows);
        // A role's tuples lead up as a relation's do, where it has the name of one.
        let is_relation = |role: &&&str| {
            self.kinds.iter().any(|other| other.arrows.iter().any(|(name, _)| name == *role))
        };
        for role in kind.roles.iter().filter(is_relation) {
            relations.extend(["org", "group", "user"].map(|bearer| (*role, bearer)));
        }
        let role = kind.roles.clone();
        let role = self.one(&role);
        match self.rng.u8(..100) {
            0..=37 => role.to_owned(),
            38..=47 => self.name_at(at),
            48..=55 => format!("here({role})"),
            56..=71 if !relations.is_empty() => {
                let (relation, target) = self.one(&relations);
                let step = self.one(&["up", "up", "up_all"]);
                format!("{step}({relation}, {})", self.name_at(target))
            }
            72..=77 => {
                let of = self.one(&["org", "site", "group", "folder"]);
                format!("anywhere({of}, {})", self.name_at(of))
            }
            78..=79 => "self".to_owned(),
            80 => "within(target)".to_owned(),
            81 => "yes".to_owned(),
            82 => "no".to_owned(),
            83..=86 => self.one(&["calm", "either"]).to_owned(),
            _ => self.plain_test(),
        }
    }

    /// A role, permission or computed name that probably has a meaning at this type.
    fn name_at(&mut self, at: &str) -> String {
        let mut names: Vec<_> = self.kind(at).roles.iter().map(|role| (*role).to_owned()).collect();
        names.extend(self.names.iter().filter(|(_, of)| *of == at).map(|(name, _)| name.clone()));
        if self.chance(5) {
            names.push("auditor".to_owned());
        }
        let at = self.rng.usize(..names.len());
        names.swap_remove(at)
    }

    fn expr(&mut self, at: &'static str, depth: u8) -> String {
        if depth == 0 || self.chance(15) {
            return self.leaf(at);
        }
        let kind = self.rng.u8(..24);
        let left = self.expr(at, depth - 1);
        let before = self.taken;
        self.taken |= matches!(kind, 16..=17);
        let right = self.expr(at, depth - 1);
        self.taken = before;
        match kind {
            20.. if !self.taken => {
                let (link, inner) = (self.one(&LINKS), self.one(&LINKS));
                match self.rng.u8(..4) {
                    0 => format!("({left} or as({link}, as({inner}, {right})))"),
                    _ => format!("({left} or as({link}, {right}))"),
                }
            }
            0..=12 | 20.. => format!("({left} or {right})"),
            13..=15 => format!("({left} and {right})"),
            16..=17 => format!("({left} except {right})"),
            18 => format!("({left} or of(target, {right}))"),
            _ => format!("({left} and of(target, {right}))"),
        }
    }

    /// An expression for this name, which may go up to the name itself.
    fn definition(&mut self, name: &str, at: &'static str, depth: u8) -> String {
        let expr = self.expr(at, depth);
        let own = self.kind(at).parents.iter().find(|(_, target)| *target == at).copied();
        match (own, self.rng.u8(..10)) {
            (Some((relation, _)), 0..=2) => format!("{expr} or up({relation}, {name})"),
            (Some((relation, _)), 3..=4) => format!("{expr} except up({relation}, {name})"),
            (_, 5) => format!("{expr} or as({}, {name})", self.one(&LINKS)),
            _ => expr,
        }
    }

    fn computed(&mut self) {
        self.line("names:");
        let fixed = [("staff", "org"), ("crew", "site"), ("trusted", "group")];
        let more = [("aide", "doc"), ("chief", "org"), ("peer", "user"), ("holder", "folder")];
        for (name, at) in fixed.into_iter().chain(some(self.rng, 50, &more)) {
            let depth = self.rng.u8(..3);
            let is = self.definition(name, at, depth);
            self.line(&format!("  {name}: {{ at: [{at}], is: \"{is}\" }}"));
            self.names.push((name.to_owned(), at));
        }
    }

    fn permissions(&mut self) {
        self.line("permissions:");
        let places = ["org", "site", "doc", "doc", "folder", "group", "user", "org", "site"];
        for (i, at) in places.into_iter().enumerate() {
            let name = format!("do.{i}");
            let depth = self.rng.u8(1..4);
            let is = self.definition(&name, at, depth);
            self.line(&format!("  {name}: {{ at: [{at}], is: \"{is}\" }}"));
            self.names.push((name, at));
        }
    }

    fn matrix(&mut self) -> (String, BTreeMap<String, Mark>) {
        let gate = if self.chance(12) { self.plain_test() } else { "yes".to_owned() };
        let whole = self.one(&["[auditor]", "[]"]);
        self.line("matrices:");
        self.line(&format!(
            "  - {{ name: main, file: {MATRIX_FILE}, at: [org, site, doc], bound: org, gate: \"{gate}\", whole_matrix: {whole},"
        ));
        self.line("      columns: { technician: technician@site, site_admin: admin@site },");
        let mut reaches = BTreeMap::new();
        let mut csv =
            String::from("section,permission,admin,engineer,technician,site_admin,gate\n");
        let mut rows = Vec::new();
        for name in MATRIX_ROWS {
            let (mark, reach) = self.reach();
            let at = self.one(&["org", "site", "doc", "org, site", "site, doc", "org, site, doc"]);
            rows.push(format!("{name}: {{ at: [{at}]{reach} }}"));
            reaches.insert(name.to_owned(), mark);
            let cells: Vec<_> =
                (0..4).map(|_| self.one(&["yes", "x", "1", "yes", "", "no"])).collect();
            let gate = self.one(&["", "", "", "", "either", "calm", "either & calm"]);
            let _ = writeln!(csv, "main,{name},{},{gate}", cells.join(","));
        }
        self.line(&format!("      rows: {{ {} }},", rows.join(", ")));
        self.line("      cells: { mx.read: { engineer: strict }, mx.close: { admin: lax } } }");
        let (row, gate) = (self.one(&MATRIX_ROWS), self.plain_test());
        self.line(&format!("asked: [ {{ rows: {row}, gate: \"{gate}\" }} ]"));
        (csv, reaches)
    }

    fn reach(&mut self) -> (Mark, String) {
        let (mark, word) = self.one(&[
            (Mark::ReachDefault, ""),
            (Mark::ReachSelf, ", reach: self"),
            (Mark::ReachParents, ", reach: parents"),
            (Mark::ReachBoth, ", reach: both"),
            (Mark::ReachAnywhere, ", reach: anywhere"),
        ]);
        let bounded = matches!(mark, Mark::ReachParents | Mark::ReachBoth) && self.chance(40);
        let levels =
            if bounded { format!(", levels: {}", self.rng.u8(1..3)) } else { String::new() };
        (mark, format!("{word}{levels}"))
    }
}
