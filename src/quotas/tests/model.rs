//! The whole meter against a model that is a list of what was used: any sequence of steps leaves the counters equal to the
//! sums of that list, something passes exactly when it fits under every hard limit that holds for it, and a threshold that
//! is reached is told once.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::civil::Date;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::period::Span;
use super::super::rule::plain;
use super::super::settle::{self, Settlement};
use super::*;
use crate::access::{self, Caller, Grants, PermissionSet, TeamId};

const HOUR: i64 = 3600 * 1_000_000;
/// 2026-11-26 10:00 UTC.
const BEGIN: Time = Time(1_795_687_200_000_000);
const PEOPLE: [i64; 2] = [3, 4];
/// Use is a person's or nobody's, a team's or no team's.
const OWNERS: [(bool, Option<usize>); 5] =
    [(false, None), (false, Some(0)), (true, None), (true, Some(0)), (true, Some(1))];
const RULES: usize = 8;

#[derive(Debug, Clone)]
enum Step {
    Make { owner: usize },
    Unmake { pick: usize },
    Reserve { owner: usize, amount: i64 },
    Settle { pick: usize, quarters: i64 },
    Request { person: usize },
    Clock { hours: i64 },
    Limit { rule: usize, limit: Option<i64> },
    Mode { rule: usize, mode: Mode },
    Period { rule: usize, period: Period },
    Override { rule: usize, limit: Option<i64>, hours: i64 },
    EndOverride { rule: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let limit = || prop_oneof![1 => Just(None), 6 => (0_i64..25).prop_map(Some)];
    let jump = prop::sample::select(vec![1, -1, 24, -24, 240, -240, 960, -960, 8784, -8784]);
    prop_oneof![
        6 => (0..OWNERS.len()).prop_map(|owner| Step::Make { owner }),
        3 => any::<usize>().prop_map(|pick| Step::Unmake { pick }),
        10 => (0..OWNERS.len(), 1_i64..9).prop_map(|(owner, amount)| Step::Reserve { owner, amount }),
        8 => (any::<usize>(), 0_i64..5).prop_map(|(pick, quarters)| Step::Settle { pick, quarters }),
        6 => (0..PEOPLE.len()).prop_map(|person| Step::Request { person }),
        4 => jump.prop_map(|hours| Step::Clock { hours }),
        3 => (0..RULES, limit()).prop_map(|(rule, limit)| Step::Limit { rule, limit }),
        2 => (0..RULES, prop::sample::select(Mode::ALL.to_vec())).prop_map(|(rule, mode)| Step::Mode { rule, mode }),
        3 => (0..RULES, prop::sample::select(Period::ALL.to_vec())).prop_map(|(rule, period)| Step::Period { rule, period }),
        2 => (0..RULES, limit(), 1_i64..2000).prop_map(|(rule, limit, hours)| Step::Override { rule, limit, hours }),
        1 => (0..RULES).prop_map(|rule| Step::EndOverride { rule }),
    ]
}

/// What is counted: tokens that were used, projects that are there, requests that were let through.
struct Use {
    resource: Resource,
    owner: Owner,
    day: Date,
    amount: i64,
    /// Of a project.
    id: i64,
    made_at: Time,
}

/// A call under way.
struct Call {
    reservation: Reservation,
    owner: Owner,
    day: Date,
    /// What it holds: a rule, and the period's name at that time.
    places: Vec<(i64, String)>,
    /// A rule it holds something of changed its kind of period since.
    outlived: bool,
}

/// A counter of a quota's: what it counts, and the threshold that was told last.
#[derive(Debug, Clone, Copy)]
struct Row {
    used: i64,
    warned: i64,
}

/// What the meter keeps at a moment: counters by quota and period, and how often each quota warned.
struct Kept {
    rows: BTreeMap<(i64, String), Row>,
    told: BTreeMap<i64, usize>,
}

struct World {
    db: Db,
    quotas: Quotas,
    clock: Arc<AtomicI64>,
    zone: Zone,
    org: OrgId,
    team: TeamId,
    /// A project of the team, in an organisation of no interest: tokens are a team's by their project.
    carrier: i64,
    rules: Vec<Rule>,
    uses: Vec<Use>,
    calls: Vec<Call>,
}

impl World {
    async fn new(db: &Db, quotas: &Quotas, clock: &Arc<AtomicI64>, zone: &Zone) -> Self {
        clock.store(BEGIN.0, Ordering::SeqCst);
        let made = db.write(|tx| {
            let (org, team, carrier) = (tx.next_id()?, tx.next_id()?, tx.next_id()?);
            let sql = "insert into organizations (id, name, slug, tier, created_at) values ($1, 'M', $2, 'free', 0)";
            tx.execute(sql, &params![org, format!("m{org}")])?;
            let sql = "insert into teams (id, organization_id, slug, name, name_key, description, settings, is_default, \
                       created_at, updated_at) values ($1, $2, 't', 't', 't', '', '{}', $3, 0, 0)";
            tx.execute(sql, &params![team, org, true])?;
            project(tx, carrier, ORG, Some(TeamId(team)), None, Time(0))?;
            let mut rules = Vec::new();
            for resource in [Resource::LlmTokens, Resource::Projects, Resource::ApiCalls] {
                let scopes = [Scope::Organization, Scope::Person(UserId(PEOPLE[0])), Scope::Team(TeamId(team))];
                // A request is no team's.
                for scope in scopes.into_iter().take(if resource == Resource::ApiCalls { 2 } else { 3 }) {
                    let rule = Rule { org: OrgId(org), resource, scope, ..plain(Some(12)) };
                    let rule = store::insert(tx, rule)?;
                    counters::seed(tx, &rule, BEGIN)?;
                    rules.push(rule);
                }
            }
            Ok((OrgId(org), TeamId(team), carrier, rules))
        });
        let (org, team, carrier, rules) = made.await.unwrap();
        let (db, quotas, clock, zone) = (db.clone(), quotas.clone(), clock.clone(), zone.clone());
        Self { db, quotas, clock, zone, org, team, carrier, rules, uses: Vec::new(), calls: Vec::new() }
    }

