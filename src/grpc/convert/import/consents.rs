//! Lists of consents.

use crate::domain::consent::{ConsentAction, ConsentForm, InitiatedBy, SOURCE_CHARS_MAX};
use crate::domain::hex::hex;
use crate::domain::import::{Import, ImportReject, ImportState};
use crate::domain::time::Micros;
use crate::gate::{
    ConsentColumns, ConsentDefaults, ConsentRows, ImportNews, ImportProgress, ListRows, NewImport,
};
use crate::grpc::convert::consent::period;
use crate::grpc::convert::{
    Fields, NAME_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, text, time, time_option, wire,
};
use crate::grpc::pb;
use crate::grpc::pb::import_consents_request::Content as Sent;
use crate::grpc::pb::import_consents_response::Content as Told;
use crate::place::Tables;

use super::{Announced, Content, Messages, announced, columns_fit, import_id, settings_sha256};

/// The messages of `ImportConsents`.
pub(in crate::grpc) struct Consents;

impl Messages for Consents {
    const METHOD: &'static str = "ImportConsents";
    type Sent = pb::ImportConsentsRequest;
    type Answer = pb::ImportConsentsResponse;
    type Header = pb::ConsentImportHeader;

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
        let settings = pb::ConsentImportHeader {
            content_sha256: Vec::new(),
            size_bytes: 0,
            validate_only: false,
            ..header.clone()
        };
        let list = Announced {
            content_sha256: header.content_sha256.clone(),
            size_bytes: header.size_bytes,
            packing: header.packing,
            encoding: header.encoding,
            form: header.form,
            has_header: header.has_header,
            delimiter: header.delimiter.clone(),
            default_country: header.default_country.clone(),
        };
        let list = announced(fields, list, tables);
        let columns = fields.within("columns", |fields| {
            columns(fields, header.form, header.columns.clone())
        });
        let defaults = defaults(fields, header, now);
        let list = list?;
        Ok(NewImport {
            content_sha256: list.content_sha256,
            size_bytes: list.size_bytes,
            settings_sha256: settings_sha256(b"consents", &settings),
            settings: list.settings,
            rows: ListRows::Consents(Box::new(ConsentRows {
                columns: columns?,
                defaults: defaults?,
            })),
        })
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

fn answer(told: Told) -> pb::ImportConsentsResponse {
    pb::ImportConsentsResponse {
        content: Some(told),
    }
}

fn columns(
    fields: &mut Fields,
    form: i32,
    columns: Option<pb::ConsentListColumns>,
) -> Result<ConsentColumns, Noted> {
    let columns = columns.unwrap_or_default();
    let mut column = |name: &str, value: String| fields.text(name, value, NAME_CHARS_MAX);
    let number = column("number", columns.number);
    let party_id = column("party_id", columns.party_id);
    let seller = column("seller", columns.seller);
    let channels = column("channels", columns.channels);
    let action = column("action", columns.action);
    let event_time = column("event_time", columns.event_time);
    let consent_form = column("form", columns.form);
    let explicit = column("explicit", columns.explicit);
    let documented = column("documented", columns.documented);
    let out_of_hours = column("out_of_hours", columns.out_of_hours);
    let period = column("period", columns.period);
    let initiated_by = column("initiated_by", columns.initiated_by);
    let source = column("source", columns.source);
    let evidence_ref = column("evidence_ref", columns.evidence_ref);
    let wording_ref = column("wording_ref", columns.wording_ref);
    let columns = ConsentColumns {
        number: number?,
        party_id: party_id?,
        seller: seller?,
        channels: channels?,
        action: action?,
        event_time: event_time?,
        form: consent_form?,
        explicit: explicit?,
        documented: documented?,
        out_of_hours: out_of_hours?,
        period: period?,
        initiated_by: initiated_by?,
        source: source?,
        evidence_ref: evidence_ref?,
        wording_ref: wording_ref?,
    };
    let (has_number, has_any) = (
        columns.number.is_some(),
        columns != ConsentColumns::default(),
    );
    columns_fit(fields, form, has_number, has_any).map(|()| columns)
}

fn defaults(
    fields: &mut Fields,
    header: pb::ConsentImportHeader,
    now: Micros,
) -> Result<ConsentDefaults, Noted> {
    let seller = fields.text("seller", header.seller, NAME_CHARS_MAX);
    let channels = fields.words("channels", &header.channels);
    let action = fields.word::<ConsentAction>("action", header.action);
    let at = fields.past("event_time", header.event_time, now);
    let form = fields.word::<ConsentForm>("consent_form", header.consent_form);
    let period = period(fields, header.period);
    let initiated_by = fields.word::<InitiatedBy>("initiated_by", header.initiated_by);
    let source = fields.text("source", header.source, SOURCE_CHARS_MAX);
    let evidence_ref = fields.text("evidence_ref", header.evidence_ref, REFERENCE_CHARS_MAX);
    let wording_ref = fields.text("wording_ref", header.wording_ref, REFERENCE_CHARS_MAX);
    Ok(ConsentDefaults {
        seller: seller?,
        channels: channels?,
        action: action?.unwrap_or(ConsentAction::Given),
        at: at?,
        form: form?,
        explicit: header.explicit,
        documented: header.documented,
        out_of_hours: header.out_of_hours,
        period: period?,
        initiated_by: initiated_by?,
        source: source?,
        evidence_ref: evidence_ref?,
        wording_ref: wording_ref?,
    })
}

/// An import.
pub(in crate::grpc) fn import(import: Import) -> pb::ConsentImport {
    let state = match import.state {
        ImportState::Open => pb::ConsentImportState::Open,
        ImportState::Finished => pb::ConsentImportState::Finished,
        ImportState::Failed => pb::ConsentImportState::Failed,
    };
    pb::ConsentImport {
        import_id: import_id(&import),
        state: state.into(),
        content_sha256: hex(&import.content_sha256),
        size_bytes: import.size_bytes,
        rows_read: import.counts.read,
        rows_recorded: import.counts.created,
        rows_already_on_record: import.counts.repeated,
        rows_rejected: import.counts.rejected,
        problem: text(import.problem),
        actor: import.actor,
        begin_time: Some(time(import.began_at)),
        end_time: time_option(import.ended_at),
    }
}

/// A row that was not recorded.
pub(in crate::grpc) fn reject(reject: ImportReject) -> pb::ConsentImportReject {
    pb::ConsentImportReject {
        line: reject.line,
        reason: wire(reject.reason),
        problem: reject.problem,
    }
}

fn progress(told: ImportProgress) -> pb::ConsentImportProgress {
    pb::ConsentImportProgress {
        rows_read: told.counts.read,
        rows_recorded: told.counts.created,
        rows_already_on_record: told.counts.repeated,
        rows_rejected: told.counts.rejected,
        lines_done: told.acknowledged_lines,
        bytes_read: i64::try_from(told.bytes).unwrap_or(i64::MAX),
    }
}
