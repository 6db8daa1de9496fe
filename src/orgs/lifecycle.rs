//! Suspending, deleting and restoring an organisation.
//!
//! Invariants: from the moment it is committed nobody's grants count in an organisation that is suspended or to be deleted,
//! except those held over the site; its runs are stopped by a job of the same transaction. It is purged no earlier than its
//! date *and* after a day's tick for each day of grace, so a clock that jumps a year ahead takes one day off and no more. What
//! the audit trail says of it stays for good.

use serde::{Deserialize, Serialize};

use super::{OrgStatus, Organization, Orgs, store};
use crate::access::actions::{OrganizationDelete, OrganizationSuspend};
use crate::access::{Caller, OrgId, Permit};
use crate::audit::{self, AuditAction, Event};
use crate::base::clock::{DAY, Time};
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::notices::{self, NewNotice};

/// The job that stops what goes on in an organisation; `runs` does it.
pub const STOP: &str = "organization_stop";
/// The job that comes once a day while an organisation is to be deleted, and at last deletes it.
const PURGE: &str = "organization_purge";
/// The most characters of a reason.
const REASON_MAX: usize = 500;
/// How many projects are deleted in a transaction: others write in between.
const PROJECTS_AT_ONCE: i64 = 20;

/// Which organisation is to be stopped.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Stop {
    pub organization: i64,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Purge {
    organization: i64,
    /// Ticks still to come, this one included.
    days: i64,
}

/// # Errors
/// `invalid_reason`.
pub fn check_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if length == 0 || length > REASON_MAX || reason.chars().any(char::is_control) {
        let message = format!("Say why in one line of 1 to {REASON_MAX} characters: those who are kept out read it.");
        return Err(Error::invalid("invalid_reason", message).field("reason"));
    }
    Ok(reason.to_owned())
}

/// Why nobody works in the organisation, and whom to ask; None: somebody does.
pub fn closed(org: &Organization) -> Option<String> {
    let ask = match &org.contact_email {
        Some(contact) => format!("Ask {contact} or an administrator of the site."),
        None => "Ask an administrator of the site.".to_owned(),
    };
    match (org.deletion_due, &org.suspension) {
        (Some(due), _) => {
            let day = due.to_string().chars().take(10).collect::<String>();
            Some(format!("{} is to be deleted after {day}; until then it can be restored. {ask}", org.name))
        }
        (None, Some(suspension)) => {
            Some(format!("{} is suspended: {}. {ask}", org.name, suspension.reason.trim_end_matches('.')))
        }
        (None, None) => None,
    }
}

impl Orgs {
    /// Keeps the organisation's people out until it is resumed.
    ///
    /// # Errors
    /// `not_found`; `organization_state` when it is suspended or to be deleted already.
    pub fn suspend(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationSuspend>,
        now: Time,
        id: OrgId,
        reason: &str,
    ) -> Result<Organization> {
        let before = store::covered(tx, permit, id)?;
        require(&before, OrgStatus::Active, "Resume or restore it first.")?;
        store::suspend(tx, permit, id, Some((now, reason)))?;
        self.stop(tx, now, id)?;
        let text = format!("{} is suspended: {reason}", before.name);
        self.told(tx, permit.caller(), now, &before, "organization_suspended", text)
    }

    /// Lets the organisation's people in again.
    ///
    /// # Errors
    /// `not_found`; `organization_state` when it is not suspended.
    pub fn resume(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationSuspend>,
        now: Time,
        id: OrgId,
    ) -> Result<Organization> {
        let before = store::covered(tx, permit, id)?;
        require(&before, OrgStatus::Suspended, "Only a suspended organisation can be resumed.")?;
        store::suspend(tx, permit, id, None)?;
        (self.forget)(tx);
        let text = format!("{} is at work again", before.name);
        self.told(tx, permit.caller(), now, &before, "organization_resumed", text)
    }

    /// Closes the organisation and lets it be deleted after the days of grace.
    ///
    /// # Errors
    /// `not_found`; `not_confirmed` when `confirm` is not its slug; `organization_state` when it is to be deleted already.
    pub fn delete(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationDelete>,
        now: Time,
        id: OrgId,
        confirm: &str,
    ) -> Result<Organization> {
        let before = store::covered(tx, permit, id)?;
        if confirm != before.slug {
            let message =
                format!("Type the slug of the organisation, {}, to confirm that it is to be deleted.", before.slug);
            return Err(Error::invalid("not_confirmed", message).field("confirm"));
        }
        if before.status == OrgStatus::Deleting {
            return Err(wrong_state(&before, "It is to be deleted already."));
        }
        let days = self.deletion_days;
        let payload = Purge { organization: id.0, days };
        let job = jobs::enqueue_at(tx, now, now.plus(DAY.min(days * DAY)), PURGE, &payload)?;
        store::set_deletion(tx, id, Some((now.plus(days * DAY), job)))?;
        self.stop(tx, now, id)?;
        let text = format!("{} is to be deleted in {days} days. Until then the site can restore it.", before.name);
        self.told(tx, permit.caller(), now, &before, "organization_deleting", text)
    }

