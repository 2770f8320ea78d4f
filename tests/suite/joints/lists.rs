//! P-02 and P-03 of every row: a list of opt-outs comes in and a register is replaced again and again, while people are called,
//! opted out one by one, and processes are killed. The list is sent anew from wherever it broke off, to any node.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use dialgate::grpc::client::{Client, Code, Status};
use dialgate::grpc::pb;
use pb::import_suppressions_request::Content as Sent;
use pb::import_suppressions_response::Content as Told;
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, JoinSet, block_in_place};

use super::database::Database;
use super::kill_loop::{conclude, finish, progress, strike};
use super::ledger::Ledger;
use super::load::{Load, Mix};
use super::rng::{Rng, seed, size};
use super::sink::now;
use super::world::{FIRST, Home, Node, World, program, until};
use crate::support::history::At;

const MIX: Mix = Mix {
    opt_outs: 10,
    lifts: 11,
    consents: 4,
    checks: 10,
    doubled: 10,
    aimed: 0,
};
const CLIENTS: usize = 6;
const PEOPLE: usize = 40;
/// Of these, who stand in the list.
const LISTED: usize = 10;
/// Bytes of a message.
const PIECE: usize = 256 * 1024;
/// Between two snapshots.
const BETWEEN_SWAPS: Duration = Duration::from_millis(500);
/// A list that nobody takes for so long fails the run.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_p03_no_row_of_a_list_is_lost_or_overtaken_on_sqlite() {
    run(Home::Sqlite, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p02_p03_no_row_of_a_list_is_lost_or_overtaken_on_postgres() {
    if let Some(database) = block_in_place(Database::create) {
        run(Home::Postgres(database), 2).await;
    }
}

async fn run(home: Home, nodes: usize) {
    let (seed, kills) = (seed(), size("DIALGATE_LIST_KILLS", 3));
    let rows = size("DIALGATE_LIST_ROWS", 4_000);
    let mut world = World::build(home, nodes, PEOPLE).await;
    world.leave_to_a_list(LISTED);
    block_in_place(|| world.nodes.iter_mut().skip(1).for_each(Node::start));
    let load = Load::of(&world, MIX, Duration::from_secs(120), usize::MAX).await;
    let mut clients = load.run(seed, CLIENTS);
    progress(&load, &mut clients, 50).await;
    let swaps = Swaps::begin(&world);
    let list = Arc::new(List::of(rows, &world.listed));
    let begun = now();
    let importing = tokio::spawn(import(Arc::clone(&load), Arc::clone(&list)));
    let mut rng = Rng::new(seed, 4);
    for kill in 0..kills {
        let there = rows * (2 * kill + 1) / (2 * kills + 1);
        list.comes_to(there, &importing, &mut clients).await;
        tokio::time::sleep(rng.millis(0, 300)).await;
        block_in_place(|| strike(&mut world, kill));
    }
    let sendings = importing.await.unwrap();
    let took = now() - begun;
    progress(&load, &mut clients, 50).await;
    let swapped = block_in_place(|| swaps.end());
    load.stop();
    finish(&mut clients).await;
    let told = format!(
        "{} rows acknowledged in {took:.1?} by {sendings} sendings, {kills} kills, {swapped} snapshots of a register",
        list.rows
    );
    conclude(&mut world, &load, true, &told).await;
    assert!(sendings > 1, "no kill met the list");
    let on_record = Ledger::open(&world).await.listed().await;
    assert_eq!(
        on_record,
        i64::try_from(list.rows).unwrap(),
        "rows on record"
    );
}

/// Strangers, and the people of the run among them.
struct List {
    text: Vec<u8>,
    rows: usize,
    /// The line of each of the people.
    people: Vec<(usize, String)>,
    /// Rows that were acknowledged.
    done: AtomicUsize,
}

impl List {
    fn of(strangers: usize, people: &[(String, String)]) -> Self {
        let between = strangers / (people.len() + 1);
        let mut list = Self {
            text: Vec::new(),
            rows: 0,
            people: Vec::new(),
            done: AtomicUsize::new(0),
        };
        let mut waiting = people.iter();
        for stranger in 0..strangers {
            list.add(&format!("+1404{:07}", 2_000_000 + stranger));
            if (stranger + 1).is_multiple_of(between)
                && let Some((number, _)) = waiting.next()
            {
                list.add(number);
                list.people.push((list.rows, number.clone()));
            }
        }
        assert_eq!(list.people.len(), people.len());
        list
    }

    fn add(&mut self, number: &str) {
        writeln!(self.text, "{number}").unwrap();
        self.rows += 1;
    }

    /// Waits until so many rows were acknowledged, or all are.
    async fn comes_to(
        &self,
        rows: usize,
        importing: &JoinHandle<usize>,
        clients: &mut JoinSet<()>,
    ) {
        while self.done.load(Ordering::SeqCst) < rows && !importing.is_finished() {
            if let Some(ended) = clients.try_join_next() {
                ended.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn messages(&self) -> Vec<pb::ImportSuppressionsRequest> {
        let header = pb::SuppressionImportHeader {
            content_sha256: Sha256::digest(&self.text).to_vec(),
            size_bytes: i64::try_from(self.text.len()).unwrap(),
            form: pb::ListForm::Lines.into(),
            ..pb::SuppressionImportHeader::default()
        };
        let first = pb::ImportSuppressionsRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            content: Some(Sent::Header(header)),
        };
        let pieces = self.text.chunks(PIECE);
        let pieces = pieces.map(|piece| pb::ImportSuppressionsRequest {
            request_id: String::new(),
            content: Some(Sent::Piece(piece.to_vec())),
        });
        std::iter::once(first).chain(pieces).collect()
    }
}

/// Sends the list until it has ended well; tells how often that took.
async fn import(load: Arc<Load>, list: Arc<List>) -> usize {
    let begun = now();
    let mut heard = begun;
    for sending in 1.. {
        let client = load.administrator(sending);
        match send(&load, &client, &list, begun, &mut heard).await {
            Ok(ended) => {
                let rows = i64::try_from(list.rows).unwrap();
                assert_eq!(
                    ended.state(),
                    pb::SuppressionImportState::Finished,
                    "{ended:?}"
                );
                assert_eq!((ended.rows_read, ended.rows_acknowledged), (rows, rows));
                assert_eq!((ended.rows_created, ended.rows_rejected), (rows, 0));
                return sending;
            }
            Err(status) => {
                assert!(
                    now() - heard < PATIENCE,
                    "nobody takes the list: {status:?}"
                );
                let may_pass = !matches!(status.code(), Code::InvalidArgument)
                    && !status.message().contains("incident");
                assert!(may_pass, "{status:?}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    unreachable!("sent without end")
}

async fn send(
    load: &Load,
    client: &Client,
    list: &List,
    begun: At,
    heard: &mut At,
) -> Result<pb::SuppressionImport, Status> {
    let messages = tokio_stream::iter(list.messages());
    let mut answers = client
        .suppressions()
        .import_suppressions(messages)
        .await?
        .into_inner();
    while let Some(answer) = answers.message().await? {
        *heard = now();
        match answer.content {
            Some(Told::Progress(told)) => {
                let lines = usize::try_from(told.lines_acknowledged).unwrap();
                acknowledged(load, client, list, begun, lines).await?;
            }
            Some(Told::Ended(ended)) => {
                acknowledged(load, client, list, begun, list.rows).await?;
                return Ok(ended);
            }
            Some(Told::Started(_)) | None => {}
            Some(Told::Reject(reject)) => panic!("{reject:?}"),
        }
    }
    Err(Status::unavailable("the stream ended"))
}

/// Writes down whose rows these are.
async fn acknowledged(
    load: &Load,
    client: &Client,
    list: &List,
    begun: At,
    lines: usize,
) -> Result<(), Status> {
    let before = list.done.fetch_max(lines, Ordering::SeqCst);
    let at = load.mark().await;
    for (line, number) in &list.people {
        if *line > before && *line <= lines {
            let request = pb::ListSuppressionsRequest {
                number: number.clone(),
                ..pb::ListSuppressionsRequest::default()
            };
            let found = client.suppressions().list_suppressions(request).await;
            let id = match found {
                Ok(page) => page.into_inner().suppressions[0].suppression_id.clone(),
                Err(status) => {
                    // Acknowledged it is; who asks again learns what it is called.
                    list.done.store(before, Ordering::SeqCst);
                    return Err(status);
                }
            };
            load.listed(number, begun, at, id);
        }
    }
    Ok(())
}

/// Newer snapshots of a register, one after the other, by the program that an administrator uses.
struct Swaps {
    stop: Arc<AtomicBool>,
    swapping: std::thread::JoinHandle<usize>,
}

impl Swaps {
    fn begin(world: &World) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let numbers = size("DIALGATE_LIST_REGISTER", 20_000);
        let folder = world.folder.path().to_owned();
        let ports: Vec<u16> = world.nodes.iter().map(|node| node.grpc_port).collect();
        let (key, stopped) = (world.key(FIRST), Arc::clone(&stop));
        let swapping = std::thread::spawn(move || {
            let lists = [0, 1].map(|which| register(&folder, which, numbers));
            let (mut turn, mut swapped) = (0, 0);
            while !stopped.load(Ordering::SeqCst) {
                swapped += usize::from(swap(&lists[swapped % 2], ports[turn % ports.len()], &key));
                turn += 1;
                std::thread::sleep(BETWEEN_SWAPS);
            }
            // Some of them met a node that was being killed.
            until("a register to be replaced", 60, || {
                swapped += usize::from(swap(&lists[swapped % 2], ports[turn % ports.len()], &key));
                turn += 1;
                swapped >= 2
            });
            swapped
        });
        Self { stop, swapping }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.swapping.join().unwrap()
    }
}

/// A list as its owner ships it; no two are of the same numbers.
fn register(folder: &Path, which: usize, numbers: usize) -> PathBuf {
    let path = folder.join(format!("register-{which}.txt"));
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path).unwrap());
    for number in 0..numbers {
        writeln!(
            file,
            "{},{:07}",
            212 + number % 2,
            2_000_000 + 3 * (number / 2) + which
        )
        .unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    path
}

fn swap(list: &Path, port: u16, key: &str) -> bool {
    let done = program()
        .args([
            "registry",
            "import",
            "us-dnc",
            "--as-of",
            "2026-11-20",
            "--yes",
        ])
        .arg(list)
        .env("DIALGATE_SERVER", format!("http://127.0.0.1:{port}"))
        .env("DIALGATE_API_KEY", key)
        .output()
        .unwrap();
    done.status.success()
}
