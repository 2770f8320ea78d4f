//! How a call ended and what may be done next, from everything the far end said: one table, first match wins.
//!
//! Order of the input: our own action; 603+, 607 and 608; a Q.850 cause that says more than the code (RFC 6432); the
//! status code; silence. Codes and causes are read from the headers by our own code, never from a library's enum.

use std::time::Duration;

use super::api::HangUpCause;
use super::config::Trunk;
use super::values::{split, unquote, with_params};
use super::wire::Message;
use crate::domain::call::{Outcome, Retry};

/// The most a Retry-After is worth: a mistaken day must not silence a trunk.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// What we did ourselves before the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Cancelled on demand.
    HangUp(HangUpCause),
    /// Our ring timer fired.
    RingTimer,
}

/// What ended the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// A final response.
    Code(u16),
    /// Nothing came in time, or the system could not send.
    Silence,
}

/// What Reason headers say (RFC 3326).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Reasons {
    /// Cause of the first Q.850 value.
    pub(super) q850: Option<u16>,
    /// ISUP location of it (RFC 8606).
    location: Option<String>,
    /// Texts of all values whose cause may stand for a refusal, in lower case.
    refusal_texts: Vec<String>,
}

impl Reasons {
    /// Reads all Reason headers; unreadable values are left out.
    pub(super) fn of(message: &Message) -> Self {
        let mut reasons = Self::default();
        for line in message.lines("Reason") {
            for value in split(line, b',').unwrap_or_default() {
                let Ok((protocol, params)) = with_params(value) else {
                    continue;
                };
                let cause: Option<u16> = params.get("cause").and_then(|text| text.parse().ok());
                if protocol.eq_ignore_ascii_case("Q.850") && reasons.q850.is_none() {
                    reasons.q850 = cause;
                    reasons.location = params.get("location").map(str::to_owned);
                }
                if let (Some(21 | 603), Some(text)) = (cause, params.get("text")) {
                    reasons.refusal_texts.push(unquote(text).to_lowercase());
                }
            }
        }
        reasons
    }
}

/// Everything the judgement rests on.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) own: Option<Own>,
    pub(super) signal: Signal,
    pub(super) phrase: &'a str,
    pub(super) reasons: &'a Reasons,
    /// An 18x had come.
    pub(super) rang: bool,
    pub(super) trunk: &'a Trunk,
}

/// Outcome and retry class.
pub(super) fn judge(evidence: &Evidence<'_>) -> (Outcome, Retry) {
    match evidence.own {
        Some(Own::RingTimer) => return (Outcome::NoAnswer, Retry::Later),
        Some(Own::HangUp(cause)) => return judge_hang_up(cause),
        None => {}
    }
    let Signal::Code(code) = evidence.signal else {
        return if evidence.rang {
            (Outcome::NoAnswer, Retry::Later)
        } else {
            (Outcome::Unreachable, Retry::Trunk)
        };
    };
    if code == 603 && tells_of_blocking(evidence) {
        return (Outcome::BlockedByAnalytics, Retry::Never);
    }
    let code = translate(code, evidence);
    let row = find(code, evidence).or_else(|| find(code / 100 * 100, evidence));
    match row {
        Some(row) if evidence.rang => (row.outcome, row.retry_after_ringing),
        Some(row) => (row.outcome, row.retry),
        None => (Outcome::CarrierError, Retry::Fix),
    }
}

/// What a call comes to that we end before an answer.
pub(super) fn judge_hang_up(cause: HangUpCause) -> (Outcome, Retry) {
    let retry = match cause {
        // Where it rang, nobody took it.
        HangUpCause::Elsewhere => return (Outcome::NoAnswer, Retry::Later),
        // A person picked up and heard nothing: not at once again, whoever is at fault.
        HangUpCause::NoMedia => return (Outcome::MediaIncompatible, Retry::Later),
        // As every orphan: what may have been sent is not dialed again from here.
        HangUpCause::OptOut | HangUpCause::TakenForDead => Retry::Never,
        HangUpCause::Drain => Retry::Later,
        // Somebody has to look at the agent's phone or at the trunk first.
        HangUpCause::Misfit => return (Outcome::MediaIncompatible, Retry::Fix),
        HangUpCause::Client
        | HangUpCause::Denied
        | HangUpCause::LateSend
        | HangUpCause::AgentGone => Retry::None,
    };
    (Outcome::Canceled, retry)
}

