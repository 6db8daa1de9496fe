//! All SQL of what is looked at across rooms: counts, and addresses of servers. Contents are never read.
//!
//! Invariant: nothing here writes.

use crate::base::error::{Error, Result};
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

/// Identity providers that are switched on: name, and how each is reached, as JSON.
pub fn identity_providers(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, connection FROM sso_providers WHERE enabled ORDER BY id LIMIT $1";
    Ok(tx.query_map(sql, &params![MOST], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// Hosts that organisations granted to plugins, each once: the plugin's slug, and the host as it was granted.
pub fn plugin_hosts(tx: &mut Tx<'_>) -> Result<Vec<(String, String)>> {
    let sql = "SELECT p.slug, a.granted FROM plugin_activations a JOIN plugins p ON p.id = a.plugin_id WHERE a.enabled \
               ORDER BY p.slug LIMIT $1";
    let grants: Vec<(String, String)> = tx.query_map(sql, &params![MOST], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut hosts = Vec::new();
    for (slug, granted) in grants {
        let granted: serde_json::Value = serde_json::from_str(&granted).map_err(Error::internal)?;
        let named =
            granted["granted"]["http"]["hosts"].as_array().into_iter().flatten().filter_map(|host| host.as_str());
        hosts.extend(named.map(|host| (slug.clone(), host.to_owned())));
    }
    hosts.sort_unstable();
    hosts.dedup();
    Ok(hosts)
}
