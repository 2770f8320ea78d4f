//! What people want: calls, opt-outs on the heels of calls, lifts by two people, consents, hang-ups, the same thing twice.
//! Each try is written down as the history checker reads it; what got no answer is asked again, perhaps elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use dialgate::domain::access::{Principal, Role};
use dialgate::domain::account::Account;
use dialgate::domain::call::{CallKind, CallRequest};
use dialgate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy};
use dialgate::domain::ids::{ApiKeyId, CallId, PartyId, RequestId, SuppressionId, TenantId};
use dialgate::domain::party::{
    Audience, Dealings, LineType, Location, Notice, PartyNumber, Profile, RegisterCheck,
};
use dialgate::domain::phone::Phone;
use dialgate::domain::suppression::{SuppressionReason, SuppressionSource};
use dialgate::domain::time::Micros;
use dialgate::gate::{
    Ask, ContactDraft, Gate, GateError, LiftStep, NewConsent, NewLift, NewSuppression,
};

use super::driver::lock;
use super::node::{BEGINNING, CALLER_IDS, CAMPAIGNS, SELLER};
use super::vessel::Vessel;
use super::world::{AGENTS, NODES, World};
use crate::joints::rng::Rng;
use crate::support::history::{End, Operation, Subject, Wish};

/// Whoever waits longer for an answer does without it.
const PATIENCE: Duration = Duration::from_secs(6);
const TRIES_MAX: u32 = 4;
const ACTORS: [&str; 3] = ["agent", "first", "second"];

#[derive(Debug, Clone)]
pub struct Person {
    pub number: Phone,
    pub party: PartyId,
    /// An account of their own, of which what is told of them as a person is told instead; some have none.
    pub account: Option<Account>,
}

/// A request; asked again it is the same.
#[derive(Debug)]
pub struct Request {
    actor: usize,
    id: RequestId,
    digest: [u8; 32],
    demand: Demand,
    tries: u32,
}

#[derive(Debug, Clone)]
enum Demand {
    Place {
        to: Person,
        from: &'static str,
        campaign: &'static str,
        until: Micros,
        agent: Option<&'static str>,
        hurried: bool,
        name: String,
    },
    Check {
        to: Person,
    },
    OptOut {
        of: Person,
        wide: bool,
        seller: Option<&'static str>,
    },
    Lift {
        id: SuppressionId,
        of: PartyId,
    },
    Consent {
        of: Person,
        at: Option<Micros>,
    },
    HangUp {
        call: CallId,
    },
}

#[derive(Debug, Default)]
pub struct Figures {
    pub placed: usize,
    pub allowed: usize,
    pub opted_out: usize,
    pub lifted: usize,
    pub unheard: usize,
    pub refused: usize,
}

pub struct Load {
    rng: Rng,
    /// Whose phone is called first.
    desks: Rng,
    pub people: Vec<Person>,
    pub operations: Vec<Operation>,
    /// Tries that wait for an answer: by the place in `operations`, with the node that was asked and since when.
    pending: BTreeMap<usize, (usize, Duration, Arc<Request>)>,
    agenda: BTreeMap<(Duration, u64), Arc<Request>>,
    planned: u64,
    /// How many opt-outs of a hundred are reopened by a new consent instead of a lift.
    consents: usize,
    /// People who opted out and are mostly left in peace until that is lifted.
    out: BTreeSet<PartyId>,
    /// What a call may show, by who asked for it.
    pub wished: BTreeMap<String, (String, String)>,
    pub figures: Figures,
}

