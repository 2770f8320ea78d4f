"""A receiver of webhooks on a foreign server: TLS, and the very lines by which docs/WEBHOOKS.md verifies a message."""

import http.server
import json
import re
import ssl
import threading
import time

import client as rpc
from checks import check, equal
from client import webhook_pb2
from stage import WEBHOOK, WEBHOOK_SECRET, Stage
from world import ROOT, wait_for

DELIVERING, PARKED = webhook_pb2.WEBHOOK_STATE_DELIVERING, webhook_pb2.WEBHOOK_STATE_PARKED


class Receiver:
    """Takes what is signed, and answers with `status`."""

    def __init__(self, clock):
        self.clock, self.status, self.messages = clock, 204, []
        [example] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "WEBHOOKS.md").read_text(), re.DOTALL)
        documented = {}
        exec(example, documented)
        self.is_ours = documented["is_ours"]
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.take(dict(self.headers.items()), body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        fixtures = ROOT / "tests" / "fixtures" / "tls"
        context.load_cert_chain(fixtures / "server.pem", fixtures / "server-key.pem")
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_address[1]}/dialgate"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, headers: dict, body: bytes) -> int:
        headers = {name.lower(): value for name, value in headers.items()}
        signed = self.is_ours(WEBHOOK_SECRET, headers, body, self.clock.now())
        forged = self.is_ours(WEBHOOK_SECRET[:-2] + "A=", headers, body, self.clock.now())
        late = self.is_ours(WEBHOOK_SECRET, headers, body, self.clock.now() + 400)
        other = self.is_ours(WEBHOOK_SECRET, headers, body + b" ", self.clock.now())
        status = self.status if (signed, forged, late, other) == (True, False, False, False) else 400
        self.messages.append((headers["webhook-id"], status, json.loads(body), body.decode()))
        return status

    def changes(self) -> list[dict]:
        """What was taken, each change once, in the order of its first arrival."""
        seen = {}
        for _, status, message, _ in list(self.messages):
            if status == 204:
                for change in message["changes"]:
                    seen.setdefault(change["position"], change)
        return list(seen.values())

    def has(self, suppression_id: str) -> list[dict]:
        return [change for change in self.changes() if change["suppression"]["suppression_id"] == suppression_id]

    def close(self):
        self.server.shutdown()


def standing(stage: Stage) -> webhook_pb2.Webhook:
    client = stage.auditor
    [webhook] = client.ask(client.webhooks.ListWebhooks, webhook_pb2.ListWebhooksRequest()).webhooks
    return webhook


def in_order(stage: Stage):
    positions = [change["position"] for change in stage.receiver.changes()]
    equal(positions, list(range(1, len(positions) + 1)), "the positions that were taken")


@check("together", "an opt-out reaches the CRM signed, over TLS, within seconds, and says no more than it should")
def reaches(stage: Stage):
    number = stage.number("us")
    made = stage.opt_out(number, note="told at the door", evidence_ref="recording 12")
    [change] = wait_for("the change", lambda: stage.receiver.has(made.suppression_id))
    said = change["suppression"]
    equal((change["kind"], said["number_key"], said["reason"], said["channels"]), ("recorded", made.number_key, "party_request", []))
    for _, _, _, text in stage.receiver.messages:
        assert "at the door" not in text and "recording 12" not in text and number not in text, text
    equal(standing(stage).configured, True)


@check("alone", "the CRM is down while opt-outs come in and the server is killed: every change arrives, in order")
def outage(stage: Stage):
    receiver = stage.receiver
    receiver.status = 500
    made = [stage.opt_out(stage.number("us")) for _ in range(5)]
    wait_for("a refused message", lambda: receiver.messages and receiver.messages[-1][1] == 500)
    stage.server.kill()
    stage.server.start()
    made += [stage.opt_out(stage.number("us")) for _ in range(3)]
    wait_for("another try", lambda: standing(stage).failed_tries >= 2, 60)
    assert standing(stage).last_problem == "http_500", standing(stage)
    receiver.status = 204
    wait_for("all of them", lambda: all(receiver.has(each.suppression_id) for each in made), 60)
    in_order(stage)
    wait_for("the server to know", lambda: standing(stage).pending_changes == 0)
    # Killed right when one was sent: it comes again under its name, or was taken for delivered; never is it lost.
    made = []
    for _ in range(4):
        made.append(stage.opt_out(stage.number("us")))
        stage.server.kill()
        stage.server.start()
    wait_for("all of them", lambda: all(receiver.has(each.suppression_id) for each in made), 90)
    in_order(stage)


@check("alone", "a CRM that says it is gone is parked, shown, and goes on where it stood when an administrator brings it back")
def parked(stage: Stage):
    receiver, admin = stage.receiver, stage.administrator
    receiver.status = 410
    made = stage.opt_out(stage.number("us"))
    wait_for("the end of it", lambda: standing(stage).state == PARKED, 30)
    receiver.status = 204
    before = len(receiver.messages)
    time.sleep(2.5)
    equal(len(receiver.messages), before, "messages to one that is parked")
    webhook = standing(stage)
    equal((webhook.last_problem, webhook.pending_changes), ("http_410", 1))
    refused = rpc.refusal(stage.auditor, stage.auditor.webhooks.ResumeWebhook, webhook_pb2.ResumeWebhookRequest(request_id=rpc.request_id(), name=WEBHOOK))
    equal(refused.code, "PERMISSION_DENIED")
    request = webhook_pb2.ResumeWebhookRequest(request_id=rpc.request_id(), name=WEBHOOK)
    equal(admin.ask(admin.webhooks.ResumeWebhook, request).webhook.state, DELIVERING)
    wait_for("the change", lambda: receiver.has(made.suppression_id))
    in_order(stage)
