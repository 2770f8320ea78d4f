//! Builder, file, snapshot and swap together, against plain sets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::civil::date;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::*;
use crate::domain::phone::Phone;

fn phone(number: u64) -> Phone {
    Phone::of_integer(number).unwrap()
}

fn builder(numbers: &BTreeSet<u64>) -> Builder {
    let mut builder = Builder::new();
    for number in numbers {
        assert!(builder.insert(phone(*number)));
    }
    builder
}

fn label(covers: &str) -> Label {
    Label {
        register: "us-dnc".to_owned(),
        as_of: date(2026, 11, 1),
        covers: covers.parse().unwrap(),
        origin: "212.txt".to_owned(),
    }
}

/// A file in a folder of its own.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn snapshot(&self, name: &str, builder: &Builder, covers: &str) -> Snapshot {
        let path = self.path(name);
        let written = builder.finish(&label(covers), &path).unwrap();
        let snapshot = Snapshot::open(&path).unwrap();
        assert_eq!(snapshot.header(), &written);
        snapshot
    }
}

fn integers(numbers: impl Iterator<Item = Phone>) -> Vec<u64> {
    numbers.map(Phone::integer).collect()
}

/// The words of a file that does not open.
fn refused(path: &Path) -> String {
    Snapshot::open(path).unwrap_err().to_string()
}

/// The file with its hash made to fit.
fn rehashed(mut bytes: Vec<u8>) -> Vec<u8> {
    let sha256 = Sha256::digest(&bytes[44..]);
    bytes[12..44].copy_from_slice(&sha256);
    bytes
}

#[test]
fn a_list_answers_listed_not_listed_or_not_known() {
    let home = Home::new();
    let numbers = BTreeSet::from([12_125_550_101, 12_125_550_102, 13_105_550_101]);
    let snapshot = home.snapshot("list", &builder(&numbers), "1212,1646");
    for (number, answer) in [
        ("+12125550101", Some(true)),
        ("+12125550103", Some(false)),
        ("+16465550101", Some(false)),
        ("+17185550101", None),
        // Listed, whatever the label says.
        ("+13105550101", Some(true)),
        ("+442079460301", None),
    ] {
        assert_eq!(
            snapshot.look_up(Phone::parse(number).unwrap()),
            answer,
            "{number}"
        );
    }
    assert_eq!(snapshot.header().numbers, 3);
    assert_eq!(snapshot.header().as_of, date(2026, 11, 1));
    assert_eq!(
        snapshot.file_bytes(),
        fs::metadata(home.path("list")).unwrap().len()
    );
    assert_eq!(snapshot.header().sha256.len(), 64);
}

#[test]
fn an_empty_list_knows_that_nobody_is_listed() {
    let home = Home::new();
    let snapshot = home.snapshot("list", &Builder::new(), "44");
    assert_eq!(snapshot.look_up(phone(442_079_460_301)), Some(false));
    assert_eq!(snapshot.look_up(phone(12_125_550_101)), None);
    assert_eq!(snapshot.numbers().count(), 0);
}

/// Pages around the size at which they turn into bits, the last one full.
#[test]
fn pages_of_every_size() {
    let home = Home::new();
    let sizes = [1, 2, 127, 128, 129, 130, 624, 625, 626, 9_999, 10_000];
    let numbers: BTreeSet<u64> = (0_u64..)
        .zip(sizes)
        .flat_map(|(page, size)| {
            let first = 331_990_000_000 + page * 10_000;
            // Coprime to the page: all places, in no order.
            (0..size).map(move |index| first + index * 7_919 % 10_000)
        })
        .collect();
    assert_eq!(numbers.len() as u64, sizes.iter().sum::<u64>());
    let snapshot = home.snapshot("list", &builder(&numbers), "33");
    assert_eq!(
        integers(snapshot.numbers()),
        Vec::from_iter(numbers.clone())
    );
    for number in 331_989_990_000..331_990_120_000_u64 {
        let answer = snapshot.look_up(phone(number));
        assert_eq!(answer, Some(numbers.contains(&number)), "{number}");
    }
}

#[test]
fn area_codes_are_those_of_the_north_american_plan() {
    let numbers = BTreeSet::from([12_125_550_101, 19_895_550_101, 442_079_460_301, 1_212_555]);
    let mut list = builder(&numbers);
    let counts: Vec<_> = list.area_codes().into_iter().collect();
    assert_eq!(counts, [(212, 1), (989, 1)]);
    assert_eq!(list.covers_area_codes().to_string(), "1212,1989");
    assert!(list.remove(phone(19_895_550_101)));
    assert!(!list.remove(phone(19_895_550_101)));
    assert_eq!(list.covers_area_codes().to_string(), "1212");
}

