//! Names from labels: the same label, the same name, on every machine. Knows no model.

use sha2::{Digest as _, Sha256};

use crate::model::limits::{NAME_BYTES_MAX, SLUG_PART_BYTES_MAX};

/// Letters that are written as others in a name.
const LETTERS: [(&str, &str); 24] = [
    ("àáâãäåāăą", "a"),
    ("æ", "ae"),
    ("çćĉċč", "c"),
    ("ðďđ", "d"),
    ("èéêëēĕėęě", "e"),
    ("ĝğġģ", "g"),
    ("ĥħ", "h"),
    ("ìíîïĩīĭįı", "i"),
    ("ĵ", "j"),
    ("ķ", "k"),
    ("ĺļľŀł", "l"),
    ("ñńņň", "n"),
    ("òóôõöøōŏő", "o"),
    ("œ", "oe"),
    ("ŕŗř", "r"),
    ("śŝşšș", "s"),
    ("ß", "ss"),
    ("ţťŧț", "t"),
    ("þ", "th"),
    ("ùúûüũūŭůűų", "u"),
    ("ŵ", "w"),
    ("ýÿŷ", "y"),
    ("źżž", "z"),
    ("&", "_and_"),
];

/// The name of one label: `[a-z][a-z0-9_]*`, `view_users` for "View users".
pub(in crate::model) fn of(label: &str) -> String {
    let mut name = String::new();
    let mut push = |c: char| {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    };
    for c in label.chars().flat_map(char::to_lowercase) {
        match LETTERS.iter().find(|(letters, _)| letters.contains(c)) {
            Some((_, written)) => written.chars().for_each(&mut push),
            // A mark over the letter before it, or nothing to see.
            None if matches!(c, '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\'' | '’') => {
            }
            None => push(c),
        }
    }
    let name = name.trim_end_matches('_');
    if name.is_empty() {
        // No letter that a name may have: the label itself decides.
        return format!("n{}", digest(label));
    }
    let name = if name.starts_with(|c: char| c.is_ascii_digit()) {
        format!("n_{name}")
    } else {
        name.to_owned()
    };
    cut(&name, SLUG_PART_BYTES_MAX, label)
}

/// The name of a permission: the names of its sections and of its label, with dots between.
pub(in crate::model) fn permission(section: &str, label: &str) -> String {
    let sections = section.split(" / ").filter(|part| !part.trim().is_empty()).map(of);
    let name = sections.chain([of(label)]).collect::<Vec<_>>().join(".");
    cut(&name, NAME_BYTES_MAX, &format!("{section}\n{label}"))
}

/// The name, or its beginning and what tells it from others that begin so.
fn cut(name: &str, most: usize, of: &str) -> String {
    if name.len() <= most {
        return name.to_owned();
    }
    let kept: String = name.chars().take(most.saturating_sub(9)).collect();
    format!("{}_{}", kept.trim_end_matches(['_', '.']), digest(of))
}

fn digest(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::names::Name;

    #[test]
    fn a_label_has_one_name() {
        for (label, name) in [
            ("View users", "view_users"),
            ("Single-line diagrams (SLD)", "single_line_diagrams_sld"),
            ("  Ändra  stationskonfigurationer ", "andra_stationskonfigurationer"),
            ("Straße & Größe", "strasse_and_grosse"),
            ("e\u{301}dition", "edition"),
            ("2FA", "n_2fa"),
            ("user's", "users"),
        ] {
            assert_eq!(of(label), name);
        }
        assert_eq!(permission("Users / Team", "Invite!"), "users.team.invite");
        assert_eq!(permission("", "Invite"), "invite");
    }

    #[test]
    fn every_label_has_a_name_that_is_one() {
        let long = "a".repeat(5_000);
        for label in ["利用者", "…", "", &long, &"利".repeat(900), "9", "-"] {
            assert!(Name::parse(&of(label)).is_ok(), "{label}");
            assert!(Name::parse(&permission(&[label; 4].join(" / "), label)).is_ok(), "{label}");
        }
        assert_ne!(of("利用者"), of("管理者"));
        let most = SLUG_PART_BYTES_MAX;
        let fits = "a".repeat(most);
        assert_eq!(of(&fits), fits);
        assert_eq!(of(&long).len(), most);
        assert_ne!(of(&long), of(&format!("{long}b")));
    }
}
