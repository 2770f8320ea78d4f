//! How a person is shown: every fact on record that a rule may ask for, and nothing that is not there.

use super::output::{self, Paint};
use super::wire::{self, word};
use crate::grpc::client::Timestamp;
use crate::grpc::pb::{self, Contact, ContactNumber};

/// What is recorded of a person, a line a fact; what is not recorded is not shown.
#[must_use]
pub fn text(contact: &Contact, paint: Paint) -> String {
    let mut rows: Vec<(&str, String)> = vec![
        ("name", contact.display_name.clone()),
        ("account", contact.account.clone()),
        ("language", contact.language_tag.clone()),
        ("audience", word!(Audience, contact.audience)),
    ];
    if let Some(location) = &contact.location {
        let parts = [
            &location.country,
            &location.region,
            &location.postal_code,
            &location.timezone,
        ];
        rows.push(("location", joined(parts.into_iter().cloned())));
    }
    if let Some(restriction) = &contact.restriction {
        rows.push((
            "restricted since",
            wire::seconds(restriction.start_time.as_ref()),
        ));
    }
    if let Some(directory) = &contact.directory {
        let listed = if directory.listed {
            "listed"
        } else {
            "not listed"
        };
        let marketing = if directory.marketing_opt_in {
            "marketing allowed"
        } else {
            "no marketing mark"
        };
        rows.push(("directory", format!("{listed}, {marketing}")));
    }
    rows.push(("minor", yes_no(contact.minor)));
    for dealings in &contact.dealings {
        rows.extend(dealings_rows(dealings));
    }
    for number in &contact.numbers {
        rows.push(("number", number_text(number)));
    }
    rows.push(("changed", wire::seconds(contact.update_time.as_ref())));
    let cells = rows
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| vec![format!("  {name}"), text]);
    let heading = paint.strong(&format!("person {}", output::plain(&contact.party_id)));
    format!("{heading}\n{}", output::table(&[], cells))
}

/// The dealings with one seller, a line a fact, under a line with the seller's name.
fn dealings_rows(dealings: &pb::Dealings) -> Vec<(&'static str, String)> {
    let mut rows = vec![("dealings with", dealings.seller.clone())];
    if let Some(relationship) = &dealings.relationship {
        rows.push(("- relationship", relationship_text(relationship)));
    }
    if let Some(assessment) = &dealings.legitimate_interest {
        let state = if assessment.assessment_on_file {
            "on file"
        } else {
            "not on file"
        };
        rows.push((
            "- assessment",
            joined([state.to_owned(), assessment.reference.clone()]),
        ));
    }
    if let Some(presumed) = &dealings.presumed_consent {
        rows.push(("- presumed consent", presumed.evidence.clone()));
    }
    if let Some(notice) = &dealings.notice {
        rows.push(("- notice", notice.version.clone()));
    }
    if let Some(callback) = &dealings.callback {
        rows.push(("- callback", callback_text(callback)));
    }
    rows.push(("- known to agent", yes_no(dealings.personal_relationship)));
    rows
}

fn number_text(number: &ContactNumber) -> String {
    let mut parts = vec![number.number.clone(), word!(LineType, number.line_type)];
    for check in &number.registers {
        let answer = match check.listed {
            Some(true) => "listed",
            Some(false) => "clear",
            None => "unknown",
        };
        let as_of = wire::date_text(check.as_of_date.as_ref());
        parts.push(format!("{}={answer}@{as_of}", check.register));
    }
    if let Some(check) = &number.reassigned_check {
        let asked = wire::date_text(check.query_date.as_ref());
        parts.push(format!(
            "reassigned={}@{asked}",
            word!(ReassignedAnswer, check.answer)
        ));
    }
    joined(parts)
}

fn relationship_text(relationship: &pb::Relationship) -> String {
    let flag = |name: &str, flag: Option<bool>| {
        flag.map(|is| format!("{name} {}", yes_no(Some(is))))
            .unwrap_or_default()
    };
    let day = |name: &str, date: Option<&pb::Date>| {
        date.map(|_| format!("{name} {}", wire::date_text(date)))
            .unwrap_or_default()
    };
    let ended = wire::seconds(relationship.end_time.as_ref());
    joined([
        day(
            "last transaction",
            relationship.last_transaction_date.as_ref(),
        ),
        day("last inquiry", relationship.last_inquiry_date.as_ref()),
        flag("contract in force", relationship.contract_in_force),
        day("contract ended", relationship.contract_end_date.as_ref()),
        flag("offer related", relationship.offer_related),
        flag("member", relationship.member),
        if ended.is_empty() {
            ended
        } else {
            format!("ended {ended}")
        },
    ])
}

fn callback_text(callback: &pb::Callback) -> String {
    let part = |lead: &str, at: Option<&Timestamp>| {
        at.map(|_| format!("{lead} {}", wire::seconds(at)))
            .unwrap_or_default()
    };
    joined([
        part("asked", callback.request_time.as_ref()),
        part("not before", callback.not_before_time.as_ref()),
        part("not after", callback.not_after_time.as_ref()),
    ])
}

fn yes_no(flag: Option<bool>) -> String {
    match flag {
        Some(true) => "yes".to_owned(),
        Some(false) => "no".to_owned(),
        None => String::new(),
    }
}

fn joined(parts: impl IntoIterator<Item = String>) -> String {
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::grpc::client::json;

    fn known() -> Contact {
        let object = json!({
            "party_id": "0190d5a5-0000-7000-8000-000000000001",
            "etag": "one",
            "audience": "consumer",
            "location": { "country": "US", "region": "US-FL", "postal_code": "33101" },
            "numbers": [
                { "number": "+14045550140" },
                { "number": "+14045550141", "line_type": "mobile",
                  "registers": [{ "register": "us-dnc", "listed": true, "as_of_date": "2026-01-01" }] },
            ],
        });
        json::message("Contact", object).unwrap().0
    }

    #[test]
    fn a_person_is_shown_with_numbers_and_checks() {
        let text = text(&known(), Paint::Plain);
        for part in [
            "person 0190d5a5-0000-7000-8000-000000000001",
            "US, US-FL, 33101",
            "+14045550141, mobile, us-dnc=listed@2026-01-01",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(
            !text.contains("directory") && !text.contains("dealings"),
            "what is not recorded is not shown"
        );
    }

    #[test]
    fn dealings_are_shown_under_their_seller() {
        let object = json!({ "dealings": [
            { "seller": "acme", "notice": { "version": "n-1" } },
            { "seller": "beta", "relationship": { "last_transaction_date": "2026-01-31" }, "personal_relationship": true },
        ] });
        let contact = json::message::<Contact>("Contact", object).unwrap().0;
        let shown = text(&contact, Paint::Plain);
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(
            words.join(" "),
            "person dealings with acme - notice n-1 dealings with beta - relationship last transaction 2026-01-31 \
             - known to agent yes"
        );
    }
}
