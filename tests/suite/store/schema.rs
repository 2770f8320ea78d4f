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
