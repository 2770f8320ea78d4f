//! `dialgate optout show`: the whole history of one number, for whoever answers a complaint: what was recorded about it and about
//! whoever holds it, by whom and why, what was lifted and by which two people, consents, and the calls that were refused because
//! of it.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::{either, scope, state, subject};
use crate::cli::client::Remote;
use crate::cli::consent;
use crate::cli::failure::Refused;
use crate::cli::output::{Output, Paint, plain};
use crate::cli::wire::{self, word};
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, Code, Status, ask, json as wire_json};
use crate::grpc::pb::{
    CheckNumbersRequest, ConsentEvent, Contact, Decision, GetContactRequest, ListDecisionsRequest,
    ListRulesRequest, ListSuppressionsRequest, Suppression, get_contact_request,
};
use crate::policy::BLOCK_RULE;

/// Rows asked for at once.
const PAGE: i32 = 1000;

/// Refused calls that are shown to a person; a program is told all.
const REFUSALS_SHOWN: usize = 20;

/// What is told of the calls that were refused.
const REFUSED: &str = "refused_calls";

/// The kind of rule that opt-outs deny by.
const OPT_OUT_RULES: &str = "opt_out";

/// Arguments of `optout show`.
#[derive(Debug, Args)]
#[command(
    after_help = "An administrator sees all of it. To other roles what is not theirs to see is left out, and named: who holds the \
                        number and which accounts they belong to, and the calls that were refused.\n\n\
                        Example:\n  dialgate optout show +14045550141"
)]
pub struct ShowArgs {
    /// The number, E.164
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    #[command(flatten)]
    pub remote: Remote,
}

/// All that is on record of a number.
struct History {
    number: String,
    number_key: String,
    people: BTreeSet<String>,
    in_force: Vec<Suppression>,
    /// Newest first; those in force too.
    suppressions: Vec<Suppression>,
    consents: Vec<ConsentEvent>,
    refused: Vec<Decision>,
    /// What this role may not see.
    withheld: Vec<&'static str>,
}

/// Runs it.
pub async fn run(args: ShowArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let history = gathered(&client, args.number.reveal()).await?;
    told(args.remote.output(), &history)
}

async fn gathered(client: &Client, number: String) -> Result<History> {
    let request = CheckNumbersRequest {
        numbers: vec![number.clone()],
        seller: String::new(),
    };
    let answer = client
        .suppressions()
        .check_numbers(ask(request))
        .await
        .map_err(Refused::question)?;
    let check = answer
        .into_inner()
        .checks
        .into_iter()
        .next()
        .unwrap_or_default();
    let consents = consent::acts(client, &number).await?;
    let mut people: BTreeSet<String> = consents.iter().map(|each| each.party_id.clone()).collect();
    let mut suppressions = suppressions(client, About::Number(&number)).await?;
    let mut numbers = BTreeSet::new();
    let mut withheld = Vec::new();
    let contact = if_allowed(holder(client, &number).await, "holder", &mut withheld)?;
    if let Some(contact) = contact.flatten() {
        people.insert(contact.party_id);
        numbers.extend(contact.numbers.into_iter().map(|each| each.number));
        if !contact.account.is_empty() {
            let theirs = About::Account(&contact.account);
            suppressions.extend(self::suppressions(client, theirs).await?);
        }
    }
    for party_id in &people {
        suppressions.extend(self::suppressions(client, About::Person(party_id)).await?);
    }
    for other in numbers.iter().filter(|other| **other != number) {
        suppressions.extend(self::suppressions(client, About::Number(other)).await?);
    }
    // What binds from elsewhere, through somebody who shares the number or an account that was left.
    suppressions.extend(check.suppressions.iter().cloned());
    let mut seen = BTreeSet::new();
    suppressions.retain(|each| seen.insert(each.suppression_id.clone()));
    let recorded = |each: &Suppression| each.record_time.map(|at| (at.seconds, at.nanos));
    suppressions
        .sort_by_key(|each| std::cmp::Reverse((recorded(each), each.suppression_id.clone())));
    let refused = if_allowed(refused(client, &number).await, REFUSED, &mut withheld)?;
    Ok(History {
        refused: refused.unwrap_or_default(),
        withheld,
        number,
        number_key: check.number_key,
        people,
        in_force: check.suppressions,
        suppressions,
        consents,
    })
}

