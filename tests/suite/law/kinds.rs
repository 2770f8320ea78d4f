//! What one row says in one zone: a function a kind, in the words of the README's table.

use jiff::ToSpan;
use jiff::civil::{Date, Time};
use serde_json::Value;

use super::book::Row;
use super::days::{is_holiday, weekday};
use super::fact::Fact;
use super::grounds::{self, days_between, holds, last_opt_out, newest_entry, standing_consent};
use super::verdict::{Outcome, View, rank};

/// What the row says here.
pub fn outcome(view: &View<'_>, row: &Row) -> Outcome {
    if row.is_not("enforced") {
        return Outcome::Info;
    }
    let met = match row.kind.as_str() {
        "opt_out" => return opt_out(view, row),
        "restriction" => return restriction(view, row),
        "ground_validity" => return ground_validity(view, row),
        "calling_window" => return calling_window(view, row),
        "disclosure" if !row.is("requires_notice") => return Outcome::Info,
        "relationship" | "abandonment" | "retention" => return Outcome::Info,
        "lawful_basis" => lawful_basis(view, row),
        "register" => register(view, row),
        "prohibited_day" => !(view.case["facts"].each("emergency_regions").iter())
            .any(|region| region.as_str() == Some(&row.jurisdiction)),
        "frequency_cap" => frequency_cap(view, row),
        "caller_id" => caller_id(view, row),
        "registration" => (view.case["facts"].each("registrations").iter()).any(|held| {
            held.word("id") == row.text("registration")
                && held.day("valid_to").is_none_or(|last| view.date <= last)
        }),
        "disclosure" => view.case["facts"]["notice"].word("version").is_some(),
        other => panic!("no such kind as `{other}`"),
    };
    or_lifted(view, row, met)
}

fn or_lifted(view: &View<'_>, row: &Row, met: bool) -> Outcome {
    if met {
        Outcome::Pass
    } else if lifted(view, row) {
        Outcome::Lifted
    } else {
        Outcome::Fail
    }
}

fn lifted(view: &View<'_>, row: &Row) -> bool {
    let grounds = row.list("lifted_by").unwrap_or_default();
    grounds.iter().any(|ground| holds(view, row, ground))
}

/// Reopened only by a ground given after the last opt-out, and where the row says so only on the person's initiative.
fn opt_out(view: &View<'_>, row: &Row) -> Outcome {
    let Some(last) = last_opt_out(view) else {
        return Outcome::Pass;
    };
    let by_person = row.text("reopened_only_if_initiated_by") == Some("person");
    for ground in row.list("reopened_by").unwrap_or_default() {
        let consent = standing_consent(view);
        let later = consent.is_some_and(|consent| {
            consent.instant("at").unwrap() > last
                && (!by_person || consent.word("initiated_by") == Some("person"))
        });
        if ground.starts_with("consent") && later && holds(view, row, ground) {
            return Outcome::Lifted;
        }
    }
    or_lifted(view, row, false)
}

fn restriction(view: &View<'_>, row: &Row) -> Outcome {
    let facts = &view.case["facts"];
    let met = match row.text("when").unwrap() {
        "restriction_active" => {
            let Some(since) = facts["restriction"].instant("since") else {
                return Outcome::Pass;
            };
            let newer = standing_consent(view)
                .is_some_and(|consent| consent.instant("at").unwrap() > since);
            let reopened = row.list("reopened_by").unwrap_or_default();
            if reopened.contains(&"consent") && newer {
                return Outcome::Lifted;
            }
            false
        }
        "known_minor" => !facts.yes("minor"),
        "no_candidate_zone" => !view.spot.zones.is_empty(),
        "no_rules_for_country" => (view.spot.countries.iter()).all(|country| {
            let country = view.book.law_of(country);
            let groups = view.book.groups_with(country);
            view.book.rows.iter().any(|row| {
                row.jurisdiction == country || groups.contains(&row.jurisdiction.as_str())
            })
        }),
        other => panic!("no such occasion as `{other}`"),
    };
    or_lifted(view, row, met)
}

