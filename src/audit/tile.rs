//! The tree in tiles of 256 hashes (c2sp.org/tlog-tiles): tile N of level L holds the roots of the perfect subtrees of 256^L
//! leaves number 256 N to 256 N + 255. A tile that is full never changes, so what was proved once can be kept for ever.

use std::collections::BTreeMap;

use super::tree::{Hash, joined, node_hash};

/// Hashes of a full tile.
pub const TILE_WIDTH: usize = 256;
/// The same as a power of two.
const TILE_BITS: u32 = 8;

/// A perfect subtree: of 2^level leaves, the one with this number among those of its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// Power of two.
    pub level: u32,
    /// Which one.
    pub index: u64,
}

/// Which tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TileId {
    /// 0 holds leaves, each one above the roots of the tiles below it.
    pub level: u8,
    /// Which one of its level, from the left.
    pub index: u64,
}

impl TileId {
    /// Where a tile of this width is found, under the address of a log (c2sp.org/tlog-tiles, "Merkle Tree").
    #[must_use]
    pub fn path(self, width: usize) -> String {
        let mut path = format!("{:03}", self.index % 1_000);
        let mut rest = self.index / 1_000;
        while rest > 0 {
            path = format!("x{:03}/{path}", rest % 1_000);
            rest /= 1_000;
        }
        let part = if width < TILE_WIDTH {
            format!(".p/{width}")
        } else {
            String::new()
        };
        format!("tile/{}/{path}{part}", self.level)
    }
}

impl Node {
    /// The tile in which the hashes below this node are.
    #[must_use]
    pub fn tile(self) -> TileId {
        let (level, first) = self.in_level();
        TileId {
            level: u8::try_from(level).unwrap_or(u8::MAX),
            index: first >> TILE_BITS,
        }
    }

    /// The level of the tile, and which of that level's hashes is the first below this node.
    fn in_level(self) -> (u32, u64) {
        let level = self.level / TILE_BITS;
        (level, self.index << (self.level % TILE_BITS))
    }
}

/// The tiles above the leaves of a tree of this size with their widths: level by level, each from the left. They are made one
/// by one: the size may be what a file claims.
pub fn upper_tiles(size: u64) -> impl Iterator<Item = (TileId, usize)> {
    (0..).map_while(move |number| upper_tile(size, number))
}

/// The one of [`upper_tiles`] with this number, if there are so many.
#[must_use]
pub fn upper_tile(size: u64, number: u64) -> Option<(TileId, usize)> {
    let mut index = number;
    for level in 1..8_u8 {
        let hashes = size >> (TILE_BITS * u32::from(level));
        let full = hashes >> TILE_BITS;
        let rest = usize::try_from(hashes & 0xff).unwrap_or(0);
        if index < full {
            return Some((TileId { level, index }, TILE_WIDTH));
        }
        if index == full && rest > 0 {
            return Some((TileId { level, index }, rest));
        }
        index -= full + u64::from(rest > 0);
    }
    None
}

/// Tiles at hand.
#[derive(Debug, Clone, Default)]
pub struct Tiles(BTreeMap<TileId, Vec<Hash>>);

impl FromIterator<(TileId, Vec<Hash>)> for Tiles {
    fn from_iter<I: IntoIterator<Item = (TileId, Vec<Hash>)>>(tiles: I) -> Self {
        Self(tiles.into_iter().collect())
    }
}

impl Tiles {
    /// The hashes of a tile.
    #[must_use]
    pub fn get(&self, id: TileId) -> Option<&[Hash]> {
        self.0.get(&id).map(Vec::as_slice)
    }

    /// The root of a perfect subtree.
    pub(super) fn node(&self, node: Node) -> Option<Hash> {
        let (_, first) = node.in_level();
        let width = 1 << (node.level % TILE_BITS);
        let begin = usize::try_from(first).ok()? % TILE_WIDTH;
        let below = self.get(node.tile())?.get(begin..begin + width)?;
        Some(perfect_root(below))
    }
}

/// The root over as many hashes as a power of two.
fn perfect_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    row.first().copied().unwrap_or_else(super::tree::empty_root)
}