/// What was found; nothing, and named, if it is not for this role to see.
fn if_allowed<T>(
    found: Result<T, Status>,
    what: &'static str,
    withheld: &mut Vec<&'static str>,
) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(status) if status.code() == Code::PermissionDenied => {
            withheld.push(what);
            Ok(None)
        }
        Err(status) => Err(Refused::question(status).into()),
    }
}

/// Who holds the number; nobody if it is shared or unknown.
async fn holder(client: &Client, number: &str) -> Result<Option<Contact>, Status> {
    let request = GetContactRequest {
        key: Some(get_contact_request::Key::Number(number.to_owned())),
    };
    match client.contacts().get_contact(ask(request)).await {
        Ok(answer) => Ok(answer.into_inner().contact),
        Err(status) if matches!(status.code(), Code::NotFound | Code::FailedPrecondition) => {
            Ok(None)
        }
        Err(status) => Err(status),
    }
}

/// What opt-outs are asked for by.
enum About<'a> {
    Number(&'a str),
    Person(&'a str),
    Account(&'a str),
}

async fn suppressions(client: &Client, about: About<'_>) -> Result<Vec<Suppression>> {
    let mut request = ListSuppressionsRequest {
        page_size: PAGE,
        ..ListSuppressionsRequest::default()
    };
    match about {
        About::Number(number) => request.number = number.to_owned(),
        About::Person(party_id) => request.party_id = party_id.to_owned(),
        About::Account(account) => request.account = account.to_owned(),
    }
    let mut found = Vec::new();
    loop {
        let answer = client
            .suppressions()
            .list_suppressions(ask(request.clone()))
            .await;
        let page = answer.map_err(Refused::question)?.into_inner();
        found.extend(page.suppressions);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(found);
        }
    }
}

/// Decisions about the number that a rule about opt-outs denied.
async fn refused(client: &Client, number: &str) -> Result<Vec<Decision>, Status> {
    let rules = opt_out_rules(client).await?;
    let mut request = ListDecisionsRequest {
        page_size: PAGE,
        filter: "verdict = \"deny\"".to_owned(),
        number: number.to_owned(),
        ..ListDecisionsRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let answer = client.audit().list_decisions(ask(request.clone())).await;
        let page = answer?.into_inner();
        let is_opt_out = |rule: &String| rules.contains(rule) || rule.starts_with(BLOCK_RULE);
        let because = |decision: &Decision| decision.denied_by.iter().any(is_opt_out);
        found.extend(page.decisions.into_iter().filter(because));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(found);
        }
    }
}

async fn opt_out_rules(client: &Client) -> Result<BTreeSet<String>, Status> {
    let mut request = ListRulesRequest {
        page_size: PAGE,
        kind: OPT_OUT_RULES.to_owned(),
        ..ListRulesRequest::default()
    };
    let mut rules = BTreeSet::new();
    loop {
        let answer = client.policy().list_rules(ask(request.clone())).await;
        let page = answer?.into_inner();
        rules.extend(page.rules.into_iter().map(|each| each.rule));
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(rules);
        }
    }
}

fn told(output: Output, history: &History) -> Result<()> {
    output.answer(|| object(history), || text(history, output.paint()))
}

fn object(history: &History) -> Result<Value, wire_json::JsonProblem> {
    macro_rules! all {
        ($name:literal, $messages:expr) => {
            $messages
                .iter()
                .map(|message| wire_json::object($name, message))
                .collect::<Result<Vec<Value>, _>>()?
        };
    }
    Ok(json!({
        "number": history.number,
        "number_key": history.number_key,
        "party_ids": history.people,
        "in_force": history.in_force.iter().map(|each| &each.suppression_id).collect::<Vec<_>>(),
        "suppressions": all!("Suppression", history.suppressions),
        "consents": all!("ConsentEvent", history.consents),
        "refused_calls": all!("Decision", history.refused),
        "withheld": history.withheld,
    }))
}

