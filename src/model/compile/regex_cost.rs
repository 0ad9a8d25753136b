//! What a regular expression costs, from its text: the CEL crate compiles it anew at each evaluation, and
//! a counted repetition or a class of Unicode makes a few characters of it large. Judges too high rather
//! than too low. Knows no condition.

/// What a pattern is made of, counted with its repetitions written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PatternCost {
    /// How large it is compiled, in about the states that a plain character takes.
    pub(super) states: u64,
    /// How many places of it a text may be at, at once.
    pub(super) places: u64,
}

const NOTHING: PatternCost = PatternCost { states: 0, places: 0 };
const CHARACTER: PatternCost = PatternCost { states: 1, places: 1 };
const CLASS: PatternCost = PatternCost { states: 4, places: 1 };
/// Measured: one `\w` takes as long to compile as some 200 characters.
const UNICODE_CLASS: PatternCost = PatternCost { states: 200, places: 2 };
/// So much more where case is ignored.
const FOLDED: u64 = 4;

impl PatternCost {
    /// Reads a pattern that the regex crate takes; of another it says anything.
    pub(super) fn of(pattern: &str) -> Self {
        let mut reader = Reader { rest: pattern.chars().peekable(), folds: false };
        let cost = reader.groups();
        if reader.folds { cost.times(FOLDED) } else { cost }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            states: self.states.saturating_add(other.states),
            places: self.places.saturating_add(other.places),
        }
    }

    fn times(self, factor: u64) -> Self {
        Self {
            states: self.states.saturating_mul(factor),
            places: self.places.saturating_mul(factor),
        }
    }
}

/// A group that is open: what stands in it before its last atom, and that atom, which a repetition that
/// follows is about.
#[derive(Clone, Copy, Default)]
struct Group {
    before: PatternCost,
    last: PatternCost,
}

impl Group {
    fn push(&mut self, atom: PatternCost) {
        self.before = self.before.plus(self.last);
        self.last = atom;
    }

    fn whole(self) -> PatternCost {
        self.before.plus(self.last)
    }
}

struct Reader<'p> {
    rest: std::iter::Peekable<std::str::Chars<'p>>,
    /// Some part ignores case.
    folds: bool,
}

