//! YAML text as a tree with positions, and typed getters that report what does not fit. The only file
//! that knows the YAML library. Knows no model: callers say what they expect.

use std::cell::Cell;

use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, YamlData};

use super::isolate::on_own_stack;
use super::limits::{MODEL_FILE_BYTES_MAX, YAML_DEPTH_MAX, YAML_INDENT_BYTES_MAX};
use super::names::quoted;
use super::problem::{Position, Report};
use super::suggest::did_you_mean;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) at: Position,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Word),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

/// A text, where it stands, and where its first character is if it is written on one line.
#[derive(Debug, Clone)]
pub(super) struct Word {
    pub(super) text: String,
    pub(super) at: Position,
    first: Option<Position>,
}

impl Word {
    /// A text from another kind of file, on one line.
    pub(super) fn on_line(text: &str, at: &Position) -> Self {
        Self { text: text.to_owned(), at: at.clone(), first: Some(at.clone()) }
    }

    /// Where the character with this index stands; the text's beginning if that cannot be told.
    pub(super) fn place(&self, character: usize) -> Position {
        self.first.as_ref().map_or_else(|| self.at.clone(), |first| first.right(character))
    }

    pub(super) fn quoted(&self) -> String {
        quoted(&self.text)
    }
}

/// Reads the one document of a text. `None` and a problem if it is not YAML; an empty text is null.
pub(super) fn parse(file: &str, text: &str, report: &mut Report) -> Option<Node> {
    let start = Position::start(file);
    if text.len() > MODEL_FILE_BYTES_MAX {
        report.push(&start, format!("the file is larger than {MODEL_FILE_BYTES_MAX} bytes"));
        return None;
    }
    if let Some(line) = too_indented(text) {
        let what =
            format!("the line is nested too deep: over {YAML_INDENT_BYTES_MAX} bytes begin it");
        report.push(&Position { line, ..start }, what);
        return None;
    }
    let Some(outcome) = on_own_stack(|| load(&start, text)) else {
        report.push(&start, "this text cannot be read as YAML");
        return None;
    };
    match outcome {
        Ok(node) => Some(node),
        Err((at, message)) => {
            report.push(&at, message);
            None
        }
    }
}

fn too_indented(text: &str) -> Option<u32> {
    let run = |line: &str| line.bytes().take_while(|b| b" \t-?:".contains(b)).count();
    let at = text.split(['\n', '\r']).position(|line| run(line) > YAML_INDENT_BYTES_MAX)?;
    u32::try_from(at + 1).ok()
}

fn load(start: &Position, text: &str) -> Result<Node, (Position, String)> {
    let documents = MarkedYaml::load_from_str(text).map_err(|error| {
        (position(start, *error.marker()), format!("not YAML: {}", error.info()))
    })?;
    let mut documents = documents.into_iter();
    let Some(document) = documents.next() else {
        return Ok(Node { at: start.clone(), kind: Kind::Null });
    };
    if let Some(second) = documents.next() {
        let at = position(start, second.span.start);
        return Err((at, "a second document; one was expected".to_owned()));
    }
    let lines: Vec<&str> = text.lines().collect();
    Reader { start, lines, reached: Cell::new((0, 0, 0)) }.node(&document, 0)
}

fn position(start: &Position, marker: saphyr::Marker) -> Position {
    Position {
        file: start.file.clone(),
        line: u32::try_from(marker.line().max(1)).unwrap_or(u32::MAX),
        column: u32::try_from(marker.col().saturating_add(1)).unwrap_or(u32::MAX),
    }
}

struct Reader<'a> {
    start: &'a Position,
    lines: Vec<&'a str>,
    /// Where the last scalar began: line, character and byte.
    reached: Cell<(u32, usize, usize)>,
}

