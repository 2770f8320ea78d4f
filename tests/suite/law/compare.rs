//! The engine beside the second evaluator: what either says of a case, where they differ, and the smallest case that
//! still shows it.

use std::path::{Path, PathBuf};

use dialgate::policy::facts::Case;
use dialgate::policy::{Pack, judge as engine};
use serde_json::Value;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeSet;

use super::book::Book;
use super::verdict::{Opinion, judge};

/// The rules that are shipped.
pub fn shipped() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// Both readings of one pack.
pub struct Both {
    pub book: Book,
    pub pack: Pack,
}

impl Both {
    pub fn read(folder: &Path) -> Self {
        Self {
            book: Book::read(folder),
            pack: Pack::load(folder).unwrap_or_else(|faults| panic!("{faults}")),
        }
    }

    /// What the engine says, in the words of the second evaluator.
    pub fn engine(&self, case: &Value) -> Option<Opinion> {
        let case: Case = serde_json::from_value(case.clone()).ok()?;
        let said = serde_json::to_value(engine(&self.pack, &case)).unwrap();
        let words = |key: &str| {
            let all = said[key].as_array().unwrap().iter();
            all.map(|word| word.as_str().unwrap().to_owned())
        };
        let mut rules = Vec::new();
        let mut shown = Vec::new();
        for rule in said["rules"].as_array().unwrap() {
            let id = rule["rule"].as_str().unwrap().to_owned();
            match rule["outcome"].as_str().unwrap() {
                "fail" => rules.push((id, "fail")),
                "void" => rules.push((id, "void")),
                "pass" => rules.push((id, "pass")),
                "lifted" => rules.push((id, "lifted")),
                "info" => shown.push((id, "info")),
                other => panic!("{other}"),
            }
        }
        shown.sort();
        rules.extend(shown);
        let denied_by: Vec<String> = words("denied_by").collect();
        assert_eq!(
            said["verdict"] == "deny",
            !denied_by.is_empty(),
            "the verdict is that of the rules"
        );
        Some(Opinion {
            denied_by,
            rules,
            jurisdictions: words("jurisdictions").collect(),
            zones: words("zones").collect(),
        })
    }

    pub fn naive(&self, case: &Value) -> Opinion {
        judge(&self.book, self.pack.tables(), case)
    }

    /// In what they differ, if they do: one word a difference. What the engine does not read, as a case made smaller may
    /// be, is no difference.
    pub fn difference(&self, case: &Value) -> Option<Vec<String>> {
        self.difference_from(&self.engine(case)?, case)
    }

    /// The same, of a case that the engine must read.
    pub fn certain_difference(&self, case: &Value) -> Option<Vec<String>> {
        let engine = self.engine(case);
        self.difference_from(&engine.unwrap_or_else(|| panic!("no case: {case}")), case)
    }

    fn difference_from(&self, engine: &Opinion, case: &Value) -> Option<Vec<String>> {
        let naive = self.naive(case);
        let same_zones = same_clocks(&engine.zones, &naive.zones);
        if same_zones && engine.same_rules(&naive) {
            return None;
        }
        let mut found = Vec::new();
        for (id, outcome) in &engine.rules {
            let other = naive.rules.iter().find(|(other, _)| other == id);
            if other.map(|(_, outcome)| outcome) != Some(outcome) {
                let other = other.map_or("nothing", |(_, outcome)| outcome);
                found.push(format!("{id}: engine {outcome}, naive {other}"));
            }
        }
        for (id, outcome) in &naive.rules {
            if !engine.rules.iter().any(|(other, _)| other == id) {
                found.push(format!("{id}: engine nothing, naive {outcome}"));
            }
        }
        if engine.jurisdictions != naive.jurisdictions {
            found.push(format!(
                "jurisdictions: engine {:?}, naive {:?}",
                engine.jurisdictions, naive.jurisdictions
            ));
        }
        if !same_zones {
            found.push(format!(
                "zones: engine {:?}, naive {:?}",
                engine.zones, naive.zones
            ));
        }
        if found.is_empty() {
            found.push(format!("order: engine {engine:?}, naive {naive:?}"));
        }
        Some(found)
    }
}

/// Whether both lists stand for the same clocks. Those that have shown the same time in all the years of the data may be
/// told by one name.
fn same_clocks(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    let shown = |name: &String| -> Vec<i32> {
        let zone = TimeZone::get(name).unwrap();
        let weeks = (0..5 * 53).map(|week| 1_704_067_200 + week * 7 * 86_400);
        weeks
            .map(|second| {
                zone.to_offset(Timestamp::from_second(second).unwrap())
                    .seconds()
            })
            .collect()
    };
    let clocks = |names: &BTreeSet<String>| names.iter().map(shown).collect::<BTreeSet<_>>();
    one == other || clocks(one) == clocks(other)
}

/// Makes the case smaller while it still shows the fault: keys and list members are taken out one by one.
pub fn shrink(case: &Value, shows: &dyn Fn(&Value) -> bool) -> Value {
    let mut smallest = case.clone();
    loop {
        let mut smaller = None;
        for path in paths(&smallest) {
            let mut candidate = smallest.clone();
            remove(&mut candidate, &path);
            if shows(&candidate) {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(candidate) => smallest = candidate,
            None => return smallest,
        }
    }
}

/// Where something can be taken out.
fn paths(value: &Value) -> Vec<Vec<String>> {
    let inner = |key: String, value: &Value| {
        let mut found = vec![vec![key.clone()]];
        for mut path in paths(value) {
            path.insert(0, key.clone());
            found.push(path);
        }
        found
    };
    match value {
        Value::Object(all) => all.iter().flat_map(|(k, v)| inner(k.clone(), v)).collect(),
        Value::Array(all) => (all.iter().enumerate())
            .flat_map(|(at, v)| inner(at.to_string(), v))
            .collect(),
        _ => Vec::new(),
    }
}

fn remove(value: &mut Value, path: &[String]) {
    let (last, above) = path.split_last().unwrap();
    let mut at = value;
    for key in above {
        at = match at {
            Value::Array(all) => &mut all[key.parse::<usize>().unwrap()],
            other => &mut other[key.as_str()],
        };
    }
    match at {
        Value::Array(all) => {
            all.remove(last.parse().unwrap());
        }
        Value::Object(all) => {
            all.remove(last);
        }
        _ => {}
    }
}
