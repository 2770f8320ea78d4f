//! One text form for each closed set of words: the same in the database, in JSON, in rule files and on the command line.
//! And [`Text`], which many may hold at once: a judgement repeats the law's own words for each of its rules.

use std::fmt::Write as _;
use std::sync::Arc;

/// A word that is not in the set it was looked up in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} `{word}`, expected one of {expected}")]
pub struct UnknownWord {
    /// What the set is called.
    pub what: &'static str,
    /// The word as it was given.
    pub word: String,
    /// The words that would have been understood.
    pub expected: String,
}

/// A text that is not copied where it is the same for many: the id and the citation of a rule, the name of a zone, a
/// sentence that is always the same. A judgement holds some hundred of them, and copying each took most of its time.
#[derive(Clone)]
pub enum Text {
    /// Written in the program.
    Fixed(&'static str),
    /// Held by many.
    Shared(Arc<str>),
    /// Made for this one place.
    Own(String),
}

impl Text {
    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Fixed(text) => text,
            Self::Shared(text) => text,
            Self::Own(text) => text,
        }
    }
}

impl Text {
    /// The same text, to be held by many.
    #[must_use]
    pub fn shared(self) -> Self {
        match self {
            Self::Own(text) => Self::Shared(text.into()),
            other => other,
        }
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl std::borrow::Borrow<str> for Text {
    fn borrow(&self) -> &str {
        self
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self)
    }
}

impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other)
    }
}

impl std::hash::Hash for Text {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.as_str() == other
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Own(text)
    }
}

impl From<Arc<str>> for Text {
    fn from(text: Arc<str>) -> Self {
        Self::Shared(text)
    }
}

impl From<Text> for String {
    fn from(text: Text) -> Self {
        match text {
            Text::Own(text) => text,
            other => other.as_str().to_owned(),
        }
    }
}

/// Text that is always the same is not copied.
impl From<std::fmt::Arguments<'_>> for Text {
    fn from(text: std::fmt::Arguments<'_>) -> Self {
        match text.as_str() {
            Some(text) => Self::Fixed(text),
            None => {
                // Most sentences fit; growing by and by costs as much as the writing.
                let mut own = String::with_capacity(64);
                // Writing to memory does not fail; a Display that does leaves its text short.
                let _ = own.write_fmt(text);
                Self::Own(own)
            }
        }
    }
}

impl serde::Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self)
    }
}

/// What is read is held by many: rules are read once and named by every judgement.
impl<'de> serde::Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::Shared(text.into()))
    }
}

/// What is wrong with a text as a field of a record: it is plain, not blank, and at most this long.
#[must_use]
pub fn not_plain(value: &str, chars_max: usize) -> Option<String> {
    let control = |each: char| each.is_control() && !matches!(each, '\n' | '\r' | '\t');
    if value.chars().count() > chars_max {
        return Some(format!("is longer than {chars_max} characters"));
    }
    let problem = if value.contains(control) {
        "holds control characters; send plain text"
    } else if value.trim().is_empty() {
        "holds nothing but spaces; leave it out or say something"
    } else {
        return None;
    };
    Some(problem.to_owned())
}

/// Declares an enum with its one text form, used by serde, the store and the command line alike.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident, $what:literal { $($(#[$vmeta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vmeta])* $variant,)+
        }

        impl $name {
            /// Every member of the set, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The one text form of this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::domain::UnknownWord;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($text => Ok(Self::$variant),)+
                    _ => Err($crate::domain::UnknownWord {
                        what: $what,
                        word: word.to_owned(),
                        expected: [$($text,)+].join(", "),
                    }),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

pub(crate) use words;
