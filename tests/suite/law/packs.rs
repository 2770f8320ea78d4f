//! Rule packs by chance: rows of every kind with every key that the README knows, in states, countries, groups and the
//! product's own policy.

use std::fmt::Write;
use std::path::Path;

use crate::joints::rng::Rng;

const PLACES: [&str; 20] = [
    "US", "US", "US-FL", "US-KY", "US-TX", "US-PR", "CA", "CA-ON", "CA-QC", "DE", "FR", "FR-RE",
    "GB", "ES", "AU", "NO", "NORTH", "SOUTH", "ZZ", "ZZ",
];

const GROUNDS: [&str; 23] = [
    "consent",
    "consent",
    "consent_written",
    "consent_explicit",
    "consent_out_of_hours",
    "legitimate_interest",
    "contract_in_force_related",
    "customer_similar_products",
    "relationship",
    "relationship",
    "relationship_transaction",
    "relationship_live",
    "personal_relationship",
    "nonprofit_seller",
    "nonprofit_to_member",
    "new_product",
    "callback_requested",
    "directory_listed",
    "directory_opt_in",
    "not_listed",
    "live_introduction",
    "recorded_introduction",
    "none_required",
];

const HOURS: [&str; 8] = [
    "[]",
    r#"["08:00-21:00"]"#,
    r#"["09:00-20:00"]"#,
    r#"["10:00-13:00", "14:00-20:00"]"#,
    r#"["00:00-24:00"]"#,
    r#"["09:00-18:30"]"#,
    r#"["00:00-02:30", "12:00-24:00"]"#,
    r#"["01:30-22:00"]"#,
];

/// The head of every random file: what rows may refer to.
const HEAD: &str = r#"schema = 2
as_of = "2026-11-21"

[conventions]
consumer_line_types = ["mobile", "unknown"]

[territories]
US = ["PR", "VI", "GU", "MP", "AS"]
FR = ["GP", "MQ", "GF", "RE", "YT"]

[groups]
NORTH = ["DE", "FR", "NO", "GB", "SE"]
SOUTH = ["FR", "ES", "AU"]

[[register]]
id = "one"
jurisdiction = "US"
name = "one"

[[register]]
id = "two"
jurisdiction = "DE"
name = "two"
"#;

/// What no pack may lack.
const FLOOR: [&str; 2] = [
    r#"[[rule]]
id = "POLICY-unknown-zone"
jurisdiction = "ZZ"
kind = "restriction"
call_kinds = ["live_manual", "autodialed", "prerecorded"]
audience = "both"
when = "no_candidate_zone"
citation = "policy"
certainty = "primary"
"#,
    r#"[[rule]]
id = "POLICY-no-rules"
jurisdiction = "ZZ"
kind = "restriction"
call_kinds = ["live_manual", "autodialed", "prerecorded"]
audience = "both"
when = "no_rules_for_country"
citation = "policy"
certainty = "primary"
"#,
];

/// A pack as the list of its tables, so that it can be made smaller table by table.
#[derive(Clone)]
pub struct Draft {
    pub tables: Vec<String>,
}

impl Draft {
    pub fn any(rng: &mut Rng) -> Self {
        let mut tables = vec![HEAD.to_owned()];
        tables.extend(FLOOR.map(str::to_owned));
        for id in ["first", "second"] {
            tables.push(calendar(rng, id));
        }
        for index in 0..40 + rng.below(50) {
            tables.push(rule(rng, index));
        }
        Self { tables }
    }

    /// These rows and what no pack may lack.
    pub fn of(rows: &[String]) -> Self {
        let mut tables = vec![HEAD.to_owned()];
        tables.extend(FLOOR.map(str::to_owned));
        tables.extend(rows.iter().cloned());
        Self { tables }
    }

    pub fn text(&self) -> String {
        self.tables.join("\n")
    }

    /// Without these tables; the head and the floor stay.
    pub fn without(&self, taken: std::ops::Range<usize>) -> Self {
        let kept = (self.tables.iter().enumerate())
            .filter(|(at, _)| *at <= FLOOR.len() || !taken.contains(at));
        Self {
            tables: kept.map(|(_, table)| table.clone()).collect(),
        }
    }

    /// A folder that both evaluators read.
    pub fn folder(&self) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
        for name in ["numbering", "holidays.csv"] {
            std::os::unix::fs::symlink(shipped.join(name), folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("random.toml"), self.text()).unwrap();
        folder
    }
}

