//! Stops of regions: nobody there is called, whatever rows the pack in force has, and whoever the call is for.

use super::on_both;

on_both![
    a_stop_holds_for_everybody_who_is_or_may_be_there,
    a_closed_day_of_a_territory_closes_it,
    rows_of_the_law_neither_limit_nor_replace_a_stop,
    a_configured_stop_holds_under_every_pack,
];

mod tests {
    use std::collections::BTreeMap;

    use dialgate::domain::call::CallRequest;
    use dialgate::domain::campaign::Campaign;
    use dialgate::domain::decision::Decision;
    use dialgate::domain::party::{
        Audience, LineType, Location, PartyNumber, Profile, RegisterCheck,
    };
    use dialgate::gate::{ContactDraft, Gate, NewRegionStop, PackSource};
    use dialgate::policy::{ClosedDay, PackFiles};

    use crate::gate::bench::{Bench, at, campaign, phone};

    const NEW_YORK: &str = "+12125550141";
    const ATLANTA: &str = "+14045550141";
    const SAN_JUAN: &str = "+17875550141";
    const MUNICH: &str = "+498923125201";
    const PARIS: &str = "+33142345678";
    const REUNION: &str = "+262262123456";
    const GUAM: &str = "+16715550141";

    fn everywhere() -> Vec<Campaign> {
        let destinations = ["US", "PR", "GU", "DE", "FR", "RE", "YT"];
        vec![Campaign {
            destinations: destinations.map(str::to_owned).to_vec(),
            ..campaign("us", "US", "seller")
        }]
    }

    /// A person of whom no more is known than this.
    async fn contact(bench: &Bench, number: &str, audience: Audience, country: &str, region: &str) {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let clear = ["us-dnc", "us-pr-dnc"].map(|register| RegisterCheck {
            register: register.to_owned(),
            listed: Some(false),
            as_of: "2026-11-18".parse().unwrap(),
            listed_since: None,
            snapshot: None,
        });
        let draft = ContactDraft {
            party_id: None,
            profile: Profile {
                audience: Some(audience),
                location: Some(Location {
                    country: some(country),
                    region: some(region),
                    ..Location::default()
                }),
                ..Profile::default()
            },
            numbers: vec![PartyNumber {
                number: phone(number),
                line_type: LineType::Landline,
                registers: clear.to_vec(),
                reassigned_check: None,
            }],
            etag: None,
            mask: None,
        };
        let ask = bench.ask("admin");
        bench.gate.upsert_contact(&ask, draft).await.unwrap();
    }

    async fn check(bench: &Bench, gate: &Gate, number: &str) -> Decision {
        let question = CallRequest {
            request_id: None,
            expire_time: None,
            ..bench.request(number)
        };
        gate.check(question).await.unwrap()
    }

    async fn denied_by(bench: &Bench, gate: &Gate, number: &str) -> Vec<String> {
        let judgement = check(bench, gate, number).await.judgement;
        let stops = |rule: &String| rule.starts_with("OPERATOR-stop-");
        let denied_by: Vec<String> = judgement
            .denied_by
            .iter()
            .map(ToString::to_string)
            .collect();
        if denied_by.iter().any(stops) {
            assert_eq!(judgement.next_allowed_time, None);
        }
        denied_by
    }

    fn stop(region: &str) -> NewRegionStop {
        NewRegionStop {
            region: region.to_owned(),
            reason: "storm".to_owned(),
            starts_at: None,
            expires_at: at("2026-11-25T00:00:00Z"),
        }
    }

    /// The built-in pack without its rows of stops, and with these.
    fn pack(rows: &str) -> PackSource {
        let base = PackFiles::embedded();
        let mut files: BTreeMap<String, String> = base
            .iter()
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .collect();
        for text in files.values_mut() {
            let tables = text.split("\n\n");
            let kept = tables.filter(|table| !table.contains("kind = \"prohibited_day\""));
            *text = kept.collect::<Vec<_>>().join("\n\n");
        }
        // Worked cases speak of the rows that are gone.
        files.retain(|name, _| !name.starts_with("tests/"));
        let added = format!("schema = 2\nas_of = \"2026-11-21\"\n{rows}");
        files.insert("added/house.toml".to_owned(), added);
        PackSource::Files(files.into_iter().collect())
    }

