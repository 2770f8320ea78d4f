//! The way to a running server: address, TLS, credential. Every client command flattens [`Remote`] into its arguments
//! and gets its stubs from [`Client`].
//!
//! The credential comes from the environment or from a file and is never an argument: arguments are seen by everybody
//! on the machine. It is not sent over an unencrypted connection that leaves the machine.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};
use zeroize::Zeroizing;

use super::failure::{Advised, Usage};
use super::output::Output;
use crate::grpc::pb::audit_service_client::AuditServiceClient;
use crate::grpc::pb::call_service_client::CallServiceClient;
use crate::grpc::pb::consent_service_client::ConsentServiceClient;
use crate::grpc::pb::contact_service_client::ContactServiceClient;
use crate::grpc::pb::suppression_service_client::SuppressionServiceClient;

/// Where the credential is looked for when no file is named.
pub const KEY_VARIABLE: &str = "DIALGATE_API_KEY";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer takes milliseconds; an opt-out may wait for its barrier (2 s), a decision for a busy store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const KEY_FILE_BYTES_MAX: u64 = 4096;
/// A page of 1000 decisions with their cases is larger than tonic's 4 MiB.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// How to reach the server, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "DIALGATE_SERVER",
        default_value = "http://127.0.0.1:50051",
        help_heading = "Connection"
    )]
    pub server: String,
    /// File that holds the API key; without it the key is taken from DIALGATE_API_KEY
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https:// instead of those of the system
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// Print one JSON object a line instead of tables and sentences
    #[arg(long)]
    pub json: bool,
}

impl Remote {
    /// Opens the connection.
    pub async fn connect(&self) -> Result<Client> {
        let endpoint = self.endpoint()?;
        let bearer = Bearer(self.credential()?);
        let channel = endpoint
            .connect()
            .await
            .map_err(|source| Advised {
                problem: format!("cannot reach the server at `{}`", self.server),
                advice: "start it with `dialgate serve`, or name another with --server or DIALGATE_SERVER",
                source: Some(source.into()),
            })?;
        Ok(Client { channel, bearer })
    }

    /// Where this command's answers go.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }

    fn endpoint(&self) -> Result<Endpoint> {
        let wrong = |problem: &str| Usage(format!("--server `{}`: {problem}", self.server));
        let uri: Uri = self
            .server
            .parse()
            .map_err(|_| wrong("not a URL, expected http://HOST:PORT or https://HOST:PORT"))?;
        let host = uri.host().unwrap_or_default().to_owned();
        let endpoint = Endpoint::from(uri.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("dialgate/", env!("CARGO_PKG_VERSION")))?;
        match uri.scheme_str() {
            Some("https") => Ok(endpoint.tls_config(self.trust()?)?),
            Some("http") if self.ca.is_some() => {
                bail!(wrong(
                    "--ca is for https://, this address begins with http://"
                ))
            }
            Some("http") if !is_loopback(&host) => bail!(wrong(
                "the API key would cross the network unencrypted, use https://"
            )),
            Some("http") => Ok(endpoint),
            _ => bail!(wrong("expected http://HOST:PORT or https://HOST:PORT")),
        }
    }

    fn trust(&self) -> Result<ClientTlsConfig> {
        let Some(path) = &self.ca else {
            return Ok(ClientTlsConfig::new().with_native_roots());
        };
        let pem = std::fs::read(path)
            .with_context(|| format!("cannot read --ca `{}`", path.display()))?;
        Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
    }

