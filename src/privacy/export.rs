//! All data of a person as a zip: `data/<table>.json` for programs, `index.html` for people.
//!
//! Invariant: it holds every column of the person's rows that the inventory knows, except secrets; of what they wrote for an
//! organisation only what they may still read there. A page of rows is in memory at a time, however much there is.

use std::io::{self, Write};

use axum::response::Response;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;

use super::inventory::{Class, Rows, Table};
use super::page::Index;
use super::tables::TABLES;
use super::{Person, Privacy, store};
use crate::access::{Actor, ActorKind, Grants, Permission, PermissionSet, Place, UserId};
use crate::audit::{self, AuditEntry};
use crate::base::clock::Time;
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::db::{Tx, Val};
use crate::web::archive::{Zip, attachment};

/// Rows read at a time.
const PAGE: i64 = 500;

/// The archive, made while it is sent. `turn` is given back at its end.
pub fn archive(privacy: Privacy, person: Person, turn: OwnedSemaphorePermit) -> Response {
    let name = format!("person-{}.zip", person.id.0);
    let body = async_stream::try_stream! {
        let _turn = turn;
        let (mut zip, mut index) = (Zip::default(), Index::new(&person, privacy.clock.now()));
        for table in TABLES.iter().filter(|table| table.rows != Rows::Nobody) {
            zip.start(&format!("data/{}.json", table.name))?;
            index.table(table);
            let (mut after, mut lead) = (Vec::new(), "[");
            loop {
                let page = privacy.rows(table, &person, after).await.map_err(io::Error::other)?;
                for object in page.objects {
                    zip.write_all(format!("{lead}\n{object}").as_bytes())?;
                    index.row(&object);
                    lead = ",";
                }
                yield zip.take();
                after = page.last;
                if after.is_empty() {
                    break;
                }
            }
            zip.write_all(if lead == "[" { b"[]\n" } else { b"\n]\n" })?;
        }
        zip.start("index.html")?;
        zip.write_all(index.finish().as_bytes())?;
        yield zip.finish()?;
    };
    attachment("application/zip", &name, body)
}

/// Some rows, and the key to go on behind; it is empty behind the last ones.
struct Page {
    objects: Vec<Value>,
    last: Vec<Val>,
}

impl Privacy {
    async fn rows(&self, table: &'static Table, person: &Person, after: Vec<Val>) -> Result<Page> {
        let person = person.clone();
        self.db
            .read(move |tx| match table.rows {
                Rows::Trail => trail(tx, &person, &after),
                _ => rows(tx, table, &person, &after),
            })
            .await
    }
}

fn rows(tx: &mut Tx<'_>, table: &Table, person: &Person, after: &[Val]) -> Result<Page> {
    let rows = store::page(tx, table, person, after, PAGE)?;
    let full = rows.len() as i64 == PAGE;
    let last = rows.last().filter(|_| full).map(|row| row[..table.key.len()].to_vec()).unwrap_or_default();
    Ok(Page { objects: rows.into_iter().map(|row| Value::Object(object(table, &person.grants, row))).collect(), last })
}

fn trail(tx: &mut Tx<'_>, person: &Person, after: &[Val]) -> Result<Page> {
    let from = match after {
        [Val::I64(id)] => *id,
        _ => i64::MIN,
    };
    let entries = audit::store::of_person(tx, person.id, from, PAGE)?;
    let full = entries.len() as i64 == PAGE;
    let last = entries.last().filter(|_| full).map(|entry| vec![Val::I64(entry.id)]).unwrap_or_default();
    let objects = entries.into_iter().map(|entry| serde_json::to_value(theirs(entry, person.id)));
    Ok(Page { objects: objects.collect::<Result<_, _>>().map_err(Error::internal)?, last })
}

/// An entry without what is another person's: who else acted and from where, whom else it is about, and the states of what
/// belongs to an organisation.
fn theirs(mut entry: AuditEntry, person: UserId) -> AuditEntry {
    if entry.person_id != Some(person.0) {
        (entry.before, entry.after) = (None, None);
        if entry.person_id.take().is_some() {
            entry.description = "about somebody else".to_owned();
            entry.resource_id = None;
        }
    }
    // Nobody stands behind the others but those who tried to sign in under this name.
    if entry.actor.kind != ActorKind::Anonymous && entry.actor.id != Some(person.0) {
        entry.actor = Actor { id: None, name: "somebody else".to_owned(), ..entry.actor };
        (entry.ip_address, entry.user_agent, entry.token) = (None, None, None);
    }
    entry
}

/// A row by the names of its columns, without the work they may not read any more.
fn object(table: &Table, grants: &Grants, row: Vec<Val>) -> Map<String, Value> {
    let mut object: Map<String, Value> = store::given(table)
        .into_iter()
        .zip(row)
        .map(|(column, value)| (column.to_owned(), shown(table, column, value)))
        .collect();
    let number = |column: &str| object.get(column).and_then(Value::as_i64);
    let (org, team) = (number("organization_id"), number("team_id"));
    let reads = org.is_some() && grants.hold_all(Place::of(org, team), PROJECT_READ);
    if !reads {
        for column in table.of_class(Class::Work).chain(table.of_class(Class::Told)) {
            object.remove(column);
        }
    }
    object
}

const PROJECT_READ: PermissionSet = PermissionSet::of(&[Permission::ProjectRead]);

fn shown(table: &Table, column: &str, value: Val) -> Value {
    let is_time = column == "at" || column.ends_with("_at") || column.ends_with("_until");
    match value {
        Val::Null => Value::Null,
        Val::Bool(truth) => Value::Bool(truth),
        Val::I64(number) if table.is_boolean(column) => Value::Bool(number != 0),
        Val::I64(number) if is_time => Value::String(Time(number).to_string()),
        Val::I64(number) => Value::from(number),
        Val::F64(number) => Value::from(number),
        Val::Bytes(bytes) => Value::String(crypto::hex(&bytes)),
        Val::Text(text) if column.ends_with("_json") => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Val::Text(text) => Value::String(text),
    }
}
