//! All SQL of single sign-on.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::provider::{Attributes, Connection, Provider, ProviderChange};
use super::refused;
use super::routes::{Linkable, OwnLink};
use crate::access::actions::OrganizationManage;
use crate::access::{OrgId, PermissionSet, Permit, UserId};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const PROVIDER: &str = "SELECT id, organization_id, name, slug, enabled, domains, provision, default_role, second_factor, \
    attributes, roles, roles_within, connection, certificate, secret_sealed, created_at, updated_at FROM sso_providers";

/// Whether people sign in with it now: it is enabled, and its organisation is open.
const OPEN: &str = "enabled AND (organization_id IS NULL OR EXISTS (SELECT 1 FROM organizations o \
    WHERE o.id = sso_providers.organization_id AND o.suspended_at IS NULL AND o.deletion_due IS NULL))";

/// A row as it is kept, JSON still as text.
struct Kept {
    provider: Provider,
    domains: String,
    attributes: String,
    roles: String,
    roles_within: String,
    connection: String,
}

fn read(row: &Row<'_>) -> Result<Kept, DbError> {
    let (connection, sealed): (String, Option<Vec<u8>>) = (row.get(12)?, row.get(14)?);
    let provider = Provider {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        name: row.get(2)?,
        slug: row.get(3)?,
        enabled: row.get(4)?,
        domains: Vec::new(),
        provision: row.get(6)?,
        default_role: row.get(7)?,
        second_factor: row.get(8)?,
        attributes: Attributes::default(),
        roles: BTreeMap::new(),
        connection: Connection::Saml { metadata: String::new(), signed: super::Signed::default() },
        has_secret: false,
        certificates: Vec::new(),
        addresses: None,
        created_at: row.get(15)?,
        updated_at: row.get(16)?,
        roles_within: PermissionSet::default(),
        certificate: row.get(13)?,
        sealed,
    };
    let (domains, attributes) = (row.get(5)?, row.get(9)?);
    Ok(Kept { provider, domains, attributes, roles: row.get(10)?, roles_within: row.get(11)?, connection })
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn text<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

impl Kept {
    fn whole(self) -> Result<Provider> {
        let Self { mut provider, domains, attributes, roles, roles_within, connection } = self;
        provider.domains = parsed(&domains)?;
        provider.attributes = parsed(&attributes)?;
        provider.roles = parsed(&roles)?;
        let within: Vec<String> = parsed(&roles_within)?;
        provider.roles_within = PermissionSet::known(within.iter().map(String::as_str));
        provider.connection = parsed(&connection)?;
        provider.has_secret = provider.sealed.is_some() && matches!(provider.connection, Connection::Oidc { .. });
        Ok(provider)
    }
}

/// What is kept besides what was set.
pub struct Extra {
    pub roles_within: PermissionSet,
    pub certificate: Option<String>,
    pub sealed: Option<Vec<u8>>,
}

/// # Errors
/// `slug_taken`.
pub fn insert(
    tx: &mut Tx<'_>,
    _: &Permit<OrganizationManage>,
    (id, slug): (i64, &str),
    org: Option<OrgId>,
    new: &ProviderChange,
    extra: &Extra,
    now: Time,
) -> Result<()> {
    tx.execute(
        "INSERT INTO sso_providers (id, organization_id, name, slug, enabled, domains, provision, default_role, \
         second_factor, attributes, roles, roles_within, connection, certificate, secret_sealed, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $16)",
        &params![
            id,
            org.map(|org| org.0),
            new.name.as_str(),
            slug,
            new.enabled,
            text(&new.domains)?,
            new.provision,
            new.default_role.clone(),
            new.second_factor,
            text(&new.attributes)?,
            text(&new.roles)?,
            text(&extra.roles_within.codes())?,
            text(&new.connection)?,
            extra.certificate.clone(),
            extra.sealed.clone(),
            now
        ],
    )
    .map_err(|cause| match cause {
        DbError::Unique(name) if name == "uq_sso_providers_slug" => {
            let message = format!("There is an identity provider with the slug {slug} already. Choose another.");
            Error::conflict("slug_taken", message).field("slug")
        }
        other => other.into(),
    })?;
    Ok(())
}

/// # Errors
/// When the database fails.
pub fn update(
    tx: &mut Tx<'_>,
    _: &Permit<OrganizationManage>,
    id: i64,
    new: &ProviderChange,
    extra: &Extra,
    now: Time,
) -> Result<()> {
    tx.execute(
        "UPDATE sso_providers SET name = $2, enabled = $3, domains = $4, provision = $5, default_role = $6, \
         second_factor = $7, attributes = $8, roles = $9, roles_within = $10, connection = $11, certificate = $12, \
         secret_sealed = $13, updated_at = $14 WHERE id = $1",
        &params![
            id,
            new.name.as_str(),
            new.enabled,
            text(&new.domains)?,
            new.provision,
            new.default_role.clone(),
            new.second_factor,
            text(&new.attributes)?,
            text(&new.roles)?,
            text(&extra.roles_within.codes())?,
            text(&new.connection)?,
            extra.certificate.clone(),
            extra.sealed.clone(),
            now
        ],
    )?;
    Ok(())
}

/// Deletes a provider with its links; its sessions are the caller's business.
///
/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, _: &Permit<OrganizationManage>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM sso_providers WHERE id = $1", &params![id])?;
    Ok(())
}

