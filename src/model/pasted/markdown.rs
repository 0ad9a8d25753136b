//! The pipe tables of a Markdown page as grids, under their headings. Knows only so much of Markdown.
//!
//! A parser of our own: those there are follow the letter of the format, by which a cell too many is
//! dropped without a word and a table without an alignment row is a paragraph, and they do not tell
//! columns.

use super::hidden::{Hidden, hidden, is_struck};
use super::mark::kind;
use super::{Field, Grid, Pasted};
use crate::model::problem::Position;
use crate::model::yaml::Word;

/// Every table of the page, in order.
pub(super) fn grids(file: &str, text: &str, pasted: &mut Pasted) -> Vec<Grid> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    let hidden = hidden(&lines);
    let is_shown = |i: usize| hidden.get(i).is_some_and(Option::is_none);
    let at = |line: usize| Position {
        line: u32::try_from(line.saturating_add(1)).unwrap_or(u32::MAX),
        ..Position::start(file)
    };
    let mut grids = Vec::new();
    let mut heading = String::new();
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let below = lines.get(next + 1).copied().unwrap_or_default();
        if let Some(why) = hidden.get(next).copied().flatten() {
            let is_same = |i: &usize| hidden.get(*i).copied().flatten() == Some(why);
            let end = (next..lines.len()).take_while(is_same).last().unwrap_or(next);
            let run: Vec<(usize, &str)> =
                (next..=end).filter_map(|i| Some((i, *lines.get(i)?))).collect();
            let above = next.checked_sub(1).and_then(|i| lines.get(i));
            let is_row = above.is_some_and(|above| has_pipe(above));
            tell_hidden(why, &run, is_row, &at, pasted);
            next = end;
        } else if let Some(name) = heading_of(line, below) {
            heading = name;
        } else if has_pipe(line) {
            let is_row = |i: &usize| is_shown(*i) && lines.get(*i).is_some_and(|l| has_pipe(l));
            let block: Vec<(Position, &str)> = (next..lines.len())
                .take_while(is_row)
                .filter_map(|i| Some((at(i), *lines.get(i)?)))
                .collect();
            next += block.len();
            grids.extend(grid(&heading, &block, pasted));
            let after = lines.get(next).filter(|line| is_shown(next) && is_dangling(line));
            if let Some(after) = after {
                let shown = crate::model::names::quoted(after.trim());
                pasted.note(&at(next), format!("`{shown}`: the table ends above this line"));
            }
            continue;
        }
        next += 1;
    }
    grids
}

/// What could be a table, or more of the one above, among lines that are hidden for one reason.
fn tell_hidden(
    why: Hidden,
    lines: &[(usize, &str)],
    is_row: bool,
    at: &dyn Fn(usize) -> Position,
    pasted: &mut Pasted,
) {
    let table = lines.iter().find(|(_, line)| is_alignment(line));
    let row = lines.first().filter(|(_, line)| is_row && !why.is_certain() && has_pipe(line));
    let Some((line, _)) = table.or(row) else { return };
    if why.is_certain() {
        pasted.note(&at(*line), why.of_table());
    } else {
        pasted.unread(&at(*line), why.of_table());
    }
}

/// A line that a reader could take for a part of the table above it.
fn is_dangling(line: &str) -> bool {
    !line.trim().is_empty() && heading_of(line, "").is_none()
}

fn grid(heading: &str, block: &[(Position, &str)], pasted: &mut Pasted) -> Option<Grid> {
    let ((first, header), rest) = block.split_first()?;
    let alignment = rest.first().map(|(_, line)| *line).filter(|line| is_alignment(line));
    let rows = rest.get(usize::from(alignment.is_some())..).unwrap_or_default();
    let header = cells(header, first);
    let filled = header.iter().filter(|field| !field.word.text.is_empty()).count();
    if alignment.is_none() && (rows.is_empty() || filled < 2) {
        // A sentence with a bar in it.
        return None;
    }
    if let Some(why) = unsure(&header, alignment, rows, first) {
        pasted.unread(first, format!("{why}; none of the table is read"));
        return None;
    }
    let header = header.into_iter().map(|field| field.word).collect();
    let rows = rows.iter().map(|(at, line)| cells(line, at)).collect();
    Some(Grid { heading: heading.to_owned(), header, rows, is_markdown: true })
}

/// Why it is not certain which cell stands under which header.
fn unsure(
    header: &[Field],
    alignment: Option<&str>,
    rows: &[(Position, &str)],
    at: &Position,
) -> Option<String> {
    if header.iter().any(|field| kind(&field.word.text).is_mark()) {
        return Some("the table has no header: its first row has a mark".to_owned());
    }
    if header.first().is_some_and(|field| field.word.text.starts_with('>')) {
        return Some("the table stands within a quotation".to_owned());
    }
    if let Some(field) = header.iter().find(|field| field.is_struck) {
        return Some(format!("the header `{}` is struck out in a part", field.word.quoted()));
    }
    let aligned = alignment.map(|line| cells(line, at).len());
    if let Some(aligned) = aligned.filter(|aligned| *aligned != header.len()) {
        let headers = header.len();
        return Some(format!("{headers} headers stand over {aligned} columns of dashes"));
    }
    let (below, _) = rows.iter().find(|(_, line)| is_alignment(line))?;
    Some(format!("line {} has dashes as below a header, within the table", below.line))
}

