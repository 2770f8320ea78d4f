//! What providers said of numbers, and their daily budgets.

use dialgate::domain::ids::ScrubResultId;
use dialgate::domain::provider::{ProviderKind, ScrubOutcome, ScrubResult};

use super::{LineType, Micros, NumberKey, TestStore, after, phone, tenant};

contract![
    results_are_told_while_they_count_and_a_little_longer,
    a_day_has_so_many_questions,
];

fn result(key: NumberKey, answered_at: Micros, valid_until: Micros) -> ScrubResult {
    ScrubResult {
        scrub_result_id: ScrubResultId::new(answered_at),
        number_key: key,
        provider: "rnd".to_owned(),
        kind: ProviderKind::Reassigned,
        result: ScrubOutcome::Clear,
        raw_code: "false".to_owned(),
        line_type: None,
        for_date: Some(jiff::civil::date(2026, 3, 1)),
        asked_at: answered_at,
        answered_at,
        valid_until,
    }
}

async fn results_are_told_while_they_count_and_a_little_longer(store: TestStore) {
    let (anna, bert) = (store.key(phone(1)), store.key(phone(2)));
    let valid = result(anna, after(0), after(5_000));
    let over = result(anna, after(1_000), after(1_010));
    let line = ScrubResult {
        provider: "lines".to_owned(),
        kind: ProviderKind::LineType,
        line_type: Some(LineType::Voip),
        for_date: None,
        ..result(bert, after(1_100), after(9_000))
    };
    let mut tx = store.write().await;
    let rows = [line.clone(), over.clone(), valid.clone()];
    tx.insert_scrub_results(&tenant(), &rows).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let both = [anna, bert];
    for (keys, at, wanted) in [
        (&both[..], 1_009, vec![&valid, &over, &line]),
        (&both[..], 1_599, vec![&valid, &over, &line]),
        (&both[..], 1_600, vec![&valid, &line]),
        (&both[..1], 4_999, vec![&valid]),
        (&both[..1], 5_000, vec![]),
        (&both[1..], 5_000, vec![&line]),
        (&[][..], 1_009, vec![]),
    ] {
        let found = tx.scrub_results(&tenant(), keys, after(at)).await.unwrap();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{at}");
    }
}

async fn a_day_has_so_many_questions(store: TestStore) {
    let (today, tomorrow) = (
        jiff::civil::date(2026, 11, 20),
        jiff::civil::date(2026, 11, 21),
    );
    for (provider, day, max_per_day, is_left) in [
        ("rnd", today, 0, false),
        ("rnd", today, 2, true),
        ("rnd", today, 2, true),
        ("rnd", today, 2, false),
        ("lines", today, 1, true),
        ("lines", today, 1, false),
        ("rnd", tomorrow, 2, true),
        // The operator allows more.
        ("rnd", today, 3, true),
        ("rnd", today, 3, false),
    ] {
        let mut tx = store.write().await;
        let left = tx
            .spend_on_provider(&tenant(), provider, day, max_per_day)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(left, is_left, "{provider} {day} {max_per_day}");
    }
    // What is not committed was not asked.
    let mut tx = store.write().await;
    let left = tx.spend_on_provider(&tenant(), "other", today, 1).await;
    assert!(left.unwrap());
    drop(tx);
    let mut tx = store.write().await;
    let left = tx.spend_on_provider(&tenant(), "other", today, 1).await;
    assert!(left.unwrap());
}
