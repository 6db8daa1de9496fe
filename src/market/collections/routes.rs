//! Collections over HTTP. Who switches plugins on in an organisation curates its lists, who manages the site's plugins those
//! of the site, and who installs plugins installs a whole list.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Collection, Wished, store};
use crate::access::actions::{PluginEnable, PluginInstall, PluginManage, PluginRead};
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::base::page::{List, PageQuery, check_part};
use crate::db::Tx;
use crate::market::Market;
use crate::market::install::Installation;
use crate::market::resolve::Wanted;
use crate::web::{Created, Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Market> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, change, delete)).routes(routes!(install))
}

/// # Errors
/// `not_found` when the organisation is another's; `forbidden`.
fn may_curate(permit: &Permit<PluginRead>, org: Option<i64>) -> Result<()> {
    match org {
        None => permit.caller_arc().permit::<PluginManage>()?.require_site(),
        Some(org) => {
            permit.require(OrgId(org), "such organization")?;
            permit.caller_arc().permit::<PluginEnable>()?.require(OrgId(org), "such organization")
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// A part of the name, whatever its case; at most 100 characters.
    q: Option<String>,
}

/// The collections of the site and of the caller's organisations, newest first.
#[utoipa::path(get, path = "/api/marketplace/collections", tag = "marketplace", params(PageQuery, Filter),
    responses((status = 200, body = List<Collection>), (status = "default", response = Problem)))]
async fn list(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<Filter>,
) -> Result<Json<List<Collection>>> {
    check_part(filter.q.as_ref())?;
    let page = query.check()?;
    let found = market.inner.db.read(move |tx| store::list(tx, &permit, filter.q.as_deref(), page)).await?;
    Ok(Json(page.list(found, |collection| collection.id)))
}

/// Make a collection.
#[utoipa::path(post, path = "/api/marketplace/collections", tag = "marketplace", request_body = Wished,
    responses((status = 201, body = Collection), (status = "default", response = Problem)))]
async fn create(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Json(wished): Json<Wished>,
) -> Result<Created<Collection>> {
    may_curate(&permit, wished.organization_id)?;
    let (wished, now) = (wished.check()?, market.inner.clock.now());
    let write = move |tx: &mut Tx<'_>| {
        let id = store::insert(tx, permit.caller(), now, &wished)?;
        store::find(tx, &permit, id)
    };
    market.inner.db.write(write).await.map(Created)
}

/// One collection.
#[utoipa::path(get, path = "/api/marketplace/collections/{id}", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 200, body = Collection), (status = "default", response = Problem)))]
async fn one(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(id): Path<i64>,
) -> Result<Json<Collection>> {
    market.inner.db.read(move |tx| store::find(tx, &permit, id)).await.map(Json)
}

/// Change a collection; whose it is stays.
#[utoipa::path(put, path = "/api/marketplace/collections/{id}", tag = "marketplace", params(("id" = i64, Path)),
    request_body = Wished, responses((status = 200, body = Collection), (status = "default", response = Problem)))]
async fn change(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(id): Path<i64>,
    Json(wished): Json<Wished>,
) -> Result<Json<Collection>> {
    let now = market.inner.clock.now();
    let write = move |tx: &mut Tx<'_>| {
        let before = store::find(tx, &permit, id)?;
        may_curate(&permit, before.organization_id)?;
        store::update(tx, permit.caller(), now, &before, &wished.clone().check()?)?;
        store::find(tx, &permit, id)
    };
    market.inner.db.write(write).await.map(Json)
}

/// Delete a collection; its plugins stay.
#[utoipa::path(delete, path = "/api/marketplace/collections/{id}", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn delete(State(market): State<Market>, permit: Permit<PluginRead>, Path(id): Path<i64>) -> Result<StatusCode> {
    let now = market.inner.clock.now();
    let write = move |tx: &mut Tx<'_>| {
        let collection = store::find(tx, &permit, id)?;
        may_curate(&permit, collection.organization_id)?;
        store::delete(tx, permit.caller(), now, &collection)
    };
    market.inner.db.write(write).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketCollectionInstallRequest)]
struct InstallRequest {
    /// Say what it comes to and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Install what a collection lists and is not installed yet, with everything it needs: all of it or nothing.
#[utoipa::path(post, path = "/api/marketplace/collections/{id}/install", tag = "marketplace", params(("id" = i64, Path)),
    request_body = InstallRequest, responses((status = 200, body = Installation), (status = "default", response = Problem)))]
async fn install(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(id): Path<i64>,
    Json(body): Json<InstallRequest>,
) -> Result<Json<Installation>> {
    permit.require_site()?;
    let reader = permit.caller_arc().permit::<PluginRead>()?;
    let collection = market.inner.db.read(move |tx| store::find(tx, &reader, id)).await?;
    let absent = |slug: &String| market.inner.plugins.installed_version(slug).is_none();
    let wanted = collection.plugins.into_iter().filter(absent).map(|slug| Wanted { slug, version: None }).collect();
    market.install(permit, wanted, BTreeMap::new(), body.dry_run).await.map(Json)
}