    fn now(&self) -> Time {
        Time(self.clock.load(Ordering::SeqCst))
    }

    fn owner(&self, index: usize) -> Owner {
        let (team, person) = OWNERS[index];
        Owner::org(self.org).team(team.then_some(self.team)).person(person.map(|person| UserId(PEOPLE[person])))
    }

    /// The model: what is in the rule's present period, by the list.
    fn counted(&self, rule: &Rule) -> i64 {
        let today = self.zone.day(self.now());
        let here = |one: &&Use| {
            one.resource == rule.resource
                && one.owner.is_within(rule.scope)
                && rule.period.first_day(one.day) == rule.period.first_day(today)
        };
        self.uses.iter().filter(here).map(|one| one.amount).sum()
    }

    /// What calls under way hold of the rule in its present period.
    fn under_way(&self, rule: &Rule) -> i64 {
        let place = (rule.id, rule.period.name(self.zone.day(self.now())));
        let holds = self.calls.iter().filter(|call| call.places.contains(&place));
        holds.map(|call| account::signed(call.reservation.amount())).sum()
    }

    fn fits(&self, owner: &Owner, resource: Resource, amount: i64) -> bool {
        let mut rules = self.rules.iter().filter(|rule| rule.resource == resource && owner.is_within(rule.scope));
        rules.all(|rule| {
            let limit = rule.limit(self.now()).filter(|_| rule.mode == Mode::Hard);
            limit.is_none_or(|limit| self.counted(rule) + self.under_way(rule) + amount <= limit)
        })
    }

    async fn make(&mut self, owner: usize) -> bool {
        let (owner, now) = (self.owner(owner), self.now());
        let (fits, org) = (self.fits(&owner, Resource::Projects, 1), self.org);
        let made = self.db.write(move |tx| {
            take(tx, now, &owner, Resource::Projects, 1)?;
            let id = tx.next_id()?;
            project(tx, id, org, owner.team, owner.person, now)?;
            Ok(id)
        });
        match made.await {
            Ok(id) => {
                let day = self.zone.day(now);
                self.uses.push(Use { resource: Resource::Projects, owner, day, amount: 1, id, made_at: now });
                fits
            }
            Err(error) => error.code() == "quota_exceeded" && !fits,
        }
    }

