//! The permit: the one value under which `sip` may send an INVITE.

use std::time::Duration;

use crate::domain::phone::Phone;
use crate::domain::time::Reading;

/// The right to send INVITEs to one number for a moment. Only `evaluate` makes one; it can be neither copied nor
/// stored, so asking again at dial time is forced by the compiler. Its durable twin is the attempt row.
#[derive(Debug)]
pub struct Permit {
    to: Phone,
    from: Option<Phone>,
    read: Reading,
}

/// The permit's life is over; nothing may be sent under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the permit has expired")]
pub struct PermitExpired;

impl Permit {
    /// How long a permit lives, from a reading taken before the claim's transaction began. Compiled in: with the
    /// barrier's wait of 2 s it is what makes an acknowledged opt-out safe (docs/ARCHITECTURE.md, the barrier).
    pub const LIFE: Duration = Duration::from_millis(1500);

    /// For `evaluate` alone.
    pub(super) fn new(to: Phone, from: Option<Phone>, read: Reading) -> Self {
        Self { to, from, read }
    }

    /// The number that may be called: `sip` takes it from here and from nowhere else.
    #[must_use]
    pub fn to(&self) -> Phone {
        self.to
    }

    /// The number to show.
    #[must_use]
    pub fn from(&self) -> Option<Phone> {
        self.from
    }

    /// The reading of the clocks from which the permit's life counts.
    #[must_use]
    pub fn read(&self) -> Reading {
        self.read
    }

    /// To be asked right before every write of INVITE bytes. Both clocks must agree: a wall clock that was set back or
    /// ran ahead ends the permit too (P-12).
    pub fn check(&self, now: Reading) -> Result<(), PermitExpired> {
        let wall_age = now.wall.since(self.read.wall);
        let wall_alive =
            (0..i64::try_from(Self::LIFE.as_micros()).unwrap_or(0)).contains(&wall_age);
        if wall_alive && now.mono.since(self.read.mono) < Self::LIFE {
            Ok(())
        } else {
            Err(PermitExpired)
        }
    }

    /// A permit without a judgement, for the unit tests of what takes one.
    #[cfg(test)]
    pub(crate) fn for_test(to: Phone, from: Option<Phone>, read: Reading) -> Self {
        Self::new(to, from, read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::{Micros, Mono};

    fn reading(wall_ms: i64, mono_ms: u64) -> Reading {
        Reading {
            wall: Micros(wall_ms * 1000),
            mono: Mono(Duration::from_millis(mono_ms)),
        }
    }

    #[test]
    fn lives_for_its_life_on_both_clocks() {
        let number = Phone::parse("+14045550141").unwrap();
        let permit = Permit::new(number, None, reading(10_000, 500));
        assert_eq!(permit.check(reading(10_000, 500)), Ok(()));
        assert_eq!(permit.check(reading(11_499, 1_999)), Ok(()));
        assert_eq!(
            permit.check(reading(11_500, 1_999)),
            Err(PermitExpired),
            "wall clock ran out"
        );
        assert_eq!(
            permit.check(reading(11_499, 2_000)),
            Err(PermitExpired),
            "monotonic clock ran out"
        );
        assert_eq!(
            permit.check(reading(9_999, 600)),
            Err(PermitExpired),
            "wall clock was set back"
        );
    }
}
