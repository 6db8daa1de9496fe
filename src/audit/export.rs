//! The trail as a file, of any length: JSON lines or CSV.
//!
//! Invariants: a few pieces of the trail are held at a time, each read in a transaction of its own. No cell of a CSV file is taken for a formula by a spreadsheet. Every export is an entry itself.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::routes::Audit;
use super::search::{Filter, Place, Text};
use super::{AuditAction, AuditEntry, Event, record, store};
use crate::access::actions::AuditExport;
use crate::access::{self, OrgId, Permit, Scope};
use crate::base::clock::Time;
use crate::base::csv;
use crate::base::error::{Error, Result};
use crate::db::{Db, Tx};
use crate::web::archive::attachment;
use crate::web::{Problem, Query};

/// Exports under way at a time.
pub const AT_WORK: usize = 4;
/// Entries of a piece, for each organisation that is read.
const BATCH: usize = 500;
/// Pieces read and encoded at a time, each on a thread of its own as far as there are any.
const AT_ONCE: usize = 4;
/// Pieces whose places are looked up together.
const AHEAD: usize = 64;
/// Bytes that an entry seldom exceeds.
const USUAL: usize = 1024;

const COLUMNS: [&str; 20] = [
    "id",
    "at",
    "organization_id",
    "actor_kind",
    "actor_id",
    "actor_name",
    "person_id",
    "action",
    "resource_type",
    "resource_id",
    "description",
    "success",
    "before",
    "after",
    "ip_address",
    "user_agent",
    "request_id",
    "token_id",
    "token_name",
    "erased",
];

/// How entries are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object a line, as the list shows it.
    #[default]
    Json,
    /// RFC 4180 with a header line, UTF-8. A cell that a spreadsheet would take for a formula begins with an apostrophe.
    Csv,
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExportQuery {
    /// `json` (lines) when absent.
    #[serde(default)]
    #[param(inline)]
    format: Format,
    organization_id: Option<i64>,
    /// create, read, update, delete, login, logout, permission_change, export or execute.
    action: Option<String>,
    resource_type: Option<String>,
    resource_id: Option<String>,
    /// The id of the account that acted.
    actor_id: Option<i64>,
    /// Whoever has this user name now, service accounts of this name, and actors without an account under exactly this name.
    actor: Option<String>,
    success: Option<bool>,
    request_id: Option<String>,
    /// From this moment on (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Time>,
    /// Before this moment (RFC 3339).
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Time>,
    /// A text in the description, the states before and after, the actor's name or the resource's id; at most 200 bytes.
    q: Option<String>,
}

/// Everything of the trail that fits, newest first, as JSON lines or CSV, streamed. That it was taken is recorded before
/// the first line goes out. A connection that ends early has not carried everything.
#[utoipa::path(get, path = "/api/audit/export", tag = "audit", params(ExportQuery),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"),
        (status = "default", response = Problem)))]
pub async fn export(
    State(audit): State<Audit>,
    permit: Permit<AuditExport>,
    Query(query): Query<ExportQuery>,
) -> Result<Response> {
    let turn = Arc::clone(&audit.exports).try_acquire_owned().map_err(|_| {
        let sentence = "Several exports of the audit trail are under way already. Try again shortly.";
        Error::unavailable("too_many_exports", sentence).retry_after(5)
    })?;
    let format = query.format;
    let filter = filter(&audit, &permit.scope(), query).await?;
    if let Some(org) = filter.organization_id {
        permit.require(OrgId(org), "such organization")?;
    }
    let (scope, now, asked) = (permit.scope(), audit.clock.now(), filter.clone());
    let told = audit.db.write(move |tx| {
        let mut event =
            Event::new(AuditAction::Export, "audit", format!("Exported the audit trail as {}", format.name()));
        event.org = match permit.only_place() {
            Some(access::Place::Org(org)) => Some(org),
            _ => asked.organization_id.map(OrgId),
        };
        record(tx, now, permit.caller(), &event.after(&asked))
    });
    told.await?;
    let header = if format == Format::Csv { csv::lines([COLUMNS])?.into() } else { Bytes::new() };
    let lines = pieces(audit.db.clone(), scope.clone(), filter.clone())
        .map_ok(move |piece| {
            let (db, scope, filter) = (audit.db.clone(), scope.clone(), filter.clone());
            async move {
                let read = move |tx: &mut Tx<'_>| {
                    let entries = store::piece(tx, &scope, &filter, piece.above, piece.end)?;
                    format.lines(&entries).map_err(Error::internal)
                };
                db.read_long(read).await.map_err(io::Error::other)
            }
        })
        .try_buffered(AT_ONCE);
    let lines = stream::once(async { Ok(header) }).chain(lines);
    // The turn is held until the last byte is out.
    let body = lines.try_filter(move |lines| {
        let _turn = &turn;
        std::future::ready(!lines.is_empty())
    });
    let ending = if format == Format::Csv { "csv" } else { "jsonl" };
    Ok(attachment(format.media(), &format!("audit.{ending}"), body))
}

