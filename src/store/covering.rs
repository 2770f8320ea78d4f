//! Which suppressions are in force for whom: the statements by which those of numbers, people and accounts are found, and whom
//! each of them follows.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::accounts::Membership;
use super::holders::links;
use super::parties::number_key;
use super::sql::Text as _;
use super::suppressions::SuppressionRow;
use super::{Result, Tx, on, row};
use crate::domain::account::AccountKey;
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;

row!(HeldRow {
    party_id: Uuid,
    number_key: Vec<u8>,
    end_time: Option<i64>,
});

/// Which suppressions are meant.
#[derive(Clone, Copy)]
enum State {
    /// Those that are not lifted and have not expired by then.
    Active(Micros),
    /// Those that were lifted.
    Lifted,
}

/// Whom suppressions are about.
#[derive(Default)]
pub(super) struct About<'a> {
    pub(super) numbers: &'a [NumberKey],
    pub(super) people: &'a [PartyId],
    pub(super) accounts: &'a [AccountKey],
}

/// Subjects, each kind on its own.
#[derive(Default)]
struct Subjects {
    numbers: Vec<NumberKey>,
    people: Vec<PartyId>,
    accounts: Vec<AccountKey>,
}

impl Subjects {
    fn of(subjects: &[SuppressionSubject]) -> Self {
        let mut found = Self::default();
        for subject in subjects {
            match *subject {
                SuppressionSubject::Number(key) => found.numbers.push(key),
                SuppressionSubject::Party(party) => found.people.push(party),
                SuppressionSubject::Account(account) => found.accounts.push(account),
            }
        }
        found
    }

    fn about(&self) -> About<'_> {
        About {
            numbers: &self.numbers,
            people: &self.people,
            accounts: &self.accounts,
        }
    }
}

/// Asks for those in this state.
macro_rules! in_state {
    ($query:ident, $state:expr) => {
        match $state {
            State::Active(at) => $query
                .text(" AND lift_time IS NULL AND (expire_time IS NULL OR expire_time > ")
                .bind_number(at.0)
                .text(")"),
            State::Lifted => $query.text(" AND lift_time IS NOT NULL"),
        }
    };
}

impl Tx {
    /// Unlifted, unexpired suppressions of these numbers, of the people who hold them, of the accounts that these belong to or
    /// left since, and of their other numbers where it follows them from there; those that bind this seller, or all.
    pub async fn covering(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
        seller: Option<&str>,
        at: Micros,
    ) -> Result<Vec<(NumberKey, Suppression)>> {
        let holders = self.parties_by_number(tenant, keys).await?;
        let mut numbers_of: BTreeMap<PartyId, Vec<NumberKey>> = BTreeMap::new();
        for (key, party) in holders {
            numbers_of.entry(party).or_default().push(key);
        }
        let parties: Vec<PartyId> = numbers_of.keys().copied().collect();
        let mut links: BTreeMap<NumberKey, Vec<(PartyId, Option<Micros>)>> =
            keys.iter().map(|key| (*key, Vec::new())).collect();
        for (party, key, held_until) in self.links_of(tenant, &parties).await? {
            links.entry(key).or_default().push((party, held_until));
        }
        let theirs: Vec<NumberKey> = links.keys().copied().collect();
        let mut members: BTreeMap<AccountKey, Vec<Membership>> = BTreeMap::new();
        for membership in self.memberships(tenant, &parties).await? {
            members
                .entry(membership.account)
                .or_default()
                .push(membership);
        }
        let accounts: Vec<AccountKey> = members.keys().copied().collect();
        let about = About {
            numbers: &theirs,
            people: &parties,
            accounts: &accounts,
        };
        let mut found = Vec::new();
        for suppression in self.active_suppressions(tenant, &about, at).await? {
            let binds = match (&suppression.seller, seller) {
                (Some(bound), Some(seller)) => bound == seller,
                _ => true,
            };
            match suppression.subject {
                _ if !binds => {}
                SuppressionSubject::Number(told) => {
                    let people = links.get(&told).into_iter().flatten();
                    let numbers = people
                        .filter(|(_, held_until)| suppression.follows_holder(*held_until))
                        .filter_map(|(party, _)| numbers_of.get(party))
                        .flatten()
                        .chain(keys.iter().filter(|key| **key == told));
                    // Once for each number, though several people share it.
                    let numbers: BTreeSet<NumberKey> = numbers.copied().collect();
                    found.extend(numbers.into_iter().map(|key| (key, suppression.clone())));
                }
                SuppressionSubject::Party(party) => {
                    let numbers = numbers_of.get(&party).into_iter().flatten();
                    found.extend(numbers.map(|key| (*key, suppression.clone())));
                }
                SuppressionSubject::Account(account) => {
                    let people = members.get(&account).into_iter().flatten();
                    let numbers = people
                        .filter(|each| suppression.follows_member(each.left_at))
                        .filter_map(|each| numbers_of.get(&each.party_id))
                        .flatten();
                    let numbers: BTreeSet<NumberKey> = numbers.copied().collect();
                    found.extend(numbers.into_iter().map(|key| (key, suppression.clone())));
                }
            }
        }
        Ok(found)
    }

