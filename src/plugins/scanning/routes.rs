//! Scans over HTTP.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{PluginScan, store};
use crate::access::Permit;
use crate::access::actions::PluginRead;
use crate::base::error::{Error, Kind, Result};
use crate::plugins::Plugins;
use crate::web::{Json, Path, Problem};

pub fn routes() -> OpenApiRouter<Plugins> {
    OpenApiRouter::new().routes(routes!(get))
}

/// What the last scan of a plugin found.
#[utoipa::path(get, path = "/api/plugins/{slug}/scan", tag = "plugins", params(("slug" = String, Path)),
    responses((status = 200, body = PluginScan), (status = "default", response = Problem)))]
async fn get(
    State(plugins): State<Plugins>,
    _: Permit<PluginRead>,
    Path(slug): Path<String>,
) -> Result<Json<PluginScan>> {
    plugins.shelved(&slug)?;
    let found = plugins.inner.db.read(move |tx| store::find(tx, &slug)).await?;
    found.map(Json).ok_or_else(|| {
        let sentence =
            "This plugin was not scanned yet. That happens in the background after a start; look again soon.";
        Error::new(Kind::NotFound, "plugin_not_scanned", sentence)
    })
}
