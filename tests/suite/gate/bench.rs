//! A gate over a store of its own with a clock held by hand, and the words to ask it.

use std::sync::Arc;
use std::time::Duration;

use dialgate::clock::{Clock, ManualClock};
use dialgate::domain::access::{Principal, Role};
use dialgate::domain::call::{Call, CallKind, CallRequest, Purpose, SellerType};
use dialgate::domain::campaign::{CallerId, Campaign};
use dialgate::domain::consent::{ConsentAction, ConsentForm};
use dialgate::domain::ids::{
    ApiKeyId, AttemptId, CallId, DecisionId, Incarnation, RequestId, SuppressionId, TenantId,
};
use dialgate::domain::party::{
    Audience, LineType, Location, Party, PartyNumber, Profile, RegisterCheck,
};
use dialgate::domain::phone::Phone;
use dialgate::domain::route::{Carrier, Dialing};
use dialgate::domain::suppression::{Suppression, SuppressionReason, SuppressionSource};
use dialgate::domain::time::{Micros, Reading};
use dialgate::gate::{
    Ask, Campaigns, ClaimRequest, Claimed, ContactDraft, Gate, GateConfig, GateError, LiftStep,
    NewConsent, NewLift, NewSuppression, Placed, ReadClocks,
};
use dialgate::policy::{Pack, Permit};
use dialgate::provider::Service;
use dialgate::store::{Leased, Urgency};
use tokio::task::JoinHandle;

use crate::support::builders::TestStore;

/// Wednesday 2026-11-18, 10:00 in Atlanta.
pub const OPEN: &str = "2026-11-18T15:00:00Z";

/// What a softphone offers.
const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n";

/// Calls that may wait for the trunk.
pub const QUEUE_MAX: i64 = 5;

pub struct Bench {
    pub gate: Gate,
    pub clock: Arc<ManualClock>,
    pub me: Incarnation,
    pub store: TestStore,
}

