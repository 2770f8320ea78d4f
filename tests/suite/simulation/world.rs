//! What the nodes live in: one time, one network, the carriers, the lock of the database file, and the record of it all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::carrier::{Carrier, Outgoing};
use super::checks::Checks;
use super::node::CAMPAIGNS;
use super::streams::{Net, is_streamed};
use super::trace::Trace;
use super::workload::Load;
use crate::joints::rng::Rng;
use crate::joints::sink::Message;
use crate::support::history::Packet;

pub const NODES: usize = 3;
/// Each is the target of a trunk of its own.
pub const CARRIERS: [&str; 2] = ["10.0.0.1:5060", "10.0.0.2:5060"];
/// The next target of the first of them, whose own target fails now and then; it is reached by connections.
pub const NEXT: &str = "10.0.0.3:5060";

/// Where the phones of agents are, who are called first for some calls.
pub const DESKS: &str = "10.0.0.9:5060";
pub const AGENTS: [&str; 6] = ["ann", "ben", "cay", "dan", "eve", "fay"];

/// The target that a trunk is known by.
pub fn trunk_of(target: SocketAddr) -> SocketAddr {
    match target == NEXT.parse().unwrap() {
        true => CARRIERS[0].parse().unwrap(),
        false => target,
    }
}

/// And its name.
pub fn trunk_name(target: SocketAddr) -> &'static str {
    let known_by = trunk_of(target);
    let at = |addr: &&str| addr.parse() == Ok(known_by);
    let index = CARRIERS.iter().position(at).unwrap();
    CAMPAIGNS[index]
}

pub fn node_addr(index: usize) -> SocketAddr {
    format!("10.0.1.{}:{}", index + 1, 5060 + index)
        .parse()
        .unwrap()
}

pub fn node_at(addr: SocketAddr) -> Option<usize> {
    (0..NODES).find(|index| node_addr(*index) == addr)
}

/// How bad things are; drawn anew every few seconds. Shares are of a thousand.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lost: usize,
    pub doubled: usize,
    pub network_ms: u64,
    /// The database cannot be reached.
    pub refused: usize,
    /// A statement fails.
    pub failing: usize,
    /// COMMIT fails and did not take effect.
    pub undone: usize,
    /// COMMIT took effect and nobody hears of it.
    pub unheard: usize,
    /// Transactions that wait, before BEGIN, before COMMIT and after it; and for how long at most.
    pub slow: usize,
    pub store_ms: u64,
}

impl Weather {
    pub const FAIR: Self = Self {
        lost: 0,
        doubled: 0,
        network_ms: 15,
        refused: 0,
        failing: 0,
        undone: 0,
        unheard: 0,
        slow: 0,
        store_ms: 1,
    };

    pub fn draw(rng: &mut Rng) -> Self {
        let usual = Self {
            lost: 10,
            doubled: 10,
            refused: 1,
            failing: 1,
            undone: 1,
            unheard: 2,
            slow: 150,
            store_ms: 4,
            ..Self::FAIR
        };
        match rng.below(100) {
            0..50 => usual,
            50..68 => Self {
                lost: 200,
                doubled: 100,
                network_ms: 700,
                ..usual
            },
            68..80 => Self {
                slow: 60,
                store_ms: 700,
                ..usual
            },
            80..86 => Self {
                slow: 20,
                store_ms: 2_600,
                ..usual
            },
            86..97 => Self {
                refused: 60,
                failing: 30,
                undone: 60,
                unheard: 100,
                ..usual
            },
            _ => Self {
                refused: 1_000,
                ..usual
            },
        }
    }
}

/// A datagram on its way.
pub struct Flight {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
    /// The connection that it goes by.
    pub wire: Option<u64>,
}

pub type Shared = Arc<Mutex<World>>;

