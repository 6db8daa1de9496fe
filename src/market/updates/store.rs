//! All SQL of updates.
//!
//! Invariant: what came of an update is one transaction: its history, what is said of the version from now on, the audit
//! entry, the notice to the site's administrators, and the end of its trial.

use std::collections::BTreeMap;

use semver::Version;
use serde_json::json;

use super::{Change, Entry, Outcome, Policy, Window};
use crate::access::actions::PluginInstall;
use crate::access::{Caller, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::base::page::Page;
use crate::db::{DbError, Row, Tx, Val, params};
use crate::notices::{self, NewNotice};

/// Entries of the history that are kept.
const MOST_ENTRIES: i64 = 1_000;
/// Decisions that are looked at: more than a site of the most plugins has.
const MOST_DECISIONS: i64 = 10_000;
/// What entries of the trail call it.
const RESOURCE: &str = "plugin_update";

/// What was said of a version.
#[derive(Debug, Clone)]
pub enum Decision {
    /// What it asks for, of the package with this hash.
    Approved {
        sha256: String,
    },
    Failed {
        reason: String,
    },
}

/// What was said of installed plugins.
#[derive(Debug, Default)]
pub struct State {
    /// By slug.
    pub policies: BTreeMap<String, Policy>,
    decisions: BTreeMap<(String, String), Decision>,
}

impl State {
    pub fn policy(&self, slug: &str) -> Policy {
        self.policies.get(slug).copied().unwrap_or_default()
    }

    pub fn decision(&self, slug: &str, version: &Version) -> Option<&Decision> {
        self.decisions.get(&(slug.to_owned(), version.to_string()))
    }
}

/// Every installed plugin with its policy, and what was said of versions.
///
/// # Errors
/// When the database fails.
pub fn state(tx: &mut Tx<'_>) -> Result<State> {
    let sql = "SELECT p.slug, u.policy FROM plugins p LEFT JOIN plugin_update_policies u ON u.plugin_id = p.id";
    let policies = tx.query_map(sql, &params![], |row| {
        let policy: Option<String> = row.get(1)?;
        Ok((row.get(0)?, policy.as_deref().and_then(Policy::parse).unwrap_or_default()))
    })?;
    let sql = "SELECT p.slug, d.version, d.decision, d.sha256, d.reason FROM plugin_update_decisions d \
               JOIN plugins p ON p.id = d.plugin_id ORDER BY p.slug, d.version LIMIT $1";
    let decisions = tx.query_map(sql, &params![MOST_DECISIONS], |row| {
        let (kind, reason): (String, Option<String>) = (row.get(2)?, row.get(4)?);
        let decision = match kind.as_str() {
            "approved" => Decision::Approved { sha256: row.get(3)? },
            _ => Decision::Failed { reason: reason.unwrap_or_default() },
        };
        Ok(((row.get(0)?, row.get(1)?), decision))
    })?;
    Ok(State { policies: policies.into_iter().collect(), decisions: decisions.into_iter().collect() })
}

/// The number of an installed plugin.
///
/// # Errors
/// `not_found`.
fn number(tx: &mut Tx<'_>, slug: &str) -> Result<i64> {
    let found = tx.query_row("SELECT id FROM plugins WHERE slug = $1", &params![slug], |row| row.get(0))?;
    found.ok_or_else(|| Error::not_found("plugin"))
}

/// # Errors
/// `not_found` when no such plugin is installed.
pub fn set_policy(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    slug: &str,
    policy: Policy,
) -> Result<()> {
    permit.require_site()?;
    let (id, before) = (number(tx, slug)?, state(tx)?.policy(slug));
    let sql = "INSERT INTO plugin_update_policies (plugin_id, policy) VALUES ($1, $2) \
               ON CONFLICT (plugin_id) DO UPDATE SET policy = $2";
    tx.execute(sql, &params![id, policy.code()])?;
    let words = format!("Set the update policy of plugin {slug} to {}", policy.code());
    let event = Event::new(AuditAction::Update, RESOURCE, words).id(slug);
    let event = event.before(&json!({"slug": slug, "policy": before})).after(&json!({"slug": slug, "policy": policy}));
    audit::record(tx, now, permit.caller(), &event)
}

/// # Errors
/// When the database fails.
pub fn window(tx: &mut Tx<'_>) -> Result<Window> {
    let sql = "SELECT plan FROM plugin_update_window WHERE slot = 1";
    let plan = tx.query_row(sql, &params![], |row| row.get::<Option<String>>(0))?.flatten();
    plan.map_or_else(|| Ok(Window::default()), |text| serde_json::from_str(&text).map_err(Error::internal))
}

/// # Errors
/// When the database fails.
pub fn set_window(tx: &mut Tx<'_>, permit: &Permit<PluginInstall>, now: Time, window: &Window) -> Result<()> {
    permit.require_site()?;
    let (before, plan) = (self::window(tx)?, serde_json::to_string(window).map_err(Error::internal)?);
    let sql = "INSERT INTO plugin_update_window (slot, plan, looked_at) VALUES (1, $1, 0) \
               ON CONFLICT (slot) DO UPDATE SET plan = $1";
    tx.execute(sql, &params![plan])?;
    let event = Event::new(AuditAction::Update, RESOURCE, "Set when plugins are updated by themselves");
    audit::record(tx, now, permit.caller(), &event.before(&before).after(window))
}

/// Whether it is time to look again, `every` so many microseconds; one server of the site is told so.
///
/// # Errors
/// When the database fails.
pub fn take_turn(tx: &mut Tx<'_>, now: Time, every: i64) -> Result<bool> {
    // A time that is to come was written before the clock was set back.
    let sql = "INSERT INTO plugin_update_window (slot, looked_at) VALUES (1, $1) ON CONFLICT (slot) DO UPDATE \
               SET looked_at = $1 WHERE plugin_update_window.looked_at <= $2 OR plugin_update_window.looked_at > $1";
    Ok(tx.execute(sql, &params![now, now.plus(-every)])? > 0)
}

/// Lets a version in although it asks for more than the one before.
///
/// # Errors
/// `not_found` when no such plugin is installed.
pub fn approve(
    tx: &mut Tx<'_>,
    permit: &Permit<PluginInstall>,
    now: Time,
    (slug, version, sha256): (&str, &Version, &str),
) -> Result<()> {
    permit.require_site()?;
    let id = number(tx, slug)?;
    decide(tx, id, (version, sha256), None)?;
    let words = format!("Approved the update of plugin {slug} to {version}");
    let after = json!({"slug": slug, "version": version.to_string(), "sha256": sha256});
    audit::record(tx, now, permit.caller(), &Event::new(AuditAction::Update, RESOURCE, words).id(slug).after(&after))
}

/// Without a reason it is approved, with one it failed.
fn decide(tx: &mut Tx<'_>, id: i64, (version, sha256): (&Version, &str), failed: Option<&str>) -> Result<()> {
    let decision = if failed.is_some() { "failed" } else { "approved" };
    let sql = "INSERT INTO plugin_update_decisions (plugin_id, version, sha256, decision, reason) \
               VALUES ($1, $2, $3, $4, $5) ON CONFLICT (plugin_id, version) DO UPDATE SET sha256 = $3, decision = $4, \
               reason = $5";
    tx.execute(sql, &params![id, version.to_string(), sha256, decision, failed.map(str::to_owned)])?;
    Ok(())
}

/// Versions that take others' places, of one update.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The plugin that is updated.
    pub lead: String,
    pub changes: Vec<Change>,
    pub began_at: Time,
}

