//! Reading a value of which parts are wrong. Serde stops at the first fault, so what is at fault is told, then taken out or
//! replaced by what stands in for it, and the rest is read again until nothing is at fault. What comes out is for finding
//! more faults, never for judging: a pack with a fault is no pack.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use serde::de::{DeserializeOwned, Deserializer, Error as _, Visitor, value};
use serde::forward_to_deserialize_any;
use toml::Spanned;
use toml::de::{DeArray, DeValue, ValueDeserializer};

/// What can be read although parts of it are wrong.
pub(super) trait Readable: DeserializeOwned {
    /// What stands in, as TOML, for a part that is missing or cannot be read: a path of keys, in which `*` is any key and
    /// `[]` an element of a list. Chosen so that it causes no fault of its own. A part without one is taken out.
    const STAND_INS: &'static [(&'static str, &'static str)] = &[];
}

/// A value as read, and all that was wrong with it.
#[derive(Debug)]
pub(super) struct Healed<T> {
    /// None only where no part of it could be read.
    pub value: Option<T>,
    pub faults: Vec<Fault>,
    /// The parts that are missing or could not be read, as their writer counts them.
    pub unread: BTreeSet<String>,
    /// Each part of the healed value: how its writer counts it, and where it stands.
    pub parts: HashMap<String, (String, usize)>,
}

/// One fault: which part, where in the text, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub path: String,
    pub at: usize,
    pub problem: String,
    /// Whether it is that the part is not there.
    pub is_missing: bool,
}

const MISSING: &str = "is missing; add it";

/// A place that no text has: that of what stands in for something missing.
const NOWHERE: Range<usize> = usize::MAX..usize::MAX;

/// Reads a value, telling every part of it that is at fault.
pub(super) fn heal<T: Readable>(mut tree: Spanned<DeValue<'_>>) -> Healed<T> {
    let mut written = HashMap::new();
    walk(&tree, "", &mut |path, node| {
        written.insert(place(node), path.to_owned());
    });
    let mut healing = Healing {
        stand_ins: T::STAND_INS,
        written,
        faults: Vec::new(),
        unread: BTreeSet::new(),
    };
    let value = loop {
        match T::deserialize(ValueDeserializer::from(tree.clone())) {
            Ok(value) => break Some(value),
            Err(error) if healing.mend::<T>(&mut tree, &error) => {}
            Err(_) => break None,
        }
    };
    let mut parts = HashMap::new();
    walk(&tree, "", &mut |path, node| {
        if let Some(written) = healing.written.get(&place(node)) {
            parts.insert(path.to_owned(), (written.clone(), node.span().start));
        }
    });
    Healed {
        value,
        faults: healing.faults,
        unread: healing.unread,
        parts,
    }
}

struct Healing {
    stand_ins: &'static [(&'static str, &'static str)],
    /// Each part by its place, as its writer counts it.
    written: HashMap<(usize, bool), String>,
    faults: Vec<Fault>,
    unread: BTreeSet<String>,
}

impl Healing {
    /// Tells a fault and takes it out of the way; false if nothing is left to read.
    fn mend<T: Readable>(
        &mut self,
        tree: &mut Spanned<DeValue<'_>>,
        error: &toml::de::Error,
    ) -> bool {
        let at = error.span().map_or(tree.span().start, |span| span.start);
        let message = in_words(error.message());
        let Some(mut found) = find(tree, at) else {
            self.tell(String::new(), at, message);
            return false;
        };
        let mut at = at;
        if let Some((index, start)) = culprit::<T>(tree, &found.steps, error) {
            found.steps.push(Step::Index(index));
            at = start;
        }
        let path = self.path_of(tree, &found.steps);
        if let Some(key) = message.strip_prefix("missing field `") {
            let key = key.trim_end_matches('`');
            return self.add_missing(tree, &found.steps, joined(&path, key), key, at);
        }
        if found.in_key {
            self.tell(path, at, unknown(&message));
            return remove(tree, &found.steps);
        }
        let is_new = self.unread.insert(path.clone());
        if is_new {
            self.tell(path.clone(), at, message);
        }
        let stand_in = self.stand_in(&path).filter(|_| is_new);
        match (stand_in, node_mut(tree, &found.steps)) {
            (Some(value), Some(node)) if !found.steps.is_empty() => {
                *node = moved(value, &node.span());
                true
            }
            _ => remove(tree, &found.steps),
        }
    }

