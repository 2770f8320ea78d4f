"""What dialgate dials: SIPp callees, a carrier that says nothing, and a path that loses packets. Each keeps what it saw."""

import hashlib
import os
import re
import signal
import socket
import subprocess
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from world import ROOT, free_port, wait_for

SCENARIOS = ROOT / "tests" / "fixtures" / "sipp"


@dataclass
class Message:
    """One SIP message as a callee saw it, `received` by it or sent."""

    at: float
    received: bool
    text: str

    @property
    def first_line(self) -> str:
        return self.text.split("\n", 1)[0].strip()

    @property
    def method(self) -> str:
        """The method of a request, the code of a response."""
        words = self.first_line.split()
        return words[1] if words[0] == "SIP/2.0" else words[0]

    def header(self, name: str) -> str:
        found = re.search(rf"^{name}\s*:(.*)$", self.text, re.IGNORECASE | re.MULTILINE)
        return found.group(1).strip() if found else ""

    def is_about(self, number: str) -> bool:
        return f"sip:{number}@" in self.header("To") or f"sip:{number}@" in self.header("From")


class Traffic:
    """Questions about what went over the wire."""

    def messages(self) -> list[Message]:
        raise NotImplementedError

    def of(self, number: str) -> list[Message]:
        """Everything in the dialogs with this number. A callee's own BYE is found by its Call-ID."""
        seen = self.messages()
        call_ids = {message.header("Call-ID") for message in seen if message.is_about(number)}
        return [message for message in seen if message.header("Call-ID") in call_ids]

    def received(self, number: str, method: str) -> list[Message]:
        return [message for message in self.of(number) if message.received and message.method == method]

    def sent(self, number: str, method: str) -> list[Message]:
        return [message for message in self.of(number) if not message.received and message.method == method]

    def invites(self, number: str) -> list[Message]:
        return self.received(number, "INVITE")

    def stop(self) -> str:
        """Ends in good order; answers what was not as it should be."""
        raise NotImplementedError

    def kill(self):
        self.stop()


