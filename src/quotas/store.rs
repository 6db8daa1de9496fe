//! All SQL of quotas, grants and usage.
//!
//! Invariant: every statement that lets something be used carries the limit in its own WHERE, so two processes at once
//! cannot both pass it; every statement that takes back stops at zero, so a late one never blocks those beside it.

use super::{Quota, Resource};
use crate::access::actions::QuotaManage;
use crate::access::{Caller, OrgId, Permit, UserId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Tx, params};

const TOKENS: &str = "llm_tokens";

pub(super) fn insert(tx: &mut Tx<'_>, org: OrgId, resource: Resource, limit: Option<i64>) -> Result<()> {
    tx.execute(
        "INSERT INTO quotas (organization_id, resource, limit_value, used, granted) VALUES ($1, $2, $3, 0, 0)",
        &params![org.0, resource.code(), limit],
    )?;
    Ok(())
}

/// The quotas of an organisation; none when there is no such organisation.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, org: OrgId) -> Result<Vec<Quota>> {
    let mut quotas = Vec::new();
    for resource in Resource::ALL {
        quotas.extend(find(tx, org, resource)?);
    }
    Ok(quotas)
}

/// # Errors
/// When the database fails.
pub fn find(tx: &mut Tx<'_>, org: OrgId, resource: Resource) -> Result<Option<Quota>, DbError> {
    tx.query_row(
        "SELECT limit_value, used, granted FROM quotas WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code()],
        |row| Ok(Quota { resource, limit_value: row.get(0)?, used: row.get(1)?, reserved: row.get(2)? }),
    )
}

/// Sets a limit; null lifts it. A limit below what is used takes nothing away, it only refuses more.
///
/// # Errors
/// `not_found` outside the permit.
pub(super) fn set_limit(
    tx: &mut Tx<'_>,
    permit: &Permit<QuotaManage>,
    org: OrgId,
    resource: Resource,
    limit: Option<i64>,
) -> Result<(Quota, Quota)> {
    permit.require(org, "such organization")?;
    let before = find(tx, org, resource)?.ok_or_else(|| Error::not_found("such organization"))?;
    tx.execute(
        "UPDATE quotas SET limit_value = $3 WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code(), limit],
    )?;
    let after = Quota { limit_value: limit, ..before.clone() };
    Ok((before, after))
}

/// Sets a limit where it is `old`.
pub(super) fn replace(
    tx: &mut Tx<'_>,
    org: OrgId,
    resource: Resource,
    old: Option<i64>,
    new: Option<i64>,
) -> Result<(), DbError> {
    tx.execute(
        "UPDATE quotas SET limit_value = $4 \
         WHERE organization_id = $1 AND resource = $2 AND limit_value IS NOT DISTINCT FROM $3",
        &params![org.0, resource.code(), old, new],
    )?;
    Ok(())
}

/// False when the limit does not allow it.
pub(super) fn take(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE quotas SET used = used + $3 WHERE organization_id = $1 AND resource = $2 \
         AND (limit_value IS NULL OR used + granted + $3 <= limit_value)",
        &params![org.0, resource.code(), amount],
    )?;
    Ok(changed == 1)
}

