//! The two streams that a command prints to, and whether colour may go there. Knows no words: callers
//! say what is good, bad or an aside.

use std::fmt;
use std::io::{self, Write};

use clap::ValueEnum;

/// A stream of the process. Whether a terminal is at its other end is said where the process begins.
pub struct Stream<'a> {
    to: &'a mut dyn Write,
    is_terminal: bool,
    is_coloured: bool,
}

impl fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { to: _, is_terminal, is_coloured } = self;
        f.debug_struct("Stream")
            .field("is_terminal", is_terminal)
            .field("is_coloured", is_coloured)
            .finish_non_exhaustive()
    }
}

/// When to colour what is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What a word is to the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Aside,
}

impl<'a> Stream<'a> {
    /// A stream that is not coloured until the command line is read.
    pub fn new(to: &'a mut dyn Write, is_terminal: bool) -> Self {
        Self { to, is_terminal, is_coloured: false }
    }

    /// Decides about colour. What the command line says wins over the environment.
    pub(super) fn colour(&mut self, when: ColorWhen) {
        self.is_coloured = match when {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => self.is_terminal && !colour_is_refused(),
        };
    }

    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// The text in the colour of its tone, if this stream is coloured. Pad before, as colours have no
    /// width.
    pub(super) fn paint(&self, tone: Tone, text: &str) -> String {
        if !self.is_coloured {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Aside => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// `ALLOW`, `DENY` or `ERROR`, which may be padded. Only a clear yes is good.
    pub(super) fn decision(&self, word: &str) -> String {
        let tone = if word.trim_end() == "ALLOW" { Tone::Good } else { Tone::Bad };
        self.paint(tone, word)
    }
}

/// <https://no-color.org>, and terminals that understand no colours.
fn colour_is_refused() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

impl Write for Stream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_goes_where_it_is_wanted() {
        let mut sink = Vec::new();
        let mut pipe = Stream::new(&mut sink, false);
        for (when, expected) in [
            (ColorWhen::Auto, "ALLOW  "),
            (ColorWhen::Never, "ALLOW  "),
            (ColorWhen::Always, "\x1b[32mALLOW  \x1b[0m"),
        ] {
            pipe.colour(when);
            assert_eq!(pipe.decision("ALLOW  "), expected);
        }
        assert_eq!(pipe.decision("DENY"), "\x1b[31mDENY\x1b[0m");
        assert_eq!(pipe.decision("UNSPECIFIED"), "\x1b[31mUNSPECIFIED\x1b[0m");
    }
}
