//! The type of a value in a condition, as far as it is known when the model is loaded. Knows no
//! expression.

use std::fmt;

use cel::common::ast::LiteralValue;

use crate::model::form::ParameterType;

/// The type of a value, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Unknown,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    IpAddress,
    /// The type of types.
    Type,
    List(Box<Kind>),
    Map {
        key: Box<Kind>,
        value: Box<Kind>,
    },
}

/// The kind that all of these are.
pub(super) fn common(kinds: Vec<Kind>) -> Kind {
    let mut kinds = kinds.into_iter();
    let first = kinds.next().unwrap_or(Kind::Unknown);
    if kinds.all(|kind| kind == first) { first } else { Kind::Unknown }
}

impl Kind {
    pub(super) fn of(parameter: &ParameterType) -> Self {
        match parameter {
            ParameterType::Bool => Self::Bool,
            ParameterType::Int => Self::Int,
            ParameterType::Uint => Self::Uint,
            ParameterType::Double => Self::Double,
            ParameterType::String => Self::String,
            ParameterType::Timestamp => Self::Timestamp,
            ParameterType::Duration => Self::Duration,
            ParameterType::IpAddress => Self::IpAddress,
            ParameterType::List(of) => Self::List(Box::new(Self::of(of))),
            ParameterType::Map(of) => {
                Self::Map { key: Box::new(Self::String), value: Box::new(Self::of(of)) }
            }
        }
    }

    pub(super) fn of_literal(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Bool,
            LiteralValue::Bytes(_) => Self::Bytes,
            LiteralValue::Double(_) => Self::Double,
            LiteralValue::Int(_) => Self::Int,
            LiteralValue::Null => Self::Null,
            LiteralValue::String(_) => Self::String,
            LiteralValue::UInt(_) => Self::Uint,
        }
    }

    pub(super) fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether its values may have an order among themselves.
    pub(super) fn is_ordered(&self) -> bool {
        let is_set = matches!(self, Self::List(_) | Self::Map { .. });
        !is_set && !matches!(self, Self::Null | Self::Type | Self::IpAddress)
    }

    /// Whether a value of this kind may be one of the other.
    pub(super) fn may_be(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => true,
            (Self::List(one), Self::List(other)) => one.may_be(other),
            (Self::Map { .. }, Self::Map { .. }) => true,
            (one, other) => one == other,
        }
    }

    /// Whether values of these kinds may be equal: numbers are by their value, whatever their kind.
    pub(super) fn may_equal(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(one), Self::List(other)) => one.may_equal(other),
            (one, other) => one.may_be(other) || one.is_number() && other.is_number(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "something",
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::IpAddress => "ipaddress",
            Self::Type => "type",
            Self::List(of) if **of == Self::Unknown => "list",
            Self::List(of) => return write!(f, "list<{of}>"),
            Self::Map { value, .. } if **value == Self::Unknown => "map",
            Self::Map { value, .. } => return write!(f, "map<{value}>"),
        })
    }
}
