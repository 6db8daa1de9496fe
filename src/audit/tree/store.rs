//! All SQL of the logs. Nothing here changes or deletes what has a place; the database refuses it too.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::hash::{Edge, Hash, TileId, leaf_hash, sha256};
use super::leaf::Leaf;
use super::note::{Checkpoint, Signer};
use super::proof::Tiles;
use super::{AuditLog, LogId};
use crate::access::Permit;
use crate::access::actions::AuditRead;
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

/// The columns of an entry in the order of their names in a leaf.
const ENTRY: &str = "e.action, e.actor_id, e.actor_kind, e.actor_name, e.after_json, e.at, e.before_json, e.description, e.id, \
                     e.ip_address, e.organization_id, e.person_id, e.request_id, e.resource_id, e.resource_type, e.sealed, \
                     e.success, e.token_id, e.token_name, e.user_agent";
/// Where [`ENTRY`] has the id, and the organisation's.
const ID: usize = 8;
const ORGANIZATION: usize = 10;
const LOG: &str = "SELECT id, origin, verifier_key, size, checkpoint, checkpoint_at FROM audit_logs";
/// Rows of entries asked for at once, so that only so many are in memory.
const ROWS: i64 = 512;
/// Leaves put in by one statement; few different texts, so that they stay prepared.
const CHUNKS: [usize; 3] = [256, 16, 1];
static INSERTS: LazyLock<[String; 3]> = LazyLock::new(|| CHUNKS.map(insert_leaves_text));

/// The row that begins at column `from` as its log has it.
fn leaf(row: &Row<'_>, from: usize) -> Result<Vec<u8>, DbError> {
    let text = |at: usize| row.text(from + at);
    let mut leaf = Leaf::default();
    leaf.text("action", text(0)?);
    leaf.number("actor_id", row.get(from + 1)?);
    leaf.text("actor_kind", text(2)?);
    leaf.text("actor_name", text(3)?);
    leaf.digest("after_sha256", text(4)?);
    leaf.time("at", row.get(from + 5)?);
    leaf.digest("before_sha256", text(6)?);
    leaf.text("description", text(7)?);
    leaf.number("id", row.get(from + ID)?);
    leaf.text("ip_address", text(9)?);
    leaf.number("organization_id", row.get(from + ORGANIZATION)?);
    leaf.number("person_id", row.get(from + 11)?);
    leaf.text("request_id", text(12)?);
    leaf.text("resource_id", text(13)?);
    leaf.text("resource_type", text(14)?);
    leaf.number("sealed", row.get::<Option<i64>>(from + 15)?.filter(|mask| *mask != 0));
    leaf.truth("success", row.get(from + 16)?);
    leaf.number("token_id", row.get(from + 17)?);
    leaf.text("token_name", text(18)?);
    leaf.text("user_agent", text(19)?);
    Ok(leaf.close())
}

fn number(value: u64) -> Result<i64, DbError> {
    i64::try_from(value).map_err(|_| DbError::Other(format!("{value} is no place in a log")))
}

fn read_log(row: &Row<'_>) -> Result<(LogId, AuditLog), DbError> {
    let id = LogId(row.get(0)?);
    let log = AuditLog {
        organization_id: id.org().map(|org| org.0),
        origin: row.get(1)?,
        verifier_key: row.get(2)?,
        tree_size: u64::try_from(row.get::<i64>(3)?).unwrap_or(0),
        checkpoint: row.get(4)?,
        checkpoint_at: row.get(5)?,
    };
    Ok((id, log))
}

