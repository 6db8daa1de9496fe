//! How the audit trail behaves as it grows: the newest page, searches, the export, and giving entries their places.
//!
//! Trails of up to ten million entries, recorded by the product's own store. They are kept in a folder between runs, because
//! the largest takes minutes, until the schema has another step.

use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use rusqlite::Connection;
use serde_json::Value;

use crate::load::{self, Ask, drive};
use crate::process::{BOTH, MEASURED, Server, pinned};
use crate::site::{self, Site};
use crate::{ROUNDS, TURN, above, below, itself, median, tell};

const SIZES: [i64; 4] = [10_000, 100_000, 1_000_000, 10_000_000];
/// Bytes of an entry with all its indexes, and of the log while it is written.
const ENTRY: u64 = 1_600;
/// The size that is exported.
const EXPORTED: i64 = 1_000_000;
/// Entries that get their places in one round.
const SEQUENCED: i64 = 200_000;

/// A site whose trail has so many entries.
pub struct Trail {
    entries: i64,
    server: Server,
    token: String,
}

impl Trail {
    fn of(site: &Site, program: &Path, kept: &Path, entries: i64, processors: &str) -> Self {
        let dir = place(kept, entries);
        if !dir.exists() {
            drop(std::fs::remove_dir_all(dir.parent().unwrap()));
            make(site, &dir, entries);
        }
        let server = site::serve(program, &dir, processors);
        let token = site::administrator(&server);
        Self { entries, server, token }
    }

    fn ask(&self, path: &'static str) -> Ask {
        Ask { method: "GET", path, token: self.token.clone(), body: Bytes::new(), vary: false, wanted: 200 }
    }
}

/// Where a trail of that size is kept: beside nothing else, so that one of another schema gives way.
fn place(kept: &Path, entries: i64) -> PathBuf {
    let steps: i64 = resoftai::db::migrate::BUILTIN.iter().map(|step| step.version).sum();
    kept.join(format!("trail-{entries}")).join(format!("schema-{steps}"))
}

/// Makes it under another name first, so that what is there is whole. Indexes and triggers are put back once the rows are
/// there, which is faster, and the entries wait for no place: the logs have a bench of their own.
fn make(site: &Site, dir: &Path, entries: i64) {
    let unfinished = dir.with_extension("unfinished");
    drop(std::fs::remove_dir_all(&unfinished));
    site.copy(&unfinished);
    let database = unfinished.join("resoftai.db");
    let parts = take_off(&Connection::open(&database).unwrap());
    inside(&["record", &database.to_string_lossy(), &site.org.to_string(), &entries.to_string()]);
    let conn = Connection::open(&database).unwrap();
    conn.execute_batch("PRAGMA cache_size = -262144").unwrap();
    parts.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
    conn.execute_batch("DELETE FROM audit_pending").unwrap();
    std::fs::rename(unfinished, dir).unwrap();
}

/// Drops the table's indexes and triggers; what makes them again.
fn take_off(conn: &Connection) -> Vec<String> {
    let sql =
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = 'audit_entries' AND type <> 'table' AND sql <> ''";
    let mut statement = conn.prepare(sql).unwrap();
    let parts = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let parts: Vec<(String, String, String)> = parts.map(Result::unwrap).collect();
    parts.iter().for_each(|(kind, name, _)| conn.execute_batch(&format!("DROP {kind} {name}")).unwrap());
    parts.into_iter().map(|(_, _, sql)| sql).collect()
}

/// The JSON that another role of this program prints.
pub fn inside(arguments: &[&str]) -> Value {
    let output = pinned(MEASURED, &itself()).args(arguments).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?} failed"))
}

/// What is measured on trails of different sizes.
pub fn grown(site: &Site, program: &Path, kept: &Path) -> bool {
    let sizes = fitting(kept);
    if sizes.contains(&EXPORTED) {
        export(&Trail::of(site, program, kept, EXPORTED, BOTH));
    }
    let trails: Vec<_> = sizes.into_iter().map(|entries| Trail::of(site, program, kept, entries, MEASURED)).collect();
    searches(&trails)
}

