//! The line before the one inference thread.
//!
//! Invariant: first come, first served; at most `LIMIT` wait; who left the line takes no place in it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::UnboundedSender;

use crate::constraint::Constraint;
use crate::error::Error;
use crate::sampler::Settings;

/// Requests that may wait besides the one being answered.
pub const LIMIT: usize = 16;

/// One answer to compute: checked, tokenised, with its grammar compiled.
pub struct Job {
    /// The prompt; together with `max_tokens` it fits into the context.
    pub prompt: Vec<u32>,
    /// Most tokens of the answer, at least 1.
    pub max_tokens: usize,
    pub settings: Settings,
    pub stops: Vec<String>,
    pub constraint: Option<Constraint>,
    /// Unbounded, and bounded all the same: at most one event a token of the context. A slow reader never holds the model.
    pub events: UnboundedSender<Event>,
    pub cancel: Cancel,
}

/// What happens to a job.
#[derive(Debug)]
pub enum Event {
    /// More of the answer.
    Text(String),
    /// The last event of an answer.
    Done { finish: Finish, usage: Usage },
    /// The last event of a failure.
    Failed(Error),
}

/// Why an answer ended, with OpenAI's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Finish {
    /// The model ended it, a stop text was met, or the grammar was complete.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

impl Finish {
    /// The name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Tokens an answer took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Of the prompt, template included.
    pub prompt: usize,
    /// Of the prompt, those whose state was still there from the request before.
    pub cached: usize,
    /// Of the answer, the end token and tokens forced by a grammar included.
    pub completion: usize,
}

/// Tells a job that nobody waits for it any more.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// From now on the job is unwanted.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is unwanted.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The line, shared by the door and the inference thread.
#[derive(Default)]
pub struct Queue {
    waiting: Mutex<VecDeque<Job>>,
    arrived: Condvar,
}

impl Queue {
    /// Whether one more could wait: asked before the costly work of preparing a job.
    pub fn check(&self) -> Result<(), Error> {
        self.room(&mut self.lock())
    }

    /// Joins the line, or is refused.
    pub fn push(&self, job: Job) -> Result<(), Error> {
        let mut waiting = self.lock();
        self.room(&mut waiting)?;
        waiting.push_back(job);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for the next job that somebody still wants.
    pub fn pop(&self) -> Job {
        let mut waiting = self.lock();
        loop {
            match waiting.pop_front() {
                Some(job) if job.cancel.is_cancelled() => {}
                Some(job) => return job,
                None => waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn room(&self, waiting: &mut VecDeque<Job>) -> Result<(), Error> {
        waiting.retain(|job| !job.cancel.is_cancelled());
        match waiting.len() {
            count if count < LIMIT => Ok(()),
            waiting => Err(Error::Busy { waiting, retry_after: 10 }),
        }
    }

    /// The list is whole after any panic of a holder: every change is one call.
    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