/// Makes the site's log when there is none; its verifier key, whoever made it.
pub fn open_site(tx: &mut Tx<'_>, now: Time, signer: &Signer) -> Result<String> {
    let origin = LogId::SITE.origin(signer);
    let checkpoint = signer.sign(&Checkpoint { origin: origin.clone(), size: 0, root: sha256(&[]) });
    tx.execute(
        "INSERT INTO audit_logs (id, origin, verifier_key, size, checkpoint, checkpoint_at) \
         VALUES ($1, $2, $3, 0, $4, $5) ON CONFLICT (id) DO NOTHING",
        &params![LogId::SITE.0, origin.as_str(), signer.verifier(&origin).to_string(), checkpoint, now],
    )?;
    let kept = log(tx, LogId::SITE)?;
    kept.map(|log| log.verifier_key).ok_or_else(|| Error::internal("the site has no audit log"))
}

pub fn log(tx: &mut Tx<'_>, id: LogId) -> Result<Option<AuditLog>> {
    let sql = format!("{LOG} WHERE id = $1");
    Ok(tx.query_row(&sql, &params![id.0], |row| Ok(read_log(row)?.1))?)
}

/// All of them.
pub fn ids(tx: &mut Tx<'_>) -> Result<Vec<LogId>> {
    Ok(tx.query_map("SELECT id FROM audit_logs ORDER BY id", &params![], |row| Ok(LogId(row.get(0)?)))?)
}

/// Of the organisations covered, newest first; the site's own last, for those over the site.
pub fn logs(tx: &mut Tx<'_>, permit: &Permit<AuditRead>, page: Page) -> Result<Vec<(LogId, AuditLog)>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let scope = permit.sql("id", &mut params);
    let sql = format!("{LOG} WHERE id < $1 AND {scope} ORDER BY id DESC LIMIT $2");
    Ok(tx.query_map(&sql, &params, read_log)?)
}

/// An entry that has no place yet.
pub struct Waiting {
    pub entry: i64,
    pub hash: Hash,
}

/// About `most` of those behind `after`, by the log that they belong to.
pub fn waiting(tx: &mut Tx<'_>, after: Option<i64>, most: usize) -> Result<BTreeMap<LogId, Vec<Waiting>>> {
    let sql = format!(
        "SELECT {ENTRY} FROM audit_pending p JOIN audit_entries e ON e.id = p.entry_id \
         WHERE p.entry_id > $1 ORDER BY p.entry_id LIMIT $2"
    );
    let (mut found, mut count, mut last) = (BTreeMap::<_, Vec<_>>::new(), 0, after.unwrap_or(i64::MIN));
    while count < most {
        let rows = tx.query_map(&sql, &params![last, ROWS], |row| {
            let log = row.get::<Option<i64>>(ORGANIZATION)?.map_or(LogId::SITE, LogId);
            Ok((log, Waiting { entry: row.get(ID)?, hash: leaf_hash(&leaf(row, 0)?) }))
        })?;
        let Some((_, end)) = rows.last() else { break };
        (count, last) = (count + rows.len(), end.entry);
        rows.into_iter().for_each(|(log, waiting)| found.entry(log).or_default().push(waiting));
    }
    Ok(found)
}

/// What a log gains at once.
pub struct Growth {
    pub id: LogId,
    /// Leaves before.
    pub from: u64,
    /// As it is afterwards.
    pub log: AuditLog,
    /// Those that get the places from `from` on.
    pub entries: Vec<i64>,
    pub tiles: BTreeMap<TileId, Vec<Hash>>,
}

/// False, with nothing written, when the log grew meanwhile.
pub fn grow(tx: &mut Tx<'_>, growth: &Growth) -> Result<bool> {
    let Growth { id, from, log, entries, tiles } = growth;
    let (from, to) = (number(*from)?, number(log.tree_size)?);
    let moved = if from == 0 && *id != LogId::SITE {
        tx.execute(
            "INSERT INTO audit_logs (id, origin, verifier_key, size, checkpoint, checkpoint_at) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO NOTHING",
            &params![id.0, &log.origin, &log.verifier_key, to, &log.checkpoint, log.checkpoint_at],
        )?
    } else {
        tx.execute(
            "UPDATE audit_logs SET size = $1, checkpoint = $2, checkpoint_at = $3 WHERE id = $4 AND size = $5",
            &params![to, &log.checkpoint, log.checkpoint_at, id.0, from],
        )?
    };
    if moved == 0 {
        return Ok(false);
    }
    insert_leaves(tx, *id, from, entries)?;
    for ((level, tile), hashes) in tiles {
        tx.execute(
            "INSERT INTO audit_tiles (log_id, level, number, hashes) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (log_id, level, number) DO UPDATE SET hashes = excluded.hashes",
            &params![id.0, i64::from(*level), number(*tile)?, hashes.concat()],
        )?;
    }
    Ok(true)
}

