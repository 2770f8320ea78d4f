//! Rules, packs and what changes them.

use crate::domain::decision::PackVersion;
use crate::domain::policy::{Activation, PackOrigin, RegionStop, RegionStopLift};
use crate::gate::PackSource;
use crate::grpc::pb;
use crate::policy::{
    Became, Certainty, ClosedDay, DisabledRule, Pack, PackDiff, RowAudience, Rule,
};

use super::{Fields, NOTE_CHARS_MAX, Noted, date, time, time_option, wire, wire_all};

/// Longest id of a rule, name of a place or kind.
const WORD_CHARS_MAX: usize = 128;
/// A SHA-256 in hexadecimal.
const HASH_CHARS: usize = 64;

/// Why somebody changes the law; it stands in the history for ever.
pub(in crate::grpc) fn reason(fields: &mut Fields, reason: String) -> Result<String, Noted> {
    let reason = fields.text("reason", reason, NOTE_CHARS_MAX);
    fields.required("reason", reason)
}

/// An id of a rule, a kind or a place, that may be left out.
pub(in crate::grpc) fn word(
    fields: &mut Fields,
    field: &str,
    value: String,
) -> Result<Option<String>, Noted> {
    match fields.text(field, value, WORD_CHARS_MAX)? {
        Some(word) if word.contains(char::is_whitespace) => {
            fields.wrong(field, "holds blanks; write one word")
        }
        word => Ok(word),
    }
}

/// The same, that must be there.
pub(in crate::grpc) fn required_word(
    fields: &mut Fields,
    field: &str,
    value: String,
) -> Result<String, Noted> {
    let read = word(fields, field, value);
    fields.required(field, read)
}

/// The hash of a pack; empty = the one in force.
pub(in crate::grpc) fn hash(
    fields: &mut Fields,
    field: &str,
    value: String,
) -> Result<Option<String>, Noted> {
    let is_hash = value.len() == HASH_CHARS
        && (value.bytes()).all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    match value.as_str() {
        "" => Ok(None),
        _ if is_hash => Ok(Some(value)),
        _ => fields.wrong(
            field,
            "is no hash of a pack: 64 hexadecimal digits in lower case",
        ),
    }
}

/// The hash of a pack that must be named.
pub(in crate::grpc) fn stored(fields: &mut Fields, value: String) -> Result<PackSource, Noted> {
    let read = hash(fields, "sha256", value);
    fields.required("sha256", read).map(PackSource::Stored)
}

/// The files of a pack that was sent along.
pub(in crate::grpc) fn upload(
    fields: &mut Fields,
    upload: pb::PackUpload,
) -> Result<PackSource, Noted> {
    if upload.files.is_empty() {
        return fields.wrong("upload.files", "are missing; send every file of the pack");
    }
    let files = upload.files.into_iter().map(|file| (file.name, file.text));
    Ok(PackSource::Files(files.collect()))
}

/// A flag of a choice that can only be set.
pub(in crate::grpc) fn configured(fields: &mut Fields, is_set: bool) -> Result<PackSource, Noted> {
    match is_set {
        true => Ok(PackSource::Configured),
        false => fields.wrong(
            "configured",
            "is false; set it to true, or choose another pack",
        ),
    }
}

/// A rule without its written keys.
pub(in crate::grpc) fn rule(rule: &Rule) -> pb::Rule {
    let row = &rule.common;
    pb::Rule {
        rule: row.id.to_string(),
        jurisdiction: row.jurisdiction.to_string(),
        kind: row.kind.clone(),
        call_kinds: wire_all(&row.call_kinds),
        audience: match row.audience {
            RowAudience::Consumer => "consumer",
            RowAudience::Business => "business",
            RowAudience::Both => "both",
        }
        .to_owned(),
        decides: rule.decides(),
        statutory: row.statutory,
        effective_from_date: row.effective_from.map(date),
        effective_to_date: row.effective_to.map(date),
        citation: row.citation.to_string(),
        certainty: match row.certainty {
            Certainty::Primary => pb::RuleCertainty::Primary,
            Certainty::Secondary => pb::RuleCertainty::Secondary,
            Certainty::Recall => pb::RuleCertainty::Recall,
        }
        .into(),
        uncertain: row.uncertain,
        note: row.note.clone(),
        disabled: rule.disabled.clone().map(disabled),
        file: String::new(),
        keys: Vec::new(),
    }
}

