//! A portion of a list: recorded in one transaction with the note of how far the list is, and acknowledged after its wait.
//! Rows about a number that somebody holds or held, about a person or an account, take the way of a single opt-out, each; those about
//! strangers, nearly all of a list, are recorded with one statement a table.

use std::collections::HashMap;

use serde_json::Value;

use crate::domain::ids::SuppressionId;
use crate::domain::import::{ImportCounts, ImportReject, SuppressionImport};
use crate::domain::phone::NumberKey;
use crate::domain::suppression::{Suppression, SuppressionSubject};
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::suppress::{self, insert_or_find};
use crate::gate::{Ask, Gate};
use crate::meter;
use crate::store::{AuditEntry, ImportStep, Notice, StoreError, Tx, Urgency};

use super::reader::Portion;
use super::rows::{Row, UNKNOWN_PARTY};
use super::{ImportNews, Sending, Waiting};

/// Rejects of one import that are kept.
const REJECTS_KEPT_MAX: i64 = 1_000_000;

/// How often a portion is tried whose transaction met another's locks.
const ATTEMPTS: usize = 5;

/// Numbers of waiting rows that are looked up at once.
const KEYS_A_LOOK: usize = 1024;

/// What a portion came to.
struct Outcome {
    counts: ImportCounts,
    rejects: Vec<ImportReject>,
    /// What stands on record of its rows, new or old.
    wishes: Vec<Suppression>,
}

impl Gate {
    /// What would become of a portion.
    pub(super) async fn tried(
        &self,
        ask: &Ask,
        import: &SuppressionImport,
        portion: &Portion,
    ) -> Result<ImportCounts, GateError> {
        let at = self.read().wall;
        let mut tx = self.store().read().await?;
        let keys: Vec<NumberKey> = portion.rows.iter().filter_map(number).collect();
        let mut active = Active::load(&mut tx, ask, &keys).await?;
        let mut counts = counted(portion);
        for row in &portion.rows {
            let (wish, said_at) = wish(ask, import, row, at);
            let is_there = match wish.subject {
                SuppressionSubject::Number(key) => active.find(key, &wish, said_at).is_some(),
                SuppressionSubject::Party(id)
                    if !tx.knows_party(&ask.principal.tenant, id).await? =>
                {
                    counts.rejected += 1;
                    continue;
                }
                SuppressionSubject::Party(_) | SuppressionSubject::Account(_) => {
                    let same = tx.same_suppression(&ask.principal.tenant, &wish).await?;
                    same.is_some_and(|found| found.says_all_of(wish.reason, said_at))
                }
            };
            if is_there {
                counts.repeated += 1;
            } else {
                counts.created += 1;
                active.add(wish);
            }
        }
        Ok(counts)
    }
}

