//! Slows down guessing: after a few failures a name or an address waits, longer each time.
//!
//! Invariant: an attempt is counted before the password is looked at, so that as many at once get no more guesses than one
//! after the other. No wait is beyond [`LONGEST`], and what was counted is forgotten that long after the last wait ended.
//! Bounded memory: the oldest counts go first. Lives in the process: a restart forgives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Kind, Result};

/// Failures of a name that cost nothing.
const FREE_NAME: u32 = 5;
/// The same of an address: many people may share one behind a router or a proxy.
const FREE_ADDRESS: u32 = 60;
/// An address is forgiven one failure in this time, for there somebody mistypes every day.
const FORGIVEN: i64 = 60 * SECOND;
const LONGEST: i64 = 15 * 60 * SECOND;
const KEPT: usize = 10_000;
/// Of a name, so that a megabyte of it is not kept.
const NAME_MAX: usize = 64;

#[derive(Clone, PartialEq, Eq, Hash)]
enum Key {
    Name(String),
    Address(String),
}

impl Key {
    fn free(&self) -> u32 {
        match self {
            Self::Name(_) => FREE_NAME,
            Self::Address(_) => FREE_ADDRESS,
        }
    }
}

#[derive(Clone, Copy)]
struct Count {
    failures: u32,
    /// Attempts whose outcome is not known yet.
    pending: u32,
    /// No attempt before; the last failure's time when it cost nothing.
    until: Time,
    /// Up to when an address was forgiven.
    forgiven: Time,
}

impl Count {
    fn new(now: Time) -> Self {
        Self { failures: 0, pending: 0, until: now, forgiven: now }
    }

    fn is_over(&self, now: Time) -> bool {
        self.pending == 0 && now >= self.until.plus(LONGEST)
    }

    /// What is left of the failures at `now`.
    fn decay(&mut self, key: &Key, now: Time) {
        if now >= self.until.plus(LONGEST) {
            self.failures = 0;
        }
        let periods = now.0.saturating_sub(self.forgiven.0).max(0) / FORGIVEN;
        self.forgiven = self.forgiven.plus(periods * FORGIVEN);
        if matches!(key, Key::Address(_)) {
            self.failures = self.failures.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX));
        }
    }

    /// The time to try again, when it is not now. Past the free failures one attempt at a time is let through.
    fn wait(&self, key: &Key, now: Time) -> Option<Time> {
        if self.until > now && self.failures > key.free() {
            return Some(self.until);
        }
        let crowded = self.pending > 0 && self.failures.saturating_add(self.pending) >= key.free();
        crowded.then(|| now.plus(SECOND))
    }

    fn fail(&mut self, key: &Key, now: Time) {
        self.failures = self.failures.saturating_add(1);
        let over = self.failures.saturating_sub(key.free());
        let wait = if over == 0 { 0 } else { SECOND.saturating_mul(1 << over.min(20)).min(LONGEST) };
        self.until = self.until.max(now.plus(wait));
    }
}

#[derive(Clone, Default)]
pub struct Throttle(Arc<Mutex<HashMap<Key, Count>>>);

impl Throttle {
    /// Counts an attempt at `name`, from `address`, before its outcome is known.
    ///
    /// # Errors
    /// `login_throttled` with the seconds to wait when the name or the address must.
    pub fn attempt(&self, now: Time, name: &str, address: &str) -> Result<Attempt> {
        let keys = [Key::Name(name.chars().take(NAME_MAX).collect()), Key::Address(address.to_owned())];
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut counts, now);
        let mut wait = None;
        for key in &keys {
            if let Some(count) = counts.get_mut(key) {
                count.decay(key, now);
                wait = wait.max(count.wait(key, now));
            }
        }
        if let Some(until) = wait {
            return Err(throttled(now, until));
        }
        for key in &keys {
            counts.entry(key.clone()).or_insert_with(|| Count::new(now)).pending += 1;
        }
        drop(counts);
        Ok(Attempt { throttle: self.clone(), keys, now })
    }
}

fn throttled(now: Time, until: Time) -> Error {
    let seconds = ((until.0 - now.0 + SECOND - 1) / SECOND).max(1).unsigned_abs();
    let message = format!("Too many sign-ins failed for this name or address. Try again in {seconds} seconds.");
    Error::new(Kind::Limited, "login_throttled", message).retry_after(seconds)
}

/// Forgets what is over, and if that is not enough, the older half.
fn make_room(counts: &mut HashMap<Key, Count>, now: Time) {
    if counts.len() < KEPT {
        return;
    }
    counts.retain(|_, count| !count.is_over(now));
    if counts.len() < KEPT {
        return;
    }
    let mut ends: Vec<Time> = counts.values().map(|count| count.until).collect();
    let (_, middle, _) = ends.select_nth_unstable(KEPT / 2);
    let middle = *middle;
    counts.retain(|_, count| count.until > middle || count.pending > 0);
}

/// A sign-in under way. Let go without a word, as when the client hangs up or the database fails, it was none.
pub struct Attempt {
    throttle: Throttle,
    keys: [Key; 2],
    now: Time,
}

