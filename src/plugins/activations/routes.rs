//! Plugins in organisations over HTTP.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::Change;
use super::view::OrgPlugin;
use crate::access::actions::{PluginEnable, PluginRead};
use crate::access::{OrgId, Permission, Permit, Place};
use crate::base::error::Result;
use crate::base::page::List;
use crate::orgs;
use crate::plugins::Plugins;
use crate::web::{Json, Path, Problem};

const ORGANIZATION: &str = "such organization";

pub fn routes() -> OpenApiRouter<Plugins> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, change, remove)).routes(routes!(revoke))
}

/// The plugins of the site as an organisation sees them, by slug; there are at most 200.
#[utoipa::path(get, path = "/api/organizations/{id}/plugins", tag = "plugins", params(("id" = i64, Path)),
    responses((status = 200, body = List<OrgPlugin>), (status = "default", response = Problem)))]
async fn list(
    State(plugins): State<Plugins>,
    permit: Permit<PluginRead>,
    Path(id): Path<i64>,
) -> Result<Json<List<OrgPlugin>>> {
    let org = OrgId(id);
    let with_config = may_look(&plugins, &permit, org).await?;
    let activations = plugins.inner.crew.activations();
    let entries = plugins.inner.shelf.all();
    let items = entries.iter().map(|entry| {
        let activation = activations.get(entry.id, org).map(AsRef::as_ref);
        OrgPlugin::of(entry, org, activation, with_config)
    });
    Ok(Json(List { items: items.collect(), next_cursor: None }))
}

/// One plugin as an organisation sees it.
#[utoipa::path(get, path = "/api/organizations/{id}/plugins/{slug}", tag = "plugins",
    params(("id" = i64, Path), ("slug" = String, Path)),
    responses((status = 200, body = OrgPlugin), (status = "default", response = Problem)))]
async fn get(
    State(plugins): State<Plugins>,
    permit: Permit<PluginRead>,
    Path((id, slug)): Path<(i64, String)>,
) -> Result<Json<OrgPlugin>> {
    let org = OrgId(id);
    let with_config = may_look(&plugins, &permit, org).await?;
    let (entry, activations) = (plugins.shelved(&slug)?, plugins.inner.crew.activations());
    let activation = activations.get(entry.id, org).map(AsRef::as_ref);
    Ok(Json(OrgPlugin::of(&entry, org, activation, with_config)))
}

/// Whether the caller sees settings too.
async fn may_look(plugins: &Plugins, permit: &Permit<PluginRead>, org: OrgId) -> Result<bool> {
    permit.require(org, ORGANIZATION)?;
    plugins.inner.db.read(move |tx| orgs::store::by_id(tx, org)).await?;
    Ok(permit.caller().grants.at(Place::Org(org)).has(Permission::PluginEnable))
}

/// Let a plugin work in an organisation, keep it from that, grant it what it asks for or some of it, or configure it there.
#[utoipa::path(put, path = "/api/organizations/{id}/plugins/{slug}", tag = "plugins",
    params(("id" = i64, Path), ("slug" = String, Path)), request_body = Change,
    responses((status = 200, body = OrgPlugin), (status = "default", response = Problem)))]
async fn change(
    State(plugins): State<Plugins>,
    permit: Permit<PluginEnable>,
    Path((id, slug)): Path<(i64, String)>,
    Json(change): Json<Change>,
) -> Result<Json<OrgPlugin>> {
    plugins.activate(permit, OrgId(id), slug, change).await.map(Json)
}

/// Forget what an organisation made of a plugin: its decisions, its settings, and what the plugin kept there. Afterwards it
/// is as the site has it.
#[utoipa::path(delete, path = "/api/organizations/{id}/plugins/{slug}", tag = "plugins",
    params(("id" = i64, Path), ("slug" = String, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn remove(
    State(plugins): State<Plugins>,
    permit: Permit<PluginEnable>,
    Path((id, slug)): Path<(i64, String)>,
) -> Result<StatusCode> {
    plugins.deactivate(permit, OrgId(id), slug).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Revoke {
    /// http, kv, files, llm, memory_mib or time_ms; absent: everything that was granted.
    capabilities: Option<Vec<String>>,
}

/// Take grants away from a plugin in an organisation. It counts at once, also for a call that is under way.
#[utoipa::path(post, path = "/api/organizations/{id}/plugins/{slug}/revoke", tag = "plugins",
    params(("id" = i64, Path), ("slug" = String, Path)), request_body = Revoke,
    responses((status = 200, body = OrgPlugin), (status = "default", response = Problem)))]
async fn revoke(
    State(plugins): State<Plugins>,
    permit: Permit<PluginEnable>,
    Path((id, slug)): Path<(i64, String)>,
    Json(body): Json<Revoke>,
) -> Result<Json<OrgPlugin>> {
    plugins.revoke(permit, OrgId(id), slug, body.capabilities).await.map(Json)
}
