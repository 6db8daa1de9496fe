//! Time as the product stores and shows it, and the clock that gives it.
//!
//! Invariant: nothing else asks the system for the time of day, so a test can set it. Durations for waiting belong to
//! tokio, not here.

use std::fmt;
use std::sync::Arc;

use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An instant in microseconds since 1970-01-01 UTC; JSON shows it as RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

pub const SECOND: i64 = 1_000_000;
pub const DAY: i64 = 24 * 3600 * SECOND;

const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));

impl Time {
    /// This instant plus `micros`, saturating at the ends of time.
    pub fn plus(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// RFC 3339 with microseconds: lists are full of these.
    fn to_text(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => PRINTER.timestamp_to_string(&at),
            Err(_) => format!("{} microseconds", self.0),
        }
    }

    /// Whole seconds since 1970, as JWT and HTTP want them.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(SECOND)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_text())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let at: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        Ok(Self(at.as_microsecond()))
    }
}

impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .into()
    }
}

impl utoipa::ToSchema for Time {}

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Time + Send + Sync>);

impl Clock {
    /// The system's clock: the one place that asks for it.
    #[allow(clippy::disallowed_methods)]
    pub fn system() -> Self {
        Self(Arc::new(|| Time(jiff::Timestamp::now().as_microsecond())))
    }

    /// A clock that a test moves.
    pub fn from_fn(now: impl Fn() -> Time + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub fn now(&self) -> Time {
        (self.0)()
    }
}
