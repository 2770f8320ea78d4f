//! The targets of one trunk, in the order in which they are tried, and how each of them stands: who gives no sign of life
//! (`health`) or asked to be left alone for a while is not sent calls, and a trunk without any other takes none.
//!
//! A 503 with Retry-After is about the server and not about the call: nothing else is sent there meanwhile (RFC 3261 section
//! 21.5.4), and the trunk goes at half its pace until then, for the others get its share. Each node learns it by itself and
//! forgets it when it ends. What a name stands for is kept up to date by `names`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::config::{Route, TrunkConfig, TrunkRoutes};
use super::health::HealthConfig;
use super::registration::{Enrolment, Registrar};
use super::state::Known;
use crate::domain::call::Retry;
use crate::domain::time::{Mono, Reading};
use crate::domain::trunk::{RegistrationState, TargetState, TargetStatus, TrunkState, TrunkStatus};
use crate::sip::{Answer, Destination, Ending, Host, Target, Trunk, ordered};

const SERVICE_UNAVAILABLE: u16 = 503;

/// Where the calls of a trunk may go.
#[derive(Debug)]
pub(super) struct Targets {
    /// In the order of the configuration.
    pub(super) places: Vec<Place>,
    pub(super) health: HealthConfig,
    pub(super) registrar: Option<Arc<Registrar>>,
    enrolment: Option<Mutex<Enrolment>>,
    name: String,
    calls_per_second: u32,
    book: Mutex<Book>,
}

/// What is known of the targets, and what was told of the trunk last and since when it is so.
#[derive(Debug, Default)]
struct Book {
    known: HashMap<Target, Known>,
    told: Option<(TrunkState, Reading)>,
    /// Until when the trunk goes at half its pace.
    slow_until: Mono,
}

impl Book {
    fn of(&mut self, target: Target, now: Reading) -> &mut Known {
        self.known.entry(target).or_insert_with(|| Known::new(now))
    }

    /// It sleeps, and its trunk slows down meanwhile: what it could not take is not to fall on the others at once.
    fn lay_down(&mut self, target: Target, rest: Option<Duration>, now: Reading) {
        if let Some(rest) = rest.filter(|rest| !rest.is_zero()) {
            self.of(target, now).sleeps(rest, now.mono);
            self.slow_until = self.slow_until.max(now.mono.plus(rest));
        }
    }

    /// One of which nothing is known is up.
    fn state(&self, target: Target, now: Mono) -> TargetState {
        let known = self.known.get(&target);
        known.map_or(TargetState::Up, |known| known.state(now))
    }
}

/// The trunk at one destination.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) route: Route,
    /// What its name stands for.
    answers: Mutex<Vec<Answer>>,
}

impl Place {
    /// Whether it is a name, and not an address.
    pub(super) fn is_named(&self) -> bool {
        self.route.destination.numeric().is_none()
    }

    /// Takes note of what its name stands for now; tells whether that is news.
    pub(super) fn learn(&self, answers: Vec<Answer>) -> bool {
        let mut known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let news = *known != answers;
        *known = answers;
        news
    }

    /// Whether anything is known of what its name stands for.
    pub(super) fn knows_any(&self) -> bool {
        let known = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        !known.is_empty()
    }

    /// Its targets in the order in which the call of this seed tries them.
    fn targets(&self, seed: u64) -> Vec<Target> {
        match self.route.destination.numeric() {
            Some(target) => vec![target],
            None => ordered(
                &self.answers.lock().unwrap_or_else(PoisonError::into_inner),
                seed,
            ),
        }
    }

    fn at(&self, target: Target) -> Arc<Trunk> {
        let trunk = &self.route.trunk;
        if trunk.target == target {
            return Arc::clone(trunk);
        }
        Arc::new(Trunk {
            target,
            ..Trunk::clone(trunk)
        })
    }
}

impl Targets {
    pub(super) fn new(routes: TrunkRoutes, config: &TrunkConfig) -> Self {
        let TrunkRoutes {
            trunk,
            routes,
            registrar,
            ..
        } = routes;
        let place = |route| Place {
            route,
            answers: Mutex::default(),
        };
        Self {
            places: routes.into_iter().map(place).collect(),
            health: config.health.clone(),
            name: trunk.name.clone(),
            enrolment: registrar.as_ref().map(|_| Mutex::new(Enrolment::new())),
            registrar,
            calls_per_second: config.calls_per_second.get(),
            book: Mutex::default(),
        }
    }

