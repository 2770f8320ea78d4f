//! The grounds of the README's section 2, one sentence of it after the other.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::Value;

use super::book::Row;
use super::fact::Fact;
use super::verdict::View;

/// Whether the ground holds for this row, here and now.
pub fn holds(view: &View<'_>, row: &Row, ground: &str) -> bool {
    let (call, facts) = (&view.case["call"], &view.case["facts"]);
    let consent = || standing_consent(view);
    let dealings = Dealings::of(view);
    match ground {
        "consent" => consent().is_some(),
        "consent_written" => consent().is_some_and(|c| c.word("form") == Some("written")),
        "consent_explicit" => consent().is_some_and(|c| c.yes("explicit")),
        "consent_out_of_hours" => consent().is_some_and(|c| c.yes("out_of_hours")),
        "consent_after_listing" => consent().is_some_and(|c| {
            let newest = newest_entry(view, row.text("register").unwrap_or_default());
            let since = newest.and_then(|entry| entry.day("listed_since"));
            since.is_some_and(|since| view.date_of(c.instant("at").unwrap()) > since)
        }),
        "consent_presumed" => facts["presumed_consent"].word("evidence").is_some(),
        "legitimate_interest" => facts["legitimate_interest"].yes("assessment_on_file"),
        "contract_in_force_related" => {
            let ended = dealings.dated("contract_ended_on");
            let grace = row.number("contract_grace_days");
            dealings.told.yes("offer_related")
                && (dealings.under_contract()
                    || (ended.zip(grace).filter(|_| dealings.end.is_none()))
                        .is_some_and(|(ended, grace)| days_between(ended, view.date) <= grace))
        }
        "customer_similar_products" => {
            let bought = dealings.dated("last_transaction");
            let limit = row.number("customer_max_age_days");
            dealings.told.yes("offer_related")
                && (dealings.under_contract()
                    || bought.is_some_and(|bought| {
                        limit.is_none_or(|limit| days_between(bought, view.date) <= limit)
                    }))
        }
        "relationship" => relationship(view, row, true),
        "relationship_transaction" => relationship(view, row, false),
        "relationship_live" => {
            relationship(view, row, true) && call.word("call_kind") != Some("prerecorded")
        }
        "personal_relationship" => facts.yes("personal_relationship"),
        "nonprofit_seller" => call.word("seller_type") == Some("nonprofit"),
        "nonprofit_to_member" => {
            call.word("seller_type") == Some("nonprofit")
                && dealings.told.yes("member")
                && dealings.end.is_none()
        }
        "new_product" => call.yes("new_product"),
        "callback_requested" => callback_requested(view),
        "directory_listed" => facts["directory"].yes("listed"),
        "directory_opt_in" => facts["directory"].yes("marketing_opt_in"),
        "not_listed" => {
            // Where no register was to be asked, nobody is known to be missing from it.
            let mut asked = (view.rows.iter())
                .filter(|row| row.kind == "register" && !row.is_not("enforced"))
                .map(|row| newest_entry(view, row.text("register").unwrap()))
                .peekable();
            asked.peek().is_some()
                && asked
                    .all(|entry| entry.is_some_and(|entry| entry["listed"] == Value::Bool(false)))
        }
        "live_introduction" => call.word("introduction") == Some("live"),
        "recorded_introduction" => call.word("introduction") == Some("recorded"),
        "none_required" => true,
        other => panic!("no such ground as `{other}`"),
    }
}

/// The opt-outs that bind this seller. One that names another seller does not; where the call's own seller is not known,
/// it may be the one named.
pub fn opt_outs<'a>(view: &View<'a>) -> Vec<&'a Value> {
    let own = view.case["call"].word("seller");
    let mut binding = Vec::new();
    for opt_out in view.case["facts"].each("opt_outs") {
        let other = match (opt_out.word("seller"), own) {
            (Some(named), Some(own)) => named != own,
            _ => false,
        };
        if opt_out.word("scope") == Some("all") || !other {
            binding.push(opt_out);
        }
    }
    binding
}

pub fn last_opt_out(view: &View<'_>) -> Option<Timestamp> {
    opt_outs(view)
        .iter()
        .map(|opt_out| opt_out.instant("at").unwrap())
        .max()
}

/// Whether the event speaks of this call kind.
fn covers(view: &View<'_>, event: &Value) -> bool {
    let kind = view.case["call"].word("call_kind").unwrap();
    let channels = event.get("channels").and_then(Value::as_array);
    channels.is_none_or(|all| all.iter().any(|channel| channel.as_str() == Some(kind)))
}

