//! Sign in, sign out, who am I.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::COOKIE;
use crate::access::{
    Actor, Grants, OrgId, Origin, PermissionSet, Place, SECOND_FACTOR_NEEDED, SSO_NEEDED, TokenUsed, UserId,
};
use crate::accounts::factors::{self, Proof};
use crate::accounts::throttle::{self, Key};
use crate::accounts::{Accounts, User, grants, login_failed, store};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{SECOND, Time};
use crate::base::error::{Kind, Result};
use crate::db::Tx;
use crate::hooks::Hook;
use crate::notices::{self, NewNotice};
use crate::orgs::{self, OrgStatus, Organization};
use crate::web::{Json, Problem, Public, Secure, SignedIn};

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginRequest {
    username: String,
    password: String,
    /// Where the account has a second factor: six digits of the authenticator app, or a recovery code.
    code: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LoginReply {
    /// Send as `Authorization: Bearer ..`.
    pub access_token: String,
    /// Always `bearer`.
    pub token_type: String,
    /// Seconds until the token ends.
    pub expires_in: i64,
    pub user: User,
}

/// Sign in with a password, and with a code where the account has a second factor. Browsers also get the session as an
/// HttpOnly cookie.
#[utoipa::path(post, path = "/api/auth/login", tag = "auth", request_body = LoginRequest,
    responses((status = 200, body = LoginReply), (status = "default", response = Problem)))]
pub async fn login(
    _: Public,
    State(accounts): State<Accounts>,
    Extension(secure): Extension<Secure>,
    Extension(origin): Extension<Arc<Origin>>,
    Json(body): Json<LoginRequest>,
) -> Result<Response> {
    let now = accounts.clock.now();
    let name = body.username;
    let attempt = accounts.throttle.attempt(&store::key(&name), origin.ip_address.as_deref());
    let keys = attempt.keys();
    let read = accounts.db.read(move |tx| {
        let counts = throttle::store::counts(tx, &keys, now)?;
        let Some(user) = store::user_by_name(tx, &name)? else { return Ok((counts, None)) };
        let hash = store::password_hash(tx, UserId(user.id))?;
        Ok((counts, hash.map(|hash| (user, hash))))
    });
    let (counts, found) = read.await?;
    attempt.check(counts, now)?;
    let (user, hash) = found.unzip();
    let matches = accounts.verify(body.password, hash).await?;
    let keys = attempt.keys();
    let write = accounts.db.write({
        let (accounts, origin, code) = (accounts.clone(), origin.clone(), body.code);
        move |tx| match &user {
            Some(user) if matches && user.is_active => {
                let Some(how) = prove(tx, &accounts, user, code.as_deref(), now)? else {
                    fail(tx, &keys, Some(user), "the code was wrong", now, &origin)?;
                    return Ok(Err(factors::code_refused(Kind::Unauthenticated)));
                };
                Ok(Ok(open(tx, &accounts, user, &how, now, &origin)?))
            }
            user => {
                fail(tx, &keys, user.as_ref(), "", now, &origin)?;
                Ok(Err(login_failed()))
            }
        }
    });
    let opened = write.await??;
    drop(attempt);
    opened.reply(&accounts, secure)
}

/// How somebody proved who they are.
pub(crate) struct How {
    /// With two factors.
    pub strong: bool,
    /// For the trail, such as ` with a passkey`.
    pub told: Cow<'static, str>,
}

/// What a right password needs besides. None: the code is wrong.
fn prove(tx: &mut Tx<'_>, accounts: &Accounts, user: &User, code: Option<&str>, now: Time) -> Result<Option<How>> {
    let id = UserId(user.id);
    if factors::store::enabled_at(tx, id)?.is_none() {
        return Ok(Some(How { strong: false, told: "".into() }));
    }
    let code = code.filter(|code| !code.trim().is_empty()).ok_or_else(factors::code_required)?;
    match factors::accept(tx, &accounts.key, id, code, now)? {
        None => Ok(None),
        Some(Proof::App) => Ok(Some(How { strong: true, told: " with a second factor".into() })),
        Some(Proof::Recovery { left }) => {
            let text = format!(
                "Somebody signed in as you with a recovery code; {left} are left. If it was not you, change your password."
            );
            let notice = NewNotice::new("recovery_code_used", text).link("/account/security");
            notices::raise(tx, now, &[id], &notice)?;
            Ok(Some(How { strong: true, told: " with a recovery code".into() }))
        }
    }
}

