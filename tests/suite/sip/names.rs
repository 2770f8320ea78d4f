//! What a destination stands for, asked of a real name server on loopback.

use std::net::{IpAddr, Ipv6Addr};

use dialgate::sip::{Destination, Found, ordered};

use super::*;
use crate::support::dns::{NameServer, Record};

const A: u16 = 1;
const SRV: u16 = 33;
const NAPTR: u16 = 35;

fn v4(host: u8) -> Record {
    Record::Address(IpAddr::from([192, 0, 2, host]))
}

fn v6(host: u16) -> Record {
    Record::Address(IpAddr::V6(Ipv6Addr::new(
        0x2001, 0xdb8, 0, 0, 0, 0, 0, host,
    )))
}

async fn endpoint(server: &NameServer, listen: &str) -> Endpoint {
    let config = SipConfig {
        listen: listen.parse().unwrap(),
        advertised_host: Some("dialgate.example".to_owned()),
        dns_servers: vec![server.addr],
        ..SipConfig::default()
    };
    Endpoint::bind(&config, Clock::Real).await.unwrap()
}

async fn find(endpoint: &Endpoint, destination: &str, tls: bool) -> Found {
    let destination: Destination = destination.parse().unwrap();
    endpoint.find(&destination, tls).await.unwrap()
}

fn told(found: &Found) -> Vec<String> {
    let targets = ordered(&found.answers, 1);
    targets.iter().map(ToString::to_string).collect()
}

/// RFC 3263 section 4.1 and 4.2, the whole way.
#[tokio::test]
async fn records_say_transport_server_and_address() {
    let server = NameServer::start().await;
    server.set(
        "carrier.test",
        600,
        vec![
            Record::Pointer(20, 5, "s", "SIP+D2U", "_sip._udp.carrier.test"),
            Record::Pointer(10, 7, "s", "SIP+D2T", "_sip._tcp.carrier.test"),
            Record::Pointer(10, 3, "S", "sips+d2t", "_sips._tcp.elsewhere.test"),
            Record::Pointer(1, 1, "s", "SIP+D2S", "_sip._sctp.carrier.test"),
            Record::Pointer(1, 1, "u", "E2U+sip", "x.test"),
        ],
    );
    server.set(
        "_sip._udp.carrier.test",
        300,
        vec![Record::Server(0, 0, 5062, "c.test")],
    );
    server.set(
        "_sip._tcp.carrier.test",
        300,
        vec![
            Record::Server(20, 0, 5063, "c.test"),
            Record::Server(10, 0, 5064, "b.test"),
            Record::Server(0, 0, 5065, "gone.test"),
        ],
    );
    server.set(
        "_sips._tcp.elsewhere.test",
        60,
        vec![Record::Server(0, 0, 5061, "a.test")],
    );
    server.set("a.test", 120, vec![v4(1), v4(2), v6(1)]);
    server.set("b.test", 45, vec![v4(3)]);
    server.set("c.test", 900, vec![v4(4)]);
    let endpoint = endpoint(&server, "127.0.0.1:0").await;
    let found = find(&endpoint, "carrier.test", true).await;
    let plain = [
        "tcp:192.0.2.3:5064",
        "tcp:192.0.2.4:5063",
        "udp:192.0.2.4:5062",
    ];
    let secure = ["tls:192.0.2.1:5061", "tls:192.0.2.2:5061"];
    assert_eq!(told(&found), [secure.as_slice(), plain.as_slice()].concat());
    // What is not there is known for half a minute, which is less than any of the records.
    assert_eq!(found.fresh_for.as_secs(), 30);
    let found = find(&endpoint, "carrier.test", false).await;
    assert_eq!(told(&found), plain, "without TLS");
    // What the destination says is not asked for.
    let found = find(&endpoint, "udp:carrier.test", true).await;
    assert_eq!(
        (told(&found), found.fresh_for.as_secs()),
        (vec![plain[2].to_owned()], 300)
    );
    assert_eq!(
        told(&find(&endpoint, "a.test:7", true).await),
        ["udp:192.0.2.1:7", "udp:192.0.2.2:7"]
    );
    assert_eq!(
        told(&find(&endpoint, "tls:b.test:7", true).await),
        ["tls:192.0.2.3:7"]
    );
    let before = server.asked().len();
    assert_eq!(
        told(&find(&endpoint, "tcp:192.0.2.9", true).await),
        ["tcp:192.0.2.9:5060"]
    );
    assert_eq!(server.asked().len(), before, "an address is not looked up");
}