/// 603+: since 2026-03-25 United States providers tell of analytics-based blocking by it alone (90 FR 13416). The phrase
/// may be lost on the way, so a Reason with the version tag and redress contact is enough.
fn tells_of_blocking(evidence: &Evidence<'_>) -> bool {
    evidence
        .phrase
        .trim()
        .eq_ignore_ascii_case("Network Blocked")
        || evidence.reasons.refusal_texts.iter().any(|text| {
            evidence
                .trunk
                .blocking_texts
                .iter()
                .any(|pattern| text.contains(&pattern.to_lowercase()))
        })
}

/// Codes that say little by themselves, and the causes that belong to their own rows.
const GENERAL: &[(u16, &[u16])] = &[
    (400, &[25, 111, 127]),
    (480, &[18, 19, 20, 21, 31]),
    (500, &[27, 29, 38, 41, 102, 111, 127]),
    (503, &[34, 38, 41, 42, 44, 47, 58]),
];

/// RFC 3398 section 7.2.4.1, as far as the causes are more specific than a general code.
const CAUSE_CODES: &[(u16, u16)] = &[
    (1, 404),
    (2, 404),
    (3, 404),
    (17, 486),
    (18, 408),
    (19, 480),
    (20, 480),
    (21, 403),
    (22, 410),
    (23, 410),
    (27, 502),
    (28, 484),
    (29, 501),
    (31, 480),
    (34, 503),
    (38, 503),
    (41, 503),
    (42, 503),
    (47, 503),
    (55, 403),
    (57, 403),
    (65, 488),
    (70, 488),
    (79, 501),
    (87, 403),
    (102, 504),
    (111, 500),
    (127, 500),
];

