//! A whole house for the command line: the built program serving on an embedded store, a simulated carrier that speaks SIP,
//! and a key for each role. Everything is on loopback and in one temporary folder.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a house that cannot be built fails the test that wanted it"
)]

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use dialgate::sip::{Behaviour, Received, SimulatedCarrier};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

/// How long anything may take that takes a moment.
const PATIENCE: Duration = Duration::from_secs(30);

/// People of the far end. They live in Sydney, on numbers reserved for drama, and agreed in writing to calls at any hour,
/// so that these tests hold at every hour of every day.
pub const ANSWERS: &str = "+61255500041";
pub const BUSY: &str = "+61255500042";
pub const RINGS: &str = "+61255500043";
/// Somebody in Atlanta of whom nothing is recorded.
pub const STRANGER: &str = "+14045550144";

/// What runs, and where its files are.
pub struct House {
    folder: TempDir,
    server: Child,
    address: String,
    carrier: SimulatedCarrier,
    runtime: tokio::runtime::Runtime,
}

impl House {
    pub fn open() -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let carrier = runtime
            .block_on(SimulatedCarrier::start(behaviour))
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("dialgate.toml"),
            configuration(&folder, &carrier),
        )
        .unwrap();
        let (server, address) = serve(&folder);
        let house = Self {
            folder,
            server,
            address,
            carrier,
            runtime,
        };
        for (name, role) in [
            ("agent", "agent"),
            ("administrator", "administrator"),
            ("approver", "approver"),
            ("auditor", "auditor"),
        ] {
            house.make_key(name, role);
        }
        house
    }

    /// Kills the server, as a power cut would, and starts another over the same files.
    pub fn restart(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        (self.server, self.address) = serve(&self.folder);
    }

    /// Runs one command line with the key of this name.
    pub fn run(&self, key: &str, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_words(key, &words, "")
    }

    /// The same for words with spaces inside, and with something on standard input.
    pub fn run_words(&self, key: &str, words: &[&str], input: &str) -> Answer {
        let mut child = self.client(key).args(words).spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(input.as_bytes())
            .unwrap();
        Answer::of(&words.join(" "), child.wait_with_output().unwrap())
    }

    /// A client that is not waited for. `timeout` passes a signal on once (in the foreground) and
    /// ends what hangs, which then fails its test.
    pub fn client(&self, key: &str) -> Command {
        let mut client = without_environment(Command::new("timeout"));
        client.args(["--foreground", "60", env!("CARGO_BIN_EXE_dialgate")]);
        client.env("DIALGATE_SERVER", &self.address);
        if !key.is_empty() {
            client.env(
                "DIALGATE_API_KEY",
                std::fs::read_to_string(self.key_file(key)).unwrap(),
            );
        }
        client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        client
    }

    /// A folder of this name with these files.
    pub fn files(&self, name: &str, files: &[(&str, &str)]) -> String {
        let folder = self.folder.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        for (file, text) in files {
            std::fs::write(folder.join(file), text).unwrap();
        }
        folder.to_str().unwrap().to_owned()
    }

    /// A file in the house that a command is to write.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes one row of the database behind the server's back.
    pub fn change(&self, sql: &'static str) {
        let options = SqliteConnectOptions::new().filename(self.path("house.db"));
        self.runtime.block_on(async {
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            let done = sqlx::query(sql).execute(&mut conn).await.unwrap();
            assert_eq!(done.rows_affected(), 1, "{sql}");
        });
    }

    /// What the carrier got for this number.
    pub fn received(&self, number: &str) -> Received {
        self.carrier.received(number)
    }

    /// Records all that a call to this person in Sydney needs.
    pub fn introduce(&self, number: &str) {
        let today = self.today();
        let contact = format!(
            "contact set {number} --audience consumer --country AU --line-type landline --seller acme --notice n-1 \
             --register au-dncr=clear@{today}"
        );
        self.run("administrator", &contact).code(0);
        let consent = format!(
            "consent record {number} --seller acme --form written --explicit --documented --out-of-hours \
             --period indefinite --evidence form-17"
        );
        self.run("administrator", &consent).code(0);
    }

    /// The date that the server's clock shows, in UTC, as a stored record tells it.
    fn today(&self) -> String {
        let asked = self.run(
            "agent",
            &format!("check {STRANGER} --campaign sydney --json"),
        );
        asked.json()["decided_time"].as_str().unwrap()[..10].to_owned()
    }

    fn make_key(&self, name: &str, role: &str) {
        let made = program()
            .args([
                "admin", "key", "create", "--name", name, "--role", role, "--config",
            ])
            .arg(self.folder.path().join("dialgate.toml"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
        std::fs::write(self.key_file(name), made.stdout).unwrap();
    }

    fn key_file(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.key"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        // It may be gone already, which is what we want.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What a command said, and with which code it ended.
pub struct Answer {
    line: String,
    code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    fn of(line: &str, output: Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Holds if the command ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}\n{}", self.line, self.out, self.err);
        self
    }

    /// Holds if this was said, on either stream.
    #[track_caller]
    pub fn says(self, part: &str) -> Self {
        let said = self.out.contains(part) || self.err.contains(part);
        assert!(
            said,
            "`{part}` is missing\n{}\n{}\n{}",
            self.line, self.out, self.err
        );
        self
    }

    /// Every line as the object it must be.
    #[track_caller]
    pub fn lines(&self) -> Vec<Value> {
        let read =
            |line| serde_json::from_str(line).unwrap_or_else(|problem| panic!("{problem}: {line}"));
        self.out.lines().map(read).collect()
    }

    /// The only object.
    #[track_caller]
    pub fn json(&self) -> Value {
        let lines = self.lines();
        assert_eq!(lines.len(), 1, "{}\n{}\n{}", self.line, self.out, self.err);
        lines.into_iter().next().unwrap()
    }
}

/// The built program.
pub fn program() -> Command {
    without_environment(Command::new(env!("CARGO_BIN_EXE_dialgate")))
}

/// Without what this machine's environment may say.
fn without_environment(mut command: Command) -> Command {
    for variable in [
        "DIALGATE_SERVER",
        "DIALGATE_API_KEY",
        "DIALGATE_CONFIG",
        "DIALGATE_LOG",
    ] {
        command.env_remove(variable);
    }
    command
}

fn behaviour(number: &str) -> Behaviour {
    match number {
        ANSWERS => Behaviour::Answer {
            after: Duration::from_millis(100),
            hang_up_after: Some(Duration::from_millis(200)),
        },
        BUSY => Behaviour::busy(),
        _ => Behaviour::RingForever,
    }
}

fn configuration(folder: &TempDir, carrier: &SimulatedCarrier) -> String {
    let folder = folder.path().display();
    let carrier = carrier.addr();
    format!(
        r#"
[store]
url = "sqlite:{folder}/house.db"
key_file = "{folder}/house.key"
max_connections = 4
[grpc]
listen = "127.0.0.1:0"
[sip]
listen = "127.0.0.1:0"
[registry]
folder = "{folder}/registers"
[log]
format = "json"
filter = "info"
[trunk.carrier]
target = "{carrier}"
calls_per_second = 20
burst = 5
channels = 10
[campaign.sydney]
seller = "acme"
destinations = ["AU", "US"]
trunk = "carrier"
caller_ids = [{{ number = "+61255500001", owned = true, callable = true }}]
"#
    )
}

/// A server over the files of this folder, and where it serves.
fn serve(folder: &TempDir) -> (Child, String) {
    let mut server = program()
        .args(["serve", "--config"])
        .arg(folder.path().join("dialgate.toml"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let address = format!("http://{}", address(&mut server));
    (server, address)
}

/// Reads the log until the server says where it serves, and goes on reading so that it never waits for us.
fn address(server: &mut Child) -> String {
    let log = BufReader::new(server.stderr.take().unwrap());
    let (found, wanted) = mpsc::channel();
    std::thread::spawn(move || {
        let mut seen = Vec::new();
        for line in log.lines().map_while(Result::ok) {
            let entry: Value = serde_json::from_str(&line).unwrap_or(Value::Null);
            if let Some(address) = entry["grpc"].as_str() {
                let _ = found.send(Ok(address.to_owned()));
            }
            seen.push(line);
        }
        // The log ended, so the server did; whoever waits for its address learns why.
        let _ = found.send(Err(seen.join("\n")));
    });
    match wanted.recv_timeout(PATIENCE) {
        Ok(Ok(address)) => address,
        Ok(Err(log)) => panic!("the server ended:\n{log}"),
        Err(_) => panic!("the server did not say where it serves"),
    }
}
