"""One server with its people, trunks and callees, and the questions that every check asks of them."""

import itertools
import socket
from dataclasses import dataclass
from datetime import timedelta

import client as rpc
from callee import Lossy, Mute, Sipp, Traffic
from checks import equal
from client import audit_pb2, call_pb2, call_types_pb2, consent_pb2, contact_pb2, decision_pb2, suppression_pb2
from keys import make_key
from tones import PlainCarrier
from world import START, Clock, Folder, Postgres, Server, free_port, run_binary


TODAY = START.date()
SELLER = "acme"
MD5_CHALLENGE = 'WWW-Authenticate: Digest realm="carrier.example", nonce="a1b2c3d4", algorithm=MD5, qop="auth"'
SHA_CHALLENGE = 'Proxy-Authenticate: Digest realm="carrier.example", nonce="d4c3b2a1", algorithm=SHA-256, qop="auth"'
USERNAME, PASSWORD = "trunk-user", "a-trunk-secret-7f3e"
FORM_SOURCE, FORM_SECRET = "website", "5d41402abc4b2a76b9719d911017c592"
WEBHOOK, WEBHOOK_SECRET = "crm", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
CERTIFICATE_URL, ORIGID = "https://cert.example/shaken.pem", "4437c7eb-8f7a-4f0e-a863-f53a0e60251a"
CALLER_IDS = {"us": "+14045550199", "de": "+493023125900"}


@dataclass
class Dialed:
    """A call with all that the API says of it."""

    number: str
    trunk: str
    placed: decision_pb2.Decision
    claimed: decision_pb2.Decision
    call: call_types_pb2.Call
    events: list


def kinds(events) -> list[str]:
    prefix = len("CALL_EVENT_KIND_")
    return [call_types_pb2.CallEventKind.Name(event.kind)[prefix:].lower() for event in events]


def basic(decision: decision_pb2.Decision) -> decision_pb2.Decision:
    """The decision as view BASIC shows it; that others show no more is a check of its own."""
    copy = decision_pb2.Decision()
    copy.CopyFrom(decision)
    copy.case_json = ""
    return copy


