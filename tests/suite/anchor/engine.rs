//! A real media engine: rtpengine in user space, on loopback, for one test.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};

pub struct Engine {
    child: Child,
    pub addr: SocketAddr,
}

impl Engine {
    /// Starts it. Nothing if rtpengine is not installed, which is a failure in CI.
    pub async fn start() -> Option<Self> {
        let known = Command::new("rtpengine")
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if known.is_err() {
            assert!(
                std::env::var_os("CI").is_none(),
                "rtpengine is not installed: install rtpengine-daemon"
            );
            eprintln!(
                "skipped: rtpengine is not installed (package rtpengine-daemon), nothing was shown here"
            );
            return None;
        }
        // Whoever else looks for a free port may take this one first.
        for _ in 0..5 {
            let probe = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let addr = probe.local_addr().unwrap();
            drop(probe);
            if let Some(engine) = Self::at(addr).await {
                return Some(engine);
            }
        }
        panic!("rtpengine did not start");
    }

    /// Without the kernel's part, whose table cannot be had everywhere; ports below those that the system gives to others; one
    /// thread, for two may pass packets on in another order than they came.
    async fn at(addr: SocketAddr) -> Option<Self> {
        let child = Command::new("rtpengine")
            .args(["--config-file=none", "--table=-1", "--foreground"])
            .args(["--log-stderr", "--log-level=3", "--num-threads=1"])
            .args(["--port-min=20000", "--port-max=29999"])
            .arg(format!("--interface={}", own_address()))
            .arg(format!("--listen-ng={addr}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut engine = Self { child, addr };
        for _ in 0..500 {
            if engine.child.try_wait().unwrap().is_some() {
                return None;
            }
            if engine.asked("d7:command4:pinge").await.contains("4:pong") {
                return Some(engine);
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("rtpengine runs and does not answer");
    }

    /// What it answers to this, in bencode; nothing if it does not.
    pub async fn asked(&self, body: &str) -> String {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let cookie = uuid::Uuid::new_v4().simple().to_string();
        let request = format!("{cookie} {body}");
        let mut answer = vec![0; 65_535];
        let heard = async {
            socket.send_to(request.as_bytes(), self.addr).await?;
            socket.recv(&mut answer).await
        };
        match timeout(Duration::from_millis(500), heard).await {
            Ok(Ok(length)) => String::from_utf8_lossy(&answer[..length]).into_owned(),
            _ => String::new(),
        }
    }

    /// How many sessions it keeps.
    pub async fn sessions(&self) -> usize {
        let listed = self.asked("d7:command4:liste").await;
        assert!(listed.contains("5:calls"), "{listed}");
        // Each is named by a UUID.
        listed.matches("36:").count()
    }

    /// It has forgotten all of them, soon.
    pub async fn is_empty(&self) {
        for _ in 0..500 {
            if self.sessions().await == 0 {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("the engine keeps {} sessions", self.sessions().await);
    }

    /// Gone, without a word to anybody.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Another loopback address for each engine of this machine: two that share one take each other's ports without an error.
fn own_address() -> Ipv4Addr {
    static ENGINES: AtomicU8 = AtomicU8::new(0);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let place = ENGINES.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 1 + high % 254, low, 2 + place % 250)
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
