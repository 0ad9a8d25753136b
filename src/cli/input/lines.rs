//! A file or the standard input, line by line, with numbers and within bounded memory. Knows no form of
//! the lines.

use std::io::{self, BufRead, Read};

use crate::model::limits::INPUT_LINE_BYTES_MAX;

/// Why a line is no text: for the reader of the message.
pub(super) type Unreadable = String;

/// A source's lines.
pub(super) struct Lines {
    reader: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    /// The line that was read last, from 1 on.
    number: u64,
    /// Bytes read so far.
    bytes: u64,
}

impl Lines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, buffer: Vec::new(), number: 0, bytes: 0 }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next line without its end; `None` after the last. One that is too long is read past.
    pub(super) fn next(&mut self) -> io::Result<Option<Result<&str, Unreadable>>> {
        self.buffer.clear();
        // A byte more than allowed, and the line's end, tell a line of the limit from a longer one.
        let room = INPUT_LINE_BYTES_MAX + 2;
        let read = self.read_some(room)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        if read == room && self.buffer.last() != Some(&b'\n') {
            while read_on(self.buffer.last()) {
                self.buffer.clear();
                if self.read_some(room)? == 0 {
                    break;
                }
            }
            return Ok(Some(Err(too_long())));
        }
        let line = self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Spreadsheets write a byte order mark.
        let mark = if self.number == 1 { b"\xef\xbb\xbf".as_slice() } else { b"" };
        let line = line.strip_prefix(mark).unwrap_or(line);
        if line.len() > INPUT_LINE_BYTES_MAX {
            return Ok(Some(Err(too_long())));
        }
        Ok(Some(std::str::from_utf8(line).map_err(|error| {
            let at = error.valid_up_to() + 1;
            format!("it is not UTF-8 text: byte {at} is wrong; save the file as UTF-8")
        })))
    }

    fn read_some(&mut self, room: usize) -> io::Result<usize> {
        let limit = u64::try_from(room).unwrap_or(u64::MAX);
        let read = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

fn read_on(last: Option<&u8>) -> bool {
    last.is_some_and(|byte| *byte != b'\n')
}

pub(super) fn too_long() -> Unreadable {
    format!("it is longer than {INPUT_LINE_BYTES_MAX} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: impl Into<Vec<u8>>) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(Box::new(io::Cursor::new(text.into())));
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let line = line.map(str::to_owned);
            found.push((lines.number(), line));
        }
        found
    }

    #[test]
    fn lines_end_with_or_without_a_carriage_return_or_not_at_all() {
        let lines = read("\u{feff}a\r\n\n b \nlast");
        let texts: Vec<_> = lines.into_iter().map(|(_, line)| line.unwrap()).collect();
        assert_eq!(texts, ["a", "", " b ", "last"]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_line_too_long_is_read_past_and_the_next_keeps_its_number() {
        let most = "x".repeat(INPUT_LINE_BYTES_MAX);
        for (end, more) in [("\n", ""), ("\r\n", ""), ("", "")] {
            let lines = read(format!("{most}{more}{end}"));
            assert_eq!(lines, [(1, Ok(most.clone()))]);
        }
        for length in [1, 2, 3, INPUT_LINE_BYTES_MAX, 2 * INPUT_LINE_BYTES_MAX + 7] {
            let lines = read(format!("a\n{most}{}\nb\n", "x".repeat(length)));
            assert_eq!(lines[1], (2, Err(too_long())));
            assert_eq!(lines[2], (3, Ok("b".to_owned())));
            assert_eq!(lines.len(), 3);
            let last = read(format!("{most}{}", "x".repeat(length)));
            assert_eq!(last, [(1, Err(too_long()))]);
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_byte() {
        let lines = read(b"ok\nab\xffc\nok\n".to_vec());
        let wrong = lines[1].1.as_ref().unwrap_err();
        assert!(wrong.contains("byte 3 is wrong"), "{wrong}");
        assert_eq!(lines[2], (3, Ok("ok".to_owned())));
    }
}
