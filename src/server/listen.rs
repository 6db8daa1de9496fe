//! Binding, accepting, serving, draining.
//!
//! Invariant: every connection is a task that is told to stop and waited for; a slow or silent client holds a bounded
//! number of bytes for a bounded time, and however many of them there are, the operator's socket answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use listenfd::ListenFd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::patience::{Counted, Patient, Requests};
use super::tls::Tls;
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::config::{Config, secrets};

/// Connections served at once on the TCP port; more wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// The same on the local socket. Not one pool: whoever can reach the port must not lock the operator out.
const LOCAL_CONNECTIONS: usize = 64;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const LIMITS: Limits =
    Limits { header: Duration::from_secs(15), idle: Duration::from_secs(60), reading: Duration::from_secs(60) };

/// How long a client may keep the server waiting.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// For its first request, and for the rest of a request's head once it began.
    header: Duration,
    /// For another request when none is under way.
    idle: Duration,
    /// For room to send an answer to.
    reading: Duration,
}

/// Who is at the other end of the connection.
#[derive(Debug, Clone, Copy)]
pub enum Peer {
    Tcp {
        address: SocketAddr,
        tls: bool,
    },
    /// Over the Unix socket; trusted: root, or the account the server runs as.
    Local {
        uid: Option<u32>,
        trusted: bool,
    },
}

pub struct Bound {
    pub address: SocketAddr,
    pub fingerprint: Option<String>,
    pub socket: PathBuf,
}

/// Binds the TCP port and the local socket and serves both until the tasks are stopped.
///
/// # Errors
/// `port_taken` and what else keeps a port from being bound.
pub async fn bind(config: &Config, tls: Option<watch::Receiver<Tls>>, router: &Router, tasks: &Tasks) -> Result<Bound> {
    let listener = match handed_over()? {
        Some(listener) => listener,
        None => TcpListener::bind(config.listen).await.map_err(|cause| {
            let message =
                format!("{} cannot be listened on: {cause}. Free it, or choose another with --listen.", config.listen);
            Error::unavailable("port_taken", message).caused_by(cause)
        })?,
    };
    let address = listener.local_addr()?;
    let socket = config.socket();
    let local = bind_local(&socket)?;
    let fingerprint = tls.as_ref().map(|tls| tls.borrow().fingerprint.clone());
    let connections = Arc::new(Semaphore::new(affordable_connections()));
    tasks.spawn(accept_tcp(listener, tls, router.clone(), tasks.clone(), connections));
    let connections = Arc::new(Semaphore::new(LOCAL_CONNECTIONS));
    tasks.spawn(accept_local(local, router.clone(), tasks.clone(), connections));
    Ok(Bound { address, fingerprint, socket })
}

/// The port that systemd opened for us (sd_listen_fds(3)), so that nobody is refused while the server restarts.
fn handed_over() -> Result<Option<TcpListener>> {
    let Some(listener) = ListenFd::from_env().take_tcp_listener(0)? else { return Ok(None) };
    listener.set_nonblocking(true)?;
    Ok(Some(TcpListener::from_std(listener)?))
}

/// [`CONNECTIONS`], but at most half of the files this process may have open: with none left, nothing else works either,
/// the local socket included. The soft limit is a relic of select(2), which nothing here uses, so it is lifted first.
fn affordable_connections() -> usize {
    let Rlimit { mut current, maximum } = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok() {
        current = maximum;
    }
    let half = current.map_or(CONNECTIONS, |files| usize::try_from(files / 2).unwrap_or(CONNECTIONS));
    if half < CONNECTIONS {
        tracing::warn!("{half} connections are served at once: more open files (ulimit -n) would allow {CONNECTIONS}");
    }
    half.clamp(1, CONNECTIONS)
}

/// A socket left by a server that died is replaced; one that answers means that a server is running.
fn bind_local(path: &Path) -> Result<UnixListener> {
    if let Some(folder) = path.parent() {
        secrets::private_folder(folder)?;
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        let message =
            format!("A server already runs on this data directory: {} answers. Stop it first.", path.display());
        return Err(Error::conflict("already_running", message));
    }
    private_socket(path).map_err(|cause| {
        let message = format!(
            "The local socket {} cannot be made: {cause}. Let this account write to its folder, or choose another one \
             with --data-dir; the whole path may have at most 107 bytes.",
            path.display()
        );
        Error::unavailable("local_socket", message).caused_by(cause)
    })
}

fn private_socket(path: &Path) -> std::io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept_tcp(
    listener: TcpListener,
    tls: Option<watch::Receiver<Tls>>,
    router: Router,
    tasks: Tasks,
    connections: Arc<Semaphore>,
) {
    loop {
        let Ok(turn) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.stopping() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                out_of_breath(&cause).await;
                continue;
            }
        };
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let acceptor = tls.as_ref().map(|tls| TlsAcceptor::from(tls.borrow().config.clone()));
        let (router, stop) = (router.clone(), tasks.clone());
        tasks.spawn(async move {
            let peer = Peer::Tcp { address, tls: acceptor.is_some() };
            match acceptor {
                None => serve(stream, peer, router, stop, LIMITS).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, peer, router, stop, LIMITS).await,
                    Ok(Err(cause)) => tracing::debug!(%address, "TLS handshake failed: {cause}"),
                    Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
                },
            }
            drop(turn);
        });
    }
}

