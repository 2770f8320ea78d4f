//! A small carrier for the demo and the tests: real SIP over loopback UDP, behaviour by called number.

use std::net::SocketAddr;
use std::time::Duration;

/// What the simulated carrier does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings, answers after a while, and hangs up after a while or waits for our BYE.
    Answer {
        /// Ringing time.
        after: Duration,
        /// Talking time; `None` waits for the caller to hang up.
        hang_up_after: Option<Duration>,
    },
    /// Rings until cancelled.
    RingForever,
    /// Refuses with this code and phrase, after 100 Trying.
    Reject {
        /// Status code.
        code: u16,
        /// Reason phrase.
        reason: String,
    },
    /// Says nothing at all.
    Silent,
}

impl Behaviour {
    /// 486 Busy Here.
    #[must_use]
    pub fn busy() -> Self {
        Self::Reject {
            code: 486,
            reason: "Busy Here".to_owned(),
        }
    }

    /// 603 Decline.
    #[must_use]
    pub fn declined() -> Self {
        Self::Reject {
            code: 603,
            reason: "Decline".to_owned(),
        }
    }
}

/// How many datagrams of each kind arrived for one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// INVITE datagrams, retransmissions included.
    pub invites: u32,
    /// CANCEL datagrams.
    pub cancels: u32,
    /// BYE datagrams.
    pub byes: u32,
    /// ACK datagrams.
    pub acks: u32,
}

/// The simulated carrier; it stops when dropped.
#[derive(Debug)]
pub struct SimulatedCarrier {}

impl SimulatedCarrier {
    /// Binds a loopback socket and answers calls; `behave` gets the called number as digits with a plus sign.
    #[expect(clippy::unused_async, reason = "signature first")]
    pub async fn start<F>(_behave: F) -> std::io::Result<Self>
    where
        F: Fn(&str) -> Behaviour + Send + Sync + 'static,
    {
        todo!()
    }

    /// Where a trunk must point.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        todo!()
    }

    /// What arrived for this number (digits with a plus sign) so far.
    #[must_use]
    pub fn received(&self, _number: &str) -> Received {
        todo!()
    }
}
