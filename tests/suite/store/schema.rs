//! The two schemas, and the views for people.

use super::*;

/// Whoever looks with psql sees times as times, and nothing sealed.
#[tokio::test(flavor = "multi_thread")]
async fn views_are_readable() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let (call, _) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let mut tx = store.write().await;
    tx.insert_decisions(
        &tenant(),
        &[decision(call.party_id, phone(1), call.number_key, NOON)],
    )
    .await
    .unwrap();
    tx.insert_suppression(
        &tenant(),
        &suppression(SuppressionSubject::Number(call.number_key)),
    )
    .await
    .unwrap();
    tx.insert_audit(&tenant(), &[audit("a", NOON)])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut conn = PgConnection::connect(&store.config.url).await.unwrap();
    let wanted: Vec<String> = sqlx::query_scalar(
        "SELECT table_name || '_readable' FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name !~ '_readable$' AND column_name LIKE '%_time'
             AND table_name NOT IN ('_sqlx_migrations', 'audit_entries', 'party_numbers', 'register_pieces', 'requests') GROUP BY table_name ORDER BY 1",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert!(wanted.contains(&"nodes_readable".to_owned()), "{wanted:?}");
    for view in wanted {
        let text = format!("SELECT v::text FROM {view} AS v");
        let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut conn);
        for row in rows.await.unwrap() {
            let shown: String = row.get(0);
            assert!(!shown.contains("\\x"), "{view} shows bytes");
        }
    }
    for view in [
        "attempts_readable",
        "parties_readable",
        "calls_readable",
        "decisions_readable",
        "suppressions_readable",
        "audit_readable",
    ] {
        let text =
            format!("SELECT (create_time AT TIME ZONE 'UTC')::text, v::text FROM {view} AS v");
        let row = sqlx::query(AssertSqlSafe(text))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), "2026-11-21 12:00:00", "{view}");
        assert!(
            !row.get::<String, _>(1).contains("\\x"),
            "{view} shows bytes"
        );
    }
}

pub(super) type Columns = BTreeMap<String, Vec<(String, String, bool)>>;

pub(super) async fn columns_of_postgres(conn: &mut PgConnection) -> Columns {
    let rows = sqlx::query(
        "SELECT c.table_name::text, c.column_name::text, c.data_type::text, c.is_nullable = 'YES'
         FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name)
         WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position",
    );
    let mut columns = Columns::new();
    for row in rows.fetch_all(conn).await.unwrap() {
        columns
            .entry(row.get(0))
            .or_default()
            .push((row.get(1), row.get(2), row.get(3)));
    }
    columns.remove("_sqlx_migrations");
    columns
}

/// Both schemas have the same tables, and these the same columns in the same order, of types that stand for each other.
#[tokio::test(flavor = "multi_thread")]
async fn both_schemas_are_alike() {
    let sqlite = TestStore::sqlite().await;
    let path = sqlite.config.url.trim_start_matches("sqlite://").to_owned();
    let mut conn =
        SqliteConnection::connect_with(&sqlx::sqlite::SqliteConnectOptions::new().filename(path))
            .await
            .unwrap();
    let rows = sqlx::query(
        "SELECT t.name, c.name, c.type, c.\"notnull\" FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
         WHERE t.type = 'table' ORDER BY t.name, c.cid",
    );
    let mut lite = Columns::new();
    for row in rows.fetch_all(&mut conn).await.unwrap() {
        lite.entry(row.get(0)).or_default().push((
            row.get(1),
            row.get(2),
            row.get::<i64, _>(3) == 0,
        ));
    }
    lite.remove("_sqlx_migrations");
    let strict: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_list WHERE strict = 0 AND schema = 'main' AND type = 'table'")
            .fetch_all(&mut conn)
            .await
            .unwrap();
    let loose: Vec<_> = strict
        .iter()
        .filter(|name| !name.starts_with("sqlite_") && !name.starts_with("_sqlx"))
        .collect();
    assert!(loose.is_empty(), "not STRICT: {loose:?}");
    for (table, columns) in &lite {
        // What is about the whole installation and not about anybody's data.
        let of_tenant = !["nodes", "store_meta"].contains(&table.as_str());
        assert_eq!(
            columns.iter().any(|(name, _, _)| name == "tenant_id"),
            of_tenant,
            "{table}"
        );
    }
    let Some(postgres) = TestStore::postgres().await else {
        return;
    };
    let mut conn = PgConnection::connect(&postgres.config.url).await.unwrap();
    let mut theirs = columns_of_postgres(&mut conn).await;
    for columns in theirs.values_mut() {
        for (_, kind, _) in columns {
            *kind = match kind.as_str() {
                "uuid" | "bytea" => "BLOB",
                "bigint" | "boolean" => "INTEGER",
                "text" => "TEXT",
                other => panic!("{other}"),
            }
            .to_owned();
        }
    }
    assert_eq!(lite, theirs);
}

