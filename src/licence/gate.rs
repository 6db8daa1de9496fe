//! The gates: what rooms ask before they make something that a licence opens.
//!
//! Invariant: a gate stands before what is *new* and nowhere else, and is asked within the transaction that makes it.

use super::{Feature, Licence, State};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::notices::{self, NewNotice};

impl Licence {
    /// Lets something new of this kind be made.
    ///
    /// # Errors
    /// `licence_required`, saying how the licence stands.
    pub fn require(&self, tx: &mut Tx<'_>, feature: Feature) -> Result<()> {
        let situation = self.situation(tx, self.0.clock.now())?;
        if situation.opens(feature) {
            return Ok(());
        }
        let why = match situation.state() {
            State::None => "This site has no licence.",
            State::Valid | State::Expiring | State::Grace => "The licence of this site does not name it.",
            State::NotYetValid => "The licence of this site is not valid yet.",
            State::Expired => "The licence of this site has expired.",
            State::Revoked => "The licence of this site was revoked.",
            State::OtherInstallation => "The licence is for another installation.",
            State::Untrusted => "This server does not know the key that signed its licence.",
        };
        let message = format!(
            "{} needs a licence that names `{}`. {why} What is there stays as it is; see Licence among the site's pages, or \
             `resoftai licence show`.",
            feature.words(),
            feature.code()
        );
        Err(Error::forbidden("licence_required", message))
    }

    /// Refuses when no seat is free; an invitation asks this, and takes none.
    ///
    /// # Errors
    /// `seats_used`.
    pub fn require_seat(&self, tx: &mut Tx<'_>) -> Result<()> {
        let seats = self.situation(tx, self.0.clock.now())?.seats;
        if seats.has_room() { Ok(()) } else { Err(seats.refusal()) }
    }

    /// Lets one more person in, and tells the site's administrators when that is the first past what was bought.
    ///
    /// # Errors
    /// `seats_used`.
    pub fn take_seat(&self, tx: &mut Tx<'_>, now: Time) -> Result<()> {
        let seats = self.situation(tx, now)?.seats;
        if !seats.has_room() {
            return Err(seats.refusal());
        }
        if seats.is_full() {
            let text = format!(
                "{} people have accounts that are switched on, and {} seats are licensed. Up to {} are let in, then no new ones.",
                seats.used + 1,
                seats.licensed,
                seats.allowed
            );
            notices::to_site(tx, now, &NewNotice::new("seats_exceeded", text).link("/site/licence"))?;
        }
        Ok(())
    }
}
