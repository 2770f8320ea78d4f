//! What is said of an account holds for everybody who belongs to it, and a wish for one purpose leaves the others.

use super::on_both;

on_both! {
    p03_an_opt_out_of_an_account_waits_the_full_time_and_stops_everybody,
    p03_who_joins_the_account_meanwhile_is_bound_and_told_only_when_no_call_can_follow,
    p03_joining_is_answered_again_only_when_its_time_has_passed,
    p03_who_has_left_the_account_is_bound_by_what_it_said_before,
    p03_an_opt_out_of_an_account_outranks_its_members_consents,
    p03_who_left_the_account_takes_its_wish_along_and_may_take_it_back,
    p02_an_opt_out_for_sales_leaves_service_calls,
    an_opt_out_of_an_account_is_tried_without_a_trace,
    a_contact_keeps_its_account_until_it_is_told_another,
}

mod tests {
    use std::time::Duration;

    use dialgate::domain::account::Account;
    use dialgate::domain::call::{CallRequest, Purpose};
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::consent::ConsentAction;
    use dialgate::domain::decision::Verdict;
    use dialgate::domain::filter::Filter;
    use dialgate::domain::ids::PartyId;
    use dialgate::domain::party::{Party, Profile};
    use dialgate::domain::suppression::SuppressionReason;
    use dialgate::gate::{Ask, BARRIER_WAIT, Claimed, ContactDraft, NewSuppression};
    use dialgate::store::ListQuery;
    use tokio::task::JoinHandle;

    use crate::gate::bench::{Bench, campaign};
    use crate::support::builders::tenant;

    const ANNA: &str = "+14045550171";
    const BEN: &str = "+14045550172";
    const CARL: &str = "+14045550173";

    const SOON: Duration = Duration::from_secs(10);
    const A_WHILE: Duration = Duration::from_millis(300);

    async fn is_waiting<T>(task: &mut JoinHandle<T>) -> bool {
        tokio::time::timeout(A_WHILE, task).await.is_err()
    }

    fn acme() -> Account {
        Account::parse("ACME").unwrap()
    }

    fn of_account(bench: &Bench) -> NewSuppression {
        NewSuppression {
            number: None,
            account: Some(acme()),
            ..bench.opt_out(ANNA)
        }
    }

    fn told(party: PartyId, account: Option<Account>) -> ContactDraft {
        ContactDraft {
            party_id: Some(party),
            profile: Profile {
                account,
                ..Profile::default()
            },
            numbers: Vec::new(),
            etag: None,
            mask: Some(vec!["account".to_owned()]),
        }
    }

    /// The person's account as it is told now, by a request of its own.
    fn telling(
        bench: &Bench,
        ask: Ask,
        party: PartyId,
        account: Option<Account>,
    ) -> JoinHandle<Party> {
        let gate = bench.gate.clone();
        tokio::spawn(async move {
            gate.upsert_contact(&ask, told(party, account))
                .await
                .unwrap()
        })
    }

    async fn belongs(bench: &Bench, party: &Party, account: Option<Account>) {
        let told = telling(bench, bench.ask("admin"), party.party_id, account);
        tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    }

    fn suppressing(bench: &Bench, new: NewSuppression) -> JoinHandle<()> {
        let (gate, ask) = (bench.gate.clone(), bench.ask("admin"));
        tokio::spawn(async move { drop(gate.suppress(&ask, new).await.unwrap()) })
    }

    /// Lets the barrier's wait pass until what waits is through: it begins with a commit, which may take a while.
    async fn passes<T>(bench: &Bench, mut waiting: JoinHandle<T>) -> T {
        let through = async {
            loop {
                bench.clock.advance(BARRIER_WAIT);
                if let Ok(ended) = tokio::time::timeout(A_WHILE, &mut waiting).await {
                    return ended.unwrap();
                }
            }
        };
        tokio::time::timeout(SOON, through).await.unwrap()
    }

