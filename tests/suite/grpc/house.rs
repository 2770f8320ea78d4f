//! A server with its store, and clients of each role.

use std::sync::{Arc, LazyLock};

use dialgate::clock::{Clock, ManualClock};
use dialgate::domain::access::{ApiKey, Role};
use dialgate::domain::call::{CallKind, Purpose, SellerType};
use dialgate::domain::campaign::{CallerId, Campaign};
use dialgate::domain::ids::TenantId;
use dialgate::domain::phone::Phone;
use dialgate::domain::route::{Carrier, Dialing};
use dialgate::domain::time::Micros;
use dialgate::domain::trunk::TrunkStatus;
use dialgate::gate::{Campaigns, Gate, GateConfig};
use dialgate::grpc::pb::audit_service_client::AuditServiceClient;
use dialgate::grpc::pb::call_service_client::CallServiceClient;
use dialgate::grpc::pb::consent_service_client::ConsentServiceClient;
use dialgate::grpc::pb::contact_service_client::ContactServiceClient;
use dialgate::grpc::pb::policy_service_client::PolicyServiceClient;
use dialgate::grpc::pb::register_service_client::RegisterServiceClient;
use dialgate::grpc::pb::suppression_service_client::SuppressionServiceClient;
use dialgate::grpc::pb::trunk_service_client::TrunkServiceClient;
use dialgate::grpc::pb::webhook_service_client::WebhookServiceClient;
use dialgate::grpc::{CheckOffer, Credential, GrpcConfig, Server, Trunks, pb, serve};
use dialgate::policy::Pack;
use dialgate::store::{Store, Urgency};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;
use uuid::Uuid;

use crate::support::builders::TestStore;

/// Tuesday, 11:00 in Atlanta.
pub const NOW: &str = "2026-04-21T15:00:00Z";
/// A consumer in Atlanta whose number is on no register.
pub const ATLANTA: &str = "+14045550141";
pub const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

static PACK: LazyLock<Arc<Pack>> =
    LazyLock::new(|| Arc::new(Pack::embedded().unwrap_or_else(|faults| panic!("{faults}"))));

pub struct House {
    pub clock: Arc<ManualClock>,
    pub store: Store,
    pub gate: Gate,
    pub server: Server,
    /// The store as a file or database, for who changes it behind its back.
    pub base: TestStore,
}

impl House {
    pub async fn open() -> Self {
        Self::with(GrpcConfig::default()).await
    }

    /// A house whose server is set up like this, on any free port.
    pub async fn with(config: GrpcConfig) -> Self {
        Self::over(TestStore::sqlite().await, config).await
    }

    /// A house whose node has these trunks.
    pub async fn with_trunks(trunks: Vec<TrunkStatus>) -> Self {
        let store = TestStore::sqlite().await;
        Self::of(store, GrpcConfig::default(), trunks).await
    }

    /// The same over this store.
    pub async fn over(base: TestStore, config: GrpcConfig) -> Self {
        Self::of(base, config, Vec::new()).await
    }

