//! The store through its door, with a clock that the test moves.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::base::error::Kind;

struct Place {
    dir: tempfile::TempDir,
    time: Arc<AtomicI64>,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), time: Arc::new(AtomicI64::new(1000)) }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("state.redb")
    }

    async fn open(&self) -> Result<Kv> {
        let time = Arc::clone(&self.time);
        Kv::open(&self.file(), Clock::from_fn(move || Time(time.load(Ordering::SeqCst)))).await
    }
}

fn pair(key: &str, value: &str) -> (Vec<u8>, Vec<u8>) {
    (key.into(), value.into())
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    for (name, key) in [("a", "k1"), ("a", "k2"), ("a", "x"), ("ab", "k0"), ("b", "k1")] {
        kv.put(name, key.as_bytes(), name.as_bytes(), None).await.unwrap();
    }
    assert_eq!(kv.scan("a", b"k", 9).await.unwrap(), [pair("k1", "a"), pair("k2", "a")]);
    assert_eq!(kv.scan("a", b"", 9).await.unwrap().len(), 3);
    assert_eq!(kv.scan("a", b"", 2).await.unwrap(), [pair("k1", "a"), pair("k2", "a")]);
    assert_eq!(kv.get("ab", b"k1").await.unwrap(), None);
    assert!(kv.delete("a", b"k1").await.unwrap());
    assert!(!kv.delete("a", b"k1").await.unwrap());
    assert_eq!(kv.get("b", b"k1").await.unwrap().unwrap(), b"b");
    kv.update("a", |view| {
        view.clear()?;
        view.put(b"z", b"", None)
    })
    .await
    .unwrap();
    assert_eq!((kv.usage("a").await.unwrap(), kv.usage("ab").await.unwrap()), (1, 4));
    assert_eq!(kv.scan("a", b"", 9).await.unwrap(), [pair("z", "")]);
}

#[tokio::test]
async fn values_end_when_they_should_and_free_their_bytes() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    kv.put("s", b"short", b"1", Some(Time(2000))).await.unwrap();
    kv.put("s", b"long", b"2", Some(Time(3000))).await.unwrap();
    kv.put("s", b"renewed", b"3", Some(Time(2000))).await.unwrap();
    kv.put("s", b"renewed", b"3", None).await.unwrap();
    assert_eq!(kv.usage("s").await.unwrap(), 6 + 5 + 8);
    place.time.store(1999, Ordering::SeqCst);
    assert!(kv.get("s", b"short").await.unwrap().is_some());
    place.time.store(2000, Ordering::SeqCst);
    assert_eq!(kv.get("s", b"short").await.unwrap(), None);
    assert_eq!(kv.scan("s", b"", 9).await.unwrap(), [pair("long", "2"), pair("renewed", "3")]);
    // A write elsewhere sweeps.
    kv.put("other", b"k", b"v", None).await.unwrap();
    assert_eq!(kv.usage("s").await.unwrap(), 5 + 8);
    place.time.store(i64::MAX - 1, Ordering::SeqCst);
    assert!(!kv.delete("s", b"long").await.unwrap());
    assert_eq!(kv.scan("s", b"", 9).await.unwrap(), [pair("renewed", "3")]);
    assert_eq!(kv.usage("s").await.unwrap(), 8);
}

#[tokio::test]
async fn an_update_happens_as_a_whole_or_not_at_all() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    kv.put("q", b"a", b"12345", None).await.unwrap();
    let over = kv.update("q", |view| {
        view.put(b"a", b"1", None)?;
        view.put(b"b", &[0; 100], None)?;
        assert_eq!((view.usage()?, view.now()), (2 + 101, Time(1000)));
        assert_eq!(view.scan(b"", 9)?.len(), 2);
        Err::<(), _>(Error::new(Kind::Limited, "quota", "No."))
    });
    assert_eq!(over.await.unwrap_err().code(), "quota");
    let panicked = kv.update("q", |view| -> Result<()> {
        view.clear()?;
        panic!("in the middle")
    });
    assert_eq!(panicked.await.unwrap_err().kind(), Kind::Internal);
    assert_eq!(kv.scan("q", b"", 9).await.unwrap(), [pair("a", "12345")]);
    assert_eq!(kv.usage("q").await.unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_updates_are_exact_and_outlive_the_handle() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let kv = kv.clone();
        tasks.spawn(async move {
            kv.update("n", |view| {
                let before = view.get(b"n")?.map_or(0, |bytes| bytes[0]);
                view.put(b"n", &[before + 1], None)
            })
            .await
            .unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let second = place.open().await.err().unwrap();
    assert_eq!(second.code(), "kv_in_use");
    drop(kv);
    let kv = place.open().await.unwrap();
    assert_eq!(kv.get("n", b"n").await.unwrap().unwrap(), [40]);
    assert_eq!(std::fs::metadata(place.file()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    let code = |result: Result<()>| result.unwrap_err().code();
    assert_eq!(code(kv.put("n", &[0; MAX_KEY + 1], b"", None).await), "kv_too_large");
    assert_eq!(code(kv.put("n", b"", &vec![0; MAX_VALUE + 1], None).await), "kv_too_large");
    assert_eq!(code(kv.put("", b"", b"", None).await), "internal");
    assert_eq!(code(kv.put(&"n".repeat(MAX_NAMESPACE + 1), b"", b"", None).await), "internal");
    kv.put("n", &[0; MAX_KEY], &vec![0; MAX_VALUE], None).await.unwrap();
}

#[tokio::test]
async fn after_an_io_error_the_file_is_opened_again() {
    let place = Place::new();
    let kv = place.open().await.unwrap();
    kv.put("n", b"k", b"v", None).await.unwrap();
    let failed = kv.inner.with(|_| Err::<(), _>(failed(redb::Error::PreviousIo)));
    assert_eq!(failed.unwrap_err().code(), "kv_failed");
    assert!(kv.inner.database.read().unwrap().is_none());
    assert_eq!(kv.get("n", b"k").await.unwrap().unwrap(), b"v");
}
