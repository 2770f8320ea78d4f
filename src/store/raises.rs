//! Opt-outs and the consents of a person who is found to hold the number only afterwards.
//!
//! An opt-out is recorded as coming after every consent on file of whoever held its number then, if clocks cannot tell
//! ([`Tx::last_consent_given`]). Of whoever is given the number later it was not asked, so it is asked when the link is
//! made ([`Tx::upsert_party`]), by the same rule. The answer is written down beside the opt-out, for that person: what the
//! opt-out says of itself stays, and nobody waits for its row.
//!
//! Whoever makes a link locks the number first. So either they see the opt-out, or the opt-out did not have the lock and
//! waits its full time, and then looks who was given the number since.

use std::collections::{HashMap, HashSet};

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::consents::in_doubt;
use super::sql::Text as _;
use super::{Result, Tx, on, row};
use crate::domain::account::AccountKey;
use crate::domain::ids::{PartyId, SuppressionId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::{CLOCKS_APART, Micros};

row!(RaiseRow {
    party_id: Uuid,
    suppression_id: Uuid,
    binds_from: i64,
});

/// From when opt-outs bind people, where that is later than they say.
pub(super) struct Raises(HashMap<(PartyId, SuppressionId), Micros>);

impl Raises {
    /// From when it binds this person.
    pub(super) fn binds_from(&self, suppression: &Suppression, party: PartyId) -> Micros {
        let raised = self.0.get(&(party, suppression.suppression_id));
        let said = suppression.binds_from();
        raised.map_or(said, |raised| said.max(*raised))
    }
}

/// Writes down the last consent in doubt of who holds the number of an unlifted opt-out: `$1` tenant, `$2` number, `$4`
/// what clocks are apart. CROSS JOIN, which SQLite walks in the order written: from the opt-out to who holds its number to
/// their consents, and not over all consents there are.
macro_rules! raise {
    ($which:literal) => {
        concat!(
            "INSERT INTO suppression_raises (tenant_id, party_id, number_key, suppression_id, binds_from)
            SELECT s.tenant_id, n.party_id, s.number_key, s.suppression_id, MAX(c.event_time)
            FROM suppressions AS s CROSS JOIN party_numbers AS n CROSS JOIN consents AS c
            WHERE n.tenant_id = s.tenant_id AND n.number_key = s.number_key AND n.end_time IS NULL
            AND c.tenant_id = n.tenant_id AND c.party_id = n.party_id AND c.action = 'given'
            AND s.tenant_id = $1 AND s.number_key = $2 AND s.lift_time IS NULL AND c.event_time > s.received_time AND ",
            in_doubt!(until "s.received_time + $4", recorded "s.create_time", apart "$4"),
            " AND ",
            $which,
            " GROUP BY s.tenant_id, n.party_id, s.number_key, s.suppression_id
            ON CONFLICT (tenant_id, party_id, suppression_id, number_key, binds_from) DO NOTHING"
        )
    };
}

/// The same of an account, whose key takes the place of the number's.
macro_rules! raise_members {
    ($which:literal) => {
        concat!(
            "INSERT INTO suppression_raises (tenant_id, party_id, number_key, suppression_id, binds_from)
            SELECT s.tenant_id, m.party_id, s.account_key, s.suppression_id, MAX(c.event_time)
            FROM suppressions AS s CROSS JOIN party_accounts AS m CROSS JOIN consents AS c
            WHERE m.tenant_id = s.tenant_id AND m.account_key = s.account_key AND m.end_time IS NULL
            AND c.tenant_id = m.tenant_id AND c.party_id = m.party_id AND c.action = 'given' AND s.tenant_id = $1 AND s.account_key = $2 AND s.lift_time IS NULL AND c.event_time > s.received_time AND ",
            in_doubt!(until "s.received_time + $4", recorded "s.create_time", apart "$4"),
            " AND ",
            $which,
            " GROUP BY s.tenant_id, m.party_id, s.account_key, s.suppression_id
            ON CONFLICT (tenant_id, party_id, suppression_id, number_key, binds_from) DO NOTHING"
        )
    };
}

impl Tx {
    /// Lets the unlifted opt-outs of these numbers, which this person did not hold until now, come after those of their
    /// consents that are not certain to be newer.
    pub(super) async fn raise_for_holder(
        &mut self,
        tenant: &TenantId,
        party: PartyId,
        keys: &HashSet<NumberKey>,
    ) -> Result<()> {
        const SQL: &str = raise!("n.party_id = $3");
        for key in keys {
            self.raise(SQL, tenant, key.0, party.0).await?;
        }
        Ok(())
    }

    /// Lets the unlifted opt-outs of this account come after those of this person's consents that are not certain to be
    /// newer.
    pub(super) async fn raise_for_member(
        &mut self,
        tenant: &TenantId,
        party: PartyId,
        account: AccountKey,
    ) -> Result<()> {
        const SQL: &str = raise_members!("m.party_id = $3");
        self.raise(SQL, tenant, account.0, party.0).await
    }

    /// The same of one opt-out, and of who was given its number, or joined its account, while it was being recorded. To be
    /// asked before they are bound ([`Tx::bind_holders`]): with those who are bound already it was settled. Who belongs to an
    /// account is not written down with its opt-out, so all of them are asked again: a consent that was told in the two
    /// seconds before the answer is in doubt.
    pub async fn raise_for_new_holders(
        &mut self,
        tenant: &TenantId,
        suppression: &Suppression,
    ) -> Result<()> {
        const SQL: &str = raise!(
            "s.suppression_id = $3 AND NOT EXISTS (SELECT 1 FROM suppression_holders AS h WHERE h.tenant_id = n.tenant_id
                AND h.party_id = n.party_id AND h.number_key = n.number_key AND h.suppression_id = s.suppression_id)"
        );
        const MEMBERS: &str = raise_members!("s.suppression_id = $3");
        let id = suppression.suppression_id.0;
        match suppression.subject {
            SuppressionSubject::Number(key) if suppression.reason.is_of_person() => {
                self.raise(SQL, tenant, key.0, id).await
            }
            SuppressionSubject::Account(account) => {
                self.raise(MEMBERS, tenant, account.0, id).await
            }
            _ => Ok(()),
        }
    }

    async fn raise(
        &mut self,
        sql: &'static str,
        tenant: &TenantId,
        key: [u8; 32],
        which: Uuid,
    ) -> Result<()> {
        on!(self, |conn| sqlx::query(sql)
            .bind(&tenant.0)
            .bind(key.to_vec())
            .bind(which)
            .bind(Micros(0).plus(CLOCKS_APART).0)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// What is on record of these people, for these opt-outs of theirs.
    pub(super) async fn raises(
        &mut self,
        tenant: &TenantId,
        parties: &[Uuid],
        suppressions: &[Suppression],
    ) -> Result<Raises> {
        // Of most people nothing is on record that blocks.
        if suppressions.is_empty() {
            return Ok(Raises(HashMap::new()));
        }
        let rows: Vec<RaiseRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT party_id, suppression_id, MAX(binds_from) AS binds_from FROM suppression_raises WHERE tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(parties)
                .text(" GROUP BY party_id, suppression_id");
            query.build_query_as().fetch_all(conn).await
        })?;
        let raised = |row: RaiseRow| {
            let of_whom = (PartyId(row.party_id), SuppressionId(row.suppression_id));
            (of_whom, Micros(row.binds_from))
        };
        Ok(Raises(rows.into_iter().map(raised).collect()))
    }
}
