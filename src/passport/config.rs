//! The section `[trunk.NAME.identity]`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use uuid::Uuid;

use super::Vouch;
use super::certificate::Validity;
use super::claims::Unsigned;
use super::service::SigningService;
use super::signer::Signer;
use super::token::is_certificate_url;
use crate::domain::call::Attestation;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::http_client::{HttpClient, Target};
use crate::secret;

/// How long a signing service may take, in milliseconds: less would fail on a slow line, more the agent would hear.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 50..=5_000;

/// Who signs for the calls of a trunk, and how strongly.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// `A`, `B` or `C`: the most that is claimed. A number that its campaign does not call `owned` gets `B` at most.
    pub attest: Attestation,
    /// Which part of the network the call began in (RFC 8588 section 5); a UUID of your own making.
    pub origid: Uuid,
    /// File with the private key, where we sign.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Where whoever verifies finds the key's certificate.
    #[serde(default)]
    pub certificate_url: Option<String>,
    /// The same certificate as a file: then its days are minded.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// The signing service, where that signs: https, or http on this machine.
    #[serde(default)]
    pub service_url: Option<String>,
    /// File with the credential that it is sent as a bearer token.
    #[serde(default)]
    pub credential_file: Option<PathBuf>,
    /// How long it may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
}

fn timeout_ms() -> u64 {
    1_000
}

/// Who signs for the calls of one trunk.
#[derive(Debug)]
pub struct Voucher {
    attest: Attestation,
    by: By,
}

#[derive(Debug)]
enum By {
    Key(Arc<Signer>),
    Service(SigningService),
}

impl IdentityConfig {
    /// Who signs; or everything that is wrong with the section, naming the key.
    pub fn voucher(&self) -> Result<Voucher, Vec<String>> {
        let by = match (&self.key_file, &self.service_url) {
            (Some(path), None) => self.signer(path).map(|signer| By::Key(Arc::new(signer))),
            (None, Some(url)) => self.service(url).map(By::Service),
            _ => Err(vec![
                "key_file and service_url: set one of them, for one of them signs".to_owned(),
            ]),
        };
        by.map(|by| Voucher {
            attest: self.attest,
            by,
        })
    }

    fn signer(&self, path: &Path) -> Result<Signer, Vec<String>> {
        let mut problems = Vec::new();
        if self.credential_file.is_some() {
            problems.push("credential_file: is for a signing service; leave it out".to_owned());
        }
        let url = self.certificate_url.as_deref().unwrap_or_default();
        if !is_certificate_url(url) {
            problems.push(format!(
                "certificate_url: `{url}` is no address at which a certificate is had, write such as `https://host/shaken.pem`"
            ));
        }
        let signer = secret::read("key_file", path).and_then(|key| {
            Signer::new(&key, url, &self.origid.to_string())
                .map_err(|problem| format!("key_file: `{}` {problem}", path.display()))
        });
        let signer = signer.and_then(|signer| match &self.certificate_file {
            None => Ok(signer),
            Some(path) => {
                let shown = path.display();
                let pem = std::fs::read(path)
                    .map_err(|error| format!("certificate_file: cannot read `{shown}`: {error}"))?;
                signer
                    .with_certificate(&pem)
                    .map_err(|problem| format!("certificate_file: `{shown}` {problem}"))
            }
        });
        match signer {
            Ok(signer) if problems.is_empty() => Ok(signer),
            signer => {
                problems.extend(signer.err());
                Err(problems)
            }
        }
    }

    fn service(&self, url: &str) -> Result<SigningService, Vec<String>> {
        let mut problems = Vec::new();
        if self.certificate_url.is_some() || self.certificate_file.is_some() {
            problems.push(
                "certificate_url, certificate_file: the signing service has its own; leave them out"
                    .to_owned(),
            );
        }
        if !TIMEOUT_MS.contains(&self.timeout_ms) {
            problems.push(format!(
                "timeout_ms: is {}, set {} to {}",
                self.timeout_ms,
                TIMEOUT_MS.start(),
                TIMEOUT_MS.end()
            ));
        }
        let target = self.target(url).map_err(|problem| problems.push(problem));
        let client =
            HttpClient::new().map_err(|problem| problems.push(format!("service_url: {problem}")));
        match (target, client) {
            (Ok(target), Ok(client)) if problems.is_empty() => Ok(SigningService {
                client,
                target,
                timeout: Duration::from_millis(self.timeout_ms),
                origid: self.origid.to_string(),
            }),
            _ => Err(problems),
        }
    }

