//! All SQL of model servers.

use crate::access::actions::ModelManage;
use crate::access::{OrgId, Permit};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

/// A row of `llm_providers`.
#[derive(Debug, Clone)]
pub(super) struct ProviderRow {
    pub id: i64,
    pub organization_id: Option<i64>,
    pub name: String,
    pub base_url: String,
    pub api_key_sealed: Option<Vec<u8>>,
    pub models: Vec<String>,
    pub context_length: Option<u32>,
    pub created_at: Time,
    pub updated_at: Time,
}

const PROVIDER: &str = "SELECT id, organization_id, name, base_url, api_key_sealed, models, context_length, created_at, \
                        updated_at FROM llm_providers";

fn read(row: &Row<'_>) -> Result<ProviderRow, DbError> {
    let models: String = row.get(5)?;
    let context: Option<i64> = row.get(6)?;
    Ok(ProviderRow {
        id: row.get(0)?,
        organization_id: row.get(1)?,
        name: row.get(2)?,
        base_url: row.get(3)?,
        api_key_sealed: row.get(4)?,
        models: serde_json::from_str(&models)
            .map_err(|cause| DbError::Other(format!("llm_providers.models: {cause}")))?,
        context_length: context.and_then(|context| u32::try_from(context).ok()),
        created_at: row.get(7)?,
        updated_at: row.get(8)?,
    })
}

/// What keeps names apart: within an organisation, and among the site's own.
const NAMES: [&str; 2] = ["uq_llm_providers_organization_id_name", "uq_llm_providers_name"];

/// How many there can be.
pub(super) const MOST: i64 = 1000;

/// Every row, for the catalogue.
pub(super) fn all(tx: &mut Tx<'_>) -> Result<Vec<ProviderRow>> {
    Ok(tx.query_map(&format!("{PROVIDER} ORDER BY id LIMIT $1"), &params![MOST], read)?)
}

fn count(tx: &mut Tx<'_>) -> Result<i64> {
    Ok(tx.query_row("SELECT COUNT(*) FROM llm_providers", &params![], |row| row.get(0))?.unwrap_or(0))
}

pub(super) fn list(tx: &mut Tx<'_>, permit: &Permit<ModelManage>, page: Page) -> Result<Vec<ProviderRow>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let scope = permit.sql("organization_id", &mut params);
    let sql = format!("{PROVIDER} WHERE id < $1 AND {scope} ORDER BY id DESC LIMIT $2");
    Ok(tx.query_map(&sql, &params, read)?)
}

/// # Errors
/// `not_found` when absent or not covered.
pub(super) fn get(tx: &mut Tx<'_>, permit: &Permit<ModelManage>, id: i64) -> Result<ProviderRow> {
    let absent = || Error::not_found("such model server");
    let row = tx.query_row(&format!("{PROVIDER} WHERE id = $1"), &params![id], read)?.ok_or_else(absent)?;
    match row.organization_id {
        Some(org) => permit.require(OrgId(org), "such model server")?,
        None => permit.require_site().map_err(|_| absent())?,
    }
    Ok(row)
}

/// # Errors
/// `not_found` outside the permit, `name_taken`, `too_many_providers`.
pub(super) fn insert(tx: &mut Tx<'_>, permit: &Permit<ModelManage>, row: &ProviderRow) -> Result<()> {
    match row.organization_id {
        Some(org) => permit.require(OrgId(org), "such organization")?,
        None => permit.require_site()?,
    }
    if count(tx)? >= MOST {
        let sentence = format!("This site has {MOST} model servers, the most there can be. Remove one first.");
        return Err(Error::conflict("too_many_providers", sentence));
    }
    let sql = "INSERT INTO llm_providers (id, organization_id, name, base_url, api_key_sealed, models, context_length, \
               created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    tx.execute(
        sql,
        &params![
            row.id,
            row.organization_id,
            row.name.as_str(),
            row.base_url.as_str(),
            row.api_key_sealed.clone(),
            models(row),
            row.context_length,
            row.created_at,
            row.updated_at
        ],
    )
    .map_err(|cause| taken(cause, row))?;
    Ok(())
}

pub(super) fn delete(tx: &mut Tx<'_>, _: &Permit<ModelManage>, id: i64) -> Result<()> {
    tx.execute("DELETE FROM llm_providers WHERE id = $1", &params![id])?;
    Ok(())
}

fn models(row: &ProviderRow) -> String {
    serde_json::Value::from(row.models.clone()).to_string()
}

fn taken(cause: DbError, row: &ProviderRow) -> Error {
    match cause {
        DbError::Unique(name) if NAMES.contains(&name.as_str()) => {
            let whose = if row.organization_id.is_some() { "organisation" } else { "site" };
            let sentence = format!("Another model server of the {whose} is called {}. Choose another name.", row.name);
            Error::conflict("name_taken", sentence).field("name")
        }
        DbError::ForeignKey(_) => Error::not_found("such organization"),
        other => other.into(),
    }
}
