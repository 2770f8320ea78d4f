//! Lists of opt-outs. Rows about a number that somebody holds or held, about a person or an account, take the way of a single opt-out,
//! each; those about strangers, nearly all of a list, are recorded with one statement a table. All of them wait (opt-out-7).

mod rows;

use std::collections::HashMap;

use serde_json::Value;

use crate::domain::ids::SuppressionId;
use crate::domain::import::{Import, ImportKind};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::suppress::{self, insert_or_find};
use crate::gate::{Ask, Gate};
use crate::store::{AuditEntry, Notice, StoreError, Tx};

use super::kind::{Found, Kind, Outcome};
use super::written::{Parts, Refusal, RowReader};
use rows::{Row, UNKNOWN_PARTY};
pub use rows::{SuppressionColumns, SuppressionDefaults, SuppressionRows};

/// Numbers of waiting rows that are looked up at once.
const KEYS_A_LOOK: usize = 1024;

impl Kind for SuppressionRows {
    const KIND: ImportKind = ImportKind::Suppressions;
    const WAITS: bool = true;
    type Places = SuppressionColumns<usize>;
    type Row = Row;
    type Waiting = Suppression;

    fn seller(&self) -> Option<&str> {
        self.defaults.seller.as_deref()
    }

    fn number_alone() -> Self::Places {
        SuppressionColumns {
            number: Some(0),
            ..SuppressionColumns::default()
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

    async fn tried(
        gate: &Gate,
        ask: &Ask,
        import: &Import,
        rows: &[Row],
    ) -> Result<Outcome<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let mut tx = gate.store().read().await?;
        let keys: Vec<NumberKey> = rows.iter().filter_map(number).collect();
        let mut active = Active::load(&mut tx, ask, &keys).await?;
        let mut outcome = Outcome::default();
        for row in rows {
            let (wish, said_at) = wish(ask, import, row);
            let is_there = match wish.subject {
                SuppressionSubject::Number(key) => active.find(key, &wish, said_at).is_some(),
                SuppressionSubject::Party(id) if !tx.knows_party(tenant, id).await? => {
                    outcome.reject(UNKNOWN_PARTY, row.line);
                    continue;
                }
                SuppressionSubject::Party(_) | SuppressionSubject::Account(_) => {
                    let same = tx.same_suppression(tenant, &wish, said_at).await?;
                    same.is_some()
                }
            };
            if is_there {
                outcome.counts.repeated += 1;
            } else {
                outcome.counts.created += 1;
                active.add(wish);
            }
        }
        Ok(outcome)
    }

    async fn record(
        tx: &mut Tx,
        _gate: &Gate,
        ask: &Ask,
        import: &Import,
        rows: &[Row],
    ) -> Result<Outcome<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let keys: Vec<NumberKey> = rows.iter().filter_map(number).collect();
        let linked = tx.linked_numbers(tenant, &keys).await?;
        let strangers: Vec<NumberKey> = keys
            .into_iter()
            .filter(|key| !linked.contains(key))
            .collect();
        let mut active = Active::load(tx, ask, &strangers).await?;
        let mut outcome = Outcome::default();
        let (mut new, mut entries) = (Vec::new(), Vec::new());
        for row in rows {
            let (wish, said_at) = wish(ask, import, row);
            let (created, wish) = match wish.subject {
                SuppressionSubject::Number(key) if !linked.contains(&key) => {
                    match active.find(key, &wish, said_at) {
                        Some(found) => (false, found.clone()),
                        None => {
                            new.push(wish.clone());
                            active.add(wish.clone());
                            (true, wish)
                        }
                    }
                }
                SuppressionSubject::Party(id) if !tx.knows_party(tenant, id).await? => {
                    outcome.reject(UNKNOWN_PARTY, row.line);
                    continue;
                }
                _ => insert_or_find(tx, tenant, wish, said_at).await?,
            };
            if created {
                outcome.counts.created += 1;
                entries.push(entry(ask, import, &wish));
            } else {
                outcome.counts.repeated += 1;
            }
            outcome.waiting.push(wish);
        }
        tx.insert_suppressions(tenant, &new).await?;
        tx.insert_audit(tenant, &entries).await?;
        Ok(outcome)
    }

    async fn notify(gate: &Gate) {
        if let Err(error) = gate.store().notify(&Notice::OptOutWide).await {
            tracing::debug!(%error, "workers were not told of an import; they find its opt-outs by themselves");
        }
    }

