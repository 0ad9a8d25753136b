//! The nouns of the API as validated values: names, objects, subjects. Knows their syntax only, never
//! whether a model declares them.
//!
//! Invariant *well-formed*: a value of these types satisfies the syntax of its doc comment; the fields
//! are private and each constructor checks it.

use std::fmt;
use std::sync::Arc;

use super::limits::{ID_BYTES_MAX, NAME_BYTES_MAX, QUOTED_BYTES_MAX};

/// Why a text is not a name, an object, a subject or a tuple. The message quotes the value, cut at
/// [`QUOTED_BYTES_MAX`] bytes, and says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {expected}: {reason}")]
pub struct SyntaxError {
    value: String,
    expected: &'static str,
    reason: &'static str,
}

impl SyntaxError {
    pub(crate) fn new(value: &str, expected: &'static str, reason: &'static str) -> Self {
        Self { value: quoted(value), expected, reason }
    }
}

/// A caller's text as a message may show it: at most [`QUOTED_BYTES_MAX`] bytes, cut at a character
/// boundary and marked with `...`, control characters escaped.
#[must_use]
pub fn quoted(value: &str) -> String {
    let mut shown = String::new();
    for c in value.chars() {
        if shown.len() + c.len_utf8() > QUOTED_BYTES_MAX {
            shown.push_str("...");
            return shown;
        }
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The name of a type, role, relation, permission or computed name: `[A-Za-z][A-Za-z0-9_./-]{0,127}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks the syntax.
    ///
    /// # Errors
    /// The text is empty, too long, or has a character that no name has.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        check_name(text)?;
        Ok(Self(text.into()))
    }

    /// Whether the text is one, without keeping it.
    ///
    /// # Errors
    /// As of [`parse`](Self::parse).
    pub fn check(text: &str) -> Result<(), SyntaxError> {
        check_name(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn check_name(text: &str) -> Result<(), SyntaxError> {
    let wrong = |reason| Err(SyntaxError::new(text, "a name", reason));
    match text.bytes().next() {
        None => return wrong("it is empty"),
        Some(first) if !first.is_ascii_alphabetic() => {
            return wrong("it must begin with a letter from A to Z");
        }
        Some(_) => {}
    }
    if text.len() > NAME_BYTES_MAX {
        return wrong("it is longer than 128 bytes");
    }
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-');
    if !text.bytes().fold(true, |so_far, b| so_far & allowed(b)) {
        return wrong("only letters, digits and _ . / - are allowed");
    }
    Ok(())
}

/// Anything named `type:id`; the first `:` separates. The id is 1 to 1,024 bytes, compared byte for
/// byte, without white space, control characters or `#`, and is never `*` alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    text: Arc<str>,
    type_len: u8,
}

impl Object {
    /// Checks the syntax.
    ///
    /// # Errors
    /// There is no `:`, the type is not a name, or the id breaks its rules.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let ObjectRef { text, type_len } = ObjectRef::parse(text)?;
        Ok(Self { text: text.into(), type_len })
    }

    /// Whether the text is one, without keeping it.
    #[must_use]
    pub fn is_well_formed(text: &str) -> bool {
        ObjectRef::parse(text).is_ok()
    }

    /// The whole text, `type:id`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The type's name.
    #[must_use]
    pub fn type_name(&self) -> &str {
        self.text.get(..usize::from(self.type_len)).unwrap_or_default()
    }

    /// The id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text.get(usize::from(self.type_len) + 1..).unwrap_or_default()
    }

    /// The shared text, for keeping it without a copy.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }
}

const LETTER: u8 = 1;
const IN_NAMES: u8 = 2;
const IN_IDS: u8 = 4;

/// What a byte may be part of where all is ASCII.
#[inline]
const fn class(byte: u8) -> u8 {
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' => LETTER | IN_NAMES | IN_IDS,
        b'0'..=b'9' | b'_' | b'.' | b'/' | b'-' => IN_NAMES | IN_IDS,
        b'#' => 0,
        b'!'..=b'~' => IN_IDS,
        _ => 0,
    }
}

/// What stands before the first of this ASCII character and after it. Names are short: to set up a search
/// would take longer than to look at each byte.
fn split_at(text: &str, character: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|byte| byte == character)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// An [`Object`] in somebody else's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    text: &'a str,
    type_len: u8,
}

