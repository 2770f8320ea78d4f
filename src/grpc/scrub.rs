//! Whole lists: a header, batches of numbers in, a row a number out, and a summary that is on record.
//!
//! Some batches are under way at once and are answered in their order. What a client does not read is not answered, and what
//! is not answered is not read: the queue towards the client is short, and while it is full no message is taken in.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

use crate::domain::access::Principal;
use crate::domain::call::CallKind;
use crate::gate::{GateError, Scrub, ScrubTally, ScrubTerms, Scrubbed};

use super::convert::{self, Fields};
use super::ending::Ending;
use super::pb::check_calls_request::Content as Asked;
use super::pb::check_calls_response::Content as Answered;
use super::{Api, auth, pb, status};

/// Lists under way at once; each has some batches in memory.
pub(super) const SCRUBS_MAX: usize = 16;
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Answers that wait for a slow reader before the reading stops.
const WAITING_MAX: usize = 2;

/// A client that neither sends nor reads for so long has forgotten its list.
const IDLE_MAX: Duration = Duration::from_secs(600);

/// How far ahead a list may be judged: who knows the law of the year after next?
const AHEAD_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

pub(super) type Rows = ReceiverStream<Result<pb::CheckCallsResponse, Status>>;

/// One client with one list.
struct List {
    api: Api,
    who: Principal,
    inbound: Inbound,
    out: mpsc::Sender<Result<pb::CheckCallsResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

/// What the client sends.
struct Inbound {
    messages: Streaming<pb::CheckCallsRequest>,
    ending: Ending,
}

/// Batches under way, the oldest first.
type Pending = VecDeque<JoinHandle<Result<Scrubbed, GateError>>>;

/// Begins a list.
pub(super) fn begin(
    api: Api,
    request: Request<Streaming<pb::CheckCallsRequest>>,
) -> Result<Rows, Status> {
    let who = auth::principal(&request)?;
    let place = api.scrubs.clone().try_acquire_owned().map_err(|_| {
        status::busy(
            BUSY_RETRY_AFTER,
            "as many lists as may be are checked already; try again later",
        )
    })?;
    let (out, rows) = mpsc::channel(WAITING_MAX);
    let ending = Ending::of(&request);
    let list = List {
        api,
        who,
        inbound: Inbound {
            messages: request.into_inner(),
            ending,
        },
        out,
        _place: place,
    };
    tokio::spawn(list.run());
    Ok(ReceiverStream::new(rows))
}

impl List {
    /// Until the summary was sent, something broke, the client left, or the server goes down. Whatever ends it, what was
    /// judged is written down.
    async fn run(mut self) {
        let out = self.out.clone();
        let scrub = match self.header().await {
            Ok(scrub) => scrub,
            Err(status) => return drop(out.send(Err(status)).await),
        };
        let closing = self.api.closing.clone();
        let mut tally = ScrubTally::default();
        let ended = tokio::select! {
            () = closing.cancelled() => Err(status::closing()),
            () = out.closed() => Err(client_left()),
            ended = self.batches(&scrub, &mut tally) => ended,
        };
        let recorded = scrub.record(&tally, ended.is_ok()).await;
        let last = match (ended, recorded) {
            (Ok(()), Ok(entry)) => {
                let summary = convert::scrub::summary(&tally, entry);
                Ok(answer(Answered::Summary(summary)))
            }
            (Err(status), recorded) => {
                if let Err(error) = recorded {
                    tracing::error!(%error, "a list that broke off could not be written down");
                }
                Err(status)
            }
            (Ok(()), Err(error)) => Err(status::from_gate(&error)),
        };
        // A client that left does not want it.
        let _ = tokio::time::timeout(IDLE_MAX, out.send(last)).await;
    }

    /// The first message.
    async fn header(&mut self) -> Result<Scrub, Status> {
        let closing = self.api.closing.clone();
        let first = tokio::select! {
            () = closing.cancelled() => return Err(status::closing()),
            first = self.inbound.next() => first?,
        };
        let mut fields = Fields::default();
        let Some(pb::CheckCallsRequest {
            content: Some(Asked::Header(header)),
        }) = first
        else {
            let _ = fields.wrong::<()>("header", "is missing; send it as the first message");
            fields.done()?;
            return Err(status::internal("a missing header was not reported"));
        };
        let terms = self.terms(&mut fields, header);
        fields.done()?;
        let scrub = self.api.gate.scrub(terms?);
        scrub.map_err(|error| status::from_gate(&error))
    }

