//! The words of a model, and what becomes of them in hands that slip: from a question that is answered
//! to texts that nothing is called. Knows no protobuf.

use std::collections::BTreeMap;
use std::path::Path;

use bailiwick::model::form::{DefKind, Expr, FactId, FactKind, Model, SubjectForm, TypeId};
use bailiwick::model::{SourceFiles, load};

/// How many ids each type has: few, so that requests meet one another.
const IDS: usize = 8;

/// What a message is about: texts that fit together, by the names of fields.
pub(super) type Theme = BTreeMap<&'static str, String>;

/// A tuple that the model admits, but for what is stored.
struct Bindable {
    scope: TypeId,
    role: String,
    subject: Held,
}

enum Held {
    Form(SubjectForm),
    Feature(String),
}

/// A model's words.
pub(super) struct Words {
    model: Model,
    bindable: Vec<Bindable>,
    /// Permissions and where they may be asked.
    questions: Vec<(String, TypeId)>,
    types: Vec<String>,
    /// Every name there is, for mixing up.
    all: Vec<String>,
    /// Subject sets that some role is bound by.
    sets: Vec<(TypeId, String)>,
    pub(super) matrices: Vec<String>,
    pub(super) verbs: Vec<String>,
    /// Conditions, and their parameters with the kind of each.
    pub(super) conditions: Vec<(String, Vec<(String, String)>)>,
}

impl Words {
    pub(super) fn of(dir: &Path) -> Self {
        let files = SourceFiles::read_dir(dir).unwrap();
        let model = load(&files, &BTreeMap::new()).unwrap();
        let (mut bindable, mut sets) = (Vec::new(), Vec::new());
        let features = features(&model);
        for (at, def) in model.types.iter().enumerate() {
            let scope = TypeId(u16::try_from(at).unwrap());
            let name = |id| model.name_of(id).to_owned();
            for role in &def.roles {
                for form in &role.bound_by {
                    if let SubjectForm::Set(of, set) = form {
                        sets.push((*of, name(*set)));
                    }
                    let subject = Held::Form(*form);
                    bindable.push(Bindable { scope, role: name(role.name), subject });
                }
            }
            for edge in &def.edges {
                for target in &edge.targets {
                    let subject = Held::Form(SubjectForm::Object(*target));
                    bindable.push(Bindable { scope, role: name(edge.relation), subject });
                }
            }
            for feature in
                def.facts.iter().flat_map(|fact| features.get(fact).into_iter().flatten())
            {
                let subject = Held::Feature(feature.clone());
                bindable.push(Bindable { scope, role: "has".into(), subject });
            }
        }
        let of_permission = |(name, permission): (&_, &bailiwick::model::form::Permission)| {
            let name: &bailiwick::model::names::Name = name;
            permission.at.iter().map(|at| (name.to_string(), *at)).collect::<Vec<_>>()
        };
        let questions: Vec<_> = model.permissions.iter().flat_map(of_permission).collect();
        let types: Vec<String> =
            model.types.iter().filter_map(|def| Some(def.name.as_ref()?.to_string())).collect();
        let mut all: Vec<String> = bindable.iter().map(|bindable| bindable.role.clone()).collect();
        all.extend(questions.iter().map(|(permission, _)| permission.clone()));
        all.extend(types.iter().cloned());
        all.sort();
        all.dedup();
        let conditions = model.conditions.iter().map(|condition| {
            let parameters = condition.parameters.iter();
            let parameters = parameters.map(|(name, kind)| (name.clone(), kind.to_string()));
            (condition.name.to_string(), parameters.collect())
        });
        let conditions = conditions.collect();
        let matrices = model.matrices.iter().map(|matrix| matrix.name.clone()).collect();
        let verbs = model.delegation.verbs.iter().map(|verb| verb.name.to_string()).collect();
        Self { matrices, verbs, bindable, questions, types, all, sets, conditions, model }
    }

    fn object(&self, of: TypeId, ids: &str, random: &mut fastrand::Rng) -> String {
        format!("{}:{ids}{}", self.model.type_name(of), random.usize(..IDS))
    }

    /// Somebody who may ask: mostly a person, sometimes a set.
    fn asker(&self, ids: &str, random: &mut fastrand::Rng) -> String {
        let people = self.model.type_id("user").unwrap();
        match random.u8(..20) {
            0 => "user:*".to_owned(),
            1..4 if !self.sets.is_empty() => {
                let (of, name) = &self.sets[random.usize(..self.sets.len())];
                format!("{}#{name}", self.object(*of, ids, random))
            }
            _ => self.object(people, ids, random),
        }
    }

    /// A question that is answered. `ids` begins every id.
    pub(super) fn question(&self, ids: &str, random: &mut fastrand::Rng) -> Theme {
        let (permission, at) = &self.questions[random.usize(..self.questions.len())];
        // Now and then at a type where it does not apply.
        let elsewhere = TypeId(u16::try_from(random.usize(1..self.model.types.len())).unwrap());
        let at = if random.u8(..20) == 0 { elsewhere } else { *at };
        let subject = self.asker(ids, random);
        Theme::from([
            ("subject_type", subject.split(':').next().unwrap().to_owned()),
            ("subject", subject),
            ("permission", permission.clone()),
            ("scope", self.object(at, ids, random)),
            ("scope_type", self.model.type_name(at).to_owned()),
            ("role", self.bindable[random.usize(..self.bindable.len())].role.clone()),
        ])
    }

