//! The few cryptographic acts the product needs, each by one library call: random tokens, digests, sealing, passwords.
//!
//! Invariant: secrets never appear in `Debug` output, comparisons are constant-time, every sealed value is bound to the
//! place it is stored in. Key files are made and read by `config::secrets`.

use std::fmt;
use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{constant_time, digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::base::error::{Error, Result};

/// A 32-byte secret key.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; 32],
    /// Made of the bytes when it is first needed: what is sealed together shares it.
    cipher: Arc<OnceLock<RandomizedNonceKey>>,
}

impl Key {
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> Result<Self> {
        Ok(Self::from_bytes(random_bytes()?))
    }

    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, cipher: Arc::default() }
    }

    fn cipher(&self) -> Result<&RandomizedNonceKey> {
        if let Some(cipher) = self.cipher.get() {
            return Ok(cipher);
        }
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &self.bytes).map_err(Error::internal)?;
        Ok(self.cipher.get_or_init(|| cipher))
    }

    /// A key from a passphrase-like secret of any length, for one purpose.
    pub fn derive(secret: &[u8], purpose: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let tag = hmac::sign(&key, purpose.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(tag.as_ref());
        Self::from_bytes(bytes)
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// Encrypts `plain` with AES-256-GCM under a random nonce; `place` (table, column, id) is authenticated with it.
    ///
    /// # Errors
    /// When the library refuses, which it does only without random bytes.
    pub fn seal(&self, place: &str, plain: &[u8]) -> Result<Vec<u8>> {
        let mut buffer = plain.to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(Aad::from(place.as_bytes()), &mut buffer)
            .map_err(Error::internal)?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut buffer);
        Ok(sealed)
    }

    /// Opens what [`Key::seal`] made for the same place.
    ///
    /// # Errors
    /// `unsealed`: another key, another place, or changed bytes.
    pub fn open(&self, place: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.open_in_place(place, &mut sealed.to_vec()).map(<[u8]>::to_vec)
    }

    /// The same, in the memory of what is sealed.
    ///
    /// # Errors
    /// As [`Key::open`].
    pub fn open_in_place<'a>(&self, place: &str, sealed: &'a mut [u8]) -> Result<&'a [u8]> {
        let refused = || {
            Error::unavailable(
                "unsealed",
                format!(
                    "The sealed value of {place} does not open with this site's key. Restore the secrets folder that belongs to this database."
                ),
            )
        };
        let (nonce, body) = sealed.split_at_mut_checked(NONCE_LEN).ok_or_else(refused)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
        let plain = self.cipher()?.open_in_place(nonce, Aad::from(place.as_bytes()), body).map_err(|_| refused())?;
        Ok(plain)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

/// `N` random bytes from the system.
///
/// # Errors
/// When the system has none to give.
pub fn random_bytes<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes)
}

/// A random token of 256 bits in URL-safe Base64, 43 characters.
///
/// # Errors
/// When the system has no random bytes.
pub fn random_token() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<32>()?))
}

/// SHA-256 in lower-case hexadecimal, 64 characters.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// SHA-256 of what comes piece by piece.
pub struct Sha256(digest::Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Sha256 {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// In lower-case hexadecimal, 64 characters.
    pub fn hex(self) -> String {
        hex(self.0.finish().as_ref())
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)].into());
        text.push(DIGITS[usize::from(byte & 15)].into());
    }
    text
}

/// Equality that takes the same time wherever the first difference is.
pub fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

/// Hashes a password with Argon2id (RFC 9106) and the library's default cost.
///
/// # Errors
/// When hashing fails, which is a fault of ours.
pub fn hash_password(password: &str) -> Result<String> {
    let salt = random_bytes::<16>()?;
    let hash = argon2::Argon2::default()
        .hash_password_with_salt(password.as_bytes(), &salt)
        .map_err(|cause| Error::internal(cause.to_string()))?;
    Ok(hash.to_string())
}

/// Whether `password` is the one `hash` was made from. A hash that cannot be read verifies nothing.
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|parsed| argon2::Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_with_its_key_at_its_place() {
        let key = Key::random().unwrap();
        let sealed = key.seal("providers.api_key.1", b"sk-secret").unwrap();
        assert_eq!(key.open("providers.api_key.1", &sealed).unwrap(), b"sk-secret");
        assert_eq!(key.open("providers.api_key.2", &sealed).unwrap_err().code(), "unsealed");
        assert_eq!(Key::random().unwrap().open("providers.api_key.1", &sealed).unwrap_err().code(), "unsealed");
        let mut bent = sealed;
        bent[NONCE_LEN] ^= 1;
        assert!(key.open("providers.api_key.1", &bent).is_err());
        assert!(key.open("providers.api_key.1", b"short").is_err());
    }

    #[test]
    fn a_password_verifies_and_another_does_not() {
        let hash = hash_password("a long enough passphrase").unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify_password("a long enough passphrase", &hash));
        assert!(!verify_password("another long passphrase", &hash));
        assert!(!verify_password("a long enough passphrase", "not a hash"));
    }
}
