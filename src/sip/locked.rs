//! The last lock before the wire: the bytes of an INVITE that begins a call, which nothing can read but what opens it: a
//! permit that is alive at that moment, or, where it is to one of our own agents, their desk.
//!
//! The bytes are private to this file, and the only way to them is [`LockedInvite::write`], which asks the permit and
//! makes the one non-blocking system call right after (claim-8). There is no await between the two, and no other
//! function in the crate can give such bytes to a socket. A stream may not take all of them at once, or take them and keep
//! them: it answers `WouldBlock` until all have left, and is asked again with the same bytes, each time under the permit.

use std::sync::Arc;

use super::desk::Desk;
use super::peer::Hop;
use crate::domain::time::Reading;
use crate::policy::Permit;

/// What opens a locked INVITE.
#[derive(Debug)]
pub(super) enum Warrant {
    /// The right to call one number for a moment.
    Permit(Permit),
    /// Nobody is called but one of our own agents, whom the configuration names.
    Desk(Arc<Desk>),
}

impl Warrant {
    /// The reading from which the age of what is sent counts.
    pub(super) fn counted_from(&self, now: Reading) -> Reading {
        match self {
            Self::Permit(permit) => permit.read(),
            Self::Desk(_) => now,
        }
    }
}

/// What does not open it: a permit that is over, or the wrong key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StaysLocked;

/// An INVITE as it would be sent, and where to.
#[derive(Debug)]
pub(super) struct LockedInvite {
    bytes: Vec<u8>,
    to: Hop,
    /// The one desk that opens it; none = only a permit does.
    desk: Option<Arc<Desk>>,
}

impl LockedInvite {
    /// One that a permit opens.
    pub(super) fn new(bytes: Vec<u8>, to: Hop) -> Self {
        let desk = None;
        Self { bytes, to, desk }
    }

    /// One that was made for this desk.
    pub(super) fn for_desk(bytes: Vec<u8>, to: Hop, desk: Arc<Desk>) -> Self {
        let desk = Some(desk);
        Self { bytes, to, desk }
    }

    /// Where it goes.
    pub(super) fn to(&self) -> &Hop {
        &self.to
    }

    /// Lets the bytes go; the call is over.
    pub(super) fn forget(&mut self) {
        self.bytes = Vec::new();
    }

    /// Asks what opens it, then sends. `send` must not block: it is the bare system call.
    pub(super) fn write(
        &self,
        warrant: &Warrant,
        now: Reading,
        send: impl FnOnce(&[u8], &Hop) -> std::io::Result<usize>,
    ) -> Result<std::io::Result<usize>, StaysLocked> {
        match (warrant, &self.desk) {
            (Warrant::Permit(permit), None) => permit.check(now).map_err(|_| StaysLocked)?,
            (Warrant::Desk(desk), Some(made_for)) if Arc::ptr_eq(desk, made_for) => {}
            (Warrant::Permit(_), Some(_)) | (Warrant::Desk(_), _) => return Err(StaysLocked),
        }
        Ok(send(&self.bytes, &self.to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::phone::Phone;
    use crate::domain::time::{Micros, Mono};
    use crate::sip::config::Trunk;
    use crate::sip::target::Target;

    #[test]
    fn no_desk_opens_an_invite_to_a_number_and_no_permit_one_to_a_desk() {
        let target: Target = std::net::SocketAddr::from(([127, 0, 0, 1], 5060)).into();
        let way = Arc::new(Trunk::new("anna", target, "127.0.0.1"));
        let uri = "sip:anna@127.0.0.1".parse().unwrap();
        let desk = Arc::new(Desk::new(uri, Arc::clone(&way), true));
        let another = Arc::new(Desk::clone(&desk));
        let to = way.hop();
        let now = Reading {
            wall: Micros(0),
            mono: Mono::default(),
        };
        let number = Phone::parse("+14045550141").unwrap();
        let permit = || Warrant::Permit(Permit::for_test(number, None, now));
        let callee = LockedInvite::new(b"INVITE".to_vec(), to.clone());
        let agent = LockedInvite::for_desk(b"INVITE".to_vec(), to, Arc::clone(&desk));
        for (invite, warrant, opens) in [
            (&callee, permit(), true),
            (&callee, Warrant::Desk(Arc::clone(&desk)), false),
            (&agent, Warrant::Desk(desk), true),
            (&agent, Warrant::Desk(another), false),
            (&agent, permit(), false),
        ] {
            let mut sent = false;
            let send = |_: &[u8], _: &Hop| {
                sent = true;
                Ok(6)
            };
            let written = invite.write(&warrant, now, send);
            assert_eq!((written.is_ok(), sent), (opens, opens), "{warrant:?}");
        }
    }
}
