//! Registers: somebody else's do-not-call lists, loaded as dated snapshots. What a snapshot is made of is in `registry`.

use super::ids::SnapshotId;
use super::time::Micros;

/// One dated version of a register, as it was loaded. The latest position of a register is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisterSnapshot {
    /// Identifier.
    pub snapshot_id: SnapshotId,
    /// The register's id in the rule pack, such as `us-dnc`.
    pub register: String,
    /// Counts up by one for each register.
    pub position: i64,
    /// Date of the list's version, as its owner says.
    pub as_of: jiff::civil::Date,
    /// Beginnings of the numbers that the list is complete for, such as `1` or `1212,1646`: of any other it says nothing.
    pub covers: String,
    /// Numbers on it.
    pub numbers: i64,
    /// Lines that were read.
    pub rows_read: i64,
    /// Lines among them that were no number.
    pub rows_rejected: i64,
    /// SHA-256 of the snapshot, hexadecimal: the name by which decisions and files call it.
    pub sha256: String,
    /// Size of the snapshot's file, in bytes.
    pub file_bytes: i64,
    /// Who loaded it.
    pub actor: String,
    /// When.
    pub recorded_at: Micros,
}

impl RegisterSnapshot {
    /// Digits of the hash by which decisions name a snapshot: enough to tell any two of one register apart.
    const NAME_DIGITS: usize = 16;

    /// The name by which decisions call the snapshot of this hash.
    #[must_use]
    pub fn name_of(sha256: &str) -> &str {
        sha256.get(..Self::NAME_DIGITS).unwrap_or(sha256)
    }
}
