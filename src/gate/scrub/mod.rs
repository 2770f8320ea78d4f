//! A whole list against everything: what [`Gate::check`] would say of each number, many at a time.
//!
//! The judgement is the same: the same admission by the campaign, the same floor, facts, law in force and stops, the same
//! case, the same rules. What differs is what is left behind. Nobody acts on a million answers, so they are no decisions:
//! nothing is reserved, no person is recorded, no permit is made; the whole leaves one audit entry ([`Scrub::record`]).
//! Whoever dials from the list asks again, and that question is recorded. Providers are not asked for a list: what they said
//! and counts is used, and of a number that they were not asked about nothing is known.
//!
//! A batch reads in a transaction of its own that holds up no writer, and is judged outside of it and of the runtime's own
//! threads. There are bounds to how many are read and judged at once, over all lists: the gate goes first.

mod alike;
mod sieve;
mod tally;

use std::num::NonZero;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::domain::Text;
use crate::domain::call::{CallKind, Purpose};
use crate::domain::campaign::{CallerId, Campaign};
use crate::domain::decision::{PackVersion, RuleOutcome};
use crate::domain::ids::{AuditEntryId, DecisionId, TenantId};
use crate::domain::phone::{NumberKey, Phone};
use crate::domain::time::{Micros, Reading};
use crate::place::{self, Dialable, HomeCountry, NotANumber, NotDialable};
use crate::policy::facts::{Case, Facts};
use crate::policy::{self, Outline, Pack};
use crate::store::{AuditEntry, FactsWanted, StoreError, Tx, Urgency};

use super::campaigns::reaches;
use super::case::{self, Question};
use super::error::GateError;
use super::law::{ATTEMPTS, InForce, Look};
use super::{Core, Gate};
use alike::Alike;

pub use tally::ScrubTally;

/// Numbers of one batch at most. More gain nothing, and make whoever waits for a core wait longer.
pub const SCRUB_BATCH_MAX: usize = 1000;

/// Batches that read at once: each has a connection, and others want some too.
const READING_MAX: usize = 3;

/// What a list is judged for.
#[derive(Debug, Clone)]
pub struct ScrubTerms {
    /// Whose list.
    pub tenant: TenantId,
    /// The campaign that the calls would belong to.
    pub campaign_id: String,
    /// Who would dial and who would speak.
    pub call_kind: CallKind,
    /// The number to show; absent = the campaign's first.
    pub caller_id: Option<Phone>,
    /// The instant to judge; absent = when each batch is read.
    pub at: Option<Micros>,
    /// The country of numbers without a calling code (ISO 3166-1).
    pub home_country: Option<String>,
    /// Whether the rules that deny say why.
    pub with_reasons: bool,
    /// Who asks.
    pub actor: String,
}

/// A list under way. Cheap to clone.
#[derive(Clone)]
pub struct Scrub {
    core: Arc<Core>,
    terms: Arc<ScrubTerms>,
    home: Option<HomeCountry>,
    begun: Micros,
}

/// Why a row has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowProblem {
    /// It cannot be read as a number.
    NotANumber(NotANumber),
    /// The floor refuses it.
    NotDialable(NotDialable),
    /// The campaign may not dial the country.
    DestinationNotAllowed,
    /// Several people share it; a single check can name the one.
    PartyAmbiguous,
}

/// What is said of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrubRow {
    /// The number, as far as it could be read.
    pub number: Option<Phone>,
    /// It was not written in E.164.
    pub was_rewritten: bool,
    /// What the law says, or why it was not asked.
    pub said: Result<Outline, RowProblem>,
    /// What each of the rules that deny says, if that was asked for.
    pub reasons: Vec<Text>,
}

/// One batch, answered.
#[derive(Debug, Clone)]
pub struct Scrubbed {
    /// The instant judged.
    pub at: Micros,
    /// The rules that decided.
    pub pack: PackVersion,
    /// One for each number, in their order.
    pub rows: Vec<ScrubRow>,
}

/// How many batches are under way at once, over all lists.
pub(super) struct Places {
    reading: Semaphore,
    judging: Semaphore,
    sieves: sieve::Sieves,
}

