//! What is needed to be connected to one destination beside its address: certificates, the name that its own must bear, how
//! often it is asked for a sign of life. A [`Hop`] is where one message goes, or came from.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use super::target::{Host, Target, Transport};
use crate::passport::Validity;

/// Files that a trunk's TLS is made of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// Certificates that vouch for the carrier's; absent = those of the system.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate and those between it and its root, if the carrier asks for one.
    pub cert_file: Option<PathBuf>,
    /// The text of its private key, read from a file that nobody else may read.
    pub key: Option<zeroize::Zeroizing<String>>,
}

/// The TLS of one trunk, before it is known whom it is for.
#[derive(Clone)]
pub struct Credentials {
    config: Arc<ClientConfig>,
    /// From when to when our own certificate is valid, if there is one.
    own: Option<Validity>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Credentials {
    /// Reads the files; each problem names its key.
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let roots = roots(files.ca_file.as_deref()).unwrap_or_else(|problem| {
            problems.push(problem);
            RootCertStore::empty()
        });
        let own = match (&files.cert_file, &files.key) {
            (Some(path), Some(key)) => {
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                    .map_err(|error| format!("key_file: is no private key in PEM: {error}"));
                match (certificates("cert_file", path), key) {
                    (Ok(certificates), Ok(key)) => Some((certificates, key)),
                    (certificates, key) => {
                        problems.extend(certificates.err());
                        problems.extend(key.err());
                        None
                    }
                }
            }
            (None, None) => None,
            _ => {
                problems.push("cert_file and key_file: set both or neither".to_owned());
                None
            }
        };
        if !problems.is_empty() {
            return Err(problems);
        }
        let validity = own
            .as_ref()
            .and_then(|(certificates, _)| Validity::of(certificates.first()?));
        client(roots, own)
            .map(|config| Self {
                config: Arc::new(config),
                own: validity,
            })
            .map_err(|problem| vec![problem])
    }
}

/// TLS 1.2 and 1.3 with the ciphers that `rustls` holds safe; whatever provider the process has, this is aws-lc.
fn client(
    roots: RootCertStore,
    own: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("target: TLS cannot be used here: {error}"))?
        .with_root_certificates(roots);
    match own {
        None => Ok(builder.with_no_client_auth()),
        Some((certificates, key)) => builder
            .with_client_auth_cert(certificates, key)
            .map_err(|error| format!("cert_file and key_file: cannot be used together: {error}")),
    }
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(path) => {
            for certificate in certificates("ca_file", path)? {
                let bad = |error| {
                    format!(
                        "ca_file: `{}` holds a certificate that cannot be used: {error}",
                        path.display()
                    )
                };
                roots.add(certificate).map_err(bad)?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    match roots.is_empty() {
        false => Ok(roots),
        true => Err("ca_file: the system has no root certificates, install `ca-certificates` or name a file".to_owned()),
    }
}

fn certificates(key: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let text =
        std::fs::read(path).map_err(|error| format!("{key}: cannot read `{shown}`: {error}"))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{key}: `{shown}` holds no certificate in PEM")),
        Err(error) => Err(format!("{key}: `{shown}` is no PEM: {error}")),
    }
}

/// How to be connected to one destination. Two of them are never the same, were they made alike: each has its own connections.
#[derive(Debug, Default)]
pub struct Peer {
    pub(super) tls: Option<(Credentials, ServerName<'static>)>,
    pub(super) keep_alive: Option<Duration>,
}

impl PartialEq for Peer {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Peer {}

impl Peer {
    /// A destination with this host. Its certificate must bear that name or address: RFC 5922 section 7.1.
    pub fn new(
        host: &Host,
        credentials: Option<Credentials>,
        keep_alive: Option<Duration>,
    ) -> Result<Self, String> {
        let name = match host {
            Host::Ip(ip) => ServerName::from(ip.to_canonical()),
            Host::Name(name) => ServerName::try_from(name.trim_end_matches('.').to_owned())
                .map_err(|_| format!("`{name}` is no name that a certificate could bear"))?,
        };
        let tls = credentials.map(|credentials| (credentials, name));
        Ok(Self { tls, keep_alive })
    }

    /// Whether TLS can be used.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// From when to when the certificate is valid that we show there, if there is one.
    #[must_use]
    pub fn own_validity(&self) -> Option<Validity> {
        self.tls.as_ref()?.0.own
    }

    /// A handshake that has not begun.
    pub(super) fn client(&self) -> Option<Result<rustls::ClientConnection, rustls::Error>> {
        let (credentials, name) = self.tls.as_ref()?;
        let config = Arc::clone(&credentials.config);
        Some(rustls::ClientConnection::new(config, name.clone()))
    }
}

/// One connection of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LinkId(pub(super) u64);

/// Where a message goes, or came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hop {
    /// A datagram.
    Udp(SocketAddr),
    /// The one connection to this target, opened if there is none.
    Stream(Target, Arc<Peer>),
    /// The connection that a message came by.
    Link(LinkId, Target),
}

impl Hop {
    pub(super) fn target(&self) -> Target {
        match self {
            Self::Udp(addr) => Target::from(*addr),
            Self::Stream(target, _) | Self::Link(_, target) => *target,
        }
    }

    pub(super) fn transport(&self) -> Transport {
        self.target().transport
    }

    pub(super) fn is_stream(&self) -> bool {
        self.transport().is_stream()
    }
}
