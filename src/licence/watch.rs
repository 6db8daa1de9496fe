//! What happens with time: the latest moment is raised, peaks are noted, administrators are told before a licence ends.
//!
//! Invariant: each thing is told once, however many servers look and however often they start.

use std::time::Duration;

use super::file::Seen;
use super::situation::Situation;
use super::{Licence, State, store};
use crate::base::clock::Time;
use crate::base::crypto::{hex, random_bytes};
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::db::Tx;
use crate::notices::{self, NewNotice};

/// Between two looks at the time.
const HOUR: Duration = Duration::from_secs(3600);
/// Between two looks at the licence's file.
const FILE_PAUSE: Duration = Duration::from_secs(10);
/// Where administrators read more.
const PAGE: &str = "/site/licence";

impl Licence {
    /// Names the installation at its first start, takes the licence of the settings, and watches from now on.
    ///
    /// # Errors
    /// When the database fails; not for what is wrong with a licence.
    pub async fn start(&self, tasks: &Tasks) -> Result<()> {
        let (id, now) = (new_id()?, self.0.clock.now());
        self.0.db.write(move |tx| store::name(tx, &id, now)).await?;
        let mut seen: Seen = None;
        self.take_setting().await;
        self.take_file(&mut seen).await;
        self.look().await?;
        let room = self.clone();
        tasks.spawn_until_stop(async move {
            let start = tokio::time::Instant::now();
            let mut hours = tokio::time::interval_at(start + HOUR, HOUR);
            let mut pauses = tokio::time::interval_at(start + FILE_PAUSE, FILE_PAUSE);
            loop {
                tokio::select! {
                    _ = hours.tick() => {
                        if let Err(error) = room.look().await {
                            tracing::warn!(?error, "the licence could not be looked at; trying again in an hour");
                        }
                    }
                    _ = pauses.tick() => room.take_file(&mut seen).await,
                }
            }
        });
        Ok(())
    }

    /// Raises the latest moment and the month's peak, and tells what is to be told.
    async fn look(&self) -> Result<()> {
        let (room, now) = (self.clone(), self.0.clock.now());
        let write = self.0.db.write(move |tx| {
            let newest = store::newest_entry(tx)?.unwrap_or(now);
            store::raise_seen(tx, now.max(newest))?;
            let situation = room.situation(tx, now)?;
            let month: String = situation.at.to_string().chars().take(7).collect();
            store::raise_peak(tx, &month, situation.seats.used)?;
            room.tell(tx, &situation, now)
        });
        write.await
    }

    /// Tells the site's administrators how the licence and the clock stand, where they were not told.
    pub(super) fn tell(&self, tx: &mut Tx<'_>, situation: &Situation, now: Time) -> Result<()> {
        tell_clock(tx, situation, now)?;
        let Some((held, read)) = situation.current() else { return Ok(()) };
        let claims = &read.claims;
        let (mark, kind) = match held.state {
            State::Expiring => (claims.mark(situation.at).unwrap_or_default().to_string(), "licence_expiring"),
            State::Grace => ("grace".to_owned(), "licence_grace"),
            State::Expired => ("expired".to_owned(), "licence_expired"),
            State::Revoked => ("revoked".to_owned(), "licence_revoked"),
            _ => return Ok(()),
        };
        if store::note_told(tx, &held.serial, &mark, now)? {
            let text = format!("Licence {} for {}: {}", held.serial, claims.organization, situation.sentence());
            tracing::warn!("{text}");
            notices::to_site(tx, now, &NewNotice::new(kind, text).link(PAGE))?;
        }
        Ok(())
    }
}

fn tell_clock(tx: &mut Tx<'_>, situation: &Situation, now: Time) -> Result<()> {
    const MARK: &str = "clock";
    if situation.behind.is_none() {
        return store::forget_told(tx, "", MARK);
    }
    if store::note_told(tx, "", MARK, now)? {
        let text = format!(
            "This server's clock says {now}, and the site has already seen {}. Set the clock: until then the later time counts \
             for the licence, and entries of the audit trail carry the wrong time.",
            situation.at
        );
        tracing::warn!("{text}");
        notices::to_site(tx, now, &NewNotice::new("clock_behind", text).link(PAGE))?;
    }
    Ok(())
}

/// A random UUID (RFC 9562, version 4).
fn new_id() -> Result<String> {
    let mut bytes = random_bytes::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes);
    Ok([&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-"))
}
