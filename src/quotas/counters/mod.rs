//! Counting: what is taken, given back, settled and told, in the caller's transaction.
//!
//! Invariant: something is taken from every quota that holds for its owner, or from none; a threshold is told in the
//! transaction that reaches it, once a period.

pub mod store;

use jiff::civil::Date;

use super::period::{Period, Span};
use super::rule::{Mode, Owner, Rule, Scope, THRESHOLDS};
use super::{Resource, exceeded, limits, store as quotas, usage};
use crate::access::{Caller, OrgId, TeamId};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::zone::Zone;
use crate::db::Tx;
use crate::notices::{self, NewNotice};

/// How far below a threshold use must fall, in percent of the limit, so that what has no period is told of again.
const CALM: u8 = 10;

/// What is counted of a quota in one period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counter {
    pub used: i64,
    pub granted: i64,
    pub warned: i64,
    pub blocked: i64,
}

/// Gives a new organisation the quotas of its tier.
///
/// # Errors
/// When the database fails.
pub fn open(tx: &mut Tx<'_>, org: OrgId, tier: &str, now: Time) -> Result<()> {
    for resource in Resource::ALL {
        let rule = quotas::insert(tx, default(org, resource, tier))?;
        seed(tx, &rule, now)?;
    }
    Ok(())
}

/// Gives an organisation the quotas of another tier; those set by hand stay.
///
/// # Errors
/// When the database fails.
pub fn follow_tier(tx: &mut Tx<'_>, now: Time, org: OrgId, tier: &str) -> Result<()> {
    for resource in Resource::ALL {
        let Some(before) = quotas::wide(tx, org, resource)?.filter(|rule| !rule.custom) else { continue };
        let after = Rule { id: before.id, ..default(org, resource, tier) };
        change(tx, now, &before, &after)?;
    }
    Ok(())
}

/// Writes down what a quota has become, and counts by it from now on.
pub(super) fn change(tx: &mut Tx<'_>, now: Time, before: &Rule, after: &Rule) -> Result<()> {
    quotas::update(tx, after)?;
    let period = after.period.name(quotas::zone(tx)?.day(now));
    if before.period != after.period {
        // What was counted by it once was not counted on while another kind of period held.
        store::forget(tx, after.id, after.period, &period)?;
        return seed(tx, after, now);
    }
    // What was told of another limit is told anew of this one.
    let counter = store::get(tx, after.id, &period)?.unwrap_or_default();
    calm(tx, now, after, &period, counter)
}

/// The organisation's quota of a resource as its tier has it.
pub(super) fn default(org: OrgId, resource: Resource, tier: &str) -> Rule {
    let found = limits(tier).into_iter().find(|(of, ..)| *of == resource);
    let (limit_value, period) = found.map_or((Some(0), Period::None), |(_, limit, period)| (limit, period));
    Rule {
        id: 0,
        org,
        resource,
        scope: Scope::Organization,
        limit_value,
        period,
        mode: Mode::Hard,
        thresholds: THRESHOLDS.to_vec(),
        over: None,
        per_minute: None,
        custom: false,
    }
}

/// Counts what is there already, when a quota begins to count in another period.
pub(super) fn seed(tx: &mut Tx<'_>, rule: &Rule, now: Time) -> Result<()> {
    let zone = quotas::zone(tx)?;
    let day = zone.day(now);
    let (period, used) = (rule.period.name(day), store::truth(tx, rule, &Span::of(rule.period, &zone, day))?);
    store::begin(tx, rule.id, &period)?;
    Ok(store::set(tx, rule.id, &period, used)?)
}

/// Begins to count in the period that `day` is in, unless that has begun: with what it saw already, which is something
/// only when the clock was set back, or the quota had another kind of period.
pub(super) fn begin(tx: &mut Tx<'_>, rule: &Rule, zone: &Zone, day: Date) -> Result<()> {
    let period = rule.period.name(day);
    if store::begin(tx, rule.id, &period)? {
        let used = store::truth(tx, rule, &Span::of(rule.period, zone, day))?;
        store::set(tx, rule.id, &period, used)?;
    }
    Ok(())
}

/// Counts `amount` of what exists as `owner`'s, in the caller's transaction.
///
/// # Errors
/// `quota_exceeded` with the numbers; `not_found` when there is no such organisation. Nothing is counted then.
pub fn take(tx: &mut Tx<'_>, now: Time, owner: &Owner, resource: Resource, amount: i64) -> Result<()> {
    if amount <= 0 {
        return Ok(());
    }
    let rules = quotas::holding(tx, owner, resource)?;
    // An organisation has its quotas from its first moment to its last.
    if !rules.iter().any(|rule| rule.scope == Scope::Organization) {
        return Err(Error::not_found("organization").field("organization_id"));
    }
    let zone = quotas::zone(tx)?;
    match rules.as_slice() {
        [one] => take_one(tx, now, &zone, one, amount, now)?,
        several => {
            tx.savepoint(|tx| several.iter().try_for_each(|rule| take_one(tx, now, &zone, rule, amount, now)))?;
        }
    }
    usage::add(tx, zone.day(now), owner, resource, amount)
}

