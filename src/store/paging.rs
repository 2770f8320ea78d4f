//! Lists: newest first, ties broken by id, so that pages have neither gaps nor repeats.
use uuid::Uuid;

use crate::domain::filter::Filter;
use crate::domain::time::Micros;

/// What a list is asked for.
#[derive(Debug, Clone)]
pub struct ListQuery {
    /// Which rows.
    pub filter: Filter,
    /// How many at most.
    pub page_size: u32,
    /// Only what comes after this row.
    pub after: Option<PageKey>,
}

/// A row's place in its list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageKey {
    /// The time it is sorted by.
    pub at: Micros,
    /// Its id.
    pub id: Uuid,
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next page starts; absent at the end.
    pub next: Option<PageKey>,
}
