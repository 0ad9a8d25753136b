//! How a benchmark says whether a target is met: one line that ends in `ok` or `short`. Knows no figure
//! and no target.

use std::ops::{Bound, RangeBounds};

/// Prints the line: what was measured, the figure, what it is to be (`..=1.15`, `0.9..`), and whether it is.
pub(crate) fn verdict(what: &str, figure: f64, unit: &str, target: impl RangeBounds<f64>) {
    let told = match (target.start_bound(), target.end_bound()) {
        (Bound::Included(least), Bound::Unbounded) => format!("at least {}", short(*least)),
        (Bound::Unbounded, Bound::Included(most)) => format!("at most {}", short(*most)),
        other => format!("within {other:?}"),
    };
    let met = if target.contains(&figure) { "ok" } else { "short" };
    #[expect(clippy::print_stdout, reason = "a benchmark prints")]
    {
        println!("target: {what}: {} {unit}, {told}: {met}", short(figure));
    }
}

/// A number with as many digits as say something.
fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
