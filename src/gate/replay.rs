//! Stored decisions made again: each by the very pack that it names and from the very case that was stored with it. What
//! comes out is compared with what was stored byte for byte, so that no key that we do not know and no other writing of a
//! value slips through. A decision that cannot be made again is never taken for the same. Nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::domain::decision::{Judgement, PackVersion, Stage, Verdict};
use crate::domain::ids::{DecisionId, TenantId};
use crate::domain::time::Micros;
use crate::policy::facts::Case;
use crate::policy::{self, Pack};
use crate::store::{ListQuery, Page, PageKey, RecordedCase, RecordedDecision, StoreError};

use super::Gate;
use super::campaigns::REFUSAL;
use super::cores::on_all_cores;
use super::error::GateError;
use super::judge::refused;

/// Packs that one page may ask for; each may have to be loaded.
const PACKS_MAX: usize = 8;
/// Places told of one decision.
const PARTS_MAX: usize = 16;
/// Rules told of a stored judgement that may say anything.
const DENIED_BY_MAX: usize = 256;
const RULE_CHARS_MAX: usize = 128;

/// A stored decision, and what came of making it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// Which.
    pub decision_id: DecisionId,
    /// When it was made.
    pub decided_at: Micros,
    /// The law and clocks that decided.
    pub pack: PackVersion,
    /// What came of it.
    pub outcome: ReplayOutcome,
}

/// What came of making a decision again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplayOutcome {
    /// The same, byte for byte.
    Same,
    /// Something else.
    Different {
        /// What is stored, as far as it can be read.
        before: Option<Said>,
        /// What came out.
        after: Said,
        /// Where they differ.
        parts: Vec<String>,
    },
    /// It could not be made again.
    Impossible {
        /// What is stored, as far as it can be read.
        before: Option<Said>,
        /// Why not.
        problem: ReplayProblem,
    },
    /// Its case is gone with the person's key.
    Erased,
    /// It was never judged: the campaign refused before the law was asked, in the words that are stored.
    Refused,
}

/// Why a decision could not be made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplayProblem {
    /// The store keeps no such pack.
    PackNotFound,
    /// The pack cannot be used by this node, or was changed in the database.
    PackUnusable,
    /// The case cannot be opened or read.
    CaseUnreadable,
    /// The case is that of another decision.
    CaseOfAnother,
    /// There is no case, and nobody was erased.
    CaseMissing,
    /// The stored judgement is no JSON.
    JudgementUnreadable,
}

/// A verdict and who denied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Allow or deny.
    pub verdict: Verdict,
    /// Rules that deny.
    pub denied_by: Vec<String>,
}

impl Gate {
    /// Makes a page of stored decisions again. It may end early, where many packs are asked for.
    pub async fn replay(
        &self,
        tenant: &TenantId,
        query: &ListQuery,
    ) -> Result<Page<Replayed>, GateError> {
        let mut tx = self.store().read().await?;
        let page = tx.recorded_decisions(tenant, query).await?;
        drop(tx);
        let Page { rows, next } = of_few_packs(page);
        let mut by_pack: BTreeMap<String, Vec<(usize, RecordedDecision)>> = BTreeMap::new();
        for (place, row) in rows.into_iter().enumerate() {
            by_pack
                .entry(row.pack.sha256.clone())
                .or_default()
                .push((place, row));
        }
        let mut replayed = Vec::new();
        // One pack after the other: a pack takes megabytes.
        for (sha256, rows) in by_pack {
            let pack = match rows.iter().any(|(_, row)| row.has_case()) {
                true => self.kept(tenant, &sha256).await?,
                false => Err(ReplayProblem::PackNotFound),
            };
            let judging = tokio::task::spawn_blocking(move || {
                on_all_cores(rows, |(place, row)| {
                    again(pack.as_deref(), &row).map(|outcome| (place, row.with(outcome)))
                })
            });
            let judged = judging.await.map_err(|_| ended_early())?;
            for each in judged {
                replayed.push(each?);
            }
        }
        replayed.sort_unstable_by_key(|(place, _)| *place);
        let rows = replayed.into_iter().map(|(_, each)| each).collect();
        Ok(Page { rows, next })
    }

