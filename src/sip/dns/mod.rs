//! What the name of a destination stands for (RFC 3263): which transports, which servers, in which order.
//!
//! `resolver` asks; here is the order, which is pure: the same answers and the same seed give the same order.

mod resolver;

use super::target::Target;

pub use resolver::{Found, Resolver, Unanswered};

/// One server, and its place among the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Lower ones are tried first: the place of its transport among those that the name has.
    pub rank: usize,
    /// Lower ones are tried first, within the rank.
    pub priority: u16,
    /// How often it is tried first among its like.
    pub weight: u16,
    /// Its addresses.
    pub targets: Vec<Target>,
}

/// All targets in the order in which one call tries them: by rank and priority, and among the like by lot, heavier ones
/// more often first (RFC 2782).
#[must_use]
pub fn ordered(answers: &[Answer], seed: u64) -> Vec<Target> {
    let mut sorted: Vec<&Answer> = answers.iter().collect();
    // Those without weight first: so they have a small chance, as the RFC wants.
    sorted.sort_by_key(|answer| (answer.rank, answer.priority, answer.weight));
    let mut lots = Lots(seed);
    let mut targets = Vec::new();
    for like in
        sorted.chunk_by(|one, other| (one.rank, one.priority) == (other.rank, other.priority))
    {
        let mut left = like.to_vec();
        while !left.is_empty() {
            let sum: u64 = left.iter().map(|answer| u64::from(answer.weight)).sum();
            let lot = lots.up_to(sum);
            let mut running = 0;
            let drawn = left.iter().position(|answer| {
                running += u64::from(answer.weight);
                running >= lot
            });
            let answer = left.remove(drawn.unwrap_or_default());
            for target in &answer.targets {
                if !targets.contains(target) {
                    targets.push(*target);
                }
            }
        }
    }
    targets
}

/// Lots that follow from a seed (splitmix64).
struct Lots(u64);

impl Lots {
    /// 0 to `most`, both of them too.
    fn up_to(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % (most + 1)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn target(host: u8) -> Target {
        SocketAddr::from(([192, 0, 2, host], 5060)).into()
    }

    fn answer(host: u8, rank: usize, priority: u16, weight: u16) -> Answer {
        Answer {
            rank,
            priority,
            weight,
            targets: vec![target(host)],
        }
    }

    #[test]
    fn rank_goes_before_priority_and_priority_before_weight() {
        let answers = [
            answer(4, 1, 0, 9),
            answer(3, 0, 20, 9),
            answer(2, 0, 10, 0),
            answer(1, 0, 5, 0),
        ];
        for seed in 0..50 {
            assert_eq!(ordered(&answers, seed), [1, 2, 3, 4].map(target));
        }
        assert!(ordered(&[], 1).is_empty());
    }

    #[test]
    fn weights_share_the_first_turns_and_everybody_has_one() {
        let answers = [
            answer(1, 0, 0, 60),
            answer(2, 0, 0, 30),
            answer(3, 0, 0, 10),
            answer(4, 0, 0, 0),
        ];
        let mut firsts = [0_u32; 5];
        for seed in 0..10_000 {
            let order = ordered(&answers, seed);
            assert_eq!(
                order,
                ordered(&answers, seed),
                "the same seed, the same order"
            );
            let mut sorted = order.clone();
            sorted.sort();
            assert_eq!(sorted, [1, 2, 3, 4].map(target));
            let SocketAddr::V4(first) = order[0].addr else {
                panic!("an IPv4 address");
            };
            firsts[usize::from(first.ip().octets()[3])] += 1;
        }
        let [_, one, two, three, four] = firsts;
        assert!((5_700..6_200).contains(&one), "{firsts:?}");
        assert!((2_750..3_200).contains(&two), "{firsts:?}");
        assert!((850..1_150).contains(&three), "{firsts:?}");
        assert!((20..250).contains(&four), "{firsts:?}");
    }

    #[test]
    fn the_addresses_of_a_server_follow_each_other_and_come_once() {
        let mut both = answer(1, 0, 0, 1);
        both.targets.push(target(2));
        let twice = answer(2, 0, 9, 1);
        assert_eq!(ordered(&[twice, both], 7), [1, 2].map(target));
    }
}
