//! Credentials: names, roles and hashes, never a secret.

use uuid::Uuid;

use super::parties::word;
use super::{Result, StoreError, Tx, on, row};
use crate::domain::access::ApiKey;
use crate::domain::ids::{ApiKeyId, TenantId};
use crate::domain::time::Micros;

/// A credential with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredApiKey {
    /// The credential.
    pub key: ApiKey,
    /// When it was made.
    pub create_time: Micros,
    /// When it was revoked.
    pub revoke_time: Option<Micros>,
}

row!(ApiKeyRow {
    api_key_id: Uuid,
    tenant_id: String,
    name: String,
    role: String,
    secret_hash: Vec<u8>,
    create_time: i64,
    revoke_time: Option<i64>,
});

impl Tx {
    /// Records a credential.
    pub async fn insert_api_key(&mut self, key: &ApiKey, at: Micros) -> Result<()> {
        const SQL: &str =
            "INSERT INTO api_keys (api_key_id, tenant_id, name, role, secret_hash, create_time)
            VALUES ($1, $2, $3, $4, $5, $6)";
        on!(self, |conn| sqlx::query(SQL)
            .bind(key.api_key_id.0)
            .bind(&key.tenant.0)
            .bind(&key.name)
            .bind(key.role.as_str())
            .bind(key.secret_hash.to_vec())
            .bind(at.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// A credential that is in force.
    pub async fn api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
        const SQL: &str = "SELECT api_key_id, tenant_id, name, role, secret_hash, create_time, revoke_time FROM api_keys
            WHERE api_key_id = $1 AND revoke_time IS NULL";
        let row: Option<ApiKeyRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(id.0)
            .fetch_optional(conn)
            .await)?;
        row.map(|row| StoredApiKey::try_from(row).map(|stored| stored.key))
            .transpose()
    }

    /// Every credential of a tenant, revoked ones too, newest first.
    pub async fn api_keys(&mut self, tenant: &TenantId) -> Result<Vec<StoredApiKey>> {
        const SQL: &str = "SELECT api_key_id, tenant_id, name, role, secret_hash, create_time, revoke_time FROM api_keys
            WHERE tenant_id = $1 ORDER BY create_time DESC, api_key_id DESC";
        let rows: Vec<ApiKeyRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .fetch_all(conn)
            .await)?;
        rows.into_iter().map(StoredApiKey::try_from).collect()
    }

    /// Revokes a credential; false = it was revoked already or never there.
    pub async fn revoke_api_key(
        &mut self,
        tenant: &TenantId,
        id: ApiKeyId,
        at: Micros,
    ) -> Result<bool> {
        const SQL: &str = "UPDATE api_keys SET revoke_time = $3
            WHERE tenant_id = $1 AND api_key_id = $2 AND revoke_time IS NULL";
        let done = on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(id.0)
            .bind(at.0)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))?;
        Ok(done == 1)
    }
}

impl TryFrom<ApiKeyRow> for StoredApiKey {
    type Error = StoreError;

    fn try_from(row: ApiKeyRow) -> Result<Self> {
        Ok(Self {
            key: ApiKey {
                api_key_id: ApiKeyId(row.api_key_id),
                tenant: TenantId(row.tenant_id),
                name: row.name,
                role: word(&row.role, "role")?,
                secret_hash: row
                    .secret_hash
                    .try_into()
                    .map_err(|_| StoreError::Damaged {
                        what: "secret hash",
                    })?,
            },
            create_time: Micros(row.create_time),
            revoke_time: row.revoke_time.map(Micros),
        })
    }
}
