//! The first administrator of a new site: made in a browser, by who has the link that the server shows when it starts.
//!
//! Invariant: the link counts as long as the site has no account at all, which the write that makes the first one looks at
//! again. It is made of the site's key, so it is kept nowhere, and it is told to operators only.

use crate::accounts::{Accounts, store};
use crate::base::crypto::{Key, hex, same};
use crate::base::error::{Error, Result};

impl Accounts {
    /// Whether nobody has an account yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_new(&self) -> Result<bool> {
        self.db.read(store::is_empty).await
    }

    /// The path of the page that makes the first administrator, with what the link proves behind `#`, which browsers send to
    /// nobody. None once there is an account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn setup_link(&self) -> Result<Option<String>> {
        Ok(self.is_new().await?.then(|| format!("/setup#{}", self.setup_secret())))
    }

    fn setup_secret(&self) -> String {
        hex(Key::derive(self.key.bytes(), "resoftai first administrator").bytes())
    }

    /// # Errors
    /// `setup_link` when it is not that of this site.
    pub(super) fn check_setup_secret(&self, given: &str) -> Result<()> {
        if same(given.as_bytes(), self.setup_secret().as_bytes()) {
            return Ok(());
        }
        let message = "This is not the setup link of this site. The server shows it when it starts; on its machine, `sudo \
                       resoftai admin setup-link` shows it again.";
        Err(Error::forbidden("setup_link", message))
    }
}

/// Why there is nothing to set up.
pub(super) fn done() -> Error {
    let message = "This site has accounts already. Sign in with one; who administers it makes others.";
    Error::conflict("setup_done", message)
}
