//! A name server over loopback, written out byte by byte: it knows what a test tells it, and falls silent when told to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// What a name has.
#[derive(Debug, Clone)]
pub enum Record {
    Address(IpAddr),
    /// Priority, weight, port, server.
    Server(u16, u16, u16, &'static str),
    /// Order, preference, flags, service, replacement.
    Pointer(u16, u16, &'static str, &'static str, &'static str),
}

impl Record {
    fn kind(&self) -> u16 {
        match self {
            Self::Address(IpAddr::V4(_)) => 1,
            Self::Address(IpAddr::V6(_)) => 28,
            Self::Server(..) => 33,
            Self::Pointer(..) => 35,
        }
    }

    fn data(&self) -> Vec<u8> {
        let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        match self {
            Self::Address(IpAddr::V4(ip)) => ip.octets().to_vec(),
            Self::Address(IpAddr::V6(ip)) => ip.octets().to_vec(),
            Self::Server(priority, weight, port, server) => {
                let numbers = [priority, weight, port].map(|number| number.to_be_bytes());
                [numbers.concat(), name(server)].concat()
            }
            Self::Pointer(order, preference, flags, service, replacement) => {
                let numbers = [order, preference].map(|number| number.to_be_bytes());
                [
                    numbers.concat(),
                    text(flags),
                    text(service),
                    text(""),
                    name(replacement),
                ]
                .concat()
            }
        }
    }
}

fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut bytes: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    bytes.push(0);
    bytes
}

#[derive(Debug, Default)]
struct Book {
    records: BTreeMap<String, Vec<(u32, Record)>>,
    silent: bool,
    /// Names that are not answered for.
    unanswered: BTreeSet<String>,
    asked: Vec<(String, u16)>,
}

/// The server; it stops with its test.
pub struct NameServer {
    pub addr: SocketAddr,
    book: Arc<Mutex<Book>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = socket.local_addr().unwrap();
        let book = Arc::<Mutex<Book>>::default();
        let task = tokio::spawn(serve(socket, Arc::clone(&book)));
        Self { addr, book, task }
    }

    /// All that the name has, each for so many seconds.
    pub fn set(&self, name: &str, seconds: u32, records: Vec<Record>) {
        let records = records
            .into_iter()
            .map(|record| (seconds, record))
            .collect();
        self.book
            .lock()
            .unwrap()
            .records
            .insert(name.to_owned(), records);
    }

    pub fn be_silent(&self, silent: bool) {
        self.book.lock().unwrap().silent = silent;
    }

    /// Falls silent when asked for this name.
    pub fn be_silent_of(&self, name: &str) {
        let mut book = self.book.lock().unwrap();
        book.unanswered.insert(name.to_owned());
    }

    /// Names and kinds asked for so far.
    pub fn asked(&self) -> Vec<(String, u16)> {
        self.book.lock().unwrap().asked.clone()
    }
}

async fn serve(socket: UdpSocket, book: Arc<Mutex<Book>>) {
    let mut buffer = [0; 1_500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        let answer = answer(&buffer[..length], &mut book.lock().unwrap());
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

fn answer(question: &[u8], book: &mut Book) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    let end = at + 5;
    let kind = u16::from_be_bytes([question[at + 1], question[at + 2]]);
    let asked = labels.join(".");
    book.asked.push((asked.clone(), kind));
    if book.silent || book.unanswered.contains(&asked) {
        return None;
    }
    let known = book.records.get(&asked);
    let fitting: Vec<_> = known
        .into_iter()
        .flatten()
        .filter(|(_, record)| record.kind() == kind)
        .collect();
    // An authoritative answer; without the name there is no such domain.
    let status: u16 = if known.is_some() { 0x8580 } else { 0x8583 };
    let counts = [1, u16::try_from(fitting.len()).unwrap(), 0, 0].map(u16::to_be_bytes);
    let mut bytes = [
        &question[..2],
        &status.to_be_bytes(),
        &counts.concat(),
        &question[12..end],
    ]
    .concat();
    for (seconds, record) in fitting {
        let data = record.data();
        bytes.extend([0xc0, 12]);
        bytes.extend(kind.to_be_bytes());
        bytes.extend(1_u16.to_be_bytes());
        bytes.extend(seconds.to_be_bytes());
        bytes.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(data);
    }
    Some(bytes)
}
