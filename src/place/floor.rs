//! The floor under every call: numbers that nobody may dial through this program, whatever the law or the configuration
//! says. Emergency and short numbers are looked for in every disguise that a switch on the way might take off.
//!
//! The phone library's *possible* is the gate and its *valid* only a warning: its metadata lags behind new area codes.
//! Nor is its type trusted alone: an over-long premium number is of unknown type to it and still premium to a switch.

use rlibphonenumber::{NumberLengthType, PhoneNumber, PhoneNumberType};

use super::kinds;
use super::sheets::is_digits;
use super::tables::{AreaCode, RateClass, Tables};
use crate::domain::party::LineType;
use crate::domain::phone::Phone;

/// The North American Numbering Plan.
pub(super) const NANP: u16 = 1;

/// ITU-T E.164 section 6.2.1.
const LONGEST_NUMBER: usize = 15;

/// No full international number is shorter; many a short code with something in front of it is.
const SHORTEST_NUMBER: usize = 7;

/// The longest exit prefix and calling code before the longest number: what is longer still is no number at all.
const LONGEST_DISGUISE: usize = LONGEST_NUMBER + 6;

/// What a switch may take off before it looks at the rest: exit prefixes, a trunk 0, a private exchange's 9.
const TAKEN_OFF: [&str; 4] = ["00", "011", "0", "9"];

/// A number that may be dialed as far as numbering goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialable {
    /// The number.
    pub phone: Phone,
    /// ISO 3166-1 country of the number.
    pub country: String,
    /// Every country the number may belong to: more than one where a shared calling code's metadata cannot tell.
    pub candidates: Vec<String>,
    /// What the numbering plan says of the line, where it says anything.
    pub line: Option<LineType>,
    /// Oddities that do not refuse the number, each a code such as `NOT_VALID_BY_METADATA`.
    pub warnings: Vec<String>,
}

/// Why a number is never dialed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotDialable {
    /// Not `+` and 7 to 15 digits.
    #[error(
        "not an E.164 number: write `+`, the country calling code and the national number, digits only"
    )]
    NotE164,
    /// An emergency or short number, or one that becomes it on the way.
    #[error(
        "an emergency or short number, or one that a switch may take for it: never dialed from here"
    )]
    EmergencyOrShortNumber,
    /// A calling code without a country.
    #[error(
        "the calling code belongs to no country, so neither law nor clock is known: call a number of a country"
    )]
    NoPlaceNumber,
    /// An area code that nobody has assigned.
    #[error("the area code is not assigned: check the number")]
    UnknownAreaCode,
    /// A kind of number that is not a person's line.
    #[error(
        "a toll-free, personal, company-wide, pager or service number: call the person's own line"
    )]
    ForbiddenNumberKind,
    /// Premium rate or shared cost.
    #[error("a premium-rate or shared-cost number: call the person's own line")]
    PremiumRate,
    /// Of no length that the country's plan knows, or with a trunk prefix left in.
    #[error(
        "not a possible number of its country: check its length, and leave out the trunk prefix"
    )]
    NotPossible,
}

impl NotDialable {
    /// Every reason, in the order in which they are looked for.
    pub const ALL: &'static [Self] = &[
        Self::NotE164,
        Self::EmergencyOrShortNumber,
        Self::NoPlaceNumber,
        Self::UnknownAreaCode,
        Self::ForbiddenNumberKind,
        Self::PremiumRate,
        Self::NotPossible,
    ];

    /// The code that decisions and error details carry.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::NotE164 => "NOT_E164",
            Self::EmergencyOrShortNumber => "EMERGENCY_OR_SHORT_NUMBER",
            Self::NoPlaceNumber => "NO_PLACE_NUMBER",
            Self::UnknownAreaCode => "UNKNOWN_AREA_CODE",
            Self::ForbiddenNumberKind => "FORBIDDEN_NUMBER_KIND",
            Self::PremiumRate => "PREMIUM_RATE",
            Self::NotPossible => "NOT_POSSIBLE",
        }
    }
}

