"""Calls that are refused: ordinary answers with rules, reasons, citations, and nothing on the wire."""

import json
from datetime import datetime, timezone

import client as rpc
from checks import check, equal
from client import (
    audit_pb2, call_pb2, consent_pb2, contact_pb2, decision_pb2, refusal, suppression_pb2,
)
from stage import SELLER, Stage, basic


def denied(stage: Stage, number: str, rule: str, land: str = "us") -> decision_pb2.Decision:
    """Places a call, is denied by this rule, and finds the same decision stored, with its input for the auditor."""
    placed = stage.place(number, "callee_hangs_up", land)
    decision = placed.decision
    equal(decision_pb2.Verdict.Name(decision.verdict), "VERDICT_DENY")
    assert rule in decision.denied_by, f"denied by {list(decision.denied_by)}, not by {rule}"
    assert not placed.HasField("call"), "a denied call was queued"
    result = next(result for result in decision.rule_results if result.rule == rule)
    equal(decision_pb2.RuleOutcome.Name(result.outcome), "RULE_OUTCOME_FAIL")
    assert result.reason and result.citation and result.evidence, f"{rule} is not explained: {result}"
    fails = [one.rule for one in decision.rule_results if one.outcome == decision_pb2.RULE_OUTCOME_FAIL]
    equal(fails, list(decision.denied_by), "rules with outcome fail")
    assert decision.zones and decision.jurisdictions and decision.pack.version and len(decision.pack.sha256) == 64
    equal(stage.decision(decision.decision_id), basic(decision), "the stored decision")
    case = stage.decision(decision.decision_id, full=True).case_json
    assert '"facts"' in case and number[1:] not in case, "the auditor's case is missing or shows the number"
    equal(stage.check(number, "callee_hangs_up", land).denied_by, decision.denied_by, "CheckCall and PlaceCall differ")
    equal(len(stage.trunks["callee_hangs_up"].invites(number)), 0, "INVITEs")
    return decision


@check("together", "denied: opted out, for a dialable number as for one nobody has on record")
def opted_out(stage: Stage):
    number = stage.person()
    stage.opt_out(number, reason=suppression_pb2.SUPPRESSION_REASON_PARTY_REQUEST)
    decision = denied(stage, number, "US-internal-dnc")
    assert not decision.HasField("next_allowed_time"), "an opt-out never expires"
    german = stage.number("de")
    stage.opt_out(german, reason=suppression_pb2.SUPPRESSION_REASON_OBJECTION)
    stage.person("de", german)
    stage.consent(german)
    denied(stage, german, "EEA-objection", "de")


@check("together", "denied: outside the calling hours, with the next lawful instant")
def outside_hours(stage: Stage):
    for number, place, zones, opens in [
        # Somebody who is known to be in Honolulu; and a number of Hawaii alone, whose area code serves Wake Island, too.
        ("+18085550123", {"postal_code": "96813", "country": "US"}, ["Pacific/Honolulu"], 18),
        ("+18085550124", {}, ["Pacific/Honolulu", "Pacific/Wake"], 20),
    ]:
        stage.numbers.append(number)
        stage.person(number=number, location=place)
        decision = denied(stage, number, "US-window")
        equal(list(decision.zones), zones)
        equal(rpc.seconds(decision.next_allowed_time), datetime(2026, 10, 21, opens, tzinfo=timezone.utc).timestamp(), "08:00 there")


@check("together", "denied: the copy of the register is stale, or was never asked")
def stale_register(stage: Stage):
    denied(stage, stage.person(register_age=32), "US-national-dnc")
    assert stage.check(stage.person(register_age=31), "busy").verdict == decision_pb2.VERDICT_ALLOW, "31 days old is still good"
    denied(stage, stage.number("us"), "US-national-dnc")


@check("together", "denied: no consent in Germany; allowed with it; denied once it is withdrawn")
def missing_consent(stage: Stage):
    number = stage.person("de")
    denied(stage, number, "DE-basis-consumer", "de")
    stage.consent(number)
    equal(stage.check(number, "busy", "de").verdict, decision_pb2.VERDICT_ALLOW)
    request = consent_pb2.WithdrawConsentRequest(request_id=rpc.request_id(), number=number, seller=SELLER, source="sms_stop")
    withdrawn = stage.agent.ask(stage.agent.consents.WithdrawConsent, request).consent_event
    equal(withdrawn.action, consent_pb2.CONSENT_ACTION_WITHDRAWN)
    denied(stage, number, "DE-basis-consumer", "de")
    listed = stage.administrator.ask(stage.administrator.consents.ListConsents, consent_pb2.ListConsentsRequest(number=number)).consent_events
    equal([event.action for event in listed], [consent_pb2.CONSENT_ACTION_WITHDRAWN, consent_pb2.CONSENT_ACTION_GIVEN])


