//! Lists of opt-outs on the command line: dirty files, breaks, exports, and the history of a number.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::house::{ANSWERS, BUSY, House};

/// A list as somebody's CRM wrote it, on a bad day.
const DIRTY: &[u8] = b"\xef\xbb\xbfName;Phone;Comment\r\n\
    Anna;+61 2 5550 0041;\"said \"\"stop\"\"\"\r\n\
    Ben;(404) 555-0144;caf\xe9\r\n\
    ;;\r\n\
    Cleo;n/a;\r\n\
    Dora;404.555.0145 ext. 7;\"runs over\r\ntwo lines\"\r\n\
    Emil;404 555 0146\r\n\
    Fay;404 555 0147;\"a stray quote\r\n\
    Gus;\xef\xbc\x94\xef\xbc\x90\xef\xbc\x944550148;\r\n\
    Hal;404 555 0148\0;\r\n\
    Ida;1-800-FLOWERS;\r\n\
    Ann;+61255500041;again";

#[test]
fn a_dirty_list_is_recorded_and_each_reject_is_told() {
    let house = House::open();
    let path = house.path("crm.csv");
    std::fs::write(&path, DIRTY).unwrap();
    let line = format!(
        "optout import {} --header --number-column phone --note-column comment --country US",
        path.display()
    );
    let tried = house
        .run("administrator", &format!("{line} --dry-run"))
        .code(0);
    let tried = tried
        .says("nothing was recorded")
        .says("line 5: number: is not a telephone number");
    assert!(
        !tried.out.contains("n/a"),
        "what stands in a row is not told by the server"
    );
    assert!(!house.path("crm.csv.rejects.csv").exists());
    let line = format!("{line} --yes");
    house.run("agent", &line).code(1).says("SCOPE_MISSING");
    let done = house.run("administrator", &line).code(0);
    done.says("the list is in force on every node; 10 rows: 5 new opt-outs, 1 in force already, 4 rejected, see ");
    let rejects = house.path("crm.csv.rejects.csv");
    assert_eq!(
        std::fs::metadata(&rejects).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let written = std::fs::read_to_string(&rejects).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    assert_eq!(lines.len(), 5, "{written}");
    for (line, (begin, end)) in lines.iter().zip([
        ("line,reason,problem,original", ""),
        ("5,number,", ",Cleo;n/a;"),
        ("8,column_count,", ",Emil;404 555 0146"),
        ("9,open_quote,", "Fay;404 555 0147;\"\"a stray quote\""),
        ("11,nul,", ";"),
    ]) {
        assert!(line.starts_with(begin) && line.ends_with(end), "{line}");
    }
    let denied = house.run("agent", &format!("check {ANSWERS} --campaign sydney"));
    denied.code(3).says("AU-objection");
    // Once more, for a program that minds rejects: all of it stands.
    let again = house
        .run("administrator", &format!("{line} --strict --json"))
        .code(1);
    let told = again.json();
    let counts = ["rows_created", "rows_already_in_force", "rows_rejected"];
    assert_eq!(counts.map(|name| &told[name]), [0, 6, 4], "{told}");
    assert_eq!(told["rejects_file"], rejects.to_str().unwrap());
}

/// The same of consents: the columns bear their own names, and are found by them.
const DIRTY_CONSENTS: &[u8] = b"\xef\xbb\xbfnumber;action;event_time;form;evidence_ref;Remark\r\n\
    +61 2 5550 0041;given;2026-01-10;web_form;form-1;\"runs over\r\ntwo lines\"\r\n\
    +61255500041;Given;2026-03-10T09:00:00+11:00;WRITTEN;form-2;caf\xe9\r\n\
    (02) 5550 0042;given;;oral;;no time\r\n\
    (02) 5550 0042;given;2026-03-10;;;no form\r\n\
    (02) 5550 0042;withdrawn;;;mail-1;\r\n\
    02 5550 0043;given;2026-03-10;nod;;\r\n\
    ;;;;;\r\n\
    n/a;given;2026-03-10;oral;;\r\n\
    +61255500041;given;2026-01-10;web_form;form-1;again";

#[test]
fn a_dirty_list_of_consents_is_recorded_and_shown() {
    let house = House::open();
    let path = house.path("consents.csv");
    std::fs::write(&path, DIRTY_CONSENTS).unwrap();
    let line = format!(
        "consent import {} --header --country AU --seller acme --source paper",
        path.display()
    );
    let tried = house.run("administrator", &format!("{line} --dry-run"));
    tried
        .code(0)
        .says("8 rows: 3 would be recorded, 1 is on record already, 4 would be rejected")
        .says("line 5: time_missing: ")
        .says("columns that are read: number, action, event_time, form, evidence_ref\n")
        .says("columns that are not read: Remark\n")
        .says("nothing was recorded");
    let line = format!("{line} --yes");
    house.run("agent", &line).code(1).says("SCOPE_MISSING");
    let done = house.run("administrator", &line).code(0);
    done.says("the list is on record; 8 rows: 3 new acts, 1 on record already, 4 rejected, see ");
    let written = std::fs::read_to_string(house.path("consents.csv.rejects.csv")).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    for (line, (begin, end)) in lines.iter().zip([
        ("line,reason,problem,original", ""),
        ("5,time_missing,", ";no time"),
        ("6,form,", ";no form"),
        ("8,form,", ";nod;;"),
        ("10,number,", ";oral;;"),
    ]) {
        assert!(line.starts_with(begin) && line.ends_with(end), "{line}");
    }
    assert_eq!(lines.len(), 5, "{written}");
    let again = format!("{line} --strict --json");
    let told = house.run("administrator", &again).code(1).json();
    let counts = ["rows_recorded", "rows_already_on_record", "rows_rejected"];
    assert_eq!(counts.map(|name| &told[name]), [0, 4, 4], "{told}");

    let shown = house
        .run("administrator", &format!("consent show {ANSWERS}"))
        .code(0);
    for part in [
        "towards acme",
        "stands now: given 2026-03-09T22:00:00Z, written, every kind of call, period not said",
        "2026-01-09T10:00:00Z  given, web_form, every kind of call, period not said",
        "renewed by the consent of 2026-03-09T22:00:00Z",
        "evidence form-2",
        "source paper",
        "recorded ",
        "`dialgate check +61255500041 --campaign NAME`",
    ] {
        assert!(
            shown.out.contains(part),
            "`{part}` is missing in\n{}",
            shown.out
        );
    }
    let rejects = house.path("piped.csv");
    let line = format!(
        "consent import - --seller acme --country AU --yes --rejects {}",
        rejects.display()
    );
    let words: Vec<&str> = line.split_whitespace().collect();
    house
        .run_words("administrator", &words, "02 5550 0043")
        .code(1)
        .says("a number a line; every row is taken as given")
        .says("1 rejected, see ");
    assert!(
        std::fs::read_to_string(rejects)
            .unwrap()
            .contains("time_missing")
    );
    let object = house
        .run("administrator", &format!("consent show {BUSY} --json"))
        .code(0)
        .json();
    assert_eq!(object["sellers"][0]["standing"], serde_json::json!([]));
    assert_eq!(object["sellers"][0]["acts"][0]["action"], "withdrawn");
    house
        .run("administrator", "consent show +14045550149")
        .code(0)
        .says("no act of consent on record");
}

#[test]
fn lists_are_read_however_they_are_packed() {
    let house = House::open();
    let text = "404 555 0151\n404 555 0152\n";
    let gzip = |text: &[u8]| {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text).unwrap();
        packed.finish().unwrap()
    };
    let many: String = (0..5000)
        .map(|n| format!("404 {:03} {:04}\n", 200 + n % 700, n * 7919 % 10_000))
        .collect();
    let whole = gzip(many.as_bytes());
    let utf_16: Vec<u8> = "\u{feff}404 555 0153\r\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (name, content, code, said) in [
        ("a.gz", gzip(text.as_bytes()), 0, "2 rows: 2 new opt-outs"),
        (
            "a.zst",
            zstd::encode_all(text.as_bytes(), 3).unwrap(),
            0,
            "2 rows: ",
        ),
        ("a.txt", utf_16, 0, "1 row: 1 new opt-out,"),
        (
            "cut.gz",
            whole[..whole.len() / 2].to_vec(),
            1,
            "the gzip content is damaged or cut off",
        ),
        ("empty.txt", Vec::new(), 2, "is empty"),
    ] {
        let path = house.path(name);
        std::fs::write(&path, content).unwrap();
        let line = format!("optout import {} --country US --yes", path.display());
        house.run("administrator", &line).code(code).says(said);
    }
    let listed = house
        .run("administrator", "optout list --page-size 1000 --all --json")
        .code(0);
    assert!(
        listed.lines().len() > 100,
        "what could be read of a list that is cut off is recorded"
    );
    let piped = house.run_words(
        "administrator",
        &["optout", "import", "-", "--country", "US", "--yes"],
        "404 555 0154\n",
    );
    piped.code(0).says("1 new opt-out,");
    house
        .run("administrator", "optout import /nonexistent --yes")
        .code(1)
        .says("cannot read the list `/nonexistent`");
}

