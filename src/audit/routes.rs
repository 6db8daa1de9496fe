//! Reading the trail over HTTP: a list that is searched, and one entry. Reading one in full is itself an entry.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::export;
use super::retention;
use super::search::{Filter, Name, Place, Text};
use super::store;
use super::{AuditAction, AuditEntry, Event, record};
use crate::access::actions::AuditRead;
use crate::access::{OrgId, Permit, Scope};
use crate::base::clock::{Clock, Time};
use crate::base::error::{Error, Result};
use crate::base::page::PageQuery;
use crate::db::{Db, Tx};
use crate::web::{Json, Path, Problem, Query};

/// Says which accounts have a name: a person's, and those of programs, each with its organisation. They are known a floor
/// above.
pub type AccountsOf = fn(&mut Tx<'_>, &str) -> Result<Vec<(i64, Option<OrgId>)>>;

/// Programs of one name that are looked for at once.
const MOST_OF_A_NAME: usize = 20;

/// The trail's room.
#[derive(Clone)]
pub struct Audit {
    pub db: Db,
    pub clock: Clock,
    pub accounts_of: AccountsOf,
    /// Exports under way.
    pub exports: Arc<Semaphore>,
}

impl Audit {
    pub fn new(db: Db, clock: Clock, accounts_of: AccountsOf) -> Self {
        Self { db, clock, accounts_of, exports: Arc::new(Semaphore::new(export::AT_WORK)) }
    }

    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(export::export))
            .routes(routes!(get))
            .merge(retention::routes())
            .with_state(self)
    }

    /// The actor a filter names, with the accounts of that name: of programs those within `scope`, and of `org` when it
    /// is asked for.
    ///
    /// # Errors
    /// `too_many_actors` when programs of more than 20 organisations are called so.
    pub(super) async fn actor(&self, scope: &Scope, org: Option<i64>, name: Option<String>) -> Result<Option<Name>> {
        let Some(name) = name else { return Ok(None) };
        let (accounts_of, asked) = (self.accounts_of, name.clone());
        let known = self.db.read(move |tx| accounts_of(tx, &asked)).await?;
        let person = known.iter().find(|(_, of)| of.is_none()).map(|(id, _)| *id);
        let seen = |of: OrgId| match scope {
            Scope::Site => true,
            Scope::Within { orgs, .. } => orgs.contains(&of),
        };
        let wanted = |of: OrgId| seen(of) && org.is_none_or(|org| org == of.0);
        let programs = known.into_iter().filter(|(_, of)| of.is_some_and(wanted));
        let programs: Vec<i64> = programs.map(|(id, _)| id).collect();
        if programs.len() > MOST_OF_A_NAME {
            let message = format!(
                "{} service accounts are called so. Name the organisation in organization_id, or one of them in actor_id.",
                programs.len()
            );
            return Err(Error::invalid("too_many_actors", message).field("actor"));
        }
        let accounts = [person.unwrap_or_default()].into_iter().chain(programs).collect();
        Ok(Some(Name { name, accounts }))
    }
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    organization_id: Option<i64>,
    /// create, read, update, delete, login, logout, permission_change, export or execute.
    action: Option<String>,
    /// Such as `project` or `run`.
    resource_type: Option<String>,
    resource_id: Option<String>,
    /// The id of the account that acted.
    actor_id: Option<i64>,
    /// Whoever has this user name now, service accounts of this name, and actors without an account under exactly this name.
    actor: Option<String>,
    /// Whether it was done, or refused or failed.
    success: Option<bool>,
    request_id: Option<String>,
    /// From this moment on (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Time>,
    /// Before this moment (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Time>,
    /// A text in the description, the states before and after, the actor's name or the resource's id; at most 200 bytes.
    q: Option<String>,
    /// How many entries, 1 to 100; 20 when absent.
    limit: Option<u32>,
    /// Where the previous page ended, as its `next_cursor` said.
    cursor: Option<String>,
}

/// A part of the trail, newest first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    pub items: Vec<AuditEntry>,
    /// Pass as `cursor` to go on, also when there are fewer items than asked for; null when nothing older is left.
    pub next_cursor: Option<String>,
    /// How far back this page looked; null when nothing older is left.
    pub searched_to: Option<Time>,
}

/// The audit trail, newest first. A page looks at 5,000 entries at most. When few of them fit it may hold less than
/// `limit`, or nothing: go on with `next_cursor`; `searched_to` says how far back the search has come.
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditList), (status = "default", response = Problem)))]
async fn list(
    State(audit): State<Audit>,
    permit: Permit<AuditRead>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<AuditList>> {
    let limit = PageQuery { limit: query.limit, cursor: None }.check()?.limit as usize;
    let place = query.cursor.as_deref().map_or(Ok(Place::TOP), str::parse)?;
    let filter = Filter {
        organization_id: query.organization_id,
        action: query.action.as_deref().map(AuditAction::parse).transpose()?,
        resource_type: query.resource_type,
        resource_id: query.resource_id,
        actor_id: query.actor_id,
        actor: audit.actor(&permit.scope(), query.organization_id, query.actor).await?,
        success: query.success,
        request_id: query.request_id,
        from: query.from,
        to: query.to,
        text: query.q.as_deref().map(Text::new).transpose()?,
    };
    let found = audit.db.read(move |tx| Ok(store::search(tx, &permit.scope(), &filter, place, limit)?)).await?;
    Ok(Json(AuditList {
        items: found.entries,
        next_cursor: found.next.map(Place::cursor),
        searched_to: found.next.map(|place| place.at),
    }))
}

/// One entry of the trail. That it was read is recorded.
#[utoipa::path(get, path = "/api/audit/{id}", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = AuditEntry), (status = "default", response = Problem)))]
async fn get(State(audit): State<Audit>, permit: Permit<AuditRead>, Path(id): Path<i64>) -> Result<Json<AuditEntry>> {
    let now = audit.clock.now();
    let read = audit.db.write(move |tx| {
        let absent = || Error::not_found(format!("audit entry {id}"));
        let entry = store::find(tx, id)?.ok_or_else(absent)?;
        let org = entry.organization_id.map(OrgId);
        if !org.map_or_else(|| permit.require_site().is_ok(), |org| permit.covers(org)) {
            return Err(absent());
        }
        let mut event = Event::new(AuditAction::Read, "audit_entry", format!("Read audit entry {id}")).id(id);
        event.org = org;
        record(tx, now, permit.caller(), &event)?;
        Ok(entry)
    });
    read.await.map(Json)
}
