//! Lists of consents. Each row goes through what `RecordConsent` and `WithdrawConsent` go through (`gate/records.rs`): whose number
//! it is, and when they acted in relation to what is on record. A withdrawal binds every claim that begins after its commit,
//! as a single one does, so nothing waits. An act that is on record already is not recorded twice.

mod rows;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;

use serde_json::Value;

use crate::domain::consent::{ConsentAction, ConsentEvent, ConsentMark};
use crate::domain::ids::{PartyId, TenantId};
use crate::domain::import::{ImportKind, RejectReason};
use crate::domain::phone::{NumberHasher, NumberKey, Phone};
use crate::domain::suppression::SuppressionSubject;
use crate::gate::error::GateError;
use crate::gate::records::{self, NotTheOne, act_entry, acted_at, the_holder};
use crate::gate::{Ask, Gate};
use crate::store::{AuditEntry, StoreError, Tx};

use super::kind::{Found, Kind, Listed};
use super::written::{Parts, Refusal, RowReader, refuse};
use rows::Row;
pub use rows::{ConsentColumns, ConsentDefaults, ConsentRows};

type Outcome = super::kind::Outcome<Infallible>;

const PARTY_AMBIGUOUS: Refusal = refuse(
    RejectReason::PartyAmbiguous,
    "several people share this number; name the one by party_id",
);
const NOT_THE_HOLDER: Refusal = refuse(RejectReason::Party, records::NOT_THE_HOLDER);
const IN_DOUBT: Refusal = refuse(RejectReason::TimeInDoubt, records::IN_DOUBT);

impl Kind for ConsentRows {
    const KIND: ImportKind = ImportKind::Consents;
    const WAITS: bool = false;
    type Places = ConsentColumns<usize>;
    type Row = Row;
    type Waiting = Infallible;

    fn seller(&self) -> Option<&str> {
        self.defaults.seller.as_deref()
    }

    fn number_alone() -> Self::Places {
        ConsentColumns {
            number: Some(0),
            ..ConsentColumns::default()
        }
    }

    fn places(&self, find: impl Fn(&Option<String>) -> Found) -> Result<Self::Places, String> {
        rows::places(&self.columns, find)
    }

    fn row(
        reader: &RowReader<Self>,
        places: &Self::Places,
        line: i64,
        parts: &Parts<'_>,
    ) -> Result<Row, Refusal> {
        rows::row(reader, places, line, parts)
    }

    /// What the rows before a row of the same person would have made of it is not foreseen.
    async fn tried(
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Row],
    ) -> Result<Outcome, GateError> {
        let mut tx = gate.store().read().await?;
        let mut acts = Acts::load(&mut tx, gate, ask, list, rows).await?;
        for row in rows {
            acts.judge(&mut tx, row).await?;
        }
        Ok(acts.outcome)
    }

    async fn record(
        tx: &mut Tx,
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Row],
    ) -> Result<Outcome, GateError> {
        let (tenant, hasher) = (&ask.principal.tenant, gate.store().hasher());
        let keys: Vec<[u8; 32]> = rows
            .iter()
            .map(|row| hasher.key(tenant, row.act.number).0)
            .collect();
        // All at once and in their order, whatever that of the rows: two lists must not wait for one another.
        tx.lock_numbers(tenant, &keys).await?;
        let mut acts = Acts::load(tx, gate, ask, list, rows).await?;
        for row in rows {
            // Acts of one person are judged as if they were told one by one.
            if acts.is_unwritten(row) {
                acts.write(tx).await?;
            }
            acts.judge(tx, row).await?;
        }
        acts.write(tx).await?;
        Ok(acts.outcome)
    }

    /// Nobody is told of a single act either: a claim reads what is on record.
    async fn notify(_gate: &Gate) {}

    async fn recorded_before(
        _gate: &Gate,
        _ask: &Ask,
        _list: Listed,
        _rows: &[Row],
    ) -> Result<Vec<Infallible>, GateError> {
        Ok(Vec::new())
    }

    async fn unsettled(
        _gate: &Gate,
        _ask: &Ask,
        _waited: &[Infallible],
    ) -> Result<Vec<Infallible>, GateError> {
        Ok(Vec::new())
    }

    async fn settle(_tx: &mut Tx, _ask: &Ask, _unsettled: &[Infallible]) -> Result<(), GateError> {
        Ok(())
    }
}

/// The rows of a portion on their way to the record.
struct Acts<'a> {
    ask: &'a Ask,
    list: Listed,
    hasher: NumberHasher,
    /// Who holds each number, those among them who are recorded only now.
    holders: HashMap<NumberKey, Vec<PartyId>>,
    /// The acts on record of all of them.
    marks: HashSet<ConsentMark>,
    /// What is to be written: people of numbers that nobody held, acts, and entries.
    people: Vec<(PartyId, Phone)>,
    acts: Vec<ConsentEvent>,
    entries: Vec<AuditEntry>,
    outcome: Outcome,
}

