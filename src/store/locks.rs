//! The lock of a number: it makes an opt-out's answer quick; waiting makes it safe (docs/ARCHITECTURE.md, the barrier).
//!
//! INVARIANT: everywhere number locks are taken before calls, and calls before attempts. No foreign key points here.

use sha2::{Digest as _, Sha256};

use super::{Result, StoreError, Tx, on};
use crate::domain::ids::{PartyId, TenantId};

/// The key under which claims lock a person, so that caps per person hold over all their numbers.
#[must_use]
pub fn party_lock_key(party: PartyId) -> [u8; 32] {
    Sha256::new_with_prefix(b"party")
        .chain_update(party.0.as_bytes())
        .finalize()
        .into()
}

impl Tx {
    /// Locks these keys until the transaction ends, in the order of their bytes (claim-3). A statement of its own: what
    /// is read afterwards is newer than the lock. SQLite: nothing, for a writer is alone.
    pub async fn lock_numbers(&mut self, tenant: &TenantId, keys: &[[u8; 32]]) -> Result<()> {
        // The upsert locks whether the row is there or not, and writes no new version of one that is there. `SELECT …
        // FOR UPDATE` of a row not there yet would wait for nobody.
        const SQL: &str = "INSERT INTO number_locks (tenant_id, number_key)
            SELECT $1, t.number_key FROM UNNEST($2::bytea[]) AS t (number_key) ORDER BY 1, 2
            ON CONFLICT (tenant_id, number_key) DO UPDATE SET number_key = excluded.number_key WHERE FALSE";
        let mut keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
        keys.sort_unstable();
        keys.dedup();
        on!(
            self,
            postgres
                | conn
                | sqlx::query(SQL)
                    .bind(&tenant.0)
                    .bind(keys)
                    .execute(conn)
                    .await
                    .map(|_| ()),
            sqlite | _conn | Ok(())
        )
    }

    /// Takes a lock that is of the tenant as a whole, until the transaction ends: an advisory one, by this statement, of this
    /// class. SQLite: nothing, for a writer is alone.
    pub(super) async fn lock_tenant(
        &mut self,
        sql: &'static str,
        class: i32,
        tenant: &TenantId,
    ) -> Result<()> {
        on!(
            self,
            postgres
                | conn
                | sqlx::query(sql)
                    .bind(class)
                    .bind(&tenant.0)
                    .execute(conn)
                    .await
                    .map(|_| ()),
            sqlite | _conn | Ok(())
        )
    }

    /// Tries to lock numbers for 250 ms (opt-out-2); false = not had, and the transaction goes on.
    pub async fn try_lock_numbers(&mut self, tenant: &TenantId, keys: &[[u8; 32]]) -> Result<bool> {
        if !self.savepoint().await? {
            return Ok(true);
        }
        let locked = self.lock_numbers(tenant, keys).await;
        self.end_savepoint(locked).await.map(|had| had.is_some())
    }

    /// Begins what may fail alone, each lock waited for 250 ms at most; false on SQLite, where a writer waits for nobody.
    pub(super) async fn savepoint(&mut self) -> Result<bool> {
        on!(
            self,
            postgres
                | conn
                | async {
                    sqlx::query("SAVEPOINT attempt").execute(&mut *conn).await?;
                    sqlx::query("SET LOCAL lock_timeout = '250ms'")
                        .execute(&mut *conn)
                        .await?;
                    Ok(true)
                }
                .await,
            sqlite | _conn | Ok(false)
        )
    }

    /// Ends it: a lock that was not had undoes it and is no error.
    pub(super) async fn end_savepoint<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => {
                on!(self, |conn| sqlx::query("RELEASE SAVEPOINT attempt")
                    .execute(conn)
                    .await
                    .map(|_| ()))?;
                Ok(Some(value))
            }
            Err(StoreError::LockTimeout) => {
                self.failed = false;
                on!(self, |conn| sqlx::query("ROLLBACK TO SAVEPOINT attempt")
                    .execute(conn)
                    .await
                    .map(|_| ()))?;
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }
}
