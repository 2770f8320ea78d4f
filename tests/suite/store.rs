//! The store's contract: one suite, run on SQLite always and on PostgreSQL wherever it is installed. Every public function
//! of a transaction is named here (`tests/tidy.rs` looks).

mod dealings;
mod follows;
mod policy;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dialgate::domain::access::{ApiKey, Role};
use dialgate::domain::call::{Call, CallKind, CallState, EventDetail, EventKind, Outcome};
use dialgate::domain::consent::ConsentAction;
use dialgate::domain::disposition::{AttemptResult, Disposition, DispositionCode};
use dialgate::domain::filter::{Field, Filter};
use dialgate::domain::ids::{
    ApiKeyId, AttemptId, AuditEntryId, CallId, ConsentEventId, DecisionId, DispositionId,
    Incarnation, PartyId, RequestId, SuppressionId, TenantId,
};
use dialgate::domain::party::{Audience, LineType};
use dialgate::domain::phone::{NumberKey, Phone};
use dialgate::domain::suppression::{
    Lift, LiftRequest, Suppression, SuppressionReason, SuppressionSubject,
};
use dialgate::domain::time::Micros;
use dialgate::policy::facts::{OptOutKind, OptOutScope};
use dialgate::store::{
    AUDIT_FIELDS, AttemptEnd, AuditEntry, CALL_FIELDS, CONSENT_FIELDS, CancelCause,
    DECISION_FIELDS, Engine, FactsWanted, ListQuery, NewAttempt, NewEvent, Notice, Page, PageKey,
    RecordedCase, SUPPRESSION_FIELDS, Store, StoreConfig, StoreError, StoredRequest, Tx, Urgency,
    party_lock_key,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use uuid::Uuid;

use crate::support::builders::{
    NOON, TestStore, after, attempt, audit, consent, decision, draft, judgement, new_call, phone,
    suppression, tenant,
};

use dealings::facts_have_the_dealings_of_one_seller;
use follows::{
    a_wish_outlives_the_link_of_its_number, an_opt_out_follows_who_holds_its_number,
    an_opt_out_is_raised_for_who_holds_its_number_later,
    calls_to_other_numbers_of_the_person_are_found,
};
use policy::{
    activations_are_only_added, judging_and_changing_are_kept_apart, packs_are_kept_by_their_hash,
    regions_are_stopped_for_a_time,
};

macro_rules! contract {
    ($($case:ident,)+) => {
        mod on_sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::$case(super::TestStore::sqlite().await).await;
                }
            )+
        }

        mod on_postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    if let Some(store) = super::TestStore::postgres().await {
                        super::$case(store).await;
                    }
                }
            )+
        }
    };
}

contract![
    a_decision_that_cannot_be_read_holds_up_no_other,
    people_are_recorded_whole,
    a_number_met_for_the_first_time_has_one_holder,
    facts_are_put_together,
    facts_have_the_dealings_of_one_seller,
    facts_count_attempts_as_caps_want_them,
    decisions_are_kept_and_found,
    lists_page_without_gap_or_repeat,
    filters_mean_the_same,
    requests_are_remembered,
    a_call_runs_from_queue_to_outcome,
    leases_are_given_once,
    a_call_that_cannot_be_read_holds_up_no_other,
    a_double_claim_is_impossible,
    a_further_claim_supersedes_the_old_one,
    an_outcome_is_fixed_once,
    an_end_told_by_another_leaves_the_permit_open,
    permits_are_watched_and_closed,
    permits_longer_than_the_proof_are_refused,
    cancels_are_found_by_their_owner,
    hanging_up_ends_what_nobody_claimed,
    dispositions_are_kept,
    nodes_leave_orphans_and_leases,
    consents_are_kept,
    consents_and_opt_outs_are_told_apart,
    suppressions_are_kept_and_lifted,
    credentials_are_kept_and_revoked,
    a_claim_that_waited_sees_the_opt_out,
    a_failed_transaction_cannot_be_committed,
    an_opt_out_goes_first,
    an_opt_out_follows_who_holds_its_number,
    an_opt_out_is_raised_for_who_holds_its_number_later,
    a_wish_outlives_the_link_of_its_number,
    calls_to_other_numbers_of_the_person_are_found,
    reopening_keeps_everything,
    another_key_file_is_refused,
    no_readable_number_is_stored,
    an_erased_person_leaves_no_error,
    notices_arrive,
    packs_are_kept_by_their_hash,
    activations_are_only_added,
    regions_are_stopped_for_a_time,
    judging_and_changing_are_kept_apart,
    tenants_are_apart,
];

/// Of instants that lie ten minutes apart or less nobody can say which came first.
async fn consents_and_opt_outs_are_told_apart(store: TestStore) {
    let [party, stranger] = [0, 1].map(|_| PartyId::new(NOON));
    let mut tx = store.write().await;
    for (id, number) in [(party, 1), (stranger, 2)] {
        let draft = draft(id, &[phone(number)]);
        tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
    }
    // Given by noon as it was recorded; and an hour earlier as stated.
    for (at, action) in [
        (NOON, ConsentAction::Given),
        (after(-3600), ConsentAction::Given),
        (after(60), ConsentAction::Withdrawn),
    ] {
        let mut event = consent(party, phone(1));
        (event.at, event.action) = (at, action);
        tx.insert_consent(&tenant(), &event).await.unwrap();
    }
    let noon = Some(NOON);
    for (said, now, last) in [
        (after(0), after(0), noon),
        (after(-1), after(30), noon),
        (after(-600), after(300), noon),
        (after(-601), after(300), None),
        (after(-601), after(-1), noon),
        (after(-3601), after(300), None),
        (after(-3601), after(-3601), noon),
        (after(-4800), after(-4500), noon),
    ] {
        let number = SuppressionSubject::Number(store.key(phone(1)));
        for subject in [SuppressionSubject::Party(party), number] {
            let found = tx.last_consent_given(&tenant(), subject, said, now).await;
            assert_eq!(found.unwrap(), last, "{said:?} {now:?}");
        }
    }
    let wish = suppression(SuppressionSubject::Number(store.key(phone(1))));
    let mut of_party = suppression(SuppressionSubject::Party(party));
    (of_party.received_at, of_party.recorded_at) = (after(2000), after(2000));
    let mut stated = suppression(SuppressionSubject::Party(party));
    (stated.received_at, stated.recorded_at) = (after(4000), after(4001));
    for each in [&wish, &of_party, &stated] {
        tx.insert_suppression(&tenant(), each).await.unwrap();
    }
    for (at, doubtful) in [
        (0, false),
        (1, true),
        (600, true),
        (601, false),
        (2001, true),
        (4001, false),
    ] {
        for (who, about) in [(party, doubtful), (stranger, false)] {
            let found = tx.opted_out_about(&tenant(), who, after(at)).await;
            assert_eq!(found.unwrap(), about, "{at}");
        }
    }
    // The same of the withdrawal a minute past noon.
    for (at, doubtful) in [(60, false), (61, true), (660, true), (661, false)] {
        for (change, about) in [
            (0, doubtful),
            (1, doubtful),
            (2, false),
            (3, false),
            (4, false),
        ] {
            let mut act = consent(party, phone(1));
            act.at = after(at);
            match change {
                0 => act.channels.truncate(1),
                1 => act.channels.clear(),
                2 => act.channels = vec![CallKind::Prerecorded],
                3 => act.seller = "other".to_owned(),
                _ => act.number = phone(2),
            }
            let found = tx.withdrawn_about(&tenant(), &act).await;
            assert_eq!(found.unwrap(), about, "{at} {change}");
        }
    }
    tx.commit().await.unwrap();
}

fn everything() -> ListQuery {
    list("", &[])
}

fn list(filter: &str, fields: &[Field]) -> ListQuery {
    ListQuery {
        filter: Filter::parse(filter, fields).unwrap(),
        page_size: 1000,
        after: None,
    }
}

fn event(call_id: CallId, at: Micros, kind: EventKind, state: Option<CallState>) -> NewEvent {
    NewEvent {
        call_id,
        at,
        kind,
        detail: EventDetail::default(),
        state,
        close_permit: None,
    }
}

