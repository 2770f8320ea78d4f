//! Contacts, consents, opt-outs.

use std::time::Duration;

use dialgate::domain::call::{EventDetail, Outcome};
use dialgate::domain::ids::{PartyId, TenantId};
use dialgate::domain::party::{LineType, PartyNumber, Profile};
use dialgate::domain::phone::Phone;
use dialgate::gate::{ClaimRequest, Claimed};
use dialgate::grpc::pb;
use dialgate::grpc::pb::create_suppression_request::Subject;
use dialgate::grpc::pb::get_contact_request::Key;
use dialgate::store::{AttemptEnd, PartyDraft, Urgency};
use tonic::Code;

use super::house::{ATLANTA, House, assert_refused, consumer, request_id};

fn opt_out(number: &str) -> pb::CreateSuppressionRequest {
    pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::Number(number.to_owned())),
        ..Default::default()
    }
}

#[tokio::test]
async fn every_fact_of_a_contact_comes_back_as_it_was_written() {
    let house = House::open().await;
    let mut contacts = house.administrator().await.contacts();
    let date = |day| {
        Some(pb::Date {
            year: 2026,
            month: 2,
            day,
        })
    };
    let whole = pb::Contact {
        display_name: "A. Person".to_owned(),
        account: "ACME".to_owned(),
        language_tag: "en-US".to_owned(),
        audience: pb::Audience::Business.into(),
        location: Some(pb::Location {
            country: "US".to_owned(),
            region: "US-GA".to_owned(),
            postal_code: "30301".to_owned(),
            timezone: "America/New_York".to_owned(),
        }),
        dealings: vec![pb::Dealings {
            seller: "acme".to_owned(),
            relationship: Some(pb::Relationship {
                last_transaction_date: date(1),
                last_inquiry_date: date(2),
                contract_in_force: Some(false),
                contract_end_date: date(3),
                offer_related: Some(true),
                member: Some(false),
                end_time: house.after(-100),
            }),
            legitimate_interest: Some(pb::LegitimateInterest {
                assessment_on_file: true,
                reference: "LIA-1".to_owned(),
            }),
            presumed_consent: Some(pb::PresumedConsent {
                evidence: "maintenance contract".to_owned(),
            }),
            notice: Some(pb::Notice {
                version: "n-7".to_owned(),
            }),
            callback: Some(pb::Callback {
                request_time: house.after(-60),
                not_before_time: house.after(60),
                not_after_time: house.after(120),
            }),
            personal_relationship: Some(false),
        }],
        restriction: Some(pb::Restriction {
            start_time: house.after(-50),
        }),
        directory: Some(pb::Directory {
            listed: true,
            marketing_opt_in: false,
        }),
        minor: Some(false),
        numbers: vec![pb::ContactNumber {
            reassigned_check: Some(pb::ReassignedCheck {
                query_date: date(4),
                for_date: date(5),
                answer: pb::ReassignedAnswer::NoData.into(),
            }),
            ..consumer(ATLANTA).numbers.remove(0)
        }],
        ..Default::default()
    };
    let request = pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(whole.clone()),
        update_mask: None,
    };
    let made = contacts
        .upsert_contact(request.clone())
        .await
        .unwrap()
        .into_inner()
        .contact
        .unwrap();
    let expected = pb::Contact {
        party_id: made.party_id.clone(),
        etag: made.etag.clone(),
        create_time: house.after(0),
        update_time: house.after(0),
        ..whole
    };
    assert_eq!(made, expected);
    let again = contacts
        .upsert_contact(request)
        .await
        .unwrap()
        .into_inner()
        .contact
        .unwrap();
    assert_eq!(again, made, "a repeated request");
    for key in [
        Key::PartyId(made.party_id.clone()),
        Key::Number(ATLANTA.to_owned()),
    ] {
        let read = contacts
            .get_contact(pb::GetContactRequest { key: Some(key) })
            .await
            .unwrap();
        assert_eq!(read.into_inner().contact.unwrap(), made);
    }
}

