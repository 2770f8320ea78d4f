"""Calls that are allowed: every way they can go, seen from the API and from the wire."""

import os
import subprocess
import sys
import time

import client as rpc
from callee import digest_problem
from checks import check, equal
from client import call_pb2, call_types_pb2, decision_pb2, refusal, suppression_pb2
from stage import MD5_CHALLENGE, PASSWORD, SHA_CHALLENGE, USERNAME, Dialed, Stage, kinds
from world import BINARY, ROOT, wait_for

O = call_types_pb2


def dial(stage: Stage, trunk: str, land: str = "us") -> Dialed:
    """A call from the wish to its end, of which the callee decides the end."""
    number = stage.person(land)
    if land == "de":
        stage.consent(number)
    return stage.finished(number, trunk, stage.place_allowed(number, trunk, land))


def ended(dialed: Dialed, outcome: int, state: int, retry: int, code: int | None = None):
    end = next(event for event in dialed.events if kinds([event]) == ["ended"])
    found = (O.Outcome.Name(dialed.call.outcome), O.CallState.Name(dialed.call.state), O.RetryClass.Name(end.retry_class))
    equal(found, (O.Outcome.Name(outcome), O.CallState.Name(state), O.RetryClass.Name(retry)), str(kinds(dialed.events)))
    if code is not None:
        equal(dialed.call.sip_code, code)


@check("together", "answered, and the callee hangs up")
def callee_hangs_up(stage: Stage):
    dialed = dial(stage, "callee_hangs_up")
    ended(dialed, O.OUTCOME_ANSWERED, O.CALL_STATE_ENDED, O.RETRY_CLASS_NONE)
    wire = stage.trunks["callee_hangs_up"]
    equal(len(wire.invites(dialed.number)), 1, "INVITEs")
    equal(len(wire.received(dialed.number, "ACK")), 1, "ACKs")
    equal(len(wire.sent(dialed.number, "BYE")), 1, "BYEs of the callee")
    equal(len(wire.received(dialed.number, "BYE")), 0, "BYEs of ours")
    equal(len([m for m in wire.received(dialed.number, "200") if m.header("CSeq").endswith("BYE")]), 1, "answers to the BYE")
    answered = next(event for event in dialed.events if kinds([event]) == ["answered"])
    assert b"m=audio" in answered.sdp, "the answer's SDP is not on the stream"
    assert rpc.SDP.decode().replace("\r", "").strip() in wire.invites(dialed.number)[0].text, "the offer was not passed on as it was"


@check("together", "answered, and the client hangs up; in Germany, with consent")
def client_hangs_up(stage: Stage):
    number = stage.person("de")
    stage.consent(number)
    placed = stage.place_allowed(number, "callee_waits", "de")
    stage.watch(placed.call.call_id, until="answered")
    stage.hang_up(placed.call.call_id)
    dialed = stage.finished(number, "callee_waits", placed)
    ended(dialed, O.OUTCOME_ANSWERED, O.CALL_STATE_ENDED, O.RETRY_CLASS_NONE)
    assert "hang_up_requested" in kinds(dialed.events), kinds(dialed.events)
    wire = stage.trunks["callee_waits"]
    equal(len(wire.received(number, "BYE")), 1, "BYEs of ours")
    assert "cause=16" in wire.received(number, "BYE")[0].header("Reason"), "the BYE gives no reason"


@check("together", "hung up before the answer: CANCEL")
def canceled(stage: Stage):
    number = stage.person()
    placed = stage.place_allowed(number, "rings_on")
    stage.watch(placed.call.call_id, until="ringing")
    stage.hang_up(placed.call.call_id)
    dialed = stage.finished(number, "rings_on", placed)
    ended(dialed, O.OUTCOME_CANCELED, O.CALL_STATE_CANCELED, O.RETRY_CLASS_NONE)
    equal(len(stage.trunks["rings_on"].received(number, "CANCEL")), 1, "CANCELs")


@check("together", "busy (486)")
def busy(stage: Stage):
    dialed = dial(stage, "busy")
    ended(dialed, O.OUTCOME_BUSY, O.CALL_STATE_FAILED, O.RETRY_CLASS_SOON, 486)
    equal(dialed.call.q850_cause, 17)


