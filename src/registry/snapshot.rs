//! A snapshot that is open: mapped, verified, read-only.

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::covers::Reach;
use super::format::{
    self, ALIGNMENT, HASH_AT, HASHED_FROM, HEADER_AT, HEADER_BYTES_MAX, HeaderLine, MAGIC,
    SLOT_BYTES, VERSION,
};
use super::page::{PAGE_NUMBERS, View, join, split};
use super::{RegistryError, SnapshotHeader};
use crate::domain::phone::Phone;

/// One list as of one day. Opening verifies every byte; afterwards a look-up is two places in memory. Share it in an `Arc`.
pub struct Snapshot {
    header: SnapshotHeader,
    /// What the header says that it covers.
    reach: Reach,
    map: Mmap,
    /// Where the table begins, and where the pages do.
    table_at: usize,
    pages_at: usize,
    /// The table has 2^`slot_bits` slots.
    slot_bits: u32,
}

/// A taken slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    /// Its page number.
    pub page: u64,
    offset: usize,
    pub count: usize,
}

impl Snapshot {
    /// Maps the file and verifies it: format, sizes, hash, every slot and every page.
    pub fn open(path: &Path) -> Result<Self, RegistryError> {
        let file = File::open(path).map_err(RegistryError::io("open", path))?;
        let map = map(&file).map_err(RegistryError::io("map", path))?;
        let damaged = |what| RegistryError::Damaged {
            path: path.to_owned(),
            what,
        };
        let is_ours = map.starts_with(&MAGIC);
        let version = map.get(MAGIC.len()..HASH_AT).and_then(u32_of);
        match version.filter(|_| is_ours) {
            Some(VERSION) => {}
            Some(found) => {
                return Err(RegistryError::OtherVersion {
                    path: path.to_owned(),
                    found,
                });
            }
            None => {
                return Err(RegistryError::NotASnapshot {
                    path: path.to_owned(),
                });
            }
        }
        let said = map.get(HASH_AT..HASHED_FROM);
        let hashed = map.get(HASHED_FROM..).ok_or_else(|| damaged("cut short"))?;
        let sha256: [u8; 32] = Sha256::digest(hashed).into();
        if said != Some(sha256.as_slice()) {
            return Err(damaged("its content does not have the hash it claims"));
        }
        let (line, table_at) = header_of(&map).map_err(damaged)?;
        let slot_bits = slot_bits(&line).ok_or_else(|| damaged("its table has no sound size"))?;
        let snapshot = Self {
            reach: Reach::of(&line.covers),
            header: SnapshotHeader {
                register: line.register,
                as_of: line.as_of,
                covers: line.covers,
                numbers: line.numbers,
                origin: line.origin,
                sha256: format::hexadecimal(&sha256),
            },
            table_at,
            pages_at: table_at + (SLOT_BYTES << slot_bits),
            slot_bits,
            map,
        };
        snapshot.verify(line.pages).map_err(damaged)?;
        Ok(snapshot)
    }

    /// What the snapshot says of itself.
    #[must_use]
    pub fn header(&self) -> &SnapshotHeader {
        &self.header
    }

    /// How large the file is.
    #[must_use]
    pub fn file_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Tells whether the number is listed. `None`: the list does not cover it, so nothing is known.
    #[must_use]
    pub fn look_up(&self, number: Phone) -> Option<bool> {
        let (page, place) = split(number.integer());
        if let Some((_, entry)) = self.find(page) {
            // Verified to be there; if it is not, nothing is known.
            let found = self.view(entry)?;
            // Listed is listed, also where the operator said that the list covers less.
            if found.contains(place) {
                return Some(true);
            }
        }
        self.reach.contains(number).then_some(false)
    }

    /// All numbers, sorted.
    pub fn numbers(&self) -> impl Iterator<Item = Phone> {
        self.entries().into_iter().flat_map(|entry| {
            let mut places = Vec::with_capacity(entry.count);
            if let Some(view) = self.view(entry) {
                view.page(entry.count).each(|place| places.push(place));
            }
            let numbers = places.into_iter().map(move |place| join(entry.page, place));
            numbers.filter_map(|number| Phone::of_integer(number).ok())
        })
    }

