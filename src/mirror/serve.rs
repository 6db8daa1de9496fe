//! Passing on what is mirrored: to a second box as a TUF repository over HTTPS, and to this one's plugins.
//!
//! Invariant: what is served is what was verified, byte for byte, and only when the site's setting says so; who reads it
//! verifies it again. Everything in it is public content: no name of a person, no setting, no state of the site.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use semver::Version;

use super::{Content, Kind, Mirror, Owner, names, store};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::error::{Error, Result};
use crate::plugins::package::MAX_TOTAL;
use crate::plugins::{Plugin, Wish};
use crate::web::{Path, Public};

impl Mirror {
    /// The repositories as TUF has them, below `/mirror/{repository}`.
    pub fn served(self) -> Router {
        Router::new()
            .route("/mirror/{repository}/metadata/{file}", get(metadata))
            .route("/mirror/{repository}/targets/{*path}", get(target))
            .with_state(self)
    }

    fn require_served(&self) -> Result<()> {
        if self.inner.options.serve { Ok(()) } else { Err(absent()) }
    }

    /// Installs a plugin that the mirror holds: this version, else the newest that is no pre-release, else the newest.
    ///
    /// # Errors
    /// `mirror_no_plugin`; those of [`crate::plugins::Plugins::upload`].
    pub async fn install(
        &self,
        permit: Permit<PluginInstall>,
        slug: String,
        version: Option<String>,
        wish: Wish,
        replace: bool,
    ) -> Result<Plugin> {
        permit.require_site()?;
        let asked = slug.clone();
        let packages = self.inner.db.read(move |tx| store::packages(tx, &asked)).await?;
        let missing = || {
            let of = version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
            let sentence =
                format!("The mirror holds no plugin {slug}{of}. What it holds: resoftai mirror list --kind plugin");
            Error::new(crate::base::error::Kind::NotFound, "mirror_no_plugin", sentence)
        };
        let chosen = choose(packages, version.as_deref()).ok_or_else(missing)?;
        let package = self.inner.blobs.get(&chosen.sha256, MAX_TOTAL + (1 << 20)).await?;
        self.inner.plugins.upload(permit, package, wish, replace).await
    }
}

fn choose(packages: Vec<Content>, version: Option<&str>) -> Option<Content> {
    let mut known: Vec<(Version, Content)> = packages
        .into_iter()
        .filter(|content| content.kind == Kind::Plugin)
        .filter_map(|content| Some((Version::parse(content.version.as_deref()?).ok()?, content)))
        .filter(|(_, content)| version.is_none() || content.version.as_deref() == version)
        .collect();
    known.sort_by(|(one, _), (other, _)| (one.pre.is_empty(), one).cmp(&(other.pre.is_empty(), other)));
    known.pop().map(|(_, content)| content)
}

fn absent() -> Error {
    Error::not_found("such address")
}

async fn metadata(
    State(mirror): State<Mirror>,
    _: Public,
    Path((owner, file)): Path<(Owner, String)>,
) -> Result<Response> {
    mirror.require_served()?;
    let text = mirror.inner.db.read(move |tx| store::metadata_file(tx, owner, &file)).await?.ok_or_else(absent)?;
    Ok(([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-cache")], text).into_response())
}

async fn target(
    State(mirror): State<Mirror>,
    _: Public,
    Path((owner, path)): Path<(Owner, String)>,
) -> Result<Response> {
    mirror.require_served()?;
    let (hash, name) = names::placed(&path).map(|(hash, name)| (hash.to_owned(), name)).ok_or_else(absent)?;
    let content = mirror.inner.db.read(move |tx| store::content(tx, owner, &name)).await?;
    let content = content.filter(|content| content.sha256 == hash).ok_or_else(absent)?;
    let (size, pieces) = mirror.inner.blobs.stream(&content.sha256).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_that_is_no_pre_release_is_chosen() {
        let of = |version: &str| Content {
            name: String::new(),
            kind: Kind::Plugin,
            slug: Some("a".into()),
            version: Some(version.into()),
            title: String::new(),
            description: String::new(),
            sha256: String::new(),
            length: 0,
        };
        let chosen = |versions: &[&str], asked| {
            choose(versions.iter().map(|version| of(version)).collect(), asked).and_then(|content| content.version)
        };
        assert_eq!(chosen(&["1.10.0", "1.9.0", "2.0.0-rc.1"], None).as_deref(), Some("1.10.0"));
        assert_eq!(chosen(&["1.0.0-a", "1.0.0-b"], None).as_deref(), Some("1.0.0-b"));
        assert_eq!(chosen(&["1.10.0", "2.0.0-rc.1"], Some("2.0.0-rc.1")).as_deref(), Some("2.0.0-rc.1"));
        assert_eq!(chosen(&["1.0.0"], Some("1")), None);
    }
}
