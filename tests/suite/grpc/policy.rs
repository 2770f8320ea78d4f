//! The law over the wire: reading it, changing it, and what a change does to the next decision.

use std::time::Duration;

use dialgate::domain::ids::{RegionStopId, TenantId};
use dialgate::grpc::pb::activate_pack_request::Pack as Wanted;
use dialgate::grpc::pb::{self, evaluate_request};
use dialgate::policy::PackFiles;
use dialgate::store::{AUDIT_FIELDS, AuditEntry, ListQuery};
use tonic::Code;

use super::house::{ATLANTA, Client, House, assert_refused, request_id};

/// A rule of certainty `recall` that decides for live calls to consumers in Texas.
pub const RECALL: &str = "HOUSE-hours";

/// The built-in files with this row added, and the text `from` of `us.toml` replaced.
pub fn upload(row: &str) -> pb::PackUpload {
    let mut files: Vec<pb::PackFile> = (PackFiles::embedded().iter())
        .filter(|(name, _)| !name.starts_with("numbering/"))
        .map(|(name, text)| pb::PackFile {
            name: name.to_owned(),
            text: text.to_owned(),
        })
        .collect();
    files.push(pb::PackFile {
        name: "added/house.toml".to_owned(),
        text: row.to_owned(),
    });
    pb::PackUpload { files }
}

/// Closes every hour in the US: a pack whose decisions cannot be mistaken.
pub fn closing(id: &str) -> String {
    format!(
        "schema = 2\nas_of = \"2026-11-21\"\n[[rule]]\nid = \"{id}\"\njurisdiction = \"US\"\nkind = \"calling_window\"\n\
         call_kinds = [\"live_manual\"]\naudience = \"both\"\nwindows = {{ mon-sun = [] }}\ncitation = \"house\"\n\
         certainty = \"recall\"\n"
    )
}

pub(super) fn activate(pack: Wanted) -> pb::ActivatePackRequest {
    pb::ActivatePackRequest {
        request_id: request_id(),
        pack: Some(pack),
        reason: "tried in spring".to_owned(),
        validate_only: false,
    }
}

async fn check(agent: &Client, to: &str) -> pb::Decision {
    let request = pb::CheckCallRequest {
        to: to.to_owned(),
        campaign: "us-sales".to_owned(),
        call_kind: pb::CallKind::LiveManual.into(),
        ..pb::CheckCallRequest::default()
    };
    let answer = agent.calls().check_call(request).await.unwrap();
    answer.into_inner().decision.unwrap()
}

async fn audited(house: &House, kind: &str) -> Vec<AuditEntry> {
    use dialgate::domain::filter::Filter;
    let text = format!("kind = \"{kind}\"");
    let query = ListQuery {
        filter: Filter::parse(&text, AUDIT_FIELDS).unwrap(),
        page_size: 1000,
        after: None,
    };
    let mut tx = house.store.read().await.unwrap();
    tx.audit_entries(&TenantId::default(), &query)
        .await
        .unwrap()
        .rows
}

async fn history(client: &Client) -> Vec<pb::Activation> {
    let request = pb::ListActivationsRequest::default();
    let answer = client.policy().list_activations(request).await.unwrap();
    answer.into_inner().activations
}

