//! People: their accounts, how they sign in, and who a token belongs to.
//!
//! Invariant: passwords are kept as Argon2id only, tokens as digests only; what a request may do is what its person's
//! roles say at that moment, so every change of a role, account, session or token empties the cache of callers.

pub mod authenticate;
pub mod confirm;
pub mod factors;
mod forgot;
pub mod grants;
pub mod passkeys;
pub mod passwords;
pub mod routes;
pub mod services;
pub mod sessions;
mod setup;
pub mod store;
mod telling;
pub mod throttle;
pub mod tokens;
mod watch;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

pub use grants::RoleGrant;
pub use watch::{Watch, counts_no_more};

use crate::access::{Actor, ActorKind, Caller, Closing, Grants, OrgId, Origin, UserId, Via};
use crate::audit::{AuditAction, Event};
use crate::base::clock::{Clock, Time};
use crate::base::crypto::{self, Key};
use crate::base::error::{Error, Kind, Result};
use crate::base::tasks::Tasks;
use crate::config::Registration;
use crate::db::Db;
use crate::hooks::Hooks;
use crate::licence::Licence;
use crate::mail::Mailer;

const USERNAME_MAX: usize = 50;
/// How many passwords are hashed at once: each takes a core and 19 MiB for tens of milliseconds.
const HASHERS: usize = 2;
/// How many more may wait for their turn; the last of them waits a second or two.
const WAITING: usize = 64;

/// The job that follows an account that was switched off; the rooms above end what its owner has at work.
pub const DEACTIVATED: &str = "accounts.deactivated";

/// What that job says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Deactivated {
    pub user: i64,
}

/// What the site decided about accounts.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a session lasts.
    pub session_hours: u32,
    /// Whether who came with the password alone may do nothing but set a second factor up.
    pub require_second_factor: bool,
    /// Where people open the site, as `https://name[:port]`; None: as their browser says.
    pub public_url: Option<String>,
    /// Whether people make accounts for themselves.
    pub registration: Registration,
    /// Of which domains; empty: of any.
    pub registration_domains: Vec<String>,
    /// Says how many people may be there, and what else may be made.
    pub licence: Licence,
    /// No personal token lasts longer, in days; None: they may last for ever.
    pub token_max_days: Option<u32>,
}

/// The room of accounts.
#[derive(Clone)]
pub struct Accounts {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) mailer: Mailer,
    pub(crate) hooks: Hooks,
    pub(crate) signer: sessions::signer::Signer,
    /// The site's, which seals secrets at rest.
    pub(crate) key: Key,
    pub(crate) options: Arc<Options>,
    pub(crate) cache: authenticate::Cache,
    pub(crate) throttle: throttle::Throttle,
    hashers: Arc<Semaphore>,
    /// Places for those at work and those that wait.
    places: Arc<Semaphore>,
}

/// A person's account as it is shown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub id: i64,
    pub username: String,
    /// Empty for a service account.
    pub email: String,
    pub is_active: bool,
    /// The organisation whose service account it is; null: a person's account.
    pub service_of: Option<i64>,
    pub roles: Vec<RoleGrant>,
    pub created_at: Time,
}

impl User {
    /// What counts of their roles when they came with two factors.
    pub fn grants(&self) -> Grants {
        self.grants_but(|grant| grant.closed.as_ref())
    }

    /// What counts of them when they came with the password alone; `site` is why nothing does, where the site asks for two
    /// factors.
    pub fn weak_grants<'a>(&'a self, site: Option<&'a Closing>) -> Grants {
        self.grants_but(|grant| grant.closed.as_ref().or(site).or(grant.guarded.as_ref()))
    }

    fn grants_but<'a>(&'a self, closed: impl Fn(&'a RoleGrant) -> Option<&'a Closing>) -> Grants {
        let open = self.roles.iter().filter(|grant| closed(grant).is_none());
        let mut grants = Grants::of(open.map(|grant| (grant.permissions, grant.place())));
        for grant in &self.roles {
            if let Some(why) = closed(grant) {
                grants.close(grant.organization_id.map(OrgId), grant.permissions, why);
            }
        }
        grants
    }

    pub fn actor(&self) -> Actor {
        let kind = if self.is_service() { ActorKind::Service } else { ActorKind::User };
        Actor { kind, id: Some(self.id), name: self.username.clone() }
    }
}

/// The secrets the room works with.
pub struct Keys {
    /// Signs session tokens.
    pub tokens: Key,
    /// Seals secrets at rest.
    pub site: Key,
}