/// The migrations up to this one, as a release of that time ran them.
fn migrations_until(folder: &str, last: i64) -> sqlx::migrate::Migrator {
    use sqlx::SqlSafeStr as _;
    let mut texts: Vec<(i64, String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let (version, name) = name.split_once('_').unwrap();
            let text = std::fs::read_to_string(&path).unwrap();
            (version.parse().unwrap(), name.to_owned(), text)
        })
        .filter(|(version, _, _)| *version <= last)
        .collect();
    texts.sort();
    let migration = |(version, name, text): (i64, String, String)| {
        sqlx::migrate::Migration::new(
            version,
            name.into(),
            sqlx::migrate::MigrationType::Simple,
            AssertSqlSafe(text).into_sql_str(),
            false,
        )
    };
    sqlx::migrate::Migrator::with_migrations(texts.into_iter().map(migration).collect())
}

/// An opt-out, a lifted one that was told of, and an attempt, as release 0009 recorded them; `{id}` and `{key}` as the engine
/// writes them.
const OF_RELEASE_9: [&str; 4] = [
    "INSERT INTO parties (party_id, tenant_id, version, create_time, update_time) VALUES ({id:7}, 'default', 1, 1, 1)",
    "INSERT INTO suppressions (suppression_id, tenant_id, number_key, channels, reason, source, received_time, create_time,
        actor) VALUES ({id:1}, 'default', {key}, 'autodialed', 'litigator', 'api', 5, 6, 'key:a')",
    "INSERT INTO suppressions (suppression_id, tenant_id, party_id, seller, channels, reason, source, received_time,
        create_time, actor, lift_request_time, lift_requested_by, lift_time, lift_approved_by, lift_reason,
        lift_evidence_ref, lift_evidence_time, told)
        VALUES ({id:2}, 'default', {id:7}, 'acme', '', 'objection', 'web', 7, 8, 'key:b', 9, 'key:c', 10, 'key:d', 'why',
        'letter', 11, 3)",
    "INSERT INTO suppression_changes (tenant_id, position, suppression_id, kind) VALUES ('default', 1, {id:2}, 'recorded')",
];

async fn opens_with_what_release_9_left(config: &StoreConfig) {
    let store = Store::open(config).await.unwrap();
    let mut tx = store.write(Urgency::Ordinary).await.unwrap();
    let id = |id| SuppressionId(Uuid::from_u128(id));
    let first = tx.suppression(&tenant(), id(1)).await.unwrap().unwrap();
    assert_eq!(
        first.subject,
        SuppressionSubject::Number(NumberKey([7; 32]))
    );
    assert_eq!(first.channels, [CallKind::Autodialed]);
    assert!(first.purposes.is_empty(), "it covers every purpose");
    let second = tx.suppression(&tenant(), id(2)).await.unwrap().unwrap();
    let party = PartyId(Uuid::from_u128(7));
    assert_eq!(second.subject, SuppressionSubject::Party(party));
    let lift = second.lift.unwrap();
    assert_eq!((lift.at, lift.evidence_at), (Micros(10), Some(Micros(11))));
    let told = tx
        .suppression_changes_after(&tenant(), 0, 10)
        .await
        .unwrap();
    assert_eq!(told.len(), 1);
    // The one that nobody was told of yet.
    assert_eq!(
        tx.place_suppression_changes(&tenant(), 10).await.unwrap(),
        1
    );
    // And what only this release knows can be recorded.
    let account = dialgate::domain::account::AccountKey([9; 32]);
    let mut new = suppression(SuppressionSubject::Account(account));
    new.purposes = vec![Purpose::Sales];
    tx.insert_suppression(&tenant(), &new).await.unwrap();
    assert_eq!(
        tx.suppression(&tenant(), new.suppression_id).await.unwrap(),
        Some(new)
    );
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_the_release_before_keeps_its_opt_outs() {
    let text = |text: &str, id: &dyn Fn(u8) -> String, key: &str| {
        let filled = (0..10).fold(text.to_owned(), |text, digit| {
            text.replace(&format!("{{id:{digit}}}"), &id(digit))
        });
        filled.replace("{key}", key)
    };
    let folder = tempfile::tempdir().unwrap();
    let config = |url: String| StoreConfig {
        url,
        key_file: folder.path().join("numbers.key"),
        max_connections: 2,
    };
    let path = folder.path().join("dialgate.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true);
    let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
    let before = migrations_until("migrations/sqlite", 9);
    before.run(&mut conn).await.unwrap();
    let key = format!("x'{}'", "07".repeat(32));
    for each in OF_RELEASE_9 {
        let filled = text(each, &|digit| format!("x'{:032x}'", digit), &key);
        sqlx::query(AssertSqlSafe(filled))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    conn.close().await.unwrap();
    opens_with_what_release_9_left(&config(format!("sqlite://{}", path.display()))).await;

    let Some(url) = tokio::task::spawn_blocking(crate::support::postgres::database)
        .await
        .unwrap()
    else {
        return;
    };
    std::fs::remove_file(folder.path().join("numbers.key")).unwrap();
    let mut conn = PgConnection::connect(&url).await.unwrap();
    let before = migrations_until("migrations/postgres", 9);
    before.run(&mut conn).await.unwrap();
    let key = format!("'\\x{}'::bytea", "07".repeat(32));
    for each in OF_RELEASE_9 {
        let filled = text(
            each,
            &|digit| format!("'{}'::uuid", Uuid::from_u128(digit.into())),
            &key,
        );
        sqlx::query(AssertSqlSafe(filled))
            .execute(&mut conn)
            .await
            .unwrap();
    }
    conn.close().await.unwrap();
    opens_with_what_release_9_left(&config(url)).await;
}
