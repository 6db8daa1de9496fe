//! Quotas over HTTP: everybody in an organisation sees them, a super admin sets them.

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

/// An organisation's quotas.
#[derive(Debug, Serialize, ToSchema)]
struct QuotaList {
    items: Vec<Quota>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SetQuota {
    /// Null means unlimited.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required = true)]
    limit_value: Option<i64>,
}

/// The quotas of an organisation with what is used.
#[utoipa::path(get, path = "/api/organizations/{id}/quotas", tag = "quotas", params(("id" = i64, Path)),
    responses((status = 200, body = QuotaList), (status = "default", response = Problem)))]
async fn list(State(quotas): State<Quotas>, permit: Permit<QuotaView>, Path(id): Path<i64>) -> Result<Json<QuotaList>> {
    let org = OrgId(id);
    permit.require(org, "such organization")?;
    let items = quotas.meter.db.read(move |tx| store::list(tx, org)).await?;
    if items.is_empty() {
        return Err(Error::not_found("such organization"));
    }
    Ok(Json(QuotaList { items }))
}

/// Sets a limit. A lower one than what is used stops further use and takes nothing away.
#[utoipa::path(put, path = "/api/organizations/{id}/quotas/{resource}", tag = "quotas", request_body = SetQuota,
    params(("id" = i64, Path), ("resource" = String, Path, description = "projects or llm_tokens")),
    responses((status = 200, body = Quota), (status = "default", response = Problem)))]
async fn set(
    State(quotas): State<Quotas>,
    permit: Permit<QuotaManage>,
    Path((id, resource)): Path<(i64, String)>,
    Json(SetQuota { limit_value }): Json<SetQuota>,
) -> Result<Json<Quota>> {
    if limit_value.is_some_and(|limit| limit < 0) {
        let sentence = "limit_value is below zero. Use 0 to allow nothing, null to allow everything.";
        return Err(Error::invalid("invalid_limit", sentence).field("limit_value"));
    }
    let (org, resource, now) = (OrgId(id), Resource::parse(&resource)?, quotas.meter.clock.now());
    let quota = quotas.meter.db.write(move |tx| {
        let (before, after) = store::set_limit(tx, &permit, org, resource, limit_value)?;
        let event = Event::new(AuditAction::Update, "quota", format!("Set the limit of {}", resource.code()));
        let event = event.id(resource.code()).org(org).before(&before).after(&after);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(after)
    });
    let quota = quota.await?;
    if resource == Resource::LlmTokens {
        quotas.shed(org);
    }
    Ok(Json(quota))
}
