//! All SQL of the trail: append and list, and the keys its fields are sealed with. There is no update and no delete of an
//! entry, here or in the database.

use super::keys::{self, Ring};
use super::seal::{Column, Field, Opener, Owners, Sealer};
use super::{AuditAction, AuditEntry, Event};
use crate::access::actions::AuditRead;
use crate::access::{Actor, ActorKind, Origin, Permit, UserId};
use crate::base::clock::Time;
use crate::base::crypto::Key;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

pub fn insert(tx: &mut Tx<'_>, at: Time, actor: &Actor, origin: &Origin, event: &Event) -> Result<()> {
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
    tx.execute(
        "INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, \
         resource_id, description, success, before_json, after_json, ip_address, user_agent, request_id, person_id, sealed) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
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
        ],
    )?;
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

/// What a listing may be narrowed to; absent means any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub organization_id: Option<i64>,
    pub action: Option<AuditAction>,
    pub resource_type: Option<String>,
    pub resource_id: Option<String>,
    pub actor: Option<String>,
}

/// Newest first, over the organisations the permit covers.
pub fn list(tx: &mut Tx<'_>, permit: &Permit<AuditRead>, filter: &Filter, page: Page) -> Result<Vec<AuditEntry>> {
    let mut params: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let mut conditions = vec!["id < $1".to_owned(), permit.sql("organization_id", &mut params)];
    let wanted: [(&str, Option<Val>); 5] = [
        ("organization_id", filter.organization_id.map(Val::I64)),
        ("action", filter.action.map(|action| Val::from(action.code()))),
        ("resource_type", filter.resource_type.clone().map(Val::Text)),
        ("resource_id", filter.resource_id.clone().map(Val::Text)),
        ("actor_name", filter.actor.clone().map(Val::Text)),
    ];
    for (column, value) in wanted {
        if let Some(value) = value {
            params.push(value);
            conditions.push(format!("{column} = ${}", params.len()));
        }
    }
    let sql = format!(
        "SELECT id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, resource_id, \
         description, success, before_json, after_json, ip_address, user_agent, request_id, person_id, sealed \
         FROM audit_entries WHERE {} ORDER BY id DESC LIMIT $2",
        conditions.join(" AND ")
    );
    let stored = tx.query_map(&sql, &params, read)?;
    let mut ring = Ring::default();
    Ok(stored.into_iter().map(|row| row.open(tx, &mut ring)).collect::<Result<_, _>>()?)
}

/// An entry as it lies in the table.
struct Stored {
    entry: AuditEntry,
    before: Option<String>,
    after: Option<String>,
    mask: i64,
}

impl Stored {
    /// The entry as it is shown.
    fn open(self, tx: &mut Tx<'_>, ring: &mut Ring) -> Result<AuditEntry, DbError> {
        let Self { mut entry, before, after, mask } = self;
        let owners = Owners::of(entry.actor.kind, entry.actor.id, entry.person_id.map(UserId));
        let mut key = |owner: Option<UserId>| match owner.filter(|_| mask != 0) {
            Some(person) => ring.get(tx, person),
            None => Ok(None),
        };
        let opener = Opener { entry: entry.id, mask, owners, actor: key(owners.actor)?, subject: key(owners.subject)? };
        let mut erased = false;
        let mut open = |column, text| match opener.open(column, text) {
            Field::Erased(person) => {
                erased = true;
                Err(Some(person))
            }
            Field::Broken => Err(None),
            Field::Plain(text) => Ok(text),
        };
        entry.actor.name = open(Column::ActorName, entry.actor.name)
            .unwrap_or_else(|gone| gone.map_or(BROKEN.to_owned(), |person| format!("erased person {}", person.0)));
        entry.description = open(Column::Description, entry.description)
            .unwrap_or_else(|gone| gone.map_or(BROKEN, |_| "erased").to_owned());
        let mut some = |column, text: Option<String>| text.and_then(|text| open(column, text).ok());
        entry.ip_address = some(Column::IpAddress, entry.ip_address);
        entry.user_agent = some(Column::UserAgent, entry.user_agent);
        let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        entry.before = json(some(Column::Before, before));
        entry.after = json(some(Column::After, after));
        entry.erased = erased;
        Ok(entry)
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
        erased: false,
    };
    Ok(Stored { entry, before: row.get(11)?, after: row.get(12)?, mask: row.get(17)? })
}

fn actor_kind(code: &str) -> Result<ActorKind, DbError> {
    [ActorKind::User, ActorKind::Operator, ActorKind::Agent, ActorKind::System, ActorKind::Anonymous]
        .into_iter()
        .find(|kind| kind.code() == code)
        .ok_or_else(|| DbError::Other(format!("audit_entries.actor_kind holds `{code}`, which is no kind of actor")))
}
