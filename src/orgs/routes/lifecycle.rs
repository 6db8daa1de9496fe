//! Suspending, deleting and restoring organisations over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::actions::{OrganizationDelete, OrganizationSuspend};
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::orgs::{Organization, Orgs, lifecycle};
use crate::web::{Json, Path, Problem};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Suspend {
    /// Why, in one line; those who are kept out read it.
    reason: String,
}

/// Keep the people of an organisation out: at the next request nothing is theirs to do there, and its runs are stopped.
#[utoipa::path(post, path = "/api/organizations/{id}/suspend", tag = "organizations", params(("id" = i64, Path)),
    request_body = Suspend,
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
pub async fn suspend(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationSuspend>,
    Path(id): Path<i64>,
    Json(body): Json<Suspend>,
) -> Result<Json<Organization>> {
    let (room, now, reason) = (orgs.clone(), orgs.clock.now(), lifecycle::check_reason(&body.reason)?);
    orgs.db.write(move |tx| room.suspend(tx, &permit, now, OrgId(id), &reason)).await.map(Json)
}

/// Let the people of a suspended organisation in again. Its runs stay as they are.
#[utoipa::path(post, path = "/api/organizations/{id}/resume", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
pub async fn resume(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationSuspend>,
    Path(id): Path<i64>,
) -> Result<Json<Organization>> {
    let (room, now) = (orgs.clone(), orgs.clock.now());
    orgs.db.write(move |tx| room.resume(tx, &permit, now, OrgId(id))).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    /// The organisation's slug, typed to confirm.
    confirm: String,
}

/// Have an organisation deleted after the site's days of grace (`organizations.deletion_days`); until then it behaves as a
/// suspended one and the site can restore it. The audit trail stays.
#[utoipa::path(delete, path = "/api/organizations/{id}", tag = "organizations", params(("id" = i64, Path)),
    request_body = Delete,
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
pub async fn delete(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationDelete>,
    Path(id): Path<i64>,
    Json(body): Json<Delete>,
) -> Result<Json<Organization>> {
    let (room, now) = (orgs.clone(), orgs.clock.now());
    orgs.db.write(move |tx| room.delete(tx, &permit, now, OrgId(id), &body.confirm)).await.map(Json)
}

/// Take the deletion of an organisation back. A suspension that was there before stays.
#[utoipa::path(post, path = "/api/organizations/{id}/restore", tag = "organizations", params(("id" = i64, Path)),
    responses((status = 200, body = Organization), (status = "default", response = Problem)))]
pub async fn restore(
    State(orgs): State<Orgs>,
    permit: Permit<OrganizationSuspend>,
    Path(id): Path<i64>,
) -> Result<Json<Organization>> {
    let (room, now) = (orgs.clone(), orgs.clock.now());
    orgs.db.write(move |tx| room.restore(tx, &permit, now, OrgId(id))).await.map(Json)
}
