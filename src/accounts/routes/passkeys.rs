//! Passkeys over HTTP: signing in with one, and the list of one's own.
//!
//! Invariant: making and deleting one takes the password; what counts is looked at again inside the write that depends on it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::sign_in::{How, LoginReply, fail, open};
use crate::access::{Origin, UserId};
use crate::accounts::confirm::person;
use crate::accounts::factors;
use crate::accounts::passkeys::store::Found;
use crate::accounts::passkeys::{self, Challenge, OwnPasskey, Party};
use crate::accounts::throttle::{self, Key};
use crate::accounts::{Accounts, User, event, store};
use crate::audit::{self, AuditAction};
use crate::base::error::{Error, Kind, Result};
use crate::base::names;
use crate::notices::{self, NewNotice};
use crate::web::{Created, Json, Oneself, Path, Problem, Public, Secure};

const NAME_MAX: usize = 100;

/// Where the pages are that a request came from: as the site says, else as the browser does.
pub(crate) fn origin(accounts: &Accounts, headers: &HeaderMap, uri: &Uri, secure: Secure) -> String {
    if let Some(url) = &accounts.options.public_url {
        return url.clone();
    }
    let named = headers.get(header::HOST).and_then(|value| value.to_str().ok());
    let host = named.or_else(|| uri.authority().map(Authority::as_str)).unwrap_or_default();
    format!("{}://{host}", if secure.0 { "https" } else { "http" })
}

/// Begin to sign in with a passkey.
#[utoipa::path(post, path = "/api/auth/passkeys/start", tag = "auth",
    responses((status = 200, body = Challenge), (status = "default", response = Problem)))]
