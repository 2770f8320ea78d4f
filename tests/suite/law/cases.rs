//! Random cases that crowd where the law changes its mind: at the minute a window opens, on the days when clocks shift, at
//! the ends of months, an exact period after an attempt, at the instant of another event.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde_json::{Map, Value, json};

use super::book::Book;
use super::samples::{DAYS, LOCATIONS, NUMBERS, TIMES, ZONES};
use crate::joints::rng::Rng;

/// What the generator takes its words from: the book whose rows are to be hit.
pub struct Words {
    area_codes: Vec<String>,
    registers: Vec<String>,
    registrations: Vec<String>,
    sectors: Vec<String>,
    stopped: Vec<String>,
    days: Vec<Date>,
    times: Vec<Time>,
    hours: Vec<i64>,
    spans: Vec<i64>,
}

impl Words {
    pub fn of(book: &Book) -> Self {
        let mut words = Self {
            area_codes: book.places.people(&book.rows),
            registers: Vec::new(),
            registrations: vec!["other".to_owned()],
            sectors: vec!["solar".to_owned()],
            stopped: vec!["US-NY".to_owned()],
            days: DAYS.iter().map(|day| day.parse().unwrap()).collect(),
            times: TIMES.iter().map(|time| time.parse().unwrap()).collect(),
            hours: vec![1],
            spans: vec![1, 30, 31],
        };
        let add = |list: &mut Vec<String>, word: &str| {
            if !list.iter().any(|known| known == word) {
                list.push(word.to_owned());
            }
        };
        for row in &book.rows {
            for (list, key) in [
                (&mut words.registers, "register"),
                (&mut words.registrations, "registration"),
            ] {
                if let Some(word) = row.text(key) {
                    add(list, word);
                }
            }
            for key in ["sectors", "exempt_sectors"] {
                for sector in row.list(key).unwrap_or_default() {
                    add(&mut words.sectors, sector);
                }
            }
            if row.kind == "prohibited_day" {
                add(&mut words.stopped, &row.jurisdiction);
            }
            words.days.extend(row.date("effective_from"));
            if let Some(last) = row.date("effective_to") {
                words.days.extend([last, last.tomorrow().unwrap()]);
            }
            words.hours.extend(row.number("period_hours"));
            for key in [
                "max_age_days",
                "period_days",
                "cooloff_days",
                "transaction_days",
                "inquiry_days",
                "customer_max_age_days",
                "contract_grace_days",
            ] {
                let span = row.number(key).filter(|span| !words.spans.contains(span));
                words.spans.extend(span);
            }
        }
        words
    }
}

/// A case of its own. The facts of a good half are mostly in order, so that single rows can be seen to deny.
pub fn any_case(rng: &mut Rng, words: &Words, id: usize) -> Value {
    let at = any_instant(rng, words);
    let good = [20, 70, 92][rng.below(3)];
    let to = any_number(rng, words);
    let mut maker = Maker {
        rng,
        words,
        at,
        good,
    };
    let call = maker.call(&to);
    let facts = maker.facts(&to);
    json!({ "id": format!("random-{id}"), "call": call, "facts": facts })
}