#[tokio::test]
async fn a_mask_writes_only_what_it_names_and_an_old_etag_nothing() {
    let house = House::open().await;
    let mut contacts = house.administrator().await.contacts();
    let first = house.callable(ATLANTA).await;
    let named = |paths: &[&str], contact: pb::Contact| pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(contact),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
    };
    let change = pb::Contact {
        party_id: first.party_id.clone(),
        display_name: "New Name".to_owned(),
        audience: pb::Audience::Business.into(),
        etag: first.etag.clone(),
        ..Default::default()
    };
    let second = contacts
        .upsert_contact(named(&["display_name"], change.clone()))
        .await
        .unwrap();
    let second = second.into_inner().contact.unwrap();
    assert_eq!(
        (second.display_name.as_str(), second.audience()),
        ("New Name", pb::Audience::Consumer)
    );
    assert_eq!(second.numbers, first.numbers);
    assert_ne!(second.etag, first.etag);
    let answer = contacts
        .upsert_contact(named(&["audience"], change.clone()))
        .await;
    assert_refused(answer, Code::Aborted, "ETAG_MISMATCH", &["contact.etag"]);
    let cleared = pb::Contact {
        display_name: String::new(),
        etag: String::new(),
        ..change
    };
    let answer = contacts
        .upsert_contact(named(&["nickname"], cleared.clone()))
        .await;
    assert_refused(
        answer,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["update_mask"],
    );
    let third = contacts
        .upsert_contact(named(&["display_name"], cleared))
        .await
        .unwrap();
    assert_eq!(third.into_inner().contact.unwrap().display_name, "");
}

#[tokio::test]
async fn people_who_share_a_number_must_be_told_apart() {
    let house = House::open().await;
    let first = house.callable(ATLANTA).await;
    let second = PartyId::new(house.now());
    let draft = PartyDraft {
        party_id: second,
        profile: Profile::default(),
        numbers: vec![PartyNumber {
            number: Phone::parse(ATLANTA).unwrap(),
            line_type: LineType::Landline,
            registers: Vec::new(),
            reassigned_check: None,
        }],
    };
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    let tenant = TenantId::default();
    tx.upsert_party(&tenant, &draft, house.now()).await.unwrap();
    tx.commit().await.unwrap();
    let agent = house.agent().await;
    let key = Some(Key::Number(ATLANTA.to_owned()));
    let request = pb::GetContactRequest { key };
    let answer = agent.contacts().get_contact(request).await;
    let status = assert_refused(
        answer,
        Code::FailedPrecondition,
        "PARTY_AMBIGUOUS",
        &["number"],
    );
    let details = tonic_types::StatusExt::get_error_details(&status);
    let ids = &details.error_info().unwrap().metadata["party_ids"];
    assert!(ids.contains(&first.party_id) && ids.contains(&second.to_string()));
    let answer = agent.calls().place_call(house.place(ATLANTA)).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "PARTY_AMBIGUOUS",
        &["party_id"],
    );
    let named = pb::PlaceCallRequest {
        party_id: first.party_id.clone(),
        ..house.place(ATLANTA)
    };
    let placed = agent.calls().place_call(named).await.unwrap().into_inner();
    assert_eq!(placed.call.unwrap().party_id, first.party_id);
}

