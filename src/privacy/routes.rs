//! Privacy over HTTP.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Erased, Inventory, Person, Privacy, evidence, export, inventory};
use crate::access::actions::{OrganizationManage, UserErase};
use crate::access::{Caller, Permit, UserId};
use crate::accounts;
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::web::{Json, Oneself, Path, Problem, SignedIn};

impl Privacy {
    pub fn routes(self) -> OpenApiRouter {
        OpenApiRouter::new()
            .routes(routes!(data_inventory))
            .routes(routes!(export_mine))
            .routes(routes!(export_of))
            .routes(routes!(erase))
            .merge(evidence::routes::routes())
            .with_state(self)
    }

    async fn export(self, caller: Arc<Caller>, id: UserId) -> Result<Response> {
        let (turn, now) = (self.turn()?, self.clock.now());
        let found = self.db.write(move |tx| {
            let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
            user.require_person()?;
            let words = format!("Exported all data about {}", user.username);
            audit::record(tx, now, &caller, &Event::new(AuditAction::Export, "user", words).id(user.id).person(id))?;
            Person::of(tx, &user)
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
async fn export_mine(State(privacy): State<Privacy>, Oneself(caller): Oneself) -> Result<Response> {
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

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct EraseRequest {
    /// The person's user name, typed again.
    username: String,
    /// Who erases themselves proves it with their password.
    password: Option<String>,
}

/// Erase a person for good: their account, sessions, tokens, notices and roles go, their name is taken off what stays, and
/// what the audit trail holds about them can no longer be read. For administrators of the site, and for oneself with the
/// password. The last owner of something has to make somebody else owner first.
#[utoipa::path(post, path = "/api/users/{id}/erase", tag = "privacy", params(("id" = i64, Path)),
    request_body = EraseRequest, responses((status = 200, body = Erased), (status = "default", response = Problem)))]
async fn erase(
    State(privacy): State<Privacy>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
    Json(body): Json<EraseRequest>,
) -> Result<Json<Erased>> {
    let id = UserId(id);
    if caller.user == Some(id) {
        caller.require_oneself()?;
        let missing =
            || Error::forbidden("password_missing", "Erasing yourself takes your password.").field("password");
        privacy.accounts.confirm(&caller, body.password.ok_or_else(missing)?, "password").await?;
    } else {
        caller.permit::<UserErase>()?.require_site()?;
    }
    let (room, now) = (privacy.clone(), privacy.clock.now());
    let erased = privacy.db.write(move |tx| {
        let user = accounts::store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        user.require_person()?;
        if user.username != body.username {
            let message = "To erase a person, give their user name exactly as it is written. Nothing was erased.";
            return Err(Error::invalid("not_confirmed", message).field("username"));
        }
        accounts::grants::store::keep_owners(tx, id, |_| true)?;
        room.erase_in(tx, &caller, now, &user)
    });
    let erased = erased.await?;
    if let Err(error) = privacy.settle().await {
        // It is done; the next start or stop repeats what follows.
        tracing::warn!(person = id.0, "after an erasure: {error}");
    }
    Ok(Json(erased))
}
