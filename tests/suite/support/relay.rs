//! A stretch of bad network between two ends that speak UDP: it loses, doubles, delays and reorders datagrams, by lot and by a
//! seed, both ways. Each near end gets a socket of its own, so that answers find their way back; and neither end learns the other's
//! address, so that nothing within a call goes around the relay.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::net::UdpSocket;
use tokio::task::{AbortHandle, JoinSet};

use crate::joints::rng::Rng;

/// What becomes of a datagram, in percent, and how long it takes.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lost: usize,
    pub doubled: usize,
    /// Those that take ten times as long, so that others overtake them.
    pub late: usize,
    pub delay_ms: usize,
}

/// What became of them.
#[derive(Debug, Default)]
pub struct Fates {
    pub passed: AtomicU32,
    pub lost: AtomicU32,
    pub doubled: AtomicU32,
    pub late: AtomicU32,
}

/// The relay; it stops with its test.
pub struct Relay {
    pub addr: SocketAddr,
    pub fates: Arc<Fates>,
    task: AbortHandle,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Relay {
    /// Stands before the far end.
    pub async fn before(far: SocketAddr, weather: Weather, seed: u64) -> Self {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
        let addr = socket.local_addr().unwrap();
        let fates = Arc::<Fates>::default();
        let air = Air {
            weather,
            fates: Arc::clone(&fates),
        };
        let task = tokio::spawn(relay(socket, far, air, seed)).abort_handle();
        Self { addr, fates, task }
    }
}

#[derive(Clone)]
struct Air {
    weather: Weather,
    fates: Arc<Fates>,
}

async fn relay(near: Arc<UdpSocket>, far: SocketAddr, air: Air, seed: u64) {
    let mut tasks = JoinSet::new();
    let mut ways: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let mut rng = Rng::new(seed, 1);
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = near.recv_from(&mut buffer).await else {
            continue;
        };
        if !ways.contains_key(&from) {
            let way = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
            let rng = Rng::new(seed, 2 + ways.len() as u64);
            let back = back(
                Arc::clone(&way),
                Arc::clone(&near),
                (far, from),
                air.clone(),
                rng,
            );
            tasks.spawn(back);
            ways.insert(from, way);
        }
        let way = Arc::clone(&ways[&from]);
        let bytes = renamed(&buffer[..length], from, way.local_addr().unwrap());
        let bytes = renamed(&bytes, near.local_addr().unwrap(), far);
        air.carry(&mut rng, &mut tasks, &way, &bytes, far);
        while tasks.try_join_next().is_some() {}
    }
}

/// What the far end says to one of the near ones.
async fn back(
    way: Arc<UdpSocket>,
    near: Arc<UdpSocket>,
    (far, to): (SocketAddr, SocketAddr),
    air: Air,
    mut rng: Rng,
) {
    let mut tasks = JoinSet::new();
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, _)) = way.recv_from(&mut buffer).await else {
            continue;
        };
        let bytes = renamed(&buffer[..length], far, near.local_addr().unwrap());
        let bytes = renamed(&bytes, way.local_addr().unwrap(), to);
        air.carry(&mut rng, &mut tasks, &near, &bytes, to);
        while tasks.try_join_next().is_some() {}
    }
}

/// With another address wherever this one stood; the bodies of the tests name none of them.
fn renamed(bytes: &[u8], from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    text.replace(&from.to_string(), &to.to_string())
        .into_bytes()
}

impl Air {
    fn carry(
        &self,
        rng: &mut Rng,
        tasks: &mut JoinSet<()>,
        by: &Arc<UdpSocket>,
        bytes: &[u8],
        to: SocketAddr,
    ) {
        let count = |of: &AtomicU32| of.fetch_add(1, Ordering::Relaxed);
        if rng.percent(self.weather.lost) {
            count(&self.fates.lost);
            return;
        }
        let copies = if rng.percent(self.weather.doubled) {
            count(&self.fates.doubled);
            2
        } else {
            1
        };
        for _ in 0..copies {
            let most = match rng.percent(self.weather.late) {
                true => {
                    count(&self.fates.late);
                    10 * self.weather.delay_ms
                }
                false => self.weather.delay_ms,
            };
            let delay = rng.millis(0, most as u64 + 1);
            let (by, bytes) = (Arc::clone(by), bytes.to_vec());
            count(&self.fates.passed);
            tasks.spawn(async move {
                tokio::time::sleep(delay).await;
                let _ = by.send_to(&bytes, to).await;
            });
        }
    }
}
