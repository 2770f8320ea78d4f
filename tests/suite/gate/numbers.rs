//! What registers said of a number, whoever told it and in whatever order.

use super::on_both;

on_both! {
    p06_a_listing_told_of_one_person_holds_for_whoever_has_the_number,
    p06_an_older_list_opens_nothing,
}

mod tests {
    use dialgate::domain::call::CallRequest;
    use dialgate::domain::ids::PartyId;
    use dialgate::domain::party::{
        LineType, Party, PartyNumber, Profile, ReassignedAnswer, ReassignedCheck, RegisterCheck,
    };
    use dialgate::gate::{ContactDraft, GateError};

    use crate::gate::bench::{Bench, phone};

    const ANNA: &str = "+14045550141";
    const BERT: &str = "+14045550142";
    const NATIONAL: &str = "US-national-dnc";

    fn listing(listed: bool, as_of: &str) -> RegisterCheck {
        RegisterCheck {
            register: "us-dnc".to_owned(),
            listed: Some(listed),
            as_of: as_of.parse().unwrap(),
            listed_since: None,
            snapshot: None,
        }
    }

    /// What somebody tells of Anna's number as that of this person.
    async fn tell(
        bench: &Bench,
        party_id: PartyId,
        registers: Vec<RegisterCheck>,
        reassigned_check: Option<ReassignedCheck>,
    ) -> Result<Party, GateError> {
        let draft = ContactDraft {
            party_id: Some(party_id),
            profile: Profile::default(),
            numbers: vec![PartyNumber {
                number: phone(ANNA),
                line_type: LineType::Landline,
                registers,
                reassigned_check,
            }],
            etag: None,
            mask: None,
        };
        bench.gate.upsert_contact(&bench.ask("admin"), draft).await
    }

    async fn listed(bench: &Bench, party_id: PartyId) -> bool {
        let request = CallRequest {
            party_id: Some(party_id),
            ..bench.request(ANNA)
        };
        let judged = bench.gate.check(request).await.unwrap().judgement;
        judged.denied_by.iter().any(|rule| rule == NATIONAL)
    }

    pub async fn p06_a_listing_told_of_one_person_holds_for_whoever_has_the_number(bench: Bench) {
        let anna = bench.callable(ANNA).await.party_id;
        let bert = bench.callable(BERT).await.party_id;
        assert!(!listed(&bench, anna).await);
        // They share a line, and the list of the same day has it.
        let told = listing(true, "2026-11-18");
        tell(&bench, bert, vec![told], None).await.unwrap();
        assert!(listed(&bench, anna).await && listed(&bench, bert).await);
        // Bert moves out; the line is on the list.
        let mut alone = bench.contact(&[BERT], "US-GA").await.unwrap();
        alone.numbers.retain(|each| each.number == phone(BERT));
        let draft = ContactDraft {
            party_id: Some(bert),
            profile: Profile::default(),
            numbers: alone.numbers,
            etag: None,
            mask: Some(vec!["numbers".to_owned()]),
        };
        let bert = bench.gate.upsert_contact(&bench.ask("admin"), draft).await;
        assert_eq!(bert.unwrap().numbers.len(), 1);
        assert!(listed(&bench, anna).await);
        // A newer list no longer has it.
        let told = listing(false, "2026-11-19");
        tell(&bench, anna, vec![told], None).await.unwrap();
        assert!(!listed(&bench, anna).await);
    }

    pub async fn p06_an_older_list_opens_nothing(bench: Bench) {
        let anna = bench.callable(ANNA).await.party_id;
        let told = listing(true, "2026-11-18");
        tell(&bench, anna, vec![told.clone()], None).await.unwrap();
        let older = vec![listing(false, "2026-11-17")];
        let party = tell(&bench, anna, older, None).await.unwrap();
        assert!(party.numbers[0].registers.contains(&told), "{party:?}");
        assert!(listed(&bench, anna).await);
        let corrected = vec![listing(false, "2026-11-18")];
        tell(&bench, anna, corrected, None).await.unwrap();
        assert!(!listed(&bench, anna).await);
        // Nothing could take the place of a version that is dated ahead by mistake.
        let ahead = ReassignedCheck {
            queried_on: "2026-12-01".parse().unwrap(),
            for_date: "2026-01-01".parse().unwrap(),
            answer: ReassignedAnswer::No,
        };
        for (registers, check, field) in [
            (vec![listing(false, "2026-12-01")], None, "as_of_date"),
            (Vec::new(), Some(ahead), "query_date"),
        ] {
            let refused = tell(&bench, anna, registers, check).await;
            let error = refused.unwrap_err();
            let named =
                matches!(&error, GateError::Invalid { field: named, .. } if named.ends_with(field));
            assert!(named, "{error:?}");
        }
    }
}
