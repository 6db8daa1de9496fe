//! Is it alive, and can it work?

use std::path::PathBuf;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audit::forward::Forward;
use crate::base::disk::Disk;
use crate::db::Db;
use crate::plugins::Plugins;
use crate::web::{Json, Public};

/// With less free space than this the server says it is not ready.
const DISK_FLOOR: u64 = 64 * 1024 * 1024;

#[derive(Clone)]
pub struct Health {
    pub db: Db,
    pub plugins: Plugins,
    pub forward: Forward,
    pub data_dir: PathBuf,
}

impl Health {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(alive)).routes(routes!(ready)).with_state(self)
    }
}

/// The process answers.
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = String)))]
async fn alive(_: Public) -> &'static str {
    "ok"
}

#[derive(Serialize, ToSchema)]
struct Readiness {
    /// `ready` or `not ready`.
    status: &'static str,
    checks: Vec<Check>,
}

#[derive(Serialize, ToSchema)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

/// The parts work: database, disk and plugin runtime. 503 when one does not.
#[utoipa::path(get, path = "/readyz", tag = "operation",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
async fn ready(_: Public, State(health): State<Health>) -> Response {
    let database = match health.db.ping().await {
        Ok(()) => Check { name: "database", ok: true, detail: "reads and writes".to_owned() },
        Err(error) => Check { name: "database", ok: false, detail: error.to_string() },
    };
    let (ok, detail) = health.plugins.state();
    let runtime = Check { name: "plugin runtime", ok, detail };
    let mut checks = vec![database, disk(&health.data_dir), runtime];
    checks.extend(forwarding(&health.forward).await);
    let ok = checks.iter().all(|check| check.ok);
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { status: if ok { "ready" } else { "not ready" }, checks })).into_response()
}

/// Says how far it is behind. A destination that is away keeps nobody from working, so this is always well.
async fn forwarding(forward: &Forward) -> Option<Check> {
    let all = forward.status().await.ok().filter(|all| !all.is_empty())?;
    let words = all.iter().map(|one| {
        let trouble = one.last_error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        format!("{} is {} entries behind{trouble}", one.target, one.behind)
    });
    Some(Check { name: "audit forwarding", ok: true, detail: words.collect::<Vec<_>>().join("; ") })
}

fn disk(path: &std::path::Path) -> Check {
    match Disk::of(path) {
        Ok(Disk { free, .. }) => {
            Check { name: "disk", ok: free >= DISK_FLOOR, detail: format!("{} MiB free", free / 1024 / 1024) }
        }
        Err(cause) => {
            Check { name: "disk", ok: false, detail: format!("the data directory cannot be looked at: {cause}") }
        }
    }
}