/// A row before the store is asked.
enum Sight {
    Settled(ScrubRow),
    Open(Box<Open>),
}

/// A number that the law is asked about.
struct Open {
    number: Dialable,
    key: NumberKey,
    was_rewritten: bool,
}

impl Gate {
    /// Begins a list, if its campaign may ask at all.
    pub fn scrub(&self, terms: ScrubTerms) -> Result<Scrub, GateError> {
        let core = &self.core;
        core.campaigns
            .open(&terms.campaign_id, terms.call_kind, terms.caller_id)?;
        let pack = core.law.latest();
        let home = match &terms.home_country {
            None => None,
            Some(code) => Some(HomeCountry::parse(pack.tables(), code).ok_or_else(|| {
                GateError::invalid(
                    "default_country",
                    "is no country, expected such as US or DE",
                )
            })?),
        };
        Ok(Scrub {
            core: Arc::clone(core),
            terms: Arc::new(terms),
            home,
            begun: self.read().wall,
        })
    }
}

impl Scrub {
    /// Batches of one list that are worth having under way: one for each core, and one that is being read meanwhile.
    #[must_use]
    pub fn batches_at_once() -> usize {
        cores() + 1
    }

    /// What would be said of each number, in their order. The law in force is read with each batch.
    pub async fn judge(&self, numbers: Vec<String>) -> Result<Scrubbed, GateError> {
        if numbers.len() > SCRUB_BATCH_MAX {
            let problem =
                format!("holds more than {SCRUB_BATCH_MAX}; send them in several batches");
            return Err(GateError::invalid("numbers", problem));
        }
        let numbers = Arc::new(numbers);
        let mut pack = self.core.law.latest();
        let mut sights = self.sights(&pack, &numbers).await?;
        for _ in 0..ATTEMPTS {
            let read = (self.core.read)();
            let at = self.terms.at.unwrap_or(read.wall);
            let place = self.core.scrubs.reading.acquire().await;
            let mut tx = self.core.store.read().await?;
            let tenant = &self.terms.tenant;
            let law = match self.core.law.look(&mut tx, tenant, at).await? {
                Look::Ready(law) => law,
                missing => {
                    drop(tx);
                    let law = &self.core.law;
                    law.prepare(&self.core.store, tenant, missing, read.wall)
                        .await?;
                    continue;
                }
            };
            if !Arc::ptr_eq(&law.pack, &pack) {
                // The numbers were read by the tables of another pack.
                drop((tx, place));
                pack = law.pack;
                sights = self.sights(&pack, &numbers).await?;
                continue;
            }
            let facts = self.facts(&mut tx, &mut sights, at).await?;
            drop((tx, place));
            let scrubbed = self.outlines(law, sights, facts, (at, read)).await;
            return scrubbed.inspect(super::counted::list);
        }
        Err(GateError::Busy {
            retry_after: Duration::from_millis(500),
        })
    }

    /// How many numbers are held in memory as having an opt-out on record, once lists have asked about enough of them.
    #[must_use]
    pub fn numbers_held(&self) -> Option<usize> {
        self.core.scrubs.sieves.size(&self.terms.tenant)
    }

    /// Reads the numbers.
    async fn sights(
        &self,
        pack: &Arc<Pack>,
        numbers: &Arc<Vec<String>>,
    ) -> Result<Vec<Sight>, GateError> {
        let (this, pack, numbers) = (self.clone(), Arc::clone(pack), Arc::clone(numbers));
        self.core
            .scrubs
            .on_a_core(move || {
                let campaign = this.campaign()?.0;
                let hasher = this.core.store.hasher().within(&this.terms.tenant);
                let sight = |text: &String| {
                    sight(&pack, text, this.home, campaign, |number| {
                        hasher.key(number)
                    })
                    .unwrap_or_else(Sight::Settled)
                };
                Ok(numbers.iter().map(sight).collect())
            })
            .await?
    }