#[tokio::test]
async fn rules_are_listed_by_place_and_kind_and_read_one_by_one() {
    let house = House::open().await;
    let auditor = house.auditor().await;
    let list = async |request: pb::ListRulesRequest| {
        let answer = auditor.policy().list_rules(request).await;
        answer.map(tonic::Response::into_inner)
    };
    let florida = pb::ListRulesRequest {
        place: "US-FL".to_owned(),
        kind: "calling_window".to_owned(),
        ..pb::ListRulesRequest::default()
    };
    let found = list(florida.clone()).await.unwrap();
    let ids: Vec<&str> = found.rules.iter().map(|rule| rule.rule.as_str()).collect();
    assert!(
        ids.contains(&"US-FL-window") && ids.contains(&"US-window"),
        "{ids:?}"
    );
    assert!(!ids.contains(&"US-TX-window"), "{ids:?}");
    assert!(
        found
            .rules
            .iter()
            .all(|rule| rule.kind == "calling_window" && !rule.citation.is_empty())
    );

    // Page by page, each rule once.
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = pb::ListRulesRequest {
            page_size: 50,
            page_token: token,
            ..pb::ListRulesRequest::default()
        };
        let page = list(request).await.unwrap();
        all.extend(page.rules.into_iter().map(|rule| rule.rule));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let wanted: Vec<String> = (house.gate.pack().rules().iter())
        .map(|rule| rule.common.id.to_string())
        .collect();
    assert_eq!(all, wanted);

    let wrong = pb::ListRulesRequest {
        place: "US-XQ".to_owned(),
        kind: "moon_phase".to_owned(),
        ..pb::ListRulesRequest::default()
    };
    assert_refused(
        list(wrong).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["place", "kind"],
    );
    let unknown = pb::ListRulesRequest {
        sha256: "0".repeat(64),
        ..pb::ListRulesRequest::default()
    };
    assert_refused(list(unknown).await, Code::NotFound, "PACK_NOT_FOUND", &[]);

    let get = async |rule: &str| {
        let request = pb::GetRuleRequest {
            rule: rule.to_owned(),
            sha256: String::new(),
        };
        auditor
            .policy()
            .get_rule(request)
            .await
            .map(tonic::Response::into_inner)
    };
    let rule = get("US-national-dnc").await.unwrap().rule.unwrap();
    assert_eq!(
        (rule.file.as_str(), rule.kind.as_str()),
        ("us.toml", "register")
    );
    assert!(
        rule.keys
            .iter()
            .any(|key| key.key == "register" && key.value == "\"us-dnc\"")
    );
    assert_refused(
        get("US-nothing").await,
        Code::NotFound,
        "RULE_NOT_FOUND",
        &[],
    );
}

#[tokio::test]
async fn a_pack_is_activated_once_and_stays_after_a_restart() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (admin, agent) = (house.administrator().await, house.agent().await);
    let before = check(&agent, ATLANTA).await;
    assert_eq!(before.verdict(), pb::Verdict::Allow);

    // A dry run tells what would change and changes nothing.
    let dry = pb::ActivatePackRequest {
        validate_only: true,
        ..activate(Wanted::Upload(upload(&closing(RECALL))))
    };
    let tried = admin
        .policy()
        .activate_pack(dry)
        .await
        .unwrap()
        .into_inner();
    let rows = &tried.diff.as_ref().unwrap().rows;
    assert!(
        rows.iter()
            .any(|row| row.id == RECALL && row.became() == pb::Became::Added),
        "{rows:?}"
    );
    assert!(tried.unchanged && tried.activation.unwrap().activation_id.is_empty());
    assert_eq!(check(&agent, ATLANTA).await.verdict(), pb::Verdict::Allow);
    assert_eq!(history(&admin).await.len(), 1);

    let request = activate(Wanted::Upload(upload(&closing(RECALL))));
    let done = admin
        .policy()
        .activate_pack(request.clone())
        .await
        .unwrap()
        .into_inner();
    let activation = done.activation.unwrap();
    assert_eq!(
        (activation.epoch, activation.origin()),
        (2, pb::PackOrigin::Uploaded)
    );
    let after = check(&agent, ATLANTA).await;
    assert_eq!(after.denied_by, [RECALL]);
    assert_eq!(after.pack.unwrap().sha256, activation.sha256);

    // The same request again is the same activation; the same name for another one is refused.
    let again = admin
        .policy()
        .activate_pack(request.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        again.activation.unwrap().activation_id,
        activation.activation_id
    );
    let reused = pb::ActivatePackRequest {
        reason: "another".to_owned(),
        ..request
    };
    let reused = admin.policy().activate_pack(reused).await;
    assert_refused(
        reused,
        Code::AlreadyExists,
        "REQUEST_ID_REUSED",
        &["request_id"],
    );
    let entries = audited(&house, "policy.activated").await;
    assert_eq!(entries.len(), 2, "{entries:?}");
    let entry = entries.iter().find(|entry| entry.payload["epoch"] == 2);
    let entry = entry.unwrap();
    assert_eq!(entry.payload["after"], activation.sha256);
    let before_sha = before.pack.clone().unwrap().sha256;
    assert_eq!(entry.payload["before"], before_sha);
    assert!(entry.actor.starts_with("key:administrator:"));

    // Another process of the same configuration leaves it as it is.
    let second = house.again().await;
    assert_eq!(
        second
            .policy_now(&TenantId::default())
            .await
            .unwrap()
            .0
            .sha256,
        activation.sha256
    );

    // By its hash the old one comes back; a wrong hash is told.
    let old = before.pack.unwrap().sha256;
    let back = admin
        .policy()
        .activate_pack(activate(Wanted::Sha256(old.clone())))
        .await;
    assert_eq!(back.unwrap().into_inner().activation.unwrap().sha256, old);
    assert_eq!(check(&agent, ATLANTA).await.verdict(), pb::Verdict::Allow);
    let nothing = admin
        .policy()
        .activate_pack(activate(Wanted::Sha256("f".repeat(64))))
        .await;
    assert_refused(nothing, Code::NotFound, "PACK_NOT_FOUND", &[]);
    let configured = admin
        .policy()
        .activate_pack(activate(Wanted::Configured(true)))
        .await;
    let configured = configured.unwrap().into_inner();
    assert_eq!(
        configured.activation.unwrap().origin(),
        pb::PackOrigin::Configured
    );
    assert_eq!(history(&admin).await.len(), 4);
}

