"""A WebRTC stack (aiortc) as the client of a trunk with a media anchor, and a carrier of plain RTP: each hears the other's tone."""

import asyncio
import fractions
import math
import re
import struct
import time

import aioice.ice
import aiortc
import av
from aiortc.mediastreams import MediaStreamTrack

import client as rpc
from checks import check, equal
from client import call_types_pb2, refusal
from stage import Stage, kinds
from tones import OUR_TONE, PACKET, RATE, THEIR_TONE, from_ulaw, pitch
from world import wait_for


class Tone(MediaStreamTrack):
    """The browser's microphone."""

    kind = "audio"

    def __init__(self):
        super().__init__()
        self.begun, self.number = time.monotonic(), 0

    async def recv(self) -> av.AudioFrame:
        await asyncio.sleep(max(0.0, self.begun + self.number * 0.02 - time.monotonic()))
        samples = [int(8000 * math.sin(2 * math.pi * OUR_TONE * place / RATE)) for place in range(PACKET)]
        frame = av.AudioFrame(format="s16", layout="mono", samples=PACKET)
        frame.planes[0].update(struct.pack(f"<{PACKET}h", *samples))
        frame.sample_rate, frame.pts, frame.time_base = RATE, self.number * PACKET, fractions.Fraction(1, RATE)
        self.number += 1
        return frame


async def talk(stage: Stage, number: str) -> tuple[str, str, str, float]:
    """A call from the browser to its end: its id, the offer, the answer, and the pitch of what the browser heard."""
    browser = aiortc.RTCPeerConnection(aiortc.RTCConfiguration(iceServers=[]))
    try:
        speaker = asyncio.get_running_loop().create_future()
        browser.on("track", speaker.set_result)
        browser.addTrack(Tone())
        await browser.setLocalDescription(await browser.createOffer())
        offer = browser.localDescription.sdp
        placed = await asyncio.to_thread(stage.place, number, "browser", sdp_offer=offer.encode())
        events, _ = await asyncio.to_thread(stage.watch, placed.call.call_id, "answered")
        answer = events[-1].sdp.decode()
        await browser.setRemoteDescription(aiortc.RTCSessionDescription(answer, "answer"))
        track, heard, rate = await asyncio.wait_for(speaker, 10), [], RATE
        while len(heard) < rate * 2:
            frame = await asyncio.wait_for(track.recv(), 10)
            rate = frame.sample_rate
            channels = len(frame.layout.channels)
            samples = struct.unpack(f"<{frame.samples * channels}h", bytes(frame.planes[0])[: frame.samples * channels * 2])
            heard.extend(samples[::channels])
        equal(browser.connectionState, "connected")
        await asyncio.to_thread(stage.hang_up, placed.call.call_id)
        # The first half second may begin in the middle.
        return placed.call.call_id, offer, answer, pitch(heard[rate // 2:], rate)
    finally:
        await browser.close()


@check("together", "a browser (ICE, DTLS-SRTP) and a carrier of plain RTP hear each other by way of rtpengine")
def browser_calls(stage: Stage):
    # The only addresses of this house.
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    carrier, number = stage.trunks["browser"], stage.person()
    call_id, offer, answer, heard = asyncio.run(talk(stage, number))
    assert "UDP/TLS/RTP/SAVPF" in offer and "a=fingerprint" in offer and "a=candidate" in offer, offer
    assert "UDP/TLS/RTP/SAVPF" in answer and "a=fingerprint" in answer and "a=candidate" in answer, answer
    assert abs(heard - THEIR_TONE) < 20, f"the browser heard {heard:.0f} Hz"
    told = [from_ulaw(byte) for packet in carrier.heard[-50:] for byte in packet]
    assert len(told) >= 25 * PACKET, f"the carrier heard {len(told)} samples"
    assert abs(pitch(told, RATE) - OUR_TONE) < 20, f"the carrier heard {pitch(told, RATE):.0f} Hz"
    invite = carrier.invites(number)[0].text
    assert "RTP/AVP 0" in invite or re.search(r"m=audio \d+ RTP/AVP ", invite), invite
    for word in ("a=fingerprint", "a=candidate", "a=ice-", "SAVP"):
        assert word not in invite, f"{word} in {invite}"
    events, _ = stage.watch(call_id)
    equal(events[-1].outcome, call_types_pb2.OUTCOME_ANSWERED, str(kinds(events)))
    wait_for("rtpengine to forget the call", lambda: carrier.engine.sessions() == 0)


@check("together", "a browser's offer to a trunk of plain RTP is refused when the call is placed")
def browser_without_anchor(stage: Stage):
    offer = (rpc.SDP.decode().replace("RTP/AVP", "UDP/TLS/RTP/SAVPF") + "a=fingerprint:sha-256 00\r\n").encode()
    number = stage.person()
    wish = stage.wish(number, "busy", sdp_offer=offer)
    refused = refusal(stage.agent, stage.agent.calls.PlaceCall, wish)
    equal((refused.reason, list(refused.fields)), ("INVALID_FIELDS", ["sdp_offer"]))
