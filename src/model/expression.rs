//! The expression grammar of docs/model.md: text to a syntax tree with positions. Knows no names of a
//! model; what a word means is decided later.

use super::limits::EXPRESSION_DEPTH_MAX;
use super::names::quoted;
use super::problem::{Position, Report};
use super::suggest::did_you_mean;
use super::yaml::Word;

/// The words that no role, permission, computed name or gate may have.
pub(super) const RESERVED: [&str; 6] = ["yes", "no", "self", "and", "or", "except"];

const FUNCTIONS: [(&str, Form); 11] = [
    ("here", Form::Names(Function::Here)),
    ("up", Form::Names(Function::Up)),
    ("up_all", Form::Names(Function::UpAll)),
    ("fact", Form::Names(Function::Fact)),
    ("standing", Form::Names(Function::Standing)),
    ("condition", Form::Names(Function::Condition)),
    ("anywhere", Form::Names(Function::Anywhere)),
    ("parameter", Form::Names(Function::Parameter)),
    ("as", Form::As),
    ("of", Form::Of),
    ("within", Form::Within),
];

/// What stands in a function's parentheses.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// Names alone.
    Names(Function),
    /// A relation and an expression.
    As,
    /// `target` and an expression.
    Of,
    /// `target`.
    Within,
}

/// What is written as `function(name, ...)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Here,
    Up,
    UpAll,
    Fact,
    Standing,
    Condition,
    Anywhere,
    Parameter,
}

impl Function {
    fn arguments(self) -> usize {
        if matches!(self, Self::Up | Self::UpAll | Self::Anywhere) { 2 } else { 1 }
    }
}

/// A word of an expression, and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub(super) text: String,
    pub(super) at: Position,
}

/// A syntax tree, at most [`EXPRESSION_DEPTH_MAX`] levels deep.
#[derive(Debug, Clone)]
pub(super) enum Term {
    Yes,
    No,
    SelfIs,
    Name(Name),
    /// The second argument is there for the functions that take two.
    Call(Function, Name, Option<Name>),
    /// `as(link, ...)`, and where its `as` stands.
    As(Position, Name, Box<Term>),
    /// `of(target, ...)`, and where its `of` stands.
    OfTarget(Position, Box<Term>),
    /// `within(target)`, and where it stands.
    Within(Position),
    Any(Vec<Term>),
    All(Vec<Term>),
    Except(Box<Term>, Box<Term>),
}

/// Reads an expression. `None` and one problem if it is not one.
pub(super) fn parse(source: &Word, report: &mut Report) -> Option<Term> {
    let mut parser = Parser { source, tokens: Vec::new(), next: 0, depth: 0 };
    let outcome = parser.tokenize().and_then(|()| parser.whole());
    outcome.map_err(|fault| report.push(&source.place(fault.at), fault.message)).ok()
}

struct Fault {
    at: usize,
    message: String,
}

/// A word, or one of `(`, `)`, `,`, `&`; and the index of its first character.
struct Token {
    text: String,
    at: usize,
}

struct Parser<'s> {
    source: &'s Word,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
}

