//! The law as it was and is: packs by the hash that decisions name, the history of activations, and regional stops.
//!
//! INVARIANT: a transaction that judges holds the policy's lock shared from before it reads what is in force until it
//! ends; one that changes it holds the lock alone. So nothing is committed by a pack after another one was activated. The
//! lock comes before every number lock.

use sha2::{Digest as _, Sha256};
use sqlx::QueryBuilder;
use uuid::Uuid;

use super::paging::{CREATE_TIME, field, push_list};
use super::parties::word;
use super::sql::Text as _;
use super::{ListQuery, Page, Result, Tx, insert_rows, on, row};
use crate::domain::filter::{Field, FieldKind};
use crate::domain::ids::{ActivationId, RegionStopId, TenantId};
use crate::domain::policy::{Activation, PackOrigin, RegionStop, RegionStopLift};
use crate::domain::time::Micros;

/// What activations can be filtered by.
pub const ACTIVATION_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("activation_id", FieldKind::Uuid),
    field("sha256", FieldKind::Text),
    field("base_sha256", FieldKind::Text),
    field("version", FieldKind::Text),
    field(
        "origin",
        FieldKind::Words(|word| word.parse::<PackOrigin>().err()),
    ),
    field("actor", FieldKind::Text),
];

/// What regional stops can be filtered by.
pub const REGION_STOP_FIELDS: &[Field] = &[
    CREATE_TIME,
    field("stop_id", FieldKind::Uuid),
    field("region", FieldKind::Text),
    field("start_time", FieldKind::Time),
    field("expire_time", FieldKind::Time),
    field("lift_time", FieldKind::Time),
    field("actor", FieldKind::Text),
];

/// What a decision has to know of the policy: which pack, and where nobody is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInForce {
    /// Which activation.
    pub epoch: i64,
    /// Hash of the pack.
    pub sha256: String,
    /// Regions that are stopped at the instant asked for.
    pub stops: Vec<String>,
}

/// A pack to keep.
#[derive(Debug, Clone, Copy)]
pub struct NewPack<'a> {
    /// The hash that decisions name.
    pub sha256: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its files, name and text.
    pub files: &'a [(&'a str, &'a str)],
    /// Who brought it.
    pub actor: &'a str,
}

row!(InForceRow {
    epoch: i64,
    sha256: String,
    region: Option<String>,
});

row!(FileRow {
    name: String,
    content: String,
});

row!(ActivationRow {
    activation_id: Uuid,
    epoch: i64,
    sha256: String,
    base_sha256: String,
    version: String,
    origin: String,
    reason: String,
    actor: String,
    create_time: i64,
});

row!(StopRow {
    stop_id: Uuid,
    region: String,
    reason: String,
    start_time: Option<i64>,
    expire_time: i64,
    actor: String,
    create_time: i64,
    lift_time: Option<i64>,
    lift_reason: Option<String>,
    lift_actor: Option<String>,
});

/// The first half of the key of PostgreSQL's advisory lock; the second is the tenant's.
const LOCK: i32 = 0x6469_616c;

impl Tx {
    /// Takes part in the policy until the transaction ends: nobody changes it meanwhile. A statement of its own, so that
    /// what is read afterwards is newer than the lock. SQLite: nothing, for a writer is alone.
    pub async fn share_policy(&mut self, tenant: &TenantId) -> Result<()> {
        const SQL: &str = "SELECT pg_advisory_xact_lock_shared($1, hashtext($2))";
        self.lock_tenant(SQL, LOCK, tenant).await
    }

    /// Takes the policy alone until the transaction ends: every transaction that judges has ended, none begins.
    pub async fn own_policy(&mut self, tenant: &TenantId) -> Result<()> {
        const SQL: &str = "SELECT pg_advisory_xact_lock($1, hashtext($2))";
        self.lock_tenant(SQL, LOCK, tenant).await
    }

