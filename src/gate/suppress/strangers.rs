//! Numbers that nobody holds or held. Nearly all opt-outs are about one of them: nobody's other numbers, consents or calls are
//! to be looked at for it, and what is on record of many of them is asked for at once.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::TenantId;
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;
use crate::store::{StoreError, Tx};

/// Opt-outs by what they are about.
#[derive(Default)]
pub(in crate::gate) struct Wishes(HashMap<SuppressionSubject, Vec<Suppression>>);

impl Extend<Suppression> for Wishes {
    fn extend<T: IntoIterator<Item = Suppression>>(&mut self, wishes: T) {
        for wish in wishes {
            self.0.entry(wish.subject).or_default().push(wish);
        }
    }
}

impl Wishes {
    /// What says all of this wish, as for a single one.
    pub fn find(&self, wish: &Suppression, said_at: Micros) -> Option<&Suppression> {
        let theirs = self.0.get(&wish.subject)?.iter();
        theirs
            .filter(|old| old.says_all_of(wish, said_at))
            .max_by_key(|old| old.binds_from())
    }
}

/// Which of some numbers are strangers', and the lasting opt-outs of these.
#[derive(Default)]
pub(in crate::gate) struct Strangers {
    keys: HashSet<NumberKey>,
    lasting: Wishes,
}

impl Strangers {
    /// Looks at more of them. The keys of two tenants are never the same, so they may come of several.
    pub async fn look(
        &mut self,
        tx: &mut Tx,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let linked = tx.linked_numbers(tenant, keys).await?;
        let strangers = keys.iter().filter(|key| !linked.contains(key));
        let strangers: Vec<NumberKey> = strangers.copied().collect();
        if !strangers.is_empty() {
            let lasting = tx.lasting_suppressions(tenant, &strangers).await?;
            self.lasting.extend(lasting);
        }
        self.keys.extend(strangers);
        Ok(())
    }

    /// The number, if the opt-out is about a stranger's.
    pub fn number(&self, wish: &Suppression) -> Option<NumberKey> {
        let number = wish.subject.number();
        number.filter(|key| self.keys.contains(key))
    }

    /// What is there already and says all of this wish about a stranger's number.
    pub fn find(&self, wish: &Suppression, said_at: Micros) -> Option<&Suppression> {
        // What lasts does not stand for what expires, whose end is to be known.
        let lasts = wish.expires_at.is_none();
        self.lasting.find(wish, said_at).filter(|_| lasts)
    }

    /// One that is recorded now.
    pub fn add(&mut self, wish: &Suppression) {
        if wish.expires_at.is_none() {
            self.lasting.extend([wish.clone()]);
        }
    }

    /// Those that somebody was given since are strangers' no more.
    pub async fn look_again(
        &mut self,
        tx: &mut Tx,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<(), StoreError> {
        let mine = keys.iter().filter(|key| self.keys.contains(key));
        let mine: Vec<NumberKey> = mine.copied().collect();
        if !mine.is_empty() {
            for linked in tx.linked_numbers(tenant, &mine).await? {
                self.keys.remove(&linked);
            }
        }
        Ok(())
    }
}
