//! A telephone number in E.164, and the keyed hash it is looked up by. Neither is ever printed readable by accident.

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::ids::TenantId;

/// A number of the form `+` and 7 to 15 digits, the first of them not 0. That it may be dialed is `place`'s judgement,
/// not this type's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone {
    /// The digits as one integer: a country calling code never begins with 0, so nothing is lost.
    digits: u64,
}

/// Of seven digits, and of fifteen.
const SMALLEST: u64 = 1_000_000;
const LARGEST: u64 = 999_999_999_999_999;

/// Text that is not `+` and 7 to 15 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an E.164 number: write `+`, the country calling code and the national number, 7 to 15 digits and nothing else"
)]
pub struct NotE164;

impl Phone {
    /// Takes the strict form only: ASCII digits after a plus sign, no separators.
    pub fn parse(text: &str) -> Result<Self, NotE164> {
        let digits = text.strip_prefix('+').ok_or(NotE164)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
        if !plain || !(7..=15).contains(&digits.len()) {
            return Err(NotE164);
        }
        digits
            .parse()
            .map(|digits| Self { digits })
            .map_err(|_| NotE164)
    }

    /// The number whose digits, read as one integer, are these.
    pub fn of_integer(digits: u64) -> Result<Self, NotE164> {
        (SMALLEST..=LARGEST)
            .contains(&digits)
            .then_some(Self { digits })
            .ok_or(NotE164)
    }

    /// The digits as one integer, for tables of very many numbers. As readable as [`Phone::reveal`]: never a log line.
    #[must_use]
    pub fn integer(self) -> u64 {
        self.digits
    }

    /// The digits without the plus sign.
    #[must_use]
    pub fn digits(self) -> String {
        self.digits.to_string()
    }

    /// The readable number. Every call of this is a place where a number leaves its type: the wire, the sealed column,
    /// the case object. Never a log line.
    #[must_use]
    pub fn reveal(self) -> String {
        format!("+{}", self.digits)
    }

    /// The last two digits, for people who must tell two numbers apart without being shown them.
    #[must_use]
    pub fn masked(self) -> String {
        format!("+…{:02}", self.digits % 100)
    }
}

impl std::fmt::Debug for Phone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Phone(redacted)")
    }
}

impl Serialize for Phone {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.reveal())
    }
}

impl<'de> Deserialize<'de> for Phone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// What a number is looked up by: HMAC-SHA-256 of its E.164 text. A plain hash would fall to trying all numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumberKey(pub [u8; 32]);

/// A key is a hash already: its beginning tells it apart from the others of a table, and a batch puts each into several.
impl std::hash::Hash for NumberKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_ne_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl NumberKey {
    /// Lower-case hexadecimal, as shown to administrators and carried in notifications.
    #[must_use]
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key written as [`NumberKey::hex`] writes it.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        if text.len() != 64 || !text.is_ascii() {
            return None;
        }
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(key))
    }
}

impl std::fmt::Debug for NumberKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "NumberKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Makes number keys under the secret that lies outside the database, one key space a tenant.
#[derive(Clone)]
pub struct NumberHasher {
    secret: Zeroizing<[u8; 32]>,
}

impl NumberHasher {
    /// A hasher under this secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret: Zeroizing::new(secret),
        }
    }

    /// The key of this number within this tenant.
    #[must_use]
    pub fn key(&self, tenant: &TenantId, number: Phone) -> NumberKey {
        self.within(tenant).key(number)
    }

    /// What makes the keys of many numbers of this tenant: the work that all of them share is done once.
    #[must_use]
    pub fn within(&self, tenant: &TenantId) -> TenantHasher {
        // The tenant's own key first, so that equal numbers of two tenants cannot be linked.
        let tenant_key = mac(self.secret.as_slice(), tenant.0.as_bytes());
        TenantHasher(keyed(&tenant_key))
    }
}

/// Makes the keys of one tenant's numbers. As secret as what it was made from.
#[derive(Clone)]
pub struct TenantHasher(Hmac<Sha256>);

impl TenantHasher {
    /// The key of this number.
    #[must_use]
    pub fn key(&self, number: Phone) -> NumberKey {
        let mut mac = self.0.clone();
        mac.update(number.reveal().as_bytes());
        NumberKey(mac.finalize().into_bytes().into())
    }
}

impl std::fmt::Debug for TenantHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TenantHasher(redacted)")
    }
}

impl std::fmt::Debug for NumberHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NumberHasher(redacted)")
    }
}

/// HMAC-SHA-256.
pub(super) fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(message);
    mac.finalize().into_bytes().into()
}

#[expect(
    clippy::expect_used,
    reason = "HMAC takes keys of every length (RFC 2104 section 2)"
)]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC accepts any key length")
}

/// A number without what a spreadsheet writes behind one that it took for an amount, as in `4045550141.0`. With that read as
/// digits it would be somebody else's.
#[must_use]
pub fn without_decimals(text: &str) -> &str {
    let whole = text.strip_suffix(".0").or_else(|| text.strip_suffix(".00"));
    whole
        .filter(|whole| !whole.contains('.') && whole.ends_with(|each: char| each.is_ascii_digit()))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strict_form_is_a_number() {
        for good in ["+1234567", "+14045550141", "+999999999999999"] {
            assert_eq!(Phone::parse(good).unwrap().reveal(), good);
        }
        for bad in [
            "",
            "+",
            "+123456",
            "+1234567890123456",
            "14045550141",
            "+0123456789",
            "+1 404 555 0141",
            "+1404555014a",
            "+１４０４５５５０１４１",
            "tel:+14045550141",
            "+14045550141;ext=5",
            "++14045550141",
        ] {
            assert_eq!(Phone::parse(bad), Err(NotE164), "{bad}");
        }
    }

    #[test]
    fn a_number_is_an_integer() {
        for (integer, good) in [
            (0, false),
            (999_999, false),
            (1_000_000, true),
            (14_045_550_141, true),
            (999_999_999_999_999, true),
            (1_000_000_000_000_000, false),
            (u64::MAX, false),
        ] {
            let number = Phone::of_integer(integer);
            assert_eq!(number.is_ok(), good, "{integer}");
            assert_eq!(number.is_ok(), Phone::parse(&format!("+{integer}")).is_ok());
            assert!(number.is_err() || number.unwrap().integer() == integer);
        }
    }

    #[test]
    fn a_number_does_not_show_itself() {
        let number = Phone::parse("+14045550141").unwrap();
        assert_eq!(format!("{number:?}"), "Phone(redacted)");
        assert_eq!(number.masked(), "+…41");
    }

    #[test]
    fn keys_differ_by_number_tenant_and_secret() {
        let (one, other) = (TenantId::default(), TenantId("other".to_owned()));
        let number = Phone::parse("+14045550141").unwrap();
        let hasher = NumberHasher::new([7; 32]);
        let key = hasher.key(&one, number);
        assert_eq!(key, hasher.key(&one, number));
        assert_ne!(key, hasher.key(&other, number));
        assert_ne!(key, hasher.key(&one, Phone::parse("+14045550142").unwrap()));
        assert_ne!(key, NumberHasher::new([8; 32]).key(&one, number));
        assert_eq!(hasher.within(&one).key(number), key);
        assert_eq!(
            format!("{:?}", hasher.within(&one)),
            "TenantHasher(redacted)"
        );
        assert_eq!(NumberKey::from_hex(&key.hex()), Some(key));
        assert_eq!(NumberKey::from_hex("xy"), None);
    }
}
