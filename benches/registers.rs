//! A national register at its full size: made up, written as its owner would ship it, imported, opened, looked up.
//!
//! The list is in the form of the United States' and as large: 195,000 exchanges of 350 area codes, each with a share of its
//! numbers between nothing and a quarter, 240 million lines. The ceiling of an import is `wc -l` on the same file, in turn
//! with it; both by their processor time, which others on the machine disturb less than they do the wall clock. The file
//! lies in the page cache for both. The import is a process of its own, so that its memory is its own too.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use dialgate::domain::phone::Phone;
use dialgate::place::Tables;
use dialgate::registry::{
    Builder, Label, ListOptions, ListReader, Lists, Snapshot, SnapshotHeader, unpacked,
};

use crate::support::figures::{Goal, Sample, Table, ratios};
use crate::support::{Size, machine, now};

/// Numbers of an exchange that are listed, on average.
const LISTED_PER_BLOCK: u64 = 1_230;
/// Look-ups that are timed together.
const LOOK_UPS: usize = 2_000_000;
const READ_BYTES: usize = 1 << 18;

pub fn run(size: &Size) {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    let snapshot = folder.path().join("list.snapshot");
    let lines = make_up(&list, size.listed);
    println!(
        "A list of {lines} lines, {} bytes.\n",
        std::fs::metadata(&list).unwrap().len()
    );
    import(size, lines, &list, &snapshot);
    std::fs::remove_file(&list).unwrap();
    look_up(size, &snapshot);
    change(&snapshot, folder.path());
}

fn import(size: &Size, lines: u64, list: &Path, snapshot: &Path) {
    let (mut ours, mut counting, mut parts) = (Sample::default(), Sample::default(), Vec::new());
    for _ in 0..size.rounds {
        let per_second = |spent: Duration| lines as f64 / spent.as_secs_f64() / 1e6;
        let (spent, told) = play(list, snapshot);
        ours.0.push(per_second(spent));
        counting.0.push(per_second(count_lines(list, lines)));
        parts.push(told);
    }
    let part =
        |at: usize, unit: f64| Sample(parts.iter().map(|told| told[at] as f64 / unit).collect());
    assert!(parts.iter().all(|told| told[0] == lines));
    let ratio = ratios(&ours, &counting);
    let goal = Goal::AtLeast(0.3);
    let mut table = Table::new(&[
        "M lines/s of a core",
        "`wc -l`'s",
        "ratio",
        "goal",
        "verdict",
        "reading, cpu s",
        "writing, cpu s",
        "peak MiB",
    ]);
    table.row(vec![
        ours.show(1),
        counting.show(1),
        ratio.show(2),
        goal.show(),
        goal.verdict(ratio.median()),
        part(1, 1e9).show(2),
        part(2, 1e9).show(2),
        part(3, 1024.0).show(0),
    ]);
    table.print("Importing a register");
}

