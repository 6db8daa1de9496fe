//! What a machine says of a package before people look at it.
//!
//! Invariant: each check is one sentence about one thing; a package that fails one does not reach the queue.

use std::sync::Arc;

use semver::Version;

use super::Check;
use crate::market::{Market, look};
use crate::plugins::Package;
use crate::scan::Verdict;

/// A README that says something has this many characters.
const SHORTEST_README: usize = 40;

fn check(code: &str, ok: bool, good: impl Into<String>, bad: impl Into<String>) -> Check {
    Check { code: code.to_owned(), ok, text: if ok { good.into() } else { bad.into() } }
}

impl Market {
    /// Everything that is looked at of a package whose archive and plugin.json are sound. `newest` is the newest version
    /// that was published before.
    pub(super) async fn look_at(&self, package: Package, newest: Option<Version>) -> Vec<Check> {
        let (slug, version) = (package.manifest.slug.clone(), package.manifest.version.clone());
        let readme = look::text(&package, look::README);
        let mut checks = vec![
            check(
                "description",
                !package.manifest.description.trim().is_empty(),
                "plugin.json says what it does.",
                "plugin.json has no description. Say in a sentence what the plugin does.",
            ),
            check(
                "readme",
                readme.trim().chars().count() >= SHORTEST_README,
                "A README.md explains it.",
                "There is no README.md, or it says next to nothing. Explain what it does and how it is set up.",
            ),
            check(
                "license",
                look::told(&package, "license").is_some(),
                "plugin.json names its licence.",
                "plugin.json names no licence. Add one as an SPDX expression, such as \"Apache-2.0\".",
            ),
            check(
                "version",
                newest.as_ref().is_none_or(|newest| version > *newest),
                format!("{version} is newer than all before."),
                format!(
                    "{slug} {} was published before, and {version} is not newer. Raise the version.",
                    newest.as_ref().map(ToString::to_string).unwrap_or_default()
                ),
            ),
            check(
                "sums",
                package.has_sums(),
                "It was packed, with the sums of its files.",
                "It was not packed: resoftai plugin pack makes a package with sums and a list of libraries.",
            ),
        ];
        let package = Arc::new(package);
        checks.push(match self.scan(&package).await {
            Ok(scan) => check("scan", scan.verdict != Verdict::Blocked, scan.text.clone(), scan.text),
            Err(error) => check("scan", false, "", error.to_string()),
        });
        let loaded = self.inner.plugins.try_out(package).await;
        let why = loaded.as_ref().err().map(ToString::to_string).unwrap_or_default();
        checks.push(check("loads", loaded.is_ok(), "It loads in the sandbox.", why));
        checks
    }
}
