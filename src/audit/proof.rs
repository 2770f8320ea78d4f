//! Proofs of RFC 9162 sections 2.1.3 and 2.1.4: that an entry is in the tree, and that one tree is the beginning of another.
//! What a proof is made of is told as ranges of leaves first, so that whoever keeps hashes elsewhere knows which to fetch;
//! how one is looked at follows the RFC step by step and knows nothing of how it was made.

use std::ops::Range;

use super::tile::{Node, Tiles};
use super::tree::{Hash, joined, node_hash};

/// The ranges of leaves whose hashes prove that the entry at `index` is among the first `size`; nothing if it is not
/// (RFC 9162 section 2.1.3.1).
#[must_use]
pub fn inclusion_ranges(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let mut ranges = Vec::new();
    let (mut first, mut end) = (0, size);
    while end - first > 1 {
        let middle = first + split(end - first);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(first..middle);
            first = middle;
        }
    }
    ranges.reverse();
    Some(ranges)
}

/// The ranges of leaves whose hashes prove that the tree of the first `old` leaves is the beginning of that of the first
/// `new` (RFC 9162 section 2.1.4.1). None are needed from nothing, and none to itself; nothing if `old` is the larger one.
#[must_use]
pub fn consistency_ranges(old: u64, new: u64) -> Option<Vec<Range<u64>>> {
    if old > new {
        return None;
    }
    let mut ranges = Vec::new();
    if old == 0 || old == new {
        return Some(ranges);
    }
    let (mut first, mut end) = (0, new);
    // Whether the old tree is one whole subtree so far: then the one who asks has its hash.
    let mut is_known = true;
    while old < end {
        let middle = first + split(end - first);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(first..middle);
            first = middle;
            is_known = false;
        }
    }
    if !is_known {
        ranges.push(first..end);
    }
    ranges.reverse();
    Some(ranges)
}

/// The largest power of two smaller than `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The perfect subtrees that a range of a proof is made of, the largest first. Such a range begins where a subtree of its
/// size would.
#[must_use]
pub fn nodes(range: &Range<u64>) -> Vec<Node> {
    let mut nodes = Vec::new();
    let mut first = range.start;
    while let Some(level) = range.end.saturating_sub(first).checked_ilog2() {
        nodes.push(Node {
            level,
            index: first >> level,
        });
        first += 1 << level;
    }
    nodes
}

/// The hash over each range; nothing if the tiles lack one of the hashes.
#[must_use]
pub fn proof(ranges: &[Range<u64>], tiles: &Tiles) -> Option<Vec<Hash>> {
    let hash = |range: &Range<u64>| {
        let peaks: Option<Vec<Hash>> = nodes(range).iter().map(|node| tiles.node(*node)).collect();
        joined(&peaks?)
    };
    ranges.iter().map(hash).collect()
}

