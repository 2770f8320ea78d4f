//! Following a call: its events in order, from any point on, until the last one. The history is read from the store, so
//! that any node can go on where another stopped; notices, from this node and every other, only make it quick.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use uuid::Uuid;

use crate::domain::access::Principal;
use crate::domain::call::{CallEvent, EventKind};
use crate::domain::ids::CallId;
use crate::gate::Attendance;
use crate::store::Notice;

use super::pb::watch_call_response::Content;
use super::{Api, convert, pb, status};

/// Looks that often by itself: a notice may be lost, and what a dead node's sweeper writes is in no hurry.
const LOOK: Duration = Duration::from_secs(2);
/// Tells that it is alive that often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Events read at once.
const READ_MAX: u32 = 64;
/// Messages that wait for a slow reader before the reading stops.
const WAITING_MAX: usize = 16;
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

pub(super) type Events = ReceiverStream<Result<pb::WatchCallResponse, Status>>;

/// Layout of a resume token: version, call, sequence of the last event sent.
const VERSION: u8 = 1;
const TOKEN_BYTES: usize = 1 + 16 + 8;

/// One client that follows one call.
struct Watch {
    api: Api,
    who: Principal,
    call_id: CallId,
    /// Sequence of the last event sent.
    sent: i64,
    out: mpsc::Sender<Result<pb::WatchCallResponse, Status>>,
    /// Who placed the call is there for it as long as this lives.
    attendance: Option<Attendance>,
    _place: OwnedSemaphorePermit,
}

/// Whether there is more to follow.
enum Next {
    More,
    Over,
}

/// Starts to follow a call from this token on.
pub(super) async fn follow(
    api: Api,
    who: Principal,
    call_id: CallId,
    asked: &pb::WatchCallRequest,
) -> Result<Events, Status> {
    let sent = match asked.resume_token.as_slice() {
        [] => 0,
        token => sequence_of(token, call_id).ok_or_else(|| {
            status::token(
                "RESUME_TOKEN_INVALID",
                "resume_token",
                "is not a token of this call's stream; start again without one",
            )
        })?,
    };
    let place = api.watches.clone().try_acquire_owned().map_err(|_| {
        status::busy(
            BUSY_RETRY_AFTER,
            "as many calls as may be are followed already; try again later",
        )
    })?;
    // Before the first look, so that nothing falls between.
    let notices = api.gate.store().notices();
    let call = api
        .read()
        .await?
        .call(&who.tenant, call_id)
        .await
        .map_err(|error| status::from_store(&error))?
        .ok_or_else(|| status::not_found("call"))?;
    let others = usize::from(call.actor != who.actor());
    api.note_read(&who, "WatchCall", others, Some(call.number_key.0))
        .await?;
    let over = call.state.is_final();
    let attends = !over && !asked.only_looking && call.actor == who.actor();
    let attendance = attends.then(|| api.gate.attend(&who.tenant, call_id));
    let (out, events) = mpsc::channel(WAITING_MAX);
    let watch = Watch {
        api,
        who,
        call_id,
        sent,
        out,
        attendance,
        _place: place,
    };
    tokio::spawn(watch.run(notices, over));
    Ok(ReceiverStream::new(events))
}

impl Watch {
    /// Until the last event was sent, the client left, or the server goes down.
    async fn run(mut self, mut notices: broadcast::Receiver<Notice>, over: bool) {
        let closing = self.api.closing.clone();
        let out = self.out.clone();
        tokio::select! {
            () = closing.cancelled() => drop(out.send(Err(status::closing())).await),
            () = out.closed() => {}
            result = self.events(&mut notices, over) => {
                if let Err(status) = result {
                    drop(out.send(Err(status)).await);
                }
            }
        }
    }

    async fn events(
        &mut self,
        notices: &mut broadcast::Receiver<Notice>,
        over: bool,
    ) -> Result<(), Status> {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            let before = self.sent;
            if let Next::Over = self.send_new().await? {
                if let Some(attendance) = &mut self.attendance {
                    attendance.over();
                }
                return Ok(());
            }
            if self.sent > before {
                heartbeat.reset();
                continue;
            }
            // All that there was is sent, and the call had ended before.
            if over {
                return Ok(());
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = named(notices, self.call_id) => {}
                _ = heartbeat.tick() => self.send(Content::Heartbeat(pb::Heartbeat {})).await,
            }
        }
    }

    /// Sends what came since, at most one reading of it.
    async fn send_new(&mut self) -> Result<Next, Status> {
        let events = self
            .api
            .read()
            .await?
            .events_after(&self.who.tenant, self.call_id, self.sent, READ_MAX)
            .await
            .map_err(|error| status::from_store(&error))?;
        let mut next = Next::More;
        for event in events {
            self.sent = event.sequence;
            if is_last(&event) {
                next = Next::Over;
            }
            let event = convert::call::event(event, self.who.role);
            self.send(Content::Event(event)).await;
        }
        Ok(next)
    }

    async fn send(&self, content: Content) {
        let message = pb::WatchCallResponse {
            content: Some(content),
            resume_token: token_of(self.call_id, self.sent),
        };
        // A client that left is noticed by `run`.
        drop(self.out.send(Ok(message)).await);
    }
}

fn is_last(event: &CallEvent) -> bool {
    matches!(
        event.kind,
        EventKind::Ended | EventKind::Denied | EventKind::Expired
    )
}

/// Until this call is named, or notices were lost and anything may have happened.
async fn named(notices: &mut broadcast::Receiver<Notice>, call_id: CallId) {
    loop {
        match notices.recv().await {
            Ok(Notice::CallChanged(changed)) if changed == call_id => return,
            // Also said when the database's notices were interrupted.
            Ok(Notice::OptOutWide) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The store is gone; the timer goes on.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn token_of(call_id: CallId, sequence: i64) -> Vec<u8> {
    let mut token = Vec::with_capacity(TOKEN_BYTES);
    token.push(VERSION);
    token.extend_from_slice(call_id.0.as_bytes());
    token.extend_from_slice(&sequence.to_be_bytes());
    token
}

fn sequence_of(token: &[u8], call_id: CallId) -> Option<i64> {
    let (version, rest) = token.split_first()?;
    let (id, rest) = rest.split_first_chunk::<16>()?;
    let sequence = i64::from_be_bytes(rest.try_into().ok()?);
    (*version == VERSION && Uuid::from_bytes(*id) == call_id.0 && sequence >= 0).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_belongs_to_its_call() {
        let (one, other) = (
            CallId(Uuid::from_bytes([1; 16])),
            CallId(Uuid::from_bytes([2; 16])),
        );
        let token = token_of(one, 42);
        assert_eq!(sequence_of(&token, one), Some(42));
        assert_eq!(sequence_of(&token, other), None);
        assert_eq!(sequence_of(&token[1..], one), None);
        assert_eq!(sequence_of(&token_of(one, -1), one), None);
        let mut longer = token;
        longer.push(0);
        assert_eq!(sequence_of(&longer, one), None);
    }
}
