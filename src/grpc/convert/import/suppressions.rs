//! Lists of opt-outs.

use crate::domain::hex::hex;
use crate::domain::import::{Import, ImportReject};
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::domain::time::Micros;
use crate::gate::{
    ImportNews, ImportProgress, ListRows, NewImport, SuppressionColumns, SuppressionDefaults,
    SuppressionRows,
};
use crate::grpc::convert::{
    Fields, NAME_CHARS_MAX, NOTE_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, text, time, time_option,
    wire,
};
use crate::grpc::pb;
use crate::grpc::pb::import_suppressions_request::Content as Sent;
use crate::grpc::pb::import_suppressions_response::Content as Told;
use crate::place::Tables;

use super::{Announced, Content, Messages, announced, columns_fit, import_id, settings_sha256};

/// The messages of `ImportSuppressions`.
pub(in crate::grpc) struct Suppressions;

impl Messages for Suppressions {
    const METHOD: &'static str = "ImportSuppressions";
    type Sent = pb::ImportSuppressionsRequest;
    type Answer = pb::ImportSuppressionsResponse;
    type Header = pb::SuppressionImportHeader;

    fn content(sent: Self::Sent) -> (String, Option<Content<Self::Header>>) {
        let content = sent.content.map(|content| match content {
            Sent::Header(header) => Content::Header(header),
            Sent::Piece(bytes) => Content::Piece(bytes),
        });
        (sent.request_id, content)
    }

    fn is_trial(header: &Self::Header) -> bool {
        header.validate_only
    }

    fn header(
        fields: &mut Fields,
        header: Self::Header,
        tables: &Tables,
        now: Micros,
    ) -> Result<NewImport, Noted> {
        self::header(fields, header, tables, now)
    }

    fn news(news: ImportNews) -> Self::Answer {
        answer(match news {
            ImportNews::Started(started) => Told::Started(import(started)),
            ImportNews::Progress(told) => Told::Progress(progress(told)),
            ImportNews::Rejected(rejected) => Told::Reject(reject(rejected)),
        })
    }

    fn ended(ended: Import) -> Self::Answer {
        answer(Told::Ended(import(ended)))
    }
}

fn answer(told: Told) -> pb::ImportSuppressionsResponse {
    pb::ImportSuppressionsResponse {
        content: Some(told),
    }
}

fn header(
    fields: &mut Fields,
    header: pb::SuppressionImportHeader,
    tables: &Tables,
    now: Micros,
) -> Result<NewImport, Noted> {
    let settings = pb::SuppressionImportHeader {
        content_sha256: Vec::new(),
        size_bytes: 0,
        validate_only: false,
        ..header.clone()
    };
    let list = Announced {
        content_sha256: header.content_sha256,
        size_bytes: header.size_bytes,
        packing: header.packing,
        encoding: header.encoding,
        form: header.form,
        has_header: header.has_header,
        delimiter: header.delimiter,
        default_country: header.default_country,
    };
    let list = announced(fields, list, tables);
    let columns = fields.within("columns", |fields| {
        columns(fields, header.form, header.columns)
    });
    let seller = fields.text("seller", header.seller, NAME_CHARS_MAX);
    let channels = fields.words("channels", &header.channels);
    let purposes = fields.words("purposes", &header.purposes);
    let reason = fields.word::<SuppressionReason>("reason", header.reason);
    let source = fields.word::<SuppressionSource>("source", header.source);
    let received_at = fields.past("received_time", header.received_time, now);
    let evidence_ref = fields.text("evidence_ref", header.evidence_ref, REFERENCE_CHARS_MAX);
    let note = fields.text("note", header.note, NOTE_CHARS_MAX);
    let list = list?;
    Ok(NewImport {
        content_sha256: list.content_sha256,
        size_bytes: list.size_bytes,
        // Without a word for the kind, as it was when there was no other: an import that broke off then still goes on.
        settings_sha256: settings_sha256(b"", &settings),
        settings: list.settings,
        rows: ListRows::Suppressions(Box::new(SuppressionRows {
            columns: columns?,
            defaults: SuppressionDefaults {
                seller: seller?,
                channels: channels?,
                purposes: purposes?,
                reason: reason?.unwrap_or(SuppressionReason::PartyRequest),
                source: source?.unwrap_or(SuppressionSource::Import),
                received_at: received_at?,
                evidence_ref: evidence_ref?,
                note: note?,
            },
        })),
    })
}

fn columns(
    fields: &mut Fields,
    form: i32,
    columns: Option<pb::ListColumns>,
) -> Result<SuppressionColumns, Noted> {
    let columns = columns.unwrap_or_default();
    let mut column = |name: &str, value: String| fields.text(name, value, NAME_CHARS_MAX);
    let number = column("number", columns.number);
    let party_id = column("party_id", columns.party_id);
    let account = column("account", columns.account);
    let seller = column("seller", columns.seller);
    let channels = column("channels", columns.channels);
    let purposes = column("purposes", columns.purposes);
    let reason = column("reason", columns.reason);
    let received_time = column("received_time", columns.received_time);
    let evidence_ref = column("evidence_ref", columns.evidence_ref);
    let note = column("note", columns.note);
    let columns = SuppressionColumns {
        number: number?,
        party_id: party_id?,
        account: account?,
        seller: seller?,
        channels: channels?,
        purposes: purposes?,
        reason: reason?,
        received_time: received_time?,
        evidence_ref: evidence_ref?,
        note: note?,
    };
    let has_number =
        columns.number.is_some() || columns.party_id.is_some() || columns.account.is_some();
    let has_any = columns != SuppressionColumns::default();
    columns_fit(fields, form, has_number, has_any).map(|()| columns)
}

/// An import.
pub(in crate::grpc) fn import(import: Import) -> pb::SuppressionImport {
    pb::SuppressionImport {
        import_id: import_id(&import),
        state: wire(import.state),
        content_sha256: hex(&import.content_sha256),
        size_bytes: import.size_bytes,
        rows_read: import.counts.read,
        rows_created: import.counts.created,
        rows_already_in_force: import.counts.repeated,
        rows_rejected: import.counts.rejected,
        rows_acknowledged: import.acknowledged_rows,
        problem: text(import.problem),
        actor: import.actor,
        begin_time: Some(time(import.began_at)),
        end_time: time_option(import.ended_at),
    }
}

/// A row that was not recorded.
pub(in crate::grpc) fn reject(reject: ImportReject) -> pb::SuppressionImportReject {
    pb::SuppressionImportReject {
        line: reject.line,
        reason: wire(reject.reason),
        problem: reject.problem,
    }
}

fn progress(told: ImportProgress) -> pb::SuppressionImportProgress {
    pb::SuppressionImportProgress {
        rows_read: told.counts.read,
        rows_created: told.counts.created,
        rows_already_in_force: told.counts.repeated,
        rows_rejected: told.counts.rejected,
        rows_acknowledged: told.acknowledged_rows,
        lines_acknowledged: told.acknowledged_lines,
        bytes_read: i64::try_from(told.bytes).unwrap_or(i64::MAX),
    }
}
