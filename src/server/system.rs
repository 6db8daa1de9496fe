//! What anybody may know of the server before signing in.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::reload::{Reload, Reloaded};
use crate::access::Permit;
use crate::access::actions::OrganizationManage;
use crate::accounts::Accounts;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::config::Registration;
use crate::db::Db;
use crate::llm::Llm;
use crate::mail::Mailer;
use crate::web::{Json, Problem, Public};

#[derive(Clone)]
pub struct System {
    pub llm: Llm,
    pub accounts: Accounts,
    pub mailer: Mailer,
    pub registration: Registration,
    pub reload: Reload,
    pub db: Db,
    pub clock: Clock,
}

impl System {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new().routes(routes!(about)).routes(routes!(reload)).with_state(self)
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
    /// Whether the site has no account yet: its setup link makes the first.
    is_new: bool,
}

/// What runs here.
#[utoipa::path(get, path = "/api/system", tag = "operation", responses((status = 200, body = SystemInfo), (status = "default", response = Problem)))]
async fn about(_: Public, State(system): State<System>) -> Result<Json<SystemInfo>> {
    Ok(Json(SystemInfo {
        version: env!("CARGO_PKG_VERSION"),
        models_ready: system.llm.is_ready(),
        sends_mail: system.mailer.is_on(),
        registration: system.registration.code(),
        is_new: system.accounts.is_new().await?,
    }))
}

/// Take in what was changed in the configuration: certificate and log level at once; what needs a restart is named. Open
/// connections go on. Administrators of the site only.
#[utoipa::path(post, path = "/api/system/reload", tag = "operation",
    responses((status = 200, body = Reloaded), (status = "default", response = Problem)))]
async fn reload(State(system): State<System>, permit: Permit<OrganizationManage>) -> Result<Json<Reloaded>> {
    permit.require_site()?;
    let reload = system.reload.clone();
    let done = tokio::task::spawn_blocking(move || reload.again()).await;
    let done = done.unwrap_or_else(|cause| Err(Error::internal(cause)));
    let (now, caller) = (system.clock.now(), permit.caller().clone());
    let event = match &done {
        Ok(reloaded) => Event::new(AuditAction::Update, "configuration", "Reloaded the configuration").after(reloaded),
        Err(error) => {
            let text = format!("Could not reload the configuration: {}", error.code());
            Event::new(AuditAction::Update, "configuration", text).failed()
        }
    };
    system.db.write(move |tx| audit::record(tx, now, &caller, &event)).await?;
    done.map(Json)
}
