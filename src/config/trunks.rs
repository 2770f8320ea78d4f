//! The sections `[trunk.NAME]`, and those of the media anchors that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Sections;
use crate::anchor::{Anchor, AnchorConfig};
use crate::dialer::{Lane, TrunkConfig};
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
}
