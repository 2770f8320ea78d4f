//! The load of a run: clients that place calls, opt people out, lift it again and record consents, over all nodes, each try
//! written down. What got no answer that tells is asked again, elsewhere, under the same request id.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::grpc::client::{Client, Code, Status};
use dialgate::grpc::pb;
use tokio::task::JoinSet;

use super::rng::Rng;
use super::sink::{Part, Sink, now};
use super::world::{AGENT, CALLER_IDS, FIRST, SECOND, SELLER, World, consent, place};
use crate::support::history::{At, End, Operation, Subject, Wish};

/// No answer comes later; what waits for a barrier takes two seconds.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(40);
/// A request that nobody answers for so long fails the run.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is asked for, in shares of a hundred.
#[derive(Debug, Clone, Copy)]
pub struct Mix {
    pub opt_outs: usize,
    pub lifts: usize,
    pub consents: usize,
    pub checks: usize,
    /// Of the calls and opt-outs: how many are asked for several times at once.
    pub doubled: usize,
    /// Of the opt-outs: how many are for somebody whose phone rings at that moment.
    pub aimed: usize,
}

/// What the clients share.
pub struct Load {
    sink: Arc<Sink>,
    people: Vec<(String, String)>,
    /// Everybody who is called: those, and whom a list opts out.
    called: Vec<(String, String)>,
    /// One connection a key and node.
    clients: Vec<[Client; 3]>,
    mix: Mix,
    /// How long a call may wait to be dialed.
    good_for: Duration,
    operations: Mutex<Vec<Operation>>,
    /// Suppressions that were acknowledged and that nobody lifts yet.
    liftable: Mutex<Vec<String>>,
    pub answered: AtomicUsize,
    /// Operations begun, and how many there may be.
    begun: AtomicUsize,
    budget: usize,
    stop: AtomicBool,
}

/// A request under way, of some kind.
struct Try<'a> {
    actor: usize,
    request_id: &'a str,
    wish: Wish,
}

const ACTORS: [&str; 3] = [AGENT, FIRST, SECOND];

impl Load {
    /// Clients of all nodes, which must be running. `budget` bounds the operations.
    pub async fn of(world: &World, mix: Mix, good_for: Duration, budget: usize) -> Arc<Self> {
        let mut clients = Vec::new();
        for node in 0..world.nodes.len() {
            clients.push([
                world.client(AGENT, node).await,
                world.client(FIRST, node).await,
                world.client(SECOND, node).await,
            ]);
        }
        Arc::new(Self {
            sink: Arc::clone(&world.sink),
            people: world.people.clone(),
            called: [world.people.clone(), world.listed.clone()].concat(),
            clients,
            mix,
            good_for,
            operations: Mutex::default(),
            liftable: Mutex::default(),
            answered: AtomicUsize::new(0),
            begun: AtomicUsize::new(0),
            budget,
            stop: AtomicBool::new(false),
        })
    }

