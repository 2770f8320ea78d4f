//! Lists of consents: each row is what a single act would be, told no sooner and counted no twice, whatever becomes of the sending.

use super::on_both;

on_both! {
    a_list_is_recorded_row_by_row_with_its_entries,
    a_sending_that_broke_off_goes_on_and_no_act_is_told_twice,
    a_finished_list_sent_again_is_judged_by_what_is_on_record_now,
    what_is_on_record_already_is_not_recorded_again,
    each_row_is_judged_by_what_is_on_record,
    acts_of_one_person_in_one_list_see_one_another,
    p03_a_withdrawn_row_stops_a_queued_call,
    a_trial_of_consents_tells_all_and_records_nothing,
    a_list_of_another_hash_fails_and_keeps_what_it_recorded,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::consent::{ConsentAction, ConsentEvent, ConsentForm};
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::{ImportId, PartyId, TenantId};
    use dialgate::domain::import::{Import, ImportCounts, ImportKind, ImportState, RejectReason};
    use dialgate::gate::{
        Claimed, ConsentColumns, ConsentDefaults, ConsentRows, ContactDraft, GateError, ImportNews,
        ImportPiece, ListEncoding, ListForm, ListRows, ListSettings, NewImport, Packing,
    };
    use dialgate::store::ListQuery;
    use sha2::{Digest as _, Sha256};
    use tokio::sync::mpsc;

    use crate::gate::bench::{Bench, phone};
    use crate::support::builders::draft;

    const ANNA: &str = "+14045550141";
    const BETH: &str = "+14045550142";
    const CARL: &str = "+14045550143";
    const HEADER: &str = "number,party_id,action,event_time,form,channels,evidence_ref\n";
    const GIVEN: &str = "2026-11-02T09:15:00Z";

    fn list(text: &str) -> NewImport {
        let named = |name: &str| Some(name.to_owned());
        NewImport {
            content_sha256: Sha256::digest(text.as_bytes()).into(),
            size_bytes: text.len() as u64,
            settings_sha256: [5; 32],
            settings: ListSettings {
                packing: Packing::Detected,
                encoding: ListEncoding::Detected,
                form: ListForm::Columns(Some(',')),
                has_header: true,
                default_country: None,
            },
            rows: ListRows::Consents(Box::new(ConsentRows {
                columns: ConsentColumns {
                    number: named("number"),
                    party_id: named("party_id"),
                    action: named("action"),
                    event_time: named("event_time"),
                    form: named("form"),
                    channels: named("channels"),
                    evidence_ref: named("evidence_ref"),
                    ..ConsentColumns::default()
                },
                defaults: ConsentDefaults {
                    seller: Some("seller".to_owned()),
                    channels: Vec::new(),
                    action: ConsentAction::Given,
                    at: None,
                    form: Some(ConsentForm::Written),
                    explicit: Some(true),
                    documented: None,
                    out_of_hours: None,
                    period: None,
                    initiated_by: None,
                    source: Some("paper".to_owned()),
                    evidence_ref: None,
                    wording_ref: None,
                },
            })),
        }
    }

    type Ended = (Result<Import, GateError>, Vec<(i64, RejectReason)>);

    /// Sends these bytes of a list, and its end if it is whole; tells how it ended and what was rejected. No time passes.
    async fn send(bench: &Bench, new: NewImport, bytes: &[u8], whole: bool, trial: bool) -> Ended {
        let (pieces, received) = mpsc::channel(4);
        let (tell, mut news) = mpsc::channel(4096);
        let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
        let task = tokio::spawn(async move {
            match trial {
                true => gate.try_import(&ask, new, received, tell).await,
                false => gate.import(&ask, new, received, tell).await,
            }
        });
        for piece in bytes.chunks(1000) {
            drop(pieces.send(ImportPiece::Bytes(piece.to_vec())).await);
        }
        if whole {
            drop(pieces.send(ImportPiece::End).await);
        }
        drop(pieces);
        let soon = Duration::from_secs(30);
        let ended = tokio::time::timeout(soon, task).await.unwrap().unwrap();
        let mut rejects = Vec::new();
        while let Ok(told) = news.try_recv() {
            if let ImportNews::Rejected(reject) = told {
                rejects.push((reject.line, reject.reason));
            }
        }
        (ended, rejects)
    }

    async fn import(bench: &Bench, rows: &str) -> (Import, Vec<(i64, RejectReason)>) {
        let text = format!("{HEADER}{rows}");
        let (ended, rejects) = send(bench, list(&text), text.as_bytes(), true, false).await;
        (ended.unwrap(), rejects)
    }

    fn counts(read: i64, created: i64, repeated: i64, rejected: i64) -> ImportCounts {
        ImportCounts {
            read,
            created,
            repeated,
            rejected,
        }
    }

    fn everything() -> ListQuery {
        ListQuery {
            filter: Filter::Everything,
            page_size: 1000,
            after: None,
        }
    }

    async fn acts(bench: &Bench, number: &str) -> Vec<ConsentEvent> {
        let key = bench.store.key(phone(number));
        let mut tx = bench.store.read().await;
        let page = tx
            .consents(&TenantId::default(), None, Some(&key), &everything())
            .await;
        page.unwrap().rows
    }

    /// Another person gets this number too.
    async fn shared(bench: &Bench, number: &str) {
        let other = draft(PartyId::new(bench.now()), &[phone(number)]);
        let mut tx = bench.store.write().await;
        tx.upsert_party(&TenantId::default(), &other, bench.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Numbers of strangers, a consent each.
    fn strangers(count: usize) -> String {
        (0..count)
            .map(|n| format!("+1404{:07},,given,{GIVEN},written,,c-{n}\n", 2_000_000 + n))
            .collect()
    }

    pub async fn a_list_is_recorded_row_by_row_with_its_entries(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let rows = format!(
            "{ANNA},,given,{GIVEN},web_form,live_manual,form-1\n{BETH},,withdrawn,{GIVEN},,,\n"
        );
        let (ended, rejects) = import(&bench, &rows).await;
        assert_eq!(
            (ended.state, ended.kind),
            (ImportState::Finished, ImportKind::Consents)
        );
        assert_eq!((ended.counts, rejects.len()), (counts(2, 2, 0, 0), 0));
        assert_eq!(ended.acknowledged_rows, 2, "there is nothing to wait for");
        let act = acts(&bench, ANNA).await.remove(0);
        assert_eq!(
            (act.party_id, act.form),
            (anna.party_id, Some(ConsentForm::WebForm))
        );
        assert_eq!(
            (act.explicit, act.source.as_deref()),
            (Some(true), Some("paper"))
        );
        assert_eq!(
            (act.at.to_string().as_str(), act.recorded_at > act.at),
            (GIVEN, true)
        );
        let stranger = acts(&bench, BETH).await.remove(0);
        assert_eq!(
            (stranger.action, stranger.explicit),
            (ConsentAction::Withdrawn, None)
        );
        assert_ne!(stranger.party_id, anna.party_id, "a person of its own");
        let kinds: Vec<String> = bench.audit().await;
        let told: Vec<&str> = kinds
            .iter()
            .map(String::as_str)
            .filter(|kind| kind.starts_with("consent."))
            .collect();
        let (first, rest) = told.split_first().unwrap();
        let (last, mut acts) = (rest.last().unwrap(), rest[..rest.len() - 1].to_vec());
        acts.sort_unstable();
        assert_eq!(
            (*first, *last),
            ("consent.import_started", "consent.import_finished")
        );
        assert_eq!(acts, ["consent.given", "consent.withdrawn"]);
    }

    pub async fn a_sending_that_broke_off_goes_on_and_no_act_is_told_twice(bench: Bench) {
        let text = format!("{HEADER}{}", strangers(700));
        let most = &text.as_bytes()[..text.len() * 6 / 10];
        let (broken, _) = send(&bench, list(&text), most, false, false).await;
        assert!(
            matches!(broken, Err(GateError::ImportBrokenOff)),
            "{broken:?}"
        );
        let (ended, _) = send(&bench, list(&text), text.as_bytes(), true, false).await;
        let ended = ended.unwrap();
        assert_eq!(
            (ended.counts, ended.acknowledged_rows),
            (counts(700, 700, 0, 0), 700)
        );
        let kinds = bench.audit().await;
        assert!(kinds.contains(&"consent.import_resumed".to_owned()));
        let mut tx = bench.store.read().await;
        let page = tx
            .consents(&TenantId::default(), None, None, &everything())
            .await;
        assert_eq!(page.unwrap().rows.len(), 700);
        drop(tx);
        for is_trial in [true, false] {
            let (again, _) = send(&bench, list(&text), text.as_bytes(), true, is_trial).await;
            let again = again.unwrap();
            assert_eq!(
                again.counts,
                counts(700, 0, 700, 0),
                "each act is on record"
            );
            assert_ne!(again.import_id, ended.import_id);
        }
    }

    pub async fn a_finished_list_sent_again_is_judged_by_what_is_on_record_now(bench: Bench) {
        let rows = format!(
            "{ANNA},,given,{GIVEN},written,,\n{BETH},,given,{GIVEN},oral,,\n{CARL},,withdrawn,,,,\n{CARL},,withdrawn,,,,\n"
        );
        let text = format!("{HEADER}{rows}");
        bench.callable(ANNA).await;
        shared(&bench, ANNA).await;
        let (first, rejects) = import(&bench, &rows).await;
        assert_eq!(first.counts, counts(4, 2, 1, 1));
        assert_eq!(rejects, [(2, RejectReason::PartyAmbiguous)]);
        // A withdrawal that names no time is the same, however often its list is sent.
        let hour = Duration::from_secs(3600);
        bench.clock.advance(hour);
        let (again, _) = import(&bench, &rows).await;
        assert_eq!(again.counts, counts(4, 0, 3, 1));
        assert_eq!(acts(&bench, CARL).await.len(), 1);
        // But after a consent it is a new one, for the stricter wins; and who no longer shares a number can be told.
        let given = bench.consent(CARL, ConsentAction::Given);
        let ask = bench.ask("admin");
        bench.gate.record_consent(&ask, given).await.unwrap();
        bench.clock.advance(hour);
        for is_trial in [true, false] {
            let (again, _) = send(&bench, list(&text), text.as_bytes(), true, is_trial).await;
            // A trial does not foresee what the row before would have made of it.
            assert_eq!(again.unwrap().counts, counts(4, 1, 2, 1), "{is_trial}");
        }
        assert_eq!(acts(&bench, CARL).await[0].action, ConsentAction::Withdrawn);
        assert_eq!(acts(&bench, CARL).await.len(), 3);
    }

    pub async fn what_is_on_record_already_is_not_recorded_again(bench: Bench) {
        bench.callable(ANNA).await;
        let row = format!("{ANNA},,given,{GIVEN},written,live_manual prerecorded,form-1\n");
        import(&bench, &row).await;
        // In another order and list; with another evidence, form or time it is another act.
        let rows = format!(
            "{ANNA},,given,{GIVEN},written,prerecorded live_manual,form-1\n\
             {ANNA},,given,{GIVEN},written,live_manual prerecorded,form-2\n\
             {ANNA},,given,{GIVEN},oral,live_manual prerecorded,form-1\n\
             {ANNA},,given,2026-11-03T09:15:00Z,written,live_manual prerecorded,form-1\n\
             {ANNA},,given,2026-11-03T09:15:00Z,written,live_manual prerecorded,form-1\n"
        );
        let (ended, _) = import(&bench, &rows).await;
        assert_eq!(ended.counts, counts(5, 3, 2, 0));
        assert_eq!(acts(&bench, ANNA).await.len(), 4);
        // A withdrawal that is taken for later than it says is the same when told again.
        let minute = Duration::from_secs(60);
        let now = bench
            .gate
            .record_consent(
                &bench.ask("admin"),
                bench.consent(BETH, ConsentAction::Given),
            )
            .await
            .unwrap();
        let row = format!("{BETH},,withdrawn,{},,,mail\n", now.at.minus(minute));
        let (ended, _) = import(&bench, &row).await;
        assert_eq!(ended.counts, counts(1, 1, 0, 0));
        assert_eq!(
            acts(&bench, BETH).await[0].at,
            now.at,
            "in doubt the wish wins"
        );
        let (ended, _) = import(&bench, &format!("{row}\n")).await;
        assert_eq!(ended.counts, counts(1, 0, 1, 0));
    }

    pub async fn each_row_is_judged_by_what_is_on_record(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        shared(&bench, ANNA).await;
        let nobody = "0190d5a5-0000-7000-8000-000000000001";
        let gate = bench.gate.clone();
        let (ask, opt_out) = (bench.ask("admin"), bench.opt_out(BETH));
        gate.suppress(&ask, opt_out).await.unwrap();
        let stopped = bench.now();
        bench.clock.advance(Duration::from_secs(1200));
        let soon = stopped.plus(Duration::from_secs(300));
        let later = stopped.plus(Duration::from_secs(601));
        let rows = format!(
            "{ANNA},,given,{GIVEN},written,,\n\
             {ANNA},{},given,{GIVEN},written,,\n\
             {ANNA},{nobody},given,{GIVEN},written,,\n\
             {BETH},,given,{soon},written,,\n\
             {BETH},,given,{later},written,,\n\
             {CARL},,given,,written,,\n\
             {CARL},,withdrawn,,,,\n",
            anna.party_id
        );
        let (ended, rejects) = import(&bench, &rows).await;
        assert_eq!(
            rejects,
            [
                (2, RejectReason::PartyAmbiguous),
                (4, RejectReason::Party),
                (5, RejectReason::TimeInDoubt),
                (7, RejectReason::TimeMissing),
            ]
        );
        assert_eq!(ended.counts, counts(7, 3, 0, 4));
        assert_eq!(acts(&bench, ANNA).await[0].party_id, anna.party_id);
        assert_eq!(acts(&bench, BETH).await[0].at, later);
        let mut tx = bench.store.read().await;
        let kept = tx
            .import_rejects(&TenantId::default(), ended.import_id, &everything())
            .await;
        assert_eq!(kept.unwrap().rows.len(), 4);
        let other = tx
            .import(
                &TenantId::default(),
                ImportKind::Suppressions,
                ended.import_id,
            )
            .await;
        assert_eq!(other.unwrap(), None);
    }

    /// As if they were told one by one: a consent that may have come before a withdrawal of the same list is in doubt.
    pub async fn acts_of_one_person_in_one_list_see_one_another(bench: Bench) {
        let now = bench.now();
        let soon = now.minus(Duration::from_secs(1));
        let rows = format!(
            "{ANNA},,given,{GIVEN},written,,\n{ANNA},,withdrawn,,,,\n{BETH},,given,{soon},oral,,\n{BETH},,given,{soon},oral,,\n"
        );
        let (ended, _) = import(&bench, &rows).await;
        assert_eq!(ended.counts, counts(4, 3, 1, 0));
        bench.clock.advance(Duration::from_secs(120));
        let rows = format!(
            "{CARL},,withdrawn,,,,\n{CARL},,given,{GIVEN},written,,\n{ANNA},,given,{},written,,\n",
            now.plus(Duration::from_secs(60))
        );
        let (ended, rejects) = import(&bench, &rows).await;
        assert_eq!(
            (ended.counts, rejects),
            (counts(3, 2, 0, 1), vec![(4, RejectReason::TimeInDoubt)])
        );
        assert_eq!(acts(&bench, CARL).await.len(), 2);
        let of_one: std::collections::HashSet<_> = acts(&bench, CARL)
            .await
            .into_iter()
            .map(|act| act.party_id)
            .collect();
        assert_eq!(of_one.len(), 1, "one number, one person");
    }

    pub async fn p03_a_withdrawn_row_stops_a_queued_call(bench: Bench) {
        listed(&bench).await;
        import(&bench, &format!("{ANNA},,given,{GIVEN},written,,form-1\n")).await;
        let call = bench.queued(ANNA).await;
        import(&bench, &format!("{ANNA},,withdrawn,,,,\n")).await;
        let leased = bench.lease().await.remove(0);
        assert_eq!(leased.call.call_id, call.call_id);
        let claimed = bench.gate.claim(bench.claim(&leased, None)).await.unwrap();
        assert!(matches!(claimed, Claimed::Denied(_)), "{claimed:?}");
    }

    /// A person on the national register, whom only their consent lets be called.
    async fn listed(bench: &Bench) {
        let known = bench.callable(ANNA).await;
        let mut numbers = known.numbers.clone();
        for check in &mut numbers[0].registers {
            check.listed = Some(check.register == "us-dnc");
        }
        let draft = ContactDraft {
            party_id: Some(known.party_id),
            profile: known.profile.clone(),
            numbers,
            etag: None,
            mask: None,
        };
        bench
            .gate
            .upsert_contact(&bench.ask("admin"), draft)
            .await
            .unwrap();
        let denied = bench.place(ANNA).await.decision.judgement.denied_by;
        assert_eq!(denied, ["US-national-dnc"]);
    }

    pub async fn a_trial_of_consents_tells_all_and_records_nothing(bench: Bench) {
        bench.callable(ANNA).await;
        shared(&bench, ANNA).await;
        import(&bench, &format!("{BETH},,given,{GIVEN},written,,\n")).await;
        let before = bench.audit().await;
        let text = format!(
            "{HEADER}{BETH},,given,{GIVEN},written,,\n{CARL},,given,{GIVEN},written,,\n{ANNA},,given,{GIVEN},written,,\n,,,,,,x\n"
        );
        let (tried, rejects) = send(&bench, list(&text), text.as_bytes(), true, true).await;
        let tried = tried.unwrap();
        assert_eq!(
            (tried.import_id, tried.counts),
            (ImportId(uuid::Uuid::nil()), counts(4, 1, 1, 2))
        );
        assert_eq!(
            rejects,
            [
                (4, RejectReason::PartyAmbiguous),
                (5, RejectReason::NumberMissing)
            ]
        );
        assert_eq!(bench.audit().await, before);
        assert!(acts(&bench, CARL).await.is_empty());
    }

    pub async fn a_list_of_another_hash_fails_and_keeps_what_it_recorded(bench: Bench) {
        let (sent, meant) = (
            format!("{HEADER}{ANNA},,given,{GIVEN},written,,\n"),
            format!("{HEADER}{BETH},,given,{GIVEN},written,,\n"),
        );
        let (ended, _) = send(&bench, list(&meant), sent.as_bytes(), true, false).await;
        let ended = ended.unwrap();
        assert_eq!(ended.state, ImportState::Failed);
        assert!(ended.problem.unwrap().contains("SHA-256"));
        assert_eq!(acts(&bench, ANNA).await.len(), 1);
        assert_eq!(bench.audit().await.last().unwrap(), "consent.import_failed");
    }
}
