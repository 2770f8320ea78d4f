//! The law, pure: facts in, judgement out, and a permit if and only if the verdict is allow.
//!
//! No clock, no logging, no I/O but the loading of a pack. Start reading at [`evaluate`]. A pack ([`Pack`]) holds the rows
//! of `rules/*.toml`; `moment` gathers which of them are in play for one call, at one instant, in each zone where the
//! person may be; the kinds of rule stand in `kinds`, one file each, and the grounds they share in `ground`. Every row in
//! play is judged, none is skipped, and a missing fact denies by the row that needs it.

#![deny(missing_docs)]

mod case;
mod consent;
mod diff;
mod draft;
pub mod facts;
mod files;
mod ground;
mod heal;
mod holidays;
mod kinds;
mod listing;
mod moment;
mod next;
mod operator;
mod origin;
mod pack;
mod permit;
mod read;
mod registers;
mod rule;
mod shown;
mod stated;
mod stop;
#[cfg(test)]
mod testing;
mod vectors;
mod whereabouts;
mod window;

pub use diff::{Became, FileChange, KeyChange, PackDiff, RowChange, WrittenRow};
pub use files::{OPERATOR_FILE, PackFiles};
pub use ground::Ground;
pub use listing::rules_markdown;
pub use operator::{ClosedDay, DisabledRule, OperatorLayer};
pub use pack::{Pack, PackProblem, PackProblems};
pub use permit::{Permit, PermitExpired};
pub use registers::DeclaredRegister;
pub use rule::{Certainty, Common, Flag, Reach, RowAudience, Rule};
pub use shown::showable;
pub use stop::BLOCK_RULE;
pub use vectors::Vector;
pub use whereabouts::jurisdictions;

use std::cell::OnceCell;

use crate::domain::Text;
use crate::domain::decision::{Judgement, RuleOutcome, RuleResult, Verdict};
use crate::domain::phone::Phone;
use crate::domain::time::{Micros, Reading};
use crate::place::{self, Dialable, NotDialable};
use facts::Case;
use moment::{Finding, Moment, Scene, Words};

/// The rule under all rules: built in, so that no pack can lift it.
pub const NOT_DIALABLE: &str = "POLICY-not-dialable";

/// Judges the case, and hands out a permit if and only if the verdict is allow and the instant judged is the one just
/// read off the clocks.
#[must_use]
pub fn evaluate(pack: &Pack, case: &Case, read: Reading) -> (Judgement, Option<Permit>) {
    let judgement = judge(pack, case);
    let current = case.call.at == read.wall;
    let number = Phone::parse(&case.call.to).ok();
    let permit = number
        .filter(|_| current && judgement.verdict == Verdict::Allow)
        .map(|to| Permit::new(to, case.call.from, read));
    (judgement, permit)
}

/// What every rule in play says of the case at `case.call.at`, and what follows from it.
#[must_use]
pub fn judge(pack: &Pack, case: &Case) -> Judgement {
    let number = match place::dialable(pack.tables(), &case.call.to) {
        Ok(number) => number,
        Err(why) => return refused(why),
    };
    let scene = Scene::open(pack, case, &number);
    let mut warnings = number.warnings;
    warnings.extend_from_slice(&scene.place.warnings);
    judge_scene(scene, warnings, Telling::Everything)
}

/// What [`judge`] comes to, without the words: every rule in play is judged all the same, but only those that deny are
/// named. For lists of numbers, where nobody reads a sentence a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Allow or deny.
    pub verdict: Verdict,
    /// The rules that deny, in order of report.
    pub denied_by: Vec<Text>,
    /// When the same facts would allow the call.
    pub next_allowed_time: Option<Micros>,
}

/// Judges the case as [`judge`] does and tells only what it comes to. `number` is what `place::dialable` made of
/// `case.call.to` by the tables of this pack.
#[must_use]
pub fn outline(pack: &Pack, case: &Case, number: &Dialable) -> Outline {
    let judgement = judge_scene(
        Scene::open(pack, case, number),
        Vec::new(),
        Telling::Denials,
    );
    Outline {
        verdict: judgement.verdict,
        denied_by: judgement.denied_by,
        next_allowed_time: judgement.next_allowed_time,
    }
}

