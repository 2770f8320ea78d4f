"""A full disk, a database that is gone, a killed server, a stop: what was said stays true, and nothing is dialed blindly."""

import client as rpc
from checks import check, equal
from client import call_types_pb2, decision_pb2, refusal, suppression_pb2
from stage import Stage, kinds
from world import wait_for

O = call_types_pb2


@check("alone", "the store cannot write (full disk, or gone): UNAVAILABLE, nothing dialed, the process stays up and recovers")
def store_unavailable(stage: Stage):
    number = stage.person()
    break_store(stage)
    try:
        agent, admin = stage.agent, stage.administrator
        wish = stage.wish(number, "mute")
        requests = [
            (agent, agent.calls.PlaceCall, wish),
            (agent, agent.calls.CheckCall, rpc.call_pb2.CheckCallRequest(to=number, campaign="us-mute", call_kind=rpc.LIVE_MANUAL)),
            (admin, admin.suppressions.CreateSuppression, suppression_pb2.CreateSuppressionRequest(request_id=rpc.request_id(), number=number)),
        ]
        for client, method, request in requests:
            refused = refusal(client, method, request, 40)
            equal((refused.code, refused.reason), ("UNAVAILABLE", "STORE_UNAVAILABLE"), type(request).__name__)
            assert str(stage.folder.path) not in refused.message, f"the error shows what is inside: {refused}"
        assert stage.server.is_up(), stage.server.tail()
        equal(len(stage.trunks["mute"].of(number)), 0, "messages to the number")
    finally:
        mend_store(stage)

    # The client asks again, as UNAVAILABLE tells it to: the same request is carried out once.
    def again():
        try:
            return agent.ask(agent.calls.PlaceCall, stage.wish(number, "busy", request_id=wish.request_id))
        except rpc.grpc.RpcError as error:
            assert error.code() == rpc.grpc.StatusCode.UNAVAILABLE, rpc.Refused(error)
    placed = wait_for("the server to recover", again, 20)
    equal(placed.decision.verdict, decision_pb2.VERDICT_ALLOW)
    stage.finished(number, "busy", placed)
    equal(len(stage.trunks["busy"].invites(number)), 1, "INVITEs")


def break_store(stage: Stage):
    if stage.database:
        stage.database.stop()
    else:
        # No byte may be written behind the first page of any file: what write(2) answers on a full disk, but for its number.
        stage.server.limit_file_size(4096)


def mend_store(stage: Stage):
    if stage.database:
        stage.database.start()
    else:
        stage.server.limit_file_size(None)


@check("alone", "killed with a call up, and started again: all that was answered is still there, and nobody is dialed again")
def killed(stage: Stage):
    finished = stage.person()
    placed = stage.place_allowed(finished, "busy")
    before = stage.finished(finished, "busy", placed)
    stopped = stage.person()
    suppression = stage.opt_out(stopped)
    number = stage.person()
    up = stage.place_allowed(number, "doomed")
    stage.watch(up.call.call_id, until="answered")
    stage.server.kill()
    stage.server.start()
    equal(stage.get(placed.call.call_id), before.call, "the call")
    equal(stage.watch(placed.call.call_id)[0], before.events, "its events")
    equal(stage.decision(before.placed.decision_id), before.placed, "its first decision")
    equal(stage.decision(before.claimed.decision_id), before.claimed, "its second decision")
    equal(stage.agent.ask(stage.agent.calls.PlaceCall, stage.wish(finished, "busy", request_id=rpc.request_id())).decision.verdict,
          decision_pb2.VERDICT_ALLOW, "another call is possible")
    found = stage.administrator.ask(stage.administrator.suppressions.GetSuppression,
                                    suppression_pb2.GetSuppressionRequest(suppression_id=suppression.suppression_id)).suppression
    equal(found, suppression, "the opt-out")
    equal(stage.check(stopped, "busy").verdict, decision_pb2.VERDICT_DENY)

    def interrupted():
        call = stage.get(up.call.call_id)
        return call if call.HasField("end_time") else None
    call = wait_for("the interrupted call to be ended", interrupted, 60)
    equal(O.Outcome.Name(call.outcome), "OUTCOME_INTERRUPTED_UNKNOWN")
    equal(kinds(stage.watch(up.call.call_id)[0])[-1], "ended")
    equal(len(stage.trunks["doomed"].invites(number)), 1, "INVITEs")


@check("alone", "asked to stop (SIGTERM): it ends by itself with 0, and the call that was up has an outcome")
def stopped(stage: Stage):
    number = stage.person()
    placed = stage.place_allowed(number, "callee_waits")
    stage.watch(placed.call.call_id, until="answered")
    equal(stage.server.stop(), 0, "exit code")
    wire = stage.trunks["callee_waits"]
    equal(len(wire.received(number, "BYE")), 1, "BYEs of ours")
    stage.server.start()
    call = stage.get(placed.call.call_id)
    equal((O.Outcome.Name(call.outcome), O.CallState.Name(call.state)), ("OUTCOME_ANSWERED", "CALL_STATE_ENDED"))


@check("alone", "every callee saw what its scenario expects and nothing else")
def callees(stage: Stage):
    faults = [fault for name, trunk in stage.trunks.items() if name != "doomed" for fault in [trunk.stop()] if fault]
    assert not faults, "\n".join(faults)


@check("alone", "no number, name, secret or SIP message in any line of the log")
def silent_log(stage: Stage):
    log = "".join(stage.server.log_lines)
    assert len(stage.server.log_lines) > 100, "the log is suspiciously short"
    forbidden = {number: number.lstrip("+") for number in stage.numbers} | {secret: secret for secret in stage.secrets}
    # Without the country's code, too; and names, SDP and start lines.
    forbidden |= {f"{number} (national)": number[2:] if number.startswith("+1") else number[3:] for number in stage.numbers}
    forbidden |= {word: word for word in ("Pat 1", "m=audio", "o=softphone", "INVITE sip:", "SIP/2.0 ", "Digest username", "asked not to be called")}
    faults = [f"{what}: {next(line for line in stage.server.log_lines if text in line)}" for what, text in forbidden.items() if text in log]
    assert not faults, "\n".join(faults[:20])
    assert "panicked" not in log, "a thread panicked"
    assert "\x1b" not in log, f"colours, and no terminal: {stage.server.log_lines[0]!r}"
