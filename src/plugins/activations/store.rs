//! All SQL of what organisations made of plugins.
//!
//! Invariant: every change is audited in its own transaction, in the organisation's trail, and gives the row another
//! revision.

use serde_json::{Value, json};

use super::super::capabilities::{Capabilities, Decision};
use super::super::settings::{Vault, masked};
use super::super::store;
use super::{Activation, Activations};
use crate::access::actions::PluginEnable;
use crate::access::{Caller, OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, params};
use crate::notices::{self, NewNotice};
use crate::orgs;

const COLUMNS: &str = "plugin_id, organization_id, enabled, error, granted, config_sealed, updated_at, revision";

fn place(plugin: i64, org: OrgId) -> String {
    format!("plugin_activations.config.{plugin}.{}", org.0)
}

fn read(row: &Row<'_>, vault: &Vault) -> Result<((i64, OrgId), Activation), DbError> {
    let (plugin, org): (i64, OrgId) = (row.get(0)?, OrgId(row.get(1)?));
    let granted: String = row.get(4)?;
    let decision = serde_json::from_str(&granted)
        .map_err(|cause| DbError::Other(format!("plugin_activations.granted cannot be read: {cause}")))?;
    let sealed: Option<Vec<u8>> = row.get(5)?;
    let config = sealed.map(|sealed| vault.open(&place(plugin, org), &sealed)).transpose().unwrap_or_else(|error| {
        // The others work on; this one says what it lacks.
        tracing::error!(plugin, organization = org.0, "{error}");
        None
    });
    let activation = Activation {
        enabled: row.get(2)?,
        error: row.get(3)?,
        decision,
        config: config.unwrap_or_default(),
        updated_at: row.get(6)?,
        revision: row.get(7)?,
    };
    Ok(((plugin, org), activation))
}

/// Everything there is.
///
/// # Errors
/// When the database fails.
pub fn all(tx: &mut Tx<'_>, vault: &Vault) -> Result<Activations> {
    let sql = format!("SELECT {COLUMNS} FROM plugin_activations");
    Ok(Activations::new(tx.query_map(&sql, &[], |row| read(row, vault))?))
}

/// Whose activation of what a change is about.
pub struct Subject<'a> {
    pub plugin: i64,
    pub slug: &'a str,
    pub org: OrgId,
    /// JSON Schema of the configuration, which says what is secret.
    pub schema: Option<&'a Value>,
}

impl Subject<'_> {
    fn shown(&self, activation: &Activation) -> Value {
        json!({"slug": self.slug, "enabled": activation.enabled, "error": activation.error,
            "granted": activation.decision.granted, "config": masked(&activation.config, self.schema)})
    }

    /// # Errors
    /// `changed_meanwhile` when it is not as `before` says any more.
    fn check_unchanged(&self, tx: &mut Tx<'_>, before: Option<&Activation>) -> Result<()> {
        let sql = "SELECT revision FROM plugin_activations WHERE plugin_id = $1 AND organization_id = $2";
        let now = tx.query_row(sql, &params![self.plugin, self.org.0], |row| row.get::<i64>(0))?;
        if now == before.map(|before| before.revision) {
            return Ok(());
        }
        let sentence =
            format!("Somebody else changed {} in this organisation meanwhile. Look again, then repeat.", self.slug);
        Err(Error::conflict("changed_meanwhile", sentence))
    }
}

/// Puts down what an organisation makes of a plugin. `verb` begins the entry's words.
///
/// # Errors
/// `not_found` when the organisation is gone; `changed_meanwhile`.
pub fn put(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginEnable>,
    vault: &Vault,
    subject: &Subject<'_>,
    verb: &str,
    (before, after): (Option<&Activation>, &Activation),
) -> Result<()> {
    orgs::store::covered(tx, permit, subject.org)?;
    subject.check_unchanged(tx, before)?;
    let (Subject { plugin, slug, org, .. }, now) = (subject, after.updated_at);
    let granted = serde_json::to_string(&after.decision).map_err(Error::internal)?;
    let sealed = vault.seal(&place(*plugin, *org), &after.config)?;
    let revision = tx.next_id()?;
    tx.execute(
        "INSERT INTO plugin_activations (plugin_id, organization_id, enabled, error, granted, config_sealed, updated_at, \
         revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (plugin_id, organization_id) DO UPDATE SET \
         enabled = excluded.enabled, error = excluded.error, granted = excluded.granted, \
         config_sealed = excluded.config_sealed, updated_at = excluded.updated_at, revision = excluded.revision",
        &params![*plugin, org.0, after.enabled, after.error.clone(), granted, sealed, now, revision],
    )?;
    if after.enabled && before.is_none_or(|before| !before.enabled) {
        store::count_install(tx, now, slug)?;
    }
    let words = format!("{verb} plugin {slug} in the organisation");
    let event = Event::new(AuditAction::Update, "plugin", words).id(plugin).org(*org).after(&subject.shown(after));
    let event = before.map_or_else(|| event.clone(), |before| event.clone().before(&subject.shown(before)));
    audit::record(tx, now, permit.caller(), &event)
}

