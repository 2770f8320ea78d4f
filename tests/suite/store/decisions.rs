//! Decisions, lists with their pages and filters, and what was asked before.

use super::*;

contract![
    a_decision_that_cannot_be_read_holds_up_no_other,
    decisions_are_kept_and_found,
    lists_page_without_gap_or_repeat,
    filters_mean_the_same,
    requests_are_remembered,
];

/// Of four decisions three are damaged, each in another place.
async fn a_decision_that_cannot_be_read_holds_up_no_other(store: TestStore) {
    let mut made = Vec::new();
    for number in 1..=4 {
        let party = store.party(phone(number)).await;
        let key = store.key(phone(number));
        made.push(decision(party, phone(number), key, after(number.into())));
    }
    let mut tx = store.write().await;
    tx.insert_decisions(&tenant(), &made).await.unwrap();
    tx.commit().await.unwrap();
    let case = "UPDATE decisions SET sealed_case = $1 WHERE decision_id = $2";
    store.damage(case, made[0].decision_id.0).await;
    let key = "UPDATE parties SET wrapped_key = $1 WHERE party_id = $2";
    store.damage(key, made[1].party_id.0).await;
    let judgement = "UPDATE decisions SET judgement = 'x' WHERE decision_id = $1";
    store.change(judgement, &[made[2].decision_id.0]).await;
    let mut tx = store.read().await;
    let rows = tx.recorded_decisions(&tenant(), &everything()).await;
    let rows: Vec<_> = (rows.unwrap().rows.into_iter().rev())
        .map(|row| {
            (
                row.decision_id,
                row.case,
                row.is_erased,
                row.judgement == "x",
            )
        })
        .collect();
    let readable = |index: usize| RecordedCase::Readable(made[index].case_json.clone().unwrap());
    assert_eq!(
        rows,
        [
            (made[0].decision_id, RecordedCase::Unreadable, false, false),
            (made[1].decision_id, RecordedCase::Unreadable, false, false),
            (made[2].decision_id, readable(2), false, true),
            (made[3].decision_id, readable(3), false, false),
        ]
    );
}

async fn decisions_are_kept_and_found(store: TestStore) {
    let party = store.party(phone(1)).await;
    let key = store.key(phone(1));
    let mut allowed = decision(party, phone(1), key, NOON);
    allowed.call_id = Some(CallId::new(NOON));
    let mut denied = decision(party, phone(1), key, after(1));
    denied.judgement = judgement(&["US-national-dnc", "US-calling-hours"]);
    let mut tx = store.write().await;
    tx.insert_decisions(&tenant(), &[allowed.clone(), denied.clone()])
        .await
        .unwrap();
    tx.insert_decisions(&tenant(), &[]).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    assert_eq!(
        tx.decision(&tenant(), allowed.decision_id, true)
            .await
            .unwrap(),
        Some(allowed.clone())
    );
    let plain = tx
        .decision(&tenant(), denied.decision_id, false)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(plain.case_json, None, "not asked for");
    assert_eq!(plain.judgement, denied.judgement);
    // As it was recorded: the text of the judgement, not what we make of it.
    let recorded = tx.recorded_decisions(&tenant(), &everything()).await;
    let recorded = recorded.unwrap().rows;
    for (row, made) in recorded.iter().zip([&denied, &allowed]) {
        assert_eq!(row.decision_id, made.decision_id);
        assert_eq!((row.decided_at, &row.pack), (made.decided_at, &made.pack));
        let text = serde_json::to_string(&made.judgement).unwrap();
        assert_eq!(
            (&row.judgement, row.verdict),
            (&text, made.judgement.verdict)
        );
        assert!(
            row.denied_by
                .iter()
                .eq(made.judgement.denied_by.iter().map(|rule| rule.as_str()))
        );
        let case = made.case_json.clone().unwrap();
        assert_eq!(
            (&row.case, row.is_erased),
            (&RecordedCase::Readable(case), false)
        );
    }
    assert_eq!(
        tx.decision(&tenant(), DecisionId::new(NOON), true)
            .await
            .unwrap(),
        None
    );
    for (filter, expected) in [
        ("", vec![denied.decision_id, allowed.decision_id]),
        ("verdict = allow", vec![allowed.decision_id]),
        ("denied_by = US-national-dnc", vec![denied.decision_id]),
        ("denied_by = US-calling-hours", vec![denied.decision_id]),
        ("denied_by = US-national", vec![]),
        ("denied_by = US_national_dnc", vec![]),
        ("denied_by = '%'", vec![]),
        ("denied_by != US-national-dnc", vec![allowed.decision_id]),
        (
            &format!("call_id = {}", allowed.call_id.unwrap()),
            vec![allowed.decision_id],
        ),
        (
            &format!("number_key = {} AND stage = place", key.hex()),
            vec![denied.decision_id, allowed.decision_id],
        ),
        ("stage = claim", vec![]),
    ] {
        let page = tx
            .list_decisions(&tenant(), &list(filter, DECISION_FIELDS), true)
            .await
            .unwrap();
        let got: Vec<_> = page.rows.iter().map(|row| row.decision_id).collect();
        assert_eq!(got, expected, "{filter}");
        assert!(page.rows.iter().all(|row| row.case_json.is_some()));
    }
    let mut nobody = decision(PartyId::new(NOON), phone(1), key, NOON);
    nobody.decision_id = DecisionId::new(NOON);
    let mut tx = store.write().await;
    assert!(
        tx.insert_decisions(&tenant(), &[nobody]).await.is_err(),
        "of a person nobody recorded"
    );
}

