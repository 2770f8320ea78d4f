//! `dialgate consent import`: a whole list of consents and withdrawals ([`crate::cli::lists`]).

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Given, kinds};
use crate::cli::arguments::{instant, words};
use crate::cli::lists::{
    self, Columns, Import, Importing, Kind, ListFile, Progress, REJECTS_A_PAGE, Reject, Rows, Told,
    Written, form, part, subject,
};
use crate::cli::wire::{self, value};
use crate::domain::call::CallKind;
use crate::domain::consent::{ConsentAction, ConsentForm};
use crate::grpc::client::json::{self, JsonProblem};
use crate::grpc::client::{Client, Status, Streaming, ask};
use crate::grpc::pb::import_consents_request::Content as Sent;
use crate::grpc::pb::import_consents_response::Content as Answered;
use crate::grpc::pb::{
    ConsentImport, ConsentImportHeader, ConsentImportReject, ConsentImportState,
    ConsentListColumns, ImportConsentsRequest, ImportConsentsResponse,
    ListConsentImportRejectsRequest,
};

/// Arguments of `consent import`.
#[derive(Debug, Args)]
#[command(
    after_help = "The list is CSV, or a number a line if no column is named. With --header, columns of these names are taken \
                        without being named here:\n  \
                        number, party_id, seller, channels, action, event_time, form, explicit, documented, out_of_hours, period, \
                        initiated_by, source, evidence_ref, wording_ref\n\n\
                        An example, of which every column but number may be left out if it is said for the whole list:\n  \
                        number,seller,action,event_time,form,explicit,period,evidence_ref\n  \
                        +14045550141,acme,given,2026-11-02T09:15:00Z,web_form,yes,2027-12-31,certificate-4711\n  \
                        +14045550142,acme,withdrawn,2026-11-05,,,,mail-0815\n\n\
                        What each may hold: action given or withdrawn. event_time best with its offset; of a day, or a time without an offset, consent counts from the first moment that it may \
                        have been anywhere on Earth, a withdrawal from the last. form as --form below. explicit, \
                        documented and out_of_hours yes, no, or nothing if that is not known. period indefinite, unspecified, or \
                        the last day. initiated_by person or seller. channels live_manual, autodialed, prerecorded, several with a \
                        blank between them, or all. Of a withdrawal only number, party_id, seller, channels, action, event_time, \
                        source and evidence_ref are read.\n\n\
                        Each row is recorded on its own, as `consent record` and `consent withdraw` record one. Rejected, and \
                        written to the reject file with line and reason, is a row that says no number, no seller, or of consent \
                        given no time (a list tells of what was, so now is never taken for it) or no form; that has a word or \
                        a time that is none; whose number several people share and that names none of them (party_id); whose \
                        number may not be dialed; or whose consent lies within ten minutes after an opt-out or a withdrawal on \
                        record, for nobody can tell which came first.\n\n\
                        Nothing on record is changed. An act that is on record already (same person, number, seller, action, \
                        time, form, channels and evidence) is not recorded twice. A list that was broken off (Ctrl-C, a lost \
                        connection) goes on where it was; one that is done and is sent again is looked at anew. Numbers may be written in any common way, but of consent \
                        given without letters and extensions, for somebody is to be called; the list may be packed with gzip or zstd. Whether a consent suffices for a call is for the rules: `dialgate check NUMBER`.\n\n\
                        Exit codes: 0 the list is done, even if some rows were rejected (with --strict 1 then), 1 all of them were, \
                        or it failed or was broken off, 2 usage.\n\n\
                        Examples:\n  \
                        dialgate consent import consents.csv --header --dry-run\n  \
                        dialgate consent import crm.csv.gz --header --number-column Phone --time-column \"Signed on\" \\\n    \
                        --seller acme --form written --documented --country GB"
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
    /// Column of whose consent it is, where several people share the number
    #[arg(long, value_name = "COLUMN")]
    pub party_column: Option<String>,
    /// Column of the seller
    #[arg(long, value_name = "COLUMN")]
    pub seller_column: Option<String>,
    /// Column of the kinds of call, such as `live_manual autodialed`
    #[arg(long, value_name = "COLUMN")]
    pub channels_column: Option<String>,
    /// Column of given or withdrawn
    #[arg(long, value_name = "COLUMN")]
    pub action_column: Option<String>,
    /// Column of the time or day at which the person acted
    #[arg(long, value_name = "COLUMN")]
    pub time_column: Option<String>,
    /// Column of how consent was expressed
    #[arg(long, value_name = "COLUMN")]
    pub form_column: Option<String>,
    /// Column of whether it was given expressly, by a separate act
    #[arg(long, value_name = "COLUMN")]
    pub explicit_column: Option<String>,
    /// Column of whether a record of the act exists
    #[arg(long, value_name = "COLUMN")]
    pub documented_column: Option<String>,
    /// Column of whether it names calls outside the legal hours
    #[arg(long, value_name = "COLUMN")]
    pub out_of_hours_column: Option<String>,
    /// Column of how long it holds
    #[arg(long, value_name = "COLUMN")]
    pub period_column: Option<String>,
    /// Column of who started the exchange
    #[arg(long, value_name = "COLUMN")]
    pub initiated_by_column: Option<String>,
    /// Column of where it came from
    #[arg(long, value_name = "COLUMN")]
    pub source_column: Option<String>,
    /// Column of what proves it
    #[arg(long, value_name = "COLUMN")]
    pub evidence_column: Option<String>,
    /// Column of the wording shown
    #[arg(long, value_name = "COLUMN")]
    pub wording_column: Option<String>,
}

