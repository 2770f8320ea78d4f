//! Changes of suppressions in their order.

use dialgate::domain::suppression::SuppressionChangeKind::{LiftRequested, Lifted, Recorded};

use super::suppressions::lift;
use super::*;

contract![
    changes_of_suppressions_have_one_order,
    numbers_of_suppressions_are_read_as_far_as_they_are_told,
];

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

async fn numbers_of_suppressions_are_read_as_far_as_they_are_told(store: TestStore) {
    let mut keys: Vec<NumberKey> = (1..=4).map(|number| store.key(phone(number))).collect();
    let mut tx = store.write().await;
    for key in [keys[0], keys[1], keys[1], keys[2]] {
        let each = suppression(SuppressionSubject::Number(key));
        tx.insert_suppression(&tenant(), &each).await.unwrap();
    }
    let person = suppression(SuppressionSubject::Party(PartyId::new(NOON)));
    tx.insert_suppression(&tenant(), &person).await.unwrap();
    assert_eq!(tx.untold_numbers(&tenant(), 4).await.unwrap(), None);
    let untold = tx.untold_numbers(&tenant(), 5).await.unwrap().unwrap();
    assert_eq!(untold.len(), 4, "one is about a person");
    assert_eq!(tx.place_suppression_changes(&tenant(), 9).await.unwrap(), 5);
    let last = suppression(SuppressionSubject::Number(keys[3]));
    tx.insert_suppression(&tenant(), &last).await.unwrap();
    let untold = tx.untold_numbers(&tenant(), 5).await.unwrap();
    assert_eq!(untold, Some(vec![keys[3]]));
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let (told, position) = tx.numbers_told_after(&tenant(), 0, 3).await.unwrap();
    assert!(position == 3 && told.len() <= 3);
    let (mut rest, position) = tx.numbers_told_after(&tenant(), position, 9).await.unwrap();
    assert_eq!(position, 5);
    rest.extend(told);
    rest.sort_unstable();
    let mut twice = vec![keys[0], keys[1], keys[1], keys[2]];
    twice.sort_unstable();
    assert_eq!(rest, twice);
    let nothing = tx.numbers_told_after(&tenant(), 5, 9).await.unwrap();
    assert_eq!(nothing, (Vec::new(), 5));

    let read = tx
        .suppressed_numbers_after(&tenant(), None, 9)
        .await
        .unwrap();
    keys.sort_unstable();
    let distinct: std::collections::BTreeSet<NumberKey> = read.iter().copied().collect();
    assert!(read.is_sorted() && distinct.into_iter().eq(keys.iter().copied()));
    let from = tx
        .suppressed_numbers_after(&tenant(), Some(keys[2]), 9)
        .await
        .unwrap();
    // Twice if it is the one of two suppressions: which key is the last is by chance.
    assert!(!from.is_empty() && from.iter().all(|key| *key == keys[3]));
    let other = TenantId("other".to_owned());
    assert!(
        tx.suppressed_numbers_after(&other, None, 9)
            .await
            .unwrap()
            .is_empty()
    );
}
