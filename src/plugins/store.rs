//! All SQL of plugins.
//!
//! Invariant: what an administrator does is audited in the same transaction; counts are not actions and are not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::counts::Counted;
use super::live::Learned;
use super::settings::{Settings, Vault, masked};
use super::{MAX_PLUGINS, PluginStatus};
use crate::access::actions::{PluginInstall, PluginManage};
use crate::access::{Action, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, params};

const COLUMNS: &str = "id, slug, config, status, error, learned, calls, failures, installed_at, \
    everywhere, site_error, config_sealed, revision";

/// A plugin as it is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    pub id: i64,
    pub slug: String,
    pub config: Settings,
    /// What the administrator, or too many failures, made of it.
    pub status: PluginStatus,
    pub error: Option<String>,
    /// None until it was loaded once.
    pub learned: Option<Learned>,
    pub calls: i64,
    pub failures: i64,
    pub installed_at: Time,
    /// Whether it works in organisations that said nothing about it.
    pub everywhere: bool,
    /// Why it is not asked about what belongs to no organisation.
    pub site_error: Option<String>,
    /// Another one after every change.
    pub revision: i64,
}

/// What is written when a plugin is installed, newly or again.
#[derive(Debug, Clone)]
pub struct Installed {
    pub slug: String,
    pub version: String,
    pub config: Settings,
    pub everywhere: bool,
    /// None for what was found at start and not yet loaded.
    pub learned: Option<Learned>,
    /// Why it is taken although a scan says no.
    pub despite: Option<String>,
}

/// Every plugin, by slug.
pub fn list(tx: &mut Tx<'_>, vault: &Vault) -> Result<Vec<Kept>> {
    let sql = format!("SELECT {COLUMNS} FROM plugins ORDER BY slug LIMIT $1");
    Ok(tx.query_map(&sql, &params![i64::try_from(MAX_PLUGINS).unwrap_or(i64::MAX)], |row| read(row, vault))?)
}

/// # Errors
/// `not_found`.
pub fn by_slug(tx: &mut Tx<'_>, vault: &Vault, slug: &str) -> Result<Kept> {
    let sql = format!("SELECT {COLUMNS} FROM plugins WHERE slug = $1");
    tx.query_row(&sql, &params![slug], |row| read(row, vault))?.ok_or_else(|| Error::not_found("plugin"))
}

/// The slug behind an id.
///
/// # Errors
/// `not_found`.
pub fn slug_of(tx: &mut Tx<'_>, id: i64) -> Result<String> {
    let found = tx.query_row("SELECT slug FROM plugins WHERE id = $1", &params![id], |row| row.get(0))?;
    found.ok_or_else(|| Error::not_found("plugin").field("plugin_id"))
}

/// Adds a plugin or takes a new version, configuration and good name of one that is there; active afterwards.
///
/// # Errors
/// `too_many_plugins`.
pub fn install(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    vault: &Vault,
    new: &Installed,
) -> Result<Kept> {
    permit.require_site()?;
    let there = tx.query_row("SELECT id FROM plugins WHERE slug = $1", &params![&new.slug], |row| row.get::<i64>(0))?;
    let learned = new.learned.as_ref().map(json_of).transpose()?;
    match there {
        Some(id) => tx.execute(
            "UPDATE plugins SET config = '{}', config_sealed = $2, status = 'active', error = NULL, site_error = NULL, \
             learned = $3, everywhere = $4 WHERE id = $1",
            &params![id, vault.seal(&place(id), &new.config)?, learned, new.everywhere],
        )?,
        None => {
            let count: Option<i64> = tx.query_row("SELECT count(*) FROM plugins", &[], |row| row.get(0))?;
            if usize::try_from(count.unwrap_or_default()).is_ok_and(|count| count >= MAX_PLUGINS) {
                let sentence = format!("There are {MAX_PLUGINS} plugins already. Uninstall one that is not needed.");
                return Err(Error::conflict("too_many_plugins", sentence));
            }
            let id = tx.next_id()?;
            tx.execute(
                "INSERT INTO plugins (id, slug, config, config_sealed, status, error, learned, calls, failures, \
                 installed_at, everywhere) VALUES ($1, $2, '{}', $3, 'active', NULL, $4, 0, 0, $5, $6)",
                &params![id, &new.slug, vault.seal(&place(id), &new.config)?, learned, now, new.everywhere],
            )?;
            count_install(tx, now, &new.slug)?
        }
    };
    revise(tx, &new.slug)?;
    let kept = by_slug(tx, vault, &new.slug)?;
    let (action, verb) =
        if there.is_some() { (AuditAction::Update, "Installed anew") } else { (AuditAction::Create, "Installed") };
    let despite =
        new.despite.as_ref().map(|why| format!(", although a scan says no, because: {why}")).unwrap_or_default();
    let event = Event::new(action, "plugin", format!("{verb} plugin {} {}{despite}", new.slug, new.version));
    let mut after = shown(&kept);
    if let Some(why) = &new.despite {
        after["findings_allowed_because"] = why.as_str().into();
    }
    audit::record(tx, now, permit.caller(), &event.id(kept.id).after(&after))?;
    Ok(kept)
}