impl<'a> Acts<'a> {
    async fn load(
        tx: &mut Tx,
        gate: &Gate,
        ask: &'a Ask,
        list: Listed,
        rows: &[Row],
    ) -> Result<Self, StoreError> {
        let (tenant, hasher) = (&ask.principal.tenant, gate.store().hasher().clone());
        let keys: HashSet<NumberKey> = rows
            .iter()
            .map(|row| hasher.key(tenant, row.act.number))
            .collect();
        let keys: Vec<NumberKey> = keys.into_iter().collect();
        let mut holders: HashMap<NumberKey, Vec<PartyId>> = HashMap::new();
        let mut people = Vec::new();
        for (key, party_id) in tx.parties_by_number(tenant, &keys).await? {
            holders.entry(key).or_default().push(party_id);
            people.push(party_id);
        }
        let marks = tx.consent_marks(tenant, &people).await?;
        Ok(Self {
            ask,
            list,
            hasher,
            holders,
            marks: marks.into_iter().collect(),
            people: Vec::new(),
            acts: Vec::new(),
            entries: Vec::new(),
            outcome: Outcome::default(),
        })
    }

    fn tenant(&self) -> &'a TenantId {
        &self.ask.principal.tenant
    }

    /// Whether somebody's act about the same number waits to be written.
    fn is_unwritten(&self, row: &Row) -> bool {
        let key = self.hasher.key(self.tenant(), row.act.number);
        let holders = self.holders.get(&key);
        holders.is_some_and(|holders| self.acts.iter().any(|act| holders.contains(&act.party_id)))
    }

    /// What becomes of a row.
    async fn judge(&mut self, tx: &mut Tx, row: &Row) -> Result<(), StoreError> {
        let tenant = self.tenant();
        let key = self.hasher.key(tenant, row.act.number);
        let holders = self.holders.get(&key).map_or(&[][..], Vec::as_slice);
        let party_id = match the_holder(row.act.party_id, holders) {
            Ok(holder) => holder.unwrap_or_else(|| PartyId::new(self.ask.at)),
            Err(why) => {
                let refusal = match why {
                    NotTheOne::Stranger => NOT_THE_HOLDER,
                    NotTheOne::Ambiguous => PARTY_AMBIGUOUS,
                };
                self.outcome.reject(refusal, row.line);
                return Ok(());
            }
        };
        let stated = row.act.at.is_some();
        let mut act = row.act.clone().by(party_id, self.ask);
        if self.marks.contains(&act.mark(key)) {
            self.outcome.counts.repeated += 1;
            return Ok(());
        }
        if !stated && self.is_withdrawn_already(&act.mark(key)) {
            self.outcome.counts.repeated += 1;
            return Ok(());
        }
        let is_known = self.holders.contains_key(&key) && !self.is_new(party_id);
        let whose = match is_known {
            true => SuppressionSubject::Party(party_id),
            false => SuppressionSubject::Number(key),
        };
        let Some(at) = acted_at(tx, tenant, &act, whose, stated).await? else {
            self.outcome.reject(IN_DOUBT, row.line);
            return Ok(());
        };
        act.at = at;
        // One that is taken for later than it says was taken so the first time, too.
        if !self.marks.insert(act.mark(key)) {
            self.outcome.counts.repeated += 1;
            return Ok(());
        }
        if let Entry::Vacant(nobody) = self.holders.entry(key) {
            nobody.insert(vec![party_id]);
            self.people.push((party_id, act.number));
        }
        self.outcome.counts.created += 1;
        self.entries.push(self.entry(key, &act));
        self.acts.push(act);
        Ok(())
    }

    /// Whether a withdrawal whose time the row does not say is on record since the very same list came first, and the person gave
    /// no consent after it: then it is the same, told again.
    fn is_withdrawn_already(&self, told: &ConsentMark) -> bool {
        if told.action != ConsentAction::Withdrawn {
            return false;
        }
        let is_the_same = |mark: &&ConsentMark| {
            let then = ConsentMark {
                at: mark.at,
                ..told.clone()
            };
            mark.at >= self.list.came_at && **mark == then
        };
        let Some(last) = self
            .marks
            .iter()
            .filter(is_the_same)
            .map(|mark| mark.at)
            .max()
        else {
            return false;
        };
        !self.marks.iter().any(|mark| {
            mark.party_id == told.party_id && mark.action == ConsentAction::Given && mark.at > last
        })
    }

    /// Whether this person is not on record yet.
    fn is_new(&self, party_id: PartyId) -> bool {
        self.people.iter().any(|(new, _)| *new == party_id)
    }

    fn entry(&self, key: NumberKey, act: &ConsentEvent) -> AuditEntry {
        let mut entry = act_entry(self.ask, key, act);
        if let Value::Object(payload) = &mut entry.payload {
            payload.insert(
                "import_id".to_owned(),
                self.list.import_id.to_string().into(),
            );
        }
        entry
    }

    async fn write(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let tenant = self.tenant();
        let people = std::mem::take(&mut self.people);
        tx.ensure_parties(tenant, &people, self.ask.at).await?;
        tx.insert_consents(tenant, &std::mem::take(&mut self.acts))
            .await?;
        tx.insert_audit(tenant, &std::mem::take(&mut self.entries))
            .await
    }
}
