//! What a cell's mark says. Knows one cell at a time.

/// A cell's text, by what it can mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    /// `x`: a tick on paper, and a cross beside ticks.
    Letter,
    Tick,
    Cross,
    /// A tick with something beside it, or words that bound one.
    Conditional,
    Text,
}

const TICKS: [&str; 21] = [
    "✓",
    "✔",
    "✅",
    "☑",
    "■",
    "●",
    "√",
    "1",
    "yes",
    "y",
    "true",
    "(tick)",
    "(/)",
    "[x]",
    ":white_check_mark:",
    ":heavy_check_mark:",
    ":ballot_box_with_check:",
    "&check;",
    "&#10003;",
    "&#10004;",
    "&#9989;",
];

const CROSSES: [&str; 24] = [
    "-", "--", "---", "–", "—", "―", "−", "‐", "‑", "0", "no", "n", "false", "✗", "✘", "❌", "✕",
    "✖", "×", "(cross)", "(x)", "[ ]", "☐", ":x:",
];

/// Words that bound what follows.
const CONDITIONS: [&str; 9] =
    ["if", "only", "when", "unless", "where", "with", "limited", "partial", "partly"];

pub(super) fn kind(text: &str) -> Kind {
    // Which picture of a character is shown, and what has no width, says nothing.
    let bare = |c: &char| {
        !matches!(c, '\u{fe0e}' | '\u{fe0f}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}')
    };
    let text: String = text.chars().filter(bare).collect();
    let text = text.trim().to_lowercase();
    if text.is_empty() {
        return Kind::Blank;
    }
    if text == "x" {
        return Kind::Letter;
    }
    if TICKS.contains(&text.as_str()) {
        return Kind::Tick;
    }
    if CROSSES.contains(&text.as_str()) {
        return Kind::Cross;
    }
    let first = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    let is_ticked = TICKS.iter().any(|tick| {
        let rest = text.strip_prefix(tick);
        rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric) || !is_word(tick))
    });
    let is_letter =
        text.strip_prefix('x').is_some_and(|rest| !rest.starts_with(char::is_alphabetic));
    if is_ticked || is_letter || CONDITIONS.contains(&first) {
        return Kind::Conditional;
    }
    Kind::Text
}

/// Whether the text explains what `x` is, as in `x = no access`. What it says is left to people.
pub(super) fn has_legend(text: &str) -> bool {
    const SAYS: [&str; 8] = ["=", ":", "–", "—", "- ", "means", "stands for", "is "];
    let text = text.to_lowercase();
    text.match_indices('x').any(|(at, _)| {
        let before = text.get(..at).unwrap_or_default();
        let after = text.get(at + 1..).unwrap_or_default();
        if before.ends_with(char::is_alphanumeric) || after.starts_with(char::is_alphanumeric) {
            return false;
        }
        // No tab and no separator: what follows those is the next cell.
        let after = after.trim_start_matches([' ', '`', '*', '_', '"', '\'', '”', '’', ')', ']']);
        SAYS.iter().any(|says| after.starts_with(says))
    })
}

fn is_word(tick: &str) -> bool {
    tick.chars().all(|c| c.is_ascii_alphanumeric())
}

impl Kind {
    /// It can stand in a role's column only.
    pub(super) fn is_mark(self) -> bool {
        matches!(self, Self::Letter | Self::Tick | Self::Cross)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legend_is_told_from_marks() {
        for text in ["X = no", "`x`: denied", "(x) – never", "a\nx means no", "x is no"] {
            assert!(has_legend(text), "{text}");
        }
        for text in ["a,x,-\n", "x\t-", "| x | - |", "fax = no", "x,=", "matrix: a", "x\n- y"] {
            assert!(!has_legend(text), "{text}");
        }
    }

    #[test]
    fn marks_are_told_from_words() {
        for (text, expected) in [
            (" ", Kind::Blank),
            ("\u{a0}", Kind::Blank),
            ("X", Kind::Letter),
            ("✔\u{fe0f}", Kind::Tick),
            ("YES", Kind::Tick),
            ("(Tick)", Kind::Tick),
            ("–", Kind::Cross),
            ("❌", Kind::Cross),
            ("(x)", Kind::Cross),
            (":x:", Kind::Cross),
            ("✅*", Kind::Conditional),
            ("✓ (paid)", Kind::Conditional),
            ("x1", Kind::Conditional),
            ("x¹", Kind::Conditional),
            ("yes, own", Kind::Conditional),
            ("If paid", Kind::Conditional),
            ("yesterday", Kind::Text),
            ("10", Kind::Text),
            ("xylophone", Kind::Text),
            ("☒", Kind::Text),
            ("○", Kind::Text),
            ("View users", Kind::Text),
        ] {
            assert_eq!(kind(text), expected, "{text:?}");
        }
    }
}
