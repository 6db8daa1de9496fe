//! The evidence over HTTP.

use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::archive;
use crate::access::actions::AuditExport;
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::Result;
use crate::orgs;
use crate::privacy::Privacy;
use crate::web::{Path, Problem};

pub fn routes() -> OpenApiRouter<Privacy> {
    OpenApiRouter::new().routes(routes!(of_site)).routes(routes!(of_organization))
}

impl Privacy {
    /// That it is taken is recorded before the first byte goes out.
    async fn evidence(self, permit: Permit<AuditExport>, org: Option<OrgId>) -> Result<Response> {
        let (turn, now) = (self.turn()?, self.clock.now());
        let found = self.db.write(move |tx| {
            let whose = org.map(|org| orgs::store::by_id(tx, org)).transpose()?;
            let of = whose.as_ref().map_or_else(|| "the site".to_owned(), |org| format!("organisation {}", org.slug));
            let mut event = Event::new(AuditAction::Export, "evidence", format!("Exported the evidence of {of}"));
            event.org = org;
            audit::record(tx, now, permit.caller(), &event)?;
            Ok(whose)
        });
        let whose = found.await?;
        Ok(archive(self, whose, turn))
    }
}

/// What auditors ask for about the whole site, as a zip: who holds which role since when, accounts, tokens, invitations,
/// settings without secrets, quotas, checkpoints of all audit logs, what retention and erasure took away. Each table as JSON
/// and CSV, with a README.txt, a manifest and SHA256SUMS. That it was taken is recorded.
#[utoipa::path(get, path = "/api/evidence", tag = "audit",
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"),
        (status = "default", response = Problem)))]
async fn of_site(State(privacy): State<Privacy>, permit: Permit<AuditExport>) -> Result<Response> {
    permit.require_site()?;
    privacy.evidence(permit, None).await
}

/// The same about one organisation: its people, its roles, its settings, its audit log.
#[utoipa::path(get, path = "/api/organizations/{id}/evidence", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"),
        (status = "default", response = Problem)))]
async fn of_organization(
    State(privacy): State<Privacy>,
    permit: Permit<AuditExport>,
    Path(id): Path<i64>,
) -> Result<Response> {
    permit.require(OrgId(id), "such organization")?;
    privacy.evidence(permit, Some(OrgId(id))).await
}
