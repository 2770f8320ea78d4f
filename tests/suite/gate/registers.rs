//! Registers: what a snapshot decides, how one takes the place of another, and what a node does without its file.

use super::on_both;

on_both! {
    p06_a_register_is_asked_by_its_snapshot,
    a_snapshot_is_checked_before_it_decides,
    changes_make_another_snapshot,
    p06_a_list_without_a_number_clears_nobody,
    p06_changes_that_nobody_understands_move_no_date,
    p06_a_node_brings_what_it_lacks_and_denies_what_it_cannot_read,
    snapshots_tell_how_they_differ,
}

mod tests {
    use std::path::{Path, PathBuf};

    use dialgate::domain::decision::Decision;
    use dialgate::domain::ids::{SnapshotId, TenantId};
    use dialgate::domain::party::{Audience, LineType, Location, PartyNumber, Profile};
    use dialgate::domain::register::RegisterSnapshot;
    use dialgate::gate::{
        Ask, ContactDraft, Gate, GateError, NewRegister, RegisterContent, RegisterDiff,
        RegisterImport, RegisterLines, RegisterRefusal,
    };
    use sha2::{Digest as _, Sha256};
    use tokio::sync::mpsc;

    use crate::gate::bench::{Bench, campaign, phone};

    /// Listed, not listed, and of an area code that the list does not have.
    const LISTED: &str = "+14045550141";
    const CLEAR: &str = "+14045550142";
    const ELSEWHERE: &str = "+17705550143";
    const LIST: &str = "404,5550141\n404,5550199\n404,5550198\n";
    const CURRENT: &str = "2026-11-17";

    fn new(as_of: &str, list: &str) -> NewRegister {
        NewRegister {
            register: "us-dnc".to_owned(),
            as_of: as_of.parse().unwrap(),
            content_sha256: Sha256::digest(list).into(),
            content: RegisterContent::List(RegisterLines {
                covers: None,
                default_country: None,
                column: None,
            }),
            accept_shrunk: false,
            accept_older: false,
            accept_rejected: false,
            validate_only: false,
        }
    }

    async fn import(
        gate: &Gate,
        ask: &Ask,
        new: NewRegister,
        list: &str,
    ) -> Result<RegisterImport, GateError> {
        let (sender, content) = mpsc::channel(2);
        let pieces: Vec<Vec<u8>> = list.as_bytes().chunks(7).map(<[u8]>::to_vec).collect();
        let sent = async move {
            for piece in pieces {
                if sender.send(piece).await.is_err() {
                    break;
                }
            }
        };
        let (import, ()) = tokio::join!(gate.import_register(ask, new, content), sent);
        import
    }

    async fn load(bench: &Bench, as_of: &str, list: &str) -> Result<RegisterImport, GateError> {
        import(&bench.gate, &bench.ask("admin"), new(as_of, list), list).await
    }

