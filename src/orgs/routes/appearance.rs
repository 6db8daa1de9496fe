//! An organisation's logo over HTTP.
//!
//! Invariant: a logo is answered with a policy of its own under which nothing in it runs, whatever a browser takes it for.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::access::actions::{OrganizationManage, OrganizationRead};
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::crypto;
use crate::base::error::{Error, Result};
use crate::orgs::store::Logo;
use crate::orgs::{Organization, Orgs, logo, store};
use crate::web::extract::read_body;
use crate::web::{Json, Path, Problem};

const POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";

/// The logo of an organisation. Its address changes with the picture, so it may be kept.
#[utoipa::path(get, path = "/api/organizations/{id}/logo", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "image/png"), (status = "default", response = Problem)))]
pub async fn logo(State(orgs): State<Orgs>, permit: Permit<OrganizationRead>, Path(id): Path<i64>) -> Result<Response> {
    let logo = orgs.db.read(move |tx| store::logo(tx, &permit, OrgId(id))).await?;
    let headers = [
        (header::CONTENT_TYPE, logo.media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY.to_owned()),
        (header::CACHE_CONTROL, "private, max-age=3600".to_owned()),
        (header::ETAG, format!("\"{}\"", logo.sha256)),
    ];
    Ok((headers, logo.bytes).into_response())
}

/// Set the logo of an organisation: a PNG, JPEG or WebP picture of at most 256 KiB and 2048 by 2048 pixels.
#[utoipa::path(put, path = "/api/organizations/{id}/logo", tag = "organizations", params(("id" = i64, Path)),
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
pub async fn set_logo(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
    request: Request,
) -> Result<Json<Organization>> {
    let (id, now) = (OrgId(id), orgs.clock.now());
    permit.require(id, "such organization")?;
    let bytes = read_body(request, logo::BYTES_MAX).await?.to_vec();
    let media_type = logo::check(&bytes)?.to_owned();
    let new = Logo { media_type, sha256: crypto::sha256_hex(&bytes), bytes };
    let org = orgs.db.write(move |tx| {
        let before = store::covered(tx, &permit, id)?;
        store::set_logo(tx, &permit, id, &new)?;
        let after = json!({"media_type": new.media_type, "sha256": new.sha256, "bytes": new.bytes.len()});
        let event = Event::new(AuditAction::Update, "organization", "Changed the organisation's logo");
        let event = event.id(id.0).org(id).before(&json!({"logo": before.logo})).after(&after);
        audit::record(tx, now, permit.caller(), &event)?;
        store::covered(tx, &permit, id)
    });
    org.await.map(Json)
}

/// Remove the logo of an organisation.
#[utoipa::path(delete, path = "/api/organizations/{id}/logo", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn remove_logo(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let (id, now) = (OrgId(id), orgs.clock.now());
    orgs.db
        .write(move |tx| {
            let before = store::covered(tx, &permit, id)?;
            if !store::remove_logo(tx, &permit, id)? {
                return Err(Error::not_found("such logo"));
            }
            let event = Event::new(AuditAction::Update, "organization", "Removed the organisation's logo");
            let event = event.id(id.0).org(id).before(&json!({"logo": before.logo}));
            audit::record(tx, now, permit.caller(), &event)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
