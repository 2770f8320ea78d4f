//! That whatever changes something, or shows what may be about a person, leaves its entry in the audit log: method by method of the
//! contract, against a real server. A method that stands in neither table fails the test, so a new one cannot be forgotten.

use std::collections::BTreeSet;
use std::time::Duration;

use dialgate::domain::access::Role;
use dialgate::domain::call::{CallState, EventKind};
use dialgate::domain::filter::Filter;
use dialgate::domain::ids::CallId;
use dialgate::gate::{BARRIER_WAIT, ClaimRequest, Claimed};
use dialgate::grpc::pb;
use dialgate::store::{AUDIT_FIELDS, ListQuery, NewEvent, Urgency};
use pb::activate_pack_request::Pack as Wanted;
use pb::check_calls_request::Content as Row;
use pb::create_suppression_request::Subject;
use prost_reflect::DescriptorPool;
use tonic::{Response, Status};

use super::house::{ATLANTA, Client, House, OFFER, consumer, request_id};
use super::{consent_imports, imports, people, policy, registers, webhooks};
use crate::support::builders::tenant;

/// Methods that change nothing and show nothing readable about anybody.
const READS: &[&str] = &[
    "AuditService/GetCheckpoint",
    "AuditService/GetConsistencyProof",
    "AuditService/GetEntry",
    "AuditService/ListEntries",
    "AuditService/ReplayDecisions",
    "ConsentService/GetConsentImport",
    "ConsentService/ListConsentImportRejects",
    "ConsentService/ListConsentImports",
    "PolicyService/Evaluate",
    "PolicyService/GetRule",
    "PolicyService/ListActivations",
    "PolicyService/ListClosedDays",
    "PolicyService/ListRegionStops",
    "PolicyService/ListRules",
    "RegisterService/DiffRegister",
    "RegisterService/ListRegisterSnapshots",
    "RegisterService/ListRegisters",
    "SuppressionService/CheckNumbers",
    "SuppressionService/GetSuppression",
    "SuppressionService/GetSuppressionImport",
    "SuppressionService/ListSuppressionImportRejects",
    "SuppressionService/ListSuppressionImports",
    "SuppressionService/ListSuppressions",
    "SuppressionService/WatchSuppressions",
    "TrunkService/ListTrunks",
    "WebhookService/ListWebhooks",
];

/// A house in which everything is tried, and what left which entry.
struct Trial {
    house: House,
    seen: usize,
    tried: BTreeSet<String>,
}

impl Trial {
    /// Kinds of all entries, oldest first, but those of keys that were used.
    async fn kinds(&self) -> Vec<String> {
        let query = ListQuery {
            filter: Filter::parse("NOT kind = \"api_key.used\"", AUDIT_FIELDS).unwrap(),
            page_size: 1000,
            after: None,
        };
        let mut tx = self.house.store.read().await.unwrap();
        let page = tx.audit_entries(&tenant(), &query).await.unwrap();
        assert_eq!(page.next, None);
        page.rows
            .into_iter()
            .rev()
            .map(|entry| entry.kind)
            .collect()
    }

    /// The entries that came since the last look, each with a time of its own.
    async fn since(&mut self) -> Vec<String> {
        let all = self.kinds().await;
        let new = all[self.seen..].to_vec();
        self.seen = all.len();
        self.house.clock.advance(Duration::from_millis(1));
        new
    }

    /// This method was called, and left these entries.
    async fn left(&mut self, method: &str, wanted: &[&str]) {
        let left = self.since().await;
        assert_eq!(left, wanted, "{method}");
        self.tried.insert(method.to_owned());
    }
}

fn ok<T>(answer: Result<Response<T>, Status>) -> T {
    answer.unwrap().into_inner()
}

