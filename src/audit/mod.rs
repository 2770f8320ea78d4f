//! The transparency log: what makes the audit entries one list that nobody can change behind the back of who kept a
//! checkpoint. Pure: bytes of entries, the Merkle tree over them (RFC 6962, RFC 9162) and its tiles, proofs, signed checkpoints
//! (c2sp.org: tlog-tiles, signed-note, tlog-checkpoint), and the verification of an export.
//!
//! Nothing here asks a database, a clock or a network: `store` keeps what this makes, `sequencer` gives the entries their
//! places, and `dialgate audit verify` runs [`verify`] on a file on a machine that knows nothing else. docs/AUDIT.md says it to
//! auditors.

#![deny(missing_docs)]

mod checkpoint;
mod entry;
mod export;
mod note;
mod proof;
mod tile;
mod tree;
mod verdict;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use entry::LoggedEntry;
pub use export::{EXPORT_FORMAT, ExportHeader, ExportLine};
pub use note::{NoteError, SigningKey, VerifierKey};
pub use proof::{
    TreeHead, consistency_ranges, inclusion_ranges, is_consistent, is_included, nodes, proof,
};
pub use tile::{Edge, Node, TILE_WIDTH, TileId, Tiles, upper_tile, upper_tiles};
pub use tree::{Frontier, Hash, empty_root, leaf_hash, node_hash};
pub use verdict::{Fault, Found, Verdict};
pub use verify::Verifier;