impl Parser<'_> {
    fn tokenize(&mut self) -> Result<(), Fault> {
        let mut word: Option<Token> = None;
        for (at, c) in self.source.text.chars().enumerate() {
            let is_mark = matches!(c, '(' | ')' | ',' | '&');
            if is_mark || c.is_whitespace() {
                self.tokens.extend(word.take());
                if is_mark {
                    self.tokens.push(Token { text: c.to_string(), at });
                }
            } else {
                word.get_or_insert_with(|| Token { text: String::new(), at }).text.push(c);
            }
        }
        self.tokens.extend(word);
        let wrong = self.tokens.iter().find(|token| {
            let first = token.text.chars().next();
            !first.is_some_and(|c| c.is_ascii_alphabetic() || "(),&".contains(c))
        });
        wrong.map_or(Ok(()), |token| {
            let message = format!("expected a word or `(`, found `{}`", quoted(&token.text));
            Err(Fault { at: token.at, message })
        })
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(|token| token.text.as_str())
    }

    fn eat(&mut self, text: &str) -> bool {
        let there = self.peek() == Some(text);
        if there {
            self.next += 1;
        }
        there
    }

    fn fault<T>(&self, expected: &str) -> Result<T, Fault> {
        Err(match self.tokens.get(self.next) {
            Some(token) => Fault {
                at: token.at,
                message: format!("expected {expected}, found `{}`", quoted(&token.text)),
            },
            None => Fault {
                at: self.source.text.chars().count(),
                message: format!("expected {expected}, found the end of the expression"),
            },
        })
    }

    fn whole(&mut self) -> Result<Term, Fault> {
        let term = self.expr()?;
        match self.peek() {
            None => Ok(term),
            Some("except") => self.fault("the end: put one `except` in parentheses"),
            Some(_) => self.fault("`and`, `or`, `except` or the end"),
        }
    }

    fn expr(&mut self) -> Result<Term, Fault> {
        self.depth += 1;
        if self.depth > EXPRESSION_DEPTH_MAX {
            let levels = EXPRESSION_DEPTH_MAX - 1;
            return self.fault(&format!("at most {levels} levels of parentheses"));
        }
        let left = self.or()?;
        let term = if self.eat("except") {
            Term::Except(Box::new(left), Box::new(self.or()?))
        } else {
            left
        };
        self.depth -= 1;
        Ok(term)
    }

    fn or(&mut self) -> Result<Term, Fault> {
        let first = self.and()?;
        let mut terms = vec![first];
        while self.eat("or") {
            terms.push(self.and()?);
        }
        Ok(single(terms, Term::Any))
    }

    fn and(&mut self) -> Result<Term, Fault> {
        let first = self.unary()?;
        let mut terms = vec![first];
        while self.eat("and") || self.eat("&") {
            terms.push(self.unary()?);
        }
        Ok(single(terms, Term::All))
    }

    fn unary(&mut self) -> Result<Term, Fault> {
        if self.eat("(") {
            let term = self.expr()?;
            return self.close().map(|()| term);
        }
        let name = self.name("a word or `(`")?;
        if self.peek() == Some("(") {
            return self.call(&name);
        }
        Ok(match name.text.as_str() {
            "yes" => Term::Yes,
            "no" => Term::No,
            "self" => Term::SelfIs,
            _ => Term::Name(name),
        })
    }

    fn call(&mut self, name: &Name) -> Result<Term, Fault> {
        let Some((_, form)) = FUNCTIONS.iter().find(|(text, _)| *text == name.text) else {
            let near = did_you_mean(&name.text, FUNCTIONS.iter().map(|(text, _)| *text));
            let at = self.tokens.get(self.next.saturating_sub(1)).map_or(0, |token| token.at);
            let message = format!("`{}` is no function{near}", quoted(&name.text));
            return Err(Fault { at, message });
        };
        self.next += 1;
        let term = match form {
            Form::As => {
                let link = self.name("a relation")?;
                self.comma("an expression")?;
                Term::As(name.at.clone(), link, Box::new(self.expr()?))
            }
            Form::Of => {
                self.target()?;
                self.comma("an expression")?;
                Term::OfTarget(name.at.clone(), Box::new(self.expr()?))
            }
            Form::Within => {
                self.target()?;
                Term::Within(name.at.clone())
            }
            Form::Names(function) => {
                let first = self.name("an argument")?;
                let mut second = None;
                if function.arguments() == 2 {
                    self.comma("a second argument")?;
                    second = Some(self.name("a second argument")?);
                }
                Term::Call(*function, first, second)
            }
        };
        self.close().map(|()| term)
    }

    /// The word `target`: nobody else can be named in an expression.
    fn target(&mut self) -> Result<(), Fault> {
        if self.eat("target") { Ok(()) } else { self.fault("the word `target`") }
    }

    fn comma(&mut self, then: &str) -> Result<(), Fault> {
        if self.eat(",") { Ok(()) } else { self.fault(&format!("`,` and {then}")) }
    }

    fn close(&mut self) -> Result<(), Fault> {
        if self.eat(")") { Ok(()) } else { self.fault("`)`") }
    }

    fn name(&mut self, expected: &str) -> Result<Name, Fault> {
        match self.tokens.get(self.next) {
            Some(Token { text, at })
                if !matches!(text.as_str(), "(" | ")" | "," | "&" | "and" | "or" | "except") =>
            {
                let name = Name { text: text.clone(), at: self.source.place(*at) };
                self.next += 1;
                Ok(name)
            }
            _ => self.fault(expected),
        }
    }
}

/// One term stands for itself.
pub(super) fn single<T>(mut terms: Vec<T>, many: fn(Vec<T>) -> T) -> T {
    match terms.pop() {
        Some(only) if terms.is_empty() => only,
        Some(last) => {
            terms.push(last);
            many(terms)
        }
        None => many(terms),
    }
}
