//! Our tree against one written down from RFC 6962 as plainly as it goes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::hash::{Edge, Hash, TileId, leaf_hash, node_hash, sha256};
use super::proof::{self, Tiles};

/// `MTH`, section 2.1.
fn mth(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [one] => *one,
        many => {
            let (left, right) = many.split_at(largest_power_below(many.len()));
            node_hash(&mth(left), &mth(right))
        }
    }
}

fn largest_power_below(count: usize) -> usize {
    let mut power = 1;
    while power * 2 < count {
        power *= 2;
    }
    power
}

/// `PATH`, section 2.1.1.
fn path(position: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    if position < k { [path(position, left), vec![mth(right)]] } else { [path(position - k, right), vec![mth(left)]] }
        .concat()
}

/// `SUBPROOF`, section 2.1.2.
fn subproof(from: usize, leaves: &[Hash], known: bool) -> Vec<Hash> {
    if from == leaves.len() {
        return if known { Vec::new() } else { vec![mth(leaves)] };
    }
    let k = largest_power_below(leaves.len());
    let (left, right) = leaves.split_at(k);
    if from <= k {
        [subproof(from, left, known), vec![mth(right)]]
    } else {
        [subproof(from - k, right, false), vec![mth(left)]]
    }
    .concat()
}

fn leaves(count: usize) -> Vec<Hash> {
    (0..count).map(|at| leaf_hash(&at.to_be_bytes())).collect()
}

#[derive(Default)]
struct Kept(BTreeMap<TileId, Vec<Hash>>);

impl Tiles for Kept {
    type Error = Infallible;

    fn tile(&mut self, tile: TileId) -> Result<Vec<Hash>, Infallible> {
        Ok(self.0[&tile].clone())
    }

    fn short(tile: TileId) -> Infallible {
        panic!("tile {tile:?} is too short")
    }
}

/// A tree that grew batch by batch, loaded anew from its tiles before each.
fn grown(leaves: &[Hash], batches: &[usize]) -> (Kept, Edge) {
    let (mut kept, mut edge, mut rest) = (Kept::default(), Edge::default(), leaves);
    for batch in batches.iter().copied().chain([usize::MAX]) {
        let (now, later) = rest.split_at(batch.min(rest.len()));
        edge = Edge::load(edge.size(), |tile, width| Ok::<_, Infallible>(kept.0[&tile][..width].to_vec())).unwrap();
        now.iter().for_each(|leaf| edge.push(*leaf));
        for (tile, hashes) in edge.take_grown() {
            let before = kept.0.insert(tile, hashes).unwrap_or_default();
            assert!(kept.0[&tile].starts_with(&before), "a tile only grows");
        }
        assert_eq!(edge.root(), mth(&leaves[..edge.size() as usize]));
        rest = later;
    }
    (kept, edge)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn roots_and_proofs_are_those_of_the_standard(
        count in prop_oneof![1_usize..600, 65_400_usize..66_200],
        batches in prop::collection::vec(prop_oneof![0_usize..300, 20_000_usize..30_000], 0..6),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 3),
    ) {
        let leaves = leaves(count);
        let (mut kept, edge) = grown(&leaves, &batches);
        prop_assert_eq!(edge.size(), count as u64);
        let size = 1 + picks[0].index(count);
        let position = picks[1].index(size);
        let made = proof::inclusion(&mut kept, position as u64, size as u64).unwrap();
        prop_assert_eq!(&made, &path(position, &leaves[..size]));
        let root = proof::root_of_inclusion(leaves[position], position as u64, size as u64, &made);
        prop_assert_eq!(root, Some(mth(&leaves[..size])));
        let from = 1 + picks[2].index(size);
        let made = proof::consistency(&mut kept, from as u64, size as u64).unwrap();
        prop_assert_eq!(made, subproof(from, &leaves[..size], true));
    }

    #[test]
    fn a_proof_of_another_place_or_tree_gives_another_root(
        size in 2_u64..300, position in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
    ) {
        let leaves = leaves(size as usize);
        let (mut kept, edge) = grown(&leaves, &[]);
        let (position, other) = (position.index(size as usize) as u64, other.index(size as usize) as u64);
        let path = proof::inclusion(&mut kept, position, size).unwrap();
        let leaf = leaves[position as usize];
        if other != position {
            prop_assert_ne!(proof::root_of_inclusion(leaf, other, size, &path), Some(edge.root()));
        }
        prop_assert_ne!(proof::root_of_inclusion(leaf, position, size, &path[1..]), Some(edge.root()));
        prop_assert_eq!(proof::root_of_inclusion(leaf, size, size, &path), None);
    }
}
