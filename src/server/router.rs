//! THE list of rooms, and the API's description that grows out of it.

use std::path::PathBuf;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::reload::Reload;
use super::{health, middleware, pages, system};
use crate::accounts::{self, Accounts};
use crate::audit::forward::Forward;
use crate::audit::routes::Audit;
use crate::audit::tree::Logs;
use crate::backup::Backups;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::telemetry;
use crate::db::Db;
use crate::invitations::Invitations;
use crate::licence::Licence;
use crate::llm::Llm;
use crate::mail::Mailer;
use crate::market::Market;
use crate::mirror::Mirror;
use crate::notices::Notices;
use crate::orgs::Orgs;
use crate::plugins::Plugins;
use crate::privacy::Privacy;
use crate::projects::Projects;
use crate::projects::together::Together;
use crate::quotas::Quotas;
use crate::roles::Roles;
use crate::runs::Runs;
use crate::runs::events::RunEvent;
use crate::sso::Sso;
use crate::support::routes::Support;
use crate::teams::Teams;
use crate::web::Problem;

#[derive(OpenApi)]
#[openapi(
    components(responses(Problem), schemas(Problem, RunEvent)),
    info(
        title = "ResoftAI",
        description = "Errors are application/problem+json (RFC 9457). Sign in with POST /api/auth/login or a personal token, as `Authorization: Bearer`. Lists take `limit` and `cursor`."
    )
)]
struct Description;

/// What the rooms are built from.
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub accounts: Accounts,
    pub mailer: Mailer,
    pub licence: Licence,
    pub audit_logs: Logs,
    pub forward: Forward,
    pub plugins: Plugins,
    pub quotas: Quotas,
    pub orgs: Orgs,
    pub llm: Llm,
    pub projects: Projects,
    pub together: Together,
    pub runs: Runs,
    pub privacy: Privacy,
    pub sso: Sso,
    pub mirror: Mirror,
    pub market: Market,
    pub backups: Backups,
    pub reload: Reload,
    pub data_dir: PathBuf,
}

/// Every route with its description; nothing is served yet.
fn rooms(app: &App) -> OpenApiRouter {
    let (db, clock, accounts) = (&app.db, &app.clock, &app.accounts);
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(app.accounts.clone().routes(app.orgs.clone()))
        .merge(app.orgs.clone().routes())
        .merge(Invitations::new(accounts.clone()).routes())
        .merge(Teams::new(db.clone(), clock.clone(), accounts.clone()).routes())
        .merge(Roles::new(db.clone(), clock.clone(), accounts.clone()).routes())
        .merge(Notices::new(db.clone(), clock.clone()).routes())
        .merge(app.mailer.clone().routes())
        .merge(app.licence.clone().routes())
        .merge(app.quotas.clone().routes())
        .merge(app.llm.clone().routes(app.accounts.clone()))
        .merge(app.projects.clone().routes())
        .merge(app.together.clone().routes())
        .merge(app.runs.clone().routes())
        .merge(app.plugins.clone().routes())
        .merge(app.privacy.clone().routes())
        .merge(app.sso.clone().routes())
        .merge(app.mirror.clone().routes())
        .merge(app.market.clone().routes())
        .merge(app.backups.clone().routes())
        .merge(
            system::System {
                llm: app.llm.clone(),
                accounts: app.accounts.clone(),
                mailer: app.mailer.clone(),
                registration: app.accounts.options.registration,
                reload: app.reload.clone(),
                db: db.clone(),
                clock: clock.clone(),
            }
            .routes(),
        )
        .merge(Support { db: db.clone(), clock: clock.clone() }.routes())
        .merge(Audit::new(db.clone(), clock.clone(), accounts::store::ids_of_name).routes())
        .merge(app.audit_logs.clone().routes())
        .merge(app.forward.clone().routes())
        .merge(
            health::Health {
                db: app.db.clone(),
                plugins: app.plugins.clone(),
                forward: app.forward.clone(),
                data_dir: app.data_dir.clone(),
            }
            .routes(),
        )
}

/// The service: rooms, reference page, middleware.
///
/// # Errors
/// When the metrics recorder cannot be installed.
pub fn build(app: &App) -> Result<Router> {
    let (router, mut description) = rooms(app).split_for_parts();
    name_rests(&mut description);
    name_operations(&mut description);
    let metrics = telemetry::metrics()?;
    let router = router
        .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", description))
        .merge(app.mirror.clone().served())
        .route("/metrics", axum::routing::get(move || std::future::ready(metrics.render())))
        .fallback(pages::serve)
        .method_not_allowed_fallback(|| {
            // axum adds the `Allow` that a 405 has to carry (RFC 9110, section 15.5.6).
            let sentence = "This address does not take that method, only those under `Allow`. See /api/docs.";
            std::future::ready((StatusCode::METHOD_NOT_ALLOWED, Error::invalid("method_not_allowed", sentence)))
        })
        .layer(DefaultBodyLimit::disable());
    Ok(middleware::wrap(router, app.accounts.clone(), app.quotas.clone()))
}

/// Writes a parameter that takes the rest of a path as any other: OpenAPI knows none of that kind.
fn name_rests(description: &mut utoipa::openapi::OpenApi) {
    let paths = std::mem::take(&mut description.paths.paths);
    description.paths.paths = paths.into_iter().map(|(path, item)| (path.replace("{*", "{"), item)).collect();
}

/// Names each operation by its method and path: handlers are called `list` and `get` in every room, but an operation's id
/// is unique (OpenAPI 3.1, section 4.8.10).
fn name_operations(description: &mut utoipa::openapi::OpenApi) {
    for (path, item) in &mut description.paths.paths {
        let words: Vec<&str> = path.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        let name = words.join("_");
        let operations =
            [("get", &mut item.get), ("put", &mut item.put), ("post", &mut item.post), ("delete", &mut item.delete)];
        for (method, operation) in operations {
            if let Some(operation) = operation {
                operation.operation_id = Some(format!("{method}_{name}"));
            }
        }
    }
}
