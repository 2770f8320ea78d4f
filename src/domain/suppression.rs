//! Records that block calls: opt-outs, objections and what else an operator must respect.

use super::account::AccountKey;
use super::call::{CallKind, Purpose};
use super::ids::{PartyId, SuppressionId};
use super::phone::NumberKey;
use super::text::words;
use super::time::{CLOCKS_APART, Micros};

words! {
    /// Why the record exists.
    SuppressionReason, "suppression reason" {
        /// The person asked not to be called.
        PartyRequest = "party_request",
        /// The person objected to direct marketing (GDPR Art. 21(2)).
        Objection = "objection",
        /// A register told so.
        Registry = "registry",
        /// A court ordered it.
        Court = "court",
        /// The person is a minor.
        Minor = "minor",
        /// The person died.
        Deceased = "deceased",
        /// A complaint was made.
        Complaint = "complaint",
        /// The operator's own decision.
        Internal = "internal",
        /// The number is known for litigation.
        Litigator = "litigator",
    }
}

words! {
    /// How the wish reached us.
    SuppressionSource, "suppression source" {
        /// Told to an agent.
        Agent = "agent",
        /// Keyed or said to a machine.
        Ivr = "ivr",
        /// A web form.
        Web = "web",
        /// A message.
        Email = "email",
        /// A customer-relationship system.
        Crm = "crm",
        /// A list.
        Import = "import",
        /// An authority.
        Regulator = "regulator",
        /// This API.
        Api = "api",
    }
}

words! {
    /// Why a block is nobody's to take back by a consent, however new: only two people lift it.
    UntilLifted, "hold of an opt-out" {
        /// A court ordered it.
        Court = "court",
        /// The person is a minor: a minor's signature opens nothing.
        Minor = "minor",
        /// The person died.
        Deceased = "deceased",
        /// The operator's own decision.
        Internal = "internal",
        /// The number is known for litigation: the operator's decision too.
        Litigator = "litigator",
        /// An organisation asked for all who belong to it; one of them does not speak for the others.
        Account = "account",
    }
}

impl SuppressionReason {
    /// Whether it tells of the person and not of the number alone. A register, the operator and a list of litigators name
    /// numbers; whatever else there is was said by a person or about one, through whichever of their numbers.
    #[must_use]
    pub const fn is_of_person(self) -> bool {
        match self {
            Self::PartyRequest
            | Self::Objection
            | Self::Court
            | Self::Minor
            | Self::Deceased
            | Self::Complaint => true,
            Self::Registry | Self::Internal | Self::Litigator => false,
        }
    }
}

/// What a suppression is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuppressionSubject {
    /// One number, whoever holds it; and, if it is of the person, all numbers of those who hold it
    /// ([`Suppression::follows_holder`]).
    Number(NumberKey),
    /// One person, all numbers.
    Party(PartyId),
    /// One organisation: everybody who belongs to it, all numbers, also who joins it later; and, if it is of the person, who
    /// left it since ([`Suppression::follows_member`]).
    Account(AccountKey),
}

impl SuppressionSubject {
    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<NumberKey> {
        match self {
            Self::Number(key) => Some(*key),
            Self::Party(_) | Self::Account(_) => None,
        }
    }
}

/// A record that blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Identifier.
    pub suppression_id: SuppressionId,
    /// What it is about.
    pub subject: SuppressionSubject,
    /// The seller it binds; absent = every seller.
    pub seller: Option<String>,
    /// The kinds of call that were named; empty = all. What they mean for a call, [`Suppression::kinds`] says.
    pub channels: Vec<CallKind>,
    /// The purposes that were named; empty = all. What they mean for a call, [`Suppression::purposes`] says.
    pub purposes: Vec<Purpose>,
    /// Why it exists.
    pub reason: SuppressionReason,
    /// How it reached us.
    pub source: SuppressionSource,
    /// When the person expressed it.
    pub received_at: Micros,
    /// When it was recorded.
    pub recorded_at: Micros,
    /// Only for [`SuppressionReason::Internal`] and [`SuppressionReason::Litigator`]: a person's own wish never expires.
    pub expires_at: Option<Micros>,
    /// What proves it.
    pub evidence_ref: Option<String>,
    /// Free text of the administrator.
    pub note: Option<String>,
    /// Who recorded it.
    pub actor: String,
    /// Set once somebody asked for the lift; it binds on until another person approves.
    pub lift_request: Option<LiftRequest>,
    /// Set once it was lifted.
    pub lift: Option<Lift>,
}

impl Suppression {
    /// From when it binds: the moment the person expressed it. That lies after its recording only where the recorder's
    /// clock was behind that of a consent which had come before.
    #[must_use]
    pub fn binds_from(&self) -> Micros {
        self.received_at
    }

