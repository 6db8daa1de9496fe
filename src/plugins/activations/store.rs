//! All SQL of what organisations made of plugins.
//!
//! Invariant: every change is audited in its own transaction, in the organisation's trail, and gives the row another
//! revision.

use serde_json::json;

use super::{Activation, Activations};
use crate::access::{Caller, OrgId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::{DbError, Row, Tx, params};
use crate::notices::{self, NewNotice};

const COLUMNS: &str = "enabled, error, revision";

fn read(row: &Row<'_>) -> Result<Activation, DbError> {
    Ok(Activation { enabled: row.get(0)?, error: row.get(1)?, revision: row.get(2)? })
}

/// Everything there is.
///
/// # Errors
/// When the database fails.
pub fn all(tx: &mut Tx<'_>) -> Result<Activations> {
    let sql = format!("SELECT {COLUMNS}, plugin_id, organization_id FROM plugin_activations");
    let rows = tx.query_map(&sql, &[], |row| Ok(((row.get(3)?, OrgId(row.get(4)?)), read(row)?)))?;
    Ok(Activations::new(rows))
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
    notices::to_admins(tx, now, org, &notice.link(format!("/organizations/{}/plugins", org.0)))?;
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
