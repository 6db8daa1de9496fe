//! Slows down guessing: after a few failures a name or an address waits, longer each time.
//!
//! Invariant: an attempt takes its place in the line before the failures so far are read, and leaves it after its outcome is
//! written, so that as many at once get no more guesses than one after the other. No wait is beyond [`LONGEST`], and what
//! was counted is forgotten that long after the last wait ended. Failures are rows: a restart forgives nothing, and
//! replicas count together. Names that nobody has are counted like those somebody has.

pub mod store;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::{SECOND, Time};
use crate::base::crypto;
use crate::base::error::{Error, Kind, Result};

/// Failures of a name that cost nothing.
pub const FREE_NAME: u32 = 5;
/// The same of an address: many people may share one behind a router or a proxy.
pub const FREE_ADDRESS: u32 = 60;
/// An address is forgiven one failure in this time, for there somebody mistypes every day.
const FORGIVEN: i64 = 60 * SECOND;
/// The longest wait, in microseconds.
pub const LONGEST: i64 = 15 * 60 * SECOND;

/// What is counted, by the digest of what it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Name(String),
    Address(String),
}

impl Key {
    /// Of an account's name as it is compared.
    pub fn name(key: &str) -> Self {
        Self::Name(crypto::sha256_hex(format!("name {key}").as_bytes()))
    }

    /// Of a network address. One customer has a whole /64 of IPv6 (RFC 6177), so all of it is one.
    pub fn address(address: Option<&str>) -> Self {
        Self::Address(crypto::sha256_hex(format!("address {}", network(address)).as_bytes()))
    }

    /// Of accounts that are made from a network address; few are free.
    pub fn registration(address: Option<&str>) -> Self {
        Self::Name(crypto::sha256_hex(format!("registration {}", network(address)).as_bytes()))
    }

    /// Of codes asked for by mail, which are counted beside sign-ins: for an address to write to, and from a network.
    pub fn codes(email: &str, address: Option<&str>) -> [Self; 2] {
        let network = Self::address(address);
        let digest = |what: &str| crypto::sha256_hex(format!("code {what}").as_bytes());
        [Self::Name(digest(email)), Self::Address(digest(network.digest()))]
    }

    fn digest(&self) -> &str {
        match self {
            Self::Name(digest) | Self::Address(digest) => digest,
        }
    }

    fn free(&self) -> u32 {
        match self {
            Self::Name(_) => FREE_NAME,
            Self::Address(_) => FREE_ADDRESS,
        }
    }
}

fn network(address: Option<&str>) -> String {
    let address = address.unwrap_or("local");
    match address.parse() {
        Ok(IpAddr::V6(six)) => six.segments()[..4].iter().map(|part| format!("{part:x}:")).collect(),
        _ => address.to_owned(),
    }
}

/// The failures of a name or an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    failures: u32,
    /// No attempt before; the last failure's time when it cost nothing.
    until: Time,
    /// Up to when an address was forgiven.
    forgiven: Time,
}

impl Count {
    fn new(now: Time) -> Self {
        Self { failures: 0, until: now, forgiven: now }
    }

    /// What is left of the failures at `now`.
    fn decay(&mut self, key: &Key, now: Time) {
        // Also when the clock was set back: nobody waits for longer than the longest wait.
        self.until = self.until.min(now.plus(LONGEST));
        if now >= self.until.plus(LONGEST) {
            self.failures = 0;
        }
        let periods = now.0.saturating_sub(self.forgiven.0).max(0) / FORGIVEN;
        self.forgiven = self.forgiven.min(now).plus(periods * FORGIVEN);
        if matches!(key, Key::Address(_)) {
            self.failures = self.failures.saturating_sub(u32::try_from(periods).unwrap_or(u32::MAX));
        }
    }

    /// The time to try again for an attempt with `before` others in front of it, when it is not now. Past the free failures
    /// one at a time is let through.
    fn wait(&self, key: &Key, before: u32, now: Time) -> Option<Time> {
        if self.until > now && self.failures > key.free() {
            return Some(self.until);
        }
        let crowded = before > 0 && self.failures.saturating_add(before) >= key.free();
        crowded.then(|| now.plus(SECOND))
    }

