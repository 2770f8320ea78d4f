//! Whole lists over the wire: the rows of CheckCall, bounds, and what is on record when a list ends or breaks off.

use std::time::Duration;

use dialgate::domain::access::Role;
use dialgate::domain::filter::Filter;
use dialgate::domain::ids::TenantId;
use dialgate::grpc::pb;
use dialgate::grpc::pb::call_service_client::CallServiceClient;
use dialgate::grpc::pb::check_calls_request::Content as Asked;
use dialgate::grpc::pb::check_calls_response::Content as Answered;
use dialgate::store::{AUDIT_FIELDS, AuditEntry, ListQuery};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::house::{ATLANTA, Client, House, refusal, request_id};
use crate::support::builders::TestStore;

const STRANGER: &str = "+14045550142";
const OPTED_OUT: &str = "+14045550143";

fn header() -> pb::CheckCallsHeader {
    pb::CheckCallsHeader {
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..pb::CheckCallsHeader::default()
    }
}

fn asked(content: Asked) -> pb::CheckCallsRequest {
    pb::CheckCallsRequest {
        content: Some(content),
    }
}

fn batch(numbers: &[&str]) -> pb::CheckCallsRequest {
    asked(Asked::Batch(pb::CheckCallsBatch {
        numbers: numbers.iter().map(ToString::to_string).collect(),
    }))
}

type Answers = Streaming<pb::CheckCallsResponse>;

async fn begin(client: &Client) -> (mpsc::Sender<pb::CheckCallsRequest>, Answers) {
    let (to, from) = mpsc::channel(1);
    let mut calls = client.calls();
    let answers = calls.check_calls(ReceiverStream::new(from)).await.unwrap();
    (to, answers.into_inner())
}

/// Sends these and takes all answers.
async fn ask(
    client: &Client,
    messages: Vec<pb::CheckCallsRequest>,
) -> Result<Vec<Answered>, Status> {
    let mut calls = client.calls();
    let mut answers = calls
        .check_calls(tokio_stream::iter(messages))
        .await?
        .into_inner();
    let mut all = Vec::new();
    while let Some(answer) = answers.message().await? {
        all.push(answer.content.unwrap());
    }
    Ok(all)
}

async fn entries(house: &House) -> Vec<AuditEntry> {
    let query = ListQuery {
        filter: Filter::parse("kind = \"calls.checked\"", AUDIT_FIELDS).unwrap(),
        page_size: 100,
        after: None,
    };
    let mut tx = house.store.read().await.unwrap();
    let page = tx.audit_entries(&TenantId::default(), &query).await;
    page.unwrap().rows
}

