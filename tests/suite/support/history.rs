//! The history of a run, and what must hold of it: what clients asked and were told, every datagram that the callee saw, and
//! the rows that are left. Nothing here reads a clock, a file or a socket; `joints::history` shows that it fails where it must.
//!
//! One clock stands behind every [`At`]. An acknowledgement counts from when the callee's own queue had passed it, so that
//! a datagram behind it in that queue was sent after it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

/// An instant of the run.
pub type At = Duration;

/// How far the machine's wall clock, read by two processes, may disagree with itself.
const CLOCK_GRAIN: Duration = Duration::from_millis(2);

/// How long after the claim an INVITE of its permit may arrive: 1.5 s of life, half a second of margin, and what a busy
/// machine may leave a datagram unread.
const PERMIT_REACH: Duration = Duration::from_millis(3_500);

/// What a node has heard, or has been stopped before it could use what it had not heard.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// A target that is given up for silence has been silent for about so long: half a second less than the run's setting.
const SILENCE: Duration = Duration::from_millis(2_500);

/// Final responses that are about the trunk and not about the person.
const TRUNK_FAILS: [&str; 12] = [
    "404", "408", "481", "482", "483", "500", "501", "502", "503", "504", "505", "580",
];

#[derive(Debug, Clone, Default)]
pub struct History {
    pub operations: Vec<Operation>,
    pub packets: Vec<Packet>,
    pub stored: Stored,
    /// Whatever the callee said was heard, if anybody was there.
    pub lossless: bool,
}

/// One try of one request.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Whose key it was.
    pub actor: String,
    pub request_id: String,
    pub wish: Wish,
    pub invoked: At,
    pub end: End,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    OptOut {
        subject: Subject,
        seller: Option<String>,
    },
    /// A row of a list.
    Listed {
        subject: Subject,
    },
    Lift {
        suppression: String,
    },
    Place {
        to: String,
        /// The number to show: the one named, or the campaign's own.
        from: String,
    },
    Consent {
        number: String,
        seller: String,
        /// It is newer than what it may reopen.
        reopens: bool,
    },
}