async fn accept_local(listener: UnixListener, router: Router, tasks: Tasks, connections: Arc<Semaphore>) {
    let own = rustix::process::geteuid().as_raw();
    loop {
        let Ok(turn) = connections.clone().acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.stopping() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(cause) => {
                out_of_breath(&cause).await;
                continue;
            }
        };
        let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
        let peer = Peer::Local { uid, trusted: uid.is_some_and(|uid| uid == 0 || uid == own) };
        let (router, stop) = (router.clone(), tasks.clone());
        tasks.spawn(async move {
            serve(stream, peer, router, stop, LIMITS).await;
            drop(turn);
        });
    }
}

/// Accepting fails when file descriptors run out; trying again at once would only burn the processor.
async fn out_of_breath(cause: &std::io::Error) {
    tracing::warn!("A connection was not accepted: {cause}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn serve<S>(stream: S, peer: Peer, router: Router, tasks: Tasks, limits: Limits)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requests = Requests::default();
    let counted = requests.clone();
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let under_way = counted.begin();
        request.extensions_mut().insert(peer);
        let answer = router.clone().oneshot(request.map(axum::body::Body::new));
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Counted::new(body, under_way))) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let stream = Patient::new(stream, limits.reading);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = tasks.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        // hyper's own limit begins with the first byte and does not know HTTP/2.
        () = requests.are_over(limits.header, limits.idle) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                served = connection => served,
                // It was told to go and asks for nothing, but does not go.
                () = requests.are_absent(limits.idle) => Ok(()),
            }
        }
    };
    if let Err(cause) = served {
        tracing::debug!("A connection ended early: {cause}");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http_body_util::BodyExt;
    use hyper::Request;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_secs(60);

    /// An answer that goes on for much longer than a client may be idle.
    fn lasting() -> Body {
        Body::from_stream(async_stream::stream! {
            for _ in 0..8 {
                tokio::time::sleep(SHORT).await;
                yield Ok::<_, Infallible>("event ");
            }
        })
    }

    /// Serves one connection; its other end.
    fn connect(limits: Limits, tasks: &Tasks) -> DuplexStream {
        let router = Router::new()
            .route("/", get(|| async { "done" }))
            .route("/events", get(|| std::future::ready(lasting())))
            .route("/upload", axum::routing::post(|body: bytes::Bytes| async move { body.len().to_string() }));
        let (ours, theirs) = duplex(1024);
        tasks.spawn(serve(ours, Peer::Local { uid: None, trusted: false }, router, tasks.clone(), limits));
        theirs
    }

    /// What comes until the server closes the connection.
    async fn rest(stream: &mut DuplexStream) -> String {
        let mut got = Vec::new();
        timeout(LONG, stream.read_to_end(&mut got)).await.expect("the server lets go of it").unwrap();
        String::from_utf8(got).unwrap()
    }

    #[tokio::test]
    async fn who_asks_for_nothing_is_let_go() {
        let tasks = Tasks::default();
        let limits = Limits { header: SHORT, idle: LONG, reading: LONG };
        // Nothing at all; the start of either protocol; a head without an end.
        for start in ["", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/1.1\r\nhost: x\r\n"] {
            let mut stream = connect(Limits { idle: SHORT, ..limits }, &tasks);
            stream.write_all(start.as_bytes()).await.unwrap();
            let mut got = Vec::new();
            timeout(LONG, stream.read_to_end(&mut got)).await.expect(start).unwrap();
        }
        let mut stream = connect(limits, &tasks);
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert!(rest(&mut stream).await.ends_with("\r\n\r\ndone"), "answered, kept for another request, and let go");
        assert!(tasks.shut_down(LONG).await);
    }

    #[tokio::test]
    async fn what_is_under_way_is_not_cut_off() {
        let tasks = Tasks::default();
        let limits = Limits { header: SHORT, idle: SHORT, reading: LONG };
        let mut stream = connect(limits, &tasks);
        stream.write_all(b"GET /events HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let answer = rest(&mut stream).await;
        assert_eq!((answer.matches("event ").count(), answer.ends_with("0\r\n\r\n")), (8, true), "{answer}");

        let mut stream = connect(limits, &tasks);
        stream.write_all(b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 8\r\n\r\n").await.unwrap();
        for _ in 0..8 {
            tokio::time::sleep(SHORT).await;
            stream.write_all(b"x").await.unwrap();
        }
        assert!(rest(&mut stream).await.ends_with("\r\n\r\n8"));
        assert!(tasks.shut_down(LONG).await);
    }

    #[tokio::test]
    async fn an_http2_connection_lives_as_long_as_its_requests() {
        let tasks = Tasks::default();
        let stream = connect(Limits { header: SHORT, idle: SHORT, reading: LONG }, &tasks);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let exchange = async {
            let request = Request::get("http://x/events").body(Body::empty()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            let whole = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(whole, "event ".repeat(8));
            // Kept, so that it is not this side that ends the connection.
            sender
        };
        let (_sender, ended) = tokio::join!(exchange, timeout(LONG, connection));
        ended.expect("the server lets go of it").unwrap();
        assert!(tasks.shut_down(LONG).await);
    }
}
