//! A list in memory, and how it becomes a file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::format::{
    self, ALIGNMENT, HASH_AT, HASHED_FROM, HEADER_AT, HEADER_BYTES_MAX, HeaderLine, MAGIC,
    PAGES_BYTES_MAX, SLOT_BYTES, VERSION, hexadecimal,
};
use super::page::{Page, View, join, split};
use super::{Covers, Label, RegistryError, SnapshotHeader};
use crate::domain::phone::Phone;

/// A set of numbers that grows: a byte a number for a national list, some dozen for a few thousand scattered over a
/// country.
#[derive(Clone, Default)]
pub struct Builder {
    pages: HashMap<u64, Page>,
    count: u64,
}

/// What is hashed and written at a time, while the processor still holds it close by.
const BLOCK_BYTES: usize = 1 << 18;

impl Builder {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a number; tells whether it is new.
    pub fn insert(&mut self, number: Phone) -> bool {
        let (page, place) = split(number.integer());
        self.extend_page(page, |page| u64::from(page.insert(place))) == 1
    }

    /// Takes a number away; tells whether it was there.
    pub fn remove(&mut self, number: Phone) -> bool {
        let (page, place) = split(number.integer());
        let was = self
            .pages
            .get_mut(&page)
            .is_some_and(|page| page.remove(place));
        self.count -= u64::from(was);
        was
    }

    /// Tells whether a number is listed.
    #[must_use]
    pub fn contains(&self, number: Phone) -> bool {
        let (page, place) = split(number.integer());
        self.pages
            .get(&page)
            .is_some_and(|page| page.contains(place))
    }

    /// How many numbers there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Tells whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All numbers, sorted.
    pub fn numbers(&self) -> impl Iterator<Item = Phone> {
        let mut pages: Vec<_> = self.pages.iter().collect();
        pages.sort_unstable_by_key(|(number, _)| **number);
        pages.into_iter().flat_map(|(number, page)| {
            let mut places = Vec::with_capacity(page.count());
            page.each(|place| places.push(place));
            let number = *number;
            let numbers = places.into_iter().map(move |place| join(number, place));
            numbers.filter_map(|number| Phone::of_integer(number).ok())
        })
    }

