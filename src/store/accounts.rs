//! Accounts: which organisation people belong to, and belonged to. A link that ended stays, for who leaves an account after an
//! opt-out of it is still bound by it ([`Suppression::follows_member`]).
//!
//! Found by the account's key alone; its name lies sealed under the person's key, like the rest of what is known of them.

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::sql::Text as _;
use super::vault::{DataKey, Label};
use super::{Result, StoreError, Tx, insert_rows, on, row};
use crate::domain::account::{Account, AccountKey};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::{CLOCKS_APART, Micros};

row!(MembershipRow {
    party_id: Uuid,
    account_key: Vec<u8>,
    end_time: Option<i64>,
});

/// That a person belongs to an account, or belonged to it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Membership {
    pub(super) party_id: PartyId,
    pub(super) account: AccountKey,
    /// When they left it.
    pub(super) left_at: Option<Micros>,
}

impl Tx {
    /// The accounts that these people belong to or belonged to.
    pub(super) async fn memberships(
        &mut self,
        tenant: &TenantId,
        parties: &[PartyId],
    ) -> Result<Vec<Membership>> {
        if parties.is_empty() {
            return Ok(Vec::new());
        }
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let rows: Vec<MembershipRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(MembershipRow::COLUMNS)
                .text(" FROM party_accounts WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&parties);
            query.build_query_as().fetch_all(conn).await
        })?;
        let membership = |row: MembershipRow| {
            Ok(Membership {
                party_id: PartyId(row.party_id),
                account: account_key(&row.account_key)?,
                left_at: row.end_time.map(Micros),
            })
        };
        rows.into_iter().map(membership).collect()
    }

    /// The account that a person belongs to now, by the person's key.
    pub(super) async fn account_at_present(
        &mut self,
        party: PartyId,
        key: &DataKey,
    ) -> Result<Option<Account>> {
        const SQL: &str =
            "SELECT sealed_account FROM party_accounts WHERE party_id = $1 AND end_time IS NULL";
        let sealed: Option<Option<Vec<u8>>> = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(party.0)
            .fetch_optional(conn)
            .await)?;
        let Some(sealed) = sealed.flatten() else {
            return Ok(None);
        };
        let name = key.open(Label::Account, &sealed)?;
        let name = std::str::from_utf8(&name).ok();
        name.and_then(|name| Account::parse(name).ok())
            .map(Some)
            .ok_or(StoreError::Damaged { what: "account" })
    }

    /// Records to which account a person belongs from now on; any other one they leave.
    pub(super) async fn tell_account(
        &mut self,
        tenant: &TenantId,
        party: PartyId,
        account: Option<&Account>,
        key: &DataKey,
        at: Micros,
    ) -> Result<()> {
        const LEAVE: &str = "UPDATE party_accounts SET end_time = $3
            WHERE tenant_id = $1 AND party_id = $2 AND end_time IS NULL AND account_key <> $4";
        const STAYS: &str = "SELECT count(*) FROM party_accounts
            WHERE tenant_id = $1 AND party_id = $2 AND end_time IS NULL AND account_key = $3";
        let told =
            account.map(|account| (self.vault.account_hasher().key(tenant, account), account));
        // No key is empty: who belongs to none leaves whichever it was.
        let kept = told.map(|(key, _)| key.0.to_vec()).unwrap_or_default();
        on!(self, |conn| sqlx::query(LEAVE)
            .bind(&tenant.0)
            .bind(party.0)
            .bind(at.0)
            .bind(kept)
            .execute(conn)
            .await
            .map(|_| ()))?;
        let Some((account_key, account)) = told else {
            return Ok(());
        };
        let stays: i64 = on!(self, |conn| sqlx::query_scalar(STAYS)
            .bind(&tenant.0)
            .bind(party.0)
            .bind(account_key.0.to_vec())
            .fetch_one(conn)
            .await)?;
        // Sealed anew in any case: who was erased and is recorded again has a new key.
        let rows = [key.seal(Label::Account, account.reveal().as_bytes())?];
        insert_rows!(self, "party_accounts", &rows, |row| {
            tenant_id: "text" = tenant.0.as_str(),
            party_id: "uuid" = party.0,
            account_key: "bytea" = account_key.0.to_vec(),
            sealed_account: "bytea" = row.clone(),
            create_time: "bigint" = at.0,
        }, " ON CONFLICT (tenant_id, account_key, party_id) DO UPDATE SET sealed_account = excluded.sealed_account,
            end_time = NULL")?;
        if stays > 0 {
            return Ok(());
        }
        self.raise_for_member(tenant, party, account_key).await
    }

    /// How many people on record a suppression would cover now beside the number that it names: who holds that number and is
    /// followed to their other numbers, the person, or who belongs to the account or is followed out of it.
    pub async fn people_covered(
        &mut self,
        tenant: &TenantId,
        suppression: &Suppression,
    ) -> Result<i64> {
        const MEMBERS: &str =
            "SELECT count(*) FROM party_accounts WHERE tenant_id = $1 AND account_key = $2
            AND (end_time IS NULL OR $4 AND end_time > $3)";
        match suppression.subject {
            SuppressionSubject::Number(_) => {
                let people = self.followed(tenant, suppression, i64::MAX).await?;
                Ok(i64::try_from(people.len()).unwrap_or(i64::MAX))
            }
            SuppressionSubject::Party(party) => {
                Ok(i64::from(self.knows_party(tenant, party).await?))
            }
            SuppressionSubject::Account(account) => on!(self, |conn| sqlx::query_scalar(MEMBERS)
                .bind(&tenant.0)
                .bind(account.0.to_vec())
                .bind(suppression.told_by().minus(CLOCKS_APART).0)
                .bind(suppression.reason.is_of_person())
                .fetch_one(conn)
                .await),
        }
    }

    /// Whether an opt-out of this account is in force.
    pub async fn account_opted_out(
        &mut self,
        tenant: &TenantId,
        account: &AccountKey,
        at: Micros,
    ) -> Result<bool> {
        const SQL: &str =
            "SELECT count(*) FROM suppressions WHERE tenant_id = $1 AND account_key = $2
            AND lift_time IS NULL AND (expire_time IS NULL OR expire_time > $3)";
        let found: i64 = on!(self, |conn| sqlx::query_scalar(SQL)
            .bind(&tenant.0)
            .bind(account.0.to_vec())
            .bind(at.0)
            .fetch_one(conn)
            .await)?;
        Ok(found > 0)
    }
}

pub(super) fn account_key(bytes: &[u8]) -> Result<AccountKey> {
    bytes
        .try_into()
        .map(AccountKey)
        .map_err(|_| StoreError::Damaged {
            what: "account key",
        })
}
