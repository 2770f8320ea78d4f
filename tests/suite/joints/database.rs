//! A PostgreSQL of a run's own, durable as delivered, that can be killed and started again, or give way to a standby.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::world::{signal, until};
use crate::support::postgres::{as_user, done, is_root, newest_programs, text};

pub struct Database {
    programs: PathBuf,
    folder: PathBuf,
    /// A shell that waits for the end of its input and stops the server then, so that it ends with this process.
    keeper: Child,
    pid: u32,
    standby: Option<(Child, u32)>,
}

const SOCKET: &str = ".s.PGSQL.5432";

impl Database {
    /// With a synchronous standby: a commit is answered when both have it on disk.
    pub fn create_with_standby() -> Option<Self> {
        let mut database = Self::create()?;
        let folder = database.standby_folder();
        done(as_user(Path::new("mkdir")).arg(&folder), "mkdir");
        let copy = [
            "-h",
            text(&database.folder),
            "-U",
            "postgres",
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
            "-D",
        ];
        done(
            as_user(&database.programs.join("pg_basebackup"))
                .args(copy)
                .arg(folder.join("data")),
            "pg_basebackup",
        );
        database.standby = Some(serve(&database.programs, &folder));
        // Not before: without a standby no commit would be answered.
        let sync = "ALTER SYSTEM SET synchronous_standby_names = '*'";
        database.ask(&database.folder, sync);
        database.ask(&database.folder, "SELECT pg_reload_conf()");
        until("the standby to be synchronous", 60, || {
            let state = "SELECT sync_state FROM pg_stat_replication";
            database.ask(&database.folder, state) == "sync"
        });
        Some(database)
    }

    /// Kills the primary for good; the standby takes its place at the same address.
    pub fn fail_over(&mut self) {
        let (keeper, pid) = self.standby.take().unwrap();
        signal(self.pid, "KILL");
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
        (self.keeper, self.pid) = (keeper, pid);
        let folder = self.standby_folder();
        assert_eq!(self.ask(&folder, "SELECT pg_promote()"), "t");
        let address = self.folder.join(SOCKET);
        std::fs::remove_file(&address).unwrap();
        std::os::unix::fs::symlink(folder.join(SOCKET), address).unwrap();
    }

    fn standby_folder(&self) -> PathBuf {
        self.folder.join("standby")
    }

    /// What the server whose socket is in this folder answers to one statement.
    fn ask(&self, folder: &Path, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-h", text(folder), "-U", "postgres", "-Atc", sql]);
        let answer = psql.output().unwrap();
        let told = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{sql}: {told}");
        String::from_utf8(answer.stdout).unwrap().trim().to_owned()
    }

    /// None where PostgreSQL is not installed, which in CI is a failure.
    pub fn create() -> Option<Self> {
        let programs = newest_programs()?;
        // Not under TMPDIR: the path of a socket may have 107 bytes at most.
        let folder = tempfile::Builder::new()
            .prefix("dialgate-pg-")
            .tempdir_in("/tmp")
            .unwrap()
            .keep();
        if is_root() {
            done(Command::new("chown").arg("postgres").arg(&folder), "chown");
        }
        let options = [
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
            "-D",
        ];
        done(
            as_user(&programs.join("initdb"))
                .args(options)
                .arg(folder.join("data")),
            "initdb",
        );
        let (keeper, pid) = serve(&programs, &folder);
        let database = Self {
            programs,
            folder,
            keeper,
            pid,
            standby: None,
        };
        database.wait();
        done(&mut database.client("createdb", &["dialgate"]), "createdb");
        Some(database)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where it is reached by way of a socket in this folder.
    pub fn url_by(folder: &Path) -> String {
        format!(
            "postgres://postgres@localhost/dialgate?host={}",
            folder.display()
        )
    }

    pub fn url(&self) -> String {
        Self::url_by(&self.folder)
    }

    /// Kills the postmaster; its children notice and end. Then starts it again: what was committed must be there.
    pub fn kill_and_restart(&mut self) {
        signal(self.pid, "KILL");
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
        // The shared memory of the old one must be free before the new one starts.
        until("the killed PostgreSQL's children to end", 30, || {
            (self.keeper, self.pid) = serve(&self.programs, &self.folder);
            let mut ended = false;
            until("PostgreSQL to start or to give up", 30, || {
                ended =
                    !PathBuf::from(format!("/proc/{}", self.pid)).exists() || is_zombie(self.pid);
                ended || self.ready()
            });
            if ended {
                drop(self.keeper.stdin.take());
                self.keeper.wait().unwrap();
            }
            !ended
        });
    }

    fn wait(&self) {
        until("PostgreSQL to start", 60, || self.ready());
    }

    fn ready(&self) -> bool {
        self.client("pg_isready", &["-q"])
            .status()
            .unwrap()
            .success()
    }

    fn client(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command
            .args(["-h", text(&self.folder), "-U", "postgres"])
            .args(arguments);
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        for keeper in std::iter::once(&mut self.keeper)
            .chain(self.standby.iter_mut().map(|(keeper, _)| keeper))
        {
            drop(keeper.stdin.take());
            let _ = keeper.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ")
        .next()
        .is_some_and(|rest| rest.starts_with('Z'))
}

/// Starts the server; the shell tells its process id.
fn serve(programs: &Path, folder: &Path) -> (Child, u32) {
    let script = r#"folder=$1; shift; "$@" </dev/null >>"$folder/log" 2>&1 & server=$!; echo $server; exec >&-
        cat >/dev/null; kill -QUIT $server 2>/dev/null; wait $server; exit 0"#;
    let mut keeper = as_user(Path::new("sh"))
        .args(["-c", script, "keeper", text(folder)])
        .arg(programs.join("postgres"))
        .args(["-D", text(&folder.join("data")), "-k", text(folder)])
        .args(["-c", "listen_addresses=", "-c", "max_connections=200"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    (keeper, line.trim().parse().unwrap())
}
