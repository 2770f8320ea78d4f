//! Wake-up calls between nodes.
use crate::domain::ids::CallId;
use crate::domain::phone::NumberKey;

/// A hint that something changed; the truth is always read from the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// An opt-out covers this number.
    OptOut(NumberKey),
    /// An opt-out of a wider scope than one number.
    OptOutWide,
    /// A call waits for a worker.
    CallQueued,
    /// A call has a new event or a wish to end it.
    CallChanged(CallId),
}
