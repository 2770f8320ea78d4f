//! Wrong input: the field is named, and nothing is done.

use dialgate::grpc::pb;
use tonic::{Code, Status};

use super::house::{ATLANTA, House, assert_refused, consumer, refusal, request_id};

/// Every place of the contract that takes a number, asked with this one. The answers come with the path of the field.
async fn everywhere(house: &House, number: &str) -> Vec<(&'static str, Result<(), Status>)> {
    let agent = house.agent().await;
    let administrator = house.administrator().await;
    let text = number.to_owned();
    let check = pb::CheckCallRequest {
        to: ATLANTA.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: 1,
        ..Default::default()
    };
    let consent = pb::RecordConsentRequest {
        request_id: request_id(),
        number: text.clone(),
        seller: "acme".to_owned(),
        form: 1,
        ..Default::default()
    };
    let withdrawal = pb::WithdrawConsentRequest {
        request_id: request_id(),
        number: text.clone(),
        seller: "acme".to_owned(),
        ..Default::default()
    };
    let suppression = pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(pb::create_suppression_request::Subject::Number(
            text.clone(),
        )),
        ..Default::default()
    };
    let contact = pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(consumer(number)),
        update_mask: None,
    };
    let (mut calls, mut consents) = (agent.calls(), agent.consents());
    let (mut suppressions, mut contacts) = (agent.suppressions(), administrator.contacts());
    let to = pb::CheckCallRequest {
        to: text.clone(),
        ..check.clone()
    };
    let from = pb::CheckCallRequest {
        caller_id: text.clone(),
        ..check
    };
    let key = pb::get_contact_request::Key::Number(text.clone());
    vec![
        ("to", calls.check_call(to).await.map(drop)),
        ("caller_id", calls.check_call(from).await.map(drop)),
        ("to", calls.place_call(house.place(number)).await.map(drop)),
        (
            "number",
            calls
                .list_calls(pb::ListCallsRequest {
                    number: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
        ),
        ("number", consents.record_consent(consent).await.map(drop)),
        (
            "number",
            consents.withdraw_consent(withdrawal).await.map(drop),
        ),
        (
            "number",
            consents
                .list_consents(pb::ListConsentsRequest {
                    number: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
        ),
        (
            "number",
            suppressions.create_suppression(suppression).await.map(drop),
        ),
        (
            "number",
            suppressions
                .list_suppressions(pb::ListSuppressionsRequest {
                    number: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
        ),
        (
            "numbers[1]",
            suppressions
                .check_numbers(pb::CheckNumbersRequest {
                    numbers: vec![ATLANTA.to_owned(), text.clone()],
                    seller: String::new(),
                })
                .await
                .map(drop),
        ),
        (
            "contact.numbers[0].number",
            contacts.upsert_contact(contact).await.map(drop),
        ),
        (
            "number",
            contacts
                .get_contact(pb::GetContactRequest { key: Some(key) })
                .await
                .map(drop),
        ),
        (
            "number",
            administrator
                .audit()
                .list_decisions(pb::ListDecisionsRequest {
                    number: text,
                    ..Default::default()
                })
                .await
                .map(drop),
        ),
    ]
}

#[tokio::test]
async fn a_number_is_e164_wherever_it_is_asked_for() {
    let house = House::open().await;
    for bad in [
        "14045550141",
        "+1 404 555 0141",
        "+1-404-555-0141",
        "+1404555014a",
        "tel:+14045550141",
        "+14045550141;ext=5",
        "0014045550141",
        "+04045550141",
        "+１４０４５５５０１４１",
        " +14045550141",
        "+1404555014100000",
        "+",
        "x",
    ] {
        for (field, answer) in everywhere(&house, bad).await {
            let status = assert_refused(answer, Code::InvalidArgument, "NUMBER_NOT_E164", &[field]);
            let repeated = bad.len() > 1 && status.message().contains(bad);
            assert!(!repeated, "the message repeats the number: {status:?}");
        }
    }
}

/// What can be dialed is narrower than what can be written; a wish to stop is taken for every number that can be written.
#[tokio::test]
async fn emergency_and_premium_numbers_in_disguise_are_refused_where_they_could_be_dialed() {
    let house = House::open().await;
    let agent = house.agent().await;
    for (bad, code) in [
        ("+1404911", None),
        ("+19005550141", None),
        ("+19995550141", Some("UNKNOWN_AREA_CODE")),
        ("+14049110141", None),
        ("+870773111632", Some("NO_PLACE_NUMBER")),
    ] {
        let answer = agent.calls().place_call(house.place(bad)).await;
        let status = assert_refused(
            answer,
            Code::InvalidArgument,
            "NUMBER_NOT_DIALABLE",
            &["to"],
        );
        let details = tonic_types::StatusExt::get_error_details(&status);
        let metadata = &details.error_info().unwrap().metadata;
        assert!(metadata.contains_key("code"), "{metadata:?}");
        if let Some(code) = code {
            assert_eq!(metadata["code"], code, "{bad}");
        }
        let consent = pb::RecordConsentRequest {
            request_id: request_id(),
            number: bad.to_owned(),
            seller: "acme".to_owned(),
            form: 1,
            ..Default::default()
        };
        let answer = agent.consents().record_consent(consent).await;
        assert_refused(
            answer,
            Code::InvalidArgument,
            "NUMBER_NOT_DIALABLE",
            &["number"],
        );
        let stop = pb::CreateSuppressionRequest {
            request_id: request_id(),
            subject: Some(pb::create_suppression_request::Subject::Number(
                bad.to_owned(),
            )),
            ..Default::default()
        };
        agent.suppressions().create_suppression(stop).await.unwrap();
    }
}

#[tokio::test]
async fn all_wrong_fields_are_named_at_once() {
    let house = House::open().await;
    let request = pb::PlaceCallRequest {
        request_id: "one".to_owned(),
        to: "404".to_owned(),
        campaign: String::new(),
        call_kind: 77,
        caller_id: "x".to_owned(),
        party_id: "y".to_owned(),
        sdp_offer: Vec::new(),
        expire_time: None,
        ..pb::PlaceCallRequest::default()
    };
    let answer = house.agent().await.calls().place_call(request).await;
    let fields = [
        "request_id",
        "to",
        "campaign",
        "call_kind",
        "caller_id",
        "party_id",
        "sdp_offer",
        "expire_time",
    ];
    assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &fields);
}

#[tokio::test]
async fn a_placement_needs_an_expiry_and_an_offer() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let mut calls = house.agent().await.calls();
    let good = house.place(ATLANTA);
    let refused = |field: &'static str, request: pb::PlaceCallRequest| (field, request);
    for (field, request) in [
        refused(
            "expire_time",
            pb::PlaceCallRequest {
                expire_time: None,
                ..good.clone()
            },
        ),
        refused(
            "expire_time",
            pb::PlaceCallRequest {
                expire_time: house.after(25 * 3600),
                ..good.clone()
            },
        ),
        // A client names nobody's phone; the configuration does.
        refused(
            "agent",
            pb::PlaceCallRequest {
                agent: "sip:anna@192.0.2.20".to_owned(),
                sdp_offer: Vec::new(),
                ..good.clone()
            },
        ),
        refused(
            "sdp_offer",
            pb::PlaceCallRequest {
                sdp_offer: b"hello".to_vec(),
                ..good.clone()
            },
        ),
        refused(
            "sdp_offer",
            pb::PlaceCallRequest {
                sdp_offer: [good.sdp_offer.clone(), b"a=x\r\n".repeat(900)].concat(),
                ..good.clone()
            },
        ),
        refused(
            "party_id",
            pb::PlaceCallRequest {
                party_id: request_id(),
                ..good.clone()
            },
        ),
        refused(
            "call_kind",
            pb::PlaceCallRequest {
                call_kind: 0,
                ..good.clone()
            },
        ),
    ] {
        let request = pb::PlaceCallRequest {
            request_id: request_id(),
            ..request
        };
        let answer = calls.place_call(request).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
    }
    let expired = pb::PlaceCallRequest {
        expire_time: house.after(-1),
        ..good
    };
    let answer = calls.place_call(expired).await;
    assert_refused(
        answer,
        Code::FailedPrecondition,
        "REQUEST_EXPIRED",
        &["expire_time"],
    );
    let listed = calls
        .list_calls(pb::ListCallsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().calls.is_empty(), "something was queued");
}

#[tokio::test]
async fn what_the_campaign_does_not_permit_is_refused() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let mut calls = house.agent().await.calls();
    let good = house.place(ATLANTA);
    let with = |change: fn(&mut pb::PlaceCallRequest)| {
        let mut request = pb::PlaceCallRequest {
            request_id: request_id(),
            ..good.clone()
        };
        change(&mut request);
        request
    };
    for (request, code, reason, field) in [
        (
            with(|it| it.campaign = "none".to_owned()),
            Code::NotFound,
            "CAMPAIGN_UNKNOWN",
            "campaign",
        ),
        (
            with(|it| it.campaign = "asleep".to_owned()),
            Code::FailedPrecondition,
            "CAMPAIGN_NOT_ACTIVE",
            "campaign",
        ),
        (
            with(|it| it.call_kind = 3),
            Code::FailedPrecondition,
            "CALL_KIND_NOT_ALLOWED",
            "call_kind",
        ),
        (
            with(|it| it.caller_id = ATLANTA.to_owned()),
            Code::FailedPrecondition,
            "CALLER_ID_NOT_ALLOWED",
            "caller_id",
        ),
        (
            with(|it| it.to = "+493023125201".to_owned()),
            Code::FailedPrecondition,
            "DESTINATION_NOT_ALLOWED",
            "to",
        ),
    ] {
        assert_refused(calls.place_call(request).await, code, reason, &[field]);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let house = House::open().await;
    let client = house.administrator().await;
    let id = request_id();
    let lift = pb::LiftSuppressionRequest {
        request_id: request_id(),
        suppression_id: id.clone(),
        reason: "asked again".to_owned(),
        evidence_ref: "form 7".to_owned(),
        evidence_time: house.after(0),
    };
    let hang_up = pb::HangUpCallRequest {
        request_id: request_id(),
        call_id: id.clone(),
    };
    let disposition = pb::RecordDispositionRequest {
        request_id: request_id(),
        call_id: id.clone(),
        code: 1,
        note: String::new(),
    };
    let party = pb::get_contact_request::Key::PartyId(id.clone());
    let number = pb::get_contact_request::Key::Number(ATLANTA.to_owned());
    let answers = [
        (
            "CALL",
            client
                .calls()
                .get_call(pb::GetCallRequest {
                    call_id: id.clone(),
                })
                .await
                .map(drop),
        ),
        (
            "CALL",
            client
                .calls()
                .watch_call(pb::WatchCallRequest {
                    call_id: id.clone(),
                    resume_token: Vec::new(),
                    ..pb::WatchCallRequest::default()
                })
                .await
                .map(drop),
        ),
        ("CALL", client.calls().hang_up_call(hang_up).await.map(drop)),
        (
            "CALL",
            client
                .calls()
                .record_disposition(disposition)
                .await
                .map(drop),
        ),
        (
            "SUPPRESSION",
            client
                .suppressions()
                .get_suppression(pb::GetSuppressionRequest {
                    suppression_id: id.clone(),
                })
                .await
                .map(drop),
        ),
        (
            "SUPPRESSION",
            client.suppressions().lift_suppression(lift).await.map(drop),
        ),
        (
            "PARTY",
            client
                .contacts()
                .get_contact(pb::GetContactRequest { key: Some(party) })
                .await
                .map(drop),
        ),
        (
            "PARTY",
            client
                .contacts()
                .get_contact(pb::GetContactRequest { key: Some(number) })
                .await
                .map(drop),
        ),
        (
            "DECISION",
            client
                .audit()
                .get_decision(pb::GetDecisionRequest {
                    decision_id: id,
                    view: 0,
                })
                .await
                .map(drop),
        ),
    ];
    for (what, answer) in answers {
        assert_refused(answer, Code::NotFound, &format!("{what}_NOT_FOUND"), &[]);
    }
}

#[tokio::test]
async fn an_opt_out_says_whom_it_is_about_and_does_not_expire() {
    let house = House::open().await;
    let mut suppressions = house.agent().await.suppressions();
    let number = pb::create_suppression_request::Subject::Number(ATLANTA.to_owned());
    let nobody = pb::CreateSuppressionRequest {
        request_id: request_id(),
        ..Default::default()
    };
    let answer = suppressions.create_suppression(nobody.clone()).await;
    assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &["number"]);
    for (field, request) in [
        (
            "expire_time",
            pb::CreateSuppressionRequest {
                expire_time: house.after(60),
                ..nobody.clone()
            },
        ),
        (
            "received_time",
            pb::CreateSuppressionRequest {
                received_time: house.after(3600),
                ..nobody.clone()
            },
        ),
        (
            "reason",
            pb::CreateSuppressionRequest {
                reason: 99,
                ..nobody.clone()
            },
        ),
        (
            "channels[0]",
            pb::CreateSuppressionRequest {
                channels: vec![9],
                ..nobody.clone()
            },
        ),
        (
            "note",
            pb::CreateSuppressionRequest {
                note: "a\0b".to_owned(),
                ..nobody.clone()
            },
        ),
    ] {
        let request = pb::CreateSuppressionRequest {
            subject: Some(number.clone()),
            ..request
        };
        let answer = suppressions.create_suppression(request).await;
        assert_refused(answer, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
    }
}

#[tokio::test]
async fn a_list_of_numbers_is_bounded_and_all_wrong_ones_are_named() {
    let house = House::open().await;
    let mut suppressions = house.agent().await.suppressions();
    for count in [0, 1001] {
        let numbers = vec![ATLANTA.to_owned(); count];
        let request = pb::CheckNumbersRequest {
            numbers,
            seller: String::new(),
        };
        let answer = suppressions.check_numbers(request).await;
        assert_refused(
            answer,
            Code::InvalidArgument,
            "INVALID_FIELDS",
            &["numbers"],
        );
    }
    let numbers = vec![
        "7".to_owned(),
        ATLANTA.to_owned(),
        String::new(),
        "8".to_owned(),
    ];
    let request = pb::CheckNumbersRequest {
        numbers,
        seller: String::new(),
    };
    let status = suppressions.check_numbers(request).await.unwrap_err();
    let (_, _, fields) = refusal(&status);
    assert_eq!(fields, ["numbers[0]", "numbers[2]", "numbers[3]"]);
}
