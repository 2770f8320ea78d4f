//! What is known of numbers: who holds them, and what registers and the reassigned-numbers database said of them.
//!
//! Whose number it was when somebody asked a register does not matter: the answer is about the number. So it is kept with
//! the link through which it was told, and holds for everybody who has or had the number.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::QueryBuilder;
use uuid::Uuid;

use super::holders::links;
use super::parties::{PartyDraft, from_json, number_key, parse_phone, word};
use super::sql::Text as _;
use super::vault::Label;
use super::{Result, Tx, on, row};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::party::{LineType, PartyNumber, ReassignedCheck, RegisterCheck};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Micros;

row!(LinkRow {
    party_id: Uuid,
    number_key: Vec<u8>,
    sealed_number: Option<Vec<u8>>,
    line_type: String,
    registers: String,
    reassigned_check: Option<String>,
    end_time: Option<i64>,
});

row!(HolderRow {
    number_key: Vec<u8>,
    party_id: Uuid,
    is_held: bool,
});

row!(ToldRow {
    number_key: Vec<u8>,
    registers: String,
    reassigned_check: Option<String>,
});

/// What is known of one number of one person.
pub(super) struct Link {
    pub(super) number: Option<Phone>,
    pub(super) line_type: LineType,
    /// When it ceased to be theirs.
    pub(super) held_until: Option<Micros>,
}

/// What was told of one number, through whichever link.
#[derive(Default)]
pub(super) struct Told {
    pub(super) registers: Vec<RegisterCheck>,
    pub(super) reassigned_check: Option<ReassignedCheck>,
}

/// Who holds or held some numbers. Most numbers of a list nobody ever did, and of those there is nothing to be read but what
/// blocks them.
#[derive(Default)]
pub struct Links {
    asked: HashSet<NumberKey>,
    found: HashMap<NumberKey, Vec<(PartyId, bool)>>,
    never_blocked: HashSet<NumberKey>,
}

impl Links {
    /// Takes note that no suppression of these numbers was ever recorded, so that none is looked for.
    pub fn note_never_blocked(&mut self, keys: impl Iterator<Item = NumberKey>) {
        self.never_blocked.extend(keys);
    }

    /// Whether a suppression of the number may be on record.
    pub(super) fn may_be_blocked(&self, key: NumberKey) -> bool {
        !self.never_blocked.contains(&key)
    }

    /// Who holds the number now.
    pub fn holders(&self, key: NumberKey) -> impl Iterator<Item = PartyId> {
        let links = self.found.get(&key).into_iter().flatten();
        links
            .filter(|(_, is_held)| *is_held)
            .map(|(party, _)| *party)
    }

    /// Whether somebody may hold the number or have held it; so it is with each that was not asked about.
    pub(super) fn may_have(&self, key: NumberKey) -> bool {
        self.found.contains_key(&key) || !self.asked.contains(&key)
    }
}

/// The links of some people, and what was told of some numbers.
pub(super) struct Numbers {
    pub(super) links: HashMap<(PartyId, NumberKey), Link>,
    pub(super) told: HashMap<NumberKey, Told>,
}

