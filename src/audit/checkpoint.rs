//! Checkpoints (c2sp.org/tlog-checkpoint): how long the log is and the root over it, signed. Who keeps one can tell for ever
//! whether what was logged until then is still what it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::{NoteError, SigningKey, VerifierKey, split};
use super::proof::TreeHead;
use super::tree::Hash;

/// What is wrong with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note around it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The text of the note.
    #[error("is no checkpoint: its lines are the log's name, its size and its root in base64")]
    Text,
    /// It is of another log than its key.
    #[error("is of the log `{origin}`, not of `{wanted}`")]
    Origin {
        /// Which it names.
        origin: String,
        /// Whose key it is looked at with.
        wanted: String,
    },
}

/// What a checkpoint says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How long it is, and the root over it.
    pub head: TreeHead,
}

impl Checkpoint {
    /// The signed note that says it, under the key's name.
    #[must_use]
    pub fn sign(head: &TreeHead, key: &SigningKey) -> String {
        let root = STANDARD.encode(head.root.0);
        let (origin, size) = (key.verifier().name(), head.size);
        key.sign(&format!("{origin}\n{size}\n{root}\n"))
    }

    /// Reads one that this key signed.
    pub fn open(note: &str, key: &VerifierKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::read(key.open(note)?)?;
        if checkpoint.origin == key.name() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::Origin {
            origin: checkpoint.origin,
            wanted: key.name().to_owned(),
        })
    }

    /// Reads one whoever signed it: for what does not rest on it.
    pub fn unverified(note: &str) -> Result<Self, CheckpointError> {
        let (text, _) = split(note).ok_or(NoteError::Note)?;
        Self::read(text)
    }

    /// The lines of the text; more of them than the three that are known say nothing to us.
    fn read(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let mut line = || lines.next().ok_or(CheckpointError::Text);
        let (origin, size, root) = (line()?, line()?, line()?);
        // Decimal, without a sign or a zero in front.
        let size: u64 = size
            .parse()
            .ok()
            .filter(|number: &u64| number.to_string() == size)
            .ok_or(CheckpointError::Text)?;
        let root = STANDARD.decode(root).map_err(|_| CheckpointError::Text)?;
        let root = Hash(root.try_into().map_err(|_| CheckpointError::Text)?);
        if origin.is_empty() {
            return Err(CheckpointError::Text);
        }
        Ok(Self {
            origin: origin.to_owned(),
            head: TreeHead { size, root },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::tests::key;
    use super::super::tree::leaf_hash;
    use super::*;

    #[test]
    fn what_was_signed_is_read_and_nothing_else() {
        let key = key();
        let head = TreeHead {
            size: 12_345,
            root: leaf_hash(b"x"),
        };
        let note = Checkpoint::sign(&head, &key);
        let read = Checkpoint::open(&note, key.verifier()).unwrap();
        assert_eq!(
            read,
            Checkpoint {
                origin: "example.com/log".to_owned(),
                head
            }
        );
        assert_eq!(Checkpoint::unverified(&note), Ok(read));
        assert!(note.starts_with("example.com/log\n12345\n"), "{note}");
        for text in [
            "example.com/log\n",
            "example.com/log\n1\n",
            "example.com/log\n+1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
            "example.com/log\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
            "example.com/log\n1\nAAAA\n",
            "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        ] {
            let read = Checkpoint::open(&key.sign(text), key.verifier());
            assert_eq!(read, Err(CheckpointError::Text), "{text}");
        }
        let other = "example.org/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n";
        let read = Checkpoint::open(&key.sign(other), key.verifier());
        assert!(matches!(read, Err(CheckpointError::Origin { .. })));
        // Lines that a later release may add.
        let longer = "example.com/log\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nmore\n";
        assert!(Checkpoint::open(&key.sign(longer), key.verifier()).is_ok());
    }
}
