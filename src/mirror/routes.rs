//! The mirror over HTTP, for who runs the site.

use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio_util::io::StreamReader;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::import::{Report, Wish};
use super::store::{Filter, Kept};
use super::{Content, Expiry, Kind, Mirror, Owner, store, verify};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::base::page::{List, check_part, limit};
use crate::web::archive::attachment;
use crate::web::extract::body_stream;
use crate::web::{Created, Json, Path, Problem, Query};

/// A bundle, at most, in bytes.
const MAX_BUNDLE: u64 = 1 << 40;

impl Mirror {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(status))
            .routes(routes!(trust))
            .routes(routes!(import))
            .routes(routes!(state))
            .routes(routes!(list))
            .routes(routes!(download))
            .with_state(self)
    }
}

/// How much there is of one kind.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirrorCount)]
struct Count {
    kind: Kind,
    contents: i64,
    bytes: i64,
}

/// A repository that this site trusts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirrorRepository)]
struct Repository {
    repository: Owner,
    /// SHA-256 of the root that was pinned by hand.
    pinned_sha256: String,
    pinned_version: u64,
    pinned_at: Time,
    /// The newest root, that bundles brought.
    root_version: u64,
    /// Null before the first import.
    timestamp_version: Option<u64>,
    snapshot_version: Option<u64>,
    targets_version: Option<u64>,
    imported_at: Option<Time>,
    /// Who imported it; null where that was the operator of the box, or nobody yet.
    imported_by: Option<String>,
    /// Null before the first import.
    expires: Option<Expiry>,
    /// When the first part of it expires.
    expires_at: Option<Time>,
    /// Whole days until then; below zero when it has expired.
    days_left: Option<i64>,
    counts: Vec<Count>,
}

/// What the site mirrors.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirrorStatus)]
struct Status {
    repositories: Vec<Repository>,
    /// What the setting `mirror.expired` says: `refuse`, `warn` or a number of days.
    expired: String,
    /// Whether other boxes may read it.
    serve: bool,
    /// Bytes that the disk has room for.
    room: u64,
}

fn shown(kept: Kept, counts: Vec<(Kind, i64, i64)>, now: Time) -> Repository {
    let expires = kept.state.map(|state| state.expires);
    let expires_at = expires.map(|expires| expires.first().1);
    Repository {
        repository: kept.owner,
        pinned_sha256: kept.pinned_sha256,
        pinned_version: kept.pinned_version,
        pinned_at: kept.pinned_at,
        root_version: kept.root_version,
        timestamp_version: kept.state.map(|state| state.timestamp_version),
        snapshot_version: kept.state.map(|state| state.snapshot_version),
        targets_version: kept.state.map(|state| state.targets_version),
        imported_at: kept.imported_at,
        imported_by: kept.imported_by,
        expires,
        expires_at,
        days_left: expires_at.map(|at| (at.0 - now.0).div_euclid(DAY)),
        counts: counts.into_iter().map(|(kind, contents, bytes)| Count { kind, contents, bytes }).collect(),
    }
}

/// What is mirrored, from whom, how old it is and how much there is of each kind.
#[utoipa::path(get, path = "/api/mirror", tag = "mirror",
    responses((status = 200, body = Status), (status = "default", response = Problem)))]
async fn status(State(mirror): State<Mirror>, permit: Permit<PluginInstall>) -> Result<Json<Status>> {
    permit.require_site()?;
    let now = mirror.inner.clock.now();
    let repositories = mirror.inner.db.read(move |tx| {
        let all = store::all(tx)?;
        all.into_iter().map(|kept| Ok((store::counts(tx, kept.owner)?, kept))).collect::<Result<Vec<_>>>()
    });
    let repositories = repositories.await?.into_iter().map(|(counts, kept)| shown(kept, counts, now)).collect();
    let (expired, serve) = (mirror.inner.options.expired.to_string(), mirror.inner.options.serve);
    Ok(Json(Status { repositories, expired, serve, room: mirror.inner.blobs.room()? }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = MirrorTrustRequest)]
struct TrustRequest {
    repository: Owner,
    /// The text of the repository's root.json, as it lies there.
    root: String,
    /// Trust it instead of the root that is trusted, and forget what that repository listed.
    #[serde(default)]
    replace: bool,
}

/// Trust a repository by its root. Compare the root's fingerprint with who made it before.
#[utoipa::path(post, path = "/api/mirror/trust", tag = "mirror", request_body = TrustRequest,
    responses((status = 201, body = Repository), (status = "default", response = Problem)))]
