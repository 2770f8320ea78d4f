//! Recorded acts of permission. A consent is a list of events; its state is computed, never stored.

use super::call::CallKind;
use super::ids::{ConsentEventId, PartyId};
use super::phone::{NumberKey, Phone};
use super::text::words;
use super::time::{self, Micros};

/// Longest name of a source, such as `sms_stop`, in characters.
pub const SOURCE_CHARS_MAX: usize = 64;

/// Longest reference to evidence or wording, in characters.
pub const REFERENCE_CHARS_MAX: usize = 512;

/// What is wrong with this text as the period of a consent, if anything is.
#[must_use]
pub fn not_a_period(text: &str) -> Option<&'static str> {
    let is_period = matches!(text, "indefinite" | "unspecified") || time::date(text).is_some();
    let problem = "is neither `indefinite` nor `unspecified` nor a day such as 2027-01-31";
    (!is_period).then_some(problem)
}

/// What is wrong with a period that was over before consent was given.
pub const OVER_BEFORE_IT_BEGAN: &str = "ends on a day that was over when consent was given";

/// Whether a period is over by then, wherever on Earth.
#[must_use]
pub fn is_over_by(period: &str, at: Micros) -> bool {
    /// A day ends in the west of the Earth so long after it began at Greenwich.
    const HOURS: u64 = 24 + 12;
    let last = time::date(period).and_then(|day| day.to_zoned(jiff::tz::TimeZone::UTC).ok());
    last.is_some_and(|midnight| {
        at >= Micros::from(midnight.timestamp()).plus(std::time::Duration::from_secs(3600 * HOURS))
    })
}

words! {
    /// What the event did.
    ConsentAction, "consent action" {
        /// Permission was given.
        Given = "given",
        /// Permission was withdrawn.
        Withdrawn = "withdrawn",
    }
}

words! {
    /// How consent was expressed.
    ConsentForm, "consent form" {
        /// Signed; an electronic signature is one.
        Written = "written",
        /// An active click on a form.
        WebForm = "web_form",
        /// A recorded statement.
        RecordedVoice = "recorded_voice",
        /// Verified by a third party.
        ThirdPartyVerified = "third_party_verified",
        /// Said, and not recorded.
        Oral = "oral",
        /// Derived from conduct.
        Implied = "implied",
        /// A box that was ticked beforehand.
        Preticked = "preticked",
        /// Part of accepted terms.
        TermsAcceptance = "terms_acceptance",
        /// Tied to something else.
        Bundled = "bundled",
    }
}

words! {
    /// Who started the exchange in which consent was given.
    InitiatedBy, "initiator" {
        /// The person.
        Person = "person",
        /// The seller.
        Seller = "seller",
    }
}

/// One act of giving or withdrawing consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsentEvent {
    /// Identifier.
    pub consent_event_id: ConsentEventId,
    /// Whose consent.
    pub party_id: PartyId,
    /// For which number.
    pub number: Phone,
    /// Towards which seller.
    pub seller: String,
    /// Given or withdrawn.
    pub action: ConsentAction,
    /// When the person acted.
    pub at: Micros,
    /// When it was recorded here.
    pub recorded_at: Micros,
    /// Kinds of call it covers; empty = all.
    pub channels: Vec<CallKind>,
    /// How it was expressed (for `given`).
    pub form: Option<ConsentForm>,
    /// Expressly given, by a separate act.
    pub explicit: Option<bool>,
    /// A record of the act exists.
    pub documented: Option<bool>,
    /// Names calls outside the legal hours.
    pub out_of_hours: Option<bool>,
    /// `indefinite`, `unspecified`, or an end date.
    pub period: Option<String>,
    /// Who started the exchange.
    pub initiated_by: Option<InitiatedBy>,
    /// Where it came from, such as `web`, `sms_stop`, `agent`.
    pub source: Option<String>,
    /// Certificate, recording or form submission that proves it.
    pub evidence_ref: Option<String>,
    /// SHA-256 of the wording shown, or the wording's own version.
    pub wording_ref: Option<String>,
    /// Who recorded it.
    pub actor: String,
}

/// What makes an act of consent the same as another, however often and by whomever it is told.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsentMark {
    /// Whose consent.
    pub party_id: PartyId,
    /// For which number.
    pub number_key: NumberKey,
    /// Towards which seller.
    pub seller: String,
    /// Given or withdrawn.
    pub action: ConsentAction,
    /// When the person acted.
    pub at: Micros,
    /// Kinds of call it covers, in the order of the set; empty = all.
    pub channels: Vec<CallKind>,
    /// How it was expressed.
    pub form: Option<ConsentForm>,
    /// What proves it.
    pub evidence_ref: Option<String>,
}

impl ConsentEvent {
    /// What makes it the same as another, its number having this key.
    #[must_use]
    pub fn mark(&self, number_key: NumberKey) -> ConsentMark {
        let mut channels = self.channels.clone();
        channels.sort_unstable();
        ConsentMark {
            party_id: self.party_id,
            number_key,
            seller: self.seller.clone(),
            action: self.action,
            at: self.at,
            channels,
            form: self.form,
            evidence_ref: self.evidence_ref.clone(),
        }
    }
}