async fn drain<T>(stream: tonic::Streaming<T>) {
    let mut stream = stream;
    while stream.message().await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p16_every_method_leaves_its_entries_or_is_a_question() {
    let house = House::open().await;
    house.gate.settle().await.unwrap();
    let (agent, admin) = (house.agent().await, house.administrator().await);
    let approver = house.client(Role::Approver).await;
    let auditor = house.auditor().await;
    let mut trial = Trial {
        house,
        seen: 0,
        tried: BTreeSet::new(),
    };
    trial.since().await;
    people_and_wishes(&mut trial, &admin, &approver).await;
    calls(&mut trial, &agent, &admin).await;
    law(&mut trial, &admin).await;
    lists(&mut trial, &admin).await;
    what_is_shown(&mut trial, &admin, &auditor).await;

    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    for service in pool.services() {
        for method in service.methods() {
            let name = format!("{}/{}", service.name(), method.name());
            let (tried, reads) = (trial.tried.contains(&name), READS.contains(&name.as_str()));
            assert!(
                tried != reads,
                "{name}: what it leaves in the audit log has to be tried here, or it has to be among the questions"
            );
        }
    }
}

async fn people_and_wishes(trial: &mut Trial, admin: &Client, approver: &Client) {
    let upsert = pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(consumer(ATLANTA)),
        update_mask: None,
    };
    ok(admin.contacts().upsert_contact(upsert).await);
    trial
        .left("ContactService/UpsertContact", &["contact.upserted"])
        .await;
    let given = pb::RecordConsentRequest {
        request_id: request_id(),
        number: ATLANTA.to_owned(),
        seller: "acme".to_owned(),
        form: pb::ConsentForm::Written.into(),
        event_time: trial.house.after(-86_400),
        ..Default::default()
    };
    ok(admin.consents().record_consent(given).await);
    trial
        .left("ConsentService/RecordConsent", &["consent.given"])
        .await;
    let withdrawn = pb::WithdrawConsentRequest {
        request_id: request_id(),
        number: ATLANTA.to_owned(),
        seller: "acme".to_owned(),
        ..Default::default()
    };
    ok(admin.consents().withdraw_consent(withdrawn).await);
    trial
        .left("ConsentService/WithdrawConsent", &["consent.withdrawn"])
        .await;
    let stop = pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::Number("+14045550149".to_owned())),
        ..Default::default()
    };
    let made = ok(admin.suppressions().create_suppression(stop).await);
    let id = made.suppression.unwrap().suppression_id;
    trial
        .left(
            "SuppressionService/CreateSuppression",
            &["suppression.created"],
        )
        .await;
    trial.house.clock.advance(Duration::from_secs(2));
    let lift = |reason: &str| pb::LiftSuppressionRequest {
        request_id: request_id(),
        suppression_id: id.clone(),
        reason: reason.to_owned(),
        evidence_ref: reason.to_owned(),
        evidence_time: Some(())
            .filter(|()| !reason.is_empty())
            .and_then(|()| trial.house.after(-1)),
    };
    let (asked, agreed) = (lift("form-18"), lift(""));
    ok(admin.suppressions().lift_suppression(asked).await);
    trial
        .left(
            "SuppressionService/LiftSuppression",
            &["suppression.lift_requested"],
        )
        .await;
    ok(approver.suppressions().lift_suppression(agreed).await);
    trial
        .left(
            "SuppressionService/LiftSuppression",
            &["suppression.lifted"],
        )
        .await;
    webhooks::parked(&trial.house).await;
    let resume = pb::ResumeWebhookRequest {
        request_id: request_id(),
        name: "crm".to_owned(),
        ..Default::default()
    };
    ok(admin.webhooks().resume_webhook(resume).await);
    trial
        .left("WebhookService/ResumeWebhook", &["webhook.resumed"])
        .await;
}