    /// The pack that decides and the regions stopped at this instant; none before the first activation.
    pub async fn policy_in_force(
        &mut self,
        tenant: &TenantId,
        at: Micros,
    ) -> Result<Option<PolicyInForce>> {
        const SQL: &str = "SELECT a.epoch, a.sha256, s.region FROM (
                SELECT tenant_id, epoch, sha256 FROM activations WHERE tenant_id = $1 ORDER BY epoch DESC LIMIT 1
            ) AS a LEFT JOIN region_stops AS s ON s.tenant_id = a.tenant_id AND s.lift_time IS NULL
                AND (s.start_time IS NULL OR s.start_time <= $2) AND s.expire_time > $2 ORDER BY s.region";
        let rows: Vec<InForceRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(at.0)
            .fetch_all(conn)
            .await)?;
        let mut in_force: Option<PolicyInForce> = None;
        for row in rows {
            let policy = in_force.get_or_insert(PolicyInForce {
                epoch: row.epoch,
                sha256: row.sha256,
                stops: Vec::new(),
            });
            policy.stops.extend(row.region);
        }
        if let Some(policy) = &mut in_force {
            policy.stops.dedup();
        }
        Ok(in_force)
    }

    /// Keeps a pack; one that is kept already stays as it is. Files of the same text are kept once.
    pub async fn insert_pack(
        &mut self,
        tenant: &TenantId,
        pack: NewPack<'_>,
        at: Micros,
    ) -> Result<()> {
        const SQL: &str = "INSERT INTO packs (tenant_id, sha256, version, actor, create_time)
            VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, sha256) DO NOTHING";
        let added = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(pack.sha256)
            .bind(pack.version)
            .bind(pack.actor)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        if added == 0 {
            return Ok(());
        }
        let mut files: Vec<(String, &str, &str)> = (pack.files.iter())
            .map(|(name, text)| (text_sha256(text), *name, *text))
            .collect();
        insert_rows!(self, "pack_files", &files, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            sha256: "text" = pack.sha256,
            name: "text" = row.1,
            text_sha256: "text" = row.0.as_str(),
        })?;
        // Sorted, so that two who keep the same texts wait for each other in one order; each text once.
        files.sort_unstable();
        files.dedup_by(|one, two| one.0 == two.0);
        insert_rows!(self, "pack_texts", &files, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            text_sha256: "text" = row.0.as_str(),
            content: "text" = row.2,
        }, " ON CONFLICT (tenant_id, text_sha256) DO NOTHING")?;
        Ok(())
    }

    /// The files of a pack, name and text; none if no such pack is kept.
    pub async fn pack_files(
        &mut self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Vec<(String, String)>> {
        const SQL: &str = "SELECT f.name, t.content FROM pack_files AS f
            JOIN pack_texts AS t ON t.tenant_id = f.tenant_id AND t.text_sha256 = f.text_sha256
            WHERE f.tenant_id = $1 AND f.sha256 = $2 ORDER BY f.name";
        let rows: Vec<FileRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(sha256)
            .fetch_all(conn)
            .await)?;
        Ok(rows
            .into_iter()
            .map(|row| (row.name, row.content))
            .collect())
    }

    /// Adds to the history. The caller owns the policy, and the epoch is one above the latest.
    pub async fn insert_activation(&mut self, tenant: &TenantId, new: &Activation) -> Result<()> {
        let rows = [new];
        insert_rows!(self, "activations", &rows, |row| {
            activation_id: "uuid" = row.activation_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            epoch: "bigint" = row.epoch,
            sha256: "text" = row.sha256.as_str(),
            base_sha256: "text" = row.base_sha256.as_str(),
            version: "text" = row.version.as_str(),
            origin: "text" = row.origin.as_str(),
            reason: "text" = row.reason.as_str(),
            actor: "text" = row.actor.as_str(),
            create_time: "bigint" = row.at.0,
        })?;
        Ok(())
    }

    /// The activation that is in force.
    pub async fn latest_activation(&mut self, tenant: &TenantId) -> Result<Option<Activation>> {
        let row: Option<ActivationRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ActivationRow::COLUMNS)
                .text(" FROM activations WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" ORDER BY epoch DESC LIMIT 1");
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(Activation::try_from).transpose()
    }

    /// One activation.
    pub async fn activation(
        &mut self,
        tenant: &TenantId,
        id: ActivationId,
    ) -> Result<Option<Activation>> {
        let row: Option<ActivationRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ActivationRow::COLUMNS)
                .text(" FROM activations WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND activation_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        row.map(Activation::try_from).transpose()
    }

    /// Whether a configuration brought this law into force once.
    pub async fn was_configured(&mut self, tenant: &TenantId, base_sha256: &str) -> Result<bool> {
        const SQL: &str = "SELECT COUNT(*) FROM activations
            WHERE tenant_id = $1 AND base_sha256 = $2 AND origin = 'configured'";
        let count: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(base_sha256)
            .fetch_one(conn)
            .await)?;
        Ok(count > 0)
    }

    /// The history, newest first.
    pub async fn activations(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<Activation>> {
        let rows: Vec<ActivationRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(ActivationRow::COLUMNS)
                .text(" FROM activations WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "activation_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        q.page(rows, |row| (row.create_time, row.activation_id))
            .try_map(Activation::try_from)
    }

    /// Records a stop.
    pub async fn insert_region_stop(&mut self, tenant: &TenantId, stop: &RegionStop) -> Result<()> {
        let rows = [stop];
        insert_rows!(self, "region_stops", &rows, |row| {
            stop_id: "uuid" = row.stop_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            region: "text" = row.region.as_str(),
            reason: "text" = row.reason.as_str(),
            start_time: "bigint" = row.starts_at.map(|at| at.0),
            expire_time: "bigint" = row.expires_at.0,
            actor: "text" = row.actor.as_str(),
            create_time: "bigint" = row.recorded_at.0,
        })?;
        Ok(())
    }

    /// Ends a stop before its time; false = it was lifted already or never there.
    pub async fn lift_region_stop(
        &mut self,
        tenant: &TenantId,
        id: RegionStopId,
        lift: &RegionStopLift,
    ) -> Result<bool> {
        const SQL: &str =
            "UPDATE region_stops SET lift_time = $3, lift_reason = $4, lift_actor = $5
            WHERE tenant_id = $1 AND stop_id = $2 AND lift_time IS NULL";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .bind(lift.at.0)
            .bind(&lift.reason)
            .bind(&lift.actor)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }

    /// One stop.
    pub async fn region_stop(
        &mut self,
        tenant: &TenantId,
        id: RegionStopId,
    ) -> Result<Option<RegionStop>> {
        let row: Option<StopRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(StopRow::COLUMNS)
                .text(" FROM region_stops WHERE tenant_id = ")
                .bind_text(&tenant.0);
            query.text(" AND stop_id = ").bind_uuid(id.0);
            query.build_query_as().fetch_optional(conn).await
        })?;
        Ok(row.map(RegionStop::from))
    }

    /// Stops, newest first, ended and lifted ones too.
    pub async fn region_stops(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<RegionStop>> {
        let rows: Vec<StopRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(StopRow::COLUMNS)
                .text(" FROM region_stops WHERE tenant_id = ");
            push_list(&mut query, tenant, q, "stop_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let page = q.page(rows, |row| (row.create_time, row.stop_id));
        page.try_map(|row| Ok(RegionStop::from(row)))
    }
}

fn text_sha256(text: &str) -> String {
    let bytes = Sha256::digest(text.as_bytes());
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl TryFrom<ActivationRow> for Activation {
    type Error = super::StoreError;

    fn try_from(row: ActivationRow) -> Result<Self> {
        Ok(Self {
            activation_id: ActivationId(row.activation_id),
            epoch: row.epoch,
            sha256: row.sha256,
            base_sha256: row.base_sha256,
            version: row.version,
            origin: word(&row.origin, "pack origin")?,
            reason: row.reason,
            actor: row.actor,
            at: Micros(row.create_time),
        })
    }
}

impl From<StopRow> for RegionStop {
    fn from(row: StopRow) -> Self {
        let lift = (row.lift_time, row.lift_reason, row.lift_actor);
        Self {
            stop_id: RegionStopId(row.stop_id),
            region: row.region,
            reason: row.reason,
            starts_at: row.start_time.map(Micros),
            expires_at: Micros(row.expire_time),
            actor: row.actor,
            recorded_at: Micros(row.create_time),
            lift: match lift {
                (Some(at), Some(reason), Some(actor)) => Some(RegionStopLift {
                    at: Micros(at),
                    reason,
                    actor,
                }),
                _ => None,
            },
        }
    }
}
