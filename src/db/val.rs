//! Values that cross between Rust and either engine.
//!
//! Invariant: a value that goes in comes out the same from SQLite and from PostgreSQL, or is refused by both; so a NaN
//! (SQLite would store NULL) and a text with a NUL byte (PostgreSQL refuses it) never get in. No SQL here.

use super::error::DbError;
use crate::base::clock::Time;

/// One bound parameter. Times are `I64` microseconds, JSON is `Text`.
#[derive(Debug, Clone, PartialEq)]
pub enum Val {
    /// SQL NULL, of any column type.
    Null,
    /// BOOLEAN.
    Bool(bool),
    /// BIGINT.
    I64(i64),
    /// DOUBLE PRECISION, not NaN.
    F64(f64),
    /// TEXT without NUL bytes.
    Text(String),
    /// BYTEA.
    Bytes(Vec<u8>),
}

impl Val {
    /// A pattern of `LIKE .. ESCAPE '!'` for texts that hold `part`.
    pub fn within(part: &str) -> Self {
        Self::Text(format!("%{}%", part.replace('!', "!!").replace('%', "!%").replace('_', "!_")))
    }

    /// Refuses what only one of the engines would take.
    pub(super) fn check(&self) -> Result<(), DbError> {
        match self {
            Self::F64(number) if number.is_nan() => Err(DbError::Other("a NaN cannot be stored".into())),
            Self::Text(text) if text.contains('\0') => {
                Err(DbError::Other("a text with a NUL character cannot be stored".into()))
            }
            _ => Ok(()),
        }
    }
}

macro_rules! val_from {
    ($($from:ty => |$value:ident| $to:expr;)+) => {
        $(impl From<$from> for Val {
            fn from($value: $from) -> Self {
                $to
            }
        })+
    };
}

val_from! {
    bool => |v| Self::Bool(v);
    i64 => |v| Self::I64(v);
    i32 => |v| Self::I64(v.into());
    u32 => |v| Self::I64(v.into());
    u16 => |v| Self::I64(v.into());
    f64 => |v| Self::F64(v);
    &str => |v| Self::Text(v.to_owned());
    String => |v| Self::Text(v);
    &String => |v| Self::Text(v.clone());
    Vec<u8> => |v| Self::Bytes(v);
    &[u8] => |v| Self::Bytes(v.to_vec());
}

impl<T: Into<Val>> From<Option<T>> for Val {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// `params![id, name]` is an array of [`Val`], ready to be borrowed as `&params![..]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        [$($crate::db::Val::from($value)),*]
    };
}
pub use crate::params;

/// One column of a row, borrowed from the engine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ValRef<'a> {
    /// SQL NULL.
    Null,
    /// BOOLEAN, from PostgreSQL only: SQLite has 0 and 1.
    Bool(bool),
    /// Any integer.
    I64(i64),
    /// Any floating point number.
    F64(f64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl ValRef<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a boolean",
            Self::I64(_) => "an integer",
            Self::F64(_) => "a floating point number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }

    fn mismatch(&self, wanted: &str) -> DbError {
        DbError::Other(format!("a column holds {} where {wanted} was asked for", self.kind()))
    }
}

/// What a column can be read as. Rooms implement it for their id newtypes by way of `i64`.
pub trait FromVal: Sized {
    /// Errors when the column holds another type.
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError>;
}

impl From<Time> for Val {
    fn from(time: Time) -> Self {
        Self::I64(time.0)
    }
}

impl FromVal for Time {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        i64::from_val(value).map(Self)
    }
}

impl FromVal for i64 {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::I64(number) => Ok(number),
            other => Err(other.mismatch("an integer")),
        }
    }
}

impl FromVal for bool {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::Bool(truth) => Ok(truth),
            ValRef::I64(0) => Ok(false),
            ValRef::I64(1) => Ok(true),
            other => Err(other.mismatch("a boolean")),
        }
    }
}

impl FromVal for f64 {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::F64(number) => Ok(number),
            other => Err(other.mismatch("a floating point number")),
        }
    }
}

impl FromVal for String {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::Text(text) => Ok(text.to_owned()),
            other => Err(other.mismatch("a text")),
        }
    }
}

/// Whatever the column holds; a BOOLEAN of SQLite is 0 or 1.
impl FromVal for Val {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        Ok(match value {
            ValRef::Null => Self::Null,
            ValRef::Bool(truth) => Self::Bool(truth),
            ValRef::I64(number) => Self::I64(number),
            ValRef::F64(number) => Self::F64(number),
            ValRef::Text(text) => Self::Text(text.to_owned()),
            ValRef::Bytes(bytes) => Self::Bytes(bytes.to_vec()),
        })
    }
}

impl FromVal for Vec<u8> {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::Bytes(bytes) => Ok(bytes.to_vec()),
            other => Err(other.mismatch("bytes")),
        }
    }
}

impl<T: FromVal> FromVal for Option<T> {
    fn from_val(value: ValRef<'_>) -> Result<Self, DbError> {
        match value {
            ValRef::Null => Ok(None),
            other => T::from_val(other).map(Some),
        }
    }
}
