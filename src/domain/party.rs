//! A person, their numbers, and what is known of them that a rule may need.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::ids::PartyId;
use super::object::objects_only;
use super::phone::Phone;
use super::text::words;
use super::time::{self, Micros};

objects_only!(
    Location,
    Relationship,
    LegitimateInterest,
    PresumedConsent,
    Notice,
    Restriction,
    Callback,
    Directory,
    ReassignedCheck,
    RegisterCheck,
);

words! {
    /// In what capacity a person is called.
    Audience, "audience" {
        /// A private person.
        Consumer = "consumer",
        /// A business line or a person at work.
        Business = "business",
        /// Not known; judged as a consumer.
        Unknown = "unknown",
    }
}

words! {
    /// What kind of line a number is.
    LineType, "line type" {
        /// A fixed line.
        Landline = "landline",
        /// A mobile line.
        Mobile = "mobile",
        /// An internet line.
        Voip = "voip",
        /// Not known.
        Unknown = "unknown",
    }
}

/// Where a person is, as far as anybody recorded it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Location {
    /// ISO 3166-1 alpha-2 country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// ISO 3166-2 subdivision, such as `US-FL`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Postal code as written in that country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// IANA zone that the person named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
}

/// What the person bought of the seller, asked it, or signed with it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Relationship {
    /// Local date of the last purchase or payment.
    #[serde(
        default,
        deserialize_with = "time::read_optional_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_transaction: Option<jiff::civil::Date>,
    /// Local date of the last inquiry or application by the person.
    #[serde(
        default,
        deserialize_with = "time::read_optional_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub last_inquiry: Option<jiff::civil::Date>,
    /// Whether a contract is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract_in_force: Option<bool>,
    /// When the last contract ended.
    #[serde(
        default,
        deserialize_with = "time::read_optional_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub contract_ended_on: Option<jiff::civil::Date>,
    /// Whether what is offered is related to what was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offer_related: Option<bool>,
    /// Whether the person is a member of the calling organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<bool>,
    /// When either side ended the relationship.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Micros>,
}

/// A legitimate-interest assessment (GDPR Art. 6(1)(f)).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct LegitimateInterest {
    /// Whether the assessment is on file.
    pub assessment_on_file: bool,
    /// Where it is filed.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Evidence for presumed consent (Germany, business only: UWG section 7(2) no. 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct PresumedConsent {
    /// Why this business may be presumed to agree to this call.
    pub evidence: String,
}

/// The privacy notice that the person was given (GDPR Art. 13 and 14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Notice {
    /// Version of the notice's text.
    pub version: String,
}

/// Processing of the person's data is restricted (GDPR Art. 18).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Restriction {
    /// Since when.
    pub since: Micros,
}

/// A call that the person asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Callback {
    /// When they asked.
    pub requested_at: Micros,
    /// Not before this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Micros>,
    /// Not after this instant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Micros>,
}

/// What the public directory says of the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Directory {
    /// Whether the number is listed.
    pub listed: bool,
    /// Whether the entry carries the mark that allows marketing calls.
    pub marketing_opt_in: bool,
}

words! {
    /// What the Reassigned Numbers Database answered.
    ReassignedAnswer, "reassigned-number answer" {
        /// Permanently disconnected on or after the date asked for.
        Yes = "yes",
        /// Not disconnected since.
        No = "no",
        /// The database cannot tell.
        NoData = "no_data",
    }
}

/// A query to the US Reassigned Numbers Database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ReassignedCheck {
    /// When it was asked.
    #[serde(deserialize_with = "time::read_date")]
    pub queried_on: jiff::civil::Date,
    /// For disconnections since when.
    #[serde(deserialize_with = "time::read_date")]
    pub for_date: jiff::civil::Date,
    /// What it said.
    pub answer: ReassignedAnswer,
}

/// One look-up of one number in one register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RegisterCheck {
    /// The register's id in the rule pack, such as `us-dnc`.
    pub register: String,
    /// Whether the number is on it; absent = asked, no answer.
    pub listed: Option<bool>,
    /// Date of the list's version.
    #[serde(deserialize_with = "time::read_date")]
    pub as_of: jiff::civil::Date,
    /// Since when it is listed, where the register tells.
    #[serde(
        default,
        deserialize_with = "time::read_optional_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub listed_since: Option<jiff::civil::Date>,
    /// The snapshot that said so, by the beginning of its hash; absent where somebody else looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
}

impl ReassignedCheck {
    /// Which of two answers about one number holds: the newer; of two of one day the worse, for nobody can tell which came
    /// last.
    #[must_use]
    pub fn or_what_holds(self, other: Self) -> Self {
        let weight = |check: &Self| {
            let bad = match check.answer {
                ReassignedAnswer::Yes => 2,
                ReassignedAnswer::NoData => 1,
                ReassignedAnswer::No => 0,
            };
            (check.queried_on, bad)
        };
        if weight(&other) > weight(&self) {
            other
        } else {
            self
        }
    }
}

/// Sellers with which one person may have dealings on record. Nobody's record grows without a bound: it is read at every
/// decision about them.
pub const SELLERS_MAX: usize = 64;

