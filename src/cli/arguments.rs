//! How words on the command line become values: numbers, instants, closed sets of words, register checks.

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;

use crate::domain::party::RegisterCheck;
use crate::domain::time;

/// A parser that takes the words of one set, lists them in the help and suggests the nearest on a slip.
macro_rules! words {
    ($set:ty) => {
        clap::builder::TypedValueParser::try_map(
            clap::builder::PossibleValuesParser::new(<$set>::ALL.iter().map(|word| word.as_str())),
            |word| word.parse::<$set>(),
        )
    };
}
pub(crate) use words;

/// Which rows a list shows.
#[derive(Debug, Clone, Args)]
pub struct Paging {
    /// Only rows that meet these conditions, such as: NOT actor = "key:x"; joined by AND and OR; a name that is none is
    /// answered with those there are
    #[arg(
        long,
        value_name = "CONDITIONS",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
    /// Rows a page
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub page_size: i32,
    /// Every page, not only the first (the newest rows)
    #[arg(long)]
    pub all: bool,
}

/// Under which name a change is asked for.
#[derive(Debug, Clone, Copy, Args)]
pub struct Change {
    /// Name of this request, to repeat one whose answer was lost; fresh if left out
    #[arg(long, value_name = "UUID")]
    pub request_id: Option<uuid::Uuid>,
}

impl Change {
    /// The given name, or a fresh one.
    #[must_use]
    pub fn name(self) -> String {
        self.request_id
            .unwrap_or_else(uuid::Uuid::new_v4)
            .to_string()
    }
}

/// An instant as RFC 3339 writes it.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    time::instant(text).ok_or_else(|| {
        "not an instant, write date, time and offset as in 2026-11-20T14:30:00Z or 2026-11-20T09:30:00-05:00".to_owned()
    })
}

/// A calendar date.
pub fn date(text: &str) -> Result<Date, String> {
    time::date(text).ok_or_else(|| "not a date, write it as in 2026-11-20".to_owned())
}

/// A register look-up, `us-dnc=clear@2026-11-20`: the register, what it said, the date of the list's version.
pub fn register_check(text: &str) -> Result<RegisterCheck, String> {
    const FORM: &str = "expected REGISTER=clear|listed|unknown@DATE, as in us-dnc=clear@2026-11-20";
    let (register, rest) = text.split_once('=').ok_or(FORM)?;
    let (answer, as_of) = rest.split_once('@').ok_or(FORM)?;
    if register.is_empty() {
        return Err(FORM.to_owned());
    }
    let listed = match answer {
        "clear" => Some(false),
        "listed" => Some(true),
        "unknown" => None,
        _ => {
            return Err(format!(
                "unknown answer `{answer}`, expected clear, listed or unknown"
            ));
        }
    };
    Ok(RegisterCheck {
        register: register.to_owned(),
        listed,
        as_of: date(as_of)?,
        listed_since: None,
        snapshot: None,
    })
}

/// A consent's period: `indefinite`, `unspecified` or its last day.
pub fn period(text: &str) -> Result<String, String> {
    match text {
        "indefinite" | "unspecified" => Ok(text.to_owned()),
        _ => date(text).map(|day| day.to_string()).map_err(|_| {
            "expected indefinite, unspecified or its last day as in 2027-12-31".to_owned()
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_check_names_list_answer_and_date() {
        let check = |text| {
            register_check(text)
                .map(|check| (check.register, check.listed, check.as_of.to_string()))
        };
        assert_eq!(
            check("us-dnc=clear@2026-11-20"),
            Ok(("us-dnc".into(), Some(false), "2026-11-20".into()))
        );
        assert_eq!(check("us-dnc=listed@2026-11-20").unwrap().1, Some(true));
        assert_eq!(check("us-dnc=unknown@2026-11-20").unwrap().1, None);
        for (bad, problem) in [
            ("us-dnc", "REGISTER=clear|listed|unknown@DATE"),
            ("us-dnc=clear", "REGISTER=clear|listed|unknown@DATE"),
            ("=clear@2026-11-20", "REGISTER=clear|listed|unknown@DATE"),
            ("us-dnc=free@2026-11-20", "unknown answer `free`"),
            ("us-dnc=clear@2026-11-31", "not a date"),
            ("us-dnc=clear@2026-11-20T10:00", "not a date"),
        ] {
            assert!(check(bad).unwrap_err().contains(problem), "{bad}");
        }
    }

    #[test]
    fn an_instant_needs_its_offset() {
        assert!(instant("2026-11-20T14:30:00Z").is_ok());
        assert!(instant("2026-11-20T09:30:00-05:00").is_ok());
        assert!(instant("2026-11-20T14:30:00").is_err());
        assert!(instant("yesterday").is_err());
    }

    #[test]
    fn a_period_is_a_word_or_a_day() {
        assert_eq!(period("indefinite").as_deref(), Ok("indefinite"));
        assert_eq!(period("2027-12-31").as_deref(), Ok("2027-12-31"));
        assert!(period("forever").is_err());
    }
}
