//! What is asked and refused before a list is recorded: its columns, the file of its rejects, and that somebody answers.

use std::path::Path;

use super::house::{ANSWERS, House};

fn write(house: &House, name: &str, text: &str) -> String {
    let path = house.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|each| each.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn nobody_at_a_terminal_has_to_say_yes() {
    let house = House::open();
    let list = write(&house, "stop.txt", "+14045550151\n");
    for line in [
        format!("optout import {list}"),
        format!("optout import {list} --json"),
        format!("consent import {list} --seller acme"),
        format!("registry import us-dnc --as-of 2026-11-17 {list}"),
    ] {
        house
            .run("administrator", &line)
            .code(2)
            .says("Nobody is there to answer; add --yes");
    }
    let piped = ["optout", "import", "-"];
    let refused = house.run_words("administrator", &piped, "+14045550151\n");
    refused.code(2).says("Nobody is there to answer; add --yes");
    // A trial asks nothing, whatever else is said.
    house
        .run(
            "administrator",
            &format!("optout import {list} --dry-run --yes"),
        )
        .code(0)
        .says("1 row: 1 would be recorded, 0 are in force already")
        .says("nothing was recorded");
    house
        .run("administrator", &format!("optout import {list} --yes"))
        .code(0)
        .says("1 row: 1 new opt-out, 0 in force already, 0 rejected");
}

#[test]
fn columns_are_found_and_those_that_may_be_meant_are_asked_about() {
    let house = House::open();
    let list = write(
        &house,
        "crm.csv",
        "Number,Purposes,Remark\n+14045550151,sales,x\n+14045550152,,y\n",
    );
    house
        .run(
            "administrator",
            &format!("optout import {list} --header --yes"),
        )
        .code(0)
        .says("columns that are read: number, purposes\n")
        .says("columns that are not read: Remark\n")
        .says("2 new opt-outs");
    let found = house.run("administrator", "optout list --json").code(0);
    assert!(
        found.out.contains("\"purposes\":[\"sales\"]"),
        "{}",
        found.out
    );
    for (text, more, said) in [
        (
            "number,channel\n+14045550153,live_manual\n",
            "",
            "is `channels` meant? Rename it",
        ),
        (
            "number,Number\n+14045550153,+14045550154\n",
            "",
            "the header names two columns `number`, the 1. and the 2.",
        ),
        (
            "+14045550153\n+14045550154\n",
            "",
            "its column 1 holds a number: leave --header out",
        ),
        (
            "Phone,Name\n+14045550153,x\n",
            "",
            "the header names Phone, Name; name the one by --number-column",
        ),
        ("number,name\n", "", "has a header line and no row"),
        (
            "number,phone\n+14045550153,x\n",
            "--number-column Fone",
            "the header names no column `Fone`; it names number, phone",
        ),
    ] {
        let list = write(&house, "bad.csv", text);
        for command in ["optout import", "consent import --seller acme"] {
            let line = format!("{command} {list} --header --yes {more}");
            house.run("administrator", &line).code(2).says(said);
        }
    }
    let list = write(
        &house,
        "ok.csv",
        "number;channel\n+14045550153;live_manual\n",
    );
    let line = format!("optout import {list} --header --yes --ignore-column Channel");
    house
        .run("administrator", &line)
        .code(0)
        .says("columns that are not read: channel\n")
        .says("1 new opt-out,");
}

#[test]
fn rejects_go_nowhere_else_and_stale_ones_go() {
    let house = House::open();
    let list = write(&house, "a.txt", "+14045550151\nnonsense\n");
    let line = format!("optout import {list} --yes");
    let twin = house.path("twin.txt");
    std::os::unix::fs::symlink(&list, &twin).unwrap();
    let precious = write(&house, "precious.txt", "the only copy\n");
    for (path, code, said) in [
        (list.as_str(), 2, "is the list itself"),
        (twin.to_str().unwrap(), 2, "is the list itself"),
        (precious.as_str(), 2, "holds no rejects of an import"),
        (house.path("").to_str().unwrap(), 2, "is a folder"),
        (
            "/nonexistent/r.csv",
            1,
            "cannot write the rejects to `/nonexistent/r.csv`",
        ),
    ] {
        let line = format!("{line} --rejects {path}");
        house.run("administrator", &line).code(code).says(said);
    }
    assert_eq!(
        std::fs::read_to_string(&list).unwrap(),
        "+14045550151\nnonsense\n"
    );
    assert_eq!(
        std::fs::read_to_string(&precious).unwrap(),
        "the only copy\n"
    );
    let none = house.run("administrator", "optout list --json").code(0);
    assert!(
        !none.out.contains("number_key"),
        "nothing was sent before that was known"
    );

    house
        .run("administrator", &line)
        .code(0)
        .says("1 rejected, see ");
    let rejects = house.path("a.txt.rejects.csv");
    assert!(
        std::fs::read_to_string(&rejects)
            .unwrap()
            .contains("\n2,number,")
    );
    std::fs::write(&list, "+14045550151\n+14045550152\n").unwrap();
    house.run("administrator", &line).code(0).says("0 rejected");
    assert!(!rejects.exists(), "what it told is not true any more");
    std::fs::write(&rejects, "something else\n").unwrap();
    house
        .run("administrator", &line)
        .code(2)
        .says("holds no rejects of an import");
    let before = names(&house.path(""));
    assert!(
        !before.iter().any(|name| name.contains(".tmp")),
        "{before:?}"
    );
}

#[test]
fn a_list_sent_again_says_what_was_lifted() {
    let house = House::open();
    let list = write(
        &house,
        "stop.csv",
        "number,received_time\n+14045550151,2026-01-10\n",
    );
    let plain = write(&house, "stop.txt", &format!("{ANSWERS}\n"));
    let dated = format!("optout import {list} --header --yes");
    let undated = format!("optout import {plain} --yes");
    for line in [&dated, &undated] {
        house
            .run("administrator", line)
            .code(0)
            .says("1 new opt-out,");
        house
            .run("administrator", line)
            .code(0)
            .says("1 row: 0 new opt-outs, 1 in force already");
    }
    let found = house.run("administrator", "optout list --json").code(0);
    let now = dialgate::clock::Clock::Real.read().wall.timestamp();
    for each in found.lines() {
        let id = each["suppression_id"].as_str().unwrap();
        let wish = format!("--reason wrote --evidence form-9 --evidence-time {now}");
        house
            .run("administrator", &format!("optout lift {id} {wish}"))
            .code(0);
        house
            .run("approver", &format!("optout approve {id}"))
            .code(0);
    }
    house
        .run("administrator", &format!("{dated} --dry-run"))
        .code(1)
        .says("0 would be recorded, 0 are in force already, 1 would be rejected")
        .says("line 2: lifted: this wish was lifted since");
    house
        .run("administrator", &dated)
        .code(1)
        .says("0 new opt-outs, 0 in force already, 1 rejected");
    house
        .run("administrator", &undated)
        .code(0)
        .says("1 row: 1 new opt-out,");
}

#[test]
fn a_register_takes_no_list_of_nothing() {
    let house = House::open();
    let import = |list: &str, more: &str| {
        house.run(
            "administrator",
            &format!(
                "registry import us-dnc --as-of 2026-11-17 {list} --yes --yes-it-shrank {more}"
            ),
        )
    };
    for text in ["", "n/a\nnone\n", "no numbers today\n"] {
        let list = write(&house, "junk.txt", text);
        import(&list, "")
            .code(1)
            .says("there is no number in the list");
    }
    let list = write(
        &house,
        "404.txt",
        "area code,number\n404,5550151\n404,5550152\n404,nonsense\n",
    );
    import(&list, &format!("--rejects {list}"))
        .code(2)
        .says("is the list itself");
    let rejects = house.path("r.csv");
    import(&list, &format!("--rejects {}", rejects.display()))
        .code(1)
        .says("1 of the 4 lines are no number")
        .says("--yes-leave-them-out");
    let anyway = format!("--yes-leave-them-out --rejects {}", rejects.display());
    import(&list, &anyway)
        .code(0)
        .says("404.txt: 4 lines; 1 is rejected")
        .says("its first line was taken for a header")
        .says("line 4: ")
        .says("is in force");
    assert!(
        std::fs::read_to_string(&rejects)
            .unwrap()
            .contains(",4,LETTERS,")
    );
    house
        .run("administrator", "registry diff us-dnc")
        .code(1)
        .says("the list in force is the first one of this register");
    house
        .run("administrator", "registry diff moon")
        .code(1)
        .says("register");

    // Changes: what is rejected is told and written down; if that is all of it, the date stays.
    let changes = |text: &str, more: &str| {
        let list = write(&house, "changes.txt", text);
        house.run(
            "administrator",
            &format!("registry import us-dnc --as-of 2026-11-18 --changes {list} --yes {more}"),
        )
    };
    let rejects_line = format!("--rejects {}", rejects.display());
    changes("404,5550199\n404,5550198,X\n", &rejects_line)
        .code(1)
        .says("changes.txt: 2 lines; 2 are rejected")
        .says("not one of the 2 lines says a change");
    let written = std::fs::read_to_string(&rejects).unwrap();
    assert!(
        written.contains(",1,NO_MARK,") && written.contains(",2,NO_MARK,"),
        "{written}"
    );
    let listed = house.run("administrator", "registry list").code(0);
    assert!(!listed.out.contains("2026-11-18"), "{}", listed.out);
    changes("404,5550199,A\n404,5550198,X\n", &anyway)
        .code(0)
        .says("changes.txt: 2 lines; 1 is rejected")
        .says("is in force");
    changes(
        "404,5550151,D\n404,5550152,D\n404,5550199,D\n",
        "--yes-it-shrank",
    )
    .code(1)
    .says("the list has no number at all");
    let diff = house.run("administrator", "registry diff us-dnc").code(0);
    diff.says("from 2026-11-17 to 2026-11-18: 1 number came, 0 went");
    house
        .run("administrator", "registry list --history moon")
        .code(2)
        .says("no rule asks a register `moon`");
}
