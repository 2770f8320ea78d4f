//! Following opt-outs, for who keeps a copy of them. What was committed since is given its place in the order of changes by
//! who follows, so that nobody who records an opt-out waits for it; any node can go on where another stopped.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::domain::access::Principal;
use crate::domain::suppression::SuppressionChange;
use crate::store::{Notice, StoreError};

use super::pb::watch_suppressions_response::Content;
use super::{Api, convert, pb, status};

/// Looks that often by itself: a notice may be lost, and lifts send none.
const LOOK: Duration = Duration::from_secs(1);
/// Tells that it is alive that often.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Suppressions whose changes are given their places in one transaction: a few milliseconds of the one writer of SQLite.
const PLACED_AT_ONCE: i64 = 256;
/// Changes read at once.
const READ_MAX: i64 = 256;
/// Messages that wait for a slow reader before the reading stops.
const WAITING_MAX: usize = 64;
const BUSY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// Layout of a resume token: version, position of the last change sent.
const VERSION: u8 = 1;

pub(super) type Changes = ReceiverStream<Result<pb::WatchSuppressionsResponse, Status>>;

/// One client that follows.
struct Watch {
    api: Api,
    who: Principal,
    /// Position of the last change sent.
    sent: i64,
    out: mpsc::Sender<Result<pb::WatchSuppressionsResponse, Status>>,
    _place: OwnedSemaphorePermit,
}

/// Starts to follow from this token on.
pub(super) async fn follow(
    api: Api,
    who: Principal,
    request: &pb::WatchSuppressionsRequest,
) -> Result<Changes, Status> {
    let place = api.watches.clone().try_acquire_owned().map_err(|_| {
        status::busy(
            BUSY_RETRY_AFTER,
            "as many streams as may be are followed already; try again later",
        )
    })?;
    // Before the first look, so that nothing falls between.
    let notices = api.gate.store().notices();
    let (out, changes) = mpsc::channel(WAITING_MAX);
    let mut watch = Watch {
        api,
        who,
        sent: 0,
        out,
        _place: place,
    };
    watch.sent = match (request.resume_token.as_slice(), request.only_new) {
        ([], false) => 0,
        ([], true) => watch
            .latest()
            .await
            .map_err(|error| status::from_store(&error))?,
        (token, _) => position_of(token).ok_or_else(|| {
            status::token(
                "RESUME_TOKEN_INVALID",
                "resume_token",
                "is not a token of this stream; start again without one",
            )
        })?,
    };
    tokio::spawn(watch.run(notices));
    Ok(ReceiverStream::new(changes))
}

impl Watch {
    /// Until the client left, or the server goes down.
    async fn run(mut self, mut notices: broadcast::Receiver<Notice>) {
        let closing = self.api.closing.clone();
        let out = self.out.clone();
        tokio::select! {
            () = closing.cancelled() => drop(out.send(Err(status::closing())).await),
            () = out.closed() => {}
            status = self.changes(&mut notices) => drop(out.send(Err(status)).await),
        }
    }

    /// Goes on until the store does not answer any more.
    async fn changes(&mut self, notices: &mut broadcast::Receiver<Notice>) -> Status {
        let mut heartbeat = tokio::time::interval(HEARTBEAT);
        heartbeat.reset();
        loop {
            match self.send_new().await {
                Err(error) => return status::from_store(&error),
                Ok(0) => {}
                Ok(_) => {
                    heartbeat.reset();
                    continue;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = told(notices) => {}
                _ = heartbeat.tick() => {
                    self.send(Content::Heartbeat(pb::SuppressionHeartbeat {})).await;
                }
            }
        }
    }

    /// Sends what came since, at most one reading of it; tells how many changes those were.
    async fn send_new(&mut self) -> Result<usize, StoreError> {
        let mut changes = self.read().await?;
        if changes.is_empty() && self.place().await? > 0 {
            changes = self.read().await?;
        }
        let count = changes.len();
        for change in changes {
            self.sent = change.position;
            let change = convert::suppression::change(change, self.who.role);
            self.send(Content::Change(change)).await;
        }
        Ok(count)
    }

    async fn read(&self) -> Result<Vec<SuppressionChange>, StoreError> {
        let mut tx = self.api.gate.store().read().await?;
        let tenant = &self.who.tenant;
        tx.suppression_changes_after(tenant, self.sent, READ_MAX)
            .await
    }

    /// Gives their places to changes that have none.
    async fn place(&self) -> Result<u64, StoreError> {
        let store = self.api.gate.store();
        store
            .place_untold_suppressions(&self.who.tenant, PLACED_AT_ONCE)
            .await
    }

    /// The last of all changes so far.
    async fn latest(&self) -> Result<i64, StoreError> {
        while self.place().await? > 0 {}
        let mut tx = self.api.gate.store().read().await?;
        tx.latest_suppression_change(&self.who.tenant).await
    }

    async fn send(&self, content: Content) {
        let message = pb::WatchSuppressionsResponse {
            content: Some(content),
            resume_token: token_of(self.sent),
        };
        // A client that left is noticed by `run`.
        drop(self.out.send(Ok(message)).await);
    }
}

/// Until an opt-out is told of, or notices were lost.
async fn told(notices: &mut broadcast::Receiver<Notice>) {
    loop {
        match notices.recv().await {
            Ok(Notice::OptOut(_) | Notice::OptOutWide) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            // The store is gone; the timer goes on.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn token_of(position: i64) -> Vec<u8> {
    let mut token = vec![VERSION];
    token.extend_from_slice(&position.to_be_bytes());
    token
}

fn position_of(token: &[u8]) -> Option<i64> {
    let (version, rest) = token.split_first()?;
    let position = i64::from_be_bytes(rest.try_into().ok()?);
    (*version == VERSION && position >= 0).then_some(position)
}