    async fn kept(
        &self,
        tenant: &TenantId,
        sha256: &str,
    ) -> Result<Result<Arc<Pack>, ReplayProblem>, GateError> {
        match (self.core.law)
            .pack_as_kept(self.store(), tenant, sha256)
            .await
        {
            Ok(pack) => Ok(Ok(pack)),
            Err(GateError::NotFound { .. }) => Ok(Err(ReplayProblem::PackNotFound)),
            Err(GateError::PackUnusable { .. }) => Ok(Err(ReplayProblem::PackUnusable)),
            Err(error) => Err(error),
        }
    }
}

impl Replayed {
    /// Its place in the list.
    #[must_use]
    pub fn key(&self) -> (Micros, uuid::Uuid) {
        (self.decided_at, self.decision_id.0)
    }
}

impl RecordedDecision {
    fn has_case(&self) -> bool {
        matches!(self.case, RecordedCase::Readable(_))
    }

    fn with(self, outcome: ReplayOutcome) -> Replayed {
        Replayed {
            decision_id: self.decision_id,
            decided_at: self.decided_at,
            pack: self.pack,
            outcome,
        }
    }
}

impl Said {
    /// What a judgement comes to.
    #[must_use]
    pub fn of(judgement: &Judgement) -> Self {
        Self {
            verdict: judgement.verdict,
            denied_by: (judgement.denied_by.iter())
                .map(ToString::to_string)
                .collect(),
        }
    }

    /// What a stored judgement says, if it says so in words that we know.
    fn read(judgement: &Value) -> Option<Self> {
        let denied_by = judgement.get("denied_by")?.as_array()?;
        Some(Self {
            verdict: judgement.get("verdict")?.as_str()?.parse().ok()?,
            denied_by: (denied_by.iter().take(DENIED_BY_MAX))
                .filter_map(Value::as_str)
                .map(|rule| rule.chars().take(RULE_CHARS_MAX).collect())
                .collect(),
        })
    }
}

/// The page up to where one pack too many would be needed.
fn of_few_packs(mut page: Page<RecordedDecision>) -> Page<RecordedDecision> {
    let mut packs: Vec<&str> = Vec::new();
    let one_too_many = page.rows.iter().position(|row| {
        if !packs.contains(&row.pack.sha256.as_str()) {
            packs.push(&row.pack.sha256);
        }
        packs.len() > PACKS_MAX
    });
    if let Some(count) = one_too_many {
        page.rows.truncate(count);
        page.next = page.rows.last().map(|row| PageKey {
            at: row.decided_at,
            id: row.decision_id.0,
        });
    }
    page
}

/// Makes one decision again.
fn again(
    pack: Result<&Pack, &ReplayProblem>,
    row: &RecordedDecision,
) -> Result<ReplayOutcome, StoreError> {
    let impossible = |problem| {
        Ok(ReplayOutcome::Impossible {
            before: serde_json::from_str(&row.judgement)
                .ok()
                .and_then(|stored| Said::read(&stored)),
            problem,
        })
    };
    let case = match (&row.case, refusal(row)) {
        (RecordedCase::Readable(case), _) => case,
        (RecordedCase::None, Some(refusal)) => {
            return Ok(match compare(row, &row.pack.version, &refusal)? {
                ReplayOutcome::Same => ReplayOutcome::Refused,
                other => other,
            });
        }
        _ if row.is_erased => return Ok(ReplayOutcome::Erased),
        (RecordedCase::None, None) => return impossible(ReplayProblem::CaseMissing),
        (RecordedCase::Unreadable, _) => return impossible(ReplayProblem::CaseUnreadable),
    };
    let Ok(case) = serde_json::from_str::<Case>(case) else {
        return impossible(ReplayProblem::CaseUnreadable);
    };
    if case.id != row.decision_id.to_string() || case.call.at != row.decided_at {
        return impossible(ReplayProblem::CaseOfAnother);
    }
    match pack {
        Ok(pack) => compare(row, &pack.version().version, &policy::judge(pack, &case)),
        Err(problem) => impossible(*problem),
    }
}

