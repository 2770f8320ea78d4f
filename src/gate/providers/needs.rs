//! Which questions are open about one number, and worth asking: nobody is told of a number, and no money spent, where the law
//! says no whatever the answer is.

use std::sync::Arc;

use crate::domain::call::CallRequest;
use crate::domain::campaign::Campaign;
use crate::domain::decision::Verdict;
use crate::domain::ids::{DecisionId, PartyId};
use crate::domain::party::{LineType, ReassignedAnswer, ReassignedCheck, RegisterCheck};
use crate::domain::phone::NumberKey;
use crate::domain::provider::{ProviderKind, ScrubResult};
use crate::domain::time::{Micros, Reading};
use crate::gate::Core;
use crate::gate::campaigns::Admission;
use crate::gate::case::{self, Question};
use crate::gate::error::GateError;
use crate::gate::law::{ATTEMPTS, InForce, Look};
use crate::place;
use crate::policy;
use crate::policy::facts::Facts;
use crate::provider::Query;
use crate::store::FactsWanted;

use super::answers::{furthest_west, relied_on_since, results_of, since_of};
use super::desk::Desk;

/// A question, and whom to put it to.
pub(super) struct Open {
    pub desk: Arc<Desk>,
    pub query: Query,
    pub number_key: NumberKey,
}

/// What is known when the questions are looked for.
struct Known {
    law: InForce,
    facts: Facts,
    results: Vec<ScrubResult>,
}

impl Core {
    /// The questions that have to be asked before this request is decided. None for a request that the gate refuses to decide.
    pub(super) async fn open_questions(
        &self,
        request: &CallRequest,
    ) -> Result<Vec<Open>, GateError> {
        let pack = self.law.latest();
        let Ok(number) = place::dialable(pack.tables(), &request.to.reveal()) else {
            return Ok(Vec::new());
        };
        let admitted = self
            .campaigns
            .admit(&self.carriers(), request, &number.country);
        let Ok(Admission {
            campaign,
            caller_id,
            pool,
        }) = admitted
        else {
            return Ok(Vec::new());
        };
        let mut serving = self.providers.serving(&number.country).peekable();
        if serving.peek().is_none() {
            return Ok(Vec::new());
        }
        let read = (self.read)();
        let number_key = self.store.hasher().key(&request.tenant, request.to);
        let Some(known) = self.known(request, campaign, number_key, read).await? else {
            return Ok(Vec::new());
        };
        let since = relied_on_since(&known.facts, read.wall);
        let today = Some(furthest_west(read.wall));
        let open = serving.filter_map(|desk| {
            let wanted = since_of(&desk.service, since);
            let theirs = results_of(&desk.service, &known.results);
            let is_answered = theirs.iter().any(|each| each.answers(wanted, read.wall));
            (!is_answered).then(|| Open {
                desk: Arc::clone(desk),
                query: Query {
                    number: request.to,
                    // Whoever relies on nothing asks whose the number is now.
                    since: since_of(&desk.service, since.or(today)),
                },
                number_key,
            })
        });
        let open: Vec<Open> = open.collect();
        let question = Question {
            decision_id: DecisionId::new(read.wall),
            at: read.wall,
            to: request.to,
            call_kind: request.call_kind,
            campaign,
            caller_id,
            pool: &pool,
            key: Some(number_key),
            number: Some(&number),
            stops: &known.law.stops,
        };
        let matters = !open.is_empty() && may_matter(&known, &question, &open);
        Ok(if matters { open } else { Vec::new() })
    }

    /// Law and facts, read as a batch would read them; none if it is not clear whom the request is about.
    async fn known(
        &self,
        request: &CallRequest,
        campaign: &Campaign,
        number_key: NumberKey,
        read: Reading,
    ) -> Result<Option<Known>, GateError> {
        let tenant = &request.tenant;
        for _ in 0..ATTEMPTS {
            let mut tx = self.store.read().await?;
            let law = match self.law.look(&mut tx, tenant, read.wall).await? {
                Look::Ready(law) => law,
                missing => {
                    drop(tx);
                    let ready = self.law.prepare(&self.store, tenant, missing, read.wall);
                    ready.await?;
                    continue;
                }
            };
            let holders = tx.parties_by_number(tenant, &[number_key]).await?;
            let mut holders = holders.into_iter().map(|(_, party)| party);
            let party_id: Option<PartyId> = match (request.party_id, holders.next(), holders.next())
            {
                (Some(named), Some(_), _) => Some(named),
                (None, only, None) => only,
                _ => return Ok(None),
            };
            let wanted = [FactsWanted {
                number: request.to,
                number_key,
                party_id,
                seller: campaign.seller.clone(),
                call_kind: request.call_kind,
                purpose: campaign.purpose,
                call_id: None,
                at: read.wall,
            }];
            let known = self
                .load_facts_and_results(&mut tx, tenant, &wanted)
                .await?;
            let (facts, mut results) = known;
            return Ok(Some(Known {
                law,
                facts: facts.into_iter().next().unwrap_or_default(),
                results: results.remove(&number_key).unwrap_or_default(),
            }));
        }
        Ok(None)
    }
}

/// Whether the call could be allowed, now or later, if every answer were the best there is.
fn may_matter(known: &Known, question: &Question<'_>, open: &[Open]) -> bool {
    let pack = &known.law.pack;
    let Ok(number) = place::dialable(pack.tables(), &question.to.reveal()) else {
        return false;
    };
    hopeful(&known.facts, open, question.at).any(|facts| {
        let case = case::build(pack, question, facts);
        let outline = policy::outline(pack, &case, &number);
        outline.verdict == Verdict::Allow || outline.next_allowed_time.is_some()
    })
}

/// The facts as they would be by the best answers; of a line there is no best one.
fn hopeful(facts: &Facts, open: &[Open], at: Micros) -> impl Iterator<Item = Facts> {
    let today = at.utc_date();
    let mut facts = facts.clone();
    let mut lines = vec![facts.line_type];
    for Open { desk, query, .. } in open {
        match desk.service.kind {
            ProviderKind::Reassigned => {
                facts.reassigned_check = Some(ReassignedCheck {
                    queried_on: today,
                    for_date: query.since.unwrap_or(today),
                    answer: ReassignedAnswer::No,
                });
            }
            ProviderKind::LineType => {
                let every = [LineType::Landline, LineType::Mobile, LineType::Voip];
                lines = every.map(Some).to_vec();
            }
            ProviderKind::Litigator => {}
        }
        if let Some(register) = &desk.service.register {
            facts.registers.retain(|each| each.register != *register);
            facts.registers.push(RegisterCheck {
                register: register.clone(),
                listed: Some(false),
                as_of: today,
                listed_since: None,
                snapshot: None,
            });
        }
    }
    lines.into_iter().map(move |line_type| Facts {
        line_type,
        ..facts.clone()
    })
}
