//! Registering with a carrier (RFC 3261 section 10.2): one binding of one user, made, refreshed and removed. [`Binding`] is pure:
//! it makes the request and judges the answer; whoever holds a [`Registration`] says when.
//!
//! Each refresh is challenged anew: an old nonce would often be refused, and what that refusal means differs from registrar to
//! registrar. A password that was refused once is not sent again within a refresh.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Auth;
use super::config::Trunk;
use super::endpoint::{Answered, Endpoint};
use super::head::Header;
use super::message::{Local, Outside};
use super::peer::Hop;
use super::request::Unheard;
use super::token::{Tokens, random};
use super::values::Address;
use super::wire::{Message, Start};

/// The most that an expiry is worth, whoever names it: a day.
const EXPIRES_MAX: u64 = 86_400;
/// Requests of one refresh: a registrar that challenges for ever is not followed.
const REQUESTS_MAX: u32 = 8;

/// What came of a refresh.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registered {
    /// The registrar keeps our address for so long.
    For(Duration),
    /// It refused.
    Refused(Answered),
    /// It does not take our credentials, or asks for some that we cannot give; a sentence says why.
    NotAuthenticated(&'static str),
    /// It did not answer.
    Silent(Unheard),
}

/// One user's registration over one endpoint.
#[derive(Debug)]
pub struct Registration {
    endpoint: Endpoint,
    binding: Binding,
}

impl Registration {
    /// Nothing is sent yet. `user` is whose address it is, `contact` the user part of that address here.
    #[must_use]
    pub fn new(endpoint: Endpoint, user: &str, contact: &str, expires: Duration) -> Self {
        let binding = Binding::new(user, contact, expires);
        Self { endpoint, binding }
    }

    /// Makes the binding at this registrar or makes it last; each request is awaited for so long.
    pub async fn refresh(&mut self, registrar: &Arc<Trunk>, patience: Duration) -> Registered {
        let expires = self.binding.expires;
        self.ask(registrar, expires, patience).await
    }

    /// Removes it.
    pub async fn remove(&mut self, registrar: &Arc<Trunk>, patience: Duration) -> Registered {
        self.ask(registrar, 0, patience).await
    }

    async fn ask(&mut self, registrar: &Trunk, expires: u64, patience: Duration) -> Registered {
        let binding = &mut self.binding;
        binding.begin(expires);
        for _ in 0..REQUESTS_MAX {
            let asked = binding.request(registrar, self.endpoint.local(), &mut Tokens::System);
            match self.endpoint.ask("REGISTER", asked, patience).await {
                Ok(answer) => {
                    if let Some(registered) = binding.heard(&answer, registrar) {
                        return registered;
                    }
                }
                Err(why) => return Registered::Silent(why),
            }
        }
        Registered::NotAuthenticated("the registrar asks for credentials again and again")
    }
}

/// A binding as its requests need it: one Call-ID, and a number that rises.
#[derive(Debug)]
struct Binding {
    user: String,
    contact: String,
    call_id: String,
    tag: String,
    cseq: u32,
    /// What is asked for; a registrar may have raised it.
    expires: u64,
    /// What is asked for now: nothing, where it is to be removed.
    asked: u64,
    raised: bool,
    /// The address as it was sent last.
    sent: String,
    auth: Auth,
}

impl Binding {
    fn new(user: &str, contact: &str, expires: Duration) -> Self {
        Self {
            user: user.to_owned(),
            contact: contact.to_owned(),
            call_id: random(),
            tag: random(),
            cseq: 0,
            expires: expires.as_secs(),
            asked: 0,
            raised: false,
            sent: String::new(),
            auth: Auth::default(),
        }
    }

    fn begin(&mut self, expires: u64) {
        self.asked = expires;
        self.raised = false;
        self.auth = Auth::default();
    }

