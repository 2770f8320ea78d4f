//! Accounts: the organisations that people belong to. An account is known by the operator's own name for it, and looked up by
//! a keyed hash, as numbers are: in a small firm its name tells who somebody is.

use unicode_normalization::UnicodeNormalization as _;

use super::hex::hex;
use super::ids::TenantId;
use super::not_plain;
use super::phone::mac;

/// Longest name of an account, in characters.
const CHARS_MAX: usize = 128;

/// The operator's name of an account: an id of a customer-relationship system, a customer number. Never empty, without
/// blanks at its ends. Two spellings of one name are one account ([`Account::folded`]).
#[derive(Clone, PartialEq, Eq)]
pub struct Account(String);

impl Account {
    /// The account of this name; or what is wrong with it. Blanks at the ends are left out, so that a name typed with one
    /// is found under the same key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.trim();
        if let Some(problem) = not_plain(name, CHARS_MAX) {
            return Err(problem);
        }
        if name.contains(char::is_control) {
            return Err("holds control characters; send plain text".to_owned());
        }
        Ok(Self(name.to_owned()))
    }

    /// The name as it is looked up. Systems spell one name in several ways, and an opt-out that meets its people only in one of
    /// them would let the calls to the others through: capitals, composed letters, wide forms and the number of blanks
    /// tell no accounts apart. Ids that differ in their capitals alone are one account; take the longer ones that don't.
    fn folded(&self) -> String {
        // Through the capitals: `ß` and `SS`, and both forms of the sigma, are one letter there. The dot that the capital `İ` of
        // Turkish leaves over its small letter goes, and what nobody sees.
        let letters = self.0.nfkc().filter(|each| !is_invisible(*each));
        let capitals = letters.flat_map(char::to_uppercase);
        let letters: String = capitals.flat_map(char::to_lowercase).nfkc().collect();
        let letters = letters.replace("i\u{307}", "i");
        let words: Vec<&str> = letters.split_whitespace().collect();
        words.join(" ")
    }

    /// The name, to be shown to who may see people, or sealed.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Account(redacted)")
    }
}

/// Signs without a shape, which come along when a name is copied.
fn is_invisible(each: char) -> bool {
    matches!(each, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
}

/// What an account is looked up by: HMAC-SHA-256 of its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey(pub [u8; 32]);

impl AccountKey {
    /// Lower-case hexadecimal, as shown to administrators.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl std::fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, ..] = self.0;
        write!(f, "AccountKey({a:02x}{b:02x}{c:02x}{d:02x}…)")
    }
}

/// Makes account keys under the secret that lies outside the database, one key space a tenant.
#[derive(Clone)]
pub struct AccountHasher {
    secret: zeroize::Zeroizing<[u8; 32]>,
}

impl AccountHasher {
    /// A hasher under this secret.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self {
            secret: zeroize::Zeroizing::new(secret),
        }
    }

    /// The key of this account within this tenant.
    #[must_use]
    pub fn key(&self, tenant: &TenantId, account: &Account) -> AccountKey {
        // The tenant's own key first, so that equal names of two tenants cannot be linked.
        let tenant_key = mac(self.secret.as_slice(), tenant.0.as_bytes());
        AccountKey(mac(&tenant_key, account.folded().as_bytes()))
    }
}

impl std::fmt::Debug for AccountHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccountHasher(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain_and_bounded() {
        for (text, name) in [
            ("ACME", "ACME"),
            (" 001-Ä b ", "001-Ä b"),
            (&"x".repeat(128), &"x".repeat(128)),
        ] {
            assert_eq!(Account::parse(text).unwrap().reveal(), name);
        }
        for bad in ["", "  ", "a\nb", "a\tb", "a\0", &"x".repeat(129)] {
            assert!(Account::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn spellings_of_one_name_are_one_account() {
        let hasher = AccountHasher::new([7; 32]);
        let key = |name| hasher.key(&TenantId::default(), &Account::parse(name).unwrap());
        for (one, other) in [
            ("ACME", "acme"),
            ("Acme  GmbH", "ACME GMBH"),
            ("Acme\u{a0}GmbH", "acme gmbh"),
            ("M\u{fc}ller", "mu\u{308}LLER"),
            ("STRASSENBAU GMBH", "Stra\u{df}enbau GmbH"),
            (
                "\u{395}\u{39b}\u{39b}\u{391}\u{3a3}",
                "\u{395}\u{3bb}\u{3bb}\u{3b1}\u{3c2}",
            ),
            ("\u{130}\u{15e} BANK", "i\u{15f} bank"),
            ("ac\u{ad}me\u{200b}", "acme"),
            ("\u{ff21}\u{ff23}\u{ff2d}\u{ff25} \u{ff11}", "acme 1"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        for (one, other) in [
            ("acme", "acme 1"),
            ("acme1", "acme 1"),
            ("muller", "m\u{fc}ller"),
        ] {
            assert_ne!(key(one), key(other), "{one} {other}");
        }
    }

    #[test]
    fn keys_differ_by_name_tenant_and_secret() {
        let (one, other) = (TenantId::default(), TenantId("other".to_owned()));
        let named = |name| Account::parse(name).unwrap();
        let hasher = AccountHasher::new([7; 32]);
        let key = hasher.key(&one, &named("ACME"));
        assert_eq!(key, hasher.key(&one, &named(" ACME ")));
        assert_ne!(key, hasher.key(&one, &named("ACME 2")));
        assert_ne!(key, hasher.key(&other, &named("ACME")));
        assert_ne!(key, AccountHasher::new([8; 32]).key(&one, &named("ACME")));
        assert_eq!(format!("{:?}", named("ACME")), "Account(redacted)");
    }
}
