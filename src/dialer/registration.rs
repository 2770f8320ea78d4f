//! Keeps a trunk registered, where its carrier wants that: refreshed well before it would run out, tried again after growing
//! pauses when the registrar is silent or refuses, removed on a clean stop. A trunk that has to be registered takes calls only
//! while it is.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::domain::time::{Mono, Reading};
use crate::domain::trunk::{Failure, RegistrationState, RegistrationStatus};
use crate::meter;
use crate::sip::{Answered, Destination, Registered, Registration, Trunk, Unheard, ordered};

use super::config::Route;
use super::spread::Spread;
use super::targets::Targets;
use super::{Phase, Shared};

/// How long an answer of the registrar is awaited.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same on a stop, which waits for nobody much longer.
const LAST_PATIENCE: Duration = Duration::from_secs(2);
/// The pauses after a registrar that did not answer or has trouble of its own: it is to be found soon after it is back.
const SILENT: (Duration, Duration) = (Duration::from_secs(4), Duration::from_secs(120));
/// After one that refused: it will do so again, and many of them lock out who tries a wrong password often.
const REFUSED: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(3_600));
/// However short a time the registrar grants.
const REFRESH_MIN: Duration = Duration::from_secs(1);

/// How a trunk is registered, section `[trunk.NAME.registration]`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationConfig {
    /// Where; absent = at the trunk's first target.
    #[serde(default)]
    pub registrar: Option<Destination>,
    /// Whose address is registered: the user of `sip:user@domain`.
    pub user: String,
    /// User part of the address that is registered; absent = `user`.
    #[serde(default)]
    pub contact_user: Option<String>,
    /// For how long, in seconds; the registrar has the last word.
    #[serde(default = "expires_seconds")]
    pub expires_seconds: u64,
}

fn expires_seconds() -> u64 {
    3_600
}

impl RegistrationConfig {
    /// What is wrong with the section, each line naming its key.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let user = Some(&self.user);
        for (key, user) in [("user", user), ("contact_user", self.contact_user.as_ref())] {
            if user.is_some_and(|user| !is_user(user)) {
                problems.push(format!(
                    "registration.{key}: write the part before the @ alone: letters, digits and any of - _ . ! ~ * ' ( ) & = + $ ,"
                ));
            }
        }
        if !(60..=86_400).contains(&self.expires_seconds) {
            problems.push(format!(
                "registration.expires_seconds: is {}, set 60 to 86400",
                self.expires_seconds
            ));
        }
        problems
    }
}

/// RFC 3261 section 25.1, without what would have to be escaped.
fn is_user(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,".contains(&byte);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(plain)
}

/// What is known of a registration. Pure.
#[derive(Debug)]
pub(super) struct Enrolment {
    state: RegistrationState,
    /// Told last, and since when.
    told: Option<(RegistrationState, Reading)>,
    until: Option<Reading>,
    failures: u32,
    last_failure: Option<Failure>,
}

impl Enrolment {
    pub(super) fn new() -> Self {
        Self {
            state: RegistrationState::Unregistered,
            told: None,
            until: None,
            failures: 0,
            last_failure: None,
        }
    }

    /// Whether the registrar keeps our address, as far as is known.
    pub(super) fn is_registered(&self, now: Mono) -> bool {
        self.until.is_some_and(|until| now < until.mono)
    }

    fn state(&self, now: Mono) -> RegistrationState {
        match self.is_registered(now) {
            true => RegistrationState::Registered,
            false => self.state,
        }
    }

    /// Takes note of what a refresh came to, and tells when to try again.
    fn heard(&mut self, registered: &Registered, now: Reading, spread: &mut Spread) -> Duration {
        let ((least, most), reason, rest) = match registered {
            Registered::For(granted) => {
                self.failures = 0;
                self.state = RegistrationState::Unregistered;
                let wall = now.wall.plus(*granted);
                let mono = now.mono.plus(*granted);
                self.until = Some(Reading { wall, mono });
                // Twice as long as it needs to be, and then some tries are left before it runs out.
                let refresh = spread.between(granted.mul_f64(0.5), granted.mul_f64(0.6));
                return refresh.max(REFRESH_MIN);
            }
            Registered::Refused(Answered {
                code: code @ (408 | 500..600),
                retry_after,
            }) => (SILENT, format!("sip_{code}"), *retry_after),
            Registered::Silent(Unheard::Lost) => (SILENT, "lost".to_owned(), None),
            Registered::Silent(_) => (SILENT, "timeout".to_owned(), None),
            Registered::Refused(Answered { code, retry_after }) => {
                (REFUSED, format!("sip_{code}"), *retry_after)
            }
            Registered::NotAuthenticated(_) => (REFUSED, "credentials".to_owned(), None),
        };
        if least == REFUSED.0 {
            // It said so itself that it keeps nothing of ours.
            self.state = RegistrationState::Refused;
            self.until = None;
        }
        let at = now.wall;
        self.last_failure = Some(Failure { at, reason });
        let pause = least.saturating_mul(1 << self.failures.min(16)).min(most);
        self.failures = self.failures.saturating_add(1);
        spread.about(pause).max(rest.unwrap_or_default())
    }

