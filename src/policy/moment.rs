//! What the kinds of rule look at: the scene (a call, its facts, the law in play) and the moment (one instant on one
//! wall clock). With several candidate zones there are several moments, and a call must be lawful in each.

use std::cell::OnceCell;
use std::fmt::Arguments;

use jiff::ToSpan as _;
use jiff::civil::{Date, DateTime};

use super::consent::Standing;
use super::facts::{Case, OptOut, OptOutScope, ProviderAnswer};
use super::ground::Ground;
use super::holidays::Holidays;
use super::kinds::Kind;
use super::operator::DisabledRule;
use super::pack::Pack;
use super::rule::{Rank, Reach, Rule};
use super::whereabouts::{called_countries, laws_of, regions};
use crate::domain::Text;
use crate::domain::decision::RuleOutcome;
use crate::domain::party::RegisterCheck;
use crate::domain::phone::Phone;
use crate::domain::provider::{ProviderKind, ScrubOutcome};
use crate::domain::time::Micros;
use crate::place::{Dialable, Place, Zone, locate};

/// One call with all that holds at every instant and in every zone.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    pub pack: &'a Pack,
    pub case: &'a Case,
    pub number: Phone,
    pub place: Place,
    /// Countries and territories where the person may be.
    pub called: Vec<String>,
    /// Countries whose law may hold, territories mapped to the law they are under.
    pub countries: Vec<String>,
    /// Every jurisdiction in play.
    pub jurisdictions: Vec<Text>,
    /// Rows in play that speak of this call, in order of report; dates are looked at by each moment.
    pub candidates: Vec<&'a Rule>,
    /// The latest opt-out that binds this seller.
    pub last_opt_out: Option<Micros>,
}

impl<'a> Scene<'a> {
    /// Gathers the law in play: of the places where the person is or may be, of the controller, and the product's own.
    pub fn open(pack: &'a Pack, case: &'a Case, number: &Dialable) -> Self {
        let place = locate(pack.tables(), number, case.facts.location.as_ref());
        let called = called_countries(pack, number, case.facts.location.as_ref(), &place);
        let countries = laws_of(pack, &called);
        let regions = regions(pack, &place, &called);
        let called = called.into_iter().map(str::to_owned).collect();
        let mut entries: Vec<(&str, bool)> = Vec::new();
        let mut add = |name, called| {
            if !entries.contains(&(name, called)) {
                entries.push((name, called));
            }
        };
        for country in &countries {
            add(country, true);
        }
        for region in &regions {
            add(region, true);
        }
        for country in &countries {
            pack.groups_of(country).for_each(|group| add(group, true));
        }
        let controller = case.call.controller_country.as_deref();
        let controller = controller.map(str::to_ascii_uppercase);
        if let Some(controller) = &controller {
            let law = pack.law_of(controller);
            pack.groups_of(law).for_each(|group| add(group, false));
        }
        add(Pack::POLICY, true);

        let mut indexes: Vec<usize> = Vec::new();
        let mut jurisdictions: Vec<Text> = Vec::with_capacity(entries.len());
        for (name, called) in entries {
            indexes.extend(pack.indexes_of(name).iter().copied().filter(|index| {
                pack.rule(*index)
                    .is_some_and(|rule| reaches(rule, called) && rule.speaks_of(case))
            }));
            if jurisdictions.iter().all(|known| *known != name) {
                jurisdictions.push(pack.name_of(name));
            }
        }
        indexes.sort_unstable();
        indexes.dedup();
        Self {
            candidates: indexes.into_iter().filter_map(|i| pack.rule(i)).collect(),
            last_opt_out: last_opt_out(case),
            number: number.phone,
            pack,
            case,
            place,
            called,
            countries,
            jurisdictions,
        }
    }

