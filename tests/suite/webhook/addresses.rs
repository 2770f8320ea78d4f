//! Where a webhook cannot lead: the corpus, mixed answers of a name server, and names that change what they stand for.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dialgate::http_client::{Bounds, Courier, DeliveryError, Found, Guard, Lookup, system_lookup};

use crate::support::receiver::{Receiver, TAKES};

const BOUNDS: Bounds = Bounds {
    timeout: Duration::from_secs(5),
    answer_bytes_max: 1024,
};

/// A name server that says this.
fn found(addresses: &[IpAddr]) -> Lookup {
    let addresses = addresses.to_vec();
    Arc::new(move |_| {
        let addresses = addresses.clone();
        Box::pin(async move { Ok(addresses) }) as Found
    })
}

async fn deliver(courier: &Courier) -> Result<u16, DeliveryError> {
    let delivered = courier.deliver(&[], b"{}".to_vec(), BOUNDS).await;
    delivered.map(|receipt| receipt.status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p25_nothing_of_the_corpus_is_delivered() {
    let receiver = Receiver::start(TAKES).await;
    let port = receiver.address.port().to_string();
    let corpus = include_str!("../../fixtures/ssrf.txt");
    let (mut urls, mut names) = (0, 0);
    for line in corpus.lines().filter(|line| !line.starts_with('#')) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "url" => {
                urls += 1;
                let url = rest.replace("PORT", &port);
                let made = Courier::new(&url, Guard::default(), system_lookup());
                assert!(made.is_err(), "{url}: {made:?}");
            }
            "name" => {
                names += 1;
                let addresses: Vec<IpAddr> =
                    rest.split(' ').map(|text| text.parse().unwrap()).collect();
                let url = format!("https://crm.example:{port}/hook");
                let courier = Courier::new(&url, Guard::default(), found(&addresses)).unwrap();
                let refused = deliver(&courier).await;
                assert_eq!(refused, Err(DeliveryError::Refused), "{rest}");
            }
            other => panic!("{other}"),
        }
    }
    assert!(urls >= 60 && names >= 30, "{urls} and {names}");
    assert_eq!(receiver.connections(), 0);
}

/// What is looked up is what is connected to, each time anew: a name that means something harmless first and this machine
/// then is connected to once, at the harmless place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p25_a_name_that_changes_what_it_stands_for_leads_nowhere() {
    let inside = Receiver::start(TAKES).await;
    let port = inside.address.port();
    let outside = Receiver::at(([127, 0, 0, 2], port).into(), TAKES).await;
    let times = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&times);
    let rebinding: Lookup = Arc::new(move |_| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        let last = if is_first { 2 } else { 1 };
        Box::pin(async move { Ok(vec![IpAddr::from([127, 0, 0, last])]) }) as Found
    });
    let guard = Guard::allowing(vec!["127.0.0.2/32".parse().unwrap()]);
    let url = format!("https://crm.example:{port}/hook");
    let courier = Courier::new(&url, guard, rebinding).unwrap();
    // The receiver speaks no TLS, so that the connection is all that comes of it.
    let first = deliver(&courier).await;
    assert!(
        matches!(
            first,
            Err(DeliveryError::Timeout | DeliveryError::Unreachable | DeliveryError::Broken)
        ),
        "{first:?}"
    );
    assert_eq!(
        (outside.connections(), times.load(Ordering::SeqCst)),
        (1, 1)
    );
    for _ in 0..3 {
        assert_eq!(deliver(&courier).await, Err(DeliveryError::Refused));
    }
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_an_address_is_told_apart() {
    let url = "https://crm.example/hook";
    let nothing = Courier::new(url, Guard::default(), found(&[])).unwrap();
    assert_eq!(deliver(&nothing).await, Err(DeliveryError::Unresolved));
    let failing: Lookup =
        Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such host")) }) as Found);
    let failing = Courier::new(url, Guard::default(), failing).unwrap();
    assert_eq!(deliver(&failing).await, Err(DeliveryError::Unresolved));
}

/// The header that a courier was given reaches the other end; where its answer leads is not followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p25_a_redirect_is_an_answer() {
    let inside = Receiver::start(TAKES).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    for status in [301, 302, 303, 307, 308] {
        let manner = crate::support::receiver::Manner::Redirects(status);
        let receiver = Receiver::at(([127, 0, 0, 2], 0).into(), manner).await;
        let guard = Guard::allowing(vec!["127.0.0.2/32".parse().unwrap()]);
        let url = format!("http://{}/hook", receiver.address);
        let courier = Courier::new(&url, guard, system_lookup()).unwrap();
        assert_eq!(deliver(&courier).await, Ok(status));
        seen.lock().unwrap().push(receiver.messages().len());
    }
    assert_eq!(*seen.lock().unwrap(), [1; 5]);
    assert_eq!(inside.connections(), 0);
}
