//! Watching whether a caller still counts, for answers that go on for long.
//!
//! Invariant: what ends a session or a token, switches an account off or changes a role is heard at once; on another
//! replica, and for what ends by the clock, as late as callers are kept in the cache.

use std::sync::Arc;

use tokio::sync::watch::Receiver;

use super::authenticate::Standing;
use super::{Accounts, store, tokens};
use crate::access::{Caller, Via};
use crate::base::error::{Error, Kind, Result};

/// A caller that is watched.
pub struct Watch {
    accounts: Accounts,
    caller: Arc<Caller>,
    changes: Receiver<()>,
}

impl Accounts {
    /// Watches `caller` from now on.
    pub fn watch(&self, caller: Arc<Caller>) -> Watch {
        Watch { accounts: self.clone(), caller, changes: self.cache.changes() }
    }

    /// The caller as they are now; None when what they came with counts no more.
    async fn again(&self, caller: &Arc<Caller>) -> Result<Option<Arc<Caller>>> {
        let (via, now, days) = (caller.via.clone(), self.clock.now(), self.options.token_max_days);
        let room = self.clone();
        let read = self.db.read(move |tx| {
            let owner = match &via {
                Via::Session(id) => store::live_session(tx, *id, now)?.map(|held| held.user),
                Via::Token(token) => tokens::store::by_id(tx, token.id)?
                    .filter(|(_, token)| !token.clone().held_to(days).is_over(now))
                    .map(|(user, _)| user),
                Via::Socket | Via::Nothing => None,
            };
            Ok(owner.map(|id| room.standing(tx, &via, id)).transpose()?.flatten())
        });
        let standing = match &caller.via {
            Via::Socket | Via::Nothing => return Ok(Some(caller.clone())),
            Via::Session(_) | Via::Token(_) => read.await?,
        };
        Ok(standing.map(|Standing { strong, grants, held_back, sso, .. }| {
            Arc::new(Caller { strong, held_back, sso, grants: Arc::new(grants), ..(**caller).clone() })
        }))
    }
}

impl Watch {
    /// Waits until something about the caller may have changed; the caller as they are then, or None when they count no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn changed(&mut self) -> Result<Option<Arc<Caller>>> {
        tokio::select! {
            // The sender lives as long as the room, of which a copy is here.
            _ = self.changes.changed() => {}
            () = tokio::time::sleep(self.accounts.cache.freshness()) => {}
        }
        self.accounts.again(&self.caller).await
    }

    /// Waits until the caller counts no more or `still` refuses them; why. Also when that cannot be told.
    pub async fn ended(mut self, still: impl Fn(&Arc<Caller>) -> Result<()>) -> Error {
        loop {
            let refused = match self.changed().await {
                Ok(Some(caller)) => still(&caller).err(),
                Ok(None) => Some(counts_no_more()),
                Err(error) => Some(error),
            };
            if let Some(error) = refused {
                return error;
            }
        }
    }
}

/// Why an answer ends whose caller [`Watch::changed`] no longer knows.
pub fn counts_no_more() -> Error {
    let message =
        "What this was asked with counts no more: the sign-in or token ended, or the account was switched off.";
    Error::new(Kind::Unauthenticated, "sign_in_ended", message)
}