    /// An unlifted, never expiring suppression of the same subject that says all that this one would, whose wish was said at
    /// this time; the one that binds from the latest time.
    pub async fn same_suppression(
        &mut self,
        tenant: &TenantId,
        wish: &Suppression,
        said_at: Micros,
    ) -> Result<Option<Suppression>> {
        let subjects = Subjects::of(&[wish.subject]);
        // The end of time: what could expire is not as wide as what cannot.
        let active = self
            .active_suppressions(tenant, &subjects.about(), Micros(i64::MAX))
            .await?;
        Ok(active
            .into_iter()
            .filter(|old| old.says_all_of(wish, said_at))
            .max_by_key(Suppression::binds_from))
    }

    /// Unlifted, never expiring suppressions of these numbers, oldest first.
    pub async fn lasting_suppressions(
        &mut self,
        tenant: &TenantId,
        keys: &[NumberKey],
    ) -> Result<Vec<Suppression>> {
        let about = About {
            numbers: keys,
            ..About::default()
        };
        self.active_suppressions(tenant, &about, Micros(i64::MAX))
            .await
    }

    /// Lifted suppressions of these subjects, oldest first.
    pub async fn lifted_suppressions(
        &mut self,
        tenant: &TenantId,
        subjects: &[SuppressionSubject],
    ) -> Result<Vec<Suppression>> {
        let subjects = Subjects::of(subjects);
        self.suppressions_about(tenant, &subjects.about(), State::Lifted)
            .await
    }

    /// Unlifted suppressions of these numbers, people and accounts that have not expired by then, oldest first.
    pub(super) async fn active_suppressions(
        &mut self,
        tenant: &TenantId,
        about: &About<'_>,
        at: Micros,
    ) -> Result<Vec<Suppression>> {
        self.suppressions_about(tenant, about, State::Active(at))
            .await
    }

    async fn suppressions_about(
        &mut self,
        tenant: &TenantId,
        about: &About<'_>,
        state: State,
    ) -> Result<Vec<Suppression>> {
        let keys: Vec<Vec<u8>> = about.numbers.iter().map(|key| key.0.to_vec()).collect();
        let parties: Vec<Uuid> = about.people.iter().map(|party| party.0).collect();
        let accounts: Vec<Vec<u8>> = about.accounts.iter().map(|key| key.0.to_vec()).collect();
        let mut rows: Vec<SuppressionRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            // Parts, of which a suppression meets one: with OR, or with ORDER BY, SQLite would walk over all of the
            // tenant's, whatever the indexes, and by identifiers found beforehand PostgreSQL would, where it has no statistics.
            query
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&keys);
            in_state!(query, state);
            query
                .text(" UNION ALL SELECT ")
                .text(SuppressionRow::COLUMNS)
                .text(" FROM suppressions WHERE tenant_id = ")
                .bind_text(&tenant.0)
                .text(" AND party_id")
                .among_uuids(&parties);
            in_state!(query, state);
            // Most people belong to no account.
            if !accounts.is_empty() {
                query
                    .text(" UNION ALL SELECT ")
                    .text(SuppressionRow::COLUMNS)
                    .text(" FROM suppressions WHERE tenant_id = ")
                    .bind_text(&tenant.0)
                    .text(" AND account_key")
                    .among_keys(&accounts);
                in_state!(query, state);
            }
            query.build_query_as().fetch_all(conn).await
        })?;
        rows.sort_by_key(|row| (row.create_time, row.suppression_id));
        rows.into_iter()
            .map(|row| self.read_suppression(row))
            .collect()
    }

    /// Which numbers these people hold or held, and until when.
    async fn links_of(
        &mut self,
        tenant: &TenantId,
        parties: &[PartyId],
    ) -> Result<Vec<(PartyId, NumberKey, Option<Micros>)>> {
        let parties: Vec<Uuid> = parties.iter().map(|party| party.0).collect();
        let rows: Vec<HeldRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(HeldRow::COLUMNS)
                .text(concat!(" FROM ", links!(), " AS n WHERE tenant_id = "))
                .bind_text(&tenant.0);
            query.text(" AND party_id").among_uuids(&parties);
            query.build_query_as().fetch_all(conn).await
        })?;
        let held = |row: HeldRow| {
            let key = number_key(&row.number_key)?;
            Ok((PartyId(row.party_id), key, row.end_time.map(Micros)))
        };
        rows.into_iter().map(held).collect()
    }
}
