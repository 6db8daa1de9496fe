//! All SQL of organisations.

use serde_json::{Map, Value};

use super::routes::OrganizationFilter;
use super::{NewOrganization, OrgStatus, Organization, Suspension, settings};
use crate::access::actions::{OrganizationCreate, OrganizationManage, OrganizationRead, OrganizationSuspend};
use crate::access::{Action, Grants, OrgId, Permission, Permit, UserId};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const ORGANIZATION: &str = "SELECT id, name, slug, tier, contact_email, created_at, display_name, suspended_at, \
    suspended_reason, deletion_due, \
    (SELECT sha256 FROM organization_logos l WHERE l.organization_id = organizations.id) FROM organizations";

fn read(row: &Row<'_>) -> Result<Organization, DbError> {
    let id: i64 = row.get(0)?;
    let since: Option<Time> = row.get(7)?;
    let reason: Option<String> = row.get(8)?;
    let deletion_due: Option<Time> = row.get(9)?;
    let sha256: Option<String> = row.get(10)?;
    let status = match (deletion_due, since) {
        (Some(_), _) => OrgStatus::Deleting,
        (None, Some(_)) => OrgStatus::Suspended,
        (None, None) => OrgStatus::Active,
    };
    Ok(Organization {
        id,
        name: row.get(1)?,
        slug: row.get(2)?,
        tier: row.get(3)?,
        contact_email: row.get(4)?,
        display_name: row.get(6)?,
        // Another picture has another address.
        logo: sha256.map(|sha256| format!("/api/organizations/{id}/logo?v={}", &sha256[..sha256.len().min(12)])),
        status,
        suspension: since.map(|since| Suspension { since, reason: reason.unwrap_or_default() }),
        deletion_due,
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
        "INSERT INTO organizations (id, name, name_key, slug, tier, contact_email, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &params![
            id,
            new.name.as_str(),
            names::key(&new.name),
            new.slug.as_str(),
            new.tier.as_str(),
            new.contact_email.clone(),
            now
        ],
    )
    .map_err(|cause| match cause {
        DbError::Unique(name) if name == "uq_organizations_slug" => {
            let message = format!("The slug {} belongs to another organisation.", new.slug);
            Error::conflict("slug_taken", message).field("slug")
        }
        other => other.into(),
    })?;
    by_id(tx, OrgId(id))
}

/// An organisation, whoever asks.
///
/// # Errors
/// `not_found`.
pub fn by_id(tx: &mut Tx<'_>, id: OrgId) -> Result<Organization> {
    tx.query_row(&format!("{ORGANIZATION} WHERE id = $1"), &params![id.0], read)?
        .ok_or_else(|| Error::not_found("such organization"))
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
    covered(tx, permit, id)
}

/// [`by_id`] for those who may do `A` to it.
///
/// # Errors
/// `not_found` when absent or not covered.
pub fn covered<A: Action>(tx: &mut Tx<'_>, permit: &Permit<A>, id: OrgId) -> Result<Organization> {
    permit.require(id, "such organization")?;
    by_id(tx, id)
}

/// Sets since when and why it is suspended; None: it is not.
///
/// # Errors
/// When the database fails.
pub fn suspend(tx: &mut Tx<'_>, _: &Permit<OrganizationSuspend>, id: OrgId, since: Option<(Time, &str)>) -> Result<()> {
    tx.execute(
        "UPDATE organizations SET suspended_at = $2, suspended_reason = $3 WHERE id = $1",
        &params![id.0, since.map(|(at, _)| at), since.map(|(_, reason)| reason)],
    )?;
    Ok(())
}

/// Sets when it is to be deleted and the job that will; None: it is not.
///
/// # Errors
/// When the database fails.
pub fn set_deletion(tx: &mut Tx<'_>, id: OrgId, due: Option<(Time, i64)>) -> Result<()> {
    tx.execute(
        "UPDATE organizations SET deletion_due = $2, deletion_job = $3 WHERE id = $1",
        &params![id.0, due.map(|(at, _)| at), due.map(|(_, job)| job)],
    )?;
    Ok(())
}

