//! The command line: what it takes, what it says, and with which code it ends.

mod audit;
mod check_lists;
mod documents;
mod house;
mod list_care;
mod lists;
mod trunks;
mod webhooks;

use std::io::{BufRead, BufReader, Read};
use std::process::{Command as Process, Output};

use clap::{CommandFactory, Parser};
use dialgate::cli::Cli;

use house::{ANSWERS, BUSY, House, RINGS, STRANGER, program};

const REQUEST: &str = "7b0f3a0e-8a53-4d0e-9a57-3f2f9d2c4c11";

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

/// Every command, `optout add` as well as `check`.
fn commands() -> Vec<(String, clap::Command)> {
    fn walk(path: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
        found.push((path.to_owned(), command.clone()));
        for sub in command.get_subcommands() {
            walk(&format!("{path} {}", sub.get_name()), sub, found);
        }
    }
    let mut root = Cli::command();
    root.build();
    let mut found = Vec::new();
    walk("dialgate", &root, &mut found);
    found
}

#[test]
fn every_command_explains_itself_and_shows_an_example() {
    for (path, mut command) in commands() {
        let is_group = command.get_subcommands().next().is_some();
        assert!(!command.render_long_help().to_string().is_empty());
        assert!(command.get_about().is_some(), "{path} has no description");
        if path.contains(" help") || (is_group && path != "dialgate") {
            continue;
        }
        // The example must name the command as it is typed; an example of something else would mislead.
        let typed = if path == "dialgate" {
            "dialgate demo"
        } else {
            &path
        };
        let after = command
            .get_after_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(
            after.contains(typed),
            "no example in the help of `{path}`:\n{after}"
        );
        for argument in command.get_arguments() {
            let described = argument.get_help().is_some() || argument.is_hide_set();
            assert!(
                described,
                "`{path}` does not explain `{}`",
                argument.get_id()
            );
        }
    }
}

