//! The writing half of a batch: decisions, audit entries, calls, requests and attempts, many rows a statement.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::json;

use crate::domain::call::{Call, CallRequest, CallState, Purpose};
use crate::domain::decision::{Decision, Verdict};
use crate::domain::ids::{AttemptId, AuditEntryId, CallId, RequestId, TenantId};
use crate::domain::route::Carriers;
use crate::domain::time::Reading;
use crate::policy::Permit;
use crate::store::{AuditEntry, NewAttempt, NewCall, StoreError, StoredRequest, Tx};

use super::claim::{ClaimRequest, Claimed};
use super::error::GateError;
use super::job::{Answer, Job};
use super::judge::{About, Asked, Judged};
use super::room::{Counting, Taken};
use super::{Core, Placed};

/// How long a caller waits before asking a full trunk again: about the time in which a few calls leave its queue.
const SATURATED_RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

/// Everything that one batch writes.
#[derive(Default)]
struct Rows {
    decisions: Vec<Decision>,
    audit: Vec<AuditEntry>,
    calls: Vec<NewCall>,
    requests: Vec<StoredRequest>,
    attempts: Vec<NewAttempt>,
    /// Calls that go by another trunk than they were queued for, by trunk.
    moved: BTreeMap<String, Vec<CallId>>,
}

/// Records what was judged and answers each job, in order. What the batch takes of the trunks' queues is held until its
/// transaction is over.
pub(super) async fn record<'a>(
    core: &'a Core,
    tx: &mut Tx,
    tenant: &TenantId,
    judged: Vec<Judged<'_>>,
    read: Reading,
) -> Result<(Vec<Answer>, Taken<'a>), StoreError> {
    let mut fences = Fences::raise(tx, &judged, read).await?;
    let carriers = core.carriers();
    let trunks: BTreeSet<&str> = judged
        .iter()
        .flat_map(|each| trunks(each, &carriers))
        .collect();
    let mut room = Counting::begin(core, tx, (&carriers, trunks), read.wall).await?;
    let mut rows = Rows::default();
    let mut answers = Vec::with_capacity(judged.len());
    for each in judged {
        answers.push(match each {
            Judged::Settled(answer) => answer,
            Judged::Decided {
                asked,
                decision,
                permit,
            } => match asked.job {
                Job::Check { .. } => rows.check(*decision),
                Job::Place {
                    request,
                    request_id,
                    ..
                } => rows.place(
                    &asked,
                    request,
                    *request_id,
                    *decision,
                    (&mut room, &carriers),
                ),
                Job::Claim { claim, .. } => {
                    let purpose = asked
                        .about
                        .as_ref()
                        .ok()
                        .map(|about| about.campaign.purpose);
                    rows.claim(&mut fences, (claim, purpose), *decision, permit, read)
                }
            },
        });
    }
    let taken = room.end();
    tx.insert_decisions(tenant, &rows.decisions).await?;
    tx.insert_calls(tenant, &rows.calls).await?;
    tx.insert_requests(tenant, &rows.requests).await?;
    tx.insert_attempts(tenant, &rows.attempts).await?;
    for (trunk, calls) in &rows.moved {
        tx.move_calls(calls, trunk).await?;
    }
    tx.insert_audit(tenant, &rows.audit).await?;
    Ok((answers, taken))
}

/// The trunks whose queues a placement may fill.
fn trunks<'j>(judged: &Judged<'j>, carriers: &Carriers) -> Vec<&'j str> {
    match judged {
        Judged::Decided { asked, .. } => match (asked.job, &asked.about) {
            (Job::Place { .. }, Ok(about)) => ways(about, carriers, 0),
            _ => Vec::new(),
        },
        Judged::Settled(_) => Vec::new(),
    }
}

/// The trunks that may carry what the law was asked about. The campaign has admitted it already, by these trunks or by
/// those before them.
fn ways<'a>(about: &About<'a>, carriers: &Carriers, seed: u64) -> Vec<&'a str> {
    let shown = about.caller_id.map(|shown| shown.number);
    let dialing = &about.campaign.dialing;
    let ways = dialing.trunks(carriers, about.to, shown, seed);
    ways.unwrap_or_default()
}

/// The fence of each claim (claim-5): a conditional UPDATE whose row count decides, never a read.
#[derive(Default)]
struct Fences {
    attempts: HashMap<CallId, AttemptId>,
    passed: HashSet<CallId>,
}

impl Fences {
    async fn raise(tx: &mut Tx, judged: &[Judged<'_>], read: Reading) -> Result<Self, StoreError> {
        let mut fences = Self::default();
        let (mut first, mut denied) = (Vec::new(), Vec::new());
        for each in judged {
            let Judged::Decided {
                asked:
                    Asked {
                        job: Job::Claim { claim, .. },
                        ..
                    },
                decision,
                ..
            } = each
            else {
                continue;
            };
            let (call_id, attempt_id) = (claim.call.call_id, AttemptId::new(read.wall));
            fences.attempts.insert(call_id, attempt_id);
            match (decision.judgement.verdict, claim.again) {
                (Verdict::Allow, None) => first.push((call_id, claim.lease_epoch, attempt_id)),
                (Verdict::Deny, None) => {
                    denied.push((call_id, claim.lease_epoch, decision.decision_id))
                }
                (Verdict::Allow, Some(old)) => {
                    if tx.fence_again(call_id, old, attempt_id, read.wall).await? {
                        fences.passed.insert(call_id);
                    }
                }
                // Denied the second time: the first claim, which may have been sent, ends the call.
                (Verdict::Deny, Some(_)) => drop(fences.passed.insert(call_id)),
            }
        }
        if !first.is_empty() {
            fences.passed.extend(tx.fence_claims(&first).await?);
        }
        if !denied.is_empty() {
            fences
                .passed
                .extend(tx.deny_claim(&denied, read.wall).await?);
        }
        Ok(fences)
    }
}

impl Rows {
    fn check(&mut self, decision: Decision) -> Answer {
        self.decide(&decision, None);
        Answer::Checked(Box::new(decision))
    }

