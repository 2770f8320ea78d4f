//! Begins calls: leases what is due, fairly from each campaign, chooses a trunk that is up, has a free channel and a token, and
//! begins the attempt.
//!
//! A call belongs to its campaign until then. Which trunk carries it is decided at the last moment, when it is known which are
//! to be had; a trunk that is down, full or out of pace is passed over for the next of the call's own.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;

use crate::domain::campaign::Campaign;
use crate::domain::time::Mono;
use crate::sip::HangUpCause;
use crate::store::{Leased, Notice, StoreError, Urgency};

use super::attempt::{self, Begun};
use super::board::{Board, Waiting, Way};
use super::desk::{self, AtDesk, Seated};
use super::pace::Pace;
use super::tracks::{All, Paces, Track};
use super::{Active, LOOK_EVERY, Phase, Shared, journal};

/// Calls of one campaign leased in one transaction at most: enough to keep a fast trunk busy, few enough to leave other nodes
/// theirs.
const LEASE_MAX: usize = 32;

/// Calls of one campaign that may be held here while every way is closed to them, so that those behind them get on.
const HELD_MAX: usize = 256;

/// A call that has found all of its trunks full or down for so long goes back to the queue: another node may have a free channel, or a trunk that is up.
const FULL_FOR: Duration = Duration::from_secs(2);

/// The pause after a store that did not answer.
const FAILED_PAUSE: Duration = Duration::from_secs(1);

/// A leased call with what it needs besides a trunk.
struct Held {
    leased: Leased,
    since: Mono,
    paces: Paces,
    /// The agent who has answered and waits for it, where one is called first.
    desk: Option<AtDesk>,
}

/// The trunks as they were when the calls were put in order.
#[derive(Default)]
struct Seen {
    all: Arc<All>,
    version: u64,
}

impl Seen {
    /// How a trunk stands to a call now; what has to pass before that changes is noted.
    fn way(&self, held: &Held, trunk: &str, (now, wait): (Mono, &Cell<Duration>)) -> Way {
        let Some(track) = self.all.get(trunk) else {
            return Way::Closed;
        };
        if !track.lane.may_be_chosen(now) {
            return Way::Closed;
        }
        track.pace.slow_until(track.lane.targets.slow_until());
        let until = |pace: &Arc<Pace>| {
            let until = pace.wait();
            wait.set(wait.get().min(until.unwrap_or(LOOK_EVERY)));
            until.is_some()
        };
        if held.paces.prefixed.iter().any(until) {
            return Way::Closed;
        }
        if track.channels.free() == 0 {
            return Way::Full;
        }
        if until(&track.pace) || held.paces.own.iter().any(until) {
            return Way::Paced;
        }
        Way::Free
    }
}

/// Runs until the worker drains; what it had leased and not begun goes back to the queue.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut phase: watch::Receiver<Phase>,
    calls: TaskTracker,
) {
    let mut lanes = Lanes {
        shared: Arc::clone(&shared),
        phase: phase.clone(),
        calls,
        board: Board::default(),
        seen: Seen::default(),
        ask: true,
        more: BTreeSet::new(),
    };
    tokio::select! {
        // A stop goes first: no call is begun any more.
        biased;
        () = drained(&mut phase) => {}
        () = lanes.work() => {}
    }
    desk::send_back(&shared).await;
    give_back(&shared, lanes.board.take_out(|_| true)).await;
}

struct Lanes {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    calls: TaskTracker,
    board: Board<Held>,
    seen: Seen,
    /// The store may have calls for us.
    ask: bool,
    /// Campaigns of which it had more than there was room for.
    more: BTreeSet<String>,
}

