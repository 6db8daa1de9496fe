//! Reading the trail over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, Filter};
use super::{AuditAction, AuditEntry};
use crate::access::Permit;
use crate::access::actions::AuditRead;
use crate::base::error::Result;
use crate::base::page::{List, PageQuery};
use crate::db::Db;
use crate::web::{Json, Problem, Query};

/// The trail's room.
#[derive(Clone)]
pub struct Audit {
    pub db: Db,
}

impl Audit {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(list)).with_state(self)
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
    /// The actor's exact name.
    actor: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

/// The audit trail, newest first.
#[utoipa::path(get, path = "/api/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = List<AuditEntry>), (status = "default", response = Problem)))]
async fn list(
    State(audit): State<Audit>,
    permit: Permit<AuditRead>,
    Query(query): Query<AuditQuery>,
) -> Result<Json<List<AuditEntry>>> {
    let page = PageQuery { limit: query.limit, cursor: query.cursor }.check()?;
    let filter = Filter {
        organization_id: query.organization_id,
        action: query.action.as_deref().map(AuditAction::parse).transpose()?,
        resource_type: query.resource_type,
        resource_id: query.resource_id,
        actor: query.actor,
    };
    let entries = audit.db.read(move |tx| store::list(tx, &permit, &filter, page)).await?;
    Ok(Json(page.list(entries, |entry| entry.id)))
}
