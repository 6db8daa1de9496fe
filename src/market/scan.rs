//! What a scan says of a package that nobody took yet.
//!
//! Invariant: it goes by what an installation would go by, and keeps nothing.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::Market;
use crate::base::error::Result;
use crate::plugins::{Package, scanning};
use crate::scan::Verdict;

/// Findings that are named.
const NAMED: usize = 3;

/// What a scan says of a package.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = MarketScan)]
pub struct Scan {
    pub verdict: Verdict,
    /// The worst of what was found, for people.
    pub text: String,
}

impl Market {
    /// # Errors
    /// When advisories cannot be read.
    pub(super) async fn scan(&self, package: &Arc<Package>) -> Result<Scan> {
        let report = self.inner.plugins.look(package).await?;
        let worst: Vec<String> = report.findings.iter().take(NAMED).map(scanning::words).collect();
        let count = report.findings.len() + report.more;
        let found = format!("{count} findings, {} places not scanned. {}", report.not_scanned.len(), worst.join(" "));
        let verdict = self.inner.plugins.verdict(&report);
        let text = match verdict {
            Verdict::Clean => "A scan found nothing to warn about.".to_owned(),
            Verdict::Warned => format!("A scan warns: {}", found.trim_end()),
            Verdict::Blocked => format!("A scan found what keeps it out: {}", found.trim_end()),
        };
        Ok(Scan { verdict, text })
    }
}
