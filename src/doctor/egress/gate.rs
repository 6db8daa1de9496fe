//! Tries to get past the gate, each of a kind that others were caught by.
//!
//! Invariant: what the site may dial is never dialled here, only what it may not.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::LOCATION;
use hyper::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Check, Host, Site};
use crate::base::error::{Error, Result};
use crate::net::{Client, Endpoint, Place, Reply, Target};

const CODE: &str = "gate";
const REFUSED: &str = "egress_refused";
/// A refusal needs no network, so it is at once.
const PATIENCE: Duration = Duration::from_secs(6);
/// Hosts on no list: addresses for documentation (RFC 5737, RFC 3849), those of cloud metadata in each notation, names.
const STRANGERS: [(&str, &str); 8] = [
    ("a name", "https://not-on-the-list.invalid"),
    ("an IPv4 address", "http://192.0.2.1"),
    ("an IPv6 address", "https://[2001:db8::1]"),
    ("cloud metadata", "http://169.254.169.254"),
    ("cloud metadata as IPv6", "http://[::ffff:169.254.169.254]"),
    ("an address as one number", "http://2130706433"),
    ("an address in hexadecimal", "http://0x7f000001"),
    ("a public name server", "https://9.9.9.9"),
];
/// What no server of an organisation is dialled at, though it is on the list, whatever its name resolves to.
const OF_MACHINE: [(&str, &str); 6] = [
    ("a name that resolves to this machine", "http://localhost:9"),
    ("this machine", "http://127.0.0.1:9"),
    ("this machine as IPv6", "http://[::1]:9"),
    ("this machine, IPv4 in IPv6", "http://[::ffff:127.0.0.1]:9"),
    ("link-local, where clouds keep credentials", "http://169.254.169.254"),
    ("a Unix socket", "unix:/run/other.sock"),
];
/// What no plugin reaches by a pattern, though the pattern covers it.
const OF_SITE: [(&str, &str); 4] = [
    ("a private address", "http://10.0.0.1"),
    ("a shared address", "http://100.64.0.1"),
    ("a private IPv6 address", "http://[fd00::1]"),
    ("a private address behind NAT64", "http://[64:ff9b::a00:1]"),
];

pub(super) async fn tries(site: &Site, hosts: &[Host]) -> Result<Vec<Check>> {
    let gate = site.dialler()?;
    for (host, port) in hosts.iter().filter_map(|host| Some((&host.host, host.port?))) {
        gate.allow(host, port);
    }
    let mut checks = Vec::new();
    for (what, url) in STRANGERS {
        if is_allowed(&gate, url)? {
            continue;
        }
        checks.push(refuses(&gate, what, url, Client::endpoint).await);
    }
    if let Some((host, port)) = hosts.iter().find_map(|host| Some((&host.host, host.port?))) {
        let other = port.checked_add(1).unwrap_or(1);
        let url =
            if host.contains(':') { format!("http://[{host}]:{other}") } else { format!("http://{host}:{other}") };
        if !gate.allows(host, other) {
            checks.push(refuses(&gate, "another port of a host on the list", &url, Client::endpoint).await);
        }
    }
    let fenced = gate.sibling();
    for (what, url) in OF_MACHINE {
        checks.push(refuses(&allowing(&fenced, url)?, what, url, Client::fenced_endpoint).await);
    }
    for (what, url) in OF_SITE {
        checks.push(refuses(&allowing(&fenced, url)?, what, url, Client::outside_endpoint).await);
    }
    checks.push(redirect(&gate).await);
    Ok(checks)
}

fn is_allowed(gate: &Client, url: &str) -> Result<bool> {
    Ok(matches!(&Target::parse(url)?.place, Place::Tcp { host, port, .. } if gate.allows(host, *port)))
}

/// The client, that may dial what the fence is to keep it from.
fn allowing(client: &Client, url: &str) -> Result<Client> {
    if let Place::Tcp { host, port, .. } = &Target::parse(url)?.place {
        client.allow(host, *port);
    }
    Ok(client.clone())
}

type Way = fn(&Client, Target) -> Result<Endpoint>;

/// Passes when the gate says no.
async fn refuses(client: &Client, what: &str, url: &str, way: Way) -> Check {
    let tried = match Target::parse(url).and_then(|target| way(client, target)) {
        Ok(endpoint) => get(&endpoint).await.map(drop),
        Err(error) => Err(error),
    };
    match tried {
        Err(error) if error.code() == REFUSED => Check::pass(CODE, format!("{what} is refused: {url}")),
        other => {
            let said = other.map_or_else(|error| error.to_string(), |()| "it answered".to_owned());
            Check::fail(CODE, format!("{what} is not refused: {url} ({said})"), "Report this: the gate does not hold.")
        }
    }
}

async fn get(endpoint: &Endpoint) -> Result<Reply> {
    let work = async { endpoint.send(Method::GET, endpoint.uri("/")?, HeaderMap::new(), Bytes::new()).await };
    let late = || Error::upstream("unreachable", "no answer");
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}

/// A server on the list sends on to one that is not: nothing follows by itself, and who does meets the gate.
async fn redirect(gate: &Client) -> Check {
    const ELSEWHERE: &str = "http://192.0.2.1";
    let broken = |error: &Error| {
        Check::fail(
            CODE,
            format!("A redirect could not be tried: {error}"),
            "Look at the network of this machine: ip address show lo",
        )
    };
    let listener = match TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await {
        Ok(listener) => listener,
        Err(cause) => return broken(&cause.into()),
    };
    let client = gate.sibling();
    let tried = async {
        let url = format!("http://{}", listener.local_addr()?);
        let endpoint = allowing(&client, &url)?.endpoint(Target::parse(&url)?)?;
        let (reply, served) = tokio::join!(get(&endpoint), send_on(&listener, ELSEWHERE));
        served?;
        let reply = reply?;
        let location =
            reply.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok::<_, Error>((reply.status().as_u16(), location))
    };
    match tried.await {
        Ok((302, location)) => refuses(&client, "where a redirect leads", &location, Client::endpoint).await,
        Ok((status, _)) => Check::fail(
            CODE,
            format!("A redirect came as {status}: it was followed."),
            "Report this: the gate does not hold.",
        ),
        Err(error) => broken(&error),
    }
}

async fn send_on(listener: &TcpListener, to: &str) -> Result<()> {
    let work = async {
        let (mut stream, _) = listener.accept().await?;
        // One request without a body fits.
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).await?;
        let answer = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        Ok(stream.write_all(answer.as_bytes()).await?)
    };
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(Error::internal("nobody asked")))
}
