//! `dialgate optout import`: a whole list of opt-outs ([`crate::cli::lists`]).

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use crate::cli::arguments::{instant, words};
use crate::cli::lists::{
    self, Columns, Import, Importing, Kind, ListFile, Progress, REJECTS_A_PAGE, Reject, Rows, Told,
    Written, form, part, subject,
};
use crate::cli::wire::{self, value};
use crate::domain::call::{CallKind, Purpose};
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::grpc::client::json::{self, JsonProblem};
use crate::grpc::client::{Client, Status, Streaming, ask};
use crate::grpc::pb::import_suppressions_request::Content as Sent;
use crate::grpc::pb::import_suppressions_response::Content as Answered;
use crate::grpc::pb::{
    ImportSuppressionsRequest, ImportSuppressionsResponse, ListColumns,
    ListSuppressionImportRejectsRequest, SuppressionImport, SuppressionImportHeader,
    SuppressionImportReject, SuppressionImportState,
};

/// Arguments of `optout import`.
#[derive(Debug, Args)]
#[command(
    after_help = "The list is a number a line, or CSV as soon as a column is named. Numbers may be written in any common \
                        way; --country says whose numbers are written without a country. It may be packed with gzip or zstd. \
                        Each row is recorded on its own; rows that cannot be are written to the reject file, with line and \
                        reason.\n\n\
                        With --header, columns of these names are taken without being named here:\n  \
                        number, party_id, account, seller, channels, purposes, reason, received_time, evidence_ref, note\n\n\
                        Nothing is ever lifted by an import. One that was broken off (Ctrl-C, a lost connection) goes on where it \
                        was. A list that is done and is sent again is looked at anew: what stands is in force already; a row without \
                        a time that was lifted since is recorded again; one whose time is no later than that of the lifted opt-out \
                        is rejected, for two people lifted that very wish.\n\n\
                        Exit codes: 0 the list is done, even if some rows were rejected (with --strict 1 then), 1 all of them were, \
                        or it failed or was broken off, 2 usage.\n\n\
                        Examples:\n  \
                        dialgate optout import numbers.txt --country US --dry-run\n  \
                        dialgate optout import crm.csv.gz --header --number-column Phone --time-column \"Opted out\" --country GB\n  \
                        zcat old.gz | dialgate optout import - --yes --reason objection --at 2026-11-01T00:00:00Z"
)]
pub struct ImportArgs {
    #[command(flatten)]
    pub importing: Importing,
    #[command(flatten)]
    pub reading: Reading,
    #[command(flatten)]
    pub meaning: Meaning,
}

/// How the list is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "How the list is written")]
pub struct Reading {
    #[command(flatten)]
    pub written: Written,
    /// Column of the number: its name in the header line, or its place from 1
    #[arg(long, value_name = "COLUMN")]
    pub number_column: Option<String>,
    /// Column of the person's id, in place of a number
    #[arg(long, value_name = "COLUMN")]
    pub party_column: Option<String>,
    /// Column of the account, in place of a number
    #[arg(long, value_name = "COLUMN")]
    pub account_column: Option<String>,
    /// Column of the seller
    #[arg(long, value_name = "COLUMN")]
    pub seller_column: Option<String>,
    /// Column of the kinds of call, such as `live_manual autodialed`
    #[arg(long, value_name = "COLUMN")]
    pub channels_column: Option<String>,
    /// Column of the purposes, such as `sales service`
    #[arg(long, value_name = "COLUMN")]
    pub purposes_column: Option<String>,
    /// Column of the reason, such as `objection`
    #[arg(long, value_name = "COLUMN")]
    pub reason_column: Option<String>,
    /// Column of the time or day at which the person said so
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Option<String>,
    /// Column of what proves it
    #[arg(long, value_name = "COLUMN")]
    pub evidence_column: Option<String>,
    /// Column of free text
    #[arg(long, value_name = "COLUMN")]
    pub note_column: Option<String>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "What rows mean that do not say it themselves")]
pub struct Meaning {
    /// Seller they bind; every seller if left out
    #[arg(long, default_value = "", hide_default_value = true)]
    pub seller: String,
    /// Kind of call they cover, may be repeated; every kind if left out
    #[arg(long = "channel", value_name = "KIND", value_parser = words!(CallKind))]
    pub channels: Vec<CallKind>,
    /// Purpose of calls they cover, may be repeated; every purpose if left out
    #[arg(long = "purpose", value_name = "PURPOSE", value_parser = words!(Purpose))]
    pub purposes: Vec<Purpose>,
    /// Why
    #[arg(long, default_value = "party_request", value_parser = words!(SuppressionReason))]
    pub reason: SuppressionReason,
    /// How the wishes arrived
    #[arg(long, default_value = "import", value_parser = words!(SuppressionSource))]
    pub source: SuppressionSource,
    /// When the people said so; now if left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// What proves it
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub evidence: String,
    /// Free text
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub note: String,
}

/// Runs it.
pub async fn run(args: ImportArgs) -> Result<ExitCode> {
    let ImportArgs {
        importing,
        reading,
        meaning,
    } = args;
    let output = importing.remote.output();
    lists::import::<Suppressions>(importing, |list| {
        let columns = reading.columns(list)?;
        output.remark(&columns.read_in_words())?;
        if let Some(unread) = columns.unread_in_words() {
            output.remark(&unread)?;
        }
        Ok(header(&reading, &meaning, &columns, list))
    })
    .await
}

