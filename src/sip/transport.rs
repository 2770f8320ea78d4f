//! The endpoint: one task owns the socket and routes by Call-ID.

use std::net::SocketAddr;

use super::api::{Dialog, Invite};
use super::config::SipConfig;
use crate::clock::Clock;
use crate::policy::Permit;

/// The node's one SIP endpoint; a handle to its task.
#[derive(Debug, Clone)]
pub struct Endpoint {}

impl Endpoint {
    /// Binds the socket and starts the task.
    #[expect(clippy::unused_async, reason = "signature first")]
    pub async fn bind(_config: &SipConfig, _clock: Clock) -> std::io::Result<Self> {
        todo!()
    }

    /// The address of the socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }

    /// A fresh Call-ID: 128 random bits, no host name in it. Made before the claim and stored with the attempt.
    #[must_use]
    pub fn new_call_id(&self) -> String {
        todo!()
    }

    /// Starts a call. The number to call and the number to show come from the permit and from nowhere else.
    #[must_use]
    pub fn dial(&self, _permit: Permit, _invite: Invite) -> Dialog {
        todo!()
    }

    /// Calls that have not ended yet.
    #[must_use]
    pub fn active_calls(&self) -> usize {
        todo!()
    }
}