/// Whether the proof shows that the leaf is at `index` of the tree of `size` leaves with this root
/// (RFC 9162 section 2.1.3.2).
#[must_use]
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut index, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for other in proof {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            hash = node_hash(other, &hash);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, other);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// A tree as a checkpoint tells of it: how many leaves, and the root over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves it has.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Whether the proof shows that the old tree is the beginning of the new one (RFC 9162 section 2.1.4.2). What is the
/// beginning of anything, the tree of nothing, needs none.
#[must_use]
pub fn is_consistent(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> bool {
    if old.size > new.size {
        return false;
    }
    if old.size == new.size {
        return proof.is_empty() && old.root == new.root;
    }
    if old.size == 0 {
        return proof.is_empty() && old.root == super::tree::empty_root();
    }
    let mut proof = proof.iter();
    // A whole subtree is its own first hash.
    let first = if old.size.is_power_of_two() {
        Some(&old.root)
    } else {
        proof.next()
    };
    let Some(first) = first else { return false };
    let (mut index, mut last) = (old.size - 1, new.size - 1);
    while index & 1 == 1 {
        index >>= 1;
        last >>= 1;
    }
    let (mut old_root, mut new_root) = (*first, *first);
    for other in proof {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            old_root = node_hash(other, &old_root);
            new_root = node_hash(other, &new_root);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            new_root = node_hash(&new_root, other);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && old_root == old.root && new_root == new.root
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tile::Edge;
    use super::super::tree::tests::{LEAVES, by_definition, bytes, known};
    use super::super::tree::{Frontier, empty_root, leaf_hash};
    use super::*;

    fn place(index: u64) -> usize {
        usize::try_from(index).unwrap()
    }

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    fn tiles(leaves: &[Hash]) -> Tiles {
        let mut edge = Edge::default();
        edge.append(leaves.iter().copied()).into_iter().collect()
    }

    fn head(leaves: &[Hash]) -> TreeHead {
        TreeHead {
            size: leaves.len() as u64,
            root: by_definition(leaves),
        }
    }

    fn inclusion(leaves: &[Hash], index: u64) -> Vec<Hash> {
        let ranges = inclusion_ranges(index, leaves.len() as u64).unwrap();
        proof(&ranges, &tiles(leaves)).unwrap()
    }

    fn consistency(leaves: &[Hash], old: u64) -> Vec<Hash> {
        let ranges = consistency_ranges(old, leaves.len() as u64).unwrap();
        proof(&ranges, &tiles(leaves)).unwrap()
    }

    /// PATH(m, D[n]) of RFC 9162 section 2.1.3.1, word for word.
    fn path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
        if leaves.len() <= 1 {
            return Vec::new();
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut path, other) = if index < k {
            (self::path(index, &leaves[..k]), by_definition(&leaves[k..]))
        } else {
            (
                self::path(index - k, &leaves[k..]),
                by_definition(&leaves[..k]),
            )
        };
        path.push(other);
        path
    }

    /// SUBPROOF(m, D[n], b) of RFC 9162 section 2.1.4.1, word for word.
    fn subproof(old: usize, leaves: &[Hash], is_known: bool) -> Vec<Hash> {
        if old == leaves.len() {
            return if is_known {
                Vec::new()
            } else {
                vec![by_definition(leaves)]
            };
        }
        let k = leaves.len().next_power_of_two() / 2;
        let (mut proof, other) = if old <= k {
            (
                subproof(old, &leaves[..k], is_known),
                by_definition(&leaves[k..]),
            )
        } else {
            (
                subproof(old - k, &leaves[k..], false),
                by_definition(&leaves[..k]),
            )
        };
        proof.push(other);
        proof
    }

    #[test]
    fn the_known_proofs_come_out() {
        let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&bytes(leaf))).collect();
        let of = |texts: &[&str]| texts.iter().map(|text| known(text)).collect::<Vec<_>>();
        assert_eq!(
            inclusion(&leaves, 5),
            of(&[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ])
        );
        assert_eq!(
            consistency(&leaves, 6),
            of(&[
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ])
        );
    }

    #[test]
    fn every_proof_of_small_trees_is_that_of_the_definition_and_holds() {
        for size in 0..=40_u64 {
            let leaves = leaves(size);
            let new = head(&leaves);
            for index in 0..size {
                let proof = inclusion(&leaves, index);
                let at = place(index);
                assert_eq!(proof, path(at, &leaves), "{index} of {size}");
                assert!(is_included(&leaves[at], index, size, &proof, &new.root));
            }
            for old in 0..=size {
                let before = head(&leaves[..place(old)]);
                let proof = consistency(&leaves, old);
                if old > 0 {
                    assert_eq!(proof, subproof(place(old), &leaves, true), "{old} {size}");
                }
                assert!(is_consistent(&before, &new, &proof), "{old} {size}");
            }
        }
    }

    #[test]
    fn proofs_reach_over_tiles() {
        let leaves = leaves(70_000);
        let new = grown(&leaves);
        let tiles = tiles(&leaves);
        let proved = |ranges: Option<Vec<Range<u64>>>| proof(&ranges.unwrap(), &tiles).unwrap();
        for index in [0, 255, 256, 65_535, 65_536, 69_999] {
            let proof = proved(inclusion_ranges(index, 70_000));
            assert!(is_included(
                &leaves[place(index)],
                index,
                70_000,
                &proof,
                &new.root
            ));
        }
        for old in [1, 255, 256, 257, 65_535, 65_536, 65_537, 70_000] {
            let proof = proved(consistency_ranges(old, 70_000));
            assert!(is_consistent(&grown(&leaves[..place(old)]), &new, &proof));
        }
    }

    /// As [`head`], and quick.
    fn grown(leaves: &[Hash]) -> TreeHead {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.push(*leaf));
        TreeHead {
            size: frontier.size(),
            root: frontier.root(),
        }
    }

    #[test]
    fn what_is_not_there_has_no_proof() {
        assert_eq!(inclusion_ranges(3, 3), None);
        assert_eq!(inclusion_ranges(0, 0), None);
        assert_eq!(consistency_ranges(4, 3), None);
        let short: Tiles = Tiles::default();
        assert_eq!(proof(&inclusion_ranges(0, 2).unwrap(), &short), None);
        let empty = TreeHead {
            size: 0,
            root: empty_root(),
        };
        assert!(!is_included(&empty_root(), 0, 0, &[], &empty_root()));
        let three = head(&leaves(3));
        assert!(is_consistent(&empty, &three, &[]));
        assert!(!is_consistent(&three, &empty, &[]));
        assert!(!is_consistent(
            &TreeHead {
                root: three.root,
                ..empty
            },
            &three,
            &[]
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A proof holds for its own leaf, place, sizes and roots, and for no others.
        #[test]
        fn p15_a_proof_that_was_changed_does_not_hold(size in 2..600_u64, at in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(),
                which in any::<prop::sample::Index>(), bit in 0..256_usize) {
            let leaves = leaves(size);
            let new = head(&leaves);
            let index = at.index(place(size)) as u64;
            let leaf = leaves[place(index)];
            let flip = |hash: &mut Hash| hash.0[bit / 8] ^= 1 << (bit % 8);
            let good = inclusion(&leaves, index);
            prop_assert!(is_included(&leaf, index, size, &good, &new.root));
            let mut bad = good.clone();
            flip(&mut bad[which.index(good.len())]);
            prop_assert!(!is_included(&leaf, index, size, &bad, &new.root));
            prop_assert!(!is_included(&leaf, index ^ 1, size, &good, &new.root));
            prop_assert!(!is_included(&leaf, index, size, &good[1..], &new.root));
            let longer = [good.as_slice(), &[leaf]].concat();
            prop_assert!(!is_included(&leaf, index, size, &longer, &new.root));
            let mut other = leaf;
            flip(&mut other);
            prop_assert!(!is_included(&other, index, size, &good, &new.root));

            let old = 1 + old.index(place(size) - 1) as u64;
            let before = head(&leaves[..place(old)]);
            let good = consistency(&leaves, old);
            prop_assert!(is_consistent(&before, &new, &good));
            let mut bad = good.clone();
            flip(&mut bad[which.index(good.len())]);
            prop_assert!(!is_consistent(&before, &new, &bad));
            let mut forked = before;
            flip(&mut forked.root);
            prop_assert!(!is_consistent(&forked, &new, &good));
            let mut forked = new;
            flip(&mut forked.root);
            prop_assert!(!is_consistent(&before, &forked, &good));
        }
    }
}