/// A part of an export that is read by itself: behind one place, down to another or to the last entry.
struct Piece {
    above: Place,
    end: Option<Place>,
}

/// The pieces of everything that fits, in order; their places are looked up as they are asked for.
fn pieces(db: Db, scope: Scope, filter: Filter) -> impl Stream<Item = io::Result<Piece>> + Send {
    async_stream::try_stream! {
        let newest = filter.to.map_or(Place::TOP, |to| Place { at: to, id: i64::MIN });
        let oldest = filter.from.map(|from| Place { at: from, id: i64::MIN });
        let mut above = newest;
        loop {
            let (scope, filter) = (scope.clone(), filter.clone());
            let cuts = move |tx: &mut Tx<'_>| Ok(store::cuts(tx, &scope, &filter, above, BATCH, AHEAD)?);
            let cuts = db.read_long(cuts).await.map_err(io::Error::other)?;
            let cuts: Vec<Place> = cuts.into_iter().take_while(|cut| oldest.is_none_or(|oldest| *cut > oldest)).collect();
            for end in &cuts {
                yield Piece { above, end: Some(*end) };
                above = *end;
            }
            if cuts.len() < AHEAD {
                yield Piece { above, end: oldest };
                return;
            }
        }
    }
}

async fn filter(audit: &Audit, scope: &Scope, query: ExportQuery) -> Result<Filter> {
    Ok(Filter {
        organization_id: query.organization_id,
        action: query.action.as_deref().map(AuditAction::parse).transpose()?,
        resource_type: query.resource_type,
        resource_id: query.resource_id,
        actor_id: query.actor_id,
        actor: audit.actor(scope, query.organization_id, query.actor).await?,
        success: query.success,
        request_id: query.request_id,
        from: query.from,
        to: query.to,
        text: query.q.as_deref().map(Text::new).transpose()?,
    })
}

impl Format {
    fn name(self) -> &'static str {
        match self {
            Self::Json => "JSON lines",
            Self::Csv => "CSV",
        }
    }

    fn media(self) -> &'static str {
        match self {
            Self::Json => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
        }
    }

    fn lines(self, entries: &[AuditEntry]) -> io::Result<Bytes> {
        match self {
            Self::Csv => csv::lines(entries.iter().map(cells)).map(Bytes::from),
            Self::Json => {
                let mut lines = Vec::with_capacity(entries.len() * USUAL);
                for entry in entries {
                    serde_json::to_writer(&mut lines, entry)?;
                    lines.push(b'\n');
                }
                Ok(lines.into())
            }
        }
    }
}

/// An entry in the order of [`COLUMNS`].
fn cells(entry: &AuditEntry) -> [Cow<'_, str>; 20] {
    let number = |value: Option<i64>| value.map(|value| value.to_string().into()).unwrap_or_default();
    [
        entry.id.to_string().into(),
        entry.at.to_string().into(),
        number(entry.organization_id),
        entry.actor.kind.code().into(),
        number(entry.actor.id),
        csv::text(&entry.actor.name),
        number(entry.person_id),
        entry.action.code().into(),
        csv::text(&entry.resource_type),
        text(entry.resource_id.as_ref()),
        csv::text(&entry.description),
        if entry.success { "true" } else { "false" }.into(),
        json(entry.before.as_deref()),
        json(entry.after.as_deref()),
        text(entry.ip_address.as_ref()),
        text(entry.user_agent.as_ref()),
        text(entry.request_id.as_ref()),
        number(entry.token.as_ref().map(|token| token.id)),
        text(entry.token.as_ref().and_then(|token| token.name.as_ref())),
        if entry.erased { "true" } else { "false" }.into(),
    ]
}

fn text(value: Option<&String>) -> Cow<'_, str> {
    value.map(csv::text).unwrap_or_default()
}

fn json(value: Option<&RawValue>) -> Cow<'_, str> {
    value.map(|value| csv::text(value.get())).unwrap_or_default()
}