pub struct World {
    /// Since the beginning.
    pub now: Duration,
    serial: u64,
    pub trace: Trace,
    /// What the network and the store do.
    pub chance: Rng,
    pub weather: Weather,
    pub carrier: Carrier,
    pub net: Net,
    flights: BTreeMap<(Duration, u64), Flight>,
    flown: u64,
    /// Until when each node and the carriers cannot hear each other.
    pub cut: [Duration; NODES],
    /// Which life of which node holds the write lock of the file.
    pub writer: Option<(usize, u64)>,
    pub checks: Checks,
    pub load: Load,
    pub packets: Vec<Packet>,
    /// Who registers by which Call-ID, and whose registration was taken.
    registers: BTreeMap<String, (usize, u64)>,
    registered: BTreeSet<(usize, u64)>,
    /// Questions for a sign of life.
    pub questions: usize,
    /// Registrations that were taken.
    pub registrations: usize,
}

impl World {
    pub fn new(seed: u64, trace: Trace, checks: Checks, load: Load) -> Self {
        Self {
            now: Duration::ZERO,
            serial: 0,
            trace,
            chance: Rng::new(seed, 1),
            weather: Weather::FAIR,
            carrier: Carrier::new(seed),
            net: Net::new(seed),
            flights: BTreeMap::new(),
            flown: 0,
            cut: [Duration::ZERO; NODES],
            writer: None,
            checks,
            load,
            packets: Vec::new(),
            registers: BTreeMap::new(),
            registered: BTreeSet::new(),
            questions: 0,
            registrations: 0,
        }
    }

    /// Time goes on.
    pub fn pass(&mut self, span: Duration) {
        self.now += span;
        self.serial = 0;
    }

    /// This very moment: no two are alike, and they are as ordered as what happens.
    pub fn instant(&mut self) -> Duration {
        self.serial += 1;
        self.now + Duration::from_nanos(self.serial)
    }

