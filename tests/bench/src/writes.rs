//! Durable audited writes: a project, its place in the quota and its audit entry, by the product's own store through the
//! group commit, and by hand in batches as large as its groups.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use resoftai::access::{Caller, OrgId};
use resoftai::base::clock::Clock;
use resoftai::db::{Db, Options};
use resoftai::projects::store::{Home, NewProject, create};
use rusqlite::{Connection, params};

/// The largest group of the product's writer.
const BATCH: u64 = 256;
/// Writers at once: one group is being committed while the next one gathers.
const WRITERS: u64 = 2 * BATCH;
const NAME: &str = "A project of the bench";
const REQUIREMENTS: &str = "Build a URL shortener with an HTTP API.";

/// Writes for `time`; prints how many a second.
pub fn ours(database: &Path, org: i64, time: Duration) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let per_second = runtime.block_on(async {
        let db = Db::open_sqlite(database, Options::default()).await.unwrap();
        let permit = Arc::new(Caller::system()).permit().unwrap();
        let (clock, done, over) = (Clock::system(), Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut writers = tokio::task::JoinSet::new();
        let start = Instant::now();
        for _ in 0..WRITERS {
            let (db, permit, clock, done, over) =
                (db.clone(), permit.clone(), clock.clone(), done.clone(), over.clone());
            writers.spawn(async move {
                while !over.load(Relaxed) {
                    let (permit, now) = (permit.clone(), clock.now());
                    let new = NewProject {
                        home: Home::Org(OrgId(org)),
                        name: NAME.into(),
                        requirements: REQUIREMENTS.into(),
                    };
                    db.write(move |tx| create(tx, &permit, now, &new)).await.unwrap();
                    done.fetch_add(1, Relaxed);
                }
            });
        }
        tokio::time::sleep(time).await;
        let per_second = done.load(Relaxed) as f64 / start.elapsed().as_secs_f64();
        over.store(true, Relaxed);
        writers.join_all().await;
        db.close().await;
        per_second
    });
    println!("{per_second}");
}

/// The same rows by hand.
pub fn raw(database: &Path, org: i64, time: Duration) {
    let conn = Connection::open(database).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.pragma_update(None, "synchronous", "FULL").unwrap();
    conn.pragma_update(None, "foreign_keys", true).unwrap();
    let mut id: i64 = conn.query_row("SELECT last FROM ids", [], |row| row.get(0)).unwrap();
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < time {
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        for _ in 0..BATCH {
            write(&conn, org, id + 1, id + 2);
            id += 2;
        }
        conn.execute("UPDATE ids SET last = ?", [id]).unwrap();
        conn.execute_batch("COMMIT").unwrap();
        done += BATCH;
    }
    println!("{}", done as f64 / start.elapsed().as_secs_f64());
}

fn write(conn: &Connection, org: i64, project: i64, entry: i64) {
    let insert = "INSERT INTO projects (id, organization_id, name, requirements, status, created_by, created_at, updated_at) \
        VALUES (?1, ?2, ?3, ?4, 'pending', 'system', 1800000000000000, 1800000000000000)";
    conn.prepare_cached(insert).unwrap().execute(params![project, org, NAME, REQUIREMENTS]).unwrap();
    let count = "UPDATE quota_counters SET used = used + 1 WHERE quota_id = \
        (SELECT id FROM quotas WHERE organization_id = ?1 AND resource = 'projects' AND scope = 'organization')";
    conn.prepare_cached(count).unwrap().execute([org]).unwrap();
    audit(conn, org, project, entry);
}

fn audit(conn: &Connection, org: i64, project: i64, entry: i64) {
    let after = format!(
        r#"{{"id":{project},"organization_id":{org},"name":"{NAME}","requirements":"{REQUIREMENTS}","status":"pending","created_by":"system","created_at":"2027-01-15T08:00:00.000000Z","updated_at":"2027-01-15T08:00:00.000000Z","file_count":0,"latest_run_id":null}}"#
    );
    let insert = "INSERT INTO audit_entries (id, at, organization_id, actor_kind, actor_name, action, resource_type, \
        resource_id, description, success, after_json) \
        VALUES (?1, 1800000000000000, ?2, 'system', 'system', 'create', 'project', ?3, ?4, 1, ?5)";
    let told = format!("Created project {NAME}");
    let mut statement = conn.prepare_cached(insert).unwrap();
    statement.execute(params![entry, org, project.to_string(), told, after]).unwrap();
    conn.prepare_cached("INSERT INTO audit_pending (entry_id) VALUES (?)").unwrap().execute([entry]).unwrap();
}

/// Adds projects and audit entries, as years of use would.
pub fn grow(database: &Path, org: i64, projects: i64, entries: i64) {
    let conn = Connection::open(database).unwrap();
    conn.pragma_update(None, "cache_size", -262_144).unwrap();
    let mut id: i64 = conn.query_row("SELECT last FROM ids", [], |row| row.get(0)).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    for _ in 0..projects {
        write(&conn, org, id + 1, id + 2);
        id += 2;
    }
    for _ in projects..entries {
        id += 1;
        audit(&conn, org, id, id);
    }
    conn.execute("UPDATE ids SET last = ?", [id]).unwrap();
    conn.execute_batch("COMMIT").unwrap();
}
