//! What a pack would have decided: of cases that are sent along, or of decisions on record. Nothing is written or dialed, and
//! no number is answered with.

use std::collections::BTreeMap;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use crate::domain::decision::Verdict;
use crate::domain::ids::TenantId;
use crate::gate::{PackSource, Said};
use crate::policy::facts::Case;
use crate::policy::{Pack, judge};
use crate::store::{ListQuery, PageKey, RecordedCase};

use super::audit::FILTERABLE;
use super::convert::{Fields, Noted, policy as show, wire};
use super::paging::Listing;
use super::pb::evaluate_request::{Input as Wish, Pack as Wanted};
use super::{Api, Asked, pb, status};

const CASES_MAX: usize = 1000;
const DECISIONS_DEFAULT: u32 = 1000;
const DECISIONS_MAX: u32 = 10_000;
const SAMPLES_DEFAULT: u32 = 20;
const SAMPLES_MAX: u32 = 1000;
/// Decisions read at once, each with its case.
const PAGE: u32 = 500;

/// One case and what was said of it before; nothing = ask the pack in force.
struct Asking {
    id: String,
    case: Case,
    before: Option<Said>,
}

/// What is asked about.
enum Input {
    Cases(Vec<Asking>),
    /// A page of decisions on record: after which token, of which filter, how many.
    Stored {
        token: String,
        filter: String,
        max: u32,
    },
}

/// `PolicyService.Evaluate`.
pub(super) async fn evaluate(
    api: &Api,
    request: Request<pb::EvaluateRequest>,
) -> Result<Response<pb::EvaluateResponse>, Status> {
    let Asked { who, message, .. } = api.open(request)?;
    let mut fields = Fields::default();
    let samples = count(
        &mut fields,
        "samples_max",
        message.samples_max,
        SAMPLES_DEFAULT,
        SAMPLES_MAX,
    );
    let source = match message.pack {
        None => Ok(None),
        Some(Wanted::Sha256(hash)) => show::stored(&mut fields, hash).map(Some),
        Some(Wanted::Upload(upload)) => show::upload(&mut fields, upload).map(Some),
        Some(Wanted::Configured(is_set)) => show::configured(&mut fields, is_set).map(Some),
    };
    let input = input(&mut fields, message.input);
    fields.done()?;
    let active = api.pack_asked(&who.tenant, None).await?;
    let pack = match source? {
        None => Arc::clone(&active),
        Some(PackSource::Stored(hash)) => api.pack_asked(&who.tenant, Some(&hash)).await?,
        Some(source) => {
            let made = api.gate.pack_from(&who.tenant, source).await;
            made.map_err(|error| status::from_gate(&error))?
        }
    };
    let tally = Tally::new(samples?);
    match input? {
        Input::Cases(asked) => {
            known_places(&asked, &[&pack, &active])?;
            let tally = run(tally, Arc::clone(&pack), active, asked).await?;
            Ok(Response::new(tally.answer(&pack, String::new())))
        }
        Input::Stored { token, filter, max } => {
            // Bound to what the pack came out as: half of the decisions by one law and half by another would be counts of
            // nothing.
            let rest = pb::StoredDecisions {
                filter,
                ..pb::StoredDecisions::default()
            };
            let method = format!("Evaluate {}", pack.version().sha256);
            let listing = Listing::read(&method, &rest, &token, &rest.filter, FILTERABLE)?;
            let (tally, next) =
                run_stored(api, &who.tenant, tally, (&pack, active), &listing, max).await?;
            Ok(Response::new(tally.answer(&pack, listing.token(next))))
        }
    }
}

fn input(fields: &mut Fields, input: Option<Wish>) -> Result<Input, Noted> {
    match input {
        None => fields.wrong("cases", "are missing; set cases or decisions"),
        Some(Wish::Cases(list)) => cases(fields, list.cases_json).map(Input::Cases),
        Some(Wish::Decisions(stored)) => {
            let max = count(
                fields,
                "decisions.decisions_max",
                stored.decisions_max,
                DECISIONS_DEFAULT,
                DECISIONS_MAX,
            )?;
            Ok(Input::Stored {
                token: stored.page_token,
                filter: stored.filter,
                max,
            })
        }
    }
}

/// Judges a page of decisions on record, and tells where the next one begins.
async fn run_stored(
    api: &Api,
    tenant: &TenantId,
    mut tally: Tally,
    (pack, active): (&Arc<Pack>, Arc<Pack>),
    listing: &Listing,
    max: u32,
) -> Result<(Tally, Option<PageKey>), Status> {
    let mut left = max;
    let mut query = listing.query(PAGE);
    while left > 0 {
        query.page_size = left.min(PAGE);
        left -= query.page_size;
        let (asked, skipped, next) = stored(api, tenant, &query).await?;
        tally.skipped += skipped;
        tally = run(tally, Arc::clone(pack), Arc::clone(&active), asked).await?;
        query.after = next;
        if next.is_none() {
            break;
        }
    }
    Ok((tally, query.after))
}

/// Judges where it holds nobody up.
async fn run(
    mut tally: Tally,
    pack: Arc<Pack>,
    active: Arc<Pack>,
    asked: Vec<Asking>,
) -> Result<Tally, Status> {
    let judging = tokio::task::spawn_blocking(move || {
        for Asking { id, case, before } in asked {
            let before = before.unwrap_or_else(|| said(&active, &case));
            tally.take(id, &before, said(&pack, &case));
        }
        tally
    });
    judging
        .await
        .map_err(|_| status::internal("an evaluation ended early"))
}