impl Trial {
    /// What becomes of the plugin that is updated.
    pub fn own(&self) -> Option<&Change> {
        self.changes.iter().find(|change| change.slug == self.lead)
    }
}

/// # Errors
/// `update_running` when one of them is on trial already; `not_found` when one is gone.
pub fn begin(tx: &mut Tx<'_>, trial: &Trial) -> Result<()> {
    let sql = "INSERT INTO plugin_update_trials (plugin_id, lead, from_version, to_version, sha256, began_at) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    for Change { slug, from, to, sha256 } in &trial.changes {
        let id = number(tx, slug)?;
        let values = params![id, &trial.lead, from.to_string(), to.to_string(), sha256, trial.began_at];
        tx.savepoint(|tx| tx.execute(sql, &values)).map_err(|error| match error {
            DbError::Unique(_) => {
                let sentence = format!("{slug} is being updated at this moment. Look again in a while.");
                Error::conflict("update_running", sentence)
            }
            other => other.into(),
        })?;
    }
    Ok(())
}

/// Every update that was begun and not ended.
///
/// # Errors
/// When the database fails.
pub fn trials(tx: &mut Tx<'_>) -> Result<Vec<Trial>> {
    let sql = "SELECT t.lead, p.slug, t.from_version, t.to_version, t.sha256, t.began_at FROM plugin_update_trials t \
               JOIN plugins p ON p.id = t.plugin_id ORDER BY t.lead, p.slug";
    let rows = tx.query_map(sql, &params![], |row| {
        let change = Change { slug: row.get(1)?, from: version(row, 2)?, to: version(row, 3)?, sha256: row.get(4)? };
        Ok((row.get::<String>(0)?, change, row.get::<Time>(5)?))
    })?;
    let mut trials: Vec<Trial> = Vec::new();
    for (lead, change, began_at) in rows {
        match trials.last_mut().filter(|trial| trial.lead == lead) {
            Some(trial) => trial.changes.push(change),
            None => trials.push(Trial { lead, changes: vec![change], began_at }),
        }
    }
    Ok(trials)
}