    /// Takes a deletion back.
    ///
    /// # Errors
    /// `not_found`; `organization_state` when it is not to be deleted, or its deletion has begun.
    pub fn restore(
        &self,
        tx: &mut Tx<'_>,
        permit: &Permit<OrganizationSuspend>,
        now: Time,
        id: OrgId,
    ) -> Result<Organization> {
        let before = store::covered(tx, permit, id)?;
        require(&before, OrgStatus::Deleting, "Only an organisation that is to be deleted can be restored.")?;
        let job = store::deletion_job(tx, id)?.ok_or_else(|| wrong_state(&before, "Its deletion has begun."))?;
        jobs::withdraw(tx, job)?;
        store::set_deletion(tx, id, None)?;
        (self.forget)(tx);
        let text = format!("{} will not be deleted", before.name);
        self.told(tx, permit.caller(), now, &before, "organization_restored", text)
    }

    fn stop(&self, tx: &mut Tx<'_>, now: Time, id: OrgId) -> Result<()> {
        (self.forget)(tx);
        jobs::enqueue(tx, now, STOP, &Stop { organization: id.0 }).map(drop)
    }

    /// Writes down and tells the administrators what became of the organisation.
    fn told(
        &self,
        tx: &mut Tx<'_>,
        caller: &Caller,
        now: Time,
        before: &Organization,
        kind: &'static str,
        text: String,
    ) -> Result<Organization> {
        let id = OrgId(before.id);
        let after = store::by_id(tx, id)?;
        let event = Event::new(AuditAction::Update, "organization", text.clone());
        audit::record(tx, now, caller, &event.id(id.0).org(id).before(before).after(&after))?;
        notices::to_admins(tx, now, id, &NewNotice::new(kind, text).org(id))?;
        Ok(after)
    }

    /// Takes on the deletion of organisations.
    pub fn register(&self, jobs: &mut Jobs) {
        let room = self.clone();
        jobs.handle(PURGE, 1, move |job| room.clone().tick(job));
        let room = self.clone();
        jobs.on_dead(PURGE, move |job, error| room.clone().not_deleted(job, error));
    }

    /// A day of grace has passed, or the last one.
    async fn tick(self, job: Job) -> Result<()> {
        let Purge { organization, days } = job.parse()?;
        let (id, now) = (OrgId(organization), self.clock.now());
        let purge = self.db.write(move |tx| {
            let due = store::due(tx, id, job.id)?;
            let Some(due) = due else {
                jobs::finish(tx, job.id)?;
                return Ok(false);
            };
            let left = (days - 1).max(0);
            if left == 0 && now >= due {
                store::begin_purge(tx, id, now)?;
                return Ok(true);
            }
            jobs::finish(tx, job.id)?;
            let next = if left == 0 { due } else { now.plus(DAY) };
            let job = jobs::enqueue_at(tx, now, next, PURGE, &Purge { organization, days: left.max(1) })?;
            store::next_tick(tx, id, job)?;
            Ok(false)
        });
        if purge.await? { self.purge(id, job.id).await } else { Ok(()) }
    }

    /// Deletes what the organisation owns, bit by bit, then itself. Begun anew after a crash.
    async fn purge(&self, id: OrgId, job: i64) -> Result<()> {
        while self.db.write(move |tx| store::purge_some(tx, id, PROJECTS_AT_ONCE)).await? {}
        let (now, forget) = (self.clock.now(), self.forget.clone());
        let last = self.db.write(move |tx| {
            let org = store::by_id(tx, id)?;
            store::purge(tx, id)?;
            forget(tx);
            let event = Event::new(AuditAction::Delete, "organization", format!("Deleted organisation {}", org.name));
            audit::record(tx, now, &Caller::system(), &event.id(id.0).org(id).before(&org))?;
            jobs::finish(tx, job)
        });
        last.await
    }

    async fn not_deleted(self, job: Job, error: Error) -> Result<()> {
        let Purge { organization, .. } = job.parse()?;
        let (id, now) = (OrgId(organization), self.clock.now());
        tracing::error!(organization, "an organisation could not be deleted: {error:?}");
        let write = self.db.write(move |tx| {
            let text = format!("Organisation {organization} could not be deleted; the log says why");
            let event = Event::new(AuditAction::Delete, "organization", text).failed();
            audit::record(tx, now, &Caller::system(), &event.id(organization).org(id))
        });
        write.await
    }
}

fn require(org: &Organization, status: OrgStatus, rule: &str) -> Result<()> {
    if org.status == status { Ok(()) } else { Err(wrong_state(org, rule)) }
}

fn wrong_state(org: &Organization, rule: &str) -> Error {
    let state = match org.status {
        OrgStatus::Active => "at work",
        OrgStatus::Suspended => "suspended",
        OrgStatus::Deleting => "to be deleted",
    };
    Error::conflict("organization_state", format!("{} is {state}. {rule}", org.name))
}