impl Reader<'_> {
    fn node(&self, yaml: &MarkedYaml<'_>, depth: usize) -> Result<Node, (Position, String)> {
        let at = position(self.start, yaml.span.start);
        if depth > YAML_DEPTH_MAX {
            return Err((at, format!("nested deeper than {YAML_DEPTH_MAX} levels")));
        }
        let kind = match &yaml.data {
            YamlData::Value(scalar) => self.scalar(scalar, yaml, &at),
            YamlData::Sequence(items) => {
                let items = items.iter().map(|item| self.node(item, depth + 1));
                Kind::List(items.collect::<Result<_, _>>()?)
            }
            YamlData::Mapping(entries) => {
                let pairs = entries
                    .iter()
                    .map(|(k, v)| Ok((self.node(k, depth + 1)?, self.node(v, depth + 1)?)));
                Kind::Map(pairs.collect::<Result<_, _>>()?)
            }
            YamlData::BadValue => Kind::Null,
            YamlData::Tagged(..) => return Err((at, "a tag; none was expected".to_owned())),
            YamlData::Representation(..) | YamlData::Alias(_) => {
                return Err((at, "a value that cannot be read".to_owned()));
            }
        };
        Ok(Node { at, kind })
    }

    fn scalar(&self, scalar: &Scalar<'_>, yaml: &MarkedYaml<'_>, at: &Position) -> Kind {
        match scalar {
            Scalar::Null => Kind::Null,
            Scalar::Boolean(value) => Kind::Bool(*value),
            Scalar::Integer(value) => Kind::Int(*value),
            Scalar::FloatingPoint(value) => Kind::Float(value.into_inner()),
            Scalar::String(text) => {
                let one_line = yaml.span.start.line() == yaml.span.end.line();
                let first = one_line.then(|| self.first_character(at));
                Kind::Text(Word { text: text.clone().into_owned(), at: at.clone(), first })
            }
        }
    }

    /// Past the quote, if the scalar is quoted.
    fn first_character(&self, at: &Position) -> Position {
        let column = usize::try_from(at.column).unwrap_or(usize::MAX).saturating_sub(1);
        let line = usize::try_from(at.line).ok().and_then(|n| self.lines.get(n.checked_sub(1)?));
        // Scalars come in the order of the text: from the last one on, or a long line costs its square.
        let (last, from, byte) = self.reached.get();
        let (from, byte) = if last == at.line && from <= column { (from, byte) } else { (0, 0) };
        let rest = line.and_then(|line| line.get(byte..)).unwrap_or_default();
        let found = rest.char_indices().nth(column - from);
        if let Some((further, _)) = found {
            self.reached.set((at.line, column, byte + further));
        }
        let first = found.map(|(_, c)| c);
        if matches!(first, Some('"' | '\'')) { at.right(1) } else { at.clone() }
    }
}

impl Node {
    /// What it is, as a message says it.
    fn found(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".to_owned(),
            Kind::Bool(value) => format!("the boolean `{value}`"),
            Kind::Int(value) => format!("the number `{value}`"),
            Kind::Float(value) => format!("the number `{value}`"),
            Kind::Text(word) => format!("the text `{}`", word.quoted()),
            Kind::List(_) => "a list".to_owned(),
            Kind::Map(_) => "a map".to_owned(),
        }
    }

    fn unfit(&self, expected: &str, report: &mut Report) {
        report.push(&self.at, format!("expected {expected}, found {}", self.found()));
    }

    pub(super) fn text(&self, expected: &str, report: &mut Report) -> Option<&Word> {
        match &self.kind {
            Kind::Text(word) => Some(word),
            _ => {
                self.unfit(expected, report);
                None
            }
        }
    }

    pub(super) fn boolean(&self, expected: &str, report: &mut Report) -> Option<bool> {
        match self.kind {
            Kind::Bool(value) => Some(value),
            _ => {
                self.unfit(expected, report);
                None
            }
        }
    }

    pub(super) fn integer(&self, expected: &str, report: &mut Report) -> Option<i64> {
        match self.kind {
            Kind::Int(value) => Some(value),
            _ => {
                self.unfit(expected, report);
                None
            }
        }
    }

    /// The items; nothing written is an empty list.
    pub(super) fn list(&self, expected: &str, report: &mut Report) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Null => &[],
            _ => {
                self.unfit(expected, report);
                &[]
            }
        }
    }

    /// The items of a list of texts, in order; `expected` names the whole list.
    pub(super) fn words(&self, expected: &str, item: &str, report: &mut Report) -> Vec<Word> {
        let items = self.list(expected, report);
        items.iter().filter_map(|node| node.text(item, report).cloned()).collect()
    }

    /// The entries of a map with texts for keys; nothing written is an empty map.
    pub(super) fn entries(&self, expected: &str, report: &mut Report) -> Vec<(&Word, &Node)> {
        let pairs = match &self.kind {
            Kind::Map(pairs) => pairs.as_slice(),
            Kind::Null => &[],
            _ => {
                self.unfit(expected, report);
                &[]
            }
        };
        let entries = pairs.iter().filter_map(|(k, v)| Some((k.text("a text key", report)?, v)));
        entries.collect()
    }

    /// A map of which only `known` keys are allowed.
    pub(super) fn fields<'n>(
        &'n self,
        expected: &str,
        known: &[&str],
        report: &mut Report,
    ) -> Fields<'n> {
        let entries = self.entries(expected, report);
        for (key, _) in &entries {
            if !known.contains(&key.text.as_str()) {
                let near = did_you_mean(&key.text, known.iter().copied());
                let message = format!("`{}` is no key of {expected}{near}", key.quoted());
                report.push(&key.at, message);
            }
        }
        Fields { at: &self.at, entries, is_map: matches!(self.kind, Kind::Map(_) | Kind::Null) }
    }
}

/// The entries of a map, by key.
pub(super) struct Fields<'n> {
    pub(super) at: &'n Position,
    entries: Vec<(&'n Word, &'n Node)>,
    is_map: bool,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, key: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(word, _)| word.text == key).map(|(_, node)| *node)
    }

    /// A key that must be there; not asked for where something else than a map stands.
    pub(super) fn need(&self, key: &str, of: &str, report: &mut Report) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() && self.is_map {
            report.push(self.at, format!("{of} needs the key `{key}`"));
        }
        found
    }
}
