//! The marketplace over HTTP. Everybody who may see plugins browses it; who runs the site installs.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::install::{Asked, Installation};
use super::look::{self, Library, Origin};
use super::resolve::{Wanted, no_plugin};
use super::store::{Filter, Listing, Package, Sort};
use super::{Market, Source, collections, markdown, reviews, store, submissions, updates, words};
use crate::access::Permit;
use crate::access::actions::{PluginInstall, PluginRead};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::{List, check_part, limit};
use crate::db::Tx;
use crate::plugins::{SignedBy, Wish, is_slug, scanning};
use crate::web::{Json, Path, Problem, Query};

/// Plugins that are asked for by name, at most: as many as a collection has.
const MOST_SLUGS: usize = 100;

impl Market {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(categories))
            .routes(routes!(one))
            .routes(routes!(picture))
            .routes(routes!(install))
            .merge(reviews::routes::routes())
            .merge(collections::routes::routes())
            .merge(submissions::routes::routes())
            .merge(updates::routes::routes())
            .with_state(self)
    }

    /// With the versions that are installed.
    fn known(&self, mut listing: Listing) -> Listing {
        listing.installed = self.inner.plugins.installed_version(&listing.slug);
        listing
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Words, or their beginnings, that are all in a plugin's name, tags, description or README; at most 100 characters. The
    /// best come first, whatever `sort` says, and at most 200.
    q: Option<String>,
    /// Of this category.
    category: Option<String>,
    /// Only what comes from there.
    #[param(inline)]
    source: Option<Source>,
    /// Only these, at most 100, with commas between them.
    slugs: Option<String>,
    /// `popular` when absent.
    #[serde(default)]
    #[param(inline)]
    sort: Sort,
    /// How many items, 1 to 100; 20 when absent.
    limit: Option<u32>,
    /// Where the previous page ended, as its `next_cursor` said.
    cursor: Option<String>,
}

/// Browse or search the plugins that the mirror holds and those that were published here.
#[utoipa::path(get, path = "/api/marketplace/plugins", tag = "marketplace", params(ListQuery),
    responses((status = 200, body = List<Listing>), (status = "default", response = Problem)))]
async fn list(
    State(market): State<Market>,
    _permit: Permit<PluginRead>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Listing>>> {
    check_part(query.q.as_ref())?;
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(cursor).transpose()?;
    let slugs = query.slugs.as_deref().map(slugs).transpose()?;
    let ListQuery { q, category, source, sort, .. } = query;
    let filter = Filter { category, source, slugs, sort, after, limit: limit.into() };
    let now = market.inner.clock.now();
    let found = market.inner.db.read(move |tx| match q.as_deref().map(str::trim).filter(|q| !q.is_empty()) {
        Some(q) => store::search(tx, now, &words::asked(q), &filter),
        None => store::page(tx, now, &filter),
    });
    let mut found = found.await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let next_cursor = found.last().filter(|_| more).map(|(key, last)| format!("{key}:{}", last.slug));
    let items = found.into_iter().map(|(_, listing)| market.known(listing)).collect();
    Ok(Json(List { items, next_cursor }))
}

fn slugs(text: &str) -> Result<Vec<String>> {
    let slugs: Vec<String> = text.split(',').map(str::to_owned).collect();
    if slugs.len() > MOST_SLUGS || !slugs.iter().all(|slug| is_slug(slug)) {
        let sentence = format!("slugs names 1 to {MOST_SLUGS} plugins, each with 1 to 64 of a-z, 0-9 and -.");
        return Err(Error::invalid("invalid_query", sentence).field("slugs"));
    }
    Ok(slugs)
}

fn cursor(text: &str) -> Result<(i64, String)> {
    let parts = text.split_once(':').and_then(|(key, slug)| Some((key.parse().ok()?, slug.to_owned())));
    let given = |(key, _): &(i64, String)| (0..i64::MAX).contains(key);
    parts.filter(given).ok_or_else(|| {
        let sentence = "This cursor is not one a list gave. Start again without a cursor.";
        Error::invalid("invalid_cursor", sentence).field("cursor")
    })
}

/// A category.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketCategory)]
struct Category {
    category: String,
    plugins: i64,
}

/// The categories that have plugins in them, by name.
#[utoipa::path(get, path = "/api/marketplace/categories", tag = "marketplace",
    responses((status = 200, body = List<Category>), (status = "default", response = Problem)))]
