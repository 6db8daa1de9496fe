//! Plugins: code of others that looks at what the site's people and agents build.
//!
//! Invariant: a plugin runs in the sandbox only, reaches what it was granted and nothing else, and its failure costs its
//! own answer, never the server or the work it was asked about.

pub mod finding;

pub use finding::{NewFinding, Severity};

/// A text file to be looked at.
#[derive(Debug, Clone)]
pub struct CodeFile {
    pub project_id: i64,
    /// Relative, with `/`.
    pub path: String,
    /// Such as `python`; None when nobody knows.
    pub language: Option<String>,
    pub code: String,
}

/// What one plugin made of a file.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// The plugin's slug.
    pub plugin: String,
    /// The findings, or a sentence that says why there are none to be had.
    pub outcome: Result<Vec<NewFinding>, String>,
}
