//! What of an entry goes into the tree: one line of JSON, the same on both databases and for ever. It bears keys of numbers and
//! identifiers of people, never a number or a name, so that a person can be forgotten and no hash changes.
//!
//! `{"v":1,"entry_id":…,"tenant":…,"kind":…,"actor":…,"subject_key":…,"create_time":…,"payload":…}`, in this order and without
//! blanks; the payload is the text that was stored, last, so that where it begins and ends is never in doubt.

use uuid::Uuid;

use crate::domain::hex::hex;
use crate::domain::time::Micros;

/// An entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEntry {
    /// Identifier.
    pub entry_id: Uuid,
    /// Whose data.
    pub tenant: String,
    /// What took place.
    pub kind: String,
    /// Who did it.
    pub actor: String,
    /// Key of the number or person it is about.
    pub subject_key: Option<Vec<u8>>,
    /// The rest: the text of an object.
    pub payload: String,
    /// When.
    pub at: Micros,
}

impl LoggedEntry {
    /// The bytes that the hash of its leaf is made over.
    #[must_use]
    pub fn leaf(&self) -> String {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let key = self.subject_key.as_ref();
        let key = key.map_or_else(|| "null".to_owned(), |key| format!("\"{}\"", hex(key)));
        format!(
            r#"{{"v":1,"entry_id":"{}","tenant":{},"kind":{},"actor":{},"subject_key":{key},"create_time":"{}","payload":{}}}"#,
            self.entry_id,
            text(&self.tenant),
            text(&self.kind),
            text(&self.actor),
            self.at,
            self.payload,
        )
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn entry(number: u64) -> LoggedEntry {
        LoggedEntry {
            entry_id: Uuid::from_u128(u128::from(number)),
            tenant: "default".to_owned(),
            kind: "decision".to_owned(),
            actor: "api_key:desk \"7\"".to_owned(),
            subject_key: (!number.is_multiple_of(3)).then(|| vec![0xab; 32]),
            payload: format!(r#"{{"n":{number},"verdict":"deny"}}"#),
            at: Micros(1_776_783_600_000_001),
        }
    }

    /// These bytes are in logs that exist: a change here makes every one of them false.
    #[test]
    fn the_bytes_of_an_entry_are_for_ever() {
        assert_eq!(
            entry(1).leaf(),
            r#"{"v":1,"entry_id":"00000000-0000-0000-0000-000000000001","tenant":"default","kind":"decision","actor":"api_key:desk \"7\"","subject_key":"abababababababababababababababababababababababababababababababab","create_time":"2026-04-21T15:00:00.000001Z","payload":{"n":1,"verdict":"deny"}}"#
        );
        assert!(entry(3).leaf().contains(r#""subject_key":null,"#));
        let leaf: serde_json::Value = serde_json::from_str(&entry(1).leaf()).unwrap();
        assert_eq!(leaf["payload"]["n"], 1);
    }

    #[test]
    fn p15_no_two_entries_have_the_same_bytes() {
        let entry = entry(1);
        let mut all = vec![entry.leaf()];
        let mut other = |change: fn(&mut LoggedEntry)| {
            let mut changed = entry.clone();
            change(&mut changed);
            all.push(changed.leaf());
        };
        other(|entry| entry.entry_id = Uuid::from_u128(9));
        other(|entry| entry.tenant = "other".to_owned());
        other(|entry| entry.kind = "claim".to_owned());
        other(|entry| entry.actor = "system".to_owned());
        other(|entry| entry.subject_key = None);
        other(|entry| entry.at = Micros(1_776_783_600_000_002));
        other(|entry| entry.payload = "{}".to_owned());
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
