//! Organisations over HTTP. The call that makes one is in `accounts`, for it may name who administers it.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Organization, Orgs, store};
use crate::access::actions::OrganizationRead;
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::base::page::{List, PageQuery};
use crate::web::{Json, Path, Problem, Query};

impl Orgs {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(list)).routes(routes!(get)).with_state(self)
    }
}

/// The organisations the caller belongs to; for site administrators, all.
#[utoipa::path(get, path = "/api/organizations", tag = "organizations", params(PageQuery),
    responses((status = 200, body = List<Organization>), (status = "default", response = Problem)))]
async fn list(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationRead>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Organization>>> {
    let page = query.check()?;
    let found = orgs.db.read(move |tx| store::list(tx, &permit, page)).await?;
    Ok(Json(page.list(found, |org| org.id)))
}

/// One organisation.
#[utoipa::path(get, path = "/api/organizations/{id}", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
async fn get(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationRead>,
    Path(id): Path<i64>,
) -> Result<Json<Organization>> {
    orgs.db.read(move |tx| store::get(tx, &permit, OrgId(id))).await.map(Json)
}
