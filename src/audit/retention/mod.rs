//! How long an organisation keeps the entries of its trail, and dropping what is older.
//!
//! Invariants: nothing is dropped unless the organisation set a number of days, and nothing younger than [`LEAST`] days; an
//! entry goes only when its hash has its place in the log, which stays; what is dropped is named by a row of `audit_drops`
//! and by an entry, both in the transaction that drops it; a clock that jumps ahead takes a day's entries an hour at
//! most, an hour by the clock and of the server's running, whoever sets the clock and however often the server is started.

mod routes;
mod store;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use routes::routes;
use store::Kept;

use super::{AuditAction, Event, record};
use crate::access::{Caller, OrgId};
use crate::base::clock::{Clock, DAY, SECOND, Time};
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::db::Db;

/// The fewest days one may set: what is dropped must have been seen by somebody.
const LEAST: i64 = 30;
/// A hundred years.
const MOST: i64 = 36_525;
/// Between two looks at what is too old.
const PAUSE: Duration = Duration::from_secs(3600);
/// The least by the clock between two moves of what is to go; a little less than [`PAUSE`], as no two clocks run the same.
const PACE: i64 = 3590 * SECOND;
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

/// Drops what is too old from now on, a look an hour, until the server stops. The look at the start finishes what was to go
/// before it and moves nothing.
pub fn start(db: Db, clock: Clock, tasks: &Tasks) {
    tasks.spawn_until_stop(async move {
        let mut look = sweep(&db, &clock).await;
        loop {
            if let Err(error) = look {
                tracing::warn!(?error, "old entries of the audit trail could not be dropped; trying again in an hour");
            }
            tokio::time::sleep(PAUSE).await;
            look = match advance(&db, &clock).await {
                Ok(()) => sweep(&db, &clock).await,
                failed => failed,
            };
        }
    });
}

/// Entries from before this are too old.
fn cut_off(now: Time, days: i64) -> Time {
    now.plus(-days * DAY)
}

/// Where what is to go is moved to at `now`: by a day at most, when the last move was long enough ago. A last move that is
/// still to come shows that the clock was set back: an hour is counted anew.
fn next(kept: &Kept, now: Time) -> Option<Time> {
    if kept.advanced_at > now {
        return Some(kept.due_before);
    }
    let cut_off = cut_off(now, kept.days);
    let moves = kept.advanced_at.plus(PACE) <= now && cut_off > kept.due_before;
    moves.then(|| cut_off.min(kept.due_before.plus(DAY)))
}

async fn advance(db: &Db, clock: &Clock) -> Result<()> {
    let now = clock.now();
    for kept in db.read(|tx| Ok(store::all(tx)?)).await? {
        if let Some(due_before) = next(&kept, now) {
            db.write(move |tx| Ok(store::advance(tx, &kept, due_before, now)?)).await?;
        }
    }
    Ok(())
}

async fn sweep(db: &Db, clock: &Clock) -> Result<()> {
    for Kept { org, days, due_before, .. } in db.read(|tx| Ok(store::all(tx)?)).await? {
        // After the clock was set back, what is to go may be younger than the days say.
        let before = due_before.min(cut_off(clock.now(), days));
        while drop_some(db, clock, org, days, before).await? == BATCH {}
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600 * SECOND;

    fn kept(due_before: i64, advanced_at: i64) -> Kept {
        Kept { org: OrgId(1), days: 30, due_before: Time(due_before), advanced_at: Time(advanced_at) }
    }

    #[test]
    fn an_hour_moves_a_day_at_most_and_less_than_an_hour_nothing() {
        let now = Time(400 * DAY);
        assert_eq!(next(&kept(0, now.0 - HOUR), now), Some(Time(DAY)), "a year behind catches up a day an hour");
        assert_eq!(next(&kept(0, now.0 - HOUR / 2), now), None);
        assert_eq!(next(&kept(370 * DAY - HOUR, now.0 - HOUR), now), Some(Time(370 * DAY)));
        assert_eq!(next(&kept(371 * DAY, now.0 - HOUR), now), None, "it never moves back");
    }

    #[test]
    fn after_the_clock_was_set_back_an_hour_is_counted_anew() {
        let (ahead, now) = (Time(765 * DAY), Time(400 * DAY));
        assert_eq!(next(&kept(370 * DAY, ahead.0), now), Some(Time(370 * DAY)), "nothing moves");
        assert_eq!(next(&kept(370 * DAY, now.0), now.plus(HOUR / 2)), None);
    }

    proptest::proptest! {
        #[test]
        fn however_the_clock_goes_nothing_goes_faster_than_a_day_a_look(
            clock in proptest::collection::vec(0..2000 * 24_i64, 1..40),
        ) {
            let mut held = kept(0, 0);
            for hour in clock {
                let now = Time(hour * HOUR);
                let Some(due_before) = next(&held, now) else { continue };
                proptest::prop_assert!(due_before >= held.due_before && due_before <= held.due_before.plus(DAY));
                proptest::prop_assert!(due_before == held.due_before || due_before <= cut_off(now, held.days));
                held = Kept { due_before, advanced_at: now, ..held };
            }
        }
    }
}
