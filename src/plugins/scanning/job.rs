//! Scanning again everything that is installed.
//!
//! Invariant: a job that ended looked at every plugin with the newest rules and advisories there were; what is found anew
//! is told once.

use serde::{Deserialize, Serialize};

use super::{PluginScan, Scanned, digest, store, words};
use crate::base::clock::Time;
use crate::base::error::{Error, Result};
use crate::db::Tx;
use crate::jobs::{self, Job, Jobs};
use crate::notices::{self, NewNotice};
use crate::plugins::Plugins;
use crate::plugins::shelf::Entry;
use crate::scan::{Finding, Verdict};

const KIND: &str = "plugins.scan";

#[derive(Serialize, Deserialize)]
struct Payload {}

/// Has every plugin scanned again after the commit.
///
/// # Errors
/// When the database fails.
pub fn enqueue(tx: &mut Tx<'_>, now: Time) -> Result<()> {
    jobs::enqueue(tx, now, KIND, &Payload {}).map(drop)
}

impl Plugins {
    pub fn register(&self, jobs: &mut Jobs) {
        let plugins = self.clone();
        jobs.handle(KIND, 1, move |job| plugins.clone().scan_all(job));
    }

    /// Has all scanned when one never was, or not by the rules there are now: a new version of the program brings some.
    ///
    /// # Errors
    /// When the database or the mirror's contents cannot be read.
    pub async fn scan_what_was_not(&self) -> Result<()> {
        let version = self.inner.scanner.known().await?.rules.version.to_string();
        let now = self.inner.clock.now();
        let write = move |tx: &mut Tx<'_>| {
            let all = store::rules(tx)?;
            if all.values().any(|by| by.as_deref() != Some(version.as_str())) { enqueue(tx, now) } else { Ok(()) }
        };
        self.inner.db.write(write).await
    }

    async fn scan_all(self, job: Job) -> Result<()> {
        for entry in self.inner.shelf.all() {
            self.scan_again(&entry).await?;
        }
        self.inner.db.write(move |tx| jobs::finish(tx, job.id)).await
    }

    async fn scan_again(&self, entry: &Entry) -> Result<()> {
        // What is damaged says so by itself, and does not work.
        let Ok(package) = &entry.package else { return Ok(()) };
        let report = self.look(package).await?;
        let mut scanned = Scanned {
            version: package.manifest.version.to_string(),
            package_sha256: digest(package),
            verdict: self.verdict(&report),
            reason: None,
            report,
        };
        let (plugins, id, revision, slug) = (self.clone(), entry.id, entry.revision, entry.slug.clone());
        let write = move |tx: &mut Tx<'_>| {
            match store::revision(tx, id)? {
                None => return Ok(()),
                Some(now) if now == revision => {}
                Some(_) => {
                    let sentence = format!("{slug} was changed while it was scanned. It is scanned again.");
                    return Err(Error::conflict("plugin_changed", sentence));
                }
            }
            let before = store::find(tx, &slug)?;
            let same = before.as_ref().filter(|before| before.package_sha256 == scanned.package_sha256);
            scanned.reason =
                same.and_then(|before| before.reason.clone()).filter(|_| scanned.verdict == Verdict::Blocked);
            store::keep(tx, id, &scanned)?;
            plugins.tell_admins(tx, &slug, before.as_ref(), &scanned)
        };
        self.inner.db.write(write).await
    }

    fn tell_admins(&self, tx: &mut Tx<'_>, slug: &str, before: Option<&PluginScan>, now: &Scanned) -> Result<()> {
        let known = |finding: &Finding| {
            before.is_some_and(|before| before.report.findings.iter().any(|known| known.text == finding.text))
        };
        let minded = |finding: &&Finding| self.inner.scanner.policy.minds(finding) && !known(finding);
        let new: Vec<&Finding> = now.report.findings.iter().filter(minded).collect();
        let Some(worst) = new.first() else { return Ok(()) };
        let others = if new.len() > 1 { format!(" And {} more.", new.len() - 1) } else { String::new() };
        let text =
            format!("A scan found something new in the plugin {slug}, which goes on working: {}{others}", words(worst));
        tracing::warn!("{text}");
        let notice = NewNotice::new("plugin_findings", text).link(format!("/plugins/{slug}/scan"));
        notices::to_site(tx, now.report.scanned_at, &notice)
    }
}
