//! Personal access tokens: for IDEs and scripts, made by their owner, shown once; and those of people the caller manages.

use axum::extract::State;
use axum::http::StatusCode;

use super::users::check_reach;
use crate::access::actions::UserManage;
use crate::access::{Permit, UserId};
use crate::accounts::confirm::person;
use crate::accounts::sessions;
use crate::accounts::tokens::{self, NewToken, NewTokenRequest, Token};
use crate::accounts::{Accounts, event, factors, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::notices::{self, NewNotice};
use crate::web::{Created, Json, Oneself, Path, Problem, Query};

/// The caller's tokens, newest first.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, body = List<Token>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Token>>> {
    let (user, page, days) = (person(&caller)?, query.check()?, accounts.options.token_max_days);
    let tokens = accounts.db.read(move |tx| tokens::store::list(tx, user, page)).await?;
    let tokens = tokens.into_iter().map(|token| token.held_to(days)).collect();
    Ok(Json(page.list(tokens, |token: &Token| token.id)))
}

/// Make a personal token. It allows what its scopes name of what its owner may at that moment, in the organisation it is for.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewTokenRequest,
    responses((status = 201, body = NewToken), (status = "default", response = Problem)))]
pub async fn create(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Json(body): Json<NewTokenRequest>,
) -> Result<Created<NewToken>> {
    let (user, mut asked) = (person(&caller)?, accounts.check_token(&caller, &body)?);
    let (secret, digest) = tokens::secret()?;
    let now = accounts.clock.now();
    let write = accounts.db.write(move |tx| {
        let owner = store::user(tx, user)?.ok_or_else(|| Error::not_found("user"))?;
        factors::require_own(tx, &caller, user)?;
        // What an organisation's identity provider opened makes nothing that counts elsewhere.
        if let Some(session) = caller.session() {
            asked.org = sessions::store::opening(tx, session)?.held_to.or(asked.org);
        }
        asked.check_held(&owner.grants())?;
        let token = tokens::store::insert(tx, user, &asked, &digest, now)?;
        let event = Event::new(AuditAction::Create, "personal_token", format!("Created token {}", token.name));
        audit::record(tx, now, &caller, &event.id(token.id).person(user).after(&token))?;
        let text = format!("The token {} was made for your account {}.", token.name, owner.username);
        notices::raise(tx, now, &[user], &NewNotice::new("token_created", text).link("/account"))?;
        Ok(token)
    });
    Ok(Created(NewToken { token: write.await?, secret }))
}

/// Delete one of the caller's tokens; it stops working at once.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let user = person(&caller)?;
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let name = tokens::store::delete(tx, &room, user, id)?;
        let event = Event::new(AuditAction::Delete, "personal_token", format!("Deleted token {name}")).id(id);
        audit::record(tx, now, &caller, &event.person(user))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tokens of somebody the caller manages, newest first; never a secret. That they were looked at is in the audit trail.
#[utoipa::path(get, path = "/api/users/{id}/tokens", tag = "tokens", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Token>), (status = "default", response = Problem)))]
pub async fn list_of(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Token>>> {
    let (id, page, now) = (UserId(id), query.check()?, accounts.clock.now());
    let days = accounts.options.token_max_days;
    let read = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        check_reach(&permit, &user)?;
        let event = event(AuditAction::Read, &user, format!("Looked at the tokens of {}", user.username));
        audit::record(tx, now, permit.caller(), &event)?;
        tokens::store::list(tx, id, page)
    });
    let tokens = read.await?.into_iter().map(|token| token.held_to(days)).collect();
    Ok(Json(page.list(tokens, |token: &Token| token.id)))
}

/// Delete a token of somebody the caller manages; it stops working at once.
#[utoipa::path(delete, path = "/api/users/{id}/tokens/{token_id}", tag = "tokens",
    params(("id" = i64, Path), ("token_id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete_of(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path((id, token_id)): Path<(i64, i64)>,
) -> Result<StatusCode> {
    let id = UserId(id);
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        check_reach(&permit, &user)?;
        let name = tokens::store::delete(tx, &room, id, token_id)?;
        let text = format!("Deleted token {name} of {}", user.username);
        let event = Event { resource_type: "personal_token", ..event(AuditAction::Delete, &user, text) };
        audit::record(tx, now, permit.caller(), &event.id(token_id))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
