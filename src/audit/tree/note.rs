//! Checkpoints: what a log says of itself, signed. C2SP tlog-checkpoint as a C2SP signed-note with Ed25519 (RFC 8032).
//!
//! Invariant: what was not signed by the key in question is never read as a checkpoint.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::{Hash, sha256};
use crate::base::crypto::{Key, hex};
use crate::base::error::{Error, Result};

/// The signature type of Ed25519 in signed-note.
const ALGORITHM: u8 = 1;
/// The most of a note that is read, in bytes.
pub const NOTE_LIMIT: usize = 64 * 1024;
/// How a signature's line begins.
const SIGNED: &str = "\u{2014} ";

/// The site's key for all its logs.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl Signer {
    /// From the 32 bytes of `secrets/audit.key`, the seed of RFC 8032.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn new(seed: &Key) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed.bytes()).map_err(Error::internal)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key().as_ref());
        Ok(Self { pair, public })
    }

    /// A name for the site that only its key can have.
    pub fn site(&self) -> String {
        format!("resoftai-{}", hex(&sha256(&[&self.public])[..8]))
    }

    /// The key as verifiers of the log with this origin hold it.
    pub fn verifier(&self, origin: &str) -> Verifier {
        Verifier { origin: origin.to_owned(), public: self.public }
    }

    /// The signed note of a checkpoint.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        let mut signature = self.verifier(&checkpoint.origin).id().to_vec();
        signature.extend_from_slice(self.pair.sign(text.as_bytes()).as_ref());
        format!("{text}\n{SIGNED}{} {}\n", checkpoint.origin, STANDARD.encode(signature))
    }
}

/// A log's public key with its name, which is the log's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier {
    origin: String,
    public: [u8; 32],
}

impl Verifier {
    /// Reads `name+hash+key` of signed-note; a sentence when it is not that.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        let wrong = || {
            let shown: String = text.chars().take(120).collect();
            format!("\"{shown}\" is not a verifier key. It looks like resoftai-../audit/site+0a1b2c3d+AQ..")
        };
        // Base64 has plus signs too.
        let mut parts = text.trim().splitn(3, '+');
        let (Some(origin), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong());
        };
        let bytes = STANDARD.decode(key).map_err(|_| wrong())?;
        let public = match bytes.split_first() {
            Some((&ALGORITHM, public)) => public.try_into().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        };
        let verifier = Self { origin: origin.to_owned(), public };
        let named = !origin.is_empty() && !origin.contains(char::is_whitespace);
        if named && hex(&verifier.id()) == id { Ok(verifier) } else { Err(wrong()) }
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether both are of one key pair, whatever the logs.
    pub fn same_key(&self, other: &Self) -> bool {
        self.public == other.public
    }

    fn id(&self) -> [u8; 4] {
        let hash = sha256(&[self.origin.as_bytes(), b"\n", &[ALGORITHM], &self.public]);
        [hash[0], hash[1], hash[2], hash[3]]
    }

    /// Reads a signed note of this key's log.
    ///
    /// # Errors
    /// Why it is not one, in a sentence.
    pub fn open(&self, note: &str) -> std::result::Result<Checkpoint, String> {
        if note.len() > NOTE_LIMIT {
            return Err(format!("a checkpoint has at most {NOTE_LIMIT} bytes, this has {}", note.len()));
        }
        let (text, signatures) = note.split_once("\n\n").ok_or("it has no signature")?;
        let text = format!("{text}\n");
        let signed = signatures.lines().filter_map(|line| line.strip_prefix(SIGNED)?.rsplit_once(' ')).any(|line| {
            let bytes = STANDARD.decode(line.1).unwrap_or_default();
            line.0 == self.origin
                && bytes.split_first_chunk().is_some_and(|(id, signature): (&[u8; 4], _)| {
                    *id == self.id()
                        && UnparsedPublicKey::new(&ED25519, self.public).verify(text.as_bytes(), signature).is_ok()
                })
        });
        if !signed {
            return Err(format!("it is not signed with the key of {}", self.origin));
        }
        let checkpoint = Checkpoint::parse(&text).ok_or("its text is not a checkpoint's")?;
        if checkpoint.origin == self.origin { Ok(checkpoint) } else { Err("it is of another log".to_owned()) }
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = [&[ALGORITHM], self.public.as_slice()].concat();
        write!(f, "{}+{}+{}", self.origin, hex(&self.id()), STANDARD.encode(key))
    }
}

/// The state of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Lines after the third are a log's own and passed over, as tlog-checkpoint wants it.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let size: u64 = size.parse().ok().filter(|number: &u64| number.to_string() == size)?;
        let root = STANDARD.decode(root).ok()?.try_into().ok()?;
        Some(Self { origin: origin.to_owned(), size, root })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn signed() -> (Verifier, String) {
        let signer = Signer::new(&Key::from_bytes([7; 32])).unwrap();
        let origin = format!("{}/audit/site", signer.site());
        let checkpoint = Checkpoint { origin: origin.clone(), size: 3, root: [9; 32] };
        (signer.verifier(&origin), signer.sign(&checkpoint))
    }

    #[test]
    fn a_checkpoint_opens_with_its_key_and_with_no_other() {
        let (verifier, note) = signed();
        assert_eq!(verifier.open(&note).unwrap().size, 3);
        let other = Signer::new(&Key::from_bytes([8; 32])).unwrap().verifier(verifier.origin());
        assert!(other.open(&note).unwrap_err().contains("not signed"));
        for at in 0..note.len() {
            let mut bent = note.clone().into_bytes();
            bent[at] ^= 1;
            let Ok(bent) = String::from_utf8(bent) else { continue };
            assert!(verifier.open(&bent).is_err(), "byte {at} may differ: {bent}");
        }
    }

    #[test]
    fn a_key_reads_as_it_is_written() {
        for seed in 0..=255 {
            let verifier = Signer::new(&Key::from_bytes([seed; 32])).unwrap().verifier("example.org/audit/site");
            assert_eq!(Verifier::parse(&verifier.to_string()).unwrap(), verifier);
        }
        let text = signed().0.to_string();
        for wrong in ["", "a+b", "a+00000000+AQ==", &text.replace("resoftai", "another"), &text[..text.len() - 4]] {
            assert!(Verifier::parse(wrong).is_err(), "{wrong}");
        }
    }
}
