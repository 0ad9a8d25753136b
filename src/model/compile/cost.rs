//! What a condition may cost at most, from its syntax tree and the bound on its values: the CEL crate
//! counts nothing while it evaluates. Knows no evaluation.
//!
//! The unit is about one byte looked at. Values of a request take at most `CONTEXT_BYTES_MAX` together,
//! so the elements of a list do too: an element counts as what is left for each, and a loop over a list
//! that looks at each element once costs what the list takes.

use std::collections::BTreeMap;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

use super::regex_cost::PatternCost;
use crate::model::form::ParameterType;
use crate::model::limits::CONTEXT_BYTES_MAX;
use crate::model::values::IN_CIDR;

/// The least JSON that an element of a list takes, its comma included.
const ELEMENT_BYTES_MIN: u64 = 2;

/// How large a value may be, and what it costs to come by, in the unit of this file.
#[derive(Debug, Clone, Copy)]
struct Bound {
    size: u64,
    cost: u64,
}

/// The most that evaluating this expression may cost.
pub(super) fn cost_of(expr: &IdedExpr, parameters: &BTreeMap<String, ParameterType>) -> u64 {
    let size = |kind: &ParameterType| match kind {
        ParameterType::String | ParameterType::List(_) | ParameterType::Map(_) => {
            u64::try_from(CONTEXT_BYTES_MAX).unwrap_or(u64::MAX)
        }
        _ => 1,
    };
    let sizes = parameters.iter().map(|(name, kind)| (name.as_str(), size(kind))).collect();
    Costs { sizes }.bound(expr).cost
}

struct Costs<'p> {
    /// The sizes of the variables in scope, innermost last.
    sizes: Vec<(&'p str, u64)>,
}

impl<'p> Costs<'p> {
    fn bound(&mut self, node: &'p IdedExpr) -> Bound {
        match &node.expr {
            Expr::Unspecified => Bound { size: 1, cost: 1 },
            Expr::Literal(literal) => Bound { size: literal_size(literal), cost: 1 },
            Expr::Ident(name) => {
                let known = self.sizes.iter().rev().find(|(known, _)| known == name);
                Bound { size: known.map_or(1, |(_, size)| *size), cost: 1 }
            }
            Expr::Select(select) => plus(self.bound(&select.operand), 1),
            Expr::List(list) => self.sum(list.elements.iter()),
            Expr::Map(map) => self.entries(map.entries.iter().map(|entry| &entry.expr)),
            Expr::Struct(built) => self.entries(built.entries.iter().map(|entry| &entry.expr)),
            Expr::Call(call) => {
                let arguments: Vec<Bound> = call
                    .target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .map(|a| self.bound(a))
                    .collect();
                match (call.func_name.as_str(), call.args.last().map(|last| &last.expr)) {
                    ("matches", Some(Expr::Literal(LiteralValue::String(pattern)))) => {
                        matched(pattern.inner(), &arguments)
                    }
                    (name, _) => called(name, &arguments),
                }
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
        }
    }

    fn sum(&mut self, parts: impl Iterator<Item = &'p IdedExpr>) -> Bound {
        parts.fold(Bound { size: 1, cost: 1 }, |sum, part| {
            let part = self.bound(part);
            Bound {
                size: sum.size.saturating_add(part.size),
                cost: sum.cost.saturating_add(part.cost).saturating_add(part.size),
            }
        })
    }

    fn entries(&mut self, entries: impl Iterator<Item = &'p EntryExpr>) -> Bound {
        let parts: Vec<&IdedExpr> = entries
            .flat_map(|entry| match entry {
                EntryExpr::StructField(field) => vec![&field.value],
                EntryExpr::MapEntry(entry) => vec![&entry.key, &entry.value],
            })
            .collect();
        self.sum(parts.into_iter())
    }

    fn comprehension(&mut self, loops: &'p ComprehensionExpr) -> Bound {
        let range = self.bound(&loops.iter_range);
        let start = self.bound(&loops.accu_init);
        let turns = (range.size / ELEMENT_BYTES_MIN).max(1);
        let before = self.sizes.len();
        self.sizes.push((&loops.iter_var, ELEMENT_BYTES_MIN));
        if let Some(second) = &loops.iter_var2 {
            self.sizes.push((second, ELEMENT_BYTES_MIN));
        }
        // What gathers a list grows as long as the range; a step copies it.
        let gathers = matches!(loops.accu_init.expr, Expr::List(_) | Expr::Map(_));
        let size = if gathers { range.size.max(start.size) } else { 1 };
        self.sizes.push((&loops.accu_var, size));
        let step = self.bound(&loops.loop_step);
        let turn = step.cost.saturating_add(self.bound(&loops.loop_cond).cost);
        let result = self.bound(&loops.result);
        self.sizes.truncate(before);
        let grown = if gathers { step.size.saturating_mul(turns) } else { step.size };
        Bound {
            size: result.size.max(grown),
            cost: turns
                .saturating_mul(turn)
                .saturating_add(range.cost)
                .saturating_add(start.cost)
                .saturating_add(result.cost),
        }
    }
}

fn plus(bound: Bound, cost: u64) -> Bound {
    Bound { cost: bound.cost.saturating_add(cost), ..bound }
}

fn literal_size(literal: &LiteralValue) -> u64 {
    let length = match literal {
        LiteralValue::String(text) => text.inner().len(),
        LiteralValue::Bytes(bytes) => bytes.inner().len(),
        _ => 1,
    };
    u64::try_from(length).unwrap_or(u64::MAX).max(1)
}

/// `matches` with this pattern, its last argument: compiling it, then going through the text.
fn matched(pattern: &str, arguments: &[Bound]) -> Bound {
    let PatternCost { states, places } = PatternCost::of(pattern);
    let given = arguments.iter().fold(1, |sum: u64, argument| sum.saturating_add(argument.cost));
    let text = arguments.first().map_or(1, |text| text.size);
    let compiling = states.saturating_mul(200).saturating_add(1_000);
    let matching = text.saturating_mul(places.max(1));
    Bound { size: 1, cost: given.saturating_add(compiling).saturating_add(matching) }
}

/// A call's own cost, beside that of its arguments, by what it has to look at.
fn called(name: &str, arguments: &[Bound]) -> Bound {
    let size = |at: usize| arguments.get(at).map_or(1, |argument| argument.size);
    let all = arguments.iter().fold(0, |sum: u64, argument| sum.saturating_add(argument.size));
    let least = arguments.iter().map(|argument| argument.size).min().unwrap_or(1);
    let given = arguments.iter().fold(1, |sum: u64, argument| sum.saturating_add(argument.cost));
    let (own, result) = match name {
        "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "startsWith" | "endsWith" => (least, 1),
        "_&&_" | "_||_" | "!_" => (1, 1),
        // Of a text the characters are counted, each time.
        "size" => (size(0), 1),
        IN_CIDR => (size(1).saturating_add(ELEMENT_BYTES_MIN), 1),
        "@in" | "_in_" => (size(1).saturating_add(size(0)), 1),
        "_[_]" => (size(1), size(0)),
        "_?_:_" => (1, all),
        "_-_" | "_*_" | "_/_" | "_%_" | "-_" => (1, 1),
        // `+`, conversions, and whatever else: all is looked at, and may be what comes out.
        _ => (all, all),
    };
    Bound { size: result.max(1), cost: given.saturating_add(own) }
}