/// Lines that make sense and lines that do not, with what the refusal says.
#[test]
fn lines_are_taken_or_refused_with_the_argument_named() {
    let id = "0190d5a5-0000-7000-8000-000000000001";
    for good in [
        "check +14045550141 --campaign spring",
        "check +14045550141 --campaign spring --kind prerecorded --caller-id +14045550100 --json",
        &format!("check +14045550141 --campaign spring --party {id}"),
        "check --file list.csv --column phone --country US --at 2026-11-20T14:30:00Z --campaign spring --output x",
        "check --file - --campaign spring --kind autodialed --reasons --json",
        "call +14045550141 --campaign spring --sdp offer.sdp --expires 30 --no-watch",
        "call +14045550141 --campaign spring --expires 2026-11-20T14:30:00Z",
        "call +14045550141 --campaign spring --agent anna",
        "completions bash",
        "man ./man1",
        "optout watch --new",
        "optout watch --json --from 010000000000000002",
        "registry list --json",
        "registry list --history us-dnc",
        "registry import us-dnc --as-of 2026-11-20 212.txt 646.txt --dry-run",
        "registry import us-dnc --as-of 2026-11-20 --changes c.txt.gz --yes-it-shrank --yes-it-is-older --yes-leave-them-out -y",
        "registry import gb-tps --as-of 2026-11-20 tps.csv --column Number --covers 44 --country GB --rejects r.csv",
        &format!("registry diff us-dnc --from {id} --to {id}"),
        "policy test",
        "policy test --add ./house",
        "policy diff built-in ./rules --json",
        "policy list --place US-FL --kind register --all",
        "policy show US-window --json",
        "policy activate ./rules --reason x --dry-run",
        "policy activate --configured --reason x",
        "policy history --filter origin=\"uploaded\"",
        "policy stop set US-LA --until 2026-12-01T06:00:00Z --reason storm",
        &format!("policy stop lift {id} --reason over"),
        "policy closed-day add US-LA 2027-02-08 --reason proclamation",
        "policy closed-day list --place US-LA",
        "policy disable US-X --reason y",
        "optout add +14045550141",
        "optout add +14045550141 --seller acme --channel autodialed --channel prerecorded --reason objection --source ivr",
        &format!("optout add --party {id} --evidence e --note n"),
        "optout add --account ACME --purpose sales --purpose service --yes",
        "optout list --account ACME",
        "optout export - --account ACME",
        "optout import x --dry-run --yes --header --ignore-column Notes --ignore-column Name",
        "optout import a.csv --account-column Account --purposes-column 2 --purpose informational -y",
        "contact set +14045550141 --account ACME",
        &format!(
            "optout lift {id} --reason asked --evidence form-1 --evidence-time 2026-11-20T09:00:00Z"
        ),
        &format!("optout approve {id}"),
        "optout list --filter x --page-size 10 --all",
        "optout show +14045550141",
        "optout import list.csv --header --number-column Phone --country US --dry-run",
        "optout import - --yes --strict --reason objection --channel autodialed --at 2026-11-01T00:00:00Z --rejects x",
        "optout export out.csv.zst --filter x --format csv",
        "optout export - --number +14045550141 --format jsonl",
        "consent record +14045550141 --seller acme --form web_form --explicit --documented --at 2026-11-02T09:15:00Z",
        "consent record +14045550141 --seller acme --form oral --period 2027-12-31 --channel live_manual",
        "consent withdraw +14045550141 --seller acme --source sms_stop",
        "consent list",
        "consent list +14045550141",
        "consent show +14045550141",
        "consent show +14045550141 --json",
        "consent import consents.csv --header --dry-run",
        "consent import - --yes --number-column 1 --seller acme --form written --explicit --at 2026-11-01T00:00:00Z",
        "consent import x.csv.gz --header --number-column Phone --action withdrawn --channel autodialed --rejects r --strict",
        "contact set +14045550141 --audience consumer --zip 30303 --register us-dnc=clear@2026-11-20 --seller acme --notice v1",
        "contact show +14045550141",
        &format!("contact show {id}"),
        "trunk list",
        "trunk list --json",
        "webhook list --json",
        "webhook resume crm --from-start",
        "audit query --full --all",
        &format!("audit query --decision {id}"),
        "audit entries --filter kind=\"claim\" --all",
        "audit entries --number +14045550141 --json",
        &format!("audit entry {id} --key k"),
        "audit entry 17 --json",
        "audit checkpoint",
        "audit checkpoint --since kept --key k --json",
        "audit export log.jsonl.zst --force",
        "audit export - --from 17",
        "audit verify log.jsonl --checkpoint a --checkpoint b --key k",
        "audit verify log.jsonl.gz --json",
        "audit replay",
        "audit replay --filter verdict=deny --number +14045550141 --json",
        "policy replay",
        "policy replay ./rules --add --filter x --limit 10 --samples 0 --csv changed.csv --json",
        "policy replay --configured",
    ] {
        if let Err(problem) = parse(good) {
            panic!("`{good}` was refused:\n{problem}");
        }
    }
    for (bad, named) in [
        ("", "Usage"),
        ("chekc +14045550141", "check"),
        ("check +14045550141", "--campaign"),
        ("check --campaign spring", "NUMBER"),
        ("check +14045550141 --file x --campaign spring", "--file"),
        (
            "check +14045550141 --country US --campaign spring",
            "--country",
        ),
        (
            &format!("check --file x --party {id} --campaign spring"),
            "--party",
        ),
        ("check 911 --campaign spring", "E.164"),
        ("check 4045550141 --campaign spring", "E.164"),
        ("check +1911 --campaign spring", "E.164"),
        ("check tel:+14045550141 --campaign spring", "E.164"),
        ("check +14045550141;ext=911 --campaign spring", "E.164"),
        (
            "check +14045550141 --campaign spring --kind robot",
            "live_manual, autodialed, prerecorded",
        ),
        (
            "check +14045550141 --campaign spring --caller-id me",
            "--caller-id",
        ),
        ("check +14045550141 --campaign spring --party me", "--party"),
        (
            "check +14045550141 --campaign spring --key dg_secret",
            "--key",
        ),
        (
            "call +14045550141 --campaign spring --expires 0",
            "--expires",
        ),
        (
            "call +14045550141 --campaign spring --expires 86401",
            "--expires",
        ),
        (
            "call +14045550141 --campaign spring --agent anna --sdp offer.sdp",
            "--sdp",
        ),
        (
            "call +14045550141 --campaign spring --request-id 7",
            "--request-id",
        ),
        ("optout add", "<NUMBER|--party <UUID>|--account <ACCOUNT>>"),
        ("optout add +14045550141 --account ACME", "--account"),
        ("optout add +14045550141 --purpose fun", "informational"),
        ("optout add +14045550141 --reason whim", "party_request"),
        ("optout add +14045550141 --channel sms", "live_manual"),
        ("optout lift 7 --reason r --evidence e", "<ID>"),
        ("optout approve", "<ID>"),
        ("optout list --page-size 0", "--page-size"),
        ("optout import", "<FILE>"),
        ("optout import x --ignore-column", "--ignore-column"),
        ("optout import x --encoding ebcdic", "latin1"),
        ("optout export x --format xml", "jsonl"),
        ("optout show 555", "<NUMBER>"),
        ("optout list --page-size 1001", "--page-size"),
        ("consent record +14045550141 --seller acme", "--form"),
        (
            "consent record +14045550141 --seller acme --form oral --at yesterday",
            "--at",
        ),
        (
            "consent record +14045550141 --seller acme --form oral --period ever",
            "--period",
        ),
        ("consent withdraw +14045550141", "--seller"),
        ("contact set +14045550141 --register us-dnc", "--register"),
        ("contact set +14045550141 --notice n-1", "--seller"),
        ("contact set +14045550141 --assessment LIA-1", "--seller"),
        ("contact set +14045550141 --seller acme", "--notice"),
        ("contact show bob", "<NUMBER|ID>"),
        ("audit query --decision 7", "--decision"),
        ("audit replay --number 911", "--number"),
        ("policy replay ./rules --configured", "--configured"),
        ("policy replay --add", "<DIR|SHA256>"),
        ("policy replay --limit 0", "--limit"),
        ("policy replay --samples few", "--samples"),
    ] {
        let problem = parse(bad).map(|_| ()).expect_err(bad);
        assert!(problem.contains(named), "`{bad}`:\n{problem}");
    }
}

