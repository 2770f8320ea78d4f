//! Asking for a call, following it, saying how it went.

use std::time::Duration;

use dialgate::grpc::pb;
use dialgate::grpc::pb::watch_call_response::Content;
use tonic::{Code, Request};

use super::house::{ATLANTA, Client, House, assert_refused, request_id};

async fn place(client: &Client, request: pb::PlaceCallRequest) -> pb::PlaceCallResponse {
    client
        .calls()
        .place_call(request)
        .await
        .unwrap()
        .into_inner()
}

#[tokio::test]
async fn an_allowed_call_is_queued_with_its_decision() {
    let house = House::open().await;
    let contact = house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let answer = place(&agent, house.place(ATLANTA)).await;
    let (decision, call) = (answer.decision.unwrap(), answer.call.unwrap());
    assert_eq!(decision.verdict(), pb::Verdict::Allow, "{decision:#?}");
    assert_eq!(decision.stage(), pb::DecisionStage::Place);
    assert_eq!(decision.call_id, call.call_id);
    assert_eq!(decision.party_id, contact.party_id);
    assert!(decision.denied_by.is_empty());
    assert!(
        decision
            .rule_results
            .iter()
            .any(|rule| rule.rule == "US-window" && !rule.citation.is_empty())
    );
    assert!(
        decision.zones.contains(&"America/New_York".to_owned()),
        "{:?}",
        decision.zones
    );
    let pack = decision.pack.unwrap();
    assert_eq!(pack.sha256.len(), 64);
    assert_eq!(call.state(), pb::CallState::Queued);
    assert_eq!(
        (call.to.as_str(), call.to_masked.as_str()),
        (ATLANTA, "+…41")
    );
    assert_eq!(
        (
            call.caller_id.as_str(),
            call.seller.as_str(),
            call.campaign.as_str()
        ),
        ("+12125550100", "acme", "us-sales")
    );
    assert_eq!(call.place_decision_id, decision.decision_id);
    assert_eq!(call.expire_time, house.after(600));
    let read = agent
        .calls()
        .get_call(pb::GetCallRequest {
            call_id: call.call_id.clone(),
        })
        .await
        .unwrap();
    assert_eq!(read.into_inner().call.unwrap(), call);
}

/// A denial is an answer: the whole decision, no call, no error.
#[tokio::test]
async fn a_denial_is_an_ordinary_answer() {
    let house = House::open().await;
    let agent = house.agent().await;
    // Nothing is known of this person: the register was never asked.
    let answer = place(&agent, house.place("+14045550142")).await;
    let decision = answer.decision.unwrap();
    assert_eq!(decision.verdict(), pb::Verdict::Deny);
    assert!(answer.call.is_none());
    assert!(
        decision.denied_by.contains(&"US-national-dnc".to_owned()),
        "{:?}",
        decision.denied_by
    );
    for rule in &decision.denied_by {
        let result = decision
            .rule_results
            .iter()
            .find(|each| each.rule == *rule)
            .unwrap();
        assert!(matches!(
            result.outcome(),
            pb::RuleOutcome::Fail | pb::RuleOutcome::Void
        ));
        assert!(
            !result.reason.is_empty() && !result.citation.is_empty(),
            "{result:?}"
        );
    }
    let request = pb::GetDecisionRequest {
        decision_id: decision.decision_id.clone(),
        view: 0,
    };
    let read = agent.audit().get_decision(request).await.unwrap();
    assert_eq!(read.into_inner().decision.unwrap(), decision);
    let listed = agent
        .calls()
        .list_calls(pb::ListCallsRequest::default())
        .await
        .unwrap();
    assert!(listed.into_inner().calls.is_empty());
}

#[tokio::test]
async fn a_check_decides_the_same_and_reserves_nothing() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let check = pb::CheckCallRequest {
        to: ATLANTA.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..Default::default()
    };
    let checked = agent
        .calls()
        .check_call(check)
        .await
        .unwrap()
        .into_inner()
        .decision
        .unwrap();
    assert_eq!(checked.stage(), pb::DecisionStage::Check);
    assert!(checked.call_id.is_empty());
    let placed = place(&agent, house.place(ATLANTA)).await.decision.unwrap();
    assert_eq!(checked.rule_results, placed.rule_results);
    assert_eq!(checked.verdict(), placed.verdict());
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_answer_and_dials_once() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let request = house.place(ATLANTA);
    let first = place(&agent, request.clone()).await;
    for _ in 0..4 {
        assert_eq!(place(&agent, request.clone()).await, first);
    }
    // Even after its time: the first answer stands.
    house.clock.advance(Duration::from_secs(3600));
    assert_eq!(place(&agent, request.clone()).await, first);
    let listed = agent
        .calls()
        .list_calls(pb::ListCallsRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().calls.len(), 1);
    let stranger = house.agent().await;
    let answer = stranger.calls().place_call(request.clone()).await;
    assert_refused(
        answer,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );
    let other = pb::PlaceCallRequest {
        to: "+14045550149".to_owned(),
        ..request
    };
    let answer = agent.calls().place_call(other).await;
    assert_refused(
        answer,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );
}

#[tokio::test]
async fn a_request_id_means_one_thing_over_all_methods() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let placed = house.place(ATLANTA);
    let call_id = place(&agent, placed.clone()).await.call.unwrap().call_id;
    let hang_up = pb::HangUpCallRequest {
        request_id: placed.request_id,
        call_id,
    };
    let answer = agent.calls().hang_up_call(hang_up).await;
    assert_refused(
        answer,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );
}

