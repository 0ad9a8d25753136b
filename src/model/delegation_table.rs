//! The CSV file of a delegation table as lines with positions. Knows the columns' headers, not what
//! verbs, roles and types exist.

use super::limits::{DELEGATION_LINES_MAX, MODEL_FILE_BYTES_MAX};
use super::problem::{Position, Report};
use super::suggest::did_you_mean;
use super::table::{Line, lines};
use super::yaml::Word;

const NEEDED: [&str; 4] = ["actor_role", "verb", "target_role", "allowed"];
/// Those of no meaning are for people.
const OPTIONAL: [&str; 5] = ["scope", "gate", "system", "basis", "note"];

/// What one line says: whether an actor's role may do a verb with a target's role.
#[derive(Debug)]
pub(super) struct DelegationLine {
    pub(super) scope: Option<Word>,
    pub(super) actor_role: Word,
    pub(super) verb: Word,
    pub(super) target_role: Word,
    pub(super) allowed: Word,
    pub(super) gate: Option<Word>,
}

/// Reads the file's text; what cannot be read is reported and left out.
pub(super) fn read(file: &str, text: &str, report: &mut Report) -> Vec<DelegationLine> {
    let start = Position::start(file);
    if text.len() > MODEL_FILE_BYTES_MAX {
        report.push(&start, format!("the file is larger than {MODEL_FILE_BYTES_MAX} bytes"));
        return Vec::new();
    }
    let mut lines = lines(file, text, b',', report).into_iter();
    let Some(header) = lines.next() else {
        report.push(&start, "the delegation table is empty: a header row was expected");
        return Vec::new();
    };
    if !is_sound(&header, &start, report) {
        return Vec::new();
    }
    if lines.len() > DELEGATION_LINES_MAX {
        report.push(&start, format!("a delegation table has at most {DELEGATION_LINES_MAX} lines"));
        return Vec::new();
    }
    lines.filter_map(|line| read_line(&header, &line, report)).collect()
}

fn is_sound(header: &Line, start: &Position, report: &mut Report) -> bool {
    let mut sound = true;
    for (i, field) in header.iter().enumerate() {
        if header.iter().take(i).any(|earlier| earlier.text == field.text) {
            report.push(&field.at, format!("the column `{}` is there twice", field.quoted()));
            sound = false;
        } else if !NEEDED.iter().chain(&OPTIONAL).any(|known| field.text == *known) {
            let near = did_you_mean(&field.text, NEEDED.into_iter().chain(OPTIONAL));
            let message = format!("`{}` is no column of a delegation table{near}", field.quoted());
            report.push(&field.at, message);
            sound = false;
        }
    }
    let place = header.first().map_or(start, |field| &field.at);
    for name in NEEDED {
        if !header.iter().any(|field| field.text == name) {
            report.push(place, format!("the header has no column `{name}`"));
            sound = false;
        }
    }
    sound
}

fn read_line(header: &Line, line: &Line, report: &mut Report) -> Option<DelegationLine> {
    if line.len() != header.len() {
        let message =
            format!("expected {} fields as in the header, found {}", header.len(), line.len());
        report.push(&line.first()?.at, message);
        return None;
    }
    let field = |name| line.iter().zip(header).find(|(_, of)| of.text == name).map(|(it, _)| it);
    let written = |name| field(name).filter(|field| !field.text.is_empty()).cloned();
    Some(DelegationLine {
        scope: written("scope"),
        actor_role: field("actor_role")?.clone(),
        verb: field("verb")?.clone(),
        target_role: field("target_role")?.clone(),
        allowed: field("allowed")?.clone(),
        gate: written("gate"),
    })
}
