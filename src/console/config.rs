//! Where the console listens, its bounds, and who may send consents: sections `[console]` and `[consent_source.NAME]`.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::domain::consent::{ConsentForm, SOURCE_CHARS_MAX};
use crate::domain::not_plain;
use crate::secret;

/// Where the console listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleConfig {
    /// Address and port, on loopback; port 0 = any free one.
    pub listen: SocketAddr,
    /// Connections at once; further ones wait to be taken.
    pub connections_max: usize,
    /// Requests at once, over all connections; further ones are refused with 429.
    pub requests_max: usize,
    /// How long a request may take, from its first byte to its answer.
    pub request_timeout_seconds: u64,
    /// Largest body taken.
    pub body_bytes_max: usize,
    /// Who may send consents.
    #[serde(skip)]
    pub sources: Vec<ConsentSource>,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            connections_max: 256,
            requests_max: 64,
            request_timeout_seconds: 10,
            body_bytes_max: 64 * 1024,
            sources: Vec::new(),
        }
    }
}

impl ConsoleConfig {
    /// Everything that is wrong with the section, each problem with its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.listen.ip().is_loopback() {
            problems.push(format!(
                "listen: `{}` can be reached from other machines and the console speaks no TLS; listen on 127.0.0.1 and put a \
                 proxy with TLS in front",
                self.listen
            ));
        }
        for (name, value, most) in [
            ("connections_max", self.connections_max, CONNECTIONS_MAX),
            ("requests_max", self.requests_max, CONNECTIONS_MAX),
        ] {
            if !(1..=most).contains(&value) {
                problems.push(format!("{name}: is {value}, set 1 to {most}"));
            }
        }
        let seconds = self.request_timeout_seconds;
        if !(1..=TIMEOUT_MAX).contains(&seconds) {
            let problem = format!("request_timeout_seconds: is {seconds}, set 1 to {TIMEOUT_MAX}");
            problems.push(problem);
        }
        if !(BODY_BYTES_MIN..=BODY_BYTES_MAX).contains(&self.body_bytes_max) {
            problems.push(format!(
                "body_bytes_max: is {}, set {BODY_BYTES_MIN} to {BODY_BYTES_MAX}",
                self.body_bytes_max
            ));
        }
        problems.extend(shared_secrets(&self.sources));
        problems
    }
}

/// More sockets than this a process rarely has.
const CONNECTIONS_MAX: usize = 10_000;
/// Whoever waits longer has gone.
const TIMEOUT_MAX: u64 = 300;
/// Every field at its longest, in four-byte characters.
const BODY_BYTES_MIN: usize = 16 * 1024;
/// What all requests at once may hold in memory stays small.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Signatures do not name their source: under one secret, what one form sent could be sent again as another's.
fn shared_secrets(sources: &[ConsentSource]) -> Vec<String> {
    let mut problems = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let before = sources.iter().take(index);
        if let Some(other) = before.clone().find(|other| other.secret == source.secret) {
            problems.push(format!(
                "sources `{}` and `{}` have the same secret; make one for each",
                other.name, source.name
            ));
        }
    }
    problems
}

/// A web form, or whatever sends consents, as the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentSourceConfig {
    /// File with the secret that it signs under.
    pub secret_file: PathBuf,
    /// Towards which seller the people consent.
    pub seller: String,
    /// How they express it.
    #[serde(default = "web_form")]
    pub form: ConsentForm,
}

fn web_form() -> ConsentForm {
    ConsentForm::WebForm
}

/// Guessed by nobody, however long somebody tries: 128 bits in hexadecimal.
const SECRET_CHARS_MIN: usize = 32;

impl ConsentSourceConfig {
    /// The source of this name, with its secret; or everything that is wrong with it.
    pub fn source(&self, name: &str) -> Result<ConsentSource, Vec<String>> {
        let mut problems = Vec::new();
        if let Some(problem) = not_plain(name, SOURCE_CHARS_MAX) {
            problems.push(format!("the name {problem}"));
        }
        if self.seller.trim().is_empty() {
            problems.push("seller: is empty; name the seller as campaigns do".to_owned());
        }
        let secret = match secret::read("secret_file", &self.secret_file) {
            Ok(secret) if secret.chars().count() < SECRET_CHARS_MIN => {
                problems.push(format!(
                    "secret_file: holds less than {SECRET_CHARS_MIN} characters; `openssl rand -hex 32` makes a secret"
                ));
                None
            }
            Ok(secret) => Some(secret),
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        match secret.filter(|_| problems.is_empty()) {
            Some(secret) => Ok(ConsentSource {
                name: name.to_owned(),
                seller: self.seller.clone(),
                form: self.form,
                secret: SigningSecret(secret),
            }),
            None => Err(problems),
        }
    }
}

/// Who may send consents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentSource {
    /// Name in the configuration, and in the header `Dialgate-Source`.
    pub name: String,
    /// Towards which seller the people consent.
    pub seller: String,
    /// How they express it.
    pub form: ConsentForm,
    /// Under which it signs.
    pub secret: SigningSecret,
}

/// A secret that does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(Zeroizing<String>);

impl SigningSecret {
    /// The secret, for the signature alone.
    pub(super) fn reveal(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_an_open_address_is_refused() {
        assert_eq!(ConsoleConfig::default().problems(), Vec::<String>::new());
        for listen in ["0.0.0.0:8080", "[::]:1", "192.0.2.1:80"] {
            let open = ConsoleConfig {
                listen: listen.parse().unwrap(),
                ..ConsoleConfig::default()
            };
            let problems = open.problems();
            assert!(
                problems.len() == 1 && problems[0].contains("proxy with TLS"),
                "{problems:?}"
            );
        }
    }

    #[test]
    fn every_bound_is_a_bound() {
        let config: ConsoleConfig = toml::from_str(
            "connections_max = 0\nrequests_max = 0\nrequest_timeout_seconds = 0\nbody_bytes_max = 1",
        )
        .unwrap();
        assert_eq!(config.problems().len(), 4, "{:?}", config.problems());
        assert!(toml::from_str::<ConsoleConfig>("lisen = '127.0.0.1:1'").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_is_long_its_own_and_nobody_elses_to_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str, mode| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            ConsentSourceConfig {
                secret_file: path,
                seller: "acme".to_owned(),
                form: ConsentForm::WebForm,
            }
        };
        let long = "0123456789abcdef0123456789abcdef\n";
        let one = file("one", long, 0o600).source("one").unwrap();
        assert!(!format!("{one:?}").contains("0123456789"), "{one:?}");
        let told = |config: ConsentSourceConfig| config.source("x").unwrap_err().join("; ");
        assert!(told(file("loose", long, 0o644)).contains("chmod 600"));
        assert!(told(file("short", "0123456789", 0o600)).contains("openssl rand -hex 32"));
        let two = file("two", long, 0o400).source("two").unwrap();
        let config = ConsoleConfig {
            sources: vec![one, two],
            ..ConsoleConfig::default()
        };
        let problems = config.problems();
        assert!(problems[0].contains("`one` and `two`"), "{problems:?}");
    }
}
