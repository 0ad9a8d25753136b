//! Base64 for URLs, without padding: what a cursor is written in. Each row of bytes has one text, and no
//! other text is read.

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// So many groups of three bytes are written at once: character by character takes several times as long.
const GROUPS: usize = 16;

/// Appends the text of these bytes.
pub(super) fn encode(bytes: &[u8], text: &mut String) {
    let (whole, rest) = bytes.as_chunks::<3>();
    for groups in whole.chunks(GROUPS) {
        let mut written = [[0; 4]; GROUPS];
        written.iter_mut().zip(groups).for_each(|(to, group)| *to = digits(*group));
        append(written.get(..groups.len()).unwrap_or_default().as_flattened(), text);
    }
    match *rest {
        [a] => append(digits([a, 0, 0]).split_at(2).0, text),
        [a, b] => append(digits([a, b, 0]).split_at(3).0, text),
        _ => {}
    }
}

/// Appends digits, which are ASCII.
fn append(digits: &[u8], text: &mut String) {
    text.push_str(str::from_utf8(digits).unwrap_or_default());
}

fn digits([a, b, c]: [u8; 3]) -> [u8; 4] {
    let bits = u32::from_be_bytes([0, a, b, c]);
    [18, 12, 6, 0].map(|shift| {
        let at = (bits >> shift) & 63;
        DIGITS.get(at as usize).copied().unwrap_or_default()
    })
}

/// The bytes of this text; `None` if [`encode`] makes no such text.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for digit in chunk {
            bits = (bits << 6) | value(*digit)?;
        }
        // Two digits carry one byte, three carry two; the bits left over are 0.
        let whole = chunk.len() * 6 / 8;
        let left_over = chunk.len() * 6 - whole * 8;
        if left_over >= 6 || bits & ((1 << left_over) - 1) != 0 {
            return None;
        }
        let [_, three @ ..] = (bits >> left_over << (24 - whole * 8)).to_be_bytes();
        bytes.extend(three.iter().take(whole));
    }
    Some(bytes)
}

fn value(digit: u8) -> Option<u32> {
    Some(u32::from(match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(bytes: &[u8]) -> String {
        let mut text = String::new();
        encode(bytes, &mut text);
        text
    }

    #[test]
    fn the_examples_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encoded(bytes.as_bytes()), text);
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        assert_eq!(encoded(&[0xfb, 0xff]), "-_8");
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let all: Vec<u8> = (0..=255).collect();
        for length in 0..all.len() {
            assert_eq!(decode(&encoded(&all[..length])).as_deref(), Some(&all[..length]));
        }
        // Every text of up to three characters of a few kinds, well-formed or not.
        let kinds = ["A", "Z", "g", "8", "-", "_", "=", "+", "/", " ", "\u{e9}", "\n"];
        for a in kinds {
            for b in kinds {
                for text in [a.to_owned(), format!("{a}{b}"), format!("{a}{b}{a}")] {
                    if let Some(bytes) = decode(&text) {
                        assert_eq!(encoded(&bytes), text);
                    }
                }
            }
        }
    }
}
