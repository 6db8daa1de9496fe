//! All SQL of the trail: append and list. There is no update and no delete, here or in the database.

use super::{AuditAction, AuditEntry, Event};
use crate::access::actions::AuditRead;
use crate::access::{Actor, ActorKind, Origin, Permit};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};

pub fn insert(tx: &mut Tx<'_>, at: Time, actor: &Actor, origin: &Origin, event: &Event) -> Result<()> {
    let id = tx.next_id()?;
    tx.execute(
        "INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_id, actor_name, action, resource_type, \
         resource_id, description, success, before_json, after_json, ip_address, user_agent, request_id) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        &params![
            id,
            at,
            event.org.map(|org| org.0),
            actor.kind.code(),
            actor.id,
            actor.name.as_str(),
            event.action.code(),
            event.resource_type,
            event.resource_id.clone(),
            event.description.as_str(),
            event.success,
            event.before.clone(),
            event.after.clone(),
            origin.ip_address.clone(),
            origin.user_agent.clone(),
            origin.request_id.clone(),
        ],
    )?;
    Ok(())
}

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
         description, success, before_json, after_json, ip_address, user_agent, request_id \
         FROM audit_entries WHERE {} ORDER BY id DESC LIMIT $2",
        conditions.join(" AND ")
    );
    Ok(tx.query_map(&sql, &params, read)?)
}

fn read(row: &Row<'_>) -> Result<AuditEntry, DbError> {
    let kind: String = row.get(3)?;
    let action: String = row.get(6)?;
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    Ok(AuditEntry {
        id: row.get(0)?,
        at: row.get(1)?,
        organization_id: row.get(2)?,
        actor: Actor { kind: actor_kind(&kind)?, id: row.get(4)?, name: row.get(5)? },
        action: AuditAction::parse(&action).map_err(|error| DbError::Other(error.to_string()))?,
        resource_type: row.get(7)?,
        resource_id: row.get(8)?,
        description: row.get(9)?,
        success: row.get(10)?,
        before: json(row.get(11)?),
        after: json(row.get(12)?),
        ip_address: row.get(13)?,
        user_agent: row.get(14)?,
        request_id: row.get(15)?,
    })
}

fn actor_kind(code: &str) -> Result<ActorKind, DbError> {
    [ActorKind::User, ActorKind::Operator, ActorKind::Agent, ActorKind::System, ActorKind::Anonymous]
        .into_iter()
        .find(|kind| kind.code() == code)
        .ok_or_else(|| DbError::Other(format!("audit_entries.actor_kind holds `{code}`, which is no kind of actor")))
}
