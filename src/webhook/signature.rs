//! The signature of a message, as Standard Webhooks has it: HMAC-SHA-256 over `id.timestamp.body`, in base64, behind `v1,`. While
//! a secret is changed there are two of them with a space between.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// What the text of a secret begins with.
const PREFIX: &str = "whsec_";
/// Guessed by nobody, and no longer than the specification has it.
const BYTES_MIN: usize = 24;
const BYTES_MAX: usize = 64;

/// One secret.
#[derive(Clone)]
pub(super) struct Secret(Zeroizing<Vec<u8>>);

/// What messages are signed with; it does not print.
#[derive(Clone)]
pub struct SigningKeys {
    current: Secret,
    previous: Option<Secret>,
}

impl Secret {
    /// Reads the text form; or what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bytes = text
            .strip_prefix(PREFIX)
            .and_then(|coded| STANDARD.decode(coded).ok())
            .map(Zeroizing::new)
            .filter(|bytes| (BYTES_MIN..=BYTES_MAX).contains(&bytes.len()));
        bytes.map(Self).ok_or_else(|| {
            format!(
                "holds no secret of {BYTES_MIN} to {BYTES_MAX} bytes in base64 behind `{PREFIX}`; \
                 `echo \"{PREFIX}$(openssl rand -base64 32)\"` makes one"
            )
        })
    }

    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> Option<String> {
        // A key of any length is taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).ok()?;
        mac.update(format!("{id}.{seconds}.").as_bytes());
        mac.update(body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        Some(format!("v1,{signature}"))
    }
}

impl SigningKeys {
    pub(super) fn new(current: Secret, previous: Option<Secret>) -> Self {
        Self { current, previous }
    }

    /// The header for this message.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let keys = [Some(&self.current), self.previous.as_ref()];
        let signatures = keys.into_iter().flatten();
        let signatures = signatures.filter_map(|key| key.sign(id, seconds, body));
        signatures.collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKeys(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hmac.
    #[test]
    fn p32_a_signature_is_that_of_the_specification() {
        let one = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let two = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";
        let keys = SigningKeys::new(Secret::parse(one).unwrap(), Secret::parse(two).ok());
        assert_eq!(
            keys.sign("crm_1_1-2", 1_795_262_400, br#"{"changes":[]}"#),
            "v1,0ALXglRicMG550hMEDOd/hVS9jeqt8wWMfIYRgRZjak= v1,qpMX5pXGwjfDUE8lcvoWFtu67iNeVIHhGVo1E8UGmCI="
        );
    }

    #[test]
    fn a_secret_is_long_and_written_in_one_way() {
        for bad in [
            "",
            "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
            "whsec_",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZg==",
            "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY",
            "whsec_%%%",
        ] {
            assert!(Secret::parse(bad).is_err(), "{bad}");
        }
        let long = format!("whsec_{}", "A".repeat(88));
        assert!(Secret::parse(&long).is_err());
    }
}