#[tokio::test]
async fn a_name_without_records_of_sip_is_a_host() {
    let server = NameServer::start().await;
    server.set("host.test", 90, vec![v4(1)]);
    let endpoint = endpoint(&server, "127.0.0.1:0").await;
    let of = |kinds: &[(&str, u16)]| -> Vec<(String, u16)> {
        kinds
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind))
            .collect()
    };
    assert_eq!(
        told(&find(&endpoint, "host.test", true).await),
        ["udp:192.0.2.1:5060"]
    );
    assert_eq!(
        server.asked(),
        of(&[
            ("host.test", NAPTR),
            ("_sip._udp.host.test", SRV),
            ("_sip._tcp.host.test", SRV),
            ("_sips._tcp.host.test", SRV),
            ("host.test", A),
        ])
    );
    assert_eq!(
        told(&find(&endpoint, "tls:host.test", true).await),
        ["tls:192.0.2.1:5061"]
    );
    // There is none, and that is an answer.
    let none = find(&endpoint, "nobody.test", true).await;
    assert_eq!((told(&none), none.fresh_for.as_secs()), (Vec::new(), 30));
}

#[tokio::test]
async fn addresses_are_of_the_families_that_the_socket_reaches() {
    let server = NameServer::start().await;
    server.set("both.test", 90, vec![v4(1), v6(1)]);
    for (listen, expected) in [
        ("127.0.0.1:0", vec!["udp:192.0.2.1:5060"]),
        ("0.0.0.0:0", vec!["udp:192.0.2.1:5060"]),
        ("[::1]:0", vec!["udp:[2001:db8::1]:5060"]),
        (
            "[::]:0",
            vec!["udp:[2001:db8::1]:5060", "udp:[::ffff:192.0.2.1]:5060"],
        ),
    ] {
        let endpoint = endpoint(&server, listen).await;
        let found = find(&endpoint, "both.test:5060", true).await;
        assert_eq!(told(&found), expected, "{listen}");
    }
}

#[tokio::test]
async fn no_answer_is_not_the_answer_that_there_is_nothing() {
    let server = NameServer::start().await;
    server.be_silent(true);
    let endpoint = endpoint(&server, "127.0.0.1:0").await;
    let destination: Destination = "carrier.test".parse().unwrap();
    let error = endpoint.find(&destination, true).await.unwrap_err();
    assert!(
        error.to_string().contains("no name server answered"),
        "{error}"
    );
}

/// One server whose name nobody answers for, and questions without an answer: what is known is used, for a short time.
#[tokio::test]
async fn what_no_name_server_answers_is_left_out_as_long_as_there_is_something_else() {
    let server = NameServer::start().await;
    server.set(
        "_sip._tcp.carrier.test",
        900,
        vec![
            Record::Server(10, 0, 5062, "silent.test"),
            Record::Server(20, 0, 5063, "b.test"),
        ],
    );
    server.set("b.test", 900, vec![v4(2)]);
    server.be_silent_of("silent.test");
    let endpoint = endpoint(&server, "127.0.0.1:0").await;
    let found = find(&endpoint, "tcp:carrier.test", false).await;
    assert_eq!(told(&found), ["tcp:192.0.2.2:5063"]);
    assert!(found.missed.is_some());
    assert_eq!(found.fresh_for.as_secs(), 15);
    // With none left that is no answer, and the name is not taken for its own server.
    server.set("carrier.test", 900, vec![v4(9)]);
    server.be_silent_of("b.test");
    let destination: Destination = "tcp:carrier.test".parse().unwrap();
    endpoint.find(&destination, false).await.unwrap_err();
    // Its pointers may say that it is TLS alone: silence about them does not make UDP of it.
    server.be_silent_of("carrier.test");
    let destination: Destination = "carrier.test".parse().unwrap();
    endpoint.find(&destination, true).await.unwrap_err();
}

/// RFC 2782: a root says that the service is not to be had there, and then the host is not asked for it either.
#[tokio::test]
async fn a_name_that_says_it_has_no_servers_has_none() {
    let server = NameServer::start().await;
    server.set("none.test", 90, vec![v4(1)]);
    server.set(
        "_sip._tcp.none.test",
        90,
        vec![Record::Server(0, 0, 0, ".")],
    );
    let endpoint = endpoint(&server, "127.0.0.1:0").await;
    let none = find(&endpoint, "tcp:none.test", true).await;
    assert_eq!(told(&none), [""; 0]);
    let udp = find(&endpoint, "udp:none.test", true).await;
    assert_eq!(told(&udp), ["udp:192.0.2.1:5060"]);
    // A name without any lifetime is not asked for all day.
    server.set("short.test", 0, vec![v4(1)]);
    let short = find(&endpoint, "short.test:5060", true).await;
    assert_eq!(short.fresh_for.as_secs(), 5);
}