fn end(call_id: CallId, attempt_id: AttemptId, outcome: Outcome) -> AttemptEnd {
    AttemptEnd {
        attempt_id,
        call_id,
        outcome,
        detail: EventDetail {
            sip_code: Some(486),
            sip_reason: Some("Busy Here".to_owned()),
            q850_cause: Some(17),
            ..EventDetail::default()
        },
        at: after(60),
        permit_gone: true,
    }
}

fn wanted(store: &TestStore, number: u32, party_id: PartyId) -> FactsWanted {
    FactsWanted {
        call_id: None,
        number: phone(number),
        number_key: store.key(phone(number)),
        party_id,
        seller: "acme".to_owned(),
        call_kind: CallKind::LiveManual,
        at: after(100),
    }
}

async fn people_are_recorded_whole(store: TestStore) {
    let party = PartyId::new(NOON);
    let mut tx = store.write().await;
    let first = draft(party, &[phone(1), phone(2)]);
    let stored = tx.upsert_party(&tenant(), &first, NOON).await.unwrap();
    assert_eq!((stored.create_time, stored.update_time), (NOON, NOON));
    assert_eq!(
        tx.party(&tenant(), party).await.unwrap(),
        Some(stored.clone())
    );
    tx.commit().await.unwrap();

    let mut second = draft(party, &[phone(2), phone(3)]);
    second.profile.audience = Some(Audience::Business);
    let mut tx = store.write().await;
    let changed = tx.upsert_party(&tenant(), &second, after(5)).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(changed.etag, stored.etag);
    assert_eq!((changed.create_time, changed.update_time), (NOON, after(5)));
    let mut tx = store.read().await;
    assert_eq!(tx.party(&tenant(), party).await.unwrap(), Some(changed));
    let keys = [1, 2, 3].map(|index| store.key(phone(index)));
    let mut holders = tx.parties_by_number(&tenant(), &keys).await.unwrap();
    holders.sort();
    let mut expected = vec![(keys[1], party), (keys[2], party)];
    expected.sort();
    assert_eq!(
        holders, expected,
        "a number that was left out is no longer theirs"
    );
    assert_eq!(tx.party(&tenant(), PartyId::new(NOON)).await.unwrap(), None);
    assert!(tx.knows_party(&tenant(), party).await.unwrap());
    let nobody = PartyId::new(NOON);
    assert!(!tx.knows_party(&tenant(), nobody).await.unwrap());
    assert!(
        tx.parties_by_number(&tenant(), &[])
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_number_met_for_the_first_time_has_one_holder(store: TestStore) {
    let tries = (0..8).map(|_| {
        let store = store.store.clone();
        tokio::spawn(async move {
            let mut tx = store.write(Urgency::Ordinary).await.unwrap();
            let one = (PartyId::new(NOON), phone(1));
            let again = (PartyId::new(NOON), phone(1));
            tx.ensure_parties(
                &tenant(),
                &[one, again, (PartyId::new(NOON), phone(2))],
                NOON,
            )
            .await
            .unwrap();
            tx.commit().await.unwrap();
        })
    });
    for tried in tries.collect::<Vec<_>>() {
        tried.await.unwrap();
    }
    let mut tx = store.write().await;
    let keys = [store.key(phone(1)), store.key(phone(2))];
    let holders = tx.parties_by_number(&tenant(), &keys).await.unwrap();
    assert_eq!(holders.len(), 2);
    let person = tx.party(&tenant(), holders[0].1).await.unwrap().unwrap();
    assert_eq!(person.numbers.len(), 1);
    assert_eq!(person.numbers[0].line_type, LineType::Unknown);
    // 300 at once: more than one statement's worth on SQLite.
    let many: Vec<_> = (100..400)
        .map(|index| (PartyId::new(NOON), phone(index)))
        .collect();
    tx.ensure_parties(&tenant(), &many, NOON).await.unwrap();
    let keys: Vec<_> = many.iter().map(|(_, number)| store.key(*number)).collect();
    assert_eq!(
        tx.parties_by_number(&tenant(), &keys).await.unwrap().len(),
        300
    );
}

async fn facts_are_put_together(store: TestStore) {
    let party = PartyId::new(NOON);
    let mut tx = store.write().await;
    let person = tx
        .upsert_party(&tenant(), &draft(party, &[phone(1), phone(2)]), NOON)
        .await
        .unwrap();
    let key = store.key(phone(1));
    let number = SuppressionSubject::Number(key);
    let mut expected = Vec::new();
    let mut add = async |change: &dyn Fn(&mut Suppression), counts: bool| {
        let mut new = suppression(number);
        new.recorded_at = after(i64::try_from(expected.len()).unwrap());
        new.received_at = after(-50);
        change(&mut new);
        tx.insert_suppression(&tenant(), &new).await.unwrap();
        if counts {
            expected.push(new);
        }
    };
    add(&|_| {}, true).await;
    add(&|new| new.reason = SuppressionReason::Objection, true).await;
    add(&|new| new.subject = SuppressionSubject::Party(party), true).await;
    add(&|new| new.seller = Some("acme".to_owned()), true).await;
    add(&|new| new.channels = vec![CallKind::LiveManual], true).await;
    add(
        &|new| (new.reason, new.expires_at) = (SuppressionReason::Internal, Some(after(101))),
        true,
    )
    .await;
    add(&|new| new.seller = Some("other".to_owned()), false).await;
    add(&|new| new.channels = vec![CallKind::Prerecorded], false).await;
    add(
        &|new| (new.reason, new.expires_at) = (SuppressionReason::Internal, Some(after(100))),
        false,
    )
    .await;
    add(
        &|new| new.subject = SuppressionSubject::Number(NumberKey([1; 32])),
        false,
    )
    .await;
    let mut lifted = suppression(number);
    tx.insert_suppression(&tenant(), &lifted).await.unwrap();
    lift(&mut tx, &mut lifted, after(1)).await;
    let given = consent(party, phone(1));
    tx.insert_consent(&tenant(), &given).await.unwrap();
    for change in [0, 1] {
        let mut other = consent(party, phone(1));
        match change {
            0 => other.seller = "other".to_owned(),
            _ => other.number = phone(2),
        }
        tx.insert_consent(&tenant(), &other).await.unwrap();
    }
    let stranger = PartyId::new(NOON);
    for (subject, last) in [
        (SuppressionSubject::Party(party), Some(given.at)),
        (
            SuppressionSubject::Number(store.key(phone(1))),
            Some(given.at),
        ),
        (SuppressionSubject::Party(stranger), None),
        (SuppressionSubject::Number(store.key(phone(7))), None),
    ] {
        let t = tenant();
        let found = tx
            .last_consent_given(&t, subject, NOON, NOON)
            .await
            .unwrap();
        assert_eq!(found, last, "{subject:?}");
    }
    let asked = [
        wanted(&store, 1, party),
        wanted(&store, 7, stranger),
        wanted(&store, 1, stranger),
    ];
    let facts = tx.load_facts(&tenant(), &asked).await.unwrap();
    assert_eq!(facts.len(), 3);
    let known = &facts[0];
    assert_eq!(known.audience, person.profile.audience);
    assert_eq!(known.location, person.profile.location);
    assert_eq!(known.line_type, Some(LineType::Mobile));
    assert_eq!(known.registers, person.numbers[0].registers);
    assert_eq!(known.opt_outs.len(), expected.len());
    for (got, stored) in known.opt_outs.iter().zip(&expected) {
        assert_eq!(got.at, after(-50), "expressed before it was recorded");
        assert_eq!(got.seller, stored.seller);
        assert_eq!(got.source.as_deref(), Some("agent"));
        let scope = if stored.seller.is_some() {
            OptOutScope::Seller
        } else {
            OptOutScope::All
        };
        assert_eq!(got.scope, Some(scope));
        let objection = stored.reason == SuppressionReason::Objection;
        assert_eq!(got.kind == OptOutKind::Objection, objection);
    }
    assert_eq!(known.consents.len(), 1, "of this number and this seller");
    let got = &known.consents[0];
    assert_eq!(
        (got.action, got.at, got.form),
        (ConsentAction::Given, given.at, given.form)
    );
    assert_eq!(got.channels.as_deref(), Some(given.channels.as_slice()));
    assert_eq!(
        (got.explicit, got.documented, got.out_of_hours),
        (Some(true), Some(false), None)
    );
    assert_eq!(
        (got.period.as_deref(), got.initiated_by),
        (Some("indefinite"), given.initiated_by)
    );
    assert_eq!(
        facts[1],
        Default::default(),
        "nothing is known of a stranger"
    );
    assert_eq!(
        facts[2].opt_outs.len(),
        expected.len() - 1,
        "what blocks the number blocks whoever holds it"
    );
    assert_eq!(facts[2].audience, None);
    assert!(tx.load_facts(&tenant(), &[]).await.unwrap().is_empty());
}

async fn facts_count_attempts_as_caps_want_them(store: TestStore) {
    const DAY: i64 = 86_400;
    let (owner, party) = (Incarnation::new(NOON), PartyId::new(NOON));
    let mut tx = store.write().await;
    tx.upsert_party(
        &tenant(),
        &draft(party, &[phone(1), phone(2), phone(3)]),
        NOON,
    )
    .await
    .unwrap();
    // The third is theirs no more, and was called all the same.
    tx.upsert_party(&tenant(), &draft(party, &[phone(1), phone(2)]), NOON)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let add = async |number: u32,
                     at: Micros,
                     seller: &str,
                     outcome: Option<Outcome>,
                     result: Option<AttemptResult>| {
        let mut new = new_call(party, phone(number), store.key(phone(number)));
        new.call.seller = seller.to_owned();
        let mut tx = store.write().await;
        tx.insert_calls(&tenant(), std::slice::from_ref(&new))
            .await
            .unwrap();
        let epoch = tx.lease_calls(owner, "main", 1, NOON).await.unwrap()[0].lease_epoch;
        let mut made = attempt(&new.call, owner);
        made.at = at;
        tx.fence_claims(&[(new.call.call_id, epoch, made.attempt_id)])
            .await
            .unwrap();
        tx.insert_attempts(&tenant(), std::slice::from_ref(&made))
            .await
            .unwrap();
        if let Some(outcome) = outcome {
            assert!(
                tx.end_attempt(&tenant(), &end(new.call.call_id, made.attempt_id, outcome))
                    .await
                    .unwrap()
            );
        }
        if let Some(result) = result {
            tx.set_attempt_result(&tenant(), new.call.call_id, result)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
    };
    add(1, after(0), "acme", None, None).await;
    add(2, after(-1), "acme", Some(Outcome::Answered), None).await;
    add(3, after(-2), "acme", Some(Outcome::Rejected), None).await;
    add(1, after(-3), "acme", Some(Outcome::Busy), None).await;
    add(
        1,
        after(-4),
        "acme",
        Some(Outcome::Answered),
        Some(AttemptResult::HungUp),
    )
    .await;
    add(
        1,
        after(-500 * DAY),
        "acme",
        Some(Outcome::Answered),
        Some(AttemptResult::Refused),
    )
    .await;
    // None of these count.
    add(1, after(-500 * DAY), "acme", Some(Outcome::Answered), None).await;
    add(1, after(-5), "acme", Some(Outcome::PermitExpired), None).await;
    add(1, after(-6), "other", Some(Outcome::Answered), None).await;
    let mut tx = store.read().await;
    let stranger = PartyId::new(NOON);
    let asked = [wanted(&store, 1, party), wanted(&store, 2, stranger)];
    let facts = tx.load_facts(&tenant(), &asked).await.unwrap();
    let got: Vec<_> = facts[0]
        .attempts
        .iter()
        .map(|past| (past.at, past.to, past.outcome))
        .collect();
    assert_eq!(
        got,
        [
            (after(0), Some(phone(1)), AttemptResult::NoAnswer),
            (after(-1), Some(phone(2)), AttemptResult::Answered),
            (after(-2), Some(phone(3)), AttemptResult::Refused),
            (after(-3), Some(phone(1)), AttemptResult::NoAnswer),
            (after(-4), Some(phone(1)), AttemptResult::HungUp),
            (after(-500 * DAY), Some(phone(1)), AttemptResult::Refused),
        ]
    );
    assert_eq!(facts[0].attempts[0].from, Some(phone(9999)));
    assert_eq!(facts[0].attempts[0].subject.as_deref(), Some("solar"));
    let got: Vec<_> = facts[1]
        .attempts
        .iter()
        .map(|past| (past.at, past.to))
        .collect();
    assert_eq!(
        got,
        [(after(-1), Some(phone(2)))],
        "a number was called, whoever holds it"
    );
}

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
async fn pages<T>(size: u32, mut next: impl AsyncFnMut(ListQuery) -> Page<T>) -> Vec<T> {
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
    tx.pass_request(&tenant(), other.request_id).await.unwrap();
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

async fn a_call_runs_from_queue_to_outcome(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, made) = store.claimed(phone(1), owner).await;
    let id = call.call_id;
    let mut tx = store.write().await;
    let claimed = tx.call(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(claimed.state, CallState::Claimed);
    assert_eq!(claimed.claim_decision_id, Some(made.decision_id));
    assert_eq!(claimed.attempt_id, Some(made.attempt_id));
    assert_eq!(
        (claimed.to, claimed.from),
        (Some(phone(1)), Some(phone(9999)))
    );
    for (kind, state, at) in [
        (EventKind::Inviting, Some(CallState::Inviting), 1),
        (EventKind::Progress, None, 2),
        (EventKind::Ringing, Some(CallState::Ringing), 3),
        (EventKind::Ringing, Some(CallState::Ringing), 4),
    ] {
        tx.record_event(&tenant(), &event(id, after(at), kind, state))
            .await
            .unwrap();
    }
    let mut answered = event(id, after(5), EventKind::Answered, Some(CallState::Answered));
    answered.detail.sdp = Some(b"v=0 answer".to_vec());
    answered.detail.sip_code = Some(200);
    answered.close_permit = Some(made.attempt_id);
    let recorded = tx.record_event(&tenant(), &answered).await.unwrap();
    assert_eq!((recorded.sequence, &recorded.detail), (7, &answered.detail));
    assert!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        tx.end_attempt(&tenant(), &end(id, made.attempt_id, Outcome::Answered))
            .await
            .unwrap()
    );
    let late = event(id, after(99), EventKind::Note, Some(CallState::Ringing));
    tx.record_event(&tenant(), &late).await.unwrap();
    tx.commit().await.unwrap();

    let mut tx = store.read().await;
    let over = tx.call(&tenant(), id).await.unwrap().unwrap();
    assert_eq!(
        over.state,
        CallState::Ended,
        "a late event does not bring it back"
    );
    assert_eq!(
        (over.outcome, over.sip_code, over.q850_cause),
        (Some(Outcome::Answered), Some(486), Some(17))
    );
    let times = [
        over.invite_time,
        over.ring_time,
        over.answer_time,
        over.end_time,
    ];
    assert_eq!(
        times,
        [
            Some(after(1)),
            Some(after(3)),
            Some(after(5)),
            Some(after(60))
        ]
    );
    let events = tx.events_after(&tenant(), id, 0, 100).await.unwrap();
    let got: Vec<_> = events
        .iter()
        .map(|event| (event.sequence, event.kind))
        .collect();
    let kinds = [
        EventKind::Queued,
        EventKind::Claimed,
        EventKind::Inviting,
        EventKind::Progress,
        EventKind::Ringing,
        EventKind::Ringing,
        EventKind::Answered,
        EventKind::Ended,
        EventKind::Note,
    ];
    assert_eq!(
        got,
        (1..).zip(kinds).collect::<Vec<_>>(),
        "no gap, no repeat"
    );
    assert_eq!(events[6].detail, answered.detail, "the SDP comes back too");
    assert_eq!(events[6].event_id, recorded.event_id);
    assert_eq!(events[0].detail.decision_id, Some(call.place_decision_id));
    assert_eq!(events[1].detail.decision_id, Some(made.decision_id));
    assert_eq!(events[7].detail.outcome, Some(Outcome::Answered));
    assert_eq!(
        tx.events_after(&tenant(), id, 3, 2).await.unwrap(),
        events[3..5]
    );
    assert_eq!(tx.call(&tenant(), CallId::new(NOON)).await.unwrap(), None);
    let listed = tx
        .list_calls(
            &tenant(),
            &list("outcome = answered AND state = ended", CALL_FIELDS),
        )
        .await
        .unwrap();
    assert_eq!(listed.rows, [over]);
    drop(tx);
    let mut tx = store.write().await;
    assert!(
        tx.record_event(
            &tenant(),
            &event(CallId::new(NOON), NOON, EventKind::Note, None)
        )
        .await
        .is_err()
    );
}

async fn leases_are_given_once(store: TestStore) {
    let party = store.party(phone(1)).await;
    let calls: Vec<_> = (0..10)
        .map(|index| {
            let mut new = new_call(party, phone(1), store.key(phone(1)));
            new.call.create_time = after(index);
            new
        })
        .collect();
    let mut elsewhere = new_call(party, phone(1), store.key(phone(1)));
    elsewhere.call.trunk = "other".to_owned();
    let mut tx = store.write().await;
    tx.insert_calls(&tenant(), &calls).await.unwrap();
    tx.insert_calls(&tenant(), &[elsewhere]).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        store.read().await.queued_count("main", NOON).await.unwrap(),
        10
    );
    assert_eq!(
        store.read().await.queued_count("none", NOON).await.unwrap(),
        0
    );

    let (one, other) = (Incarnation::new(NOON), Incarnation::new(NOON));
    let mut tx = store.write().await;
    let first = tx.lease_calls(one, "main", 3, NOON).await.unwrap();
    let got: Vec<_> = first.iter().map(|leased| leased.call.call_id).collect();
    let oldest: Vec<_> = calls[..3].iter().map(|new| new.call.call_id).collect();
    assert_eq!(got, oldest, "oldest first");
    assert_eq!(first[0].call, calls[0].call);
    assert_eq!(first[0].sdp_offer, calls[0].sdp_offer);
    assert_eq!(first[0].subject, calls[0].subject);
    if store.store.engine() == Engine::Postgres {
        // While one worker is taking the oldest, another takes the next without waiting.
        let mut beside = store.write().await;
        let second = beside.lease_calls(other, "main", 3, NOON).await.unwrap();
        assert_eq!(second[0].call.call_id, calls[3].call.call_id);
        beside.commit().await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let rest = tx.lease_calls(other, "main", 100, NOON).await.unwrap();
    assert_eq!(
        rest.len(),
        if store.store.engine() == Engine::Postgres {
            4
        } else {
            7
        }
    );
    assert!(
        tx.lease_calls(other, "main", 100, NOON)
            .await
            .unwrap()
            .is_empty()
    );

    assert!(tx.expire_due(after(-1), 100).await.unwrap().is_empty());

    let leased = &first[0];
    assert!(
        !tx.release_lease(leased.call.call_id, leased.lease_epoch + 1)
            .await
            .unwrap()
    );
    assert!(
        tx.release_lease(leased.call.call_id, leased.lease_epoch)
            .await
            .unwrap()
    );
    assert!(
        !tx.release_lease(leased.call.call_id, leased.lease_epoch)
            .await
            .unwrap()
    );
    let again = tx.lease_calls(other, "main", 100, NOON).await.unwrap();
    assert_eq!(again.len(), 1);
    assert!(again[0].lease_epoch > leased.lease_epoch);
    assert!(
        tx.expire_call(leased.call.call_id, leased.lease_epoch, NOON)
            .await
            .unwrap()
            .is_none(),
        "an old lease does nothing"
    );
    assert!(
        tx.expire_call(again[0].call.call_id, again[0].lease_epoch, after(601))
            .await
            .unwrap()
            .is_some()
    );
    let expired = tx
        .call(&tenant(), again[0].call.call_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (expired.state, expired.end_time),
        (CallState::Expired, Some(after(601)))
    );
    let last = tx
        .events_after(&tenant(), expired.call_id, 1, 10)
        .await
        .unwrap();
    assert_eq!((last.len(), last[0].kind), (1, EventKind::Expired));

    let (denied, verdict) = (&rest[0], DecisionId::new(NOON));
    let rows = [
        (denied.call.call_id, denied.lease_epoch, verdict),
        (expired.call_id, again[0].lease_epoch, verdict),
    ];
    assert_eq!(
        tx.deny_claim(&rows, after(9)).await.unwrap(),
        [denied.call.call_id],
        "only what was still ours"
    );
    let call = tx
        .call(&tenant(), denied.call.call_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (call.state, call.claim_decision_id, call.end_time),
        (CallState::Denied, Some(verdict), Some(after(9)))
    );
    let last = tx
        .events_after(&tenant(), call.call_id, 1, 10)
        .await
        .unwrap();
    assert_eq!(
        (last[0].kind, last[0].detail.decision_id),
        (EventKind::Denied, Some(verdict))
    );
    // What waits past its time leaves the queue; what somebody leased does not.
    let ended = tx.expire_due(after(601), 100).await.unwrap();
    assert_eq!(ended.len(), 1);
    let call = tx.call(&tenant(), ended[0].call_id).await.unwrap().unwrap();
    assert_eq!(
        (call.trunk.as_str(), call.state),
        ("other", CallState::Expired)
    );
    assert!(tx.expire_due(after(601), 100).await.unwrap().is_empty());
    assert!(tx.deny_claim(&[], NOON).await.unwrap().is_empty());
    assert!(tx.fence_claims(&[]).await.unwrap().is_empty());
}

async fn a_double_claim_is_impossible(store: TestStore) {
    let new = store.queued(phone(1)).await;
    let owner = Incarnation::new(NOON);
    let mut tx = store.write().await;
    let leased = tx
        .lease_calls(owner, "main", 1, NOON)
        .await
        .unwrap()
        .remove(0);
    tx.commit().await.unwrap();
    let id = new.call.call_id;
    let mut tx = store.write().await;
    let stale = [(id, leased.lease_epoch - 1, AttemptId::new(NOON))];
    assert!(
        tx.fence_claims(&stale).await.unwrap().is_empty(),
        "an older lease"
    );
    drop(tx);
    let tries: Vec<_> = (0..6)
        .map(|_| {
            let (store, epoch) = (store.store.clone(), leased.lease_epoch);
            let made = attempt(&new.call, owner);
            tokio::spawn(async move {
                let mut tx = store.write(Urgency::Ordinary).await.unwrap();
                let mine = tx
                    .fence_claims(&[(id, epoch, made.attempt_id)])
                    .await
                    .unwrap()
                    == [id];
                if mine {
                    tx.insert_attempts(&tenant(), &[made]).await.unwrap();
                    tx.commit().await.unwrap();
                }
                mine
            })
        })
        .collect();
    let mut winners = 0;
    for tried in tries {
        winners += usize::from(tried.await.unwrap());
    }
    assert_eq!(winners, 1);
    assert_eq!(store.read().await.attempts_open().await.unwrap().len(), 1);
    let mut tx = store.write().await;
    let unfenced = attempt(&store.queued_elsewhere().await, owner);
    let without = tx.insert_attempts(&tenant(), &[unfenced]).await;
    assert!(
        without.is_err(),
        "an attempt whose call the fence did not take"
    );
    assert!(tx.commit().await.is_err());
}

impl TestStore {
    /// A call that is not in this store.
    async fn queued_elsewhere(&self) -> dialgate::domain::call::Call {
        new_call(PartyId::new(NOON), phone(1), self.key(phone(1))).call
    }
}

async fn a_further_claim_supersedes_the_old_one(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, old) = store.claimed(phone(1), owner).await;
    let new = attempt(&call, owner);
    let mut tx = store.write().await;
    assert!(
        tx.fence_again(call.call_id, old.attempt_id, new.attempt_id, after(3))
            .await
            .unwrap()
    );
    tx.insert_attempts(&tenant(), std::slice::from_ref(&new))
        .await
        .unwrap();
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [new.attempt_id]
    );
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let third = AttemptId::new(NOON);
    assert!(
        !tx.fence_again(call.call_id, old.attempt_id, third, after(4))
            .await
            .unwrap(),
        "not the latest any more"
    );
    assert!(
        !tx.end_attempt(&tenant(), &end(call.call_id, old.attempt_id, Outcome::Busy))
            .await
            .unwrap()
    );
    let asked = [wanted(&store, 1, call.party_id)];
    let facts = tx.load_facts(&tenant(), &asked).await.unwrap();
    assert_eq!(
        facts[0].attempts.len(),
        1,
        "a challenge answered late is one attempt"
    );
    let own = FactsWanted {
        call_id: Some(call.call_id),
        ..asked[0].clone()
    };
    let facts = tx.load_facts(&tenant(), &[own]).await.unwrap();
    assert!(
        facts[0].attempts.is_empty(),
        "to the call itself it is no earlier one"
    );
    assert!(
        tx.end_attempt(&tenant(), &end(call.call_id, new.attempt_id, Outcome::Busy))
            .await
            .unwrap()
    );
    assert!(
        !tx.fence_again(call.call_id, new.attempt_id, third, after(4))
            .await
            .unwrap(),
        "it is over"
    );
    tx.commit().await.unwrap();
    let events = store
        .read()
        .await
        .events_after(&tenant(), call.call_id, 0, 10)
        .await
        .unwrap();
    let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
    assert_eq!(
        kinds,
        [
            EventKind::Queued,
            EventKind::Claimed,
            EventKind::Claimed,
            EventKind::Ended
        ]
    );
}

async fn an_outcome_is_fixed_once(store: TestStore) {
    for (number, outcome, answered, state) in [
        (1, Outcome::Busy, false, CallState::Failed),
        (2, Outcome::Answered, true, CallState::Ended),
        (3, Outcome::Canceled, false, CallState::Canceled),
        (4, Outcome::AnsweredAfterCancel, false, CallState::Canceled),
        (5, Outcome::InterruptedUnknown, false, CallState::Failed),
        (6, Outcome::InterruptedUnknown, true, CallState::Ended),
    ] {
        let (call, made) = store.claimed(phone(number), Incarnation::new(NOON)).await;
        let mut tx = store.write().await;
        if answered {
            let kind = event(
                call.call_id,
                NOON,
                EventKind::Answered,
                Some(CallState::Answered),
            );
            tx.record_event(&tenant(), &kind).await.unwrap();
        }
        assert!(
            tx.end_attempt(&tenant(), &end(call.call_id, made.attempt_id, outcome))
                .await
                .unwrap()
        );
        let again = end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown);
        assert!(
            !tx.end_attempt(&tenant(), &again).await.unwrap(),
            "a second outcome is a note, not an outcome"
        );
        tx.commit().await.unwrap();
        let over = store
            .read()
            .await
            .call(&tenant(), call.call_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((over.state, over.outcome), (state, Some(outcome)));
    }
    assert!(
        store.read().await.attempts_open().await.unwrap().is_empty(),
        "an end gives the permit up"
    );
}

/// sweep-1, sweep-2: who thinks the owner dead may be wrong, and an opt-out must go on waiting for the permit.
async fn an_end_told_by_another_leaves_the_permit_open(store: TestStore) {
    let (call, made) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let swept = AttemptEnd {
        permit_gone: false,
        ..end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown)
    };
    let mut tx = store.write().await;
    assert!(tx.end_attempt(&tenant(), &swept).await.unwrap());
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [made.attempt_id]
    );
}

