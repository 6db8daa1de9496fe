//! All SQL of sessions as their owner sees them; opening and looking up is in `accounts::store`.

use super::Session;
use crate::access::{OrgId, UserId};
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

/// How a session was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct Opening {
    /// With two factors.
    pub strong: bool,
    /// Through an identity provider, which looked after the sign-in.
    pub sso: bool,
    /// The only organisation it counts in, when the provider is that organisation's: it speaks for its own people there.
    pub held_to: Option<OrgId>,
}

/// How a session was opened; weakly when there is none.
///
/// # Errors
/// When the database fails.
pub fn opening(tx: &mut Tx<'_>, id: i64) -> Result<Opening> {
    let found =
        tx.query_row("SELECT strong, sso_provider_id, held_to FROM sessions WHERE id = $1", &params![id], |row| {
            let provider: Option<i64> = row.get(1)?;
            let held_to: Option<i64> = row.get(2)?;
            Ok(Opening { strong: row.get(0)?, sso: provider.is_some(), held_to: held_to.map(OrgId) })
        });
    Ok(found?.unwrap_or_default())
}

/// Notes, in the write that opened a session, through which provider that was, and where alone it counts.
///
/// # Errors
/// When the database fails.
pub fn came_through(tx: &mut Tx<'_>, id: i64, provider: i64, held_to: Option<OrgId>) -> Result<()> {
    let sql = "UPDATE sessions SET sso_provider_id = $2, held_to = $3 WHERE id = $1";
    tx.execute(sql, &params![id, provider, held_to.map(|org| org.0)])?;
    Ok(())
}

/// Ends the sessions that were opened through a provider.
///
/// # Errors
/// When the database fails.
pub fn end_through(tx: &mut Tx<'_>, accounts: &Accounts, provider: i64, now: Time) -> Result<u64> {
    accounts.forget_callers(tx);
    let sql = "UPDATE sessions SET revoked_at = $2 WHERE sso_provider_id = $1 AND revoked_at IS NULL";
    Ok(tx.execute(sql, &params![provider, now])?)
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
