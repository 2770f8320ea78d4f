//! Who vouches for the number shown: the PASSporT of a call (RFC 8224, 8225 and 8588, "STIR/SHAKEN").
//!
//! A [`Voucher`] is a trunk's section `identity`: a key of our own ([`Signer`]), for who has a certificate for it, or a signing
//! service that is asked over HTTP. A [`Passport`] speaks of one caller, one callee and one moment; whatever made it, it is
//! compared with the call before it is sent, and a call without the one that its trunk asks for is not sent at all. A key
//! never prints, and a PASSporT never either: it has both numbers in it.

mod certificate;
mod claims;
mod config;
mod service;
mod signer;
mod token;

pub use certificate::Validity;
pub use claims::{FRESH, Passport, Unsigned};
pub use config::{IdentityConfig, Voucher};
pub use signer::Signer;

use std::sync::Arc;

use crate::domain::call::Attestation;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;

/// What one call has to show for itself.
#[derive(Debug, Clone, Default)]
pub enum Vouch {
    /// The trunk asks for nothing: the carrier signs, or nobody does.
    #[default]
    Nobody,
    /// We sign when the INVITE is made.
    Key {
        /// By this key.
        signer: Arc<Signer>,
        /// So strongly.
        attestation: Attestation,
    },
    /// A service has signed.
    Carried(Passport),
}

impl Vouch {
    /// How strongly the number shown is vouched for.
    #[must_use]
    pub fn attestation(&self) -> Option<Attestation> {
        match self {
            Self::Nobody => None,
            Self::Key { attestation, .. } => Some(*attestation),
            Self::Carried(passport) => Some(passport.attestation),
        }
    }

    /// The PASSporT for an INVITE of this moment, from and to these numbers; none if none is asked for.
    pub fn passport(
        &self,
        orig: Phone,
        dest: Phone,
        at: Micros,
    ) -> Result<Option<Passport>, Unsigned> {
        match self {
            Self::Nobody => Ok(None),
            Self::Key {
                signer,
                attestation,
            } => signer.sign(orig, dest, *attestation, at).map(Some),
            Self::Carried(passport) => {
                passport.fits(orig, dest, at)?;
                Ok(Some(passport.clone()))
            }
        }
    }
}
