//! The endpoint against SIPp, a foreign implementation: each scenario checks us from its side and ends with code 0 only if
//! every message was the expected one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::*;

/// A SIPp callee that plays one scenario for one call.
pub struct Sipp {
    child: Child,
    pub addr: SocketAddr,
    folder: tempfile::TempDir,
}

/// The text of a scenario, its marks filled in.
fn filled(scenario: &str, status: &str, header: &str) -> String {
    let fixtures = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures"));
    let text = std::fs::read_to_string(fixtures.join(scenario)).unwrap();
    text.replace("@STATUS@", status).replace("@HEADER@", header)
}

impl Sipp {
    /// Starts it, its marks `@STATUS@` and `@HEADER@` filled in. Nothing if SIPp is not installed, which is a failure in CI.
    pub fn play(scenario: &str, status: &str, header: &str) -> Option<Self> {
        Self::play_over("u1", scenario, status, header)
    }

    /// The same for so many calls of a scenario that stands in no file.
    pub fn play_text(scenario: &str, calls: usize) -> Option<Self> {
        Self::play_all("u1", calls, scenario)
    }

    /// The same for so many calls.
    pub fn play_calls(calls: usize, scenario: &str, status: &str) -> Option<Self> {
        Self::play_all("u1", calls, &filled(scenario, status, NO_HEADER))
    }

