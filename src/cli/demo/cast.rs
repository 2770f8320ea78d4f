//! Who is called in the demo: people in places on several sides of the world, on numbers that are reserved for fiction or
//! lead nowhere, so that somewhere a calling window is open at every hour of every day.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use crate::cli::wire;
use crate::grpc::pb;

/// The seller of the demo's campaign.
pub(super) const SELLER: &str = "demo-seller";

/// The number that the demo shows.
pub(super) const CALLER_ID: &str = "+12125550100";

/// Countries of the cast.
pub(super) const DESTINATIONS: &[&str] = &["US", "PR", "GU", "GB", "AU", "DE"];

/// Where people of the cast live.
#[derive(Debug)]
pub(super) struct Place {
    /// The place as a person says it.
    pub name: &'static str,
    /// All but the last two digits of its people's numbers.
    prefix: &'static str,
    country: &'static str,
    /// The registers that its law asks for.
    registers: &'static [&'static str],
    /// What else its law asks for.
    pub ground: Ground,
}

/// What permits the call where a register is not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// Nothing more.
    Register,
    /// An assessment of legitimate interest on file.
    Assessment,
    /// A written consent that names calls at any hour.
    ConsentAtAnyHour,
}

/// In the order of preference; the last one can be called at any hour of any day, for its people agreed to that.
pub(super) const PLACES: &[Place] = &[
    american("Atlanta, Georgia", "+140455501"),
    american("Phoenix, Arizona", "+160255501"),
    american("Honolulu, Hawaii", "+180855501"),
    Place {
        country: "GU",
        ..american("Hagåtña, Guam", "+167155501")
    },
    Place {
        country: "PR",
        ..american("San Juan, Puerto Rico", "+178755501")
    },
    Place {
        name: "London, by legitimate interest",
        prefix: "+4420794601",
        country: "GB",
        registers: &["gb-tps"],
        ground: Ground::Assessment,
    },
    Place {
        name: "Sydney, by a consent that names every hour",
        prefix: "+612555012",
        country: "AU",
        registers: &["au-dncr"],
        ground: Ground::ConsentAtAnyHour,
    },
];

/// The places where it may be too early or too late.
pub(super) fn sleepers() -> impl Iterator<Item = &'static Place> {
    PLACES
        .iter()
        .filter(|place| place.ground != Ground::ConsentAtAnyHour)
}

/// A consumer in Germany of whom nothing else is known.
pub(super) const BERLIN: Place = Place {
    name: "Berlin",
    prefix: "+4930231252",
    country: "DE",
    registers: &[],
    ground: Ground::Register,
};

const fn american(name: &'static str, prefix: &'static str) -> Place {
    Place {
        name,
        prefix,
        country: "US",
        registers: &["us-dnc"],
        ground: Ground::Register,
    }
}

/// What a person of the cast does, told by the last two digits of the number, so that the simulated carrier knows too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Scout = 40,
    Answers = 41,
    Busy = 42,
    Declines = 43,
    LetsItRing = 44,
    OptsOutWhileRinging = 45,
    OptedOut = 46,
    StaleRegister = 47,
    Asleep = 48,
    NeverAgreed = 49,
}

impl Place {
    /// The number of the person who plays this part here.
    pub fn number(&self, part: Part) -> String {
        format!("{}{}", self.prefix, part as u8)
    }

    /// What an administrator records of that person. `age_days` is the age of the register copies.
    pub fn contact(&self, part: Part, now: Timestamp, age_days: i64) -> pb::Contact {
        let as_of = date(now, age_days);
        let registers = self.registers.iter().map(|register| pb::RegisterCheck {
            register: (*register).to_owned(),
            listed: Some(false),
            as_of_date: Some(as_of),
            listed_since_date: None,
        });
        pb::Contact {
            audience: pb::Audience::Consumer.into(),
            location: Some(pb::Location {
                country: self.country.to_owned(),
                ..pb::Location::default()
            }),
            dealings: vec![pb::Dealings {
                seller: SELLER.to_owned(),
                legitimate_interest: (self.ground == Ground::Assessment).then(|| {
                    pb::LegitimateInterest {
                        assessment_on_file: true,
                        reference: "LIA-1".to_owned(),
                    }
                }),
                notice: Some(pb::Notice {
                    version: "n-1".to_owned(),
                }),
                ..pb::Dealings::default()
            }],
            numbers: vec![pb::ContactNumber {
                number: self.number(part),
                line_type: pb::LineType::Landline.into(),
                registers: registers.collect(),
                reassigned_check: None,
            }],
            ..pb::Contact::default()
        }
    }

