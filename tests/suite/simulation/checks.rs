//! What must hold, looked at while it happens: at each INVITE that leaves, and in the database every few steps by an
//! observer with a connection of its own. At the end the history checker of the other joints reads all of it once more.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use dialgate::policy::Permit;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Row as _};
use uuid::Uuid;

use super::node::{BEGINNING, BURST, PER_SECOND};
use super::workload::{Load, Person};
use super::world::{NEXT, NODES, trunk_name, trunk_of};
use crate::joints::sink::Message;
use crate::support::history::{
    self, Attempt, Call, Decision, End, Entry, Operation, Stored, Subject, Wish,
};

type Job = Box<dyn FnOnce(&tokio::runtime::Runtime, &mut SqliteConnection) + Send>;

/// Reads what is committed, from a thread of its own, while whoever asks waits.
pub struct Observer(mpsc::Sender<Job>);

impl Observer {
    pub fn new(file: &Path) -> Self {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let options = SqliteConnectOptions::new()
            .filename(file)
            .pragma("query_only", "ON");
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let mut connection = runtime.block_on(options.connect()).unwrap();
            for job in inbox {
                job(&runtime, &mut connection);
            }
        });
        Self(jobs)
    }

    fn ask<T: Send + 'static>(
        &self,
        ask: impl AsyncFnOnce(&mut SqliteConnection) -> T + Send + 'static,
    ) -> T {
        let (tell, told) = mpsc::sync_channel(1);
        let job: Job = Box::new(move |runtime, connection| {
            let answer = runtime.block_on(ask(connection));
            let _ = tell.send(answer);
        });
        self.0.send(job).unwrap();
        told.recv().unwrap()
    }

    fn attempts(&self, call_id: &str) -> Vec<Claim> {
        // The table has no index by Call-ID; what may be sent now was claimed lately.
        const SQL: &str = "SELECT a.number_key AS number, a.create_time AS claimed, a.trunk AS trunk, c.campaign_id AS campaign, c.actor AS actor,
                c.number_key AS called, c.agent AS agent,
                EXISTS (SELECT 1 FROM call_events AS e WHERE e.call_id = c.call_id AND e.kind = 'agent_answered') AS agent_answered, d.verdict AS verdict, d.stage AS stage, d.number_key AS decided,
                (SELECT node FROM nodes WHERE incarnation = a.owner) AS owner
            FROM attempts AS a JOIN calls AS c ON c.call_id = a.call_id JOIN decisions AS d ON d.decision_id = a.decision_id
            WHERE a.rowid > (SELECT COALESCE(MAX(rowid), 0) FROM attempts) - 600 AND a.sip_call_id = $1 ORDER BY a.rowid DESC";
        let call_id = call_id.to_owned();
        self.ask(async move |connection| {
            let rows = sqlx::query(SQL)
                .bind(call_id)
                .fetch_all(connection)
                .await
                .unwrap();
            let claim = |row: &sqlx::sqlite::SqliteRow| Claim {
                keys: ["number", "called", "decided"].map(|key| row.get(key)),
                claimed: row.get("claimed"),
                actor: row.get("actor"),
                allowed: row.get::<String, _>("verdict") == "allow"
                    && row.get::<String, _>("stage") == "claim",
                owner: row.get("owner"),
                trunk: row.get("trunk"),
                campaign: row.get("campaign"),
                agent: row.get("agent"),
                agent_answered: row.get("agent_answered"),
            };
            rows.iter().map(claim).collect()
        })
    }

    /// What the tables must never show, with how often they do.
    pub fn impossible(&self) -> Vec<String> {
        const SQL: [(&str, &str); 9] = [
            ("calls both done and not", "SELECT COUNT(*) FROM calls WHERE (queue_state = 'done') <>
                (state IN ('ended', 'denied', 'expired', 'canceled', 'failed')) OR (queue_state = 'done') <> (end_time IS NOT NULL)"),
            ("calls queued that were claimed", "SELECT COUNT(*) FROM calls WHERE queue_state IN ('queued', 'leased') AND attempt_id IS NOT NULL"),
            ("calls that ended twice", "SELECT COUNT(*) FROM (SELECT 1 FROM call_events WHERE kind IN ('ended', 'denied', 'expired')
                GROUP BY call_id HAVING COUNT(*) > 1)"),
            ("calls with two attempts under way", "SELECT COUNT(*) FROM (SELECT 1 FROM attempts WHERE outcome IS NULL
                GROUP BY call_id HAVING COUNT(*) > 1)"),
            ("calls with two outcomes", "SELECT COUNT(*) FROM (SELECT 1 FROM attempts WHERE outcome <> 'superseded'
                GROUP BY call_id HAVING COUNT(*) > 1)"),
            ("attempts of calls that are over, and not over themselves", "SELECT COUNT(*) FROM attempts AS a JOIN calls AS c
                ON c.call_id = a.call_id WHERE a.outcome IS NULL AND c.queue_state <> 'claimed'"),
            ("attempts of calls whose agent had not answered", "SELECT COUNT(*) FROM attempts AS a JOIN calls AS c ON c.call_id = a.call_id
                WHERE c.agent IS NOT NULL AND NOT EXISTS (SELECT 1 FROM call_events AS e WHERE e.call_id = c.call_id
                AND e.kind = 'agent_answered')"),
            ("calls without their agent that have an attempt", "SELECT COUNT(*) FROM calls WHERE agent_result IS NOT NULL
                AND (attempt_id IS NOT NULL OR agent IS NULL)"),
            ("calls of one decision", "SELECT COUNT(*) FROM (SELECT 1 FROM calls GROUP BY place_decision_id HAVING COUNT(*) > 1)"),
        ];
        self.ask(async move |connection| {
            let mut found = Vec::new();
            for (what, sql) in SQL {
                let count: i64 = sqlx::query_scalar(sql)
                    .fetch_one(&mut *connection)
                    .await
                    .unwrap();
                if count > 0 {
                    found.push(format!("{count} {what}"));
                }
            }
            found
        })
    }

    /// Calls that are not over, attempts without outcome, permits that nobody gave up.
    pub fn unsettled(&self) -> (i64, i64, i64) {
        const SQL: &str = "SELECT (SELECT COUNT(*) FROM calls WHERE queue_state <> 'done'),
            (SELECT COUNT(*) FROM attempts WHERE outcome IS NULL), (SELECT COUNT(*) FROM attempts WHERE permit_open)";
        self.ask(async move |connection| sqlx::query_as(SQL).fetch_one(connection).await.unwrap())
    }

    /// Claimed calls that are not over.
    pub fn under_way(&self) -> Vec<Uuid> {
        const SQL: &str =
            "SELECT call_id FROM calls WHERE queue_state = 'claimed' ORDER BY call_id";
        self.ask(async move |connection| {
            sqlx::query_scalar(SQL).fetch_all(connection).await.unwrap()
        })
    }

    /// How attempts ended, and how often.
    pub fn outcomes(&self) -> Vec<(String, i64)> {
        const SQL: &str =
            "SELECT COALESCE(outcome, 'none'), COUNT(*) FROM attempts GROUP BY outcome ORDER BY 1";
        self.ask(async move |connection| sqlx::query_as(SQL).fetch_all(connection).await.unwrap())
    }

    /// Attempts whose history tells of an INVITE that left late, by their Call-ID.
    pub fn late(&self) -> BTreeSet<String> {
        const SQL: &str = "SELECT DISTINCT a.sip_call_id FROM call_events AS e JOIN attempts AS a ON a.call_id = e.call_id
            WHERE e.kind = 'late_send'";
        self.ask(async move |connection| {
            let rows: Vec<String> = sqlx::query_scalar(SQL).fetch_all(connection).await.unwrap();
            rows.into_iter().collect()
        })
    }

    /// Everything that is left, as the history checker reads it.
    pub fn stored(
        &self,
        numbers: HashMap<Vec<u8>, String>,
        wished: BTreeMap<String, (String, String)>,
    ) -> Stored {
        self.ask(async move |connection| stored(connection, &numbers, &wished).await)
    }
}

/// An attempt, as the observer sees it.
struct Claim {
    keys: [Vec<u8>; 3],
    claimed: i64,
    actor: String,
    allowed: bool,
    owner: Option<String>,
    trunk: String,
    campaign: String,
    agent: Option<String>,
    agent_answered: bool,
}

struct Barrier {
    id: String,
    subject: Subject,
    told: String,
}

/// An INVITE on its way out of a process that stands still.
struct Held {
    leaves: Duration,
    number: String,
    what: String,
}

pub struct Checks {
    pub observer: Observer,
    keys: HashMap<String, Vec<u8>>,
    parties: HashMap<String, String>,
    /// Since when each node's wall clock was how far off.
    eras: [Vec<(Duration, i64)>; NODES],
    seen: BTreeSet<String>,
    recent: BTreeMap<(usize, u64, SocketAddr), VecDeque<Duration>>,
    barriers: Vec<Barrier>,
    held: Vec<Held>,
    /// INVITEs that left later than any margin allows: the stated limit. They must be noticed.
    pub beyond: Vec<(String, (usize, u64))>,
    pub wrong: Vec<String>,
    pub invites: usize,
    /// Calls that were dialed at a trunk's second target.
    pub went_on: usize,
    /// Calls that were dialed by a second trunk.
    pub went_over: usize,
    /// Agents who have said 200.
    picked_up: BTreeSet<String>,
    /// Calls that were dialed for an agent who was on the line.
    pub for_agents: usize,
}

impl Checks {
    pub fn new(observer: Observer, people: &[(Person, Vec<u8>)]) -> Self {
        let number = |person: &Person| person.number.reveal();
        Self {
            observer,
            keys: people
                .iter()
                .map(|(person, key)| (number(person), key.clone()))
                .collect(),
            parties: people
                .iter()
                .map(|(person, _)| (number(person), person.party.to_string()))
                .collect(),
            eras: Default::default(),
            seen: BTreeSet::new(),
            recent: BTreeMap::new(),
            barriers: Vec::new(),
            held: Vec::new(),
            beyond: Vec::new(),
            wrong: Vec::new(),
            invites: 0,
            went_on: 0,
            went_over: 0,
            picked_up: BTreeSet::new(),
            for_agents: 0,
        }
    }

    /// An agent has picked up.
    pub fn agent_answers(&mut self, name: &str) {
        self.picked_up.insert(name.to_owned());
    }

    pub fn wall_is(&mut self, node: usize, now: Duration, offset: i64) {
        self.eras[node].push((now, offset));
    }

    /// An INVITE was compared at one instant and leaves at another: what is wrong with it.
    pub fn invited(
        &mut self,
        now: Duration,
        (compared, leaves): (Duration, Duration),
        vessel: (usize, u64),
        message: &Message,
        target: SocketAddr,
        load: &Load,
    ) -> Vec<String> {
        let (call_id, to, from) = (
            message.get("call-id"),
            message.number("to"),
            message.number("from"),
        );
        let what = format!(
            "INVITE of node {} to {to} ({call_id}, {})",
            vessel.0,
            message.get("cseq")
        );
        self.invites += 1;
        let mut wrong = Vec::new();
        let key = self.keys.get(&to).cloned().unwrap_or_default();
        let claims = self.observer.attempts(call_id);
        let ages: Vec<_> = claims
            .iter()
            .map(|claim| self.age(vessel.0, compared, claim.claimed))
            .collect();
        let offset = self.eras[vessel.0].last().map_or(0, |(_, offset)| *offset);
        let wall = BEGINNING.plus(compared).0 + offset;
        let life = i64::try_from(Permit::LIFE.as_micros()).unwrap();
        let trunk = trunk_name(target);
        let permits = |(claim, age): (&Claim, &Option<Duration>)| {
            claim.allowed
                && claim.trunk == trunk
                && claim.keys.iter().all(|each| *each == key)
                && load
                    .wished
                    .get(&claim.actor)
                    .is_some_and(|wish| *wish == (to.clone(), from.clone()))
                && claim
                    .owner
                    .as_ref()
                    .is_none_or(|owner| *owner == format!("node{}", vessel.0))
                && age.is_some_and(|age| age < Permit::LIFE)
                // P-12: by the wall clock too, and whoever set it meanwhile ended the permit.
                && (0..life).contains(&(wall - claim.claimed))
        };
        if !claims.iter().zip(&ages).any(permits) {
            let found: Vec<_> = claims
                .iter()
                .zip(&ages)
                .map(|(claim, age)| (claim.allowed, &claim.owner, age))
                .collect();
            wrong.push(format!(
                "P-01: no permit stands behind the {what}: {found:?}"
            ));
        }
        if let Some(agent) = claims.first().and_then(|claim| claim.agent.as_ref()) {
            let told = claims.first().is_some_and(|claim| claim.agent_answered);
            if !told || !self.picked_up.contains(agent) {
                wrong.push(format!("the {what} leaves before its agent has answered"));
            }
        }
        // Its permit may be used up to half a second after its life: that far reaches the barrier's margin.
        let age = ages.iter().flatten().min().copied().unwrap_or_default() + (leaves - compared);
        if age >= Duration::from_secs(2) {
            self.beyond.push((call_id.to_owned(), vessel));
        } else if leaves > now + Duration::from_micros(900) {
            self.held.push(Held {
                leaves,
                number: to.clone(),
                what: what.clone(),
            });
        } else {
            wrong.extend(self.covered(&to, &what));
        }
        if self.seen.insert(call_id.to_owned()) {
            self.went_on += usize::from(target == NEXT.parse().unwrap());
            // A trunk is named like the campaign whose calls go by it first.
            let over = claims
                .first()
                .is_some_and(|claim| claim.trunk != claim.campaign);
            self.went_over += usize::from(over);
            let is_for_agent = claims.first().is_some_and(|claim| claim.agent.is_some());
            self.for_agents += usize::from(is_for_agent);
            let trunk = trunk_of(target);
            wrong.extend(self.paced((vessel.0, vessel.1, trunk), leaves, &what));
        }
        wrong
    }

    /// How old the claim is that was made when the node's wall clock showed this; none if it never did.
    fn age(&self, node: usize, compared: Duration, wall: i64) -> Option<Duration> {
        let mut until = compared;
        for (since, offset) in self.eras[node].iter().rev() {
            let micros = wall - BEGINNING.0 - offset;
            let at = u64::try_from(micros).ok().map(Duration::from_micros);
            if let Some(at) = at.filter(|at| *at >= *since && *at <= until) {
                return Some(compared - at);
            }
            until = until.min(*since);
        }
        None
    }

    fn covered(&self, number: &str, what: &str) -> Option<String> {
        let party = self.parties.get(number);
        let covers = |barrier: &&Barrier| match &barrier.subject {
            Subject::Number(opted) => opted == number,
            Subject::Party(opted) => Some(opted) == party,
        };
        let barrier = self.barriers.iter().find(covers)?;
        Some(format!(
            "P-03: the {what} follows an acknowledged opt-out: {}",
            barrier.told
        ))
    }

    fn paced(
        &mut self,
        trunk: (usize, u64, SocketAddr),
        leaves: Duration,
        what: &str,
    ) -> Option<String> {
        let recent = self.recent.entry(trunk).or_default();
        while recent
            .front()
            .is_some_and(|first| *first + Duration::from_secs(1) <= leaves)
        {
            recent.pop_front();
        }
        recent.push_back(leaves);
        let most = (PER_SECOND + BURST) as usize;
        (recent.len() > most).then(|| {
            format!(
                "P-11: the {what} is number {} within a second, {most} are allowed",
                recent.len()
            )
        })
    }

    /// What left frozen processes meanwhile.
    pub fn thaw(&mut self, now: Duration) {
        let (left, held) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| held.leaves <= now);
        self.held = held;
        let left: Vec<Held> = left;
        for each in left {
            let fault = self.covered(&each.number, &each.what);
            self.wrong.extend(fault);
        }
    }

    /// A lift may take effect from when it is asked for.
    pub fn lift_begins(&mut self, id: &str) {
        self.barriers.retain(|barrier| barrier.id != id);
    }

    /// So may a consent.
    pub fn consent_begins(&mut self, of: &Person) {
        let (number, party) = (of.number.reveal(), of.party.to_string());
        self.barriers.retain(|barrier| match &barrier.subject {
            Subject::Number(opted) => *opted != number,
            Subject::Party(opted) => *opted != party,
        });
    }

    /// If this is an opt-out that was acknowledged, nobody may be called from here on, unless something that was under way
    /// already may reopen it.
    pub fn opted_out(&mut self, place: usize, operations: &[Operation]) {
        let Some(this) = operations.get(place) else {
            return;
        };
        let (Wish::OptOut { subject, .. }, End::Ok { id, .. }) = (&this.wish, &this.end) else {
            return;
        };
        let first = operations
            .iter()
            .filter(|each| each.request_id == this.request_id)
            .map(|each| each.invoked)
            .min();
        let may_be_later = |each: &&Operation| match each.end {
            End::Ok { at, .. } | End::Refused(at) => Some(at) >= first,
            End::Unknown => true,
        };
        let reopens = |each: &Operation| match &each.wish {
            Wish::Lift { suppression } => suppression == id,
            Wish::Consent {
                number,
                reopens: true,
                ..
            } => match subject {
                Subject::Number(opted) => opted == number,
                Subject::Party(party) => self.parties.get(number) == Some(party),
            },
            _ => false,
        };
        if !operations.iter().filter(may_be_later).any(reopens) {
            let barrier = Barrier {
                id: id.clone(),
                subject: subject.clone(),
                told: format!("{this:?}"),
            };
            self.barriers.push(barrier);
        }
    }

    /// What the tables show now.
    pub fn look(&mut self) {
        let found = self.observer.impossible();
        self.wrong.extend(found);
    }

    /// The whole run, read by the checker of the other joints.
    pub fn history(&self, load: &Load, packets: &[history::Packet]) -> Vec<String> {
        let numbers = self
            .keys
            .iter()
            .map(|(number, key)| (key.clone(), number.clone()))
            .collect();
        let stored = self.observer.stored(numbers, load.wished.clone());
        let beyond: BTreeSet<&str> = self
            .beyond
            .iter()
            .map(|(call_id, _)| call_id.as_str())
            .collect();
        let kept = packets
            .iter()
            .filter(|packet| !beyond.contains(packet.call_id.as_str()));
        let mut packets: Vec<history::Packet> = kept.cloned().collect();
        packets.sort_by_key(|packet| packet.at);
        let history = history::History {
            operations: load.operations.clone(),
            packets,
            stored,
            lossless: false,
        };
        history::check(&history)
            .iter()
            .map(ToString::to_string)
            .collect()
    }
}

async fn stored(
    connection: &mut SqliteConnection,
    numbers: &HashMap<Vec<u8>, String>,
    wished: &BTreeMap<String, (String, String)>,
) -> Stored {
    let number = |key: &Vec<u8>| numbers.get(key).cloned().unwrap_or_default();
    macro_rules! rows {
        ($sql:expr) => {
            sqlx::query_as($sql)
                .fetch_all(&mut *connection)
                .await
                .unwrap()
        };
    }
    type DecisionRow = (Uuid, String, String, Vec<u8>, Option<Uuid>);
    let decisions: Vec<DecisionRow> =
        rows!("SELECT decision_id, stage, verdict, number_key, call_id FROM decisions");
    type AttemptRow = (
        Uuid,
        Uuid,
        Uuid,
        String,
        Vec<u8>,
        Uuid,
        String,
        bool,
        Option<String>,
    );
    let attempts: Vec<AttemptRow> = rows!(
        "SELECT attempt_id, call_id, decision_id, sip_call_id, number_key, party_id, seller, permit_open, outcome FROM attempts"
    );
    type CallRow = (Uuid, Uuid, Vec<u8>, String, String, i64);
    let calls: Vec<CallRow> = rows!(
        "SELECT call_id, place_decision_id, number_key, actor, queue_state, (SELECT COUNT(*) FROM call_events AS e
            WHERE e.tenant_id = c.tenant_id AND e.call_id = c.call_id AND e.kind IN ('ended', 'denied', 'expired')) FROM calls AS c"
    );
    let requests: Vec<(Uuid, String, String)> =
        rows!("SELECT request_id, method, subject FROM requests");
    let suppressions: Vec<(Uuid, bool, bool)> = rows!(
        "SELECT suppression_id, lift_request_time IS NOT NULL, lift_time IS NOT NULL FROM suppressions"
    );
    let consents: Vec<(Uuid,)> =
        rows!("SELECT consent_event_id FROM consents WHERE action = 'given'");
    let entries: Vec<(String, String)> = rows!(
        "SELECT kind, COALESCE(CASE WHEN kind IN ('decision', 'claim') THEN payload ->> 'decision_id'
            WHEN kind = 'outcome' THEN payload ->> 'attempt_id' WHEN kind LIKE 'suppression.%' THEN payload ->> 'suppression_id'
            WHEN kind LIKE 'consent.%' THEN payload ->> 'consent_event_id' END, '') FROM audit_entries
            WHERE kind IN ('decision', 'claim', 'outcome') OR kind LIKE 'suppression.%' OR kind LIKE 'consent.%'"
    );
    Stored {
        decisions: decisions
            .iter()
            .map(|(id, stage, verdict, key, call)| Decision {
                id: id.to_string(),
                stage: stage.clone(),
                allow: verdict == "allow",
                number: number(key),
                call: call.map(|call| call.to_string()),
            })
            .collect(),
        attempts: attempts
            .iter()
            .map(
                |(id, call, decision, sip_call_id, key, party, seller, open, outcome)| Attempt {
                    id: id.to_string(),
                    call: call.to_string(),
                    decision: decision.to_string(),
                    sip_call_id: sip_call_id.clone(),
                    number: number(key),
                    party: party.to_string(),
                    seller: seller.clone(),
                    // Told by clocks that are stepped; that it came first was seen when the INVITE left.
                    claimed: None,
                    permit_open: *open,
                    outcome: outcome.clone(),
                },
            )
            .collect(),
        calls: calls
            .iter()
            .map(|(id, decision, key, actor, state, ends)| Call {
                id: id.to_string(),
                place_decision: decision.to_string(),
                number: number(key),
                from: wished
                    .get(actor)
                    .map(|(_, from)| from.clone())
                    .unwrap_or_default(),
                done: state == "done",
                ends: usize::try_from(*ends).unwrap(),
            })
            .collect(),
        requests: requests
            .iter()
            .map(|(id, method, subject)| history::Request {
                id: id.to_string(),
                method: method.clone(),
                subject: subject.clone(),
            })
            .collect(),
        suppressions: suppressions
            .iter()
            .map(|(id, lift_requested, lifted)| history::Suppression {
                id: id.to_string(),
                lift_requested: *lift_requested,
                lifted: *lifted,
            })
            .collect(),
        consents: consents.iter().map(|(id,)| id.to_string()).collect(),
        entries: entries
            .into_iter()
            .map(|(kind, about)| Entry { kind, about })
            .collect(),
    }
}
