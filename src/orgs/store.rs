//! All SQL of organisations.

use super::{NewOrganization, Organization};
use crate::access::actions::{OrganizationCreate, OrganizationRead};
use crate::access::{Grants, OrgId, Permission, Permit};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const ORGANIZATION: &str = "SELECT id, name, slug, tier, contact_email, created_at FROM organizations";

fn read(row: &Row<'_>) -> Result<Organization, DbError> {
    Ok(Organization {
        id: row.get(0)?,
        name: row.get(1)?,
        slug: row.get(2)?,
        tier: row.get(3)?,
        contact_email: row.get(4)?,
        created_at: row.get(5)?,
    })
}

/// # Errors
/// `slug_taken`.
pub fn insert(
    tx: &mut Tx<'_>,
    _: &Permit<OrganizationCreate>,
    now: Time,
    new: &NewOrganization,
) -> Result<Organization> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO organizations (id, name, slug, tier, contact_email, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        &params![id, new.name.as_str(), new.slug.as_str(), new.tier.as_str(), new.contact_email.clone(), now],
    )
    .map_err(|cause| match cause {
        DbError::Unique(name) if name == "uq_organizations_slug" => {
            let message = format!("The slug {} belongs to another organisation.", new.slug);
            Error::conflict("slug_taken", message).field("slug")
        }
        other => other.into(),
    })?;
    Ok(Organization {
        id,
        name: new.name.clone(),
        slug: new.slug.clone(),
        tier: new.tier.clone(),
        contact_email: new.contact_email.clone(),
        created_at: now,
    })
}

/// The team everybody with a role in the whole organisation belongs to. Made here, because there is no organisation
/// without it; all else about teams is a floor above.
///
/// # Errors
/// When the database fails.
pub fn insert_default_team(tx: &mut Tx<'_>, _: &Permit<OrganizationCreate>, now: Time, org: OrgId) -> Result<()> {
    let (id, name) = (tx.next_id()?, "Default team");
    tx.execute(
        "INSERT INTO teams (id, organization_id, slug, name, name_key, description, settings, is_default, created_at, \
         updated_at) VALUES ($1, $2, 'default', $3, $4, 'Everybody with a role in the organisation.', '{}', TRUE, $5, $5)",
        &params![id, org.0, name, names::key(name), now],
    )?;
    Ok(())
}

/// # Errors
/// `not_found` when absent or not covered.
pub fn get(tx: &mut Tx<'_>, permit: &Permit<OrganizationRead>, id: OrgId) -> Result<Organization> {
    permit.require(id, "such organization")?;
    tx.query_row(&format!("{ORGANIZATION} WHERE id = $1"), &params![id.0], read)?
        .ok_or_else(|| Error::not_found("such organization"))
}

/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<OrganizationRead>, page: Page) -> Result<Vec<Organization>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let scope = permit.sql("id", &mut params);
    let sql = format!("{ORGANIZATION} WHERE id < $1 AND {scope} ORDER BY id DESC LIMIT $2");
    Ok(tx.query_map(&sql, &params, read)?)
}

/// How many organisations there are.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>) -> Result<i64> {
    Ok(tx.query_row("SELECT COUNT(*) FROM organizations", &params![], |row| row.get(0))?.unwrap_or(0))
}

/// Id, name and slug of the organisations the grants reach, at most 100; over the site, the newest.
///
/// # Errors
/// When the database fails.
pub fn reached_by(tx: &mut Tx<'_>, grants: &Grants) -> Result<Vec<(i64, String, String)>> {
    let mut params: Vec<Val> = Vec::new();
    let reach = if grants.site.has(Permission::OrganizationRead) {
        "TRUE".to_owned()
    } else if grants.orgs.is_empty() {
        return Ok(Vec::new());
    } else {
        params.extend(grants.orgs.iter().map(|(org, _)| Val::I64(org.0)));
        let places: Vec<String> = (1..=params.len()).map(|at| format!("${at}")).collect();
        format!("id IN ({})", places.join(", "))
    };
    let sql = format!("SELECT id, name, slug FROM organizations WHERE {reach} ORDER BY id DESC LIMIT 100");
    Ok(tx.query_map(&sql, &params, |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// # Errors
/// When the database fails.
pub fn id_of_slug(tx: &mut Tx<'_>, slug: &str) -> Result<Option<OrgId>> {
    Ok(tx.query_row("SELECT id FROM organizations WHERE slug = $1", &params![slug], |row| row.get(0).map(OrgId))?)
}
