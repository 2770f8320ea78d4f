//! What is of one engine, or of both when something is in their way: locks, connections, full disks, notices.

use super::*;

contract![
    a_beginning_that_nobody_waits_for_spoils_nothing,
    a_failed_transaction_cannot_be_committed,
    notices_arrive,
];

/// Whoever goes away drops the request at whatever it waits for just then. Here there is one connection, which the next must
/// be able to use: to read outside of a transaction, and to begin one of the other kind.
async fn a_beginning_that_nobody_waits_for_spoils_nothing(store: TestStore) {
    let config = StoreConfig {
        max_connections: 1,
        ..store.config.clone()
    };
    let alone = Store::open(&config).await.unwrap();
    for polls in 1..=8 {
        let mut beginning = Box::pin(alone.read());
        for _ in 0..polls {
            let now = tokio::time::timeout(Duration::ZERO, beginning.as_mut());
            if now.await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        drop(beginning);
        alone.notify(&Notice::CallQueued).await.unwrap();
        let after = alone.write(Urgency::Ordinary).await;
        assert!(
            after.is_ok(),
            "dropped after {polls} polls: {:?}",
            after.err()
        );
    }
}

async fn a_failed_transaction_cannot_be_committed(store: TestStore) {
    let mut tx = store.write().await;
    let entry = audit("kept", NOON);
    tx.insert_audit(&tenant(), std::slice::from_ref(&entry))
        .await
        .unwrap();
    assert!(tx.insert_audit(&tenant(), &[entry]).await.is_err());
    assert!(
        tx.commit().await.is_err(),
        "PostgreSQL would answer COMMIT with a silent rollback"
    );
    assert!(
        store
            .read()
            .await
            .audit_entries(&tenant(), &everything())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    drop(store.write().await);
    store.store.ping().await.unwrap();
}

async fn notices_arrive(store: TestStore) {
    let mut here = store.store.notices();
    let notices = [
        Notice::OptOut(NumberKey([7; 32])),
        Notice::OptOutWide,
        Notice::CallQueued,
        Notice::CallChanged(CallId::new(NOON)),
    ];
    let other = match store.store.engine() {
        Engine::Postgres => Some(Store::open(&store.config).await.unwrap()),
        Engine::Sqlite => None,
    };
    let mut there = other.as_ref().map(Store::notices);
    for notice in &notices {
        store.store.notify(notice).await.unwrap();
    }
    for receiver in [Some(&mut here), there.as_mut()].into_iter().flatten() {
        for notice in notices {
            let got = tokio::time::timeout(Duration::from_secs(10), receiver.recv())
                .await
                .unwrap()
                .unwrap();
            assert_eq!(got, notice);
        }
        let more = tokio::time::timeout(Duration::from_millis(100), receiver.recv()).await;
        assert!(more.is_err(), "each arrives once");
    }
}

// ---- SQLite alone

/// Set in the process that runs under a limit on the size of files.
const LIMITED: &str = "DIALGATE_TEST_LIMITED";

/// A disk that is full is an error of the write and nothing worse; with room again, the store goes on.
#[test]
fn a_full_disk_is_survived() {
    let limited = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -S -f 4096; exec "$0" --exact store::engines::under_a_size_limit --nocapture"#,
        ])
        .arg(std::env::current_exe().unwrap())
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&limited.stdout);
    assert!(
        limited.status.success() && told.contains("went on"),
        "{limited:?}"
    );
}

