//! So many a minute: the generic cell rate algorithm (ITU-T I.371), with a bucket of one minute.
//!
//! Invariant: within any minute no more than the bucket and what flows into it pass. What was set aside and not used goes
//! back, which is why this is not a library's. Each server counts for itself.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

const MINUTE: u64 = 60_000_000_000;

/// The bucket of one quota.
pub(super) struct Gate {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    per_minute: u64,
    /// When the bucket will be full again, in nanoseconds since `began`.
    full_at: u64,
}

/// How a bucket stands, for `X-RateLimit-*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A minute.
    pub limit: u64,
    pub remaining: u64,
    /// Seconds until the bucket is full again.
    pub reset: u64,
}

/// What the gate says to a call that it does not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shut {
    /// It would pass after so many seconds.
    For(u64, Rate),
    /// It is more than a whole minute's.
    Never(Rate),
}

impl Gate {
    pub fn new(per_minute: u64) -> Self {
        Self { began: Instant::now(), state: Mutex::new(State { per_minute: per_minute.max(1), full_at: 0 }) }
    }

    /// Another rate from now on; what was let through stays counted.
    pub fn set(&self, per_minute: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).per_minute = per_minute.max(1);
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Lets `amount` through, or says when.
    pub fn pass(&self, amount: u64) -> Result<Rate, Shut> {
        let now = self.now();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pass(amount, now)
    }

    /// Takes back what [`Gate::pass`] let through and was not used.
    pub fn give_back(&self, amount: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.full_at = state.full_at.saturating_sub(state.cost(amount));
    }
}

impl State {
    /// The time in which `amount` flows in.
    fn cost(&self, amount: u64) -> u64 {
        let cost = u128::from(amount) * u128::from(MINUTE) / u128::from(self.per_minute);
        u64::try_from(cost).unwrap_or(u64::MAX / 2)
    }

    fn rate(&self, now: u64) -> Rate {
        let missing = self.full_at.saturating_sub(now);
        let room = u128::from(MINUTE.saturating_sub(missing)) * u128::from(self.per_minute) / u128::from(MINUTE);
        let remaining = u64::try_from(room).unwrap_or(u64::MAX);
        Rate { limit: self.per_minute, remaining, reset: missing.div_ceil(1_000_000_000) }
    }

    fn pass(&mut self, amount: u64, now: u64) -> Result<Rate, Shut> {
        if amount > self.per_minute {
            return Err(Shut::Never(self.rate(now)));
        }
        let full_at = self.full_at.max(now).saturating_add(self.cost(amount));
        if full_at - now > MINUTE {
            let wait = (full_at - now - MINUTE).div_ceil(1_000_000_000).max(1);
            return Err(Shut::For(wait, self.rate(now)));
        }
        self.full_at = full_at;
        Ok(self.rate(now))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_bucket_passes_exactly_its_content_and_says_when_to_come_again() {
        let mut state = State { per_minute: 3, full_at: 0 };
        let left: Vec<u64> = (0..3).map(|_| state.pass(1, 0).unwrap().remaining).collect();
        assert_eq!(left, [2, 1, 0]);
        assert_eq!(state.pass(1, 0), Err(Shut::For(20, Rate { limit: 3, remaining: 0, reset: 60 })));
        assert!(state.pass(1, 20_000_000_000).is_ok());
        assert!(state.pass(1, 20_000_000_000).is_err());
        assert!(matches!(state.pass(4, u64::MAX / 2), Err(Shut::Never(_))));
    }

    proptest! {
        #[test]
        fn no_minute_passes_more_than_two_buckets(
            per_minute in 1_u64..500,
            calls in proptest::collection::vec((1_u64..60, 0_u64..5_000_000_000), 1..200),
        ) {
            let mut state = State { per_minute, full_at: 0 };
            let (mut now, mut passed) = (0, Vec::new());
            for (amount, pause) in calls {
                now += pause;
                if state.pass(amount, now).is_ok() {
                    passed.push((now, amount));
                }
                let recent: u64 = passed.iter().filter(|(at, _)| now - at < MINUTE).map(|(_, amount)| amount).sum();
                prop_assert!(recent <= 2 * per_minute, "{recent} of {per_minute}");
            }
        }
    }
}
