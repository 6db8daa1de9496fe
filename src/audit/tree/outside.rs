//! What an outsider verifies with nothing but what they hold: a proof file (C2SP tlog-proof), or a whole log.
//!
//! Invariant: nothing is believed because the log's owner says so, except what is signed with the key that the verifier was
//! given.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::hash::{Edge, Hash, TileId, WIDTH, leaf_hash};
use super::note::{Checkpoint, NOTE_LIMIT, Verifier};
use super::path::{Kind, Name};
use super::proof::root_of_inclusion;

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
/// The most hashes that a path through a tree of 2^63 leaves has.
const PATH_LIMIT: usize = 63;
/// The most bytes of a proof file that are read.
pub const FILE_LIMIT: usize = 4 * NOTE_LIMIT;
/// Findings told; more are counted.
const TOLD: usize = 100;

/// A proof that can be handed on: `extra` holds the log's verifier key on a line of its own, and the entry as it is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofFile {
    /// By the word of whoever made the file.
    pub key: String,
    pub leaf: String,
    pub position: u64,
    pub hashes: Vec<Hash>,
    /// A signed note.
    pub checkpoint: String,
}

impl fmt::Display for ProofFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let extra = STANDARD.encode(format!("{}\n{}", self.key, self.leaf));
        writeln!(f, "{FIRST_LINE}\nextra {extra}\nindex {}", self.position)?;
        self.hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl ProofFile {
    /// Whether a file may be one.
    pub fn is_one(text: &str) -> bool {
        text.starts_with(FIRST_LINE)
    }

    /// # Errors
    /// What is wrong with its form, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (proof, checkpoint) = text.split_once("\n\n").ok_or("it has no checkpoint")?;
        let mut lines = proof.lines();
        if lines.next() != Some(FIRST_LINE) {
            return Err(format!("it does not begin with {FIRST_LINE}"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra ")).ok_or("it has no line `extra`")?;
        let extra = STANDARD.decode(extra).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let extra = extra.ok_or("its line `extra` cannot be read")?;
        let (key, leaf) = extra.split_once('\n').ok_or("its line `extra` has no key and entry")?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).ok_or("it has no line `index`")?;
        let position = index.parse().map_err(|_| "its line `index` has no number")?;
        let hashes: Option<Vec<Hash>> = lines.map(|line| STANDARD.decode(line).ok()?.try_into().ok()).collect();
        let hashes = hashes.filter(|hashes| hashes.len() <= PATH_LIMIT).ok_or("its hashes cannot be read")?;
        Ok(Self { key: key.to_owned(), leaf: leaf.to_owned(), position, hashes, checkpoint: checkpoint.to_owned() })
    }

    /// The checkpoint that the entry is proven by.
    ///
    /// # Errors
    /// Why it proves nothing, in a sentence.
    pub fn verify(&self, verifier: &Verifier) -> Result<Checkpoint, String> {
        let checkpoint =
            verifier.open(&self.checkpoint).map_err(|why| format!("the checkpoint does not hold: {why}"))?;
        let leaf = leaf_hash(self.leaf.as_bytes());
        let root = root_of_inclusion(leaf, self.position, checkpoint.size, &self.hashes);
        if root == Some(checkpoint.root) {
            Ok(checkpoint)
        } else {
            Err("the entry is not in the tree that was signed: entry, position or hashes were changed".to_owned())
        }
    }
}

/// A whole log, taken in tile by tile.
pub struct Verification {
    checkpoint: Checkpoint,
    earlier: Option<Checkpoint>,
    edge: Edge,
    /// What is wrong, a sentence each, at most 100.
    pub findings: Vec<String>,
    /// How many more there were.
    pub untold: u64,
    /// Entries whose bodies are not there; their hashes are.
    pub without_body: u64,
}

impl Verification {
    /// Of the log with this checkpoint, and against an earlier one that somebody kept.
    pub fn new(checkpoint: Checkpoint, earlier: Option<Checkpoint>) -> Self {
        let mut new =
            Self { checkpoint, earlier, edge: Edge::default(), findings: Vec::new(), untold: 0, without_body: 0 };
        if let Some(earlier) = new.earlier.clone() {
            if earlier.size > new.checkpoint.size {
                new.tell(format!(
                    "The log went back: the earlier checkpoint has {} entries, this one {}.",
                    earlier.size, new.checkpoint.size
                ));
            }
            new.compare_earlier();
        }
        new
    }

    fn tell(&mut self, finding: String) {
        if self.findings.len() < TOLD {
            self.findings.push(finding);
        } else {
            self.untold += 1;
        }
    }

    /// The next tile of leaves and its entries; none when all are taken in.
    pub fn next(&self) -> Option<(Name, Name)> {
        let number = self.edge.size() / WIDTH as u64;
        let of = |kind| Name::in_tree(kind, number, self.checkpoint.size);
        Some((of(Kind::Hashes(0))?, of(Kind::Entries)?)).filter(|_| self.edge.size() < self.checkpoint.size)
    }

    /// Takes in a tile of leaves with its entries. The tiles above that must then be there as they are given back.
    ///
    /// # Errors
    /// When the tiles are not of the right length; the log cannot be followed further.
    pub fn take(&mut self, hashes: &[u8], entries: &[u8]) -> Result<Vec<(TileId, Vec<Hash>)>, String> {
        let Some((name, _)) = self.next() else { return Ok(Vec::new()) };
        let (hashes, rest) = hashes.as_chunks();
        if hashes.len() != name.width || !rest.is_empty() {
            return Err(format!("tile/{name} does not have {} hashes", name.width));
        }
        let mut entries = entries;
        for hash in hashes {
            let (leaf, behind) =
                first_entry(entries).ok_or_else(|| format!("the entries of tile/{name} are cut off"))?;
            entries = behind;
            self.leaf(*hash, leaf);
        }
        if !entries.is_empty() {
            return Err(format!("tile/{name} has more entries than hashes"));
        }
        // Level 0 is what was taken in.
        Ok(self.edge.take_grown().into_iter().filter(|((level, _), _)| *level > 0).collect())
    }

    fn leaf(&mut self, hash: Hash, leaf: &[u8]) {
        if leaf.is_empty() {
            self.without_body += 1;
        } else if leaf_hash(leaf) != hash {
            let id = serde_json::from_slice::<serde_json::Value>(leaf).ok().and_then(|leaf| leaf["id"].as_i64());
            let named = id.map_or_else(|| "The entry".to_owned(), |id| format!("Entry {id}"));
            self.tell(format!("{named} at position {} is not what was hashed.", self.edge.size()));
        }
        self.edge.push(hash);
        self.compare_earlier();
    }

    fn compare_earlier(&mut self) {
        if let Some(earlier) = self.earlier.take_if(|earlier| earlier.size == self.edge.size())
            && earlier.root != self.edge.root()
        {
            self.tell(format!(
                "The first {} entries are not those of the earlier checkpoint: the log was rewritten.",
                earlier.size
            ));
        }
    }

    /// The last comparison: with what was signed.
    pub fn finish(&mut self) {
        if self.edge.root() != self.checkpoint.root {
            self.tell("The hashes of the entries do not give the root that was signed.".to_owned());
        }
    }

    /// Entries taken in so far.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// Says that a tile above is not as it should be.
    pub fn upper_tile_differs(&mut self, (level, number): TileId) {
        self.tell(format!("Tile {number} of level {level} does not follow from the tiles below it."));
    }
}

/// Two bytes of length, and as many of the entry.
fn first_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