    /// What is known of the numbers that are in question still. Nobody is recorded: a number that nobody holds has no person.
    async fn facts(
        &self,
        tx: &mut Tx,
        sights: &mut [Sight],
        at: Micros,
    ) -> Result<Vec<Facts>, StoreError> {
        let tenant = &self.terms.tenant;
        let keys: Vec<NumberKey> = sights.iter().filter_map(Sight::key).collect();
        let sieves = &self.core.scrubs.sieves;
        let never_blocked = sieves.never_blocked(tx, tenant, &keys).await?;
        if never_blocked.is_none() {
            sieve::asked(&self.core, tenant, keys.len());
        }
        let mut links = tx.links(tenant, &keys).await?;
        links.note_never_blocked(never_blocked.into_iter().flatten());
        let campaign = self.core.campaigns.get(&self.terms.campaign_id);
        let (seller, purpose) = campaign.map_or((String::new(), Purpose::Sales), |campaign| {
            (campaign.seller.clone(), campaign.purpose)
        });
        let mut wanted = Vec::with_capacity(keys.len());
        for sight in sights {
            let Sight::Open(open) = sight else {
                continue;
            };
            let mut holders = links.holders(open.key);
            let party_id = match (holders.next(), holders.next()) {
                (only, None) => only,
                (_, Some(_)) => {
                    *sight = Sight::Settled(ScrubRow {
                        number: Some(open.number.phone),
                        was_rewritten: open.was_rewritten,
                        said: Err(RowProblem::PartyAmbiguous),
                        reasons: Vec::new(),
                    });
                    continue;
                }
            };
            wanted.push(FactsWanted {
                number: open.number.phone,
                number_key: open.key,
                party_id,
                seller: seller.clone(),
                call_kind: self.terms.call_kind,
                purpose,
                call_id: None,
                at,
            });
        }
        let core = &self.core;
        core.load_facts_among(tx, tenant, &wanted, &links).await
    }

    /// Asks the law.
    async fn outlines(
        &self,
        law: InForce,
        sights: Vec<Sight>,
        facts: Vec<Facts>,
        (at, read): (Micros, Reading),
    ) -> Result<Scrubbed, GateError> {
        let this = self.clone();
        self.core
            .scrubs
            .on_a_core(move || {
                let (campaign, caller_id) = this.campaign()?;
                let decision_id = DecisionId::new(read.wall);
                let case = |number: &Dialable, facts: Facts| {
                    let question = Question {
                        decision_id,
                        at,
                        to: number.phone,
                        call_kind: this.terms.call_kind,
                        campaign,
                        caller_id,
                        pool: &campaign.caller_ids,
                        // Many are judged by the stand-in of their place, and which number they are shown is nobody's question.
                        key: None,
                        number: Some(number),
                        stops: &law.stops,
                    };
                    case::build(&law.pack, &question, facts)
                };
                let pack = &*law.pack;
                let mut alike = Alike::new(pack.tables(), |number: &Dialable, facts: Facts| {
                    policy::outline(pack, &case(number, facts), number)
                });
                let mut facts = facts.into_iter();
                let rows = sights.into_iter().map(|sight| match sight {
                    Sight::Settled(row) => row,
                    Sight::Open(open) => {
                        // INVARIANT: the facts answer each open question, in order; no answer is no knowledge.
                        let facts = facts.next().unwrap_or_default();
                        let number = &open.number;
                        let (said, reasons) = match this.terms.with_reasons {
                            true => explained(pack, &case(number, facts)),
                            false => (alike.outline(number, facts), Vec::new()),
                        };
                        ScrubRow {
                            number: Some(number.phone),
                            was_rewritten: open.was_rewritten,
                            said: Ok(said),
                            reasons,
                        }
                    }
                });
                Ok(Scrubbed {
                    at,
                    rows: rows.collect(),
                    pack: law.pack.version().clone(),
                })
            })
            .await?
    }

    /// The campaigns of a node do not change while it runs.
    fn campaign(&self) -> Result<(&Campaign, Option<CallerId>), GateError> {
        let terms = &self.terms;
        self.core
            .campaigns
            .open(&terms.campaign_id, terms.call_kind, terms.caller_id)
    }

