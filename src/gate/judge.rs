//! The reading half of a batch: locks, repeated requests, people, facts, and the law's judgement of each question.

use std::collections::{BTreeSet, HashMap};

use crate::domain::call::{Call, CallRequest};
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::decision::{Decision, Judgement, Stage, Verdict};
use crate::domain::ids::{DecisionId, PartyId, RequestId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::{Micros, Reading};
use crate::place;
use crate::policy::{self, Permit};
use crate::store::{self, AuditEntry, FactsWanted, StoreError, StoredRequest, Tx};

use super::case::{self, Question};
use super::claim::{ClaimRequest, Claimed};
use super::error::GateError;
use super::job::{Answer, Job};
use super::law::InForce;
use super::{Core, Placed, campaigns};

/// A job that is answered already, or the question it puts.
pub(super) enum Plan<'a> {
    Settled(Answer),
    Open(Asked<'a>),
}

/// A job that is answered already, or the decision on it.
pub(super) enum Judged<'a> {
    Settled(Answer),
    Decided {
        asked: Asked<'a>,
        decision: Box<Decision>,
        permit: Option<Permit>,
    },
}

/// One question, with whom it is about settled.
pub(super) struct Asked<'a> {
    pub job: &'a Job,
    pub party_id: PartyId,
    pub number_key: NumberKey,
    /// What the law is asked; or why it need not be.
    pub about: Result<About<'a>, &'static str>,
}

#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub to: Phone,
    pub campaign: &'a Campaign,
    pub caller_id: Option<CallerId>,
}

/// Locks what the batch is about (claim-3), answers what was asked before, and finds the people.
pub(super) async fn plan<'a>(
    core: &'a Core,
    law: &InForce,
    tx: &mut Tx,
    tenant: &TenantId,
    jobs: &'a [Job],
    read: Reading,
) -> Result<Vec<Plan<'a>>, StoreError> {
    let keys: BTreeSet<[u8; 32]> = jobs.iter().flat_map(|job| lock_keys(core, job)).collect();
    tx.lock_numbers(tenant, &keys.into_iter().collect::<Vec<_>>())
        .await?;

    let repeated = repeated_requests(tx, tenant, jobs).await?;
    let people = people(core, law, tx, tenant, jobs, read).await?;
    let mut plans = Vec::with_capacity(jobs.len());
    for job in jobs {
        plans.push(match job {
            Job::Check { request, .. } => open(core, law, job, request, &people, read),
            Job::Place {
                request,
                request_id,
                ..
            } => match repeated.get(request_id) {
                Some(stored) => Plan::Settled(repeat(tx, tenant, request, stored).await?),
                None => open(core, law, job, request, &people, read),
            },
            Job::Claim { claim, .. } => claim_plan(core, law, tx, job, claim, read).await?,
        });
    }
    Ok(plans)
}

/// Loads the facts of all open questions and asks the law (claim-4).
pub(super) async fn judge<'a>(
    law: &InForce,
    tx: &mut Tx,
    tenant: &TenantId,
    plans: Vec<Plan<'a>>,
    read: Reading,
) -> Result<Vec<Judged<'a>>, StoreError> {
    let wanted: Vec<FactsWanted> = plans
        .iter()
        .filter_map(|plan| facts_wanted(plan, read))
        .collect();
    let mut facts = tx.load_facts(tenant, &wanted).await?.into_iter();
    let mut judged = Vec::with_capacity(plans.len());
    for plan in plans {
        judged.push(match plan {
            Plan::Settled(answer) => Judged::Settled(answer),
            Plan::Open(asked) => {
                let decision_id = DecisionId::new(read.wall);
                let (judgement, permit, case_json) = match asked.about {
                    Ok(about) => {
                        let question = Question {
                            decision_id,
                            at: read.wall,
                            to: about.to,
                            call_kind: asked.call_kind(),
                            campaign: about.campaign,
                            caller_id: about.caller_id,
                            emergency_regions: &law.stops,
                        };
                        // INVARIANT: `load_facts` answers each open question, in order; no answer is no knowledge.
                        let case = case::build(&question, facts.next().unwrap_or_default());
                        let (judgement, permit) = policy::evaluate(&law.pack, &case, read);
                        let case_json = serde_json::to_string(&case)
                            .map_err(|error| StoreError::Other(error.to_string()))?;
                        (judgement, permit, Some(case_json))
                    }
                    Err(problem) => (refused(problem), None, None),
                };
                let decision = Box::new(Decision {
                    decision_id,
                    stage: asked.stage(),
                    call_id: asked.call().map(|call| call.call_id),
                    party_id: asked.party_id,
                    number_key: asked.number_key,
                    campaign_id: asked.campaign_id().to_owned(),
                    decided_at: read.wall,
                    pack: law.pack.version().clone(),
                    judgement,
                    case_json,
                    actor: asked.actor().to_owned(),
                });
                Judged::Decided {
                    asked,
                    decision,
                    permit,
                }
            }
        });
    }
    Ok(judged)
}