/// The other half of [`a_full_disk_is_survived`]; alone it has nothing to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_a_size_limit() {
    if std::env::var_os(LIMITED).is_none() {
        return;
    }
    let store = TestStore::sqlite().await;
    let big = |at| AuditEntry {
        payload: serde_json::json!("x".repeat(100_000)),
        ..audit("big", at)
    };
    let mut kept = 0;
    let refused = loop {
        let mut tx = store.write().await;
        let entries: Vec<_> = (0..5).map(|index| big(after(kept + index))).collect();
        let done = match tx.insert_audit(&tenant(), &entries).await {
            Ok(()) => tx.commit().await,
            Err(error) => Err(error),
        };
        match done {
            Ok(()) => kept += 5,
            Err(error) => break error,
        }
        assert!(kept < 1000, "the limit does not hold");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(kept > 0);
    let count = async || {
        store
            .read()
            .await
            .audit_entries(&tenant(), &everything())
            .await
            .unwrap()
            .rows
            .len()
    };
    assert_eq!(
        count().await,
        usize::try_from(kept).unwrap(),
        "what was committed is there, and nothing else"
    );
    for _ in 0..20 {
        let mut tx = store.write().await;
        let done = tx
            .insert_audit(&tenant(), &[big(NOON), big(NOON), big(NOON)])
            .await;
        assert!(
            matches!(done, Ok(()) | Err(StoreError::Unavailable(_))),
            "{done:?}"
        );
    }
    let room = std::process::Command::new("prlimit")
        .args([
            "--fsize=unlimited",
            "--pid",
            &std::process::id().to_string(),
        ])
        .status()
        .unwrap();
    assert!(room.success());
    let mut tx = store.write().await;
    tx.insert_audit(&tenant(), &[big(NOON)]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(count().await, usize::try_from(kept).unwrap() + 1);
    println!("went on");
}

// ---- PostgreSQL alone

/// An opt-out waits 250 ms for a lock at most, then goes on in the same transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_held_is_not_waited_for_long() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let (call, _) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let mut holder = store.write().await;
    holder
        .lock_numbers(&tenant(), &[call.number_key.0])
        .await
        .unwrap();
    let stopped = suppression(SuppressionSubject::Number(call.number_key));
    holder
        .request_cancel(&tenant(), &call.number_key, &[], &stopped)
        .await
        .unwrap();
    let mut tx = store.store.write(Urgency::OptOut).await.unwrap();
    tx.insert_suppression(&tenant(), &stopped).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(
        !tx.try_lock_numbers(&tenant(), &[call.number_key.0])
            .await
            .unwrap()
    );
    assert_eq!(
        tx.request_cancel(&tenant(), &call.number_key, &[], &stopped)
            .await
            .unwrap(),
        0,
        "the owner's poll finds it"
    );
    let waited = begun.elapsed();
    assert!(
        (Duration::from_millis(450)..Duration::from_secs(2)).contains(&waited),
        "{waited:?}"
    );
    assert!(
        tx.try_lock_numbers(&tenant(), &[store.key(phone(2)).0])
            .await
            .unwrap(),
        "another number is free"
    );
    tx.commit().await.unwrap();
    holder.commit().await.unwrap();
    let mut tx = store.write().await;
    assert!(
        tx.try_lock_numbers(&tenant(), &[call.number_key.0])
            .await
            .unwrap()
    );
    assert!(
        tx.suppression(&tenant(), stopped.suppression_id)
            .await
            .unwrap()
            .is_some(),
        "it was recorded all the same"
    );
}

/// A worker that stops within a transaction loses it, and its locks, after 2 s; an ordinary claim waits 1 s at most.
#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_worker_frees_its_locks() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let key = store.key(phone(1));
    let mut stopped = store.write().await;
    stopped.lock_numbers(&tenant(), &[key.0]).await.unwrap();
    let mut claim = store.write().await;
    let waited = claim.lock_numbers(&tenant(), &[key.0]).await;
    assert!(matches!(waited, Err(StoreError::LockTimeout)), "{waited:?}");
    let begun = tokio::time::Instant::now();
    loop {
        let mut tx = store.write().await;
        if tx.try_lock_numbers(&tenant(), &[key.0]).await.unwrap() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
    let late = stopped.commit().await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
}

