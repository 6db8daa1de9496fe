//! Privacy over HTTP.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Inventory, Person, Privacy, export, inventory};
use crate::access::actions::{OrganizationManage, UserErase};
use crate::access::{Caller, Permit, UserId};
use crate::accounts;
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::web::{Json, Path, Problem, SignedIn};

impl Privacy {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(data_inventory))
            .routes(routes!(export_mine))
            .routes(routes!(export_of))
            .with_state(self)
    }

    async fn export(self, caller: Arc<Caller>, id: UserId) -> Result<Response> {
        let (turn, now) = (self.turn()?, self.clock.now());
        let found = self.db.write(move |tx| {
            let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
            let words = format!("Exported all data about {}", user.username);
            audit::record(tx, now, &caller, &Event::new(AuditAction::Export, "user", words).id(user.id).person(id))?;
            Ok(Person::of(&user))
        });
        let person = found.await?;
        Ok(export::archive(self, person, turn))
    }
}

/// The data inventory: every column of the database, what it holds about people, why, how long, and what erasing a person
/// does to it. For administrators of an organisation or of the site.
#[utoipa::path(get, path = "/api/privacy/inventory", tag = "privacy",
    responses((status = 200, body = Inventory), (status = "default", response = Problem)))]
async fn data_inventory(_: Permit<OrganizationManage>) -> Result<Json<Inventory>> {
    Ok(Json(inventory::inventory()))
}

/// Everything held about the caller, as a zip: `index.html` for reading, `data/*.json` for programs.
#[utoipa::path(get, path = "/api/users/me/export", tag = "privacy",
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"),
        (status = "default", response = Problem)))]
async fn export_mine(State(privacy): State<Privacy>, SignedIn(caller): SignedIn) -> Result<Response> {
    let message = "An export is about a person. Sign in with an account; the local operator has none.";
    let id = caller.user.ok_or_else(|| Error::invalid("no_account", message))?;
    privacy.export(caller, id).await
}

/// Everything held about a person, as a zip like the one of `/api/users/me/export`. For administrators of the site: a person
/// may be in organisations that know nothing of each other.
#[utoipa::path(get, path = "/api/users/{id}/export", tag = "privacy", params(("id" = i64, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/zip"),
        (status = "default", response = Problem)))]
async fn export_of(State(privacy): State<Privacy>, permit: Permit<UserErase>, Path(id): Path<i64>) -> Result<Response> {
    permit.require_site()?;
    privacy.export(permit.caller_arc().clone(), UserId(id)).await
}
