//! All SQL of forwarding.
//!
//! Invariant: how far a destination has got is written by the server that holds it and by no other.

use std::collections::BTreeMap;

use super::{Destination, ForwardStatus, Forwarded};
use crate::audit::store::find_all;
use crate::audit::tree::LogId;
use crate::base::clock::{SECOND, Time};
use crate::base::error::Result;
use crate::db::{DbError, Tx, params};

/// How long a server holds a destination without saying so again.
const LEASE: i64 = 30 * SECOND;

/// How long a destination fails before somebody is told.
const PATIENCE: i64 = 300 * SECOND;

/// Places of logs, the first of each that did not arrive or was not sent.
pub(super) type Places = BTreeMap<LogId, u64>;

fn place(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_| DbError::Other(format!("{value} is no place in a log")))
}

/// Takes the destination, for as long as the lease or forever anew; false when another server has it. The first time the
/// logs are taken for sent as they are: forwarding begins with what comes.
pub(super) fn hold(tx: &mut Tx<'_>, to: Destination, process: &str, now: Time, alone: bool) -> Result<bool> {
    let begun = tx.execute(
        "INSERT INTO audit_forwards (destination, started_at, holder, held_until, sent) VALUES ($1, $2, $3, $4, 0) \
         ON CONFLICT (destination) DO NOTHING",
        &params![to.code(), now, process, now.plus(LEASE)],
    )?;
    if begun == 1 {
        tx.execute(
            "INSERT INTO audit_forward_cursors (destination, log_id, position) SELECT CAST($1 AS TEXT), id, size FROM audit_logs",
            &params![to.code()],
        )?;
        return Ok(true);
    }
    let held = tx.execute(
        "UPDATE audit_forwards SET holder = $2, held_until = $3 \
         WHERE destination = $1 AND (holder IS NULL OR holder = $2 OR held_until < $4 OR $5)",
        &params![to.code(), process, now.plus(LEASE), now, alone],
    )?;
    Ok(held == 1)
}

/// From where the destination goes on in each log.
pub(super) fn places(tx: &mut Tx<'_>, to: Destination) -> Result<Places> {
    let sql = "SELECT log_id, position FROM audit_forward_cursors WHERE destination = $1";
    let rows = tx.query_map(sql, &params![to.code()], |row| {
        Ok((LogId(row.get(0)?), u64::try_from(row.get::<i64>(1)?).unwrap_or(0)))
    })?;
    Ok(rows.into_iter().collect())
}

/// What stands at the next places, at most about `most` entries, and the places behind them. Of each log a share, so that
/// none waits for another.
pub(super) fn next(tx: &mut Tx<'_>, from: &Places, most: u64) -> Result<(Vec<Forwarded>, Places)> {
    let sql = "SELECT id, origin, size FROM audit_logs ORDER BY id";
    let logs = tx.query_map(sql, &[], |row| {
        Ok((LogId(row.get(0)?), row.get::<String>(1)?, u64::try_from(row.get::<i64>(2)?).unwrap_or(0)))
    })?;
    let start = |log: &LogId| from.get(log).copied().unwrap_or(0);
    let grown: Vec<_> = logs.into_iter().filter(|(log, _, size)| *size > start(log)).collect();
    let share = (most / u64::try_from(grown.len()).unwrap_or(u64::MAX).max(1)).max(1);
    let (mut found, mut behind) = (Vec::new(), Places::new());
    for (log, origin, size) in grown {
        let (first, end) = (start(&log), size.min(start(&log) + share));
        let sql = "SELECT position, entry_id FROM audit_leaves WHERE log_id = $1 AND position >= $2 AND position < $3 \
                   ORDER BY position";
        let rows = tx.query_map(sql, &params![log.0, place(first)?, place(end)?], |row| {
            Ok((u64::try_from(row.get::<i64>(0)?).unwrap_or(0), row.get::<i64>(1)?))
        })?;
        let ids: Vec<i64> = rows.iter().map(|(_, entry)| *entry).collect();
        // Those that retention took before they were sent are left out.
        let entries = rows.iter().zip(find_all(tx, &ids)?).filter_map(|((position, _), entry)| {
            Some(Forwarded { log, origin: origin.clone(), position: *position, entry: entry? })
        });
        found.extend(entries);
        behind.insert(log, end);
    }
    found.sort_by_key(|forwarded| (forwarded.entry.at, forwarded.log, forwarded.position));
    Ok((found, behind))
}

