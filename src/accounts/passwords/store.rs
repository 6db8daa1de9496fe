//! All SQL of passwords: the present hash, those before it, one-time codes.

use super::REMEMBERED;
use crate::access::UserId;
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{Tx, params};

/// The hashes none of which may come again: the present one, then those before it, newest first. Empty: nobody has the id.
///
/// # Errors
/// When the database fails.
pub fn remembered(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<String>> {
    let mut hashes: Vec<String> =
        tx.query_map("SELECT password_hash FROM users WHERE id = $1", &params![user.0], |row| row.get(0))?;
    if !hashes.is_empty() {
        hashes.extend(tx.query_map(
            "SELECT password_hash FROM old_passwords WHERE user_id = $1 ORDER BY id DESC LIMIT $2",
            &params![user.0, REMEMBERED as i64 - 1],
            |row| row.get::<String>(0),
        )?);
    }
    Ok(hashes)
}

/// Puts `hash` in the place of `before` and remembers that one; false when another is the present one.
///
/// # Errors
/// When the database fails.
pub fn replace(tx: &mut Tx<'_>, user: UserId, before: &str, hash: &str) -> Result<bool> {
    let replaced = tx.execute(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        &params![user.0, before, hash],
    )?;
    if replaced == 0 {
        return Ok(false);
    }
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO old_passwords (id, user_id, password_hash) VALUES ($1, $2, $3)",
        &params![id, user.0, before],
    )?;
    tx.execute(
        "DELETE FROM old_passwords WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM old_passwords WHERE user_id = $1 ORDER BY id DESC LIMIT $2)",
        &params![user.0, REMEMBERED as i64 - 1],
    )?;
    Ok(true)
}

/// Keeps a code's digest, in the place of the one before.
///
/// # Errors
/// When the database fails.
pub fn keep_code(tx: &mut Tx<'_>, user: UserId, digest: &str, expires: Time) -> Result<()> {
    tx.execute(
        "INSERT INTO password_resets (user_id, code_hash, expires_at) VALUES ($1, $2, $3) \
         ON CONFLICT (user_id) DO UPDATE SET code_hash = excluded.code_hash, expires_at = excluded.expires_at",
        &params![user.0, digest, expires],
    )?;
    Ok(())
}

/// # Errors
/// When the database fails.
pub fn owner_of_code(tx: &mut Tx<'_>, digest: &str, now: Time) -> Result<Option<UserId>> {
    Ok(tx.query_row(
        "SELECT user_id FROM password_resets WHERE code_hash = $1 AND expires_at > $2",
        &params![digest, now],
        |row| row.get(0).map(UserId),
    )?)
}

/// # Errors
/// When the database fails.
pub fn forget_code(tx: &mut Tx<'_>, user: UserId) -> Result<()> {
    tx.execute("DELETE FROM password_resets WHERE user_id = $1", &params![user.0])?;
    Ok(())
}
