//! Times that are spread a little, so that many nodes that began together do not go on in step. What is drawn follows from the
//! seed: the same run draws the same.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// A row of draws.
#[derive(Debug)]
pub(super) struct Spread(u64);

impl Spread {
    /// The row that follows from this.
    pub(super) fn of(seed: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// This long, a tenth more or less.
    pub(super) fn about(&mut self, span: Duration) -> Duration {
        self.between(span.mul_f64(0.9), span.mul_f64(1.1))
    }

    /// At least the one, less than the other.
    pub(super) fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let next = Self::of(&self.0).0;
        self.0 = next;
        let thousandths = u32::try_from(next % 1_000).unwrap_or_default();
        least + most.saturating_sub(least) / 1_000 * thousandths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_stay_within_bounds_and_come_again() {
        let drawn = |seed: &str| {
            let mut spread = Spread::of(&seed);
            let drawn = (0..50).map(|_| spread.about(Duration::from_secs(30)));
            drawn.collect::<Vec<_>>()
        };
        let one = drawn("one");
        assert_eq!(one, drawn("one"));
        assert_ne!(one, drawn("two"));
        let (least, most) = (one.iter().min().unwrap(), one.iter().max().unwrap());
        assert!(*least >= Duration::from_secs(27) && *most < Duration::from_secs(33));
        assert!(*most - *least > Duration::from_secs(4));
    }
}
