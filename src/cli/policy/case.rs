//! A line of a stream read as a case, and what is wrong with it if it is none.

use crate::policy::Pack;
use crate::policy::facts::Case;

/// Reads a case whose places this pack knows; the error names every field at fault, and holds no number.
pub fn read(line: &[u8], pack: &Pack) -> Result<Case, String> {
    Case::read(line, pack).map_err(|faults| faults.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"a","call":{"at":"2026-04-21T12:59:00Z","to":"+14045550141","call_kind":"live_manual"},"facts":{}}"#;

    fn assert_says(line: &str, says: &str) {
        let pack = Pack::embedded().unwrap();
        let fault = read(line.as_bytes(), &pack).unwrap_err();
        assert!(fault.starts_with(says), "{fault} should say {says}");
        assert!(!fault.contains("4045550100"));
    }

    fn consent(event: &str) -> String {
        GOOD.replace(r#"{}}"#, &format!(r#"{{"consents":[{event}]}}}}"#))
    }

    #[test]
    fn a_fault_names_its_field() {
        let given = r#"{"action":"given","at":"2026-04-01T00:00:00Z","#;
        for (line, says) in [
            (GOOD.replace(r#","facts":{}"#, ""), "facts: is missing"),
            (
                GOOD.replace(r#","call_kind":"live_manual""#, ""),
                "call.call_kind: is missing",
            ),
            (
                GOOD.replace("live_manual", "robot"),
                "call.call_kind: unknown call kind `robot`, expected one of live_manual,",
            ),
            (
                GOOD.replace("{}}", r#"{"minor":"no"}}"#),
                "facts.minor: invalid type",
            ),
            (
                GOOD.replace("{}}", r#"{"opt_in":true}}"#),
                "facts.opt_in: unknown key, expected one of",
            ),
            (
                consent(&format!(
                    r#"{given}"form":"written"}},{given}"form":"loud"}}"#
                )),
                "facts.consents[1].form: unknown consent form",
            ),
            (
                consent(r#"{"action":"given"}"#),
                "facts.consents[0].at: is missing",
            ),
            (
                GOOD.replace(r#""to":"#, r#""from":"14045550100","to":"#),
                "call.from: not an E.164 number",
            ),
            (
                GOOD.replace(r#""to":"#, r#""atds":"14045550100","to":"#),
                "call.atds: invalid type: string \"…\", expected",
            ),
        ] {
            assert_says(&line, says);
        }
    }

    #[test]
    fn a_value_that_is_no_place_time_or_period_is_told() {
        let given = r#"{"action":"given","at":"2026-04-01T00:00:00Z","#;
        for (line, says) in [
            (
                consent(&format!(r#"{given}"period":"forever"}}"#)),
                "facts.consents[0].period: unknown period `forever`, expected indefinite,",
            ),
            (
                consent(&format!(r#"{given}"channels":[]}}"#)),
                "facts.consents[0].channels: is empty; leave it out for all kinds of call",
            ),
            (
                GOOD.replace("{}}", r#"{"location":{"timezone":"Mars/Olympus"}}}"#),
                "facts.location.timezone: `Mars/Olympus` is not the IANA time zone of a place",
            ),
            (
                GOOD.replace(
                    "{}}",
                    r#"{"location":{"region":"Florida","country":"US"}}}"#,
                ),
                "facts.location.region: `Florida` is not an ISO 3166-2 code",
            ),
            (
                GOOD.replace("{}}", r#"{"location":{"region":"US-XX"}}}"#),
                "facts.location.region: no table knows the region `US-XX`",
            ),
            (
                GOOD.replace(r#""to":"#, r#""controller_country":"Germany","to":"#),
                "call.controller_country: `Germany` is not an ISO 3166-1 alpha-2 code",
            ),
            (
                GOOD.replace("12:59:00Z", "12:59:00Z[Mars/X]"),
                "call.at: invalid value: string \"2026-04-21T12:59:00Z[Mars/X]\", expected a time as in",
            ),
            (
                consent(
                    r#"{"action":"given","at":"2026-04-01T00:00:00Z","period":"2026-04-10[u-ca=hebrew]"}"#,
                ),
                "facts.consents[0].period: unknown period",
            ),
            (
                GOOD.replace("{}}", r#"{"relationship":{"last_inquiry":"20260410"}}}"#),
                "facts.relationship.last_inquiry: invalid value: string \"…\", expected a date as in",
            ),
        ] {
            assert_says(&line, says);
        }
    }
}