    async fn verdict(bench: &Bench, number: &str) -> Verdict {
        let judged = bench.place(number).await.decision.judgement;
        // What a member is bound by no consent of theirs opens; who left carries it along as their own.
        let known = ["OPERATOR-block-account", "OPERATOR-block-internal"];
        let denied_by = judged.denied_by.iter();
        let law: Vec<_> = denied_by
            .filter(|rule| !known.contains(&&***rule))
            .collect();
        if judged.verdict == Verdict::Deny {
            assert_eq!(law, ["US-internal-dnc"]);
        }
        judged.verdict
    }

    /// One rings, one is queued, one is not of the account.
    pub async fn p03_an_opt_out_of_an_account_waits_the_full_time_and_stops_everybody(
        bench: Bench,
    ) {
        let anna = bench.callable(ANNA).await;
        let ben = bench.callable(BEN).await;
        bench.callable(CARL).await;
        belongs(&bench, &anna, Some(acme())).await;
        belongs(&bench, &ben, Some(acme())).await;
        let (_, permit, attempt_id) = bench.claimed(ANNA).await;
        bench.queued(BEN).await;
        let mut opt_out = suppressing(&bench, of_account(&bench));
        assert!(is_waiting(&mut opt_out).await);
        let found = bench
            .store
            .read()
            .await
            .cancels_for(bench.me, bench.now())
            .await;
        let found = found.unwrap();
        assert_eq!(
            (found.len(), found[0].0),
            (1, attempt_id),
            "its owner cancels it"
        );
        bench.clock.advance(BARRIER_WAIT - Duration::from_millis(1));
        assert!(is_waiting(&mut opt_out).await);
        assert!(permit.check(bench.gate.read()).is_err());
        passes(&bench, opt_out).await;
        let leased = bench.lease().await;
        let claimed = bench.gate.claim(bench.claim(&leased[0], None)).await;
        assert!(matches!(claimed, Ok(Claimed::Denied(_))), "{claimed:?}");
        assert_eq!(verdict(&bench, ANNA).await, Verdict::Deny);
        assert_eq!(verdict(&bench, BEN).await, Verdict::Deny);
        assert_eq!(verdict(&bench, CARL).await, Verdict::Allow);
        // The same wish again waits again; everybody can be called after both are lifted.
        let again = {
            let (gate, ask, new) = (bench.gate.clone(), bench.ask("admin"), of_account(&bench));
            tokio::spawn(async move { gate.suppress(&ask, new).await.unwrap() })
        };
        let again = passes(&bench, again).await;
        let filter = Filter::Everything;
        let all = ListQuery {
            filter,
            page_size: 10,
            after: None,
        };
        let listed = bench
            .store
            .read()
            .await
            .list_suppressions(&tenant(), &all)
            .await;
        let listed = listed.unwrap().rows;
        assert_eq!(listed[0].suppression_id, again.suppression_id);
        for each in listed {
            bench.lift(each.suppression_id).await;
        }
        assert_eq!(verdict(&bench, BEN).await, Verdict::Allow);
    }

    /// In the two seconds between its commit and its acknowledgement: a claim that saw them outside of the account may still
    /// send until its permit is over.
    pub async fn p03_who_joins_the_account_meanwhile_is_bound_and_told_only_when_no_call_can_follow(
        bench: Bench,
    ) {
        let anna = bench.callable(ANNA).await;
        let ben = bench.callable(BEN).await;
        let mut opt_out = suppressing(&bench, of_account(&bench));
        assert!(is_waiting(&mut opt_out).await);
        // Nearly over.
        bench
            .clock
            .advance(BARRIER_WAIT - Duration::from_millis(100));
        let (_, permit, attempt_id) = bench.claimed(ANNA).await;
        bench.queued(BEN).await;
        let mut joining = telling(&bench, bench.ask("admin"), anna.party_id, Some(acme()));
        assert!(
            is_waiting(&mut joining).await,
            "of an account that has opted out"
        );
        let found = bench
            .store
            .read()
            .await
            .cancels_for(bench.me, bench.now())
            .await;
        assert_eq!(
            found.unwrap()[0].0,
            attempt_id,
            "what rings is cancelled at once"
        );
        bench.clock.advance(Duration::from_millis(100));
        tokio::time::timeout(SOON, opt_out).await.unwrap().unwrap();
        assert!(
            permit.check(bench.gate.read()).is_ok(),
            "its claim did not see them in the account"
        );
        assert!(is_waiting(&mut joining).await);
        bench
            .clock
            .advance(BARRIER_WAIT - Duration::from_millis(101));
        assert!(is_waiting(&mut joining).await);
        assert!(permit.check(bench.gate.read()).is_err());
        passes(&bench, joining).await;
        assert_eq!(verdict(&bench, ANNA).await, Verdict::Deny);
        // And later, with a call in the queue.
        let joining = telling(&bench, bench.ask("admin"), ben.party_id, Some(acme()));
        passes(&bench, joining).await;
        let leased = bench.lease().await;
        let claimed = bench.gate.claim(bench.claim(&leased[0], None)).await;
        assert!(matches!(claimed, Ok(Claimed::Denied(_))), "{claimed:?}");
    }