impl Lanes {
    async fn work(&mut self) {
        let mut notices = self.shared.gate.store().notices();
        let mut look = tokio::time::interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.look_at_trunks();
            self.welcome();
            self.let_go();
            self.settle_undialable();
            let wait = self.begin_all();
            self.return_stuck().await;
            match self.lease().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot lease calls; trying again");
                    tokio::time::sleep(FAILED_PAUSE).await;
                }
            }
            let stir = Arc::clone(&self.shared.tracks.stir);
            tokio::select! {
                biased;
                () = stir.notified() => {}
                () = queued(&mut notices) => self.ask = true,
                _ = look.tick() => self.ask = true,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Puts the calls in order anew when the trunks are others.
    fn look_at_trunks(&mut self) {
        let (all, version) = self.shared.tracks.all();
        if version == self.seen.version {
            return;
        }
        self.seen = Seen { all, version };
        for waiting in self.board.all_mut() {
            let (ways, paces) = ways_of(&self.shared, &waiting.call.leased);
            (waiting.ways, waiting.call.paces) = (ways, paces);
        }
    }

    /// Calls whose agents have answered wait for their trunks from now on.
    fn welcome(&mut self) {
        let since = self.shared.clock.read().mono;
        for Seated { leased, desk } in self.shared.agents.seated() {
            let campaign = leased.call.campaign_id.clone();
            let (ways, paces) = ways_of(&self.shared, &leased);
            let call = Held {
                leased,
                since,
                paces,
                desk: Some(desk),
            };
            // Somebody listens already: before those of the campaign that nobody waits for.
            self.board.put_back(&campaign, Waiting { call, ways });
        }
    }

    /// Calls whose agents have hung up, or have waited long enough.
    fn let_go(&mut self) {
        let now = self.shared.clock.read();
        for waiting in self.board.all_mut() {
            let Held { leased, desk, .. } = &mut waiting.call;
            if let Some(desk) = desk {
                desk.is_gone(&leased.call, now.wall);
            }
        }
        let is_left = |waiting: &Waiting<Held>| {
            let desk = waiting.call.desk.as_ref();
            desk.is_some_and(|desk| desk.over.is_some() || desk.is_weary(now.mono))
        };
        for Held { leased, desk, .. } in self.board.take_out(is_left) {
            let Some(desk) = desk else { continue };
            let left = desk::left(Arc::clone(&self.shared), leased, desk);
            self.calls.spawn(left);
        }
    }

    /// What no trunk may carry any more, and what ran out of time, is the gate's to end.
    fn settle_undialable(&mut self) {
        let now = self.shared.clock.read().wall;
        let over = |waiting: &Waiting<Held>| {
            waiting.ways.is_empty() || waiting.call.leased.call.expire_time <= now
        };
        for held in self.board.take_out(over) {
            let settled = attempt::settle(Arc::clone(&self.shared), held.leased);
            self.calls.spawn(settled);
        }
    }

    /// Begins all that may begin now; answers how long nothing will change by itself.
    fn begin_all(&mut self) -> Duration {
        let wait = Cell::new(LOOK_EVERY);
        let now = self.shared.clock.read().mono;
        loop {
            let campaigns = self.shared.gate.campaigns();
            let share = |name: &str| {
                let campaign = campaigns.get(name);
                campaign.map_or(1, |campaign| campaign.dialing.share.get())
            };
            let way = |held: &Held, trunk: &str| self.seen.way(held, trunk, (now, &wait));
            let next = self.board.next(share, way);
            let Some((waiting, trunk)) = next else {
                return wait.get();
            };
            if let Some(waiting) = self.begin(waiting, &trunk) {
                // A call under way was quicker: it is looked at again at once, behind none of its campaign.
                let campaign = waiting.call.leased.call.campaign_id.clone();
                self.board.put_back(&campaign, waiting);
                return LOOK_EVERY.min(wait.get());
            }
        }
    }

    /// Begins it, or hands it back.
    fn begin(&self, waiting: Waiting<Held>, trunk: &str) -> Option<Waiting<Held>> {
        let Some(track) = self.seen.all.get(trunk) else {
            return Some(waiting);
        };
        let paces = waiting.call.paces.with(track);
        let (Some(channel), Ok(token)) = (track.channels.take(), Pace::take_all(&paces)) else {
            return Some(waiting);
        };
        let Waiting {
            call:
                Held {
                    leased,
                    paces,
                    desk,
                    ..
                },
            mut ways,
        } = waiting;
        ways.retain(|each| each != trunk);
        let begun = Begun {
            track: Arc::clone(track),
            channel,
            desk,
            ways,
            paces,
            phase: self.phase.clone(),
        };
        let run = attempt::run(Arc::clone(&self.shared), begun, leased, token);
        self.calls.spawn(run);
        None
    }

    /// Gives back what finds all of its trunks full here, down or asleep, and has for some time: another node's may not be.
    async fn return_stuck(&mut self) {
        let now = self.shared.clock.read().mono;
        let all = Arc::clone(&self.seen.all);
        let is_shut = |trunk: &String| {
            let open = all.get(trunk).filter(|track| track.lane.may_be_chosen(now));
            open.is_none_or(|track| track.channels.free() == 0)
        };
        let stuck = self.board.take_out(|waiting| {
            // An agent who waits would have to be called anew.
            let is_stuck = now.since(waiting.call.since) >= FULL_FOR && waiting.call.desk.is_none();
            is_stuck && waiting.ways.iter().all(is_shut)
        });
        give_back(&self.shared, stuck).await;
    }

    /// Leases for every campaign that has room; true = there are more to begin.
    async fn lease(&mut self) -> Result<bool, StoreError> {
        let ask = std::mem::take(&mut self.ask);
        let now = self.shared.clock.read();
        let campaigns = self.shared.gate.campaigns().all();
        let asked = campaigns.filter(|each| ask || self.more.contains(&each.campaign_id));
        let room = |campaign: &Campaign| {
            let room = self.room(campaign);
            (room > 0).then(|| (campaign.campaign_id.clone(), room))
        };
        let rooms: Vec<(String, usize)> = asked.filter_map(room).collect();
        if rooms.is_empty() {
            return Ok(false);
        }
        let store = self.shared.gate.store();
        let names: Vec<&str> = rooms.iter().map(|(name, _)| name.as_str()).collect();
        // Looking is cheap and needs no write lock; only what waits is leased.
        let mut tx = store.read().await?;
        let waiting = tx.waiting_campaigns(&names, now.wall).await?;
        drop(tx);
        self.more.retain(|name| !names.contains(&name.as_str()));
        if waiting.is_empty() {
            return Ok(false);
        }
        let mut leased = Vec::new();
        let mut tx = store.write(Urgency::Ordinary).await?;
        for (name, room) in rooms.iter().filter(|(name, _)| waiting.contains(name)) {
            let limit = u32::try_from(*room).unwrap_or(1);
            let some = tx
                .lease_calls(self.shared.me, name, limit, now.wall)
                .await?;
            if some.len() >= *room {
                self.more.insert(name.clone());
            }
            leased.extend(some);
        }
        if let Err(error) = tx.commit().await {
            // Not known: they may be ours all the same.
            for leased in &leased {
                journal::give_back(store, leased).await;
            }
            return Err(error);
        }
        let any = !leased.is_empty();
        self.hold(leased, now.mono);
        Ok(any)
    }

    /// How many more calls of this campaign may be leased: as many as its trunks begin within a second and have channels for,
    /// once half of those at hand are begun.
    fn room(&self, campaign: &Campaign) -> usize {
        let (wait, name) = (Cell::new(LOOK_EVERY), &campaign.campaign_id);
        let now = self.shared.clock.read().mono;
        let mut names: Vec<&str> = Vec::new();
        for route in &campaign.dialing.routes {
            if !names.contains(&route.trunk.as_str()) {
                names.push(&route.trunk);
            }
        }
        let tracks = names.iter().filter_map(|name| self.seen.all.get(*name));
        let open = tracks.filter(|track| track.lane.may_be_chosen(now));
        let room = |track: &Arc<Track>| {
            let rate = track.lane.config.rate();
            let second = rate.calls_per_second.max(rate.burst).get();
            track.channels.free().min(second) as usize
        };
        let rate = campaign.dialing.rate;
        let own = rate.map_or(u32::MAX, |rate| rate.calls_per_second.max(rate.burst).get());
        let wanted = open.map(room).sum::<usize>().min(own as usize);
        let wanted = wanted.min(LEASE_MAX);
        let way = |held: &Held, trunk: &str| self.seen.way(held, trunk, (now, &wait));
        let in_line = self.board.in_line(name, way);
        let held = self.board.waiting(name) - in_line;
        match in_line <= wanted / 2 && held < HELD_MAX {
            true => wanted - in_line,
            false => 0,
        }
    }

    /// Known from here on: a lease of ours that is on record and not known here was never heard of.
    fn hold(&mut self, leased: Vec<Leased>, since: Mono) {
        for leased in leased {
            let call = &leased.call;
            let (campaign, call_id) = (call.campaign_id.clone(), call.call_id);
            self.shared.active().insert(call_id, Active::Waiting);
            if leased.call.agent.is_some() {
                let shared = Arc::clone(&self.shared);
                self.calls
                    .spawn(desk::call(shared, leased, self.phase.clone()));
                continue;
            }
            let (ways, paces) = ways_of(&self.shared, &leased);
            let call = Held {
                leased,
                since,
                paces,
                desk: None,
            };
            self.board.add(&campaign, Waiting { call, ways });
        }
    }
}

