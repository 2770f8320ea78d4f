//! What differs between one kind of list and another. How a list comes in, is cut into rows, goes on after a break and ends is
//! the same for all of them; what a row means, and how a portion of rows is recorded, is the kind's own.

use crate::domain::ids::ImportId;
use crate::domain::import::{ImportCounts, ImportKind, ImportReject};
use crate::domain::time::Micros;
use crate::gate::error::GateError;
use crate::gate::{Ask, Gate};
use crate::store::Tx;

use super::written::{Parts, Refusal, RowReader};

/// A kind of list; its value says how rows of one list are to be understood.
pub(super) trait Kind: Send + Sync + Sized + 'static {
    /// As it is on record.
    const KIND: ImportKind;
    /// Whether a call may be under way that a row forbids. Then rows are acknowledged when the barrier's wait is over; else
    /// with their commit.
    const WAITS: bool;
    /// Where in a row its parts stand, from 0.
    type Places: Send + 'static;
    /// A row that means something.
    type Row: Send + Sync + 'static;
    /// What there is to be looked at once more of a recorded row that has waited.
    type Waiting: Clone + Send + Sync + 'static;

    /// The seller of rows that name none.
    fn seller(&self) -> Option<&str>;

    /// The places of a list that has a number a line and nothing else.
    fn number_alone() -> Self::Places;

    /// The places, as `find` finds each column by its name.
    fn places(&self, find: impl Fn(&Option<String>) -> Found) -> Result<Self::Places, String>;

    /// What the row that begins at this line means.
    fn row(
        reader: &RowReader<Self>,
        places: &Self::Places,
        line: i64,
        parts: &Parts<'_>,
    ) -> Result<Self::Row, Refusal>;

    /// What would become of some rows.
    fn tried(
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Outcome<Self::Waiting>, GateError>> + Send;

    /// Records some rows in this transaction.
    fn record(
        tx: &mut Tx,
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Outcome<Self::Waiting>, GateError>> + Send;

    /// Tells the other nodes that a portion is recorded; one that is not told finds it by itself.
    fn notify(gate: &Gate) -> impl Future<Output = ()> + Send;

    /// What an earlier sending recorded of these rows and nobody saw acknowledged.
    fn recorded_before(
        gate: &Gate,
        ask: &Ask,
        list: Listed,
        rows: &[Self::Row],
    ) -> impl Future<Output = Result<Vec<Self::Waiting>, GateError>> + Send;

    /// Of rows that have waited, those for which something is left to be done.
    fn unsettled(
        gate: &Gate,
        ask: &Ask,
        waited: &[Self::Waiting],
    ) -> impl Future<Output = Result<Vec<Self::Waiting>, GateError>> + Send;

    /// Does it.
    fn settle(
        tx: &mut Tx,
        ask: &Ask,
        unsettled: &[Self::Waiting],
    ) -> impl Future<Output = Result<(), GateError>> + Send;
}

/// The list whose rows are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    /// Its import; nil in a trial.
    pub import_id: ImportId,
    /// When the very same list came first: whatever stands in it had been said by then, however often it is sent.
    pub came_at: Micros,
}

/// Where a column is, if there is one; or why it cannot be found.
pub(super) type Found = Result<Option<usize>, String>;

/// What some rows came to.
pub(super) struct Outcome<W> {
    /// How many were recorded, were there already, or were rejected only now that what is on record was looked at.
    pub counts: ImportCounts,
    /// The last ones.
    pub rejects: Vec<ImportReject>,
    /// What stands on record of the others and has to wait.
    pub waiting: Vec<W>,
}

impl<W> Default for Outcome<W> {
    fn default() -> Self {
        Self {
            counts: ImportCounts::default(),
            rejects: Vec::new(),
            waiting: Vec::new(),
        }
    }
}

impl<W> Outcome<W> {
    /// A row is not recorded.
    pub fn reject(&mut self, refusal: Refusal, line: i64) {
        self.counts.rejected += 1;
        self.rejects.push(refusal.at(line));
    }
}
