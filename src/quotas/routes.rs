//! Quotas over HTTP.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Quota, Quotas, Resource, store};
use crate::access::actions::{QuotaManage, QuotaView};
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::web::{Json, Path, Problem};

impl Quotas {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(list)).routes(routes!(set)).with_state(self)
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct QuotaList {
    items: Vec<Quota>,
}

/// What an organisation may have and has.
#[utoipa::path(get, path = "/api/organizations/{id}/quotas", tag = "quotas", params(("id" = i64, Path)),
    responses((status = 200, body = QuotaList), (status = "default", response = Problem)))]
async fn list(State(quotas): State<Quotas>, permit: Permit<QuotaView>, Path(id): Path<i64>) -> Result<Json<QuotaList>> {
    let items = quotas.db.read(move |tx| store::list(tx, &permit, OrgId(id))).await?;
    Ok(Json(QuotaList { items }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLimit {
    /// Null: without limit.
    #[serde(deserialize_with = "Option::deserialize")]
    limit_value: Option<i64>,
}

/// Set a limit.
#[utoipa::path(put, path = "/api/organizations/{id}/quotas/{resource}", tag = "quotas",
    params(("id" = i64, Path), ("resource" = String, Path)), request_body = NewLimit,
    responses((status = 200, body = Quota), (status = "default", response = Problem)))]
async fn set(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path((id, resource)): Path<(i64, String)>,
    Json(body): Json<NewLimit>,
) -> Result<Json<Quota>> {
    let resource = Resource::parse(&resource)?;
    if body.limit_value.is_some_and(|limit| limit < 0) {
        return Err(Error::invalid("invalid_limit", "A limit is zero or more, or null for none.").field("limit_value"));
    }
    let now = quotas.clock.now();
    quotas
        .db
        .write(move |tx| {
            let (before, after) = store::set_limit(tx, &permit, OrgId(id), resource, body.limit_value)?;
            let event = Event::new(AuditAction::Update, "quota", format!("Set the limit of {}", resource.code()));
            let event = event.id(resource.code()).org(OrgId(id)).before(&before).after(&after);
            audit::record(tx, now, permit.caller(), &event)?;
            Ok(after)
        })
        .await
        .map(Json)
}
