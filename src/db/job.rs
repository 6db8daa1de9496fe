//! A closure on its way to a database thread and its answer on the way back.
//!
//! Invariant: the caller hears of success only through `answer(Ok)`, which the engines call after the COMMIT. A panic in
//! a closure becomes that job's error and touches nobody else.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::sync::oneshot;

use super::WAIT_LIMIT;
use super::error::busy;
use super::tx::{Conn, Hook, Tx};
use crate::base::error::{Error, Result};

/// What the engine does with a transaction (or its savepoint) after the closure.
pub(super) enum Outcome {
    /// Commit, then run these.
    Keep(Vec<Hook>),
    /// Roll back; the job holds its error.
    Undo,
    /// Roll back and run again: a race was lost.
    Again,
}

/// A job without its types.
pub(super) trait Job: Send {
    /// Nobody waits for it any more, or it waited longer than the limit: it must not run.
    fn expired(&self) -> bool;
    /// May run a second time.
    fn repeatable(&self) -> bool;
    /// Runs the closure; the result is kept inside.
    fn run(&mut self, conn: Conn<'_>) -> Outcome;
    /// Sends the kept result, or the error that overrules it.
    fn answer(self: Box<Self>, verdict: Result<()>);
}

/// What travels through a queue.
pub(super) enum Message {
    Run(Box<dyn Job>),
    /// Ends the one thread that takes it; what was queued before it has been taken already.
    Close,
}

pub(super) struct Task<T, F> {
    work: F,
    repeatable: bool,
    queued: Instant,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    pub(super) fn boxed(work: F, repeatable: bool) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>) {
        let (reply, answer) = oneshot::channel();
        (Box::new(Self { work, repeatable, queued: Instant::now(), result: None, reply }), answer)
    }

    fn undone(&mut self, error: Error) -> Outcome {
        self.result = Some(Err(error));
        Outcome::Undo
    }
}

impl<T, F> Job for Task<T, F>
where
    T: Send + 'static,
    F: FnMut(&mut Tx<'_>) -> Result<T> + Send + 'static,
{
    fn expired(&self) -> bool {
        self.reply.is_closed() || self.queued.elapsed() > WAIT_LIMIT
    }

    fn repeatable(&self) -> bool {
        self.repeatable
    }

    fn run(&mut self, conn: Conn<'_>) -> Outcome {
        let mut tx = Tx::new(conn);
        let result = catch_unwind(AssertUnwindSafe(|| (self.work)(&mut tx)));
        let ended = tx.end();
        let result = match result {
            Ok(result) => result,
            Err(panic) => return self.undone(Error::internal(format!("a database job panicked: {}", text(&*panic)))),
        };
        if ended.lost_race {
            self.result = Some(Err(busy()));
            return Outcome::Again;
        }
        match (result, ended.broken) {
            (Ok(_), Some(swallowed)) => {
                let rule = "a transaction tried to commit after a failed statement; put what may fail into a savepoint";
                self.undone(Error::internal(format!("{rule} (the failure was: {swallowed})")))
            }
            (Ok(value), None) => {
                self.result = Some(Ok(value));
                Outcome::Keep(ended.hooks)
            }
            (Err(error), _) => self.undone(error),
        }
    }

    fn answer(self: Box<Self>, verdict: Result<()>) {
        let result = match (verdict, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(busy()),
            (Err(error), _) => Err(error),
        };
        // The caller may have gone away; the work is done all the same.
        drop(self.reply.send(result));
    }
}

/// Runs the hooks of a committed transaction; one that panics is logged and does not stop the others.
pub(super) fn run_hooks(hooks: Vec<Hook>) {
    for hook in hooks {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(hook)) {
            tracing::error!(panic = text(&*panic), "a step after a database commit panicked");
        }
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let words = panic.downcast_ref::<&str>().copied();
    words.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}
