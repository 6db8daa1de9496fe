//! All SQL of sessions as their owner sees them; opening and looking up is in `accounts::store`.

use super::Session;
use crate::access::UserId;
use crate::accounts::Accounts;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{Tx, params};

/// A person's sessions that count, newest first; `current` is the asking one's id.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, user: UserId, current: Option<i64>, now: Time, page: Page) -> Result<Vec<Session>> {
    Ok(tx.query_map(
        "SELECT id, ip_address, user_agent, created_at, last_seen_at, expires_at, strong FROM sessions \
         WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND id < $3 ORDER BY id DESC LIMIT $4",
        &params![user.0, now, page.before, page.fetch()],
        |row| {
            let id = row.get(0)?;
            Ok(Session {
                id,
                ip_address: row.get(1)?,
                user_agent: row.get(2)?,
                created_at: row.get(3)?,
                last_seen_at: row.get(4)?,
                expires_at: row.get(5)?,
                strong: row.get(6)?,
                current: current == Some(id),
            })
        },
    )?)
}

/// Whether a session was opened with two factors.
///
/// # Errors
/// When the database fails.
pub fn is_strong(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    Ok(tx.query_row("SELECT strong FROM sessions WHERE id = $1", &params![id], |row| row.get(0))?.unwrap_or(false))
}

/// How many of a person's sessions count.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>, user: UserId, now: Time) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2";
    Ok(tx.query_row(sql, &params![user.0, now], |row| row.get(0))?.unwrap_or(0))
}

/// # Errors
/// When the database fails.
pub fn touch(tx: &mut Tx<'_>, id: i64, now: Time) -> Result<()> {
    tx.execute("UPDATE sessions SET last_seen_at = $2 WHERE id = $1", &params![id, now])?;
    Ok(())
}

/// Ends one session of a person.
///
/// # Errors
/// `not_found` when it is not theirs, or ended already.
pub fn end(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, id: i64, now: Time) -> Result<()> {
    accounts.forget_callers(tx);
    let ended = tx.execute(
        "UPDATE sessions SET revoked_at = $3 WHERE id = $1 AND user_id = $2 AND revoked_at IS NULL AND expires_at > $3",
        &params![id, user.0, now],
    )?;
    if ended == 0 { Err(Error::not_found(format!("session {id}"))) } else { Ok(()) }
}

/// Ends a person's sessions but `except`; how many there were.
///
/// # Errors
/// When the database fails.
pub fn end_all(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, except: Option<i64>, now: Time) -> Result<u64> {
    accounts.forget_callers(tx);
    Ok(tx.execute(
        "UPDATE sessions SET revoked_at = $3 WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $3 \
         AND id IS DISTINCT FROM $2",
        &params![user.0, except, now],
    )?)
}
