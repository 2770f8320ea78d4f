//! The two ends of an anchored call: a carrier that speaks SIP as the test tells it, and whoever sends and hears RTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::PATIENCE;

/// Packets of 20 ms each: a second of audio.
const PACKETS: usize = 50;

/// An end of audio.
pub struct Audio {
    socket: UdpSocket,
}

impl Audio {
    pub async fn new() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        Self { socket }
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// As this end describes itself; the version rises with each change.
    pub fn sdp(&self, version: u32) -> Vec<u8> {
        let port = self.port();
        format!(
            "v=0\r\no=- 7 {version} IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        )
        .into_bytes()
    }

    /// Sends a second of audio to this address; every packet of it arrives at the other end, and nothing of it differs.
    pub async fn is_heard_by(&self, other: &Self, by: SocketAddr, seed: u8) {
        other.drain();
        let mut sent = Vec::new();
        for number in 0..PACKETS {
            let packet = rtp(seed, u8::try_from(number).unwrap());
            self.socket.send_to(&packet, by).await.unwrap();
            sent.push(packet);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut heard = Vec::new();
        let mut bytes = [0; 2_000];
        while heard.len() < PACKETS {
            let packet = timeout(PATIENCE, other.socket.recv_from(&mut bytes)).await;
            let (length, from) = packet
                .unwrap_or_else(|_| panic!("{} of {PACKETS} packets were heard", heard.len()))
                .unwrap();
            assert_ne!(from.port(), self.port(), "it came by the engine");
            heard.push(bytes[..length].to_vec());
        }
        assert_eq!(heard, sent);
    }

    /// Nothing of what is sent there comes here.
    pub fn heard_nothing(&self) {
        let mut bytes = [0; 2_000];
        let heard = self.socket.try_recv_from(&mut bytes);
        assert!(heard.is_err(), "{heard:?}");
    }

    fn drain(&self) {
        let mut bytes = [0; 2_000];
        while self.socket.try_recv_from(&mut bytes).is_ok() {}
    }
}

/// A packet of PCMU whose content tells it from all others.
fn rtp(seed: u8, number: u8) -> Vec<u8> {
    let mut packet = vec![0x80, 0, seed, number];
    packet.extend_from_slice(&(u32::from(number) * 160).to_be_bytes());
    packet.extend_from_slice(&[seed, 1, 2, 3]);
    packet.extend((0..160u8).map(|place| place.wrapping_mul(7) ^ number ^ seed));
    packet
}

/// Where a description wants its audio.
pub fn audio_at(sdp: &[u8]) -> SocketAddr {
    let text = String::from_utf8(sdp.to_vec()).unwrap();
    let line = |start: &str| {
        let mut lines = text.lines();
        let line = lines.find_map(|line| line.strip_prefix(start));
        line.unwrap_or_else(|| panic!("no `{start}` in {text}"))
    };
    let port = line("m=audio ").split(' ').next().unwrap();
    format!("{}:{port}", line("c=IN IP4 ")).parse().unwrap()
}

/// A carrier's edge for one call at a time.
pub struct Carrier {
    socket: UdpSocket,
    peer: SocketAddr,
    /// The INVITE of the call.
    invite: String,
    cseq: u32,
}

impl Carrier {
    pub async fn new() -> Self {
        Self {
            socket: UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap(),
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 9)),
            invite: String::new(),
            cseq: 0,
        }
    }

    pub fn addr(&self) -> SocketAddr {
        self.socket.local_addr().unwrap()
    }