/// A case by day with every fact in order: most of them are allowed.
pub fn good_case(rng: &mut Rng, words: &Words) -> Value {
    let to = any_number(rng, words);
    let day: Date = "2026-02-02".parse().unwrap();
    let day = day + i64::try_from(rng.below(300)).unwrap().days();
    // Afternoon in Europe, or in America.
    let hour = if to.starts_with("+1") { 18 } else { 13 };
    let at = day
        .at(hour, 7, 0, 0)
        .to_zoned(TimeZone::UTC)
        .unwrap()
        .timestamp();
    let ids = words.registers.iter();
    let as_of = day
        .yesterday()
        .unwrap()
        .max(day.first_of_month())
        .to_string();
    let registers: Vec<Value> = ids
        .map(|id| json!({ "register": id, "listed": false, "as_of": as_of }))
        .collect();
    let held: Vec<Value> = words
        .registrations
        .iter()
        .map(|id| json!({ "id": id }))
        .collect();
    let given = at - i64::try_from(1 + rng.below(60 * 24)).unwrap().hours();
    let kind = *rng.pick(&["live_manual", "live_manual", "autodialed", "prerecorded"]);
    let from = if to.starts_with("+421") {
        "+421888123456"
    } else {
        "+4930231259"
    };
    json!({
        "id": "good",
        "call": { "at": at.to_string(), "to": to, "from": from, "call_kind": kind, "new_product": true,
            "introduction": "live" },
        "facts": {
            "audience": "consumer", "line_type": "landline", "opt_outs": [], "registers": registers, "attempts": [],
            "consents": [{ "action": "given", "at": given.to_string(), "form": "written", "explicit": true,
                "documented": true, "period": "indefinite", "initiated_by": "person" }],
            "relationship": { "last_transaction": (day - 20.days()).to_string(), "offer_related": true,
                "contract_in_force": true },
            "caller_id": { "owned": true, "callable": true, "in_directory": true },
            "directory": { "listed": true, "marketing_opt_in": true },
            "legitimate_interest": { "assessment_on_file": true },
            "notice": { "version": "n-7" }, "registrations": held,
        },
    })
}

fn any_number(rng: &mut Rng, words: &Words) -> String {
    if rng.percent(55) {
        let code = rng.pick(&words.area_codes);
        format!("+1{code}55501{:02}", rng.below(100))
    } else {
        (*rng.pick(&NUMBERS)).to_owned()
    }
}

fn any_instant(rng: &mut Rng, words: &Words) -> Timestamp {
    let day = if rng.percent(60) {
        *rng.pick(&words.days)
    } else {
        let first: Date = "2024-01-01".parse().unwrap();
        first + i64::try_from(rng.below(5 * 366)).unwrap().days()
    };
    let time = if rng.percent(50) {
        *rng.pick(&words.times)
    } else {
        Time::new(
            i8::try_from(9 + rng.below(11)).unwrap(),
            i8::try_from(rng.below(60)).unwrap(),
            0,
            0,
        )
        .unwrap()
    };
    let zone: &str = rng.pick::<&str>(&ZONES);
    let zone = TimeZone::get(zone).unwrap();
    let local = DateTime::from_parts(day, time).to_zoned(zone).unwrap();
    let second = [0, 0, 0, -1, 1, 59][rng.below(6)];
    local.timestamp() + second.seconds()
}

struct Maker<'a> {
    rng: &'a mut Rng,
    words: &'a Words,
    at: Timestamp,
    /// How often in a hundred a fact speaks for the call.
    good: usize,
}