/// Reads a list page by page, adding what comes meanwhile at the front.
pub(super) async fn pages<T>(size: u32, mut next: impl AsyncFnMut(ListQuery) -> Page<T>) -> Vec<T> {
    let (mut rows, mut after): (Vec<T>, Option<PageKey>) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = next(ListQuery {
            filter: Filter::Everything,
            page_size: size,
            after,
        })
        .await;
        assert!(page.rows.len() <= size as usize);
        rows.extend(page.rows);
        after = page.next;
        if after.is_none() {
            return rows;
        }
    }
    panic!("the list has no end");
}

async fn lists_page_without_gap_or_repeat(store: TestStore) {
    // Thirty rows share three instants.
    let entries: Vec<_> = (0..30)
        .map(|index| audit("optout.created", after(index % 3)))
        .collect();
    let mut tx = store.write().await;
    tx.insert_audit(&tenant(), &entries).await.unwrap();
    tx.commit().await.unwrap();
    for size in [1, 7, 10, 30, 31] {
        let got = pages(size, async |query| {
            store
                .read()
                .await
                .audit_entries(&tenant(), &query)
                .await
                .unwrap()
        })
        .await;
        let ids: BTreeSet<AuditEntryId> = got.iter().map(|entry| entry.entry_id).collect();
        assert_eq!((got.len(), ids.len()), (30, 30), "page size {size}");
        assert!(
            got.windows(2)
                .all(|pair| (pair[0].at, pair[0].entry_id) > (pair[1].at, pair[1].entry_id))
        );
    }
    let mut tx = store.read().await;
    let page = tx
        .audit_entries(
            &tenant(),
            &ListQuery {
                page_size: 0,
                ..everything()
            },
        )
        .await
        .unwrap();
    assert_eq!(page.rows.len(), 1, "a page holds at least one row");
    let page = tx
        .audit_entries(
            &tenant(),
            &ListQuery {
                page_size: 30,
                ..everything()
            },
        )
        .await
        .unwrap();
    assert_eq!(page.next, None, "a full last page is known to be the last");
    assert_eq!(
        page.rows
            .iter()
            .find(|entry| entry.entry_id == entries[4].entry_id),
        Some(&entries[4])
    );
}

