//! The ceiling of durable decisions: the best straightforward writer of the same rows. It knows nothing of people or law; it
//! takes whatever waits, at most 256, writes it as one transaction and answers, as the gate does.
//!
//! The rows are those that the gate wrote for the same people: same columns, same bytes, under new identifiers.

use std::sync::Arc;

use dialgate::domain::ids::DecisionId;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::home::{Bare, on};

/// As many as the gate decides at once.
const BATCH_MAX: usize = 256;

/// Rows of one VALUES. The sizes are few, so that every statement stays prepared.
const CHUNKS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];

/// What one check leaves, but for the identifiers: a decision and its audit entry.
#[derive(Debug, Clone)]
pub struct Row {
    tenant_id: String,
    stage: String,
    call_id: Option<Uuid>,
    party_id: Uuid,
    number_key: Vec<u8>,
    campaign_id: String,
    create_time: i64,
    verdict: String,
    denied_by: String,
    judgement: String,
    pack_version: String,
    pack_sha256: String,
    zone_data: String,
    sealed_case: Option<Vec<u8>>,
    actor: String,
    kind: String,
    subject_key: Option<Vec<u8>>,
    payload: String,
}

macro_rules! from_row {
    ($driver:ty: $($column:ident),+) => {
        impl sqlx::FromRow<'_, $driver> for Row {
            fn from_row(row: &$driver) -> sqlx::Result<Self> {
                use sqlx::Row as _;
                Ok(Self { $($column: row.try_get(stringify!($column))?),+ })
            }
        }
    };
    ($($columns:tt)+) => {
        from_row!(sqlx::postgres::PgRow: $($columns)+);
        from_row!(sqlx::sqlite::SqliteRow: $($columns)+);
    };
}
from_row!(
    tenant_id,
    stage,
    call_id,
    party_id,
    number_key,
    campaign_id,
    create_time,
    verdict,
    denied_by,
    judgement,
    pack_version,
    pack_sha256,
    zone_data,
    sealed_case,
    actor,
    kind,
    subject_key,
    payload
);

impl Row {
    /// Those that checks have left so far.
    pub async fn read(bare: &Bare) -> Vec<Self> {
        const SQL: &str = "SELECT d.tenant_id, d.stage, d.call_id, d.party_id, d.number_key, d.campaign_id, d.create_time,
                d.verdict, d.denied_by, d.judgement, d.pack_version, d.pack_sha256, d.zone_data, d.sealed_case, d.actor,
                a.kind, a.subject_key, a.payload
            FROM decisions AS d JOIN audit_entries AS a
                ON a.subject_key = d.number_key AND a.create_time = d.create_time AND a.kind = 'decision'";
        let rows: Vec<Self> = on!(bare, |pool| sqlx::query_as(SQL).fetch_all(pool).await).unwrap();
        assert!(!rows.is_empty(), "the gate has written nothing");
        rows
    }

    /// Bytes of its columns, as the driver sends them.
    pub fn bytes(&self) -> usize {
        let texts = [
            &self.tenant_id,
            &self.stage,
            &self.campaign_id,
            &self.verdict,
            &self.denied_by,
            &self.judgement,
            &self.pack_version,
            &self.pack_sha256,
            &self.zone_data,
            &self.actor,
            &self.tenant_id,
            &self.kind,
            &self.actor,
            &self.payload,
        ];
        let texts: usize = texts.iter().map(|text| text.len()).sum();
        let sealed = self.sealed_case.as_ref().map_or(0, Vec::len);
        // Two identifiers and the person's, two keys, two instants.
        texts + sealed + 3 * 16 + 2 * 32 + 2 * 8
    }

    /// Bytes of the text that says what every rule says.
    pub fn judgement_bytes(&self) -> usize {
        self.judgement.len()
    }

    /// How many rules it tells of.
    pub fn rules(&self) -> usize {
        self.judgement.matches("\"rule\":").count()
    }

    pub fn is_allow(&self) -> bool {
        self.verdict == "allow"
    }
}

/// An identifier as the gate makes them: ordered by time.
fn fresh() -> Uuid {
    DecisionId::new(super::scene::wall()).0
}

type Job = (usize, oneshot::Sender<()>);

/// A task that writes.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Job>,
}

impl Writer {
    pub fn start(bare: Bare, rows: Arc<Vec<Row>>) -> Self {
        let (queue, jobs) = mpsc::channel(4096);
        tokio::spawn(run(bare, rows, jobs));
        Self { queue }
    }

    /// Writes the rows of one decision; they are durable when this returns.
    pub async fn write(&self, index: usize) {
        let (reply, answer) = oneshot::channel();
        self.queue.send((index, reply)).await.unwrap();
        answer.await.unwrap();
    }
}

