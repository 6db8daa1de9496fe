//! Slows down guessing: after a few failures a name or an address waits, longer each time.
//!
//! Invariant: bounded memory (oldest entries are forgotten first), and no wait beyond [`LONGEST`]. Lives in the process:
//! a restart forgives.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::clock::{SECOND, Time};
use crate::base::error::{Error, Kind, Result};

/// Failures that cost nothing.
const FREE: u32 = 5;
const LONGEST: i64 = 15 * 60 * SECOND;
const KEPT: usize = 10_000;

#[derive(Clone, Default)]
pub struct Throttle(Arc<Mutex<HashMap<String, Failures>>>);

#[derive(Clone, Copy)]
struct Failures {
    count: u32,
    until: Time,
}

impl Throttle {
    /// # Errors
    /// `login_throttled` with the seconds to wait when one of `keys` must wait.
    pub fn check(&self, now: Time, keys: &[String]) -> Result<()> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = keys.iter().filter_map(|key| failures.get(key)).map(|entry| entry.until).max();
        match until {
            Some(until) if until > now => {
                let seconds = ((until.0 - now.0) / SECOND + 1).unsigned_abs();
                let message =
                    format!("Too many sign-ins failed for this name or address. Try again in {seconds} seconds.");
                Err(Error::new(Kind::Limited, "login_throttled", message).retry_after(seconds))
            }
            _ => Ok(()),
        }
    }

    pub fn failed(&self, now: Time, keys: &[String]) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= KEPT {
            failures.retain(|_, entry| entry.until > now);
            if failures.len() >= KEPT {
                failures.clear();
            }
        }
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert(Failures { count: 0, until: now });
            entry.count = entry.count.saturating_add(1);
            if entry.count > FREE {
                let wait = SECOND.saturating_mul(1 << (entry.count - FREE).min(20)).min(LONGEST);
                entry.until = now.plus(wait);
            }
        }
    }

    /// A success clears the name, not the address: an attacker with one account must not reset the others' count.
    pub fn succeeded(&self, name_key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name_key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let throttle = Throttle::default();
        let keys = ["name:ada".to_owned()];
        let now = Time(0);
        for _ in 0..FREE {
            throttle.failed(now, &keys);
        }
        assert!(throttle.check(now, &keys).is_ok());
        throttle.failed(now, &keys);
        assert_eq!(throttle.check(now, &keys).map_err(|error| error.retry_after_seconds()), Err(Some(3)));
        assert!(throttle.check(now.plus(3 * SECOND), &keys).is_ok());
        for _ in 0..100 {
            throttle.failed(now, &keys);
        }
        assert!(throttle.check(now.plus(LONGEST), &keys).is_ok());
        throttle.succeeded("name:ada");
        assert!(throttle.check(now, &keys).is_ok());
    }
}
