//! A sign-in that was begun: what its browser keeps, sealed, until it comes back.
//!
//! Invariant: it counts for minutes, for the provider it was begun with, and for the browser that has it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{MINUTES, refused};
use crate::base::clock::{SECOND, Time};
use crate::base::crypto::{self, Key};
use crate::base::error::{Error, Result};

/// The cookie it is in.
pub const COOKIE: &str = "resoftai_sso";
const PLACE: &str = "sso.begun";

/// What an answer is held against.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Asked {
    Saml { request: String, relay: String },
    Oidc { state: String, nonce: String, verifier: String },
}

/// A sign-in that was begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begun {
    pub provider: i64,
    /// Where the browser sees the site.
    pub origin: String,
    /// Who, signed in already, links their account; None: it is a sign-in.
    pub link: Option<i64>,
    /// The page to go on to, a path of ours.
    pub back: String,
    pub expires_at: Time,
    pub asked: Asked,
}

impl Begun {
    pub fn until(now: Time) -> Time {
        now.plus(MINUTES * 60 * SECOND)
    }

    /// # Errors
    /// When the library fails, which is a fault of ours.
    pub fn seal(&self, key: &Key) -> Result<String> {
        let plain = serde_json::to_vec(self).map_err(Error::internal)?;
        Ok(URL_SAFE_NO_PAD.encode(key.seal(PLACE, &plain)?))
    }

    /// Reads what a browser kept, with the digest by which a finished one is remembered.
    ///
    /// # Errors
    /// `sso_refused`: another site's, another provider's, changed, or too old.
    pub fn open(key: &Key, cookie: Option<&str>, provider: i64, now: Time) -> Result<(Self, String)> {
        let cookie = cookie.ok_or_else(|| refused("the browser did not begin it here, or keeps no cookies"))?;
        let foreign = || refused("what the browser kept of it is not of this site");
        let bytes = URL_SAFE_NO_PAD.decode(cookie).map_err(|_| foreign())?;
        let plain = key.open(PLACE, &bytes).map_err(|_| foreign())?;
        let begun: Self = serde_json::from_slice(&plain).map_err(Error::internal)?;
        if begun.provider != provider {
            return Err(refused("it was begun with another provider"));
        }
        // Also when the clock was set back: nothing counts for much longer.
        if begun.expires_at <= now || begun.expires_at > now.plus((MINUTES + 1) * 60 * SECOND) {
            return Err(refused(format!("it took longer than {MINUTES} minutes")));
        }
        Ok((begun, crypto::sha256_hex(&bytes)))
    }
}

/// A path of ours to go on to: anything else would lead people to other sites.
pub fn own_path(given: Option<&str>) -> String {
    let own = |path: &&str| {
        path.starts_with('/')
            && !path.starts_with("//")
            && path.len() <= 500
            && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    };
    given.filter(own).unwrap_or("/").to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_800_000_000 * SECOND);

    fn begun() -> Begun {
        let asked = Asked::Saml { request: "_1".to_owned(), relay: "r".to_owned() };
        let expires_at = Begun::until(NOW);
        Begun { provider: 1, origin: "https://a.site".to_owned(), link: None, back: "/".to_owned(), expires_at, asked }
    }

    #[test]
    fn what_was_begun_counts_for_its_provider_for_minutes() {
        let key = Key::random().unwrap();
        let cookie = begun().seal(&key).unwrap();
        let minutes = |minutes: i64| NOW.plus(minutes * 60 * SECOND);
        for (provider, now, counts) in
            [(1, NOW, true), (1, minutes(9), true), (1, minutes(10), false), (1, minutes(-2), false), (2, NOW, false)]
        {
            assert_eq!(Begun::open(&key, Some(&cookie), provider, now).is_ok(), counts, "{provider} {now}");
        }
        assert!(Begun::open(&Key::random().unwrap(), Some(&cookie), 1, NOW).is_err());
        assert!(Begun::open(&key, None, 1, NOW).is_err());
    }

    #[test]
    fn nobody_is_led_to_another_site() {
        for (given, kept) in [
            (Some("/projects/7?tab=1"), "/projects/7?tab=1"),
            (Some("//evil.example"), "/"),
            (Some("/\\evil.example"), "/"),
            (Some("https://evil.example"), "/"),
            (Some("/a\r\nSet-Cookie: x=y"), "/"),
            (Some(""), "/"),
            (None, "/"),
        ] {
            assert_eq!(own_path(given), kept, "{given:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_cookie_may_be_brought(cookie in ".{0,300}") {
            proptest::prop_assert!(Begun::open(&Key::random().unwrap(), Some(&cookie), 1, NOW).is_err());
        }
    }
}
