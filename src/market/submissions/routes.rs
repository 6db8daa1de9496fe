//! Submissions over HTTP.

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::store::{self, New};
use super::{Status, Submission, check_step};
use crate::access::actions::{PluginManage, PluginRead};
use crate::access::{Caller, Permit};
use crate::base::error::{Error, Result};
use crate::base::names;
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::market::Market;
use crate::market::catalogue::unpacked;
use crate::market::install::Asked;
use crate::plugins::is_category;
use crate::plugins::package::MAX_TOTAL;
use crate::web::archive::attachment;
use crate::web::extract::read_body;
use crate::web::{Created, Json, Path, Problem, Query};

const MOST_TAGS: usize = 20;
const LONGEST_TAG: usize = 50;
const LONGEST_REASON: usize = 500;

pub fn routes() -> OpenApiRouter<Market> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(one))
        .routes(routes!(package))
        .routes(routes!(decide))
}

fn manages(permit: &Permit<PluginRead>) -> bool {
    permit.caller_arc().permit::<PluginManage>().is_ok_and(|permit| permit.require_site().is_ok())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SubmitQuery {
    /// The category in the marketplace; absent: the one of plugin.json.
    category: Option<String>,
    /// Words to find it by, with commas between them; absent: those of plugin.json.
    tags: Option<String>,
}

/// Hand a packed plugin in for the site's marketplace. It is looked at by machine at once; what passes waits for who manages
/// the site's plugins, and what does not says what is to be mended.
#[utoipa::path(post, path = "/api/marketplace/submissions", tag = "marketplace", params(SubmitQuery),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 201, body = Submission), (status = "default", response = Problem)))]
async fn submit(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Query(query): Query<SubmitQuery>,
    request: Request,
) -> Result<Created<Submission>> {
    let tags = tags(query.tags.as_deref())?;
    if let Some(category) = query.category.as_deref().filter(|category| !is_category(category)) {
        let sentence = format!("{category:?} is no category. Those there are: docs/plugins/manifest.md");
        return Err(Error::invalid("invalid_category", sentence).field("category"));
    }
    let bytes = read_body(request, MAX_TOTAL + (1 << 20)).await?;
    let package = unpacked(bytes.clone()).await?;
    let manifest = &package.manifest;
    let (slug, version, name) = (manifest.slug.clone(), manifest.version.to_string(), manifest.name.clone());
    let (caller, asked, manager) = (permit.caller_arc().clone(), slug.clone(), manages(&permit));
    let newest = market.inner.db.read(move |tx| newest(tx, &caller, manager, &asked)).await?;
    let checks = market.look_at(package, newest).await;
    let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    let sha256 = market.inner.blobs.put(bytes).await?;
    let new = New { slug, version, name, sha256, length, category: query.category, tags, checks };
    let now = market.inner.clock.now();
    market.inner.db.write(move |tx| store::insert(tx, permit.caller(), now, &new)).await.map(Created)
}

/// The newest version that was published, of a slug that is nobody else's.
fn newest(tx: &mut Tx<'_>, caller: &Caller, manager: bool, slug: &str) -> Result<Option<Version>> {
    if store::is_mirrored(tx, slug)? {
        let sentence =
            format!("The mirror lists a plugin {slug}, and no other one may take its name. Choose another slug.");
        return Err(Error::conflict("slug_taken", sentence).field("slug"));
    }
    if store::owner(tx, slug)?.is_some_and(|owner| owner != caller.user && !manager) {
        let sentence =
            format!("Somebody else published {slug}. Choose another slug, or ask an administrator of the site.");
        return Err(Error::conflict("slug_taken", sentence).field("slug"));
    }
    Ok(store::versions(tx, slug)?.iter().filter_map(|version| Version::parse(version).ok()).max())
}

fn tags(given: Option<&str>) -> Result<Vec<String>> {
    let tags = given.unwrap_or_default().split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let tags: Vec<String> = tags.map(|tag| names::check_field(tag, "tags", LONGEST_TAG)).collect::<Result<_>>()?;
    if tags.len() > MOST_TAGS {
        return Err(Error::invalid("invalid_tags", format!("At most {MOST_TAGS} tags are taken.")).field("tags"));
    }
    Ok(tags)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Filter {
    #[param(inline)]
    status: Option<Status>,
    /// Only those of this plugin.
    slug: Option<String>,
}

/// The caller's submissions, and for who manages the site's plugins all; newest first.
#[utoipa::path(get, path = "/api/marketplace/submissions", tag = "marketplace", params(PageQuery, Filter),
    responses((status = 200, body = List<Submission>), (status = "default", response = Problem)))]