impl Accounts {
    pub fn new(db: Db, clock: Clock, tasks: Tasks, keys: Keys, mailer: Mailer, hooks: Hooks, options: Options) -> Self {
        // Over PostgreSQL another replica may change a role: its word is heard within this many seconds.
        let cache = authenticate::Cache::new(db.engine());
        Self {
            throttle: throttle::Throttle::default(),
            signer: sessions::signer::Signer::new(&keys.tokens),
            key: keys.site,
            options: Arc::new(options),
            hashers: Arc::new(Semaphore::new(HASHERS)),
            places: Arc::new(Semaphore::new(HASHERS + WAITING)),
            cache,
            db,
            clock,
            tasks,
            mailer,
            hooks,
        }
    }

    /// The caller a person is at this moment, for work done on their behalf; `token` is the limited token it was begun with.
    ///
    /// # Errors
    /// `account_inactive` when the account is gone or switched off; `token_ended`.
    pub async fn caller_of(&self, id: UserId, token: Option<i64>) -> Result<Arc<Caller>> {
        let read = self.db.read(move |tx| {
            let token = token.map(|token| tokens::store::by_id(tx, token)).transpose()?;
            Ok((store::user(tx, id)?, token))
        });
        let (user, token) = read.await?;
        let user = user.filter(|user| user.is_active).ok_or_else(|| {
            Error::forbidden("account_inactive", format!("The account {} is switched off or gone.", id.0))
        })?;
        let (now, days) = (self.clock.now(), self.options.token_max_days);
        let (via, grants) = match token {
            None => (Via::Nothing, user.grants()),
            Some(found) => {
                let (_, token) = found.filter(|(owner, _)| *owner == id).ok_or_else(tokens::ended)?;
                if token.clone().held_to(days).is_over(now) {
                    return Err(tokens::ended());
                }
                let used = token.used();
                let grants = tokens::limited(user.grants(), &used);
                (Via::Token(Arc::new(used)), grants)
            }
        };
        Ok(Arc::new(Caller {
            actor: user.actor(),
            user: Some(id),
            via,
            // Whoever had it begun proved what was asked for then.
            strong: true,
            held_back: false,
            sso: false,
            grants: Arc::new(grants),
            origin: Origin::default(),
        }))
    }

    /// What the site may make new.
    pub fn licence(&self) -> &Licence {
        &self.options.licence
    }

    /// Verifies a password off the request threads; without a hash it does the same work and fails.
    pub(crate) async fn verify(&self, password: String, hash: Option<String>) -> Result<bool> {
        self.hasher(move || {
            let known = hash.is_some();
            let hash = match hash {
                Some(hash) => hash,
                None => decoy_hash()?,
            };
            Ok(crypto::verify_password(&password, &hash) && known)
        })
        .await
    }

    /// Does the work in its turn. Place and turn go with the work: a client that hangs up ends the request, not the work.
    async fn hasher<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| busy())?;
        let turn = self.hashers.clone().acquire_owned().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(move || {
            let _held = (place, turn);
            work()
        })
        .await
        .map_err(Error::internal)?
    }
}

fn busy() -> Error {
    let message = "More passwords are being checked than this server can check at the moment. Try again in 2 seconds.";
    Error::unavailable("sign_in_busy", message).retry_after(2)
}

/// A hash nobody has the password of, so that an unknown name takes as long as a wrong password.
fn decoy_hash() -> Result<String> {
    static DECOY: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    if let Some(hash) = DECOY.get() {
        return Ok(hash.clone());
    }
    let hash = crypto::hash_password(&crypto::random_token()?)?;
    Ok(DECOY.get_or_init(|| hash).clone())
}

/// ASCII letters, digits, dot, dash and underscore, so that no two names look alike.
///
/// # Errors
/// `invalid_username`.
pub fn check_username(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let starts_well = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    if name.len() < 2 || name.len() > USERNAME_MAX || !starts_well || !name.chars().all(plain) {
        return Err(Error::invalid(
            "invalid_username",
            format!("A user name has 2 to {USERNAME_MAX} of the characters a-z A-Z 0-9 . - _ and starts with a letter or digit."),
        )
        .field("username"));
    }
    Ok(())
}

/// An audit event about somebody's account.
pub(crate) fn event(action: AuditAction, user: &User, text: impl Into<String>) -> Event {
    let event = Event::new(action, "user", text).id(user.id);
    match user.service_of {
        Some(org) => event.org(OrgId(org)),
        None => event.person(UserId(user.id)),
    }
}

/// The answer to any sign-in that fails, whatever the reason.
pub(crate) fn login_failed() -> Error {
    Error::new(
        Kind::Unauthenticated,
        "login_failed",
        "The user name or the password is wrong, or the account is switched off.",
    )
}