/// Counts that a plugin was put into the site, or switched on by an organisation.
///
/// # Errors
/// When the database fails.
pub(super) fn count_install(tx: &mut Tx<'_>, now: Time, slug: &str) -> Result<u64, DbError> {
    let id = tx.next_id()?;
    let sql = "INSERT INTO plugin_installs (id, slug, installed_at) VALUES ($1, $2, $3)";
    tx.execute(sql, &params![id, slug, now])
}

/// Seals what an earlier version kept in the clear.
///
/// # Errors
/// When the database fails.
pub fn seal_all(tx: &mut Tx<'_>, vault: &Vault) -> Result<()> {
    let sql = "SELECT id, config FROM plugins WHERE config_sealed IS NULL";
    let plain = tx.query_map(sql, &[], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
    for (id, text) in plain {
        let sealed = vault.seal(&place(id), &parse("config", &text)?)?;
        tx.execute("UPDATE plugins SET config = '{}', config_sealed = $2 WHERE id = $1", &params![id, sealed])?;
    }
    Ok(())
}

/// Takes another configuration.
///
/// # Errors
/// `not_found`.
pub fn configure(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginManage>,
    now: Time,
    vault: &Vault,
    slug: &str,
    (config, learned): (&Settings, &Learned),
) -> Result<Kept> {
    let before = by_slug(tx, vault, slug)?;
    let values = params![before.id, vault.seal(&place(before.id), config)?, json_of(learned)?];
    tx.execute("UPDATE plugins SET config = '{}', config_sealed = $2, learned = $3 WHERE id = $1", &values)?;
    told(tx, permit, now, vault, &before, "Configured")
}

/// Says whether a plugin works in organisations that said nothing about it.
///
/// # Errors
/// `not_found`.
pub fn set_everywhere(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginManage>,
    now: Time,
    vault: &Vault,
    slug: &str,
    everywhere: bool,
) -> Result<Kept> {
    let before = by_slug(tx, vault, slug)?;
    tx.execute("UPDATE plugins SET everywhere = $2 WHERE id = $1", &params![before.id, everywhere])?;
    told(tx, permit, now, vault, &before, if everywhere { "Turned on everywhere" } else { "Left to organisations" })
}

/// Turns a plugin on or off, by an administrator's will or after too many failures. What it learned stays unless known
/// better.
///
/// # Errors
/// `not_found`.
pub fn set_status(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginManage>,
    now: Time,
    vault: &Vault,
    slug: &str,
    (status, error): (PluginStatus, Option<&str>),
    learned: Option<&Learned>,
) -> Result<Kept> {
    let before = by_slug(tx, vault, slug)?;
    let learned = learned.or(before.learned.as_ref()).map(json_of).transpose()?;
    tx.execute(
        "UPDATE plugins SET status = $2, error = $3, site_error = NULL, learned = $4 WHERE id = $1",
        &params![before.id, status.code(), error, learned],
    )?;
    let verb = match status {
        PluginStatus::Active => "Enabled",
        PluginStatus::Disabled => "Disabled",
        PluginStatus::Failed => "Turned off, after too many failures,",
    };
    told(tx, permit, now, vault, &before, verb)
}

/// Keeps a plugin from being asked about what belongs to no organisation, after too many failures at that.
///
/// # Errors
/// `not_found`.
pub fn set_site_error(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginManage>,
    now: Time,
    vault: &Vault,
    slug: &str,
    error: &str,
) -> Result<Kept> {
    let before = by_slug(tx, vault, slug)?;
    tx.execute("UPDATE plugins SET site_error = $2 WHERE id = $1", &params![before.id, error])?;
    told(tx, permit, now, vault, &before, "Turned off, after too many failures outside of organisations,")
}

/// Forgets a plugin.
///
/// # Errors
/// `not_found`.
pub fn uninstall(tx: &mut Tx<'_>, permit: &Permit<PluginManage>, now: Time, vault: &Vault, slug: &str) -> Result<()> {
    let before = by_slug(tx, vault, slug)?;
    permit.require_site()?;
    tx.execute("DELETE FROM plugins WHERE id = $1", &params![before.id])?;
    let event = Event::new(AuditAction::Delete, "plugin", format!("Uninstalled plugin {slug}")).id(before.id);
    audit::record(tx, now, permit.caller(), &event.before(&shown(&before)))
}

/// Adds what was counted since the last time; why a plugin was turned off stays.
///
/// # Errors
/// When the database fails.
pub fn count(tx: &mut Tx<'_>, id: i64, counted: &Counted) -> Result<()> {
    tx.execute(
        "UPDATE plugins SET calls = calls + $2, failures = failures + $3, \
         error = CASE WHEN status = 'failed' THEN error ELSE COALESCE($4, error) END WHERE id = $1",
        &params![id, counted.calls, counted.failures, counted.error.clone()],
    )?;
    Ok(())
}

/// Keeps what a plugin said about itself when it was loaded at start.
///
/// # Errors
/// When the database fails.
pub fn learn(tx: &mut Tx<'_>, id: i64, learned: &Learned) -> Result<()> {
    tx.execute("UPDATE plugins SET learned = $2 WHERE id = $1", &params![id, json_of(learned)?])?;
    Ok(())
}

/// The id and the revision of every plugin, by slug.
///
/// # Errors
/// When the database fails.
pub fn revisions(tx: &mut Tx<'_>) -> Result<BTreeMap<String, (i64, i64)>> {
    let sql = "SELECT slug, id, revision FROM plugins";
    Ok(tx.query_map(sql, &[], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?.into_iter().collect())
}

fn revise(tx: &mut Tx<'_>, slug: &str) -> Result<(), DbError> {
    let revision = tx.next_id()?;
    tx.execute("UPDATE plugins SET revision = $2 WHERE slug = $1", &params![slug, revision])?;
    Ok(())
}

fn told<A: Action>(
    tx: &mut Tx<'_>,
    permit: &Permit<A>,
    now: Time,
    vault: &Vault,
    before: &Kept,
    verb: &str,
) -> Result<Kept> {
    permit.require_site()?;
    revise(tx, &before.slug)?;
    let after = by_slug(tx, vault, &before.slug)?;
    let event = Event::new(AuditAction::Update, "plugin", format!("{verb} plugin {}", after.slug)).id(after.id);
    audit::record(tx, now, permit.caller(), &event.before(&shown(before)).after(&shown(&after)))?;
    Ok(after)
}

/// For the trail.
fn shown(kept: &Kept) -> Value {
    let schema = kept.learned.as_ref().and_then(|learned| learned.config_schema.as_ref());
    json!({"slug": kept.slug, "status": kept.status, "error": kept.error, "site_error": kept.site_error,
        "everywhere": kept.everywhere, "config": masked(&kept.config, schema)})
}

/// Where a configuration is sealed for.
fn place(id: i64) -> String {
    format!("plugins.config.{id}")
}

fn json_of(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

fn parse<T: serde::de::DeserializeOwned>(column: &str, text: &str) -> Result<T, DbError> {
    serde_json::from_str(text).map_err(|cause| DbError::Other(format!("plugins.{column} cannot be read: {cause}")))
}

fn read(row: &Row<'_>, vault: &Vault) -> Result<Kept, DbError> {
    let (id, sealed): (i64, Option<Vec<u8>>) = (row.get(0)?, row.get(11)?);
    let config = match sealed.map(|sealed| vault.open(&place(id), &sealed)) {
        None => parse("config", &row.get::<String>(2)?)?,
        Some(Ok(config)) => config,
        // The others work on; this one says what it lacks.
        Some(Err(error)) => {
            tracing::error!(plugin = id, "{error}");
            Settings::new()
        }
    };
    let (status, learned): (String, Option<String>) = (row.get(3)?, row.get(5)?);
    Ok(Kept {
        id,
        slug: row.get(1)?,
        config,
        status: PluginStatus::from_code(&status)
            .ok_or_else(|| DbError::Other(format!("plugins.status holds `{status}`, which is no status")))?,
        error: row.get(4)?,
        learned: learned.map(|text| parse("learned", &text)).transpose()?,
        calls: row.get(6)?,
        failures: row.get(7)?,
        installed_at: row.get(8)?,
        everywhere: row.get(9)?,
        site_error: row.get(10)?,
        revision: row.get(12)?,
    })
}
