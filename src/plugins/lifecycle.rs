//! What plugins need of each other, while they are changed.
//!
//! Invariant: no change leaves an active plugin without what it needs: neither one that comes in, nor one that others need
//! and that goes, stops or becomes another version.

use super::Plugins;
use super::depends::{self, Graph, Node};
use super::manifest::Manifest;
use super::package::Package;
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

    /// Whether the package finds what it needs, and those that need it can live with it.
    ///
    /// # Errors
    /// `plugin_dependency`, naming who needs what.
    pub(super) fn check_needs(&self, package: &Package) -> Result<()> {
        let slug = &package.manifest.slug;
        let new = node(&package.manifest);
        let mut active = self.active();
        for other in depends::dependents(slug, &active) {
            let needs = active.get(&other).map(|node| node.needs.as_slice()).unwrap_or_default();
            if let Some(need) = needs.iter().find(|need| need.slug == *slug && !need.range.matches(&new.version)) {
                let sentence = format!(
                    "{other} needs {need}; {slug} {} would leave it without. Disable {other} first.",
                    new.version
                );
                return Err(Error::conflict("plugin_dependency", sentence).field("version"));
            }
        }
        let needs = new.needs.clone();
        active.insert(slug.clone(), new);
        if let Some(circle) = depends::circle(slug, &active) {
            return Err(depends::in_a_circle(slug, &circle));
        }
        match depends::unmet(slug, &needs, &active) {
            Some(sentence) => Err(Error::conflict("plugin_dependency", sentence).field("dependencies")),
            None => Ok(()),
        }
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
