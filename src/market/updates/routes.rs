//! Updates over HTTP, for who runs the site.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::run::{How, parse};
use super::{Entry, Policy, Ran, Update, Window, store};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::error::Result;
use crate::base::page::{List, PageQuery};
use crate::market::Market;
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Market> {
    OpenApiRouter::new()
        .routes(routes!(check))
        .routes(routes!(history))
        .routes(routes!(window, set_window))
        .routes(routes!(set_policy))
        .routes(routes!(run))
        .routes(routes!(one, update))
        .routes(routes!(approve))
}

/// Installed plugins for which there is something newer, each with what could become of it and what speaks against that.
#[utoipa::path(get, path = "/api/marketplace/updates/check", tag = "marketplace",
    responses((status = 200, body = List<Update>), (status = "default", response = Problem)))]
async fn check(State(market): State<Market>, permit: Permit<PluginInstall>) -> Result<Json<List<Update>>> {
    permit.require_site()?;
    Ok(Json(List { items: market.check_updates().await?, next_cursor: None }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfPlugin {
    /// Of this plugin only.
    slug: Option<String>,
}

/// What came of updates, the newest first; at most the last 1000.
#[utoipa::path(get, path = "/api/marketplace/updates/history", tag = "marketplace", params(PageQuery, OfPlugin),
    responses((status = 200, body = List<Entry>), (status = "default", response = Problem)))]
async fn history(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Query(query): Query<PageQuery>,
    Query(of): Query<OfPlugin>,
) -> Result<Json<List<Entry>>> {
    permit.require_site()?;
    let page = query.check()?;
    let found = market.inner.db.read(move |tx| store::history(tx, of.slug.as_deref(), page)).await?;
    Ok(Json(page.list(found, |entry| entry.id)))
}

/// When plugins are updated by themselves.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketUpdateHours)]
struct Hours {
    #[serde(flatten)]
    window: Window,
    /// Whose clocks count.
    time_zone: String,
    /// Whether it is open now.
    open: bool,
}

impl Market {
    fn hours(&self, window: Window) -> Hours {
        let (zone, now) = (&self.inner.zone, self.inner.clock.now());
        Hours { open: window.is_open(zone.clock(now)), time_zone: zone.name().to_owned(), window }
    }
}

/// When plugins are updated by themselves.
#[utoipa::path(get, path = "/api/marketplace/updates/window", tag = "marketplace",
    responses((status = 200, body = Hours), (status = "default", response = Problem)))]
async fn window(State(market): State<Market>, permit: Permit<PluginInstall>) -> Result<Json<Hours>> {
    permit.require_site()?;
    let window = market.inner.db.read(store::window).await?;
    Ok(Json(market.hours(window)))
}

/// Change when plugins are updated by themselves.
#[utoipa::path(put, path = "/api/marketplace/updates/window", tag = "marketplace", request_body = Window,
    responses((status = 200, body = Hours), (status = "default", response = Problem)))]
async fn set_window(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Json(body): Json<Window>,
) -> Result<Json<Hours>> {
    let (window, now) = (body.check()?, market.inner.clock.now());
    let written = window.clone();
    market.inner.db.write(move |tx| store::set_window(tx, &permit, now, &written)).await?;
    Ok(Json(market.hours(window)))
}

/// How far a plugin is brought up to date by itself.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketUpdatePolicyOf)]
struct PolicyOf {
    policy: Policy,
}

/// Say how far an installed plugin is brought up to date by itself.
#[utoipa::path(put, path = "/api/marketplace/plugins/{slug}/update-policy", tag = "marketplace",
    params(("slug" = String, Path)), request_body = PolicyOf,
    responses((status = 200, body = PolicyOf), (status = "default", response = Problem)))]
async fn set_policy(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(slug): Path<String>,
    Json(body): Json<PolicyOf>,
) -> Result<Json<PolicyOf>> {
    let (now, policy) = (market.inner.clock.now(), body.policy);
    market.inner.db.write(move |tx| store::set_policy(tx, &permit, now, &slug, policy)).await?;
    Ok(Json(body))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketUpdateRunRequest)]
struct RunRequest {
    /// Say what would be done and change nothing.
    dry_run: bool,
}

/// Update all plugins now, whatever the hour, as far as their policies say.
#[utoipa::path(post, path = "/api/marketplace/updates/run", tag = "marketplace", request_body = RunRequest,
    responses((status = 200, body = List<Ran>), (status = "default", response = Problem)))]
async fn run(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Json(body): Json<RunRequest>,
) -> Result<Json<List<Ran>>> {
    let how = How { by_hand: true, dry_run: body.dry_run };
    Ok(Json(List { items: market.update_all(permit, how).await?, next_cursor: None }))
}

/// What could become of one installed plugin.
#[utoipa::path(get, path = "/api/marketplace/plugins/{slug}/update", tag = "marketplace",
    params(("slug" = String, Path)), responses((status = 200, body = Update), (status = "default", response = Problem)))]
async fn one(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(slug): Path<String>,
) -> Result<Json<Update>> {
    permit.require_site()?;
    market.check_update(&slug).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketUpdateRequest)]
struct UpdateRequest {
    /// This version, whatever the policy says and also when it failed before; absent: as far as the policy says.
    target_version: Option<String>,
    /// Say what would be done and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// Update an installed plugin now, whatever the hour. The version before comes back by itself when the new one does not work.
#[utoipa::path(post, path = "/api/marketplace/plugins/{slug}/update", tag = "marketplace",
    params(("slug" = String, Path)), request_body = UpdateRequest,
    responses((status = 200, body = Ran), (status = "default", response = Problem)))]
async fn update(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(slug): Path<String>,
    Json(body): Json<UpdateRequest>,
) -> Result<Json<Ran>> {
    let version = body.target_version.as_deref().map(|text| parse(text, "target_version")).transpose()?;
    let how = How { by_hand: true, dry_run: body.dry_run };
    market.update(permit, slug, version, how).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketUpdateApproval)]
struct Approval {
    version: String,
}

/// Approve what a version of an installed plugin asks for beyond the version here, or let one be tried again that failed. It
/// comes in with the next run; organisations grant what it asks for by themselves.
#[utoipa::path(post, path = "/api/marketplace/plugins/{slug}/approve", tag = "marketplace",
    params(("slug" = String, Path)), request_body = Approval,
    responses((status = 200, body = Update), (status = "default", response = Problem)))]
async fn approve(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(slug): Path<String>,
    Json(body): Json<Approval>,
) -> Result<Json<Update>> {
    let version = parse(&body.version, "version")?;
    market.approve_update(permit, slug, version).await.map(Json)
}
