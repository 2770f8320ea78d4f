//! The reading half of a batch: locks, repeated requests, people, facts, and the law's judgement of each question.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::Text;
use crate::domain::call::{Call, CallRequest};
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::decision::{Decision, Judgement, Stage, Verdict};
use crate::domain::ids::{DecisionId, PartyId, RequestId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::Reading;
use crate::place;
use crate::policy::facts::Facts;
use crate::policy::{self, Permit};
use crate::store::{self, AuditEntry, FactsWanted, StoreError, StoredRequest, Tx};

use super::campaigns::Admission;
use super::case::{self, Question};
use super::claim::{ClaimRequest, Claimed};
use super::cores::on_all_cores;
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

#[derive(Clone)]
pub(super) struct About<'a> {
    pub to: Phone,
    pub campaign: &'a Campaign,
    pub caller_id: Option<CallerId>,
    /// Of which one is chosen if there is none yet.
    pub pool: Vec<CallerId>,
}

/// The campaign and what may be shown, or why the question may not be put.
type Admitted<'a> = Result<Admission<'a>, GateError>;

/// A job at first sight, before the store is asked anything about it.
pub(super) enum Sight<'a> {
    /// A question about a number, and whether its campaign lets it be put.
    Asked {
        request: &'a CallRequest,
        number_key: NumberKey,
        admitted: Admitted<'a>,
    },
    Claimed(&'a ClaimRequest),
}

/// Looks at the batch before anything is locked: others may write meanwhile.
pub(super) fn sights<'a>(core: &'a Core, law: &InForce, jobs: &'a [Job]) -> Vec<Sight<'a>> {
    let sight = |job: &'a Job| match job {
        Job::Check { request, .. } | Job::Place { request, .. } => Sight::Asked {
            request,
            number_key: core.store.hasher().key(&request.tenant, request.to),
            admitted: core.admits(law, request),
        },
        Job::Claim { claim, .. } => Sight::Claimed(claim),
    };
    on_all_cores(jobs.iter().collect(), sight)
}

/// Locks what the batch is about (claim-3), answers what was asked before, and finds the people.
pub(super) async fn plan<'a>(
    core: &'a Core,
    law: &InForce,
    tx: &mut Tx,
    tenant: &TenantId,
    (jobs, sights): (&'a [Job], Vec<Sight<'a>>),
    read: Reading,
) -> Result<Vec<Plan<'a>>, StoreError> {
    let keys: BTreeSet<[u8; 32]> = sights.iter().flat_map(lock_keys).collect();
    tx.lock_numbers(tenant, &keys.into_iter().collect::<Vec<_>>())
        .await?;

    let repeated = repeated_requests(tx, tenant, jobs).await?;
    let people = people(core, tx, tenant, &sights, read).await?;
    let mut plans = Vec::with_capacity(jobs.len());
    for (job, sight) in jobs.iter().zip(sights) {
        let stored = match job {
            Job::Place { request_id, .. } => repeated.get(request_id),
            Job::Check { .. } | Job::Claim { .. } => None,
        };
        plans.push(match (sight, stored) {
            (Sight::Asked { request, .. }, Some(stored)) => {
                Plan::Settled(repeat(tx, tenant, request, stored).await?)
            }
            (
                Sight::Asked {
                    request,
                    number_key,
                    admitted,
                },
                None,
            ) => open(job, request, (number_key, admitted), &people, read),
            (Sight::Claimed(claim), _) => claim_plan(core, law, tx, job, claim, read).await?,
        });
    }
    Ok(plans)
}

/// Loads the facts of all open questions and asks the law (claim-4).
pub(super) async fn judge<'a>(
    core: &Core,
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
    let facts = core.load_facts(tx, tenant, &wanted).await?;
    let mut facts = facts.into_iter();
    // INVARIANT: `load_facts` answers each open question, in order; no answer is no knowledge.
    let plans = plans.into_iter().map(|plan| match &plan {
        Plan::Open(asked) if asked.about.is_ok() => (facts.next().unwrap_or_default(), plan),
        Plan::Open(_) | Plan::Settled(_) => (Facts::default(), plan),
    });
    let judged = on_all_cores(plans.collect(), |(facts, plan)| match plan {
        Plan::Settled(answer) => Ok(Judged::Settled(answer)),
        Plan::Open(asked) => decide(law, asked, facts, read),
    });
    judged.into_iter().collect()
}

