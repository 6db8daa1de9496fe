//! The logs over HTTP: C2SP tlog-tiles below `../audit/log/`, and proofs ready-made for those who ask by entry.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::check::{self, Check, Cursor};
use super::hash::{Hash, WIDTH};
use super::path::{Kind, Name};
use super::proof;
use super::store::{self, Stored};
use super::{AuditLog, Consistency, EntryProof, LogId, Logs};
use crate::access::actions::AuditRead;
use crate::access::{OrgId, Permit};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::db::Tx;
use crate::web::{Json, Path, Problem, Query};

type Text = ([(HeaderName, &'static str); 1], String);
type Octets = ([(HeaderName, &'static str); 1], Bytes);

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct SizesQuery {
    /// Leaves of the earlier tree.
    from: u64,
    /// Leaves of the later tree; all when absent.
    to: Option<u64>,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct CheckQuery {
    /// Where the part before this one ended, as its `next_cursor` said.
    cursor: Option<String>,
}

impl Logs {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(list))
            .routes(routes!(entry_proof))
            .routes(routes!(site_checkpoint))
            .routes(routes!(site_key))
            .routes(routes!(site_tile))
            .routes(routes!(site_consistency))
            .routes(routes!(site_check))
            .routes(routes!(checkpoint))
            .routes(routes!(key))
            .routes(routes!(tile))
            .routes(routes!(consistency))
            .routes(routes!(check_log))
            .with_state(self)
    }

    async fn log(&self, id: LogId) -> Result<AuditLog> {
        self.db.read(move |tx| store::log(tx, id)?.ok_or_else(AuditLog::not_found)).await
    }

    async fn checkpoint(&self, id: LogId) -> Result<Text> {
        Ok(plain(self.log(id).await?.checkpoint))
    }

    async fn key(&self, id: LogId) -> Result<Text> {
        Ok(plain(format!("{}\n", self.log(id).await?.verifier_key)))
    }

    async fn tile(&self, id: LogId, path: &str) -> Result<Octets> {
        let absent = || Error::not_found("such tile");
        let name = Name::parse(path).ok_or_else(absent)?;
        let bytes = self.db.read(move |tx| match name.kind {
            Kind::Hashes(level) => {
                let hashes = store::tile(tx, id, (level, name.number))?;
                Ok(hashes.get(..name.width).ok_or_else(absent)?.concat())
            }
            Kind::Entries => bundle(tx, id, name),
        });
        Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes.await?.into()))
    }

    async fn consistency(&self, id: LogId, SizesQuery { from, to }: SizesQuery) -> Result<Json<Consistency>> {
        let proof = self.db.read(move |tx| {
            let size = store::log(tx, id)?.ok_or_else(AuditLog::not_found)?.tree_size;
            let to = to.unwrap_or(size);
            if from > to || to > size {
                let message = format!(
                    "from and to are sizes of this log, of which the latest is {size}, and from is not larger."
                );
                return Err(Error::invalid("invalid_sizes", message).field("from"));
            }
            let hashes = proof::consistency(&mut Stored::new(tx, id), from, to)?;
            Ok(Consistency { from, to, hashes: encoded(&hashes) })
        });
        Ok(Json(proof.await?))
    }

    async fn check(&self, id: LogId, query: &CheckQuery) -> Result<Json<Check>> {
        let cursor = Cursor::parse(query.cursor.as_deref())?;
        let signer = self.signer.clone();
        let part = self.db.read(move |tx| {
            let log = store::log(tx, id)?.ok_or_else(AuditLog::not_found)?;
            check::part(tx, id, &log, &signer, cursor)
        });
        Ok(Json(part.await?))
    }
}

fn plain(text: String) -> Text {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

fn encoded(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(|hash| STANDARD.encode(hash)).collect()
}

/// Entries as C2SP bundles have them: two bytes of length, most significant first, and the leaf. One whose body is gone has
/// none.
fn bundle(tx: &mut Tx<'_>, id: LogId, name: Name) -> Result<Vec<u8>> {
    let size = store::log(tx, id)?.ok_or_else(AuditLog::not_found)?.tree_size;
    let whole = Name::in_tree(Kind::Entries, name.number, size).filter(|whole| whole.width >= name.width);
    if whole.is_none() {
        return Err(Error::not_found("such tile"));
    }
    let from = name.number * WIDTH as u64;
    let mut bytes = Vec::new();
    let mut places = store::places(tx, id, from, from + name.width as u64)?.into_iter().peekable();
    for position in from..from + name.width as u64 {
        let leaf = places.next_if(|place| place.position == position).and_then(|place| place.leaf).unwrap_or_default();
        let length = u16::try_from(leaf.len()).map_err(Error::internal)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(leaf.as_bytes());
    }
    Ok(bytes)
}

fn site(permit: &Permit<AuditRead>) -> Result<LogId> {
    permit.require_site()?;
    Ok(LogId::SITE)
}

fn org(permit: &Permit<AuditRead>, id: i64) -> Result<LogId> {
    permit.require(OrgId(id), "such audit log")?;
    Ok(LogId::of(Some(OrgId(id))))
}

fn prove(tx: &mut Tx<'_>, permit: &Permit<AuditRead>, entry: i64) -> Result<EntryProof> {
    let absent = || Error::not_found("such audit entry");
    let seen = |log: LogId| log.org().map_or(permit.require_site().is_ok(), |org| permit.covers(org));
    let Some((id, position)) = store::place_of(tx, entry)? else {
        store::log_of(tx, entry)?.filter(|log| seen(*log)).ok_or_else(absent)?;
        let message = "This entry has no place in its log yet. It gets one within a second or so; try again.";
        return Err(Error::unavailable("not_placed_yet", message).retry_after(1));
    };
    let log = store::log(tx, id)?.filter(|_| seen(id)).ok_or_else(absent)?;
    let leaf = store::places(tx, id, position, position + 1)?.pop().and_then(|place| place.leaf);
    let mut tiles = Stored::new(tx, id);
    let leaf_hash = proof::subtree(&mut tiles, position, position + 1)?;
    let hashes = proof::inclusion(&mut tiles, position, log.tree_size)?;
    Ok(EntryProof {
        entry_id: entry,
        origin: log.origin,
        verifier_key: log.verifier_key,
        checkpoint: log.checkpoint,
        tree_size: log.tree_size,
        position,
        leaf,
        leaf_hash: STANDARD.encode(leaf_hash),
        hashes: encoded(&hashes),
    })
}

/// The audit logs of the caller's organisations, newest organisation first; for site administrators all, the site's own last.
#[utoipa::path(get, path = "/api/audit/logs", tag = "audit", params(PageQuery),
    responses((status = 200, body = List<AuditLog>), (status = "default", response = Problem)))]
async fn list(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<AuditLog>>> {
    let page = query.check()?;
    let found = logs.db.read(move |tx| store::logs(tx, &permit, page)).await?;
    let List { items, next_cursor } = page.list(found, |(id, _)| id.0);
    Ok(Json(List { items: items.into_iter().map(|(_, log)| log).collect(), next_cursor }))
}

/// The proof that an entry is in its log.
#[utoipa::path(get, path = "/api/audit/{id}/proof", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = EntryProof), (status = "default", response = Problem)))]
async fn entry_proof(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Path(id): Path<i64>,
) -> Result<Json<EntryProof>> {
    logs.db.read(move |tx| prove(tx, &permit, id)).await.map(Json)
}

/// The latest checkpoint of the site's own log (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/api/audit/log/checkpoint", tag = "audit",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", response = Problem)))]
async fn site_checkpoint(State(logs): State<Logs>, permit: Permit<AuditRead>) -> Result<Text> {
    logs.checkpoint(site(&permit)?).await
}

/// The verifier key of the site's own log (C2SP signed-note).
#[utoipa::path(get, path = "/api/audit/log/key", tag = "audit",
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", response = Problem)))]
async fn site_key(State(logs): State<Logs>, permit: Permit<AuditRead>) -> Result<Text> {
    logs.key(site(&permit)?).await
}

/// A tile of the site's own log (C2SP tlog-tiles), such as `0/001` or `entries/000.p/7`. An entry of length 0 was dropped.
#[utoipa::path(get, path = "/api/audit/log/tile/{*path}", tag = "audit", params(("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "default", response = Problem)))]
async fn site_tile(State(logs): State<Logs>, permit: Permit<AuditRead>, Path(path): Path<String>) -> Result<Octets> {
    logs.tile(site(&permit)?, &path).await
}

/// That a tree of the site's own log is the beginning of a later one (RFC 6962, section 2.1.2).
#[utoipa::path(get, path = "/api/audit/log/consistency", tag = "audit", params(SizesQuery),
    responses((status = 200, body = Consistency), (status = "default", response = Problem)))]
async fn site_consistency(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Query(query): Query<SizesQuery>,
) -> Result<Json<Consistency>> {
    logs.consistency(site(&permit)?, query).await
}

/// A part of the check of every stored entry of the site's own log against its leaf.
#[utoipa::path(get, path = "/api/audit/log/check", tag = "audit", params(CheckQuery),
    responses((status = 200, body = Check), (status = "default", response = Problem)))]
