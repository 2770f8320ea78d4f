//! Which numbers may be shown in a call, before one of them is chosen: the rows of kind `caller_id` alone.

use super::facts::{CallerIdFacts, Case};
use super::kinds::Kind;
use super::moment::{Moment, Scene};
use super::pack::Pack;
use crate::domain::phone::Phone;
use crate::place;

/// Of each of these numbers, whether no row in play finds fault with its being shown, in any zone where the person may be. Of a
/// number to call that is none, nothing may be shown.
#[must_use]
pub fn showable(pack: &Pack, case: &Case, numbers: &[(Phone, CallerIdFacts)]) -> Vec<bool> {
    let Ok(number) = place::dialable(pack.tables(), &case.call.to) else {
        return vec![false; numbers.len()];
    };
    let scene = Scene::open(pack, case, &number);
    let moments = scene.moments(case.call.at, false);
    let rows: Vec<_> = moments
        .iter()
        .flat_map(Moment::rows)
        .filter(|rule| rule.decides())
        .filter_map(|rule| match &rule.kind {
            Kind::CallerId(row) => Some(row),
            _ => None,
        })
        .collect();
    let withheld = case.call.caller_id_withheld;
    let may_be_shown = numbers.iter().map(|(from, facts)| {
        let fault = |row: &&super::kinds::CallerId| row.fault(withheld, Some(*from), Some(*facts));
        rows.iter().copied().find_map(|row| fault(&row)).is_none()
    });
    may_be_shown.collect()
}
