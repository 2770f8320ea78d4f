//! Calls over TLS: whom we talk to is known, or no INVITE leaves; against a far end of our own and against Kamailio.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dialgate::sip::{Credentials, Host, Peer, Target, TlsFiles, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig, crypto};

use super::sipp::Sipp;
use super::streams::{Far, bye, line, reply};
use super::*;

const NUMBER: &str = "+14045550148";

/// Who vouches for certificates, and where they lie.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A certificate for this name, in `NAME.pem` and `NAME.key`.
    pub fn issue(&self, name: &str) -> (PathBuf, PathBuf) {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let paths = (
            self.path(&format!("{name}.pem")),
            self.path(&format!("{name}.key")),
        );
        std::fs::write(&paths.0, certificate.pem()).unwrap();
        std::fs::write(&paths.1, key.serialize_pem()).unwrap();
        paths
    }

    /// The trunk to a far end of this name at this address.
    pub(super) fn trunk(
        &self,
        name: &str,
        addr: SocketAddr,
        own: Option<&(PathBuf, PathBuf)>,
    ) -> Trunk {
        let files = TlsFiles {
            ca_file: Some(self.path("ca.pem")),
            cert_file: own.map(|(certificate, _)| certificate.clone()),
            key: own.map(|(_, key)| std::fs::read_to_string(key).unwrap().into()),
        };
        let credentials = Credentials::read(&files).unwrap();
        let host = match name.parse() {
            Ok(ip) => Host::Ip(ip),
            Err(_) => Host::Name(name.to_owned()),
        };
        let transport = Transport::Tls;
        Trunk {
            peer: Arc::new(Peer::new(&host, Some(credentials), None).unwrap()),
            ..Trunk::new("carrier", Target { transport, addr }, "carrier.example")
        }
    }
}

/// A far end with this certificate; it wants one too if somebody is to vouch for that.
async fn serve(
    own: &(PathBuf, PathBuf),
    wants: Option<&Path>,
) -> (TcpListener, TlsAcceptor, SocketAddr) {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let chain = vec![CertificateDer::from_pem_file(&own.0).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&own.1).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = match wants {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            roots
                .add(CertificateDer::from_pem_file(path).unwrap())
                .unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let config = config.with_single_cert(chain, key).unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, TlsAcceptor::from(Arc::new(config)), addr)
}

async fn accept(
    (listener, acceptor): (&TcpListener, &TlsAcceptor),
) -> std::io::Result<Far<tokio_rustls::server::TlsStream<TcpStream>>> {
    let (stream, _) = timeout(PATIENCE, listener.accept())
        .await
        .expect("a connection")
        .unwrap();
    let stream = timeout(PATIENCE, acceptor.accept(stream))
        .await
        .expect("a handshake")?;
    Ok(Far::new(stream))
}

#[tokio::test]
async fn a_call_over_tls_and_two_certificates() {
    let (place, authority) = (Place::new().await, Authority::new());
    let theirs = authority.issue("sip.carrier.example");
    let ours = authority.issue("dialgate.example");
    for mutual in [false, true] {
        let wants = mutual.then(|| authority.path("ca.pem"));
        let (listener, acceptor, addr) = serve(&theirs, wants.as_deref()).await;
        let trunk = authority.trunk("sip.carrier.example", addr, mutual.then_some(&ours));
        let mut call = place.dial(NUMBER, trunk);
        let mut far = accept((&listener, &acceptor)).await.unwrap();
        let contact = format!("sip:{addr};transport=tls");
        let invite = far.answer(&contact).await;
        assert!(
            line(&invite, "Via").unwrap().starts_with("SIP/2.0/TLS "),
            "{invite}"
        );
        assert!(
            line(&invite, "Contact")
                .unwrap()
                .ends_with(";transport=tls>"),
            "{invite}"
        );
        call.until("answered").await;
        match mutual {
            true => far.say(&bye(&invite, "TLS")).await,
            false => {
                call.hang_up(HangUpCause::Client).await;
                let bye = far.expect("BYE").await;
                far.say(&reply(&bye, "200 OK", &contact, "")).await;
            }
        }
        assert_eq!(call.ending().await.outcome, Outcome::Answered);
    }
}

/// The address of a numeric target stands for its name.
#[tokio::test]
async fn a_certificate_for_an_address() {
    let (place, authority) = (Place::new().await, Authority::new());
    let theirs = authority.issue("127.0.0.1");
    let (listener, acceptor, addr) = serve(&theirs, None).await;
    let mut call = place.dial(NUMBER, authority.trunk("127.0.0.1", addr, None));
    let mut far = accept((&listener, &acceptor)).await.unwrap();
    far.answer(&format!("sip:{addr};transport=tls")).await;
    call.until("answered").await;
}