    /// Writes down that the list was judged, whole or as far as it came: who asked, for what, by which law, and the counts.
    pub async fn record(
        &self,
        tally: &ScrubTally,
        is_whole: bool,
    ) -> Result<AuditEntryId, GateError> {
        let (terms, at) = (&self.terms, (self.core.read)().wall);
        let packs = tally.packs.iter();
        let packs: Vec<_> = packs
            .map(|pack| json!({ "version": pack.version, "sha256": pack.sha256, "zone_data": pack.zone_data }))
            .collect();
        let entry = AuditEntry {
            entry_id: AuditEntryId::new(at),
            kind: "calls.checked".to_owned(),
            actor: terms.actor.clone(),
            subject_key: None,
            payload: json!({
                "campaign": terms.campaign_id, "call_kind": terms.call_kind, "begin_time": self.begun,
                "judged_time": terms.at, "packs": packs, "whole": is_whole, "asked": tally.asked,
                "allowed": tally.allowed, "denied": tally.denied, "denied_by": tally.rules,
                "without_verdict": tally.problems,
            }),
            at,
        };
        let mut tx = self.core.store.write(Urgency::Ordinary).await?;
        let entries = [entry];
        tx.insert_audit(&terms.tenant, &entries).await?;
        tx.commit().await?;
        let [entry] = entries;
        Ok(entry.entry_id)
    }
}

/// What the law says, and what each of the rules that deny says.
fn explained(pack: &Pack, case: &Case) -> (Outline, Vec<Text>) {
    let judgement = policy::judge(pack, case);
    let denying = judgement.rules.iter();
    let denying = denying.filter(|rule| rule.outcome == RuleOutcome::Fail);
    let reasons = denying.map(|rule| rule.reason.clone()).collect();
    let outline = Outline {
        verdict: judgement.verdict,
        denied_by: judgement.denied_by,
        next_allowed_time: judgement.next_allowed_time,
    };
    (outline, reasons)
}

/// The number of a row, if it may be asked about: what `CheckCall` refuses before the law is asked.
fn sight(
    pack: &Pack,
    text: &str,
    home: Option<HomeCountry>,
    campaign: &Campaign,
    key: impl Fn(Phone) -> NumberKey,
) -> Result<Sight, ScrubRow> {
    let problem = |number, was_rewritten, problem| ScrubRow {
        number,
        was_rewritten,
        said: Err(problem),
        reasons: Vec::new(),
    };
    let written = place::read_number(text, home)
        .map_err(|why| problem(None, false, RowProblem::NotANumber(why)))?;
    let was_rewritten = *written != *text;
    let number = place::dialable(pack.tables(), &written).map_err(|why| {
        let number = Phone::parse(&written).ok();
        problem(number, was_rewritten, RowProblem::NotDialable(why))
    })?;
    if !reaches(campaign, &number.country) {
        let why = RowProblem::DestinationNotAllowed;
        return Err(problem(Some(number.phone), was_rewritten, why));
    }
    Ok(Sight::Open(Box::new(Open {
        key: key(number.phone),
        number,
        was_rewritten,
    })))
}

impl Sight {
    fn key(&self) -> Option<NumberKey> {
        match self {
            Self::Settled(_) => None,
            Self::Open(open) => Some(open.key),
        }
    }
}

impl RowProblem {
    /// The code for programs: that of the floor, of the reading, or the reason that `CheckCall` gives.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotANumber(why) => why.code(),
            Self::NotDialable(why) => why.code(),
            Self::DestinationNotAllowed => "DESTINATION_NOT_ALLOWED",
            Self::PartyAmbiguous => "PARTY_AMBIGUOUS",
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            reading: Semaphore::new(READING_MAX),
            judging: Semaphore::new(cores()),
            sieves: sieve::Sieves::default(),
        }
    }
}

impl Places {
    /// Work that needs nothing but the processor, off the threads that answer everybody else.
    async fn on_a_core<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let _place = self.judging.acquire().await;
        let working = tokio::task::spawn_blocking(work);
        working
            .await
            .map_err(|_| StoreError::Other("the judging of a list ended early".to_owned()))
    }
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}
