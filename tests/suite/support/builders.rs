//! Rows for tests, each with something in every column, and stores to put them in.

use dialgate::domain::call::{Call, CallKind, CallState, Purpose};
use dialgate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm, InitiatedBy};
use dialgate::domain::decision::{
    Decision, Judgement, PackVersion, RuleOutcome, RuleResult, Stage, Verdict,
};
use dialgate::domain::ids::{
    AttemptId, AuditEntryId, CallId, ConsentEventId, DecisionId, Incarnation, PartyId,
    SuppressionId, TenantId,
};
use dialgate::domain::party::{Audience, LineType, Location, PartyNumber, Profile, RegisterCheck};
use dialgate::domain::phone::{NumberKey, Phone};
use dialgate::domain::suppression::{
    Suppression, SuppressionReason, SuppressionSource, SuppressionSubject,
};
use dialgate::domain::time::Micros;
use dialgate::gate::RegistryConfig;
use dialgate::store::{
    AuditEntry, Engine, NewAttempt, NewCall, PartyDraft, Store, StoreConfig, Tx, Urgency,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use super::postgres;

/// The instant from which test times count: 2026-11-21T12:00:00Z.
pub const NOON: Micros = Micros(1_795_262_400_000_000);

/// So many seconds after [`NOON`].
pub fn after(seconds: i64) -> Micros {
    Micros(NOON.0 + seconds * 1_000_000)
}

/// The tenant of the tests.
pub fn tenant() -> TenantId {
    TenantId::default()
}

/// A number of the range that is kept free for fiction.
pub fn phone(index: u32) -> Phone {
    Phone::parse(&format!("+1404555{index:04}")).unwrap()
}

/// A store of its own in a folder of its own.
pub struct TestStore {
    pub store: Store,
    pub config: StoreConfig,
    pub folder: tempfile::TempDir,
}

impl TestStore {
    /// Where snapshots of registers lie, in the folder of the store.
    pub fn registry(&self) -> RegistryConfig {
        RegistryConfig {
            folder: self.folder.path().join("registers"),
            ..RegistryConfig::default()
        }
    }

    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("dialgate.db").display());
        Self::open(url, folder).await
    }

    /// None where PostgreSQL is not installed.
    pub async fn postgres() -> Option<Self> {
        let url = tokio::task::spawn_blocking(postgres::database)
            .await
            .unwrap()?;
        Some(Self::open(url, tempfile::tempdir().unwrap()).await)
    }

    async fn open(url: String, folder: tempfile::TempDir) -> Self {
        let config = StoreConfig {
            url,
            key_file: folder.path().join("numbers.key"),
            max_connections: 8,
        };
        let store = Store::open(&config).await.unwrap();
        Self {
            store,
            config,
            folder,
        }
    }

    pub async fn write(&self) -> Tx {
        self.store.write(Urgency::Ordinary).await.unwrap()
    }

    pub async fn read(&self) -> Tx {
        self.store.read().await.unwrap()
    }

    /// Overwrites a sealed value (`$1`) of this row (`$2`) behind the store's back.
    pub async fn damage(&self, sql: &'static str, id: uuid::Uuid) {
        let broken = vec![7_u8; 40];
        let url = &self.config.url;
        match self.store.engine() {
            Engine::Postgres => {
                let mut conn = PgConnection::connect(url).await.unwrap();
                let done = sqlx::query(sql).bind(broken).bind(id).execute(&mut conn);
                assert_eq!(done.await.unwrap().rows_affected(), 1);
            }
            Engine::Sqlite => {
                let file = url.trim_start_matches("sqlite://");
                let options = SqliteConnectOptions::new().filename(file);
                let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
                let done = sqlx::query(sql).bind(broken).bind(id).execute(&mut conn);
                assert_eq!(done.await.unwrap().rows_affected(), 1);
            }
        }
    }

    /// Whether somebody waits in this database for a lock that another holds. Only PostgreSQL can tell.
    pub async fn somebody_waits(&self) -> bool {
        let mut conn = PgConnection::connect(&self.config.url).await.unwrap();
        let sql = "SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
        sqlx::query_scalar(sql).fetch_one(&mut conn).await.unwrap()
    }

    /// Changes one row behind the store's back: `$1` and so on are these ids.
    pub async fn change(&self, sql: &'static str, ids: &[uuid::Uuid]) {
        let url = &self.config.url;
        let changed = match self.store.engine() {
            Engine::Postgres => {
                let mut conn = PgConnection::connect(url).await.unwrap();
                let query = ids
                    .iter()
                    .fold(sqlx::query(sql), |query, id| query.bind(id));
                query.execute(&mut conn).await.unwrap().rows_affected()
            }
            Engine::Sqlite => {
                let file = url.trim_start_matches("sqlite://");
                let options = SqliteConnectOptions::new().filename(file);
                let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
                let query = ids
                    .iter()
                    .fold(sqlx::query(sql), |query, id| query.bind(id));
                query.execute(&mut conn).await.unwrap().rows_affected()
            }
        };
        assert_eq!(changed, 1, "{sql}");
    }

    pub fn key(&self, number: Phone) -> NumberKey {
        self.store.hasher().key(&tenant(), number)
    }

    /// A person who holds this number, recorded.
    pub async fn party(&self, number: Phone) -> PartyId {
        let party = PartyId::new(NOON);
        let mut tx = self.write().await;
        tx.ensure_parties(&tenant(), &[(party, number)], NOON)
            .await
            .unwrap();
        let holders = tx
            .parties_by_number(&tenant(), &[self.key(number)])
            .await
            .unwrap();
        tx.commit().await.unwrap();
        holders[0].1
    }

    /// A queued call to this number.
    pub async fn queued(&self, number: Phone) -> NewCall {
        let party = self.party(number).await;
        let new = new_call(party, number, self.key(number));
        let mut tx = self.write().await;
        tx.insert_calls(&tenant(), std::slice::from_ref(&new))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        new
    }

    /// A call to this number that this process has claimed.
    pub async fn claimed(&self, number: Phone, owner: Incarnation) -> (Call, NewAttempt) {
        let new = self.queued(number).await;
        let mut tx = self.write().await;
        let leased = tx
            .lease_calls(owner, &new.call.campaign_id, 100, NOON)
            .await
            .unwrap();
        let leased = leased
            .into_iter()
            .find(|leased| leased.call.call_id == new.call.call_id)
            .unwrap();
        let attempt = attempt(&leased.call, owner);
        let fence = [(new.call.call_id, leased.lease_epoch, attempt.attempt_id)];
        assert_eq!(tx.fence_claims(&fence).await.unwrap(), [new.call.call_id]);
        tx.insert_attempts(&tenant(), std::slice::from_ref(&attempt))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        (leased.call, attempt)
    }
}

