//! Organisations over HTTP. The call that makes one is in `accounts`, for it may name who administers it.

mod appearance;
mod lifecycle;
mod settings;

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{OrgStatus, Organization, OrganizationChange, Orgs, check_tier, store};
use crate::access::actions::{OrganizationManage, OrganizationRead};
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::base::page::{List, PageQuery, check_part};
use crate::web::{Json, Path, Problem, Query, SignedIn};

impl Orgs {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(get, update, lifecycle::delete))
            .routes(routes!(lifecycle::suspend))
            .routes(routes!(lifecycle::resume))
            .routes(routes!(lifecycle::restore))
            .routes(routes!(settings::get, settings::put))
            .routes(routes!(appearance::logo, appearance::set_logo, appearance::remove_logo))
            .with_state(self)
    }
}

/// Which organisations are wanted; what is absent rules none out.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OrganizationFilter {
    pub status: Option<OrgStatus>,
    /// free, starter, professional or enterprise.
    pub tier: Option<String>,
    /// A part of the name or the slug, whatever its case; at most 100 characters.
    pub q: Option<String>,
}

impl OrganizationFilter {
    fn check(&self) -> Result<()> {
        self.tier.as_deref().map_or(Ok(()), check_tier)?;
        check_part(self.q.as_ref())
    }
}

/// The organisations the caller belongs to; for site administrators, all.
#[utoipa::path(get, path = "/api/organizations", tag = "organizations", params(PageQuery, OrganizationFilter),
    responses((status = 200, body = List<Organization>), (status = "default", response = Problem)))]
async fn list(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationRead>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<OrganizationFilter>,
) -> Result<Json<List<Organization>>> {
    let page = query.check()?;
    filter.check()?;
    let found = orgs.db.read(move |tx| store::list(tx, &permit, &filter, page)).await?;
    Ok(Json(page.list(found, |org| org.id)))
}

/// One organisation. Its people read it also while it is suspended or to be deleted.
#[utoipa::path(get, path = "/api/organizations/{id}", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
async fn get(State(orgs): State<Orgs>, SignedIn(caller): SignedIn, Path(id): Path<i64>) -> Result<Json<Organization>> {
    let id = OrgId(id);
    if caller.grants.why_closed(id).is_none() {
        caller.permit::<OrganizationRead>()?.require(id, "such organization")?;
    }
    orgs.db.read(move |tx| store::by_id(tx, id)).await.map(Json)
}

/// Change an organisation. Its administrators change whom to write to and how it calls itself; the site changes its name
/// and tier.
#[utoipa::path(put, path = "/api/organizations/{id}", tag = "organizations", params(("id" = i64, Path)),
    request_body = OrganizationChange,
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
async fn update(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationManage>,
    Path(id): Path<i64>,
    Json(mut change): Json<OrganizationChange>,
) -> Result<Json<Organization>> {
    change.check()?;
    let (id, now, moved) = (OrgId(id), orgs.clock.now(), change.tier.is_some());
    let org = orgs.db.write(move |tx| Orgs::update(tx, &permit, now, id, &change)).await?;
    if moved {
        orgs.quotas.shed(id);
    }
    Ok(Json(org))
}
