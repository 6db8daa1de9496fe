//! Plugins over HTTP.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::install::Wish;
use super::package::MAX_TOTAL;
use super::settings::Settings;
use super::shelf::view;
use super::{Plugin, Plugins, activations, figures, folder, logs, scanning, store};
use crate::access::actions::{PluginInstall, PluginManage, PluginRead};
use crate::access::{Permission, Permit};
use crate::base::error::{Error, Result};
use crate::base::page::List;
use crate::web::extract::read_body;
use crate::web::{Created, Json, Path, Problem, Query};

/// The most an upload may hold, in bytes: what a package may, and the archive around it.
const MAX_UPLOAD: usize = MAX_TOTAL + (1 << 20);

impl Plugins {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(install))
            .routes(routes!(upload))
            .routes(routes!(get, uninstall))
            .routes(routes!(configure))
            .routes(routes!(enable))
            .routes(routes!(disable))
            .routes(routes!(everywhere))
            .merge(activations::routes::routes())
            .merge(logs::routes::routes())
            .merge(figures::routes::routes())
            .merge(folder::routes())
            .merge(scanning::routes::routes())
            .with_state(self)
    }
}

fn may_see_config(permit: &Permit<PluginRead>) -> bool {
    permit.caller().grants.site.has(Permission::PluginManage)
}

/// Every plugin, by slug; there are at most 200.
#[utoipa::path(get, path = "/api/plugins", tag = "plugins",
    responses((status = 200, body = List<Plugin>), (status = "default", response = Problem)))]
async fn list(State(plugins): State<Plugins>, permit: Permit<PluginRead>) -> Result<Json<List<Plugin>>> {
    let with_config = may_see_config(&permit);
    let vault = plugins.inner.vault.clone();
    let kept = plugins.inner.db.read(move |tx| store::list(tx, &vault)).await?;
    let items = kept.into_iter().map(|kept| {
        let entry = plugins.inner.shelf.get(&kept.slug);
        view(kept, entry.as_deref(), with_config)
    });
    Ok(Json(List { items: items.collect(), next_cursor: None }))
}

/// One plugin.
#[utoipa::path(get, path = "/api/plugins/{slug}", tag = "plugins", params(("slug" = String, Path)),
    responses((status = 200, body = Plugin), (status = "default", response = Problem)))]
async fn get(
    State(plugins): State<Plugins>,
    permit: Permit<PluginRead>,
    Path(slug): Path<String>,
) -> Result<Json<Plugin>> {
    let vault = plugins.inner.vault.clone();
    let kept = plugins.inner.db.read(move |tx| store::by_slug(tx, &vault, &slug)).await?;
    let entry = plugins.inner.shelf.get(&kept.slug);
    Ok(Json(view(kept, entry.as_deref(), may_see_config(&permit))))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct InstallRequest {
    /// The folder's name in the server's plugins folder.
    slug: Option<String>,
    /// Instead of `slug`, for a plugin that is known.
    plugin_id: Option<i64>,
    /// Absent: what it had, else the plugin's defaults.
    #[schema(value_type = Option<Object>)]
    config: Option<Settings>,
    /// Whether it works in organisations that say nothing about it; absent: as it was, or, for a new one, when it asks for
    /// nothing that has to be granted.
    everywhere: Option<bool>,
    /// Take it although a scan found something that keeps it out; needs a `reason`.
    #[serde(default)]
    allow_findings: bool,
    /// Why, for the audit trail.
    reason: Option<String>,
}

/// Install a plugin from the server's plugins folder, or install it anew after its files changed.
#[utoipa::path(post, path = "/api/plugins/install", tag = "plugins", request_body = InstallRequest,
    responses((status = 201, body = Plugin), (status = "default", response = Problem)))]