fn parse(line: &str) -> Result<Cli, String> {
    let words = std::iter::once("dialgate").chain(line.split_whitespace());
    Cli::try_parse_from(words).map_err(|problem| problem.to_string())
}

/// Runs the built program as a person would, without a server.
fn dialgate(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn code_and_errors(arguments: &[&str]) -> (i32, String) {
    let output = dialgate(arguments);
    assert!(output.stdout.is_empty(), "a failure has no answer");
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn usage_ends_with_2_and_a_server_that_is_not_there_with_1() {
    assert_eq!(code_and_errors(&["check"]).0, 2);
    let remote = [
        "check",
        "+14045550141",
        "--campaign",
        "spring",
        "--server",
        "http://192.0.2.1:50051",
    ];
    let (code, errors) = code_and_errors(&remote);
    assert_eq!(code, 2);
    assert!(errors.contains("use https://"), "{errors}");

    // Port 1 is reserved (TCPMUX) and closed on every machine that runs tests.
    let nobody = [
        "check",
        "+14045550141",
        "--campaign",
        "spring",
        "--server",
        "http://127.0.0.1:1",
    ];
    let (code, errors) = code_and_errors(&nobody);
    assert_eq!(code, 1);
    assert!(
        errors.starts_with("error: cannot reach the server at `http://127.0.0.1:1`"),
        "{errors}"
    );
    assert!(
        errors.contains("what to do: start it with `dialgate serve`"),
        "{errors}"
    );

    let (code, errors) = code_and_errors(&[&nobody[..], &["--json"]].concat());
    assert_eq!(code, 1);
    let object: serde_json::Value = serde_json::from_str(&errors).unwrap();
    assert!(
        object["error"]["message"]
            .as_str()
            .unwrap()
            .contains("cannot reach")
    );
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let path = file.to_str().unwrap();
    let fails = |arguments: &[&str], code: i32, part: &str| {
        let (found, errors) = code_and_errors(arguments);
        assert_eq!(found, code, "{errors}");
        assert!(errors.contains(part) && errors.contains(path), "{errors}");
    };
    let call = ["call", "+14045550141", "--campaign", "spring", "--json"];
    fails(&[&call[..], &["--sdp", path]].concat(), 1, "--sdp");
    fails(
        &[&call[..], &["--key-file", path]].concat(),
        1,
        "--key-file",
    );
    fails(
        &["contact", "set", "+14045550141", "--from-json", path],
        1,
        "--from-json",
    );
    std::fs::write(&file, r#"{"audience": "aliens"}"#).unwrap();
    fails(
        &["contact", "set", "+14045550141", "--from-json", path],
        2,
        "unknown word `aliens`",
    );
    std::fs::write(&file, "").unwrap();
    fails(&[&call[..], &["--sdp", path]].concat(), 2, "0 bytes");
    fails(
        &[&call[..], &["--key-file", path]].concat(),
        2,
        "not an API key",
    );
}

/// One opt-out from its recording to its lift by two people, and a denial at each step in between.
#[test]
fn an_opt_out_denies_until_two_people_lift_it() {
    let house = House::open();
    house.introduce(ANSWERS);
    let check = format!("check {ANSWERS} --campaign sydney");
    house
        .run("agent", &check)
        .code(0)
        .says("ALLOWED  campaign sydney, stage check");

    let add = format!("optout add {ANSWERS} --source agent --note asked --request-id {REQUEST}");
    let opt_out = house.run("agent", &format!("{add} --json")).code(0).json();
    let id = opt_out["suppression_id"].as_str().unwrap();
    assert_eq!(
        (&opt_out["reason"], &opt_out["source"]),
        (&"party_request".into(), &"agent".into())
    );
    // The same request again is the same opt-out; another one under its name is refused.
    assert_eq!(
        house.run("agent", &format!("{add} --json")).code(0).json()["suppression_id"],
        id
    );
    let other = format!("optout add {BUSY} --source agent --request-id {REQUEST}");
    house
        .run("agent", &other)
        .code(1)
        .says("REQUEST_ID_REUSED")
        .says("leave it out to get a fresh one");

    let denied = house
        .run("agent", &check)
        .code(3)
        .says("DENIED")
        .says("do not call: this person asked not to be called");
    assert!(
        denied.out.find("fail").unwrap() < denied.out.find("pass").unwrap(),
        "{}",
        denied.out
    );
    house
        .run("agent", &format!("call {ANSWERS} --campaign sydney"))
        .code(3)
        .says("DENIED");
    assert_eq!(house.received(ANSWERS).invites, 0);

    let listed = house
        .run("administrator", &format!("optout list --number {ANSWERS}"))
        .code(0)
        .says(id)
        .says("1 opt-out");
    assert!(listed.out.starts_with("ID "), "{}", listed.out);
    house
        .run("administrator", "optout list --filter nonsense=1")
        .code(1)
        .says("FILTER_INVALID");

    let now = dialgate::clock::Clock::Real.read().wall;
    let now = now.timestamp().to_string();
    let lift = [
        "optout",
        "lift",
        id,
        "--reason",
        "asked to be called again",
        "--evidence",
        "form-18",
        "--evidence-time",
        &now,
    ];
    let approve = format!("optout approve {id}");
    house
        .run_words("agent", &lift, "")
        .code(1)
        .says("PERMISSION_DENIED")
        .says("use a key whose role may do this");
    house
        .run("approver", &approve)
        .code(1)
        .says("LIFT_NOT_REQUESTED")
        .says("an administrator asks first");
    house
        .run_words("administrator", &lift, "")
        .code(0)
        .says("in force until an approver agrees");
    house
        .run_words("administrator", &lift, "")
        .code(1)
        .says("SECOND_APPROVER_REQUIRED");
    house.run("agent", &check).code(3);
    house.run("approver", &approve).code(0).says("is lifted");
}

#[test]
fn calls_end_with_the_code_of_what_became_of_them() {
    let house = House::open();
    for number in [ANSWERS, BUSY, RINGS] {
        house.introduce(number);
    }
    let answered = house
        .run("agent", &format!("call {ANSWERS} --campaign sydney --json"))
        .code(0);
    let lines = answered.lines();
    assert_eq!(lines[0]["decision"]["verdict"], "allow");
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["event"]["kind"].as_str())
        .collect();
    for kind in [
        "queued", "claimed", "inviting", "ringing", "answered", "ended",
    ] {
        assert!(kinds.contains(&kind), "{kind} is missing in {kinds:?}");
    }
    let sequences: Vec<i64> = lines
        .iter()
        .filter_map(|line| line["event"]["sequence"].as_i64())
        .collect();
    assert_eq!(
        sequences,
        (1..=i64::try_from(sequences.len()).unwrap()).collect::<Vec<_>>()
    );
    assert_eq!(lines.last().unwrap()["call"]["state"], "ended");

    house
        .run("agent", &format!("call {BUSY} --campaign sydney"))
        .code(1)
        .says("486")
        .says("failed, busy");
    house
        .run("agent", &format!("call {STRANGER} --campaign sydney"))
        .code(3)
        .says("DENIED");
    house
        .run(
            "agent",
            &format!("call {ANSWERS} --campaign sydney --no-watch"),
        )
        .code(0)
        .says("is queued");
}

/// Ctrl-C while it rings: the far end gets a CANCEL, and the command waits for the end before it leaves.
#[test]
fn an_interrupt_hangs_up() {
    let house = House::open();
    house.introduce(RINGS);
    let mut call = house
        .client("agent")
        .args(["call", RINGS, "--campaign", "sydney"])
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut out = BufReader::new(call.stdout.take().unwrap());
    while !said.contains("ringing") {
        assert_ne!(
            out.read_line(&mut said).unwrap(),
            0,
            "it ended before it rang:\n{said}"
        );
    }
    let signal = Process::new("kill")
        .args(["-INT", &call.id().to_string()])
        .status()
        .unwrap();
    assert!(signal.success());
    out.read_to_string(&mut said).unwrap();
    assert_eq!(call.wait().unwrap().code(), Some(1), "{said}");
    assert!(
        said.contains("hanging up") && said.contains("is over: canceled"),
        "{said}"
    );
    assert_eq!(
        (
            house.received(RINGS).cancels > 0,
            house.received(RINGS).byes
        ),
        (true, 0)
    );
}

#[test]
fn records_are_shown_as_they_were_made() {
    let house = House::open();
    house.introduce(ANSWERS);
    let shown = house
        .run("administrator", &format!("contact show {ANSWERS} --json"))
        .code(0);
    let mut person = shown.json();
    assert_eq!(person["numbers"][0]["registers"][0]["register"], "au-dncr");
    person["display_name"] = "A. Example".into();
    assert_eq!(person["dealings"][0]["notice"]["version"], "n-1");
    person["dealings"][0]["relationship"] =
        serde_json::json!({ "last_transaction_date": "2026-01-31", "member": true });
    let set = [
        "contact",
        "set",
        ANSWERS,
        "--language",
        "en",
        "--from-json",
        "-",
    ];
    house
        .run_words("administrator", &set, &person.to_string())
        .code(0)
        .says("last transaction 2026-01-31");
    // The file is as old as its etag: what was written since is not lost.
    house
        .run_words("administrator", &set, &person.to_string())
        .code(1)
        .says("ETAG_MISMATCH");
    let id = person["party_id"].as_str().unwrap();
    house
        .run("administrator", &format!("contact show {id}"))
        .code(0)
        .says("A. Example")
        .says("dealings with")
        .says("au-dncr=clear@");
    house
        .run(
            "administrator",
            &format!("contact set {ANSWERS} --seller nobody --notice n-2"),
        )
        .code(1)
        .says("contact.dealings[1].seller");
    house
        .run("administrator", &format!("contact set {ANSWERS}"))
        .code(2)
        .says("nothing to set");
    house
        .run("administrator", &format!("contact show {REQUEST}"))
        .code(1)
        .says("NOT_FOUND");

    house
        .run(
            "administrator",
            &format!("consent withdraw {ANSWERS} --seller acme --source sms_stop"),
        )
        .code(0)
        .says("withdrawn");
    let consents = house
        .run("administrator", &format!("consent list {ANSWERS} --json"))
        .code(0)
        .lines();
    let actions: Vec<&str> = consents
        .iter()
        .filter_map(|act| act["action"].as_str())
        .collect();
    assert_eq!(actions, ["withdrawn", "given"], "newest first");

    let denied = house
        .run(
            "agent",
            &format!("check {STRANGER} --campaign sydney --json"),
        )
        .code(3)
        .json();
    let id = denied["decision_id"].as_str().unwrap();
    let card = house
        .run("auditor", &format!("audit query --decision {id} --full"))
        .code(0);
    card.says("DENIED")
        .says(id)
        .says("US-national-dnc")
        .says("case");
    let rows = house
        .run("auditor", "audit query --all --page-size 1 --json")
        .code(0)
        .lines();
    assert!(rows.len() >= 2 && rows.iter().any(|row| row["decision_id"] == id));
    house
        .run("auditor", &format!("audit query --number {STRANGER}"))
        .code(0)
        .says(id)
        .says("deny");
}

#[test]
fn a_refusal_names_the_field_and_what_to_do() {
    let house = House::open();
    let check = format!("check {STRANGER} --campaign sydney");
    house
        .run("", &check)
        .code(1)
        .says("UNAUTHENTICATED")
        .says("set DIALGATE_API_KEY or give --key-file FILE");
    house
        .run("agent", &format!("check {STRANGER} --campaign nowhere"))
        .code(1)
        .says("CAMPAIGN_UNKNOWN")
        .says("[campaign.NAME]");
    let premium = house
        .run("agent", "check +19005550141 --campaign sydney --json")
        .code(1);
    let error: serde_json::Value = serde_json::from_str(&premium.err).unwrap();
    assert_eq!(error["error"]["reason"], "NUMBER_NOT_DIALABLE");
    assert_eq!(error["error"]["fields"][0]["field"], "to");
    house
        .run("agent", &format!("{check} --caller-id +14045550199"))
        .code(1)
        .says("CALLER_ID_NOT_ALLOWED");
    house
        .run("auditor", &format!("optout add {STRANGER}"))
        .code(1)
        .says("PERMISSION_DENIED");
    let future =
        format!("consent record {STRANGER} --seller acme --form oral --at 2999-01-01T00:00:00Z");
    house
        .run("administrator", &future)
        .code(1)
        .says("event_time");
}

/// Every decision on record comes out as it was, until somebody writes into the database.
#[test]
fn decisions_are_made_again() {
    let house = House::open();
    let replay = |line: &str| house.run("auditor", &format!("audit replay {line}"));
    replay("").code(0).says("no decision found");
    house.introduce(ANSWERS);
    let check = format!("check {ANSWERS} --campaign sydney");
    house.run("agent", &check).code(0);
    house.run("agent", &check).code(0);
    // `introduce` asked about a stranger.
    replay("")
        .code(0)
        .says("3 decisions made again: all the same, byte for byte");
    let summary = replay("--json").code(0).json();
    assert_eq!(
        (&summary["same"], &summary["different"]),
        (&3.into(), &0.into())
    );
    let theirs = format!("--number {ANSWERS} --filter verdict=allow");
    replay(&theirs).code(0).says("2 decisions made again");
    replay("--filter nonsense=1").code(1).says("FILTER_INVALID");
    house
        .run("agent", "audit replay")
        .code(1)
        .says("PERMISSION_DENIED");

    house.change(
        "UPDATE decisions SET judgement = replace(judgement, '\"verdict\":\"deny\"', '\"verdict\":\"allow\"') \
         WHERE verdict = 'deny'",
    );
    let told = replay("").code(1).says("3 decisions made again: 1 differs");
    assert!(
        told.out.contains("allow: ") && told.out.contains("verdict, listed.verdict"),
        "{}",
        told.out
    );
    let lines = replay("--json").code(1).lines();
    assert_eq!(lines.len(), 2);
    assert_eq!(
        (&lines[0]["before"], &lines[0]["after"]),
        (&"allow".into(), &"deny".into())
    );
    assert_eq!(lines[0]["parts"][0], "verdict");
    assert_eq!(
        (&lines[1]["same"], &lines[1]["different"]),
        (&2.into(), &1.into())
    );
    // Nobody who is gone makes a replay fail.
    house.change(
        "UPDATE parties SET wrapped_key = NULL WHERE party_id = (SELECT party_id FROM decisions WHERE verdict = 'deny')",
    );
    replay("")
        .code(0)
        .says("1 has no case any more, the person was erased");
}

/// What another law would have said, before anybody activates it.
#[test]
fn another_pack_is_asked_about_decisions_on_record() {
    let house = House::open();
    house.introduce(ANSWERS);
    for _ in 0..3 {
        house
            .run("agent", &format!("check {ANSWERS} --campaign sydney"))
            .code(0);
    }
    let replay = |line: &str| house.run("auditor", &format!("policy replay {line}"));
    for same in ["", "--configured"] {
        replay(same)
            .code(0)
            .says("4 decisions on record: 3 allowed, 1 denied; 0 newly denied, 0 newly allowed");
    }
    let closing = "schema = 2\nas_of = \"2026-11-21\"\n[[rule]]\nid = \"HOUSE-closed\"\njurisdiction = \"AU\"\n\
                   kind = \"calling_window\"\ncall_kinds = [\"live_manual\"]\naudience = \"both\"\n\
                   windows = { mon-sun = [] }\ncitation = \"house\"\ncertainty = \"recall\"\n";
    let folder = house.files("closing", &[("house.toml", closing)]);
    let file = house.path("changed.csv");
    let told = replay(&format!(
        "{folder} --add --samples 2 --csv {}",
        file.display()
    ))
    .code(0)
    .says("HOUSE-closed")
    .says("0 allowed, 4 denied; 3 newly denied, 0 newly allowed")
    .says("3 changed decisions in ");
    assert_eq!(
        told.out.matches("  allow  ").count(),
        2,
        "two samples:\n{}",
        told.out
    );
    let rows = std::fs::read_to_string(&file).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(
        rows[0],
        "decision_id,before,after,denied_by_before,denied_by_after"
    );
    assert_eq!(rows.len(), 4);
    assert!(
        rows[1..]
            .iter()
            .all(|row| row.ends_with(",allow,deny,,HOUSE-closed")),
        "{rows:?}"
    );
    let total = replay(&format!("{folder} --add --limit 2 --json"))
        .code(0)
        .json();
    assert_eq!(
        (&total["evaluated"], &total["newly_denied"]),
        (&2.into(), &2.into())
    );
    assert_eq!(total["rules"][0]["rule"], "HOUSE-closed");
    assert_eq!(total["samples"].as_array().unwrap().len(), 2);
    // The pack in force is the one before: nothing was written.
    house
        .run("agent", &format!("check {ANSWERS} --campaign sydney"))
        .code(0);

    replay("nowhere")
        .code(2)
        .says("neither a folder nor the hash of a pack");
    replay(&"0".repeat(64)).code(1).says("PACK_NOT_FOUND");
    replay("--filter nonsense=1").code(1).says("FILTER_INVALID");
    replay("--csv /nowhere/x.csv")
        .code(1)
        .says("--csv `/nowhere/x.csv`");
    let broken = house.files("broken", &[("house.toml", "[[rule]]\nid = 7\n")]);
    replay(&format!("{broken} --add"))
        .code(1)
        .says("house.toml");
}