    async fn message(&mut self) -> String {
        let mut bytes = vec![0; 65_535];
        let received = timeout(PATIENCE, self.socket.recv_from(&mut bytes)).await;
        let (length, from) = received.expect("a message in time").unwrap();
        self.peer = from;
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next message that begins so; repetitions of others are passed over.
    pub async fn expect(&mut self, start: &str) -> String {
        loop {
            let message = self.message().await;
            if message.starts_with(start) {
                return message;
            }
        }
    }

    /// A call comes: its session description.
    pub async fn invited(&mut self) -> Vec<u8> {
        let begun = self.invite.clone();
        loop {
            let invite = self.expect("INVITE ").await;
            // No repetition of the one before.
            if begun.is_empty() || header(&invite, "Call-ID") != header(&begun, "Call-ID") {
                self.invite = invite;
                return body(&self.invite);
            }
        }
    }

    /// Nobody calls for so long.
    pub fn is_not_called(&self) {
        let mut bytes = [0; 2_000];
        let heard = self.socket.try_recv_from(&mut bytes);
        assert!(heard.is_err(), "{heard:?}");
    }

    /// Answers the INVITE by the dialog with this tag.
    pub async fn answer(&self, status: &str, tag: &str, sdp: &[u8]) {
        self.respond(&self.invite, status, tag, sdp).await;
    }

    async fn respond(&self, request: &str, status: &str, tag: &str, sdp: &[u8]) {
        let mut text = format!("SIP/2.0 {status}\r\n");
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            let value = header(request, name);
            let tag = match name == "To" && !value.contains("tag=") {
                true => format!(";tag={tag}"),
                false => String::new(),
            };
            text.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
        text.push_str(&format!("Contact: <sip:callee@{}>\r\n", self.addr()));
        self.send(text, sdp).await;
    }

    async fn send(&self, mut text: String, sdp: &[u8]) {
        if !sdp.is_empty() {
            text.push_str("Content-Type: application/sdp\r\n");
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", sdp.len()));
        let bytes = [text.as_bytes(), sdp].concat();
        self.socket.send_to(&bytes, self.peer).await.unwrap();
    }

    /// Answers the INVITE and hears the ACK.
    pub async fn takes(&mut self, sdp: &[u8]) {
        self.answer("200 OK", "a", sdp).await;
        self.expect("ACK ").await;
    }

    /// Offers another session within the call.
    pub async fn offers(&mut self, sdp: &[u8]) {
        self.cseq += 1;
        let text = self.request("INVITE", self.cseq);
        self.send(text, sdp).await;
    }

    /// The answer to that, acknowledged.
    pub async fn answered(&mut self, status: &str) -> Vec<u8> {
        let mut answer;
        loop {
            answer = self.expect("SIP/2.0 ").await;
            let of_invite = header(&answer, "CSeq") == format!("{} INVITE", self.cseq);
            if of_invite && !answer.starts_with("SIP/2.0 1") {
                break;
            }
        }
        assert!(answer.starts_with(&format!("SIP/2.0 {status}")), "{answer}");
        let text = self.request("ACK", self.cseq);
        self.send(text, &[]).await;
        body(&answer)
    }

    /// Hears the client's offer of another session, and says this to it.
    pub async fn is_offered(&mut self, status: &str, sdp: &[u8]) -> Vec<u8> {
        let request = self.expect("INVITE ").await;
        self.respond(&request, status, "a", sdp).await;
        self.expect("ACK ").await;
        body(&request)
    }

    /// The call is ended by the other side, for this reason.
    pub async fn is_left(&mut self) -> String {
        let bye = self.expect("BYE ").await;
        self.respond(&bye, "200 OK", "a", &[]).await;
        header(&bye, "Reason").to_owned()
    }

    fn request(&self, method: &str, cseq: u32) -> String {
        let (ours, theirs) = (header(&self.invite, "To"), header(&self.invite, "From"));
        let call_id = header(&self.invite, "Call-ID");
        let addr = self.addr();
        format!(
            "{method} sip:dialgate@{} SIP/2.0\r\nVia: SIP/2.0/UDP {addr};branch=z9hG4bK{method}{cseq}\r\nFrom: {ours};tag=a\r\nTo: {theirs}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\nContact: <sip:callee@{addr}>\r\n",
            self.peer
        )
    }
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let mut lines = message.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {message}"))
}

fn body(message: &str) -> Vec<u8> {
    let (_, body) = message.split_once("\r\n\r\n").unwrap();
    body.as_bytes().to_vec()
}
