//! Constraints: which roles they count, at which types. What they demand of a change is for whoever
//! commits it; nothing is counted here.

use std::collections::HashSet;

use super::draft::Draft;
use crate::model::form::{Constraint, ConstraintRule, NameId, TypeId};
use crate::model::limits::{CONSTRAINT_HOLDERS_MAX, CONSTRAINTS_MAX};
use crate::model::names::Name;
use crate::model::source::{ConstraintSource, RuleSource};
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// The constraints, one per type that they hold at, in the author's order.
pub(super) fn constraints(source: &[ConstraintSource], draft: &mut Draft) -> Vec<Constraint> {
    let mut constraints = Vec::new();
    let mut names: HashSet<Name> = HashSet::new();
    for entry in source {
        let types = draft.types_of(&entry.at);
        let Some(name) = draft.new_name(&entry.name) else { continue };
        if !names.insert(name.clone()) {
            let message = format!("the constraint `{name}` is there twice");
            draft.report.push(&entry.name.at, message);
            continue;
        }
        check_once(&entry.rule, draft);
        for at in types {
            if constraints.len() >= CONSTRAINTS_MAX {
                let message = format!("a model has at most {CONSTRAINTS_MAX} constraints");
                draft.report.push(&entry.name.at, message);
                return constraints;
            }
            let Some(rule) = rule(&entry.rule, at, &entry.name, draft) else { continue };
            constraints.push(Constraint { name: name.clone(), at, rule });
        }
    }
    constraints
}

/// What is wrong with a rule whatever the type.
fn check_once(rule: &RuleSource, draft: &mut Draft) {
    match rule {
        RuleSource::Exclusive(words, at) => {
            if words.len() < 2 {
                draft.report.push(at, "`exclusive` needs two roles or more");
            }
            for (i, word) in words.iter().enumerate() {
                if words.iter().take(i).any(|earlier| earlier.text == word.text) {
                    draft.report.push(&word.at, format!("`{}` is named twice", word.quoted()));
                }
            }
        }
        RuleSource::AtMost { count, at, .. }
            if !(1..=i64::from(CONSTRAINT_HOLDERS_MAX)).contains(count) =>
        {
            let message = format!("`{count}` holders: expected 1 to {CONSTRAINT_HOLDERS_MAX}");
            draft.report.push(at, message);
        }
        RuleSource::OneRole | RuleSource::AtMost { .. } | RuleSource::KeepOne(_) => {}
    }
}

fn rule(source: &RuleSource, at: TypeId, name: &Word, draft: &mut Draft) -> Option<ConstraintRule> {
    Some(match source {
        RuleSource::OneRole => {
            let def = draft.type_def(at);
            let roles: Vec<NameId> =
                def.into_iter().flat_map(|def| &def.roles).map(|role| role.name).collect();
            if roles.is_empty() {
                let message = format!("no role is bound on `{}`", draft.type_name(at));
                draft.report.push(&name.at, message);
                return None;
            }
            ConstraintRule::Exclusive(roles)
        }
        RuleSource::Exclusive(words, _) => {
            let roles: Vec<_> = words.iter().map(|word| bound_role(word, at, draft)).collect();
            ConstraintRule::Exclusive(roles.into_iter().collect::<Option<_>>()?)
        }
        RuleSource::AtMost { role, count, .. } => ConstraintRule::AtMost {
            role: bound_role(role, at, draft)?,
            count: u32::try_from(*count).ok()?,
        },
        RuleSource::KeepOne(role) => ConstraintRule::KeepOne { role: bound_role(role, at, draft)? },
    })
}

/// A role that is bound on this type.
pub(super) fn bound_role(word: &Word, at: TypeId, draft: &mut Draft) -> Option<NameId> {
    let id = draft.names.get(&word.text).filter(|id| draft.is_bound(at, *id));
    if id.is_none() {
        let def = draft.type_def(at);
        let known = def.iter().flat_map(|def| &def.roles).map(|role| draft.names.text(role.name));
        let near = did_you_mean(&word.text, known);
        let what = format!("role bound on `{}`", draft.type_name(at));
        draft.unknown(&word.text, &word.at, &what, &near);
    }
    id
}
