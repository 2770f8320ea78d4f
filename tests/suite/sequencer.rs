//! The sequencer over both databases: every entry gets one place, whoever works, dies or was changed meanwhile.

use crate::gate::on_both;

on_both! {
    p15_every_entry_gets_one_place_whoever_works,
    p15_a_turn_that_ends_anywhere_has_done_all_or_nothing,
    p15_a_tree_that_somebody_changed_is_not_signed_again,
    a_log_is_signed_by_its_own_key_alone,
    checkpoints_are_handed_to_the_witness,
    a_witness_that_fails_takes_nothing_from_the_other,
    entries_of_the_gate_are_in_the_log,
}

mod tests {
    use std::sync::Arc;

    use dialgate::audit::{LoggedEntry, TileId};
    use dialgate::clock::Clock;
    use dialgate::domain::time::Micros;
    use dialgate::http_client::{Courier, Guard, system_lookup};
    use dialgate::sequencer::{
        BATCH_MAX, KeyProblem, SequenceError, Sequenced, Sequencer, Sequencing, SigningPlace,
        Witness,
    };

    use crate::gate::bench::Bench;
    use crate::support::builders::{audit, tenant};
    use crate::support::log::must_hold;
    use crate::support::receiver::{Manner, Receiver, TAKES};

    fn place(bench: &Bench) -> SigningPlace {
        SigningPlace {
            path: bench.store.folder.path().join("log.key"),
            origin: Some("example.com/calls".to_owned()),
        }
    }

    async fn sequencer(bench: &Bench) -> Sequencer {
        let clock = Clock::Manual(Arc::clone(&bench.clock));
        let place = place(bench);
        let opened = Sequencer::open(bench.store.store.clone(), &place, clock);
        opened.await.unwrap()
    }