    /// The consent of that person, where the place needs one.
    pub fn consent(&self, part: Part, now: Timestamp) -> Option<pb::RecordConsentRequest> {
        (self.ground == Ground::ConsentAtAnyHour).then(|| pb::RecordConsentRequest {
            request_id: uuid::Uuid::new_v4().to_string(),
            number: self.number(part),
            seller: SELLER.to_owned(),
            event_time: Some(wire::to_wire(now.saturating_sub(24.hours()).unwrap_or(now))),
            form: pb::ConsentForm::Written.into(),
            explicit: Some(true),
            documented: Some(true),
            out_of_hours: Some(true),
            period: "indefinite".to_owned(),
            evidence_ref: "form 17".to_owned(),
            ..pb::RecordConsentRequest::default()
        })
    }
}

/// The date some days ago, in UTC.
fn date(now: Timestamp, days_ago: i64) -> pb::Date {
    let today: Date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    wire::date_to_wire(today.saturating_sub(days_ago.days()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::Verdict;
    use crate::policy::facts::Case;
    use crate::policy::{Pack, judge};

    /// What the server knows of the person once the demo has recorded them.
    fn case(place: &Place, part: Part, at: Timestamp) -> Case {
        let registers: Vec<_> = place
            .registers
            .iter()
            .map(|id| serde_json::json!({ "register": id, "listed": false, "as_of": at.strftime("%F").to_string() }))
            .collect();
        let agreed = serde_json::json!([{
            "action": "given", "at": at.saturating_sub(24.hours()).unwrap(), "form": "written", "explicit": true,
            "documented": true, "out_of_hours": true, "period": "indefinite",
        }]);
        let case = serde_json::json!({
            "id": place.name,
            "call": {
                "at": at, "to": place.number(part), "from": CALLER_ID, "call_kind": "live_manual", "purpose": "sales",
                "seller": SELLER,
            },
            "facts": {
                "audience": "consumer", "line_type": "landline", "location": { "country": place.country },
                "registers": registers,
                "consents": if place.ground == Ground::ConsentAtAnyHour { agreed } else { serde_json::json!([]) },
                "legitimate_interest": { "assessment_on_file": place.ground == Ground::Assessment },
                "notice": { "version": "n-1" },
                "caller_id": { "owned": true, "callable": true },
            },
        });
        serde_json::from_value(case).unwrap()
    }

    /// The demo works at any hour of any day: somebody can be called, and somewhere it is too early or too late.
    #[test]
    fn at_every_hour_of_a_year_somebody_can_be_called_and_somebody_cannot() {
        let pack = Pack::embedded().unwrap();
        let first: Timestamp = "2027-01-01T00:30:00Z".parse().unwrap();
        let allows = |place: &Place, at| {
            judge(&pack, &case(place, Part::Answers, at)).verdict == Verdict::Allow
        };
        // Every seventh hour: each hour of the day meets each day of the week and each season.
        for hour in (0..8760).step_by(7) {
            let at = first.checked_add(hour.hours()).unwrap();
            assert!(
                PLACES.iter().any(|place| allows(place, at)),
                "nobody at {at}"
            );
            assert!(
                sleepers().any(|place| !allows(place, at)),
                "everybody at {at}"
            );
        }
        let berlin = judge(&pack, &case(&BERLIN, Part::NeverAgreed, first));
        assert!(
            berlin
                .denied_by
                .iter()
                .any(|rule| rule == "DE-basis-consumer")
        );
    }
}
