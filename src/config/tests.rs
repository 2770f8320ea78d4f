//! What a configuration may say, and what is said of one that may not be.

use super::*;
use crate::domain::route::{Carrier, Dialing};

const EXAMPLE: &str = include_str!("../../deploy/dialgate.example.toml");

fn parse(text: &str) -> Result<Config, ConfigProblems> {
    Config::parse(
        text,
        Environment::with_prefix("DIALGATE_TEST").source(Some(::config::Map::new())),
    )
}

#[test]
fn the_example_is_a_configuration() {
    let config = parse(EXAMPLE).unwrap();
    assert_eq!(config.lanes.len(), 1);
    assert_eq!(config.campaigns.len(), 2);
    let carrier = config.gate.trunks.get("carrier");
    assert_eq!(carrier, Some(&Carrier::of_all(1_000)));
}

/// An agent is called without the gate, so the way to one must lead to no trunk.
#[test]
fn agents_are_named_with_what_is_wrong_with_them() {
    let with = |lines: &str| parse(&format!("{EXAMPLE}\n[agent.anna]\n{lines}\n"));
    let config = with("uri = \"sip:anna@127.0.0.1:5062\"").unwrap();
    assert!(config.gate.agents.contains("anna"));
    assert_eq!(config.dialer.agents.len(), 1);
    for (lines, wanted) in [
        ("", "[agent.anna]"),
        (
            "uri = \"sip:anna@127.0.0.1:5062\"\npin = 1",
            "unknown field `pin`",
        ),
        (
            "uri = \"sip:+14045550141@127.0.0.1:5062\"",
            "[agent.anna] uri: `+14045550141` may be a telephone number",
        ),
        (
            "uri = \"sip:anna@127.0.0.1:5070\"",
            "[agent.anna] uri: `127.0.0.1:5070` is where the trunk `carrier` leads to",
        ),
        (
            "uri = \"sip:anna@pbx.example\"\ntarget = \"tcp:127.0.0.1:5070\"",
            "[agent.anna] target: `tcp:127.0.0.1:5070` is where the trunk `carrier` leads to",
        ),
        (
            "uri = \"sip:anna@127.0.0.1:5060\"",
            "[agent.anna] target: `127.0.0.1:5060` is our own",
        ),
        (
            "uri = \"sip:anna@[::ffff:127.0.0.1]:5070\"",
            "is where the trunk `carrier` leads to",
        ),
        (
            "uri = \"sip:112@127.0.0.1:5062\"",
            "[agent.anna] uri: `112` is an emergency or short number",
        ),
    ] {
        let told = with(lines).unwrap_err().to_string();
        assert!(told.contains(wanted), "{wanted} in {told}");
    }
    // The lines of the example are such a section.
    let uncommented = EXAMPLE.replace("# [agent.anna]", "[agent.anna]").replace(
        "# uri = \"sip:anna@pbx.example.com\"",
        "uri = \"sip:anna@pbx.example.com\"",
    );
    assert!(parse(&uncommented).unwrap().gate.agents.contains("anna"));
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let text = EXAMPLE
        .replace("ring_timeout_seconds = 45", "ring_timeout_seconds = 5")
        .replace("destinations = [\"DE\"]", "destinations = [\"Germany\"]")
        .replace("drain_seconds = 30", "drain_second = 30");
    let ConfigProblems(problems) = parse(&format!("{text}\n[telemetri]\nx = 1\n")).unwrap_err();
    for wanted in [
        "[trunk.carrier] ring_timeout_seconds",
        "`Germany`",
        "[dialer]",
        "drain_second",
        "[telemetri]",
    ] {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{wanted} in {problems:#?}"
        );
    }
}