impl Reader<'_> {
    fn groups(&mut self) -> PatternCost {
        // A list of open groups, not recursion.
        let mut open = vec![Group::default()];
        while let Some(next) = self.rest.next() {
            let closed = if next == ')' && open.len() > 1 { open.pop() } else { None };
            if next == '(' {
                self.skip_group_head();
                open.push(Group::default());
                continue;
            }
            let Some(group) = open.last_mut() else { break };
            match next {
                ')' => group.push(closed.map_or(CHARACTER, Group::whole)),
                '\\' => group.push(self.escape()),
                '[' => group.push(self.class()),
                '.' => group.push(CLASS),
                '{' => match self.repetition() {
                    Some(times) => group.last = group.last.times(times.max(1)),
                    None => group.push(CHARACTER),
                },
                '*' | '+' | '?' => {}
                _ => group.push(CHARACTER),
            }
        }
        open.into_iter().fold(NOTHING, |sum, group| sum.plus(group.whole()))
    }

    /// `?:`, `?i:`, `?P<name>` after a parenthesis, up to what the group holds.
    fn skip_group_head(&mut self) {
        if self.rest.next_if_eq(&'?').is_none() {
            return;
        }
        let mut named = false;
        while let Some(next) = self.rest.next_if(|c| *c != ')') {
            named |= next == '<';
            self.folds |= next == 'i' && !named;
            if next == '>' || next == ':' && !named {
                break;
            }
        }
    }

    fn escape(&mut self) -> PatternCost {
        match self.rest.next() {
            Some('w' | 'W' | 'd' | 'D' | 's' | 'S' | 'b' | 'B') => {
                self.skip_braces();
                UNICODE_CLASS
            }
            Some('p' | 'P') => {
                if !self.skip_braces() {
                    self.rest.next();
                }
                UNICODE_CLASS
            }
            Some('x' | 'u' | 'U') => {
                if self.rest.next_if_eq(&'{').is_some() {
                    self.rest.by_ref().find(|c| *c == '}');
                }
                CHARACTER
            }
            _ => CHARACTER,
        }
    }

    /// `{...}` as a part of an escape. A repetition of `\w` is none.
    fn skip_braces(&mut self) -> bool {
        let mut ahead = self.rest.clone();
        let is_word =
            ahead.next() == Some('{') && ahead.next().is_some_and(|c| !c.is_ascii_digit());
        if is_word {
            self.rest.by_ref().find(|c| *c == '}');
        }
        is_word
    }

    /// The rest of `[...]`, classes within it included.
    fn class(&mut self) -> PatternCost {
        let mut cost = CLASS;
        let mut depth = 1;
        if self.rest.next_if_eq(&'^').is_some() {
            cost = cost.plus(UNICODE_CLASS);
        }
        // Right at its beginning a bracket stands for itself.
        self.rest.next_if_eq(&']');
        while let Some(next) = self.rest.next() {
            match next {
                '\\' => cost.states = cost.states.saturating_add(self.escape().states),
                '[' => {
                    depth += 1;
                    let negates = self.rest.next_if_eq(&'^').is_some();
                    cost.states = cost.states.saturating_add(if negates { 200 } else { 4 });
                }
                ']' => depth -= 1,
                _ => cost.states = cost.states.saturating_add(1),
            }
            if depth == 0 {
                break;
            }
        }
        cost
    }

    /// The most times that `{n}`, `{n,}` or `{n,m}` says; `None`: it is none of them.
    fn repetition(&mut self) -> Option<u64> {
        let text: String = self.rest.clone().take_while(|c| *c != '}').collect();
        let (least, most) = text.split_once(',').unwrap_or((&text, ""));
        let least: u64 = least.trim().parse().ok()?;
        let most: u64 = most.trim().parse().unwrap_or(0);
        self.rest.by_ref().find(|c| *c == '}');
        // What may follow without end is written out once more.
        Some(least.saturating_add(1).max(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(pattern: &str) -> (u64, u64) {
        let PatternCost { states, places } = PatternCost::of(pattern);
        (states, places)
    }

    #[test]
    fn repetitions_are_written_out() {
        assert_eq!(cost("abc"), (3, 3));
        assert_eq!(cost("a+b*c?"), (3, 3));
        assert_eq!(cost("a{9}b"), (11, 11));
        assert_eq!(cost("(ab){9}"), (20, 20));
        assert_eq!(cost("((a{99}){99}){99}"), (1_000_000, 1_000_000));
        assert_eq!(cost("a{2,99}"), (99, 99));
        assert_eq!(cost("a{99,}"), (100, 100));
        assert_eq!(cost("(a|b){9}|c"), (32, 32));
        assert!(PatternCost::of("(((a{999999999}){999999999}){999999999})").states == u64::MAX);
        // No repetitions: what stands there is what it is.
        assert_eq!(cost(r"a\{9}"), (4, 4));
        assert_eq!(cost("{x}"), (3, 3));
    }

    #[test]
    fn classes_count_by_what_is_in_them() {
        assert_eq!(cost("[a-z]"), (7, 1));
        assert_eq!(cost("[]a]b"), (6, 2));
        assert_eq!(cost(r"\w{9}"), (2_000, 20));
        assert_eq!(cost(r"\pL{9}"), (2_000, 20));
        assert_eq!(cost(r"\p{Greek}{9}"), (2_000, 20));
        assert_eq!(cost(r"\.\x{41}"), (2, 2));
        assert!(PatternCost::of(r"[\w.]{9}").states > 2_000);
        assert!(PatternCost::of("[^a]{9}").states > 2_000);
        assert!(PatternCost::of(r"[a&&[^\d]]{9}").states > 4_000);
        assert_eq!(cost("[[:alpha:]]x").1, 2);
    }

    #[test]
    fn a_groups_head_is_no_part_of_it() {
        assert_eq!(cost("(?:ab)(?P<name>c)(?<other>d)"), (4, 4));
        assert_eq!(cost("(?i)ab"), (8, 8));
        assert_eq!(cost("a(?s-i:b)"), (8, 8));
    }
}