async fn permits_are_watched_and_closed(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let (call, one) = store.claimed(phone(1), owner).await;
    let (_, other) = store.claimed(phone(2), owner).await;
    let both = [one.attempt_id, other.attempt_id];
    let mut tx = store.write().await;
    assert_eq!(
        tx.open_permits(&tenant(), &call.number_key, &[])
            .await
            .unwrap(),
        [one.attempt_id]
    );
    assert_eq!(tx.still_open(&both).await.unwrap().len(), 2);
    assert_eq!(tx.attempts_open().await.unwrap().len(), 2);
    assert_eq!(
        tx.close_permits(&[one.attempt_id, AttemptId::new(NOON)])
            .await
            .unwrap(),
        1
    );
    assert_eq!(tx.close_permits(&[one.attempt_id]).await.unwrap(), 0);
    assert_eq!(tx.close_permits(&[]).await.unwrap(), 0);
    assert_eq!(tx.still_open(&both).await.unwrap(), [other.attempt_id]);
    assert!(tx.still_open(&[]).await.unwrap().is_empty());
    tx.commit().await.unwrap();
    assert_eq!(
        store.read().await.orphans(owner).await.unwrap().len(),
        2,
        "closing a permit is no outcome"
    );
}

async fn permits_longer_than_the_proof_are_refused(store: TestStore) {
    for (number, permit_ms, accepted) in [
        (1, 0, false),
        (2, 1, true),
        (3, 1500, true),
        (4, 1501, false),
    ] {
        let new = store.queued(phone(number)).await;
        let mut tx = store.write().await;
        let leased = tx
            .lease_calls(Incarnation::new(NOON), "main", 1, NOON)
            .await
            .unwrap()
            .remove(0);
        let mut made = attempt(&new.call, Incarnation::new(NOON));
        made.call_id = leased.call.call_id;
        made.permit_ms = permit_ms;
        tx.fence_claims(&[(made.call_id, leased.lease_epoch, made.attempt_id)])
            .await
            .unwrap();
        assert_eq!(
            tx.insert_attempts(&tenant(), &[made]).await.is_ok(),
            accepted,
            "{permit_ms} ms"
        );
        assert_eq!(tx.commit().await.is_ok(), accepted);
    }
}

