//! What a run left in its store, as the checker reads it: by the store's own readers where something is sealed, by plain SQL
//! where rows are only counted.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::domain::filter::Filter;
use dialgate::domain::ids::TenantId;
use dialgate::domain::phone::Phone;
use dialgate::store::{CALL_FIELDS, ListQuery, Store};
use sqlx::postgres::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use uuid::Uuid;

use super::world::{Home, World};
use crate::support::history::*;

pub enum Ledger {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

macro_rules! rows {
    ($ledger:expr, $sql:expr) => {
        match $ledger {
            Ledger::Postgres(pool) => sqlx::query_as($sql).fetch_all(pool).await.unwrap(),
            Ledger::Sqlite(pool) => sqlx::query_as($sql).fetch_all(pool).await.unwrap(),
        }
    };
}

impl Ledger {
    pub async fn open(world: &World) -> Self {
        match &world.home {
            Home::Postgres(database) => {
                Self::Postgres(PgPool::connect(&database.url()).await.unwrap())
            }
            Home::Sqlite => {
                let file = world.folder.path().join("dialgate.db");
                let options = SqliteConnectOptions::new()
                    .filename(file)
                    .pragma("query_only", "ON");
                Self::Sqlite(SqlitePool::connect_with(options).await.unwrap())
            }
        }
    }

    /// Calls that are not over, attempts without outcome, permits that nobody gave up.
    pub async fn unsettled(&self) -> (i64, i64, i64) {
        const SQL: &str = "SELECT (SELECT COUNT(*) FROM calls WHERE queue_state <> 'done'),
            (SELECT COUNT(*) FROM attempts WHERE outcome IS NULL), (SELECT COUNT(*) FROM attempts WHERE permit_open)";
        let rows: Vec<(i64, i64, i64)> = rows!(self, SQL);
        rows[0]
    }