    fn add_missing(
        &mut self,
        tree: &mut Spanned<DeValue<'_>>,
        steps: &[Step],
        path: String,
        key: &str,
        at: usize,
    ) -> bool {
        let stand_in = self.stand_in(&path);
        if self.unread.insert(path.clone()) {
            self.tell(path, at, MISSING.to_owned());
        }
        let table = node_mut(tree, steps).map(Spanned::get_mut);
        match (stand_in, table) {
            (Some(value), Some(DeValue::Table(table))) => {
                let key = Spanned::new(NOWHERE, Cow::Owned(key.to_owned()));
                table.insert(key, moved(value, &NOWHERE));
                true
            }
            _ => remove(tree, steps),
        }
    }

    fn tell(&mut self, path: String, at: usize, problem: String) {
        let is_missing = problem == MISSING;
        self.faults.push(Fault {
            path,
            at,
            problem,
            is_missing,
        });
    }

    /// The path as the writer counts it: list elements may have been taken out before it.
    fn path_of(&self, tree: &Spanned<DeValue<'_>>, steps: &[Step]) -> String {
        let node = node(tree, steps).and_then(|node| self.written.get(&place(node)));
        node.cloned().unwrap_or_else(|| path_to(steps))
    }

    fn stand_in(&self, path: &str) -> Option<DeValue<'static>> {
        let wanted: Vec<String> = path.split('.').map(without_index).collect();
        let fits = |pattern: &str| {
            let pattern: Vec<&str> = pattern.split('.').collect();
            pattern.len() == wanted.len()
                && (pattern.iter().zip(&wanted))
                    .all(|(one, key)| one == key || (*one == "*" && !key.ends_with("[]")))
        };
        let (_, text) = self.stand_ins.iter().find(|(pattern, _)| fits(pattern))?;
        DeValue::parse(text).ok().map(Spanned::into_inner)
    }
}

/// Of a list at fault the element that is, and where it stands: the reader says no more than which list. It is the last
/// one of the shortest beginning of the list that has the same fault; if the empty list has it, none is.
fn culprit<T: Readable>(
    tree: &Spanned<DeValue<'_>>,
    steps: &[Step],
    error: &toml::de::Error,
) -> Option<(usize, usize)> {
    let list = node(tree, steps)?.get_ref().as_array()?;
    let has_fault = |length: usize| {
        let mut shorter = tree.clone();
        if let Some(DeValue::Array(list)) = node_mut(&mut shorter, steps).map(Spanned::get_mut) {
            let kept = std::mem::replace(list, DeArray::new())
                .into_iter()
                .take(length);
            kept.for_each(|element| list.push(element));
        }
        T::deserialize(ValueDeserializer::from(shorter))
            .is_err_and(|other| (other.span(), other.message()) == (error.span(), error.message()))
    };
    if has_fault(0) {
        return None;
    }
    let index = (0..list.len()).find(|index| has_fault(index + 1))?;
    Some((index, list.get(index)?.span().start))
}

/// One step down into a value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// The innermost part at a place of the text.
struct Found {
    steps: Vec<Step>,
    /// Whether it is its key that stands there.
    in_key: bool,
}

fn find(node: &Spanned<DeValue<'_>>, at: usize) -> Option<Found> {
    let covers = |span: Range<usize>| span.start == at || span.contains(&at);
    let below = |step: Step, found: Found| Found {
        steps: [vec![step], found.steps].concat(),
        ..found
    };
    let inside = match node.get_ref() {
        DeValue::Table(table) => table.iter().find_map(|(key, value)| {
            let step = Step::Key(key.get_ref().clone().into_owned());
            let in_key = covers(key.span()).then(|| Found {
                steps: vec![],
                in_key: true,
            });
            let found = find(value, at).filter(|found| in_key.is_none() || found.in_key);
            found.or(in_key).map(|found| below(step, found))
        }),
        DeValue::Array(list) => (list.iter().enumerate())
            .find_map(|(index, value)| Some(below(Step::Index(index), find(value, at)?))),
        _ => None,
    };
    inside.or_else(|| {
        covers(node.span()).then(|| Found {
            steps: vec![],
            in_key: false,
        })
    })
}

