//! The case object: everything one decision looks at, as plain data. `dialgate policy eval` reads it, the store seals it
//! beside each decision, and a replay gets the very same object. Unknown keys are an error; a missing fact denies by the
//! rule that needs it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::stated::{read_country, read_location};
use crate::domain::call::{CallKind, Introduction, Purpose, SellerType, Voice};
use crate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy};
use crate::domain::decision::{Judgement, RuleOutcome, RuleResult, Verdict};
use crate::domain::disposition::AttemptResult;
use crate::domain::object::objects_only;
use crate::domain::party::{
    Audience, Callback, Directory, LegitimateInterest, LineType, Location, Notice, PresumedConsent,
    ReassignedCheck, RegisterCheck, Relationship, Restriction,
};
use crate::domain::phone::Phone;
use crate::domain::provider::{ProviderKind, ScrubOutcome};
use crate::domain::suppression::UntilLifted;
use crate::domain::time::{self, Micros};

objects_only!(
    Case,
    CallFacts,
    Facts,
    OptOut,
    Consent,
    Attempt,
    CallerIdFacts,
    RegistrationFact,
    ProviderAnswer,
    Expect,
);

/// One decision's input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Case {
    /// Name of the case.
    pub id: String,
    /// What is to be done.
    pub call: CallFacts,
    /// What is known.
    pub facts: Facts,
    /// For test vectors: what should come out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expect>,
    /// For readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For readers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// The call that is judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct CallFacts {
    /// The instant judged.
    pub at: Micros,
    /// The called number as it was given: the floor of `place` judges its form, so that a bad one is a denial here.
    pub to: String,
    /// The number shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Phone>,
    /// Who dials and who speaks.
    pub call_kind: CallKind,
    /// Why; absent = sales.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<Purpose>,
    /// What the call is about; caps may count by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// On whose behalf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Sector tag as in rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sector: Option<String>,
    /// ISO country of the controller's establishment.
    #[serde(
        default,
        deserialize_with = "read_country",
        skip_serializing_if = "Option::is_none"
    )]
    pub controller_country: Option<String>,
    /// Absent = for profit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller_type: Option<SellerType>,
    /// The number shown is withheld.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id_withheld: Option<bool>,
    /// Placed by an automatic telephone dialing system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub atds: Option<bool>,
    /// Special categories of data are treated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_category: Option<bool>,
    /// A new product is offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_product: Option<bool>,
    /// How the call introduces itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introduction: Option<Introduction>,
    /// What voice talks (information).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<Voice>,
}

/// What is known of the person, the number, the seller and the past.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Facts {
    /// In what capacity they are called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<Audience>,
    /// What line it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line_type: Option<LineType>,
    /// Where the person is.
    #[serde(
        default,
        deserialize_with = "read_location",
        skip_serializing_if = "Option::is_none"
    )]
    pub location: Option<Location>,
    /// Unlifted opt-outs.
    #[serde(default)]
    pub opt_outs: Vec<OptOut>,
    /// Acts of consent.
    #[serde(default)]
    pub consents: Vec<Consent>,
    /// Look-ups in registers.
    #[serde(default)]
    pub registers: Vec<RegisterCheck>,
    /// Dealings with the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relationship: Option<Relationship>,
    /// Earlier attempts to this person by this seller.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Assessment of legitimate interest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub legitimate_interest: Option<LegitimateInterest>,
    /// Presumed consent of a business.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presumed_consent: Option<PresumedConsent>,
    /// Privacy notice given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notice: Option<Notice>,
    /// Restriction of processing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restriction: Option<Restriction>,
    /// Promised callback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<Callback>,
    /// Directory entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Directory>,
    /// About the number shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<CallerIdFacts>,
    /// Registrations and permits of the seller.
    #[serde(default)]
    pub registrations: Vec<RegistrationFact>,
    /// Query to the Reassigned Numbers Database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reassigned_check: Option<ReassignedCheck>,
    /// What providers said of the number when they were asked online: where the facts about it come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provider_answers: Vec<ProviderAnswer>,
    /// Known to be under 18.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minor: Option<bool>,
    /// The agent knows the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub personal_relationship: Option<bool>,
    /// Regions under an operator stop, as the rows of kind `prohibited_day` ask for them.
    #[serde(default)]
    pub emergency_regions: Vec<String>,
    /// Regions that the operator stopped for everybody, whatever rows there are: what the gate writes into its own cases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped_regions: Vec<String>,
}