/// Judges whether this text is a number that may be dialed at all. Takes E.164 and nothing else: no separators, no
/// `tel:`, no extension.
pub fn dialable(tables: &Tables, text: &str) -> Result<Dialable, NotDialable> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if !is_digits(digits) {
        return Err(NotDialable::NotE164);
    }
    // Before the form, so that `911` is called what it is.
    if digits.len() < SHORTEST_NUMBER || hides_short_number(tables, digits) {
        return Err(NotDialable::EmergencyOrShortNumber);
    }
    let phone = Phone::parse(text).map_err(|_| NotDialable::NotE164)?;
    let (code, national) = tables
        .split_calling_code(digits)
        .filter(|(code, _)| !tables.placeless_codes.contains(code))
        .ok_or(NotDialable::NoPlaceNumber)?;
    if code == NANP {
        let area_code = north_american(tables, national)?;
        let kind = match kinds::known(national) {
            Some(kind) => kind,
            None => kinds::learn(
                national,
                possible(north_american_parsed(national)?, national)?.1,
            ),
        };
        ordinary_type(kind, None)?;
        return Ok(describe_north_american(phone, area_code, kind));
    }
    let rate = tables.rate(digits);
    if let Some(rate) = rate.filter(|rate| !rate.is_mixed) {
        return Err(refusal(rate.class));
    }
    let parsed = PhoneNumber::parse(text, None).map_err(|_| NotDialable::NotPossible);
    let parsed = parsed.and_then(|parsed| possible(parsed, national));
    let is_valid = parsed.as_ref().is_ok_and(|(_, kind)| is_valid(*kind));
    if !is_valid && may_be_short(tables, code, national) {
        return Err(NotDialable::EmergencyOrShortNumber);
    }
    let (parsed, kind) = parsed?;
    let hides = || uncovered(national).any(|rest| may_be_short(tables, code, rest));
    if !is_valid && (begins_short(tables, code, national) || hides()) {
        return Err(NotDialable::EmergencyOrShortNumber);
    }
    if let Some(why) = refused_twice(tables, code, national).filter(|_| !is_valid) {
        return Err(why);
    }
    ordinary_type(kind, rate.map(|rate| rate.class))?;
    describe_elsewhere(tables, phone, code, (&parsed, kind))
}

/// Tells whether the digits are an emergency or short number once prefixes or a calling code are taken off.
fn hides_short_number(tables: &Tables, digits: &str) -> bool {
    if digits.len() > LONGEST_DISGUISE {
        return false;
    }
    uncovered(digits).any(|rest| {
        tables.short.anywhere.contains(rest)
            || tables
                .short
                .patterns
                .iter()
                .any(|pattern| pattern.matches(rest))
            || tables
                .split_calling_code(rest)
                .is_some_and(|(code, national)| {
                    uncovered(national).any(|national| is_short_in(tables, code, national))
                })
    })
}

/// Whether these digits are an emergency number somewhere, or a short number of many countries.
#[must_use]
pub fn is_emergency(tables: &Tables, digits: &str) -> bool {
    let short = &tables.short;
    short.anywhere.contains(digits) || short.patterns.iter().any(|each| each.matches(digits))
}

/// What is left of the digits after nothing, one or several of the prefixes that a switch may take off.
fn uncovered(digits: &str) -> impl Iterator<Item = &str> {
    let mut found = vec![digits];
    let mut next = 0;
    while let Some(rest) = found.get(next).copied() {
        for shorter in TAKEN_OFF
            .iter()
            .filter_map(|prefix| rest.strip_prefix(prefix))
        {
            if !shorter.is_empty() && !found.contains(&shorter) {
                found.push(shorter);
            }
        }
        next += 1;
    }
    found.into_iter()
}