fn look_up(size: &Size, path: &Path) {
    let (mut wall, mut cpu, mut first) = (Sample::default(), Sample::default(), Sample::default());
    for _ in 0..size.rounds {
        let (begun, spent) = (now(), own());
        let snapshot = Snapshot::open(path).unwrap();
        wall.0.push((now() - begun).as_secs_f64() * 1e3);
        cpu.0.push((own() - spent).as_secs_f64() * 1e3);
        let begun = now();
        let number = Phone::of_integer(12_025_550_101).unwrap();
        std::hint::black_box(snapshot.look_up(number));
        first.0.push((now() - begun).as_secs_f64() * 1e6);
    }
    let snapshot = Snapshot::open(path).unwrap();
    let bytes = snapshot.file_bytes() as f64 / snapshot.header().numbers as f64;
    let mut table = Table::new(&["what", "figure", "goal", "verdict"]);
    let mut row = |what: &str, sample: &Sample, digits: usize, goal: Goal| {
        let verdict = goal.verdict(sample.median());
        table.row(vec![
            what.to_owned(),
            sample.show(digits),
            goal.show(),
            verdict,
        ]);
    };
    row("bytes a number", &Sample(vec![bytes]), 3, Goal::AtMost(1.1));
    row("opening, ms", &wall, 0, Goal::AtMost(1_000.0));
    row("opening, cpu ms", &cpu, 0, Goal::None);
    row("first look-up, µs", &first, 1, Goal::None);
    let mut random = Random(7);
    let (hits, misses) = numbers_to_ask(&snapshot, &mut random);
    for (what, numbers, answer) in [("hit", hits, true), ("miss", misses, false)] {
        let mut sample = Sample::default();
        for _ in 0..size.rounds {
            let before = own();
            let found = numbers
                .iter()
                .filter(|number| snapshot.look_up(**number) == Some(answer))
                .count();
            let spent = own() - before;
            assert_eq!(found, numbers.len());
            sample.0.push(spent.as_nanos() as f64 / found as f64);
        }
        row(&format!("{what}, cpu ns"), &sample, 0, Goal::AtMost(100.0));
    }
    table.print("A register's snapshot");
}

/// A change list of a hundredth of the numbers, and the two snapshots beside each other.
fn change(path: &Path, folder: &Path) {
    let before = Snapshot::open(path).unwrap();
    let (mut added, mut removed) = (Builder::new(), Builder::new());
    let mut random = Random(11);
    let wanted = (before.header().numbers / 200).max(1);
    let (hits, misses) = numbers_to_ask(&before, &mut random);
    for number in hits.into_iter().take(wanted as usize) {
        removed.insert(number);
    }
    for number in misses.into_iter().take(wanted as usize) {
        added.insert(number);
    }
    let begun = own();
    let merged = before.merge(&added, &removed);
    let merging = own() - begun;
    let path = folder.join("next.snapshot");
    write(&merged, &before.header().covers.to_string(), &path);
    let after = Snapshot::open(&path).unwrap();
    let begun = own();
    let mut told = 0;
    let diff = before.compare(&after, |_, _| told += 1);
    let comparing = own() - begun;
    assert_eq!((diff.added, diff.removed), (added.len(), removed.len()));
    assert_eq!(told, diff.added + diff.removed);
    println!(
        "A change list of {} numbers is merged in {:.2} cpu s before it is written, and two snapshots are compared in {:.2}.\n",
        told,
        merging.as_secs_f64(),
        comparing.as_secs_f64()
    );
}

/// Listed numbers, and others of the same area codes and exchanges, in no order.
fn numbers_to_ask(snapshot: &Snapshot, random: &mut Random) -> (Vec<Phone>, Vec<Phone>) {
    let numbers = snapshot.header().numbers;
    let step = (numbers / LOOK_UPS as u64).max(1) as usize;
    let mut hits: Vec<Phone> = snapshot.numbers().step_by(step).take(LOOK_UPS).collect();
    let near = |number: &Phone, random: &mut Random| {
        let other = number.integer() / 10_000 * 10_000 + random.next() % 10_000;
        Phone::of_integer(other).unwrap()
    };
    let mut misses: Vec<Phone> = Vec::new();
    while misses.len() < hits.len() {
        let number = near(&hits[random.next() as usize % hits.len()], random);
        if snapshot.look_up(number) == Some(false) {
            misses.push(number);
        }
    }
    for at in (1..hits.len()).rev() {
        hits.swap(at, random.next() as usize % (at + 1));
    }
    (hits, misses)
}

/// Processor time of this process so far.
fn own() -> Duration {
    machine::threads(std::process::id(), "")
}

fn count_lines(list: &Path, lines: u64) -> Duration {
    let mut child = Command::new("wc")
        .arg("-l")
        .arg(list)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, spent) = machine::ended(&mut child);
    let mut text = String::new();
    child.stdout.unwrap().read_to_string(&mut text).unwrap();
    assert!(
        status.success() && text.starts_with(&lines.to_string()),
        "{text}"
    );
    spent
}

