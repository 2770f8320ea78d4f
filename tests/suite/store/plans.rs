//! How SQLite finds its rows: no statement that stands whole in the store may walk over a table that grows with what a house does.
//! Those that are put together from parts are not seen here.

use super::*;

/// Tables that grow for as long as a house runs.
const LARGE: [&str; 12] = [
    "parties",
    "party_numbers",
    "party_accounts",
    "suppressions",
    "suppression_imports",
    "suppression_import_rejects",
    "consents",
    "attempts",
    "calls",
    "decisions",
    "instructions",
    "audit_entries",
];

/// Indexes of what is under way only, which is never much.
const SMALL: [&str; 8] = [
    "attempts_open",
    "attempts_unended",
    "calls_queued",
    "calls_queued_by_campaign",
    "calls_leased",
    "suppressions_untold",
    "instructions_open",
    "audit_entries_unplaced",
];

/// The statements of a source file: texts that are a constant of their own, or given to the macro that names one.
fn statements(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in source.match_indices(": &str =") {
        let Some(text) = source[at..].split_once('"').map(|(_, text)| text) else {
            continue;
        };
        let is_whole = source[at..].split_once('"').unwrap().0.trim() == ": &str =";
        let Some((text, after)) = text.split_once('"') else {
            continue;
        };
        let verbs = ["SELECT ", "UPDATE ", "INSERT ", "DELETE "];
        if is_whole && after.starts_with(';') && verbs.iter().any(|verb| text.starts_with(verb)) {
            found.push(text.replace("\\\n", ""));
        }
    }
    found
}

/// Steps of a plan that walk over what is large.
async fn walks(conn: &mut SqliteConnection, statement: &str) -> Option<Vec<String>> {
    let plan = format!("EXPLAIN QUERY PLAN {statement}");
    // PostgreSQL's own texts are none of SQLite's.
    let steps = sqlx::query(AssertSqlSafe(plan))
        .fetch_all(conn)
        .await
        .ok()?;
    let steps = steps.iter().map(|step| step.get::<String, _>("detail"));
    let is_walk = |step: &String| {
        let words: Vec<&str> = step.split_whitespace().collect();
        let index = words.iter().skip_while(|word| **word != "INDEX").nth(1);
        words.first() == Some(&"SCAN")
            && words.get(1).is_some_and(|table| LARGE.contains(table))
            && !index.is_some_and(|index| SMALL.contains(index))
    };
    Some(steps.filter(is_walk).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_walks_over_a_large_table() {
    let store = TestStore::sqlite().await;
    let file = store.config.url.trim_start_matches("sqlite://").to_owned();
    // Without foreign keys: what would be looked up if a primary key changed is planned too, and none ever does.
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(file)
        .foreign_keys(false);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let (mut seen, mut faults) = (0, Vec::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        for statement in statements(&source) {
            let Some(found) = walks(&mut conn, &statement).await else {
                continue;
            };
            seen += 1;
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            faults.extend(
                found
                    .iter()
                    .map(|step| format!("{name}: {step}: {statement}")),
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(seen > 50, "only {seen} statements were found");
    // It sees one.
    let bad = "SELECT party_id FROM parties WHERE create_time = 1";
    assert_eq!(walks(&mut conn, bad).await.unwrap(), ["SCAN parties"]);
}

/// PostgreSQL cannot know that hardly an opt-out is without its change: it takes a third for such, and for any of them, in no order, it
/// reads the table. The order of the index of those leads it there.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_finds_untold_changes_by_their_index() {
    const TOLD: &str = "INSERT INTO suppressions (suppression_id, tenant_id, number_key, channels, reason, source, received_time,
            create_time, actor, told)
        SELECT gen_random_uuid(), 'default', sha256(i::text::bytea), '', 'party_request', 'agent', i, i, 'a', 1
        FROM generate_series(1, 20000) AS i";
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let mut conn = sqlx::PgConnection::connect(&store.config.url)
        .await
        .unwrap();
    for statement in [TOLD, "ANALYZE suppressions"] {
        sqlx::query(statement).execute(&mut conn).await.unwrap();
    }
    let source = include_str!("../../../src/store/changes.rs");
    let asks = |statement: &String| statement.contains("told < CASE");
    let mut asked = 0;
    for statement in statements(source).into_iter().filter(asks) {
        asked += 1;
        let statement = statement.replace("$1", "'default'").replace("$2", "1000");
        let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!("EXPLAIN {statement}")))
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let plan = plan.join("\n");
        assert!(
            plan.contains("using suppressions_untold"),
            "{statement}\n{plan}"
        );
    }
    assert_eq!(asked, 3);
}
