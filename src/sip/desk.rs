//! An agent's own endpoint: the one thing beside a number that may be invited, and without a permit.
//!
//! The configuration alone says who is an agent; no client can. So that the way to an agent is no way around the gate, a
//! [`DeskUri`] cannot be made that bears a telephone number, and the configuration is refused where an agent is said to be
//! reached through a trunk's target. Nothing that is sent to a desk bears the number of the person called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::config::Trunk;
use super::target::{Destination, Transport};

/// A user with more digits may be a number that some exchange dials.
const DIGITS_MAX: usize = 6;
/// A longer URI names nobody's phone.
const URI_BYTES_MAX: usize = 256;

/// The address of an agent's phone: `sip:user@host[:port][;transport=…]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskUri {
    text: String,
    user: String,
    host: Destination,
}

impl DeskUri {
    /// The account, or the extension.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Where it is reached, where nobody names another way.
    #[must_use]
    pub fn host(&self) -> &Destination {
        &self.host
    }
}

impl fmt::Display for DeskUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DeskUri {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no address of a phone, write `sip:user@host`, with `:port` and `;transport=tcp` behind it if need be"
            )
        };
        let rest = text
            .get(..4)
            .filter(|scheme| scheme.eq_ignore_ascii_case("sip:"))
            .and_then(|_| text.get(4..))
            .filter(|_| text.len() <= URI_BYTES_MAX)
            .ok_or_else(wrong)?;
        let (user, rest) = rest.split_once('@').ok_or_else(wrong)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()&=$,+".contains(&byte);
        if user.is_empty() || !user.bytes().all(plain) {
            return Err(wrong());
        }
        if is_number(user) {
            return Err(format!(
                "`{user}` may be a telephone number: an agent is called without the gate, so name their phone by an account or an \
                 extension of at most {DIGITS_MAX} digits"
            ));
        }
        let (host, params) = match rest.split_once(';') {
            Some((host, params)) => (host, Some(params)),
            None => (rest, None),
        };
        let transport = match params {
            None => None,
            Some(params) => {
                let word = params.strip_prefix("transport=").ok_or_else(wrong)?;
                Some(Transport::parse(word).ok_or_else(wrong)?)
            }
        };
        let host: Destination = host.parse().map_err(|_| wrong())?;
        if host.transport.is_some() || host.port == Some(0) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            user: user.to_owned(),
            host: Destination { transport, ..host },
        })
    }
}

/// Whether some exchange might take this for a number to dial. What it makes of other signs nobody knows, so an account begins with
/// a letter and has few digits, and an extension has nothing but these.
fn is_number(user: &str) -> bool {
    let digits = user.bytes().filter(u8::is_ascii_digit).count();
    let is_account = user.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_extension = digits == user.len();
    digits > DIGITS_MAX || !is_account && !is_extension
}

/// An agent as `sip` calls them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desk {
    pub(super) uri: DeskUri,
    /// How it is reached: target, certificates, credentials, patience.
    pub(super) way: Arc<Trunk>,
    /// Whether its INVITE has no session description, so that the phone offers (RFC 3725 section 4.4).
    pub(super) offerless: bool,
}

impl Desk {
    /// An agent's phone, as the configuration names it.
    #[must_use]
    pub fn new(uri: DeskUri, way: Arc<Trunk>, offerless: bool) -> Self {
        Self {
            uri,
            way,
            offerless,
        }
    }

    /// The account, or the extension, by which it is known.
    #[must_use]
    pub fn user(&self) -> &str {
        self.uri.user()
    }

    /// Whether it can be reached by TLS.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.way.peer.has_tls()
    }

    /// Where it is reached.
    #[must_use]
    pub fn target(&self) -> super::target::Target {
        self.way.target
    }

    /// The same at another target, where a name was looked up.
    #[must_use]
    pub fn at(&self, target: super::target::Target) -> Self {
        let way = Arc::new(Trunk {
            target,
            ..Trunk::clone(&self.way)
        });
        Self {
            way,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_desk_is_no_number() {
        for good in [
            "sip:anna@192.0.2.20",
            "sip:1001@pbx.example:5070",
            "SIP:anna.b-2@[2001:db8::1]:5060;transport=tls",
            "sip:100200@pbx.example;transport=TCP",
            "sip:agent-404555@pbx.example",
        ] {
            let uri: DeskUri = good.parse().unwrap();
            assert_eq!(uri.to_string(), good);
        }
        for number in [
            "sip:+14045550141@pbx.example",
            "sip:14045550141@pbx.example",
            "sip:404-555-0141@pbx.example",
            "sip:(404)5550141@pbx.example",
            "sip:*674045550141@pbx.example",
            "sip:+1@pbx.example",
            "sip:9,14045550141@pbx.example",
            "sip:agent4045550141@pbx.example",
            "sip:1_4045550141@pbx.example",
            "sip:!14045550141@pbx.example",
            "sip:1=4045550141@pbx.example",
            "sip:00+14045550141@pbx.example",
            "sip:14045550141A@pbx.example",
            "sip:*911@pbx.example",
            "sip:91.1@pbx.example",
        ] {
            let told = number.parse::<DeskUri>().unwrap_err();
            assert!(told.contains("telephone number"), "{number}: {told}");
        }
        for bad in [
            "",
            "anna",
            "sip:pbx.example",
            "sips:anna@pbx.example",
            "tel:+14045550141",
            "sip:@pbx.example",
            "sip:anna@",
            "sip:anna@pbx.example:0",
            "sip:anna@pbx.example;user=phone",
            "sip:anna@pbx.example;transport=udp;user=phone",
            "sip:anna@pbx.example?Replaces=x",
            "sip:anna%2b1@pbx.example",
            "sip:anna;phone-context=+1@pbx.example",
            "sip:a b@pbx.example",
            "sip:anna@pbx.example\r\nX: y",
            "sip:anna@tls:pbx.example",
        ] {
            let told = bad.parse::<DeskUri>().unwrap_err();
            assert!(told.contains("is no address"), "{bad}: {told}");
        }
    }
}
