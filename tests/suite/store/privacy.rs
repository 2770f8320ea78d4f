//! What may be read and by whom: sealing, erasure, tenants, credentials.

use super::schema::columns_of_postgres;
use super::*;

contract![
    credentials_are_kept_and_revoked,
    reopening_keeps_everything,
    another_key_file_is_refused,
    no_readable_number_is_stored,
    an_erased_person_leaves_no_error,
    tenants_are_apart,
];

async fn credentials_are_kept_and_revoked(store: TestStore) {
    let key = ApiKey {
        api_key_id: ApiKeyId::new(NOON),
        tenant: tenant(),
        name: "softphone".to_owned(),
        role: Role::Agent,
        secret_hash: [3; 32],
    };
    let mut tx = store.write().await;
    tx.insert_api_key(&key, NOON).await.unwrap();
    assert_eq!(tx.api_key(key.api_key_id).await.unwrap(), Some(key.clone()));
    assert_eq!(tx.api_key(ApiKeyId::new(NOON)).await.unwrap(), None);
    assert!(
        tx.revoke_api_key(&tenant(), key.api_key_id, after(1))
            .await
            .unwrap()
    );
    assert!(
        !tx.revoke_api_key(&tenant(), key.api_key_id, after(2))
            .await
            .unwrap()
    );
    assert_eq!(
        tx.api_key(key.api_key_id).await.unwrap(),
        None,
        "no longer in force"
    );
    let all = tx.api_keys(&tenant()).await.unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (&all[0].key, all[0].create_time, all[0].revoke_time),
        (&key, NOON, Some(after(1)))
    );
}

async fn reopening_keeps_everything(store: TestStore) {
    let (call, made) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let again = Store::open(&store.config).await.unwrap();
    assert_eq!(again.hasher().key(&tenant(), phone(1)), store.key(phone(1)));
    let mut tx = again.read().await.unwrap();
    let kept = tx.call(&tenant(), call.call_id).await.unwrap().unwrap();
    assert_eq!(
        (kept.to, kept.attempt_id),
        (Some(phone(1)), Some(made.attempt_id))
    );
    assert_eq!(
        tx.still_open(&[made.attempt_id]).await.unwrap(),
        [made.attempt_id]
    );
    let person = tx.party(&tenant(), call.party_id).await.unwrap().unwrap();
    assert_eq!(person.numbers[0].number, phone(1));
}

async fn another_key_file_is_refused(store: TestStore) {
    let refused = async |config: &StoreConfig| match Store::open(config).await {
        Err(StoreError::Setting(told)) => told,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    };
    let missing = StoreConfig {
        key_file: store.folder.path().join("none.key"),
        ..store.config.clone()
    };
    let told = refused(&missing).await;
    assert!(
        told.contains("none.key") && told.contains("is missing"),
        "{told}"
    );
    assert!(
        !missing.key_file.exists(),
        "no new one is made for an old database"
    );
    let right = std::fs::read_to_string(&store.config.key_file).unwrap();
    std::fs::write(&store.config.key_file, "0123456789abcdef".repeat(4)).unwrap();
    let told = refused(&store.config).await;
    assert!(told.contains("does not belong to this database"), "{told}");
    std::fs::write(&store.config.key_file, "12").unwrap();
    assert!(
        refused(&store.config)
            .await
            .contains("64 hexadecimal digits")
    );
    std::fs::write(&store.config.key_file, right).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |mode| std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(&store.config.key_file, mode(0o644)).unwrap();
        assert!(refused(&store.config).await.contains("chmod 600"));
        std::fs::set_permissions(&store.config.key_file, mode(0o600)).unwrap();
    }
    Store::open(&store.config).await.unwrap();
    for url in [
        "mysql://x",
        "sqlite:",
        "sqlite::memory:",
        "dialgate.db",
        "sqlite:x.db?mode=ro",
    ] {
        let told = refused(&StoreConfig {
            url: url.to_owned(),
            ..store.config.clone()
        })
        .await;
        assert!(told.contains("database URL"), "{url}: {told}");
    }
}

