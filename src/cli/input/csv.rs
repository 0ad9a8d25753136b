//! CSV records with the number of the line that they begin on. Stricter than the library that reads
//! matrices: what is quoted oddly is refused, and an open quote takes bounded memory. Knows no columns'
//! meaning.

use super::lines::{Lines, too_long};
use crate::model::limits::INPUT_LINE_BYTES_MAX;
use crate::model::names::quoted;
use crate::model::suggest::did_you_mean;

/// Why a record cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// This record alone.
    Record(String),
    /// A quote stays open: where the next record begins cannot be told.
    Open(String),
}

/// What a header says: where each known column stands.
#[derive(Debug)]
pub(super) struct Header {
    known: &'static [&'static str],
    /// The place in a record of each known column, if it is there.
    places: Vec<Option<usize>>,
    width: usize,
}

/// A record, by column.
#[derive(Debug)]
pub(in crate::cli) struct Row<'h> {
    header: &'h Header,
    fields: Vec<String>,
}

impl Row<'_> {
    /// The field of a column; empty if the file has no such column.
    pub(in crate::cli) fn take(&mut self, column: &str) -> String {
        let known = self.header.known.iter().position(|name| *name == column);
        let place = known.and_then(|known| self.header.places.get(known).copied().flatten());
        let field = place.and_then(|place| self.fields.get_mut(place));
        field.map(std::mem::take).unwrap_or_default()
    }
}

impl Header {
    /// Reads a header; the first `required` of the known columns must be there.
    pub(super) fn read(
        fields: &[String],
        known: &'static [&'static str],
        required: usize,
    ) -> Result<Self, String> {
        let mut places = vec![None; known.len()];
        for (place, field) in fields.iter().enumerate() {
            let name = field.trim();
            let Some(column) = known.iter().position(|known| *known == name) else {
                let near = did_you_mean(name, known.iter().copied());
                let columns = known.join(",");
                let name = quoted(name);
                return Err(format!("`{name}` is no column{near}; the columns are {columns}"));
            };
            match places.get_mut(column) {
                Some(held @ None) => *held = Some(place),
                _ => return Err(format!("the column `{name}` is there twice; remove one")),
            }
        }
        let missing = known.iter().zip(&places).take(required).find(|(_, place)| place.is_none());
        if let Some((name, _)) = missing {
            return Err(format!("the header has no column `{name}`; add it"));
        }
        Ok(Self { known, places, width: fields.len() })
    }

    /// A record under this header.
    pub(super) fn row(&self, fields: Vec<String>) -> Result<Row<'_>, String> {
        if fields.len() != self.width {
            let (found, expected) = (fields.len(), self.width);
            return Err(format!("expected {expected} fields as in the header, found {found}"));
        }
        Ok(Row { header: self, fields })
    }
}

/// Where in a field a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before its first character.
    Start,
    Plain,
    Quoted,
    /// After a quote within quotes: the end of the field, or half of a quote that is meant.
    Closing,
}

/// The number of the line that a record begins on, and its fields.
pub(super) type Record = (u64, Result<Vec<String>, Broken>);

/// Reads the record that begins on the next line that is not blank.
pub(super) fn record(lines: &mut Lines) -> std::io::Result<Option<Record>> {
    let mut splitter = Splitter { fields: Vec::new(), field: String::new(), state: State::Start };
    let mut first = 0;
    let mut bytes = 0;
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.next()? else {
            let open = Broken::Open("a quote is open here and nowhere closed; close it".to_owned());
            return Ok((first > 0).then_some((first, Err(open))));
        };
        let is_first = first == 0;
        if is_first {
            first = number;
        }
        let line = match line {
            Ok(line) => line,
            Err(error) if is_first => return Ok(Some((first, Err(Broken::Record(error))))),
            Err(error) => {
                let what =
                    format!("a quote is open here, and line {number} cannot be read: {error}");
                return Ok(Some((first, Err(Broken::Open(what)))));
            }
        };
        if is_first && line.trim().is_empty() {
            first = 0;
            continue;
        }
        bytes += line.len();
        if bytes > INPUT_LINE_BYTES_MAX {
            let what = format!("a quote is open here and not closed: {}", too_long());
            return Ok(Some((first, Err(Broken::Open(what)))));
        }
        match splitter.line(line) {
            Ok(true) => return Ok(Some((first, Ok(splitter.fields)))),
            Ok(false) => {}
            Err(error) => return Ok(Some((first, Err(Broken::Record(error))))),
        }
    }
}

struct Splitter {
    fields: Vec<String>,
    field: String,
    state: State,
}

