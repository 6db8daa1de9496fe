//! Personal access tokens: for IDEs and scripts, made by their owner, shown once.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::accounts::confirm::person;
use crate::accounts::store::Token;
use crate::accounts::{Accounts, store, token};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::DAY;
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::web::{Created, Json, Path, Problem, Query, SignedIn};

/// How many personal tokens one person may have.
const MOST: i64 = 100;
const LONGEST_DAYS: i64 = 3650;

/// The caller's tokens, newest first.
#[utoipa::path(get, path = "/api/tokens", tag = "tokens", params(PageQuery),
    responses((status = 200, body = List<Token>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Token>>> {
    let (user, page) = (person(&caller)?, query.check()?);
    let tokens = accounts.db.read(move |tx| store::list_personal(tx, user, page)).await?;
    Ok(Json(page.list(tokens, |token| token.id)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenRequest {
    /// What it is for, 1 to 100 printable characters.
    name: String,
    /// Days until it ends, 1 to 3650; absent or null: never.
    expires_in_days: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct NewToken {
    pub token: Token,
    /// The token itself. It is not kept and cannot be shown again.
    pub secret: String,
}

/// Make a personal token.
#[utoipa::path(post, path = "/api/tokens", tag = "tokens", request_body = NewTokenRequest,
    responses((status = 201, body = NewToken), (status = "default", response = Problem)))]
pub async fn create(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Json(body): Json<NewTokenRequest>,
) -> Result<Created<NewToken>> {
    let user = person(&caller)?;
    let length = body.name.trim().chars().count();
    if !(1..=100).contains(&length) || body.name.chars().any(char::is_control) {
        let message =
            format!("The name has {length} characters; it needs 1 to 100, and none of them a control character.");
        return Err(Error::invalid("invalid_name", message).field("name"));
    }
    if body.expires_in_days.is_some_and(|days| !(1..=LONGEST_DAYS).contains(&days)) {
        let message = format!("expires_in_days must be between 1 and {LONGEST_DAYS}.");
        return Err(Error::invalid("invalid_expiry", message).field("expires_in_days"));
    }
    let now = accounts.clock.now();
    let expires = body.expires_in_days.map(|days| now.plus(days * DAY));
    let (secret, digest) = token::personal()?;
    let token = accounts
        .db
        .write(move |tx| {
            if store::count_personal(tx, user)? >= MOST {
                let message = format!("You have {MOST} personal tokens, the most there can be. Delete one first.");
                return Err(Error::conflict("too_many_tokens", message));
            }
            let token = store::insert_personal(tx, user, body.name.trim(), &digest, now, expires)?;
            let event = Event::new(AuditAction::Create, "personal_token", format!("Created token {}", token.name));
            audit::record(tx, now, &caller, &event.id(token.id).person(user).after(&token))?;
            Ok(token)
        })
        .await?;
    Ok(Created(NewToken { token, secret }))
}

/// Delete one of the caller's tokens; it stops working at once.
#[utoipa::path(delete, path = "/api/tokens/{id}", tag = "tokens", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn delete(
    State(accounts): State<Accounts>,
    SignedIn(caller): SignedIn,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let user = person(&caller)?;
    let now = accounts.clock.now();
    let room = accounts.clone();
    accounts
        .db
        .write(move |tx| {
            let name = store::delete_personal(tx, &room, user, id)?;
            let event = Event::new(AuditAction::Delete, "personal_token", format!("Deleted token {name}")).id(id);
            audit::record(tx, now, &caller, &event.person(user))
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