    fn fail(&mut self, key: &Key, now: Time) {
        self.failures = self.failures.saturating_add(1);
        let over = self.failures.saturating_sub(key.free());
        let wait = if over == 0 { 0 } else { SECOND.saturating_mul(1 << over.min(20)).min(LONGEST) };
        self.until = self.until.max(now.plus(wait));
    }

    /// Until when attempts are refused; None when they are not.
    pub fn locked(&self, key: &Key, now: Time) -> Option<Time> {
        (self.until > now && self.failures > key.free()).then_some(self.until)
    }
}

/// The attempts under way in this process.
#[derive(Clone, Default)]
pub struct Throttle(Arc<Mutex<HashMap<Key, u32>>>);

impl Throttle {
    /// Takes a place in the line of `name` and of `address`; before the failures so far are read.
    pub fn attempt(&self, name: &str, address: Option<&str>) -> Attempt {
        let keys = [Key::name(name), Key::address(address)];
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = keys.each_ref().map(|key| {
            let pending = line.entry(key.clone()).or_default();
            *pending += 1;
            *pending - 1
        });
        drop(line);
        Attempt { throttle: self.clone(), keys, before }
    }
}

/// A sign-in under way. Let go without a word, as when the client hangs up or the database fails, it was none.
pub struct Attempt {
    throttle: Throttle,
    keys: [Key; 2],
    /// How many were in front of it when it began.
    before: [u32; 2],
}

impl Attempt {
    /// What the failures so far are read and written by.
    pub fn keys(&self) -> [Key; 2] {
        self.keys.clone()
    }