/// The providers the permit is over, newest first; the site's own for who administers the site.
///
/// # Errors
/// When the database fails.
pub fn list(
    tx: &mut Tx<'_>,
    permit: &Permit<OrganizationManage>,
    org: Option<OrgId>,
    page: Page,
) -> Result<Vec<Provider>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let scope = permit.sql("organization_id", &mut params);
    let wanted = match org {
        Some(org) => {
            params.push(Val::I64(org.0));
            format!("organization_id = ${}", params.len())
        }
        None => "TRUE".to_owned(),
    };
    let sql = format!("{PROVIDER} WHERE id < $1 AND {scope} AND {wanted} ORDER BY id DESC LIMIT $2");
    tx.query_map(&sql, &params, read)?.into_iter().map(Kept::whole).collect()
}

/// A provider the permit is over.
///
/// # Errors
/// `not_found`.
pub fn managed(tx: &mut Tx<'_>, permit: &Permit<OrganizationManage>, id: i64) -> Result<Provider> {
    let missing = || Error::not_found(format!("identity provider {id}"));
    let found = tx.query_row(&format!("{PROVIDER} WHERE id = $1"), &params![id], read)?.ok_or_else(missing)?.whole()?;
    let over = match found.organization_id {
        Some(org) => permit.covers(OrgId(org)),
        None => permit.require_site().is_ok(),
    };
    if over { Ok(found) } else { Err(missing()) }
}

/// One that people sign in with now: it is enabled, and its organisation is open.
///
/// # Errors
/// When the database fails.
pub fn open(tx: &mut Tx<'_>, slug: &str) -> Result<Option<Provider>> {
    tx.query_row(&format!("{PROVIDER} WHERE slug = $1 AND {OPEN}"), &params![slug], read)?.map(Kept::whole).transpose()
}

/// Enabled providers with ids after `after`, at most `count`, and which end of their certificates was told.
///
/// # Errors
/// When the database fails.
pub fn enabled(tx: &mut Tx<'_>, after: i64, count: i64) -> Result<Vec<(Provider, Option<Time>)>> {
    let sql = PROVIDER.replace(" FROM sso_providers", ", end_told FROM sso_providers")
        + " WHERE id > $1 AND enabled ORDER BY id LIMIT $2";
    let found = tx.query_map(&sql, &params![after, count], |row| Ok((read(row)?, row.get(17)?)))?;
    found.into_iter().map(|(kept, told)| Ok((kept.whole()?, told))).collect()
}

/// Notes that the end of a provider's certificates is told; false when somebody did before.
///
/// # Errors
/// When the database fails.
pub fn note_told(tx: &mut Tx<'_>, id: i64, end: Time) -> Result<bool> {
    let sql = "UPDATE sso_providers SET end_told = $2 WHERE id = $1 AND end_told IS DISTINCT FROM $2";
    Ok(tx.execute(sql, &params![id, end])? == 1)
}

/// What the sign-in page shows: the site's own, those of the organisation with the slug `org`, and those that are for the
/// domain of an address. At most 20 of each kind.
///
/// # Errors
/// When the database fails.
pub fn offered(tx: &mut Tx<'_>, org: Option<&str>, domain: Option<&str>) -> Result<Vec<Provider>> {
    let mut found = tx.query_map(
        &format!("{PROVIDER} WHERE {OPEN} AND organization_id IS NULL ORDER BY id LIMIT 20"),
        &params![],
        read,
    )?;
    if let Some(org) = org {
        let sql = format!(
            "{PROVIDER} WHERE {OPEN} AND organization_id = (SELECT id FROM organizations WHERE slug = $1) ORDER BY id LIMIT 20"
        );
        found.extend(tx.query_map(&sql, &params![org], read)?);
    }
    if let Some(domain) = domain {
        let sql = format!("{PROVIDER} WHERE {OPEN} AND domains LIKE $1 ESCAPE '!' ORDER BY id LIMIT 20");
        let within = Val::within(&format!("\"{domain}\""));
        found.extend(tx.query_map(&sql, &[within], read)?);
    }
    let mut providers: Vec<Provider> = Vec::new();
    for kept in found {
        let provider = kept.whole()?;
        if !providers.iter().any(|known| known.id == provider.id) {
            providers.push(provider);
        }
    }
    Ok(providers)
}

