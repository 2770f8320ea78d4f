//! Opt-outs of accounts and for purposes, over the wire.

use std::time::Duration;

use dialgate::grpc::pb;
use dialgate::grpc::pb::create_suppression_request::Subject;
use tonic::Code;

use super::house::{ATLANTA, House, assert_refused, consumer, request_id};

/// The server's clock goes as the machine's, for a full wait needs both.
async fn ticking<T>(house: &House, asked: impl Future<Output = T>) -> T {
    let step = Duration::from_millis(20);
    let ticks = async {
        loop {
            tokio::time::sleep(step).await;
            house.clock.advance(step);
        }
    };
    tokio::select! {
        answer = asked => answer,
        () = ticks => unreachable!("they never end"),
    }
}

fn of_account(name: &str, purposes: &[pb::Purpose]) -> pb::CreateSuppressionRequest {
    pb::CreateSuppressionRequest {
        request_id: request_id(),
        subject: Some(Subject::Account(name.to_owned())),
        purposes: purposes.iter().map(|each| (*each).into()).collect(),
        ..Default::default()
    }
}

#[tokio::test]
async fn an_opt_out_of_an_account_is_tried_made_found_and_exported() {
    let house = House::open().await;
    let (agent, administrator) = (house.agent().await, house.administrator().await);
    let contact = pb::Contact {
        account: " ACME ".to_owned(),
        ..consumer(ATLANTA)
    };
    let told = pb::UpsertContactRequest {
        request_id: request_id(),
        contact: Some(contact),
        update_mask: None,
    };
    let told = administrator.contacts().upsert_contact(told).await.unwrap();
    assert_eq!(told.into_inner().contact.unwrap().account, "ACME");

    let tried = pb::CreateSuppressionRequest {
        validate_only: true,
        ..of_account("ACME", &[pb::Purpose::Informational])
    };
    let tried = agent
        .suppressions()
        .create_suppression(tried)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(tried.people_covered, 1);
    let shown = tried.suppression.unwrap();
    let covered: [i32; 2] = [pb::Purpose::Sales.into(), pb::Purpose::Informational.into()];
    assert_eq!(
        (shown.suppression_id.as_str(), &shown.purposes[..]),
        ("", &covered[..])
    );
    let all = pb::ListSuppressionsRequest::default();
    let nothing = agent.suppressions().list_suppressions(all).await.unwrap();
    assert!(nothing.into_inner().suppressions.is_empty());

    let start = house.now();
    let request = of_account("ACME", &[pb::Purpose::Informational]);
    let mut suppressions = agent.suppressions();
    let made = ticking(&house, suppressions.create_suppression(request))
        .await
        .unwrap();
    assert!(
        house.now().since(start) >= 2_000_000,
        "acknowledged before the barrier"
    );
    let made = made.into_inner();
    assert_eq!(made.people_covered, 0);
    let made = made.suppression.unwrap();
    assert_eq!(made.subject, shown.subject);
    assert_eq!(made.purposes, covered);
    let placed = agent
        .calls()
        .place_call(house.place(ATLANTA))
        .await
        .unwrap();
    let denied_by = placed.into_inner().decision.unwrap().denied_by;
    assert_eq!(denied_by, ["US-internal-dnc", "OPERATOR-block-account"]);

    let Some(pb::suppression::Subject::AccountKey(key)) = &made.subject else {
        panic!("{made:?}")
    };
    for (account, filter, found) in [
        ("ACME", String::new(), 1),
        ("acme", String::new(), 1),
        ("Acne", String::new(), 0),
        ("", format!("account_key = \"{key}\""), 1),
    ] {
        let listed = pb::ListSuppressionsRequest {
            account: account.to_owned(),
            filter: filter.clone(),
            ..Default::default()
        };
        let listed = agent
            .suppressions()
            .list_suppressions(listed)
            .await
            .unwrap();
        assert_eq!(
            listed.into_inner().suppressions.len(),
            found,
            "{account} {filter}"
        );
        let exported = pb::ExportSuppressionsRequest {
            account: account.to_owned(),
            filter,
            ..Default::default()
        };
        let exported = administrator
            .suppressions()
            .export_suppressions(exported)
            .await;
        let mut exported = exported.unwrap().into_inner();
        let rows = exported
            .message()
            .await
            .unwrap()
            .map_or(0, |part| part.suppressions.len());
        assert_eq!(rows, found);
    }
    let asked = pb::CheckNumbersRequest {
        numbers: vec![ATLANTA.to_owned()],
        seller: String::new(),
    };
    let checks = agent.suppressions().check_numbers(asked).await.unwrap();
    assert_eq!(checks.into_inner().checks[0].suppressions, [made]);
}

#[tokio::test]
async fn what_is_no_account_or_purpose_is_named() {
    let house = House::open().await;
    let agent = house.agent().await;
    for (request, field) in [
        (of_account("", &[]), "account"),
        (of_account("  ", &[]), "account"),
        (of_account("a\tb", &[]), "account"),
        (of_account(&"x".repeat(129), &[]), "account"),
        (
            of_account("ACME", &[pb::Purpose::Unspecified]),
            "purposes[0]",
        ),
    ] {
        let refused = agent.suppressions().create_suppression(request).await;
        assert_refused(refused, Code::InvalidArgument, "INVALID_FIELDS", &[field]);
    }
    let none = pb::CreateSuppressionRequest {
        request_id: request_id(),
        ..Default::default()
    };
    let refused = agent.suppressions().create_suppression(none).await;
    assert_refused(
        refused,
        Code::InvalidArgument,
        "INVALID_FIELDS",
        &["number"],
    );
}