async fn run(bare: Bare, rows: Arc<Vec<Row>>, mut jobs: mpsc::Receiver<Job>) {
    let texts = Texts::new();
    let mut waiting = Vec::new();
    while jobs.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        let batch: Vec<&Row> = waiting
            .iter()
            .map(|(index, _)| &rows[index % rows.len()])
            .collect();
        match &bare {
            Bare::Postgres(pool) => postgres(pool, &batch).await,
            Bare::Sqlite(pool) => sqlite(pool, &texts, &batch).await,
        }
        for (_, reply) in waiting.drain(..) {
            let _ = reply.send(());
        }
    }
}

/// One statement and no explicit transaction: one round trip.
async fn postgres(pool: &PgPool, rows: &[&Row]) {
    const SQL: &str = "WITH decided AS (
            INSERT INTO decisions (decision_id, tenant_id, stage, call_id, party_id, number_key, campaign_id, create_time,
                verdict, denied_by, judgement, pack_version, pack_sha256, zone_data, sealed_case, actor)
            SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::bytea[], $7::text[],
                $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bytea[],
                $16::text[]))
        INSERT INTO audit_entries (entry_id, tenant_id, kind, actor, subject_key, payload, create_time)
        SELECT * FROM UNNEST($17::uuid[], $2::text[], $18::text[], $16::text[], $19::bytea[], $20::text[], $8::bigint[])";
    fn all<'a, T>(rows: &[&'a Row], column: impl Fn(&'a Row) -> T) -> Vec<T> {
        rows.iter().map(|row| column(row)).collect()
    }
    let done = sqlx::query(SQL)
        .bind(all(rows, |_| fresh()))
        .bind(all(rows, |row| row.tenant_id.as_str()))
        .bind(all(rows, |row| row.stage.as_str()))
        .bind(all(rows, |row| row.call_id))
        .bind(all(rows, |row| row.party_id))
        .bind(all(rows, |row| row.number_key.as_slice()))
        .bind(all(rows, |row| row.campaign_id.as_str()))
        .bind(all(rows, |row| row.create_time))
        .bind(all(rows, |row| row.verdict.as_str()))
        .bind(all(rows, |row| row.denied_by.as_str()))
        .bind(all(rows, |row| row.judgement.as_str()))
        .bind(all(rows, |row| row.pack_version.as_str()))
        .bind(all(rows, |row| row.pack_sha256.as_str()))
        .bind(all(rows, |row| row.zone_data.as_str()))
        .bind(all(rows, |row| row.sealed_case.as_deref()))
        .bind(all(rows, |row| row.actor.as_str()))
        .bind(all(rows, |_| fresh()))
        .bind(all(rows, |row| row.kind.as_str()))
        .bind(all(rows, |row| row.subject_key.as_deref()))
        .bind(all(rows, |row| row.payload.as_str()))
        .execute(pool)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), rows.len() as u64);
}

/// The statements of each chunk size.
struct Texts {
    decisions: Vec<Arc<str>>,
    entries: Vec<Arc<str>>,
}

impl Texts {
    fn new() -> Self {
        let text = |head: &str, columns: usize, rows: usize| {
            let marks = format!("({})", vec!["?"; columns].join(", "));
            format!("{head} VALUES {}", vec![marks; rows].join(", ")).into()
        };
        let decisions = "INSERT INTO decisions (decision_id, tenant_id, stage, call_id, party_id, number_key, campaign_id,
            create_time, verdict, denied_by, judgement, pack_version, pack_sha256, zone_data, sealed_case, actor)";
        let entries = "INSERT INTO audit_entries (entry_id, tenant_id, kind, actor, subject_key, payload, create_time)";
        Self {
            decisions: CHUNKS
                .iter()
                .map(|rows| text(decisions, 16, *rows))
                .collect(),
            entries: CHUNKS.iter().map(|rows| text(entries, 7, *rows)).collect(),
        }
    }
}

async fn sqlite(pool: &SqlitePool, texts: &Texts, rows: &[&Row]) {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut rest = rows;
    while !rest.is_empty() {
        let size = CHUNKS.iter().position(|size| *size <= rest.len()).unwrap();
        let (chunk, after) = rest.split_at(CHUNKS[size]);
        rest = after;
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.decisions[size])));
        for row in chunk {
            query = query
                .bind(fresh())
                .bind(row.tenant_id.as_str())
                .bind(row.stage.as_str())
                .bind(row.call_id)
                .bind(row.party_id)
                .bind(row.number_key.as_slice())
                .bind(row.campaign_id.as_str())
                .bind(row.create_time)
                .bind(row.verdict.as_str())
                .bind(row.denied_by.as_str())
                .bind(row.judgement.as_str())
                .bind(row.pack_version.as_str())
                .bind(row.pack_sha256.as_str())
                .bind(row.zone_data.as_str())
                .bind(row.sealed_case.as_deref())
                .bind(row.actor.as_str());
        }
        query.execute(&mut *tx).await.unwrap();
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&texts.entries[size])));
        for row in chunk {
            query = query
                .bind(fresh())
                .bind(row.tenant_id.as_str())
                .bind(row.kind.as_str())
                .bind(row.actor.as_str())
                .bind(row.subject_key.as_deref())
                .bind(row.payload.as_str())
                .bind(row.create_time);
        }
        query.execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}