/// What a claim locks and what no second claim of a batch may touch: the number, and the person, whose caps count all
/// their numbers.
pub(super) fn claim_keys(call: &Call) -> [[u8; 32]; 2] {
    [call.number_key.0, store::party_lock_key(call.party_id)]
}

fn lock_keys(core: &Core, job: &Job) -> Vec<[u8; 32]> {
    match job {
        Job::Check { request, .. } | Job::Place { request, .. } => vec![key_of(core, request).0],
        Job::Claim { claim, .. } => claim_keys(&claim.call).to_vec(),
    }
}

fn key_of(core: &Core, request: &CallRequest) -> NumberKey {
    core.store.hasher().key(&request.tenant, request.to)
}

async fn repeated_requests(
    tx: &mut Tx,
    tenant: &TenantId,
    jobs: &[Job],
) -> Result<HashMap<RequestId, StoredRequest>, StoreError> {
    let ids: Vec<RequestId> = jobs
        .iter()
        .filter_map(|job| match job {
            Job::Place { request_id, .. } => Some(*request_id),
            Job::Check { .. } | Job::Claim { .. } => None,
        })
        .collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    Ok(tx
        .requests(tenant, &ids)
        .await?
        .into_iter()
        .map(|stored| (stored.request_id, stored))
        .collect())
}

/// The first answer again: the stored decision and, if it allowed, the call as it was queued then.
async fn repeat(
    tx: &mut Tx,
    tenant: &TenantId,
    request: &CallRequest,
    stored: &StoredRequest,
) -> Result<Answer, StoreError> {
    if stored.digest != request.request_digest {
        return Ok(Answer::Refused(GateError::RequestIdReused));
    }
    let damaged = || StoreError::Other("a stored request names no decision".to_owned());
    let decision_id: DecisionId = stored.subject.parse().map_err(|_| damaged())?;
    let decision = tx
        .decision(tenant, decision_id, false)
        .await?
        .ok_or_else(damaged)?;
    let call = match decision.call_id {
        Some(call_id) => tx.call(tenant, call_id).await?.map(Call::as_queued),
        None => None,
    };
    Ok(Answer::Placed(Box::new(Placed { decision, call })))
}

/// Who holds each number asked for. A number that nobody holds yet gets a person of its own, so that whatever we store
/// about it is sealed under a key that can be destroyed.
async fn people(
    core: &Core,
    law: &InForce,
    tx: &mut Tx,
    tenant: &TenantId,
    jobs: &[Job],
    read: Reading,
) -> Result<HashMap<NumberKey, Vec<PartyId>>, StoreError> {
    let mut asked: HashMap<NumberKey, Phone> = HashMap::new();
    for job in jobs {
        if let Job::Check { request, .. } | Job::Place { request, .. } = job
            && core.admits(law, request).is_ok()
        {
            asked.insert(key_of(core, request), request.to);
        }
    }
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let keys: Vec<NumberKey> = asked.keys().copied().collect();
    let mut people: HashMap<NumberKey, Vec<PartyId>> = HashMap::new();
    for (key, party_id) in tx.parties_by_number(tenant, &keys).await? {
        people.entry(key).or_default().push(party_id);
    }
    let strangers: Vec<(PartyId, Phone)> = asked
        .iter()
        .filter(|(key, _)| !people.contains_key(key))
        .map(|(_, number)| (PartyId::new(read.wall), *number))
        .collect();
    if !strangers.is_empty() {
        tx.ensure_parties(tenant, &strangers, read.wall).await?;
    }
    for (party_id, number) in strangers {
        people.insert(core.store.hasher().key(tenant, number), vec![party_id]);
    }
    Ok(people)
}

fn open<'a>(
    core: &'a Core,
    law: &InForce,
    job: &'a Job,
    request: &'a CallRequest,
    people: &HashMap<NumberKey, Vec<PartyId>>,
    read: Reading,
) -> Plan<'a> {
    match open_or_refuse(core, law, job, request, people, read) {
        Ok(asked) => Plan::Open(asked),
        Err(error) => Plan::Settled(Answer::Refused(error)),
    }
}

