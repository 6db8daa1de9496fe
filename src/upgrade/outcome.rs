//! What became of an upgrade, told by the server that starts after it: in the audit trail, and to the site's administrators.
//!
//! Invariant: the note in the data directory goes once its entry is written, so that each outcome is told once or, after a
//! power cut in between, twice.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::journal::{Journal, Step};
use super::{Owner, at};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::config::secrets::write_private;
use crate::db::Db;
use crate::notices::{self, NewNotice};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Outcome {
    from: String,
    to: String,
    /// Why the version before is back; null when the new one is in place.
    returned: Option<String>,
}

fn place(data_dir: &Path) -> PathBuf {
    data_dir.join("upgrade.json")
}

/// Leaves a note for the next start.
pub(super) fn leave(journal: &Journal, data_dir: &Path) -> Result<()> {
    let returned = (journal.step == Step::Returning).then(|| journal.why.clone().unwrap_or_default());
    let outcome = Outcome { from: journal.from.clone(), to: journal.to.clone(), returned };
    let path = place(data_dir);
    write_private(&path, &serde_json::to_vec(&outcome).map_err(Error::internal)?)?;
    Owner::of(data_dir)?.give(&path)
}

/// Writes down what the note in `data_dir` says, when there is one.
///
/// # Errors
/// When the database or the disk fails.
pub async fn record(db: &Db, clock: &Clock, data_dir: &Path) -> Result<()> {
    let path = place(data_dir);
    let text = match fs::read(&path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(|cause| at(&path, &cause))?,
    };
    if let Ok(outcome) = serde_json::from_slice::<Outcome>(&text) {
        let now = clock.now();
        let write = db.write(move |tx| {
            let Outcome { from, to, returned } = &outcome;
            let (event, notice) = match returned {
                None => {
                    let text = format!("Upgraded ResoftAI from {from} to {to}");
                    (Event::new(AuditAction::Update, "site", text.clone()), text)
                }
                Some(why) => {
                    let text = format!("The upgrade of ResoftAI from {from} to {to} was undone. {why}");
                    let event = Event::new(AuditAction::Update, "site", format!("Went back from {to} to {from}"));
                    (event.failed().after(&outcome), text)
                }
            };
            audit::record(tx, now, &Caller::system(), &event)?;
            notices::to_site(tx, now, &NewNotice::new("site_upgraded", notice).link("/audit"))
        });
        write.await?;
    } else {
        tracing::warn!("{} cannot be read as the outcome of an upgrade; it is deleted", path.display());
    }
    fs::remove_file(&path).map_err(|cause| at(&path, &cause))
}
