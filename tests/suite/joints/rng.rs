//! Chance with a seed: the same seed gives the same choices.

use std::time::Duration;

/// Vigna's xorshift64*.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The seed's own sequence of this name.
    pub fn new(seed: u64, name: u64) -> Self {
        let mut rng = Self((seed ^ name.wrapping_mul(0x9E37_79B9_7F4A_7C15)) | 1);
        for _ in 0..8 {
            rng.next();
        }
        rng
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below this bound.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).unwrap()
    }

    /// So many times in a hundred.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.next() % (to - from).max(1))
    }

    pub fn uuid(&mut self) -> String {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        uuid::Builder::from_random_bytes(bits.to_be_bytes())
            .into_uuid()
            .to_string()
    }
}

/// The seed of this run, told so that it can be had again.
pub fn seed() -> u64 {
    let told = std::env::var("DIALGATE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed =
        told.unwrap_or_else(|| u64::try_from(dialgate::clock::Clock::Real.read().wall.0).unwrap());
    eprintln!("DIALGATE_SEED={seed}");
    seed
}

/// A number from the environment, for runs by hand.
pub fn size(name: &str, small: usize) -> usize {
    match std::env::var(name) {
        Err(_) => small,
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}: `{text}` is not a number")),
    }
}