    /// As it stands now. What was lifted since is not recorded again: the list is the same.
    async fn recorded_before(
        gate: &Gate,
        ask: &Ask,
        import: &Import,
        rows: &[Row],
    ) -> Result<Vec<Suppression>, GateError> {
        let keys: Vec<NumberKey> = rows.iter().filter_map(number).collect();
        let mut tx = gate.store().read().await?;
        let active = Active::load(&mut tx, ask, &keys).await?;
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (wish, _) = wish(ask, import, row);
            match wish.subject {
                SuppressionSubject::Number(key) => {
                    found.extend(active.find(key, &wish, Micros(i64::MIN)).cloned());
                }
                SuppressionSubject::Account(_) => {
                    let (tenant, ever) = (&ask.principal.tenant, Micros(i64::MIN));
                    found.extend(tx.same_suppression(tenant, &wish, ever).await?);
                }
                // Nothing is left to be done for the people of one.
                SuppressionSubject::Party(_) => {}
            }
        }
        Ok(found)
    }

    /// Of numbers that nobody holds nothing is left to be done, and nearly all of a list are: no writer is kept waiting.
    async fn unsettled(
        gate: &Gate,
        ask: &Ask,
        waited: &[Suppression],
    ) -> Result<Vec<Suppression>, GateError> {
        let mut given = Vec::new();
        for some in waited.chunks(KEYS_A_LOOK) {
            let keys: Vec<NumberKey> = some.iter().filter_map(key_of).collect();
            let mut tx = gate.store().read().await?;
            let linked = tx.linked_numbers(&ask.principal.tenant, &keys).await?;
            let of_somebody = |wish: &&Suppression| match wish.subject {
                SuppressionSubject::Number(key) => linked.contains(&key),
                SuppressionSubject::Party(_) => false,
                SuppressionSubject::Account(_) => true,
            };
            given.extend(some.iter().filter(of_somebody).cloned());
        }
        Ok(given)
    }

    /// Once more, for who was given a number or joined an account since: nobody may shake off what has been acknowledged.
    async fn settle(tx: &mut Tx, ask: &Ask, unsettled: &[Suppression]) -> Result<(), GateError> {
        let tenant = &ask.principal.tenant;
        for wish in unsettled {
            tx.raise_for_new_holders(tenant, wish).await?;
            tx.bind_holders(tenant, wish, wish.spoken_by_holder_after())
                .await?;
        }
        Ok(())
    }
}

fn entry(ask: &Ask, import: &Import, wish: &Suppression) -> AuditEntry {
    let mut entry = suppress::entry(ask, "suppression.created", wish);
    if let Value::Object(payload) = &mut entry.payload {
        payload.insert("import_id".to_owned(), import.import_id.to_string().into());
    }
    entry
}

/// The lasting opt-outs of some numbers, those that this portion adds among them.
struct Active(HashMap<NumberKey, Vec<Suppression>>);

impl Active {
    async fn load(tx: &mut Tx, ask: &Ask, keys: &[NumberKey]) -> Result<Self, StoreError> {
        let mut active = Self(HashMap::new());
        if !keys.is_empty() {
            let found = tx.lasting_suppressions(&ask.principal.tenant, keys).await?;
            found.into_iter().for_each(|found| active.add(found));
        }
        Ok(active)
    }

    fn add(&mut self, wish: Suppression) {
        if let SuppressionSubject::Number(key) = wish.subject {
            self.0.entry(key).or_default().push(wish);
        }
    }

    /// What says all of this wish already; as for a single one.
    fn find(&self, key: NumberKey, wish: &Suppression, said_at: Micros) -> Option<&Suppression> {
        let theirs = self.0.get(&key)?.iter();
        theirs
            .filter(|old| old.says_all_of(wish, said_at))
            .max_by_key(|old| old.binds_from())
    }
}

/// The opt-out that a row asks for, and by when it had been said. A row that does not say when was said when the list came, at
/// the latest; recorded it is as one that is said now, as any opt-out is.
fn wish(ask: &Ask, import: &Import, row: &Row) -> (Suppression, Micros) {
    let (said, at) = (&row.said, ask.at);
    let received_at = said.received_at.map_or(at, |said| said.min(at));
    let said_at = said
        .received_at
        .map_or(import.began_at.min(at), |said| said.min(at));
    let wish = Suppression {
        suppression_id: SuppressionId::new(at),
        subject: row.subject,
        seller: said.seller.clone(),
        channels: said.channels.clone(),
        purposes: said.purposes.clone(),
        reason: said.reason,
        source: said.source,
        received_at,
        recorded_at: at,
        expires_at: None,
        evidence_ref: said.evidence_ref.clone(),
        note: said.note.clone(),
        actor: ask.principal.actor(),
        lift_request: None,
        lift: None,
    };
    (wish.in_full(), said_at)
}

fn number(row: &Row) -> Option<NumberKey> {
    match row.subject {
        SuppressionSubject::Number(key) => Some(key),
        SuppressionSubject::Party(_) | SuppressionSubject::Account(_) => None,
    }
}

fn key_of(wish: &Suppression) -> Option<NumberKey> {
    match wish.subject {
        SuppressionSubject::Number(key) => Some(key),
        SuppressionSubject::Party(_) | SuppressionSubject::Account(_) => None,
    }
}
