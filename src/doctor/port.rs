//! The server: whether one runs on this data directory, what it says of itself, and whether the port is its own.
//!
//! Invariant: asks over the local socket, which nobody else can open; a port is tried by taking it for an instant.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{HeaderMap, Method};
use serde_json::Value;
use tokio::net::UnixStream;

use super::{Check, Site, text_of};
use crate::base::error::{Error, Result};
use crate::net::{Place, Target};

/// For one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most of an answer.
const ANSWER_MAX: usize = 1 << 20;
/// The most processes that are looked at for who has the port.
const MOST_PROCESSES: usize = 50_000;

/// What runs on the data directory.
pub(super) struct Server {
    /// Its process; none where nobody answers, or it is in another container.
    pub process: Option<i32>,
    /// Whether somebody takes connections on the local socket.
    listens: bool,
    alive: Result<(u16, Bytes)>,
    ready: Result<(u16, Bytes)>,
    about: Result<(u16, Bytes)>,
}

impl Server {
    pub async fn look(site: &Site) -> Self {
        let stream = tokio::time::timeout(PATIENCE, UnixStream::connect(site.config.socket())).await;
        let stream = stream.ok().and_then(std::result::Result::ok);
        let process = stream.as_ref().and_then(|stream| stream.peer_cred().ok()?.pid()).filter(|id| *id > 0);
        let asked = async |address| match &stream {
            Some(_) => ask(site, address).await,
            None => Err(Error::unavailable("not_running", "Nobody answers.")),
        };
        let (alive, ready, about) = tokio::join!(asked("/healthz"), asked("/readyz"), asked("/api/system"));
        Self { process, listens: stream.is_some(), alive, ready, about }
    }
}

