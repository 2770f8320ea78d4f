//! The last lock before the wire: the bytes of an INVITE that begins a call, which nothing can read but a permit that is
//! alive at that moment.
//!
//! The bytes are private to this file, and the only way to them is [`LockedInvite::write`], which asks the permit and
//! makes the one non-blocking system call right after (claim-8). There is no await between the two, and no other
//! function in the crate can give such bytes to a socket. A stream may not take all of them at once, or take them and keep
//! them: it answers `WouldBlock` until all have left, and is asked again with the same bytes, each time under the permit.

use super::peer::Hop;
use crate::domain::time::Reading;
use crate::policy::{Permit, PermitExpired};

/// An INVITE as it would be sent, and where to.
#[derive(Debug)]
pub(super) struct LockedInvite {
    bytes: Vec<u8>,
    to: Hop,
}

impl LockedInvite {
    pub(super) fn new(bytes: Vec<u8>, to: Hop) -> Self {
        Self { bytes, to }
    }

    /// Where it goes.
    pub(super) fn to(&self) -> &Hop {
        &self.to
    }

    /// Lets the bytes go; the call is over.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
    }

    /// Asks the permit, then sends. `send` must not block: it is the bare system call.
    pub(super) fn write(
        &self,
        permit: &Permit,
        now: Reading,
        send: impl FnOnce(&[u8], &Hop) -> std::io::Result<usize>,
    ) -> Result<std::io::Result<usize>, PermitExpired> {
        permit.check(now)?;
        Ok(send(&self.bytes, &self.to))
    }
}