#[tokio::test]
async fn wrong_facts_are_named_by_their_path() {
    let house = House::open().await;
    let mut contacts = house.administrator().await.contacts();
    let date = |year, month, day| Some(pb::Date { year, month, day });
    let contact = pb::Contact {
        etag: "\"1\"".to_owned(),
        location: Some(pb::Location {
            country: "usa".to_owned(),
            region: "Florida".to_owned(),
            postal_code: String::new(),
            timezone: "Mars/Olympus".to_owned(),
        }),
        dealings: vec![
            pb::Dealings {
                seller: "acme".to_owned(),
                relationship: Some(pb::Relationship {
                    last_inquiry_date: date(2026, 2, 30),
                    ..Default::default()
                }),
                notice: Some(pb::Notice::default()),
                callback: Some(pb::Callback::default()),
                ..Default::default()
            },
            pb::Dealings {
                presumed_consent: Some(pb::PresumedConsent::default()),
                ..Default::default()
            },
        ],
        numbers: vec![
            pb::ContactNumber {
                number: ATLANTA.to_owned(),
                line_type: 42,
                registers: vec![
                    pb::RegisterCheck::default(),
                    pb::RegisterCheck {
                        register: "us-dcn".to_owned(),
                        as_of_date: date(2026, 11, 20),
                        ..Default::default()
                    },
                ],
                reassigned_check: Some(pb::ReassignedCheck {
                    query_date: date(0, 1, 1),
                    for_date: None,
                    answer: 0,
                }),
            },
            pb::ContactNumber::default(),
        ],
        ..Default::default()
    };
    let request = pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(contact),
        update_mask: None,
    };
    let answer = contacts.upsert_contact(request).await;
    assert_refused(
        answer,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &[
            "contact.etag",
            "contact.numbers[0].line_type",
            "contact.numbers[0].registers[0].register",
            "contact.numbers[0].registers[0].as_of_date",
            "contact.numbers[0].registers[1].register",
            "contact.numbers[0].reassigned_check.query_date",
            "contact.numbers[0].reassigned_check.for_date",
            "contact.numbers[0].reassigned_check.answer",
            "contact.numbers[1].number",
            "contact.location.country",
            "contact.location.region",
            "contact.location.timezone",
            "contact.dealings[0].relationship.last_inquiry_date",
            "contact.dealings[0].notice.version",
            "contact.dealings[0].callback.request_time",
            "contact.dealings[1].seller",
            "contact.dealings[1].presumed_consent.evidence",
        ],
    );
}

