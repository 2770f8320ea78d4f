//! What the benches share: sizes, the clock, figures and tables, the machine, stores, people and nodes.

pub mod bare;
pub mod figures;
pub mod home;
pub mod machine;
pub mod node;
pub mod pace;
#[path = "../../tests/suite/support/postgres.rs"]
mod postgres;
pub mod scene;
pub mod wire;

use std::fmt::Debug;
use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use dialgate::clock::Clock;

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Each side of each comparison is measured so often, the sides in turn.
    pub rounds: usize,
    /// How long one measurement lasts.
    pub span: Duration,
    /// People on record.
    pub people: u32,
    /// Opt-outs on record while a list is checked.
    pub opt_outs: u32,
    /// Numbers of the list.
    pub list: usize,
    /// Calls a second of the SIP layer, and calls in one measurement.
    pub sip: &'static [(u32, u32)],
    /// Numbers of a national register.
    pub listed: u64,
    /// Calls a second of a soak, and how long it lasts in seconds.
    pub soak: (u32, u32),
    /// Calls a second of a burst, how many of them the trunk takes, and how long it lasts in seconds.
    pub burst: (u32, u32, u32),
    /// Calls that linger at once while their memory is looked at.
    pub lingering: u32,
}

impl Size {
    pub const FULL: Self = Self {
        rounds: 5,
        span: Duration::from_secs(4),
        people: 20_000,
        opt_outs: 2_000_000,
        list: 1_000_000,
        sip: &[(200, 2_000), (1_000, 5_000)],
        listed: 240_000_000,
        soak: (100, 60),
        burst: (500, 100, 10),
        lingering: 20_000,
    };
    pub const SMOKE: Self = Self {
        rounds: 1,
        span: Duration::from_millis(250),
        people: 512,
        opt_outs: 2_000,
        list: 5_500,
        sip: &[(100, 40)],
        listed: 200_000,
        soak: (20, 10),
        burst: (60, 10, 2),
        lingering: 200,
    };

    /// This size, but for what the environment sets: a profile wants more than a smoke test and less than all of it.
    pub fn or_environment(self) -> Self {
        Self {
            rounds: from_environment("ROUNDS", self.rounds),
            people: from_environment("PEOPLE", self.people),
            opt_outs: from_environment("OPT_OUTS", self.opt_outs),
            list: from_environment("LIST", self.list),
            listed: from_environment("LISTED", self.listed),
            soak: (
                from_environment("SOAK_RATE", self.soak.0),
                from_environment("SOAK_SECONDS", self.soak.1),
            ),
            ..self
        }
    }
}

fn from_environment<T: FromStr<Err: Debug>>(name: &str, otherwise: T) -> T {
    let name = format!("DIALGATE_BENCH_{name}");
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// The machine's monotonic clock.
pub fn now() -> Duration {
    Clock::Real.read().mono.0
}

/// Runs a bench on as many threads as the machine has cores, as `serve` does.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

/// Waits until an instant of [`now`], as exactly as the system's timers go: tokio's count whole milliseconds.
pub fn sleep_until(at: Duration) {
    if let Some(left) = at.checked_sub(now()) {
        std::thread::sleep(left);
    }
}

/// A free port on loopback.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

pub fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}
