//! A signing service: asked for one PASSporT over HTTP, in the words of ATIS-1000082 (`signingRequest`, `signingResponse`).

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::claims::{Passport, Payload, Unsigned};
use super::token;
use crate::domain::call::Attestation;
use crate::domain::object::objects_only;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::http_client::{Bounds, HttpAnswer, HttpClient, HttpError, Target};

/// An answer is a kilobyte.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Who signs in our place.
pub(super) struct SigningService {
    pub(super) client: HttpClient,
    pub(super) target: Target,
    pub(super) timeout: Duration,
    pub(super) origid: String,
}

impl fmt::Debug for SigningService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningService({:?})", self.target)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    signing_request: Payload<'a>,
}

objects_only!(read Answer, Signed);

/// Keys that are not known are left alone: services add some.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
struct Answer {
    signing_response: Signed,
}

#[derive(Debug, Deserialize)]
#[serde(remote = "Self")]
struct Signed {
    identity: String,
}

impl SigningService {
    /// Asks for a PASSporT of this moment. Whether it fits the call is looked at when the answer is there, and again when it
    /// is sent.
    pub(super) async fn sign(
        &self,
        orig: Phone,
        dest: Phone,
        attestation: Attestation,
        at: Micros,
    ) -> Result<Passport, Unsigned> {
        let issued = at.0.div_euclid(1_000_000);
        let request = Request {
            signing_request: Payload::new(orig, dest, attestation, issued, &self.origid),
        };
        let body = serde_json::to_vec(&request).map_err(|_| Unsigned::Malformed)?;
        let bounds = Bounds {
            timeout: self.timeout,
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let answer = self.client.post_json(&self.target, body, bounds).await;
        let passport = read(&answer.map_err(|error| match error {
            HttpError::Timeout => Unsigned::Timeout,
            HttpError::Unreachable | HttpError::Broken => Unsigned::Unreachable,
            HttpError::TooLarge => Unsigned::Malformed,
        })?)?;
        passport.fits(orig, dest, at)?;
        Ok(passport)
    }
}

fn read(answer: &HttpAnswer) -> Result<Passport, Unsigned> {
    if answer.status != 200 {
        return Err(Unsigned::Refused(answer.status));
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|_| Unsigned::Malformed)?;
    token::read(&answer.signing_response.identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signing_response_is_an_answer() {
        let answer = |status: u16, body: &str| {
            read(&HttpAnswer {
                status,
                body: body.as_bytes().to_vec(),
            })
        };
        for (status, body, why) in [
            (500, "", Unsigned::Refused(500)),
            (403, r#"{"requestError":{}}"#, Unsigned::Refused(403)),
            (200, "", Unsigned::Malformed),
            (200, r#"{"requestError":{}}"#, Unsigned::Malformed),
            (200, r#"{"signingResponse":["a.b.c"]}"#, Unsigned::Malformed),
            (
                200,
                r#"{"signingResponse":{"identity":"a.b.c"}}"#,
                Unsigned::Malformed,
            ),
        ] {
            assert_eq!(answer(status, body).unwrap_err(), why, "{body}");
        }
        assert!(Unsigned::Refused(503).may_pass() && !Unsigned::Refused(403).may_pass());
    }

    #[test]
    fn the_request_is_as_the_standard_writes_it() {
        let phone = |text| Phone::parse(text).unwrap();
        let payload = Payload::new(
            phone("+14045550100"),
            phone("+14045550101"),
            Attestation::C,
            7,
            "o",
        );
        let request = Request {
            signing_request: payload,
        };
        assert_eq!(
            serde_json::to_string(&request).unwrap(),
            r#"{"signingRequest":{"attest":"C","dest":{"tn":["14045550101"]},"iat":7,"orig":{"tn":"14045550100"},"origid":"o"}}"#
        );
    }
}