impl Splitter {
    /// Takes a line; whether the record is complete.
    fn line(&mut self, line: &str) -> Result<bool, String> {
        for c in line.chars() {
            self.state = match (self.state, c) {
                (State::Start, '"') => State::Quoted,
                (State::Start | State::Plain | State::Closing, ',') => self.end_field(),
                (State::Quoted, '"') => State::Closing,
                (State::Closing, '"') => self.push(c, State::Quoted),
                (State::Quoted, _) => self.push(c, State::Quoted),
                (State::Plain, '"') => {
                    let number = self.fields.len() + 1;
                    let how = "put the whole field in quotes and double those within";
                    return Err(format!("field {number} has a quote in its middle; {how}"));
                }
                (State::Start | State::Plain, _) => self.push(c, State::Plain),
                (State::Closing, _) => {
                    let number = self.fields.len() + 1;
                    let how = "double the quotes that belong to it";
                    return Err(format!("field {number} goes on after its closing quote; {how}"));
                }
            };
        }
        if self.state == State::Quoted {
            self.field.push('\n');
            return Ok(false);
        }
        self.end_field();
        Ok(true)
    }

    fn push(&mut self, c: char, next: State) -> State {
        self.field.push(c);
        next
    }

    fn end_field(&mut self) -> State {
        self.fields.push(std::mem::take(&mut self.field));
        State::Start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<Record> {
        let mut lines = Lines::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())));
        let mut found = Vec::new();
        while let Some(record) = record(&mut lines).unwrap() {
            let is_open = matches!(record.1, Err(Broken::Open(_)));
            found.push(record);
            if is_open {
                break;
            }
        }
        found
    }

    fn fields(texts: &[&str]) -> Result<Vec<String>, Broken> {
        Ok(texts.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn records_have_the_number_of_their_first_line() {
        let text = "a,b\r\n\r\n\"x,1\",\"say \"\"no\"\"\"\r\n\"two\r\nlines\",\n,\n";
        let expected: Vec<Record> = vec![
            (1, fields(&["a", "b"])),
            (3, fields(&["x,1", "say \"no\""])),
            (4, fields(&["two\nlines", ""])),
            (6, fields(&["", ""])),
        ];
        assert_eq!(read(text), expected);
    }

    #[test]
    fn odd_quotes_are_refused_and_the_next_record_is_read() {
        let found = read("a\"b,c\n\"a\"b,c\nok,ok\n");
        assert!(matches!(&found[0], (1, Err(Broken::Record(what))) if what.contains("field 1")));
        assert!(matches!(&found[1], (2, Err(Broken::Record(what))) if what.contains("goes on")));
        assert_eq!(found[2], (3, fields(&["ok", "ok"])));
    }

    #[test]
    fn an_open_quote_is_told_where_it_opens() {
        let found = read("ok,ok\nx,\"never\nclosed\n");
        assert!(matches!(&found[1], (2, Err(Broken::Open(_)))), "{found:?}");
        let endless = format!("\"{}", "line\n".repeat(INPUT_LINE_BYTES_MAX));
        let found = read(&endless);
        assert!(matches!(&found[..], [(1, Err(Broken::Open(what)))] if what.contains("longer")));
    }

    #[test]
    fn what_the_library_writes_is_read_back() {
        let alphabet = ['a', ',', '"', ' ', '\n', '#', 'é', '\'', ';'];
        let mut random = fastrand::Rng::with_seed(11);
        for _ in 0..2_000 {
            let mut field = || -> String {
                (0..random.usize(1..6)).map(|_| alphabet[random.usize(..alphabet.len())]).collect()
            };
            let written = vec!["x".to_owned(), field(), field(), String::new(), field()];
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(&written).unwrap();
            let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
            assert_eq!(read(&text), [(1, Ok(written))], "{text}");
        }
    }

    #[test]
    fn a_header_names_each_known_column_once() {
        const KNOWN: &[&str] = &["scope", "role", "source"];
        let header = |text: &str| {
            let fields: Vec<String> = text.split(',').map(str::to_owned).collect();
            Header::read(&fields, KNOWN, 2)
        };
        let good = header(" role,scope").unwrap();
        let mut row = good.row(vec!["admin".to_owned(), "org:a".to_owned()]).unwrap();
        assert_eq!((row.take("scope"), row.take("source")), ("org:a".to_owned(), String::new()));
        assert!(good.row(vec!["admin".to_owned()]).is_err());
        for (text, wrong) in [
            ("scope,role,sorce", "did you mean `source`?"),
            ("scope,role,role", "there twice"),
            ("scope,source", "no column `role`"),
        ] {
            let error = header(text).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
