//! Reads the fields of one message and remembers everything that is wrong with them, so that a client learns it all at once.

use std::str::FromStr;
use std::time::Duration;

use tonic::Status;
use uuid::Uuid;

use crate::domain::account::Account;
use crate::domain::ids::RequestId;
use crate::domain::not_plain;
use crate::domain::phone::Phone;
use crate::domain::time::{EARLIEST_WISH, Micros};
use crate::grpc::pb;
use crate::grpc::status::{self, INVALID_FIELDS, Violation};
use crate::place::{self, Tables};

use super::{Mirror, NAME_CHARS_MAX};

/// What is wrong so far. Each reader answers the value, or notes the problem and answers [`Noted`]; [`Fields::done`] ends
/// the reading, after which every `?` on an answer passes.
#[derive(Default)]
pub(in crate::grpc) struct Fields {
    violations: Vec<Violation>,
    /// Path before the names of an inner message's fields.
    prefix: String,
}

/// The field is wrong, and [`Fields`] knows why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grpc) struct Noted;

impl From<Noted> for Status {
    /// Never sent: [`Fields::done`] has answered before.
    fn from(_: Noted) -> Self {
        status::internal("a wrong field was used before its problem was reported")
    }
}

type Read<T> = Result<T, Noted>;

impl Fields {
    /// Notes a problem; says what to do, repeats nothing personal.
    pub fn wrong<T>(&mut self, field: &str, problem: impl Into<String>) -> Read<T> {
        self.note(field, problem.into(), INVALID_FIELDS, None)
    }

