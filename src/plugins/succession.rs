//! One version of a plugin in the place of another: what the new one asks for beyond the old one, whether it works where the
//! old one did, and keeping the old one until that is known.
//!
//! Invariant: nothing is decided here; what was at work lies on the disk from before it is replaced until somebody says that
//! it is not needed any more.

use std::sync::Arc;

use super::capabilities::Decision;
use super::package::Package;
use super::settings::{self, Settings};
use super::{Plugins, activations, install};
use crate::access::OrgId;
use crate::base::error::Result;
use crate::base::tasks::blocking;

/// Where a plugin is at work: an organisation with what it granted, or none.
type Place = Option<(OrgId, Decision)>;

impl Plugins {
    /// Whether an installation would take a package, as far as that can be told without loading it; what it asks for beyond
    /// what the version here asks for, in words.
    ///
    /// # Errors
    /// `plugin_not_signed`, `plugin_scan_blocked`.
    pub async fn would_take(&self, package: Package) -> Result<Vec<String>> {
        let trust = self.inner.trust.clone();
        let package = blocking(move || trust.admit(package).map(Arc::new)).await?;
        self.admit(&package, None).await?;
        let here = self.inner.shelf.get(&package.manifest.slug).and_then(|entry| entry.package.clone().ok());
        let asked = here.map(|here| here.manifest.capabilities.clone()).unwrap_or_default();
        Ok(Decision { asked, ..Decision::default() }.asks(&package.manifest.capabilities))
    }

    /// Keeps the version that is here, to come back if its successor does not work.
    ///
    /// # Errors
    /// `not_found`; `invalid_plugin` when its folder is damaged; when the disk is full.
    pub async fn keep_version(&self, slug: &str) -> Result<Arc<Package>> {
        let package = install::usable(&*self.shelved(slug)?)?;
        self.keep_aside(package.clone()).await?;
        Ok(package)
    }

    /// The version that was kept, if one was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn kept_version(&self, slug: &str) -> Result<Option<Arc<Package>>> {
        self.kept_aside(slug).await
    }

    /// Starts a plugin once wherever it is at work, with the settings and grants it has there. Why it does not work in a
    /// place where the version before does; None: it does everywhere.
    ///
    /// # Errors
    /// `not_found`; `invalid_plugin` when its folder is damaged.
    pub async fn worse_than(&self, slug: &str, before: &Arc<Package>) -> Result<Option<String>> {
        let entry = self.shelved(slug)?;
        let package = install::usable(&entry)?;
        let activations = self.inner.crew.activations();
        let alone = entry.everywhere.then(|| (None, entry.config.clone()));
        let at_work = activations.of(entry.id).filter(|(_, own)| activations::works(entry.everywhere, Some(own)));
        let own = at_work.map(|(org, own)| -> (Place, Settings) {
            (Some((org, own.decision.clone())), settings::merged(&entry.config, &own.config))
        });
        for (place, config) in alone.into_iter().chain(own) {
            let Err(error) = self.prove_in(&package, place.clone(), &config).await else { continue };
            let place_in_words = place.as_ref().map(|(org, _)| format!("In organisation {}: ", org.0));
            // What neither can is no fault of the new one.
            if self.prove_in(before, place, &config).await.is_ok() {
                return Ok(Some(format!("{}{error}", place_in_words.unwrap_or_default())));
            }
        }
        Ok(None)
    }
}
