//! The key that checkpoints are signed with. Made when the log begins, and then for as long as the log lives: who could change
//! it unseen could sign another log.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::audit::{NoteError, SigningKey};
use crate::domain::hex::hex;
use crate::secret;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyProblem {
    /// The file cannot be read, or others may read it.
    #[error("[audit] {0}")]
    File(String),
    /// It does not hold a key.
    #[error("[audit] key_file: `{}` {problem}: put the right file back", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: NoteError,
    },
    /// It is gone.
    #[error(
        "[audit] key_file: `{}` is missing, but the audit log of this database was begun with one: put it back, or copy it from \
         another node",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is another one.
    #[error(
        "[audit] key_file: `{}` is not the key that the audit log of this database is signed with, which is {wanted}: put that one \
         back, or copy it from another node",
        path.display()
    )]
    Another {
        /// The file.
        path: PathBuf,
        /// By what the right one is known.
        wanted: String,
    },
    /// The name is another one.
    #[error(
        "[audit] origin: the log is called `{name}` since it began, not `{wanted}`: set origin to that, or leave it out"
    )]
    Origin {
        /// Its name.
        name: String,
        /// The one of the configuration.
        wanted: String,
    },
    /// None can be made.
    #[error("[audit] key_file: cannot make `{}`: {problem}", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
}

/// Where the key is, and what the log is to be called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningPlace {
    /// The file.
    pub path: PathBuf,
    /// The name; absent = one is made up.
    pub origin: Option<String>,
}

impl SigningPlace {
    /// The key of this place; made, if there is none and no log that needs one.
    pub fn open(&self, has_log: bool) -> Result<SigningKey, KeyProblem> {
        let path = &self.path;
        if !path.exists() {
            if has_log {
                return Err(KeyProblem::Missing { path: path.clone() });
            }
            self.make()?;
        }
        let text = secret::read("key_file", path).map_err(KeyProblem::File)?;
        let key = SigningKey::parse(&text).map_err(|problem| KeyProblem::NoKey {
            path: path.clone(),
            problem,
        })?;
        let name = key.verifier().name();
        match &self.origin {
            Some(wanted) if wanted != name => Err(KeyProblem::Origin {
                name: name.to_owned(),
                wanted: wanted.clone(),
            }),
            _ => Ok(key),
        }
    }

    /// Makes a key and its file, all of it at once: of two nodes that start beside each other both read what one has made.
    fn make(&self) -> Result<(), KeyProblem> {
        let refused = |problem: String| KeyProblem::NotMade {
            path: self.path.clone(),
            problem,
        };
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| refused(error.to_string()))?;
        let made_up = format!("dialgate-{}", hex(&random));
        let name = self.origin.as_deref().unwrap_or(&made_up);
        let key = SigningKey::generate(name).map_err(|error| refused(error.to_string()))?;
        let io = |error: std::io::Error| refused(error.to_string());
        let folder = self
            .path
            .parent()
            .filter(|each| !each.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        // A new file of this kind is its owner's alone.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        file.write_all(format!("{}\n", &*key.text()).as_bytes())
            .map_err(io)?;
        file.as_file().sync_all().map_err(io)?;
        match file.persist_noclobber(&self.path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io(error.error)),
        }
        std::fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let place = SigningPlace {
            path: folder.path().join("log.key"),
            origin: None,
        };
        let missing = place.open(true).unwrap_err();
        assert!(missing.to_string().contains("is missing"), "{missing}");
        let made = place.open(false).unwrap();
        let mode = std::fs::metadata(&place.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(made.verifier().name().starts_with("dialgate-"));
        place.make().unwrap();
        let again = place.open(true).unwrap();
        assert_eq!(again.verifier(), made.verifier());

        let named = SigningPlace {
            origin: Some("example.com/calls".to_owned()),
            ..place.clone()
        };
        let other = named.open(true).unwrap_err().to_string();
        assert!(other.contains("[audit] origin: the log is called `dialgate-"));
        std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let loose = place.open(true).unwrap_err().to_string();
        assert!(loose.contains("chmod 600"), "{loose}");
        std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&place.path, "nonsense").unwrap();
        let broken = place.open(true).unwrap_err().to_string();
        assert!(broken.contains("put the right file back"), "{broken}");
        let nowhere = SigningPlace {
            path: folder.path().join("none/log.key"),
            ..named
        };
        let refused = nowhere.open(false).unwrap_err().to_string();
        assert!(refused.contains("cannot make"), "{refused}");
    }
}
