//! Every fault of a pack is told, once, where it stands: many planted at once, and each alone.

use dialgate::policy::{Pack, PackFiles, PackProblems};

use super::pack;

/// The built-in pack with these files laid into its folder; a name that it has already gets the text at its end.
fn told(planted: &[(&str, &str)]) -> Vec<String> {
    let mut parts: Vec<(String, String)> = (pack().files().iter())
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .collect();
    for (name, text) in planted {
        match parts.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => known.push_str(text),
            None => parts.push(((*name).to_owned(), (*text).to_owned())),
        }
    }
    match Pack::of(PackFiles::of(parts)) {
        Ok(_) => Vec::new(),
        Err(PackProblems(problems)) => problems.iter().map(ToString::to_string).collect(),
    }
}

/// Each wanted fault is told exactly once, and nothing besides. A wanted one is its place, and what its text holds.
fn assert_told(found: &[String], wanted: &[(String, &str)]) {
    for (place, says) in wanted {
        let place = format!("{place}: ");
        let hits = found
            .iter()
            .filter(|each| each.starts_with(&place) && each.contains(says));
        assert_eq!(hits.count(), 1, "{place}{says}\nin {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}\nwanted {wanted:#?}");
}

const HEAD: &str = "schema = 2\nas_of = \"2026-11-22\"\n";

/// The keys that every rule needs, on one line each, with the first of them on line 4 of a file that begins with `HEAD`.
const RULE: &str = "[[rule]]\nid = \"HOUSE-1\"\njurisdiction = \"NZ\"\nkind = \"calling_window\"\n\
call_kinds = [\"live_manual\"]\naudience = \"both\"\nwindows = { mon-sun = [\"09:00-20:00\"] }\n\
citation = \"house rule\"\ncertainty = \"recall\"\n";

fn rule(change: &[(&str, &str)]) -> String {
    let mut text = RULE.to_owned();
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    text
}

/// A file of one rule, changed; and each fault's line and words.
type Planted<'a> = (&'a [(&'a str, &'a str)], &'a [(u32, &'a str)]);

const WINDOWS: &str = "windows = { mon-sun = [\"09:00-20:00\"] }";

