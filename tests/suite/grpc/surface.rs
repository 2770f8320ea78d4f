//! What every gRPC server should offer: health, reflection, bounds.

use dialgate::grpc::{GrpcConfig, TlsConfig, pb};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::house::{House, assert_refused};

async fn health(house: &House, service: &str) -> Result<ServingStatus, tonic::Status> {
    let mut client = HealthClient::new(house.channel().await);
    let request = HealthCheckRequest {
        service: service.to_owned(),
    };
    let answer = client.check(request).await?;
    Ok(answer.into_inner().status())
}

#[tokio::test]
async fn health_is_told_without_a_credential() {
    let house = House::open().await;
    for service in [
        "",
        "dialgate.v1.CallService",
        "dialgate.v1.ConsentService",
        "dialgate.v1.SuppressionService",
        "dialgate.v1.ContactService",
        "dialgate.v1.AuditService",
        "dialgate.v1.PolicyService",
    ] {
        let status = health(&house, service).await.unwrap();
        assert_eq!(status, ServingStatus::Serving, "{service}");
    }
    let mut client = HealthClient::new(house.channel().await);
    let answer = client.check(HealthCheckRequest::default()).await.unwrap();
    let told = |name| answer.metadata().get(name).unwrap().to_str().unwrap();
    assert_eq!(told("dialgate-version"), env!("CARGO_PKG_VERSION"));
    assert_eq!(
        told("dialgate-zone-data"),
        dialgate::place::zone_data_version()
    );
    assert_eq!(told("dialgate-pack").len(), 64);
    let status = health(&house, "dialgate.v1.NoService").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let request = HealthCheckRequest::default();
    let watch = HealthClient::new(house.channel().await)
        .watch(request)
        .await;
    let first = watch
        .unwrap()
        .into_inner()
        .message()
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.status(), ServingStatus::Serving);
}

macro_rules! reflection {
    ($name:ident, $version:ident) => {
        #[tokio::test]
        async fn $name() {
            use reflection::server_reflection_client::ServerReflectionClient;
            use reflection::server_reflection_request::MessageRequest;
            use reflection::server_reflection_response::MessageResponse;
            use tonic_reflection::pb::$version as reflection;

            let house = House::open().await;
            let ask = async |message: MessageRequest| {
                let request = reflection::ServerReflectionRequest {
                    host: String::new(),
                    message_request: Some(message),
                };
                let mut client = ServerReflectionClient::new(house.channel().await);
                let answers = client
                    .server_reflection_info(tokio_stream::once(request))
                    .await;
                let mut answers = answers.unwrap().into_inner();
                answers
                    .message()
                    .await
                    .unwrap()
                    .unwrap()
                    .message_response
                    .unwrap()
            };
            let MessageResponse::ListServicesResponse(list) =
                ask(MessageRequest::ListServices(String::new())).await
            else {
                panic!("no list")
            };
            let names: Vec<&str> = list.service.iter().map(|each| each.name.as_str()).collect();
            for wanted in [
                "dialgate.v1.CallService",
                "dialgate.v1.AuditService",
                "grpc.health.v1.Health",
            ] {
                assert!(names.contains(&wanted), "{wanted} in {names:?}");
            }
            let symbol = "dialgate.v1.CallService.PlaceCall".to_owned();
            let MessageResponse::FileDescriptorResponse(files) =
                ask(MessageRequest::FileContainingSymbol(symbol)).await
            else {
                panic!("no file")
            };
            assert!(!files.file_descriptor_proto.is_empty());
        }
    };
}

reflection!(reflection_v1_describes_the_contract, v1);
reflection!(reflection_v1alpha_describes_the_contract, v1alpha);

#[tokio::test]
async fn a_message_beyond_the_bound_is_refused() {
    let house = House::open().await;
    let mut calls = house.agent().await.calls();
    let request = pb::PlaceCallRequest {
        sdp_offer: vec![b'x'; 5 * 1024 * 1024],
        ..house.place(super::house::ATLANTA)
    };
    let answer = calls.place_call(request).await;
    assert_refused(answer, Code::ResourceExhausted, "MESSAGE_TOO_LARGE", &[]);
}

