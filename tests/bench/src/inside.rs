//! What is measured inside of a process, by the product's own functions: checking permissions, setting use aside, and giving
//! entries of the trail their places. Each prints one line of JSON.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use resoftai::access::actions::ProjectUpdate;
use resoftai::access::{Actor, ActorKind, Caller, Grants, OrgId, Origin, Place, Role, TeamId, UserId};
use resoftai::audit::tree::Logs;
use resoftai::audit::{AuditAction, Event, record_as};
use resoftai::base::clock::{Clock, SECOND};
use resoftai::base::tasks::Tasks;
use resoftai::base::zone::Zone;
use resoftai::config::secrets;
use resoftai::db::{Db, Options, params};
use resoftai::quotas::{Owner, Quotas, Usage};
use serde_json::json;

use crate::process::cpu_of;

/// Checks in one measurement.
const CHECKS: u32 = 2_000_000;
/// Between two calls that set tokens aside: so many that others get their turn, as between requests.
const GAP: Duration = Duration::from_micros(100);
/// Tokens of one call.
const TOKENS: u64 = 500;
/// Entries recorded in one transaction.
const RECORDS: i64 = 20_000;
/// Actors of the entries that are recorded; far from the ids that the product gives.
const ACTORS: (i64, i64) = (900_000_000, 50);

/// Nanoseconds of a permit and its check at a team, for somebody who holds a role in so many organisations and teams.
pub fn check(organizations: i64) {
    let role = Role::Developer.permissions();
    let held = (1..=organizations).flat_map(|org| {
        let team = TeamId(organizations + org);
        [(role, Place::Org(OrgId(org))), (role, Place::Team(OrgId(org), team))]
    });
    let caller = Arc::new(Caller { grants: Arc::new(Grants::of(held)), ..Caller::system() });
    let begun = Instant::now();
    for turn in 0..CHECKS {
        let org = 1 + i64::from(turn) * 7919 % organizations;
        let permit = black_box(&caller).permit::<ProjectUpdate>().unwrap();
        assert!(permit.covers_place(black_box(Place::Team(OrgId(org), TeamId(organizations + org)))));
    }
    println!("{}", json!({"ns": begun.elapsed().as_nanos() as f64 / f64::from(CHECKS)}));
}

/// The median of setting tokens aside and settling, in microseconds, while what was settled is written down.
pub fn reserve(database: &Path, org: i64, time: Duration) {
    on_a_runtime(async {
        let db = Db::open_sqlite(database, Options::default()).await.unwrap();
        let tasks = Tasks::default();
        let start = Quotas::start(db.clone(), Clock::system(), tasks.clone(), "bench".to_owned(), Zone::default());
        let quotas = start.await.unwrap();
        let owner = Owner::org(OrgId(org)).person(Some(UserId(ACTORS.0)));
        let caller = Arc::new(Caller::system());
        let (begun, mut taken) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let usage = Usage {
                tokens: TOKENS,
                user: Some(UserId(ACTORS.0)),
                project: None,
                model: "bench".to_owned(),
                source: "gateway",
                metadata: None,
            };
            let event = Event::new(AuditAction::Execute, "model", "Used the model bench").org(OrgId(org));
            let told = (event, caller.clone());
            let start = Instant::now();
            quotas.reserve(&owner, None, 2 * TOKENS).await.unwrap().settle(usage, Some(told));
            taken.push(start.elapsed());
            while start.elapsed() < GAP {
                tokio::task::yield_now().await;
            }
        }
        taken.sort_unstable();
        let p50 = taken[taken.len() / 2].as_secs_f64() * 1e6;
        tasks.shut_down(Duration::from_secs(30)).await;
        db.close().await;
        println!("{}", json!({"p50": p50}));
    });
}

/// Records `count` entries of `org` as the product does, the newest now, a second apart.
pub fn record(database: &Path, org: i64, count: i64) {
    on_a_runtime(async {
        let db = Db::open_sqlite(database, Options::default()).await.unwrap();
        let now = Clock::system().now();
        for from in (0..count).step_by(RECORDS as usize) {
            let to = count.min(from + RECORDS);
            let batch = db.write(move |tx| {
                (from..to).try_for_each(|number| {
                    let (actor, origin, event) = entry(org, number);
                    record_as(tx, now.plus((number - count) * SECOND), &actor, &origin, &event)
                })
            });
            batch.await.unwrap();
        }
        db.close().await;
    });
    println!("{}", json!({"recorded": count}));
}

/// People who change projects, sign in, or fail to delete something.
fn entry(org: i64, number: i64) -> (Actor, Origin, Event) {
    let person = ACTORS.0 + number % ACTORS.1;
    let actor = Actor { kind: ActorKind::User, id: Some(person), name: format!("person{}", number % ACTORS.1) };
    let origin = Origin {
        ip_address: Some("192.0.2.17".to_owned()),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0".to_owned()),
        request_id: Some(format!("{number:032x}")),
    };
    let project = number % 997;
    let state = |status: &str| json!({"id": project, "organization_id": org, "name": "A project of the bench", "status": status});
    let event = match number % 10 {
        0 => Event::new(AuditAction::Login, "session", format!("Signed in as person{}", number % ACTORS.1))
            .person(UserId(person)),
        1 => Event::new(AuditAction::Delete, "project", format!("Refused to delete project {project}")).failed(),
        2 => Event::new(AuditAction::Create, "project", format!("Created project {project}")).after(&state("pending")),
        _ => Event::new(AuditAction::Update, "project", format!("Changed project {project}"))
            .before(&state("pending"))
            .after(&state("running")),
    };
    (actor, origin, event.id(project).org(OrgId(org)))
}

/// Entries a second that get their places in the logs of the site in `dir`, of those that wait there, and microseconds of
/// processor time for each.
pub fn sequence(dir: &Path) {
    on_a_runtime(async {
        let db = Db::open_sqlite(&dir.join("resoftai.db"), Options::default()).await.unwrap();
        let seed = secrets::load_or_create(&dir.join("secrets/audit.key")).unwrap();
        let (tasks, logs) = (Tasks::default(), Logs::new(db.clone(), Clock::system(), &seed).unwrap());
        let count = |sql: &'static str| db.read(move |tx| Ok(tx.query_row(sql, &params![], |row| row.get::<i64>(0))?));
        let waiting = count("SELECT count(*) FROM audit_pending").await.unwrap().unwrap();
        let (begun, used) = (Instant::now(), cpu_of("self"));
        logs.start(&tasks).await.unwrap();
        while count("SELECT entry_id FROM audit_pending LIMIT 1").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let per_second = waiting as f64 / begun.elapsed().as_secs_f64();
        let cpu = (cpu_of("self") - used) / waiting as f64;
        tasks.shut_down(Duration::from_secs(30)).await;
        db.close().await;
        println!("{}", json!({"per_second": per_second, "cpu": cpu}));
    });
}

fn on_a_runtime(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work);
}