/// The trunks that may carry a call, in its order, and the paces it is under besides theirs; no trunk where none may.
pub(super) fn ways_of(shared: &Shared, leased: &Leased) -> (Vec<String>, Paces) {
    let call = &leased.call;
    let campaign = shared.gate.campaigns().get(&call.campaign_id);
    let carriers = shared.gate.carriers();
    let ways = campaign.zip(call.to).and_then(|(campaign, to)| {
        let seed = call.call_id.lot();
        let ways = campaign
            .dialing
            .trunks(&carriers, to, call.from, seed)
            .ok()?;
        Some(ways.into_iter().map(str::to_owned).collect())
    });
    let paces = shared.tracks.paces(campaign, call.to);
    (ways.unwrap_or_default(), paces)
}

async fn queued(notices: &mut broadcast::Receiver<Notice>) {
    use broadcast::error::RecvError;
    loop {
        match notices.recv().await {
            // Missed notices may have been ours.
            Ok(Notice::CallQueued) | Err(RecvError::Lagged(_)) => return,
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

pub(super) async fn drained(phase: &mut watch::Receiver<Phase>) {
    // A dropped sender is a worker that is gone.
    let _ = phase.wait_for(|phase| *phase >= Phase::Draining).await;
}

/// What could not be given back by a process that is about to end, another's sweeper will; one that goes on finds it as a
/// lease that it does not know.
async fn give_back(shared: &Shared, calls: impl IntoIterator<Item = Held>) {
    for Held { leased, desk, .. } in calls {
        if let Some(desk) = desk {
            desk.hang_up(HangUpCause::Drain);
        }
        if let Err(error) = journal::release(shared.gate.store(), &leased).await {
            tracing::warn!(call.id = %leased.call.call_id, %error, "a leased call was not given back; a sweeper will");
        }
        shared.active().remove(&leased.call.call_id);
    }
}
