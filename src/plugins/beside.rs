//! What other servers of the site changed about plugins.
//!
//! Invariant: the database says which plugins there are, whether they work and how they are set up, and every server follows
//! it. Their files lie with each server: it reads its own folder, and says so where a plugin is not in it.

use super::{Plugins, activations, host, manifest, store};
use crate::base::error::Result;

/// What was seen last of organisations' activations.
pub(super) type Seen = Option<(i64, i64)>;

impl Plugins {
    /// Takes over what changed since the last look.
    pub(super) async fn see_changes(&self, seen: &mut Seen) -> Result<()> {
        if self.inner.db.read(store::revisions).await? != self.inner.shelf.revisions() {
            let plugins = self.clone();
            self.to_the_end(async move { plugins.follow().await }).await?;
        }
        let stamp = self.inner.db.read(activations::store::stamp).await?;
        if *seen != Some(stamp) {
            self.read_activations().await?;
            *seen = Some(stamp);
        }
        Ok(())
    }

    /// Makes the shelf what the database says.
    async fn follow(&self) -> Result<()> {
        // From here on this server's own changes are on the shelf.
        let _alone = self.inner.changes.lock().await;
        let vault = self.inner.vault.clone();
        let kept = self.inner.db.read(move |tx| store::list(tx, &vault)).await?;
        for entry in self.inner.shelf.all().into_iter().filter(|entry| kept.iter().all(|kept| kept.slug != entry.slug))
        {
            self.clear_folder(&entry.slug).await?;
            self.inner.shelf.remove(&entry.slug);
            if manifest::is_slug(&entry.slug) {
                host::forget(&self.inner.doors.kv, &entry.slug).await?;
            }
        }
        let known = self.inner.shelf.revisions();
        for kept in kept.into_iter().filter(|kept| known.get(&kept.slug) != Some(&(kept.id, kept.revision))) {
            let package = self.read_folder(&kept.slug).await.map_err(|error| error.to_string());
            tracing::info!(plugin = kept.slug, "changed by another server of the site");
            self.replace(kept, package);
        }
        self.sweep_programs().await;
        self.read_activations().await
    }
}
