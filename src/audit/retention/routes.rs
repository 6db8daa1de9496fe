//! Retention over HTTP.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Retention, store};
use crate::access::actions::AuditManage;
use crate::access::{OrgId, Permit};
use crate::audit::routes::Audit;
use crate::audit::{AuditAction, Event, record};
use crate::base::error::{Error, Result};
use crate::web::{Json, Path, Problem};

pub fn routes() -> OpenApiRouter<Audit> {
    OpenApiRouter::new().routes(routes!(show, set))
}

/// How long an organisation keeps the entries of its trail.
#[utoipa::path(get, path = "/api/organizations/{id}/audit/retention", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = Retention), (status = "default", response = Problem)))]
async fn show(State(audit): State<Audit>, permit: Permit<AuditManage>, Path(id): Path<i64>) -> Result<Json<Retention>> {
    permit.require(OrgId(id), "such organization")?;
    let days = audit.db.read(move |tx| Ok(store::get(tx, OrgId(id))?)).await?;
    days.map(|days| Json(Retention { days })).ok_or_else(|| Error::not_found("such organization"))
}

/// Set how long an organisation keeps the entries of its trail. Older ones are dropped within the hour and do not come
/// back; their hashes stay in the log, so what is left still verifies.
#[utoipa::path(put, path = "/api/organizations/{id}/audit/retention", tag = "audit", params(("id" = i64, Path)),
    request_body = Retention, responses((status = 200, body = Retention), (status = "default", response = Problem)))]
async fn set(
    State(audit): State<Audit>,
    permit: Permit<AuditManage>,
    Path(id): Path<i64>,
    Json(wanted): Json<Retention>,
) -> Result<Json<Retention>> {
    wanted.check()?;
    let (org, now) = (OrgId(id), audit.clock.now());
    let done = audit.db.write(move |tx| {
        let before = Retention { days: store::set(tx, &permit, now, org, wanted.days)? };
        let event = Event::new(AuditAction::Update, "audit_retention", "Set how long entries of the trail are kept");
        record(tx, now, permit.caller(), &event.id(id).org(org).before(&before).after(&wanted))
    });
    done.await.map(|()| Json(wanted))
}
