//! A model from texts, and its forms as texts.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bailiwick::model::form::{DefKind, Expr, Model};
use bailiwick::model::{SourceFiles, load};

/// `model.yaml` and a matrix `m.csv`.
pub(super) fn files(model: &str, matrix: &str) -> SourceFiles {
    [("model.yaml", model), ("m.csv", matrix)].into_iter().collect()
}

/// A model without problems.
pub(super) fn model(yaml: &str, matrix: &str) -> Model {
    load(&files(yaml, matrix), &BTreeMap::new()).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The problems of a faulty model, one per line.
pub(super) fn problems(yaml: &str, matrix: &str) -> String {
    match load(&files(yaml, matrix), &BTreeMap::new()) {
        Ok(_) => "no problem".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// Every definition, one per line: `type name kind: form`, in the order of names.
pub(super) fn forms(model: &Model) -> String {
    let mut lines = Vec::new();
    for def in &model.types {
        let at = def.name.as_ref().unwrap();
        for (name, value) in &def.defs {
            let kind = match value.kind {
                DefKind::Role => "role",
                DefKind::Permission => "permission",
                DefKind::Computed => "name",
                DefKind::Helper => "helper",
            };
            lines.push(format!(
                "{at} {} {kind}: {}",
                model.name_of(*name),
                form(model, &value.expr)
            ));
        }
    }
    lines.sort();
    lines.join("\n")
}

/// The form of one name at one type.
pub(super) fn form_of(model: &Model, at: &str, name: &str) -> String {
    let at = model.type_id(at).expect("a type");
    let name = model.name_id(name).expect("a name");
    form(model, &model.def(at, name).expect("a definition").expr)
}

fn form(model: &Model, expr: &Expr) -> String {
    let list = |terms: &[Expr]| {
        let mut text = String::new();
        for (i, term) in terms.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            let _ = write!(text, "{comma}{}", form(model, term));
        }
        text
    };
    match expr {
        Expr::Here(role) => format!("here {}", model.name_of(*role)),
        Expr::HereAny(roles) => {
            let roles: Vec<Expr> = roles.iter().copied().map(Expr::Here).collect();
            format!("any({})", list(&roles))
        }
        Expr::Ref(name) => format!("ref {}", model.name_of(*name)),
        Expr::Up { relation, name } => {
            format!("up {} {}", model.name_of(*relation), model.name_of(*name))
        }
        Expr::UpAll { relation, name } => {
            format!("up_all {} {}", model.name_of(*relation), model.name_of(*name))
        }
        Expr::Any(terms) if terms.is_empty() => "no".to_owned(),
        Expr::All(terms) if terms.is_empty() => "yes".to_owned(),
        Expr::Any(terms) => format!("any({})", list(terms)),
        Expr::All(terms) => format!("all({})", list(terms)),
        Expr::Except(term, taken) => {
            format!("except({}, {})", form(model, term), form(model, taken))
        }
        Expr::Fact(test) => format!("fact {}", test.feature),
        Expr::Standing(test) => format!("standing {}", test.feature),
        Expr::SelfIs => "self".to_owned(),
        Expr::Condition(id) => format!("condition {}", model.condition(*id).unwrap().name),
        Expr::Anywhere { scopes, name } => {
            format!("anywhere {} {}", model.type_name(*scopes), model.name_of(*name))
        }
        Expr::As { link, expr } => {
            format!("as {} {}", model.name_of(*link), form(model, expr))
        }
        Expr::OfTarget(inner) => format!("of target {}", form(model, inner)),
    }
}
