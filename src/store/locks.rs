//! The lock of a number: it makes an opt-out's answer quick; waiting makes it safe.
use super::{Result, Tx};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::phone::NumberKey;

/// The key under which claims lock a person, so that caps per person hold over all their numbers.
#[must_use]
pub fn party_lock_key(party: PartyId) -> [u8; 32] {
    todo!()
}

impl Tx {
    /// Locks these keys until the transaction ends, in the order of their bytes. A statement of its own: what is read
    /// afterwards is newer than the lock. SQLite: nothing, for a writer is alone.
    pub async fn lock_numbers(&mut self, tenant: &TenantId, keys: &[[u8; 32]]) -> Result<()> {
        todo!()
    }
    /// Tries the same for one number for 250 ms; false = not had, and the transaction goes on.
    pub async fn try_lock_number(&mut self, tenant: &TenantId, key: &NumberKey) -> Result<bool> {
        todo!()
    }
}