    async fn write(bench: &Bench, count: i64) {
        let at = bench.now();
        let entries: Vec<_> = (0..count)
            .map(|more| audit("a", Micros(at.0 + more)))
            .collect();
        let mut tx = bench.store.write().await;
        tx.insert_audit(&tenant(), &entries).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn settle(sequencer: &Sequencer) {
        while sequencer.turn().await.unwrap() != Sequenced::Nothing {}
    }

    async fn log(bench: &Bench) -> Vec<LoggedEntry> {
        must_hold(&bench.store.store).await
    }

    pub async fn p15_every_entry_gets_one_place_whoever_works(bench: Bench) {
        let nodes = [
            sequencer(&bench).await,
            sequencer(&bench).await,
            sequencer(&bench).await,
        ];
        let mut working = tokio::task::JoinSet::new();
        let bench = Arc::new(bench);
        for writer in 0..4 {
            let bench = Arc::clone(&bench);
            working.spawn(async move {
                for batch in 0..12 {
                    write(&bench, 1 + (writer * 7 + batch * 31) % 97).await;
                }
            });
        }
        for node in nodes.clone() {
            working.spawn(async move {
                for _ in 0..40 {
                    node.turn().await.unwrap();
                    tokio::task::yield_now().await;
                }
            });
        }
        while let Some(worked) = working.join_next().await {
            worked.unwrap();
        }
        settle(&nodes[0]).await;
        let written: i64 = (0..4)
            .flat_map(|writer| (0..12).map(move |batch| 1 + (writer * 7 + batch * 31) % 97))
            .sum();
        let policy = 1;
        let count = log(&bench).await.len();
        assert_eq!(count as i64, written + policy);
        assert_eq!(nodes[2].turn().await.unwrap(), Sequenced::Nothing);
    }

    /// A node that dies within a turn leaves it undone, and another goes on.
    pub async fn p15_a_turn_that_ends_anywhere_has_done_all_or_nothing(bench: Bench) {
        let (mut cut, mut done) = (0, 0);
        for round in 0..60_u32 {
            write(&bench, 40).await;
            let node = sequencer(&bench).await;
            let turn = tokio::spawn(async move { node.turn().await });
            for _ in 0..round * 50 {
                tokio::task::yield_now().await;
            }
            turn.abort();
            match turn.await {
                Ok(_) => done += 1,
                Err(_) => cut += 1,
            }
        }
        let node = sequencer(&bench).await;
        settle(&node).await;
        let policy = 1;
        assert_eq!(log(&bench).await.len(), 60 * 40 + policy);
        assert!(cut > 0, "none of {done} turns was cut off");
    }

    pub async fn p15_a_tree_that_somebody_changed_is_not_signed_again(bench: Bench) {
        let node = sequencer(&bench).await;
        write(&bench, 300).await;
        settle(&node).await;
        let edge = TileId { level: 0, index: 1 };
        let read = async || {
            let mut tx = bench.store.read().await;
            let tiles = tx.audit_tiles(&tenant(), &[edge]).await.unwrap();
            tiles.get(edge).unwrap().to_vec()
        };
        let put = async |hashes: Vec<_>| {
            let mut tx = bench.store.write().await;
            let tiles = [(edge, hashes)];
            tx.put_audit_tiles(&tenant(), &tiles).await.unwrap();
            tx.commit().await.unwrap();
        };
        let good = read().await;
        write(&bench, 1).await;
        for change in [0, 1, 2] {
            let mut other = good.clone();
            match change {
                0 => other[3].0[0] ^= 1,
                1 => drop(other.pop()),
                _ => other.push(good[0]),
            }
            put(other).await;
            let refused = node.turn().await.unwrap_err();
            assert!(
                matches!(refused, SequenceError::Tampered { size: 301 }),
                "{refused}"
            );
        }
        put(good).await;
        settle(&node).await;
        assert_eq!(log(&bench).await.len(), 302);
        // The checkpoint itself.
        bench
            .store
            .change("UPDATE audit_checkpoints SET note = REPLACE(note, '302', '303') WHERE tree_size = 302", &[])
            .await;
        write(&bench, 1).await;
        assert!(matches!(
            node.turn().await,
            Err(SequenceError::Tampered { size: 302 })
        ));
    }

    pub async fn a_log_is_signed_by_its_own_key_alone(bench: Bench) {
        let node = sequencer(&bench).await;
        assert_eq!(node.verifier().name(), "example.com/calls");
        let clock = || Clock::Manual(Arc::clone(&bench.clock));
        let store = || bench.store.store.clone();
        let elsewhere = SigningPlace {
            path: bench.store.folder.path().join("other.key"),
            ..place(&bench)
        };
        let refused = async |place: &SigningPlace| {
            let opened = Sequencer::open(store(), place, clock()).await;
            match opened.map(|_| ()).unwrap_err() {
                SequenceError::Key(problem) => problem,
                other => panic!("{other}"),
            }
        };
        let missing = refused(&elsewhere).await;
        assert!(matches!(missing, KeyProblem::Missing { .. }), "{missing}");
        elsewhere.open(false).unwrap();
        let another = refused(&elsewhere).await;
        assert!(matches!(another, KeyProblem::Another { .. }), "{another}");
        let ours = node.verifier().to_string();
        assert!(another.to_string().contains(&ours), "{another}");
        let renamed = SigningPlace {
            origin: Some("example.com/other".to_owned()),
            ..place(&bench)
        };
        let renamed = refused(&renamed).await;
        assert!(matches!(renamed, KeyProblem::Origin { .. }), "{renamed}");
        let unnamed = SigningPlace {
            origin: None,
            ..place(&bench)
        };
        assert!(Sequencer::open(store(), &unnamed, clock()).await.is_ok());
    }

    fn courier(address: std::net::SocketAddr) -> Courier {
        let guard = Guard::allowing(vec!["127.0.0.1/32".parse().unwrap()]);
        Courier::new(&format!("http://{address}/witness"), guard, system_lookup()).unwrap()
    }

    /// Every checkpoint of the log from this size on, as a witness file has them.
    async fn signed(bench: &Bench, from: u64) -> String {
        let mut tx = bench.store.read().await;
        let all = tx.checkpoints_from(&tenant(), from, u32::MAX / 2).await;
        let all = all.unwrap();
        all.iter().map(|each| format!("{}\n", each.note)).collect()
    }

    pub async fn checkpoints_are_handed_to_the_witness(bench: Bench) {
        let receiver = Receiver::start(TAKES).await;
        let file = bench.store.folder.path().join("witness");
        let witness = Witness::new(Some(file.clone()), Some(courier(receiver.address)));
        let node = sequencer(&bench).await;
        write(&bench, i64::from(BATCH_MAX) + 10).await;
        // What is stopped places what is there and hands the last checkpoint over.
        Sequencing::start(&node, witness.clone()).stop().await;
        let count = log(&bench).await.len();
        assert_eq!(count, usize::try_from(BATCH_MAX).unwrap() + 11);
        let latest = bench.store.read().await.latest_checkpoint(&tenant()).await;
        let latest = latest.unwrap().unwrap().note;
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(kept, signed(&bench, 0).await);
        let posted = receiver.messages().last().unwrap().json();
        assert_eq!(posted["checkpoint"], latest.as_str());
        // Who comes back tells the last one again; the file has it already.
        let before = receiver.messages().len();
        Sequencing::start(&node, witness).stop().await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), kept);
        let messages = receiver.messages();
        assert_eq!(messages.len(), before + 1);
        assert_eq!(messages[before].json()["checkpoint"], latest.as_str());
    }

    /// Neither the file nor the address waits for the other.
    pub async fn a_witness_that_fails_takes_nothing_from_the_other(bench: Bench) {
        let node = sequencer(&bench).await;
        let folder = bench.store.folder.path();
        // A checkpoint that no witness took before the restart.
        write(&bench, 3).await;
        settle(&node).await;
        let receiver = Receiver::start(TAKES).await;
        let no_file = Witness::new(
            Some(folder.join("none/witness")),
            Some(courier(receiver.address)),
        );
        Sequencing::start(&node, no_file).stop().await;
        let latest = bench.store.read().await.latest_checkpoint(&tenant()).await;
        let latest = latest.unwrap().unwrap();
        let posted = receiver.messages().last().unwrap().json();
        assert_eq!(posted["checkpoint"], latest.note.as_str());
        // A slow address: the file has every checkpoint all the same.
        let hangs = Receiver::start(Manner::Hangs).await;
        let file = folder.join("slow");
        let slow = Witness::new(Some(file.clone()), Some(courier(hangs.address)));
        write(&bench, i64::from(BATCH_MAX) * 3).await;
        Sequencing::start(&node, slow).stop().await;
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(kept, signed(&bench, latest.size).await);
        assert!(kept.matches("example.com/calls\n").count() > 3, "{kept}");
        // A failing address is asked again, with nothing added to the file for it.
        let fails = Receiver::start(Manner::Says(500, "", "")).await;
        let file = folder.join("failing");
        let failing = Witness::new(Some(file.clone()), Some(courier(fails.address)));
        let sequencing = Sequencing::start(&node, failing);
        fails.has(2).await;
        sequencing.stop().await;
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(kept.matches("example.com/calls\n").count(), 1, "{kept}");
    }

    /// What the gate decides and records is in the log without its doing.
    pub async fn entries_of_the_gate_are_in_the_log(bench: Bench) {
        let node = sequencer(&bench).await;
        settle(&node).await;
        let before = log(&bench).await.len();
        let ask = bench.ask("admin");
        bench
            .gate
            .suppress(&ask, bench.opt_out("+14045550141"))
            .await
            .unwrap();
        settle(&node).await;
        let entries = log(&bench).await;
        let kinds: Vec<&str> = entries[before..]
            .iter()
            .map(|each| each.kind.as_str())
            .collect();
        assert_eq!(kinds, ["suppression.created"]);
        let leaf = entries[before].leaf();
        assert!(!leaf.contains("4045550141"), "{leaf}");
    }
}
