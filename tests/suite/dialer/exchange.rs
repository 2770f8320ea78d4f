//! The agent's phone first, with phones that people use and audio that flows: two baresip at a Kamailio, which records its route,
//! asks for credentials and is reached over TLS on the agent's side. Each phone plays a tone of its own, and what each heard is
//! looked at.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dialgate::dialer::{AgentConfig, agent_names};
use dialgate::domain::call::EventKind;
use tokio::net::{TcpListener, TcpStream};

use super::agents::{Desk, until};
use super::failover::{ANNA, QUICK, lane};
use super::*;
use crate::sip::tls::Authority;

/// What the agent's phone plays, and the person's.
const AGENT_HZ: f64 = 440.0;
const PERSON_HZ: f64 = 950.0;
const RATE: f64 = 8_000.0;

/// A program that is ended with the test.
struct Running {
    child: Child,
    folder: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(program: &str, folder: tempfile::TempDir, args: &[&str]) -> Self {
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn log(&self) -> String {
        let read = std::fs::read(self.folder.path().join("log"));
        String::from_utf8_lossy(&read.unwrap_or_default()).into_owned()
    }
}

/// Whether the programs are there; in CI they have to be.
fn installed() -> bool {
    let tls = [
        "/usr/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
    ];
    let has_tls = |folder: &&str| Path::new(folder).join("kamailio/modules/tls.so").exists();
    let missing: Vec<&str> = [
        ("kamailio", Path::new("/usr/sbin/kamailio").exists()),
        ("kamailio-tls-modules", tls.iter().any(has_tls)),
        ("baresip-core", modules().is_some()),
    ]
    .into_iter()
    .filter_map(|(package, there)| (!there).then_some(package))
    .collect();
    assert!(
        missing.is_empty() || std::env::var_os("CI").is_none(),
        "not installed: {missing:?}"
    );
    if !missing.is_empty() {
        eprintln!("skipped: not installed: {missing:?}; nothing was shown here");
    }
    missing.is_empty()
}

/// Where baresip's modules lie.
fn modules() -> Option<PathBuf> {
    let places = [
        "/usr/lib/baresip/modules",
        "/usr/lib/x86_64-linux-gnu/baresip/modules",
        "/usr/lib/aarch64-linux-gnu/baresip/modules",
    ];
    let mut places = places.into_iter().map(PathBuf::from);
    let there = |place: &PathBuf| place.join("sndfile.so").exists();
    places
        .find(there)
        .filter(|_| Path::new("/usr/bin/baresip").exists())
}

async fn free() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").await.unwrap();
    probe.local_addr().unwrap()
}

/// Where the exchange is reached: by phones, for agents and for numbers.
struct Exchange {
    running: Running,
    phones: SocketAddr,
    agents: SocketAddr,
    numbers: SocketAddr,
}

impl Exchange {
    async fn start(authority: &Authority) -> Self {
        let (phones, agents, numbers) = (free().await, free().await, free().await);
        let (certificate, key) = authority.issue("127.0.0.1");
        let text = include_str!("../../fixtures/sip/exchange.cfg")
            .replace("@PORT@", &phones.port().to_string())
            .replace("@TLS@", &agents.port().to_string())
            .replace("@NUMBERS@", &numbers.port().to_string())
            .replace("@CERTIFICATE@", &certificate.display().to_string())
            .replace("@KEY@", &key.display().to_string());
        let folder = tempfile::tempdir().unwrap();
        let (file, place) = (
            folder.path().join("kamailio.cfg").display().to_string(),
            folder.path().display().to_string(),
        );
        std::fs::write(&file, text).unwrap();
        let args = [
            "-f", &file, "-DD", "-E", "-m", "32", "-M", "8", "-n", "1", "-N", "1", "-Y", &place,
        ];
        let running = Running::start("kamailio", folder, &args);
        until("Kamailio's port", async || {
            TcpStream::connect(agents).await.is_ok()
        })
        .await;
        Self {
            running,
            phones,
            agents,
            numbers,
        }
    }
}

/// A baresip that answers by itself, plays a tone and writes down what it hears.
async fn phone(user: &str, exchange: SocketAddr, hz: f64) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().display().to_string();
    std::fs::create_dir(folder.path().join("heard")).unwrap();
    std::fs::write(folder.path().join("tone.wav"), tone(hz)).unwrap();
    // It takes the next port for TLS, whether it is used or not.
    let port = loop {
        let port = free().await.port();
        let next = port.checked_add(1).map(|next| ("127.0.0.1", next));
        match next {
            Some(next) if TcpListener::bind(next).await.is_ok() => break port,
            _ => {}
        }
    };
    let modules = modules().unwrap().display().to_string();
    let config = format!(
        "module_path {modules}\nmodule g711.so\nmodule aufile.so\nmodule aubridge.so\nmodule sndfile.so\n\
         module_tmp account.so\nmodule_app menu.so\nsip_listen 127.0.0.1:{port}\nnet_interface 127.0.0.1\n\
         audio_source aufile,{place}/tone.wav\naudio_player aubridge,nil\naudio_alert aubridge,nil\nausrc_srate 8000\n\
         auplay_srate 8000\nausrc_channels 1\nauplay_channels 1\nring_aufile none\nsnd_path {place}/heard\n"
    );
    std::fs::write(folder.path().join("config"), config).unwrap();
    std::fs::write(folder.path().join("contacts"), "").unwrap();
    let account = format!("<sip:{user}@{exchange}>;regint=60;answermode=auto\n");
    std::fs::write(folder.path().join("accounts"), account).unwrap();
    let running = Running::start("baresip", folder, &["-f", &place]);
    until("the phone's registration", async || {
        running.log().contains("200 OK")
    })
    .await;
    running
}