impl Maker<'_> {
    fn good(&mut self) -> bool {
        self.rng.percent(self.good)
    }

    /// Mostly the first word, sometimes any.
    fn word(&mut self, usual: &str, all: &[&str]) -> Value {
        if self.rng.percent(60) {
            json!(usual)
        } else {
            json!(self.rng.pick(all))
        }
    }

    /// Puts the key there; a bad fact is false, null or missing.
    fn put_flag(&mut self, into: &mut Map<String, Value>, key: &str) {
        if self.good() {
            into.insert(key.to_owned(), json!(true));
        } else if self.rng.percent(60) {
            let value = if self.rng.percent(70) {
                json!(false)
            } else {
                Value::Null
            };
            into.insert(key.to_owned(), value);
        }
    }

    /// Some time ago: at the edge of some period, at the very instant, or any time in the last two years.
    fn earlier(&mut self) -> Timestamp {
        let edge = [0, 0, 0, -1, 1][self.rng.below(5)];
        match self.rng.below(6) {
            0 => {
                let hours = *self.rng.pick(&self.words.hours);
                self.at - hours.hours() + edge.seconds()
            }
            1 => {
                let days = *self.rng.pick(&self.words.spans) + edge;
                self.at - (days * 24).hours()
            }
            2 => self.at + edge.seconds(),
            3 => self.at - i64::try_from(self.rng.below(48 * 60)).unwrap().minutes(),
            4 => self.at - i64::try_from(self.rng.below(120 * 24)).unwrap().hours(),
            _ => self.at - i64::try_from(self.rng.below(800 * 24)).unwrap().hours(),
        }
    }

    /// A day some time ago, with month ends among them.
    fn earlier_day(&mut self) -> Date {
        let today = self.at.to_zoned(TimeZone::UTC).date();
        let edge = [0, 0, -1, 1][self.rng.below(4)];
        match self.rng.below(4) {
            0 => today - (*self.rng.pick(&self.words.spans) + edge).days(),
            1 => {
                let months = [1, 3, 6, 12, 18, 36][self.rng.below(6)];
                (today - months.months()) + edge.days()
            }
            2 => today - i64::try_from(self.rng.below(20)).unwrap().days(),
            _ => today - i64::try_from(self.rng.below(900)).unwrap().days(),
        }
    }

    fn call(&mut self, to: &str) -> Value {
        let kind = self.word("live_manual", &["live_manual", "autodialed", "prerecorded"]);
        let mut call = json!({ "at": self.at.to_string(), "to": to, "call_kind": kind });
        let into = call.as_object_mut().unwrap();
        let mut put = |key: &str, value: Value| into.insert(key.to_owned(), value);
        let rng = &mut *self.rng;
        if rng.percent(60) {
            let all = [
                "+33162001122",
                "+33612345678",
                "+34612345678",
                "+421888123456",
                "+15145550100",
                "+4930231259",
            ];
            put("from", json!(rng.pick(&all)));
        }
        if rng.percent(40) {
            put(
                "purpose",
                json!(rng.pick(&["sales", "informational", "service"])),
            );
        }
        if rng.percent(60) {
            put("subject", json!(rng.pick(&["roof", "pool"])));
        }
        if rng.percent(60) {
            put("seller", json!(rng.pick(&["this", "that"])));
        }
        if rng.percent(30) {
            put("sector", json!(rng.pick(&self.words.sectors)));
        }
        if rng.percent(15) {
            let all = ["IE", "DE", "US", "RE", "GB", "ZZ", "FR"];
            put("controller_country", json!(rng.pick(&all)));
        }
        if rng.percent(20) {
            put("seller_type", json!(rng.pick(&["for_profit", "nonprofit"])));
        }
        for (key, share) in [
            ("caller_id_withheld", 8),
            ("atds", 15),
            ("special_category", 8),
            ("new_product", 40),
        ] {
            if rng.percent(share) {
                put(
                    key,
                    json!([Some(true), Some(true), Some(false), None][rng.below(4)]),
                );
            }
        }
        if rng.percent(30) {
            put(
                "introduction",
                json!(rng.pick(&["live", "recorded", "none"])),
            );
        }
        call
    }

    fn facts(&mut self, to: &str) -> Value {
        let mut facts = Map::new();
        let audience = self.word("consumer", &["consumer", "business", "unknown"]);
        let line = self.word("landline", &["landline", "mobile", "voip", "unknown"]);
        facts.insert("audience".to_owned(), audience);
        facts.insert("line_type".to_owned(), line);
        if self.rng.percent(35) {
            let read = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
            let mut location = read(LOCATIONS[self.rng.below(LOCATIONS.len())]);
            // Half of them say something else besides, which may contradict.
            if self.rng.percent(50) {
                let more = read(LOCATIONS[self.rng.below(LOCATIONS.len())]);
                for (key, value) in more.as_object().unwrap() {
                    location[key] = value.clone();
                }
            }
            facts.insert("location".to_owned(), location);
        }
        facts.insert("opt_outs".to_owned(), self.opt_outs());
        facts.insert("consents".to_owned(), self.consents());
        facts.insert("registers".to_owned(), self.registers());
        facts.insert("attempts".to_owned(), self.attempts(to));
        if self.rng.percent(60) {
            facts.insert("relationship".to_owned(), self.dealings());
        }
        self.odds_and_ends(&mut facts);
        Value::Object(facts)
    }

    fn odds_and_ends(&mut self, facts: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| facts.insert(key.to_owned(), value);
        if self.good() {
            put("notice", json!({ "version": "n-7" }));
        }
        if self.rng.percent(50) {
            let yes = self.good();
            put("legitimate_interest", json!({ "assessment_on_file": yes }));
        }
        if self.rng.percent(30) {
            put("presumed_consent", json!({ "evidence": "parts recalled" }));
        }
        if self.rng.percent(4) {
            let since = self.earlier().to_string();
            put("restriction", json!({ "since": since }));
        }
        if self.rng.percent(30) {
            put("callback", self.callback());
        }
        if self.rng.percent(40) {
            let (listed, opt_in) = (self.good(), self.good());
            put(
                "directory",
                json!({ "listed": listed, "marketing_opt_in": opt_in }),
            );
        }
        if self.rng.percent(95) {
            let mut all = Map::new();
            for key in ["owned", "callable", "in_directory"] {
                self.put_flag(&mut all, key);
            }
            put("caller_id", Value::Object(all));
        }
        let mut held = Vec::new();
        for id in &self.words.registrations.clone() {
            if self.good() {
                let today = self.at.to_zoned(TimeZone::UTC).date();
                let last = [None, None, Some(-1), Some(0), Some(1)][self.rng.below(5)];
                let last = last.map(|days: i64| (today + days.days()).to_string());
                held.push(json!({ "id": id, "valid_to": last }));
            }
        }
        put("registrations", json!(held));
        if self.rng.percent(20) {
            let (queried, about) = (self.earlier_day(), self.earlier_day());
            let answer = self.rng.pick(&["yes", "no", "no_data"]);
            put(
                "reassigned_check",
                json!({ "queried_on": queried.to_string(), "for_date": about.to_string(), "answer": answer }),
            );
        }
        if self.rng.percent(10) {
            put(
                "minor",
                json!([Some(true), Some(false), None][self.rng.below(3)]),
            );
        }
        if self.rng.percent(20) {
            put(
                "personal_relationship",
                json!([Some(true), Some(false), None][self.rng.below(3)]),
            );
        }
        if self.rng.percent(15) {
            let all = self.words.stopped.clone();
            put("emergency_regions", json!([self.rng.pick(&all)]));
        }
    }

    fn opt_outs(&mut self) -> Value {
        let count = if self.rng.percent(15) {
            1 + self.rng.below(2)
        } else {
            0
        };
        let mut all = Vec::new();
        for _ in 0..count {
            let mut one = json!({ "at": self.earlier().min(self.at).to_string(),
                "kind": self.rng.pick(&["do_not_call", "objection"]) });
            if self.rng.percent(30) {
                one["scope"] = json!(self.rng.pick(&["seller", "all"]));
            }
            if self.rng.percent(40) {
                one["seller"] = json!(self.rng.pick(&["this", "that"]));
            }
            all.push(one);
        }
        json!(all)
    }

    fn consents(&mut self) -> Value {
        let mut all: Vec<Value> = Vec::new();
        for _ in 0..[0, 1, 1, 1, 2, 2, 3][self.rng.below(7)] {
            if self.rng.percent(20) {
                // A withdrawal, often at the very instant of something given.
                let at = match all.first() {
                    Some(other) if self.rng.percent(40) => other["at"].clone(),
                    _ => json!(self.earlier().to_string()),
                };
                let mut one = json!({ "action": "withdrawn", "at": at });
                if self.rng.percent(30) {
                    one["channels"] = json!(["prerecorded"]);
                }
                all.push(one);
                continue;
            }
            let form = self.word(
                "written",
                &[
                    "written",
                    "web_form",
                    "recorded_voice",
                    "third_party_verified",
                    "oral",
                    "implied",
                    "preticked",
                    "terms_acceptance",
                    "bundled",
                ],
            );
            let mut at = self.earlier();
            while all.iter().any(|other| other["at"] == json!(at.to_string())) {
                at -= 1.second();
            }
            let mut one = json!({ "action": "given", "at": at.to_string() });
            let into = one.as_object_mut().unwrap();
            for key in ["explicit", "documented", "out_of_hours"] {
                self.put_flag(into, key);
            }
            if self.rng.percent(92) {
                into.insert("form".to_owned(), form);
            }
            if self.rng.percent(60) {
                let (today, edge) = (self.at.to_zoned(TimeZone::UTC).date(), [-1, 0, 1, 90]);
                let end = (today + edge[self.rng.below(4)].days()).to_string();
                let period = ["indefinite", "unspecified", &end][self.rng.below(3)];
                into.insert("period".to_owned(), json!(period));
            }
            if self.rng.percent(70) {
                let who = self.word("person", &["person", "seller"]);
                into.insert("initiated_by".to_owned(), who);
            }
            if self.rng.percent(40) {
                let kinds = ["live_manual", "autodialed", "prerecorded"];
                let first = self.rng.below(3);
                into.insert("channels".to_owned(), json!(kinds[first..]));
            }
            all.push(one);
        }
        json!(all)
    }

    fn registers(&mut self) -> Value {
        let mut all = Vec::new();
        let today = self.at.to_zoned(TimeZone::UTC).date();
        for register in &self.words.registers.clone() {
            let count = if self.good() {
                1 + usize::from(self.rng.percent(10))
            } else {
                self.rng.below(2)
            };
            for _ in 0..count {
                let as_of = if self.good() {
                    today - i64::try_from(1 + self.rng.below(4)).unwrap().days()
                } else {
                    self.earlier_day()
                };
                let listed = if self.good() {
                    Some(false)
                } else {
                    [Some(true), Some(true), None][self.rng.below(3)]
                };
                let mut one =
                    json!({ "register": register, "listed": listed, "as_of": as_of.to_string() });
                if listed == Some(true) && self.rng.percent(70) {
                    one["listed_since"] = json!(self.earlier_day().to_string());
                }
                all.push(one);
            }
        }
        json!(all)
    }

    fn attempts(&mut self, to: &str) -> Value {
        let count = [0, 0, 0, 1, 2, 3, 4, 5][self.rng.below(8)];
        let mut all = Vec::new();
        for _ in 0..count {
            let outcome = self.word(
                "no_answer",
                &["no_answer", "answered", "refused", "hung_up"],
            );
            let mut one =
                json!({ "at": self.earlier().min(self.at).to_string(), "outcome": outcome });
            if self.rng.percent(50) {
                let other = self.rng.percent(30);
                one["to"] = json!(if other { "+14045550199" } else { to });
            }
            if self.rng.percent(60) {
                one["subject"] = json!(self.rng.pick(&["roof", "pool"]));
            }
            all.push(one);
        }
        json!(all)
    }

    fn dealings(&mut self) -> Value {
        let mut all = Map::new();
        for (key, share) in [
            ("last_transaction", 60),
            ("last_inquiry", 50),
            ("contract_ended_on", 25),
        ] {
            if self.rng.percent(share) {
                let day = self.earlier_day().to_string();
                all.insert(key.to_owned(), json!(day));
            }
        }
        for (key, share) in [
            ("contract_in_force", 40),
            ("offer_related", 80),
            ("member", 40),
        ] {
            if self.rng.percent(share) {
                self.put_flag(&mut all, key);
            }
        }
        if self.rng.percent(15) {
            let at = self.earlier().to_string();
            all.insert("ended_at".to_owned(), json!(at));
        }
        Value::Object(all)
    }

    fn callback(&mut self) -> Value {
        let mut one = json!({ "requested_at": self.earlier().to_string() });
        let edge = |rng: &mut Rng| [-3600, -1, 0, 1, 3600][rng.below(5)].seconds();
        if self.rng.percent(40) {
            one["not_before"] = json!((self.at + edge(self.rng)).to_string());
        }
        if self.rng.percent(40) {
            one["not_after"] = json!((self.at + edge(self.rng)).to_string());
        }
        one
    }
}
