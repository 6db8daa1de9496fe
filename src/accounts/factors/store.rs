//! All SQL of second factors.

use crate::access::UserId;
use crate::accounts::Accounts;
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{Tx, params};

/// How many used codes of a person are remembered: months of signing in.
const USES: i64 = 1000;

/// What is kept of somebody's app.
pub struct Kept {
    /// Its secret.
    pub sealed: Vec<u8>,
    /// Null: no code of it was given yet.
    pub enabled_at: Option<Time>,
}

/// # Errors
/// When the database fails.
pub fn kept(tx: &mut Tx<'_>, user: UserId) -> Result<Option<Kept>> {
    let sql = "SELECT secret_sealed, enabled_at FROM second_factors WHERE user_id = $1";
    Ok(tx.query_row(sql, &params![user.0], |row| Ok(Kept { sealed: row.get(0)?, enabled_at: row.get(1)? }))?)
}

/// Since when it counts; None: it does not.
///
/// # Errors
/// When the database fails.
pub fn enabled_at(tx: &mut Tx<'_>, user: UserId) -> Result<Option<Time>> {
    let sql = "SELECT enabled_at FROM second_factors WHERE user_id = $1";
    Ok(tx.query_row(sql, &params![user.0], |row| row.get::<Option<Time>>(0))?.flatten())
}

/// Whether somebody has what makes a sign-in of theirs a strong one.
///
/// # Errors
/// When the database fails.
pub fn any(tx: &mut Tx<'_>, user: UserId) -> Result<bool> {
    let sql = "SELECT 1 FROM passkeys WHERE user_id = $1 LIMIT 1";
    Ok(enabled_at(tx, user)?.is_some() || tx.query_row(sql, &params![user.0], |_| Ok(()))?.is_some())
}

/// Keeps a secret that does not count yet, in the place of another that does not. False: there is one that does.
///
/// # Errors
/// When the database fails.
pub fn begin(tx: &mut Tx<'_>, user: UserId, sealed: &[u8]) -> Result<bool> {
    let begun = tx.execute(
        "INSERT INTO second_factors (user_id, secret_sealed) VALUES ($1, $2) ON CONFLICT (user_id) \
         DO UPDATE SET secret_sealed = excluded.secret_sealed WHERE second_factors.enabled_at IS NULL",
        &params![user.0, sealed.to_vec()],
    )?;
    Ok(begun == 1)
}

/// # Errors
/// When the database fails.
pub fn enable(tx: &mut Tx<'_>, user: UserId, now: Time) -> Result<()> {
    tx.execute("UPDATE second_factors SET enabled_at = $2 WHERE user_id = $1", &params![user.0, now])?;
    Ok(())
}

/// Takes a person's app away with all that belongs to it. False: none counted.
///
/// # Errors
/// When the database fails.
pub fn remove(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId) -> Result<bool> {
    let counted = enabled_at(tx, user)?.is_some();
    for table in ["second_factors", "second_factor_uses", "recovery_codes"] {
        tx.execute(&format!("DELETE FROM {table} WHERE user_id = $1"), &params![user.0])?;
    }
    weaken(tx, accounts, user)?;
    Ok(counted)
}

/// Takes everything away that makes a sign-in of theirs a strong one. False: there was nothing.
///
/// # Errors
/// When the database fails.
pub fn remove_all(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId) -> Result<bool> {
    let passkeys = tx.execute("DELETE FROM passkeys WHERE user_id = $1", &params![user.0])?;
    Ok(remove(tx, accounts, user)? || passkeys > 0)
}

/// Makes sessions of who has nothing left that makes a sign-in a strong one count as opened with the password alone.
///
/// # Errors
/// When the database fails.
pub fn weaken(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId) -> Result<()> {
    accounts.forget_callers(tx);
    if !any(tx, user)? {
        tx.execute("UPDATE sessions SET strong = FALSE WHERE user_id = $1", &params![user.0])?;
    }
    Ok(())
}

/// A session in which its owner proved both factors after it was opened.
///
/// # Errors
/// When the database fails.
pub fn strengthen(tx: &mut Tx<'_>, accounts: &Accounts, session: i64) -> Result<()> {
    accounts.forget_callers(tx);
    tx.execute("UPDATE sessions SET strong = TRUE WHERE id = $1", &params![session])?;
    Ok(())
}

/// Uses the code of a step up. False: it was.
///
/// # Errors
/// When the database fails.
pub fn use_step(tx: &mut Tx<'_>, user: UserId, step: i64) -> Result<bool> {
    let id = tx.next_id()?;
    let used = tx.execute(
        "INSERT INTO second_factor_uses (user_id, step, id) VALUES ($1, $2, $3) ON CONFLICT (user_id, step) DO NOTHING",
        &params![user.0, step, id],
    )?;
    tx.execute(
        "DELETE FROM second_factor_uses WHERE user_id = $1 AND id NOT IN \
         (SELECT id FROM second_factor_uses WHERE user_id = $1 ORDER BY id DESC LIMIT $2)",
        &params![user.0, USES],
    )?;
    Ok(used == 1)
}

/// # Errors
/// When the database fails.
pub fn replace_codes(tx: &mut Tx<'_>, user: UserId, digests: &[String]) -> Result<()> {
    tx.execute("DELETE FROM recovery_codes WHERE user_id = $1", &params![user.0])?;
    for digest in digests {
        let id = tx.next_id()?;
        let sql = "INSERT INTO recovery_codes (id, user_id, code_hash) VALUES ($1, $2, $3)";
        tx.execute(sql, &params![id, user.0, digest.as_str()])?;
    }
    Ok(())
}

/// Uses a recovery code up. False: there is no such one.
///
/// # Errors
/// When the database fails.
pub fn use_code(tx: &mut Tx<'_>, user: UserId, digest: &str) -> Result<bool> {
    let sql = "DELETE FROM recovery_codes WHERE user_id = $1 AND code_hash = $2";
    Ok(tx.execute(sql, &params![user.0, digest])? == 1)
}

/// # Errors
/// When the database fails.
pub fn codes_left(tx: &mut Tx<'_>, user: UserId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM recovery_codes WHERE user_id = $1";
    Ok(tx.query_row(sql, &params![user.0], |row| row.get(0))?.unwrap_or(0))
}