    async fn of(base: TestStore, config: GrpcConfig, trunks: Vec<TrunkStatus>) -> Self {
        let store = base.store.clone();
        let clock = ManualClock::at(NOW.parse::<jiff::Timestamp>().unwrap().into());
        let reader = Clock::Manual(Arc::clone(&clock));
        let read = reader.clone();
        let gate = gate(&base, read);
        let check_offer = Arc::new(|_: Option<&str>, offer: &[u8]| {
            dialgate::sip::check_offer(offer).map_err(|problem| problem.to_string())
        });
        let config = GrpcConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..config
        };
        let trunks: Trunks = Arc::new(move |_| trunks.clone());
        let asked = (check_offer as CheckOffer, trunks);
        let server = serve(&config, gate.clone(), asked, reader);
        let server = server.await.unwrap();
        Self {
            clock,
            store,
            gate,
            server,
            base,
        }
    }

    /// Another gate over the same store, as after a restart.
    pub async fn again(&self) -> Gate {
        let again = gate(&self.base, Clock::Manual(Arc::clone(&self.clock)));
        again.settle().await.unwrap();
        again
    }

    /// The same after a restart with a configuration that names no campaign.
    pub async fn without_campaigns(&self) -> Gate {
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let again = gate_for(&self.base, clock, Campaigns::default());
        again.settle().await.unwrap();
        again
    }

    /// A new key of this role, as text.
    pub async fn key(&self, role: Role) -> (ApiKey, String) {
        let at = self.now();
        let credential = Credential::generate(at).unwrap();
        let key = ApiKey {
            api_key_id: credential.api_key_id,
            tenant: TenantId::default(),
            name: role.to_string(),
            role,
            secret_hash: credential.secret_hash(),
        };
        let mut tx = self.store.write(Urgency::Ordinary).await.unwrap();
        tx.insert_api_key(&key, at).await.unwrap();
        tx.commit().await.unwrap();
        (key, credential.text().to_string())
    }

    pub async fn channel(&self) -> Channel {
        let address = format!("http://{}", self.server.local_addr());
        let endpoint = Channel::from_shared(address).unwrap();
        endpoint.connect().await.unwrap()
    }

    /// A client with a new key of this role.
    pub async fn client(&self, role: Role) -> Client {
        let (_, key) = self.key(role).await;
        Client {
            channel: self.channel().await,
            bearer: Bearer(Some(format!("Bearer {key}").parse().unwrap())),
        }
    }

    /// A client without a credential.
    pub async fn stranger(&self) -> Client {
        Client {
            channel: self.channel().await,
            bearer: Bearer(None),
        }
    }

    pub async fn agent(&self) -> Client {
        self.client(Role::Agent).await
    }

    pub async fn administrator(&self) -> Client {
        self.client(Role::Administrator).await
    }

    pub async fn auditor(&self) -> Client {
        self.client(Role::Auditor).await
    }

    pub fn now(&self) -> Micros {
        Clock::Manual(Arc::clone(&self.clock)).read().wall
    }

    /// The wire's form of an instant that much after now.
    pub fn after(&self, seconds: i64) -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp {
            seconds: self.now().0 / 1_000_000 + seconds,
            nanos: 0,
        })
    }

    /// Makes Atlanta callable: what an administrator records of the person.
    pub async fn callable(&self, number: &str) -> pb::Contact {
        let request = pb::UpsertContactRequest {
            request_id: request_id(),
            contact: Some(consumer(number)),
            update_mask: None,
        };
        let mut contacts = self.administrator().await.contacts();
        let answer = contacts.upsert_contact(request).await.unwrap();
        answer.into_inner().contact.unwrap()
    }

    /// A request to place a call that the law allows once the number is callable.
    pub fn place(&self, to: &str) -> pb::PlaceCallRequest {
        pb::PlaceCallRequest {
            request_id: request_id(),
            to: to.to_owned(),
            campaign: "us-sales".to_owned(),
            call_kind: pb::CallKind::LiveManual.into(),
            caller_id: String::new(),
            party_id: String::new(),
            sdp_offer: OFFER.to_vec(),
            expire_time: self.after(600),
            ..pb::PlaceCallRequest::default()
        }
    }
}

fn gate(store: &TestStore, clock: Clock) -> Gate {
    let campaigns = Campaigns::new(vec![campaign("us-sales", true), campaign("asleep", false)]);
    gate_for(store, clock, campaigns)
}

fn gate_for(store: &TestStore, clock: Clock, campaigns: Campaigns) -> Gate {
    let config = GateConfig {
        trunks: [("carrier".to_owned(), Carrier::of_all(2))].into(),
        registry: store.registry(),
        ..GateConfig::default()
    };
    let pack = Arc::clone(&PACK);
    Gate::start(
        store.store.clone(),
        pack,
        campaigns,
        config,
        Arc::new(move || clock.read()),
    )
}

