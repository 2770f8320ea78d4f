//! Imports of lists: many rows at once, how far a list is, and who goes on with it.

use dialgate::domain::ids::ImportId;
use dialgate::domain::import::{
    Import, ImportCounts, ImportKind, ImportReject, ImportState, RejectReason,
};
use dialgate::store::{IMPORT_FIELDS, ImportRunner, ImportStep};

use super::*;

contract![
    many_suppressions_are_kept_and_found,
    one_goes_on_with_an_import,
    rejects_are_kept_in_the_order_of_the_list,
];

async fn many_suppressions_are_kept_and_found(store: TestStore) {
    let keys: Vec<NumberKey> = (0..200).map(|n| store.key(phone(n))).collect();
    let many: Vec<Suppression> = keys
        .iter()
        .map(|key| suppression(SuppressionSubject::Number(*key)))
        .collect();
    let mut expiring = suppression(SuppressionSubject::Number(keys[0]));
    expiring.reason = SuppressionReason::Internal;
    expiring.expires_at = Some(after(100));
    store.party(phone(3)).await;
    let mut tx = store.write().await;
    tx.insert_suppressions(&tenant(), &many).await.unwrap();
    tx.insert_suppressions(&tenant(), &[expiring])
        .await
        .unwrap();
    tx.insert_suppressions(&tenant(), &[]).await.unwrap();
    let found = tx
        .lasting_suppressions(&tenant(), &keys[..2])
        .await
        .unwrap();
    let mut found: Vec<_> = found.into_iter().map(|each| each.suppression_id).collect();
    found.sort();
    assert_eq!(
        found,
        [many[0].suppression_id, many[1].suppression_id],
        "what expires is not lasting"
    );
    let linked = tx.linked_numbers(&tenant(), &keys).await.unwrap();
    assert_eq!(linked.into_iter().collect::<Vec<_>>(), [keys[3]]);
    assert!(tx.linked_numbers(&tenant(), &[]).await.unwrap().is_empty());
    let page = tx
        .list_suppressions(&tenant(), &everything())
        .await
        .unwrap();
    assert_eq!(page.rows.len(), 201);
    tx.commit().await.unwrap();
}

fn fresh(content: u8) -> Import {
    Import {
        import_id: ImportId::new(NOON),
        kind: ImportKind::Suppressions,
        state: ImportState::Open,
        content_sha256: [content; 32],
        size_bytes: 1000,
        settings_sha256: [2; 32],
        counts: ImportCounts::default(),
        lines: 0,
        lines_sha256: [0; 32],
        acknowledged_lines: 0,
        acknowledged_rows: 0,
        problem: None,
        actor: "key:a".to_owned(),
        began_at: NOON,
        ended_at: None,
    }
}

