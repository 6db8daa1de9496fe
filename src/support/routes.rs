//! What the server has to do with bundles: it records them. Making one needs no server.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Made, record};
use crate::access::Permit;
use crate::access::actions::OrganizationManage;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::db::Db;
use crate::web::{Json, Problem};

/// The room, as the server has it.
#[derive(Clone)]
pub struct Support {
    pub db: Db,
    pub clock: Clock,
}

impl Support {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(made)).with_state(self)
    }
}

/// Record in the audit trail that a support bundle was made on the server's machine. `resoftai support-bundle` makes them.
/// Administrators of the site only.
#[utoipa::path(post, path = "/api/system/support-bundles", tag = "operation", request_body = Made,
    responses((status = 201, body = Made), (status = "default", response = Problem)))]
async fn made(
    State(support): State<Support>,
    permit: Permit<OrganizationManage>,
    Json(made): Json<Made>,
) -> Result<(StatusCode, Json<Made>)> {
    permit.require_site()?;
    let is_name = (1..=200).contains(&made.file.chars().count()) && !made.file.chars().any(char::is_control);
    let is_hash = made.sha256.len() == 64 && made.sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_name || !is_hash {
        let sentence = "A bundle has a name of 1 to 200 characters and a SHA-256 in lower-case hexadecimal.";
        return Err(Error::invalid("support_bundle", sentence).field(if is_name { "sha256" } else { "file" }));
    }
    let (now, caller, kept) = (support.clock.now(), permit.caller().clone(), made.clone());
    support.db.write(move |tx| record(tx, now, &caller, &kept)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}