    /// The area codes of the North American plan that occur, such as 212, and how many numbers each has.
    #[must_use]
    pub fn area_codes(&self) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for (page, count) in self.pages.iter().map(|(page, of)| (*page, of.count())) {
            if let Some(code) = area_code(page).filter(|_| count > 0) {
                *counts.entry(code).or_default() += count as u64;
            }
        }
        counts
    }

    /// Those area codes as what a list covers: operators obtain the national list of the United States by area code, and
    /// of a number with another one it says nothing. One that has less than a thousandth of the numbers that an area code
    /// has on average is left out: a digit that went wrong somewhere must not make a whole area code look clear.
    #[must_use]
    pub fn covers_area_codes(&self) -> Covers {
        let counts = self.area_codes();
        let all: u64 = counts.values().sum();
        let average = all / (counts.len() as u64).max(1);
        let enough = counts
            .iter()
            .filter(|(_, count)| **count * 1_000 >= average);
        let prefixes = enough.map(|(code, _)| format!("1{code}"));
        Covers::of(prefixes).unwrap_or_default()
    }

    /// Adds all numbers of another list.
    pub fn insert_all(&mut self, other: &Self) {
        for (number, from) in &other.pages {
            self.extend_page(*number, |page| {
                let mut new = 0;
                from.each(|place| new += u64::from(page.insert(place)));
                new
            });
        }
    }

    /// Takes all numbers of another list away.
    pub fn remove_all(&mut self, other: &Self) {
        for (number, from) in &other.pages {
            let Some(page) = self.pages.get_mut(number) else {
                continue;
            };
            let mut gone = 0;
            from.each(|place| gone += u64::from(page.remove(place)));
            self.count -= gone;
        }
    }

    /// Adds to a page what `insert` puts into it, which tells how many of it are new.
    pub(super) fn extend_page(&mut self, page: u64, insert: impl FnOnce(&mut Page) -> u64) -> u64 {
        let new = insert(self.pages.entry(page).or_default());
        self.count += new;
        new
    }

    /// A whole page that is not there yet.
    pub(super) fn put_page(&mut self, number: u64, page: Page) {
        self.count += page.count() as u64;
        self.pages.insert(number, page);
    }

    /// Writes the list as a snapshot: beside the place it will have, synced to disk, then renamed; only the user
    /// who runs this may read it. Whoever has a file of that name open keeps it. What a crash leaves behind is called
    /// `.registry-….part` and may be deleted.
    pub fn finish(&self, label: &Label, path: &Path) -> Result<SnapshotHeader, RegistryError> {
        let folder = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut file = tempfile::Builder::new()
            .prefix(".registry-")
            .suffix(".part")
            .tempfile_in(folder)
            .map_err(RegistryError::io("write a file in", folder))?;
        let laid_out = self.lay_out(label, path)?;
        let sha256 = self
            .write(&laid_out, file.as_file_mut())
            .map_err(RegistryError::io("write", path))?;
        file.persist(path)
            .map_err(|problem| problem.error)
            .map_err(RegistryError::io("write", path))?;
        // The name is durable only once its folder is.
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(RegistryError::io("sync", folder))?;
        Ok(SnapshotHeader {
            register: label.register.clone(),
            as_of: label.as_of,
            covers: label.covers.clone(),
            numbers: self.count,
            origin: label.origin.clone(),
            sha256: hexadecimal(&sha256),
        })
    }

    /// Where everything comes to stand.
    fn lay_out(&self, label: &Label, path: &Path) -> Result<LaidOut<'_>, RegistryError> {
        let too_large = |what| RegistryError::TooLarge {
            path: path.to_owned(),
            what,
        };
        let mut pages: Vec<(u64, &Page, usize)> = self
            .pages
            .iter()
            .map(|(number, page)| (*number, page, page.count()))
            .filter(|(_, _, count)| *count > 0)
            .collect();
        pages.sort_unstable_by_key(|(number, ..)| *number);
        let slots = (pages.len() * 2).next_power_of_two().max(2);
        let mut table = Table::new(slots);
        let mut offset = 0_u64;
        for (number, _, count) in &pages {
            table.insert(*number, offset, *count as u64);
            offset += View::bytes(*count) as u64;
        }
        if offset > PAGES_BYTES_MAX {
            return Err(too_large("the list has too many numbers"));
        }
        let line = HeaderLine {
            register: label.register.clone(),
            as_of: label.as_of,
            covers: label.covers.clone(),
            numbers: self.count,
            origin: label.origin.clone(),
            pages: pages.len() as u64,
            slots: slots as u64,
        };
        let mut header = serde_json::to_vec(&line)
            .map_err(io::Error::other)
            .map_err(RegistryError::io("write", path))?;
        let end = (HEADER_AT + header.len() + 1).next_multiple_of(ALIGNMENT);
        header.resize(end - HEADER_AT - 1, b' ');
        header.push(b'\n');
        let length = u32::try_from(header.len()).ok();
        let length = length.filter(|_| header.len() <= HEADER_BYTES_MAX);
        let length = length.ok_or_else(|| too_large("origin and covered prefixes are too long"))?;
        Ok(LaidOut {
            length,
            header,
            table,
            pages,
        })
    }

    fn write(&self, laid_out: &LaidOut<'_>, file: &mut File) -> io::Result<[u8; 32]> {
        file.write_all(&MAGIC)?;
        file.write_all(&VERSION.to_le_bytes())?;
        file.write_all(&[0; HASHED_FROM - HASH_AT])?;
        let mut hash = Sha256::new();
        let mut block = Vec::with_capacity(BLOCK_BYTES + 2 * super::page::BITS_BYTES);
        let mut flush = |block: &mut Vec<u8>, file: &mut File| {
            hash.update(block.as_slice());
            file.write_all(block)?;
            block.clear();
            io::Result::Ok(())
        };
        block.extend(laid_out.length.to_le_bytes());
        block.extend(&laid_out.header);
        for slots in laid_out.table.slots.chunks(BLOCK_BYTES / SLOT_BYTES) {
            block.extend(slots.iter().flatten().flat_map(|word| word.to_le_bytes()));
            flush(&mut block, file)?;
        }
        for (_, page, count) in &laid_out.pages {
            page.write(*count, &mut block);
            if block.len() >= BLOCK_BYTES {
                flush(&mut block, file)?;
            }
        }
        flush(&mut block, file)?;
        let sha256: [u8; 32] = hash.finalize().into();
        file.seek(SeekFrom::Start(HASH_AT as u64))?;
        file.write_all(&sha256)?;
        file.sync_all()?;
        Ok(sha256)
    }
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Builder({} numbers)", self.count)
    }
}

/// A file before it is written.
struct LaidOut<'b> {
    length: u32,
    header: Vec<u8>,
    table: Table,
    pages: Vec<(u64, &'b Page, usize)>,
}

/// The table of pages.
struct Table {
    slots: Vec<[u64; 2]>,
    bits: u32,
}

impl Table {
    /// An empty table of a power of two of slots.
    fn new(slots: usize) -> Self {
        Self {
            slots: vec![[0; 2]; slots],
            bits: slots.trailing_zeros(),
        }
    }

    fn insert(&mut self, page: u64, offset: u64, count: u64) {
        let first = format::first_slot(page, self.bits);
        let (before, after) = self.slots.split_at_mut(first);
        let mut slots = after.iter_mut().chain(before);
        if let Some(slot) = slots.find(|[page, _]| *page == 0) {
            *slot = [page, offset | count << 48];
        }
    }
}

/// The area code of a page of the North American plan: its numbers have eleven digits, the first of them 1.
fn area_code(page: u64) -> Option<u16> {
    let code = page
        .checked_sub(1_000_000)
        .filter(|rest| *rest < 1_000_000)?
        / 1_000;
    // Such numbers without an area code do not exist.
    u16::try_from(code).ok().filter(|code| *code >= 200)
}