#[tokio::test]
async fn every_fault_of_a_pack_is_told_and_nothing_changes() {
    let house = House::open().await;
    let admin = house.administrator().await;
    let row = closing(RECALL)
        .replace(
            "audience = \"both\"",
            "audience = \"all\"\ncolour = \"red\"",
        )
        .replace("citation = \"house\"", "citation = \"\"");
    let mut bad = upload(&format!(
        "{row}[[rule]]\nid = \"US-window\"\njurisdiction = \"US\"\nkind = \"lawful_basis\"\ncall_kinds = [\"live_manual\"]\naudience = \"both\"\nany_of = [\"consent\"]\ncitation = \"x\"\ncertainty = \"recall\"\n"
    ));
    bad.files.push(pb::PackFile {
        name: "../us.toml".to_owned(),
        text: String::new(),
    });
    let status = admin
        .policy()
        .activate_pack(activate(Wanted::Upload(bad)))
        .await;
    let status = assert_refused(
        status,
        Code::InvalidArgument,
        "PACK_INVALID",
        &[
            "upload.files[../us.toml]",
            "upload.files[added/house.toml]:8",
            "upload.files[added/house.toml]:9",
            "upload.files[added/house.toml]:11",
            "upload.files[added/house.toml]:14",
        ],
    );
    assert!(
        status.message().contains("`colour`: unknown key"),
        "{}",
        status.message()
    );
    let vector = upload("schema = 2\nas_of = \"2026-11-21\"\n");
    let vector = pb::PackUpload {
        files: (vector.files.into_iter())
            .map(|file| match file.name.as_str() {
                "us.toml" => pb::PackFile {
                    text: file.text.replace("[\"08:00-21:00\"]", "[\"08:00-22:00\"]"),
                    ..file
                },
                _ => file,
            })
            .collect(),
    };
    let status = admin
        .policy()
        .activate_pack(activate(Wanted::Upload(vector)))
        .await
        .unwrap_err();
    assert!(
        status
            .message()
            .contains("tests/us.jsonl:2: case `ex-002`: expect: should be deny by `US-window`"),
        "{}",
        status.message()
    );
    let mut reserved = upload("schema = 2\nas_of = \"2026-11-21\"\n");
    reserved.files.push(pb::PackFile {
        name: "operator.toml".to_owned(),
        text: "schema = 2\n".to_owned(),
    });
    let status = admin
        .policy()
        .activate_pack(activate(Wanted::Upload(reserved)))
        .await;
    assert_refused(
        status,
        Code::InvalidArgument,
        "PACK_INVALID",
        &["upload.files[operator.toml]"],
    );
    let empty = admin
        .policy()
        .activate_pack(pb::ActivatePackRequest::default())
        .await;
    assert_refused(
        empty,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["request_id", "reason", "pack"],
    );
    assert_eq!(history(&admin).await.len(), 1);
}

