//! The meter under many callers at once, over crashes, refusals and failed transactions. SQLite always, PostgreSQL when
//! RESOFTAI_TEST_POSTGRES_URL names a server.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod model;

use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::audit::AuditAction;
use crate::base::clock::{Clock, Time};
use crate::base::tasks::Tasks;
use crate::base::zone::Zone;
use crate::db::{Db, Engine, Options, params};

const ORG: OrgId = OrgId(7);
const LIMIT: i64 = 100_000;

struct Place {
    dir: tempfile::TempDir,
    url: Option<String>,
}

fn places() -> Vec<Place> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("quota_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let url = std::env::var("RESOFTAI_TEST_POSTGRES_URL").ok();
    let url = url.map(|url| format!("{url}?options=-csearch_path%3D{schema}"));
    let place = |url| Place { dir: tempfile::tempdir().unwrap(), url };
    [Some(place(None)), url.map(|url| place(Some(url)))].into_iter().flatten().collect()
}

impl Place {
    async fn open(&self) -> Db {
        match &self.url {
            None => Db::open_sqlite(&self.dir.path().join("q.db"), Options::default()).await.unwrap(),
            Some(url) => Db::open_postgres(url, Options::default()).await.unwrap(),
        }
    }

    async fn with_org(&self) -> Db {
        let db = self.open().await;
        let sql = "insert into organizations (id, name, slug, tier, created_at) values ($1, 'A', 'a', 'free', 0)";
        db.write(move |tx| {
            tx.execute(sql, &params![ORG.0])?;
            open(tx, ORG, "free", Time(0))?;
            Ok(tx.execute("update quotas set period = 'none'", &[]).map(drop)?)
        })
        .await
        .unwrap();
        db
    }
}

async fn start(db: &Db, process: &str) -> (Quotas, Tasks) {
    let tasks = Tasks::default();
    let quotas =
        Quotas::start(db.clone(), Clock::system(), tasks.clone(), process.to_owned(), Zone::default()).await.unwrap();
    (quotas, tasks)
}

async fn stop(tasks: Tasks) {
    assert!(tasks.shut_down(Duration::from_secs(20)).await);
}

async fn tokens(db: &Db) -> Quota {
    db.read(|tx| Ok(store::find(tx, ORG, Resource::LlmTokens, Time(0))?.unwrap())).await.unwrap()
}

async fn number(db: &Db, sql: &'static str) -> i64 {
    db.read(move |tx| Ok(tx.query_row(sql, &[], |row| row.get(0))?.unwrap())).await.unwrap()
}

const RECORDED: &str = "select cast(coalesce(sum(amount), 0) as bigint) from usage_records";

fn usage(tokens: u64) -> Usage {
    Usage { tokens, user: Some(UserId(3)), project: None, model: "m".to_owned(), source: "gateway", metadata: None }
}

/// What a caller may be using now plus what is settled: the figure that must never pass the limit.
#[derive(Default)]
struct Exposure(AtomicU64);

impl Exposure {
    fn add(&self, amount: u64) {
        let now = self.0.fetch_add(amount, Ordering::SeqCst) + amount;
        assert!(now <= LIMIT.unsigned_abs(), "{now} tokens are reserved or used, the limit is {LIMIT}");
    }

    fn sub(&self, amount: u64) {
        self.0.fetch_sub(amount, Ordering::SeqCst);
    }
}