    /// The kinds of call it covers; empty = all. Who does not want to be called does not want it by anybody or anything: every
    /// opt-out acts on all kinds at once, whatever was named (47 CFR 64.1200(a)(10), taken as channel-wide). Only what is said
    /// of a number keeps to the kinds it names.
    #[must_use]
    pub fn kinds(&self) -> &[CallKind] {
        if self.reason.is_of_person() {
            &[]
        } else {
            &self.channels
        }
    }

    /// Why no consent opens what it closed; none where the law says which later consent does. What a person asked for they may
    /// take back. What a register told is the law's, each rule of which says what consent does to it, and nobody lifts it.
    #[must_use]
    pub const fn until_lifted(&self) -> Option<UntilLifted> {
        match (self.reason, self.subject) {
            (SuppressionReason::Court, _) => Some(UntilLifted::Court),
            (SuppressionReason::Minor, _) => Some(UntilLifted::Minor),
            (SuppressionReason::Deceased, _) => Some(UntilLifted::Deceased),
            (SuppressionReason::Internal, _) => Some(UntilLifted::Internal),
            (SuppressionReason::Litigator, _) => Some(UntilLifted::Litigator),
            (SuppressionReason::Registry, _) => None,
            (
                SuppressionReason::PartyRequest
                | SuppressionReason::Objection
                | SuppressionReason::Complaint,
                SuppressionSubject::Account(_),
            ) => Some(UntilLifted::Account),
            (
                SuppressionReason::PartyRequest
                | SuppressionReason::Objection
                | SuppressionReason::Complaint,
                SuppressionSubject::Number(_) | SuppressionSubject::Party(_),
            ) => None,
        }
    }

    /// Whether it covers this kind of call.
    #[must_use]
    pub fn covers_kind(&self, kind: CallKind) -> bool {
        let kinds = self.kinds();
        kinds.is_empty() || kinds.contains(&kind)
    }

    /// Whether it covers calls of this purpose.
    ///
    /// "No offers, but do tell me of my delivery" is a wish that the person limited in so many words, and it is kept as it was
    /// said; where nothing is named it covers all (47 CFR 64.1200(a)(10): to stop one kind of robocall is to stop all, unless
    /// the person says otherwise). A person's wish always covers sales, whatever else it names: an objection is to direct
    /// marketing as such (GDPR Art. 21(2)), and who asks even for no more information asks for no offers either (so FCC
    /// 24-24 of exempted informational calls). And nobody limited what a court ordered, what a complaint was about,
    /// that a person is a minor, or dead: these cover every purpose. What is said of a number keeps to the purposes it names.
    #[must_use]
    pub fn covers_purpose(&self, purpose: Purpose) -> bool {
        let named = self.purposes.is_empty() || self.purposes.contains(&purpose);
        match self.reason {
            SuppressionReason::PartyRequest | SuppressionReason::Objection => {
                named || purpose == Purpose::Sales
            }
            SuppressionReason::Court
            | SuppressionReason::Minor
            | SuppressionReason::Deceased
            | SuppressionReason::Complaint => true,
            SuppressionReason::Registry
            | SuppressionReason::Internal
            | SuppressionReason::Litigator => named,
        }
    }

    /// The purposes it covers; empty = all, also those that there may be one day.
    #[must_use]
    pub fn purposes(&self) -> Vec<Purpose> {
        let all = Purpose::ALL.iter().copied();
        let covered: Vec<Purpose> = all.filter(|each| self.covers_purpose(*each)).collect();
        if covered.len() == Purpose::ALL.len() {
            Vec::new()
        } else {
            covered
        }
    }

    /// The same, written as what it does: on record it must not look narrower than it is.
    #[must_use]
    pub fn in_full(mut self) -> Self {
        self.channels = self.kinds().to_vec();
        self.purposes = self.purposes();
        self
    }

    /// By when it had been told, also where it binds from later.
    #[must_use]
    pub fn told_by(&self) -> Micros {
        self.received_at.min(self.recorded_at)
    }

    /// Whoever held the number until later than this may be the one who spoke. The end of a link is of this house's clocks, and
    /// a time that was stated is not: in doubt they still held it.
    #[must_use]
    pub fn spoken_by_holder_after(&self) -> Micros {
        if self.received_at < self.recorded_at {
            self.received_at.minus(CLOCKS_APART)
        } else {
            self.told_by()
        }
    }

    /// Whether nothing that this one, of the same subject, covers is outside of it.
    #[must_use]
    fn is_as_wide_as(&self, other: &Self) -> bool {
        let sellers = self.seller.is_none() || self.seller == other.seller;
        let (kinds, purposes) = (other.kinds(), other.purposes());
        let all_kinds = self.kinds().is_empty()
            || (!kinds.is_empty() && kinds.iter().all(|kind| self.covers_kind(*kind)));
        let all_purposes = self.purposes().is_empty()
            || (!purposes.is_empty() && purposes.iter().all(|each| self.covers_purpose(*each)));
        sellers && all_kinds && all_purposes
    }

