//! The types of a condition's expression, as far as they are known when the model is loaded: CEL itself
//! tells at evaluation only, where a misfit is unknown or, compared for equality, always no. What is not
//! known is let through. Knows neither names nor costs, which are checked before.

use std::collections::BTreeMap;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

use super::kind::{Kind, common};
use super::signatures::{Form, signatures};
use crate::model::address::Range;
use crate::model::form::ParameterType;
use crate::model::values::{IN_CIDR, pattern_error};

/// Something that cannot be, and the node where it stands.
#[derive(Debug)]
pub(super) struct Misfit<'p> {
    pub(super) at: &'p IdedExpr,
    pub(super) message: String,
}

/// What does not fit in this expression, which is to be a condition. Its depth is bounded already.
pub(super) fn misfits<'p>(
    expr: &'p IdedExpr,
    parameters: &'p BTreeMap<String, ParameterType>,
) -> Vec<Misfit<'p>> {
    let known = parameters.iter().map(|(name, kind)| (name.as_str(), Kind::of(kind))).collect();
    let mut types = Types { known, misfits: Vec::new() };
    let kind = types.kind(expr);
    if types.misfits.is_empty() && !kind.may_be(&Kind::Bool) {
        types.misfit(expr, format!("the condition is {kind}: expected bool"));
    }
    types.misfits
}

struct Types<'p> {
    /// The variables in scope, innermost last.
    known: Vec<(&'p str, Kind)>,
    misfits: Vec<Misfit<'p>>,
}

impl<'p> Types<'p> {
    fn misfit(&mut self, at: &'p IdedExpr, message: String) -> Kind {
        self.misfits.push(Misfit { at, message });
        Kind::Unknown
    }

    fn kind(&mut self, node: &'p IdedExpr) -> Kind {
        match &node.expr {
            Expr::Unspecified => Kind::Unknown,
            Expr::Literal(literal) => Kind::of_literal(literal),
            Expr::Ident(name) => {
                let found = self.known.iter().rev().find(|(known, _)| known == name);
                found.map_or(Kind::Type, |(_, kind)| kind.clone())
            }
            Expr::Select(select) => {
                let kind = match self.kind(&select.operand) {
                    Kind::Map { value, .. } => *value,
                    Kind::Unknown => Kind::Unknown,
                    other => self.misfit(node, format!("{other} has no fields")),
                };
                if select.test { Kind::Bool } else { kind }
            }
            Expr::List(list) => {
                let kinds: Vec<Kind> = list.elements.iter().map(|e| self.kind(e)).collect();
                Kind::List(Box::new(common(kinds)))
            }
            Expr::Map(map) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        keys.push(self.kind(&entry.key));
                        values.push(self.kind(&entry.value));
                    }
                }
                Kind::Map { key: Box::new(common(keys)), value: Box::new(common(values)) }
            }
            Expr::Struct(_) => Kind::Unknown,
            Expr::Call(call) => self.call(node, call),
            Expr::Comprehension(loops) => self.comprehension(loops),
        }
    }

    fn comprehension(&mut self, loops: &'p ComprehensionExpr) -> Kind {
        let element = match self.kind(&loops.iter_range) {
            Kind::List(of) => *of,
            Kind::Map { key, .. } => *key,
            Kind::Unknown => Kind::Unknown,
            other => {
                self.misfit(&loops.iter_range, format!("{other} has no elements to go through"))
            }
        };
        let start = self.kind(&loops.accu_init);
        let before = self.known.len();
        self.known.push((&loops.iter_var, element));
        if let Some(second) = &loops.iter_var2 {
            self.known.push((second, Kind::Unknown));
        }
        self.known.push((&loops.accu_var, start));
        self.kind(&loops.loop_cond);
        self.kind(&loops.loop_step);
        let result = self.kind(&loops.result);
        self.known.truncate(before);
        result
    }

    fn call(&mut self, node: &'p IdedExpr, call: &'p CallExpr) -> Kind {
        let form = if call.target.is_some() { Form::Member } else { Form::Global };
        let nodes: Vec<&IdedExpr> = call.target.as_deref().into_iter().chain(&call.args).collect();
        let kinds: Vec<Kind> = nodes.iter().map(|node| self.kind(node)).collect();
        let name = call.func_name.as_str();
        let found = match kinds.as_slice() {
            [one] => unary(name, one),
            [left, right] => binary(name, left, right),
            [asked, yes, no] if name == "_?_:_" => Some(conditional(asked, yes, no)),
            _ => None,
        };
        let found = found.unwrap_or_else(|| function(name, form, &kinds));
        let kind = found.unwrap_or_else(|message| self.misfit(node, message));
        if let Some((at, message)) = literal_misfit(name, &nodes) {
            self.misfit(at, message);
        }
        kind
    }
}

