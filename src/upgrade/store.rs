//! All SQL of upgrades.

use crate::base::error::Result;
use crate::db::{Tx, params};

/// The steps of the schema that ran, oldest first.
pub(super) fn schema_steps(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    let sql = "SELECT version, name FROM schema_migrations ORDER BY version";
    Ok(tx.query_map(sql, &params![], |row| Ok(format!("{:04}_{}", row.get::<i64>(0)?, row.get::<String>(1)?)))?)
}
