//! `dialgate consent`: acts of permission. Given and withdrawn alike are recorded as they happened; whether consent holds
//! is for the rules to say.

mod import;
mod show;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use uuid::Uuid;

use crate::cli::arguments::{Change, Paging, instant, period, words};
use crate::cli::client::Remote;
use crate::cli::failure::Refused;
use crate::cli::optout::channels;
use crate::cli::output::{Output, plain};
use crate::cli::wire::{self, value, word};
use crate::domain::call::CallKind;
use crate::domain::consent::{ConsentForm, InitiatedBy};
use crate::domain::phone::Phone;
use crate::grpc::client::{Client, ask, json};
use crate::grpc::pb::{
    CheckNumbersRequest, ConsentEvent, ListConsentsRequest, RecordConsentRequest, Suppression,
    WithdrawConsentRequest, suppression,
};

/// Rows asked for at once.
const PAGE: i32 = 1000;

/// The subcommands of `consent`.
#[derive(Debug, Subcommand)]
pub enum ConsentCommand {
    /// Record that consent was given
    Record(RecordArgs),
    /// Record that consent was withdrawn; never refused for want of an earlier one
    Withdraw(WithdrawArgs),
    /// List acts of consent, newest first
    List(ListArgs),
    /// Tell what stands of the consents for one number, towards each seller, and by which acts
    Show(show::ShowArgs),
    /// Record a whole list of consents and withdrawals; the same command goes on after a break
    Import(Box<import::ImportArgs>),
}

/// Whose consent, and towards whom.
#[derive(Debug, Args)]
pub struct Whose {
    /// Number it is for, E.164
    #[arg(value_parser = Phone::parse)]
    pub number: Phone,
    /// Seller it is given to, as campaigns name it
    #[arg(long)]
    pub seller: String,
    /// Whose consent, where several people share the number
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    /// When the person acted; leave it out if that is now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// Kind of call it covers, may be repeated; every kind if left out
    #[arg(long = "channel", value_name = "KIND", value_parser = words!(CallKind))]
    pub channels: Vec<CallKind>,
    /// Where it came from, such as web, agent, sms_stop
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true
    )]
    pub source: String,
    /// Certificate, recording or form submission that proves it
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub evidence: String,
}

/// What is known of a consent given. A flag that is left out says nothing: not known, rather than no.
#[derive(Debug, Clone, Args)]
pub struct Given {
    /// It was given expressly, by a separate act
    #[arg(long)]
    pub explicit: bool,
    /// A record of the act exists
    #[arg(long)]
    pub documented: bool,
    /// It names calls outside the legal hours
    #[arg(long)]
    pub out_of_hours: bool,
    /// indefinite, unspecified, or the last day it holds, as in 2027-12-31
    #[arg(long, value_name = "PERIOD", value_parser = period)]
    pub period: Option<String>,
    /// Who started the exchange
    #[arg(long, value_name = "WHO", value_parser = words!(InitiatedBy))]
    pub initiated_by: Option<InitiatedBy>,
}

impl Given {
    /// Expressly given, for the wire; so the others.
    #[must_use]
    pub fn explicit(&self) -> Option<bool> {
        self.explicit.then_some(true)
    }

    /// A record of the act exists.
    #[must_use]
    pub fn documented(&self) -> Option<bool> {
        self.documented.then_some(true)
    }

    /// Names calls outside the legal hours.
    #[must_use]
    pub fn out_of_hours(&self) -> Option<bool> {
        self.out_of_hours.then_some(true)
    }

    /// How long it holds.
    #[must_use]
    pub fn period(&self) -> String {
        self.period.clone().unwrap_or_default()
    }

    /// Who started the exchange.
    #[must_use]
    pub fn initiated_by(&self) -> i32 {
        self.initiated_by
            .map(|who| value!(InitiatedBy, who))
            .unwrap_or_default()
    }
}