#[tokio::test]
async fn dealings_are_with_sellers_that_are_called_for_each_once() {
    let house = House::open().await;
    let mut contacts = house.administrator().await.contacts();
    let with = |sellers: &[&str]| {
        let dealings = sellers.iter().map(|seller| pb::Dealings {
            seller: (*seller).to_owned(),
            personal_relationship: Some(true),
            ..Default::default()
        });
        pb::UpsertContactRequest {
            request_id: request_id(),
            contact: Some(pb::Contact {
                dealings: dealings.collect(),
                ..consumer(ATLANTA)
            }),
            update_mask: None,
        }
    };
    let many: Vec<String> = (0..65).map(|index| format!("seller {index}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (sellers, field) in [
        (&["acme", "acme"][..], "contact.dealings[1].seller"),
        (&["acme", ""], "contact.dealings[1].seller"),
        (&["acme", "nobody"], "contact.dealings[1].seller"),
        (&["nobody", "acme"], "contact.dealings[0].seller"),
        // A seller is named as in the configuration, to the letter.
        (&["Acme"], "contact.dealings[0].seller"),
        (&many, "contact.dealings"),
    ] {
        let answer = contacts.upsert_contact(with(sellers)).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
    }
    let answer = contacts.upsert_contact(with(&["acme"])).await.unwrap();
    let recorded = answer.into_inner().contact.unwrap().dealings;
    assert_eq!((recorded.len(), recorded[0].seller.as_str()), (1, "acme"));
}

#[tokio::test]
async fn a_place_that_no_table_knows_is_refused() {
    let house = House::open().await;
    let mut contacts = house.administrator().await.contacts();
    let place = |country: &str, region: &str, timezone: &str| pb::Location {
        country: country.to_owned(),
        region: region.to_owned(),
        postal_code: String::new(),
        timezone: timezone.to_owned(),
    };
    for (location, wrong) in [
        (place("XX", "", ""), Some("contact.location.country")),
        (place("US", "US-ZZ", ""), Some("contact.location.region")),
        (
            place("US", "US-GA", "UTC"),
            Some("contact.location.timezone"),
        ),
        (place("US", "US-GA", "America/New_York"), None),
        (place("DE", "DE-BY", "Europe/Berlin"), None),
        (place("", "US-PR", ""), None),
    ] {
        let told = format!("{location:?}");
        let request = pb::UpsertContactRequest {
            request_id: request_id(),
            contact: Some(pb::Contact {
                location: Some(location),
                ..consumer(ATLANTA)
            }),
            update_mask: None,
        };
        let answer = contacts.upsert_contact(request).await;
        match wrong {
            Some(field) => {
                assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
            }
            None => assert!(answer.is_ok(), "{told}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn consent_is_a_list_of_acts() {
    let house = House::open().await;
    let client = house.agent().await;
    let given = pb::RecordConsentRequest {
        request_id: request_id(),
        number: ATLANTA.to_owned(),
        seller: "acme".to_owned(),
        event_time: house.after(-86_400),
        channels: vec![pb::CallKind::LiveManual.into()],
        form: pb::ConsentForm::Written.into(),
        explicit: Some(true),
        documented: Some(true),
        out_of_hours: Some(false),
        period: "2027-01-31".to_owned(),
        initiated_by: pb::InitiatedBy::Person.into(),
        source: "web".to_owned(),
        evidence_ref: "form-17".to_owned(),
        wording_ref: "w-3".to_owned(),
        ..Default::default()
    };
    let made = client
        .consents()
        .record_consent(given.clone())
        .await
        .unwrap()
        .into_inner();
    let made = made.consent_event.unwrap();
    assert_eq!(
        (made.action(), made.form()),
        (pb::ConsentAction::Given, pb::ConsentForm::Written)
    );
    assert_eq!(
        (made.number.as_str(), made.number_masked.as_str()),
        (ATLANTA, "+…41")
    );
    assert_eq!(
        (made.event_time, made.record_time),
        (house.after(-86_400), house.after(0))
    );
    assert_eq!(
        (made.explicit, made.documented, made.out_of_hours),
        (Some(true), Some(true), Some(false))
    );
    assert_eq!(
        (made.period.as_str(), made.evidence_ref.as_str()),
        ("2027-01-31", "form-17")
    );
    let again = client
        .consents()
        .record_consent(given.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.consent_event.unwrap(), made, "a repeated request");
    let other = pb::RecordConsentRequest {
        evidence_ref: "form-18".to_owned(),
        ..given
    };
    let answer = client.consents().record_consent(other).await;
    assert_refused(
        answer,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );

    let withdrawn = pb::WithdrawConsentRequest {
        request_id: request_id(),
        number: ATLANTA.to_owned(),
        seller: "acme".to_owned(),
        source: "sms_stop".to_owned(),
        ..Default::default()
    };
    let withdrawn = client
        .consents()
        .withdraw_consent(withdrawn)
        .await
        .unwrap()
        .into_inner();
    let withdrawn = withdrawn.consent_event.unwrap();
    assert_eq!(withdrawn.action(), pb::ConsentAction::Withdrawn);
    let listed = |filter: &str| pb::ListConsentsRequest {
        number: ATLANTA.to_owned(),
        filter: filter.to_owned(),
        ..Default::default()
    };
    let all = client
        .consents()
        .list_consents(listed(""))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(all.consent_events.len(), 2);
    let only = client
        .consents()
        .list_consents(listed("action = \"given\""))
        .await
        .unwrap();
    assert_eq!(only.into_inner().consent_events, [made]);
    let shown = house
        .auditor()
        .await
        .consents()
        .list_consents(listed(""))
        .await
        .unwrap();
    for event in shown.into_inner().consent_events {
        assert_eq!(
            (event.number.as_str(), event.number_masked.as_str()),
            ("", "+…41")
        );
    }
}

#[tokio::test]
async fn an_opt_out_denies_from_its_acknowledgement_on() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let check = pb::CheckCallRequest {
        to: ATLANTA.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: 1,
        ..Default::default()
    };
    let before = agent
        .calls()
        .check_call(check.clone())
        .await
        .unwrap()
        .into_inner()
        .decision
        .unwrap();
    assert_eq!(
        before.verdict(),
        pb::Verdict::Allow,
        "{:?}",
        before.denied_by
    );
    let request = opt_out(ATLANTA);
    let made = agent
        .suppressions()
        .create_suppression(request.clone())
        .await
        .unwrap();
    let made = made.into_inner().suppression.unwrap();
    assert_eq!(
        (made.reason(), made.source()),
        (
            pb::SuppressionReason::PartyRequest,
            pb::SuppressionSource::Api
        )
    );
    assert!(
        made.seller.is_empty() && made.channels.is_empty(),
        "the widest scope"
    );
    let again = agent
        .suppressions()
        .create_suppression(request)
        .await
        .unwrap();
    assert_eq!(
        again.into_inner().suppression.unwrap(),
        made,
        "a repeated request"
    );
    let another = agent
        .suppressions()
        .create_suppression(opt_out(ATLANTA))
        .await
        .unwrap();
    assert_eq!(
        another.into_inner().suppression.unwrap(),
        made,
        "there is one already"
    );
    let after = agent
        .calls()
        .check_call(check)
        .await
        .unwrap()
        .into_inner()
        .decision
        .unwrap();
    assert_eq!(after.verdict(), pb::Verdict::Deny);

    let numbers = vec![
        "+14045550142".to_owned(),
        ATLANTA.to_owned(),
        ATLANTA.to_owned(),
    ];
    let asked = pb::CheckNumbersRequest {
        numbers: numbers.clone(),
        seller: "acme".to_owned(),
    };
    let checks = agent
        .suppressions()
        .check_numbers(asked)
        .await
        .unwrap()
        .into_inner()
        .checks;
    let shown: Vec<(&str, usize)> = checks
        .iter()
        .map(|each| (each.number.as_str(), each.suppressions.len()))
        .collect();
    assert_eq!(
        shown,
        [(numbers[0].as_str(), 0), (ATLANTA, 1), (ATLANTA, 1)]
    );
    assert_eq!(checks[1].suppressions, std::slice::from_ref(&made));
    let listed = pb::ListSuppressionsRequest {
        number: ATLANTA.to_owned(),
        ..Default::default()
    };
    let listed = agent
        .suppressions()
        .list_suppressions(listed)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.suppressions, [made]);
    let other = pb::ListSuppressionsRequest {
        number: "+14045550142".to_owned(),
        ..Default::default()
    };
    let other = agent
        .suppressions()
        .list_suppressions(other)
        .await
        .unwrap()
        .into_inner();
    assert!(other.suppressions.is_empty());
}

#[tokio::test]
async fn a_lift_takes_two_people() {
    let house = House::open().await;
    let (first, second) = (
        house.administrator().await,
        house.client(dialgate::domain::access::Role::Approver).await,
    );
    let made = first
        .suppressions()
        .create_suppression(opt_out(ATLANTA))
        .await
        .unwrap();
    let id = made.into_inner().suppression.unwrap().suppression_id;
    house.clock.advance(Duration::from_secs(2));
    let lift = || pb::LiftSuppressionRequest {
        request_id: request_id(),
        suppression_id: id.clone(),
        reason: "asked to be called again".to_owned(),
        evidence_ref: "form-18".to_owned(),
        evidence_time: house.after(-1),
    };
    let approval = || pb::LiftSuppressionRequest {
        request_id: request_id(),
        suppression_id: id.clone(),
        ..Default::default()
    };
    let early = second.suppressions().lift_suppression(approval()).await;
    assert_refused(
        early,
        Code::FailedPrecondition,
        "LIFT_NOT_REQUESTED",
        &["suppression_id"],
    );
    let bare = first.suppressions().lift_suppression(approval()).await;
    let fields = ["reason", "evidence_ref", "evidence_time"];
    assert_refused(bare, Code::InvalidArgument, "INVALID_FIELDS", &fields);
    let stale = pb::LiftSuppressionRequest {
        evidence_time: house.after(-2),
        ..lift()
    };
    let stale = first.suppressions().lift_suppression(stale).await;
    let fields = ["evidence_time"];
    assert_refused(stale, Code::InvalidArgument, "INVALID_FIELDS", &fields);
    let asked = first.suppressions().lift_suppression(lift()).await.unwrap();
    let asked = asked.into_inner().suppression.unwrap();
    assert!(asked.lift.is_none());
    assert_eq!(asked.lift_request.unwrap().evidence_ref, "form-18");
    let answer = first.suppressions().lift_suppression(lift()).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "SECOND_APPROVER_REQUIRED",
        &["suppression_id"],
    );
    let lifted = second
        .suppressions()
        .lift_suppression(approval())
        .await
        .unwrap();
    let lift = lifted.into_inner().suppression.unwrap().lift.unwrap();
    assert_ne!(lift.requested_by, lift.approved_by);
    let read = pb::GetSuppressionRequest { suppression_id: id };
    let read = second.suppressions().get_suppression(read).await.unwrap();
    assert_eq!(read.into_inner().suppression.unwrap().lift.unwrap(), lift);
    let request = pb::CheckNumbersRequest {
        numbers: vec![ATLANTA.to_owned()],
        seller: String::new(),
    };
    let checks = first.suppressions().check_numbers(request).await.unwrap();
    assert!(checks.into_inner().checks[0].suppressions.is_empty());
}

/// A wish about a whole person locks no number, so the acknowledgement waits out the barrier on the server's clock.
#[tokio::test]
async fn an_opt_out_of_a_person_covers_all_their_numbers() {
    let house = House::open().await;
    let contact = house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let request = pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::PartyId(contact.party_id.clone())),
        ..Default::default()
    };
    let start = house.now();
    let clock = std::sync::Arc::clone(&house.clock);
    // The server's clock goes as the machine's, for the wait needs both.
    let ticking = tokio::spawn(async move {
        let step = std::time::Duration::from_millis(20);
        loop {
            tokio::time::sleep(step).await;
            clock.advance(step);
        }
    });
    let made = agent.suppressions().create_suppression(request).await;
    ticking.abort();
    let made = made.unwrap().into_inner().suppression.unwrap();
    assert!(
        house.now().since(start) >= 2_000_000,
        "acknowledged before the barrier"
    );
    assert_eq!(
        made.subject,
        Some(pb::suppression::Subject::PartyId(contact.party_id))
    );
    let placed = agent
        .calls()
        .place_call(house.place(ATLANTA))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(placed.decision.unwrap().denied_by, ["US-internal-dnc"]);
    let unknown = pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::PartyId(request_id())),
        ..Default::default()
    };
    let answer = agent.suppressions().create_suppression(unknown).await;
    assert_refused(answer, Code::NotFound, "PARTY_NOT_FOUND", &[]);
    let request = pb::CheckNumbersRequest {
        numbers: vec![ATLANTA.to_owned()],
        seller: String::new(),
    };
    let checks = agent.suppressions().check_numbers(request).await.unwrap();
    assert_eq!(checks.into_inner().checks[0].suppressions, [made]);
}

