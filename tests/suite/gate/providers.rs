//! Providers asked online, over real sockets: what their answers, lies and silence come to.

use super::on_both;

on_both! {
    p06_only_a_believable_answer_opens_what_the_law_asks_for,
    p06_an_answer_holds_until_it_is_over_and_nothing_weaker_takes_its_place,
    p06_a_claim_sees_what_is_stored_and_asks_nobody,
    p06_a_provider_that_is_left_alone_or_spent_clears_nobody,
    p06_line_types_and_litigators_are_the_laws_to_judge,
    p16_asking_is_recorded_and_the_decision_names_who_said_so,
    one_question_for_all_who_ask_at_once,
    the_date_asked_for_is_that_of_the_consent,
    what_others_told_counts_while_it_is_newer,
    nobody_is_asked_in_vain,
    a_list_asks_nobody,
}

mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use dialgate::domain::call::CallRequest;
    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::decision::{Decision, Verdict};
    use dialgate::domain::ids::TenantId;
    use dialgate::domain::party::RegisterCheck;
    use dialgate::domain::provider::{ProviderKind, ScrubOutcome, ScrubResult};
    use dialgate::gate::{Claimed, ContactDraft, Gate, ScrubTerms};
    use dialgate::policy::{Pack, PackFiles};
    use dialgate::provider::{ProviderConfig, Service};

    use crate::gate::bench::{Bench, campaign, phone};
    use crate::support::provider::{CLEAR, FakeProvider, LISTED, Manner, NULLS};

    /// In Maine, where no sales call goes without asking the Reassigned Numbers Database.
    const ANNA: &str = "+12075550141";
    const BERT: &str = "+12075550142";
    const RULE: &str = "US-ME-rnd";

    const DAY: Duration = Duration::from_hours(24);

    async fn contacts(bench: &Bench, numbers: &[&str], region: &str) {
        for number in numbers {
            bench.contact(&[number], region).await.unwrap();
        }
    }

    fn asking(bench: &Bench, services: Vec<Service>) -> Gate {
        bench.asking(bench.gate.pack(), services)
    }

    async fn asking_rnd(bench: &Bench, provider: &FakeProvider) -> Gate {
        contacts(bench, &[ANNA, BERT], "US-ME").await;
        asking(
            bench,
            vec![provider.service("rnd", ProviderKind::Reassigned)],
        )
    }

    async fn check(bench: &Bench, gate: &Gate, number: &str) -> Decision {
        gate.check(bench.request(number)).await.unwrap()
    }

    fn denied_by(decision: &Decision) -> Vec<String> {
        let rules = decision.judgement.denied_by.iter();
        rules.map(ToString::to_string).collect()
    }

    fn evidence(decision: &Decision, rule: &str) -> String {
        let mut rules = decision.judgement.rules.iter();
        let said = rules.find(|said| said.rule == rule).unwrap();
        let texts: Vec<_> = said.evidence.iter().map(ToString::to_string).collect();
        texts.join(" ")
    }

    async fn kept(bench: &Bench, number: &str) -> Vec<ScrubResult> {
        let key = bench.store.key(phone(number));
        let mut tx = bench.store.read().await;
        tx.scrub_results(&TenantId::default(), &[key], bench.now())
            .await
            .unwrap()
    }

    async fn last(bench: &Bench, number: &str) -> (ScrubOutcome, String) {
        let last = kept(bench, number).await.pop().unwrap();
        (last.result, last.raw_code)
    }

    pub async fn p06_only_a_believable_answer_opens_what_the_law_asks_for(bench: Bench) {
        use ScrubOutcome::{Error, Listed, Unknown};
        let provider = FakeProvider::start(Manner::Closes).await;
        contacts(&bench, &[ANNA, BERT], "US-ME").await;
        let row = ProviderConfig {
            timeout_ms: 400,
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let gate = asking(&bench, vec![row.service().unwrap()]);
        const OTHER: &str = r#"{"Phone":"+12075550199","Reassigned":false,"SafeHarbor":true}"#;
        const CUT: &str = r#"{"Phone":"+12075550141","Reassigned":false,"SafeHar"#;
        for (manner, outcome, why) in [
            (Manner::Closes, Error, "broken"),
            (Manner::Babbles, Error, "broken"),
            (Manner::Half, Error, "broken"),
            (Manner::Hangs, Error, "timeout"),
            (
                Manner::SaysAfter(Duration::from_secs(2), CLEAR),
                Error,
                "timeout",
            ),
            (Manner::Large, Error, "too_large"),
            (Manner::Endless, Error, "too_large"),
            (Manner::Redirects, Error, "http_307"),
            (Manner::Status(500, OTHER), Error, "http_500"),
            (Manner::Status(200, OTHER), Error, "other_number"),
            (Manner::Status(200, CUT), Error, "malformed"),
            (Manner::Status(200, "<html>"), Error, "malformed"),
            (Manner::Status(204, ""), Error, "http_204"),
            (Manner::Says(NULLS), Unknown, "null"),
            (
                Manner::Says(r#""Reassigned":false"#),
                Unknown,
                "no_safe_harbor",
            ),
            (Manner::Says(r#""ResultCode":"Z""#), Unknown, "null"),
            (Manner::Says(LISTED), Listed, "true"),
        ] {
            provider.does(manner.clone());
            let decision = check(&bench, &gate, ANNA).await;
            assert_eq!(denied_by(&decision), [RULE], "{manner:?}");
            assert_eq!(
                last(&bench, ANNA).await,
                (outcome, why.to_owned()),
                "{manner:?}"
            );
            // So long that it may be asked again.
            bench.clock.advance(Duration::from_mins(5));
        }
        assert!(
            provider
                .asked()
                .iter()
                .all(|asked| asked.head.starts_with("POST /v1/check "))
        );
        provider.does(Manner::Says(CLEAR));
        let decision = check(&bench, &gate, BERT).await;
        assert_eq!(decision.judgement.verdict, Verdict::Allow, "{decision:?}");
        assert_eq!(last(&bench, BERT).await.0, ScrubOutcome::Clear);
    }

    pub async fn p06_an_answer_holds_until_it_is_over_and_nothing_weaker_takes_its_place(
        bench: Bench,
    ) {
        let provider = FakeProvider::start(Manner::Says(LISTED)).await;
        contacts(&bench, &[ANNA, BERT], "US-ME").await;
        let row = ProviderConfig {
            valid_days: Some(2),
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let gate = asking(&bench, vec![row.service().unwrap()]);
        assert_eq!(denied_by(&check(&bench, &gate, ANNA).await), [RULE]);
        provider.does(Manner::Says(CLEAR));
        assert!(denied_by(&check(&bench, &gate, BERT).await).is_empty());
        provider.does(Manner::Status(500, ""));
        bench.clock.advance(DAY);
        assert_eq!(denied_by(&check(&bench, &gate, ANNA).await), [RULE]);
        assert!(denied_by(&check(&bench, &gate, BERT).await).is_empty());
        assert_eq!(provider.times_asked(), 2, "what is known is not asked");
        // Over: asked again, without an answer. What was said before does not come back.
        bench.clock.advance(DAY);
        let decision = check(&bench, &gate, BERT).await;
        assert_eq!(denied_by(&decision), [RULE]);
        assert_eq!(provider.times_asked(), 3);
        let said = evidence(&decision, RULE);
        assert!(
            said.contains("provider=rnd") && said.contains("raw_code=http_500"),
            "{said}"
        );
        assert_eq!(denied_by(&check(&bench, &gate, BERT).await), [RULE]);
        assert_eq!(
            provider.times_asked(),
            3,
            "a failure is not repeated at once"
        );
        bench.clock.advance(Duration::from_secs(10));
        provider.does(Manner::Says(CLEAR));
        assert!(denied_by(&check(&bench, &gate, BERT).await).is_empty());
    }

    pub async fn p06_a_claim_sees_what_is_stored_and_asks_nobody(bench: Bench) {
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let gate = asking_rnd(&bench, &provider).await;
        for number in [ANNA, BERT] {
            let placed = gate.place(bench.request(number)).await.unwrap();
            assert!(placed.call.is_some(), "{:?}", placed.decision);
        }
        let asked = provider.times_asked();
        assert_eq!(asked, 2);
        provider.does(Manner::Says(LISTED));
        let mut leased = bench.lease().await;
        // Another node found out about Bert meanwhile.
        let mut worse = kept(&bench, BERT).await.pop().unwrap();
        worse.scrub_result_id = dialgate::domain::ids::ScrubResultId::new(bench.now());
        worse.result = ScrubOutcome::Listed;
        let mut tx = bench.store.write().await;
        let tenant = TenantId::default();
        tx.insert_scrub_results(&tenant, &[worse]).await.unwrap();
        tx.commit().await.unwrap();
        leased.sort_by_key(|each| each.call.to.unwrap());
        let [anna, bert] = &leased[..] else {
            panic!("{}", leased.len());
        };
        let claimed = gate.claim(bench.claim(anna, None)).await.unwrap();
        assert!(matches!(claimed, Claimed::Permitted { .. }), "{claimed:?}");
        let Claimed::Denied(decision) = gate.claim(bench.claim(bert, None)).await.unwrap() else {
            panic!("Bert's number was given up");
        };
        assert_eq!(denied_by(&decision), [RULE]);
        assert_eq!(provider.times_asked(), asked);
    }

    pub async fn p06_a_provider_that_is_left_alone_or_spent_clears_nobody(bench: Bench) {
        let provider = FakeProvider::start(Manner::Status(503, "")).await;
        let numbers: Vec<String> = (0..9).map(|n| format!("+1207555015{n}")).collect();
        let names: Vec<&str> = numbers.iter().map(String::as_str).collect();
        contacts(&bench, &names, "US-ME").await;
        let row = ProviderConfig {
            breaker_failures: 3,
            breaker_seconds: 30,
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let gate = asking(&bench, vec![row.service().unwrap()]);
        for number in &names[..5] {
            assert_eq!(denied_by(&check(&bench, &gate, number).await), [RULE]);
        }
        assert_eq!(provider.times_asked(), 3, "then it is left alone");
        provider.does(Manner::Says(CLEAR));
        assert_eq!(denied_by(&check(&bench, &gate, names[5]).await), [RULE]);
        bench.clock.advance(Duration::from_secs(31));
        assert!(denied_by(&check(&bench, &gate, names[5]).await).is_empty());
        assert!(denied_by(&check(&bench, &gate, names[6]).await).is_empty());
        assert_eq!(provider.times_asked(), 5);

        // Five were counted. A node that starts anew, or another one, counts on.
        let row = ProviderConfig {
            max_per_day: 6,
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let first = asking(&bench, vec![row.service().unwrap()]);
        let second = asking(&bench, vec![row.service().unwrap()]);
        assert!(denied_by(&check(&bench, &first, names[7]).await).is_empty());
        for gate in [&first, &second] {
            assert_eq!(denied_by(&check(&bench, gate, names[8]).await), [RULE]);
        }
        assert_eq!(provider.times_asked(), 6);
        bench.clock.advance(DAY);
        assert!(denied_by(&check(&bench, &second, names[8]).await).is_empty());
        assert_eq!(provider.times_asked(), 7);
    }

    /// An operator's rule about litigators.
    const SUITS: &str = r#"schema = 2
as_of = "2026-11-22"
[[register]]
id = "us-litigators"
jurisdiction = "US"
name = "Known litigators"
[[rule]]
id = "HOUSE-litigators"
jurisdiction = "US"
kind = "register"
call_kinds = ["live_manual", "autodialed", "prerecorded"]
audience = "both"
register = "us-litigators"
max_age_days = 30
citation = "house rule 8"
certainty = "primary"
"#;

    pub async fn p06_line_types_and_litigators_are_the_laws_to_judge(bench: Bench) {
        // In Arizona nobody is called on a mobile without a consent.
        const MOBILE: &str = "US-AZ-consent-mobile";
        const SUIT: &str = "HOUSE-litigators";
        let numbers = [
            "+16025550141",
            "+16025550142",
            "+16025550143",
            "+16025550144",
        ];
        contacts(&bench, &numbers, "US-AZ").await;
        std::fs::write(bench.store.folder.path().join("house.toml"), SUITS).unwrap();
        let files = PackFiles::read(bench.store.folder.path()).unwrap();
        let pack = Arc::new(Pack::of(PackFiles::embedded().with_added(files)).unwrap());
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let suits = ProviderConfig {
            register: Some("us-litigators".to_owned()),
            ..provider.row("suits", ProviderKind::Litigator)
        };
        let lines = provider.row("lines", ProviderKind::LineType);
        let services = [suits, lines].map(|row| row.service().unwrap());
        let gate = bench.asking(pack, services.to_vec());
        gate.settle().await.unwrap();
        for (number, says, rules) in [
            (numbers[0], CLEAR, &[][..]),
            (
                numbers[1],
                r#""ResultCode":"C","LineType":"W""#,
                &[MOBILE][..],
            ),
            (
                numbers[2],
                r#""ResultCode":"P","LineType":"L""#,
                &[SUIT][..],
            ),
            // The record says landline, and nobody says otherwise; but nobody clears the number either.
            (numbers[3], NULLS, &[SUIT][..]),
        ] {
            provider.does(Manner::Says(says));
            let decision = check(&bench, &gate, number).await;
            assert_eq!(denied_by(&decision), rules, "{says}");
            let said = evidence(&decision, SUIT);
            assert!(said.contains("provider=suits"), "{said}");
        }
        assert_eq!(provider.times_asked(), 8);
    }

    pub async fn p16_asking_is_recorded_and_the_decision_names_who_said_so(bench: Bench) {
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let folder = bench.store.folder.path();
        let credential = folder.join("credential");
        std::fs::write(&credential, "s3cret\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&credential, mode).unwrap();
        contacts(&bench, &[ANNA], "US-ME").await;
        let row = ProviderConfig {
            credential_file: Some(credential),
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let gate = asking(&bench, vec![row.service().unwrap()]);
        let before = bench.audit().await.len();
        let decision = check(&bench, &gate, ANNA).await;
        assert_eq!(bench.audit().await[before..], ["number.asked", "decision"]);

        let asked = provider.asked().pop().unwrap();
        let head = asked.head.to_ascii_lowercase();
        assert!(head.contains("\r\nauthorization: bearer s3cret"), "{head}");
        assert!(
            !head.contains("2075550141"),
            "the number is not in the address"
        );
        assert_eq!(
            asked.body,
            serde_json::json!({ "Check": "reassigned", "Phone": ANNA, "Since": "2026-11-18" })
        );
        let result = kept(&bench, ANNA).await.pop().unwrap();
        assert_eq!(
            result.valid_until.since(result.answered_at),
            30 * 86_400_000_000
        );
        let said = evidence(&decision, RULE);
        let answered = format!(
            "provider=rnd answered={} raw_code=false",
            result.answered_at
        );
        assert!(said.contains(&answered), "{said}");
        let decision = bench.decision(decision.decision_id).await;
        let case: serde_json::Value = serde_json::from_str(&decision.case_json.unwrap()).unwrap();
        let answers = &case["facts"]["provider_answers"];
        assert_eq!(answers[0]["provider"], "rnd");
        assert_eq!(case["facts"]["reassigned_check"]["answer"], "no");
    }

    pub async fn one_question_for_all_who_ask_at_once(bench: Bench) {
        let slowly = Manner::SaysAfter(Duration::from_millis(300), CLEAR);
        let provider = FakeProvider::start(slowly).await;
        let gate = asking_rnd(&bench, &provider).await;
        let mut asking = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let (gate, request) = (gate.clone(), bench.request(ANNA));
            asking.spawn(async move { gate.check(request).await.unwrap() });
        }
        // Who goes away does not call the question back.
        let (gone, request) = (gate.clone(), bench.request(BERT));
        let gone = tokio::spawn(async move { gone.check(request).await });
        while provider.times_asked() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        gone.abort();
        for decision in asking.join_all().await {
            assert!(denied_by(&decision).is_empty());
        }
        assert!(denied_by(&check(&bench, &gate, BERT).await).is_empty());
        assert_eq!(provider.times_asked(), 2);

        // Who cannot wait is answered all the same, and never by a guess.
        provider.does(Manner::Hangs);
        bench.clock.advance(DAY * 31);
        let request = CallRequest {
            answer_by: Some(bench.gate.read().mono.plus(Duration::from_millis(600))),
            ..bench.request(ANNA)
        };
        let waiting = tokio::time::timeout(Duration::from_millis(1_500), gate.check(request));
        let decision = waiting.await.expect("no longer than it may").unwrap();
        assert!(denied_by(&decision).contains(&RULE.to_owned()));
    }

    pub async fn the_date_asked_for_is_that_of_the_consent(bench: Bench) {
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let gate = asking_rnd(&bench, &provider).await;
        let give = |days: u64, action| {
            let mut new = bench.consent(ANNA, action);
            new.at = Some(bench.now().minus(DAY * u32::try_from(days).unwrap()));
            new
        };
        let since = |provider: &FakeProvider| {
            let asked = provider.asked().pop().unwrap();
            asked.body["Since"].as_str().unwrap().to_owned()
        };
        for (days, action, wanted, times) in [
            (100, ConsentAction::Given, "2026-08-10", 1),
            // A later one adds nothing that has not been answered.
            (50, ConsentAction::Given, "2026-08-10", 1),
            (200, ConsentAction::Given, "2026-05-02", 2),
            (60, ConsentAction::Withdrawn, "2026-05-02", 2),
        ] {
            let new = give(days, action);
            bench
                .gate
                .record_consent(&bench.ask("admin"), new)
                .await
                .unwrap();
            check(&bench, &gate, ANNA).await;
            assert_eq!(since(&provider), wanted);
            assert_eq!(provider.times_asked(), times, "{days}");
        }
    }

    pub async fn what_others_told_counts_while_it_is_newer(bench: Bench) {
        let provider = FakeProvider::start(Manner::Status(500, "")).await;
        let gate = asking(
            &bench,
            vec![provider.service("rnd", ProviderKind::Reassigned)],
        );
        let anna = bench.contact(&[ANNA], "US-ME").await.unwrap();
        let tell = async |listed| {
            let mut number = anna.numbers[0].clone();
            number.registers.push(RegisterCheck {
                register: "us-rnd".to_owned(),
                listed: Some(listed),
                as_of: bench.now().utc_date(),
                listed_since: None,
                snapshot: None,
            });
            let draft = ContactDraft {
                party_id: Some(anna.party_id),
                profile: anna.profile.clone(),
                numbers: vec![number],
                etag: None,
                mask: None,
            };
            let ask = bench.ask("admin");
            bench.gate.upsert_contact(&ask, draft).await.unwrap();
        };
        tell(false).await;
        let denied = async || denied_by(&check(&bench, &gate, ANNA).await);
        assert!(denied().await.is_empty(), "no answer takes nothing back");
        assert_eq!(provider.times_asked(), 1);
        // Of one day the worse counts.
        bench.clock.advance(Duration::from_mins(1));
        provider.does(Manner::Says(LISTED));
        assert_eq!(denied().await, [RULE]);
        tell(false).await;
        assert_eq!(denied().await, [RULE]);
        bench.clock.advance(DAY);
        tell(false).await;
        assert!(denied().await.is_empty(), "somebody looked since");
        assert_eq!(provider.times_asked(), 2);
    }

    pub async fn nobody_is_asked_in_vain(bench: Bench) {
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let gate = asking_rnd(&bench, &provider).await;
        // No country of the provider's, no destination, no person.
        let abroad = ProviderConfig {
            countries: vec!["CA".to_owned()],
            ..provider.row("rnd", ProviderKind::Reassigned)
        };
        let other = asking(&bench, vec![abroad.service().unwrap()]);
        check(&bench, &other, ANNA).await;
        assert!(gate.check(bench.request("+442079460123")).await.is_err());
        let asked = provider.times_asked();
        let sleeping = CallRequest {
            campaign_id: "nobody".to_owned(),
            ..bench.request(ANNA)
        };
        assert!(gate.check(sleeping).await.is_err());
        assert_eq!(provider.times_asked(), asked);
        // Who opted out is nobody's to tell of.
        bench
            .gate
            .suppress(&bench.ask("admin"), bench.opt_out(ANNA))
            .await
            .unwrap();
        assert!(denied_by(&check(&bench, &gate, ANNA).await).len() > 1);
        assert_eq!(provider.times_asked(), asked);
        // At night it is asked for the morning.
        bench.clock.advance(Duration::from_hours(12));
        let decision = check(&bench, &gate, BERT).await;
        assert!(decision.judgement.next_allowed_time.is_some());
        assert_eq!(provider.times_asked(), asked + 1);
    }

    pub async fn a_list_asks_nobody(bench: Bench) {
        let provider = FakeProvider::start(Manner::Says(CLEAR)).await;
        let gate = asking_rnd(&bench, &provider).await;
        check(&bench, &gate, ANNA).await;
        let terms = ScrubTerms {
            tenant: TenantId::default(),
            campaign_id: campaign("us", "US", "seller").campaign_id,
            call_kind: dialgate::domain::call::CallKind::LiveManual,
            caller_id: None,
            at: None,
            home_country: None,
            with_reasons: false,
            actor: "key:admin".to_owned(),
        };
        let scrub = gate.scrub(terms).unwrap();
        let numbers = [ANNA, BERT].map(str::to_owned).to_vec();
        let rows = scrub.judge(numbers).await.unwrap().rows;
        let verdicts: Vec<_> = rows
            .iter()
            .map(|row| row.said.as_ref().unwrap().verdict)
            .collect();
        assert_eq!(verdicts, [Verdict::Allow, Verdict::Deny]);
        assert_eq!(provider.times_asked(), 1);
    }
}