    /// When it received each INVITE, in seconds of the day; a repetition of one is another.
    pub fn invites(&self) -> Vec<f64> {
        let mut at = 0.0;
        let (mut seen, mut received) = (Vec::new(), false);
        for line in self.log("messages.log").lines() {
            if line.starts_with("-----") {
                let time = line.split_whitespace().find(|word| word.contains(':'));
                let parts = time.unwrap_or("0:0:0").split(':');
                at = parts.fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap());
                received = false;
            }
            received |= line.contains("message received");
            if received && line.starts_with("INVITE ") {
                seen.push(at);
            }
        }
        seen
    }

    /// The same over another transport.
    fn play_over(transport: &str, scenario: &str, status: &str, header: &str) -> Option<Self> {
        Self::play_all(transport, 1, &filled(scenario, status, header))
    }

    fn play_all(transport: &str, calls: usize, scenario: &str) -> Option<Self> {
        if Command::new("sipp")
            .arg("-v")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            assert!(
                std::env::var_os("CI").is_none(),
                "SIPp is not installed: install sip-tester"
            );
            eprintln!(
                "skipped: SIPp is not installed (package sip-tester), nothing was shown here"
            );
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("scenario.xml");
        std::fs::write(&script, scenario).unwrap();
        // Whoever else looks for a free port may take this one first.
        (0..5)
            .find_map(|_| Self::start(transport, calls, &script))
            .map(|(child, addr)| Self {
                child,
                addr,
                folder,
            })
            .or_else(|| panic!("SIPp found no free port"))
    }

    fn start(transport: &str, calls: usize, script: &Path) -> Option<(Child, SocketAddr)> {
        let folder = script.parent().unwrap();
        let probe = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = probe.local_addr().unwrap();
        drop(probe);
        let mut child = Command::new("sipp")
            .current_dir(folder)
            .arg("-sf")
            .arg(script)
            .args([
                "-i",
                "127.0.0.1",
                "-p",
                &addr.port().to_string(),
                "-m",
                &calls.to_string(),
                "-nostdin",
            ])
            .args(["-t", transport])
            .args(["-buff_size", "212992", "-timeout", "90s", "-timeout_error"])
            .args([
                "-trace_err",
                "-error_file",
                "errors.log",
                "-trace_msg",
                "-message_file",
                "messages.log",
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        for _ in 0..1_000 {
            if let Some(ended) = child.try_wait().unwrap() {
                let told = std::fs::read_to_string(folder.join("errors.log")).unwrap_or_default();
                assert!(
                    told.contains("Address already in use"),
                    "SIPp ended at once: {ended:?}\n{told}"
                );
                return None;
            }
            let free = match transport {
                "u1" => std::net::UdpSocket::bind(addr).is_ok(),
                _ => std::net::TcpListener::bind(addr).is_ok(),
            };
            if !free {
                return Some((child, addr));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("SIPp did not open its port");
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// SIPp saw what its scenario expects, and nothing else.
    pub async fn is_content(&mut self) {
        for _ in 0..4_000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(
                    status.success(),
                    "SIPp: {status}\n{}\n{}",
                    self.log("errors.log"),
                    self.log("messages.log")
                );
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("SIPp waits for something:\n{}", self.log("messages.log"));
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const NUMBER: &str = "+14045550148";
const NO_HEADER: &str = "Supported: replaces";

#[tokio::test]
async fn answered_and_hung_up_by_sipp() {
    let Some(mut sipp) = Sipp::play("sipp/answer_hangs_up.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    let ending = call.ending().await;
    assert_eq!(
        (ending.outcome, ending.by),
        (Outcome::Answered, EndedBy::Peer),
        "{:?}",
        call.seen
    );
    sipp.is_content().await;
}

#[tokio::test]
async fn over_tcp_by_either_side() {
    for (scenario, by) in [
        ("sipp/answer_hangs_up.xml", EndedBy::Peer),
        ("sipp/answer_waits.xml", EndedBy::Us),
    ] {
        let Some(mut sipp) = Sipp::play_over("t1", scenario, "", NO_HEADER) else {
            return;
        };
        let place = Place::new().await;
        let mut call = place.dial(NUMBER, super::streams::tcp(sipp.addr));
        call.until("answered").await;
        if by == EndedBy::Us {
            call.hang_up(HangUpCause::Client).await;
        }
        let ending = call.ending().await;
        assert_eq!((ending.outcome, ending.by), (Outcome::Answered, by));
        sipp.is_content().await;
    }
}

#[tokio::test]
async fn a_ringing_phone_is_cancelled_over_tcp() {
    let Some(mut sipp) = Sipp::play_over("t1", "sipp/ring.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, super::streams::tcp(sipp.addr));
    call.until("180").await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Canceled);
    sipp.is_content().await;
}

#[tokio::test]
async fn answered_and_hung_up_by_us() {
    let Some(mut sipp) = Sipp::play("sipp/answer_waits.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("answered").await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Answered);
    sipp.is_content().await;
}

#[tokio::test]
async fn refusals_with_their_causes() {
    for (status, header, outcome, retry) in [
        (
            "486 Busy Here",
            "Reason: Q.850;cause=17",
            Outcome::Busy,
            Retry::Soon,
        ),
        (
            "603 Decline",
            "Reason: Q.850;cause=21",
            Outcome::Rejected,
            Retry::Later,
        ),
        (
            "603 Network Blocked",
            NO_HEADER,
            Outcome::BlockedByAnalytics,
            Retry::Never,
        ),
        ("607 Unwanted", NO_HEADER, Outcome::Unwanted, Retry::Never),
        (
            "404 Not Found",
            "Reason: Q.850;cause=3",
            Outcome::NoRoute,
            Retry::Trunk,
        ),
        (
            "503 Service Unavailable",
            "Retry-After: 7",
            Outcome::Congestion,
            Retry::Trunk,
        ),
    ] {
        let Some(mut sipp) = Sipp::play("sipp/refuse.xml", status, header) else {
            return;
        };
        let place = Place::new().await;
        let ending = place.dial(NUMBER, towards(sipp.addr)).ending().await;
        assert_eq!((ending.outcome, ending.retry), (outcome, retry), "{status}");
        assert_eq!(
            ending.retry_after,
            header
                .starts_with("Retry")
                .then_some(Duration::from_secs(7))
        );
        sipp.is_content().await;
    }
}

#[tokio::test]
async fn a_ringing_phone_is_cancelled() {
    let Some(mut sipp) = Sipp::play("sipp/ring.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("180").await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Canceled);
    sipp.is_content().await;
}

#[tokio::test]
async fn nobody_answers() {
    let Some(mut sipp) = Sipp::play("sipp/ring.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let trunk = Trunk {
        ring_timeout: Trunk::RING_TIMEOUT_MIN,
        ..towards(sipp.addr)
    };
    let ending = place.dial(NUMBER, trunk).ending().await;
    assert_eq!(
        (ending.outcome, ending.by),
        (Outcome::NoAnswer, EndedBy::Timeout)
    );
    sipp.is_content().await;
}

#[tokio::test]
async fn an_answer_that_crosses_the_cancel() {
    let Some(mut sipp) = Sipp::play("sipp/late_answer.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("180").await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::AnsweredAfterCancel);
    sipp.is_content().await;
}

#[tokio::test]
async fn challenges_are_answered() {
    for (status, name) in [
        ("401 Unauthorized", "WWW-Authenticate"),
        ("407 Proxy Authentication Required", "Proxy-Authenticate"),
    ] {
        for algorithm in ["MD5", "SHA-256"] {
            let header = format!(
                "{name}: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm={algorithm}"
            );
            let Some(mut sipp) = Sipp::play("sipp/challenge.xml", status, &header) else {
                return;
            };
            let place = Place::new().await;
            let mut call = place.dial(NUMBER, towards(sipp.addr));
            call.until("answered").await;
            call.hang_up(HangUpCause::Client).await;
            assert_eq!(call.ending().await.outcome, Outcome::Answered);
            sipp.is_content().await;
        }
    }
}

/// SIPp checks the digest itself.
#[tokio::test]
async fn a_digest_is_right_in_a_foreign_eye() {
    let Some(mut sipp) = Sipp::play("sip/digest.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("answered").await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Answered);
    sipp.is_content().await;
}

#[tokio::test]
async fn requests_within_the_call() {
    let Some(mut sipp) = Sipp::play("sip/within.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    let ending = call.ending().await;
    assert_eq!(
        (ending.outcome, ending.q850_cause),
        (Outcome::Answered, Some(16))
    );
    assert!(
        call.seen.contains(&"media offer".to_owned()),
        "{:?}",
        call.seen
    );
    sipp.is_content().await;
}

/// Half an interval later, and not by a second INVITE: SIPp takes UPDATE.
#[tokio::test]
async fn a_session_is_refreshed() {
    let Some(mut sipp) = Sipp::play("sip/timer.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let mut call = place.dial(NUMBER, towards(sipp.addr));
    call.until("answered").await;
    place.clock.advance(Duration::from_secs(46));
    // SIPp hears of the hanging up only after the refresh, or is not content.
    sleep(Duration::from_millis(500)).await;
    call.hang_up(HangUpCause::Client).await;
    assert_eq!(call.ending().await.outcome, Outcome::Answered);
    sipp.is_content().await;
}

#[tokio::test]
async fn an_answer_without_media() {
    let Some(mut sipp) = Sipp::play("sip/no_media.xml", "", NO_HEADER) else {
        return;
    };
    let place = Place::new().await;
    let ending = place.dial(NUMBER, towards(sipp.addr)).ending().await;
    assert_eq!(ending.outcome, Outcome::MediaIncompatible);
    sipp.is_content().await;
}