@check("together", "declined (603)")
def declined(stage: Stage):
    ended(dial(stage, "declines"), O.OUTCOME_REJECTED, O.CALL_STATE_FAILED, O.RETRY_CLASS_LATER, 603)


@check("together", "unwanted (607); in Germany")
def unwanted(stage: Stage):
    ended(dial(stage, "unwanted", "de"), O.OUTCOME_UNWANTED, O.CALL_STATE_FAILED, O.RETRY_CLASS_NEVER, 607)


@check("together", "no answer: CANCEL when the ring time is over, and not before 15 s")
def no_answer(stage: Stage):
    dialed = dial(stage, "rings")
    ended(dialed, O.OUTCOME_NO_ANSWER, O.CALL_STATE_FAILED, O.RETRY_CLASS_LATER)
    wire = stage.trunks["rings"]
    equal(len(wire.invites(dialed.number)), 1, "INVITEs")
    cancels = wire.received(dialed.number, "CANCEL")
    equal(len(cancels), 1, "CANCELs")
    rang = cancels[0].at - wire.sent(dialed.number, "180")[0].at
    assert 15 <= rang < 17, f"it rang for {rang:.2f} s"


@check("together", "asked for credentials by 401 with MD5")
def challenged_md5(stage: Stage):
    challenged(stage, "challenge_401", MD5_CHALLENGE)


@check("together", "asked for credentials by 407 with SHA-256")
def challenged_sha256(stage: Stage):
    challenged(stage, "challenge_407", SHA_CHALLENGE)


def challenged(stage: Stage, trunk: str, challenge: str):
    number = stage.person()
    placed = stage.place_allowed(number, trunk)
    stage.watch(placed.call.call_id, until="answered")
    stage.hang_up(placed.call.call_id)
    dialed = stage.finished(number, trunk, placed)
    ended(dialed, O.OUTCOME_ANSWERED, O.CALL_STATE_ENDED, O.RETRY_CLASS_NONE)
    invites = stage.trunks[trunk].invites(number)
    equal(len(invites), 2, "INVITEs")
    first, second = (int(invite.header("CSeq").split()[0]) for invite in invites)
    equal(second, first + 1, "CSeq of the answer to the challenge")
    equal(digest_problem(challenge, invites[1], USERNAME, PASSWORD), "", "credentials")


def dial_promptly(stage: Stage, trunk: str) -> tuple[str, call_pb2.PlaceCallResponse]:
    """A call whose permit is young enough for one retransmission when its INVITE leaves. Where a commit takes a second, it is
    not, and rightly nothing is sent again: then another call is placed."""
    for _ in range(5):
        number = stage.person()
        placed = stage.place_allowed(number, trunk)
        stage.watch(placed.call.call_id, until="inviting")
        claimed = stage.decision(stage.get(placed.call.call_id).claim_decision_id)
        first = wait_for("the INVITE", lambda: stage.trunks[trunk].invites(number))[0]
        if first.at + stage.clock.offset - rpc.seconds(claimed.decided_time) < 0.8:
            return number, placed
        stage.watch(placed.call.call_id)
    raise AssertionError("on this machine a claim takes too long for any retransmission")


@check("together", "packets are lost: the INVITE is sent again under the same permit, the second 200 is acknowledged")
def lost_packets(stage: Stage):
    number, placed = dial_promptly(stage, "lossy")
    stage.watch(placed.call.call_id, until="answered")
    stage.hang_up(placed.call.call_id)
    dialed = stage.finished(number, "lossy", placed)
    ended(dialed, O.OUTCOME_ANSWERED, O.CALL_STATE_ENDED, O.RETRY_CLASS_NONE)
    invites = stage.trunks["lossy"].invites(number)
    assert len(invites) >= 2, "the lost INVITE was not sent again"
    equal(len({invite.text for invite in invites}), 1, "a retransmission is the same message: different texts")
    callee = stage.trunks["lossy"].callee
    equal(len(callee.received(number, "BYE")), 1, "BYEs of ours")
    assert callee.received(number, "ACK"), "the 200 was not acknowledged"


