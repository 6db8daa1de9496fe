//! What only this engine does: ids by the block, groups with members that fail.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::base::error::Error;
use crate::db::job::{Message, Task};
use crate::db::{Db, DbError, Migration, Options, Tx, ask, params, spawn};

const SCHEMA: Migration = Migration::new(
    1,
    "test",
    "CREATE TABLE ids (last BIGINT NOT NULL); INSERT INTO ids (last) VALUES (0);
     CREATE TABLE given (id BIGINT NOT NULL, CONSTRAINT pk_given PRIMARY KEY (id));",
);
const GIVEN: &str = "INSERT INTO given (id) VALUES ($1)";

/// Takes three ids in one transaction, which ends as `how` says.
async fn take(db: Db, how: usize) -> Option<Vec<i64>> {
    let taken = db.write(move |tx| {
        let first = tx.next_id()?;
        match how {
            // Nothing to undo.
            1 => return Err(Error::conflict("no", "No.")),
            // A savepoint is undone, and with it what it took.
            2 => {
                let undone: Result<(), DbError> = tx.savepoint(|tx| {
                    for _ in 0..2 {
                        let id = tx.next_id().unwrap();
                        tx.execute(GIVEN, &params![id])?;
                    }
                    Err(DbError::Other("no".into()))
                });
                assert!(undone.is_err());
            }
            _ => {}
        }
        let ids = vec![first, tx.next_id()?, tx.next_id()?];
        for id in &ids {
            tx.execute(GIVEN, &params![*id])?;
        }
        // The whole transaction is undone, with rows in it.
        if how == 3 { Err(Error::conflict("no", "No.")) } else { Ok(ids) }
    });
    taken.await.ok()
}

#[tokio::test]
async fn an_id_is_given_out_once_whatever_is_undone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("main.db");
    let mut largest = 0;
    for _ in 0..3 {
        let db = Db::open_sqlite_with(&file, Options::default(), &[SCHEMA]).await.unwrap();
        let jobs: Vec<_> = (0..600).map(|number| tokio::spawn(take(db.clone(), number % 4))).collect();
        let mut given = Vec::new();
        for (number, job) in jobs.into_iter().enumerate() {
            let ids = job.await.unwrap();
            assert_eq!(ids.is_some(), number % 4 % 2 == 0, "{number}");
            given.extend(ids.unwrap_or_default());
        }
        given.sort_unstable();
        let smallest = given[0];
        assert!(smallest > largest, "{smallest} was given out before");
        largest = *given.last().unwrap();
        given.dedup();
        assert_eq!(given.len(), 900);
        db.close().await;
    }
}

#[tokio::test]
async fn a_short_read_stays_where_it_is_and_a_long_one_begins_anew_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open_sqlite_with(&dir.path().join("main.db"), Options::default(), &[SCHEMA]).await.unwrap();
    let runs = Arc::new(AtomicUsize::new(0));
    let count = async |rows: i64| {
        let (counted, here) = (runs.clone(), std::thread::current().id());
        let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT count(*) FROM n";
        let read = db.read(move |tx| {
            counted.fetch_add(1, Ordering::SeqCst);
            let found = tx.query_row(sql, &params![rows], |row| row.get::<i64>(0))?;
            Ok((found, std::thread::current().id() == here))
        });
        read.await.unwrap()
    };
    // A statement's steps are counted over its runs: many short ones are still short.
    for round in 1..=200 {
        assert_eq!(count(20).await, (Some(20), true));
        assert_eq!(runs.load(Ordering::SeqCst), round);
    }
    assert_eq!(count(100_000).await, (Some(100_000), false));
    assert_eq!(runs.load(Ordering::SeqCst), 202);
    assert_eq!(count(20).await, (Some(20), true));
}

#[tokio::test]
async fn nobody_waits_for_a_thread_that_died() {
    let queue = async_channel::bounded(8);
    let (job, answer) = Task::boxed(|_: &mut Tx<'_>| Ok(()), false);
    queue.0.try_send(Message::Run(job)).ok().unwrap();
    let thread = spawn("dies", &queue, |_| panic!("on purpose")).unwrap();
    assert!(thread.handle.join().is_err());
    assert!(answer.await.is_err(), "what was queued is let go");
    let (job, answer) = Task::boxed(|_: &mut Tx<'_>| Ok(()), false);
    assert_eq!(ask(&queue.0, Duration::from_secs(1), job, answer).await.unwrap_err().code(), "database_closed");
}
