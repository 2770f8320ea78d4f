//! The command line: what it takes, what it says, and with which code it ends.

use std::process::{Command as Process, Output};

use clap::{CommandFactory, Parser};
use dialgate::cli::Cli;

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
        "call +14045550141 --campaign spring --sdp offer.sdp --expires 30 --no-watch",
        "optout add +14045550141",
        "optout add +14045550141 --seller acme --channel autodialed --channel prerecorded --reason objection --source ivr",
        &format!("optout add --party {id} --evidence e --note n"),
        &format!("optout lift {id} --reason asked --evidence form-1"),
        "optout list --filter x --page-size 10 --all",
        "consent record +14045550141 --seller acme --form web_form --explicit --documented --at 2026-11-02T09:15:00Z",
        "consent record +14045550141 --seller acme --form oral --period 2027-12-31 --channel live_manual",
        "consent withdraw +14045550141 --seller acme --source sms_stop",
        "consent list",
        "consent list +14045550141",
        "contact set +14045550141 --audience consumer --zip 30303 --register us-dnc=clear@2026-11-20 --notice v1",
        "contact show +14045550141",
        &format!("contact show {id}"),
        "audit query --full --all",
        &format!("audit query --decision {id}"),
    ] {
        if let Err(problem) = parse(good) {
            panic!("`{good}` was refused:\n{problem}");
        }
    }
    for (bad, named) in [
        ("", "Usage"),
        ("chekc +14045550141", "check"),
        ("check +14045550141", "--campaign"),
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
            "call +14045550141 --campaign spring --request-id 7",
            "--request-id",
        ),
        ("optout add", "<NUMBER|--party <UUID>>"),
        ("optout add +14045550141 --reason whim", "party_request"),
        ("optout add +14045550141 --channel sms", "live_manual"),
        ("optout lift 7 --reason r --evidence e", "<ID>"),
        ("optout list --page-size 0", "--page-size"),
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
        ("contact show bob", "<NUMBER|ID>"),
        ("audit query --decision 7", "--decision"),
    ] {
        let problem = parse(bad).map(|_| ()).expect_err(bad);
        assert!(problem.contains(named), "`{bad}`:\n{problem}");
    }
}

fn parse(line: &str) -> Result<Cli, String> {
    let words = std::iter::once("dialgate").chain(line.split_whitespace());
    Cli::try_parse_from(words).map_err(|problem| problem.to_string())
}

/// Runs the built program as a person would, without what this machine's environment may say.
fn dialgate(arguments: &[&str]) -> Output {
    Process::new(env!("CARGO_BIN_EXE_dialgate"))
        .args(arguments)
        .env_remove("DIALGATE_SERVER")
        .env_remove("DIALGATE_API_KEY")
        .output()
        .unwrap()
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
