//! The 49 messages of RFC 4475 against the whole layer, byte for byte as a network brings them: as datagrams, and by a
//! connection. What the parser alone makes of each stands in `src/sip/wire/tests.rs`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use dialgate::sip::Datagrams;

use super::*;
use crate::support::streams::NoStreams;

/// What comes of a message: the status codes of our answers to a datagram, and by a connection.
type Row = (&'static str, &'static [u16], Stream);

/// The answers by a connection, and whether that stays: where nobody can tell where the next message begins, it does not.
enum Stream {
    Stays(&'static [u16]),
    Ends(&'static [u16]),
}
use Stream::{Ends, Stays};

const TABLE: &[Row] = &[
    // Section 3.1.1: valid. Nobody calls us, registers with us or has a dialog with us.
    ("wsinv", &[481], Stays(&[481])),
    ("intmeth", &[501], Stays(&[501])),
    ("esc01", &[403], Stays(&[403])),
    ("escnull", &[405], Stays(&[405])),
    ("esc02", &[501], Stays(&[501])),
    ("lwsdisp", &[200], Stays(&[200])),
    ("longreq", &[403], Stays(&[403])),
    // The second request is no part of the first; in a datagram it is nothing at all. More than its body follows it.
    ("dblreq", &[405], Ends(&[405, 403])),
    ("semiuri", &[200], Stays(&[200])),
    ("transports", &[200], Stays(&[200])),
    ("mpart01", &[405], Stays(&[405])),
    ("unreason", &[], Stays(&[])),
    ("noreason", &[], Stays(&[])),
    // Section 3.1.2: invalid.
    ("badinv01", &[], Stays(&[])),
    // Of its body there is never so much.
    ("clerr", &[400], Ends(&[])),
    ("ncl", &[400], Ends(&[])),
    ("scalar02", &[400], Stays(&[400])),
    ("scalarlg", &[], Stays(&[])),
    ("quotbal", &[400], Stays(&[400])),
    ("ltgtruri", &[400], Stays(&[400])),
    ("lwsruri", &[400], Stays(&[400])),
    ("lwsstart", &[400], Stays(&[400])),
    ("trws", &[400], Stays(&[400])),
    ("escruri", &[400], Stays(&[400])),
    // The Date and the display name are of no use to us.
    ("baddate", &[403], Stays(&[403])),
    ("regbadct", &[400], Stays(&[400])),
    ("badaspec", &[400], Stays(&[400])),
    ("baddn", &[200], Stays(&[200])),
    ("badvers", &[505], Stays(&[505])),
    ("mismatch01", &[400], Stays(&[400])),
    ("mismatch02", &[400], Stays(&[400])),
    ("bigcode", &[], Stays(&[])),
    // Section 3.2: the branch has nothing behind its cookie.
    ("badbranch", &[200], Stays(&[200])),
    // Section 3.3: what an application has to say.
    ("insuf", &[], Stays(&[])),
    ("unkscm", &[416], Stays(&[416])),
    ("novelsc", &[416], Stays(&[416])),
    ("unksm2", &[405], Stays(&[405])),
    ("bext01", &[420], Stays(&[420])),
    ("invut", &[403], Stays(&[403])),
    ("regaut01", &[405], Stays(&[405])),
    // Which of its two To, From and Call-IDs would an answer have to bear?
    ("multi01", &[], Stays(&[])),
    ("mcl01", &[400], Ends(&[])),
    // A response with a broadcast address in its Via: never passed on.
    ("bcast", &[], Stays(&[])),
    // It is we who were to be reached: no hop is left, and none is needed.
    ("zeromf", &[200], Stays(&[200])),
    ("cparam01", &[405], Stays(&[405])),
    ("cparam02", &[405], Stays(&[405])),
    ("regescrt", &[405], Stays(&[405])),
    // A session that no Accept of the request would let us answer.
    ("sdp01", &[403], Stays(&[403])),
    // Section 3.4: from the time before Content-Length and tags.
    ("inv2543", &[403], Ends(&[])),
];

/// Nothing where the messages are not at hand.
fn message(name: &str) -> Option<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/rfc4475/");
    let read = std::fs::read(format!("{folder}{name}.dat"));
    if read.is_err() {
        eprintln!(
            "skipped: there is no `{name}` in tests/fixtures/rfc4475, nothing was shown of it"
        );
    }
    read.ok()
}

/// A request that is answered, whatever came before it: when its answer is there, so are those.
fn last(transport: &str) -> String {
    format!(
        "OPTIONS sip:us@dialgate.example SIP/2.0\r\nVia: SIP/2.0/{transport} 192.0.2.9:4444;branch=z9hG4bKlast\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@carrier.example>;tag=1\r\nTo: <sip:us@dialgate.example>\r\nCall-ID: last\r\n\
         CSeq: 7 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// The codes of the answers in a text, up to the last one's; nothing if that is not there yet.
fn codes(text: &str) -> Option<Vec<u16>> {
    let answers = text.split("SIP/2.0 ").skip(1).filter_map(|answer| {
        let code = answer.get(..3)?.parse().ok()?;
        Some((
            code,
            answer.contains("Call-ID: last\r\n") && answer.contains("\r\n\r\n"),
        ))
    });
    let mut seen = Vec::new();
    for (code, is_last) in answers {
        if is_last {
            assert_eq!(code, 200, "{text}");
            return Some(seen);
        }
        seen.push(code);
    }
    None
}

const SOURCE: &str = "192.0.2.9:4444";

/// A network of datagrams that come from one far end, wherever they say that they come from.
#[derive(Debug, Clone, Default)]
struct Air(Arc<Mutex<Sky>>);

#[derive(Debug, Default)]
struct Sky {
    coming: VecDeque<Vec<u8>>,
    sent: Vec<(String, SocketAddr)>,
    reader: Option<Waker>,
}

impl Air {
    fn bring(&self, bytes: Vec<u8>) {
        let mut sky = self.0.lock().unwrap();
        sky.coming.push_back(bytes);
        if let Some(reader) = sky.reader.take() {
            reader.wake();
        }
    }
}

impl Datagrams for Air {
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([192, 0, 2, 2], 5060)))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let mut sky = self.0.lock().unwrap();
        if sky.coming.is_empty() {
            sky.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        let next = self.0.lock().unwrap().coming.pop_front();
        let bytes = next.ok_or(std::io::ErrorKind::WouldBlock)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok((bytes.len(), SOURCE.parse().unwrap()))
    }

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().unwrap().sent.push((text, to));
        Ok(bytes.len())
    }
}

