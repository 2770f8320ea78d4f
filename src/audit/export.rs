//! The file of an export: JSON, one object a line, each line in exactly one spelling. First what it is (of which log, signed by
//! whom, from which entry to which), then the entries in their order, each with the hash that the tree holds in its place; between
//! them the checkpoints that were signed, each where it ends; at last the tiles above the leaves.
//!
//! The entry is the last thing of its line and stands there as the bytes that were hashed, so that nobody needs to know how
//! JSON is written to make the hash again.

use serde::{Deserialize, Serialize};

use super::tile::TileId;
use super::tree::{Frontier, Hash};
use crate::domain::hex::{hex, unhex};

/// The kind of file that this release writes and reads.
pub const EXPORT_FORMAT: u32 = 1;

const INDEX: &str = r#"{"index":"#;
const LEAF_HASH: &str = r#","leaf_hash":""#;
const ENTRY: &str = r#"","entry":"#;
const CHECKPOINT: &str = r#"{"checkpoint":"#;
const TILE: &str = r#"{"tile":"#;
const HASHES: &str = r#","hashes":""#;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// The kind of file.
    #[serde(rename = "dialgate_audit_export")]
    pub format: u32,
    /// Name of the log.
    pub origin: String,
    /// Whose signatures are in it, as the log itself says: `name+hash+key`.
    pub key: String,
    /// The first entry in it.
    pub first: u64,
    /// One more than the last entry in it.
    pub size: u64,
    /// How many checkpoints are in it.
    pub checkpoints: u64,
    /// The perfect subtrees of the entries before the first one, the largest first, in hexadecimal digits.
    pub peaks: Vec<String>,
}

impl ExportHeader {
    /// The frontier of what comes before the first entry.
    #[must_use]
    pub fn frontier(&self) -> Option<Frontier> {
        let peaks: Option<Vec<Hash>> = self
            .peaks
            .iter()
            .map(|peak| unhex(peak).map(Hash))
            .collect();
        Frontier::of(self.first, peaks?)
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportLine<'l> {
    /// What the file is.
    Header(ExportHeader),
    /// An entry.
    Entry {
        /// Its place.
        index: u64,
        /// The hash that the tree holds there.
        leaf_hash: Hash,
        /// The bytes that were hashed.
        leaf: &'l str,
    },
    /// A signed checkpoint.
    Checkpoint(String),
    /// A tile above the leaves.
    Tile(TileId, Vec<Hash>),
}

impl<'l> ExportLine<'l> {
    /// The text of the line, without its end.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Header(header) => serde_json::to_string(header).unwrap_or_default(),
            Self::Entry {
                index,
                leaf_hash,
                leaf,
            } => format!(
                "{INDEX}{index}{LEAF_HASH}{}{ENTRY}{leaf}}}",
                hex(&leaf_hash.0)
            ),
            Self::Checkpoint(note) => {
                let note = serde_json::Value::from(note.as_str());
                format!("{CHECKPOINT}{note}}}")
            }
            Self::Tile(id, hashes) => {
                let path = id.path(hashes.len());
                let hashes: Vec<u8> = hashes.iter().flat_map(|hash| hash.0).collect();
                format!(
                    r#"{TILE}"{path}","level":{},"index":{}{HASHES}{}"}}"#,
                    id.level,
                    id.index,
                    hex(&hashes)
                )
            }
        }
    }

    /// Reads a line; nothing if it is not spelled as [`Self::text`] spells it.
    #[must_use]
    pub fn parse(line: &'l str) -> Option<Self> {
        if let Some(rest) = line.strip_prefix(INDEX) {
            // Taken apart where it stands: what is between is the entry, whatever it says.
            let (index, rest) = rest.split_once(LEAF_HASH)?;
            let (leaf_hash, rest) = rest.split_once(ENTRY)?;
            return Some(Self::Entry {
                index: number(index)?,
                leaf_hash: Hash(unhex(leaf_hash)?),
                leaf: rest.strip_suffix('}')?,
            });
        }
        let read = if let Some(rest) = line.strip_prefix(CHECKPOINT) {
            Self::Checkpoint(serde_json::from_str(rest.strip_suffix('}')?).ok()?)
        } else if line.starts_with(TILE) {
            Self::tile(line)?
        } else {
            Self::Header(serde_json::from_str(line).ok()?)
        };
        (read.text() == line).then_some(read)
    }

    fn tile(line: &str) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Line {
            #[serde(rename = "tile")]
            _path: String,
            level: u8,
            index: u64,
            hashes: String,
        }
        let line: Line = serde_json::from_str(line).ok()?;
        let mut hashes = Vec::new();
        let mut rest = line.hashes.as_str();
        while !rest.is_empty() {
            let (hash, after) = rest.split_at_checked(64)?;
            hashes.push(Hash(unhex(hash)?));
            rest = after;
        }
        let (level, index) = (line.level, line.index);
        Some(Self::Tile(TileId { level, index }, hashes))
    }
}

/// A number as it is written: without a sign or a zero in front.
fn number(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::super::entry::tests::entry;
    use super::super::tree::leaf_hash;
    use super::*;

    #[test]
    fn each_line_has_one_spelling() {
        let leaf = entry(1).leaf();
        let header = ExportHeader {
            format: EXPORT_FORMAT,
            origin: "example.com/log".to_owned(),
            key: "k".to_owned(),
            first: 1,
            size: 2,
            checkpoints: 1,
            peaks: vec![hex(&leaf_hash(b"x").0)],
        };
        let peaks = vec![leaf_hash(b"x")];
        assert_eq!(header.frontier(), Frontier::of(1, peaks));
        let tile = TileId { level: 1, index: 7 };
        for line in [
            ExportLine::Header(header),
            ExportLine::Entry {
                index: 17,
                leaf_hash: leaf_hash(leaf.as_bytes()),
                leaf: &leaf,
            },
            ExportLine::Checkpoint("a\n\n\u{2014} b \"c\"\n".to_owned()),
            ExportLine::Tile(tile, vec![leaf_hash(b"x"), leaf_hash(b"y")]),
        ] {
            let text = line.text();
            let _json: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(ExportLine::parse(&text), Some(line));
            for other in [
                format!(" {text}"),
                format!("{text} "),
                text.replacen(':', ": ", 1),
                text[1..].to_owned(),
                text[..text.len() - 1].to_owned(),
            ] {
                // What is cut off an entry is none of its bytes any more.
                let is_caught = match ExportLine::parse(&other) {
                    None => true,
                    Some(ExportLine::Entry {
                        leaf_hash: told,
                        leaf,
                        ..
                    }) => leaf_hash(leaf.as_bytes()) != told,
                    Some(_) => false,
                };
                assert!(is_caught, "{other}");
            }
        }
        for bad in [
            "",
            "{}",
            "null",
            r#"{"index":01,"leaf_hash":"","entry":{}}"#,
        ] {
            assert_eq!(ExportLine::parse(bad), None);
        }
    }
}