    /// Sets so many clients to work.
    pub fn run(self: &Arc<Self>, seed: u64, clients: usize) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for client in 0..clients {
            let load = Arc::clone(self);
            let mut rng = Rng::new(seed, 100 + client as u64);
            running.spawn(async move {
                while !load.stop.load(Ordering::SeqCst)
                    && load.begun.fetch_add(1, Ordering::SeqCst) < load.budget
                {
                    load.step(&mut rng).await;
                }
            });
        }
        running
    }

    /// A client of this node, as an administrator.
    pub fn administrator(&self, node: usize) -> Client {
        self.clients[node % self.clients.len()][1].clone()
    }

    /// From now on nothing that arrives was sent before.
    pub async fn mark(&self) -> At {
        self.sink.mark().await
    }

    /// Writes down that a row of a list was acknowledged.
    pub fn listed(&self, number: &str, invoked: At, at: At, id: String) {
        self.operations.lock().unwrap().push(Operation {
            actor: FIRST.to_owned(),
            request_id: format!("a list's {number}"),
            wish: Wish::Listed {
                subject: Subject::Number(number.to_owned()),
            },
            invoked,
            end: End::Ok { at, id, call: None },
        });
    }

    pub fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
    }

    /// What was asked and told, for good: a large run's is not copied.
    pub fn take(&self) -> Vec<Operation> {
        std::mem::take(&mut self.operations.lock().unwrap())
    }

    async fn step(&self, rng: &mut Rng) {
        let mix = self.mix;
        let chance = rng.below(100);
        let bounds = [mix.opt_outs, mix.lifts, mix.consents, mix.checks];
        let mut bound = 0;
        let kind = bounds.iter().position(|share| {
            bound += share;
            chance < bound
        });
        match kind {
            Some(0) => self.opt_out(rng).await,
            Some(1) => self.lift(rng).await,
            Some(2) => self.consent(rng).await,
            Some(3) => self.check(rng).await,
            _ => self.place(rng).await,
        }
    }

    async fn opt_out(&self, rng: &mut Rng) {
        let (number, party) = match rng.percent(self.mix.aimed) {
            true => {
                let person = rng.pick(&self.who_rings()).to_owned();
                self.ring(&person.0, rng).await;
                person
            }
            false => self.anybody(rng).await,
        };
        self.suppress(number, party, rng).await;
    }

    async fn suppress(&self, number: String, party: String, rng: &mut Rng) {
        let wide = rng.percent(8);
        let seller = if rng.percent(30) { SELLER } else { "" };
        let (told, subject) = match wide {
            true => (
                pb::create_suppression_request::Subject::PartyId(party.clone()),
                Subject::Party(party),
            ),
            false => (
                pb::create_suppression_request::Subject::Number(number.clone()),
                Subject::Number(number),
            ),
        };
        let request = pb::CreateSuppressionRequest {
            request_id: rng.uuid(),
            subject: Some(told),
            seller: seller.to_owned(),
            reason: pb::SuppressionReason::PartyRequest.into(),
            source: pb::SuppressionSource::Agent.into(),
            ..pb::CreateSuppressionRequest::default()
        };
        let seller = (!seller.is_empty()).then(|| seller.to_owned());
        let this = Try {
            actor: 0,
            request_id: &request.request_id,
            wish: Wish::OptOut { subject, seller },
        };
        let (times, first) = (self.times(rng), rng.below(self.clients.len()));
        let recorded = Mutex::new(None);
        let tries = (0..times).map(async |index| {
            let node = (first + index) % self.clients.len();
            let id = self
                .persist(
                    &this,
                    node,
                    |client| {
                        let request = request.clone();
                        async move { client.suppressions().create_suppression(request).await }
                    },
                    |answer| {
                        let recorded = answer.suppression.clone().unwrap_or_default();
                        (recorded.suppression_id, None)
                    },
                )
                .await;
            *recorded.lock().unwrap() = id;
        });
        futures_join(tries).await;
        self.liftable
            .lock()
            .unwrap()
            .extend(recorded.into_inner().unwrap());
    }

    /// Somebody; and for most, on the heels of a call: while it is claimed, sent, sent again or ringing.
    async fn anybody(&self, rng: &mut Rng) -> (String, String) {
        let (number, party) = rng.pick(&self.people).clone();
        if rng.percent(60) {
            let request = place(&number, CALLER_IDS[0], rng.uuid(), self.good_for);
            self.place_once(&request, rng.below(self.clients.len()))
                .await;
            let longest = *rng.pick(&[10, 60, 1_500]);
            tokio::time::sleep(rng.millis(0, longest)).await;
        }
        (number, party)
    }

    /// Those whose phones go on ringing.
    fn who_rings(&self) -> Vec<(String, String)> {
        let lets_ring =
            |number: &str| matches!(Part::of(number), Part::Rings | Part::AnswersCancelled);
        let people = self.people.iter();
        people
            .filter(|(number, _)| lets_ring(number))
            .cloned()
            .collect()
    }

    /// Lets this phone ring, if it may be called at all.
    async fn ring(&self, number: &str, rng: &mut Rng) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let before = self.sink.rings(number);
        let request = place(number, CALLER_IDS[0], rng.uuid(), self.good_for);
        let node = rng.below(self.clients.len());
        if self.place_once(&request, node).await {
            let give_up = now() + PATIENCE;
            while self.sink.rings(number) == before && now() < give_up {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            tokio::time::sleep(rng.millis(0, 40)).await;
        }
    }

    /// Lets each phone ring that goes on to, and opts its owner out: nothing else happens meanwhile.
    pub async fn opt_out_who_rings(&self, rng: &mut Rng) {
        for (number, party) in self.who_rings() {
            self.ring(&number, rng).await;
            self.suppress(number, party, rng).await;
        }
    }

    /// How often the same request is made at once.
    fn times(&self, rng: &mut Rng) -> usize {
        match rng.percent(self.mix.doubled) {
            true => 2 + rng.below(3),
            false => 1,
        }
    }

    /// By two people, one after the other, or by one alone, which must lift nothing.
    async fn lift(&self, rng: &mut Rng) {
        let taken = {
            let mut liftable = self.liftable.lock().unwrap();
            match liftable.len() {
                0 => None,
                count => Some(liftable.swap_remove(rng.below(count))),
            }
        };
        let Some(suppression) = taken else { return };
        let alone = rng.percent(10);
        for actor in [1, 2] {
            if actor == 2 && alone {
                return;
            }
            let approval = pb::LiftSuppressionRequest {
                request_id: rng.uuid(),
                suppression_id: suppression.clone(),
                ..Default::default()
            };
            let request = match actor {
                1 => pb::LiftSuppressionRequest {
                    reason: "asked to be called again".to_owned(),
                    evidence_ref: "letter-3".to_owned(),
                    evidence_time: Some(super::world::timestamp(Duration::ZERO)),
                    ..approval
                },
                _ => approval,
            };
            let wish = Wish::Lift {
                suppression: suppression.clone(),
            };
            let this = Try {
                actor,
                request_id: &request.request_id,
                wish,
            };
            let node = rng.below(self.clients.len());
            self.persist(
                &this,
                node,
                |client| {
                    let request = request.clone();
                    async move { client.suppressions().lift_suppression(request).await }
                },
                |answer| {
                    (
                        answer
                            .suppression
                            .clone()
                            .unwrap_or_default()
                            .suppression_id,
                        None,
                    )
                },
            )
            .await;
        }
    }

    async fn consent(&self, rng: &mut Rng) {
        let number = rng.pick(&self.people).0.clone();
        let request = consent(&number, rng.uuid());
        let wish = Wish::Consent {
            number,
            seller: SELLER.to_owned(),
            reopens: false,
        };
        let this = Try {
            actor: 1,
            request_id: &request.request_id,
            wish,
        };
        let node = rng.below(self.clients.len());
        self.persist(
            &this,
            node,
            |client| {
                let request = request.clone();
                async move { client.consents().record_consent(request).await }
            },
            |answer| {
                (
                    answer
                        .consent_event
                        .clone()
                        .unwrap_or_default()
                        .consent_event_id,
                    None,
                )
            },
        )
        .await;
    }

    /// A question that leaves a decision and its entry, and nothing else.
    async fn check(&self, rng: &mut Rng) {
        let request = pb::CheckCallRequest {
            to: rng.pick(&self.people).0.clone(),
            campaign: super::world::CAMPAIGN.to_owned(),
            call_kind: pb::CallKind::LiveManual.into(),
            ..pb::CheckCallRequest::default()
        };
        let client = &rng.pick(&self.clients)[0];
        let _ = tokio::time::timeout(ANSWER_TIMEOUT, client.calls().check_call(request)).await;
        self.answered.fetch_add(1, Ordering::SeqCst);
    }

    async fn place(&self, rng: &mut Rng) {
        let number = rng.pick(&self.called).0.clone();
        // None named, or one of the two.
        // Which number is shown where none is named follows from the person's key: `gate::caller_ids` has that.
        let caller_id = *rng.pick(&CALLER_IDS);
        let request = place(&number, caller_id, rng.uuid(), self.good_for);
        let times = self.times(rng);
        let first = rng.below(self.clients.len());
        let tries = (0..times).map(async |index| {
            self.place_once(&request, first + index).await;
        });
        futures_join(tries).await;
        if times > 1 && rng.percent(50) {
            // Once more when the first answer is old.
            self.place_once(&request, first).await;
        }
    }

    /// Tells whether the call was allowed.
    async fn place_once(&self, request: &pb::PlaceCallRequest, node: usize) -> bool {
        let wish = Wish::Place {
            to: request.to.clone(),
            from: request.caller_id.clone(),
        };
        let this = Try {
            actor: 0,
            request_id: &request.request_id,
            wish,
        };
        let allowed = AtomicBool::new(false);
        self.persist(
            &this,
            node % self.clients.len(),
            |client| {
                let request = request.clone();
                async move { client.calls().place_call(request).await }
            },
            |answer| {
                allowed.store(answer.call.is_some(), Ordering::SeqCst);
                let decision = answer.decision.clone().unwrap_or_default().decision_id;
                (decision, answer.call.clone().map(|call| call.call_id))
            },
        )
        .await;
        allowed.into_inner()
    }

    /// Asks until there is an answer that tells, from node to node. `None`: refused.
    async fn persist<T, F>(
        &self,
        this: &Try<'_>,
        mut node: usize,
        send: impl Fn(Client) -> F,
        read: impl Fn(&T) -> (String, Option<String>),
    ) -> Option<String>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let give_up = now() + PATIENCE;
        loop {
            // What begins from here on stands behind the mark.
            let invoked = match this.wish {
                Wish::Lift { .. } | Wish::Consent { .. } => self.sink.mark().await,
                _ => now(),
            };
            let client = self.clients[node][this.actor].clone();
            let answer = tokio::time::timeout(ANSWER_TIMEOUT, send(client)).await;
            let end = match &answer {
                Ok(Ok(response)) => {
                    let (id, call) = read(response.get_ref());
                    End::Ok {
                        at: self.sink.mark().await,
                        id,
                        call,
                    }
                }
                Ok(Err(status)) if says_no(status, &this.wish) => {
                    End::Refused(self.sink.mark().await)
                }
                Ok(Err(_)) | Err(_) => End::Unknown,
            };
            self.operations.lock().unwrap().push(Operation {
                actor: ACTORS[this.actor].to_owned(),
                request_id: this.request_id.to_owned(),
                wish: this.wish.clone(),
                invoked,
                end: end.clone(),
            });
            match end {
                End::Ok { id, .. } => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    return Some(id);
                }
                End::Refused(_) => {
                    self.answered.fetch_add(1, Ordering::SeqCst);
                    return None;
                }
                End::Unknown => {}
            }
            assert!(
                now() < give_up,
                "no answer for {PATIENCE:?} to {:?}, at last {:?}",
                this.wish,
                answer.map(|told| told.err())
            );
            tokio::time::sleep(PAUSE).await;
            node = (node + 1) % self.clients.len();
        }
    }
}

