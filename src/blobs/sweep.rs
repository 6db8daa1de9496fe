//! Removing contents that nothing names any more.
//!
//! Invariant: a content goes only when nothing named it at two looks in a row and nobody put it in between. So the pause
//! between looks is how long a room may take from putting a content to writing down its hash, whatever the clock does.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{ASIDE, Blobs, WRITERS, blocking, key};
use crate::base::error::{Error, Result};

impl Blobs {
    /// One look: removes what was unused at the look before and still is; how many contents went. `used` says which hashes
    /// that begin with two given digits are named anywhere. Costs a walk over all folders and 256 questions at most;
    /// writers wait only while the files of one folder in 256 are removed.
    ///
    /// # Errors
    /// Those of `used`, or the disk's.
    pub async fn sweep<F>(&self, used: impl Fn(String) -> F) -> Result<usize>
    where
        F: Future<Output = Result<HashSet<String>>>,
    {
        let mut removed = 0;
        for digits in self.outer_folders().await? {
            let folder = self.inner.folder.join(&digits);
            let present = blocking(move || contents(&folder)).await?;
            let used = used(digits.clone()).await?;
            removed += self.remove_unused(&digits, present.difference(&used).cloned().collect()).await?;
        }
        Ok(removed)
    }

    async fn outer_folders(&self) -> Result<Vec<String>> {
        let folder = self.inner.folder.clone();
        blocking(move || {
            let mut folders = names(&folder)?;
            folders.retain(|name| name != ASIDE);
            Ok(folders)
        })
        .await
    }

    /// Removes those of `unused` that were unused before, and remembers the others.
    async fn remove_unused(&self, digits: &str, unused: HashSet<String>) -> Result<usize> {
        let (inner, digits) = (Arc::clone(&self.inner), digits.to_owned());
        // With every place among the writers taken, nobody can find a content that is about to go.
        let all = Arc::clone(&inner.writers).acquire_many_owned(WRITERS as u32).await.map_err(Error::internal)?;
        blocking(move || {
            let _all = all;
            if inner.held.load(Ordering::Acquire) > 0 {
                return Ok(0);
            }
            let mut marked = inner.unused();
            let (gone, seen): (Vec<_>, Vec<_>) = unused.into_iter().partition(|hash| marked.contains(hash));
            marked.retain(|hash| !hash.starts_with(&digits));
            marked.extend(seen);
            for hash in &gone {
                std::fs::remove_file(inner.folder.join(&digits).join(&hash[2..4]).join(hash))?;
            }
            Ok(gone.len())
        })
        .await
    }
}

/// The hashes in one outer folder; other names are not ours to touch.
fn contents(folder: &Path) -> Result<HashSet<String>> {
    let mut hashes = HashSet::new();
    for inner in names(folder)? {
        hashes.extend(names(&folder.join(inner))?.into_iter().filter(|name| key(name).is_ok()));
    }
    Ok(hashes)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    async fn sweep(blobs: &Blobs, used: &[&str]) -> usize {
        let named = |digits: String| {
            let named = used.iter().filter(|hash| hash.starts_with(&digits)).map(|hash| (*hash).to_owned()).collect();
            std::future::ready(Ok(named))
        };
        blobs.sweep(named).await.unwrap()
    }

    #[tokio::test]
    async fn what_nothing_names_goes_at_the_second_look_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs")).await.unwrap();
        let (kept, gone) = (blobs.put("kept").await.unwrap(), blobs.put("gone").await.unwrap());
        std::fs::write(dir.path().join("blobs").join(&kept[..2]).join(&kept[2..4]).join("lost+found"), "x").unwrap();
        assert_eq!(sweep(&blobs, &[&kept]).await, 0);
        assert_eq!(sweep(&blobs, &[&kept]).await, 1);
        assert_eq!(sweep(&blobs, &[&kept]).await, 0);
        assert!(blobs.exists(&kept).await.unwrap() && !blobs.exists(&gone).await.unwrap());
        assert_eq!(blobs.put("gone").await.unwrap(), gone);
        assert_eq!(blobs.get(&gone, 4).await.unwrap(), "gone");
    }

    #[tokio::test]
    async fn what_is_put_or_named_between_two_looks_stays() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&dir.path().join("blobs")).await.unwrap();
        let (put, named) = (blobs.put("put").await.unwrap(), blobs.put("named").await.unwrap());
        assert_eq!(sweep(&blobs, &[]).await, 0);
        blobs.put("put").await.unwrap();
        assert_eq!(sweep(&blobs, &[&named]).await, 0);
        // Both begin anew: unused once is not unused twice.
        assert_eq!(sweep(&blobs, &[&put]).await, 0);
        assert_eq!(sweep(&blobs, &[]).await, 1);
        assert!(blobs.exists(&put).await.unwrap() && !blobs.exists(&named).await.unwrap());
    }
}
