//! Calls over TCP, against a far end that is written out here byte by byte, on real sockets.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use dialgate::sip::{Peer, Target, Transport};

use super::*;

pub const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4002 RTP/AVP 0\r\n";

/// One connection as the far end sees it.
pub struct Far<S> {
    stream: S,
    heard: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Far<S> {
    pub fn new(stream: S) -> Self {
        let heard = Vec::new();
        Self { stream, heard }
    }

    /// The next whole message; nothing if the connection is over.
    pub async fn hear(&mut self) -> Option<String> {
        loop {
            if let Some(message) = self.whole() {
                return Some(message);
            }
            let mut buffer = [0; 4_096];
            let read = timeout(PATIENCE, self.stream.read(&mut buffer))
                .await
                .expect("a message in time");
            match read {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.heard.extend_from_slice(&buffer[..length]),
            }
        }
    }

    fn whole(&mut self) -> Option<String> {
        if self.heard.starts_with(b"\r\n\r\n") {
            self.heard.drain(..4);
            return Some("ping".to_owned());
        }
        let text = String::from_utf8(self.heard.clone()).unwrap();
        let (head, rest) = text.split_once("\r\n\r\n")?;
        let length: usize = line(head, "Content-Length")?.parse().unwrap();
        let body = rest.get(..length)?;
        self.heard.drain(..head.len() + 4 + length);
        Some(format!("{head}\r\n\r\n{body}"))
    }

    /// The next one, which has to be this request.
    pub async fn expect(&mut self, method: &str) -> String {
        let message = self.hear().await.unwrap_or_default();
        assert!(
            message.starts_with(method),
            "instead of {method}: {message}"
        );
        message
    }

    pub async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Answers a call that is ended by a BYE of either side.
    pub async fn answer(&mut self, contact: &str) -> String {
        let invite = self.expect("INVITE").await;
        self.say(&reply(&invite, "180 Ringing", contact, "")).await;
        self.say(&reply(&invite, "200 OK", contact, SDP)).await;
        self.expect("ACK").await;
        invite
    }
}

pub fn line<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let prefix = format!("{name}: ");
    message
        .lines()
        .find_map(|line| line.strip_prefix(prefix.as_str()))
}

pub fn reply(request: &str, status: &str, contact: &str, sdp: &str) -> String {
    let of = |name| line(request, name).unwrap();
    let to = match of("To").contains(";tag=") {
        true => of("To").to_owned(),
        false => format!("{};tag=theirs", of("To")),
    };
    let kind = if sdp.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\r\n"
    };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\nContact: <{contact}>\r\n{kind}Content-Length: {}\r\n\r\n{sdp}",
        of("Via"),
        of("From"),
        of("Call-ID"),
        of("CSeq"),
        sdp.len()
    )
}

pub fn bye(invite: &str, transport: &str) -> String {
    let of = |name| line(invite, name).unwrap();
    let contact = of("Contact").trim_matches(['<', '>']);
    format!(
        "BYE {contact} SIP/2.0\r\nVia: SIP/2.0/{transport} 127.0.0.1:9;branch=z9hG4bKbye\r\nMax-Forwards: 70\r\nFrom: {};tag=theirs\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n",
        of("To"),
        of("From"),
        of("Call-ID")
    )
}