/// One unlifted opt-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct OptOut {
    /// When it was expressed.
    pub at: Micros,
    /// What it was.
    pub kind: OptOutKind,
    /// Whom it binds; absent = the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<OptOutScope>,
    /// Which seller; absent = this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seller: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why no consent opens the line again, whatever the law says of consent; absent = the law decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_lifted: Option<UntilLifted>,
}

/// What an opt-out was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptOutKind {
    /// "Do not call me."
    DoNotCall,
    /// Objection to direct marketing.
    Objection,
}

/// Whom an opt-out binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OptOutScope {
    /// One seller.
    Seller,
    /// Every seller.
    All,
}

/// One act of consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Consent {
    /// Given or withdrawn.
    pub action: ConsentAction,
    /// When.
    pub at: Micros,
    /// Kinds of call it covers; absent = all.
    #[serde(
        default,
        deserialize_with = "read_channels",
        skip_serializing_if = "Option::is_none"
    )]
    pub channels: Option<Vec<CallKind>>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How it was expressed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<ConsentForm>,
    /// Expressly given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explicit: Option<bool>,
    /// A record exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub documented: Option<bool>,
    /// Names calls outside the hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_hours: Option<bool>,
    /// `indefinite`, `unspecified`, or an end date.
    #[serde(
        default,
        deserialize_with = "read_period",
        skip_serializing_if = "Option::is_none"
    )]
    pub period: Option<String>,
    /// Who started the exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initiated_by: Option<InitiatedBy>,
    /// What proves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_ref: Option<String>,
}

/// An empty list could mean all kinds or none; whoever writes one is asked which.
fn read_channels<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<CallKind>>, D::Error> {
    let channels = Option::<Vec<CallKind>>::deserialize(deserializer)?;
    match channels.as_deref() {
        Some([]) => Err(D::Error::custom(
            "is empty; leave it out for all kinds of call",
        )),
        _ => Ok(channels),
    }
}

fn read_period<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let period = Option::<String>::deserialize(deserializer)?;
    match period.as_deref() {
        None | Some("indefinite" | "unspecified") => Ok(period),
        Some(day) if time::date(day).is_some() => Ok(period),
        Some(other) => Err(D::Error::custom(format!(
            "unknown period `{other}`, expected indefinite, unspecified or its last day as in 2027-12-31"
        ))),
    }
}

/// One earlier attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Attempt {
    /// When.
    pub at: Micros,
    /// To which number; absent = the one judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Phone>,
    /// Showing which number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Phone>,
    /// What it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// How it counts.
    pub outcome: AttemptResult,
}

/// About the number shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct CallerIdFacts {
    /// The seller's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owned: Option<bool>,
    /// Calling it back reaches the seller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callable: Option<bool>,
    /// In the public directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_directory: Option<bool>,
}

/// A registration or permit of the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct RegistrationFact {
    /// Id as the rules name it.
    pub id: String,
    /// Number given by the authority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// Last day on which it holds.
    #[serde(
        default,
        deserialize_with = "time::read_optional_date",
        skip_serializing_if = "Option::is_none"
    )]
    pub valid_to: Option<jiff::civil::Date>,
}

/// What one provider said of the number: the answer itself stands among the facts that it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct ProviderAnswer {
    /// Name of the provider.
    pub provider: String,
    /// What it was asked.
    pub kind: ProviderKind,
    /// What came of it.
    pub result: ScrubOutcome,
    /// Its own word for that.
    pub raw_code: String,
    /// When it answered.
    pub answered_at: Micros,
    /// The register as which the answer is filed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<String>,
}

