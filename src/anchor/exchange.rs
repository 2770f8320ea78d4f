//! One question to one engine over UDP: repeated until it is answered or its time is over.
//!
//! Each has a socket of its own, connected to the engine: what others send does not arrive, what comes late finds nobody, and
//! an engine that is not there is known at once where its machine says so.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::ng::{REPLY_BYTES_MAX, Reply, reply, request};

/// The first repetition comes after this, each further one after twice the time. An engine remembers what it answered to a
/// cookie, so a repetition does nothing twice.
const FIRST_REPETITION: Duration = Duration::from_millis(100);

/// An engine did not answer in time, or its machine said that nobody listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Silent;

/// Asks, and waits so long for the answer.
pub(super) async fn ask(
    engine: SocketAddr,
    body: &[u8],
    patience: Duration,
) -> Result<Reply, Silent> {
    let cookie = Uuid::new_v4().simple().to_string();
    let request = request(&cookie, body);
    let asked = async {
        let local = match engine {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(engine).await?;
        tokio::select! {
            biased;
            heard = heard(&socket, &cookie) => heard,
            failed = repeat(&socket, &request) => failed,
        }
    };
    match timeout(patience, asked).await {
        Ok(Ok(reply)) => Ok(reply),
        Ok(Err(error)) => {
            tracing::debug!(%engine, %error, "a media engine cannot be asked");
            Err(Silent)
        }
        Err(_) => Err(Silent),
    }
}

/// Sends it again and again; ends only by failing.
async fn repeat(socket: &UdpSocket, request: &[u8]) -> std::io::Result<Reply> {
    let mut pause = FIRST_REPETITION;
    loop {
        socket.send(request).await?;
        sleep(pause).await;
        pause *= 2;
    }
}

/// The first datagram that answers; whatever else comes is passed over.
async fn heard(socket: &UdpSocket, cookie: &str) -> std::io::Result<Reply> {
    let mut datagram = vec![0; REPLY_BYTES_MAX];
    loop {
        let length = socket.recv(&mut datagram).await?;
        let datagram = datagram.get(..length).unwrap_or_default();
        if let Some(reply) = reply(datagram, cookie) {
            return Ok(reply);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::ng::ping;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(500);
    const PONG: &str = "@ d6:result4:ponge";

    /// An engine that answers the requests in turn with these datagrams, `@` for the cookie; answers how often it was asked.
    async fn engine(
        answers: &'static [&'static str],
    ) -> (SocketAddr, tokio::task::JoinHandle<usize>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let asked = tokio::spawn(async move {
            let mut bytes = [0; 1_000];
            for (number, answer) in answers.iter().enumerate() {
                let wait = timeout(SHORT * 2, socket.recv_from(&mut bytes));
                let Ok(Ok((length, from))) = wait.await else {
                    return number;
                };
                let text = String::from_utf8_lossy(&bytes[..length]);
                let cookie = text.split(' ').next().unwrap();
                let answer = answer.replace('@', cookie);
                socket.send_to(answer.as_bytes(), from).await.unwrap();
            }
            answers.len()
        });
        (addr, asked)
    }

    #[tokio::test]
    async fn a_question_is_repeated_until_its_own_answer_comes() {
        for answers in [
            &[PONG][..],
            &["", PONG],
            &["garbage", "@", PONG],
            &["other d6:result4:ponge", PONG],
            &["@ d6:result4:pong", PONG],
        ] {
            let (addr, asked) = engine(answers).await;
            assert_eq!(ask(addr, &ping(), PATIENCE).await, Ok(Reply::Pong));
            assert_eq!(asked.await.unwrap(), answers.len());
        }
    }

    #[tokio::test]
    async fn what_is_no_answer_is_waited_out() {
        let (addr, asked) = engine(&["x", "other d6:result4:ponge", "", "", "", ""]).await;
        let begun = Instant::now();
        assert_eq!(ask(addr, &ping(), SHORT).await, Err(Silent));
        assert!(begun.elapsed() >= SHORT);
        // At once, after 100 and after 300 milliseconds: no storm.
        assert!((2..=3).contains(&asked.await.unwrap()));
    }

    #[tokio::test]
    async fn where_nobody_listens_nobody_is_waited_for() {
        let gone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = gone.local_addr().unwrap();
        drop(gone);
        let begun = Instant::now();
        assert_eq!(ask(addr, &ping(), PATIENCE).await, Err(Silent));
        assert!(begun.elapsed() < PATIENCE);
    }

    /// The answer to an earlier question, come late, is not taken for that to the next.
    #[tokio::test]
    async fn a_late_answer_is_not_taken_for_another() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let addr = socket.local_addr().unwrap();
        let engine = tokio::spawn(async move {
            let mut bytes = [0; 1_000];
            let mut cookie_of = async || {
                let (length, from) = socket.recv_from(&mut bytes).await.unwrap();
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                (text.split(' ').next().unwrap().to_owned(), from)
            };
            let (first, _) = cookie_of().await;
            loop {
                let (cookie, from) = cookie_of().await;
                if cookie != first {
                    let late = format!("{first} d6:result5:errore");
                    socket.send_to(late.as_bytes(), from).await.unwrap();
                    let right = format!("{cookie} d6:result4:ponge");
                    socket.send_to(right.as_bytes(), from).await.unwrap();
                    return;
                }
            }
        });
        let soon = Duration::from_millis(50);
        assert_eq!(ask(addr, &ping(), soon).await, Err(Silent));
        assert_eq!(ask(addr, &ping(), PATIENCE).await, Ok(Reply::Pong));
        engine.await.unwrap();
    }
}