/// One digit that went wrong in one line of two thousand.
#[test]
fn p06_a_stray_number_does_not_make_its_area_code_clear() {
    let mut list = builder(&(0..2_001).map(|index| 12_125_550_000 + index).collect());
    list.insert(phone(13_125_550_101));
    assert_eq!(list.covers_area_codes().to_string(), "1212");
    let home = Home::new();
    let snapshot = home.snapshot("list", &list, "1212");
    assert_eq!(snapshot.look_up(phone(13_125_550_101)), Some(true));
    assert_eq!(snapshot.look_up(phone(13_125_550_102)), None);
}

/// A reader keeps the file it has open when another takes its name; nothing is left beside.
#[test]
fn a_newer_file_takes_the_name_and_not_the_content() {
    let home = Home::new();
    let old = home.snapshot("list", &builder(&BTreeSet::from([12_125_550_101])), "1");
    let new = home.snapshot("list", &builder(&BTreeSet::from([12_125_550_102])), "1");
    assert_eq!(old.look_up(phone(12_125_550_101)), Some(true));
    assert_eq!(new.look_up(phone(12_125_550_101)), Some(false));
    assert_ne!(old.header().sha256, new.header().sha256);
    let files: Vec<_> = fs::read_dir(home.folder.path()).unwrap().collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let nowhere = home.path("no/such/folder");
    let problem = Builder::new().finish(&label("1"), &nowhere).unwrap_err();
    assert!(problem.to_string().contains("no/such"), "{problem}");
}

#[test]
fn p06_what_is_no_sound_snapshot_is_refused_with_words_that_help() {
    let home = Home::new();
    let path = home.path("list");
    let numbers: BTreeSet<u64> = (0..300).map(|index| 12_125_550_000 + index * 3).collect();
    builder(&numbers).finish(&label("1212"), &path).unwrap();
    let good = fs::read(&path).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        refused(&path)
    };
    for (change, words) in [
        (
            (&|bytes: &mut Vec<u8>| bytes.clear()) as &dyn Fn(&mut Vec<u8>),
            "is not a snapshot",
        ),
        (
            &|bytes| *bytes = b"212,5550101\n".repeat(9),
            "is not a snapshot",
        ),
        (&|bytes| bytes[0] = b'D', "is not a snapshot"),
        (&|bytes| bytes.truncate(11), "is not a snapshot"),
        (
            &|bytes| bytes[8] = 2,
            "format 2, and this release reads format 1: import the list again",
        ),
        (&|bytes| bytes.truncate(40), "damaged (cut short)"),
        (
            &|bytes| bytes.push(0),
            "damaged (its content does not have the hash",
        ),
        (
            &|bytes| bytes[70] ^= 1,
            "damaged (its content does not have the hash",
        ),
        (
            &|bytes| bytes[20] ^= 1,
            "damaged (its content does not have the hash",
        ),
    ] {
        let problem = with(change);
        assert!(problem.contains(words), "{words} in {problem}");
        assert!(problem.contains(path.to_str().unwrap()), "{problem}");
    }
    let problem = refused(&home.path("none"));
    assert!(problem.starts_with("cannot open `"), "{problem}");
}

/// A sound file of one page of each form, to be forged: whoever puts a file together can give it a fitting hash.
struct Forger {
    home: Home,
    good: Vec<u8>,
    table_at: usize,
}

impl Forger {
    fn new() -> Self {
        let home = Home::new();
        let few = (0..20).map(|index| 12_126_660_000 + index);
        let many = (0..300).map(|index| 12_125_550_000 + index * 3);
        let list = builder(&few.chain(many).collect());
        list.finish(&label("1212"), &home.path("list")).unwrap();
        let good = fs::read(home.path("list")).unwrap();
        let table_at = 48 + u32::from_le_bytes(good[44..48].try_into().unwrap()) as usize;
        assert_eq!(good.len(), table_at + 4 * 16 + 1_250 + 40);
        Self {
            home,
            good,
            table_at,
        }
    }

    /// Where the taken slots are.
    fn slots(&self) -> Vec<usize> {
        let slots = (0..4).map(|slot| self.table_at + slot * 16);
        slots
            .filter(|at| self.good[*at..*at + 8] != [0; 8])
            .collect()
    }

    fn changed(&self, at: usize, to: &[u8]) -> Vec<u8> {
        let mut bytes = self.good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        bytes
    }

    fn refuse(&self, bytes: Vec<u8>, words: &str) {
        let path = self.home.path("list");
        fs::write(&path, rehashed(bytes)).unwrap();
        let problem = refused(&path);
        assert!(problem.contains(words), "{words} in {problem}");
    }
}

