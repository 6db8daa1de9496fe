//! All SQL of plugins' logs.

use super::{LogLevel, LogLine, NewLine};
use crate::access::OrgId;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, params};

const LEVELS: [LogLevel; 4] = [LogLevel::Debug, LogLevel::Info, LogLevel::Warning, LogLevel::Error];

/// The plugin's id; None when the plugin, or the organisation, is not there any more.
///
/// # Errors
/// When the database fails.
pub fn insert(tx: &mut Tx<'_>, line: &NewLine) -> Result<Option<i64>> {
    let id = tx.next_id()?;
    let sql = "INSERT INTO plugin_log_lines (id, plugin_id, organization_id, at, level, text) \
               SELECT CAST($1 AS BIGINT), p.id, CAST($3 AS BIGINT), CAST($4 AS BIGINT), \
               CAST($5 AS BIGINT), CAST($6 AS TEXT) FROM plugins p WHERE p.slug = $2 AND \
               (CAST($3 AS BIGINT) IS NULL OR EXISTS (SELECT 1 FROM organizations o WHERE o.id = CAST($3 AS BIGINT))) \
               RETURNING plugin_id";
    let org = line.org.map(|org| org.0);
    let values = params![id, &line.plugin, org, line.at, line.level as i64, &line.text];
    Ok(tx.query_row(sql, &values, |row| row.get(0))?)
}

/// Deletes all but the newest lines.
///
/// # Errors
/// When the database fails.
pub fn make_room(tx: &mut Tx<'_>, plugin: i64, org: Option<OrgId>, most: i64) -> Result<()> {
    tx.execute(
        "DELETE FROM plugin_log_lines WHERE plugin_id = $1 AND organization_id IS NOT DISTINCT FROM CAST($2 AS BIGINT) \
         AND id < (SELECT MIN(id) FROM (SELECT id FROM plugin_log_lines WHERE plugin_id = $1 \
         AND organization_id IS NOT DISTINCT FROM CAST($2 AS BIGINT) ORDER BY id DESC LIMIT $3) newest)",
        &params![plugin, org.map(|org| org.0), most],
    )?;
    Ok(())
}

/// The lines of a plugin in one organisation, or in all and outside of them, of at least this level; the newest first.
///
/// # Errors
/// When the database fails.
pub fn list(tx: &mut Tx<'_>, plugin: i64, org: Option<OrgId>, level: LogLevel, page: Page) -> Result<Vec<LogLine>> {
    let sql = "SELECT id, at, level, text, organization_id FROM plugin_log_lines WHERE plugin_id = $1 \
               AND (CAST($2 AS BIGINT) IS NULL OR organization_id = CAST($2 AS BIGINT)) AND level >= $3 AND id < $4 \
               ORDER BY id DESC LIMIT $5";
    let values = params![plugin, org.map(|org| org.0), level as i64, page.before, page.fetch()];
    Ok(tx.query_map(sql, &values, read)?)
}

fn read(row: &Row<'_>) -> Result<LogLine, DbError> {
    let level: i64 = row.get(2)?;
    let level = usize::try_from(level).ok().and_then(|at| LEVELS.get(at)).copied();
    Ok(LogLine {
        id: row.get(0)?,
        at: row.get(1)?,
        level: level.ok_or_else(|| DbError::Other("plugin_log_lines.level holds no level".to_owned()))?,
        text: row.get(3)?,
        organization_id: row.get(4)?,
    })
}