fn calendar(rng: &mut Rng, id: &str) -> String {
    let shift = rng.pick(&["none", "sun_to_mon", "sat_to_fri_sun_to_mon"]);
    let mut text = format!(
        "[[holiday_calendar]]\nid = \"{id}\"\njurisdiction = \"US\"\nweekend_shift = \"{shift}\"\ncertainty = \"recall\"\ndays = [\n"
    );
    let days = [
        r#"fixed = "01-01""#,
        r#"fixed = "12-25""#,
        r#"fixed = "12-31""#,
        r#"fixed = "07-04""#,
        r#"fixed = "06-19", observed_on = "monday_of_week""#,
        r#"fixed = "11-01", effective_from = "2026-01-01""#,
        r#"fixed = "03-08", years = "even""#,
        r#"nth = { month = 11, weekday = "thu", n = 4 }"#,
        r#"nth = { month = 5, weekday = "mon", n = -1 }"#,
        r#"nth_plus = { month = 11, weekday = "mon", n = 1, plus_days = 1 }, years = "even""#,
        r"easter_offset_days = -2",
        r"easter_offset_days = 0",
        r"easter_offset_days = 39, uncertain = true",
        r#"nth_plus = { month = 10, weekday = "sun", n = -1, plus_days = 7 }"#,
    ];
    for (index, day) in days.iter().enumerate() {
        if rng.percent(60) || index == 0 {
            writeln!(text, "  {{ name = \"day {index}\", {day} }},").unwrap();
        }
    }
    text.push_str("]\n");
    text
}

/// Writes a list of words.
fn list(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
    format!("[{}]", words.join(", "))
}

/// Some of the words, at least one, in their order.
fn some<'a>(rng: &mut Rng, words: &[&'a str], share: usize) -> Vec<&'a str> {
    let sure = rng.below(words.len());
    let mut found = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if index == sure || rng.percent(share) {
            found.push(*word);
        }
    }
    found
}

/// One rule being written.
struct Writer<'a> {
    rng: &'a mut Rng,
    text: String,
    place: &'static str,
    grounds: Vec<&'static str>,
}

fn rule(rng: &mut Rng, index: usize) -> String {
    let place = *rng.pick(&PLACES);
    let kinds = [
        "opt_out",
        "restriction",
        "ground_validity",
        "ground_validity",
        "lawful_basis",
        "lawful_basis",
        "relationship",
        "relationship",
        "register",
        "register",
        "calling_window",
        "calling_window",
        "calling_window",
        "prohibited_day",
        "frequency_cap",
        "frequency_cap",
        "caller_id",
        "registration",
        "disclosure",
        "abandonment",
        "retention",
    ];
    let kind = *rng.pick(&kinds);
    let mut writer = Writer {
        rng,
        text: format!(
            "[[rule]]\nid = \"R{index:02}-{kind}\"\njurisdiction = \"{place}\"\nkind = \"{kind}\"\ncitation = \"by chance\"\ncertainty = \"recall\"\n"
        ),
        place,
        grounds: Vec::new(),
    };
    writer.common();
    match kind {
        "opt_out" => writer.opt_out(),
        "restriction" => writer.restriction(),
        "ground_validity" => writer.ground_validity(),
        "lawful_basis" => writer.lawful_basis(),
        "relationship" => writer.relationship(),
        "register" => writer.register(),
        "calling_window" => writer.calling_window(),
        "prohibited_day" => writer.put("trigger", "\"emergency\""),
        "frequency_cap" => writer.frequency_cap(),
        "caller_id" => writer.caller_id(),
        "registration" => writer.put("registration", "\"permit\""),
        "disclosure" => writer.flag("requires_notice", 60),
        "abandonment" => writer.put("max_rate_percent", "3.0"),
        _ => writer.put("record", "\"call\"\nkeep_years = 5"),
    }
    writer.lifts(kind);
    writer.text
}

