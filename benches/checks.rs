//! The server's processor time for one CheckCall, beside a bare tonic server whose messages have the same size.
//!
//! Three servers, one client: 64 callers on four connections, each asking again as soon as it is answered.
//! - `dialgate serve`, with everything: credential, parsing, locks, facts, law, sealing, the durable rows.
//! - The law alone, served from memory: this program with the messages of the contract around `policy::evaluate`. It parses
//!   and answers the same messages, looks the facts up in a map, builds the case, judges it by the same pack, writes the
//!   case as JSON and keeps the decision in a ring. No credential, no gate, no store.
//! - The echo: takes bytes, answers as many bytes as a decision has, and knows no message.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use dialgate::clock::Clock;
use dialgate::domain::Text;
use dialgate::domain::decision::{Decision, RuleOutcome, Stage, Verdict};
use dialgate::domain::ids::{DecisionId, PartyId, TenantId};
use dialgate::domain::phone::{NumberHasher, Phone};
use dialgate::grpc::pb;
use dialgate::place;
use dialgate::policy::facts::Facts;
use dialgate::policy::{self, Pack};
use prost::bytes::Bytes;

use crate::support::figures::{Goal, Sample, Table, ratios};
use crate::support::home::{Engine, Home};
use crate::support::node::{self, Process};
use crate::support::wire::{self, Client, Raw};
use crate::support::{Size, block_on, machine, now, scene};

const CALLERS: usize = 64;
const CONNECTIONS: usize = 4;
/// Decisions that the server without a store keeps.
const KEPT: usize = 10_000;

const GOAL_DURABLE: Goal = Goal::AtMost(3.0);
const GOAL_IN_MEMORY: Goal = Goal::AtMost(1.5);

pub fn run(size: &Size) {
    block_on(async {
        let mut table = Table::new(&[
            "server",
            "cpu µs a check",
            "echo cpu µs",
            "ratio",
            "goal",
            "verdict",
            "store's cpu µs",
            "checks/s",
            "echo/s",
        ]);
        let nowhere = "127.0.0.1:9".parse().unwrap();
        for engine in Engine::all() {
            let home = Home::new(engine).await;
            scene::introduce(&home.store, size.people).await;
            let (process, key) = node::serve(&home, nowhere);
            let mut server = Served::new(&process, Some(key)).await;
            server.database = home.server();
            let name = format!("serve, {}", engine.name());
            compare(&name, &server, size, GOAL_DURABLE, &mut table).await;
        }
        let people = size.people.to_string();
        let process = Process::play("--play-judge", &[&people]);
        let server = Served::new(&process, None).await;
        compare(
            "law alone, in memory",
            &server,
            size,
            GOAL_IN_MEMORY,
            &mut table,
        )
        .await;
        table.print("Processor time of a check");
        println!(
            "The store's own time is within the server's for SQLite, whose threads are the server's, and beside it for \
             PostgreSQL.\n"
        );
    });
}

/// A server under load, with its process.
struct Served {
    pid: u32,
    /// PostgreSQL behind it.
    database: Option<u32>,
    clients: Vec<Client>,
    answer_bytes: usize,
}

impl Served {
    async fn new(process: &Process, key: Option<String>) -> Self {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(Client::connect(process.port, key.as_deref()).await);
        }
        let answer = clients[0].ask(wire::question(0)).await;
        Self {
            pid: process.pid(),
            database: None,
            clients,
            answer_bytes: answer.len(),
        }
    }

    async fn load(&self, size: &Size, is_law: bool) -> Measured {
        let next = Arc::new(AtomicU32::new(0));
        let people = size.people;
        let before = machine::process(self.pid);
        let store = self.store();
        let begun = now();
        let end = begun + size.span;
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let mut client = self.clients[caller % CONNECTIONS].clone();
                let next = Arc::clone(&next);
                tokio::spawn(async move {
                    while now() < end {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        let answer = client.ask(wire::question(index % people)).await;
                        // Now and then: reading an answer costs the client more than asking.
                        if is_law && index.is_multiple_of(1_000) {
                            assert!(wire::is_allow(&answer));
                        }
                    }
                })
            })
            .collect();
        for caller in callers {
            caller.await.unwrap();
        }
        let count = f64::from(next.load(Ordering::Relaxed));
        let per = |spent: Duration| spent.as_secs_f64() * 1e6 / count;
        Measured {
            rate: count / (now() - begun).as_secs_f64(),
            cpu: per(machine::process(self.pid) - before),
            store: per(self.store() - store),
        }
    }

    /// Processor time of the store so far.
    fn store(&self) -> Duration {
        match self.database {
            Some(server) => machine::family(server),
            None => machine::threads(self.pid, "sqlx-sqlite"),
        }
    }
}

struct Measured {
    rate: f64,
    cpu: f64,
    store: f64,
}

#[derive(Default)]
struct Side {
    rate: Sample,
    cpu: Sample,
    store: Sample,
}

impl Side {
    fn add(&mut self, measured: &Measured) {
        self.rate.0.push(measured.rate);
        self.cpu.0.push(measured.cpu);
        self.store.0.push(measured.store);
    }
}

