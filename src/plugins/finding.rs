//! What a plugin found in a file, taken out of whatever it answered.
//!
//! Invariant: what leaves here fits the database and the eye: a known severity, no NUL, bounded in number and length.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Low,
    Medium,
    High,
    Critical,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn code(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.code() == code)
    }
}

/// One finding, not yet kept anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    /// Such as `sql_injection`; the plugin's own word.
    pub kind: String,
    pub severity: Severity,
    pub message: String,
    /// Counts from 1; None when the plugin does not know.
    pub line: Option<i64>,
    /// The code in question.
    pub code: Option<String>,
    pub recommendation: Option<String>,
}