    /// The taken slots, by rising page number.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let slots = 0..1_usize << self.slot_bits;
        let mut entries: Vec<Entry> = slots.filter_map(|slot| self.entry(slot)).collect();
        entries.sort_unstable_by_key(|entry| entry.page);
        entries
    }

    pub(super) fn view(&self, entry: Entry) -> Option<View<'_>> {
        let begin = self.pages_at.checked_add(entry.offset)?;
        let end = begin.checked_add(View::bytes(entry.count))?;
        Some(View::new(entry.count, self.map.get(begin..end)?))
    }

    /// The page's slot and what it holds.
    fn find(&self, page: u64) -> Option<(usize, Entry)> {
        let slots = 1_usize << self.slot_bits;
        let first = format::first_slot(page, self.slot_bits);
        // Half of the slots are empty: some step ends here.
        for step in 0..slots {
            let slot = (first + step) & (slots - 1);
            let entry = self.entry(slot)?;
            if entry.page == page {
                return Some((slot, entry));
            }
        }
        None
    }

    /// What a slot holds, if it is taken.
    fn entry(&self, slot: usize) -> Option<Entry> {
        let bytes = self.map.get(self.table_at + slot * SLOT_BYTES..)?;
        let (page, rest) = bytes.split_first_chunk::<8>()?;
        let page = u64::from_le_bytes(*page);
        let place = u64::from_le_bytes(*rest.first_chunk::<8>()?);
        (page != 0).then_some(Entry {
            page,
            offset: usize::try_from(place & ((1 << 48) - 1)).ok()?,
            count: usize::try_from(place >> 48).ok()?,
        })
    }

    /// Whoever makes a file can give it a fitting hash, so the hash is not enough.
    fn verify(&self, pages: u64) -> Result<(), &'static str> {
        if self.map.len() < self.pages_at {
            return Err("its table is cut short");
        }
        let slots = 0..1_usize << self.slot_bits;
        for slot in slots {
            let Some(entry) = self.entry(slot) else {
                continue;
            };
            let found = self.find(entry.page);
            if found.is_none_or(|(found, _)| found != slot) {
                return Err("a slot of its table lies where nobody finds it");
            }
        }
        let entries = self.entries();
        if entries.len() as u64 != pages {
            return Err("its table has not as many pages as its header says");
        }
        let (mut numbers, mut end) = (0, 0);
        for entry in entries {
            if entry.offset != end || entry.count == 0 || entry.count as u64 > PAGE_NUMBERS {
                return Err("a page is not where it should be");
            }
            let view = self.view(entry).ok_or("its pages are cut short")?;
            if !view.is_sound(entry.count) {
                return Err("a page has not as many numbers as its table says");
            }
            numbers += entry.count as u64;
            end += View::bytes(entry.count);
        }
        if self.pages_at.checked_add(end) != Some(self.map.len()) {
            return Err("something follows its pages");
        }
        if numbers != self.header.numbers {
            return Err("it has not as many numbers as its header says");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Snapshot").field(&self.header).finish()
    }
}

/// Maps the file for reading.
///
/// A file that is cut while it is mapped ends the process (SIGBUS) at the next look-up behind its new end, and one that is
/// written to changes answers. Neither happens by this program: it writes a snapshot beside, syncs, renames, and never
/// touches it again; a file that was renamed over or deleted lives on for whoever has it mapped. Who copies snapshots from
/// elsewhere must do the same.
fn map(file: &File) -> std::io::Result<Mmap> {
    #[expect(
        unsafe_code,
        reason = "a map is only as constant as its file: this one is opened read-only, and no snapshot is ever edited in place"
    )]
    unsafe {
        Mmap::map(file)
    }
}

/// The header line, and where the table begins.
fn header_of(map: &[u8]) -> Result<(HeaderLine, usize), &'static str> {
    let length = map
        .get(HASHED_FROM..HEADER_AT)
        .and_then(u32_of)
        .and_then(|length| usize::try_from(length).ok())
        .filter(|length| *length <= HEADER_BYTES_MAX)
        .ok_or("its header has no sound length")?;
    let end = HEADER_AT + length;
    let line = map.get(HEADER_AT..end).ok_or("its header is cut short")?;
    if line.last() != Some(&b'\n') || !end.is_multiple_of(ALIGNMENT) {
        return Err("its header has no sound length");
    }
    let line = serde_json::from_slice(line).map_err(|_| "its header cannot be read")?;
    Ok((line, end))
}

/// How many bits number the slots, if their count is a power of two, at least twice the pages, and one that a file can have.
fn slot_bits(line: &HeaderLine) -> Option<u32> {
    let enough = line.pages.checked_mul(2)?.max(2);
    let sound = line.slots.is_power_of_two() && line.slots >= enough && line.slots < 1 << 40;
    sound.then(|| line.slots.trailing_zeros())
}

fn u32_of(bytes: &[u8]) -> Option<u32> {
    bytes
        .first_chunk::<4>()
        .map(|four| u32::from_le_bytes(*four))
}
