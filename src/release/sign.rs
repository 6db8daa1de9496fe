//! The maker's side: keys and signatures, as minisign has them.
//!
//! Invariant: what is signed here, `minisign` verifies, and its keys are of use here.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign::{KeyPair, SecretKey, SecretKeyBox};

use crate::base::error::{Error, Result};

/// A new key pair as texts for files: the private one, encrypted when there is a passphrase, and the public one.
///
/// # Errors
/// When the system gives no random bytes.
pub fn keygen(passphrase: Option<String>) -> Result<(String, String)> {
    let comment = if passphrase.is_some() { "minisign encrypted secret key" } else { "minisign secret key" };
    let pair = match passphrase {
        Some(passphrase) => KeyPair::generate_encrypted_keypair(Some(passphrase)),
        None => KeyPair::generate_unencrypted_keypair(),
    }
    .map_err(Error::internal)?;
    let private = pair.sk.to_box(Some(comment)).map_err(Error::internal)?;
    Ok((private.into_string(), pair.pk.to_box().map_err(Error::internal)?.into_string()))
}

/// Reads a private key; `passphrase` is asked only when it is encrypted.
///
/// # Errors
/// `release_key` when it is none, or the passphrase is another; what asking fails with.
pub fn private_key<E: From<Error>>(text: &str, passphrase: impl FnOnce() -> Result<String, E>) -> Result<SecretKey, E> {
    let (sealed, encrypted) = (SecretKeyBox::from(text.to_owned()), is_encrypted(text));
    let key =
        if encrypted { sealed.into_secret_key(Some(passphrase()?)) } else { sealed.into_unencrypted_secret_key() };
    let wrong = |why| {
        // It wrote no checksum into keys without a passphrase.
        let hint = if encrypted { "" } else { " (minisign before 0.12 makes such keys with -W)" };
        let sentence =
            format!("The private key cannot be used: {why}{hint}. Make one with `resoftai vendor release keygen`.");
        Error::invalid("release_key", sentence)
    };
    Ok(key.map_err(wrong)?)
}

/// Whether a key's second line names a way to make a key of a passphrase.
fn is_encrypted(text: &str) -> bool {
    let bytes = text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok());
    bytes.is_some_and(|bytes| bytes.get(2..4).is_some_and(|way| way != [0, 0]))
}

/// The signature of `data` with a comment of one line that is signed too.
///
/// # Errors
/// When the data cannot be read.
pub fn sign(key: &SecretKey, data: impl Read, comment: &str) -> Result<String> {
    let signed = minisign::sign(None, key, data, Some(comment), Some("signature of a release of ResoftAI"));
    Ok(signed.map_err(Error::internal)?.into_string())
}
