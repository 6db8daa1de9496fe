//! What plugins found in the latest version of each file.
//!
//! Invariant: findings are about the version they were made for; a newer version begins without any.

pub mod routes;
pub mod store;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::plugins::Severity;

/// The most findings kept of one plugin in one file.
pub const MAX_KEPT: usize = 500;

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