/// `given` events for this call kind that have happened. Who withdraws is heard at once, whatever the clock says.
pub fn given<'a>(view: &View<'a>) -> Vec<&'a Value> {
    let events = view.case["facts"].each("consents").into_iter();
    events
        .filter(|event| event.word("action") == Some("given") && covers(view, event))
        .filter(|event| event.instant("at").unwrap() <= view.now)
        .collect()
}

/// Those with no withdrawal at or after them.
pub fn unrevoked<'a>(view: &View<'a>) -> Vec<&'a Value> {
    let mut withdrawn: Vec<Timestamp> = Vec::new();
    for event in view.case["facts"].each("consents") {
        if event.word("action") == Some("withdrawn") && covers(view, event) {
            withdrawn.push(event.instant("at").unwrap());
        }
    }
    withdrawn.extend(last_opt_out(view));
    let mut found = given(view);
    found.retain(|event| (withdrawn.iter()).all(|other| *other < event.instant("at").unwrap()));
    found
}

/// Whether the consent's own period has ended.
pub fn is_over(view: &View<'_>, event: &Value) -> bool {
    match event.word("period") {
        None | Some("indefinite" | "unspecified") => false,
        Some(day) => view.date > day.parse::<Date>().unwrap(),
    }
}

/// The consent in force: the latest event that no row rejects, unless its own period has ended; of several at one instant
/// the one that opens least.
pub fn standing_consent<'a>(view: &View<'a>) -> Option<&'a Value> {
    let mut latest: Option<&Value> = None;
    for event in unrevoked(view) {
        let rejected = view
            .rows
            .iter()
            .any(|row| row.kind == "ground_validity" && rejects(view, row, event));
        if rejected {
            continue;
        }
        let newer =
            latest.is_none_or(
                |other| match event.instant("at").cmp(&other.instant("at")) {
                    std::cmp::Ordering::Greater => true,
                    std::cmp::Ordering::Less => false,
                    std::cmp::Ordering::Equal => opens(event) < opens(other),
                },
            );
        if newer {
            latest = Some(event);
        }
    }
    latest.filter(|event| !is_over(view, event))
}

/// What an event opens, the more the later in order: a signature first, then an express word, odd hours, a record.
fn opens(event: &Value) -> u8 {
    let written = event.word("form") == Some("written");
    [
        written,
        event.yes("explicit"),
        event.yes("out_of_hours"),
        event.yes("documented"),
    ]
    .into_iter()
    .fold(0, |sum, yes| sum * 2 + u8::from(yes))
}

/// Whether the `ground_validity` row makes nothing of this consent.
pub fn rejects(view: &View<'_>, row: &Row, event: &Value) -> bool {
    if row.text("ground") != Some("consent") || row.is_not("enforced") {
        return false;
    }
    let form = event.word("form");
    if let Some(rejected) = row.list("forms_rejected")
        && form.is_none_or(|form| rejected.contains(&form))
    {
        return true;
    }
    if let Some(allowed) = row.list("forms_allowed")
        && !form.is_some_and(|form| allowed.contains(&form))
    {
        return true;
    }
    if row.is("requires_documented") && !event.yes("documented") {
        return true;
    }
    let given = view.date_of(event.instant("at").unwrap());
    let concerned = match row.text("only_period") {
        // A consent whose period nobody wrote down has none that is specified.
        Some("unspecified") => matches!(event.word("period"), None | Some("unspecified")),
        _ => true,
    };
    if concerned {
        if let Some(limit) = row.number("max_age_days")
            && days_between(given, view.date) > limit
        {
            return true;
        }
        if let Some(months) = row.number("max_age_months") {
            let first = months_before(view.date, months);
            if given < first {
                return true;
            }
            // The span ends before the same date, and of a month that has no such date, before its last.
            let same_date = given.saturating_add(i32::try_from(months).unwrap().months());
            if row.is("end_exclusive") && view.date >= same_date {
                return true;
            }
        }
    }
    let check = &view.case["facts"]["reassigned_check"];
    row.is("void_if_reassigned") && check.word("answer") == Some("yes")
}

pub fn days_between(from: Date, to: Date) -> i64 {
    i64::from(from.until(to).unwrap().get_days())
}

