//! What a PASSporT says, and the text that is signed: JSON in the one form of RFC 8225 section 9, keys in order and no blanks.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;

use crate::domain::call::Attestation;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;

/// How old a PASSporT may be when it is sent: RFC 8224 section 4.1 and ATIS-1000074 take 60 seconds.
pub const FRESH: Duration = Duration::from_secs(60);

/// A signed word on one call: the value of its header Identity.
#[derive(Clone, PartialEq, Eq)]
pub struct Passport {
    pub(super) value: String,
    pub(super) attestation: Attestation,
    pub(super) orig: Phone,
    pub(super) dest: Phone,
    /// Seconds since 1970, as it says itself.
    pub(super) issued: i64,
}

impl fmt::Debug for Passport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Passport({})", self.attestation)
    }
}

/// Why a call has no PASSporT that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// The certificate for the key is not valid now.
    #[error("the certificate for the signing key is not valid now")]
    CertificateOver,
    /// The key signs nothing.
    #[error("the signing key could not be used")]
    Key,
    /// The service took too long.
    #[error("the signing service did not answer in time")]
    Timeout,
    /// The service could not be reached.
    #[error("the signing service could not be reached")]
    Unreachable,
    /// The service would not sign.
    #[error("the signing service answered with status {0}")]
    Refused(u16),
    /// What it answered is no PASSporT.
    #[error("the signing service's answer holds no PASSporT of kind `shaken`")]
    Malformed,
    /// Its algorithm is another one.
    #[error("the signing service used another algorithm than ES256")]
    OtherAlgorithm,
    /// It speaks of other numbers.
    #[error("the PASSporT speaks of other numbers than the call's")]
    OtherNumbers,
    /// Its time is not now.
    #[error("the PASSporT is not of this minute")]
    Stale,
}

impl Unsigned {
    /// Whether it may pass by itself; what does not is for whoever keeps the configuration.
    #[must_use]
    pub fn may_pass(self) -> bool {
        match self {
            Self::Timeout | Self::Unreachable | Self::Stale => true,
            Self::Refused(status) => status >= 500,
            Self::CertificateOver
            | Self::Key
            | Self::Malformed
            | Self::OtherAlgorithm
            | Self::OtherNumbers => false,
        }
    }
}

impl Passport {
    /// The value of the header Identity.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// When it was made, for the header Date: both have to say the same (RFC 8224 section 4.1).
    #[must_use]
    pub fn issued(&self) -> Micros {
        Micros(self.issued.saturating_mul(1_000_000))
    }

    /// Whether it speaks of this call and of now. Nothing else may be sent: a verifier would take the call for forged.
    pub(super) fn fits(&self, orig: Phone, dest: Phone, at: Micros) -> Result<(), Unsigned> {
        if (self.orig, self.dest) != (orig, dest) {
            return Err(Unsigned::OtherNumbers);
        }
        let apart = at.0.abs_diff(self.issued().0);
        if u128::from(apart) > FRESH.as_micros() {
            return Err(Unsigned::Stale);
        }
        Ok(())
    }
}

/// A number as PASSporTs write it (RFC 8224 section 8.3): its digits with the country's, and no sign before them.
pub(super) fn canonical(number: Phone) -> String {
    number.digits()
}

/// The keys stand in the order of their letters, as RFC 8225 section 9 signs them.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    ppt: &'a str,
    typ: &'a str,
    x5u: &'a str,
}

#[derive(Serialize)]
pub(super) struct Payload<'a> {
    attest: Attestation,
    dest: Called,
    iat: i64,
    orig: Calling,
    origid: &'a str,
}

#[derive(Serialize)]
struct Called {
    tn: [String; 1],
}

#[derive(Serialize)]
struct Calling {
    tn: String,
}

impl<'a> Payload<'a> {
    pub(super) fn new(
        orig: Phone,
        dest: Phone,
        attestation: Attestation,
        issued: i64,
        origid: &'a str,
    ) -> Self {
        Self {
            attest: attestation,
            dest: Called {
                tn: [canonical(dest)],
            },
            iat: issued,
            orig: Calling {
                tn: canonical(orig),
            },
            origid,
        }
    }

    /// What is signed: header and payload, each in base64url, with a dot between them (RFC 7515 section 5.1).
    pub(super) fn to_be_signed(&self, x5u: &str) -> Result<String, Unsigned> {
        let header = Header {
            alg: "ES256",
            ppt: "shaken",
            typ: "passport",
            x5u,
        };
        let written = |json: serde_json::Result<Vec<u8>>| {
            let json = json.map_err(|_| Unsigned::Key)?;
            Ok(URL_SAFE_NO_PAD.encode(json))
        };
        let (header, payload) = (
            written(serde_json::to_vec(&header))?,
            written(serde_json::to_vec(self))?,
        );
        Ok([header, payload].join("."))
    }
}

/// The header's value: the token, where its certificate lies, and of which kind it is (RFC 8224 section 4, RFC 8588 section 4).
pub(super) fn identity_value(token: &str, x5u: &str) -> String {
    [token, ";info=<", x5u, ">;alg=ES256;ppt=shaken"].concat()
}