    fn place(
        &mut self,
        asked: &Asked<'_>,
        request: &CallRequest,
        request_id: RequestId,
        mut decision: Decision,
        (room, carriers): (&mut Counting<'_>, &Carriers),
    ) -> Answer {
        let call = match (
            decision.judgement.verdict,
            &asked.about,
            request.expire_time,
        ) {
            (Verdict::Allow, Ok(about), Some(expire_time)) => {
                let call_id = CallId::new(decision.decided_at);
                let mut ways = ways(about, carriers, call_id.lot()).into_iter();
                let Some(trunk) = ways.find(|trunk| room.take(trunk)) else {
                    return Answer::Refused(GateError::TrunkSaturated {
                        retry_after: SATURATED_RETRY_AFTER,
                    });
                };
                let call = Call {
                    call_id,
                    tenant: request.tenant.clone(),
                    party_id: asked.party_id,
                    number_key: asked.number_key,
                    to: Some(about.to),
                    from: about.caller_id.map(|shown| shown.number),
                    campaign_id: request.campaign_id.clone(),
                    seller: about.campaign.seller.clone(),
                    call_kind: request.call_kind,
                    trunk: trunk.to_owned(),
                    state: CallState::Queued,
                    place_decision_id: decision.decision_id,
                    claim_decision_id: None,
                    attempt_id: None,
                    attestation: None,
                    outcome: None,
                    sip_code: None,
                    q850_cause: None,
                    actor: request.actor.clone(),
                    create_time: decision.decided_at,
                    expire_time,
                    invite_time: None,
                    ring_time: None,
                    answer_time: None,
                    end_time: None,
                    agent: request.agent.clone(),
                    agent_result: None,
                    abandon_time: None,
                };
                let subject = about.campaign.subject.clone();
                self.calls.push(NewCall {
                    call: call.clone(),
                    subject,
                    sdp_offer: request.sdp_offer.clone(),
                });
                Some(call)
            }
            (Verdict::Allow, _, None) => {
                return Answer::Refused(GateError::invalid(
                    "expire_time",
                    "is missing; say until when the call may be dialed",
                ));
            }
            (_, _, _) => None,
        };
        decision.call_id = call.as_ref().map(|call| call.call_id);
        self.requests.push(StoredRequest {
            request_id,
            method: "PlaceCall".to_owned(),
            digest: request.request_digest,
            subject: decision.decision_id.to_string(),
            passed: true,
            at: decision.decided_at,
        });
        self.decide(&decision, None);
        Answer::Placed(Box::new(Placed { decision, call }))
    }

    fn claim(
        &mut self,
        fences: &mut Fences,
        (claim, purpose): (&ClaimRequest, Option<Purpose>),
        decision: Decision,
        permit: Option<Permit>,
        read: Reading,
    ) -> Answer {
        let call = &claim.call;
        let (true, Some(attempt_id)) = (
            fences.passed.contains(&call.call_id),
            fences.attempts.remove(&call.call_id),
        ) else {
            return Answer::Claimed(Claimed::Lost);
        };
        let Some(permit) = permit else {
            self.decide(&decision, None);
            return Answer::Claimed(Claimed::Denied(Box::new(decision)));
        };
        self.attempts.push(NewAttempt {
            attempt_id,
            call_id: call.call_id,
            party_id: call.party_id,
            number_key: call.number_key,
            seller: call.seller.clone(),
            subject: claim.subject.clone(),
            purpose,
            from: permit.from(),
            attestation: claim.attestation,
            decision_id: decision.decision_id,
            trunk: claim.trunk.clone(),
            sip_call_id: claim.sip_call_id.clone(),
            owner: claim.owner,
            permit_ms: i32::try_from(Permit::LIFE.as_millis()).unwrap_or(0),
            at: read.wall,
        });
        // After a first trunk, whatever the call says: it was read before.
        if claim.trunk != call.trunk || claim.again.is_some() {
            let moved = self.moved.entry(claim.trunk.clone()).or_default();
            moved.push(call.call_id);
        }
        self.decide(&decision, Some(attempt_id));
        Answer::Claimed(Claimed::Permitted { permit, attempt_id })
    }

    /// One decision, one audit entry.
    fn decide(&mut self, decision: &Decision, attempt_id: Option<AttemptId>) {
        self.audit.push(AuditEntry {
            entry_id: AuditEntryId::new(decision.decided_at),
            kind: if attempt_id.is_some() {
                "claim"
            } else {
                "decision"
            }
            .to_owned(),
            actor: decision.actor.clone(),
            subject_key: Some(decision.number_key.0),
            payload: json!({
                "decision_id": decision.decision_id,
                "stage": decision.stage,
                "verdict": decision.judgement.verdict,
                "denied_by": decision.judgement.denied_by,
                "campaign_id": decision.campaign_id,
                "call_id": decision.call_id,
                "attempt_id": attempt_id,
                "pack": decision.pack,
            }),
            at: decision.decided_at,
        });
        self.decisions.push(decision.clone());
    }
}
