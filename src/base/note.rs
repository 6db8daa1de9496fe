//! Signed notes: a text and who stands for it, as C2SP signed-note with Ed25519 (RFC 8032). Tools of others read them too,
//! such as golang.org/x/mod/sumdb/note.
//!
//! Invariant: a text comes out of a note only when the key in question signed it, byte for byte.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::crypto::{Key, hex};
use super::error::{Error, Result};

/// The signature type of Ed25519 in signed-note.
const ALGORITHM: u8 = 1;
/// The most of a note that is read, in bytes.
pub const NOTE_LIMIT: usize = 64 * 1024;
/// How a signature's line begins.
const SIGNED: &str = "\u{2014} ";
/// How a private key's text begins, as sumdb/note writes it.
const PRIVATE: &str = "PRIVATE+KEY+";

/// A private key.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Signer {
    /// From 32 bytes, the seed of RFC 8032.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn new(seed: &Key) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(Error::internal)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// A signature of any bytes, for forms other than a note.
    pub fn sign_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }

    /// The public key as those hold it who know it by this name.
    pub fn verifier(&self, name: &str) -> Verifier {
        Verifier { name: name.to_owned(), public: self.public }
    }

    /// The note of a text, which ends with a line end.
    pub fn sign(&self, name: &str, text: &str) -> String {
        format!("{text}\n{}", self.line(name, text))
    }

    /// The signature's own line, to be put behind those that are there.
    pub fn line(&self, name: &str, text: &str) -> String {
        let mut signature = self.verifier(name).id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{SIGNED}{name} {}\n", STANDARD.encode(signature))
    }
}

/// The text of a private key, with its name: `PRIVATE+KEY+name+id+key`.
pub fn private_key(name: &str, seed: &Key) -> Result<String> {
    let id = hex(&Signer::new(seed)?.verifier(name).id());
    let key = [&[ALGORITHM], seed.bytes().as_slice()].concat();
    Ok(format!("{PRIVATE}{name}+{id}+{}", STANDARD.encode(key)))
}

/// Reads [`private_key`]'s text: the name and the key.
///
/// # Errors
/// A sentence, when it is not that.
pub fn read_private_key(text: &str) -> std::result::Result<(String, Signer), String> {
    let wrong = || format!("it is no private key, which begins with {PRIVATE}");
    let mut parts = text.trim().strip_prefix(PRIVATE).ok_or_else(wrong)?.splitn(3, '+');
    let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let bytes = STANDARD.decode(key).map_err(|_| wrong())?;
    let seed = match bytes.split_first() {
        Some((&ALGORITHM, seed)) => seed.try_into().map_err(|_| wrong())?,
        _ => return Err(wrong()),
    };
    let signer = Signer::new(&Key::from_bytes(seed)).map_err(|error| error.to_string())?;
    if is_name(name) && hex(&signer.verifier(name).id()) == id { Ok((name.to_owned(), signer)) } else { Err(wrong()) }
}

/// Whether this may name a key.
pub fn is_name(name: &str) -> bool {
    (1..=200).contains(&name.len()) && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

/// A public key with its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    name: String,
    public: [u8; 32],
}

impl Verifier {
    /// Reads `name+id+key` of signed-note; a sentence when it is not that.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(120).collect();
            format!("\"{shown}\" is not a verifier key. It looks like example.org/name+0a1b2c3d+AQ..")
        };
        // Base64 has plus signs too.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong())?;
        let public = match bytes.split_first() {
            Some((&ALGORITHM, public)) => public.try_into().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        let verifier = Self { name: name.to_owned(), public };
        let named = !name.is_empty() && !name.contains(char::is_whitespace);
        if named && hex(&verifier.id()) == id { Ok(verifier) } else { Err(wrong()) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// Whether both are of one key pair, whatever the names.
    pub fn same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    /// The first four bytes of the digest of name and key.
    pub fn id(&self) -> [u8; 4] {
        let hash = digest(&SHA256, &[self.name.as_bytes(), b"\n", &[ALGORITHM], &self.public].concat());
        let hash = hash.as_ref();
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// The text of a note that this key signed.
    ///
    /// # Errors
    /// Why it is not one, in a sentence.
    pub fn open(&self, note: &str) -> std::result::Result<String, String> {
        let (text, signatures) = split(note)?;
        let signed = signatures.iter().any(|signature| signature.is_of(self) && signature.holds(self, &text));
        if signed { Ok(text) } else { Err(format!("it is not signed with the key of {}", self.name)) }
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[ALGORITHM], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(key))
    }
}

/// One signature of a note, not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Of the key, as the note claims.
    pub name: String,
    /// Of the key, as the note claims.
    pub id: [u8; 4],
    bytes: Vec<u8>,
}

