//! Our own key: for a provider that has a certificate of the STIR/SHAKEN authorities for it.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::certificate::{Certificate, Validity};
use super::claims::{Passport, Payload, Unsigned, identity_value};
use crate::domain::call::Attestation;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;

/// A key, and where the certificate for it can be had.
pub struct Signer {
    key: EcdsaKeyPair,
    certificate: Option<Certificate>,
    certificate_url: String,
    origid: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.certificate_url)
    }
}

impl Signer {
    /// A signer by the key of this text in PEM; or what is wrong with it.
    pub fn new(pem: &str, certificate_url: &str, origid: &str) -> Result<Self, String> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("is no private key in PEM: {error}"))?;
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let key = match &key {
            PrivateKeyDer::Pkcs8(key) => {
                EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der())
            }
            PrivateKeyDer::Sec1(key) => {
                EcdsaKeyPair::from_private_key_der(algorithm, key.secret_sec1_der())
            }
            _ => return Err("is no key on the curve P-256, which ES256 needs".to_owned()),
        };
        let key = key.map_err(|_| "is no key on the curve P-256, which ES256 needs".to_owned())?;
        Ok(Self {
            key,
            certificate: None,
            certificate_url: certificate_url.to_owned(),
            origid: origid.to_owned(),
        })
    }

    /// The same with its certificate: outside its days nothing is signed. Or what is wrong with it.
    pub fn with_certificate(mut self, pem: &[u8]) -> Result<Self, String> {
        let certificate = Certificate::read(pem)?;
        if certificate.public_key != self.key.public_key().as_ref() {
            return Err("is the certificate of another key".to_owned());
        }
        self.certificate = Some(certificate);
        Ok(self)
    }

    /// What is wrong with the certificate at this instant, if it is known and anything is.
    #[must_use]
    pub fn certificate_problem(&self, now: Micros) -> Option<String> {
        self.validity()?.problem(now)
    }

    /// From when to when its certificate is valid, if that is known.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        Some(self.certificate.as_ref()?.validity)
    }

    pub(super) fn sign(
        &self,
        orig: Phone,
        dest: Phone,
        attestation: Attestation,
        at: Micros,
    ) -> Result<Passport, Unsigned> {
        if self.certificate_problem(at).is_some() {
            return Err(Unsigned::CertificateOver);
        }
        let issued = at.0.div_euclid(1_000_000);
        let payload = Payload::new(orig, dest, attestation, issued, &self.origid);
        let mut token = payload.to_be_signed(&self.certificate_url)?;
        let signature = self.key.sign(&SystemRandom::new(), token.as_bytes());
        let signature = signature.map_err(|_| Unsigned::Key)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(Passport {
            value: identity_value(&token, &self.certificate_url),
            attestation,
            orig,
            dest,
            issued,
        })
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

    use super::*;
    use crate::passport::token;

    const URL: &str = "https://cert.example/shaken.pem";
    const ORIGID: &str = "4437c7eb-8f7a-4f0e-a863-f53a0e60251a";
    /// 2026-11-18T15:00:00.9Z.
    const AT: Micros = Micros(1_795_014_000_900_000);

    fn phone(text: &str) -> Phone {
        Phone::parse(text).unwrap()
    }

    #[test]
    fn what_is_signed_is_the_text_of_the_rfc_and_the_signature_is_the_keys() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let signer = Signer::new(&pair.serialize_pem(), URL, ORIGID).unwrap();
        let (orig, dest) = (phone("+14045550100"), phone("+493023125900"));
        let passport = signer.sign(orig, dest, Attestation::A, AT).unwrap();
        let (token, params) = passport.value().split_once(';').unwrap();
        assert_eq!(params, format!("info=<{URL}>;alg=ES256;ppt=shaken"));
        let parts: Vec<&str> = token.split('.').collect();
        let text = |part: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        assert_eq!(
            text(parts[0]),
            format!(r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{URL}"}}"#)
        );
        assert_eq!(
            text(parts[1]),
            format!(
                r#"{{"attest":"A","dest":{{"tn":["493023125900"]}},"iat":1795014000,"orig":{{"tn":"14045550100"}},"origid":"{ORIGID}"}}"#
            )
        );
        let signature = URL_SAFE_NO_PAD.decode(parts[2]).unwrap();
        let signed = [parts[0], parts[1]].join(".");
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, signer.key.public_key());
        assert!(key.verify(signed.as_bytes(), &signature).is_ok());
        assert_eq!(passport.issued(), Micros(1_795_014_000_000_000));
        assert_eq!(token::read(passport.value()), Ok(passport.clone()));
        assert!(!format!("{passport:?} {signer:?}").contains("4045550100"));
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        let problem = Signer::new(&other.serialize_pem(), URL, ORIGID).unwrap_err();
        assert!(problem.contains("P-256"), "{problem}");
        let problem = Signer::new("nothing", URL, ORIGID).unwrap_err();
        assert!(problem.contains("no private key"), "{problem}");
    }

    #[test]
    fn outside_the_days_of_the_certificate_nothing_is_signed() {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 11, 1);
        params.not_after = rcgen::date_time_ymd(2051, 2, 3);
        let pem = params.self_signed(&pair).unwrap().pem();
        let signer = || Signer::new(&pair.serialize_pem(), URL, ORIGID).unwrap();
        let with = signer().with_certificate(pem.as_bytes()).unwrap();
        let at = |text: &str| Micros::from(text.parse::<jiff::Timestamp>().unwrap());
        for (instant, told) in [
            ("2026-10-31T23:59:59Z", Some("2026-11-01T00:00:00Z")),
            ("2026-11-01T00:00:00Z", None),
            ("2051-02-03T00:00:00Z", None),
            ("2051-02-03T00:00:01Z", Some("2051-02-03T00:00:00Z")),
        ] {
            let problem = with.certificate_problem(at(instant));
            assert_eq!(problem.is_some(), told.is_some(), "{instant}");
            assert!(problem.is_none_or(|text| text.contains(told.unwrap())));
            let signed = with.sign(
                phone("+14045550100"),
                phone("+14045550101"),
                Attestation::B,
                at(instant),
            );
            assert_eq!(signed.err(), told.map(|_| Unsigned::CertificateOver));
        }
        let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let strange = rcgen::CertificateParams::new(Vec::new()).unwrap();
        let strange = strange.self_signed(&other).unwrap().pem();
        let problem = signer().with_certificate(strange.as_bytes()).unwrap_err();
        assert!(problem.contains("another key"), "{problem}");
        assert!(signer().with_certificate(b"nothing").is_err());
    }
}