/// What rows mean that do not say it themselves.
#[derive(Debug, Args)]
#[command(next_help_heading = "What rows mean that do not say it themselves")]
pub struct Meaning {
    /// Seller they are given to, as campaigns name it; rows that name none are rejected if left out
    #[arg(long, default_value = "", hide_default_value = true)]
    pub seller: String,
    /// Kind of call they cover, may be repeated; every kind if left out
    #[arg(long = "channel", value_name = "KIND", value_parser = words!(CallKind))]
    pub channels: Vec<CallKind>,
    /// What the people did
    #[arg(long, default_value = "given", value_parser = words!(ConsentAction))]
    pub action: ConsentAction,
    /// When they acted; if left out, rows that give consent and say no time are rejected, and rows that withdraw it do so now
    #[arg(long, value_name = "TIME", value_parser = instant)]
    pub at: Option<Timestamp>,
    /// How consent was expressed; rows of consent given that do not say it are rejected if left out
    #[arg(long, value_parser = words!(ConsentForm))]
    pub form: Option<ConsentForm>,
    #[command(flatten)]
    pub given: Given,
    /// Where they came from, such as web, agent, paper
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true
    )]
    pub source: String,
    /// What proves them
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub evidence: String,
    /// SHA-256 of the wording shown, or its version
    #[arg(
        long,
        value_name = "REF",
        default_value = "",
        hide_default_value = true
    )]
    pub wording: String,
}

/// Runs it.
pub async fn run(args: ImportArgs) -> Result<ExitCode> {
    let ImportArgs {
        importing,
        reading,
        meaning,
    } = args;
    let output = importing.remote.output();
    lists::import::<Consents>(importing, |list| {
        let columns = reading.columns(list)?;
        output.remark(&understood(&columns, &meaning))?;
        Ok(header(&meaning, &columns, &reading, list))
    })
    .await
}

impl Reading {
    fn columns(&self, list: &ListFile) -> Result<Columns> {
        let parts = [
            subject("number", "--number-column", &self.number_column),
            part("party_id", "--party-column", &self.party_column),
            part("seller", "--seller-column", &self.seller_column),
            part("channels", "--channels-column", &self.channels_column),
            part("action", "--action-column", &self.action_column),
            part("event_time", "--time-column", &self.time_column),
            part("form", "--form-column", &self.form_column),
            part("explicit", "--explicit-column", &self.explicit_column),
            part("documented", "--documented-column", &self.documented_column),
            part(
                "out_of_hours",
                "--out-of-hours-column",
                &self.out_of_hours_column,
            ),
            part("period", "--period-column", &self.period_column),
            part(
                "initiated_by",
                "--initiated-by-column",
                &self.initiated_by_column,
            ),
            part("source", "--source-column", &self.source_column),
            part("evidence_ref", "--evidence-column", &self.evidence_column),
            part("wording_ref", "--wording-column", &self.wording_column),
        ];
        Columns::of(list, &self.written, &parts)
    }
}

/// What is read of a row, and what it is taken for: a column that was not found must not turn withdrawals into consents unseen.
fn understood(columns: &Columns, meaning: &Meaning) -> String {
    let mut text = columns.read_in_words();
    if columns.at("action").is_empty() {
        text.push_str(&format!("; every row is taken as {}", meaning.action));
    }
    if let Some(unread) = columns.unread_in_words() {
        text.push('\n');
        text.push_str(&unread);
    }
    text
}