pub fn at(text: &str) -> Micros {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

pub fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

pub fn campaign(name: &str, country: &str, seller: &str) -> Campaign {
    Campaign {
        campaign_id: name.to_owned(),
        active: true,
        seller: seller.to_owned(),
        seller_type: SellerType::ForProfit,
        purpose: Purpose::Sales,
        subject: Some("solar".to_owned()),
        sector: None,
        controller_country: None,
        call_kinds: vec![CallKind::LiveManual],
        caller_ids: vec![CallerId {
            number: phone("+12125550100"),
            owned: true,
            callable: true,
            in_directory: false,
        }],
        destinations: vec![country.to_owned()],
        dialing: Dialing::by("carrier"),
        registrations: Vec::new(),
        special_category: false,
        atds: false,
        new_product: false,
        introduction: None,
        voice: None,
    }
}

impl Bench {
    pub async fn over(store: TestStore) -> Self {
        let campaigns = vec![
            campaign("us", "US", "seller"),
            campaign("other", "US", "other-seller"),
            Campaign {
                active: false,
                ..campaign("asleep", "US", "seller")
            },
        ];
        Self::with(store, campaigns).await
    }

    pub async fn with(store: TestStore, campaigns: Vec<Campaign>) -> Self {
        let clock = ManualClock::at(at(OPEN));
        let gate = Self::gate(&store, &clock, campaigns);
        // As a node does at its start; a first question would read the clock once more.
        gate.settle().await.unwrap();
        Self {
            gate,
            me: Incarnation::new(at(OPEN)),
            clock,
            store,
        }
    }

    /// Another gate over the same store: another node, or the same one after a restart.
    pub fn again(&self, campaigns: Vec<Campaign>) -> Gate {
        Self::gate(&self.store, &self.clock, campaigns)
    }

    /// Another node, whose configuration stops these regions.
    pub fn stopping(&self, campaigns: Vec<Campaign>, regions: &[&str]) -> Gate {
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let config = GateConfig {
            emergency_regions: regions.iter().map(ToString::to_string).collect(),
            ..GateConfig::default()
        };
        Gate::start(
            self.store.store.clone(),
            self.gate.pack(),
            Campaigns::new(campaigns),
            config,
            Arc::new(move || clock.read()),
        )
    }

    /// Another node, whose configuration brings this pack.
    pub fn bringing(&self, pack: Arc<Pack>) -> Gate {
        let campaigns = vec![campaign("us", "US", "seller")];
        let clock = Clock::Manual(Arc::clone(&self.clock));
        Self::gate_of(&self.store, Arc::new(move || clock.read()), campaigns, pack)
    }

    /// Another node, whose configuration brings this pack and names these providers.
    pub fn asking(&self, pack: Arc<Pack>, providers: Vec<Service>) -> Gate {
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let config = GateConfig {
            trunks: [("carrier".to_owned(), Carrier::of_all(QUEUE_MAX))].into(),
            registry: self.store.registry(),
            providers,
            ..GateConfig::default()
        };
        Gate::start(
            self.store.store.clone(),
            pack,
            Campaigns::new(vec![campaign("us", "US", "seller")]),
            config,
            Arc::new(move || clock.read()),
        )
    }

    /// Another node, whose time of day is so many seconds off.
    pub fn elsewhere(&self, seconds_off: i64) -> Gate {
        let clock = Clock::Manual(Arc::clone(&self.clock));
        let read = move || {
            let reading = clock.read();
            Reading {
                wall: Micros(reading.wall.0 + seconds_off * 1_000_000),
                ..reading
            }
        };
        Self::gate_with(
            &self.store,
            Arc::new(read),
            vec![campaign("us", "US", "seller")],
        )
    }

    fn gate(store: &TestStore, clock: &Arc<ManualClock>, campaigns: Vec<Campaign>) -> Gate {
        let clock = Clock::Manual(Arc::clone(clock));
        Self::gate_with(store, Arc::new(move || clock.read()), campaigns)
    }

    fn gate_with(store: &TestStore, read: ReadClocks, campaigns: Vec<Campaign>) -> Gate {
        static PACK: std::sync::LazyLock<Arc<Pack>> =
            std::sync::LazyLock::new(|| Arc::new(Pack::embedded().unwrap()));
        Self::gate_of(store, read, campaigns, Arc::clone(&PACK))
    }

    fn gate_of(
        store: &TestStore,
        read: ReadClocks,
        campaigns: Vec<Campaign>,
        pack: Arc<Pack>,
    ) -> Gate {
        let config = GateConfig {
            trunks: [("carrier".to_owned(), Carrier::of_all(QUEUE_MAX))].into(),
            registry: store.registry(),
            ..GateConfig::default()
        };
        Gate::start(
            store.store.clone(),
            pack,
            Campaigns::new(campaigns),
            config,
            read,
        )
    }

    pub fn now(&self) -> Micros {
        self.gate.read().wall
    }

    /// A consumer in Georgia whose number is on no register: the law lets them be called in the hours.
    pub async fn callable(&self, number: &str) -> Party {
        self.contact(&[number], "US-GA").await.unwrap()
    }

    pub async fn contact(&self, numbers: &[&str], region: &str) -> Result<Party, GateError> {
        let today = self
            .now()
            .timestamp()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let clear = |register: &str| RegisterCheck {
            register: register.to_owned(),
            listed: Some(false),
            as_of: today,
            listed_since: None,
            snapshot: None,
        };
        let number = |number: &&str| PartyNumber {
            number: phone(number),
            line_type: LineType::Landline,
            registers: vec![clear("us-dnc"), clear("us-fl-dnc")],
            reassigned_check: None,
        };
        let draft = ContactDraft {
            party_id: None,
            profile: Profile {
                audience: Some(Audience::Consumer),
                location: Some(Location {
                    country: Some("US".to_owned()),
                    region: Some(region.to_owned()),
                    ..Location::default()
                }),
                ..Profile::default()
            },
            numbers: numbers.iter().map(number).collect(),
            etag: None,
            mask: None,
        };
        self.gate.upsert_contact(&self.ask("admin"), draft).await
    }

    /// A fresh request by somebody, a moment later than the last, so that entries have an order.
    pub fn ask(&self, who: &str) -> Ask {
        self.clock.advance(Duration::from_millis(1));
        let name = who
            .bytes()
            .fold(0u128, |name, byte| name << 8 | u128::from(byte));
        Ask {
            principal: Principal {
                tenant: TenantId::default(),
                api_key_id: Some(ApiKeyId(uuid::Uuid::from_u128(name))),
                name: who.to_owned(),
                role: Role::Administrator,
            },
            request_id: RequestId(uuid::Uuid::new_v4()),
            method: "Test",
            digest: [1; 32],
            at: self.now(),
        }
    }

    /// The same by somebody who approves.
    pub fn approver(&self, who: &str) -> Ask {
        let mut ask = self.ask(who);
        ask.principal.role = Role::Approver;
        ask
    }

    /// What an administrator asks who has just been given a new permission.
    pub fn permitted(&self) -> LiftStep {
        self.clock.advance(Duration::from_millis(1));
        LiftStep::Ask(NewLift {
            reason: "asked to be called again".to_owned(),
            evidence_ref: "form 12".to_owned(),
            evidence_at: self.now(),
        })
    }

    /// Lifts as two people do.
    pub async fn lift(&self, id: SuppressionId) -> Suppression {
        let permitted = self.permitted();
        let asked = self.gate.lift(&self.ask("ines"), id, permitted).await;
        assert!(asked.unwrap().lift.is_none());
        let omar = self.approver("omar");
        self.gate.lift(&omar, id, LiftStep::Approve).await.unwrap()
    }

    pub fn request(&self, number: &str) -> CallRequest {
        self.clock.advance(Duration::from_millis(1));
        CallRequest {
            tenant: TenantId::default(),
            request_id: Some(RequestId(uuid::Uuid::new_v4())),
            request_digest: [7; 32],
            to: phone(number),
            party_id: None,
            campaign_id: "us".to_owned(),
            call_kind: CallKind::LiveManual,
            caller_id: None,
            sdp_offer: OFFER.to_vec(),
            agent: None,
            expire_time: Some(self.now().plus(Duration::from_secs(60))),
            answer_by: None,
            actor: "key:agent".to_owned(),
        }
    }

    pub async fn place(&self, number: &str) -> Placed {
        self.gate.place(self.request(number)).await.unwrap()
    }

    /// Placed and allowed.
    pub async fn queued(&self, number: &str) -> Call {
        let placed = self.place(number).await;
        assert!(
            placed.call.is_some(),
            "refused by {:?}",
            placed.decision.judgement.denied_by
        );
        placed.call.unwrap()
    }

    pub async fn lease(&self) -> Vec<Leased> {
        self.clock.advance(Duration::from_millis(1));
        let mut tx = self.store.store.write(Urgency::Ordinary).await.unwrap();
        let leased = tx.lease_calls(self.me, "us", 32, self.now()).await.unwrap();
        tx.commit().await.unwrap();
        leased
    }

    pub fn claim(&self, leased: &Leased, again: Option<AttemptId>) -> ClaimRequest {
        ClaimRequest {
            trunk: leased.call.trunk.clone(),
            call: leased.call.clone(),
            subject: leased.subject.clone(),
            lease_epoch: leased.lease_epoch,
            owner: self.me,
            sip_call_id: uuid::Uuid::new_v4().to_string(),
            again,
            attestation: None,
        }
    }

    /// Placed, leased, claimed and permitted.
    pub async fn claimed(&self, number: &str) -> (Leased, Permit, AttemptId) {
        let call = self.queued(number).await;
        let leased = self
            .lease()
            .await
            .into_iter()
            .find(|leased| leased.call.call_id == call.call_id)
            .unwrap();
        match self.gate.claim(self.claim(&leased, None)).await.unwrap() {
            Claimed::Permitted { permit, attempt_id } => (leased, permit, attempt_id),
            other => panic!("{other:?}"),
        }
    }

    /// The far end answered or not: the attempt is over and counts.
    pub async fn ended(&self, leased: &Leased, attempt_id: AttemptId) {
        use dialgate::domain::call::{EventDetail, Outcome};
        let mut tx = self.store.write().await;
        let end = dialgate::store::AttemptEnd {
            attempt_id,
            call_id: leased.call.call_id,
            outcome: Outcome::NoAnswer,
            counts_as: None,
            detail: EventDetail::default(),
            at: self.now(),
            permit_gone: true,
        };
        assert!(tx.end_attempt(&TenantId::default(), &end).await.unwrap());
        tx.commit().await.unwrap();
    }

    pub async fn call(&self, call_id: CallId) -> Call {
        self.store
            .read()
            .await
            .call(&TenantId::default(), call_id)
            .await
            .unwrap()
            .unwrap()
    }

    pub async fn decision(&self, id: DecisionId) -> dialgate::domain::decision::Decision {
        self.store
            .read()
            .await
            .decision(&TenantId::default(), id, true)
            .await
            .unwrap()
            .unwrap()
    }

    /// Kinds of the audit entries, oldest first.
    pub async fn audit(&self) -> Vec<String> {
        use dialgate::domain::filter::Filter;
        use dialgate::store::{AUDIT_FIELDS, ListQuery};
        let filter = Filter::parse("", AUDIT_FIELDS).unwrap();
        let query = ListQuery {
            filter,
            page_size: 1000,
            after: None,
        };
        let page = self
            .store
            .read()
            .await
            .audit_entries(&TenantId::default(), &query)
            .await
            .unwrap();
        page.rows
            .into_iter()
            .rev()
            .map(|entry| entry.kind)
            // Every store begins with it.
            .filter(|kind| kind != "policy.activated")
            .collect()
    }

    pub fn opt_out(&self, number: &str) -> NewSuppression {
        NewSuppression {
            number: Some(phone(number)),
            party_id: None,
            account: None,
            seller: None,
            channels: Vec::new(),
            purposes: Vec::new(),
            reason: SuppressionReason::PartyRequest,
            source: SuppressionSource::Web,
            received_at: None,
            expires_at: None,
            evidence_ref: None,
            note: None,
        }
    }

    /// The key by which this number is looked up and locked.
    pub fn key(&self, number: &str) -> [u8; 32] {
        let hasher = self.store.store.hasher();
        hasher.key(&TenantId::default(), phone(number)).0
    }

    /// A signed word of the person, now.
    pub fn consent(&self, number: &str, action: ConsentAction) -> NewConsent {
        NewConsent {
            number: phone(number),
            party_id: None,
            seller: "seller".to_owned(),
            action,
            at: None,
            channels: Vec::new(),
            form: Some(ConsentForm::Written),
            explicit: None,
            documented: None,
            out_of_hours: None,
            period: None,
            initiated_by: None,
            source: None,
            evidence_ref: None,
            wording_ref: None,
        }
    }

    /// An opt-out under way.
    pub fn suppressing(&self, number: &str) -> JoinHandle<()> {
        let (gate, ask, new) = (self.gate.clone(), self.ask("admin"), self.opt_out(number));
        tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) })
    }

    pub async fn close(&self, attempt_id: AttemptId) {
        let mut tx = self.store.write().await;
        tx.close_permits(&[attempt_id]).await.unwrap();
        tx.commit().await.unwrap();
    }
}
