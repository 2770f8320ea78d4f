//! The key file and everything sealed under it. Numbers and names are readable only through here.
//!
//! One secret of 32 bytes lies in a file outside the database. From it come, by HMAC-SHA-256 under labels: the key by
//! which numbers are hashed, the key under which each person's own data key is wrapped, the key for what belongs to no
//! person, and a check value that the database keeps so that a wrong file is noticed before anything is read or written.
//! A person's data key destroyed, nothing sealed under it can be read again (GDPR Art. 17), and no proof breaks.

use std::io::Write as _;
use std::path::Path;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Result, StoreError};
use crate::domain::account::AccountHasher;
use crate::domain::ids::PartyId;
use crate::domain::phone::NumberHasher;

const NONCE_LENGTH: usize = 12;

/// What a sealed value is; bound into the seal, so that no column can be passed off as another.
#[derive(Debug, Clone, Copy)]
pub(super) enum Label {
    Profile,
    Number,
    Case,
    Sdp,
    AgentNote,
    CallerId,
    SuppressionNote,
    Account,
    Instruction,
    Desk,
}

impl Label {
    const fn text(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Number => "number",
            Self::Case => "case",
            Self::Sdp => "sdp",
            Self::AgentNote => "agent note",
            Self::CallerId => "caller id",
            Self::SuppressionNote => "suppression note",
            Self::Account => "account",
            Self::Instruction => "instruction",
            Self::Desk => "desk",
        }
    }
}

/// A key that seals: one person's, or the deployment's own.
#[derive(Clone)]
pub(super) struct DataKey {
    bytes: Zeroizing<[u8; 32]>,
}

impl DataKey {
    /// A new random key.
    pub(super) fn generate() -> Result<Self> {
        Ok(Self {
            bytes: random_secret()?,
        })
    }

    /// Seals these bytes as this kind of value.
    pub(super) fn seal(&self, label: Label, plain: &[u8]) -> Result<Vec<u8>> {
        seal(&self.bytes, label.text().as_bytes(), plain)
    }

    /// Opens what [`DataKey::seal`] made.
    pub(super) fn open(&self, label: Label, sealed: &[u8]) -> Result<Vec<u8>> {
        open(&self.bytes, label.text().as_bytes(), sealed)
            .ok_or(StoreError::Damaged { what: label.text() })
    }
}

/// The keys that come from the key file.
pub(super) struct Vault {
    wrap: Zeroizing<[u8; 32]>,
    own: DataKey,
    hasher: NumberHasher,
    account_hasher: AccountHasher,
    check: [u8; 32],
}

impl Vault {
    /// The keys that come from this secret.
    pub(super) fn new(secret: &[u8; 32]) -> Self {
        Self {
            wrap: Zeroizing::new(derive(secret, "dialgate wrapping key 1")),
            own: DataKey {
                bytes: Zeroizing::new(derive(secret, "dialgate own key 1")),
            },
            hasher: NumberHasher::new(derive(secret, "dialgate number key 1")),
            account_hasher: AccountHasher::new(derive(secret, "dialgate account key 1")),
            check: derive(secret, "dialgate check value 1"),
        }
    }

    /// Makes the keys by which numbers are looked up.
    pub(super) fn hasher(&self) -> &NumberHasher {
        &self.hasher
    }

    /// Makes the keys by which accounts are looked up.
    pub(super) fn account_hasher(&self) -> &AccountHasher {
        &self.account_hasher
    }

    /// What the database keeps to know its key file again. Tells nothing of the keys.
    pub(super) fn check(&self) -> &[u8; 32] {
        &self.check
    }

    /// The key for what belongs to no single person.
    pub(super) fn own(&self) -> &DataKey {
        &self.own
    }

    /// A person's key as it may be stored; it opens for this person only.
    pub(super) fn wrap(&self, party: PartyId, key: &DataKey) -> Result<Vec<u8>> {
        seal(&self.wrap, party.0.as_bytes(), key.bytes.as_slice())
    }

    /// The key that [`Vault::wrap`] stored.
    pub(super) fn unwrap(&self, party: PartyId, wrapped: &[u8]) -> Result<DataKey> {
        open(&self.wrap, party.0.as_bytes(), wrapped)
            .map(Zeroizing::new)
            .and_then(|plain| <[u8; 32]>::try_from(plain.as_slice()).ok())
            .map(|bytes| DataKey {
                bytes: Zeroizing::new(bytes),
            })
            .ok_or(StoreError::Damaged {
                what: "a person's key",
            })
    }
}

/// Reads the key file; none if there is no such file. Refuses a file that others may read.
pub(super) fn read_key_file(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>> {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(StoreError::Setting(format!(
                "cannot read the key file `{shown}`: {error}"
            )));
        }
    };
    refuse_loose_mode(path)?;
    parse_secret(text.trim_end()).map(Some).ok_or_else(|| {
        StoreError::Setting(format!(
            "the key file `{shown}` must hold 64 hexadecimal digits and nothing else: put the right file back, or remove \
             it if no database was ever opened with it"
        ))
    })
}

