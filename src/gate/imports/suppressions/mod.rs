//! Lists of opt-outs. Rows about a number that somebody holds or held, about a person or an account, take the way of a single opt-out,
//! each; those about strangers, nearly all of a list, are recorded with one statement a table. All of them wait (opt-out-7).

mod rows;

use serde_json::Value;

use crate::domain::ids::{SuppressionId, TenantId};
use crate::domain::import::ImportKind;
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::suppress::{self, Strangers, Wishes, insert_or_find, standing};
use crate::gate::{Ask, Gate};
use crate::store::{AuditEntry, Notice, StoreError, Tx};

use super::kind::{Found, Kind, Listed, Outcome};
use super::written::{Parts, Refusal, RowReader};
use rows::{LIFTED, Row, UNKNOWN_PARTY};
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

    /// What earlier portions would have recorded is not foreseen.
    async fn tried(
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Row],
    ) -> Result<Outcome<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let mut tx = gate.store().read().await?;
        let mut known = OnRecord::load(&mut tx, ask, rows).await?;
        let mut outcome = Outcome::default();
        for row in rows {
            let (mut wish, said_at) = wish(ask, list, row);
            if is_about_nobody(&mut tx, tenant, &wish).await? {
                outcome.reject(UNKNOWN_PARTY, row.line);
                continue;
            }
            let stands = known.strangers.find(&wish, said_at).is_some()
                || (known.strangers.number(&wish).is_none()
                    && standing(&mut tx, tenant, &mut wish, said_at)
                        .await?
                        .is_some());
            if stands {
                outcome.counts.repeated += 1;
            } else if known.was_lifted(row, &wish, said_at) {
                outcome.reject(LIFTED, row.line);
            } else {
                outcome.counts.created += 1;
                known.strangers.add(&wish);
            }
        }
        Ok(outcome)
    }

    async fn record(
        tx: &mut Tx,
        _gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Row],
    ) -> Result<Outcome<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let mut known = OnRecord::load(tx, ask, rows).await?;
        let mut outcome = Outcome::default();
        let (mut new, mut entries) = (Vec::new(), Vec::new());
        for row in rows {
            let (wish, said_at) = wish(ask, list, row);
            if is_about_nobody(tx, tenant, &wish).await? {
                outcome.reject(UNKNOWN_PARTY, row.line);
                continue;
            }
            let is_of_stranger = known.strangers.number(&wish).is_some();
            let found = match is_of_stranger {
                true => known.strangers.find(&wish, said_at).cloned(),
                false => None,
            };
            if found.is_none()
                && known.was_lifted(row, &wish, said_at)
                && (is_of_stranger
                    || standing(tx, tenant, &mut wish.clone(), said_at)
                        .await?
                        .is_none())
            {
                outcome.reject(LIFTED, row.line);
                continue;
            }
            let (created, wish) = match found {
                Some(found) => (false, found),
                None if is_of_stranger => {
                    new.push(wish.clone());
                    known.strangers.add(&wish);
                    (true, wish)
                }
                None => insert_or_find(tx, tenant, wish, said_at).await?,
            };
            if created {
                outcome.counts.created += 1;
                entries.push(entry(ask, list, &wish));
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
        list: Listed,
        rows: &[Row],
    ) -> Result<Vec<Suppression>, GateError> {
        let tenant = &ask.principal.tenant;
        let keys: Vec<NumberKey> = rows.iter().filter_map(|row| row.subject.number()).collect();
        let mut tx = gate.store().read().await?;
        let mut active = Wishes::default();
        if !keys.is_empty() {
            active.extend(tx.lasting_suppressions(tenant, &keys).await?);
        }
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (wish, _) = wish(ask, list, row);
            match wish.subject {
                SuppressionSubject::Number(_) => {
                    found.extend(active.find(&wish, Micros(i64::MIN)).cloned());
                }
                SuppressionSubject::Account(_) => {
                    let ever = Micros(i64::MIN);
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
            let keys: Vec<NumberKey> = some
                .iter()
                .filter_map(|wish| wish.subject.number())
                .collect();
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

fn entry(ask: &Ask, list: Listed, wish: &Suppression) -> AuditEntry {
    let mut entry = suppress::entry(ask, "suppression.created", wish);
    if let Value::Object(payload) = &mut entry.payload {
        payload.insert("import_id".to_owned(), list.import_id.to_string().into());
    }
    entry
}

/// Whether the wish is about a person whom nobody knows.
async fn is_about_nobody(
    tx: &mut Tx,
    tenant: &TenantId,
    wish: &Suppression,
) -> Result<bool, StoreError> {
    match wish.subject {
        SuppressionSubject::Party(id) => Ok(!tx.knows_party(tenant, id).await?),
        SuppressionSubject::Number(_) | SuppressionSubject::Account(_) => Ok(false),
    }
}

/// What is on record of whom a portion is about, and bears on what becomes of its rows.
struct OnRecord {
    strangers: Strangers,
    /// Those that were lifted, of whatever is in a row that names its time.
    lifted: Wishes,
}

impl OnRecord {
    async fn load(tx: &mut Tx, ask: &Ask, rows: &[Row]) -> Result<Self, StoreError> {
        let tenant = &ask.principal.tenant;
        let keys: Vec<NumberKey> = rows.iter().filter_map(|row| row.subject.number()).collect();
        let mut strangers = Strangers::default();
        strangers.look(tx, tenant, &keys).await?;
        let dated = rows.iter().filter(|row| row.said.received_at.is_some());
        let dated: Vec<SuppressionSubject> = dated.map(|row| row.subject).collect();
        let mut lifted = Wishes::default();
        if !dated.is_empty() {
            lifted.extend(tx.lifted_suppressions(tenant, &dated).await?);
        }
        Ok(Self { strangers, lifted })
    }

    /// Whether it is the very wish that two people lifted, with a permission of the person that is newer than it: a row that says
    /// when that was said brings nothing new, however often it is sent. A row without a time says so now, as an opt-out that is
    /// told without one does; and of a wish that was said after the lifted one nobody has decided.
    fn was_lifted(&self, row: &Row, wish: &Suppression, said_at: Micros) -> bool {
        row.said.received_at.is_some() && self.lifted.find(wish, said_at).is_some()
    }
}

/// The opt-out that a row asks for, and by when it had been said: when the very same list came first, at the latest. Recorded it is,
/// if the row does not say when, as one that is said now, as any opt-out is.
fn wish(ask: &Ask, list: Listed, row: &Row) -> (Suppression, Micros) {
    let (said, at) = (&row.said, ask.at);
    let received_at = said.received_at.map_or(at, |said| said.min(at));
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
    (wish.in_full(), received_at.min(list.came_at))
}