fn header(
    meaning: &Meaning,
    columns: &Columns,
    reading: &Reading,
    list: &ListFile,
) -> ConsentImportHeader {
    let written = &reading.written;
    let has_columns = written.has_columns(columns.are_named());
    let columns = ConsentListColumns {
        number: columns.at("number"),
        party_id: columns.at("party_id"),
        seller: columns.at("seller"),
        channels: columns.at("channels"),
        action: columns.at("action"),
        event_time: columns.at("event_time"),
        form: columns.at("form"),
        explicit: columns.at("explicit"),
        documented: columns.at("documented"),
        out_of_hours: columns.at("out_of_hours"),
        period: columns.at("period"),
        initiated_by: columns.at("initiated_by"),
        source: columns.at("source"),
        evidence_ref: columns.at("evidence_ref"),
        wording_ref: columns.at("wording_ref"),
    };
    ConsentImportHeader {
        content_sha256: list.sha256.to_vec(),
        size_bytes: i64::try_from(list.bytes).unwrap_or(i64::MAX),
        encoding: written.encoding(),
        form: form(has_columns),
        has_header: written.header,
        delimiter: written.delimiter(),
        columns: has_columns.then_some(columns),
        default_country: written.country.clone(),
        seller: meaning.seller.clone(),
        channels: kinds(&meaning.channels),
        action: value!(ConsentAction, meaning.action),
        event_time: meaning.at.map(wire::to_wire),
        consent_form: meaning
            .form
            .map(|form| value!(ConsentForm, form))
            .unwrap_or_default(),
        explicit: meaning.given.explicit(),
        documented: meaning.given.documented(),
        out_of_hours: meaning.given.out_of_hours(),
        period: meaning.given.period(),
        initiated_by: meaning.given.initiated_by(),
        source: meaning.source.clone(),
        evidence_ref: meaning.evidence.clone(),
        wording_ref: meaning.wording.clone(),
        ..ConsentImportHeader::default()
    }
}

/// Lists of consents.
struct Consents;

impl Kind for Consents {
    type Sent = ImportConsentsRequest;
    type Answer = ImportConsentsResponse;
    type Header = ConsentImportHeader;

    const COMMAND: &'static str = "consent";
    const NEW: &'static str = "new act";
    const THERE: &'static str = "on record already";
    const UNDER_WAY: &'static str = "done";
    const DONE: &'static str = "the list is on record";
    const KEPT: &'static str = "stays";

    fn first(header: Self::Header, is_trial: bool) -> Self::Sent {
        ImportConsentsRequest {
            request_id: Uuid::new_v4().to_string(),
            content: Some(Sent::Header(ConsentImportHeader {
                validate_only: is_trial,
                ..header
            })),
        }
    }

    fn piece(bytes: Vec<u8>) -> Self::Sent {
        ImportConsentsRequest {
            request_id: String::new(),
            content: Some(Sent::Piece(bytes)),
        }
    }

    async fn send(
        client: &Client,
        messages: impl tokio_stream::Stream<Item = Self::Sent> + Send + 'static,
    ) -> Result<Streaming<Self::Answer>, Status> {
        let answers = client.consents().import_consents(messages).await?;
        Ok(answers.into_inner())
    }

    fn told(answer: Self::Answer) -> Result<Option<Told>, JsonProblem> {
        Ok(match answer.content {
            Some(Answered::Started(started)) => Some(Told::Started(import(&started)?)),
            Some(Answered::Progress(told)) => Some(Told::Progress(Progress {
                rows: Rows {
                    read: told.rows_read,
                    created: told.rows_recorded,
                    repeated: told.rows_already_on_record,
                    rejected: told.rows_rejected,
                },
                done: told.rows_read,
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
        let request = ListConsentImportRejectsRequest {
            import_id,
            page_size: REJECTS_A_PAGE,
            page_token,
        };
        let answer = client
            .consents()
            .list_consent_import_rejects(ask(request))
            .await?;
        let page = answer.into_inner();
        let rejects = page.rejects.into_iter().map(reject);
        Ok((rejects.collect(), page.next_page_token))
    }
}

fn import(told: &ConsentImport) -> Result<Import, JsonProblem> {
    Ok(Import {
        import_id: told.import_id.clone(),
        is_finished: told.state() == ConsentImportState::Finished,
        has_ended: told.end_time.is_some(),
        rows: Rows {
            read: told.rows_read,
            created: told.rows_recorded,
            repeated: told.rows_already_on_record,
            rejected: told.rows_rejected,
        },
        problem: told.problem.clone(),
        object: json::object("ConsentImport", told)?,
    })
}

fn reject(told: ConsentImportReject) -> Reject {
    Reject {
        line: told.line,
        reason: told.reason,
        problem: told.problem,
    }
}
