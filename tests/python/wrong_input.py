"""Input that is wrong: a clear error that names the field, nothing dialed."""

import client as rpc
from checks import check, equal
from client import (
    Client, audit_pb2, call_pb2, call_types_pb2, consent_pb2, contact_pb2, date_pb2, refusal, suppression_pb2,
)
from stage import Stage

NOT_E164 = [
    "", "4045550141", "14045550141", "+1 404 555 0141", "+1-404-555-0141", "(404) 555-0141", "tel:+14045550141",
    "sip:+14045550141@carrier.example", "+14045550141;ext=5", "+14045550141,5", "+１４０４５５５０１４１", "+1404555014a",
    "00914045550141", "++14045550141", "+0123456789", "+12345678901234567", "*67+14045550141", "+14045550141\r\nX-Evil: 1",
    "+14045550141 ", "+", "911", "112", "+911", "+112", "９１１",
]
NOT_DIALABLE = [
    # Emergency and short numbers, in plain and behind a country's code.
    "+1911555", "+49110000", "+4911200", "+1404911", "+491120000", "+4419990000",
    # Premium, shared cost, satellite, special services, area codes that nobody has.
    "+19005550141", "+499001234567", "+447000000000", "+881612345678", "+870773110000", "+15005550141", "+10005550141",
    "+18005550141", "+19995550141",
    # Too long or too short for its country, or a country that is none.
    "+1404555014", "+140455501411", "+999555014100", "+2105550141",
]


@check("together", "a number that is not E.164 is refused by name")
def not_e164(stage: Stage):
    wrong_numbers(stage, NOT_E164)


@check("together", "emergency, short, premium and unknown numbers are refused in every disguise")
def not_dialable(stage: Stage):
    wrong_numbers(stage, NOT_DIALABLE)


def wrong_numbers(stage: Stage, texts: list[str]):
    faults = [fault for text in texts for land in ("us", "de") for fault in wrong_number(stage, text, land)]
    assert not faults, "\n".join(sorted(set(faults)))


def wrong_number(stage: Stage, text: str, land: str) -> list[str]:
    faults = []
    digits = "".join(char for char in text if char.isdigit())
    check_call = call_pb2.CheckCallRequest(to=text, campaign=f"{land}-mute", call_kind=rpc.LIVE_MANUAL)
    for method, request in [(stage.agent.calls.PlaceCall, stage.wish(text, "mute", land)), (stage.agent.calls.CheckCall, check_call)]:
        try:
            refused = refusal(stage.agent, method, request)
        except AssertionError as problem:
            return [f"{text!r} in {land}: {problem}"]
        if refused.code != "INVALID_ARGUMENT" or "to" not in refused.fields:
            faults.append(f"{text!r} in {land}: {refused}")
        elif refused.reason not in ("NUMBER_NOT_E164", "NUMBER_NOT_DIALABLE") and text:
            faults.append(f"{text!r} in {land}: {refused}")
        elif len(digits) > 4 and digits in f"{refused.message} {refused.fields} {refused.metadata}":
            faults.append(f"{text!r} in {land}: the error shows the number: {refused}")
    if len(digits) > 4 and any(digits in message.text for message in stage.trunks["mute"].messages()):
        faults.append(f"{text!r} was dialed")
    return faults