fn open_or_refuse<'a>(
    core: &'a Core,
    law: &InForce,
    job: &'a Job,
    request: &'a CallRequest,
    people: &HashMap<NumberKey, Vec<PartyId>>,
    read: Reading,
) -> Result<Asked<'a>, GateError> {
    let (campaign, caller_id) = core.admits(law, request)?;
    let over = |end: Option<Micros>| end.is_some_and(|end| end <= read.wall);
    if over(request.expire_time) || over(request.answer_by) {
        return Err(GateError::RequestExpired);
    }
    let number_key = key_of(core, request);
    let holders = people.get(&number_key).map_or(&[][..], Vec::as_slice);
    let party_id = match (request.party_id, holders) {
        (Some(named), _) if holders.contains(&named) => named,
        (Some(_), _) => {
            return Err(GateError::invalid(
                "party_id",
                "names nobody who holds this number",
            ));
        }
        (None, [only]) => *only,
        (None, _) => return Err(GateError::PartyAmbiguous),
    };
    Ok(Asked {
        job,
        party_id,
        number_key,
        about: Ok(About {
            to: request.to,
            campaign,
            caller_id,
        }),
    })
}

/// A claim's question; a call whose time has passed is ended instead, and is never dialed.
async fn claim_plan<'a>(
    core: &'a Core,
    law: &InForce,
    tx: &mut Tx,
    job: &'a Job,
    claim: &'a ClaimRequest,
    read: Reading,
) -> Result<Plan<'a>, StoreError> {
    let call = &claim.call;
    if call.expire_time <= read.wall {
        if claim.again.is_some() {
            // The attempt that may have been sent ends the call.
            return Ok(Plan::Settled(Answer::Claimed(Claimed::Expired)));
        }
        let expired = tx
            .expire_call(call.call_id, claim.lease_epoch, read.wall)
            .await?;
        let Some(expired) = expired else {
            return Ok(Plan::Settled(Answer::Claimed(Claimed::Lost)));
        };
        tx.insert_audit(
            &call.tenant,
            &[AuditEntry::call_expired(&expired, read.wall)],
        )
        .await?;
        return Ok(Plan::Settled(Answer::Claimed(Claimed::Expired)));
    }
    let about =
        match call.to {
            None => Err("the person's data was erased"),
            Some(to) => match place::dialable(law.pack.tables(), &to.reveal()) {
                // The law refuses it too, with the floor's own code; the country only matters to the campaign.
                Err(_) => Err("the number is no longer a dialable destination"),
                Ok(number) => core.campaigns.admits_still(call, &number.country).map(
                    |(campaign, caller_id)| About {
                        to,
                        campaign,
                        caller_id,
                    },
                ),
            },
        };
    Ok(Plan::Open(Asked {
        job,
        party_id: call.party_id,
        number_key: call.number_key,
        about,
    }))
}

fn facts_wanted(plan: &Plan<'_>, read: Reading) -> Option<FactsWanted> {
    let Plan::Open(asked) = plan else { return None };
    let about = asked.about.as_ref().ok()?;
    Some(FactsWanted {
        number: about.to,
        number_key: asked.number_key,
        party_id: asked.party_id,
        seller: about.campaign.seller.clone(),
        call_kind: asked.call_kind(),
        call_id: asked.call().map(|call| call.call_id),
        at: read.wall,
    })
}

fn refused(problem: &'static str) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Deny,
        denied_by: Vec::new(),
        rules: Vec::new(),
        jurisdictions: Vec::new(),
        zones: Vec::new(),
        next_allowed_time: None,
        warnings: Vec::new(),
    };
    campaigns::refuse(&mut judgement, problem);
    judgement
}

impl Core {
    /// Whether the campaign lets the request ask at all. The floor comes first: what is no destination is no question.
    fn admits(
        &self,
        law: &InForce,
        request: &CallRequest,
    ) -> Result<(&Campaign, Option<CallerId>), GateError> {
        let number = place::dialable(law.pack.tables(), &request.to.reveal())
            .map_err(|why| GateError::NotDialable { field: "to", why })?;
        self.campaigns.admit(request, &number.country)
    }
}

impl Asked<'_> {
    pub fn stage(&self) -> Stage {
        match self.job {
            Job::Check { .. } => Stage::Check,
            Job::Place { .. } => Stage::Place,
            Job::Claim { .. } => Stage::Claim,
        }
    }

    /// The call, where there is one before the decision.
    pub fn call(&self) -> Option<&Call> {
        match self.job {
            Job::Claim { claim, .. } => Some(&claim.call),
            Job::Check { .. } | Job::Place { .. } => None,
        }
    }

    fn call_kind(&self) -> crate::domain::call::CallKind {
        match self.job {
            Job::Check { request, .. } | Job::Place { request, .. } => request.call_kind,
            Job::Claim { claim, .. } => claim.call.call_kind,
        }
    }

    fn campaign_id(&self) -> &str {
        match self.job {
            Job::Check { request, .. } | Job::Place { request, .. } => &request.campaign_id,
            Job::Claim { claim, .. } => &claim.call.campaign_id,
        }
    }

    fn actor(&self) -> &str {
        match self.job {
            Job::Check { request, .. } | Job::Place { request, .. } => &request.actor,
            Job::Claim { claim, .. } => &claim.call.actor,
        }
    }
}
