//! Revocation lists: the serials that a vendor took back, signed, and numbered so that an old list cannot return one.
//!
//! Invariant: the number of a key's list only grows, and a list speaks for its own key only: another key's stays as it is.

use serde::{Deserialize, Serialize};

use super::install::RESOURCE;
use super::{LAST_SECOND, Licence, is_line, is_serial, seconds, store};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};

/// The most serials of a list.
const MOST: usize = 4_000;

/// What a list says: the claims of its JWS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Who issued it.
    pub iss: String,
    /// Seconds since 1970.
    pub iat: i64,
    /// Grows with each list of the key.
    pub number: i64,
    /// All serials that were taken back so far.
    pub serials: Vec<String>,
}

impl Revocations {
    /// Bounds of what a vendor signs, and a site takes.
    ///
    /// # Errors
    /// `licence_claims`.
    pub fn check(&self) -> Result<()> {
        let wrong = |claim: &str, why: &str| {
            Err(Error::invalid("licence_claims", format!("The list's `{claim}` {why}.")).field(claim))
        };
        if !is_line(&self.iss) {
            return wrong("iss", "is not a line of 1 to 200 characters");
        }
        if !(0..=LAST_SECOND).contains(&self.iat) {
            return wrong("iat", "is no second between 1970 and 9999");
        }
        if self.number < 1 {
            return wrong("number", "is not a number from 1");
        }
        if self.serials.len() > MOST || self.serials.iter().any(|serial| !is_serial(serial)) {
            return wrong("serials", "is not a list of at most 4000 serials");
        }
        Ok(())
    }
}

impl Licence {
    /// Takes a key's newest list; what it revokes counts no more from this moment. A refusal is in the audit trail too.
    ///
    /// # Errors
    /// Those of [`super::verify::Keyring::revocations`]; `revocations_older`.
    pub async fn install_revocations(&self, caller: Caller, file: &str) -> Result<()> {
        let (room, now, by) = (self.clone(), self.0.clock.now(), caller.clone());
        let taken = match self.0.keys.revocations(file) {
            Err(error) => Err(error),
            Ok((list, key)) => {
                let key = key.id();
                let write = self.0.db.write(move |tx| {
                    let last = store::lists(tx)?.into_iter().find(|(id, ..)| *id == key).map(|(_, number, ..)| number);
                    match last {
                        Some(number) if number == list.number => return Ok(()),
                        Some(number) if number > list.number => return Err(older(number, list.number)),
                        _ => {}
                    }
                    store::put_list(tx, &(key.clone(), list.number, seconds(list.iat), now), &list.serials)?;
                    let text =
                        format!("Took revocation list {} of {key}, with {} serials", list.number, list.serials.len());
                    let event =
                        Event::new(AuditAction::Update, RESOURCE, text).id(&key).before(&last).after(&list.number);
                    audit::record(tx, now, &by, &event)?;
                    let after = room.situation(tx, now)?;
                    room.tell(tx, &after, now)
                });
                write.await
            }
        };
        self.told_of(caller, "Refused a revocation list", taken).await
    }
}

fn older(have: i64, number: i64) -> Error {
    let message =
        format!("This is list {number}; list {have} is here already, and a list is never replaced by an older one.");
    Error::conflict("revocations_older", message)
}
