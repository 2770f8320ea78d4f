//! The transparency log over the wire: proofs that hold, exports that a stranger can verify, and none that was tampered with and
//! passes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use dialgate::audit::{
    Checkpoint, Hash, TreeHead, Verdict, Verifier, VerifierKey, is_consistent, is_included,
    leaf_hash,
};
use dialgate::clock::Clock;
use dialgate::grpc::pb;
use dialgate::sequencer::{Sequenced, Sequencer, SigningPlace};
use dialgate::store::{AuditEntry, Urgency};
use pb::get_entry_request::Entry;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tonic::Code;

use super::house::{ATLANTA, Client, House, assert_refused};
use crate::joints::rng::Rng;
use crate::support::builders::{audit, phone, tenant};

pub(super) async fn sequencer(house: &House) -> Sequencer {
    let place = SigningPlace {
        path: house.base.folder.path().join("log.key"),
        origin: Some("example.com/calls".to_owned()),
    };
    let clock = Clock::Manual(Arc::clone(&house.clock));
    let opened = Sequencer::open(house.store.clone(), &place, clock);
    opened.await.unwrap()
}

async fn settle(sequencer: &Sequencer) {
    while sequencer.turn().await.unwrap() != Sequenced::Nothing {}
}

/// So many entries more, and their places.
async fn grow(house: &House, sequencer: &Sequencer, count: u32) {
    let entries: Vec<AuditEntry> = (0..count)
        .map(|number| AuditEntry {
            subject_key: (number % 3 > 0)
                .then(|| house.store.hasher().key(&tenant(), phone(number)).0),
            payload: serde_json::json!({ "number": number, "told": "ja \u{e4}\n" }),
            ..audit("consent.recorded", house.now())
        })
        .collect();
    let mut tx = house.store.write(Urgency::Ordinary).await.unwrap();
    tx.insert_audit(&tenant(), &entries).await.unwrap();
    tx.commit().await.unwrap();
    settle(sequencer).await;
}

fn key(sequencer: &Sequencer) -> VerifierKey {
    sequencer.verifier().clone()
}

async fn latest(client: &Client, key: &VerifierKey) -> TreeHead {
    let request = pb::GetCheckpointRequest {};
    let answer = client
        .audit()
        .get_checkpoint(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(answer.verifier_key, key.to_string());
    let head = Checkpoint::open(&answer.checkpoint, key).unwrap().head;
    assert_eq!(i64::try_from(head.size), Ok(answer.tree_size));
    head
}

fn hashes(bytes: &[Vec<u8>]) -> Vec<Hash> {
    let hash = |bytes: &Vec<u8>| Hash(bytes.as_slice().try_into().unwrap());
    bytes.iter().map(hash).collect()
}

async fn export(client: &Client, first_index: i64) -> Vec<String> {
    let request = pb::ExportEntriesRequest { first_index };
    let mut answers = client
        .audit()
        .export_entries(request)
        .await
        .unwrap()
        .into_inner();
    let mut lines = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        lines.extend(answer.lines);
    }
    lines
}