/// Two sessions that lock in opposite orders do not wait for each other, for the statement sorts.
#[tokio::test(flavor = "multi_thread")]
async fn opposite_orders_do_not_deadlock() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let keys: Vec<[u8; 32]> = (0..200).map(|index| store.key(phone(index)).0).collect();
    let mut reversed = keys.clone();
    reversed.reverse();
    for _ in 0..5 {
        let (one, other) = (store.store.clone(), store.store.clone());
        let lock = async |store: Store, keys: &[[u8; 32]]| {
            let mut tx = store.write(Urgency::Ordinary).await.unwrap();
            tx.lock_numbers(&tenant(), keys).await.unwrap();
            tx.commit().await.unwrap();
        };
        tokio::join!(lock(one, &keys), lock(other, &reversed));
    }
}

/// However busy the node is, an opt-out finds a connection.
#[tokio::test(flavor = "multi_thread")]
async fn an_opt_out_needs_no_free_connection() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let mut busy = Vec::new();
    for _ in 0..store.config.max_connections {
        busy.push(store.write().await);
    }
    let begun = tokio::time::Instant::now();
    let mut tx = store.store.write(Urgency::OptOut).await.unwrap();
    let key = store.key(phone(1));
    let stopped = suppression(SuppressionSubject::Number(key));
    tx.insert_suppression(&tenant(), &stopped).await.unwrap();
    tx.commit().await.unwrap();
    store.store.notify(&Notice::OptOut(key)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(1500));
}

/// Plans are made by what the planner counted last.
#[tokio::test(flavor = "multi_thread")]
async fn the_planner_counts_what_a_list_brought() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let many: Vec<Suppression> = (0..1000)
        .map(|n| suppression(SuppressionSubject::Number(store.key(phone(n)))))
        .collect();
    let mut tx = store.write().await;
    tx.insert_suppressions(&tenant(), &many).await.unwrap();
    tx.commit().await.unwrap();
    store.store.grew(many.len()).await.unwrap();
    let mut conn = PgConnection::connect(&store.config.url).await.unwrap();
    let counted: f32 =
        sqlx::query_scalar("SELECT reltuples FROM pg_class WHERE relname = 'suppressions'")
            .fetch_one(&mut conn)
            .await
            .unwrap();
    assert_eq!(counted, 1000.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_may_start_at_once() {
    let Some(url) = tokio::task::spawn_blocking(crate::support::postgres::database)
        .await
        .unwrap()
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| StoreConfig {
        url: url.clone(),
        key_file: folder.path().join(name),
        max_connections: 2,
    };
    let (one, other) = (config("one.key"), config("other.key"));
    let (first, second) = tokio::join!(Store::open(&one), Store::open(&other));
    let opened = [first.is_ok(), second.is_ok()];
    assert_eq!(
        opened.iter().filter(|opened| **opened).count(),
        1,
        "two key files, one database: {opened:?}"
    );
    let right = if opened[0] { one } else { other };
    let (first, second) = tokio::join!(Store::open(&right), Store::open(&right));
    assert!(first.is_ok() && second.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_lose_commits_is_refused() {
    let Some(store) = TestStore::postgres().await else {
        return;
    };
    let mut conn = PgConnection::connect(&store.config.url).await.unwrap();
    let name: String = sqlx::query_scalar("SELECT current_database()")
        .fetch_one(&mut conn)
        .await
        .unwrap();
    for (value, accepted) in [
        ("off", false),
        ("local", false),
        ("remote_write", false),
        ("remote_apply", true),
        ("on", true),
    ] {
        let text = format!("ALTER DATABASE {name} SET synchronous_commit = '{value}'");
        sqlx::query(AssertSqlSafe(text))
            .execute(&mut conn)
            .await
            .unwrap();
        let opened = Store::open(&store.config).await;
        assert_eq!(opened.is_ok(), accepted, "{value}");
        if let Err(error) = opened {
            assert!(
                error
                    .to_string()
                    .contains(&format!("synchronous_commit={value}")),
                "{error}"
            );
        }
    }
    // Nor does a default of the database change what a claim's transaction sees.
    let text = format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    sqlx::query(AssertSqlSafe(text))
        .execute(&mut conn)
        .await
        .unwrap();
    super::suppressions::a_claim_that_waited_sees_the_opt_out(TestStore {
        store: Store::open(&store.config).await.unwrap(),
        ..store
    })
    .await;
}