async fn calls(trial: &mut Trial, agent: &Client, admin: &Client) {
    let number = "+14045550150";
    trial.house.callable(number).await;
    trial.since().await;
    let check = pb::CheckCallRequest {
        to: number.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..Default::default()
    };
    ok(agent.calls().check_call(check).await);
    trial.left("CallService/CheckCall", &["decision"]).await;
    let header = pb::CheckCallsHeader {
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..Default::default()
    };
    let numbers = pb::CheckCallsBatch {
        numbers: vec![number.to_owned()],
    };
    let list = [Row::Header(header), Row::Batch(numbers)];
    let list = list.map(|content| pb::CheckCallsRequest {
        content: Some(content),
    });
    drain(ok(agent
        .calls()
        .check_calls(tokio_stream::iter(list))
        .await))
    .await;
    trial
        .left("CallService/CheckCalls", &["calls.checked"])
        .await;

    let placed = ok(agent.calls().place_call(trial.house.place(number)).await);
    let call_id = placed.call.unwrap().call_id;
    trial.left("CallService/PlaceCall", &["decision"]).await;
    up(trial, &call_id).await;
    trial.since().await;
    let offered = pb::OfferMediaRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        sdp_offer: OFFER.to_vec(),
    };
    let tones = pb::SendDtmfRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        tones: "1".to_owned(),
        tone_milliseconds: 0,
    };
    let answered = pb::AnswerMediaOfferRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        offer_id: 1,
        sdp_answer: Vec::new(),
    };
    // Nobody plays the owner here who would say what became of it: what was asked is on record all the same.
    let mut asking = agent.calls();
    unanswered(async move { asking.offer_media(offered).await.map(drop) }).await;
    trial
        .left("CallService/OfferMedia", &["call.instructed"])
        .await;
    let mut asking = agent.calls();
    unanswered(async move { asking.send_dtmf(tones).await.map(drop) }).await;
    trial
        .left("CallService/SendDtmf", &["call.instructed"])
        .await;
    let mut asking = agent.calls();
    unanswered(async move { asking.answer_media_offer(answered).await.map(drop) }).await;
    trial
        .left("CallService/AnswerMediaOffer", &["call.instructed"])
        .await;
    let hang_up = pb::HangUpCallRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
    };
    ok(admin.calls().hang_up_call(hang_up).await);
    trial
        .left("CallService/HangUpCall", &["call.hang_up"])
        .await;

    let other = "+14045550151";
    trial.house.callable(other).await;
    let placed = ok(agent.calls().place_call(trial.house.place(other)).await);
    let call_id = placed.call.unwrap().call_id;
    people::answered(&trial.house, &call_id).await;
    trial.since().await;
    let said = pb::RecordDispositionRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        code: pb::DispositionCode::ConnectedInterested.into(),
        note: String::new(),
    };
    let said = ok(agent.calls().record_disposition(said).await);
    trial
        .left("CallService/RecordDisposition", &["disposition.recorded"])
        .await;
    let amended = pb::AmendDispositionRequest {
        request_id: request_id(),
        call_id,
        disposition_id: said.disposition.unwrap().disposition_id,
        code: pb::DispositionCode::ConnectedInterested.into(),
        note: "in May".to_owned(),
    };
    ok(agent.calls().amend_disposition(amended).await);
    trial
        .left("CallService/AmendDisposition", &["disposition.amended"])
        .await;
}

/// Waits until what was asked is on record, and no longer.
async fn unanswered(asked: impl Future<Output = Result<(), Status>> + Send + 'static) {
    let limit = Duration::from_millis(700);
    let told = tokio::time::timeout(limit, asked).await;
    assert!(told.is_err(), "somebody answered: {told:?}");
}

/// Plays the worker: the call is leased, claimed, and answered.
async fn up(trial: &Trial, call_id: &str) {
    let house = &trial.house;
    let owner = dialgate::domain::ids::Incarnation::new(house.now());
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    let leased = tx.lease_calls(owner, "us-sales", 1, house.now()).await;
    let leased = leased.unwrap().remove(0);
    tx.commit().await.unwrap();
    let claim = ClaimRequest {
        trunk: leased.call.trunk.clone(),
        call: leased.call.clone(),
        subject: leased.subject,
        lease_epoch: leased.lease_epoch,
        owner,
        sip_call_id: "a-call-id".to_owned(),
        again: None,
        attestation: None,
    };
    let claimed = house.gate.claim(claim).await.unwrap();
    let Claimed::Permitted { attempt_id, .. } = claimed else {
        panic!("the claim was not allowed")
    };
    let event = NewEvent {
        call_id: call_id.parse::<CallId>().unwrap(),
        at: house.now(),
        kind: EventKind::Answered,
        detail: Default::default(),
        state: Some(CallState::Answered),
        close_permit: Some(attempt_id),
    };
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    tx.record_event(&tenant(), &event).await.unwrap();
    tx.commit().await.unwrap();
}

