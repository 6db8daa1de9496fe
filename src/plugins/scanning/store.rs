//! All SQL of scans.
//!
//! Invariant: a plugin has one row at most, of the files it was looked through with last.

use std::collections::BTreeMap;

use super::{PluginScan, Scanned};
use crate::base::error::{Error, Result};
use crate::db::{DbError, Row, Tx, params};
use crate::scan::Verdict;

const SCAN: &str = "SELECT p.slug, s.version, s.package_sha256, s.verdict, s.reason, s.report \
    FROM plugin_scans s JOIN plugins p ON p.id = s.plugin_id";

fn read(row: &Row<'_>) -> Result<PluginScan, DbError> {
    let (verdict, report): (String, String) = (row.get(3)?, row.get(5)?);
    let odd = |what: &str| DbError::Other(format!("plugin_scans.{what} cannot be read"));
    Ok(PluginScan {
        slug: row.get(0)?,
        version: row.get(1)?,
        package_sha256: row.get(2)?,
        verdict: Verdict::from_code(&verdict).ok_or_else(|| odd("verdict"))?,
        reason: row.get(4)?,
        report: serde_json::from_str(&report).map_err(|_| odd("report"))?,
    })
}

/// The last scan of a plugin, if there was one.
pub fn find(tx: &mut Tx<'_>, slug: &str) -> Result<Option<PluginScan>> {
    Ok(tx.query_row(&format!("{SCAN} WHERE p.slug = $1"), &params![slug], read)?)
}

/// Puts a scan in the place of the one before.
///
/// # Errors
/// When the database fails.
pub fn keep(tx: &mut Tx<'_>, plugin: i64, scanned: &Scanned) -> Result<()> {
    let report = serde_json::to_string(&scanned.report).map_err(Error::internal)?;
    let sql = "INSERT INTO plugin_scans (plugin_id, version, package_sha256, rules_version, verdict, reason, report, \
               scanned_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (plugin_id) DO UPDATE SET version = $2, \
               package_sha256 = $3, rules_version = $4, verdict = $5, reason = $6, report = $7, scanned_at = $8";
    tx.execute(
        sql,
        &params![
            plugin,
            scanned.version.as_str(),
            scanned.package_sha256.as_str(),
            scanned.report.rules_version.as_str(),
            scanned.verdict.code(),
            scanned.reason.clone(),
            report,
            scanned.report.scanned_at,
        ],
    )?;
    Ok(())
}

/// By which rules each plugin was scanned last; None: never.
pub fn rules(tx: &mut Tx<'_>) -> Result<BTreeMap<String, Option<String>>> {
    let sql = "SELECT p.slug, s.rules_version FROM plugins p LEFT JOIN plugin_scans s ON s.plugin_id = p.id";
    Ok(tx.query_map(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
}

/// The revision of a plugin; None: it is gone.
pub fn revision(tx: &mut Tx<'_>, plugin: i64) -> Result<Option<i64>> {
    Ok(tx.query_row("SELECT revision FROM plugins WHERE id = $1", &params![plugin], |row| row.get(0))?)
}
