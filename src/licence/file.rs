//! The licence of the settings: `LICENSE_KEY`, and the file that `licence.file` names.
//!
//! Invariant: a licence there that does not count keeps no server from starting; the page and the log say why.

use std::path::Path;
use std::time::SystemTime;

use tokio::io::AsyncReadExt as _;

use super::Licence;
use super::verify::LICENCE_BYTES;
use crate::access::Caller;
use crate::base::error::{Error, Result};

/// What tells one state of a file from another.
pub(super) type Seen = Option<(SystemTime, u64)>;

impl Licence {
    /// Installs the licence that `LICENSE_KEY` holds.
    pub(super) async fn take_setting(&self) {
        if let Some(key) = self.0.options.key.clone() {
            let taken = self.install(Caller::system(), key).await;
            self.note("LICENSE_KEY", taken);
        }
    }

    /// Installs the licence of the file, when it is another than the one that was `seen`.
    pub(super) async fn take_file(&self, seen: &mut Seen) {
        let Some(path) = self.0.options.file.clone() else { return };
        let found = tokio::fs::metadata(&path).await.ok().and_then(|file| Some((file.modified().ok()?, file.len())));
        if found.is_some() && found == *seen {
            return;
        }
        let first = seen.is_none();
        *seen = found;
        let taken = match read(&path).await {
            Ok(file) => self.install(Caller::system(), file).await,
            // Said once, not every few seconds.
            Err(_) if found.is_none() && !first => return,
            Err(error) => Err(error),
        };
        self.note("licence.file", taken);
    }

    fn note(&self, source: &'static str, taken: Result<()>) {
        let mut problems = self.0.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        match taken {
            Ok(()) => drop(problems.remove(source)),
            Err(error) => {
                if problems.insert(source, error.message().to_owned()).is_none() {
                    tracing::warn!(source, code = error.code(), "the licence of the settings is not used: {error}");
                }
            }
        }
    }

    /// Why licences of the settings are not used, each with the setting's name.
    pub(super) fn problems(&self) -> Vec<String> {
        let problems = self.0.problems.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        problems.iter().map(|(source, why)| format!("{source}: {why}")).collect()
    }
}

async fn read(path: &Path) -> Result<String> {
    let unread = |cause: std::io::Error| {
        let message = format!("{} cannot be read: {cause}. Check licence.file.", path.display());
        Error::invalid("licence_file", message)
    };
    let mut bytes = Vec::new();
    // One more than a licence may have, which is then refused for its size.
    let most = LICENCE_BYTES as u64 + 1;
    tokio::fs::File::open(path).await.map_err(unread)?.take(most).read_to_end(&mut bytes).await.map_err(unread)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