/// Arguments of `consent record`.
#[derive(Debug, Args)]
#[command(after_help = "Example: a form on the web, with its certificate\n  \
                        dialgate consent record +4930232125001 --seller acme --form web_form --explicit --documented \\\n    \
                        --at 2026-11-02T09:15:00Z --evidence certificate-4711")]
pub struct RecordArgs {
    #[command(flatten)]
    pub whose: Whose,
    /// How it was expressed
    #[arg(long, value_parser = words!(ConsentForm))]
    pub form: ConsentForm,
    #[command(flatten)]
    pub given: Given,
    /// SHA-256 of the wording shown, or its version
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub wording: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `consent withdraw`.
#[derive(Debug, Args)]
#[command(after_help = "Example: a STOP by text message\n  \
                        dialgate consent withdraw +14045550141 --seller acme --source sms_stop")]
pub struct WithdrawArgs {
    #[command(flatten)]
    pub whose: Whose,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `consent list`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                        dialgate consent list +14045550141\n  \
                        dialgate consent list --filter 'action = \"withdrawn\"' --all --json")]
pub struct ListArgs {
    /// Only those for this number
    #[arg(value_parser = Phone::parse)]
    pub number: Option<Phone>,
    /// Only those of this person
    #[arg(long, value_name = "UUID")]
    pub party: Option<Uuid>,
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

impl ConsentCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Record(args) => &args.remote,
            Self::Withdraw(args) => &args.remote,
            Self::List(args) => &args.remote,
            Self::Show(args) => &args.remote,
            Self::Import(args) => &args.importing.remote,
        }
    }
}

