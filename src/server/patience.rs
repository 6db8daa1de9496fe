//! What a connection may make the server wait for: somebody who reads, and a request.
//!
//! Invariant: a client that takes nothing of what it asked for is let go after a while, and with it whatever its answer
//! holds: memory, a turn, a file; so is one that asks for nothing. How long a slow client that does read may take is not
//! limited here, and how slowly a body may come is decided in `web::extract`.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Passes everything on to `stream`; fails writes that found no room for `limit`.
pub struct Patient<S> {
    stream: S,
    limit: Duration,
    /// Set while there is no room.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, waiting: None }
    }

    fn watch<T>(&mut self, context: &mut Context<'_>, polled: Poll<Result<T>>) -> Poll<Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let limit = self.limit;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the client stopped reading")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, polled)
    }
}

/// The requests of one connection, counted where they begin and where the last byte of their answer is handed over.
#[derive(Clone, Default)]
pub struct Requests(Arc<Counts>);

#[derive(Default)]
struct Counts {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A request from its beginning to the end of its answer.
pub struct UnderWay(Arc<Counts>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

impl Requests {
    pub fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.0.clone())
    }

    /// Completes when no request began within `first`, or none was under way for `later`.
    pub async fn are_over(&self, first: Duration, later: Duration) {
        sleep(first).await;
        if self.counts() != (0, 0) {
            self.are_absent(later).await;
        }
    }

    /// Completes when none was under way for `limit`, at the latest after twice as long: looking at the counts now and
    /// then costs a request nothing, a timer that each one sets would.
    pub async fn are_absent(&self, limit: Duration) {
        let mut before = self.counts();
        loop {
            sleep(limit).await;
            let now = self.counts();
            if now == before && now.0 == now.1 {
                return;
            }
            before = now;
        }
    }

    fn counts(&self) -> (u64, u64) {
        (self.0.begun.load(Ordering::Relaxed), self.0.ended.load(Ordering::Relaxed))
    }
}

/// The body of an answer; its request is under way as long as this is kept.
pub struct Counted<B> {
    body: B,
    _request: UnderWay,
}

impl<B> Counted<B> {
    pub fn new(body: B, request: UnderWay) -> Self {
        Self { body, _request: request }
    }
}

impl<B: Body + Unpin> Body for Counted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<std::result::Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn who_reads_gets_everything_and_who_does_not_is_let_go() {
        let (server, mut client) = duplex(16);
        let mut server = Patient::new(server, Duration::from_secs(60));
        let mut got = Vec::new();
        let sending = async {
            server.write_all(&[7; 1000]).await.unwrap();
            server.shutdown().await.unwrap();
        };
        tokio::join!(sending, async { client.read_to_end(&mut got).await.unwrap() });
        assert_eq!(got, [7; 1000]);

        let (server, _silent) = duplex(16);
        let mut server = Patient::new(server, Duration::from_millis(20));
        assert_eq!(server.write_all(&[7; 1000]).await.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