    /// Ends the reading: all problems, or none.
    pub fn done(self) -> Result<(), Status> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(status::invalid(&self.violations))
        }
    }

    /// Reads an inner message, whose fields are then named by their path.
    pub fn within<T>(&mut self, field: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.prefix.clone();
        self.prefix = format!("{outer}{field}.");
        let answer = read(self);
        self.prefix = outer;
        answer
    }

    /// A value that must be there.
    pub fn required<T>(&mut self, field: &str, value: Read<Option<T>>) -> Read<T> {
        match value? {
            Some(value) => Ok(value),
            None => self.wrong(field, "is missing"),
        }
    }

    /// The caller's name for the request: version 4, which nobody makes twice by accident.
    pub fn request_id(&mut self, value: &str) -> Read<RequestId> {
        const FIELD: &str = "request_id";
        match Uuid::from_str(value) {
            Ok(id) if id.get_version_num() == 4 => Ok(RequestId(id)),
            _ if value.is_empty() => self.wrong(
                FIELD,
                "is missing; send a UUID version 4 of your own making",
            ),
            _ => self.wrong(
                FIELD,
                "is not a UUID version 4, such as 6f1c8a52-0c5e-4b0e-9d0a-3f0f6f1f2a11",
            ),
        }
    }

    /// An identifier; empty = none.
    pub fn id<T: FromStr>(&mut self, field: &str, value: &str) -> Read<Option<T>> {
        if value.is_empty() {
            return Ok(None);
        }
        match value.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => self.wrong(field, "is not a UUID"),
        }
    }

    /// A number that may be dialed; empty = none.
    pub fn number(&mut self, tables: &Tables, field: &str, value: &str) -> Read<Option<Phone>> {
        if value.is_empty() {
            return Ok(None);
        }
        match place::dialable(tables, value) {
            Ok(number) => Ok(Some(number.phone)),
            Err(why) => self.not_dialable(field, why),
        }
    }

    /// A well-formed number, dialable or not, for a wish to stop: the tables may learn tomorrow what they do not know
    /// today. Empty = none.
    pub fn any_number(&mut self, tables: &Tables, field: &str, value: &str) -> Read<Option<Phone>> {
        if value.is_empty() {
            return Ok(None);
        }
        match (place::dialable(tables, value), Phone::parse(value)) {
            (Ok(number), _) => Ok(Some(number.phone)),
            (Err(_), Ok(number)) => Ok(Some(number)),
            (Err(why), Err(_)) => self.not_dialable(field, why),
        }
    }

    /// Text without control characters; empty = none.
    pub fn text(&mut self, field: &str, value: String, chars_max: usize) -> Read<Option<String>> {
        if value.is_empty() {
            return Ok(None);
        }
        if let Some(problem) = not_plain(&value, chars_max) {
            return self.wrong(field, problem);
        }
        Ok(Some(value))
    }

    /// The name of an account; empty = none.
    pub fn account(&mut self, field: &str, value: &str) -> Read<Option<Account>> {
        if value.is_empty() {
            return Ok(None);
        }
        match Account::parse(value) {
            Ok(account) => Ok(Some(account)),
            Err(problem) => self.wrong(field, problem),
        }
    }

    /// A name of something in the configuration; empty = none.
    pub fn name(&mut self, field: &str, value: String) -> Read<Option<String>> {
        self.text(field, value, NAME_CHARS_MAX)
    }

    /// A word of a closed set; UNSPECIFIED = none.
    pub fn word<D: Mirror>(&mut self, field: &str, value: i32) -> Read<Option<D>> {
        match D::read(value) {
            Some(word) => Ok(word),
            None => self.wrong(
                field,
                format!(
                    "has no value `{value}`, expected one of {}",
                    D::names().join(", ")
                ),
            ),
        }
    }

    /// A word that must be there.
    pub fn required_word<D: Mirror>(&mut self, field: &str, value: i32) -> Read<D> {
        match self.word(field, value)? {
            Some(word) => Ok(word),
            None => self.wrong(
                field,
                format!("is missing, expected one of {}", D::names().join(", ")),
            ),
        }
    }

    /// Words of a closed set, each once.
    pub fn words<D: Mirror + PartialEq>(&mut self, field: &str, values: &[i32]) -> Read<Vec<D>> {
        let mut words = Vec::new();
        let mut sound = Ok(());
        for (index, value) in values.iter().enumerate() {
            match self.required_word(&format!("{field}[{index}]"), *value) {
                Ok(word) if words.contains(&word) => {}
                Ok(word) => words.push(word),
                Err(noted) => sound = Err(noted),
            }
        }
        sound.map(|()| words)
    }

    /// An instant; absent = none.
    pub fn time(
        &mut self,
        field: &str,
        value: Option<prost_types::Timestamp>,
    ) -> Read<Option<Micros>> {
        let Some(value) = value else { return Ok(None) };
        let sound = (0..1_000_000_000).contains(&value.nanos);
        match jiff::Timestamp::new(value.seconds, value.nanos) {
            Ok(at) if sound && at.as_second() >= YEAR_1 => Ok(Some(at.into())),
            _ => self.wrong(
                field,
                "is not an instant between the years 1 and 9999 with 0 to 999999999 nanoseconds",
            ),
        }
    }

    /// An instant that has come; absent = none. A minute of drift between two machines is let pass.
    pub fn past(
        &mut self,
        field: &str,
        value: Option<prost_types::Timestamp>,
        now: Micros,
    ) -> Read<Option<Micros>> {
        const DRIFT: Duration = Duration::from_secs(60);
        match self.time(field, value)? {
            Some(at) if at > now.plus(DRIFT) => self.wrong(field, "is in the future"),
            Some(at) if at < EARLIEST_WISH => self.wrong(
                field,
                "lies before 1990, as what programs write for no date does: leave it out if it is not known",
            ),
            Some(at) => Ok(Some(at.min(now))),
            None => Ok(None),
        }
    }

    /// A date; absent = none.
    pub fn date(
        &mut self,
        field: &str,
        value: Option<pb::Date>,
    ) -> Read<Option<jiff::civil::Date>> {
        let Some(value) = value else { return Ok(None) };
        let parts = (
            i16::try_from(value.year),
            i8::try_from(value.month),
            i8::try_from(value.day),
        );
        let date = match parts {
            (Ok(year @ 1..), Ok(month), Ok(day)) => jiff::civil::Date::new(year, month, day).ok(),
            _ => None,
        };
        match date {
            Some(date) => Ok(Some(date)),
            None => self.wrong(field, "is not a date; set year (1 to 9999), month and day"),
        }
    }

    fn not_dialable<T>(&mut self, field: &str, why: place::NotDialable) -> Read<T> {
        let Violation {
            problem,
            reason,
            code,
            ..
        } = status::not_dialable(field, why);
        self.note(field, problem, reason, code)
    }

    fn note<T>(
        &mut self,
        field: &str,
        problem: String,
        reason: &'static str,
        code: Option<&'static str>,
    ) -> Read<T> {
        // A request of a thousand wrong numbers gets a readable answer, and trailers stay small.
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(Violation {
                field: format!("{}{field}", self.prefix),
                problem,
                reason,
                code,
            });
        }
        Err(Noted)
    }
}

