//! Bounds and times of the connections, with a network that is moved by hand: what it takes and when it breaks is the
//! test's to say. What real sockets do is shown in `tests/suite/sip/streams.rs`.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::task::Waker;

use super::*;
use crate::sip::stream::Connecting;

/// What one connection has taken, and what it will do.
#[derive(Debug, Default)]
struct Wire {
    taken: Vec<u8>,
    arriving: VecDeque<Vec<u8>>,
    /// How many bytes it still takes.
    room: usize,
    /// Whether what it took has left.
    stuck: bool,
    closed: bool,
    reset: bool,
    /// Taken, and not acknowledged by the far end.
    open: u64,
    /// What the system does with the rest if the connection is dropped.
    reset_when_dropped: bool,
}

type Wires = Arc<Mutex<Vec<Wire>>>;

#[derive(Debug)]
struct Net {
    wires: Wires,
    /// Refuses connections.
    refuses: Arc<Mutex<bool>>,
    /// Connections that others make, or cannot.
    comes: Arc<Mutex<VecDeque<bool>>>,
}

#[derive(Debug)]
struct Stream(Wires, usize);

impl Streams for Net {
    fn connect(&self, _: SocketAddr) -> Connecting {
        if *self.refuses.lock().unwrap() {
            return Box::pin(std::future::ready(Err(ErrorKind::ConnectionRefused.into())));
        }
        let mut wires = self.wires.lock().unwrap();
        wires.push(Wire {
            room: usize::MAX,
            ..Wire::default()
        });
        let stream: Box<dyn ByteStream> =
            Box::new(Stream(Arc::clone(&self.wires), wires.len() - 1));
        Box::pin(std::future::ready(Ok(stream)))
    }

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<Result<(Box<dyn ByteStream>, SocketAddr)>> {
        let mut comes = self.comes.lock().unwrap();
        match comes.pop_front() {
            None => Poll::Pending,
            Some(false) => Poll::Ready(Err(Error::other("too many open files"))),
            Some(true) => {
                let mut wires = self.wires.lock().unwrap();
                wires.push(Wire::default());
                let stream: Box<dyn ByteStream> =
                    Box::new(Stream(Arc::clone(&self.wires), wires.len() - 1));
                Poll::Ready(Ok((stream, SocketAddr::from(([192, 0, 2, 1], 4_444)))))
            }
        }
    }
}

impl Stream {
    fn wire<T>(&self, with: impl FnOnce(&mut Wire) -> T) -> T {
        with(&mut self.0.lock().unwrap()[self.1])
    }
}

impl ByteStream for Stream {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.wire(|wire| wire.closed || !wire.arriving.is_empty()) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn poll_writable(&self, _: &mut Context<'_>) -> Poll<Result<()>> {
        match self.wire(|wire| wire.room > 0 && !wire.stuck) {
            true => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.wire(|wire| match wire.arriving.pop_front() {
            Some(bytes) => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(bytes.len())
            }
            None if wire.closed => Ok(0),
            None => Err(ErrorKind::WouldBlock.into()),
        })
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        self.wire(|wire| {
            let taken = bytes.len().min(wire.room);
            wire.room -= taken;
            wire.taken.extend_from_slice(&bytes[..taken]);
            match taken {
                0 => Err(ErrorKind::WouldBlock.into()),
                taken => Ok(taken),
            }
        })
    }

