//! What passed between a person and one seller is a fact of that seller's cases and of nobody else's.

use super::on_both;

on_both! {
    a_purchase_at_one_seller_opens_the_register_for_that_one,
    dealings_with_one_seller_change_nothing_for_another,
    p02_no_fact_of_one_seller_stands_in_the_case_of_another,
    dealings_are_replaced_seller_by_seller,
    dealings_with_a_seller_of_no_campaign_are_refused,
    a_person_has_dealings_with_so_many_sellers,
}

mod tests {
    use std::collections::BTreeMap;

    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::decision::Decision;
    use dialgate::domain::party::{
        Audience, Dealings, LineType, Location, Party, PartyNumber, Profile, RegisterCheck,
        SELLERS_MAX,
    };
    use dialgate::gate::{ContactDraft, Gate, GateError};
    use serde_json::{Value, json};

    use crate::gate::bench::{Bench, campaign, phone};

    const ANNA: &str = "+14045550141";

    /// A node whose campaigns `alpha` and `beta` call everywhere for sellers of these names.
    async fn two_sellers(bench: &Bench) -> Gate {
        let destinations = ["US", "GB", "DE"].map(str::to_owned).to_vec();
        let of = |seller: &str| Campaign {
            destinations: destinations.clone(),
            ..campaign(seller, "US", seller)
        };
        let gate = bench.again(vec![of("alpha"), of("beta")]);
        gate.settle().await.unwrap();
        gate
    }

    async fn check(bench: &Bench, gate: &Gate, campaign: &str, number: &str) -> Decision {
        let mut request = bench.request(number);
        request.campaign_id = campaign.to_owned();
        gate.check(request).await.unwrap()
    }

