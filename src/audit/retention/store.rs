//! All SQL of retention. Entries go here and nowhere else, and only where the database sees why.

use super::cut_off;
use crate::access::OrgId;
use crate::access::Permit;
use crate::access::actions::AuditManage;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Tx, params};

/// An organisation that does not keep its entries for ever.
pub struct Kept {
    pub org: OrgId,
    pub days: i64,
    /// Up to where its entries were dropped, or were to be when the days were set.
    pub due_before: Time,
    /// When that was last moved.
    pub advanced_at: Time,
}

/// Every organisation that does not keep its entries for ever.
pub fn all(tx: &mut Tx<'_>) -> Result<Vec<Kept>, DbError> {
    let sql = "SELECT organization_id, days, due_before, advanced_at FROM audit_retention ORDER BY organization_id";
    tx.query_map(sql, &[], |row| {
        Ok(Kept { org: OrgId(row.get(0)?), days: row.get(1)?, due_before: row.get(2)?, advanced_at: row.get(3)? })
    })
}

/// Null inside: for ever. None: nothing is set, and there is no such organisation.
pub fn get(tx: &mut Tx<'_>, org: OrgId) -> Result<Option<Option<i64>>, DbError> {
    let days = tx.query_row("SELECT days FROM audit_retention WHERE organization_id = $1", &params![org.0], |row| {
        row.get::<i64>(0)
    })?;
    if days.is_some() {
        return Ok(Some(days));
    }
    tx.query_row("SELECT id FROM organizations WHERE id = $1", &params![org.0], |_| Ok(None))
}

/// # Errors
/// `not_found`.
pub fn set(
    tx: &mut Tx<'_>,
    permit: &Permit<AuditManage>,
    now: Time,
    org: OrgId,
    days: Option<i64>,
) -> Result<Option<i64>> {
    permit.require(org, "such organization")?;
    let before = get(tx, org)?.ok_or_else(|| Error::not_found("such organization"))?;
    match days {
        None => tx.execute("DELETE FROM audit_retention WHERE organization_id = $1", &params![org.0])?,
        Some(days) => tx.execute(
            "INSERT INTO audit_retention (organization_id, days, due_before, advanced_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (organization_id) DO UPDATE SET days = excluded.days, due_before = excluded.due_before, \
             advanced_at = excluded.advanced_at",
            &params![org.0, days, cut_off(now, days), now],
        )?,
    };
    Ok(before)
}

/// The oldest entries from before a moment that have their place in a log, by time and id.
pub fn old(tx: &mut Tx<'_>, org: OrgId, before: Time, most: i64) -> Result<Vec<(Time, i64)>, DbError> {
    let sql = "SELECT e.at, e.id FROM audit_entries e JOIN audit_leaves l ON l.entry_id = e.id \
         WHERE e.organization_id = $1 AND e.at < $2 ORDER BY e.at, e.id LIMIT $3";
    tx.query_map(sql, &params![org.0, before, most], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Drops those up to `last`, after the rows that make it lawful.
pub fn drop_entries(
    tx: &mut Tx<'_>,
    org: OrgId,
    before: Time,
    now: Time,
    (at, id): (Time, i64),
) -> Result<(), DbError> {
    let row = tx.next_id()?;
    let sql = "INSERT INTO audit_drops (id, organization_id, before_at, at) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &params![row, org.0, before, now])?;
    let sql = "INSERT INTO audit_dropped (entry_id, drop_id) SELECT e.id, CAST($1 AS BIGINT) FROM audit_entries e \
         JOIN audit_leaves l ON l.entry_id = e.id \
         WHERE e.organization_id = $2 AND e.at < $3 AND (e.at, e.id) <= ($4, $5)";
    tx.execute(sql, &params![row, org.0, before, at, id])?;
    let sql = "DELETE FROM audit_entries WHERE id IN (SELECT entry_id FROM audit_dropped WHERE drop_id = $1)";
    tx.execute(sql, &params![row]).map(drop)
}

/// Moves what is to go, and when it was moved, unless somebody else did meanwhile.
pub fn advance(tx: &mut Tx<'_>, kept: &Kept, due_before: Time, now: Time) -> Result<(), DbError> {
    let sql = "UPDATE audit_retention SET due_before = $2, advanced_at = $3 \
               WHERE organization_id = $1 AND days = $4 AND due_before = $5 AND advanced_at = $6";
    tx.execute(sql, &params![kept.org.0, due_before, now, kept.days, kept.due_before, kept.advanced_at]).map(drop)
}