    fn removed(&mut self) {
        self.until = None;
        self.state = RegistrationState::Unregistered;
    }

    /// Its state and what went wrong last, if that is another state than was told last.
    pub(super) fn news(&mut self, now: Reading) -> Option<(RegistrationState, String)> {
        let state = self.state(now.mono);
        if self.told.is_some_and(|(told, _)| told == state) {
            return None;
        }
        let first = self.told.replace((state, now)).is_none();
        let why = self
            .last_failure
            .as_ref()
            .map(|failure| failure.reason.clone());
        (!first).then(|| (state, why.unwrap_or_default()))
    }

    pub(super) fn status(&self, now: Reading) -> RegistrationStatus {
        let until = self.until.filter(|_| self.is_registered(now.mono));
        RegistrationStatus {
            state: self.state(now.mono),
            since: self.told.map_or(now, |(_, since)| since).wall,
            expires_at: until.map(|until| until.wall),
            last_failure: self.last_failure.clone(),
        }
    }
}

/// Who is registered, and where.
#[derive(Debug)]
pub(super) struct Registrar {
    pub(super) config: RegistrationConfig,
    /// The trunk at the registrar.
    pub(super) route: Route,
}

impl Registrar {
    /// The trunk at one of the registrar's addresses: the next one after each failure.
    async fn at(&self, shared: &Shared, turn: u32) -> Option<Arc<Trunk>> {
        let Route { trunk, destination } = &self.route;
        if destination.numeric().is_some() {
            return Some(Arc::clone(trunk));
        }
        let has_tls = trunk.peer.has_tls();
        let found = shared.endpoint.find(destination, has_tls).await.ok()?;
        let targets = ordered(&found.answers, 0);
        let turn = usize::try_from(turn).ok()?.checked_rem(targets.len())?;
        let target = *targets.get(turn)?;
        Some(Arc::new(Trunk {
            target,
            ..Trunk::clone(trunk)
        }))
    }
}

/// Runs until the worker has stopped, and then takes the address back.
pub(super) async fn run(
    shared: Arc<Shared>,
    targets: Arc<Targets>,
    retired: CancellationToken,
    mut phase: watch::Receiver<Phase>,
) {
    let Some(registrar) = &targets.registrar else {
        return;
    };
    let RegistrationConfig {
        user, contact_user, ..
    } = &registrar.config;
    let mut registration = Registration::new(
        shared.endpoint.clone(),
        user,
        contact_user.as_ref().unwrap_or(user),
        Duration::from_secs(registrar.config.expires_seconds),
    );
    let mut last = None;
    let kept = keep(&shared, &targets, registrar, &mut registration, &mut last);
    tokio::select! {
        biased;
        _ = phase.wait_for(|phase| *phase == Phase::Stopped) => {}
        () = retired.cancelled() => {}
        () = kept => {}
    }
    // Another section of the same trunk registers the same address by itself.
    let is_replaced =
        retired.is_cancelled() && shared.tracks.registers(targets.name(), &registrar.config);
    if let Some(at) = last.filter(|_| !is_replaced) {
        let _ = registration.remove(&at, LAST_PATIENCE).await;
        targets.enrolled(Enrolment::removed, shared.clock.read());
    }
}

