//! Credentials: names, roles and hashes, never a secret.
use super::{Result, Tx};
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

impl Tx {
    /// Records a credential.
    pub async fn insert_api_key(&mut self, key: &ApiKey, at: Micros) -> Result<()> {
        todo!()
    }
    /// A credential that is in force.
    pub async fn api_key(&mut self, id: ApiKeyId) -> Result<Option<ApiKey>> {
        todo!()
    }
    /// Every credential, revoked ones too, newest first.
    pub async fn api_keys(&mut self, tenant: &TenantId) -> Result<Vec<StoredApiKey>> {
        todo!()
    }
    /// Revokes a credential; false = it was revoked already or never there.
    pub async fn revoke_api_key(
        &mut self,
        tenant: &TenantId,
        id: ApiKeyId,
        at: Micros,
    ) -> Result<bool> {
        todo!()
    }
}