async fn install(
    State(plugins): State<Plugins>,
    permit: Permit<PluginInstall>,
    Json(body): Json<InstallRequest>,
) -> Result<Created<Plugin>> {
    let slug = match (body.slug, body.plugin_id) {
        (Some(slug), None) => slug,
        (None, Some(id)) => plugins.inner.db.read(move |tx| store::slug_of(tx, id)).await?,
        _ => {
            let sentence = "Say which plugin: give either its `slug` or its `plugin_id`.";
            return Err(Error::invalid("plugin_unnamed", sentence).field("slug"));
        }
    };
    let despite = scanning::despite(body.allow_findings, body.reason)?;
    plugins.install(permit, slug, Wish { config: body.config, everywhere: body.everywhere, despite }).await.map(Created)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// A JSON object; absent: what it had, else the plugin's defaults.
    config: Option<String>,
    /// Whether it works in organisations that say nothing about it; absent: as for `install`.
    everywhere: Option<bool>,
    /// Put it in the place of one with the same slug.
    #[serde(default)]
    replace: bool,
    /// Take it although a scan found something that keeps it out; needs a `reason`.
    #[serde(default)]
    allow_findings: bool,
    /// Why, for the audit trail.
    reason: Option<String>,
}

/// Install a plugin from a tar or zip archive of its folder.
#[utoipa::path(post, path = "/api/plugins/upload", tag = "plugins", params(UploadQuery),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 201, body = Plugin), (status = "default", response = Problem)))]
async fn upload(
    State(plugins): State<Plugins>,
    permit: Permit<PluginInstall>,
    Query(query): Query<UploadQuery>,
    request: Request,
) -> Result<Created<Plugin>> {
    permit.require_site()?;
    let config = query.config.as_deref().map(object).transpose()?;
    let despite = scanning::despite(query.allow_findings, query.reason)?;
    let archive = read_body(request, MAX_UPLOAD).await?;
    let wish = Wish { config, everywhere: query.everywhere, despite };
    plugins.upload(permit, archive, wish, query.replace).await.map(Created)
}

fn object(text: &str) -> Result<Settings> {
    serde_json::from_str(text).map_err(|cause| {
        Error::invalid("invalid_config", format!("config is not a JSON object: {cause}. Correct it.")).field("config")
    })
}

/// Give a plugin another configuration; it works by it from the next call on.
#[utoipa::path(put, path = "/api/plugins/{slug}/config", tag = "plugins", params(("slug" = String, Path)),
    request_body = Object, responses((status = 200, body = Plugin), (status = "default", response = Problem)))]
async fn configure(
    State(plugins): State<Plugins>,
    permit: Permit<PluginManage>,
    Path(slug): Path<String>,
    Json(config): Json<Settings>,
) -> Result<Json<Plugin>> {
    plugins.configure(permit, slug, config).await.map(Json)
}

/// Let a plugin work, also after it failed too often.
#[utoipa::path(post, path = "/api/plugins/{slug}/enable", tag = "plugins", params(("slug" = String, Path)),
    responses((status = 200, body = Plugin), (status = "default", response = Problem)))]
async fn enable(
    State(plugins): State<Plugins>,
    permit: Permit<PluginManage>,
    Path(slug): Path<String>,
) -> Result<Json<Plugin>> {
    plugins.enable(permit, slug).await.map(Json)
}

/// Keep a plugin from working; it stays installed.
#[utoipa::path(post, path = "/api/plugins/{slug}/disable", tag = "plugins", params(("slug" = String, Path)),
    responses((status = 200, body = Plugin), (status = "default", response = Problem)))]
async fn disable(
    State(plugins): State<Plugins>,
    permit: Permit<PluginManage>,
    Path(slug): Path<String>,
) -> Result<Json<Plugin>> {
    plugins.disable(permit, slug).await.map(Json)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Everywhere {
    everywhere: bool,
}

/// Say whether a plugin works in organisations that said nothing about it.
#[utoipa::path(put, path = "/api/plugins/{slug}/everywhere", tag = "plugins", params(("slug" = String, Path)),
    request_body = Everywhere, responses((status = 200, body = Plugin), (status = "default", response = Problem)))]
async fn everywhere(
    State(plugins): State<Plugins>,
    permit: Permit<PluginManage>,
    Path(slug): Path<String>,
    Json(body): Json<Everywhere>,
) -> Result<Json<Plugin>> {
    plugins.set_everywhere(permit, slug, body.everywhere).await.map(Json)
}

/// Take a plugin out, with its folder, configuration and data.
#[utoipa::path(delete, path = "/api/plugins/{slug}", tag = "plugins", params(("slug" = String, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
async fn uninstall(
    State(plugins): State<Plugins>,
    permit: Permit<PluginManage>,
    Path(slug): Path<String>,
) -> Result<StatusCode> {
    plugins.uninstall(permit, slug).await?;
    Ok(StatusCode::NO_CONTENT)
}