/// Another message's bytes: a number where the method has text.
#[tokio::test]
async fn a_garbled_message_is_refused() {
    let house = House::open().await;
    let mut grpc = tonic::client::Grpc::new(house.agent().await.wire());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::Date, ()>::default();
    let date = pb::Date {
        year: 2026,
        month: 4,
        day: 21,
    };
    let path = "/dialgate.v1.CallService/CheckCall".parse().unwrap();
    let answer = grpc.unary(tonic::Request::new(date), path, codec).await;
    assert_refused(
        answer.map(drop),
        Code::InvalidArgument,
        "MESSAGE_UNREADABLE",
        &[],
    );
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let house = House::open().await;
    house.callable(super::house::ATLANTA).await;
    let client = house.agent().await;
    let request = house.place(super::house::ATLANTA);
    let placed = client
        .calls()
        .place_call(request)
        .await
        .unwrap()
        .into_inner();
    let request = pb::WatchCallRequest {
        call_id: placed.call.unwrap().call_id,
        resume_token: Vec::new(),
        ..pb::WatchCallRequest::default()
    };
    let mut events = client
        .calls()
        .watch_call(request)
        .await
        .unwrap()
        .into_inner();
    assert!(events.message().await.unwrap().is_some());
    let House { server, .. } = house;
    let (last, ()) = tokio::join!(async { events.message().await }, server.stop());
    assert_refused(last, Code::Unavailable, "SHUTTING_DOWN", &[]);
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let house = House::with(GrpcConfig {
        reflection: false,
        ..GrpcConfig::default()
    })
    .await;
    let mut client = ServerReflectionClient::new(house.channel().await);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest::default();
    let answer = client
        .server_reflection_info(tokio_stream::once(request))
        .await;
    assert_refused(answer.map(drop), Code::Unimplemented, "METHOD_UNKNOWN", &[]);
}

fn fixture(name: &str) -> std::path::PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/fixtures/tls", name]
        .iter()
        .collect()
}

#[tokio::test]
async fn p23_a_certificate_makes_the_connection_encrypted_and_an_unknown_one_breaks_it() {
    // As `main` does first thing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let tls = Some(TlsConfig {
        cert_file: fixture("server.pem"),
        key_file: fixture("server-key.pem"),
    });
    let house = House::with(GrpcConfig {
        tls,
        ..GrpcConfig::default()
    })
    .await;
    let port = house.server.local_addr().port();
    let ca = tonic::transport::Certificate::from_pem(std::fs::read(fixture("ca.pem")).unwrap());
    let tls = tonic::transport::ClientTlsConfig::new().ca_certificate(ca);
    let address = format!("https://localhost:{port}");
    let endpoint = tonic::transport::Channel::from_shared(address).unwrap();
    let channel = endpoint.tls_config(tls).unwrap().connect().await.unwrap();
    let answer = HealthClient::new(channel)
        .check(HealthCheckRequest::default())
        .await;
    assert_eq!(
        answer.unwrap().into_inner().status(),
        ServingStatus::Serving
    );
    let plain = health(&house, "").await;
    assert!(plain.is_err(), "plain text was answered on the TLS port");

    // A provider that nobody vouches for is told nothing: the system does not know who signed this certificate.
    let row = serde_json::json!({
        "name": "rnd", "kind": "reassigned", "countries": ["US"], "url": format!("https://localhost:{port}/"),
    });
    let row: dialgate::provider::ProviderConfig = serde_json::from_value(row).unwrap();
    let query = dialgate::provider::Query {
        number: dialgate::domain::phone::Phone::parse("+12075550141").unwrap(),
        since: None,
    };
    let said = row.service().unwrap().provider.ask(query).await;
    assert_eq!(said, dialgate::provider::Said::error("unreachable"));
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_at_start_with_the_reason() {
    let house = House::open().await;
    let start = async |config: &GrpcConfig| {
        let check_offer = std::sync::Arc::new(|_: Option<&str>, _: &[u8]| Ok(()));
        let clock = dialgate::clock::Clock::Real;
        let trunks: dialgate::grpc::Trunks = std::sync::Arc::new(|_| Vec::new());
        let asked = (check_offer as dialgate::grpc::CheckOffer, trunks);
        let server = dialgate::grpc::serve(config, house.gate.clone(), asked, clock).await;
        server.err().expect("the server started").to_string()
    };
    let open = GrpcConfig {
        listen: "0.0.0.0:0".parse().unwrap(),
        ..GrpcConfig::default()
    };
    let problem = start(&open).await;
    assert!(
        problem.contains("listen: `0.0.0.0:0`") && problem.contains("set [grpc.tls]"),
        "{problem}"
    );
    let taken = GrpcConfig {
        listen: house.server.local_addr(),
        ..GrpcConfig::default()
    };
    assert!(start(&taken).await.contains("cannot listen on"));
    let with = |cert: &str, key: &str| GrpcConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(TlsConfig {
            cert_file: fixture(cert),
            key_file: fixture(key),
        }),
        ..GrpcConfig::default()
    };
    let problem = start(&with("none.pem", "server-key.pem")).await;
    assert!(problem.contains("none.pem"), "{problem}");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let problem = start(&with("server.pem", "ca.pem")).await;
    assert!(problem.starts_with("gRPC server: "), "{problem}");
}