impl Sending<'_> {
    /// Records a portion, or finds what an earlier sending recorded of it; from then on it waits for its acknowledgement.
    pub(super) async fn record(&mut self, portion: Portion) -> Result<(), GateError> {
        let wishes = if portion.again {
            self.recorded_before(&portion).await?
        } else {
            self.record_new(&portion).await?
        };
        // opt-out-4: the clock is read after COMMIT returned, never before; what an earlier sending committed may be as new.
        let committed = self.gate.read().mono;
        if let Err(error) = self.gate.store().notify(&Notice::OptOutWide).await {
            tracing::debug!(%error, "workers were not told of an import; they find its opt-outs by themselves");
        }
        let rows = (portion.rows.len() + portion.rejects.len())
            .try_into()
            .unwrap_or(i64::MAX);
        self.bytes = portion.bytes;
        self.waiting.push_back(Waiting {
            committed,
            wishes,
            lines: portion.to_line,
            rows,
            bytes: portion.bytes,
        });
        self.tell();
        Ok(())
    }

    /// What an earlier sending recorded, as it stands now. What was lifted since is not recorded again: the list is the same.
    async fn recorded_before(&self, portion: &Portion) -> Result<Vec<Suppression>, GateError> {
        let keys: Vec<NumberKey> = portion.rows.iter().filter_map(number).collect();
        let mut tx = self.gate.store().read().await?;
        let active = Active::load(&mut tx, self.ask, &keys).await?;
        let at = self.gate.read().wall;
        let mut found = Vec::with_capacity(portion.rows.len());
        for row in &portion.rows {
            let (wish, _) = wish(self.ask, &self.import, row, at);
            match wish.subject {
                SuppressionSubject::Number(key) => {
                    found.extend(active.find(key, &wish, Micros(i64::MIN)).cloned());
                }
                SuppressionSubject::Account(_) => {
                    found.extend(
                        tx.same_suppression(&self.ask.principal.tenant, &wish)
                            .await?,
                    );
                }
                // Nothing is left to be done for the people of one.
                SuppressionSubject::Party(_) => {}
            }
        }
        Ok(found)
    }

    async fn record_new(&mut self, portion: &Portion) -> Result<Vec<Suppression>, GateError> {
        let mut attempt = 1;
        let outcome = loop {
            match self.record_once(portion).await {
                Err(GateError::Store(error))
                    if matches!(*error, StoreError::LockTimeout) && attempt < ATTEMPTS =>
                {
                    attempt += 1
                }
                outcome => break outcome?,
            }
        };
        self.import.counts = self.import.counts.plus(outcome.counts);
        let rows = |count: i64| u64::try_from(count).unwrap_or(0);
        let ImportCounts {
            created,
            repeated,
            rejected,
            ..
        } = outcome.counts;
        meter::import_rows(rows(created), rows(repeated), rows(rejected));
        self.import.lines = portion.to_line;
        self.import.lines_sha256 = portion.lines_sha256;
        for reject in outcome.rejects {
            // Whoever does not listen finds them in the list of the import's rejects.
            let _ = self.news.try_send(ImportNews::Rejected(reject));
        }
        Ok(outcome.wishes)
    }

    async fn record_once(&self, portion: &Portion) -> Result<Outcome, GateError> {
        let tenant = &self.ask.principal.tenant;
        let at = self.gate.read().wall;
        let ask = Ask {
            at,
            ..self.ask.clone()
        };
        let keys: Vec<NumberKey> = portion.rows.iter().filter_map(number).collect();
        let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
        let linked = tx.linked_numbers(tenant, &keys).await?;
        let strangers: Vec<NumberKey> = keys
            .into_iter()
            .filter(|key| !linked.contains(key))
            .collect();
        let mut active = Active::load(&mut tx, &ask, &strangers).await?;
        let mut outcome = Outcome {
            counts: counted(portion),
            rejects: portion.rejects.clone(),
            wishes: Vec::with_capacity(portion.rows.len()),
        };
        let (mut new, mut entries) = (Vec::new(), Vec::new());
        for row in &portion.rows {
            let (wish, said_at) = wish(&ask, &self.import, row, at);
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
                    outcome.counts.rejected += 1;
                    outcome.rejects.push(UNKNOWN_PARTY.at(row.line));
                    continue;
                }
                _ => insert_or_find(&mut tx, tenant, wish, said_at).await?,
            };
            if created {
                outcome.counts.created += 1;
                entries.push(self.entry(&ask, &wish));
            } else {
                outcome.counts.repeated += 1;
            }
            outcome.wishes.push(wish);
        }
        tx.insert_suppressions(tenant, &new).await?;
        tx.insert_audit(tenant, &entries).await?;
        if self.import.counts.rejected < REJECTS_KEPT_MAX {
            tx.insert_import_rejects(tenant, self.import.import_id, &outcome.rejects)
                .await?;
        }
        let step = ImportStep {
            from_line: portion.from_line,
            to_line: portion.to_line,
            lines_sha256: portion.lines_sha256,
            counts: outcome.counts,
        };
        if !tx.step_import(tenant, self.runner, &step).await? {
            return Err(GateError::ImportTaken);
        }
        tx.commit().await?;
        Ok(outcome)
    }

    fn entry(&self, ask: &Ask, wish: &Suppression) -> AuditEntry {
        let mut entry = suppress::entry(ask, "suppression.created", wish);
        if let Value::Object(payload) = &mut entry.payload {
            payload.insert(
                "import_id".to_owned(),
                self.import.import_id.to_string().into(),
            );
        }
        entry
    }

    /// opt-out-5: acknowledges what has waited its full time. No other reason does.
    pub(super) async fn acknowledge(&mut self) -> Result<(), GateError> {
        let mut due = Vec::new();
        while self.due_in().is_some_and(|left| left.is_zero()) {
            due.extend(self.waiting.pop_front());
        }
        let Some(last) = due.last() else {
            return Ok(());
        };
        let (lines, bytes) = (last.lines, last.bytes);
        let rows: i64 = due.iter().map(|portion| portion.rows).sum();
        let wishes: Vec<Suppression> = due.into_iter().flat_map(|portion| portion.wishes).collect();
        let rows = self
            .import
            .acknowledged_rows
            .saturating_add(rows)
            .min(self.import.counts.read);
        let mut attempt = 1;
        loop {
            match self.acknowledge_once(&wishes, lines, rows).await {
                Err(GateError::Store(error))
                    if matches!(*error, StoreError::LockTimeout) && attempt < ATTEMPTS =>
                {
                    attempt += 1
                }
                done => break done?,
            }
        }
        (
            self.import.acknowledged_lines,
            self.import.acknowledged_rows,
        ) = (lines, rows);
        self.bytes = self.bytes.max(bytes);
        self.tell();
        Ok(())
    }

    async fn acknowledge_once(
        &self,
        wishes: &[Suppression],
        lines: i64,
        rows: i64,
    ) -> Result<(), GateError> {
        let tenant = &self.ask.principal.tenant;
        let mut given = Vec::new();
        for some in wishes.chunks(KEYS_A_LOOK) {
            let keys: Vec<NumberKey> = some.iter().filter_map(key_of).collect();
            // Of numbers that nobody holds nothing is left to be done, and nearly all of a list are: no writer is kept waiting.
            let linked = self
                .gate
                .store()
                .read()
                .await?
                .linked_numbers(tenant, &keys)
                .await?;
            given.extend(some.iter().filter(|wish| match wish.subject {
                SuppressionSubject::Number(key) => linked.contains(&key),
                SuppressionSubject::Party(_) => false,
                SuppressionSubject::Account(_) => true,
            }));
        }
        let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
        // Once more, for who was given a number or joined an account since: nobody may shake off what has been acknowledged.
        for wish in given {
            tx.raise_for_new_holders(tenant, wish).await?;
            tx.bind_holders(tenant, wish, wish.spoken_by_holder_after())
                .await?;
        }
        if !tx
            .acknowledge_import(tenant, self.runner, lines, rows)
            .await?
        {
            return Err(GateError::ImportTaken);
        }
        tx.commit().await?;
        Ok(())
    }
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
        let as_wide = |old: &&Suppression| old.is_as_wide_as(wish);
        let latest = self
            .0
            .get(&key)?
            .iter()
            .filter(as_wide)
            .max_by_key(|old| old.binds_from());
        latest.filter(|old| old.says_all_of(wish.reason, said_at))
    }
}

/// The opt-out that a row asks for, and by when it had been said. A row that does not say when was said when the list came, at
/// the latest; recorded it is as one that is said now, as any opt-out is.
fn wish(ask: &Ask, import: &SuppressionImport, row: &Row, at: Micros) -> (Suppression, Micros) {
    let said = &row.said;
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

fn counted(portion: &Portion) -> ImportCounts {
    let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
    ImportCounts {
        read: count(portion.rows.len() + portion.rejects.len()),
        rejected: count(portion.rejects.len()),
        ..ImportCounts::default()
    }
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
