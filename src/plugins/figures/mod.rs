//! How calls of plugins go over time: how many, how many failed or were skipped, how long they took and how much memory the
//! instance had, by plugin, organisation, and hook or method.
//!
//! Invariant: a call only adds to sums in memory; once a minute they go to the database in one transaction, into pieces of
//! five minutes, kept for two days, and of an hour, kept for 90. A call stands in the piece in which it was written, at
//! most a minute late. Sums that could not be written are put back.

mod bins;
mod question;
pub mod routes;
mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Plugins;
use crate::access::OrgId;
use crate::base::clock::{DAY, SECOND, Time};

/// Between two writings.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// Writings between two sweeps: an hour.
const SWEEP: u32 = 60;
/// The pieces, in seconds, and for how long they are kept, in microseconds.
const FINE: (i64, i64) = (300, 2 * DAY);
const COARSE: (i64, i64) = (3600, 90 * DAY);

/// Calls that took about as long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Tally {
    calls: i64,
    failures: i64,
    skipped: i64,
    /// The most of one.
    memory_bytes: i64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.failures += other.failures;
        self.skipped += other.skipped;
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
    }
}

/// By place on the scale of times.
type Scale = BTreeMap<usize, Tally>;
/// By organisation, then by hook or method.
type Sums = BTreeMap<Option<OrgId>, BTreeMap<String, Scale>>;

/// What one plugin's calls came to and is not yet written.
#[derive(Debug, Default)]
pub struct Figures(Mutex<Sums>);

impl Figures {
    /// A call of this hook or method, with what its instance had in memory afterwards.
    pub fn called(&self, org: Option<OrgId>, name: &str, took: Duration, well: bool, memory_bytes: u64) {
        let memory_bytes = i64::try_from(memory_bytes).unwrap_or(i64::MAX);
        self.add(org, name, bins::bin(took), Tally { calls: 1, failures: (!well).into(), skipped: 0, memory_bytes });
    }

    /// A call for which those before it left no time.
    pub fn skipped(&self, org: Option<OrgId>, hook: &str) {
        self.add(org, hook, 0, Tally { skipped: 1, ..Tally::default() });
    }

    fn add(&self, org: Option<OrgId>, name: &str, bin: usize, tally: Tally) {
        let mut sums = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let names = sums.entry(org).or_default();
        // A name is copied at its first call only.
        let scale = match names.get_mut(name) {
            Some(scale) => scale,
            None => names.entry(name.to_owned()).or_default(),
        };
        scale.entry(bin).or_default().add(tally);
    }

    fn take(&self) -> Sums {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back(&self, sums: &Sums) {
        for (org, names) in sums {
            for (name, scale) in names {
                scale.iter().for_each(|(bin, tally)| self.add(*org, name, *bin, *tally));
            }
        }
    }
}

impl Plugins {
    /// Writes figures down once a minute, the last ones when the server ends.
    pub(super) async fn keep_figures(&self) {
        let mut looks = 0_u32;
        loop {
            if looks.is_multiple_of(SWEEP) {
                self.sweep_figures().await;
            }
            looks = looks.wrapping_add(1);
            let stopping = tokio::time::timeout(WRITE_EVERY, self.inner.tasks.stopping()).await.is_ok();
            self.write_figures().await;
            if stopping {
                return;
            }
        }
    }

    async fn write_figures(&self) {
        let taken = self.inner.shelf.all().into_iter().map(|entry| (entry.counts.figures.take(), entry));
        let taken: Arc<Vec<_>> = Arc::new(taken.filter(|(sums, _)| !sums.is_empty()).collect());
        if taken.is_empty() {
            return;
        }
        let (now, all) = (self.inner.clock.now(), taken.clone());
        let written =
            self.inner.db.write(move |tx| all.iter().try_for_each(|(sums, entry)| store::add(tx, entry.id, now, sums)));
        if let Err(error) = written.await {
            tracing::warn!(%error, "plugins' figures could not be written; they are kept for the next time");
            taken.iter().for_each(|(sums, entry)| entry.counts.figures.put_back(sums));
        }
    }

    async fn sweep_figures(&self) {
        let now = self.inner.clock.now();
        let swept = self.inner.db.write(move |tx| {
            [FINE, COARSE].into_iter().try_for_each(|(span, kept)| store::forget(tx, span, now.plus(-kept)))
        });
        if let Err(error) = swept.await {
            tracing::warn!(%error, "old figures of plugins could not be deleted");
        }
    }
}

/// The piece of this many seconds that a time is in.
fn piece(at: Time, span: i64) -> Time {
    Time(at.0 - at.0.rem_euclid(span * SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_back_is_counted_once() {
        let figures = Figures::default();
        let ms = Duration::from_millis;
        figures.called(Some(OrgId(7)), "code.lint", ms(10), true, 5);
        figures.called(Some(OrgId(7)), "code.lint", ms(10), false, 9);
        figures.called(None, "code.lint", ms(900), true, 2);
        figures.skipped(None, "code.lint");
        let taken = figures.take();
        assert!(figures.take().is_empty());
        figures.called(Some(OrgId(7)), "code.lint", ms(10), true, 1);
        figures.put_back(&taken);
        let sums = figures.take();
        let of = |org: Option<OrgId>, took: Duration| sums[&org]["code.lint"].get(&bins::bin(took)).copied();
        let seven = Tally { calls: 3, failures: 1, skipped: 0, memory_bytes: 9 };
        assert_eq!(of(Some(OrgId(7)), ms(10)), Some(seven));
        assert_eq!(of(None, ms(900)).map(|tally| tally.calls), Some(1));
        assert_eq!(of(None, Duration::ZERO), Some(Tally { skipped: 1, ..Tally::default() }));
    }
}
