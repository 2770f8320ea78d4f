//! Who may ask what: generated from the contract, so that a new method cannot be forgotten.

use std::collections::BTreeMap;
use std::time::Duration;

use dialgate::domain::access::Role;
use dialgate::grpc::auth::METHODS;
use dialgate::grpc::pb;
use dialgate::store::Urgency;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use super::house::{Client, House, assert_refused, refusal};

/// Who may call each method: Agent, aDministrator, aPprover, aUditor. Written down a second time on purpose.
const WANTED: &[(&str, &str)] = &[
    ("CallService/CheckCall", "AD"),
    ("CallService/CheckCalls", "AD"),
    ("CallService/PlaceCall", "A"),
    ("CallService/GetCall", "ADU"),
    ("CallService/ListCalls", "ADU"),
    ("CallService/WatchCall", "ADU"),
    ("CallService/HangUpCall", "AD"),
    ("CallService/OfferMedia", "A"),
    ("CallService/AnswerMediaOffer", "A"),
    ("CallService/SendDtmf", "A"),
    ("CallService/RecordDisposition", "AD"),
    ("CallService/AmendDisposition", "AD"),
    ("ConsentService/RecordConsent", "AD"),
    ("ConsentService/WithdrawConsent", "AD"),
    ("ConsentService/ListConsents", "ADPU"),
    ("ConsentService/ImportConsents", "D"),
    ("ConsentService/GetConsentImport", "DU"),
    ("ConsentService/ListConsentImports", "DU"),
    ("ConsentService/ListConsentImportRejects", "DU"),
    ("SuppressionService/CreateSuppression", "AD"),
    ("SuppressionService/LiftSuppression", "DP"),
    ("SuppressionService/GetSuppression", "ADPU"),
    ("SuppressionService/ListSuppressions", "ADPU"),
    ("SuppressionService/CheckNumbers", "ADPU"),
    ("SuppressionService/ImportSuppressions", "D"),
    ("SuppressionService/GetSuppressionImport", "DU"),
    ("SuppressionService/ListSuppressionImports", "DU"),
    ("SuppressionService/ListSuppressionImportRejects", "DU"),
    ("SuppressionService/ExportSuppressions", "DU"),
    ("SuppressionService/WatchSuppressions", "DU"),
    ("RegisterService/ImportRegister", "D"),
    ("RegisterService/ListRegisters", "ADPU"),
    ("RegisterService/ListRegisterSnapshots", "ADPU"),
    ("RegisterService/DiffRegister", "DU"),
    ("TrunkService/ListTrunks", "DU"),
    ("WebhookService/ListWebhooks", "DU"),
    ("WebhookService/ResumeWebhook", "D"),
    ("ContactService/UpsertContact", "D"),
    ("ContactService/GetContact", "AD"),
    ("AuditService/ListDecisions", "DU"),
    ("AuditService/GetDecision", "ADU"),
    ("AuditService/ReplayDecisions", "DU"),
    ("AuditService/ListEntries", "DU"),
    ("AuditService/GetEntry", "DU"),
    ("AuditService/ExportEntries", "DU"),
    ("AuditService/GetCheckpoint", "ADPU"),
    ("AuditService/GetConsistencyProof", "ADPU"),
    ("PolicyService/ListRules", "ADPU"),
    ("PolicyService/GetRule", "ADPU"),
    ("PolicyService/Evaluate", "DU"),
    ("PolicyService/ActivatePack", "D"),
    ("PolicyService/ListActivations", "ADPU"),
    ("PolicyService/SetRegionStop", "D"),
    ("PolicyService/LiftRegionStop", "D"),
    ("PolicyService/ListRegionStops", "ADPU"),
    ("PolicyService/AddClosedDay", "D"),
    ("PolicyService/RemoveClosedDay", "D"),
    ("PolicyService/ListClosedDays", "ADPU"),
    ("PolicyService/DisableRule", "D"),
    ("PolicyService/EnableRule", "D"),
];

fn methods() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).unwrap();
    let services = pool.services();
    services
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Asks this method with an empty message, which none of those that change anything accepts.
async fn ask(client: &Client, path: &str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(client.wire());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<(), ()>::default();
    let answer = grpc.unary(Request::new(()), path.parse().unwrap(), codec);
    // A stream that has no end has let us in.
    match tokio::time::timeout(Duration::from_secs(3), answer).await {
        Ok(answer) => answer.map(drop),
        Err(_) => Ok(()),
    }
}

#[test]
fn every_method_of_the_contract_has_its_roles() {
    let contract: Vec<String> = methods().iter().map(path).collect();
    let table: Vec<String> = METHODS
        .iter()
        .map(|method| method.path.to_owned())
        .collect();
    for method in &contract {
        let rows = table.iter().filter(|row| *row == method).count();
        assert_eq!(
            rows, 1,
            "{method} stands {rows} times in the table of roles"
        );
    }
    for row in &table {
        assert!(contract.contains(row), "{row} is no method of the contract");
    }
}

