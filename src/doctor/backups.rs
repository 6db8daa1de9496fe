//! Backups: whether they are taken, how old the last is, whether it was proven.
//!
//! Invariant: the repository is not opened, which needs a key; what the database remembers of it is told.

use super::{Check, Site, files};
use crate::backup::{self, Record, Schedule};
use crate::base::clock::{DAY, SECOND, Time};
use crate::db::{Db, Engine};

const CODE: &str = "backup";
const HOUR: i64 = 3600 * SECOND;
/// Without a schedule, a backup older than this is too old.
const OLD: i64 = 7 * DAY;
/// A trial restore longer ago than this says little.
const PROVEN_FOR: i64 = 30 * DAY;

pub(super) async fn checks(site: &Site, db: &Db) -> Vec<Check> {
    if db.engine() == Engine::Postgres {
        return vec![Check::pass(CODE, "The database is on PostgreSQL, whose backups are its server's (pg_dump).")];
    }
    let read = db.read(|tx| Ok((backup::plan(tx)?, backup::newest(tx)?))).await;
    let (plan, newest) = match read {
        Ok(read) => read,
        Err(error) => return vec![Check::fail(CODE, error.message(), "Mend the database first.")],
    };
    let Some((folder, schedule)) = plan else {
        let mend =
            "Choose a folder on another disk: resoftai backup init /srv/backups/resoftai; then: resoftai backup create";
        return vec![Check::warn(CODE, "Nobody chose yet where backups go, and none is taken.", mend)];
    };
    let space = tokio::task::spawn_blocking(move || files::room("space_backup", &folder)).await;
    let mut checks: Vec<Check> = space.ok().into_iter().collect();
    match newest {
        Some(newest) => checks.extend([age(&newest, schedule, site.clock.now()), proof(&newest, site.clock.now())]),
        None => checks.push(Check::warn(CODE, "No backup was ever completed.", "resoftai backup create")),
    }
    checks
}

fn age(newest: &Record, schedule: Schedule, now: Time) -> Check {
    let at = newest.finished_at.unwrap_or(newest.began_at);
    let age = now.0.saturating_sub(at.0).max(0);
    let seen = format!("The last backup was completed on {at}, {} hours ago.", age / HOUR);
    let mend = "resoftai backup create; resoftai backup list says why those before failed.";
    // One may be missed: the next is under way when the check comes.
    let due = match schedule {
        Schedule::Never => return if age > OLD { Check::warn(CODE, seen, mend) } else { Check::pass(CODE, seen) },
        Schedule::Hours { hours } => 2 * i64::from(hours) * HOUR,
        Schedule::Day { .. } => 2 * DAY,
    };
    if age > due + HOUR {
        Check::fail(CODE, format!("{seen} By its schedule there should be a newer one."), mend)
    } else {
        Check::pass(CODE, seen)
    }
}

fn proof(newest: &Record, now: Time) -> Check {
    const CODE: &str = "backup_proof";
    let Some(proof) = &newest.proof else {
        return Check::warn(CODE, "The last backup was never put back in a trial.", "resoftai backup verify");
    };
    if !proof.is_whole() {
        let seen = format!("The last backup cannot be counted on: {}", proof.problems.join(" "));
        return Check::fail(CODE, seen, "Look at the disk that it is on, then take another: resoftai backup create");
    }
    let seen = format!(
        "A trial restore on {} found {} rows, {} contents and {} audit entries whole.",
        proof.at, proof.rows, proof.contents, proof.audit_entries
    );
    if now.0.saturating_sub(proof.at.0) > PROVEN_FOR {
        Check::warn(CODE, seen, "resoftai backup verify")
    } else {
        Check::pass(CODE, seen)
    }
}
