//! All SQL of the trail: append and list, and the keys its fields are sealed with. There is no update and no delete of an
//! entry here; dropping old ones is `retention`'s.

use serde_json::value::RawValue;

use super::keys::{self, Ring};
use super::seal::{Column, Field, Opener, Owners, Sealer};
use super::search::{self, Branch, Filter, Found, LOOKS, Place, Scanned, Text};
use super::{AuditAction, AuditEntry, EntryToken, Event};
use crate::access::{Actor, ActorKind, Origin, Scope, TokenUsed, UserId};
use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::db::{DbError, Row, Tx, Val, params};

/// Appends an entry, which waits from then on for its place in the log.
pub fn insert(
    tx: &mut Tx<'_>,
    at: Time,
    actor: &Actor,
    origin: &Origin,
    token: Option<&TokenUsed>,
    event: &Event,
) -> Result<()> {
    let id = tx.next_id()?;
    let owners = Owners::event(actor, event);
    let actor_key = owners.actor.map(|person| keys::to_seal(tx, person, at)).transpose()?;
    let subject_key = match owners.subject {
        same if same == owners.actor => actor_key.clone(),
        other => other.map(|person| keys::to_seal(tx, person, at)).transpose()?,
    };
    let mut sealer = Sealer { entry: id, actor: actor_key.as_ref(), subject: subject_key.as_ref(), mask: 0 };
    let actor_name = sealer.seal(Column::ActorName, &actor.name)?;
    let ip_address = sealer.seal_some(Column::IpAddress, origin.ip_address.as_ref())?;
    let user_agent = sealer.seal_some(Column::UserAgent, origin.user_agent.as_ref())?;
    let description = sealer.seal(Column::Description, &event.description)?;
    let before = sealer.seal_some(Column::Before, event.before.as_ref())?;
    let after = sealer.seal_some(Column::After, event.after.as_ref())?;
    let token_name = sealer.seal_some(Column::TokenName, token.map(|token| &token.name))?;
    tx.execute(
        "INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, \
         resource_id, description, success, before_json, after_json, ip_address, user_agent, request_id, person_id, sealed, token_id, \
         token_name) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
        &params![
            id,
            at,
            event.org.map(|org| org.0),
            actor.kind.code(),
            actor.id,
            actor_name,
            event.action.code(),
            event.resource_type,
            event.resource_id.clone(),
            description,
            event.success,
            before,
            after,
            ip_address,
            user_agent,
            origin.request_id.clone(),
            event.person.map(|person| person.0),
            sealer.mask,
            token.map(|token| token.id),
            token_name,
        ],
    )?;
    tx.execute("INSERT INTO audit_pending (entry_id) VALUES ($1)", &params![id])?;
    Ok(())
}

/// A person's key: none yet, or `Some(None)` when it was destroyed.
pub fn key(tx: &mut Tx<'_>, person: UserId) -> Result<Option<Option<Key>>, DbError> {
    let bytes: Option<Option<Vec<u8>>> =
        tx.query_row("SELECT key FROM person_keys WHERE person_id = $1", &params![person.0], |row| row.get(0))?;
    let Some(bytes) = bytes else { return Ok(None) };
    let key = bytes.map(|bytes| bytes.try_into().map(Key::from_bytes)).transpose();
    key.map(Some).map_err(|_| DbError::Other(format!("the key of person {} is not 32 bytes", person.0)))
}

pub fn insert_key(tx: &mut Tx<'_>, person: UserId, key: &Key, at: Time) -> Result<(), DbError> {
    let sql = "INSERT INTO person_keys (person_id, key, created_at) VALUES ($1, $2, $3)";
    tx.execute(sql, &params![person.0, key.bytes().as_slice(), at]).map(drop)
}

/// The row stays without its key; a person who had none yet gets such a row too.
pub fn destroy_key(tx: &mut Tx<'_>, person: UserId, at: Time) -> Result<bool, DbError> {
    let sql = "INSERT INTO person_keys (person_id, key, created_at, destroyed_at) VALUES ($1, NULL, $2, $2) \
         ON CONFLICT (person_id) DO UPDATE SET key = NULL, destroyed_at = $2 WHERE person_keys.destroyed_at IS NULL";
    Ok(tx.execute(sql, &params![person.0, at])? == 1)
}

/// Stands where a sealed value does not open with its key: the stored entry is not what was written.
const BROKEN: &str = "unreadable: the stored entry was changed";

const COLUMNS: &str = "id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, resource_id, \
     description, success, before_json, after_json, ip_address, user_agent, request_id, person_id, sealed, token_id, token_name";
/// Entries read at once where not every one of them may fit.
const BATCH: usize = 500;

