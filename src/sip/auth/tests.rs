//! The published vectors, and the bounds.

use std::net::SocketAddr;

use super::*;
use crate::sip::config::Secret;

fn trunk() -> Trunk {
    Trunk {
        username: Some("Mufasa".to_owned()),
        password: Some(Secret::new("Circle of Life".to_owned())),
        ..Trunk::new("t", SocketAddr::from(([127, 0, 0, 1], 5060)), "example.com")
    }
}

fn challenged(code: u16, challenges: &[&str]) -> Message {
    let name = if code == 407 {
        "Proxy-Authenticate"
    } else {
        "WWW-Authenticate"
    };
    let lines: String = challenges
        .iter()
        .map(|line| format!("{name}: {line}\r\n"))
        .collect();
    let text = format!(
        "SIP/2.0 {code} X\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n{lines}\r\n"
    );
    crate::sip::wire::parse(text.as_bytes()).unwrap()
}

/// RFC 7616 section 3.9.1.
#[test]
fn published_vectors() {
    let base = r#"Digest realm="http-auth@example.org", qop="auth, auth-int", nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v""#;
    for (algorithm, expected) in [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        (
            "SHA-256",
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        ),
    ] {
        let challenge = Challenge::parse(&format!("{base}, algorithm={algorithm}"), true).unwrap();
        let response = challenge.response(
            ("Mufasa", "Circle of Life"),
            ("GET", "/dir/index.html"),
            "00000001",
            "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
        );
        assert_eq!(response, expected, "{algorithm}");
    }
    // The value was computed with OpenSSL's SHA-512/256: implementations disagree on what the RFC's own example means.
    let challenge = Challenge::parse(
        r#"Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK""#,
        true,
    )
    .unwrap();
    let response = challenge.response(
        ("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
        ("GET", "/doe.json"),
        "00000001",
        "NTg6RKcb9boFIAS3KrFK9BGeh+niz/sm",
    );
    assert_eq!(
        response,
        "7a4e1192babbba02e91182d2895bfdbf7adafc6e48d4e517ca301974843d840c"
    );
}

#[test]
fn session_and_plain_forms_differ() {
    let text = r#"Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256-sess"#;
    let session = Challenge::parse(text, true).unwrap();
    assert!(session.session);
    let plain = Challenge::parse(&text.replace("-sess", ""), true).unwrap();
    let answer = |challenge: &Challenge| {
        challenge.response(("u", "p"), ("INVITE", "sip:a@b"), "00000001", "c")
    };
    assert_ne!(answer(&session), answer(&plain));
    let old = Challenge::parse(r#"Digest realm="r", nonce="n""#, true).unwrap();
    let expected = {
        let secret = Hash::Md5.hex("u:r:p");
        let request = Hash::Md5.hex("INVITE:sip:a@b");
        Hash::Md5.hex(&format!("{secret}:n:{request}"))
    };
    assert_eq!(answer(&old), expected, "without qop as in RFC 2069");
}

#[test]
fn the_topmost_supported_challenge_is_answered() {
    let mut auth = Auth::default();
    let message = challenged(
        407,
        &[
            r#"Digest realm="r", nonce="1", algorithm=SHA3-999"#,
            r#"Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth", opaque="o\"p""#,
            r#"Digest realm="r", nonce="3", algorithm=MD5"#,
        ],
    );
    auth.challenged(&message, true, &trunk()).unwrap();
    let headers = auth.headers("INVITE", "sip:a@b", &trunk(), &mut Tokens::Counted(0));
    let [header] = headers.as_slice() else {
        panic!("one answer");
    };
    assert_eq!(header.name, "Proxy-Authorization");
    let text = &header.value;
    assert!(
        text.contains(r#"nonce="2""#) && text.contains("algorithm=SHA-256"),
        "{text}"
    );
    assert!(
        text.contains("nc=00000001") && text.contains(r#"opaque="o\"p""#),
        "{text}"
    );
    let again = auth.headers("BYE", "sip:a@b", &trunk(), &mut Tokens::Counted(0));
    assert!(again[0].value.contains("nc=00000002"), "the count rises");
}

#[test]
fn one_answer_a_realm_and_two_more_for_stale() {
    let (mut auth, trunk) = (Auth::default(), trunk());
    let fresh = challenged(401, &[r#"Digest realm="r", nonce="1", qop="auth""#]);
    let stale = challenged(
        401,
        &[r#"Digest realm="r", nonce="2", qop="auth", stale=TRUE"#],
    );
    auth.challenged(&fresh, false, &trunk).unwrap();
    auth.challenged(&stale, false, &trunk).unwrap();
    auth.challenged(&stale, false, &trunk).unwrap();
    assert!(auth.challenged(&stale, false, &trunk).is_err());
    let (mut auth, other) = (
        Auth::default(),
        challenged(407, &[r#"Digest realm="r", nonce="1""#]),
    );
    auth.challenged(&fresh, false, &trunk).unwrap();
    auth.challenged(&other, true, &trunk).unwrap();
    let headers = auth.headers("INVITE", "sip:a@b", &trunk, &mut Tokens::Counted(0));
    assert_eq!(headers.len(), 2, "401 and 407 in one call");
    assert!(
        auth.challenged(&fresh, false, &trunk).is_err(),
        "the same realm again without stale"
    );
}

#[test]
fn what_cannot_be_answered_is_said() {
    let trunk = trunk();
    let why = |challenge: &str, trunk: &Trunk| {
        Auth::default()
            .challenged(&challenged(401, &[challenge]), false, trunk)
            .unwrap_err()
    };
    assert!(why(r#"Digest realm="r", nonce="1", qop="auth-int""#, &trunk).contains("auth-int"));
    assert!(why(r#"Basic realm="r""#, &trunk).contains("no digest"));
    assert!(why(r#"Digest nonce="1""#, &trunk).contains("realm"));
    let strict = Trunk {
        allow_md5: false,
        ..trunk.clone()
    };
    assert!(why(r#"Digest realm="r", nonce="1""#, &strict).contains("MD5"));
    let bare = Trunk {
        password: None,
        ..trunk
    };
    assert!(why(r#"Digest realm="r", nonce="1""#, &bare).contains("credentials"));
    let none = Auth::default().challenged(&challenged(401, &[]), false, &super::tests::trunk());
    assert!(none.unwrap_err().contains("missing"));
}
