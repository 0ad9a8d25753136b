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
    if !text.bytes().all(allowed) {
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
        let wrong = |reason| Err(SyntaxError::new(text, "an object `type:id`", reason));
        let Some((type_name, id)) = text.split_once(':') else {
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
        Ok(Self { text: text.into(), type_len })
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
        if let Some((object, name)) = text.split_once('#') {
            return Ok(Self::Set(Object::parse(object)?, Name::parse(name)?));
        }
        match text.strip_suffix(":*") {
            Some(type_name) if !type_name.contains(':') => Ok(Self::All(Name::parse(type_name)?)),
            _ => Ok(Self::Object(Object::parse(text)?)),
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
