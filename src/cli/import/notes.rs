//! What an import says while it goes on. Two chunks may be under way, and each has something to say when
//! it is sent again. Knows no chunk.

use std::cell::RefCell;
use std::io;

use crate::cli::console::{Stream, Tone};
use crate::cli::progress::Progress;

/// The progress and the stream that it is written to, shared by all that is under way on one thread.
pub(super) struct Notes<'a, 'e>(RefCell<(&'a mut Progress, &'a mut Stream<'e>)>);

impl<'a, 'e> Notes<'a, 'e> {
    pub(super) fn new(progress: &'a mut Progress, err: &'a mut Stream<'e>) -> Self {
        Self(RefCell::new((progress, err)))
    }

    /// So many tuples are done, and so much of the input.
    pub(super) fn set(&self, tuples: u64, bytes: u64) -> io::Result<()> {
        let (progress, err) = &mut *self.0.borrow_mut();
        progress.set(tuples, bytes, err)
    }

    pub(super) fn note(&self, text: &str) -> io::Result<()> {
        let (progress, err) = &mut *self.0.borrow_mut();
        progress.note(text, err)
    }

    /// What is wrong with a line.
    pub(super) fn problem(&self, line: u64, what: &str) -> io::Result<()> {
        let place = self.0.borrow().1.paint(Tone::Bad, &format!("line {line}:"));
        self.note(&format!("{place} {what}"))
    }
}
