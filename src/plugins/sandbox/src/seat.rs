//! Turns of calls that compute for long: they share a few threads and give way every tick, first come first served.
//!
//! Invariant: a seat is held only while the guest computes. A call that waits, for the host, for time or for its turn,
//! holds none, and short calls never ask for one.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Where one instance keeps the seat it holds.
#[derive(Clone)]
pub(crate) struct Seat {
    seats: Arc<Semaphore>,
    held: Arc<Mutex<Option<OwnedSemaphorePermit>>>,
}

impl Seat {
    pub(crate) fn new(seats: &Arc<Semaphore>) -> Self {
        Self { seats: Arc::clone(seats), held: Arc::default() }
    }

    /// Gives way to whoever else is ready, then waits for a seat.
    pub(crate) fn take(&self) -> impl Future<Output = ()> + Send + use<> {
        let Self { seats, held } = self.clone();
        async move {
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
        Seated { seat: self, call: Box::pin(call) }
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
        let outcome = self.call.as_mut().poll(context);
        self.seat.leave();
        outcome
    }
}
