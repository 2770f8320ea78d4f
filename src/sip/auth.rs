//! Answers to digest challenges: RFC 7616 and 8760; one answer a realm, two more for stale nonces.

use md5::Md5;
use sha2::digest::Digest;
use sha2::{Sha256, Sha512_256};

use super::config::Trunk;
use super::head::Header;
use super::message::quoted;
use super::token::{Tokens, hex};
use super::values::split;
use super::wire::Message;

/// Realms that one call may be asked for.
const REALMS_MAX: usize = 4;
/// Answers beside the first, each to a challenge that calls the last nonce stale.
const STALE_MAX: u8 = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha256,
    Sha512_256,
}

impl Hash {
    fn hex(self, text: &str) -> String {
        match self {
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
            Self::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Self::Sha512_256 => hex(&Sha512_256::digest(text.as_bytes())),
        }
    }
}

/// One challenge that we can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    hash: Hash,
    /// `-sess`, and the spelling of the algorithm to be sent back, if any came.
    session: bool,
    algorithm: Option<String>,
    qop: bool,
    stale: bool,
}

impl Challenge {
    /// Reads a challenge; the error says why we cannot answer it.
    fn parse(text: &str, allow_md5: bool) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Err("the challenge is no digest");
        }
        let mut fields = Vec::new();
        for part in split(rest, b',').map_err(|_| "the challenge is malformed")? {
            if let Some((name, value)) = part.split_once('=') {
                let value = super::values::unquote(value.trim()).into_owned();
                fields.push((name.trim().to_ascii_lowercase(), value));
            }
        }
        let get = |name: &str| {
            let found = fields.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.clone())
        };
        let algorithm = get("algorithm");
        let upper = algorithm.as_deref().unwrap_or("MD5").to_ascii_uppercase();
        let (base, session) = match upper.strip_suffix("-SESS") {
            Some(base) => (base, true),
            None => (upper.as_str(), false),
        };
        let hash = match base {
            "MD5" if allow_md5 => Hash::Md5,
            "MD5" => return Err("the trunk asks for MD5, which is switched off"),
            "SHA-256" => Hash::Sha256,
            "SHA-512-256" => Hash::Sha512_256,
            _ => return Err("the challenge names an unknown algorithm"),
        };
        let qop = match get("qop") {
            None => false,
            Some(list)
                if list
                    .split(',')
                    .any(|word| word.trim().eq_ignore_ascii_case("auth")) =>
            {
                true
            }
            Some(_) => {
                return Err("the challenge takes only qop `auth-int`, which is not supported");
            }
        };
        Ok(Self {
            realm: get("realm").ok_or("the challenge has no realm")?,
            nonce: get("nonce").ok_or("the challenge has no nonce")?,
            opaque: get("opaque"),
            hash,
            session,
            algorithm,
            qop,
            stale: get("stale").is_some_and(|word| word.eq_ignore_ascii_case("true")),
        })
    }

    fn response(&self, who: (&str, &str), what: (&str, &str), nc: &str, cnonce: &str) -> String {
        let (user, password) = who;
        let (method, uri) = what;
        let mut secret = self.hash.hex(&format!("{user}:{}:{password}", self.realm));
        if self.session {
            secret = self.hash.hex(&format!("{secret}:{}:{cnonce}", self.nonce));
        }
        let request = self.hash.hex(&format!("{method}:{uri}"));
        if self.qop {
            self.hash.hex(&format!(
                "{secret}:{}:{nc}:{cnonce}:auth:{request}",
                self.nonce
            ))
        } else {
            self.hash.hex(&format!("{secret}:{}:{request}", self.nonce))
        }
    }
}

#[derive(Debug)]
struct Realm {
    proxy: bool,
    challenge: Challenge,
    /// How often this nonce has been used (RFC 7616 section 3.4).
    count: u32,
    stale: u8,
}

/// What a call knows of its trunk's challenges.
#[derive(Debug, Default)]
pub(super) struct Auth {
    realms: Vec<Realm>,
}

impl Auth {
    /// Takes the challenges of a 401 or 407. The error is why the call cannot be authenticated.
    pub(super) fn challenged(
        &mut self,
        message: &Message,
        proxy: bool,
        trunk: &Trunk,
    ) -> Result<(), &'static str> {
        if trunk.username.is_none() || trunk.password.is_none() {
            return Err("the trunk asks for credentials and has none configured");
        }
        let name = if proxy {
            "Proxy-Authenticate"
        } else {
            "WWW-Authenticate"
        };
        let (mut taken, mut problem) = (Vec::new(), "the challenge is missing");
        for line in message.lines(name) {
            match Challenge::parse(line, trunk.allow_md5) {
                // The topmost that we support of each realm: RFC 8760 section 2.4.
                Ok(challenge) => {
                    if !taken.contains(&challenge.realm) {
                        taken.push(challenge.realm.clone());
                        self.take(challenge, proxy)?;
                    }
                }
                Err(why) => problem = why,
            }
        }
        if taken.is_empty() {
            Err(problem)
        } else {
            Ok(())
        }
    }

    fn take(&mut self, challenge: Challenge, proxy: bool) -> Result<(), &'static str> {
        let full = self.realms.len() == REALMS_MAX;
        let known = self
            .realms
            .iter_mut()
            .find(|realm| realm.proxy == proxy && realm.challenge.realm == challenge.realm);
        match known {
            Some(realm) if challenge.stale && realm.stale < STALE_MAX => {
                realm.stale += 1;
                realm.count = 0;
                realm.challenge = challenge;
                Ok(())
            }
            Some(_) => Err("the trunk did not accept our credentials"),
            None if full => Err("the call is challenged by too many realms"),
            None => {
                self.realms.push(Realm {
                    proxy,
                    challenge,
                    count: 0,
                    stale: 0,
                });
                Ok(())
            }
        }
    }

    /// The credentials for one request, the nonce count raised.
    pub(super) fn headers(
        &mut self,
        method: &str,
        uri: &str,
        trunk: &Trunk,
        tokens: &mut Tokens,
    ) -> Vec<Header> {
        let (Some(user), Some(password)) = (&trunk.username, &trunk.password) else {
            return Vec::new();
        };
        let who = (user.as_str(), password.reveal());
        self.realms
            .iter_mut()
            .map(|realm| realm.header(who, (method, uri), &tokens.next()))
            .collect()
    }
}

impl Realm {
    fn header(&mut self, who: (&str, &str), what: (&str, &str), cnonce: &str) -> Header {
        self.count = self.count.saturating_add(1);
        let (challenge, nc) = (&self.challenge, format!("{:08x}", self.count));
        let response = challenge.response(who, what, &nc, cnonce);
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{}\", response=\"{response}\"",
            quoted(who.0),
            quoted(&challenge.realm),
            quoted(&challenge.nonce),
            what.1
        );
        if let Some(algorithm) = &challenge.algorithm {
            value.push_str(&format!(", algorithm={algorithm}"));
        }
        if challenge.qop {
            value.push_str(&format!(", qop=auth, nc={nc}, cnonce=\"{cnonce}\""));
        } else if challenge.session {
            value.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if let Some(opaque) = &challenge.opaque {
            value.push_str(&format!(", opaque=\"{}\"", quoted(opaque)));
        }
        let name = if self.proxy {
            "Proxy-Authorization"
        } else {
            "Authorization"
        };
        Header::new(name, value)
    }
}

#[cfg(test)]
mod tests;
