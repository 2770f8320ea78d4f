//! The floor under every call: emergency, short, premium, shared-cost, satellite and unassigned numbers of all countries, in
//! every disguise that a caller, a trunk or a copied web page may put on them. What a number really is comes from the
//! lists that it is made of, not from the parser under test.

use std::path::Path;

use dialgate::domain::phone::Phone;
use dialgate::place::{NotDialable, dialable};
use dialgate::policy::{NOT_DIALABLE, judge};
use serde_json::json;

use super::agreement::{SHIPPED, on_all_cores};
use super::place::{Line, sheet};
use crate::joints::rng::{Rng, seed, size};

fn lines(name: &str) -> Vec<Line> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules/numbering");
    sheet(&folder.join(name))
}

/// What must never be dialed.
struct Lists {
    /// Calling code and emergency or service number.
    short: Vec<(String, String)>,
    /// Calling code and length of short codes.
    short_lengths: Vec<(String, usize)>,
    /// Calling code, leading digits and lengths of the whole.
    dear: Vec<(String, String, Vec<usize>)>,
    /// Calling codes without a country.
    nowhere: Vec<String>,
    /// Groups of three that are no person's area code, and those that are.
    closed_codes: Vec<String>,
    open_codes: Vec<String>,
}

impl Lists {
    fn read() -> Self {
        let mut lists = Self {
            short: Vec::new(),
            short_lengths: Vec::new(),
            dear: Vec::new(),
            nowhere: Vec::new(),
            closed_codes: Vec::new(),
            open_codes: Vec::new(),
        };
        let everywhere: Vec<String> = lines("never_dial_short.csv")
            .into_iter()
            .filter(|line| line["scope"] == "*")
            .map(|line| line["digits"].clone())
            .collect();
        for line in lines("emergency_numbers.csv") {
            let code = &line["calling_code"];
            for number in line["emergency"].split_whitespace() {
                lists.short.push((code.clone(), number.to_owned()));
            }
            for number in &everywhere {
                lists.short.push((code.clone(), number.clone()));
            }
            for length in line["short_lengths"].split_whitespace() {
                lists
                    .short_lengths
                    .push((code.clone(), length.parse().unwrap()));
            }
        }
        for number in [
            "211", "311", "411", "511", "611", "711", "811", "911", "988", "933",
        ] {
            lists.short.push(("1".to_owned(), number.to_owned()));
        }
        for (code, number) in [
            ("44", "105"),
            ("44", "111"),
            ("44", "101"),
            ("61", "106"),
            ("49", "116117"),
            ("33", "116000"),
        ] {
            lists.short.push((code.to_owned(), number.to_owned()));
        }
        for line in lines("special_rate_prefixes.csv") {
            let lengths: Vec<usize> = (line["lengths"].split_whitespace())
                .map(|length| length.parse().unwrap())
                .collect();
            for prefix in line["prefixes"].split_whitespace() {
                lists.dear.push((
                    line["calling_code"].clone(),
                    prefix.to_owned(),
                    lengths.clone(),
                ));
            }
        }
        for line in lines("non_country_codes.csv") {
            lists.nowhere.push(line["calling_code"].clone());
        }
        for line in lines("nanp_area_codes.csv") {
            if line["kind"].starts_with("geographic") {
                lists.open_codes.push(line["npa"].clone());
            }
        }
        lists.closed_codes = (0..1000)
            .map(|code| format!("{code:03}"))
            .filter(|code| !lists.open_codes.contains(code))
            .collect();
        lists
    }

    /// A number that must never be dialed.
    fn any(&self, rng: &mut Rng) -> Forbidden {
        let is_short = rng.percent(60);
        let is_guess = is_short && rng.percent(15);
        let (code, number) = match rng.below(12) {
            _ if is_short && !is_guess => rng.pick(&self.short).clone(),
            _ if is_short => {
                // The longest of them may be subscribers too, in plans with short numbers.
                let (code, length) = rng.pick(&self.short_lengths).clone();
                (code, digits(rng, length.min(3)))
            }
            0..=5 => {
                let (code, prefix, lengths) = rng.pick(&self.dear);
                let length = *rng.pick(lengths);
                let rest = digits(rng, length.saturating_sub(prefix.len()));
                (code.clone(), format!("{prefix}{rest}"))
            }
            6..=8 => {
                let code = rng.pick(&self.nowhere).clone();
                let length = 6 + rng.below(6);
                (code, digits(rng, length))
            }
            _ => ("1".to_owned(), self.closed_line(rng)),
        };
        Forbidden {
            code,
            number,
            is_short,
            is_guess,
        }
    }

    /// A number of ten digits in the North American plan that is nobody's line.
    fn closed_line(&self, rng: &mut Rng) -> String {
        if rng.percent(50) {
            let code = rng.pick(&self.closed_codes);
            return format!("{code}{}{}", 200 + rng.below(800), digits(rng, 4));
        }
        let code = rng.pick(&self.open_codes).clone();
        let closed = [
            "976", "950", "958", "959", "911", "411", "000", "123", "555",
        ];
        format!("{code}{}1212", rng.pick(&closed))
    }
}

fn digits(rng: &mut Rng, count: usize) -> String {
    (0..count)
        .map(|_| char::from(b'0' + u8::try_from(rng.below(10)).unwrap()))
        .collect()
}

/// A number that must never be dialed: its calling code, and the number within the country.
struct Forbidden {
    code: String,
    number: String,
    is_short: bool,
    /// Only as long as the short codes there: behind an area code it may be somebody's line (Turin's is 011).
    is_guess: bool,
}

