//! What a command reads entry by entry: text lines, CSV, JSON lines. In bounded memory, so that the
//! input may be an endless pipe; each entry knows its line. Knows no question and no tuple.

pub(super) mod csv;
mod lines;

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Map, Value as Json};
use tokio::sync::mpsc;

use self::csv::{Broken, Header, Row};
use self::lines::Lines;
use super::CliError;
use super::console::Stream;
use crate::model::names::quoted;
use crate::model::suggest::did_you_mean;

const BUFFER_BYTES: usize = 64 << 10;

/// The form of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// One a line, as people write it
    Text,
    /// With a header
    Csv,
    /// A JSON object a line
    Jsonl,
}

impl Format {
    /// The form that a file's name says.
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "txt" => Some(Self::Text),
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Jsonl),
            _ => None,
        }
    }
}

/// What an entry can be read as. Errors are words that say what is wrong and what was expected.
pub(super) trait Form: Sized {
    /// The columns of the CSV form.
    const COLUMNS: &'static [&'static str];
    /// So many of them, the first, must be there.
    const REQUIRED: usize;

    /// From a line without white space around it.
    fn from_text(line: &str) -> Result<Self, String>;
    fn from_json(object: Map<String, Json>) -> Result<Self, String>;
    fn from_row(row: Row<'_>) -> Result<Self, String>;
}

/// An entry: its line, and what stands there or why nothing can be made of it.
#[derive(Debug)]
pub(super) struct Entry<T> {
    pub(super) line: u64,
    pub(super) item: Result<T, String>,
}

/// A file or the standard input, opened.
pub(super) struct Source {
    /// As messages call it.
    pub(super) name: String,
    /// In bytes, if it is a file.
    pub(super) size: Option<u64>,
    reader: Box<dyn BufRead + Send>,
}

impl Source {
    /// Opens a file; `-` is the standard input.
    pub(super) fn open(path: &Path) -> Result<Self, CliError> {
        if path.as_os_str() == "-" {
            let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, std::io::stdin()));
            return Ok(Self { name: "the standard input".to_owned(), size: None, reader });
        }
        let name = format!("`{}`", path.display());
        let wrong = |error| CliError::Failed(format!("cannot read {name}: {error}"));
        let file = std::fs::File::open(path).map_err(wrong)?;
        let size = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len());
        let reader = Box::new(BufReader::with_capacity(BUFFER_BYTES, file));
        Ok(Self { name, size, reader })
    }

    /// Its entries from a line on.
    pub(super) fn entries<T: Form>(self, format: Format, from_line: u64) -> Entries<T> {
        let lines = Lines::new(self.reader);
        Entries { name: self.name, lines, format, header: None, from_line, form: PhantomData }
    }
}

/// The input that a command line names.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct InputArgs {
    /// What to read; `-` is the standard input
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// The form of the input; the default is what the file's name says
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl InputArgs {
    /// Opens it. Whoever sits before a terminal is told what the command waits for.
    pub(super) fn open(&self, err: &mut Stream<'_>) -> Result<Source, CliError> {
        let source = Source::open(&self.file)?;
        if self.file.as_os_str() == "-" && std::io::stdin().is_terminal() {
            writeln!(err, "reading from the terminal; ctrl-d ends it")?;
        }
        Ok(source)
    }

    pub(super) fn format(&self, default: Format) -> Format {
        self.format.or_else(|| Format::of(&self.file)).unwrap_or(default)
    }
}

/// Reads entries one after the other. An error is the end: the input cannot be read further.
pub(super) struct Entries<T> {
    name: String,
    lines: Lines,
    format: Format,
    header: Option<Header>,
    from_line: u64,
    form: PhantomData<fn() -> T>,
}

impl<T: Form> Entries<T> {
    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.lines.bytes()
    }

    /// The next entry.
    pub(super) fn next(&mut self) -> Result<Option<Entry<T>>, CliError> {
        loop {
            let entry = match self.format {
                Format::Csv => self.next_row()?,
                Format::Text | Format::Jsonl => self.next_line()?,
            };
            match entry {
                Some(entry) if entry.line < self.from_line => {}
                entry => return Ok(entry),
            }
        }
    }

    fn unreadable(&self, error: &std::io::Error) -> CliError {
        let line = self.lines.number() + 1;
        CliError::Failed(format!("line {line}: cannot read {}: {error}", self.name))
    }

    fn next_line(&mut self) -> Result<Option<Entry<T>>, CliError> {
        loop {
            let line = self.lines.number() + 1;
            let text = match self.lines.next() {
                Ok(Some(Ok(text))) => text.trim(),
                Ok(Some(Err(error))) => return Ok(Some(Entry { line, item: Err(error) })),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.unreadable(&error)),
            };
            let is_text = self.format == Format::Text;
            if text.is_empty() || (is_text && text.starts_with('#')) || line < self.from_line {
                continue;
            }
            let item =
                if is_text { T::from_text(text) } else { object(text).and_then(T::from_json) };
            let item = item.map_err(|error| error + hint(self.format, text));
            return Ok(Some(Entry { line, item }));
        }
    }

    fn next_row(&mut self) -> Result<Option<Entry<T>>, CliError> {
        loop {
            let record = csv::record(&mut self.lines).map_err(|error| self.unreadable(&error))?;
            let Some((line, fields)) = record else { return Ok(None) };
            let fields = match fields {
                Ok(fields) => Ok(fields),
                Err(Broken::Record(error)) if self.header.is_some() => Err(error),
                Err(Broken::Record(error) | Broken::Open(error)) => {
                    return Err(CliError::Failed(format!("line {line}: {error}")));
                }
            };
            let Some(header) = &self.header else {
                let header =
                    fields.and_then(|fields| Header::read(&fields, T::COLUMNS, T::REQUIRED));
                self.header = Some(header.map_err(|error| {
                    let what = "CSV begins with a header; --format says another form";
                    CliError::Failed(format!("line {line}: {error} ({what})"))
                })?);
                continue;
            };
            let row = fields.and_then(|fields| header.row(fields));
            return Ok(Some(Entry { line, item: row.and_then(T::from_row) }));
        }
    }
}

