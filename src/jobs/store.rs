//! All SQL of the queue.
//!
//! Invariant: a job is claimed by one statement that checks again that it is free, so two workers never hold one job
//! while both leases count; what a worker writes about a job it no longer holds changes nothing. A job whose due time was
//! set at a time that is still to come is due: the clock was set back.

use super::{Job, MAX_ATTEMPTS};
use crate::base::clock::{SECOND, Time};
use crate::base::error::Result;
use crate::db::{Tx, params};

/// How long a claim counts without being renewed.
pub const LEASE: i64 = 60 * SECOND;
/// How far a due time may have been set ahead of now, as by a server whose clock is a little fast.
const AHEAD: i64 = 60 * SECOND;
/// How long a job that was given up stays to be looked at.
const KEEP_DEAD: i64 = 30 * crate::base::clock::DAY;

pub fn insert(tx: &mut Tx<'_>, now: Time, due: Time, kind: &str, payload: &str) -> Result<i64> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO jobs (id, kind, payload, run_at, set_at, attempts) VALUES ($1, $2, $3, $4, $5, 0)",
        &params![id, kind, payload, due, now],
    )?;
    Ok(id)
}

/// Whether the job was there.
pub fn delete(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    Ok(tx.execute("DELETE FROM jobs WHERE id = $1", &params![id])? > 0)
}

/// When the next job of `kind` may run, past times included; None when there is none.
pub fn next_due(tx: &mut Tx<'_>, now: Time, kind: &str) -> Result<Option<Time>> {
    let due = tx.query_row(
        "SELECT MIN(CASE WHEN locked_until IS NULL AND set_at > $2 THEN $3 \
         WHEN locked_until IS NULL OR locked_until < run_at THEN run_at ELSE locked_until END) \
         FROM jobs WHERE kind = $1 AND dead_at IS NULL",
        &params![kind, now.plus(AHEAD), now],
        |row| row.get::<Option<i64>>(0),
    )?;
    Ok(due.flatten().map(Time))
}

/// Claims up to `limit` due jobs of `kind`, oldest first, and counts the attempt.
pub fn claim(tx: &mut Tx<'_>, now: Time, kind: &str, process: &str, limit: usize) -> Result<Vec<Job>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let due: Vec<(i64, String, i64)> = tx.query_map(
        "SELECT id, payload, attempts FROM jobs WHERE kind = $1 AND dead_at IS NULL \
         AND (run_at <= $2 OR set_at > $4) AND (locked_until IS NULL OR locked_until <= $2) \
         ORDER BY run_at, id LIMIT $3",
        &params![kind, now, limit, now.plus(AHEAD)],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let mut claimed = Vec::with_capacity(due.len());
    for (id, payload, attempts) in due {
        let ours = tx.execute(
            "UPDATE jobs SET locked_by = $1, locked_until = $2, attempts = attempts + 1 \
             WHERE id = $3 AND dead_at IS NULL AND (locked_until IS NULL OR locked_until <= $4)",
            &params![process, now.plus(LEASE), id, now],
        )?;
        if ours > 0 {
            // What is no JSON was not written by `enqueue`; the handler's parse refuses the null.
            let payload = serde_json::from_str(&payload).unwrap_or_default();
            claimed.push(Job { id, payload, attempts: attempts + 1 });
        }
    }
    Ok(claimed)
}

/// Whether `process` still holds the job.
pub fn holds(tx: &mut Tx<'_>, id: i64, process: &str) -> Result<bool> {
    let found =
        tx.query_row("SELECT 1 FROM jobs WHERE id = $1 AND locked_by = $2", &params![id, process], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Extends the claims of `process` on these jobs.
pub fn renew(tx: &mut Tx<'_>, now: Time, process: &str, ids: &[i64]) -> Result<()> {
    for id in ids {
        let sql = "UPDATE jobs SET locked_until = $1 WHERE id = $2 AND locked_by = $3";
        tx.execute(sql, &params![now.plus(LEASE), *id, process])?;
    }
    Ok(())
}

/// Gives a job back for another attempt at `run_at`; `error` is why this one failed.
pub fn retry(tx: &mut Tx<'_>, now: Time, id: i64, process: &str, run_at: Time, error: &str) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET locked_by = NULL, locked_until = NULL, run_at = $1, set_at = $5, last_error = $2 \
         WHERE id = $3 AND locked_by = $4",
        &params![run_at, error, id, process, now],
    )?;
    Ok(())
}

/// Gives a job back as if it had not been claimed: the server stopped in the middle of it.
pub fn release(tx: &mut Tx<'_>, id: i64, process: &str) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET locked_by = NULL, locked_until = NULL, attempts = attempts - 1 \
         WHERE id = $1 AND locked_by = $2",
        &params![id, process],
    )?;
    Ok(())
}

/// Gives a job up; it stays with its error.
pub fn bury(tx: &mut Tx<'_>, now: Time, id: i64, process: &str, error: &str) -> Result<()> {
    tx.execute(
        "UPDATE jobs SET locked_by = NULL, locked_until = NULL, dead_at = $1, last_error = $2 \
         WHERE id = $3 AND locked_by = $4",
        &params![now, error, id, process],
    )?;
    Ok(())
}

/// Frees what other processes held, for when there can be no other living one.
pub fn reclaim(tx: &mut Tx<'_>, process: &str) -> Result<u64> {
    let sql = "UPDATE jobs SET locked_by = NULL, locked_until = NULL WHERE locked_by IS NOT NULL AND locked_by <> $1";
    Ok(tx.execute(sql, &params![process])?)
}

/// Forgets jobs given up long ago.
pub fn clear_dead(tx: &mut Tx<'_>, now: Time) -> Result<()> {
    tx.execute("DELETE FROM jobs WHERE dead_at < $1", &params![now.plus(-KEEP_DEAD)])?;
    Ok(())
}

/// Whether a claimed job has used up its attempts before this one: each of them ended with its process.
pub fn exhausted(job: &Job) -> bool {
    job.attempts > MAX_ATTEMPTS
}
