//! The hashes of RFC 6962, section 2.1, and a tree that only grows.
//!
//! Invariant: [`Edge`] holds of a tree of any size only the last tile of each level (at most 255 hashes of 32 bytes each),
//! from which its root follows and to which the next leaf is added.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// SHA-256.
pub type Hash = [u8; 32];

/// Hashes in a full tile.
pub const WIDTH: usize = 256;

/// A tile's level (0 has the leaves) and its number in the level.
pub type TileId = (u8, u64);

/// SHA-256 over the parts, one after the other.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    of(context.finish())
}

#[allow(clippy::needless_pass_by_value, reason = "a digest is made for this call")]
fn of(digest: Digest) -> Hash {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// `SHA-256(0x00 || data)`.
pub fn leaf_hash(data: &[u8]) -> Hash {
    sha256(&[&[0], data])
}

/// `SHA-256(0x01 || left || right)`.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut node = [1; 65];
    node[1..33].copy_from_slice(left);
    node[33..].copy_from_slice(right);
    of(digest(&SHA256, &node))
}

/// The root of a complete tree over `hashes`, whose number is a power of two.
pub fn fold(hashes: &[Hash]) -> Hash {
    let mut row: Vec<Hash> = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    row.first().copied().unwrap_or_else(|| sha256(&[]))
}

/// The right edge of a tree.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    /// The last tile of each level, not full.
    levels: Vec<Vec<Hash>>,
    /// Tiles that became full or longer since they were last taken.
    grown: BTreeMap<TileId, Vec<Hash>>,
}

impl Edge {
    /// The edge of a tree of `size` leaves; `tile` gives as many of a tile's hashes as it is asked for.
    ///
    /// # Errors
    /// Those of `tile`.
    pub fn load<E>(size: u64, mut tile: impl FnMut(TileId, usize) -> Result<Vec<Hash>, E>) -> Result<Self, E> {
        let mut edge = Self { size, ..Self::default() };
        let (mut level, mut above) = (0, size);
        while above > 0 {
            let width = (above % WIDTH as u64) as usize;
            above /= WIDTH as u64;
            edge.levels.push(if width == 0 { Vec::new() } else { tile((level, above), width)? });
            level += 1;
        }
        Ok(edge)
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        self.size += 1;
        let (mut hash, mut number) = (leaf, self.size - 1);
        for level in 0_u8.. {
            if self.levels.len() <= usize::from(level) {
                self.levels.push(Vec::new());
            }
            let tile = &mut self.levels[usize::from(level)];
            tile.push(hash);
            number /= WIDTH as u64;
            if tile.len() < WIDTH {
                break;
            }
            hash = fold(tile);
            self.grown.insert((level, number), std::mem::take(tile));
        }
    }

    /// The tiles that changed since the last call, whole.
    pub fn take_grown(&mut self) -> BTreeMap<TileId, Vec<Hash>> {
        let mut grown = std::mem::take(&mut self.grown);
        let mut above = self.size;
        for (level, hashes) in (0..).zip(&self.levels) {
            above /= WIDTH as u64;
            // A higher tile changed only when one below it became full.
            let touched = level == 0 || grown.keys().any(|tile| tile.0 + 1 == level);
            if touched && !hashes.is_empty() {
                grown.insert((level, above), hashes.clone());
            }
        }
        grown
    }

    /// The Merkle tree hash of all leaves.
    pub fn root(&self) -> Hash {
        let mut root: Option<Hash> = None;
        for hashes in &self.levels {
            let mut end = hashes.len();
            // The complete trees that the row falls into, smallest and rightmost first.
            for bit in (0..8).filter(|bit| hashes.len() >> bit & 1 == 1) {
                let start = end - (1 << bit);
                let left = fold(&hashes[start..end]);
                root = Some(root.map_or(left, |right| node_hash(&left, &right)));
                end = start;
            }
        }
        root.unwrap_or_else(|| sha256(&[]))
    }
}