async fn compare(name: &str, server: &Served, size: &Size, goal: Goal, table: &mut Table) {
    let bytes = server.answer_bytes.to_string();
    let process = Process::play("--play-echo", &[&bytes]);
    let echo = Served::new(&process, None).await;
    let (mut ours, mut ceiling) = (Side::default(), Side::default());
    for _ in 0..size.rounds {
        ours.add(&server.load(size, true).await);
        ceiling.add(&echo.load(size, false).await);
    }
    let ratio = ratios(&ours.cpu, &ceiling.cpu);
    table.row(vec![
        format!("{name} ({bytes} bytes)"),
        ours.cpu.show(1),
        ceiling.cpu.show(1),
        ratio.show(2),
        goal.show(),
        goal.verdict(ratio.median()),
        ours.store.show(1),
        ours.rate.show(0),
        ceiling.rate.show(0),
    ]);
}

/// The echo: PORT BYTES.
pub fn play_echo(arguments: &[String]) {
    let answer = Bytes::from(vec![b'x'; arguments[1].parse().unwrap()]);
    block_on(wire::serve(
        arguments[0].parse().unwrap(),
        || Raw,
        move |_| answer.clone(),
    ));
}

/// The law alone: PORT PEOPLE.
pub fn play_judge(arguments: &[String]) {
    let people: u32 = arguments[1].parse().unwrap();
    let facts = scene::facts();
    let known: HashMap<Phone, Facts> = (0..people)
        .map(|index| (Phone::parse(&scene::number(index)).unwrap(), facts.clone()))
        .collect();
    let desk = Arc::new(Desk {
        pack: Pack::embedded().unwrap(),
        hasher: NumberHasher::new([7; 32]),
        known,
        kept: Mutex::new(VecDeque::with_capacity(KEPT)),
    });
    block_on(wire::serve(
        arguments[0].parse().unwrap(),
        tonic_prost::ProstCodec::<pb::CheckCallResponse, pb::CheckCallRequest>::default,
        move |request| desk.check(&request),
    ));
}

/// What the server without a store knows.
struct Desk {
    pack: Pack,
    hasher: NumberHasher,
    known: HashMap<Phone, Facts>,
    kept: Mutex<VecDeque<Decision>>,
}

impl Desk {
    fn check(&self, request: &pb::CheckCallRequest) -> pb::CheckCallResponse {
        let read = Clock::Real.read();
        let number = place::dialable(self.pack.tables(), &request.to).unwrap();
        let decision_id = DecisionId::new(read.wall);
        let case = scene::case(
            decision_id.to_string(),
            number.phone,
            self.known[&number.phone].clone(),
            read.wall,
        );
        let (judgement, _permit) = policy::evaluate(&self.pack, &case, read);
        let decision = Decision {
            decision_id,
            stage: Stage::Check,
            call_id: None,
            party_id: PartyId::new(read.wall),
            number_key: self.hasher.key(&TenantId::default(), number.phone),
            campaign_id: request.campaign.clone(),
            decided_at: read.wall,
            pack: self.pack.version().clone(),
            judgement,
            case_json: Some(serde_json::to_string(&case).unwrap()),
            actor: "key:agent".to_owned(),
        };
        let answer = told(decision.clone());
        let mut kept = self.kept.lock().unwrap();
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back(decision);
        pb::CheckCallResponse {
            decision: Some(answer),
        }
    }
}

fn strings(texts: Vec<Text>) -> Vec<String> {
    texts.into_iter().map(String::from).collect()
}

/// The decision as the contract tells it.
fn told(decision: Decision) -> pb::Decision {
    let judgement = decision.judgement;
    let instant = decision.decided_at.0;
    pb::Decision {
        decision_id: decision.decision_id.to_string(),
        stage: pb::DecisionStage::Check.into(),
        verdict: match judgement.verdict {
            Verdict::Allow => pb::Verdict::Allow,
            Verdict::Deny => pb::Verdict::Deny,
        }
        .into(),
        denied_by: strings(judgement.denied_by),
        rule_results: judgement
            .rules
            .into_iter()
            .map(|result| pb::RuleResult {
                rule: result.rule.into(),
                outcome: match result.outcome {
                    RuleOutcome::Pass => pb::RuleOutcome::Pass,
                    RuleOutcome::Fail => pb::RuleOutcome::Fail,
                    RuleOutcome::Lifted => pb::RuleOutcome::Lifted,
                    RuleOutcome::Void => pb::RuleOutcome::Void,
                    RuleOutcome::Info => pb::RuleOutcome::Info,
                }
                .into(),
                reason: result.reason.into(),
                citation: result.citation.into(),
                evidence: strings(result.evidence),
            })
            .collect(),
        jurisdictions: strings(judgement.jurisdictions),
        zones: strings(judgement.zones),
        next_allowed_time: None,
        warnings: judgement.warnings,
        pack: Some(pb::PackVersion {
            version: decision.pack.version,
            sha256: decision.pack.sha256,
            zone_data: decision.pack.zone_data,
        }),
        decided_time: Some(prost_types::Timestamp {
            seconds: instant / 1_000_000,
            nanos: (instant % 1_000_000) as i32 * 1_000,
        }),
        call_id: String::new(),
        party_id: decision.party_id.to_string(),
        number_key: decision.number_key.hex(),
        campaign: decision.campaign_id,
        actor: decision.actor,
        case_json: String::new(),
    }
}
