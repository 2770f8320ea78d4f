//! `WebhookService`: how the webhooks stand, and bringing one back, over the wire.

use dialgate::domain::webhook::{WebhookProgress, WebhookState};
use dialgate::grpc::pb;
use dialgate::store::{Urgency, WebhookTurn};
use tonic::Code;

use super::house::{House, assert_refused, request_id};
use crate::support::builders::{phone, suppression, tenant};
use dialgate::domain::ids::Incarnation;
use dialgate::domain::suppression::Suppression;
use dialgate::domain::suppression::SuppressionSubject;

/// A webhook that failed so often that it was given up, with one change that nobody took.
pub(super) async fn parked(house: &House) {
    let number = house.store.hasher().key(&tenant(), phone(1));
    let new = Suppression {
        recorded_at: house.now(),
        ..suppression(SuppressionSubject::Number(number))
    };
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    tx.insert_suppression(&tenant(), &new).await.unwrap();
    tx.place_suppression_changes(&tenant(), 9).await.unwrap();
    let begun = WebhookProgress::new("crm".to_owned(), 0);
    tx.begin_webhook(&tenant(), &begun, house.now())
        .await
        .unwrap();
    let row = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    let turn = WebhookTurn {
        owner: Incarnation::new(house.now()),
        lease: std::time::Duration::from_secs(1),
        batch_end: 1,
    };
    assert!(tx.take_webhook(&tenant(), &row, &turn).await.unwrap());
    let given_up = WebhookProgress {
        batch_end: Some(1),
        state: WebhookState::Parked,
        tries: 300,
        failing_since: Some(house.now()),
        last_problem: Some("http_500".to_owned()),
        ..begun
    };
    assert!(tx.record_webhook(&tenant(), &row, &given_up).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_parked_webhook_is_shown_and_brought_back() {
    let house = House::open().await;
    let (admin, auditor) = (house.administrator().await, house.auditor().await);
    let list = async || {
        let mut webhooks = auditor.webhooks();
        let answer = webhooks.list_webhooks(pb::ListWebhooksRequest {}).await;
        answer.unwrap().into_inner().webhooks
    };
    assert!(list().await.is_empty());
    parked(&house).await;
    house.clock.advance(std::time::Duration::from_secs(61));
    let at = |at: dialgate::domain::time::Micros| at.0 / 1_000_000;
    let webhook = list().await.pop().unwrap();
    assert_eq!(webhook.state(), pb::WebhookState::Parked);
    assert_eq!((webhook.name.as_str(), webhook.configured), ("crm", false));
    assert_eq!(
        (webhook.delivered_position, webhook.pending_changes),
        (0, 1)
    );
    assert!(webhook.overdue);
    let oldest = webhook.oldest_pending_time.unwrap();
    assert_eq!(oldest.seconds, at(house.now()) - 61);
    assert_eq!(
        (webhook.failed_tries, webhook.last_problem.as_str()),
        (300, "http_500")
    );
    assert_eq!(webhook.failing_since_time, Some(oldest));
    assert_eq!(
        (webhook.next_try_time, webhook.last_delivery_time),
        (None, None)
    );

    let resume = |name: &str| pb::ResumeWebhookRequest {
        request_id: request_id(),
        name: name.to_owned(),
        from_start: false,
    };
    let request = resume("crm");
    let answer = admin.webhooks().resume_webhook(request.clone()).await;
    let resumed = answer.unwrap().into_inner().webhook.unwrap();
    assert_eq!(resumed.state(), pb::WebhookState::Delivering);
    assert_eq!((resumed.failed_tries, resumed.pending_changes), (0, 1));
    let again = admin.webhooks().resume_webhook(request.clone()).await;
    assert_eq!(again.unwrap().into_inner().webhook.unwrap(), resumed);
    let other = pb::ResumeWebhookRequest {
        from_start: true,
        ..request
    };
    let reused = admin.webhooks().resume_webhook(other).await;
    assert_refused(
        reused,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );
    let nobody = admin.webhooks().resume_webhook(resume("erp")).await;
    assert_refused(nobody, Code::NotFound, "WEBHOOK_NOT_FOUND", &[]);
    let unnamed = admin.webhooks().resume_webhook(resume("")).await;
    assert_refused(unnamed, Code::InvalidArgument, "INVALID_FIELDS", &["name"]);
}