    /// A tuple that the model admits.
    pub(super) fn tuple(&self, ids: &str, random: &mut fastrand::Rng) -> Theme {
        let chosen = &self.bindable[random.usize(..self.bindable.len())];
        let subject = match &chosen.subject {
            Held::Feature(feature) => feature.clone(),
            Held::Form(SubjectForm::Object(of)) => self.object(*of, ids, random),
            Held::Form(SubjectForm::All(of)) => format!("{}:*", self.model.type_name(*of)),
            Held::Form(SubjectForm::Set(of, name)) => {
                let name = self.model.name_of(*name);
                format!("{}#{name}", self.object(*of, ids, random))
            }
        };
        Theme::from([
            ("subject_type", subject.split(':').next().unwrap().to_owned()),
            ("subject", subject),
            ("permission", self.questions[random.usize(..self.questions.len())].0.clone()),
            ("scope", self.object(chosen.scope, ids, random)),
            ("scope_type", self.model.type_name(chosen.scope).to_owned()),
            ("role", chosen.role.clone()),
        ])
    }

    /// Whether this permission depends on scopes elsewhere, so that others' writes may change it.
    pub(super) fn looks_elsewhere(&self, permission: &str) -> bool {
        fn within(expr: &Expr) -> bool {
            match expr {
                Expr::Anywhere { .. } => true,
                Expr::Any(terms) | Expr::All(terms) => terms.iter().any(within),
                Expr::Except(left, right) => within(left) || within(right),
                // The links of a subject are others' to write.
                Expr::As { .. } => true,
                Expr::OfTarget(inner) => within(inner),
                _ => false,
            }
        }
        let Some(id) = self.model.name_id(permission) else { return true };
        let defs = self.model.types.iter().filter_map(|def| def.defs.get(&id));
        defs.filter(|def| def.kind == DefKind::Permission).any(|def| within(&def.expr))
    }

    /// One of the model's words, whatever it names.
    pub(super) fn any_word(&self, random: &mut fastrand::Rng) -> String {
        self.all[random.usize(..self.all.len())].clone()
    }

    /// A text that is nearly this one.
    pub(super) fn slip(&self, text: &str, random: &mut fastrand::Rng) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        match random.u8(..9) {
            0 if !chars.is_empty() => {
                chars.remove(random.usize(..chars.len()));
            }
            1 if chars.len() > 1 => {
                let at = random.usize(1..chars.len());
                chars.swap(at - 1, at);
            }
            2 => chars.insert(random.usize(..=chars.len()), random.alphabetic()),
            3 => return text.to_uppercase(),
            4 => return text.split([':', '#']).next().unwrap_or_default().to_owned(),
            5 => return format!("{}:{text}", self.types[random.usize(..self.types.len())]),
            6 => return format!("{text}#{}", self.any_word(random)),
            7 => return format!("{}:i1", self.any_word(random)),
            _ => return self.any_word(random),
        }
        chars.into_iter().collect()
    }
}

/// The features that expressions ask for, by fact; for facts of a fixed form, all of them.
fn features(model: &Model) -> BTreeMap<FactId, Vec<String>> {
    fn collect(expr: &Expr, found: &mut BTreeMap<FactId, Vec<String>>) {
        match expr {
            Expr::Fact(test) | Expr::Standing(test) => {
                found.entry(test.fact).or_default().push(test.feature.to_string());
            }
            Expr::Any(terms) | Expr::All(terms) => {
                terms.iter().for_each(|term| collect(term, found));
            }
            Expr::Except(left, right) => {
                collect(left, found);
                collect(right, found);
            }
            Expr::As { expr: inner, .. } | Expr::OfTarget(inner) => collect(inner, found),
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    for def in model.types.iter().flat_map(|def| def.defs.values()) {
        collect(&def.expr, &mut found);
    }
    for (at, fact) in model.facts.iter().enumerate() {
        let of = found.entry(FactId(u16::try_from(at).unwrap())).or_default();
        match &fact.kind {
            FactKind::Flag => of.push(format!("feature:{}", fact.name)),
            FactKind::OneOf(values) => of.extend(values.iter().map(ToString::to_string)),
            FactKind::Set => {}
        }
    }
    for of in found.values_mut() {
        of.sort();
        of.dedup();
    }
    found
}

/// A text that nothing is called, or nothing should be.
pub(super) fn garbage(random: &mut fastrand::Rng) -> String {
    const PIECES: [&str; 24] = [
        "", " ", ":", "#", "@", "*", "user:", ":*", "user:*", "\0", "\n", "\u{7f}", "\u{feff}",
        "é", "\u{202e}", "😀", "'", "\"", "\\", "../", "%s%n", "{}", "a\u{301}", "bw1.",
    ];
    match random.u8(..20) {
        0 => "x".repeat(random.usize(100..3_000)),
        1 => "\u{fffd}".repeat(random.usize(1..2_000)),
        2 => format!("user:{}", "i".repeat(random.usize(1_000..1_050))),
        3 if random.u8(..30) == 0 => "y".repeat(random.usize(60_000..300_000)),
        _ => {
            let piece = |random: &mut fastrand::Rng| match random.u8(..3) {
                0 => random.char(..).to_string(),
                _ => PIECES[random.usize(..PIECES.len())].to_owned(),
            };
            (0..random.usize(..6)).map(|_| piece(random)).collect()
        }
    }
}
