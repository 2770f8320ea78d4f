"""A web form on a foreign server: it knows the secret, JSON and HTTP, and nothing else of dialgate."""

import hashlib
import hmac
import http.client
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone

from checks import check, equal
from client import consent_pb2
from stage import FORM_SECRET, FORM_SOURCE, Stage
from world import wait_for


def ask(stage: Stage, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> tuple[int, str]:
    """Status and body, whichever they are."""
    request = urllib.request.Request(f"http://{stage.console}{path}", data=body, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def submit(stage: Stage, form: dict, secret: str = FORM_SECRET, ago: int = 0) -> tuple[int, dict]:
    body = json.dumps(form).encode()
    moment = str(int(stage.clock.now()) - ago)
    mac = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    headers = {"Content-Type": "application/json", "Dialgate-Source": FORM_SOURCE, "Dialgate-Signature": f"t={moment},v1={mac}"}
    status, text = ask(stage, "/v1/consents", headers, body)
    return status, json.loads(text)


def rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def listed(stage: Stage, number: str) -> list:
    request = consent_pb2.ListConsentsRequest(number=number)
    return list(stage.administrator.ask(stage.administrator.consents.ListConsents, request).consent_events)


@check("together", "a web form's consent is recorded once, with what it says and who sent it; taken back, it is added to")
def forms(stage: Stage):
    number = stage.number("us")
    form = {"submission_id": f"s-{number[-3:]}", "action": "given", "number": number, "channels": ["live_manual"], "explicit": True,
            "documented": True, "period": "indefinite", "initiated_by": "person", "wording_ref": "v3", "event_time": rfc3339(stage.clock.now() - 60)}
    status, said = submit(stage, form)
    equal(status, 200, f"the answer {said}")
    equal(submit(stage, form), (200, said), "the same form again")
    status, refused = submit(stage, form | {"wording_ref": "v4"})
    equal((status, refused["error"]["reason"]), (409, "SUBMISSION_ID_REUSED"), "another form under the same name")
    [event] = listed(stage, number)
    equal(event.consent_event_id, said["consent_event"]["consent_event_id"])
    equal((event.actor, event.source, event.evidence_ref), (f"form:{FORM_SOURCE}", FORM_SOURCE, f"submission {form['submission_id']}"))
    equal(event.form, consent_pb2.CONSENT_FORM_WEB_FORM)
    status, said = submit(stage, {"submission_id": f"w-{number[-3:]}", "action": "withdrawn", "number": number})
    equal(status, 200, f"the withdrawal {said}")
    equal([consent_pb2.ConsentAction.Name(event.action) for event in listed(stage, number)],
          ["CONSENT_ACTION_WITHDRAWN", "CONSENT_ACTION_GIVEN"])


@check("together", "a web form that is not signed by its secret, or not now, or says what it may not, changes nothing")
def wrong_forms(stage: Stage):
    number = stage.number("us")
    form = {"submission_id": "wrong", "action": "given", "number": number}
    for ago, secret, reason in [(0, FORM_SECRET[::-1], "SIGNATURE_INVALID"), (400, FORM_SECRET, "SIGNATURE_STALE"), (-400, FORM_SECRET, "SIGNATURE_STALE")]:
        status, refused = submit(stage, form, secret, ago)
        equal((status, refused["error"]["reason"]), (401, reason))
    status, refused = submit(stage, form | {"action": "perhaps", "seller": "another", "number": "911"})
    equal((status, sorted(field["field"] for field in refused["error"]["fields"])), (400, ["action", "number", "seller"]))
    status, refused = submit(stage, form | {"wording_ref": "x" * 100_000})
    equal((status, refused["error"]["reason"]), (413, "BODY_TOO_LARGE"))
    equal(listed(stage, number), [])


@check("alone", "health and metrics are told, and no figure names anybody")
def figures(stage: Stage):
    for path in ("/healthz", "/readyz"):
        equal(ask(stage, path), (200, "ok\n"), path)
    equal(ask(stage, "/nowhere")[0], 404)
    status, page = ask(stage, "/metrics")
    equal(status, 200)
    figures = {}
    for line in page.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            figures[name] = float(value)
    for name in ('dialgate_decisions_total{stage="claim",verdict="allow"}', 'dialgate_decisions_total{stage="place",verdict="deny"}',
                 "dialgate_invites_total", 'dialgate_calls_ended_total{outcome="answered"}', "dialgate_opt_out_wait_seconds_count",
                 'dialgate_form_requests_total{code="401"}', "dialgate_store_up"):
        assert figures.get(name, 0) > 0, f"{name} in\n{page}"
    shown = [number for number in stage.numbers if number.lstrip("+") in page or number[2:] in page]
    assert not shown, shown


def is_ready(stage: Stage) -> bool:
    try:
        return ask(stage, "/readyz")[0] == 200
    except OSError:
        return False


@check("alone", "killed while forms come in, and started again: each form sent again is one act on record")
def killed(stage: Stage):
    number = stage.number("us")
    moment = rfc3339(stage.clock.now() - 60)
    sent = [{"submission_id": f"k-{index}", "action": "given", "number": number, "event_time": moment} for index in range(24)]
    heard = {}

    def send(form: dict):
        try:
            heard[form["submission_id"]] = submit(stage, form)
        except (OSError, http.client.HTTPException):  # The server died over it; whether it is on record nobody knows yet.
            pass

    with ThreadPoolExecutor(4) as pool:
        sending = [pool.submit(send, form) for form in sent]
        wait_for("the first answers", lambda: len(heard) >= 4)
        stage.server.kill()
        for each in sending:
            each.result()
    stage.server.start()
    wait_for("the console", lambda: is_ready(stage))
    for form in sent:
        status, said = submit(stage, form)
        equal(status, 200, f"the answer {said}")
        before = heard.get(form["submission_id"])
        if before and before[0] == 200:
            equal(said, before[1], "what was answered before the kill")
    equal(sorted(event.evidence_ref for event in listed(stage, number)), sorted(f"submission {form['submission_id']}" for form in sent))