    fn row(id: &str, more: &str) -> String {
        format!(
            "[[rule]]\nid = \"{id}\"\njurisdiction = \"US-GA\"\nkind = \"prohibited_day\"\ntrigger = \"emergency\"\n\
             citation = \"house\"\ncertainty = \"primary\"\n{more}\n"
        )
    }

    pub async fn a_stop_holds_for_everybody_who_is_or_may_be_there(bench: Bench) {
        let (business, consumer) = (Audience::Business, Audience::Consumer);
        // Number, what is known of the person, what is stopped, and whether that stops the call.
        let cases = [
            (NEW_YORK, business, "US", "US-NY", "US-NY", true),
            (NEW_YORK, consumer, "US", "US-NY", "US-NY", true),
            (NEW_YORK, business, "US", "US-NY", "US-NJ", false),
            (NEW_YORK, business, "US", "US-NY", "US", true),
            (NEW_YORK, business, "US", "US-NY", "ZZ", true),
            (NEW_YORK, business, "US", "US-NY", "EEA", false),
            // The area code's region is presumed, a stated one beside it.
            (ATLANTA, consumer, "US", "", "US-GA", true),
            (ATLANTA, consumer, "US", "", "US-LA", false),
            (ATLANTA, consumer, "US", "US-LA", "US-LA", true),
            (ATLANTA, consumer, "US", "US-LA", "US-GA", true),
            // A territory, under its own name, as a region, and under its country's.
            (SAN_JUAN, consumer, "", "", "PR", true),
            (SAN_JUAN, consumer, "PR", "", "PR", true),
            (SAN_JUAN, consumer, "US", "US-PR", "PR", true),
            (ATLANTA, consumer, "US", "US-PR", "PR", true),
            (SAN_JUAN, consumer, "", "", "US-PR", true),
            (SAN_JUAN, consumer, "", "", "US", true),
            (SAN_JUAN, consumer, "", "", "US-LA", false),
            (ATLANTA, consumer, "US", "US-GA", "PR", false),
            (ATLANTA, consumer, "US", "US-GA", "US-PR", false),
            (GUAM, consumer, "", "", "US-GU", true),
            (GUAM, consumer, "", "", "GU", true),
            (GUAM, consumer, "", "", "US-LA", false),
            (REUNION, consumer, "", "", "RE", true),
            (REUNION, consumer, "RE", "", "RE", true),
            (PARIS, consumer, "RE", "", "RE", true),
            (REUNION, consumer, "", "", "FR-RE", true),
            (REUNION, consumer, "", "", "FR", true),
            (REUNION, consumer, "", "", "EEA", true),
            (REUNION, consumer, "", "", "FR-IDF", false),
            (PARIS, consumer, "FR", "", "RE", true),
            (PARIS, consumer, "FR", "FR-75C", "RE", false),
            (PARIS, consumer, "FR", "", "FR-IDF", true),
            // Whose region is not known may be in any.
            (MUNICH, consumer, "", "", "DE-BY", true),
            (MUNICH, consumer, "DE", "", "DE-BY", true),
            (MUNICH, consumer, "DE", "DE-BY", "DE-BY", true),
            (MUNICH, consumer, "DE", "DE-BE", "DE-BY", false),
            (ATLANTA, consumer, "DE", "", "DE-BY", true),
        ];
        for (index, (number, audience, country, region, stopped, holds)) in
            cases.into_iter().enumerate()
        {
            // Another number of the same exchange each time: every person is a new one.
            let number = format!("{}{index:02}", &number[..number.len() - 2]);
            contact(&bench, &number, audience, country, region).await;
            let what = format!("{number} in {country} {region}, stopped {stopped}");
            let rule = format!("OPERATOR-stop-{stopped}");
            let node = bench.stopping(everywhere(), &[stopped]);
            let denied = denied_by(&bench, &node, &number).await;
            assert_eq!(denied.contains(&rule), holds, "{what}: {denied:?}");
            let free = denied_by(&bench, &bench.again(everywhere()), &number).await;
            assert!(!free.contains(&rule), "{what}: {free:?}");
        }
    }