#[tokio::test]
async fn each_method_lets_in_its_roles_and_nobody_else() {
    let house = House::open().await;
    // The log has begun, or nobody would find a checkpoint.
    super::log::sequencer(&house).await;
    let wanted: BTreeMap<String, &str> = WANTED
        .iter()
        .map(|(method, roles)| (format!("/dialgate.v1.{method}"), *roles))
        .collect();
    let clients = [
        ('A', house.agent().await),
        ('D', house.administrator().await),
        ('P', house.client(Role::Approver).await),
        ('U', house.auditor().await),
    ];
    let stranger = house.stranger().await;
    let methods = methods();
    assert_eq!(methods.len(), wanted.len());
    for method in &methods {
        let path = path(method);
        let roles = wanted
            .get(&path)
            .unwrap_or_else(|| panic!("{path} has no row in this test"));
        let nobody = ask(&stranger, &path).await;
        assert_refused(nobody, Code::Unauthenticated, "CREDENTIAL_MISSING", &[]);
        for (letter, client) in &clients {
            let answer = ask(client, &path).await;
            if roles.contains(*letter) {
                let refused = answer.err().map(|status| refusal(&status).0);
                let let_in = matches!(refused, None | Some(Code::InvalidArgument));
                assert!(let_in, "{path} as {letter}: {refused:?}");
            } else {
                let status = assert_refused(answer, Code::PermissionDenied, "SCOPE_MISSING", &[]);
                let needed = status.message().to_owned();
                assert!(needed.contains("needs the role `"), "{needed}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_without_saying_why() {
    let house = House::open().await;
    let (_, good) = house.key(Role::Agent).await;
    let (_, other) = house.key(Role::Agent).await;
    let (good_head, good_secret) = good.split_at(good.len() - 64);
    let crossed = format!("{good_head}{}", &other[other.len() - 64..]);
    let unknown = format!("dg_{}_{good_secret}", "0".repeat(32));
    let mut messages = std::collections::BTreeSet::new();
    for header in [
        format!("Bearer {crossed}"),
        format!("Bearer {unknown}"),
        format!("Bearer {}", &good[..good.len() - 1]),
        format!("Basic {good}"),
        good.clone(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer dg_é_é".to_owned(),
    ] {
        let Ok(value) = header.parse() else { continue };
        let mut request = Request::new(pb::ListCallsRequest::default());
        request.metadata_mut().insert("authorization", value);
        let channel = house.channel().await;
        let mut calls = pb::call_service_client::CallServiceClient::new(channel);
        let answer = calls.list_calls(request).await;
        let status = assert_refused(answer, Code::Unauthenticated, "CREDENTIAL_INVALID", &[]);
        messages.insert(status.message().to_owned());
    }
    assert_eq!(
        messages.len(),
        1,
        "the answer tells kinds of wrong keys apart"
    );
}

#[tokio::test]
async fn a_revoked_key_stops_working_within_five_seconds() {
    let house = House::open().await;
    let (key, text) = house.key(Role::Auditor).await;
    let channel = house.channel().await;
    let list = async || {
        let mut request = Request::new(pb::ListCallsRequest::default());
        let value = format!("Bearer {text}").parse().unwrap();
        request.metadata_mut().insert("authorization", value);
        let mut calls = pb::call_service_client::CallServiceClient::new(channel.clone());
        calls.list_calls(request).await
    };
    assert!(list().await.is_ok());
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    let revoked = tx
        .revoke_api_key(&key.tenant, key.api_key_id, house.now())
        .await;
    assert!(revoked.unwrap());
    tx.commit().await.unwrap();
    house.clock.advance(Duration::from_secs(5));
    assert_refused(
        list().await,
        Code::Unauthenticated,
        "CREDENTIAL_INVALID",
        &[],
    );
}

#[tokio::test]
async fn what_is_not_in_the_contract_is_not_there() {
    let house = House::open().await;
    let client: Client = house.administrator().await;
    for path in [
        "/dialgate.v1.CallService/DialWithoutAsking",
        "/dialgate.v1.CallService/PlaceCall/",
        "/dialgate.v1.CallService/placecall",
        "/other.v1.Service/Method",
    ] {
        let answer = ask(&client, path).await;
        assert_refused(answer, Code::Unimplemented, "METHOD_UNKNOWN", &[]);
    }
}

#[test]
fn every_method_that_changes_something_takes_a_request_id() {
    let mut changing = 0;
    for method in methods() {
        let reads = [
            "Get", "List", "Check", "Watch", "Evaluate", "Replay", "Export", "Diff",
        ];
        let field = method.input().get_field_by_name("request_id");
        if reads.iter().any(|verb| method.name().starts_with(verb)) {
            assert!(
                field.is_none(),
                "{} reads and takes a request id",
                method.name()
            );
        } else {
            let field = field.unwrap_or_else(|| panic!("{} has no request_id", method.name()));
            assert_eq!(field.number(), 1, "{}", method.name());
            assert_eq!(field.kind(), prost_reflect::Kind::String);
            changing += 1;
        }
    }
    assert_eq!(changing, 23);
}

#[tokio::test]
async fn no_change_is_made_without_a_request_id() {
    let house = House::open().await;
    let client = house.administrator().await;
    let agent = house.agent().await;
    for method in methods() {
        if method.input().get_field_by_name("request_id").is_none() {
            continue;
        }
        let of_agents = ["PlaceCall", "OfferMedia", "AnswerMediaOffer", "SendDtmf"];
        let asker = if of_agents.contains(&method.name()) {
            &agent
        } else {
            &client
        };
        let answer = ask(asker, &path(&method)).await;
        let (code, _, fields) = refusal(&answer.unwrap_err());
        assert_eq!(code, Code::InvalidArgument, "{}", method.name());
        assert!(
            fields.contains(&"request_id".to_owned()),
            "{}: {fields:?}",
            method.name()
        );
    }
}
