//! The only reader of the clocks. Everything below the entry points gets a [`Reading`] as an argument, so that a claim's
//! deadline counts from one known point and a test can hold time in its hand.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::domain::time::{Micros, Mono, Reading};

/// The real clock, or one that a test moves by hand.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's clocks.
    #[default]
    Real,
    /// Stands still until moved.
    Manual(Arc<ManualClock>),
}

impl Clock {
    /// Both clocks, read together.
    #[must_use]
    pub fn read(&self) -> Reading {
        match self {
            Self::Real => read_machine(),
            Self::Manual(clock) => clock.read(),
        }
    }

    /// Whether whoever waits for a point on this clock has to look again and again: a hand may move it while the
    /// runtime's timers know nothing of it.
    #[must_use]
    pub fn is_moved_unseen(&self) -> bool {
        match self {
            Self::Real => false,
            Self::Manual(clock) => !clock.with_runtime,
        }
    }
}

/// A clock that stands still until moved. Its two hands move apart only when told to, as a stepped wall clock does.
#[derive(Debug)]
pub struct ManualClock {
    wall_micros: AtomicI64,
    mono_nanos: AtomicU64,
    /// Readings that are left until so much time passes.
    jump: Mutex<Option<(u32, Duration)>>,
    with_runtime: bool,
}

impl ManualClock {
    /// A clock that shows this wall time.
    #[must_use]
    pub fn at(wall: Micros) -> Arc<Self> {
        Self::new(wall, false)
    }

    /// The same for a runtime whose own clock is moved by hand too: both are moved together, so that its timers end when
    /// this clock says so.
    #[must_use]
    pub fn beside_runtime(wall: Micros) -> Arc<Self> {
        Self::new(wall, true)
    }

    fn new(wall: Micros, with_runtime: bool) -> Arc<Self> {
        Arc::new(Self {
            wall_micros: AtomicI64::new(wall.0),
            mono_nanos: AtomicU64::new(0),
            jump: Mutex::new(None),
            with_runtime,
        })
    }

    /// Lets time pass on both hands.
    pub fn advance(&self, span: Duration) {
        self.step_wall(i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        self.mono_nanos.fetch_add(
            u64::try_from(span.as_nanos()).unwrap_or(u64::MAX),
            Ordering::SeqCst,
        );
    }

    /// Steps the wall clock alone, as an operator or a time daemon may.
    pub fn step_wall(&self, micros: i64) {
        self.wall_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Lets time pass right after so many more readings, at least one: what a thread that is frozen between two of them
    /// sees.
    pub fn advance_after(&self, readings: u32, span: Duration) {
        *self.jump.lock().unwrap_or_else(PoisonError::into_inner) = Some((readings, span));
    }

    fn read(&self) -> Reading {
        let reading = Reading {
            wall: Micros(self.wall_micros.load(Ordering::SeqCst)),
            mono: Mono(Duration::from_nanos(self.mono_nanos.load(Ordering::SeqCst))),
        };
        let mut jump = self.jump.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((left, span)) = jump.take() {
            match left.saturating_sub(1) {
                0 => self.advance(span),
                left => *jump = Some((left, span)),
            }
        }
        reading
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place that reads the machine's clocks"
)]
fn read_machine() -> Reading {
    static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();
    let mono = Mono(ORIGIN.get_or_init(std::time::Instant::now).elapsed());
    Reading {
        wall: jiff::Timestamp::now().into(),
        mono,
    }
}
