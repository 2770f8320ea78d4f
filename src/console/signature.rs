//! The signature of a form: `Dialgate-Signature: t=<unix seconds>,v1=<hex HMAC-SHA-256 of "<t>.<body>">`. While a secret is
//! changed the sender may sign under both and send two `v1`: one that fits is enough.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::config::SigningSecret;
use crate::domain::hex::unhex;
use crate::domain::time::Micros;

/// How far the sender's clock may be from ours, and how long a signature that was overheard is of use, in seconds. What it
/// signs is recorded once all the same.
pub(super) const TOLERANCE_SECONDS: u64 = 300;

/// Signatures of one request at most.
const MARKS_MAX: usize = 4;

/// A signature as it was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Signature<'a> {
    /// As written, for it is what was signed.
    time: &'a str,
    seconds: i64,
    marks: Vec<[u8; 32]>,
}

impl<'a> Signature<'a> {
    /// Reads the header; parts of another version than `v1` are left alone.
    pub fn parse(header: &'a str) -> Option<Self> {
        let (mut time, mut marks) = (None, Vec::new());
        for part in header.split(',') {
            let (name, value) = part.trim().split_once('=')?;
            match name {
                "t" if time.is_some() => return None,
                "t" => time = Some(value),
                "v1" if marks.len() == MARKS_MAX => return None,
                "v1" => marks.push(unhex(&value.to_ascii_lowercase())?),
                _ => {}
            }
        }
        let time = time?;
        let is_plain = time.len() <= 12 && time.bytes().all(|digit| digit.is_ascii_digit());
        let seconds = time.parse().ok().filter(|_| is_plain)?;
        (!marks.is_empty()).then_some(Self {
            time,
            seconds,
            marks,
        })
    }

    /// Whether this secret made it for this body. Takes as long whichever byte differs.
    pub fn fits(&self, secret: &SigningSecret, body: &[u8]) -> bool {
        // A key of any length is taken.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.reveal()) else {
            return false;
        };
        mac.update(self.time.as_bytes());
        mac.update(b".");
        mac.update(body);
        let ours = mac.finalize().into_bytes();
        let any = |found: Choice, mark: &[u8; 32]| found | ours.as_slice().ct_eq(mark.as_slice());
        self.marks.iter().fold(Choice::from(0), any).into()
    }

    /// Whether it was made about now.
    pub fn is_fresh(&self, now: Micros) -> bool {
        let ours = now.0.div_euclid(1_000_000);
        ours.abs_diff(self.seconds) <= TOLERANCE_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd";

    #[test]
    fn a_header_is_read_whole_or_not_at_all() {
        let read = |text: &str| Signature::parse(text).is_some();
        assert!(read(&format!("t=1795262400,v1={GOOD}")));
        assert!(read(&format!("t=1, v1={GOOD} ,v1={GOOD},v0=x")));
        assert!(read(&format!("t=1,v1={}", GOOD.to_uppercase())));
        for bad in [
            "",
            "t=1",
            "t=1,v1=",
            "t=1,v1=abc",
            "t=,v1=GOOD",
            "t=-1,v1=GOOD",
            "t=+1,v1=GOOD",
            "t=1.5,v1=GOOD",
            "t=9999999999999,v1=GOOD",
            "t=1,t=2,v1=GOOD",
            "v1=GOOD",
            "t=1;v1=GOOD",
            "t=1,v1=GOOD,v1=GOOD,v1=GOOD,v1=GOOD,v1=GOOD",
        ] {
            assert!(!read(&bad.replace("GOOD", GOOD)), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn hostile_headers_break_nothing(text in ".*", parts in "(t=[0-9]{0,20}|v1=[0-9a-fé]{0,66}|,|=| ){0,9}") {
            let _ = (Signature::parse(&text), Signature::parse(&parts));
        }
    }

    #[test]
    fn five_minutes_either_way_are_about_now() {
        let header = format!("t=1795262400,v1={GOOD}");
        let signature = Signature::parse(&header).unwrap();
        let at = |seconds: i64| signature.is_fresh(Micros((1_795_262_400 + seconds) * 1_000_000));
        assert!(at(0) && at(300) && at(-300));
        assert!(!at(301) && !at(-301));
    }
}
