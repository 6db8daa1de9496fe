//! Reviews over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store;
use super::{Review, Said};
use crate::access::actions::{PluginInstall, PluginManage, PluginRead};
use crate::access::{OrgId, Permit, UserId};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::market::Market;
use crate::market::resolve::no_plugin;
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Market> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(write, take_back))
        .routes(routes!(remove))
        .routes(routes!(vote, unvote))
}

/// Reviews are by people: the operator of the box and programs have no opinion.
fn person(permit: &Permit<PluginRead>) -> Result<UserId> {
    permit.caller().user.ok_or_else(|| {
        let sentence = "Reviews and votes are by people with accounts. Sign in as somebody.";
        Error::forbidden("no_account", sentence)
    })
}

/// The organisations that the caller is of, be it in a team.
fn organizations(permit: &Permit<PluginRead>) -> impl Iterator<Item = OrgId> {
    let grants = &permit.caller().grants;
    grants.orgs.iter().map(|(org, _)| *org).chain(grants.teams.iter().map(|(_, org, _)| *org))
}

/// Reviews of a plugin, newest first.
#[utoipa::path(get, path = "/api/marketplace/plugins/{slug}/reviews", tag = "marketplace",
    params(("slug" = String, Path), PageQuery),
    responses((status = 200, body = List<Review>), (status = "default", response = Problem)))]
async fn list(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(slug): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Review>>> {
    let page = query.check()?;
    let found = market.inner.db.read(move |tx| store::list(tx, &permit, &slug, page)).await?;
    Ok(Json(page.list(found, |review| review.id)))
}

/// Write the caller's review of a plugin, or write it anew. For who has the plugin: it works in an organisation of theirs,
/// or they install plugins.
#[utoipa::path(put, path = "/api/marketplace/plugins/{slug}/review", tag = "marketplace", params(("slug" = String, Path)),
    request_body = Said, responses((status = 200, body = Review), (status = "default", response = Problem)))]
async fn write(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(slug): Path<String>,
    Json(said): Json<Said>,
) -> Result<Json<Review>> {
    let (user, said, now) = (person(&permit)?, said.check()?, market.inner.clock.now());
    let version = market.inner.plugins.installed_version(&slug).ok_or_else(|| no_plugin(&slug, None))?;
    let installs = permit.caller_arc().permit::<PluginInstall>().is_ok_and(|permit| permit.require_site().is_ok());
    if !installs && !organizations(&permit).any(|org| market.inner.plugins.works_in(&slug, org)) {
        let sentence = format!(
            "{slug} works in no organisation of yours. Those who have a plugin review it; an administrator of the \
             organisation switches it on."
        );
        return Err(Error::forbidden("plugin_not_yours", sentence));
    }
    let write = move |tx: &mut crate::db::Tx<'_>| store::put(tx, &permit, now, (user, &slug, &version), &said);
    market.inner.db.write(write).await.map(Json)
}

/// Take the caller's review back.
#[utoipa::path(delete, path = "/api/marketplace/plugins/{slug}/review", tag = "marketplace",
    params(("slug" = String, Path)), responses((status = 204), (status = "default", response = Problem)))]
async fn take_back(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(slug): Path<String>,
) -> Result<StatusCode> {
    let (user, now) = (person(&permit)?, market.inner.clock.now());
    market.inner.db.write(move |tx| store::take_back(tx, &permit, now, user, &slug)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketRemoval)]
struct Removal {
    /// Why; its author is told. 1 to 500 characters.
    reason: String,
}

/// Remove somebody's review; they are told why. Administrators of the site only.
#[utoipa::path(post, path = "/api/marketplace/reviews/{id}/remove", tag = "marketplace", params(("id" = i64, Path)),
    request_body = Removal, responses((status = 204), (status = "default", response = Problem)))]
async fn remove(
    State(market): State<Market>,
    permit: Permit<PluginManage>,
    Path(id): Path<i64>,
    Json(body): Json<Removal>,
) -> Result<StatusCode> {
    permit.require_site()?;
    let reason = crate::base::names::check_field(&body.reason, "reason", 500)?;
    let now = market.inner.clock.now();
    market.inner.db.write(move |tx| store::remove(tx, &permit, now, id, &reason)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Say that a review of somebody else was helpful.
#[utoipa::path(put, path = "/api/marketplace/reviews/{id}/helpful", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn vote(State(market): State<Market>, permit: Permit<PluginRead>, Path(id): Path<i64>) -> Result<StatusCode> {
    voted(market, permit, id, true).await
}

/// Take that back.
#[utoipa::path(delete, path = "/api/marketplace/reviews/{id}/helpful", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn unvote(State(market): State<Market>, permit: Permit<PluginRead>, Path(id): Path<i64>) -> Result<StatusCode> {
    voted(market, permit, id, false).await
}

async fn voted(market: Market, permit: Permit<PluginRead>, id: i64, helpful: bool) -> Result<StatusCode> {
    let (user, now) = (person(&permit)?, market.inner.clock.now());
    market.inner.db.write(move |tx| store::vote(tx, now, user, id, helpful)).await?;
    Ok(StatusCode::NO_CONTENT)
}