async fn filters_mean_the_same(store: TestStore) {
    let mut with_key = audit("a", after(1));
    with_key.actor = "it's \"me\"".to_owned();
    let mut without = audit("b", after(2));
    without.subject_key = None;
    let mut tx = store.write().await;
    tx.insert_audit(&tenant(), &[with_key.clone(), without.clone()])
        .await
        .unwrap();
    let key = NumberKey([5; 32]).hex();
    for (filter, first, second) in [
        (String::new(), true, true),
        ("kind = a".to_owned(), true, false),
        ("kind != a".to_owned(), false, true),
        ("kind = A".to_owned(), false, false),
        ("kind = a OR kind = b".to_owned(), true, true),
        ("kind = a AND kind = b".to_owned(), false, false),
        ("NOT (kind = a OR kind = b)".to_owned(), false, false),
        (r#"actor = "it's \"me\"""#.to_owned(), true, false),
        (format!("subject_key = {key}"), true, false),
        (format!("subject_key != {key}"), false, true),
        (format!("NOT subject_key = {key}"), false, true),
        (format!("NOT subject_key != {key}"), true, false),
        (
            format!("NOT (subject_key = {key} AND kind = a)"),
            false,
            true,
        ),
        (format!("create_time > {}", after(1)), false, true),
        (format!("create_time >= {}", after(1)), true, true),
        (format!("create_time < {}", after(2)), true, false),
        (
            format!(
                "create_time <= {} AND create_time != {}",
                after(2),
                after(1)
            ),
            false,
            true,
        ),
        (format!("entry_id = {}", without.entry_id), false, true),
    ] {
        let page = tx
            .audit_entries(&tenant(), &list(&filter, AUDIT_FIELDS))
            .await
            .unwrap();
        let has = |entry: &AuditEntry| page.rows.iter().any(|row| row.entry_id == entry.entry_id);
        assert_eq!((has(&with_key), has(&without)), (first, second), "{filter}");
    }
    // Every field of every list is a column of its table.
    for field in [
        CALL_FIELDS,
        DECISION_FIELDS,
        SUPPRESSION_FIELDS,
        CONSENT_FIELDS,
        AUDIT_FIELDS,
    ]
    .iter()
    .copied()
    .flatten()
    {
        let value = [
            "1",
            "x",
            "allow",
            "place",
            "queued",
            "busy",
            "live_manual",
            "given",
            "written",
            "internal",
            "agent",
            "sales",
            &key,
        ]
        .into_iter()
        .map(str::to_owned)
        .chain([NOON.to_string(), Uuid::nil().to_string()])
        .find(|value| Filter::parse(&format!("{} = \"{value}\"", field.name), &[*field]).is_ok())
        .unwrap_or_else(|| panic!("no value for {}", field.name));
        let filter = format!(
            "{} = \"{value}\" OR {} != \"{value}\"",
            field.name, field.name
        );
        let knows = |fields: &[Field]| {
            fields
                .iter()
                .any(|other| std::ptr::eq(other, field) || other.name == field.name)
        };
        let query = list(&filter, &[*field]);
        if knows(CALL_FIELDS) && CALL_FIELDS.iter().any(|other| other.name == field.name) {
            tx.list_calls(&tenant(), &query).await.unwrap();
        }
        if knows(DECISION_FIELDS) {
            tx.list_decisions(&tenant(), &query, false).await.unwrap();
        }
        if knows(SUPPRESSION_FIELDS) {
            tx.list_suppressions(&tenant(), &query).await.unwrap();
        }
        if knows(CONSENT_FIELDS) {
            tx.consents(&tenant(), None, None, &query).await.unwrap();
        }
        if knows(AUDIT_FIELDS) {
            tx.audit_entries(&tenant(), &query).await.unwrap();
        }
    }
}

async fn requests_are_remembered(store: TestStore) {
    let request = |byte: u8| StoredRequest {
        request_id: RequestId(Uuid::new_v4()),
        method: "CreateSuppression".to_owned(),
        digest: [byte; 32],
        subject: "some id".to_owned(),
        passed: false,
        at: NOON,
    };
    let (one, other) = (request(1), request(2));
    let mut tx = store.write().await;
    tx.insert_requests(&tenant(), &[one.clone(), other.clone()])
        .await
        .unwrap();
    tx.pass_requests(&tenant(), &[other.request_id])
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let ids = [one.request_id, RequestId(Uuid::new_v4()), other.request_id];
    let mut got = tx.requests(&tenant(), &ids).await.unwrap();
    got.sort_by_key(|request| request.digest);
    assert_eq!(
        got,
        [
            one.clone(),
            StoredRequest {
                passed: true,
                ..other
            }
        ]
    );
    drop(tx);
    let mut tx = store.write().await;
    let again = tx.insert_requests(&tenant(), &[request(3), one]).await;
    assert!(
        matches!(again, Err(StoreError::Duplicate { .. })),
        "{again:?}"
    );
    let told = again.unwrap_err().to_string();
    assert!(
        told.contains("requests") && !told.contains("some id"),
        "{told}"
    );
}