    /// The next request: its branch, its bytes, its way.
    fn request(
        &mut self,
        registrar: &Trunk,
        local: &Local,
        tokens: &mut Tokens,
    ) -> (String, Vec<u8>, Hop) {
        self.cseq = self.cseq.saturating_add(1);
        let (branch, hop) = (tokens.branch(), registrar.hop());
        let (domain, own) = (registrar.uri_of(""), registrar.uri_of(&self.user));
        self.sent = local.contact_of(&self.contact, hop.transport());
        let mut extra = self.auth.headers("REGISTER", &domain, registrar, tokens);
        extra.push(Header::new("Contact", format!("<{}>", self.sent)));
        extra.push(Header::new("Expires", self.asked.to_string()));
        let outside = Outside {
            method: "REGISTER",
            uri: &domain,
            from: &own,
            to: &own,
            tag: &self.tag,
            call_id: &self.call_id,
            cseq: self.cseq,
        };
        let bytes = local.outside(&outside, (hop.transport(), &branch), &extra);
        (branch, bytes, hop)
    }

    /// What an answer means; nothing if it is to be asked again.
    fn heard(&mut self, answer: &Message, registrar: &Trunk) -> Option<Registered> {
        let Start::Response { code, .. } = answer.start else {
            return None;
        };
        match code {
            200..300 => Some(self.granted(answer)),
            401 | 407 => {
                let taken = self.auth.challenged(answer, code == 407, registrar);
                taken.err().map(Registered::NotAuthenticated)
            }
            // Section 10.2.8: too brief for the registrar, which says how long it is to be.
            423 if let Some(least) = self.least(answer) => {
                self.raised = true;
                self.expires = least;
                self.asked = least;
                None
            }
            _ => Some(Registered::Refused(Answered::of(answer))),
        }
    }

    fn least(&self, answer: &Message) -> Option<u64> {
        let least = seconds(answer.first("Min-Expires")?)?;
        let is_more = least > self.asked && least <= EXPIRES_MAX;
        (is_more && !self.raised && self.asked > 0).then_some(least)
    }

    /// For how long the registrar keeps it (section 10.2.4): what it says of our address, or of all, or what we asked for. One
    /// that keeps it for no time at all has not taken it.
    fn granted(&self, answer: &Message) -> Registered {
        let contacts = answer.list("Contact");
        let read = contacts.iter().filter_map(|line| Address::parse(line).ok());
        let read: Vec<Address<'_>> = read.collect();
        let bare = |uri: &str| uri.split([';', '?']).next().unwrap_or_default().to_owned();
        let ours = read
            .iter()
            .find(|address| bare(address.uri) == bare(&self.sent));
        // A registrar behind something that rewrites addresses tells ours by another name.
        let only = (read.len() == 1).then(|| read.first()).flatten();
        let of_ours = ours
            .or(only)
            .and_then(|address| address.params.get("expires"));
        let named = of_ours.or_else(|| answer.first("Expires"));
        let granted = named.and_then(seconds).unwrap_or(self.asked);
        match granted.min(EXPIRES_MAX) {
            0 if self.asked > 0 => Registered::Refused(Answered::of(answer)),
            granted => Registered::For(Duration::from_secs(granted)),
        }
    }
}