async fn keep(
    shared: &Shared,
    targets: &Targets,
    registrar: &Registrar,
    registration: &mut Registration,
    last: &mut Option<Arc<Trunk>>,
) {
    let mut spread = Spread::of(&(shared.seed(), "registration"));
    let mut failures = 0_u32;
    loop {
        let registered = match registrar.at(shared, failures).await {
            Some(at) => {
                // What was asked may have been done, though nobody heard of it.
                *last = Some(Arc::clone(&at));
                registration.refresh(&at, PATIENCE).await
            }
            None => Registered::Silent(Unheard::NotSent),
        };
        let is_registered = matches!(registered, Registered::For(_));
        failures = if is_registered {
            0
        } else {
            failures.wrapping_add(1)
        };
        meter::registered(targets.name(), is_registered);
        if let Registered::NotAuthenticated(why) = registered {
            tracing::error!(
                trunk = targets.name(),
                why,
                "the registrar does not let us in; see username and password_file"
            );
        }
        let now = shared.clock.read();
        let mut pause = Duration::ZERO;
        let note =
            |enrolment: &mut Enrolment| pause = enrolment.heard(&registered, now, &mut spread);
        targets.enrolled(note, now);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Micros;

    fn at(seconds: u64) -> Reading {
        Reading {
            wall: Micros(i64::try_from(seconds).unwrap() * 1_000_000),
            mono: Mono(Duration::from_secs(seconds)),
        }
    }

    fn refused(code: u16, retry_after: Option<u64>) -> Registered {
        Registered::Refused(Answered {
            code,
            retry_after: retry_after.map(Duration::from_secs),
        })
    }

    /// The pauses after such an answer, again and again, in seconds.
    fn pauses(registered: &Registered) -> Vec<f64> {
        let (mut enrolment, mut spread) = (Enrolment::new(), Spread::of(&1));
        let mut pause = || {
            enrolment
                .heard(registered, at(0), &mut spread)
                .as_secs_f64()
        };
        (0..12).map(|_| pause()).collect()
    }

    #[test]
    fn who_refuses_is_left_alone_for_longer_than_who_is_silent() {
        for (registered, first, last) in [
            (Registered::Silent(Unheard::TimedOut), 4.0, 120.0),
            (refused(503, None), 4.0, 120.0),
            (refused(403, None), 120.0, 3_600.0),
            (Registered::NotAuthenticated("no"), 120.0, 3_600.0),
        ] {
            let pauses = pauses(&registered);
            let near = |pause: f64, wanted: f64| (pause / wanted - 1.0).abs() <= 0.1;
            assert!(near(pauses[0], first), "{registered:?}: {pauses:?}");
            assert!(near(pauses[1], first * 2.0), "{registered:?}: {pauses:?}");
            assert!(near(pauses[11], last), "{registered:?}: {pauses:?}");
        }
        assert!(pauses(&refused(503, Some(200)))[0] >= 200.0, "as it asked");
    }

    #[test]
    fn it_is_refreshed_in_time_and_holds_until_it_runs_out() {
        let (mut enrolment, mut spread) = (Enrolment::new(), Spread::of(&1));
        enrolment.news(at(0));
        let granted = Registered::For(Duration::from_secs(600));
        let refresh = enrolment.heard(&granted, at(10), &mut spread).as_secs();
        assert!((300..360).contains(&refresh), "{refresh}");
        assert_eq!(
            enrolment.news(at(10)).unwrap().0,
            RegistrationState::Registered
        );
        // The registrar is gone: what it granted holds.
        let silent = Registered::Silent(Unheard::TimedOut);
        enrolment.heard(&silent, at(350), &mut spread);
        assert!(enrolment.is_registered(at(609).mono));
        assert_eq!(enrolment.status(at(400)).expires_at, Some(at(610).wall));
        assert!(!enrolment.is_registered(at(610).mono));
        let (state, why) = enrolment.news(at(610)).unwrap();
        assert_eq!(
            (state, why.as_str()),
            (RegistrationState::Unregistered, "timeout")
        );
        assert_eq!(enrolment.status(at(620)).expires_at, None);
        assert_eq!(enrolment.status(at(620)).since, at(610).wall);
        // A refusal ends it at once.
        enrolment.heard(&granted, at(700), &mut spread);
        enrolment.heard(&refused(403, None), at(800), &mut spread);
        assert_eq!(enrolment.status(at(801)).state, RegistrationState::Refused);
        let brief = Registered::For(Duration::from_secs(1));
        assert_eq!(enrolment.heard(&brief, at(900), &mut spread), REFRESH_MIN);
    }

    #[test]
    fn settings_that_cannot_work_are_named() {
        let config = |user: &str, expires_seconds| RegistrationConfig {
            registrar: None,
            user: user.to_owned(),
            contact_user: None,
            expires_seconds,
        };
        assert!(config("+12125550100", 600).problems().is_empty());
        assert_eq!(config("", 59).problems().len(), 2);
        for bad in ["a@b", "a b", "a;b", "a>", "a\r\nX: y"] {
            let problems = config(bad, 600).problems();
            assert!(
                problems[0].starts_with("registration.user: "),
                "{problems:?}"
            );
        }
    }
}
