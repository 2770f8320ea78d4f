//! Registers and their snapshots.

use crate::domain::register::RegisterSnapshot;
use crate::gate::{
    NewRegister, RegisterContent, RegisterDiff, RegisterImport, RegisterLines, RegisterStatus,
};
use crate::grpc::pb;
use crate::registry::Covers;

use super::{Fields, Noted, date, policy, time};

/// Longest list of covered beginnings: every area code there is, and some.
const COVERS_CHARS_MAX: usize = 16_384;
/// Longest name of a column.
const COLUMN_CHARS_MAX: usize = 256;
/// Rejected lines that an answer shows.
const REJECTS_SHOWN: usize = 100;

/// What is to be loaded, without the content.
pub(in crate::grpc) fn new(
    fields: &mut Fields,
    header: pb::ImportRegisterHeader,
) -> Result<NewRegister, Noted> {
    let register = policy::required_word(fields, "register", header.register);
    let as_of = fields.date("as_of_date", header.as_of_date);
    let as_of = fields.required("as_of_date", as_of);
    let content_sha256 = match header.content_sha256.as_slice().try_into() {
        Ok(hash) => Ok(hash),
        Err(_) => fields.wrong("content_sha256", "is not the 32 bytes of a SHA-256"),
    };
    let covers = covers(fields, header.covers);
    let country = policy::word(fields, "default_country", header.default_country);
    let column = fields.text("column", header.column, COLUMN_CHARS_MAX);
    let counts = (
        count(fields, "rows_read", header.rows_read),
        count(fields, "rows_rejected", header.rows_rejected),
    );
    let form = pb::RegisterForm::try_from(header.form);
    let lines = RegisterLines {
        covers: covers?,
        default_country: country?,
        column: column?,
    };
    let content = match form {
        Ok(pb::RegisterForm::Unspecified | pb::RegisterForm::List) => RegisterContent::List(lines),
        Ok(pb::RegisterForm::Changes) => RegisterContent::Changes(lines),
        Ok(pb::RegisterForm::Snapshot) => RegisterContent::Snapshot {
            rows_read: counts.0?,
            rows_rejected: counts.1?,
        },
        Err(_) => return fields.wrong("form", "is no form that this server knows"),
    };
    Ok(NewRegister {
        register: register?,
        as_of: as_of?,
        content_sha256: content_sha256?,
        content,
        accept_shrunk: header.accept_shrunk,
        accept_older: header.accept_older,
        accept_rejected: header.accept_rejected,
        validate_only: header.validate_only,
    })
}

fn covers(fields: &mut Fields, text: String) -> Result<Option<Covers>, Noted> {
    let Some(text) = fields.text("covers", text, COVERS_CHARS_MAX)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(covers) => Ok(Some(covers)),
        Err(problem) => fields.wrong("covers", format!("{problem}")),
    }
}

fn count(fields: &mut Fields, field: &str, value: i64) -> Result<u64, Noted> {
    match u64::try_from(value) {
        Ok(count) => Ok(count),
        Err(_) => fields.wrong(field, "is negative"),
    }
}

/// A count as the wire has it.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What an import came to.
pub(in crate::grpc) fn import(import: RegisterImport) -> pb::ImportRegisterResponse {
    let rejects = import.rejects.into_iter().take(REJECTS_SHOWN);
    pb::ImportRegisterResponse {
        snapshot: Some(snapshot(import.snapshot)),
        before: import.before.map(snapshot),
        added: import.diff.map(|diff| signed(diff.added)),
        removed: import.diff.map(|diff| signed(diff.removed)),
        rejects: rejects
            .map(|reject| pb::RegisterReject {
                line: signed(reject.line),
                problem: reject.problem,
            })
            .collect(),
    }
}

/// A snapshot.
pub(in crate::grpc) fn snapshot(snapshot: RegisterSnapshot) -> pb::RegisterSnapshot {
    pb::RegisterSnapshot {
        snapshot_id: snapshot.snapshot_id.to_string(),
        register: snapshot.register,
        as_of_date: Some(date(snapshot.as_of)),
        covers: snapshot.covers,
        numbers: snapshot.numbers,
        rows_read: snapshot.rows_read,
        rows_rejected: snapshot.rows_rejected,
        sha256: snapshot.sha256,
        file_bytes: snapshot.file_bytes,
        actor: snapshot.actor,
        record_time: Some(time(snapshot.recorded_at)),
    }
}

/// A register and how old its list is.
pub(in crate::grpc) fn status(status: RegisterStatus) -> pb::Register {
    pb::Register {
        register: status.register,
        name: status.name,
        jurisdiction: status.jurisdiction,
        snapshot: status.snapshot.map(snapshot),
        age_days: status.age_days,
        max_age_days: status.max_age_days,
        stale: status.stale,
        loaded: status.loaded,
    }
}

/// How two snapshots differ.
pub(in crate::grpc) fn diff(diff: RegisterDiff) -> pb::DiffRegisterResponse {
    let prefixes = diff.prefixes.into_iter();
    pb::DiffRegisterResponse {
        before: Some(snapshot(diff.before)),
        after: Some(snapshot(diff.after)),
        added: signed(diff.all.added),
        removed: signed(diff.all.removed),
        prefixes: prefixes
            .map(|(prefix, added, removed)| pb::RegisterDiffPrefix {
                prefix,
                added: signed(added),
                removed: signed(removed),
            })
            .collect(),
    }
}