/// Imports in a process of its own: its processor time, and the four numbers it tells.
fn play(list: &Path, snapshot: &Path) -> (Duration, [u64; 4]) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .arg("--play-import")
        .arg(list)
        .arg(snapshot)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (status, spent) = machine::ended(&mut child);
    assert!(status.success());
    let mut text = String::new();
    child.stdout.unwrap().read_to_string(&mut text).unwrap();
    let told: Vec<u64> = text
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    (spent, told.try_into().unwrap())
}

/// The import: LIST SNAPSHOT. Tells the numbers, the nanoseconds of processor time of reading and of writing, and the
/// most memory it ever had in KiB.
pub fn play_import(arguments: &[String]) {
    let file = BufReader::with_capacity(READ_BYTES, File::open(&arguments[0]).unwrap());
    let mut plain = unpacked(file).unwrap();
    let tables = Tables::shared().unwrap();
    let begun = own();
    let mut reader = ListReader::new(tables, ListOptions::default(), Lists::default());
    let mut block = vec![0; READ_BYTES];
    loop {
        let length = plain.read(&mut block).unwrap();
        if length == 0 {
            break;
        }
        reader
            .push(&block[..length], &mut |reject| panic!("{reject:?}"))
            .unwrap();
    }
    let (lists, report) = reader.finish(&mut |reject| panic!("{reject:?}")).unwrap();
    assert_eq!(report.duplicates, 0);
    let read = own();
    let covers = lists.added.covers_area_codes().to_string();
    let header = write(&lists.added, &covers, Path::new(&arguments[1]));
    let written = own();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next())
        .unwrap();
    println!(
        "{} {} {} {peak}",
        header.numbers,
        (read - begun).as_nanos(),
        (written - read).as_nanos()
    );
}

fn write(list: &Builder, covers: &str, path: &Path) -> SnapshotHeader {
    let label = Label {
        register: "us-dnc".to_owned(),
        as_of: jiff::civil::date(2026, 11, 1),
        covers: covers.parse().unwrap(),
        origin: "made up".to_owned(),
    };
    list.finish(&label, path).unwrap()
}

/// Writes the list; tells its lines.
fn make_up(path: &Path, listed: u64) -> u64 {
    let mut file = BufWriter::with_capacity(READ_BYTES, File::create(path).unwrap());
    let mut random = Random(1);
    let blocks = listed.div_ceil(LISTED_PER_BLOCK);
    let area_codes: Vec<u64> = (201..=989).filter(|code| code % 100 != 11).collect();
    // Some 350 of them, and as many exchanges of each as it takes.
    let area_codes: Vec<u64> = area_codes.into_iter().step_by(2).take(350).collect();
    let exchanges = blocks.div_ceil(area_codes.len() as u64);
    let (mut lines, mut left) = (0, blocks);
    let mut line = *b"000,0000000\n";
    for area_code in area_codes {
        for exchange in (0..exchanges.min(left)).map(|index| 200 + index * 799 / exchanges) {
            // A share between nothing and a quarter, in parts of 65,536.
            let share = random.next() % (2 * LISTED_PER_BLOCK * 65_536 / 10_000);
            digits(&mut line[..3], area_code);
            digits(&mut line[4..7], exchange);
            let mut draws = 0;
            for place in 0..10_000 {
                draws = if place % 4 == 0 {
                    random.next()
                } else {
                    draws >> 16
                };
                if draws & 0xffff < share {
                    digits(&mut line[7..11], place);
                    file.write_all(&line).unwrap();
                    lines += 1;
                }
            }
        }
        left -= exchanges.min(left);
    }
    file.into_inner().unwrap().sync_all().unwrap();
    lines
}

fn digits(to: &mut [u8], mut number: u64) {
    for digit in to.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