/// The job that will delete it; None once it has begun to.
///
/// # Errors
/// When the database fails.
pub fn deletion_job(tx: &mut Tx<'_>, id: OrgId) -> Result<Option<i64>> {
    let sql = "SELECT deletion_job FROM organizations WHERE id = $1 AND purging_at IS NULL";
    Ok(tx.query_row(sql, &params![id.0], |row| row.get::<Option<i64>>(0))?.flatten())
}

/// When it is to be deleted, by this job and no other.
///
/// # Errors
/// When the database fails.
pub fn due(tx: &mut Tx<'_>, id: OrgId, job: i64) -> Result<Option<Time>> {
    let sql = "SELECT deletion_due FROM organizations WHERE id = $1 AND deletion_job = $2";
    Ok(tx.query_row(sql, &params![id.0, job], |row| row.get::<Option<Time>>(0))?.flatten())
}

/// Names the job that comes next.
///
/// # Errors
/// When the database fails.
pub fn next_tick(tx: &mut Tx<'_>, id: OrgId, job: i64) -> Result<()> {
    tx.execute("UPDATE organizations SET deletion_job = $2 WHERE id = $1", &params![id.0, job])?;
    Ok(())
}

/// From here on nothing is restored.
///
/// # Errors
/// When the database fails.
pub fn begin_purge(tx: &mut Tx<'_>, id: OrgId, now: Time) -> Result<()> {
    let sql = "UPDATE organizations SET purging_at = COALESCE(purging_at, $2) WHERE id = $1";
    tx.execute(sql, &params![id.0, now])?;
    Ok(())
}

/// Deletes at most `projects` projects with all that is in them, a thousand records of use and 30 days of its sums; false
/// when none are left.
///
/// # Errors
/// When the database fails.
pub fn purge_some(tx: &mut Tx<'_>, id: OrgId, projects: i64) -> Result<bool> {
    let some = "SELECT id FROM projects WHERE organization_id = $1 ORDER BY id LIMIT $2";
    let deleted = tx.execute(&format!("DELETE FROM projects WHERE id IN ({some})"), &params![id.0, projects])?;
    let some = "SELECT id FROM usage_records WHERE organization_id = $1 ORDER BY id LIMIT 1000";
    let used = tx.execute(&format!("DELETE FROM usage_records WHERE id IN ({some})"), &params![id.0])?;
    let days = "SELECT DISTINCT day FROM usage_daily WHERE organization_id = $1 ORDER BY day LIMIT 30";
    let sql = format!("DELETE FROM usage_daily WHERE organization_id = $1 AND day IN ({days})");
    let days = tx.execute(&sql, &params![id.0])?;
    Ok(deleted + used + days > 0)
}

/// Deletes it; roles, teams, quotas, model servers, invitations and notices go with it.
///
/// # Errors
/// When the database fails.
pub fn purge(tx: &mut Tx<'_>, id: OrgId) -> Result<()> {
    tx.execute("DELETE FROM organizations WHERE id = $1", &params![id.0])?;
    Ok(())
}

/// Writes what may change by hand: name, tier, contact and display name.
///
/// # Errors
/// When the database fails.
pub fn update(tx: &mut Tx<'_>, _: &Permit<OrganizationManage>, org: &Organization) -> Result<()> {
    tx.execute(
        "UPDATE organizations SET name = $2, name_key = $3, tier = $4, contact_email = $5, display_name = $6 \
         WHERE id = $1",
        &params![
            org.id,
            org.name.as_str(),
            names::key(&org.name),
            org.tier.as_str(),
            org.contact_email.clone(),
            org.display_name.clone()
        ],
    )?;
    Ok(())
}

