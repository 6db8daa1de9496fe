//! The password again, before somebody's own account is changed: a session left open or stolen is not its owner.
//!
//! Invariant: it is counted and slowed down like a sign-in, so that a session is no way to try passwords faster.

use super::{Accounts, User, event, factors, store, throttle};
use crate::access::{Caller, UserId};
use crate::audit::{self, AuditAction};
use crate::base::error::{Error, Result};

/// The person whose account the caller uses.
///
/// # Errors
/// `no_account` for the local operator and the product itself.
pub fn person(caller: &Caller) -> Result<UserId> {
    caller.user.ok_or_else(|| {
        let message = "This is about a person's own account. Sign in with one; the local operator has none.";
        Error::invalid("no_account", message)
    })
}

impl Accounts {
    /// Whose account the caller uses, when `password` is that person's; `field` is where it was typed.
    ///
    /// # Errors
    /// `no_account`; `password_wrong`, which is audited; `login_throttled`; `sign_in_busy`.
    pub(crate) async fn confirm(&self, caller: &Caller, password: String, field: &'static str) -> Result<User> {
        let id = person(caller)?;
        let user = self.db.read(move |tx| store::user(tx, id)).await?.ok_or_else(|| Error::not_found("user"))?;
        let now = self.clock.now();
        let name = store::key(&user.username);
        let attempt = self.throttle.attempt(&name, caller.origin.ip_address.as_deref());
        let keys = attempt.keys();
        let read =
            self.db.read(move |tx| Ok((throttle::store::counts(tx, &keys, now)?, store::password_hash(tx, id)?)));
        let (counts, hash) = read.await?;
        attempt.check(counts, now)?;
        if self.verify(password, hash).await? {
            let forgive = self.db.write(move |tx| match factors::store::enabled_at(tx, id)? {
                // Else who knows the password could try one code after the other.
                Some(_) => Ok(()),
                None => throttle::store::forget(tx, &name).map(drop),
            });
            forgive.await?;
            return Ok(user);
        }
        let (caller, keys) = (caller.clone(), attempt.keys());
        let told = format!("{} gave a wrong password for a change of their own account", user.username);
        let event = event(AuditAction::Update, &user, told).failed();
        let write = self.db.write(move |tx| {
            throttle::store::fail(tx, &keys, now)?;
            audit::record(tx, now, &caller, &event)
        });
        write.await?;
        Err(Error::forbidden("password_wrong", "The password is wrong. Nothing was changed.").field(field))
    }
}