#[tokio::test]
async fn no_invite_leaves_for_a_far_end_that_cannot_show_who_it_is() {
    let (place, authority, stranger) = (Place::new().await, Authority::new(), Authority::new());
    let theirs = authority.issue("sip.carrier.example");
    let strange = stranger.issue("sip.carrier.example");
    let ca = authority.path("ca.pem");
    for (name, shown, wants) in [
        ("sip.other.example", &theirs, None),
        ("127.0.0.1", &theirs, None),
        ("sip.carrier.example", &strange, None),
        // It wants a certificate, and we have none.
        ("sip.carrier.example", &theirs, Some(ca.as_path())),
    ] {
        let (listener, acceptor, addr) = serve(shown, wants).await;
        let mut call = place.dial(NUMBER, authority.trunk(name, addr, None));
        let far = accept((&listener, &acceptor)).await;
        match far {
            Ok(mut far) => assert_eq!(far.hear().await, None, "{name}"),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        let ending = call.ending().await;
        assert_eq!(
            (ending.outcome, ending.retry),
            (Outcome::Unreachable, Retry::Trunk),
            "{name}"
        );
    }
    // One that speaks no TLS at all.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut call = place.dial(NUMBER, authority.trunk("sip.carrier.example", addr, None));
    let (stream, _) = listener.accept().await.unwrap();
    let mut far = Far::new(stream);
    far.say("SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(call.ending().await.outcome, Outcome::Unreachable);
}

/// A Kamailio that takes calls over TLS and records its route, with SIPp behind it over UDP.
struct Kamailio {
    child: Child,
    addr: SocketAddr,
    folder: tempfile::TempDir,
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // Its first process ends the others on this signal alone.
        let id = self.child.id().to_string();
        let _ = Command::new("kill").arg(id).status();
        let _ = self.child.wait();
    }
}

impl Kamailio {
    /// Nothing if it is not installed, which is a failure in CI.
    async fn before(callee: SocketAddr, own: &(PathBuf, PathBuf)) -> Option<Self> {
        let has_tls = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"]
            .iter()
            .any(|folder| Path::new(folder).join("kamailio/modules/tls.so").exists());
        if !has_tls {
            assert!(
                std::env::var_os("CI").is_none(),
                "Kamailio with TLS is not installed: install kamailio and kamailio-tls-modules"
            );
            eprintln!(
                "skipped: Kamailio is not installed (packages kamailio, kamailio-tls-modules), nothing was shown here"
            );
            return None;
        }
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = probe.local_addr().unwrap();
        drop(probe);
        let folder = tempfile::tempdir().unwrap();
        let text = include_str!("../../fixtures/sip/kamailio.cfg")
            .replace("@PORT@", &addr.port().to_string())
            .replace("@CALLEE@", &callee.to_string())
            .replace("@CERTIFICATE@", &own.0.display().to_string())
            .replace("@KEY@", &own.1.display().to_string());
        let config = folder.path().join("kamailio.cfg");
        std::fs::write(&config, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("kamailio")
            .arg("-f")
            .arg(&config)
            .args([
                "-DD", "-E", "-m", "32", "-M", "8", "-n", "1", "-N", "1", "-Y",
            ])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut kamailio = Self {
            child,
            addr,
            folder,
        };
        for _ in 0..1_000 {
            let ended = kamailio.child.try_wait().unwrap();
            assert!(
                ended.is_none(),
                "Kamailio ended at once: {ended:?}\n{}",
                kamailio.log()
            );
            if TcpStream::connect(addr).await.is_ok() {
                return Some(kamailio);
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("Kamailio did not open its port:\n{}", kamailio.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// The INVITE, the ACK and the BYE all go by the proxy's own route, over the one connection, and its requests come by it.
#[tokio::test]
async fn calls_through_kamailio() {
    let (place, authority) = (Place::new().await, Authority::new());
    let own = authority.issue("sip.carrier.example");
    for (scenario, by) in [
        ("sipp/answer_waits.xml", EndedBy::Us),
        ("sipp/answer_hangs_up.xml", EndedBy::Peer),
    ] {
        let Some(mut sipp) = Sipp::play(scenario, "", "Supported: replaces") else {
            return;
        };
        let Some(kamailio) = Kamailio::before(sipp.addr, &own).await else {
            return;
        };
        let trunk = authority.trunk("sip.carrier.example", kamailio.addr, None);
        let mut call = place.dial(NUMBER, trunk);
        call.until("answered").await;
        if by == EndedBy::Us {
            call.hang_up(HangUpCause::Client).await;
        }
        let ending = call.ending().await;
        assert_eq!(
            (ending.outcome, ending.by),
            (Outcome::Answered, by),
            "{}",
            kamailio.log()
        );
        sipp.is_content().await;
    }
}
