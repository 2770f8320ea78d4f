//! Durable, acknowledged opt-outs per second, beside a bare commit of one row each.
//!
//! Both write to databases of the same schema with the same settings, in this process, for the same number of callers, each
//! of whom tells the next as soon as it is answered. The ceiling inserts the opt-out and commits. The gate looks whether it was
//! told before, records it with its audit entry and its request, takes the number's lock, asks calls under way to end, commits,
//! looks who was given the number meanwhile, and writes down that it has passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dialgate::domain::access::{Principal, Role};
use dialgate::domain::ids::{ApiKeyId, RequestId, SuppressionId, TenantId};
use dialgate::domain::phone::Phone;
use dialgate::domain::suppression::{SuppressionReason, SuppressionSource};
use dialgate::gate::{Ask, NewSuppression};
use sqlx::postgres::PgPoolOptions;

use crate::gate::{self, Side, load};
use crate::support::figures::{Goal, Table, ratios};
use crate::support::home::{Bare, Engine, Home, on};
use crate::support::{Size, block_on, scene};

const CALLERS: usize = 64;

const GOAL: Goal = Goal::AtLeast(0.7);

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "callers",
            "opt-outs/s",
            "bare commits/s",
            "ratio",
            "goal",
            "verdict",
            "p50/p99 ms",
            "bare p50/p99 ms",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print("Acknowledged opt-outs");
    });
}

async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let (home, twin) = (Home::new(engine).await, Home::new(engine).await);
    scene::introduce(&home.store, size.people).await;
    let gate = gate::open(&home);
    let bare = Arc::new(ceiling(&twin).await);
    let next = Arc::new(AtomicU32::new(0));
    let (mut ours, mut theirs) = (Side::default(), Side::default());
    for _ in 0..size.rounds {
        let (gate, counter) = (gate.clone(), Arc::clone(&next));
        let tell = move || {
            let (gate, index) = (gate.clone(), counter.fetch_add(1, Ordering::Relaxed));
            async move { drop(gate.suppress(&ask(), wish(index)).await.unwrap()) }
        };
        ours.add(load(CALLERS, size.span, home.server(), tell).await);
        let bare = Arc::clone(&bare);
        let write = move || {
            let bare = Arc::clone(&bare);
            async move { insert(&bare).await }
        };
        theirs.add(load(CALLERS, size.span, home.server(), write).await);
    }
    let ratio = ratios(&ours.rate, &theirs.rate);
    table.row(vec![
        engine.name().to_owned(),
        CALLERS.to_string(),
        ours.rate.show(0),
        theirs.rate.show(0),
        ratio.show(2),
        GOAL.show(),
        GOAL.verdict(ratio.median()),
        ours.latency(),
        theirs.latency(),
    ]);
}

/// As many connections as callers where the database lets several write.
async fn ceiling(twin: &Home) -> Bare {
    match twin.engine {
        Engine::Sqlite => twin.bare().await,
        Engine::Postgres => {
            let pool = PgPoolOptions::new().max_connections(CALLERS as u32);
            Bare::Postgres(pool.connect(&twin.config.url).await.unwrap())
        }
    }
}

async fn insert(bare: &Bare) {
    const SQL: &str = "INSERT INTO suppressions (suppression_id, tenant_id, number_key, channels, reason, source, received_time,
        create_time, actor) VALUES ($1, 'default', $2, '', 'party_request', 'agent', 1, 1, 'bench')";
    // As ours are: by the time, so that the end of the index is warm.
    let id = SuppressionId::new(scene::wall());
    let key: Vec<u8> = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()]
        .iter()
        .flat_map(|half| half.into_bytes())
        .collect();
    on!(bare, |pool| {
        let insert = sqlx::query(SQL).bind(id.0).bind(key);
        insert.execute(pool).await.map(drop).unwrap()
    });
}

fn ask() -> Ask {
    Ask {
        principal: Principal {
            tenant: TenantId::default(),
            api_key_id: Some(ApiKeyId(uuid::Uuid::new_v4())),
            name: "bench".to_owned(),
            role: Role::Administrator,
        },
        request_id: RequestId(uuid::Uuid::new_v4()),
        method: "CreateSuppression",
        digest: [1; 32],
        at: scene::wall(),
    }
}

/// Of a stranger's number, no two alike.
fn wish(index: u32) -> NewSuppression {
    NewSuppression {
        number: Some(Phone::parse(&format!("+1404{:07}", 2_000_000 + index)).unwrap()),
        party_id: None,
        account: None,
        seller: None,
        channels: Vec::new(),
        purposes: Vec::new(),
        reason: SuppressionReason::PartyRequest,
        source: SuppressionSource::Agent,
        received_at: None,
        expires_at: None,
        evidence_ref: None,
        note: None,
    }
}
