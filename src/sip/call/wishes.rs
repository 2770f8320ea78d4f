//! What the client wants its session to be, where what is in force is less: the answer to a far end that held the call says
//! `recvonly`, and when that far end asks for an offer, it wants the call back (RFC 6337 section 5.3). An offer of the answer as it
//! stands would keep the call on hold.

use super::Call;
use crate::sip::sdp::{self, Direction};

/// What is known of the client's wishes.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// The directions of its last own offer, once something else is in force.
    directions: Option<Vec<Direction>>,
    /// So much is added to the version of each session that it sends: there were versions in between that it does not know of.
    raised: u64,
}

impl Call {
    /// The client answered the far end's offer: that is less than it wanted, or as much.
    pub(super) fn keep_wishes(&mut self) {
        let ours = &self.offer;
        let directions = &mut self.talk.wishes.directions;
        directions.get_or_insert_with(|| sdp::directions(ours));
    }

    /// The far end has taken an offer of the client's own.
    pub(super) fn take_wishes(&mut self) {
        self.talk.wishes.directions = None;
    }

    /// The far end asks for an offer: our session as it stands, in the directions that the client wants.
    pub(super) fn offer_as_wished(&mut self) {
        let wishes = &mut self.talk.wishes;
        let Some(directions) = &wishes.directions else {
            return;
        };
        if let Some(session) = sdp::directed(&self.offer, directions) {
            self.offer = sdp::raised(&session, 1);
            wishes.raised += 1;
        }
    }

    /// A session of the client's, as it goes out.
    pub(super) fn raised(&self, session: Vec<u8>) -> Vec<u8> {
        match self.talk.wishes.raised {
            0 => session,
            by => sdp::raised(&session, by),
        }
    }
}
