//! What the site does with its mirror.

use std::fmt;

/// What is made of metadata that expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expired {
    /// Nothing is imported with it.
    #[default]
    Refuse,
    /// It is imported, and said so.
    Warn,
    /// As `Warn` for so many days, then as `Refuse`.
    Days(u32),
}

impl Expired {
    /// # Errors
    /// A sentence that says what it may be.
    pub fn parse(value: &str) -> Result<Self, String> {
        match (value, value.parse()) {
            ("refuse", _) => Ok(Self::Refuse),
            ("warn", _) => Ok(Self::Warn),
            (_, Ok(days @ 1..=3650)) => Ok(Self::Days(days)),
            _ => Err(format!("`{value}` is neither refuse nor warn nor a number of days from 1 to 3650")),
        }
    }
}

impl fmt::Display for Expired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refuse => f.write_str("refuse"),
            Self::Warn => f.write_str("warn"),
            Self::Days(days) => write!(f, "{days}"),
        }
    }
}

/// The section `mirror`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MirrorConfig {
    pub expired: Expired,
    /// Whether other boxes may read what this one mirrors, without signing in.
    pub serve: bool,
}