/// The text of a heading: after `#`, above a line of `=` or `-`, or alone and bold.
fn heading_of(line: &str, below: &str) -> Option<String> {
    let text = line.trim();
    let below = below.trim();
    let is_underlined = !below.is_empty()
        && (below.chars().all(|c| c == '=') || below.chars().all(|c| c == '-'))
        && !has_pipe(line);
    let hashes = text.chars().take_while(|c| *c == '#').count();
    let after = text.trim_start_matches('#');
    if (1..=6).contains(&hashes) && (after.is_empty() || after.starts_with(char::is_whitespace)) {
        return Some(plain(after.trim().trim_end_matches('#').trim()).text);
    }
    let Plain { text: shown, is_bold } = plain(text);
    ((is_underlined || is_bold) && !shown.is_empty() && !has_pipe(line)).then_some(shown)
}

/// Whether the line says how columns are aligned: `| --- | :-: |`.
pub(super) fn is_alignment(line: &str) -> bool {
    let is_rule = |cell: &str| {
        let bare = cell.trim().trim_start_matches(':').trim_end_matches(':');
        !bare.is_empty() && bare.chars().all(|c| c == '-')
    };
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    has_pipe(line) && line.contains("--") && inner.split('|').all(is_rule)
        || has_pipe(line)
            && line.contains('-')
            && inner.split('|').all(|c| c.contains(':') && is_rule(c))
}

pub(super) fn has_pipe(line: &str) -> bool {
    let mut is_escaped = false;
    line.chars().any(|c| {
        let is_pipe = c == '|' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_pipe
    })
}

/// The cells of a row; the pipes around it are no cells.
fn cells(line: &str, at: &Position) -> Vec<Field> {
    let mut parts: Vec<(usize, String)> = vec![(0, String::new())];
    let mut is_escaped = false;
    for (index, c) in line.chars().enumerate() {
        if c == '|' && !is_escaped {
            parts.push((index + 1, String::new()));
        } else if let Some((_, part)) = parts.last_mut() {
            part.push(c);
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    if parts.first().is_some_and(|(_, part)| part.trim().is_empty()) {
        parts.remove(0);
    }
    if parts.last().is_some_and(|(_, part)| part.trim().is_empty()) {
        parts.pop();
    }
    let field = |(start, part): (usize, String)| {
        let blank = part.chars().take_while(|c| c.is_whitespace()).count();
        let Plain { text, is_bold } = plain(part.trim());
        let word = Word::on_line(&text, &at.right(start + blank));
        Field { word, is_bold, is_struck: is_struck(part.trim()) }
    };
    parts.into_iter().map(field).collect()
}

struct Plain {
    text: String,
    is_bold: bool,
}

/// A cell's text without the marks around it, and with what it escapes.
fn plain(text: &str) -> Plain {
    let mut text = text;
    let mut is_bold = false;
    // `*no section*` is our own, and no emphasis.
    while text != crate::model::document::NO_SECTION {
        let stripped = ["**", "__", "*", "_", "`"].into_iter().find_map(|mark| {
            let inner = text.strip_prefix(mark)?.strip_suffix(mark)?;
            // An escaped mark is no mark; an escaped backslash escapes nothing.
            let slashes = inner.chars().rev().take_while(|c| *c == '\\').count();
            let is_whole = !inner.trim().is_empty() && slashes % 2 == 0 && !inner.contains(mark);
            is_whole.then_some((mark, inner))
        });
        let Some((mark, inner)) = stripped else { break };
        is_bold |= mark == "**" || mark == "__";
        text = inner.trim();
        if mark == "`" {
            return Plain { text: text.replace("\\|", "|"), is_bold };
        }
    }
    if let Some(shown) = link(text) {
        text = shown;
    }
    Plain { text: unescaped(text), is_bold }
}

/// The shown part of `[shown](address)`.
fn link(text: &str) -> Option<&str> {
    let (shown, address) = text.strip_prefix('[')?.split_once("](")?;
    let address = address.strip_suffix(')')?;
    (!shown.contains(['[', ']']) && !address.contains(['(', ')'])).then_some(shown)
}

fn unescaped(text: &str) -> String {
    const ENTITIES: [(&str, &str); 6] = [
        ("&amp;", "&"),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&nbsp;", " "),
        ("&#39;", "'"),
    ];
    let mut shown = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or_default();
        let escaped = after.chars().next().filter(|next| c == '\\' && next.is_ascii_punctuation());
        let line_end =
            ["<br>", "<br/>", "<br />"].into_iter().find_map(|tag| rest.strip_prefix(tag));
        let entity = ENTITIES.iter().find_map(|(from, to)| Some((rest.strip_prefix(from)?, to)));
        if let Some(next) = escaped {
            shown.push(next);
            rest = after.get(next.len_utf8()..).unwrap_or_default();
        } else if let Some(after) = line_end {
            shown.push('\n');
            rest = after;
        } else if let Some((after, to)) = entity {
            shown.push_str(to);
            rest = after;
        } else {
            shown.push(c);
            rest = after;
        }
    }
    shown.trim().to_owned()
}
