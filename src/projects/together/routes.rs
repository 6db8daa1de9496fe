//! The door of editing together.

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::session::{Seat, Session};
use super::{MAX_MESSAGE, Together, live};
use crate::access::Permit;
use crate::access::actions::ProjectRead;
use crate::base::error::{Error, Result};
use crate::projects::files::store as files;
use crate::web::{Path, Problem, Query};

impl Together {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(open)).with_state(self)
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct OpenQuery {
    /// The `epoch` that a page which was here before was told; refused when the document was begun anew since.
    epoch: Option<i64>,
}

/// Edit a text file together with others: a WebSocket (RFC 6455) that speaks the Yjs sync and awareness protocols in binary
/// messages of at most 1 MiB; the shared text is called `content`. Text messages are JSON. The server sends `hello` (epoch,
/// name, may_change, version, by, unsaved), `kept` (changes: how many of this connection's changes are durable), `file`
/// (version, by, unsaved), `rights` (may_change), `saved` (version), `not_saved` and `ended` (code, message); `save` makes
/// the text the file's next version. It takes project.read to look and project.update to change.
#[utoipa::path(get, path = "/api/files/{id}/together", tag = "files", params(("id" = i64, Path), OpenQuery),
    responses((status = 101, description = "The connection is a WebSocket from here on."), (status = "default", response = Problem)))]
async fn open(
    State(together): State<Together>,
    permit: Permit<ProjectRead>,
    Path(id): Path<i64>,
    Query(query): Query<OpenQuery>,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response> {
    let (asked, watch) = (permit.clone(), together.accounts.watch(permit.caller_arc().clone()));
    together.projects.db.read(move |tx| files::find(tx, &asked, id)).await?;
    let upgrade = upgrade.map_err(|_| {
        let sentence = "This address is opened as a WebSocket (RFC 6455), with GET and `Upgrade: websocket`.";
        Error::invalid("not_a_websocket", sentence)
    })?;
    let seat = together.seats.clone().try_acquire_owned().map_err(|_| {
        let sentence = "Too many people edit files at the moment. Try again shortly.";
        Error::unavailable("too_many_editors", sentence).retry_after(10)
    })?;
    let (live, (peer, out)) = loop {
        let live = together.live(id).await?;
        if query.epoch.is_some_and(|epoch| epoch != live.epoch) {
            live.wake();
            return Err(live::renewed());
        }
        if let Some(joined) = live.join()? {
            break (live, joined);
        }
        together.closed(&live);
    };
    let seat = Seat { live: live.clone(), peer, _of_all: seat };
    let session = Session { together: together.clone(), live, permit, out, seat };
    let upgrade = upgrade.max_message_size(MAX_MESSAGE).max_frame_size(MAX_MESSAGE);
    Ok(upgrade.on_upgrade(move |socket| async move {
        together.tasks.spawn(session.run(watch, socket));
    }))
}
