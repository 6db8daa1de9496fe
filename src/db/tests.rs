//! The same suite for both engines: SQLite always, PostgreSQL when RESOFTAI_TEST_POSTGRES_URL names a server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use super::*;
use crate::base::error::Kind;

const SCHEMA: Migration = Migration::new(
    1,
    "test",
    "CREATE TABLE users (id BIGINT NOT NULL, org_id BIGINT, email TEXT NOT NULL, score DOUBLE PRECISION, \
     active BOOLEAN, photo BYTEA, CONSTRAINT pk_users PRIMARY KEY (id), \
     CONSTRAINT uq_users_org_id_email UNIQUE (org_id, email), CONSTRAINT ck_users_email CHECK (length(email) < 100));
     CREATE UNIQUE INDEX uq_users_lower ON users (lower(email));
     CREATE TABLE pets (id BIGINT NOT NULL, owner BIGINT NOT NULL, CONSTRAINT pk_pets PRIMARY KEY (id), \
     CONSTRAINT fk_pets_owner FOREIGN KEY (owner) REFERENCES users (id) DEFERRABLE INITIALLY DEFERRED);
     CREATE TABLE notes (id BIGINT NOT NULL, owner BIGINT NOT NULL, CONSTRAINT pk_notes PRIMARY KEY (id), \
     CONSTRAINT fk_notes_owner FOREIGN KEY (owner) REFERENCES users (id));
     CREATE TABLE counters (id BIGINT NOT NULL, n BIGINT NOT NULL, CONSTRAINT pk_counters PRIMARY KEY (id));
     INSERT INTO counters (id, n) VALUES (1, 0);",
)
.dialects(
    "CREATE TRIGGER tr_counters BEFORE DELETE ON counters BEGIN SELECT RAISE(ABORT, 'counters stay'); END;",
    "CREATE FUNCTION counters_stay() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'counters stay'; \
     END; $$; CREATE TRIGGER tr_counters BEFORE DELETE ON counters FOR EACH ROW EXECUTE FUNCTION counters_stay();",
);

const USER: &str = "INSERT INTO users (id, email) VALUES ($1, $2)";

struct Place {
    engine: Engine,
    dir: tempfile::TempDir,
    url: String,
}

impl Place {
    fn new(engine: Engine) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let schema = format!("t_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let url = match engine {
            Engine::Sqlite => String::new(),
            Engine::Postgres => {
                format!("{}?options=-csearch_path%3D{schema}", std::env::var("RESOFTAI_TEST_POSTGRES_URL").ok()?)
            }
        };
        Some(Self { engine, dir: tempfile::tempdir().unwrap(), url })
    }

    fn file(&self) -> std::path::PathBuf {
        self.dir.path().join("main.db")
    }

    async fn open_with(&self, options: Options, migrations: &[Migration]) -> Result<Db> {
        match self.engine {
            Engine::Sqlite => Db::open_sqlite_with(&self.file(), options, migrations).await,
            Engine::Postgres => Db::open_postgres_with(&self.url, options, Reach::default(), migrations).await,
        }
    }

    async fn open(&self) -> Db {
        self.open_with(Options::default(), &[SCHEMA]).await.unwrap()
    }
}

fn places() -> Vec<Place> {
    [Engine::Sqlite, Engine::Postgres].into_iter().filter_map(Place::new).collect()
}

fn run(test: impl AsyncFn(Place)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for place in places() {
        runtime.block_on(test(place));
    }
}

async fn count(db: &Db, table: &'static str) -> i64 {
    let sql = format!("SELECT count(*) FROM {table}");
    db.read(move |tx| Ok(tx.query_row(&sql, &[], |row| row.get(0))?)).await.unwrap().unwrap()
}

fn user(tx: &mut Tx<'_>, id: i64) -> Result<(), DbError> {
    tx.execute(USER, &params![id, format!("{id}@site")]).map(drop)
}

