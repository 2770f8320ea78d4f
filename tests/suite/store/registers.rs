//! Snapshots of registers and the pieces of their files.

use dialgate::domain::ids::SnapshotId;
use dialgate::domain::register::RegisterSnapshot;
use dialgate::store::REGISTER_SNAPSHOT_FIELDS;

use super::{NOON, StoreError, TestStore, after, everything, list, tenant};

contract![
    the_latest_snapshot_of_a_register_is_in_force,
    pieces_are_kept_for_the_latest_two_snapshots,
];

fn snapshot(register: &str, position: i64) -> RegisterSnapshot {
    RegisterSnapshot {
        snapshot_id: SnapshotId::new(after(position)),
        register: register.to_owned(),
        position,
        as_of: jiff::civil::date(2026, 11, 20),
        covers: "1212,1646".to_owned(),
        numbers: 5_000_000_000,
        rows_read: 5_000_000_001,
        rows_rejected: 1,
        sha256: format!("{register} {position}"),
        file_bytes: 1 << 40,
        actor: "anna".to_owned(),
        recorded_at: after(position),
    }
}

async fn the_latest_snapshot_of_a_register_is_in_force(store: TestStore) {
    let [first, second, other] = [("us-dnc", 1), ("us-dnc", 2), ("gb-tps", 1)]
        .map(|(register, position)| snapshot(register, position));
    let mut tx = store.write().await;
    assert!(tx.registers_in_force(&tenant()).await.unwrap().is_empty());
    for each in [&first, &other, &second] {
        tx.insert_register_snapshot(&tenant(), each).await.unwrap();
    }
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let in_force = tx.registers_in_force(&tenant()).await.unwrap();
    assert_eq!(in_force, [other.clone(), second.clone()]);
    let found = tx.latest_register_snapshots(&tenant(), "us-dnc", 1).await;
    assert_eq!(found.unwrap().first(), Some(&second));
    let found = tx
        .latest_register_snapshots(&tenant(), "us-dnc", 9)
        .await
        .unwrap();
    assert_eq!(found, [second.clone(), first.clone()]);
    let found = tx.register_snapshot(&tenant(), first.snapshot_id).await;
    assert_eq!(found.unwrap(), Some(first.clone()));
    let page = tx.register_snapshots(&tenant(), &everything()).await;
    assert_eq!(page.unwrap().rows, [second, other, first]);
    let some = list("register = \"gb-tps\"", REGISTER_SNAPSHOT_FIELDS);
    let page = tx.register_snapshots(&tenant(), &some).await;
    assert_eq!(page.unwrap().rows.len(), 1);

    // Two that are loaded at once: one of them is told.
    let mut tx = store.write().await;
    let twin = RegisterSnapshot {
        snapshot_id: SnapshotId::new(NOON),
        ..snapshot("us-dnc", 2)
    };
    let told = tx.insert_register_snapshot(&tenant(), &twin).await;
    assert!(matches!(told, Err(StoreError::Duplicate { .. })));
}

async fn pieces_are_kept_for_the_latest_two_snapshots(store: TestStore) {
    let mut tx = store.write().await;
    for position in 1..=3 {
        let snapshot = snapshot("us-dnc", position);
        tx.insert_register_snapshot(&tenant(), &snapshot)
            .await
            .unwrap();
        for piece in 0..2 {
            let content = vec![u8::try_from(piece).unwrap(); 70_000];
            tx.insert_register_piece(&tenant(), &snapshot.sha256, (piece, &content), NOON)
                .await
                .unwrap();
        }
    }
    // Being loaded: no snapshot yet. And what broke off a day ago, one piece of it sent again since.
    for (hash, piece, at) in [
        ("loading", 0, after(60)),
        ("broken", 0, NOON),
        ("broken", 1, NOON),
        ("broken", 1, after(60)),
    ] {
        tx.insert_register_piece(&tenant(), hash, (piece, b"bytes"), at)
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();

    let mut tx = store.write().await;
    let forgotten = tx.forget_register_pieces(&tenant(), after(30), 2).await;
    assert_eq!(forgotten.unwrap(), 2, "no more than asked for");
    let forgotten = tx.forget_register_pieces(&tenant(), after(30), 99).await;
    assert_eq!(forgotten.unwrap(), 1);
    for (hash, piece, bytes) in [
        ("us-dnc 3", 1, Some(70_000)),
        ("us-dnc 2", 0, Some(70_000)),
        ("us-dnc 2", 2, None),
        ("us-dnc 1", 0, None),
        ("us-dnc 1", 1, None),
        ("broken", 0, None),
        ("broken", 1, Some(5)),
        ("loading", 0, Some(5)),
    ] {
        let found = tx.register_piece(&tenant(), hash, piece).await.unwrap();
        assert_eq!(found.map(|found| found.len()), bytes, "{hash} {piece}");
    }
}
