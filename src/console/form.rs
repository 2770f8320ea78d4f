//! Reads the JSON of a form into an act of consent, and remembers everything that is wrong with it, so that whoever sets a
//! form up learns it all at once. What the configuration says of the source (seller, form) no body can say otherwise.

use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::config::ConsentSource;
use super::refusal::{Problem, Refusal};
use crate::domain::consent::{ConsentAction, REFERENCE_CHARS_MAX, not_a_period};
use crate::domain::ids::RequestId;
use crate::domain::not_plain;
use crate::domain::phone::Phone;
use crate::domain::time::{self, Micros};
use crate::gate::NewConsent;
use crate::place::{self, Tables};

/// Longest name that a form gives one of its submissions.
const SUBMISSION_CHARS_MAX: usize = 128;

/// The field of the instant at which the person acted.
const TIME: &str = "event_time";

/// Kinds of call named at most; there are fewer.
const CHANNELS_MAX: usize = 16;

/// Problems reported at once.
const PROBLEMS_MAX: usize = 50;

/// What belongs to a consent that is given; one that is taken back has nothing of it.
const OF_GIVEN: [&str; 6] = [
    "explicit",
    "documented",
    "out_of_hours",
    "period",
    "initiated_by",
    "wording_ref",
];

/// A form as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// The request that it is, the same whenever it is sent.
    pub request_id: RequestId,
    /// Hash of all that it says, however it is laid out.
    pub digest: [u8; 32],
    /// What it says.
    pub new: NewConsent,
}

/// Reads a form.
pub(super) fn read(
    body: &[u8],
    source: &ConsentSource,
    tables: &Tables,
    now: Micros,
) -> Result<Form, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|error| Refusal::not_json(&error))?;
    let Value::Object(object) = value else {
        return Err(Refusal::not_an_object());
    };
    let digest = digest(source, &object);
    let mut fields = Fields {
        object,
        problems: Vec::new(),
    };
    let form = fields.form(source, tables, now);
    for unknown in fields.object.keys() {
        let field: String = unknown.chars().take(SUBMISSION_CHARS_MAX).collect();
        fields.problems.push(Problem {
            field,
            problem: "is no field of a consent; leave it out".to_owned(),
        });
    }
    match form.filter(|_| fields.problems.is_empty()) {
        Some((submission_id, new)) => Ok(Form {
            request_id: request_id(source, &submission_id),
            digest,
            new,
        }),
        None => {
            fields.problems.truncate(PROBLEMS_MAX);
            Err(Refusal::fields(fields.problems))
        }
    }
}

/// The keys of an object are sorted, so that a sender that lays the same form out anew is understood.
fn digest(source: &ConsentSource, object: &Map<String, Value>) -> [u8; 32] {
    let sorted: std::collections::BTreeMap<&String, &Value> = object.iter().collect();
    let text = serde_json::to_vec(&sorted).unwrap_or_default();
    let digest = Sha256::new()
        .chain_update(hashed(&source.name))
        .chain_update(text);
    digest.finalize().into()
}

