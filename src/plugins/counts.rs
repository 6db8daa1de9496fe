//! What one plugin costs: calls and failures since they were last written down, how long late calls took, how each hook
//! goes, which instances live.
//!
//! Invariant: what is taken is taken once; a count that could not be written is put back. An instance is counted as long as
//! its [`Footprint`] is there.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::figures::Figures;

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
    /// By the hooks' names, of those that were fired since the server started.
    pub hooks: Vec<HookCost>,
}

/// How calls for one hook go since the server started.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HookCost {
    pub name: String,
    /// Calls, those that failed too.
    pub calls: u64,
    /// Calls that gave no answer, or one that was refused. The value passed on as it was.
    pub failures: u64,
    /// Not called, because those before it had used up the time of the hook.
    pub skipped: u64,
    /// Of all calls, in milliseconds, with the waiting for calls before them; null before the first.
    pub mean_ms: Option<f64>,
}

/// What became of one callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Well(Duration),
    Failed(Duration),
    Skipped,
}

impl Outcome {
    /// As metrics call it.
    pub fn code(self) -> &'static str {
        match self {
            Self::Well(_) => "ok",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
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
    hooks: Mutex<BTreeMap<&'static str, Fired>>,
    instances: AtomicU64,
    memory: AtomicU64,
    /// Over time.
    pub figures: Figures,
}

#[derive(Debug, Default)]
struct Fired {
    calls: u32,
    failures: u64,
    skipped: u64,
    took: Duration,
}

impl Fired {
    fn count(&mut self, outcome: Outcome) {
        let took = match outcome {
            Outcome::Skipped => {
                self.skipped += 1;
                return;
            }
            Outcome::Failed(took) => {
                self.failures += 1;
                took
            }
            Outcome::Well(took) => took,
        };
        self.calls = self.calls.saturating_add(1);
        self.took = self.took.saturating_add(took);
    }

    fn view(&self, name: &str) -> HookCost {
        let mean_ms = (self.calls > 0).then(|| self.took.as_secs_f64() * 1000.0 / f64::from(self.calls));
        let (calls, failures, skipped) = (self.calls.into(), self.failures, self.skipped);
        HookCost { name: name.to_owned(), calls, failures, skipped, mean_ms }
    }
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

    /// Counts what became of a callback of the hook with this name.
    pub fn fired(&self, hook: &'static str, outcome: Outcome) {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner).entry(hook).or_default().count(outcome);
    }

    fn by_hook(&self) -> Vec<HookCost> {
        let hooks = self.hooks.lock().unwrap_or_else(PoisonError::into_inner);
        hooks.iter().map(|(name, fired)| fired.view(name)).collect()
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
            hooks: self.by_hook(),
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
    #[test]
    fn a_hook_tells_what_failed_and_what_was_skipped() {
        let counts = Counts::default();
        counts.fired("code.lint", Outcome::Well(Duration::from_millis(10)));
        counts.fired("code.lint", Outcome::Failed(Duration::from_millis(30)));
        counts.fired("code.lint", Outcome::Skipped);
        counts.fired("code.format", Outcome::Skipped);
        let told: Vec<_> = counts.cost().hooks;
        let [format, lint] = told.as_slice() else { panic!("two hooks: {told:?}") };
        assert_eq!((lint.calls, lint.failures, lint.skipped, lint.mean_ms), (2, 1, 1, Some(20.0)));
        assert_eq!((format.name.as_str(), format.calls, format.skipped, format.mean_ms), ("code.format", 0, 1, None));
    }
}
