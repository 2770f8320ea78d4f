//! `dialgate policy stop` and `closed-day`: where and when nobody is called, beyond the law.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use super::super::arguments::{Change, Paging, date, instant};
use super::super::client::Remote;
use super::super::failure::Refused;
use super::super::output::{Output, plain};
use super::super::wire;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    AddClosedDayRequest, LiftRegionStopRequest, ListClosedDaysRequest, ListRegionStopsRequest,
    RegionStop, RemoveClosedDayRequest, SetRegionStopRequest,
};

/// What to do with stops of regions
#[derive(Debug, Subcommand)]
pub enum StopCommand {
    /// Stop a region; once it answers, no call into it is begun
    Set(SetArgs),
    /// End a stop before its time
    Lift(LiftArgs),
    /// List stops, newest first, those that are over too
    List(ListArgs),
}

/// What to do with closed days
#[derive(Debug, Subcommand)]
pub enum ClosedDayCommand {
    /// Close a day
    Add(DayArgs),
    /// Open a day again that was closed by command
    Remove(DayArgs),
    /// List closed days, in order of date
    List(DaysArgs),
}

/// Arguments of `policy stop set`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy stop set US-LA --until 2026-12-01T06:00:00Z --reason \"hurricane, proclamation 71\"\n  \
                  dialgate policy stop set ZZ --until 2026-11-22T06:00:00Z --reason \"wrong script went out\""
)]
pub struct SetArgs {
    /// ISO country or region, a group of the pack such as EEA, or ZZ for every place
    #[arg(value_name = "PLACE")]
    pub region: String,
    /// When it ends by itself, at most 366 days ahead
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub until: Timestamp,
    /// When it begins; now if left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Why
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy stop lift`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate policy stop lift 0190d5a5-0000-7000-8000-000000000001 --reason \"proclamation ended\""
)]
pub struct LiftArgs {
    /// The stop, as `policy stop list` shows it
    #[arg(value_name = "ID")]
    pub id: Uuid,
    /// Why
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy stop list`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  dialgate policy stop list --filter 'expire_time > \"2026-11-21T00:00:00Z\"'"
)]
pub struct ListArgs {
    #[command(flatten)]
    pub paging: Paging,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy closed-day add` and `remove`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  dialgate policy closed-day add US-LA 2027-02-08 --reason \"Lundi Gras, proclamation 3\"\n  \
                  dialgate policy closed-day remove US-LA 2027-02-08 --reason \"mistyped\""
)]
pub struct DayArgs {
    /// ISO country or region, a group of the pack, or ZZ for every place
    #[arg(value_name = "PLACE")]
    pub place: String,
    /// The local date
    #[arg(value_name = "DATE", value_parser = date)]
    pub date: Date,
    /// Why
    #[arg(long)]
    pub reason: String,
    #[command(flatten)]
    pub change: Change,
    #[command(flatten)]
    pub remote: Remote,
}

/// Arguments of `policy closed-day list`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  dialgate policy closed-day list --place US-LA")]
pub struct DaysArgs {
    /// Only those of this place
    #[arg(
        long,
        value_name = "PLACE",
        default_value = "",
        hide_default_value = true
    )]
    pub place: String,
    #[command(flatten)]
    pub remote: Remote,
}

impl StopCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Set(args) => &args.remote,
            Self::Lift(args) => &args.remote,
            Self::List(args) => &args.remote,
        }
    }
}

impl ClosedDayCommand {
    /// How this command reaches the server.
    #[must_use]
    pub fn remote(&self) -> &Remote {
        match self {
            Self::Add(args) | Self::Remove(args) => &args.remote,
            Self::List(args) => &args.remote,
        }
    }
}

/// Runs one of the commands about stops.
pub async fn stop(command: StopCommand) -> Result<()> {
    match command {
        StopCommand::Set(args) => set(args).await,
        StopCommand::Lift(args) => lift(args).await,
        StopCommand::List(args) => list(args).await,
    }
}

/// Runs one of the commands about closed days.
pub async fn closed_day(command: ClosedDayCommand) -> Result<()> {
    match command {
        ClosedDayCommand::Add(args) => add(args).await,
        ClosedDayCommand::Remove(args) => remove(args).await,
        ClosedDayCommand::List(args) => days(args).await,
    }
}

async fn set(args: SetArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = SetRegionStopRequest {
        request_id: request_id.clone(),
        region: args.region,
        reason: args.reason,
        start_time: args.from.map(wire::to_wire),
        expire_time: Some(wire::to_wire(args.until)),
    };
    let answer = client.policy().set_region_stop(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let stop = answer
        .region_stop
        .context("the server answered without the stop")?;
    args.remote.output().answer(
        || json::object("RegionStop", &stop),
        || {
            let from = match wire::seconds(stop.start_time.as_ref()) {
                now if now.is_empty() => "now".to_owned(),
                time => time,
            };
            format!(
                "stop {}: nobody in {} is called by any node from {from} until {}",
                plain(&stop.region_stop_id),
                plain(&stop.region),
                wire::seconds(stop.expire_time.as_ref()),
            )
        },
    )
}

async fn lift(args: LiftArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = LiftRegionStopRequest {
        request_id: request_id.clone(),
        region_stop_id: args.id.to_string(),
        reason: args.reason,
    };
    let answer = client.policy().lift_region_stop(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let stop = answer
        .region_stop
        .context("the server answered without the stop")?;
    args.remote.output().answer(
        || json::object("RegionStop", &stop),
        || {
            format!(
                "stop {} of {} is lifted",
                plain(&stop.region_stop_id),
                plain(&stop.region)
            )
        },
    )
}

async fn list(args: ListArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListRegionStopsRequest {
        page_size: args.paging.page_size,
        page_token: String::new(),
        filter: args.paging.filter,
    };
    let mut count = 0;
    loop {
        let page = client
            .policy()
            .list_region_stops(ask(request.clone()))
            .await;
        let page = page.map_err(Refused::question)?.into_inner();
        count += page.region_stops.len();
        stop_rows(output, &page.region_stops)?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() || !args.paging.all {
            break;
        }
    }
    output.end_of_list(count, "stop", !request.page_token.is_empty())
}

fn stop_rows(output: Output, stops: &[RegionStop]) -> Result<()> {
    output.rows(
        stops,
        |stop| json::object("RegionStop", stop),
        &["id", "place", "from", "until", "lifted", "who", "why"],
        |stop| {
            let start = stop.start_time.as_ref().or(stop.record_time.as_ref());
            let lifted = stop.lift.as_ref().and_then(|lift| lift.lift_time.as_ref());
            vec![
                stop.region_stop_id.clone(),
                stop.region.clone(),
                wire::seconds(start),
                wire::seconds(stop.expire_time.as_ref()),
                wire::seconds(lifted),
                stop.actor.clone(),
                stop.reason.clone(),
            ]
        },
    )
}

async fn add(args: DayArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = AddClosedDayRequest {
        request_id: request_id.clone(),
        jurisdiction: args.place,
        date: Some(wire::date_to_wire(args.date)),
        reason: args.reason,
    };
    let answer = client.policy().add_closed_day(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let day = answer
        .closed_day
        .context("the server answered without the day")?;
    args.remote.output().answer(
        || json::object("ClosedDay", &day),
        || {
            format!(
                "{} is closed in {} on every node",
                args.date,
                plain(&day.jurisdiction)
            )
        },
    )
}

async fn remove(args: DayArgs) -> Result<()> {
    let request_id = args.change.name();
    let client = args.remote.connect().await?;
    let request = RemoveClosedDayRequest {
        request_id: request_id.clone(),
        jurisdiction: args.place.clone(),
        date: Some(wire::date_to_wire(args.date)),
        reason: args.reason,
    };
    let answer = client.policy().remove_closed_day(ask(request)).await;
    let answer = answer
        .map_err(|status| Refused::change(status, format!("--request-id {request_id}")))?
        .into_inner();
    let activation = answer
        .activation
        .context("the server answered without the activation")?;
    args.remote.output().answer(
        || json::object("Activation", &activation),
        || {
            format!(
                "{} is open again in {}, as far as the law has it",
                args.date,
                plain(&args.place)
            )
        },
    )
}

async fn days(args: DaysArgs) -> Result<()> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut request = ListClosedDaysRequest {
        page_size: 1000,
        page_token: String::new(),
        jurisdiction: args.place,
    };
    let mut count = 0;
    loop {
        let page = client.policy().list_closed_days(ask(request.clone())).await;
        let page = page.map_err(Refused::question)?.into_inner();
        count += page.closed_days.len();
        output.rows(
            &page.closed_days,
            |day| json::object("ClosedDay", day),
            &["date", "place", "who", "why"],
            |day| {
                vec![
                    wire::date_text(day.date.as_ref()),
                    day.jurisdiction.clone(),
                    day.actor.clone(),
                    day.reason.clone(),
                ]
            },
        )?;
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
    }
    output.end_of_list(count, "closed day", false)
}
