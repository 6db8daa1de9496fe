//! The second factor over HTTP: its owner sets it up, makes new recovery codes and turns it off; who manages them resets it.
//!
//! Invariant: secrets and codes are in the one answer that shows them and nowhere else, the audit trail included.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::check_reach;
use crate::access::actions::UserManage;
use crate::access::{Permit, UserId};
use crate::accounts::confirm::person;
use crate::accounts::factors::{self, Enrolment, SecondFactor};
use crate::accounts::{Accounts, event, sessions, store};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::notices::{self, NewNotice};
use crate::web::{Json, Oneself, Path, Problem};

/// How the caller's second factor stands.
#[utoipa::path(get, path = "/api/account/second-factor", tag = "account",
    responses((status = 200, body = SecondFactor), (status = "default", response = Problem)))]
pub async fn get(State(accounts): State<Accounts>, Oneself(caller): Oneself) -> Result<Json<SecondFactor>> {
    let user = person(&caller)?;
    let read = accounts.db.read(move |tx| {
        let enabled_at = factors::store::enabled_at(tx, user)?;
        let recovery_codes_left = factors::store::codes_left(tx, user)?;
        Ok(SecondFactor { enabled: enabled_at.is_some(), enabled_at, recovery_codes_left })
    });
    Ok(Json(read.await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorStart {
    /// The caller's password.
    password: String,
}

/// Set up an authenticator app. It counts once a code of it was given.
#[utoipa::path(post, path = "/api/account/second-factor/start", tag = "account", request_body = SecondFactorStart,
    responses((status = 200, body = Enrolment), (status = "default", response = Problem)))]
pub async fn start(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<SecondFactorStart>,
) -> Result<Json<Enrolment>> {
    let user = accounts.confirm(&caller, body.password, "password").await?;
    let (key, now) = (accounts.key.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        factors::require_own(tx, &caller, UserId(user.id))?;
        let enrolment = factors::begin(tx, &key, &user)?;
        let told = format!("{} began to set up a second factor", user.username);
        audit::record(tx, now, &caller, &event(AuditAction::Update, &user, told))?;
        Ok(enrolment)
    });
    Ok(Json(write.await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecondFactorCode {
    /// Six digits of the app that was set up.
    code: String,
}

/// Codes for who lost the app. They are shown once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each signs in once in the place of a code of the app.
    pub recovery_codes: Vec<String>,
}

/// Switch the second factor on with a code of the app. The session that asks counts as one with two factors.
#[utoipa::path(post, path = "/api/account/second-factor/finish", tag = "account", request_body = SecondFactorCode,
    responses((status = 200, body = RecoveryCodes), (status = "default", response = Problem)))]
pub async fn finish(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<SecondFactorCode>,
) -> Result<Json<RecoveryCodes>> {
    let id = person(&caller)?;
    let user = accounts.db.read(move |tx| store::user(tx, id)).await?.ok_or_else(|| Error::not_found("user"))?;
    let (room, asked, owner) = (accounts.clone(), caller.clone(), user.clone());
    let on = move |tx: &mut Tx<'_>, now| {
        factors::require_own(tx, &asked, id)?;
        let Some(recovery_codes) = factors::finish(tx, &room.key, id, &body.code, now)? else { return Ok(None) };
        if let Some(session) = asked.session() {
            factors::store::strengthen(tx, &room, session)?;
        }
        let told = format!("{} switched their second factor on", owner.username);
        audit::record(tx, now, &asked, &event(AuditAction::Update, &owner, told))?;
        tell(tx, now, id, "second_factor_on", "A second factor was set up for your account.")?;
        Ok(Some(RecoveryCodes { recovery_codes }))
    };
    Ok(Json(accounts.with_code(&caller, &user, on).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TwoFactors {
    /// The caller's password.
    password: String,
    /// Of the authenticator app, or a recovery code.
    code: String,
}

/// Make new recovery codes; those made before count no more.
#[utoipa::path(post, path = "/api/account/second-factor/recovery-codes", tag = "account", request_body = TwoFactors,
    responses((status = 200, body = RecoveryCodes), (status = "default", response = Problem)))]
pub async fn renew(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<TwoFactors>,
) -> Result<Json<RecoveryCodes>> {
    let user = accounts.confirm(&caller, body.password, "password").await?;
    let (room, asked, owner) = (accounts.clone(), caller.clone(), user.clone());
    let made = move |tx: &mut Tx<'_>, now| {
        let id = UserId(owner.id);
        require_on(tx, id)?;
        if factors::accept(tx, &room.key, id, &body.code, now)?.is_none() {
            return Ok(None);
        }
        let recovery_codes = factors::renew_codes(tx, id)?;
        let told = format!("{} made new recovery codes", owner.username);
        audit::record(tx, now, &asked, &event(AuditAction::Update, &owner, told))?;
        Ok(Some(RecoveryCodes { recovery_codes }))
    };
    Ok(Json(accounts.with_code(&caller, &user, made).await?))
}

/// Turn the second factor off. Sessions of the caller count as opened with the password alone.
#[utoipa::path(delete, path = "/api/account/second-factor", tag = "account", request_body = TwoFactors,
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn disable(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<TwoFactors>,
) -> Result<StatusCode> {
    let user = accounts.confirm(&caller, body.password, "password").await?;
    let (room, asked, owner) = (accounts.clone(), caller.clone(), user.clone());
    let off = move |tx: &mut Tx<'_>, now| {
        let id = UserId(owner.id);
        require_on(tx, id)?;
        if factors::accept(tx, &room.key, id, &body.code, now)?.is_none() {
            return Ok(None);
        }
        factors::store::remove(tx, &room, id)?;
        let told = format!("{} turned their second factor off", owner.username);
        audit::record(tx, now, &asked, &event(AuditAction::Update, &owner, told))?;
        tell(tx, now, id, "second_factor_off", "The second factor of your account was turned off.")?;
        Ok(Some(()))
    };
    accounts.with_code(&caller, &user, off).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn tell(tx: &mut Tx<'_>, now: Time, user: UserId, kind: &'static str, text: &str) -> Result<()> {
    notices::raise(tx, now, &[user], &NewNotice::new(kind, text).link("/account/security"))
}

fn require_on(tx: &mut Tx<'_>, user: UserId) -> Result<()> {
    if factors::store::enabled_at(tx, user)?.is_some() {
        return Ok(());
    }
    Err(Error::conflict("second_factor_off", "Your second factor is off. Set up an authenticator app first."))
}

/// Take the second factor and the passkeys of somebody who lost them away. Their sessions end; they sign in with the password alone, and are
/// told.
#[utoipa::path(delete, path = "/api/users/{id}/second-factor", tag = "users", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn reset(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let (room, id, now) = (accounts.clone(), UserId(id), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        check_reach(&permit, &user)?;
        if !factors::store::remove_all(tx, &room, id)? {
            return Ok(());
        }
        sessions::store::end_all(tx, &room, id, None, now)?;
        let told = format!("Took the second factor of {} away", user.username);
        audit::record(tx, now, permit.caller(), &event(AuditAction::Update, &user, told))?;
        let text = "Your second factor and your passkeys were taken away by an administrator. You sign in with your password alone: set up \
                    an authenticator app again, and ask them when you did not.";
        notices::raise(tx, now, &[id], &NewNotice::new("second_factor_reset", text).link("/account/security"))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
