//! Signed notes (c2sp.org/signed-note) with Ed25519: a text, an empty line, and a line for each who signed it. Keys are written
//! as the tools of Go's checksum database write them, so that those and everybody else's read ours.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::domain::hex::{hex, unhex};

/// The kind of key and signature that this is: Ed25519.
const ED25519_KIND: u8 = 1;
/// Longest name of a key.
const NAME_MAX: usize = 128;
/// Most lines of signatures that are looked at, as the specification asks to bound them.
const SIGNATURES_MAX: usize = 100;
/// What a line of a signature begins with: an em dash and a space.
const DASH: &str = "\u{2014} ";
const PRIVATE: &str = "PRIVATE+KEY+";

/// What is wrong with a note or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text is no key.
    #[error("is no key of the form {expected}")]
    Key {
        /// How one looks.
        expected: &'static str,
    },
    /// The name cannot be one.
    #[error("is no name of a log: write 1 to {NAME_MAX} characters without spaces and `+`")]
    Name,
    /// The text is no signed note.
    #[error("is no signed note: a text, an empty line, and lines that begin with an em dash")]
    Note,
    /// Nobody whose key is known signed it.
    #[error("bears no signature of the key `{name}`")]
    Unsigned {
        /// Name of the key.
        name: String,
    },
    /// The signature is not one over this text.
    #[error("bears a signature of the key `{name}` that does not fit its text")]
    Forged {
        /// Name of the key.
        name: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    NoRandomness,
}

/// Whose signature is believed: name and public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key: [u8; 32],
}

impl VerifierKey {
    /// Reads `name+hash+key`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const EXPECTED: NoteError = NoteError::Key {
            expected: "name+hash+key",
        };
        let (name, rest) = text.trim().split_once('+').ok_or(EXPECTED)?;
        let (id, key) = rest.split_once('+').ok_or(EXPECTED)?;
        check_name(name)?;
        let key = Self {
            name: name.to_owned(),
            key: *key_bytes(key).ok_or(EXPECTED)?,
        };
        if unhex(id) == Some(key.id()) {
            Ok(key)
        } else {
            Err(EXPECTED)
        }
    }

    /// The key's name, which is the log's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What tells keys of one name apart: the first bytes of SHA-256 over name, line feed, kind and key.
    fn id(&self) -> [u8; 4] {
        let hash = Sha256::new()
            .chain_update(&self.name)
            .chain_update([b'\n', ED25519_KIND])
            .chain_update(self.key)
            .finalize();
        let mut id = [0; 4];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        id
    }

    /// The text of a note that this key signed.
    pub fn open<'n>(&self, note: &'n str) -> Result<&'n str, NoteError> {
        let (text, signatures) = split(note).ok_or(NoteError::Note)?;
        let mut found = false;
        for line in signatures.lines().take(SIGNATURES_MAX) {
            let signed = line.strip_prefix(DASH).ok_or(NoteError::Note)?;
            let (name, coded) = signed.split_once(' ').ok_or(NoteError::Note)?;
            let bytes = STANDARD.decode(coded).map_err(|_| NoteError::Note)?;
            let (id, signature) = bytes.split_at_checked(4).ok_or(NoteError::Note)?;
            if name != self.name || id != self.id() {
                continue;
            }
            found = true;
            let key = UnparsedPublicKey::new(&ED25519, self.key);
            if key.verify(text.as_bytes(), signature).is_err() {
                return Err(NoteError::Forged {
                    name: self.name.clone(),
                });
            }
        }
        if found {
            return Ok(text);
        }
        Err(NoteError::Unsigned {
            name: self.name.clone(),
        })
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, id) = (&self.name, hex(&self.id()));
        write!(f, "{name}+{id}+{}", coded(&self.key).as_str())
    }
}

/// The text of a note with its line end, and its lines of signatures. The text ends at the last empty line.
#[must_use]
pub fn split(note: &str) -> Option<(&str, &str)> {
    let is_plain = |c: char| c == '\n' || !c.is_ascii_control();
    let at = note.rfind("\n\n")?;
    let (text, signatures) = (note.get(..=at)?, note.get(at + 2..)?);
    (signatures.ends_with('\n') && note.chars().all(is_plain)).then_some((text, signatures))
}

/// Signs notes. It does not print.
pub struct SigningKey {
    public: VerifierKey,
    seed: Zeroizing<[u8; 32]>,
    pair: Ed25519KeyPair,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public)
    }
}

