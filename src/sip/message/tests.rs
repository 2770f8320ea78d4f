//! What an INVITE says of the caller, header by header, and what none ever says.

use std::net::SocketAddr;

use super::*;
use crate::domain::call::Attestation;
use crate::passport::Signer;

/// Headers that an INVITE of ours may have. What tells of the person, the campaign or a diverted call is not among them.
const KNOWN: &[&str] = &[
    "Via",
    "Max-Forwards",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Contact",
    "P-Asserted-Identity",
    "Date",
    "Identity",
    "Authorization",
    "Proxy-Authorization",
    "Allow",
    "Supported",
    "Require",
    "Session-Expires",
    "Min-SE",
    "Max-Breadth",
    "User-Agent",
    "Content-Type",
    "Content-Length",
];

/// 2026-11-18T15:00:00.9Z.
const AT: Micros = Micros(1_795_014_000_900_000);

fn phone(text: &str) -> Phone {
    Phone::parse(text).unwrap()
}

fn trunk() -> Trunk {
    Trunk::new(
        "t",
        SocketAddr::from(([127, 0, 0, 1], 5060)),
        "carrier.example",
    )
}

fn identity(trunk: Trunk, vouch: Vouch) -> Identity {
    let mut identity = Identity {
        call_id: "call".to_owned(),
        from_tag: "ours".to_owned(),
        whom: Whom::Number(Numbers {
            to: phone("+14045550141"),
            from: phone("+14045550142"),
            vouched: Vouched::by(vouch),
        }),
        trunk: Arc::new(trunk),
        local: Arc::new(Local::new("127.0.0.1", 5070)),
    };
    identity.vouch(AT).unwrap();
    identity
}

/// The lines of the INVITE, each a name and a value.
fn lines(identity: &Identity) -> Vec<(String, String)> {
    let bytes = identity.invite_bytes(Transport::Udp, 1, "z9hG4bK1", (&[], &[]), b"v=0\r\n");
    let text = String::from_utf8(bytes).unwrap();
    let head = text.split("\r\n\r\n").next().unwrap();
    let lines = head.split("\r\n").skip(1).map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.to_owned())
    });
    lines.collect()
}

fn value(identity: &Identity, wanted: &str) -> Option<String> {
    let mut found = lines(identity)
        .into_iter()
        .filter(|(name, _)| name == wanted);
    let first = found.next();
    assert!(found.next().is_none(), "{wanted} stands twice");
    first.map(|(_, value)| value)
}

fn signed() -> Vouch {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let url = "https://cert.example/shaken.pem";
    Vouch::Key {
        signer: Arc::new(Signer::new(&key.serialize_pem(), url, "origin").unwrap()),
        attestation: Attestation::A,
    }
}

#[test]
fn from_is_the_number_that_the_call_is_placed_for() {
    let plain = identity(trunk(), Vouch::Nobody);
    let shown = "<sip:+14045550142@carrier.example;user=phone>;tag=ours";
    assert_eq!(value(&plain, "From").unwrap(), shown);
    let named = Trunk {
        display_name: Some("Example \"Roofs\"".to_owned()),
        ..trunk()
    };
    let named = identity(named, Vouch::Nobody);
    assert_eq!(
        value(&named, "From").unwrap(),
        ["\"Example \\\"Roofs\\\"\" ", shown].concat()
    );
    for identity in [plain, named] {
        let from = value(&identity, "From").unwrap().to_lowercase();
        assert!(!from.contains("anonymous") && !from.contains("unavailable"));
    }
}

#[test]
fn only_a_trusted_trunk_is_told_the_number_once_more() {
    assert_eq!(
        value(&identity(trunk(), Vouch::Nobody), "P-Asserted-Identity"),
        None
    );
    let trusted = Trunk {
        trusted: true,
        ..trunk()
    };
    assert_eq!(
        value(
            &identity(trusted.clone(), Vouch::Nobody),
            "P-Asserted-Identity"
        )
        .unwrap(),
        "<sip:+14045550142@carrier.example;user=phone>"
    );
    let own = identity(
        Trunk {
            asserted_number: Some(phone("+14045550199")),
            ..trusted
        },
        Vouch::Nobody,
    );
    assert_eq!(
        value(&own, "P-Asserted-Identity").unwrap(),
        "<sip:+14045550199@carrier.example;user=phone>"
    );
    assert!(value(&own, "From").unwrap().contains("+14045550142"));
}

#[test]
fn no_invite_hides_diverts_or_tells_more() {
    let trusted = Trunk {
        trusted: true,
        display_name: Some("Example Ltd".to_owned()),
        ..trunk()
    };
    for identity in [
        identity(trunk(), Vouch::Nobody),
        identity(trusted, signed()),
    ] {
        for (name, _) in lines(&identity) {
            assert!(KNOWN.contains(&name.as_str()), "{name}");
        }
        for never in [
            "Privacy",
            "Diversion",
            "History-Info",
            "User-to-User",
            "Call-Info",
        ] {
            assert_eq!(value(&identity, never), None, "{never}");
        }
    }
}

#[test]
fn a_signed_invite_says_when_and_by_whom() {
    let plain = identity(trunk(), Vouch::Nobody);
    assert_eq!(
        (value(&plain, "Date"), value(&plain, "Identity")),
        (None, None)
    );
    let mut signed = identity(trunk(), signed());
    assert_eq!(
        value(&signed, "Date").unwrap(),
        "Wed, 18 Nov 2026 15:00:00 GMT"
    );
    let first = value(&signed, "Identity").unwrap();
    assert!(first.ends_with(";info=<https://cert.example/shaken.pem>;alg=ES256;ppt=shaken"));
    let later = AT.plus(std::time::Duration::from_secs(61));
    assert_eq!(signed.vouch(later), Ok(true));
    assert_ne!(
        value(&signed, "Identity").unwrap(),
        first,
        "signed anew for a new permit"
    );
    // Other requests of the call carry nothing of it.
    let cancel = signed.cancel(1, (Transport::Udp, "z9hG4bK1"), "SIP;cause=1");
    assert!(!String::from_utf8(cancel).unwrap().contains("Identity"));
}
