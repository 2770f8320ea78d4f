//! Every area code of the numbering plan on the days around both changes of the clocks: no allow outside the window of any
//! zone that the number may be in, at the seconds at which windows open and close. `tests/python/hours.py` asks about every
//! minute, with zone data of its own.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::agreement::{SHIPPED, on_all_cores};
use super::place::Spot;
use super::verdict::judge_at;

/// The Sundays on which clocks change.
const CHANGES: [&str; 4] = ["2026-03-08", "2026-11-01", "2027-03-14", "2027-11-07"];

/// A number of the area code, with every fact in order that is not about the clock.
fn case(code: &str, at: Timestamp) -> Value {
    let as_of = at.to_zoned(TimeZone::UTC).date().yesterday().unwrap();
    let registers: Vec<Value> = SHIPPED
        .pack
        .registers()
        .map(|id| json!({ "register": id, "listed": false, "as_of": as_of.to_string() }))
        .collect();
    json!({
        "id": format!("{code} {at}"),
        "call": { "at": at.to_string(), "to": format!("+1{code}5550142"), "from": "+14045550100",
            "call_kind": "live_manual", "seller_type": "nonprofit" },
        "facts": {
            "audience": "consumer", "line_type": "landline", "registers": registers,
            "consents": [{ "action": "given", "at": (at - 48.hours()).to_string(), "form": "written", "explicit": true,
                "documented": true, "period": "indefinite", "initiated_by": "person" }],
            "caller_id": { "owned": true, "callable": true, "in_directory": true },
            "notice": { "version": "n" }, "registrations": [{ "id": "ca-dncl" }],
        },
    })
}

/// The federal hours of both countries, written out: the floor under whatever the rows say.
fn is_within_federal_hours(spot: &Spot, at: Timestamp) -> bool {
    let hours = |from: (i8, i8), to: (i8, i8)| {
        (
            Time::constant(from.0, from.1, 0, 0),
            Time::constant(to.0, to.1, 0, 0),
        )
    };
    spot.zones.iter().all(|zone| {
        let local = at.to_zoned(TimeZone::get(zone).unwrap());
        let weekend = local.date().weekday().to_monday_zero_offset() > 4;
        let mut windows = Vec::new();
        for country in &spot.countries {
            windows.push(match country.as_str() {
                "CA" if weekend => hours((10, 0), (18, 0)),
                "CA" => hours((9, 0), (21, 30)),
                _ => hours((8, 0), (21, 0)),
            });
        }
        windows
            .iter()
            .all(|(from, to)| *from <= local.time() && local.time() < *to)
    })
}

/// The instants to try on this local day and in these zones.
fn instants(spot: &Spot, day: Date) -> BTreeSet<Timestamp> {
    let mut found = BTreeSet::new();
    for zone in &spot.zones {
        let zone = TimeZone::get(zone).unwrap();
        for hour in [8, 9, 20, 21] {
            let opening = day.at(hour, 0, 0, 0).to_zoned(zone.clone()).unwrap();
            found.extend([0, -1].map(|second: i64| opening.timestamp() + second.seconds()));
        }
        for minute in [119, 121] {
            found.insert(
                day.to_zoned(zone.clone()).unwrap().timestamp() + i64::from(minute).minutes(),
            );
        }
    }
    found
}

/// What is wrong with the engine's answer about this number now, if anything.
fn fault(code: &str, spot: &Spot, at: Timestamp) -> Option<String> {
    let case = case(code, at);
    let parsed = serde_json::from_value(case.clone()).unwrap();
    let allowed = dialgate::policy::judge(&SHIPPED.pack, &parsed)
        .denied_by
        .is_empty();
    let naive = judge_at(&SHIPPED.book, &case, spot, at);
    let wrong =
        allowed != naive.denied_by.is_empty() || (allowed && !is_within_federal_hours(spot, at));
    wrong.then(|| format!("allowed is {allowed}, but {:?}\n{case}", naive.denied_by))
}

#[test]
fn no_area_code_is_called_outside_the_window_of_any_of_its_zones() {
    let codes = SHIPPED.book.places.people(&SHIPPED.book.rows);
    assert!(codes.len() > 380, "{}", codes.len());
    let found = std::sync::Mutex::new(Vec::new());
    let allowed = std::sync::atomic::AtomicUsize::new(0);
    on_all_cores(codes.len(), &|index| {
        let code = &codes[index];
        let any = case(code, "2026-06-01T00:00:00Z".parse().unwrap());
        let spot = SHIPPED
            .book
            .places
            .find(SHIPPED.pack.tables(), &any)
            .unwrap();
        // One change for each code, in turn, on the Sunday or the Monday behind it.
        let sunday: Date = CHANGES[index % CHANGES.len()].parse().unwrap();
        let day = sunday + i64::from(index % 8 > 3).days();
        for at in instants(&spot, day) {
            if is_within_federal_hours(&spot, at) {
                allowed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
            found.lock().unwrap().extend(fault(code, &spot, at));
        }
    });
    let found = found.into_inner().unwrap();
    assert!(
        found.is_empty(),
        "{}",
        found[..found.len().min(10)].join("\n")
    );
    assert!(
        allowed.into_inner() > codes.len(),
        "some calls are within the hours"
    );
}
