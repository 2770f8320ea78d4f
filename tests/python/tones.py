"""A carrier of plain RTP that plays a tone, with the media engine before it; and what tones are made of."""

import math
import os
import re
import socket
import struct
import subprocess
import threading
import time
import uuid

from callee import Message, Traffic
from world import free_port, wait_for

RATE, PACKET = 8000, 160
# Hertz, of the browser and of the carrier. Both have whole periods in a packet of 20 ms.
OUR_TONE, THEIR_TONE = 1000, 400


class Engine:
    """rtpengine in user space, on loopback."""

    def __init__(self):
        self.port = free_port(socket.SOCK_DGRAM)
        # Two engines that share an address take each other's ports without an error.
        own = f"127.{1 + os.getpid() // 256 % 254}.{os.getpid() % 256}.1"
        try:
            self.process = subprocess.Popen(
                ["rtpengine", "--config-file=none", "--table=-1", "--foreground", "--log-stderr", "--log-level=3", "--num-threads=2",
                 f"--interface={own}", f"--listen-ng=127.0.0.1:{self.port}", "--port-min=20000", "--port-max=29999"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise RuntimeError("rtpengine is missing: run tests/run, which installs it") from None
        wait_for("rtpengine", lambda: b"pong" in self.ask(b"d7:command4:pinge"))

    def ask(self, body: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
            way.settimeout(0.5)
            way.connect(("127.0.0.1", self.port))
            try:
                way.send(uuid.uuid4().hex.encode() + b" " + body)
                return way.recv(65535)
            except (TimeoutError, ConnectionRefusedError):
                return b""

    def sessions(self) -> int:
        """How many sessions it keeps; each is named by a UUID."""
        return self.ask(b"d7:command4:liste").count(b"36:")

    def stop(self):
        self.process.kill()
        self.process.wait(10)


class PlainCarrier(Traffic):
    """Answers every call, plays a tone and keeps what it hears, all in plain RTP."""

    def __init__(self):
        self.engine = Engine()
        self.seen: list[Message] = []
        self.heard: list[bytes] = []
        self.sip, self.rtp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        for way in (self.sip, self.rtp):
            way.bind(("127.0.0.1", 0))
        self.port = self.sip.getsockname()[1]
        self.towards: tuple[str, int] | None = None
        for work in (self._talk, self._play, self._listen):
            threading.Thread(target=work, daemon=True).start()

    def messages(self) -> list[Message]:
        return list(self.seen)

    def stop(self) -> str:
        self.engine.stop()
        self.sip.close()
        self.rtp.close()
        return ""

    def _talk(self):
        while True:
            try:
                data, peer = self.sip.recvfrom(65535)
            except OSError:
                return
            request = Message(time.time(), True, data.decode().replace("\r", ""))
            self.seen.append(request)
            if request.method not in ("INVITE", "BYE"):
                continue
            sdp = ""
            if request.method == "INVITE":
                offer = request.text.split("\n\n", 1)[1]
                self.towards = (re.search(r"c=IN IP4 (\S+)", offer).group(1), int(re.search(r"m=audio (\d+)", offer).group(1)))
                port = self.rtp.getsockname()[1]
                sdp = f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n"
            else:
                self.towards = None
            tag = "" if "tag=" in request.header("To") else ";tag=callee"
            answer = (f"SIP/2.0 200 OK\r\nVia: {request.header('Via')}\r\nFrom: {request.header('From')}\r\nTo: {request.header('To')}{tag}\r\n"
                      f"Call-ID: {request.header('Call-ID')}\r\nCSeq: {request.header('CSeq')}\r\nContact: <sip:callee@127.0.0.1:{self.port}>\r\n"
                      + ("Content-Type: application/sdp\r\n" if sdp else "") + f"Content-Length: {len(sdp)}\r\n\r\n{sdp}")
            self.seen.append(Message(time.time(), False, answer.replace("\r", "")))
            self.sip.sendto(answer.encode(), peer)

    def _play(self):
        tone = bytes(to_ulaw(int(8000 * math.sin(2 * math.pi * THEIR_TONE * place / RATE))) for place in range(PACKET))
        number = 0
        while self.rtp.fileno() != -1:
            if self.towards:
                header = struct.pack("!BBHII", 0x80, 0, number & 0xFFFF, number * PACKET & 0xFFFFFFFF, 0x5EED)
                try:
                    self.rtp.sendto(header + tone, self.towards)
                except OSError:
                    return
                number += 1
            time.sleep(0.02)

    def _listen(self):
        while True:
            try:
                packet = self.rtp.recv(2000)
            except OSError:
                return
            if len(packet) > 12 and packet[1] & 0x7F == 0:
                self.heard.append(packet[12:])


def to_ulaw(sample: int) -> int:
    """G.711."""
    sign, magnitude = (0x80, -sample) if sample < 0 else (0, sample)
    magnitude = min(magnitude, 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | magnitude >> exponent + 3 & 0x0F) & 0xFF


def from_ulaw(byte: int) -> int:
    byte = ~byte & 0xFF
    magnitude = ((byte & 0x0F) * 8 + 132 << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude


def pitch(samples: list[int], rate: int) -> float:
    """The frequency of a tone, by how often it rises through zero."""
    rises = sum(before < 0 <= after for before, after in zip(samples, samples[1:]))
    return rises * rate / len(samples)
