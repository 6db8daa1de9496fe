//! What a site installs and upgrades from: a bundle that its maker signed.
//!
//! Invariant: nothing of a bundle counts before a trusted key is found to have signed its sums and its bytes are what the
//! sums say. Which keys count is said by who runs the program, or else built in and set; a bundle cannot bring its own.

pub mod bundle;
pub mod sign;

use crate::base::error::{Error, Result};
use crate::base::minisign::PublicKey;

/// Of who makes releases; more may be set.
const BUILT_IN: &str = include_str!("../../packaging/keys/release.pub");

/// The keys that count when nobody says which: those in the program and those that are `set`.
///
/// # Errors
/// When the program was built with what is no key.
pub fn trusted(set: &[PublicKey]) -> Result<Vec<PublicKey>> {
    let mut keys = PublicKey::all(BUILT_IN).map_err(Error::internal)?;
    keys.extend_from_slice(set);
    Ok(keys)
}
