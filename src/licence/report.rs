//! The usage report: what a site used, signed with its own key, as a file that somebody carries to the vendor.
//!
//! Invariants: it names nobody; it is a signed note, so the vendor reads it with any tool and notices a change; it goes
//! nowhere by itself.

use serde::{Deserialize, Serialize};

use super::seats::Seats;
use super::{Licence, State, store};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::note::Verifier;

/// What the form is called, so that a later one is not taken for it.
const FORM: &str = "resoftai-usage-1";
/// Months of peaks that are told.
const MONTHS: i64 = 24;

/// The most seats in use within a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// `YYYY-MM`, UTC.
    pub month: String,
    pub seats: i64,
}

/// What a report says: JSON, the text of a note.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UsageReport {
    pub form: String,
    pub installation_id: String,
    pub made_at: Time,
    /// The latest moment the site knew of, which is later where its clock was set back.
    pub latest_at: Time,
    pub version: String,
    pub state: State,
    /// Of the licence that counts.
    pub serial: Option<String>,
    pub customer: Option<String>,
    /// The id of the key that signed that licence.
    pub licence_key: Option<String>,
    pub seats: Seats,
    /// Of the last 24 months, the newest first.
    pub peaks: Vec<Peak>,
    pub organizations: i64,
    pub service_accounts: i64,
}

impl UsageReport {
    /// Opens a report with the installation's public key.
    ///
    /// # Errors
    /// `report_signature` and `report_form`.
    pub fn open(note: &str, key: &Verifier) -> Result<Self> {
        let text = key.open(note).map_err(|why| {
            Error::invalid(
                "report_signature",
                format!("The report does not open: {why}. It was changed, or is another site's."),
            )
        })?;
        let read: Option<Self> = serde_json::from_str(&text).ok().filter(|report: &Self| report.form == FORM);
        read.ok_or_else(|| Error::invalid("report_form", "What the note says is no usage report of this version."))
    }
}

impl Licence {
    /// What this installation's reports are verified with.
    pub(super) fn report_key(&self, installation: &str) -> Verifier {
        self.0.signer.verifier(&format!("installation/{installation}"))
    }

    /// Makes a report, which is audited as an export.
    pub(super) async fn report(&self, caller: std::sync::Arc<Caller>) -> Result<String> {
        let (room, now) = (self.clone(), self.0.clock.now());
        let write = self.0.db.write(move |tx| {
            let situation = room.situation(tx, now)?;
            let read = situation.current().map(|(_, read)| read);
            let (organizations, service_accounts) = store::counts(tx)?;
            let report = UsageReport {
                form: FORM.to_owned(),
                installation_id: situation.installation.id.clone(),
                made_at: now,
                latest_at: situation.at,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                state: situation.state(),
                serial: read.map(|read| read.claims.jti.clone()),
                customer: read.map(|read| read.claims.organization.clone()),
                licence_key: read.map(|read| read.key.clone()),
                seats: situation.seats,
                peaks: store::peaks(tx, MONTHS)?,
                organizations,
                service_accounts,
            };
            let text = format!("{}\n", serde_json::to_string_pretty(&report).map_err(Error::internal)?);
            let event = Event::new(AuditAction::Export, "usage_report", "Made a usage report for the licence's vendor");
            audit::record(tx, now, &caller, &event)?;
            Ok(room.0.signer.sign(room.report_key(&situation.installation.id).name(), &text))
        });
        write.await
    }
}
