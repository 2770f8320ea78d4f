//! How far webhooks are, and whose turn it is.

use dialgate::domain::webhook::{WebhookLag, WebhookProgress, WebhookState};
use dialgate::store::{WebhookRow, WebhookTurn};

use super::suppressions::lift;
use super::*;

contract![
    a_turn_is_taken_once_and_written_down_by_who_took_it,
    a_webhook_is_begun_once_and_brought_back,
    what_is_to_be_delivered_is_told,
];

fn turn(owner: Incarnation, batch_end: i64) -> WebhookTurn {
    WebhookTurn {
        owner,
        lease: Duration::from_secs(20),
        batch_end,
    }
}

fn failing(row: &WebhookRow) -> WebhookProgress {
    WebhookProgress {
        batch_end: Some(9),
        state: WebhookState::Parked,
        tries: 3,
        failing_since: Some(after(1)),
        tried_at: Some(after(2)),
        failing_for: Duration::from_micros(7_000_001),
        next_try_at: Some(after(3)),
        last_problem: Some("http_500".to_owned()),
        delivered_at: Some(after(4)),
        ..row.progress.clone()
    }
}

async fn begun(store: &TestStore, name: &str) -> WebhookRow {
    let mut tx = store.write().await;
    let new = WebhookProgress::new(name.to_owned(), 5);
    assert!(tx.begin_webhook(&tenant(), &new, NOON).await.unwrap());
    let row = tx.webhook(&tenant(), name).await.unwrap().unwrap();
    tx.commit().await.unwrap();
    row
}

async fn a_turn_is_taken_once_and_written_down_by_who_took_it(store: TestStore) {
    let (anna, bert) = (Incarnation::new(NOON), Incarnation::new(after(1)));
    let seen = begun(&store, "crm").await;
    assert_eq!(seen.progress, WebhookProgress::new("crm".to_owned(), 5));
    assert_eq!((seen.owner, seen.epoch), (None, 0));
    let mut tx = store.write().await;
    assert!(
        tx.take_webhook(&tenant(), &seen, &turn(anna, 9))
            .await
            .unwrap()
    );
    let taken = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    assert_eq!((taken.owner, taken.epoch), (Some(anna), 1));
    assert_eq!(taken.lease, Duration::from_secs(20));
    assert_eq!(taken.progress.batch_end, Some(9));
    let late = tx.take_webhook(&tenant(), &seen, &turn(bert, 9)).await;
    assert!(!late.unwrap(), "by what it saw before");

    // Somebody takes it over; whoever lost it writes nothing down and gives nothing back.
    assert!(
        tx.take_webhook(&tenant(), &taken, &turn(bert, 9))
            .await
            .unwrap()
    );
    let lost = tx.record_webhook(&tenant(), &seen, &failing(&seen)).await;
    assert!(!lost.unwrap());
    tx.release_webhook(&tenant(), &seen).await.unwrap();
    let row = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    assert_eq!((row.owner, row.epoch), (Some(bert), 2));

    let wanted = failing(&taken);
    assert!(tx.record_webhook(&tenant(), &taken, &wanted).await.unwrap());
    let row = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    assert_eq!((&row.progress, row.owner), (&wanted, None));
    let parked = tx.take_webhook(&tenant(), &row, &turn(anna, 9)).await;
    assert!(!parked.unwrap(), "what is parked is nobody's turn");
    tx.commit().await.unwrap();
}

async fn a_webhook_is_begun_once_and_brought_back(store: TestStore) {
    let anna = Incarnation::new(NOON);
    let seen = begun(&store, "crm").await;
    let mut tx = store.write().await;
    let again = WebhookProgress::new("crm".to_owned(), 77);
    assert!(!tx.begin_webhook(&tenant(), &again, NOON).await.unwrap());
    assert!(
        tx.take_webhook(&tenant(), &seen, &turn(anna, 9))
            .await
            .unwrap()
    );
    assert!(
        tx.record_webhook(&tenant(), &seen, &failing(&seen))
            .await
            .unwrap()
    );
    assert!(tx.resume_webhook(&tenant(), "crm", false).await.unwrap());
    let resumed = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    let wanted = WebhookProgress {
        batch_end: Some(9),
        last_problem: Some("http_500".to_owned()),
        delivered_at: Some(after(4)),
        ..WebhookProgress::new("crm".to_owned(), 5)
    };
    assert_eq!(resumed.progress, wanted);

    // Sent back to the beginning in the middle of a turn: what comes of it moves nothing, and the turn is given back.
    assert!(
        tx.take_webhook(&tenant(), &resumed, &turn(anna, 9))
            .await
            .unwrap()
    );
    assert!(tx.resume_webhook(&tenant(), "crm", true).await.unwrap());
    let done = WebhookProgress::new("crm".to_owned(), 9);
    assert!(!tx.record_webhook(&tenant(), &resumed, &done).await.unwrap());
    let row = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    assert_eq!((row.owner, row.progress.delivered), (Some(anna), 0));
    assert_eq!((row.progress.round, row.progress.batch_end), (2, None));
    tx.release_webhook(&tenant(), &resumed).await.unwrap();
    let row = tx.webhook(&tenant(), "crm").await.unwrap().unwrap();
    assert_eq!(row.owner, None);
    assert!(!tx.resume_webhook(&tenant(), "erp", true).await.unwrap());
    tx.commit().await.unwrap();
    begun(&store, "also").await;
    let mut tx = store.read().await;
    let all = tx.webhooks(&tenant()).await.unwrap();
    let names: Vec<&str> = all.iter().map(|row| row.progress.name.as_str()).collect();
    assert_eq!(names, ["also", "crm"]);
    let other = TenantId("other".to_owned());
    assert!(tx.webhooks(&other).await.unwrap().is_empty());
    assert!(tx.webhook(&other, "crm").await.unwrap().is_none());
}

async fn what_is_to_be_delivered_is_told(store: TestStore) {
    let mut one = suppression(SuppressionSubject::Number(store.key(phone(1))));
    let mut tx = store.write().await;
    assert_eq!(
        tx.webhook_lag(&tenant(), 0).await.unwrap(),
        WebhookLag::default()
    );
    tx.insert_suppression(&tenant(), &one).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        store
            .store
            .place_untold_suppressions(&tenant(), 9)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        store
            .store
            .place_untold_suppressions(&tenant(), 9)
            .await
            .unwrap(),
        0
    );
    let mut tx = store.write().await;
    lift(&mut tx, &mut one, after(60)).await;
    tx.commit().await.unwrap();
    store
        .store
        .place_untold_suppressions(&tenant(), 9)
        .await
        .unwrap();
    let mut tx = store.read().await;
    for (delivered, changes, oldest_at) in [
        (0, 3, Some(NOON)),
        (1, 2, Some(after(0))),
        (2, 1, Some(after(60))),
        (3, 0, None),
        (4, 0, None),
    ] {
        let wanted = WebhookLag { changes, oldest_at };
        let lag = tx.webhook_lag(&tenant(), delivered).await.unwrap();
        assert_eq!(lag, wanted, "{delivered}");
    }
}
