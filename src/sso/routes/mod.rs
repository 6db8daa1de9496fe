//! Single sign-on over HTTP: providers for who manages them, the addresses browsers are sent through, and one's own links.

mod flow;
mod links;
mod providers;
mod seen;

use axum::routing::{get, post};
pub use links::{Linkable, OwnLink};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Sso;

impl Sso {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(providers::list, providers::create))
            .routes(routes!(providers::get, providers::update, providers::delete))
            .routes(routes!(providers::test))
            .routes(routes!(flow::offered))
            .routes(routes!(links::list))
            .routes(routes!(links::start))
            .routes(routes!(links::unlink))
            // Browsers are sent through these; no program calls them.
            .route("/api/sso/{slug}/metadata", get(flow::metadata))
            .route("/api/sso/{slug}/start", get(flow::start))
            .route("/api/sso/{slug}/callback", get(flow::callback))
            .route("/api/sso/{slug}/acs", post(flow::acs))
            .with_state(self)
    }
}
