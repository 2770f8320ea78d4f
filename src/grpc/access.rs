//! That somebody looked is on record, too: who was shown what may be about a person, who took an export, who came in with more than
//! an agent's key. The entry is committed before anything is shown; where it cannot be, nothing is.

use serde_json::json;
use tonic::Status;

use crate::domain::access::{Principal, Role};
use crate::domain::ids::{AuditEntryId, TenantId};
use crate::domain::time::Micros;
use crate::store::{AuditEntry, Store, StoreError, Urgency};

use super::{Api, auth, status};

impl Api {
    /// Records that this role is about to be shown readable numbers, names or notes: rows of them, about one subject if they are.
    /// What a role sees masked, and calls and decisions that an agent's own key asked for, leave none.
    pub(super) async fn note_read(
        &self,
        who: &Principal,
        method: &str,
        rows: usize,
        subject_key: Option<[u8; 32]>,
    ) -> Result<(), Status> {
        if rows == 0 || !auth::reads_personal_data(who.role) {
            return Ok(());
        }
        let payload = json!({ "method": method, "role": who.role, "rows": rows });
        self.note(who, "personal_data.read", payload, subject_key)
            .await
    }

    /// Records that somebody takes an export.
    pub(super) async fn note_export(&self, who: &Principal, method: &str) -> Result<(), Status> {
        let payload = json!({ "method": method, "role": who.role });
        self.note(who, "export.taken", payload, None).await
    }

    async fn note(
        &self,
        who: &Principal,
        kind: &str,
        payload: serde_json::Value,
        subject_key: Option<[u8; 32]>,
    ) -> Result<(), Status> {
        let at = self.clock.read().wall;
        let entry = entry(who, kind, payload, (subject_key, at));
        let written = write(self.gate.store(), &who.tenant, entry).await;
        written.map_err(|error| status::from_store(&error))
    }
}

/// Records that somebody comes in with a key that may do more than call.
pub(super) async fn note_entrance(
    store: &Store,
    who: &Principal,
    at: Micros,
) -> Result<(), StoreError> {
    let payload = json!({ "api_key_id": who.api_key_id, "role": who.role });
    let entry = entry(who, "api_key.used", payload, (None, at));
    write(store, &who.tenant, entry).await
}

/// Whether the use of a key of this role is recorded: agents come and go, and what they do leaves entries of its own.
pub(super) fn is_watched(role: Role) -> bool {
    role != Role::Agent
}

fn entry(
    who: &Principal,
    kind: &str,
    payload: serde_json::Value,
    (subject_key, at): (Option<[u8; 32]>, Micros),
) -> AuditEntry {
    AuditEntry {
        entry_id: AuditEntryId::new(at),
        kind: kind.to_owned(),
        actor: who.actor(),
        subject_key,
        payload,
        at,
    }
}

async fn write(store: &Store, tenant: &TenantId, entry: AuditEntry) -> Result<(), StoreError> {
    let mut tx = store.write(Urgency::Ordinary).await?;
    tx.insert_audit(tenant, &[entry]).await?;
    tx.commit().await
}