class Sipp(Traffic):
    """A SIPp callee that plays one scenario for every call it gets."""

    def __init__(self, folder: Path, name: str, scenario: str, status: str = "", header: str = "Supported: replaces"):
        self.name = name
        self.trace = folder / f"{name}.messages"
        self.errors = folder / f"{name}.errors"
        self.script = folder / f"{name}.xml"
        text = (SCENARIOS / f"{scenario}.xml").read_text()
        self.script.write_text(text.replace("@STATUS@", status).replace("@HEADER@", header))
        # Between our choice of a free port and SIPp's use of it, somebody else may take it.
        for _ in range(5):
            self._start(folder)
            if wait_for(f"SIPp `{name}` on its port", self._started) == "bound":
                return
        raise AssertionError(f"SIPp `{name}` ended with {self.process.returncode}, five times")

    def _start(self, folder: Path):
        self.port = free_port(socket.SOCK_DGRAM)
        with open(folder / f"{self.name}.screen", "wb") as screen:
            self.process = subprocess.Popen(
                ["sipp", "-sf", self.script, "-i", "127.0.0.1", "-p", str(self.port), "-nostdin", "-buff_size", "212992",
                 # Ports for remote control and media, not used here; of the usual ones there are 50, which several stories exhaust.
                 "-cp", str(free_port(socket.SOCK_DGRAM)), "-mp", str(free_port(socket.SOCK_DGRAM) // 2 * 2),
                 "-trace_msg", "-message_file", self.trace, "-trace_err", "-error_file", self.errors],
                stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.STDOUT,
            )

    def _started(self) -> str:
        if self.process.poll() is not None:
            return "ended"
        # Its own ports are known to the system by their inode; a port that another process holds doesn't count.
        try:
            sockets = {os.readlink(link) for link in Path(f"/proc/{self.process.pid}/fd").iterdir()}
        except (FileNotFoundError, ProcessLookupError):  # SIPp opens and closes files as it starts, or has just ended: look again.
            return ""
        for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
            words = line.split()
            if int(words[1].split(":")[1], 16) == self.port and f"socket:[{words[9]}]" in sockets:
                return "bound"
        return ""

    def messages(self) -> list[Message]:
        text = self.trace.read_text(errors="replace") if self.trace.exists() else ""
        found = []
        for block in re.split(r"^-{20,} ", text, flags=re.MULTILINE)[1:]:
            stamp, kind, message = block.split("\n", 2)
            at = datetime.strptime(stamp.strip(), "%Y-%m-%d %H:%M:%S.%f").timestamp()
            found.append(Message(at, "received" in kind, message.strip().replace("\r", "") + "\n"))
        return found

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    def stop(self) -> str:
        """Ends SIPp; answers what it found wrong. It knows each message that its scenario did not expect."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGUSR1)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            return f"{self.name}: a call did not end as the scenario says"
        # 0: all calls went as the scenario says; 99: no call came.
        if code in (0, 99):
            return ""
        errors = self.errors.read_text(errors="replace")[:2000] if self.errors.exists() else ""
        return f"{self.name}: SIPp ended with {code}: {errors}"


class Mute(Traffic):
    """A carrier that takes everything and says nothing."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.seen: list[Message] = []
        threading.Thread(target=self._take, daemon=True).start()

    def _take(self):
        while True:
            try:
                data = self.socket.recv(65536)
            except OSError:
                return
            self.seen.append(Message(time.time(), True, data.decode(errors="replace").replace("\r", "")))

    def messages(self) -> list[Message]:
        return list(self.seen)

    def stop(self) -> str:
        self.socket.close()
        return ""


class Lossy(Traffic):
    """A path to a callee that loses the first copy of each message named in `lost`, once a call, and keeps what it got."""

    def __init__(self, callee: Sipp, lost: set[str]):
        self.callee, self.lost = callee, lost
        self.front = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.front.bind(("127.0.0.1", 0))
        self.back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.back.bind(("127.0.0.1", 0))
        self.port = self.front.getsockname()[1]
        self.caller = None
        self.seen: list[Message] = []
        self.dropped: set[tuple[str, str]] = set()
        threading.Thread(target=self._carry, args=(self.front, True), daemon=True).start()
        threading.Thread(target=self._carry, args=(self.back, False), daemon=True).start()

    def _carry(self, incoming: socket.socket, from_caller: bool):
        while True:
            try:
                data, sender = incoming.recvfrom(65536)
            except OSError:
                return
            if from_caller:
                self.caller = sender
            message = Message(time.time(), from_caller, data.decode(errors="replace").replace("\r", ""))
            self.seen.append(message)
            key = (message.method, message.header("Call-ID"))
            if message.method in self.lost and key not in self.dropped:
                self.dropped.add(key)
            elif from_caller:
                self.back.sendto(data, ("127.0.0.1", self.callee.port))
            else:
                self.front.sendto(data, self.caller)

    def messages(self) -> list[Message]:
        return list(self.seen)

    def stop(self) -> str:
        self._close()
        return self.callee.stop()

    def kill(self):
        self._close()
        self.callee.kill()

    def _close(self):
        self.front.close()
        self.back.close()


def digest_problem(challenge: str, invite: Message, username: str, password: str) -> str:
    """What is wrong with the credentials of an INVITE by RFC 7616 section 3.4, worked out anew; empty if nothing."""
    name, _, rest = challenge.partition(":")
    asked = parameters(rest)
    header = {"WWW-Authenticate": "Authorization", "Proxy-Authenticate": "Proxy-Authorization"}[name]
    given = parameters(invite.header(header))
    if not given:
        return f"no {header} header"
    hasher = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[asked["algorithm"]]

    def hashed(text: str) -> str:
        return hasher(text.encode()).hexdigest()

    uri = invite.first_line.split()[1]
    ha1 = hashed(f"{username}:{asked['realm']}:{password}")
    ha2 = hashed(f"INVITE:{given.get('uri')}")
    expected = hashed(":".join([ha1, asked["nonce"], given.get("nc", ""), given.get("cnonce", ""), "auth", ha2]))
    wanted = {
        "username": username, "realm": asked["realm"], "nonce": asked["nonce"], "uri": uri, "qop": "auth", "nc": "00000001",
        "algorithm": asked["algorithm"], "response": expected,
    }
    return "; ".join(f"{key} is `{given.get(key)}`, not `{value}`" for key, value in wanted.items() if given.get(key) != value)


def parameters(text: str) -> dict[str, str]:
    return {key: quoted or plain for key, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', text)}
