//! HTTP/1.1 to one server over kept connections, without a task per connection.
//!
//! The call that uses a connection also drives it: nothing wakes another thread, and dropping a reply before its end
//! closes the connection, which is how a server learns that nobody waits any more.
//! Invariant: a request is sent at most twice, the second time only when a *reused* connection died before a byte of the
//! answer; a connection returns to the pool only after a complete exchange.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::header::HOST;
use hyper::http::HeaderValue;
use hyper::{HeaderMap, Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;

use super::dial::{Stream, dial};
use super::target::Target;
use super::{Client, Fence};
use crate::base::error::{Error, Result};

/// Idle connections kept per server.
const MAX_IDLE: usize = 128;
/// Servers commonly close after a minute or more; ours leave first.
const IDLE_LIMIT: Duration = Duration::from_secs(50);

/// A server's answer; the body still streams.
pub type Reply = Response<ReplyBody>;

/// One server with its kept connections; clones share them.
#[derive(Clone)]
pub struct Endpoint {
    pool: Arc<Pool>,
}

struct Pool {
    client: Client,
    target: Target,
    /// Where it is never dialled.
    fence: Fence,
    host: HeaderValue,
    idle: Mutex<VecDeque<(Instant, Wire)>>,
}

/// A connection and the half of it that drives the bytes.
struct Wire {
    sender: SendRequest<Full<Bytes>>,
    connection: Connection<TokioIo<Stream>, Full<Bytes>>,
    closed: bool,
}

impl Wire {
    fn drive(&mut self, cx: &mut Context<'_>) {
        if !self.closed {
            self.closed = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }

    /// Whether another request can go over it; notices a server that closed meanwhile.
    fn is_usable(&mut self) -> bool {
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.closed && self.sender.is_ready()
    }
}

impl Endpoint {
    pub(super) fn new(client: Client, target: Target, fence: Fence) -> Result<Self> {
        let host = HeaderValue::try_from(target.authority()).map_err(|cause| {
            Error::invalid("invalid_url", format!("The host of {target} has characters no host has.")).caused_by(cause)
        })?;
        Ok(Self { pool: Arc::new(Pool { client, target, fence, host, idle: Mutex::default() }) })
    }

    pub fn target(&self) -> &Target {
        &self.pool.target
    }

    /// The address of `path` below the server's base, made once and cloned per request.
    ///
    /// # Errors
    /// When the two together are no path.
    pub fn uri(&self, path: &str) -> Result<Uri> {
        Uri::try_from(format!("{}{path}", self.pool.target.base)).map_err(Error::internal)
    }

    /// Sends a request and waits for the head of the answer. The caller bounds the wait.
    ///
    /// # Errors
    /// Those of dialling; `upstream_cut` when the connection died before an answer.
    pub async fn send(&self, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Result<Reply> {
        if let Some(wire) = self.pool.take() {
            let request = self.request(method.clone(), uri.clone(), headers.clone(), body.clone());
            match self.exchange(wire, request).await {
                Ok(reply) => return Ok(reply),
                Err(cause) if !died(&cause) => return Err(self.cut(cause)),
                Err(_) => {}
            }
        }
        let stream = dial(&self.pool.client, &self.pool.target, self.pool.fence).await?;
        let (sender, connection) =
            Builder::new().handshake(TokioIo::new(stream)).await.map_err(|cause| self.cut(cause))?;
        let wire = Wire { sender, connection, closed: false };
        let request = self.request(method, uri, headers, body);
        self.exchange(wire, request).await.map_err(|cause| self.cut(cause))
    }

    fn request(&self, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        request.headers_mut().insert(HOST, self.pool.host.clone());
        request
    }

    async fn exchange(&self, mut wire: Wire, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
        let mut answer = std::pin::pin!(wire.sender.send_request(request));
        let (connection, closed) = (&mut wire.connection, &mut wire.closed);
        let response = std::future::poll_fn(|cx| {
            if !*closed {
                *closed = Pin::new(&mut *connection).poll(cx).is_ready();
            }
            answer.as_mut().poll(cx)
        })
        .await?;
        Ok(response.map(|incoming| ReplyBody { incoming, wire: Some(wire), pool: self.pool.clone(), ended: false }))
    }

    fn cut(&self, cause: hyper::Error) -> Error {
        let sentence = format!(
            "The server at {} ended the connection before it answered, or answered something that is not HTTP. Look at its log, then try again.",
            self.pool.target
        );
        Error::upstream("upstream_cut", sentence).caused_by(cause)
    }
}

/// The connection ended, as opposed to: something came that is not HTTP.
fn died(cause: &hyper::Error) -> bool {
    let io = std::error::Error::source(cause).and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_incomplete_message() || cause.is_canceled() || cause.is_closed() || io.is_some()
}

impl Pool {
    fn take(&self) -> Option<Wire> {
        loop {
            let (since, mut wire) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop_back()?;
            if since.elapsed() < IDLE_LIMIT && wire.is_usable() {
                return Some(wire);
            }
        }
    }

    fn give_back(&self, mut wire: Wire) {
        if !wire.is_usable() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while idle.front().is_some_and(|(since, _)| since.elapsed() > IDLE_LIMIT) || idle.len() >= MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back((Instant::now(), wire));
    }
}

/// The body of an answer; reading it drives its connection.
pub struct ReplyBody {
    incoming: Incoming,
    wire: Option<Wire>,
    pool: Arc<Pool>,
    ended: bool,
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let body = self.get_mut();
        // The first look tells the connection that more is wanted, the second takes what it then brought.
        let mut frame = Pin::new(&mut body.incoming).poll_frame(cx);
        if frame.is_pending() {
            if let Some(wire) = &mut body.wire {
                wire.drive(cx);
            }
            frame = Pin::new(&mut body.incoming).poll_frame(cx);
        }
        body.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for ReplyBody {
    fn drop(&mut self) {
        if let Some(wire) = self.wire.take().filter(|_| self.ended || self.incoming.is_end_stream()) {
            self.pool.give_back(wire);
        }
    }
}
