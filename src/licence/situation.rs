//! How the site stands at one moment: its installation, the licences it keeps, and the one that counts.
//!
//! Invariant: of the licences that are open now the one issued last counts, so a renewal can be installed before its time;
//! when none is open, the one issued last says why. All of it is read in the transaction that asks.

use super::seats::{FREE, Seats};
use super::store::{self, Installation};
use super::{CLOCK_SLACK, Claims, Feature, Licence, State};
use crate::base::clock::Time;
use crate::base::error::Result;
use crate::db::Tx;

/// A licence that the site keeps.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub id: i64,
    pub serial: String,
    pub token: String,
    pub installed_at: Time,
    pub state: State,
    /// None when no key here opens it.
    pub read: Option<Read>,
}

/// What it says, and who signed it.
#[derive(Debug, Clone)]
pub(super) struct Read {
    pub claims: Claims,
    pub key: String,
    pub built_in: bool,
}

pub(super) struct Situation {
    pub installation: Installation,
    /// The latest moment this site knows of.
    pub at: Time,
    /// How far the clock is behind that, in microseconds; None: not by more than a day.
    pub behind: Option<i64>,
    pub held: Vec<Held>,
    current: Option<usize>,
    pub seats: Seats,
}

impl Situation {
    /// The licence that counts, or the one that says why none does.
    pub fn current(&self) -> Option<(&Held, &Read)> {
        let held = self.held.get(self.current?)?;
        Some((held, held.read.as_ref()?))
    }

    pub fn state(&self) -> State {
        match self.current() {
            Some((held, _)) => held.state,
            None if self.held.is_empty() => State::None,
            None => State::Untrusted,
        }
    }

    /// What the licence that is open says.
    pub fn open(&self) -> Option<&Claims> {
        self.current().filter(|(held, _)| held.state.is_open()).map(|(_, read)| &read.claims)
    }

    pub fn opens(&self, feature: Feature) -> bool {
        self.open().is_some_and(|claims| claims.opens(feature))
    }
}

/// Which of them counts.
pub(super) fn choose<'a>(all: impl Iterator<Item = (State, &'a Claims)>) -> Option<usize> {
    let ranked = all.enumerate().map(|(at, (state, claims))| ((state.is_open(), claims.iat, claims.exp), at));
    ranked.max().map(|(_, at)| at)
}

impl Licence {
    /// How the site stands.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) fn situation(&self, tx: &mut Tx<'_>, now: Time) -> Result<Situation> {
        let installation = store::installation(tx)?;
        let at = now.max(installation.seen_at);
        let behind = Some(at.0 - now.0).filter(|behind| *behind > CLOCK_SLACK);
        let held = self.held(tx, at, &installation.id)?;
        let readable: Vec<usize> = (0..held.len()).filter(|at| held[*at].read.is_some()).collect();
        let claims = readable.iter().filter_map(|at| Some((held[*at].state, &held[*at].read.as_ref()?.claims)));
        let current = choose(claims).map(|at| readable[at]);
        let seats = Seats::new(store::seats_used(tx)?, FREE);
        let mut situation = Situation { installation, at, behind, held, current, seats };
        if let Some(seats) = situation.open().map(|claims| claims.seats) {
            situation.seats = Seats::new(situation.seats.used, seats.max(FREE));
        }
        Ok(situation)
    }

    fn held(&self, tx: &mut Tx<'_>, at: Time, installation: &str) -> Result<Vec<Held>> {
        let mut held = Vec::new();
        for row in store::licences(tx)? {
            let read = self.0.keys.licence(&row.token).ok().map(|(claims, key)| Read {
                claims,
                key: key.id(),
                built_in: key.built_in,
            });
            let state = match &read {
                Some(read) => read.claims.state(at, installation, store::is_revoked(tx, &row.serial)?),
                None => State::Untrusted,
            };
            let store::Row { id, serial, token, installed_at } = row;
            held.push(Held { id, serial, token, installed_at, state, read });
        }
        Ok(held)
    }
}