/// Of four calls three are damaged, each in another place.
async fn a_call_that_cannot_be_read_holds_up_no_other(store: TestStore) {
    let mut calls = Vec::new();
    for number in 1..=4 {
        calls.push(store.queued(phone(number)).await.call);
    }
    store
        .damage(
            "UPDATE calls SET sealed_number = $1 WHERE call_id = $2",
            calls[0].call_id.0,
        )
        .await;
    store
        .damage(
            "UPDATE parties SET wrapped_key = $1 WHERE party_id = $2",
            calls[1].party_id.0,
        )
        .await;
    store
        .damage(
            "UPDATE calls SET sealed_offer = $1 WHERE call_id = $2",
            calls[2].call_id.0,
        )
        .await;
    let mut tx = store.write().await;
    let leased = tx
        .lease_calls(Incarnation::new(NOON), "main", 9, after(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let leased: Vec<CallId> = leased.iter().map(|leased| leased.call.call_id).collect();
    assert_eq!(leased, [calls[3].call_id]);

    let mut tx = store.read().await;
    assert!(matches!(
        tx.call(&tenant(), calls[0].call_id).await,
        Err(StoreError::Damaged { .. })
    ));
    for call in &calls[..3] {
        let ended = tx
            .call_to_end(&tenant(), call.call_id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((ended.state, ended.outcome), (CallState::Failed, None));
        assert_eq!(
            (ended.end_time, ended.actor),
            (Some(after(1)), call.actor.clone())
        );
    }
    assert!(
        tx.call_to_end(&tenant(), CallId::new(NOON))
            .await
            .unwrap()
            .is_none()
    );
    let events = tx
        .events_after(&tenant(), calls[0].call_id, 0, 10)
        .await
        .unwrap();
    let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Queued, EventKind::Ended]);
    assert!(
        events[1]
            .detail
            .note
            .as_ref()
            .unwrap()
            .contains("cannot be read")
    );
    let filter = list("kind = \"call.unreadable\"", AUDIT_FIELDS);
    let entries = tx.audit_entries(&tenant(), &filter).await.unwrap().rows;
    assert_eq!(entries.len(), 3);
    drop(tx);
    // And they stay ended: the next lease does not meet them again.
    let mut tx = store.write().await;
    assert!(
        tx.lease_calls(Incarnation::new(NOON), "main", 9, after(2))
            .await
            .unwrap()
            .is_empty()
    );
}

async fn cancels_are_found_by_their_owner(store: TestStore) {
    let owner = Incarnation::new(NOON);
    let mut made = BTreeMap::new();
    let claim_that_saw = claimed_in_spite_of_an_opt_out(&store, phone(6), owner).await;
    made.insert(6, claim_that_saw);
    for number in [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12] {
        made.insert(number, store.claimed(phone(number), owner).await);
    }
    let id = |number: u32| (made[&number].1.attempt_id, made[&number].0.call_id);
    let subject = |number: u32| SuppressionSubject::Number(made[&number].0.number_key);
    let mut tx = store.write().await;
    assert!(tx.cancels_for(owner, NOON).await.unwrap().is_empty());
    // 1: asked for by number. 2: by an opt-out nobody asked for. 3: of the person. 4: this seller, this kind of call.
    assert_eq!(
        tx.request_cancel(&tenant(), &made[&1].0.number_key, &[], None, &[])
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        tx.request_cancel(&tenant(), &made[&1].0.number_key, &[], None, &[])
            .await
            .unwrap(),
        0
    );
    let mut add = async |subject, change: &dyn Fn(&mut Suppression)| {
        let mut new = suppression(subject);
        change(&mut new);
        tx.insert_suppression(&tenant(), &new).await.unwrap();
    };
    add(subject(2), &|_| {}).await;
    add(SuppressionSubject::Party(made[&3].0.party_id), &|_| {}).await;
    add(subject(4), &|new| {
        new.seller = Some("acme".to_owned());
        new.channels = vec![CallKind::Prerecorded, CallKind::LiveManual];
    })
    .await;
    // 10: recorded after the claim by a node whose clock is an hour behind.
    add(subject(10), &|new| new.recorded_at = after(-3600)).await;
    // Not these: another seller, another kind, expired; and 6, whose claim saw it.
    add(subject(5), &|new| new.seller = Some("other".to_owned())).await;
    add(subject(5), &|new| new.channels = vec![CallKind::Autodialed]).await;
    add(subject(5), &|new| {
        (new.reason, new.expires_at) = (SuppressionReason::Internal, Some(NOON))
    })
    .await;
    // 7: answered, so an opt-out does not cut it. 8: answered, and somebody hangs up. 9: over.
    add(subject(7), &|_| {}).await;
    // 11, 12: answered, and a sweeper took their owner for dead; somebody had hung 12 up.
    for number in [7, 8, 11, 12] {
        let answered = event(
            made[&number].0.call_id,
            NOON,
            EventKind::Answered,
            Some(CallState::Answered),
        );
        tx.record_event(&tenant(), &answered).await.unwrap();
    }
    let state = tx
        .request_hang_up(&tenant(), made[&8].0.call_id, after(1))
        .await
        .unwrap();
    assert_eq!(state, Some(CallState::Answered));
    add_end(&mut tx, id(9)).await;
    tx.request_hang_up(&tenant(), made[&12].0.call_id, after(1))
        .await
        .unwrap();
    for number in [11, 12] {
        let (attempt, call) = id(number);
        let buried = end(call, attempt, Outcome::InterruptedUnknown);
        assert!(tx.end_attempt(&tenant(), &buried).await.unwrap());
    }
    let mut expected: Vec<_> = [1, 2, 3, 4, 10]
        .map(|number| (id(number).0, id(number).1, CancelCause::OptOut))
        .into_iter()
        .chain([(id(8).0, id(8).1, CancelCause::HangUp)])
        .chain([11, 12].map(|number| (id(number).0, id(number).1, CancelCause::TakenForDead)))
        .collect();
    expected.sort_by_key(|cancel| cancel.0);
    assert_eq!(tx.cancels_for(owner, after(1)).await.unwrap(), expected);
    assert!(
        tx.cancels_for(Incarnation::new(NOON), after(1))
            .await
            .unwrap()
            .is_empty(),
        "another process"
    );
    tx.commit().await.unwrap();
}

/// A claim whose facts had an opt-out among them.
async fn claimed_in_spite_of_an_opt_out(
    store: &TestStore,
    number: Phone,
    owner: Incarnation,
) -> (Call, NewAttempt) {
    let call = store.queued(number).await.call;
    let mut tx = store.write().await;
    let mut opt_out = suppression(SuppressionSubject::Number(call.number_key));
    // By a node whose clock is an hour ahead.
    opt_out.recorded_at = after(3600);
    tx.insert_suppression(&tenant(), &opt_out).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let leased = tx.lease_calls(owner, "main", 1, NOON).await.unwrap();
    let asked = FactsWanted {
        number,
        number_key: call.number_key,
        party_id: call.party_id,
        seller: call.seller.clone(),
        call_kind: call.call_kind,
        call_id: Some(call.call_id),
        at: NOON,
    };
    let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
    assert_eq!(facts[0].opt_outs.len(), 1);
    let made = attempt(&leased[0].call, owner);
    let fence = [(call.call_id, leased[0].lease_epoch, made.attempt_id)];
    tx.fence_claims(&fence).await.unwrap();
    tx.insert_attempts(&tenant(), std::slice::from_ref(&made))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    (leased[0].call.clone(), made)
}

async fn add_end(tx: &mut Tx, (attempt, call): (AttemptId, CallId)) {
    assert!(
        tx.end_attempt(&tenant(), &end(call, attempt, Outcome::Busy))
            .await
            .unwrap()
    );
    tx.request_hang_up(&tenant(), call, after(1)).await.unwrap();
}

async fn hanging_up_ends_what_nobody_claimed(store: TestStore) {
    let queued = store.queued(phone(1)).await.call;
    let leased = store.queued(phone(2)).await.call;
    let mut tx = store.write().await;
    let leases = tx
        .lease_calls(Incarnation::new(NOON), "main", 2, NOON)
        .await
        .unwrap();
    assert!(tx.release_lease(queued.call_id, 1).await.unwrap());
    for call in [&queued, &leased] {
        let state = tx
            .request_hang_up(&tenant(), call.call_id, after(2))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Canceled));
        let state = tx
            .request_hang_up(&tenant(), call.call_id, after(3))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Canceled));
        let over = tx.call(&tenant(), call.call_id).await.unwrap().unwrap();
        assert_eq!(
            (over.outcome, over.end_time),
            (Some(Outcome::Canceled), Some(after(2)))
        );
        let events = tx
            .events_after(&tenant(), call.call_id, 0, 10)
            .await
            .unwrap();
        let kinds: Vec<_> = events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Queued, EventKind::Ended]);
    }
    let epoch = leases
        .iter()
        .find(|lease| lease.call.call_id == leased.call_id)
        .unwrap()
        .lease_epoch;
    let fence = [(leased.call_id, epoch, AttemptId::new(NOON))];
    assert!(
        tx.fence_claims(&fence).await.unwrap().is_empty(),
        "the worker that leased it learns it at the fence"
    );
    assert!(
        tx.lease_calls(Incarnation::new(NOON), "main", 9, NOON)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        tx.request_hang_up(&tenant(), CallId::new(NOON), NOON)
            .await
            .unwrap(),
        None
    );
    tx.commit().await.unwrap();
    let (claimed, _) = store.claimed(phone(3), Incarnation::new(NOON)).await;
    let mut tx = store.write().await;
    for _ in 0..2 {
        let state = tx
            .request_hang_up(&tenant(), claimed.call_id, after(2))
            .await
            .unwrap();
        assert_eq!(state, Some(CallState::Claimed), "its owner ends it");
    }
    let events = tx
        .events_after(&tenant(), claimed.call_id, 2, 10)
        .await
        .unwrap();
    assert_eq!(
        events.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [EventKind::HangUpRequested],
        "told once"
    );
}