/// Makes a key file with a new secret, readable by its owner alone, and sees it onto the disk.
pub(super) fn make_key_file(path: &Path) -> Result<Zeroizing<[u8; 32]>> {
    let secret = random_secret()?;
    let text = Zeroizing::new(
        secret
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            + "\n",
    );
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // The name must be as durable as the content: a database without its key file is lost.
        match path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            Some(folder) => std::fs::File::open(folder)?.sync_all(),
            None => std::fs::File::open(".")?.sync_all(),
        }
    };
    write().map_err(|error: std::io::Error| {
        StoreError::Setting(format!(
            "cannot make the key file `{}`: {error}",
            path.display()
        ))
    })?;
    Ok(secret)
}

#[cfg(unix)]
fn refuse_loose_mode(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| {
            StoreError::Setting(format!("cannot read the key file `{shown}`: {error}"))
        })?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(StoreError::Setting(format!(
        "the key file `{shown}` may be read by others (mode {:04o}): run `chmod 600 {shown}`",
        mode & 0o7777
    )))
}

#[cfg(not(unix))]
fn refuse_loose_mode(_path: &Path) -> Result<()> {
    Ok(())
}

fn parse_secret(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    // `from_str_radix` would take a sign.
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = Zeroizing::new([0; 32]);
    for (index, byte) in secret.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
    }
    Some(secret)
}

fn random_secret() -> Result<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(no_randomness)?;
    Ok(secret)
}

fn no_randomness(error: getrandom::Error) -> StoreError {
    StoreError::Unavailable(format!("the system gave no random bytes: {error}"))
}

fn derive(secret: &[u8; 32], label: &str) -> [u8; 32] {
    #[expect(
        clippy::expect_used,
        reason = "HMAC takes keys of every length (RFC 2104 section 2)"
    )]
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret)
        .expect("HMAC accepts any key length");
    mac.update(label.as_bytes());
    mac.finalize().into_bytes().into()
}

fn seal(key: &[u8; 32], label: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
    let mut nonce = [0; NONCE_LENGTH];
    getrandom::fill(&mut nonce).map_err(no_randomness)?;
    let payload = Payload {
        msg: plain,
        aad: label,
    };
    let sealed = Aes256GcmSiv::new(key.into())
        .encrypt(&Nonce::from(nonce), payload)
        .map_err(|_| StoreError::Other("a value is too large to be sealed".to_owned()))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

fn open(key: &[u8; 32], label: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LENGTH>()?;
    let payload = Payload {
        msg: sealed,
        aad: label,
    };
    Aes256GcmSiv::new(key.into())
        .decrypt(&Nonce::from(*nonce), payload)
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    #[test]
    fn what_is_sealed_opens_under_its_key_and_label_only() {
        let key = DataKey::generate().unwrap();
        let sealed = key.seal(Label::Case, b"the case").unwrap();
        assert_eq!(key.open(Label::Case, &sealed).unwrap(), b"the case");
        assert!(key.open(Label::Sdp, &sealed).is_err(), "another column");
        assert!(
            DataKey::generate()
                .unwrap()
                .open(Label::Case, &sealed)
                .is_err(),
            "another person"
        );
        for index in 0..sealed.len() {
            let mut broken = sealed.clone();
            broken[index] ^= 1;
            assert!(
                key.open(Label::Case, &broken).is_err(),
                "byte {index} flipped"
            );
        }
        for length in 0..sealed.len() {
            assert!(
                key.open(Label::Case, &sealed[..length]).is_err(),
                "cut to {length}"
            );
        }
        assert_ne!(
            sealed,
            key.seal(Label::Case, b"the case").unwrap(),
            "equal values cannot be linked"
        );
    }

    #[test]
    fn a_wrapped_key_opens_for_its_person_only() {
        let vault = Vault::new(&[7; 32]);
        let (one, other) = (PartyId::new(Micros(1)), PartyId::new(Micros(1)));
        let key = DataKey::generate().unwrap();
        let wrapped = vault.wrap(one, &key).unwrap();
        assert_eq!(vault.unwrap(one, &wrapped).unwrap().bytes, key.bytes);
        assert!(vault.unwrap(other, &wrapped).is_err());
        assert!(Vault::new(&[8; 32]).unwrap(one, &wrapped).is_err());
    }

    #[test]
    fn a_key_file_is_private_and_of_the_right_form() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.key");
        assert!(read_key_file(&path).unwrap().is_none());
        let secret = make_key_file(&path).unwrap();
        assert_eq!(*read_key_file(&path).unwrap().unwrap(), *secret);
        assert!(
            make_key_file(&path).is_err(),
            "an existing file is never overwritten"
        );
        for bad in [
            "",
            "00",
            &"+1".repeat(32),
            &"0".repeat(63),
            &"0".repeat(65),
            &"zz".repeat(32),
        ] {
            std::fs::write(&path, bad).unwrap();
            let told = read_key_file(&path).unwrap_err().to_string();
            assert!(told.contains("64 hexadecimal digits"), "{bad}: {told}");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            for mode in [0o640, 0o604, 0o644, 0o660] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                let told = read_key_file(&path).unwrap_err().to_string();
                assert!(
                    told.contains(&format!("chmod 600 {}", path.display())),
                    "{told}"
                );
            }
        }
    }
}