    /// Whether a call may be begun: one that is placed meanwhile waits, or goes by another trunk.
    pub(super) fn may_call(&self, now: Mono) -> bool {
        self.trunk_state(&self.book(), now) == TrunkState::Up
    }

    /// The first that takes calls and that this one has not tried. A new call that has its claim is sent to the first of all
    /// if none does: it was begun when one did.
    pub(super) fn pick(&self, seed: u64, tried: &[Target], now: Mono) -> Option<Arc<Trunk>> {
        let book = self.book();
        let all = self.places.iter().flat_map(|place| {
            let targets = place.targets(seed).into_iter();
            targets.map(move |target| (place, target))
        });
        let left: Vec<_> = all.filter(|(_, target)| !tried.contains(target)).collect();
        let up = |(_, target): &&(&Place, Target)| book.state(*target, now) == TargetState::Up;
        let first = left.first().filter(|_| tried.is_empty());
        let picked = left.iter().find(up).or(first);
        picked.map(|(place, target)| place.at(*target))
    }

    /// Takes over what the targets of the trunk before asked for: one that wants to be left alone is, whatever else is new. Whether
    /// it lives, and why it did not, may be another thing by the new section.
    pub(super) fn inherit(&self, before: &Self, now: Reading) {
        let old = before.book();
        let resting = old.known.iter();
        let resting = resting.filter(|(_, known)| known.is_asleep(now.mono));
        let resting: Vec<(Target, Known)> = resting
            .map(|(target, known)| (*target, known.resting()))
            .collect();
        let slow_until = old.slow_until;
        drop(old);
        let mut book = self.book();
        book.known.extend(resting);
        book.slow_until = slow_until;
    }

    /// The target of its own that somebody names, if there is one and it is sent calls: by address, or by the name that the
    /// configuration has for it.
    pub(super) fn named(&self, to: &Destination, seed: u64, now: Mono) -> Option<Target> {
        let book = self.book();
        let mut all = self.places.iter().flat_map(|place| {
            let targets = place.targets(seed).into_iter();
            targets.map(move |target| (place, target))
        });
        let named = all.find(|(place, target)| {
            let is_host = match &to.host {
                Host::Ip(ip) => target.addr.ip() == *ip,
                Host::Name(_) => place.route.destination.host == to.host,
            };
            let is_port = to.port.is_none_or(|port| port == target.addr.port());
            let is_way = to.transport.is_none_or(|way| way == target.transport);
            is_host && is_port && is_way && book.state(*target, now) == TargetState::Up
        });
        named.map(|(_, target)| target)
    }

    /// Whether it is still one of its own, and sent calls.
    pub(super) fn takes_calls(&self, target: Target, now: Mono) -> bool {
        self.all().contains(&target) && self.book().state(target, now) == TargetState::Up
    }

    /// Until when the trunk goes at half its pace: as long as one of its targets sleeps.
    pub(super) fn slow_until(&self) -> Mono {
        self.book().slow_until
    }

    /// Takes note of how a call ended there. A target that wants to be left alone is.
    pub(super) fn learn(&self, target: Target, ending: &Ending, now: Reading) {
        if ending.retry != Retry::Trunk {
            return;
        }
        let reason = ending
            .code
            .map_or_else(|| "timeout".to_owned(), |code| format!("sip_{code}"));
        let rest = ending
            .retry_after
            .filter(|_| ending.code == Some(SERVICE_UNAVAILABLE));
        let mut book = self.book();
        book.of(target, now).failed(Some(reason), now);
        book.lay_down(target, rest, now);
        drop(book);
        self.settle(now);
    }

    /// Takes note of what became of a question for a sign of life.
    pub(super) fn asked(
        &self,
        target: Target,
        failed: Option<String>,
        rest: Option<Duration>,
        now: Reading,
    ) {
        let mut book = self.book();
        book.of(target, now).asked(failed, &self.health, now);
        book.lay_down(target, rest, now);
        drop(book);
        self.settle(now);
    }

    /// Takes note of what became of its registration.
    pub(super) fn enrolled(&self, note: impl FnOnce(&mut Enrolment), now: Reading) {
        if let Some(mut enrolment) = self.enrolment() {
            note(&mut enrolment);
        }
        self.settle(now);
    }

