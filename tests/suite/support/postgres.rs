//! A throw-away PostgreSQL: one cluster a test process, in a temporary folder, reachable by a Unix socket in that folder
//! alone; one database a test. It ends with the process, however that ends.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long the server may take to start, in steps.
const STEP: Duration = Duration::from_millis(50);
const STEPS: u32 = 1200;

/// A new, empty database as a URL; none where PostgreSQL is not installed, which in CI is a failure.
pub fn database() -> Option<String> {
    static COUNT: AtomicU32 = AtomicU32::new(1);
    let cluster = cluster()?;
    let name = format!("test_{}", COUNT.fetch_add(1, Ordering::SeqCst));
    cluster.run("createdb", &[&name]);
    Some(format!(
        "postgres://postgres@localhost/{name}?host={}",
        cluster.folder.display()
    ))
}

struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    /// A shell that waits for the end of its input, which is the end of this process, and stops the server then, without
    /// the checkpoint that nobody will need.
    _watch: Child,
}

fn cluster() -> Option<&'static Cluster> {
    static CLUSTER: OnceLock<Option<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| newest_programs().map(Cluster::start))
        .as_ref()
}

/// The folder of the newest server programs; Debian keeps one a version.
pub fn newest_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .filter(|(version, folder)| *version >= 15 && folder.join("initdb").exists())
        .collect();
    found.sort();
    if found.is_empty() {
        let told = "PostgreSQL 15 or newer is not installed (no /usr/lib/postgresql/*/bin/initdb): ./tests/run installs it";
        assert!(std::env::var_os("CI").is_none(), "{told}");
        eprintln!("skipped: {told}");
    }
    found.pop().map(|(_, folder)| folder)
}

impl Cluster {
    fn start(programs: PathBuf) -> Self {
        // Not under TMPDIR: the path of a socket may have 107 bytes at most.
        let folder = tempfile::Builder::new()
            .prefix("dialgate-pg-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        if is_root() {
            // The server refuses to run as root.
            done(Command::new("chown").arg("postgres").arg(&folder), "chown");
        }
        let data = folder.join("data");
        let initdb = [
            "-D",
            text(&data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ];
        done(
            as_user(&programs.join("initdb"))
                .args(initdb)
                .stdout(Stdio::null()),
            "initdb",
        );
        let watch = Self::watch(&programs, &folder, &data);
        let cluster = Self {
            programs,
            folder,
            _watch: watch,
        };
        let mut steps = 0;
        while !cluster
            .command("pg_isready")
            .arg("-q")
            .status()
            .unwrap()
            .success()
        {
            steps += 1;
            let log = cluster.folder.join("log");
            assert!(
                steps < STEPS,
                "PostgreSQL did not start: see {}",
                log.display()
            );
            std::thread::sleep(STEP);
        }
        cluster
    }

    fn watch(programs: &Path, folder: &Path, data: &Path) -> Child {
        let script = r#"folder=$1; shift; "$@" </dev/null >"$folder/log" 2>&1 & server=$!
            cat >/dev/null; kill -QUIT $server; wait $server; rm -rf "$folder""#;
        let mut server = as_user(Path::new("sh"));
        server
            .args(["-c", script, "watch", text(folder)])
            .arg(programs.join("postgres"));
        server.args([
            "-D",
            text(data),
            "-k",
            text(folder),
            "-c",
            "listen_addresses=",
            "-c",
            "max_connections=300",
        ]);
        server
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.args(["-h", text(&self.folder), "-U", "postgres"]);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        done(self.command(program).args(arguments), program);
    }
}

pub fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout.trim_ascii() == b"0"
}

/// The program as a user who may run the server.
pub fn as_user(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid=postgres",
            "--regid=postgres",
            "--clear-groups",
            "--",
        ])
        .arg(program);
    command.current_dir("/");
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

pub fn done(command: &mut Command, what: &str) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(
        output.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