    pub async fn p03_joining_is_answered_again_only_when_its_time_has_passed(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        passes(&bench, suppressing(&bench, of_account(&bench))).await;
        let ask = bench.ask("admin");
        // The client goes away before the answer.
        let mut gone = telling(&bench, ask.clone(), anna.party_id, Some(acme()));
        assert!(is_waiting(&mut gone).await);
        gone.abort();
        let mut again = telling(&bench, ask.clone(), anna.party_id, Some(acme()));
        assert!(is_waiting(&mut again).await);
        let party = passes(&bench, again).await;
        assert_eq!(party.profile.account, Some(acme()));
        let passed = telling(&bench, ask, anna.party_id, Some(acme()));
        tokio::time::timeout(SOON, passed).await.unwrap().unwrap();
        // What was told already is no news.
        belongs(&bench, &anna, Some(acme())).await;
        // Nor does another account wait.
        belongs(&bench, &anna, Some(Account::parse("Umbrella").unwrap())).await;
    }

    pub async fn p03_who_has_left_the_account_is_bound_by_what_it_said_before(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let ben = bench.callable(BEN).await;
        belongs(&bench, &anna, Some(acme())).await;
        belongs(&bench, &ben, Some(acme())).await;
        belongs(&bench, &ben, None).await;
        // Longer ago than clocks are apart.
        bench.clock.advance(Duration::from_secs(1200));
        passes(&bench, suppressing(&bench, of_account(&bench))).await;
        // By a clock that is behind.
        let behind = bench.elsewhere(-240);
        let left = behind
            .upsert_contact(&bench.ask("admin"), told(anna.party_id, None))
            .await;
        assert_eq!(left.unwrap().profile.account, None);
        assert_eq!(verdict(&bench, ANNA).await, Verdict::Deny);
        assert_eq!(
            verdict(&bench, BEN).await,
            Verdict::Allow,
            "they were not there to speak"
        );
    }

    pub async fn p03_an_opt_out_of_an_account_outranks_its_members_consents(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        belongs(&bench, &anna, Some(acme())).await;
        // Recorded by a node whose clock is ahead, before the wish.
        let ahead = bench.elsewhere(240);
        let mut ask = bench.ask("admin");
        ask.at = ahead.read().wall;
        let given = bench.consent(ANNA, ConsentAction::Given);
        ahead.record_consent(&ask, given).await.unwrap();
        passes(&bench, suppressing(&bench, of_account(&bench))).await;
        assert_eq!(denied(&bench).await, ["US-internal-dnc", BLOCK]);
        // What was before it, no clock is in doubt of any more: still it is not the member's to take back.
        bench.clock.advance(Duration::from_secs(900));
        consents(&bench).await;
        assert_eq!(denied(&bench).await, [BLOCK]);
        belongs(&bench, &anna, Some(Account::parse("Umbrella").unwrap())).await;
        assert!(denied(&bench).await.is_empty(), "nor do they speak for it");
        let ask = bench.ask("admin");
        let joins = telling(&bench, ask, anna.party_id, Some(acme()));
        passes(&bench, joins).await;
        assert_eq!(denied(&bench).await, [BLOCK], "whoever joins again");
    }