fn said(pack: &Pack, case: &Case) -> Said {
    Said::of(&judge(pack, case))
}

/// A page of stored decisions, how many of it cannot be made again, and where the next one begins.
async fn stored(
    api: &Api,
    tenant: &TenantId,
    query: &ListQuery,
) -> Result<(Vec<Asking>, i64, Option<PageKey>), Status> {
    let mut tx = api.read().await?;
    let page = tx.recorded_decisions(tenant, query).await;
    let page = page.map_err(|error| status::from_store(&error))?;
    let mut skipped = 0;
    let mut asked = Vec::with_capacity(page.rows.len());
    for decision in page.rows {
        let case = match &decision.case {
            RecordedCase::Readable(case) => serde_json::from_str(case).ok(),
            RecordedCase::None | RecordedCase::Unreadable => None,
        };
        match case {
            Some(case) => asked.push(Asking {
                id: decision.decision_id.to_string(),
                case,
                before: Some(Said {
                    verdict: decision.verdict,
                    denied_by: decision.denied_by,
                }),
            }),
            None => skipped += 1,
        }
    }
    Ok((asked, skipped, page.next))
}

fn cases(fields: &mut Fields, texts: Vec<String>) -> Result<Vec<Asking>, Noted> {
    if !(1..=CASES_MAX).contains(&texts.len()) {
        let problem = format!("are not between 1 and {CASES_MAX}; ask in parts");
        return fields.wrong("cases.cases_json", problem);
    }
    let mut asked = Vec::with_capacity(texts.len());
    let mut sound = Ok(());
    for (index, text) in texts.into_iter().enumerate() {
        match serde_json::from_str::<Case>(&text) {
            Ok(case) => asked.push(Asking {
                id: case.id.clone(),
                case,
                before: None,
            }),
            // The reader's own words may quote a number.
            Err(error) => {
                let problem = format!(
                    "is no case: {:?} error at column {}; `dialgate policy eval` tells more",
                    error.classify(),
                    error.column()
                );
                sound = fields.wrong(&format!("cases.cases_json[{index}]"), problem);
            }
        }
    }
    sound.map(|()| asked)
}

/// Refuses cases whose places one of the packs does not know: its laws would not be asked, and the call allowed.
fn known_places(asked: &[Asking], packs: &[&Pack]) -> Result<(), Status> {
    let mut fields = Fields::default();
    for (index, Asking { case, .. }) in asked.iter().enumerate() {
        let mut problems = packs.iter().flat_map(|pack| case.place_problems(pack));
        if let Some((field, problem)) = problems.next() {
            let problem = format!("{field}: {problem}");
            // The answer to the client is made by `done`.
            let _ = fields.wrong::<()>(&format!("cases.cases_json[{index}]"), problem);
        }
    }
    fields.done()
}

fn count(
    fields: &mut Fields,
    field: &str,
    asked: i32,
    default: u32,
    max: u32,
) -> Result<u32, Noted> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(count) => Ok(count.min(max)),
        Err(_) => fields.wrong(
            field,
            format!("is negative; send 0 for the default of {default}"),
        ),
    }
}

/// The counts so far.
struct Tally {
    samples_max: usize,
    evaluated: i64,
    allowed: i64,
    newly_allowed: i64,
    newly_denied: i64,
    skipped: i64,
    rules: BTreeMap<String, pb::RuleCount>,
    samples: Vec<pb::ChangedCase>,
}

impl Tally {
    fn new(samples_max: u32) -> Self {
        Self {
            samples_max: usize::try_from(samples_max).unwrap_or(usize::MAX),
            evaluated: 0,
            allowed: 0,
            newly_allowed: 0,
            newly_denied: 0,
            skipped: 0,
            rules: BTreeMap::new(),
            samples: Vec::new(),
        }
    }

    fn take(&mut self, id: String, before: &Said, after: Said) {
        let (was, is) = (
            before.verdict == Verdict::Allow,
            after.verdict == Verdict::Allow,
        );
        self.evaluated += 1;
        self.allowed += i64::from(is);
        self.newly_allowed += i64::from(!was && is);
        self.newly_denied += i64::from(was && !is);
        for rule in &after.denied_by {
            let count = self.rules.entry(rule.clone()).or_default();
            count.denied += 1;
            count.newly_denied += i64::from(was);
        }
        if is {
            for rule in &before.denied_by {
                self.rules.entry(rule.clone()).or_default().newly_allowed += 1;
            }
        }
        if *before != after && self.samples.len() < self.samples_max {
            self.samples.push(pb::ChangedCase {
                id,
                before: wire(before.verdict),
                after: wire(after.verdict),
                denied_by_before: before.denied_by.clone(),
                denied_by_after: after.denied_by,
            });
        }
    }

    fn answer(self, pack: &Pack, next_page_token: String) -> pb::EvaluateResponse {
        let named = self.rules.into_iter();
        let mut rules: Vec<pb::RuleCount> = named
            .map(|(rule, count)| pb::RuleCount { rule, ..count })
            .collect();
        rules.sort_by_key(|count| std::cmp::Reverse(count.denied));
        pb::EvaluateResponse {
            pack: Some(show::version(pack.version())),
            evaluated: self.evaluated,
            allowed: self.allowed,
            denied: self.evaluated - self.allowed,
            newly_allowed: self.newly_allowed,
            newly_denied: self.newly_denied,
            skipped: self.skipped,
            rules,
            samples: self.samples,
            next_page_token,
        }
    }
}
