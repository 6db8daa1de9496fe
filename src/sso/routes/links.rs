//! One's own links: with which identity providers somebody signs in.
//!
//! Invariant: a link is made by who is signed in and is vouched for by the provider, in one browser.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::flow;
use super::seen::Seen;
use crate::access::{OrgId, UserId};
use crate::accounts::confirm::person;
use crate::accounts::{self, factors, grants};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::sso::{Sso, store};
use crate::web::{Json, Oneself, Path, Problem, Secure};

/// With which provider somebody signs in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct OwnLink {
    pub id: i64,
    pub provider_id: i64,
    /// Its name.
    pub provider: String,
    pub slug: String,
    pub created_at: Time,
    /// Null: not yet.
    pub last_used_at: Option<Time>,
}

/// An identity provider that the caller may link their account with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Linkable {
    pub name: String,
    pub slug: String,
}

/// The caller's links.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OwnLinks {
    pub items: Vec<OwnLink>,
    /// Those of the site and of the caller's organisations that are not linked yet; at most 100.
    pub linkable: Vec<Linkable>,
}

/// With which identity providers the caller signs in, oldest first, and with which else they may.
#[utoipa::path(get, path = "/api/account/sso", tag = "account",
    responses((status = 200, body = OwnLinks), (status = "default", response = Problem)))]
pub async fn list(State(sso): State<Sso>, Oneself(caller): Oneself) -> Result<Json<OwnLinks>> {
    let user = person(&caller)?;
    let read = sso.accounts.db.read(move |tx| Ok((store::links(tx, user)?, store::linkable(tx, user)?)));
    let (items, linkable) = read.await?;
    Ok(Json(OwnLinks { items, linkable }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkStart {
    /// The provider's slug.
    provider: String,
    /// The caller's, again: whoever has their session is not yet they.
    password: String,
}

/// Where to send the browser.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LinkStarted {
    pub location: String,
}

/// Begin to link the caller's account with an identity provider: the site's, or one of an organisation they are in. The
/// browser gets a cookie and goes to `location`.
#[utoipa::path(post, path = "/api/account/sso/link", tag = "account", request_body = LinkStart,
    responses((status = 200, body = LinkStarted), (status = "default", response = Problem)))]
pub async fn start(
    State(sso): State<Sso>,
    Oneself(caller): Oneself,
    Extension(secure): Extension<Secure>,
    seen: Seen,
    Json(body): Json<LinkStart>,
) -> Result<Response> {
    let user = UserId(sso.accounts.confirm(&caller, body.password, "password").await?.id);
    let slug = body.provider;
    let shown: String = slug.chars().take(60).collect();
    let missing = move || Error::not_found(format!("identity provider {shown}"));
    let asking = Arc::clone(&caller);
    let read = sso.accounts.db.read(move |tx| {
        factors::require_own(tx, &asking, user)?;
        let Some(found) = store::open(tx, &slug)? else { return Ok(None) };
        let reached = match found.organization_id {
            Some(org) => grants::store::belongs(tx, user, OrgId(org))?,
            None => true,
        };
        Ok(Some(found).filter(|_| reached))
    });
    let provider = read.await?.ok_or_else(missing)?;
    let (location, cookie) =
        flow::begin(&sso, &provider, seen.known()?, Some(user), "/account/security".to_owned(), secure).await?;
    Ok(([(header::SET_COOKIE, cookie)], Json(LinkStarted { location })).into_response())
}

/// Take a link away: the caller signs in with that provider no more.
#[utoipa::path(delete, path = "/api/account/sso/{id}", tag = "account", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn unlink(State(sso): State<Sso>, Oneself(caller): Oneself, Path(id): Path<i64>) -> Result<StatusCode> {
    let (owner, now) = (person(&caller)?, sso.accounts.clock.now());
    let write = sso.accounts.db.write(move |tx| {
        let user = accounts::store::user(tx, owner)?.ok_or_else(|| Error::not_found("user"))?;
        let before = store::unlink(tx, UserId(user.id), id)?;
        factors::require_own(tx, &caller, owner)?;
        let text = format!("{} unlinked their account from {}", user.username, before.provider);
        let event = accounts::event(AuditAction::Update, &user, text);
        audit::record(tx, now, &caller, &event.before(&before))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