/// What is wrong with a range or a pattern, which are second among the arguments. A pattern must be a
/// literal: what compiling one costs must be known now.
fn literal_misfit<'p>(name: &str, nodes: &[&'p IdedExpr]) -> Option<(&'p IdedExpr, String)> {
    let [_, second] = nodes else { return None };
    let literal = match &second.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    };
    let message = match (name, literal) {
        (IN_CIDR, Some(range)) => Range::parse(range).err()?.to_string(),
        ("matches", Some(pattern)) => {
            let error = pattern_error(pattern)?;
            let last = error.lines().last().unwrap_or_default();
            format!("not a pattern: {}", last.trim_start_matches("error: "))
        }
        ("matches", None) => "the pattern of `matches` must be a literal".to_owned(),
        _ => return None,
    };
    Some((second, message))
}

type Typed = Result<Kind, String>;

fn unary(name: &str, one: &Kind) -> Option<Typed> {
    let takes = |fits: bool, sign: &str, result: Kind| {
        if fits { Ok(result) } else { Err(format!("`{sign}` takes no {one}")) }
    };
    Some(match name {
        "!_" => takes(one.may_be(&Kind::Bool), "!", Kind::Bool),
        "-_" => takes(matches!(one, Kind::Unknown | Kind::Int | Kind::Double), "-", one.clone()),
        "@not_strictly_false" => Ok(Kind::Bool),
        _ => return None,
    })
}

fn binary(name: &str, left: &Kind, right: &Kind) -> Option<Typed> {
    let refused = |sign: &str| Err(format!("`{sign}` takes no {left} and {right}"));
    let never =
        |sign: &str| Err(format!("`{sign}` between {left} and {right}, which are never equal"));
    Some(match name {
        "_&&_" | "_||_" => {
            let sign = if name == "_&&_" { "&&" } else { "||" };
            let bools = left.may_be(&Kind::Bool) && right.may_be(&Kind::Bool);
            if bools { Ok(Kind::Bool) } else { refused(sign) }
        }
        "_==_" | "_!=_" => {
            let sign = if name == "_==_" { "==" } else { "!=" };
            if left.may_equal(right) { Ok(Kind::Bool) } else { never(sign) }
        }
        "_<_" | "_<=_" | "_>_" | "_>=_" => {
            let ordered = left.is_ordered() && right.is_ordered() && left.may_equal(right);
            if ordered { Ok(Kind::Bool) } else { refused(name.trim_matches('_')) }
        }
        "_+_" | "_-_" | "_*_" | "_/_" | "_%_" => {
            let sign = name.trim_matches('_');
            arithmetic(sign, left, right).map_or_else(|| refused(sign), Ok)
        }
        "@in" | "_in_" => match right {
            Kind::List(of) if !left.may_equal(of) => never("in"),
            Kind::Map { key, .. } if !left.may_equal(key) => never("in"),
            Kind::List(_) | Kind::Map { .. } | Kind::Unknown => Ok(Kind::Bool),
            _ => refused("in"),
        },
        "_[_]" => match left {
            Kind::List(of) if right.is_number() || *right == Kind::Unknown => Ok((**of).clone()),
            Kind::Map { key, value } if right.may_equal(key) => Ok((**value).clone()),
            Kind::Unknown => Ok(Kind::Unknown),
            _ => Err(format!("{left} has no element at {right}")),
        },
        _ => return None,
    })
}

/// The kind of a sum and the like; `None`: there is none.
fn arithmetic(sign: &str, left: &Kind, right: &Kind) -> Option<Kind> {
    use Kind::{Bytes, Double, Duration, Int, List, String, Timestamp, Uint, Unknown};
    Some(match (sign, left, right) {
        (_, Unknown, _) | (_, _, Unknown) => Unknown,
        (_, Int, Int) => Int,
        (_, Uint, Uint) => Uint,
        ("+" | "-" | "*" | "/", Double, Double) => Double,
        ("+", String, String) => String,
        ("+", Bytes, Bytes) => Bytes,
        ("+", List(left), List(right)) => {
            List(Box::new(common(vec![(**left).clone(), (**right).clone()])))
        }
        ("+", Timestamp, Duration) | ("+", Duration, Timestamp) | ("-", Timestamp, Duration) => {
            Timestamp
        }
        ("+" | "-", Duration, Duration) | ("-", Timestamp, Timestamp) => Duration,
        _ => return None,
    })
}

fn conditional(asked: &Kind, yes: &Kind, no: &Kind) -> Typed {
    if !asked.may_be(&Kind::Bool) {
        return Err(format!("`? :` takes no {asked} before its `?`"));
    }
    Ok(common(vec![yes.clone(), no.clone()]))
}

/// The kind of a function's value. A function that is not in the table is not judged.
fn function(name: &str, form: Form, kinds: &[Kind]) -> Typed {
    let mut known = signatures(name).peekable();
    if known.peek().is_none() {
        return Ok(Kind::Unknown);
    }
    match known.find(|signature| signature.takes(form, kinds)) {
        Some(signature) => Ok(signature.gives()),
        None => {
            let listed = |kinds: &[Kind]| {
                kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            };
            let found = match (form, kinds) {
                (Form::Member, [target, rest @ ..]) => format!("{target}.{name}({})", listed(rest)),
                _ => format!("{name}({})", listed(kinds)),
            };
            let expected: Vec<String> = signatures(name).map(ToString::to_string).collect();
            Err(format!("there is no {found}: expected {}", expected.join(" or ")))
        }
    }
}