#[test]
fn p03_the_same_command_goes_on_after_the_server_was_killed() {
    let mut house = House::open();
    let rows = 30_000;
    let text: String = (0..rows)
        .map(|n| format!("+1404{:07}\n", 2_000_000 + n))
        .collect();
    let path = house.path("long.txt");
    std::fs::write(&path, text).unwrap();
    let line = format!("optout import {} --yes", path.display());
    let words: Vec<&str> = line.split_whitespace().collect();
    let sending = house.client("administrator").args(&words).spawn().unwrap();
    let begun = || {
        house
            .run("administrator", "optout list --page-size 1 --json")
            .out
            .contains("number_key")
    };
    while !begun() {
        std::thread::sleep(Duration::from_millis(20));
    }
    house.restart();
    let broken = sending.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert_eq!(broken.status.code(), Some(1), "{said}");
    assert!(
        said.contains("the same command goes on from there"),
        "{said}"
    );
    let done = house
        .run("administrator", &format!("{line} --json"))
        .code(0)
        .json();
    assert_eq!(done["rows_read"], rows, "{done}");
    assert_eq!(done["rows_created"], rows, "no row twice, and none lost");
    assert_eq!(done["rows_acknowledged"], rows);
    let path = house.path("all.jsonl");
    let line = format!("optout export {}", path.display());
    house
        .run("administrator", &line)
        .code(0)
        .says("30,000 opt-outs are in ");
    let exported = std::fs::read_to_string(&path).unwrap();
    let keys: std::collections::BTreeSet<&str> = exported
        .lines()
        .map(|line| line.split("number_key").nth(1).unwrap())
        .collect();
    assert_eq!((exported.lines().count(), keys.len()), (rows, rows));
}