async fn list(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Query(query): Query<PageQuery>,
    Query(filter): Query<Filter>,
) -> Result<Json<List<Submission>>> {
    let (page, all) = (query.check()?, manages(&permit));
    let read =
        move |tx: &mut Tx<'_>| store::list(tx, permit.caller(), (all, filter.status, filter.slug.as_deref()), page);
    let found = market.inner.db.read(read).await?;
    Ok(Json(page.list(found, |submission| submission.id)))
}

/// A submission and what its package asks for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MarketSubmissionDetail)]
struct Detail {
    #[serde(flatten)]
    submission: Submission,
    /// What organisations would be asked to grant; null when this version of the platform cannot open the package.
    asks: Option<Vec<Asked>>,
}

/// One submission.
#[utoipa::path(get, path = "/api/marketplace/submissions/{id}", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 200, body = Detail), (status = "default", response = Problem)))]
async fn one(State(market): State<Market>, permit: Permit<PluginRead>, Path(id): Path<i64>) -> Result<Json<Detail>> {
    let all = manages(&permit);
    let (submission, _) = market.inner.db.read(move |tx| store::find(tx, permit.caller(), all, id)).await?;
    let package = market.open(&submission.sha256).await.ok();
    let asks = package.map(|package| Asked::by(&package));
    Ok(Json(Detail { submission, asks }))
}

/// The package that was handed in, to look at before deciding.
#[utoipa::path(get, path = "/api/marketplace/submissions/{id}/package", tag = "marketplace", params(("id" = i64, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "default", response = Problem)))]
async fn package(State(market): State<Market>, permit: Permit<PluginRead>, Path(id): Path<i64>) -> Result<Response> {
    let all = manages(&permit);
    let (found, _) = market.inner.db.read(move |tx| store::find(tx, permit.caller(), all, id)).await?;
    let (_, pieces) = market.inner.blobs.stream(&found.sha256).await?;
    let file = format!("{}-{}.rplugin", found.slug, found.version);
    Ok(attachment("application/octet-stream", &file, pieces.map(|piece| piece.map_err(std::io::Error::other))))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MarketDecision)]
struct Decision {
    /// What it becomes: `published` or `rejected` by who manages the site's plugins and did not hand it in; `withdrawn` by who
    /// did; later `deprecated`, `yanked`, or `published` again.
    status: Status,
    /// Why; needed to reject, deprecate or yank. At most 500 characters.
    reason: Option<String>,
}

/// Decide about a submission.
#[utoipa::path(put, path = "/api/marketplace/submissions/{id}/status", tag = "marketplace", params(("id" = i64, Path)),
    request_body = Decision, responses((status = 200, body = Submission), (status = "default", response = Problem)))]
async fn decide(
    State(market): State<Market>,
    permit: Permit<PluginRead>,
    Path(id): Path<i64>,
    Json(body): Json<Decision>,
) -> Result<Json<Submission>> {
    let (next, now, manager) = (body.status, market.inner.clock.now(), manages(&permit));
    let reason = body.reason.as_deref().map(|text| names::check_field(text, "reason", LONGEST_REASON)).transpose()?;
    if next.needs_a_reason() && reason.is_none() {
        let sentence = format!("Say why it becomes {}: who handed it in, and who uses it, is told.", next.code());
        return Err(Error::invalid("reason_missing", sentence).field("reason"));
    }
    let write = move |tx: &mut Tx<'_>| {
        let (before, submitter) = store::find(tx, permit.caller(), manager, id)?;
        check_step(before.status, next, (before.mine, manager))?;
        if next == Status::Published && store::is_mirrored(tx, &before.slug)? {
            let sentence =
                format!("The mirror lists a plugin {} by now, and no other one may take its name.", before.slug);
            return Err(Error::conflict("slug_taken", sentence).field("slug"));
        }
        store::decide(tx, permit.caller(), now, (&before, submitter), (next, reason.as_deref()))
    };
    market.inner.db.write(write).await.map(Json)
}
