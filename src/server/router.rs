//! THE list of rooms, and the API's description that grows out of it.

use std::path::PathBuf;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;

use super::{health, middleware};
use crate::accounts::Accounts;
use crate::audit::routes::Audit;
use crate::base::clock::Clock;
use crate::base::error::{Error, Result};
use crate::base::telemetry;
use crate::db::Db;
use crate::llm::Llm;
use crate::orgs::Orgs;
use crate::plugins::Plugins;
use crate::projects::Projects;
use crate::quotas::Quotas;
use crate::runs::Runs;

#[derive(OpenApi)]
#[openapi(info(
    title = "ResoftAI",
    description = "Errors are application/problem+json (RFC 9457). Sign in with POST /api/auth/login or a personal token, as `Authorization: Bearer`. Lists take `limit` and `cursor`."
))]
struct Description;

/// What the rooms are built from.
pub struct App {
    pub db: Db,
    pub clock: Clock,
    pub accounts: Accounts,
    pub plugins: Plugins,
    pub quotas: Quotas,
    pub llm: Llm,
    pub projects: Projects,
    pub runs: Runs,
    pub many_organizations: bool,
    pub data_dir: PathBuf,
}

/// Every route with its description; nothing is served yet.
fn rooms(app: &App) -> OpenApiRouter {
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(app.accounts.clone().routes())
        .merge(Orgs::new(app.db.clone(), app.clock.clone(), app.many_organizations).routes())
        .merge(app.quotas.clone().routes())
        .merge(app.llm.clone().routes())
        .merge(app.projects.clone().routes())
        .merge(app.runs.clone().routes())
        .merge(app.plugins.clone().routes())
        .merge(Audit { db: app.db.clone() }.routes())
        .merge(
            health::Health { db: app.db.clone(), plugins: app.plugins.clone(), data_dir: app.data_dir.clone() }
                .routes(),
        )
}

/// The service: rooms, reference page, middleware.
///
/// # Errors
/// When the metrics recorder cannot be installed.
pub fn build(app: &App) -> Result<Router> {
    let (router, description) = rooms(app).split_for_parts();
    let metrics = telemetry::metrics()?;
    let router = router
        .merge(SwaggerUi::new("/api/docs").url("/api/openapi.json", description))
        .route("/metrics", axum::routing::get(move || std::future::ready(metrics.render())))
        .fallback(|| std::future::ready(Error::not_found("such address")))
        .method_not_allowed_fallback(|| {
            std::future::ready(Error::invalid(
                "method_not_allowed",
                "This address does not take that method. See /api/docs.",
            ))
        })
        .layer(DefaultBodyLimit::disable());
    Ok(middleware::wrap(router, app.accounts.clone()))
}
