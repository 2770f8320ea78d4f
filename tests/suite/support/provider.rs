//! A provider at the other end of a real socket that does as it is told, lies among them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::domain::provider::ProviderKind;
use dialgate::provider::{ProviderConfig, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What it does with a question.
#[derive(Debug, Clone)]
pub enum Manner {
    /// Answers 200 with these fields after the number that was asked about.
    Says(&'static str),
    /// The same, so much later.
    SaysAfter(Duration, &'static str),
    /// Answers with this status and body.
    Status(u16, &'static str),
    /// Sends whoever asks to a path of its own that clears everybody.
    Redirects,
    /// Never answers.
    Hangs,
    /// Closes without a word.
    Closes,
    /// Promises a whole answer and closes in the middle of it.
    Half,
    /// Promises ten megabytes, and sends them.
    Large,
    /// Sends ten megabytes without saying how much it will be.
    Endless,
    /// Answers what is no HTTP.
    Babbles,
}

/// The server. Its task ends with the test's runtime.
#[derive(Clone)]
pub struct FakeProvider {
    pub url: String,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// One question as it arrived.
#[derive(Debug, Clone)]
pub struct Asked {
    pub head: String,
    pub body: serde_json::Value,
}

pub const CLEAR: &str = r#""Reassigned":false,"SafeHarbor":true,"ResultCode":"C","LineType":"L""#;
pub const LISTED: &str = r#""Reassigned":true,"SafeHarbor":true,"ResultCode":"P","LineType":"W""#;
pub const NULLS: &str = r#""Reassigned":null,"SafeHarbor":null,"ResultCode":null,"LineType":null"#;

impl FakeProvider {
    pub async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            url: format!("http://{}/v1/check", listener.local_addr().unwrap()),
            manner: Arc::new(Mutex::new(manner)),
            asked: Arc::default(),
        };
        let server = this.clone();
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    return;
                };
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

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn times_asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// A row of the configuration that leads here.
    pub fn row(&self, name: &str, kind: ProviderKind) -> ProviderConfig {
        serde_json::from_value(serde_json::json!({
            "name": name, "kind": kind, "countries": ["US"], "url": self.url, "timeout_ms": 2_000,
            "breaker_failures": 1_000,
        }))
        .unwrap()
    }

    pub fn service(&self, name: &str, kind: ProviderKind) -> Service {
        self.row(name, kind).service().unwrap()
    }

    async fn answer(&self, mut socket: TcpStream) -> std::io::Result<()> {
        let (head, body) = read_request(&mut socket).await?;
        let number = body["Phone"].as_str().unwrap_or_default().to_owned();
        let is_redirected = head.starts_with("POST /elsewhere") || head.starts_with("GET ");
        self.asked.lock().unwrap().push(Asked { head, body });
        let says = |fields: &str| whole(200, &format!(r#"{{"Phone":"{number}",{fields}}}"#));
        let manner = self.manner.lock().unwrap().clone();
        if is_redirected {
            return socket.write_all(says(CLEAR).as_bytes()).await;
        }
        match manner {
            Manner::Says(fields) => socket.write_all(says(fields).as_bytes()).await,
            Manner::SaysAfter(pause, fields) => {
                tokio::time::sleep(pause).await;
                socket.write_all(says(fields).as_bytes()).await
            }
            Manner::Status(status, body) => socket.write_all(whole(status, body).as_bytes()).await,
            Manner::Redirects => {
                let to = "HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n";
                socket.write_all(to.as_bytes()).await
            }
            Manner::Hangs => std::future::pending().await,
            Manner::Closes => Ok(()),
            Manner::Half => {
                let whole = says(CLEAR);
                let half = whole.as_bytes();
                socket.write_all(&half[..half.len() - 9]).await
            }
            Manner::Large => large(&mut socket, "Content-Length: 10485760\r\n").await,
            Manner::Endless => large(&mut socket, "Connection: close\r\n").await,
            Manner::Babbles => socket.write_all(b"220 mail.example ESMTP\r\n").await,
        }
    }
}

fn whole(status: u16, body: &str) -> String {
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn large(socket: &mut TcpStream, header: &str) -> std::io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\n{header}\r\n");
    socket.write_all(head.as_bytes()).await?;
    for _ in 0..160 {
        socket.write_all(&[b' '; 65_536]).await?;
    }
    Ok(())
}

async fn read_request(socket: &mut TcpStream) -> std::io::Result<(String, serde_json::Value)> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let line = line.to_ascii_lowercase();
                line.strip_prefix("content-length:")?
                    .trim()
                    .parse::<usize>()
                    .ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Ok((
                    head.to_owned(),
                    serde_json::from_str(body).unwrap_or_default(),
                ));
            }
        }
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
