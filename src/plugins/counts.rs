//! What one plugin costs: calls and failures since they were last written down, how long late calls took, which instances
//! live.
//!
//! Invariant: what is taken is taken once; a count that could not be written is put back. An instance is counted as long as
//! its [`Footprint`] is there.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

/// Late calls whose times are kept.
const KEPT: usize = 256;

/// What a plugin costs in this process now, over all organisations.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct Cost {
    /// Of the last 256 calls at most, in milliseconds; null before the first.
    pub mean_ms: Option<f64>,
    /// 95 of 100 of them took no longer.
    pub p95_ms: Option<f64>,
    /// Instances that live.
    pub instances: u64,
    /// Of those together; what they share is counted for each.
    pub memory_bytes: u64,
}

/// What happened since the last writing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    pub calls: i64,
    pub failures: i64,
    /// The last failure's words.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
pub struct Counts {
    counted: Mutex<Counted>,
    times: Mutex<VecDeque<Duration>>,
    instances: AtomicU64,
    memory: AtomicU64,
}

/// One living instance.
pub struct Footprint {
    counts: Arc<Counts>,
    bytes: u64,
}

impl Footprint {
    pub fn new(counts: &Arc<Counts>, bytes: u64) -> Self {
        counts.instances.fetch_add(1, Ordering::Relaxed);
        counts.memory.fetch_add(bytes, Ordering::Relaxed);
        Self { counts: counts.clone(), bytes }
    }

    /// Memory never shrinks.
    pub fn grew_to(&mut self, bytes: u64) {
        self.counts.memory.fetch_add(bytes.saturating_sub(self.bytes), Ordering::Relaxed);
        self.bytes = self.bytes.max(bytes);
    }
}

impl Drop for Footprint {
    fn drop(&mut self) {
        self.counts.instances.fetch_sub(1, Ordering::Relaxed);
        self.counts.memory.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Counts {
    pub fn called(&self, took: Duration) {
        self.with(|counted| counted.calls += 1);
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() == KEPT {
            times.pop_front();
        }
        times.push_back(took);
    }

    pub fn cost(&self) -> Cost {
        let mut times: Vec<f64> = {
            let times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.iter().map(|took| took.as_secs_f64() * 1000.0).collect()
        };
        times.sort_by(f64::total_cmp);
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        Cost {
            mean_ms: (count > 0).then(|| times.iter().sum::<f64>() / f64::from(count)),
            p95_ms: times.get((times.len() * 95).div_ceil(100).saturating_sub(1)).copied(),
            instances: self.instances.load(Ordering::Relaxed),
            memory_bytes: self.memory.load(Ordering::Relaxed),
        }
    }

    pub fn failed(&self, sentence: &str) {
        self.with(|counted| {
            counted.failures += 1;
            counted.error = Some(sentence.to_owned());
        });
    }

    /// What is not yet written.
    pub fn pending(&self) -> Counted {
        self.with(|counted| counted.clone())
    }

    pub fn take(&self) -> Counted {
        self.with(std::mem::take)
    }

    pub fn put_back(&self, taken: Counted) {
        self.with(|counted| {
            counted.calls += taken.calls;
            counted.failures += taken.failures;
            counted.error = counted.error.take().or(taken.error);
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut Counted) -> T) -> T {
        f(&mut self.counted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn late_calls_and_living_instances_are_what_counts() {
        let counts = Arc::<Counts>::default();
        assert_eq!(counts.cost(), Cost::default());
        (1..=KEPT as u64 + 100).for_each(|ms| counts.called(Duration::from_millis(ms)));
        let mut one = Footprint::new(&counts, 10);
        one.grew_to(25);
        let other = Footprint::new(&counts, 5);
        let cost = counts.cost();
        assert_eq!((cost.mean_ms, cost.p95_ms, cost.instances, cost.memory_bytes), (Some(228.5), Some(344.0), 2, 30));
        drop((one, other));
        assert_eq!((counts.cost().instances, counts.cost().memory_bytes), (0, 0));
    }
}