async fn caller(quotas: Quotas, exposure: Arc<Exposure>, seed: u64) -> u64 {
    let mut used = 0;
    for round in 0..20 {
        let mix = (seed * 7919 + round * 104_729) % 3001;
        let Ok(reservation) = quotas.reserve(&Owner::org(ORG), None, mix + 1).await else { continue };
        exposure.add(mix + 1);
        tokio::task::yield_now().await;
        if mix.is_multiple_of(5) {
            exposure.sub(mix + 1);
            drop(reservation);
            continue;
        }
        exposure.sub(mix + 1 - mix / 4);
        reservation.settle(usage(mix / 4), None);
        used += mix / 4;
    }
    used
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_of_two_processes_never_pass_the_limit_together() {
    for place in places() {
        let db = place.with_org().await;
        let (first, first_tasks) = start(&db, "one").await;
        let (second, second_tasks) = start(&db, "two").await;
        let exposure = Arc::new(Exposure::default());
        let mut calls = tokio::task::JoinSet::new();
        for seed in 0..200 {
            let quotas = if seed % 2 == 0 { first.clone() } else { second.clone() };
            calls.spawn(caller(quotas, exposure.clone(), seed));
        }
        let used: u64 = calls.join_all().await.into_iter().sum();
        stop(first_tasks).await;
        stop(second_tasks).await;
        let quota = tokens(&db).await;
        assert!(used > 50_000, "the limit was hardly approached: {used}");
        assert_eq!((quota.used, quota.reserved), (account::signed(used), 0));
        assert_eq!(number(&db, RECORDED).await, account::signed(used));
        assert_eq!(number(&db, "select count(*) from quota_grants").await, 0);
    }
}

#[tokio::test]
async fn the_whole_limit_can_be_had_and_not_one_token_more() {
    for place in places() {
        let db = place.with_org().await;
        let (quotas, tasks) = start(&db, "one").await;
        let all = quotas.reserve(&Owner::org(ORG), None, 100_000).await.unwrap();
        let refused = quotas.reserve(&Owner::org(ORG), None, 1).await.err().unwrap();
        assert_eq!(refused.code(), "quota_exceeded");
        assert!(refused.message().contains("of 100000"), "{refused}");
        all.settle(usage(40), None);
        assert_eq!(
            quotas.reserve(&Owner::org(ORG), None, 99_960).await.unwrap().amount(),
            99_960,
            "what was not used came back"
        );
        assert_eq!(quotas.reserve(&Owner::org(ORG), None, u64::MAX).await.err().unwrap().code(), "quota_exceeded");
        assert_eq!(quotas.reserve(&Owner::org(OrgId(8)), None, 1).await.err().unwrap().code(), "quota_exceeded");
        stop(tasks).await;
        assert_eq!((tokens(&db).await.used, tokens(&db).await.reserved), (40, 0));
    }
}

#[tokio::test]
async fn what_a_dead_process_held_counts_as_used() {
    for place in places() {
        let db = place.with_org().await;
        let (quotas, _never_stopped) = start(&db, "one").await;
        let reservation = quotas.reserve(&Owner::org(ORG), None, 1000).await.unwrap();
        let granted = tokens(&db).await.reserved;
        assert!(granted >= 1000);
        std::mem::forget(reservation);
        let (_, tasks) = start(&db, "one").await;
        let quota = tokens(&db).await;
        assert_eq!((quota.used, quota.reserved), (granted, 0));
        assert_eq!(number(&db, "select amount from usage_records where source = 'unsettled'").await, granted);
        let told = "select count(*) from audit_entries where actor_kind = 'system' and action = 'update' \
                    and resource_type = 'quota' and description like 'Counted%' and organization_id = 7";
        assert_eq!(number(&db, told).await, 1);
        stop(tasks).await;
    }
}

#[tokio::test]
async fn another_living_process_is_left_alone_until_its_lease_runs_out() {
    for place in places().into_iter().filter(|place| place.url.is_some()) {
        let db = place.with_org().await;
        assert_eq!(db.engine(), Engine::Postgres);
        let now = Arc::new(AtomicI64::new(1_000_000));
        let clock = Clock::from_fn({
            let now = now.clone();
            move || Time(now.load(Ordering::SeqCst))
        });
        let tasks = Tasks::default();
        let one =
            Quotas::start(db.clone(), clock.clone(), tasks.clone(), "one".to_owned(), Zone::default()).await.unwrap();
        std::mem::forget(one.reserve(&Owner::org(ORG), None, 1000).await.unwrap());
        let granted = tokens(&db).await.reserved;
        Quotas::start(db.clone(), clock.clone(), tasks.clone(), "two".to_owned(), Zone::default()).await.unwrap();
        assert_eq!(tokens(&db).await.reserved, granted);
        now.fetch_add(meter::LEASE + 1, Ordering::SeqCst);
        Quotas::start(db.clone(), clock, tasks.clone(), "three".to_owned(), Zone::default()).await.unwrap();
        assert_eq!((tokens(&db).await.used, tokens(&db).await.reserved), (granted, 0));
    }
}

#[tokio::test]
async fn use_is_settled_in_the_callers_transaction_or_else_by_itself() {
    for place in places() {
        let db = place.with_org().await;
        let (quotas, tasks) = start(&db, "one").await;
        let reservation = quotas.reserve(&Owner::org(ORG), None, 1000).await.unwrap();
        db.write(move |tx| reservation.settle_in(tx, &usage(300))).await.unwrap();
        assert_eq!(tokens(&db).await.used, 300);
        let reservation = quotas.reserve(&Owner::org(ORG), None, 1000).await.unwrap();
        let failed = db.write(move |tx| {
            reservation.settle_in(tx, &usage(50))?;
            Err::<(), _>(Error::invalid("no", "The transaction of the run failed."))
        });
        assert_eq!(failed.await.err().unwrap().code(), "no");
        stop(tasks).await;
        assert_eq!((tokens(&db).await.used, tokens(&db).await.reserved), (350, 0));
        assert_eq!(number(&db, RECORDED).await, 350);
    }
}

#[tokio::test]
async fn the_trail_is_written_with_the_use_and_one_bad_record_spoils_no_other() {
    for place in places() {
        let db = place.with_org().await;
        let (quotas, tasks) = start(&db, "one").await;
        let caller = Arc::new(Caller::system());
        for model in ["good", "bad\0", "fine"] {
            let reservation = quotas.reserve(&Owner::org(ORG), None, 10).await.unwrap();
            let event = Event::new(AuditAction::Execute, "model", format!("Used {model}")).org(ORG);
            reservation.settle(Usage { model: model.to_owned(), ..usage(10) }, Some((event, caller.clone())));
        }
        stop(tasks).await;
        assert_eq!(tokens(&db).await.used, 30);
        assert_eq!(number(&db, "select count(*) from usage_records where model is not null").await, 2);
        assert_eq!(number(&db, "select count(*) from audit_entries where action = 'execute'").await, 2);
    }
}

#[tokio::test]
async fn projects_are_counted_in_the_callers_transaction() {
    for place in places() {
        let db = place.with_org().await;
        let owner = Owner::org(ORG);
        let five = db.write(move |tx| (0..5).try_for_each(|_| take(tx, Time(0), &owner, Resource::Projects, 1)));
        five.await.unwrap();
        let sixth = db.write(move |tx| take(tx, Time(0), &owner, Resource::Projects, 1)).await.unwrap_err();
        assert_eq!(sixth.code(), "quota_exceeded");
        assert!(sixth.message().contains("5 of 5 used"), "{sixth}");
        db.write(move |tx| give_back(tx, Time(0), &owner, Resource::Projects, 2, Time(0))).await.unwrap();
        db.write(move |tx| take(tx, Time(0), &owner, Resource::Projects, 2)).await.unwrap();
    }
}