fn seconds(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::config::Secret;
    use crate::sip::wire::parse;

    fn registrar() -> Trunk {
        let target = std::net::SocketAddr::from(([192, 0, 2, 1], 5060));
        Trunk {
            username: Some("ann".to_owned()),
            password: Some(Secret::new("secret".to_owned())),
            ..Trunk::new("t", target, "carrier.example")
        }
    }

    fn request(binding: &mut Binding) -> Message {
        let local = Local::new("192.0.2.9", 5062);
        let (_, bytes, _) = binding.request(&registrar(), &local, &mut Tokens::Counted(0));
        parse(&bytes).unwrap()
    }

    fn answer(code: u16, lines: &str) -> Message {
        let head = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\n\
                    Call-ID: x\r\nCSeq: 1 REGISTER\r\n";
        parse(format!("SIP/2.0 {code} X\r\n{head}{lines}\r\n").as_bytes()).unwrap()
    }

    fn begun() -> Binding {
        let mut binding = Binding::new("user", "contact", Duration::from_secs(600));
        binding.begin(600);
        let message = request(&mut binding);
        assert_eq!(
            message.first("Contact"),
            Some("<sip:contact@192.0.2.9:5062>")
        );
        assert_eq!(message.first("Expires"), Some("600"));
        assert_eq!(message.first("To"), Some("<sip:user@carrier.example>"));
        let Start::Request { uri } = &message.start else {
            panic!("a response");
        };
        assert_eq!(uri, "sip:carrier.example", "section 10.2: no user there");
        binding
    }

    fn granted(lines: &str) -> Registered {
        begun().heard(&answer(200, lines), &registrar()).unwrap()
    }

    #[test]
    fn the_registrar_says_for_how_long_it_keeps_it() {
        let lasts = |seconds| Registered::For(Duration::from_secs(seconds));
        let ours = "Contact: <sip:other@198.51.100.1>;expires=9, <sip:contact@192.0.2.9:5062;x=y>;expires=60;q=1\r\n";
        for (lines, expected) in [
            (ours, lasts(60)),
            (
                "Contact: <sip:contact@203.0.113.1:40000>;expires=70\r\n",
                lasts(70),
            ),
            (
                "Contact: <sip:contact@192.0.2.9:5062>\r\nExpires: 80\r\n",
                lasts(80),
            ),
            ("Expires: 90\r\n", lasts(90)),
            ("", lasts(600)),
            ("Expires: soon\r\n", lasts(600)),
            ("Expires: 4294967295\r\n", lasts(86_400)),
        ] {
            assert_eq!(granted(lines), expected, "{lines}");
        }
        let none = granted("Contact: <sip:contact@192.0.2.9:5062>;expires=0\r\n");
        assert!(matches!(
            none,
            Registered::Refused(Answered { code: 200, .. })
        ));
        let mut removed = begun();
        removed.begin(0);
        assert_eq!(request(&mut removed).first("Expires"), Some("0"));
        assert_eq!(
            removed.heard(&answer(200, ""), &registrar()),
            Some(lasts(0))
        );
    }

    #[test]
    fn a_challenge_is_answered_once_and_a_refused_password_is_not_sent_again() {
        let mut binding = begun();
        let challenge = answer(
            401,
            "WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256\r\n",
        );
        assert_eq!(binding.heard(&challenge, &registrar()), None);
        let again = request(&mut binding);
        assert_eq!(again.cseq, 2);
        assert!(
            again
                .first("Authorization")
                .unwrap()
                .contains("uri=\"sip:carrier.example\"")
        );
        let refused = binding.heard(&challenge, &registrar());
        assert!(matches!(refused, Some(Registered::NotAuthenticated(_))));
        // The next refresh begins without credentials.
        binding.begin(600);
        let fresh = request(&mut binding);
        assert_eq!((fresh.cseq, fresh.first("Authorization")), (3, None));
        assert_eq!(fresh.call_id, again.call_id);
    }

    #[test]
    fn a_longer_time_is_asked_for_once_where_the_registrar_wants_one() {
        let too_brief = |least: &str| answer(423, &format!("Min-Expires: {least}\r\n"));
        let mut binding = begun();
        assert_eq!(binding.heard(&too_brief("900"), &registrar()), None);
        assert_eq!(request(&mut binding).first("Expires"), Some("900"));
        let refused = binding.heard(&too_brief("1800"), &registrar());
        assert!(matches!(
            refused,
            Some(Registered::Refused(Answered { code: 423, .. }))
        ));
        assert_eq!(binding.expires, 900, "the next refresh asks for it at once");
        for bad in ["600", "60", "soon", "99999999"] {
            let refused = begun().heard(&too_brief(bad), &registrar());
            assert!(matches!(refused, Some(Registered::Refused(_))), "{bad}");
        }
        let elsewhere = begun().heard(&answer(302, "Contact: <sip:x@y>\r\n"), &registrar());
        assert!(
            matches!(elsewhere, Some(Registered::Refused(_))),
            "never followed"
        );
    }
}
