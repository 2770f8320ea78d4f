//! The certificate for the key, as far as it tells whether the key may sign today: its days and its public key. Whether an
//! authority stands behind it is for those who verify; here it is the operator's own file.

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::domain::time::Micros;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, the version.
const VERSION: u8 = 0xa0;

/// From when to when a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    not_before: Micros,
    not_after: Micros,
}

impl Validity {
    /// That of a certificate in DER, if it can be read.
    #[must_use]
    pub fn of(der: &[u8]) -> Option<Self> {
        fields(der).map(|certificate| certificate.validity)
    }

    /// What is wrong with it at this instant.
    #[must_use]
    pub fn problem(self, now: Micros) -> Option<String> {
        if now < self.not_before {
            return Some(format!("is valid from {} on", self.not_before.timestamp()));
        }
        // It holds for the whole of its last second (RFC 5280 section 4.1.2.5).
        let over = now.0.div_euclid(1_000_000) > self.not_after.0.div_euclid(1_000_000);
        over.then(|| format!("was valid until {}", self.not_after.timestamp()))
    }

    /// That it is valid for less than this, if so.
    #[must_use]
    pub fn ends_within(self, time: Duration, now: Micros) -> Option<String> {
        let soon = self.problem(now).is_none() && self.not_after < now.plus(time);
        soon.then(|| format!("is valid until {}", self.not_after.timestamp()))
    }
}

/// What is read of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) validity: Validity,
    /// The point on the curve, uncompressed.
    pub(super) public_key: Vec<u8>,
}

impl Certificate {
    /// The first certificate of a text in PEM.
    pub(super) fn read(pem: &[u8]) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem)
            .map_err(|error| format!("is no certificate in PEM: {error}"))?;
        fields(&der).ok_or_else(|| "is no certificate that can be read".to_owned())
    }
}

/// RFC 5280 section 4.1: of the fields before the key all but the days are passed over.
fn fields(der: &[u8]) -> Option<Certificate> {
    let (certificate, _) = take(der, SEQUENCE)?;
    let (body, _) = take(certificate, SEQUENCE)?;
    let rest = match take(body, VERSION) {
        Some((_, rest)) => rest,
        None => body,
    };
    let (_serial, rest) = next(rest)?;
    let (_algorithm, rest) = next(rest)?;
    let (_issuer, rest) = next(rest)?;
    let (days, rest) = take(rest, SEQUENCE)?;
    let (_subject, rest) = next(rest)?;
    let (key, _) = take(rest, SEQUENCE)?;
    let (_algorithm, key) = next(key)?;
    let (key, _) = take(key, BIT_STRING)?;
    let (not_before, days) = time(days)?;
    let (not_after, _) = time(days)?;
    Some(Certificate {
        validity: Validity {
            not_before,
            not_after,
        },
        // The first byte says how many bits of the last are none of its own: none are.
        public_key: key.strip_prefix(&[0])?.to_vec(),
    })
}

/// The content of the value that stands first, which is of this tag, and what follows it.
fn take(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (_, content, rest) = value(der).filter(|(found, ..)| *found == tag)?;
    Some((content, rest))
}

/// The same of any tag.
fn next(der: &[u8]) -> Option<(&[u8], &[u8])> {
    value(der).map(|(_, content, rest)| (content, rest))
}

/// Tag, content and rest; lengths of up to four bytes (X.690 section 8.1.3).
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes
                .iter()
                .fold(0_usize, |length, byte| (length << 8) | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// `YYMMDDHHMMSSZ` until 2049, `YYYYMMDDHHMMSSZ` from then on (RFC 5280 section 4.1.2.5).
fn time(der: &[u8]) -> Option<(Micros, &[u8])> {
    let (tag, content, rest) = value(der)?;
    let text = std::str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match tag {
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%S", &text).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?;
    Some((time.timestamp().into(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_cut_short_is_read_or_ends_the_process() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let params = rcgen::CertificateParams::new(vec!["sp.example".to_owned()]).unwrap();
        let certificate = params.self_signed(&pair).unwrap();
        let der = certificate.der();
        let read = fields(der).unwrap();
        assert_eq!(read.public_key.len(), 65);
        for end in 0..der.len() {
            assert_eq!(fields(&der[..end]), None, "{end}");
        }
        for place in 0..der.len() {
            let mut spoilt = der.to_vec();
            spoilt[place] ^= 0xff;
            let _ = fields(&spoilt);
        }
    }
}