impl SigningKey {
    /// A new one.
    pub fn generate(name: &str) -> Result<Self, NoteError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *seed).map_err(|_| NoteError::NoRandomness)?;
        Self::of(name, seed)
    }

    /// The one of this seed.
    pub fn of(name: &str, seed: Zeroizing<[u8; 32]>) -> Result<Self, NoteError> {
        check_name(name)?;
        let broken = |_| NoteError::Key {
            expected: "PRIVATE+KEY+name+hash+key",
        };
        let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(broken)?;
        let mut key = [0; 32];
        let public = pair.public_key().as_ref().iter();
        key.iter_mut()
            .zip(public)
            .for_each(|(to, from)| *to = *from);
        Ok(Self {
            public: VerifierKey {
                name: name.to_owned(),
                key,
            },
            seed,
            pair,
        })
    }

    /// Reads `PRIVATE+KEY+name+hash+key`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        const EXPECTED: NoteError = NoteError::Key {
            expected: "PRIVATE+KEY+name+hash+key",
        };
        let rest = text.trim().strip_prefix(PRIVATE).ok_or(EXPECTED)?;
        let (name, rest) = rest.split_once('+').ok_or(EXPECTED)?;
        let (id, key) = rest.split_once('+').ok_or(EXPECTED)?;
        let key = Self::of(name, key_bytes(key).ok_or(EXPECTED)?)?;
        if unhex(id) == Some(key.public.id()) {
            Ok(key)
        } else {
            Err(EXPECTED)
        }
    }

    /// The text form, for a file that only its owner may read.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let (name, id) = (&self.public.name, hex(&self.public.id()));
        let coded = coded(&self.seed);
        Zeroizing::new(format!("{PRIVATE}{name}+{id}+{}", coded.as_str()))
    }

    /// By what others know its signatures.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.public
    }

    /// The note over a text that ends with a line end.
    #[must_use]
    pub fn sign(&self, text: &str) -> String {
        let signature = self.pair.sign(text.as_bytes());
        let bytes = [self.public.id().as_slice(), signature.as_ref()].concat();
        let (name, coded) = (&self.public.name, STANDARD.encode(bytes));
        format!("{text}\n{DASH}{name} {coded}\n")
    }
}

fn check_name(name: &str) -> Result<(), NoteError> {
    let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    if (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(NoteError::Name)
}

/// Kind and key in base64.
fn coded(key: &[u8; 32]) -> Zeroizing<String> {
    let bytes = Zeroizing::new([&[ED25519_KIND], key.as_slice()].concat());
    Zeroizing::new(STANDARD.encode(&*bytes))
}

fn key_bytes(coded: &str) -> Option<Zeroizing<[u8; 32]>> {
    let bytes = Zeroizing::new(STANDARD.decode(coded).ok()?);
    let (kind, key) = bytes.split_first()?;
    let key: [u8; 32] = key.try_into().ok()?;
    (*kind == ED25519_KIND).then(|| Zeroizing::new(key))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The example of the documentation of `golang.org/x/mod/sumdb/note`.
    const GO_PRIVATE: &str =
        "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    const GO_PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_TEXT: &str = "If you think cryptography is the answer to your problem,\n\
                           then you don't know what your problem is.\n";
    const GO_SIGNATURE: &str = "\u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    pub fn key() -> SigningKey {
        SigningKey::of("example.com/log", Zeroizing::new([7; 32])).unwrap()
    }

    #[test]
    fn keys_and_notes_are_those_of_the_tools_of_go() {
        let key = SigningKey::parse(GO_PRIVATE).unwrap();
        assert_eq!(key.verifier().to_string(), GO_PUBLIC);
        assert_eq!(*key.text(), GO_PRIVATE);
        let note = key.sign(GO_TEXT);
        assert_eq!(note, format!("{GO_TEXT}\n{GO_SIGNATURE}"));
        let public = VerifierKey::parse(GO_PUBLIC).unwrap();
        assert_eq!(public.open(&note), Ok(GO_TEXT));
        assert!(!format!("{key:?}").contains("AYEK"), "{key:?}");
    }

    #[test]
    fn a_note_that_was_touched_is_not_believed() {
        let key = key();
        let note = key.sign("one\ntwo\n");
        let public = key.verifier();
        assert_eq!(public.open(&note), Ok("one\ntwo\n"));
        let forged = |text: &str| public.open(text).unwrap_err();
        let name = || "example.com/log".to_owned();
        assert_eq!(
            forged(&note.replace("two", "twa")),
            NoteError::Forged { name: name() }
        );
        let other = SigningKey::of("example.com/log", Zeroizing::new([8; 32])).unwrap();
        let others = other.sign("one\ntwo\n");
        assert_eq!(forged(&others), NoteError::Unsigned { name: name() });
        for broken in [
            "",
            "one\n",
            "one\n\n",
            note.trim_end(),
            &note.replace('\u{2014}', "-"),
            &note.replace("one", "on\re"),
            &format!("{note}\u{2014} x !!!\n"),
            &format!("{note}\u{2014} x AAA=\n"),
        ] {
            assert!(public.open(broken).is_err(), "{broken:?}");
        }
        // Who else signed it does not matter.
        let both = format!("{note}{}", others.lines().last().unwrap()) + "\n";
        assert_eq!(public.open(&both), Ok("one\ntwo\n"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let good = key().verifier().to_string();
        for bad in [
            String::new(),
            "a+b".to_owned(),
            good.replace("example", "exemple"),
            good.replace("+A", "+B"),
            good.replace("example.com/log", ""),
            format!("{good}A"),
        ] {
            assert!(VerifierKey::parse(&bad).is_err(), "{bad}");
            assert!(SigningKey::parse(&format!("{PRIVATE}{bad}")).is_err());
        }
        for name in ["", "a b", "a+b", "a\nb", &"x".repeat(129)] {
            assert_eq!(SigningKey::generate(name).unwrap_err(), NoteError::Name);
        }
        let made = SigningKey::generate("example.com/log").unwrap();
        let again = SigningKey::parse(&made.text()).unwrap();
        assert_eq!(again.verifier(), made.verifier());
    }
}