    pub async fn p03_who_left_the_account_takes_its_wish_along_and_may_take_it_back(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        belongs(&bench, &anna, Some(acme())).await;
        passes(&bench, suppressing(&bench, of_account(&bench))).await;
        belongs(&bench, &anna, None).await;
        assert_eq!(denied(&bench).await, ["US-internal-dnc"]);
        bench.clock.advance(Duration::from_secs(900));
        consents(&bench).await;
        assert!(denied(&bench).await.is_empty());
    }

    const BLOCK: &str = "OPERATOR-block-account";

    async fn denied(bench: &Bench) -> Vec<dialgate::domain::Text> {
        bench.place(ANNA).await.decision.judgement.denied_by
    }

    async fn consents(bench: &Bench) {
        let given = bench.consent(ANNA, ConsentAction::Given);
        let ask = bench.ask("admin");
        bench.gate.record_consent(&ask, given).await.unwrap();
    }

    pub async fn p02_an_opt_out_for_sales_leaves_service_calls(bench: Bench) {
        bench.callable(ANNA).await;
        bench.callable(BEN).await;
        let gate = bench.again(vec![
            campaign("us", "US", "seller"),
            Campaign {
                purpose: Purpose::Service,
                ..campaign("service", "US", "seller")
            },
        ]);
        let denies = async |number, campaign: &str| {
            let asked = CallRequest {
                campaign_id: campaign.to_owned(),
                ..bench.request(number)
            };
            let judged = gate.check(asked).await.unwrap().judgement;
            judged.denied_by.contains(&"US-internal-dnc".into())
        };
        let suppress = async |number, purposes: &[Purpose], reason| {
            let mut new = bench.opt_out(number);
            (new.purposes, new.reason) = (purposes.to_vec(), reason);
            let made = gate.suppress(&bench.ask("admin"), new).await;
            made.unwrap().purposes
        };
        let request = SuppressionReason::PartyRequest;
        let purposes = suppress(ANNA, &[Purpose::Sales], request).await;
        assert_eq!(purposes, [Purpose::Sales]);
        assert!(denies(ANNA, "us").await && !denies(ANNA, "service").await);
        // A wish that names service alone covers sales as well, and is one of its own.
        let purposes = suppress(ANNA, &[Purpose::Service], request).await;
        assert_eq!(purposes, [Purpose::Sales, Purpose::Service]);
        assert!(denies(ANNA, "us").await && denies(ANNA, "service").await);
        // What the operator says of a number keeps to what it names.
        let purposes = suppress(BEN, &[Purpose::Service], SuppressionReason::Internal).await;
        assert_eq!(purposes, [Purpose::Service]);
        assert!(!denies(BEN, "us").await && denies(BEN, "service").await);
        // What nobody limited is not limited.
        let purposes = suppress(BEN, &[Purpose::Service], SuppressionReason::Deceased).await;
        assert!(purposes.is_empty());
        assert!(denies(BEN, "us").await);
    }

    pub async fn an_opt_out_of_an_account_is_tried_without_a_trace(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        let tried = async || {
            let ask = bench.ask("admin");
            bench
                .gate
                .try_suppress(&ask, of_account(&bench))
                .await
                .unwrap()
                .1
        };
        assert_eq!(tried().await, 0);
        belongs(&bench, &anna, Some(acme())).await;
        let before = bench.audit().await;
        assert_eq!(tried().await, 1);
        assert_eq!(bench.audit().await, before);
        assert_eq!(verdict(&bench, ANNA).await, Verdict::Allow);
        let two = NewSuppression {
            account: Some(acme()),
            ..bench.opt_out(ANNA)
        };
        assert!(
            bench
                .gate
                .try_suppress(&bench.ask("admin"), two)
                .await
                .is_err()
        );
    }

    pub async fn a_contact_keeps_its_account_until_it_is_told_another(bench: Bench) {
        let anna = bench.callable(ANNA).await;
        belongs(&bench, &anna, Some(acme())).await;
        let again = bench.callable(ANNA).await;
        assert_eq!(
            again.profile.account,
            Some(acme()),
            "nothing was told of it"
        );
        belongs(&bench, &anna, None).await;
        assert_eq!(bench.callable(ANNA).await.profile.account, None);
    }
}