@check("together", "a carrier that says nothing: no INVITE after the permit's life")
def mute_carrier(stage: Stage):
    number, placed = dial_promptly(stage, "mute")
    dialed = stage.finished(number, "mute", placed)
    invites = stage.trunks["mute"].invites(dialed.number)
    assert len(invites) == 2, f"{len(invites)} INVITEs"
    # They are due after 0.5 s and after 1.5 s, and the latter is too late.
    assert invites[-1].at - invites[0].at < 1.3, "an INVITE left after the permit's life"
    ended(dialed, O.OUTCOME_UNREACHABLE, O.CALL_STATE_FAILED, O.RETRY_CLASS_SOON)


@check("together", "the answer crosses the CANCEL: acknowledged, ended at once, and so recorded")
def late_answer(stage: Stage):
    number = stage.person()
    placed = stage.place_allowed(number, "answers_late")
    stage.watch(placed.call.call_id, until="ringing")
    stage.hang_up(placed.call.call_id)
    dialed = stage.finished(number, "answers_late", placed)
    equal(O.Outcome.Name(dialed.call.outcome), "OUTCOME_ANSWERED_AFTER_CANCEL")
    wire = stage.trunks["answers_late"]
    wait_for("the ACK and the BYE", lambda: wire.received(number, "ACK") and wire.received(number, "BYE"))
    equal(len(wire.received(number, "CANCEL")), 1, "CANCELs")


@check("together", "an opt-out while it rings: CANCEL within a second, and no INVITE to the number ever after")
def opt_out_while_ringing(stage: Stage):
    number = stage.person()
    placed = stage.place_allowed(number, "rings_on")
    stage.watch(placed.call.call_id, until="ringing")
    asked = time.time()
    suppression = stage.opt_out(number, source=suppression_pb2.SUPPRESSION_SOURCE_WEB)
    acknowledged = time.time()
    assert acknowledged - asked < 3.5, f"the opt-out took {acknowledged - asked:.2f} s"
    dialed = stage.finished(number, "rings_on", placed)
    ended(dialed, O.OUTCOME_CANCELED, O.CALL_STATE_CANCELED, O.RETRY_CLASS_NEVER)
    assert "opt_out" in kinds(dialed.events), kinds(dialed.events)
    wire = stage.trunks["rings_on"]
    cancels = wire.received(number, "CANCEL")
    equal(len(cancels), 1, "CANCELs")
    assert cancels[0].at - acknowledged < 1, f"CANCEL came {cancels[0].at - acknowledged:.2f} s after the acknowledgement"
    again = stage.place(number, "rings_on")
    equal(again.decision.verdict, decision_pb2.VERDICT_DENY)
    assert "US-internal-dnc" in again.decision.denied_by and not again.HasField("call"), again.decision.denied_by
    equal(len(wire.invites(number)), 1, "INVITEs")
    equal(suppression.number_key, dialed.call.number_key, "key of the number")


@check("together", "an opt-out just after the wish: whoever comes first, no INVITE leaves after the acknowledgement")
def opt_out_races_the_claim(stage: Stage):
    for _ in range(5):
        number = stage.person()
        placed = stage.place_allowed(number, "rings_on")
        stage.opt_out(number)
        acknowledged = time.time()
        events, _ = stage.watch(placed.call.call_id)
        call = stage.get(placed.call.call_id)
        late = [invite for invite in stage.trunks["rings_on"].invites(number) if invite.at > acknowledged]
        assert not late, f"an INVITE arrived {late[0].at - acknowledged:.3f} s after the acknowledgement"
        assert call.state in (O.CALL_STATE_DENIED, O.CALL_STATE_CANCELED), f"{call} after {kinds(events)}"


@check("together", "the same wish five times: one call, one INVITE, the same answer")
def asked_twice(stage: Stage):
    number = stage.person()
    wish = stage.wish(number, "callee_hangs_up")
    answers = [stage.agent.ask(stage.agent.calls.PlaceCall, wish) for _ in range(5)]
    equal(len({answer.call.call_id for answer in answers}), 1, "calls")
    equal(len({answer.decision.decision_id for answer in answers}), 1, "decisions")
    stage.watch(answers[0].call.call_id)
    equal(len(stage.trunks["callee_hangs_up"].invites(number)), 1, "INVITEs")
    wish.to = stage.person()
    reused = refusal(stage.agent, stage.agent.calls.PlaceCall, wish)
    equal((reused.code, reused.reason), ("ALREADY_EXISTS", "REQUEST_ID_REUSED"))
    equal(len(stage.trunks["callee_hangs_up"].invites(wish.to)), 0, "INVITEs to the other number")


