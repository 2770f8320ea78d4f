//! Ten thousand consecutive numbers: the unit in which lists are kept, in memory and in the file.

/// Numbers in a page. For +1 it is one exchange: the last four digits of the number are its place in the page.
pub(super) const PAGE_NUMBERS: u64 = 10_000;

/// Up to so many numbers a page lists them, above it sets bits. It could be 624 before bits take less room; finding one
/// among so many costs more cache lines than a bit does.
pub(super) const FEW_MAX: usize = 128;

/// Bytes of a page in bits.
pub(super) const BITS_BYTES: usize = 1_250;

/// A page in bits, the last word only in part.
pub(super) type Words = [u64; 157];

/// The page of a number, and its place there.
pub(super) fn split(number: u64) -> (u64, u16) {
    let place = u16::try_from(number % PAGE_NUMBERS).unwrap_or_default();
    (number / PAGE_NUMBERS, place)
}

/// The number at a place of a page.
pub(super) fn join(page: u64, place: u16) -> u64 {
    page * PAGE_NUMBERS + u64::from(place)
}

/// A page under construction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Page {
    /// Sorted.
    Few(Vec<u16>),
    /// Counted as it grows: to count it again is to fetch all of it from memory.
    Bits { words: Box<Words>, count: usize },
}

impl Default for Page {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Page {
    /// Adds a place below [`PAGE_NUMBERS`]; tells whether it is new.
    pub fn insert(&mut self, place: u16) -> bool {
        match self {
            Self::Bits { words, count } => {
                let is_new = set(words, place);
                *count += usize::from(is_new);
                is_new
            }
            Self::Few(places) => {
                // Lists are mostly sorted.
                if places.last().is_none_or(|last| *last < place) {
                    places.push(place);
                } else {
                    match places.binary_search(&place) {
                        Ok(_) => return false,
                        Err(at) => places.insert(at, place),
                    }
                }
                if places.len() > FEW_MAX {
                    *self = Self::Bits {
                        words: Box::new(words_of(places)),
                        count: places.len(),
                    };
                }
                true
            }
        }
    }

    /// Adds places as long as there are more; tells how many came and how many of them are new.
    pub fn insert_all(&mut self, mut next: impl FnMut() -> Option<u16>) -> (u64, u64) {
        let (mut came, mut new) = (0, 0);
        loop {
            if let Self::Bits { words, count } = self {
                let before = *count;
                let mut now = before;
                while let Some(place) = next() {
                    came += 1;
                    now += usize::from(set(words, place));
                }
                *count = now;
                return (came, new + (now - before) as u64);
            }
            let Some(place) = next() else {
                return (came, new);
            };
            came += 1;
            new += u64::from(self.insert(place));
        }
    }

    /// Takes a place away; tells whether it was there.
    pub fn remove(&mut self, place: u16) -> bool {
        match self {
            Self::Few(places) => {
                let found = places.binary_search(&place);
                found.map(|at| places.remove(at)).is_ok()
            }
            Self::Bits { words, count } => {
                let (at, bit) = bit_of(place);
                let Some(word) = words.get_mut(at) else {
                    return false;
                };
                let was = *word & bit != 0;
                *word &= !bit;
                *count -= usize::from(was);
                was
            }
        }
    }

    pub fn contains(&self, place: u16) -> bool {
        match self {
            Self::Few(places) => places.binary_search(&place).is_ok(),
            Self::Bits { words, .. } => {
                let (at, bit) = bit_of(place);
                words.get(at).is_some_and(|word| word & bit != 0)
            }
        }
    }

    pub fn count(&self) -> usize {
        match self {
            Self::Few(places) => places.len(),
            Self::Bits { count, .. } => *count,
        }
    }

    /// Calls for each place, in order.
    pub fn each(&self, mut found: impl FnMut(u16)) {
        match self {
            Self::Few(places) => places.iter().copied().for_each(found),
            Self::Bits { words, .. } => each_bit(words, &mut found),
        }
    }

