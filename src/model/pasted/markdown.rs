//! The pipe tables of a Markdown page as grids, under their headings. Knows only so much of Markdown.
//!
//! A parser of our own: those there are follow the letter of the format, by which a cell too many is
//! dropped without a word and a table without an alignment row is a paragraph, and they do not tell
//! columns.

use super::mark::kind;
use super::{Field, Grid, Pasted};
use crate::model::problem::Position;
use crate::model::yaml::Word;

/// Every table of the page, in order.
pub(super) fn grids(file: &str, text: &str, pasted: &mut Pasted) -> Vec<Grid> {
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    let at = |line: usize| Position {
        line: u32::try_from(line.saturating_add(1)).unwrap_or(u32::MAX),
        ..Position::start(file)
    };
    let mut grids = Vec::new();
    let mut heading = String::new();
    let mut fence: Option<(char, bool)> = None;
    let mut next = 0;
    while let Some(line) = lines.get(next) {
        let below = lines.get(next + 1).copied().unwrap_or_default();
        if let Some(mark) = fence_of(line) {
            fence = match fence {
                Some((open, _)) if open == mark => None,
                None => Some((mark, false)),
                open => open,
            };
        } else if let Some((_, is_told)) = &mut fence {
            if is_alignment(line) && !*is_told {
                *is_told = true;
                pasted.note(&at(next), "a table within a code block is not read");
            }
        } else if let Some(name) = heading_of(line, below) {
            heading = name;
        } else if has_pipe(line) {
            let block = lines.iter().skip(next).take_while(|line| has_pipe(line)).count();
            let block: Vec<(Position, &str)> =
                (next..next + block).filter_map(|i| Some((at(i), *lines.get(i)?))).collect();
            next += block.len();
            grids.extend(grid(&heading, &block, pasted));
            if let Some(after) = lines.get(next).filter(|line| is_dangling(line)) {
                let shown = crate::model::names::quoted(after.trim());
                pasted.note(&at(next), format!("`{shown}`: the table ends above this line"));
            }
            continue;
        }
        next += 1;
    }
    grids
}

/// A line that a reader could take for a part of the table above it.
fn is_dangling(line: &str) -> bool {
    !line.trim().is_empty() && heading_of(line, "").is_none() && fence_of(line).is_none()
}

fn grid(heading: &str, block: &[(Position, &str)], pasted: &mut Pasted) -> Option<Grid> {
    let ((first, header), rest) = block.split_first()?;
    let (has_alignment, rows) = match rest.split_first() {
        Some(((_, line), rows)) if is_alignment(line) => (true, rows),
        _ => (false, rest),
    };
    let header: Vec<Word> = cells(header, first).into_iter().map(|field| field.word).collect();
    let filled = header.iter().filter(|word| !word.text.is_empty()).count();
    if !has_alignment && (rows.is_empty() || filled < 2) {
        // A sentence with a bar in it.
        return None;
    }
    if header.iter().any(|word| kind(&word.text).is_mark()) {
        pasted
            .unread(first, "the table has no header: its first row has a mark; none of it is read");
        return None;
    }
    let rows = rows.iter().filter(|(_, line)| !is_alignment(line));
    let rows = rows.map(|(at, line)| cells(line, at)).collect();
    Some(Grid { heading: heading.to_owned(), header, rows, is_markdown: true })
}

fn fence_of(line: &str) -> Option<char> {
    let line = line.trim_start();
    ['`', '~'].into_iter().find(|mark| line.starts_with(&mark.to_string().repeat(3)))
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
        Field { word: Word::on_line(&text, &at.right(start + blank)), is_bold }
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