async fn law(trial: &mut Trial, admin: &Client) {
    let request = policy::activate(Wanted::Upload(policy::upload(&policy::closing(
        policy::RECALL,
    ))));
    ok(admin.policy().activate_pack(request).await);
    trial
        .left("PolicyService/ActivatePack", &["policy.activated"])
        .await;
    let stop = pb::SetRegionStopRequest {
        request_id: request_id(),
        region: "US-GA".to_owned(),
        reason: "storm".to_owned(),
        start_time: None,
        expire_time: trial.house.after(600),
    };
    let set = ok(admin.policy().set_region_stop(stop).await);
    trial
        .left("PolicyService/SetRegionStop", &["policy.region_stopped"])
        .await;
    let lift = pb::LiftRegionStopRequest {
        request_id: request_id(),
        region_stop_id: set.region_stop.unwrap().region_stop_id,
        reason: "over".to_owned(),
    };
    ok(admin.policy().lift_region_stop(lift).await);
    trial
        .left(
            "PolicyService/LiftRegionStop",
            &["policy.region_stop_lifted"],
        )
        .await;
    let date = Some(pb::Date {
        year: 2026,
        month: 4,
        day: 24,
    });
    let day = pb::AddClosedDayRequest {
        request_id: request_id(),
        jurisdiction: "US-GA".to_owned(),
        date,
        reason: "proclamation 7".to_owned(),
    };
    ok(admin.policy().add_closed_day(day).await);
    trial
        .left("PolicyService/AddClosedDay", &["policy.closed_day_added"])
        .await;
    let day = pb::RemoveClosedDayRequest {
        request_id: request_id(),
        jurisdiction: "US-GA".to_owned(),
        date,
        reason: "withdrawn".to_owned(),
    };
    ok(admin.policy().remove_closed_day(day).await);
    trial
        .left(
            "PolicyService/RemoveClosedDay",
            &["policy.closed_day_removed"],
        )
        .await;
    let off = pb::DisableRuleRequest {
        request_id: request_id(),
        rule: policy::RECALL.to_owned(),
        reason: "not our law".to_owned(),
    };
    ok(admin.policy().disable_rule(off).await);
    trial
        .left("PolicyService/DisableRule", &["policy.rule_disabled"])
        .await;
    let on = pb::EnableRuleRequest {
        request_id: request_id(),
        rule: policy::RECALL.to_owned(),
        reason: "it is".to_owned(),
    };
    ok(admin.policy().enable_rule(on).await);
    trial
        .left("PolicyService/EnableRule", &["policy.rule_enabled"])
        .await;
}

async fn lists(trial: &mut Trial, admin: &Client) {
    let list = registers::messages(registers::whole(registers::header()));
    ok(admin
        .registers()
        .import_register(tokio_stream::iter(list))
        .await);
    trial
        .left("RegisterService/ImportRegister", &["register.imported"])
        .await;
    let text = "number,action,event_time,form\n+14045550141,given,2025-11-02T09:15:00Z,written\n";
    consent_imports::import(admin, consent_imports::announce(text), text)
        .await
        .unwrap();
    let kinds = [
        "consent.import_started",
        "consent.given",
        "consent.import_finished",
    ];
    trial.left("ConsentService/ImportConsents", &kinds).await;
    let text = "+14045550160\n";
    imports::import(&trial.house, admin, imports::announce(text), text)
        .await
        .unwrap();
    trial.house.clock.advance(BARRIER_WAIT);
    let kinds = [
        "suppression.import_started",
        "suppression.created",
        "suppression.import_finished",
    ];
    trial
        .left("SuppressionService/ImportSuppressions", &kinds)
        .await;
}

