//! The text of an API key: `dg_<32 hex digits: id>_<64 hex digits: secret>`. The id is public, the secret is shown once,
//! when the key is made, and kept only as a hash.

use sha2::{Digest, Sha256};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::ids::ApiKeyId;
use crate::domain::time::Micros;

use crate::domain::hex::{hex, unhex};

/// An API key with its secret.
pub struct Credential {
    /// The public half.
    pub api_key_id: ApiKeyId,
    secret: Zeroizing<[u8; 32]>,
}

/// The machine gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed: {0}")]
pub struct NoRandomness(getrandom::Error);

impl Credential {
    /// A new key.
    pub fn generate(at: Micros) -> Result<Self, NoRandomness> {
        let mut secret = Zeroizing::new([0; 32]);
        getrandom::fill(secret.as_mut_slice()).map_err(NoRandomness)?;
        Ok(Self {
            api_key_id: ApiKeyId::new(at),
            secret,
        })
    }

    /// Reads the text form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("dg_")?.split_once('_')?;
        let id: [u8; 16] = unhex(id)?;
        Some(Self {
            api_key_id: ApiKeyId(Uuid::from_bytes(id)),
            secret: Zeroizing::new(unhex(secret)?),
        })
    }

    /// The text form, which its owner sends as `authorization: Bearer …`.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(hex(self.secret.as_slice()));
        Zeroizing::new(format!("dg_{}_{}", self.api_key_id.0.simple(), *secret))
    }

    /// What is stored: SHA-256 over the 32 bytes of the secret. It needs no slow hash, for nobody can guess 256 bits.
    #[must_use]
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_slice()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_from_its_text() {
        let made = Credential::generate(Micros(1_800_000_000_000_000)).unwrap();
        let text = made.text();
        assert_eq!(text.len(), 3 + 32 + 1 + 64);
        let read = Credential::parse(&text).unwrap();
        assert_eq!(read.api_key_id, made.api_key_id);
        assert_eq!(read.secret_hash(), made.secret_hash());
        let other = Credential::generate(Micros(1_800_000_000_000_000)).unwrap();
        assert_ne!(other.secret_hash(), made.secret_hash());
    }

    #[test]
    fn other_text_is_no_key() {
        let good = Credential::generate(Micros(0)).unwrap().text();
        for bad in [
            "",
            "dg_",
            "dg__",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{}0", *good),
            &good.to_uppercase(),
            &good.replacen('_', "-", 1),
            &good.replace(|each: char| each.is_ascii_digit(), "g"),
        ] {
            assert!(Credential::parse(bad).is_none(), "{bad}");
        }
    }
}
