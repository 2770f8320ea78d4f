//! What is made of the description of the commands: completions and manual pages.

use super::house::program;

#[test]
fn shells_can_read_the_completions() {
    let made = program().args(["completions", "bash"]).output().unwrap();
    assert!(made.status.success());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("dialgate.bash");
    std::fs::write(&script, &made.stdout).unwrap();
    // As the shell does it for `dialgate optout <TAB>`.
    let typed = format!(
        "source {} && COMP_WORDS=(dialgate optout '') COMP_CWORD=2 && _dialgate dialgate '' optout && echo \"${{COMPREPLY[*]}}\"",
        script.display()
    );
    let completed = std::process::Command::new("bash")
        .args(["-c", &typed])
        .output()
        .unwrap();
    let words = String::from_utf8(completed.stdout).unwrap();
    for word in ["add", "lift", "list"] {
        assert!(words.split_whitespace().any(|each| each == word), "{words}");
    }
}

#[test]
fn there_is_a_page_for_each_command() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let made = program().arg("man").arg(&pages).output().unwrap();
    assert!(made.status.success());
    for (page, word) in [
        ("dialgate.1", "Compliance"),
        ("dialgate-optout-add.1", "evidence"),
        ("dialgate-registry-import.1", "as\\-of"),
    ] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(word), "{page}: {text}");
    }
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = program()
        .arg("man")
        .arg(file.join("man1"))
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("cannot write"), "{told}");
}