/// Dealings of one person with one seller. They are facts of that seller's cases and of nobody else's: who bought of one
/// seller has asked no other to call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dealings {
    /// What they bought, asked or signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relationship: Option<Relationship>,
    /// The seller's assessment of legitimate interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legitimate_interest: Option<LegitimateInterest>,
    /// Presumed consent of a business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presumed_consent: Option<PresumedConsent>,
    /// Privacy notice given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// Promised callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// The seller's agent knows the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_relationship: Option<bool>,
}

impl Dealings {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of a person beside their numbers: the facts of the case object that are about them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The organisation that they belong to. Kept beside the rest, for it is looked up by its key, and a release that does
    /// not know it is to leave it as it is.
    #[serde(skip)]
    pub account: Option<Account>,
    /// Name to show to the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// BCP 47 language tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language_tag: Option<String>,
    /// In what capacity they are called; absent = unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// Where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Restriction of processing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Restriction>,
    /// Directory entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// Known to be under 18.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<bool>,
    /// Dealings, by the seller that they are with; none that is empty.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dealings: BTreeMap<String, Dealings>,
}

/// Where dealings stood before they were kept by seller: beside the audience.
const DEALINGS_OF_NOBODY: [&str; 6] = [
    "relationship",
    "legitimate_interest",
    "presumed_consent",
    "notice",
    "callback",
    "personal_relationship",
];

impl Profile {
    /// Reads what is kept. Dealings recorded before they were kept by seller are dropped: nobody can tell with whom they
    /// were, and a rule that needs what is unknown denies by itself. The person can still be called on other grounds, and
    /// the next write of the record mends it. Any other key that is not known is an error.
    pub fn from_json(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text).or_else(|error| {
            let mut kept: serde_json::Map<String, serde_json::Value> =
                serde_json::from_slice(text)?;
            let before = kept.len();
            kept.retain(|key, _| !DEALINGS_OF_NOBODY.contains(&key.as_str()));
            if kept.len() == before {
                return Err(error);
            }
            serde_json::from_value(kept.into())
        })
    }
}

/// One number of a person, with what is known of the number itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyNumber {
    /// The number.
    pub number: Phone,
    /// What kind of line it is.
    pub line_type: LineType,
    /// Look-ups in registers.
    pub registers: Vec<RegisterCheck>,
    /// Query to the Reassigned Numbers Database.
    pub reassigned_check: Option<ReassignedCheck>,
}

impl PartyNumber {
    /// This, told after what was known of the same number: of each register the latest version of its list stands, and the
    /// latest query. Of the same date, what is told last is a correction. Who tells of an older list, or of none, does not
    /// take back what a newer one said.
    #[must_use]
    pub fn told_after(
        mut self,
        known: Vec<RegisterCheck>,
        known_check: Option<ReassignedCheck>,
    ) -> Self {
        let mut stands = known;
        for told in std::mem::take(&mut self.registers) {
            let same = |each: &RegisterCheck| each.register == told.register;
            if stands
                .iter()
                .any(|each| same(each) && each.as_of > told.as_of)
            {
                continue;
            }
            stands.retain(|each| !same(each));
            stands.push(told);
        }
        self.registers = stands;
        self.reassigned_check = match (self.reassigned_check, known_check) {
            (Some(told), Some(known)) if known.queried_on > told.queried_on => Some(known),
            (told, known) => told.or(known),
        };
        self
    }
}

/// A person as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Identifier.
    pub party_id: PartyId,
    /// What is known of the person.
    pub profile: Profile,
    /// Their numbers.
    pub numbers: Vec<PartyNumber>,
    /// Changes with every write; a writer may name the one it read.
    pub etag: String,
    /// When the person was first recorded.
    pub create_time: Micros,
    /// When the record last changed.
    pub update_time: Micros,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before dealings were kept by seller they stood beside the audience. Whose they are cannot be told, so they are
    /// nobody's: such a record can be read and written, and nobody is called on the strength of them.
    #[test]
    fn dealings_of_no_seller_are_dropped() {
        let read = |text: &str| Profile::from_json(text.as_bytes());
        let facts = [
            r#""relationship":{"last_transaction":"2026-04-19"}"#,
            r#""legitimate_interest":{"assessment_on_file":true}"#,
            r#""presumed_consent":{"evidence":"e"}"#,
            r#""notice":{"version":"n-1"}"#,
            r#""callback":{"requested_at":"2026-04-19T12:00:00Z"}"#,
            r#""personal_relationship":true"#,
        ];
        let known = read(r#"{"audience":"consumer","minor":false}"#).unwrap();
        let all = facts.join(",");
        for fact in facts.into_iter().chain([all.as_str()]) {
            let old = format!(r#"{{"audience":"consumer",{fact},"minor":false}}"#);
            assert_eq!(read(&old).unwrap(), known, "{old}");
            let new = format!(r#"{{"audience":"consumer","dealings":{{"acme":{{{fact}}}}}}}"#);
            let profile = read(&new).unwrap();
            assert!(!profile.dealings.get("acme").unwrap().is_empty(), "{new}");
            assert_eq!(serde_json::to_string(&profile).unwrap(), new);
            let unknown = format!(r#"{{{fact},"shoe_size":41}}"#);
            assert!(read(&unknown).is_err(), "{unknown}");
        }
        assert!(read(r#"{"shoe_size":41}"#).is_err());
        assert!(read(r#"{"notice":"n-1"}"#).unwrap().dealings.is_empty());
        assert!(read(r#"{"dealings":{"acme":{"shoe_size":41}}}"#).is_err());
    }
}