/// `line 7` or `lines 7 to 9`.
pub(super) fn place(first: u64, last: u64) -> String {
    if first == last { format!("line {first}") } else { format!("lines {first} to {last}") }
}

/// What else the line may be.
fn hint(format: Format, line: &str) -> &'static str {
    match format {
        Format::Text if line.starts_with('{') => "; for JSON lines say --format jsonl",
        Format::Text if line.contains(',') => "; for CSV say --format csv",
        Format::Jsonl if !line.starts_with('{') => "; for another form say --format text or csv",
        _ => "",
    }
}

/// A text as a JSON object in which no key is there twice: of two the library keeps the last.
pub(super) fn object(text: &str) -> Result<Map<String, Json>, String> {
    let value: Json =
        serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
    if entries(&value) != colons(text) {
        return Err("a key is there twice; remove one".to_owned());
    }
    match value {
        Json::Object(object) => Ok(object),
        _ => Err("expected a JSON object".to_owned()),
    }
}

/// How many entries its objects have together.
fn entries(value: &Json) -> usize {
    match value {
        Json::Object(map) => map.values().map(|value| 1 + entries(value)).sum(),
        Json::Array(items) => items.iter().map(entries).sum(),
        _ => 0,
    }
}

/// How many colons a JSON text has outside of its strings: one to each entry that is written.
fn colons(text: &str) -> usize {
    let (mut count, mut in_string, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b':' if !in_string => count += 1,
            _ => {}
        }
    }
    count
}

/// Refuses keys that nobody reads: a misspelt one must not look like one left out.
pub(super) fn only_known(object: &Map<String, Json>, known: &[&str]) -> Result<(), String> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let near = did_you_mean(key, known.iter().copied());
            Err(format!("`{}` is no key{near}; the keys are {}", quoted(key), known.join(", ")))
        }
        None => Ok(()),
    }
}

/// A text of an object; empty if it is not there.
pub(super) fn text_of(object: &mut Map<String, Json>, key: &str) -> Result<String, String> {
    match object.remove(key) {
        None => Ok(String::new()),
        Some(Json::String(text)) => Ok(text),
        Some(_) => Err(format!("{key}: expected a text")),
    }
}

/// Runs `read` on a thread of its own, so that reading goes on while the service is asked. What it
/// sends waits in a queue of one; `read` ends when nobody takes it any more.
pub(super) fn in_background<T: Send + 'static>(
    read: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
) -> Result<mpsc::Receiver<T>, CliError> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::Builder::new()
        .name("bailiwick-input".to_owned())
        .spawn(move || read(&mut |item| sender.blocking_send(item).is_ok()))
        .map_err(CliError::failed)?;
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused_at_any_depth() {
        for good in [
            r#"{}"#,
            r#"{"a": {"a": ":", "b:\\": [{"a": 1}, {"a": 2}]}, "\":": ":\"::"}"#,
            r#"{"a": "\u003a\\", "b": null}"#,
        ] {
            assert!(object(good).is_ok(), "{good}");
        }
        for twice in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": {"b": 1, "b": 2}}"#,
            r#"{"l": [0, {"b": {}, "b": ":"}]}"#,
            r#"{"a": 1, "\u0061": 2}"#,
        ] {
            assert_eq!(
                object(twice),
                Err("a key is there twice; remove one".to_owned()),
                "{twice}"
            );
        }
        assert_eq!(object("[1]"), Err("expected a JSON object".to_owned()));
    }

    #[test]
    fn a_file_says_its_form() {
        let of = |name: &str| Format::of(Path::new(name));
        assert_eq!((of("a.txt"), of("a.csv")), (Some(Format::Text), Some(Format::Csv)));
        assert_eq!((of("a.jsonl"), of("a.ndjson")), (Some(Format::Jsonl), Some(Format::Jsonl)));
        assert_eq!((of("-"), of("a.yaml")), (None, None));
        assert_eq!((place(7, 7), place(7, 9)), ("line 7".into(), "lines 7 to 9".into()));
    }
}