/// Whatever a Via says of broadcast, strangers or other ports: the answer goes to the host that the request came from.
#[tokio::test]
async fn each_message_of_rfc_4475_by_datagram() {
    assert_eq!(TABLE.len(), 49);
    let air = Air::default();
    let endpoint = Endpoint::over(
        Box::new(air.clone()),
        Box::new(NoStreams),
        &SipConfig::default(),
        Clock::Real,
    )
    .unwrap();
    let source: SocketAddr = SOURCE.parse().unwrap();
    let mut wrong = Vec::new();
    for (name, expected, _) in TABLE {
        let Some(bytes) = message(name) else {
            continue;
        };
        air.bring(bytes);
        air.bring(last("UDP").into_bytes());
        let text = || -> String {
            let sky = air.0.lock().unwrap();
            sky.sent.iter().map(|(text, _)| text.as_str()).collect()
        };
        eventually(name, || codes(&text()).is_some()).await;
        let found = codes(&text()).unwrap();
        let mut sky = air.0.lock().unwrap();
        for (_, to) in sky.sent.drain(..) {
            assert_eq!(to.ip(), source.ip(), "{name}");
        }
        if found != *expected {
            wrong.push((name, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(
        (endpoint.active_calls(), endpoint.lingering_calls()),
        (0, 0)
    );
}

/// Nothing leaves but by the connection itself; one whose messages cannot be told apart any more is ended.
#[tokio::test]
async fn each_message_of_rfc_4475_by_connection() {
    let place = Place::new().await;
    let mut wrong = Vec::new();
    for (name, _, expected) in TABLE {
        let Some(bytes) = message(name) else {
            continue;
        };
        let us = place.endpoint.local_addr();
        let mut stream = TcpStream::connect(us).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        let (expected, ends) = match expected {
            Stays(codes) => (codes, false),
            Ends(codes) => (codes, true),
        };
        if !ends {
            stream.write_all(last("TCP").as_bytes()).await.unwrap();
        }
        let (mut heard, mut buffer) = (String::new(), [0; 4_096]);
        let (mut is_over, mut found) = (false, None);
        while found.is_none() && !is_over {
            // Half a message has ten seconds for the rest.
            place.clock.advance(Duration::from_millis(500));
            match timeout(Duration::from_millis(100), stream.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => is_over = true,
                Ok(Ok(length)) => heard.push_str(&String::from_utf8_lossy(&buffer[..length])),
                Err(_) => {}
            }
            found = codes(&heard);
        }
        let answers = heard.split("SIP/2.0 ").skip(1);
        let told = answers.filter_map(|answer| answer.get(..3)?.parse().ok());
        let found = found.unwrap_or_else(|| told.collect());
        if found != *expected || is_over != ends {
            wrong.push((name, found, is_over));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(place.endpoint.active_calls(), 0);
}
