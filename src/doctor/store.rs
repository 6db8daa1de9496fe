//! All SQL of what is looked at across rooms: counts, and addresses of servers. Contents are never read.
//!
//! Invariant: nothing here writes.

use crate::base::error::Result;
use crate::db::{Tx, params};

/// The most rows of any list.
const MOST: i64 = 1000;

/// Jobs that wait or run, and those that failed at every attempt, by kind.
pub fn jobs(tx: &mut Tx<'_>) -> Result<Vec<(String, i64, i64)>> {
    let sql = "SELECT kind, COUNT(*) FILTER (WHERE dead_at IS NULL), COUNT(*) FILTER (WHERE dead_at IS NOT NULL) FROM jobs \
               GROUP BY kind ORDER BY kind LIMIT $1";
    Ok(tx.query_map(sql, &params![MOST], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// Plugins: slug, status and whether something is known to be wrong.
pub fn plugins(tx: &mut Tx<'_>) -> Result<Vec<(String, String, bool)>> {
    let sql = "SELECT slug, status, error IS NOT NULL OR site_error IS NOT NULL FROM plugins ORDER BY slug LIMIT $1";
    Ok(tx.query_map(sql, &params![MOST], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}

/// Model servers in the database: name, address, and whether it is an organisation's own.
pub fn model_servers(tx: &mut Tx<'_>) -> Result<Vec<(String, String, bool)>> {
    let sql = "SELECT name, base_url, organization_id IS NOT NULL FROM llm_providers ORDER BY id LIMIT $1";
    Ok(tx.query_map(sql, &params![MOST], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?)
}