/// What an administrator is shown of people, and exports of whoever takes them.
async fn what_is_shown(trial: &mut Trial, admin: &Client, auditor: &Client) {
    let read = &["personal_data.read"];
    let contact = pb::GetContactRequest {
        key: Some(pb::get_contact_request::Key::Number(ATLANTA.to_owned())),
    };
    ok(admin.contacts().get_contact(contact).await);
    trial.left("ContactService/GetContact", read).await;
    let request = pb::ListConsentsRequest::default;
    ok(admin.consents().list_consents(request()).await);
    trial.left("ConsentService/ListConsents", read).await;
    ok(auditor.consents().list_consents(request()).await);
    trial.left("ConsentService/ListConsents", &[]).await;
    let calls = ok(admin
        .calls()
        .list_calls(pb::ListCallsRequest::default())
        .await)
    .calls;
    trial.left("CallService/ListCalls", read).await;
    let call_id = calls[0].call_id.clone();
    let request = pb::GetCallRequest {
        call_id: call_id.clone(),
    };
    ok(admin.calls().get_call(request).await);
    trial.left("CallService/GetCall", read).await;
    let request = pb::WatchCallRequest {
        call_id,
        ..Default::default()
    };
    ok(admin.calls().watch_call(request).await);
    trial.left("CallService/WatchCall", read).await;
    let request = |view: pb::DecisionView| pb::ListDecisionsRequest {
        view: view.into(),
        ..Default::default()
    };
    let full = request(pb::DecisionView::Full);
    let decisions = ok(admin.audit().list_decisions(full).await).decisions;
    trial.left("AuditService/ListDecisions", read).await;
    ok(admin
        .audit()
        .list_decisions(request(pb::DecisionView::Basic))
        .await);
    trial.left("AuditService/ListDecisions", &[]).await;
    let request = pb::GetDecisionRequest {
        decision_id: decisions[0].decision_id.clone(),
        view: pb::DecisionView::Full.into(),
    };
    ok(admin.audit().get_decision(request.clone()).await);
    trial.left("AuditService/GetDecision", read).await;
    ok(auditor.audit().get_decision(request).await);
    trial.left("AuditService/GetDecision", &[]).await;
    let all = pb::ExportSuppressionsRequest::default();
    drain(ok(auditor.suppressions().export_suppressions(all).await)).await;
    trial
        .left("SuppressionService/ExportSuppressions", &["export.taken"])
        .await;

    let place = dialgate::sequencer::SigningPlace {
        path: trial.house.base.folder.path().join("log.key"),
        origin: None,
    };
    let clock = dialgate::clock::Clock::Manual(std::sync::Arc::clone(&trial.house.clock));
    let opened = dialgate::sequencer::Sequencer::open(trial.house.store.clone(), &place, clock);
    drop(opened.await.unwrap());
    let all = pb::ExportEntriesRequest::default();
    drain(ok(auditor.audit().export_entries(all).await)).await;
    trial
        .left("AuditService/ExportEntries", &["export.taken"])
        .await;
}

/// Whoever comes in with more than an agent's key leaves an entry, once in a while and not for every request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p16_a_key_that_may_do_more_than_call_is_seen() {
    let house = House::open().await;
    let used = async || {
        let query = ListQuery {
            filter: Filter::parse("kind = \"api_key.used\"", AUDIT_FIELDS).unwrap(),
            page_size: 1000,
            after: None,
        };
        let mut tx = house.store.read().await.unwrap();
        tx.audit_entries(&tenant(), &query).await.unwrap().rows
    };
    let list = async |client: &Client| {
        ok(client
            .policy()
            .list_rules(pb::ListRulesRequest::default())
            .await);
    };
    list(&house.agent().await).await;
    assert!(used().await.is_empty());
    let admin = house.administrator().await;
    for _ in 0..3 {
        list(&admin).await;
        house.clock.advance(Duration::from_mins(14));
    }
    let all = used().await;
    assert_eq!(all.len(), 1, "{all:?}");
    assert_eq!(all[0].payload["role"], "administrator");
    house.clock.advance(Duration::from_mins(2));
    list(&admin).await;
    assert_eq!(used().await.len(), 2, "it was not used for a while");
    list(&house.auditor().await).await;
    assert_eq!(used().await.len(), 3);
    // Who is refused has not come in.
    let refused = house
        .auditor()
        .await
        .contacts()
        .get_contact(pb::GetContactRequest::default())
        .await;
    refused.unwrap_err();
    assert_eq!(used().await.len(), 3);
}
