//! The only module that speaks SIP: it takes a permit and makes a call of it.
//!
//! A call is a pure step function (`call`): input and the time go in, messages and events come out; the endpoint's task
//! (`transport`) owns the socket and the timers and nothing else. The bytes of an INVITE that begins a call exist only in a form that a [`Permit`]
//! must unlock right before the system call; one of our own agents is called without (`desk`), and connected with whom that
//! permit was for (`bridge`). Audio never passes here. Nothing here logs a number, an SDP address, a
//! credential or a message.
//!
//! [`Permit`]: crate::policy::Permit

mod api;
mod auth;
mod bells;
mod bridge;
mod call;
mod config;
mod desk;
mod dns;
mod endpoint;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod entries;
mod framing;
mod head;
mod links;
mod locked;
mod message;
mod outcome;
mod peer;
mod redirect;
mod registration;
mod request;
mod sdp;
mod session;
mod socket;
mod stray;
mod stream;
mod target;
mod token;
mod transaction;
mod transport;
mod uas;
mod values;
mod wire;

pub use api::{
    Control, Dialog, EndedBy, Ending, HangUpCause, Happened, Heard, Invite, Rang, SipEvent,
};
pub use bridge::{Bridge, Side, Wish};
pub use call::ANSWER_WAIT;
pub use config::{Secret, SipConfig, Trunk};
pub use desk::{Desk, DeskUri};
pub use dns::{Answer, Found, Resolver, Unanswered, ordered};
pub use endpoint::{Answered, Endpoint};
pub use peer::{Credentials, Peer, TlsFiles};
pub use registration::{Registered, Registration};
pub use request::Unheard;
pub use sdp::{
    ANCHORED_OFFER_BYTES_MAX, Carried, OFFER_BYTES_MAX, OfferProblem, Origin, carried,
    check_anchored_offer, check_offer,
};
pub use socket::Datagrams;
pub use stream::{ByteStream, Connecting, Streams};
pub use target::{Destination, Host, Target, Transport};
pub use uas::{Behaviour, Received, SimulatedCarrier};
