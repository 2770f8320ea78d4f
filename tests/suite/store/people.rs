//! People, their consents, and the facts that the law is given.

use super::decisions::pages;
use super::suppressions::lift;
use super::*;

contract![
    people_are_recorded_whole,
    a_number_met_for_the_first_time_has_one_holder,
    facts_are_put_together,
    what_was_told_of_a_number_holds_for_whoever_has_it,
    who_holds_a_number_spares_the_looking,
    an_older_list_takes_nothing_back,
    facts_count_attempts_as_caps_want_them,
    an_attempt_counts_as_unanswered_only_if_that_is_known,
    consents_are_kept,
    consents_and_opt_outs_are_told_apart,
];

/// Who holds numbers now, whether or not somebody else held them; and the facts are the same whether that was asked before,
/// of these numbers or of others.
async fn who_holds_a_number_spares_the_looking(store: TestStore) {
    let [anna, ben] = [0, 1].map(|_| PartyId::new(NOON));
    let mut tx = store.write().await;
    for (party, numbers) in [
        (anna, vec![phone(1), phone(2)]),
        (ben, vec![phone(2), phone(3)]),
        // Ben gives the third one up.
        (ben, vec![phone(2)]),
    ] {
        let draft = draft(party, &numbers);
        tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
    }
    let wish = suppression(SuppressionSubject::Number(store.key(phone(4))));
    tx.insert_suppression(&tenant(), &wish).await.unwrap();
    let key = |number: u32| store.key(phone(number));
    let keys: Vec<NumberKey> = (1..=5).map(key).collect();
    let links = tx.links(&tenant(), &keys).await.unwrap();
    let holders = |number: u32| links.holders(key(number)).collect::<BTreeSet<_>>();
    assert_eq!(holders(1), BTreeSet::from([anna]));
    assert_eq!(holders(2), BTreeSet::from([anna, ben]));
    for number in [3, 4, 5, 6] {
        assert!(holders(number).is_empty(), "{number}");
    }
    let questions: Vec<FactsWanted> = (1..=6)
        .map(|number| FactsWanted {
            party_id: (number == 1).then_some(anna),
            ..wanted(&store, number, anna)
        })
        .collect();
    let facts = tx.load_facts(&tenant(), &questions).await.unwrap();
    assert!(
        !facts[2].registers.is_empty(),
        "told through a link that ended"
    );
    assert_eq!(facts[3].opt_outs.len(), 1);
    for asked in [&keys[..], &keys[..2], &keys[4..], &[]] {
        let links = tx.links(&tenant(), asked).await.unwrap();
        let spared = tx.load_facts_among(&tenant(), &questions, &links).await;
        assert_eq!(spared.unwrap(), facts);
    }
}

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
        (4001, true),
        (4600, true),
        (4601, false),
    ] {
        let number = |n| SuppressionSubject::Number(store.key(phone(n)));
        for (who, about) in [
            (SuppressionSubject::Party(party), doubtful),
            (SuppressionSubject::Party(stranger), false),
            // The second and the third are about the person alone.
            (number(1), doubtful && at < 2000),
            (number(2), false),
        ] {
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
    // Of the person, it covers every kind; of the number, those it names.
    add(&|new| new.channels = vec![CallKind::Prerecorded], true).await;
    add(
        &|new| {
            new.reason = SuppressionReason::Litigator;
            new.channels = vec![CallKind::Prerecorded];
        },
        false,
    )
    .await;
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

fn listing(listed: bool, as_of: &str) -> RegisterCheck {
    RegisterCheck {
        register: "us-dnc".to_owned(),
        listed: Some(listed),
        as_of: as_of.parse().unwrap(),
        listed_since: None,
        snapshot: None,
    }
}

fn queried(answer: ReassignedAnswer, on: &str) -> ReassignedCheck {
    ReassignedCheck {
        queried_on: on.parse().unwrap(),
        for_date: "2026-01-01".parse().unwrap(),
        answer,
    }
}

async fn what_was_told_of_a_number_holds_for_whoever_has_it(store: TestStore) {
    use ReassignedAnswer::{No, NoData, Yes};
    let mut people = [0, 1, 2].map(|_| PartyId::new(NOON));
    people.sort_unstable();
    let [one, other, former] = people;
    let clear = listing(false, "2026-11-20");
    let listed = listing(true, "2026-11-20");
    let older = listing(true, "2026-10-01");
    let told = [
        (one, &clear, queried(NoData, "2026-11-19")),
        (other, &listed, queried(No, "2026-11-20")),
        (former, &older, queried(Yes, "2026-11-18")),
    ];
    let mut tx = store.write().await;
    for (party, register, check) in told {
        let mut draft = draft(party, &[phone(1), phone(2)]);
        draft.numbers[0].registers = vec![register.clone()];
        draft.numbers[0].reassigned_check = Some(check);
        tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
    }
    // The number is theirs no more, and a line about it stays one.
    tx.upsert_party(&tenant(), &draft(former, &[phone(2)]), after(1))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let stranger = PartyId::new(NOON);
    let asked = [one, other, former, stranger].map(|party| wanted(&store, 1, party));
    let mut tx = store.read().await;
    for known in tx.load_facts(&tenant(), &asked).await.unwrap() {
        assert_eq!(
            known.registers,
            [clear.clone(), listed.clone(), older.clone()]
        );
        assert_eq!(known.reassigned_check, Some(queried(No, "2026-11-20")));
    }
    drop(tx);
    // Of two of one day the worse.
    for (answer, holds) in [(NoData, NoData), (Yes, Yes)] {
        let mut again = draft(one, &[phone(1)]);
        again.numbers[0].reassigned_check = Some(queried(answer, "2026-11-20"));
        let mut tx = store.write().await;
        tx.upsert_party(&tenant(), &again, after(2)).await.unwrap();
        let known = tx.load_facts(&tenant(), &asked[1..2]).await.unwrap();
        assert_eq!(
            known[0].reassigned_check,
            Some(queried(holds, "2026-11-20"))
        );
        tx.commit().await.unwrap();
    }
}

async fn an_older_list_takes_nothing_back(store: TestStore) {
    use ReassignedAnswer::{No, NoData, Yes};
    let party = PartyId::new(NOON);
    let tell = async |registers: &[RegisterCheck], check: Option<ReassignedCheck>| {
        let mut draft = draft(party, &[phone(1)]);
        draft.numbers[0].registers = registers.to_vec();
        draft.numbers[0].reassigned_check = check;
        let mut tx = store.write().await;
        let told = tx.upsert_party(&tenant(), &draft, NOON).await.unwrap();
        let stored = tx.party(&tenant(), party).await.unwrap().unwrap();
        assert_eq!(told.numbers, stored.numbers);
        tx.commit().await.unwrap();
        let number = stored.numbers.into_iter().next().unwrap();
        (number.registers, number.reassigned_check)
    };
    let listed = listing(true, "2026-11-10");
    let gone = Some(queried(Yes, "2026-11-10"));
    let stands = (vec![listed.clone()], gone);
    assert_eq!(tell(std::slice::from_ref(&listed), gone).await, stands);
    let older = listing(false, "2026-11-01");
    let before = Some(queried(No, "2026-11-01"));
    assert_eq!(tell(std::slice::from_ref(&older), before).await, stands);
    assert_eq!(tell(&[], None).await, stands, "to say nothing is no news");
    // Nor does who gives the number away and takes it back.
    let mut tx = store.write().await;
    for numbers in [&[phone(2)][..], &[]] {
        tx.upsert_party(&tenant(), &draft(party, numbers), after(1))
            .await
            .unwrap();
    }
    tx.commit().await.unwrap();
    assert_eq!(tell(&[older], before).await, stands);
    // The same date again corrects it; a newer one replaces it; another register stands beside it.
    let corrected = listing(false, "2026-11-10");
    let asked = Some(queried(NoData, "2026-11-10"));
    let stands = (vec![corrected.clone()], asked);
    assert_eq!(tell(std::slice::from_ref(&corrected), asked).await, stands);
    let newer = listing(true, "2026-11-11");
    let mut florida = listing(false, "2026-11-01");
    florida.register = "us-fl-dnc".to_owned();
    let both = vec![florida.clone(), newer.clone()];
    let asked = Some(queried(No, "2026-11-12"));
    assert_eq!(tell(&[florida, newer], asked).await, (both, asked));
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
        let epoch = tx.lease_calls(owner, "spring", 1, NOON).await.unwrap()[0].lease_epoch;
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
    // Under way: it may be answered already.
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
            (after(0), Some(phone(1)), AttemptResult::Answered),
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

async fn an_attempt_counts_as_unanswered_only_if_that_is_known(store: TestStore) {
    use AttemptResult::{Answered, NoAnswer, Refused};
    let owner = Incarnation::new(NOON);
    let expected = |outcome| match outcome {
        Outcome::Answered
        | Outcome::AnsweredAfterCancel
        | Outcome::MediaIncompatible
        | Outcome::InterruptedUnknown => Some((Answered, Answered)),
        Outcome::Rejected | Outcome::Unwanted => Some((Refused, Refused)),
        // Nothing was sent, and it is no attempt.
        Outcome::PermitExpired => None,
        _ => Some((NoAnswer, Answered)),
    };
    for (number, outcome) in (1..).zip(Outcome::ALL) {
        let (call, made) = store.claimed(phone(number), owner).await;
        let counts = async || {
            let asked = FactsWanted {
                seller: call.seller.clone(),
                ..wanted(&store, number, call.party_id)
            };
            let mut tx = store.read().await;
            let facts = tx.load_facts(&tenant(), &[asked]).await.unwrap();
            facts[0].attempts.first().map(|past| past.outcome)
        };
        assert_eq!(counts().await, Some(Answered), "{outcome} is to come");
        let mut tx = store.write().await;
        let over = end(call.call_id, made.attempt_id, *outcome);
        assert!(tx.end_attempt(&tenant(), &over).await.unwrap());
        tx.commit().await.unwrap();
        let (told, late) = expected(*outcome).unzip();
        assert_eq!(counts().await, told, "{outcome}");
        // A target that was given up is answered after all.
        let mut tx = store.write().await;
        tx.count_late_answer(&tenant(), made.attempt_id)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(counts().await, late, "{outcome}");
    }
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
    tx.insert_consent(&tenant(), &given).await.unwrap();
    let both = [withdrawn.clone(), elsewhere.clone()];
    tx.insert_consents(&tenant(), &both).await.unwrap();
    tx.insert_consents(&tenant(), &[]).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = store.read().await;
    let marks = tx.consent_marks(&tenant(), &[party]).await.unwrap();
    let wanted = [&given, &withdrawn].map(|event| event.mark(store.key(phone(1))));
    assert_eq!(marks.len(), 2, "of this person alone");
    assert!(wanted.iter().all(|mark| marks.contains(mark)), "{marks:?}");
    let mut same = given.clone();
    same.channels.reverse();
    assert_eq!(same.mark(store.key(phone(1))), wanted[0]);
    assert!(tx.consent_marks(&tenant(), &[]).await.unwrap().is_empty());
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
