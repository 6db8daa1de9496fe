//! Seats: who counts, and how many may.
//!
//! The rule: a seat is a person's account that is switched on, counted once over the whole site, whatever it may do and
//! however often it is used. Accounts of programs, accounts that are switched off, people who wait to be let in and
//! invitations take none. A tenth more than was bought is let in and told of; past that no *new* account is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base::error::{Error, Kind};

/// Seats of a site without a licence.
pub(super) const FREE: i64 = 10;

/// How the seats stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Seats {
    /// People's accounts that are switched on.
    pub used: i64,
    /// What the licence names; ten without one.
    pub licensed: i64,
    /// What is let in: a tenth more, rounded up.
    pub allowed: i64,
}

impl Seats {
    pub(super) fn new(used: i64, licensed: i64) -> Self {
        Self { used, licensed, allowed: licensed.saturating_add(licensed.saturating_add(9) / 10) }
    }

    /// Whether one more may come.
    pub(super) fn has_room(self) -> bool {
        self.used < self.allowed
    }

    /// Whether the next one is the first past what was bought.
    pub(super) fn is_full(self) -> bool {
        self.used == self.licensed
    }

    /// Why nobody more may come.
    pub(super) fn refusal(self) -> Error {
        let Self { used, licensed, allowed } = self;
        let message = format!(
            "All seats of this site are taken: {used} accounts are switched on, {licensed} are licensed, {allowed} are let in. \
             Switch accounts off that nobody uses, or install a licence with more seats. Nobody who is here is kept out."
        );
        Error::new(Kind::Limited, "seats_used", message)
    }
}