    /// The instant as each candidate zone sees it; one moment without a zone where none can be named.
    pub fn moments(&'a self, now: Micros, explain: bool) -> Vec<Moment<'a>> {
        if self.place.zones.is_empty() {
            return vec![Moment::new(self, now, None, explain)];
        }
        let zones = self.place.zones.iter();
        zones
            .map(|zone| Moment::new(self, now, Some(zone), explain))
            .collect()
    }

    /// The countries whose public holidays a row keeps. Policy and groups have none of their own: those of every called one.
    fn keepers<'s>(&'s self, rule: &'s Rule) -> impl Iterator<Item = &'s str> {
        let (own, every) = match rule.rank {
            Rank::Country | Rank::State => (Some(rule.common.country()), [].as_slice()),
            Rank::Policy | Rank::Group => (None, self.countries.as_slice()),
        };
        own.into_iter().chain(every.iter().map(String::as_str))
    }

    /// When the next year begins whose public holidays are on file, for one of the countries whose days the row keeps.
    pub fn data_begins(&self, calendar: &str, rule: &Rule, now: Micros) -> Option<Micros> {
        let holidays = self.pack.holidays();
        if holidays.computed(calendar).is_some() {
            return None;
        }
        let year = now.timestamp().to_zoned(jiff::tz::TimeZone::UTC).year();
        let begins = |country| holidays.data_after(country, year);
        self.keepers(rule).filter_map(begins).max()
    }

    /// Regions that are known or presumed, for calendars of holidays.
    pub fn regions(&self) -> impl Iterator<Item = &str> + Clone {
        let place = &self.place;
        let all = place.known_regions.iter().chain(&place.number_regions);
        all.map(String::as_str)
    }
}

/// Rows of a group follow the called country, the controller's, or both; rows of every other jurisdiction the called one.
fn reaches(rule: &Rule, called: bool) -> bool {
    match (rule.rank, rule.common.reach) {
        (Rank::Group, Reach::Called) => called,
        (Rank::Group, Reach::Controller) => !called,
        _ => true,
    }
}

/// Every opt-out on file counts, whatever its kind and even if its time lies ahead of this clock: it acts at once.
fn last_opt_out(case: &Case) -> Option<Micros> {
    let opt_outs = case.facts.opt_outs.iter();
    let binding = opt_outs.filter(|opt_out| binds(opt_out, case));
    binding.map(|opt_out| opt_out.at).max()
}

/// Whether it binds this seller: only one that certainly binds another seller alone is left out.
pub(super) fn binds(opt_out: &OptOut, case: &Case) -> bool {
    match (opt_out.scope, &opt_out.seller, &case.call.seller) {
        (Some(OptOutScope::All), _, _) => true,
        (_, Some(bound), Some(this)) => bound == this,
        _ => true,
    }
}

/// One instant on one wall clock, and the rows that hold on that date.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub scene: &'a Scene<'a>,
    pub now: Micros,
    /// None: no zone can be named, and the local time below is UTC's for want of a better one.
    pub zone: Option<&'a Zone>,
    pub local: DateTime,
    in_play: Vec<bool>,
    standing: OnceCell<Standing<'a>>,
    /// The zone as evidence; most rows name it.
    zone_named: OnceCell<Text>,
    explain: bool,
}

impl<'a> Moment<'a> {
    /// The instant in this zone. Without `explain` findings carry no text: the search for a later instant needs none.
    pub fn new(scene: &'a Scene<'a>, now: Micros, zone: Option<&'a Zone>, explain: bool) -> Self {
        let mut moment = Self {
            local: local(zone, now),
            in_play: Vec::new(),
            standing: OnceCell::new(),
            zone_named: OnceCell::new(),
            scene,
            now,
            zone,
            explain,
        };
        let date = moment.date();
        let holding = |rule: &&Rule| rule.holds_on(date);
        moment.in_play = scene.candidates.iter().map(holding).collect();
        let fallbacks: Vec<bool> = (scene.candidates.iter())
            .map(|rule| rule.common.fallback && moment.is_displaced(rule))
            .collect();
        for (in_play, displaced) in moment.in_play.iter_mut().zip(fallbacks) {
            *in_play &= !displaced;
        }
        moment
    }

    /// The same moment, whose findings carry their words.
    pub fn explained(&self) -> Self {
        Self::new(self.scene, self.now, self.zone, true)
    }

    /// A fallback gives way to a row of its kind from a more special jurisdiction. Rows that cannot decide displace none
    /// that can, and rows without hours of their own no hours.
    fn is_displaced(&self, fallback: &Rule) -> bool {
        self.rows().any(|rule| {
            let tells = || match rule.kind {
                Kind::CallingWindow(_) => false,
                _ => rule.common.enforced && !fallback.kind.decides(),
            };
            !rule.common.fallback
                && (rule.decides() || tells())
                && rule.rank > fallback.rank
                && rule.kind.is_like(&fallback.kind)
        })
    }

