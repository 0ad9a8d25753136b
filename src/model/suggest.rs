//! The nearest known name to a mistyped one. Knows texts, not what they name.

use super::limits::SUGGESTED_BYTES_MAX;

/// So many pairs of characters are compared: a caller's slip must not cost what a model's thousands of names
/// cost. Of more names only the first are looked at.
const MANY_PAIRS: usize = 500_000;

/// The candidate nearest to `word`, if one is near enough to be meant; the first of equals. Costs a
/// millisecond or two at most.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > SUGGESTED_BYTES_MAX {
        return None;
    }
    let length = word.chars().count();
    let allowed = (length / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    let mut pairs = 0;
    for candidate in candidates {
        let its_length = candidate.chars().count();
        // It takes as many changes at least.
        if its_length.abs_diff(length) > allowed || candidate.is_empty() {
            continue;
        }
        pairs += its_length * length;
        if pairs > MANY_PAIRS {
            break;
        }
        let distance = if candidate.eq_ignore_ascii_case(word) {
            0
        } else {
            strsim::osa_distance(word, candidate)
        };
        let better = best.is_none_or(|held| (distance, candidate) < held);
        // With every character replaced nothing is alike.
        if distance <= allowed && distance < length.max(1) && better {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The end of a message: "; did you mean `x`?", or nothing.
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["stations.reboot", "stations.view", "org"];
        assert_eq!(nearest("stations.rebot", known), Some("stations.reboot"));
        assert_eq!(nearest("STATIONS.VIEW", known), Some("stations.view"));
        assert_eq!(nearest("ogr", known), Some("org"));
        assert_eq!(nearest("invoice", known), None);
        assert_eq!(nearest(&"o".repeat(10_000), known), None);
        assert_eq!(did_you_mean("ogr", known), "; did you mean `org`?");
        assert_eq!(did_you_mean("zzz", known), "");
        assert_eq!(nearest("a", ["b", "c"]), None);
        assert_eq!(nearest("", ["b"]), None);
    }

    #[test]
    fn of_thousands_of_long_names_only_the_first_are_compared() {
        let names: Vec<String> =
            (0..10_000).map(|at| format!("{}{at:05}", "a".repeat(95))).collect();
        let mut asked = 0;
        let known = names.iter().map(|name| {
            asked += 1;
            name.as_str()
        });
        assert_eq!(nearest(&"b".repeat(100), known), None);
        assert_eq!(asked, MANY_PAIRS / 100 / 100 + 1);
        let known = names.iter().map(String::as_str);
        assert_eq!(nearest(&format!("{}00007", "a".repeat(94)), known), Some(names[7].as_str()));
    }

    #[test]
    fn of_equally_near_words_the_first_in_byte_order_is_named() {
        assert_eq!(nearest("ab", ["ac", "aa"]), Some("aa"));
    }
}
