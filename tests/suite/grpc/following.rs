//! `WatchSuppressions`: everything that happens to opt-outs, in one order, over broken streams and several nodes.

use std::time::Duration;

use dialgate::domain::access::Role;
use dialgate::grpc::pb;
use dialgate::grpc::pb::create_suppression_request::Subject;
use dialgate::grpc::pb::watch_suppressions_response::Content;
use tonic::{Code, Streaming};
use uuid::Uuid;

use super::house::{Client, House, assert_refused};

const PATIENCE: Duration = Duration::from_secs(20);

async fn opt_out(client: &Client, number: &str) -> String {
    let request = pb::CreateSuppressionRequest {
        request_id: Uuid::new_v4().to_string(),
        subject: Some(Subject::Number(number.to_owned())),
        ..pb::CreateSuppressionRequest::default()
    };
    let made = client.suppressions().create_suppression(request).await;
    made.unwrap()
        .into_inner()
        .suppression
        .unwrap()
        .suppression_id
}

async fn ask_for_lift(house: &House, client: &Client, id: &str) {
    let request = pb::LiftSuppressionRequest {
        reason: "asked to be called again".to_owned(),
        evidence_ref: "form-18".to_owned(),
        evidence_time: house.after(0),
        ..approval(id)
    };
    lift(client, request).await;
}

/// An approver has nothing to add to what the administrator says.
fn approval(id: &str) -> pb::LiftSuppressionRequest {
    pb::LiftSuppressionRequest {
        request_id: Uuid::new_v4().to_string(),
        suppression_id: id.to_owned(),
        ..Default::default()
    }
}

async fn lift(client: &Client, request: pb::LiftSuppressionRequest) {
    client
        .suppressions()
        .lift_suppression(request)
        .await
        .unwrap();
}

async fn watch(
    client: &Client,
    token: &[u8],
    only_new: bool,
) -> Streaming<pb::WatchSuppressionsResponse> {
    let request = pb::WatchSuppressionsRequest {
        resume_token: token.to_vec(),
        only_new,
    };
    let stream = client.suppressions().watch_suppressions(request).await;
    stream.unwrap().into_inner()
}

/// The next change and its token; heartbeats are passed over.
async fn next(
    stream: &mut Streaming<pb::WatchSuppressionsResponse>,
) -> (i64, i32, String, Vec<u8>) {
    loop {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await;
        let message = message.unwrap().unwrap().unwrap();
        if let Some(Content::Change(change)) = message.content {
            let id = change.suppression.unwrap().suppression_id;
            return (change.position, change.kind, id, message.resume_token);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opt_outs_are_followed_in_one_order() {
    let house = House::open().await;
    let (first, second) = (
        house.administrator().await,
        house.client(Role::Approver).await,
    );
    let auditor = house.auditor().await;
    let early = opt_out(&first, "+14045550141").await;
    let mut from_the_beginning = watch(&auditor, &[], false).await;
    let mut from_now = watch(&auditor, &[], true).await;
    let recorded = pb::SuppressionChangeKind::Recorded.into();
    let (position, kind, id, token) = next(&mut from_the_beginning).await;
    assert_eq!((position, kind, &id), (1, recorded, &early));

    let late = opt_out(&first, "+14045550142").await;
    house.clock.advance(Duration::from_secs(1));
    ask_for_lift(&house, &first, &late).await;
    lift(&second, approval(&late)).await;
    let mut seen = Vec::new();
    for stream in [&mut from_the_beginning, &mut from_now] {
        let mut changes = Vec::new();
        for _ in 0..3 {
            let (position, kind, id, _) = next(stream).await;
            assert_eq!(id, late);
            changes.push((position, kind));
        }
        seen.push(changes);
    }
    let kinds = [
        pb::SuppressionChangeKind::Recorded,
        pb::SuppressionChangeKind::LiftRequested,
        pb::SuppressionChangeKind::Lifted,
    ];
    let wanted: Vec<(i64, i32)> = (2..).zip(kinds.map(i32::from)).collect();
    assert_eq!(seen, [wanted.clone(), wanted]);

    // The stream broke after the first: nothing is lost and nothing comes twice.
    let mut again = watch(&auditor, &token, false).await;
    assert_eq!(next(&mut again).await.0, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_leave_no_gap() {
    let house = House::open().await;
    let admin = house.administrator().await;
    let mut streams = [
        watch(&admin, &[], false).await,
        watch(&admin, &[], false).await,
    ];
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let client = house.administrator().await;
        writers.spawn(async move {
            let mut ids = Vec::new();
            for each in 0..10 {
                ids.push(opt_out(&client, &format!("+1404555{writer}1{each}0")).await);
            }
            ids
        });
    }
    let mut wanted: Vec<String> = writers.join_all().await.concat();
    wanted.sort();
    for stream in &mut streams {
        let mut seen = Vec::new();
        for position in 1..=80 {
            let change = next(stream).await;
            assert_eq!(change.0, position);
            seen.push(change.2);
        }
        seen.sort();
        assert_eq!(seen, wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_tokens_and_roles_are_refused() {
    let house = House::open().await;
    let admin = house.administrator().await;
    for token in [
        &b"x"[..],
        &[1, 2, 3],
        &[2, 0, 0, 0, 0, 0, 0, 0, 1],
        &[1, 255, 0, 0, 0, 0, 0, 0, 1],
    ] {
        let request = pb::WatchSuppressionsRequest {
            resume_token: token.to_vec(),
            only_new: false,
        };
        let told = admin.suppressions().watch_suppressions(request).await;
        assert_refused(
            told,
            Code::InvalidArgument,
            "RESUME_TOKEN_INVALID",
            &["resume_token"],
        );
    }
    let request = pb::WatchSuppressionsRequest::default();
    let told = house
        .agent()
        .await
        .suppressions()
        .watch_suppressions(request)
        .await;
    assert_eq!(told.unwrap_err().code(), Code::PermissionDenied);
}
