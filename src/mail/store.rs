//! All SQL of mails.
//!
//! Invariant: a mail is settled by the job it names and by no other, so that of two tries one counts.

use super::{Mail, MailKind, MailState, NewMail};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

/// Addresses are compared without regard to case.
fn key(address: &str) -> String {
    address.to_lowercase()
}

pub(super) fn insert(tx: &mut Tx<'_>, id: i64, job: i64, now: Time, new: &NewMail<'_>, body: Vec<u8>) -> Result<()> {
    tx.execute(
        "INSERT INTO mails (id, user_id, recipient, recipient_key, kind, subject, body, state, attempts, job_id, \
         next_attempt_at, created_at, about_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, $10, $10, $11)",
        &params![
            id,
            new.user.map(|user| user.0),
            new.recipient,
            key(new.recipient),
            new.kind.code(),
            new.subject,
            body,
            MailState::Queued.code(),
            job,
            now,
            new.about
        ],
    )?;
    Ok(())
}

/// How many mails to the address were made since then.
pub(super) fn recent(tx: &mut Tx<'_>, address: &str, since: Time) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM mails WHERE recipient_key = $1 AND created_at > $2";
    Ok(tx.query_row(sql, &params![key(address), since], |row| row.get(0))?.unwrap_or(0))
}

/// Whether as many as `most` wait.
pub(super) fn is_full(tx: &mut Tx<'_>, most: i64) -> Result<bool> {
    let sql = "SELECT id FROM mails WHERE state = $1 ORDER BY id LIMIT 1 OFFSET $2";
    let state = MailState::Queued.code();
    Ok(tx.query_row(sql, &params![state, most - 1], |row| row.get::<i64>(0))?.is_some())
}

const MAIL: &str = "SELECT id, user_id, recipient, kind, subject, state, attempts, next_attempt_at, last_error, created_at, \
    settled_at FROM mails";

fn read(row: &Row<'_>) -> Result<Mail, DbError> {
    let (kind, state): (String, String) = (row.get(3)?, row.get(5)?);
    let unknown = |what: &str| DbError::Other(format!("mails holds `{what}`, which it never should"));
    Ok(Mail {
        id: row.get(0)?,
        user_id: row.get(1)?,
        recipient: row.get(2)?,
        kind: MailKind::ALL.into_iter().find(|known| known.code() == kind).ok_or_else(|| unknown(&kind))?,
        subject: row.get(4)?,
        state: MailState::ALL.into_iter().find(|known| known.code() == state).ok_or_else(|| unknown(&state))?,
        attempts: row.get(6)?,
        next_attempt_at: row.get(7)?,
        last_error: row.get(8)?,
        created_at: row.get(9)?,
        settled_at: row.get(10)?,
    })
}

pub(super) fn find(tx: &mut Tx<'_>, id: i64) -> Result<Option<Mail>> {
    Ok(tx.query_row(&format!("{MAIL} WHERE id = $1"), &params![id], read)?)
}

/// The mail with its sealed body, when it is this job's to send.
pub(super) fn due(tx: &mut Tx<'_>, id: i64, job: i64) -> Result<Option<(Mail, Vec<u8>)>> {
    let sql = "SELECT body FROM mails WHERE id = $1 AND job_id = $2 AND state = $3 AND body IS NOT NULL";
    let body = tx.query_row(sql, &params![id, job, MailState::Queued.code()], |row| row.get::<Vec<u8>>(0))?;
    Ok(find(tx, id)?.zip(body))
}

/// Mails by descending id.
pub(super) fn list(tx: &mut Tx<'_>, state: Option<MailState>, page: Page) -> Result<Vec<Mail>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let mut sql = format!("{MAIL} WHERE id < $1");
    if let Some(state) = state {
        params.push(Val::from(state.code()));
        sql.push_str(" AND state = $3");
    }
    sql.push_str(" ORDER BY id DESC LIMIT $2");
    Ok(tx.query_map(&sql, &params, read)?)
}

/// Whether a mail waits that is to be sent by now.
pub(super) fn any_due(tx: &mut Tx<'_>, now: Time) -> Result<bool> {
    let sql = "SELECT id FROM mails WHERE state = $1 AND next_attempt_at <= $2 ORDER BY id LIMIT 1";
    Ok(tx.query_row(sql, &params![MailState::Queued.code(), now], |row| row.get::<i64>(0))?.is_some())
}

/// How many mails are in each state, and when the oldest of those that wait was made.
pub(super) struct Counts {
    pub queued: i64,
    pub oldest_queued: Option<Time>,
    pub sent: i64,
    pub failed: i64,
}