    /// Whether it says all that this newer one of the same subject would, whose wish was said at this time: it is as wide, and
    /// as strong. An objection is more than a request not to be called, so it is recorded beside one; so is what is of the
    /// person beside what is of the number alone, and what only two people lift beside what a consent opens. And a wish said
    /// again later is a wish of its own: a consent between the two reopens what the first closed, whenever that consent
    /// becomes known.
    #[must_use]
    pub fn says_all_of(&self, new: &Self, said_at: Micros) -> bool {
        let hold = new.until_lifted();
        self.is_as_wide_as(new)
            && (self.reason == new.reason || new.reason != SuppressionReason::Objection)
            && (self.reason.is_of_person() || !new.reason.is_of_person())
            && (hold.is_none() || hold == self.until_lifted())
            && self.binds_from() >= said_at
    }

    /// Whether it follows to all their other numbers a person who holds the number that it is about (absent), or held it
    /// until then. Who gave the number up after the wish has not taken the wish back; who had given it up before is not
    /// the one who spoke. The end must be one that the store vouches for: two clocks alone do not tell before from after.
    #[must_use]
    pub fn follows_holder(&self, held_until: Option<Micros>) -> bool {
        self.reason.is_of_person() && held_until.is_none_or(|until| until > self.told_by())
    }

    /// Whether it follows a person who belongs to the account that it is about (absent), or left it then. Who leaves after the
    /// wish is still bound by it, or a change of record would undo a wish: they may be the very one who spoke. In doubt they
    /// left later, for the two times are of two clocks. What the operator or a list says of an account ends with the link.
    #[must_use]
    pub fn follows_member(&self, left_at: Option<Micros>) -> bool {
        match left_at {
            None => true,
            Some(at) => self.reason.is_of_person() && at.plus(CLOCKS_APART) > self.told_by(),
        }
    }
}

/// The first of the two people that a lift takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiftRequest {
    /// When.
    pub at: Micros,
    /// Who asked.
    pub requested_by: String,
    /// Why.
    pub reason: String,
    /// The permission that is newer than the opt-out.
    pub evidence_ref: String,
    /// When the person gave it; absent only in lifts from before it was asked for.
    pub evidence_at: Option<Micros>,
}

/// The end of a suppression: two people, a reason and a newer permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lift {
    /// When.
    pub at: Micros,
    /// Who asked for it.
    pub requested_by: String,
    /// Who approved it; never the same.
    pub approved_by: String,
    /// Why.
    pub reason: String,
    /// The permission that is newer than the opt-out.
    pub evidence_ref: String,
    /// When the person gave it; absent only in lifts from before it was asked for.
    pub evidence_at: Option<Micros>,
}

words! {
    /// What happened to a suppression.
    SuppressionChangeKind, "kind of change" {
        /// It was recorded.
        Recorded = "recorded",
        /// The first of two people asked for its lift; it binds on.
        LiftRequested = "lift_requested",
        /// It was lifted.
        Lifted = "lifted",
    }
}

impl SuppressionChangeKind {
    /// The change that comes when so many were told: they come in this order, and each once.
    #[must_use]
    pub fn at(told: i64) -> Option<Self> {
        match told {
            0 => Some(Self::Recorded),
            1 => Some(Self::LiftRequested),
            2 => Some(Self::Lifted),
            _ => None,
        }
    }
}

/// Something that happened to a suppression, at its place in the order of all changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuppressionChange {
    /// The place; rises, without gaps.
    pub position: i64,
    /// What happened.
    pub kind: SuppressionChangeKind,
    /// The suppression as it is now.
    pub suppression: Suppression,
}