impl Load {
    pub fn new(seed: u64, people: Vec<Person>) -> Self {
        let mut rng = Rng::new(seed, 3);
        Self {
            consents: *rng.pick(&[3, 10, 60]),
            desks: Rng::new(seed, 8),
            rng,
            people,
            operations: Vec::new(),
            pending: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            out: BTreeSet::new(),
            wished: BTreeMap::new(),
            figures: Figures::default(),
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.pending.is_empty() && self.agenda.is_empty()
    }

    /// Somebody comes along and wants something.
    pub fn arrive(&mut self, now: Duration) {
        let mut person = self.rng.pick(&self.people).clone();
        if self.out.contains(&person.party) && self.rng.percent(70) {
            person = self.rng.pick(&self.people).clone();
        }
        match self.rng.below(100) {
            0..92 => self.wish_call(now, &person),
            92..94 => self.wish_opt_out(now, &person),
            94..97 => {
                // Old ones reopen nothing.
                let ago = Duration::from_secs(10 * 24 * 3600);
                let at = Some(BEGINNING.minus(ago));
                self.plan(now, 1, Demand::Consent { of: person, at });
            }
            _ => self.plan(now, 0, Demand::Check { to: person }),
        }
    }

    fn wish_call(&mut self, now: Duration, person: &Person) {
        // Which number is shown where none is named follows from the person's key: `gate::caller_ids` has that.
        let from = *self.rng.pick::<&str>(&CALLER_IDS);
        let until = BEGINNING.plus(now).plus(self.rng.millis(2_000, 20_000));
        let demand = Demand::Place {
            to: person.clone(),
            from,
            campaign: self.rng.pick::<&str>(&CAMPAIGNS),
            until,
            agent: (self.desks)
                .percent(12)
                .then(|| *self.desks.pick::<&str>(&AGENTS)),
            hurried: self.rng.percent(10),
            name: format!("key:agent-{}", self.planned),
        };
        self.plan(now, 0, demand);
        if self.rng.percent(4) {
            // On its heels: while it waits, is claimed, is sent again, rings.
            let longest = *self.rng.pick(&[30, 300, 2_500]);
            let after = self.rng.millis(0, longest);
            self.wish_opt_out(now + after, person);
        }
    }

    /// A call has just been sent; what its person says of it may meet its retransmissions and answers to challenges.
    pub fn rings_in(&mut self, now: Duration, number: &str) {
        if self.rng.percent(6) {
            let person = self
                .people
                .iter()
                .find(|person| person.number.reveal() == number)
                .cloned();
            let after = self.rng.millis(0, 1_500);
            person
                .into_iter()
                .for_each(|person| self.wish_opt_out(now + after, &person));
        }
    }

    fn wish_opt_out(&mut self, at: Duration, person: &Person) {
        let demand = Demand::OptOut {
            of: person.clone(),
            wide: self.rng.percent(10),
            seller: self.rng.percent(30).then_some(SELLER),
        };
        self.plan(at, 0, demand);
    }

    /// Nobody wants to talk any more.
    pub fn hang_up(&mut self, now: Duration, calls: Vec<uuid::Uuid>) {
        for call in calls {
            self.plan(now, 0, Demand::HangUp { call: CallId(call) });
        }
    }

    fn plan(&mut self, at: Duration, actor: usize, demand: Demand) {
        let id = RequestId(self.rng.uuid().parse().unwrap());
        let digest = [u8::try_from(self.rng.below(256)).unwrap(); 32];
        let doubled = self.rng.percent(7);
        let request = Request {
            actor,
            id,
            digest,
            demand,
            tries: 0,
        };
        if doubled && !matches!(request.demand, Demand::Lift { .. }) {
            let again = Request {
                demand: request.demand.clone(),
                tries: TRIES_MAX,
                ..request
            };
            let longest = *self.rng.pick(&[2, 40, 3_000]);
            let after = self.rng.millis(0, longest);
            self.put(at + after, Arc::new(again));
        }
        self.put(at, Arc::new(request));
    }

    pub fn put(&mut self, at: Duration, request: Arc<Request>) {
        self.planned += 1;
        self.agenda.insert((at, self.planned), request);
    }

    /// What is asked for now.
    pub fn due(&mut self, now: Duration) -> Vec<Arc<Request>> {
        let later = self.agenda.split_off(&(now, u64::MAX));
        std::mem::replace(&mut self.agenda, later)
            .into_values()
            .collect()
    }

    /// A try begins; its place in the history.
    fn begin(
        &mut self,
        node: usize,
        now: Duration,
        invoked: Duration,
        request: &Arc<Request>,
    ) -> usize {
        let wish = match &request.demand {
            Demand::Place { to, from, name, .. } => {
                let shown = (*from).to_owned();
                self.wished
                    .insert(name.clone(), (to.number.reveal(), shown.clone()));
                self.figures.placed += usize::from(request.tries == 0);
                Wish::Place {
                    to: to.number.reveal(),
                    from: shown,
                }
            }
            Demand::OptOut { of, wide, seller } => Wish::OptOut {
                subject: match wide {
                    true => Subject::Party(of.party.to_string()),
                    false => Subject::Number(of.number.reveal()),
                },
                seller: seller.map(str::to_owned),
            },
            Demand::Lift { id, .. } => Wish::Lift {
                suppression: id.to_string(),
            },
            Demand::Consent { of, at } => Wish::Consent {
                number: of.number.reveal(),
                seller: SELLER.to_owned(),
                reopens: at.is_none(),
            },
            Demand::Check { .. } | Demand::HangUp { .. } => {
                return self.unfollowed(node, now, request);
            }
        };
        self.operations.push(Operation {
            actor: ACTORS[request.actor].to_owned(),
            request_id: request.id.to_string(),
            wish,
            invoked,
            end: End::Unknown,
        });
        let place = self.operations.len() - 1;
        self.pending.insert(place, (node, now, Arc::clone(request)));
        place
    }

    /// What the history does not judge.
    fn unfollowed(&mut self, node: usize, now: Duration, request: &Arc<Request>) -> usize {
        self.planned += 1;
        let place = usize::MAX - usize::try_from(self.planned).unwrap();
        self.pending.insert(place, (node, now, Arc::clone(request)));
        place
    }

    /// The answer to a try; nothing if nobody waits for it any more.
    fn end(&mut self, place: usize, now: Duration, end: &End) -> Option<Arc<Request>> {
        let (_, _, request) = self.pending.remove(&place)?;
        if let Some(operation) = self.operations.get_mut(place) {
            operation.end = end.clone();
        }
        match (end, &request.demand) {
            (End::Ok { call, .. }, Demand::Place { .. }) => {
                self.figures.allowed += usize::from(call.is_some());
                if let Some(call) = call
                    && self.rng.percent(12)
                {
                    let after = self.rng.millis(0, 4_000);
                    self.plan(
                        now + after,
                        0,
                        Demand::HangUp {
                            call: call.parse().unwrap(),
                        },
                    );
                }
            }
            (End::Ok { id, .. }, Demand::OptOut { of, .. }) => {
                self.figures.opted_out += 1;
                self.out.insert(of.party);
                let id = id.parse().unwrap();
                let after = self.rng.millis(500, 5_000);
                if !self.rng.percent(self.consents) {
                    self.plan(now + after, 1, Demand::Lift { id, of: of.party });
                } else {
                    self.out.remove(&of.party);
                    self.plan(
                        now + after,
                        1,
                        Demand::Consent {
                            of: of.clone(),
                            at: None,
                        },
                    );
                }
            }
            (End::Ok { .. }, Demand::Lift { id, of }) if request.actor == 1 => {
                let after = self.rng.millis(0, 400);
                self.plan(now + after, 2, Demand::Lift { id: *id, of: *of });
            }
            (End::Ok { .. }, Demand::Lift { of, .. }) => {
                self.figures.lifted += 1;
                self.out.remove(of);
            }
            (End::Refused(_), _) => self.figures.refused += 1,
            (End::Unknown, _) => {
                self.figures.unheard += 1;
                if request.tries < TRIES_MAX {
                    let again = Request {
                        demand: request.demand.clone(),
                        tries: request.tries + 1,
                        ..*request
                    };
                    let after = self.rng.millis(20, 900);
                    self.put(now + after, Arc::new(again));
                }
            }
            _ => {}
        }
        Some(request)
    }

    /// Nobody on this node answers any more.
    pub fn died(&mut self, node: usize, now: Duration) {
        let lost: Vec<usize> = self
            .pending
            .iter()
            .filter(|(_, (asked, _, _))| *asked == node)
            .map(|(place, _)| *place)
            .collect();
        for place in lost {
            self.end(place, now, &End::Unknown);
        }
    }

    /// Whoever waited too long gives up.
    pub fn give_up(&mut self, now: Duration) {
        let late: Vec<usize> = self
            .pending
            .iter()
            .filter(|(_, (_, since, _))| now - *since > PATIENCE)
            .map(|(place, _)| *place)
            .collect();
        for place in late {
            self.end(place, now, &End::Unknown);
        }
    }

    pub fn pick_node(&mut self) -> usize {
        self.rng.below(NODES)
    }
}

/// Asks a node, as a client does, and writes down what it is told.
pub fn ask(
    world: &mut World,
    vessel: Arc<Vessel>,
    gate: Gate,
    request: &Arc<Request>,
) -> impl Future<Output = ()> + Send + use<> {
    let (node, now) = (vessel.index, world.now);
    let invoked = world.instant();
    let place = world.load.begin(node, now, invoked, request);
    world.note(format_args!(
        "{place} asks node {node}: {} {}",
        kind(&request.demand),
        request.tries
    ));
    match &request.demand {
        Demand::Lift { id, .. } => world.checks.lift_begins(&id.to_string()),
        Demand::Consent { of, at: None } => world.checks.consent_begins(of),
        _ => {}
    }
    let request = Arc::clone(request);
    async move {
        let answer = perform(&gate, &request).await;
        let mut world = lock(&vessel.world);
        let (at, now) = (world.instant(), world.now);
        let (end, told) = match answer {
            Ok((id, call)) => (End::Ok { at, id, call }, "ok".to_owned()),
            Err(error) => (says_no(&error, at), error.to_string()),
        };
        world.note(format_args!("{place} is told {told}"));
        let is_ok = matches!(end, End::Ok { .. });
        if world.load.end(place, now, &end).is_some() && is_ok {
            let World { checks, load, .. } = &mut *world;
            checks.opted_out(place, &load.operations);
        }
    }
}

fn kind(demand: &Demand) -> &'static str {
    match demand {
        Demand::Place { .. } => "place",
        Demand::Check { .. } => "check",
        Demand::OptOut { .. } => "opt-out",
        Demand::Lift { .. } => "lift",
        Demand::Consent { .. } => "consent",
        Demand::HangUp { .. } => "hang-up",
    }
}

