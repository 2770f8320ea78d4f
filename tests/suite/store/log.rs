//! The transparency log: places, tiles, checkpoints, and that no two who work at once make two logs.

use dialgate::audit::{Edge, Hash, TileId, leaf_hash};
use dialgate::store::{LogLag, PlacedEntry, StoredCheckpoint};

use super::*;

contract![
    a_log_is_begun_once_and_grows_by_what_was_seen,
    entries_get_their_places_once,
    who_works_on_the_log_works_alone,
    tiles_and_checkpoints_are_kept,
    entries_of_the_release_before_get_their_places,
];

fn over(size: u64) -> StoredCheckpoint {
    StoredCheckpoint {
        size,
        note: format!("log\n{size}\n"),
        at: after(i64::try_from(size).unwrap()),
    }
}

async fn with_entries(store: &TestStore, count: i64) -> Vec<AuditEntry> {
    let entries: Vec<AuditEntry> = (0..count).map(|at| audit("a", after(at))).collect();
    let mut tx = store.write().await;
    tx.insert_audit(&tenant(), &entries).await.unwrap();
    tx.commit().await.unwrap();
    entries
}

async fn a_log_is_begun_once_and_grows_by_what_was_seen(store: TestStore) {
    let mut tx = store.write().await;
    assert_eq!(tx.audit_log(&tenant()).await.unwrap(), None);
    assert_eq!(tx.hold_audit_log(&tenant()).await.unwrap(), None);
    assert!(tx.begin_audit_log(&tenant(), "key", NOON).await.unwrap());
    assert!(
        !tx.begin_audit_log(&tenant(), "another", NOON)
            .await
            .unwrap()
    );
    let extended = tx.extend_audit_log(&tenant(), 0, &over(0)).await;
    assert!(extended.unwrap(), "a checkpoint over nothing");
    let extended = tx.extend_audit_log(&tenant(), 0, &over(7)).await;
    assert!(extended.unwrap());
    let late = tx.extend_audit_log(&tenant(), 0, &over(9)).await;
    assert!(!late.unwrap(), "it is not as long as was seen");
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let log = tx.audit_log(&tenant()).await.unwrap().unwrap();
    assert_eq!((log.verifier_key.as_str(), log.size), ("key", 7));
    let latest = tx.latest_checkpoint(&tenant()).await.unwrap();
    assert_eq!(latest, Some(over(7)));
    let other = TenantId("other".to_owned());
    assert_eq!(tx.audit_log(&other).await.unwrap(), None);
    assert_eq!(tx.latest_checkpoint(&other).await.unwrap(), None);
}

