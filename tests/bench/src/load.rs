//! A closed loop of requests over kept connections, on one thread.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

/// Before figures are taken, connections and caches come to rest.
const WARM_UP: Duration = Duration::from_millis(300);

/// Where the next page is said to end that is asked for once only: far beyond what there is.
static ASKED: AtomicI64 = AtomicI64::new(i64::MAX);

/// One request, sent over and over.
#[derive(Clone)]
pub struct Ask {
    pub method: &'static str,
    pub path: &'static str,
    pub token: String,
    pub body: Bytes,
    /// Asks for another page each time, so that no reply can have been kept.
    pub vary: bool,
    /// The status every answer must have: a figure made of refusals is none.
    pub wanted: u16,
}

/// What one loop saw.
pub struct Figures {
    /// Requests sent, those of the warm-up too.
    pub sent: usize,
    pub per_second: f64,
    /// The median latency in microseconds.
    pub p50: f64,
    /// The latency that one request in a hundred exceeds, in microseconds.
    pub p99: f64,
}

/// Sends `ask` over `connections` at once for `time`.
pub fn drive(address: &str, ask: &Ask, connections: usize, time: Duration) -> Figures {
    let latencies = Rc::new(RefCell::new(Vec::new()));
    let start = Instant::now() + WARM_UP;
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let sent = LocalSet::new().block_on(&runtime, async {
        let loops: Vec<_> = (0..connections)
            .map(|_| spawn_local(one(address.to_owned(), ask.clone(), start, start + time, latencies.clone())))
            .collect();
        let mut sent = 0;
        for each in loops {
            sent += each.await.unwrap();
        }
        sent
    });
    let mut latencies = latencies.take();
    latencies.sort_unstable();
    let at = |percent: usize| latencies[latencies.len() * percent / 100].as_secs_f64() * 1e6;
    Figures { sent, per_second: latencies.len() as f64 / time.as_secs_f64(), p50: at(50), p99: at(99) }
}

/// One request on a connection of its own; its answer.
pub fn once(address: &str, ask: &Ask) -> Bytes {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut sender = connect(address).await.unwrap();
        exchange(&mut sender, address, ask).await
    })
}

/// Writes the answer into a file, on a connection of its own; its bytes. They are on the disk then.
pub fn save(address: &str, ask: &Ask, file: &Path) -> u64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let mut sender = connect(address).await.unwrap();
        let reply = sender.send_request(request(address, ask, ask.path)).await.unwrap();
        assert_eq!(reply.status(), ask.wanted, "{}", ask.path);
        let (mut body, mut file, mut bytes) = (reply.into_body(), File::create(file).unwrap(), 0);
        while let Some(frame) = body.frame().await {
            if let Some(data) = frame.unwrap().data_ref() {
                file.write_all(data).unwrap();
                bytes += data.len() as u64;
            }
        }
        file.sync_all().unwrap();
        bytes
    })
}

/// Until `end`; how many it sent.
async fn one(address: String, ask: Ask, start: Instant, end: Instant, latencies: Rc<RefCell<Vec<Duration>>>) -> usize {
    let mut sender = connect(&address).await.unwrap();
    for count in 1.. {
        let begun = Instant::now();
        exchange(&mut sender, &address, &ask).await;
        let now = Instant::now();
        if now >= end {
            return count;
        }
        if begun >= start {
            latencies.borrow_mut().push(now - begun);
        }
    }
    unreachable!()
}

async fn connect(address: &str) -> std::io::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    spawn_local(connection);
    Ok(sender)
}

async fn exchange(sender: &mut SendRequest<Full<Bytes>>, address: &str, ask: &Ask) -> Bytes {
    sender.ready().await.unwrap();
    let path =
        if ask.vary { format!("{}&cursor={}", ask.path, ASKED.fetch_sub(1, Relaxed)) } else { ask.path.to_owned() };
    let reply = sender.send_request(request(address, ask, &path)).await.unwrap();
    let status = reply.status();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(status, ask.wanted, "{} {}: {}", ask.method, ask.path, String::from_utf8_lossy(&body));
    body
}

fn request(address: &str, ask: &Ask, path: &str) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(ask.method).uri(path).header("host", address);
    if !ask.token.is_empty() {
        request = request.header("authorization", format!("Bearer {}", ask.token));
    }
    if !ask.body.is_empty() {
        request = request.header("content-type", "application/json");
    }
    request.body(Full::new(ask.body.clone())).unwrap()
}