/// Void where a ground is on file and this row is why it does not count. A consent that is good all the same, or whose
/// own period is over, is not the row's business.
fn ground_validity(view: &View<'_>, row: &Row) -> Outcome {
    let void = if row.text("ground") == Some("consent") {
        let counting = standing_consent(view).is_some();
        let mut in_time = grounds::unrevoked(view);
        let revoked = in_time.len() < grounds::given(view).len();
        in_time.retain(|event| !grounds::is_over(view, event));
        let rejected = in_time
            .iter()
            .any(|event| grounds::rejects(view, row, event));
        let withdrawn = row.is("latest_event_wins") && revoked && in_time.is_empty();
        !counting && (withdrawn || rejected)
    } else {
        let claim = &view.case["facts"]["legitimate_interest"];
        row.is("requires_assessment") && claim.is_object() && !claim.yes("assessment_on_file")
    };
    if void { Outcome::Void } else { Outcome::Pass }
}

fn lawful_basis(view: &View<'_>, row: &Row) -> bool {
    let (any_of, all_of) = (row.list("any_of"), row.list("all_of"));
    any_of.is_none_or(|grounds| grounds.iter().any(|ground| holds(view, row, ground)))
        && all_of.is_none_or(|grounds| grounds.iter().all(|ground| holds(view, row, ground)))
}

fn register(view: &View<'_>, row: &Row) -> bool {
    let Some(entry) = newest_entry(view, row.text("register").unwrap()) else {
        return false;
    };
    let as_of = entry.day("as_of").unwrap();
    if entry["listed"] != Value::Bool(false) {
        return false;
    }
    if (row.number("max_age_days")).is_some_and(|limit| days_between(as_of, view.date) > limit) {
        return false;
    }
    if row.is("same_calendar_month")
        && (as_of.year(), as_of.month()) != (view.date.year(), view.date.month())
    {
        return false;
    }
    if let Some(days) = row.keys.get("refresh_days_of_month") {
        let days: Vec<i64> = days
            .as_array()
            .unwrap()
            .iter()
            .map(|d| d.as_integer().unwrap())
            .collect();
        let mut latest = view.date;
        while !days.contains(&i64::from(latest.day())) {
            latest = latest.yesterday().unwrap();
        }
        return as_of >= latest;
    }
    true
}

/// The hours of the day, and whether the day is closed because of what day it is.
fn calling_window(view: &View<'_>, row: &Row) -> Outcome {
    if row.is("no_own_hours") {
        return Outcome::Info;
    }
    // The product's own rows know no country: a holiday of any called country closes.
    let own = row.jurisdiction.split('-').next().unwrap();
    let mut countries: Vec<&str> = Vec::new();
    for country in &view.spot.countries {
        let law = view.book.law_of(country);
        if rank(view.book, &row.jurisdiction) < 2 || law == own {
            countries.push(law);
        }
    }
    let holiday = |day: Date| {
        row.text("holiday_calendar").is_some_and(|calendar| {
            (countries.iter())
                .any(|country| is_holiday(view.book, calendar, day, country, view.spot))
        })
    };
    let ranges = |value: &toml::Value| -> Vec<String> {
        let all = value.as_array().unwrap().iter();
        all.map(|range| range.as_str().unwrap().to_owned())
            .collect()
    };
    // Every list that speaks of this day must let the call through: a special day opens nothing that its weekday closes.
    let mut lists = Vec::new();
    for (days, value) in row.keys["windows"].as_table().unwrap() {
        if names_weekday(days, view.date) {
            lists.push(ranges(value));
        }
    }
    if holiday(view.date) {
        lists.push(row.keys.get("on_holiday").map(ranges).unwrap_or_default());
    }
    if let Some(eve) = row.keys.get("on_holiday_eve")
        && holiday(view.date.tomorrow().unwrap())
    {
        lists.push(ranges(eve));
    }
    let date = format!("{:02}-{:02}", view.date.month(), view.date.day());
    lists.extend((row.keys.get("date_windows").and_then(|all| all.get(&date))).map(ranges));
    let open = |hours: &Vec<String>| hours.iter().any(|range| within(range, view.time));
    if lists.iter().all(open) {
        return Outcome::Pass;
    }
    let closed = lists.iter().any(Vec::is_empty);
    if row.text("lift_scope") == Some("closed_days") && !closed {
        return Outcome::Fail;
    }
    or_lifted(view, row, false)
}