impl Tx {
    /// Who holds or held these numbers.
    pub async fn links(&mut self, tenant: &TenantId, keys: &[NumberKey]) -> Result<Links> {
        let mut links = Links::default();
        if keys.is_empty() {
            return Ok(links);
        }
        let bytes: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let rows: Vec<HolderRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new(
                "SELECT number_key, party_id, end_time IS NULL AS is_held FROM party_numbers WHERE tenant_id = ",
            );
            query
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&bytes);
            query.build_query_as().fetch_all(conn).await
        })?;
        links.asked.extend(keys);
        for row in rows {
            let found = links.found.entry(number_key(&row.number_key)?).or_default();
            found.push((PartyId(row.party_id), row.is_held));
        }
        Ok(links)
    }

    /// All links of these people, and what was told of these numbers by anybody's. Ended links too: an old attempt may have
    /// gone to a number that is no longer theirs, and what a list said of it did not end with the link.
    pub(super) async fn load_numbers(
        &mut self,
        tenant: &TenantId,
        ids: &[Uuid],
        keys: &[NumberKey],
    ) -> Result<Numbers> {
        let mut numbers = Numbers {
            links: HashMap::new(),
            told: HashMap::new(),
        };
        if ids.is_empty() && keys.is_empty() {
            return Ok(numbers);
        }
        let bytes: Vec<Vec<u8>> = keys.iter().map(|key| key.0.to_vec()).collect();
        let mut rows: Vec<LinkRow> = on!(self, |conn| {
            let mut query = QueryBuilder::<Db>::new("SELECT ");
            query
                .text(LinkRow::COLUMNS)
                .text(concat!(" FROM ", links!(), " AS n WHERE tenant_id = "))
                .bind_text(&tenant.0);
            // Not with OR: SQLite would walk over all of the tenant's links, whatever the indexes.
            query
                .text(" AND party_id")
                .among_uuids(ids)
                .text(" UNION SELECT ")
                .text(LinkRow::COLUMNS)
                .text(concat!(" FROM ", links!(), " AS n WHERE tenant_id = "))
                .bind_text(&tenant.0)
                .text(" AND number_key")
                .among_keys(&bytes);
            query.build_query_as().fetch_all(conn).await
        })?;
        // A case is the same whatever order the rows came in.
        rows.sort_unstable_by_key(|row| row.party_id);
        let (people, asked): (HashSet<_>, HashSet<_>) =
            (ids.iter().collect(), keys.iter().collect());
        for row in &rows {
            let key = number_key(&row.number_key)?;
            if asked.contains(&key) {
                let told = numbers.told.entry(key).or_default();
                told.hear(&row.registers, row.reassigned_check.as_deref())?;
            }
            // The key of somebody else's record is not at hand, and their number is not wanted.
            if people.contains(&row.party_id) {
                let party = PartyId(row.party_id);
                numbers.links.insert((party, key), self.read_link(row)?);
            }
        }
        Ok(numbers)
    }

    fn read_link(&self, row: &LinkRow) -> Result<Link> {
        let party = PartyId(row.party_id);
        let number = self.open_for(party, Label::Number, row.sealed_number.as_deref())?;
        Ok(Link {
            number: number.map(|plain| parse_phone(&plain)).transpose()?,
            line_type: word(&row.line_type, "line type")?,
            held_until: row.end_time.map(Micros),
        })
    }

    /// The draft's numbers, each with what was told of it before through a link of this person's, as far as that is newer.
    pub(super) async fn with_what_was_told(
        &mut self,
        tenant: &TenantId,
        draft: &PartyDraft,
    ) -> Result<Vec<PartyNumber>> {
        const SQL: &str = "SELECT number_key, registers, reassigned_check FROM party_numbers
            WHERE tenant_id = $1 AND party_id = $2";
        let rows: Vec<ToldRow> = on!(self, |conn| sqlx::query_as(SQL)
            .bind(&tenant.0)
            .bind(draft.party_id.0)
            .fetch_all(conn)
            .await)?;
        let mut known: BTreeMap<NumberKey, Told> = BTreeMap::new();
        for row in rows {
            let told = known.entry(number_key(&row.number_key)?).or_default();
            told.hear(&row.registers, row.reassigned_check.as_deref())?;
        }
        let hasher = self.vault.hasher().clone();
        let numbers = draft.numbers.iter().cloned().map(|new| {
            match known.remove(&hasher.key(tenant, new.number)) {
                Some(told) => new.told_after(told.registers, told.reassigned_check),
                None => new.told_after(Vec::new(), None),
            }
        });
        Ok(numbers.collect())
    }
}

impl Told {
    fn hear(&mut self, registers: &str, reassigned_check: Option<&str>) -> Result<()> {
        let registers: Vec<RegisterCheck> = from_json(registers.as_bytes(), "registers")?;
        for check in registers {
            // Two people on one number are often told of in one breath.
            if !self.registers.contains(&check) {
                self.registers.push(check);
            }
        }
        if let Some(text) = reassigned_check {
            let check: ReassignedCheck = from_json(text.as_bytes(), "reassigned check")?;
            self.reassigned_check = Some(match self.reassigned_check {
                Some(other) => check.or_what_holds(other),
                None => check,
            });
        }
        Ok(())
    }
}
