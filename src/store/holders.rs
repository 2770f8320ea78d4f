//! Who held a number when an opt-out of it was told, so that nobody shakes a wish off by giving the number up.
//!
//! The end of a link is written by one node's clock and the time of an opt-out by another's, so they say nothing about which
//! came first. Two things do. Ending a link reads the opt-outs on record and ends it after them ([`Tx::upsert_party`]). And
//! an opt-out writes down who held its number: the transaction that ends the link may have looked before the opt-out was
//! committed, and must not be waited for. So of the two, at least one sees the other, and no lock is needed.

use super::{Result, Tx, on};
use crate::domain::ids::TenantId;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;

/// The links between people and numbers, each with the latest end that anybody knows of: in place of the table wherever it
/// is asked whom an opt-out follows.
macro_rules! links {
    () => {
        "(SELECT l.tenant_id, l.party_id, l.number_key, l.sealed_number, l.line_type, l.registers, l.reassigned_check,
            CASE WHEN l.end_time IS NULL THEN NULL ELSE (SELECT MAX(ends.at) FROM (SELECT l.end_time AS at
                UNION ALL SELECT h.held_until FROM suppression_holders AS h WHERE h.tenant_id = l.tenant_id
                    AND h.party_id = l.party_id AND h.number_key = l.number_key) AS ends) END AS end_time
            FROM party_numbers AS l)"
    };
}
pub(super) use links;

impl Tx {
    /// Writes down the people to whom a recorded suppression holds, whatever becomes of their link: who holds its number, or
    /// held it until later than this.
    pub async fn bind_holders(
        &mut self,
        tenant: &TenantId,
        suppression: &Suppression,
        after: Micros,
    ) -> Result<()> {
        const SQL: &str = concat!(
            "INSERT INTO suppression_holders (tenant_id, party_id, number_key, suppression_id, held_until)
            SELECT n.tenant_id, n.party_id, n.number_key, $3, $4 FROM ",
            links!(),
            " AS n WHERE n.tenant_id = $1 AND n.number_key = $2 AND (n.end_time IS NULL OR n.end_time > $5)
            ON CONFLICT (tenant_id, party_id, number_key, suppression_id) DO NOTHING"
        );
        let SuppressionSubject::Number(key) = suppression.subject else {
            return Ok(());
        };
        if !suppression.reason.is_of_person() {
            return Ok(());
        }
        on!(self, |conn| sqlx::query(SQL)
            .bind(&tenant.0)
            .bind(key.0.to_vec())
            .bind(suppression.suppression_id.0)
            .bind(suppression.told_by().0.saturating_add(1))
            .bind(after.0)
            .execute(conn)
            .await
            .map(|_| ()))
    }
}