/// Runs one of them.
pub async fn run(command: ConsentCommand) -> Result<ExitCode> {
    match command {
        ConsentCommand::Record(args) => record(args).await,
        ConsentCommand::Withdraw(args) => withdraw(args).await,
        ConsentCommand::List(args) => list(args).await,
        ConsentCommand::Show(args) => show::run(args).await,
        ConsentCommand::Import(args) => return import::run(*args).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn record(args: RecordArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let whose = args.whose;
    let (number, seller) = (whose.number.reveal(), whose.seller.clone());
    let request = RecordConsentRequest {
        request_id: request_id.clone(),
        number: number.clone(),
        party_id: whose.party.map(|id| id.to_string()).unwrap_or_default(),
        seller: whose.seller,
        event_time: whose.at.map(wire::to_wire),
        channels: kinds(&whose.channels),
        form: value!(ConsentForm, args.form),
        explicit: args.given.explicit(),
        documented: args.given.documented(),
        out_of_hours: args.given.out_of_hours(),
        period: args.given.period(),
        initiated_by: args.given.initiated_by(),
        source: whose.source,
        evidence_ref: whose.evidence,
        wording_ref: args.wording,
    };
    let answer = client
        .consents()
        .record_consent(ask(request))
        .await
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    one(args.remote.output(), answer.consent_event)?;
    warned(&client, number, seller).await
}

/// Says which opt-outs are in force, for whoever takes the consent for leave to call.
async fn warned(client: &Client, number: String, seller: String) -> Result<()> {
    let in_force = opt_outs(client, number, seller).await?;
    if !in_force.is_empty() {
        // Nothing is left to be done when even standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", in_force_line(&in_force));
    }
    Ok(())
}

/// What is in force for the number towards this seller; towards anybody if none is named.
async fn opt_outs(client: &Client, number: String, seller: String) -> Result<Vec<Suppression>> {
    let request = CheckNumbersRequest {
        numbers: vec![number],
        seller,
    };
    let answer = client.suppressions().check_numbers(ask(request)).await;
    let checks = answer.map_err(Refused::question)?.into_inner().checks;
    let in_force = checks.into_iter().flat_map(|check| check.suppressions);
    Ok(in_force.collect())
}

fn in_force_line(in_force: &[Suppression]) -> String {
    let each = |opt_out: &Suppression| {
        format!(
            "{} of {} ({})",
            word!(SuppressionReason, opt_out.reason),
            wire::seconds(opt_out.received_time.as_ref()),
            plain(&opt_out.suppression_id)
        )
    };
    let all: Vec<String> = in_force.iter().map(each).collect();
    let what = match in_force.iter().any(is_until_lifted) {
        true => "No consent opens the line, only a lift by two people: `dialgate optout lift`.",
        false => {
            "Whether a consent opens the line is for the rules to say: `dialgate check` tells."
        }
    };
    format!("An opt-out is in force: {}. {what}", all.join(", "))
}

/// Whether no consent ends it, whatever the rules say; of an account's, not for its members.
fn is_until_lifted(opt_out: &Suppression) -> bool {
    use crate::grpc::pb::SuppressionReason::{
        Court, Deceased, Internal, Litigator, Minor, Registry,
    };
    let of_account = matches!(opt_out.subject, Some(suppression::Subject::AccountKey(_)));
    match opt_out.reason() {
        Court | Minor | Deceased | Internal | Litigator => true,
        Registry => false,
        _ => of_account,
    }
}

async fn withdraw(args: WithdrawArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let whose = args.whose;
    let request = WithdrawConsentRequest {
        request_id: request_id.clone(),
        number: whose.number.reveal(),
        party_id: whose.party.map(|id| id.to_string()).unwrap_or_default(),
        seller: whose.seller,
        event_time: whose.at.map(wire::to_wire),
        channels: kinds(&whose.channels),
        source: whose.source,
        evidence_ref: whose.evidence,
    };
    let answer = client
        .consents()
        .withdraw_consent(ask(request))
        .await
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    one(args.remote.output(), answer.consent_event)
}

async fn list(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListConsentsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
        number: args.number.map(Phone::reveal).unwrap_or_default(),
        party_id: args.party.map(|id| id.to_string()).unwrap_or_default(),
    };
    let mut count = 0;
    loop {
        let page = client
            .consents()
            .list_consents(ask(request.clone()))
            .await
            .map_err(Refused::question)?
            .into_inner();
        count += page.consent_events.len();
        rows(output, &page.consent_events)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "record", !request.page_token.is_empty())
}

/// All acts about this number, newest recorded first.
pub async fn acts(client: &Client, number: &str) -> Result<Vec<ConsentEvent>> {
    let mut request = ListConsentsRequest {
        page_size: PAGE,
        number: number.to_owned(),
        ..ListConsentsRequest::default()
    };
    let mut found = Vec::new();
    loop {
        let answer = client.consents().list_consents(ask(request.clone())).await;
        let page = answer.map_err(Refused::question)?.into_inner();
        found.extend(page.consent_events);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return Ok(found);
        }
    }
}

fn kinds(channels: &[CallKind]) -> Vec<i32> {
    channels.iter().map(|kind| value!(CallKind, kind)).collect()
}

fn one(output: Output, event: Option<ConsentEvent>) -> Result<()> {
    let event = event.context("the server answered without the act of consent")?;
    output.answer(
        || json::object("ConsentEvent", &event),
        || {
            format!(
                "consent {} recorded as {}: seller {}, number {}, acted {}",
                word!(ConsentAction, event.action),
                plain(&event.consent_event_id),
                plain(&event.seller),
                plain(&event.number_masked),
                wire::seconds(event.event_time.as_ref()),
            )
        },
    )
}

fn rows(output: Output, events: &[ConsentEvent]) -> Result<()> {
    output.rows(
        events,
        |event| json::object("ConsentEvent", event),
        &[
            "acted", "action", "number", "seller", "channels", "form", "period", "source",
            "evidence", "id",
        ],
        |event| {
            let channels = channels(&event.channels);
            vec![
                wire::seconds(event.event_time.as_ref()),
                word!(ConsentAction, event.action),
                event.number_masked.clone(),
                event.seller.clone(),
                if channels.is_empty() {
                    "all".to_owned()
                } else {
                    channels
                },
                word!(ConsentForm, event.form),
                event.period.clone(),
                event.source.clone(),
                event.evidence_ref.clone(),
                event.consent_event_id.clone(),
            ]
        },
    )
}