/// A rule with every key as its file writes it.
pub(in crate::grpc) fn written_rule(pack: &Pack, id: &str) -> Option<pb::Rule> {
    let shown = rule(pack.find(id)?);
    let written = pack.written(id)?;
    let keys = written.keys.into_iter();
    Some(pb::Rule {
        file: written.file,
        keys: keys
            .map(|(key, value)| pb::RuleKey { key, value })
            .collect(),
        ..shown
    })
}

fn disabled(row: DisabledRule) -> pb::DisabledRule {
    pb::DisabledRule {
        reason: row.reason,
        actor: row.by,
    }
}

/// Which pack and which clocks.
pub(in crate::grpc) fn version(version: &PackVersion) -> pb::PackVersion {
    pb::PackVersion {
        version: version.version.clone(),
        sha256: version.sha256.clone(),
        zone_data: version.zone_data.clone(),
    }
}

/// An entry of the history; `is_recorded` is false for one that was only tried.
pub(in crate::grpc) fn activation(entry: Activation, is_recorded: bool) -> pb::Activation {
    let id = if is_recorded {
        entry.activation_id.to_string()
    } else {
        String::new()
    };
    pb::Activation {
        activation_id: id,
        epoch: entry.epoch,
        sha256: entry.sha256,
        base_sha256: entry.base_sha256,
        version: entry.version,
        origin: wire::<PackOrigin>(entry.origin),
        reason: entry.reason,
        actor: entry.actor,
        activate_time: Some(time(entry.at)),
    }
}

/// What differs between two packs.
pub(in crate::grpc) fn diff(diff: PackDiff) -> pb::PackDiff {
    let lines = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let rows = diff.rows.into_iter().map(|row| pb::RowChange {
        table: row.table,
        id: row.id,
        became: became(row.became),
        keys: (row.keys.into_iter())
            .map(|key| pb::KeyChange {
                key: key.key,
                before: key.before.unwrap_or_default(),
                after: key.after.unwrap_or_default(),
            })
            .collect(),
    });
    let files = diff.files.into_iter().map(|file| pb::FileChange {
        file: file.file,
        became: became(file.became),
        lines_added: lines(file.lines_added),
        lines_removed: lines(file.lines_removed),
    });
    pb::PackDiff {
        rows: rows.collect(),
        files: files.collect(),
    }
}

fn became(became: Became) -> i32 {
    match became {
        Became::Added => pb::Became::Added,
        Became::Removed => pb::Became::Removed,
        Became::Changed => pb::Became::Changed,
    }
    .into()
}

/// A stop.
pub(in crate::grpc) fn region_stop(stop: RegionStop) -> pb::RegionStop {
    let lift = |lift: RegionStopLift| pb::RegionStopLift {
        lift_time: Some(time(lift.at)),
        reason: lift.reason,
        actor: lift.actor,
    };
    pb::RegionStop {
        region_stop_id: stop.stop_id.to_string(),
        region: stop.region,
        reason: stop.reason,
        start_time: time_option(stop.starts_at),
        expire_time: Some(time(stop.expires_at)),
        actor: stop.actor,
        record_time: Some(time(stop.recorded_at)),
        lift: stop.lift.map(lift),
    }
}

/// A closed day.
pub(in crate::grpc) fn closed_day(day: &ClosedDay) -> pb::ClosedDay {
    pb::ClosedDay {
        jurisdiction: day.jurisdiction.clone(),
        date: Some(date(day.date)),
        reason: day.reason.clone(),
        actor: day.by.clone(),
    }
}
