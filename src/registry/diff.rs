//! Two snapshots beside each other, and a change list applied to one.

use super::page::{Words, each_bit, join};
use super::snapshot::Entry;
use super::{Builder, Snapshot};
use crate::domain::phone::Phone;

/// What happened to a number between two snapshots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// The newer one lists it, the older one does not.
    Added,
    /// The older one lists it, the newer one does not.
    Removed,
}

/// How two snapshots differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Diff {
    /// Numbers that only the newer one lists.
    pub added: u64,
    /// Numbers that only the older one lists.
    pub removed: u64,
    /// Numbers that both list.
    pub kept: u64,
}

impl Snapshot {
    /// Compares this snapshot with a newer one, and calls for each number that only one of them lists, sorted.
    pub fn compare(&self, newer: &Self, mut each: impl FnMut(Change, Phone)) -> Diff {
        let (before, after) = (self.entries(), newer.entries());
        let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
        let mut added = 0;
        loop {
            let next = [before.peek(), after.peek()].into_iter().flatten();
            let Some(page) = next.map(|entry| entry.page).min() else {
                break;
            };
            let words = |snapshot: &Self, entry: Option<Entry>| {
                let view = entry.and_then(|entry| snapshot.view(entry));
                view.map_or([0; 157], |view| view.words())
            };
            let was = words(self, before.next_if(|entry| entry.page == page));
            let is = words(newer, after.next_if(|entry| entry.page == page));
            let mut differs: Words = [0; 157];
            for (differs, (was, is)) in differs.iter_mut().zip(was.iter().zip(&is)) {
                *differs = was ^ is;
            }
            each_bit(&differs, &mut |place| {
                let word = is.get(usize::from(place / 64));
                let change = match word.is_some_and(|word| word >> (place % 64) & 1 == 1) {
                    true => Change::Added,
                    false => Change::Removed,
                };
                added += u64::from(change == Change::Added);
                if let Ok(number) = Phone::of_integer(join(page, place)) {
                    each(change, number);
                }
            });
        }
        let kept = newer.header().numbers - added;
        Diff {
            added,
            removed: self.header().numbers - kept,
            kept,
        }
    }

    /// The list with the numbers of a change list added, and then those it takes off taken off.
    #[must_use]
    pub fn merge(&self, added: &Builder, removed: &Builder) -> Builder {
        let mut merged = Builder::new();
        for entry in self.entries() {
            if let Some(view) = self.view(entry) {
                merged.put_page(entry.page, view.page(entry.count));
            }
        }
        merged.insert_all(added);
        merged.remove_all(removed);
        merged
    }
}
