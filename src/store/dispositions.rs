//! What agents said of calls. A note is sealed under the person's key.

use uuid::Uuid;

use super::parties::word;
use super::vault::Label;
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::disposition::Disposition;
use crate::domain::ids::{CallId, DispositionId, PartyId, SuppressionId, TenantId};
use crate::domain::time::Micros;

row!(DispositionRow {
    disposition_id: Uuid,
    code: String,
    sealed_note: Option<Vec<u8>>,
    amends: Option<Uuid>,
    suppression_id: Option<Uuid>,
    actor: String,
    create_time: i64,
    party_id: Uuid,
});

impl Tx {
    /// Records a disposition. Its call must be recorded.
    pub async fn insert_disposition(&mut self, tenant: &TenantId, new: &Disposition) -> Result<()> {
        let party = self.party_called(tenant, new.call_id).await?;
        let note = self.seal_for(
            party,
            Label::AgentNote,
            new.note.as_deref().map(str::as_bytes),
        )?;
        let rows = [new];
        insert_rows!(self, "dispositions", &rows, |row| {
            disposition_id: "uuid" = row.disposition_id.0,
            tenant_id: "text" = tenant.0.as_str(),
            call_id: "uuid" = row.call_id.0,
            code: "text" = row.code.as_str(),
            sealed_note: "bytea" = note.clone(),
            amends: "uuid" = row.amends.map(|id| id.0),
            suppression_id: "uuid" = row.suppression_id.map(|id| id.0),
            actor: "text" = row.actor.as_str(),
            create_time: "bigint" = row.at.0,
        })?;
        Ok(())
    }

    /// Locks the call, so that of two first words one sees the other; false = not had in 250 ms, and the transaction goes
    /// on. What is read afterwards is newer than the lock.
    pub async fn hold_for_word(&mut self, tenant: &TenantId, call_id: CallId) -> Result<bool> {
        let saved = self.savepoint().await?;
        let held = self.hold_call(tenant, call_id).await;
        match saved {
            true => self.end_savepoint(held).await.map(|held| held.is_some()),
            false => held.map(|_| true),
        }
    }

    /// Dispositions of a call, oldest first.
    pub async fn dispositions_of(
        &mut self,
        tenant: &TenantId,
        call_id: CallId,
    ) -> Result<Vec<Disposition>> {
        const SQL: &str =
            "SELECT d.disposition_id, d.code, d.sealed_note, d.amends, d.suppression_id, d.actor,
                d.create_time, c.party_id
            FROM dispositions AS d JOIN calls AS c ON c.call_id = d.call_id
            WHERE d.tenant_id = $1 AND d.call_id = $2 ORDER BY d.create_time, d.disposition_id";
        let rows: Vec<DispositionRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(call_id.0)
            .fetch_all(conn)
            .await)?;
        if let Some(row) = rows.first() {
            self.load_keys(tenant, &[PartyId(row.party_id)]).await?;
        }
        rows.into_iter()
            .map(|row| self.read_disposition(call_id, row))
            .collect()
    }

    async fn party_called(&mut self, tenant: &TenantId, call_id: CallId) -> Result<PartyId> {
        const SQL: &str = "SELECT party_id FROM calls WHERE tenant_id = $1 AND call_id = $2";
        let party: Option<Uuid> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(call_id.0)
            .fetch_optional(conn)
            .await)?;
        let told = || StoreError::Other("a disposition's call is not recorded".to_owned());
        let party = PartyId(party.ok_or_else(told)?);
        self.load_keys(tenant, &[party]).await?;
        Ok(party)
    }

    fn read_disposition(&self, call_id: CallId, row: DispositionRow) -> Result<Disposition> {
        let note = self.open_for(
            PartyId(row.party_id),
            Label::AgentNote,
            row.sealed_note.as_deref(),
        )?;
        Ok(Disposition {
            disposition_id: DispositionId(row.disposition_id),
            call_id,
            code: word(&row.code, "disposition")?,
            note: note.map(|note| String::from_utf8_lossy(&note).into_owned()),
            amends: row.amends.map(DispositionId),
            suppression_id: row.suppression_id.map(SuppressionId),
            actor: row.actor,
            at: Micros(row.create_time),
        })
    }
}
