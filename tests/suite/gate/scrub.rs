//! Whole lists: the same judgement as a single check, and nothing left behind but one entry.

use super::on_both;

on_both![
    p01_a_list_is_judged_as_each_of_its_numbers,
    p02_a_list_sees_every_opt_out_before_its_batch,
    p01_strangers_of_one_place_are_judged_as_each_alone,
    a_list_may_be_judged_for_a_later_hour,
    a_list_leaves_one_entry_and_nobody_recorded,
    a_campaign_that_may_not_ask_gets_no_list,
    a_pack_activated_midway_decides_from_the_next_batch_on,
    a_stop_holds_for_a_list,
    numbers_are_read_in_the_country_of_the_list,
];

mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use dialgate::domain::call::{CallKind, CallRequest};
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::decision::Verdict;
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::{PartyId, TenantId};
    use dialgate::domain::party::{LineType, PartyNumber, Profile};
    use dialgate::domain::phone::{NumberKey, Phone};
    use dialgate::domain::suppression::SuppressionSubject;
    use dialgate::domain::time::Micros;
    use dialgate::gate::{
        ContactDraft, Gate, GateError, NewRegionStop, NewSuppression, RowProblem, SCRUB_BATCH_MAX,
        Scrub, ScrubTally, ScrubTerms, Scrubbed,
    };
    use dialgate::place::{NotDialable, dialable};
    use dialgate::policy::ClosedDay;
    use dialgate::store::{AUDIT_FIELDS, AuditEntry, ListQuery, PartyDraft};

    use crate::gate::bench::{Bench, at, campaign, phone};
    use crate::law::samples::NUMBERS;
    use crate::support::builders::{suppression, tenant};

    const CALLABLE: &str = "+14045550101";
    const STRANGER: &str = "+14045550102";
    const OPTED_OUT: &str = "+14045550103";
    const STRANGER_OPTED_OUT: &str = "+14045550104";
    const FIRST_OF_TWO: &str = "+14045550105";
    const SECOND_OF_TWO: &str = "+14045550106";
    const TRIED: &str = "+14045550107";
    const SHARED: &str = "+14045550108";
    const HAWAII: &str = "+18085550109";
    const BERLIN: &str = "+4930901820";
    /// One zone, two zones, other laws of the state, other clocks, another country of the plan.
    const AMERICANS: [&str; 8] = [
        "+14042345670",
        "+17702345670",
        "+17012345670",
        "+15022345670",
        "+13052345670",
        "+18082345670",
        "+19072345670",
        "+14162345670",
    ];
    const PREMIUM: &str = "+19005550100";
    const UNKNOWN_AREA: &str = "+12335550100";

    fn terms() -> ScrubTerms {
        ScrubTerms {
            tenant: TenantId::default(),
            campaign_id: "us".to_owned(),
            call_kind: CallKind::LiveManual,
            caller_id: None,
            at: None,
            home_country: None,
            with_reasons: false,
            actor: "key:admin".to_owned(),
        }
    }

    async fn judge(scrub: &Scrub, numbers: &[&str]) -> Scrubbed {
        let numbers = numbers.iter().map(ToString::to_string).collect();
        scrub.judge(numbers).await.unwrap()
    }

    /// People and wishes of every sort that bears on a verdict.
    async fn town(bench: &Bench) {
        for number in [CALLABLE, OPTED_OUT, TRIED, SHARED] {
            bench.callable(number).await;
        }
        let both = [FIRST_OF_TWO, SECOND_OF_TWO];
        bench.contact(&both, "US-GA").await.unwrap();
        bench.contact(&[HAWAII], "US-HI").await.unwrap();
        let mut tx = bench.store.write().await;
        let draft = PartyDraft {
            party_id: PartyId::new(bench.now()),
            profile: Profile::default(),
            numbers: vec![PartyNumber {
                number: phone(SHARED),
                line_type: LineType::Landline,
                registers: Vec::new(),
                reassigned_check: None,
            }],
        };
        tx.upsert_party(&tenant(), &draft, bench.now())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        for number in [OPTED_OUT, STRANGER_OPTED_OUT, FIRST_OF_TWO] {
            let (ask, new) = (bench.ask("admin"), bench.opt_out(number));
            bench.gate.suppress(&ask, new).await.unwrap();
        }
        let (leased, _, attempt) = bench.claimed(TRIED).await;
        bench.ended(&leased, attempt).await;
    }

    /// Asks about so many strangers that those who opted out are held in memory from then on; tells how many these are.
    async fn asked_about_many(bench: &Bench) -> usize {
        let scrub = bench.gate.scrub(terms()).unwrap();
        for batch in 0..20 {
            let numbers =
                (0..SCRUB_BATCH_MAX).map(|index| format!("+1404{}{index:03}", 2200 + batch));
            scrub.judge(numbers.collect()).await.unwrap();
        }
        for _ in 0..1_000 {
            if let Some(held) = scrub.numbers_held() {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("after {} numbers none is held", 20 * SCRUB_BATCH_MAX);
    }

    /// Whether the list says that the number opted out.
    async fn is_opted_out(bench: &Bench, number: &str) -> bool {
        let scrub = bench.gate.scrub(terms()).unwrap();
        let row = judge(&scrub, &[number]).await.rows.remove(0);
        row.said
            .unwrap()
            .denied_by
            .contains(&"US-internal-dnc".into())
    }

    /// Whatever is held in memory of opt-outs: those that were recorded since count from the next batch on, whether followers
    /// were told of them or not, one or too many to be learnt at once.
    pub async fn p02_a_list_sees_every_opt_out_before_its_batch(bench: Bench) {
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(STRANGER_OPTED_OUT))
            .await
            .unwrap();
        assert_eq!(asked_about_many(&bench).await, 1);
        assert!(is_opted_out(&bench, STRANGER_OPTED_OUT).await);
        assert!(!is_opted_out(&bench, STRANGER).await);
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(STRANGER))
            .await
            .unwrap();
        assert!(is_opted_out(&bench, STRANGER).await, "not told of yet");
        let tell = async || {
            let mut tx = bench.store.write().await;
            let placed = tx.place_suppression_changes(&tenant(), 5_000).await;
            tx.commit().await.unwrap();
            placed.unwrap()
        };
        assert_eq!(tell().await, 1);
        assert!(is_opted_out(&bench, STRANGER).await, "told of");
        let scrub = bench.gate.scrub(terms()).unwrap();
        assert_eq!(scrub.numbers_held(), Some(2), "learnt by that batch");

        for told in [false, true] {
            let first = if told { 3_000 } else { 1_000 };
            let mut tx = bench.store.write().await;
            for index in first..first + 1_500 {
                let number = format!("+1404300{index}");
                let key = NumberKey(bench.key(&number));
                let suppression = suppression(SuppressionSubject::Number(key));
                tx.insert_suppression(&tenant(), &suppression)
                    .await
                    .unwrap();
            }
            tx.commit().await.unwrap();
            if told {
                assert_eq!(tell().await, 1_500);
            }
            let last = format!("+1404300{}", first + 1_499);
            assert!(is_opted_out(&bench, &last).await, "told: {told}");
            assert!(!is_opted_out(&bench, CALLABLE).await);
            assert_eq!(scrub.numbers_held(), None, "it has fallen behind");
            let recorded = if told { 3_002 } else { 1_502 };
            assert_eq!(asked_about_many(&bench).await, recorded);
        }
    }

    fn question(bench: &Bench, number: Phone) -> CallRequest {
        CallRequest {
            request_id: None,
            expire_time: None,
            to: number,
            ..bench.request(CALLABLE)
        }
    }

    /// Each row says what `check` says of its number, whether it is asked before or after.
    pub async fn p01_a_list_is_judged_as_each_of_its_numbers(bench: Bench) {
        town(&bench).await;
        let list = [
            CALLABLE,
            STRANGER,
            OPTED_OUT,
            STRANGER_OPTED_OUT,
            FIRST_OF_TWO,
            SECOND_OF_TWO,
            TRIED,
            SHARED,
            HAWAII,
            BERLIN,
            PREMIUM,
            UNKNOWN_AREA,
            "+911",
            "phone",
            CALLABLE,
        ];
        // Open there, closed there, closed everywhere; a Sunday; the turn of the year.
        for instant in [
            "2026-11-18T15:10:00Z",
            "2026-11-18T20:00:00Z",
            "2026-11-19T05:00:00Z",
            "2026-11-22T18:00:00Z",
            "2027-01-01T16:00:00Z",
        ] {
            let ahead = at(instant).0 - bench.now().0;
            bench
                .clock
                .advance(Duration::from_micros(u64::try_from(ahead).unwrap()));
            if instant == "2026-11-19T05:00:00Z" {
                asked_about_many(&bench).await;
            }
            let scrub = bench.gate.scrub(terms()).unwrap();
            let rows = judge(&scrub, &list).await.rows;
            let explained = bench.gate.scrub(ScrubTerms {
                with_reasons: true,
                ..terms()
            });
            let explained = judge(&explained.unwrap(), &list).await.rows;
            assert_eq!(rows.len(), list.len());
            for (index, (text, row)) in list.iter().zip(&rows).enumerate() {
                let Ok(number) = Phone::parse(text) else {
                    let row = row.said.clone().unwrap_err();
                    assert!(matches!(
                        row,
                        RowProblem::NotANumber(_) | RowProblem::NotDialable(_)
                    ));
                    continue;
                };
                assert_eq!(row.number, Some(number), "{text}");
                let single = bench.gate.check(question(&bench, number)).await;
                match (&row.said, single) {
                    (Ok(said), Ok(decision)) => {
                        let judgement = &decision.judgement;
                        assert_eq!(said.verdict, judgement.verdict, "{text} at {instant}");
                        assert_eq!(said.denied_by, judgement.denied_by, "{text} at {instant}");
                        assert_eq!(said.next_allowed_time, judgement.next_allowed_time);
                        assert_eq!(explained[index].said, row.said, "{text} at {instant}");
                        assert_eq!(explained[index].reasons.len(), said.denied_by.len());
                        assert!(explained[index].reasons.iter().all(|each| !each.is_empty()));
                    }
                    (
                        Err(RowProblem::NotDialable(why)),
                        Err(GateError::NotDialable { why: single, .. }),
                    ) => {
                        assert_eq!(*why, single);
                    }
                    (
                        Err(RowProblem::DestinationNotAllowed),
                        Err(GateError::DestinationNotAllowed { .. }),
                    )
                    | (Err(RowProblem::PartyAmbiguous), Err(GateError::PartyAmbiguous)) => {}
                    (row, single) => panic!("{text} at {instant}: {row:?} and {single:?}"),
                }
            }
            let problem = |index: usize| rows[index].said.clone().unwrap_err();
            assert_eq!(problem(7), RowProblem::PartyAmbiguous);
            assert_eq!(problem(9), RowProblem::DestinationNotAllowed);
            assert_eq!(
                problem(10),
                RowProblem::NotDialable(NotDialable::ForbiddenNumberKind)
            );
            assert_eq!(problem(13).code(), "OTHER_SIGNS");
            let denied = |index: usize| {
                let said = rows[index].said.as_ref().unwrap();
                said.denied_by.contains(&"US-internal-dnc".into())
            };
            assert!(
                (2..=5).all(denied),
                "the wish of a person covers all their numbers"
            );
            assert!(!denied(0) && !denied(1));
        }
    }

    /// Neighbours of numbers of every country that has rules: strangers, people, opt-outs of their own times, other sellers'
    /// opt-outs, consents given before and after, lines of every sort. What is judged once for many is right for each.
    pub async fn p01_strangers_of_one_place_are_judged_as_each_alone(bench: Bench) {
        let pack = bench.gate.pack();
        let seeds = NUMBERS.into_iter().chain(AMERICANS);
        let seeds = seeds.filter(|number| dialable(pack.tables(), number).is_ok());
        let seeds: Vec<&str> = seeds.collect();
        let country = |number: &&str| dialable(pack.tables(), number).unwrap().country;
        let destinations: BTreeSet<String> = seeds.iter().map(country).collect();
        let everywhere = Campaign {
            destinations: destinations.into_iter().collect(),
            ..campaign("us", "US", "seller")
        };
        let other = campaign("other", "US", "other-seller");
        let gate = bench.again(vec![everywhere, other]);
        gate.settle().await.unwrap();
        let mut list = Vec::new();
        for (index, seed) in seeds.iter().enumerate() {
            let neighbours = (0..10).map(|last| format!("{}{last}", &seed[..seed.len() - 1]));
            let neighbours = neighbours.filter(|each| dialable(pack.tables(), each).is_ok());
            let neighbours: Vec<String> = neighbours.collect();
            people_of(&bench, &gate, &neighbours, index).await;
            list.extend(neighbours);
        }
        let texts: Vec<&str> = list.iter().map(String::as_str).collect();
        for instant in ["2026-12-09T15:10:00Z", "2026-12-13T21:30:00Z"] {
            let ahead = at(instant).0 - bench.now().0;
            let ahead = Duration::from_micros(u64::try_from(ahead).unwrap());
            bench.clock.advance(ahead);
            let scrub = gate.scrub(terms()).unwrap();
            let explained = gate.scrub(ScrubTerms {
                with_reasons: true,
                ..terms()
            });
            let rows = judge(&scrub, &texts).await.rows;
            let explained = judge(&explained.unwrap(), &texts).await.rows;
            for ((text, row), explained) in texts.iter().zip(&rows).zip(explained) {
                let request = question(&bench, phone(text));
                let single = gate.check(request).await.unwrap().judgement;
                let said = row.said.as_ref().unwrap();
                assert_eq!(said.verdict, single.verdict, "{text} at {instant}");
                assert_eq!(said.denied_by, single.denied_by, "{text} at {instant}");
                assert_eq!(
                    said.next_allowed_time, single.next_allowed_time,
                    "{text} at {instant}"
                );
                assert_eq!(explained.said.as_ref(), Ok(said), "{text} at {instant}");
            }
        }
    }

    /// Of ten neighbours: one opted out, one towards another seller only, two are people, of whom one agreed; another
    /// opted out and agreed again.
    async fn people_of(bench: &Bench, gate: &Gate, neighbours: &[String], index: usize) {
        let line = LineType::ALL[index % LineType::ALL.len()];
        for (place, number) in neighbours.iter().enumerate() {
            let wish = |seller: Option<&str>| NewSuppression {
                seller: seller.map(str::to_owned),
                ..bench.opt_out(number)
            };
            let is_person = matches!(place, 3..=5);
            if is_person {
                let draft = ContactDraft {
                    party_id: None,
                    profile: Profile::default(),
                    numbers: vec![PartyNumber {
                        number: phone(number),
                        line_type: line,
                        registers: Vec::new(),
                        reassigned_check: None,
                    }],
                    etag: None,
                    mask: None,
                };
                let ask = bench.ask("admin");
                gate.upsert_contact(&ask, draft).await.unwrap();
            }
            if matches!(place, 1 | 2 | 5) {
                let seller = (place == 2).then_some("other-seller");
                bench.clock.advance(Duration::from_secs(1));
                gate.suppress(&bench.ask("admin"), wish(seller))
                    .await
                    .unwrap();
            }
            if matches!(place, 4 | 5) {
                bench.clock.advance(Duration::from_secs(3600));
                let given = bench.consent(number, ConsentAction::Given);
                gate.record_consent(&bench.ask("admin"), given)
                    .await
                    .unwrap();
            }
        }
    }

    pub async fn a_list_may_be_judged_for_a_later_hour(bench: Bench) {
        bench.callable(CALLABLE).await;
        let said = |at: Micros| {
            let scrub = bench.gate.scrub(ScrubTerms {
                at: Some(at),
                ..terms()
            });
            async move { judge(&scrub.unwrap(), &[CALLABLE]).await }
        };
        let day = said(at("2026-11-19T15:00:00Z")).await;
        assert_eq!(day.at, at("2026-11-19T15:00:00Z"));
        assert_eq!(day.rows[0].said.as_ref().unwrap().verdict, Verdict::Allow);
        let night = said(at("2026-11-20T05:00:00Z")).await;
        let night = night.rows[0].said.clone().unwrap();
        assert_eq!(
            (night.verdict, night.denied_by),
            (Verdict::Deny, vec!["US-window".into()])
        );
        assert_eq!(night.next_allowed_time, Some(at("2026-11-20T13:00:00Z")));
    }

    async fn entries(bench: &Bench) -> Vec<AuditEntry> {
        let query = ListQuery {
            filter: Filter::parse("kind = \"calls.checked\"", AUDIT_FIELDS).unwrap(),
            page_size: 100,
            after: None,
        };
        let mut tx = bench.store.read().await;
        tx.audit_entries(&tenant(), &query).await.unwrap().rows
    }

    pub async fn a_list_leaves_one_entry_and_nobody_recorded(bench: Bench) {
        bench.callable(CALLABLE).await;
        let before = bench.audit().await;
        let scrub = bench.gate.scrub(terms()).unwrap();
        let mut tally = ScrubTally::default();
        for list in [&[CALLABLE, STRANGER, "phone"][..], &[STRANGER, PREMIUM]] {
            tally.asked += list.len() as u64;
            tally.add(&judge(&scrub, list).await);
        }
        assert_eq!(bench.audit().await, before, "batches leave nothing");
        let key = bench.store.key(phone(STRANGER));
        let mut tx = bench.store.read().await;
        let holders = tx.parties_by_number(&tenant(), &[key]).await.unwrap();
        assert!(holders.is_empty(), "nobody is recorded");
        drop(tx);
        let entry = scrub.record(&tally, true).await.unwrap();
        let rows = entries(&bench).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].entry_id, rows[0].actor.as_str()),
            (entry, "key:admin")
        );
        let payload = &rows[0].payload;
        let counts = ["asked", "allowed", "denied"].map(|name| payload[name].as_u64().unwrap());
        assert_eq!(counts, [5, 1, 2]);
        assert_eq!(payload["denied_by"]["US-national-dnc"], 2);
        assert_eq!(payload["without_verdict"]["OTHER_SIGNS"], 1);
        assert_eq!(payload["without_verdict"]["FORBIDDEN_NUMBER_KIND"], 1);
        assert_eq!(payload["packs"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&payload["campaign"], &payload["whole"]),
            (&"us".into(), &true.into())
        );
        let text = payload.to_string();
        assert!(!text.contains("404555"), "no readable number: {text}");
    }

    pub async fn a_campaign_that_may_not_ask_gets_no_list(bench: Bench) {
        let refused = |terms: ScrubTerms| bench.gate.scrub(terms).err().unwrap();
        let unknown = ScrubTerms {
            campaign_id: "nobody".to_owned(),
            ..terms()
        };
        assert!(matches!(refused(unknown), GateError::CampaignUnknown));
        let asleep = ScrubTerms {
            campaign_id: "asleep".to_owned(),
            ..terms()
        };
        assert!(matches!(refused(asleep), GateError::CampaignInactive));
        let kind = ScrubTerms {
            call_kind: CallKind::Prerecorded,
            ..terms()
        };
        assert!(matches!(refused(kind), GateError::CallKindNotAllowed));
        let caller_id = ScrubTerms {
            caller_id: Some(phone(STRANGER)),
            ..terms()
        };
        assert!(matches!(refused(caller_id), GateError::CallerIdNotAllowed));
        let country = ScrubTerms {
            home_country: Some("XX".to_owned()),
            ..terms()
        };
        assert!(matches!(refused(country), GateError::Invalid { .. }));
        let scrub = bench.gate.scrub(terms()).unwrap();
        let many = vec![CALLABLE.to_owned(); SCRUB_BATCH_MAX + 1];
        assert!(matches!(
            scrub.judge(many).await,
            Err(GateError::Invalid { .. })
        ));
        assert!(judge(&scrub, &[]).await.rows.is_empty());
    }

    pub async fn a_pack_activated_midway_decides_from_the_next_batch_on(bench: Bench) {
        bench.callable(CALLABLE).await;
        let scrub = bench.gate.scrub(terms()).unwrap();
        let mut tally = ScrubTally::default();
        let first = judge(&scrub, &[CALLABLE]).await;
        assert_eq!(first.rows[0].said.as_ref().unwrap().verdict, Verdict::Allow);
        tally.add(&first);
        let today = bench.now().timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        let closed = ClosedDay {
            date: today.date(),
            jurisdiction: "US".to_owned(),
            reason: "storm".to_owned(),
            by: "admin".to_owned(),
        };
        // Another node changes the law; this one has to load the pack first.
        let other = bench.bringing(bench.gate.pack());
        other.settle().await.unwrap();
        let done = other.add_closed_day(&bench.ask("admin"), closed).await;
        let done = done.unwrap().activation.sha256;
        let second = judge(&scrub, &[CALLABLE, "+1 404 555 0199"]).await;
        assert_eq!(second.pack.sha256, done);
        let said = second.rows[0].said.clone().unwrap();
        assert_eq!(said.verdict, Verdict::Deny, "{said:?}");
        tally.add(&second);
        let packs: Vec<_> = tally.packs.iter().map(|pack| &pack.sha256).collect();
        assert_eq!(packs, [&first.pack.sha256, &done]);
    }

    pub async fn a_stop_holds_for_a_list(bench: Bench) {
        bench.callable(CALLABLE).await;
        let stop = NewRegionStop {
            region: "US-GA".to_owned(),
            reason: "hurricane".to_owned(),
            starts_at: Some(at("2026-11-19T00:00:00Z")),
            expires_at: at("2026-11-20T00:00:00Z"),
        };
        bench
            .gate
            .stop_region(&bench.ask("admin"), stop)
            .await
            .unwrap();
        for (hour, stopped) in [
            ("2026-11-18T15:30:00Z", false),
            ("2026-11-19T15:30:00Z", true),
            ("2026-11-20T15:30:00Z", false),
        ] {
            let terms = ScrubTerms {
                at: Some(at(hour)),
                ..terms()
            };
            let scrub = bench.gate.scrub(terms).unwrap();
            let row = judge(&scrub, &[CALLABLE]).await.rows.remove(0);
            let denied_by = row.said.unwrap().denied_by;
            assert_eq!(
                denied_by.contains(&"OPERATOR-stop-US-GA".into()),
                stopped,
                "{hour}"
            );
        }
    }

    pub async fn numbers_are_read_in_the_country_of_the_list(bench: Bench) {
        bench.callable(CALLABLE).await;
        let home = ScrubTerms {
            home_country: Some("us".to_owned()),
            ..terms()
        };
        let scrub = bench.gate.scrub(home).unwrap();
        let list = [
            "(404) 555-0101",
            "1 404 555 0101",
            CALLABLE,
            "911",
            "9-1-1",
            "404 555 0101 x7",
        ];
        let rows = judge(&scrub, &list).await.rows;
        for row in &rows[..3] {
            assert_eq!(row.number, Some(phone(CALLABLE)));
            assert_eq!(row.said.as_ref().unwrap().verdict, Verdict::Allow);
        }
        for row in &rows[3..] {
            assert!(row.said.is_err(), "{row:?}");
        }
        let strict = bench.gate.scrub(terms()).unwrap();
        let rows = judge(&strict, &list[..3]).await.rows;
        let codes: Vec<_> = rows
            .iter()
            .map(|row| row.said.as_ref().err().map(|why| why.code()))
            .collect();
        assert_eq!(
            codes,
            [Some("COUNTRY_MISSING"), Some("COUNTRY_MISSING"), None]
        );
    }
}