#[tokio::test]
async fn a_full_trunk_says_when_to_come_again() {
    let house = House::open().await;
    let agent = house.agent().await;
    for last in 1..=3 {
        let number = format!("+1404555015{last}");
        house.callable(&number).await;
        let answer = agent.calls().place_call(house.place(&number)).await;
        if last < 3 {
            assert!(answer.unwrap().into_inner().call.is_some());
        } else {
            let status = assert_refused(answer, Code::ResourceExhausted, "TRUNK_SATURATED", &[]);
            let details = tonic_types::StatusExt::get_error_details(&status);
            assert!(details.retry_info().unwrap().retry_delay.unwrap() > Duration::ZERO);
        }
    }
}

/// The deadline of the RPC is about the answer: a call that was allowed in time may wait for as long as it was given.
#[tokio::test]
async fn the_deadline_of_the_rpc_does_not_shorten_the_call() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let wanted = house.place(ATLANTA);
    let mut request = Request::new(wanted.clone());
    request.set_timeout(Duration::from_secs(30));
    let agent = house.agent().await;
    let answer = agent.calls().place_call(request).await.unwrap();
    let call = answer.into_inner().call.unwrap();
    assert_eq!(call.expire_time, wanted.expire_time);
}

#[tokio::test]
async fn a_watch_goes_on_where_it_was_and_ends_after_the_last_event() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let call_id = place(&agent, house.place(ATLANTA))
        .await
        .call
        .unwrap()
        .call_id;
    let watch = async |token: &[u8]| {
        let request = pb::WatchCallRequest {
            call_id: call_id.clone(),
            resume_token: token.to_vec(),
            ..pb::WatchCallRequest::default()
        };
        agent
            .calls()
            .watch_call(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let mut live = watch(&[]).await.unwrap();
    let first = live.message().await.unwrap().unwrap();
    let hang_up = pb::HangUpCallRequest {
        request_id: request_id(),
        call_id: call_id.clone(),
    };
    let answer = agent.calls().hang_up_call(hang_up.clone()).await.unwrap();
    assert_eq!(
        answer.into_inner().call.unwrap().state(),
        pb::CallState::Canceled
    );
    let mut seen = vec![first];
    while let Some(message) = live.message().await.unwrap() {
        seen.push(message);
    }
    let events: Vec<&pb::CallEvent> = seen
        .iter()
        .filter_map(|message| match message.content.as_ref()? {
            Content::Event(event) => Some(event),
            Content::Heartbeat(_) => None,
        })
        .collect();
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(
        sequences,
        (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(events.first().unwrap().kind(), pb::CallEventKind::Queued);
    assert_eq!(events.last().unwrap().kind(), pb::CallEventKind::Ended);
    assert_eq!(events.last().unwrap().outcome(), pb::Outcome::Canceled);

    // From each token on: exactly the rest, the same events.
    for (index, message) in seen.iter().enumerate() {
        let mut rest = watch(&message.resume_token).await.unwrap();
        let mut again = Vec::new();
        while let Some(message) = rest.message().await.unwrap() {
            again.push(message);
        }
        assert_eq!(again, seen[index + 1..], "from message {index} on");
    }
    let mut foreign = seen[0].resume_token.clone();
    foreign[3] ^= 1;
    for bad in [&b"x"[..], &foreign] {
        let answer = watch(bad).await.map(drop);
        assert_refused(
            answer,
            Code::InvalidArgument,
            "RESUME_TOKEN_INVALID",
            &["resume_token"],
        );
    }
    // Repeating the wish to hang up changes nothing.
    let again = agent.calls().hang_up_call(hang_up).await.unwrap();
    assert_eq!(
        again.into_inner().call.unwrap().state(),
        pb::CallState::Canceled
    );
}

#[tokio::test]
async fn an_auditor_sees_calls_and_decisions_without_personal_data() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (agent, auditor) = (house.agent().await, house.auditor().await);
    let placed = place(&agent, house.place(ATLANTA)).await;
    let (call, decision) = (placed.call.unwrap(), placed.decision.unwrap());
    let request = pb::GetCallRequest {
        call_id: call.call_id.clone(),
    };
    let shown = auditor
        .calls()
        .get_call(request)
        .await
        .unwrap()
        .into_inner()
        .call
        .unwrap();
    assert_eq!((shown.to.as_str(), shown.to_masked.as_str()), ("", "+…41"));
    assert_eq!(
        shown,
        pb::Call {
            to: String::new(),
            ..call
        }
    );
    let listed = auditor
        .calls()
        .list_calls(pb::ListCallsRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.into_inner().calls, [shown]);

    let full = pb::GetDecisionRequest {
        decision_id: decision.decision_id.clone(),
        view: pb::DecisionView::Full.into(),
    };
    let case = agent.audit().get_decision(full.clone()).await.unwrap();
    let case = case.into_inner().decision.unwrap().case_json;
    assert!(
        case.contains(ATLANTA),
        "the agent sees the case as it was judged"
    );
    let masked = auditor.audit().get_decision(full.clone()).await.unwrap();
    let masked = masked.into_inner().decision.unwrap().case_json;
    assert!(
        masked.contains("+…41") && !masked.contains("4045550141"),
        "{masked}"
    );
    let basic = pb::GetDecisionRequest {
        view: pb::DecisionView::Basic.into(),
        ..full
    };
    let basic = agent.audit().get_decision(basic).await.unwrap();
    assert_eq!(basic.into_inner().decision.unwrap(), decision);
    assert!(decision.case_json.is_empty());
}