    fn refusal(told: Result<RegisterImport, GateError>) -> RegisterRefusal {
        match told {
            Err(GateError::Register(refusal)) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// A consumer in Georgia of whose number nobody was asked.
    async fn somebody(bench: &Bench, number: &str) {
        let draft = ContactDraft {
            party_id: None,
            profile: Profile {
                audience: Some(Audience::Consumer),
                location: Some(Location {
                    country: Some("US".to_owned()),
                    region: Some("US-GA".to_owned()),
                    ..Location::default()
                }),
                ..Profile::default()
            },
            numbers: vec![PartyNumber {
                number: phone(number),
                line_type: LineType::Landline,
                registers: Vec::new(),
                reassigned_check: None,
            }],
            etag: None,
            mask: None,
        };
        let ask = bench.ask("admin");
        bench.gate.upsert_contact(&ask, draft).await.unwrap();
    }

    /// Whether the national register's rule denies.
    fn denies(decision: &Decision) -> bool {
        let denied_by = &decision.judgement.denied_by;
        denied_by.iter().any(|rule| rule == "US-national-dnc")
    }

    fn file(bench: &Bench, snapshot: &RegisterSnapshot) -> PathBuf {
        let name = format!("{}.register", snapshot.sha256);
        bench.store.registry().folder.join(name)
    }

    pub async fn p06_a_register_is_asked_by_its_snapshot(bench: Bench) {
        for number in [LISTED, CLEAR, ELSEWHERE] {
            somebody(&bench, number).await;
            let decision = bench.gate.check(bench.request(number)).await.unwrap();
            assert!(denies(&decision), "nobody was asked");
        }
        let loaded = load(&bench, CURRENT, LIST).await.unwrap();
        assert_eq!(loaded.snapshot.numbers, 3);
        assert_eq!(loaded.snapshot.covers, "1404");
        // An area code that the list does not have is not clear: nobody was asked about it.
        let name = format!(
            "snapshot={}",
            RegisterSnapshot::name_of(&loaded.snapshot.sha256)
        );
        for (number, denied, named) in [
            (LISTED, true, true),
            (CLEAR, false, true),
            (ELSEWHERE, true, false),
        ] {
            let decision = bench.gate.check(bench.request(number)).await.unwrap();
            assert_eq!(denies(&decision), denied, "{number}");
            let rules = &decision.judgement.rules;
            let rule = rules.iter().find(|each| each.rule == "US-national-dnc");
            let evidence = &rule.unwrap().evidence;
            assert_eq!(evidence.iter().any(|each| *each == name), named, "{number}");
        }
        // Nobody has to look: the list grows old by itself.
        bench
            .clock
            .advance(std::time::Duration::from_hours(24 * 40));
        let decision = bench.gate.check(bench.request(CLEAR)).await.unwrap();
        assert!(denies(&decision));
    }

    pub async fn a_snapshot_is_checked_before_it_decides(bench: Bench) {
        let first = load(&bench, CURRENT, LIST).await.unwrap().snapshot;
        let in_force = async || {
            let mut tx = bench.store.read().await;
            let tenant = Default::default();
            tx.registers_in_force(&tenant).await.unwrap()
        };
        let ask = bench.ask("admin");
        let with = |change: &dyn Fn(&mut NewRegister), list: &str| {
            let mut new = new(CURRENT, list);
            change(&mut new);
            new
        };
        // The end of it got lost on the way.
        let told = import(&bench.gate, &ask, new(CURRENT, LIST), &LIST[..20]).await;
        assert!(matches!(refusal(told), RegisterRefusal::ContentMismatch));
        let told = load(&bench, CURRENT, "404,5550141\n").await;
        assert!(matches!(
            refusal(told),
            RegisterRefusal::Shrank {
                numbers: 1,
                before: 3,
                ..
            }
        ));
        let told = load(&bench, "2026-11-16", LIST).await;
        assert!(matches!(refusal(told), RegisterRefusal::Older { .. }));
        let told = load(&bench, "2026-11-20", LIST).await;
        assert!(matches!(told, Err(GateError::Invalid { field, .. }) if field == "as_of_date"));
        let unknown = with(&|new| new.register = "us-nowhere".to_owned(), LIST);
        let told = import(&bench.gate, &ask, unknown, LIST).await;
        assert!(matches!(
            told,
            Err(GateError::NotFound { what: "register" })
        ));
        // A snapshot's file it is not.
        let snapshot = RegisterContent::Snapshot {
            rows_read: 3,
            rows_rejected: 0,
        };
        let wrong = with(&|new| new.content = snapshot.clone(), LIST);
        let told = import(&bench.gate, &ask, wrong, LIST).await;
        assert!(matches!(refusal(told), RegisterRefusal::Unreadable(_)));
        // Whoever stood on the fourth line would count as not listed.
        let list = "404,5550141\n404,5550142\n404,5550143\nx\n";
        let trial = with(&|new| new.validate_only = true, list);
        let told = import(&bench.gate, &ask, trial.clone(), list).await;
        let told = refusal(told);
        assert!(matches!(
            told,
            RegisterRefusal::Rejected {
                lines: 4,
                rejected: 1,
                percent: 1
            }
        ));
        let trial = NewRegister {
            accept_rejected: true,
            ..trial
        };
        let would = import(&bench.gate, &ask, trial, list).await.unwrap();
        let diff = would.diff.unwrap();
        assert_eq!((diff.added, diff.removed), (2, 2));
        assert_eq!(would.before.as_ref(), Some(&first));
        assert_eq!(
            (would.snapshot.rows_read, would.snapshot.rows_rejected),
            (4, 1)
        );
        assert_eq!(would.rejects[0].line, 4);
        assert_eq!(
            in_force().await,
            std::slice::from_ref(&first),
            "none of it changed anything"
        );

        let shrunk = with(&|new| new.accept_shrunk = true, "404,5550141\n");
        let told = import(&bench.gate, &bench.ask("admin"), shrunk, "404,5550141\n").await;
        assert_eq!(told.unwrap().snapshot.position, 2);
        let older = NewRegister {
            accept_older: true,
            ..new("2026-11-16", LIST)
        };
        let ask = bench.ask("admin");
        let made = import(&bench.gate, &ask, older.clone(), LIST)
            .await
            .unwrap();
        assert_eq!(in_force().await, std::slice::from_ref(&made.snapshot));
        // The same request again, and the same list again.
        let again = import(&bench.gate, &ask, older.clone(), LIST)
            .await
            .unwrap();
        assert_eq!(again.snapshot, made.snapshot);
        let same = import(&bench.gate, &bench.ask("admin"), older, LIST)
            .await
            .unwrap();
        assert_eq!(same.snapshot, made.snapshot);
        let leftovers = std::fs::read_dir(bench.store.registry().folder).unwrap();
        assert_eq!(
            leftovers.count(),
            3,
            "three snapshots and nothing beside them"
        );
    }

    pub async fn changes_make_another_snapshot(bench: Bench) {
        let lines = RegisterLines {
            covers: None,
            default_country: None,
            column: None,
        };
        let list = "404,5550142,2026-11-18 07:30:00,A\n404,5550141,2026-11-18 07:30:00,D\n";
        let changes = NewRegister {
            content: RegisterContent::Changes(lines),
            accept_shrunk: true,
            ..new("2026-11-18", list)
        };
        let told = import(&bench.gate, &bench.ask("admin"), changes.clone(), list).await;
        assert!(matches!(refusal(told), RegisterRefusal::Empty));
        load(&bench, CURRENT, LIST).await.unwrap();
        for number in [LISTED, CLEAR] {
            somebody(&bench, number).await;
        }
        let made = import(&bench.gate, &bench.ask("admin"), changes, list)
            .await
            .unwrap();
        assert_eq!(made.snapshot.numbers, 3);
        assert_eq!(made.snapshot.covers, "1404");
        for (number, denied) in [(LISTED, false), (CLEAR, true)] {
            let decision = bench.gate.check(bench.request(number)).await.unwrap();
            assert_eq!(denies(&decision), denied, "{number}");
        }
    }

    pub async fn p06_a_node_brings_what_it_lacks_and_denies_what_it_cannot_read(bench: Bench) {
        let snapshot = load(&bench, CURRENT, LIST).await.unwrap().snapshot;
        somebody(&bench, CLEAR).await;
        let path = file(&bench, &snapshot);
        let node = async || {
            let node = bench.again(vec![campaign("us", "US", "seller")]);
            node.settle().await.unwrap();
            node.look_at_registers().await.unwrap();
            let decision = node.check(bench.request(CLEAR)).await.unwrap();
            let loaded = node
                .registers(&Default::default(), bench.now())
                .await
                .unwrap();
            let loaded = loaded
                .iter()
                .find(|each| each.register == "us-dnc")
                .unwrap()
                .loaded;
            (denies(&decision), loaded)
        };
        let (allow, deny) = ((false, true), (true, false));
        assert_eq!(node().await, allow);
        // Another machine; and a file that is damaged there.
        std::fs::remove_file(&path).unwrap();
        assert_eq!(node().await, allow);
        damage(&path);
        assert_eq!(node().await, allow);
        // Nor has the store a sound one.
        damage(&path);
        let folder = bench.store.registry().folder;
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&folder, "in the way").unwrap();
        let node_without = bench.again(vec![campaign("us", "US", "seller")]);
        node_without.settle().await.unwrap();
        let told = node_without.look_at_registers().await;
        assert!(told.is_err(), "a node that cannot write its folder says so");
        let decision = node_without.check(bench.request(CLEAR)).await.unwrap();
        assert!(denies(&decision));
        std::fs::remove_file(&folder).unwrap();
        let spoil = "UPDATE register_pieces SET position = 7";
        bench.store.change(spoil, &[]).await;
        assert_eq!(node().await, deny);
        let decision = bench.gate.check(bench.request(CLEAR)).await.unwrap();
        assert!(!denies(&decision), "the node that holds it goes on");
        load(&bench, "2026-11-18", LIST).await.unwrap();
        assert_eq!(node().await, allow);
    }

    fn damage(path: &Path) {
        let mut bytes = std::fs::read(path).unwrap();
        let last = bytes.last_mut().unwrap();
        *last ^= 1;
        std::fs::write(path, bytes).unwrap();
    }

    pub async fn p06_a_list_without_a_number_clears_nobody(bench: Bench) {
        somebody(&bench, CLEAR).await;
        let denied = async || denies(&bench.gate.check(bench.request(CLEAR)).await.unwrap());
        let accepting = |list: &str| NewRegister {
            accept_shrunk: true,
            accept_older: true,
            ..new(CURRENT, list)
        };
        for list in ["", "\n", "area code,number\n", "n/a\nnonsense\n"] {
            let told = import(&bench.gate, &bench.ask("admin"), accepting(list), list).await;
            let told = refusal(told);
            assert!(
                matches!(told, RegisterRefusal::NoNumbers { .. }),
                "{list}: {told:?}"
            );
            assert!(denied().await, "{list}");
        }
        load(&bench, CURRENT, LIST).await.unwrap();
        assert!(!denied().await);
        // Nor do changes that leave nothing, or a snapshot that was made of nothing.
        let all_go = LIST.replace('\n', ",D\n");
        let changes = NewRegister {
            content: RegisterContent::Changes(RegisterLines {
                covers: None,
                default_country: None,
                column: None,
            }),
            ..accepting(&all_go)
        };
        let told = import(&bench.gate, &bench.ask("admin"), changes, &all_go).await;
        assert!(matches!(
            refusal(told),
            RegisterRefusal::NoNumbers { lines: 3, .. }
        ));
    }

    pub async fn p06_changes_that_nobody_understands_move_no_date(bench: Bench) {
        load(&bench, CURRENT, LIST).await.unwrap();
        let change = async |list: &str| {
            let new = NewRegister {
                content: RegisterContent::Changes(RegisterLines {
                    covers: None,
                    default_country: None,
                    column: None,
                }),
                ..new("2026-11-18", list)
            };
            import(&bench.gate, &bench.ask("admin"), new, list).await
        };
        let told = refusal(change("# marks\n404,5550197\n404,5550196,?\n").await);
        let RegisterRefusal::NoChanges {
            lines: 3,
            rejected: 2,
            line: 2,
            problem,
        } = told
        else {
            panic!("{told:?}")
        };
        assert!(problem.contains("no mark"), "{problem}");
        let in_force = async || {
            let mut tx = bench.store.read().await;
            let found = tx.registers_in_force(&TenantId::default()).await.unwrap();
            found[0].as_of.to_string()
        };
        assert_eq!(in_force().await, CURRENT);
        // One in a hundred may be beyond understanding; and a day on which nothing happened is a day.
        let told = refusal(change("404,5550197,A\n404,5550196,?\n").await);
        assert!(matches!(told, RegisterRefusal::Rejected { .. }), "{told}");
        assert_eq!(in_force().await, CURRENT);
        let marks: String = (0..99)
            .map(|line| format!("404,55501{line:02},A\n"))
            .collect();
        let done = change(&format!("{marks}404,5550196,?\n")).await.unwrap();
        assert_eq!((done.rejects.len(), done.snapshot.rows_rejected), (1, 1));
        assert_eq!(in_force().await, "2026-11-18");
    }

    async fn differ(
        bench: &Bench,
        before: Option<SnapshotId>,
        after: Option<SnapshotId>,
    ) -> Result<RegisterDiff, GateError> {
        let tenant = TenantId::default();
        let gate = &bench.gate;
        gate.diff_register(&tenant, "us-dnc", before, after).await
    }

    pub async fn snapshots_tell_how_they_differ(bench: Bench) {
        let nothing = async |said: &str| {
            let told = differ(&bench, None, None).await.unwrap_err();
            let GateError::Register(RegisterRefusal::NoSnapshot(why)) = told else {
                panic!("{told:?}")
            };
            assert!(why.contains(said), "{why}");
        };
        nothing("no list of this register was loaded").await;
        let tenant = TenantId::default();
        let unknown = bench.gate.diff_register(&tenant, "moon", None, None).await;
        assert!(matches!(
            unknown,
            Err(GateError::NotFound { what: "register" })
        ));
        let first = load(&bench, CURRENT, LIST).await.unwrap().snapshot;
        nothing("none before it").await;
        let list = "404,5550141\n404,5550199\n404,5550142\n770,5550143\n";
        let second = load(&bench, "2026-11-18", list).await.unwrap().snapshot;
        let diff = differ(&bench, None, None);
        let diff = diff.await.unwrap();
        assert_eq!((&diff.before, &diff.after), (&first, &second));
        assert_eq!((diff.all.added, diff.all.removed), (2, 1));
        assert_eq!(
            diff.prefixes,
            [("1404".to_owned(), 1, 1), ("1770".to_owned(), 1, 0)]
        );
        let ids = (Some(second.snapshot_id), Some(first.snapshot_id));
        let back = differ(&bench, ids.0, ids.1);
        assert_eq!(back.await.unwrap().all.added, 1);
    }
}
