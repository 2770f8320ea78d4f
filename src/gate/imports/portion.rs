//! A portion of a list: recorded in one transaction with the note of how far the list is, and acknowledged after its wait.

use crate::domain::import::ImportCounts;
use crate::gate::Ask;
use crate::gate::error::GateError;
use crate::meter;
use crate::store::{ImportStep, StoreError, Urgency};

use super::kind::{Kind, Outcome};
use super::reader::Portion;
use super::{ImportNews, Sending, Waiting};

/// Rejects of one import that are kept.
const REJECTS_KEPT_MAX: i64 = 1_000_000;

/// How often a portion is tried whose transaction met another's locks.
const ATTEMPTS: usize = 5;

/// Rows that have waited and are looked at once more in one transaction: nobody else writes to SQLite meanwhile.
const SETTLED_AT_ONCE: usize = 16;

impl<K: Kind> Portion<K> {
    /// What it comes to as a whole: what was read, and what its rows came to.
    pub(super) fn with(&self, mut outcome: Outcome<K::Waiting>) -> Outcome<K::Waiting> {
        let count = |rows: usize| i64::try_from(rows).unwrap_or(i64::MAX);
        outcome.counts = outcome.counts.plus(ImportCounts {
            read: count(self.rows.len() + self.rejects.len()),
            rejected: count(self.rejects.len()),
            ..ImportCounts::default()
        });
        outcome.rejects.extend(self.rejects.iter().cloned());
        outcome.rejects.sort_by_key(|reject| reject.line);
        outcome
    }
}

impl<K: Kind> Sending<'_, K> {
    /// Records a portion, or finds what an earlier sending recorded of it; from then on it waits for its acknowledgement.
    pub(super) async fn record(&mut self, portion: Portion<K>) -> Result<(), GateError> {
        let left = if portion.again {
            K::recorded_before(self.gate, &self.now(), self.list, &portion.rows).await?
        } else {
            self.record_new(&portion).await?
        };
        // opt-out-4: the clock is read after COMMIT returned, never before; what an earlier sending committed may be as new.
        let committed = self.gate.read().mono;
        K::notify(self.gate).await;
        let rows = (portion.rows.len() + portion.rejects.len())
            .try_into()
            .unwrap_or(i64::MAX);
        self.bytes = portion.bytes;
        if K::WAITS {
            self.waiting.push_back(Waiting {
                committed,
                left,
                lines: portion.to_line,
                rows,
                bytes: portion.bytes,
            });
        }
        self.tell();
        let grown = self.import.counts.created - self.grown;
        self.grown = self.import.counts.created;
        if let Err(error) = (self.gate.store().grew(grown.try_into().unwrap_or(0))).await {
            tracing::debug!(%error, "the planner does not count; the server does, in its time");
        }
        Ok(())
    }

    /// Who asks, at this moment.
    fn now(&self) -> Ask {
        Ask {
            at: self.gate.read().wall,
            ..self.ask.clone()
        }
    }

    async fn record_new(&mut self, portion: &Portion<K>) -> Result<Vec<K::Waiting>, GateError> {
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
        meter::import_rows(K::KIND, rows(created), rows(repeated), rows(rejected));
        self.import.lines = portion.to_line;
        self.import.lines_sha256 = portion.lines_sha256;
        if !K::WAITS {
            self.import.acknowledged_lines = self.import.lines;
            self.import.acknowledged_rows = self.import.counts.read;
        }
        for reject in outcome.rejects {
            // Whoever does not listen finds them in the list of the import's rejects.
            let _ = self.news.try_send(ImportNews::Rejected(reject));
        }
        Ok(outcome.waiting)
    }

    async fn record_once(&self, portion: &Portion<K>) -> Result<Outcome<K::Waiting>, GateError> {
        let ask = self.now();
        let tenant = &ask.principal.tenant;
        let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
        let begun = self.gate.read().mono;
        let outcome = K::record(&mut tx, self.gate, &ask, self.list, &portion.rows).await?;
        let outcome = portion.with(outcome);
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
        let mut goes_on = tx.step_import(tenant, self.runner, &step).await?;
        if goes_on && !K::WAITS {
            let rows = self.import.counts.read.saturating_add(step.counts.read);
            goes_on = tx
                .acknowledge_import(tenant, self.runner, step.to_line, rows)
                .await?;
        }
        if !goes_on {
            return Err(GateError::ImportTaken);
        }
        tx.commit().await?;
        self.size.took(self.gate.read().mono.since(begun));
        Ok(outcome)
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
        let waited: Vec<K::Waiting> = due.into_iter().flat_map(|portion| portion.left).collect();
        let rows = self
            .import
            .acknowledged_rows
            .saturating_add(rows)
            .min(self.import.counts.read);
        let mut attempt = 1;
        loop {
            match self.acknowledge_once(&waited, lines, rows).await {
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
        waited: &[K::Waiting],
        lines: i64,
        rows: i64,
    ) -> Result<(), GateError> {
        let unsettled = K::unsettled(self.gate, self.ask, waited).await?;
        for some in unsettled.chunks(SETTLED_AT_ONCE) {
            let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
            K::settle(&mut tx, self.ask, some).await?;
            tx.commit().await?;
        }
        let mut tx = self.gate.store().write(Urgency::Ordinary).await?;
        if !tx
            .acknowledge_import(&self.ask.principal.tenant, self.runner, lines, rows)
            .await?
        {
            return Err(GateError::ImportTaken);
        }
        tx.commit().await?;
        Ok(())
    }
}