#[tokio::test]
async fn a_stopped_region_is_not_called_until_the_stop_is_over() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (admin, agent) = (house.administrator().await, house.agent().await);
    let stop = pb::SetRegionStopRequest {
        request_id: request_id(),
        region: "US-GA".to_owned(),
        reason: "storm".to_owned(),
        start_time: None,
        expire_time: house.after(600),
    };
    let set = admin
        .policy()
        .set_region_stop(stop.clone())
        .await
        .unwrap()
        .into_inner();
    let made = set.region_stop.unwrap();
    let denied = check(&agent, ATLANTA).await;
    assert_eq!(denied.denied_by, ["OPERATOR-stop-US-GA"]);
    let again = admin
        .policy()
        .set_region_stop(stop.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.region_stop.unwrap(), made);
    assert_eq!(audited(&house, "policy.region_stopped").await.len(), 1);
    house.clock.advance(Duration::from_secs(601));
    assert_eq!(
        check(&agent, ATLANTA).await.verdict(),
        pb::Verdict::Allow,
        "over by itself"
    );

    // Everywhere, and lifted before its time.
    let everywhere = pb::SetRegionStopRequest {
        request_id: request_id(),
        region: "ZZ".to_owned(),
        expire_time: house.after(600),
        ..stop.clone()
    };
    let set = admin
        .policy()
        .set_region_stop(everywhere)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(check(&agent, ATLANTA).await.denied_by, ["OPERATOR-stop-ZZ"]);
    let lift = pb::LiftRegionStopRequest {
        request_id: request_id(),
        region_stop_id: set.region_stop.unwrap().region_stop_id,
        reason: "over".to_owned(),
    };
    let lifted = admin
        .policy()
        .lift_region_stop(lift.clone())
        .await
        .unwrap()
        .into_inner();
    assert!(lifted.region_stop.unwrap().lift.is_some());
    assert_eq!(check(&agent, ATLANTA).await.verdict(), pb::Verdict::Allow);
    assert_eq!(audited(&house, "policy.region_stop_lifted").await.len(), 1);
    // A pack that takes over can still stop what is stopped.
    let third = pb::SetRegionStopRequest {
        request_id: request_id(),
        expire_time: house.after(600),
        ..stop.clone()
    };
    admin.policy().set_region_stop(third).await.unwrap();
    admin
        .policy()
        .activate_pack(activate(Wanted::Configured(true)))
        .await
        .unwrap();
    assert_eq!(
        check(&agent, ATLANTA).await.denied_by,
        ["OPERATOR-stop-US-GA"]
    );

    let request = pb::ListRegionStopsRequest {
        filter: "region = \"US-GA\"".to_owned(),
        ..pb::ListRegionStopsRequest::default()
    };
    let listed = agent.policy().list_region_stops(request).await.unwrap();
    assert_eq!(listed.into_inner().region_stops.len(), 2);
    for (region, expire, field) in [
        ("US-XQ", house.after(600), "region"),
        ("US-GA", house.after(-1), "expire_time"),
        ("US-GA", house.after(400 * 86_400), "expire_time"),
        ("US-GA", None, "expire_time"),
    ] {
        let wrong = pb::SetRegionStopRequest {
            request_id: request_id(),
            region: region.to_owned(),
            expire_time: expire,
            ..stop.clone()
        };
        let refused = admin.policy().set_region_stop(wrong).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
    }
    let nothing = pb::LiftRegionStopRequest {
        request_id: request_id(),
        region_stop_id: RegionStopId::new(house.now()).to_string(),
        reason: "over".to_owned(),
    };
    let refused = admin.policy().lift_region_stop(nothing).await;
    assert_refused(refused, Code::NotFound, "REGION_STOP_NOT_FOUND", &[]);
}