@check("together", "lifting an opt-out takes two people")
def lift(stage: Stage):
    number = stage.person()
    suppression = stage.opt_out(number)
    one, two = stage.administrator, stage.approver

    def ask():
        return suppression_pb2.LiftSuppressionRequest(
            request_id=rpc.request_id(), suppression_id=suppression.suppression_id, reason="signed a new permission",
            evidence_ref="letter-1", evidence_time=rpc.timestamp(stage.clock.now()))

    waiting = one.ask(one.suppressions.LiftSuppression, ask()).suppression
    assert waiting.HasField("lift_request") and not waiting.HasField("lift"), waiting
    again = refusal(one, one.suppressions.LiftSuppression, ask())
    equal((again.code, again.reason), ("FAILED_PRECONDITION", "SECOND_APPROVER_REQUIRED"))
    equal(stage.check(number, "busy").verdict, decision_pb2.VERDICT_DENY)
    told = refusal(two, two.suppressions.LiftSuppression, ask())
    equal((told.code, told.reason), ("INVALID_ARGUMENT", "INVALID_FIELDS"))
    approval = suppression_pb2.LiftSuppressionRequest(
        request_id=rpc.request_id(), suppression_id=suppression.suppression_id)
    lifted = two.ask(two.suppressions.LiftSuppression, approval).suppression
    equal(lifted.lift.requested_by, waiting.lift_request.requested_by)
    assert lifted.lift.approved_by and lifted.lift.requested_by != lifted.lift.approved_by, lifted
    equal(stage.check(number, "busy").verdict, decision_pb2.VERDICT_ALLOW)


@check("together", "opt-outs are found by number, and say nothing about other numbers")
def check_numbers(stage: Stage):
    stopped, free = stage.person(), stage.person()
    suppression = stage.opt_out(stopped)
    client = stage.administrator
    checks = client.ask(client.suppressions.CheckNumbers, suppression_pb2.CheckNumbersRequest(numbers=[stopped, free])).checks
    equal([[one.suppression_id for one in check.suppressions] for check in checks], [[suppression.suppression_id], []])
    listed = client.ask(client.suppressions.ListSuppressions, suppression_pb2.ListSuppressionsRequest(number=stopped)).suppressions
    equal([one.suppression_id for one in listed], [suppression.suppression_id])


@check("together", "the auditor reads decisions page by page, and no number")
def audit_pages(stage: Stage):
    number = stage.person()
    asked = {stage.check(number, "busy").decision_id for _ in range(5)}
    key = stage.decision(next(iter(asked))).number_key
    found, token = [], ""
    while True:
        page = stage.auditor.ask(stage.auditor.audit.ListDecisions, audit_pb2.ListDecisionsRequest(
            page_size=2, page_token=token, filter=f'number_key = "{key}" AND stage = "check"'))
        assert len(page.decisions) <= 2
        found += page.decisions
        token = page.next_page_token
        if not token:
            break
    equal(sorted(one.decision_id for one in found), sorted(asked))
    equal(found, sorted(found, key=lambda one: rpc.seconds(one.decided_time), reverse=True), "newest first")
    call = stage.place_allowed(number, "busy").call
    seen = stage.auditor.ask(stage.auditor.calls.GetCall, call_pb2.GetCallRequest(call_id=call.call_id)).call
    equal((seen.to, seen.to_masked[-2:]), ("", number[-2:]))


@check("together", "a contact is written by fields, and not over somebody else's change")
def contacts(stage: Stage):
    number = stage.person()
    client = stage.administrator
    first = client.ask(client.contacts.GetContact, contact_pb2.GetContactRequest(number=number)).contact
    change = contact_pb2.UpsertContactRequest(request_id=rpc.request_id(), contact=contact_pb2.Contact(
        party_id=first.party_id, language_tag="en", etag=first.etag), update_mask={"paths": ["language_tag"]})
    second = client.ask(client.contacts.UpsertContact, change).contact
    equal((second.display_name, second.language_tag, len(second.numbers)), (first.display_name, "en", 1))
    change.request_id = rpc.request_id()
    stale = refusal(client, client.contacts.UpsertContact, change)
    equal((stale.code, stale.reason), ("ABORTED", "ETAG_MISMATCH"))


@check("together", "the input of a decision is shown only to who asks for the full view")
def full_view(stage: Stage):
    number = stage.person()
    for decision in (stage.check(number, "busy"), stage.place(number, "busy").decision):
        equal(decision.case_json, "")
        equal(stage.decision(decision.decision_id).case_json, "")
        case = json.loads(stage.decision(decision.decision_id, full=True).case_json)
        equal(case["call"]["purpose"], "sales")
        assert number not in case["call"]["to"], "the auditor is shown the number"


@check("alone", "every decision of this story is made again and comes out the same, byte for byte")
def made_again(stage: Stage):
    stage.place(stage.number("us"), "busy")
    client, token, counts = stage.auditor, "", {"same": 0, "different": 0, "impossible": 0, "erased": 0, "refused": 0}
    while True:
        page = client.ask(client.audit.ReplayDecisions, audit_pb2.ReplayDecisionsRequest(page_size=50, page_token=token))
        assert not page.differences, f"made again it differs: {page.differences[0]}"
        for name in counts:
            counts[name] += getattr(page, name)
        token = page.next_page_token
        if not token:
            break
    assert counts["same"] > 0 and sum(counts.values()) == counts["same"] + counts["refused"], f"{counts}"