    fn target(&self, url: &str) -> Result<Target, String> {
        let target = Target::parse(url).map_err(|problem| format!("service_url: {problem}"))?;
        let Some(path) = &self.credential_file else {
            return Ok(target);
        };
        let credential = secret::read("credential_file", path)?;
        if credential.is_empty() {
            return Err(format!("credential_file: `{}` is empty", path.display()));
        }
        target
            .with_credential(&credential)
            .map_err(|problem| format!("credential_file: `{}` {problem}", path.display()))
    }
}

impl Voucher {
    /// What a call from and to these numbers has to show. With a key nothing is done yet: it signs when the INVITE is made. A
    /// service is asked here, once, and within its time.
    pub async fn vouch(
        &self,
        orig: Phone,
        dest: Phone,
        is_owned: bool,
        at: Micros,
    ) -> Result<Vouch, Unsigned> {
        let attestation = self.attestation(is_owned);
        match &self.by {
            By::Key(signer) => Ok(Vouch::Key {
                signer: Arc::clone(signer),
                attestation,
            }),
            By::Service(service) => service
                .sign(orig, dest, attestation, at)
                .await
                .map(Vouch::Carried),
        }
    }

    /// Full attestation says that the caller may use this number: of one that is not the seller's own nobody knows it here.
    fn attestation(&self, is_owned: bool) -> Attestation {
        match self.attest {
            Attestation::A if !is_owned => Attestation::B,
            attest => attest,
        }
    }

    /// From when to when the key's certificate is valid, if that is known.
    #[must_use]
    pub fn validity(&self) -> Option<Validity> {
        match &self.by {
            By::Key(signer) => signer.validity(),
            By::Service(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(rest: &str) -> IdentityConfig {
        let text =
            format!("attest = \"A\"\norigid = \"4437c7eb-8f7a-4f0e-a863-f53a0e60251a\"\n{rest}");
        toml::from_str(&text).unwrap()
    }

    fn keys(config: &IdentityConfig) -> Vec<String> {
        let problems = config.voucher().err().unwrap_or_default();
        let key = |problem: &String| problem.split(':').next().unwrap().to_owned();
        problems.iter().map(key).collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        assert_eq!(keys(&section("")), ["key_file and service_url"]);
        let both = "key_file = \"k\"\nservice_url = \"https://s.example/\"";
        assert_eq!(keys(&section(both)), ["key_file and service_url"]);
        assert_eq!(
            keys(&section(
                "key_file = \"/nowhere/k\"\ncredential_file = \"c\""
            )),
            ["credential_file", "certificate_url", "key_file"]
        );
        assert_eq!(
            keys(&section(
                "service_url = \"http://s.example/\"\ncertificate_file = \"c\"\ntimeout_ms = 1"
            )),
            [
                "certificate_url, certificate_file",
                "timeout_ms",
                "service_url"
            ]
        );
        assert!(
            section("service_url = \"https://s.example/\"")
                .voucher()
                .is_ok()
        );
        assert!(toml::from_str::<IdentityConfig>("attest = \"D\"\norigid = \"x\"").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn p21_a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(&path, pair.serialize_pem()).unwrap();
        let with = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let rest = format!(
                "key_file = \"{}\"\ncertificate_url = \"https://c.example/c.pem\"",
                path.display()
            );
            section(&rest).voucher()
        };
        assert!(with(0o640).unwrap_err()[0].contains("chmod 600"));
        let voucher = with(0o600).unwrap();
        assert!(!format!("{voucher:?}").contains("PRIVATE"));
        assert_eq!(voucher.attestation(true), Attestation::A);
        assert_eq!(voucher.attestation(false), Attestation::B);
    }
}
