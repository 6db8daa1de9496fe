//! One metered call from its reservation to its record.
//!
//! Invariant: a call that was sent is counted exactly once, whichever way it ends, also when it is dropped in the middle
//! or its answer is thrown away: what was seen of the answer is kept here, so it counts whoever lets go. A call that no
//! server took is not counted at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::believe::{Bound, Flaw, Verdict};
use super::catalogue::Provider;
use super::watch::Watch;
use crate::access::{Caller, OrgId};
use crate::audit::{AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::hooks::{Hook, Hooks};
use crate::quotas::{Owner, Reservation, Told, Usage};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Complete,
    /// The client went away before the end.
    Left,
    /// The answer came whole, and whoever asked threw it away.
    Unkept,
    /// The code of the error.
    Failed(&'static str),
}

/// Whom and what a call is for.
#[derive(Clone)]
pub(super) struct Purpose {
    pub caller: Arc<Caller>,
    pub org: OrgId,
    pub project: Option<i64>,
    /// As users see it.
    pub model: String,
    /// `gateway` or `run`.
    pub source: &'static str,
}

impl Purpose {
    /// Whose quotas the call is taken from.
    pub fn owner(&self) -> Owner {
        Owner::org(self.org).person(self.caller.user)
    }
}

/// A call under way. Dropped, it counts the prompt and what came of the answer.
pub(super) struct Tally {
    open: Option<(Reservation, Purpose)>,
    hooks: Hooks,
    pub provider: Arc<Provider>,
    pub bound: Bound,
    /// The answer as far as it came.
    pub watch: Watch,
}

impl Tally {
    pub fn new(
        reservation: Reservation,
        purpose: Purpose,
        provider: Arc<Provider>,
        bound: Bound,
        hooks: Hooks,
    ) -> Self {
        Self { open: Some((reservation, purpose)), hooks, provider, bound, watch: Watch::default() }
    }

    /// Tells plugins how the call ended.
    fn tell(&self, Verdict { prompt, completion, flaw }: Verdict, end: End) {
        let Some((_, purpose)) = &self.open else { return };
        let code = match end {
            End::Complete | End::Unkept if flaw == Some(Flaw::Truncated) => Some("context_truncated"),
            End::Complete | End::Unkept => None,
            End::Left => Some("client_left"),
            End::Failed(code) => Some(code),
        };
        let hook = if code.is_some() { Hook::LlmError } else { Hook::LlmRequestAfter };
        self.hooks.tell(hook, purpose.org, || {
            let mut payload = purpose.payload(&self.provider.name);
            payload["prompt_tokens"] = prompt.into();
            payload["completion_tokens"] = completion.into();
            if let Some(code) = code {
                payload["code"] = code.into();
            }
            payload
        });
    }

    /// Tells plugins of a call that no server took, and lets go of it.
    pub fn untaken(&mut self, code: &'static str) {
        self.tell(Verdict { prompt: 0, completion: 0, flaw: None }, End::Failed(code));
        self.refund();
    }

    /// Lets go of the reservation: no server took the call, or somebody else counted it.
    pub fn refund(&mut self) {
        self.open = None;
    }

    /// Leaves settling the whole answer to who keeps it, with the verdict over the report.
    pub fn hand_over(self) -> (Owed, Verdict) {
        let verdict = self.judge();
        self.tell(verdict, End::Complete);
        (Owed { tally: self, verdict, taken: AtomicBool::new(false) }, verdict)
    }

    /// Settles by the report, or by our own count of what came when there is none to believe.
    pub fn close(&mut self, end: End) -> Option<Flaw> {
        self.open.as_ref()?;
        let verdict = if end == End::Complete {
            self.judge()
        } else {
            let (prompt, completion) = self.bound.own(self.watch.bytes, self.watch.frames);
            Verdict { prompt, completion, flaw: None }
        };
        self.tell(verdict, end);
        self.settle(verdict, end);
        verdict.flaw
    }

    fn settle(&mut self, Verdict { prompt, completion, .. }: Verdict, end: End) {
        let Some((reservation, purpose)) = self.open.take() else { return };
        let Purpose { caller, org, project, model, source } = purpose;
        let words = format!("Used {model}: {prompt} tokens of prompt and {completion} of answer");
        let (words, failed) = match end {
            End::Complete => (words, false),
            End::Left => (format!("{words}, until the client left"), false),
            End::Unkept => (format!("{words}, which nobody kept"), false),
            End::Failed(code) => (format!("{words}, until it failed ({code})"), true),
        };
        let event = Event::new(AuditAction::Execute, "model", words).id(&model).org(org);
        let event = if failed { event.failed() } else { event };
        let usage = Usage { tokens: prompt + completion, user: caller.user, project, model, source, metadata: None };
        reservation.settle(usage, Some((event, caller)));
    }

    fn judge(&self) -> Verdict {
        let Watch { usage: reported, bytes, frames, .. } = self.watch;
        let verdict = self.bound.judge(reported, bytes, frames);
        if let Some(flaw) = verdict.flaw {
            let (provider, model) = (&self.provider.name, self.open.as_ref().map(|(_, purpose)| &purpose.model));
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
        // After the end there is nothing left to miss, whoever went first.
        self.close(match &self.watch {
            watch if watch.failed => End::Failed("upstream_failed"),
            watch if watch.is_complete() => End::Complete,
            _ => End::Left,
        });
    }
}

/// The tokens of a whole answer, for who keeps it to settle. Dropped unsettled, they count all the same: the words went
/// out as they came.
pub struct Owed {
    tally: Tally,
    verdict: Verdict,
    taken: AtomicBool,
}

impl Owed {
    /// Counts `usage` with the next group commit. Does not wait.
    pub fn settle(mut self, usage: Usage, told: Option<Told>) {
        if let Some((reservation, _)) = self.tally.open.take() {
            reservation.settle(usage, told);
        }
    }

    /// Counts `usage` in the caller's own transaction; by itself when that fails.
    ///
    /// # Errors
    /// When the database fails.
    pub fn settle_in(&self, tx: &mut Tx<'_>, usage: &Usage) -> Result<()> {
        let settled_before = || Error::internal("an answer was settled twice");
        let (reservation, _) = self.tally.open.as_ref().ok_or_else(settled_before)?;
        self.taken.store(true, Ordering::Relaxed);
        reservation.settle_in(tx, usage)
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if *self.taken.get_mut() {
            // The reservation knows whether its transaction was committed.
            self.tally.refund();
        } else {
            self.tally.settle(self.verdict, End::Unkept);
        }
    }
}
