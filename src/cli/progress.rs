//! How far a long command is: a bar on a terminal, else a line now and then. Knows no work.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Stream;

/// How often a line says how far it is, where there is no bar.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// The progress of one command.
#[derive(Debug)]
pub(super) struct Progress {
    /// What is counted: `tuples`.
    noun: &'static str,
    /// The size of the input in bytes, if it is known.
    total: Option<u64>,
    started: Instant,
    told: Instant,
    count: u64,
    bytes: u64,
    how: How,
}

#[derive(Debug)]
enum How {
    Bar(ProgressBar),
    Lines,
    Silent,
}

impl Progress {
    /// Begins now.
    pub(super) fn new(
        noun: &'static str,
        total: Option<u64>,
        quiet: bool,
        err: &Stream<'_>,
    ) -> Self {
        let how = match (quiet, err.is_terminal()) {
            (true, _) => How::Silent,
            (false, true) => How::Bar(bar(total, ProgressDrawTarget::stderr())),
            (false, false) => How::Lines,
        };
        let now = Instant::now();
        // A count of zero bytes of zero is no share.
        let total = total.filter(|total| *total > 0);
        Self { noun, total, started: now, told: now, count: 0, bytes: 0, how }
    }

    /// So many in all are done, and so much of the input.
    pub(super) fn set(&mut self, count: u64, bytes: u64, err: &mut Stream<'_>) -> io::Result<()> {
        (self.count, self.bytes) = (count, bytes);
        match &self.how {
            How::Bar(bar) => {
                bar.set_message(self.text());
                bar.set_position(bytes);
            }
            How::Lines if self.told.elapsed() >= LINE_EVERY => {
                self.told = Instant::now();
                writeln!(err, "{}", self.text())?;
            }
            How::Lines | How::Silent => {}
        }
        Ok(())
    }

    /// A message that is no progress; goes above the bar.
    pub(super) fn note(&self, text: &str, err: &mut Stream<'_>) -> io::Result<()> {
        match &self.how {
            How::Bar(bar) => {
                bar.println(text);
                Ok(())
            }
            How::Lines | How::Silent => writeln!(err, "{text}"),
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }

    fn text(&self) -> String {
        describe(self.noun, self.count, self.bytes, self.total, self.started.elapsed())
    }
}

fn bar(total: Option<u64>, target: ProgressDrawTarget) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(total, target);
    let template =
        if total.is_some() { "[{bar:24}] {percent:>3} %  {msg}" } else { "{spinner} {msg}" };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ").tick_chars("-\\|/ ")),
        Err(_) => bar,
    }
}

/// `12,000 tuples, 45 %, 6,000 a second, 3 s left`.
fn describe(noun: &str, count: u64, bytes: u64, total: Option<u64>, elapsed: Duration) -> String {
    let mut text = format!("{} {noun}", grouped(count));
    if let Some(total) = total {
        let share = u128::from(bytes.min(total)) * 100 / u128::from(total);
        text.push_str(&format!(", {share} %"));
    }
    text.push_str(&format!(", {} a second", grouped(rate(count, elapsed))));
    if let Some(left) = total.and_then(|total| seconds_left(bytes, total, elapsed)) {
        text.push_str(&format!(", {left} s left"));
    }
    text
}

/// How many a second, to the nearest.
pub(super) fn rate(count: u64, elapsed: Duration) -> u64 {
    let millis = elapsed.as_millis().max(1);
    u64::try_from((u128::from(count) * 1_000 + millis / 2) / millis).unwrap_or(u64::MAX)
}

fn seconds_left(bytes: u64, total: u64, elapsed: Duration) -> Option<u128> {
    let left = u128::from(total.saturating_sub(bytes));
    let millis = (elapsed.as_millis() * left).checked_div(u128::from(bytes))?;
    Some(millis.div_ceil(1_000))
}

/// With commas between thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 tuple`, `2,000 tuples`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", grouped(number)) }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    #[test]
    fn rate_share_and_time_left_are_told() {
        let told = |bytes, total, seconds| {
            describe("tuples", 12_000, bytes, total, Duration::from_secs(seconds))
        };
        assert_eq!(told(45, Some(100), 2), "12,000 tuples, 45 %, 6,000 a second, 3 s left");
        assert_eq!(told(100, Some(100), 2), "12,000 tuples, 100 %, 6,000 a second, 0 s left");
        assert_eq!(told(0, Some(100), 2), "12,000 tuples, 0 %, 6,000 a second");
        assert_eq!(told(45, None, 0), "12,000 tuples, 12,000,000 a second");
        let last = u64::MAX;
        assert!(told(last, Some(last), last).contains("100 %"));
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(
            (counted(1, "tuple"), counted(0, "tuple")),
            ("1 tuple".into(), "0 tuples".into())
        );
    }

    /// A terminal that keeps what is written to it.
    #[derive(Debug, Clone, Default)]
    struct Kept(Arc<Mutex<String>>);

    impl TermLike for Kept {
        fn width(&self) -> u16 {
            100
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.write_str(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bar_shows_the_share_and_the_words() {
        let kept = Kept::default();
        let target = ProgressDrawTarget::term_like(Box::new(kept.clone()));
        let now = Instant::now();
        let how = How::Bar(bar(Some(200), target));
        let mut progress = Progress {
            noun: "tuples",
            total: Some(200),
            started: now,
            told: now,
            count: 0,
            bytes: 0,
            how,
        };
        let mut sink = Vec::new();
        let mut err = Stream::new(&mut sink, true);
        progress.set(5, 100, &mut err).unwrap();
        progress.note("line 3: odd", &mut err).unwrap();
        let shown = kept.0.lock().unwrap().clone();
        assert!(shown.contains("[============>"), "{shown}");
        assert!(shown.contains(" 50 %  5 tuples, 50 %, "), "{shown}");
        assert!(shown.contains("line 3: odd"), "{shown}");
        progress.end();
        assert!(sink.is_empty(), "a bar writes beside the stream that it has to itself");
    }

    #[test]
    fn without_a_terminal_a_line_now_and_then_says_how_far_it_is() {
        let mut sink = Vec::new();
        let mut err = Stream::new(&mut sink, false);
        let mut progress = Progress::new("tuples", Some(100), false, &err);
        progress.told = Instant::now().checked_sub(LINE_EVERY).unwrap();
        progress.set(5, 50, &mut err).unwrap();
        progress.set(6, 60, &mut err).unwrap();
        let told = String::from_utf8(sink).unwrap();
        assert!(told.starts_with("5 tuples, 50 %, ") && told.lines().count() == 1, "{told}");
    }

    #[test]
    fn without_a_terminal_notes_are_lines_and_nothing_else_is_shown_at_once() {
        for quiet in [false, true] {
            let mut sink = Vec::new();
            let mut err = Stream::new(&mut sink, false);
            let mut progress = Progress::new("tuples", Some(100), quiet, &err);
            progress.set(5, 50, &mut err).unwrap();
            progress.note("line 3: odd", &mut err).unwrap();
            assert_eq!(String::from_utf8(sink).unwrap(), "line 3: odd\n");
        }
    }
}