/// A session that was opened.
pub(crate) struct Opened {
    user: User,
    pub session: i64,
    from: Time,
    until: Time,
}

/// Opens a session in the write that proved whose it is.
pub(crate) fn open(
    tx: &mut Tx<'_>,
    accounts: &Accounts,
    user: &User,
    how: &How,
    now: Time,
    origin: &Origin,
) -> Result<Opened> {
    throttle::store::forget(tx, &store::key(&user.username))?;
    let until = now.plus(i64::from(accounts.options.session_hours) * 3600 * SECOND);
    let session = store::insert_session(tx, UserId(user.id), (now, until), how.strong, origin)?;
    let event = Event::new(AuditAction::Login, "user", format!("{} signed in{}", user.username, how.told));
    audit::record_as(tx, now, &user.actor(), origin, &event.id(user.id).person(UserId(user.id)))?;
    accounts.tell(tx, Hook::UserLogin, UserId(user.id))?;
    Ok(Opened { user: user.clone(), session, from: now, until })
}

impl Opened {
    /// The session's token, and how many seconds it lasts.
    fn token(&self, accounts: &Accounts) -> Result<(String, i64)> {
        let token = accounts.signer.sign(self.user.id, self.session, self.from, self.until)?;
        Ok((token, self.until.unix_seconds() - self.from.unix_seconds()))
    }

    /// The `Set-Cookie` that carries the session.
    pub(crate) fn cookie(&self, accounts: &Accounts, Secure(secure): Secure) -> Result<String> {
        let (token, seconds) = self.token(accounts)?;
        Ok(cookie(&token, seconds, secure))
    }

    /// The answer with the session's token, and for browsers with its cookie.
    pub(super) fn reply(self, accounts: &Accounts, Secure(secure): Secure) -> Result<Response> {
        let (access_token, expires_in) = self.token(accounts)?;
        let cookie = cookie(&access_token, expires_in, secure);
        let reply = LoginReply { access_token, token_type: "bearer".to_owned(), expires_in, user: self.user };
        Ok(([(header::SET_COOKIE, cookie), (header::CACHE_CONTROL, "no-store".to_owned())], Json(reply))
            .into_response())
    }
}

/// Counts and records a sign-in that failed. A name nobody has may be a password typed into the wrong field, so the trail
/// does not keep it.
pub(super) fn fail(
    tx: &mut Tx<'_>,
    keys: &[Key; 2],
    user: Option<&User>,
    why: &str,
    now: Time,
    origin: &Origin,
) -> Result<()> {
    let name = user.map_or("unknown name", |user| user.username.as_str());
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    let mut event = Event::new(AuditAction::Login, "user", format!("A sign-in as {name} failed{why}")).failed();
    if let Some(user) = user {
        event = event.id(user.id).person(UserId(user.id));
    }
    throttle::store::fail(tx, keys, now)?;
    audit::record_as(tx, now, &Actor::anonymous(name), origin, &event)
}

fn cookie(token: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Sign out: the session ends at once, everywhere its token is used.
#[utoipa::path(post, path = "/api/auth/logout", tag = "auth",
    responses((status = 204), (status = "default", response = Problem)))]
pub async fn logout(
    State(accounts): State<Accounts>,
    Extension(secure): Extension<Secure>,
    SignedIn(caller): SignedIn,
) -> Result<Response> {
    if let Some(session) = caller.session() {
        let room = accounts.clone();
        let now = accounts.clock.now();
        accounts
            .db
            .write(move |tx| {
                store::revoke_session(tx, &room, session, now)?;
                let event = Event::new(AuditAction::Logout, "user", format!("{} signed out", caller.actor.name));
                let event = match caller.user {
                    Some(user) => {
                        room.tell(tx, Hook::UserLogout, user)?;
                        event.id(user.0).person(user)
                    }
                    None => event,
                };
                audit::record(tx, now, &caller, &event)
            })
            .await?;
    }
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", 0, secure.0))]).into_response())
}