/// The name of an organisation, other than `except`, that has this key.
///
/// # Errors
/// When the database fails.
pub fn alike(tx: &mut Tx<'_>, key: &str, except: Option<OrgId>) -> Result<Option<String>> {
    Ok(tx.query_row(
        "SELECT name FROM organizations WHERE name_key = $1 AND id <> $2 ORDER BY id LIMIT 1",
        &params![key, except.map_or(-1, |org| org.0)],
        |row| row.get(0),
    )?)
}

/// Fills in how names compare where an earlier version wrote them; how many, at most 500 a call.
///
/// # Errors
/// When the database fails.
pub fn key_names(tx: &mut Tx<'_>) -> Result<usize> {
    let without: Vec<(i64, String)> = tx.query_map(
        "SELECT id, name FROM organizations WHERE name_key IS NULL ORDER BY id LIMIT 500",
        &params![],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (id, name) in &without {
        tx.execute("UPDATE organizations SET name_key = $2 WHERE id = $1", &params![*id, names::key(name)])?;
    }
    Ok(without.len())
}

/// # Errors
/// When the database fails.
pub fn list(
    tx: &mut Tx<'_>,
    permit: &Permit<OrganizationRead>,
    filter: &OrganizationFilter,
    page: Page,
) -> Result<Vec<Organization>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let mut rules = vec![permit.sql("id", &mut params)];
    match filter.status {
        Some(OrgStatus::Active) => rules.push("suspended_at IS NULL AND deletion_due IS NULL".to_owned()),
        Some(OrgStatus::Suspended) => rules.push("suspended_at IS NOT NULL AND deletion_due IS NULL".to_owned()),
        Some(OrgStatus::Deleting) => rules.push("deletion_due IS NOT NULL".to_owned()),
        None => {}
    }
    if let Some(tier) = &filter.tier {
        params.push(Val::from(tier));
        rules.push(format!("tier = ${}", params.len()));
    }
    if let Some(text) = &filter.q {
        params.extend([Val::within(&names::key(text)), Val::within(&text.to_lowercase())]);
        let at = params.len();
        rules.push(format!("(name_key LIKE ${} ESCAPE '!' OR slug LIKE ${at} ESCAPE '!')", at - 1));
    }
    let sql = format!("{ORGANIZATION} WHERE id < $1 AND {} ORDER BY id DESC LIMIT $2", rules.join(" AND "));
    Ok(tx.query_map(&sql, &params, read)?)
}

/// How many organisations there are.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>) -> Result<i64> {
    Ok(tx.query_row("SELECT COUNT(*) FROM organizations", &params![], |row| row.get(0))?.unwrap_or(0))
}

/// The organisations the grants reach, also those that are suspended, at most 100; over the site, the newest.
///
/// # Errors
/// When the database fails.
pub fn reached_by(tx: &mut Tx<'_>, grants: &Grants) -> Result<Vec<Organization>> {
    let mut params: Vec<Val> = Vec::new();
    let reach = if grants.site.has(Permission::OrganizationRead) {
        "TRUE".to_owned()
    } else {
        let open = grants.orgs.iter().map(|(org, _)| org.0);
        params.extend(open.chain(grants.closed.iter().filter_map(|closed| closed.org).map(|org| org.0)).map(Val::I64));
        if params.is_empty() {
            return Ok(Vec::new());
        }
        let places: Vec<String> = (1..=params.len()).map(|at| format!("${at}")).collect();
        format!("id IN ({})", places.join(", "))
    };
    let sql = format!("{ORGANIZATION} WHERE {reach} ORDER BY id DESC LIMIT 100");
    Ok(tx.query_map(&sql, &params, read)?)
}

/// Why nobody works in an organisation that is suspended or to be deleted; None: somebody does.
///
/// # Errors
/// When the database fails.
pub fn why_closed(tx: &mut Tx<'_>, id: OrgId) -> Result<Option<String>> {
    let sql = format!("{ORGANIZATION} WHERE id = $1 AND (suspended_at IS NOT NULL OR deletion_due IS NOT NULL)");
    Ok(tx.query_row(&sql, &params![id.0], read)?.and_then(|org| super::closed(&org)))
}