/// Whether nothing was done and nothing will be.
fn says_no(error: &GateError, at: Duration) -> End {
    match error {
        GateError::Store(_) | GateError::Busy { .. } => End::Unknown,
        GateError::TrunkSaturated { .. }
        | GateError::Closing
        | GateError::RequestExpired
        | GateError::SecondApproverRequired
        | GateError::LiftNotRequested
        | GateError::NotFound { .. } => End::Refused(at),
        other => panic!("refused: {other}"),
    }
}

async fn perform(gate: &Gate, request: &Request) -> Result<(String, Option<String>), GateError> {
    let at = gate.read().wall;
    let name = ACTORS[request.actor];
    let ask = Ask {
        principal: Principal {
            tenant: TenantId::default(),
            api_key_id: Some(ApiKeyId(uuid::Uuid::from_u128(request.actor as u128 + 1))),
            name: name.to_owned(),
            role: Role::Administrator,
        },
        request_id: request.id,
        method: kind(&request.demand),
        digest: request.digest,
        at,
    };
    match &request.demand {
        Demand::Place {
            to,
            from,
            campaign,
            until,
            agent,
            hurried,
            name,
        } => {
            let asked = CallRequest {
                tenant: TenantId::default(),
                request_id: Some(request.id),
                request_digest: request.digest,
                to: to.number,
                party_id: None,
                campaign_id: (*campaign).to_owned(),
                call_kind: CallKind::LiveManual,
                caller_id: Some(Phone::parse(from).unwrap()),
                sdp_offer: match agent {
                    Some(_) => Vec::new(),
                    None => OFFER.to_vec(),
                },
                agent: agent.map(str::to_owned),
                expire_time: Some(*until),
                answer_by: hurried.then(|| gate.read().mono.plus(Duration::from_millis(50))),
                actor: name.clone(),
            };
            let placed = gate.place(asked).await?;
            let call = placed.call.map(|call| call.call_id.to_string());
            Ok((placed.decision.decision_id.to_string(), call))
        }
        Demand::Check { to } => {
            let asked = CallRequest {
                tenant: TenantId::default(),
                request_id: None,
                request_digest: [0; 32],
                to: to.number,
                party_id: None,
                campaign_id: CAMPAIGNS[0].to_owned(),
                call_kind: CallKind::LiveManual,
                caller_id: None,
                sdp_offer: Vec::new(),
                agent: None,
                expire_time: None,
                answer_by: None,
                actor: "key:checker".to_owned(),
            };
            Ok((gate.check(asked).await?.decision_id.to_string(), None))
        }
        Demand::OptOut { of, wide, seller } => {
            let new = NewSuppression {
                number: (!wide).then_some(of.number),
                party_id: (*wide && of.account.is_none()).then_some(of.party),
                account: of.account.clone().filter(|_| *wide),
                seller: seller.map(str::to_owned),
                channels: Vec::new(),
                purposes: Vec::new(),
                reason: SuppressionReason::PartyRequest,
                source: SuppressionSource::Agent,
                received_at: None,
                expires_at: None,
                evidence_ref: None,
                note: None,
            };
            Ok((
                gate.suppress(&ask, new).await?.suppression_id.to_string(),
                None,
            ))
        }
        Demand::Lift { id, .. } => {
            let step = match request.actor {
                1 => LiftStep::Ask(NewLift {
                    reason: "asked to be called again".to_owned(),
                    evidence_ref: "letter 3".to_owned(),
                    // Later than the opt-out by whichever node's clock.
                    evidence_at: at.plus(Duration::from_hours(1)),
                }),
                _ => LiftStep::Approve,
            };
            Ok((
                gate.lift(&ask, *id, step).await?.suppression_id.to_string(),
                None,
            ))
        }
        Demand::Consent { of, at } => {
            let recorded = gate.record_consent(&ask, consent(of, *at)).await?;
            Ok((recorded.consent_event_id.to_string(), None))
        }
        Demand::HangUp { call } => Ok((gate.hang_up(&ask, *call).await?.call_id.to_string(), None)),
    }
}

