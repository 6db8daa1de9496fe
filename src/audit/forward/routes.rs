//! Forwarding over HTTP: how it stands.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Forward, ForwardStatus};
use crate::access::Permit;
use crate::access::actions::AuditManage;
use crate::base::error::Result;
use crate::web::{Json, Problem};

impl Forward {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(status)).with_state(self)
    }
}

/// Where the trail is sent.
#[derive(Debug, Serialize, ToSchema)]
struct ForwardList {
    /// Empty when it is sent nowhere.
    items: Vec<ForwardStatus>,
}

/// Where the audit trail is sent as it grows, and how far each destination has got. Administrators of the site only.
#[utoipa::path(get, path = "/api/audit/forward", tag = "audit",
    responses((status = 200, body = ForwardList), (status = "default", response = Problem)))]
async fn status(State(forward): State<Forward>, permit: Permit<AuditManage>) -> Result<Json<ForwardList>> {
    permit.require_site()?;
    Ok(Json(ForwardList { items: forward.status().await? }))
}