/// The decision on one question, from what is known.
fn decide<'a>(
    law: &InForce,
    mut asked: Asked<'a>,
    facts: Facts,
    read: Reading,
) -> Result<Judged<'a>, StoreError> {
    let decision_id = DecisionId::new(read.wall);
    let (key, call_kind) = (asked.number_key, asked.call_kind());
    let (judgement, permit, case_json) = match &mut asked.about {
        Ok(about) => {
            let question = Question {
                decision_id,
                at: read.wall,
                to: about.to,
                call_kind,
                campaign: about.campaign,
                caller_id: about.caller_id,
                pool: &about.pool,
                key: Some(key),
                number: None,
                stops: &law.stops,
            };
            let case = case::build(&law.pack, &question, facts);
            let from = case.call.from;
            about.caller_id = from.and_then(|from| campaigns::caller_id(about.campaign, from));
            let (judgement, permit) = policy::evaluate(&law.pack, &case, read);
            let case_json = serde_json::to_string(&case)
                .map_err(|error| StoreError::Other(error.to_string()))?;
            (judgement, permit, Some(case_json))
        }
        Err(problem) => (refused(*problem), None, None),
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
    Ok(Judged::Decided {
        asked,
        decision,
        permit,
    })
}

/// What a claim locks and what no second claim of a batch may touch: the number, and the person, whose caps count all
/// their numbers.
pub(super) fn claim_keys(call: &Call) -> [[u8; 32]; 2] {
    [call.number_key.0, store::party_lock_key(call.party_id)]
}

fn lock_keys(sight: &Sight<'_>) -> Vec<[u8; 32]> {
    match sight {
        Sight::Asked { number_key, .. } => vec![number_key.0],
        Sight::Claimed(claim) => claim_keys(&claim.call).to_vec(),
    }
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
    Ok(Answer::Repeated(Box::new(Placed { decision, call })))
}

/// Who holds each number asked for. A number that nobody holds yet gets a person of its own, so that whatever we store
/// about it is sealed under a key that can be destroyed.
async fn people(
    core: &Core,
    tx: &mut Tx,
    tenant: &TenantId,
    sights: &[Sight<'_>],
    read: Reading,
) -> Result<HashMap<NumberKey, Vec<PartyId>>, StoreError> {
    // In the order of their keys, so that the same questions leave the same rows.
    let mut asked: BTreeMap<NumberKey, Phone> = BTreeMap::new();
    for sight in sights {
        if let Sight::Asked {
            request,
            number_key,
            admitted: Ok(_),
        } = sight
        {
            asked.insert(*number_key, request.to);
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
    job: &'a Job,
    request: &'a CallRequest,
    sight: (NumberKey, Admitted<'a>),
    people: &HashMap<NumberKey, Vec<PartyId>>,
    read: Reading,
) -> Plan<'a> {
    match open_or_refuse(job, request, sight, people, read) {
        Ok(asked) => Plan::Open(asked),
        Err(error) => Plan::Settled(Answer::Refused(error)),
    }
}

fn open_or_refuse<'a>(
    job: &'a Job,
    request: &'a CallRequest,
    (number_key, admitted): (NumberKey, Admitted<'a>),
    people: &HashMap<NumberKey, Vec<PartyId>>,
    read: Reading,
) -> Result<Asked<'a>, GateError> {
    let admission = admitted?;
    let over = request.expire_time.is_some_and(|end| end <= read.wall)
        || request.answer_by.is_some_and(|end| end <= read.mono);
    if over {
        return Err(GateError::RequestExpired);
    }
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
            campaign: admission.campaign,
            caller_id: admission.caller_id,
            pool: admission.pool,
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
    let about = match call.to {
        None => Err("the person's data was erased"),
        Some(to) => match place::dialable(law.pack.tables(), &to.reveal()) {
            // The law refuses it too, with the floor's own code; the country only matters to the campaign.
            Err(_) => Err("the number is no longer a dialable destination"),
            Ok(number) => core
                .campaigns
                .admits_still(&core.carriers(), (claim, to), &number.country)
                .map(|(campaign, caller_id)| About {
                    to,
                    campaign,
                    caller_id,
                    pool: Vec::new(),
                }),
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
        party_id: Some(asked.party_id),
        seller: about.campaign.seller.clone(),
        call_kind: asked.call_kind(),
        purpose: about.campaign.purpose,
        call_id: asked.call().map(|call| call.call_id),
        at: read.wall,
    })
}

/// The refusal of a campaign that never asks the law.
pub(super) fn refused(problem: impl Into<Text>) -> Judgement {
    let mut judgement = Judgement {
        verdict: Verdict::Deny,
        denied_by: Vec::new(),
        rules: Vec::new(),
        jurisdictions: Vec::new(),
        zones: Vec::new(),
        next_allowed_time: None,
        warnings: Vec::new(),
    };
    campaigns::refuse(&mut judgement, problem.into());
    judgement
}

impl Core {
    /// Whether the campaign lets the request ask at all. The floor comes first: what is no destination is no question.
    fn admits(&self, law: &InForce, request: &CallRequest) -> Admitted<'_> {
        let number = place::dialable(law.pack.tables(), &request.to.reveal())
            .map_err(|why| GateError::NotDialable { field: "to", why })?;
        self.campaigns
            .admit(&self.carriers(), request, &number.country)
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
