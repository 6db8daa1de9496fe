//! Signatures of files in minisign's form: Ed25519 over BLAKE2b-512, with a comment that is signed as well. The tool `minisign`
//! makes and reads them too.
//!
//! Invariant: a comment comes out of a signature only when one of the keys in question signed it together with the bytes.

use std::fmt;
use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error as Refused, Signature};

/// The most of a key or a signature that is read, in bytes.
pub const TEXT_LIMIT: u64 = 4096;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: minisign_verify::PublicKey,
    /// 42 bytes in base64.
    text: String,
}

impl PublicKey {
    /// Reads the key's line, or the file that has it below a comment.
    ///
    /// # Errors
    /// A sentence, when it is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = || text.chars().take(120).collect::<String>();
        Self::all(text)?
            .pop()
            .ok_or_else(|| format!("\"{}\" has no key of minisign's, which looks like RWQ..", shown()))
    }

    /// Every key of a file that has one a line; other lines are comments.
    ///
    /// # Errors
    /// A sentence, when a line begins as a key and is none.
    pub fn all(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().map(str::trim).filter(|line| line.starts_with("RW"));
        let key = |line: &str| {
            let key = minisign_verify::PublicKey::from_base64(line).map_err(|_| {
                format!("{:?} is no public key of minisign's", line.chars().take(120).collect::<String>())
            })?;
            Ok(Self { key, text: line.to_owned() })
        };
        lines.map(key).collect()
    }

    /// What minisign calls it: 16 digits.
    pub fn id(&self) -> String {
        let bytes = STANDARD.decode(&self.text).unwrap_or_default();
        bytes.iter().skip(2).take(8).rev().map(|byte| format!("{byte:02X}")).collect()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A signature that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The id of the key that made it.
    pub key: String,
    /// What the signer says of it.
    pub comment: String,
}

impl Signed {
    /// A field of the comment, which has them as `name:value` with tabs between.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.comment.split('\t').find_map(|field| field.strip_prefix(name)?.strip_prefix(':'))
    }
}

/// Checks that one of `keys` signed what `data` gives.
///
/// # Errors
/// Why it is not so: the end of a sentence whose subject is the signature.
pub fn verify(keys: &[PublicKey], signature: &str, mut data: impl Read) -> Result<Signed, String> {
    let signature = Signature::decode(signature).map_err(|_| "it is not in minisign's form".to_owned())?;
    let mut refused = "no key is trusted to sign releases".to_owned();
    for key in keys {
        let mut verifier = match key.key.verify_stream(&signature) {
            Ok(verifier) => verifier,
            Err(Refused::UnexpectedKeyId) => {
                refused = format!("it is by none of the keys that count: {}", ids(keys));
                continue;
            }
            Err(_) => return Err("it is of the old kind, made with `minisign -l` or before version 0.10".to_owned()),
        };
        let mut piece = vec![0; 64 * 1024];
        loop {
            match data.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => verifier.update(&piece[..read]),
                Err(cause) => return Err(format!("what it is of cannot be read: {cause}")),
            }
        }
        let id = key.id();
        verifier.finalize().map_err(|_| format!("key {id} signed another content, or another comment"))?;
        return Ok(Signed { key: id, comment: signature.trusted_comment().to_owned() });
    }
    Err(refused)
}

fn ids(keys: &[PublicKey]) -> String {
    keys.iter().map(PublicKey::id).collect::<Vec<_>>().join(", ")
}