/// Of one source and submission, always the same; of version 8, so that no client's own can meet it: those are of version 4.
fn request_id(source: &ConsentSource, submission_id: &str) -> RequestId {
    let digest = Sha256::new()
        .chain_update(b"dialgate form 1")
        .chain_update(hashed(&source.name))
        .chain_update(submission_id);
    let mut bytes = [0; 16];
    for (byte, made) in bytes.iter_mut().zip(digest.finalize()) {
        *byte = made;
    }
    RequestId(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}

/// Of a fixed length, so that no two pairs of texts make the same one.
fn hashed(name: &str) -> [u8; 32] {
    Sha256::digest(name).into()
}

/// The fields not yet read, and what is wrong so far.
struct Fields {
    object: Map<String, Value>,
    problems: Vec<Problem>,
}

impl Fields {
    /// The submission's name and the act; none if a problem says why not.
    fn form(
        &mut self,
        source: &ConsentSource,
        tables: &Tables,
        now: Micros,
    ) -> Option<(String, NewConsent)> {
        let submission_id = self.text("submission_id", SUBMISSION_CHARS_MAX);
        let submission_id = self.required("submission_id", submission_id);
        let action = self.word::<ConsentAction>("action");
        let action = self.required("action", action);
        let number = self.number(tables, action);
        let party_id = self.parsed("party_id", |text: &str| {
            text.parse().map_err(|_: uuid::Error| "is not a UUID")
        });
        let at = self.past(TIME, now);
        if action == Some(ConsentAction::Given) && at.is_none() && !self.is_known_wrong(TIME) {
            // A form may come late, out of a queue that stood still. Taken as told now it would come after an opt-out that the
            // person said since.
            self.wrong(TIME, "is missing; say when the person sent the form");
        }
        let channels = self.words("channels");
        let evidence_ref = self.text("evidence_ref", REFERENCE_CHARS_MAX);
        if action == Some(ConsentAction::Withdrawn) {
            self.refuse_of_given();
        }
        let explicit = self.flag("explicit");
        let documented = self.flag("documented");
        let out_of_hours = self.flag("out_of_hours");
        let period = self.parsed("period", |text: &str| match not_a_period(text) {
            Some(problem) => Err(problem),
            None => Ok(text.to_owned()),
        });
        let initiated_by = self.word("initiated_by");
        let wording_ref = self.text("wording_ref", REFERENCE_CHARS_MAX);
        let (submission_id, action) = (submission_id?, action?);
        let new = NewConsent {
            number: number?,
            party_id,
            seller: source.seller.clone(),
            action,
            at,
            channels,
            form: (action == ConsentAction::Given).then_some(source.form),
            explicit,
            documented,
            out_of_hours,
            period,
            initiated_by,
            source: Some(source.name.clone()),
            // What proves it is the submission, unless it says what else does.
            evidence_ref: evidence_ref.or_else(|| Some(format!("submission {submission_id}"))),
            wording_ref,
        };
        Some((submission_id, new))
    }

    fn wrong(&mut self, field: &str, problem: impl Into<String>) {
        self.problems.push(Problem {
            field: field.to_owned(),
            problem: problem.into(),
        });
    }

    /// A value that is there; null is none.
    fn take(&mut self, field: &str) -> Option<Value> {
        self.object.remove(field).filter(|value| !value.is_null())
    }

    /// Notes that the value is missing, unless it is known already why there is none.
    fn required<T>(&mut self, field: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.is_known_wrong(field) {
            self.wrong(field, "is missing");
        }
        value
    }

    fn is_known_wrong(&self, field: &str) -> bool {
        self.problems.iter().any(|known| known.field == field)
    }

    fn string(&mut self, field: &str) -> Option<String> {
        match self.take(field)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text),
            _ => {
                self.wrong(field, "is not a text");
                None
            }
        }
    }

    fn text(&mut self, field: &str, chars_max: usize) -> Option<String> {
        let text = self.string(field)?;
        match not_plain(&text, chars_max) {
            Some(problem) => {
                self.wrong(field, problem);
                None
            }
            None => Some(text),
        }
    }

    fn parsed<T, P: Into<String>>(
        &mut self,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, P>,
    ) -> Option<T> {
        let text = self.string(field)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.wrong(field, problem);
                None
            }
        }
    }

    fn flag(&mut self, field: &str) -> Option<bool> {
        match self.take(field)? {
            Value::Bool(flag) => Some(flag),
            _ => {
                self.wrong(field, "is neither true nor false");
                None
            }
        }
    }

    /// A word of a closed set, in its text form.
    fn word<T: Word>(&mut self, field: &str) -> Option<T> {
        self.parsed(field, |text| T::read(text))
    }

    /// Words of a closed set, each once.
    fn words<T: Word + PartialEq>(&mut self, field: &str) -> Vec<T> {
        let values = match self.take(field) {
            None => return Vec::new(),
            Some(Value::Array(values)) if values.len() <= CHANNELS_MAX => values,
            Some(_) => {
                self.wrong(field, format!("is not a list of at most {CHANNELS_MAX}"));
                return Vec::new();
            }
        };
        let mut words = Vec::new();
        for (index, value) in values.iter().enumerate() {
            match value.as_str().map(T::read) {
                Some(Ok(word)) if words.contains(&word) => {}
                Some(Ok(word)) => words.push(word),
                Some(Err(problem)) => self.wrong(&format!("{field}[{index}]"), problem),
                None => self.wrong(&format!("{field}[{index}]"), "is not a text"),
            }
        }
        words
    }

    /// Whoever takes back need not have a number that may be dialed: the tables may learn tomorrow what they do not know today.
    fn number(&mut self, tables: &Tables, action: Option<ConsentAction>) -> Option<Phone> {
        const FIELD: &str = "number";
        let text = self.string(FIELD);
        let text = self.required(FIELD, text)?;
        let well_formed = Phone::parse(&text).ok();
        match (place::dialable(tables, &text), well_formed) {
            (Ok(number), _) => Some(number.phone),
            (Err(_), Some(number)) if action == Some(ConsentAction::Withdrawn) => Some(number),
            (Err(why), _) => {
                self.wrong(FIELD, why.to_string());
                None
            }
        }
    }

    /// An instant that has come. A minute of drift between two machines is let pass.
    fn past(&mut self, field: &str, now: Micros) -> Option<Micros> {
        const DRIFT: Duration = Duration::from_secs(60);
        let at = self.parsed(field, |text| {
            time::instant(text)
                .map(Micros::from)
                .ok_or("is not an instant such as 2026-11-20T14:30:00Z")
        })?;
        if at > now.plus(DRIFT) {
            self.wrong(field, "is in the future");
            return None;
        }
        Some(at.min(now))
    }

    fn refuse_of_given(&mut self) {
        for field in OF_GIVEN {
            if self.take(field).is_some() {
                let problem = "belongs to a consent that is given; leave it out";
                self.wrong(field, problem);
            }
        }
    }
}