    fn terms(
        &self,
        fields: &mut Fields,
        header: pb::CheckCallsHeader,
    ) -> Result<ScrubTerms, convert::Noted> {
        let now = self.api.clock.read().wall;
        let pack = self.api.pack();
        let detail = convert::scrub::with_reasons(header.detail);
        fields.within("header", |fields| {
            let campaign = fields.name("campaign", header.campaign);
            let campaign = fields.required("campaign", campaign);
            let call_kind = fields.required_word::<CallKind>("call_kind", header.call_kind);
            let caller_id = fields.number(pack.tables(), "caller_id", &header.caller_id);
            let at = match fields.time("judged_time", header.judged_time) {
                Ok(Some(at)) if at < now => {
                    fields.wrong("judged_time", "is in the past; leave it out to judge now")
                }
                Ok(Some(at)) if at > now.plus(AHEAD_MAX) => {
                    fields.wrong("judged_time", "is more than 366 days ahead")
                }
                other => other,
            };
            let home = fields.name("default_country", header.default_country);
            let with_reasons = match detail {
                Some(with_reasons) => Ok(with_reasons),
                None => fields.wrong("detail", "has no such value"),
            };
            Ok(ScrubTerms {
                tenant: self.who.tenant.clone(),
                campaign_id: campaign?,
                call_kind: call_kind?,
                caller_id: caller_id?,
                at: at?,
                home_country: home?,
                with_reasons: with_reasons?,
                actor: self.who.actor(),
            })
        })
    }

    /// Takes batches in and sends their answers, until the client has no more.
    async fn batches(&mut self, scrub: &Scrub, tally: &mut ScrubTally) -> Result<(), Status> {
        let mut rules = Dictionary::default();
        let mut pending = Pending::new();
        let mut is_over = false;
        while !is_over || !pending.is_empty() {
            let takes = !is_over && pending.len() < Scrub::batches_at_once();
            tokio::select! {
                biased;
                judged = oldest(&mut pending) => {
                    let batch = judged?;
                    tally.add(&batch);
                    let rows = convert::scrub::rows(batch, |rule| rules.place(rule));
                    let rows = pb::CheckCallsRows { new_rules: rules.take_new(), ..rows };
                    self.send(answer(Answered::Rows(rows))).await?;
                }
                message = self.inbound.next(), if takes => match message? {
                    None => is_over = true,
                    Some(message) => {
                        let numbers = numbers(message)?;
                        tally.asked += u64::try_from(numbers.len()).unwrap_or_default();
                        let scrub = scrub.clone();
                        pending.push_back(tokio::spawn(async move { scrub.judge(numbers).await }));
                    }
                }
            }
        }
        Ok(())
    }

    async fn send(&self, message: pb::CheckCallsResponse) -> Result<(), Status> {
        match tokio::time::timeout(IDLE_MAX, self.out.send(Ok(message))).await {
            Ok(sent) => sent.map_err(|_| client_left()),
            Err(_) => Err(status::idle()),
        }
    }
}

impl Inbound {
    /// The next message of the client; none when it has no more.
    async fn next(&mut self) -> Result<Option<pb::CheckCallsRequest>, Status> {
        match tokio::time::timeout(IDLE_MAX, self.messages.message()).await {
            Ok(Ok(None)) if self.ending.is_broken() => Err(client_left()),
            Ok(message) => message,
            Err(_) => Err(status::idle()),
        }
    }
}

fn client_left() -> Status {
    Status::cancelled("the client left")
}

/// The answer to the oldest batch; never, where none is under way.
async fn oldest(pending: &mut Pending) -> Result<Scrubbed, Status> {
    let Some(first) = pending.front_mut() else {
        return std::future::pending().await;
    };
    let judged = first.await;
    pending.pop_front();
    match judged {
        Ok(judged) => judged.map_err(|error| status::from_gate(&error)),
        Err(_) => Err(status::internal("the task of a batch ended early")),
    }
}

fn numbers(message: pb::CheckCallsRequest) -> Result<Vec<String>, Status> {
    match message.content {
        Some(Asked::Batch(batch)) => Ok(batch.numbers),
        other => {
            let what = match other {
                Some(_) => "is there already; send it once, as the first message",
                None => "or a batch is missing in a message",
            };
            let mut fields = Fields::default();
            let _ = fields.wrong::<()>("header", what);
            fields.done().map(|()| Vec::new())
        }
    }
}

fn answer(content: Answered) -> pb::CheckCallsResponse {
    pb::CheckCallsResponse {
        content: Some(content),
    }
}

/// The rules that the stream has named: by id once, then by number.
#[derive(Default)]
struct Dictionary {
    places: HashMap<String, u32>,
    new: Vec<String>,
}

impl Dictionary {
    fn place(&mut self, rule: &str) -> u32 {
        if let Some(place) = self.places.get(rule) {
            return *place;
        }
        let place = u32::try_from(self.places.len()).unwrap_or(u32::MAX);
        self.places.insert(rule.to_owned(), place);
        self.new.push(rule.to_owned());
        place
    }

    fn take_new(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}