/// The number with prefixes that a switch may take off, and in the clothes of a text that somebody copied. Also tells
/// whether so many digits were added that it may have become somebody's ordinary line.
fn disguise(rng: &mut Rng, forbidden: &Forbidden) -> (String, bool) {
    let Forbidden {
        code,
        number,
        is_short,
        is_guess,
    } = forbidden;
    let off = ["", "00", "011", "0", "9"];
    let way = rng.below(6);
    let mut pick = |of: usize| off[rng.below(of)];
    // What a switch may take off in front of the whole, and what it may take off behind the calling code.
    let (text, may_be_ordinary) = match (is_short, way) {
        (true, 0 | 1) => (format!("{}{}{number}", pick(5), pick(5)), false),
        (true, 2 | 3) => (format!("{}{code}{}{number}", pick(4), pick(5)), *is_guess),
        (true, 4) => (format!("9{code}{number}"), true),
        (true, _) => (
            format!(
                "{}{code}{code}{}{number}",
                pick(3),
                ["", "0"][usize::from(number.len() % 2 == 0)]
            ),
            true,
        ),
        (false, 0..=3) => (format!("{}{code}{number}", pick(4)), false),
        (false, 4) => (format!("{code}0{number}"), true),
        (false, _) => (format!("{}{code}{code}{number}", pick(3)), true),
    };
    if rng.percent(70) {
        return (format!("+{text}"), may_be_ordinary);
    }
    (clothed(rng, &text), false)
}

/// Forms that no number may come in.
fn clothed(rng: &mut Rng, text: &str) -> String {
    let split = |with: &str| {
        let all: Vec<String> = text.chars().map(String::from).collect();
        format!("+{}", all.join(with))
    };
    let in_script = |zero: u32| {
        let shifted = text
            .bytes()
            .map(|byte| char::from_u32(zero + u32::from(byte - b'0')).unwrap());
        format!("+{}", shifted.collect::<String>())
    };
    match rng.below(30) {
        0 => text.to_owned(),
        1 => format!("tel:+{text}"),
        2 => format!("TEL:{text}"),
        3 => format!("sip:+{text}@example.com"),
        4 => format!("sips:{text}@example.com;user=phone"),
        5 => format!("9,{text}"),
        6 => format!("*67{text}"),
        7 => format!("*67+{text}"),
        8 => format!("#31#{text}"),
        9 => split("-"),
        10 => split(" "),
        11 => split("."),
        12 => format!("({text})"),
        13 => split("\u{200b}"),
        14 => in_script(0xFF10),
        15 => in_script(0x0660),
        16 => in_script(0x0966),
        17 => format!("\u{ff0b}{text}"),
        18 => format!("+14045550141;ext={text}"),
        19 => format!("+14045550141,,{text}"),
        20 => format!("tel:{text};phone-context=+1"),
        21 => format!("sip:+14045550141;x={text}@example.com"),
        22 => format!("sip:%2B{text}@example.com"),
        23 => format!("+{text}#"),
        24 => format!(" +{text}"),
        25 => format!("+{text}\n"),
        26 => format!("\u{202d}+{text}"),
        27 => format!("++{text}"),
        28 => format!("+{text}\0"),
        _ => format!("<sip:+{text}@example.com>"),
    }
}

/// Two million by hand: `DIALGATE_DISGUISES=2000000`.
#[test]
fn no_disguise_opens_a_forbidden_number() {
    let count = size("DIALGATE_DISGUISES", 20_000);
    let (lists, seed) = (Lists::read(), seed());
    let tables = SHIPPED.pack.tables();
    let accepted = std::sync::Mutex::new(Vec::new());
    on_all_cores(count, &|index| {
        let mut rng = Rng::new(seed, index as u64);
        let forbidden = lists.any(&mut rng);
        let (text, may_be_ordinary) = disguise(&mut rng, &forbidden);
        match dialable(tables, &text) {
            // With that much in front it is the line of somebody else, by the plan of that country.
            Ok(line) if may_be_ordinary && line.warnings.is_empty() => {}
            Ok(_) => {
                let Forbidden { code, number, .. } = forbidden;
                let mut accepted = accepted.lock().unwrap();
                accepted.push(format!("{text} is {number} of +{code}"));
            }
            Err(_) if index % 200 == 0 => {
                let case = json!({ "id": "floor", "facts": {},
                    "call": { "at": "2026-05-19T15:00:00Z", "to": text, "call_kind": "live_manual" } });
                let judgement = judge(&SHIPPED.pack, &serde_json::from_value(case).unwrap());
                assert_eq!(judgement.denied_by, [NOT_DIALABLE], "{text}");
            }
            Err(_) => {}
        }
        // What is not digits behind a plus sign does not even become a number.
        let plain = text
            .strip_prefix('+')
            .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        assert!(plain || Phone::parse(&text).is_err(), "{text}");
    });
    let accepted = accepted.into_inner().unwrap();
    assert!(
        accepted.is_empty(),
        "{} of {count} accepted:\n{}",
        accepted.len(),
        accepted[..accepted.len().min(60)].join("\n")
    );
}

/// The floor would be worth nothing if it refused everybody.
#[test]
fn ordinary_lines_are_let_through() {
    let lists = Lists::read();
    let mut rng = Rng::new(seed(), 1);
    for code in &lists.open_codes {
        let exchange = *rng.pick(&["234", "445", "667", "889"]);
        let text = format!("+1{code}{exchange}{}", digits(&mut rng, 4));
        let found = dialable(SHIPPED.pack.tables(), &text);
        assert_ne!(found, Err(NotDialable::EmergencyOrShortNumber), "{text}");
        assert!(found.is_ok(), "{text}: {found:?}");
    }
}
