//! Settings of an anchor, section `[anchor.NAME]`.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde::Deserialize;

/// Each may take the whole of its time before the next is asked, while a call holds its channel and its pace token.
const ENGINES_MAX: usize = 4;
/// Less would give up before a repetition could help; more would leave no time for the far end, which is answered in 3 s.
const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 200..=2_000;
/// An engine that is gone is to be noticed the same hour.
const PING_SECONDS_MAX: u64 = 3_600;

/// Media engines (rtpengine) that stand for each other.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorConfig {
    /// Where each listens for the NG protocol over UDP; the first that answers takes a call.
    pub engines: Vec<SocketAddr>,
    /// How long one may take to answer, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How often each is asked whether it is there, in seconds; 0 = never.
    #[serde(default = "ping_seconds")]
    pub ping_seconds: u64,
    /// Its interface towards clients, by the name that the engine has for it.
    #[serde(default)]
    pub client_interface: Option<String>,
    /// Its interface towards carriers.
    #[serde(default)]
    pub carrier_interface: Option<String>,
}

fn timeout_ms() -> u64 {
    1_000
}

fn ping_seconds() -> u64 {
    5
}

impl AnchorConfig {
    /// These engines, with the defaults.
    #[must_use]
    pub fn of(engines: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self {
            engines: engines.into_iter().collect(),
            timeout_ms: timeout_ms(),
            ping_seconds: ping_seconds(),
            client_interface: None,
            carrier_interface: None,
        }
    }

    /// The interfaces towards client and carrier, if they are named.
    pub(super) fn interfaces(&self) -> Option<(&str, &str)> {
        let client = self.client_interface.as_deref()?;
        Some((client, self.carrier_interface.as_deref()?))
    }

    /// What is wrong with the section, each line naming its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=ENGINES_MAX).contains(&self.engines.len()) {
            problems.push(format!("engines: name 1 to {ENGINES_MAX}"));
        }
        let mut seen = BTreeSet::new();
        for engine in &self.engines {
            let ip = engine.ip();
            if ip.is_unspecified() || ip.is_multicast() || engine.port() == 0 {
                problems.push(format!(
                    "engines: nothing can be sent to `{engine}`, write one address, and a port that is not 0"
                ));
            } else if !seen.insert(engine) {
                problems.push(format!("engines: `{engine}` is named twice"));
            }
        }
        if !TIMEOUT_MS.contains(&self.timeout_ms) {
            problems.push(format!(
                "timeout_ms: is {}, set {} to {}",
                self.timeout_ms,
                TIMEOUT_MS.start(),
                TIMEOUT_MS.end()
            ));
        }
        if self.ping_seconds > PING_SECONDS_MAX {
            problems.push(format!(
                "ping_seconds: set at most {PING_SECONDS_MAX}, or 0 for never"
            ));
        }
        if self.client_interface.is_some() != self.carrier_interface.is_some() {
            problems.push("client_interface and carrier_interface: set both or neither".to_owned());
        }
        for (key, name) in [
            ("client_interface", &self.client_interface),
            ("carrier_interface", &self.carrier_interface),
        ] {
            let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            if name
                .as_ref()
                .is_some_and(|name| name.is_empty() || name.len() > 63 || !name.bytes().all(usable))
            {
                problems.push(format!(
                    "{key}: write the name that stands in the engine's own `interface`, letters, digits, `-`, `_` and `.`"
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_work_are_named() {
        let section = |text: &str| -> Vec<String> {
            let config: AnchorConfig = toml::from_str(text).unwrap();
            config.problems()
        };
        for good in [
            "engines = [\"127.0.0.1:2223\"]",
            "engines = [\"192.0.2.1:2223\", \"[2001:db8::1]:2223\"]\ntimeout_ms = 200\nping_seconds = 0\n\
             client_interface = \"public\"\ncarrier_interface = \"private\"",
        ] {
            assert_eq!(section(good), Vec::<String>::new());
        }
        for (bad, named) in [
            ("engines = []", "engines: name"),
            (
                "engines = [\"192.0.2.1:1\", \"192.0.2.1:2\", \"192.0.2.1:3\", \"192.0.2.1:4\", \"192.0.2.1:5\"]",
                "engines: name",
            ),
            ("engines = [\"0.0.0.0:2223\"]", "engines: nothing"),
            ("engines = [\"224.0.0.1:2223\"]", "engines: nothing"),
            ("engines = [\"192.0.2.1:0\"]", "engines: nothing"),
            (
                "engines = [\"192.0.2.1:2223\", \"192.0.2.1:2223\"]",
                "engines: `192.0.2.1:2223` is named twice",
            ),
            (
                "engines = [\"192.0.2.1:1\"]\ntimeout_ms = 100",
                "timeout_ms: is 100",
            ),
            (
                "engines = [\"192.0.2.1:1\"]\ntimeout_ms = 2001",
                "timeout_ms: is 2001",
            ),
            (
                "engines = [\"192.0.2.1:1\"]\nping_seconds = 3601",
                "ping_seconds: ",
            ),
            (
                "engines = [\"192.0.2.1:1\"]\nclient_interface = \"public\"",
                "client_interface and carrier_interface: ",
            ),
            (
                "engines = [\"192.0.2.1:1\"]\nclient_interface = \"a b\"\ncarrier_interface = \"c\"",
                "client_interface: ",
            ),
        ] {
            let problems = section(bad);
            assert_eq!(problems.len(), 1, "{problems:?}");
            assert!(problems[0].starts_with(named), "{problems:?}");
        }
        let unknown = toml::from_str::<AnchorConfig>("engines = []\nengine = 1");
        assert!(unknown.is_err());
    }
}