/// Plays the worker: leases the call, claims it, and ends it as answered.
pub(super) async fn answered(house: &House, call_id: &str) {
    let owner = dialgate::domain::ids::Incarnation::new(house.now());
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    let leased = tx
        .lease_calls(owner, "us-sales", 1, house.now())
        .await
        .unwrap()
        .remove(0);
    tx.commit().await.unwrap();
    assert_eq!(leased.call.call_id.to_string(), call_id);
    let call = leased.call;
    let claim = ClaimRequest {
        trunk: call.trunk.clone(),
        call: call.clone(),
        subject: leased.subject,
        lease_epoch: leased.lease_epoch,
        owner,
        sip_call_id: "a-call-id".to_owned(),
        again: None,
        attestation: None,
    };
    let Claimed::Permitted { attempt_id, .. } = house.gate.claim(claim).await.unwrap() else {
        panic!("the claim was not allowed")
    };
    let end = AttemptEnd {
        attempt_id,
        call_id: call.call_id,
        outcome: Outcome::Answered,
        counts_as: None,
        detail: EventDetail {
            sip_code: Some(200),
            ..EventDetail::default()
        },
        at: house.now(),
        permit_gone: true,
    };
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    assert!(tx.end_attempt(&call.tenant, &end).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn what_the_agent_says_takes_effect_before_the_answer() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let placed = agent
        .calls()
        .place_call(house.place(ATLANTA))
        .await
        .unwrap();
    let call_id = placed.into_inner().call.unwrap().call_id;
    answered(&house, &call_id).await;
    let said = pb::RecordDispositionRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        code: pb::DispositionCode::ConnectedInterested.into(),
        note: "call again in May".to_owned(),
    };
    let first = agent
        .calls()
        .record_disposition(said.clone())
        .await
        .unwrap();
    let first = first.into_inner().disposition.unwrap();
    assert!(first.suppression_id.is_empty() && first.amends_disposition_id.is_empty());
    let again = agent
        .calls()
        .record_disposition(said.clone())
        .await
        .unwrap();
    assert_eq!(
        again.into_inner().disposition.unwrap(),
        first,
        "a repeated request"
    );

    house.clock.advance(std::time::Duration::from_secs(60));
    let amend = |disposition_id: &str| pb::AmendDispositionRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
        disposition_id: disposition_id.to_owned(),
        code: pb::DispositionCode::OptOutThisSeller.into(),
        note: String::new(),
    };
    let answer = agent.calls().amend_disposition(amend("")).await;
    assert_refused(
        answer,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["disposition_id"],
    );
    let answer = agent.calls().amend_disposition(amend(&request_id())).await;
    assert_refused(answer, Code::NotFound, "DISPOSITION_NOT_FOUND", &[]);
    let twice = pb::RecordDispositionRequest {
        request_id: request_id(),
        ..said
    };
    let answer = agent.calls().record_disposition(twice).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "DISPOSITION_EXISTS",
        &["call_id"],
    );
    let second = agent
        .calls()
        .amend_disposition(amend(&first.disposition_id))
        .await
        .unwrap();
    let second = second.into_inner().disposition.unwrap();
    assert_eq!(second.amends_disposition_id, first.disposition_id);
    let read = pb::GetSuppressionRequest {
        suppression_id: second.suppression_id.clone(),
    };
    let read = agent.suppressions().get_suppression(read).await.unwrap();
    assert_eq!(read.into_inner().suppression.unwrap().seller, "acme");
    let stale = pb::AmendDispositionRequest {
        code: pb::DispositionCode::MeetingBooked.into(),
        ..amend(&first.disposition_id)
    };
    let answer = agent.calls().amend_disposition(stale).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "DISPOSITION_NOT_LATEST",
        &["disposition_id"],
    );
    let get = pb::GetCallRequest { call_id };
    let shown = agent
        .calls()
        .get_call(get.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(shown.dispositions, [first, second]);
    let call = shown.call.unwrap();
    assert_eq!(
        (call.state(), call.outcome()),
        (pb::CallState::Ended, pb::Outcome::Answered)
    );
    let masked = house
        .auditor()
        .await
        .calls()
        .get_call(get)
        .await
        .unwrap()
        .into_inner();
    assert!(masked.dispositions.iter().all(|each| each.note.is_empty()));
}

#[tokio::test]
async fn only_a_call_that_was_dialed_gets_a_disposition() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let placed = agent
        .calls()
        .place_call(house.place(ATLANTA))
        .await
        .unwrap();
    let call_id = placed.into_inner().call.unwrap().call_id;
    let said = pb::RecordDispositionRequest {
        request_id: request_id(),
        call_id,
        code: pb::DispositionCode::OptOutAll.into(),
        note: String::new(),
    };
    let answer = agent.calls().record_disposition(said.clone()).await;
    assert_refused(
        answer,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["call_id"],
    );
    let unsaid = pb::RecordDispositionRequest { code: 0, ..said };
    let answer = agent.calls().record_disposition(unsaid).await;
    assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &["code"]);
}
