//! Installing a licence: from a person, from the settings or from a file, all by the one rule.
//!
//! Invariants: what is kept was verified and counts here, now or later; a licence that is there already is no change. One
//! that was issued after all others tells the time too: the site's latest moment is set by it, so that a clock which once
//! ran ahead is forgiven by the next licence and by nothing else.

use super::shown::LicenceInfo;
use super::situation::{Held, Read, Situation};
use super::verify::TrustedKey;
use super::{Claims, Licence, MOST_KEPT, State, store};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Kind, Result};
use crate::db::Tx;

/// What entries of the trail call it.
pub(super) const RESOURCE: &str = "licence";

impl Licence {
    /// Keeps a licence. A refusal is in the audit trail too.
    ///
    /// # Errors
    /// Those of [`super::verify::Keyring::licence`]; `licence_expired`, `licence_revoked`, `licence_other_installation`,
    /// `licence_older`, `too_many_licences`.
    pub async fn install(&self, caller: Caller, file: String) -> Result<()> {
        let (room, now, by) = (self.clone(), self.0.clock.now(), caller.clone());
        let kept = match self.0.keys.licence(&file) {
            Err(error) => Err(error),
            Ok((claims, key)) => {
                let key = key.clone();
                let write = self.0.db.write(move |tx| room.keep(tx, &by, now, file.trim(), &claims, &key));
                write.await
            }
        };
        self.told_of(caller, "Refused a licence", kept).await
    }

    /// Puts a refusal into the trail, in a transaction of its own, as the one it was found in is rolled back.
    pub(super) async fn told_of(&self, caller: Caller, what: &'static str, done: Result<()>) -> Result<()> {
        let Err(error) = done else { return Ok(()) };
        if !matches!(error.kind(), Kind::Invalid | Kind::TooLarge | Kind::Conflict | Kind::Limited) {
            return Err(error);
        }
        let (now, text) = (self.0.clock.now(), format!("{what}: {}", error.code()));
        let write = self.0.db.write(move |tx| {
            audit::record(tx, now, &caller, &Event::new(AuditAction::Update, RESOURCE, text.clone()).failed())
        });
        write.await?;
        Err(error)
    }

    fn keep(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        now: Time,
        token: &str,
        claims: &Claims,
        key: &TrustedKey,
    ) -> Result<()> {
        let before = self.situation(tx, now)?;
        if let Some(same) = before.held.iter().find(|held| held.serial == claims.jti) {
            if same.token == token {
                return Ok(());
            }
            check_newer(same, claims)?;
        }
        let at = latest(&before, claims, now);
        let state = claims.state(at, &before.installation.id, store::is_revoked(tx, &claims.jti)?);
        check_state(claims, state)?;
        make_room(tx, &before, claims)?;
        store::set_seen(tx, at)?;
        store::put(tx, &claims.jti, token, now)?;
        let read = Read { claims: claims.clone(), key: key.id(), built_in: key.built_in };
        let text = format!("Installed licence {} for {}", claims.jti, claims.organization);
        let mut event = Event::new(AuditAction::Update, RESOURCE, text).id(&claims.jti).after(&LicenceInfo::of(&read));
        if let Some((_, read)) = before.current() {
            event = event.before(&LicenceInfo::of(read));
        }
        audit::record(tx, now, caller, &event)?;
        let after = self.situation(tx, now)?;
        self.tell(tx, &after, now)
    }
}

/// The latest moment, once this licence is there.
fn latest(before: &Situation, claims: &Claims, now: Time) -> Time {
    let newest = before.held.iter().filter_map(|held| Some(held.read.as_ref()?.claims.iat)).max();
    if newest.is_none_or(|newest| claims.iat > newest) { now.max(claims.issued_at()) } else { before.at }
}

fn check_newer(same: &Held, claims: &Claims) -> Result<()> {
    if same.read.as_ref().is_some_and(|read| read.claims.iat >= claims.iat) {
        let message = format!("Licence {} is installed already, in a form that was issued later.", claims.jti);
        return Err(Error::conflict("licence_older", message));
    }
    Ok(())
}

fn check_state(claims: &Claims, state: State) -> Result<()> {
    let serial = &claims.jti;
    match state {
        State::Expired => {
            let message = format!(
                "Licence {serial} ended at {}, and its days of grace at {}. Ask its vendor for a new one.",
                claims.expires_at(),
                claims.grace_until()
            );
            Err(Error::invalid("licence_expired", message))
        }
        State::Revoked => {
            let message = format!("Licence {serial} was revoked by its vendor, as a list that is installed here says.");
            Err(Error::invalid("licence_revoked", message))
        }
        State::OtherInstallation => {
            let message = format!(
                "Licence {serial} is for other installations. Send its vendor this site's id, which `resoftai licence show` shows."
            );
            Err(Error::invalid("licence_other_installation", message))
        }
        _ => Ok(()),
    }
}

/// Lets go of those that never count again; their entries in the trail stay.
fn make_room(tx: &mut Tx<'_>, before: &Situation, new: &Claims) -> Result<()> {
    let mut kept = 0;
    for held in before.held.iter().filter(|held| held.serial != new.jti) {
        if matches!(held.state, State::Expired | State::Revoked) {
            store::drop_licence(tx, held.id)?;
        } else {
            kept += 1;
        }
    }
    if kept >= MOST_KEPT {
        let message = format!("{MOST_KEPT} licences lie here that count or will. Wait until one has ended.");
        return Err(Error::new(Kind::Limited, "too_many_licences", message));
    }
    Ok(())
}