/// Takes from one quota, in the period that `at` is in.
fn take_one(tx: &mut Tx<'_>, now: Time, zone: &Zone, rule: &Rule, amount: i64, at: Time) -> Result<()> {
    let day = zone.day(at);
    let period = rule.period.name(day);
    let mut taken = store::take(tx, rule.id, &period, amount, now)?;
    if taken.is_none() && store::get(tx, rule.id, &period)?.is_none() {
        begin(tx, rule, zone, day)?;
        taken = store::take(tx, rule.id, &period, amount, now)?;
    }
    let Some(counter) = taken else {
        let counter = store::get(tx, rule.id, &period)?.unwrap_or_default();
        return Err(exceeded(rule, counter, amount, now, rule.period.renews_at(zone, day)));
    };
    told(tx, now, rule, &period, counter, &[(amount, 1)])
}

/// Takes back what [`take`] counted at `made_at`.
///
/// # Errors
/// When the database fails.
pub fn give_back(
    tx: &mut Tx<'_>,
    now: Time,
    owner: &Owner,
    resource: Resource,
    amount: i64,
    made_at: Time,
) -> Result<()> {
    if amount <= 0 {
        return Ok(());
    }
    let zone = quotas::zone(tx)?;
    for rule in quotas::holding(tx, owner, resource)? {
        let period = rule.period.name(zone.day(made_at));
        if let Some(counter) = store::give_back(tx, rule.id, &period, amount)? {
            calm(tx, now, &rule, &period, counter)?;
        }
    }
    Ok(())
}

/// Counts `amount`, which was counted at `made_at`, for another team of the organisation, or for none.
///
/// # Errors
/// `quota_exceeded` when that team has no room for it.
pub fn hand_over(
    tx: &mut Tx<'_>,
    now: Time,
    org: OrgId,
    [from, to]: [Option<TeamId>; 2],
    resource: Resource,
    amount: i64,
    made_at: Time,
) -> Result<()> {
    let zone = quotas::zone(tx)?;
    let of = |tx: &mut Tx<'_>, team: Option<TeamId>| -> Result<Option<Rule>> {
        let rules = quotas::holding(tx, &Owner::org(org).team(team), resource)?;
        Ok(rules.into_iter().find(|rule| matches!(rule.scope, Scope::Team(_))))
    };
    if let Some(rule) = of(tx, from)? {
        let period = rule.period.name(zone.day(made_at));
        if let Some(counter) = store::give_back(tx, rule.id, &period, amount)? {
            calm(tx, now, &rule, &period, counter)?;
        }
    }
    match of(tx, to)? {
        Some(rule) if amount > 0 => take_one(tx, now, &zone, &rule, amount, made_at),
        _ => Ok(()),
    }
}

/// Counts who belongs to an organisation; called by every transaction that changes it, after the change.
///
/// # Errors
/// `quota_exceeded` when there are more than before and more than the limit.
pub fn count_members(tx: &mut Tx<'_>, now: Time, org: OrgId) -> Result<()> {
    let Some(rule) = quotas::wide(tx, org, Resource::TeamMembers)? else { return Ok(()) };
    let period = Period::None.name(Zone::default().day(now));
    let there = store::truth(tx, &rule, &Span::of(Period::None, &Zone::default(), Zone::default().day(now)))?;
    store::begin(tx, rule.id, &period)?;
    let before = store::get(tx, rule.id, &period)?.unwrap_or_default();
    let Some(counter) = store::reach(tx, rule.id, &period, there, now)? else {
        return Err(exceeded(&rule, before, there - before.used, now, None));
    };
    if there > before.used {
        told(tx, now, &rule, &period, counter, &[(there - before.used, 1)])
    } else {
        calm(tx, now, &rule, &period, counter)
    }
}

/// Takes a team's quotas away with the team, and counts who still belongs to the organisation.
///
/// # Errors
/// When the database fails.
pub fn without_team(tx: &mut Tx<'_>, now: Time, org: OrgId, team: TeamId) -> Result<()> {
    for resource in Resource::ALL {
        let rules = quotas::holding(tx, &Owner::org(org).team(Some(team)), resource)?;
        for rule in rules.iter().filter(|rule| rule.scope == Scope::Team(team)) {
            quotas::delete(tx, rule.id)?;
        }
    }
    count_members(tx, now, org)
}