/// The right edge of the tree: of each level the tile that is not full yet. Enough to append, and to tell the root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Edge {
    /// The tiles that the edge of a tree of this size lies in, the lowest first, with their widths. Those that are full are
    /// not of the edge.
    pub fn tiles(size: u64) -> impl Iterator<Item = (TileId, usize)> {
        let levels = (0..8_u8).map(move |level| {
            let hashes = size >> (TILE_BITS * u32::from(level));
            let index = hashes >> TILE_BITS;
            let width = usize::try_from(hashes & 0xff).unwrap_or(0);
            (TileId { level, index }, width)
        });
        levels.filter(|(_, width)| *width > 0)
    }

    /// The edge of a tree of this size; nothing if a tile is missing, or is not as wide as it has to be.
    #[must_use]
    pub fn of(size: u64, tiles: &Tiles) -> Option<Self> {
        let mut levels = Vec::new();
        for (id, width) in Self::tiles(size) {
            let hashes = tiles.get(id).filter(|hashes| hashes.len() == width)?;
            levels.resize(usize::from(id.level), Vec::new());
            levels.push(hashes.to_vec());
        }
        Some(Self { size, levels })
    }

    /// How many leaves the tree has.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut peaks = Vec::new();
        for level in self.levels.iter().rev() {
            let mut rest = level.as_slice();
            while let Some(power) = rest.len().checked_ilog2() {
                let (peak, after) = rest.split_at(1 << power);
                peaks.push(perfect_root(peak));
                rest = after;
            }
        }
        joined(&peaks).unwrap_or_else(super::tree::empty_root)
    }

    /// Appends leaves; tells each tile that is another one now, with all of its hashes.
    pub fn append(&mut self, leaves: impl IntoIterator<Item = Hash>) -> Vec<(TileId, Vec<Hash>)> {
        let mut full = Vec::new();
        let mut highest = None;
        for leaf in leaves {
            let mut hash = leaf;
            let mut level = 0_u8;
            loop {
                highest = highest.max(Some(level));
                let at = usize::from(level);
                if self.levels.len() <= at {
                    self.levels.resize(at + 1, Vec::new());
                }
                let Some(tile) = self.levels.get_mut(at) else {
                    break;
                };
                tile.push(hash);
                if tile.len() < TILE_WIDTH {
                    break;
                }
                let hashes = std::mem::take(tile);
                hash = perfect_root(&hashes);
                let bits = TILE_BITS * (u32::from(level) + 1);
                let index = self.size.checked_shr(bits).unwrap_or(0);
                full.push((TileId { level, index }, hashes));
                level += 1;
            }
            self.size = self.size.saturating_add(1);
        }
        let touched = |(id, _): &(TileId, usize)| Some(id.level) <= highest;
        let edge = Self::tiles(self.size)
            .filter(touched)
            .filter_map(|(id, _)| {
                let level = self.levels.get(usize::from(id.level));
                level.map(|hashes| (id, hashes.clone()))
            });
        full.extend(edge);
        full
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tree::{Frontier, leaf_hash};
    use super::*;

    #[test]
    fn tiles_are_found_where_the_specification_puts_them() {
        for (level, index, width, path) in [
            (0, 0, 256, "tile/0/000"),
            (0, 1_234_067, 256, "tile/0/x001/x234/067"),
            (1, 999, 256, "tile/1/999"),
            (1, 1_000, 17, "tile/1/x001/000.p/17"),
            (3, 0, 1, "tile/3/000.p/1"),
        ] {
            assert_eq!(TileId { level, index }.path(width), path);
        }
    }

    #[test]
    fn the_edge_has_the_root_of_the_list_however_it_grew() {
        let mut edge = Edge::default();
        let mut frontier = Frontier::default();
        let mut kept = BTreeMap::new();
        let mut next = 0_u64;
        for batch in [1, 254, 1, 1, 255, 256, 512, 3, 65_000, 300, 200] {
            let leaves: Vec<Hash> = (next..next + batch)
                .map(|n| leaf_hash(&n.to_be_bytes()))
                .collect();
            next += batch;
            for leaf in &leaves {
                frontier.push(*leaf);
            }
            kept.extend(edge.append(leaves));
            assert_eq!(
                (edge.size(), edge.root()),
                (next, frontier.root()),
                "{next}"
            );
            // Brought back from what was kept, it is the same edge.
            let tiles: Tiles = kept.clone().into_iter().collect();
            let again = Edge::of(next, &tiles).unwrap();
            assert_eq!((again.size(), again.root()), (next, frontier.root()));
        }
        let wide = kept.values().all(|hashes| hashes.len() <= TILE_WIDTH);
        assert!(wide && kept.len() as u64 >= next / 256);
        let empty = Tiles::default();
        assert_eq!(
            Edge::of(0, &empty).unwrap().root(),
            Frontier::default().root()
        );
        assert_eq!(Edge::of(1, &empty), None);
    }

    proptest! {
        #[test]
        fn however_leaves_come_in_the_tiles_are_the_same(cuts in proptest::collection::vec(0..700_u64, 1..8)) {
            let count: u64 = cuts.iter().sum();
            let leaf = |n: u64| leaf_hash(&n.to_be_bytes());
            let mut whole = Edge::default();
            let at_once: BTreeMap<_, _> = whole.append((0..count).map(leaf)).into_iter().collect();
            let mut parted = Edge::default();
            let mut piecemeal = BTreeMap::new();
            let mut first = 0;
            for cut in cuts {
                let before = piecemeal.clone();
                let told = parted.append((first..first + cut).map(leaf));
                // What was full stays as it was.
                for (id, hashes) in &told {
                    let earlier: Option<&Vec<Hash>> = before.get(id);
                    prop_assert!(earlier.is_none_or(|earlier| earlier.len() < TILE_WIDTH && hashes.starts_with(earlier)));
                }
                piecemeal.extend(told);
                first += cut;
            }
            prop_assert_eq!(at_once, piecemeal);
            prop_assert_eq!(whole.root(), parted.root());
        }
    }
}
