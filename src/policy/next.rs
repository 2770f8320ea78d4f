//! The earliest later instant at which the same facts would allow the call.
//!
//! What rules say changes only at few instants: a window opens, a local day begins, a zone shifts its clock, a cap's
//! period runs out, a promised call-back begins. The search steps through exactly these, in UTC, and judges each:
//! local times are never converted back, so gaps and folds of the clocks cannot lead it astray.

use std::time::Duration;

use super::kinds::Kind;
use super::moment::{Moment, Scene};
use super::rule::Rule;
use crate::domain::consent::ConsentAction;
use crate::domain::decision::RuleOutcome;
use crate::domain::time::Micros;
use crate::place::Zone;

/// How far the search looks behind the last date that law or facts name: a year and the longest holidays after it.
const HORIZON: Duration = Duration::from_secs(400 * 24 * 3600);

/// A date further ahead than this is waited for by nobody.
const FARTHEST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Finds that instant; `None` when there is none within the horizon. `failing` are the rows that deny now.
pub(super) fn next_allowed_time(scene: &Scene<'_>, failing: &[&Rule]) -> Option<Micros> {
    let now = scene.case.call.at;
    let (named, settled) = settled_at(scene);
    let named = named.max(last_turn(scene));
    let end = now.max(named).plus(HORIZON).min(now.plus(FARTHEST));
    let hopeless = |rule: &Rule, at: Micros| at >= settled && !rule.kind.heals();
    if scene.place.zones.is_empty() || failing.iter().any(|rule| hopeless(rule, now)) {
        return None;
    }
    let (openings, hints) = (opening_minutes(scene), fact_instants(scene));
    let mut clocks: Vec<_> = (scene.place.zones.iter()).map(Changes::of).collect();
    let (mut at, mut suspect) = (now, 0);
    loop {
        let by_clock = clocks
            .iter_mut()
            .filter_map(|clock| clock.after(at, &openings));
        let by_fact = hints.iter().copied().filter(|hint| *hint > at);
        at = by_clock.chain(by_fact).min()?;
        if at > end {
            return None;
        }
        match denying(scene, at, suspect) {
            None => return Some(at),
            Some((_, rule)) if hopeless(rule, at) => return None,
            Some((index, _)) => suspect = index,
        }
    }
}

/// A row that denies at this instant in some zone. The row that did so last is asked first: most steps of a search fail
/// by the same one.
fn denying<'a>(scene: &Scene<'a>, at: Micros, suspect: usize) -> Option<(usize, &'a Rule)> {
    scene.place.zones.iter().find_map(|zone| {
        let moment = Moment::new(scene, at, Some(zone), false);
        let first = scene.candidates.get(suspect).map(|rule| (suspect, *rule));
        let all = scene.candidates.iter().copied().enumerate();
        first.into_iter().chain(all).find(|(index, rule)| {
            moment.holds(*index) && moment.judge(rule).outcome == RuleOutcome::Fail
        })
    })
}

/// The last instant that law or facts name, and that from which on only windows and caps can change for the better: lists
/// and grounds grow older, and nothing else moves. Before it a law may change, a promised call-back begin, a consent take
/// effect, or a date come that a list or a dealing bears already.
fn settled_at(scene: &Scene<'_>) -> (Micros, Micros) {
    let facts = &scene.case.facts;
    let given = || (facts.consents.iter()).filter(|event| event.action == ConsentAction::Given);
    let law = scene.candidates.iter().filter(|rule| rule.common.enforced);
    let dates = law.flat_map(|rule| [rule.common.effective_from, rule.common.effective_to]);
    let lists = (facts.registers.iter()).flat_map(|list| [Some(list.as_of), list.listed_since]);
    let dealings = (facts.relationship.iter()).flat_map(|known| {
        [
            known.last_transaction,
            known.last_inquiry,
            known.contract_ended_on,
        ]
    });
    let dates = dates.chain(lists).chain(dealings);
    // Every zone has left a date two days after it began in UTC.
    let left = dates.flatten().filter_map(|date| {
        let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
        Some(Micros::from(midnight.timestamp()).plus(Duration::from_secs(2 * 24 * 3600)))
    });
    let wish = facts.callback.as_ref();
    let wish = wish.map(|wish| {
        wish.not_before
            .map_or(wish.requested_at, |from| from.max(wish.requested_at))
            .plus(Duration::from_micros(1))
    });
    let all = left.chain(wish).chain(given().map(|event| event.at));
    let named = all.max().unwrap_or(Micros(i64::MIN));
    // When a row rejects the latest consent for its age, an older one of another form may come to the fore.
    let several = given().nth(1).is_some();
    (named, if several { Micros(i64::MAX) } else { named })
}