fn campaign(name: &str, active: bool) -> Campaign {
    Campaign {
        campaign_id: name.to_owned(),
        active,
        seller: "acme".to_owned(),
        seller_type: SellerType::ForProfit,
        purpose: Purpose::Sales,
        subject: None,
        sector: None,
        controller_country: None,
        call_kinds: vec![CallKind::LiveManual],
        caller_ids: vec![CallerId {
            number: Phone::parse("+12125550100").unwrap(),
            owned: true,
            callable: true,
            in_directory: false,
        }],
        destinations: vec!["US".to_owned()],
        dialing: Dialing::by("carrier"),
        registrations: Vec::new(),
        special_category: false,
        atds: false,
        new_product: false,
        introduction: None,
        voice: None,
    }
}

/// A consumer on a landline that is on no register.
pub fn consumer(number: &str) -> pb::Contact {
    let (year, month, day) = (2026, 4, 10);
    pb::Contact {
        audience: pb::Audience::Consumer.into(),
        numbers: vec![pb::ContactNumber {
            number: number.to_owned(),
            line_type: pb::LineType::Landline.into(),
            registers: vec![pb::RegisterCheck {
                register: "us-dnc".to_owned(),
                listed: Some(false),
                as_of_date: Some(pb::Date { year, month, day }),
                listed_since_date: None,
            }],
            reassigned_check: None,
        }],
        ..pb::Contact::default()
    }
}

pub fn request_id() -> String {
    Uuid::new_v4().to_string()
}

#[derive(Clone)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            let metadata = request.metadata_mut();
            metadata.insert("authorization", value.clone());
        }
        Ok(request)
    }
}

type Wire = InterceptedService<Channel, Bearer>;

/// A connection with its credential.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    bearer: Bearer,
}

impl Client {
    pub fn wire(&self) -> Wire {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    pub fn calls(&self) -> CallServiceClient<Wire> {
        CallServiceClient::new(self.wire())
    }

    pub fn consents(&self) -> ConsentServiceClient<Wire> {
        ConsentServiceClient::new(self.wire())
    }

    pub fn suppressions(&self) -> SuppressionServiceClient<Wire> {
        SuppressionServiceClient::new(self.wire())
    }

    pub fn contacts(&self) -> ContactServiceClient<Wire> {
        ContactServiceClient::new(self.wire())
    }

    pub fn policy(&self) -> PolicyServiceClient<Wire> {
        PolicyServiceClient::new(self.wire())
    }

    pub fn registers(&self) -> RegisterServiceClient<Wire> {
        RegisterServiceClient::new(self.wire())
    }

    pub fn webhooks(&self) -> WebhookServiceClient<Wire> {
        WebhookServiceClient::new(self.wire())
    }

    pub fn trunks(&self) -> TrunkServiceClient<Wire> {
        TrunkServiceClient::new(self.wire())
    }

    pub fn audit(&self) -> AuditServiceClient<Wire> {
        AuditServiceClient::new(self.wire())
    }
}

/// Code, reason, and the fields that are named. Every error has exactly one reason, in our domain.
pub fn refusal(status: &Status) -> (Code, String, Vec<String>) {
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(info.domain, "dialgate");
    let known = |each: char| each.is_ascii_uppercase() || each.is_ascii_digit() || each == '_';
    assert!(info.reason.chars().all(known), "{}", info.reason);
    let fields = details.bad_request().map(|bad| {
        let violations = bad.field_violations.iter();
        violations.map(|each| each.field.clone()).collect()
    });
    (
        status.code(),
        info.reason.clone(),
        fields.unwrap_or_default(),
    )
}

/// Asserts a refusal of this kind.
pub fn assert_refused<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
    fields: &[&str],
) -> Status {
    let status = answer.unwrap_err();
    let (got_code, got_reason, got_fields) = refusal(&status);
    assert_eq!(
        (
            got_code,
            got_reason.as_str(),
            got_fields.iter().map(String::as_str).collect()
        ),
        (code, reason, fields.to_vec()),
        "{status:?}"
    );
    status
}
