//! All SQL of passkeys.

use webauthn_rs::prelude::Passkey;

use super::{MOST, Made, OwnPasskey, refused};
use crate::access::UserId;
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, params};

/// A passkey as it is found by its credential.
pub struct Found {
    pub id: i64,
    pub user: UserId,
    pub name: String,
    /// As it is kept, to see whether it is still that.
    pub text: String,
}

impl Found {
    /// # Errors
    /// When it is not what was written.
    pub fn passkey(&self) -> Result<Passkey> {
        serde_json::from_str(&self.text).map_err(Error::internal)
    }
}

const OWN: &str = "SELECT id, name, site, created_at, last_used_at FROM passkeys";

fn read(row: &Row<'_>) -> Result<OwnPasskey, DbError> {
    Ok(OwnPasskey {
        id: row.get(0)?,
        name: row.get(1)?,
        site: row.get(2)?,
        created_at: row.get(3)?,
        last_used_at: row.get(4)?,
    })
}

/// A person's passkeys, oldest first.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<OwnPasskey>> {
    Ok(tx.query_map(&format!("{OWN} WHERE user_id = $1 ORDER BY id"), &params![user.0], read)?)
}

/// One of a person's own.
///
/// # Errors
/// `not_found`.
pub fn own(tx: &mut Tx<'_>, user: UserId, id: i64) -> Result<OwnPasskey> {
    tx.query_row(&format!("{OWN} WHERE id = $1 AND user_id = $2"), &params![id, user.0], read)?
        .ok_or_else(|| Error::not_found(format!("passkey {id}")))
}

/// All that a person's passkeys hold.
///
/// # Errors
/// When the database fails.
pub fn credentials(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<Passkey>> {
    let sql = "SELECT credential FROM passkeys WHERE user_id = $1 ORDER BY id";
    let texts: Vec<String> = tx.query_map(sql, &params![user.0], |row| row.get(0))?;
    texts.iter().map(|text| serde_json::from_str(text).map_err(Error::internal)).collect()
}

/// Keeps a passkey.
///
/// # Errors
/// `passkey_known`; `too_many_passkeys`.
pub fn insert(tx: &mut Tx<'_>, user: UserId, name: &str, made: &Made, now: Time) -> Result<OwnPasskey> {
    if list(tx, user)?.len() >= MOST {
        let message = format!("You have {MOST} passkeys, the most there may be. Delete one you do not use.");
        return Err(Error::conflict("too_many_passkeys", message));
    }
    let id = tx.next_id()?;
    let credential = serde_json::to_string(&made.passkey).map_err(Error::internal)?;
    tx.execute(
        "INSERT INTO passkeys (id, user_id, name, site, credential_hash, credential, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![id, user.0, name, made.site.as_str(), made.credential_hash.as_str(), credential, now],
    )
    .map_err(|cause| match cause {
        DbError::Unique(_) => Error::conflict("passkey_known", "This passkey is here already."),
        other => other.into(),
    })?;
    own(tx, user, id)
}

/// # Errors
/// When the database fails.
pub fn rename(tx: &mut Tx<'_>, user: UserId, id: i64, name: &str) -> Result<()> {
    let sql = "UPDATE passkeys SET name = $3 WHERE id = $1 AND user_id = $2";
    tx.execute(sql, &params![id, user.0, name])?;
    Ok(())
}

/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, user: UserId, id: i64) -> Result<()> {
    tx.execute("DELETE FROM passkeys WHERE id = $1 AND user_id = $2", &params![id, user.0])?;
    Ok(())
}

/// # Errors
/// When the database fails.
pub fn find(tx: &mut Tx<'_>, credential_hash: &str) -> Result<Option<Found>> {
    let sql = "SELECT id, user_id, name, credential FROM passkeys WHERE credential_hash = $1";
    Ok(tx.query_row(sql, &params![credential_hash], |row| {
        Ok(Found { id: row.get(0)?, user: UserId(row.get(1)?), name: row.get(2)?, text: row.get(3)? })
    })?)
}

/// Keeps what a sign-in changed of a passkey, such as its counter.
///
/// # Errors
/// `passkey_refused` when another sign-in with it was faster.
pub fn used(tx: &mut Tx<'_>, found: &Found, passkey: &Passkey, now: Time) -> Result<()> {
    let credential = serde_json::to_string(passkey).map_err(Error::internal)?;
    let sql = "UPDATE passkeys SET credential = $3, last_used_at = $4 WHERE id = $1 AND credential = $2";
    match tx.execute(sql, &params![found.id, found.text.as_str(), credential, now])? {
        0 => Err(refused("it was used somewhere else at this moment")),
        _ => Ok(()),
    }
}

/// Remembers that a challenge was answered, for longer than it counts, in case the clock is set back.
///
/// # Errors
/// `passkey_refused` when it was.
pub fn answer(tx: &mut Tx<'_>, ticket_hash: &str, expires_at: Time, now: Time) -> Result<()> {
    tx.execute("DELETE FROM answered_challenges WHERE expires_at < $1", &params![now.plus(-DAY)])?;
    let sql = "INSERT INTO answered_challenges (ticket_hash, expires_at) VALUES ($1, $2) ON CONFLICT (ticket_hash) DO NOTHING";
    match tx.execute(sql, &params![ticket_hash, expires_at])? {
        0 => Err(refused("the challenge was answered before")),
        _ => Ok(()),
    }
}