/// The last instant after which time alone still heals a row: a rest or a cap's period is over, a year without holiday
/// data ends. None of them lifts anything else.
fn last_turn(scene: &Scene<'_>) -> Micros {
    let now = scene.case.call.at;
    let attempts = scene.case.facts.attempts.iter().map(|attempt| attempt.at);
    let tried = attempts.max().unwrap_or(Micros(i64::MIN));
    let turns = scene.candidates.iter().filter_map(|rule| match &rule.kind {
        Kind::FrequencyCap(row) => Some(tried.plus(row.longest())),
        Kind::CallingWindow(row) => {
            let calendar = row.holiday_calendar.as_deref()?;
            scene.data_begins(calendar, rule, now)
        }
        _ => None,
    });
    turns.max().unwrap_or(now)
}

/// Instants named by facts at which a row may change its mind.
fn fact_instants(scene: &Scene<'_>) -> Vec<Micros> {
    let facts = &scene.case.facts;
    let mut instants = Vec::new();
    if let Some(wish) = &facts.callback {
        // Asked for before now: the instant itself is too early.
        instants.push(Micros(wish.requested_at.0.saturating_add(1)));
        instants.extend(wish.not_before);
    }
    let given = (facts.consents.iter()).filter(|event| event.action == ConsentAction::Given);
    instants.extend(given.map(|event| event.at));
    for rule in &scene.candidates {
        let Kind::FrequencyCap(row) = &rule.kind else {
            continue;
        };
        if let Some(hours) = row.period_hours {
            let period = Duration::from_secs(u64::from(hours) * 3600);
            instants.extend(facts.attempts.iter().map(|attempt| attempt.at.plus(period)));
        }
    }
    instants.retain(|at| *at > scene.case.call.at);
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// The minutes of the day at which some window opens, and midnight.
fn opening_minutes(scene: &Scene<'_>) -> Vec<i64> {
    let mut minutes = vec![0];
    for rule in &scene.candidates {
        if let Kind::CallingWindow(row) = &rule.kind {
            row.opening_minutes(&mut minutes);
        }
    }
    minutes.sort_unstable();
    minutes.dedup();
    minutes
        .into_iter()
        .map(|minute| i64::from(minute) * MINUTE)
        .collect()
}

/// Walks the changes on one wall clock. Between two shifts of the clock, local time and UTC run alike.
struct Changes<'a> {
    zone: &'a Zone,
    shift: Option<Micros>,
    looked: bool,
}

impl<'a> Changes<'a> {
    fn of(zone: &'a Zone) -> Self {
        Self {
            zone,
            shift: None,
            looked: false,
        }
    }

