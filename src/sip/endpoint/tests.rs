//! What the endpoint's task does by itself, on a real socket, when nobody listens to a call.

use super::*;
use crate::clock::ManualClock;
use crate::domain::phone::Phone;
use crate::domain::time::Micros;
use crate::sip::config::Trunk;

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
        };
        let (control, controls) = mpsc::channel(CONTROLS_MAX);
        let target = carrier.local_addr().unwrap();
        let call = NewCall {
            id: Identity {
                call_id: "call".to_owned(),
                from_tag: "ours".to_owned(),
                to,
                from,
                trunk: Arc::new(Trunk::new("t", target, "carrier.example")),
                local: Arc::clone(&endpoint.shared.local),
            },
            offer: b"v=0\r\n".to_vec(),
            permit: Permit::for_test(to, Some(from), at),
            events,
            last,
            control: controls,
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
        let of = |name: &str| {
            let line = invite.lines().find(|line| line.starts_with(name));
            line.unwrap().to_owned()
        };
        let tagged = of("To:") + ";tag=theirs";
        let ringing = format!(
            "SIP/2.0 180 Ringing\r\n{}\r\n{}\r\n{tagged}\r\n{}\r\n{}\r\nContent-Length: 0\r\n\r\n",
            of("Via:"),
            of("From:"),
            of("Call-ID:"),
            of("CSeq:"),
        );
        self.carrier
            .send_to(ringing.as_bytes(), source)
            .await
            .unwrap();
    }
}

/// What became of whoever should read a call's events.
#[derive(Clone, Copy)]
enum Reader {
    Gone,
    Busy,
}

/// claim-9 waits for no reader. The owner's handle stays, so that nothing else cancels.
#[tokio::test]
async fn p03_a_late_invite_is_cancelled_though_nobody_reads_of_it() {
    for reader in [Reader::Gone, Reader::Busy] {
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
    for reader in [Reader::Gone, Reader::Busy] {
        let line = Line::frozen_for(Duration::from_millis(1_999), reader).await;
        let (invite, source) = line.hear().await.unwrap();
        line.ring(&invite, source).await;
        assert_eq!(line.hear().await, None);
    }
}