/// The database holds people's affairs: its files are its owner's alone, whatever the umask says.
#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_new_database_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig {
        url: format!("sqlite:{}/new.db", folder.path().display()),
        key_file: folder.path().join("new.key"),
        max_connections: 2,
    };
    let _store = Store::open(&config).await.unwrap();
    for name in ["new.db", "new.db-wal", "new.db-shm"] {
        let found = std::fs::metadata(folder.path().join(name)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{name}");
    }
}

/// The called number stands nowhere readable, whatever was recorded of it.
async fn no_readable_number_is_stored(store: TestStore) {
    let number = phone(4242);
    let (call, made) = store.claimed(number, Incarnation::new(NOON)).await;
    let mut tx = store.write().await;
    let account = dialgate::domain::account::Account::parse("Secret Holdings").unwrap();
    let mut person = draft(call.party_id, &[number]);
    person.profile.account = Some(account.clone());
    tx.upsert_party(&tenant(), &person, NOON).await.unwrap();
    let account = store.store.account_hasher().key(&tenant(), &account);
    let of_account = suppression(SuppressionSubject::Account(account));
    tx.insert_suppression(&tenant(), &of_account).await.unwrap();
    tx.insert_decisions(
        &tenant(),
        &[decision(call.party_id, number, call.number_key, NOON)],
    )
    .await
    .unwrap();
    tx.insert_consent(&tenant(), &consent(call.party_id, number))
        .await
        .unwrap();
    let mut noted = suppression(SuppressionSubject::Number(call.number_key));
    noted.note = Some(format!("called from {}", number.reveal()));
    tx.insert_suppression(&tenant(), &noted).await.unwrap();
    tx.lock_numbers(&tenant(), &[call.number_key.0])
        .await
        .unwrap();
    let mut answered = event(call.call_id, NOON, EventKind::Answered, None);
    answered.detail.sdp = Some(format!("s={}", number.reveal()).into_bytes());
    tx.record_event(&tenant(), &answered).await.unwrap();
    let said = Disposition {
        disposition_id: DispositionId::new(NOON),
        call_id: call.call_id,
        code: DispositionCode::WrongNumber,
        note: Some(number.digits()),
        amends: None,
        suppression_id: None,
        actor: "key:agent".to_owned(),
        at: NOON,
    };
    tx.insert_disposition(&tenant(), &said).await.unwrap();
    assert!(
        tx.end_attempt(
            &tenant(),
            &end(call.call_id, made.attempt_id, Outcome::Busy)
        )
        .await
        .unwrap()
    );
    tx.commit().await.unwrap();
    // Without the country code, and as the name, which is as personal; so is whom they work for.
    let secrets = ["4045554242", "Example Person", "Secret Holdings"];
    if store.store.engine() == Engine::Sqlite {
        let mut searched = 0;
        for file in std::fs::read_dir(store.folder.path()).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap();
            searched += bytes.len();
            for secret in secrets {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} in {}", file.path().display());
            }
        }
        assert!(searched > 100_000, "the database and its log were searched");
        return;
    }
    let mut conn = PgConnection::connect(&store.config.url).await.unwrap();
    let tables = columns_of_postgres(&mut conn).await;
    assert!(tables.len() > 10);
    for table in tables.keys() {
        // A row as text shows bytes as hexadecimal.
        let rows: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT t::text FROM {table} AS t")))
                .fetch_all(&mut conn)
                .await
                .unwrap();
        for secret in secrets {
            let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
            assert!(
                !rows
                    .iter()
                    .any(|row| row.contains(secret) || row.contains(&hex)),
                "{secret} in {table}"
            );
        }
    }
}