@check("together", "wrong fields are named, all of them")
def wrong_fields(stage: Stage):
    number, agent, admin, auditor = stage.person(), stage.agent, stage.administrator, stage.auditor
    now = stage.clock.now()
    place, audit = agent.calls.PlaceCall, auditor.audit.ListDecisions
    bad_date = contact_pb2.RegisterCheck(register="us-dnc", listed=False, as_of_date=date_pb2.Date(year=2026, month=2, day=30))
    party = "0190a000-0000-7000-8000-000000000000"
    cases = [
        (agent, place, stage.wish(number, "mute", request_id="no-uuid"), "INVALID_ARGUMENT", "INVALID_FIELDS", {"request_id"}),
        (agent, place, stage.wish(number, "mute", request_id="", sdp_offer=b"", expire_time=None), "INVALID_ARGUMENT", "INVALID_FIELDS",
         {"request_id", "sdp_offer", "expire_time"}),
        (agent, place, stage.wish(number, "mute", call_kind=call_types_pb2.CALL_KIND_UNSPECIFIED), "INVALID_ARGUMENT", "INVALID_FIELDS", {"call_kind"}),
        (agent, place, stage.wish(number, "mute", call_kind=77), "INVALID_ARGUMENT", "INVALID_FIELDS", {"call_kind"}),
        (agent, place, stage.wish(number, "mute", sdp_offer=rpc.SDP + b"a=x\r\n" * 900), "INVALID_ARGUMENT", "INVALID_FIELDS", {"sdp_offer"}),
        (agent, place, stage.wish(number, "mute", party_id="nobody"), "INVALID_ARGUMENT", "INVALID_FIELDS", {"party_id"}),
        (agent, place, stage.wish(number, "mute", expire_time=rpc.timestamp(now - 1)), "FAILED_PRECONDITION", "REQUEST_EXPIRED", set()),
        (agent, place, stage.wish(number, "mute", expire_time=rpc.timestamp(now + 86400 * 2)), "INVALID_ARGUMENT", "INVALID_FIELDS", {"expire_time"}),
        (agent, place, stage.wish(number, "nowhere"), "NOT_FOUND", "CAMPAIGN_UNKNOWN", set()),
        (agent, place, stage.wish(number, "mute", call_kind=call_types_pb2.CALL_KIND_PRERECORDED), "FAILED_PRECONDITION", "CALL_KIND_NOT_ALLOWED", set()),
        (agent, place, stage.wish(number, "mute", caller_id="+14045550198"), "FAILED_PRECONDITION", "CALLER_ID_NOT_ALLOWED", set()),
        (agent, place, stage.wish(stage.person("de"), "mute", "us"), "FAILED_PRECONDITION", "DESTINATION_NOT_ALLOWED", set()),
        (agent, agent.calls.GetCall, call_pb2.GetCallRequest(call_id="x"), "INVALID_ARGUMENT", "INVALID_FIELDS", {"call_id"}),
        (agent, agent.calls.GetCall, call_pb2.GetCallRequest(call_id=party), "NOT_FOUND", "CALL_NOT_FOUND", set()),
        (agent, agent.calls.HangUpCall, call_pb2.HangUpCallRequest(request_id=rpc.request_id(), call_id=party), "NOT_FOUND", "CALL_NOT_FOUND", set()),
        (agent, agent.calls.RecordDisposition, call_pb2.RecordDispositionRequest(request_id=rpc.request_id(), call_id=party), "INVALID_ARGUMENT",
         "INVALID_FIELDS", {"code"}),
        (auditor, audit, audit_pb2.ListDecisionsRequest(filter='colour = "red"'), "INVALID_ARGUMENT", "FILTER_INVALID", {"filter"}),
        (auditor, audit, audit_pb2.ListDecisionsRequest(filter='verdict = "deny" AND'), "INVALID_ARGUMENT", "FILTER_INVALID", {"filter"}),
        (auditor, audit, audit_pb2.ListDecisionsRequest(filter="verdict = 'deny'; DROP TABLE decisions"), "INVALID_ARGUMENT", "FILTER_INVALID", {"filter"}),
        (auditor, audit, audit_pb2.ListDecisionsRequest(page_token="forged"), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID", {"page_token"}),
        (auditor, audit, audit_pb2.ListDecisionsRequest(page_size=-1), "INVALID_ARGUMENT", "INVALID_FIELDS", {"page_size"}),
        (auditor, auditor.audit.GetDecision, audit_pb2.GetDecisionRequest(decision_id=party), "NOT_FOUND", "DECISION_NOT_FOUND", set()),
        (agent, agent.calls.ListCalls, call_pb2.ListCallsRequest(filter='nothing = "x"'), "INVALID_ARGUMENT", "FILTER_INVALID", {"filter"}),
        (admin, admin.contacts.UpsertContact, contact_pb2.UpsertContactRequest(request_id=rpc.request_id(), contact=contact_pb2.Contact(
            numbers=[contact_pb2.ContactNumber(number=number, registers=[bad_date])])), "INVALID_ARGUMENT", "INVALID_FIELDS",
         {"contact.numbers[0].registers[0].as_of_date"}),
        (admin, admin.contacts.UpsertContact, contact_pb2.UpsertContactRequest(request_id=rpc.request_id(), contact=contact_pb2.Contact(
            party_id=admin.ask(admin.contacts.GetContact, contact_pb2.GetContactRequest(number=number)).contact.party_id),
            update_mask={"paths": ["shoe_size"]}), "INVALID_ARGUMENT", "INVALID_FIELDS", {"update_mask"}),
        (admin, admin.consents.RecordConsent, consent_pb2.RecordConsentRequest(
            request_id=rpc.request_id(), number=number, seller="acme", form=consent_pb2.CONSENT_FORM_ORAL, event_time=rpc.timestamp(now + 3600)),
         "INVALID_ARGUMENT", "INVALID_FIELDS", {"event_time"}),
        (admin, admin.suppressions.CreateSuppression, suppression_pb2.CreateSuppressionRequest(request_id=rpc.request_id()), "INVALID_ARGUMENT",
         "INVALID_FIELDS", {"number"}),
        (admin, admin.suppressions.CreateSuppression, suppression_pb2.CreateSuppressionRequest(
            request_id=rpc.request_id(), number=number, expire_time=rpc.timestamp(now + 3600)), "INVALID_ARGUMENT", "INVALID_FIELDS", {"expire_time"}),
        (admin, admin.suppressions.CheckNumbers, suppression_pb2.CheckNumbersRequest(numbers=[number, "x", "y"]), "INVALID_ARGUMENT", "NUMBER_NOT_E164",
         {"numbers[1]", "numbers[2]"}),
    ]
    faults = []
    for client, method, request, code, reason, fields in cases:
        try:
            refused = refusal(client, method, request)
        except AssertionError as problem:
            faults.append(f"{type(request).__name__} {reason}: {problem}")
            continue
        if (refused.code, refused.reason, refused.domain) != (code, reason, "dialgate") or not fields <= set(refused.fields):
            faults.append(f"{type(request).__name__}: expected {code} {reason} {sorted(fields)}, found {refused}")
    assert not faults, "\n".join([f"{len(faults)} of {len(cases)} cases", *faults])
    equal(len(stage.trunks["mute"].of(number)), 0, "messages to the number")


@check("together", "no credential, a wrong one, a wrong role")
def credentials(stage: Stage):
    wrong = Client(stage.address, "dg_" + "0" * 32 + "_" + "0" * 64)
    garbled = Client(stage.address, "let-me-in")
    agent, auditor = stage.agent, stage.auditor
    wish = stage.wish(stage.person(), "mute")
    stop = suppression_pb2.CreateSuppressionRequest(request_id=rpc.request_id(), number=wish.to)
    lift = suppression_pb2.LiftSuppressionRequest(request_id=rpc.request_id(), suppression_id=rpc.request_id(), reason="x", evidence_ref="y")
    cases = [
        (stage.nobody, stage.nobody.calls.PlaceCall, wish, "UNAUTHENTICATED", "CREDENTIAL_MISSING"),
        (wrong, wrong.calls.PlaceCall, wish, "UNAUTHENTICATED", "CREDENTIAL_INVALID"),
        (garbled, garbled.calls.PlaceCall, wish, "UNAUTHENTICATED", "CREDENTIAL_INVALID"),
        (auditor, auditor.calls.PlaceCall, wish, "PERMISSION_DENIED", "SCOPE_MISSING"),
        (auditor, auditor.suppressions.CreateSuppression, stop, "PERMISSION_DENIED", "SCOPE_MISSING"),
        (agent, agent.suppressions.LiftSuppression, lift, "PERMISSION_DENIED", "SCOPE_MISSING"),
    ]
    for client, method, request, code, reason in cases:
        refused = refusal(client, method, request)
        equal((refused.code, refused.reason, refused.domain), (code, reason, "dialgate"), type(request).__name__)
    equal(len(stage.trunks["mute"].invites(wish.to)), 0, "INVITEs")
    wrong.close()
    garbled.close()


@check("together", "health and reflection answer without a credential")
def health(stage: Stage):
    import grpc
    # A gRPC message is length-prefixed bytes; these two need no stubs: an empty health request, and its answer SERVING.
    ask = stage.nobody.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=bytes, response_deserializer=bytes)
    equal(ask(b"", timeout=5), b"\x08\x01", "health")
    for version in ("v1", "v1alpha"):
        method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
        stream = stage.nobody.channel.stream_stream(method, request_serializer=bytes, response_deserializer=bytes)
        # Field 7: list_services "".
        try:
            answer = next(stream(iter([b"\x3a\x00"]), timeout=5))
        except grpc.RpcError as error:
            raise AssertionError(f"reflection {version}: {error.code().name} {error.details()}") from None
        assert b"dialgate.v1.CallService" in answer, f"reflection {version} does not name CallService"
