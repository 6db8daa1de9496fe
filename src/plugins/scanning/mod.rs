//! Scanning plugins: before one is put in its place, and again when rules or advisories are new.
//!
//! Invariant: whatever way a package comes in, it was looked through, and what the policy keeps out is only taken when an
//! administrator of the site says so with a reason, which the trail keeps. A plugin that works already is not stopped by
//! what is found later; the site's administrators are told.

mod job;
pub mod routes;
pub mod store;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use utoipa::ToSchema;

use super::package::Package;
use super::{Plugins, sbom, sums};
use crate::base::crypto::sha256_hex;
use crate::base::error::{Error, Result};
use crate::base::tasks::blocking;
use crate::scan::{self, Finding, Known, Policy, Report, Source, Subject, Verdict};

pub use job::enqueue;

/// Findings that a refusal names.
const NAMED: usize = 3;
/// Characters of a reason.
const MAX_REASON: usize = 500;

/// What this site scans with.
pub struct Scanner {
    pub policy: Policy,
    /// Filled in when the mirror is there; until then there are the built-in rules and no advisories.
    pub source: OnceLock<Arc<dyn Source>>,
}

impl Scanner {
    pub fn new(policy: Policy) -> Self {
        Self { policy, source: OnceLock::new() }
    }

    async fn known(&self) -> Result<Known> {
        match self.source.get() {
            Some(source) => source.known().await,
            None => Ok(Known::default()),
        }
    }
}

/// How the last scan of a plugin went, as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PluginScan {
    pub slug: String,
    pub version: String,
    /// SHA-256 of the list of its files' sums.
    pub package_sha256: String,
    pub verdict: Verdict,
    /// Why it was taken although it is blocked; null: it is not, or became so after it was taken.
    pub reason: Option<String>,
    pub report: Report,
}

/// A package that was looked through and may be taken.
#[derive(Debug, Clone)]
pub struct Scanned {
    pub version: String,
    pub package_sha256: String,
    pub verdict: Verdict,
    pub reason: Option<String>,
    pub report: Report,
}

impl Plugins {
    /// Brings newer rules, and advisories.
    pub fn scan_with(&self, source: Arc<dyn Source>) {
        drop(self.inner.scanner.source.set(source));
    }

    /// Looks through a package, installed or not.
    ///
    /// # Errors
    /// When advisories cannot be read.
    pub async fn look(&self, package: &Arc<Package>) -> Result<Report> {
        let (known, package) = (self.inner.scanner.known().await?, package.clone());
        let (licences, now) = (self.inner.scanner.policy.licences.clone(), self.inner.clock.now());
        let look = move || Ok(scan::look(&subject(&package)?, &known, &licences, now));
        blocking(look).await
    }

    /// What the site makes of it.
    pub fn verdict(&self, report: &Report) -> Verdict {
        self.inner.scanner.policy.judge(report)
    }

    /// Lets a package pass, or not; `despite` is why one that is kept out is to be taken.
    ///
    /// # Errors
    /// `plugin_scan_blocked`, naming what was found; `invalid_reason`.
    pub(super) async fn admit(&self, package: &Arc<Package>, despite: Option<String>) -> Result<Scanned> {
        let report = self.look(package).await?;
        let (verdict, sha256) = (self.verdict(&report), digest(package));
        let said = despite.as_deref().map(check_reason).transpose()?;
        let reason = match (verdict, said) {
            (Verdict::Blocked, None) => {
                // Taken before as it is now.
                let slug = package.manifest.slug.clone();
                let kept = self.inner.db.read(move |tx| store::find(tx, &slug)).await?;
                let kept = kept.filter(|kept| kept.package_sha256 == sha256).and_then(|kept| kept.reason);
                Some(kept.ok_or_else(|| self.blocked(package, &report))?)
            }
            (Verdict::Blocked, said) => said,
            (Verdict::Clean | Verdict::Warned, _) => None,
        };
        let version = package.manifest.version.to_string();
        Ok(Scanned { version, package_sha256: sha256, verdict, reason, report })
    }

    fn blocked(&self, package: &Package, report: &Report) -> Error {
        let limit = self.inner.scanner.policy.block;
        let worst: Vec<&Finding> =
            report.findings.iter().filter(|finding| limit.is_some_and(|limit| finding.severity >= limit)).collect();
        let named: Vec<String> = worst.iter().take(NAMED).map(|finding| words(finding)).collect();
        let more = worst.len().saturating_sub(NAMED) + report.more;
        let sentence = format!(
            "{} {} is not taken, for what a scan found in it: {}{} Have its author mend it. An administrator of the site \
             who knows better takes it all the same with allow_findings=true and a reason.",
            package.manifest.slug,
            package.manifest.version,
            named.join(" "),
            if more > 0 { format!(" And {more} more.") } else { String::new() }
        );
        Error::conflict("plugin_scan_blocked", sentence).field("allow_findings")
    }
}

/// A finding in one line.
pub fn words(finding: &Finding) -> String {
    let line = finding.line.map(|line| format!(", line {line}")).unwrap_or_default();
    let place = finding.file.as_ref().map(|file| format!("{file}{line}: ")).unwrap_or_default();
    format!("{place}{} ({}, {})", finding.text, finding.severity.code(), finding.rule)
}

/// The package as it is looked through.
///
/// # Errors
/// When its list of libraries cannot be made.
pub fn subject(package: &Package) -> Result<Subject<'_>> {
    let own = sbom::write(&package.manifest, package.files(), &BTreeMap::new())?;
    let brought = package.content(sbom::FILE).map(<[u8]>::to_vec);
    Ok(Subject {
        files: package.files().iter().collect(),
        asks: serde_json::to_value(&package.manifest.capabilities).map_err(Error::internal)?,
        boms: std::iter::once(own).chain(brought).collect(),
    })
}

fn digest(package: &Package) -> String {
    sha256_hex(sums::list(package.files()).as_bytes())
}

/// What a request says about findings: whether to take the plugin despite of them, and why.
///
/// # Errors
/// `invalid_reason` when it says so without a reason, or gives a reason for nothing.
pub fn despite(allow: bool, reason: Option<String>) -> Result<Option<String>> {
    match (allow, reason) {
        (false, None) => Ok(None),
        (true, Some(reason)) => check_reason(&reason).map(Some),
        _ => {
            let sentence = "allow_findings and reason go together: say why the plugin is taken although a scan found \
                            something in it.";
            Err(Error::invalid("invalid_reason", sentence).field("reason"))
        }
    }
}

fn check_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    let length = reason.chars().count();
    if length == 0 || length > MAX_REASON || reason.chars().any(char::is_control) {
        let sentence = format!("Say why in one line of 1 to {MAX_REASON} characters; the audit trail keeps it.");
        return Err(Error::invalid("invalid_reason", sentence).field("reason"));
    }
    Ok(reason.to_owned())
}
