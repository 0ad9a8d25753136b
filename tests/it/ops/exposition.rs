//! A reader of the metrics page, written from the OpenMetrics text format and knowing nothing of the
//! program that made it; and the rules that a page must keep to be of use.

use std::collections::{BTreeMap, BTreeSet};

/// Metrics of one name.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) kind: String,
    pub(super) help: String,
    pub(super) unit: String,
    pub(super) samples: Vec<Sample>,
}

/// One line of figures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// What follows the name of the family.
    pub(super) suffix: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

/// The families of a page by name. A page that breaks the format or a rule fails the test.
#[track_caller]
pub(super) fn read(text: &str) -> BTreeMap<String, Family> {
    let body = text.strip_suffix("# EOF\n").expect("the page has no end mark");
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in body.lines() {
        if let Some(meta) = line.strip_prefix("# ") {
            let mut words = meta.splitn(3, ' ');
            let (what, name, said) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            if name != current {
                current = name.to_owned();
                assert!(!families.contains_key(name), "{name} comes twice");
                families.insert(current.clone(), Family::default());
            }
            let family = families.get_mut(name).unwrap();
            assert!(family.samples.is_empty(), "{line} comes after figures");
            let place = match what {
                "HELP" => &mut family.help,
                "TYPE" => &mut family.kind,
                "UNIT" => &mut family.unit,
                _ => panic!("{line}"),
            };
            assert!(place.is_empty(), "{line} comes twice");
            *place = said.to_owned();
        } else {
            let sample = sample(line, &current);
            families.get_mut(&current).unwrap().samples.push(sample);
        }
    }
    for (name, family) in &families {
        check(name, family);
    }
    families
}

fn sample(line: &str, family: &str) -> Sample {
    let rest = line.strip_prefix(family).unwrap_or_else(|| panic!("{line} is not of {family}"));
    let split = rest.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (suffix, rest) = rest.split_at(split);
    let mut labels = BTreeMap::new();
    let value = match rest.strip_prefix('{') {
        None => rest,
        Some(mut rest) => loop {
            let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let (value, after) = quoted(after);
            assert!(labels.insert(name.to_owned(), value).is_none(), "{line}: {name} comes twice");
            match after.strip_prefix(',') {
                Some(more) => rest = more,
                None => break after.strip_prefix('}').unwrap_or_else(|| panic!("{line}")),
            }
        },
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let value = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    Sample { suffix: suffix.to_owned(), labels, value }
}

/// A label's value up to its closing quote, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.push(match chars.next().unwrap().1 {
                'n' => '\n',
                c => c,
            }),
            c => value.push(c),
        }
    }
    panic!("a quote is not closed: {text}")
}

/// The rules of the format and those that linters of metrics ask for.
fn check(name: &str, family: &Family) {
    let Family { kind, help, unit, samples } = family;
    let snake = |name: &str| {
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && name.starts_with(|c: char| c.is_ascii_lowercase())
    };
    assert!(snake(name), "{name} is not in snake case");
    assert!(!help.is_empty(), "{name} has no help");
    for word in name.split('_') {
        let abbreviated = ["s", "ms", "us", "ns", "sec", "millis", "b", "kb", "mb", "kib", "pct"];
        assert!(!abbreviated.contains(&word), "{name} has an abbreviated unit");
        let scaled = ["milliseconds", "microseconds", "minutes", "hours", "kilobytes", "percent"];
        assert!(!scaled.contains(&word), "{name} is not in a base unit");
        assert!(!["counter", "gauge", "histogram"].contains(&word), "{name} says its type");
    }
    assert!(["", "seconds", "bytes"].contains(&unit.as_str()), "{name} is in {unit}");
    let ends_in_unit = name.ends_with("_seconds") || name.ends_with("_bytes");
    assert_eq!(ends_in_unit, !unit.is_empty(), "{name} and its unit `{unit}`");
    assert!(unit.is_empty() || name.ends_with(&format!("_{unit}")), "{name} is in {unit}");
    for reserved in ["_total", "_bucket", "_count", "_sum", "_info"] {
        assert!(!name.ends_with(reserved), "{name} has a reserved ending");
    }
    let suffixes: &[&str] = match kind.as_str() {
        "counter" => &["_total"],
        "gauge" => &[""],
        "info" => &["_info"],
        "histogram" => &["_bucket", "_sum", "_count"],
        kind => panic!("{name} is a {kind}"),
    };
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    for Sample { suffix, labels, value } in samples {
        assert!(suffixes.contains(&suffix.as_str()), "{name}{suffix} in a {kind}");
        assert!(seen.insert((suffix, labels)), "{name}{suffix}{labels:?} comes twice");
        assert!(labels.keys().all(|label| snake(label)), "{name}{labels:?}");
        assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{name}{suffix}{labels:?}");
        assert!(kind != "counter" || *value >= 0.0, "{name} is {value}");
        assert!(kind != "info" || *value == 1.0, "{name} is {value}");
        let own: Vec<_> = labels.keys().filter(|label| *label != "le").cloned().collect();
        names.insert(own);
    }
    assert!(names.len() <= 1, "{name} has figures of different labels: {names:?}");
    if kind == "histogram" {
        check_histogram(name, samples);
    }
}