    /// Appends the page as it stands in a file.
    pub fn write(&self, count: usize, file: &mut Vec<u8>) {
        // A page that had many numbers may have few left.
        match self {
            Self::Bits { words, .. } if count > FEW_MAX => {
                let end = file.len() + BITS_BYTES;
                for word in words.iter() {
                    file.extend_from_slice(&word.to_le_bytes());
                }
                // The last word holds sixteen numbers only.
                file.truncate(end);
            }
            _ => self.each(|place| file.extend(place.to_le_bytes())),
        }
    }
}

/// A page in a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum View<'f> {
    /// Sorted, two bytes each.
    Few(&'f [u8]),
    Bits(&'f [u8]),
}

impl<'f> View<'f> {
    /// Bytes of a page of so many numbers.
    pub fn bytes(count: usize) -> usize {
        if count > FEW_MAX {
            BITS_BYTES
        } else {
            2 * count
        }
    }

    /// The page of so many numbers in these bytes.
    pub fn new(count: usize, bytes: &'f [u8]) -> Self {
        if count > FEW_MAX {
            Self::Bits(bytes)
        } else {
            Self::Few(bytes)
        }
    }

    pub fn contains(self, place: u16) -> bool {
        match self {
            Self::Bits(bytes) => {
                let byte = bytes.get(usize::from(place / 8));
                byte.is_some_and(|byte| byte >> (place % 8) & 1 == 1)
            }
            Self::Few(bytes) => {
                let (places, _) = bytes.as_chunks::<2>();
                let found = places.binary_search_by_key(&place, |pair| u16::from_le_bytes(*pair));
                found.is_ok()
            }
        }
    }

    /// Tells whether it holds so many numbers, as this format writes them.
    pub fn is_sound(self, count: usize) -> bool {
        match self {
            Self::Bits(bytes) => {
                let (words, rest) = bytes.as_chunks::<8>();
                let ones = words
                    .iter()
                    .map(|word| u64::from_le_bytes(*word).count_ones());
                let rest = rest.iter().map(|byte| byte.count_ones());
                let found: u32 = ones.chain(rest).sum();
                found as usize == count
            }
            Self::Few(bytes) => {
                let mut places = few(bytes);
                let mut before = None;
                places.all(|place| {
                    let rises = before.replace(place).is_none_or(|before| before < place);
                    rises && u64::from(place) < PAGE_NUMBERS
                })
            }
        }
    }

    /// The page to go on building from, of so many numbers.
    pub fn page(self, count: usize) -> Page {
        match self {
            Self::Few(bytes) => Page::Few(few(bytes).collect()),
            Self::Bits(_) => Page::Bits {
                words: Box::new(self.words()),
                count,
            },
        }
    }

    pub fn words(self) -> Words {
        match self {
            Self::Few(bytes) => words_of(&few(bytes).collect::<Vec<_>>()),
            Self::Bits(bytes) => {
                let mut all = [0; 157];
                for (word, eight) in all.iter_mut().zip(bytes.chunks(8)) {
                    let mut padded = [0; 8];
                    for (to, from) in padded.iter_mut().zip(eight) {
                        *to = *from;
                    }
                    *word = u64::from_le_bytes(padded);
                }
                all
            }
        }
    }
}

/// Calls for each set bit, in order.
pub(super) fn each_bit(words: &Words, found: &mut impl FnMut(u16)) {
    for (first, word) in (0_u16..).step_by(64).zip(words) {
        let mut left = *word;
        while left != 0 {
            // Below 64.
            found(first + u16::try_from(left.trailing_zeros()).unwrap_or_default());
            left &= left - 1;
        }
    }
}

fn few(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_le_bytes(*pair))
}

fn words_of(places: &[u16]) -> Words {
    let mut words = [0; 157];
    for place in places {
        set(&mut words, *place);
    }
    words
}

fn set(words: &mut Words, place: u16) -> bool {
    let (at, bit) = bit_of(place);
    let Some(word) = words.get_mut(at) else {
        return false;
    };
    let is_new = *word & bit == 0;
    *word |= bit;
    is_new
}

fn bit_of(place: u16) -> (usize, u64) {
    (usize::from(place / 64), 1 << (place % 64))
}