/// Takes the `count` entries between `first` and `last` that [`grow`] gave places off the queue.
pub fn unqueue(tx: &mut Tx<'_>, first: i64, last: i64, count: usize) -> Result<(), DbError> {
    let (between, range) = ("audit_pending WHERE entry_id >= $1 AND entry_id <= $2", params![first, last]);
    let queued = tx.query_row(&format!("SELECT count(*) FROM {between}"), &range, |row| row.get::<i64>(0))?;
    // An id may be committed after a larger one that has its place already: then each is asked for.
    let but = if queued.is_some_and(|queued| usize::try_from(queued) == Ok(count)) {
        ""
    } else {
        " AND EXISTS (SELECT 1 FROM audit_leaves l WHERE l.entry_id = audit_pending.entry_id)"
    };
    tx.execute(&format!("DELETE FROM {between}{but}"), &range).map(drop)
}

fn insert_leaves(tx: &mut Tx<'_>, id: LogId, from: i64, entries: &[i64]) -> Result<(), DbError> {
    let (mut position, mut rest) = (from, entries);
    for (size, sql) in CHUNKS.into_iter().zip(INSERTS.iter()) {
        while let Some((chunk, behind)) = rest.split_at_checked(size) {
            let mut params: Vec<Val> = params![id.0, position].to_vec();
            params.extend(chunk.iter().map(|entry| Val::I64(*entry)));
            tx.execute(sql, &params)?;
            (position, rest) = (position + size as i64, behind);
        }
    }
    Ok(())
}

/// PostgreSQL would take `$2 + 1` for an INTEGER.
fn insert_leaves_text(rows: usize) -> String {
    let places: Vec<String> =
        (0..rows).map(|at| format!("(CAST($1 AS BIGINT), CAST($2 AS BIGINT) + {at}, ${})", at + 3)).collect();
    format!("INSERT INTO audit_leaves (log_id, position, entry_id) VALUES {}", places.join(", "))
}

pub fn tile(tx: &mut Tx<'_>, log: LogId, (level, tile): TileId) -> Result<Vec<Hash>, DbError> {
    let found = tx.query_row(
        "SELECT hashes FROM audit_tiles WHERE log_id = $1 AND level = $2 AND number = $3",
        &params![log.0, i64::from(level), number(tile)?],
        |row| row.get::<Vec<u8>>(0),
    )?;
    Ok(found.unwrap_or_default().as_chunks().0.to_vec())
}

/// The right edge of a log of `size` leaves.
pub fn edge(tx: &mut Tx<'_>, log: LogId, size: u64) -> Result<Edge> {
    Edge::load(size, |id, width| {
        let mut hashes = tile(tx, log, id)?;
        hashes.truncate(width);
        if hashes.len() == width { Ok(hashes) } else { Err(Stored::short(id)) }
    })
}

/// The tiles of a log, each read once.
pub struct Stored<'t, 'c> {
    tx: &'t mut Tx<'c>,
    log: LogId,
    seen: HashMap<TileId, Vec<Hash>>,
}

impl<'t, 'c> Stored<'t, 'c> {
    pub fn new(tx: &'t mut Tx<'c>, log: LogId) -> Self {
        Self { tx, log, seen: HashMap::new() }
    }
}

impl Tiles for Stored<'_, '_> {
    type Error = Error;

