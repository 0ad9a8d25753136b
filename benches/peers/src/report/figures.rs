//! Numbers as a reader takes them in: as many digits as say something, thousands apart.

/// `12,300`, `123`, `12.3`, `1.23`.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 1e5 => grouped((value / 1e3).round() as u64 * 1_000),
        size if size >= 1e4 => grouped((value / 1e2).round() as u64 * 100),
        size if size >= 1e3 => grouped((value / 1e1).round() as u64 * 10),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// `1,000,000`.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Nanoseconds, in the unit that fits: `870 ns`, `12.3 us`, `1.20 ms`.
pub(super) fn nanoseconds(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{} us", number(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", number(ns / 1e6)),
        _ => format!("{} s", number(ns / 1e9)),
    }
}

/// Tuples: `1k`, `10M`.
pub(super) fn size(tuples: u64) -> String {
    match tuples {
        many if many >= 1_000_000 => format!("{}M", many / 1_000_000),
        many if many >= 1_000 => format!("{}k", many / 1_000),
        many => many.to_string(),
    }
}