/// One entry, wherever it is.
pub fn find(tx: &mut Tx<'_>, id: i64) -> Result<Option<AuditEntry>, DbError> {
    let stored = tx.query_row(&format!("SELECT {COLUMNS} FROM audit_entries WHERE id = $1"), &params![id], read)?;
    stored.map(|row| row.shown(tx, &mut Ring::default())).transpose()
}

/// These entries, each where its id is; none where it is not there any more.
pub(super) fn find_all(tx: &mut Tx<'_>, ids: &[i64]) -> Result<Vec<Option<AuditEntry>>, DbError> {
    let mut ring = Ring::default();
    let sql = format!("SELECT {COLUMNS} FROM audit_entries WHERE id = $1");
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        let stored = tx.query_row(&sql, &params![*id], read)?;
        found.push(stored.map(|row| row.shown(tx, &mut ring)).transpose()?);
    }
    Ok(found)
}

/// The sealed columns of an entry that do not open with their keys: what was changed in it is there, or in what says whose
/// keys they are.
///
/// # Errors
/// When the database fails.
pub fn broken(tx: &mut Tx<'_>, id: i64) -> Result<Vec<&'static str>> {
    // What was changed may be no action or actor any more; then no more can be told.
    let stored = tx.query_row(&format!("SELECT {COLUMNS} FROM audit_entries WHERE id = $1"), &params![id], |row| {
        Ok(read(row).ok())
    })?;
    let Some(Stored { entry, before, after, mask }) = stored.flatten() else { return Ok(Vec::new()) };
    let mut opener = opener(tx, &mut Ring::default(), &entry, mask)?;
    let texts = [
        (Column::ActorName, Some(entry.actor.name)),
        (Column::IpAddress, entry.ip_address),
        (Column::UserAgent, entry.user_agent),
        (Column::Description, Some(entry.description)),
        (Column::Before, before),
        (Column::After, after),
        (Column::TokenName, entry.token.and_then(|token| token.name)),
    ];
    let closed = texts.into_iter().filter_map(|(column, text)| Some((column, opener.open(column, &mut text?))));
    Ok(closed.filter(|(_, field)| *field == Field::Broken).map(|(column, _)| column.name()).collect())
}

fn opener(tx: &mut Tx<'_>, ring: &mut Ring, entry: &AuditEntry, mask: i64) -> Result<Opener, DbError> {
    let owners = Owners::of(entry.actor.kind, entry.actor.id, entry.person_id.map(UserId));
    let mut key = |owner: Option<UserId>| owner.map_or(Ok(None), |person| ring.get(tx, person));
    Ok(Opener::new(entry.id, mask, owners, [key(owners.actor)?, key(owners.subject)?]))
}

/// At most `limit` entries behind `place`, newest first, of what `scope` covers. Looks at a bounded number of entries, so
/// there may be less than asked for and still a place to go on from.
pub fn search(tx: &mut Tx<'_>, scope: &Scope, filter: &Filter, place: Place, limit: usize) -> Result<Found, DbError> {
    let branches = Branch::all(scope, filter);
    // A bound of its own would be looked at row by row where the place is what goes down the index.
    let place = filter.to.map_or(place, |to| place.min(Place { at: to, id: i64::MIN }));
    let mut ring = Ring::default();
    let looks = (LOOKS / branches.len().max(1)).max(limit + 1);
    let scanned: Result<Vec<_>, DbError> =
        branches.iter().map(|branch| scan(tx, &mut ring, branch, filter, place, limit, looks)).collect();
    Ok(search::merge(scanned?, limit))
}

/// Where to cut everything behind `place` into pieces that are read by themselves, newest first: at most `most` places, each
/// the last of a piece, with at most `size` rows of each way down between two. None: what is left is one such piece.
pub fn cuts(
    tx: &mut Tx<'_>,
    scope: &Scope,
    filter: &Filter,
    place: Place,
    size: usize,
    most: usize,
) -> Result<Vec<Place>, DbError> {
    let (mut cuts, mut reached) = (Vec::new(), None);
    for branch in Branch::all(scope, filter) {
        let mut last = place;
        let mut found = 0;
        while found < most
            && let Some(next) = step(tx, &branch, last, size)?
        {
            (last, found) = (next, found + 1);
            cuts.push(next);
        }
        if found == most {
            reached = reached.max(Some(last));
        }
    }
    cuts.retain(|cut| reached.is_none_or(|reached| *cut >= reached));
    cuts.sort_unstable_by(|one, other| other.cmp(one));
    cuts.dedup();
    Ok(cuts)
}

/// What [`search`] would find behind `above` down to `end`, which is one of its [`cuts`], or to the last entry.
pub fn piece(
    tx: &mut Tx<'_>,
    scope: &Scope,
    filter: &Filter,
    above: Place,
    end: Option<Place>,
) -> Result<Vec<AuditEntry>, DbError> {
    let (mut ring, mut found) = (Ring::default(), Vec::new());
    for branch in Branch::all(scope, filter) {
        for row in descend(tx, &branch, above, end, usize::MAX)? {
            if branch.fits(filter, &row.entry) {
                found.extend(pass(tx, &mut ring, &branch, filter, row)?);
            }
        }
    }
    found.sort_unstable_by_key(|entry| std::cmp::Reverse(Place::of(entry)));
    Ok(found)
}

/// The entry opened, if it is one of those that are looked for.
fn pass(
    tx: &mut Tx<'_>,
    ring: &mut Ring,
    branch: &Branch,
    filter: &Filter,
    mut row: Stored,
) -> Result<Option<AuditEntry>, DbError> {
    row.open(tx, ring)?;
    let wanted = branch.names(&row.entry) && filter.text.as_ref().is_none_or(|text| row.has(text));
    wanted.then(|| row.shown(tx, ring)).transpose()
}

/// Goes down one index until one entry more than `limit` fits, `looks` entries were looked at, or there are no more.
fn scan(
    tx: &mut Tx<'_>,
    ring: &mut Ring,
    branch: &Branch,
    filter: &Filter,
    mut place: Place,
    limit: usize,
    looks: usize,
) -> Result<Scanned, DbError> {
    let (mut found, mut looked) = (Vec::new(), 0);
    // First as many as could do, then more at once.
    let mut batch = (limit + 1).min(looks);
    while looked < looks {
        let rows = descend(tx, branch, place, None, batch)?;
        let last = rows.len() < batch;
        looked += rows.len();
        for row in rows {
            if filter.from.is_some_and(|from| row.entry.at < from) {
                return Ok(Scanned { found, reached: None });
            }
            place = Place::of(&row.entry);
            if !branch.fits(filter, &row.entry) {
                continue;
            }
            found.extend(pass(tx, ring, branch, filter, row)?);
            if found.len() > limit {
                return Ok(Scanned { found, reached: Some(place) });
            }
        }
        if last {
            return Ok(Scanned { found, reached: None });
        }
        batch = BATCH.max(limit + 1).min(looks.saturating_sub(looked).max(1));
    }
    Ok(Scanned { found, reached: Some(place) })
}

/// The next rows of one index, down to `end` if there is one.
fn descend(
    tx: &mut Tx<'_>,
    branch: &Branch,
    place: Place,
    end: Option<Place>,
    most: usize,
) -> Result<Vec<Stored>, DbError> {
    let mut params = params![place.at, place.id, i64::try_from(most).unwrap_or(i64::MAX)].to_vec();
    let mut conditions = conditions(branch, &mut params);
    if let Some(end) = end {
        params.extend([Val::from(end.at), Val::I64(end.id)]);
        conditions.push_str(&format!(" AND (at, id) >= (${}, ${})", params.len() - 1, params.len()));
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM audit_entries WHERE (at, id) < ($1, $2){conditions} ORDER BY at DESC, id DESC LIMIT $3"
    );
    tx.query_map(&sql, &params, read)
}

/// The place `size` rows down one index.
fn step(tx: &mut Tx<'_>, branch: &Branch, place: Place, size: usize) -> Result<Option<Place>, DbError> {
    let mut params = params![place.at, place.id, i64::try_from(size).unwrap_or(i64::MAX).saturating_sub(1)].to_vec();
    let conditions = conditions(branch, &mut params);
    let sql = format!(
        "SELECT at, id FROM audit_entries WHERE (at, id) < ($1, $2){conditions} ORDER BY at DESC, id DESC LIMIT 1 OFFSET $3"
    );
    tx.query_row(&sql, &params, |row| Ok(Place { at: row.get(0)?, id: row.get(1)? }))
}

/// What narrows the way down an index, behind the conditions on the place.
fn conditions(branch: &Branch, params: &mut Vec<Val>) -> String {
    let mut sql = String::new();
    for (condition, value) in branch.conditions() {
        sql.push_str(" AND ");
        sql.push_str(condition);
        if let Some(value) = value {
            params.push(value);
            sql.push_str(&format!(" ${}", params.len()));
        }
    }
    sql
}

/// The entries by a person and about them, oldest first, behind `after`: at most `limit`. For handing a person their data.
///
/// # Errors
/// When the database fails.
pub fn of_person(tx: &mut Tx<'_>, person: UserId, after: i64, limit: i64) -> Result<Vec<AuditEntry>> {
    let mut stored = Vec::new();
    // One after the other, so that each goes by an index.
    for column in ["actor_id", "person_id"] {
        let sql = format!("SELECT {COLUMNS} FROM audit_entries WHERE {column} = $1 AND id > $2 ORDER BY id LIMIT $3");
        stored.extend(tx.query_map(&sql, &params![person.0, after, limit], read)?);
    }
    stored.sort_by_key(|row: &Stored| row.entry.id);
    stored.dedup_by_key(|row| row.entry.id);
    stored.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut ring = Ring::default();
    let shown = stored.into_iter().map(|row| row.shown(tx, &mut ring));
    Ok(shown.collect::<Result<_, DbError>>()?)
}

/// An entry as it lies in the table.
struct Stored {
    entry: AuditEntry,
    before: Option<String>,
    after: Option<String>,
    mask: i64,
}

impl Stored {
    /// Opens everything in it that can be read; once is enough.
    fn open(&mut self, tx: &mut Tx<'_>, ring: &mut Ring) -> Result<(), DbError> {
        if self.mask == 0 {
            return Ok(());
        }
        let mut opener = opener(tx, ring, &self.entry, self.mask)?;
        let Self { entry, before, after, mask } = self;
        let mut open = |column, text: &mut String| match opener.open(column, text) {
            Field::Plain => Ok(()),
            Field::Broken => Err(None),
            Field::Erased(person) => {
                entry.erased = true;
                Err(Some(person))
            }
        };
        if let Err(gone) = open(Column::ActorName, &mut entry.actor.name) {
            entry.actor.name = gone.map_or_else(|| BROKEN.to_owned(), |person| format!("erased person {}", person.0));
        }
        if let Err(gone) = open(Column::Description, &mut entry.description) {
            entry.description = gone.map_or(BROKEN, |_| "erased").to_owned();
        }
        let mut some = |column, text: &mut Option<String>| {
            if text.as_mut().is_some_and(|text| open(column, text).is_err()) {
                *text = None;
            }
        };
        some(Column::IpAddress, &mut entry.ip_address);
        some(Column::UserAgent, &mut entry.user_agent);
        if let Some(token) = &mut entry.token {
            some(Column::TokenName, &mut token.name);
        }
        some(Column::Before, before);
        some(Column::After, after);
        *mask = 0;
        Ok(())
    }

    fn has(&self, text: &Text) -> bool {
        let Self { entry, before, after, .. } = self;
        let some = |field: &Option<String>| field.as_deref().is_some_and(|field| text.is_in(field));
        text.is_in(&entry.description)
            || text.is_in(&entry.actor.name)
            || some(&entry.resource_id)
            || some(before)
            || some(after)
    }

    /// The entry with everything in it that can be read.
    fn shown(mut self, tx: &mut Tx<'_>, ring: &mut Ring) -> Result<AuditEntry, DbError> {
        self.open(tx, ring)?;
        let json = |text: Option<String>| text.and_then(|text| RawValue::from_string(text).ok());
        (self.entry.before, self.entry.after) = (json(self.before), json(self.after));
        Ok(self.entry)
    }
}

fn read(row: &Row<'_>) -> Result<Stored, DbError> {
    let kind: String = row.get(3)?;
    let action: String = row.get(6)?;
    let entry = AuditEntry {
        id: row.get(0)?,
        at: row.get(1)?,
        organization_id: row.get(2)?,
        actor: Actor { kind: actor_kind(&kind)?, id: row.get(4)?, name: row.get(5)? },
        person_id: row.get(16)?,
        action: AuditAction::parse(&action).map_err(|error| DbError::Other(error.to_string()))?,
        resource_type: row.get(7)?,
        resource_id: row.get(8)?,
        description: row.get(9)?,
        success: row.get(10)?,
        before: None,
        after: None,
        ip_address: row.get(13)?,
        user_agent: row.get(14)?,
        request_id: row.get(15)?,
        token: row
            .get::<Option<i64>>(18)?
            .map(|id| Ok::<_, DbError>(EntryToken { id, name: row.get(19)? }))
            .transpose()?,
        erased: false,
    };
    Ok(Stored { entry, before: row.get(11)?, after: row.get(12)?, mask: row.get(17)? })
}

fn actor_kind(code: &str) -> Result<ActorKind, DbError> {
    ActorKind::ALL
        .into_iter()
        .find(|kind| kind.code() == code)
        .ok_or_else(|| DbError::Other(format!("audit_entries.actor_kind holds `{code}`, which is no kind of actor")))
}
