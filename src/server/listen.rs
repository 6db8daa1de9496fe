//! Binding, accepting, serving, draining.
//!
//! Invariant: every connection is a task that is told to stop and waited for; a slow or silent client holds a bounded
//! number of bytes for a bounded time.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::patience::Patient;
use super::tls;
use crate::base::error::{Error, Result};
use crate::base::tasks::Tasks;
use crate::config::{Config, secrets};

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
const HEADER_LIMIT: Duration = Duration::from_secs(15);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// How long a client may take nothing of its answer.
const READING_LIMIT: Duration = Duration::from_secs(60);

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
pub async fn bind(config: &Config, router: &Router, tasks: &Tasks) -> Result<Bound> {
    let listener = TcpListener::bind(config.listen).await.map_err(|cause| {
        let message =
            format!("{} cannot be listened on: {cause}. Free it, or choose another with --listen.", config.listen);
        Error::unavailable("port_taken", message).caused_by(cause)
    })?;
    let address = listener.local_addr()?;
    let tls = if config.http { None } else { Some(tls::load(config)?) };
    let socket = config.data_dir.join("run/resoftai.sock");
    let local = bind_local(&socket)?;
    let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config));
    tasks.spawn(accept_tcp(listener, acceptor, router.clone(), tasks.clone(), connections.clone()));
    tasks.spawn(accept_local(local, router.clone(), tasks.clone(), connections));
    Ok(Bound { address, fingerprint, socket })
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
    match std::fs::remove_file(path) {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(cause.into()),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn accept_tcp(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
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
        let (router, acceptor, stop) = (router.clone(), acceptor.clone(), tasks.clone());
        tasks.spawn(async move {
            let peer = Peer::Tcp { address, tls: acceptor.is_some() };
            match acceptor {
                None => serve(stream, peer, router, stop).await,
                Some(acceptor) => match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                    Ok(Ok(stream)) => serve(stream, peer, router, stop).await,
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
            serve(stream, peer, router, stop).await;
            drop(turn);
        });
    }
}

/// Accepting fails when file descriptors run out; trying again at once would only burn the processor.
async fn out_of_breath(cause: &std::io::Error) {
    tracing::warn!("A connection was not accepted: {cause}");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn serve<S>(stream: S, peer: Peer, router: Router, tasks: Tasks)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        request.map(axum::body::Body::new)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(30)));
    let stream = Patient::new(stream, READING_LIMIT);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = tasks.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(cause) = served {
        tracing::debug!("A connection ended early: {cause}");
    }
}
