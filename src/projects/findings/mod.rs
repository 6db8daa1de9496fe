//! What plugins found in the latest version of each file.
//!
//! Invariant: findings are about the version they were made for; a newer version begins without any.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plugins::{NewFinding, Severity};

/// The most findings kept of one plugin in one file.
pub const MAX_KEPT: usize = 500;
/// The type of what is kept in a plugin's name when it failed.
const NOT_LOOKED_AT: &str = "not_looked_at";

fn not_looked_at(sentence: &str) -> NewFinding {
    note(NOT_LOOKED_AT, Severity::Medium, format!("This plugin could not look at the file: {sentence}"))
}

fn left_out(more: usize) -> NewFinding {
    note(
        "left_out",
        Severity::Low,
        format!("There are {more} more findings of this plugin in the file. Mend the others first."),
    )
}

fn note(kind: &str, severity: Severity, message: String) -> NewFinding {
    NewFinding { kind: kind.to_owned(), severity, message, line: None, code: None, recommendation: None }
}

/// How many there are of each severity.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeverityCounts {
    pub low: i64,
    pub medium: i64,
    pub high: i64,
    pub critical: i64,
}

/// A finding as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    pub id: i64,
    pub file_id: i64,
    pub path: String,
    pub file_version: i64,
    /// The plugin's slug.
    pub plugin: String,
    /// The plugin's own word, such as `sql_injection`.
    #[serde(rename = "type")]
    pub kind: String,
    pub severity: Severity,
    pub message: String,
    /// From 1; null when the plugin does not know.
    pub line: Option<i64>,
    pub code: Option<String>,
    pub recommendation: Option<String>,
}
