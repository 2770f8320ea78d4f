//! Lists that are imported: how a list is to be read, and how far it is. Each kind of list has messages of its own, which say
//! much the same; here is what they share, and what they have to be told to the streams of [`crate::grpc`].

pub(in crate::grpc) mod consents;
pub(in crate::grpc) mod suppressions;

use sha2::{Digest as _, Sha256};

use crate::domain::import::Import;
use crate::domain::time::Micros;
use crate::gate::{ImportNews, ListEncoding, ListForm, ListSettings, NewImport, Packing};
use crate::grpc::pb;
use crate::place::Tables;

use super::{Fields, NAME_CHARS_MAX, Noted};

/// The messages of one kind of list.
pub(in crate::grpc) trait Messages: 'static {
    /// The method that takes its lists.
    const METHOD: &'static str;
    /// What is sent.
    type Sent: prost::Message + Default + 'static;
    /// What is answered.
    type Answer: Send + 'static;
    /// How a list is announced.
    type Header;

    /// Name and content of a message.
    fn content(sent: Self::Sent) -> (String, Option<Content<Self::Header>>);

    /// Whether the list is only to be tried.
    fn is_trial(header: &Self::Header) -> bool;

    /// Reads the header of a list.
    fn header(
        fields: &mut Fields,
        header: Self::Header,
        tables: &Tables,
        now: Micros,
    ) -> Result<NewImport, Noted>;

    /// What is told of an import under way.
    fn news(news: ImportNews) -> Self::Answer;

    /// What is told of an import in the end.
    fn ended(import: Import) -> Self::Answer;
}

/// What a message of a list carries.
pub(in crate::grpc) enum Content<H> {
    /// How the list is announced.
    Header(H),
    /// The next bytes of it.
    Piece(Vec<u8>),
}

/// What every header says, whatever the rows mean.
struct Announced {
    content_sha256: Vec<u8>,
    size_bytes: i64,
    packing: i32,
    encoding: i32,
    form: i32,
    has_header: bool,
    delimiter: String,
    default_country: String,
}

/// The same, read.
struct Read {
    content_sha256: [u8; 32],
    size_bytes: u64,
    settings: ListSettings,
}

fn announced(fields: &mut Fields, said: Announced, tables: &Tables) -> Result<Read, Noted> {
    let content_sha256 = match <[u8; 32]>::try_from(said.content_sha256.as_slice()) {
        Ok(hash) => Ok(hash),
        Err(_) => fields.wrong(
            "content_sha256",
            "is not a SHA-256 of 32 bytes: send that of the whole list",
        ),
    };
    let size_bytes = match u64::try_from(said.size_bytes) {
        Ok(size @ 1..) => Ok(size),
        _ => fields.wrong(
            "size_bytes",
            "is missing: send the length of the whole list in bytes",
        ),
    };
    let packing = packing(fields, said.packing);
    let encoding = encoding(fields, said.encoding);
    let form = form(fields, said.form, &said.delimiter);
    let default_country = fields.text("default_country", said.default_country, NAME_CHARS_MAX);
    let default_country = match default_country? {
        Some(country) if !tables.knows_country(&country) => fields.wrong(
            "default_country",
            "is not a country's code (ISO 3166-1), such as US",
        ),
        other => Ok(other),
    };
    Ok(Read {
        content_sha256: content_sha256?,
        size_bytes: size_bytes?,
        settings: ListSettings {
            packing: packing?,
            encoding: encoding?,
            form: form?,
            has_header: said.has_header,
            default_country: default_country?,
        },
    })
}

/// Whether columns are named where there are any, that of the number (or what may stand for it) among them.
fn columns_fit(
    fields: &mut Fields,
    form: i32,
    has_number: bool,
    has_any: bool,
) -> Result<(), Noted> {
    match pb::ListForm::try_from(form) {
        Ok(pb::ListForm::Columns) if !has_number => fields.wrong(
            "number",
            "is missing: name the column that holds the number, or its place, from 1",
        ),
        Ok(pb::ListForm::Lines) if has_any => fields.wrong(
            "number",
            "is for LIST_FORM_COLUMNS: a list of one number a line has no columns",
        ),
        _ => Ok(()),
    }
}

/// Over all that says how a list is to be read, and nothing of the list. A header of opt-outs and one of consents may be of the
/// same bytes; another `kind` makes another hash of them.
fn settings_sha256(kind: &[u8], settings: &impl prost::Message) -> [u8; 32] {
    Sha256::new()
        .chain_update(kind)
        .chain_update(settings.encode_to_vec())
        .finalize()
        .into()
}

/// The identifier of an import; a trial has none.
fn import_id(import: &Import) -> String {
    if import.import_id.0.is_nil() {
        String::new()
    } else {
        import.import_id.to_string()
    }
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
