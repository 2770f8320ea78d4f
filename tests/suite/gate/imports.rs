//! Lists of opt-outs: each row is a barrier as a single opt-out is (P-03), and none is lost or weakened, whatever becomes of
//! the sending.

use super::on_both;

on_both! {
    p03_an_import_is_acknowledged_after_its_full_wait,
    p03_a_row_follows_whoever_holds_its_number,
    p03_a_row_follows_whoever_is_given_its_number_during_the_wait,
    p03_a_row_about_an_account_binds_who_joins_meanwhile,
    p03_a_row_comes_after_a_consent_that_clocks_cannot_tell_to_be_newer,
    p03_a_sending_that_died_before_its_acknowledgement_is_waited_for_anew,
    p03_a_list_sent_again_goes_on_where_it_broke_off,
    p03_of_two_sendings_at_once_the_later_goes_on,
    a_finished_list_sent_again_finds_what_stands,
    the_very_request_is_answered_as_the_first_time,
    p03_a_list_without_times_says_anew_what_was_lifted,
    a_lift_outlasts_its_own_wish_told_again_with_its_time,
    a_lift_of_a_narrower_wish_lets_a_wider_one_come,
    p03_a_list_sent_again_after_a_consent_binds_again,
    a_row_is_recorded_once_the_cause_of_its_reject_is_gone,
    read_in_another_way_it_is_another_list,
    a_list_that_is_not_what_was_announced_fails_and_keeps_what_it_recorded,
    a_sending_of_another_list_under_the_same_hash_loses_no_row,
    a_trial_tells_all_and_records_nothing,
    each_row_is_answered_on_its_own,
    who_does_not_listen_holds_up_nothing,
    a_row_may_be_about_a_person,
    what_was_lifted_is_not_recorded_again_by_a_repeated_sending,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::account::Account;
    use dialgate::domain::call::Purpose;
    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::{ImportId, TenantId};
    use dialgate::domain::import::{
        Import, ImportCounts, ImportKind, ImportReject, ImportState, RejectReason,
    };
    use dialgate::domain::suppression::{Suppression, SuppressionReason, SuppressionSource};
    use dialgate::gate::{
        Ask, BARRIER_WAIT, Gate, GateError, ImportNews, ImportPiece, ListEncoding, ListForm,
        ListRows, ListSettings, NewImport, Packing, SuppressionColumns, SuppressionDefaults,
        SuppressionRows,
    };
    use dialgate::store::{ListQuery, PartyDraft};
    use sha2::{Digest as _, Sha256};
    use tokio::sync::mpsc;
    use tokio::task::JoinHandle;

    use crate::gate::bench::{Bench, campaign, phone};
    use crate::support::builders::tenant;

    const ANNA: &str = "+14045550141";
    const BETH: &str = "+14045550142";
    const SOON: Duration = Duration::from_secs(20);
    const A_WHILE: Duration = Duration::from_millis(300);

    fn settings() -> ListSettings {
        ListSettings {
            packing: Packing::Detected,
            encoding: ListEncoding::Detected,
            form: ListForm::Lines,
            has_header: false,
            default_country: Some("US".to_owned()),
        }
    }

    fn rows() -> SuppressionRows {
        SuppressionRows {
            columns: SuppressionColumns::default(),
            defaults: SuppressionDefaults {
                seller: None,
                channels: Vec::new(),
                purposes: Vec::new(),
                reason: SuppressionReason::PartyRequest,
                source: SuppressionSource::Import,
                received_at: None,
                evidence_ref: None,
                note: None,
            },
        }
    }

    fn list(text: &str) -> NewImport {
        NewImport {
            content_sha256: Sha256::digest(text.as_bytes()).into(),
            size_bytes: text.len() as u64,
            settings_sha256: [5; 32],
            settings: settings(),
            rows: ListRows::Suppressions(Box::new(rows())),
        }
    }

    /// The same list, whose rows mean something else.
    fn meaning(new: NewImport, change: impl FnOnce(&mut SuppressionRows)) -> NewImport {
        let mut rows = rows();
        change(&mut rows);
        NewImport {
            rows: ListRows::Suppressions(Box::new(rows)),
            ..new
        }
    }

    /// Numbers of strangers, one a line.
    fn strangers(count: usize) -> String {
        (0..count)
            .map(|n| format!("+1404{:07}\n", 2_000_000 + n))
            .collect()
    }

    type Ended = Result<Import, GateError>;

    /// A list under way.
    struct Sending {
        pieces: Option<mpsc::Sender<ImportPiece>>,
        news: mpsc::Receiver<ImportNews>,
        task: JoinHandle<Ended>,
    }

    impl Sending {
        fn begin(gate: &Gate, ask: Ask, new: NewImport) -> Self {
            let (pieces, received) = mpsc::channel(4);
            let (tell, news) = mpsc::channel(4096);
            let gate = gate.clone();
            let task = tokio::spawn(async move { gate.import(&ask, new, received, tell).await });
            Self {
                pieces: Some(pieces),
                news,
                task,
            }
        }

        fn whole(bench: &Bench, text: &str) -> Self {
            let mut sending = Self::begin(&bench.gate, bench.ask("admin"), list(text));
            sending.feed(text);
            sending
        }

        /// Sends all of it, in the background.
        fn feed(&mut self, text: &str) {
            let (pieces, text) = (self.pieces.take().unwrap(), text.as_bytes().to_vec());
            tokio::spawn(async move {
                for piece in text.chunks(1000) {
                    if pieces
                        .send(ImportPiece::Bytes(piece.to_vec()))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
                drop(pieces.send(ImportPiece::End).await);
            });
        }

        async fn next(&mut self) -> ImportNews {
            tokio::time::timeout(SOON, self.news.recv())
                .await
                .unwrap()
                .unwrap()
        }

        /// Until so many rows are recorded; tells how many of them are acknowledged.
        async fn recorded(&mut self, rows: i64) -> i64 {
            loop {
                match self.next().await {
                    ImportNews::Progress(told) if told.counts.read >= rows => {
                        return told.acknowledged_rows;
                    }
                    _ => {}
                }
            }
        }

        async fn end(self) -> Ended {
            tokio::time::timeout(SOON, self.task)
                .await
                .unwrap()
                .unwrap()
        }

        /// Whether it is still under way after a while.
        async fn is_waiting(&self) -> bool {
            for _ in 0..A_WHILE.as_millis() / 10 {
                if self.task.is_finished() {
                    return false;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            true
        }
    }

    /// Sends a list and lets its time pass.
    async fn import(bench: &Bench, text: &str, new: NewImport) -> Ended {
        let mut sending = Sending::begin(&bench.gate, bench.ask("admin"), new);
        sending.feed(text);
        while sending.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        sending.end().await
    }

    async fn standing(bench: &Bench, number: &str) -> Vec<Suppression> {
        let key = bench.store.key(phone(number));
        let mut tx = bench.store.read().await;
        let found = tx
            .covering(&TenantId::default(), &[key], None, bench.now())
            .await;
        found
            .unwrap()
            .into_iter()
            .map(|(_, suppression)| suppression)
            .collect()
    }

    async fn created(bench: &Bench) -> usize {
        let kinds = bench.audit().await;
        kinds
            .iter()
            .filter(|kind| *kind == "suppression.created")
            .count()
    }

    async fn rejects(bench: &Bench, id: ImportId) -> Vec<ImportReject> {
        let all = ListQuery {
            filter: Filter::Everything,
            page_size: 1000,
            after: None,
        };
        let mut tx = bench.store.read().await;
        tx.import_rejects(&TenantId::default(), id, &all)
            .await
            .unwrap()
            .rows
    }

    fn counts(read: i64, created: i64, repeated: i64, rejected: i64) -> ImportCounts {
        ImportCounts {
            read,
            created,
            repeated,
            rejected,
        }
    }

    pub async fn p03_an_import_is_acknowledged_after_its_full_wait(bench: Bench) {
        bench.callable(ANNA).await;
        let (_, permit, _) = bench.claimed(ANNA).await;
        let mut sending = Sending::whole(&bench, &format!("{ANNA}\n{}", strangers(600)));
        assert_eq!(sending.recorded(601).await, 0);
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"],
            "it takes effect as it is recorded"
        );
        assert!(
            permit.check(bench.gate.read()).is_ok(),
            "an older claim may still dial"
        );
        bench.clock.advance(BARRIER_WAIT - Duration::from_millis(2));
        assert!(sending.is_waiting().await);
        while let Ok(news) = sending.news.try_recv() {
            assert!(!matches!(news, ImportNews::Progress(told) if told.acknowledged_rows > 0));
        }
        assert!(
            permit.check(bench.gate.read()).is_err(),
            "its permit is over before the acknowledgement"
        );
        bench.clock.advance(Duration::from_millis(2));
        let ended = sending.end().await.unwrap();
        assert_eq!(ended.state, ImportState::Finished);
        assert_eq!(
            (ended.counts, ended.acknowledged_rows),
            (counts(601, 601, 0, 0), 601)
        );
        assert_eq!(created(&bench).await, 601);
        let kinds = bench.audit().await;
        assert!(kinds.contains(&"suppression.import_started".to_owned()));
        assert_eq!(kinds.last().unwrap(), "suppression.import_finished");
    }

    pub async fn p03_a_row_follows_whoever_holds_its_number(bench: Bench) {
        bench.contact(&[ANNA, BETH], "US-GA").await.unwrap();
        let ended = import(&bench, ANNA, list(ANNA)).await.unwrap();
        assert_eq!(ended.counts, counts(1, 1, 0, 0));
        assert_eq!(
            bench.place(BETH).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
    }

    pub async fn p03_a_row_follows_whoever_is_given_its_number_during_the_wait(bench: Bench) {
        let mut sending = Sending::whole(&bench, ANNA);
        sending.recorded(1).await;
        bench.contact(&[ANNA, BETH], "US-GA").await.unwrap();
        bench.clock.advance(BARRIER_WAIT);
        sending.end().await.unwrap();
        // They give the number up after it; the wish stays theirs.
        assert_eq!(standing(&bench, BETH).await.len(), 1);
        assert_eq!(
            bench.place(BETH).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
    }

    /// As for a single opt-out: whoever joins while the row waits is bound by it, and their doubtful consent too.
    pub async fn p03_a_row_about_an_account_binds_who_joins_meanwhile(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let text = "company,for\nACME,sales\n";
        let mut new = list(text);
        new.settings.form = ListForm::Columns(None);
        new.settings.has_header = true;
        let columns = |rows: &mut SuppressionRows| {
            rows.columns.account = Some("company".to_owned());
            rows.columns.purposes = Some("for".to_owned());
        };
        let new = meaning(new, columns);
        let mut sending = Sending::begin(&bench.gate, bench.ask("admin"), new.clone());
        sending.feed(text);
        sending.recorded(1).await;
        let mut draft = PartyDraft {
            party_id: anna.party_id,
            profile: anna.profile,
            numbers: anna.numbers,
        };
        draft.profile.account = Some(Account::parse("ACME").unwrap());
        let mut tx = bench.store.write().await;
        tx.upsert_party(&tenant(), &draft, bench.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        bench.clock.advance(BARRIER_WAIT);
        assert_eq!(sending.end().await.unwrap().counts, counts(1, 1, 0, 0));
        let standing = standing(&bench, ANNA).await;
        assert_eq!(standing[0].purposes, [Purpose::Sales]);
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc", "OPERATOR-block-account"]
        );
        // Tried under other settings: the wish of the time at which it was said is there.
        let mut tried = meaning(new, |rows| {
            columns(rows);
            rows.defaults.received_at = Some(standing[0].received_at);
        });
        tried.settings_sha256 = [9; 32];
        let ended = import(&bench, text, tried).await.unwrap();
        assert_eq!(ended.counts, counts(1, 0, 1, 0));
    }

    pub async fn p03_a_row_comes_after_a_consent_that_clocks_cannot_tell_to_be_newer(bench: Bench) {
        bench.callable(ANNA).await;
        let given = bench.consent(ANNA, ConsentAction::Given);
        let given = bench
            .gate
            .record_consent(&bench.ask("admin"), given)
            .await
            .unwrap();
        let minute = Duration::from_secs(60);
        let said = |at| move |rows: &mut SuppressionRows| rows.defaults.received_at = Some(at);
        let new = meaning(list(ANNA), said(given.at.minus(minute)));
        import(&bench, ANNA, new).await.unwrap();
        assert_eq!(
            standing(&bench, ANNA).await[0].received_at,
            given.at,
            "in doubt the wish wins"
        );
        // One that was said an hour before is older for certain, and what is on record says more.
        let mut older = meaning(list(ANNA), said(given.at.minus(60 * minute)));
        older.settings_sha256 = [6; 32];
        let ended = import(&bench, ANNA, older).await.unwrap();
        assert_eq!(ended.counts, counts(1, 0, 1, 0));
    }

    pub async fn p03_a_sending_that_died_before_its_acknowledgement_is_waited_for_anew(
        bench: Bench,
    ) {
        bench.callable(ANNA).await;
        let text = format!("{ANNA}\n{}", strangers(700));
        let mut sending = Sending::whole(&bench, &text);
        sending.recorded(701).await;
        sending.task.abort();
        assert!(sending.task.await.is_err());
        // Long after, on another node: nobody knows how long ago that commit was, for it tells nobody the time.
        let node = bench.again(vec![campaign("us", "US", "seller")]);
        let mut again = Sending::begin(&node, bench.ask("admin"), list(&text));
        let ImportNews::Started(import) = again.next().await else {
            panic!("how it stands comes first")
        };
        assert_eq!((import.counts.read, import.acknowledged_rows), (701, 0));
        again.feed(&text);
        assert!(
            again.is_waiting().await,
            "nothing of the first sending's wait counts"
        );
        while let Ok(news) = again.news.try_recv() {
            assert!(!matches!(news, ImportNews::Progress(told) if told.acknowledged_rows > 0));
        }
        while again.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        let ended = again.end().await.unwrap();
        assert_eq!(
            (ended.counts, ended.acknowledged_rows),
            (counts(701, 701, 0, 0), 701)
        );
        assert_eq!(created(&bench).await, 701, "no row twice");
    }

    pub async fn p03_a_list_sent_again_goes_on_where_it_broke_off(bench: Bench) {
        let text = strangers(900);
        let mut sending = Sending::begin(&bench.gate, bench.ask("admin"), list(&text));
        let pieces = sending.pieces.take().unwrap();
        let half = text.as_bytes()[..text.len() * 6 / 10].to_vec();
        pieces.send(ImportPiece::Bytes(half)).await.unwrap();
        sending.recorded(256).await;
        drop(pieces);
        while sending.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        let broken = sending.end().await.unwrap_err();
        assert!(matches!(broken, GateError::ImportBrokenOff), "{broken:?}");
        let mut again = Sending::whole(&bench, &text);
        let ImportNews::Started(import) = again.next().await else {
            panic!("how it stands comes first")
        };
        let before = import.counts.read;
        assert_eq!(import.acknowledged_rows, before);
        assert!((256..540).contains(&before), "{before} rows were whole");
        again.recorded(900).await;
        bench.clock.advance(BARRIER_WAIT);
        assert_eq!(again.end().await.unwrap().counts, counts(900, 900, 0, 0));
        assert_eq!(created(&bench).await, 900);
        assert!(
            bench
                .audit()
                .await
                .contains(&"suppression.import_resumed".to_owned())
        );
    }

    pub async fn p03_of_two_sendings_at_once_the_later_goes_on(bench: Bench) {
        let text = strangers(900);
        let node = bench.again(vec![campaign("us", "US", "seller")]);
        let mut first = Sending::begin(&bench.gate, bench.ask("admin"), list(&text));
        let pieces = first.pieces.take().unwrap();
        let half = text.as_bytes()[..text.len() / 2].to_vec();
        pieces.send(ImportPiece::Bytes(half)).await.unwrap();
        first.recorded(256).await;
        let mut second = Sending::begin(&node, bench.ask("admin"), list(&text));
        let ImportNews::Started(_) = second.next().await else {
            panic!("how it stands comes first")
        };
        let rest = text.as_bytes()[text.len() / 2..].to_vec();
        drop(pieces.send(ImportPiece::Bytes(rest)).await);
        let stopped = first.end().await.unwrap_err();
        assert!(matches!(stopped, GateError::ImportTaken), "{stopped:?}");
        second.feed(&text);
        while second.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        assert_eq!(second.end().await.unwrap().counts, counts(900, 900, 0, 0));
        assert_eq!(created(&bench).await, 900);
    }

    /// What would become of it, by a trial that must say what an import then does.
    async fn tried(gate: &Gate, bench: &Bench, text: &str, new: NewImport) -> ImportCounts {
        let (pieces, received) = mpsc::channel(4);
        let (tell, _news) = mpsc::channel(64);
        let piece = ImportPiece::Bytes(text.as_bytes().to_vec());
        pieces.send(piece).await.unwrap();
        pieces.send(ImportPiece::End).await.unwrap();
        let ask = bench.ask("admin");
        let tried = gate.try_import(&ask, new, received, tell).await;
        tried.unwrap().counts
    }

    pub async fn a_finished_list_sent_again_finds_what_stands(bench: Bench) {
        bench.callable(BETH).await;
        let text = format!("{ANNA}\n{ANNA}\n{BETH}\nnonsense\n");
        let first = import(&bench, &text, list(&text)).await.unwrap();
        assert_eq!(first.counts, counts(4, 2, 1, 1));
        let again = counts(4, 0, 3, 1);
        for _ in 0..2 {
            assert_eq!(
                tried(&bench.gate, &bench, &text, list(&text)).await,
                again,
                "its rows name no time: all of them had been said when it first came"
            );
            let ended = import(&bench, &text, list(&text)).await.unwrap();
            assert_eq!((ended.state, ended.counts), (ImportState::Finished, again));
            assert_ne!(ended.import_id, first.import_id);
            assert_eq!(
                rejects(&bench, ended.import_id).await,
                rejects(&bench, first.import_id).await
            );
        }
        assert_eq!(created(&bench).await, 2);
        // Another list that says the same says it now: of when its rows were said nobody knows anything.
        let other = format!("{text}\n");
        let ended = import(&bench, &other, list(&other)).await.unwrap();
        assert_eq!(ended.counts, counts(4, 2, 1, 1));
    }

    pub async fn the_very_request_is_answered_as_the_first_time(bench: Bench) {
        let ask = bench.ask("admin");
        let mut first = Sending::begin(&bench.gate, ask.clone(), list(ANNA));
        first.feed(ANNA);
        while first.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        let first = first.end().await.unwrap();
        bench
            .lift(standing(&bench, ANNA).await[0].suppression_id)
            .await;
        let again = Sending::begin(&bench.gate, ask.clone(), list(ANNA));
        assert_eq!(again.end().await.unwrap(), first);
        assert!(standing(&bench, ANNA).await.is_empty());
        // One that failed, too.
        let ask = bench.ask("admin");
        let mut other = Sending::begin(&bench.gate, ask.clone(), list(BETH));
        other.feed(ANNA);
        while other.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        let failed = other.end().await.unwrap();
        assert_eq!(failed.state, ImportState::Failed);
        let again = Sending::begin(&bench.gate, ask, list(BETH));
        assert_eq!(again.end().await.unwrap(), failed);
    }

    pub async fn p03_a_list_without_times_says_anew_what_was_lifted(bench: Bench) {
        bench.callable(BETH).await;
        let text = format!("{ANNA}\n{BETH}\n{}", strangers(3));
        import(&bench, &text, list(&text)).await.unwrap();
        for number in [ANNA, BETH] {
            bench
                .lift(standing(&bench, number).await[0].suppression_id)
                .await;
            assert!(standing(&bench, number).await.is_empty());
        }
        let lifted = bench.now();
        let again = counts(5, 2, 3, 0);
        assert_eq!(tried(&bench.gate, &bench, &text, list(&text)).await, again);
        let ended = import(&bench, &text, list(&text)).await.unwrap();
        assert_eq!(ended.counts, again);
        for number in [ANNA, BETH] {
            let anew = standing(&bench, number).await;
            assert_eq!(anew.len(), 1);
            assert!(anew[0].received_at > lifted, "it is said now");
        }
        assert_eq!(
            bench.place(BETH).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
    }

    /// The lift named a permission that is newer than the wish; a list that says when that was said brings nothing newer.
    pub async fn a_lift_outlasts_its_own_wish_told_again_with_its_time(bench: Bench) {
        bench.callable(BETH).await;
        let said = bench.now().minus(Duration::from_secs(9 * 86_400));
        let dated =
            |text: &str, at| meaning(list(text), |rows| rows.defaults.received_at = Some(at));
        let text = format!("{ANNA}\n{BETH}\n{}", strangers(1));
        import(&bench, &text, dated(&text, said)).await.unwrap();
        for number in [ANNA, BETH] {
            bench
                .lift(standing(&bench, number).await[0].suppression_id)
                .await;
        }
        // The same list; another one with the same time; one whose time is earlier.
        for (more, at) in [
            ("", said),
            ("\n", said),
            ("", said.minus(Duration::from_secs(1))),
        ] {
            let text = format!("{text}{more}");
            let again = counts(3, 0, 1, 2);
            assert_eq!(
                tried(&bench.gate, &bench, &text, dated(&text, at)).await,
                again
            );
            let ended = import(&bench, &text, dated(&text, at)).await.unwrap();
            assert_eq!(ended.counts, again);
            let told = rejects(&bench, ended.import_id).await;
            assert!(told.iter().all(|each| each.reason == RejectReason::Lifted));
            assert_eq!(told.len(), 2, "and nobody is told that it is in force");
        }
        assert!(standing(&bench, BETH).await.is_empty());
        // A later wish is none that anybody lifted, be it older than the permission; nor is one that is wider.
        let later = said.plus(Duration::from_secs(1));
        let again = counts(3, 3, 0, 0);
        assert_eq!(
            tried(&bench.gate, &bench, &text, dated(&text, later)).await,
            again
        );
        let mut new = dated(&text, later);
        new.settings_sha256 = [6; 32];
        assert_eq!(import(&bench, &text, new).await.unwrap().counts, again);
        assert_eq!(standing(&bench, BETH).await[0].received_at, later);
    }

    pub async fn a_lift_of_a_narrower_wish_lets_a_wider_one_come(bench: Bench) {
        let said = bench.now().minus(Duration::from_secs(86_400));
        let narrow = meaning(list(ANNA), |rows| {
            rows.defaults.received_at = Some(said);
            rows.defaults.seller = Some("seller".to_owned());
        });
        import(&bench, ANNA, narrow).await.unwrap();
        bench
            .lift(standing(&bench, ANNA).await[0].suppression_id)
            .await;
        let mut wide = meaning(list(ANNA), |rows| {
            rows.defaults.received_at = Some(said);
        });
        wide.settings_sha256 = [6; 32];
        let ended = import(&bench, ANNA, wide).await.unwrap();
        assert_eq!(ended.counts, counts(1, 1, 0, 0));
    }

    pub async fn p03_a_list_sent_again_after_a_consent_binds_again(bench: Bench) {
        bench.callable(ANNA).await;
        import(&bench, ANNA, list(ANNA)).await.unwrap();
        bench.clock.advance(Duration::from_secs(3600));
        let consent = bench.consent(ANNA, ConsentAction::Given);
        let consent = bench
            .gate
            .record_consent(&bench.ask("admin"), consent)
            .await;
        let consent = consent.unwrap();
        bench.clock.advance(Duration::from_secs(3600));
        let again = counts(1, 1, 0, 0);
        assert_eq!(tried(&bench.gate, &bench, ANNA, list(ANNA)).await, again);
        let ended = import(&bench, ANNA, list(ANNA)).await.unwrap();
        assert_eq!(ended.counts, again);
        let found = standing(&bench, ANNA).await;
        assert_eq!(found.len(), 2);
        assert!(found.iter().any(|each| each.received_at > consent.at));
    }

    pub async fn a_row_is_recorded_once_the_cause_of_its_reject_is_gone(bench: Bench) {
        let text = format!("{ANNA},seller\n{BETH},other\n");
        let new = || {
            let mut new = meaning(list(&text), |rows| {
                rows.columns.number = Some("1".to_owned());
                rows.columns.seller = Some("2".to_owned());
            });
            new.settings.form = ListForm::Columns(None);
            new
        };
        let ended = import(&bench, &text, new()).await.unwrap();
        assert_eq!(ended.counts, counts(2, 1, 0, 1));
        assert_eq!(
            rejects(&bench, ended.import_id).await[0].reason,
            RejectReason::Seller
        );
        let node = bench.again(vec![
            campaign("us", "US", "seller"),
            campaign("two", "US", "other"),
        ]);
        let again = counts(2, 1, 1, 0);
        assert_eq!(tried(&node, &bench, &text, new()).await, again);
        let mut sending = Sending::begin(&node, bench.ask("admin"), new());
        sending.feed(&text);
        while sending.is_waiting().await {
            bench.clock.advance(BARRIER_WAIT);
        }
        assert_eq!(sending.end().await.unwrap().counts, again);
        assert_eq!(standing(&bench, BETH).await.len(), 1);
    }

    pub async fn read_in_another_way_it_is_another_list(bench: Bench) {
        let first = import(&bench, ANNA, list(ANNA)).await.unwrap();
        let mut other = list(ANNA);
        other.settings_sha256 = [6; 32];
        let other = import(&bench, ANNA, other).await.unwrap();
        assert_ne!(other.import_id, first.import_id);
        assert_eq!(other.counts, counts(1, 1, 0, 0));
    }

    pub async fn a_list_that_is_not_what_was_announced_fails_and_keeps_what_it_recorded(
        bench: Bench,
    ) {
        let (sent, meant) = (format!("{ANNA}\n"), format!("{BETH}\n"));
        let ended = import(&bench, &sent, list(&meant)).await.unwrap();
        assert_eq!(ended.state, ImportState::Failed);
        assert!(ended.problem.unwrap().contains("SHA-256"));
        assert_eq!(
            standing(&bench, ANNA).await.len(),
            1,
            "a wish is never taken back"
        );
        assert_eq!(
            bench.audit().await.last().unwrap(),
            "suppression.import_failed"
        );
        let ended = import(&bench, &meant, list(&meant)).await.unwrap();
        assert_eq!(
            (ended.state, ended.counts),
            (ImportState::Finished, counts(1, 1, 0, 0))
        );
        assert_eq!(standing(&bench, BETH).await.len(), 1);
        let longer = format!("{meant}{ANNA}\n");
        let ended = import(
            &bench,
            &longer,
            NewImport {
                size_bytes: 3,
                ..list(&longer)
            },
        )
        .await
        .unwrap();
        assert!(ended.problem.unwrap().contains("more bytes"));
    }

    pub async fn a_sending_of_another_list_under_the_same_hash_loses_no_row(bench: Bench) {
        let text = strangers(600);
        let other = text.replace("+1404", "+1678");
        let mut sending = Sending::begin(&bench.gate, bench.ask("admin"), list(&text));
        let pieces = sending.pieces.take().unwrap();
        let most = other.as_bytes()[..other.len() - 100].to_vec();
        pieces.send(ImportPiece::Bytes(most)).await.unwrap();
        sending.recorded(256).await;
        sending.task.abort();
        drop(pieces);
        let ended = import(&bench, &text, list(&text)).await.unwrap();
        assert_eq!(ended.state, ImportState::Failed);
        assert!(ended.problem.unwrap().contains("once more"));
        let ended = import(&bench, &text, list(&text)).await.unwrap();
        assert_eq!(
            (ended.state, ended.counts),
            (ImportState::Finished, counts(600, 600, 0, 0))
        );
    }

    pub async fn a_trial_tells_all_and_records_nothing(bench: Bench) {
        bench.callable(BETH).await;
        import(&bench, ANNA, list(ANNA)).await.unwrap();
        let before = bench.audit().await;
        let text = format!("{ANNA}\n{BETH}\n404 555 0143\nno\n911\n");
        let (pieces, received) = mpsc::channel(4);
        let (tell, mut news) = mpsc::channel(64);
        pieces
            .send(ImportPiece::Bytes(text.clone().into_bytes()))
            .await
            .unwrap();
        pieces.send(ImportPiece::End).await.unwrap();
        let yesterday = bench.now().minus(Duration::from_secs(86_400));
        let new = meaning(list(&text), |rows| {
            rows.defaults.received_at = Some(yesterday);
        });
        let tried = bench
            .gate
            .try_import(&bench.ask("admin"), new, received, tell)
            .await
            .unwrap();
        assert_eq!(
            (tried.state, tried.counts),
            (ImportState::Finished, counts(5, 2, 1, 2))
        );
        let mut lines = Vec::new();
        while let Ok(told) = news.try_recv() {
            if let ImportNews::Rejected(reject) = told {
                lines.push((reject.line, reject.reason));
            }
        }
        assert_eq!(
            lines,
            [(4, RejectReason::Number), (5, RejectReason::Number)]
        );
        assert_eq!(bench.audit().await, before);
        assert!(standing(&bench, BETH).await.is_empty());
        let all = ListQuery {
            filter: Filter::Everything,
            page_size: 10,
            after: None,
        };
        let mut tx = bench.store.read().await;
        assert_eq!(
            tx.list_imports(&TenantId::default(), ImportKind::Suppressions, &all)
                .await
                .unwrap()
                .rows
                .len(),
            1
        );
    }

    pub async fn each_row_is_answered_on_its_own(bench: Bench) {
        let text = "phone;note\r\n\
                    404 555 0141;\"said \"\"stop\"\"\r\non two lines\"\r\n\
                    \r\n\
                    404 555 0142;\"a stray quote\r\n\
                    404 555 0143;fine\r\n\
                    404 555 0144\r\n\
                    ;\r\n\
                    404 555 0145;caf\u{e9}\r\n\
                    n/a;x";
        let mut new = meaning(list(text), |rows| {
            rows.columns.number = Some("phone".to_owned());
            rows.columns.note = Some("note".to_owned());
        });
        new.settings.form = ListForm::Columns(None);
        new.settings.has_header = true;
        let ended = import(&bench, text, new).await.unwrap();
        assert_eq!(ended.counts, counts(6, 3, 0, 3));
        let told: Vec<_> = rejects(&bench, ended.import_id)
            .await
            .iter()
            .map(|each| (each.line, each.reason))
            .collect();
        assert_eq!(
            told,
            [
                (5, RejectReason::OpenQuote),
                (7, RejectReason::ColumnCount),
                (10, RejectReason::Number)
            ]
        );
        let notes = async |number| standing(&bench, number).await.remove(0).note.unwrap();
        assert_eq!(notes(ANNA).await, "said \"stop\"\non two lines");
        assert_eq!(
            notes("+14045550143").await,
            "fine",
            "a stray quote takes no other row with it"
        );
        assert_eq!(notes("+14045550145").await, "café");
    }

    pub async fn who_does_not_listen_holds_up_nothing(bench: Bench) {
        let text = "nonsense\n".repeat(600) + ANNA;
        let (pieces, received) = mpsc::channel(1);
        let (tell, _news) = mpsc::channel(1);
        let (gate, ask, new) = (bench.gate.clone(), bench.ask("admin"), list(&text));
        let task = tokio::spawn(async move { gate.import(&ask, new, received, tell).await });
        pieces
            .send(ImportPiece::Bytes(text.into_bytes()))
            .await
            .unwrap();
        pieces.send(ImportPiece::End).await.unwrap();
        while !task.is_finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(
                bench
                    .now()
                    .since(crate::gate::bench::at(crate::gate::bench::OPEN))
                    < 240_000_000
            );
            bench.clock.advance(BARRIER_WAIT);
        }
        assert_eq!(standing(&bench, ANNA).await.len(), 1);
    }

    pub async fn a_row_may_be_about_a_person(bench: Bench) {
        let party = bench.callable(ANNA).await;
        let nobody = "0190d5a5-0000-7000-8000-000000000001";
        let text = format!("{}\n{nobody}\n", party.party_id);
        let mut new = meaning(list(&text), |rows| {
            rows.columns.party_id = Some("1".to_owned());
        });
        new.settings.form = ListForm::Columns(None);
        let ended = import(&bench, &text, new).await.unwrap();
        assert_eq!(ended.counts, counts(2, 1, 0, 1));
        assert_eq!(
            rejects(&bench, ended.import_id).await[0].reason,
            RejectReason::Party
        );
        assert_eq!(
            bench.place(ANNA).await.decision.judgement.denied_by,
            ["US-internal-dnc"]
        );
    }

    pub async fn what_was_lifted_is_not_recorded_again_by_a_repeated_sending(bench: Bench) {
        let text = format!("{ANNA}\n{}", strangers(10));
        let mut sending = Sending::whole(&bench, &text);
        sending.recorded(11).await;
        sending.task.abort();
        let id = standing(&bench, ANNA).await[0].suppression_id;
        bench.lift(id).await;
        let ended = import(&bench, &text, list(&text)).await.unwrap();
        assert_eq!(
            (ended.counts, ended.acknowledged_rows),
            (counts(11, 11, 0, 0), 11)
        );
        assert!(
            standing(&bench, ANNA).await.is_empty(),
            "it is the same list"
        );
    }
}