#[test]
fn p06_a_forged_header_is_refused() {
    let forger = Forger::new();
    let unsound = "its header has no sound length";
    forger.refuse(forger.changed(44, &[255; 4]), unsound);
    forger.refuse(forger.changed(44, &[0; 4]), unsound);
    forger.refuse(forger.changed(44, &[81, 0]), unsound);
    forger.refuse(forger.changed(44, &[255, 255]), "its header is cut short");
    let header = String::from_utf8(forger.good[48..forger.table_at].to_vec()).unwrap();
    for (from, to, words) in [
        ("\"slots\":4", "\"slots\":3", "its table has no sound size"),
        ("\"slots\":4", "\"slots\":2", "its table has no sound size"),
        ("\"slots\":4", "\"slots\":8", "nobody finds it"),
        ("\"pages\":2", "\"pages\":1", "not as many pages"),
        ("\"numbers\":320", "\"numbers\":321", "not as many numbers"),
        ("\"covers\"", "\"cavers\"", "its header cannot be read"),
        ("2026-11-01", "2026-11-31", "its header cannot be read"),
    ] {
        assert!(header.contains(from), "{from} in {header}");
        let forged = header.replace(from, to);
        forger.refuse(forger.changed(48, forged.as_bytes()), words);
    }
    let whole = rehashed(forger.good.clone());
    assert_eq!(whole, forger.good);
}

#[test]
fn p06_a_forged_table_or_page_is_refused() {
    let forger = Forger::new();
    let [one, two] = forger.slots()[..] else {
        panic!("two pages")
    };
    let misplaced = "a page is not where it should be";
    forger.refuse(forger.changed(one, &[7]), "nobody finds it");
    forger.refuse(forger.changed(one + 8, &[8]), misplaced);
    forger.refuse(forger.changed(two + 13, &[255]), misplaced);
    forger.refuse(forger.changed(two + 14, &[0, 0]), misplaced);
    forger.refuse(forger.changed(two + 14, &[255, 255]), misplaced);
    let (pages, end) = (forger.table_at + 64, forger.good.len());
    let uneven = "a page has not as many numbers";
    forger.refuse(forger.changed(pages, &[255, 255]), uneven);
    forger.refuse(forger.changed(end - 2, &[1, 0]), uneven);
    forger.refuse(forger.changed(end - 2, &[255, 255]), uneven);
    forger.refuse(forger.good[..end - 1].to_vec(), "its pages are cut short");
    forger.refuse(forger.good[..pages - 8].to_vec(), "its table is cut short");
    let longer = [forger.good.as_slice(), &[0]].concat();
    forger.refuse(longer, "something follows its pages");
}

#[test]
fn a_swap_is_seen_at_once_and_old_readers_keep_what_they_have() {
    let home = Home::new();
    let first = Arc::new(home.snapshot("a", &builder(&BTreeSet::from([12_125_550_101])), "1"));
    let second = Arc::new(home.snapshot("b", &Builder::new(), "1"));
    let registers = Registers::default();
    assert!(registers.load().is_empty());
    assert!(
        registers
            .replace("us-dnc", Some(Arc::clone(&first)))
            .is_none()
    );
    let held = registers.load();
    let before = registers.replace("us-dnc", Some(second)).unwrap();
    assert!(Arc::ptr_eq(&before, &first));
    let number = phone(12_125_550_101);
    assert_eq!(held["us-dnc"].look_up(number), Some(true));
    assert_eq!(registers.load()["us-dnc"].look_up(number), Some(false));
    assert!(registers.replace("us-dnc", None).is_some());
    assert!(registers.replace("us-dnc", None).is_none());
    assert!(registers.load().is_empty());
}

#[test]
fn nothing_shows_a_number() {
    let home = Home::new();
    let list = builder(&BTreeSet::from([12_125_550_101]));
    let snapshot = home.snapshot("list", &list, "1212");
    let shown = format!("{list:?} {snapshot:?}");
    assert!(
        shown.contains("Builder(1 numbers)") && !shown.contains("5550101"),
        "{shown}"
    );
}

/// Damages a file at one byte, in each way; tells the way in which it opens all the same.
fn opened_damaged(good: &[u8], path: &Path, at: usize, bit: usize) -> Option<&'static str> {
    let (mut turned, mut without) = (good.to_vec(), good.to_vec());
    turned[at] ^= 1 << (bit % 8);
    without.remove(at);
    let ways = [
        ("turned", turned),
        ("without", without),
        ("cut", good[..at].to_vec()),
    ];
    ways.into_iter().find_map(|(way, bytes)| {
        fs::write(path, bytes).unwrap();
        Snapshot::open(path).is_ok().then_some(way)
    })
}

#[test]
fn p06_damage_at_every_byte_is_refused() {
    let home = Home::new();
    let path = home.path("list");
    let numbers = BTreeSet::from([12_125_550_101, 12_125_550_102, 13_105_550_101]);
    builder(&numbers)
        .finish(&label("1212,1310"), &path)
        .unwrap();
    let good = fs::read(&path).unwrap();
    for at in 0..good.len() {
        let opened = opened_damaged(&good, &path, at, at);
        assert_eq!(opened, None, "byte {at}");
    }
}