async fn dispositions_are_kept(store: TestStore) {
    let (call, _) = store.claimed(phone(1), Incarnation::new(NOON)).await;
    let first = Disposition {
        disposition_id: DispositionId::new(NOON),
        call_id: call.call_id,
        code: DispositionCode::ConnectedInterested,
        note: Some("likes blue".to_owned()),
        amends: None,
        suppression_id: None,
        actor: "key:agent".to_owned(),
        at: NOON,
    };
    let second = Disposition {
        disposition_id: DispositionId::new(after(1)),
        code: DispositionCode::OptOutAll,
        note: None,
        amends: Some(first.disposition_id),
        suppression_id: Some(SuppressionId::new(NOON)),
        at: after(1),
        ..first.clone()
    };
    let mut tx = store.write().await;
    assert!(tx.hold_for_word(&tenant(), call.call_id).await.unwrap());
    if store.store.engine() == Engine::Postgres {
        let mut other = store.write().await;
        let held = other.hold_for_word(&tenant(), call.call_id).await;
        assert!(!held.unwrap(), "one at a time, and the other goes on");
        other.commit().await.unwrap();
    }
    tx.insert_disposition(&tenant(), &first).await.unwrap();
    tx.insert_disposition(&tenant(), &second).await.unwrap();
    assert_eq!(
        tx.dispositions_of(&tenant(), call.call_id).await.unwrap(),
        [first.clone(), second]
    );
    assert!(
        tx.dispositions_of(&tenant(), CallId::new(NOON))
            .await
            .unwrap()
            .is_empty()
    );
    tx.set_attempt_result(&tenant(), call.call_id, AttemptResult::Refused)
        .await
        .unwrap();
    let facts = tx
        .load_facts(&tenant(), &[wanted(&store, 1, call.party_id)])
        .await
        .unwrap();
    assert_eq!(facts[0].attempts[0].outcome, AttemptResult::Refused);
    tx.commit().await.unwrap();
    let mut tx = store.write().await;
    let lost = Disposition {
        call_id: CallId::new(NOON),
        ..first
    };
    assert!(tx.insert_disposition(&tenant(), &lost).await.is_err());
}

