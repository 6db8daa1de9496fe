//! From a token to a caller.
//!
//! Invariant: a caller comes from the cache only while nothing that could change it was written since; see
//! [`Accounts::forget_callers`]. Tokens are cached by digest.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Accounts, sessions, store, token};
use crate::access::{Actor, Caller, Grants, Origin, UserId};
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

/// What a caller came with.
#[derive(Debug, Clone, Copy)]
enum Used {
    Session(i64),
    /// A personal token.
    Token(i64),
}

/// Callers by the digest of their token.
#[derive(Clone)]
pub struct Cache {
    callers: Arc<RwLock<Callers>>,
    fresh: i64,
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
    session: Option<i64>,
    grants: Arc<Grants>,
    until: Time,
}

impl Cache {
    pub fn new(engine: Engine) -> Self {
        let fresh = if engine == Engine::Sqlite { FRESH } else { FRESH_SHARED };
        Self { callers: Arc::default(), fresh }
    }

    fn get(&self, digest: &str, now: Time) -> Result<Known, u64> {
        let callers = self.callers.read().unwrap_or_else(PoisonError::into_inner);
        callers.by_digest.get(digest).filter(|known| known.until > now).cloned().ok_or(callers.generation)
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
                let known = self.look_up(token, &digest, now).await?;
                if let Some(known) = &known {
                    self.cache.put(generation, &digest, known.clone());
                }
                known
            }
        };
        Ok(known.map(|known| Caller {
            actor: known.actor,
            user: Some(known.user),
            session: known.session,
            grants: known.grants,
            origin,
        }))
    }

    async fn look_up(&self, token: &str, digest: &str, now: Time) -> Result<Option<Known>> {
        let held = if token.starts_with(token::PERSONAL_PREFIX) {
            let digest = digest.to_owned();
            let held = self.db.read(move |tx| store::personal_by_digest(tx, &digest, now)).await?;
            held.map(|held| (Used::Token(held.id), held))
        } else if let Some(session) = self.tokens.session(token) {
            let held = self.db.read(move |tx| store::live_session(tx, session, now)).await?;
            held.map(|held| (Used::Session(session), held))
        } else {
            None
        };
        let Some((used, held)) = held else { return Ok(None) };
        if held.last_used_at.is_none_or(|last| last.plus(NOTED) <= now) {
            self.note(used, now);
        }
        let session = match used {
            Used::Session(id) => Some(id),
            Used::Token(_) => None,
        };
        let (id, expires) = (held.user, held.expires_at);
        let user = self.db.read(move |tx| store::user(tx, id)).await?;
        let Some(user) = user.filter(|user| user.is_active) else { return Ok(None) };
        let until = now.plus(self.cache.fresh);
        let until = expires.map_or(until, |expires| expires.min(until));
        Ok(Some(Known { actor: user.actor(), user: id, session, grants: Arc::new(user.grants()), until }))
    }

    /// Notes a use in the background; losing one note at a crash harms nobody.
    fn note(&self, used: Used, now: Time) {
        let db = self.db.clone();
        self.tasks.spawn(async move {
            let noted = db.write(move |tx| match used {
                Used::Token(id) => store::touch_personal(tx, id, now),
                Used::Session(id) => sessions::store::touch(tx, id, now),
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