async fn categories(State(market): State<Market>, _permit: Permit<PluginRead>) -> Result<Json<List<Category>>> {
    let found = market.inner.db.read(store::categories).await?;
    let items = found.into_iter().map(|(category, plugins)| Category { category, plugins }).collect();
    Ok(Json(List { items, next_cursor: None }))
}

/// One version of a plugin, in short.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketVersion)]
struct VersionLine {
    version: String,
    listed_at: Time,
    /// In bytes.
    length: i64,
    /// Why it cannot be installed here; null when it can.
    fault: Option<String>,
}

/// One version of a plugin as its package tells.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = MarketPackage)]
struct Opened {
    version: String,
    /// In lower-case hexadecimal.
    sha256: String,
    /// In bytes.
    length: i64,
    /// Why it cannot be installed here; null when it can. The rest is empty then.
    fault: Option<String>,
    /// Why nobody should begin with it any more; null when nothing speaks against it.
    advice: Option<String>,
    /// Sanitised.
    readme_html: String,
    /// Sanitised.
    changelog_html: String,
    /// SPDX.
    license: Option<String>,
    homepage: Option<String>,
    documentation: Option<String>,
    source: Option<String>,
    dependencies: Vec<String>,
    /// What organisations will be asked to grant.
    asks: Vec<Asked>,
    /// What it carries; null when it brings no list.
    libraries: Option<Vec<Library>>,
    signed_by: Vec<SignedBy>,
    /// How its bytes came to be believed, one sentence a link.
    chain: Vec<String>,
    screenshots: Vec<String>,
}

/// A plugin of the marketplace.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketPluginDetail)]
struct Detail {
    #[serde(flatten)]
    listing: Listing,
    /// The version that was asked for.
    package: Opened,
    /// The newest first.
    versions: Vec<VersionLine>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OneQuery {
    /// Absent: the newest that can be installed here.
    version: Option<String>,
}

/// One plugin: what it is, whose it is, what it asks for and carries, and its versions.
#[utoipa::path(get, path = "/api/marketplace/plugins/{slug}", tag = "marketplace", params(("slug" = String, Path), OneQuery),
    responses((status = 200, body = Detail), (status = "default", response = Problem)))]
async fn one(
    State(market): State<Market>,
    _permit: Permit<PluginRead>,
    Path(slug): Path<String>,
    Query(query): Query<OneQuery>,
) -> Result<Json<Detail>> {
    let (now, asked) = (market.inner.clock.now(), slug.clone());
    let read = move |tx: &mut Tx<'_>| {
        let listing = store::find(tx, now, &asked)?.ok_or_else(|| no_plugin(&asked, None))?;
        let wanted = query.version.clone().unwrap_or_else(|| listing.version.clone());
        let origin = look::origin(tx, listing.source, &asked, &wanted)?;
        Ok((listing, wanted, origin, store::packages(tx, &asked)?))
    };
    let (listing, wanted, origin, mut packages) = market.inner.db.read(read).await?;
    packages.sort_by_key(|package| std::cmp::Reverse(Version::parse(&package.version).ok()));
    let package = packages.iter().find(|package| package.version == wanted).ok_or_else(|| {
        let sentence = format!("The marketplace has no version {wanted} of {slug}.");
        Error::new(crate::base::error::Kind::NotFound, "market_no_plugin", sentence).field("version")
    })?;
    let package = market.opened(package, &origin).await?;
    let versions = packages.into_iter().map(|Package { version, listed_at, length, fault, .. }| VersionLine {
        version,
        listed_at,
        length,
        fault,
    });
    Ok(Json(Detail { listing: market.known(listing), package, versions: versions.collect() }))
}

