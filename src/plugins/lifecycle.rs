//! What plugins need of each other, while they are changed.
//!
//! Invariant: no change leaves an active plugin without what it needs: neither one that comes in, nor one that others need
//! and that goes, stops or becomes another version.

use std::collections::BTreeMap;
use std::sync::Arc;

use semver::Version;

use super::Plugins;
use super::depends::{self, Dependency, Graph, Node};
use super::manifest::Manifest;
use super::package::Package;
use crate::access::OrgId;
use crate::base::error::{Error, Result};

/// A plugin as others see it.
pub fn node(manifest: &Manifest) -> Node {
    // What cannot be read was refused with the manifest.
    Node { version: manifest.version.clone(), needs: manifest.needs().unwrap_or_default() }
}

impl Plugins {
    /// What is active and whole.
    pub(super) fn active(&self) -> Graph {
        let entries = self.inner.shelf.all().into_iter().filter(|entry| entry.active);
        entries.filter_map(|entry| Some((entry.slug.clone(), node(&entry.package.as_ref().ok()?.manifest)))).collect()
    }

    /// What is active and whole, by slug, with what each needs.
    pub fn active_with_needs(&self) -> BTreeMap<String, (Version, Vec<Dependency>)> {
        self.active().into_iter().map(|(slug, node)| (slug, (node.version, node.needs))).collect()
    }

    /// The version of a plugin that is installed, whether or not it works.
    pub fn installed_version(&self, slug: &str) -> Option<String> {
        let entry = self.inner.shelf.get(slug)?;
        entry.package.as_ref().ok().map(|package| package.manifest.version.to_string())
    }

    /// Whether a plugin works in an organisation.
    pub fn works_in(&self, slug: &str, org: OrgId) -> bool {
        self.at_work(Some(org)).iter().any(|worker| worker.slug() == slug)
    }

    /// Whether packages that come in together find what they need, and those that need them can live with them.
    ///
    /// # Errors
    /// `plugin_dependency`, naming who needs what.
    pub(super) fn check_needs(&self, incoming: &[Arc<Package>]) -> Result<()> {
        let mut active = self.active();
        active.extend(incoming.iter().map(|package| (package.manifest.slug.clone(), node(&package.manifest))));
        incoming.iter().try_for_each(|package| check(&package.manifest, &active))
    }

    /// Whether no active plugin needs this one.
    ///
    /// # Errors
    /// `plugin_needed`, naming those that do.
    pub(super) fn check_unneeded(&self, slug: &str) -> Result<()> {
        let needing = depends::dependents(slug, &self.active());
        if needing.is_empty() {
            return Ok(());
        }
        let sentence = format!("{slug} is needed by {}. Disable them first.", needing.join(", "));
        Err(Error::conflict("plugin_needed", sentence))
    }
}

/// Whether a plugin fits among what will be active, itself in it.
fn check(manifest: &Manifest, active: &Graph) -> Result<()> {
    let (slug, version) = (&manifest.slug, &manifest.version);
    for other in depends::dependents(slug, active) {
        let needs = active.get(&other).map(|node| node.needs.as_slice()).unwrap_or_default();
        if let Some(need) = needs.iter().find(|need| need.slug == *slug && !need.range.matches(version)) {
            let sentence =
                format!("{other} needs {need}; {slug} {version} would leave it without. Disable {other} first.");
            return Err(Error::conflict("plugin_dependency", sentence).field("version"));
        }
    }
    if let Some(circle) = depends::circle(slug, active) {
        return Err(depends::in_a_circle(slug, &circle));
    }
    let needs = active.get(slug).map(|node| node.needs.as_slice()).unwrap_or_default();
    match depends::unmet(slug, needs, active) {
        Some(sentence) => Err(Error::conflict("plugin_dependency", sentence).field("dependencies")),
        None => Ok(()),
    }
}
