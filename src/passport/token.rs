//! Reads the header Identity that a signing service made. What it says is written anew, so that nothing of it reaches the
//! wire but what was understood.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::claims::{Passport, Unsigned, identity_value};
use crate::domain::call::Attestation;
use crate::domain::object::objects_only;
use crate::domain::phone::Phone;

/// More is no PASSporT of one call: RFC 8588's own example has 500 bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// An ES256 signature: two numbers of 32 bytes (RFC 7518 section 3.4).
const SIGNATURE_BYTES: usize = 64;

objects_only!(read Header, Payload, Calling, Called);

/// A key that is not known could change what the token means (RFC 8225 section 8): it is refused.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Header {
    alg: String,
    ppt: String,
    typ: String,
    x5u: String,
}

/// Claims beside these are left alone: RFC 8588 allows more.
#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct Payload {
    attest: Attestation,
    dest: Called,
    iat: i64,
    orig: Calling,
    origid: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Called {
    tn: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
struct Calling {
    tn: String,
}

/// The PASSporT of a header's value. Its signature is not verified: that is for those who trust its certificate.
pub(super) fn read(value: &str) -> Result<Passport, Unsigned> {
    let value = value.trim();
    if value.len() > VALUE_BYTES_MAX {
        return Err(Unsigned::Malformed);
    }
    let token = value.split(';').next().unwrap_or_default().trim();
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Unsigned::Malformed);
    };
    let header: Header = json(header)?;
    if header.alg != "ES256" {
        return Err(Unsigned::OtherAlgorithm);
    }
    let is_shaken = header.ppt == "shaken" && header.typ == "passport";
    let payload: Payload = json(payload)?;
    let signature = bytes(signature)?;
    if !is_shaken
        || !is_certificate_url(&header.x5u)
        || signature.len() != SIGNATURE_BYTES
        || payload.origid.is_empty()
    {
        return Err(Unsigned::Malformed);
    }
    let [dest] = payload.dest.tn.as_slice() else {
        return Err(Unsigned::OtherNumbers);
    };
    Ok(Passport {
        value: identity_value(token, &header.x5u),
        attestation: payload.attest,
        orig: number(&payload.orig.tn)?,
        dest: number(dest)?,
        issued: payload.iat,
    })
}

fn bytes(part: &str) -> Result<Vec<u8>, Unsigned> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Unsigned::Malformed)
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Unsigned> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| Unsigned::Malformed)
}

/// As PASSporTs write it: digits alone.
fn number(text: &str) -> Result<Phone, Unsigned> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = digits.then(|| Phone::parse(&["+", text].concat()).ok());
    number.flatten().ok_or(Unsigned::OtherNumbers)
}

/// Whether it can stand between the angle brackets of a header, and whoever verifies can fetch it (RFC 8225 section 8: https).
pub(super) fn is_certificate_url(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte);
    let host = text.strip_prefix("https://").unwrap_or_default();
    !host.is_empty() && !host.starts_with('/') && host.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    const HEADER: &str =
        r#"{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://c.example/c.pem"}"#;
    const PAYLOAD: &str = r#"{"attest":"B","dest":{"tn":["14045550101"]},"iat":1795014000,"orig":{"tn":"14045550100"},"origid":"o"}"#;

    fn value(header: &str, payload: &str, signature: &[u8], after: &str) -> String {
        let parts = [header.as_bytes(), payload.as_bytes(), signature];
        parts.map(|part| URL_SAFE_NO_PAD.encode(part)).join(".") + after
    }

    #[test]
    fn what_a_service_made_is_written_anew() {
        let raw = value(
            HEADER,
            PAYLOAD,
            &[7; 64],
            ";info=<https://c.example/c.pem>;alg=ES256;ppt=\"shaken\"\r\n",
        );
        let passport = read(&raw).unwrap();
        let token = raw.split(';').next().unwrap();
        assert_eq!(
            passport.value(),
            [
                token,
                ";info=<https://c.example/c.pem>;alg=ES256;ppt=shaken"
            ]
            .concat()
        );
        assert_eq!(passport.attestation, Attestation::B);
        let phone = |text| Phone::parse(text).unwrap();
        let (orig, dest) = (phone("+14045550100"), phone("+14045550101"));
        let at = |seconds: i64| Micros((1_795_014_000 + seconds) * 1_000_000);
        assert_eq!(passport.fits(orig, dest, at(60)), Ok(()));
        assert_eq!(passport.fits(orig, dest, at(-60)), Ok(()));
        assert_eq!(passport.fits(orig, dest, at(61)), Err(Unsigned::Stale));
        assert_eq!(passport.fits(orig, dest, at(-61)), Err(Unsigned::Stale));
        assert_eq!(
            passport.fits(dest, orig, at(0)),
            Err(Unsigned::OtherNumbers)
        );
    }

    #[test]
    fn what_is_no_passport_of_ours_is_refused() {
        let good = value(HEADER, PAYLOAD, &[7; 64], "");
        assert!(read(&good).is_ok());
        let header = |from: &str, to: &str| value(&HEADER.replace(from, to), PAYLOAD, &[7; 64], "");
        let payload =
            |from: &str, to: &str| value(HEADER, &PAYLOAD.replace(from, to), &[7; 64], "");
        use Unsigned::{Malformed, OtherAlgorithm, OtherNumbers};
        for (text, why) in [
            (String::new(), Malformed),
            ("a.b".to_owned(), Malformed),
            (good.clone() + ".x", Malformed),
            ("x".repeat(5_000), Malformed),
            (value(HEADER, PAYLOAD, &[7; 63], ""), Malformed),
            (header("ES256", "none"), OtherAlgorithm),
            (header("ES256", "HS256"), OtherAlgorithm),
            (header("shaken", "div"), Malformed),
            (header("\"typ\"", "\"crit\":[\"x\"],\"typ\""), Malformed),
            (header("https:", "http:"), Malformed),
            (header("c.pem", "c.pem>\\r\\nX-Evil: 1"), Malformed),
            (payload("\"B\"", "\"D\""), Malformed),
            (payload("\"origid\":\"o\"", "\"origid\":\"\""), Malformed),
            (
                payload("[\"14045550101\"]", "[\"14045550101\",\"14045550102\"]"),
                OtherNumbers,
            ),
            (payload("\"14045550100\"", "\"+14045550100\""), OtherNumbers),
            (payload("\"14045550100\"", "\"*67\""), OtherNumbers),
        ] {
            assert_eq!(read(&text), Err(why), "{text}");
        }
    }
}
