//! P-10: decisions by chance, stored and made again, come out byte for byte.

use std::collections::BTreeSet;

use dialgate::domain::decision::{Decision, Stage};
use dialgate::domain::filter::Filter;
use dialgate::domain::ids::{DecisionId, PartyId, TenantId};
use dialgate::domain::phone::Phone;
use dialgate::gate::ReplayOutcome;
use dialgate::policy::facts::Case;
use dialgate::policy::{ClosedDay, Pack, judge};
use dialgate::store::ListQuery;

use super::agreement::SHIPPED;
use super::cases::{Words, any_case};
use crate::gate::bench::{Bench, campaign};
use crate::joints::rng::{Rng, seed, size};
use crate::support::builders::{TestStore, phone};

const PEOPLE: u32 = 64;

/// Half by the shipped rules, half by those with a day closed; one in five asked of the gate as a softphone does, the
/// others judged from cases with facts of every kind. A hundred thousand by hand: `DIALGATE_REPLAY=100000`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p10_decisions_by_chance_come_out_the_same() {
    let count = size("DIALGATE_REPLAY", 1_000);
    let (seed, words) = (seed(), Words::of(&SHIPPED.book));
    let bench = Bench::over(TestStore::sqlite().await).await;
    let tenant = TenantId::default();
    let mut people = Vec::new();
    for index in 0..PEOPLE {
        people.push((bench.store.party(phone(index)).await, phone(index)));
    }
    let mut said = BTreeSet::new();
    for half in 0..2 {
        if half == 1 {
            let day = ClosedDay {
                jurisdiction: "US".to_owned(),
                date: "2026-11-18".parse().unwrap(),
                reason: "proclamation".to_owned(),
                by: "key:admin".to_owned(),
            };
            let ask = bench.ask("admin");
            bench.gate.add_closed_day(&ask, day).await.unwrap();
        }
        let (_, pack) = bench.gate.policy_now(&tenant).await.unwrap();
        let numbers = half * count..half * count + count * 4 / 10;
        for numbers in numbers.collect::<Vec<_>>().chunks(256) {
            let made = numbers.iter().map(|index| {
                let mut rng = Rng::new(seed, *index as u64);
                let case = any_case(&mut rng, &words, *index);
                decision(
                    &bench,
                    &pack,
                    serde_json::from_value(case).ok()?,
                    rng.pick(&people),
                )
            });
            let made: Vec<Decision> = made.flatten().collect();
            let rules = made.iter().flat_map(|made| &made.judgement.rules);
            said.extend(rules.map(|said| (said.rule.to_string(), said.outcome.as_str())));
            let mut tx = bench.store.write().await;
            tx.insert_decisions(&tenant, &made).await.unwrap();
            tx.commit().await.unwrap();
        }
        ask_the_gate(&bench, &mut Rng::new(seed, half as u64), count / 10).await;
    }
    assert!(
        said.len() > 200,
        "{} findings of rules are too few to show much",
        said.len()
    );

    // A node that begins knows no pack but its own.
    let node = bench.again(vec![campaign("us", "US", "seller")]);
    let mut query = ListQuery {
        filter: Filter::Everything,
        page_size: 1000,
        after: None,
    };
    let mut made_again = 0;
    loop {
        let page = node.replay(&tenant, &query).await.unwrap();
        for row in &page.rows {
            assert_eq!(row.outcome, ReplayOutcome::Same, "{}", row.decision_id);
        }
        made_again += page.rows.len();
        query.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    eprintln!("{made_again} decisions made again, {} findings", said.len());
    assert!(
        made_again > count * 9 / 10 && made_again <= count,
        "{made_again}"
    );
}

fn decision(
    bench: &Bench,
    pack: &Pack,
    mut case: Case,
    (party_id, number): &(PartyId, Phone),
) -> Option<Decision> {
    let decision_id = DecisionId::new(case.call.at);
    case.id = decision_id.to_string();
    Some(Decision {
        decision_id,
        stage: Stage::Check,
        call_id: None,
        party_id: *party_id,
        number_key: bench.store.key(*number),
        campaign_id: "us".to_owned(),
        decided_at: case.call.at,
        pack: pack.version().clone(),
        judgement: judge(pack, &case),
        case_json: Some(serde_json::to_string(&case).ok()?),
        actor: "key:agent".to_owned(),
    })
}

/// Many at once, so that the gate decides in batches, about people of whom something is known and of whom nothing is.
async fn ask_the_gate(bench: &Bench, rng: &mut Rng, count: usize) {
    const CODES: [&str; 8] = ["404", "213", "305", "512", "808", "907", "850", "606"];
    for code in CODES {
        bench.callable(&format!("+1{code}5550101")).await;
        let ask = bench.ask("admin");
        let opt_out = bench.opt_out(&format!("+1{code}5550102"));
        bench.gate.suppress(&ask, opt_out).await.unwrap();
    }
    let mut left = count;
    while left > 0 {
        let mut asked = Vec::new();
        for _ in 0..left.min(128) {
            let number = format!("+1{}55501{:02}", rng.pick(&CODES), rng.below(20));
            let mut request = bench.request(&number);
            request.request_id = None;
            let gate = bench.gate.clone();
            asked.push(tokio::spawn(async move { gate.check(request).await }));
        }
        left -= asked.len();
        for each in asked {
            each.await.unwrap().unwrap();
        }
        bench.clock.advance(std::time::Duration::from_secs(61 * 60));
    }
}