impl Market {
    async fn opened(&self, listed: &Package, origin: &Origin) -> Result<Opened> {
        let Package { version, sha256, length, fault, facts, .. } = listed.clone();
        let opened = Opened { version, length, fault, sha256, ..Opened::default() };
        let opened = Opened { advice: origin.advice(), ..opened };
        let package = match self.open(&opened.sha256).await {
            Ok(package) => package,
            Err(_) if opened.fault.is_some() => {
                return Ok(Opened { chain: origin.chain(&opened.sha256, &[]), ..opened });
            }
            Err(error) => return Err(error),
        };
        let signed_by = self.inner.plugins.signers(&package)?;
        Ok(Opened {
            readme_html: markdown::to_html(&look::text(&package, look::README)),
            changelog_html: markdown::to_html(&look::text(&package, look::CHANGELOG)),
            license: look::told(&package, "license"),
            homepage: look::told(&package, "homepage"),
            documentation: look::told(&package, "documentation"),
            source: look::told(&package, "repository"),
            dependencies: facts.dependencies,
            asks: Asked::by(&package),
            libraries: look::libraries(&package),
            chain: origin.chain(&opened.sha256, &signed_by),
            signed_by,
            screenshots: facts.screenshots,
            ..opened
        })
    }
}

/// A picture of a package: its icon or a screenshot.
#[utoipa::path(get, path = "/api/marketplace/plugins/{slug}/{version}/pictures/{*path}", tag = "marketplace",
    params(("slug" = String, Path), ("version" = String, Path), ("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "image/png"), (status = "default", response = Problem)))]
async fn picture(
    State(market): State<Market>,
    _permit: Permit<PluginRead>,
    Path((slug, version, path)): Path<(String, String, String)>,
) -> Result<Response> {
    let absent = || Error::not_found("such picture");
    let packages = market.inner.db.read(move |tx| store::packages(tx, &slug)).await?;
    let listed = packages.into_iter().find(|package| package.version == version).ok_or_else(absent)?;
    if listed.facts.icon.as_ref() != Some(&path) && !listed.facts.screenshots.contains(&path) {
        return Err(absent());
    }
    let package = market.open(&listed.sha256).await?;
    let bytes = package.content(&path).ok_or_else(absent)?.to_vec();
    let media_type = look::picture(&bytes).ok_or_else(absent)?;
    // A version's bytes are always the same.
    Ok(([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "private, max-age=86400")], bytes).into_response())
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketInstallRequest)]
struct InstallRequest {
    /// Absent: the newest that is no pre-release, else the newest.
    version: Option<String>,
    /// Absent: what it had, else the plugin's defaults.
    #[schema(value_type = Option<Object>)]
    config: Option<serde_json::Map<String, serde_json::Value>>,
    /// Whether it works in organisations that say nothing about it; absent: as it was, or, for a new one, when it asks for
    /// nothing that has to be granted.
    everywhere: Option<bool>,
    /// Say what it comes to and change nothing.
    #[serde(default)]
    dry_run: bool,
    /// Take it although a scan found something that keeps it out; needs a `reason`. What it needs is not meant.
    #[serde(default)]
    allow_findings: bool,
    /// Why, for the audit trail.
    reason: Option<String>,
}

/// Install a plugin, or another version of it, with everything it needs: all of it or nothing.
#[utoipa::path(post, path = "/api/marketplace/plugins/{slug}/install", tag = "marketplace",
    params(("slug" = String, Path)), request_body = InstallRequest,
    responses((status = 200, body = Installation), (status = "default", response = Problem)))]
async fn install(
    State(market): State<Market>,
    permit: Permit<PluginInstall>,
    Path(slug): Path<String>,
    Json(body): Json<InstallRequest>,
) -> Result<Json<Installation>> {
    let InstallRequest { version, config, everywhere, dry_run, allow_findings, reason } = body;
    let despite = scanning::despite(allow_findings, reason)?;
    let version = version.map(|text| Version::parse(&text).map_err(|_| no_version(&text))).transpose()?;
    let wishes = BTreeMap::from([(slug.clone(), Wish { config, everywhere, despite })]);
    market.install(permit, vec![Wanted { slug, version }], wishes, dry_run).await.map(Json)
}

fn no_version(text: &str) -> Error {
    let sentence = format!("{text:?} is no version. Write one as in 1.4.0.");
    Error::invalid("invalid_version", sentence).field("version")
}
