//! Messages of the contract as JSON objects and back, in the words that the rest of the program uses: field names as in
//! the contract, enum values as short lower-case words, instants as RFC 3339, dates as `2026-11-20`.
//!
//! It walks over the compiled contract, so a field that is added there is printed here. An empty text and an
//! UNSPECIFIED word are left out; `case_json` and `payload_json` are printed as the object they hold, under `case` and `payload`.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    SerializeOptions, Value as Field,
};
use serde_json::{Map, Value, json};

use super::super::pb;
use super::words;
use crate::domain::time;

/// What cannot be read, or written, and where in the object.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct JsonProblem(String);

type Result<T> = std::result::Result<T, JsonProblem>;

impl JsonProblem {
    fn of(problem: impl std::fmt::Display) -> Self {
        Self(problem.to_string())
    }

    fn within(self, field: &str) -> Self {
        Self(format!("in `{field}`: {}", self.0))
    }
}

const DATE: &str = "dialgate.v1.Date";
const GOOGLE: &str = "google.protobuf.";

/// A message as a JSON object; `name` is its name in the contract, such as `Decision`.
pub fn object(name: &str, message: &impl Message) -> Result<Value> {
    let bytes = message.encode_to_vec();
    let dynamic =
        DynamicMessage::decode(descriptor(name)?, bytes.as_slice()).map_err(JsonProblem::of)?;
    of_message(&dynamic)
}

/// A JSON object as a message. Unknown fields and words are errors that name them. With it comes the list of the fields
/// that the object names.
pub fn message<M: Message + Default>(name: &str, mut object: Value) -> Result<(M, Vec<String>)> {
    let descriptor = descriptor(name)?;
    let fields = object
        .as_object()
        .ok_or_else(|| JsonProblem::of("expected a JSON object"))?
        .keys()
        .cloned()
        .collect();
    to_canonical(&descriptor, &mut object)?;
    let dynamic = DynamicMessage::deserialize(descriptor, object).map_err(JsonProblem::of)?;
    Ok((dynamic.transcode_to().map_err(JsonProblem::of)?, fields))
}

fn descriptor(name: &str) -> Result<MessageDescriptor> {
    static POOL: OnceLock<Option<DescriptorPool>> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).ok())
        .as_ref()
        .and_then(|pool| pool.get_message_by_name(&format!("dialgate.v1.{name}")))
        .ok_or_else(|| JsonProblem(format!("the contract has no message `{name}`")))
}

fn of_message(message: &DynamicMessage) -> Result<Value> {
    let descriptor = message.descriptor();
    if descriptor.full_name() == DATE {
        let pb::Date { year, month, day } = message.transcode_to().map_err(JsonProblem::of)?;
        return Ok(Value::String(format!("{year:04}-{month:02}-{day:02}")));
    }
    if descriptor.full_name().starts_with(GOOGLE) {
        let options = SerializeOptions::new().stringify_64_bit_integers(false);
        return message
            .serialize_with_options(serde_json::value::Serializer, &options)
            .map_err(JsonProblem::of);
    }
    let mut object = Map::new();
    for field in descriptor.fields() {
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        let value = of_field(&field, &message.get_field(&field))?;
        match (field.name(), value) {
            (_, Value::Null) => {}
            (_, Value::String(text)) if text.is_empty() => {}
            (name @ ("case_json" | "payload_json"), Value::String(text)) => {
                // What is not JSON is shown as it is; hiding it would help nobody.
                let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
                object.insert(name.trim_end_matches("_json").to_owned(), value);
            }
            (name, value) => {
                object.insert(name.to_owned(), value);
            }
        }
    }
    Ok(Value::Object(object))
}

fn of_field(field: &FieldDescriptor, value: &Field) -> Result<Value> {
    Ok(match value {
        Field::List(items) => items
            .iter()
            .map(|item| of_field(field, item))
            .collect::<Result<Vec<_>>>()?
            .into(),
        Field::Message(message) => of_message(message)?,
        Field::EnumNumber(number) => enum_word(field, *number).into(),
        Field::String(text) => text.as_str().into(),
        // The only bytes that are shown are SDP, which is text.
        Field::Bytes(bytes) => String::from_utf8_lossy(bytes).into(),
        Field::Bool(is) => (*is).into(),
        Field::I32(number) => (*number).into(),
        Field::I64(number) => (*number).into(),
        Field::U32(number) => (*number).into(),
        Field::U64(number) => (*number).into(),
        Field::F32(number) => (*number).into(),
        Field::F64(number) => (*number).into(),
        Field::Map(_) => Value::Null,
    })
}

fn enum_word(field: &FieldDescriptor, number: i32) -> String {
    let Kind::Enum(set) = field.kind() else {
        return String::new();
    };
    let zero = set.default_value();
    match set.get_value(number) {
        Some(value) => words::short(value.name(), zero.name()),
        // A word that only a newer server knows.
        None => number.to_string(),
    }
}

