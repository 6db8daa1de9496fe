//! Turns of calls that compute for long: a few at a time, on threads that nothing else needs, giving way again and again,
//! first come first served.
//!
//! Invariant: a seat is held only while the guest computes. A call that waits, for the host, for time or for its turn,
//! holds none, and short calls never ask for one. Nobody waits for a thread on which a guest computes for longer than a tick.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where one instance keeps the seat it holds.
#[derive(Clone)]
pub(crate) struct Seat {
    seats: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
    /// Whether the call under way has computed for longer than a tick.
    long: Arc<AtomicBool>,
}

impl Seat {
    pub(crate) fn new(seats: &Arc<Semaphore>) -> Self {
        Self { seats: Arc::clone(seats), held: Arc::default(), long: Arc::default() }
    }

    /// Gives way to whoever else is ready, then waits for a seat.
    pub(crate) fn take(&self) -> impl Future<Output = ()> + Send + use<> {
        let Self { seats, held, long } = self.clone();
        async move {
            long.store(true, Ordering::Relaxed);
            tokio::task::yield_now().await;
            // The semaphore is never closed.
            if let Ok(permit) = seats.acquire_owned().await {
                *held.lock().unwrap_or_else(PoisonError::into_inner) = Some(permit);
            }
        }
    }

    fn leave(&self) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Runs a call of the instance, leaving the seat whenever it does not compute.
    pub(crate) fn keep<F: Future>(&self, call: F) -> Seated<'_, F> {
        self.long.store(false, Ordering::Relaxed);
        Seated { seat: self, call: Box::pin(call) }
    }

    /// Whether what is computed now keeps others from a thread, and there are more to be had.
    fn keeps_others(&self) -> bool {
        let several = |runtime: Handle| runtime.runtime_flavor() == RuntimeFlavor::MultiThread;
        self.long.load(Ordering::Relaxed) && Handle::try_current().is_ok_and(several)
    }
}

/// A call under way.
pub(crate) struct Seated<'a, F> {
    seat: &'a Seat,
    call: Pin<Box<F>>,
}

impl<F: Future> Future for Seated<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { seat, call } = &mut *self;
        let outcome = if seat.keeps_others() {
            tokio::task::block_in_place(|| call.as_mut().poll(context))
        } else {
            call.as_mut().poll(context)
        };
        seat.leave();
        outcome
    }
}