/// What the gate writes where a campaign refuses a claim and the law is not asked, in the words of this decision; none if
/// it is another. Before there is a call, such a refusal is an error and no decision.
fn refusal(row: &RecordedDecision) -> Option<Judgement> {
    if row.stage != Stage::Claim || row.case != RecordedCase::None {
        return None;
    }
    let stored: Judgement = serde_json::from_str(&row.judgement).ok()?;
    match stored.rules.as_slice() {
        [only] if only.rule == REFUSAL => Some(refused(only.reason.clone())),
        _ => None,
    }
}

/// Holds what came out against what is stored.
fn compare(
    row: &RecordedDecision,
    version: &str,
    judgement: &Judgement,
) -> Result<ReplayOutcome, StoreError> {
    let written = |error: serde_json::Error| StoreError::Other(error.to_string());
    let after = Said::of(judgement);
    if serde_json::to_string(judgement).map_err(written)? == row.judgement {
        let parts = listed(row, &after, version);
        return Ok(match parts.is_empty() {
            true => ReplayOutcome::Same,
            false => ReplayOutcome::Different {
                before: Some(after.clone()),
                after,
                parts,
            },
        });
    }
    let Ok(stored) = serde_json::from_str::<Value>(&row.judgement) else {
        return Ok(ReplayOutcome::Impossible {
            before: None,
            problem: ReplayProblem::JudgementUnreadable,
        });
    };
    let mut parts = Vec::new();
    let made = serde_json::to_value(judgement).map_err(written)?;
    differing(&stored, &made, "", &mut parts);
    if parts.is_empty() {
        parts.push("text".to_owned());
    }
    let before = Said::read(&stored);
    if let Some(before) = &before {
        parts.extend(listed(row, before, version));
    }
    parts.truncate(PARTS_MAX);
    Ok(ReplayOutcome::Different {
        before,
        after,
        parts,
    })
}

/// Columns by which lists are filtered and that say something else than the judgement.
fn listed(row: &RecordedDecision, said: &Said, version: &str) -> Vec<String> {
    let columns = [
        ("listed.verdict", row.verdict == said.verdict),
        ("listed.denied_by", row.denied_by == said.denied_by),
        ("listed.pack_version", row.pack.version == version),
    ];
    let wrong = columns.into_iter().filter(|(_, agrees)| !agrees);
    wrong.map(|(column, _)| column.to_owned()).collect()
}

/// Where two values differ. What is stored may say anything, so only keys that were made are named.
fn differing(stored: &Value, made: &Value, path: &str, parts: &mut Vec<String>) {
    if parts.len() >= PARTS_MAX || stored == made {
        return;
    }
    match (stored, made) {
        (Value::Object(stored), Value::Object(made)) => {
            for (key, made) in made {
                let path = inner(path, key);
                match stored.get(key) {
                    Some(stored) => differing(stored, made, &path, parts),
                    None => parts.push(path),
                }
            }
            let surplus = stored.keys().filter(|key| !made.contains_key(*key));
            let mut names: Vec<&str> = surplus.map(|key| name_of_surplus(key)).collect();
            names.dedup();
            parts.extend(names.into_iter().map(|name| inner(path, name)));
        }
        (Value::Array(stored), Value::Array(made)) => {
            if stored.len() != made.len() {
                parts.push(inner(path, "length"));
            }
            for (index, (stored, made)) in stored.iter().zip(made).enumerate() {
                differing(stored, made, &format!("{path}[{index}]"), parts);
            }
        }
        _ if path.is_empty() => parts.push("text".to_owned()),
        _ => parts.push(path.to_owned()),
    }
    parts.truncate(PARTS_MAX);
}

/// Two keys are left out where there is nothing to say; any other is nobody's.
fn name_of_surplus(key: &str) -> &'static str {
    match key {
        "next_allowed_time" => "next_allowed_time",
        "warnings" => "warnings",
        _ => "(unknown key)",
    }
}