class Stage:
    def __init__(self, engine: str, receiver):
        self.engine, self.clock, self.folder = engine, Clock(), Folder()
        self.receiver = receiver(self.clock)
        self.database = Postgres(self.folder.path / "postgres") if engine == "postgres" else None
        self.url = self.database.url if self.database else f"sqlite://{self.folder.path}/dialgate.db"
        self.serials = {"us": itertools.count(100), "de": itertools.count(100)}
        self.numbers: list[str] = list(CALLER_IDS.values())
        self.secrets: list[str] = [PASSWORD, FORM_SECRET, WEBHOOK_SECRET]
        self.said: list[str] = []
        self.trunks: dict[str, Traffic] = {}
        self.server: Server | None = None

    # ---- the scene ----------------------------------------------------------------------------------------------------

    def raise_curtain(self):
        def sipp(name, scenario, **filled):
            self.trunks[name] = Sipp(self.folder.path, name, scenario, **filled)

        sipp("callee_hangs_up", "answer_hangs_up")
        sipp("callee_waits", "answer_waits")
        sipp("signed", "answer_hangs_up")
        sipp("busy", "refuse", status="486 Busy Here", header="Reason: Q.850;cause=17")
        sipp("declines", "refuse", status="603 Decline", header="Reason: Q.850;cause=21")
        sipp("unwanted", "refuse", status="607 Unwanted", header="Reason: Q.850;cause=21")
        sipp("rings", "ring")
        sipp("rings_on", "ring")
        sipp("answers_late", "late_answer")
        sipp("challenge_401", "challenge", status="401 Unauthorized", header=MD5_CHALLENGE)
        sipp("challenge_407", "challenge", status="407 Proxy Authentication Required", header=SHA_CHALLENGE)
        sipp("doomed", "answer_waits")
        self.trunks["mute"] = Mute()
        self.trunks["browser"] = PlainCarrier()
        self.trunks["lossy"] = Lossy(Sipp(self.folder.path, "behind_lossy", "answer_waits"), {"INVITE", "200"})
        secret_file = self.secret_file("website.secret", FORM_SECRET)
        webhook_file = self.secret_file("webhook.secret", WEBHOOK_SECRET)
        self.console = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}"
        config = self.write_config("dialgate.toml", self.url, "number.key", console=f'listen = "{self.console}"', **{
            f"consent_source.{FORM_SOURCE}": f'secret_file = "{secret_file}"\nseller = "{SELLER}"',
            "[webhook]": f'name = "{WEBHOOK}"\nurl = "{self.receiver.url}"\nsecret_file = "{webhook_file}"\ntimeout_ms = 2000\n'
                         'allowed_networks = ["127.0.0.1/32", "::1/128"]'})
        self.server = Server(self.clock, config, self.address)
        self.keys = keys = {name: self.create_key(config, name, role) for name, role in [
            ("agent", "agent"), ("administrator", "administrator"), ("approver", "approver"), ("auditor", "auditor")]}
        self.server.start()
        self.agent, self.administrator, self.approver, self.auditor = (rpc.Client(self.address, keys[name]) for name in keys)
        self.nobody = rpc.Client(self.address, None)

    def secret_file(self, name: str, secret: str):
        path = self.folder.path / name
        path.write_text(secret + "\n")
        path.chmod(0o600)
        return path

    def write_config(self, name: str, url: str, key_file: str, **changes: str):
        """A whole configuration; `changes` replace its top-level sections' lines, by section name."""
        self.address = f"127.0.0.1:{free_port(socket.SOCK_STREAM)}" if name == "dialgate.toml" else "127.0.0.1:0"
        sections = {
            "store": f'url = "{url}"\nkey_file = "{self.folder.path}/{key_file}"\nmax_connections = 8',
            "grpc": f'listen = "{self.address}"',
            "sip": 'listen = "127.0.0.1:0"',
            "dialer": "drain_seconds = 2",
        } | changes
        password_file = self.folder.path / "trunk.password"
        password_file.write_text(PASSWORD + "\n")
        password_file.chmod(0o600)
        lines = [f"[{section}]\n{body}\n" for section, body in sections.items()]
        for trunk, callee in self.trunks.items():
            lines.append(f'[trunk.{trunk}]\ntarget = "127.0.0.1:{callee.port}"\ndomain = "carrier.example"\n'
                         f'calls_per_second = 50\nburst = 10\nring_timeout_seconds = {15 if trunk == "rings" else 45}\n')
            if trunk == "signed":
                key, certificate = make_key(self.folder.path, self.clock.now())
                lines.append(f'trusted = true\n[trunk.{trunk}.identity]\nattest = "A"\norigid = "{ORIGID}"\nkey_file = "{key}"\n'
                             f'certificate_url = "{CERTIFICATE_URL}"\ncertificate_file = "{certificate}"\n')
            if trunk == "browser":
                lines.append(f'anchor = "main"\n[anchor.main]\nengines = ["127.0.0.1:{callee.engine.port}"]\n')
            if trunk.startswith("challenge"):
                lines.append(f'username = "{USERNAME}"\npassword_file = "{password_file}"\n')
            for land, caller_id in CALLER_IDS.items():
                lines.append(
                    f'[campaign.{land}-{trunk}]\nactive = true\nseller = "{SELLER}"\npurpose = "sales"\nsubject = "roof-check"\n'
                    f'call_kinds = ["live_manual"]\ntrunk = "{trunk}"\ndestinations = ["{land.upper()}"]\n'
                    f'caller_ids = [{{ number = "{caller_id}", owned = true, callable = true }}]\n')
        path = self.folder.path / name
        path.write_text("\n".join(lines))
        path.chmod(0o600)
        return path

    def create_key(self, config, name: str, role: str) -> str:
        done = run_binary(self.clock, "admin", "key", "create", "--config", str(config), "--name", name, "--role", role)
        assert done.returncode == 0, f"no key was made: {done.stderr}"
        key = next(word for word in done.stdout.split() if word.startswith("dg_"))
        self.secrets.append(key.rsplit("_", 1)[1])
        return key

    # ---- people -------------------------------------------------------------------------------------------------------

    def number(self, land: str) -> str:
        """A number of those set aside for films and books that nobody in the story has yet."""
        serial = next(self.serials[land])
        number = f"+14045550{serial}" if land == "us" else f"+493023125{serial}"
        self.numbers.append(number)
        return number

    def person(self, land: str = "us", number: str | None = None, register_age: int = 5, **facts) -> str:
        """A person on record who may be called, unless a keyword says otherwise; answers their number."""
        number = number or self.number(land)
        line = contact_pb2.ContactNumber(number=number, line_type=contact_pb2.LINE_TYPE_LANDLINE)
        contact = contact_pb2.Contact(display_name=f"Pat {number[-3:]}", audience=contact_pb2.AUDIENCE_CONSUMER)
        if land == "us":
            checked = rpc.civil(TODAY - timedelta(days=register_age))
            line.registers.append(contact_pb2.RegisterCheck(register="us-dnc", listed=False, as_of_date=checked))
        else:
            contact.location.country, contact.location.timezone = "DE", "Europe/Berlin"
            contact.dealings.add(seller=SELLER).notice.version = "n-7"
        contact.numbers.append(line)
        contact.MergeFrom(contact_pb2.Contact(**facts))
        self.administrator.ask(self.administrator.contacts.UpsertContact,
                               contact_pb2.UpsertContactRequest(request_id=rpc.request_id(), contact=contact))
        return number

    def consent(self, number: str):
        request = consent_pb2.RecordConsentRequest(
            request_id=rpc.request_id(), number=number, seller=SELLER, event_time=rpc.timestamp(self.clock.now() - 90 * 86400),
            channels=[rpc.LIVE_MANUAL], form=consent_pb2.CONSENT_FORM_WEB_FORM, explicit=True, documented=True,
            out_of_hours=False, period="indefinite", initiated_by=consent_pb2.INITIATED_BY_PERSON, source="web", evidence_ref="form-4711")
        return self.administrator.ask(self.administrator.consents.RecordConsent, request).consent_event

    def opt_out(self, number: str, **more):
        request = suppression_pb2.CreateSuppressionRequest(request_id=rpc.request_id(), number=number, **more)
        return self.administrator.ask(self.administrator.suppressions.CreateSuppression, request).suppression

    # ---- calls --------------------------------------------------------------------------------------------------------

    def wish(self, number: str, trunk: str, land: str = "us", **more) -> call_pb2.PlaceCallRequest:
        fields = dict(
            request_id=rpc.request_id(), to=number, campaign=f"{land}-{trunk}", call_kind=rpc.LIVE_MANUAL, sdp_offer=rpc.SDP,
            expire_time=rpc.timestamp(self.clock.now() + 60))
        return call_pb2.PlaceCallRequest(**(fields | more))

    def place(self, number: str, trunk: str, land: str = "us", **more) -> call_pb2.PlaceCallResponse:
        return self.agent.ask(self.agent.calls.PlaceCall, self.wish(number, trunk, land, **more))

    def place_allowed(self, number: str, trunk: str, land: str = "us") -> call_pb2.PlaceCallResponse:
        placed = self.place(number, trunk, land)
        reasons = [(result.rule, result.reason) for result in placed.decision.rule_results if result.rule in placed.decision.denied_by]
        assert placed.decision.verdict == decision_pb2.VERDICT_ALLOW, f"denied by {reasons}"
        return placed

    def watch(self, call_id: str, until: str = "", token: bytes = b"", seconds: float = 40):
        """Events of a call up to the first of kind `until`, or to its end; and the token of the last."""
        stream = self.agent.ask(self.agent.calls.WatchCall, call_pb2.WatchCallRequest(call_id=call_id, resume_token=token), seconds)
        events = []
        for message in stream:
            token = message.resume_token
            if message.WhichOneof("content") == "event":
                events.append(message.event)
                if kinds(events)[-1] == until:
                    stream.cancel()
                    return events, token
        assert not until, f"the call ended without `{until}`: {kinds(events)}"
        return events, token

    def hang_up(self, call_id: str):
        return self.agent.ask(self.agent.calls.HangUpCall, call_pb2.HangUpCallRequest(request_id=rpc.request_id(), call_id=call_id)).call

    def get(self, call_id: str) -> call_types_pb2.Call:
        return self.agent.ask(self.agent.calls.GetCall, call_pb2.GetCallRequest(call_id=call_id)).call

    def decision(self, decision_id: str, full: bool = False) -> decision_pb2.Decision:
        view = decision_pb2.DECISION_VIEW_FULL if full else decision_pb2.DECISION_VIEW_BASIC
        return self.auditor.ask(self.auditor.audit.GetDecision, audit_pb2.GetDecisionRequest(decision_id=decision_id, view=view)).decision

    def check(self, number: str, trunk: str, land: str = "us") -> decision_pb2.Decision:
        request = call_pb2.CheckCallRequest(to=number, campaign=f"{land}-{trunk}", call_kind=rpc.LIVE_MANUAL)
        return self.agent.ask(self.agent.calls.CheckCall, request).decision

    def finished(self, number: str, trunk: str, placed: call_pb2.PlaceCallResponse) -> Dialed:
        """Follows a placed call to its end, and holds everything said of it against each other and against the wire."""
        events, _ = self.watch(placed.call.call_id)
        call = self.get(placed.call.call_id)
        dialed = Dialed(number, trunk, self.decision(call.place_decision_id), self.decision(call.claim_decision_id), call, events)
        self.agree(dialed, placed)
        return dialed

    def agree(self, dialed: Dialed, placed: call_pb2.PlaceCallResponse):
        call, events, wire = dialed.call, dialed.events, self.trunks[dialed.trunk]
        # The history: no gap, no double, an order that can be, an end that says what the call says.
        assert [event.sequence for event in events] == list(range(1, len(events) + 1)), kinds(events)
        assert len({event.event_id for event in events}) == len(events)
        assert all(event.call_id == call.call_id for event in events)
        # What the worker heard of the far end; an opt-out or a hang-up comes from elsewhere, in between.
        heard = [event for event in events if kinds([event])[0] not in ("opt_out", "hang_up_requested")]
        times = [rpc.seconds(event.event_time) for event in heard]
        assert times == sorted(times), f"event times run backwards: {list(zip(kinds(heard), times))}"
        assert kinds(events)[:3] == ["queued", "claimed", "inviting"], kinds(events)
        assert [kind for kind in kinds(events) if kind != "note"][-1] == "ended", kinds(events)
        end = next(event for event in events if kinds([event]) == ["ended"])
        assert (end.outcome, end.sip_code) == (call.outcome, call.sip_code), f"{end} and {call}"
        assert call.HasField("end_time") and call.HasField("invite_time")
        assert ("ringing" in kinds(events)) == call.HasField("ring_time")
        assert ("answered" in kinds(events)) == call.HasField("answer_time")
        # The decisions: both allow, both are about this call, the first is the one that was answered.
        equal(dialed.placed, basic(placed.decision), "GetDecision against PlaceCall")
        for decision, stage in [(dialed.placed, decision_pb2.DECISION_STAGE_PLACE), (dialed.claimed, decision_pb2.DECISION_STAGE_CLAIM)]:
            assert decision.verdict == decision_pb2.VERDICT_ALLOW and not decision.denied_by
            assert decision.stage == stage and decision.call_id == call.call_id
            assert (decision.number_key, decision.party_id) == (call.number_key, call.party_id)
            assert decision.rule_results and all(result.rule and result.reason for result in decision.rule_results)
        # The wire: one call, to this number and from the campaign's, after its claim was decided and not later than it may.
        invites = wire.invites(dialed.number)
        assert invites, "no INVITE reached the callee"
        assert len({invite.header("Call-ID") for invite in invites}) == 1, "more than one call reached the callee"
        for invite in invites:
            assert invite.first_line.startswith(f"INVITE sip:{dialed.number}@"), invite.first_line
            assert f"sip:{call.caller_id}@" in invite.header("From")
            age = invite.at + self.clock.offset - rpc.seconds(dialed.claimed.decided_time)
            # 1.5 s by its sender; the rest is for the callee to get round to it on a busy machine.
            assert 0 <= age < 1.9, f"an INVITE arrived {age:.3f} s after its claim was decided"
        assert ("ringing" in kinds(events)) == bool(wire.sent(dialed.number, "180")), f"ringing: {kinds(events)}"
        answers = [message for message in wire.sent(dialed.number, "200") if message.header("CSeq").endswith("INVITE")]
        assert ("answered" in kinds(events)) == bool(answers) or "cancel" in call_types_pb2.Outcome.Name(call.outcome).lower()
        if call.sip_code >= 300:
            assert wire.sent(dialed.number, str(call.sip_code)), f"{call.sip_code} was never sent"

    # ---- the end ------------------------------------------------------------------------------------------------------

    def clean_up(self):
        try:
            if self.server and self.server.process and self.server.is_up():
                self.server.kill()
            for trunk in self.trunks.values():
                trunk.kill()
            self.receiver.close()
            if self.database:
                self.database.stop()
        finally:
            self.folder.remove()