/// What a destroyed key takes with it reads as absent; proofs and opt-outs stay.
async fn an_erased_person_leaves_no_error(store: TestStore) {
    let (call, made) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let judged = decision(call.party_id, phone(1), call.number_key, NOON);
    let agreed = consent(call.party_id, phone(1));
    let mut tx = store.write().await;
    tx.insert_decisions(&tenant(), std::slice::from_ref(&judged))
        .await
        .unwrap();
    tx.insert_consent(&tenant(), &agreed).await.unwrap();
    tx.insert_suppression(
        &tenant(),
        &suppression(SuppressionSubject::Number(call.number_key)),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let erase = "UPDATE parties SET wrapped_key = NULL";
    match store.store.engine() {
        Engine::Sqlite => {
            let path = store.config.url.trim_start_matches("sqlite://");
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path);
            let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::query(erase).execute(&mut conn).await.unwrap();
        }
        Engine::Postgres => {
            let mut conn = PgConnection::connect(&store.config.url).await.unwrap();
            sqlx::query(erase).execute(&mut conn).await.unwrap();
        }
    }
    let mut tx = store.write().await;
    assert_eq!(tx.party(&tenant(), call.party_id).await.unwrap(), None);
    assert_eq!(
        tx.call(&tenant(), call.call_id).await.unwrap().unwrap().to,
        None
    );
    let kept = tx
        .decision(&tenant(), judged.decision_id, true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((kept.case_json, kept.judgement), (None, judged.judgement));
    let recorded = tx.recorded_decisions(&tenant(), &everything()).await;
    let recorded = recorded.unwrap().rows;
    let found = recorded
        .iter()
        .find(|row| row.decision_id == judged.decision_id);
    let found = found.unwrap();
    assert_eq!(
        (found.is_erased, &found.case),
        (true, &RecordedCase::Unreadable)
    );
    assert_eq!(
        tx.consent(&tenant(), agreed.consent_event_id)
            .await
            .unwrap(),
        None
    );
    assert!(
        tx.consents(&tenant(), None, None, &everything())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    let facts = tx
        .load_facts(&tenant(), &[wanted(&store, 1, call.party_id)])
        .await
        .unwrap();
    assert_eq!(
        (facts[0].opt_outs.len(), facts[0].attempts.len()),
        (1, 1),
        "the opt-out and the caps outlive them"
    );
    let mut answered = event(call.call_id, NOON, EventKind::Answered, None);
    answered.detail.sdp = Some(b"v=0".to_vec());
    tx.record_event(&tenant(), &answered).await.unwrap();
    let last = tx
        .events_after(&tenant(), call.call_id, 2, 9)
        .await
        .unwrap();
    assert_eq!(last[0].detail.sdp, None);
    assert!(
        tx.end_attempt(
            &tenant(),
            &end(call.call_id, made.attempt_id, Outcome::Busy)
        )
        .await
        .unwrap()
    );
    tx.commit().await.unwrap();
}

async fn tenants_are_apart(store: TestStore) {
    let other = TenantId("other".to_owned());
    let (call, made) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let key = call.number_key;
    let judged = decision(call.party_id, phone(1), key, NOON);
    let stopped = suppression(SuppressionSubject::Number(key));
    let mut tx = store.write().await;
    tx.insert_decisions(&tenant(), std::slice::from_ref(&judged))
        .await
        .unwrap();
    tx.insert_suppression(&tenant(), &stopped).await.unwrap();
    tx.insert_audit(&tenant(), &[audit("a", NOON)])
        .await
        .unwrap();
    assert_ne!(store.store.hasher().key(&other, phone(1)), key);
    assert_eq!(tx.call(&other, call.call_id).await.unwrap(), None);
    assert_eq!(tx.party(&other, call.party_id).await.unwrap(), None);
    assert_eq!(
        tx.decision(&other, judged.decision_id, false)
            .await
            .unwrap(),
        None
    );
    assert_eq!(
        tx.suppression(&other, stopped.suppression_id)
            .await
            .unwrap(),
        None
    );
    assert!(
        tx.events_after(&other, call.call_id, 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(tx.open_permits(&other, &key, &[]).await.unwrap().is_empty());
    assert!(
        tx.covering(&other, &[key], None, NOON)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        tx.audit_entries(&other, &everything())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(
        tx.list_calls(&other, &everything())
            .await
            .unwrap()
            .rows
            .is_empty()
    );
    assert!(
        !tx.end_attempt(&other, &end(call.call_id, made.attempt_id, Outcome::Busy))
            .await
            .unwrap()
    );
    let taken = tx
        .upsert_party(&other, &draft(call.party_id, &[phone(5)]), NOON)
        .await;
    assert!(
        matches!(taken, Err(StoreError::Duplicate { .. })),
        "another tenant's person is not rewritten: {taken:?}"
    );
}