async fn trust(
    State(mirror): State<Mirror>,
    permit: Permit<PluginInstall>,
    Json(body): Json<TrustRequest>,
) -> Result<Created<Repository>> {
    permit.require_site()?;
    let pin = verify::pin(body.root.as_bytes())?;
    let now = mirror.inner.clock.now();
    let write = move |tx: &mut crate::db::Tx<'_>| {
        store::pin(tx, &permit, now, body.repository, (&pin, &body.root), body.replace)
    };
    Ok(Created(shown(mirror.inner.db.write(write).await?, Vec::new(), now)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ImportQuery {
    /// `vendor` when absent.
    repository: Option<Owner>,
    /// Say what would change and change nothing; the beginning of a bundle, its metadata, is enough.
    #[serde(default)]
    dry_run: bool,
}

/// Import a bundle, as `resoftai mirror export` makes it. What was sent of one that was cut off is not needed again.
#[utoipa::path(post, path = "/api/mirror/import", tag = "mirror", params(ImportQuery),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 200, body = Report), (status = "default", response = Problem)))]
async fn import(
    State(mirror): State<Mirror>,
    permit: Permit<PluginInstall>,
    Query(query): Query<ImportQuery>,
    request: Request,
) -> Result<Json<Report>> {
    let wish = Wish { owner: query.repository.unwrap_or(Owner::Vendor), dry_run: query.dry_run };
    let body = StreamReader::new(Box::pin(body_stream(request, MAX_BUNDLE)));
    mirror.import(permit, body, wish).await.map(Json)
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct StateQuery {
    /// `vendor` when absent.
    repository: Option<Owner>,
}

/// What a site has, for `resoftai mirror export --since`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = MirrorStateFile)]
pub struct StateFile {
    /// 1.
    pub format: u32,
    pub repository: Owner,
    pub root_version: u64,
    /// Null before the first import.
    pub timestamp_version: Option<u64>,
    /// SHA-256 of every content that is here.
    pub contents: Vec<String>,
}

/// What this site has of a repository, so that a bundle can leave it out.
#[utoipa::path(get, path = "/api/mirror/state", tag = "mirror", params(StateQuery),
    responses((status = 200, body = StateFile), (status = "default", response = Problem)))]
async fn state(
    State(mirror): State<Mirror>,
    permit: Permit<PluginInstall>,
    Query(query): Query<StateQuery>,
) -> Result<Json<StateFile>> {
    permit.require_site()?;
    let owner = query.repository.unwrap_or(Owner::Vendor);
    let read = move |tx: &mut crate::db::Tx<'_>| Ok((store::find(tx, owner)?, store::contents(tx, owner)?));
    let (kept, contents) = mirror.inner.db.read(read).await?;
    let mut contents: Vec<String> = contents.into_iter().map(|content| content.sha256).collect();
    contents.sort();
    contents.dedup();
    let timestamp_version = kept.state.map(|state| state.timestamp_version);
    Ok(Json(StateFile { format: 1, repository: owner, root_version: kept.root_version, timestamp_version, contents }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    /// Of this repository; absent: of both.
    repository: Option<Owner>,
    /// Of this kind.
    kind: Option<Kind>,
    /// A part of the name, the title or the description, whatever its case; at most 100 characters.
    q: Option<String>,
    /// How many items, 1 to 100; 20 when absent.
    limit: Option<u32>,
    /// Where the previous page ended, as its `next_cursor` said.
    cursor: Option<String>,
}

/// A content, and where it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirrorListed)]
struct Listed {
    repository: Owner,
    #[serde(flatten)]
    content: Content,
}

/// What the mirror holds, by name.
#[utoipa::path(get, path = "/api/mirror/contents", tag = "mirror", params(ListQuery),
    responses((status = 200, body = List<Listed>), (status = "default", response = Problem)))]
async fn list(
    State(mirror): State<Mirror>,
    permit: Permit<PluginInstall>,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Listed>>> {
    permit.require_site()?;
    check_part(query.q.as_ref())?;
    let limit = limit(query.limit)?;
    let after = query.cursor.as_deref().map(cursor).transpose()?;
    let filter = Filter { owner: query.repository, kind: query.kind, part: query.q, after, limit: limit.into() };
    let mut found = mirror.inner.db.read(move |tx| store::page(tx, &filter)).await?;
    let more = found.len() > limit as usize;
    found.truncate(limit as usize);
    let last = found.last().filter(|_| more).map(|(owner, content)| format!("{}:{}", owner.code(), content.name));
    let items = found.into_iter().map(|(repository, content)| Listed { repository, content }).collect();
    Ok(Json(List { items, next_cursor: last }))
}

fn cursor(text: &str) -> Result<(String, String)> {
    let (owner, name) = text.split_once(':').ok_or_else(|| {
        let sentence = "This cursor is not one a list gave. Start again without a cursor.";
        Error::invalid("invalid_cursor", sentence).field("cursor")
    })?;
    Ok((name.to_owned(), owner.to_owned()))
}

/// Download one content.
#[utoipa::path(get, path = "/api/mirror/contents/{repository}/{*name}", tag = "mirror",
    params(("repository" = Owner, Path), ("name" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "default", response = Problem)))]
async fn download(
    State(mirror): State<Mirror>,
    permit: Permit<PluginInstall>,
    Path((owner, name)): Path<(Owner, String)>,
) -> Result<Response> {
    permit.require_site()?;
    let absent = || Error::not_found("such content in the mirror");
    let content = mirror.inner.db.read(move |tx| store::content(tx, owner, &name)).await?.ok_or_else(absent)?;
    let (_, pieces) = mirror.inner.blobs.stream(&content.sha256).await?;
    let file = content.name.rsplit('/').next().unwrap_or_default();
    Ok(attachment("application/octet-stream", file, pieces.map(|piece| piece.map_err(std::io::Error::other))))
}