async fn entries_get_their_places_once(store: TestStore) {
    let entries = with_entries(&store, 5).await;
    let mut tx = store.write().await;
    let waiting = tx.unplaced_entries(&tenant(), 3).await.unwrap();
    let ids: Vec<AuditEntryId> = waiting
        .iter()
        .map(|each| AuditEntryId(each.entry_id))
        .collect();
    let wanted: Vec<AuditEntryId> = entries.iter().take(3).map(|each| each.entry_id).collect();
    assert_eq!(ids, wanted, "the oldest first");
    let lag = tx.log_lag(&tenant()).await.unwrap();
    let oldest_at = Some(entries[0].at);
    assert_eq!(
        lag,
        LogLag {
            entries: 5,
            oldest_at
        }
    );
    tx.place_entries(&tenant(), 0, &ids).await.unwrap();
    tx.place_entries(&tenant(), 3, &[]).await.unwrap();
    tx.commit().await.unwrap();

    // Once more, or one that is not there: nothing is done, and nothing can be committed.
    for again in [&ids[..1], &[AuditEntryId::new(NOON)][..]] {
        let mut tx = store.write().await;
        let refused = tx.place_entries(&tenant(), 3, again).await.unwrap_err();
        assert!(matches!(refused, StoreError::Duplicate { .. }), "{refused}");
        assert!(tx.commit().await.is_err());
    }
    let mut tx = store.write().await;
    let taken = tx.place_entries(&tenant(), 2, &[entries[4].entry_id]).await;
    assert!(taken.is_err(), "the place is another's");
    drop(tx);

    let mut tx = store.read().await;
    let placed = tx.logged_entries(&tenant(), 1, 10).await.unwrap();
    let places: Vec<(u64, Uuid)> = placed
        .iter()
        .map(|(at, each)| (*at, each.entry_id))
        .collect();
    assert_eq!(
        places,
        [(1, entries[1].entry_id.0), (2, entries[2].entry_id.0)]
    );
    assert_eq!(tx.logged_entries(&tenant(), 0, 2).await.unwrap().len(), 2);
    let (place, entry) = tx
        .logged_entry(&tenant(), entries[2].entry_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((place, &entry), (Some(2), &placed[1].1));
    let (place, entry) = tx
        .logged_entry(&tenant(), entries[4].entry_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(place, None);
    assert_eq!(entry.payload, entries[4].payload.to_string());
    assert_eq!(entry.at, entries[4].at);
    let nobody = tx.logged_entry(&tenant(), AuditEntryId::new(NOON)).await;
    assert_eq!(nobody.unwrap(), None);
    let listed = tx
        .placed_entries(&tenant(), &list("log_index >= 1", AUDIT_FIELDS))
        .await;
    let listed = listed.unwrap().rows;
    let wanted = |at: usize| PlacedEntry {
        entry: entries[at].clone(),
        log_index: i64::try_from(at).ok(),
    };
    assert_eq!(listed, [wanted(2), wanted(1)]);
}

async fn who_works_on_the_log_works_alone(store: TestStore) {
    let mut tx = store.write().await;
    assert!(tx.begin_audit_log(&tenant(), "key", NOON).await.unwrap());
    tx.commit().await.unwrap();
    let mut first = store.write().await;
    assert!(first.hold_audit_log(&tenant()).await.unwrap().is_some());
    if store.store.engine() == Engine::Postgres {
        let mut second = store.write().await;
        let held = second.hold_audit_log(&tenant()).await.unwrap();
        assert_eq!(held, None, "another holds it, and is not waited for");
    }
    drop(first);
    let mut second = store.write().await;
    assert!(second.hold_audit_log(&tenant()).await.unwrap().is_some());
}

async fn tiles_and_checkpoints_are_kept(store: TestStore) {
    let leaf = |number: u32| leaf_hash(&number.to_be_bytes());
    let mut edge = Edge::default();
    let mut tx = store.write().await;
    for batch in [0..100, 100..400, 400..400, 400..66_000] {
        let tiles = edge.append(batch.map(leaf));
        tx.put_audit_tiles(&tenant(), &tiles).await.unwrap();
        let ids: Vec<TileId> = Edge::tiles(edge.size()).map(|(id, _)| id).collect();
        let kept = tx.audit_tiles(&tenant(), &ids).await.unwrap();
        assert_eq!(Edge::of(edge.size(), &kept).as_ref(), Some(&edge));
    }
    let full = TileId {
        level: 0,
        index: 255,
    };
    let missing = TileId {
        level: 0,
        index: 9_999,
    };
    let tiles = tx.audit_tiles(&tenant(), &[full, missing]).await.unwrap();
    let wanted: Vec<Hash> = (65_280..65_536).map(leaf).collect();
    assert_eq!(tiles.get(full), Some(wanted.as_slice()));
    assert_eq!(tiles.get(missing), None);

    tx.begin_audit_log(&tenant(), "key", NOON).await.unwrap();
    for (seen, size) in [(0, 0), (0, 3), (3, 5), (5, 9)] {
        let extended = tx.extend_audit_log(&tenant(), seen, &over(size)).await;
        assert!(extended.unwrap());
    }
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let from = tx.checkpoints_from(&tenant(), 3, 2).await.unwrap();
    assert_eq!(from, [over(3), over(5)]);
    assert!(
        tx.checkpoints_from(&tenant(), 10, 2)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(tx.count_checkpoints(&tenant(), 3, 9).await.unwrap(), 3);
    assert_eq!(tx.count_checkpoints(&tenant(), 4, 8).await.unwrap(), 1);
}

/// A node of the release before goes on writing entries beside this one, and knows nothing of places.
async fn entries_of_the_release_before_get_their_places(store: TestStore) {
    let sql = match store.store.engine() {
        Engine::Sqlite => {
            "INSERT INTO audit_entries (entry_id, tenant_id, kind, actor, payload, create_time)
             VALUES (x'00000000000000000000000000000007', 'default', 'decision', 'key:a', '{\"b\":1,  \"a\":2}', 5)"
        }
        Engine::Postgres => {
            "INSERT INTO audit_entries (entry_id, tenant_id, kind, actor, payload, create_time)
             VALUES ('00000000-0000-0000-0000-000000000007', 'default', 'decision', 'key:a', '{\"b\":1,  \"a\":2}', 5)"
        }
    };
    store.change(sql, &[]).await;
    let mut tx = store.write().await;
    let waiting = tx.unplaced_entries(&tenant(), 10).await.unwrap();
    assert_eq!(waiting.len(), 1);
    let leaf = waiting[0].leaf();
    assert!(
        leaf.ends_with("\"payload\":{\"b\":1,  \"a\":2}}"),
        "as it was written: {leaf}"
    );
    let id = AuditEntryId(waiting[0].entry_id);
    tx.place_entries(&tenant(), 0, &[id]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let kept = tx.logged_entry(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(kept, (Some(0), waiting[0].clone()));
}