/// Whether nothing was done and nothing will be. Only what a busy system may say is expected; anything else is a defect.
fn says_no(status: &Status, wish: &Wish) -> bool {
    match status.code() {
        Code::ResourceExhausted => true,
        // Two pairs of people lift the same row at once: somebody may be asked to find another second.
        Code::FailedPrecondition | Code::PermissionDenied if matches!(wish, Wish::Lift { .. }) => {
            true
        }
        // A node whose clock is behind takes today's permission for older than the opt-out.
        Code::InvalidArgument if status.message().starts_with("evidence_time: ") => true,
        // What the server itself calls a fault of its own; the transport's are of this code too.
        Code::Internal if status.message().contains("incident") => {
            panic!("a fault of the server: {status:?}")
        }
        Code::Unavailable
        | Code::Unknown
        | Code::Internal
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted => false,
        _ => panic!("refused: {status:?}"),
    }
}

/// Runs them side by side, to the end of all.
async fn futures_join<F: Future<Output = ()>>(futures: impl Iterator<Item = F>) {
    let mut futures: Vec<_> = futures.map(|each| Some(Box::pin(each))).collect();
    std::future::poll_fn(|context| {
        for each in &mut futures {
            if each
                .as_mut()
                .is_some_and(|each| each.as_mut().poll(context).is_ready())
            {
                *each = None;
            }
        }
        match futures.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}