async fn one_goes_on_with_an_import(store: TestStore) {
    let t = tenant();
    let mut import = fresh(1);
    let import_id = import.import_id;
    let [first, second] = [1, 2].map(|n| ImportRunner {
        import_id,
        runner: Uuid::from_u128(n),
    });
    let mut tx = store.write().await;
    tx.insert_import(&t, &import, first.runner).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let twin = tx.insert_import(&t, &fresh(1), second.runner).await;
    assert!(
        matches!(twin, Err(StoreError::Duplicate { .. })),
        "{twin:?}"
    );
    drop(tx);

    let counts = ImportCounts {
        read: 10,
        created: 7,
        repeated: 2,
        rejected: 1,
    };
    let step = ImportStep {
        from_line: 0,
        to_line: 12,
        lines_sha256: [3; 32],
        counts,
    };
    let mut tx = store.write().await;
    assert!(tx.step_import(&t, first, &step).await.unwrap());
    assert!(
        !tx.step_import(&t, first, &step).await.unwrap(),
        "it is further"
    );
    assert!(
        !tx.step_import(
            &t,
            second,
            &ImportStep {
                from_line: 12,
                ..step
            }
        )
        .await
        .unwrap()
    );
    assert!(tx.acknowledge_import(&t, first, 12, 10).await.unwrap());
    assert!(tx.take_import(&t, second).await.unwrap());
    assert!(!tx.acknowledge_import(&t, first, 12, 10).await.unwrap());
    assert!(!tx.end_import(&t, first, None, after(5)).await.unwrap());
    let further = ImportStep {
        from_line: 12,
        to_line: 20,
        ..step
    };
    assert!(tx.step_import(&t, second, &further).await.unwrap());
    import.counts = counts.plus(counts);
    (import.lines, import.lines_sha256) = (20, [3; 32]);
    (import.acknowledged_lines, import.acknowledged_rows) = (12, 10);
    assert_eq!(
        tx.import(&t, ImportKind::Suppressions, import_id)
            .await
            .unwrap(),
        Some(import.clone())
    );
    let found = tx.open_import(&t, &[1; 32], &[2; 32]).await.unwrap();
    assert_eq!(found, Some(import.clone()));
    assert_eq!(tx.open_import(&t, &[1; 32], &[9; 32]).await.unwrap(), None);
    assert!(
        tx.end_import(&t, second, Some("cut off"), after(5))
            .await
            .unwrap()
    );
    assert!(!tx.end_import(&t, second, None, after(6)).await.unwrap());
    assert!(!tx.take_import(&t, second).await.unwrap());
    assert_eq!(
        tx.open_import(&t, &[1; 32], &[2; 32]).await.unwrap(),
        None,
        "it failed"
    );
    assert_eq!(tx.list_came_at(&t, &[1; 32], &[2; 32]).await.unwrap(), None);
    let mut again = fresh(1);
    again.began_at = after(7);
    tx.insert_import(&t, &again, first.runner).await.unwrap();
    let came = tx.list_came_at(&t, &[1; 32], &[2; 32]).await.unwrap();
    assert_eq!(came, Some(after(7)), "one that failed is none");
    let failed = list("state = \"failed\"", IMPORT_FIELDS);
    let page = tx
        .list_imports(&t, ImportKind::Suppressions, &failed)
        .await
        .unwrap();
    assert_eq!(page.rows.len(), 1);
    assert_eq!(
        (page.rows[0].problem.as_deref(), page.rows[0].ended_at),
        (Some("cut off"), Some(after(5)))
    );
    assert_eq!(
        tx.list_imports(&t, ImportKind::Suppressions, &everything())
            .await
            .unwrap()
            .rows
            .len(),
        2
    );
    // A list that is done and comes again is another import, and had come when the first of them began.
    let as_again = ImportRunner {
        import_id: again.import_id,
        ..first
    };
    assert!(tx.end_import(&t, as_again, None, after(8)).await.unwrap());
    assert_eq!(tx.open_import(&t, &[1; 32], &[2; 32]).await.unwrap(), None);
    let mut third = fresh(1);
    third.began_at = after(9);
    tx.insert_import(&t, &third, second.runner).await.unwrap();
    let found = tx.open_import(&t, &[1; 32], &[2; 32]).await.unwrap();
    assert_eq!(found, Some(third));
    let came = tx.list_came_at(&t, &[1; 32], &[2; 32]).await.unwrap();
    assert_eq!(came, Some(after(7)));
    let mut consents = fresh(2);
    consents.kind = ImportKind::Consents;
    tx.insert_import(&t, &consents, first.runner).await.unwrap();
    let found = tx
        .import(&t, ImportKind::Suppressions, consents.import_id)
        .await;
    assert_eq!(found.unwrap(), None, "it is of another kind");
    let page = tx
        .list_imports(&t, ImportKind::Consents, &everything())
        .await;
    assert_eq!(page.unwrap().rows, [consents]);
    tx.commit().await.unwrap();
}

async fn rejects_are_kept_in_the_order_of_the_list(store: TestStore) {
    let t = tenant();
    let [one, other] = [1, 2].map(|content| fresh(content).import_id);
    let reject = |line: i64| ImportReject {
        line,
        reason: RejectReason::ALL[usize::try_from(line).unwrap() % RejectReason::ALL.len()],
        problem: format!("is wrong ({line})"),
    };
    let mut tx = store.write().await;
    let rows: Vec<ImportReject> = [30, 10, 20].map(reject).into();
    tx.insert_import_rejects(&t, one, &rows).await.unwrap();
    tx.insert_import_rejects(&t, one, &[]).await.unwrap();
    tx.insert_import_rejects(&t, other, &[reject(15)])
        .await
        .unwrap();
    let mut twice = reject(10);
    twice.problem = "another".to_owned();
    tx.insert_import_rejects(&t, one, &[twice]).await.unwrap();
    let mut query = ListQuery {
        page_size: 2,
        ..everything()
    };
    let page = tx.import_rejects(&t, one, &query).await.unwrap();
    assert_eq!(page.rows, [reject(10), reject(20)]);
    query.after = page.next;
    let page = tx.import_rejects(&t, one, &query).await.unwrap();
    assert_eq!((page.rows, page.next), (vec![reject(30)], None));
    tx.commit().await.unwrap();
}
