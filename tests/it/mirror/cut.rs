//! The plug and the medium pulled at random moments of an import: the site is on the old state or on the new one.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use resoftai::base::crypto::{random_bytes, sha256_hex};

use super::{Inside, Outside};

/// How often the medium is pulled.
const ROUNDS: u64 = 200;
/// How often the server is killed, unless `RESOFTAI_TEST_KILLS` says another number: starting it anew takes its time.
const KILLS: u64 = 20;

fn below(most: u64) -> u64 {
    u64::from_be_bytes(random_bytes::<8>().unwrap()) % most.max(1)
}

impl Outside {
    /// Signs a state with other contents, so that all of them have to come over.
    async fn go_on(&self, number: u64) -> Bytes {
        let mut model = vec![0_u8; 256 << 10];
        for name in ["a.gguf", "b.gguf", "c.gguf", "d.gguf"] {
            model[..8].copy_from_slice(&number.to_be_bytes());
            model[8..14].copy_from_slice(name.as_bytes());
            std::fs::write(self.path(name), &model).unwrap();
            self.add(&self.path(name));
        }
        self.sign().await;
        self.bundle()
    }
}

impl Inside {
    /// Sends the first `count` bytes of a bundle, as far as the server takes them, and leaves.
    fn begin(&self, bundle: &Bytes, count: usize) -> Option<TcpStream> {
        let mut stream = TcpStream::connect(&self.app.address).ok()?;
        let head = format!(
            "POST /api/mirror/import HTTP/1.1\r\nhost: site\r\nauthorization: Bearer {}\r\n\
             content-type: application/x-tar\r\ncontent-length: {}\r\n\r\n",
            self.admin,
            bundle.len()
        );
        stream.write_all(head.as_bytes()).ok()?;
        // A server that dies meanwhile is what this is about.
        drop(stream.write_all(&bundle[..count]));
        Some(stream)
    }

    /// That every content that the current state lists lies on the disk, whole.
    async fn check_disk(&self) {
        for content in self.contents().await.as_array().unwrap() {
            let sum = content["sha256"].as_str().unwrap();
            let place = self.app.dir.path().join("blobs").join(&sum[..2]).join(&sum[2..4]).join(sum);
            assert_eq!(sha256_hex(&std::fs::read(place).unwrap()), sum, "{content}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_during_an_import_is_on_the_old_state_or_the_new_one() {
    let said = std::env::var_os("RESOFTAI_TEST_KILLS").and_then(|text| text.into_string().ok()?.parse().ok());
    let outside = Outside::with_plugins().await;
    let mut inside = Inside::trusting(&outside).await;
    let began = Instant::now();
    inside.import(outside.go_on(0).await).await;
    // Goes after the switch, which comes sooner or later with what else the machine does: the kills stay around it.
    let mut about = began.elapsed();
    let (mut bundle, mut olds, mut news) = (outside.go_on(1).await, 0, 0);
    let mut old = inside.state().await.unwrap();
    for round in 2..said.unwrap_or(KILLS) + 2 {
        let pause = Duration::from_micros(below(2 * u64::try_from(about.as_micros()).unwrap()));
        let connection = inside.begin(&bundle, bundle.len());
        std::thread::sleep(pause);
        inside.app.crash_and_restart();
        drop(connection);
        let state = inside.state().await.unwrap();
        assert!(state == old || state == old + 1, "round {round}: {old} became {state}");
        inside.check_disk().await;
        if state == old {
            // What is on its way goes on in the next round.
            (olds, about) = (olds + 1, about * 5 / 4);
        } else {
            about = about * 4 / 5;
            (old, news, bundle) = (state, news + 1, outside.go_on(round).await);
        }
    }
    assert!(olds > 0 && news > 0, "{olds} were on the old state and {news} on the new one");
    inside.import(bundle).await;
    inside.check_disk().await;
}

#[tokio::test]
async fn a_medium_that_is_pulled_at_any_byte_leaves_the_old_state() {
    let outside = Outside::with_plugins().await;
    let inside = Inside::trusting(&outside).await;
    inside.import(outside.bundle()).await;
    let old = inside.state().await.unwrap();
    for round in 0..ROUNDS / 10 {
        let bundle = outside.go_on(round).await;
        for _ in 0..10 {
            let count = usize::try_from(below(bundle.len() as u64 - 4096)).unwrap();
            drop(inside.begin(&bundle, count));
            let status = inside.status().await;
            assert_eq!(status[0]["timestamp_version"], old, "cut off at {count} of {}", bundle.len());
        }
        inside.check_disk().await;
    }
    let bundle = outside.bundle();
    // Whoever was cut off last may still be told.
    let done = loop {
        let reply = inside.send("", bundle.clone()).await;
        if reply.body["code"] != "mirror_busy" {
            break reply;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(done.status, 200, "{}", done.body);
    inside.check_disk().await;
}
