//! A row `[[webhook]]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Webhook;
use super::signature::{Secret, SigningKeys};
use crate::http_client::{Courier, Guard, Lookup, Network, system_lookup};
use crate::secret;

/// Longest name of a webhook; it stands in every message.
const NAME_MAX: usize = 32;

/// One webhook: who is told, where, and how long it is tried.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name: how far it is, is known by it. A new name begins with what happens from then on.
    pub name: String,
    /// Where changes are sent: https, or http on this machine.
    pub url: String,
    /// File with the secret that messages are signed with.
    pub secret_file: PathBuf,
    /// File with the secret before, while receivers change it: messages are signed with both.
    #[serde(default)]
    pub previous_secret_file: Option<PathBuf>,
    /// How long a delivery may take, in milliseconds.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// For how many hours it is tried in vain before it is parked.
    #[serde(default = "retry_hours")]
    pub retry_hours: u64,
    /// Networks of one's own in which the receiver may be.
    #[serde(default)]
    pub allowed_networks: Vec<String>,
}

fn timeout_ms() -> u64 {
    10_000
}

fn retry_hours() -> u64 {
    72
}

impl WebhookConfig {
    /// The webhook, ready to be delivered to; or everything that is wrong with the row, each problem with its key.
    pub fn webhook(&self) -> Result<Webhook, Vec<String>> {
        self.webhook_by(system_lookup())
    }

    /// The same with another way to find the addresses of names.
    pub fn webhook_by(&self, lookup: Lookup) -> Result<Webhook, Vec<String>> {
        let mut problems = self.wrong_values();
        let mut tell = |key: &str, problem: String| problems.push(format!("{key}: {problem}"));
        let mut allowed: Vec<Network> = Vec::new();
        for named in &self.allowed_networks {
            match named.parse() {
                Ok(network) => allowed.push(network),
                Err(problem) => tell("allowed_networks", format!("`{named}` {problem}")),
            }
        }
        let courier = Courier::new(&self.url, Guard::allowing(allowed), lookup)
            .map_err(|problem| tell("url", problem.told("allowed_networks")));
        let current = read("secret_file", &self.secret_file).map_err(|each| problems.push(each));
        let previous = match &self.previous_secret_file {
            Some(path) => read("previous_secret_file", path).map(Some),
            None => Ok(None),
        };
        let previous = previous.map_err(|each| problems.push(each));
        let (Ok(courier), Ok(current), Ok(previous), true) =
            (courier, current, previous, problems.is_empty())
        else {
            return Err(problems);
        };
        Ok(Webhook {
            name: self.name.clone(),
            courier,
            keys: SigningKeys::new(current, previous),
            timeout: Duration::from_millis(self.timeout_ms),
            retry_for: Duration::from_secs(self.retry_hours.saturating_mul(3_600)),
        })
    }

    fn wrong_values(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let is_name = (1..=NAME_MAX).contains(&self.name.len()) && self.name.chars().all(is_plain);
        if !is_name {
            problems.push(format!(
                "name: `{}` is no name, write 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`",
                self.name
            ));
        }
        for (key, value, least, most) in [
            ("timeout_ms", self.timeout_ms, 100, 30_000),
            // Whoever is away for a night and a day has missed nothing.
            ("retry_hours", self.retry_hours, 24, 24 * 30),
        ] {
            if !(least..=most).contains(&value) {
                problems.push(format!("{key}: is {value}, set {least} to {most}"));
            }
        }
        problems
    }
}

fn read(key: &str, path: &Path) -> Result<Secret, String> {
    let text = secret::read(key, path)?;
    Secret::parse(&text).map_err(|problem| format!("{key}: `{}` {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        }

        fn row(&self, url: &str) -> WebhookConfig {
            WebhookConfig {
                name: "crm".to_owned(),
                url: url.to_owned(),
                secret_file: self.file("secret", SECRET, 0o600),
                previous_secret_file: None,
                timeout_ms: timeout_ms(),
                retry_hours: retry_hours(),
                allowed_networks: Vec::new(),
            }
        }
    }

    fn folder() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn keys_of(problems: &[String]) -> Vec<&str> {
        problems
            .iter()
            .map(|each| each.split(':').next().unwrap())
            .collect()
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let folder = folder();
        let good = folder.row("https://crm.example/hook").webhook().unwrap();
        assert_eq!(good.retry_for, Duration::from_hours(72));
        assert!(!format!("{good:?}").contains("MDEy"), "{good:?}");
        let wrong = WebhookConfig {
            name: "Our CRM".to_owned(),
            timeout_ms: 0,
            retry_hours: 23,
            allowed_networks: vec!["8.8.8.0/24".to_owned()],
            secret_file: folder.file("short", "whsec_c2hvcnQ=", 0o600),
            previous_secret_file: Some("/nowhere/secret".into()),
            ..folder.row("http://crm.example/")
        };
        let problems = wrong.webhook().unwrap_err();
        assert_eq!(
            keys_of(&problems),
            [
                "name",
                "timeout_ms",
                "retry_hours",
                "allowed_networks",
                "url",
                "secret_file",
                "previous_secret_file",
            ],
            "{problems:?}"
        );
    }

    #[test]
    fn p25_an_address_inside_is_taken_where_its_network_is_named() {
        let folder = folder();
        for (url, networks, wanted) in [
            ("https://10.0.0.7/hook", "", Some("allowed_networks")),
            ("https://10.0.0.7/hook", "10.0.0.0/24", None),
            ("http://127.0.0.1:9/", "", Some("allowed_networks")),
            ("http://127.0.0.1:9/", "127.0.0.1/32", None),
            ("http://2130706433:9/", "127.0.0.1/32", None),
            ("http://[::1]:9/", "127.0.0.1/32", Some("allowed_networks")),
            ("http://10.0.0.7/", "10.0.0.0/24", Some("not encrypted")),
            ("https://me:pass@crm.example/", "", Some("user name")),
            ("https://169.254.169.254/", "10.0.0.0/8", Some("leads to")),
        ] {
            let row = WebhookConfig {
                allowed_networks: networks.split_whitespace().map(str::to_owned).collect(),
                ..folder.row(url)
            };
            match (row.webhook(), wanted) {
                (Ok(_), None) => {}
                (Err(problems), Some(wanted)) => {
                    assert!(problems[0].contains(wanted), "{url}: {problems:?}");
                }
                (made, _) => panic!("{url}: {made:?}"),
            }
        }
    }

    #[test]
    fn p21_a_secret_that_others_may_read_is_refused() {
        let folder = folder();
        let row = WebhookConfig {
            secret_file: folder.file("loose", SECRET, 0o644),
            ..folder.row("https://crm.example/")
        };
        assert!(row.webhook().unwrap_err()[0].contains("chmod 600"));
    }
}