#[tokio::test]
async fn days_are_closed_and_rules_switched_off_over_every_pack() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (admin, agent) = (house.administrator().await, house.agent().await);
    // Today, in Atlanta.
    let date = Some(pb::Date {
        year: 2026,
        month: 4,
        day: 21,
    });
    let day = pb::AddClosedDayRequest {
        request_id: request_id(),
        jurisdiction: "US-GA".to_owned(),
        date,
        reason: "proclamation 7".to_owned(),
    };
    admin.policy().add_closed_day(day.clone()).await.unwrap();
    let denied = check(&agent, ATLANTA).await;
    assert_eq!(denied.denied_by, ["US-window"]);
    assert_eq!(
        denied.next_allowed_time,
        house.after(21 * 3600),
        "tomorrow at eight"
    );
    let window = denied
        .rule_results
        .iter()
        .find(|rule| rule.rule == "US-window")
        .unwrap();
    assert!(
        window
            .evidence
            .contains(&"closed_day=US-GA 2026-04-21".to_owned())
    );
    // Said again by another request: it stays one day, and one entry.
    let again = pb::AddClosedDayRequest {
        request_id: request_id(),
        ..day.clone()
    };
    admin.policy().add_closed_day(again).await.unwrap();
    assert_eq!(audited(&house, "policy.closed_day_added").await.len(), 1);
    // A decision names one reason: another one is not dropped in silence.
    let other = pb::AddClosedDayRequest {
        request_id: request_id(),
        reason: "a storm".to_owned(),
        ..day.clone()
    };
    assert_refused(
        admin.policy().add_closed_day(other).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["date"],
    );
    // Over another pack, too.
    let request = activate(Wanted::Upload(upload(&closing(RECALL))));
    admin.policy().activate_pack(request).await.unwrap();
    assert_eq!(
        check(&agent, ATLANTA).await.denied_by,
        ["US-window", RECALL]
    );

    let off = pb::DisableRuleRequest {
        request_id: request_id(),
        rule: RECALL.to_owned(),
        reason: "not our law".to_owned(),
    };
    let rule = admin
        .policy()
        .disable_rule(off.clone())
        .await
        .unwrap()
        .into_inner()
        .rule
        .unwrap();
    assert!(!rule.decides);
    let shown = check(&agent, ATLANTA).await;
    assert_eq!(shown.denied_by, ["US-window"]);
    let disabled = shown
        .rule_results
        .iter()
        .find(|rule| rule.rule == RECALL)
        .unwrap();
    assert_eq!(disabled.outcome(), pb::RuleOutcome::Info);
    assert!(
        disabled
            .reason
            .starts_with("disabled: switched off by key:administrator:")
            && disabled.reason.ends_with(": not our law"),
        "{}",
        disabled.reason
    );
    let certain = pb::DisableRuleRequest {
        request_id: request_id(),
        rule: "US-national-dnc".to_owned(),
        ..off.clone()
    };
    let refused = admin.policy().disable_rule(certain).await;
    assert_refused(
        refused,
        Code::FailedPrecondition,
        "RULE_NOT_DISABLABLE",
        &["rule"],
    );
    let on = pb::EnableRuleRequest {
        request_id: request_id(),
        rule: RECALL.to_owned(),
        reason: "it is".to_owned(),
    };
    admin.policy().enable_rule(on).await.unwrap();
    let open = pb::RemoveClosedDayRequest {
        request_id: request_id(),
        jurisdiction: "US-GA".to_owned(),
        date,
        reason: "taken back".to_owned(),
    };
    admin
        .policy()
        .remove_closed_day(open.clone())
        .await
        .unwrap();
    assert_eq!(check(&agent, ATLANTA).await.denied_by, [RECALL]);
    let again = pb::RemoveClosedDayRequest {
        request_id: request_id(),
        ..open
    };
    assert_refused(
        admin.policy().remove_closed_day(again).await,
        Code::NotFound,
        "CLOSED_DAY_NOT_FOUND",
        &[],
    );
    let listed = agent
        .policy()
        .list_closed_days(pb::ListClosedDaysRequest::default())
        .await;
    assert_eq!(listed.unwrap().into_inner().closed_days, []);
    let wrong = pb::AddClosedDayRequest {
        request_id: request_id(),
        jurisdiction: "US-XQ".to_owned(),
        ..day
    };
    assert_refused(
        admin.policy().add_closed_day(wrong).await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["jurisdiction"],
    );
    // Each change is an entry of the history, newest first, and no epoch is left out.
    let epochs: Vec<i64> = history(&agent)
        .await
        .iter()
        .map(|each| each.epoch)
        .collect();
    assert_eq!(epochs, [6, 5, 4, 3, 2, 1]);
}

