//! Dealings of a person with sellers.

use dialgate::domain::ids::PartyId;
use dialgate::domain::party::{Dealings, Notice};
use dialgate::store::FactsWanted;

use super::{NOON, TestStore, draft, phone, tenant, wanted};

contract![facts_have_the_dealings_of_one_seller,];

/// Questions of several sellers about one person, in one load: each gets its own.
async fn facts_have_the_dealings_of_one_seller(store: TestStore) {
    let party = PartyId::new(NOON);
    let mut tx = store.write().await;
    let noted = |version: &str| Dealings {
        notice: Some(Notice {
            version: version.to_owned(),
        }),
        personal_relationship: (version == "n-acme").then_some(true),
        ..Dealings::default()
    };
    let mut new = draft(party, &[phone(1)]);
    new.profile.dealings = [("acme", "n-acme"), ("beta", "n-beta")]
        .map(|(seller, version)| (seller.to_owned(), noted(version)))
        .into();
    let stored = tx.upsert_party(&tenant(), &new, NOON).await.unwrap();
    assert_eq!(stored.profile, new.profile);
    let read = tx.party(&tenant(), party).await.unwrap().unwrap();
    assert_eq!(read.profile, new.profile);
    let asked = ["acme", "beta", "gamma", ""].map(|seller| FactsWanted {
        seller: seller.to_owned(),
        ..wanted(&store, 1, party)
    });
    let found = tx.load_facts(&tenant(), &asked).await.unwrap();
    let found = found.iter().map(|facts| {
        let version = facts.notice.as_ref().map(|notice| notice.version.as_str());
        (version, facts.personal_relationship)
    });
    let expected = [
        (Some("n-acme"), Some(true)),
        (Some("n-beta"), None),
        (None, None),
        (None, None),
    ];
    assert_eq!(found.collect::<Vec<_>>(), expected);
}
