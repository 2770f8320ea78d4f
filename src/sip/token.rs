//! Call-IDs, branches and tags: 128 random bits each, no host name or count in them, so that they tell nothing of us.

use std::cell::RefCell;

/// Tokens that one system call draws; a call takes about five.
const DRAWN: usize = 64;

thread_local! {
    /// What this thread has drawn and not yet given away. No token is given twice.
    static STOCK: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// Where tokens come from.
#[derive(Debug, Clone)]
pub(super) enum Tokens {
    /// The system's generator.
    System,
    /// Counted, for transcripts that can be read.
    #[cfg(test)]
    Counted(u64),
}

impl Tokens {
    /// A fresh token of 32 hexadecimal digits.
    pub(super) fn next(&mut self) -> String {
        match self {
            Self::System => random(),
            #[cfg(test)]
            Self::Counted(count) => {
                *count += 1;
                format!("{count:032x}")
            }
        }
    }

    /// A number under this bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let token = self.next();
        let drawn = token
            .get(..8)
            .and_then(|hex| u64::from_str_radix(hex, 16).ok());
        drawn
            .and_then(|drawn| drawn.checked_rem(bound))
            .unwrap_or(0)
    }

    /// A fresh branch, with the cookie of RFC 3261 section 8.1.1.7.
    pub(super) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.next())
    }
}

/// 128 random bits as hexadecimal digits.
pub(super) fn random() -> String {
    STOCK.with_borrow_mut(|stock| hex(&stock.pop().unwrap_or_else(|| draw(stock))))
}

/// One token, and more for later: a system call each would be a good part of what a call costs.
fn draw(stock: &mut Vec<[u8; 16]>) -> [u8; 16] {
    let mut drawn = [[0; 16]; DRAWN];
    #[expect(
        clippy::expect_used,
        reason = "without the system's randomness no dialog can be told from another; it fails only on a broken system"
    )]
    getrandom::fill(drawn.as_flattened_mut()).expect("the system has no randomness");
    let [token, rest @ ..] = drawn;
    stock.extend(rest);
    token
}

/// Two lower-case digits a byte.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    text.extend(nibbles.filter_map(|nibble| char::from_digit(u32::from(nibble), 16)));
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_token_is_given_twice() {
        let tokens: BTreeSet<String> = (0..3 * DRAWN).map(|_| random()).collect();
        assert_eq!(tokens.len(), 3 * DRAWN);
        assert!(tokens.iter().all(|token| token.len() == 32));
    }

    #[test]
    fn digits_are_those_of_the_bytes() {
        assert_eq!(hex(&[0x00, 0x0f, 0xa5, 0xff]), "000fa5ff");
    }
}