pub fn draft(party: PartyId, numbers: &[Phone]) -> PartyDraft {
    let number = |number: &Phone| PartyNumber {
        number: *number,
        line_type: LineType::Mobile,
        registers: vec![RegisterCheck {
            register: "us-dnc".to_owned(),
            listed: Some(false),
            as_of: "2026-11-20".parse().unwrap(),
            listed_since: None,
            snapshot: None,
        }],
        reassigned_check: None,
    };
    PartyDraft {
        party_id: party,
        profile: Profile {
            display_name: Some("Example Person".to_owned()),
            audience: Some(Audience::Consumer),
            location: Some(Location {
                country: Some("US".to_owned()),
                region: Some("US-GA".to_owned()),
                ..Location::default()
            }),
            ..Profile::default()
        },
        numbers: numbers.iter().map(number).collect(),
    }
}

pub fn judgement(denied_by: &[&str]) -> Judgement {
    Judgement {
        verdict: if denied_by.is_empty() {
            Verdict::Allow
        } else {
            Verdict::Deny
        },
        denied_by: denied_by
            .iter()
            .map(|rule| (*rule).to_owned().into())
            .collect(),
        rules: vec![RuleResult {
            rule: "US-calling-hours".into(),
            outcome: RuleOutcome::Pass,
            reason: "it is 12:00 there".into(),
            citation: "47 CFR 64.1200(c)(1)".into(),
            evidence: vec!["zone=America/New_York".into()],
        }],
        jurisdictions: vec!["US".into()],
        zones: vec!["America/New_York".into()],
        next_allowed_time: None,
        warnings: Vec::new(),
    }
}