/// Who `subject` is here.
///
/// # Errors
/// When the database fails.
pub fn linked(tx: &mut Tx<'_>, provider: i64, subject: &str) -> Result<Option<UserId>> {
    let sql = "SELECT user_id FROM sso_links WHERE provider_id = $1 AND subject = $2";
    Ok(tx.query_row(sql, &params![provider, subject], |row| row.get(0).map(UserId))?)
}

/// Links an account.
///
/// # Errors
/// `sso_linked` when the account, or the person at the provider, is linked already.
pub fn link(tx: &mut Tx<'_>, provider: i64, subject: &str, user: UserId, now: Time) -> Result<i64> {
    let id = tx.next_id()?;
    let linked = tx.savepoint(|tx| {
        tx.execute(
            "INSERT INTO sso_links (id, provider_id, user_id, subject, created_at) VALUES ($1, $2, $3, $4, $5)",
            &params![id, provider, user.0, subject, now],
        )
    });
    match linked {
        Ok(_) => Ok(id),
        Err(DbError::Unique(_)) => {
            let message = "The account, or the person at the identity provider, is linked already. Unlink it first.";
            Err(Error::conflict("sso_linked", message))
        }
        Err(other) => Err(other.into()),
    }
}

/// Notes that a link was used.
///
/// # Errors
/// When the database fails.
pub fn used(tx: &mut Tx<'_>, provider: i64, user: UserId, now: Time) -> Result<()> {
    let sql = "UPDATE sso_links SET last_used_at = $3 WHERE provider_id = $1 AND user_id = $2";
    tx.execute(sql, &params![provider, user.0, now])?;
    Ok(())
}

const LINK: &str = "SELECT l.id, p.id, p.name, p.slug, l.created_at, l.last_used_at FROM sso_links l \
    JOIN sso_providers p ON p.id = l.provider_id";

fn read_link(row: &Row<'_>) -> Result<OwnLink, DbError> {
    Ok(OwnLink {
        id: row.get(0)?,
        provider_id: row.get(1)?,
        provider: row.get(2)?,
        slug: row.get(3)?,
        created_at: row.get(4)?,
        last_used_at: row.get(5)?,
    })
}

/// A person's links, oldest first; there is one a provider at most.
///
/// # Errors
/// When the database fails.
pub fn links(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<OwnLink>> {
    Ok(tx.query_map(&format!("{LINK} WHERE l.user_id = $1 ORDER BY l.id LIMIT 100"), &params![user.0], read_link)?)
}

/// The open providers of the site and of a person's organisations that they are not linked with, at most 100.
///
/// # Errors
/// When the database fails.
pub fn linkable(tx: &mut Tx<'_>, user: UserId) -> Result<Vec<Linkable>> {
    let sql = format!(
        "SELECT name, slug FROM sso_providers WHERE {OPEN} AND (organization_id IS NULL OR EXISTS (SELECT 1 FROM role_grants g \
         WHERE g.user_id = $1 AND g.organization_id = sso_providers.organization_id)) AND NOT EXISTS (SELECT 1 FROM sso_links l \
         WHERE l.user_id = $1 AND l.provider_id = sso_providers.id) ORDER BY id LIMIT 100"
    );
    Ok(tx.query_map(&sql, &params![user.0], |row| Ok(Linkable { name: row.get(0)?, slug: row.get(1)? }))?)
}

/// Takes a person's link away.
///
/// # Errors
/// `not_found` when it is not theirs.
pub fn unlink(tx: &mut Tx<'_>, user: UserId, id: i64) -> Result<OwnLink> {
    let found = tx.query_row(&format!("{LINK} WHERE l.id = $1 AND l.user_id = $2"), &params![id, user.0], read_link)?;
    let found = found.ok_or_else(|| Error::not_found(format!("link {id}")))?;
    tx.execute("DELETE FROM sso_links WHERE id = $1", &params![id])?;
    Ok(found)
}

/// Remembers what must not come again, for longer than it counts, in case the clock is set back.
///
/// # Errors
/// `sso_refused` when it came before.
pub fn spend(tx: &mut Tx<'_>, hash: &str, expires_at: Time, now: Time) -> Result<()> {
    tx.execute("DELETE FROM sso_spent WHERE expires_at < $1", &params![now.plus(-DAY)])?;
    let sql = "INSERT INTO sso_spent (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING";
    match tx.execute(sql, &params![hash, expires_at])? {
        0 => Err(refused("it was answered before; an answer counts once")),
        _ => Ok(()),
    }
}
