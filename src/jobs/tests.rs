//! The queue's promises, against a real SQLite file.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::json;
use tokio::sync::mpsc;

use super::worker::retry_at;
use super::*;
use crate::base::clock::SECOND;
use crate::db::Options;

struct Lab {
    _dir: tempfile::TempDir,
    db: Db,
    now: Arc<AtomicI64>,
}

impl Lab {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let db = Db::open_sqlite(&dir.path().join("test.db"), Options::default()).await.unwrap();
        Self { _dir: dir, db, now: Arc::new(AtomicI64::new(1_000 * SECOND)) }
    }

    fn clock(&self) -> Clock {
        let now = Arc::clone(&self.now);
        Clock::from_fn(move || Time(now.load(Ordering::SeqCst)))
    }

    fn pass(&self, seconds: i64) {
        self.now.fetch_add(seconds * SECOND, Ordering::SeqCst);
        ENQUEUED.notify_waiters();
    }

    fn jobs(&self, process: &str, tasks: &Tasks) -> Jobs {
        Jobs::new(self.db.clone(), self.clock(), tasks.clone(), process.to_owned())
    }

    async fn enqueue(&self, payload: Value) -> i64 {
        let now = self.clock().now();
        self.db.write(move |tx| enqueue(tx, now, "test", &payload)).await.unwrap()
    }

    async fn rows(&self) -> Vec<(i64, i64, Option<String>, bool)> {
        let sql = "SELECT id, attempts, last_error, dead_at IS NOT NULL FROM jobs ORDER BY id";
        self.db
            .read(move |tx| Ok(tx.query_map(sql, &[], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?))
            .await
            .unwrap()
    }
}