/// Rewrites our words and dates into the canonical JSON form of protobuf, in place.
fn to_canonical(descriptor: &MessageDescriptor, object: &mut Value) -> Result<()> {
    let Some(fields) = object.as_object_mut() else {
        return Ok(());
    };
    for (name, value) in fields {
        let Some(field) = descriptor.get_field_by_name(name) else {
            let known: Vec<String> = descriptor
                .fields()
                .map(|field| field.name().to_owned())
                .collect();
            return Err(JsonProblem(format!(
                "unknown field `{name}`, expected one of {}",
                known.join(", ")
            )));
        };
        let rewritten = match value {
            Value::Array(items) => items
                .iter_mut()
                .try_for_each(|item| value_to_canonical(&field, item)),
            value => value_to_canonical(&field, value),
        };
        rewritten.map_err(|problem| problem.within(name))?;
    }
    Ok(())
}

fn value_to_canonical(field: &FieldDescriptor, value: &mut Value) -> Result<()> {
    match (field.kind(), &mut *value) {
        (Kind::Message(kind), Value::String(text)) if kind.full_name() == DATE => {
            let date = time::date(text).ok_or_else(|| {
                JsonProblem(format!("`{text}` is not a date, write it as in 2026-11-20"))
            })?;
            *value = json!({ "year": date.year(), "month": date.month(), "day": date.day() });
        }
        (Kind::Message(kind), value) if !kind.full_name().starts_with(GOOGLE) => {
            to_canonical(&kind, value)?;
        }
        (Kind::Enum(set), Value::String(word)) => {
            let zero = set.default_value();
            let full = words::full(word, zero.name());
            if set.get_value_by_name(&full).is_none() {
                let known: Vec<String> = set
                    .values()
                    .map(|value| words::short(value.name(), zero.name()))
                    .filter(|word| !word.is_empty())
                    .collect();
                return Err(JsonProblem(format!(
                    "unknown word `{word}`, expected one of {}",
                    known.join(", ")
                )));
            }
            *value = full.into();
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact() -> Value {
        json!({
            "party_id": "0190d5a5-0000-7000-8000-000000000001",
            "audience": "business",
            "location": { "country": "US", "region": "US-FL" },
            "minor": false,
            "restriction": { "start_time": "2026-11-20T14:30:00Z" },
            "numbers": [{
                "number": "+14045550141",
                "line_type": "landline",
                "registers": [{ "register": "us-dnc", "listed": false, "as_of_date": "2026-11-20" }],
            }],
            "dealings": [{ "seller": "acme", "legitimate_interest": { "assessment_on_file": false } }],
        })
    }

    #[test]
    fn an_object_goes_there_and_back() {
        let (message, fields): (pb::Contact, _) = message("Contact", contact()).unwrap();
        assert_eq!(message.audience(), pb::Audience::Business);
        assert_eq!(message.numbers[0].registers[0].as_of_date.unwrap().day, 20);
        assert!(
            fields.contains(&"numbers".to_owned()) && !fields.contains(&"directory".to_owned())
        );
        assert_eq!(object("Contact", &message).unwrap(), contact());
    }

    #[test]
    fn an_unknown_field_or_word_is_named() {
        let fails = |object: Value| {
            format!(
                "{:#}",
                message::<pb::Contact>("Contact", object).unwrap_err()
            )
        };
        assert!(
            fails(json!({ "adience": "consumer" }))
                .contains("unknown field `adience`, expected one of")
        );
        assert!(
            fails(json!({ "location": { "zip": "1" } }))
                .contains("in `location`: unknown field `zip`")
        );
        let wrong_word = fails(json!({ "audience": "people" }));
        assert!(
            wrong_word
                .contains("unknown word `people`, expected one of consumer, business, unknown")
        );
        let wrong_date = json!({ "numbers": [{ "registers": [{ "as_of_date": "20.11.2026" }] }] });
        assert!(
            fails(wrong_date).contains(
                "in `numbers`: in `registers`: in `as_of_date`: `20.11.2026` is not a date"
            )
        );
        assert!(fails(json!([])).contains("expected a JSON object"));
        assert!(!fails(json!({ "minor": "no" })).is_empty());
    }

    #[test]
    fn a_case_is_an_object_and_a_missing_text_is_left_out() {
        let decision = pb::Decision {
            decision_id: "d".into(),
            verdict: pb::Verdict::Deny.into(),
            case_json: r#"{"call":{"to":"+1…41"}}"#.into(),
            ..pb::Decision::default()
        };
        let object = object("Decision", &decision).unwrap();
        assert_eq!(object["verdict"], "deny");
        assert_eq!(object["case"]["call"]["to"], "+1…41");
        assert_eq!(object["denied_by"], json!([]));
        assert_eq!(object.get("stage"), None);
        assert_eq!(object.get("call_id"), None);
    }
}
