//! Checkpoints: what a log says of itself, signed. C2SP tlog-checkpoint as a signed note.
//!
//! Invariant: what was not signed by the key in question is never read as a checkpoint.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::{Hash, sha256};
use crate::base::crypto::{Key, hex};
use crate::base::error::Result;
use crate::base::note;
pub use crate::base::note::NOTE_LIMIT;

/// The site's key for all its logs.
pub struct Signer(note::Signer);

impl Signer {
    /// From the 32 bytes of `secrets/audit.key`, the seed of RFC 8032.
    ///
    /// # Errors
    /// When the library refuses the seed.
    pub fn new(seed: &Key) -> Result<Self> {
        note::Signer::new(seed).map(Self)
    }

    /// A name for the site that only its key can have.
    pub fn site(&self) -> String {
        format!("resoftai-{}", hex(&sha256(&[self.0.public()])[..8]))
    }

    /// The key as verifiers of the log with this origin hold it.
    pub fn verifier(&self, origin: &str) -> Verifier {
        Verifier(self.0.verifier(origin))
    }

    /// The signed note of a checkpoint.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        self.0.sign(&checkpoint.origin, &checkpoint.text())
    }
}

/// A log's public key with its name, which is the log's origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verifier(note::Verifier);

impl Verifier {
    /// Reads `name+id+key` of signed-note; a sentence when it is not that.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> std::result::Result<Self, String> {
        note::Verifier::parse(text).map(Self)
    }

    /// The name of the log.
    pub fn origin(&self) -> &str {
        self.0.name()
    }

    /// Whether both are of one key pair, whatever the logs.
    pub fn same_key(&self, other: &Self) -> bool {
        self.0.same_key(&other.0)
    }

    /// Reads a signed note of this key's log.
    ///
    /// # Errors
    /// Why it is not one, in a sentence.
    pub fn open(&self, note: &str) -> std::result::Result<Checkpoint, String> {
        let checkpoint = Checkpoint::parse(&self.0.open(note)?).ok_or("its text is not a checkpoint's")?;
        if checkpoint.origin == self.origin() { Ok(checkpoint) } else { Err("it is of another log".to_owned()) }
    }
}

impl std::fmt::Display for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
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
