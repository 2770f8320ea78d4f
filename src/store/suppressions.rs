//! Opt-outs and what else blocks.
use super::{ListQuery, Page, Result, Tx};
use crate::domain::call::CallKind;
use crate::domain::filter::Field;
use crate::domain::ids::{SuppressionId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Lift, Suppression, SuppressionSubject};
use crate::domain::time::Micros;

/// What suppressions can be filtered by.
pub const SUPPRESSION_FIELDS: &[Field] = &[];

impl Tx {
    /// Records a suppression.
    pub async fn insert_suppression(&mut self, tenant: &TenantId, new: &Suppression) -> Result<()> {
        todo!()
    }
    /// One suppression, lifted or not.
    pub async fn suppression(
        &mut self,
        tenant: &TenantId,
        id: SuppressionId,
    ) -> Result<Option<Suppression>> {
        todo!()
    }
    /// Suppressions, newest recorded first.
    pub async fn list_suppressions(
        &mut self,
        tenant: &TenantId,
        q: &ListQuery,
    ) -> Result<Page<Suppression>> {
        todo!()
    }
    /// Lifts a suppression; false = it was lifted already or never there.
    pub async fn lift_suppression(
        &mut self,
        tenant: &TenantId,
        id: SuppressionId,
        lift: &Lift,
    ) -> Result<bool> {
        todo!()
    }
    /// Unlifted, unexpired suppressions of these numbers and of the people who hold them; of this seller, or of any.
    pub async fn covering(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
        seller: Option<&str>,
        at: Micros,
    ) -> Result<Vec<(NumberKey, Suppression)>> {
        todo!()
    }
    /// An unlifted, never expiring suppression of the same subject and of equal or wider scope.
    pub async fn same_suppression(
        &mut self,
        tenant: &TenantId,
        subject: SuppressionSubject,
        seller: Option<&str>,
        channels: &[CallKind],
    ) -> Result<Option<Suppression>> {
        todo!()
    }
}