    async fn unmake(&mut self, pick: usize) {
        let places: Vec<usize> =
            (0..self.uses.len()).filter(|at| self.uses[*at].resource == Resource::Projects).collect();
        let Some(at) = places.get(pick % places.len().max(1)) else { return };
        let (gone, now) = (self.uses.remove(*at), self.now());
        let unmade = self.db.write(move |tx| {
            tx.execute("delete from projects where id = $1", &params![gone.id])?;
            give_back(tx, now, &gone.owner, Resource::Projects, 1, gone.made_at)
        });
        unmade.await.unwrap();
    }

    async fn reserve(&mut self, owner: usize, amount: i64) -> bool {
        let owner = self.owner(owner);
        let (fits, day) = (self.fits(&owner, Resource::LlmTokens, amount), self.zone.day(self.now()));
        let project = owner.team.map(|_| self.carrier);
        let asked = Owner { team: None, ..owner };
        match self.quotas.reserve(&asked, project, amount.unsigned_abs()).await {
            Ok(reservation) => {
                let holding = self
                    .rules
                    .iter()
                    .filter(|rule| rule.resource == Resource::LlmTokens && owner.is_within(rule.scope));
                let places = holding.map(|rule| (rule.id, rule.period.name(day))).collect();
                self.calls.push(Call { reservation, owner, day, places, outlived: false });
                fits
            }
            Err(error) => error.code() == "quota_exceeded" && !fits,
        }
    }

    async fn settle(&mut self, pick: usize, quarters: i64) {
        if self.calls.is_empty() {
            return;
        }
        let at = pick % self.calls.len();
        let Call { reservation, owner, day, .. } = self.calls.swap_remove(at);
        let amount = account::signed(reservation.amount()) * quarters / 4;
        if amount == 0 {
            return;
        }
        let project = owner.team.map(|_| self.carrier);
        let usage = Usage { user: owner.person, project, ..usage(amount.unsigned_abs()) };
        // Kept until the work is over, which the answer may be ahead of: what is left over comes back in this thread.
        let reservation = Arc::new(reservation);
        let settled = reservation.clone();
        self.db.write(move |tx| settled.settle_in(tx, &usage)).await.unwrap();
        while Arc::strong_count(&reservation) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(reservation);
        self.uses.push(Use { resource: Resource::LlmTokens, owner, day, amount, id: 0, made_at: self.now() });
    }

    async fn request(&mut self, person: usize) -> bool {
        let owner = Owner::org(self.org).person(Some(UserId(PEOPLE[person])));
        let (fits, day) = (self.fits(&owner, Resource::ApiCalls, 1), self.zone.day(self.now()));
        let here = Grants::of([(PermissionSet::ALL, access::Place::Org(self.org))]);
        let caller = Caller { user: owner.person, grants: Arc::new(here), ..Caller::system() };
        match self.quotas.count_call(&caller, None).await.1 {
            Ok(()) => {
                self.uses.push(Use { resource: Resource::ApiCalls, owner, day, amount: 1, id: 0, made_at: self.now() });
                self.write_requests().await;
                fits
            }
            Err(error) => error.code() == "quota_exceeded" && !fits,
        }
    }

    /// As the meter does every two seconds, which no test waits for.
    async fn write_requests(&self) {
        let (meter, at) = (self.quotas.meter.clone(), self.now());
        let batch = meter.calls().into_iter();
        let one = |(purse, count)| Settlement { purse, used: count, records: count, usage: None, told: None, at };
        let batch: Vec<Settlement> = batch.map(one).collect();
        let process = meter.process.clone();
        let written = self.db.write(move |tx| settle::settle(tx, &process, &batch.iter().collect::<Vec<_>>(), false));
        written.await.unwrap();
    }

    /// As the handlers change a quota; waits until what was held of it beyond calls under way is given back.
    async fn change(&mut self, index: usize, set: impl FnOnce(&mut Rule)) {
        let before = self.rules[index].clone();
        set(&mut self.rules[index]);
        let (after, now, quotas) = (self.rules[index].clone(), self.now(), self.quotas.clone());
        let changed = self.db.write(move |tx| {
            counters::change(tx, now, &before, &after)?;
            quotas.forget_rules(tx);
            Ok(())
        });
        changed.await.unwrap();
        self.shed(index).await;
    }

