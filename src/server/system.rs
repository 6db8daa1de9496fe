//! What anybody may know of the server before signing in.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::config::Registration;
use crate::llm::Llm;
use crate::mail::Mailer;
use crate::web::{Json, Public};

#[derive(Clone)]
pub struct System {
    pub llm: Llm,
    pub mailer: Mailer,
    pub registration: Registration,
}

impl System {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(about)).with_state(self)
    }
}

#[derive(Serialize, ToSchema)]
struct SystemInfo {
    version: &'static str,
    /// Whether some model answers.
    models_ready: bool,
    /// Whether the site sends mails, such as a code to who forgot their password.
    sends_mail: bool,
    /// Whether people make accounts for themselves: `off`, `approval` (an administrator lets them in) or `open`.
    registration: &'static str,
}

/// What runs here.
#[utoipa::path(get, path = "/api/system", tag = "operation", responses((status = 200, body = SystemInfo)))]
async fn about(_: Public, State(system): State<System>) -> Json<SystemInfo> {
    Json(SystemInfo {
        version: env!("CARGO_PKG_VERSION"),
        models_ready: system.llm.is_ready(),
        sends_mail: system.mailer.is_on(),
        registration: system.registration.code(),
    })
}