/// Moves on over what arrived; false when another server has the destination by now.
pub(super) fn advance(
    tx: &mut Tx<'_>,
    to: Destination,
    process: &str,
    now: Time,
    places: &Places,
    sent: i64,
) -> Result<bool> {
    let ours = tx.execute(
        "UPDATE audit_forwards SET sent = sent + $3, last_sent_at = $4, last_error = NULL, failing_since = NULL, told_at = NULL, \
         held_until = $5 WHERE destination = $1 AND holder = $2",
        &params![to.code(), process, sent, now, now.plus(LEASE)],
    )?;
    if ours == 0 {
        return Ok(false);
    }
    for (log, position) in places {
        tx.execute(
            "INSERT INTO audit_forward_cursors (destination, log_id, position) VALUES ($1, $2, $3) \
             ON CONFLICT (destination, log_id) DO UPDATE SET position = excluded.position",
            &params![to.code(), log.0, place(*position)?],
        )?;
    }
    Ok(true)
}

/// It goes on, as far as can be told before something arrives.
pub(super) fn goes_on(tx: &mut Tx<'_>, to: Destination, process: &str) -> Result<()> {
    let sql = "UPDATE audit_forwards SET last_error = NULL WHERE destination = $1 AND holder = $2";
    tx.execute(sql, &params![to.code(), process])?;
    Ok(())
}

/// Everything arrived: the next failure is told anew.
pub(super) fn works(tx: &mut Tx<'_>, to: Destination, process: &str) -> Result<()> {
    let sql = "UPDATE audit_forwards SET failing_since = NULL, told_at = NULL WHERE destination = $1 AND holder = $2";
    tx.execute(sql, &params![to.code(), process])?;
    Ok(())
}

/// Keeps why it does not go on. Since when, when that is for [`PATIENCE`] and nobody was told: whoever asks tells.
pub(super) fn fails(tx: &mut Tx<'_>, to: Destination, process: &str, now: Time, error: &str) -> Result<Option<Time>> {
    tx.execute(
        "UPDATE audit_forwards SET last_error = $3, failing_since = \
         CASE WHEN failing_since IS NULL OR failing_since > $4 THEN $4 ELSE failing_since END \
         WHERE destination = $1 AND holder = $2",
        &params![to.code(), process, error, now],
    )?;
    let sql = "UPDATE audit_forwards SET told_at = $3 WHERE destination = $1 AND holder = $2 AND told_at IS NULL \
               AND failing_since <= $4 RETURNING failing_since";
    Ok(tx.query_row(sql, &params![to.code(), process, now, now.plus(-PATIENCE)], |row| row.get(0))?)
}

pub(super) fn status(tx: &mut Tx<'_>, to: Destination, target: &str) -> Result<ForwardStatus> {
    let behind = behind(tx, to)?;
    let sql = "SELECT sent, started_at, last_sent_at, last_error FROM audit_forwards WHERE destination = $1";
    let kept = tx.query_row(sql, &params![to.code()], |row| {
        Ok((row.get(0)?, row.get::<Option<Time>>(1)?, row.get(2)?, row.get(3)?))
    })?;
    let (sent, started_at, last_sent_at, last_error) = kept.unwrap_or((0, None, None, None));
    let target = target.to_owned();
    Ok(ForwardStatus { destination: to, target, behind, sent, started_at, last_sent_at, last_error })
}

/// How many places of all logs are not known to have arrived.
pub(super) fn behind(tx: &mut Tx<'_>, to: Destination) -> Result<i64> {
    let sql = "SELECT CAST(SUM(l.size - COALESCE(c.position, 0)) AS BIGINT) FROM audit_logs l \
               LEFT JOIN audit_forward_cursors c ON c.log_id = l.id AND c.destination = $1";
    Ok(tx.query_row(sql, &params![to.code()], |row| row.get::<Option<i64>>(0))?.flatten().unwrap_or(0))
}