pub fn tcp(addr: SocketAddr) -> Trunk {
    let transport = Transport::Tcp;
    Trunk::new("carrier", Target { transport, addr }, "carrier.example")
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

async fn accept(listener: &TcpListener) -> Far<TcpStream> {
    let taken = timeout(PATIENCE, listener.accept())
        .await
        .expect("a connection in time");
    let (stream, _) = taken.unwrap();
    stream.set_nodelay(true).unwrap();
    Far::new(stream)
}

async fn nothing_more(listener: &TcpListener) -> bool {
    timeout(Duration::from_millis(300), listener.accept())
        .await
        .is_err()
}

#[tokio::test]
async fn calls_share_one_connection_and_say_how_they_came() {
    let (place, (listener, addr)) = (Place::new().await, listen().await);
    let trunk = Arc::new(tcp(addr));
    let mut first = place.dial_over("+14045550141", &trunk);
    let mut far = accept(&listener).await;
    let contact = format!("sip:{addr};transport=tcp");
    let invite = far.answer(&contact).await;
    let us = place.endpoint.local_addr();
    assert!(
        line(&invite, "Via")
            .unwrap()
            .starts_with(&format!("SIP/2.0/TCP {us};branch=")),
        "{invite}"
    );
    assert_eq!(
        line(&invite, "Contact"),
        Some(format!("<sip:{us};transport=tcp>").as_str())
    );
    first.until("answered").await;
    let mut second = place.dial_over("+14045550142", &trunk);
    let other = far.answer(&contact).await;
    second.until("answered").await;
    first.hang_up(HangUpCause::Client).await;
    let ours = far.expect("BYE").await;
    assert_eq!(line(&ours, "Call-ID"), line(&invite, "Call-ID"));
    assert!(line(&ours, "Via").unwrap().contains("/TCP "));
    far.say(&reply(&ours, "200 OK", &contact, "")).await;
    assert_eq!(first.ending().await.outcome, Outcome::Answered);
    // The answer goes by the connection that the request came by, whatever its Via says.
    far.say(&bye(&other, "TCP")).await;
    far.expect("SIP/2.0 200").await;
    assert_eq!(second.ending().await.by, EndedBy::Peer);
    assert!(nothing_more(&listener).await, "one connection for all");
}

#[tokio::test]
async fn a_call_over_ipv6() {
    let config = SipConfig {
        listen: "[::1]:0".parse().unwrap(),
        ..SipConfig::default()
    };
    let place = Place::with(config).await;
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let mut call = place.dial(NUMBER, tcp(addr));
    let mut far = accept(&listener).await;
    let invite = far.answer(&format!("sip:{addr};transport=tcp")).await;
    let us = format!("[::1]:{}", place.endpoint.local_addr().port());
    assert!(
        line(&invite, "Via")
            .unwrap()
            .starts_with(&format!("SIP/2.0/TCP {us};")),
        "{invite}"
    );
    call.until("answered").await;
    far.say(&bye(&invite, "TCP")).await;
    assert_eq!(call.ending().await.by, EndedBy::Peer);
}

#[tokio::test]
async fn a_far_end_that_speaks_byte_by_byte_is_understood() {
    let (place, (listener, addr)) = (Place::new().await, listen().await);
    let mut call = place.dial(NUMBER, tcp(addr));
    let mut far = accept(&listener).await;
    let invite = far.expect("INVITE").await;
    let contact = format!("sip:{addr};transport=tcp");
    for text in [
        reply(&invite, "180 Ringing", &contact, ""),
        reply(&invite, "200 OK", &contact, SDP),
    ] {
        for byte in text.bytes() {
            far.stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    }
    far.expect("ACK").await;
    call.until("answered").await;
    far.say(&bye(&invite, "TCP")).await;
    assert_eq!(call.ending().await.by, EndedBy::Peer);
}

/// What nobody could hold is not held: the connection goes, the call is given up for silence, and the next has a new one.
#[tokio::test]
async fn a_message_without_end_ends_its_connection_alone() {
    let place = Place::new().await;
    let megabyte = format!("SIP/2.0 180 Ringing\r\nX: {}", "x".repeat(1_000_000));
    for text in [
        megabyte.as_str(),
        "SIP/2.0 180 Ringing\r\nCSeq: 1 INVITE\r\n\r\n",
        "SIP/2.0 180",
    ] {
        let (listener, addr) = listen().await;
        let trunk = Arc::new(tcp(addr));
        let mut call = place.dial_over(NUMBER, &trunk);
        let mut far = accept(&listener).await;
        far.expect("INVITE").await;
        let _ = far.stream.write_all(text.as_bytes()).await;
        let ending = call.ending().await;
        assert_eq!(
            (ending.outcome, ending.retry),
            (Outcome::Unreachable, Retry::Trunk)
        );
        // Half a message has ten seconds.
        place.clock.advance(Duration::from_secs(10));
        assert_eq!(far.hear().await, None);
        // A pause, for it broke soon.
        place.clock.advance(Duration::from_secs(1));
        let mut next = place.dial_over("+14045550142", &trunk);
        let mut again = accept(&listener).await;
        again.answer(&format!("sip:{addr};transport=tcp")).await;
        next.until("answered").await;
        next.hang_up(HangUpCause::Client).await;
        let bye = again.expect("BYE").await;
        again
            .say(&reply(&bye, "200 OK", "sip:x@127.0.0.1", ""))
            .await;
        next.ending().await;
    }
}

#[tokio::test]
async fn a_bye_that_went_down_with_its_connection_is_sent_by_the_next() {
    let (place, (listener, addr)) = (Place::new().await, listen().await);
    let mut call = place.dial(NUMBER, tcp(addr));
    let mut far = accept(&listener).await;
    far.answer(&format!("sip:{addr};transport=tcp")).await;
    call.until("answered").await;
    place.clock.advance(Duration::from_secs(6));
    call.hang_up(HangUpCause::Client).await;
    let lost = far.expect("BYE").await;
    drop(far);
    let mut far = accept(&listener).await;
    let again = far.expect("BYE").await;
    assert_eq!(again, lost, "the same request");
    far.say(&reply(&again, "200 OK", "sip:x@127.0.0.1", ""))
        .await;
    assert_eq!(call.ending().await.outcome, Outcome::Answered);
    timeout(PATIENCE, place.endpoint.settled())
        .await
        .expect("the BYE was answered");
}

#[tokio::test]
async fn a_far_end_may_call_us_back_by_a_connection_of_its_own() {
    let (place, (listener, addr)) = (Place::new().await, listen().await);
    let mut call = place.dial(NUMBER, tcp(addr));
    let mut far = accept(&listener).await;
    let invite = far.answer(&format!("sip:{addr};transport=tcp")).await;
    call.until("answered").await;
    let stream = TcpStream::connect(place.endpoint.local_addr())
        .await
        .unwrap();
    let mut own = Far::new(stream);
    let stray = invite.replace("Call-ID: ", "Call-ID: other");
    own.say(&stray).await;
    own.expect("SIP/2.0 403").await;
    assert_eq!(place.endpoint.refused_calls(), 1);
    own.say("\r\n\r\n").await;
    own.say(&bye(&invite, "TCP")).await;
    let pong_and_answer = own.hear().await.unwrap();
    assert!(
        pong_and_answer.starts_with("\r\nSIP/2.0 200"),
        "{pong_and_answer}"
    );
    assert_eq!(call.ending().await.by, EndedBy::Peer);
}

#[tokio::test]
async fn pings_are_sent_and_who_answers_none_is_called_anew() {
    let (place, (listener, addr)) = (Place::new().await, listen().await);
    let keep_alive = Some(Duration::from_secs(30));
    let host = dialgate::sip::Host::Ip(addr.ip());
    let trunk = Trunk {
        peer: Arc::new(Peer::new(&host, None, keep_alive).unwrap()),
        ..tcp(addr)
    };
    let mut call = place.dial(NUMBER, trunk);
    let mut far = accept(&listener).await;
    far.answer(&format!("sip:{addr};transport=tcp")).await;
    call.until("answered").await;
    for _ in 0..2 {
        place.clock.advance(Duration::from_secs(30));
        far.expect("ping").await;
        far.say("\r\n").await;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(nothing_more(&listener).await);
    place.clock.advance(Duration::from_secs(30));
    far.expect("ping").await;
    place.clock.advance(Duration::from_secs(10));
    let mut far = accept(&listener).await;
    call.hang_up(HangUpCause::Client).await;
    far.expect("BYE").await;
}

#[tokio::test]
async fn who_refuses_a_connection_is_told_at_once_and_tried_again_for_a_later_call() {
    let place = Place::new().await;
    let (listener, addr) = listen().await;
    drop(listener);
    let trunk = Arc::new(tcp(addr));
    for _ in 0..2 {
        let mut call = place.dial_over(NUMBER, &trunk);
        let ending = call.ending().await;
        assert_eq!(
            (ending.outcome, ending.retry),
            (Outcome::Unreachable, Retry::Trunk)
        );
        assert_eq!(call.seen, ["ended"], "nothing was sent");
    }
    let listener = TcpListener::bind(addr).await.unwrap();
    place.clock.advance(Duration::from_secs(31));
    let mut call = place.dial_over(NUMBER, &trunk);
    let mut far = accept(&listener).await;
    far.answer(&format!("sip:{addr};transport=tcp")).await;
    call.until("answered").await;
}

/// A far end that takes no more bytes: what has not left when the permit is over never does.
#[tokio::test]
async fn p03_half_an_invite_is_not_followed_by_the_other_half() {
    let place = Place::new().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(4).unwrap();
    let addr = listener.local_addr().unwrap();
    let invite = Invite {
        vouch: Vouch::Nobody,
        sip_call_id: place.endpoint.new_call_id(),
        trunk: Arc::new(tcp(addr)),
        // More than both systems hold.
        sdp_offer: [OFFER, &"a=x\r\n".repeat(2_000_000)].concat().into_bytes(),
    };
    let permit = place.permit(NUMBER);
    let mut call = Call {
        dialog: place.endpoint.dial(permit, invite),
        seen: Vec::new(),
    };
    let mut far = accept(&listener).await;
    let ending = call.ending().await;
    assert_eq!(
        (ending.outcome, ending.retry),
        (Outcome::Unreachable, Retry::Trunk)
    );
    assert_eq!(call.seen, ["ended"], "it never counted as sent");
    // Only now it reads: what was in flight, and then the reset.
    let (mut heard, mut buffer) = (Vec::new(), vec![0; 65_536]);
    let end = loop {
        match far.stream.read(&mut buffer).await {
            Ok(0) => panic!("an end in good form"),
            Ok(length) => heard.extend_from_slice(&buffer[..length]),
            Err(error) => break error,
        }
    };
    assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
    assert!(heard.len() < 9_000_000, "{} bytes arrived", heard.len());
}

/// RFC 3261 section 18.1.1.
#[tokio::test]
async fn a_long_invite_goes_by_tcp_and_by_datagram_if_that_is_refused() {
    let place = Place::new().await;
    let (listener, addr) = listen().await;
    let socket = UdpSocket::bind(addr).await.unwrap();
    let trunk = |large_over_tcp| {
        Arc::new(Trunk {
            large_over_tcp,
            ..Trunk::new("carrier", addr, "carrier.example")
        })
    };
    let long = || [OFFER, &"a=x\r\n".repeat(300)].concat().into_bytes();
    let dial = |trunk: &Arc<Trunk>, sdp_offer| {
        let invite = Invite {
            vouch: Vouch::Nobody,
            sip_call_id: place.endpoint.new_call_id(),
            trunk: Arc::clone(trunk),
            sdp_offer,
        };
        Call {
            dialog: place.endpoint.dial(place.permit(NUMBER), invite),
            seen: Vec::new(),
        }
    };
    let mut buffer = vec![0; 65_536];
    // Short, or not allowed.
    for (trunk, offer) in [
        (trunk(true), OFFER.as_bytes().to_vec()),
        (trunk(false), long()),
    ] {
        let _call = dial(&trunk, offer);
        let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        assert!(String::from_utf8_lossy(&buffer[..length]).contains("Via: SIP/2.0/UDP "));
    }
    let allowed = trunk(true);
    let mut call = dial(&allowed, long());
    let mut far = accept(&listener).await;
    let invite = far.expect("INVITE").await;
    assert!(invite.contains("Via: SIP/2.0/TCP ") && invite.contains(";transport=tcp>"));
    far.say(&reply(&invite, "486 Busy Here", "sip:x@127.0.0.1", ""))
        .await;
    let ack = far.expect("ACK").await;
    assert_eq!(
        line(&ack, "Via"),
        line(&invite, "Via"),
        "as the INVITE went"
    );
    assert_eq!(call.ending().await.outcome, Outcome::Busy);
    drop((listener, far));
    // The address of a call that is over may still be asked by datagram; only what follows counts.
    while socket.try_recv_from(&mut buffer).is_ok() {}
    let refused = trunk(true);
    let mut call = dial(&refused, long());
    let invite = loop {
        let (length, source) = timeout(PATIENCE, socket.recv_from(&mut buffer))
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.starts_with("INVITE") && text.len() > 1_300 && text.contains("a=x") {
            break (text, source);
        }
    };
    assert!(invite.0.contains("Via: SIP/2.0/UDP ") && !invite.0.contains(";transport=tcp"));
    let busy = reply(&invite.0, "486 Busy Here", "sip:x@127.0.0.1", "");
    socket.send_to(busy.as_bytes(), invite.1).await.unwrap();
    let ending = call.ending().await;
    assert!(matches!(ending.outcome, Outcome::Busy), "{ending:?}");
}

const NUMBER: &str = "+14045550148";
