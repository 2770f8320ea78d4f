//! The trunks of this process with what is used of each: its pace and its channels. Which there are may change while calls are
//! under way: those keep theirs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::Lane;
use super::config::PaceConfig;
use super::pace::Pace;
use super::registration::RegistrationConfig;
use crate::clock::Clock;
use crate::domain::campaign::Campaign;
use crate::domain::phone::Phone;
use crate::domain::route::Prefix;
use crate::domain::time::Reading;
use crate::domain::trunk::TrunkStatus;

/// Every trunk at one time, by name.
pub(super) type All = BTreeMap<String, Arc<Track>>;

/// One trunk.
pub(super) struct Track {
    pub(super) lane: Lane,
    pub(super) pace: Arc<Pace>,
    pub(super) channels: Arc<Channels>,
}

impl Track {
    fn status(&self, now: Reading) -> TrunkStatus {
        let count = self.channels.count();
        TrunkStatus {
            calls: count.used,
            channels: count.max,
            ..self.lane.targets.status(now)
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.lane.trunk.name
    }
}

/// How many calls a trunk carries, and how many it may.
pub(super) struct Channels {
    count: Mutex<Count>,
    stir: Arc<Notify>,
}

struct Count {
    used: u32,
    max: u32,
}

/// A call's place on its trunk.
pub(super) struct Channel(Arc<Channels>);

impl Channels {
    fn new(max: u32, stir: Arc<Notify>) -> Arc<Self> {
        let count = Mutex::new(Count { used: 0, max });
        Arc::new(Self { count, stir })
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Whole after a panic: each change is one addition.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn free(&self) -> u32 {
        let count = self.count();
        count.max.saturating_sub(count.used)
    }

    /// A place, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Channel> {
        let mut count = self.count();
        if count.used >= count.max {
            return None;
        }
        count.used += 1;
        Some(Channel(Arc::clone(self)))
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        let mut count = self.0.count();
        count.used = count.used.saturating_sub(1);
        drop(count);
        self.0.stir.notify_one();
    }
}

/// The paces that a call is under besides its trunk's.
#[derive(Clone, Default)]
pub(super) struct Paces {
    /// Its campaign's.
    pub(super) own: Option<Arc<Pace>>,
    /// Those of all numbers that begin like its own.
    pub(super) prefixed: Vec<Arc<Pace>>,
}

impl Paces {
    /// All that it is under on this trunk.
    pub(super) fn with(&self, track: &Track) -> Vec<Arc<Pace>> {
        let trunks = std::iter::once(&track.pace);
        let all = trunks.chain(&self.own).chain(&self.prefixed);
        all.cloned().collect()
    }
}

/// The trunks and the further paces of this process.
pub(super) struct Tracks {
    clock: Clock,
    /// A channel or a token was given up, or the trunks are others: who begins calls looks again.
    pub(super) stir: Arc<Notify>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    all: Arc<All>,
    campaigns: BTreeMap<String, Arc<Pace>>,
    prefixes: Vec<(Prefix, Arc<Pace>)>,
    /// Counts the changes, so that who has looked knows that there was one.
    version: u64,
    /// The longest that any trunk so far may stay silent.
    silence: Duration,
}

impl Tracks {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            stir: Arc::default(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole after a panic: what is put in is made before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works with these trunks from now on; answers those that are new or have changed. One that was there before keeps its pace
    /// and what is used of its channels, and all else too if its section says the same.
    pub(super) fn take(&self, lanes: Vec<Lane>, paces: &[PaceConfig]) -> Vec<Lane> {
        let mut state = self.state();
        let mut new = Vec::new();
        let mut track = |mut lane: Lane| {
            match state.all.get(&lane.trunk.name) {
                Some(before) if before.lane.says_the_same(&lane) => {
                    lane = before.lane.clone();
                }
                _ => new.push(lane.clone()),
            }
            let rate = lane.config.rate();
            let max = lane.config.channels.get();
            let (pace, channels) = match state.all.get(&lane.trunk.name) {
                Some(before) => {
                    before.pace.set(rate);
                    before.channels.count().max = max;
                    (Arc::clone(&before.pace), Arc::clone(&before.channels))
                }
                None => (
                    Pace::new(rate, self.clock.clone(), Arc::clone(&self.stir)),
                    Channels::new(max, Arc::clone(&self.stir)),
                ),
            };
            let name = lane.trunk.name.clone();
            let track = Track {
                lane,
                pace,
                channels,
            };
            (name, Arc::new(track))
        };
        let all: All = lanes.into_iter().map(&mut track).collect();
        let prefix = |row: &PaceConfig| {
            let before = state.prefixes.iter().find(|each| each.0 == row.prefix);
            let pace = match before {
                Some((_, pace)) => {
                    pace.set(row.rate());
                    Arc::clone(pace)
                }
                None => Pace::new(row.rate(), self.clock.clone(), Arc::clone(&self.stir)),
            };
            (row.prefix.clone(), pace)
        };
        let prefixes = paces.iter().map(prefix).collect();
        let silences = all
            .values()
            .map(|track| track.lane.trunk.first_response_timeout);
        state.silence = silences.fold(state.silence, Duration::max);
        let before = std::mem::replace(&mut state.all, Arc::new(all));
        state.prefixes = prefixes;
        state.version += 1;
        let gone = before.iter().filter(|(name, track)| {
            let now = state.all.get(*name);
            now.is_none_or(|now| !Arc::ptr_eq(&now.lane.targets, &track.lane.targets))
        });
        gone.for_each(|(_, track)| track.lane.retired.cancel());
        drop(state);
        self.stir.notify_one();
        new
    }

    /// Every trunk there is now, and how often they have changed.
    pub(super) fn all(&self) -> (Arc<All>, u64) {
        let state = self.state();
        (Arc::clone(&state.all), state.version)
    }

    /// Whether the trunk is there and registers the same.
    pub(super) fn registers(&self, trunk: &str, as_before: &RegistrationConfig) -> bool {
        let (all, _) = self.all();
        let track = all.get(trunk);
        track.is_some_and(|track| track.lane.config.registration.as_ref() == Some(as_before))
    }

    /// How each trunk stands.
    pub(super) fn standing(&self, now: Reading) -> Vec<TrunkStatus> {
        let (all, _) = self.all();
        all.values().map(|track| track.status(now)).collect()
    }

    /// Calls that a trunk carries.
    pub(super) fn calls(&self, trunk: &str) -> u32 {
        let (all, _) = self.all();
        all.get(trunk)
            .map_or(0, |track| track.channels.count().used)
    }

    pub(super) fn longest_silence(&self) -> Duration {
        self.state().silence
    }

    /// The paces that a campaign's call to this number is under, besides its trunk's.
    pub(super) fn paces(&self, campaign: Option<&Campaign>, to: Option<Phone>) -> Paces {
        let mut state = self.state();
        let own = campaign.and_then(|campaign| {
            let rate = campaign.dialing.rate?;
            let name = campaign.campaign_id.clone();
            let pace = state.campaigns.entry(name);
            let new = || Pace::new(rate, self.clock.clone(), Arc::clone(&self.stir));
            Some(Arc::clone(pace.or_insert_with(new)))
        });
        let covering = |(prefix, pace): &(Prefix, Arc<Pace>)| {
            let covers = to.is_some_and(|to| prefix.covers(to));
            covers.then(|| Arc::clone(pace))
        };
        let prefixed = state.prefixes.iter().filter_map(covering).collect();
        Paces { own, prefixed }
    }
}
