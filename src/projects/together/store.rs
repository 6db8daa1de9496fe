//! All SQL of documents that are edited together.
//!
//! Invariant: `seq` numbers the changes of a document in the order of their commits, without gaps, whichever server wrote
//! them; a document stands on a new version of its file only by a statement that names the version it stood on.

use super::{Editor, frames};
use crate::access::{Place, UserId};
use crate::base::clock::Time;
use crate::db::{DbError, Row, Tx, params};

/// A document as it is kept.
pub struct Kept {
    /// Another one when the document was begun anew, so that nothing of an older one is merged into it.
    pub epoch: i64,
    /// The file has CRLF at the end of every line; the document has LF.
    pub crlf: bool,
    /// The version of the file whose text `base_state` holds.
    pub base_version: i64,
    pub base_state: Vec<u8>,
    pub state: Vec<u8>,
    /// The changes that `state` holds.
    pub state_seq: i64,
    /// The newest change.
    pub seq: i64,
    /// The newest change that a version of the file holds.
    pub saved_seq: i64,
}

/// Single changes, in the order of their commits.
pub type Changes = Vec<Vec<u8>>;

/// What became of a document since somebody looked.
pub struct News {
    pub epoch: i64,
    pub base_version: i64,
    pub seq: i64,
    pub saved_seq: i64,
    /// The file's latest version, and who wrote it.
    pub version: i64,
    pub by: String,
    /// Up to which change `updates` go.
    pub until: i64,
    pub updates: Vec<Vec<u8>>,
}

/// Where the file's project belongs; None: the file is gone.
pub fn home(tx: &mut Tx<'_>, file: i64) -> Result<Option<Place>, DbError> {
    let sql = "SELECT p.organization_id, p.team_id FROM files f JOIN projects p ON p.id = f.project_id WHERE f.id = $1";
    tx.query_row(sql, &params![file], |row| Ok(Place::of(row.get(0)?, row.get(1)?)))
}

pub fn begin(tx: &mut Tx<'_>, now: Time, file: i64, kept: &Kept) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO together_documents (file_id, epoch, crlf, base_version, base_state, state, state_seq, seq, \
         saved_seq, changed_at) VALUES ($1, $2, $3, $4, $5, $5, 0, 0, 0, $6) ON CONFLICT (file_id) DO NOTHING",
        &params![file, kept.epoch, kept.crlf, kept.base_version, kept.base_state.as_slice(), now],
    )?;
    Ok(())
}

pub fn load(tx: &mut Tx<'_>, file: i64) -> Result<Option<(Kept, Changes)>, DbError> {
    let sql = "SELECT epoch, crlf, base_version, base_state, state, state_seq, seq, saved_seq \
               FROM together_documents WHERE file_id = $1";
    let Some(kept) = tx.query_row(sql, &params![file], read)? else { return Ok(None) };
    let updates = updates(tx, file, kept.state_seq)?;
    Ok(Some((kept, updates.iter().flat_map(|data| frames::split(data)).map(<[u8]>::to_vec).collect())))
}

/// The changes after `seq`, at most as many as are there between two compactions.
fn updates(tx: &mut Tx<'_>, file: i64, seq: i64) -> Result<Vec<Vec<u8>>, DbError> {
    let sql = "SELECT data FROM together_updates WHERE file_id = $1 AND seq > $2 ORDER BY seq";
    tx.query_map(sql, &params![file, seq], |row| row.get(0))
}

/// What came after `seen`; None: the document is gone.
pub fn news(tx: &mut Tx<'_>, file: i64, seen: i64) -> Result<Option<News>, DbError> {
    let sql = "SELECT d.epoch, d.base_version, d.seq, d.saved_seq, f.version, f.updated_by, d.state_seq \
               FROM together_documents d JOIN files f ON f.id = d.file_id WHERE d.file_id = $1";
    let found = tx.query_row(sql, &params![file], |row| {
        let (updates, until) = (Vec::new(), seen);
        let news = News {
            epoch: row.get(0)?,
            base_version: row.get(1)?,
            seq: row.get(2)?,
            saved_seq: row.get(3)?,
            version: row.get(4)?,
            by: row.get(5)?,
            until,
            updates,
        };
        Ok((news, row.get::<i64>(6)?))
    })?;
    let Some((mut news, state_seq)) = found else { return Ok(None) };
    if news.seq > seen {
        if state_seq > seen {
            let sql = "SELECT state FROM together_documents WHERE file_id = $1";
            news.updates.extend(tx.query_row(sql, &params![file], |row| row.get(0))?);
        }
        let rows = updates(tx, file, seen.max(state_seq))?;
        news.updates.extend(rows.iter().flat_map(|data| frames::split(data)).map(<[u8]>::to_vec));
        news.until = news.seq;
    }
    Ok(Some(news))
}