    pub fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.line(self.now, what);
    }

    /// A datagram leaves a node. Its clock may be ahead of the world's, and it may have stood still between the last
    /// comparison and the system call.
    pub fn leave(
        &mut self,
        vessel: (usize, u64),
        (ahead, stood): (Duration, Duration),
        bytes: &[u8],
        to: SocketAddr,
        wire: Option<u64>,
    ) {
        let (node, _) = vessel;
        let compared = self.instant() + ahead;
        let at = compared + stood;
        let Some(message) = Message::parse(&String::from_utf8_lossy(bytes)) else {
            panic!("a node sent what is no SIP");
        };
        let call = self.trace.name(message.get("call-id"));
        let (what, cseq) = (message.what.clone(), message.get("cseq").to_owned());
        self.note(format_args!(
            "node {node} sends {what} ({cseq}) of call {call} to {to}, {:?} from now",
            ahead + stood
        ));
        if what == "OPTIONS" || what == "REGISTER" {
            // No call's.
            self.questions += usize::from(what == "OPTIONS");
            self.registers
                .insert(message.get("call-id").to_owned(), vessel);
            return self.fly(at, node_addr(node), to, bytes, wire);
        }
        let within = what == "INVITE" && message.get("to").contains(";tag=");
        if to == DESKS.parse().unwrap() {
            // Nobody's number may be told there, and nobody is called by it.
            let text = String::from_utf8_lossy(bytes);
            if text.contains("sip:+") {
                let fault = format!("node {node} tells an agent's phone a number: {text}");
                self.checks.wrong.push(fault);
            }
            return self.fly(at, node_addr(node), to, bytes, wire);
        }
        if within {
            // Who has answered is offered another session: no call begins.
            return self.fly(at, node_addr(node), to, bytes, wire);
        }
        if !what.starts_with(|char: char| char.is_ascii_digit()) {
            self.packets.push(packet(&message, &what, at, false, node));
        }
        if what == "INVITE" {
            if to == CARRIERS[1].parse().unwrap() && !self.registered.contains(&vessel) {
                let fault = format!("node {node} calls by a trunk where it never was registered");
                self.checks.wrong.push(fault);
            }
            let faults =
                self.checks
                    .invited(self.now, (compared, at), vessel, &message, to, &self.load);
            self.checks.wrong.extend(faults);
            let now = self.now;
            self.load.rings_in(now, &message.number("to"));
        }
        self.fly(at, node_addr(node), to, bytes, wire);
    }

    /// What a carrier says leaves it.
    pub fn answer(&mut self, answers: Vec<Outgoing>) {
        for Outgoing {
            from,
            to,
            text,
            answers,
        } in answers
        {
            let at = self.instant();
            let is_desk = from == DESKS.parse().unwrap();
            if let (true, Some((invite, 200))) = (is_desk, &answers) {
                self.checks.agent_answers(&invite.number("to"));
            }
            let answers = answers.filter(|(invite, _)| {
                // A session that goes on is no answer to a call.
                !is_desk && !invite.get("to").contains(";tag=")
            });
            if let (Some((invite, code)), Some(node)) = (answers, node_at(to)) {
                self.packets
                    .push(packet(&invite, &code.to_string(), at, true, node));
            }
            if let Some(message) = Message::parse(&text)
                && message.what == "200"
                && message.get("cseq").ends_with("REGISTER")
                && let Some(vessel) = self.registers.get(message.get("call-id"))
            {
                self.registered.insert(*vessel);
                self.registrations += 1;
            }
            let line = text.lines().next().unwrap_or_default().to_owned();
            self.note(format_args!("{from} says {line} to {to}"));
            if !is_streamed(from) {
                self.fly(at, from, to, text.as_bytes(), None);
            } else if let Some(wire) = self.net.between(to, from) {
                self.fly(at, from, to, text.as_bytes(), Some(wire));
            }
        }
    }

    fn fly(
        &mut self,
        at: Duration,
        from: SocketAddr,
        to: SocketAddr,
        bytes: &[u8],
        wire: Option<u64>,
    ) {
        let node = node_at(from).or(node_at(to));
        let is_cut = node.is_some_and(|node| self.cut[node] > at);
        let weather = self.weather;
        let copies = match self.chance.below(1_000) {
            _ if is_cut => 0,
            chance if chance < weather.lost => 0,
            chance if chance < weather.lost + weather.doubled => 2,
            _ => 1,
        };
        let copies = match wire {
            // What is lost breaks the connection, and is the first thing that does not arrive.
            Some(wire) if copies == 0 || self.net.breaks() => {
                self.note(format_args!("connection {wire} breaks"));
                self.net.close(wire);
                0
            }
            Some(_) => 1,
            None => copies,
        };
        for _ in 0..copies {
            // Most are quick, whatever the weather, so that the slow ones are overtaken.
            let longest = if self.chance.percent(60) {
                15
            } else {
                weather.network_ms
            };
            let arrives = at + self.chance.millis(1, longest.max(2));
            let arrives = match wire {
                Some(wire) => self.net.in_order(wire, to, arrives),
                None => arrives,
            };
            self.flown += 1;
            let flight = Flight {
                from,
                to,
                bytes: bytes.to_vec(),
                wire,
            };
            self.flights.insert((arrives, self.flown), flight);
        }
    }

    /// What has arrived by now.
    pub fn arrivals(&mut self) -> Vec<Flight> {
        let later = self.flights.split_off(&(self.now, u64::MAX));
        std::mem::replace(&mut self.flights, later)
            .into_values()
            .collect()
    }
}

fn packet(message: &Message, what: &str, at: Duration, sent: bool, node: usize) -> Packet {
    Packet {
        at,
        sent,
        what: what.to_owned(),
        call_id: message.get("call-id").to_owned(),
        branch: message.branch(),
        cseq: message.cseq(),
        to: message.number("to"),
        from: message.number("from"),
        node: node_addr(node).port(),
    }
}
