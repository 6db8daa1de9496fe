//! All SQL of the licence, and the counts of what it is about.

use super::report::Peak;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{Tx, params};

/// This site, as its vendor knows it.
#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub id: String,
    pub made_at: Time,
    pub seen_at: Time,
}

/// # Errors
/// When the database fails, or was never opened by a server.
pub(super) fn installation(tx: &mut Tx<'_>) -> Result<Installation> {
    let sql = "SELECT id, made_at, seen_at FROM installation WHERE slot = 1";
    let found = tx.query_row(sql, &params![], |row| {
        Ok(Installation { id: row.get(0)?, made_at: row.get(1)?, seen_at: row.get(2)? })
    })?;
    found.ok_or_else(|| Error::internal("the installation has no row"))
}

/// Names the installation, unless it has a name.
pub(super) fn name(tx: &mut Tx<'_>, id: &str, now: Time) -> Result<()> {
    let sql =
        "INSERT INTO installation (slot, id, made_at, seen_at) VALUES (1, $1, $2, $2) ON CONFLICT (slot) DO NOTHING";
    tx.execute(sql, &params![id, now])?;
    Ok(())
}

pub(super) fn raise_seen(tx: &mut Tx<'_>, at: Time) -> Result<()> {
    tx.execute("UPDATE installation SET seen_at = $1 WHERE seen_at < $1", &params![at])?;
    Ok(())
}

pub(super) fn set_seen(tx: &mut Tx<'_>, at: Time) -> Result<()> {
    tx.execute("UPDATE installation SET seen_at = $1", &params![at])?;
    Ok(())
}

/// When the newest entry of the audit trail was written.
pub(super) fn newest_entry(tx: &mut Tx<'_>) -> Result<Option<Time>> {
    Ok(tx.query_row("SELECT at FROM audit_entries ORDER BY id DESC LIMIT 1", &params![], |row| row.get(0))?)
}

/// A licence as it is kept.
pub(super) struct Row {
    pub id: i64,
    pub serial: String,
    pub token: String,
    pub installed_at: Time,
}

pub(super) fn licences(tx: &mut Tx<'_>) -> Result<Vec<Row>> {
    let sql = "SELECT id, serial, token, installed_at FROM licences ORDER BY id DESC";
    Ok(tx.query_map(sql, &params![], |row| {
        Ok(Row { id: row.get(0)?, serial: row.get(1)?, token: row.get(2)?, installed_at: row.get(3)? })
    })?)
}

/// Keeps a licence, in place of one with the same serial.
pub(super) fn put(tx: &mut Tx<'_>, serial: &str, token: &str, now: Time) -> Result<()> {
    let id = tx.next_id()?;
    let sql = "INSERT INTO licences (id, serial, token, installed_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (serial) DO UPDATE SET token = excluded.token, installed_at = excluded.installed_at";
    tx.execute(sql, &params![id, serial, token, now])?;
    tx.execute("DELETE FROM licence_notices WHERE serial = $1", &params![serial])?;
    Ok(())
}

pub(super) fn drop_licence(tx: &mut Tx<'_>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM licences WHERE id = $1", &params![id])?;
    Ok(())
}

/// Notes that administrators are told; false: they were before.
pub(super) fn note_told(tx: &mut Tx<'_>, serial: &str, mark: &str, now: Time) -> Result<bool> {
    let sql =
        "INSERT INTO licence_notices (serial, mark, told_at) VALUES ($1, $2, $3) ON CONFLICT (serial, mark) DO NOTHING";
    Ok(tx.execute(sql, &params![serial, mark, now])? > 0)
}

/// Forgets that they were told, for what comes and goes.
pub(super) fn forget_told(tx: &mut Tx<'_>, serial: &str, mark: &str) -> Result<()> {
    tx.execute("DELETE FROM licence_notices WHERE serial = $1 AND mark = $2", &params![serial, mark])?;
    Ok(())
}

pub(super) fn is_revoked(tx: &mut Tx<'_>, serial: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM revoked_licences WHERE serial = $1 LIMIT 1";
    Ok(tx.query_row(sql, &params![serial], |_| Ok(()))?.is_some())
}

/// A list of revoked licences as it stands: the key's id, number, when it was issued and installed.
pub(super) type List = (String, i64, Time, Time);

pub(super) fn lists(tx: &mut Tx<'_>) -> Result<Vec<List>> {
    let sql = "SELECT key_id, number, issued_at, installed_at FROM revocation_lists ORDER BY key_id";
    Ok(tx.query_map(sql, &params![], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?)
}

/// Puts a key's list in place of its last one.
pub(super) fn put_list(tx: &mut Tx<'_>, (key, number, issued, now): &List, serials: &[String]) -> Result<()> {
    tx.execute("DELETE FROM revocation_lists WHERE key_id = $1", &params![key.as_str()])?;
    let sql = "INSERT INTO revocation_lists (key_id, number, issued_at, installed_at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &params![key.as_str(), *number, *issued, *now])?;
    let sql = "INSERT INTO revoked_licences (serial, key_id) VALUES ($1, $2) ON CONFLICT (serial, key_id) DO NOTHING";
    for serial in serials {
        tx.execute(sql, &params![serial.as_str(), key.as_str()])?;
    }
    Ok(())
}

/// People's accounts that are switched on.
pub(super) fn seats_used(tx: &mut Tx<'_>) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM users WHERE is_active AND service_of IS NULL";
    Ok(tx.query_row(sql, &params![], |row| row.get(0))?.unwrap_or(0))
}

/// Organisations, and accounts of programs.
pub(super) fn counts(tx: &mut Tx<'_>) -> Result<(i64, i64)> {
    let orgs = tx.query_row("SELECT COUNT(*) FROM organizations", &params![], |row| row.get(0))?;
    let sql = "SELECT COUNT(*) FROM users WHERE service_of IS NOT NULL";
    Ok((orgs.unwrap_or(0), tx.query_row(sql, &params![], |row| row.get(0))?.unwrap_or(0)))
}

pub(super) fn raise_peak(tx: &mut Tx<'_>, month: &str, seats: i64) -> Result<()> {
    let sql = "INSERT INTO seat_peaks (month, seats) VALUES ($1, $2) \
               ON CONFLICT (month) DO UPDATE SET seats = excluded.seats WHERE seat_peaks.seats < excluded.seats";
    tx.execute(sql, &params![month, seats])?;
    Ok(())
}

/// The last `most` months, the newest first.
pub(super) fn peaks(tx: &mut Tx<'_>, most: i64) -> Result<Vec<Peak>> {
    let sql = "SELECT month, seats FROM seat_peaks ORDER BY month DESC LIMIT $1";
    Ok(tx.query_map(sql, &params![most], |row| Ok(Peak { month: row.get(0)?, seats: row.get(1)? }))?)
}
