//! Which of a campaign's numbers a person is shown.
//!
//! Only the seller's own that can be called back, and of those only what the law of the place lets be shown there: the rules of
//! kind `caller_id` are asked. Among what is left the number's key decides, not chance and not the turn: the same person sees
//! the same number each time, so that blocking it ends the calls, and a carrier that blocks it is not called by another one. No
//! number is chosen for looking like a neighbour's.

use sha2::{Digest as _, Sha256};

use super::case::Question;
use crate::domain::campaign::CallerId;
use crate::domain::phone::NumberKey;
use crate::place;
use crate::policy::facts::{CallerIdFacts, Case};
use crate::policy::{self, Pack};

impl From<CallerId> for CallerIdFacts {
    fn from(shown: CallerId) -> Self {
        Self {
            owned: Some(shown.owned),
            callable: Some(shown.callable),
            in_directory: Some(shown.in_directory),
        }
    }
}

/// The number that this case shows, put into it. Where none may be shown it is the first, and the rule that forbids it says
/// so. Without a key it is the first of those that may: to the law they are the same.
pub(super) fn settle(pack: &Pack, case: &mut Case, question: &Question<'_>) {
    let pool = question.pool;
    let own: Vec<CallerId> = pool
        .iter()
        .filter(|each| each.owned && each.callable)
        .copied()
        .collect();
    let facts: Vec<_> = own
        .iter()
        .map(|each| (each.number, (*each).into()))
        .collect();
    let read = || place::dialable(pack.tables(), &case.call.to).ok();
    let number = question.number.cloned().or_else(read);
    let may_be_shown = number.map_or_else(Vec::new, |number| {
        policy::showable(pack, case, &number, &facts)
    });
    let lawful = own.iter().zip(may_be_shown);
    let lawful = lawful.filter_map(|(each, may)| may.then_some(*each));
    let chosen = match question.key {
        Some(key) => lawful.max_by_key(|each| weight(key, *each)),
        None => lawful.into_iter().next(),
    };
    if let Some(shown) = chosen.or_else(|| pool.first().copied()) {
        case.call.from = Some(shown.number);
        case.facts.caller_id = Some(shown.into());
    }
}

/// Each number of the pool weighs something else for each person, and the heaviest is shown: one that is added takes its share
/// of all, and one that is taken away leaves everybody else the number that they know.
fn weight(key: NumberKey, shown: CallerId) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(key.0);
    hash.update(shown.number.integer().to_be_bytes());
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::phone::Phone;

    fn caller_id(digits: u64) -> CallerId {
        CallerId {
            number: Phone::of_integer(digits).unwrap(),
            owned: true,
            callable: true,
            in_directory: false,
        }
    }

    fn chosen(pool: &[CallerId], person: u16) -> Phone {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&person.to_be_bytes());
        let key = NumberKey(bytes);
        let heaviest = pool.iter().max_by_key(|each| weight(key, **each));
        heaviest.unwrap().number
    }

    #[test]
    fn everybody_keeps_their_number_when_the_pool_changes() {
        let pool: Vec<CallerId> = (0..5).map(|n| caller_id(14_045_550_100 + n)).collect();
        let more = [pool.as_slice(), &[caller_id(14_045_550_199)]].concat();
        let fewer = &pool[1..];
        let mut shares = BTreeMap::new();
        for person in 0..5_000 {
            let number = chosen(&pool, person);
            *shares.entry(number).or_insert(0) += 1;
            let with_more = chosen(&more, person);
            assert!(with_more == number || with_more == more[5].number);
            let with_fewer = chosen(fewer, person);
            assert!(with_fewer == number || number == pool[0].number);
        }
        assert!(shares.len() == 5 && shares.values().all(|share| (800..1_200).contains(share)));
    }
}