#[test]
fn each_fault_of_a_rule_alone() {
    let rows: &[Planted<'_>] = &[
        (&[], &[]),
        (
            &[("citation = \"house rule\"\n", "")],
            &[(3, "`HOUSE-1`: `citation`: is missing")],
        ),
        (
            &[("\"house rule\"", "\" \"")],
            &[(10, "`citation` is empty")],
        ),
        (
            &[("\"live_manual\"", "\"robot\"")],
            &[(7, "`call_kinds[0]`: unknown call kind `robot`")],
        ),
        (
            &[("[\"live_manual\"]", "[]")],
            &[(7, "`call_kinds` must name")],
        ),
        (
            &[("[\"live_manual\"]", "3")],
            &[(7, "`call_kinds`: invalid type")],
        ),
        (
            &[(
                "\"live_manual\"",
                "\"robot\", \"live_manual\", 7, \"android\"",
            )],
            &[
                (7, "`call_kinds[0]`: "),
                (7, "`call_kinds[2]`: "),
                (7, "`call_kinds[3]`: "),
            ],
        ),
        (
            &[("\"both\"", "\"everybody\"")],
            &[(8, "`audience`: unknown value `everybody`")],
        ),
        (
            &[("\"recall\"", "\"sure\"")],
            &[(11, "`certainty`: unknown value `sure`")],
        ),
        (&[("\"NZ\"", "\"Narnia\"")], &[(5, "jurisdiction `Narnia`")]),
        (
            &[("\"NZ\"", "\"US-XX\"")],
            &[(5, "no law and no table knows `US-XX`")],
        ),
        (&[("\"NZ\"", "\"XQ\"")], &[(5, "know no country `XQ`")]),
        (&[("\"NZ\"", "1")], &[(5, "`jurisdiction`: invalid type")]),
        (
            &[("\"HOUSE-1\"", "\"US-window\"")],
            &[(0, "taken by house.toml:3")],
        ),
        (
            &[("\"HOUSE-1\"", "\"house 1\"")],
            &[(4, "`id` takes letters")],
        ),
        (&[("id = \"HOUSE-1\"\n", "")], &[(3, "`id`: is missing")]),
        (
            &[("\"calling_window\"", "\"moon_phase\"")],
            &[(6, "unknown kind `moon_phase`")],
        ),
        (
            &[
                ("\"calling_window\"", "\"moon_phase\""),
                ("citation", "colour = 1\ncitation"),
            ],
            &[
                (6, "unknown kind `moon_phase`"),
                (10, "`colour`: unknown key"),
            ],
        ),
        (
            &[("kind = \"calling_window\"\n", "")],
            &[(3, "`kind`: is missing")],
        ),
        (
            &[("citation", "colour = 1\ncitation")],
            &[(10, "`colour`: unknown key, expected")],
        ),
        (
            &[(
                WINDOWS,
                "windows = { mon-fri = [\"09:00-25:00\", \"9-5\"], sat = [\"x\"] }",
            )],
            &[
                (9, "`windows.mon-fri[0]`: `09:00-25:00`"),
                (9, "`windows.mon-fri[1]`: `9-5`"),
                (9, "`windows.sat[0]`: `x`"),
                (9, "`windows`: `sun` is missing"),
            ],
        ),
        (
            &[(
                WINDOWS,
                "windows = { mon-sun = [\"09:00-12:00\", \"x\", \"11:00-13:00\", \"12:30-14:00\"] }",
            )],
            &[
                (9, "`windows.mon-sun[1]`: `x`"),
                (9, "09:00-12:00 and 11:00-13:00 overlap"),
                (9, "11:00-13:00 and 12:30-14:00 overlap"),
            ],
        ),
        (
            &[(
                WINDOWS,
                "windows = { mon-sun = [], tue-wed = [], sunday = [] }",
            )],
            &[(9, "both name `tue`, `wed`"), (9, "`sunday` is no day")],
        ),
        (
            &[(WINDOWS, "windows = { mon-sat = 7, sun = [] }")],
            &[(9, "`windows.mon-sat`: invalid type")],
        ),
        (
            &[(WINDOWS, "windows = 7")],
            &[(9, "`windows`: invalid type")],
        ),
        (
            &[(WINDOWS, "")],
            &[(3, "either `windows` or `no_own_hours = true`")],
        ),
        (
            &[(
                "citation",
                "no_own_hours = true\nholiday_calendar = \"nowhere\"\ncitation",
            )],
            &[(10, "contradict"), (11, "holiday calendar `nowhere`")],
        ),
        (
            &[(
                "citation",
                "date_windows = { 12-24 = [\"08:00-09:00\", \"08:30-10:00\"], 13-01 = [], \"02-30\" = [] }\ncitation",
            )],
            &[
                (10, "overlap"),
                (10, "`date_windows.13-01`"),
                (10, "`date_windows.02-30`"),
            ],
        ),
        (
            &[(
                "citation",
                "on_holiday = [\"x\"]\nlift_scope = \"closed_days\"\ncitation",
            )],
            &[
                (10, "`on_holiday[0]`: `x`"),
                (10, "needs a `holiday_calendar`"),
                (11, "`lift_scope` needs"),
            ],
        ),
        (
            &[(
                "citation",
                "effective_from = \"2026-02-30\"\neffective_to = 2026\ncitation",
            )],
            &[(10, "`effective_from`: "), (11, "`effective_to`: ")],
        ),
        (
            &[(
                "citation",
                "effective_from = \"2026-03-30\"\neffective_to = \"2026-03-29\"\ncitation",
            )],
            &[(11, "lies before")],
        ),
        (
            &[(
                "citation",
                "liftable = false\nlifted_by = [\"bogus\", \"consent\", \"bogus\"]\ncitation",
            )],
            &[
                (10, "`liftable = false`"),
                (11, "`lifted_by[0]`"),
                (11, "`lifted_by[2]`"),
            ],
        ),
        (
            &[(
                "citation",
                "sectors = []\nline_types = [\"fax\"]\nexempt_sectors = [\"\", \"x\", \" \"]\ncitation",
            )],
            &[
                (10, "`sectors = []`"),
                (11, "`line_types[0]`"),
                (12, "`exempt_sectors[0]`: a sector"),
                (12, "`exempt_sectors[2]`: a sector"),
            ],
        ),
    ];
    for (change, wanted) in rows {
        let found = told(&[("house.toml", &format!("{HEAD}{}", rule(change)))]);
        // Of two rows of one id that which is read later is at fault.
        let place = |line: &u32| match line {
            0 => "us.toml:253".to_owned(),
            line => format!("house.toml:{line}"),
        };
        let wanted: Vec<_> = (wanted.iter())
            .map(|(line, says)| (place(line), *says))
            .collect();
        assert_told(&found, &wanted);
    }
}