#[test]
fn an_export_is_a_file_of_keys() {
    let house = House::open();
    for (number, reason) in [(ANSWERS, "objection"), ("+14045550144", "party_request")] {
        house
            .run(
                "administrator",
                &format!("optout add {number} --reason {reason} --note asked"),
            )
            .code(0);
    }
    let csv = house.run("auditor", "optout export -").code(0);
    assert_eq!(csv.out.lines().count(), 3, "{}", csv.out);
    assert!(
        csv.out
            .starts_with("suppression_id,number_key,party_id,seller,")
    );
    assert!(!csv.out.contains("asked") && !csv.out.contains("+61") && !csv.out.contains("+1404"));
    let path = house.path("objections.csv.gz");
    let words = [
        "optout",
        "export",
        path.to_str().unwrap(),
        "--filter",
        "reason = \"objection\"",
        "--json",
    ];
    let told = house.run_words("administrator", &words, "").code(0).json();
    assert_eq!(told["rows"], 1);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut text = String::new();
    let packed = std::fs::File::open(&path).unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut text).unwrap();
    assert!(
        text.lines().nth(1).unwrap().contains(",objection,api,"),
        "{text}"
    );
    house
        .run("agent", "optout export -")
        .code(1)
        .says("SCOPE_MISSING");
    let words = ["optout", "export", path.to_str().unwrap()];
    let refused = house.run_words("administrator", &words, "").code(2);
    refused.says("is there already; name another file, or add --force");
    let words = ["optout", "export", path.to_str().unwrap(), "--force"];
    let written = house.run_words("administrator", &words, "").code(0);
    written.says("2 opt-outs are in ");
    house
        .run("administrator", "optout export /nonexistent/x.csv")
        .code(1)
        .says("cannot write `/nonexistent/x.csv`");
}