fn names_weekday(days: &str, date: Date) -> bool {
    let today = date.weekday().to_monday_zero_offset();
    let number = |name: &str| weekday(name).to_monday_zero_offset();
    match days.split_once('-') {
        None => number(days) == today,
        Some((first, last)) => (number(first)..=number(last)).contains(&today),
    }
}

/// Half-open: the first minute may start a call, the last may not.
fn within(range: &str, time: Time) -> bool {
    let seconds = |text: &str| {
        let (hour, minute) = text.split_once(':').unwrap();
        hour.parse::<i64>().unwrap() * 3600 + minute.parse::<i64>().unwrap() * 60
    };
    let (from, to) = range.split_once('-').unwrap();
    let now =
        i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    seconds(from) <= now && now < seconds(to)
}

fn frequency_cap(view: &View<'_>, row: &Row) -> bool {
    let call = &view.case["call"];
    let mut counted = 0;
    for attempt in view.case["facts"].each("attempts") {
        let at = attempt.instant("at").unwrap();
        let other_number = attempt
            .word("to")
            .is_some_and(|to| Some(to) != call.word("to"));
        if row.text("per") == Some("number") && other_number {
            continue;
        }
        // What is not known to be about something else is about the same.
        let other_subject = match (attempt.word("subject"), call.word("subject")) {
            (Some(theirs), Some(ours)) => theirs != ours,
            _ => false,
        };
        if row.is("same_subject") && other_subject {
            continue;
        }
        let outcome = attempt.word("outcome").unwrap();
        if let Some(after) = row.text("after") {
            let full_days = days_between(view.date_of(at), view.date) - 1;
            let rested = row
                .number("cooloff_days")
                .is_some_and(|days| full_days >= days);
            if outcome == after && !rested {
                counted += 1;
            }
            continue;
        }
        if row.text("counts") == Some("completed") && outcome == "no_answer" {
            continue;
        }
        let recent = match (row.number("period_hours"), row.number("period_days")) {
            (Some(hours), _) => at > view.now - hours.hours(),
            (None, Some(days)) => days_between(view.date_of(at), view.date) < days,
            (None, None) => true,
        };
        if recent {
            counted += 1;
        }
    }
    match row.text("after") {
        Some(_) => counted == 0,
        None => counted < row.number("max_attempts").unwrap(),
    }
}

fn caller_id(view: &View<'_>, row: &Row) -> bool {
    let (call, known) = (&view.case["call"], &view.case["facts"]["caller_id"]);
    if row.is_not("withheld_allowed") && call.yes("caller_id_withheld") {
        return false;
    }
    for (key, fact) in [
        ("must_be_own_number", "owned"),
        ("must_be_callable", "callable"),
        ("must_be_in_directory", "in_directory"),
    ] {
        if row.is(key) && !known.yes(fact) {
            return false;
        }
    }
    let begins = |prefixes: &[&str]| {
        let from = call.word("from")?;
        Some(prefixes.iter().any(|prefix| from.starts_with(prefix)))
    };
    if let Some(forbidden) = row.list("forbidden_prefixes")
        && begins(&forbidden) != Some(false)
    {
        return false;
    }
    if let Some(required) = row.list("required_prefixes")
        && begins(&required) != Some(true)
    {
        return false;
    }
    true
}