/// What the engine says to a statement.
async fn refused(db: &Db, sql: &'static str, values: Vec<Val>) -> DbError {
    let found = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&found);
    let outcome = db.write(move |tx| {
        *kept.lock().unwrap() = tx.execute(sql, &values).err();
        Ok(())
    });
    assert_eq!(outcome.await.unwrap_err().kind(), Kind::Internal, "a swallowed failure must not commit");
    found.lock().unwrap().take().unwrap()
}

#[test]
fn values_come_back_as_they_went_in() {
    run(async |place| {
        let db = place.open().await;
        assert_eq!(db.engine(), place.engine);
        let row = db.write(|tx| {
            let insert = "INSERT INTO users (id, email, score, active, photo) VALUES ($5, $4, $3, $2, $1)";
            let changed = tx.execute(insert, &params![vec![0_u8, 255], true, 0.5, "ä\u{1F600}", i64::MIN])?;
            assert_eq!(changed, 1);
            let select = "SELECT id, org_id, email, score, active, photo, count(*) OVER () FROM users \
                          WHERE (id, email) >= ($2, $1) AND id = $2 AND active = TRUE";
            let row = tx.query_row(select, &params!["a", i64::MIN], |row| {
                Ok((
                    row.get::<i64>(0)?,
                    row.get::<Option<i64>>(1)?,
                    row.get::<String>(2)?,
                    row.get::<f64>(3)?,
                    row.get::<bool>(4)?,
                    row.get::<Vec<u8>>(5)?,
                    row.get::<i64>(6)?,
                ))
            });
            Ok(row?.unwrap())
        });
        let expected = (i64::MIN, None, "ä\u{1F600}".to_owned(), 0.5, true, vec![0_u8, 255], 1);
        assert_eq!(row.await.unwrap(), expected);
        for wrong in [vec![], params![1].to_vec(), params![1, "a", 3].to_vec(), params![1, "a\0"].to_vec()] {
            assert!(matches!(refused(&db, USER, wrong).await, DbError::Other(_)));
        }
        let nan = refused(&db, "UPDATE users SET score = $1", vec![Val::F64(f64::NAN)]).await;
        assert!(matches!(nan, DbError::Other(_)));
        let read = db.read(|tx| Ok(tx.query_row("SELECT email FROM users", &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap_err().kind(), Kind::Internal);
        let written = db.read(|tx| Ok(tx.execute("DELETE FROM users", &[])?));
        assert_eq!(written.await.unwrap_err().kind(), Kind::Internal, "a read must not write");
        assert_eq!(count(&db, "users").await, 1);
    });
}

#[test]
fn constraints_have_the_same_names_on_both() {
    run(async |place| {
        let db = place.open().await;
        let first = "INSERT INTO users (id, org_id, email) VALUES ($1, $2, $3)";
        db.write(move |tx| Ok(tx.execute(first, &params![1, 1, "Ann"]).map(drop)?)).await.unwrap();
        let says = async |sql, values: &[Val]| refused(&db, sql, values.to_vec()).await;
        assert_eq!(says(first, &params![1, 2, "x"]).await, DbError::Unique("pk_users".into()));
        assert_eq!(
            says(first, &params![2, 1, "Ann"]).await,
            match place.engine {
                // Both unique constraints are hurt and each engine reports another one first; the next line is exact.
                Engine::Sqlite => DbError::Unique("uq_users_lower".into()),
                Engine::Postgres => DbError::Unique("uq_users_org_id_email".into()),
            }
        );
        assert_eq!(says(first, &params![2, 2, "ANN"]).await, DbError::Unique("uq_users_lower".into()));
        assert_eq!(says(first, &[2.into(), 2.into(), Val::Null]).await, DbError::NotNull("users.email".into()));
        assert_eq!(says(first, &params![2, 2, "x".repeat(100)]).await, DbError::Check("ck_users_email".into()));
        assert_eq!(says("DELETE FROM counters", &[]).await, DbError::Refused("counters stay".into()));
        if place.engine == Engine::Sqlite {
            let replace = "REPLACE INTO counters (id, n) VALUES (1, 5)";
            assert_eq!(says(replace, &[]).await, DbError::Refused("counters stay".into()));
        }
        let orphan = says("INSERT INTO notes (id, owner) VALUES (1, 99)", &[]).await;
        assert!(
            matches!(orphan, DbError::ForeignKey(None)) || orphan == DbError::ForeignKey(Some("fk_notes_owner".into()))
        );
    });
}

#[test]
fn unique_columns_are_named_in_the_order_of_the_constraint() {
    run(async |place| {
        let schema = "CREATE TABLE t (a BIGINT, b TEXT, CONSTRAINT uq_t_a_b UNIQUE (a, b))";
        let db = place.open_with(Options::default(), &[Migration::new(1, "t", schema)]).await.unwrap();
        db.write(|tx| Ok(tx.execute("INSERT INTO t (a, b) VALUES (1, 'x')", &[]).map(drop)?)).await.unwrap();
        let error = refused(&db, "INSERT INTO t (a, b) VALUES (1, 'x')", vec![]).await;
        assert_eq!(error, DbError::Unique("uq_t_a_b".into()));
    });
}

#[test]
fn a_savepoint_undoes_only_itself() {
    run(async |place| {
        let db = place.open().await;
        let hooks = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&hooks);
        db.write(move |tx| {
            user(tx, 1)?;
            let doomed = Arc::clone(&seen);
            let inner: Result<(), DbError> = tx.savepoint(|tx| {
                tx.after_commit(move || {
                    doomed.fetch_add(100, Ordering::SeqCst);
                });
                user(tx, 2)?;
                tx.savepoint(|tx| user(tx, 3))?;
                user(tx, 1)
            });
            assert!(matches!(inner, Err(DbError::Unique(_))));
            let swallowed: Result<(), DbError> = tx.savepoint(|tx| {
                drop(user(tx, 1));
                assert!(matches!(user(tx, 5), Err(DbError::Other(_))), "nothing may run after a failure");
                Ok(())
            });
            assert!(swallowed.is_err());
            let kept = Arc::clone(&seen);
            tx.savepoint(|tx| -> Result<(), DbError> {
                tx.after_commit(move || {
                    kept.fetch_add(1, Ordering::SeqCst);
                });
                user(tx, 4)
            })?;
            Ok(())
        })
        .await
        .unwrap();
        let read = db.read(|tx| Ok(tx.query_map("SELECT id FROM users ORDER BY id", &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap(), [1, 4]);
        assert_eq!(hooks.load(Ordering::SeqCst), 1);
    });
}

/// Holds a write transaction open until told to go on.
fn gate() -> (impl FnMut() + Send, Receiver<()>, Sender<()>) {
    let (entered, is_in) = channel();
    let (go, may_go) = channel();
    let wait = move || {
        entered.send(()).unwrap();
        may_go.recv().unwrap();
    };
    (wait, is_in, go)
}

#[test]
fn a_group_isolates_failing_and_panicking_jobs() {
    run(async |place| {
        let db = place.open().await;
        let (mut wait, is_in, go) = gate();
        let holder = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |_| {
                    wait();
                    Ok(())
                })
                .await
            }
        });
        is_in.recv().unwrap();
        let jobs: Vec<_> = (0..60_i64)
            .map(|id| {
                let db = db.clone();
                tokio::spawn(async move {
                    db.write(move |tx| {
                        user(tx, id)?;
                        match id % 5 {
                            1 => user(tx, id)?,
                            2 => panic!("job {id}"),
                            // Fails at COMMIT only, and with it the whole group.
                            3 => drop(tx.execute("INSERT INTO pets (id, owner) VALUES ($1, 999)", &params![id])?),
                            4 => return Err(Error::conflict("no", "No.")),
                            _ => {}
                        }
                        Ok(id)
                    })
                    .await
                })
            })
            .collect();
        go.send(()).unwrap();
        holder.await.unwrap().unwrap();
        for (id, job) in jobs.into_iter().enumerate() {
            let result = job.await.unwrap().map_err(|error| (error.kind(), error.code()));
            match id % 5 {
                0 => assert_eq!(result, Ok(i64::try_from(id).unwrap())),
                4 => assert_eq!(result, Err((Kind::Conflict, "no"))),
                _ => assert_eq!(result, Err((Kind::Internal, "internal"))),
            }
        }
        assert_eq!((count(&db, "users").await, count(&db, "pets").await), (12, 0));
        db.ping().await.unwrap();
    });
}

