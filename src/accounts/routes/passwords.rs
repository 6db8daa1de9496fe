//! Passwords: changed by their owner, set from above, replaced with a one-time code.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::check_reach;
use crate::access::actions::UserManage;
use crate::access::{Origin, Permit, UserId};
use crate::accounts::passwords::{self, Renewed};
use crate::accounts::{Accounts, User, event, forgot, sessions, store};
use crate::audit::{self, AuditAction};
use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::mail::Queued;
use crate::notices::{self, NewNotice};
use crate::web::{Created, Json, Oneself, Path, Problem, Public};

const LONGEST_HOURS: i64 = 168;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The present password.
    current: String,
    /// At least 16 characters, not easily guessed, none of the last five.
    new: String,
}

/// Change the caller's own password. Their other sessions end; their personal tokens stay.
#[utoipa::path(put, path = "/api/auth/password", tag = "auth", request_body = PasswordChange,
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn change(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<PasswordChange>,
) -> Result<StatusCode> {
    let user = accounts.confirm(&caller, body.current, "current").await?;
    let renewed = accounts.renew(&user, body.new).await.map_err(|error| named(error, "new"))?;
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        put(tx, &room, &user, &renewed, caller.session(), now)?;
        let event = event(AuditAction::Update, &user, format!("{} changed their password", user.username));
        audit::record(tx, now, &caller, &event)
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The rules say `password`; a body may call it something else.
fn named(error: Error, field: &'static str) -> Error {
    if error.field_name() == Some("password") { error.field(field) } else { error }
}

/// Puts the new password in place; sessions but `except` end.
fn put(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    user: &User,
    renewed: &Renewed,
    except: Option<i64>,
    now: Time,
) -> Result<()> {
    accounts.set_password(tx, UserId(user.id), renewed)?;
    sessions::store::end_all(tx, accounts, UserId(user.id), except, now)?;
    let text = format!("The password of your account {} was changed, and its other sessions are over.", user.username);
    notices::raise(tx, now, &[UserId(user.id)], &NewNotice::new("password_changed", text).link("/account"))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// At least 16 characters, not easily guessed, none of the person's last five.
    password: String,
}

/// Set another password for a person who lost theirs. Their sessions end; their personal tokens stay.
#[utoipa::path(put, path = "/api/users/{id}/password", tag = "users", params(("id" = i64, Path)),
    request_body = NewPassword, responses((status = 204), (status = "default", response = Problem)))]
pub async fn set(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<NewPassword>,
) -> Result<StatusCode> {
    let (id, now) = (UserId(id), accounts.clock.now());
    let reached = permit.clone();
    // Before the password is looked at, so that what is wrong with it tells nobody who is there.
    let user = accounts.db.read(move |tx| reach(tx, &reached, id)).await?;
    let renewed = accounts.renew(&user, body.password).await?;
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        let user = reach(tx, &permit, id)?;
        put(tx, &room, &user, &renewed, None, now)?;
        let event = event(AuditAction::Update, &user, format!("Set a new password for {}", user.username));
        audit::record(tx, now, permit.caller(), &event)
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn reach(tx: &mut Tx<'_>, permit: &Permit<UserManage>, id: UserId) -> Result<User> {
    let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
    check_reach(permit, &user)?;
    user.require_person()?;
    Ok(user)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// Hours until the code ends, 1 to 168; 24 when absent.
    expires_in_hours: Option<i64>,
    /// Whether the code also goes to the person's address; false when absent. Only where the site sends mails.
    mail: Option<bool>,
}

/// A code to hand to a person who lost their password.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ResetCode {
    pub user_id: i64,
    pub username: String,
    /// Sets a new password once, with `POST /api/auth/reset`. It is not kept and cannot be shown again.
    pub code: String,
    pub expires_at: Time,
    /// Whether it is on its way to the person's address.
    pub mailed: bool,
}

/// Make a one-time code with which a person sets a new password themselves. It takes the place of one made before; until it
/// is used, their password stays as it is.
#[utoipa::path(post, path = "/api/users/{id}/password-reset", tag = "users", params(("id" = i64, Path)),
    request_body = ResetRequest, responses((status = 201, body = ResetCode), (status = "default", response = Problem)))]
pub async fn make_code(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<ResetRequest>,
) -> Result<Created<ResetCode>> {
    let hours = body.expires_in_hours.unwrap_or(24);
    if !(1..=LONGEST_HOURS).contains(&hours) {
        let message = format!("expires_in_hours must be between 1 and {LONGEST_HOURS}.");
        return Err(Error::invalid("invalid_expiry", message).field("expires_in_hours"));
    }
    let now = accounts.clock.now();
    let expires_at = now.plus(hours * 3600 * SECOND);
    let (code, digest) = passwords::code()?;
    let (mailer, mail, told_code) = (accounts.mailer.clone(), body.mail == Some(true), code.clone());
    let write = accounts.db.write(move |tx| {
        let user = reach(tx, &permit, UserId(id))?;
        passwords::store::keep_code(tx, UserId(user.id), &digest, expires_at)?;
        let told = format!("Made a code to set a new password for {}", user.username);
        audit::record(tx, now, permit.caller(), &event(AuditAction::Update, &user, told))?;
        let until = format!("within {hours} hours");
        let mailed = mail && forgot::mail_code(tx, &mailer, now, &user, &told_code, &until)? == Queued::Yes;
        Ok((user, mailed))
    });
    let (user, mailed) = write.await?;
    Ok(Created(ResetCode { user_id: user.id, username: user.username, code, expires_at, mailed }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetUse {
    code: String,
    /// At least 16 characters, not easily guessed, none of the person's last five.
    password: String,
}

/// Set a new password with a one-time code. All sessions end. A password that is refused leaves the code as it was.
#[utoipa::path(post, path = "/api/auth/reset", tag = "auth", request_body = ResetUse,
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn use_code(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<ResetUse>,
) -> Result<StatusCode> {
    let ResetUse { code, password } = body;
    let (now, asked) = (accounts.clock.now(), code.clone());
    let user = accounts.db.read(move |tx| passwords::owner_of_code(tx, &asked, now)).await?;
    let renewed = accounts.renew(&user, password).await?;
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        // Of as many that use it at once, one finds it.
        let user = passwords::owner_of_code(tx, &code, now)?;
        put(tx, &room, &user, &renewed, None, now)?;
        let event = event(AuditAction::Update, &user, format!("{} set a new password with a code", user.username));
        audit::record_as(tx, now, &user.actor(), &origin, &event)
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
