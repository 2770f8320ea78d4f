//! `dialgate check --file`: a row for every line, whatever stands in it.

use std::io::Write as _;

use super::house::{ANSWERS, Answer, House, RINGS, STRANGER};

/// A file in the house.
fn file(house: &House, name: &str, text: &[u8]) -> String {
    let path = house.path(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The rows that were written as CSV, without the head.
fn rows(answer: &Answer) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_reader(answer.out.as_bytes());
    assert_eq!(
        reader.headers().unwrap().iter().collect::<Vec<_>>(),
        [
            "line",
            "given",
            "number",
            "verdict",
            "denied_by",
            "next_allowed_time",
            "error"
        ]
    );
    let records = reader.records().map(Result::unwrap);
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

#[test]
fn a_list_has_a_row_for_every_line() {
    let house = House::open();
    house.introduce(ANSWERS);
    house.introduce(RINGS);
    house.run("agent", &format!("optout add {RINGS}")).code(0);
    let text = format!(
        "\u{feff}{ANSWERS}\r\n(02) 5550 0041\r\n{STRANGER}\r\n\r\nn/a\r\n000\r\n+61 2 5550 0041 ext 7\r\n{}\r\n+19005550100\r\n{RINGS}",
        "1".repeat(2_000_000),
    );
    let mut text = text.into_bytes();
    text.extend(b"\n\xff\xfe\0\n");
    let list = file(&house, "list.txt", &text);
    let line = format!("check --file {list} --campaign sydney --country AU");
    let answer = house.run("agent", &line).code(0);
    let rows = rows(&answer);
    assert_eq!(rows.len(), 11, "{}", answer.out);
    let expected = [
        ("1", ANSWERS, "allow", ""),
        ("2", ANSWERS, "allow", ""),
        ("3", STRANGER, "deny", ""),
        ("4", "", "", "EMPTY"),
        ("5", "", "", "OTHER_SIGNS"),
        ("6", "", "", "NOT_A_NUMBER"),
        ("7", "", "", "EXTENSION"),
        ("8", "", "", "NOT_A_NUMBER"),
        ("9", "+19005550100", "", "FORBIDDEN_NUMBER_KIND"),
        ("10", RINGS, "deny", ""),
        ("11", "", "", "OTHER_SIGNS"),
    ];
    for (row, (line, number, verdict, error)) in rows.iter().zip(expected) {
        assert_eq!(
            (row[0].as_str(), row[2].as_str(), row[3].as_str()),
            (line, number, verdict),
            "{row:?}"
        );
        assert!(
            error == row[6] || line == "6" && !row[6].is_empty(),
            "{row:?}"
        );
    }
    assert_eq!(rows[1][1], "(02) 5550 0041");
    assert!(rows[2][4].contains("US-national-dnc"), "{:?}", rows[2]);
    assert!(rows[9][4].contains("AU-"), "{:?}", rows[9]);
    answer
        .says("allowed")
        .says("US-national-dnc")
        .says("audit entry");

    let audit = house.run(
        "administrator",
        &format!("audit query --number {RINGS} --json"),
    );
    assert!(
        audit.code(0).lines().is_empty(),
        "a list makes no decisions"
    );
}

#[test]
fn a_column_compressed_and_as_json_into_a_file() {
    let house = House::open();
    house.introduce(ANSWERS);
    let text = format!("id;Phone;note\n7;{ANSWERS};\"a\nb;c\"\n8;\"{STRANGER}\";x\n9\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    let list = file(&house, "list.csv.gz", &packed);
    let output = house.path("rows.jsonl");
    let line = format!(
        "check --file {list} --column phone --campaign sydney --reasons --json --output {}",
        output.display()
    );
    let answer = house.run("administrator", &line).code(0);
    assert_eq!(answer.out, "");
    house
        .run("administrator", &line)
        .code(2)
        .says("is there already; name another file, or add --force");
    house
        .run("administrator", &format!("{line} --force"))
        .code(0);
    let summary: serde_json::Value = serde_json::from_str(&answer.err).unwrap();
    assert_eq!(summary["asked"].as_str().or(Some("")).map(|_| ()), Some(()));
    let text = std::fs::read_to_string(&output).unwrap();
    let rows: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["line"], &rows[0]["verdict"]),
        (&2.into(), &"allow".into())
    );
    assert_eq!(
        (&rows[1]["line"], &rows[1]["verdict"]),
        (&4.into(), &"deny".into())
    );
    let reasons = rows[1]["reasons"].as_array().unwrap();
    assert_eq!(
        reasons.len(),
        rows[1]["denied_by"].as_array().unwrap().len()
    );
    assert_eq!(rows[2]["error"], "EMPTY");

    // What could be read of a broken file is answered.
    let broken = file(&house, "broken.csv.gz", &packed[..packed.len() - 5]);
    let line = format!("check --file {broken} --column phone --campaign sydney");
    house
        .run("agent", &line)
        .code(1)
        .says("the rows up to there are answered");
}

#[test]
fn a_list_from_standard_input_for_another_hour() {
    let house = House::open();
    let words = [
        "check",
        "--file",
        "-",
        "--campaign",
        "sydney",
        "--at",
        "2200-01-01T00:00:00Z",
    ];
    house
        .run_words("agent", &words, "")
        .code(1)
        .says("more than 366 days ahead");
    let words = ["check", "--file", "-", "--campaign", "sydney", "--json"];
    let answer = house
        .run_words("agent", &words, &format!("{STRANGER}\n4045550141\n"))
        .code(0);
    let rows = answer.lines();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        (&rows[0]["number"], &rows[1]["error"]),
        (&STRANGER.into(), &"COUNTRY_MISSING".into())
    );
    let answer = house.run_words("agent", &words, "").code(0);
    assert!(answer.lines().is_empty());
}

#[test]
fn what_cannot_be_begun_is_told() {
    let house = House::open();
    let list = file(&house, "list.csv", b"id,tel\n1,+14045550144\n");
    for (rest, code, said) in [
        (
            format!("--file {list} --column phone --campaign sydney"),
            2,
            "it has id, tel",
        ),
        (
            format!("--file {list} --campaign nobody"),
            1,
            "no campaign of this name",
        ),
        (
            format!("--file {list} --campaign sydney --country XX"),
            1,
            "default_country",
        ),
        (
            format!("--file {list}.gone --campaign sydney"),
            1,
            "cannot read --file",
        ),
        (
            format!("--file {list} --campaign sydney --output /nowhere/x"),
            1,
            "cannot write --output",
        ),
    ] {
        house
            .run("agent", &format!("check {rest}"))
            .code(code)
            .says(said);
    }
    let line = format!("check --file {list} --campaign sydney");
    house.run("auditor", &line).code(1).says("agent");
}
