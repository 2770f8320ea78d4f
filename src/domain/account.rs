//! Accounts: the organisations that people belong to. An account is known by the operator's own name for it, and looked up by
//! a keyed hash, as numbers are: in a small firm its name tells who somebody is.

use super::hex::hex;
use super::ids::TenantId;
use super::not_plain;
use super::phone::mac;

/// Longest name of an account, in characters.
const CHARS_MAX: usize = 128;

/// The operator's name of an account: an id of a customer-relationship system, a customer number. Never empty, without
/// blanks at its ends; letters count as they are written.
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
        AccountKey(mac(&tenant_key, account.0.as_bytes()))
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
    fn keys_differ_by_name_tenant_and_secret() {
        let (one, other) = (TenantId::default(), TenantId("other".to_owned()));
        let named = |name| Account::parse(name).unwrap();
        let hasher = AccountHasher::new([7; 32]);
        let key = hasher.key(&one, &named("ACME"));
        assert_eq!(key, hasher.key(&one, &named(" ACME ")));
        assert_ne!(key, hasher.key(&one, &named("acme")));
        assert_ne!(key, hasher.key(&other, &named("ACME")));
        assert_ne!(key, AccountHasher::new([8; 32]).key(&one, &named("ACME")));
        assert_eq!(format!("{:?}", named("ACME")), "Account(redacted)");
    }
}
