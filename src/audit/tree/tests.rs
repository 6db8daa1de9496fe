//! Our tree against one written down from RFC 6962 as plainly as it goes.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::convert::Infallible;

use proptest::prelude::*;

use super::hash::{Edge, Hash, TileId, WIDTH, leaf_hash, node_hash, sha256};
use super::note::{Checkpoint, Signer};
use super::outside::{ProofFile, Verification};
use super::proof::{self, Tiles};
use crate::base::crypto::Key;

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

fn proven(size: u64, position: u64) -> (Signer, ProofFile) {
    let signer = Signer::new(&Key::from_bytes([5; 32])).unwrap();
    let (mut kept, edge) = grown(&leaves(size as usize), &[]);
    let checkpoint = Checkpoint { origin: "example.org/log".to_owned(), size, root: edge.root() };
    let file = ProofFile {
        key: signer.verifier("example.org/log").to_string(),
        // The leaves above are numbers of eight bytes.
        leaf: String::from_utf8(position.to_be_bytes().to_vec()).unwrap(),
        position,
        hashes: proof::inclusion(&mut kept, position, size).unwrap(),
        checkpoint: signer.sign(&checkpoint),
    };
    (signer, file)
}

#[test]
fn a_proof_file_with_any_byte_changed_proves_nothing() {
    let (signer, file) = proven(11, 5);
    let (verifier, text) = (signer.verifier("example.org/log"), file.to_string());
    assert_eq!(ProofFile::parse(&text), Ok(file.clone()));
    assert_eq!(file.verify(&verifier).unwrap().size, 11);
    for at in 0..text.len() {
        let mut bent = text.clone().into_bytes();
        bent[at] ^= 1;
        let Ok(bent) = String::from_utf8(bent) else { continue };
        let Ok(bent) = ProofFile::parse(&bent) else { continue };
        // The key in the file is whoever made it to say.
        assert!(bent.key != file.key || bent.verify(&verifier).is_err(), "byte {at} may differ");
    }
}

/// Takes a whole log in as an outsider does.
fn followed(size: usize, earlier: Option<Checkpoint>, bend: impl Fn(u64, &mut Vec<u8>, &mut Vec<u8>)) -> Vec<String> {
    let root = mth(&leaves(size));
    let checkpoint = Checkpoint { origin: "example.org/log".to_owned(), size: size as u64, root };
    let mut log = Verification::new(checkpoint, earlier);
    while let Some((name, _)) = log.next() {
        let from = name.number as usize * WIDTH;
        let mut hashes = leaves(from + name.width)[from..].concat();
        let entry = |at: usize| [&8_u16.to_be_bytes(), at.to_be_bytes().as_slice()].concat();
        let mut entries: Vec<u8> = (from..from + name.width).flat_map(entry).collect();
        bend(name.number, &mut hashes, &mut entries);
        log.take(&hashes, &entries).unwrap();
    }
    log.finish();
    log.findings
}

#[test]
fn an_outsider_sees_what_was_changed_in_a_log() {
    let earlier =
        |size: usize, root| Some(Checkpoint { origin: "example.org/log".to_owned(), size: size as u64, root });
    assert_eq!(followed(700, earlier(300, mth(&leaves(300))), |_, _, _| ()), [""; 0]);
    assert_eq!(followed(700, earlier(0, sha256(&[])), |_, _, _| ()), [""; 0]);
    let rewritten = followed(700, earlier(300, [1; 32]), |_, _, _| ());
    assert!(rewritten[0].contains("rewritten") && rewritten.len() == 1, "{rewritten:?}");
    let back = followed(100, earlier(300, mth(&leaves(300))), |_, _, _| ());
    assert!(back[0].contains("went back"), "{back:?}");
    let entry = followed(700, None, |number, _, entries| entries[2 + 7] ^= u8::from(number == 1));
    assert!(entry[0].contains("position 256") && entry.len() == 1, "{entry:?}");
    let hash = followed(700, None, |number, hashes, _| hashes[0] ^= u8::from(number == 2));
    assert!(hash[0].contains("position 512") && hash[1].contains("root") && hash.len() == 2, "{hash:?}");
}
