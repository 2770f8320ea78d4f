"""The outside world of the story: the built server under a fixed time of day, a throw-away PostgreSQL, waiting with a bound.

Everything is on loopback and below one temporary folder; every process is ended by its own pid.
"""

import glob
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = TARGET / "debug" / "dialgate"

# A Wednesday without holiday: 11:00 in Atlanta, 17:00 in Berlin, 05:00 in Honolulu.
START = datetime(2026, 10, 21, 15, 0, tzinfo=timezone.utc)


class Clock:
    """The time that the server is told. It runs on from START at the speed of the real clock, over restarts too."""

    def __init__(self):
        self.offset = int(START.timestamp() - time.time())

    def now(self) -> float:
        return time.time() + self.offset

    def environment(self) -> dict[str, str]:
        library = next(iter(glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")), None)
        if library is None:
            raise RuntimeError("libfaketime is missing: run tests/run, which installs it")
        # Only the wall clock is moved; time-outs and the permit's life run on the real monotonic clock.
        return {
            "LD_PRELOAD": library, "FAKETIME": f"{self.offset:+d}", "FAKETIME_DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1",
            "FAKETIME_DONT_RESET": "1", "TZ": "UTC",
        }


def wait_for(what: str, condition, seconds: float = 10):
    """The first true answer of `condition`, or a failure that says what was waited for."""
    end = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


def free_port(kind: int) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Folder:
    """A temporary folder that other users may enter: PostgreSQL's programs refuse to run as root."""

    def __init__(self):
        self.path = Path(tempfile.mkdtemp(prefix="dialgate-story-"))
        self.path.chmod(0o755)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)


class Postgres:
    """A PostgreSQL of our own on a Unix socket; durability settings as delivered, for the server checks them."""

    def __init__(self, folder: Path):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
        self.programs = Path(programs[-1]) if programs else Path(shutil.which("initdb")).parent
        self.folder = folder
        folder.mkdir()
        self.user = []
        if os.getuid() == 0:
            name = "postgres" if any(entry.pw_name == "postgres" for entry in pwd.getpwall()) else "nobody"
            entry = pwd.getpwnam(name)
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self.user = ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups"]
        self._run("initdb", "--pgdata", "data", "--username", "dialgate", "--auth", "trust", "--encoding", "UTF8", "--no-sync")
        self.start()
        self._run("createdb", "--host", str(folder), "--username", "dialgate", "dialgate")
        self.url = f"postgres://dialgate@localhost/dialgate?host={str(folder).replace('/', '%2F')}"

    def start(self):
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}'"
        self._run("pg_ctl", "--pgdata", "data", "--log", "log", "--wait", "--options", options, "start")

    def stop(self):
        self._run("pg_ctl", "--pgdata", "data", "--mode", "fast", "--wait", "stop")

    def _run(self, program: str, *arguments: str):
        done = subprocess.run(
            [*self.user, str(self.programs / program), *arguments], cwd=self.folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stdout}")


def run_binary(clock: Clock, *arguments: str, seconds: float = 20, file_mask: int = 0o077) -> subprocess.CompletedProcess:
    """One run of the binary that ends by itself."""
    return subprocess.run(
        [str(BINARY), *arguments], env=environment(clock), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=seconds, umask=file_mask,
    )


def environment(clock: Clock) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "RUST_BACKTRACE")}
    # Whom the server trusts beyond itself: the receiver of its webhook.
    trusted = {"SSL_CERT_FILE": str(ROOT / "tests" / "fixtures" / "tls" / "ca.pem")}
    return kept | clock.environment() | trusted | {"DIALGATE_LOG": "debug"}


class Server:
    """`dialgate serve`, and everything it ever wrote to its log."""

    def __init__(self, clock: Clock, config: Path, address: str):
        self.clock, self.config, self.address = clock, config, address
        self.process = None
        self.log_lines: list[str] = []

    def start(self):
        # Python ignores SIGXFSZ, and the child keeps that: a full disk is then an error of write(2), not a signal.
        self.process = subprocess.Popen(
            [str(BINARY), "serve", "--config", str(self.config)], env=environment(self.clock), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, restore_signals=False, umask=0o077,
        )
        threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True).start()
        wait_for(f"the server on {self.address}; its log ends: {self.tail()}", self._answers, 20)

    def _read(self, stream):
        for line in stream:
            self.log_lines.append(line)

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}: {self.tail()}")
        host, port = self.address.rsplit(":", 1)
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0

    def tail(self) -> str:
        return "".join(self.log_lines[-15:])

    def warnings(self) -> str:
        """The first lines of the log that tell of something wrong; what follows is mostly of the same cause."""
        return "".join([line[:600] + "\n" * (len(line) > 600) for line in self.log_lines if " WARN " in line or " ERROR " in line][:30])

    def is_up(self) -> bool:
        return self.process.poll() is None

    def limit_file_size(self, size: int | None):
        limit = resource.RLIM_INFINITY if size is None else size
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> int:
        if self.is_up():
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("the server did not stop within 60 s of SIGTERM") from None
