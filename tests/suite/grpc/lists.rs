//! Lists: pages, tokens, filters.

use std::time::Duration;

use dialgate::grpc::pb;
use tonic::{Code, Status};

use super::house::{Client, House, assert_refused};

async fn decisions(
    client: &Client,
    request: pb::ListDecisionsRequest,
) -> Result<pb::ListDecisionsResponse, Status> {
    let answer = client.audit().list_decisions(request).await;
    answer.map(tonic::Response::into_inner)
}

/// This many decisions, a second apart, newest first.
async fn decide(house: &House, count: usize) -> Vec<String> {
    let agent = house.agent().await;
    let mut ids = Vec::new();
    for index in 0..count {
        let check = pb::CheckCallRequest {
            to: format!("+140455501{:02}", index % 2 + 40),
            campaign: "us-sales".to_owned(),
            call_kind: pb::CallKind::LiveManual.into(),
            ..Default::default()
        };
        let answer = agent.calls().check_call(check).await.unwrap();
        ids.insert(0, answer.into_inner().decision.unwrap().decision_id);
        house.clock.advance(Duration::from_secs(1));
    }
    ids
}

fn ids(page: &pb::ListDecisionsResponse) -> Vec<String> {
    page.decisions
        .iter()
        .map(|each| each.decision_id.clone())
        .collect()
}

#[tokio::test]
async fn pages_have_neither_gaps_nor_repeats() {
    let house = House::open().await;
    let made = decide(&house, 7).await;
    let auditor = house.auditor().await;
    let mut request = pb::ListDecisionsRequest {
        page_size: 3,
        ..Default::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = decisions(&auditor, request.clone()).await.unwrap();
        assert!(page.decisions.len() <= 3);
        seen.extend(ids(&page));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // Another page size is no other list.
        request.page_size = 2;
    }
    assert_eq!(seen, made);
}

#[tokio::test]
async fn a_token_is_bound_to_what_was_asked() {
    let house = House::open().await;
    decide(&house, 3).await;
    let auditor = house.auditor().await;
    let first = pb::ListDecisionsRequest {
        page_size: 1,
        ..Default::default()
    };
    let token = decisions(&auditor, first.clone())
        .await
        .unwrap()
        .next_page_token;
    assert!(!token.is_empty());
    let next = pb::ListDecisionsRequest {
        page_token: token.clone(),
        ..first
    };
    assert!(decisions(&auditor, next.clone()).await.is_ok());
    for changed in [
        pb::ListDecisionsRequest {
            filter: "verdict = \"deny\"".to_owned(),
            ..next.clone()
        },
        pb::ListDecisionsRequest {
            view: pb::DecisionView::Full.into(),
            ..next.clone()
        },
        pb::ListDecisionsRequest {
            number: "+14045550141".to_owned(),
            ..next.clone()
        },
        pb::ListDecisionsRequest {
            page_token: "abc".to_owned(),
            ..next.clone()
        },
        pb::ListDecisionsRequest {
            page_token: format!("{token}00"),
            ..next.clone()
        },
    ] {
        let answer = decisions(&auditor, changed).await;
        assert_refused(
            answer,
            Code::InvalidArgument,
            "PAGE_TOKEN_INVALID",
            &["page_token"],
        );
    }
    let other = pb::ListCallsRequest {
        page_token: token,
        ..Default::default()
    };
    let answer = auditor.calls().list_calls(other).await;
    assert_refused(
        answer,
        Code::InvalidArgument,
        "PAGE_TOKEN_INVALID",
        &["page_token"],
    );
}

#[tokio::test]
async fn a_negative_page_size_is_refused_and_a_large_one_is_cut() {
    let house = House::open().await;
    decide(&house, 1).await;
    let client = house.administrator().await;
    let page_size = -1;
    let answers = [
        client
            .calls()
            .list_calls(pb::ListCallsRequest {
                page_size,
                ..Default::default()
            })
            .await
            .map(drop),
        client
            .consents()
            .list_consents(pb::ListConsentsRequest {
                page_size,
                ..Default::default()
            })
            .await
            .map(drop),
        client
            .suppressions()
            .list_suppressions(pb::ListSuppressionsRequest {
                page_size,
                ..Default::default()
            })
            .await
            .map(drop),
        client
            .audit()
            .list_decisions(pb::ListDecisionsRequest {
                page_size,
                ..Default::default()
            })
            .await
            .map(drop),
    ];
    for answer in answers {
        assert_refused(
            answer,
            Code::InvalidArgument,
            "INVALID_FIELDS",
            &["page_size"],
        );
    }
    let large = pb::ListDecisionsRequest {
        page_size: i32::MAX,
        ..Default::default()
    };
    assert_eq!(decisions(&client, large).await.unwrap().decisions.len(), 1);
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused_with_the_place() {
    let house = House::open().await;
    let client = house.administrator().await;
    for (filter, position) in [("nonsense = \"x\"", "1"), ("NOT phone = \"x\"", "5")] {
        let text = filter.to_owned();
        let answers = [
            client
                .calls()
                .list_calls(pb::ListCallsRequest {
                    filter: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
            client
                .consents()
                .list_consents(pb::ListConsentsRequest {
                    filter: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
            client
                .suppressions()
                .list_suppressions(pb::ListSuppressionsRequest {
                    filter: text.clone(),
                    ..Default::default()
                })
                .await
                .map(drop),
            client
                .audit()
                .list_decisions(pb::ListDecisionsRequest {
                    filter: text,
                    ..Default::default()
                })
                .await
                .map(drop),
        ];
        for answer in answers {
            let status =
                assert_refused(answer, Code::InvalidArgument, "FILTER_INVALID", &["filter"]);
            let details = tonic_types::StatusExt::get_error_details(&status);
            assert_eq!(
                details.error_info().unwrap().metadata["position"],
                position,
                "{filter}"
            );
        }
    }
    for filter in [
        "verdict = \"perhaps\"",
        "verdict =",
        "(verdict = \"deny\"",
        "decided_time > \"yesterday\"",
    ] {
        let request = pb::ListDecisionsRequest {
            filter: filter.to_owned(),
            ..Default::default()
        };
        let answer = decisions(&client, request).await;
        assert_refused(answer, Code::InvalidArgument, "FILTER_INVALID", &["filter"]);
    }
}

#[tokio::test]
async fn filters_and_numbers_narrow_a_list() {
    let house = House::open().await;
    let made = decide(&house, 4).await;
    let auditor = house.auditor().await;
    let of = |filter: &str, number: &str| pb::ListDecisionsRequest {
        filter: filter.to_owned(),
        number: number.to_owned(),
        ..Default::default()
    };
    let even = vec![made[1].clone(), made[3].clone()];
    let page = decisions(&auditor, of("", "+14045550140")).await.unwrap();
    assert_eq!(ids(&page), even);
    let page = decisions(&auditor, of("verdict = \"deny\"", "+14045550140"))
        .await
        .unwrap();
    assert_eq!(ids(&page), even);
    let page = decisions(&auditor, of("verdict = \"allow\"", "+14045550140"))
        .await
        .unwrap();
    assert!(page.decisions.is_empty() && page.next_page_token.is_empty());
    let page = decisions(&auditor, of("decided_time >= \"2026-04-21T15:00:02Z\"", ""))
        .await
        .unwrap();
    assert_eq!(ids(&page), made[..2]);
}
