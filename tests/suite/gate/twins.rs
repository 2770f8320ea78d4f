//! One request, sent twice at once to two nodes: it is done once, and both get the first answer.

use super::on_both;

on_both! {
    p07_twins_of_an_opt_out_get_one_answer,
    p07_twins_of_everything_else_get_one_answer,
    p07_twins_of_another_content_are_told_so,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::disposition::DispositionCode;
    use dialgate::domain::party::Profile;
    use dialgate::gate::{
        Ask, ContactDraft, Gate, GateError, LiftStep, NewDisposition, NewRegionStop,
    };

    use crate::gate::bench::{Bench, campaign};

    const ANNA: &str = "+14045550141";
    const ROUNDS: usize = 12;

    /// The answers of both nodes, twice each.
    async fn twins<T, F>(bench: &Bench, ask: Ask, act: impl Fn(Gate, Ask) -> F) -> Vec<T>
    where
        T: std::fmt::Debug + Send + 'static,
        F: Future<Output = Result<T, GateError>> + Send + 'static,
    {
        let other = bench.again(vec![campaign("us", "US", "seller")]);
        let gates = [&bench.gate, &other, &bench.gate, &other];
        let tasks = gates.map(|gate| tokio::spawn(act(gate.clone(), ask.clone())));
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.unwrap().unwrap());
        }
        answers
    }

    fn alike<T: PartialEq + std::fmt::Debug>(answers: &[T]) {
        for answer in answers {
            assert_eq!(*answer, answers[0]);
        }
    }

    pub async fn p07_twins_of_an_opt_out_get_one_answer(bench: Bench) {
        for round in 0..ROUNDS {
            let new = bench.opt_out(&format!("+140455501{:02}", 50 + round));
            let answers = twins(&bench, bench.ask("admin"), |gate, ask| {
                let new = new.clone();
                async move { gate.suppress(&ask, new).await }
            });
            let answers = answers.await;
            alike(&answers);
            let id = answers[0].suppression_id;
            let steps = [
                (bench.ask("ines"), bench.permitted()),
                (bench.approver("omar"), LiftStep::Approve),
            ];
            for (ask, step) in steps {
                let lifted = twins(&bench, ask, |gate, ask| {
                    let step = step.clone();
                    async move { gate.lift(&ask, id, step).await }
                });
                alike(&lifted.await);
            }
        }
        let kinds = bench.audit().await;
        let count = |kind: &str| kinds.iter().filter(|each| *each == kind).count();
        assert_eq!(count("suppression.created"), ROUNDS);
        assert_eq!(count("suppression.repeated"), 0);
        assert_eq!(count("suppression.lift_requested"), ROUNDS);
        assert_eq!(count("suppression.lifted"), ROUNDS);
    }

    pub async fn p07_twins_of_everything_else_get_one_answer(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        for _ in 0..ROUNDS {
            let given = bench.consent(ANNA, ConsentAction::Given);
            let given = twins(&bench, bench.ask("admin"), |gate, ask| {
                let given = given.clone();
                async move { gate.record_consent(&ask, given).await }
            });
            alike(&given.await);
            let read = bench.store.read().await;
            let etag = etag(read, &anna).await;
            let named = twins(&bench, bench.ask("admin"), |gate, ask| {
                let draft = ContactDraft {
                    party_id: Some(anna.party_id),
                    profile: Profile {
                        display_name: Some("Anna".to_owned()),
                        ..Profile::default()
                    },
                    numbers: Vec::new(),
                    etag: Some(etag.clone()),
                    mask: None,
                };
                async move { gate.upsert_contact(&ask, draft).await }
            });
            alike(&named.await);
            let queued = bench.queued(ANNA).await.call_id;
            let ended = twins(&bench, bench.ask("agent"), |gate, ask| async move {
                gate.hang_up(&ask, queued).await
            });
            alike(&ended.await);
        }
        let (leased, _permit, attempt_id) = bench.claimed(ANNA).await;
        bench.ended(&leased, attempt_id).await;
        let call_id = leased.call.call_id;
        for code in [DispositionCode::Gatekeeper, DispositionCode::OptOutAll] {
            let said = twins(&bench, bench.ask("agent"), |gate, ask| {
                let said = NewDisposition {
                    call_id,
                    code,
                    note: None,
                    amends: None,
                };
                async move { gate.record_disposition(&ask, said).await }
            });
            alike(&said.await);
        }
        let expires_at = bench.now().plus(Duration::from_hours(1));
        let stops = twins(&bench, bench.ask("admin"), |gate, ask| async move {
            let stop = NewRegionStop {
                region: "US-GA".to_owned(),
                reason: "storm".to_owned(),
                starts_at: None,
                expires_at,
            };
            gate.stop_region(&ask, stop).await
        });
        let stops = stops.await;
        alike(&stops);
        let id = stops[0].stop_id;
        let lifted = twins(&bench, bench.ask("admin"), |gate, ask| async move {
            gate.lift_region_stop(&ask, id, "it is over".to_owned())
                .await
        });
        alike(&lifted.await);
    }

    async fn etag(mut read: dialgate::store::Tx, party: &dialgate::domain::party::Party) -> String {
        let tenant = crate::support::builders::tenant();
        let found = read.party(&tenant, party.party_id).await.unwrap();
        found.unwrap().etag
    }

    pub async fn p07_twins_of_another_content_are_told_so(bench: Bench) {
        let other = bench.again(vec![campaign("us", "US", "seller")]);
        for round in 0..ROUNDS {
            let new = bench.opt_out(&format!("+140455501{:02}", 50 + round));
            let ask = bench.ask("admin");
            let another = Ask {
                digest: [2; 32],
                ..ask.clone()
            };
            let (one, two) = tokio::join!(
                bench.gate.suppress(&ask, new.clone()),
                other.suppress(&another, new)
            );
            let refused = [one.err(), two.err()];
            let refused: Vec<_> = refused.into_iter().flatten().collect();
            assert!(
                matches!(refused[..], [GateError::RequestIdReused]),
                "{refused:?}"
            );
        }
    }
}
