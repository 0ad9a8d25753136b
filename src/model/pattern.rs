//! Patterns over permission names: `*` matches any run of characters. Knows texts only.

/// Whether the pattern matches the whole name.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        // The leftmost match leaves the most for the parts that follow.
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// Orders patterns that match one name: the name itself first, then by the number of characters that
/// are no `*`.
pub(super) fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.contains('*'), pattern.chars().filter(|c| *c != '*').count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (pattern, name) in [
            ("*", "org.view"),
            ("org.*", "org.view"),
            ("*.view", "org.view"),
            ("o*v*w", "org.view"),
            ("org.view", "org.view"),
            ("org.*", "org."),
            ("*a*a*", "aa"),
            ("**", "x"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("org.*", "orgview"),
            ("*.view", "org.viewer"),
            ("org", "org.view"),
            ("*a*a*", "a"),
            ("", "x"),
            ("a*a", "a"),
            ("ab*ba", "aba"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_name_is_more_specific_than_any_pattern() {
        assert!(specificity("org.view") > specificity("org.view*"));
        assert!(specificity("org.*") > specificity("*"));
        assert!(specificity("ab*") > specificity("*a*"));
    }
}