@check("together", "a broken stream goes on where it was left, with the same events")
def resumed(stage: Stage):
    number = stage.person()
    placed = stage.place_allowed(number, "callee_hangs_up")
    head, token = stage.watch(placed.call.call_id, until="inviting")
    tail, last = stage.watch(placed.call.call_id, token=token)
    whole, _ = stage.watch(placed.call.call_id)
    equal([event.sequence for event in head + tail], list(range(1, len(whole) + 1)), "sequences")
    equal(head + tail, whole, "events")
    equal(stage.watch(placed.call.call_id, token=last)[0], [], "events after the last")
    forged = call_pb2.WatchCallRequest(call_id=placed.call.call_id, resume_token=b"forged")
    try:
        list(stage.agent.ask(stage.agent.calls.WatchCall, forged))
        raise AssertionError("a forged token was taken")
    except rpc.grpc.RpcError as error:
        equal(rpc.Refused(error).reason, "RESUME_TOKEN_INVALID")


@check("together", "the first call of the README, as it is printed there")
def readme(stage: Stage):
    text = (ROOT / "README.md").read_text()
    folder = stage.folder.path / "readme"
    folder.mkdir()
    for name, key in {"office.key": "administrator", "desk-1.key": "agent"}.items():
        (folder / name).write_text(stage.keys[key] + "\n")
        (folder / name).chmod(0o600)
    own = {"+14045550141": stage.number("us"), "127.0.0.1:50051": stage.address, "us-sales": "us-callee_hangs_up",
           "int(time.time())": str(int(stage.clock.now()))}

    def printed(kind: str, begins: str, wanted: list[str]) -> str:
        block = text.split(f"```{kind}\n{begins}")[1].split("```")[0]
        for words in wanted:
            assert words in block, f"the README has no {words} any more"
            block = block.replace(words, own[words])
        return begins + block

    told = printed("", "dialgate contact set", ["+14045550141"])
    shell = stage.clock.environment() | {"PATH": f"{BINARY.parent}:{os.environ['PATH']}", "DIALGATE_SERVER": f"http://{stage.address}"}
    done = subprocess.run(["sh", "-ec", told], cwd=folder, env=shell, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    code = printed("python", "import time", list(own))
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={"PYTHONPATH": str(rpc.STUBS)}, capture_output=True, text=True,
                          timeout=40)
    assert done.returncode == 0, done.stderr
    for expected in ("RULE_OUTCOME_PASS US-national-dnc", "CALL_EVENT_KIND_ANSWERED 200", "CALL_EVENT_KIND_ENDED"):
        assert expected in done.stdout, f"no {expected} in {done.stdout}"


@check("together", "the agent hears `stop calling`: the opt-out is in force before the answer")
def opt_out_by_disposition(stage: Stage):
    dialed = dial(stage, "callee_hangs_up")
    said = stage.agent.ask(stage.agent.calls.RecordDisposition, call_pb2.RecordDispositionRequest(
        request_id=rpc.request_id(), call_id=dialed.call.call_id, code=O.DISPOSITION_CODE_OPT_OUT_THIS_SELLER, note="asked not to be called")).disposition
    assert said.suppression_id, "no suppression was made"
    equal(stage.check(dialed.number, "callee_hangs_up").verdict, decision_pb2.VERDICT_DENY)
    amended = stage.agent.ask(stage.agent.calls.AmendDisposition, call_pb2.AmendDispositionRequest(
        request_id=rpc.request_id(), call_id=dialed.call.call_id, disposition_id=said.disposition_id, code=O.DISPOSITION_CODE_CONNECTED_INTERESTED)).disposition
    equal(amended.amends_disposition_id, said.disposition_id)
    equal(stage.check(dialed.number, "callee_hangs_up").verdict, decision_pb2.VERDICT_DENY, "a correction never removes an opt-out")
    answer = stage.agent.ask(stage.agent.calls.GetCall, call_pb2.GetCallRequest(call_id=dialed.call.call_id))
    equal([one.disposition_id for one in answer.dispositions], [said.disposition_id, amended.disposition_id])