    fn all_left(&self) -> Result<()> {
        match self.wire(|wire| wire.stuck) {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    fn unacknowledged(&self) -> Result<u64> {
        Ok(self.wire(|wire| wire.open))
    }

    fn reset_when_dropped(&self, reset: bool) -> Result<()> {
        self.wire(|wire| wire.reset_when_dropped = reset);
        Ok(())
    }

    fn reset(self: Box<Self>) {
        self.wire(|wire| wire.reset = true);
    }
}

/// The connections, a time and a target.
struct Bench {
    links: Links,
    wires: Wires,
    refuses: Arc<Mutex<bool>>,
    comes: Arc<Mutex<VecDeque<bool>>>,
    now: Mono,
    hop: Hop,
    came: Vec<Came>,
    /// There is a call that wants the connection.
    wanted: bool,
}

impl Bench {
    fn new(keep_alive: Option<u64>) -> Self {
        let (wires, refuses) = (Wires::default(), Arc::<Mutex<bool>>::default());
        let comes = Arc::<Mutex<VecDeque<bool>>>::default();
        let net = Net {
            wires: Arc::clone(&wires),
            refuses: Arc::clone(&refuses),
            comes: Arc::clone(&comes),
        };
        let peer = Peer {
            keep_alive: keep_alive.map(Duration::from_secs),
            ..Peer::default()
        };
        let target = Target {
            transport: Transport::Tcp,
            addr: SocketAddr::from(([192, 0, 2, 1], 5060)),
        };
        Self {
            links: Links::new(Box::new(net)),
            wires,
            refuses,
            comes,
            now: Mono(Duration::from_secs(1_000)),
            hop: Hop::Stream(target, Arc::new(peer)),
            came: Vec::new(),
            wanted: true,
        }
    }

    /// Does what there is to do, and hears what comes of it.
    fn run(&mut self) {
        let mut buffer = vec![0; 4_096];
        for _ in 0..20 {
            while let Some(came) = self.links.came() {
                if let Came::Lost(hop) | Came::Rested(hop) = &came {
                    self.links.revive(hop, self.wanted, self.now);
                }
                if !matches!(came, Came::Rested(_)) {
                    self.came.push(came);
                }
            }
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(ready) = self.links.poll(self.now, &mut context) else {
                break;
            };
            for id in ready {
                self.links.work(id, &mut buffer, self.now);
            }
        }
        self.came.extend(std::iter::from_fn(|| self.links.came()));
    }

    /// Lets time pass, doing on the way what falls due.
    fn wait(&mut self, ms: u64) {
        let until = self.now.plus(Duration::from_millis(ms));
        while let Some(at) = self.links.wake().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.links.tick(self.now);
            self.run();
        }
        self.now = until;
        self.run();
    }

    fn send(&mut self, text: &str) {
        let hop = self.hop.clone();
        self.links.send(text.as_bytes().to_vec(), &hop, self.now);
        self.run();
    }

    fn invite(&mut self, key: u64, text: &str) -> Result<usize> {
        let (hop, now) = (self.hop.clone(), self.now);
        let told = self.links.prepare(key, &hop, now);
        let told = told.and_then(|()| self.links.write_invite(key, text.as_bytes(), &hop, now));
        self.run();
        told
    }

    fn tries(&mut self) -> Vec<u64> {
        let came = std::mem::take(&mut self.came);
        let tries = came.into_iter().filter_map(|came| match came {
            Came::Try(key) => Some(key),
            Came::Message(..) | Came::Lost(_) | Came::Rested(_) => None,
        });
        tries.collect()
    }

    fn wire<T>(&self, index: usize, with: impl FnOnce(&mut Wire) -> T) -> T {
        with(&mut self.wires.lock().unwrap()[index])
    }

    fn taken(&self, index: usize) -> String {
        self.wire(index, |wire| String::from_utf8(wire.taken.clone()).unwrap())
    }

    fn count(&self) -> usize {
        self.wires.lock().unwrap().len()
    }
}

fn blocked(told: &Result<usize>) -> bool {
    told.as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[test]
fn one_connection_is_made_and_shared() {
    let mut bench = Bench::new(None);
    assert!(
        blocked(&bench.invite(1, "INVITE one")),
        "it is not there yet"
    );
    assert_eq!(bench.tries(), [1]);
    assert_eq!(bench.invite(1, "INVITE one").unwrap(), 10);
    assert_eq!(bench.invite(2, "INVITE two").unwrap(), 10);
    bench.send("ACK");
    assert_eq!(
        (bench.taken(0).as_str(), bench.count()),
        ("INVITE oneINVITE twoACK", 1)
    );
}

/// Nothing comes between the halves of an INVITE, and the call is asked for the rest when there is room.
#[test]
fn an_invite_is_written_whole_before_anything_else() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wire(0, |wire| wire.room = 4);
    assert!(blocked(&bench.invite(7, "INVITE seven")));
    bench.send("CANCEL");
    assert!(blocked(&bench.invite(8, "INVITE eight")));
    assert_eq!(bench.taken(0), "BYEINVI");
    bench.wire(0, |wire| wire.room = 100);
    bench.run();
    assert_eq!(bench.tries(), [7, 8]);
    assert!(
        blocked(&bench.invite(8, "INVITE eight")),
        "it is not its turn"
    );
    assert_eq!(bench.invite(7, "INVITE seven").unwrap(), 12);
    bench.run();
    assert!(bench.tries().contains(&8));
    assert_eq!(bench.invite(8, "INVITE eight").unwrap(), 12);
    assert_eq!(bench.taken(0), "BYEINVITE sevenCANCELINVITE eight");
}

/// Bytes that the system took and that have not left are as good as not written: the permit is asked for them again.
#[test]
fn p03_an_invite_that_has_not_left_when_its_permit_is_over_never_leaves() {
    for room in [4, 100] {
        let mut bench = Bench::new(None);
        bench.send("BYE");
        bench.wire(0, |wire| (wire.room, wire.stuck) = (room, false));
        let first = bench.invite(6, "");
        assert!(first.is_ok());
        bench.wire(0, |wire| wire.room = room);
        // Older bytes that lie there keep an INVITE from being begun at all.
        bench.wire(0, |wire| wire.stuck = true);
        assert!(blocked(&bench.invite(7, "INVITE seven")));
        assert_eq!(bench.taken(0), "BYE");
        bench.wire(0, |wire| wire.stuck = false);
        let hop = bench.hop.clone();
        bench.links.prepare(7, &hop, bench.now).unwrap();
        bench.wire(0, |wire| wire.stuck = true);
        let told = bench
            .links
            .write_invite(7, b"INVITE seven", &hop, bench.now);
        assert!(blocked(&told));
        // The call is over, or its permit is.
        bench.links.let_go(7, bench.now);
        assert!(bench.wire(0, |wire| wire.reset), "with room for {room}");
        // Who comes next gets a connection without that half.
        bench.wait(600);
        bench.tries();
        assert_eq!(bench.invite(8, "INVITE eight").unwrap(), 12);
        assert_eq!(
            (bench.taken(1).as_str(), bench.count()),
            ("INVITE eight", 2)
        );
    }
}

/// Dropped alone, the system would go on delivering the other half, whatever became of the permit.
#[test]
fn p03_whatever_ends_a_connection_with_half_an_invite_lets_nothing_of_the_rest_go() {
    for garbage in [None, Some(&b"\0\0\0\r\n\r\n"[..])] {
        let mut bench = Bench::new(None);
        bench.send("BYE");
        bench.wire(0, |wire| wire.room = 4);
        assert!(blocked(&bench.invite(7, "INVITE seven")));
        bench.wire(0, |wire| match garbage {
            Some(bytes) => wire.arriving.push_back(bytes.to_vec()),
            None => wire.closed = true,
        });
        bench.run();
        assert!(bench.wire(0, |wire| wire.reset), "{garbage:?}");
    }
    // One without half a message ends in good form.
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wire(0, |wire| wire.closed = true);
    bench.run();
    assert!(!bench.wire(0, |wire| wire.reset));
}

#[test]
fn a_target_that_refuses_is_left_alone_for_longer_each_time() {
    let mut bench = Bench::new(None);
    *bench.refuses.lock().unwrap() = true;
    assert!(blocked(&bench.invite(1, "INVITE")));
    assert_eq!(bench.tries(), [1]);
    let refused = bench.invite(1, "INVITE").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let mut pauses = Vec::new();
    for _ in 0..8 {
        let at = bench.links.wake().unwrap();
        pauses.push(u64::try_from(at.since(bench.now).as_millis()).unwrap());
        bench.wait(*pauses.last().unwrap());
    }
    assert_eq!(
        pauses,
        [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]
    );
    // What needs no permit waits, but not for ever.
    bench.send("BYE too old");
    bench.wait(40_000);
    bench.send("BYE");
    *bench.refuses.lock().unwrap() = false;
    bench.wait(30_000);
    assert_eq!(bench.taken(0), "BYE");
}

#[test]
fn a_connection_that_breaks_is_made_anew_at_once_and_what_was_under_way_is_told() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wait(60_000);
    bench.wire(0, |wire| wire.closed = true);
    bench.run();
    let hop = bench.hop.clone();
    assert!(matches!(bench.came.as_slice(), [Came::Lost(lost)] if *lost == hop));
    bench.send("BYE");
    assert_eq!((bench.taken(1).as_str(), bench.count()), ("BYE", 2));
    // One that breaks as soon as it is made is no better than one that is refused.
    bench.wire(1, |wire| wire.closed = true);
    bench.run();
    assert_eq!(bench.count(), 2);
    bench.wait(500);
    assert_eq!(bench.count(), 3);
}