pub(super) fn give_back(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<(), DbError> {
    tx.execute(
        "UPDATE quotas SET used = CASE WHEN used > $3 THEN used - $3 ELSE 0 END \
         WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code(), amount],
    )?;
    Ok(())
}

/// Lets `process` hold `amount` more tokens; false when the limit does not allow it.
pub(super) fn grant(tx: &mut Tx<'_>, process: &str, org: OrgId, amount: i64, now: Time) -> Result<bool, DbError> {
    let changed = tx.execute(
        "UPDATE quotas SET granted = granted + $3 WHERE organization_id = $1 AND resource = $2 \
         AND (limit_value IS NULL OR used + granted + $3 <= limit_value)",
        &params![org.0, TOKENS, amount],
    )?;
    if changed == 1 {
        tx.execute(
            "INSERT INTO quota_grants (process, organization_id, resource, amount, renewed_at) \
             VALUES ($1, $2, $3, $4, $5) ON CONFLICT (process, organization_id, resource) \
             DO UPDATE SET amount = quota_grants.amount + $4, renewed_at = $5",
            &params![process, org.0, TOKENS, amount, now],
        )?;
    }
    Ok(changed == 1)
}

/// Moves `used` of what `process` holds to the settled use, and lets go of `returned` besides.
pub(super) fn settle(tx: &mut Tx<'_>, process: &str, org: OrgId, used: i64, returned: i64) -> Result<(), DbError> {
    let held = used + returned;
    tx.execute(
        "UPDATE quotas SET used = used + $3, granted = CASE WHEN granted > $4 THEN granted - $4 ELSE 0 END \
         WHERE organization_id = $1 AND resource = $2",
        &params![org.0, TOKENS, used, held],
    )?;
    tx.execute(
        "UPDATE quota_grants SET amount = CASE WHEN amount > $4 THEN amount - $4 ELSE 0 END \
         WHERE process = $1 AND organization_id = $2 AND resource = $3",
        &params![process, org.0, TOKENS, held],
    )?;
    Ok(())
}

/// Removes the rows of `process` that hold nothing.
pub(super) fn sweep(tx: &mut Tx<'_>, process: &str) -> Result<(), DbError> {
    tx.execute("DELETE FROM quota_grants WHERE process = $1 AND amount = 0", &params![process])?;
    Ok(())
}

/// What was used, as it is written down.
pub(super) struct Record<'a> {
    pub org: OrgId,
    pub amount: i64,
    pub user: Option<UserId>,
    pub project: Option<i64>,
    pub model: Option<&'a str>,
    pub source: &'a str,
    pub at: Time,
}

/// The record's id.
pub(super) fn record(tx: &mut Tx<'_>, record: &Record<'_>) -> Result<i64> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO usage_records (id, organization_id, resource, amount, user_id, project_id, model, source, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &params![
            id,
            record.org.0,
            TOKENS,
            record.amount,
            record.user.map(|user| user.0),
            record.project,
            record.model,
            record.source,
            record.at
        ],
    )?;
    Ok(id)
}

/// Whether a record of this id and time is there: how a commit whose answer was lost is told from one that failed.
pub(super) fn is_recorded(tx: &mut Tx<'_>, id: i64, at: Time) -> Result<bool, DbError> {
    let found = tx.query_row("SELECT 1 FROM usage_records WHERE id = $1 AND at = $2", &params![id, at], |_| Ok(()))?;
    Ok(found.is_some())
}

/// Says that `process` is alive; the number of grants it still has.
pub(super) fn renew(tx: &mut Tx<'_>, process: &str, now: Time) -> Result<u64, DbError> {
    tx.execute("UPDATE quota_grants SET renewed_at = $2 WHERE process = $1", &params![process, now])
}

/// Counts as used what processes held that did not renew since `before`, and what one of the name `reborn` held, with an
/// audit entry for each. Returns the organisations with the amounts.
pub(super) fn bury(tx: &mut Tx<'_>, reborn: Option<&str>, before: Time, now: Time) -> Result<Vec<(OrgId, i64)>> {
    let dead = tx.query_map(
        "SELECT process, organization_id, amount FROM quota_grants WHERE process = $1 OR renewed_at < $2 LIMIT 10000",
        &params![reborn.unwrap_or_default(), before],
        |row| Ok((row.get::<String>(0)?, OrgId(row.get(1)?), row.get::<i64>(2)?)),
    )?;
    let mut lost = Vec::new();
    for (process, org, amount) in dead {
        let gone = tx.execute(
            "DELETE FROM quota_grants WHERE process = $1 AND organization_id = $2 AND resource = $3 AND amount = $4",
            &params![process.as_str(), org.0, TOKENS, amount],
        )?;
        if gone == 1 && amount > 0 {
            settle(tx, &process, org, amount, 0)?;
            let source = "unsettled";
            record(tx, &Record { org, amount, user: None, project: None, model: None, source, at: now })?;
            let words = format!("Counted {amount} model tokens as used that a server process held when it ended");
            let event = Event::new(AuditAction::Update, "quota", words).id(TOKENS).org(org);
            audit::record(tx, now, &Caller::system(), &event)?;
            lost.push((org, amount));
        }
    }
    Ok(lost)
}