async fn stop(tasks: &Tasks) {
    assert!(tasks.shut_down(std::time::Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_job_is_done_once_and_is_gone() {
    let (lab, tasks) = (Lab::new().await, Tasks::default());
    let (done, mut seen) = mpsc::channel(8);
    let (mut jobs, db) = (lab.jobs("p1", &tasks), lab.db.clone());
    jobs.handle("test", 2, move |job| {
        let (done, db) = (done.clone(), db.clone());
        async move {
            db.write(move |tx| finish(tx, job.id)).await?;
            done.send(job.payload).await.map_err(Error::internal)
        }
    });
    jobs.start().await.unwrap();
    lab.enqueue(json!({"n": 1})).await;
    lab.enqueue(json!({"n": 2})).await;
    let mut got = vec![seen.recv().await.unwrap()["n"].clone(), seen.recv().await.unwrap()["n"].clone()];
    got.sort_by_key(Value::as_i64);
    assert_eq!(got, [json!(1), json!(2)]);
    stop(&tasks).await;
    assert!(lab.rows().await.is_empty());
}

#[tokio::test]
async fn an_undone_transaction_leaves_no_job() {
    let lab = Lab::new().await;
    let failed: Result<()> = lab
        .db
        .write(|tx| {
            enqueue(tx, Time(0), "test", &json!({}))?;
            Err(Error::invalid("no", "no"))
        })
        .await;
    assert_eq!(failed.unwrap_err().code(), "no");
    assert!(lab.rows().await.is_empty());
}

#[tokio::test]
async fn a_failing_job_is_tried_five_times_then_kept_and_told() {
    let (lab, tasks) = (Lab::new().await, Tasks::default());
    let (tried, mut tries) = mpsc::channel(8);
    let (died, mut dead) = mpsc::channel(8);
    let mut jobs = lab.jobs("p1", &tasks);
    jobs.handle("test", 1, move |job| {
        let tried = tried.clone();
        async move {
            tried.send(job.attempts).await.map_err(Error::internal)?;
            if job.attempts == 2 {
                panic!("a handler's fault")
            }
            Err(Error::upstream("model_unreachable", "No answer from the model."))
        }
    });
    jobs.on_dead("test", move |job, error| {
        let died = died.clone();
        async move { died.send((job.id, error.code())).await.map_err(Error::internal) }
    });
    jobs.start().await.unwrap();
    let id = lab.enqueue(json!({})).await;
    for attempt in 1..=MAX_ATTEMPTS {
        loop {
            // The clock moves only when the worker has given the job back.
            tokio::select! {
                biased;
                tried = tries.recv() => { assert_eq!(tried, Some(attempt)); break }
                () = tokio::task::yield_now() => lab.pass(1),
            }
        }
    }
    assert_eq!(dead.recv().await, Some((id, "model_unreachable")));
    stop(&tasks).await;
    assert_eq!(lab.rows().await, [(id, 5, Some("No answer from the model.".to_owned()), true)]);
}

#[tokio::test]
async fn what_a_dead_process_held_is_taken_back_at_start() {
    let lab = Lab::new().await;
    let id = lab.enqueue(json!({})).await;
    let now = lab.clock().now();
    let held = lab.db.write(move |tx| store::claim(tx, now, "test", "killed", 5)).await.unwrap();
    assert_eq!(held.len(), 1);
    let again = lab.db.write(move |tx| store::claim(tx, now, "test", "p2", 5)).await.unwrap();
    assert!(again.is_empty(), "a claim counts while its lease does");
    let (tasks, (done, mut seen)) = (Tasks::default(), mpsc::channel(1));
    let mut jobs = lab.jobs("p2", &tasks);
    jobs.handle("test", 1, move |job| {
        let done = done.clone();
        async move { done.send(job.attempts).await.map_err(Error::internal) }
    });
    jobs.start().await.unwrap();
    assert_eq!(seen.recv().await, Some(2), "the attempt that died counts");
    stop(&tasks).await;
    assert!(!lab.rows().await.iter().any(|row| row.0 == id && row.3));
}

#[tokio::test]
async fn a_claim_that_ran_out_is_anybodys_and_the_late_one_changes_nothing() {
    let lab = Lab::new().await;
    let id = lab.enqueue(json!({})).await;
    let now = lab.clock().now();
    lab.db.write(move |tx| store::claim(tx, now, "test", "slow", 1)).await.unwrap();
    let later = now.plus(store::LEASE);
    let second = lab.db.write(move |tx| store::claim(tx, later, "test", "quick", 1)).await.unwrap();
    assert_eq!(second.len(), 1);
    lab.db.write(move |tx| finish(tx, id)).await.unwrap();
    let late = lab.db.write(move |tx| {
        enqueue(tx, now, "effect", &json!({}))?;
        finish(tx, id)
    });
    assert_eq!(late.await.unwrap_err().code(), "job_taken");
    assert_eq!(lab.rows().await, []);
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_job_wait() {
    for back in [3600, 365 * 24 * 3600] {
        let lab = Lab::new().await;
        lab.pass(2 * back);
        let now = lab.clock().now();
        let due = now.plus(4 * 3600 * SECOND);
        let id = lab.db.write(move |tx| enqueue_at(tx, now, due, "test", &json!({}))).await.unwrap();
        let claim = async |now: Time| lab.db.write(move |tx| store::claim(tx, now, "test", "p1", 9)).await.unwrap();
        let next = async |now: Time| lab.db.read(move |tx| store::next_due(tx, now, "test")).await.unwrap().unwrap();
        assert_eq!((claim(now).await.len(), next(now).await), (0, due));
        // Two servers' clocks are never quite the same.
        assert_eq!(claim(now.plus(-30 * SECOND)).await.len(), 0);
        let now = now.plus(-back * SECOND);
        assert_eq!(next(now).await, now);
        assert_eq!(claim(now).await.iter().map(|job| job.id).collect::<Vec<_>>(), [id]);
        let again = now.plus(8 * SECOND);
        lab.db.write(move |tx| store::retry(tx, now, id, "p1", again, "no")).await.unwrap();
        assert_eq!((claim(now).await.len(), next(now).await), (0, again), "it waits by the new clock");
    }
}

#[tokio::test]
async fn a_stop_gives_the_job_back_as_it_was() {
    let (lab, tasks) = (Lab::new().await, Tasks::default());
    let (begun, mut seen) = mpsc::channel(1);
    let mut jobs = lab.jobs("p1", &tasks);
    jobs.handle("test", 1, move |_| {
        let begun = begun.clone();
        async move {
            begun.send(()).await.map_err(Error::internal)?;
            std::future::pending().await
        }
    });
    jobs.start().await.unwrap();
    let id = lab.enqueue(json!({})).await;
    seen.recv().await.unwrap();
    stop(&tasks).await;
    assert_eq!(lab.rows().await, [(id, 0, None, false)]);
    let now = lab.clock().now();
    assert_eq!(lab.db.write(move |tx| store::claim(tx, now, "test", "p2", 1)).await.unwrap().len(), 1);
}

#[test]
fn waits_between_attempts_grow() {
    let waits: Vec<i64> = (1..=4).map(|attempt| retry_at(Time(0), attempt).0 / SECOND).collect();
    assert_eq!(waits, [2, 8, 32, 128]);
}

#[test]
fn the_last_attempt_is_known_as_such() {
    let last = |attempts| Job { id: 1, payload: Value::Null, attempts }.is_last_attempt();
    assert!(!last(MAX_ATTEMPTS - 1) && last(MAX_ATTEMPTS));
}
