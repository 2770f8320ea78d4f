//! How fast a list of opt-outs is recorded, and what the gate's checks take meanwhile: asked at a steady pace, counted from the
//! instant for which each was planned, without a list and beside one.

use std::time::Duration;

use dialgate::domain::access::{Principal, Role};
use dialgate::domain::ids::{ApiKeyId, RequestId, TenantId};
use dialgate::domain::import::ImportState;
use dialgate::domain::suppression::{SuppressionReason, SuppressionSource};
use dialgate::gate::{
    Ask, Gate, ImportPiece, ListEncoding, ListForm, ListRows, ListSettings, NewImport, Packing,
    SuppressionColumns, SuppressionDefaults, SuppressionRows,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::gate;
use crate::support::figures::{Goal, Sample, Table, percentile, ratios};
use crate::support::home::{Engine, Home};
use crate::support::pace::open_loop;
use crate::support::{Size, block_on, now, scene};

/// Checks a second.
const RATE: u32 = 200;
/// The gate's p99 beside a list, as a multiple of that without.
const SLOWER: Goal = Goal::AtMost(2.0);
/// Rows for each of the people of the size at hand.
const ROWS_A_PERSON: u32 = 10;

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "store",
            "rows",
            "rows/s",
            "checks/s",
            "p99 ms without",
            "p99 ms beside",
            "ratio",
            "goal",
            "verdict",
        ]);
        for engine in Engine::all() {
            measure(engine, size, &mut table).await;
        }
        table.print("A list of opt-outs, and the gate beside it");
    });
}

/// By turns: checks alone, then a list with checks beside it, then alone again. What else the machine does meets both.
async fn measure(engine: Engine, size: &Size, table: &mut Table) {
    let home = Home::new(engine).await;
    scene::introduce(&home.store, size.people).await;
    let gate = gate::open(&home);
    let rows = size.people * ROWS_A_PERSON;
    let (mut rate, mut without, mut beside) =
        (Sample::default(), Sample::default(), Sample::default());
    let p99 = |mut took: Vec<Duration>| percentile(&mut took, 0.99);
    for round in 0..size.rounds as u32 {
        without.0.push(p99(checks(&gate, size).await));
        let text = list(size, round * rows, rows);
        let begun = now();
        let importing = tokio::spawn(import(gate.clone(), text));
        let mut took = Vec::new();
        while !importing.is_finished() {
            took.extend(checks(&gate, size).await);
        }
        beside.0.push(p99(took));
        // The last wait is the barrier's, not the list's.
        let took = importing.await.unwrap() - begun;
        rate.0.push(f64::from(rows) / took.as_secs_f64());
    }
    let ratio = ratios(&beside, &without);
    table.row(vec![
        engine.name().to_owned(),
        rows.to_string(),
        rate.show(0),
        RATE.to_string(),
        without.show(1),
        beside.show(1),
        ratio.show(2),
        SLOWER.show(),
        SLOWER.verdict(ratio.median()),
    ]);
}

/// So many strangers, the first of this index, and a hundredth of them people on record.
fn list(size: &Size, first: u32, rows: u32) -> String {
    let number = |row: u32| match row % 100 {
        0 => scene::number(size.people - 1 - row / 100 % size.people),
        _ => format!("+1404{:07}", 2_000_000 + row),
    };
    (first..first + rows)
        .map(|row| number(row) + "\n")
        .collect()
}

async fn checks(gate: &Gate, size: &Size) -> Vec<Duration> {
    let (gate, people) = (gate.clone(), size.people / 2);
    open_loop(RATE, size.span, move |index| {
        let gate = gate.clone();
        async move { drop(gate.check(scene::question(index % people)).await.unwrap()) }
    })
    .await
}

/// Records the list, and tells when its last row was recorded.
async fn import(gate: Gate, text: String) -> Duration {
    let (send, pieces) = mpsc::channel(4);
    let (tell, mut news) = mpsc::channel(1024);
    let ask = Ask {
        principal: Principal {
            tenant: TenantId::default(),
            api_key_id: Some(ApiKeyId(uuid::Uuid::new_v4())),
            name: "bench".to_owned(),
            role: Role::Administrator,
        },
        request_id: RequestId(uuid::Uuid::new_v4()),
        method: "ImportSuppressions",
        digest: [1; 32],
        at: scene::wall(),
    };
    let new = NewImport {
        content_sha256: Sha256::digest(text.as_bytes()).into(),
        size_bytes: text.len() as u64,
        settings_sha256: [2; 32],
        settings: settings(),
        rows: rows(),
    };
    tokio::spawn(async move {
        for piece in text.as_bytes().chunks(256 * 1024) {
            send.send(ImportPiece::Bytes(piece.to_vec())).await.unwrap();
        }
        send.send(ImportPiece::End).await.unwrap();
    });
    let listening = tokio::spawn(async move {
        let (mut last, mut rows) = (now(), 0);
        while let Some(told) = news.recv().await {
            if let dialgate::gate::ImportNews::Progress(told) = told
                && told.counts.read > rows
            {
                (last, rows) = (now(), told.counts.read);
            }
        }
        last
    });
    let ended = gate.import(&ask, new, pieces, tell).await.unwrap();
    assert_eq!(
        (ended.state, ended.counts.rejected),
        (ImportState::Finished, 0)
    );
    listening.await.unwrap()
}

fn settings() -> ListSettings {
    ListSettings {
        packing: Packing::Plain,
        encoding: ListEncoding::Detected,
        form: ListForm::Lines,
        has_header: false,
        default_country: None,
    }
}

fn rows() -> ListRows {
    ListRows::Suppressions(Box::new(SuppressionRows {
        columns: SuppressionColumns::default(),
        defaults: SuppressionDefaults {
            seller: None,
            channels: Vec::new(),
            purposes: Vec::new(),
            reason: SuppressionReason::PartyRequest,
            source: SuppressionSource::Import,
            received_at: None,
            evidence_ref: None,
            note: None,
        },
    }))
}