#[test]
fn what_would_fail_or_fail_open_later_is_refused_at_once() {
    let text = EXAMPLE
        .replace("url = \"sqlite:dialgate.db\"", "url = \"mysql://x\"")
        .replace("max_connections = 8", "max_connections = 0")
        .replace(
            "# [grpc.tls]\n# cert_file = \"server.pem\"\n# key_file = \"server-key.pem\"",
            "[grpc.tls]\ncert_file = \"/nowhere/c.pem\"\nkey_file = \"/nowhere/k.pem\"",
        )
        .replace(
            "# emergency_regions = []",
            "emergency_regions = [\"US-LA\", \"LA\", \"us-la\", \"US-LOUISIANA\"]",
        )
        .replace("[trunk.carrier]", "[trunk.carrier]\nnonsense = 1")
        .replace("[log]", "[log]\nfilter = \"dialgate=lowd\"")
        + CAMPAIGN;
    let ConfigProblems(problems) = parse(&text).unwrap_err();
    for wanted in [
        "[store] url",
        "[store] max_connections",
        "[grpc] tls.cert_file: cannot read `/nowhere/c.pem`",
        "[grpc] tls.key_file: cannot read `/nowhere/k.pem`",
        "[gate] emergency_regions: `LA`",
        "[gate] emergency_regions: `us-la`",
        "[gate] emergency_regions: `US-LOUISIANA`",
        "[trunk.carrier]",
        "[log] filter: `dialgate=lowd`",
        "[campaign.wrong] seller: is empty",
        "[campaign.wrong] destinations: `XX`",
        "[campaign.wrong] controller_country: `QQ`",
        "[campaign.wrong] caller_ids, number 2: ",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(wanted)),
            "{wanted} in {problems:#?}"
        );
    }
    assert_eq!(
        problems.len(),
        13,
        "none of a campaign whose trunk is broken, none of US-LA: {problems:#?}"
    );
}

