//! The sections `[trunk.NAME]`, those of the media anchors that they name, and those of the agents whose phones are called first.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sections;
use crate::anchor::{Anchor, AnchorConfig};
use crate::dialer::{Agent, AgentConfig, Lane, TrunkConfig};
use crate::domain::campaign::Campaign;
use crate::domain::route::Carriers;
use crate::place::is_emergency;
use crate::policy::Pack;
use crate::sip::SipConfig;

impl Sections {
    /// Every media anchor by its name; nothing for one that cannot be used, which has been told.
    fn anchors(&mut self) -> BTreeMap<String, Option<Arc<Anchor>>> {
        let mut anchors = BTreeMap::new();
        for (name, config) in self.take_all::<AnchorConfig>("anchor") {
            let problems = config.iter().flat_map(AnchorConfig::problems).collect();
            self.at(&format!("[anchor.{name}]"), problems);
            let anchor = config.map(|config| Anchor::new(&name, config));
            anchors.insert(name, anchor);
        }
        anchors
    }

    /// The names of all trunks, and those of them that can be used.
    pub(super) fn lanes(&mut self, sip: Option<&SipConfig>) -> (Vec<String>, Vec<Lane>) {
        let (mut names, mut lanes) = (Vec::new(), Vec::new());
        let anchors = self.anchors();
        for (name, config) in self.take_all::<TrunkConfig>("trunk") {
            names.push(name.clone());
            let Some(config) = config else { continue };
            let ours = sip.map(|sip| config.problems_at(sip.listen));
            self.at(&format!("[trunk.{name}]"), ours.unwrap_or_default());
            let anchor = config.anchor.as_ref().map(|name| anchors.get(name));
            if let (Some(anchor), Some(None)) = (&config.anchor, anchor) {
                let problem = format!("anchor: there is no section [anchor.{anchor}]");
                self.at(&format!("[trunk.{name}]"), vec![problem]);
            }
            match config.trunk(&name) {
                Ok(trunk) => {
                    let lane = Lane::new(trunk, config);
                    lanes.push(match anchor.flatten().cloned().flatten() {
                        Some(anchor) => lane.anchored(anchor),
                        None => lane,
                    });
                }
                Err(problems) => self.at(&format!("[trunk.{name}]"), problems),
            }
        }
        (names, lanes)
    }

    /// The agents whose phones can be called first. None may be reached where numbers are dialed.
    pub(super) fn agents(
        &mut self,
        (sip, pack): (Option<&SipConfig>, Option<&Pack>),
        lanes: &[Lane],
    ) -> Vec<Agent> {
        let mut agents = Vec::new();
        for (name, config) in self.take_all::<AgentConfig>("agent") {
            let Some(config) = config else { continue };
            let place = format!("[agent.{name}]");
            match config.agent(&name) {
                Ok(agent) => {
                    let by = |lane: &Lane| agent.problem_by(&lane.trunk.name, &lane.config);
                    let problems = lanes.iter().filter_map(by).collect();
                    self.at(&place, problems);
                    let ours = sip.and_then(|sip| agent.problem_at(sip.listen));
                    let user = agent.user();
                    let emergency = pack
                        .filter(|pack| is_emergency(pack.tables(), user))
                        .map(|_| format!("uri: `{user}` is an emergency or short number: name the phone otherwise"));
                    self.at(&place, ours.into_iter().chain(emergency).collect());
                    agents.push(agent);
                }
                Err(problems) => self.at(&place, problems),
            }
        }
        agents
    }
}

/// What each trunk may carry.
pub(super) fn carriers(lanes: &[Lane]) -> Carriers {
    lanes.iter().map(Lane::carrier).collect()
}

/// The trunks of a campaign that would carry none of its calls, whatever numbers it calls.
pub(super) fn never_taken(campaign: &Campaign, carriers: &Carriers) -> Vec<String> {
    let mut problems = Vec::new();
    for route in &campaign.dialing.routes {
        let Some(carrier) = carriers.get(&route.trunk) else {
            continue;
        };
        let (trunk, prefix) = (&route.trunk, &route.prefix);
        let reaches = carrier.destinations.iter().any(|each| each.meets(prefix));
        if !reaches && !carrier.destinations.is_empty() {
            problems.push(format!(
                "trunks: `{trunk}` carries no number that begins with `{prefix}`, see destinations of [trunk.{trunk}]"
            ));
        }
        let shown = campaign.caller_ids.iter().map(|each| each.number);
        if !carrier.caller_ids.is_empty()
            && !shown
                .into_iter()
                .any(|each| carrier.caller_ids.contains(&each))
        {
            problems.push(format!(
                "trunks: `{trunk}` may show none of the campaign's caller_ids, see caller_ids of [trunk.{trunk}]"
            ));
        }
    }
    problems
}