pub fn decision(party: PartyId, number: Phone, key: NumberKey, at: Micros) -> Decision {
    Decision {
        decision_id: DecisionId::new(at),
        stage: Stage::Place,
        call_id: None,
        party_id: party,
        number_key: key,
        campaign_id: "spring".to_owned(),
        decided_at: at,
        pack: PackVersion {
            version: "1.0.0".to_owned(),
            sha256: "ab".repeat(32),
            zone_data: "2026e".to_owned(),
        },
        judgement: judgement(&[]),
        case_json: Some(format!("{{\"to\":\"{}\"}}", number.reveal())),
        actor: "key:agent".to_owned(),
    }
}

pub fn new_call(party: PartyId, number: Phone, key: NumberKey) -> NewCall {
    NewCall {
        call: Call {
            call_id: CallId::new(NOON),
            tenant: tenant(),
            party_id: party,
            number_key: key,
            to: Some(number),
            from: Some(phone(9999)),
            campaign_id: "spring".to_owned(),
            seller: "acme".to_owned(),
            call_kind: CallKind::LiveManual,
            trunk: "main".to_owned(),
            state: CallState::Queued,
            place_decision_id: DecisionId::new(NOON),
            claim_decision_id: None,
            attempt_id: None,
            attestation: None,
            outcome: None,
            sip_code: None,
            q850_cause: None,
            actor: "key:agent".to_owned(),
            create_time: NOON,
            expire_time: after(600),
            invite_time: None,
            ring_time: None,
            answer_time: None,
            end_time: None,
            agent: None,
            agent_result: None,
            abandon_time: None,
        },
        subject: Some("solar".to_owned()),
        sdp_offer: b"v=0 offer".to_vec(),
    }
}

pub fn attempt(call: &Call, owner: Incarnation) -> NewAttempt {
    NewAttempt {
        attempt_id: AttemptId::new(NOON),
        call_id: call.call_id,
        party_id: call.party_id,
        number_key: call.number_key,
        seller: call.seller.clone(),
        subject: Some("solar".to_owned()),
        purpose: Some(Purpose::Sales),
        from: call.from,
        attestation: None,
        decision_id: DecisionId::new(NOON),
        trunk: call.trunk.clone(),
        sip_call_id: "c0ffee".to_owned(),
        owner,
        permit_ms: 1500,
        at: NOON,
    }
}

pub fn suppression(subject: SuppressionSubject) -> Suppression {
    Suppression {
        lift_request: None,
        suppression_id: SuppressionId::new(NOON),
        subject,
        seller: None,
        channels: Vec::new(),
        purposes: Vec::new(),
        reason: SuppressionReason::PartyRequest,
        source: SuppressionSource::Agent,
        received_at: NOON,
        recorded_at: NOON,
        expires_at: None,
        evidence_ref: Some("recording 7".to_owned()),
        note: Some("said so at the door".to_owned()),
        actor: "key:agent".to_owned(),
        lift: None,
    }
}

pub fn consent(party: PartyId, number: Phone) -> ConsentEvent {
    ConsentEvent {
        consent_event_id: ConsentEventId::new(NOON),
        party_id: party,
        number,
        seller: "acme".to_owned(),
        action: ConsentAction::Given,
        at: after(-3600),
        recorded_at: NOON,
        channels: vec![CallKind::LiveManual, CallKind::Autodialed],
        form: Some(ConsentForm::WebForm),
        explicit: Some(true),
        documented: Some(false),
        out_of_hours: None,
        period: Some("indefinite".to_owned()),
        initiated_by: Some(InitiatedBy::Person),
        source: Some("web".to_owned()),
        evidence_ref: Some("form 12".to_owned()),
        wording_ref: Some("v3".to_owned()),
        actor: "key:admin".to_owned(),
    }
}

pub fn audit(kind: &str, at: Micros) -> AuditEntry {
    AuditEntry {
        entry_id: AuditEntryId::new(at),
        kind: kind.to_owned(),
        actor: "key:admin".to_owned(),
        subject_key: Some([5; 32]),
        payload: serde_json::json!({"id": 1, "words": ["a", "b"]}),
        at,
    }
}