fn version(row: &Row<'_>, at: usize) -> Result<Version, DbError> {
    let text: String = row.get(at)?;
    Version::parse(&text)
        .map_err(|cause| DbError::Other(format!("plugin_update_trials has the version {text}: {cause}")))
}

/// Ends an update before which nothing was changed.
///
/// # Errors
/// When the database fails.
pub fn drop_trial(tx: &mut Tx<'_>, lead: &str) -> Result<()> {
    tx.execute("DELETE FROM plugin_update_trials WHERE lead = $1", &params![lead])?;
    Ok(())
}

/// What came of an update that was begun.
#[derive(Debug, Clone)]
pub struct End {
    pub trial: Trial,
    pub outcome: Outcome,
    /// In a sentence.
    pub reason: String,
    pub by_hand: bool,
    /// Whether the version is not to be tried again unasked.
    pub failed: bool,
}

/// # Errors
/// When the database fails.
pub fn end(tx: &mut Tx<'_>, caller: &Caller, now: Time, end: &End) -> Result<()> {
    let End { trial, outcome, reason, by_hand, failed } = end;
    drop_trial(tx, &trial.lead)?;
    for change in &trial.changes {
        let own = change.slug == trial.lead;
        if *outcome != Outcome::Updated && !own {
            continue;
        }
        let reason = if own { reason.clone() } else { format!("It changed with {}.", trial.lead) };
        insert(tx, now, change, (*outcome, &reason), *by_hand)?;
        record(tx, caller, now, change, (*outcome, &reason))?;
        if let Ok(id) = number(tx, &change.slug) {
            if *outcome == Outcome::Updated {
                // What was said of versions led here.
                tx.execute("DELETE FROM plugin_update_decisions WHERE plugin_id = $1", &params![id])?;
            } else if *failed {
                decide(tx, id, (&change.to, &change.sha256), Some(&reason))?;
            }
        }
        tell(tx, now, change, (*outcome, &reason))?;
    }
    Ok(())
}

/// Writes down why an update is not begun, and tells who may mend it, once as long as nothing changes about it.
///
/// # Errors
/// When the database fails.
pub fn note(
    tx: &mut Tx<'_>,
    caller: &Caller,
    now: Time,
    change: &Change,
    (outcome, reason): (Outcome, &str),
    by_hand: bool,
) -> Result<()> {
    let sql = "SELECT to_version, outcome, reason FROM plugin_update_history WHERE slug = $1 ORDER BY id DESC LIMIT 1";
    let last = tx.query_row(sql, &params![&change.slug], |row| {
        Ok((row.get::<String>(0)?, row.get::<String>(1)?, row.get::<String>(2)?))
    })?;
    if last == Some((change.to.to_string(), outcome.code().to_owned(), reason.to_owned())) {
        return Ok(());
    }
    insert(tx, now, change, (outcome, reason), by_hand)?;
    record(tx, caller, now, change, (outcome, reason))?;
    tell(tx, now, change, (outcome, reason))
}