    /// The next opening, midnight or clock shift after this instant.
    fn after(&mut self, at: Micros, openings: &[i64]) -> Option<Micros> {
        let local = self.zone.local(at);
        if !self.looked || self.shift.is_some_and(|shift| shift <= at) {
            let mut shifts = local.time_zone().following(local.timestamp());
            self.shift = shifts.next().map(|shift| shift.timestamp().into());
            self.looked = true;
        }
        let time = local.time();
        let of_day = i64::from(time.hour()) * 60 * MINUTE
            + i64::from(time.minute()) * MINUTE
            + i64::from(time.second()) * 1_000_000
            + i64::from(time.subsec_nanosecond()) / 1000;
        let next = openings.iter().copied().find(|opening| *opening > of_day);
        let opening = Micros(at.0.saturating_add(next.unwrap_or(DAY) - of_day));
        Some(self.shift.map_or(opening, |shift| shift.min(opening)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::facts::Case;
    use super::super::testing::*;
    use super::super::{judge, pack::Pack};
    use super::*;
    use crate::domain::call::CallKind;
    use crate::domain::decision::Verdict;
    use crate::domain::phone::Phone;

    fn next(case: &Case) -> Option<String> {
        let judgement = judge(pack(), case);
        assert_eq!(judgement.verdict, Verdict::Deny, "{}", case.call.at);
        judgement.next_allowed_time.map(|at| at.to_string())
    }

    /// Georgia, with a register that stays fresh to 31 May.
    fn georgia(at: &str) -> Case {
        let mut case = case("US-GA", at);
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-04-30")];
        case
    }

    fn is(case: &Case, expected: &str) {
        assert_eq!(next(case).as_deref(), Some(expected));
    }

    #[test]
    fn a_date_ahead_comes() {
        // A list of the 30th is a list from the 29th on, for the zones further east.
        let mut list = georgia("2026-05-25T15:00:00Z");
        list.facts.registers = vec![register("us-dnc", Some(false), "2026-05-30")];
        is(&list, "2026-05-29T12:00:00Z");
        let mut bought = georgia("2026-05-19T15:00:00Z");
        bought.facts.registers = vec![register("us-dnc", Some(true), "2026-05-18")];
        bought.facts.relationship =
            serde_json::from_str(r#"{"last_transaction":"2026-05-22"}"#).unwrap();
        is(&bought, "2026-05-22T12:00:00Z");
    }

    #[test]
    fn a_law_of_the_year_after_next_opens() {
        // Bloctel lists the number until the law of 11 August 2026 asks for consent instead, which is there.
        let mut case = case("FR", "2025-01-02T09:30:00Z");
        let mut consent = given("2024-12-15T10:00:00Z", "written");
        (consent.explicit, consent.documented) = (Some(true), Some(true));
        case.facts.consents = vec![consent];
        case.facts.registers = vec![register("fr-bloctel", Some(true), "2025-01-01")];
        case.facts.notice = serde_json::from_str(r#"{"version":"n-1"}"#).unwrap();
        case.facts.caller_id = serde_json::from_str(r#"{"owned":true,"callable":true}"#).unwrap();
        case.call.from = Some(Phone::parse("+33123456780").unwrap());
        is(&case, "2026-08-11T08:00:00Z");
    }

    #[test]
    fn a_closed_window_opens_again() {
        is(&georgia("2026-05-19T03:00:00Z"), "2026-05-19T12:00:00Z");
        is(
            &georgia("2026-05-19T11:59:59.999999Z"),
            "2026-05-19T12:00:00Z",
        );
        is(&georgia("2026-05-20T01:00:00Z"), "2026-05-20T12:00:00Z");
    }

    #[test]
    fn the_clock_is_shifted_in_between() {
        let mut case = georgia("2026-03-08T02:00:00Z");
        case.facts.registers[0].as_of = "2026-03-01".parse().unwrap();
        is(&case, "2026-03-08T12:00:00Z");
        case.call.at = instant("2026-10-31T02:00:00Z");
        case.facts.registers[0].as_of = "2026-10-30".parse().unwrap();
        is(&case, "2026-10-31T12:00:00Z");
        case.call.at = instant("2026-11-01T02:00:00Z");
        is(&case, "2026-11-01T13:00:00Z");
    }

    #[test]
    fn all_zones_must_be_open() {
        let mut case = case("US-ND", "2026-05-19T13:20:00Z");
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-05-10")];
        is(&case, "2026-05-19T14:00:00Z");
    }

    #[test]
    fn closed_days_are_skipped() {
        // Utah, Pioneer Day on a Friday; the Saturday is open.
        let mut case = case("US-UT", "2026-07-24T18:20:00Z");
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-07-20")];
        is(&case, "2026-07-25T14:00:00Z");
        case.call.at = instant("2026-07-26T18:20:00Z");
        is(&case, "2026-07-27T14:00:00Z");
    }

    #[test]
    fn time_does_not_heal_what_is_missing() {
        let mut case = georgia("2026-05-19T03:00:00Z");
        case.facts.registers[0].listed = Some(true);
        assert_eq!(next(&case), None, "on the register for good");
        let mut case = georgia("2026-05-19T03:00:00Z");
        case.facts.opt_outs = vec![opt_out("2026-05-01T00:00:00Z")];
        assert_eq!(next(&case), None, "opted out for good");
        // The window opens only when the list has grown too old.
        let case = georgia("2026-06-01T01:30:00Z");
        assert_eq!(next(&case), None, "stale by the morning");
        let mut wyoming = super::super::testing::case("US-WY", "2026-05-19T18:00:00Z");
        wyoming.call.call_kind = CallKind::Prerecorded;
        wyoming.facts.consents = vec![given("2026-05-01T00:00:00Z", "written")];
        assert_eq!(next(&wyoming), None, "closed on every day");
    }

    #[test]
    fn caps_run_out() {
        let mut case = case("US-FL", "2026-03-17T19:00:00Z");
        case.facts.registers = ["us-dnc", "us-fl-dnc"]
            .map(|id| register(id, Some(false), "2026-03-10"))
            .into();
        case.facts.attempts = [
            "2026-03-16T19:30:00Z",
            "2026-03-17T14:00:00Z",
            "2026-03-17T16:00:00Z",
        ]
        .map(|at| attempt(at, "no_answer"))
        .into();
        is(&case, "2026-03-17T19:30:00Z");
        // Run out at night: wait for the morning as well.
        case.facts.attempts[0].at = instant("2026-03-17T02:30:00Z");
        is(&case, "2026-03-18T12:00:00Z");
    }

    #[test]
    fn promised_moments_come() {
        // New Jersey, a mobile: only the call-back carries the call.
        let mut case = case("US-NJ", "2026-05-19T15:00:00Z");
        case.facts.line_type = Some(crate::domain::party::LineType::Mobile);
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-05-10")];
        case.facts.callback = serde_json::from_str(
            r#"{"requested_at":"2026-05-18T15:00:00Z","not_before":"2026-05-19T18:20:30Z"}"#,
        )
        .unwrap();
        is(&case, "2026-05-19T18:20:30Z");
        case.facts.callback.as_mut().unwrap().not_after = Some(instant("2026-05-19T18:00:00Z"));
        assert_eq!(next(&case), None);
    }

    /// Asked for before now: the instant of the wish is still too early.
    #[test]
    fn a_wish_of_this_instant_comes_true_in_the_next() {
        let mut case = case("US-NJ", "2026-05-19T15:00:00Z");
        case.facts.line_type = Some(crate::domain::party::LineType::Mobile);
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-05-10")];
        case.facts.callback =
            serde_json::from_str(r#"{"requested_at":"2026-05-19T15:00:00Z"}"#).unwrap();
        is(&case, "2026-05-19T15:00:00.000001Z");
    }

    /// Nobody knows the holidays of 2022 and 2023, so every day of them counts as one.
    #[test]
    fn years_without_holiday_data_end() {
        let mut case = case("DE", "2022-03-16T10:30:00Z");
        let mut consent = given("2022-03-01T10:00:00Z", "written");
        (consent.explicit, consent.documented) = (Some(true), Some(true));
        case.facts.consents = vec![consent];
        case.facts.notice = serde_json::from_str(r#"{"version":"n-1"}"#).unwrap();
        case.facts.caller_id = serde_json::from_str(r#"{"owned":true,"callable":true}"#).unwrap();
        case.call.from = Some(Phone::parse("+493023125900").unwrap());
        is(&case, "2024-01-02T08:00:00Z");
    }

    #[test]
    fn the_law_itself_changes() {
        // Pennsylvania closed Sundays and evenings on 18 October 2026, a Sunday.
        let mut case = case("US-PA", "2026-10-18T02:00:00Z");
        case.facts.registers = ["us-dnc", "us-pa-dnc"]
            .map(|id| register(id, Some(false), "2026-10-10"))
            .into();
        is(&case, "2026-10-19T13:00:00Z");
    }

    /// The search steps through few instants; stepping through every minute must find the same one.
    #[test]
    fn no_minute_before_it_would_do() {
        let allows_at = |pack: &Pack, case: &Case, at: Micros| {
            let mut case = case.clone();
            case.call.at = at;
            let number = crate::place::dialable(pack.tables(), &case.call.to).unwrap();
            let scene = Scene::open(pack, &case, &number);
            denying(&scene, at, 0).is_none()
        };
        let mut cases = Vec::new();
        for (place, at) in [
            ("US-ND", "2026-11-01T04:00:00Z"),
            ("US-TX", "2026-03-08T03:00:00Z"),
            ("US-FL", "2026-05-19T01:00:00Z"),
        ] {
            let mut case = case(place, at);
            let date = case
                .call
                .at
                .timestamp()
                .to_zoned(jiff::tz::TimeZone::UTC)
                .date();
            for id in ["us-dnc", "us-fl-dnc", "us-tx-dnc"] {
                case.facts
                    .registers
                    .push(register(id, Some(false), &date.to_string()));
            }
            case.facts.attempts = (0..3)
                .map(|n| {
                    let mut attempt = attempt(at, "no_answer");
                    attempt.at = case.call.at.minus(Duration::from_secs(3600 * n + 17));
                    attempt
                })
                .collect();
            cases.push(case);
        }
        for case in cases {
            let found = judge(pack(), &case).next_allowed_time.unwrap();
            let mut at = Micros(case.call.at.0 / MINUTE * MINUTE + MINUTE);
            while at < found {
                assert!(!allows_at(pack(), &case, at), "{at} before {found}");
                at = Micros(at.0 + MINUTE);
            }
            assert!(allows_at(pack(), &case, found), "{found}");
            assert!(!allows_at(pack(), &case, Micros(found.0 - 1)), "{found}");
        }
    }
}
