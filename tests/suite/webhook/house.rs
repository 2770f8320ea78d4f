//! A store with a webhook, its receiver, and the words to make things happen.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dialgate::clock::Clock;
use dialgate::domain::ids::SuppressionId;
use dialgate::domain::phone::NumberKey;
use dialgate::domain::suppression::{LiftRequest, Suppression, SuppressionSubject};
use dialgate::gate::{Campaigns, Gate, GateConfig, WebhookStatus};
use dialgate::store::{Store, WebhookRow};
use dialgate::webhook::{Post, Turn, Webhook, WebhookConfig};
use tokio_util::sync::CancellationToken;

use crate::gate::bench::Bench;
use crate::support::builders::{phone, suppression, tenant};
use crate::support::receiver::{Receiver, TAKES};

pub const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub const PREVIOUS: &str = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

pub struct House {
    pub bench: Bench,
    pub gate: Gate,
    pub receiver: Receiver,
    numbers: AtomicU32,
}

impl House {
    pub async fn over(bench: Bench) -> Self {
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let config = GateConfig {
            webhooks: vec!["crm".to_owned()],
            ..GateConfig::default()
        };
        let gate = Gate::start(
            bench.store.store.clone(),
            bench.gate.pack(),
            Campaigns::default(),
            config,
            Arc::new(move || clock.read()),
        );
        Self {
            bench,
            gate,
            receiver: Receiver::start(TAKES).await,
            numbers: AtomicU32::new(1),
        }
    }

    pub fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.bench.store.folder.path().join(name);
        std::fs::write(&path, format!("{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    /// A row of the configuration that leads to the receiver.
    pub fn config(&self) -> WebhookConfig {
        WebhookConfig {
            name: "crm".to_owned(),
            url: format!("http://{}/hook", self.receiver.address),
            secret_file: self.secret("crm.secret", SECRET),
            previous_secret_file: None,
            timeout_ms: 10_000,
            retry_hours: 24,
            allowed_networks: vec!["127.0.0.1/32".to_owned()],
        }
    }

    pub fn webhook(&self) -> Webhook {
        self.config().webhook().unwrap()
    }

    pub fn post(&self) -> Post {
        self.post_over(self.bench.store.store.clone())
    }

    pub fn post_over(&self, store: Store) -> Post {
        let clock = Clock::Manual(Arc::clone(&self.bench.clock));
        Post::new(store, self.webhook(), clock)
    }

    pub fn post_of(&self, row: &WebhookConfig) -> Post {
        let clock = Clock::Manual(Arc::clone(&self.bench.clock));
        Post::new(
            self.bench.store.store.clone(),
            row.webhook().unwrap(),
            clock,
        )
    }

    pub async fn turn(&self, post: &mut Post) -> Turn {
        post.turn(&CancellationToken::new()).await.unwrap()
    }

    pub async fn row(&self) -> WebhookRow {
        let mut tx = self.bench.store.read().await;
        tx.webhook(&tenant(), "crm").await.unwrap().unwrap()
    }

    pub async fn status(&self) -> WebhookStatus {
        let all = self.gate.webhooks(&tenant()).await.unwrap();
        all.into_iter().next().unwrap()
    }

    pub fn number_key(&self, number: u32) -> NumberKey {
        self.bench.store.key(phone(number))
    }

    /// So many more people do not want to be called.
    pub async fn stop_calls(&self, count: u32) {
        let first = self.numbers.fetch_add(count, Ordering::SeqCst);
        let mut tx = self.bench.store.write().await;
        for number in first..first + count {
            let new = Suppression {
                suppression_id: SuppressionId(uuid::Uuid::from_u128(number.into())),
                recorded_at: self.bench.now(),
                ..suppression(SuppressionSubject::Number(self.number_key(number)))
            };
            tx.insert_suppression(&tenant(), &new).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// Somebody asks for the lift of the one about this number.
    pub async fn ask_for_lift(&self, number: u32) {
        let request = LiftRequest {
            at: self.bench.now(),
            requested_by: "ines".to_owned(),
            reason: "asked to be called".to_owned(),
            evidence_ref: "form 12".to_owned(),
            evidence_at: Some(self.bench.now()),
        };
        let id = SuppressionId(uuid::Uuid::from_u128(number.into()));
        let mut tx = self.bench.store.write().await;
        assert!(tx.request_lift(&tenant(), id, &request).await.unwrap());
        tx.commit().await.unwrap();
    }
}
