//! What the functions of conditions take and give: CEL's own, as the CEL crate declares them, and ours.
//! No function exists but those of this table. Knows no expression.

use std::fmt;

use super::kind::Kind;
use crate::model::values::IN_CIDR;

/// How a function is called: `f(x)` or `x.f()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Global,
    Member,
    /// In a signature: either.
    Both,
}

/// A kind without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    IpAddress,
    Type,
    List,
    Map,
    /// Whatever there is.
    Any,
}

/// One way to call a function.
#[derive(Debug)]
pub(super) struct Signature {
    name: &'static str,
    form: Form,
    /// What each argument may be; the first is the target of `x.f()`.
    takes: &'static [&'static [Base]],
    gives: Base,
}

const TEXT: &[Base] = &[Base::String];
const TIME: &[Base] = &[Base::Timestamp];
const TIME_OR_SPAN: &[Base] = &[Base::Timestamp, Base::Duration];
const SIZED: &[Base] = &[Base::String, Base::Bytes, Base::List, Base::Map];
const TO_INT: &[Base] = &[Base::Int, Base::Uint, Base::Double, Base::String, Base::Timestamp];
const NUMERIC: &[Base] = &[Base::Int, Base::Uint, Base::Double, Base::String];
const PRINTED: &[Base] = &[
    Base::String,
    Base::Bool,
    Base::Int,
    Base::Uint,
    Base::Double,
    Base::Bytes,
    Base::Timestamp,
    Base::Duration,
];

const fn global(name: &'static str, takes: &'static [&'static [Base]], gives: Base) -> Signature {
    Signature { name, form: Form::Global, takes, gives }
}

const fn member(name: &'static str, takes: &'static [&'static [Base]], gives: Base) -> Signature {
    Signature { name, form: Form::Member, takes, gives }
}

const fn both(name: &'static str, takes: &'static [&'static [Base]], gives: Base) -> Signature {
    Signature { name, form: Form::Both, takes, gives }
}

const SIGNATURES: [Signature; 36] = [
    member(IN_CIDR, &[&[Base::IpAddress], TEXT], Base::Bool),
    both("size", &[SIZED], Base::Int),
    member("contains", &[TEXT, TEXT], Base::Bool),
    member("startsWith", &[TEXT, TEXT], Base::Bool),
    member("endsWith", &[TEXT, TEXT], Base::Bool),
    both("matches", &[TEXT, TEXT], Base::Bool),
    member("getFullYear", &[TIME], Base::Int),
    member("getFullYear", &[TIME, TEXT], Base::Int),
    member("getMonth", &[TIME], Base::Int),
    member("getMonth", &[TIME, TEXT], Base::Int),
    member("getDayOfYear", &[TIME], Base::Int),
    member("getDayOfYear", &[TIME, TEXT], Base::Int),
    member("getDayOfMonth", &[TIME], Base::Int),
    member("getDayOfMonth", &[TIME, TEXT], Base::Int),
    member("getDate", &[TIME], Base::Int),
    member("getDate", &[TIME, TEXT], Base::Int),
    member("getDayOfWeek", &[TIME], Base::Int),
    member("getDayOfWeek", &[TIME, TEXT], Base::Int),
    member("getHours", &[TIME_OR_SPAN], Base::Int),
    member("getHours", &[TIME, TEXT], Base::Int),
    member("getMinutes", &[TIME_OR_SPAN], Base::Int),
    member("getMinutes", &[TIME, TEXT], Base::Int),
    member("getSeconds", &[TIME_OR_SPAN], Base::Int),
    member("getSeconds", &[TIME, TEXT], Base::Int),
    member("getMilliseconds", &[TIME_OR_SPAN], Base::Int),
    member("getMilliseconds", &[TIME, TEXT], Base::Int),
    global("int", &[TO_INT], Base::Int),
    global("uint", &[NUMERIC], Base::Uint),
    global("double", &[NUMERIC], Base::Double),
    global("string", &[PRINTED], Base::String),
    global("bool", &[&[Base::Bool, Base::String]], Base::Bool),
    global("bytes", &[&[Base::String, Base::Bytes]], Base::Bytes),
    global("timestamp", &[&[Base::String, Base::Timestamp, Base::Int]], Base::Timestamp),
    global("duration", &[&[Base::String, Base::Duration]], Base::Duration),
    global("dyn", &[&[Base::Any]], Base::Any),
    global("type", &[&[Base::Any]], Base::Type),
];

/// The ways to call the function of this name.
pub(super) fn signatures(name: &str) -> impl Iterator<Item = &'static Signature> {
    SIGNATURES.iter().filter(move |signature| signature.name == name)
}

/// The functions that there are, some more than once.
pub(super) fn function_names() -> impl Iterator<Item = &'static str> {
    SIGNATURES.iter().map(|signature| signature.name)
}

impl Signature {
    /// Whether it can be called so, as far as is known.
    pub(super) fn takes(&self, form: Form, kinds: &[Kind]) -> bool {
        (self.form == form || self.form == Form::Both)
            && self.takes.len() == kinds.len()
            && self.takes.iter().zip(kinds).all(|(taken, kind)| {
                taken.contains(&Base::Any) || base(kind).is_none_or(|base| taken.contains(&base))
            })
    }

    /// The kind of its value.
    pub(super) fn gives(&self) -> Kind {
        match self.gives {
            Base::Bool => Kind::Bool,
            Base::Int => Kind::Int,
            Base::Uint => Kind::Uint,
            Base::Double => Kind::Double,
            Base::String => Kind::String,
            Base::Bytes => Kind::Bytes,
            Base::Timestamp => Kind::Timestamp,
            Base::Duration => Kind::Duration,
            Base::IpAddress => Kind::IpAddress,
            Base::Type => Kind::Type,
            Base::List | Base::Map | Base::Any => Kind::Unknown,
        }
    }
}

/// `None`: it is not known.
fn base(kind: &Kind) -> Option<Base> {
    Some(match kind {
        Kind::Unknown => return None,
        // Nothing but what takes all takes these.
        Kind::Null | Kind::Type => Base::Type,
        Kind::Bool => Base::Bool,
        Kind::Int => Base::Int,
        Kind::Uint => Base::Uint,
        Kind::Double => Base::Double,
        Kind::String => Base::String,
        Kind::Bytes => Base::Bytes,
        Kind::Timestamp => Base::Timestamp,
        Kind::Duration => Base::Duration,
        Kind::IpAddress => Base::IpAddress,
        Kind::List(_) => Base::List,
        Kind::Map { .. } => Base::Map,
    })
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |bases: &[Base]| -> String {
            let word = |base: &Base| match base {
                Base::Any => "anything".to_owned(),
                base => format!("{base:?}").to_lowercase(),
            };
            bases.iter().map(word).collect::<Vec<_>>().join("|")
        };
        let listed = |takes: &[&[Base]]| -> String {
            takes.iter().map(|bases| words(bases)).collect::<Vec<_>>().join(", ")
        };
        match (self.form, self.takes) {
            (Form::Member | Form::Both, [target, rest @ ..]) => {
                write!(f, "{}.{}({})", words(target), self.name, listed(rest))
            }
            (_, all) => write!(f, "{}({})", self.name, listed(all)),
        }
    }
}
