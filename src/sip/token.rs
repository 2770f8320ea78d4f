//! Call-IDs, branches and tags: 128 random bits each, no host name or count in them, so that they tell nothing of us.

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

    /// A fresh branch, with the cookie of RFC 3261 section 8.1.1.7.
    pub(super) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.next())
    }
}

/// 128 random bits as hexadecimal digits.
pub(super) fn random() -> String {
    let mut bytes = [0; 16];
    #[expect(
        clippy::expect_used,
        reason = "without the system's randomness no dialog can be told from another; it fails only on a broken system"
    )]
    getrandom::fill(&mut bytes).expect("the system has no randomness");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
