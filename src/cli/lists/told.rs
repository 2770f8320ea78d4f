//! What a person is told of a list: what would become of it, and what became of it.

use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::{Import, Kind, Reject};
use crate::cli::output::{Output, counted, plain, thousands};
use crate::cli::wire::word;

/// Rejects of a trial that are shown.
const REJECTS_SHOWN: usize = 10;

/// What would become of a list, in words.
pub fn outlook<K: Kind>(tried: &Import, rejected: &[Reject]) -> String {
    let mut text = format!(
        "{}: {} would be recorded, {} {} {}, {} would be rejected\n",
        counted(tried.rows.read, "row"),
        thousands(tried.rows.created),
        thousands(tried.rows.repeated),
        if tried.rows.repeated == 1 {
            "is"
        } else {
            "are"
        },
        K::THERE,
        thousands(tried.rows.rejected)
    );
    for reject in rejected.iter().take(REJECTS_SHOWN) {
        let reason = word!(ImportRejectReason, reject.reason);
        text.push_str(&format!(
            "  line {}: {reason}: {}\n",
            reject.line,
            plain(&reject.problem)
        ));
    }
    let more = tried
        .rows
        .rejected
        .saturating_sub(i64::try_from(REJECTS_SHOWN).unwrap_or(0));
    if more > 0 {
        text.push_str(&format!("  and {} more\n", thousands(more)));
    }
    if !tried.problem.is_empty() {
        text.push_str(&format!(
            "the list itself is at fault: {}\n",
            plain(&tried.problem)
        ));
    }
    text
}

/// Tells what would become of a list.
pub fn trial<K: Kind>(output: Output, tried: &Import, rejected: &[Reject]) -> Result<()> {
    if output.is_json() {
        output.rows(
            rejected,
            |reject| {
                let reason = word!(ImportRejectReason, reject.reason);
                Ok(json!({ "line": reject.line, "reason": reason, "problem": reject.problem }))
            },
            &[],
            |_| Vec::new(),
        )?;
    }
    output.answer(
        || Ok(tried.object.clone()),
        || format!("{}nothing was recorded", outlook::<K>(tried, rejected)),
    )
}

/// Tells what became of it.
pub fn end<K: Kind>(output: Output, ended: &Import, rejects_file: Option<&PathBuf>) -> Result<()> {
    let file = rejects_file.map(|path| path.display().to_string());
    output.answer(
        || {
            let mut object = ended.object.clone();
            if let (Some(fields), Some(file)) = (object.as_object_mut(), &file) {
                fields.insert("rejects_file".to_owned(), file.clone().into());
            }
            Ok(object)
        },
        || sentence::<K>(ended, file.as_deref()),
    )
}

fn sentence<K: Kind>(ended: &Import, file: Option<&str>) -> String {
    let rows = format!(
        "{}: {}, {} {}, {} rejected",
        counted(ended.rows.read, "row"),
        counted(ended.rows.created, K::NEW),
        thousands(ended.rows.repeated),
        K::THERE,
        thousands(ended.rows.rejected)
    );
    let rows = match file {
        Some(file) => format!("{rows}, see {}", plain(file)),
        None => rows,
    };
    if ended.is_finished {
        format!("{}; {rows}", K::DONE)
    } else {
        format!(
            "the import failed: {}; {rows}; what was recorded {}",
            plain(&ended.problem),
            K::KEPT
        )
    }
}
