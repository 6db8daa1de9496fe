//! All SQL of collections.
//!
//! Invariant: a collection is seen by who is of its organisation, and every change is audited in its own transaction.

use super::{Collection, Wished};
use crate::access::actions::PluginRead;
use crate::access::{Caller, OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::base::names;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

const COLUMNS: &str = "id, organization_id, name, description, plugins, created_at, updated_at";
/// Collections of an organisation, or of the site, at most.
const MOST: i64 = 500;

fn read(row: &Row<'_>) -> Result<Collection, DbError> {
    let plugins: String = row.get(4)?;
    Ok(Collection {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        name: row.get(2)?,
        description: row.get(3)?,
        plugins: serde_json::from_str(&plugins).map_err(|cause| DbError::Other(format!("collection: {cause}")))?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
    })
}

fn seen(permit: &Permit<PluginRead>, values: &mut Vec<Val>) -> String {
    format!("(organization_id IS NULL OR {})", permit.sql("organization_id", values))
}

/// Those that the permit shows, newest first.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<PluginRead>, part: Option<&str>, page: Page) -> Result<Vec<Collection>> {
    let mut values: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let mut rules = vec![seen(permit, &mut values)];
    if let Some(part) = part {
        values.push(Val::within(&names::key(part)));
        rules.push(format!("name_key LIKE ${} ESCAPE '!'", values.len()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM market_collections WHERE id < $1 AND {} ORDER BY id DESC LIMIT $2",
        rules.join(" AND ")
    );
    Ok(tx.query_map(&sql, &values, read)?)
}

/// # Errors
/// `not_found`, also when it is another organisation's.
pub fn find(tx: &mut Tx<'_>, permit: &Permit<PluginRead>, id: i64) -> Result<Collection> {
    let mut values: Vec<Val> = params![id].to_vec();
    let rule = seen(permit, &mut values);
    let sql = format!("SELECT {COLUMNS} FROM market_collections WHERE id = $1 AND {rule}");
    tx.query_row(&sql, &values, read)?.ok_or_else(|| Error::not_found("such collection"))
}

/// # Errors
/// `name_taken`, `too_many_collections`.
pub fn insert(tx: &mut Tx<'_>, caller: &Caller, now: Time, wished: &Wished) -> Result<i64> {
    let sql = "SELECT COUNT(*) FROM market_collections WHERE organization_id IS NOT DISTINCT FROM $1";
    if tx.query_row(sql, &params![wished.organization_id], |row| row.get(0))?.unwrap_or(0) >= MOST {
        let sentence = format!("There are {MOST} collections, the most there may be. Delete some first.");
        return Err(Error::new(Kind::Limited, "too_many_collections", sentence));
    }
    let id = tx.next_id()?;
    let sql = "INSERT INTO market_collections (id, organization_id, name, name_key, description, plugins, created_at, \
               updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7)";
    let plugins = serde_json::to_string(&wished.plugins).map_err(Error::internal)?;
    let (key, org) = (names::key(&wished.name), wished.organization_id);
    let values = params![id, org, &wished.name, key, &wished.description, plugins, now];
    tx.savepoint(|tx| tx.execute(sql, &values)).map_err(|error| taken(error, &wished.name))?;
    record(tx, caller, now, (id, org), AuditAction::Create, &format!("Made collection {}", wished.name), wished)?;
    Ok(id)
}

/// # Errors
/// `name_taken`.
pub fn update(tx: &mut Tx<'_>, caller: &Caller, now: Time, before: &Collection, wished: &Wished) -> Result<()> {
    let sql = "UPDATE market_collections SET name = $2, name_key = $3, description = $4, plugins = $5, updated_at = $6 \
               WHERE id = $1";
    let plugins = serde_json::to_string(&wished.plugins).map_err(Error::internal)?;
    let values = params![before.id, &wished.name, names::key(&wished.name), &wished.description, plugins, now];
    tx.savepoint(|tx| tx.execute(sql, &values)).map_err(|error| taken(error, &wished.name))?;
    let of = (before.id, before.organization_id);
    record(tx, caller, now, of, AuditAction::Update, &format!("Changed collection {}", wished.name), wished)
}

/// # Errors
/// When the database fails.
pub fn delete(tx: &mut Tx<'_>, caller: &Caller, now: Time, collection: &Collection) -> Result<()> {
    tx.execute("DELETE FROM market_collections WHERE id = $1", &params![collection.id])?;
    let words = format!("Deleted collection {}", collection.name);
    let event = Event::new(AuditAction::Delete, "market_collection", words).id(collection.id).before(collection);
    audit::record(tx, now, caller, &of(event, collection.organization_id))
}

fn of(event: Event, org: Option<i64>) -> Event {
    match org {
        Some(org) => event.org(OrgId(org)),
        None => event,
    }
}

fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    now: Time,
    (id, org): (i64, Option<i64>),
    action: AuditAction,
    words: &str,
    wished: &Wished,
) -> Result<()> {
    let after = serde_json::json!({"name": wished.name, "description": wished.description, "plugins": wished.plugins});
    let event = Event::new(action, "market_collection", words.to_owned()).id(id).after(&after);
    audit::record(tx, now, caller, &of(event, org))
}

fn taken(cause: DbError, name: &str) -> Error {
    match cause {
        DbError::Unique(index) if index.ends_with("name_key") => {
            let sentence =
                format!("There is a collection that is called {name}, or looks like it. Choose another name.");
            Error::conflict("name_taken", sentence).field("name")
        }
        other => other.into(),
    }
}