/// The signed-in caller and what they may do.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Null: the local operator.
    pub user: Option<User>,
    pub name: String,
    /// Permissions held over the whole site.
    pub site_permissions: Vec<String>,
    pub organizations: Vec<MyOrganization>,
    /// Whether two factors were proven, or a passkey; for a token, whether its owner has a second factor.
    pub strong: bool,
    /// Why some or all of what they hold does not count until they come with a second factor; null: all of it does.
    pub second_factor_needed: Option<String>,
    /// Why some of what they hold does not count in a session that no identity provider opened; null: all of it does.
    pub sso_needed: Option<String>,
    /// Teams in which a role is held.
    pub teams: Vec<MyTeam>,
    /// The personal token that was shown, with what it is held to; null: a session, or the local socket.
    pub token: Option<MyToken>,
    /// Days that a personal token lasts at most on this site; null: it may last for ever.
    pub token_max_days: Option<u32>,
}

/// A team of the caller's, and what they may do there.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MyTeam {
    pub id: i64,
    pub organization_id: i64,
    pub slug: String,
    pub name: String,
    /// What counts for what belongs to the team, by roles held there, in its organisation or over the site.
    pub permissions: Vec<String>,
}

/// What the caller's token is held to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MyToken {
    pub id: i64,
    pub name: String,
    /// Null: whatever its owner may.
    pub scopes: Option<Vec<String>>,
    /// Null: wherever its owner's roles count.
    pub organization_id: Option<i64>,
    pub expires_at: Option<Time>,
}

impl MyTeam {
    fn of(grants: &Grants, place: Place, slug: String, name: String) -> Option<Self> {
        let (organization_id, id) = (place.org()?.0, place.team()?.0);
        Some(Self { id, organization_id, slug, name, permissions: codes(grants.at(place)) })
    }
}

impl MyToken {
    fn of(token: &TokenUsed) -> Self {
        Self {
            id: token.id,
            name: token.name.clone(),
            scopes: token.scopes.map(codes),
            organization_id: token.org.map(|org| org.0),
            expires_at: token.expires_at,
        }
    }
}

fn codes(set: PermissionSet) -> Vec<String> {
    set.codes().into_iter().map(str::to_owned).collect()
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct MyOrganization {
    pub id: i64,
    pub name: String,
    pub slug: String,
    /// While it is not `active`, its people's permissions in it do not count.
    pub status: OrgStatus,
    pub permissions: Vec<String>,
}

/// Who am I, and what may I do where.
#[utoipa::path(get, path = "/api/auth/me", tag = "auth",
    responses((status = 200, body = Me), (status = "default", response = Problem)))]
pub async fn me(State(accounts): State<Accounts>, SignedIn(caller): SignedIn) -> Result<Json<Me>> {
    let token_max_days = accounts.options.token_max_days;
    let me = accounts
        .db
        .read(move |tx| {
            let user = match caller.user {
                Some(id) => store::user(tx, id)?,
                None => None,
            };
            let organizations = orgs::store::reached_by(tx, &caller.grants)?
                .into_iter()
                .map(|Organization { id, name, slug, status, .. }| {
                    let permissions = codes(caller.grants.at(Place::Org(OrgId(id))));
                    MyOrganization { id, name, slug, status, permissions }
                })
                .collect();
            let teams = grants::store::teams_of(tx, &caller.grants)?.into_iter();
            let teams = teams.map(|(place, slug, name)| MyTeam::of(&caller.grants, place, slug, name));
            let needed = |code: &str| {
                let closed = caller.grants.closed.iter().find(|closed| closed.reason.code == code);
                closed.map(|closed| closed.reason.why.clone())
            };
            Ok(Me {
                user,
                name: caller.actor.name.clone(),
                site_permissions: codes(caller.grants.site),
                organizations,
                teams: teams.flatten().collect(),
                token: caller.token().map(MyToken::of),
                strong: caller.strong,
                second_factor_needed: needed(SECOND_FACTOR_NEEDED),
                sso_needed: needed(SSO_NEEDED),
                token_max_days,
            })
        })
        .await?;
    Ok(Json(me))
}