fn is_short_in(tables: &Tables, code: u16, national: &str) -> bool {
    let own = tables.short.by_calling_code.get(&code);
    own.is_some_and(|own| own.contains(national))
        || tables.short.patterns.iter().any(|pattern| {
            let holds_here = pattern
                .calling_codes
                .as_ref()
                .is_none_or(|codes| codes.contains(&code));
            holds_here && pattern.matches(national)
        })
}

/// As long as some short code of the country. A number that the metadata knows may be, in plans with short subscriber
/// numbers; one that it does not know may not.
fn may_be_short(tables: &Tables, code: u16, national: &str) -> bool {
    let lengths = tables.short.lengths.get(&code);
    lengths.is_some_and(|lengths| lengths.contains(&national.len()))
}

/// Begins with an emergency or short number of the country, and is no number that the metadata knows: an exchange that
/// acts on the first digits would connect it, whatever follows.
fn begins_short(tables: &Tables, code: u16, national: &str) -> bool {
    (2..national.len())
        .filter_map(|end| national.get(..end))
        .any(|head| tables.short.anywhere.contains(head) || is_short_in(tables, code, head))
}

/// What is wrong with the number inside, if the calling code stands there twice.
fn refused_twice(tables: &Tables, code: u16, national: &str) -> Option<NotDialable> {
    let inner = national.strip_prefix(&code.to_string())?;
    if uncovered(inner).any(|rest| is_short_in(tables, code, rest))
        || may_be_short(tables, code, inner)
    {
        return Some(NotDialable::EmergencyOrShortNumber);
    }
    let why = dialable(tables, &format!("+{national}")).err()?;
    (why != NotDialable::NotPossible).then_some(why)
}

/// The area code of a +1 number, if the number can be a person's line.
fn north_american<'t>(tables: &'t Tables, national: &str) -> Result<&'t AreaCode, NotDialable> {
    let group = |range| {
        national
            .get(range)
            .and_then(|text: &str| text.parse::<u16>().ok())
    };
    let (npa, area_code) = group(0..3)
        .filter(|_| !national.starts_with('0'))
        .and_then(|npa| tables.area_codes.get_key_value(&npa))
        .ok_or(NotDialable::UnknownAreaCode)?;
    if !area_code.is_geographic || is_service_code(*npa) {
        return Err(NotDialable::ForbiddenNumberKind);
    }
    match group(3..6) {
        // Exchanges begin with 2 to 9.
        None | Some(..=199) => Err(NotDialable::NotPossible),
        Some(exchange) if is_service_code(exchange) => Err(NotDialable::ForbiddenNumberKind),
        Some(exchange) if is_closed(tables, exchange, national) => {
            Err(NotDialable::ForbiddenNumberKind)
        }
        Some(_) => Ok(area_code),
    }
}

/// 211 to 911, whatever a table says of them.
fn is_service_code(group: u16) -> bool {
    group % 100 == 11
}

/// An exchange that is nobody's line. Of 555, the hundred numbers set aside for fiction are let through: they reach
/// nobody, and examples and rehearsals are written with them.
fn is_closed(tables: &Tables, exchange: u16, national: &str) -> bool {
    let is_fiction = exchange == 555 && national.get(6..8) == Some("01");
    tables.closed_exchanges.contains(&exchange) && !is_fiction
}

/// What the library makes of a +1 number whose area code is assigned. Its parser looks for extensions, spellings and a
/// trunk 1 first, with one regular expression each; in digits that begin with 2 to 9 there are none of these.
pub(super) fn north_american_parsed(national: &str) -> Result<PhoneNumber, NotDialable> {
    Ok(PhoneNumber {
        country_code: NANP.into(),
        national_number: national.parse().map_err(|_| NotDialable::NotPossible)?,
        ..PhoneNumber::default()
    })
}