pub async fn start_sign_in(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(secure): Extension<Secure>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<Challenge>> {
    let origin = origin(&accounts, &headers, &uri, secure);
    Ok(Json(passkeys::begin_sign_in(&accounts.key, &origin, accounts.clock.now())?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyAnswer {
    /// Of the challenge.
    ticket: String,
    /// What `navigator.credentials` gave, binary fields in URL-safe Base64.
    #[schema(value_type = Object)]
    credential: Value,
}

/// Sign in with a passkey: no name, no password, and it counts as two factors.
#[utoipa::path(post, path = "/api/auth/passkeys/finish", tag = "auth", request_body = PasskeyAnswer,
    responses((status = 200, body = LoginReply), (status = "default", response = Problem)))]
pub async fn finish_sign_in(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<PasskeyAnswer>,
) -> Result<Response> {
    let now = accounts.clock.now();
    let answer = passkeys::read_answer(&accounts.key, &body.ticket, body.credential, now)?;
    let attempt = accounts.throttle.attempt(&answer.credential_hash, origin.ip_address.as_deref());
    let (keys, hash) = (attempt.keys(), answer.credential_hash.clone());
    let read = accounts.db.read(move |tx| {
        let counts = throttle::store::counts(tx, &keys, now)?;
        let Some(found) = passkeys::store::find(tx, &hash)? else { return Ok((counts, None)) };
        let user = store::user(tx, found.user)?;
        Ok((counts, user.map(|user| (found, user))))
    });
    let (counts, found) = read.await?;
    attempt.check(counts, now)?;
    let (ticket_hash, expires_at) = (answer.ticket.hash.clone(), answer.ticket.expires_at);
    let unknown = || passkeys::refused("it is not one of this site, or it was deleted");
    let verified = match &found {
        None => Err(unknown()),
        Some((found, user)) => found.passkey().and_then(|kept| {
            let verified = passkeys::verify(&accounts.key, answer, found.user, kept)?;
            if user.is_active { Ok(verified) } else { Err(unknown()) }
        }),
    };
    let passkey = match verified {
        Ok(passkey) => passkey,
        Err(refusal) => {
            refuse(&accounts, attempt.keys(), found, &refusal, &origin).await?;
            return Err(refusal);
        }
    };
    let write = accounts.db.write({
        let accounts = accounts.clone();
        move |tx| {
            let (found, user) = found.as_ref().ok_or_else(unknown)?;
            passkeys::store::answer(tx, &ticket_hash, expires_at, now)?;
            passkeys::store::used(tx, found, &passkey, now)?;
            open(tx, &accounts, user, &How { strong: true, told: " with a passkey".into() }, now, &origin)
        }
    });
    write.await?.reply(&accounts, secure)
}

/// Counts and records a passkey that was refused; its owner is told when it was copied.
async fn refuse(
    accounts: &Accounts,
    keys: [Key; 2],
    found: Option<(Found, User)>,
    refusal: &Error,
    origin: &Arc<Origin>,
) -> Result<()> {
    let (origin, now) = (origin.clone(), accounts.clock.now());
    let copied = refusal.code() == "passkey_copied";
    let write = accounts.db.write(move |tx| {
        let why = if copied { "there is a copy of the passkey" } else { "the passkey was refused" };
        fail(tx, &keys, found.as_ref().map(|(_, user)| user), why, now, &origin)?;
        let Some((found, user)) = found.as_ref().filter(|_| copied) else { return Ok(()) };
        let text = format!(
            "Your passkey {} was refused: its counter went back, so there is a copy of it. Delete it under My account, \
             Security, and make a new one.",
            found.name
        );
        let notice = NewNotice::new("passkey_copied", text).link("/account/security");
        notices::raise(tx, now, &[UserId(user.id)], &notice)
    });
    write.await
}

/// The caller's passkeys.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OwnPasskeys {
    pub items: Vec<OwnPasskey>,
    /// Why none can be made at this address; null: one can.
    pub unavailable: Option<String>,
}

/// The caller's passkeys, oldest first.
#[utoipa::path(get, path = "/api/account/passkeys", tag = "account",
    responses((status = 200, body = OwnPasskeys), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Extension(secure): Extension<Secure>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Json<OwnPasskeys>> {
    let user = person(&caller)?;
    let unavailable = Party::at(&origin(&accounts, &headers, &uri, secure)).err();
    let items = accounts.db.read(move |tx| passkeys::store::list(tx, user)).await?;
    Ok(Json(OwnPasskeys { items, unavailable: unavailable.map(|error| error.message().to_owned()) }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyStart {
    /// The caller's password.
    password: String,
}

/// Begin to make a passkey.
#[utoipa::path(post, path = "/api/account/passkeys/start", tag = "account", request_body = PasskeyStart,
    responses((status = 200, body = Challenge), (status = "default", response = Problem)))]
pub async fn start(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Extension(secure): Extension<Secure>,
    headers: HeaderMap,
    uri: Uri,
    Json(body): Json<PasskeyStart>,
) -> Result<Json<Challenge>> {
    let origin = origin(&accounts, &headers, &uri, secure);
    Party::at(&origin)?;
    let user = accounts.confirm(&caller, body.password, "password").await?;
    let id = UserId(user.id);
    let read = accounts.db.read(move |tx| {
        factors::require_own(tx, &caller, id)?;
        passkeys::store::credentials(tx, id)
    });
    let known = read.await?;
    let now = accounts.clock.now();
    Ok(Json(passkeys::begin_registration(&accounts.key, &origin, id, &user.username, &known, now)?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasskey {
    /// Of the challenge.
    ticket: String,
    /// What its owner calls it, such as the device it is on.
    name: String,
    /// What `navigator.credentials` gave, binary fields in URL-safe Base64.
    #[schema(value_type = Object)]
    credential: Value,
}

/// Keep the passkey that a device made. The session that asks counts as one with two factors.
#[utoipa::path(post, path = "/api/account/passkeys/finish", tag = "account", request_body = NewPasskey,
    responses((status = 201, body = OwnPasskey), (status = "default", response = Problem)))]
pub async fn finish(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<NewPasskey>,
) -> Result<Created<OwnPasskey>> {
    let (id, now) = (person(&caller)?, accounts.clock.now());
    let name = names::check_field(&body.name, "name", NAME_MAX)?;
    let made = passkeys::finish_registration(&accounts.key, id, &body.ticket, body.credential, now);
    let made = made.map_err(known)?;
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        factors::require_own(tx, &caller, id)?;
        passkeys::store::answer(tx, &made.ticket_hash, made.expires_at, now).map_err(known)?;
        let passkey = passkeys::store::insert(tx, id, &name, &made, now)?;
        if let Some(session) = caller.session() {
            factors::store::strengthen(tx, &room, session)?;
        }
        let told = format!("{} made a passkey", user.username);
        audit::record(tx, now, &caller, &event(AuditAction::Update, &user, told).after(&passkey))?;
        let notice = NewNotice::new("passkey_added", format!("The passkey {name} was added to your account."));
        notices::raise(tx, now, &[id], &notice.link("/account/security"))?;
        Ok(passkey)
    });
    Ok(Created(write.await?))
}

/// A refusal for somebody who is signed in: 401 is for who is not.
fn known(error: Error) -> Error {
    match error.kind() {
        Kind::Unauthenticated => Error::forbidden(error.code(), error.message()),
        _ => error,
    }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyName {
    name: String,
}

/// Call a passkey something else.
#[utoipa::path(put, path = "/api/account/passkeys/{id}", tag = "account", params(("id" = i64, Path)),
    request_body = PasskeyName, responses((status = 200, body = OwnPasskey), (status = "default", response = Problem)))]
pub async fn rename(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Path(id): Path<i64>,
    Json(body): Json<PasskeyName>,
) -> Result<Json<OwnPasskey>> {
    let (owner, now) = (person(&caller)?, accounts.clock.now());
    let name = names::check_field(&body.name, "name", NAME_MAX)?;
    let write = accounts.db.write(move |tx| {
        let user = store::user(tx, owner)?.ok_or_else(|| Error::not_found("user"))?;
        let before = passkeys::store::own(tx, owner, id)?;
        passkeys::store::rename(tx, owner, id, &name)?;
        let after = OwnPasskey { name: name.clone(), ..before.clone() };
        let event = event(AuditAction::Update, &user, format!("{} renamed a passkey", user.username));
        audit::record(tx, now, &caller, &event.before(&before).after(&after))?;
        Ok(after)
    });
    Ok(Json(write.await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyEnd {
    /// The caller's password.
    password: String,
}

/// Delete a passkey. When it was the last, and there is no authenticator app, sessions count as opened with the password
/// alone.
#[utoipa::path(delete, path = "/api/account/passkeys/{id}", tag = "account", params(("id" = i64, Path)),
    request_body = PasskeyEnd, responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Path(id): Path<i64>,
    Json(body): Json<PasskeyEnd>,
) -> Result<StatusCode> {
    let user = accounts.confirm(&caller, body.password, "password").await?;
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let owner = UserId(user.id);
        let before = passkeys::store::own(tx, owner, id)?;
        factors::require_own(tx, &caller, owner)?;
        passkeys::store::delete(tx, owner, id)?;
        factors::store::weaken(tx, &room, owner)?;
        let event = event(AuditAction::Update, &user, format!("{} deleted a passkey", user.username));
        audit::record(tx, now, &caller, &event.before(&before))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
