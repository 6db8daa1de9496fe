//! Keys of a repository, and its files as age makes them (age-encryption.org/v1), which the `age` command opens too.
//!
//! Invariant: what lies in a repository is encrypted to the repository's own key; that key lies beside it, encrypted to a
//! passphrase or to people's keys, and, sealed, in the site that writes there. Names of chunks say nothing of contents
//! without the key.

use std::io::{Read, Write};
use std::str::FromStr;

use age::secrecy::{ExposeSecret, SecretString};
use age::x25519::{Identity, Recipient};
use aws_lc_rs::hmac;

use crate::base::error::{Error, Result};

/// Bytes of a repository's key as a file.
pub(super) const KEY_BYTES: u64 = 64 << 10;

/// Who can open a repository beside the site.
#[derive(Debug, Clone)]
pub enum Lock {
    Passphrase(SecretString),
    /// Public keys of age, `age1...`.
    Recipients(Vec<String>),
}

/// What opens it again.
#[derive(Clone)]
pub enum Opener {
    Passphrase(SecretString),
    /// A secret key of age, `AGE-SECRET-KEY-1...`.
    Identity(SecretString),
}

/// A repository's key.
#[derive(Clone)]
pub(super) struct Keys {
    identity: Identity,
    recipient: Recipient,
    names: hmac::Key,
}

impl Keys {
    pub fn generate() -> Self {
        Self::of(Identity::generate())
    }

    fn of(identity: Identity) -> Self {
        let secret = identity.to_string();
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes());
        let names = hmac::sign(&root, b"resoftai backup chunk names");
        let names = hmac::Key::new(hmac::HMAC_SHA256, names.as_ref());
        Self { recipient: identity.to_public(), identity, names }
    }

    /// # Errors
    /// When the text is no key.
    pub fn parse(secret: &str) -> Result<Self> {
        Identity::from_str(secret.trim()).map(Self::of).map_err(Error::internal)
    }

    /// The key itself, to be sealed.
    pub fn secret(&self) -> SecretString {
        self.identity.to_string()
    }

    pub fn public(&self) -> String {
        self.recipient.to_string()
    }

    /// The name of a chunk: a keyed hash, so that who sees names cannot tell what is in it.
    pub fn name(&self, chunk: &[u8]) -> [u8; 32] {
        let mut name = [0; 32];
        name.copy_from_slice(hmac::sign(&self.names, chunk).as_ref());
        name
    }

    pub fn seal(&self, plain: &[u8]) -> Result<Vec<u8>> {
        age::encrypt(&self.recipient, plain).map_err(Error::internal)
    }

    /// None when it was changed, or is for another key. `most` bounds what comes of it.
    pub fn open(&self, sealed: &[u8], most: u64) -> Option<Vec<u8>> {
        let reader = age::Decryptor::new(sealed).ok()?.decrypt(std::iter::once(&self.identity as _)).ok()?;
        let mut plain = Vec::with_capacity(sealed.len());
        reader.take(most).read_to_end(&mut plain).ok()?;
        Some(plain)
    }
}

impl Lock {
    /// The repository's key, for the repository.
    ///
    /// # Errors
    /// `backup_recipient`, naming the one that is none.
    pub(super) fn seal(&self, keys: &Keys) -> Result<Vec<u8>> {
        let mut recipients: Vec<Box<dyn age::Recipient>> = Vec::new();
        let encryptor = match self {
            Self::Passphrase(passphrase) => age::Encryptor::with_user_passphrase(passphrase.clone()),
            Self::Recipients(texts) => {
                for text in texts {
                    let parsed = Recipient::from_str(text.trim()).map_err(|why| {
                        let sentence = format!("{text:?} is no public key of age: {why}. One begins with age1.");
                        Error::invalid("backup_recipient", sentence).field("recipients")
                    })?;
                    recipients.push(Box::new(parsed));
                }
                let all = recipients.iter().map(|recipient| recipient.as_ref() as _);
                age::Encryptor::with_recipients(all).map_err(|why| {
                    Error::invalid("backup_recipient", format!("The keys cannot be used: {why}.")).field("recipients")
                })?
            }
        };
        let mut sealed = Vec::new();
        let mut writer = encryptor.wrap_output(&mut sealed)?;
        writer.write_all(keys.secret().expose_secret().as_bytes())?;
        writer.finish()?;
        Ok(sealed)
    }
}

impl Opener {
    /// The repository's key out of its file.
    ///
    /// # Errors
    /// `backup_passphrase`, `backup_key`.
    pub(super) fn open(&self, sealed: &[u8]) -> Result<Keys> {
        let plain = match self {
            Self::Passphrase(passphrase) => {
                read(sealed, &age::scrypt::Identity::new(passphrase.clone())).ok_or_else(|| {
                    let sentence = "The passphrase does not open this repository. It was made with another one, or with keys: \
                                    then name the file of one with --identity.";
                    Error::forbidden("backup_passphrase", sentence)
                })?
            }
            Self::Identity(secret) => {
                let identity = Identity::from_str(secret.expose_secret().trim()).map_err(|_| {
                    Error::invalid("backup_key", "This is no secret key of age; one begins with AGE-SECRET-KEY-1.")
                })?;
                read(sealed, &identity).ok_or_else(|| {
                    let sentence = "This key does not open the repository: it is none of those that it was made for.";
                    Error::forbidden("backup_key", sentence)
                })?
            }
        };
        Keys::parse(&plain)
    }
}

fn read(sealed: &[u8], identity: &dyn age::Identity) -> Option<String> {
    let reader = age::Decryptor::new(sealed).ok()?.decrypt(std::iter::once(identity)).ok()?;
    let mut text = String::new();
    reader.take(KEY_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}