/// What a test vector expects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Expect {
    /// The verdict.
    pub verdict: Verdict,
    /// On deny: exactly the rules with outcome fail or void. On allow: rules each of which must pass or be lifted.
    pub rules: Vec<String>,
}

impl Expect {
    /// Whether the judgement's rules are those expected, whatever its verdict.
    #[must_use]
    pub fn rules_agree_with(&self, judgement: &Judgement) -> bool {
        let wanted = |rule: &RuleResult| self.rules.iter().any(|id| rule.rule == *id);
        let having = |outcomes: [RuleOutcome; 2]| {
            let rules = judgement.rules.iter();
            rules.filter(move |rule| outcomes.contains(&rule.outcome))
        };
        match self.verdict {
            Verdict::Deny => {
                let denying = || having([RuleOutcome::Fail, RuleOutcome::Void]);
                let found = |id: &String| denying().any(|rule| rule.rule == *id);
                denying().all(wanted) && self.rules.iter().all(found)
            }
            Verdict::Allow => {
                let met = |id: &String| {
                    having([RuleOutcome::Pass, RuleOutcome::Lifted]).any(|rule| rule.rule == *id)
                };
                self.rules.iter().all(met)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::party::ReassignedAnswer;
    use crate::policy::testing::pack;

    fn now() -> Micros {
        time::instant("2026-05-19T15:00:00Z").unwrap().into()
    }

    fn day() -> jiff::civil::Date {
        time::date("2026-05-10").unwrap()
    }

    fn phone() -> Phone {
        Phone::parse("+14045550141").unwrap()
    }

    fn text() -> Option<String> {
        Some("a".to_owned())
    }

    /// A case with everything in it that there is. Written out, so that a new field is not forgotten.
    fn full() -> Case {
        Case {
            id: "a".to_owned(),
            call: call(),
            facts: facts(),
            expect: Some(Expect {
                verdict: Verdict::Deny,
                rules: vec!["a".to_owned()],
            }),
            why: text(),
            tags: vec!["a".to_owned()],
        }
    }

    fn call() -> CallFacts {
        CallFacts {
            at: now(),
            to: "+14045550141".to_owned(),
            from: Some(phone()),
            call_kind: CallKind::LiveManual,
            purpose: Some(Purpose::Sales),
            subject: text(),
            seller: text(),
            sector: text(),
            controller_country: Some("US".to_owned()),
            seller_type: Some(SellerType::ForProfit),
            caller_id_withheld: Some(false),
            atds: Some(false),
            special_category: Some(false),
            new_product: Some(false),
            introduction: Some(Introduction::Live),
            voice: Some(Voice::Human),
        }
    }

    fn location() -> Location {
        Location {
            country: Some("US".to_owned()),
            region: Some("US-GA".to_owned()),
            postal_code: Some("30303".to_owned()),
            timezone: Some("America/New_York".to_owned()),
        }
    }

    fn opt_out() -> OptOut {
        OptOut {
            at: now(),
            kind: OptOutKind::Objection,
            scope: Some(OptOutScope::Seller),
            seller: text(),
            source: text(),
            until_lifted: Some(UntilLifted::Court),
        }
    }

    fn consent() -> Consent {
        Consent {
            action: ConsentAction::Given,
            at: now(),
            channels: Some(vec![CallKind::LiveManual]),
            source: text(),
            form: Some(ConsentForm::Written),
            explicit: Some(true),
            documented: Some(true),
            out_of_hours: Some(true),
            period: Some("indefinite".to_owned()),
            initiated_by: Some(InitiatedBy::Person),
            evidence_ref: text(),
        }
    }

    fn register() -> RegisterCheck {
        RegisterCheck {
            register: "us-dnc".to_owned(),
            listed: Some(false),
            as_of: day(),
            listed_since: Some(day()),
            snapshot: text(),
        }
    }

    fn provider_answer() -> ProviderAnswer {
        ProviderAnswer {
            provider: "a".to_owned(),
            kind: ProviderKind::Reassigned,
            result: ScrubOutcome::Clear,
            raw_code: "a".to_owned(),
            answered_at: now(),
            register: text(),
        }
    }

    fn relationship() -> Relationship {
        Relationship {
            last_transaction: Some(day()),
            last_inquiry: Some(day()),
            contract_in_force: Some(true),
            contract_ended_on: Some(day()),
            offer_related: Some(true),
            member: Some(true),
            ended_at: Some(now()),
        }
    }

    fn attempt() -> Attempt {
        Attempt {
            at: now(),
            to: Some(phone()),
            from: Some(phone()),
            subject: text(),
            outcome: AttemptResult::Answered,
        }
    }

    fn facts() -> Facts {
        Facts {
            audience: Some(Audience::Consumer),
            line_type: Some(LineType::Landline),
            location: Some(location()),
            opt_outs: vec![opt_out()],
            consents: vec![consent()],
            registers: vec![register()],
            relationship: Some(relationship()),
            attempts: vec![attempt()],
            legitimate_interest: Some(LegitimateInterest {
                assessment_on_file: true,
                reference: text(),
            }),
            presumed_consent: Some(PresumedConsent {
                evidence: "a".to_owned(),
            }),
            notice: Some(Notice {
                version: "a".to_owned(),
            }),
            restriction: Some(Restriction { since: now() }),
            callback: Some(Callback {
                requested_at: now(),
                not_before: Some(now()),
                not_after: Some(now()),
            }),
            directory: Some(Directory {
                listed: true,
                marketing_opt_in: true,
            }),
            caller_id: Some(CallerIdFacts {
                owned: Some(true),
                callable: Some(true),
                in_directory: Some(true),
            }),
            registrations: vec![RegistrationFact {
                id: "a".to_owned(),
                number: text(),
                valid_to: Some(day()),
            }],
            reassigned_check: Some(ReassignedCheck {
                queried_on: day(),
                for_date: day(),
                answer: ReassignedAnswer::No,
            }),
            provider_answers: vec![provider_answer()],
            minor: Some(false),
            personal_relationship: Some(false),
            emergency_regions: vec!["US-LA".to_owned()],
            stopped_regions: vec!["US-LA".to_owned()],
        }
    }

    /// Every object within, as a JSON pointer; the value itself is one.
    fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(entries) => {
                found.push(at.to_owned());
                for (key, value) in entries {
                    objects(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(list) => {
                for (index, value) in list.iter().enumerate() {
                    objects(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }

    /// An array of an object's values would be read in the order of the fields, an empty one as nothing known.
    #[test]
    fn an_array_is_never_taken_for_an_object() {
        let sound = serde_json::to_value(full()).unwrap();
        let read = |value: &Value| Case::read(value.to_string().as_bytes(), pack());
        assert_eq!(read(&sound), Ok(full()));
        let mut found = Vec::new();
        objects(&sound, "", &mut found);
        assert_eq!(found.len(), 20, "{found:?}");
        for pointer in found {
            let place = match pointer.get(1..) {
                Some(path) => path.replace("/0", "[0]").replace('/', "."),
                None => "not a case".to_owned(),
            };
            for empty in [false, true] {
                let mut array = sound.clone();
                let part = array.pointer_mut(&pointer).unwrap();
                let values: Vec<Value> = part.as_object().unwrap().values().cloned().collect();
                *part = if empty { json!([]) } else { json!(values) };
                let faults = read(&array).unwrap_err();
                let told = faults
                    .iter()
                    .any(|fault| fault.starts_with(&format!("{place}: ")));
                assert!(told, "{pointer}: {faults:?}");
                // Those who read a case without telling its faults refuse it, too.
                assert!(serde_json::from_value::<Case>(array).is_err(), "{pointer}");
            }
        }
    }
}