#[tokio::test]
async fn a_what_if_counts_by_verdict_and_rule() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (admin, agent) = (house.administrator().await, house.agent().await);
    check(&agent, ATLANTA).await;
    check(&agent, "+14045550177").await;
    let ask = async |input: evaluate_request::Input| {
        let request = pb::EvaluateRequest {
            pack: Some(evaluate_request::Pack::Upload(upload(&closing(RECALL)))),
            input: Some(input),
            samples_max: 0,
        };
        let answer = admin.policy().evaluate(request).await;
        answer.map(tonic::Response::into_inner)
    };
    let stored = evaluate_request::Input::Decisions(pb::StoredDecisions::default());
    let told = ask(stored).await.unwrap();
    assert_eq!((told.evaluated, told.allowed, told.denied), (2, 0, 2));
    assert_eq!(
        (told.newly_denied, told.newly_allowed, told.skipped),
        (1, 0, 0)
    );
    assert_eq!(
        (
            told.rules[0].rule.as_str(),
            told.rules[0].denied,
            told.rules[0].newly_denied
        ),
        (RECALL, 2, 1)
    );
    assert_eq!(told.samples.len(), 2);
    assert!(
        told.samples
            .iter()
            .all(|sample| sample.denied_by_after.contains(&RECALL.to_owned()))
    );
    let case = r#"{"id":"a","call":{"at":"2026-04-21T12:59:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{"registers":[{"register":"us-dnc","listed":false,"as_of":"2026-04-10"}]}}"#;
    let list = |texts: &[&str]| {
        let cases_json = texts.iter().map(|text| (*text).to_owned()).collect();
        evaluate_request::Input::Cases(pb::CaseList { cases_json })
    };
    let told = ask(list(&[case])).await.unwrap();
    assert_eq!(
        (
            told.evaluated,
            told.newly_denied,
            told.samples[0].id.as_str()
        ),
        (1, 1, "a")
    );
    let nowhere = case.replace(
        "\"facts\":{",
        "\"facts\":{\"location\":{\"region\":\"US-XX\"},",
    );
    for bad in ["{}", nowhere.as_str()] {
        let refused = ask(list(&[case, bad])).await;
        assert_refused(
            refused,
            Code::InvalidArgument,
            "INVALID_FIELDS",
            &["cases.cases_json[1]"],
        );
    }
    let filtered = evaluate_request::Input::Decisions(pb::StoredDecisions {
        filter: "verdict = \"allow\"".to_owned(),
        decisions_max: 5,
        page_token: String::new(),
    });
    assert_eq!(ask(filtered).await.unwrap().evaluated, 1);
    assert_eq!(history(&admin).await.len(), 1, "nothing was activated");
}

#[tokio::test]
async fn a_what_if_over_many_decisions_goes_page_by_page() {
    let house = House::open().await;
    house.callable(ATLANTA).await;
    let (admin, agent) = (house.administrator().await, house.agent().await);
    for _ in 0..5 {
        house.clock.advance(Duration::from_millis(1));
        check(&agent, ATLANTA).await;
    }
    let ask = async |row: &str, filter: &str, decisions_max: i32, page_token: &str| {
        let request = pb::EvaluateRequest {
            pack: Some(evaluate_request::Pack::Upload(upload(row))),
            input: Some(evaluate_request::Input::Decisions(pb::StoredDecisions {
                filter: filter.to_owned(),
                decisions_max,
                page_token: page_token.to_owned(),
            })),
            samples_max: 0,
        };
        let answer = admin.policy().evaluate(request).await;
        answer.map(tonic::Response::into_inner)
    };
    let row = closing(RECALL);
    let (mut seen, mut counts, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = ask(&row, "", 2, &token).await.unwrap();
        counts.push((page.evaluated, page.newly_denied));
        seen.extend(page.samples.into_iter().map(|sample| sample.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(counts, [(2, 2), (2, 2), (1, 1)]);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5, "each decision once");

    let token = ask(&row, "", 2, "").await.unwrap().next_page_token;
    // The page may be of another size; filter and pack must be the same.
    assert_eq!(ask(&row, "", 9, &token).await.unwrap().evaluated, 3);
    for (row, filter) in [(&row, "stage = check"), (&closing("HOUSE-other"), "")] {
        assert_refused(
            ask(row, filter, 2, &token).await,
            Code::InvalidArgument,
            "PAGE_TOKEN_INVALID",
            &["page_token"],
        );
    }
    assert_refused(
        ask(&row, "", -1, "").await,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["decisions.decisions_max"],
    );
}
