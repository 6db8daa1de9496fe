//! One metered call from its reservation to its record.
//!
//! Invariant: a call that was sent is counted exactly once, whichever way it ends, also when it is dropped in the middle;
//! one that no server took is not counted at all.

use std::sync::Arc;

use super::believe::{Bound, Flaw, Verdict};
use super::catalogue::Provider;
use super::watch::Reported;
use crate::access::{Caller, OrgId};
use crate::audit::{AuditAction, Event};
use crate::quotas::{Reservation, Usage};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    /// The client went away before the end.
    Left,
    /// The code of the error.
    Failed(&'static str),
}

/// Whom and what a call is for.
pub(super) struct Purpose {
    pub caller: Arc<Caller>,
    pub org: OrgId,
    pub project: Option<i64>,
    /// As users see it.
    pub model: String,
    /// `gateway` or `run`.
    pub source: &'static str,
}

/// A call under way. Dropped, it counts the prompt.
pub(super) struct Tally {
    open: Option<(Reservation, Purpose)>,
    pub provider: Arc<Provider>,
    pub bound: Bound,
}

impl Tally {
    pub fn new(reservation: Reservation, purpose: Purpose, provider: Arc<Provider>, bound: Bound) -> Self {
        Self { open: Some((reservation, purpose)), provider, bound }
    }

    /// No server took it: nothing was used.
    pub fn refund(&mut self) {
        self.open = None;
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Takes the reservation out for a caller who settles it, with the verdict over the report.
    pub fn hand_over(&mut self, reported: Option<Reported>, bytes: u64, frames: u64) -> Option<(Reservation, Verdict)> {
        let (reservation, purpose) = self.open.take()?;
        let verdict = self.judge(&purpose, reported, bytes, frames);
        Some((reservation, verdict))
    }

    /// Settles by the report, or by our own count of `bytes` in `frames` when there is none to believe.
    pub fn close(&mut self, reported: Option<Reported>, bytes: u64, frames: u64, end: End) -> Option<Flaw> {
        let (reservation, purpose) = self.open.take()?;
        let verdict = if end == End::Complete {
            self.judge(&purpose, reported, bytes, frames)
        } else {
            let (prompt, completion) = self.bound.own(bytes, frames);
            Verdict { prompt, completion, flaw: None }
        };
        let Verdict { prompt, completion, flaw } = verdict;
        let Purpose { caller, org, project, model, source } = purpose;
        let words = format!("Used {model}: {prompt} tokens of prompt and {completion} of answer");
        let event = match end {
            End::Complete => Event::new(AuditAction::Execute, "model", words),
            End::Left => Event::new(AuditAction::Execute, "model", format!("{words}, until the client left")),
            End::Failed(code) => {
                Event::new(AuditAction::Execute, "model", format!("{words}, until it failed ({code})")).failed()
            }
        };
        let event = event.id(&model).org(org);
        let usage = Usage { tokens: prompt + completion, user: caller.user, project, model, source };
        reservation.settle(usage, Some((event, caller)));
        flaw
    }

    fn judge(&self, purpose: &Purpose, reported: Option<Reported>, bytes: u64, frames: u64) -> Verdict {
        let verdict = self.bound.judge(reported, bytes, frames);
        if let Some(flaw) = verdict.flaw {
            let (provider, model) = (&self.provider.name, &purpose.model);
            let (counted, bound) = (verdict.prompt + verdict.completion, self.bound.total());
            tracing::warn!(
                provider,
                model,
                ?flaw,
                ?reported,
                counted,
                bound,
                "a model server's usage was not taken as reported"
            );
        }
        verdict
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.close(None, 0, 0, End::Left);
    }
}
