//! Builds nodes of the general form in their smallest shape: constants are folded, single terms stand
//! for themselves. Each rule holds for no, unknown and yes alike.

use crate::model::expression::single;
use crate::model::form::{Expr, NameId};

pub(super) fn yes() -> Expr {
    Expr::All(Vec::new())
}

pub(super) fn no() -> Expr {
    Expr::Any(Vec::new())
}

pub(super) fn is_yes(expr: &Expr) -> bool {
    matches!(expr, Expr::All(terms) if terms.is_empty())
}

pub(super) fn is_no(expr: &Expr) -> bool {
    matches!(expr, Expr::Any(terms) if terms.is_empty())
}

/// The greatest: a yes decides, a no adds nothing.
pub(super) fn any(terms: impl IntoIterator<Item = Expr>) -> Expr {
    let mut kept = Vec::new();
    for term in terms {
        match term {
            yes if is_yes(&yes) => return yes,
            Expr::Any(inner) => kept.extend(inner),
            term => kept.push(term),
        }
    }
    single(kept, Expr::Any)
}

/// Some of these roles is bound here.
pub(super) fn here_any(mut roles: Vec<NameId>) -> Expr {
    roles.sort_unstable();
    roles.dedup();
    match roles.as_slice() {
        [] => no(),
        [only] => Expr::Here(*only),
        _ => Expr::HereAny(roles.into()),
    }
}

/// The least: a no decides, a yes takes nothing.
pub(super) fn all(terms: impl IntoIterator<Item = Expr>) -> Expr {
    let mut kept = Vec::new();
    for term in terms {
        match term {
            no if is_no(&no) => return no,
            Expr::All(inner) => kept.extend(inner),
            term => kept.push(term),
        }
    }
    single(kept, Expr::All)
}

pub(super) fn except(term: Expr, taken: Expr) -> Expr {
    if is_no(&term) || is_yes(&taken) {
        no()
    } else if is_no(&taken) {
        term
    } else {
        Expr::Except(Box::new(term), Box::new(taken))
    }
}

/// The same asked of linked subjects. A constant is one for each of them.
pub(super) fn linked(link: NameId, expr: Expr) -> Expr {
    if is_yes(&expr) || is_no(&expr) { expr } else { Expr::As { link, expr: Box::new(expr) } }
}

/// Whether it asks linked subjects, names aside.
pub(super) fn has_links(expr: &Expr) -> bool {
    match expr {
        Expr::As { .. } => true,
        Expr::Any(terms) | Expr::All(terms) => terms.iter().any(has_links),
        Expr::Except(term, taken) => has_links(term) || has_links(taken),
        Expr::OfTarget(inner) => has_links(inner),
        _ => false,
    }
}

/// Whether it asks this name at the scope where it stands.
pub(super) fn refers_to(expr: &Expr, name: NameId) -> bool {
    match expr {
        Expr::Ref(asked) => *asked == name,
        Expr::Any(terms) | Expr::All(terms) => terms.iter().any(|term| refers_to(term, name)),
        Expr::Except(term, taken) => refers_to(term, name) || refers_to(taken, name),
        Expr::As { expr: inner, .. } | Expr::OfTarget(inner) => refers_to(inner, name),
        _ => false,
    }
}

/// How many nodes it has; a role of a set is one too.
pub(super) fn nodes(expr: &Expr) -> usize {
    1 + match expr {
        Expr::Any(terms) | Expr::All(terms) => terms.iter().map(nodes).sum(),
        Expr::Except(term, taken) => nodes(term) + nodes(taken),
        Expr::As { expr: inner, .. } | Expr::OfTarget(inner) => nodes(inner),
        Expr::HereAny(roles) => roles.len(),
        _ => 0,
    }
}

/// How many levels it has.
pub(super) fn depth(expr: &Expr) -> usize {
    1 + match expr {
        Expr::Any(terms) | Expr::All(terms) => terms.iter().map(depth).max().unwrap_or(0),
        Expr::Except(term, taken) => depth(term).max(depth(taken)),
        Expr::As { expr: inner, .. } | Expr::OfTarget(inner) => depth(inner),
        _ => 0,
    }
}