fn node<'t, 'a>(
    tree: &'t Spanned<DeValue<'a>>,
    steps: &[Step],
) -> Option<&'t Spanned<DeValue<'a>>> {
    steps
        .iter()
        .try_fold(tree, |node, step| match (node.get_ref(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get(key.as_str()),
            (DeValue::Array(list), Step::Index(index)) => list.get(*index),
            _ => None,
        })
}

fn node_mut<'t, 'a>(
    tree: &'t mut Spanned<DeValue<'a>>,
    steps: &[Step],
) -> Option<&'t mut Spanned<DeValue<'a>>> {
    steps
        .iter()
        .try_fold(tree, |node, step| match (node.get_mut(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get_mut(key.as_str()),
            (DeValue::Array(list), Step::Index(index)) => list.get_mut(*index),
            _ => None,
        })
}

/// Takes a part out; false for the whole.
fn remove(tree: &mut Spanned<DeValue<'_>>, steps: &[Step]) -> bool {
    let Some((last, above)) = steps.split_last() else {
        return false;
    };
    match (node_mut(tree, above).map(Spanned::get_mut), last) {
        (Some(DeValue::Table(table)), Step::Key(key)) => table.remove(key.as_str()).is_some(),
        (Some(DeValue::Array(list)), Step::Index(index)) => {
            let kept = std::mem::replace(list, DeArray::new())
                .into_iter()
                .enumerate();
            kept.filter(|(at, _)| at != index)
                .for_each(|(_, element)| list.push(element));
            true
        }
        _ => false,
    }
}

/// Visits each part with its path.
fn walk(
    node: &Spanned<DeValue<'_>>,
    path: &str,
    visit: &mut impl FnMut(&str, &Spanned<DeValue<'_>>),
) {
    visit(path, node);
    match node.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .for_each(|(key, value)| walk(value, &joined(path, key.get_ref()), visit)),
        DeValue::Array(list) => (list.iter().enumerate())
            .for_each(|(index, value)| walk(value, &format!("{path}[{index}]"), visit)),
        _ => {}
    }
}

/// What tells a part from every other: a list may begin where its first element does.
fn place(node: &Spanned<DeValue<'_>>) -> (usize, bool) {
    (node.span().start, node.get_ref().is_array())
}

/// The value as if it stood there.
fn moved<'a>(mut value: DeValue<'a>, span: &Range<usize>) -> Spanned<DeValue<'a>> {
    match &mut value {
        DeValue::Array(list) => list
            .iter_mut()
            .for_each(|element| *element = moved(element.get_ref().clone(), &NOWHERE)),
        DeValue::Table(table) => {
            let entries = std::mem::take(table).into_iter();
            *table = entries
                .map(|(key, value)| {
                    let key = Spanned::new(NOWHERE, key.into_inner());
                    (key, moved(value.into_inner(), &NOWHERE))
                })
                .collect();
        }
        _ => {}
    }
    Spanned::new(span.clone(), value)
}

fn joined(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

fn path_to(steps: &[Step]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Key(key) => joined(&path, key),
        Step::Index(index) => format!("{path}[{index}]"),
    })
}

/// `days[3]` is any element of `days[]`.
fn without_index(key: &str) -> String {
    match key.split_once('[') {
        Some((list, _)) => format!("{list}[]"),
        None => key.to_owned(),
    }
}

/// An unknown key, without naming it again.
fn unknown(message: &str) -> String {
    let named = message.strip_prefix("unknown field `");
    match named.and_then(|rest| rest.split_once('`')) {
        Some((_, rest)) if rest.starts_with(", there") => {
            "unknown key; nothing of this name belongs here".to_owned()
        }
        Some((_, rest)) => format!("unknown key{rest}"),
        None => message.to_owned(),
    }
}

/// The reader's words without those of the program's types.
fn in_words(message: &str) -> String {
    const WORDS: &[(&str, &str)] = &[
        ("unknown variant", "unknown value"),
        (" a sequence", " a list in brackets"),
        (" a map", " a table"),
        (": map,", ": a table,"),
        (": sequence,", ": a list,"),
        (" a boolean", " true or false"),
        (": boolean ", ": "),
        (
            "expected usize",
            "expected a whole number that is not negative",
        ),
        (
            "expected u32",
            "expected a whole number that is not negative",
        ),
        ("expected i64", "expected a whole number"),
        ("expected i32", "expected a whole number"),
        ("expected i8", "expected a whole number"),
        ("expected f64", "expected a number"),
        ("expected a string", "expected a text in quotes"),
    ];
    let one_line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = (WORDS.iter()).fold(one_line, |text, (from, to)| text.replace(from, to));
    match text.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected a table"),
        None => text,
    }
}

/// The keys that a table of this type takes.
pub(super) fn keys_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    let _ = T::deserialize(KeysOf(&mut keys));
    keys
}

/// A value that says nothing, and writes down what it was asked for.
struct KeysOf<'k>(&'k mut &'static [&'static str]);

impl<'de> Deserializer<'de> for KeysOf<'_> {
    type Error = value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(Self::Error::custom("there is nothing to read"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("there is nothing to read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