/// How much of a judgement is put into words.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// A result for every rule in play, with its reason and its evidence.
    Everything,
    /// The rules that deny, by name only.
    Denials,
}

fn judge_scene(scene: Scene<'_>, warnings: Vec<String>, telling: Telling) -> Judgement {
    let views = Views::of(&scene, telling);
    let mut results = Vec::new();
    if telling == Telling::Everything {
        results.reserve(scene.candidates.len());
    }
    let mut failing = Vec::new();
    let (barred, mut barred_at) = (scene.barred(), 0);
    for (index, rule) in scene.candidates.iter().copied().enumerate() {
        let Some((finding, moment)) = views.judge(index, rule) else {
            continue;
        };
        if finding.outcome == RuleOutcome::Fail {
            failing.push(rule);
        }
        if telling == Telling::Everything || finding.outcome == RuleOutcome::Fail {
            results.push(result(rule, finding, moment));
        }
        if !barred.is_empty() && stop::comes_after(rule) {
            barred_at = results.len();
        }
    }
    drop(views);
    let (verdict, next_allowed_time) = match (barred.is_empty(), failing.is_empty()) {
        (true, true) => (Verdict::Allow, None),
        (true, false) => (Verdict::Deny, next::next_allowed_time(&scene, &failing)),
        // No later instant with the same facts is free of what two people must end.
        (false, _) => (Verdict::Deny, None),
    };
    results.splice(barred_at..barred_at, barred);
    let denying = |result: &&RuleResult| result.outcome == RuleOutcome::Fail;
    let denied_by = results.iter().filter(denying);
    let denied_by = denied_by.map(|result| result.rule.clone()).collect();
    let zones = scene.place.zones.iter();
    Judgement {
        verdict,
        denied_by,
        rules: results,
        zones: zones.map(|zone| zone.name.clone()).collect(),
        next_allowed_time,
        warnings,
        jurisdictions: scene.jurisdictions,
    }
}

/// The instant as each candidate zone sees it. A country may have a dozen zones, and only one of them speaks for a row: words
/// are made for that one alone.
struct Views<'a> {
    zones: Vec<View<'a>>,
    telling: Telling,
}

struct View<'a> {
    moment: Moment<'a>,
    explained: OnceCell<Moment<'a>>,
}

impl<'a> Views<'a> {
    fn of(scene: &'a Scene<'a>, telling: Telling) -> Self {
        // Where there is one zone only, nothing has to be found out before the words are made.
        let explain = scene.place.zones.len() < 2 && telling == Telling::Everything;
        let moments = scene.moments(scene.case.call.at, explain).into_iter();
        Self {
            zones: moments.map(View::of).collect(),
            telling,
        }
    }

    /// What the row says, if it is in play in any zone: the first zone of the worst outcome speaks for it.
    fn judge(&self, index: usize, rule: &Rule) -> Option<(Finding, &Moment<'a>)> {
        let in_play = self.zones.iter().filter(|view| view.moment.holds(index));
        let findings = in_play.map(|view| (view.moment.judge(rule), view));
        let (finding, view) = findings.reduce(|worst, other| {
            if severity(&other.0) > severity(&worst.0) {
                other
            } else {
                worst
            }
        })?;
        if finding.words.is_some() || self.telling == Telling::Denials {
            return Some((finding, &view.moment));
        }
        let moment = view.explained.get_or_init(|| view.moment.explained());
        Some((moment.judge(rule), moment))
    }
}

impl<'a> View<'a> {
    fn of(moment: Moment<'a>) -> Self {
        Self {
            moment,
            explained: OnceCell::new(),
        }
    }
}

/// The worst in any zone is reported: fail > void > pass > lifted > info.
fn severity(finding: &Finding) -> u8 {
    match finding.outcome {
        RuleOutcome::Fail => 4,
        RuleOutcome::Void => 3,
        RuleOutcome::Pass => 2,
        RuleOutcome::Lifted => 1,
        RuleOutcome::Info => 0,
    }
}