/// What reaching `counter` by `uses` (totals and numbers of equal ones) means: thresholds to tell, and in mode shadow
/// what would have been refused.
pub(super) fn told(
    tx: &mut Tx<'_>,
    now: Time,
    rule: &Rule,
    period: &str,
    counter: Counter,
    uses: &[(i64, i64)],
) -> Result<()> {
    if rule.mode == Mode::Shadow {
        let before = counter.used - uses.iter().map(|(total, _)| total).sum::<i64>();
        let beyond = rule.beyond(before, uses, now);
        if beyond > 0 {
            let resource = rule.resource.code();
            tx.after_commit(move || {
                metrics::counter!("quota_would_have_blocked_total", "resource" => resource)
                    .increment(beyond.unsigned_abs());
            });
            if store::block(tx, rule.id, period, beyond)? {
                tell(tx, now, rule, counter.used, "A hard limit would have refused what was used from here on")?;
            }
        }
        return Ok(());
    }
    let reached = rule.reached(counter.used, now);
    if i64::from(reached) > counter.warned && store::warn(tx, rule.id, period, reached)? {
        let words = tell(tx, now, rule, counter.used, &format!("{reached} % of a quota are reached"))?;
        let link = format!("/organizations/{}", rule.org.0);
        let notice = NewNotice::new("quota_warning", format!("{words}.")).org(rule.org).link(link);
        notices::to_admins(tx, now, rule.org, &notice)?;
    }
    Ok(())
}

/// Counts use of `day` that was reserved before the quota got its present kind of period.
pub(super) fn moved(tx: &mut Tx<'_>, now: Time, rule: &Rule, day: Date, uses: &[(i64, i64)]) -> Result<()> {
    let period = rule.period.name(day);
    match store::add(tx, rule.id, &period, uses.iter().map(|(amount, _)| amount).sum())? {
        Some(counter) => told(tx, now, rule, &period, counter, uses),
        // Counting begins there with all there is.
        None => Ok(()),
    }
}

/// Lets a threshold be told again once use fell well below it.
pub(super) fn calm(tx: &mut Tx<'_>, now: Time, rule: &Rule, period: &str, counter: Counter) -> Result<()> {
    if counter.warned == 0 {
        return Ok(());
    }
    let limit = rule.limit(now).unwrap_or(i64::MAX);
    let near = |threshold: &&u8| {
        i128::from(counter.used) * 100 > i128::from(limit) * i128::from(threshold.saturating_sub(CALM))
    };
    let near = rule.thresholds.iter().filter(near).max().copied().unwrap_or(0);
    if i64::from(near) < counter.warned {
        store::calm(tx, rule.id, period, near)?;
    }
    Ok(())
}

/// Writes it into the trail; what it says.
fn tell(tx: &mut Tx<'_>, now: Time, rule: &Rule, used: i64, what: &str) -> Result<String> {
    let limit = Rule::limit_words(rule.limit(now));
    let words = format!("{what}: {used} of {limit} {} used by the {}", rule.resource.words(), rule.scope.words());
    let event = Event::new(AuditAction::Update, "quota", words.as_str()).id(rule.id).org(rule.org);
    audit::record(tx, now, &Caller::system(), &event)?;
    Ok(words)
}

/// Counts as used what processes held that did not renew since `before`, and what one of the name `reborn` held, with an
/// audit entry for each. Returns the organisations with the amounts.
pub(super) fn bury(tx: &mut Tx<'_>, reborn: Option<&str>, before: Time, now: Time) -> Result<Vec<(OrgId, i64)>> {
    let zone = quotas::zone(tx)?;
    let mut lost = Vec::new();
    for grant in store::dead(tx, reborn.unwrap_or_default(), before)? {
        if !store::remove(tx, &grant)? || grant.amount == 0 {
            continue;
        }
        let settled = store::settle(tx, &grant.process, grant.quota, &grant.period, grant.amount, 0)?;
        let (Some(counter), Some(rule)) = (settled, quotas::by_id(tx, grant.quota)?) else { continue };
        told(tx, now, &rule, &grant.period, counter, &[(grant.amount, 1)])?;
        let amount = grant.amount;
        if rule.scope == Scope::Organization {
            usage::unsettled(tx, zone.day(now), rule.org, rule.resource, amount, now)?;
        }
        let words =
            format!("Counted {amount} {} as used that a server process held when it ended", rule.resource.words());
        let event = Event::new(AuditAction::Update, "quota", words).id(rule.id).org(rule.org);
        audit::record(tx, now, &Caller::system(), &event)?;
        lost.push((rule.org, amount));
    }
    Ok(lost)
}