/// The number and its type as the library reads them, if its length is right and nothing of it was taken for a trunk
/// prefix.
fn possible(
    parsed: PhoneNumber,
    national: &str,
) -> Result<(PhoneNumber, PhoneNumberType), NotDialable> {
    if parsed.is_possible_with_reason() != Ok(NumberLengthType::IsPossible) {
        return Err(NotDialable::NotPossible);
    }
    // The library drops a trunk prefix that we would send: premium behind a 0 would pass as something else.
    // It may add digits (San Marino), which is no harm.
    let significant = parsed.get_national_significant_number();
    let dropped = significant.len() < national.len();
    // Where numbers do begin with 0 (Italy, Ivory Coast, Gabon, Congo) the metadata knows them.
    let kind = parsed.get_type();
    let stray_zero = national.starts_with('0') && !is_valid(kind);
    if dropped || stray_zero {
        return Err(NotDialable::NotPossible);
    }
    Ok((parsed, kind))
}

/// The library calls a number valid exactly when it knows a type for it.
fn is_valid(kind: PhoneNumberType) -> bool {
    kind != PhoneNumberType::Unknown
}

/// Refuses what the library knows to be no ordinary line and, in a range where ordinary numbers and others are mixed,
/// what it does not know to be one.
fn ordinary_type(kind: PhoneNumberType, mixed_with: Option<RateClass>) -> Result<(), NotDialable> {
    match kind {
        PhoneNumberType::PremiumRate | PhoneNumberType::SharedCost => Err(NotDialable::PremiumRate),
        PhoneNumberType::TollFree
        | PhoneNumberType::PersonalNumber
        | PhoneNumberType::Pager
        | PhoneNumberType::UAN
        | PhoneNumberType::VoiceMail => Err(NotDialable::ForbiddenNumberKind),
        PhoneNumberType::Unknown => mixed_with.map_or(Ok(()), |class| Err(refusal(class))),
        PhoneNumberType::FixedLine
        | PhoneNumberType::Mobile
        | PhoneNumberType::FixedLineOrMobile
        | PhoneNumberType::VoIP => Ok(()),
    }
}

fn refusal(class: RateClass) -> NotDialable {
    match class {
        RateClass::Premium | RateClass::SharedCost => NotDialable::PremiumRate,
        RateClass::Personal | RateClass::Pager | RateClass::CompanyWide | RateClass::TollFree => {
            NotDialable::ForbiddenNumberKind
        }
    }
}

fn describe_north_american(phone: Phone, area_code: &AreaCode, kind: PhoneNumberType) -> Dialable {
    let mut warnings = validity_warning(kind);
    if !area_code.is_in_service {
        warnings.push("AREA_CODE_NOT_IN_SERVICE".to_owned());
    }
    Dialable {
        phone,
        country: area_code.country.clone(),
        candidates: vec![area_code.country.clone()],
        line: line_type(kind),
        warnings,
    }
}

fn describe_elsewhere(
    tables: &Tables,
    phone: Phone,
    code: u16,
    (parsed, kind): (&PhoneNumber, PhoneNumberType),
) -> Result<Dialable, NotDialable> {
    let known = parsed.get_region_code().map(|region| region.to_string());
    let known = known.filter(|country| tables.countries.contains_key(country));
    let sharing = tables
        .calling_codes
        .get(&code)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let main = rlibphonenumber::PHONE_NUMBER_UTIL
        .get_region_for_country_code(i32::from(code))
        .map(|region| region.to_string())
        .filter(|country| sharing.contains(country))
        .or_else(|| sharing.first().cloned());
    let candidates = match &known {
        Some(country) => vec![country.clone()],
        None => sharing.to_vec(),
    };
    Ok(Dialable {
        phone,
        country: known.or(main).ok_or(NotDialable::NoPlaceNumber)?,
        candidates,
        line: line_type(kind),
        warnings: validity_warning(kind),
    })
}

fn validity_warning(kind: PhoneNumberType) -> Vec<String> {
    if is_valid(kind) {
        Vec::new()
    } else {
        vec!["NOT_VALID_BY_METADATA".to_owned()]
    }
}

