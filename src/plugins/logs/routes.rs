//! Plugins' logs over HTTP.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{LogLevel, LogLine, store};
use crate::access::actions::PluginEnable;
use crate::access::{OrgId, Permit};
use crate::base::error::Result;
use crate::base::page::{List, PageQuery};
use crate::plugins::Plugins;
use crate::web::{Json, Path, Problem, Query};

pub fn routes() -> OpenApiRouter<Plugins> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// Of this organisation; absent: everywhere, for administrators of the site.
    organization_id: Option<i64>,
    /// At least this urgent.
    level: Option<LogLevel>,
}

/// What a plugin wrote into its log, what was denied it and how it failed, the newest first. The newest 1,000 lines of each
/// organisation are kept.
#[utoipa::path(get, path = "/api/plugins/{slug}/logs", tag = "plugins",
    params(("slug" = String, Path), PageQuery, LogQuery),
    responses((status = 200, body = List<LogLine>), (status = "default", response = Problem)))]
async fn list(
    State(plugins): State<Plugins>,
    permit: Permit<PluginEnable>,
    Path(slug): Path<String>,
    Query(page): Query<PageQuery>,
    Query(query): Query<LogQuery>,
) -> Result<Json<List<LogLine>>> {
    let page = page.check()?;
    let org = query.organization_id.map(OrgId);
    match org {
        Some(org) => permit.require(org, "such organization")?,
        None => permit.require_site()?,
    }
    let (plugin, level) = (plugins.shelved(&slug)?.id, query.level.unwrap_or(LogLevel::Debug));
    plugins.write_lines().await;
    let found = plugins.inner.db.read(move |tx| store::list(tx, plugin, org, level, page)).await?;
    Ok(Json(page.list(found, |line| line.id)))
}
