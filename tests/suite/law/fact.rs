//! Short ways to ask a case for a fact; `null` is no answer.

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;

pub trait Fact {
    fn word(&self, key: &str) -> Option<&str>;
    fn yes(&self, key: &str) -> bool;
    fn day(&self, key: &str) -> Option<Date>;
    fn instant(&self, key: &str) -> Option<Timestamp>;
    fn each(&self, key: &str) -> Vec<&Value>;
}

impl Fact for Value {
    fn word(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    fn yes(&self, key: &str) -> bool {
        self.get(key).and_then(Value::as_bool) == Some(true)
    }

    fn day(&self, key: &str) -> Option<Date> {
        self.word(key).map(|text| text.parse().unwrap())
    }

    fn instant(&self, key: &str) -> Option<Timestamp> {
        self.word(key).map(|text| text.parse().unwrap())
    }

    fn each(&self, key: &str) -> Vec<&Value> {
        let list = self.get(key).and_then(Value::as_array);
        list.into_iter().flatten().collect()
    }
}
