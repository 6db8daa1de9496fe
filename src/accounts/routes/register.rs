//! Registration: people make their own accounts, where the site lets them.
//!
//! Invariant: it gives no role: somebody who registered sees nothing of any organisation until they are invited. Whether an
//! e-mail address has an account is told to nobody but its owner.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::actions::UserManage;
use crate::access::{Caller, Origin, Permit, UserId};
use crate::accounts::store::NewUser;
use crate::accounts::throttle::{self, Key};
use crate::accounts::{Accounts, check_username, event, store};
use crate::audit::{self, AuditAction};
use crate::base::clock::Time;
use crate::base::email;
use crate::base::error::{Error, Result};
use crate::config::Registration;
use crate::db::Tx;
use crate::hooks::Hook;
use crate::notices::{self, NewNotice};
use crate::web::{Json, Problem, Public};

/// The most accounts that wait to be let in.
const WAITING: i64 = 1000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistrationRequest {
    username: String,
    email: String,
    /// At least 16 characters, not easily guessed.
    password: String,
}

/// What came of it. It is the same whether or not the address had an account before.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Registered {
    /// `active`: sign in now. `waiting`: once an administrator lets you in.
    pub status: String,
}

/// Make an account for oneself, where the site lets people do that.
#[utoipa::path(post, path = "/api/auth/register", tag = "auth", request_body = RegistrationRequest,
    responses((status = 200, body = Registered), (status = "default", response = Problem)))]
pub async fn register(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<RegistrationRequest>,
) -> Result<Json<Registered>> {
    let waits = match accounts.options.registration {
        Registration::Off => return Err(off()),
        Registration::Approval => true,
        Registration::Open => false,
    };
    check_username(&body.username)?;
    email::check(&body.email, "email")?;
    check_domain(&body.email, &accounts.options.registration_domains)?;
    let now = accounts.clock.now();
    let key = Key::registration(origin.ip_address.as_deref());
    let asked = key.clone();
    // Before the password is worked on, and again in the write, where it is counted.
    accounts.db.read(move |tx| check_pace(tx, &asked, now)).await?;
    let password_hash = accounts.hash(body.password, vec![body.username.clone(), body.email.clone()]).await?;
    let new = NewUser { username: body.username, email: body.email, password_hash, is_active: !waits };
    let (room, permit) = (accounts.clone(), Arc::new(Caller::system()).permit::<UserManage>()?);
    let write = accounts.db.write(move |tx| {
        check_pace(tx, &key, now)?;
        throttle::store::fail(tx, std::slice::from_ref(&key), now)?;
        insert(tx, &room, &permit, &new, waits, now, &origin)
    });
    write.await?;
    Ok(Json(Registered { status: if waits { "waiting" } else { "active" }.to_owned() }))
}

fn off() -> Error {
    let message = "People do not make accounts for themselves on this site. Ask an administrator for an invitation.";
    Error::forbidden("registration_off", message)
}

/// Each network address registers a few people, and then waits longer and longer.
fn check_pace(tx: &mut Tx<'_>, key: &Key, now: Time) -> Result<()> {
    match throttle::store::count(tx, key, now)?.locked(key, now) {
        Some(until) => Err(throttle::too_fast(now, until)),
        None => Ok(()),
    }
}

/// # Errors
/// `email_domain` when only other domains are let in.
fn check_domain(email: &str, domains: &[String]) -> Result<()> {
    let domain = email.rsplit_once('@').map_or("", |(_, domain)| domain);
    if domains.is_empty() || domains.iter().any(|known| known.eq_ignore_ascii_case(domain)) {
        return Ok(());
    }
    let message = format!("Only addresses of {} register here. Use one, or ask for an invitation.", domains.join(", "));
    Err(Error::forbidden("email_domain", message).field("email"))
}

fn insert(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    permit: &Permit<UserManage>,
    new: &NewUser,
    waits: bool,
    now: Time,
    origin: &Origin,
) -> Result<()> {
    if waits && store::count_waiting(tx)? >= WAITING {
        let message = "Too many people wait to be let in already. Ask an administrator for an invitation.";
        return Err(Error::unavailable("registration_full", message));
    }
    if !waits {
        // Before anything that differs for an address that is known here.
        accounts.licence().require_seat(tx)?;
    }
    store::check_name_free(tx, &new.username)?;
    if let Some(owner) = store::user_by_email(tx, &new.email)? {
        let text = format!("Somebody tried to register with your address {}. You have an account already.", new.email);
        return notices::raise(tx, now, &[UserId(owner.id)], &NewNotice::new("registered_again", text));
    }
    let id = store::insert(tx, accounts, permit, now, new)?;
    let user = store::user(tx, id)?.ok_or_else(|| Error::not_found("user"))?;
    let told = if waits { ", and waits to be let in" } else { "" };
    let event = event(AuditAction::Create, &user, format!("{} registered{told}", user.username)).after(&user);
    audit::record_as(tx, now, &user.actor(), origin, &event)?;
    accounts.tell(tx, Hook::UserRegister, id)?;
    let asks = format!(
        "{} ({}) registered and waits to be let in: switch the account on, or erase it. `resoftai user reactivate {}`",
        user.username, user.email, user.username
    );
    if waits {
        notices::to_site(tx, now, &NewNotice::new("registration_waiting", asks).link("/site/people"))
    } else {
        Ok(())
    }
}