    async fn denied_by(bench: &Bench, gate: &Gate, campaign: &str, number: &str) -> Vec<String> {
        let judgement = check(bench, gate, campaign, number).await.judgement;
        judgement
            .denied_by
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn dealings(facts: Value) -> Dealings {
        serde_json::from_value(facts).unwrap()
    }

    fn of_sellers<const N: usize>(told: [(&str, Value); N]) -> BTreeMap<String, Dealings> {
        told.map(|(seller, facts)| (seller.to_owned(), dealings(facts)))
            .into()
    }

    /// A person at this place with this number, listed in this register as of today.
    fn person(
        bench: &Bench,
        place: (&str, Option<&str>),
        audience: Audience,
        number: &str,
        listed: (&str, bool),
    ) -> ContactDraft {
        let now = bench.now().timestamp().to_zoned(jiff::tz::TimeZone::UTC);
        ContactDraft {
            party_id: None,
            profile: Profile {
                audience: Some(audience),
                location: Some(Location {
                    country: Some(place.0.to_owned()),
                    region: place.1.map(str::to_owned),
                    ..Location::default()
                }),
                ..Profile::default()
            },
            numbers: vec![PartyNumber {
                number: phone(number),
                line_type: LineType::Landline,
                registers: vec![RegisterCheck {
                    register: listed.0.to_owned(),
                    listed: Some(listed.1),
                    as_of: now.date(),
                    listed_since: None,
                    snapshot: None,
                }],
                reassigned_check: None,
            }],
            etag: None,
            mask: None,
        }
    }

    fn anna(bench: &Bench) -> ContactDraft {
        person(
            bench,
            ("US", Some("US-GA")),
            Audience::Consumer,
            ANNA,
            ("us-dnc", true),
        )
    }

    /// The same person, of whom only these dealings are told.
    fn told(of: &Party, dealings: BTreeMap<String, Dealings>) -> ContactDraft {
        ContactDraft {
            party_id: Some(of.party_id),
            profile: Profile {
                dealings,
                ..Profile::default()
            },
            numbers: Vec::new(),
            etag: None,
            mask: None,
        }
    }

    async fn tell(bench: &Bench, gate: &Gate, draft: ContactDraft) -> Party {
        gate.upsert_contact(&bench.ask("admin"), draft)
            .await
            .unwrap()
    }

    pub async fn a_purchase_at_one_seller_opens_the_register_for_that_one(bench: Bench) {
        let gate = two_sellers(&bench).await;
        let party = tell(&bench, &gate, anna(&bench)).await;
        let bought = json!({ "relationship": { "last_transaction": "2026-11-01" } });
        tell(
            &bench,
            &gate,
            told(&party, of_sellers([("alpha", bought.clone())])),
        )
        .await;
        let place = async |campaign: &str| {
            let mut request = bench.request(ANNA);
            request.campaign_id = campaign.to_owned();
            gate.place(request).await.unwrap()
        };
        let beta = place("beta").await;
        assert_eq!(beta.decision.judgement.denied_by, ["US-national-dnc"]);
        assert!(beta.call.is_none());
        let alpha = place("alpha").await;
        assert!(
            alpha.call.is_some(),
            "{:?}",
            alpha.decision.judgement.denied_by
        );
        tell(&bench, &gate, told(&party, of_sellers([("beta", bought)]))).await;
        assert!(place("beta").await.call.is_some());
    }

    pub async fn dealings_with_one_seller_change_nothing_for_another(bench: Bench) {
        let gate = two_sellers(&bench).await;
        let (consumer, business) = (Audience::Consumer, Audience::Business);
        let georgia = ("US", Some("US-GA"));
        for (index, (place, audience, number, listed, facts, rule)) in [
            (
                georgia,
                consumer,
                "+14045550150",
                ("us-dnc", true),
                json!({ "relationship": { "last_inquiry": "2026-11-10" } }),
                "US-national-dnc",
            ),
            (
                georgia,
                consumer,
                "+14045550151",
                ("us-dnc", true),
                json!({ "personal_relationship": true }),
                "US-national-dnc",
            ),
            (
                ("US", Some("US-IN")),
                consumer,
                "+13175550152",
                ("us-in-dnc", true),
                json!({ "callback": { "requested_at": "2026-11-17T15:00:00Z" } }),
                "US-IN-dnc",
            ),
            (
                ("GB", None),
                consumer,
                "+442079460153",
                ("gb-tps", false),
                json!({ "legitimate_interest": { "assessment_on_file": true } }),
                "GB-basis",
            ),
            (
                ("DE", None),
                business,
                "+493023125154",
                ("us-dnc", false),
                json!({ "notice": { "version": "n-1" } }),
                "EEA-art14-notice",
            ),
            (
                ("DE", None),
                business,
                "+493023125155",
                ("us-dnc", false),
                json!({ "presumed_consent": { "evidence": "buys our parts" } }),
                "DE-basis-business",
            ),
        ]
        .into_iter()
        .enumerate()
        {
            let recorded = person(&bench, place, audience, number, listed);
            let party = tell(&bench, &gate, recorded).await;
            let before = denied_by(&bench, &gate, "beta", number).await;
            assert!(before.iter().any(|each| each == rule), "{index} {before:?}");
            assert_eq!(denied_by(&bench, &gate, "alpha", number).await, before);
            let of_alpha = of_sellers([("alpha", facts.clone())]);
            tell(&bench, &gate, told(&party, of_alpha)).await;
            let alpha = denied_by(&bench, &gate, "alpha", number).await;
            assert!(alpha.iter().all(|each| each != rule), "{index} {alpha:?}");
            assert_eq!(denied_by(&bench, &gate, "beta", number).await, before);
            let of_beta = of_sellers([("beta", facts)]);
            tell(&bench, &gate, told(&party, of_beta)).await;
            assert_eq!(denied_by(&bench, &gate, "beta", number).await, alpha);
        }
    }

    /// Every fact of dealings, in words that only this seller's record has.
    fn every_fact(seller: &str, day: u32, knows: bool) -> [(&'static str, Value); 6] {
        [
            (
                "relationship",
                json!({ "last_transaction": format!("2026-10-{day:02}") }),
            ),
            (
                "legitimate_interest",
                json!({ "assessment_on_file": knows, "ref": seller }),
            ),
            ("presumed_consent", json!({ "evidence": seller })),
            ("notice", json!({ "version": seller })),
            (
                "callback",
                json!({ "requested_at": format!("2026-10-{day:02}T15:00:00Z") }),
            ),
            ("personal_relationship", json!(knows)),
        ]
    }

    /// Whatever is on record of two sellers: the stored case of each has its own facts, all of them, and no other.
    pub async fn p02_no_fact_of_one_seller_stands_in_the_case_of_another(bench: Bench) {
        let gate = two_sellers(&bench).await;
        let party = tell(&bench, &gate, anna(&bench)).await;
        // Each fact at neither, at one of them, or at both: a digit to the base of four.
        for combination in (0..4_u32.pow(6)).step_by(61) {
            let here = |bit: u32, facts: [(&'static str, Value); 6]| -> Value {
                let digits = (0..6).map(|digit| combination >> (2 * digit) & bit != 0);
                let kept = facts.into_iter().zip(digits).filter(|(_, kept)| *kept);
                kept.map(|((name, fact), _)| (name.to_owned(), fact))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            let alpha = here(1, every_fact("alpha", 4, true));
            let beta = here(2, every_fact("beta", 9, false));
            let both = of_sellers([("alpha", alpha.clone()), ("beta", beta.clone())]);
            tell(&bench, &gate, told(&party, both)).await;
            for (seller, own) in [("alpha", &alpha), ("beta", &beta)] {
                let made = check(&bench, &gate, seller, ANNA).await;
                let stored = bench.decision(made.decision_id).await.case_json.unwrap();
                let case: Value = serde_json::from_str(&stored).unwrap();
                for (name, _) in every_fact("", 1, true) {
                    let fact = case["facts"].get(name);
                    assert_eq!(fact, own.get(name), "{combination} {seller} {name}");
                }
            }
        }
    }

    pub async fn dealings_are_replaced_seller_by_seller(bench: Bench) {
        let gate = two_sellers(&bench).await;
        let notice = |version: &str| json!({ "notice": { "version": version } });
        let knows = json!({ "notice": { "version": "n-1" }, "personal_relationship": true });
        let mut new = anna(&bench);
        new.profile.dealings = of_sellers([("alpha", knows.clone()), ("beta", notice("n-1"))]);
        let party = tell(&bench, &gate, new).await;
        assert_eq!(party.profile.dealings.len(), 2);
        let after = async |mask: Option<&[&str]>, dealings: BTreeMap<String, Dealings>| {
            let mut draft = told(&party, dealings);
            draft.mask =
                mask.map(|fields| fields.iter().map(|field| (*field).to_owned()).collect());
            let answered = tell(&bench, &gate, draft).await;
            let mut tx = bench.store.read().await;
            let tenant = bench.ask("admin").principal.tenant;
            let stored = tx.party(&tenant, party.party_id).await.unwrap().unwrap();
            assert_eq!(stored.profile, answered.profile);
            answered.profile.dealings
        };
        // One seller as a whole, the other untouched.
        let found = after(None, of_sellers([("alpha", notice("n-2"))])).await;
        let expected = of_sellers([("alpha", notice("n-2")), ("beta", notice("n-1"))]);
        assert_eq!(found, expected);
        // What is told of other fields leaves them.
        assert_eq!(after(None, BTreeMap::new()).await, expected);
        let found = after(Some(&["language_tag"]), of_sellers([("alpha", knows)])).await;
        assert_eq!(found, expected);
        // A seller of whom nothing is told any more.
        let found = after(None, of_sellers([("alpha", json!({}))])).await;
        assert_eq!(found, of_sellers([("beta", notice("n-1"))]));
        // The list as given.
        let given = of_sellers([("alpha", notice("n-3"))]);
        assert_eq!(after(Some(&["dealings"]), given.clone()).await, given);
        assert!(after(Some(&["dealings"]), BTreeMap::new()).await.is_empty());
        let old = after(None, given).await;
        assert_eq!(old.len(), 1);
        for gone in [
            "relationship",
            "legitimate_interest",
            "presumed_consent",
            "notice",
            "callback",
            "personal_relationship",
        ] {
            let mut draft = told(&party, BTreeMap::new());
            draft.mask = Some(vec![gone.to_owned()]);
            let refused = gate.upsert_contact(&bench.ask("admin"), draft).await;
            assert!(
                matches!(&refused, Err(GateError::Invalid { field, .. }) if field == "update_mask"),
                "{refused:?}"
            );
        }
    }

    pub async fn dealings_with_a_seller_of_no_campaign_are_refused(bench: Bench) {
        let gate = two_sellers(&bench).await;
        let party = tell(&bench, &gate, anna(&bench)).await;
        let notice = json!({ "notice": { "version": "n-1" } });
        let both = of_sellers([("alpha", notice.clone()), ("beta", notice.clone())]);
        tell(&bench, &gate, told(&party, both.clone())).await;
        // The campaign of beta is gone.
        let later = bench.again(vec![campaign("alpha", "US", "alpha")]);
        later.settle().await.unwrap();
        let all = Some(vec!["dealings".to_owned()]);
        for (new, mask, refused) in [
            (of_sellers([("gamma", notice.clone())]), None, Some("gamma")),
            (of_sellers([("", notice.clone())]), None, Some("")),
            (
                of_sellers([("beta", json!({ "personal_relationship": true }))]),
                None,
                Some("beta"),
            ),
            (
                of_sellers([("gamma", notice.clone())]),
                all.clone(),
                Some("gamma"),
            ),
            (
                of_sellers([("gamma", notice)]),
                Some(vec!["language_tag".to_owned()]),
                None,
            ),
            // Read, and said again as it stands.
            (both, all.clone(), None),
            (BTreeMap::new(), all, None),
        ] {
            let draft = ContactDraft {
                mask,
                ..told(&party, new)
            };
            let said = later
                .upsert_contact(&bench.ask("admin"), draft.clone())
                .await;
            match refused {
                None => assert!(said.is_ok(), "{draft:?}: {said:?}"),
                Some(named) => assert!(
                    matches!(&said, Err(GateError::SellerUnknown { seller }) if seller == named),
                    "{draft:?}: {said:?}"
                ),
            }
        }
    }

    pub async fn a_person_has_dealings_with_so_many_sellers(bench: Bench) {
        let name = |index: usize| format!("seller-{index:02}");
        let campaigns = (0..=SELLERS_MAX).map(|index| campaign(&name(index), "US", &name(index)));
        let gate = bench.again(campaigns.collect());
        gate.settle().await.unwrap();
        let party = tell(&bench, &gate, anna(&bench)).await;
        let notice = dealings(json!({ "notice": { "version": "n-1" } }));
        let with = |sellers: std::ops::Range<usize>| -> BTreeMap<String, Dealings> {
            sellers.map(|index| (name(index), notice.clone())).collect()
        };
        tell(&bench, &gate, told(&party, with(0..SELLERS_MAX))).await;
        let one_more = told(&party, with(SELLERS_MAX..SELLERS_MAX + 1));
        let refused = gate.upsert_contact(&bench.ask("admin"), one_more).await;
        assert!(
            matches!(&refused, Err(GateError::Invalid { field, .. }) if field == "contact.dealings"),
            "{refused:?}"
        );
    }
}
