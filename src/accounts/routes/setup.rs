//! First run: the first administrator of a site that has no account.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sign_in::{How, LoginReply, open};
use crate::access::actions::UserManage;
use crate::access::{Caller, Origin, Permit, Place, Role};
use crate::accounts::store::NewUser;
use crate::accounts::{Accounts, check_username, event, grants, setup, store};
use crate::audit::{self, AuditAction};
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::hooks::Hook;
use crate::web::{Json, Problem, Public, Secure};

#[derive(Serialize, ToSchema)]
pub struct SetupLink {
    /// The path of the page that makes the first administrator; null once there is an account.
    link: Option<String>,
}

/// The setup link of a new site. Administrators of the site only: before there is one, that is who operates the machine.
#[utoipa::path(get, path = "/api/setup", tag = "auth",
    responses((status = 200, body = SetupLink), (status = "default", response = Problem)))]
pub async fn link(State(accounts): State<Accounts>, permit: Permit<UserManage>) -> Result<Json<SetupLink>> {
    permit.require_site()?;
    Ok(Json(SetupLink { link: accounts.setup_link().await? }))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// What stands behind `#` in the setup link.
    secret: String,
    username: String,
    email: String,
    /// At least 16 characters, not easily guessed.
    password: String,
}

/// Make the first administrator of a new site, and sign in.
#[utoipa::path(post, path = "/api/setup", tag = "auth", request_body = SetupRequest,
    responses((status = 200, body = LoginReply), (status = "default", response = Problem)))]
pub async fn first(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<SetupRequest>,
) -> Result<Response> {
    accounts.check_setup_secret(&body.secret)?;
    if !accounts.is_new().await? {
        return Err(setup::done());
    }
    check_username(&body.username)?;
    email::check(&body.email, "email")?;
    let password_hash = accounts.hash(body.password, vec![body.username.clone(), body.email.clone()]).await?;
    let new = NewUser { username: body.username, email: body.email, password_hash, is_active: true };
    let (now, room, permit) =
        (accounts.clock.now(), accounts.clone(), Arc::new(Caller::system()).permit::<UserManage>()?);
    let write = accounts.db.write(move |tx| {
        if !store::is_empty(tx)? {
            return Err(setup::done());
        }
        let id = store::insert(tx, &room, &permit, now, &new)?;
        let role = grants::store::find(tx, Role::SuperAdmin.code(), Place::Site)?;
        grants::store::give(tx, &room, now, id, &role, Place::Site, None)?;
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        let text = format!("{} set the site up as its first administrator", user.username);
        let event = event(AuditAction::Create, &user, text).after(&user);
        audit::record_as(tx, now, &user.actor(), &origin, &event)?;
        room.tell(tx, Hook::UserRegister, id)?;
        open(tx, &room, &user, &How { strong: false, told: "".into() }, now, &origin)
    });
    let opened = write.await?;
    opened.reply(&accounts, secure)
}