    /// The rows that hold here and now; those that were switched off have no effect on others.
    pub fn rows(&self) -> impl Iterator<Item = &'a Rule> {
        let rows = self.scene.candidates.iter().zip(&self.in_play);
        rows.filter(|(rule, in_play)| **in_play && rule.disabled.is_none())
            .map(|(rule, _)| *rule)
    }

    /// Whether the candidate of this index holds here and now.
    pub fn holds(&self, candidate: usize) -> bool {
        self.in_play.get(candidate).copied().unwrap_or(false)
    }

    /// What the row says here and now.
    pub fn judge(&self, rule: &Rule) -> Finding {
        if let Some(disabled) = &rule.disabled {
            let DisabledRule { reason, by, .. } = disabled;
            self.info(format_args!("disabled: switched off by {by}: {reason}"))
                .with(format_args!("disabled_by={by}"))
        } else if rule.common.enforced && rule.kind.is_constant() {
            self.always(rule)
        } else if rule.common.enforced {
            rule.kind.judge(rule, self)
        } else {
            self.info(format_args!("shown only: this rule is not enforced"))
        }
    }

    /// What a row says that says the same of every call: put into words once.
    fn always(&self, rule: &Rule) -> Finding {
        let Some(words) = rule.always.get() else {
            let finding = rule.kind.judge(rule, self);
            if let Some(words) = &finding.words {
                // Another thread may have been faster, and says the same.
                let _ = rule.always.set(words.clone().shared());
            }
            return finding;
        };
        Finding {
            outcome: RuleOutcome::Info,
            words: self.explain.then(|| words.clone()),
        }
    }

    /// The zone as evidence.
    pub fn named(&self, zone: &Zone) -> Text {
        let named = || Text::from(format_args!("zone={}", zone.name)).shared();
        self.zone_named.get_or_init(named).clone()
    }

    /// The local date.
    pub fn date(&self) -> Date {
        self.local.date()
    }

    /// The local date of another instant.
    pub fn date_of(&self, at: Micros) -> Date {
        local(self.zone, at).date()
    }

    /// Whole days from that date to today; negative when it lies ahead.
    pub fn days_since(&self, date: Date) -> i64 {
        (self.date() - date).get_days().into()
    }

    /// "Within n days" includes day n; dates ahead are not within anything.
    pub fn is_within_days(&self, date: Date, days: i64) -> bool {
        (0..=days).contains(&self.days_since(date))
    }

    /// The same in calendar months, counted back from today and clamped to the month's end.
    pub fn is_within_months(&self, date: Date, months: i32) -> bool {
        let first = self.date().saturating_sub(months.months());
        date <= self.date() && first <= date
    }

    /// What stands of the consents on file.
    pub fn standing(&self) -> &Standing<'a> {
        self.standing.get_or_init(|| Standing::of(self))
    }

    /// The newest answer of this register; of two equally new ones the worse.
    pub fn register_entry(&self, id: &str) -> Option<&'a RegisterCheck> {
        let entries = self.scene.case.facts.registers.iter();
        entries
            .filter(|entry| entry.register == id)
            .max_by_key(|entry| (entry.as_of, entry.listed != Some(false)))
    }

    /// The provider that said what stands in this entry, where it was one.
    pub fn provider_of(&self, entry: &RegisterCheck) -> Option<&'a ProviderAnswer> {
        let answers = self.scene.case.facts.provider_answers.iter();
        let listed = |answer: &ProviderAnswer| match answer.result {
            ScrubOutcome::Listed => Some(true),
            ScrubOutcome::Clear => Some(false),
            ScrubOutcome::Unknown | ScrubOutcome::Error => None,
        };
        let mut said = answers.filter(|answer| {
            answer.register.as_ref() == Some(&entry.register)
                && answer.answered_at.utc_date() == entry.as_of
                && listed(answer) == entry.listed
        });
        said.next()
    }

    /// The provider that was asked whether the number was given up, if the answer on file is its.
    pub fn provider_of_reassigned(&self) -> Option<&'a ProviderAnswer> {
        let facts = &self.scene.case.facts;
        let check = facts.reassigned_check?;
        let mut answers = facts.provider_answers.iter();
        answers.find(|answer| {
            answer.kind == ProviderKind::Reassigned
                && answer.answered_at.utc_date() == check.queried_on
        })
    }

    /// The day on which the relationship ended, if it did: either side ended it, or the person opted out.
    pub fn relationship_end(&self) -> Option<Date> {
        let known = self.scene.case.facts.relationship.as_ref();
        let ended = known.and_then(|known| known.ended_at);
        ended
            .max(self.scene.last_opt_out)
            .map(|at| self.date_of(at))
    }

    /// Whether a dealing of that date counts: it is no date ahead, and nothing ended the relationship on it or after.
    pub fn is_standing_dealing(&self, date: Date) -> bool {
        date <= self.date() && self.relationship_end().is_none_or(|end| date > end)
    }

    /// The name of the holiday that this date is by the calendar, as the rule's jurisdiction keeps it.
    pub fn holiday(&self, calendar: &str, rule: &Rule, date: Date) -> Option<&'a str> {
        let (scene, holidays) = (self.scene, self.scene.pack.holidays());
        if let Some(calendar) = holidays.computed(calendar) {
            return calendar.holiday(date);
        }
        let strict = calendar == Holidays::PUBLIC_STRICT;
        let public = |country: &str| {
            holidays.public(
                country,
                |region| scene.keeps_days_of(country, region, strict),
                date,
            )
        };
        scene.keepers(rule).find_map(public)
    }

    /// The row is met.
    pub fn pass(&self, reason: Arguments<'_>) -> Finding {
        self.finding(RuleOutcome::Pass, reason)
    }

    /// The row denies the call.
    pub fn fail(&self, reason: Arguments<'_>) -> Finding {
        self.finding(RuleOutcome::Fail, reason)
    }

    /// A ground on file does not count because of the row.
    pub fn void(&self, reason: Arguments<'_>) -> Finding {
        self.finding(RuleOutcome::Void, reason)
    }

    /// Nothing is decided.
    pub fn info(&self, reason: Arguments<'_>) -> Finding {
        self.finding(RuleOutcome::Info, reason)
    }

    /// A ground lifts the row, which would deny otherwise.
    pub fn lifted(&self, ground: Ground, otherwise: Arguments<'_>) -> Finding {
        let finding = self.finding(
            RuleOutcome::Lifted,
            format_args!("{otherwise}; lifted by {ground}: {}", ground.words()),
        );
        finding.with(format_args!("ground={ground}"))
    }

    /// Denies, unless one of the row's grounds lifts it.
    pub fn fail_unless_lifted(&self, rule: &Rule, reason: Arguments<'_>) -> Finding {
        match super::ground::first(&rule.common.lifted_by, rule, self) {
            Some(ground) => self.lifted(ground, reason),
            None => self.fail(reason),
        }
    }

    fn finding(&self, outcome: RuleOutcome, reason: Arguments<'_>) -> Finding {
        Finding {
            outcome,
            words: self.explain.then(|| Words {
                reason: reason.into(),
                // Its own, and the zone.
                evidence: Vec::with_capacity(4),
            }),
        }
    }
}

