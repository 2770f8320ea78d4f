//! A receiver of webhooks at the other end of a real socket that does as it is told: fails, hangs, lies.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What it does with a message.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Answers with this status, these header lines and this body.
    Says(u16, &'static str, &'static str),
    /// The same once it is let go.
    SaysLater(u16),
    /// Sends whoever delivers to another path, where everything is taken.
    Redirects(u16),
    /// Never answers.
    Hangs,
    /// Closes without a word.
    Closes,
    /// Says 200, promises a body, and closes in the middle of it.
    Half,
    /// Says 200 and never ends its body.
    Drips,
    /// Says 200 with more than anybody wants to read.
    Large,
    /// Answers what is no HTTP.
    Babbles,
}

pub const TAKES: Manner = Manner::Says(204, "", "");

/// One message as it arrived.
#[derive(Debug, Clone)]
pub struct Message {
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn positions(&self) -> Vec<i64> {
        let json = self.json();
        let changes = json["changes"].as_array().unwrap().iter();
        changes
            .map(|change| change["position"].as_i64().unwrap())
            .collect()
    }
}

/// The server. Its task ends with the test's runtime.
#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    messages: Arc<Mutex<Vec<(Message, bool)>>>,
    connections: Arc<AtomicUsize>,
    under_way: Arc<AtomicUsize>,
    most_under_way: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    go: Arc<Notify>,
}

impl Receiver {
    pub async fn start(manner: Manner) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), manner).await
    }

    pub async fn at(address: SocketAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            manner: Arc::new(Mutex::new(manner)),
            messages: Arc::default(),
            connections: Arc::default(),
            under_way: Arc::default(),
            most_under_way: Arc::default(),
            arrived: Arc::default(),
            go: Arc::default(),
        };
        let server = this.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                server.connections.fetch_add(1, Ordering::SeqCst);
                let server = server.clone();
                // A client that goes away in the middle is its own affair.
                tokio::spawn(async move { server.answer(socket).await.ok() });
            }
        });
        this
    }

    pub fn does(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Everything that arrived.
    pub fn messages(&self) -> Vec<Message> {
        let messages = self.messages.lock().unwrap();
        messages
            .iter()
            .map(|(message, _)| message.clone())
            .collect()
    }

    /// What it answers with 2xx, in full.
    pub fn taken(&self) -> Vec<Message> {
        let messages = self.messages.lock().unwrap();
        let taken = messages.iter().filter(|(_, taken)| *taken);
        taken.map(|(message, _)| message.clone()).collect()
    }

    /// The positions of what it took, as they came.
    pub fn positions(&self) -> Vec<i64> {
        self.taken().iter().flat_map(Message::positions).collect()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Most messages that were with it at once.
    pub fn most_under_way(&self) -> usize {
        self.most_under_way.load(Ordering::SeqCst)
    }

    /// Until so many messages have arrived.
    pub async fn has(&self, count: usize) {
        loop {
            let arrived = self.arrived.notified();
            if self.messages.lock().unwrap().len() >= count {
                return;
            }
            arrived.await;
        }
    }

    /// Answers one message that waits for it.
    pub fn go(&self) {
        self.go.notify_one();
    }

    async fn answer(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let message = read(&mut socket).await?;
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let manner = self.manner.lock().unwrap().clone();
        let is_elsewhere = message.line.contains(" /elsewhere ");
        let index = {
            let mut messages = self.messages.lock().unwrap();
            messages.push((message, false));
            messages.len() - 1
        };
        self.arrived.notify_one();
        if let Manner::SaysLater(_) = manner {
            self.go.notified().await;
        }
        // Long enough for whoever would send another one meanwhile.
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        let is_taken = match manner {
            _ if is_elsewhere => true,
            Manner::Says(status, ..) | Manner::SaysLater(status) => (200..300).contains(&status),
            Manner::Large => true,
            _ => false,
        };
        // Before it is said: whoever hears it may look here at once.
        if is_taken {
            self.messages.lock().unwrap()[index].1 = true;
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        if is_elsewhere {
            return whole(&mut socket, 200, "", "ok").await;
        }
        self.speak(&mut socket, &manner).await
    }

    async fn speak(&self, socket: &mut TcpStream, manner: &Manner) -> std::io::Result<()> {
        match manner {
            Manner::Says(status, headers, body) => whole(socket, *status, headers, body).await,
            Manner::SaysLater(status) => whole(socket, *status, "", "").await,
            Manner::Redirects(status) => {
                let to = format!("Location: http://{}/elsewhere\r\n", self.address);
                whole(socket, *status, &to, "").await
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Closes => Ok(()),
            Manner::Half => {
                let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok";
                socket.write_all(half).await
            }
            Manner::Drips => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
                socket.write_all(head).await?;
                std::future::pending().await
            }
            Manner::Large => {
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10485760\r\n\r\n";
                socket.write_all(head).await?;
                for _ in 0..160 {
                    socket.write_all(&[b' '; 65_536]).await?;
                }
                Ok(())
            }
            Manner::Babbles => socket.write_all(b"220 mail.example ESMTP\r\n").await,
        }
    }
}

async fn whole(
    socket: &mut TcpStream,
    status: u16,
    headers: &str,
    body: &str,
) -> std::io::Result<()> {
    let length = if status == 204 {
        String::new()
    } else {
        format!("Content-Length: {}\r\n", body.len())
    };
    let answer =
        format!("HTTP/1.1 {status} Whatever\r\n{length}{headers}Connection: close\r\n\r\n{body}");
    socket.write_all(answer.as_bytes()).await
}

async fn read(socket: &mut TcpStream) -> std::io::Result<Message> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let mut lines = head.lines();
            let line = lines.next().unwrap_or_default().to_owned();
            let headers: BTreeMap<String, String> = lines
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
                .collect();
            let length = headers
                .get("content-length")
                .map_or(0, |length| length.parse::<usize>().unwrap_or_default());
            if bytes.len() >= end + 4 + length {
                let body = bytes[end + 4..end + 4 + length].to_vec();
                return Ok(Message {
                    line,
                    headers,
                    body,
                });
            }
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