    /// Waits until everything is over, and tells how long that took.
    pub async fn settled(&self, within: Duration) -> Duration {
        let begun = super::sink::now();
        loop {
            let left = self.unsettled().await;
            let waited = super::sink::now() - begun;
            if left == (0, 0, 0) {
                return waited;
            }
            assert!(
                waited < within,
                "after {within:?} there are still (calls, attempts, permits) = {left:?}: {}",
                self.stuck().await
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Which ones, for a failure.
    async fn stuck(&self) -> String {
        const SQL: &str = "SELECT c.call_id, c.queue_state, c.state, a.attempt_id, a.owner, n.beats, a.permit_open
            FROM calls AS c LEFT JOIN attempts AS a ON a.attempt_id = c.attempt_id LEFT JOIN nodes AS n ON n.incarnation = a.owner
            WHERE c.queue_state <> 'done' OR a.outcome IS NULL AND a.attempt_id IS NOT NULL OR a.permit_open LIMIT 20";
        type Row = (
            Uuid,
            String,
            String,
            Option<Uuid>,
            Option<Uuid>,
            Option<i64>,
            Option<bool>,
        );
        let rows: Vec<Row> = rows!(self, SQL);
        rows.iter().map(|row| format!("\n  {row:?}")).collect()
    }

    /// How attempts ended, and how often.
    pub async fn outcomes(&self) -> String {
        const SQL: &str = "SELECT COALESCE(outcome, 'none'), COUNT(*) FROM attempts GROUP BY outcome ORDER BY 2 DESC";
        let rows: Vec<(String, i64)> = rows!(self, SQL);
        rows.iter()
            .map(|(outcome, count)| format!(" {outcome}={count}"))
            .collect()
    }

    /// Opt-outs that lists brought.
    pub async fn listed(&self) -> i64 {
        const SQL: &str = "SELECT COUNT(*) FROM suppressions WHERE source = 'import'";
        let rows: Vec<(i64,)> = rows!(self, SQL);
        rows[0].0
    }

    /// Everything that is left. `honest` says that every node's wall clock is the machine's.
    pub async fn read(&self, world: &World, honest: bool) -> Stored {
        let store = world.store().await;
        let tenant = TenantId::default();
        let key = |number: &String| {
            store
                .hasher()
                .key(&tenant, Phone::parse(number).unwrap())
                .0
                .to_vec()
        };
        let numbers: HashMap<Vec<u8>, String> = world
            .people
            .iter()
            .chain(&world.listed)
            .map(|(number, _)| (key(number), number.clone()))
            .collect();
        let number = |key: &Vec<u8>| numbers.get(key).cloned().unwrap_or_default();
        let reading = Clock::Real.read();
        let instant = |wall: i64| {
            let ago = Duration::from_micros(u64::try_from(reading.wall.0 - wall).unwrap());
            reading.mono.0.checked_sub(ago)
        };

        type DecisionRow = (Uuid, String, String, Vec<u8>, Option<Uuid>);
        let decisions: Vec<DecisionRow> = rows!(
            self,
            "SELECT decision_id, stage, verdict, number_key, call_id FROM decisions"
        );
        type AttemptRow = (
            Uuid,
            Uuid,
            Uuid,
            String,
            Vec<u8>,
            Uuid,
            String,
            i64,
            bool,
            Option<String>,
        );
        let attempts: Vec<AttemptRow> = rows!(
            self,
            "SELECT attempt_id, call_id, decision_id, sip_call_id, number_key, party_id,
            seller, create_time, permit_open, outcome FROM attempts"
        );
        let states: Vec<(Uuid, String)> = rows!(self, "SELECT call_id, queue_state FROM calls");
        let states: HashMap<Uuid, String> = states.into_iter().collect();
        let ends: Vec<(Uuid, i64)> = rows!(
            self,
            "SELECT call_id, COUNT(*) FROM call_events
            WHERE kind IN ('ended', 'denied', 'expired') GROUP BY call_id"
        );
        let ends: HashMap<Uuid, i64> = ends.into_iter().collect();
        let requests: Vec<(Uuid, String, String)> =
            rows!(self, "SELECT request_id, method, subject FROM requests");
        let suppressions: Vec<(Uuid, Option<i64>, Option<i64>)> = rows!(
            self,
            "SELECT suppression_id, lift_request_time, lift_time FROM suppressions"
        );
        let consents: Vec<(Uuid,)> = rows!(
            self,
            "SELECT consent_event_id FROM consents WHERE action = 'given'"
        );
        let entries: Vec<(String, String)> = rows!(self, "SELECT kind, payload FROM audit_entries");

        let told = calls_of(&store).await;
        let told = told.into_iter().map(|call| Call {
            id: call.call_id.to_string(),
            place_decision: call.place_decision_id.to_string(),
            number: call.to.map(Phone::reveal).unwrap_or_default(),
            from: call.from.map(Phone::reveal).unwrap_or_default(),
            done: states
                .get(&call.call_id.0)
                .is_some_and(|state| state == "done"),
            ends: usize::try_from(ends.get(&call.call_id.0).copied().unwrap_or(0)).unwrap(),
        });
        Stored {
            decisions: decisions
                .iter()
                .map(|(id, stage, verdict, key, call)| Decision {
                    id: id.to_string(),
                    stage: stage.clone(),
                    allow: verdict == "allow",
                    number: number(key),
                    call: call.map(|call| call.to_string()),
                })
                .collect(),
            attempts: attempts
                .iter()
                .map(
                    |(id, call, decision, sip_call_id, key, party, seller, at, open, outcome)| {
                        Attempt {
                            id: id.to_string(),
                            call: call.to_string(),
                            decision: decision.to_string(),
                            sip_call_id: sip_call_id.clone(),
                            number: number(key),
                            party: party.to_string(),
                            seller: seller.clone(),
                            claimed: honest.then(|| instant(*at)).flatten(),
                            permit_open: *open,
                            outcome: outcome.clone(),
                        }
                    },
                )
                .collect(),
            calls: told.collect(),
            requests: requests
                .iter()
                .map(|(id, method, subject)| Request {
                    id: id.to_string(),
                    method: method.clone(),
                    subject: subject.clone(),
                })
                .collect(),
            suppressions: suppressions
                .iter()
                .map(|(id, requested, lifted)| Suppression {
                    id: id.to_string(),
                    lift_requested: requested.is_some(),
                    lifted: lifted.is_some(),
                })
                .collect(),
            consents: consents.iter().map(|(id,)| id.to_string()).collect(),
            entries: entries
                .iter()
                .filter_map(|(kind, payload)| entry(kind, payload))
                .collect(),
        }
    }
}

/// All calls, by the store's own reader.
async fn calls_of(store: &Store) -> Vec<dialgate::domain::call::Call> {
    let mut query = ListQuery {
        filter: Filter::parse("", CALL_FIELDS).unwrap(),
        page_size: 1_000,
        after: None,
    };
    let mut calls = Vec::new();
    loop {
        let mut tx = store.read().await.unwrap();
        let page = tx.list_calls(&TenantId::default(), &query).await.unwrap();
        calls.extend(page.rows);
        match page.next {
            None => return calls,
            next => query.after = next,
        }
    }
}

/// An entry and the row that it tells of, for the kinds that a run makes.
fn entry(kind: &str, payload: &str) -> Option<Entry> {
    let payload: serde_json::Value = serde_json::from_str(payload).unwrap();
    let field = match kind {
        "decision" | "claim" => "decision_id",
        "outcome" => "attempt_id",
        _ if kind.starts_with("suppression.") => "suppression_id",
        _ if kind.starts_with("consent.") => "consent_event_id",
        _ => return None,
    };
    let about = payload[field].as_str().unwrap_or_default().to_owned();
    Some(Entry {
        kind: kind.to_owned(),
        about,
    })
}

/// The figures of a run, for whoever reads the report.
pub fn figures(history: &History) -> String {
    let invites = || {
        history
            .packets
            .iter()
            .filter(|packet| !packet.sent && packet.what == "INVITE")
    };
    let dialed: HashSet<&str> = invites().map(|packet| packet.call_id.as_str()).collect();
    let mut targets: HashMap<&str, HashSet<&str>> = HashMap::new();
    for attempt in &history.stored.attempts {
        if dialed.contains(attempt.sip_call_id.as_str()) {
            let ids = targets.entry(&attempt.call).or_default();
            ids.insert(&attempt.sip_call_id);
        }
    }
    let went_on = targets.values().filter(|ids| ids.len() > 1).count();
    let acknowledged = |wanted: fn(&Wish) -> bool| {
        let ok = |each: &&Operation| wanted(&each.wish) && matches!(each.end, End::Ok { .. });
        history.operations.iter().filter(ok).count()
    };
    let unknown = history
        .operations
        .iter()
        .filter(|each| each.end == End::Unknown)
        .count();
    let refused = history
        .operations
        .iter()
        .filter(|each| matches!(each.end, End::Refused(_)))
        .count();
    format!(
        "{} tries ({unknown} without an answer, {refused} refused), {} opt-outs and {} lifts acknowledged, {} answers to place; \
         {} calls, {} claims, {} dialed with {} INVITE datagrams, {went_on} calls went on to the next target; {} datagrams in all",
        history.operations.len(),
        acknowledged(|wish| matches!(wish, Wish::OptOut { .. })),
        acknowledged(|wish| matches!(wish, Wish::Lift { .. })),
        acknowledged(|wish| matches!(wish, Wish::Place { .. })),
        history.stored.calls.len(),
        history.stored.attempts.len(),
        targets.len(),
        invites().count(),
        history.packets.len(),
    )
}
