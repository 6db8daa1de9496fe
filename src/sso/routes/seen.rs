//! Under which address a request's browser sees the site.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use crate::accounts::routes::passkeys;
use crate::base::error::{Error, Result};
use crate::sso::Sso;
use crate::sso::provider::Addresses;
use crate::web::Secure;

/// The origin that the pages of a request came from; None for a command on the server itself, where `server.public_url`
/// does not say it: the local socket has no address that a browser knows.
pub(super) struct Seen(Option<String>);

impl Seen {
    /// # Errors
    /// `public_url_needed` where it is not known.
    pub(super) fn known(self) -> Result<String> {
        self.0.ok_or_else(|| {
            let message = "Under which address browsers see this site is not known here. Set server.public_url, or ask over \
                           the address itself.";
            Error::conflict("public_url_needed", message)
        })
    }

    pub(super) fn addresses(&self, slug: &str, kind: &str) -> Option<Addresses> {
        self.0.as_ref().map(|origin| Addresses::of(origin, slug, kind))
    }
}

impl FromRequestParts<Sso> for Seen {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, sso: &Sso) -> Result<Self> {
        let secure = parts.extensions.get::<Secure>().copied().unwrap_or(Secure(false));
        let origin = passkeys::origin(&sso.accounts, &parts.headers, &parts.uri, secure);
        // What commands say over the local socket (`cli::client`).
        Ok(Self(Some(origin).filter(|origin| origin != "http://localhost")))
    }
}