    /// Whether it may go on, after `counts` of its keys.
    ///
    /// # Errors
    /// `login_throttled` with the seconds to wait when the name or the address must.
    pub fn check(&self, counts: [Count; 2], now: Time) -> Result<()> {
        let waits = self.keys.iter().zip(self.before).zip(counts);
        match waits.filter_map(|((key, before), count)| count.wait(key, before, now)).max() {
            Some(until) => Err(throttled(now, until)),
            None => Ok(()),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let mut line = self.throttle.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in &self.keys {
            let Some(pending) = line.get_mut(key) else { continue };
            *pending = pending.saturating_sub(1);
            if *pending == 0 {
                line.remove(key);
            }
        }
    }
}

/// The answer to one sign-in too many.
pub fn throttled(now: Time, until: Time) -> Error {
    let seconds = seconds(now, until);
    let message = format!("Too many sign-ins failed for this name or address. Try again in {seconds} seconds.");
    Error::new(Kind::Limited, "login_throttled", message).retry_after(seconds)
}

fn too_many_codes(now: Time, until: Time) -> Error {
    let seconds = seconds(now, until);
    let message = format!("Too many codes were asked for this address, or from here. Try again in {seconds} seconds.");
    Error::new(Kind::Limited, "codes_throttled", message).retry_after(seconds)
}

/// The answer to one registration too many from an address.
pub fn too_fast(now: Time, until: Time) -> Error {
    let seconds = seconds(now, until);
    let message = format!("Too many accounts were made from this address. Try again in {seconds} seconds.");
    Error::new(Kind::Limited, "registration_throttled", message).retry_after(seconds)
}

fn seconds(now: Time, until: Time) -> u64 {
    ((until.0 - now.0 + SECOND - 1) / SECOND).max(1).unsigned_abs()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The rows of the store, in memory.
    #[derive(Default)]
    struct Site {
        throttle: Throttle,
        counts: HashMap<Key, Count>,
    }

    impl Site {
        fn count(&self, key: &Key, now: Time) -> Count {
            let mut count = self.counts.get(key).copied().unwrap_or_else(|| Count::new(now));
            count.decay(key, now);
            count
        }

        fn begin(&self, now: Time, name: &str, address: &str) -> Result<Attempt> {
            let attempt = self.throttle.attempt(name, Some(address));
            let counts = attempt.keys().each_ref().map(|key| self.count(key, now));
            attempt.check(counts, now).map(|()| attempt)
        }

        fn failed(&mut self, attempt: Attempt, now: Time) {
            for key in attempt.keys() {
                let mut count = self.count(&key, now);
                count.fail(&key, now);
                self.counts.insert(key, count);
            }
            drop(attempt);
        }

        /// One failed sign-in; the seconds to wait where it was refused.
        fn fail(&mut self, now: Time, name: &str, address: &str) -> Result<(), Option<u64>> {
            let attempt = self.begin(now, name, address).map_err(|error| error.retry_after_seconds())?;
            self.failed(attempt, now);
            Ok(())
        }
    }

    #[test]
    fn waits_grow_and_end() {
        let mut site = Site::default();
        let mut now = Time(0);
        for _ in 0..=FREE_NAME {
            site.fail(now, "ada", "a").unwrap();
        }
        assert_eq!(site.fail(now, "ada", "b"), Err(Some(2)), "the name waits wherever it comes from");
        now = now.plus(2 * SECOND);
        site.fail(now, "ada", "a").unwrap();
        assert_eq!(site.fail(now, "ada", "a"), Err(Some(4)));
        for _ in 0..30 {
            now = now.plus(LONGEST);
            // Nothing is forgotten yet: the last wait has only just ended.
            site.fail(now.plus(-SECOND), "ada", "a").unwrap();
        }
        assert!(site.fail(now, "ada", "a").is_err_and(|wait| wait.unwrap() > 600));
    }

    #[test]
    fn who_waited_long_enough_starts_anew() {
        let mut site = Site::default();
        for _ in 0..=FREE_NAME {
            site.fail(Time(0), "ada", "a").unwrap();
        }
        let later = Time(0).plus(2 * SECOND + LONGEST);
        for _ in 0..=FREE_NAME {
            site.fail(later, "ada", "a").unwrap();
        }
        assert_eq!(site.fail(later, "ada", "a"), Err(Some(2)));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting_for_longer() {
        let mut site = Site::default();
        let year = Time(0).plus(365 * 86_400 * SECOND);
        for _ in 0..=FREE_NAME {
            site.fail(year, "ada", "a").unwrap();
        }
        let wait = site.fail(Time(0), "ada", "a").unwrap_err().unwrap();
        assert!(wait <= 15 * 60, "{wait}");
    }

    #[test]
    fn an_address_that_never_rests_is_forgiven_a_failure_a_minute() {
        let mut site = Site::default();
        let mut now = Time(0);
        // Somebody behind it mistypes every two minutes, for a week.
        for at in 0..7 * 24 * 30 {
            now = now.plus(2 * FORGIVEN);
            assert_eq!(site.fail(now, &format!("name{at}"), "office"), Ok(()));
        }
        // Somebody there tries one name after the other.
        let refused = (0..200).filter(|at| site.fail(now, &format!("guess{at}"), "office").is_err()).count();
        assert_eq!(refused, 200 - FREE_ADDRESS as usize);
        assert!(site.fail(now, "guess", "elsewhere").is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one() {
        let of = |address| Key::address(Some(address));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(Key::name("192.0.2.1").digest(), of("192.0.2.1").digest());
    }

    #[test]
    fn attempts_at_the_same_time_get_no_more_guesses() {
        let mut site = Site::default();
        let begun: Vec<Attempt> = (0..50).filter_map(|_| site.begin(Time(0), "ada", "a").ok()).collect();
        assert_eq!(begun.len(), FREE_NAME as usize);
        for attempt in begun {
            site.failed(attempt, Time(0));
        }
        let more: Vec<Attempt> = (0..50).filter_map(|_| site.begin(Time(0), "ada", "a").ok()).collect();
        assert_eq!(more.len(), 1, "then it is one after the other");
    }

    #[test]
    fn what_was_no_attempt_counts_for_nothing_and_is_not_kept() {
        let site = Site::default();
        for _ in 0..1000 {
            drop(site.begin(Time(0), "ben", "b").unwrap());
        }
        assert!(site.throttle.0.lock().unwrap().is_empty());
    }
}