/// Dealings with the seller. What lies before their end, by an opt-out or by either side, is no dealing any more.
struct Dealings<'a> {
    told: &'a Value,
    today: Date,
    end: Option<Date>,
}

impl<'a> Dealings<'a> {
    fn of(view: &View<'a>) -> Self {
        let told = &view.case["facts"]["relationship"];
        let end = told.instant("ended_at").max(last_opt_out(view));
        Self {
            told,
            today: view.date,
            end: end.map(|end| view.date_of(end)),
        }
    }

    /// A dated one that has happened.
    fn dated(&self, key: &str) -> Option<Date> {
        let day = self.told.day(key)?;
        (day <= self.today && self.end.is_none_or(|end| day > end)).then_some(day)
    }

    fn under_contract(&self) -> bool {
        self.told.yes("contract_in_force") && self.end.is_none()
    }
}

/// Calendar months back, clamped to the end of the month.
pub fn months_before(day: Date, months: i64) -> Date {
    day.checked_sub(months.months()).unwrap()
}

/// The entry of the latest list version. Of two that claim the same version, the worse.
pub fn newest_entry<'a>(view: &View<'a>, register: &str) -> Option<&'a Value> {
    let mut newest: Option<&Value> = None;
    for entry in view.case["facts"].each("registers") {
        if entry.word("register") != Some(register) {
            continue;
        }
        let better = newest.is_none_or(|other| {
            let (old, new) = (other.day("as_of"), entry.day("as_of"));
            new > old || (new == old && entry["listed"] != Value::Bool(false))
        });
        if better {
            newest = Some(entry);
        }
    }
    newest
}

/// Asked for before now, not after an opt-out, now inside its bounds.
fn callback_requested(view: &View<'_>) -> bool {
    let callback = &view.case["facts"]["callback"];
    let Some(requested) = callback.instant("requested_at") else {
        return false;
    };
    requested < view.now
        && last_opt_out(view).is_none()
        && callback
            .instant("not_before")
            .is_none_or(|from| from <= view.now)
        && callback
            .instant("not_after")
            .is_none_or(|to| view.now <= to)
}

/// The established business relationship, by the rows of the rule's jurisdiction and of its country.
fn relationship(view: &View<'_>, rule: &Row, inquiries_count: bool) -> bool {
    let country = rule.jurisdiction.split('-').next().unwrap();
    let mut rows = Vec::new();
    // Every row of the two, whomever and whatever call it speaks of.
    for row in &view.book.rows {
        let own = row.jurisdiction == rule.jurisdiction || row.jurisdiction == country;
        let binds = !row.is_not("enforced") && row.is_in_force(view.date);
        if row.kind == "relationship" && own && binds {
            rows.push(row);
        }
    }
    let dealings = Dealings::of(view);
    if rows.is_empty() {
        return dealings.under_contract() || dealings.dated("last_transaction").is_some();
    }
    let within = |row: &Row, day: Date, limb: &str| {
        row.number(&format!("{limb}_months"))
            .is_none_or(|months| months_before(view.date, months) <= day)
            && row
                .number(&format!("{limb}_days"))
                .is_none_or(|days| days_between(day, view.date) <= days)
    };
    // A row that names spans names what counts; one that names none leaves the span to the other rows.
    let names = |row: &Row, keys: &[&str]| keys.iter().any(|key| row.number(key).is_some());
    let transactions = [
        "transaction_months",
        "transaction_days",
        "contract_ended_months",
    ];
    let inquiries = ["inquiry_months", "inquiry_days"];
    let by_transaction = |row: &Row| {
        let bought =
            (dealings.dated("last_transaction")).is_some_and(|day| within(row, day, "transaction"));
        let under_contract = row.number("contract_ended_months").is_some_and(|months| {
            dealings.under_contract()
                || (dealings.dated("contract_ended_on"))
                    .is_some_and(|day| months_before(view.date, months) <= day)
        });
        !row.is_not("recognised")
            && (names(row, &transactions) || !names(row, &inquiries))
            && (bought || under_contract)
    };
    let by_inquiry = |row: &Row| {
        !row.is_not("recognised")
            && !row.is_not("inquiry_counts")
            && (names(row, &inquiries) || !names(row, &transactions))
            && (dealings.dated("last_inquiry")).is_some_and(|day| within(row, day, "inquiry"))
    };
    rows.iter().all(|row| by_transaction(row))
        || (inquiries_count && rows.iter().all(|row| by_inquiry(row)))
}
