//! How long an organisation keeps the entries of its trail, and dropping what is older.
//!
//! Invariants: nothing is dropped unless the organisation set a number of days, and nothing younger than [`LEAST`] days; an
//! entry goes only when its hash has its place in the log, which stays; what is dropped is named by a row of `audit_drops`
//! and by an entry, both in the transaction that drops it; a clock that jumps ahead takes a day's entries an hour at most.

mod routes;
mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use routes::routes;

use super::{AuditAction, Event, record};
use crate::access::{Caller, OrgId};
use crate::base::clock::{Clock, DAY, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Db;

/// The fewest days one may set: what is dropped must have been seen by somebody.
const LEAST: i64 = 30;
/// A hundred years.
const MOST: i64 = 36_525;
/// Between two looks at what is too old.
const PAUSE: Duration = Duration::from_secs(3600);
/// Entries dropped by one transaction.
const BATCH: i64 = 1_000;

/// How long an organisation keeps its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Days, at least 30; null keeps them for ever.
    #[serde(deserialize_with = "Option::deserialize")]
    pub days: Option<i64>,
}

impl Retention {
    /// # Errors
    /// `invalid_retention`.
    fn check(self) -> Result<()> {
        match self.days {
            Some(days) if !(LEAST..=MOST).contains(&days) => {
                let message =
                    format!("days is {days}; it must be between {LEAST} and {MOST}, or null to keep entries for ever.");
                Err(Error::invalid("invalid_retention", message).field("days"))
            }
            _ => Ok(()),
        }
    }
}

/// Drops what is too old from now on, a look an hour, until the server stops.
pub fn start(db: Db, clock: Clock, tasks: &Tasks) {
    tasks.spawn_until_stop(async move {
        loop {
            if let Err(error) = sweep(&db, &clock).await {
                tracing::warn!(?error, "old entries of the audit trail could not be dropped; trying again in an hour");
            }
            tokio::time::sleep(PAUSE).await;
        }
    });
}

/// Entries from before this are too old.
fn cut_off(now: Time, days: i64) -> Time {
    now.plus(-days * DAY)
}

async fn sweep(db: &Db, clock: &Clock) -> Result<()> {
    for kept in db.read(|tx| Ok(store::all(tx)?)).await? {
        let (org, before) = (kept.org, cut_off(clock.now(), kept.days).min(kept.due_before.plus(DAY)));
        while drop_some(db, clock, org, kept.days, before).await? == BATCH {}
        db.write(move |tx| Ok(store::set_due(tx, org, before)?)).await?;
    }
    Ok(())
}

/// Drops at most a batch; how many it were.
async fn drop_some(db: &Db, clock: &Clock, org: OrgId, days: i64, before: Time) -> Result<i64> {
    let now = clock.now();
    let dropped = db.write(move |tx| {
        // Whoever raised the days meanwhile keeps what they meant to keep.
        if store::get(tx, org)?.flatten() != Some(days) {
            return Ok(0);
        }
        let old = store::old(tx, org, before, BATCH)?;
        let Some(last) = old.last() else { return Ok(0) };
        store::drop_entries(tx, org, before, now, *last)?;
        let count = i64::try_from(old.len()).unwrap_or(BATCH);
        let words =
            format!("Dropped {count} entries from before {before}, as the organisation keeps them for {days} days");
        let event = Event::new(AuditAction::Delete, "audit", words).id(org.0).org(org);
        let what = serde_json::json!({"entries": count, "before": before, "days": days});
        record(tx, now, &Caller::system(), &event.before(&what))?;
        Ok(count)
    });
    dropped.await
}