/// The sizes that there is room for.
fn fitting(kept: &Path) -> Vec<i64> {
    std::fs::create_dir_all(kept).unwrap();
    let fits = |entries: &i64| {
        let free = rustix::fs::statvfs(kept).unwrap();
        let room = place(kept, *entries).exists() || free.f_bavail * free.f_frsize > entries.unsigned_abs() * ENTRY;
        if !room {
            println!("| A trail of {entries} entries: no room on the disk | | | |");
        }
        room
    };
    SIZES.into_iter().filter(fits).collect()
}

/// The newest page, a search that an index answers, and one that looks at as many entries as a call may.
fn searches(trails: &[Trail]) -> bool {
    let asks = [
        ("The newest 20 entries", "/api/audit?limit=20"),
        (
            "20 failures by an actor in a type",
            "/api/audit?limit=20&actor_id=900000001&success=false&resource_type=project",
        ),
        ("A text that is nowhere", "/api/audit?limit=20&q=nowhere-to-be-found"),
    ];
    let kept = asks.map(|(what, path)| {
        let turns = |_| trails.iter().map(|trail| drive(&trail.server.address, &trail.ask(path), 1, TURN / 2));
        let rounds: Vec<Vec<_>> = (0..ROUNDS).map(|round| turns(round).collect()).collect();
        for (at, trail) in trails.iter().enumerate() {
            tell(&format!("{what}, of {}: p50", trail.entries), median(rounds.iter().map(|r| r[at].p50)), "us");
            tell(&format!("{what}, of {}: p99", trail.entries), median(rounds.iter().map(|r| r[at].p99)), "us");
        }
        let ratio = median(rounds.iter().map(|r| 100.0 * r[r.len() - 1].p99 / r[0].p99));
        below(&format!("{what}: p99 of the largest against the smallest"), ratio, 200.0, "%")
    });
    kept.iter().all(|kept| *kept)
}

/// The export to a file, by a server that has both processors and shares them with what fetches it, against copying that
/// file, which lies in memory: both until it is on the disk. No budget: disks differ more than the product does.
fn export(trail: &Trail) {
    let dir = tempfile::tempdir_in(".").unwrap();
    let (file, copy) = (dir.path().join("export"), dir.path().join("copy"));
    let formats = [("JSON lines", "/api/audit/export?format=json"), ("CSV", "/api/audit/export?format=csv")];
    for (what, path) in formats {
        let rounds = (0..ROUNDS).map(|_| {
            let begun = Instant::now();
            let bytes = load::save(&trail.server.address, &trail.ask(path), &file) as f64 / 1e6;
            let exported = bytes / begun.elapsed().as_secs_f64();
            let begun = Instant::now();
            std::fs::copy(&file, &copy).unwrap();
            std::fs::File::open(&copy).unwrap().sync_all().unwrap();
            (exported, bytes / begun.elapsed().as_secs_f64())
        });
        let rounds: Vec<_> = rounds.collect();
        tell(&format!("Export of {} entries as {what}", trail.entries), median(rounds.iter().map(|r| r.0)), "MB/s");
        tell("Copying that file", median(rounds.iter().map(|r| r.1)), "MB/s");
        let ratio = median(rounds.iter().map(|r| 100.0 * r.0 / r.1));
        tell(&format!("Export as {what} against copying"), ratio, "%");
    }
}

/// Entries that wait get their places: each round on a copy of one site.
pub fn sequencing(site: &Site) -> bool {
    let dir = tempfile::tempdir_in(".").unwrap();
    let (full, copy): (PathBuf, PathBuf) = (dir.path().join("full"), dir.path().join("copy"));
    site.copy(&full);
    let database = full.join("resoftai.db");
    inside(&["record", &database.to_string_lossy(), &site.org.to_string(), &SEQUENCED.to_string()]);
    let rounds = (0..ROUNDS).map(|_| {
        std::fs::create_dir_all(copy.join("secrets")).unwrap();
        for file in ["resoftai.db", "secrets/audit.key"] {
            std::fs::copy(full.join(file), copy.join(file)).unwrap();
        }
        inside(&["sequence", &copy.to_string_lossy()])
    });
    let rounds: Vec<Value> = rounds.collect();
    let of = |figure: &str| median(rounds.iter().map(|round| round[figure].as_f64().unwrap()));
    tell("Processor time of giving an entry its place", of("cpu"), "us");
    above("Entries given their places in the log, on one processor", of("per_second"), 100_000.0, "a second")
}
