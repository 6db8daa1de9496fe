//! What lies in the plugins folder and is not installed: brought there while the server runs.
//!
//! Invariant: to look changes nothing; no code of a plugin is run.

use std::fs;
use std::path::Path;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::capabilities::{Capabilities, CapabilityView};
use super::package::Package;
use super::sign::{SignedBy, Trust};
use super::{MAX_PLUGINS, Plugins, manifest, place};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::error::{Error, Result};
use crate::base::page::List;
use crate::web::{Json, Problem};

/// A folder that may be installed.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct FolderPlugin {
    /// The folder's name, to install it by.
    pub slug: String,
    /// The slug, where its files cannot be read; then the others are empty.
    pub name: String,
    pub version: String,
    pub description: String,
    pub category: String,
    pub author: String,
    /// What it asks for.
    pub capabilities: Vec<CapabilityView>,
    pub signed_by: Vec<SignedBy>,
    /// Why it cannot be installed as it is; null when nothing is known against it.
    pub error: Option<String>,
}

pub fn routes() -> OpenApiRouter<Plugins> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What lies in the server's plugins folder and is not installed, by slug; at most 200 folders. `POST /api/plugins/install`
/// takes the slug.
#[utoipa::path(get, path = "/api/plugin-folder", tag = "plugins",
    responses((status = 200, body = List<FolderPlugin>), (status = "default", response = Problem)))]
async fn list(State(plugins): State<Plugins>, permit: Permit<PluginInstall>) -> Result<Json<List<FolderPlugin>>> {
    permit.require_site()?;
    let inner = plugins.inner.clone();
    let found = tokio::task::spawn_blocking(move || {
        let names = names(&inner.dir, |name| inner.shelf.get(name).is_none())?;
        Ok::<_, Error>(names.into_iter().map(|name| look(&inner.dir, name, &inner.trust)).collect())
    });
    Ok(Json(List { items: found.await.map_err(Error::internal)??, next_cursor: None }))
}

/// The folders that can be named and are `new`, in order. Blocks.
fn names(dir: &Path, new: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)?.take(10 * MAX_PLUGINS) {
        let entry = entry?;
        let name = entry.file_name().into_string().unwrap_or_default();
        // What is being put in its place has a name of its own.
        if manifest::is_slug(&name) && !place::is_leftover(&name) && entry.file_type()?.is_dir() && new(&name) {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.truncate(MAX_PLUGINS);
    Ok(names)
}

/// Blocks.
fn look(dir: &Path, slug: String, trust: &Trust) -> FolderPlugin {
    match Package::read(&dir.join(&slug)).and_then(|package| trust.admit(package)) {
        Ok(Package { manifest, signed_by, .. }) => FolderPlugin {
            slug,
            name: manifest.name,
            version: manifest.version.to_string(),
            description: manifest.description,
            category: manifest.category,
            author: manifest.author,
            capabilities: manifest.capabilities.view(&Capabilities::default()),
            signed_by,
            error: None,
        },
        Err(error) => FolderPlugin { name: slug.clone(), slug, error: Some(error.to_string()), ..Default::default() },
    }
}
