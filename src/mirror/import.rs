//! Bringing a state in.
//!
//! Invariant: in this order, each step only after the one before: the metadata is verified, the disk has room, every
//! content that is missing is staged under its hash, the state is switched in one transaction. Whatever ends it early
//! leaves the site on the state of before, and what was staged is not copied again.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};

use serde::Serialize;
use tar::{Archive, Entries};
use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio_util::io::SyncIoBridge;
use utoipa::ToSchema;

use super::store::{self, Kept};
use super::verify::{Metadata, Verified, verify};
use super::{Content, Kind, Mirror, Owner, State, bundle, judge};
use crate::access::Permit;
use crate::access::actions::PluginInstall;
use crate::base::error::{Error, Result};

/// Bytes that stay free on the disk.
const RESERVE: u64 = 64 << 20;
/// Names in a sentence.
const NAMED: usize = 5;

/// What an import does to one content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MirrorChangeKind)]
pub enum What {
    Added,
    Changed,
    Removed,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MirrorChange)]
pub struct Change {
    pub what: What,
    pub name: String,
    pub kind: Kind,
    /// In bytes.
    pub length: u64,
}

/// A content whose bytes the site does not have.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MirrorNeeded)]
pub struct Needed {
    pub name: String,
    pub sha256: String,
    /// In bytes.
    pub length: u64,
}

/// What an import does, or did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MirrorImport)]
pub struct Report {
    pub repository: Owner,
    /// Nothing was changed.
    pub dry_run: bool,
    /// None before the first import.
    pub from: Option<State>,
    pub to: State,
    /// What somebody should know, such as that the metadata expired.
    pub warnings: Vec<String>,
    pub changes: Vec<Change>,
    /// What the new state lists.
    pub contents: usize,
    /// What is to be copied; when it is done, what was.
    pub needed: Vec<Needed>,
    pub needed_bytes: u64,
    /// Bytes that the disk has room for.
    pub room: u64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    pub owner: Owner,
    pub dry_run: bool,
}

struct Plan {
    before: Kept,
    new: Verified,
    warning: Option<String>,
    changes: Vec<Change>,
    /// By hash.
    needed: BTreeMap<String, Needed>,
}

impl Plan {
    fn bytes(&self) -> u64 {
        self.needed.values().map(|needed| needed.length).sum()
    }

    fn report(&self, dry_run: bool, room: u64) -> Report {
        Report {
            repository: self.before.owner,
            dry_run,
            from: self.before.state,
            to: self.new.state,
            needed_bytes: self.bytes(),
            warnings: self.warning.iter().cloned().collect(),
            changes: self.changes.clone(),
            contents: self.new.contents.len(),
            needed: self.needed.values().cloned().collect(),
            room,
        }
    }
}

impl Mirror {
    /// Reads a bundle to its end and makes what it tells of the state of the site; a dry run reads its metadata only.
    ///
    /// # Errors
    /// `mirror_busy`, `mirror_not_trusted`, `mirror_bundle`, those of [`verify`] and [`judge`], `mirror_no_room`,
    /// `content_mismatch`, `content_cut_off`, `mirror_contents_missing`, `mirror_changed`, `mirror_slug_taken`.
    pub async fn import(
        &self,
        permit: Permit<PluginInstall>,
        body: impl AsyncRead + Send + Unpin + 'static,
        wish: Wish,
    ) -> Result<Report> {
        permit.require_site()?;
        let alone = self.inner.importing.clone().try_lock_owned().map_err(|_| {
            let sentence = "Another import is at work. Wait for its end: resoftai mirror status shows the state.";
            Error::conflict("mirror_busy", sentence)
        })?;
        let (mirror, runtime, asked) = (self.clone(), Handle::current(), permit.clone());
        let work = move || {
            let _alone = alone;
            let body = SyncIoBridge::new_with_handle(body, runtime.clone());
            mirror.read(&asked, body, wish, &runtime)
        };
        let done = tokio::task::spawn_blocking(work).await.map_err(Error::internal)?;
        if let (Err(refused), false) = (&done, wish.dry_run) {
            self.note(&permit, wish.owner, refused).await?;
        }
        done
    }

    async fn note(&self, permit: &Permit<PluginInstall>, owner: Owner, refused: &Error) -> Result<()> {
        let (permit, now) = (permit.clone(), self.inner.clock.now());
        let refused = Error::new(refused.kind(), refused.code(), refused.message());
        self.inner.db.write(move |tx| store::note_refusal(tx, &permit, now, owner, &refused)).await
    }

    fn read(&self, permit: &Permit<PluginInstall>, body: impl Read, wish: Wish, runtime: &Handle) -> Result<Report> {
        let mut archive = Archive::new(body);
        let mut entries = archive.entries().map_err(bad)?;
        let metadata = bundle::first(&mut entries)?;
        let plan = runtime.block_on(self.plan(wish.owner, metadata))?;
        let room = self.inner.blobs.room()?;
        if wish.dry_run {
            // A sender that is not read to the end may not read the answer.
            std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(bad)?;
            return Ok(plan.report(true, room));
        }
        if plan.bytes().saturating_add(RESERVE) > room {
            return Err(no_room(plan.bytes(), room));
        }
        let hashes: Vec<String> = plan.needed.keys().cloned().collect();
        let now = self.inner.clock.now();
        runtime.block_on(self.inner.db.write(move |tx| store::want(tx, now, &hashes)))?;
        self.stage(&mut entries, &plan)?;
        runtime.block_on(self.switch(permit, plan, room))
    }

