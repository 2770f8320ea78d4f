//! Delivers to an address that somebody named who need not know what else is reached from here. A name is looked up for each
//! connection and the connection goes to exactly what was found: if any of it leads inside ([`Guard`]), nothing is sent, so
//! that a name which means one thing when it is looked at and another when it is used means nothing (rebinding).

use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use super::address::Guard;
use super::{Bounds, Target, plain_client};

/// Connections that nobody uses are closed after this time: a name may lead elsewhere by then.
const IDLE: Duration = Duration::from_secs(30);

/// Finds the addresses of a name.
pub type Lookup = Arc<dyn Fn(String) -> Found + Send + Sync>;

/// Addresses on their way.
pub type Found = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A client that delivers to one address, guarded. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Courier {
    client: Client,
    target: Target,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The status code.
    pub status: u16,
    /// The header `Retry-After` as it was sent, if it is short plain text.
    pub retry_after: Option<String>,
}

/// Why nothing came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// The name leads to where nothing is sent.
    #[error("the name leads to an address that nothing is sent to")]
    Refused,
    /// The name has no address.
    #[error("the name has no address")]
    Unresolved,
    /// It did not end in time.
    #[error("no whole answer in time")]
    Timeout,
    /// No connection came about, or no trust in who is there.
    #[error("no connection could be made")]
    Unreachable,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke before the answer was whole")]
    Broken,
}

/// Why nothing can be delivered to an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// It is written as none that can be used.
    #[error("{0}")]
    Unfit(String),
    /// It is in a network that nothing is sent to.
    #[error("leads to an address that nothing is sent to")]
    Inside,
}

impl AddressProblem {
    /// The same with what to do, where one's own networks are named in this field.
    #[must_use]
    pub fn told(&self, networks: &str) -> String {
        match self {
            Self::Unfit(_) => self.to_string(),
            Self::Inside => format!(
                "{self}; one in a network of your own, or on this machine, needs an entry in `{networks}`"
            ),
        }
    }
}

impl Courier {
    /// One that delivers there; or what is wrong with the address.
    pub fn new(url: &str, guard: Guard, lookup: Lookup) -> Result<Self, AddressProblem> {
        let target = Target::parse(url).map_err(AddressProblem::Unfit)?;
        // The client does not look up an address that is written as one, in whatever spelling.
        if target
            .address()
            .is_some_and(|address| !guard.admits(address))
        {
            return Err(AddressProblem::Inside);
        }
        let resolver = Guarded {
            guard: Arc::new(guard),
            lookup,
        };
        let client = plain_client()
            .dns_resolver(resolver)
            .pool_idle_timeout(IDLE)
            .build()
            .map_err(|error| {
                AddressProblem::Unfit(format!("no HTTPS client can be made: {error}"))
            })?;
        Ok(Self { client, target })
    }

    /// Delivers JSON under these headers. Of the answer's body no more is read than may be, and nothing of it is kept.
    pub async fn deliver(
        &self,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        bounds: Bounds,
    ) -> Result<Receipt, DeliveryError> {
        let exchange = self.exchange(headers, body, bounds.answer_bytes_max);
        tokio::time::timeout(bounds.timeout, exchange)
            .await
            .unwrap_or(Err(DeliveryError::Timeout))
    }

    async fn exchange(
        &self,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Receipt, DeliveryError> {
        let request = self
            .client
            .post(self.target.url.clone())
            .headers(own(headers))
            .body(body);
        let mut response = request.send().await.map_err(|error| explain(&error))?;
        let mut left = bytes_max;
        // An answer is believed once it is whole. One that is too long has been one for long enough.
        while let Some(piece) = response.chunk().await.map_err(|error| explain(&error))? {
            match left.checked_sub(piece.len()) {
                Some(rest) => left = rest,
                None => break,
            }
        }
        Ok(Receipt {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
        })
    }
}

fn own(headers: &[(&'static str, String)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            map.insert(HeaderName::from_static(name), value);
        }
    }
    map
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    /// An HTTP date has 29 characters.
    const CHARS_MAX: usize = 40;
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?;
    (value.len() <= CHARS_MAX).then(|| value.to_owned())
}

fn explain(error: &reqwest::Error) -> DeliveryError {
    let mut source = error.source();
    while let Some(inner) = source {
        if let Some(lookup) = inner.downcast_ref::<LookupError>() {
            return match lookup {
                LookupError::Refused => DeliveryError::Refused,
                LookupError::Unresolved => DeliveryError::Unresolved,
            };
        }
        source = inner.source();
    }
    if error.is_connect() {
        DeliveryError::Unreachable
    } else {
        DeliveryError::Broken
    }
}

/// The system's own way to find addresses.
#[must_use]
pub fn system_lookup() -> Lookup {
    Arc::new(|name| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

struct Guarded {
    guard: Arc<Guard>,
    lookup: Lookup,
}

#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error("an address that nothing is sent to")]
    Refused,
    #[error("no address")]
    Unresolved,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = Arc::clone(&self.guard);
        let found = (self.lookup)(name.as_str().to_owned());
        Box::pin(async move {
            let found = admitted(&guard, found.await);
            let found =
                found.map_err(|error| Box::new(error) as Box<dyn StdError + Send + Sync>)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// All that was found, or nothing: a name that leads inside by one of its addresses is not trusted with the others.
fn admitted(guard: &Guard, found: io::Result<Vec<IpAddr>>) -> Result<Vec<SocketAddr>, LookupError> {
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Err(LookupError::Unresolved);
    }
    if !found.iter().all(|address| guard.admits(*address)) {
        return Err(LookupError::Refused);
    }
    // Port 0 stands for the one of the URL.
    Ok(found
        .into_iter()
        .map(|address| SocketAddr::new(address, 0))
        .collect())
}
