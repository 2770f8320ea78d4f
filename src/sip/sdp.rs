//! A look into SDP, whose bytes are otherwise passed on untouched.

/// Why an SDP offer cannot be used on a trunk of plain RTP.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferProblem {
    /// Nothing there.
    #[error("the SDP offer is empty: send the softphone's session description")]
    Empty,
    /// Larger than a datagram should carry.
    #[error("the SDP offer has {size} bytes: send at most {max}")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The most that is taken.
        max: usize,
    },
    /// Not SDP.
    #[error("the SDP offer cannot be read: {0}")]
    Unreadable(String),
    /// No audio stream in it.
    #[error("the SDP offer has no audio stream: add an `m=audio` line with a port")]
    NoAudio,
    /// A transport that plain RTP trunks don't speak.
    #[error("the SDP offer asks for `{0}`: this trunk speaks plain RTP, offer `RTP/AVP`")]
    Transport(String),
    /// ICE or DTLS, which plain RTP trunks don't speak.
    #[error(
        "the SDP offer has `a={0}`: this trunk speaks plain RTP, switch ICE and DTLS off in the softphone"
    )]
    Attribute(String),
}

/// Whether an SDP offer can be used on a trunk of plain RTP; asked before a call is accepted, instead of a 488 later.
pub fn check_offer(_offer: &[u8]) -> Result<(), OfferProblem> {
    todo!()
}
