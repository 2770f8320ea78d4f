//! Enum values of the contract and their short words: `OUTCOME_NO_ANSWER` is `no_answer` everywhere but on the wire.

const ZERO: &str = "UNSPECIFIED";

/// `name` without the prefix that it shares with the zero value of its set, in lower case; empty for the zero value.
#[must_use]
pub fn short(name: &str, zero: &str) -> String {
    let prefix = zero.strip_suffix(ZERO).unwrap_or_default();
    match name.strip_prefix(prefix) {
        Some(ZERO) | None => String::new(),
        Some(word) => word.to_ascii_lowercase(),
    }
}

/// The reverse of [`short`].
#[must_use]
pub fn full(word: &str, zero: &str) -> String {
    let prefix = zero.strip_suffix(ZERO).unwrap_or_default();
    format!("{prefix}{}", word.to_ascii_uppercase())
}