impl<'a> ObjectRef<'a> {
    /// Checks the syntax. Costs a look at each byte.
    ///
    /// # Errors
    /// As of [`Object::parse`].
    #[inline]
    pub fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        Self::plain(text).map_or_else(|| Self::parse_any(text), Ok)
    }

    /// One of ASCII alone, as nearly every object is. `None`: it is none, or needs a closer look.
    #[inline]
    fn plain(text: &'a str) -> Option<Self> {
        let is = |byte: &u8, part: u8| class(*byte) & part != 0;
        let of_name = text.bytes().take_while(|byte| is(byte, IN_NAMES));
        let (type_name, rest) = text.as_bytes().split_at_checked(of_name.count())?;
        let [first, ..] = type_name else { return None };
        let [b':', id @ ..] = rest else { return None };
        let is_plain = is(first, LETTER)
            && type_name.len() <= NAME_BYTES_MAX
            && (1..=ID_BYTES_MAX).contains(&id.len())
            && id.iter().all(|byte| is(byte, IN_IDS))
            && id != b"*";
        let type_len = u8::try_from(type_name.len()).ok()?;
        is_plain.then_some(Self { text, type_len })
    }

    fn parse_any(text: &'a str) -> Result<Self, SyntaxError> {
        let wrong = |reason| Err(SyntaxError::new(text, "an object `type:id`", reason));
        let Some((type_name, id)) = split_at(text, b':') else {
            return wrong("there is no `:`");
        };
        check_name(type_name)?;
        if id.is_empty() {
            return wrong("the id is empty");
        }
        if id.len() > ID_BYTES_MAX {
            return wrong("the id is longer than 1024 bytes");
        }
        if id == "*" {
            return wrong("`*` names no single object");
        }
        if id.contains('#') {
            return wrong("an id has no `#`");
        }
        if id.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return wrong("an id has neither white space nor control characters");
        }
        let Ok(type_len) = u8::try_from(type_name.len()) else {
            return wrong("the type is too long");
        };
        Ok(Self { text, type_len })
    }

    /// The whole text, `type:id`.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// The type's name.
    #[must_use]
    pub fn type_name(self) -> &'a str {
        self.text.get(..usize::from(self.type_len)).unwrap_or_default()
    }
}

/// Who asks, or who holds a role.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `user:ana`.
    Object(Object),
    /// `user:*`: every plain object of the type.
    All(Name),
    /// `group:ops#member`: everybody for whom the name holds at the object.
    Set(Object, Name),
}

impl Subject {
    /// Reads `type:id`, `type:*` or `type:id#name`.
    ///
    /// # Errors
    /// The text is none of the three.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        let object =
            |object: ObjectRef<'_>| Object { text: object.text.into(), type_len: object.type_len };
        // Checked as parts of the subject already.
        let name = |name: &str| Name(name.into());
        Ok(match SubjectRef::parse(text)? {
            SubjectRef::Object(of) => Self::Object(object(of)),
            SubjectRef::All(type_name) => Self::All(name(type_name)),
            SubjectRef::Set(of, set) => Self::Set(object(of), name(set)),
        })
    }
}

/// A [`Subject`] in somebody else's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectRef<'a> {
    /// `user:ana`.
    Object(ObjectRef<'a>),
    /// `user:*`; the type's name.
    All(&'a str),
    /// `group:ops#member`; the object, and the name.
    Set(ObjectRef<'a>, &'a str),
}

impl<'a> SubjectRef<'a> {
    /// Reads `type:id`, `type:*` or `type:id#name`.
    ///
    /// # Errors
    /// The text is none of the three.
    pub fn parse(text: &'a str) -> Result<Self, SyntaxError> {
        // It has no `#`, and is not all of a type.
        if let Some(object) = ObjectRef::plain(text) {
            return Ok(Self::Object(object));
        }
        if let Some((object, name)) = split_at(text, b'#') {
            let object = ObjectRef::parse(object)?;
            check_name(name)?;
            return Ok(Self::Set(object, name));
        }
        match text.strip_suffix(":*") {
            Some(type_name) if !type_name.contains(':') => {
                check_name(type_name)?;
                Ok(Self::All(type_name))
            }
            _ => Ok(Self::Object(ObjectRef::parse(text)?)),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => write!(f, "{object}"),
            Self::All(type_name) => write!(f, "{type_name}:*"),
            Self::Set(object, name) => write!(f, "{object}#{name}"),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_at_once_is_what_a_closer_look_takes() {
        let mut random = fastrand::Rng::with_seed(17);
        let parts =
            ["a", "Z", "9", "_", ".", "/", "-", ":", "*", "#", "@", " ", "~", "\u{7f}", "ü"];
        let (mut at_once, mut objects) = (0, 0);
        for _ in 0..100_000 {
            let mut text: String =
                (0..random.usize(..8)).map(|_| parts[random.usize(..15)]).collect();
            if random.u8(..8) == 0 {
                text.insert_str(0, &"x".repeat(NAME_BYTES_MAX - random.usize(..3)));
            }
            let closer = ObjectRef::parse_any(&text);
            objects += usize::from(closer.is_ok());
            if let Some(plain) = ObjectRef::plain(&text) {
                at_once += 1;
                assert_eq!(closer, Ok(plain), "{text:?}");
                assert_eq!(SubjectRef::parse(&text), Ok(SubjectRef::Object(plain)));
                assert!(
                    !text.contains('#') && !text.ends_with(":*") || text.matches(':').count() > 1
                );
            }
        }
        assert!(at_once > 500 && objects > at_once, "{at_once} of {objects}");
        for (length, is_one) in [(ID_BYTES_MAX, true), (ID_BYTES_MAX + 1, false)] {
            let text = format!("user:{}", "x".repeat(length));
            assert_eq!(
                (ObjectRef::plain(&text).is_some(), ObjectRef::parse(&text).is_ok()),
                (is_one, is_one)
            );
        }
    }
}
