//! The licence over HTTP: for the site's administrators.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Licence;
use super::shown::LicenceStatus;
use crate::access::Permit;
use crate::access::actions::OrganizationManage;
use crate::base::error::Result;
use crate::web::{Json, Problem};

impl Licence {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(status, install))
            .routes(routes!(install_revocations))
            .routes(routes!(report))
            .with_state(self)
    }

    async fn shown(&self) -> Result<Json<LicenceStatus>> {
        self.standing().await.map(Json)
    }
}

/// How the site's licence, its seats and its features stand. Administrators of the site only.
#[utoipa::path(get, path = "/api/licence", tag = "licence",
    responses((status = 200, body = LicenceStatus), (status = "default", response = Problem)))]
async fn status(State(licence): State<Licence>, permit: Permit<OrganizationManage>) -> Result<Json<LicenceStatus>> {
    permit.require_site()?;
    licence.shown().await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewLicence {
    /// The file's text: a compact JWS of at most 64 KiB.
    licence: String,
}

/// Install a licence; it takes effect at once. One that does not count yet waits for its day. Administrators of the site
/// only.
#[utoipa::path(put, path = "/api/licence", tag = "licence", request_body = NewLicence,
    responses((status = 200, body = LicenceStatus), (status = "default", response = Problem)))]
async fn install(
    State(licence): State<Licence>,
    permit: Permit<OrganizationManage>,
    Json(body): Json<NewLicence>,
) -> Result<Json<LicenceStatus>> {
    permit.require_site()?;
    licence.install(permit.caller().clone(), body.licence).await?;
    licence.shown().await
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRevocations {
    /// The file's text: a compact JWS of at most 512 KiB.
    revocations: String,
}

/// Install a vendor's list of licences that were taken back; it takes effect at once. Administrators of the site only.
#[utoipa::path(put, path = "/api/licence/revocations", tag = "licence", request_body = NewRevocations,
    responses((status = 200, body = LicenceStatus), (status = "default", response = Problem)))]
async fn install_revocations(
    State(licence): State<Licence>,
    permit: Permit<OrganizationManage>,
    Json(body): Json<NewRevocations>,
) -> Result<Json<LicenceStatus>> {
    permit.require_site()?;
    licence.install_revocations(permit.caller().clone(), &body.revocations).await?;
    licence.shown().await
}

/// What the site used, as a signed note for the licence's vendor; it names nobody. Administrators of the site only.
#[utoipa::path(get, path = "/api/licence/report", tag = "licence",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", response = Problem)))]
async fn report(State(licence): State<Licence>, permit: Permit<OrganizationManage>) -> Result<Response> {
    permit.require_site()?;
    let note = licence.report(permit.caller_arc().clone()).await?;
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"resoftai-usage.txt\""),
    ];
    Ok((headers, note).into_response())
}