fn line_type(kind: PhoneNumberType) -> Option<LineType> {
    match kind {
        PhoneNumberType::FixedLine => Some(LineType::Landline),
        PhoneNumberType::Mobile => Some(LineType::Mobile),
        PhoneNumberType::VoIP => Some(LineType::Voip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rlibphonenumber::PHONE_NUMBER_UTIL;

    use super::super::tables::tests::{cells, tables};
    use super::*;

    fn check(text: &str, want: Result<&str, NotDialable>) {
        let have = dialable(tables(), text);
        let have = have
            .as_ref()
            .map(|number| number.country.as_str())
            .map_err(|why| *why);
        assert_eq!(have, want, "{text}");
    }

    #[test]
    fn only_the_strict_form_is_read() {
        for text in [
            "",
            "+",
            "+1 404 555 0141",
            "+1-404-555-0141",
            "+1(404)5550141",
            "tel:+14045550141",
            "sip:+14045550141@example.com",
            "+14045550141;ext=5",
            "+14045550141,5",
            "+14045550141#",
            "*67+14045550141",
            "++14045550141",
            "＋14045550141",
            "+１４０４５５５０１４１",
            "+1404٥٥٥0141",
            " +14045550141",
            "+14045550141\n",
            "+1404555O141",
            "14045550141",
            "0014045550141",
            "01114045550141",
            "+1234567890123456",
            "+0123456789",
            "+1404555014\0",
        ] {
            check(text, Err(NotDialable::NotE164));
        }
    }

    #[test]
    fn a_calling_code_written_twice_hides_nothing() {
        for (text, why) in [
            ("+3131999", NotDialable::EmergencyOrShortNumber),
            ("+689689911", NotDialable::EmergencyOrShortNumber),
            // Behind the 9 of an exchange, three digits that nobody knows in a country whose short numbers have three.
            ("+6839681", NotDialable::EmergencyOrShortNumber),
            ("+381381900123456", NotDialable::PremiumRate),
        ] {
            check(text, Err(why));
        }
        // A line that the plan knows to begin like that is a line.
        check("+393931234567", Ok("IT"));
    }

    #[test]
    fn emergency_and_short_numbers_are_seen_through_every_disguise() {
        for text in [
            "911",
            "+911",
            "112",
            "999",
            "08",
            "000",
            "+08",
            "+1911",
            "1911",
            "9911",
            "91911",
            "011911",
            "00112",
            "+00112",
            "0112",
            "+44999",
            "0044999",
            "01144999",
            "90044999",
            "9011449 99".replace(' ', "").as_str(),
            "+490110",
            "+49110",
            "+499110",
            "+4400112",
            "+44011999",
            "+440999",
            "+449999",
            "988",
            "+1988",
            "+1411",
            "+91112",
            "116117",
            "+49116117",
            "+490116117",
            "+44118500",
            "+44207946",
            "+291124422",
            "+2910124422",
            "+29100124422",
            "+227723141",
            "+46900 00".replace(' ', "").as_str(),
            "+61106",
            "+33015",
            "+123456",
        ] {
            check(text, Err(NotDialable::EmergencyOrShortNumber));
        }
    }

    #[test]
    fn calling_codes_without_a_country_are_refused() {
        for text in [
            "+80012345678",
            "+870773111632",
            "+881612345678",
            "+8835100123456",
            "+979123456789",
            "+8881234567",
        ] {
            check(text, Err(NotDialable::NoPlaceNumber));
        }
        for text in ["+2101234567", "+999123456789"] {
            check(text, Err(NotDialable::NoPlaceNumber));
        }
    }

    #[test]
    fn north_american_numbers() {
        use NotDialable::{ForbiddenNumberKind, NotPossible, UnknownAreaCode};
        check("+14045550141", Ok("US"));
        check("+15145550161", Ok("CA"));
        check("+17875550100", Ok("PR"));
        check("+18765550100", Ok("JM"));
        check("+12425550100", Ok("BS"));
        // No such area code: 976 is an exchange, 037 cannot begin one.
        for text in [
            "+19765550100",
            "+10375550100",
            "+12995550100",
            "+15555550100",
            "+11404555014",
        ] {
            check(text, Err(UnknownAreaCode));
        }
        // Premium, toll free, personal, carrier, government, Canadian non-geographic, service codes.
        for text in [
            "+19002345678",
            "+1900234",
            "+190023456789",
            "+18002345678",
            "+18882345678",
            "+18222345678",
            "+15002345678",
            "+17002345678",
            "+17102345678",
            "+16002345678",
            "+19112345678",
            "+14112345678",
        ] {
            check(text, Err(ForbiddenNumberKind));
        }
        // Exchanges that are nobody's line; of 555 only the fictional hundred passes.
        for text in [
            "+14049111234",
            "+14042111234",
            "+14049761234",
            "+14049501234",
            "+14049581234",
            "+14049591234",
            "+14045551212",
            "+14045552345",
            "+14045550099",
            "+14045550200",
        ] {
            check(text, Err(ForbiddenNumberKind));
        }
        check("+14045550100", Ok("US"));
        check("+14045550199", Ok("US"));
        for text in [
            "+14040551234",
            "+14041551234",
            "+1404234567",
            "+140423456789",
            "+1404234",
        ] {
            check(text, Err(NotPossible));
        }
    }

    /// The metadata does not know the newest area codes: they warn and pass.
    #[test]
    fn possible_is_the_gate_and_valid_a_warning() {
        for npa in [357, 436, 457, 621, 624, 679, 729, 837, 861, 924] {
            let number = dialable(tables(), &format!("+1{npa}2345678")).unwrap();
            assert_eq!(number.line, None);
            assert!(
                number
                    .warnings
                    .iter()
                    .all(|code| code == "NOT_VALID_BY_METADATA")
            );
        }
        let planned = dialable(tables(), "+17612345678").unwrap();
        assert!(
            planned
                .warnings
                .contains(&"AREA_CODE_NOT_IN_SERVICE".to_owned())
        );
        assert!(
            dialable(tables(), "+493023125201")
                .unwrap()
                .warnings
                .is_empty()
        );
        let unknown = dialable(tables(), "+442012345678").unwrap();
        assert_eq!(
            (unknown.country.as_str(), unknown.warnings.len()),
            ("GB", 0)
        );
        let unknown = dialable(tables(), "+442512345678").unwrap();
        assert_eq!(unknown.country, "GB");
        assert_eq!(unknown.warnings, ["NOT_VALID_BY_METADATA"]);
        assert_eq!(unknown.candidates, ["GB", "GG", "IM", "JE"]);
    }

    #[test]
    fn numbers_elsewhere() {
        use NotDialable::{ForbiddenNumberKind, NotPossible, PremiumRate};
        for (text, country) in [
            ("+33199001411", "FR"),
            ("+493023125201", "DE"),
            ("+442079460301", "GB"),
            ("+61255501201", "AU"),
            ("+48221239205", "PL"),
            ("+390612345678", "IT"),
            ("+77012345678", "KZ"),
            ("+79161234567", "RU"),
            ("+819012345678", "JP"),
            ("+8613812345678", "CN"),
            ("+862112345678", "CN"),
            ("+3780549886377", "SM"),
        ] {
            check(text, Ok(country));
        }
        // A plan that knows no such number, and an emergency number at its head.
        for text in ["+491120000", "+491100000"] {
            check(text, Err(NotDialable::EmergencyOrShortNumber));
        }
        // By prefix, whatever the length.
        for text in [
            "+449011234567",
            "+44901123456789",
            "+4490112345",
            "+448451234567",
            "+4990012345",
            "+49900123456789",
            "+33899123456",
            "+611900123456",
            "+61130012",
            "+3531550123456",
            "+78091234567890",
            "+390878123456",
        ] {
            check(text, Err(PremiumRate));
        }
        for text in [
            "+447012345678",
            "+448081234567",
            "+443012345678",
            "+4970012345678",
            "+441134960000".replace("1134960000", "7600123456").as_str(),
        ] {
            check(text, Err(ForbiddenNumberKind));
        }
        // A trunk prefix left in, a length of no plan.
        for text in [
            "+4402079460301",
            "+490900123456",
            "+33019900141",
            "+420090012345",
            "+35315501234567",
            "+4420794603",
        ] {
            check(text, Err(NotPossible));
        }
    }

    /// Every number of the worked examples of the rules may be dialed.
    #[test]
    fn example_numbers_pass() {
        for text in [
            "+12395550147",
            "+12705550144",
            "+13035550156",
            "+13035550157",
            "+14015550150",
            "+14045550141",
            "+14045550142",
            "+14355550149",
            "+14435550160",
            "+15125550148",
            "+15145550161",
            "+15145550162",
            "+15145550163",
            "+15145550164",
            "+16025550143",
            "+16145550199",
            "+17015550145",
            "+18135550158",
            "+18135550159",
            "+19195550151",
            "+19195550152",
            "+19195550153",
            "+19195550154",
            "+19195550155",
            "+33199001411",
            "+33199001412",
            "+33199001413",
            "+33199001414",
            "+442079460301",
            "+442079460302",
            "+442079460303",
            "+442079460304",
            "+48221239205",
            "+493023125201",
            "+493023125202",
            "+493023125203",
            "+493023125204",
            "+61255501201",
            "+61255501202",
            "+61255501203",
        ] {
            assert!(dialable(tables(), text).is_ok(), "{text}");
        }
    }

    /// Ordinary example numbers of every country pass, and special ones of every country do not.
    #[test]
    fn example_numbers_of_the_metadata() {
        use PhoneNumberType::{
            FixedLine, Mobile, Pager, PersonalNumber, PremiumRate, SharedCost, TollFree, UAN, VoIP,
        };
        let mut seen = 0;
        for region in PHONE_NUMBER_UTIL.get_supported_regions() {
            for kind in [
                FixedLine,
                Mobile,
                VoIP,
                PremiumRate,
                SharedCost,
                TollFree,
                PersonalNumber,
                Pager,
                UAN,
            ] {
                let example =
                    PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind);
                let Ok(example) = example else { continue };
                let ordinary = matches!(
                    example.get_type(),
                    FixedLine | Mobile | VoIP | PhoneNumberType::FixedLineOrMobile
                );
                let text = example.to_string();
                let judged = dialable(tables(), &text);
                seen += 1;
                // Canadian non-geographic numbers are internet lines that ring nowhere in particular.
                let ordinary = ordinary && !text.starts_with("+1600");
                assert_eq!(
                    judged.is_ok(),
                    ordinary,
                    "{region} {kind:?} {text} {judged:?}"
                );
                if let Ok(judged) = judged {
                    assert_eq!(
                        Some(judged.country),
                        example.get_region_code().map(|r| r.to_string()),
                        "{text}"
                    );
                }
            }
        }
        assert!(seen > 800, "{seen}");
    }

    /// A short number of many countries is an ordinary line in none of those it is refused in.
    #[test]
    fn nobody_lives_at_a_short_number() {
        for (code, countries) in &tables().calling_codes {
            let held = tables().short.patterns.iter().filter(|pattern| {
                pattern
                    .calling_codes
                    .as_ref()
                    .is_none_or(|codes| codes.contains(code))
            });
            for pattern in held {
                for digit in '0'..='9' {
                    let text =
                        format!("+{code}{}", pattern.digits.replace('x', &digit.to_string()));
                    let ordinary = PhoneNumber::parse(&text, None).is_ok_and(|number| {
                        number.is_valid() && ordinary_type(number.get_type(), None).is_ok()
                    });
                    assert!(!ordinary, "{countries:?} {text}");
                }
            }
        }
        // Six digits are a subscriber's in Somalia.
        check("+252116123", Ok("SO"));
    }

    /// All emergency and short codes of all countries, in every disguise: none is accepted.
    #[test]
    fn generated_disguises_are_refused() {
        let outer = [
            "", "+", "00", "011", "0", "9", "90", "900", "9011", "+0", "+9", "+00", "+011", "+90",
        ];
        let inner = ["", "0", "9", "00", "011", "90"];
        let mut seen = 0_u32;
        let mut refuse = |text: &str, want: Option<NotDialable>| {
            seen += 1;
            let have = dialable(tables(), text);
            assert!(have.is_err(), "{text}");
            assert!(want.is_none() || have.err() == want, "{text}");
        };
        for [_, code, emergency, _] in cells::<4>("emergency_numbers.csv") {
            for number in emergency.split_whitespace() {
                for (outer, inner) in outer.iter().flat_map(|o| inner.iter().map(move |i| (o, i))) {
                    refuse(
                        &format!("{outer}{number}"),
                        Some(NotDialable::EmergencyOrShortNumber),
                    );
                    let hidden = format!("{outer}{code}{inner}{number}");
                    refuse(&hidden, Some(NotDialable::EmergencyOrShortNumber));
                    for dress in [
                        "tel:", "sip:", "*67", "#31#", "9,", "9w", "+ ", "(", "\u{200b}",
                        "\u{ff0b}",
                    ] {
                        refuse(&format!("{dress}{hidden}"), Some(NotDialable::NotE164));
                    }
                    for dress in [";ext=1", "@example.com", "#", ",1", " ", "\0"] {
                        refuse(&format!("{hidden}{dress}"), Some(NotDialable::NotE164));
                    }
                }
                let wide: String = number
                    .chars()
                    .map(|c| char::from_u32(u32::from(c) - 0x30 + 0xFF10).unwrap())
                    .collect();
                refuse(&format!("+{code}{wide}"), Some(NotDialable::NotE164));
            }
        }
        assert!(seen > 1_000_000, "{seen}");
    }

    /// Special-rate ranges at every length a number can have.
    #[test]
    fn special_rate_ranges_are_refused_at_every_length() {
        for (prefix, rate) in &tables().rates {
            let (code, _) = tables().split_calling_code(prefix).unwrap();
            if rate.is_mixed || code == NANP {
                continue;
            }
            for length in prefix.len()..=LONGEST_NUMBER {
                for fill in ["2", "7"] {
                    let text = format!("+{prefix}{}", fill.repeat(length - prefix.len()));
                    assert!(dialable(tables(), &text).is_err(), "{text}");
                }
            }
        }
    }

    #[test]
    fn reasons_tell_what_to_do_and_never_the_number() {
        let mut codes: Vec<_> = NotDialable::ALL.iter().map(|why| why.code()).collect();
        codes.dedup();
        assert_eq!(codes.len(), 7);
        for why in NotDialable::ALL {
            assert!(
                why.to_string().starts_with(char::is_lowercase) && !why.to_string().ends_with('.')
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_text_breaks_the_floor(text in ".{0,40}") {
            let _ = dialable(tables(), &text);
        }

        #[test]
        fn a_north_american_number_is_put_together_as_the_library_reads_it(national in "[2-9][0-9]{3,13}") {
            let parsed = PhoneNumber::parse(format!("+1{national}"), None);
            prop_assert_eq!(parsed.ok(), north_american_parsed(&national).ok());
        }

        #[test]
        fn what_passes_is_the_number_itself(text in "\\+?[0-9]{0,30}") {
            if let Ok(number) = dialable(tables(), &text) {
                prop_assert_eq!(number.phone.reveal(), text);
                prop_assert!(!number.candidates.is_empty());
            }
        }
    }
}