pub(super) fn counts(tx: &mut Tx<'_>) -> Result<Counts> {
    let sql = "SELECT COUNT(*), MIN(created_at) FROM mails WHERE state = $1";
    let mut of = |state: MailState| {
        let found = tx.query_row(sql, &params![state.code()], |row| Ok((row.get(0)?, row.get(1)?)));
        found.map(|found| found.unwrap_or((0, None)))
    };
    let (queued, oldest_queued): (i64, Option<Time>) = of(MailState::Queued)?;
    Ok(Counts { queued, oldest_queued, sent: of(MailState::Sent)?.0, failed: of(MailState::Failed)?.0 })
}

/// The newest reason why a try failed, of those that wait or were given up.
pub(super) fn last_error(tx: &mut Tx<'_>) -> Result<Option<String>> {
    let sql = "SELECT last_error FROM mails WHERE last_error IS NOT NULL AND state <> $1 ORDER BY id DESC LIMIT 1";
    Ok(tx.query_row(sql, &params![MailState::Sent.code()], |row| row.get(0))?)
}

/// The server took the mail.
pub(super) fn sent(tx: &mut Tx<'_>, id: i64, now: Time) -> Result<()> {
    tx.execute(
        "UPDATE mails SET state = $2, settled_at = $3, attempts = attempts + 1, body = NULL, job_id = NULL, \
         next_attempt_at = NULL, last_error = NULL WHERE id = $1",
        &params![id, MailState::Sent.code(), now],
    )?;
    Ok(())
}

/// It is tried again at `next`, by `job`.
pub(super) fn later(tx: &mut Tx<'_>, id: i64, job: i64, next: Time, error: &str) -> Result<()> {
    tx.execute(
        "UPDATE mails SET attempts = attempts + 1, job_id = $2, next_attempt_at = $3, last_error = $4 WHERE id = $1",
        &params![id, job, next, error],
    )?;
    Ok(())
}

/// It is given up. The body stays a while, so that it can be tried again once its reason is mended.
pub(super) fn failed(tx: &mut Tx<'_>, id: i64, now: Time, error: &str) -> Result<()> {
    tx.execute(
        "UPDATE mails SET state = $2, settled_at = $3, attempts = attempts + 1, job_id = NULL, next_attempt_at = NULL, \
         last_error = $4 WHERE id = $1",
        &params![id, MailState::Failed.code(), now, error],
    )?;
    Ok(())
}

/// Queues a mail anew, as if it had been made at `now`; the job that waited for it, when there was one.
pub(super) fn again(tx: &mut Tx<'_>, id: i64, job: i64, now: Time) -> Result<Option<Option<i64>>> {
    let waited = tx.query_row("SELECT job_id FROM mails WHERE id = $1 AND body IS NOT NULL", &params![id], |row| {
        row.get::<Option<i64>>(0)
    })?;
    let Some(waited) = waited else { return Ok(None) };
    tx.execute(
        "UPDATE mails SET state = $2, job_id = $3, next_attempt_at = $4, created_at = $4, settled_at = NULL WHERE id = $1",
        &params![id, MailState::Queued.code(), job, now],
    )?;
    Ok(Some(waited))
}

/// Forgets a mail; the job that waited for it, when there was one.
pub(super) fn delete(tx: &mut Tx<'_>, id: i64) -> Result<Option<i64>> {
    let sql = "DELETE FROM mails WHERE id = $1 RETURNING job_id";
    Ok(tx.query_row(sql, &params![id], |row| row.get::<Option<i64>>(0))?.flatten())
}

/// Forgets the mails about something that wait; their jobs.
pub(super) fn withdraw(tx: &mut Tx<'_>, kind: MailKind, about: i64) -> Result<Vec<i64>> {
    let sql = "DELETE FROM mails WHERE about_id = $1 AND kind = $2 AND state = $3 RETURNING job_id";
    let params = params![about, kind.code(), MailState::Queued.code()];
    let jobs = tx.query_map(sql, &params, |row| row.get::<Option<i64>>(0))?;
    Ok(jobs.into_iter().flatten().collect())
}

/// Forgets all mails to an address, also those that wait.
///
/// # Errors
/// When the database fails.
pub fn forget_address(tx: &mut Tx<'_>, address: &str) -> Result<()> {
    tx.execute("DELETE FROM mails WHERE recipient_key = $1", &params![key(address)])?;
    Ok(())
}

/// Drops rows settled before `rows`, and bodies of those settled before `bodies`.
pub(super) fn clear(tx: &mut Tx<'_>, rows: Time, bodies: Time) -> Result<()> {
    tx.execute("DELETE FROM mails WHERE settled_at < $1", &params![rows])?;
    tx.execute("UPDATE mails SET body = NULL WHERE settled_at < $1 AND body IS NOT NULL", &params![bodies])?;
    Ok(())
}