impl Signature {
    /// Whether it claims to be of this key.
    pub fn is_of(&self, verifier: &Verifier) -> bool {
        self.name == verifier.name && self.id == verifier.id()
    }

    /// Whether this key made it for this text.
    pub fn holds(&self, verifier: &Verifier, text: &str) -> bool {
        UnparsedPublicKey::new(&ED25519, verifier.public).verify(text.as_bytes(), &self.bytes).is_ok()
    }
}

/// A note's text and its signatures, none of them checked.
///
/// # Errors
/// Why it is no note, in a sentence.
pub fn split(note: &str) -> std::result::Result<(String, Vec<Signature>), String> {
    if note.len() > NOTE_LIMIT {
        return Err(format!("a note has at most {NOTE_LIMIT} bytes, this has {}", note.len()));
    }
    let (text, signatures) = note.split_once("\n\n").ok_or("it has no signature")?;
    let lines = signatures.lines().filter_map(|line| line.strip_prefix(SIGNED)?.rsplit_once(' '));
    let signatures = lines.filter_map(|(name, encoded)| {
        let bytes = STANDARD.decode(encoded).ok()?;
        let (id, rest) = bytes.split_first_chunk()?;
        Some(Signature { name: name.to_owned(), id: *id, bytes: rest.to_vec() })
    });
    Ok((format!("{text}\n"), signatures.collect()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_note_opens_with_its_key_and_with_no_other() {
        let signer = Signer::new(&Key::from_bytes([7; 32])).unwrap();
        let verifier = signer.verifier("example.org/ada");
        let note = signer.sign("example.org/ada", "one\ntwo\n");
        assert_eq!(verifier.open(&note).unwrap(), "one\ntwo\n");
        let other = Signer::new(&Key::from_bytes([8; 32])).unwrap();
        assert!(other.verifier("example.org/ada").open(&note).unwrap_err().contains("not signed"));
        let both = format!("{note}{}", other.line("example.org/bob", "one\ntwo\n"));
        assert!(other.verifier("example.org/bob").open(&both).is_ok() && verifier.open(&both).is_ok());
        for at in 0..note.len() {
            let mut bent = note.clone().into_bytes();
            bent[at] ^= 1;
            let Ok(bent) = String::from_utf8(bent) else { continue };
            assert!(verifier.open(&bent).is_err(), "byte {at} may differ: {bent}");
        }
    }

    #[test]
    fn keys_read_as_they_are_written() {
        for seed in 0..=255 {
            let key = Key::from_bytes([seed; 32]);
            let verifier = Signer::new(&key).unwrap().verifier("example.org/ada");
            assert_eq!(Verifier::parse(&verifier.to_string()).unwrap(), verifier);
            let (name, signer) = read_private_key(&private_key("example.org/ada", &key).unwrap()).unwrap();
            assert_eq!(signer.verifier(&name), verifier);
        }
        let key = private_key("a", &Key::from_bytes([1; 32])).unwrap();
        for wrong in ["", "PRIVATE+KEY+a", &key.replace("+a+", "+b+"), &key[..key.len() - 4]] {
            assert!(read_private_key(wrong).is_err(), "{wrong}");
        }
    }
}
