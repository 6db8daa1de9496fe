//! All SQL of backups.

use std::collections::HashSet;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use super::check::Proof;
use super::keep::Keep;
use super::manifest::Summary;
use super::schedule::Schedule;
use super::{Record, Status};
use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{Row, Tx, params};
use crate::projects::files::named_contents;

/// What the key of a repository is sealed for.
const PLACE: &str = "backup_target.key_sealed";

/// The newest migration and the site's id.
pub(super) fn about_site(tx: &mut Tx<'_>) -> Result<(i64, String)> {
    let schema = tx.query_row("SELECT max(version) FROM schema_migrations", &params![], |row| row.get(0))?;
    let id = tx.query_row("SELECT id FROM installation WHERE slot = 1", &params![], |row| row.get(0))?;
    schema.zip(id).ok_or_else(|| Error::internal("the database is no site's"))
}

/// The hashes of all contents that any room names.
pub(super) fn named_contents_of_all(tx: &mut Tx<'_>) -> Result<HashSet<String>> {
    let mut named = HashSet::new();
    for digits in 0..=255_u8 {
        named.extend(named_contents(tx, &format!("{digits:02x}"))?);
    }
    Ok(named)
}

/// Where backups go.
#[derive(Clone)]
pub(super) struct Target {
    pub folder: String,
    pub repository_id: String,
    /// The repository's secret key.
    pub key: String,
    pub keep: Keep,
    pub schedule: Schedule,
    pub set_at: Time,
    pub next_at: Option<Time>,
}

pub(super) fn target(tx: &mut Tx<'_>, site_key: &Key) -> Result<Option<Target>> {
    let sql =
        "SELECT folder, repository_id, key_sealed, keep, schedule, set_at, next_at FROM backup_target WHERE slot = 1";
    let found = tx.query_row(sql, &params![], |row| {
        let sealed: Vec<u8> = row.get(2)?;
        let (keep, schedule): (String, String) = (row.get(3)?, row.get(4)?);
        Ok((row.get(0)?, row.get(1)?, sealed, keep, schedule, row.get(5)?, row.get(6)?))
    })?;
    let Some((folder, repository_id, sealed, keep, schedule, set_at, next_at)) = found else { return Ok(None) };
    let key = String::from_utf8(site_key.open(PLACE, &sealed)?).map_err(Error::internal)?;
    let (keep, schedule) = (read(&keep)?, read(&schedule)?);
    Ok(Some(Target { folder, repository_id, key, keep, schedule, set_at, next_at }))
}

pub(super) fn set_target(tx: &mut Tx<'_>, site_key: &Key, target: &Target) -> Result<()> {
    let sql = "INSERT INTO backup_target (slot, folder, repository_id, key_sealed, keep, schedule, set_at, next_at) \
               VALUES (1, $1, $2, $3, $4, $5, $6, $7) ON CONFLICT (slot) DO UPDATE SET folder = $1, repository_id = $2, \
               key_sealed = $3, keep = $4, schedule = $5, set_at = $6, next_at = $7";
    let sealed = site_key.seal(PLACE, target.key.as_bytes())?;
    let (keep, schedule) = (write(&target.keep)?, write(&target.schedule)?);
    tx.execute(
        sql,
        &params![&target.folder, &target.repository_id, sealed, keep, schedule, target.set_at, target.next_at],
    )?;
    Ok(())
}

/// Where backups go and when, as far as that needs no key; None until somebody chose.
///
/// # Errors
/// When the database fails.
pub fn plan(tx: &mut Tx<'_>) -> Result<Option<(PathBuf, Schedule)>> {
    let sql = "SELECT folder, schedule FROM backup_target WHERE slot = 1";
    let found = tx.query_row(sql, &params![], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))?;
    found.map(|(folder, schedule)| Ok((folder.into(), read(&schedule)?))).transpose()
}

