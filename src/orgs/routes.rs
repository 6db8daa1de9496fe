//! Organisations over HTTP.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{NewOrganization, Organization, Orgs, store};
use crate::access::actions::{OrganizationCreate, OrganizationRead};
use crate::access::{OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::quotas;
use crate::web::{Created, Json, Path, Problem, Query};

impl Orgs {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get)).with_state(self)
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

/// Create an organisation with its tier's quotas.
#[utoipa::path(post, path = "/api/organizations", tag = "organizations", request_body = NewOrganization,
    responses((status = 201, body = Organization), (status = "default", response = Problem)))]
async fn create(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationCreate>,
    Json(new): Json<NewOrganization>,
) -> Result<Created<Organization>> {
    permit.require_site()?;
    new.check()?;
    let (now, many) = (orgs.clock.now(), orgs.many);
    let org = orgs
        .db
        .write(move |tx| {
            if !many && store::count(tx)? > 0 {
                return Err(Error::conflict(
                    "one_organization",
                    "ENTERPRISE_MODE is false, which keeps this site to one organisation. Set it to true for more.",
                ));
            }
            let org = store::insert(tx, &permit, now, &new)?;
            quotas::open(tx, OrgId(org.id), &org.tier)?;
            let event = Event::new(AuditAction::Create, "organization", format!("Created organisation {}", org.name));
            audit::record(tx, now, permit.caller(), &event.id(org.id).org(OrgId(org.id)).after(&org))?;
            Ok(org)
        })
        .await?;
    Ok(Created(org))
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