    fn enrolment(&self) -> Option<MutexGuard<'_, Enrolment>> {
        let enrolment = self.enrolment.as_ref()?;
        Some(enrolment.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it asked to be left alone.
    pub(super) fn is_asleep(&self, target: Target, now: Mono) -> bool {
        let book = self.book();
        let known = book.known.get(&target);
        known.is_some_and(|known| known.is_asleep(now))
    }

    /// All of them, in the order of the configuration; names may not be known yet.
    pub(super) fn all(&self) -> Vec<Target> {
        let mut all = Vec::new();
        for target in self.places.iter().flat_map(|place| place.targets(0)) {
            if !all.contains(&target) {
                all.push(target);
            }
        }
        all
    }

    /// The trunk at this target of it.
    pub(super) fn at(&self, target: Target) -> Option<Arc<Trunk>> {
        let mut places = self.places.iter();
        let place = places.find(|place| place.targets(0).contains(&target));
        place.map(|place| place.at(target))
    }

    /// Tells what has changed since the last time: one line a change.
    pub(super) fn settle(&self, now: Reading) {
        let (trunk, all) = (&self.name, self.all());
        let mut book = self.book();
        // Names come and go, and with them what they stood for. Who is asleep stays so, were it gone for a moment.
        book.known
            .retain(|target, known| all.contains(target) || known.is_asleep(now.mono));
        for (target, known) in &mut book.known {
            let Some(state) = known.news(now) else {
                continue;
            };
            let why = known.last_failure.as_ref();
            let why = why
                .map(|failure| failure.reason.as_str())
                .unwrap_or_default();
            match state {
                TargetState::Up => {
                    tracing::info!(trunk, sip.target = %target, "the target takes calls again");
                }
                TargetState::Down | TargetState::Asleep => {
                    tracing::warn!(trunk, sip.target = %target, %state, why, "the target takes no calls");
                }
            }
        }
        if let Some((state, why)) = self.enrolment().and_then(|mut known| known.news(now)) {
            match state {
                RegistrationState::Registered => tracing::info!(trunk, "the trunk is registered"),
                RegistrationState::Unregistered | RegistrationState::Refused => {
                    tracing::warn!(trunk, registration = %state, why, "the trunk is not registered");
                }
            }
        }
        let state = self.trunk_state(&book, now.mono);
        let before = book.told.map(|(state, _)| state);
        if before == Some(state) {
            return;
        }
        book.told = Some((state, now));
        drop(book);
        match (state, before) {
            // As it is to be.
            (TrunkState::Up, None) => {}
            // A name was not looked up yet, or a registrar not asked.
            (state, None) => tracing::info!(trunk, %state, "the trunk takes no calls yet"),
            (TrunkState::Up, Some(_)) => tracing::info!(trunk, "the trunk takes calls again"),
            (state, _) => tracing::warn!(trunk, %state, "the trunk takes no calls; they wait"),
        }
    }

    fn trunk_state(&self, book: &Book, now: Mono) -> TrunkState {
        let states = self.all().into_iter().map(|target| book.state(target, now));
        let states: Vec<TargetState> = states.collect();
        let enrolment = self.enrolment();
        let is_registered = enrolment.is_none_or(|known| known.is_registered(now));
        let is_up = states.contains(&TargetState::Up);
        match (is_up, states.contains(&TargetState::Asleep)) {
            (false, false) => TrunkState::Down,
            _ if !is_registered => TrunkState::Unregistered,
            (true, _) => TrunkState::Up,
            (false, true) => TrunkState::Asleep,
        }
    }

    /// How the trunk stands, but for its calls.
    pub(super) fn status(&self, now: Reading) -> TrunkStatus {
        self.settle(now);
        let book = self.book();
        let targets: Vec<TargetStatus> = self
            .all()
            .into_iter()
            .map(|target| {
                let unknown = Known::new(self.since(&book, now));
                let known = book.known.get(&target).unwrap_or(&unknown);
                TargetStatus {
                    transport: target.transport.as_str(),
                    address: target.addr.to_string(),
                    state: known.told,
                    since: known.since.wall,
                    last_failure: known.last_failure.clone(),
                }
            })
            .collect();
        let is_slow = now.mono < book.slow_until;
        let pace = self.calls_per_second.saturating_mul(1_000);
        TrunkStatus {
            name: self.name.clone(),
            state: self.trunk_state(&book, now.mono),
            since: self.since(&book, now).wall,
            targets,
            calls: 0,
            channels: 0,
            calls_per_second_milli: if is_slow { pace / 2 } else { pace },
            registration: self.enrolment().map(|known| known.status(now)),
        }
    }

    fn since(&self, book: &Book, now: Reading) -> Reading {
        book.told.map_or(now, |(_, since)| since)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Whoever panicked while holding it left what is true of some moment.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::dialer::TrunkConfig;
    use crate::domain::call::Outcome;
    use crate::domain::time::Micros;
    use crate::sip::EndedBy;

    fn addr(host: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, host], 5060))
    }

    fn targets(of: &TrunkConfig) -> Targets {
        Targets::new(of.trunk("t").unwrap(), of)
    }

    #[test]
    fn each_target_once_in_order_and_those_asleep_not_at_all() {
        let targets = targets(&TrunkConfig {
            fallback_targets: vec![addr(2).into(), addr(3).into()],
            ..TrunkConfig::towards(addr(1))
        });
        let now = Mono(Duration::from_secs(100));
        let busy = |code, seconds| Ending {
            code: Some(code),
            retry_after: Some(Duration::from_secs(seconds)),
            ..Ending::plain(Outcome::Congestion, Retry::Trunk, EndedBy::Peer)
        };
        let next = |tried: &[u8], now| {
            let tried: Vec<Target> = tried.iter().map(|host| addr(*host).into()).collect();
            targets.pick(0, &tried, now).map(|trunk| trunk.target.addr)
        };
        let reading = |mono| Reading {
            wall: Micros(0),
            mono,
        };
        let learn = |host, ending: Ending| targets.learn(addr(host).into(), &ending, reading(now));
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), Some(addr(2)));
        assert_eq!(next(&[1, 2], now), Some(addr(3)));
        assert_eq!(next(&[1, 2, 3], now), None);
        // Only a 503 is about the target.
        for other in [404, 413, 480, 486, 500, 600, 603] {
            learn(1, busy(other, 30));
        }
        assert_eq!(next(&[], now), Some(addr(1)));
        let bare = Ending {
            retry_after: None,
            ..busy(503, 0)
        };
        for rest in [busy(503, 0), bare] {
            learn(1, rest);
        }
        assert_eq!(next(&[], now), Some(addr(1)));
        let until = now.plus(Duration::from_secs(30));
        assert_eq!(
            targets.slow_until(),
            Mono::default(),
            "a bare 503 is as a 500"
        );
        learn(1, busy(503, 30));
        assert_eq!(targets.slow_until(), until);
        learn(2, busy(503, 60));
        assert_eq!(next(&[], now), Some(addr(3)));
        assert_eq!(next(&[3], now), None, "the others sleep");
        let later = now.plus(Duration::from_secs(30));
        assert_eq!(next(&[], later), Some(addr(1)));
        assert_eq!(next(&[1], later), Some(addr(3)));
        let status = |now| targets.status(reading(now));
        assert!(targets.may_call(now));
        assert_eq!(status(now).state, TrunkState::Up);
        assert_eq!(
            status(now).calls_per_second_milli,
            500,
            "one of them sleeps"
        );
        // With all of them asleep no call is begun; one that has its claim goes to the first, once.
        learn(3, busy(503, 60));
        assert!(!targets.may_call(now));
        assert_eq!(status(now).state, TrunkState::Asleep);
        assert_eq!(next(&[], now), Some(addr(1)));
        assert_eq!(next(&[1], now), None);
        assert!(targets.may_call(later));
        let whole = now.plus(Duration::from_secs(60));
        assert_eq!(status(whole).calls_per_second_milli, 1_000);
    }

    /// A reload changes a trunk's section: who asked to be left alone still is, and who gave no sign of life is asked anew.
    #[test]
    fn another_section_forgets_no_retry_after() {
        let config = TrunkConfig {
            fallback_targets: vec![addr(2).into(), addr(3).into()],
            ..TrunkConfig::towards(addr(1))
        };
        let at = |seconds: i64| Reading {
            wall: Micros(seconds * 1_000_000),
            mono: Mono(Duration::from_secs(seconds.unsigned_abs())),
        };
        let before = targets(&config);
        let busy = Ending {
            code: Some(503),
            retry_after: Some(Duration::from_secs(60)),
            ..Ending::plain(Outcome::Congestion, Retry::Trunk, EndedBy::Peer)
        };
        before.learn(addr(1).into(), &busy, at(0));
        for _ in 0..2 {
            let failed = Some("timeout".to_owned());
            before.asked(addr(2).into(), failed, None, at(0));
        }
        assert_eq!(
            before.pick(0, &[], at(1).mono).unwrap().target.addr,
            addr(3)
        );
        let after = targets(&TrunkConfig {
            ring_timeout_seconds: 60,
            ..config
        });
        after.inherit(&before, at(10));
        let first = |now| after.pick(0, &[], at(now).mono).unwrap().target.addr;
        assert_eq!(first(10), addr(2));
        assert_eq!(first(59), addr(2));
        assert_eq!(after.slow_until(), at(60).mono);
        assert_eq!(first(60), addr(1));
        let states = after.status(at(11)).targets;
        assert_eq!(states[0].state, TargetState::Asleep);
        assert_eq!(states[0].last_failure.as_ref().unwrap().reason, "sip_503");
        // What has woken up since is not taken over.
        let later = targets(&TrunkConfig::towards(addr(1)));
        later.inherit(&after, at(61));
        assert!(later.may_call(at(61).mono));
    }

    #[test]
    fn a_trunk_without_a_target_that_lives_takes_no_calls_until_one_does() {
        let targets = targets(&TrunkConfig {
            fallback_targets: vec![addr(2).into()],
            ..TrunkConfig::towards(addr(1))
        });
        let at = |seconds: i64| Reading {
            wall: Micros(seconds * 1_000_000),
            mono: Mono(Duration::from_secs(seconds.unsigned_abs())),
        };
        let asked = |host, failed: Option<&str>, now| {
            let failed = failed.map(str::to_owned);
            targets.asked(addr(host).into(), failed, None, at(now));
        };
        let told = |now| {
            let status = targets.status(at(now));
            let states = status.targets.iter().map(|target| target.state);
            (status.state, states.collect::<Vec<_>>())
        };
        use TargetState::{Down, Up};
        assert_eq!(
            told(0),
            (TrunkState::Up, vec![Up, Up]),
            "until the contrary is known"
        );
        for now in [1, 2] {
            asked(1, Some("timeout"), now);
        }
        assert_eq!(told(2), (TrunkState::Up, vec![Down, Up]));
        let next = targets.pick(0, &[], at(2).mono).unwrap();
        assert_eq!(next.target.addr, addr(2));
        for now in [3, 4] {
            asked(2, Some("sip_503"), now);
        }
        assert_eq!(told(5), (TrunkState::Down, vec![Down, Down]));
        assert!(!targets.may_call(at(5).mono));
        let status = targets.status(at(5));
        assert_eq!(status.since, Micros(4_000_000));
        let failure = status.targets[1].last_failure.clone().unwrap();
        assert_eq!(
            (failure.reason.as_str(), failure.at),
            ("sip_503", Micros(4_000_000))
        );
        asked(2, None, 6);
        assert_eq!(told(6), (TrunkState::Up, vec![Down, Up]));
        assert!(targets.may_call(at(6).mono));
    }

    #[test]
    fn a_name_is_walked_in_the_order_of_its_answers_and_then_comes_the_next_destination() {
        let targets = targets(&TrunkConfig {
            fallback_targets: vec![addr(9).into()],
            ..TrunkConfig::towards(
                "tcp:carrier.example"
                    .parse::<crate::sip::Destination>()
                    .unwrap(),
            )
        });
        let walk = |seed| {
            let mut tried = Vec::new();
            while let Some(trunk) = targets.pick(seed, &tried, Mono::default()) {
                tried.push(trunk.target);
            }
            tried
        };
        assert!(targets.may_call(Mono::default()));
        assert_eq!(walk(1), [addr(9).into()], "the name is not known yet");
        let at = |host| Target {
            transport: crate::sip::Transport::Tcp,
            addr: addr(host),
        };
        let answer = |host, priority| Answer {
            rank: 0,
            priority,
            weight: 1,
            targets: vec![at(host)],
        };
        assert!(targets.places[0].learn(vec![answer(2, 20), answer(1, 10)]));
        assert!(
            !targets.places[0].learn(vec![answer(2, 20), answer(1, 10)]),
            "no news"
        );
        assert_eq!(walk(1), [at(1), at(2), addr(9).into()]);
        let first = targets.pick(1, &[], Mono::default()).unwrap();
        assert_eq!(first.domain, "carrier.example");
        // Both have the connections of their destination.
        let second = targets.pick(1, &[at(1)], Mono::default()).unwrap();
        assert!(Arc::ptr_eq(&first.peer, &second.peer));
    }
}