impl Reading {
    fn columns(&self, list: &ListFile) -> Result<Columns> {
        let parts = [
            subject("number", "--number-column", &self.number_column),
            subject("party_id", "--party-column", &self.party_column),
            subject("account", "--account-column", &self.account_column),
            part("seller", "--seller-column", &self.seller_column),
            part("channels", "--channels-column", &self.channels_column),
            part("purposes", "--purposes-column", &self.purposes_column),
            part("reason", "--reason-column", &self.reason_column),
            part("received_time", "--time-column", &self.time_column),
            part("evidence_ref", "--evidence-column", &self.evidence_column),
            part("note", "--note-column", &self.note_column),
        ];
        Columns::of(list, &self.written, &parts)
    }
}

fn header(
    reading: &Reading,
    meaning: &Meaning,
    columns: &Columns,
    list: &ListFile,
) -> SuppressionImportHeader {
    let written = &reading.written;
    let has_columns = written.has_columns(columns.are_named());
    let columns = ListColumns {
        number: columns.at("number"),
        party_id: columns.at("party_id"),
        account: columns.at("account"),
        seller: columns.at("seller"),
        channels: columns.at("channels"),
        purposes: columns.at("purposes"),
        reason: columns.at("reason"),
        received_time: columns.at("received_time"),
        evidence_ref: columns.at("evidence_ref"),
        note: columns.at("note"),
    };
    SuppressionImportHeader {
        content_sha256: list.sha256.to_vec(),
        size_bytes: i64::try_from(list.bytes).unwrap_or(i64::MAX),
        encoding: written.encoding(),
        form: form(has_columns),
        has_header: written.header,
        delimiter: written.delimiter(),
        columns: has_columns.then_some(columns),
        default_country: written.country.clone(),
        seller: meaning.seller.clone(),
        channels: meaning
            .channels
            .iter()
            .map(|kind| value!(CallKind, kind))
            .collect(),
        purposes: meaning
            .purposes
            .iter()
            .map(|purpose| value!(Purpose, purpose))
            .collect(),
        reason: value!(SuppressionReason, meaning.reason),
        source: value!(SuppressionSource, meaning.source),
        received_time: meaning.at.map(wire::to_wire),
        evidence_ref: meaning.evidence.clone(),
        note: meaning.note.clone(),
        ..SuppressionImportHeader::default()
    }
}

/// Lists of opt-outs.
struct Suppressions;

impl Kind for Suppressions {
    type Sent = ImportSuppressionsRequest;
    type Answer = ImportSuppressionsResponse;
    type Header = SuppressionImportHeader;

    const COMMAND: &'static str = "optout";
    const NEW: &'static str = "new opt-out";
    const THERE: &'static str = "in force already";
    const UNDER_WAY: &'static str = "in force";
    const DONE: &'static str = "the list is in force on every node";
    const KEPT: &'static str = "is in force and stays";

    fn first(header: Self::Header, is_trial: bool) -> Self::Sent {
        ImportSuppressionsRequest {
            request_id: Uuid::new_v4().to_string(),
            content: Some(Sent::Header(SuppressionImportHeader {
                validate_only: is_trial,
                ..header
            })),
        }
    }

    fn piece(bytes: Vec<u8>) -> Self::Sent {
        ImportSuppressionsRequest {
            request_id: String::new(),
            content: Some(Sent::Piece(bytes)),
        }
    }

    async fn send(
        client: &Client,
        messages: impl tokio_stream::Stream<Item = Self::Sent> + Send + 'static,
    ) -> Result<Streaming<Self::Answer>, Status> {
        let answers = client.suppressions().import_suppressions(messages).await?;
        Ok(answers.into_inner())
    }

    fn told(answer: Self::Answer) -> Result<Option<Told>, JsonProblem> {
        Ok(match answer.content {
            Some(Answered::Started(started)) => Some(Told::Started(import(&started)?)),
            Some(Answered::Progress(told)) => Some(Told::Progress(Progress {
                rows: Rows {
                    read: told.rows_read,
                    created: told.rows_created,
                    repeated: told.rows_already_in_force,
                    rejected: told.rows_rejected,
                },
                done: told.rows_acknowledged,
                bytes: told.bytes_read,
            })),
            Some(Answered::Reject(told)) => Some(Told::Reject(reject(told))),
            Some(Answered::Ended(ended)) => Some(Told::Ended(import(&ended)?)),
            None => None,
        })
    }

    async fn rejects(
        client: &Client,
        import_id: String,
        page_token: String,
    ) -> Result<(Vec<Reject>, String), Status> {
        let request = ListSuppressionImportRejectsRequest {
            import_id,
            page_size: REJECTS_A_PAGE,
            page_token,
        };
        let answer = client
            .suppressions()
            .list_suppression_import_rejects(ask(request))
            .await?;
        let page = answer.into_inner();
        let rejects = page.rejects.into_iter().map(reject);
        Ok((rejects.collect(), page.next_page_token))
    }
}

fn import(told: &SuppressionImport) -> Result<Import, JsonProblem> {
    Ok(Import {
        import_id: told.import_id.clone(),
        is_finished: told.state() == SuppressionImportState::Finished,
        has_ended: told.end_time.is_some(),
        rows: Rows {
            read: told.rows_read,
            created: told.rows_created,
            repeated: told.rows_already_in_force,
            rejected: told.rows_rejected,
        },
        problem: told.problem.clone(),
        object: json::object("SuppressionImport", told)?,
    })
}

fn reject(told: SuppressionImportReject) -> Reject {
    Reject {
        line: told.line,
        reason: told.reason,
        problem: told.problem,
    }
}