/// The code whose row applies: the cause's where the code itself says little.
fn translate(code: u16, evidence: &Evidence<'_>) -> u16 {
    let general = GENERAL.iter().find(|(general, _)| *general == code);
    let (Some((_, usual)), Some(cause)) = (general, evidence.reasons.q850) else {
        return code;
    };
    if let Some(own) = evidence.trunk.cause_codes.get(&cause) {
        return *own;
    }
    if usual.contains(&cause) {
        return code;
    }
    // Cause 21 from the user's own side is a refusal, from elsewhere it is the network's.
    if cause == 21 && evidence.reasons.location.as_deref() == Some("U") {
        return 603;
    }
    CAUSE_CODES
        .iter()
        .find(|(known, _)| *known == cause)
        .map_or(code, |(_, code)| *code)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Causes {
    Any,
    OneOf(&'static [u16]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Always,
    Rang,
}

struct Row {
    codes: &'static [u16],
    causes: Causes,
    when: When,
    outcome: Outcome,
    retry: Retry,
    /// Another trunk may be tried only while nothing rang: a person who heard one ring would hear a second call.
    retry_after_ringing: Retry,
}

/// A row whose retry class does not depend on ringing.
const fn row(codes: &'static [u16], outcome: Outcome, retry: Retry) -> Row {
    Row {
        codes,
        causes: Causes::Any,
        when: When::Always,
        outcome,
        retry,
        retry_after_ringing: retry,
    }
}

impl Row {
    const fn with(self, causes: &'static [u16]) -> Self {
        Self {
            causes: Causes::OneOf(causes),
            ..self
        }
    }

    const fn rang(self) -> Self {
        Self {
            when: When::Rang,
            ..self
        }
    }

    const fn then(self, retry: Retry) -> Self {
        Self {
            retry_after_ringing: retry,
            ..self
        }
    }
}

/// What each final response means; references are to RFC 3261 unless named.
static ROWS: &[Row] = &[
    // 8.1.3.4; another number would need a decision of its own.
    row(
        &[300, 301, 302, 303, 304, 305, 380],
        Outcome::Redirected,
        Retry::Never,
    ),
    row(&[481, 482, 483, 505], Outcome::CarrierError, Retry::Trunk).then(Retry::Soon),
    row(&[400], Outcome::CarrierError, Retry::Fix),
    row(&[401, 407], Outcome::TrunkAuthFailed, Retry::Fix),
    row(&[402], Outcome::TrunkRefused, Retry::Fix),
    // Caller number or destination not allowed; also RFC 8224 6.2.2 `Stale Date`.
    row(&[403], Outcome::TrunkRefused, Retry::Fix),
    row(&[404], Outcome::NoRoute, Retry::Trunk)
        .with(&[2, 3, 26])
        .then(Retry::Fix),
    row(&[404], Outcome::InvalidNumber, Retry::Never),
    row(&[408], Outcome::NoAnswer, Retry::Later).rang(),
    row(&[408], Outcome::Unreachable, Retry::Trunk),
    row(&[410], Outcome::NumberChanged, Retry::Never),
    row(
        &[406, 415, 488, 606],
        Outcome::MediaIncompatible,
        Retry::Fix,
    ),
    row(&[405, 416, 420, 421], Outcome::FeatureRefused, Retry::Fix),
    row(&[413, 414, 513], Outcome::TooLarge, Retry::Fix),
    // RFC 4028; what could be raised was, and it was not enough.
    row(&[422], Outcome::FeatureRefused, Retry::Fix),
    // RFC 8224 6.2.2.
    row(&[428, 436, 437, 438], Outcome::IdentityRejected, Retry::Fix),
    // RFC 5079: anonymity refused.
    row(&[433], Outcome::Rejected, Retry::Fix),
    row(&[480], Outcome::NoAnswer, Retry::Later).with(&[18, 19]),
    row(&[480], Outcome::Unreachable, Retry::Later).with(&[20]),
    row(&[480], Outcome::Rejected, Retry::Later).with(&[21]),
    row(&[480], Outcome::NoAnswer, Retry::Later).rang(),
    row(&[480], Outcome::Unreachable, Retry::Later),
    row(&[484, 485], Outcome::InvalidNumber, Retry::Never),
    row(&[486, 600], Outcome::Busy, Retry::Soon),
    row(&[487], Outcome::Canceled, Retry::Later),
    row(
        &[500, 501, 502, 504, 580],
        Outcome::CarrierError,
        Retry::Trunk,
    )
    .then(Retry::Soon),
    row(&[503], Outcome::Congestion, Retry::Trunk).then(Retry::Soon),
    row(&[603], Outcome::Rejected, Retry::Later),
    row(&[604], Outcome::InvalidNumber, Retry::Never),
    // RFC 8197.
    row(&[607], Outcome::Unwanted, Retry::Never),
    // RFC 8688.
    row(&[608], Outcome::BlockedByAnalytics, Retry::Never),
];

fn find(code: u16, evidence: &Evidence<'_>) -> Option<&'static Row> {
    ROWS.iter().find(|row| {
        let cause_fits = match row.causes {
            Causes::Any => true,
            Causes::OneOf(causes) => evidence
                .reasons
                .q850
                .is_some_and(|cause| causes.contains(&cause)),
        };
        row.codes.contains(&code) && cause_fits && (row.when == When::Always || evidence.rang)
    })
}

/// Retry-After in seconds, its comment and parameters left aside, with a cap.
pub(super) fn retry_after(message: &Message) -> Option<Duration> {
    let text = message.first("Retry-After")?;
    let seconds = text.split([';', '(']).next()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests;