fn local(zone: Option<&Zone>, at: Micros) -> DateTime {
    zone.map_or_else(
        || at.timestamp().to_zoned(jiff::tz::TimeZone::UTC).datetime(),
        |zone| zone.local(at).datetime(),
    )
}

/// What one row says at one moment.
#[derive(Debug)]
pub(super) struct Finding {
    pub outcome: RuleOutcome,
    pub words: Option<Words>,
}

/// The words to a finding.
#[derive(Debug, Clone)]
pub(super) struct Words {
    pub reason: Text,
    pub evidence: Vec<Text>,
}

impl Words {
    fn shared(self) -> Self {
        Self {
            reason: self.reason.shared(),
            evidence: self.evidence.into_iter().map(Text::shared).collect(),
        }
    }
}

impl Finding {
    /// Adds who said so online, and when.
    pub fn with_provider(self, said: Option<&ProviderAnswer>) -> Self {
        self.with_some("provider", said.map(|said| &said.provider))
            .with_some("answered", said.map(|said| said.answered_at))
            .with_some("raw_code", said.map(|said| &said.raw_code))
    }

    /// Adds an id or a value that was used, `name=value`; never a phone number.
    pub fn with(mut self, evidence: Arguments<'_>) -> Self {
        if let Some(words) = &mut self.words {
            words.evidence.push(evidence.into());
        }
        self
    }

    /// The same for a value that may be absent.
    pub fn with_some<T: std::fmt::Display>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(format_args!("{name}={value}")),
            None => self,
        }
    }
}

impl Kind {
    /// Whether one may displace the other: of the same kind, and restrictions of the same occasion.
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Restriction(one), Self::Restriction(two)) => one.when == two.when,
            _ => self.name() == other.name(),
        }
    }
}
