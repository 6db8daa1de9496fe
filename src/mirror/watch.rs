//! Telling the site's administrators before a mirrored state expires, and when it has.
//!
//! Invariant: each thing is told once, however many servers look and however often they start; of several that are due
//! at once, the latest only.

use std::time::Duration;

use super::store::{self, Kept};
use super::{Mirror, Owner};
use crate::base::clock::{DAY, Time};
use crate::base::error::Result;
use crate::base::tasks::Tasks;
use crate::db::Tx;
use crate::notices::{self, NewNotice};

/// Between two looks at the time.
const HOUR: Duration = Duration::from_secs(3600);
/// How many days before, the soonest first.
const MARKS: [i64; 3] = [1, 7, 30];
/// Where administrators read more.
const PAGE: &str = "/site/mirror";

/// What there is to tell.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Expired,
    /// Within this many days.
    Within(i64),
}

impl Due {
    fn at(expires: Time, now: Time) -> Option<Self> {
        if now > expires {
            return Some(Self::Expired);
        }
        MARKS.into_iter().find(|days| now.plus(days * DAY) >= expires).map(Self::Within)
    }

    fn mark(&self) -> String {
        match self {
            Self::Expired => "expired".to_owned(),
            Self::Within(days) => days.to_string(),
        }
    }
}

impl Mirror {
    /// Looks now and every hour until the server stops.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn watch(&self, tasks: &Tasks) -> Result<()> {
        self.look().await?;
        let mirror = self.clone();
        tasks.spawn_until_stop(async move {
            let mut hours = tokio::time::interval_at(tokio::time::Instant::now() + HOUR, HOUR);
            loop {
                hours.tick().await;
                if let Err(error) = mirror.look().await {
                    tracing::warn!(?error, "the mirror's age could not be looked at; trying again in an hour");
                }
            }
        });
        Ok(())
    }

    async fn look(&self) -> Result<()> {
        let now = self.inner.clock.now();
        let write = move |tx: &mut Tx<'_>| store::all(tx)?.iter().try_for_each(|kept| tell(tx, kept, now));
        self.inner.db.write(write).await
    }
}

fn tell(tx: &mut Tx<'_>, kept: &Kept, now: Time) -> Result<()> {
    let (part, at) = kept.state.map_or(("root", kept.root_expires), |state| state.expires.first());
    let Some(due) = Due::at(at, now) else { return Ok(()) };
    if !store::note_told(tx, kept.owner, at, &due.mark(), now)? {
        return Ok(());
    }
    let (kind, text) = words(kept.owner, part, at, &due);
    tracing::warn!("{text}");
    notices::to_site(tx, now, &NewNotice::new(kind, text).link(PAGE))
}

fn words(owner: Owner, part: &str, at: Time, due: &Due) -> (&'static str, String) {
    let repository = owner.code();
    match due {
        Due::Expired => (
            "mirror_expired",
            format!(
                "The {part} metadata of the mirrored repository {repository} expired on {at}. What was imported stays \
                 usable. Import a bundle that was signed lately."
            ),
        ),
        Due::Within(_) => (
            "mirror_expiring",
            format!(
                "The {part} metadata of the mirrored repository {repository} expires on {at}. Import a newer bundle until then."
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_mark_is_due() {
        let due = |days: i64| Due::at(Time(100 * DAY), Time((100 - days) * DAY));
        assert_eq!([due(31), due(30), due(8)], [None, Some(Due::Within(30)), Some(Due::Within(30))]);
        assert_eq!([due(7), due(2), due(1), due(0)], [7, 7, 1, 1].map(|days| Some(Due::Within(days))));
        assert_eq!(due(-1), Some(Due::Expired));
    }
}