/// The one entry that there is soon.
async fn entry(house: &House) -> AuditEntry {
    // A connection that is gone is noticed late where much else runs.
    for _ in 0..6000 {
        if let Some(entry) = entries(house).await.pop() {
            return entry;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no entry of the list");
}

async fn houses() -> Vec<House> {
    let mut houses = vec![House::open().await];
    if let Some(store) = TestStore::postgres().await {
        houses.push(House::over(store, dialgate::grpc::GrpcConfig::default()).await);
    }
    houses
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p01_a_list_says_what_single_checks_say() {
    for house in houses().await {
        house.callable(ATLANTA).await;
        house.callable(OPTED_OUT).await;
        let agent = house.agent().await;
        let subject = pb::create_suppression_request::Subject::Number(OPTED_OUT.to_owned());
        let opt_out = pb::CreateSuppressionRequest {
            request_id: request_id(),
            subject: Some(subject),
            ..Default::default()
        };
        agent
            .suppressions()
            .create_suppression(opt_out)
            .await
            .unwrap();
        let list = [
            ATLANTA,
            STRANGER,
            OPTED_OUT,
            "+18085550142",
            ATLANTA,
            "+4930901820",
            "+19005550100",
            "n/a",
        ];
        let messages = vec![
            asked(Asked::Header(header())),
            batch(&list[..3]),
            batch(&list[3..]),
            batch(&[]),
        ];
        let answers = ask(&agent, messages).await.unwrap();
        let (mut rules, mut rows) = (Vec::new(), Vec::new());
        for answer in &answers[..3] {
            let Answered::Rows(batch) = answer else {
                panic!("{answer:?}");
            };
            rules.extend(batch.new_rules.clone());
            rows.extend(batch.rows.clone());
            assert_eq!(batch.judged_time, house.after(0));
        }
        let named: std::collections::BTreeSet<_> = rules.iter().collect();
        assert_eq!(named.len(), rules.len(), "each rule is named once");
        assert_eq!(rows.len(), list.len());
        for (number, row) in list.iter().zip(&rows) {
            let check = pb::CheckCallRequest {
                to: (*number).to_owned(),
                campaign: "us-sales".to_owned(),
                call_kind: pb::CallKind::LiveManual.into(),
                ..Default::default()
            };
            assert_eq!(row.number, "", "as it was written");
            match agent.calls().check_call(check).await {
                Ok(single) => {
                    let single = single.into_inner().decision.unwrap();
                    assert_eq!(row.error, "", "{number}");
                    assert_eq!(row.verdict(), single.verdict(), "{number}");
                    let denied_by: Vec<_> = row
                        .denied_by
                        .iter()
                        .map(|at| rules[*at as usize].clone())
                        .collect();
                    assert_eq!(denied_by, single.denied_by, "{number}");
                    assert_eq!(row.next_allowed_time, single.next_allowed_time, "{number}");
                }
                Err(status) => {
                    assert_eq!(
                        row.verdict(),
                        pb::Verdict::Unspecified,
                        "{number}: {status}"
                    );
                    assert!(!row.error.is_empty(), "{number}: {status}");
                }
            }
        }
        let Some(Answered::Summary(summary)) = answers.last() else {
            panic!("{:?}", answers.last());
        };
        assert_eq!((summary.asked, summary.allowed, summary.denied), (8, 2, 3));
        assert_eq!(summary.errors.iter().map(|each| each.count).sum::<i64>(), 3);
        assert_eq!(summary.packs.len(), 1);
        let entry = entry(&house).await;
        assert_eq!(entry.entry_id.to_string(), summary.audit_entry_id);
        assert_eq!(entry.payload["whole"], true);
        assert_eq!(entry.payload["denied_by"]["US-internal-dnc"], 1);
    }
}

#[tokio::test]
async fn a_list_is_read_in_its_country_and_says_why() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    let header = pb::CheckCallsHeader {
        default_country: "US".to_owned(),
        detail: pb::CheckDetail::Reasons.into(),
        judged_time: house.after(12 * 3600),
        ..header()
    };
    let messages = vec![
        asked(Asked::Header(header)),
        batch(&["(404) 555-0141", ATLANTA]),
    ];
    let answers = ask(&agent, messages).await.unwrap();
    let Answered::Rows(batch) = &answers[0] else {
        panic!("{answers:?}");
    };
    assert_eq!(
        (batch.rows[0].number.as_str(), batch.rows[1].number.as_str()),
        (ATLANTA, "")
    );
    assert_eq!(batch.judged_time, house.after(12 * 3600));
    for row in &batch.rows {
        assert_eq!(row.verdict(), pb::Verdict::Deny);
        assert_eq!((row.denied_by.len(), row.reasons.len()), (1, 1));
        assert!(row.reasons[0].contains("08:00"), "{:?}", row.reasons);
        assert!(row.next_allowed_time.is_some());
    }
}

#[tokio::test]
async fn wrong_streams_end_with_the_field() {
    let house = House::open().await;
    let agent = house.agent().await;
    let head = |change: fn(&mut pb::CheckCallsHeader)| {
        let mut header = header();
        change(&mut header);
        vec![asked(Asked::Header(header))]
    };
    let long = vec![STRANGER; 1001];
    let good = || asked(Asked::Header(header()));
    let cases = [
        (vec![batch(&[STRANGER])], "INVALID_FIELDS", "header"),
        (vec![], "INVALID_FIELDS", "header"),
        (
            vec![pb::CheckCallsRequest::default()],
            "INVALID_FIELDS",
            "header",
        ),
        (vec![good(), good()], "INVALID_FIELDS", "header"),
        (
            vec![good(), pb::CheckCallsRequest::default()],
            "INVALID_FIELDS",
            "header",
        ),
        (vec![good(), batch(&long)], "INVALID_FIELDS", "numbers"),
        (
            head(|header| header.campaign.clear()),
            "INVALID_FIELDS",
            "header.campaign",
        ),
        (
            head(|header| header.campaign = "nobody".to_owned()),
            "CAMPAIGN_UNKNOWN",
            "",
        ),
        (
            head(|header| header.campaign = "asleep".to_owned()),
            "CAMPAIGN_NOT_ACTIVE",
            "",
        ),
        (
            head(|header| header.call_kind = 0),
            "INVALID_FIELDS",
            "header.call_kind",
        ),
        (
            head(|header| header.call_kind = 3),
            "CALL_KIND_NOT_ALLOWED",
            "",
        ),
        (
            head(|header| header.caller_id = ATLANTA.to_owned()),
            "CALLER_ID_NOT_ALLOWED",
            "",
        ),
        (
            head(|header| header.caller_id = "1".to_owned()),
            "NUMBER_NOT_DIALABLE",
            "header.caller_id",
        ),
        (
            head(|header| header.default_country = "XX".to_owned()),
            "INVALID_FIELDS",
            "default_country",
        ),
        (
            head(|header| header.detail = 9),
            "INVALID_FIELDS",
            "header.detail",
        ),
        (
            head(|header| {
                header.judged_time = Some(prost_types::Timestamp {
                    seconds: 1,
                    nanos: 0,
                })
            }),
            "INVALID_FIELDS",
            "header.judged_time",
        ),
    ];
    for (messages, reason, field) in cases {
        let status = ask(&agent, messages).await.unwrap_err();
        let (_, found, fields) = refusal(&status);
        assert_eq!(found, reason, "{status:?}");
        assert!(field.is_empty() || fields == [field], "{status:?}");
    }
    let auditor = house.auditor().await;
    let status = ask(&auditor, vec![good()]).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

/// What is not read is not answered, and what is not answered is not taken in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_stops_the_server() {
    // Far more than the windows of HTTP/2 hold on both ways.
    const MANY: usize = 3000;
    let house = House::open().await;
    let agent = house.agent().await;
    let (to, mut answers) = begin(&agent).await;
    to.send(asked(Asked::Header(header()))).await.unwrap();
    // No numbers: nothing is to be judged, and the answers are as long.
    let numbers = vec!["not a number"; 1000];
    let mut sent = 0;
    while sent < MANY {
        let sending = to.send(batch(&numbers));
        match tokio::time::timeout(Duration::from_secs(3), sending).await {
            Ok(done) => done.unwrap(),
            Err(_) => break,
        }
        sent += 1;
    }
    assert!(sent < MANY, "all of it was taken in");
    drop(to);
    let (mut rows, mut asked) = (0, 0);
    while let Some(answer) = answers.message().await.unwrap() {
        match answer.content.unwrap() {
            Answered::Rows(batch) => rows += batch.rows.len(),
            Answered::Summary(summary) => asked = summary.asked,
        }
    }
    assert_eq!((rows, asked), (sent * 1000, sent as i64 * 1000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_breaks_off_is_on_record() {
    for house in houses().await {
        let (_, key) = house.key(Role::Agent).await;
        let address = format!("http://{}", house.server.local_addr());
        // A process of its own, as far as the server can tell: its connection goes away with it.
        let gone = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let channel = tonic::transport::Channel::from_shared(address).unwrap();
                let mut calls = CallServiceClient::new(channel.connect().await.unwrap());
                let (to, from) = mpsc::channel(2);
                to.send(asked(Asked::Header(header()))).await.unwrap();
                to.send(batch(&[STRANGER, "n/a"])).await.unwrap();
                let mut request = tonic::Request::new(ReceiverStream::new(from));
                let bearer = format!("Bearer {key}").parse().unwrap();
                request.metadata_mut().insert("authorization", bearer);
                let mut answers = calls.check_calls(request).await.unwrap().into_inner();
                assert!(answers.message().await.unwrap().is_some());
                std::mem::forget(to);
            });
            runtime.shutdown_background();
        });
        gone.await.unwrap();
        let entry = entry(&house).await;
        assert_eq!(entry.payload["whole"], false);
        assert_eq!(
            (&entry.payload["asked"], &entry.payload["denied"]),
            (&2.into(), &1.into())
        );
        assert!(entry.actor.contains("agent"), "{}", entry.actor);
    }
}

/// A fault of the client's in the middle ends the list and leaves its entry; so does a server that goes down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_ended_is_on_record() {
    let house = House::open().await;
    let agent = house.agent().await;
    let good = asked(Asked::Header(header()));
    let messages = vec![good.clone(), batch(&[STRANGER]), good.clone()];
    ask(&agent, messages).await.unwrap_err();
    assert_eq!(entry(&house).await.payload["whole"], false);

    let (to, mut answers) = begin(&agent).await;
    to.send(good).await.unwrap();
    to.send(batch(&[STRANGER])).await.unwrap();
    assert!(answers.message().await.unwrap().is_some());
    let House { server, store, .. } = house;
    let stopping = tokio::spawn(server.stop());
    let status = answers.message().await.unwrap_err();
    assert_eq!(refusal(&status).1, "SHUTTING_DOWN");
    drop((to, answers));
    stopping.await.unwrap();
    let query = ListQuery {
        filter: Filter::parse("kind = \"calls.checked\"", AUDIT_FIELDS).unwrap(),
        page_size: 100,
        after: None,
    };
    let mut tx = store.read().await.unwrap();
    let page = tx.audit_entries(&TenantId::default(), &query).await;
    assert_eq!(page.unwrap().rows.len(), 2);
}