#[test]
fn a_far_end_that_answers_no_ping_is_given_up() {
    let mut bench = Bench::new(Some(30));
    bench.send("BYE");
    bench.wait(30_000);
    assert_eq!(bench.taken(0), "BYE\r\n\r\n");
    bench.wire(0, |wire| wire.arriving.push_back(b"\r\n".to_vec()));
    bench.run();
    bench.wait(29_000);
    assert_eq!(bench.count(), 1, "it answered");
    bench.wait(12_000);
    assert_eq!(bench.count(), 2, "it did not");
    // And one that asks is answered.
    bench.wire(1, |wire| wire.arriving.push_back(b"\r\n\r\n".to_vec()));
    bench.run();
    assert_eq!(bench.taken(1), "\r\n");
}

/// A long talk has nothing to say.
#[test]
fn a_connection_whose_far_end_answers_pings_stays() {
    let mut bench = Bench::new(Some(30));
    bench.send("ACK");
    for _ in 0..40 {
        bench.wait(30_000);
        bench.wire(0, |wire| wire.arriving.push_back(b"\r\n".to_vec()));
        bench.run();
    }
    assert_eq!((bench.count(), bench.links.links.len()), (1, 1));
}

#[test]
fn pings_that_come_faster_than_an_answer_may_find_a_dead_far_end_too() {
    let mut bench = Bench::new(Some(5));
    bench.send("ACK");
    bench.wait(5_000);
    bench.wire(0, |wire| wire.arriving.push_back(b"\r\n".to_vec()));
    bench.run();
    bench.wait(14_900);
    assert_eq!(bench.count(), 1);
    bench.wait(200);
    assert_eq!(bench.count(), 2);
}