/// # Errors
/// When the database fails.
pub fn id_of_slug(tx: &mut Tx<'_>, slug: &str) -> Result<Option<OrgId>> {
    Ok(tx.query_row("SELECT id FROM organizations WHERE slug = $1", &params![slug], |row| row.get(0).map(OrgId))?)
}

/// The organisations a person holds roles in that ask for more than a password, with their names and settings.
///
/// # Errors
/// When the database fails.
pub fn asking(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<(OrgId, String, settings::Settings)>> {
    let found: Vec<(OrgId, String)> = tx.query_map(
        "SELECT DISTINCT o.id, o.name FROM role_grants g JOIN organizations o ON o.id = g.organization_id \
         WHERE g.user_id = $1 AND (o.settings LIKE '%require_second_factor%' OR o.settings LIKE '%require_sso%')",
        &params![user.0],
        |row| Ok((OrgId(row.get(0)?), row.get(1)?)),
    )?;
    found.into_iter().map(|(org, name)| Ok((org, name, settings::of(tx, org)?))).collect()
}

/// The settings as they are stored; None when there is no such organisation.
///
/// # Errors
/// When the database fails.
pub fn settings(tx: &mut Tx<'_>, id: OrgId) -> Result<Option<Map<String, Value>>> {
    let stored: Option<String> =
        tx.query_row("SELECT settings FROM organizations WHERE id = $1", &params![id.0], |row| row.get(0))?;
    stored.map(|text| serde_json::from_str(&text).map_err(Error::internal)).transpose()
}

/// # Errors
/// When the database fails.
pub fn set_settings(
    tx: &mut Tx<'_>,
    _: &Permit<OrganizationManage>,
    id: OrgId,
    settings: &Map<String, Value>,
) -> Result<()> {
    let text = serde_json::to_string(settings).map_err(Error::internal)?;
    tx.execute("UPDATE organizations SET settings = $2 WHERE id = $1", &params![id.0, text])?;
    Ok(())
}

/// A logo as it is stored.
#[derive(Debug, Clone)]
pub struct Logo {
    pub media_type: String,
    /// Of the bytes, in hexadecimal.
    pub sha256: String,
    pub bytes: Vec<u8>,
}

/// # Errors
/// `not_found` when the organisation is not covered, absent, or has none.
pub fn logo(tx: &mut Tx<'_>, permit: &Permit<OrganizationRead>, id: OrgId) -> Result<Logo> {
    permit.require(id, "such logo")?;
    let sql = "SELECT media_type, sha256, bytes FROM organization_logos WHERE organization_id = $1";
    tx.query_row(sql, &params![id.0], |row| {
        Ok(Logo { media_type: row.get(0)?, sha256: row.get(1)?, bytes: row.get(2)? })
    })?
    .ok_or_else(|| Error::not_found("such logo"))
}

/// # Errors
/// When the database fails.
pub fn set_logo(tx: &mut Tx<'_>, _: &Permit<OrganizationManage>, id: OrgId, logo: &Logo) -> Result<()> {
    tx.execute(
        "INSERT INTO organization_logos (organization_id, media_type, sha256, bytes) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (organization_id) DO UPDATE SET media_type = $2, sha256 = $3, bytes = $4",
        &params![id.0, logo.media_type.as_str(), logo.sha256.as_str(), logo.bytes.as_slice()],
    )?;
    Ok(())
}

/// Whether there was one.
///
/// # Errors
/// When the database fails.
pub fn remove_logo(tx: &mut Tx<'_>, _: &Permit<OrganizationManage>, id: OrgId) -> Result<bool> {
    Ok(tx.execute("DELETE FROM organization_logos WHERE organization_id = $1", &params![id.0])? > 0)
}