#[test]
fn the_history_of_a_number_is_told_whole() {
    let house = House::open();
    house.introduce(ANSWERS);
    let clean = house
        .run("administrator", &format!("optout show {ANSWERS}"))
        .code(0);
    clean
        .says("no opt-out is in force")
        .says("1 act of consent")
        .says("no call or check refused");
    let add =
        format!("optout add {ANSWERS} --source agent --evidence ticket-7 --note asked --json");
    let id = house.run("administrator", &add).code(0).json()["suppression_id"]
        .as_str()
        .unwrap()
        .to_owned();
    house
        .run("agent", &format!("check {ANSWERS} --campaign sydney"))
        .code(3);
    let now = dialgate::clock::Clock::Real.read().wall.timestamp();
    let wish = format!("--reason wrote-to-us --evidence form-9 --evidence-time {now}");
    let waiting = "optout list --lift-requested --json";
    assert!(house.run("approver", waiting).code(0).out.is_empty());
    let lift = format!("optout lift {id} {wish}");
    house.run("administrator", &lift).code(0);
    let waits = house.run("approver", waiting).code(0).json();
    assert_eq!(waits["suppression_id"], *id);
    assert_eq!(waits["lift_request"]["reason"], "wrote-to-us");
    let approve = format!("optout approve {id}");
    let refused = house.run("administrator", &approve).code(1);
    refused.says("a key of the role approver");
    // Nor does an approver ask: what they say of their own would be lost.
    let asks = house.run("approver", &lift).code(1);
    asks.says("an approver approves what an administrator asked for");
    assert!(!house.run("approver", waiting).code(0).out.is_empty());
    house.run("approver", &approve).code(0);
    assert!(house.run("approver", waiting).code(0).out.is_empty());
    house
        .run("administrator", &lift)
        .code(0)
        .says("lifted already");
    house
        .run(
            "administrator",
            &format!("optout add {ANSWERS} --reason objection"),
        )
        .code(0);
    let shown = house
        .run("administrator", &format!("optout show {ANSWERS}"))
        .code(0);
    for part in [
        "an opt-out is in force",
        "2 opt-outs on record",
        "party_request, about this number, every seller, every kind of call, every purpose: lifted ",
        "evidence ticket-7",
        "note asked",
        "lift reason wrote-to-us",
        "permission form-9",
        "approved by key:approver:",
        "objection, about this number",
        "given to acme (written), evidence form-17",
        "1 call or check refused because of an opt-out",
        "check for sydney, denied by ",
    ] {
        assert!(
            shown.out.contains(part),
            "`{part}` is missing in\n{}",
            shown.out
        );
    }
    let object = house
        .run("administrator", &format!("optout show {ANSWERS} --json"))
        .code(0)
        .json();
    assert_eq!(object["in_force"].as_array().unwrap().len(), 1);
    assert_eq!(object["suppressions"].as_array().unwrap().len(), 2);
    assert_eq!(object["refused_calls"][0]["verdict"], "deny");
    // To each role what is theirs to see, and what is not by its name.
    for (role, withheld) in [
        ("agent", "not for this role to see: refused calls"),
        ("auditor", "not for this role to see: holder"),
        (
            "approver",
            "not for this role to see: holder and refused calls",
        ),
    ] {
        let shown = house.run(role, &format!("optout show {ANSWERS}")).code(0);
        shown
            .says("an opt-out is in force")
            .says("form-9")
            .says(withheld);
    }
    let unknown = house
        .run("administrator", "optout show +14045550149")
        .code(0);
    unknown
        .says("no opt-out is in force")
        .says("no opt-out on record");
}