async fn nodes_leave_orphans_and_leases(store: TestStore) {
    let (dead, alive) = (Incarnation::new(NOON), Incarnation::new(after(1)));
    let mut tx = store.write().await;
    for (node, beats) in [(dead, 1), (alive, 3)] {
        for _ in 0..beats {
            tx.beat(node, "node-1", NOON).await.unwrap();
        }
    }
    assert_eq!(tx.heartbeats().await.unwrap(), [(dead, 1), (alive, 3)]);
    tx.commit().await.unwrap();
    let (call, made) = store.claimed(phone(1), dead).await;
    let waiting = store.queued(phone(2)).await.call;
    let mut tx = store.write().await;
    let lease = tx
        .lease_calls(dead, "main", 9, NOON)
        .await
        .unwrap()
        .remove(0);
    tx.forget_node(dead).await.unwrap();
    assert_eq!(
        tx.heartbeats().await.unwrap().len(),
        2,
        "it left something behind"
    );
    assert_eq!(
        tx.orphans(dead).await.unwrap(),
        [(made.attempt_id, call.call_id, tenant())]
    );
    assert!(tx.orphans(alive).await.unwrap().is_empty());
    assert_eq!(
        tx.leases_of(dead).await.unwrap(),
        [(waiting.call_id, lease.lease_epoch)]
    );
    assert!(tx.leases_of(alive).await.unwrap().is_empty());
    assert_eq!(tx.requeue_leases_of(alive).await.unwrap(), 0);
    assert_eq!(
        tx.requeue_leases_of(dead).await.unwrap(),
        1,
        "what it claimed never goes back"
    );
    let again = tx.lease_calls(alive, "main", 9, NOON).await.unwrap();
    assert_eq!((again.len(), again[0].call.call_id), (1, waiting.call_id));
    assert!(again[0].lease_epoch > lease.lease_epoch);
    assert!(
        !tx.release_lease(waiting.call_id, lease.lease_epoch)
            .await
            .unwrap()
    );
    let outcome = end(call.call_id, made.attempt_id, Outcome::InterruptedUnknown);
    assert!(tx.end_attempt(&tenant(), &outcome).await.unwrap());
    tx.forget_node(dead).await.unwrap();
    assert_eq!(tx.heartbeats().await.unwrap(), [(alive, 3)]);
    tx.commit().await.unwrap();
}

