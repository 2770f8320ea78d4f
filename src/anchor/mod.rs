//! The media anchor: rtpengine beside this node, told by its NG protocol to stand between the audio of a client and that of a
//! carrier. A client behind NAT, or a browser with ICE and DTLS-SRTP, so meets a carrier of plain RTP.
//!
//! No audio passes here: descriptions of sessions (SDP) go to an engine and come back rewritten, with its own addresses in them. What
//! stands in them is passed on as it came, never logged. An [`Anchor`] is a few engines that stand for each other; a [`Session`] is one call's
//! place at one of them, which is forgotten there when the session is dropped. Whether a call is anchored, and what is done where no engine
//! answers, is for `dialer` to say. `bencode` and `ng` are pure, `exchange` is the socket.

mod bencode;
mod config;
mod exchange;
mod ng;
mod session;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio_util::task::TaskTracker;

pub use config::AnchorConfig;
pub use ng::Manner;
pub use session::{Session, Unmoved};

use crate::meter;
use exchange::ask;
use ng::Reply;

/// The media engines of one section of the configuration.
#[derive(Debug)]
pub struct Anchor {
    name: String,
    config: AnchorConfig,
    engines: Vec<Engine>,
}

#[derive(Debug)]
struct Engine {
    addr: SocketAddr,
    /// It answered when it was last asked. Until then it is believed to be there.
    is_up: AtomicBool,
}

/// Why a description did not come back from an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanchored {
    /// No engine answered.
    #[error("no media engine answered")]
    Silent,
    /// Those that answered have as many sessions as they may have.
    #[error("the media engines are full")]
    Full,
    /// An engine refused, for this reason of its own.
    #[error("the media engine refused the session: {0}")]
    Refused(String),
}

impl Unanchored {
    /// Whether it may be otherwise in some minutes.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Silent | Self::Full => true,
            Self::Refused(_) => false,
        }
    }
}

impl Anchor {
    /// The anchor of this section, whose problems were looked at.
    #[must_use]
    pub fn new(name: impl Into<String>, config: AnchorConfig) -> Arc<Self> {
        let engine = |addr: &SocketAddr| Engine {
            addr: *addr,
            is_up: AtomicBool::new(true),
        };
        Arc::new(Self {
            name: name.into(),
            engines: config.engines.iter().map(engine).collect(),
            config,
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the anchor of that section is this one as it is.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        (&self.name, &self.config) == (&other.name, &other.config)
    }

    /// Takes a client's offer to the first engine that has room for it, and gives it back as the carrier is to see it. What has to
    /// be forgotten later is done by tasks of `tasks`.
    pub async fn open(
        self: &Arc<Self>,
        offer: &[u8],
        client: Manner,
        tasks: &TaskTracker,
    ) -> Result<(Session, Vec<u8>), Unanchored> {
        // Those that answered last go first, in their order; the others may be back.
        let (up, down): (Vec<usize>, Vec<usize>) = (0..self.engines.len())
            .partition(|place| self.engines.get(*place).is_some_and(Engine::is_up));
        let mut why = Unanchored::Silent;
        for place in up.into_iter().chain(down) {
            // A session of its own with each: what was told to one that is silent is forgotten there, if it heard it.
            let session = Session::new(Arc::clone(self), place, client, tasks.clone());
            match session.open(offer).await {
                Ok(offered) => return Ok((session, offered)),
                // Whatever one says tells more than silence; it may have said it for want of ports, so the next is asked too.
                Err(Unanchored::Silent) => {}
                Err(other) => why = other,
            }
        }
        Err(why)
    }

    /// Asks each engine whether it is there, again and again.
    pub async fn keep(&self) {
        let every = Duration::from_secs(self.config.ping_seconds);
        if every.is_zero() {
            return;
        }
        loop {
            for place in 0..self.engines.len() {
                let _ = self.ask(place, "ping", &ng::ping()).await;
            }
            self.measure();
            tokio::time::sleep(every).await;
        }
    }

    fn measure(&self) {
        let up = self.engines.iter().filter(|engine| engine.is_up()).count();
        meter::anchor_stands(&self.name, up);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.config.timeout_ms)
    }

    /// One question, and what it tells of the engine.
    async fn ask(
        &self,
        place: usize,
        command: &'static str,
        body: &[u8],
    ) -> Result<Reply, Unanchored> {
        let Some(engine) = self.engines.get(place) else {
            return Err(Unanchored::Silent);
        };
        let heard = ask(engine.addr, body, self.patience()).await;
        let result = match &heard {
            Ok(Reply::Refused(_) | Reply::Full) => "refused",
            Ok(Reply::Done(_) | Reply::Pong) => "done",
            Err(_) => "silent",
        };
        meter::anchor_asked(&self.name, command, result);
        let is_up = heard.is_ok();
        if engine.is_up.swap(is_up, Ordering::Relaxed) != is_up {
            match is_up {
                true => {
                    tracing::info!(anchor = self.name, engine = %engine.addr, "the media engine answers again");
                }
                false => {
                    tracing::warn!(anchor = self.name, engine = %engine.addr, "the media engine does not answer");
                }
            }
            self.measure();
        }
        match heard {
            Ok(Reply::Refused(why)) => Err(Unanchored::Refused(why)),
            Ok(Reply::Full) => Err(Unanchored::Full),
            Ok(reply) => Ok(reply),
            Err(_) => Err(Unanchored::Silent),
        }
    }
}

impl Engine {
    fn is_up(&self) -> bool {
        self.is_up.load(Ordering::Relaxed)
    }
}
