//! Compiles conditions: CEL over declared parameters. The only file of this layer that knows CEL's
//! syntax tree. Knows nothing of evaluation.

use std::collections::BTreeMap;

use cel::Program;
use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use super::cost::cost_of;
use super::draft::Draft;
use super::signatures::{function_names, signatures};
use super::typing::misfits;
use crate::model::form::{Condition, ParameterType};
use crate::model::isolate::on_own_stack;
use crate::model::limits::{
    CONDITION_BYTES_MAX, CONDITION_COST_MAX, CONDITION_DEPTH_MAX, CONTEXT_BYTES_MAX,
};
use crate::model::names::quoted;
use crate::model::problem::Position;
use crate::model::source::ConditionSource;
use crate::model::suggest::did_you_mean;
use crate::model::yaml::Word;

/// Identifiers that CEL itself gives a meaning.
const TYPE_WORDS: [&str; 10] =
    ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];

pub(super) fn conditions(source: &[ConditionSource], draft: &mut Draft) {
    for entry in source {
        let Some(name) = draft.new_name(&entry.name) else { continue };
        if u16::try_from(draft.conditions.len()).is_err() {
            draft.report.push(&entry.name.at, "a model has at most 65536 conditions");
            return;
        }
        let mut parameters = BTreeMap::new();
        for (word, kind) in &entry.parameters {
            if is_identifier(&word.text) {
                let kind = kind.clone().unwrap_or(ParameterType::String);
                parameters.insert(word.text.clone(), kind);
            } else {
                let message = format!("`{}` is no name of a CEL variable", word.quoted());
                draft.report.push(&word.at, message);
            }
        }
        // A condition with a fault is declared nonetheless: its uses are not faults.
        let all_typed = entry.parameters.iter().all(|(_, kind)| kind.is_some());
        let program = compile(&entry.when, &parameters, all_typed, draft)
            .or_else(|| on_own_stack(|| Some((Program::compile("false").ok()?, 1))).flatten());
        if let Some((program, cost)) = program {
            let when = entry.when.text.clone();
            draft.conditions.push(Condition { name, parameters, when, program, cost });
        }
    }
}

fn is_identifier(text: &str) -> bool {
    let first = text.chars().next();
    // A variable that is absent must not stand for a type that CEL knows by that name.
    let is_free = !TYPE_WORDS.contains(&text) && text != "optional_type";
    is_free
        && first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !matches!(text, "true" | "false" | "null" | "in")
}

/// The program, and what it may cost at most. Its types are judged only where all are known.
fn compile(
    when: &Word,
    parameters: &BTreeMap<String, ParameterType>,
    all_typed: bool,
    draft: &mut Draft,
) -> Option<(Program, u64)> {
    if when.text.len() > CONDITION_BYTES_MAX {
        let message = format!("the expression is longer than {CONDITION_BYTES_MAX} bytes");
        draft.report.push(&when.at, message);
        return None;
    }
    // Parsing, walking and, for a tree too deep, dropping: all recurse.
    let outcome = on_own_stack(|| {
        let program = Program::compile(&when.text).map_err(|errors| {
            let first = errors.errors.into_iter().next();
            vec![first.map_or((0, "not CEL".to_owned()), |error| {
                let column = usize::try_from(error.pos.1).unwrap_or(0).saturating_sub(1);
                let column = if error.pos.0 == 1 { column } else { 0 };
                let said = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
                (column, format!("not CEL: {}", quoted(said)))
            })]
        })?;
        let known = parameters.keys().map(String::as_str).collect();
        let mut walk = Walk { program: &program, known, bound: Vec::new(), faults: Vec::new() };
        walk.expr(program.expression(), 0, false);
        if walk.faults.is_empty() && all_typed {
            for misfit in misfits(program.expression(), parameters) {
                walk.fault(misfit.at, misfit.message);
            }
        }
        let faults = walk.faults;
        if !faults.is_empty() {
            return Err(faults);
        }
        let cost = cost_of(program.expression(), parameters);
        if cost > CONDITION_COST_MAX {
            let bytes = CONTEXT_BYTES_MAX;
            let message = format!(
                "evaluating it may cost {cost} on values of {bytes} bytes, the limit is {CONDITION_COST_MAX}"
            );
            return Err(vec![(0, message)]);
        }
        Ok((program, cost))
    });
    match outcome {
        None => {
            draft.report.push(&when.at, "the expression cannot be read as CEL");
            None
        }
        Some(Ok(compiled)) => Some(compiled),
        Some(Err(faults)) => {
            for (character, message) in faults {
                let place: Position = when.place(character);
                draft.report.push(&place, message);
            }
            None
        }
    }
}

