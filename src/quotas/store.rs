//! All SQL of quotas.

use super::{Quota, Resource};
use crate::access::actions::{QuotaManage, QuotaView};
use crate::access::{OrgId, Permit};
use crate::base::error::{Error, Kind, Result};
use crate::db::{DbError, Row, Tx, params};

/// Gives a new organisation its tier's quotas.
///
/// # Errors
/// When the database fails.
pub fn open(tx: &mut Tx<'_>, org: OrgId, tier: &str) -> Result<()> {
    for resource in Resource::ALL {
        tx.execute(
            "INSERT INTO quotas (organization_id, resource, limit_value, used) VALUES ($1, $2, $3, 0)",
            &params![org.0, resource.code(), resource.default_limit(tier)],
        )?;
    }
    Ok(())
}

/// Counts `amount` more of a resource, or refuses and counts nothing.
///
/// # Errors
/// `quota_exceeded` with the numbers.
pub fn take(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<()> {
    let taken = tx.execute(
        "UPDATE quotas SET used = used + $3 WHERE organization_id = $1 AND resource = $2 \
         AND (limit_value IS NULL OR used + $3 <= limit_value)",
        &params![org.0, resource.code(), amount],
    )?;
    if taken == 1 {
        return Ok(());
    }
    let quota = find(tx, org, resource)?;
    let limit = quota.limit_value.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    Err(Error::new(
        Kind::Limited,
        "quota_exceeded",
        format!(
            "The quota of {} is used up: {} of {limit}, and this needs {amount} more. Delete some, or ask a site administrator for a higher limit.",
            resource.code(),
            quota.used
        ),
    )
    .field(resource.code()))
}

/// Counts `amount` less.
///
/// # Errors
/// When the database fails, also when more is given back than was taken.
pub fn give_back(tx: &mut Tx<'_>, org: OrgId, resource: Resource, amount: i64) -> Result<()> {
    tx.execute(
        "UPDATE quotas SET used = used - $3 WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code(), amount],
    )?;
    Ok(())
}

/// The quotas of an organisation.
///
/// # Errors
/// `not_found` outside the permit.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<QuotaView>, org: OrgId) -> Result<Vec<Quota>> {
    permit.require(org, "such organization")?;
    Resource::ALL.into_iter().map(|resource| find(tx, org, resource)).collect()
}

/// Sets a limit; null lifts it. A limit below what is used takes nothing away, it only refuses more.
///
/// # Errors
/// `not_found` outside the permit.
pub fn set_limit(
    tx: &mut Tx<'_>,
    permit: &Permit<QuotaManage>,
    org: OrgId,
    resource: Resource,
    limit: Option<i64>,
) -> Result<(Quota, Quota)> {
    permit.require(org, "such organization")?;
    let before = find(tx, org, resource)?;
    tx.execute(
        "UPDATE quotas SET limit_value = $3 WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code(), limit],
    )?;
    let after = Quota { limit_value: limit, ..before.clone() };
    Ok((before, after))
}

fn find(tx: &mut Tx<'_>, org: OrgId, resource: Resource) -> Result<Quota> {
    let read = |row: &Row<'_>| -> Result<Quota, DbError> {
        Ok(Quota { resource, limit_value: row.get(0)?, used: row.get(1)? })
    };
    tx.query_row(
        "SELECT limit_value, used FROM quotas WHERE organization_id = $1 AND resource = $2",
        &params![org.0, resource.code()],
        read,
    )?
    .ok_or_else(|| Error::not_found("such organization"))
}