/// A word of a closed set of `domain`.
trait Word: Sized {
    fn read(text: &str) -> Result<Self, String>;
}

impl<T: FromStr<Err = crate::domain::UnknownWord>> Word for T {
    fn read(text: &str) -> Result<Self, String> {
        // The word itself is not repeated: it may be a number that went astray.
        text.parse().map_err(|unknown: crate::domain::UnknownWord| {
            format!("is none of {}", unknown.expected)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::console::config::ConsentSourceConfig;
    use crate::domain::call::CallKind;
    use crate::domain::consent::{ConsentForm, InitiatedBy};
    use crate::policy::Pack;

    const NOW: Micros = Micros(1_795_262_400_000_000);

    fn source(name: &str) -> ConsentSource {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789abcdef0123456789abcdef").unwrap();
        let config = ConsentSourceConfig {
            secret_file: file.path().to_owned(),
            seller: "acme".to_owned(),
            form: ConsentForm::WebForm,
        };
        config.source(name).unwrap()
    }

    static PACK: LazyLock<Pack> = LazyLock::new(|| Pack::embedded().unwrap());

    fn read_from(name: &str, body: &str) -> Result<Form, Refusal> {
        read(body.as_bytes(), &source(name), PACK.tables(), NOW)
    }

    const FULL: &str = r#"{"submission_id": "s-1", "action": "given", "number": "+14045550141",
        "event_time": "2026-11-21T11:59:00Z", "channels": ["live_manual", "live_manual"], "explicit": true, "documented": true,
        "out_of_hours": false, "period": "2027-01-31", "initiated_by": "person", "evidence_ref": "cert 7", "wording_ref": "v3"}"#;

    #[test]
    fn every_field_is_read() {
        let form = read_from("web", FULL).unwrap();
        let expected = NewConsent {
            number: Phone::parse("+14045550141").unwrap(),
            party_id: None,
            seller: "acme".to_owned(),
            action: ConsentAction::Given,
            at: Some(NOW.minus(Duration::from_secs(60))),
            channels: vec![CallKind::LiveManual],
            form: Some(ConsentForm::WebForm),
            explicit: Some(true),
            documented: Some(true),
            out_of_hours: Some(false),
            period: Some("2027-01-31".to_owned()),
            initiated_by: Some(InitiatedBy::Person),
            source: Some("web".to_owned()),
            evidence_ref: Some("cert 7".to_owned()),
            wording_ref: Some("v3".to_owned()),
        };
        assert_eq!(form.new, expected);
        assert_eq!(form.request_id.0.get_version_num(), 8);
    }

    #[test]
    fn one_submission_is_one_request_of_its_source() {
        let form = read_from("web", FULL).unwrap();
        let laid_out = read_from("web", &FULL.replace(", ", ",\n  ")).unwrap();
        assert_eq!(form, laid_out);
        let elsewhere = read_from("fair", FULL).unwrap();
        assert_ne!(form.request_id, elsewhere.request_id);
        let other = read_from("web", &FULL.replace("cert 7", "cert 8")).unwrap();
        assert_eq!(form.request_id, other.request_id);
        assert_ne!(form.digest, other.digest);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let body = r#"{"action": "revoked", "number": "911", "party_id": "7", "event_time": "yesterday", "channels": ["fax", 1],
            "explicit": "yes", "period": "forever", "initiated_by": "+14045550141", "evidence_ref": " ", "wording_ref": 7,
            "seller": "another", "form": "written"}"#;
        let refusal = read_from("web", body).unwrap_err();
        let mut named: Vec<&str> = refusal.named().collect();
        named.sort_unstable();
        let expected = [
            "action",
            "channels[0]",
            "channels[1]",
            "event_time",
            "evidence_ref",
            "explicit",
            "form",
            "initiated_by",
            "number",
            "party_id",
            "period",
            "seller",
            "submission_id",
            "wording_ref",
        ];
        assert_eq!(named, expected);
        assert!(
            !format!("{refusal:?}").contains("4045550141"),
            "{refusal:?}"
        );
    }

    #[test]
    fn what_is_taken_back_has_no_evidence_of_a_consent() {
        let body = r#"{"submission_id": "s-2", "action": "withdrawn", "number": "+14045550141", "explicit": true}"#;
        let refusal = read_from("web", body).unwrap_err();
        assert_eq!(refusal.named().collect::<Vec<_>>(), ["explicit"]);
        let body = r#"{"submission_id": "s-2", "action": "withdrawn", "number": "+19995550141", "explicit": null}"#;
        let form = read_from("web", body).unwrap();
        assert_eq!((form.new.form, form.new.at), (None, None));
        let given = body.replace("withdrawn", "given");
        let refusal = read_from("web", &given).unwrap_err();
        assert_eq!(
            refusal.named().collect::<Vec<_>>(),
            ["number", "event_time"]
        );
    }

    /// Any JSON in any field: read or refused, and the number is told to nobody.
    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "\\+?[0-9]{0,16}".prop_map(Value::from),
            Just(Value::from("2026-11-21T11:59:00Z")),
            Just(Value::from("given")),
        ];
        leaf.prop_recursive(2, 8, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| map.into_iter().collect::<Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn hostile_forms_are_refused_and_break_nothing(
            fields in prop::collection::btree_map(
                prop_oneof![
                    prop::sample::select(vec!["submission_id", "action", "number", "event_time", "channels", "period", "party_id"])
                        .prop_map(str::to_owned),
                    any::<String>(),
                ],
                json(),
                0..8,
            ),
            bytes in any::<Vec<u8>>(),
        ) {
            let source = source("web");
            let object: Map<String, Value> = fields.into_iter().collect();
            let body = serde_json::to_vec(&object).unwrap();
            let _ = read(&body, &source, PACK.tables(), NOW);
            prop_assert!(read(&bytes, &source, PACK.tables(), NOW).is_err());
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "7", "{", "{\"a\": 1} x", "null"] {
            assert!(read_from("web", body).is_err(), "{body}");
        }
    }
}