fn insert(
    tx: &mut Tx<'_>,
    now: Time,
    change: &Change,
    (outcome, reason): (Outcome, &str),
    by_hand: bool,
) -> Result<()> {
    let id = tx.next_id()?;
    let sql = "INSERT INTO plugin_update_history (id, slug, from_version, to_version, outcome, reason, by_hand, at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    let (from, to) = (change.from.to_string(), change.to.to_string());
    tx.execute(sql, &params![id, &change.slug, from, to, outcome.code(), reason, by_hand, now])?;
    let surplus = "SELECT id FROM plugin_update_history ORDER BY id DESC LIMIT 1000 OFFSET $1";
    tx.execute(&format!("DELETE FROM plugin_update_history WHERE id IN ({surplus})"), &params![MOST_ENTRIES])?;
    Ok(())
}

fn record(
    tx: &mut Tx<'_>,
    caller: &Caller,
    now: Time,
    change: &Change,
    (outcome, reason): (Outcome, &str),
) -> Result<()> {
    let verb = match outcome {
        Outcome::Updated => "Updated plugin",
        Outcome::Returned => "Took back the update of plugin",
        Outcome::Waiting => "Held for approval the update of plugin",
        Outcome::Refused => "Did not begin the update of plugin",
    };
    let Change { slug, from, to, sha256 } = change;
    let event = Event::new(AuditAction::Update, RESOURCE, format!("{verb} {slug} from {from} to {to}")).id(slug);
    let event = event.before(&json!({"version": from.to_string()}));
    let after = json!({"version": to.to_string(), "sha256": sha256, "outcome": outcome, "reason": reason});
    let event = event.after(&after);
    audit::record(tx, now, caller, &if outcome == Outcome::Updated { event } else { event.failed() })
}

fn tell(tx: &mut Tx<'_>, now: Time, change: &Change, (outcome, reason): (Outcome, &str)) -> Result<()> {
    let Change { slug, from, to, .. } = change;
    let (kind, text) = match outcome {
        Outcome::Updated => ("plugin_updated", format!("The plugin {slug} was updated from {from} to {to}.")),
        Outcome::Returned => (
            "plugin_update_returned",
            format!("The plugin {slug} was to be updated to {to}, and {from} is at work as before: {reason}"),
        ),
        Outcome::Waiting => ("plugin_update_waiting", format!("The plugin {slug} could be updated to {to}. {reason}")),
        Outcome::Refused => return Ok(()),
    };
    notices::to_site(tx, now, &NewNotice::new(kind, text).link(format!("/plugins/{slug}/updates")))
}

/// What came of updates, the newest first.
///
/// # Errors
/// When the database fails.
pub fn history(tx: &mut Tx<'_>, slug: Option<&str>, page: Page) -> Result<Vec<Entry>> {
    let mut values: Vec<Val> = params![page.before, page.fetch()].to_vec();
    let rule = slug.map_or("", |slug| {
        values.push(slug.into());
        "AND slug = $3"
    });
    let sql = format!(
        "SELECT id, slug, from_version, to_version, outcome, reason, by_hand, at FROM plugin_update_history \
         WHERE id < $1 {rule} ORDER BY id DESC LIMIT $2"
    );
    Ok(tx.query_map(&sql, &values, |row| {
        let outcome: String = row.get(4)?;
        Ok(Entry {
            id: row.get(0)?,
            slug: row.get(1)?,
            from: row.get(2)?,
            to: row.get(3)?,
            outcome: Outcome::parse(&outcome)
                .ok_or_else(|| DbError::Other(format!("the outcome of an update is {outcome}")))?,
            reason: row.get(5)?,
            by_hand: row.get(6)?,
            at: row.get(7)?,
        })
    })?)
}