async fn site_check(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Query(query): Query<CheckQuery>,
) -> Result<Json<Check>> {
    logs.check(site(&permit)?, &query).await
}

/// The latest checkpoint of an organisation's log (C2SP tlog-checkpoint).
#[utoipa::path(get, path = "/api/organizations/{id}/audit/log/checkpoint", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", response = Problem)))]
async fn checkpoint(State(logs): State<Logs>, permit: Permit<AuditRead>, Path(id): Path<i64>) -> Result<Text> {
    logs.checkpoint(org(&permit, id)?).await
}

/// The verifier key of an organisation's log (C2SP signed-note).
#[utoipa::path(get, path = "/api/organizations/{id}/audit/log/key", tag = "audit", params(("id" = i64, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = "default", response = Problem)))]
async fn key(State(logs): State<Logs>, permit: Permit<AuditRead>, Path(id): Path<i64>) -> Result<Text> {
    logs.key(org(&permit, id)?).await
}

/// A tile of an organisation's log (C2SP tlog-tiles), such as `0/001` or `entries/000.p/7`. An entry of length 0 was dropped.
#[utoipa::path(get, path = "/api/organizations/{id}/audit/log/tile/{*path}", tag = "audit",
    params(("id" = i64, Path), ("path" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = "default", response = Problem)))]
async fn tile(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Path((id, path)): Path<(i64, String)>,
) -> Result<Octets> {
    logs.tile(org(&permit, id)?, &path).await
}

/// That a tree of an organisation's log is the beginning of a later one (RFC 6962, section 2.1.2).
#[utoipa::path(get, path = "/api/organizations/{id}/audit/log/consistency", tag = "audit",
    params(("id" = i64, Path), SizesQuery),
    responses((status = 200, body = Consistency), (status = "default", response = Problem)))]
async fn consistency(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Path(id): Path<i64>,
    Query(query): Query<SizesQuery>,
) -> Result<Json<Consistency>> {
    logs.consistency(org(&permit, id)?, query).await
}

/// A part of the check of every stored entry of an organisation's log against its leaf.
#[utoipa::path(get, path = "/api/organizations/{id}/audit/log/check", tag = "audit",
    params(("id" = i64, Path), CheckQuery),
    responses((status = 200, body = Check), (status = "default", response = Problem)))]
async fn check_log(
    State(logs): State<Logs>,
    permit: Permit<AuditRead>,
    Path(id): Path<i64>,
    Query(query): Query<CheckQuery>,
) -> Result<Json<Check>> {
    logs.check(org(&permit, id)?, &query).await
}