/// A kind, its keys, and each fault's line and words.
type OfKind<'a> = (&'a str, &'a str, &'a [(u32, &'a str)]);

/// The own keys of other kinds, in place of the windows on line 9.
#[test]
fn each_fault_of_a_kind_alone() {
    let rows: &[OfKind<'_>] = &[
        (
            "opt_out",
            "reopened_by = [\"consent\", \"not_listed\", \"x\"]\nlifted_by = [\"consent\"]",
            &[
                (9, "`reopened_by[1]`: `not_listed`"),
                (9, "`reopened_by[2]`: "),
                (10, "`lifted_by` on an opt-out"),
            ],
        ),
        (
            "restriction",
            "when = \"raining\"\nreopened_by = [\"relationship\"]",
            &[
                (9, "`when`: unknown value `raining`"),
                (9 + 1, "`reopened_by[0]`: `relationship`"),
            ],
        ),
        ("restriction", "", &[(3, "`when`: is missing")]),
        (
            "ground_validity",
            "ground = \"consent\"\nonly_period = \"ever\"\nend_exclusive = true\nrequires_assessment = true",
            &[
                (10, "`only_period`: unknown value"),
                (10, "`only_period` needs"),
                (11, "`end_exclusive` needs"),
                (12, "`requires_assessment` needs"),
            ],
        ),
        ("lawful_basis", "any_of = []", &[(9, "must name a ground")]),
        (
            "lawful_basis",
            "any_of = [\"x\", \"consent\", \"y\"]\nall_of = [\"z\"]",
            &[
                (9, "`any_of[0]`: "),
                (9, "`any_of[2]`: "),
                (10, "`all_of[0]`: "),
            ],
        ),
        (
            "register",
            "register = \"us-nowhere\"\nmax_age_days = -1\nrefresh_days_of_month = [1, 29, 0]",
            &[
                (9, "register `us-nowhere` is not declared"),
                (10, "must not be negative"),
                (11, "and not 29"),
                (11, "and not 0"),
            ],
        ),
        (
            "register",
            "register = \"us-dnc\"",
            &[(3, "`max_age_days` is missing")],
        ),
        (
            "register",
            "register = 3\nmax_age_days = \"x\"",
            &[(9, "`register`: "), (10, "`max_age_days`: ")],
        ),
        (
            "prohibited_day",
            "trigger = \"storm\"",
            &[(9, "`trigger`: unknown value `storm`")],
        ),
        (
            "frequency_cap",
            "max_attempts = -3\nper = \"house\"\nperiod_hours = 1\nperiod_days = 1",
            &[
                (9, "`max_attempts`: "),
                (10, "`per`: "),
                (12, "and not both"),
                (3, "`counts` is missing"),
            ],
        ),
        (
            "frequency_cap",
            "after = \"refused\"\nper = \"person\"\ncounts = \"x\"\nmax_attempts = 1",
            &[
                (11, "`counts`: unknown value"),
                (11, "`counts` belongs to a cap"),
                (12, "`max_attempts` belongs"),
            ],
        ),
        (
            "frequency_cap",
            "max_attempts = 1\ncounts = \"attempts\"\nper = \"person\"\nperiod_days = 0",
            &[(12, "must lie between 1 and 400")],
        ),
        (
            "frequency_cap",
            "max_attempts = 1\ncounts = \"attempts\"\nper = \"person\"\nperiod_days = 4000",
            &[(12, "must lie between 1 and 400")],
        ),
        (
            "frequency_cap",
            "max_attempts = 1\ncounts = \"attempts\"\nper = \"person\"\nperiod_hours = 0",
            &[(12, "`period_hours` must lie between")],
        ),
        (
            "frequency_cap",
            "after = \"refused\"\nper = \"person\"\ncooloff_days = -5",
            &[(11, "`cooloff_days` must be 1 or more")],
        ),
        (
            "relationship",
            "transaction_months = -5\ninquiry_days = 0",
            &[
                (9, "`transaction_months` must be 1 or more"),
                (10, "`inquiry_days` must be 1 or more"),
            ],
        ),
        (
            "ground_validity",
            "ground = \"consent\"\nmax_age_days = -5\nforms_allowed = []",
            &[
                (10, "`max_age_days` must be 1 or more"),
                (11, "lets no consent count"),
            ],
        ),
        (
            "registration",
            "registration = \" \"",
            &[(9, "`registration` is empty")],
        ),
        (
            "lawful_basis",
            "any_of = [\"consent_after_listing\"]\nreach = \"controller\"",
            &[
                (9, "on rows of kind `register` only"),
                (10, "`reach` belongs to rows of a group"),
            ],
        ),
        (
            "caller_id",
            "required_prefixes = [\"33\", \"+33\", \"+x\"]\nforbidden_prefixes = [7]",
            &[
                (9, "prefix `33`"),
                (9, "prefix `+x`"),
                (10, "`forbidden_prefixes[0]`"),
            ],
        ),
        ("registration", "", &[(3, "`registration`: is missing")]),
        (
            "disclosure",
            "within_seconds = -1\nitems = 3",
            &[(9, "`within_seconds`: "), (10, "`items`: ")],
        ),
        (
            "relationship",
            "transaction_months = \"x\"\nrecognised = 1",
            &[(9, "`transaction_months`: "), (10, "`recognised`: ")],
        ),
        (
            "abandonment",
            "rate_period = \"1y\"\nmin_rings = \"x\"",
            &[(9, "`rate_period`: "), (10, "`min_rings`: ")],
        ),
        (
            "retention",
            "record = \"tape\"\nkeep_from = [\"x\", \"given\", \"y\"]",
            &[
                (9, "`record`: "),
                (10, "`keep_from[0]`: "),
                (10, "`keep_from[2]`: "),
            ],
        ),
    ];
    for (kind, keys, wanted) in rows {
        let kind = format!("\"{kind}\"");
        let text = rule(&[("\"calling_window\"", &kind), (WINDOWS, keys)]);
        let found = told(&[("house.toml", &format!("{HEAD}{text}"))]);
        let wanted: Vec<_> = (wanted.iter())
            .map(|(line, says)| (format!("house.toml:{line}"), *says))
            .collect();
        assert_told(&found, &wanted);
    }
}

/// Tables beside the rules, from line 3 of a file on.
#[test]
fn each_fault_of_another_table_alone() {
    let rows: &[(&str, &[(u32, &str)])] = &[
        ("[surprise]\n", &[(3, "unknown table `surprise`")]),
        (
            "[[register]]\nid = \"x-list\"\nname = \" \"\n",
            &[(5, "`name` is empty"), (3, "`jurisdiction`: is missing")],
        ),
        (
            "[[register]]\nid = \"zz-dnc\"\nname = \"again\"\njurisdiction = \"Narnia\"\nurl = 1\n",
            &[(6, "jurisdiction `Narnia`"), (7, "`url`: unknown key")],
        ),
        (
            "[[register]]\nid = \"x\"\nname = 1\njurisdiction = \"US\"\n[[register]]\nid = \"x\"\nname = \"x\"\njurisdiction = \"US\"\n",
            &[(5, "`name`: "), (8, "the id is taken by house.toml:3")],
        ),
        (
            "[groups]\nFR = [\"FR\"]\nHOUSE = [\"FR\", 5, \"fr\", \"XQ\", \"FR\"]\nBARE = 1\n",
            &[
                (4, "`FR` in [groups]: the name"),
                (5, "expected a list"),
                (5, "`fr` is no ISO"),
                (5, "no country `XQ`"),
                (5, "named twice"),
                (6, "`BARE` in [groups]: expected a list"),
            ],
        ),
        (
            "[territories]\nUS = [\"PR\", \"GU\"]\n",
            &[
                (0, "`PR` is under the law of `US`"),
                (0, "`GU` is under the law of `US`"),
            ],
        ),
        (
            "[[holiday_calendar]]\nid = \"H\"\njurisdiction = \"US\"\nweekend_shift = \"up\"\ncertainty = \"recall\"\ndays = [\n\
          { name = \"a\", fixed = \"13-01\" },\n{ name = \"b\" },\n{ name = \"c\", fixed = \"02-30\", nth = { month = 13, weekday = \"mon\", n = 1 } },\n\
          { name = \"d\", nth = { month = 1, weekday = \"moon\", n = 9, x = 1 } },\n7,\n{ fixed = \"01-01\", years = \"odd\" },\n\
          { name = \"e\", nth = { month = 13, weekday = \"mon\", n = 1 } },\n]\n",
            &[
                (6, "`weekend_shift`: "),
                (9, "`days[0].fixed`: `13-01`"),
                (10, "`b` needs exactly one"),
                (11, "`days[2].fixed`: `02-30`"),
                (11, "`c` needs exactly one"),
                (12, "`days[3].nth.weekday`: `moon`"),
                (12, "`days[3].nth.x`: unknown key"),
                (13, "`days[4]`: "),
                (14, "`days[5].name`: is missing"),
                (14, "`days[5].years`: "),
                (15, "`days[6].nth`: `e` names no date"),
            ],
        ),
        (
            "[[closed_day]]\njurisdiction = \"US-LO\"\ndate = \"2026-02-30\"\nreason = \" \"\nwhy = 1\n",
            &[
                (4, "knows `US-LO`"),
                (5, "`date`: "),
                (6, "`reason` is empty"),
                (7, "`why`: unknown key"),
            ],
        ),
        (
            "[[closed_day]]\njurisdiction = \"US\"\ndate = \"2026-03-30\"\nreason = 3\n[[closed_day]]\njurisdiction = \"US\"\ndate = \"2026-03-30\"\nreason = \"b\"\n",
            &[
                (6, "`reason`: "),
                (9, "is closed in `US` by house.toml:3 already"),
            ],
        ),
        (
            "[[disabled_rule]]\nid = \"US-nothing\"\nreason = \"\"\n[[disabled_rule]]\nid = \"US-window\"\n",
            &[
                (4, "there is no rule `US-nothing`"),
                (5, "`reason` is empty"),
                (6, "`reason`: is missing"),
                (7, "only rules of certainty"),
            ],
        ),
        (
            "[[split_area_code]]\nnpa = 1\nzones = [1, \"x\", 2]\n",
            &[
                (4, "`npa`: "),
                (5, "`zones[0]`: "),
                (5, "`zones[2]`: "),
                (3, "`jurisdiction`: is missing"),
                (3, "`certainty`: is missing"),
            ],
        ),
        (
            "[conventions]\nconsumer_line_types = [\"fax\", \"mobile\", \"pigeon\"]\n",
            &[
                (4, "`consumer_line_types[0]`"),
                (4, "`consumer_line_types[2]`"),
            ],
        ),
    ];
    for (text, wanted) in rows {
        let found = told(&[("house.toml", &format!("{HEAD}{text}"))]);
        let place = |line: &u32| match line {
            0 => "us.toml:16".to_owned(),
            line => format!("house.toml:{line}"),
        };
        let wanted: Vec<_> = (wanted.iter())
            .map(|(line, says)| (place(line), *says))
            .collect();
        assert_told(&found, &wanted);
    }
}

/// Appended to the built-in table and vectors, whose last line is known.
#[test]
fn each_fault_of_a_holiday_and_a_vector_alone() {
    let line = |file: &str| {
        let text = pack().files().text(file).unwrap();
        format!("{file}:{}", text.lines().count() + 1)
    };
    let holidays: &[(&str, &[&str])] = &[
        (
            "NZ,,Day,0,2026-13-01 2026-02-30 2026-02-03\n",
            &["`dates`: `2026-13-01`", "`dates`: `2026-02-30`"],
        ),
        (
            "New Zealand,,,2,\n",
            &[
                "`New Zealand`",
                "`name` is empty",
                "`observed`: `2`",
                "`dates` is empty",
            ],
        ),
        ("NZ,AU-ACT,Day,0,2026-02-03\n", &["`region`: `AU-ACT`"]),
        ("NZ,,Day\n", &["five fields"]),
    ];
    for (row, says) in holidays {
        let wanted: Vec<_> = says
            .iter()
            .map(|says| (line("holidays.csv"), *says))
            .collect();
        assert_told(&told(&[("holidays.csv", row)]), &wanted);
    }
    let good = r#"{"id":"v","call":{"at":"2026-04-21T12:59:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{},"expect":{"verdict":"deny","rules":["US-national-dnc"]}}"#;
    let vectors: &[(&str, &str, &[&str])] = &[
        ("", "", &[]),
        (
            "\"expect\"",
            "\"hope\"",
            &[
                "case `v`: hope: unknown key",
                "case `v`: expect: is missing",
            ],
        ),
        (
            "US-national-dnc",
            "US-nothing\",\"US-none",
            &[
                "expect.rules[0]: there is no rule `US-nothing`",
                "expect.rules[1]: ",
            ],
        ),
        (
            "\"deny\"",
            "\"allow\"",
            &["case `v`: expect: should be allow"],
        ),
        ("\"deny\"", "3", &["expect.verdict: "]),
        (
            "{}",
            "{\"minor\":\"no\",\"audience\":\"x\",\"emergency_regions\":[\"US-LA\",\"US-LO\"]}",
            &[
                "facts.minor: ",
                "facts.audience: ",
                "facts.emergency_regions[1]: ",
            ],
        ),
        (
            "{}",
            "{\"consents\":[{\"at\":1},{\"action\":\"given\",\"at\":\"2026-04-01T00:00:00Z\",\"form\":\"loud\"}]}",
            &[
                "facts.consents[0].at: ",
                "facts.consents[0].action: is missing",
                "facts.consents[1].form: ",
            ],
        ),
        (
            "{}",
            "{\"location\":{\"country\":\"QQ\",\"region\":\"US-XX\",\"timezone\":\"Mars/X\"}}",
            &[
                "facts.location.country: ",
                "facts.location.region: ",
                "facts.location.timezone: ",
            ],
        ),
        ("\"facts\"", "\"facts", &["not a case: "]),
    ];
    for (from, to, says) in vectors {
        let text = good.replacen(from, to, 1);
        let wanted: Vec<_> = says
            .iter()
            .map(|says| (line("tests/us.jsonl"), *says))
            .collect();
        assert_told(&told(&[("tests/us.jsonl", &format!("{text}\n"))]), &wanted);
    }
}

/// One folder with some forty faults in five files, several in a row and in a list; none hides another, and none follows
/// from another: what a row with a fault declares is there for those that refer to it.
#[test]
fn all_faults_of_a_folder_at_once() {
    let one = format!(
        "{HEAD}[groups]\nHOUSE = [\"NZ\", 5]\n[[register]]\nid = \"nz-list\"\njurisdiction = \"NZ\"\nname = 7\n\
         [[holiday_calendar]]\nid = \"NZ-days\"\njurisdiction = \"NZ\"\nweekend_shift = \"none\"\ncertainty = \"recall\"\n\
         days = [\n{{ name = \"a\", fixed = \"13-01\" }},\n{{ name = \"b\", fixed = \"02-30\" }},\n]\n"
    );
    let two = format!(
        "{HEAD}{}{}{}",
        rule(&[
            ("\"NZ\"", "\"HOUSE\""),
            (
                "[\"live_manual\"]",
                "[\"robot\", \"live_manual\", \"android\"]"
            ),
            ("\"both\"", "\"all\""),
            (
                WINDOWS,
                "windows = { mon-fri = [\"9-5\", \"08:00-10:00\", \"x\", \"09:00-11:00\"], sat = [] }"
            ),
            (
                "citation = \"house rule\"",
                "colour = 1\nholiday_calendar = \"NZ-days\"\non_holiday = []\neffective_from = \"2026-02-30\""
            ),
        ]),
        rule(&[
            ("HOUSE-1", "HOUSE-2"),
            ("\"calling_window\"", "\"register\""),
            (
                WINDOWS,
                "register = \"nz-list\"\nmax_age_days = -1\nrefresh_days_of_month = [0, 1, 31]"
            ),
            ("\"recall\"", "\"sure\""),
        ]),
        rule(&[
            ("\"calling_window\"", "\"register\""),
            (WINDOWS, "register = \"nz-other\"\nmax_age_days = 1")
        ]),
    );
    let three = format!(
        "{HEAD}[[disabled_rule]]\nid = \"HOUSE-2\"\nreason = \"\"\n[[disabled_rule]]\nid = \"HOUSE-9\"\n\
         [[closed_day]]\njurisdiction = \"HOUSE\"\ndate = \"2026-02-31\"\nreason = \"x\"\nwhy = 1\n[surprise]\n"
    );
    let vectors = "{\"id\":\"v\",\"call\":{\"at\":\"now\",\"to\":4045550141,\"call_kind\":\"robot\"},\"facts\":{},\"expect\":{\"verdict\":\"deny\",\"rules\":[\"HOUSE-1\",\"HOUSE-9\"]}}\n{\n";
    let found = told(&[
        ("one.toml", &one),
        ("two.toml", &two),
        ("three.toml", &three),
        ("tests/house.jsonl", vectors),
    ]);
    let wanted = [
        ("one.toml:4", "`HOUSE` in [groups]: expected a list"),
        ("one.toml:8", "register `nz-list`: `name`: "),
        (
            "one.toml:15",
            "calendar `NZ-days`: `days[0].fixed`: `13-01`",
        ),
        (
            "one.toml:16",
            "calendar `NZ-days`: `days[1].fixed`: `02-30`",
        ),
        ("two.toml:3", "rule `HOUSE-1`: `citation`: is missing"),
        ("two.toml:7", "`call_kinds[0]`: "),
        ("two.toml:7", "`call_kinds[2]`: "),
        ("two.toml:8", "`audience`: "),
        ("two.toml:9", "`windows.mon-fri[0]`: `9-5`"),
        ("two.toml:9", "`windows.mon-fri[2]`: `x`"),
        ("two.toml:9", "08:00-10:00 and 09:00-11:00 overlap"),
        ("two.toml:9", "`sun` is missing"),
        ("two.toml:10", "`colour`: unknown key"),
        ("two.toml:13", "`effective_from`: "),
        ("two.toml:22", "`max_age_days` must not be negative"),
        ("two.toml:23", "and not 0"),
        ("two.toml:23", "and not 31"),
        ("two.toml:25", "rule `HOUSE-2`: `certainty`: "),
        ("two.toml:27", "the id is taken by two.toml:3"),
        ("two.toml:32", "register `nz-other` is not declared"),
        ("three.toml:5", "disabled rule `HOUSE-2`: `reason` is empty"),
        ("three.toml:6", "`reason`: is missing"),
        ("three.toml:7", "there is no rule `HOUSE-9`"),
        ("three.toml:10", "closed day: `date`: "),
        ("three.toml:12", "closed day: `why`: unknown key"),
        ("three.toml:13", "unknown table `surprise`"),
        ("tests/house.jsonl:1", "case `v`: call.at: "),
        ("tests/house.jsonl:1", "case `v`: call.to: "),
        ("tests/house.jsonl:1", "case `v`: call.call_kind: "),
        ("tests/house.jsonl:1", "case `v`: expect.rules[1]: "),
        ("tests/house.jsonl:2", "not a case: "),
    ];
    let wanted = wanted.map(|(place, says)| (place.to_owned(), says));
    assert_told(&found, &wanted);
}