#[test]
fn hooks_run_after_the_commit_and_before_the_answer_only() {
    run(async |place| {
        let db = place.open().await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let attempt = async |outcome: u8| {
            let (order, db) = (Arc::clone(&order), db.clone());
            let log = Arc::clone(&order);
            let result = db.write(move |tx| {
                let log = Arc::clone(&log);
                tx.after_commit(move || log.lock().unwrap().push(outcome));
                match outcome {
                    0 => user(tx, 1)?,
                    1 => return Err(Error::conflict("no", "No.")),
                    2 => drop(tx.execute("INSERT INTO pets (id, owner) VALUES (1, 999)", &[])?),
                    3 => tx.after_commit(|| panic!("a hook")),
                    _ => panic!("a job"),
                }
                Ok(())
            });
            let ok = result.await.is_ok();
            order.lock().unwrap().push(if ok { 100 } else { 200 });
        };
        for outcome in 0..5 {
            attempt(outcome).await;
        }
        assert_eq!(*order.lock().unwrap(), [0, 100, 200, 200, 3, 100, 200]);
        assert_eq!(count(&db, "users").await, 1);
    });
}

#[test]
fn readers_see_committed_rows_only() {
    run(async |place| {
        let db = place.open().await;
        let (mut wait, is_in, go) = gate();
        let writer = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |tx| {
                    user(tx, 1)?;
                    wait();
                    Ok(())
                })
                .await
            }
        });
        is_in.recv().unwrap();
        assert_eq!(count(&db, "users").await, 0);
        go.send(()).unwrap();
        writer.await.unwrap().unwrap();
        assert_eq!(count(&db, "users").await, 1);
    });
}

