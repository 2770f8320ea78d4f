//! What web forms send: recorded once, by the same rules as what an agent records.

use std::time::Duration;

use dialgate::domain::call::CallKind;
use dialgate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy};
use dialgate::domain::filter::Filter;
use dialgate::store::{AUDIT_FIELDS, ListQuery};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::house::*;
use crate::support::builders::{TestStore, tenant};

on_both![
    a_form_is_on_record_with_all_that_it_says,
    p07_a_form_sent_again_is_one_act,
    p07_a_form_whose_answer_was_lost_is_one_act_after_a_restart,
    p07_the_same_form_sent_at_once_is_one_act,
    what_is_taken_back_comes_after_what_was_given,
];

async fn a_form_is_on_record_with_all_that_it_says(store: TestStore) {
    let front = Front::over(store).await;
    let answer = front.send(&given("s-1", ATLANTA)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = &answer.json()["consent_event"];
    let on_record = front.on_record(ATLANTA).await;
    let [event] = on_record.as_slice() else {
        panic!("{on_record:?}");
    };
    assert_eq!(told["consent_event_id"], event.consent_event_id.to_string());
    assert_eq!(told["event_time"], "2026-04-20T13:30:00Z");
    assert_eq!(
        (event.seller.as_str(), event.action, event.form),
        ("acme", ConsentAction::Given, Some(ConsentForm::WebForm))
    );
    assert_eq!(
        (event.explicit, event.documented, event.out_of_hours),
        (Some(true), Some(true), Some(false))
    );
    assert_eq!(event.channels, [CallKind::LiveManual]);
    assert_eq!(event.initiated_by, Some(InitiatedBy::Person));
    let texts = [
        &event.period,
        &event.source,
        &event.evidence_ref,
        &event.wording_ref,
    ];
    let texts = texts.map(|text| text.as_deref().unwrap());
    assert_eq!(texts, ["indefinite", "web", "certificate 7", "v3"]);
    assert_eq!(event.actor, "form:web");

    // It says no more of itself than it has to, and its effect has its entry.
    assert!(!answer.body.contains("4045550141"), "{answer:?}");
    let query = ListQuery {
        filter: Filter::parse("kind = \"consent.given\"", AUDIT_FIELDS).unwrap(),
        after: None,
        page_size: 10,
    };
    let mut tx = front.house.base.read().await;
    let entries = tx.audit_entries(&tenant(), &query).await.unwrap().rows;
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].actor, "form:web");
}

async fn p07_a_form_sent_again_is_one_act(store: TestStore) {
    let front = Front::over(store).await;
    let body = given("s-1", ATLANTA);
    let first = front.send(&body).await;
    assert_eq!(first.status, 200);
    front.house.clock.advance(Duration::from_secs(86_400));
    let again = front.send(&body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let laid_out = front.send(&body.replace(',', ",\n ")).await;
    assert_eq!((laid_out.status, &laid_out.body), (200, &first.body));

    let other = front.send(&body.replace("v3", "v4")).await;
    assert_eq!(other.reason(), (409, "SUBMISSION_ID_REUSED".to_owned()));
    assert_eq!(other.fields(), ["submission_id"]);
    assert_eq!(front.on_record(ATLANTA).await.len(), 1);

    // Another source may call its submissions alike.
    let signature = signed_by_another(front.seconds(), &body);
    let fair = front.post("fair", &signature, "application/json", &body);
    assert_eq!(fair.await.status, 200);
    assert_eq!(front.on_record(ATLANTA).await.len(), 2);
}

/// The sender's connection breaks before it has read the answer, and the node is another one when it sends again.
async fn p07_a_form_whose_answer_was_lost_is_one_act_after_a_restart(store: TestStore) {
    let front = Front::over(store).await;
    let body = given("s-1", ATLANTA);
    let head = format!(
        "Content-Type: application/json\r\nDialgate-Source: web\r\nDialgate-Signature: {}\r\n",
        signed_by_web(front.seconds(), &body)
    );
    let mut stream = TcpStream::connect(front.console.local_addr())
        .await
        .unwrap();
    let bytes = request("POST", "/v1/consents", &head, &body);
    stream.write_all(bytes.as_bytes()).await.unwrap();
    drop(stream);
    let front = front.restarted().await;
    let answer = front.send(&body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let on_record = front.on_record(ATLANTA).await;
    assert_eq!(on_record.len(), 1, "{on_record:?}");
    let told = answer.json()["consent_event"]["consent_event_id"].clone();
    assert_eq!(told, on_record[0].consent_event_id.to_string());
}

async fn p07_the_same_form_sent_at_once_is_one_act(store: TestStore) {
    let front = Front::over(store).await;
    let body = given("s-1", ATLANTA);
    let sends = (0..8).map(|_| front.send(&body));
    let mut bodies = Vec::new();
    for answer in all(sends).await {
        assert_eq!(answer.status, 200, "{answer:?}");
        bodies.push(answer.body);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(front.on_record(ATLANTA).await.len(), 1);
}

async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in waiting.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                *done = Some(output);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

async fn what_is_taken_back_comes_after_what_was_given(store: TestStore) {
    let front = Front::over(store).await;
    assert_eq!(front.send(&given("s-1", ATLANTA)).await.status, 200);
    let back = front.send(&withdrawn("s-2", ATLANTA)).await;
    assert_eq!(back.status, 200, "{back:?}");
    let on_record = front.on_record(ATLANTA).await;
    assert_eq!(on_record.len(), 2, "nothing is overwritten");
    let event = &on_record[0];
    assert_eq!(event.action, ConsentAction::Withdrawn);
    assert_eq!((event.form, event.at), (None, front.house.now()));
    assert_eq!(event.evidence_ref.as_deref(), Some("submission s-2"));

    // What is stated to have been given right after it cannot be told from what came before.
    front.house.clock.advance(Duration::from_secs(60));
    let late = given("s-3", ATLANTA).replace("2026-04-20T09:30:00-04:00", "2026-04-21T15:00:30Z");
    let refused = front.send(&late).await;
    assert_eq!(refused.reason(), (400, "INVALID_FIELDS".to_owned()));
    assert_eq!(refused.fields(), ["event_time"]);
    assert_eq!(front.on_record(ATLANTA).await.len(), 2);
}
