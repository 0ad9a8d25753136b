//! Which lines of a Markdown page a reader does not see as they stand: code, comments, what is struck out.
//! Knows no table. In doubt a line is hidden.

/// Why a line is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hidden {
    Fenced,
    Comment,
    /// Set off by four columns or more: code, or a part of a list.
    Indented,
    /// Within an element of HTML that strikes out, hides, or shows what is written.
    Element,
    /// After a comment that begins within a line: how far it reaches differs from reader to reader.
    CommentWithin,
}

impl Hidden {
    pub(super) fn of_table(self) -> &'static str {
        match self {
            Self::Fenced => "a table within a code block is not read",
            Self::Comment => "a table within a comment is not read",
            Self::Indented => "indented by four columns or more, as code is; not read",
            Self::Element => "a table within an element that may hide it is not read",
            Self::CommentWithin => "a table after a comment that begins within a line is not read",
        }
    }

    /// Every reader hides it.
    pub(super) fn is_certain(self) -> bool {
        matches!(self, Self::Fenced | Self::Comment)
    }
}

enum Open {
    Fence { mark: char, count: usize, indent: usize },
    Until { end: String, what: Hidden },
}

/// For each line, whether and why it is hidden.
pub(super) fn hidden(lines: &[&str]) -> Vec<Option<Hidden>> {
    let mut open: Option<Open> = None;
    let of_line = |line: &&str| match &open {
        Some(Open::Fence { mark, count, indent: opened }) => {
            if closes(line, *mark, *count, *opened) {
                open = None;
            }
            Some(Hidden::Fenced)
        }
        Some(Open::Until { end, what }) => {
            let what = *what;
            if line.to_ascii_lowercase().contains(end.as_str()) {
                open = None;
            }
            Some(what)
        }
        None => {
            let (next, what) = begin(line);
            open = next;
            what
        }
    };
    lines.iter().map(of_line).collect()
}

/// What a line opens, and whether it is hidden itself.
fn begin(line: &str) -> (Option<Open>, Option<Hidden>) {
    let text = line.trim_start();
    if let Some(mark) = ['`', '~'].into_iter().find(|mark| text.starts_with(*mark)) {
        let count = text.chars().take_while(|c| *c == mark).count();
        // Backticks again on the line make it code within a sentence.
        let is_span = mark == '`' && text.trim_start_matches('`').contains('`');
        if count >= 3 && !is_span {
            return (Some(Open::Fence { mark, count, indent: indent(line) }), Some(Hidden::Fenced));
        }
    }
    if let Some((before, after)) = line.rsplit_once("<!--") {
        let is_code = before.matches('`').count() % 2 == 1 && after.contains('`');
        let what = if text.starts_with("<!--") { Hidden::Comment } else { Hidden::CommentWithin };
        let until = || Open::Until { end: "-->".to_owned(), what };
        let open = (!after.contains("-->") && !is_code).then(until);
        if open.is_some() || what == Hidden::Comment {
            // Where the line begins with text, that text is shown.
            return (open, (what == Hidden::Comment).then_some(what));
        }
    }
    if let Some(end) = hiding_element(text) {
        let is_closed = text.to_ascii_lowercase().contains(&end);
        let open = (!is_closed).then_some(Open::Until { end, what: Hidden::Element });
        return (open, Some(Hidden::Element));
    }
    (None, (!text.is_empty() && indent(line) >= 4).then_some(Hidden::Indented))
}

fn closes(line: &str, mark: char, count: usize, opened: usize) -> bool {
    let text = line.trim();
    let is_mark = text.chars().count() >= count && text.chars().all(|c| c == mark);
    is_mark && indent(line) <= opened.saturating_add(3)
}

/// The end of the element that the line opens, if it hides or shows as it is written.
fn hiding_element(text: &str) -> Option<String> {
    const NAMES: [&str; 9] =
        ["pre", "script", "style", "textarea", "template", "noscript", "del", "s", "strike"];
    let text = text.to_ascii_lowercase();
    let tag = text.strip_prefix('<')?;
    let name: String = tag.chars().take_while(char::is_ascii_alphanumeric).collect();
    let inner = tag.split('>').next().unwrap_or_default().replace(' ', "");
    let says_hidden =
        tag.split(['>', ' ', '=']).any(|word| word == "hidden") || inner.contains("display:none");
    (NAMES.contains(&name.as_str()) || (says_hidden && !name.is_empty()))
        .then(|| format!("</{name}"))
}

fn indent(line: &str) -> usize {
    let blank = line.chars().take_while(|c| c.is_whitespace());
    blank.fold(0, |width, c| if c == '\t' { (width / 4 + 1) * 4 } else { width + 1 })
}

/// Whether a cell's text, as it is written, is struck out or hidden in a part of it.
pub(super) fn is_struck(text: &str) -> bool {
    let mut is_escaped = false;
    let tildes = text.chars().filter(|c| {
        let is_tilde = *c == '~' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_tilde
    });
    let lower = text.to_ascii_lowercase();
    let tags = ["<del", "<s>", "<s ", "<strike", "<!--"];
    tildes.count() > 1 || tags.iter().any(|tag| lower.contains(tag))
}