    async fn shed(&self, index: usize) {
        let id = self.rules[index].id;
        self.quotas.shed_one(id);
        let wanted: i64 = self
            .calls
            .iter()
            .filter(|call| call.places.iter().any(|(rule, _)| *rule == id))
            .map(|call| account::signed(call.reservation.amount()))
            .sum();
        for _ in 0..2000 {
            let sql = "select cast(coalesce(sum(granted), 0) as bigint) from quota_counters where quota_id = $1";
            let granted = self.db.read(move |tx| Ok(tx.query_row(sql, &params![id], |row| row.get::<i64>(0))?));
            if granted.await.unwrap() == Some(wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        panic!("what was held of quota {index} was not given back: {wanted} is under way");
    }

    async fn change_period(&mut self, index: usize, period: Period) {
        let id = self.rules[index].id;
        let holds = |call: &Call| call.places.iter().any(|(rule, _)| *rule == id);
        // A counter that a call holds is not made anew when its kind of period comes back; no call lasts that long.
        self.calls.retain(|call| !(call.outlived && holds(call)));
        self.calls.iter_mut().filter(|call| holds(call)).for_each(|call| call.outlived = true);
        self.shed(index).await;
        self.change(index, |rule| rule.period = period).await;
    }

    /// True: what happened is what the model says.
    async fn take(&mut self, step: &Step) -> bool {
        match *step {
            Step::Make { owner } => return self.make(owner).await,
            Step::Unmake { pick } => self.unmake(pick).await,
            Step::Reserve { owner, amount } => return self.reserve(owner, amount).await,
            Step::Settle { pick, quarters } => self.settle(pick, quarters).await,
            Step::Request { person } => return self.request(person).await,
            Step::Clock { hours } => drop(self.clock.fetch_add(hours * HOUR, Ordering::SeqCst)),
            Step::Limit { rule, limit } => self.change(rule, |rule| rule.limit_value = limit).await,
            Step::Mode { rule, mode } => self.change(rule, |rule| rule.mode = mode).await,
            Step::Period { rule, period } => self.change_period(rule, period).await,
            Step::Override { rule, limit, hours } => {
                let over =
                    Override { limit_value: limit, until: self.now().plus(hours * HOUR), reason: "r".to_owned() };
                self.change(rule, |rule| rule.over = Some(over)).await;
            }
            Step::EndOverride { rule } => self.change(rule, |rule| rule.over = None).await,
        }
        true
    }

    async fn kept(&self) -> Kept {
        let (first, last) = (self.rules[0].id, self.rules[RULES - 1].id);
        let read = self.db.read(move |tx| {
            let sql = "select quota_id, period, used, warned from quota_counters where quota_id between $1 and $2";
            let rows = tx.query_map(sql, &params![first, last], |row| {
                Ok(((row.get(0)?, row.get(1)?), Row { used: row.get(2)?, warned: row.get(3)? }))
            })?;
            let sql = "select resource_id from audit_entries where resource_type = 'quota' \
                       and description like '% of a quota are reached%'";
            let told = tx.query_map(sql, &[], |row| row.get::<String>(0))?;
            Ok((rows, told))
        });
        let (rows, said) = read.await.unwrap();
        let mut told = BTreeMap::new();
        for quota in said {
            *told.entry(quota.parse().unwrap()).or_default() += 1;
        }
        Kept { rows: rows.into_iter().collect(), told }
    }

    /// What is wrong about the warnings of a step, as far as its effect shows: each threshold that was passed is told, and
    /// told once as long as nothing was given back and no limit changed.
    fn warned_amiss(&self, step: &Step, before: &Kept, after: &Kept) -> Option<String> {
        let uses = matches!(step, Step::Make { .. } | Step::Settle { .. } | Step::Request { .. });
        let keeps = uses || matches!(step, Step::Reserve { .. } | Step::Clock { .. });
        for rule in &self.rules {
            let mut grown = 0;
            for (place, row) in after.rows.iter().filter(|((quota, _), _)| *quota == rule.id) {
                let was = before.rows.get(place).copied();
                let warned = was.map_or(0, |was| was.warned);
                grown += usize::from(row.warned > warned);
                let here = place.1 == rule.period.name(self.zone.day(self.now())) && rule.mode != Mode::Shadow;
                let reached = i64::from(rule.reached(row.used, self.now()));
                if uses && here && was.is_some_and(|was| row.used > was.used) && row.warned < reached {
                    return Some(format!("{reached} % of {rule:?} were reached and {row:?} does not say so"));
                }
                if keeps && row.warned < warned {
                    return Some(format!("{rule:?} forgot that {warned} % were told"));
                }
            }
            let told = |kept: &Kept| kept.told.get(&rule.id).copied().unwrap_or(0);
            if told(after) != told(before) + grown {
                let (before, after) = (told(before), told(after));
                return Some(format!(
                    "{rule:?} warned {before} times, then {after}, and {grown} of its counters say so"
                ));
            }
        }
        None
    }

    /// Each rule's number by the model and by the meter, in its present period.
    async fn numbers(&self) -> Vec<(i64, i64)> {
        let mut numbers = Vec::new();
        for rule in &self.rules {
            let (shown, zone, day) = (rule.clone(), self.zone.clone(), self.zone.day(self.now()));
            let stands = self.db.read(move |tx| match counters::store::get(tx, shown.id, &shown.period.name(day))? {
                Some(counter) => Ok(counter.used),
                // Counting begins with this.
                None => Ok(counters::store::truth(tx, &shown, &Span::of(shown.period, &zone, day))?),
            });
            numbers.push((self.counted(rule), stands.await.unwrap()));
        }
        numbers
    }
}

fn project(
    tx: &mut crate::db::Tx<'_>,
    id: i64,
    org: OrgId,
    team: Option<TeamId>,
    person: Option<UserId>,
    at: Time,
) -> Result<()> {
    let sql = "insert into projects (id, organization_id, name, requirements, status, created_by, created_by_id, team_id, \
               created_at, updated_at) values ($1, $2, 'P', '', 'pending', 'x', $3, $4, $5, $5)";
    let (person, team) = (person.map(|person| person.0), team.map(|team| team.0));
    Ok(tx.execute(sql, &params![id, org.0, person, team, at]).map(drop)?)
}

#[test]
fn any_sequence_of_steps_counts_as_a_list_of_uses_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for place in places() {
        let zone = Zone::find("Europe/Berlin").unwrap();
        let clock = Arc::new(AtomicI64::new(BEGIN.0));
        let (db, quotas, tasks) = runtime.block_on(async {
            let (db, tasks, now) = (place.with_org().await, Tasks::default(), clock.clone());
            let moved = Clock::from_fn(move || Time(now.load(Ordering::SeqCst)));
            let started = Quotas::start(db.clone(), moved, tasks.clone(), "one".to_owned(), zone.clone());
            let quotas = started.await.unwrap();
            (db, quotas, tasks)
        });
        let cases = if place.url.is_some() { 8 } else { 64 };
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 400, ..Config::default() };
        let tried = TestRunner::new(config).run(&prop::collection::vec(step(), 1..50), |steps| {
            runtime.block_on(async {
                let mut world = World::new(&db, &quotas, &clock, &zone).await;
                let mut before = world.kept().await;
                for (at, step) in steps.iter().enumerate() {
                    prop_assert!(world.take(step).await, "step {at} was decided otherwise: {step:?}");
                    let after = world.kept().await;
                    let amiss = world.warned_amiss(step, &before, &after);
                    prop_assert!(amiss.is_none(), "after step {at} {step:?}: {}", amiss.unwrap_or_default());
                    before = after;
                    for (rule, (model, meter)) in world.numbers().await.into_iter().enumerate() {
                        prop_assert_eq!(model, meter, "rule {} after step {} {:?}", rule, at, step);
                    }
                }
                Ok(())
            })
        });
        tried.unwrap();
        runtime.block_on(stop(tasks));
    }
}