fn verify(lines: &[String], key: &VerifierKey, kept: &[TreeHead]) -> Verdict {
    let origin = key.name().to_owned();
    let kept = kept.iter().map(|head| Checkpoint {
        origin: origin.clone(),
        head: *head,
    });
    let mut verifier = Verifier::new(Some(key.clone()), kept.collect());
    lines.iter().for_each(|line| verifier.line(line.as_bytes()));
    verifier.finish(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_every_entry_is_proved_and_every_checkpoint_contains_the_one_before() {
    let house = House::open().await;
    let auditor = house.auditor().await;
    let none = auditor
        .audit()
        .get_checkpoint(pb::GetCheckpointRequest {})
        .await;
    assert_refused(none, Code::NotFound, "CHECKPOINT_NOT_FOUND", &[]);
    let sequencer = sequencer(&house).await;
    let key = key(&sequencer);
    let mut heads = vec![latest(&auditor, &key).await];
    for count in [1, 2, 250, 80] {
        grow(&house, &sequencer, count).await;
        heads.push(latest(&auditor, &key).await);
    }
    let head = *heads.last().unwrap();
    for index in [0, 1, 3, 254, 255, 256, 257, head.size - 1] {
        let log_index = i64::try_from(index).unwrap();
        let request = pb::GetEntryRequest {
            entry: Some(Entry::LogIndex(log_index)),
            tree_size: 0,
        };
        let answer = auditor
            .audit()
            .get_entry(request)
            .await
            .unwrap()
            .into_inner();
        let proof = answer.proof.unwrap();
        assert_eq!(
            (proof.log_index, proof.tree_size),
            (log_index, head.size as i64)
        );
        let leaf = leaf_hash(answer.leaf.as_bytes());
        assert!(is_included(
            &leaf,
            index,
            head.size,
            &hashes(&proof.hashes),
            &head.root
        ));
        // The same one by its name, and for a checkpoint of before.
        let entry = answer.entry.unwrap();
        let older = heads.iter().find(|head| head.size > index).unwrap();
        let request = pb::GetEntryRequest {
            entry: Some(Entry::EntryId(entry.entry_id.clone())),
            tree_size: older.size as i64,
        };
        let answer = auditor
            .audit()
            .get_entry(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(answer.entry, Some(entry));
        let proof = answer.proof.unwrap();
        let note = Checkpoint::open(&proof.checkpoint, &key).unwrap();
        assert_eq!(note.head, *older);
        assert!(is_included(
            &leaf,
            index,
            older.size,
            &hashes(&proof.hashes),
            &older.root
        ));
    }
    for old in &heads {
        let request = pb::GetConsistencyProofRequest {
            old_size: old.size as i64,
            new_size: 0,
        };
        let answer = auditor.audit().get_consistency_proof(request).await;
        let answer = answer.unwrap().into_inner();
        assert_eq!(
            Checkpoint::open(&answer.checkpoint, &key).unwrap().head,
            head
        );
        assert!(is_consistent(old, &head, &hashes(&answer.hashes)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_wrongly_is_told_by_its_field() {
    let house = House::open().await;
    let auditor = house.auditor().await;
    let sequencer = sequencer(&house).await;
    grow(&house, &sequencer, 5).await;
    let get = async |entry, tree_size| {
        let request = pb::GetEntryRequest { entry, tree_size };
        auditor.audit().get_entry(request).await
    };
    let invalid = (Code::InvalidArgument, "INVALID_FIELDS");
    for (entry, size, field) in [
        (None, 0, "entry"),
        (Some(Entry::EntryId("x".to_owned())), 0, "entry_id"),
        (Some(Entry::LogIndex(-1)), 0, "log_index"),
        (Some(Entry::LogIndex(0)), -1, "tree_size"),
        (Some(Entry::LogIndex(4)), 3, "tree_size"),
        (Some(Entry::LogIndex(4)), 99, "tree_size"),
    ] {
        assert_refused(get(entry, size).await, invalid.0, invalid.1, &[field]);
    }
    let nobody = get(Some(Entry::LogIndex(99)), 0).await;
    assert_refused(nobody, Code::NotFound, "ENTRY_NOT_FOUND", &[]);
    for (old_size, new_size, field) in
        [(-1, 0, "old_size"), (0, 99, "new_size"), (5, 3, "old_size")]
    {
        let request = pb::GetConsistencyProofRequest { old_size, new_size };
        let answer = auditor.audit().get_consistency_proof(request).await;
        assert_refused(answer, invalid.0, invalid.1, &[field]);
    }
    for first_index in [-1, 99] {
        let request = pb::ExportEntriesRequest { first_index };
        let answer = auditor.audit().export_entries(request).await;
        assert_refused(answer.map(|_| ()), invalid.0, invalid.1, &["first_index"]);
    }
}

/// An entry is there with its effect, and has no proof for the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_listed_by_what_they_are_about() {
    let house = House::open().await;
    let (auditor, admin) = (house.auditor().await, house.administrator().await);
    let sequencer = sequencer(&house).await;
    settle(&sequencer).await;
    house.callable(ATLANTA).await;
    let request = pb::CreateSuppressionRequest {
        request_id: super::house::request_id(),
        subject: Some(pb::create_suppression_request::Subject::Number(
            ATLANTA.to_owned(),
        )),
        reason: pb::SuppressionReason::PartyRequest.into(),
        source: pb::SuppressionSource::Web.into(),
        ..pb::CreateSuppressionRequest::default()
    };
    admin
        .suppressions()
        .create_suppression(request)
        .await
        .unwrap();
    let list = async |filter: &str, number: &str| {
        let request = pb::ListEntriesRequest {
            filter: filter.to_owned(),
            number: number.to_owned(),
            ..pb::ListEntriesRequest::default()
        };
        auditor
            .audit()
            .list_entries(request)
            .await
            .unwrap()
            .into_inner()
            .entries
    };
    let about = list("", ATLANTA).await;
    assert_eq!(about.len(), 1, "{about:?}");
    assert_eq!(
        (about[0].kind.as_str(), about[0].log_index),
        ("suppression.created", None)
    );
    let get = async |id: &str| {
        let request = pb::GetEntryRequest {
            entry: Some(Entry::EntryId(id.to_owned())),
            tree_size: 0,
        };
        auditor
            .audit()
            .get_entry(request)
            .await
            .unwrap()
            .into_inner()
    };
    assert_eq!(get(&about[0].entry_id).await.proof, None);
    settle(&sequencer).await;
    assert!(get(&about[0].entry_id).await.proof.is_some());
    let placed = list("log_index >= 0 AND kind = \"suppression.created\"", "").await;
    assert_eq!(placed.len(), 1);
    assert!(placed[0].log_index.is_some());
    assert!(!format!("{placed:?}").contains("4045550141"));
    assert!(list("", "+14045550142").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_an_export_is_whole_from_wherever_it_begins() {
    let house = House::open().await;
    let auditor = house.auditor().await;
    let sequencer = sequencer(&house).await;
    let key = key(&sequencer);
    let empty = export(&auditor, 0).await;
    let verdict = verify(&empty, &key, &[latest(&auditor, &key).await]);
    assert!(verdict.is_whole(), "{:?}", verdict.faults);
    let mut kept = Vec::new();
    for count in [3, 300, 700] {
        grow(&house, &sequencer, count).await;
        kept.push(latest(&auditor, &key).await);
    }
    let size = kept.last().unwrap().size;
    let verdict = verify(&export(&auditor, 0).await, &key, &kept);
    assert!(verdict.is_whole(), "{:?}", verdict.faults);
    assert_eq!((verdict.entries, verdict.kept), (size, 3));
    for first in [1, 255, 256, 300, size - 1, size] {
        let lines = export(&auditor, i64::try_from(first).unwrap()).await;
        let verdict = verify(&lines, &key, &kept[2..]);
        assert!(verdict.is_whole(), "{first}: {:?}", verdict.faults);
        assert_eq!(verdict.entries, size - first);
    }
    // More comes while somebody reads: the file ends with the checkpoint that was the latest at first.
    let request = pb::ExportEntriesRequest { first_index: 0 };
    let mut answers = auditor
        .audit()
        .export_entries(request)
        .await
        .unwrap()
        .into_inner();
    grow(&house, &sequencer, 400).await;
    let mut lines = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        lines.extend(answer.lines);
    }
    let verdict = verify(&lines, &key, &kept);
    assert!(verdict.is_whole(), "{:?}", verdict.faults);
    assert_eq!(verdict.entries, size);
}

/// Somebody with the database in hand.
struct Tamperer {
    conn: SqliteConnection,
    rng: Rng,
    size: usize,
}

const TABLES: [&str; 4] = [
    "audit_entries",
    "audit_tiles",
    "audit_checkpoints",
    "audit_logs",
];

impl Tamperer {
    async fn over(house: &House, size: u64) -> Self {
        let file = house.base.config.url.trim_start_matches("sqlite://");
        let options = SqliteConnectOptions::new().filename(file);
        let mut this = Self {
            conn: SqliteConnection::connect_with(&options).await.unwrap(),
            rng: Rng::new(7, 15),
            size: usize::try_from(size).unwrap(),
        };
        for table in TABLES {
            this.run(&format!(
                "CREATE TEMP TABLE kept_{table} AS SELECT * FROM {table}"
            ))
            .await;
        }
        this
    }

    async fn run(&mut self, sql: &str) -> u64 {
        let sql = AssertSqlSafe(sql.to_owned());
        let done = sqlx::query(sql).execute(&mut self.conn).await.unwrap();
        done.rows_affected()
    }

    /// As if nothing had happened.
    async fn restore(&mut self) {
        self.run("BEGIN IMMEDIATE").await;
        for table in TABLES {
            self.run(&format!("DELETE FROM {table}")).await;
            self.run(&format!("INSERT INTO {table} SELECT * FROM kept_{table}"))
                .await;
        }
        self.run("COMMIT").await;
    }

    /// Changes something; tells what.
    async fn tamper(&mut self) -> String {
        let one = self.rng.below(self.size);
        let two = (one + 1 + self.rng.below(self.size - 1)) % self.size;
        let moved = "UPDATE audit_entries SET log_index = log_index + 1000000 WHERE log_index";
        let back = "UPDATE audit_entries SET log_index = log_index - 1000000 + 1 WHERE log_index >= 1000000";
        let copy = |place: usize| {
            format!(
                "INSERT INTO audit_entries (entry_id, tenant_id, kind, actor, subject_key, payload, create_time, log_index)
                 SELECT randomblob(16), tenant_id, kind, actor, subject_key, payload, create_time, {place}
                 FROM audit_entries WHERE log_index = {two}"
            )
        };
        let entry = |change: &str| {
            vec![format!(
                "UPDATE audit_entries SET {change} WHERE log_index = {one}"
            )]
        };
        let steps: Vec<String> = match self.rng.below(16) {
            0 => entry("payload = REPLACE(payload, 'ja', 'no') || ' '"),
            1 => entry("kind = kind || '.x'"),
            2 => entry("actor = 'key:somebody'"),
            3 => entry("create_time = create_time + 1"),
            4 => entry("subject_key = CASE WHEN subject_key IS NULL THEN zeroblob(32) END"),
            5 => entry("entry_id = randomblob(16)"),
            6 => entry("tenant_id = 'other'"),
            7 => vec![format!("DELETE FROM audit_entries WHERE log_index = {one}")],
            8 => vec![
                format!("UPDATE audit_entries SET log_index = -1 WHERE log_index = {one}"),
                format!("UPDATE audit_entries SET log_index = {one} WHERE log_index = {two}"),
                format!("UPDATE audit_entries SET log_index = {two} WHERE log_index = -1"),
            ],
            9 => vec![format!("{moved} >= {one}"), back.to_owned(), copy(one)],
            10 => {
                let level = self.rng.below(2);
                let tile = if level == 0 { one / 256 } else { 0 };
                let byte = 1 + self.rng.below(32 * 2);
                let (before, after) = (2 * (byte - 1), 2 * byte + 1);
                let flipped = format!(
                    "UPDATE audit_tiles SET hashes = unhex(substr(hex(hashes), 1, {before}) || \
                     CASE WHEN substr(hex(hashes), {before} + 1, 2) = '41' THEN '42' ELSE '41' END || substr(hex(hashes), {after})) \
                     WHERE level = {level} AND tile_index = {tile}"
                );
                vec![flipped]
            }
            11 => vec![format!("DELETE FROM audit_tiles WHERE level = 0 AND tile_index = {}", one / 256)],
            12 => vec!["UPDATE audit_checkpoints SET note = REPLACE(note, '4', '5')".to_owned()],
            13 => vec![
                "DELETE FROM audit_checkpoints WHERE tree_size = (SELECT MAX(tree_size) FROM audit_checkpoints)".to_owned(),
            ],
            14 => vec!["UPDATE audit_logs SET verifier_key = REPLACE(verifier_key, 'example.com', 'example.org')".to_owned()],
            _ => {
                // All of the end, as a backup that was put back would be.
                let cut = 1 + self.rng.below(self.size - 1);
                let end = format!("(SELECT MAX(tree_size) FROM audit_checkpoints WHERE tree_size <= {cut})");
                vec![
                    format!("DELETE FROM audit_entries WHERE log_index >= {end}"),
                    format!("UPDATE audit_logs SET tree_size = {end}"),
                    format!("DELETE FROM audit_checkpoints WHERE tree_size > {end}"),
                ]
            }
        };
        let mut changed = 0;
        for step in &steps {
            changed += self.run(step).await;
        }
        assert!(changed > 0, "{steps:?}");
        steps.join("; ")
    }
}

/// Random changes of the database, each followed by an export: none of them passes. `DIALGATE_MUTATIONS` says how many.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_no_random_change_of_the_database_is_missed() {
    let rounds: u32 =
        std::env::var("DIALGATE_MUTATIONS").map_or(60, |count| count.parse().unwrap());
    let house = House::open().await;
    let auditor = house.auditor().await;
    let sequencer = sequencer(&house).await;
    let key = key(&sequencer);
    for count in [5, 300, 90, 220] {
        grow(&house, &sequencer, count).await;
    }
    let head = latest(&auditor, &key).await;
    let mut tamperer = Tamperer::over(&house, head.size).await;
    for round in 0..rounds {
        let what = tamperer.tamper().await;
        let verdict = verify(&export(&auditor, 0).await, &key, &[head]);
        assert!(!verdict.is_whole(), "round {round}: {what}");
        tamperer.restore().await;
    }
    let verdict = verify(&export(&auditor, 0).await, &key, &[head]);
    assert!(verdict.is_whole(), "{:?}", verdict.faults);
}

/// Two programs that share nothing but the specification find the same, in files that were changed in every way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_a_second_verifier_in_another_language_agrees() {
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        eprintln!("skipped: python3 is not installed");
        return;
    }
    let house = House::open().await;
    let auditor = house.auditor().await;
    let sequencer = sequencer(&house).await;
    let key = key(&sequencer);
    let (mut heads, mut notes) = (Vec::new(), String::new());
    for count in [305, 145, 145] {
        grow(&house, &sequencer, count).await;
        heads.push(latest(&auditor, &key).await);
        let request = pb::GetCheckpointRequest {};
        let answer = auditor.audit().get_checkpoint(request).await.unwrap();
        // As a witness file has them.
        notes += &format!("{}\n", answer.into_inner().checkpoint);
    }
    let folder = house.base.folder.path();
    let kept = folder.join("kept");
    std::fs::write(&kept, notes).unwrap();
    let good = export(&auditor, 0).await;
    let late = export(&auditor, 260).await;
    let mut rng = Rng::new(5, 16);
    let mut files: Vec<(PathBuf, Verdict)> = Vec::new();
    for round in 0..40 {
        let mut lines = if round % 5 == 4 {
            late.clone()
        } else {
            good.clone()
        };
        let size = heads[2].size;
        match round {
            0 => {}
            // What only breaks who reads it carelessly.
            1 => lines[7] = "[".repeat(100_000),
            2 => lines[0] = "[".repeat(100_000),
            3 => {
                lines[0] =
                    lines[0].replace(&format!("\"size\":{size}"), "\"size\":9223372036854775808")
            }
            5 => lines.truncate(9),
            _ => change(&mut lines, round, &mut rng),
        }
        let path = folder.join(format!("{round}.jsonl"));
        let text: String = lines.iter().map(|line| line.clone() + "\n").collect();
        std::fs::write(&path, text).unwrap();
        files.push((path, verify(&lines, &key, &heads)));
    }
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/log.py"));
    python
        .args(["--key", &key.to_string(), "--checkpoint"])
        .arg(&kept);
    python.args(files.iter().map(|(path, _)| path));
    let output = python.output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    let theirs: Vec<serde_json::Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(theirs.len(), files.len(), "{problem}");
    for ((path, ours), theirs) in files.iter().zip(&theirs) {
        let told = format!("{}: {:?} {theirs}", path.display(), ours.faults);
        assert_eq!(theirs["whole"], ours.is_whole(), "{told}");
        let Some(fault) = ours.faults.first() else {
            continue;
        };
        assert_eq!(theirs["found"], fault.found.as_str(), "{told}");
        let entries = fault
            .entries
            .as_ref()
            .map(|range| vec![range.start, range.end]);
        assert_eq!(theirs["entries"], serde_json::json!(entries), "{told}");
    }
    assert!(files[0].1.is_whole());
}

/// Changes a file somehow.
fn change(lines: &mut Vec<String>, round: usize, rng: &mut Rng) {
    let (one, two) = (rng.below(lines.len()), rng.below(lines.len()));
    match round % 8 {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, two),
        2 => lines.insert(two, lines[one].clone()),
        3 => lines.truncate(one),
        4 => lines[one] = lines[one].replacen('a', "e", 1),
        5 => lines[one] = lines[one].replace("\\u", "\\v").replace("ja", "no"),
        6 => {
            let digits: Vec<usize> = lines[one]
                .char_indices()
                .filter(|(_, c)| c.is_ascii_digit())
                .map(|(at, _)| at)
                .collect();
            let at = *rng.pick(&digits);
            let digit = if lines[one].as_bytes()[at] == b'7' {
                "8"
            } else {
                "7"
            };
            lines[one].replace_range(at..=at, digit);
        }
        _ => lines[one].push(' '),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_export_holds_keys_of_numbers_and_no_number() {
    let house = House::open().await;
    let auditor = house.auditor().await;
    let sequencer = sequencer(&house).await;
    house.callable(ATLANTA).await;
    let agent = house.agent().await;
    agent
        .calls()
        .place_call(house.place(ATLANTA))
        .await
        .unwrap();
    settle(&sequencer).await;
    let lines = export(&auditor, 0).await.join("\n");
    let key = dialgate::domain::hex::hex(
        &house
            .store
            .hasher()
            .key(
                &tenant(),
                dialgate::domain::phone::Phone::parse(ATLANTA).unwrap(),
            )
            .0,
    );
    assert!(lines.contains(&key), "{lines}");
    assert!(!lines.contains("4045550141"), "{lines}");
}
