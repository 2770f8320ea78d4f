//! The calls that this process has leased and not begun, in the order of their campaigns, and whose turn it is.
//!
//! Within a campaign the oldest goes first. A call for which no trunk is free holds up none behind it that another trunk would
//! take, nor does one whose numbers have a pace of their own. Among campaigns that wait for one trunk the turns follow their
//! shares: each turn moves a campaign's mark on by so much less as its share is larger, and the mark that is furthest behind
//! goes next (start-time fair queueing). Who comes back after a pause begins where the others are: a pause saves nothing up.

use std::collections::{BTreeMap, VecDeque};

/// How a trunk stands to a call at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The call may begin.
    Free,
    /// All channels are in use.
    Full,
    /// It has no token to give.
    Paced,
    /// It is down, or the call waits for something else than a trunk.
    Closed,
}

/// A call that waits, and its trunks in the order in which they are tried.
pub(super) struct Waiting<C> {
    pub(super) call: C,
    pub(super) ways: Vec<String>,
}

/// Everything that waits.
pub(super) struct Board<C> {
    lines: BTreeMap<String, VecDeque<Waiting<C>>>,
    turns: BTreeMap<String, Turns>,
}

impl<C> Default for Board<C> {
    fn default() -> Self {
        Self {
            lines: BTreeMap::new(),
            turns: BTreeMap::new(),
        }
    }
}

impl<C> Board<C> {
    /// A call of this campaign waits, behind those that came before.
    pub(super) fn add(&mut self, campaign: &str, waiting: Waiting<C>) {
        let line = self.lines.entry(campaign.to_owned()).or_default();
        line.push_back(waiting);
    }

    /// It was not begun after all, and is the oldest again.
    pub(super) fn put_back(&mut self, campaign: &str, waiting: Waiting<C>) {
        let line = self.lines.entry(campaign.to_owned()).or_default();
        line.push_front(waiting);
    }

    /// The call that begins next, and its trunk; none where nothing may begin.
    pub(super) fn next(
        &mut self,
        share: impl Fn(&str) -> u32,
        way: impl Fn(&C, &str) -> Way,
    ) -> Option<(Waiting<C>, String)> {
        // By trunk, the first call of each campaign that it would take.
        let mut ready: BTreeMap<&str, Vec<(&str, usize)>> = BTreeMap::new();
        for (campaign, line) in &self.lines {
            let first = line.iter().enumerate().find_map(|(place, waiting)| {
                let mut ways = waiting.ways.iter();
                let free = ways.find(|trunk| way(&waiting.call, trunk) == Way::Free);
                free.map(|trunk| (trunk, place))
            });
            if let Some((trunk, place)) = first {
                ready.entry(trunk).or_default().push((campaign, place));
            }
        }
        let (trunk, campaigns) = ready.into_iter().next()?;
        let turns = self.turns.entry(trunk.to_owned()).or_default();
        let shares = campaigns.iter().map(|(name, _)| (*name, share(name)));
        let campaign = turns.next(shares)?.to_owned();
        let (_, place) = campaigns.iter().find(|(name, _)| *name == campaign)?;
        let (place, trunk) = (*place, trunk.to_owned());
        let waiting = self.lines.get_mut(&campaign)?.remove(place)?;
        Some((waiting, trunk))
    }

    /// How many of a campaign wait for a channel or a token; those to which every way is closed hold up no other.
    pub(super) fn in_line(&self, campaign: &str, way: impl Fn(&C, &str) -> Way) -> usize {
        let line = self.lines.get(campaign).into_iter().flatten();
        line.filter(|waiting| {
            let mut ways = waiting.ways.iter();
            ways.any(|trunk| way(&waiting.call, trunk) != Way::Closed)
        })
        .count()
    }

    /// How many of a campaign wait at all.
    pub(super) fn waiting(&self, campaign: &str) -> usize {
        self.lines.get(campaign).map_or(0, VecDeque::len)
    }

    /// Takes out those of which this holds, in their order.
    pub(super) fn take_out(&mut self, is_out: impl Fn(&Waiting<C>) -> bool) -> Vec<C> {
        let mut out = Vec::new();
        for line in self.lines.values_mut() {
            let mut stay = VecDeque::with_capacity(line.len());
            for waiting in line.drain(..) {
                match is_out(&waiting) {
                    true => out.push(waiting.call),
                    false => stay.push_back(waiting),
                }
            }
            *line = stay;
        }
        self.lines.retain(|_, line| !line.is_empty());
        out
    }

    /// Every call that waits.
    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut Waiting<C>> {
        self.lines.values_mut().flatten()
    }
}