/// Sets when the next one is due, unless another server did.
pub(super) fn set_next(tx: &mut Tx<'_>, was: Option<Time>, next: Option<Time>) -> Result<bool> {
    let sql = "UPDATE backup_target SET next_at = $1 WHERE slot = 1 AND COALESCE(next_at, 0) = $2";
    Ok(tx.execute(sql, &params![next, was.unwrap_or(Time(0))])? > 0)
}

const RECORD: &str = "SELECT id, name, status, began_at, finished_at, summary, error, proof FROM backups";

fn record(row: &Row<'_>) -> Result<(Record, [Option<String>; 2]), crate::db::DbError> {
    let status: String = row.get(2)?;
    let record = Record {
        id: row.get(0)?,
        name: row.get(1)?,
        status: Status::from_code(&status),
        began_at: row.get(3)?,
        finished_at: row.get(4)?,
        summary: None,
        error: row.get(6)?,
        proof: None,
    };
    Ok((record, [row.get(5)?, row.get(7)?]))
}

fn whole((record, [summary, proof]): (Record, [Option<String>; 2])) -> Result<Record> {
    let summary = summary.as_deref().map(read::<Summary>).transpose()?;
    let proof = proof.as_deref().map(read::<Proof>).transpose()?;
    Ok(Record { summary, proof, ..record })
}

pub(super) fn page(tx: &mut Tx<'_>, page: Page) -> Result<Vec<Record>> {
    let sql = format!("{RECORD} WHERE id < $1 ORDER BY id DESC LIMIT $2");
    tx.query_map(&sql, &params![page.before, page.fetch()], record)?.into_iter().map(whole).collect()
}

pub(super) fn find(tx: &mut Tx<'_>, id: i64) -> Result<Record> {
    let found = tx.query_row(&format!("{RECORD} WHERE id = $1"), &params![id], record)?;
    found.map(whole).transpose()?.ok_or_else(|| Error::not_found("such backup"))
}

/// The newest that is complete.
///
/// # Errors
/// When the database fails.
pub fn newest(tx: &mut Tx<'_>) -> Result<Option<Record>> {
    let sql = format!("{RECORD} WHERE status = 'done' ORDER BY id DESC LIMIT 1");
    tx.query_row(&sql, &params![], record)?.map(whole).transpose()
}

/// Begins one, unless one is running; None then.
pub(super) fn begin(tx: &mut Tx<'_>, now: Time, repository_id: &str) -> Result<Option<i64>> {
    let id = tx.next_id()?;
    let sql = "INSERT INTO backups (id, repository_id, status, began_at) SELECT $1, $2, 'running', $3 \
               WHERE NOT EXISTS (SELECT 1 FROM backups WHERE status = 'running')";
    Ok((tx.execute(sql, &params![id, repository_id, now])? > 0).then_some(id))
}

pub(super) fn finish(tx: &mut Tx<'_>, now: Time, id: i64, summary: &Summary) -> Result<()> {
    let sql =
        "UPDATE backups SET status = 'done', name = $2, finished_at = $3, summary = $4, error = NULL WHERE id = $1";
    tx.execute(sql, &params![id, &summary.id, now, write(summary)?])?;
    Ok(())
}

pub(super) fn fail(tx: &mut Tx<'_>, now: Time, id: i64, error: &str) -> Result<()> {
    let sql = "UPDATE backups SET status = 'failed', finished_at = $2, error = $3 WHERE id = $1 AND status = 'running'";
    tx.execute(sql, &params![id, now, error])?;
    Ok(())
}

pub(super) fn prove(tx: &mut Tx<'_>, id: i64, proof: &Proof) -> Result<()> {
    tx.execute("UPDATE backups SET proof = $2 WHERE id = $1", &params![id, write(proof)?])?;
    Ok(())
}

/// Notes that a backup went.
pub(super) fn pruned(tx: &mut Tx<'_>, names: &[String]) -> Result<()> {
    for name in names {
        tx.execute("UPDATE backups SET status = 'pruned' WHERE name = $1", &params![name])?;
    }
    Ok(())
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(Error::internal)
}

fn write(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}
