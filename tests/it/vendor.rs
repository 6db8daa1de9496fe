//! A vendor of licences: the key that sites under test trust, and what it signs.

use std::sync::OnceLock;

use resoftai::base::crypto::Key;
use resoftai::base::note::{Signer, Verifier};
use resoftai::licence::verify::{self, Form};
use resoftai::licence::{Claims, Feature, Revocations, Tier};

/// What its key is called.
const NAME: &str = "vendor.example/licences";
pub const DAY: i64 = 86_400;

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(|| Signer::new(&Key::from_bytes([42; 32])).unwrap())
}

/// What sites set `licence.trusted_keys` to.
pub fn key() -> Verifier {
    signer().verifier(NAME)
}

/// Seconds since 1970, by the system's clock.
pub fn now() -> i64 {
    i64::try_from(std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

/// A licence of everything for anybody, issued now, for a year.
pub fn claims(serial: &str) -> Claims {
    Claims {
        iss: NAME.to_owned(),
        jti: serial.to_owned(),
        organization: "Acme Works".to_owned(),
        tier: Tier::Enterprise,
        seats: 100,
        features: Feature::ALL.map(|feature| feature.code().to_owned()).to_vec(),
        iat: now(),
        nbf: now() - DAY,
        exp: now() + 365 * DAY,
        grace_days: 30,
        installations: Vec::new(),
        disaster_recovery: None,
    }
}

pub fn sign(claims: &Claims) -> String {
    verify::sign(signer(), NAME, Form::Licence, claims).unwrap()
}

pub fn sign_list(number: i64, serials: &[&str]) -> String {
    let serials = serials.iter().map(|serial| (*serial).to_owned()).collect();
    let list = Revocations { iss: NAME.to_owned(), iat: now(), number, serials };
    verify::sign(signer(), NAME, Form::Revocations, &list).unwrap()
}

/// What a site under test runs with, unless it is about licences: one that opens everything, at any time.
pub fn settings() -> [(&'static str, String); 2] {
    static LICENCE: OnceLock<String> = OnceLock::new();
    let licence = LICENCE.get_or_init(|| {
        sign(&Claims { iat: 1, nbf: 0, exp: 253_402_300_799, seats: 1_000_000, ..claims("for-tests") })
    });
    [("RESOFTAI_LICENCE_TRUSTED_KEYS", key().to_string()), ("LICENSE_KEY", licence.clone())]
}
