//! Processes that are measured: nodes as `dialgate serve` runs them, and parts that this program plays itself. Each ends with
//! the value that stands for it.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use super::home::Home;
use super::{free_port, free_udp_port, scene};

pub struct Process {
    child: Child,
    pub port: u16,
}

impl Process {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// This program in another part; it gets a port to serve on first.
    pub fn play(part: &str, arguments: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(std::env::current_exe().unwrap())
            .arg(part)
            .arg(port.to_string())
            .args(arguments)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a node is given beside its store.
pub struct Settings {
    /// Where its calls go.
    pub carrier: SocketAddr,
    /// New calls a second, and how many may start at once after a pause.
    pub pace: (u32, u32),
    /// Calls that may wait.
    pub queue_max: u32,
    /// Timer T1 in milliseconds: a call that is over lingers for 64 of them, and T4.
    pub t1_ms: u64,
}

impl Settings {
    /// As fast as it can.
    pub fn towards(carrier: SocketAddr) -> Self {
        Self {
            carrier,
            pace: (1_000, 100),
            queue_max: 1_000,
            t1_ms: 500,
        }
    }
}

/// A node on this store, its calls going to `carrier`; and a key of an agent.
pub fn serve(home: &Home, carrier: SocketAddr) -> (Process, String) {
    let (process, _, key) = serve_with(home, &Settings::towards(carrier));
    (process, key)
}

/// The same with these settings, and the port of its console.
pub fn serve_with(home: &Home, settings: &Settings) -> (Process, u16, String) {
    let (port, console) = (free_port(), free_port());
    let config = home.folder.path().join("dialgate.toml");
    let text = format!(
        r#"
[store]
url = "{url}"
key_file = "{key_file}"
max_connections = 8
[grpc]
listen = "127.0.0.1:{port}"
requests_per_connection_max = 4096
[console]
listen = "127.0.0.1:{console}"
[sip]
listen = "127.0.0.1:{sip}"
t1_ms = {t1_ms}
t4_ms = {t4_ms}
[trunk.{trunk}]
target = "{carrier}"
calls_per_second = {calls_per_second}
burst = {burst}
channels = 1000
queue_max = {queue_max}
[campaign.{campaign}]
seller = "{seller}"
destinations = ["AU", "US", "GB", "DE", "FR"]
trunk = "{trunk}"
caller_ids = [{{ number = "{caller_id}", owned = true, callable = true }}]
"#,
        url = home.config.url,
        key_file = home.config.key_file.display(),
        sip = free_udp_port(),
        t1_ms = settings.t1_ms,
        t4_ms = settings.t1_ms * 10,
        trunk = scene::TRUNK,
        carrier = settings.carrier,
        calls_per_second = settings.pace.0,
        burst = settings.pace.1,
        queue_max = settings.queue_max,
        campaign = scene::CAMPAIGN,
        seller = scene::SELLER,
        caller_id = scene::CALLER_ID,
    );
    std::fs::write(&config, text).unwrap();
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dialgate"));
        for variable in ["DIALGATE_SERVER", "DIALGATE_API_KEY", "DIALGATE_LOG"] {
            command.env_remove(variable);
        }
        command.env("DIALGATE_CONFIG", &config).stdin(Stdio::null());
        command
    };
    let made = program()
        .args([
            "admin", "key", "create", "--name", "agent", "--role", "agent",
        ])
        .output()
        .unwrap();
    assert!(
        made.status.success(),
        "{}",
        String::from_utf8_lossy(&made.stderr)
    );
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let log = std::fs::File::create(home.folder.path().join("serve.log")).unwrap();
    let child = program()
        .arg("serve")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    (Process { child, port }, console, key)
}
