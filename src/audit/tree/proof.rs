//! Inclusion and consistency proofs of RFC 6962: made from stored tiles, checked from nothing but themselves.
//!
//! Invariant: making one reads a number of tiles that grows with the logarithm of the tree; checking one trusts no size,
//! position or hash that it was given.

use super::hash::{Hash, TileId, WIDTH, fold, node_hash};

/// Where the hashes of tiles are; gives at least as many as the tree in question has of the tile.
pub trait Tiles {
    type Error;
    /// # Errors
    /// When the tile is not there or cannot be read.
    fn tile(&mut self, tile: TileId) -> Result<Vec<Hash>, Self::Error>;
    /// The error of a tile that is too short.
    fn short(tile: TileId) -> Self::Error;
}

/// The Merkle tree hash of the leaves from `start` to before `end`; `start` is a multiple of the largest power of two in
/// their number, as it is for every range that RFC 6962 asks for.
///
/// # Errors
/// Those of the tiles.
pub fn subtree<T: Tiles>(tiles: &mut T, start: u64, end: u64) -> Result<Hash, T::Error> {
    let count = end - start;
    if count.is_power_of_two() {
        return complete(tiles, count.trailing_zeros(), start);
    }
    let middle = start + split(count);
    Ok(node_hash(&subtree(tiles, start, middle)?, &subtree(tiles, middle, end)?))
}

/// The hash of the `2^height` leaves from `start` on.
fn complete<T: Tiles>(tiles: &mut T, height: u32, start: u64) -> Result<Hash, T::Error> {
    // Of leaves, then of the hashes in tiles of this level.
    let level = height / 8;
    let first = start >> (8 * level);
    let tile = (level as u8, first / WIDTH as u64);
    let (offset, count) = ((first % WIDTH as u64) as usize, 1 << (height % 8));
    let hashes = tiles.tile(tile)?;
    hashes.get(offset..offset + count).map(fold).ok_or_else(|| T::short(tile))
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (63 - (count - 1).leading_zeros())
}

/// `PATH(position, D[size])` of RFC 6962, section 2.1.1. `position` is below `size`.
///
/// # Errors
/// Those of the tiles.
pub fn inclusion<T: Tiles>(tiles: &mut T, position: u64, size: u64) -> Result<Vec<Hash>, T::Error> {
    let (mut start, mut end, mut path) = (0, size, Vec::new());
    while end - start > 1 {
        let middle = start + split(end - start);
        if position < middle {
            path.push(subtree(tiles, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(tiles, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// `PROOF(from, D[to])` of RFC 6962, section 2.1.2. `from` is at most `to`.
///
/// # Errors
/// Those of the tiles.
pub fn consistency<T: Tiles>(tiles: &mut T, from: u64, to: u64) -> Result<Vec<Hash>, T::Error> {
    if from == 0 || from == to {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut known, mut path) = (0, to, true, Vec::new());
    while end != from {
        let middle = start + split(end - start);
        if from <= middle {
            path.push(subtree(tiles, middle, end)?);
            end = middle;
        } else {
            path.push(subtree(tiles, start, middle)?);
            start = middle;
            known = false;
        }
    }
    if !known {
        path.push(subtree(tiles, start, end)?);
    }
    path.reverse();
    Ok(path)
}

/// The root that a leaf at `position` of a tree of `size` leaves and an inclusion proof make (RFC 9162, section 2.1.3.2);
/// none when the proof is not of that shape.
pub fn root_of_inclusion(leaf: Hash, position: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    if position >= size {
        return None;
    }
    let (mut node, mut last, mut root) = (position, size - 1, leaf);
    for hash in path {
        if last == 0 {
            return None;
        }
        if node & 1 == 1 || node == last {
            root = node_hash(hash, &root);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            root = node_hash(&root, hash);
        }
        node >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(root)
}
