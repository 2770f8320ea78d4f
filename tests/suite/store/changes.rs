//! Changes of suppressions in their order.

use dialgate::domain::suppression::SuppressionChangeKind::{LiftRequested, Lifted, Recorded};

use super::suppressions::lift;
use super::*;

contract![changes_of_suppressions_have_one_order,];

async fn changes_of_suppressions_have_one_order(store: TestStore) {
    let mut tx = store.write().await;
    assert!(!tx.has_untold_suppressions(&tenant()).await.unwrap());
    assert_eq!(tx.place_suppression_changes(&tenant(), 9).await.unwrap(), 0);
    let mut all: Vec<Suppression> = (1..=3)
        .map(|number| suppression(SuppressionSubject::Number(store.key(phone(number)))))
        .collect();
    for each in &all {
        tx.insert_suppression(&tenant(), each).await.unwrap();
    }
    lift(&mut tx, &mut all[1], after(60)).await;
    assert!(tx.has_untold_suppressions(&tenant()).await.unwrap());
    let placed = tx.place_suppression_changes(&tenant(), 2).await.unwrap();
    assert_eq!(placed, 4, "two suppressions, of which one was lifted");
    tx.commit().await.unwrap();

    let mut tx = store.write().await;
    assert_eq!(tx.place_suppression_changes(&tenant(), 9).await.unwrap(), 1);
    lift(&mut tx, &mut all[2], after(90)).await;
    assert_eq!(tx.place_suppression_changes(&tenant(), 9).await.unwrap(), 2);
    assert_eq!(tx.place_suppression_changes(&tenant(), 9).await.unwrap(), 0);
    assert!(!tx.has_untold_suppressions(&tenant()).await.unwrap());
    assert_eq!(tx.latest_suppression_change(&tenant()).await.unwrap(), 7);
    let other = TenantId("other".to_owned());
    assert_eq!(tx.latest_suppression_change(&other).await.unwrap(), 0);
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let changes = tx
        .suppression_changes_after(&tenant(), 0, 99)
        .await
        .unwrap();
    let seen: Vec<_> = (changes.iter())
        .map(|each| (each.position, each.suppression.suppression_id, each.kind))
        .collect();
    let [one, two, three] = [0, 1, 2].map(|index| all[index].suppression_id);
    assert_eq!(
        seen,
        [
            (1, one, Recorded),
            (2, two, Recorded),
            (3, two, LiftRequested),
            (4, two, Lifted),
            (5, three, Recorded),
            (6, three, LiftRequested),
            (7, three, Lifted),
        ]
    );
    assert_eq!(changes[4].suppression, all[2], "as it is now");
    let some = tx.suppression_changes_after(&tenant(), 5, 1).await.unwrap();
    assert_eq!(some.len(), 1);
    assert_eq!(some[0].position, 6);
}