impl Wish {
    /// Whom it asks not to call any more, and for which seller.
    fn opt_out(&self) -> Option<(&Subject, Option<&str>)> {
        match self {
            Self::OptOut { subject, seller } => Some((subject, seller.as_deref())),
            Self::Listed { subject } => Some((subject, None)),
            Self::Lift { .. } | Self::Place { .. } | Self::Consent { .. } => None,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Number(String),
    Party(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Acknowledged: the id of what was recorded and, for an allowed call, the call's.
    Ok {
        at: At,
        id: String,
        call: Option<String>,
    },
    /// Answered with an error that says that nothing was done.
    Refused(At),
    /// No answer that tells: it may have been done, or may be done yet.
    Unknown,
}

/// One datagram at the callee.
#[derive(Debug, Clone)]
pub struct Packet {
    pub at: At,
    /// The callee's own words.
    pub sent: bool,
    /// The method; for a response its code.
    pub what: String,
    pub call_id: String,
    pub branch: String,
    pub cseq: u32,
    pub to: String,
    pub from: String,
    /// The node's port.
    pub node: u16,
}

#[derive(Debug, Clone, Default)]
pub struct Stored {
    pub decisions: Vec<Decision>,
    pub attempts: Vec<Attempt>,
    pub calls: Vec<Call>,
    pub requests: Vec<Request>,
    pub suppressions: Vec<Suppression>,
    pub consents: Vec<String>,
    pub entries: Vec<Entry>,
}

#[derive(Debug, Clone)]
pub struct Decision {
    pub id: String,
    pub stage: String,
    pub allow: bool,
    pub number: String,
    pub call: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Attempt {
    pub id: String,
    pub call: String,
    pub decision: String,
    pub sip_call_id: String,
    pub number: String,
    pub party: String,
    pub seller: String,
    /// Unknown if its node's clock is not the machine's.
    pub claimed: Option<At>,
    pub permit_open: bool,
    pub outcome: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub id: String,
    pub place_decision: String,
    pub number: String,
    pub from: String,
    pub done: bool,
    /// How often its history says that it is over.
    pub ends: usize,
}

#[derive(Debug, Clone)]
pub struct Request {
    pub id: String,
    pub method: String,
    pub subject: String,
}

#[derive(Debug, Clone)]
pub struct Suppression {
    pub id: String,
    pub lift_requested: bool,
    pub lifted: bool,
}

/// An entry of the audit log: its kind and the id of the row that it tells of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub kind: String,
    pub about: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub promise: &'static str,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}

/// Everything that is wrong with this history.
pub fn check(history: &History) -> Vec<Violation> {
    type Check = fn(&History) -> Vec<String>;
    let checks: [(&str, Check); 7] = [
        ("P-01", every_invite_was_allowed),
        ("P-02", no_opt_out_is_lost),
        ("P-03", no_invite_passes_an_opt_out),
        ("P-04", every_claim_has_one_outcome),
        ("P-07", a_request_counts_once),
        ("P-08", a_call_is_dialed_once),
        ("P-16", every_effect_has_its_entry),
    ];
    let found = checks.into_iter().flat_map(|(promise, check)| {
        let told = check(history).into_iter();
        told.map(move |what| Violation { promise, what })
    });
    found.collect()
}

/// The datagrams that dialgate sent with this method.
fn requests<'a>(history: &'a History, method: &'a str) -> impl Iterator<Item = &'a Packet> {
    let packets = history.packets.iter();
    packets.filter(move |packet| !packet.sent && packet.what == method)
}

fn attempts_by_call_id(stored: &Stored) -> HashMap<&str, Vec<&Attempt>> {
    let mut found: HashMap<&str, Vec<&Attempt>> = HashMap::new();
    for attempt in &stored.attempts {
        found.entry(&attempt.sip_call_id).or_default().push(attempt);
    }
    found
}

fn every_invite_was_allowed(history: &History) -> Vec<String> {
    let stored = &history.stored;
    let attempts = attempts_by_call_id(stored);
    let decisions: HashMap<&str, &Decision> = stored
        .decisions
        .iter()
        .map(|each| (each.id.as_str(), each))
        .collect();
    let calls: HashMap<&str, &Call> = stored
        .calls
        .iter()
        .map(|each| (each.id.as_str(), each))
        .collect();
    let asked = numbers_asked_for(history);
    let permits = |attempt: &Attempt, packet: &Packet| {
        let decision = decisions.get(attempt.decision.as_str());
        let allowed = decision.is_some_and(|decision| {
            decision.allow
                && decision.stage == "claim"
                && decision.number == packet.to
                && decision.call.as_ref() == Some(&attempt.call)
        });
        // What was stored and, whatever was stored, what the client asked for.
        let shown = calls.get(attempt.call.as_str()).is_some_and(|call| {
            (&call.number, &call.from) == (&packet.to, &packet.from)
                && asked.get(call.place_decision.as_str()) == Some(&(&packet.to, &packet.from))
        });
        let in_time = attempt.claimed.is_none_or(|claimed| {
            claimed <= packet.at + CLOCK_GRAIN && packet.at <= claimed + PERMIT_REACH
        });
        allowed && shown && attempt.number == packet.to && in_time
    };
    let mut wrong = Vec::new();
    for packet in requests(history, "INVITE") {
        match attempts.get(packet.call_id.as_str()) {
            None => wrong.push(format!("no attempt stands behind the INVITE {packet:?}")),
            Some(chain) if !chain.iter().any(|attempt| permits(attempt, packet)) => {
                wrong.push(format!(
                    "no allow for these numbers stood at {packet:?}: {chain:?}"
                ));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// The number to call and the number to show, as the client said them, by the decision on its request.
fn numbers_asked_for(history: &History) -> HashMap<&str, (&String, &String)> {
    let mut wishes = HashMap::new();
    for operation in &history.operations {
        if let Wish::Place { to, from } = &operation.wish {
            wishes.insert(operation.request_id.as_str(), (to, from));
        }
    }
    let requests = history.stored.requests.iter();
    let placed = requests.filter(|row| row.method == "PlaceCall");
    placed
        .filter_map(|row| Some((row.subject.as_str(), *wishes.get(row.id.as_str())?)))
        .collect()
}

fn no_opt_out_is_lost(history: &History) -> Vec<String> {
    let rows: HashMap<&str, &Suppression> = history
        .stored
        .suppressions
        .iter()
        .map(|row| (row.id.as_str(), row))
        .collect();
    let lifts = Lifts::of(history);
    let mut wrong = Vec::new();
    for operation in &history.operations {
        let (Some(_), End::Ok { id, .. }) = (operation.wish.opt_out(), &operation.end) else {
            continue;
        };
        match rows.get(id.as_str()) {
            None => wrong.push(format!("acknowledged and gone: {operation:?}")),
            Some(row) if row.lifted && lifts.possible(id, None).is_none() => {
                wrong.push(format!(
                    "lifted though no two people asked for it: {operation:?}"
                ));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// The wishes to lift, by suppression, in the order in which they were made.
struct Lifts<'a>(HashMap<&'a str, Vec<&'a Operation>>);

impl<'a> Lifts<'a> {
    fn of(history: &'a History) -> Self {
        let mut lifts: HashMap<&str, Vec<&Operation>> = HashMap::new();
        for each in &history.operations {
            if let Wish::Lift { suppression } = &each.wish {
                lifts.entry(suppression).or_default().push(each);
            }
        }
        for asked in lifts.values_mut() {
            asked.sort_by_key(|each| each.invoked);
        }
        Self(lifts)
    }

    /// From when on a lift of this suppression may have taken effect: the second of two people has asked. A try that had
    /// ended before `since` no longer can.
    fn possible(&self, suppression: &str, since: Option<At>) -> Option<At> {
        let mut people = BTreeSet::new();
        let mut possible = None;
        for each in self.0.get(suppression).into_iter().flatten() {
            people.insert(&each.actor);
            let over = match (&each.end, since) {
                (End::Ok { at, .. } | End::Refused(at), Some(since)) => *at < since,
                _ => false,
            };
            if people.len() > 1 && !over {
                possible = possible.or(Some(each.invoked));
            }
        }
        possible
    }
}

/// An acknowledged opt-out: what it covers, and between which instants.
struct Barrier<'a> {
    operation: &'a Operation,
    seller: Option<&'a str>,
    from: At,
    until: Option<At>,
}

/// The barriers of a history, to be found by what they cover.
#[derive(Default)]
struct Barriers<'a> {
    of_numbers: HashMap<&'a str, Vec<Barrier<'a>>>,
    of_parties: HashMap<&'a str, Vec<Barrier<'a>>>,
}

impl<'a> Barriers<'a> {
    fn of(history: &'a History) -> Self {
        // A request that was tried again was made when it was first tried.
        let mut first: HashMap<&str, At> = HashMap::new();
        for each in &history.operations {
            let invoked = first.entry(&each.request_id).or_insert(each.invoked);
            *invoked = each.invoked.min(*invoked);
        }
        let lifts = Lifts::of(history);
        let consents: Vec<&Operation> = history
            .operations
            .iter()
            .filter(|each| matches!(each.wish, Wish::Consent { reopens: true, .. }))
            .collect();
        let mut barriers = Self::default();
        for operation in &history.operations {
            let (Some((subject, seller)), End::Ok { at, id, .. }) =
                (operation.wish.opt_out(), &operation.end)
            else {
                continue;
            };
            let invoked = first[operation.request_id.as_str()];
            let lift = lifts.possible(id, Some(invoked));
            let consents = consents.iter();
            let reopened = consents
                .filter(|consent| reopens(consent, subject, seller, invoked))
                .map(|consent| consent.invoked)
                .min();
            let found = match subject {
                Subject::Number(number) => barriers.of_numbers.entry(number),
                Subject::Party(party) => barriers.of_parties.entry(party),
            };
            found.or_default().push(Barrier {
                operation,
                seller,
                from: *at,
                until: [lift, reopened].into_iter().flatten().min(),
            });
        }
        barriers
    }

    /// Those that cover this INVITE; one whose attempt is not known is judged by its number alone.
    fn covering<'b>(
        &'b self,
        packet: &Packet,
        attempt: Option<&'b Attempt>,
    ) -> impl Iterator<Item = &'b Barrier<'a>> {
        let number = self.of_numbers.get(packet.to.as_str());
        let party = attempt.and_then(|attempt| self.of_parties.get(attempt.party.as_str()));
        let found = [number, party].into_iter().flatten().flatten();
        found.filter(move |barrier| match (barrier.seller, attempt) {
            (Some(seller), Some(attempt)) => attempt.seller == seller,
            _ => true,
        })
    }
}

/// Whether this permission may have opened again what an opt-out asked for at `invoked` had closed.
fn reopens(consent: &Operation, subject: &Subject, seller: Option<&str>, invoked: At) -> bool {
    let Wish::Consent {
        number,
        seller: given,
        ..
    } = &consent.wish
    else {
        return false;
    };
    // Who holds which number is not known here, so a consent may reopen any person.
    let same = match subject {
        Subject::Number(opted) => opted == number,
        Subject::Party(_) => true,
    };
    let over = match consent.end {
        End::Ok { at, .. } | End::Refused(at) => at < invoked,
        End::Unknown => false,
    };
    same && seller.is_none_or(|seller| seller == given) && !over
}

impl Barrier<'_> {
    fn stands_at(&self, at: At) -> bool {
        at > self.from && self.until.is_none_or(|until| at < until)
    }
}

fn no_invite_passes_an_opt_out(history: &History) -> Vec<String> {
    let attempts = attempts_by_call_id(&history.stored);
    let barriers = Barriers::of(history);
    let mut wrong = Vec::new();
    for packet in requests(history, "INVITE") {
        let attempt = attempts.get(packet.call_id.as_str()).map(|chain| chain[0]);
        for barrier in barriers.covering(packet, attempt) {
            if barrier.stands_at(packet.at) {
                let after = packet.at - barrier.from;
                let told = barrier.operation;
                wrong.push(format!(
                    "{packet:?} left {after:?} after {told:?}; its attempt: {attempt:?}"
                ));
            }
        }
    }
    wrong
}

fn every_claim_has_one_outcome(history: &History) -> Vec<String> {
    let stored = &history.stored;
    let entries = count_entries(stored);
    let mut wrong = Vec::new();
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    for attempt in &stored.attempts {
        let told = entries
            .get(&("outcome", attempt.id.as_str()))
            .copied()
            .unwrap_or(0);
        match attempt.outcome.as_deref() {
            None => wrong.push(format!("no outcome: {attempt:?}")),
            Some("superseded") if told == 0 => continue,
            Some(outcome) if told != usize::from(outcome != "superseded") => {
                wrong.push(format!("{told} outcomes were recorded for {attempt:?}"));
            }
            Some(_) => {}
        }
        if attempt.permit_open && attempt.outcome.is_some() {
            wrong.push(format!("the permit was never given up: {attempt:?}"));
        }
        *last.entry(&attempt.call).or_default() += 1;
    }
    for (call, count) in last.iter().filter(|(_, count)| **count != 1) {
        wrong.push(format!(
            "call {call} has {count} attempts that were not superseded"
        ));
    }
    for call in &stored.calls {
        if !call.done || call.ends != 1 {
            wrong.push(format!("ended {} times: {call:?}", call.ends));
        }
    }
    wrong
}

fn a_request_counts_once(history: &History) -> Vec<String> {
    let stored = &history.stored;
    let mut wrong = Vec::new();
    let mut answers: BTreeMap<&str, (&str, Option<&str>)> = BTreeMap::new();
    let rows: HashMap<&str, &Request> = stored
        .requests
        .iter()
        .map(|row| (row.id.as_str(), row))
        .collect();
    for operation in &history.operations {
        let End::Ok { id, call, .. } = &operation.end else {
            continue;
        };
        let answer = (id.as_str(), call.as_deref());
        let known = *answers.entry(&operation.request_id).or_insert(answer);
        // An opt-out and a lift name a row that may change; which row it is may not.
        if known != answer {
            wrong.push(format!("answered first with {known:?}, then {operation:?}"));
        }
        // A lift of what is lifted already is no effect and leaves nothing; a list is one request, whatever its rows.
        let effect = !matches!(operation.wish, Wish::Lift { .. } | Wish::Listed { .. });
        match rows.get(operation.request_id.as_str()) {
            None if effect => wrong.push(format!("answered and not remembered: {operation:?}")),
            Some(row) if row.subject != *id => {
                wrong.push(format!("remembered as {row:?}: {operation:?}"));
            }
            _ => {}
        }
    }
    let placed: Vec<&Request> = stored
        .requests
        .iter()
        .filter(|row| row.method == "PlaceCall")
        .collect();
    let mut asked: HashMap<&str, usize> = HashMap::new();
    for row in &placed {
        *asked.entry(row.subject.as_str()).or_default() += 1;
    }
    for decision in stored.decisions.iter().filter(|each| each.stage == "place") {
        let requests = asked.get(decision.id.as_str()).copied().unwrap_or(0);
        if requests != 1 {
            wrong.push(format!("decided for {requests} requests: {decision:?}"));
        }
    }
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for call in &stored.calls {
        let count = calls.entry(call.place_decision.as_str()).or_default();
        *count += 1;
        if *count > 1 || !asked.contains_key(call.place_decision.as_str()) {
            wrong.push(format!("not the one call of one request: {call:?}"));
        }
    }
    wrong
}

fn a_call_is_dialed_once(history: &History) -> Vec<String> {
    let attempts = attempts_by_call_id(&history.stored);
    let mut wrong = Vec::new();
    let mut on_wire: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut latest: HashMap<&str, &str> = HashMap::new();
    let mut branches: HashMap<&str, Vec<&Packet>> = HashMap::new();
    let mut challenged: HashSet<(&str, &str)> = HashSet::new();
    for packet in &history.packets {
        if packet.sent {
            if matches!(packet.what.as_str(), "401" | "407") {
                challenged.insert((&packet.call_id, &packet.branch));
            }
            continue;
        }
        if packet.what != "INVITE" {
            continue;
        }
        if let Some(chain) = attempts.get(packet.call_id.as_str()) {
            let call = chain[0].call.as_str();
            let known = on_wire.entry(call).or_default();
            let is_new = known.insert(&packet.call_id);
            let newest = latest.entry(call).or_insert(&packet.call_id);
            if is_new {
                *newest = &packet.call_id;
            } else if *newest != packet.call_id {
                wrong.push(format!(
                    "sent to an earlier target when the next had its turn: {packet:?}"
                ));
            }
        }
        let seen = branches.entry(&packet.call_id).or_default();
        match seen.iter().find(|old| old.branch == packet.branch) {
            Some(old) if old.cseq == packet.cseq && old.node == packet.node => continue,
            Some(old) => wrong.push(format!("no retransmission of {old:?}: {packet:?}")),
            None => {}
        }
        if let Some(last) = seen.last() {
            let answer = challenged.contains(&(packet.call_id.as_str(), last.branch.as_str()))
                && packet.cseq > last.cseq
                && packet.node == last.node;
            if !answer {
                wrong.push(format!(
                    "neither retransmission nor answer to a challenge: {packet:?} after {last:?}"
                ));
            }
        }
        seen.push(packet);
    }
    for (call, ids) in &on_wire {
        wrong.extend(went_on(history, (call, ids), &attempts, &branches));
    }
    for (call_id, chain) in attempts {
        if chain.iter().any(|attempt| attempt.call != chain[0].call) {
            wrong.push(format!(
                "Call-ID {call_id} stands for several calls: {chain:?}"
            ));
        }
    }
    wrong
}

/// What is wrong with a call that was dialed under several Call-IDs, one after the other.
fn went_on(
    history: &History,
    (call, ids): (&str, &BTreeSet<&str>),
    attempts: &HashMap<&str, Vec<&Attempt>>,
    branches: &HashMap<&str, Vec<&Packet>>,
) -> Vec<String> {
    let mut legs: Vec<&str> = ids.iter().copied().collect();
    legs.sort_by_key(|id| branches[id][0].at);
    let mut wrong = Vec::new();
    for pair in legs.windows(2) {
        let (old, new) = (pair[0], pair[1]);
        let of_old = |packet: &&Packet| packet.sent && packet.call_id == old;
        let words: Option<Vec<&Packet>> = history
            .lossless
            .then(|| history.packets.iter().filter(of_old).collect());
        let (earlier, next) = (&branches[old], branches[new][0]);
        if let Some(why) = went_on_wrongly(&attempts[old], earlier, next, words.as_deref()) {
            wrong.push(format!("call {call} was dialed anew: {why}; {next:?}"));
        }
    }
    wrong
}

/// What is wrong with an INVITE under a Call-ID of its own for a call that was dialed before, if anything: the trunk's next
/// target is tried by the same node, under a claim that superseded the earlier ones, when nothing is sent to the earlier
/// target any more, and only because that one failed before anything rang.
fn went_on_wrongly(
    earlier_claims: &[&Attempt],
    earlier: &[&Packet],
    next: &Packet,
    words: Option<&[&Packet]>,
) -> Option<String> {
    if let Some(claim) = earlier_claims
        .iter()
        .find(|claim| claim.outcome.as_deref() != Some("superseded"))
    {
        return Some(format!("{claim:?} was not superseded"));
    }
    if earlier.iter().any(|invite| invite.node != next.node) {
        return Some("by another node".to_owned());
    }
    let words = words?;
    let mut heard = words
        .iter()
        .filter(|word| word.at + HEARD_WITHIN <= next.at);
    let rang = heard.find(|word| {
        let code = word.what.as_str();
        code.starts_with("18") || code.starts_with('2')
    });
    if let Some(rang) = rang {
        return Some(format!("it had rung: {rang:?}"));
    }
    let last = earlier.last()?;
    let finally = words.iter().rev().find(|word| {
        word.branch == last.branch && word.what.as_str() >= "300" && word.at <= next.at
    });
    match finally {
        Some(end) if TRUNK_FAILS.contains(&end.what.as_str()) => None,
        // What was heard too late of a target given up for silence was cancelled.
        Some(end) if end.what != "487" => Some(format!("{end:?} is no failure of the trunk")),
        _ if next.at >= last.at + SILENCE => None,
        _ => Some("it had not failed".to_owned()),
    }
}

fn count_entries(stored: &Stored) -> BTreeMap<(&str, &str), usize> {
    let mut entries = BTreeMap::new();
    for entry in &stored.entries {
        *entries
            .entry((entry.kind.as_str(), entry.about.as_str()))
            .or_default() += 1;
    }
    entries
}

fn every_effect_has_its_entry(history: &History) -> Vec<String> {
    let stored = &history.stored;
    let claimed: HashSet<&str> = stored
        .attempts
        .iter()
        .map(|attempt| attempt.decision.as_str())
        .collect();
    let mut effects: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut effect = |kind, about| *effects.entry((kind, about)).or_default() += 1;
    for decision in &stored.decisions {
        let kind = if claimed.contains(decision.id.as_str()) {
            "claim"
        } else {
            "decision"
        };
        effect(kind, decision.id.as_str());
    }
    for attempt in &stored.attempts {
        if attempt
            .outcome
            .as_deref()
            .is_some_and(|outcome| outcome != "superseded")
        {
            effect("outcome", &attempt.id);
        }
    }
    for row in &stored.suppressions {
        effect("suppression.created", &row.id);
        if row.lift_requested {
            effect("suppression.lift_requested", &row.id);
        }
        if row.lifted {
            effect("suppression.lifted", &row.id);
        }
    }
    for id in &stored.consents {
        effect("consent.given", id);
    }
    const COUNTED: [&str; 7] = [
        "decision",
        "claim",
        "outcome",
        "suppression.created",
        "suppression.lift_requested",
        "suppression.lifted",
        "consent.given",
    ];
    let entries = count_entries(stored);
    let mut wrong = Vec::new();
    for (key, count) in &effects {
        let told = entries.get(key).copied().unwrap_or(0);
        if told != *count {
            wrong.push(format!("{told} entries for {count} effects {key:?}"));
        }
    }
    for (key, told) in &entries {
        if COUNTED.contains(&key.0) && !effects.contains_key(key) {
            wrong.push(format!("{told} entries without an effect {key:?}"));
        }
    }
    wrong
}

/// How long it took until a call was cancelled that rang when an opt-out was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cancel {
    /// From the acknowledgement; zero if it was cancelled before.
    pub acknowledged: Duration,
    /// From when the opt-out was asked for.
    pub asked: Duration,
}

/// For each acknowledged opt-out, the calls that rang when it was asked for. Those that `excused` speaks for are left out,
/// and those that ended by themselves. `None`: never cancelled.
pub fn cancels(history: &History, excused: impl Fn(&Packet, At) -> bool) -> Vec<Option<Cancel>> {
    let attempts = attempts_by_call_id(&history.stored);
    let barriers = Barriers::of(history);
    let mut calls: BTreeMap<&str, Vec<&Packet>> = BTreeMap::new();
    for packet in &history.packets {
        calls.entry(&packet.call_id).or_default().push(packet);
    }
    let mut found = Vec::new();
    for (call_id, packets) in &calls {
        let Some(invite) = packets.iter().find(|packet| packet.what == "INVITE") else {
            continue;
        };
        let attempt = attempts.get(call_id).map(|chain| chain[0]);
        for barrier in barriers.covering(invite, attempt) {
            if !excused(invite, barrier.from) {
                found.extend(cancel(barrier, packets));
            }
        }
    }
    found.sort();
    found
}

/// What became of one call that an opt-out covers; nothing if it did not ring then.
fn cancel(barrier: &Barrier<'_>, packets: &[&Packet]) -> Option<Option<Cancel>> {
    /// What ends by itself so soon need not be cancelled.
    const SOON: Duration = Duration::from_secs(1);
    let asked = barrier.operation.invoked;
    let first = |wanted: &dyn Fn(&Packet) -> bool| {
        packets
            .iter()
            .find(|packet| wanted(packet))
            .map(|packet| packet.at)
    };
    let rang = first(&|packet| packet.sent && packet.what == "180")?;
    let cancel = first(&|packet| !packet.sent && packet.what == "CANCEL");
    let end = first(&|packet| {
        packet.sent && ("200".."700").contains(&packet.what.as_str()) && packet.at > rang
    });
    let over = |at: Option<At>| at.is_some_and(|at| at < asked);
    if rang >= asked || over(cancel) || over(end) {
        return None;
    }
    match (cancel, end) {
        (Some(cancel), _) => Some(Some(Cancel {
            acknowledged: cancel.saturating_sub(barrier.from),
            asked: cancel - asked,
        })),
        (None, Some(end)) if end < barrier.from + SOON => None,
        (None, _) => Some(None),
    }
}
