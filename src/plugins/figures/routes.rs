//! Plugins' figures over HTTP: the site's administrators see them by organisation, an organisation sees its own.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::question::{FiguresQuery, PluginFigures};
use crate::access::actions::PluginRead;
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::orgs;
use crate::plugins::Plugins;
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Plugins> {
    OpenApiRouter::new().routes(routes!(of_site)).routes(routes!(of_organization))
}

/// How a plugin does over time, on the whole site: calls, failures, times and memory, by hook and by organisation.
#[utoipa::path(get, path = "/api/plugins/{slug}/metrics", tag = "plugins",
    params(("slug" = String, Path), FiguresQuery),
    responses((status = 200, body = PluginFigures), (status = "default", response = Problem)))]
async fn of_site(
    State(plugins): State<Plugins>,
    permit: Permit<PluginRead>,
    Path(slug): Path<String>,
    Query(query): Query<FiguresQuery>,
) -> Result<Json<PluginFigures>> {
    permit.require_site()?;
    ask(&plugins, &slug, None, &query).await.map(Json)
}

/// How a plugin does over time in an organisation.
#[utoipa::path(get, path = "/api/organizations/{id}/plugins/{slug}/metrics", tag = "plugins",
    params(("id" = i64, Path), ("slug" = String, Path), FiguresQuery),
    responses((status = 200, body = PluginFigures), (status = "default", response = Problem)))]
async fn of_organization(
    State(plugins): State<Plugins>,
    permit: Permit<PluginRead>,
    Path((id, slug)): Path<(i64, String)>,
    Query(query): Query<FiguresQuery>,
) -> Result<Json<PluginFigures>> {
    let org = OrgId(id);
    permit.require(org, "such organization")?;
    plugins.inner.db.read(move |tx| orgs::store::by_id(tx, org)).await?;
    ask(&plugins, &slug, Some(org), &query).await.map(Json)
}

async fn ask(plugins: &Plugins, slug: &str, org: Option<OrgId>, query: &FiguresQuery) -> Result<PluginFigures> {
    let question = query.check(plugins.shelved(slug)?.id, org, plugins.inner.clock.now())?;
    // What this server counted in the last minute.
    plugins.write_figures().await;
    plugins.inner.db.read(move |tx| question.answer(tx)).await
}
