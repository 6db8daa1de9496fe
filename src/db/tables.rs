//! How large tables are, for people who look after the site: each engine has its own words for it.
//!
//! Invariant: no content is read; a table that is too large to be counted within the limits has no number.

use std::collections::HashMap;

use super::{Db, Tx};
use crate::base::error::Result;

/// A table's name, rows and bytes.
pub type Table = (String, Option<i64>, Option<i64>);

pub(super) async fn of_sqlite(db: &Db) -> Result<Vec<Table>> {
    let names: Vec<String> = db
        .read_long(|tx| {
            let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
            Ok(tx.query_map(sql, &[], |row| row.get(0))?)
        })
        .await?;
    let bytes: HashMap<String, i64> = db
        .read_long(|tx| {
            // A table's indexes count as its own.
            let sql = "SELECT s.tbl_name, CAST(SUM(d.pgsize) AS BIGINT) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name \
                       WHERE d.aggregate = TRUE GROUP BY s.tbl_name";
            Ok(tx.query_map(sql, &[], |row| Ok((row.get(0)?, row.get(1)?)))?.into_iter().collect())
        })
        .await
        .unwrap_or_default();
    let mut tables = Vec::new();
    for name in names {
        let sql = format!("SELECT COUNT(*) FROM \"{name}\"");
        let rows = db.read_long(move |tx| Ok(tx.query_row(&sql, &[], |row| row.get::<i64>(0))?)).await.ok().flatten();
        tables.push((name.clone(), rows, bytes.get(&name).copied()));
    }
    Ok(tables)
}

pub(super) fn of_postgres(tx: &mut Tx<'_>) -> Result<Vec<Table>> {
    let sql = "SELECT c.relname, CAST(c.reltuples AS BIGINT), pg_total_relation_size(c.oid) FROM pg_class c \
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r' ORDER BY c.relname";
    Ok(tx.query_map(sql, &[], |row| Ok((row.get(0)?, Some(row.get(1)?), Some(row.get(2)?))))?)
}