/// What the site's server answers at an address that anybody may ask: the status and the body.
///
/// # Errors
/// When no server answers within 5 s.
pub async fn ask(site: &Site, address: &str) -> Result<(u16, Bytes)> {
    let target = Target { place: Place::Unix(site.config.socket()), base: String::new() };
    let endpoint = site.dialler()?.endpoint(target)?;
    let work = async {
        let reply = endpoint.send(Method::GET, endpoint.uri(address)?, HeaderMap::new(), Bytes::new()).await?;
        let status = reply.status().as_u16();
        let body = Limited::new(reply.into_body(), ANSWER_MAX).collect().await;
        Ok((status, body.map_err(|cause| Error::unavailable("answer", cause.to_string()))?.to_bytes()))
    };
    let late = || Error::unavailable("answer", format!("no answer to {address} within {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

pub(super) async fn checks(site: &Site, server: &Server) -> Vec<Check> {
    let mut checks = vec![answers(site, server)];
    checks.extend(version(server));
    checks.push(port(site, server).await);
    checks
}

fn answers(site: &Site, server: &Server) -> Check {
    const CODE: &str = "server";
    let restart = "journalctl -u resoftai -n 50 says what it does; then: systemctl restart resoftai";
    if !server.listens {
        let seen = format!("No server runs on {}.", site.config.data_dir.display());
        return Check::warn(CODE, seen, "systemctl start resoftai (or run `resoftai serve`)");
    }
    match &server.alive {
        Ok((200, _)) => {}
        Ok((status, _)) => return Check::fail(CODE, format!("The server answers /healthz with {status}."), restart),
        Err(error) => return Check::fail(CODE, format!("The server does not answer /healthz: {error}."), restart),
    }
    match &server.ready {
        Ok((200, _)) => Check::pass(CODE, "The server answers /healthz, and /readyz says that it is ready."),
        Ok((_, body)) => {
            let seen = format!("The server runs, and /readyz says that it is not ready: {}.", troubles(body));
            Check::fail(CODE, seen, "Mend what is named there; the checks here say how.")
        }
        Err(error) => Check::fail(CODE, format!("The server does not answer /readyz: {error}."), restart),
    }
}

/// The parts of readiness that are not well.
fn troubles(body: &[u8]) -> String {
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    let troubles = read["checks"].as_array().into_iter().flatten().filter(|check| check["ok"] == false);
    let words: Vec<String> = troubles
        .map(|check| format!("{}: {}", check["name"].as_str().unwrap_or("?"), check["detail"].as_str().unwrap_or("?")))
        .collect();
    if words.is_empty() { "it does not say why".to_owned() } else { words.join("; ") }
}

fn version(server: &Server) -> Option<Check> {
    const CODE: &str = "server_version";
    let own = env!("CARGO_PKG_VERSION");
    let (_, body) = server.about.as_ref().ok()?;
    let read: Value = serde_json::from_slice(body).unwrap_or_default();
    Some(match read["version"].as_str() {
        Some(version) if version == own => Check::pass(CODE, format!("The server and this program are version {own}.")),
        Some(version) => {
            let seen = format!("The server is version {version}, and this program is {own}.");
            Check::warn(CODE, seen, "systemctl restart resoftai starts the version that is installed.")
        }
        None => Check::fail(
            CODE,
            "What answers does not say its version.",
            "Look which program it is: ps aux | grep resoftai",
        ),
    })
}

async fn port(site: &Site, server: &Server) -> Check {
    const CODE: &str = "port";
    let listen = site.config.listen;
    let taken = match TcpListener::bind(listen) {
        Ok(_) => false,
        Err(cause) if cause.kind() == ErrorKind::AddrInUse => true,
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            let mend = "Let systemd open it: systemctl enable --now resoftai.socket; or choose one from 1024 on in server.listen.";
            return Check::warn(CODE, format!("User {} may not open {listen}: {cause}.", own()), mend);
        }
        Err(cause) => {
            let mend =
                "Set server.listen to an address of this machine (ip address), or to 0.0.0.0:8443 for all of them.";
            return Check::fail(CODE, format!("{listen} cannot be listened on: {cause}."), mend);
        }
    };
    match (taken, server.listens) {
        (false, false) => Check::pass(CODE, format!("{listen} is free for the server.")),
        (false, true) => {
            let seen =
                format!("A server runs here, and nobody listens on {listen}: it was started with another address.");
            Check::warn(CODE, seen, "Restart it with the settings as they are now: systemctl restart resoftai")
        }
        (true, _) => held(listen, server).await,
    }
}

fn own() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Somebody has the port.
async fn held(listen: SocketAddr, server: &Server) -> Check {
    const CODE: &str = "port";
    let root = "Look as root: sudo resoftai doctor";
    let Some((id, name)) = tokio::task::spawn_blocking(move || holder(listen)).await.ok().flatten() else {
        let seen = format!("{listen} is taken by a program that this account cannot see.");
        return if own() == 0 { Check::fail(CODE, seen, mend(listen)) } else { Check::warn(CODE, seen, root) };
    };
    // systemd opens a port and hands it over (resoftai.socket).
    if server.process == Some(id) || id == 1 {
        return Check::pass(CODE, format!("{listen} is held by {name} (process {id}), as it should be."));
    }
    Check::fail(CODE, format!("{listen} is taken by {name} (process {id})."), mend(listen))
}

fn mend(listen: SocketAddr) -> String {
    format!("Stop that program, or choose another port in server.listen: ss -ltnp 'sport = :{}'", listen.port())
}

/// The process that listens on the port, and its name, as far as this account may know.
fn holder(listen: SocketAddr) -> Option<(i32, String)> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|file| inode_of(&text_of(file)?, listen.port()))?;
    let wanted = format!("socket:[{inode}]");
    for entry in std::fs::read_dir("/proc").ok()?.flatten().take(MOST_PROCESSES) {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(files) = std::fs::read_dir(entry.path().join("fd")) else { continue };
        let mut links = files.flatten().filter_map(|file| std::fs::read_link(file.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            let name = text_of(&format!("/proc/{id}/comm")).unwrap_or_default();
            return Some((id, name.trim().to_owned()));
        }
    }
    None
}

/// Of `/proc/net/tcp`: the inode of what listens (state 0A) on the port.
fn inode_of(table: &str, port: u16) -> Option<String> {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9).map(|inode| (*inode).to_owned())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_whose_a_port_is() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1\n   \
                     1: 0100007F:20FC 0100007F:20FB 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1\n";
        assert_eq!(inode_of(table, 8443).as_deref(), Some("4711"));
        assert_eq!(inode_of(table, 8444), None, "that one is connected");
    }
}
