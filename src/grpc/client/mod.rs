//! The client half of the contract, for the command line and the demo: a connection with its credential, the stubs of all
//! services, a call's events across broken connections, refusals taken apart, messages as JSON.
//!
//! It prints nothing and asks nobody; what a person sees of it is made in `cli`.

mod follow;
pub mod json;
mod refusal;
mod upload;
pub mod words;

use std::net::IpAddr;
use std::time::Duration;

use http::Uri;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::pb::audit_service_client::AuditServiceClient;
use super::pb::call_service_client::CallServiceClient;
use super::pb::consent_service_client::ConsentServiceClient;
use super::pb::contact_service_client::ContactServiceClient;
use super::pb::policy_service_client::PolicyServiceClient;
use super::pb::register_service_client::RegisterServiceClient;
use super::pb::suppression_service_client::SuppressionServiceClient;
use super::pb::trunk_service_client::TrunkServiceClient;
use super::pb::webhook_service_client::WebhookServiceClient;

pub use follow::{Follower, Next};
pub use prost_types::{FieldMask, Timestamp};
pub use refusal::Refusal;
pub use tonic::{Code, Status, Streaming};
pub use upload::pieces;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer takes milliseconds; an opt-out may wait for its barrier (2 s), a decision for a busy store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// A page of 1000 decisions with their cases is larger than tonic's 4 MiB.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// A server, as a person names it.
#[derive(Debug, Clone)]
pub struct Server {
    endpoint: Endpoint,
}

/// Why no connection can be opened that way.
#[derive(Debug, thiserror::Error)]
pub enum ServerProblem {
    /// Not an address at all.
    #[error("expected http://HOST:PORT or https://HOST:PORT")]
    NotAnAddress,
    /// A credential would be readable on the way.
    #[error("the API key would cross the network unencrypted, use https://")]
    Unencrypted,
    /// Certificates for a connection that uses none.
    #[error("certificates are for https://, this address begins with http://")]
    CertificatesUnused,
    /// TLS cannot be set up like this.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[source] tonic::transport::Error),
}

/// The key cannot be a header.
#[derive(Debug, thiserror::Error)]
#[error("not an API key, expected one line that begins with dg_")]
pub struct NotAKey;

/// Nobody answers at the address.
#[derive(Debug, thiserror::Error)]
#[error("no connection")]
pub struct Unreachable(#[source] tonic::transport::Error);

impl Server {
    /// Reads an address. `certificates` (PEM) are trusted for https:// instead of those of the system.
    pub fn parse(address: &str, certificates: Option<&[u8]>) -> Result<Self, ServerProblem> {
        let uri: Uri = address.parse().map_err(|_| ServerProblem::NotAnAddress)?;
        let host = uri.host().unwrap_or_default().to_owned();
        let scheme = uri.scheme_str().unwrap_or_default().to_owned();
        let endpoint = Endpoint::from(uri)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("dialgate/", env!("CARGO_PKG_VERSION")))
            .map_err(|_| ServerProblem::NotAnAddress)?;
        let endpoint = match (scheme.as_str(), certificates) {
            ("https", None) => endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .map_err(ServerProblem::Tls)?,
            ("https", Some(pem)) => endpoint
                .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
                .map_err(ServerProblem::Tls)?,
            ("http", Some(_)) => return Err(ServerProblem::CertificatesUnused),
            ("http", None) if is_loopback(&host) => endpoint,
            ("http", None) => return Err(ServerProblem::Unencrypted),
            _ => return Err(ServerProblem::NotAnAddress),
        };
        Ok(Self { endpoint })
    }

    /// Opens the connection.
    pub async fn connect(&self, bearer: Bearer) -> Result<Client, Unreachable> {
        let channel = self.endpoint.connect().await.map_err(Unreachable)?;
        Ok(Client { channel, bearer })
    }
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

/// What the generated clients run on.
pub type Wire = InterceptedService<Channel, Bearer>;

impl Client {
    /// Calls.
    #[must_use]
    pub fn calls(&self) -> CallServiceClient<Wire> {
        CallServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// The law.
    #[must_use]
    pub fn policy(&self) -> PolicyServiceClient<Wire> {
        PolicyServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(PAGE_BYTES_MAX)
    }

    /// Registers.
    #[must_use]
    pub fn registers(&self) -> RegisterServiceClient<Wire> {
        RegisterServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
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

    /// Webhooks.
    #[must_use]
    pub fn webhooks(&self) -> WebhookServiceClient<Wire> {
        WebhookServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Trunks.
    #[must_use]
    pub fn trunks(&self) -> TrunkServiceClient<Wire> {
        TrunkServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
    }

    /// Decisions.
    #[must_use]
    pub fn audit(&self) -> AuditServiceClient<Wire> {
        AuditServiceClient::with_interceptor(self.channel.clone(), self.bearer.clone())
            .max_decoding_message_size(PAGE_BYTES_MAX)
    }
}

/// Adds the credential to every request. None is allowed here: the server says what it wants.
#[derive(Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// The credential of this API key. A key with a line break or a control byte inside never reaches a header.
    pub fn new(key: &str) -> Result<Self, NotAKey> {
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotAKey);
        }
        let mut value = MetadataValue::try_from(format!("Bearer {key}")).map_err(|_| NotAKey)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }
}

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

/// A request with the time limit of an ordinary question. Not for placing a call: there the server takes the limit for the
/// end of the wish, after which nothing is to be dialed.
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

    #[test]
    fn a_key_never_leaves_the_machine_unencrypted() {
        for good in [
            "http://127.0.0.1:50051",
            "http://localhost:50051",
            "http://[::1]:50051",
            "http://127.1.2.3:1",
        ] {
            assert!(Server::parse(good, None).is_ok(), "{good}");
        }
        for (bad, problem) in [
            ("http://dialgate.example:50051", "use https://"),
            ("http://10.0.0.1:50051", "use https://"),
            ("http://127.0.0.1.example:1", "use https://"),
            ("http://localhost.example:1", "use https://"),
            ("127.0.0.1:50051", "http://HOST:PORT"),
            ("ftp://127.0.0.1:50051", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
        ] {
            let failure = Server::parse(bad, None).unwrap_err().to_string();
            assert!(failure.contains(problem), "{bad}: {failure}");
        }
        let unused = Server::parse("http://127.0.0.1:1", Some(b"")).unwrap_err();
        assert!(matches!(unused, ServerProblem::CertificatesUnused));
    }

    #[test]
    fn a_key_is_one_plain_word_and_does_not_show_itself() {
        let Bearer(value) = Bearer::new("dg_00_11").unwrap();
        let value = value.unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer dg_00_11");
        assert!(!format!("{value:?}").contains("dg_00"));
        for wrong in ["", "dg_00\nx: y", "dg_00 11", "dg_\u{1b}"] {
            assert!(Bearer::new(wrong).is_err(), "{wrong:?}");
        }
    }
}