fn inner(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn ended_early() -> StoreError {
    StoreError::Other("a replay ended early".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_is_told_by_its_path() {
        let made = json!({
            "verdict": "deny", "denied_by": ["A"], "rules": [{"rule": "A", "reason": "x"}, {"rule": "B", "reason": "y"}],
        });
        let check = |change: &dyn Fn(&mut Value), expected: &[&str]| {
            let mut stored = made.clone();
            change(&mut stored);
            let mut parts = Vec::new();
            differing(&stored, &made, "", &mut parts);
            assert_eq!(parts, expected);
        };
        check(&|_| {}, &[]);
        check(
            &|stored| stored["rules"][1]["reason"] = json!("z"),
            &["rules[1].reason"],
        );
        check(&|stored| stored["verdict"] = json!(7), &["verdict"]);
        check(
            &|stored| drop(stored["rules"].as_array_mut().unwrap().pop()),
            &["rules.length"],
        );
        check(
            &|stored| drop(stored.as_object_mut().unwrap().remove("denied_by")),
            &["denied_by"],
        );
        check(
            &|stored| {
                stored["next_allowed_time"] = json!("2026-11-21T12:00:00Z");
                stored["+14045550141"] = json!(true);
            },
            &["(unknown key)", "next_allowed_time"],
        );
        check(&|stored| *stored = json!([]), &["text"]);
        let many: Vec<u8> = (0..100).collect();
        let mut parts = Vec::new();
        differing(&json!(many), &json!(vec![200; 100]), "x", &mut parts);
        assert_eq!(parts.len(), PARTS_MAX);
    }

    fn row(judgement: &Judgement, case: RecordedCase) -> RecordedDecision {
        RecordedDecision {
            decision_id: DecisionId::new(Micros(0)),
            stage: Stage::Claim,
            decided_at: Micros(0),
            verdict: Verdict::Deny,
            denied_by: vec![REFUSAL.to_owned()],
            judgement: serde_json::to_string(judgement).unwrap(),
            pack: PackVersion {
                version: "1".to_owned(),
                sha256: String::new(),
                zone_data: String::new(),
            },
            case,
            is_erased: false,
        }
    }

    #[test]
    fn a_page_ends_where_a_pack_too_many_would_be_needed() {
        let page = |packs: &[usize]| {
            let rows = packs.iter().map(|pack| {
                let mut row = row(&refused("so"), RecordedCase::None);
                row.pack.sha256 = pack.to_string();
                row
            });
            let rows: Vec<_> = rows.collect();
            let last = rows.last().map(|row| row.decision_id);
            (of_few_packs(Page { rows, next: None }), last)
        };
        let (whole, _) = page(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 2]);
        assert_eq!((whole.rows.len(), whole.next), (10, None));
        let (cut, last) = page(&[1, 2, 3, 4, 5, 6, 7, 8, 1, 9, 1]);
        assert_eq!(cut.rows.len(), 9);
        let next = cut.next.unwrap();
        assert_eq!(next.id, cut.rows[8].decision_id.0);
        assert_ne!(Some(DecisionId(next.id)), last);
    }

    #[test]
    fn only_the_gates_own_refusal_is_one() {
        let check = |row: &RecordedDecision| again(Err(&ReplayProblem::PackNotFound), row).unwrap();
        let missing = |outcome: &ReplayOutcome| {
            matches!(
                outcome,
                ReplayOutcome::Impossible {
                    problem: ReplayProblem::CaseMissing,
                    ..
                }
            )
        };
        let mut judgement = refused("the campaign is no longer active");
        assert_eq!(
            check(&row(&judgement, RecordedCase::None)),
            ReplayOutcome::Refused
        );
        judgement.warnings.push("x".to_owned());
        let ReplayOutcome::Different { parts, .. } = check(&row(&judgement, RecordedCase::None))
        else {
            panic!("a refusal with a warning is none of the gate's")
        };
        assert_eq!(parts, ["warnings"]);
        judgement.rules.push(judgement.rules[0].clone());
        assert!(missing(&check(&row(&judgement, RecordedCase::None))));
        judgement.rules.clear();
        let mut erased = row(&judgement, RecordedCase::None);
        assert!(missing(&check(&erased)));
        erased.is_erased = true;
        assert_eq!(check(&erased), ReplayOutcome::Erased);
        let mut asked = row(&refused("so"), RecordedCase::None);
        asked.stage = Stage::Check;
        assert!(
            missing(&check(&asked)),
            "no campaign refuses a question by a decision"
        );
        // One whose case was sealed was judged, whatever is written now.
        let judged = row(&refused("so"), RecordedCase::Unreadable);
        let ReplayOutcome::Impossible { problem, .. } = check(&judged) else {
            panic!("taken for a refusal")
        };
        assert_eq!(problem, ReplayProblem::CaseUnreadable);
    }
}
