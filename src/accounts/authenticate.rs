//! From a token to a caller.
//!
//! Invariant: a caller comes from the cache only while nothing that could change it was written since; see
//! [`Accounts::forget_callers`]. Tokens are cached by digest.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;

use super::{Accounts, User, factors, sessions, store, tokens};
use crate::access::{Actor, Caller, Closing, Grants, Origin, UserId, Via};
use crate::base::clock::{SECOND, Time};
use crate::base::crypto;
use crate::base::error::Result;
use crate::db::{Engine, Tx};

/// Most callers kept; past it the cache starts anew.
const KEPT: usize = 10_000;
/// A caller is looked up again after this long.
const FRESH: i64 = 60 * SECOND;
/// The same over PostgreSQL, where another replica may have changed something.
const FRESH_SHARED: i64 = 2 * SECOND;

/// How old what is noted of the last use may grow.
const NOTED: i64 = 60 * SECOND;

/// What a token or a session is tied to.
struct Held {
    via: Via,
    user: UserId,
    expires_at: Option<Time>,
    /// When it was last used, as far as it was noted.
    last_used_at: Option<Time>,
}

/// How the owner of a token or session stands.
pub(super) struct Standing {
    pub user: User,
    /// See [`Caller::strong`].
    pub strong: bool,
    /// What counts of their roles with what they came with.
    pub grants: Grants,
    /// See [`Caller::held_back`].
    pub held_back: bool,
    /// See [`Caller::sso`].
    pub sso: bool,
}

/// Callers by the digest of their token.
#[derive(Clone)]
pub struct Cache {
    callers: Arc<RwLock<Callers>>,
    fresh: i64,
    /// Told of every clearing.
    cleared: watch::Sender<()>,
}

#[derive(Default)]
struct Callers {
    by_digest: HashMap<String, Known>,
    /// Grows with every clearing, so that what was read before one is not put in after it.
    generation: u64,
}

#[derive(Clone)]
struct Known {
    actor: Actor,
    user: UserId,
    via: Via,
    strong: bool,
    held_back: bool,
    sso: bool,
    grants: Arc<Grants>,
    /// Believed from here on: a clock that was set back must not make it last longer.
    since: Time,
    until: Time,
}

impl Cache {
    pub fn new(engine: Engine) -> Self {
        let fresh = if engine == Engine::Sqlite { FRESH } else { FRESH_SHARED };
        Self { callers: Arc::default(), fresh, cleared: watch::Sender::default() }
    }

    fn get(&self, digest: &str, now: Time) -> Result<Known, u64> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = |known: &&Known| known.since <= now && now < known.until;
        callers.by_digest.get(digest).filter(fresh).cloned().ok_or(callers.generation)
    }

    fn put(&self, generation: u64, digest: &str, known: Known) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        if callers.generation != generation {
            return;
        }
        if callers.by_digest.len() >= KEPT {
            callers.by_digest.clear();
        }
        callers.by_digest.insert(digest.to_owned(), known);
    }

    pub fn clear(&self) {
        let mut callers = self.callers.write().unwrap_or_else(PoisonError::into_inner);
        callers.by_digest.clear();
        callers.generation += 1;
        self.cleared.send_replace(());
    }

    /// Hears of every clearing from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.cleared.subscribe()
    }

    /// How long a caller is believed.
    pub fn freshness(&self) -> Duration {
        Duration::from_micros(self.fresh.unsigned_abs())
    }
}

