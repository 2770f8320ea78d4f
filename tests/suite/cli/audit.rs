//! The audit log from the command line: what is kept by redirection is what the other commands take.

use std::process::Command;

use super::house::{House, STRANGER, program};

#[test]
fn a_checkpoint_that_was_kept_verifies_an_export() {
    let house = House::open();
    // An effect, and its place within a second.
    house
        .run("administrator", &format!("optout add {STRANGER}"))
        .code(0);
    house.run("auditor", "audit entry 0").code(0).says("proved");
    let kept = house.path("kept.checkpoint");
    let told = house.run("auditor", "audit checkpoint").code(0);
    std::fs::write(&kept, &told.out).unwrap();
    let key = told.err.trim().strip_prefix("public key of the log: ");
    let key = key.unwrap_or_else(|| panic!("{}", told.err)).to_owned();
    let (kept, export) = (kept.display(), house.path("log.jsonl"));
    let line = format!("audit checkpoint --since {kept} --key {key}");
    house.run("auditor", &line).code(0).says("contains");
    let line = format!("audit export {}", export.display());
    house.run("auditor", &line).code(0);
    let export = export.display();
    let verify = |line: &str| house.run("", &format!("audit verify {line}"));
    verify(&format!("{export} --checkpoint {kept} --key {key}"))
        .code(0)
        .says("1 checkpoint kept elsewhere agrees");
    verify(&format!("{export} --checkpoint {kept}")).code(0);
    if Command::new("python3").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "python3 is missing");
        return;
    }
    let mut python = Command::new("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/log.py"));
    python.args([
        export.to_string(),
        "--checkpoint".to_owned(),
        kept.to_string(),
    ]);
    let output = python.output().unwrap();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{problem}");
}

#[test]
fn what_is_no_export_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "Dear auditor,\n".repeat(300)).unwrap();
    for file in [path, folder.path().join("nowhere")] {
        let mut verify = program();
        verify.args(["audit", "verify"]).arg(&file);
        let output = verify.output().unwrap();
        let told =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(
            told.contains("cannot be read") && !told.contains("NOT WHOLE"),
            "{told}"
        );
        assert!(told.lines().count() <= 2, "{told}");
    }
}
