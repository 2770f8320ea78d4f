//! The one client by which a node asks anything over HTTP.
//!
//! It goes where the configuration says and nowhere else: redirects are an answer and not followed, the environment's
//! proxies are not asked, nothing is sent twice. Every exchange has an end, and every answer a size. Addresses are https,
//! or http on this machine; the credential is sent in a header that no debug output shows. What it sends and receives is
//! never logged here: it may be about a person. Where the configuration names a party that is not of the house, a [`Courier`]
//! goes there, which also looks at the addresses that the name stands for ([`Guard`]).

mod address;
mod courier;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

pub use address::{Guard, Network};
pub use courier::{AddressProblem, Courier, DeliveryError, Found, Lookup, Receipt, system_lookup};

/// The client. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct HttpClient(Client);

/// Where to ask, and by which right.
#[derive(Clone)]
pub struct Target {
    url: Url,
    authorization: Option<HeaderValue>,
}

/// What an exchange may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// From the first packet of the connection to the last byte of the answer.
    pub timeout: Duration,
    /// Bytes of the answer's body.
    pub answer_bytes_max: usize,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status code.
    pub status: u16,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// It did not end in time.
    #[error("no whole answer in time")]
    Timeout,
    /// No connection came about.
    #[error("no connection could be made")]
    Unreachable,
    /// The answer is larger than it may be.
    #[error("the answer is too large")]
    TooLarge,
    /// The connection broke, or what came is no HTTP.
    #[error("the connection broke before the answer was whole")]
    Broken,
}

impl HttpClient {
    /// A client by the system's trusted certificates; or why there can be none.
    pub fn new() -> Result<Self, String> {
        let client = plain_client()
            .build()
            .map_err(|error| format!("no HTTPS client can be made: {error}"))?;
        Ok(Self(client))
    }

    /// Sends JSON and takes the answer.
    pub async fn post_json(
        &self,
        target: &Target,
        body: Vec<u8>,
        bounds: Bounds,
    ) -> Result<HttpAnswer, HttpError> {
        let exchange = self.exchange(target, body, bounds.answer_bytes_max);
        tokio::time::timeout(bounds.timeout, exchange)
            .await
            .unwrap_or(Err(HttpError::Timeout))
    }

    async fn exchange(
        &self,
        target: &Target,
        body: Vec<u8>,
        bytes_max: usize,
    ) -> Result<HttpAnswer, HttpError> {
        const JSON: HeaderValue = HeaderValue::from_static("application/json");
        let mut request = self
            .0
            .post(target.url.clone())
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, JSON)
            .body(body);
        if let Some(authorization) = &target.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let mut response = request.send().await.map_err(|error| explain(&error))?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| explain(&error))? {
            if body.len() + piece.len() > bytes_max {
                return Err(HttpError::TooLarge);
            }
            body.extend_from_slice(&piece);
        }
        Ok(HttpAnswer {
            status: response.status().as_u16(),
            body,
        })
    }
}

/// What every client of the house is: it follows nobody, asks no proxy and sends nothing twice.
fn plain_client() -> reqwest::ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("dialgate/", env!("CARGO_PKG_VERSION")))
}

fn explain(error: &reqwest::Error) -> HttpError {
    if error.is_connect() {
        HttpError::Unreachable
    } else {
        HttpError::Broken
    }
}

impl Target {
    /// Reads an address; or what is wrong with it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let parsed: Url = url
            .parse()
            .map_err(|_| "is no address, write such as `https://host/path`".to_owned())?;
        match parsed.scheme() {
            "https" => {}
            "http" if is_this_machine(&parsed) => {}
            "http" => {
                return Err(
                    "is not encrypted: write https; http only to 127.0.0.1 or [::1]".to_owned(),
                );
            }
            other => return Err(format!("has the scheme `{other}`; write https")),
        }
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err("holds a user name; put the credential into a file".to_owned());
        }
        Ok(Self {
            url: parsed,
            authorization: None,
        })
    }

    /// The address that the URL holds in the place of a name. Every spelling of one was read as what it stands for.
    fn address(&self) -> Option<IpAddr> {
        address_in(&self.url)
    }

    /// The same with this credential, sent as a bearer token; or what is wrong with the credential.
    pub fn with_credential(mut self, credential: &str) -> Result<Self, String> {
        let mut value = HeaderValue::from_str(&format!("Bearer {credential}")).map_err(|_| {
            "holds what no HTTP header can: write one line of plain text".to_owned()
        })?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }
}

/// By the address itself: what a name stands for is somebody else's word.
fn is_this_machine(url: &Url) -> bool {
    address_in(url).is_some_and(|address| address.is_loopback())
}

fn address_in(url: &Url) -> Option<IpAddr> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse().ok()
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Target({})", self.url.host_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_only_https_leaves_the_machine() {
        for good in [
            "https://rnd.example/v1/check",
            "https://10.0.0.7:8443/",
            "http://127.0.0.1:8080/x",
            "http://127.9.9.9/",
            "http://[::1]:9/",
        ] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://rnd.example/",
            "http://localhost/",
            "http://127.0.0.1.example/",
            "http://0.0.0.0/",
            "http://[::2]/",
            "ftp://127.0.0.1/",
            "https://me:secret@rnd.example/",
            "rnd.example",
            "https://",
            "",
        ] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn p21_a_credential_is_not_shown() {
        let target = Target::parse("https://rnd.example/?q=1").unwrap();
        let target = target.with_credential("s3cret").unwrap();
        assert_eq!(format!("{target:?}"), "Target(rnd.example)");
        let target = Target::parse("https://rnd.example/").unwrap();
        assert!(target.with_credential("two\nlines").is_err());
    }
}
