//! The support bundle: what somebody far away needs to find out what is wrong, without what is secret or personal.
//!
//! Invariants: every part goes through [`redact::Redactor`] before anybody sees or writes it; of the database only names and
//! numbers are taken, no contents; every part and the whole are bounded. Nothing leaves the machine: it is a file.

mod gather;
mod logs;
mod pack;
pub mod redact;
pub mod routes;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;
use crate::doctor::{Check, Site};
use redact::Redactor;

pub use pack::pack;

/// The most bytes of one part other than logs.
const PART_LIMIT: usize = 4 << 20;
/// What takes a part's place when it could not be had.
const ABSENT: &str = "This could not be had:";

/// A file of the bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its path in the bundle.
    pub name: String,
    pub bytes: Vec<u8>,
}

impl Part {
    fn text(name: &str, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), bytes: text.into().into_bytes() }
    }

    fn json(name: &str, value: &impl Serialize) -> Self {
        let text = serde_json::to_string_pretty(value).unwrap_or_else(|cause| format!("{ABSENT} {cause}"));
        Self::text(name, text + "\n")
    }
}

/// What is collected from.
pub struct Given<'a> {
    /// None where the configuration cannot be read; then the machine alone is told of.
    pub site: Option<&'a Site>,
    pub checks: &'a [Check],
    /// What the environment and the file of the service say, of which names are told, and values kept out of everything.
    pub environment: &'a [(String, String)],
    /// The most bytes of logs: of the server's own, and of the journal's.
    pub log_bytes: u64,
    pub now: Time,
}

/// Collects everything and takes out what is secret; last comes a list of what is in it.
pub async fn collect(given: &Given<'_>) -> Vec<Part> {
    let mut parts = gather::parts(given).await;
    let redactor = Redactor::new(&gather::secrets(given).await);
    let mut taken = 0;
    for part in &mut parts {
        part.bytes.truncate(PART_LIMIT.max(usize::try_from(given.log_bytes).unwrap_or(PART_LIMIT)));
        let (bytes, count) = redactor.redact(&part.bytes);
        (part.bytes, taken) = (bytes, taken + count);
    }
    let lines: Vec<String> = parts.iter().map(|part| format!("{:>10}  {}", part.bytes.len(), part.name)).collect();
    let text = format!("{}\nPlaces taken out: {taken} ({})\n", lines.join("\n"), redact::KINDS);
    parts.push(Part::text("CONTENTS.txt", text));
    parts
}

/// What the audit trail remembers of a bundle.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SupportBundle)]
pub struct Made {
    /// The file's name, 1 to 200 characters.
    pub file: String,
    /// In lower-case hexadecimal, 64 characters.
    pub sha256: String,
    /// In bytes.
    pub length: u64,
}

/// Records that one was made.
///
/// # Errors
/// When the database fails.
pub fn record(tx: &mut Tx<'_>, now: Time, caller: &Caller, made: &Made) -> Result<()> {
    let text = format!("Made the support bundle {}", made.file);
    audit::record(tx, now, caller, &Event::new(AuditAction::Export, "support_bundle", text).after(made))
}
