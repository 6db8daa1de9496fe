//! The client against real sockets that behave as servers do: they keep connections, close them, and hang up.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::*;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn client() -> Client {
    Client::new(Dns::from_system().unwrap(), &Options::default()).unwrap()
}

async fn read_request(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut seen).await.unwrap_or(0) == 0 {
            return false;
        }
    }
    true
}

async fn get(endpoint: &Endpoint) -> Result<Bytes> {
    let uri = endpoint.uri("/x")?;
    let reply = endpoint.send(Method::GET, uri, HeaderMap::new(), Bytes::new()).await?;
    reply.into_body().collect().await.map(http_body_util::Collected::to_bytes).map_err(Error::internal)
}

/// Answers `per_connection` requests on each connection, then closes it; counts the connections.
async fn server(per_connection: usize) -> (Endpoint, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = connections.clone();
    crate::base::tasks::Tasks::default().spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            for _ in 0..per_connection {
                if !read_request(&mut stream).await || stream.write_all(ANSWER).await.is_err() {
                    break;
                }
            }
            // The next request arrives on a connection that is then closed without a byte.
            read_request(&mut stream).await;
        }
    });
    let client = client();
    client.allow("localhost", port);
    let target = Target::parse(&format!("http://localhost:{port}/v1")).unwrap();
    (client.endpoint(target).unwrap(), connections)
}

#[tokio::test]
async fn a_connection_is_kept_and_a_dead_one_is_replaced_once() {
    let (endpoint, connections) = server(2).await;
    assert_eq!(get(&endpoint).await.unwrap(), "ok");
    assert_eq!(get(&endpoint).await.unwrap(), "ok");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    assert_eq!(get(&endpoint).await.unwrap(), "ok", "the reused connection died before the first byte");
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_fresh_connection_that_dies_is_not_tried_again() {
    let (endpoint, connections) = server(0).await;
    assert_eq!(get(&endpoint).await.unwrap_err().code(), "upstream_cut");
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_is_dialled_who_was_not_allowed() {
    let client = client();
    client.allow("127.0.0.1", 9);
    let endpoint = client.endpoint(Target::parse("http://127.0.0.1:10").unwrap()).unwrap();
    assert_eq!(get(&endpoint).await.unwrap_err().code(), "egress_refused");
    let endpoint = client.endpoint(Target::parse("http://127.0.0.1:9").unwrap()).unwrap();
    assert_eq!(get(&endpoint).await.unwrap_err().code(), "unreachable");
}

#[tokio::test]
async fn a_fenced_server_is_not_this_machine_whatever_its_name_resolves_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = client();
    for host in ["localhost", "localhost.", "any.localhost", "127.0.0.1", "127.0.1.1", "0.0.0.0", "169.254.169.254"] {
        client.allow(host, port);
        let target = Target::parse(&format!("http://{host}:{port}/v1")).unwrap();
        let refused = get(&client.fenced_endpoint(target).unwrap()).await.unwrap_err();
        assert_eq!(refused.code(), "egress_refused", "{host}: {refused}");
        assert!(refused.message().contains(&format!("http://{host}:{port}/v1 is reached at ")), "{refused}");
    }
    let socket = client.fenced_endpoint(Target::parse("unix:/run/other.sock").unwrap()).unwrap();
    assert_eq!(get(&socket).await.unwrap_err().code(), "egress_refused");
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err(), "nobody was dialled");
}

#[test]
fn local_addresses_are_known_in_every_notation() {
    for (address, local) in [
        ("127.0.0.1", true),
        ("127.8.8.8", true),
        ("0.0.0.0", true),
        ("169.254.169.254", true),
        ("::1", true),
        ("::", true),
        ("fe80::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.7", false),
        ("192.168.1.9", false),
        ("2001:db8::1", false),
        ("fd00::1", false),
    ] {
        assert_eq!(is_local(address.parse().unwrap()), local, "{address}");
    }
}

#[tokio::test]
async fn dropping_a_reply_in_the_middle_closes_the_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = client();
    client.allow("127.0.0.1", port);
    let endpoint = client.endpoint(Target::parse(&format!("http://127.0.0.1:{port}")).unwrap()).unwrap();
    let uri = endpoint.uri("/").unwrap();
    let call = endpoint.send(Method::GET, uri, HeaderMap::new(), Bytes::new());
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n").await.unwrap();
        stream
    };
    let (reply, mut stream) = tokio::join!(call, serve);
    let mut body = reply.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hi");
    drop(body);
    assert_eq!(stream.read(&mut [0; 8]).await.unwrap(), 0, "the server sees the end");
}

#[tokio::test]
async fn unix_sockets_need_no_leave() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let endpoint = client().endpoint(Target::parse(&format!("unix:{}", path.display())).unwrap()).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 512];
        let length = stream.read(&mut head).await.unwrap();
        stream.write_all(ANSWER).await.unwrap();
        String::from_utf8(head[..length].to_vec()).unwrap()
    };
    let (body, head) = tokio::join!(get(&endpoint), serve);
    assert_eq!(body.unwrap(), "ok");
    assert!(head.starts_with("GET /v1/x HTTP/1.1\r\n"), "{head}");
}