    fn tile(&mut self, id: TileId) -> Result<Vec<Hash>> {
        if let Some(hashes) = self.seen.get(&id) {
            return Ok(hashes.clone());
        }
        let hashes = tile(self.tx, self.log, id)?;
        self.seen.insert(id, hashes.clone());
        Ok(hashes)
    }

    fn short((level, number): TileId) -> Error {
        Error::unavailable(
            "audit_log_damaged",
            format!(
                "Tile {number} of level {level} of this audit log is damaged. `resoftai audit verify` names what is wrong; \
                 restore the database from a backup."
            ),
        )
    }
}

/// A place in a log.
pub struct Place {
    pub position: u64,
    pub entry: i64,
    /// None when the entry is not there any more.
    pub leaf: Option<String>,
    /// Whether retention took the entry away.
    pub dropped: bool,
}

/// The places from `from` to before `to`, in order; those that were taken away are left out.
pub fn places(tx: &mut Tx<'_>, log: LogId, from: u64, to: u64) -> Result<Vec<Place>, DbError> {
    let sql = format!(
        "SELECT l.position, l.entry_id, g.drop_id, {ENTRY} FROM audit_leaves l LEFT JOIN audit_entries e ON e.id = l.entry_id \
         LEFT JOIN audit_dropped g ON g.entry_id = l.entry_id WHERE l.log_id = $1 AND l.position >= $2 AND l.position < $3 ORDER BY l.position"
    );
    tx.query_map(&sql, &params![log.0, number(from)?, number(to)?], |row| {
        let there = row.get::<Option<i64>>(3 + ID)?.is_some();
        Ok(Place {
            position: u64::try_from(row.get::<i64>(0)?).unwrap_or(0),
            entry: row.get(1)?,
            leaf: if there { Some(String::from_utf8(leaf(row, 3)?).map_err(|_| no_text())?) } else { None },
            dropped: row.get::<Option<i64>>(2)?.is_some(),
        })
    })
}

fn no_text() -> DbError {
    DbError::Other("an entry is not UTF-8".to_owned())
}

/// Where an entry is.
pub fn place_of(tx: &mut Tx<'_>, entry: i64) -> Result<Option<(LogId, u64)>> {
    let sql = "SELECT log_id, position FROM audit_leaves WHERE entry_id = $1";
    Ok(tx.query_row(sql, &params![entry], |row| {
        Ok((LogId(row.get(0)?), u64::try_from(row.get::<i64>(1)?).unwrap_or(0)))
    })?)
}

/// Where an entry that has no place yet will get one.
pub fn log_of(tx: &mut Tx<'_>, entry: i64) -> Result<Option<LogId>> {
    let sql = "SELECT organization_id FROM audit_entries WHERE id = $1";
    Ok(tx.query_row(sql, &params![entry], |row| Ok(row.get::<Option<i64>>(0)?.map_or(LogId::SITE, LogId)))?)
}

/// An entry, and whether it is where it belongs.
pub struct Belonging {
    pub entry: i64,
    /// It has a place in this log, or waits for one.
    pub known: bool,
}

/// The next entries of a log behind `after`, by id.
pub fn belonging(tx: &mut Tx<'_>, log: LogId, after: i64, most: i64) -> Result<Vec<Belonging>> {
    let mut params: Vec<Val> = params![after, most, log.0].to_vec();
    let whose = match log.org() {
        None => "e.organization_id IS NULL".to_owned(),
        Some(org) => {
            params.push(Val::I64(org.0));
            "e.organization_id = $4".to_owned()
        }
    };
    let sql = format!(
        "SELECT e.id, l.entry_id IS NOT NULL OR p.entry_id IS NOT NULL FROM audit_entries e \
         LEFT JOIN audit_leaves l ON l.entry_id = e.id AND l.log_id = $3 \
         LEFT JOIN audit_pending p ON p.entry_id = e.id WHERE {whose} AND e.id > $1 ORDER BY e.id LIMIT $2"
    );
    Ok(tx.query_map(&sql, &params, |row| Ok(Belonging { entry: row.get(0)?, known: row.get(1)? }))?)
}