/// Looks at each node of a syntax tree once.
struct Walk<'p> {
    program: &'p Program,
    known: Vec<&'p str>,
    /// The variables of the comprehension being walked.
    bound: Vec<&'p str>,
    faults: Vec<(usize, String)>,
}

impl<'p> Walk<'p> {
    fn fault(&mut self, at: &IdedExpr, message: String) {
        let offset = self.program.source_info().offset_for(at.id).map_or(0, |(start, _)| start);
        self.faults.push((usize::try_from(offset).unwrap_or(0), message));
    }

    fn expr(&mut self, node: &'p IdedExpr, depth: usize, in_loop: bool) {
        if depth > CONDITION_DEPTH_MAX {
            if !self.faults.iter().any(|(_, message)| message.starts_with("the syntax tree")) {
                let message = format!("the syntax tree is over {CONDITION_DEPTH_MAX} levels deep");
                self.fault(node, message);
            }
            return;
        }
        let below = depth + 1;
        match &node.expr {
            Expr::Unspecified | Expr::Literal(_) => {}
            Expr::Ident(name) => self.ident(node, name),
            Expr::Select(select) => self.expr(&select.operand, below, in_loop),
            Expr::List(list) => {
                list.elements.iter().for_each(|element| self.expr(element, below, in_loop));
            }
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic());
                if is_word && signatures(name).next().is_none() {
                    let near = did_you_mean(name, function_names());
                    self.fault(node, format!("`{}` is no function{near}", quoted(name)));
                }
                call.target.iter().for_each(|target| self.expr(target, below, in_loop));
                call.args.iter().for_each(|arg| self.expr(arg, below, in_loop));
            }
            Expr::Map(map) => {
                map.entries.iter().for_each(|entry| self.entry(&entry.expr, below, in_loop));
            }
            Expr::Struct(structure) => {
                let entries = &structure.entries;
                entries.iter().for_each(|entry| self.entry(&entry.expr, below, in_loop));
            }
            Expr::Comprehension(comprehension) => {
                if in_loop {
                    // Nested, the cost is a power of the context's size.
                    self.fault(node, "a comprehension within a comprehension".to_owned());
                    return;
                }
                self.expr(&comprehension.iter_range, below, in_loop);
                let before = self.bound.len();
                self.bound.push(&comprehension.iter_var);
                self.bound.extend(comprehension.iter_var2.as_deref());
                self.bound.push(&comprehension.accu_var);
                self.expr(&comprehension.accu_init, below, true);
                self.expr(&comprehension.loop_cond, below, true);
                self.expr(&comprehension.loop_step, below, true);
                self.expr(&comprehension.result, below, true);
                self.bound.truncate(before);
            }
        }
    }

    fn entry(&mut self, entry: &'p EntryExpr, depth: usize, in_loop: bool) {
        match entry {
            EntryExpr::StructField(field) => self.expr(&field.value, depth, in_loop),
            EntryExpr::MapEntry(entry) => {
                self.expr(&entry.key, depth, in_loop);
                self.expr(&entry.value, depth, in_loop);
            }
        }
    }

    fn ident(&mut self, node: &IdedExpr, name: &str) {
        let known = self.known.contains(&name)
            || self.bound.contains(&name)
            || TYPE_WORDS.contains(&name)
            || name.starts_with('@');
        if !known {
            let near = did_you_mean(name, self.known.iter().copied());
            self.fault(node, format!("`{}` is no parameter of the condition{near}", quoted(name)));
        }
    }
}
