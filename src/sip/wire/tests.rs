//! What is taken and what is refused, message by message, and that nothing makes the parser panic.

use proptest::prelude::*;

use super::*;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rfc4475/");
    std::fs::read(format!("{folder}{name}.dat")).unwrap()
}

/// What must become of a message.
enum Expect {
    /// Taken; the number is the length of the body.
    Taken(usize),
    /// Refused and, being an answerable request, answered with this code.
    Answered(u16),
    /// Dropped without an answer.
    Dropped,
}
use Expect::{Answered, Dropped, Taken};

#[test]
#[expect(clippy::too_many_lines, reason = "one line a message")]
fn each_message_of_rfc_4475_gets_its_due() {
    let table = [
        // Section 3.1.1: valid.
        ("wsinv", Taken(150)),
        ("intmeth", Taken(0)),
        ("esc01", Taken(150)),
        ("escnull", Taken(0)),
        ("esc02", Taken(0)),
        ("lwsdisp", Taken(0)),
        ("longreq", Taken(150)),
        ("dblreq", Taken(0)),
        ("semiuri", Taken(0)),
        ("transports", Taken(0)),
        ("mpart01", Taken(553)),
        ("unreason", Taken(154)),
        ("noreason", Taken(0)),
        // Section 3.1.2: invalid. `baddate` and `baddn` may be taken: neither header is used.
        ("badinv01", Dropped),
        ("clerr", Answered(400)),
        ("ncl", Answered(400)),
        ("scalar02", Answered(400)),
        ("scalarlg", Dropped),
        ("quotbal", Answered(400)),
        ("ltgtruri", Answered(400)),
        ("lwsruri", Answered(400)),
        ("lwsstart", Answered(400)),
        ("trws", Answered(400)),
        ("escruri", Answered(400)),
        ("baddate", Taken(150)),
        ("regbadct", Answered(400)),
        ("badaspec", Answered(400)),
        ("baddn", Taken(0)),
        ("badvers", Answered(505)),
        ("mismatch01", Answered(400)),
        ("mismatch02", Answered(400)),
        ("bigcode", Dropped),
        // Section 3.2 and 3.3: parsed, unless a mandatory header is missing or doubled; the layer above decides.
        ("badbranch", Taken(0)),
        ("insuf", Dropped),
        ("unkscm", Taken(0)),
        ("novelsc", Taken(0)),
        ("unksm2", Taken(0)),
        ("bext01", Taken(0)),
        ("invut", Taken(40)),
        ("regaut01", Taken(0)),
        ("multi01", Dropped),
        ("mcl01", Answered(400)),
        ("bcast", Taken(154)),
        ("zeromf", Taken(0)),
        ("cparam01", Taken(0)),
        ("cparam02", Taken(0)),
        ("regescrt", Taken(0)),
        ("sdp01", Taken(150)),
        ("inv2543", Taken(105)),
    ];
    assert_eq!(table.len(), 49);
    let mut wrong = Vec::new();
    for (name, expected) in table {
        let result = parse(&fixture(name));
        let right = match (&expected, &result) {
            (Taken(length), Ok(message)) => message.body.len() == *length,
            (Answered(code), Err(refusal)) => {
                refusal.answer.as_ref().map(|answer| answer.0) == Some(*code)
            }
            (Dropped, Err(refusal)) => refusal.answer.is_none(),
            _ => false,
        };
        if !right {
            let found = result
                .map(|message| message.body.len())
                .map_err(|refusal| (refusal.why, refusal.answer.map(|answer| answer.0)));
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn folding_compact_names_and_blanks_are_undone() {
    let message = parse(&fixture("wsinv")).unwrap();
    assert_eq!(message.method, "INVITE");
    assert_eq!(message.cseq, 9);
    assert_eq!(message.to_tag.as_deref(), Some("1918181833n"));
    assert_eq!(message.from_tag.as_deref(), Some("98asjd8"));
    assert_eq!(message.via.branch, "390skdjuw");
    assert_eq!(message.list("Via").len(), 3);
}

#[test]
fn a_datagram_with_two_requests_is_cut_at_content_length() {
    let message = parse(&fixture("dblreq")).unwrap();
    assert!(message.is_request("REGISTER"));
}

#[test]
fn a_binary_body_stays_binary() {
    let bytes = fixture("mpart01");
    let message = parse(&bytes).unwrap();
    assert!(bytes.ends_with(&message.body));
    assert!(std::str::from_utf8(&message.body).is_err());
}

#[test]
fn the_reason_phrase_stays_as_it_came() {
    let Start::Response { code, reason } = parse(&fixture("unreason")).unwrap().start else {
        panic!("a response");
    };
    assert_eq!(code, 200);
    assert!(reason.starts_with("= 2**3 * 5**2 но"));
}

#[test]
fn line_ends_cannot_be_smuggled_into_a_header() {
    let smuggled = b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\nX: y\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n";
    assert!(parse(smuggled).is_err());
}

/// We repeat them in requests of our own.
#[test]
fn a_tag_that_is_no_token_is_refused() {
    let with = |from: &str, to: &str| {
        let head = format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>{from}\r\n\
             To: <sip:a@b>{to}\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        );
        parse(head.as_bytes())
    };
    let message = with(";tag=a-~1", "").unwrap();
    assert_eq!(message.from_tag.as_deref(), Some("a-~1"));
    assert_eq!(message.to_tag, None);
    for bad in [
        ";tag=\"q\\\"é;, x\"",
        ";tag=\"quoted\"",
        ";tag=a b",
        ";tag=é",
        ";tag=a\0",
        ";tag=",
        ";tag",
    ] {
        for refused in [with(bad, ""), with(";tag=1", bad)] {
            let answer = refused.unwrap_err().answer.unwrap();
            assert_eq!(answer.0, 400, "{bad}");
        }
    }
}

#[test]
fn keep_alive_and_noise_are_refused_without_an_answer() {
    for noise in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"\0\0\0\0",
        b"\r\n\r\n\r\n\r\n",
    ] {
        assert!(parse(noise).unwrap_err().answer.is_none());
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn mutated_torture_messages_never_panic(
        pick in 0..49_usize,
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..8),
    ) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rfc4475");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
            .collect();
        files.sort();
        let mut bytes = std::fs::read(&files[pick]).unwrap();
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        if let Ok(message) = parse(&bytes) {
            let _ = message.sdp();
            let _ = message.list("Record-Route");
        }
    }
}