/// One histogram: its buckets in the order of the page, and what else there is of it.
#[derive(Default)]
struct Buckets {
    bounds: Vec<(f64, f64)>,
    count: Option<f64>,
    has_sum: bool,
}

fn check_histogram(name: &str, samples: &[Sample]) {
    let mut by_labels: BTreeMap<_, Buckets> = BTreeMap::new();
    for Sample { suffix, labels, value } in samples {
        let mut own = labels.clone();
        let le = own.remove("le");
        let buckets = by_labels.entry(own).or_default();
        match suffix.as_str() {
            "_bucket" => {
                let bound = le.unwrap().replace("+Inf", "inf").parse().unwrap();
                buckets.bounds.push((bound, *value));
            }
            "_count" => buckets.count = Some(*value),
            _ => buckets.has_sum = true,
        }
    }
    for (labels, Buckets { bounds, count, has_sum }) in by_labels {
        assert!(has_sum, "{name}{labels:?} has no sum");
        assert!(bounds.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1), "{name}{labels:?}");
        let (bound, all) = *bounds.last().unwrap();
        assert_eq!((bound, Some(all)), (f64::INFINITY, count), "{name}{labels:?}");
    }
}

#[test]
fn the_reader_takes_what_the_format_says() {
    let page = "# HELP a_requests What they are.\n# TYPE a_requests counter\n\
                a_requests_total{code=\"OK\",text=\"a\\\"b\\\\c\\nd\"} 17\n# EOF\n";
    let families = read(page);
    let sample = &families["a_requests"].samples[0];
    assert_eq!(sample.value, 17.0);
    assert_eq!(sample.labels["text"], "a\"b\\c\nd");
}

#[test]
fn the_reader_refuses_what_breaks_a_rule() {
    let head = "# HELP a_b What it is.\n# TYPE a_b ";
    for page in [
        format!("{head}gauge\na_b 1\n"),
        format!("{head}gauge\na_b_total 1\n# EOF\n"),
        format!("{head}counter\na_b 1\n# EOF\n"),
        format!("{head}counter\na_b_total -1\n# EOF\n"),
        format!("{head}gauge\na_b one\n# EOF\n"),
        format!("{head}gauge\na_b 1\na_b 2\n# EOF\n"),
        format!("{head}gauge\na_b{{c=\"1\"}} 1\na_b{{d=\"1\"}} 2\n# EOF\n"),
        format!("{head}gauge\na_c 1\n# EOF\n"),
        format!("{head}info\na_b_info 2\n# EOF\n"),
        format!("{head}histogram\na_b_sum 1\na_b_count 2\na_b_bucket{{le=\"+Inf\"}} 3\n# EOF\n"),
        "# TYPE a_b gauge\na_b 1\n# EOF\n".to_owned(),
        "# HELP a_ms It.\n# TYPE a_ms gauge\na_ms 1\n# EOF\n".to_owned(),
        "# HELP a_seconds It.\n# TYPE a_seconds gauge\na_seconds 1\n# EOF\n".to_owned(),
        "# HELP aB It.\n# TYPE aB gauge\naB 1\n# EOF\n".to_owned(),
    ] {
        let quiet = std::panic::catch_unwind(|| read(&page));
        assert!(quiet.is_err(), "{page}");
    }
}
