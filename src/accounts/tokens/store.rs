//! All SQL of personal tokens.

use super::{Asked, MOST, Token};
use crate::access::UserId;
use crate::accounts::Accounts;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};

const TOKEN: &str = "SELECT id, name, scopes, organization_id, created_at, expires_at, last_used_at, last_used_ip, \
                     user_id FROM personal_tokens";

fn read(row: &Row<'_>) -> Result<Token, DbError> {
    let scopes: Option<String> = row.get(2)?;
    let scopes = scopes.map(|kept| serde_json::from_str(&kept)).transpose();
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        scopes: scopes.map_err(|cause| DbError::Other(format!("personal_tokens.scopes: {cause}")))?,
        organization_id: row.get(3)?,
        created_at: row.get(4)?,
        expires_at: row.get(5)?,
        last_used_at: row.get(6)?,
        last_used_ip: row.get(7)?,
    })
}

/// Keeps a new token of `user`.
///
/// # Errors
/// `too_many_tokens`.
pub fn insert(tx: &mut Tx<'_>, user: UserId, asked: &Asked, digest: &str, now: Time) -> Result<Token> {
    if count(tx, user)? >= MOST {
        let message = format!("The account has {MOST} tokens, the most there can be. Delete one first.");
        return Err(Error::conflict("too_many_tokens", message));
    }
    let scopes = asked.scopes.map(|set| set.codes().into_iter().map(str::to_owned).collect::<Vec<_>>());
    let kept = scopes.as_ref().map(serde_json::to_string).transpose().map_err(Error::internal)?;
    let (id, org) = (tx.next_id()?, asked.org.map(|org| org.0));
    tx.execute(
        "INSERT INTO personal_tokens (id, user_id, name, token_hash, scopes, organization_id, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &params![id, user.0, asked.name.as_str(), digest, kept, org, now, asked.expires_at],
    )?;
    Ok(Token {
        id,
        name: asked.name.clone(),
        scopes,
        organization_id: org,
        created_at: now,
        expires_at: asked.expires_at,
        last_used_at: None,
        last_used_ip: None,
    })
}

/// How many tokens a person has.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>, user: UserId) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM personal_tokens WHERE user_id = $1";
    Ok(tx.query_row(sql, &params![user.0], |row| row.get(0))?.unwrap_or(0))
}

/// Whose token has the digest.
///
/// # Errors
/// When the database fails.
pub fn by_digest(tx: &mut Tx<'_>, digest: &str) -> Result<Option<(UserId, Token)>> {
    let sql = format!("{TOKEN} WHERE token_hash = $1");
    Ok(tx.query_row(&sql, &params![digest], |row| Ok((UserId(row.get(8)?), read(row)?)))?)
}

/// A token by its number, and whose it is.
///
/// # Errors
/// When the database fails.
pub fn by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<(UserId, Token)>> {
    let sql = format!("{TOKEN} WHERE id = $1");
    Ok(tx.query_row(&sql, &params![id], |row| Ok((UserId(row.get(8)?), read(row)?)))?)
}

/// Notes when and from where a token was used.
///
/// # Errors
/// When the database fails.
pub fn touch(tx: &mut Tx<'_>, id: i64, now: Time, ip_address: Option<String>) -> Result<()> {
    let sql = "UPDATE personal_tokens SET last_used_at = $2, last_used_ip = $3 WHERE id = $1";
    tx.execute(sql, &params![id, now, ip_address])?;
    Ok(())
}

/// A person's tokens, newest first.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, user: UserId, page: Page) -> Result<Vec<Token>> {
    let sql = format!("{TOKEN} WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    Ok(tx.query_map(&sql, &params![user.0, page.before, page.fetch()], read)?)
}

/// Deletes one of a person's tokens; its name.
///
/// # Errors
/// `not_found` when it is not theirs.
pub fn delete(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId, id: i64) -> Result<String> {
    accounts.forget_callers(tx);
    let sql = "DELETE FROM personal_tokens WHERE id = $1 AND user_id = $2 RETURNING name";
    let name = tx.query_row(sql, &params![id, user.0], |row| row.get(0))?;
    name.ok_or_else(|| Error::not_found(format!("personal token {id}")))
}

/// Deletes all of a person's tokens; how many there were.
///
/// # Errors
/// When the database fails.
pub fn delete_all(tx: &mut Tx<'_>, accounts: &Accounts, user: UserId) -> Result<u64> {
    accounts.forget_callers(tx);
    Ok(tx.execute("DELETE FROM personal_tokens WHERE user_id = $1", &params![user.0])?)
}
