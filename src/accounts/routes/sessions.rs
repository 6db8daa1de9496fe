//! Where the caller is signed in, and the end of it; the same of somebody the caller manages.

use axum::extract::State;
use axum::http::StatusCode;

use super::users::check_reach;
use crate::access::actions::UserManage;
use crate::access::{Permit, UserId};
use crate::accounts::confirm::person;
use crate::accounts::sessions::{self, Session};
use crate::accounts::{Accounts, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::page::{List, PageQuery};
use crate::web::{Json, Oneself, Path, Problem, Query};

/// Where the caller is signed in, newest first.
#[utoipa::path(get, path = "/api/sessions", tag = "sessions", params(PageQuery),
    responses((status = 200, body = List<Session>), (status = "default", response = Problem)))]
pub async fn list(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Session>>> {
    let (user, page, now) = (person(&caller)?, query.check()?, accounts.clock.now());
    let current = caller.session();
    let sessions = accounts.db.read(move |tx| sessions::store::list(tx, user, current, now, page)).await?;
    Ok(Json(page.list(sessions, |session| session.id)))
}

/// End one of the caller's sessions; its token counts for nothing at once.
#[utoipa::path(delete, path = "/api/sessions/{id}", tag = "sessions", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn end(
    State(accounts): State<Accounts>,
    Oneself(caller): Oneself,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let (user, now) = (person(&caller)?, accounts.clock.now());
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        sessions::store::end(tx, &room, user, id, now)?;
        let event = Event::new(AuditAction::Logout, "session", format!("{} ended session {id}", caller.actor.name));
        audit::record(tx, now, &caller, &event.id(id).person(user))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// End all of the caller's sessions but the one that asks.
#[utoipa::path(delete, path = "/api/sessions", tag = "sessions",
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn end_others(State(accounts): State<Accounts>, Oneself(caller): Oneself) -> Result<StatusCode> {
    let (user, now) = (person(&caller)?, accounts.clock.now());
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        let ended = sessions::store::end_all(tx, &room, user, caller.session(), now)?;
        let told = format!("{} ended {ended} other sessions of their own", caller.actor.name);
        audit::record(tx, now, &caller, &Event::new(AuditAction::Logout, "user", told).id(user.0).person(user))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where somebody the caller manages is signed in, newest first. That it was looked at is in the audit trail.
#[utoipa::path(get, path = "/api/users/{id}/sessions", tag = "sessions", params(("id" = i64, Path), PageQuery),
    responses((status = 200, body = List<Session>), (status = "default", response = Problem)))]
pub async fn list_of(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Query(query): Query<PageQuery>,
) -> Result<Json<List<Session>>> {
    let (id, page, now) = (UserId(id), query.check()?, accounts.clock.now());
    let read = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        check_reach(&permit, &user)?;
        let event = Event::new(AuditAction::Read, "user", format!("Looked at the sessions of {}", user.username));
        audit::record(tx, now, permit.caller(), &event.id(user.id).person(id))?;
        sessions::store::list(tx, id, permit.caller().session(), now, page)
    });
    Ok(Json(page.list(read.await?, |session| session.id)))
}

/// End all sessions of somebody the caller manages.
#[utoipa::path(delete, path = "/api/users/{id}/sessions", tag = "sessions", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn end_all_of(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let (id, now) = (UserId(id), accounts.clock.now());
    let room = accounts.clone();
    let write = accounts.db.write(move |tx| {
        let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
        check_reach(&permit, &user)?;
        let ended = sessions::store::end_all(tx, &room, id, None, now)?;
        let event = Event::new(AuditAction::Logout, "user", format!("Ended {ended} sessions of {}", user.username));
        audit::record(tx, now, permit.caller(), &event.id(user.id).person(id))
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