async fn consents_are_kept(store: TestStore) {
    let party = store.party(phone(1)).await;
    let given = consent(party, phone(1));
    let mut withdrawn = consent(party, phone(1));
    withdrawn.action = ConsentAction::Withdrawn;
    withdrawn.recorded_at = after(1);
    (withdrawn.form, withdrawn.initiated_by, withdrawn.explicit) = (None, None, None);
    withdrawn.channels = Vec::new();
    let elsewhere = consent(store.party(phone(2)).await, phone(2));
    let mut tx = store.write().await;
    for event in [&given, &withdrawn, &elsewhere] {
        tx.insert_consent(&tenant(), event).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    assert_eq!(
        tx.consent(&tenant(), given.consent_event_id).await.unwrap(),
        Some(given.clone())
    );
    assert_eq!(
        tx.consent(&tenant(), ConsentEventId::new(NOON))
            .await
            .unwrap(),
        None
    );
    let key = store.key(phone(1));
    let page = tx
        .consents(&tenant(), Some(party), Some(&key), &everything())
        .await
        .unwrap();
    assert_eq!(page.rows, [withdrawn.clone(), given]);
    let page = tx
        .consents(&tenant(), None, Some(&store.key(phone(2))), &everything())
        .await
        .unwrap();
    assert_eq!(page.rows, [elsewhere]);
    let page = tx
        .consents(
            &tenant(),
            None,
            None,
            &list("action = withdrawn", CONSENT_FIELDS),
        )
        .await
        .unwrap();
    assert_eq!(page.rows, [withdrawn]);
    assert_eq!(
        pages(1, async |query| store
            .read()
            .await
            .consents(&tenant(), None, None, &query)
            .await
            .unwrap())
        .await
        .len(),
        3
    );
}

async fn suppressions_are_kept_and_lifted(store: TestStore) {
    let party = store.party(phone(1)).await;
    let key = store.key(phone(1));
    let mut of_number = suppression(SuppressionSubject::Number(key));
    of_number.seller = Some("acme".to_owned());
    of_number.channels = vec![CallKind::Autodialed, CallKind::Prerecorded];
    let mut of_party = suppression(SuppressionSubject::Party(party));
    of_party.recorded_at = after(1);
    of_party.reason = SuppressionReason::Internal;
    of_party.expires_at = Some(after(100));
    let mut tx = store.write().await;
    tx.insert_suppression(&tenant(), &of_number).await.unwrap();
    tx.insert_suppression(&tenant(), &of_party).await.unwrap();
    assert_eq!(
        tx.suppression(&tenant(), of_number.suppression_id)
            .await
            .unwrap(),
        Some(of_number.clone())
    );
    assert_eq!(
        tx.suppression(&tenant(), SuppressionId::new(NOON))
            .await
            .unwrap(),
        None
    );
    let page = tx
        .list_suppressions(&tenant(), &everything())
        .await
        .unwrap();
    assert_eq!(page.rows, [of_party.clone(), of_number.clone()]);
    let found = tx
        .covering(&tenant(), &[key, store.key(phone(2))], None, after(99))
        .await
        .unwrap();
    assert_eq!(found, [(key, of_number.clone()), (key, of_party.clone())]);
    let found = tx
        .covering(&tenant(), &[key], Some("other"), after(99))
        .await
        .unwrap();
    assert_eq!(
        found,
        [(key, of_party.clone())],
        "it binds another seller only"
    );
    let found = tx
        .covering(&tenant(), &[key], Some("acme"), after(100))
        .await
        .unwrap();
    assert_eq!(found, [(key, of_number.clone())], "the other has expired");

    let subject = of_number.subject;
    for (seller, channels, there) in [
        (Some("acme"), vec![CallKind::Autodialed], true),
        (
            Some("acme"),
            vec![CallKind::Autodialed, CallKind::Prerecorded],
            true,
        ),
        (Some("acme"), vec![CallKind::LiveManual], false),
        (Some("acme"), vec![], false),
        (Some("other"), vec![CallKind::Autodialed], false),
        (None, vec![CallKind::Autodialed], false),
    ] {
        let same = tx
            .same_suppression(&tenant(), subject, seller, &channels)
            .await
            .unwrap();
        assert_eq!(same.is_some(), there, "{seller:?} {channels:?}");
    }
    let same = tx
        .same_suppression(&tenant(), of_party.subject, None, &[])
        .await
        .unwrap();
    assert_eq!(
        same, None,
        "one that expires does not stand for one that does not"
    );

    let mut lifted = of_number.clone();
    lift(&mut tx, &mut lifted, after(50)).await;
    let stored = tx
        .suppression(&tenant(), of_number.suppression_id)
        .await
        .unwrap();
    assert_eq!(stored, Some(lifted));
    let t = tenant();
    let found = tx.covering(&t, &[key], Some("acme"), after(100)).await;
    assert!(found.unwrap().is_empty());
    let kinds = [CallKind::Autodialed];
    let same = tx.same_suppression(&t, subject, Some("acme"), &kinds).await;
    assert_eq!(same.unwrap(), None);
    let standing = list(
        "NOT lift_time > \"1970-01-01T00:00:00Z\"",
        SUPPRESSION_FIELDS,
    );
    let page = tx.list_suppressions(&tenant(), &standing).await.unwrap();
    assert_eq!(page.rows, [of_party]);
    tx.commit().await.unwrap();

    let mut tx = store.write().await;
    let mut expiring = suppression(subject);
    expiring.expires_at = Some(after(9));
    let refused = tx.insert_suppression(&tenant(), &expiring).await;
    assert!(refused.is_err(), "a person's wish never expires");
}

/// Lifts a suppression as two people do, trying on the way everything that does not lift it.
async fn lift(tx: &mut Tx, standing: &mut Suppression, at: Micros) {
    let (id, nobody) = (standing.suppression_id, SuppressionId::new(NOON));
    let request = LiftRequest {
        at: after(0),
        requested_by: "key:a".to_owned(),
        reason: "asked to be called".to_owned(),
        evidence_ref: "form 9".to_owned(),
    };
    let lift = Lift {
        at,
        requested_by: request.requested_by.clone(),
        approved_by: "key:b".to_owned(),
        reason: request.reason.clone(),
        evidence_ref: request.evidence_ref.clone(),
    };
    let t = tenant();
    assert!(
        !tx.lift_suppression(&t, id, &lift).await.unwrap(),
        "not asked for"
    );
    assert!(tx.request_lift(&t, id, &request).await.unwrap());
    assert!(!tx.request_lift(&t, id, &request).await.unwrap());
    assert!(!tx.request_lift(&t, nobody, &request).await.unwrap());
    standing.lift_request = Some(request);
    let asked = tx.suppression(&t, id).await.unwrap();
    assert_eq!(
        asked.as_ref(),
        Some(&*standing),
        "a wish alone lifts nothing"
    );
    let alone = Lift {
        approved_by: "key:a".to_owned(),
        ..lift.clone()
    };
    assert!(
        !tx.lift_suppression(&t, id, &alone).await.unwrap(),
        "it takes two people"
    );
    assert!(tx.lift_suppression(&t, id, &lift).await.unwrap());
    assert!(!tx.lift_suppression(&t, id, &lift).await.unwrap());
    assert!(!tx.lift_suppression(&t, nobody, &lift).await.unwrap());
    standing.lift = Some(lift);
}

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

/// The heart of the barrier: a claim that had to wait for the number's lock reads the opt-out it waited for.
async fn a_claim_that_waited_sees_the_opt_out(store: TestStore) {
    let party = store.party(phone(1)).await;
    let key = store.key(phone(1));
    let mut opt_out = store.store.write(Urgency::OptOut).await.unwrap();
    opt_out
        .insert_suppression(&tenant(), &suppression(SuppressionSubject::Number(key)))
        .await
        .unwrap();
    assert!(opt_out.try_lock_numbers(&tenant(), &[key.0]).await.unwrap());
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let claim = {
        let (store, asked) = (store.store.clone(), wanted(&store, 1, party));
        tokio::spawn(async move {
            let begun = store.write(Urgency::Ordinary);
            sender.send(()).unwrap();
            let mut tx = begun.await.unwrap();
            tx.lock_numbers(&tenant(), &[key.0, party_lock_key(party), key.0])
                .await
                .unwrap();
            tx.load_facts(&tenant(), &[asked]).await.unwrap()
        })
    };
    receiver.await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!claim.is_finished(), "the claim waits");
    opt_out.commit().await.unwrap();
    assert_eq!(claim.await.unwrap()[0].opt_outs.len(), 1);
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

/// Ten writers wait; an opt-out that comes last is among the first two.
async fn an_opt_out_goes_first(store: TestStore) {
    let holder = store.write().await;
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let spawn = |urgency: Urgency| {
        let (store, sender) = (store.store.clone(), sender.clone());
        tokio::spawn(async move {
            let tx = store.write(urgency).await.unwrap();
            sender.send(urgency).unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            tx.commit().await.unwrap();
        })
    };
    for _ in 0..7 {
        spawn(Urgency::Ordinary);
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    spawn(Urgency::OptOut);
    tokio::time::sleep(Duration::from_millis(50)).await;
    holder.commit().await.unwrap();
    let mut order = Vec::new();
    while order.len() < 8 {
        order.push(receiver.recv().await.unwrap());
    }
    let place = order
        .iter()
        .position(|urgency| *urgency == Urgency::OptOut)
        .unwrap();
    if store.store.engine() == Engine::Sqlite {
        assert!(place <= 1, "{order:?}");
    }
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
    tx.upsert_party(&tenant(), &draft(call.party_id, &[number]), NOON)
        .await
        .unwrap();
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
    // Without the country code, and as the name, which is as personal.
    let (digits, name) = ("4045554242", "Example Person");
    if store.store.engine() == Engine::Sqlite {
        let mut searched = 0;
        for file in std::fs::read_dir(store.folder.path()).unwrap().flatten() {
            let bytes = std::fs::read(file.path()).unwrap();
            searched += bytes.len();
            for secret in [digits, name] {
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
        for secret in [digits, name] {
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

// ---- SQLite alone

/// Set in the process that runs under a limit on the size of files.
const LIMITED: &str = "DIALGATE_TEST_LIMITED";

/// A disk that is full is an error of the write and nothing worse; with room again, the store goes on.
#[test]
fn a_full_disk_is_survived() {
    let limited = std::process::Command::new("sh")
        .args([
            "-c",
            r#"ulimit -S -f 4096; exec "$0" --exact store::under_a_size_limit --nocapture"#,
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
    holder
        .request_cancel(&tenant(), &call.number_key, &[], None, &[])
        .await
        .unwrap();
    let mut tx = store.store.write(Urgency::OptOut).await.unwrap();
    let stopped = suppression(SuppressionSubject::Number(call.number_key));
    tx.insert_suppression(&tenant(), &stopped).await.unwrap();
    let begun = tokio::time::Instant::now();
    assert!(
        !tx.try_lock_numbers(&tenant(), &[call.number_key.0])
            .await
            .unwrap()
    );
    assert_eq!(
        tx.request_cancel(&tenant(), &call.number_key, &[], None, &[])
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
    a_claim_that_waited_sees_the_opt_out(TestStore {
        store: Store::open(&store.config).await.unwrap(),
        ..store
    })
    .await;
}

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
             AND table_name NOT IN ('_sqlx_migrations', 'audit_entries', 'party_numbers', 'requests') GROUP BY table_name ORDER BY 1",
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

type Columns = BTreeMap<String, Vec<(String, String, bool)>>;

async fn columns_of_postgres(conn: &mut PgConnection) -> Columns {
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
