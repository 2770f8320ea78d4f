//! `dialgate audit replay`: every decision made again by the pack that it names, and held against what is stored.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::super::client::Remote;
use super::super::failure::{Refused, exit};
use super::super::output::{Output, Progress, thousands};
use super::super::wire::{self, word};
use crate::domain::phone::Phone;
use crate::grpc::client::{ask, json};
use crate::grpc::pb::{
    ReplayDecisionsRequest, ReplayDecisionsResponse, ReplayDifference, ReplayProblem,
};

/// Decisions made again at once.
const PAGE: i32 = 1000;

/// Arguments of `audit replay`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
                  dialgate audit replay\n  \
                  dialgate audit replay --filter 'decided_time > \"2026-08-01T00:00:00Z\"'\n  \
                  dialgate audit replay --number +14045550141 --json\n\n\
                  Each decision is made again by the very rules, tables and facts that it was made by, and compared byte \
                  for byte. Ends with 1 if one differs or cannot be made again; people who were erased, and refusals of a \
                  campaign that never asked the law, are counted apart. What another pack would have said: `dialgate policy \
                  replay`.")]
pub struct ReplayArgs {
    /// Only decisions that meet these conditions, as in `audit query`
    #[arg(
        long,
        value_name = "CONDITIONS",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
    /// Only decisions about this number, E.164
    #[arg(long, value_name = "NUMBER", value_parser = Phone::parse)]
    pub number: Option<Phone>,
    #[command(flatten)]
    pub remote: Remote,
}

/// Goes through all pages; tells what differs as it is found, and the sum.
pub async fn replay(args: ReplayArgs) -> Result<ExitCode> {
    let client = args.remote.connect().await?;
    let output = args.remote.output();
    let mut progress = Progress::new();
    let mut request = ReplayDecisionsRequest {
        page_size: PAGE,
        page_token: String::new(),
        filter: args.filter,
        number: args.number.map(Phone::reveal).unwrap_or_default(),
    };
    let mut sum = ReplayDecisionsResponse::default();
    loop {
        let page = client.audit().replay_decisions(ask(request.clone())).await;
        let page = page.map_err(Refused::question)?.into_inner();
        if !page.differences.is_empty() {
            progress.clear();
            rows(output, &page.differences)?;
        }
        add(&mut sum, &page);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            break;
        }
        progress.tell(&format!("{} decisions looked at", thousands(all(&sum))));
    }
    progress.clear();
    output.answer(
        || json::object("ReplayDecisionsResponse", &sum),
        || sentence(&sum),
    )?;
    Ok(match sum.different + sum.impossible {
        0 => ExitCode::SUCCESS,
        _ => exit::FAILED,
    })
}

fn add(sum: &mut ReplayDecisionsResponse, page: &ReplayDecisionsResponse) {
    sum.same += page.same;
    sum.different += page.different;
    sum.impossible += page.impossible;
    sum.erased += page.erased;
    sum.refused += page.refused;
}

fn all(sum: &ReplayDecisionsResponse) -> i64 {
    sum.same + sum.different + sum.impossible + sum.erased + sum.refused
}

fn sentence(sum: &ReplayDecisionsResponse) -> String {
    if all(sum) == 0 {
        return "no decision found".to_owned();
    }
    let made = sum.same + sum.different;
    let plural = if made == 1 { "" } else { "s" };
    let mut text = format!("{} decision{plural} made again", thousands(made));
    match sum.different {
        _ if made == 0 => {}
        0 => text.push_str(": all the same, byte for byte"),
        1 => text.push_str(": 1 differs"),
        many => text.push_str(&format!(": {} differ", thousands(many))),
    }
    for (count, one, several) in [
        (
            sum.impossible,
            "cannot be made again",
            "cannot be made again",
        ),
        (
            sum.erased,
            "has no case any more, the person was erased",
            "have no case any more, the people were erased",
        ),
        (
            sum.refused,
            "was refused by its campaign and never judged",
            "were refused by their campaigns and never judged",
        ),
    ] {
        match count {
            0 => {}
            1 => text.push_str(&format!("; 1 {one}")),
            many => text.push_str(&format!("; {} {several}", thousands(many))),
        }
    }
    text
}

fn rows(output: Output, differences: &[ReplayDifference]) -> Result<()> {
    output.rows(
        differences,
        |difference| json::object("ReplayDifference", difference),
        &[
            "decided",
            "id",
            "before",
            "after",
            "what",
            "pack",
            "zone data",
        ],
        |difference| {
            let pack = difference.pack.clone().unwrap_or_default();
            vec![
                wire::seconds(difference.decided_time.as_ref()),
                difference.decision_id.clone(),
                said(
                    word!(Verdict, difference.before),
                    &difference.denied_by_before,
                ),
                said(
                    word!(Verdict, difference.after),
                    &difference.denied_by_after,
                ),
                what(difference),
                format!(
                    "{} ({})",
                    pack.version,
                    pack.sha256.get(..12).unwrap_or(&pack.sha256)
                ),
                if pack.zone_data == difference.zone_data {
                    pack.zone_data
                } else {
                    format!("{}, now {}", pack.zone_data, difference.zone_data)
                },
            ]
        },
    )
}

fn said(verdict: String, denied_by: &[String]) -> String {
    match denied_by {
        [] => verdict,
        rules => format!("{verdict}: {}", rules.join(", ")),
    }
}

fn what(difference: &ReplayDifference) -> String {
    match ReplayProblem::try_from(difference.problem) {
        Ok(ReplayProblem::Unspecified) => difference.parts.join(", "),
        _ => word!(ReplayProblem, difference.problem),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sentence_counts_each_kind_apart() {
        let sum = |same, different, impossible, erased, refused| ReplayDecisionsResponse {
            same,
            different,
            impossible,
            erased,
            refused,
            ..ReplayDecisionsResponse::default()
        };
        for (sum, expected) in [
            (sum(0, 0, 0, 0, 0), "no decision found"),
            (
                sum(1, 0, 0, 0, 0),
                "1 decision made again: all the same, byte for byte",
            ),
            (
                sum(12_345, 0, 0, 12, 1),
                "12,345 decisions made again: all the same, byte for byte; 12 have no case any more, the people were \
                 erased; 1 was refused by its campaign and never judged",
            ),
            (
                sum(1, 2, 1, 0, 0),
                "3 decisions made again: 2 differ; 1 cannot be made again",
            ),
            (
                sum(0, 0, 0, 1, 0),
                "0 decisions made again; 1 has no case any more, the person was erased",
            ),
        ] {
            assert_eq!(sentence(&sum), expected);
        }
    }
}
