//! The clock by which computing time is counted.
//!
//! Invariant: the thread sleeps without a timer while no call is under way, so that an idle server stays idle.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use wasmtime::Engine;

/// Computing time is counted in steps of this length.
pub(crate) const TICK: Duration = Duration::from_millis(2);

pub(crate) struct Ticker {
    inner: Arc<Inner>,
}

struct Inner {
    calls: Mutex<Calls>,
    changed: Condvar,
}

struct Calls {
    under_way: usize,
    closed: bool,
}

/// One call under way; the clock runs while any of these live.
pub(crate) struct Running {
    inner: Arc<Inner>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine) -> io::Result<Self> {
        let inner =
            Arc::new(Inner { calls: Mutex::new(Calls { under_way: 0, closed: false }), changed: Condvar::new() });
        let seen = Arc::clone(&inner);
        thread::Builder::new().name("plugin-clock".into()).spawn(move || seen.run(&engine))?;
        Ok(Self { inner })
    }

    pub(crate) fn call(&self) -> Running {
        self.inner.lock().under_way += 1;
        self.inner.changed.notify_one();
        Running { inner: Arc::clone(&self.inner) }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.changed.notify_one();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inner.lock().under_way -= 1;
    }
}

impl Inner {
    fn run(&self, engine: &Engine) {
        // A busy machine wakes this thread late: steps that passed meanwhile count too, or guests would compute for longer.
        let mut due = Duration::ZERO;
        loop {
            let mut calls = self.lock();
            while calls.under_way == 0 && !calls.closed {
                calls = self.changed.wait(calls).unwrap_or_else(PoisonError::into_inner);
            }
            if calls.closed {
                return;
            }
            drop(calls);
            let slept = Instant::now();
            thread::sleep(TICK);
            due += slept.elapsed();
            while due >= TICK {
                due -= TICK;
                engine.increment_epoch();
            }
        }
    }

    /// Two numbers cannot be left half changed, so a panic elsewhere does not matter here.
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
