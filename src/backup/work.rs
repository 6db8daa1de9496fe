//! What the server does about backups: taking one, proving it by a trial restore, letting old ones go, and when.
//!
//! Invariants: one thing at a time; each is in the audit trail, failures too, and a failure is told to the site's
//! administrators. A backup is proven as soon as it is complete.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use age::secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::keep::Keep;
use super::schedule::Schedule;
use super::store::{self, Target};
use super::{Backups, Lock, Opener, Progress, Proof, Pruned, Record, Repository, Status, restore};
use crate::access::Caller;
use crate::audit::{self, AuditAction, Event};
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
use crate::config::secrets::private_folder;
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::notices::{self, NewNotice};

const TAKE: &str = "backup.take";
const PROVE: &str = "backup.prove";
/// What entries of the trail call it.
const RESOURCE: &str = "backup";
/// Between two looks at whether one is due.
const LOOK: Duration = Duration::from_secs(30);
const PAGE: &str = "/site/backups";

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = BackupDoing)]
pub enum Doing {
    Taking,
    Proving,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    backup: i64,
}

impl Backups {
    pub fn register(&self, jobs: &mut Jobs) {
        let room = self.clone();
        jobs.handle(TAKE, 1, move |job| room.clone().take(job));
        let room = self.clone();
        jobs.on_dead(TAKE, move |job, error| room.clone().give_up(job, error));
        let room = self.clone();
        jobs.handle(PROVE, 1, move |job| room.clone().prove(job));
        let room = self.clone();
        jobs.on_dead(PROVE, move |job, error| room.clone().give_up(job, error));
        let room = self.clone();
        self.inner.tasks.spawn_until_stop(async move {
            loop {
                if let Err(error) = room.take_what_is_due().await {
                    tracing::warn!(?error, "whether a backup is due could not be seen; trying again");
                }
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// What is under way here, and how far.
    pub(super) fn doing(&self) -> Option<(Doing, Progress)> {
        self.inner.at_work.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn begin(&self, doing: Doing) -> Progress {
        let progress = Progress::default();
        *self.inner.at_work.lock().unwrap_or_else(PoisonError::into_inner) = Some((doing, progress.clone()));
        progress
    }

    fn end(&self) {
        *self.inner.at_work.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) async fn target(&self) -> Result<Option<Target>> {
        let key = self.inner.key.clone();
        self.inner.site.db.read(move |tx| store::target(tx, &key)).await
    }

    /// The repository that backups go to.
    ///
    /// # Errors
    /// `backup_no_target`; those of [`Repository::open`].
    pub(super) async fn repository(&self) -> Result<Repository> {
        let target = self.target().await?.ok_or_else(no_target)?;
        blocking(move || {
            let repository = Repository::open_with_key(Path::new(&target.folder), &target.key)?;
            if repository.about().id == target.repository_id {
                return Ok(repository);
            }
            let sentence = format!(
                "{} holds another repository than the one that was chosen. Bring the right medium, or choose this one.",
                target.folder
            );
            Err(Error::conflict("backup_other_repository", sentence))
        })
        .await
    }

    /// Sends backups to a folder from now on: an empty one, which is made a repository, or one that is there.
    ///
    /// # Errors
    /// `backup_folder`, `backup_folder_used`, `backup_recipient`, `backup_passphrase`, `backup_postgres`.
    pub(super) async fn choose(
        &self,
        caller: Caller,
        folder: String,
        lock: Lock,
        keep: Keep,
        schedule: Schedule,
    ) -> Result<()> {
        check_folder(&folder, &self.inner.site.data_dir)?;
        // Refused at once where none can be taken.
        drop(self.inner.site.db.snapshot().await?);
        if !schedule.is_valid() {
            let sentence = "Say every 1 to 24 hours, or an hour of the day from 0 to 23.";
            return Err(Error::invalid("backup_schedule", sentence).field("schedule"));
        }
        let (now, path) = (self.inner.site.clock.now(), folder.clone());
        let repository = blocking(move || open_or_create(Path::new(&path), &lock, now)).await?;
        let target = Target {
            folder,
            repository_id: repository.about().id.clone(),
            key: repository.secret().expose_secret().to_owned(),
            keep,
            schedule,
            set_at: now,
            next_at: schedule.next(now, &self.inner.zone),
        };
        let key = self.inner.key.clone();
        let write = self.inner.site.db.write(move |tx| {
            let before = store::target(tx, &key)?;
            store::set_target(tx, &key, &target)?;
            let text = format!("Backups go to {}", target.folder);
            let mut event =
                Event::new(AuditAction::Update, RESOURCE, text).id(&target.repository_id).after(&told(&target));
            if let Some(before) = &before {
                event = event.before(&told(before));
            }
            audit::record(tx, now, &caller, &event)
        });
        write.await
    }

    /// Changes when backups are taken and how many are kept.
    ///
    /// # Errors
    /// `backup_no_target`, `backup_schedule`.
    pub(super) async fn plan(&self, caller: Caller, keep: Keep, schedule: Schedule) -> Result<()> {
        if !schedule.is_valid() {
            let sentence = "Say every 1 to 24 hours, or an hour of the day from 0 to 23.";
            return Err(Error::invalid("backup_schedule", sentence).field("schedule"));
        }
        let (key, now, zone) = (self.inner.key.clone(), self.inner.site.clock.now(), self.inner.zone.clone());
        let write = self.inner.site.db.write(move |tx| {
            let before = store::target(tx, &key)?.ok_or_else(no_target)?;
            let after = Target { keep, schedule, next_at: schedule.next(now, &zone), ..before.clone() };
            store::set_target(tx, &key, &after)?;
            let event = Event::new(AuditAction::Update, RESOURCE, "Changed when backups are taken and kept")
                .id(&after.repository_id)
                .before(&told(&before))
                .after(&told(&after));
            audit::record(tx, now, &caller, &event)
        });
        write.await
    }

    /// Begins a backup.
    ///
    /// # Errors
    /// `backup_no_target`, `backup_running`.
    pub(super) async fn ask(&self, caller: Caller) -> Result<Record> {
        let (now, key) = (self.inner.site.clock.now(), self.inner.key.clone());
        let write = self.inner.site.db.write(move |tx| {
            let target = store::target(tx, &key)?.ok_or_else(no_target)?;
            let Some(id) = store::begin(tx, now, &target.repository_id)? else {
                let sentence = "A backup is being taken already. Its progress is under GET /api/backup.";
                return Err(Error::conflict("backup_running", sentence));
            };
            jobs::enqueue(tx, now, TAKE, &Payload { backup: id })?;
            let event =
                Event::new(AuditAction::Create, RESOURCE, format!("Began backup {id} to {}", target.folder)).id(id);
            audit::record(tx, now, &caller, &event)?;
            store::find(tx, id)
        });
        write.await
    }

    /// Begins a trial restore of a backup.
    ///
    /// # Errors
    /// `not_found`, `backup_not_complete`.
    pub(super) async fn ask_proof(&self, caller: Caller, id: i64) -> Result<Record> {
        let now = self.inner.site.clock.now();
        let write = self.inner.site.db.write(move |tx| {
            let record = store::find(tx, id)?;
            if record.status != Status::Done {
                let sentence = "Only a backup that is complete and was not pruned can be verified.";
                return Err(Error::conflict("backup_not_complete", sentence));
            }
            jobs::enqueue(tx, now, PROVE, &Payload { backup: id })?;
            let event = Event::new(AuditAction::Read, RESOURCE, format!("Began a trial restore of backup {id}")).id(id);
            audit::record(tx, now, &caller, &event)?;
            Ok(record)
        });
        write.await
    }

    /// Lets go of what the rule does not keep.
    ///
    /// # Errors
    /// `backup_no_target`, `backup_in_use`, `backup_damaged`.
    pub(super) async fn prune(&self, caller: Caller, dry_run: bool) -> Result<Pruned> {
        let target = self.target().await?.ok_or_else(no_target)?;
        let repository = self.repository().await?;
        let now = self.inner.site.clock.now();
        let pruned = blocking(move || repository.prune(target.keep, now, dry_run)).await?;
        if dry_run || pruned.removed.is_empty() {
            return Ok(pruned);
        }
        let told = pruned.clone();
        let write = self.inner.site.db.write(move |tx| {
            store::pruned(tx, &told.removed)?;
            let text = format!("Pruned {} backups", told.removed.len());
            audit::record(tx, now, &caller, &Event::new(AuditAction::Delete, RESOURCE, text).before(&told.removed))
        });
        write.await?;
        Ok(pruned)
    }

    async fn take_what_is_due(&self) -> Result<()> {
        let (now, key, zone) = (self.inner.site.clock.now(), self.inner.key.clone(), self.inner.zone.clone());
        let write = self.inner.site.db.write(move |tx| {
            let Some(target) = store::target(tx, &key)? else { return Ok(()) };
            if target.next_at.is_none_or(|due| due > now) {
                return Ok(());
            }
            if !store::set_next(tx, target.next_at, target.schedule.next(now, &zone))? {
                return Ok(());
            }
            let Some(id) = store::begin(tx, now, &target.repository_id)? else { return Ok(()) };
            jobs::enqueue(tx, now, TAKE, &Payload { backup: id })?;
            Ok(())
        });
        write.await
    }

    async fn take(self, job: Job) -> Result<()> {
        let Payload { backup } = job.parse()?;
        let progress = self.begin(Doing::Taking);
        let taken = async { self.inner.site.take(self.repository().await?, progress).await }.await;
        self.end();
        let (summary, now, job_id) = (taken?, self.inner.site.clock.now(), job.id);
        let write = self.inner.site.db.write(move |tx| {
            jobs::finish(tx, job_id)?;
            store::finish(tx, now, backup, &summary)?;
            jobs::enqueue(tx, now, PROVE, &Payload { backup })?;
            let text = format!("Took backup {}", summary.id);
            audit::record(
                tx,
                now,
                &Caller::system(),
                &Event::new(AuditAction::Create, RESOURCE, text).id(backup).after(&summary),
            )
        });
        write.await
    }

    /// A trial restore, then the rule of what is kept: only a proven backup lets older ones go.
    async fn prove(self, job: Job) -> Result<()> {
        let Payload { backup } = job.parse()?;
        let progress = self.begin(Doing::Proving);
        let proven = self.try_restore(backup, progress).await;
        self.end();
        let (proof, now, job_id) = (proven?, self.inner.site.clock.now(), job.id);
        let whole = proof.is_whole();
        let write = self.inner.site.db.write(move |tx| {
            jobs::finish(tx, job_id)?;
            store::prove(tx, backup, &proof)?;
            let text = format!(
                "Restored backup {backup} in a trial: {}",
                if proof.is_whole() { "whole" } else { "not whole" }
            );
            let event = Event::new(AuditAction::Read, RESOURCE, text).id(backup).after(&proof);
            audit::record(tx, now, &Caller::system(), &if proof.is_whole() { event } else { event.failed() })?;
            if !proof.is_whole() {
                tell(tx, now, &format!("Backup {backup} cannot be counted on: {}", proof.problems.join(" ")))?;
            }
            Ok(())
        });
        write.await?;
        if whole {
            self.prune(Caller::system(), false).await?;
        }
        Ok(())
    }

    async fn try_restore(&self, backup: i64, progress: Progress) -> Result<Proof> {
        let record = self.inner.site.db.read(move |tx| store::find(tx, backup)).await?;
        let name = record.name.ok_or_else(|| Error::internal("a backup without a name is to be proven"))?;
        let repository = self.repository().await?;
        let scratch = self.inner.scratch.join("restore");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch)?;
        }
        private_folder(&scratch)?;
        let manifest = repository.manifest(&name)?;
        let proof = restore::try_out(&repository, &manifest, &scratch, &self.inner.site.clock, progress).await;
        std::fs::remove_dir_all(&scratch)?;
        match proof {
            // What is damaged stays so, and is a result.
            Err(error) if error.code() == "backup_damaged" => {
                Ok(Proof::damaged(self.inner.site.clock.now(), error.message()))
            }
            other => other,
        }
    }

    async fn give_up(self, job: Job, error: Error) -> Result<()> {
        let Payload { backup } = job.parse()?;
        let now = self.inner.site.clock.now();
        let write = self.inner.site.db.write(move |tx| {
            store::fail(tx, now, backup, error.message())?;
            let text = format!("Backup {backup} failed: {}", error.code());
            audit::record(
                tx,
                now,
                &Caller::system(),
                &Event::new(AuditAction::Create, RESOURCE, text).id(backup).failed(),
            )?;
            tell(tx, now, &format!("Backup {backup} failed. {}", error.message()))
        });
        write.await
    }
}

fn tell(tx: &mut Tx<'_>, now: crate::base::clock::Time, text: &str) -> Result<()> {
    notices::to_site(tx, now, &NewNotice::new("backup_failed", text).link(PAGE))
}

/// What the trail says of a target.
fn told(target: &Target) -> serde_json::Value {
    serde_json::json!({"folder": target.folder, "repository_id": target.repository_id, "keep": target.keep, "schedule": target.schedule})
}

fn open_or_create(folder: &Path, lock: &Lock, now: crate::base::clock::Time) -> Result<Repository> {
    match Repository::create(folder, lock, now) {
        Err(error) if error.code() == "backup_folder_used" => match lock {
            Lock::Passphrase(passphrase) => Repository::open(folder, &Opener::Passphrase(passphrase.clone())),
            Lock::Recipients(_) => Err(error),
        },
        other => other,
    }
}

/// A backup beside what it is of is none, and a folder inside of the data directory would be backed up into itself.
fn check_folder(folder: &str, data_dir: &Path) -> Result<()> {
    let path = Path::new(folder);
    let inside = |what: &str| Err(Error::invalid("backup_folder", format!("{folder} {what}")).field("folder"));
    if !path.is_absolute() || path.components().any(|part| part == std::path::Component::ParentDir) {
        return inside("is no absolute path, such as /srv/backups/resoftai.");
    }
    if path.starts_with(data_dir) {
        return inside("is inside of the data directory. Choose a folder on another disk.");
    }
    Ok(())
}

fn no_target() -> Error {
    let sentence = "Nobody has said where backups go. Say it on Site, Backups, or with `resoftai backup init FOLDER`.";
    Error::conflict("backup_no_target", sentence)
}