/// A far end that does not know of pings is there all the same.
#[test]
fn who_has_never_answered_a_ping_need_not_answer_this_one() {
    let mut bench = Bench::new(Some(30));
    bench.send("ACK");
    bench.wait(300_000);
    assert_eq!(bench.count(), 1);
    assert_eq!(bench.taken(0).matches("\r\n\r\n").count(), 10);
}

#[test]
fn half_a_message_and_a_silent_connection_have_their_time() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wire(0, |wire| wire.arriving.push_back(b"SIP/2.0 200 O".to_vec()));
    bench.run();
    bench.wait(9_900);
    assert_eq!(bench.count(), 1);
    bench.wait(200);
    assert_eq!(bench.count(), 2, "the rest did not come");
    // Nobody uses it.
    bench.wait(620_000);
    assert_eq!((bench.count(), bench.links.links.len()), (2, 0));
}

#[test]
fn a_message_that_cannot_be_cut_ends_its_connection() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wait(10_000);
    let whole = "SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    bench.wire(0, |wire| {
        wire.arriving
            .push_back(format!("{whole}BYE sip:x SIP/2.0\r\n\r\n").into_bytes());
    });
    bench.run();
    let messages = bench
        .came
        .iter()
        .filter(|came| matches!(came, Came::Message(..)));
    assert_eq!((messages.count(), bench.count()), (1, 2));
}

/// What the network loses the system sends again by itself, and asks no permit for it.
#[test]
fn p03_an_invite_that_has_not_arrived_when_its_permit_is_over_is_not_sent_again() {
    let sent = || {
        let mut bench = Bench::new(None);
        bench.send("BYE");
        assert_eq!(bench.invite(7, "INVITE seven").unwrap(), 12);
        bench
    };
    let withdrawn = |bench: &mut Bench| {
        bench.links.withdraw(7, bench.now);
        bench.wire(0, |wire| wire.reset)
    };
    let mut bench = sent();
    assert!(!withdrawn(&mut bench), "it has arrived");
    bench.wire(0, |wire| wire.open = 15);
    assert!(!withdrawn(&mut bench), "and is forgotten");
    for open in [1, 12, 15] {
        let mut bench = sent();
        bench.wire(0, |wire| wire.open = open);
        assert!(withdrawn(&mut bench), "{open} bytes of it are on their way");
    }
    // What others sent after it is theirs.
    let mut bench = sent();
    bench.send("ACK");
    bench.wire(0, |wire| wire.open = 3);
    assert!(!withdrawn(&mut bench));
    let mut bench = sent();
    bench.links.heard(7);
    bench.wire(0, |wire| wire.open = 12);
    assert!(!withdrawn(&mut bench), "its answer has come");
}