const CAMPAIGN: &str = "
[campaign.wrong]
seller = \" \"
trunk = \"carrier\"
destinations = [\"US\", \"XX\"]
controller_country = \"QQ\"
caller_ids = [{ number = \"+14045550100\" }, { number = \"+19005550100\" }]
";

#[test]
fn providers_are_rows_and_each_problem_names_its_row() {
    let rows = "
[[provider]]
name = \"rnd\"
kind = \"reassigned\"
countries = [\"US\"]
url = \"https://rnd.example/check\"

[[provider]]
name = \"lines\"
kind = \"line_type\"
countries = [\"US\", \"CA\"]
url = \"http://127.0.0.1:8080/\"
valid_days = 3
";
    let config = parse(&format!("{EXAMPLE}{rows}")).unwrap();
    let names: Vec<&str> = config
        .gate
        .providers
        .iter()
        .map(|each| each.name.as_str())
        .collect();
    assert_eq!(names, ["rnd", "lines"]);
    let wrong = "
[[provider]]
name = \"rnd\"
kind = \"reassigned\"
countries = [\"US\", \"Canada\"]
url = \"http://rnd.example/check\"

[[provider]]
name = \"suits\"
kind = \"litigator\"
countries = [\"US\"]
register = \"us-suits\"
url = \"https://suits.example/\"

[[provider]]
name = \"x\"
kind = \"oracle\"
countries = [\"US\"]
url = \"https://x.example/\"

[[provider]]
name = \"y\"
kind = \"line_type\"
countries = [\"US\"]
url = \"https://y.example/\"
timeout = 5
";
    let ConfigProblems(problems) = parse(&format!("{EXAMPLE}{rows}{wrong}")).unwrap_err();
    for wanted in [
        "[[provider]] number 3: url: is not encrypted",
        "[[provider]] number 3: countries: `Canada`",
        "[[provider]] number 3: name: `rnd` stands twice",
        "[[provider]] number 3: countries: `rnd` is asked the same",
        "[[provider]] number 4: register: no rule that decides asks a register `us-suits`",
        "[[provider]] number 5:",
        "[[provider]] number 6:",
    ] {
        assert!(
            problems.iter().any(|problem| problem.starts_with(wanted)),
            "{wanted} in {problems:#?}"
        );
    }
    assert_eq!(problems.len(), 7, "{problems:#?}");
}

/// A word that nobody knows would leave the campaign without an introduction, or worse.
#[test]
fn how_calls_introduce_themselves_is_a_known_word() {
    let with = |key: &str, word: &str| {
        let (from, to) = match key {
            "introduction" => ("# introduction = \"live\"", "introduction"),
            _ => ("# voice = \"human\"", "voice"),
        };
        parse(&EXAMPLE.replace(from, &format!("{to} = \"{word}\"")))
    };
    for (key, word) in [
        ("introduction", "live"),
        ("introduction", "recorded"),
        ("introduction", "none"),
        ("voice", "human"),
        ("voice", "recorded"),
        ("voice", "ai_generated"),
    ] {
        let config = with(key, word).unwrap();
        let campaign = config
            .campaigns
            .iter()
            .find(|each| each.seller == "example-us");
        let campaign = campaign.unwrap();
        let told = [
            campaign.introduction.map(|told| told.to_string()),
            campaign.voice.map(|told| told.to_string()),
        ];
        let place = usize::from(key == "voice");
        assert_eq!(told[place].as_deref(), Some(word));
        assert_eq!(told[1 - place], None);
    }
    for key in ["introduction", "voice"] {
        let ConfigProblems(problems) = with(key, "robot").unwrap_err();
        assert!(
            problems.len() == 1
                && problems[0].starts_with("[campaign.us-sales] ")
                && problems[0].contains("`robot`"),
            "{problems:?}"
        );
    }
}

/// Every line of the example can be taken as it stands, and what is wrong is told by the place of its row.
#[test]
fn webhooks_are_rows_with_names_of_their_own() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_, section) = EXAMPLE.split_once("# [[webhook]]").unwrap();
    let (section, _) = section.split_once("[rules]").unwrap();
    let settings = section.lines().filter_map(|line| line.strip_prefix("# "));
    let settings = settings.filter(|line| {
        line.split_once(" = ")
            .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    });
    let row: Vec<&str> = std::iter::once("[[webhook]]").chain(settings).collect();
    assert_eq!(row.len(), 8, "{row:?}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, format!("whsec_{}", "QUJD".repeat(8))).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let file = file.display().to_string();
    let row = row.join("\n").replace("crm.secret.old", &file);
    let row = format!("\n{}\n", row.replace("crm.secret", &file));
    let config = parse(&format!("{EXAMPLE}{row}")).unwrap();
    assert_eq!(config.webhooks[0].name, "crm");
    assert_eq!(config.gate.webhooks, ["crm"]);
    let hours = row.replace("retry_hours = 72", "retry_hours = 2");
    let unknown = row.replace("retry_hours", "retries");
    let told = parse(&format!("{EXAMPLE}{row}{row}{hours}{unknown}"));
    let ConfigProblems(problems) = told.unwrap_err();
    for wanted in [
        "[[webhook]] number 4: unknown field `retries`",
        "[[webhook]] number 2: name: `crm` is taken by another one",
        "[[webhook]] number 3: retry_hours: is 2, set 24 to 720",
    ] {
        let found = problems.iter().any(|each| each.starts_with(wanted));
        assert!(found, "{wanted} in {problems:#?}");
    }
    assert_eq!(problems.len(), 3, "{problems:#?}");
}

/// Every line of the example can be taken as it stands.
#[test]
fn a_trunk_names_a_media_anchor_that_is_there() {
    let lines = [
        "[anchor.main]",
        "engines = [\"127.0.0.1:2223\"]",
        "timeout_ms = 1000\n# How often each is asked",
        "ping_seconds = 5",
        "client_interface = \"public\"",
        "carrier_interface = \"private\"",
    ];
    let text = lines.iter().fold(EXAMPLE.to_owned(), |text, line| {
        assert!(text.contains(&format!("# {line}")), "{line}");
        text.replace(&format!("# {line}"), line)
    });
    // Nobody uses it yet.
    assert!(parse(&text).unwrap().lanes[0].anchor.is_none());
    let named = text.replace("# anchor = \"main\"", "anchor = \"main\"");
    let config = parse(&named).unwrap();
    assert_eq!(config.lanes[0].anchor.as_ref().unwrap().name(), "main");
    assert!(config.carriers()["carrier"].anchored);
    for (text, wanted) in [
        (
            named.replace("[anchor.main]", "[anchor.other]"),
            "[trunk.carrier] anchor: there is no section [anchor.main]",
        ),
        (
            named.replace("\"127.0.0.1:2223\"", ""),
            "[anchor.main] engines: name 1 to 4",
        ),
        (
            named.replace("127.0.0.1:2223", "localhost:2223"),
            "[anchor.main] ",
        ),
        (
            named.replace("\nping_seconds", "\nping_minutes"),
            "[anchor.main] unknown field `ping_minutes`",
        ),
    ] {
        let ConfigProblems(problems) = parse(&text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].starts_with(wanted), "{problems:#?}");
    }
}

#[test]
fn forms_need_a_console_and_a_seller_that_somebody_calls_for() {
    let uncommented = |from: &str, text: &str| text.replace(&format!("# {from}"), from);
    let lines = [
        "[consent_source.website]",
        "secret_file = \"website.secret\"",
        "seller = \"example-us\"\n# form",
        "[console]",
    ];
    let text = lines
        .iter()
        .fold(EXAMPLE.to_owned(), |text, line| uncommented(line, &text));
    let told = parse(&text).unwrap_err().to_string();
    assert!(
        told.contains("[consent_source.website] secret_file: cannot read `website.secret`"),
        "{told}"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef").unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = text.replace("website.secret", &file.display().to_string());
    let console = parse(&text).unwrap().console.unwrap();
    assert_eq!(console.sources[0].name, "website");
    assert_eq!(console.listen, ConsoleConfig::default().listen);
    assert_eq!(parse(EXAMPLE).unwrap().console, None);
    for (from, to, wanted) in [
        (
            "\n[console]",
            "\n# [console]",
            "[consent_source]: forms are sent to the console",
        ),
        (
            "seller = \"example-us\"\n# form",
            "seller = \"nobody\"\n# form",
            "[consent_source.website] seller: no campaign calls for `nobody`",
        ),
        (
            "# listen = \"127.0.0.1:8080\"",
            "listen = \"0.0.0.0:8080\"",
            "[console] listen: `0.0.0.0:8080`",
        ),
        (
            "# form = \"web_form\"",
            "form = \"click\"",
            "[consent_source.website]",
        ),
    ] {
        let ConfigProblems(problems) = parse(&text.replace(from, to)).unwrap_err();
        assert!(
            problems.len() == 1 && problems[0].starts_with(wanted),
            "{wanted} in {problems:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_signing_key_is_read_and_its_certificates_days_are_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.not_after = rcgen::date_time_ymd(2027, 1, 1);
    let certificate = params.self_signed(&pair).unwrap();
    let (key, pem) = (folder.path().join("key"), folder.path().join("pem"));
    std::fs::write(&key, pair.serialize_pem()).unwrap();
    std::fs::write(&pem, certificate.pem()).unwrap();
    let mode = |mode| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o600);
    let section = format!(
        "[trunk.carrier.identity]\nattest = \"A\"\norigid = \"4437c7eb-8f7a-4f0e-a863-f53a0e60251a\"\nkey_file = \"{}\"\n\
         certificate_url = \"https://cert.example/c.pem\"\ncertificate_file = \"{}\"\n",
        key.display(),
        pem.display()
    );
    let text = format!("{EXAMPLE}\n{section}");
    let config = parse(&text).unwrap();
    let at = |text: &str| Micros::from(text.parse::<jiff::Timestamp>().unwrap());
    assert!(
        config
            .certificate_problems(at("2026-12-31T00:00:00Z"))
            .is_empty()
    );
    for (instant, soon) in [
        ("2026-12-17T00:00:00Z", false),
        ("2026-12-19T00:00:00Z", true),
        ("2027-01-02T00:00:00Z", false),
    ] {
        let told = config.certificates_ending(at(instant));
        assert_eq!(told.len(), usize::from(soon), "{instant}: {told:?}");
    }
    let told = config.certificate_problems(at("2027-01-02T00:00:00Z"));
    assert!(
        told[0]
            .starts_with("[trunk.carrier] identity.certificate_file: was valid until 2027-01-01")
    );
    let asserted = text.replace(
        "# trusted = false",
        "trusted = true\nasserted_number = \"+12125550199\"",
    );
    let ConfigProblems(problems) = parse(&asserted).unwrap_err();
    assert!(
        problems[0].starts_with("[trunk.carrier] asserted_number: "),
        "{problems:?}"
    );
    mode(0o644);
    let ConfigProblems(problems) = parse(&text).unwrap_err();
    let wanted = "[trunk.carrier] identity.key_file: ";
    assert!(
        problems[0].starts_with(wanted) && problems[0].contains("chmod 600"),
        "{problems:?}"
    );
}

#[test]
fn trunks_that_a_campaign_would_never_take_are_told() {
    let with = |trunk: &str, campaign: &str| {
        let text = EXAMPLE
            .replace("[trunk.carrier]", &format!("[trunk.carrier]\n{trunk}"))
            .replacen("trunk = \"carrier\"", campaign, 1);
        let second = "\n[trunk.spare]\ntarget = \"127.0.0.1:5071\"\n";
        parse(&(text + second)).map_err(|problems| problems.to_string())
    };
    let one = "trunk = \"carrier\"";
    let both = "trunk = \"carrier\"\ntrunks = [{ trunk = \"spare\", priority = 1 }]\ncalls_per_second = 3\nshare = 2";
    let config = with("destinations = [\"+1\", \"+49\"]", both).unwrap();
    let dialing = |name: &str| {
        let mut all = config.campaigns.iter();
        all.find(|each| each.campaign_id == name)
            .unwrap()
            .dialing
            .clone()
    };
    let us = dialing("us-sales");
    assert_eq!((us.routes.len(), us.share.get()), (2, 2));
    assert_eq!(us.rate.unwrap().burst.get(), 1);
    assert_eq!(dialing("de-sales"), Dialing::by("carrier"));
    for (trunk, campaign, told) in [
        ("", "", "trunk: is missing"),
        (
            "",
            "trunk = \"nowhere\"",
            "trunk: there is no section [trunk.nowhere]",
        ),
        (
            "",
            "trunks = [{ trunk = \"nowhere\" }]",
            "trunks: there is no section [trunk.nowhere]",
        ),
        (
            "",
            "trunks = [{ trunk = \"spare\" }, { trunk = \"spare\" }]",
            "trunks: `spare` is named twice",
        ),
        (
            "",
            "trunks = [{ trunk = \"spare\", prefix = \"49\" }]",
            "not the beginning of a number",
        ),
        (
            "",
            "trunk = \"carrier\"\nburst = 3",
            "burst: needs calls_per_second",
        ),
        ("", "trunk = \"carrier\"\nshare = 1001", "share: is 1001"),
        (
            "",
            "trunk = \"carrier\"\ncalls_per_second = 10001",
            "calls_per_second: is 10001",
        ),
        (
            "destinations = [\"+44\"]",
            "trunks = [{ trunk = \"carrier\", prefix = \"+49\" }]",
            "carries no number that begins with `+49`",
        ),
        (
            "caller_ids = [\"+12125550199\"]",
            one,
            "may show none of the campaign's caller_ids",
        ),
    ] {
        let problems = with(trunk, campaign).unwrap_err();
        assert!(problems.contains(told), "{told}: {problems}");
    }
}

#[test]
fn paces_of_prefixes_are_rows() {
    let with = |rows: &str| parse(&format!("{EXAMPLE}\n{rows}"));
    let row = "[[pace]]\nprefix = \"+4930\"\ncalls_per_second = 1\n";
    assert_eq!(with(row).unwrap().dialer.paces.len(), 1);
    for (rows, told) in [
        (
            row.to_owned() + row,
            "number 2: prefix: `+4930` has a row already",
        ),
        (row.replace("= 1", "= 0"), "[[pace]] number 1:"),
        (
            row.replace("+4930", "4930"),
            "not the beginning of a number",
        ),
        (row.replace("= 1", "= 10001"), "calls_per_second: is 10001"),
    ] {
        let problems = with(&rows).unwrap_err().to_string();
        assert!(problems.contains(told), "{told}: {problems}");
    }
}

#[test]
fn targets_of_a_trunk_are_told_by_their_key() {
    let with = |key: &str, value: &str| {
        let text = EXAMPLE.replace(key, value);
        parse(&text).map(|config| config.lanes[0].config.fallback_targets.len())
    };
    let further = "# fallback_targets = [\"127.0.0.1:5071\"]";
    assert_eq!(with(further, &further[2..]).unwrap(), 1);
    for value in [
        "127.0.0.1:5070",
        "no where",
        "sctp:127.0.0.1:5071",
        "tls:",
        "127.0.0.1:0",
        "224.0.0.1:5060",
        // Our own, in `[sip] listen`.
        "127.0.0.1:5060",
    ] {
        let told = with(further, &format!("fallback_targets = [\"{value}\"]"));
        let told = told.unwrap_err().to_string();
        let named = told.contains("[trunk.carrier]") && told.contains("fallback_targets");
        assert!(named, "{told}");
    }
    for value in ["127.0.0.1:0", "255.255.255.255:5060", "127.0.0.1:5060"] {
        let target = format!("target = \"{value}\"");
        let told = with("target = \"127.0.0.1:5070\"", &target);
        let told = told.unwrap_err().to_string();
        assert!(told.contains("[trunk.carrier] target: "), "{told}");
    }
}

#[test]
fn a_folder_of_rules_replaces_or_adds() {
    let folder = tempfile::tempdir().unwrap();
    let row = |id: &str| {
        format!(
            "schema = 2\nas_of = \"2026-11-22\"\n[[register]]\nid = \"{id}\"\njurisdiction = \"US\"\nname = \"ours\"\n"
        )
    };
    let with = |mode: &str| {
        let rules = format!("[rules]\nfolder = \"{}\"\n{mode}", folder.path().display());
        parse(&EXAMPLE.replace("[rules]", &rules))
    };
    let told = |mode: &str| with(mode).unwrap_err().to_string();
    std::fs::write(folder.path().join("own.toml"), row("own")).unwrap();
    let config = with("mode = \"add\"").unwrap();
    assert!(config.pack.register("own").is_some());
    assert!(config.pack.find("US-window").is_some());
    assert!(told("").contains("is loaded with `--add`"), "{}", told(""));
    assert!(told("mode = \"merge\"").contains("[rules]"));
    std::fs::write(folder.path().join("own.toml"), row("us-dnc")).unwrap();
    let taken = told("mode = \"add\"");
    assert!(
        taken.contains("added/own.toml:4: register `us-dnc`: the id is taken by us.toml:"),
        "{taken}"
    );
    std::fs::write(folder.path().join("operator.toml"), row("x")).unwrap();
    assert!(told("mode = \"add\"").contains("the server's own"));
    let text = EXAMPLE.replace("[rules]", "[rules]\nmode = \"add\"");
    assert!(
        parse(&text)
            .unwrap_err()
            .to_string()
            .contains("`add` needs a folder")
    );
}

#[test]
fn the_environment_wins_over_the_file() {
    let mut source = ::config::Map::new();
    source.insert(
        "DIALGATE__GRPC__LISTEN".to_owned(),
        "127.0.0.1:1".to_owned(),
    );
    let environment = Environment::with_prefix("DIALGATE")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true);
    let config = Config::parse(EXAMPLE, environment.source(Some(source))).unwrap();
    assert_eq!(config.grpc.listen.port(), 1);
}
