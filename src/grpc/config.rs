//! Where the service listens, and its bounds: section `[grpc]` of the configuration.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::Deserialize;

/// Where the service listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpcConfig {
    /// Address and port; port 0 = any free one. What is not loopback needs TLS.
    pub listen: SocketAddr,
    /// Certificate and key; absent = no encryption, on loopback only.
    pub tls: Option<TlsConfig>,
    /// Whether clients may ask the server for the contract itself.
    pub reflection: bool,
    /// Largest message taken from a client.
    pub max_message_bytes: usize,
    /// How often an idle connection is asked whether it lives.
    pub keepalive_interval_seconds: u64,
    /// How long it has for the answer before it is closed.
    pub keepalive_timeout_seconds: u64,
    /// Requests and streams in flight on one connection; further ones wait at the client.
    pub requests_per_connection_max: u32,
    /// Calls followed at once (`WatchCall`), over all connections; further ones are refused.
    pub watches_max: usize,
}

/// Where the certificate and its key are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file of the certificate, with its intermediates.
    pub cert_file: PathBuf,
    /// PEM file of its private key.
    pub key_file: PathBuf,
}

impl Default for GrpcConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)),
            tls: None,
            reflection: true,
            max_message_bytes: 4 * 1024 * 1024,
            keepalive_interval_seconds: 60,
            keepalive_timeout_seconds: 20,
            requests_per_connection_max: 256,
            watches_max: 4096,
        }
    }
}

impl GrpcConfig {
    /// Everything that is wrong with the section, each problem with its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.tls.is_none() && !self.listen.ip().is_loopback() {
            problems.push(format!(
                "listen: `{}` can be reached from other machines and API keys would cross the network unencrypted; \
                 set [grpc.tls], or listen on 127.0.0.1",
                self.listen
            ));
        }
        if let Some(tls) = &self.tls {
            for (name, path) in [("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
                if let Err(error) = std::fs::File::open(path) {
                    problems.push(format!(
                        "tls.{name}: cannot read `{}`: {error}",
                        path.display()
                    ));
                }
            }
        }
        for (name, seconds) in [
            (
                "keepalive_interval_seconds",
                self.keepalive_interval_seconds,
            ),
            ("keepalive_timeout_seconds", self.keepalive_timeout_seconds),
        ] {
            if !(1..=KEEPALIVE_MAX).contains(&seconds) {
                problems.push(format!(
                    "{name}: is {seconds}, set 1 to {KEEPALIVE_MAX}, which is a day"
                ));
            }
        }
        for (name, zero) in [
            (
                "requests_per_connection_max",
                self.requests_per_connection_max == 0,
            ),
            ("watches_max", self.watches_max == 0),
        ] {
            if zero {
                problems.push(format!("{name}: is 0, set at least 1"));
            }
        }
        if self.max_message_bytes < MESSAGE_BYTES_MIN {
            problems.push(format!(
                "max_message_bytes: is less than {MESSAGE_BYTES_MIN}, which the largest request of a client needs"
            ));
        }
        problems
    }
}

/// A connection that is quiet for longer is gone for any middlebox.
const KEEPALIVE_MAX: u64 = 24 * 3600;

/// A note of 4096 characters and an SDP offer of 4 KiB, with room for the rest.
const MESSAGE_BYTES_MIN: usize = 128 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_sound_and_an_open_port_needs_tls() {
        assert_eq!(GrpcConfig::default().problems(), Vec::<String>::new());
        let open = |listen: &str| GrpcConfig {
            listen: listen.parse().unwrap(),
            ..GrpcConfig::default()
        };
        for listen in ["0.0.0.0:50051", "[::]:1", "192.0.2.1:443"] {
            let problems = open(listen).problems();
            assert_eq!(problems.len(), 1, "{listen}");
            assert!(problems[0].starts_with("listen: `"), "{problems:?}");
        }
        assert!(open("[::1]:50051").problems().is_empty());
        let folder = tempfile::tempdir().unwrap();
        let tls = TlsConfig {
            cert_file: folder.path().join("c.pem"),
            key_file: folder.path().join("k.pem"),
        };
        for file in [&tls.cert_file, &tls.key_file] {
            std::fs::write(file, "").unwrap();
        }
        let closed = GrpcConfig {
            tls: Some(tls),
            ..open("0.0.0.0:50051")
        };
        assert!(closed.problems().is_empty());
    }

    #[test]
    fn unknown_settings_and_zero_bounds_are_problems() {
        assert!(toml::from_str::<GrpcConfig>("lisen = '127.0.0.1:1'").is_err());
        let config: GrpcConfig = toml::from_str(
            "watches_max = 0\nmax_message_bytes = 1\nrequests_per_connection_max = 0",
        )
        .unwrap();
        assert_eq!(config.problems().len(), 3, "{:?}", config.problems());
    }
}
