//! The rows of a list and what they come to.

use std::collections::BTreeMap;

use crate::domain::decision::Verdict;
use crate::domain::ids::AuditEntryId;
use crate::gate::{ScrubRow, ScrubTally, Scrubbed};
use crate::grpc::pb;

use super::{policy, time, time_option};

/// Whether rules are to say why; none for a word that this release does not know.
pub(in crate::grpc) fn with_reasons(detail: i32) -> Option<bool> {
    match pb::CheckDetail::try_from(detail).ok()? {
        pb::CheckDetail::Unspecified | pb::CheckDetail::Rules => Some(false),
        pb::CheckDetail::Reasons => Some(true),
    }
}

/// One batch; `place` tells the number by which the stream knows a rule.
pub(in crate::grpc) fn rows(
    batch: Scrubbed,
    mut place: impl FnMut(&str) -> u32,
) -> pb::CheckCallsRows {
    let judged_time = Some(time(batch.at));
    let rows = batch.rows.into_iter();
    pb::CheckCallsRows {
        new_rules: Vec::new(),
        rows: rows.map(|each| row(each, &mut place)).collect(),
        judged_time,
    }
}

fn row(row: ScrubRow, place: &mut impl FnMut(&str) -> u32) -> pb::CheckCallsRow {
    let number = row.number.filter(|_| row.was_rewritten);
    let number = number.map(|number| number.reveal()).unwrap_or_default();
    match row.said {
        Err(problem) => pb::CheckCallsRow {
            error: problem.code().to_owned(),
            number,
            ..pb::CheckCallsRow::default()
        },
        Ok(said) => pb::CheckCallsRow {
            verdict: match said.verdict {
                Verdict::Allow => pb::Verdict::Allow.into(),
                Verdict::Deny => pb::Verdict::Deny.into(),
            },
            denied_by: said.denied_by.iter().map(|rule| place(rule)).collect(),
            next_allowed_time: time_option(said.next_allowed_time),
            error: String::new(),
            number,
            reasons: row.reasons.into_iter().map(String::from).collect(),
        },
    }
}

/// What the whole comes to.
pub(in crate::grpc) fn summary(tally: &ScrubTally, entry: AuditEntryId) -> pb::CheckCallsSummary {
    pb::CheckCallsSummary {
        asked: wide(tally.asked),
        allowed: wide(tally.allowed),
        denied: wide(tally.denied),
        rules: counts(&tally.rules),
        errors: counts(&tally.problems),
        packs: tally.packs.iter().map(policy::version).collect(),
        audit_entry_id: entry.to_string(),
    }
}

fn counts<K: ToString>(counts: &BTreeMap<K, u64>) -> Vec<pb::CheckCallsCount> {
    let named = counts.iter().map(|(name, count)| pb::CheckCallsCount {
        name: name.to_string(),
        count: wide(*count),
    });
    let mut counts: Vec<_> = named.collect();
    counts.sort_by_key(|each| std::cmp::Reverse(each.count));
    counts
}

fn wide(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