/// Forgets what an organisation made of a plugin.
///
/// # Errors
/// `not_found` when the organisation is gone; `changed_meanwhile`.
pub fn remove(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginEnable>,
    now: Time,
    subject: &Subject<'_>,
    before: &Activation,
) -> Result<()> {
    orgs::store::covered(tx, permit, subject.org)?;
    subject.check_unchanged(tx, Some(before))?;
    tx.execute(
        "DELETE FROM plugin_activations WHERE plugin_id = $1 AND organization_id = $2",
        &params![subject.plugin, subject.org.0],
    )?;
    let words = format!("Removed plugin {} from the organisation", subject.slug);
    let event = Event::new(AuditAction::Delete, "plugin", words).id(subject.plugin).org(subject.org);
    audit::record(tx, now, permit.caller(), &event.before(&subject.shown(before)))
}

/// Tells the administrators of organisations in which a plugin works that its new version asks for more than they
/// decided about.
///
/// # Errors
/// When the database fails.
pub fn tell_what_is_asked(tx: &mut Tx<'_>, now: Time, (plugin, slug): (i64, &str), asked: &Capabilities) -> Result<()> {
    let sql = "SELECT organization_id, granted FROM plugin_activations WHERE plugin_id = $1 AND enabled";
    let rows = tx.query_map(sql, &params![plugin], |row| Ok((OrgId(row.get(0)?), row.get::<String>(1)?)))?;
    for (org, granted) in rows {
        let decision: Decision = serde_json::from_str(&granted).map_err(Error::internal)?;
        let asks = decision.asks(asked);
        if asks.is_empty() {
            continue;
        }
        let text = format!(
            "The new version of the plugin {slug} asks for more: {}. Until you grant it, it works on with what it has.",
            asks.join("; ")
        );
        let notice = NewNotice::new("plugin_asks", text).org(org).link(link(org));
        notices::to_admins(tx, now, org, &notice)?;
    }
    Ok(())
}

fn link(org: OrgId) -> String {
    format!("/organizations/{}/plugins", org.0)
}

/// Something else after every change: how many rows there are, and the newest revision.
///
/// # Errors
/// When the database fails.
pub fn stamp(tx: &mut Tx<'_>) -> Result<(i64, i64)> {
    let sql = "SELECT count(*), COALESCE(MAX(revision), 0) FROM plugin_activations";
    Ok(tx.query_row(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.unwrap_or_default())
}

/// Turns a plugin off in an organisation because it failed too often there, and tells its administrators.
///
/// # Errors
/// When the database fails, also because the organisation is gone.
pub fn give_up(tx: &mut Tx<'_>, now: Time, (plugin, slug): (i64, &str), org: OrgId, sentence: &str) -> Result<()> {
    let revision = tx.next_id()?;
    tx.execute(
        "INSERT INTO plugin_activations (plugin_id, organization_id, enabled, error, granted, updated_at, revision) \
         VALUES ($1, $2, TRUE, $3, '{}', $4, $5) ON CONFLICT (plugin_id, organization_id) \
         DO UPDATE SET error = excluded.error, updated_at = excluded.updated_at, revision = excluded.revision",
        &params![plugin, org.0, sentence, now, revision],
    )?;
    let words = format!("Turned off, after too many failures, plugin {slug} in the organisation");
    let event = Event::new(AuditAction::Update, "plugin", words).id(plugin).org(org);
    audit::record(tx, now, &Caller::system(), &event.after(&json!({"slug": slug, "error": sentence})))?;
    let text = format!("The plugin {slug} failed several times in a row and was turned off in your organisation.");
    let notice = NewNotice::new("plugin_failed", text).org(org);
    notices::to_admins(tx, now, org, &notice.link(link(org)))?;
    Ok(())
}

/// A new start wherever a plugin failed too often.
///
/// # Errors
/// When the database fails.
pub fn forgive(tx: &mut Tx<'_>, now: Time, plugin: i64) -> Result<()> {
    let revision = tx.next_id()?;
    tx.execute(
        "UPDATE plugin_activations SET error = NULL, updated_at = $2, revision = $3 \
         WHERE plugin_id = $1 AND error IS NOT NULL",
        &params![plugin, now, revision],
    )?;
    Ok(())
}
