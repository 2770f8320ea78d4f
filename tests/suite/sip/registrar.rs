//! A Kamailio that is a carrier's edge: it gives a sign of life by every transport and keeps addresses.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dialgate::sip::{Target, Transport, Unheard};
use tokio::net::{TcpListener, TcpStream};

use super::tls::Authority;
use super::*;

/// One that runs, until it is dropped or stopped.
pub struct Edge {
    child: Option<Child>,
    /// Where it takes datagrams and plain connections.
    pub addr: SocketAddr,
    tls_addr: SocketAddr,
    folder: tempfile::TempDir,
}

/// What it is to do.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// How long it keeps an address at most, in seconds.
    pub expires: u32,
    /// Who asks for less is told to ask for so much.
    pub least: u32,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Edge {
    /// Nothing if it is not installed, which is a failure in CI.
    pub async fn start(keeps: Keeps, own: Option<&(PathBuf, PathBuf)>) -> Option<Self> {
        if !Path::new("/usr/sbin/kamailio").exists() {
            assert!(
                std::env::var_os("CI").is_none(),
                "Kamailio is not installed: install kamailio and kamailio-tls-modules"
            );
            eprintln!(
                "skipped: Kamailio is not installed (package kamailio), nothing was shown here"
            );
            return None;
        }
        let (one, other) = (free().await, free().await);
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = own.cloned().unwrap_or_default();
        let text = include_str!("../../fixtures/sip/registrar.cfg")
            .replace("@TLS_PORT@", &other.port().to_string())
            .replace("@TLS@", if own.is_some() { "" } else { "#" })
            .replace("@PORT@", &one.port().to_string())
            .replace("@EXPIRES@", &keeps.expires.to_string())
            .replace("@LEAST@", &keeps.least.to_string())
            .replace("@CERTIFICATE@", &certificate.display().to_string())
            .replace("@KEY@", &key.display().to_string());
        std::fs::write(folder.path().join("kamailio.cfg"), text).unwrap();
        let mut edge = Self {
            child: None,
            addr: one,
            tls_addr: other,
            folder,
        };
        edge.again().await;
        Some(edge)
    }

    /// Starts it anew, at the same place and without any memory.
    pub async fn again(&mut self) {
        self.stop();
        let folder = self.folder.path();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .unwrap();
        let child = Command::new("kamailio")
            .arg("-f")
            .arg(folder.join("kamailio.cfg"))
            .args([
                "-DD", "-E", "-m", "32", "-M", "8", "-n", "1", "-N", "1", "-Y",
            ])
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
        for _ in 0..1_000 {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().unwrap());
            assert!(
                ended.is_none(),
                "Kamailio ended at once: {ended:?}\n{}",
                self.log()
            );
            if TcpStream::connect(self.addr).await.is_ok() {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("Kamailio did not open its port:\n{}", self.log());
    }

    /// Its first process ends the others on this signal alone.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// How many lines of its log say this.
    pub fn said(&self, what: &str) -> usize {
        self.log()
            .lines()
            .filter(|line| line.contains(what))
            .count()
    }
}

async fn free() -> SocketAddr {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    probe.local_addr().unwrap()
}

#[tokio::test]
async fn a_server_gives_a_sign_of_life_by_every_transport_and_none_when_it_is_gone() {
    let (place, authority) = (Place::new().await, Authority::new());
    let own = authority.issue("sip.carrier.example");
    let keeps = Keeps {
        expires: 600,
        least: 60,
    };
    let Some(mut edge) = Edge::start(keeps, Some(&own)).await else {
        return;
    };
    let plain = |transport| {
        let addr = edge.addr;
        Trunk::new("carrier", Target { transport, addr }, "carrier.example")
    };
    let trunks = [
        plain(Transport::Udp),
        plain(Transport::Tcp),
        authority.trunk("sip.carrier.example", edge.tls_addr, None),
    ];
    for trunk in &trunks {
        let heard = place.endpoint.options(trunk, Duration::from_secs(10)).await;
        let heard = heard.unwrap_or_else(|why| panic!("{}: {why:?}\n{}", trunk.target, edge.log()));
        assert_eq!((heard.code, heard.retry_after), (200, None));
    }
    edge.stop();
    for trunk in &trunks {
        let heard = place
            .endpoint
            .options(trunk, Duration::from_millis(600))
            .await;
        let why = heard.unwrap_err();
        assert!(matches!(why, Unheard::TimedOut | Unheard::Lost), "{why:?}");
    }
    edge.again().await;
    for trunk in &trunks {
        // A connection that could not be made is tried again after a pause.
        let heard = place.endpoint.options(trunk, Duration::from_secs(20)).await;
        assert_eq!(heard.map(|heard| heard.code), Ok(200), "{}", trunk.target);
    }
}
