//! How an account stands: look at it, change its address, switch it off and on, let its owner try again.
//!
//! Invariant: who is switched off does nothing any more from the next request on: sessions and tokens are gone with the same
//! commit, and runs are stopped by a job of it. Switching on again gives none of that back.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::users::{check_reach, sees};
use crate::access::actions::UserManage;
use crate::access::{Permit, UserId};
use crate::accounts::{Accounts, DEACTIVATED, Deactivated, User, event, store};
use crate::accounts::{factors, grants, passwords, sessions, throttle, tokens};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs;
use crate::mail::{MailKind, NewMail};
use crate::notices::{self, NewNotice};
use crate::web::{Json, Path, Problem};

/// An account with what only those who manage it see.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    #[serde(flatten)]
    pub user: User,
    /// Failed sign-ins that are not forgiven yet.
    pub failed_sign_ins: u32,
    /// Sign-ins are refused until then; null: they are not.
    pub locked_until: Option<Time>,
    /// Sessions and personal tokens that count.
    pub sessions: i64,
    pub tokens: i64,
    /// Whether they have an authenticator app or a passkey.
    pub second_factor: bool,
}

fn find(tx: &mut Tx<'_>, permit: &Permit<UserManage>, id: i64) -> Result<User> {
    store::user(tx, UserId(id))?.filter(|user| sees(permit, user)).ok_or_else(|| Error::not_found("user"))
}

fn reach(tx: &mut Tx<'_>, permit: &Permit<UserManage>, id: i64) -> Result<User> {
    let user = find(tx, permit, id)?;
    check_reach(permit, &user)?;
    Ok(user)
}

/// An account, and how it stands.
#[utoipa::path(get, path = "/api/users/{id}", tag = "users", params(("id" = i64, Path)),
    responses((status = 200, body = Account), (status = "default", response = Problem)))]
pub async fn get(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<Json<Account>> {
    let now = accounts.clock.now();
    let read = accounts.db.read(move |tx| {
        let mut user = find(tx, &permit, id)?;
        user.roles.retain(|grant| grant.organization_id.is_none() || permit.covers_place(grant.place()));
        let (failed_sign_ins, locked_until) = throttle::store::state(tx, &store::key(&user.username), now)?;
        let sessions = sessions::store::count(tx, UserId(id), now)?;
        let tokens = tokens::store::count(tx, UserId(id))?;
        let second_factor = factors::store::any(tx, UserId(id))?;
        Ok(Account { user, failed_sign_ins, locked_until, sessions, tokens, second_factor })
    });
    Ok(Json(read.await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    email: String,
}

/// Change the address of an account.
#[utoipa::path(put, path = "/api/users/{id}", tag = "users", params(("id" = i64, Path)), request_body = UserChange,
    responses((status = 200, body = User), (status = "default", response = Problem)))]
pub async fn update(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
    Json(body): Json<UserChange>,
) -> Result<Json<User>> {
    email::check(&body.email, "email")?;
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let before = reach(tx, &permit, id)?;
        before.require_person()?;
        store::set_email(tx, &room, UserId(id), &body.email)?;
        let after = User { email: body.email.clone(), ..before.clone() };
        let event = event(AuditAction::Update, &after, format!("Changed the address of {}", after.username));
        audit::record(tx, now, permit.caller(), &event.before(&before).after(&after))?;
        tell_moved(tx, &room, now, &before, &after)?;
        Ok(after)
    });
    Ok(Json(write.await?))
}

/// Tells of another address at both: who took an account over must not be the only one to learn of it.
fn tell_moved(tx: &mut Tx<'_>, accounts: &Accounts, now: Time, before: &User, after: &User) -> Result<()> {
    if store::key(&before.email) == store::key(&after.email) {
        return Ok(());
    }
    let text = format!("The address of your account {} was changed to {}.", after.username, after.email);
    let (kind, user) = (MailKind::Security, Some(UserId(before.id)));
    let subject = "The address of your account was changed";
    let mail = NewMail { kind, user, about: None, recipient: &before.email, subject, body: &text };
    accounts.mailer.queue(tx, now, &mail)?;
    notices::raise(tx, now, &[UserId(after.id)], &NewNotice::new("email_changed", text).link("/account"))
}

/// Switch an account off. Its sessions and personal tokens are gone and its runs are stopped; what its owner made stays.
#[utoipa::path(post, path = "/api/users/{id}/deactivate", tag = "users", params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = "default", response = Problem)))]
pub async fn deactivate(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<Json<User>> {
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let before = reach(tx, &permit, id)?;
        if !before.is_active {
            return Ok(before);
        }
        let user = UserId(id);
        grants::store::keep_owners(tx, user, |_| true)?;
        store::set_active(tx, &room, user, false)?;
        let sessions = sessions::store::end_all(tx, &room, user, None, now)?;
        let tokens = tokens::store::delete_all(tx, &room, user)?;
        passwords::store::forget_code(tx, user)?;
        jobs::enqueue(tx, now, DEACTIVATED, &Deactivated { user: id })?;
        let after = User { is_active: false, ..before.clone() };
        let text = format!("Switched {} off; ended {sessions} sessions and {tokens} tokens", after.username);
        let event = event(AuditAction::Update, &after, text).before(&before).after(&after);
        audit::record(tx, now, permit.caller(), &event)?;
        Ok(after)
    });
    Ok(Json(write.await?))
}

/// Switch an account on again. Its roles count again; its owner signs in anew.
#[utoipa::path(post, path = "/api/users/{id}/reactivate", tag = "users", params(("id" = i64, Path)),
    responses((status = 200, body = User), (status = "default", response = Problem)))]
pub async fn reactivate(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<Json<User>> {
    let (room, now) = (accounts.clone(), accounts.clock.now());
    let write = accounts.db.write(move |tx| {
        let before = reach(tx, &permit, id)?;
        if before.is_active {
            return Ok(before);
        }
        room.licence().take_seat(tx, now)?;
        store::set_active(tx, &room, UserId(id), true)?;
        let after = User { is_active: true, ..before.clone() };
        let event = event(AuditAction::Update, &after, format!("Switched {} on again", after.username));
        audit::record(tx, now, permit.caller(), &event.before(&before).after(&after))?;
        Ok(after)
    });
    Ok(Json(write.await?))
}

/// Forgive the failed sign-ins of an account, so that its owner need not wait.
#[utoipa::path(post, path = "/api/users/{id}/unlock", tag = "users", params(("id" = i64, Path)),
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn unlock(
    State(accounts): State<Accounts>,
    permit: Permit<UserManage>,
    Path(id): Path<i64>,
) -> Result<StatusCode> {
    let now = accounts.clock.now();
    let write = accounts.db.write(move |tx| {
        let user = reach(tx, &permit, id)?;
        if throttle::store::forget(tx, &store::key(&user.username))? {
            let event = event(AuditAction::Update, &user, format!("Forgave the failed sign-ins of {}", user.username));
            audit::record(tx, now, permit.caller(), &event)?;
        }
        Ok(())
    });
    write.await?;
    Ok(StatusCode::NO_CONTENT)
}
