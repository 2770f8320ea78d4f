//! Stored decisions made again over the wire: the same, changed behind the store's back, or impossible. Each test runs on
//! both databases.

use std::time::Duration;

use dialgate::grpc::{GrpcConfig, pb};

use super::house::{ATLANTA, Client, House, assert_refused, request_id};
use crate::support::builders::TestStore;

/// Somebody of whom nothing is recorded.
const STRANGER: &str = "+14045550177";

macro_rules! on_both {
    ($($(#[$meta:meta])* $name:ident,)+) => {$(
        mod $name {
            use super::{GrpcConfig, House, TestStore};

            $(#[$meta])*
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let store = TestStore::sqlite().await;
                super::tests::$name(House::over(store, GrpcConfig::default()).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(store) = TestStore::postgres().await {
                    super::tests::$name(House::over(store, GrpcConfig::default()).await).await;
                }
            }
        }
    )+};
}

on_both![
    decisions_come_out_the_same_under_the_packs_that_made_them,
    what_was_changed_behind_the_store_is_told,
    a_pack_that_was_changed_makes_nothing_again,
    who_was_erased_and_what_was_never_judged_is_counted_apart,
    what_makes_no_sense_is_refused,
];

async fn check(house: &House, agent: &Client, to: &str) -> pb::Decision {
    // A moment later than the last, so that decisions have an order.
    house.clock.advance(Duration::from_millis(1));
    let request = pb::CheckCallRequest {
        to: to.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..pb::CheckCallRequest::default()
    };
    let answer = agent.calls().check_call(request).await.unwrap();
    answer.into_inner().decision.unwrap()
}

/// All pages as one, and how many there were.
async fn replayed(client: &Client, page_size: i32) -> (pb::ReplayDecisionsResponse, usize) {
    let mut sum = pb::ReplayDecisionsResponse::default();
    let mut request = pb::ReplayDecisionsRequest {
        page_size,
        ..pb::ReplayDecisionsRequest::default()
    };
    for pages in 1.. {
        let page = client.audit().replay_decisions(request.clone()).await;
        let page = page.unwrap().into_inner();
        let all = page.same + page.different + page.impossible + page.erased + page.refused;
        assert!(all <= i64::from(page_size));
        sum.same += page.same;
        sum.different += page.different;
        sum.impossible += page.impossible;
        sum.erased += page.erased;
        sum.refused += page.refused;
        sum.differences.extend(page.differences);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return (sum, pages);
        }
    }
    unreachable!("pages end")
}

fn counts(sum: &pb::ReplayDecisionsResponse) -> [i64; 5] {
    [
        sum.same,
        sum.different,
        sum.impossible,
        sum.erased,
        sum.refused,
    ]
}

mod tests {
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::{Incarnation, TenantId};
    use dialgate::gate::{ClaimRequest, Claimed};
    use dialgate::grpc::pb::activate_pack_request::Pack as Wanted;
    use dialgate::store::ListQuery;
    use tonic::Code;
    use uuid::Uuid;

    use super::super::policy::{RECALL, closing, upload};
    use super::*;

    pub async fn decisions_come_out_the_same_under_the_packs_that_made_them(house: House) {
        house.callable(ATLANTA).await;
        let (admin, agent) = (house.administrator().await, house.agent().await);
        let mut verdicts = Vec::new();
        let mut packs = std::collections::BTreeSet::new();
        let mut ask = async || {
            for to in [ATLANTA, STRANGER] {
                let decision = check(&house, &agent, to).await;
                verdicts.push(decision.verdict());
                packs.insert(decision.pack.unwrap().sha256);
            }
        };
        ask().await;
        let placed = agent.calls().place_call(house.place(ATLANTA)).await;
        assert!(placed.unwrap().into_inner().call.is_some());
        let day = pb::AddClosedDayRequest {
            request_id: request_id(),
            jurisdiction: "US-GA".to_owned(),
            date: Some(pb::Date {
                year: 2026,
                month: 4,
                day: 21,
            }),
            reason: "proclamation".to_owned(),
        };
        admin.policy().add_closed_day(day).await.unwrap();
        ask().await;
        let other = pb::ActivatePackRequest {
            request_id: request_id(),
            pack: Some(Wanted::Upload(upload(&closing(RECALL)))),
            reason: "tried".to_owned(),
            validate_only: false,
        };
        admin.policy().activate_pack(other).await.unwrap();
        ask().await;
        use pb::Verdict::{Allow, Deny};
        assert_eq!(verdicts, [Allow, Deny, Deny, Deny, Deny, Deny]);
        assert_eq!(packs.len(), 3);

        // Seven decisions, two a page; an auditor may ask.
        let (sum, pages) = replayed(&house.auditor().await, 2).await;
        assert_eq!((counts(&sum), pages), ([7, 0, 0, 0, 0], 4));
        // A node that never held those packs comes to the same.
        let query = ListQuery {
            filter: Filter::Everything,
            page_size: 1000,
            after: None,
        };
        let again = house.again().await;
        let page = again.replay(&TenantId::default(), &query).await.unwrap();
        let same =
            |row: &dialgate::gate::Replayed| row.outcome == dialgate::gate::ReplayOutcome::Same;
        assert!(page.rows.len() == 7 && page.rows.iter().all(same));
    }

    pub async fn what_was_changed_behind_the_store_is_told(house: House) {
        /// How a record is changed, and what is told of it: parts, or a problem.
        const CHANGES: &[(&str, &str)] = &[
            (
                "UPDATE decisions SET judgement = replace(judgement, '\"zones\":[\"America/New_York\"]', \
                 '\"zones\":[\"America/New_Yorj\"]') WHERE decision_id = $1",
                "zones[0]",
            ),
            (
                "UPDATE decisions SET judgement = replace(judgement, '\"verdict\":\"allow\"', '\"verdict\":\"allov\"') \
                 WHERE decision_id = $1",
                "verdict",
            ),
            (
                "UPDATE decisions SET judgement = replace(judgement, '{\"verdict\"', '{ \"verdict\"') WHERE decision_id = $1",
                "text",
            ),
            (
                "UPDATE decisions SET judgement = replace(judgement, '{\"verdict\"', '{\"+14045550141\":1,\"verdict\"') \
                 WHERE decision_id = $1",
                "(unknown key)",
            ),
            (
                "UPDATE decisions SET judgement = replace(judgement, '{\"verdict\"', '[\"verdict\"') WHERE decision_id = $1",
                "JUDGEMENT_UNREADABLE",
            ),
            (
                "UPDATE decisions SET verdict = 'deny' WHERE decision_id = $1",
                "listed.verdict",
            ),
            (
                "UPDATE decisions SET denied_by = ' US-window ' WHERE decision_id = $1",
                "listed.denied_by",
            ),
            (
                "UPDATE decisions SET pack_sha256 = 'none' WHERE decision_id = $1",
                "PACK_NOT_FOUND",
            ),
            (
                "UPDATE decisions SET sealed_case = NULL WHERE decision_id = $1",
                "CASE_MISSING",
            ),
            (
                "UPDATE decisions SET sealed_case = (SELECT first.sealed_case FROM decisions AS first \
                 ORDER BY first.create_time LIMIT 1) WHERE decision_id = $1",
                "CASE_OF_ANOTHER",
            ),
        ];
        house.callable(ATLANTA).await;
        let agent = house.agent().await;
        check(&house, &agent, ATLANTA).await;
        let mut expected = Vec::new();
        for (sql, told) in CHANGES {
            let made = check(&house, &agent, ATLANTA).await;
            assert_eq!(made.verdict(), pb::Verdict::Allow);
            let id: Uuid = made.decision_id.parse().unwrap();
            house.base.change(sql, &[id]).await;
            expected.push((made.decision_id, (*told).to_owned()));
        }
        let broken = check(&house, &agent, ATLANTA).await;
        let damage = "UPDATE decisions SET sealed_case = $1 WHERE decision_id = $2";
        house
            .base
            .damage(damage, broken.decision_id.parse().unwrap())
            .await;
        expected.push((broken.decision_id, "CASE_UNREADABLE".to_owned()));
        let (sum, _) = replayed(&house.auditor().await, 1000).await;
        assert_eq!(counts(&sum), [1, 6, 5, 0, 0], "{:?}", sum.differences);
        let told = |each: &pb::ReplayDifference| match each.problem() {
            pb::ReplayProblem::Unspecified => each.parts.join(" "),
            problem => {
                assert_eq!((each.after, each.parts.len()), (0, 0));
                let word = problem.as_str_name();
                word.trim_start_matches("REPLAY_PROBLEM_").to_owned()
            }
        };
        let found: Vec<_> = (sum.differences.iter())
            .map(|each| (each.decision_id.clone(), told(each)))
            .collect();
        expected.reverse();
        assert_eq!(found, expected, "newest first");
        for each in &sum.differences {
            let pack = each.pack.as_ref().unwrap();
            assert_eq!(pack.zone_data, each.zone_data, "made by this very build");
            assert!(each.decided_time.is_some());
        }
        assert!(!format!("{sum:?}").contains("4045550"), "a number is told");
        // What another pack would have said counts what it can, and leaves the rest out.
        let asked = pb::EvaluateRequest {
            input: Some(pb::evaluate_request::Input::Decisions(
                pb::StoredDecisions::default(),
            )),
            ..pb::EvaluateRequest::default()
        };
        let told = house.auditor().await.policy().evaluate(asked).await;
        let told = told.unwrap().into_inner();
        assert_eq!((told.evaluated, told.skipped), (10, 2));
    }

    pub async fn a_pack_that_was_changed_makes_nothing_again(house: House) {
        house.callable(ATLANTA).await;
        let agent = house.agent().await;
        for _ in 0..3 {
            check(&house, &agent, ATLANTA).await;
        }
        let comment = "UPDATE pack_texts SET content = content || '#' WHERE text_sha256 IN \
                       (SELECT text_sha256 FROM pack_files WHERE name = 'us.toml')";
        house.base.change(comment, &[]).await;
        let auditor = house.auditor().await;
        let (sum, _) = replayed(&auditor, 2).await;
        assert_eq!(counts(&sum), [0, 0, 3, 0, 0]);
        let unusable = pb::ReplayProblem::PackUnusable;
        assert!(
            sum.differences
                .iter()
                .all(|each| each.problem() == unusable && each.before() == pb::Verdict::Allow)
        );
        // One that cannot even be read.
        let wreck = "UPDATE pack_texts SET content = '[[' WHERE text_sha256 IN \
                     (SELECT text_sha256 FROM pack_files WHERE name = 'us.toml')";
        house.base.change(wreck, &[]).await;
        assert_eq!(counts(&replayed(&auditor, 9).await.0), [0, 0, 3, 0, 0]);
        // The node holds the law in force and goes on.
        let still = check(&house, &agent, ATLANTA).await;
        assert_eq!(still.verdict(), pb::Verdict::Allow);
    }

    pub async fn who_was_erased_and_what_was_never_judged_is_counted_apart(house: House) {
        house.callable(ATLANTA).await;
        let agent = house.agent().await;
        check(&house, &agent, STRANGER).await;
        let placed = agent.calls().place_call(house.place(ATLANTA)).await;
        let placed = placed.unwrap().into_inner();
        let party: Uuid = placed.call.unwrap().party_id.parse().unwrap();
        // The campaign is gone before the call is claimed.
        let node = house.without_campaigns().await;
        let owner = Incarnation::new(house.now());
        let mut tx = house.base.write().await;
        let leased = tx.lease_calls(owner, "us-sales", 9, house.now()).await;
        let leased = leased.unwrap().remove(0);
        tx.commit().await.unwrap();
        let claim = ClaimRequest {
            trunk: leased.call.trunk.clone(),
            call: leased.call,
            subject: leased.subject,
            lease_epoch: leased.lease_epoch,
            owner,
            sip_call_id: Uuid::new_v4().to_string(),
            again: None,
            attestation: None,
        };
        let claimed = node.claim(claim).await.unwrap();
        assert!(matches!(claimed, Claimed::Denied(_)), "{claimed:?}");
        let auditor = house.auditor().await;
        assert_eq!(counts(&replayed(&auditor, 9).await.0), [2, 0, 0, 0, 1]);

        let erase = "UPDATE parties SET wrapped_key = NULL WHERE party_id = $1";
        house.base.change(erase, &[party]).await;
        // Asked about afterwards, nothing more is kept of them: no case.
        check(&house, &agent, ATLANTA).await;
        let (sum, _) = replayed(&auditor, 9).await;
        assert_eq!(counts(&sum), [1, 0, 0, 2, 1], "{:?}", sum.differences);

        // A refusal in other words than the gate's is none; nor is a judged decision dressed up as one.
        let by_campaign = "UPDATE decisions SET judgement = replace(judgement, 'section `campaign`', 'section `x`') \
                           WHERE stage = 'claim'";
        house.base.change(by_campaign, &[]).await;
        let (sum, _) = replayed(&auditor, 9).await;
        assert_eq!(counts(&sum), [1, 1, 0, 2, 0]);
        assert_eq!(sum.differences[0].parts, ["rules[0].citation"]);
        let dressed_up = "UPDATE decisions SET sealed_case = NULL, judgement = (SELECT claim.judgement \
                          FROM decisions AS claim WHERE claim.stage = 'claim') WHERE stage = 'check' AND party_id <> $1";
        house.base.change(dressed_up, &[party]).await;
        assert_eq!(counts(&replayed(&auditor, 9).await.0), [0, 1, 1, 2, 0]);
    }

    pub async fn what_makes_no_sense_is_refused(house: House) {
        let agent = house.agent().await;
        for _ in 0..3 {
            check(&house, &agent, STRANGER).await;
        }
        let auditor = house.auditor().await;
        let ask = async |request: pb::ReplayDecisionsRequest| {
            let answer = auditor.audit().replay_decisions(request).await;
            answer.map(tonic::Response::into_inner)
        };
        let of =
            |page_size, page_token: &str, filter: &str, number: &str| pb::ReplayDecisionsRequest {
                page_size,
                page_token: page_token.to_owned(),
                filter: filter.to_owned(),
                number: number.to_owned(),
            };
        let first = ask(of(1, "", "", "")).await.unwrap();
        assert_eq!(first.same, 1);
        let token = first.next_page_token;
        assert_eq!(ask(of(1000, &token, "", "")).await.unwrap().same, 2);
        let listed = pb::ListDecisionsRequest {
            page_size: 1,
            ..pb::ListDecisionsRequest::default()
        };
        let listed = auditor.audit().list_decisions(listed).await;
        let foreign = listed.unwrap().into_inner().next_page_token;
        let wrong_token = "PAGE_TOKEN_INVALID";
        for (request, reason, field) in [
            (of(1, &foreign, "", ""), wrong_token, "page_token"),
            (
                of(1, &token, "stage = check", ""),
                wrong_token,
                "page_token",
            ),
            (of(1, &token, "", STRANGER), wrong_token, "page_token"),
            (of(1, "x", "", ""), wrong_token, "page_token"),
            (of(1, "", "nonsense = 1", ""), "FILTER_INVALID", "filter"),
            (of(-1, "", "", ""), "INVALID_FIELDS", "page_size"),
            (of(1, "", "", "call me"), "NUMBER_NOT_E164", "number"),
        ] {
            assert_refused(ask(request).await, Code::InvalidArgument, reason, &[field]);
        }
        let theirs = ask(of(0, "", "", STRANGER)).await.unwrap();
        let nobodys = ask(of(0, "", "", ATLANTA)).await.unwrap();
        assert_eq!((theirs.same, nobodys.same), (3, 0));
        let some = ask(of(0, "", "verdict = \"allow\"", "")).await.unwrap();
        assert_eq!(some, pb::ReplayDecisionsResponse::default());
    }
}