const OFFER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

fn consent(of: &Person, at: Option<Micros>) -> NewConsent {
    NewConsent {
        number: of.number,
        party_id: None,
        seller: SELLER.to_owned(),
        action: ConsentAction::Given,
        at,
        channels: vec![CallKind::LiveManual],
        form: Some(ConsentForm::Written),
        explicit: Some(true),
        documented: Some(true),
        out_of_hours: Some(true),
        period: Some("indefinite".to_owned()),
        initiated_by: Some(InitiatedBy::Person),
        source: Some("paper".to_owned()),
        evidence_ref: Some("form-17".to_owned()),
        wording_ref: None,
    }
}

/// Records what a call to each of so many people in Sydney needs at any hour.
pub async fn introduce(gate: &Gate, count: usize) -> Vec<Person> {
    let mut people = Vec::new();
    for index in 0..count {
        let number = Phone::parse(&format!("+612555{index:05}")).unwrap();
        let account =
            (index % 2 == 0).then(|| Account::parse(&format!("account {index}")).unwrap());
        let at = gate.read().wall;
        let washed = at
            .minus(Duration::from_secs(24 * 3600))
            .timestamp()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let ask = |id: u128| Ask {
            principal: Principal {
                tenant: TenantId::default(),
                api_key_id: Some(ApiKeyId(uuid::Uuid::from_u128(9))),
                name: "setup".to_owned(),
                role: Role::Administrator,
            },
            request_id: RequestId(uuid::Uuid::from_u128(id)),
            method: "setup",
            digest: [0; 32],
            at,
        };
        let draft = ContactDraft {
            party_id: None,
            profile: Profile {
                audience: Some(Audience::Consumer),
                location: Some(Location {
                    country: Some("AU".to_owned()),
                    ..Location::default()
                }),
                dealings: [(
                    SELLER.to_owned(),
                    Dealings {
                        notice: Some(Notice {
                            version: "n-1".to_owned(),
                        }),
                        ..Dealings::default()
                    },
                )]
                .into(),
                account: account.clone(),
                ..Profile::default()
            },
            numbers: vec![PartyNumber {
                number,
                line_type: LineType::Landline,
                registers: vec![RegisterCheck {
                    register: "au-dncr".to_owned(),
                    listed: Some(false),
                    as_of: washed,
                    listed_since: None,
                    snapshot: None,
                }],
                reassigned_check: None,
            }],
            etag: None,
            mask: None,
        };
        let party = gate
            .upsert_contact(&ask(2 * index as u128 + 1), draft)
            .await
            .unwrap();
        let person = Person {
            number,
            party: party.party_id,
            account,
        };
        let long_ago = at.minus(Duration::from_secs(10 * 24 * 3600));
        gate.record_consent(
            &ask(2 * index as u128 + 2),
            consent(&person, Some(long_ago)),
        )
        .await
        .unwrap();
        people.push(person);
    }
    people
}