impl Writer<'_> {
    fn put(&mut self, key: &str, value: &str) {
        writeln!(self.text, "{key} = {value}").unwrap();
    }

    fn maybe(&mut self, share: usize, key: &str, values: &[&str]) {
        if self.rng.percent(share) {
            let value = *self.rng.pick(values);
            self.put(key, value);
        }
    }

    fn flag(&mut self, key: &str, share: usize) {
        self.maybe(share, key, &["true"]);
    }

    fn common(&mut self) {
        let kinds = some(self.rng, &["live_manual", "autodialed", "prerecorded"], 75);
        self.put("call_kinds", &list(&kinds));
        let audience = *self
            .rng
            .pick(&["both", "both", "consumer", "consumer", "business"]);
        self.put("audience", &format!("\"{audience}\""));
        self.maybe(8, "enforced", &["false"]);
        self.maybe(10, "statutory", &["false", "true"]);
        self.flag("fallback", if self.place == "ZZ" { 60 } else { 12 });
        if ["NORTH", "SOUTH"].contains(&self.place) {
            self.maybe(70, "reach", &["\"called\"", "\"controller\"", "\"both\""]);
        }
        if self.rng.percent(12) {
            let lines = some(self.rng, &["landline", "mobile", "voip", "unknown"], 40);
            self.put("line_types", &list(&lines));
        }
        self.maybe(
            8,
            "sectors",
            &[r#"["pensions"]"#, r#"["pensions", "books"]"#],
        );
        self.maybe(
            8,
            "exempt_sectors",
            &[r#"["books"]"#, r#"["books", "energy"]"#],
        );
        self.maybe(
            8,
            "purposes",
            &[r#"["sales"]"#, r#"["informational", "service"]"#],
        );
        self.maybe(6, "applies_if", &[r#"["atds"]"#, r#"["special_category"]"#]);
        self.maybe(
            15,
            "effective_from",
            &[r#""2025-11-01""#, r#""2026-03-08""#, r#""2024-02-29""#],
        );
        self.maybe(
            15,
            "effective_to",
            &[r#""2026-10-31""#, r#""2026-12-31""#, r#""2027-03-14""#],
        );
    }

    fn any_grounds(&mut self) -> String {
        let mut words = Vec::new();
        for _ in 0..1 + self.rng.below(3) {
            words.push(*self.rng.pick(&GROUNDS));
        }
        words.sort_unstable();
        words.dedup();
        self.grounds.extend(&words);
        list(&words)
    }

    /// What lifts the row, and the parameters of the grounds that it names.
    fn lifts(&mut self, kind: &str) {
        let never = [
            "opt_out",
            "ground_validity",
            "relationship",
            "abandonment",
            "retention",
        ];
        let written = ["no_own_hours", "lifted_by"];
        let open = !written.iter().any(|key| self.text.contains(key));
        if open && !never.contains(&kind) {
            if self.rng.percent(40) || self.text.contains("lift_scope") {
                let grounds = self.any_grounds();
                self.put("lifted_by", &grounds);
            } else {
                self.maybe(10, "liftable", &["false"]);
            }
        }
        if self.grounds.contains(&"customer_similar_products") {
            self.maybe(70, "customer_max_age_days", &["30", "365"]);
        }
        if self.grounds.contains(&"contract_in_force_related") {
            self.maybe(50, "contract_grace_days", &["30"]);
        }
    }

    fn opt_out(&mut self) {
        let all = ["consent", "consent_written", "consent_explicit"];
        let some = some(self.rng, &all, 20);
        let grounds = if self.rng.percent(20) {
            Vec::new()
        } else {
            some
        };
        self.put("reopened_by", &list(&grounds));
        self.maybe(30, "reopened_only_if_initiated_by", &["\"person\""]);
        self.maybe(30, "keep_years", &["5"]);
        self.maybe(30, "scope", &["\"person\"", "\"all_robocalls_of_seller\""]);
    }

    fn restriction(&mut self) {
        if self.rng.percent(60) {
            self.put("when", "\"restriction_active\"");
            self.maybe(60, "reopened_by", &[r#"["consent"]"#]);
        } else {
            self.put("when", "\"known_minor\"");
        }
    }

    fn ground_validity(&mut self) {
        if self.rng.percent(15) {
            self.put("ground", "\"legitimate_interest\"");
            self.put("requires_assessment", "true");
            return;
        }
        self.put("ground", "\"consent\"");
        match self.rng.below(7) {
            0 => self.put("latest_event_wins", "true"),
            1 => self.put("forms_rejected", r#"["implied", "preticked", "oral"]"#),
            2 => self.put(
                "forms_allowed",
                r#"["written", "web_form", "recorded_voice"]"#,
            ),
            3 => self.put("requires_documented", "true"),
            4 => self.put("max_age_days", "90"),
            5 => {
                let months = *self.rng.pick(&["1", "3", "18"]);
                self.put("max_age_months", months);
                self.flag("end_exclusive", 50);
                self.maybe(50, "only_period", &["\"unspecified\""]);
            }
            _ => {
                self.put("void_if_reassigned", "true");
                self.maybe(50, "safe_answers", &[r#"["no"]"#]);
                self.maybe(50, "aging_days", &["45"]);
            }
        }
    }

    fn lawful_basis(&mut self) {
        let both = self.rng.below(10);
        if both != 0 {
            let grounds = self.any_grounds();
            self.put("any_of", &grounds);
        }
        if both < 2 {
            let grounds = self.any_grounds();
            self.put("all_of", &grounds);
        }
    }

    fn relationship(&mut self) {
        self.maybe(60, "transaction_months", &["1", "12", "18"]);
        self.maybe(40, "transaction_days", &["30", "180", "540"]);
        if self.rng.percent(15) {
            self.put("inquiry_counts", "false");
        } else {
            self.maybe(60, "inquiry_months", &["1", "3", "6"]);
            self.maybe(40, "inquiry_days", &["30", "90"]);
        }
        self.maybe(25, "contract_ended_months", &["1", "18"]);
        self.maybe(7, "recognised", &["false"]);
        self.maybe(10, "ended_within_months", &["6"]);
    }

    fn register(&mut self) {
        let id = *self.rng.pick(&["\"one\"", "\"two\""]);
        self.put("register", id);
        let days = *self.rng.pick(&["1", "27", "31", "92"]);
        self.put("max_age_days", days);
        self.flag("same_calendar_month", 20);
        self.maybe(20, "refresh_days_of_month", &["[1, 16]", "[15]", "[28]"]);
        if self.rng.percent(25) {
            self.grounds.push("consent_after_listing");
            self.put("lifted_by", r#"["consent_after_listing"]"#);
        }
    }

    fn calling_window(&mut self) {
        if self.rng.percent(8) {
            self.put("no_own_hours", "true");
            return;
        }
        let (a, b, c) = (
            *self.rng.pick(&HOURS[1..]),
            *self.rng.pick(&HOURS),
            *self.rng.pick(&HOURS),
        );
        let windows = match self.rng.below(4) {
            0 => format!("{{ mon-sun = {a} }}"),
            1 => format!("{{ mon-sat = {a}, sun = {b} }}"),
            2 => format!("{{ mon-fri = {a}, sat = {b}, sun = {c} }}"),
            _ => format!("{{ mon-wed = {a}, thu = {b}, fri-sun = {c} }}"),
        };
        self.put("windows", &windows);
        if self.rng.percent(55) {
            let calendars = ["\"public\"", "\"public_strict\"", "\"first\"", "\"second\""];
            let calendar = *self.rng.pick(&calendars);
            self.put("holiday_calendar", calendar);
            let closed = self.rng.percent(70);
            let hours = if closed { "[]" } else { *self.rng.pick(&HOURS) };
            self.put("on_holiday", hours);
            self.maybe(25, "on_holiday_eve", &HOURS[1..]);
        }
        if !self.text.contains("on_holiday_eve") {
            let dates = [
                r#"{ "12-24" = ["09:00-18:30"], "03-08" = ["12:00-14:00"] }"#,
                r#"{ "11-01" = ["09:00-12:00"] }"#,
            ];
            self.maybe(15, "date_windows", &dates);
        }
        self.maybe(12, "lift_scope", &["\"closed_days\""]);
        self.maybe(
            10,
            "advisory_windows",
            &[r#"{ mon-fri = ["08:00-18:00"] }"#],
        );
    }

    fn frequency_cap(&mut self) {
        let per = *self.rng.pick(&["\"person\"", "\"number\""]);
        self.put("per", per);
        self.flag("same_subject", 40);
        if self.rng.percent(30) {
            let after = *self.rng.pick(&["\"refused\"", "\"hung_up\""]);
            self.put("after", after);
            self.maybe(60, "cooloff_days", &["1", "60"]);
            return;
        }
        let most = *self.rng.pick(&["1", "2", "3"]);
        self.put("max_attempts", most);
        if self.rng.percent(60) {
            let hours = *self.rng.pick(&["8", "24", "720"]);
            self.put("period_hours", hours);
        } else {
            let days = *self.rng.pick(&["1", "7", "30"]);
            self.put("period_days", days);
        }
        let counts = *self.rng.pick(&["\"attempts\"", "\"completed\""]);
        self.put("counts", counts);
    }

    fn caller_id(&mut self) {
        self.put("withheld_allowed", "false");
        self.flag("must_be_own_number", 40);
        self.flag("must_be_callable", 40);
        self.flag("must_be_in_directory", 40);
        self.maybe(30, "forbidden_prefixes", &[r#"["+336", "+346"]"#]);
        self.maybe(15, "required_prefixes", &[r#"["+421888", "+33"]"#]);
    }
}