fn text(history: &History, paint: Paint) -> String {
    let mut lines = Vec::new();
    let number = plain(&history.number);
    lines.push(match history.in_force.len() {
        0 => format!("{number}: {}", paint.good("no opt-out is in force")),
        1 => format!("{number}: {}", paint.bad("an opt-out is in force")),
        count => format!(
            "{number}: {}",
            paint.bad(&format!("{count} opt-outs are in force"))
        ),
    });
    lines.push(paint.faint(&format!("number key {}", plain(&history.number_key))));
    for person in &history.people {
        lines.push(paint.faint(&format!("person {}", plain(person))));
    }
    lines.push(String::new());
    lines.push(paint.strong(&counted(
        history.suppressions.len(),
        "opt-out on record",
        "opt-outs on record",
    )));
    for suppression in &history.suppressions {
        lines.extend(suppression_lines(suppression, &history.number_key));
    }
    lines.push(String::new());
    lines.push(paint.strong(&counted(
        history.consents.len(),
        "act of consent",
        "acts of consent",
    )));
    lines.extend(history.consents.iter().map(consent_line));
    if !history.withheld.is_empty() {
        let withheld = history.withheld.join(" and ").replace('_', " ");
        let withheld = format!("not for this role to see: {withheld}");
        lines.extend([String::new(), paint.faint(&withheld)]);
    }
    if history.withheld.contains(&REFUSED) {
        return lines.join("\n");
    }
    lines.push(String::new());
    let refused = history.refused.len();
    lines.push(paint.strong(&counted(
        refused,
        "call or check refused because of an opt-out",
        "calls and checks refused because of an opt-out",
    )));
    lines.extend(
        history
            .refused
            .iter()
            .take(REFUSALS_SHOWN)
            .map(refusal_line),
    );
    if refused > REFUSALS_SHOWN {
        lines.push(format!(
            "  and {} older ones; --json shows them all",
            refused - REFUSALS_SHOWN
        ));
    }
    lines.join("\n")
}

fn counted(count: usize, one: &str, many: &str) -> String {
    match count {
        0 => format!("no {one}"),
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    }
}

fn suppression_lines(each: &Suppression, number_key: &str) -> Vec<String> {
    let about = match &each.subject {
        Some(crate::grpc::pb::suppression::Subject::NumberKey(key)) if key == number_key => {
            "this number".to_owned()
        }
        _ => subject(each),
    };
    let mut lines = vec![format!(
        "  {}  {}, about {about}, {}: {}",
        wire::seconds(each.received_time.as_ref()),
        word!(SuppressionReason, each.reason),
        scope(each),
        state(each),
    )];
    let mut told = |label: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("      {label} {}", plain(value)));
        }
    };
    told("id", &each.suppression_id);
    let source = word!(SuppressionSource, each.source);
    told(
        "recorded",
        &format!(
            "{} by {} ({source})",
            wire::seconds(each.record_time.as_ref()),
            each.actor
        ),
    );
    told("evidence", &each.evidence_ref);
    told("note", &each.note);
    if let Some(asked) = &each.lift_request {
        told(
            "lift asked",
            &format!(
                "{} by {}",
                wire::seconds(asked.request_time.as_ref()),
                asked.requested_by
            ),
        );
        told("lift reason", &asked.reason);
        let given = wire::seconds(asked.evidence_time.as_ref());
        told("permission", &format!("{} of {given}", asked.evidence_ref));
    }
    if let Some(lift) = &each.lift {
        told(
            "lifted",
            &format!(
                "{}, approved by {}",
                wire::seconds(lift.lift_time.as_ref()),
                lift.approved_by
            ),
        );
    }
    lines
}

fn consent_line(each: &ConsentEvent) -> String {
    let evidence = either(&each.evidence_ref, "no evidence", "evidence ");
    format!(
        "  {}  {} to {} ({}), {evidence}, recorded by {}",
        wire::seconds(each.event_time.as_ref()),
        word!(ConsentAction, each.action),
        plain(&each.seller),
        either(&word!(ConsentForm, each.form), "form not said", ""),
        plain(&each.actor),
    )
}

fn refusal_line(each: &Decision) -> String {
    format!(
        "  {}  {} for {}, denied by {} (decision {})",
        wire::seconds(each.decided_time.as_ref()),
        word!(DecisionStage, each.stage),
        plain(&each.campaign),
        plain(&each.denied_by.join(", ")),
        plain(&each.decision_id),
    )
}