/// A process that is killed cannot reset anything any more.
#[test]
fn p03_a_connection_with_an_invite_of_which_nothing_was_heard_dies_with_the_process() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    let is_set = |bench: &Bench| bench.wire(0, |wire| wire.reset_when_dropped);
    assert!(!is_set(&bench));
    bench.wire(0, |wire| wire.room = 4);
    assert!(blocked(&bench.invite(7, "INVITE seven")));
    assert!(is_set(&bench), "half of it is out");
    bench.wire(0, |wire| wire.room = 100);
    bench.run();
    assert!(bench.invite(7, "INVITE seven").is_ok());
    bench.run();
    assert!(bench.invite(8, "INVITE eight").is_ok());
    bench.links.heard(7);
    assert!(is_set(&bench), "the other is still unheard of");
    bench.links.heard(8);
    assert!(!is_set(&bench));
    bench.links.withdraw(9, bench.now);
    assert!(!is_set(&bench));
}

#[test]
fn a_carrier_that_closes_after_each_call_is_not_unreachable() {
    let mut bench = Bench::new(None);
    bench.wanted = false;
    let answer = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    for call in 0..5 {
        let _ = bench.invite(7, "INVITE");
        assert_eq!(bench.count(), call + 1, "made for this call, at once");
        if call > 0 {
            assert_eq!(bench.tries(), [7]);
            assert!(bench.invite(7, "INVITE").is_ok());
        }
        bench.wire(call, |wire| {
            wire.arriving.push_back(answer.to_vec());
            wire.closed = true;
        });
        bench.run();
        bench.came.clear();
        bench.wait(20);
        assert_eq!(bench.count(), call + 1, "nobody wants another");
    }
    // And none is made for hours, were the pause over long ago.
    *bench.refuses.lock().unwrap() = true;
    bench.send("BYE");
    bench.wait(500_000);
    bench.wanted = true;
    bench.send("BYE");
    *bench.refuses.lock().unwrap() = false;
    bench.wait(1_000);
    bench.send("BYE");
    assert_eq!(bench.count(), 6);
}

#[test]
fn a_new_call_breaks_a_pause_once_a_second() {
    let mut bench = Bench::new(None);
    *bench.refuses.lock().unwrap() = true;
    let _ = bench.invite(1, "INVITE");
    bench.wait(8_000);
    let failures = |bench: &Bench| bench.links.links.values().next().unwrap().failures;
    assert_eq!(failures(&bench), 5, "at 0, 0.5, 1.5, 3.5 and 7.5 seconds");
    bench.tries();
    let refused = bench.invite(2, "INVITE").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    bench.wait(600);
    assert!(blocked(&bench.invite(3, "INVITE")));
    assert_eq!(failures(&bench), 6, "8.6");
    let refused = bench.invite(3, "INVITE").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    *bench.refuses.lock().unwrap() = false;
    bench.wait(1_000);
    assert!(blocked(&bench.invite(4, "INVITE")));
    assert_eq!(bench.tries().last(), Some(&4));
    assert!(bench.invite(4, "INVITE").is_ok());
}

#[test]
fn what_waits_for_a_connection_is_bounded_by_its_bytes_too() {
    let mut bench = Bench::new(None);
    bench.send("BYE");
    bench.wire(0, |wire| wire.room = 0);
    let long = "x".repeat(60_000);
    for _ in 0..100 {
        bench.send(&long);
    }
    bench.wire(0, |wire| wire.room = usize::MAX);
    bench.run();
    let taken = bench.taken(0).len();
    assert_eq!(taken, 3 + 17 * 60_000);
    bench.send(&long);
    assert_eq!(bench.taken(0).len(), taken + 60_000, "there is room again");
}

/// Nobody tells when there is room for a connection again.
#[test]
fn connections_of_others_are_taken_again_after_one_could_not_be() {
    let mut bench = Bench::new(None);
    bench.comes.lock().unwrap().extend([false, true]);
    bench.run();
    assert_eq!(bench.count(), 0);
    bench.wait(200);
    assert_eq!(bench.count(), 1);
}
