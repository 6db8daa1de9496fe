//! All SQL of events.

use crate::base::error::{Error, Result};
use crate::db::{Tx, params};

/// An event as it was written.
pub struct Written {
    pub number: i64,
    pub name: String,
    /// JSON.
    pub data: String,
}

/// Writes the next event of a run. Counting locks the run's row: numbers are in the order of commits.
pub fn append(tx: &mut Tx<'_>, run: i64, name: &str, data: &str) -> Result<()> {
    let sql = "UPDATE runs SET last_event = last_event + 1 WHERE id = $1 RETURNING last_event";
    let number: Option<i64> = tx.query_row(sql, &params![run], |row| row.get(0))?;
    let number = number.ok_or_else(|| Error::not_found("run"))?;
    let sql = "INSERT INTO run_events (run_id, number, name, data) VALUES ($1, $2, $3, $4)";
    tx.execute(sql, &params![run, number, name, data])?;
    Ok(())
}

/// Up to `limit` events of a run after the given number, in order.
pub fn after(tx: &mut Tx<'_>, run: i64, number: i64, limit: i64) -> Result<Vec<Written>> {
    let sql = "SELECT number, name, data FROM run_events WHERE run_id = $1 AND number > $2 ORDER BY number LIMIT $3";
    Ok(tx.query_map(sql, &params![run, number, limit], |row| {
        Ok(Written { number: row.get(0)?, name: row.get(1)?, data: row.get(2)? })
    })?)
}