impl Accounts {
    /// Who `token` speaks for now; None when it speaks for nobody.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn authenticate(&self, token: &str, origin: Origin) -> Result<Option<Caller>> {
        let digest = crypto::sha256_hex(token.as_bytes());
        let now = self.clock.now();
        let known = match self.cache.get(&digest, now) {
            Ok(known) => Some(known),
            Err(generation) => {
                let known = self.look_up(token, &digest, now, &origin).await?;
                if let Some(known) = &known {
                    self.cache.put(generation, &digest, known.clone());
                }
                known
            }
        };
        Ok(known.map(|known| Caller {
            actor: known.actor,
            user: Some(known.user),
            via: known.via,
            strong: known.strong,
            held_back: known.held_back,
            sso: known.sso,
            grants: known.grants,
            origin,
        }))
    }

    async fn look_up(&self, token: &str, digest: &str, now: Time, origin: &Origin) -> Result<Option<Known>> {
        let held = if token.starts_with(tokens::PREFIX) {
            self.personal(digest.to_owned(), now).await?
        } else if let Some(session) = self.signer.session(token) {
            let held = self.db.read(move |tx| store::live_session(tx, session, now)).await?;
            held.map(|held| Held {
                via: Via::Session(session),
                user: held.user,
                expires_at: Some(held.expires_at),
                last_used_at: held.last_used_at,
            })
        } else {
            None
        };
        let Some(Held { via, user: id, expires_at, last_used_at }) = held else { return Ok(None) };
        if last_used_at.is_none_or(|last| last.plus(NOTED) <= now) {
            self.note(via.clone(), now, origin.ip_address.clone());
        }
        let (room, shown) = (self.clone(), via.clone());
        let standing = self.db.read(move |tx| room.standing(tx, &shown, id)).await?;
        let Some(Standing { user, strong, grants, held_back, sso }) = standing else { return Ok(None) };
        let until = now.plus(self.cache.fresh);
        let until = expires_at.map_or(until, |expires| expires.min(until));
        Ok(Some(Known {
            actor: user.actor(),
            user: id,
            via,
            strong,
            held_back,
            sso,
            grants: Arc::new(grants),
            since: now,
            until,
        }))
    }

    /// How the owner of what was shown stands; None when they do no more.
    pub(super) fn standing(&self, tx: &mut Tx<'_>, via: &Via, owner: UserId) -> Result<Option<Standing>> {
        let Some(mut user) = store::user(tx, owner)?.filter(|user| user.is_active) else { return Ok(None) };
        let opening = via.session().map(|session| sessions::store::opening(tx, session)).transpose()?;
        // A program has no second factor to prove.
        let strong = user.is_service()
            || match opening {
                Some(opening) => opening.strong,
                None => factors::store::any(tx, owner)?,
            };
        // An organisation's provider speaks for its people there, and not for what they are elsewhere.
        let roles = user.roles.len();
        if let Some(org) = opening.and_then(|opening| opening.held_to) {
            user.roles.retain(|grant| grant.organization_id == Some(org.0));
        }
        let held_back = user.roles.len() < roles;
        // Tokens go on: programs sign in with nobody.
        let sso = opening.is_some_and(|opening| opening.sso);
        if opening.is_some() && !sso {
            for grant in &mut user.roles {
                grant.closed = grant.closed.take().or(grant.sso.take());
            }
        }
        let held = if strong { user.grants() } else { user.weak_grants(self.weak().as_ref()) };
        let grants = match via {
            Via::Token(token) => tokens::limited(held, token),
            _ => held,
        };
        Ok(Some(Standing { user, strong, grants, held_back, sso }))
    }

    async fn personal(&self, digest: String, now: Time) -> Result<Option<Held>> {
        let found = self.db.read(move |tx| tokens::store::by_digest(tx, &digest)).await?;
        let held = found.map(|(user, token)| (user, token.held_to(self.options.token_max_days)));
        Ok(held.filter(|(_, token)| !token.is_over(now)).map(|(user, token)| Held {
            via: Via::Token(Arc::new(token.used())),
            user,
            expires_at: token.expires_at,
            last_used_at: token.last_used_at,
        }))
    }

    /// Why who came with the password alone may do nothing; None where they may.
    fn weak(&self) -> Option<Closing> {
        self.options.require_second_factor.then(|| Closing::second_factor("This site"))
    }

    /// Notes a use in the background; losing one note at a crash harms nobody.
    fn note(&self, via: Via, now: Time, ip_address: Option<String>) {
        let db = self.db.clone();
        self.tasks.spawn(async move {
            let used = via.clone();
            let noted = db.write(move |tx| match &via {
                Via::Token(token) => tokens::store::touch(tx, token.id, now, ip_address.clone()),
                Via::Session(id) => sessions::store::touch(tx, *id, now),
                Via::Socket | Via::Nothing => Ok(()),
            });
            if let Err(error) = noted.await {
                tracing::warn!(?used, "That a token was used was not noted: {error}");
            }
        });
    }

    /// Empties the cache once the present write is durable. Every write to users, role_grants, sessions or
    /// personal_tokens calls this.
    pub fn forget_callers(&self, tx: &mut Tx<'_>) {
        let cache = self.cache.clone();
        tx.after_commit(move || cache.clear());
    }
}