/// Whose turn it is on one trunk.
#[derive(Default)]
struct Turns {
    marks: BTreeMap<String, u64>,
    /// The mark of the latest turn: nobody who waits is behind it.
    now: u64,
}

impl Turns {
    /// By how much a turn moves the mark of a campaign whose share is one.
    const TURN: u64 = 1_000_000;

    fn next<'a>(&mut self, ready: impl Iterator<Item = (&'a str, u32)>) -> Option<&'a str> {
        let mark = |name: &str| self.marks.get(name).copied().unwrap_or(0).max(self.now);
        let ready = ready.map(|(name, share)| (mark(name), name, share));
        let (mark, name, share) = ready.min()?;
        self.now = mark;
        let mark = mark + Self::TURN / u64::from(share.max(1));
        self.marks.insert(name.to_owned(), mark);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(call: u32, ways: &[&str]) -> Waiting<u32> {
        Waiting {
            call,
            ways: ways.iter().map(|way| (*way).to_owned()).collect(),
        }
    }

    fn begun(board: &mut Board<u32>, way: impl Fn(&u32, &str) -> Way) -> Option<(u32, String)> {
        let share = |campaign: &str| match campaign {
            "triple" => 3,
            _ => 1,
        };
        let (waiting, trunk) = board.next(share, way)?;
        Some((waiting.call, trunk))
    }

    #[test]
    fn p11_a_small_campaign_is_not_starved_by_a_large_one() {
        let mut board = Board::default();
        for call in 0..500 {
            board.add("large", waiting(call, &["t"]));
        }
        let free = |_: &u32, _: &str| Way::Free;
        for call in 0..100 {
            assert_eq!(begun(&mut board, free), Some((call, "t".to_owned())));
        }
        for call in 1_000..1_005 {
            board.add("small", waiting(call, &["t"]));
        }
        let next: Vec<u32> = (0..11)
            .filter_map(|_| begun(&mut board, free))
            .map(|each| each.0)
            .collect();
        let small = next.iter().filter(|call| **call >= 1_000);
        assert_eq!(small.count(), 5, "every second turn: {next:?}");
        // And its pause saves nothing up, nor is the large one made to wait for what it had.
        for call in 2_000..2_050 {
            board.add("small", waiting(call, &["t"]));
        }
        let next: Vec<u32> = (0..20)
            .filter_map(|_| begun(&mut board, free))
            .map(|each| each.0)
            .collect();
        let small = next.iter().filter(|call| **call >= 2_000).count();
        assert!((9..=11).contains(&small), "{next:?}");
    }

    #[test]
    fn turns_follow_the_shares() {
        let mut board = Board::default();
        for call in 0..400 {
            board.add("single", waiting(call, &["t"]));
            board.add("triple", waiting(1_000 + call, &["t"]));
        }
        let next = (0..100).filter_map(|_| begun(&mut board, |_, _| Way::Free));
        let triple = next.filter(|each| each.0 >= 1_000).count();
        assert!((74..=76).contains(&triple), "{triple}");
    }

    #[test]
    fn the_oldest_first_and_none_is_held_up_by_another_trunk() {
        let mut board = Board::default();
        board.add("c", waiting(1, &["down"]));
        board.add("c", waiting(2, &["down", "spare"]));
        board.add("c", waiting(3, &["main", "spare"]));
        board.add("c", waiting(4, &["main"]));
        let way = |_: &u32, trunk: &str| match trunk {
            "down" => Way::Closed,
            "full" => Way::Full,
            _ => Way::Free,
        };
        assert_eq!(board.in_line("c", way), 3);
        assert_eq!(begun(&mut board, way), Some((2, "spare".to_owned())));
        assert_eq!(begun(&mut board, way), Some((3, "main".to_owned())));
        assert_eq!(begun(&mut board, way), Some((4, "main".to_owned())));
        assert_eq!(begun(&mut board, way), None);
        assert_eq!(
            board.waiting("c"),
            1,
            "it waits until its trunk is up again"
        );
        let up = |_: &u32, _: &str| Way::Free;
        assert_eq!(begun(&mut board, up), Some((1, "down".to_owned())));
    }

    #[test]
    fn a_full_trunk_is_passed_over_for_the_next() {
        let mut board = Board::default();
        board.add("c", waiting(1, &["full", "paced", "spare"]));
        let way = |_: &u32, trunk: &str| match trunk {
            "full" => Way::Full,
            "paced" => Way::Paced,
            _ => Way::Free,
        };
        assert_eq!(begun(&mut board, way), Some((1, "spare".to_owned())));
    }
}
