//! What the endpoint's task does by itself, on a real socket, when nobody listens to a call.

use std::task::{Context, Poll};

use super::*;
use crate::clock::ManualClock;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::sip::config::Trunk;
use crate::sip::stream::{ByteStream, Connecting};

/// The readings up to the one that the permit is compared with: the command's own, and that one.
const UP_TO_THE_COMPARISON: u32 = 2;

struct Line {
    endpoint: Endpoint,
    clock: Arc<ManualClock>,
    carrier: UdpSocket,
    control: mpsc::Sender<Control>,
    /// Read by nobody.
    _events: Option<mpsc::Receiver<Happened>>,
}

impl Line {
    /// A call whose first INVITE is frozen for so long between comparison and system call.
    async fn frozen_for(frozen: Duration, reader: Reader) -> Self {
        let clock = ManualClock::at(Micros(1_000_000_000));
        let config = SipConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            ..SipConfig::default()
        };
        let time = Clock::Manual(Arc::clone(&clock));
        let endpoint = Endpoint::bind(&config, time.clone()).await.unwrap();
        let carrier = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // The task comes to its first rest: from here on it reads the clock for what it is asked alone.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let (events, mut inbox) = mpsc::channel(2);
        let last = events.clone().try_reserve_owned().unwrap();
        let [to, from] = ["+14045550141", "+14045550142"].map(|text| Phone::parse(text).unwrap());
        let at = time.read();
        let inbox = match reader {
            Reader::Gone => {
                inbox.close();
                None
            }
            Reader::Busy => {
                let event = SipEvent::PermitSpent;
                events.try_send(Happened { at, event }).unwrap();
                Some(inbox)
            }
            Reader::Away => Some(inbox),
        };
        let (control, controls) = mpsc::channel(CONTROLS_MAX);
        let target = carrier.local_addr().unwrap();
        let call = NewCall {
            id: Identity {
                call_id: "call".to_owned(),
                from_tag: "ours".to_owned(),
                whom: Whom::Number(Numbers {
                    to,
                    from,
                    vouched: Default::default(),
                }),
                trunk: Arc::new(Trunk::new("t", target, "carrier.example")),
                local: Arc::clone(&endpoint.shared.local),
            },
            offer: b"v=0\r\n".to_vec(),
            warrant: Warrant::Permit(Permit::for_test(to, Some(from), at)),
            events,
            last,
            control: controls,
            rang: Rang::unheard().0,
        };
        assert!(endpoint.admit());
        clock.advance_after(UP_TO_THE_COMPARISON, frozen);
        endpoint.calls.send(Box::new(call)).await.unwrap();
        Self {
            endpoint,
            clock,
            carrier,
            control,
            _events: inbox,
        }
    }

    /// The next request that arrives, and where from; none for a while is none.
    async fn hear(&self) -> Option<(String, SocketAddr)> {
        let mut buffer = vec![0; 4_096];
        let heard = self.carrier.recv_from(&mut buffer);
        let heard = tokio::time::timeout(Duration::from_millis(300), heard).await;
        let (length, source) = heard.ok()?.unwrap();
        Some((
            String::from_utf8(buffer[..length].to_vec()).unwrap(),
            source,
        ))
    }

    async fn ring(&self, invite: &str, source: SocketAddr) {
        self.carrier
            .send_to(ringing(invite).as_bytes(), source)
            .await
            .unwrap();
    }
}

fn ringing(invite: &str) -> String {
    let of = |name: &str| {
        let line = invite.lines().find(|line| line.starts_with(name));
        line.unwrap().to_owned()
    };
    let tagged = of("To:") + ";tag=theirs";
    format!(
        "SIP/2.0 180 Ringing\r\n{}\r\n{}\r\n{tagged}\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
        of("Via:"),
        of("From:"),
        of("Call-ID:"),
        of("CSeq:"),
    )
}

/// What became of whoever should read a call's events.
#[derive(Clone, Copy)]
enum Reader {
    Gone,
    /// Has left no room for another event.
    Busy,
    /// Has room for it, and is busy with something else.
    Away,
}

