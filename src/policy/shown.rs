//! Which numbers may be shown in a call, before one of them is chosen: the rows of kind `caller_id` alone.

use super::facts::{CallerIdFacts, Case};
use super::kinds::Kind;
use super::moment::{Moment, Scene};
use super::pack::Pack;
use crate::domain::phone::Phone;
use crate::place::Dialable;

/// Of each of these numbers, whether no row in play finds fault with its being shown, in any zone where the person may be.
/// `number` is what `place::dialable` made of `case.call.to`, or of one that this stands for.
#[must_use]
pub fn showable(
    pack: &Pack,
    case: &Case,
    number: &Dialable,
    numbers: &[(Phone, CallerIdFacts)],
) -> Vec<bool> {
    let scene = Scene::open(pack, case, number);
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