/// The carrier's number as one of an organisation's, on the command line from the first word to the export.
#[test]
fn an_account_opts_out_and_a_purpose_is_told() {
    let house = House::open();
    house.introduce(ANSWERS);
    let told = house.run(
        "administrator",
        &format!("contact set {ANSWERS} --account ACME"),
    );
    told.code(0).says("ACME");
    let add = "optout add --account ACME --purpose service --evidence letter-3";
    // Nobody is at a terminal: whom it would cover is told with the refusal.
    let asked = house.run("administrator", add).code(2);
    asked
        .says("Account `ACME`: 1 person, and who joins it later; every seller, every kind of call, for sales, service.")
        .says("--yes");
    let unknown = house
        .run("administrator", "optout add --account Acne")
        .code(2);
    unknown.says("nobody who is on record, only who joins it later");
    house
        .run("agent", &format!("check {ANSWERS} --campaign sydney"))
        .code(0);
    // However the name is spelt.
    let add = add.replace("ACME", "acme");
    let made = house.run("administrator", &format!("{add} --yes")).code(0);
    made.says("Account `acme`: 1 person")
        .says("in force on every node: account key ")
        .says("for sales, service");
    house
        .run("agent", &format!("check {ANSWERS} --campaign sydney"))
        .code(3)
        .says("AU-objection")
        .says("OPERATOR-block-account");
    // No consent of a member opens it, and whoever records one is told.
    let consent =
        format!("consent record {ANSWERS} --seller acme --form written --initiated-by person");
    house
        .run("agent", &consent)
        .code(0)
        .says("An opt-out is in force: party_request of ");
    house
        .run("agent", &format!("consent show {ANSWERS}"))
        .code(0)
        .says("An opt-out is in force: party_request of ");
    let denied = house.run(
        "agent",
        &format!("check {ANSWERS} --campaign sydney --json"),
    );
    let denied = denied.code(3).json()["denied_by"].to_string();
    assert!(denied.contains("OPERATOR-block-account"), "{denied}");
    let listed = house
        .run("administrator", "optout list --account ACME --json")
        .code(0)
        .json();
    assert_eq!(listed["purposes"], serde_json::json!(["sales", "service"]));
    let key = listed["account_key"].as_str().unwrap().to_owned();
    house
        .run("administrator", "optout list --account Umbrella")
        .code(0)
        .says("no opt-out");
    let shown = house
        .run("administrator", &format!("optout show {ANSWERS}"))
        .code(0);
    shown
        .says("an opt-out is in force")
        .says("about account key ")
        .says("evidence letter-3");
    let exported = house
        .run("auditor", "optout export - --account ACME")
        .code(0);
    let line = exported.out.lines().nth(1).unwrap();
    assert!(
        line.ends_with(&format!(",in force,{key},sales service")),
        "{line}"
    );
    assert!(
        !exported.out.contains("ACME"),
        "only the key of an account is kept"
    );

    let path = house.path("accounts.csv");
    std::fs::write(
        &path,
        "Account,For\nACME,sales\nUmbrella,all\nInitech,fun\n\"a\tb\",\n",
    )
    .unwrap();
    let line = format!(
        "optout import {} --header --account-column account --purposes-column for --yes --json",
        path.display()
    );
    let told = house.run("administrator", &line).code(0).json();
    assert_eq!(
        (&told["rows_created"], &told["rows_rejected"]),
        (&2.into(), &2.into()),
        "{told}"
    );
    let rejects = std::fs::read_to_string(house.path("accounts.csv.rejects.csv")).unwrap();
    assert!(
        rejects.contains("4,purpose,") && rejects.contains("5,account,"),
        "{rejects}"
    );
}