    async fn plan(&self, owner: Owner, metadata: Metadata) -> Result<Plan> {
        let (before, trusted, had) = self
            .inner
            .db
            .read(move |tx| {
                let before = store::find(tx, owner)?;
                let trusted = store::trusted(tx, &before)?;
                Ok((before, trusted, store::contents(tx, owner)?))
            })
            .await?;
        let new = verify(&trusted, metadata, &self.inner.options.scratch).await?;
        let warning = judge(&new.state.expires, self.inner.options.expired, self.inner.clock.now())?;
        let mut needed = BTreeMap::new();
        for content in &new.contents {
            if !needed.contains_key(&content.sha256) && !self.has(content).await? {
                let Content { name, sha256, length, .. } = content.clone();
                needed.insert(sha256.clone(), Needed { name, sha256, length });
            }
        }
        Ok(Plan { changes: changes(&had, &new.contents), before, new, warning, needed })
    }

    async fn has(&self, content: &Content) -> Result<bool> {
        Ok(self.inner.blobs.size(&content.sha256).await? == Some(content.length))
    }

    /// Stages what is missing of what comes; what is there already or nobody asked for is read past.
    fn stage<R: Read>(&self, entries: &mut Entries<'_, R>, plan: &Plan) -> Result<()> {
        let mut intake = self.inner.blobs.intake();
        let mut missing: BTreeSet<&str> = plan.needed.keys().map(String::as_str).collect();
        let taken: Result<()> = entries.try_for_each(|entry| {
            let mut entry = entry.map_err(bad)?;
            let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let Some(needed) = bundle::hash(&path).and_then(|hash| plan.needed.get(hash)) else { return Ok(()) };
            if missing.contains(needed.sha256.as_str()) {
                intake.take(&mut entry, &needed.sha256, needed.length).map_err(|error| named(&error, &needed.name))?;
                missing.remove(needed.sha256.as_str());
            }
            Ok(())
        });
        // Also what came before something that is damaged.
        intake.settle()?;
        taken?;
        if missing.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = missing.iter().take(NAMED).map(|hash| plan.needed[*hash].name.as_str()).collect();
        let sentence = format!(
            "The bundle does not hold {} of the contents that the site needs: {}{}. What it did hold is kept. Export one \
             since what this site has: resoftai mirror state",
            missing.len(),
            names.join(", "),
            if missing.len() > NAMED { ", .." } else { "" }
        );
        Err(Error::invalid("mirror_contents_missing", sentence))
    }

    async fn switch(&self, permit: &Permit<PluginInstall>, plan: Plan, room: u64) -> Result<Report> {
        let report = plan.report(false, room);
        if plan.before.state == Some(plan.new.state) {
            return Ok(report);
        }
        let (permit, now) = (permit.clone(), self.inner.clock.now());
        let write = move |tx: &mut crate::db::Tx<'_>| {
            store::switch(tx, &permit, now, &plan.before, &plan.new, plan.warning.as_deref()).map(drop)
        };
        self.inner.db.write(write).await?;
        Ok(report)
    }
}

fn changes(had: &[Content], lists: &[Content]) -> Vec<Change> {
    let by_name = |contents: &[Content]| -> BTreeMap<String, Content> {
        contents.iter().map(|content| (content.name.clone(), content.clone())).collect()
    };
    let (had, lists) = (by_name(had), by_name(lists));
    let change = |what, content: &Content| Change {
        what,
        name: content.name.clone(),
        kind: content.kind,
        length: content.length,
    };
    let new = lists.values().filter_map(|content| match had.get(&content.name) {
        None => Some(change(What::Added, content)),
        Some(before) if before.sha256 != content.sha256 => Some(change(What::Changed, content)),
        Some(_) => None,
    });
    let gone = had.values().filter(|content| !lists.contains_key(&content.name));
    new.chain(gone.map(|content| change(What::Removed, content))).collect()
}

fn bad(cause: std::io::Error) -> Error {
    if cause.kind() == ErrorKind::TimedOut {
        let sentence = "Nothing more of the bundle came for too long. What came is kept; send it again.";
        return Error::new(crate::base::error::Kind::TooSlow, "body_too_slow", sentence).caused_by(cause);
    }
    let sentence = format!("The bundle is damaged or cut off: {cause}. What came before is kept; send it again.");
    Error::invalid("mirror_bundle", sentence).caused_by(cause)
}

fn named(error: &Error, name: &str) -> Error {
    Error::new(error.kind(), error.code(), format!("{name}: {error}"))
}

fn no_room(bytes: u64, room: u64) -> Error {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let sentence = format!(
        "The import needs {} MiB and {} MiB that stay free, and the disk of the data directory has {} MiB. Free some space.",
        mib(bytes),
        mib(RESERVE),
        room >> 20
    );
    Error::unavailable("mirror_no_room", sentence)
}