#[test]
fn a_full_queue_says_busy_and_a_waiter_that_leaves_runs_nothing() {
    run(async |place| {
        let options = Options { readers: 1, queue: 1 };
        let db = place.open_with(options, &[SCHEMA]).await.unwrap();
        let (mut wait, is_in, go) = gate();
        let (one, two) = (db.clone(), db.clone());
        let first = tokio::spawn(async move {
            one.write(move |_| {
                wait();
                Ok(())
            })
            .await
        });
        is_in.recv().unwrap();
        let mut second = Box::pin(two.write(|tx| Ok(user(tx, 2)?)));
        assert!(futures_util::poll!(&mut second).is_pending());
        let (job, answer) = Task::boxed(|tx: &mut Tx<'_>| Ok(user(tx, 3)?), true);
        let third = ask(&db.inner.writes, Duration::from_millis(20), job, answer).await.unwrap_err();
        assert_eq!((third.kind(), third.code()), (Kind::Unavailable, "database_busy"));
        drop(second);
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        db.write(|tx| Ok(user(tx, 4)?)).await.unwrap();
        let read = db.read(|tx| Ok(tx.query_map("SELECT id FROM users", &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap(), [4]);
    });
}

#[test]
fn concurrent_increments_are_exact() {
    run(async |place| {
        let db = place.open_with(Options { readers: 4, queue: 64 }, &[SCHEMA]).await.unwrap();
        let work = |_| {
            let db = db.clone();
            tokio::spawn(async move {
                for _ in 0..25 {
                    db.write(|tx| {
                        let n = tx.query_row("SELECT n FROM counters WHERE id = 1", &[], |row| row.get::<i64>(0))?;
                        tx.execute("UPDATE counters SET n = $1 WHERE id = 1", &params![n.unwrap() + 1])?;
                        Ok(())
                    })
                    .await
                    .unwrap();
                }
            })
        };
        for task in (0..8).map(work).collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let read = db.read(|tx| Ok(tx.query_row("SELECT n FROM counters", &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap(), Some(200));
    });
}

#[test]
fn close_finishes_what_is_queued_and_refuses_the_rest() {
    run(async |place| {
        let db = place.open().await;
        let pending: Vec<_> = (0..50)
            .map(|id| {
                let db = db.clone();
                tokio::spawn(async move { db.write(move |tx| Ok(user(tx, id)?)).await })
            })
            .collect();
        let clone = db.clone();
        db.close().await;
        let mut written = 0;
        for job in pending {
            match job.await.unwrap() {
                Ok(()) => written += 1,
                Err(error) => assert_eq!(error.code(), "database_closed"),
            }
        }
        assert_eq!(clone.ping().await.unwrap_err().code(), "database_closed");
        assert_eq!(count(&place.open().await, "users").await, written);
    });
}

#[test]
fn migrations_run_once_in_order_and_refuse_surprises() {
    run(async |place| {
        let more = Migration::new(2, "more", "CREATE TABLE more (id BIGINT)");
        let open = async |steps: &[Migration]| place.open_with(Options::default(), steps).await;
        let (one, two) = tokio::join!(open(&[SCHEMA]), open(&[SCHEMA]));
        drop((one.unwrap(), two.unwrap()));
        let broken = Migration::new(2, "broken", "CREATE TABLE half (id BIGINT); SELECT nonsense;");
        assert_eq!(open(&[SCHEMA, broken]).await.err().unwrap().code(), "migration_failed");
        let db = open(&[SCHEMA, more]).await.unwrap();
        let half = db.read(|tx| Ok(tx.query_row("SELECT id FROM half", &[], |_| Ok(()))?));
        assert!(half.await.is_err(), "a failed step must leave nothing behind");
        assert_eq!((count(&db, "more").await, count(&db, "schema_migrations").await), (0, 2));
        let times = "SELECT count(*) FROM schema_migrations WHERE applied_at > 1600000000000000";
        let read = db.read(move |tx| Ok(tx.query_row(times, &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap(), Some(2));
        let changed = Migration { common: "CREATE TABLE other (id BIGINT)", ..more };
        assert_eq!(open(&[SCHEMA, changed]).await.err().unwrap().code(), "migration_changed");
        assert_eq!(open(&[SCHEMA]).await.err().unwrap().code(), "database_newer");
    });
}

#[test]
fn a_full_disk_fails_only_who_needs_space() {
    let place = Place::new(Engine::Sqlite).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        // The limit belongs to the connection that migrates, and that one writes.
        let limit = Migration::new(2, "limit", "PRAGMA max_page_count = 40");
        let db = place.open_with(Options::default(), &[SCHEMA, limit]).await.unwrap();
        let (mut wait, is_in, go) = gate();
        let holder = tokio::spawn({
            let db = db.clone();
            async move {
                db.write(move |_| {
                    wait();
                    Ok(())
                })
                .await
            }
        });
        is_in.recv().unwrap();
        let write = |id: i64, bytes: usize| {
            let (db, photo) = (db.clone(), vec![7_u8; bytes]);
            tokio::spawn(async move {
                let sql = "INSERT INTO users (id, email, photo) VALUES ($1, $2, $3)";
                db.write(move |tx| Ok(tx.execute(sql, &params![id, id.to_string(), photo.as_slice()]).map(drop)?)).await
            })
        };
        let (small, big, last) = (write(1, 10), write(2, 1 << 20), write(3, 10));
        go.send(()).unwrap();
        holder.await.unwrap().unwrap();
        small.await.unwrap().unwrap();
        assert_eq!(big.await.unwrap().unwrap_err().code(), "disk_full");
        last.await.unwrap().unwrap();
        assert_eq!(count(&db, "users").await, 2);
    });
}

#[test]
fn the_file_is_private() {
    let place = Place::new(Engine::Sqlite).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let db = runtime.block_on(place.open());
    runtime.block_on(db.write(|tx| Ok(user(tx, 1)?))).unwrap();
    for file in std::fs::read_dir(place.dir.path()).unwrap() {
        assert_eq!(file.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let missing = place.dir.path().join("no/such/folder.db");
    let error = runtime.block_on(Db::open_sqlite(&missing, Options::default())).err().unwrap();
    assert_eq!(error.code(), "database_unreachable");
}

#[test]
fn postgres_urls_are_refused_without_showing_the_password() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (url, code) in [
        ("postgres://u:secret@db.site/x", "database_unreachable"),
        ("postgres://u:secret@127.0.0.1/x?sslmode=verify-full", "database_url"),
        ("postgres://u:secret@127.0.0.1/x?nonsense=1", "database_url"),
        ("postgres://u:secret@127.0.0.1:1/x", "database_unreachable"),
    ] {
        let error = runtime.block_on(Db::open_postgres(url, Options::default())).err().unwrap();
        assert_eq!(error.code(), code, "{url}");
        assert!(!format!("{error:?}").contains("secret"));
    }
}

#[test]
fn a_lost_connection_is_replaced() {
    run(async |place| {
        if place.engine == Engine::Sqlite {
            return;
        }
        let db = place.open_with(Options { readers: 1, queue: 8 }, &[SCHEMA]).await.unwrap();
        db.ping().await.unwrap();
        db.write(|tx| Ok(tx.execute("UPDATE counters SET n = 5 WHERE id = 1", &[])?)).await.unwrap();
        // The writer's connection ends by its own hand in the middle of a transaction; the second run must succeed.
        let mut runs = 0;
        let attempts = db.write(move |tx| {
            runs += 1;
            tx.execute("UPDATE counters SET n = n + 1 WHERE id = 1", &[])?;
            if runs == 1 {
                tx.query_row("SELECT pg_terminate_backend(pg_backend_pid())", &[], |_| Ok(()))?;
            }
            Ok(runs)
        });
        assert_eq!(attempts.await.unwrap(), 2);
        // And while it is idle, by another's.
        let pid = db.write(|tx| Ok(tx.query_row("SELECT pg_backend_pid()", &[], |row| row.get::<i64>(0))?));
        let (pid, kill) = (pid.await.unwrap(), "SELECT pg_terminate_backend(CAST(CAST($1 AS BIGINT) AS INTEGER))");
        db.read(move |tx| Ok(tx.query_row(kill, &params![pid], |_| Ok(()))?)).await.unwrap();
        db.write(|tx| Ok(tx.execute("UPDATE counters SET n = n + 1 WHERE id = 1", &[])?)).await.unwrap();
        let read = db.read(|tx| Ok(tx.query_row("SELECT n FROM counters", &[], |row| row.get::<i64>(0))?));
        assert_eq!(read.await.unwrap(), Some(7));
    });
}

#[test]
#[ignore = "the body of the process that the next test kills"]
fn child_that_acknowledges() {
    let Ok(path) = std::env::var("RESOFTAI_TEST_CHILD_DB") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let db = Db::open_sqlite_with(Path::new(&path), Options::default(), &[SCHEMA]).await.unwrap();
        let stream = |lane: i64| {
            let db = db.clone();
            tokio::spawn(async move {
                for id in (lane..).step_by(8) {
                    db.write(move |tx| Ok(user(tx, id)?)).await.unwrap();
                    writeln!(std::io::stdout().lock(), "ack {id}").unwrap();
                }
            })
        };
        for lane in (0..8).map(stream).collect::<Vec<_>>() {
            lane.await.unwrap();
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let place = Place::new(Engine::Sqlite).unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "db::tests::child_that_acknowledges", "--ignored", "--nocapture"])
        .env("RESOFTAI_TEST_CHILD_DB", place.file())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged: Vec<i64> = Vec::new();
    for line in lines.map_while(std::io::Result::ok) {
        acknowledged.extend(line.split("ack ").nth(1).and_then(|id| id.trim().parse::<i64>().ok()));
        if acknowledged.len() == 300 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 300, "the child ended early: {}", acknowledged.len());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let found = runtime.block_on(async {
        let db = place.open().await;
        db.read(|tx| Ok(tx.query_map("SELECT id FROM users", &[], |row| row.get::<i64>(0))?)).await.unwrap()
    });
    let found: std::collections::HashSet<i64> = found.into_iter().collect();
    assert!(acknowledged.iter().all(|id| found.contains(id)));
}