/// Keeps a batch of changes; its number, and whether everything before it was saved. None: the document is gone, or another.
pub fn append(
    tx: &mut Tx<'_>,
    now: Time,
    (file, epoch): (i64, i64),
    data: &[u8],
    editors: &[Editor],
) -> Result<Option<(i64, bool)>, DbError> {
    let sql = "UPDATE together_documents SET seq = seq + 1, changed_at = $3 WHERE file_id = $1 AND epoch = $2 \
               RETURNING seq, saved_seq";
    let found = tx.query_row(sql, &params![file, epoch, now], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))?;
    let Some((seq, saved)) = found else { return Ok(None) };
    insert(tx, file, seq, data)?;
    for Editor { name, user, token } in editors {
        tx.execute(
            "INSERT INTO together_editors (file_id, editor, seq, user_id, token_id) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (file_id, editor) DO UPDATE SET seq = $3, user_id = $4, token_id = $5",
            &params![file, name, seq, user.map(|user| user.0), *token],
        )?;
    }
    Ok(Some((seq, saved == seq - 1)))
}

fn insert(tx: &mut Tx<'_>, file: i64, seq: i64, data: &[u8]) -> Result<(), DbError> {
    let sql = "INSERT INTO together_updates (file_id, seq, data) VALUES ($1, $2, $3)";
    tx.execute(sql, &params![file, seq, data]).map(drop)
}

/// Puts the document that stands on one version of its file on another one that somebody wrote past it; `data` is that
/// version as a change. False: it no longer stands on the first.
pub fn rebase(
    tx: &mut Tx<'_>,
    now: Time,
    (file, epoch): (i64, i64),
    (stands_on, version): (i64, i64),
    base_state: &[u8],
    data: &[u8],
) -> Result<bool, DbError> {
    // What was saved still is: the change came from the file itself.
    let sql = "UPDATE together_documents SET seq = seq + 1, changed_at = $1, base_version = $2, base_state = $3, \
               saved_seq = CASE WHEN saved_seq = seq THEN seq + 1 ELSE saved_seq END \
               WHERE file_id = $4 AND epoch = $5 AND base_version = $6 RETURNING seq";
    let params = params![now, version, base_state, file, epoch, stands_on];
    let Some(seq) = tx.query_row(sql, &params, |row| row.get(0))? else { return Ok(false) };
    insert(tx, file, seq, data)?;
    Ok(true)
}

/// Notes that `version` holds the document as `kept` and `state` say it is, and forgets the single changes. None: it no
/// longer stands on the version `kept` says; else whether more has come since.
pub fn saved(tx: &mut Tx<'_>, file: i64, kept: &Kept, version: i64, state: &[u8]) -> Result<Option<bool>, DbError> {
    let sql = "UPDATE together_documents SET base_version = $1, base_state = $2, state = $2, state_seq = $3, saved_seq = $3 \
               WHERE file_id = $4 AND epoch = $5 AND base_version = $6 AND saved_seq <= $3 AND state_seq <= $3 RETURNING seq";
    let params = params![version, state, kept.seq, file, kept.epoch, kept.base_version];
    let Some(seq) = tx.query_row(sql, &params, |row| row.get::<i64>(0))? else { return Ok(None) };
    forget_single(tx, file, kept.seq)?;
    tx.execute("DELETE FROM together_editors WHERE file_id = $1 AND seq <= $2", &params![file, kept.seq])?;
    Ok(Some(seq > kept.seq))
}

/// Keeps the changes up to `kept.seq` as one state.
pub fn compact(tx: &mut Tx<'_>, file: i64, kept: &Kept, state: &[u8]) -> Result<(), DbError> {
    let sql = "UPDATE together_documents SET state = $1, state_seq = $2 \
               WHERE file_id = $3 AND epoch = $4 AND state_seq < $2";
    if tx.execute(sql, &params![state, kept.seq, file, kept.epoch])? > 0 {
        forget_single(tx, file, kept.seq)?;
    }
    Ok(())
}

fn forget_single(tx: &mut Tx<'_>, file: i64, seq: i64) -> Result<(), DbError> {
    tx.execute("DELETE FROM together_updates WHERE file_id = $1 AND seq <= $2", &params![file, seq]).map(drop)
}

/// Who changed the document since it was saved, the latest first.
pub fn editors(tx: &mut Tx<'_>, file: i64) -> Result<Vec<Editor>, DbError> {
    let sql =
        "SELECT editor, user_id, token_id FROM together_editors WHERE file_id = $1 ORDER BY seq DESC, editor LIMIT 100";
    tx.query_map(sql, &params![file], |row| {
        Ok(Editor { name: row.get(0)?, user: row.get::<Option<i64>>(1)?.map(UserId), token: row.get(2)? })
    })
}

/// Forgets documents that nobody changed since `before` and that their files hold; how many.
pub fn forget(tx: &mut Tx<'_>, before: Time) -> Result<u64, DbError> {
    tx.execute("DELETE FROM together_documents WHERE saved_seq = seq AND changed_at < $1", &params![before])
}

fn read(row: &Row<'_>) -> Result<Kept, DbError> {
    Ok(Kept {
        epoch: row.get(0)?,
        crlf: row.get(1)?,
        base_version: row.get(2)?,
        base_state: row.get(3)?,
        state: row.get(4)?,
        state_seq: row.get(5)?,
        seq: row.get(6)?,
        saved_seq: row.get(7)?,
    })
}