/// Numbers in few pages, so that pages fill up, and some anywhere.
fn some_numbers() -> impl Strategy<Value = BTreeSet<u64>> {
    let page = prop_oneof![
        12_125_550_000..12_125_550_400_u64,
        12_125_559_900..12_125_560_300_u64,
        1_000_000..1_000_100_u64,
        999_999_999_990_000..1_000_000_000_000_000_u64,
        1_000_000..1_000_000_000_000_000_u64,
    ];
    proptest::collection::btree_set(page, 0..700)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_file_is_the_set_it_was_built_from(numbers in some_numbers(), others in some_numbers()) {
        let home = Home::new();
        let list = builder(&numbers);
        let snapshot = home.snapshot("list", &list, "1,2,3,4,5,6,7,8,9");
        prop_assert_eq!(list.len(), numbers.len() as u64);
        prop_assert_eq!(integers(snapshot.numbers()), Vec::from_iter(numbers.clone()));
        prop_assert_eq!(integers(list.numbers()), Vec::from_iter(numbers.clone()));
        for number in numbers.union(&others) {
            let listed = numbers.contains(number);
            prop_assert_eq!(snapshot.look_up(phone(*number)), Some(listed));
            prop_assert_eq!(list.contains(phone(*number)), listed);
        }
    }

    #[test]
    fn changes_are_set_algebra(old in some_numbers(), added in some_numbers(), removed in some_numbers()) {
        let home = Home::new();
        let gone: BTreeSet<u64> = old.iter().copied().step_by(2).chain(removed).collect();
        let wanted: BTreeSet<u64> = old.union(&added).copied().collect();
        let wanted: BTreeSet<u64> = wanted.difference(&gone).copied().collect();
        let before = home.snapshot("old", &builder(&old), "1");
        let merged = before.merge(&builder(&added), &builder(&gone));
        let after = home.snapshot("new", &merged, "1");
        prop_assert_eq!(merged.len(), wanted.len() as u64);
        prop_assert_eq!(integers(after.numbers()), Vec::from_iter(wanted.clone()));

        let mut changes = Vec::new();
        let diff = before.compare(&after, |change, number| changes.push((number.integer(), change)));
        let new = wanted.difference(&old).map(|number| (*number, Change::Added));
        let lost = old.difference(&wanted).map(|number| (*number, Change::Removed));
        let (news, losses): (Vec<_>, Vec<_>) = (new.collect(), lost.collect());
        prop_assert_eq!(diff.added, news.len() as u64);
        prop_assert_eq!(diff.removed, losses.len() as u64);
        prop_assert_eq!(diff.kept, old.intersection(&wanted).count() as u64);
        let mut expected = [news, losses].concat();
        expected.sort_unstable();
        prop_assert_eq!(changes, expected);
    }

    #[test]
    fn insert_and_remove_tell_what_they_did(
        steps in proptest::collection::vec((any::<bool>(), 12_125_550_000..12_125_550_300_u64), 0..900),
    ) {
        let (mut list, mut model) = (Builder::new(), BTreeSet::new());
        for (inserts, number) in steps {
            if inserts {
                prop_assert_eq!(list.insert(phone(number)), model.insert(number));
            } else {
                prop_assert_eq!(list.remove(phone(number)), model.remove(&number));
            }
        }
        prop_assert_eq!(list.len(), model.len() as u64);
        let home = Home::new();
        let snapshot = home.snapshot("list", &list, "1");
        prop_assert_eq!(integers(snapshot.numbers()), Vec::from_iter(model));
    }

    /// One bit turned, a byte or the end missing anywhere: never opened.
    #[test]
    fn p06_any_damage_is_refused(numbers in some_numbers(), seeds in proptest::collection::vec(any::<(u32, u8)>(), 4)) {
        let home = Home::new();
        let path = home.path("list");
        builder(&numbers).finish(&label("1"), &path).unwrap();
        let good = fs::read(&path).unwrap();
        for (at, bit) in seeds {
            prop_assert_eq!(opened_damaged(&good, &path, at as usize % good.len(), usize::from(bit)), None);
        }
    }

    #[test]
    fn p22_no_bytes_break_the_opening(bytes in proptest::collection::vec(any::<u8>(), 0..300), magic in any::<bool>()) {
        let home = Home::new();
        let path = home.path("list");
        let bytes = if magic {
            rehashed([b"dgregist\x01\0\0\0".as_slice(), &[0; 32], &bytes].concat())
        } else {
            bytes
        };
        fs::write(&path, bytes).unwrap();
        prop_assert!(Snapshot::open(&path).is_err());
    }
}