impl SuppressionChange {
    /// When it happened.
    #[must_use]
    pub fn happened_at(&self) -> Micros {
        let said = &self.suppression;
        let at = match self.kind {
            SuppressionChangeKind::Recorded => None,
            SuppressionChangeKind::LiftRequested => {
                said.lift_request.as_ref().map(|asked| asked.at)
            }
            SuppressionChangeKind::Lifted => said.lift.as_ref().map(|lift| lift.at),
        };
        at.unwrap_or(said.recorded_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::AccountKey;

    fn told(reason: SuppressionReason, purposes: &[Purpose]) -> Suppression {
        Suppression {
            suppression_id: SuppressionId::new(Micros(0)),
            subject: SuppressionSubject::Account(AccountKey([1; 32])),
            seller: None,
            channels: Vec::new(),
            purposes: purposes.to_vec(),
            reason,
            source: SuppressionSource::Api,
            received_at: Micros(0),
            recorded_at: Micros(0),
            expires_at: None,
            evidence_ref: None,
            note: None,
            actor: "test".to_owned(),
            lift_request: None,
            lift: None,
        }
    }

    #[test]
    fn a_purpose_narrows_only_what_somebody_limited_and_never_lets_sales_through_to_a_person() {
        use Purpose::{Informational, Sales, Service};
        for reason in SuppressionReason::ALL {
            assert!(told(*reason, &[]).purposes().is_empty(), "{reason}");
            assert!(told(*reason, Purpose::ALL).purposes().is_empty());
        }
        for (reason, named, covered) in [
            (SuppressionReason::PartyRequest, &[Sales][..], &[Sales][..]),
            (
                SuppressionReason::PartyRequest,
                &[Service],
                &[Sales, Service],
            ),
            (
                SuppressionReason::PartyRequest,
                &[Service, Informational],
                &[],
            ),
            (SuppressionReason::Objection, &[Sales], &[Sales]),
            (
                SuppressionReason::Objection,
                &[Informational],
                &[Sales, Informational],
            ),
            (SuppressionReason::Court, &[Service], &[]),
            (SuppressionReason::Minor, &[Sales], &[]),
            (SuppressionReason::Deceased, &[Sales], &[]),
            (SuppressionReason::Complaint, &[Sales], &[]),
            (SuppressionReason::Registry, &[Sales], &[Sales]),
            (SuppressionReason::Internal, &[Service], &[Service]),
            (
                SuppressionReason::Litigator,
                &[Informational],
                &[Informational],
            ),
        ] {
            let told = told(reason, named);
            assert_eq!(told.purposes(), covered, "{reason} {named:?}");
            assert_eq!(told.clone().in_full().purposes(), covered, "{reason} again");
            for purpose in Purpose::ALL {
                let is_covered = covered.is_empty() || covered.contains(purpose);
                assert_eq!(
                    told.covers_purpose(*purpose),
                    is_covered,
                    "{reason} {purpose}"
                );
            }
        }
    }

    #[test]
    fn width_is_compared_by_purpose_too() {
        use Purpose::{Informational, Sales, Service};
        let wish = |purposes: &[Purpose]| told(SuppressionReason::PartyRequest, purposes);
        for (old, new, is_as_wide) in [
            (&[][..], &[Sales][..], true),
            (&[Sales], &[Sales], true),
            (&[Sales, Service], &[Sales], true),
            // A wish about service covers sales as well.
            (&[Service], &[Sales], true),
            (&[Sales], &[Service], false),
            (&[Sales], &[], false),
            (&[Informational, Service], &[], true),
        ] {
            assert_eq!(
                wish(old).is_as_wide_as(&wish(new)),
                is_as_wide,
                "{old:?} {new:?}"
            );
        }
    }

    #[test]
    fn what_a_consent_opens_does_not_stand_for_what_only_two_people_lift() {
        use SuppressionReason::{Court, Internal, Minor, Objection, PartyRequest, Registry};
        let number = SuppressionSubject::Number(NumberKey([1; 32]));
        for (old, new, says_all) in [
            (PartyRequest, PartyRequest, true),
            (PartyRequest, Court, false),
            (PartyRequest, Internal, false),
            (Objection, Minor, false),
            (Court, Court, true),
            (Court, Minor, false),
            (Court, PartyRequest, true),
            (Court, Registry, true),
            (Internal, Registry, true),
            (Internal, PartyRequest, false),
        ] {
            let about = |reason| Suppression {
                subject: number,
                ..told(reason, &[])
            };
            let (old, new) = (about(old), about(new));
            let said = format!("{} {}", old.reason, new.reason);
            assert_eq!(old.says_all_of(&new, Micros(0)), says_all, "{said}");
            assert!(!old.says_all_of(&new, Micros(1)), "{said}, and later");
        }
        let account = told(PartyRequest, &[]);
        assert!(account.says_all_of(&account, Micros(0)));
        assert_eq!(account.until_lifted(), Some(UntilLifted::Account));
        assert_eq!(told(Registry, &[]).until_lifted(), None);
    }

    #[test]
    fn who_left_an_account_after_the_wish_is_bound_by_it() {
        let minute = 60_000_000;
        let mut wish = told(SuppressionReason::PartyRequest, &[]);
        (wish.received_at, wish.recorded_at) = (Micros(60 * minute), Micros(90 * minute));
        for (left, is_bound) in [
            (None, true),
            (Some(61), true),
            (Some(51), true),
            (Some(50), false),
        ] {
            let left = left.map(|left| Micros(left * minute));
            assert_eq!(wish.follows_member(left), is_bound, "{left:?}");
        }
        wish.reason = SuppressionReason::Internal;
        assert!(wish.follows_member(None) && !wish.follows_member(Some(Micros(99 * minute))));
    }
}
