//! Imports of opt-outs: how a list is to be read, and how far it is.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::domain::hex::hex;
use crate::domain::import::{ImportReject, SuppressionImport};
use crate::domain::suppression::{SuppressionReason, SuppressionSource};
use crate::domain::time::Micros;
use crate::gate::{
    ImportNews, ImportProgress, ListColumns, ListEncoding, ListForm, ListSettings, NewImport,
    Packing, RowDefaults,
};
use crate::grpc::pb;
use crate::grpc::pb::import_suppressions_response::Content;
use crate::place::Tables;

use super::{
    Fields, NAME_CHARS_MAX, NOTE_CHARS_MAX, Noted, REFERENCE_CHARS_MAX, text, time, time_option,
    wire,
};

/// Reads the header of a list.
pub(in crate::grpc) fn header(
    fields: &mut Fields,
    header: pb::SuppressionImportHeader,
    tables: &Tables,
    now: Micros,
) -> Result<NewImport, Noted> {
    let settings_sha256 = settings_sha256(header.clone());
    let content_sha256 = match <[u8; 32]>::try_from(header.content_sha256.as_slice()) {
        Ok(hash) => Ok(hash),
        Err(_) => fields.wrong(
            "content_sha256",
            "is not a SHA-256 of 32 bytes: send that of the whole list",
        ),
    };
    let size_bytes = match u64::try_from(header.size_bytes) {
        Ok(size @ 1..) => Ok(size),
        _ => fields.wrong(
            "size_bytes",
            "is missing: send the length of the whole list in bytes",
        ),
    };
    let packing = packing(fields, header.packing);
    let encoding = encoding(fields, header.encoding);
    let form = form(fields, header.form, &header.delimiter);
    let columns = fields.within("columns", |fields| {
        columns(fields, header.form, header.columns)
    });
    let default_country = fields.text("default_country", header.default_country, NAME_CHARS_MAX);
    let default_country = match default_country? {
        Some(country) if !tables.knows_country(&country) => fields.wrong(
            "default_country",
            "is not a country's code (ISO 3166-1), such as US",
        ),
        other => Ok(other),
    };
    let seller = fields.text("seller", header.seller, NAME_CHARS_MAX);
    let channels = fields.words("channels", &header.channels);
    let purposes = fields.words("purposes", &header.purposes);
    let reason = fields.word::<SuppressionReason>("reason", header.reason);
    let source = fields.word::<SuppressionSource>("source", header.source);
    let received_at = fields.past("received_time", header.received_time, now);
    let evidence_ref = fields.text("evidence_ref", header.evidence_ref, REFERENCE_CHARS_MAX);
    let note = fields.text("note", header.note, NOTE_CHARS_MAX);
    Ok(NewImport {
        content_sha256: content_sha256?,
        size_bytes: size_bytes?,
        settings_sha256,
        settings: ListSettings {
            packing: packing?,
            encoding: encoding?,
            form: form?,
            has_header: header.has_header,
            columns: columns?,
            default_country: default_country?,
            defaults: RowDefaults {
                seller: seller?,
                channels: channels?,
                purposes: purposes?,
                reason: reason?.unwrap_or(SuppressionReason::PartyRequest),
                source: source?.unwrap_or(SuppressionSource::Import),
                received_at: received_at?,
                evidence_ref: evidence_ref?,
                note: note?,
            },
        },
    })
}

/// Over all that says how the list is to be read, and nothing of the list.
fn settings_sha256(header: pb::SuppressionImportHeader) -> [u8; 32] {
    let settings = pb::SuppressionImportHeader {
        content_sha256: Vec::new(),
        size_bytes: 0,
        validate_only: false,
        ..header
    };
    Sha256::digest(settings.encode_to_vec()).into()
}

fn packing(fields: &mut Fields, value: i32) -> Result<Packing, Noted> {
    match pb::ListPacking::try_from(value) {
        Ok(pb::ListPacking::Unspecified) => Ok(Packing::Detected),
        Ok(pb::ListPacking::Plain) => Ok(Packing::Plain),
        Ok(pb::ListPacking::Gzip) => Ok(Packing::Gzip),
        Ok(pb::ListPacking::Zstd) => Ok(Packing::Zstd),
        Err(_) => fields.wrong(
            "packing",
            "has no such value: send LIST_PACKING_PLAIN, _GZIP or _ZSTD, or leave it out",
        ),
    }
}

fn encoding(fields: &mut Fields, value: i32) -> Result<ListEncoding, Noted> {
    match pb::ListEncoding::try_from(value) {
        Ok(pb::ListEncoding::Unspecified) => Ok(ListEncoding::Detected),
        Ok(pb::ListEncoding::Utf8) => Ok(ListEncoding::Utf8),
        Ok(pb::ListEncoding::Latin1) => Ok(ListEncoding::Latin1),
        Err(_) => fields.wrong(
            "encoding",
            "has no such value: send LIST_ENCODING_UTF8 or _LATIN1, or leave it out",
        ),
    }
}

fn form(fields: &mut Fields, value: i32, delimiter: &str) -> Result<ListForm, Noted> {
    let delimiter = match delimiter.as_bytes() {
        [] => Ok(None),
        [one]
            if one.is_ascii()
                && !one.is_ascii_alphanumeric()
                && !matches!(one, b'"' | b'\n' | b'\r' | 0) =>
        {
            Ok(Some(char::from(*one)))
        }
        _ => fields.wrong(
            "delimiter",
            "is not one ASCII character, such as a comma or a tab",
        ),
    };
    match pb::ListForm::try_from(value) {
        Ok(pb::ListForm::Lines) => Ok(ListForm::Lines),
        Ok(pb::ListForm::Columns) => delimiter.map(ListForm::Columns),
        _ => fields.wrong(
            "form",
            "is missing: send LIST_FORM_LINES or LIST_FORM_COLUMNS",
        ),
    }
}

fn columns(
    fields: &mut Fields,
    form: i32,
    columns: Option<pb::ListColumns>,
) -> Result<ListColumns, Noted> {
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
    let columns = ListColumns {
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
    match pb::ListForm::try_from(form) {
        Ok(pb::ListForm::Columns)
            if columns.number.is_none()
                && columns.party_id.is_none()
                && columns.account.is_none() =>
        {
            fields.wrong(
                "number",
                "is missing: name the column that holds the number, or its place, from 1",
            )
        }
        Ok(pb::ListForm::Lines) if columns != ListColumns::default() => fields.wrong(
            "number",
            "is for LIST_FORM_COLUMNS: a list of one number a line has no columns",
        ),
        _ => Ok(columns),
    }
}

/// An import.
pub(in crate::grpc) fn import(import: SuppressionImport) -> pb::SuppressionImport {
    let is_trial = import.import_id.0.is_nil();
    pb::SuppressionImport {
        import_id: if is_trial {
            String::new()
        } else {
            import.import_id.to_string()
        },
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

/// What is told of an import under way.
pub(in crate::grpc) fn news(news: ImportNews) -> Content {
    match news {
        ImportNews::Started(started) => Content::Started(import(started)),
        ImportNews::Progress(told) => Content::Progress(progress(told)),
        ImportNews::Rejected(rejected) => Content::Reject(reject(rejected)),
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
