//! A streamed answer on its way from a model server to a client.
//!
//! Invariant: frames leave as they came and as soon as they are complete; a stream that breaks, stalls or lasts too long
//! ends with an error frame in OpenAI's shape, and so does one whose reader counts no more; dropping it ends the call at the
//! server and settles what was used.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep};

use super::source::AnswerBody;
use super::sse::Splitter;
use super::tally::{End, Tally};
use super::upstream::{TOTAL_LIMIT, broke_off, endless, silent};
use super::{believe::Flaw, truncated};
use crate::base::error::Error;

/// How long the end of the connection may take after `[DONE]`, so that it can be used again.
const LINGER: Duration = Duration::from_secs(1);

/// Waits until whoever asked counts no more; why.
pub(super) type Ended = Pin<Box<dyn Future<Output = Error> + Send>>;

/// The body of a streamed answer.
pub(super) struct Relay {
    /// None once the stream has ended.
    upstream: Option<AnswerBody>,
    splitter: Splitter,
    tally: Tally,
    alarm: Pin<Box<Sleep>>,
    started: Instant,
    last: Instant,
    ended: Ended,
}

impl Relay {
    /// `hide_usage`: the client did not ask for the chunk with the usage.
    pub fn new(upstream: AnswerBody, mut tally: Tally, hide_usage: bool, ended: Ended) -> Self {
        let now = Instant::now();
        tally.watch.hide_usage = hide_usage;
        Self {
            upstream: Some(upstream),
            splitter: Splitter::default(),
            alarm: Box::pin(tokio::time::sleep_until(now + tally.provider.patience)),
            tally,
            started: now,
            last: now,
            ended,
        }
    }

    fn close(&mut self, end: End) -> Option<Flaw> {
        self.upstream = None;
        self.tally.close(end)
    }

    /// Ends the stream; what the client still has to be told.
    fn finish(&mut self) -> Option<Bytes> {
        if !self.tally.watch.is_complete() {
            let rest = self.splitter.rest();
            self.tally.watch.see(&rest);
        }
        if !self.tally.watch.is_complete() {
            let error = broke_off(&self.tally.provider);
            return Some(self.fail(&error));
        }
        let end = if self.tally.watch.failed { End::Failed("upstream_error") } else { End::Complete };
        let rest = self.splitter.rest();
        if self.close(end) == Some(Flaw::Truncated) {
            return Some(error_frame(&truncated(&self.tally.provider)));
        }
        Some(rest).filter(|rest| !rest.is_empty())
    }

    fn fail(&mut self, error: &Error) -> Bytes {
        tracing::warn!(code = error.code(), cause = ?error.cause(), "{error}");
        self.close(End::Failed(error.code()));
        error_frame(error)
    }

    /// Looks at the clock when nothing comes.
    fn poll_alarm(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            let patience = self.tally.provider.patience;
            let idle = if self.tally.watch.done { LINGER } else { patience };
            let due = (self.last + idle).min(self.started + TOTAL_LIMIT);
            // The alarm moves only when it rings, or comes closer; not with every frame.
            if self.alarm.deadline() > due {
                self.alarm.as_mut().reset(due);
            }
            ready!(self.alarm.as_mut().poll(cx));
            if Instant::now() < due {
                self.alarm.as_mut().reset(due);
                continue;
            }
            if self.tally.watch.done {
                return Poll::Ready(self.finish());
            }
            let late = self.started.elapsed() >= TOTAL_LIMIT;
            let provider = &self.tally.provider;
            let error = if late { endless(provider, TOTAL_LIMIT) } else { silent(provider, patience) };
            return Poll::Ready(Some(self.fail(&error)));
        }
    }
}

/// The last frame of a stream that failed.
fn error_frame(error: &Error) -> Bytes {
    let body = serde_json::json!({"error": {"message": error.message(), "type": "server_error", "code": error.code()}});
    format!("data: {body}\n\n").into()
}

impl Body for Relay {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let relay = self.get_mut();
        let out = loop {
            let Some(upstream) = relay.upstream.as_mut() else { return Poll::Ready(None) };
            let frame = match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(frame) => frame,
                // No server sends without a pause; between two frames is soon enough.
                Poll::Pending => match relay.ended.as_mut().poll(cx) {
                    Poll::Ready(why) => break Some(relay.fail(&why)),
                    Poll::Pending => break ready!(relay.poll_alarm(cx)),
                },
            };
            relay.last = Instant::now();
            match frame {
                None => break relay.finish(),
                Some(Err(_)) if relay.tally.watch.done => break relay.finish(),
                Some(Err(cause)) => {
                    let error = broke_off(&relay.tally.provider).caused_by(cause);
                    break Some(relay.fail(&error));
                }
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let Relay { splitter, tally: Tally { watch, .. }, .. } = relay;
                    match splitter.feed(data, |frame| watch.see(frame)) {
                        Ok(Some(frames)) => break Some(frames),
                        Ok(None) => {}
                        Err(_) => {
                            let sentence = "The model server sent a piece of more than a megabyte. Look at its log.";
                            break Some(relay.fail(&Error::upstream("upstream_too_large", sentence)));
                        }
                    }
                }
            }
        };
        Poll::Ready(out.map(|bytes| Ok(Frame::data(bytes))))
    }
}
