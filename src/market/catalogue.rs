//! Bringing the catalogue up to what the mirror lists and what was published here.
//!
//! Invariant: a package is opened once for as long as the mirror lists it and this version of the platform runs. A package
//! that cannot be read is listed with the reason, and stops nothing.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use super::{Facts, Listed, Market, Told, look, store, submissions, updates};
use crate::base::clock::DAY;
use crate::base::error::{Error, Kind, Result};
use crate::base::tasks::blocking;
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::mirror::{self, Owner};
use crate::plugins::{Package, unpack};

/// How long what failed, was rejected or taken back is shown.
const FORGOTTEN: i64 = 30 * DAY;
/// Packages that are written down together.
const BATCH: usize = 100;

/// What reading a package came to.
#[derive(Debug)]
pub struct Read {
    pub listed: Listed,
    /// Why it cannot be installed here.
    pub fault: Option<String>,
    pub facts: Facts,
    /// Of the README, to be found by.
    pub readme: String,
}

impl Market {
    /// Follows the mirror from now on.
    pub fn register(&self, jobs: &mut Jobs) {
        let market = self.clone();
        jobs.handle(mirror::SWITCHED, 1, move |job| {
            let market = market.clone();
            async move { market.follow(job).await }
        });
        self.keep_up_to_date(jobs);
    }

    /// Takes in what was mirrored before this version of the platform came, without anybody waiting for it.
    pub fn catch_up(&self) {
        let market = self.clone();
        self.inner.tasks.spawn_until_stop(async move {
            if let Err(error) = market.refresh().await {
                tracing::warn!(%error, "the marketplace was not brought up to date; the next import does it");
            }
        });
    }

    async fn follow(&self, job: Job) -> Result<()> {
        self.refresh().await?;
        let now = self.inner.clock.now();
        let write = move |tx: &mut Tx<'_>| {
            updates::enqueue(tx, now)?;
            jobs::finish(tx, job.id)
        };
        self.inner.db.write(write).await
    }

    /// Reads what the mirror lists and the catalogue does not know.
    pub(super) async fn refresh(&self) -> Result<()> {
        let _alone = self.inner.reading.lock().await;
        let before = self.inner.clock.now().plus(-FORGOTTEN);
        self.inner.db.write(move |tx| submissions::store::forget(tx, before)).await?;
        let read = |tx: &mut Tx<'_>| Ok((mirrored(tx)?, submissions::store::live(tx)?, store::known(tx)?));
        let (mirrored, live, known) = self.inner.db.read_long(read).await?;
        let published: HashSet<&str> = live.iter().map(|of| of.slug.as_str()).collect();
        if let Some(of) = mirrored.iter().find(|of| published.contains(of.slug.as_str())) {
            tracing::warn!("the mirror lists {}, whose name a plugin of this site has; that one stays", of.slug);
        }
        let mirrored = mirrored.into_iter().filter(|of| !published.contains(of.slug.as_str()));
        let key = |of: &Listed| (of.slug.clone(), of.version.clone());
        let listed = mirrored.chain(live.iter().cloned());
        let listed: HashMap<_, _> = listed.map(|of| (key(&of), of)).collect();
        let gone: Vec<_> = known.keys().filter(|key| !listed.contains_key(*key)).cloned().collect();
        let mut new = Vec::new();
        for (key, of) in listed {
            if known.get(&key) != Some(&of.mark()?) {
                new.push(of);
            }
        }
        new.sort_by(|one, other| (&one.slug, &one.version).cmp(&(&other.slug, &other.version)));
        for gone in gone.chunks(BATCH) {
            let gone = gone.to_vec();
            self.inner.db.write(move |tx| store::forget(tx, &gone)).await?;
        }
        for batch in new.chunks(BATCH) {
            let mut packages = Vec::new();
            for listed in batch {
                packages.push(self.read(listed.clone()).await?);
            }
            let now = self.inner.clock.now();
            self.inner.db.write(move |tx| store::put(tx, now, &packages)).await?;
        }
        Ok(())
    }

    async fn read(&self, listed: Listed) -> Result<Read> {
        let opened = self.open(&listed.sha256).await.and_then(|package| {
            if package.manifest.slug == listed.slug && package.manifest.version.to_string() == listed.version {
                return Ok(package);
            }
            let Package { manifest, .. } = &package;
            let sentence = format!(
                "The mirror lists {} {}, and the package holds {} {}.",
                listed.slug, listed.version, manifest.slug, manifest.version
            );
            Err(Error::invalid("invalid_plugin", sentence))
        });
        match opened {
            Ok(package) => {
                let (mut facts, readme) = (look::facts(&package), look::text(&package, look::README));
                let Told { category, tags, yanked } = listed.told.clone();
                facts.category = category.unwrap_or(facts.category);
                if !tags.is_empty() {
                    facts.tags = tags;
                }
                let fault = yanked.map(|reason| format!("It was yanked: {reason}"));
                Ok(Read { listed, fault, facts, readme })
            }
            Err(error) if matches!(error.kind(), Kind::Internal | Kind::Unavailable) => Err(error),
            Err(error) => {
                let facts = Facts { name: listed.slug.clone(), ..Facts::default() };
                Ok(Read { listed, fault: Some(error.to_string()), facts, readme: String::new() })
            }
        }
    }

    /// The package with these bytes.
    ///
    /// # Errors
    /// `invalid_plugin` and the like, for what is wrong with it.
    pub(super) async fn open(&self, sha256: &str) -> Result<Package> {
        let bytes = self.inner.blobs.get(sha256, crate::plugins::package::MAX_TOTAL + (1 << 20)).await?;
        unpacked(bytes).await
    }
}

/// The package in an archive.
///
/// # Errors
/// `invalid_plugin` and the like.
pub(super) async fn unpacked(archive: Bytes) -> Result<Package> {
    blocking(move || Package::new(unpack(&archive)?)).await
}

/// Every package of the mirror.
fn mirrored(tx: &mut Tx<'_>) -> Result<Vec<Listed>> {
    let mut all = Vec::new();
    for repository in [Owner::Vendor, Owner::Own] {
        for content in mirror::store::contents(tx, repository)? {
            let mirror::Content { slug: Some(slug), version: Some(version), sha256, length, .. } = content else {
                continue;
            };
            let length = i64::try_from(length).unwrap_or(i64::MAX);
            all.push(Listed { slug, version, source: repository.into(), sha256, length, told: Told::default() });
        }
    }
    Ok(all)
}