    pub async fn a_closed_day_of_a_territory_closes_it(bench: Bench) {
        contact(&bench, SAN_JUAN, Audience::Consumer, "", "").await;
        contact(&bench, ATLANTA, Audience::Consumer, "US", "US-GA").await;
        let node = bench.again(everywhere());
        let before = denied_by(&bench, &node, ATLANTA).await;
        assert_eq!(before, Vec::<String>::new());
        let windows = |denied: Vec<String>| denied.iter().any(|rule| rule.contains("window"));
        assert!(!windows(denied_by(&bench, &node, SAN_JUAN).await));
        let day = ClosedDay {
            jurisdiction: "PR".to_owned(),
            date: "2026-11-18".parse().unwrap(),
            reason: "storm".to_owned(),
            by: "key:anna".to_owned(),
        };
        let ask = bench.ask("anna");
        bench.gate.add_closed_day(&ask, day).await.unwrap();
        assert!(windows(denied_by(&bench, &node, SAN_JUAN).await));
        assert_eq!(
            denied_by(&bench, &node, ATLANTA).await,
            Vec::<String>::new()
        );
    }

    pub async fn rows_of_the_law_neither_limit_nor_replace_a_stop(bench: Bench) {
        contact(&bench, NEW_YORK, Audience::Business, "US", "US-NY").await;
        contact(&bench, ATLANTA, Audience::Consumer, "US", "US-GA").await;
        let rows = [
            row(
                "OFF",
                "enforced = false\ncall_kinds = [\"live_manual\"]\naudience = \"both\"",
            ),
            row(
                "ROBOTS",
                "call_kinds = [\"prerecorded\"]\naudience = \"both\"",
            ),
            row(
                "PAST",
                "effective_to = \"2020-01-01\"\ncall_kinds = [\"live_manual\"]\naudience = \"both\"",
            ),
            row(
                "LIFTED",
                "lifted_by = [\"none_required\"]\ncall_kinds = [\"live_manual\"]\naudience = \"both\"",
            ),
            row(
                "SERVICE",
                "purposes = [\"service\"]\ncall_kinds = [\"live_manual\"]\naudience = \"both\"",
            ),
        ];
        let gate = bench.again(everywhere());
        let none = Vec::<String>::new();
        for (region, number, source) in [
            ("US-NY", NEW_YORK, PackSource::Configured),
            ("US-GA", ATLANTA, pack(&rows.concat())),
        ] {
            let (first, second, third) = (bench.ask("anna"), bench.ask("anna"), bench.ask("anna"));
            let activated = gate.activate(&first, source, "house".to_owned(), false);
            activated.await.unwrap();
            assert_eq!(denied_by(&bench, &gate, number).await, none, "{region}");
            let set = gate.stop_region(&second, stop(region)).await.unwrap();
            let decision = check(&bench, &gate, number).await;
            let rule = format!("OPERATOR-stop-{region}");
            assert_eq!(decision.judgement.denied_by, [rule.as_str()]);
            // What is on record gives the same judgement again.
            let case = serde_json::from_str(&decision.case_json.unwrap()).unwrap();
            let (_, pack) = gate.policy_now(&Default::default()).await.unwrap();
            assert_eq!(dialgate::policy::judge(&pack, &case), decision.judgement);
            let lifted = gate.lift_region_stop(&third, set.stop_id, "over".to_owned());
            lifted.await.unwrap();
            assert_eq!(denied_by(&bench, &gate, number).await, none, "{region}");
        }
    }

    pub async fn a_configured_stop_holds_under_every_pack(bench: Bench) {
        contact(&bench, ATLANTA, Audience::Consumer, "US", "US-GA").await;
        let (node, other) = (
            bench.stopping(everywhere(), &["US-GA"]),
            bench.again(everywhere()),
        );
        let ask = bench.ask("anna");
        let activated = other.activate(&ask, pack(""), "house".to_owned(), false);
        activated.await.unwrap();
        // A node that ran before, and one that starts afterwards.
        let later = bench.stopping(everywhere(), &["US-GA"]);
        later.settle().await.unwrap();
        for gate in [node, later] {
            let denied = denied_by(&bench, &gate, ATLANTA).await;
            assert_eq!(denied, ["OPERATOR-stop-US-GA"]);
        }
        let denied = denied_by(&bench, &other, ATLANTA).await;
        assert_eq!(
            denied,
            Vec::<String>::new(),
            "its configuration stops nothing"
        );
    }
}