    /// The `authorization` value. Absent is allowed here: the server says what it wants.
    fn credential(&self) -> Result<Option<MetadataValue<Ascii>>> {
        let (key, place) = match &self.key_file {
            Some(path) => (read_key(path)?, format!("--key-file `{}`", path.display())),
            None => match std::env::var(KEY_VARIABLE) {
                Ok(key) => (Zeroizing::new(key), KEY_VARIABLE.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(None),
                Err(std::env::VarError::NotUnicode(_)) => {
                    bail!(Usage(format!("{KEY_VARIABLE} is not text")))
                }
            },
        };
        let key = key.trim();
        // A line break or a control byte inside the key must not reach a header; its text is not repeated here.
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            bail!(Usage(format!(
                "{place} does not hold an API key, expected one line that begins with dg_"
            )));
        }
        let mut value = MetadataValue::try_from(format!("Bearer {key}"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<String>> {
    let place = || format!("cannot read --key-file `{}`", path.display());
    let length = std::fs::metadata(path).with_context(place)?.len();
    if length > KEY_FILE_BYTES_MAX {
        bail!(Usage(format!(
            "--key-file `{}` has {length} bytes, an API key is one short line",
            path.display()
        )));
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(place)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// An open connection with its credential.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

impl Client {
    /// Calls.
    #[must_use]
    pub fn calls(&self) -> CallServiceClient<Wire> {
        CallServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Opt-outs.
    #[must_use]
    pub fn suppressions(&self) -> SuppressionServiceClient<Wire> {
        SuppressionServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Consents.
    #[must_use]
    pub fn consents(&self) -> ConsentServiceClient<Wire> {
        ConsentServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// People.
    #[must_use]
    pub fn contacts(&self) -> ContactServiceClient<Wire> {
        ContactServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Decisions.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Wire> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(PAGE_BYTES_MAX)
    }
}

/// What the generated clients run on.
pub type Wire = InterceptedService<Channel, Bearer>;

/// Adds the credential to every request.
#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// A request with the time limit of an ordinary question. Not for placing a call: there the server takes the limit for
/// the end of the wish, after which nothing is to be dialed.
pub fn ask<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(ANSWER_TIMEOUT);
    request
}

/// Waits for an answer as long as for an ordinary question, without telling the server.
pub async fn patiently<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    tokio::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(server: &str) -> Remote {
        Remote {
            server: server.to_owned(),
            key_file: None,
            ca: None,
            json: false,
        }
    }

    #[test]
    fn a_key_never_leaves_the_machine_unencrypted() {
        for good in [
            "http://127.0.0.1:50051",
            "http://localhost:50051",
            "http://[::1]:50051",
            "http://127.1.2.3:1",
        ] {
            assert!(remote(good).endpoint().is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("http://dialgate.example:50051", "use https://"),
            ("http://10.0.0.1:50051", "use https://"),
            ("http://127.0.0.1.example:1", "use https://"),
            ("http://localhost.example:1", "use https://"),
            ("127.0.0.1:50051", "http://HOST:PORT"),
            ("ftp://127.0.0.1:50051", "http://HOST:PORT"),
            ("", "not a URL"),
        ] {
            let failure = remote(bad).endpoint().unwrap_err().to_string();
            assert!(failure.contains(problem), "{bad}: {failure}");
        }
        let mut with_ca = remote("http://127.0.0.1:50051");
        with_ca.ca = Some("ca.pem".into());
        assert!(
            with_ca
                .endpoint()
                .unwrap_err()
                .to_string()
                .contains("--ca is for https://")
        );
    }

    #[test]
    fn a_key_comes_from_its_file_and_a_wrong_one_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let mut remote = remote("http://127.0.0.1:50051");
        remote.key_file = Some(file.clone());
        assert!(
            format!("{:#}", remote.credential().unwrap_err()).contains("cannot read --key-file")
        );

        std::fs::write(&file, "dg_00_11\n").unwrap();
        let value = remote.credential().unwrap().unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer dg_00_11");
        assert!(
            !format!("{value:?}").contains("dg_00"),
            "a header that is printed must not show it"
        );

        for wrong in ["", "\n", "dg_secret\nrest", "dg_secret \u{1b}"] {
            std::fs::write(&file, wrong).unwrap();
            let failure = remote.credential().unwrap_err().to_string();
            assert!(
                failure.contains("does not hold an API key") && !failure.contains("secret"),
                "{failure}"
            );
        }
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        assert!(
            remote
                .credential()
                .unwrap_err()
                .to_string()
                .contains("5000 bytes")
        );
    }
}