impl Attempt {
    pub fn failed(self) {
        self.settle(|key, count, now| count.fail(key, now));
    }

    /// A success clears the name, not the address: an attacker with one account must not reset the others' count.
    pub fn succeeded(self) {
        self.settle(|key, count, now| {
            if matches!(key, Key::Name(_)) {
                *count = Count { pending: count.pending, ..Count::new(now) };
            }
        });
    }

    fn settle(&self, outcome: impl Fn(&Key, &mut Count, Time)) {
        let mut counts = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            if let Some(count) = counts.get_mut(key) {
                outcome(key, count, self.now);
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut counts = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            let Some(count) = counts.get_mut(key) else { continue };
            count.pending = count.pending.saturating_sub(1);
            if count.pending == 0 && count.failures == 0 {
                counts.remove(key);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// One failed sign-in; the seconds to wait where it was refused.
    fn fail(throttle: &Throttle, now: Time, name: &str, address: &str) -> Result<(), Option<u64>> {
        throttle.attempt(now, name, address).map(Attempt::failed).map_err(|error| error.retry_after_seconds())
    }

    #[test]
    fn waits_grow_and_end() {
        let throttle = Throttle::default();
        let mut now = Time(0);
        for _ in 0..=FREE_NAME {
            fail(&throttle, now, "ada", "a").unwrap();
        }
        assert_eq!(fail(&throttle, now, "ada", "b"), Err(Some(2)), "the name waits wherever it comes from");
        now = now.plus(2 * SECOND);
        fail(&throttle, now, "ada", "a").unwrap();
        assert_eq!(fail(&throttle, now, "ada", "a"), Err(Some(4)));
        for _ in 0..30 {
            now = now.plus(LONGEST);
            // Nothing is forgotten yet: the last wait has only just ended.
            fail(&throttle, now.plus(-SECOND), "ada", "a").unwrap();
        }
        assert!(fail(&throttle, now, "ada", "a").is_err_and(|wait| wait.unwrap() > 600));
    }

    #[test]
    fn who_waited_long_enough_starts_anew() {
        let throttle = Throttle::default();
        for _ in 0..=FREE_NAME {
            fail(&throttle, Time(0), "ada", "a").unwrap();
        }
        let later = Time(0).plus(2 * SECOND + LONGEST);
        for _ in 0..=FREE_NAME {
            fail(&throttle, later, "ada", "a").unwrap();
        }
        assert_eq!(fail(&throttle, later, "ada", "a"), Err(Some(2)));
    }

    #[test]
    fn an_address_that_never_rests_is_forgiven_a_failure_a_minute() {
        let throttle = Throttle::default();
        let mut now = Time(0);
        // Somebody behind it mistypes every two minutes, for a week.
        for at in 0..7 * 24 * 30 {
            now = now.plus(2 * FORGIVEN);
            assert_eq!(fail(&throttle, now, &format!("name{at}"), "office"), Ok(()));
        }
        // Somebody there tries one name after the other.
        let refused = (0..200).filter(|at| fail(&throttle, now, &format!("guess{at}"), "office").is_err()).count();
        assert_eq!(refused, 200 - FREE_ADDRESS as usize);
        assert!(fail(&throttle, now, "guess", "elsewhere").is_ok());
    }

    #[test]
    fn attempts_at_the_same_time_get_no_more_guesses() {
        let throttle = Throttle::default();
        let begun: Vec<Attempt> = (0..50).filter_map(|_| throttle.attempt(Time(0), "ada", "a").ok()).collect();
        assert_eq!(begun.len(), FREE_NAME as usize);
        begun.into_iter().for_each(Attempt::failed);
        let more: Vec<Attempt> = (0..50).filter_map(|_| throttle.attempt(Time(0), "ada", "a").ok()).collect();
        assert_eq!(more.len(), 1, "then it is one after the other");
    }

    #[test]
    fn a_success_clears_the_name_and_what_was_no_attempt_counts_for_nothing() {
        let throttle = Throttle::default();
        for _ in 0..3 {
            for _ in 0..FREE_NAME {
                fail(&throttle, Time(0), "ada", "a").unwrap();
            }
            throttle.attempt(Time(0), "ada", "a").unwrap().succeeded();
        }
        for _ in 0..1000 {
            drop(throttle.attempt(Time(0), "ben", "b").unwrap());
        }
        let kept = throttle.0.lock().unwrap();
        assert_eq!(kept.len(), 1, "the address that failed");
        assert_eq!(kept.values().next().unwrap().failures, 3 * FREE_NAME);
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_go_first() {
        let throttle = Throttle::default();
        for at in 0..3 * KEPT as i64 {
            fail(&throttle, Time(at), &format!("name{at}"), &format!("address{at}")).unwrap();
        }
        let counts = throttle.0.lock().unwrap();
        assert!(counts.len() <= KEPT + 2, "{}", counts.len());
        assert!(counts.contains_key(&Key::Name(format!("name{}", 3 * KEPT - 1))));
        assert!(!counts.contains_key(&Key::Name("name0".to_owned())));
    }
}