fn result(rule: &Rule, finding: Finding, moment: &Moment<'_>) -> RuleResult {
    let (reason, evidence) = match finding.words {
        None => (Text::Fixed(""), Vec::new()),
        Some(Words {
            reason,
            mut evidence,
        }) => {
            if let Some(zone) = moment.zone.filter(|_| finding.outcome != RuleOutcome::Info) {
                evidence.push(moment.named(zone));
            }
            (reason, evidence)
        }
    };
    RuleResult {
        rule: rule.common.id.clone(),
        outcome: finding.outcome,
        reason,
        citation: rule.common.citation.clone(),
        evidence,
    }
}

/// The floor refuses the number: no other rule is judged.
fn refused(why: NotDialable) -> Judgement {
    Judgement {
        verdict: Verdict::Deny,
        denied_by: vec![NOT_DIALABLE.into()],
        rules: vec![RuleResult {
            rule: NOT_DIALABLE.into(),
            outcome: RuleOutcome::Fail,
            reason: why.code().into(),
            citation: "built in".into(),
            evidence: Vec::new(),
        }],
        jurisdictions: Vec::new(),
        zones: Vec::new(),
        next_allowed_time: None,
        warnings: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::testing::*;
    use super::*;
    use crate::domain::time::Mono;

    /// A call that every rule allows: Atlanta in the morning, the register asked and clear.
    fn allowed() -> Case {
        let mut case = case("US-GA", "2026-04-21T13:00:00Z");
        case.facts.registers = vec![register("us-dnc", Some(false), "2026-04-10")];
        case
    }

    #[test]
    fn a_permit_comes_with_an_allow_of_this_very_instant_only() {
        let mut case = allowed();
        let read = Reading {
            wall: case.call.at,
            mono: Mono(Duration::from_secs(1)),
        };
        let (judgement, permit) = evaluate(pack(), &case, read);
        assert_eq!(judgement.verdict, Verdict::Allow);
        let permit = permit.unwrap();
        assert_eq!(permit.to().reveal(), case.call.to);
        assert_eq!((permit.from(), permit.read()), (case.call.from, read));

        let later = Reading {
            wall: case.call.at.plus(Duration::from_micros(1)),
            ..read
        };
        let (judgement, permit) = evaluate(pack(), &case, later);
        assert_eq!(judgement.verdict, Verdict::Allow);
        assert!(permit.is_none(), "another instant was judged than was read");

        case.facts.opt_outs = vec![opt_out("2026-04-20T00:00:00Z")];
        let (judgement, permit) = evaluate(pack(), &case, read);
        assert_eq!(judgement.verdict, Verdict::Deny);
        assert!(permit.is_none(), "a denial carries no permit");
    }

    #[test]
    fn a_number_below_the_floor_is_denied_by_the_built_in_rule_alone() {
        for (to, code) in [
            ("911", "EMERGENCY_OR_SHORT_NUMBER"),
            ("+19005550100", "FORBIDDEN_NUMBER_KIND"),
            ("+12335550100", "UNKNOWN_AREA_CODE"),
        ] {
            let mut case = allowed();
            case.call.to = to.to_owned();
            let judgement = judge(pack(), &case);
            assert_eq!(judgement.denied_by, [NOT_DIALABLE], "{to}");
            assert_eq!(judgement.rules.len(), 1);
            assert_eq!(judgement.rules[0].reason, code);
            assert_eq!(judgement.next_allowed_time, None);
        }
    }

    #[test]
    fn the_worst_of_several_zones_is_reported_with_its_zone() {
        // North Dakota at 08:20 Central, 07:20 Mountain.
        let mut case = case("US-ND", "2026-09-15T13:20:00Z");
        let reported = said(&case, "US-window").unwrap();
        assert_eq!(reported.outcome, RuleOutcome::Fail);
        assert!(
            reported.evidence.contains(&"zone=America/Denver".into()),
            "{:?}",
            reported.evidence
        );
        assert_eq!(judge(pack(), &case).zones.len(), 2);
        case.call.at = instant("2026-09-15T14:20:00Z");
        assert_eq!(outcome(&case, "US-window"), RuleOutcome::Pass);
    }

    #[test]
    fn rules_are_reported_in_order_and_information_last() {
        let judgement = judge(pack(), &allowed());
        let rank = |id: &str| {
            let rule = pack()
                .rules()
                .iter()
                .find(|rule| rule.common.id == id)
                .unwrap();
            (!rule.decides(), rule.kind.order())
        };
        let ranks: Vec<_> = judgement
            .rules
            .iter()
            .map(|result| rank(&result.rule))
            .collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(judgement.rules[0].rule, "US-internal-dnc");
        assert_eq!(judgement.rules.last().unwrap().outcome, RuleOutcome::Info);
    }

    #[test]
    fn jurisdictions_are_the_union_of_what_may_hold() {
        let jurisdictions = |case: &Case| judge(pack(), case).jurisdictions;
        assert_eq!(jurisdictions(&allowed()), ["US", "US-GA", "ZZ"]);

        // The area code's state and the person's own: both laws apply, one clock is known.
        let mut moved = allowed();
        moved.facts.location = serde_json::from_str(r#"{"region":"US-FL"}"#).unwrap();
        let found = jurisdictions(&moved);
        assert!(
            ["US-FL", "US-GA"]
                .iter()
                .all(|state| found.contains(&(*state).into())),
            "{found:?}"
        );

        let mut controlled = allowed();
        controlled.call.controller_country = Some("ie".to_owned());
        assert_eq!(jurisdictions(&controlled), ["US", "US-GA", "EEA", "ZZ"]);
        assert_eq!(
            outcome(&controlled, "EEA-controller-basis"),
            RuleOutcome::Fail
        );
        assert!(
            said(&controlled, "EEA-identity").is_none(),
            "reach = called"
        );

        let puerto_rico = case("US-PR", "2026-04-21T13:00:00Z");
        assert_eq!(jurisdictions(&puerto_rico), ["US", "US-PR", "ZZ"]);
        let reunion = case("RE", "2026-04-21T13:00:00Z");
        let found = jurisdictions(&reunion);
        assert!(
            found.contains(&"FR".into()) && found.contains(&"EEA".into()),
            "{found:?}"
        );
    }

    #[test]
    fn a_row_speaks_of_its_audience_lines_sectors_and_dates() {
        let in_play = |differ: fn(&mut Case), place: &str, at: &str, rule: &str| {
            let mut case = case(place, at);
            differ(&mut case);
            said(&case, rule).is_some()
        };
        let us = |differ, rule| in_play(differ, "US-GA", "2026-04-21T13:00:00Z", rule);
        use crate::domain::party::{Audience, LineType};
        assert!(us(|c| c.facts.audience = None, "US-window"));
        assert!(us(
            |c| c.facts.audience = Some(Audience::Unknown),
            "US-window"
        ));
        assert!(!us(
            |c| c.facts.audience = Some(Audience::Business),
            "US-window"
        ));
        let business_mobile = |case: &mut Case| {
            case.facts.audience = Some(Audience::Business);
            case.facts.line_type = Some(LineType::Mobile);
        };
        assert!(
            us(business_mobile, "US-window"),
            "a mobile counts as a consumer's there"
        );
        assert!(in_play(
            business_mobile,
            "DE",
            "2026-04-21T13:00:00Z",
            "DE-basis-business"
        ));

        let fr = |differ, rule| in_play(differ, "FR", "2026-09-22T13:30:00Z", rule);
        assert!(fr(|_| {}, "FR-basis-consumer-optin"));
        let press: fn(&mut Case) = |case| case.call.sector = Some("press_subscription".to_owned());
        assert!(!fr(press, "FR-basis-consumer-optin"));
        assert!(fr(press, "FR-basis-press"));
        assert!(!fr(|_| {}, "FR-basis-press"));
        assert!(!fr(|_| {}, "EEA-special-category"));
        assert!(fr(
            |c| c.call.special_category = Some(true),
            "EEA-special-category"
        ));

        // The night in which the new law began: the local date decides.
        let at = |at, rule| in_play(|_| {}, "FR", at, rule);
        assert!(at("2026-08-10T21:59:59Z", "FR-basis-consumer-optout"));
        assert!(!at("2026-08-10T21:59:59Z", "FR-basis-consumer-optin"));
        assert!(at("2026-08-10T22:00:00Z", "FR-basis-consumer-optin"));
        assert!(!at("2026-08-10T22:00:00Z", "FR-basis-consumer-optout"));
    }

    #[test]
    fn a_fallback_gives_way_to_a_row_that_decides() {
        let at = "2026-10-14T12:00:00Z";
        let in_play = |case: &Case, rule| said(case, rule).is_some();
        // Germany has a row on hours that says there are none: the default window stays.
        assert!(in_play(&case("DE", at), "POLICY-default-window"));
        assert!(!in_play(&case("FR", at), "POLICY-default-window"));
        assert!(!in_play(&case("DE", at), "POLICY-opt-out"));
        assert!(!in_play(&case("DE", at), "POLICY-restriction"));
        assert!(in_play(&case("US-GA", at), "POLICY-restriction"));
        assert!(!in_play(&case("DE", at), "EEA-bases"));
        // Belgium has nothing on caller ids; the group's row is no fallback and holds everywhere.
        assert!(in_play(&case("BE", at), "EEA-identity"));
    }

    #[test]
    fn a_call_without_a_clock_is_denied_by_the_row_for_it() {
        let case = allowed();
        let number = place::dialable(pack().tables(), &case.call.to).unwrap();
        let mut scene = Scene::open(pack(), &case, &number);
        scene.place.zones.clear();
        let judgement = judge_scene(scene, Vec::new(), Telling::Everything);
        assert_eq!(judgement.verdict, Verdict::Deny);
        assert_eq!(judgement.denied_by, ["POLICY-unknown-zone"]);
        assert_eq!(judgement.next_allowed_time, None);
        let window = judgement.rules.iter().find(|rule| rule.rule == "US-window");
        assert_eq!(window.unwrap().outcome, RuleOutcome::Info);
    }

    #[test]
    fn a_country_without_rules_is_not_called() {
        let judgement = judge(pack(), &case("BR", "2026-10-14T15:00:00Z"));
        assert!(judgement.denied_by.contains(&"POLICY-no-rules".into()));
        assert_eq!(judgement.next_allowed_time, None);
    }

    #[test]
    fn a_stated_place_that_is_none_is_told() {
        let mut case = allowed();
        assert_eq!(judge(pack(), &case).warnings, Vec::<String>::new());
        case.facts.location = Some(crate::domain::party::Location {
            timezone: Some("Mars/Olympus".to_owned()),
            ..Default::default()
        });
        assert_eq!(judge(pack(), &case).warnings, ["TIMEZONE_UNRESOLVED"]);
    }

    #[test]
    fn evidence_is_pairs_and_names_no_number() {
        let mut case = allowed();
        case.call.from = Some(Phone::parse("+33612345678").unwrap());
        case.facts.attempts = vec![attempt("2026-04-20T15:00:00Z", "refused")];
        for place in ["US-FL", "FR", "SK", "ES", "DE"] {
            case.call.to = number(place).to_owned();
            let judgement = judge(pack(), &case);
            let text = serde_json::to_string(&judgement).unwrap();
            for number in [case.call.to.as_str(), "+33612345678"] {
                assert!(!text.contains(&number[1..]), "{place}: {text}");
            }
            let evidence = judgement.rules.iter().flat_map(|rule| &rule.evidence);
            assert!(evidence.clone().count() > 0);
            evidence.for_each(|pair| assert!(pair.contains('='), "{pair}"));
        }
    }
}
