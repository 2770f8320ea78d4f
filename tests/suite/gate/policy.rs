//! Changes of the law under load, with two nodes on one store: who judges by what, and when a change is acknowledged.

use super::on_both;

on_both![
    no_decision_by_the_old_pack_follows_the_acknowledgement,
    a_change_waits_for_a_claim_that_is_under_way,
    a_node_that_cannot_use_the_pack_does_not_judge,
    a_later_release_wins_and_an_earlier_one_does_not_take_back,
];

mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use dialgate::clock::Clock;
    use dialgate::domain::decision::Verdict;
    use dialgate::domain::ids::{ActivationId, TenantId};
    use dialgate::domain::policy::{Activation, PackOrigin};
    use dialgate::domain::time::Mono;
    use dialgate::gate::{Claimed, Gate, GateError, PackSource};
    use dialgate::policy::{ClosedDay, DisabledRule, Pack, PackFiles};
    use dialgate::store::{Engine, NewPack};

    use crate::gate::bench::{Bench, campaign};

    const NUMBERS: [&str; 4] = [
        "+14045550101",
        "+14045550102",
        "+14045550103",
        "+14045550104",
    ];

    /// The built-in pack with one row more: no hour of no day is open for live calls.
    fn closing(id: &str) -> PackFiles {
        let row = format!(
            "schema = 2\nas_of = \"2026-11-21\"\n[[rule]]\nid = \"{id}\"\njurisdiction = \"US\"\nkind = \"calling_window\"\n\
             call_kinds = [\"live_manual\"]\naudience = \"both\"\nwindows = {{ mon-sun = [] }}\ncitation = \"house\"\n\
             certainty = \"recall\"\n"
        );
        let base = PackFiles::embedded();
        let own = base
            .iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()));
        PackFiles::of(
            own.chain([("added/house.toml".to_owned(), row)])
                .collect::<Vec<_>>(),
        )
    }

    fn files(files: &PackFiles) -> PackSource {
        PackSource::Files(
            files
                .iter()
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .collect(),
        )
    }

    fn now() -> Mono {
        Clock::Real.read().mono
    }

    async fn active(gate: &Gate) -> Activation {
        gate.policy_now(&TenantId::default()).await.unwrap().0
    }

    pub async fn no_decision_by_the_old_pack_follows_the_acknowledgement(bench: Bench) {
        for number in NUMBERS {
            bench.callable(number).await;
        }
        let other = bench.again(vec![campaign("us", "US", "seller")]);
        let old = active(&bench.gate).await.sha256;
        let over = Arc::new(AtomicBool::new(false));
        let bench = Arc::new(bench);
        let mut streams = Vec::new();
        for (index, number) in NUMBERS.into_iter().enumerate() {
            for gate in [bench.gate.clone(), other.clone()] {
                let (over, bench) = (Arc::clone(&over), Arc::clone(&bench));
                streams.push(tokio::spawn(async move {
                    let mut seen = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        let asked = now();
                        let mut request = bench.request(number);
                        // Some wish for a call, most only ask.
                        if index == 0 && seen.is_empty() {
                            let placed = gate.place(request).await.unwrap();
                            seen.push((asked, placed.decision));
                        } else {
                            request.request_id = None;
                            seen.push((asked, gate.check(request).await.unwrap()));
                        }
                    }
                    seen
                }));
            }
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let ask = bench.ask("admin");
        let begun = now();
        let source = files(&closing("HOUSE-closed"));
        let done = bench
            .gate
            .activate(&ask, source, "load".to_owned(), false)
            .await
            .unwrap();
        let acknowledged = now();
        // Calls that were queued under the old law are claimed under the new one.
        let leased = bench.lease().await;
        assert!(!leased.is_empty());
        for each in &leased {
            match bench.gate.claim(bench.claim(each, None)).await.unwrap() {
                Claimed::Denied(decision) => {
                    assert_eq!(decision.pack.sha256, done.activation.sha256);
                    assert_eq!(decision.judgement.denied_by, ["HOUSE-closed"]);
                }
                other => panic!("claimed by the old law: {other:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        over.store(true, Ordering::Relaxed);
        let (mut before, mut after) = (0, 0);
        for stream in streams {
            for (asked, decision) in stream.await.unwrap() {
                let new = decision.pack.sha256 == done.activation.sha256;
                assert!(new || decision.pack.sha256 == old);
                assert_eq!(
                    new,
                    decision
                        .judgement
                        .denied_by
                        .contains(&"HOUSE-closed".into())
                );
                assert!(
                    new || asked < acknowledged,
                    "judged by the old law after the acknowledgement"
                );
                before += usize::from(!new && asked < begun);
                after += usize::from(new && asked > acknowledged);
            }
        }
        assert!(
            before >= 4 && after >= 4,
            "{before} before and {after} after: no load"
        );
        assert!(
            acknowledged.since(begun) >= dialgate::gate::BARRIER_WAIT,
            "permits of the old law may be alive"
        );
    }

    pub async fn a_change_waits_for_a_claim_that_is_under_way(bench: Bench) {
        let number = NUMBERS[0];
        bench.callable(number).await;
        let call = bench.queued(number).await;
        let leased = bench.lease().await.pop().unwrap();
        assert_eq!(leased.call.call_id, call.call_id);
        if bench.store.store.engine() == Engine::Sqlite {
            // One writer at a time: there is nothing to be under way beside.
            return;
        }
        // Somebody holds the number, so the claim has its law and waits.
        let mut holder = bench.store.write().await;
        holder
            .lock_numbers(&TenantId::default(), &[leased.call.number_key.0])
            .await
            .unwrap();
        let (gate, claim) = (bench.gate.clone(), bench.claim(&leased, None));
        let claim = tokio::spawn(async move { gate.claim(claim).await.unwrap() });
        tokio::time::sleep(Duration::from_millis(150)).await;
        let (gate, ask) = (
            bench.again(vec![campaign("us", "US", "seller")]),
            bench.ask("admin"),
        );
        let change = tokio::spawn(async move {
            let source = files(&closing("HOUSE-closed"));
            gate.activate(&ask, source, "now".to_owned(), false)
                .await
                .unwrap()
        });
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(!claim.is_finished() && !change.is_finished());
        drop(holder);
        // Judged by the old law, and committed before the new one is in force.
        assert!(matches!(claim.await.unwrap(), Claimed::Permitted { .. }));
        let permitted = now();
        let done = change.await.unwrap();
        assert!(
            now().since(permitted) > Duration::from_millis(1500),
            "its permit may be alive"
        );
        let mut request = bench.request(number);
        request.request_id = None;
        let decision = bench.gate.check(request).await.unwrap();
        assert_eq!(decision.pack.sha256, done.activation.sha256);
        assert!(
            decision
                .judgement
                .denied_by
                .contains(&"HOUSE-closed".into())
        );
    }

    pub async fn a_node_that_cannot_use_the_pack_does_not_judge(bench: Bench) {
        bench.callable(NUMBERS[0]).await;
        let mut request = bench.request(NUMBERS[0]);
        request.request_id = None;
        let allowed = bench.gate.check(request.clone()).await.unwrap();
        assert_eq!(allowed.judgement.verdict, Verdict::Allow);
        // What a newer release may bring: a kind of rule that this one does not know.
        let tenant = TenantId::default();
        let in_force = active(&bench.gate).await;
        let mut tx = bench.store.write().await;
        tx.own_policy(&tenant).await.unwrap();
        let strange = NewPack {
            sha256: "newer",
            version: "2027-01-01",
            files: &[("us.toml", "schema = 3\n"), ("holidays.csv", "")],
            actor: "system",
        };
        tx.insert_pack(&tenant, strange, bench.now()).await.unwrap();
        let next = Activation {
            activation_id: ActivationId::new(bench.now()),
            epoch: in_force.epoch + 1,
            sha256: "newer".to_owned(),
            ..in_force
        };
        tx.insert_activation(&tenant, &next).await.unwrap();
        tx.commit().await.unwrap();
        for gate in [
            &bench.gate,
            &bench.again(vec![campaign("us", "US", "seller")]),
        ] {
            let refused = gate.check(request.clone()).await.unwrap_err();
            assert!(
                matches!(&refused, GateError::PackUnusable { sha256 } if sha256 == "newer"),
                "{refused}"
            );
        }
        assert!(
            bench.gate.settle().await.is_err(),
            "such a node does not start"
        );
    }

    pub async fn a_later_release_wins_and_an_earlier_one_does_not_take_back(bench: Bench) {
        let first = active(&bench.gate).await;
        assert_eq!((first.epoch, first.actor.as_str()), (1, "system"));
        let day = ClosedDay {
            jurisdiction: "US-LA".to_owned(),
            date: "2027-02-08".parse().unwrap(),
            reason: "proclamation 3".to_owned(),
            by: "key:anna".to_owned(),
        };
        bench
            .gate
            .add_closed_day(&bench.ask("anna"), day.clone())
            .await
            .unwrap();
        let recall = |pack: &Pack| {
            let mut rules = pack.rules().iter();
            let found = rules.find(|rule| {
                rule.common.certainty.as_str() == "recall"
                    && rule.decides()
                    && rule.common.jurisdiction != "ZZ"
            });
            found.unwrap().common.id.clone()
        };
        let rule = recall(&bench.gate.policy_now(&TenantId::default()).await.unwrap().1);
        let row = DisabledRule {
            id: rule.to_string(),
            reason: "repealed".to_owned(),
            by: "key:anna".to_owned(),
        };
        bench
            .gate
            .disable_rule(&bench.ask("anna"), row)
            .await
            .unwrap();

        // A newer release starts: its law is in force, with what the operator laid over the older one.
        let newer = Arc::new(Pack::of(closing("HOUSE-closed")).unwrap());
        let second = bench.bringing(Arc::clone(&newer));
        second.settle().await.unwrap();
        let (now, pack) = second.policy_now(&TenantId::default()).await.unwrap();
        assert_eq!(
            (now.epoch, now.origin, now.base_sha256),
            (4, PackOrigin::Configured, newer.version().sha256.clone())
        );
        assert_eq!(pack.closed_days(), [day]);
        assert!(pack.find(&rule).unwrap().disabled.is_some());
        assert!(pack.find("HOUSE-closed").is_some());

        // The older release starts again, and the newer one too: nothing changes.
        let older = bench.again(vec![campaign("us", "US", "seller")]);
        older.settle().await.unwrap();
        assert_eq!(active(&older).await.epoch, 4);
        bench.bringing(Arc::clone(&newer)).settle().await.unwrap();
        assert_eq!(active(&older).await.epoch, 4);

        // What somebody activated by name stays, whatever release starts.
        let source = PackSource::Stored(first.sha256.clone());
        older
            .activate(&bench.ask("anna"), source, "back".to_owned(), false)
            .await
            .unwrap();
        let third = Arc::new(Pack::of(closing("HOUSE-other")).unwrap());
        let third = bench.bringing(third);
        third.settle().await.unwrap();
        let now = active(&third).await;
        assert_eq!(
            (now.epoch, now.origin, now.base_sha256),
            (5, PackOrigin::Uploaded, first.sha256)
        );
        let source = PackSource::Configured;
        let done = third
            .activate(&bench.ask("anna"), source, "follow".to_owned(), false)
            .await
            .unwrap();
        assert_eq!(
            (done.activation.epoch, done.activation.origin),
            (6, PackOrigin::Configured)
        );
    }
}