/// A minute of a tone, as a WAV file.
fn tone(hz: f64) -> Vec<u8> {
    let samples: Vec<u8> = (0..60 * 8_000)
        .flat_map(|place| {
            let angle = f64::from(place) * hz * std::f64::consts::TAU / RATE;
            #[expect(clippy::cast_possible_truncation, reason = "12,000 fits")]
            let sample = (angle.sin() * 12_000.0) as i16;
            sample.to_le_bytes()
        })
        .collect();
    let size = u32::try_from(samples.len()).unwrap();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + size).to_le_bytes());
    file.extend(b"WAVEfmt ");
    file.extend(16_u32.to_le_bytes());
    file.extend([1, 0, 1, 0]);
    file.extend(8_000_u32.to_le_bytes());
    file.extend(16_000_u32.to_le_bytes());
    file.extend([2, 0, 16, 0]);
    file.extend(b"data");
    file.extend(size.to_le_bytes());
    file.extend(samples);
    file
}

/// What a phone heard, without the head of the file.
fn heard(phone: &Running) -> Vec<f64> {
    let folder = phone.folder.path().join("heard");
    let files = std::fs::read_dir(folder).unwrap();
    let mut samples = Vec::new();
    for file in files.map(|file| file.unwrap().path()) {
        if file.display().to_string().ends_with("dec.wav") {
            let bytes = std::fs::read(file).unwrap();
            let pairs = bytes.get(44..).unwrap_or_default().chunks_exact(2);
            samples.extend(pairs.map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]]))));
        }
    }
    samples
}

/// How strong a tone is in these samples, as a share of all that sounds (Goertzel).
fn share(samples: &[f64], hz: f64) -> f64 {
    let factor = 2.0 * (hz * std::f64::consts::TAU / RATE).cos();
    let (mut one, mut two) = (0.0, 0.0);
    for sample in samples {
        (one, two) = (sample + factor * one - two, one);
    }
    let power = one * one + two * two - factor * one * two;
    let all: f64 = samples.iter().map(|sample| sample * sample).sum();
    let count = samples.len() as f64;
    2.0 * power / (count * all.max(1.0))
}

/// Half a second of tone is in what it heard, and of no other.
fn hears_tone(phone: &Running, hz: f64, other: f64) -> bool {
    heard(phone).chunks_exact(4_000).any(|half| {
        let loud = half.iter().any(|sample| sample.abs() > 5_000.0);
        loud && share(half, hz) > 0.9 && share(half, other) < 0.05
    })
}

#[test]
fn a_tone_is_told_from_another() {
    let samples = |hz: f64| -> Vec<f64> {
        let wav = tone(hz);
        let pairs = wav[44..8_044].chunks_exact(2);
        pairs
            .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])))
            .collect()
    };
    assert!(share(&samples(AGENT_HZ), AGENT_HZ) > 0.9);
    assert!(share(&samples(AGENT_HZ), PERSON_HZ) < 0.05);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agent_and_person_hear_each_other_through_an_exchange() {
    if !installed() {
        return;
    }
    let authority = Authority::new();
    let exchange = Exchange::start(&authority).await;
    let agent = phone("anna", exchange.phones, AGENT_HZ).await;
    let person = phone("person", exchange.phones, PERSON_HZ).await;
    let password = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(password.path(), "correct horse").unwrap();
    let config = AgentConfig {
        target: Some(format!("tls:{}", exchange.agents).parse().unwrap()),
        username: Some("dialgate".to_owned()),
        password_file: Some(password.path().to_owned()),
        ca_file: Some(authority.path("ca.pem")),
        ..AgentConfig::at(&format!("sip:anna@{}", exchange.phones))
    };
    let config = config.agent("anna").unwrap();
    assert_eq!(agent_names(std::slice::from_ref(&config)).len(), 1);
    let bench = Bench::over(TestStore::sqlite().await).await;
    let trunk = lane("carrier", &[exchange.numbers], QUICK);
    let desk = Desk::of(bench, config, trunk).await;
    let call = desk.place(ANNA).await;
    desk.tells(&call, EventKind::Connected).await;
    let why = || {
        let logs = [exchange.running.log(), agent.log(), person.log()];
        logs.join("\n----\n")
    };
    let give_up = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let both =
            hears_tone(&agent, PERSON_HZ, AGENT_HZ) && hears_tone(&person, AGENT_HZ, PERSON_HZ);
        if both {
            break;
        }
        assert!(
            tokio::time::Instant::now() < give_up,
            "no tone is heard\n{}",
            why()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let said = |what: &str| exchange.running.log().matches(what).count();
    assert_eq!((said("challenged"), said("believed")), (1, 1), "{}", why());
    let ask = desk.bench.ask("agent");
    desk.bench.gate.hang_up(&ask, call.call_id).await.unwrap();
    let over = desk.over(&call).await;
    assert_eq!((over.state, over.abandon_time), (CallState::Ended, None));
    for phone in [&agent, &person] {
        until("both phones' hanging up", async || {
            phone.log().contains("terminated") || phone.log().contains("session closed")
        })
        .await;
    }
    drop(desk.close().await);
}