/// Problems reported at once.
const VIOLATIONS_MAX: usize = 50;

/// 0001-01-01T00:00:00Z, the first instant of `google.protobuf.Timestamp`.
const YEAR_1: i64 = -62_135_596_800;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::call::CallKind;
    use crate::domain::ids::CallId;

    fn message(fields: Fields) -> String {
        fields.done().unwrap_err().message().to_owned()
    }

    #[test]
    fn everything_wrong_is_reported_at_once_with_its_path() {
        let mut fields = Fields::default();
        assert_eq!(fields.request_id("x"), Err(Noted));
        assert_eq!(fields.id::<CallId>("call_id", "7"), Err(Noted));
        let inner: Read<Option<Micros>> = fields.within("contact", |fields| {
            fields.within("callback", |fields| {
                fields.time(
                    "request_time",
                    Some(prost_types::Timestamp {
                        seconds: 0,
                        nanos: -1,
                    }),
                )
            })
        });
        assert_eq!(inner, Err(Noted));
        let words = fields.words::<CallKind>("channels", &[1, 9, 0]);
        assert_eq!(words, Err(Noted));
        let text = message(fields);
        for part in [
            "request_id: is not a UUID version 4",
            "call_id: is not a UUID",
            "contact.callback.request_time: is not an instant",
            "channels[1]: has no value `9`, expected one of CALL_KIND_LIVE_MANUAL, ",
            "channels[2]: is missing",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn request_ids_are_version_4() {
        for (text, good) in [
            ("6f1c8a52-0c5e-4b0e-9d0a-3f0f6f1f2a11", true),
            ("6F1C8A52-0C5E-4B0E-9D0A-3F0F6F1F2A11", true),
            ("0193a5d4-7b1c-7c3e-8a77-0a1b2c3d4e5f", false),
            ("", false),
            ("00000000-0000-0000-0000-000000000000", false),
        ] {
            assert_eq!(Fields::default().request_id(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn dates_exist() {
        let read = |year, month, day| {
            Fields::default()
                .date("d", Some(pb::Date { year, month, day }))
                .is_ok()
        };
        assert!(read(2028, 2, 29) && read(1, 1, 1) && read(9999, 12, 31));
        assert!(!read(2027, 2, 29) && !read(0, 1, 1) && !read(2027, 13, 1) && !read(10_000, 1, 1));
        assert!(!read(2027, 0, 1) && !read(2027, 1, 0) && !read(2027, 1, 300));
    }

    #[test]
    fn text_is_bounded_and_printable() {
        let read = |text: &str| Fields::default().text("note", text.to_owned(), 5);
        assert_eq!(read(""), Ok(None));
        assert_eq!(read("a\nbé"), Ok(Some("a\nbé".to_owned())));
        assert_eq!(read("ééééé"), Ok(Some("ééééé".to_owned())));
        assert_eq!(read("ab\0"), Err(Noted));
        assert_eq!(read("abcdef"), Err(Noted));
        assert_eq!(read("  "), Err(Noted));
    }

    #[test]
    fn what_a_person_did_is_past() {
        let now = Micros(1_800_000_000_000_000);
        let at = |seconds: i64| {
            Fields::default().past(
                "event_time",
                Some(prost_types::Timestamp {
                    seconds: 1_800_000_000 + seconds,
                    nanos: 0,
                }),
                now,
            )
        };
        assert_eq!(at(-1), Ok(Some(now.minus(Duration::from_secs(1)))));
        assert_eq!(at(59), Ok(Some(now)), "a clock that runs ahead a little");
        assert_eq!(at(61), Err(Noted));
        assert_eq!(at(-1_800_000_000), Err(Noted), "no date");
    }
}
