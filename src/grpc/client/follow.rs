//! Follows the event stream of one call to its end, across connections that break: it resumes after the last message it
//! has, and an event that comes twice is shown once.

use std::time::Duration;

use tonic::{Code, Status, Streaming};

use super::super::pb::watch_call_response::Content;
use super::super::pb::{CallEvent, WatchCallRequest, WatchCallResponse};
use super::Client;

/// The server sends a heartbeat every few seconds; this long a silence means the connection is gone.
const SILENCE_MAX: Duration = Duration::from_secs(60);
const PAUSES: [Duration; 5] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// What comes next.
#[derive(Debug)]
pub enum Next {
    /// Something happened.
    Event(Box<CallEvent>),
    /// That was all.
    Over,
}

/// One call, being followed.
pub struct Follower {
    client: Client,
    call_id: String,
    stream: Option<Streaming<WatchCallResponse>>,
    token: Vec<u8>,
    sequence: i64,
    breaks: usize,
}

impl Follower {
    /// Follows this call from its first event.
    #[must_use]
    pub fn new(client: Client, call_id: String) -> Self {
        Self {
            client,
            call_id,
            stream: None,
            token: Vec::new(),
            sequence: 0,
            breaks: 0,
        }
    }

    /// Waits for the next event. May be dropped while it waits and called again; nothing is lost.
    pub async fn next(&mut self) -> Result<Next, Status> {
        loop {
            match self.message().await {
                Ok(None) => return Ok(Next::Over),
                Ok(Some(message)) => {
                    self.breaks = 0;
                    self.token = message.resume_token;
                    if let Some(Content::Event(event)) = message.content
                        && event.sequence > self.sequence
                    {
                        self.sequence = event.sequence;
                        return Ok(Next::Event(Box::new(event)));
                    }
                }
                Err(status) => self.pause(status).await?,
            }
        }
    }

    async fn message(&mut self) -> Result<Option<WatchCallResponse>, Status> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                // No time limit: a call may last for hours.
                let request = WatchCallRequest {
                    call_id: self.call_id.clone(),
                    resume_token: self.token.clone(),
                    ..WatchCallRequest::default()
                };
                let stream = self.client.calls().watch_call(request).await?.into_inner();
                self.stream.insert(stream)
            }
        };
        tokio::time::timeout(SILENCE_MAX, stream.message())
            .await
            .unwrap_or_else(|_| Err(Status::unavailable("the event stream fell silent")))
    }

    /// Waits before the next try, or gives up.
    async fn pause(&mut self, status: Status) -> Result<(), Status> {
        self.stream = None;
        // A connection that breaks shows up as one of these, depending on the moment.
        let broken = matches!(
            status.code(),
            Code::Unavailable | Code::Unknown | Code::Cancelled
        );
        match PAUSES.get(self.breaks) {
            Some(pause) if broken => {
                self.breaks += 1;
                tokio::time::sleep(*pause).await;
                Ok(())
            }
            _ => Err(status),
        }
    }
}