/// claim-9 waits for no reader. The owner's handle stays, so that nothing else cancels.
#[tokio::test]
async fn p03_a_late_invite_is_cancelled_though_nobody_reads_of_it() {
    for reader in [Reader::Gone, Reader::Busy, Reader::Away] {
        let line = Line::frozen_for(Duration::from_secs(2), reader).await;
        let (invite, source) = line.hear().await.unwrap();
        assert!(invite.starts_with("INVITE "), "{invite}");
        line.ring(&invite, source).await;
        let (cancel, _) = line.hear().await.unwrap();
        assert!(cancel.starts_with("CANCEL "), "{cancel}");
        assert!(!line.control.is_closed());
        assert_eq!(line.endpoint.active_calls(), 1, "its 487 is awaited");
        line.clock.advance(Duration::from_secs(60));
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            if line.endpoint.active_calls() == 0 {
                break;
            }
        }
        assert_eq!(line.endpoint.active_calls(), 0);
    }
}

/// The other side of the bound: what left within the barrier's wait is let ring, read of or not.
#[tokio::test]
async fn an_invite_within_the_wait_rings_though_nobody_reads_of_it() {
    for reader in [Reader::Gone, Reader::Busy, Reader::Away] {
        let line = Line::frozen_for(Duration::from_millis(1_999), reader).await;
        let (invite, source) = line.hear().await.unwrap();
        line.ring(&invite, source).await;
        assert_eq!(line.hear().await, None);
    }
}

/// A socket of which nobody says that there is something to read: the task only finds it if it looks.
#[derive(Debug)]
struct Unannounced {
    sent: mpsc::UnboundedSender<String>,
    heard: Arc<std::sync::Mutex<Vec<String>>>,
}

const CARRIER: SocketAddr =
    SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 5060);

impl Datagrams for Unannounced {
    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([192, 0, 2, 2], 5060)))
    }

    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
        let next = self.heard.lock().unwrap().pop();
        let text = next.ok_or(std::io::ErrorKind::WouldBlock)?;
        buffer[..text.len()].copy_from_slice(text.as_bytes());
        Ok((text.len(), CARRIER))
    }

    fn try_send_to(&self, bytes: &[u8], _: SocketAddr) -> std::io::Result<usize> {
        let _ = self.sent.send(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }
}

/// A network that has datagrams alone.
#[derive(Debug)]
struct NoStreams;

impl Streams for NoStreams {
    fn connect(&self, _: SocketAddr) -> Connecting {
        Box::pin(std::future::ready(Err(
            std::io::ErrorKind::ConnectionRefused.into(),
        )))
    }

    fn poll_accept(
        &self,
        _: &mut Context<'_>,
    ) -> Poll<std::io::Result<(Box<dyn ByteStream>, SocketAddr)>> {
        Poll::Pending
    }
}

/// A process that was stopped would else give up for silence what has long been ringing, and call by another target.
#[tokio::test]
async fn what_arrived_while_the_process_stood_still_is_heard_before_its_timers() {
    let clock = ManualClock::at(Micros(1_000_000_000));
    let time = Clock::Manual(Arc::clone(&clock));
    let (sent, mut wire) = mpsc::unbounded_channel();
    let heard = Arc::<std::sync::Mutex<Vec<String>>>::default();
    let socket = Unannounced {
        sent,
        heard: Arc::clone(&heard),
    };
    let endpoint = Endpoint::over(
        Box::new(socket),
        Box::new(NoStreams),
        &SipConfig::default(),
        time.clone(),
    )
    .unwrap();
    let [to, from] = ["+14045550141", "+14045550142"].map(|text| Phone::parse(text).unwrap());
    let invite = Invite {
        vouch: Default::default(),
        sip_call_id: endpoint.new_call_id(),
        trunk: Arc::new(Trunk::new("t", CARRIER, "carrier.example")),
        sdp_offer: b"v=0\r\n".to_vec(),
    };
    let permit = Permit::for_test(to, Some(from), time.read());
    let mut dialog = endpoint.dial(permit, invite);
    let invite = wire.recv().await.unwrap();
    heard.lock().unwrap().push(ringing(&invite));
    clock.advance(Duration::from_secs(10));
    let mut told = Vec::new();
    while !matches!(told.last(), Some(SipEvent::Ringing { .. })) {
        let next = tokio::time::timeout(Duration::from_secs(10), dialog.events.recv()).await;
        told.push(next.unwrap().expect("nothing follows").event);
    }
    assert_eq!(dialog.rang.yet(), Heard::Rang);
    let ended = |event: &SipEvent| matches!(event, SipEvent::Ended(_));
    assert!(!told.iter().any(ended), "{told:?}");
}
