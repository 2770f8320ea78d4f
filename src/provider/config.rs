//! A row `[[provider]]`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::{HttpProvider, Service};
use crate::domain::provider::ProviderKind;
use crate::http_client::{HttpClient, Target};
use crate::secret;

/// The register of the law as which reassigned numbers are filed, where the row names no other.
const REASSIGNED_NUMBERS: &str = "us-rnd";

/// Longest name of a provider; it stands in each of its answers.
const NAME_MAX: usize = 32;

const DAY: Duration = Duration::from_hours(24);

/// One provider: whom to ask what about which numbers, how long to wait, and how often.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// Its name, in evidence, logs and the store; a new name forgets what the old one said.
    pub name: String,
    /// `reassigned`, `line_type` or `litigator`.
    pub kind: ProviderKind,
    /// ISO countries of the numbers that it knows; no other is asked about.
    pub countries: Vec<String>,
    /// The register of the rules as which its answers are filed.
    #[serde(default)]
    pub register: Option<String>,
    /// Where it is asked: https, or http on this machine.
    pub url: String,
    /// File with the credential that is sent as a bearer token.
    #[serde(default)]
    pub credential_file: Option<PathBuf>,
    /// How long one question may take, in milliseconds; whoever asks for a call waits so long.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// How many days an answer counts.
    #[serde(default)]
    pub valid_days: Option<u64>,
    /// Questions a day (UTC), over all nodes.
    #[serde(default = "max_per_day")]
    pub max_per_day: i64,
    /// Failures in a row after which it is left alone.
    #[serde(default = "breaker_failures")]
    pub breaker_failures: u32,
    /// For how long it is left alone, in seconds.
    #[serde(default = "breaker_seconds")]
    pub breaker_seconds: u64,
}

fn timeout_ms() -> u64 {
    1_500
}

fn max_per_day() -> i64 {
    10_000
}

fn breaker_failures() -> u32 {
    5
}

fn breaker_seconds() -> u64 {
    30
}

impl ProviderConfig {
    /// The provider, ready to be asked; or everything that is wrong with the row, each problem with its key.
    pub fn service(&self) -> Result<Service, Vec<String>> {
        let mut problems = self.wrong_values();
        let target = self.target().map_err(|problem| problems.push(problem));
        let client = HttpClient::new().map_err(|problem| problems.push(format!("url: {problem}")));
        let (Ok(target), Ok(client), true) = (target, client, problems.is_empty()) else {
            return Err(problems);
        };
        let timeout = Duration::from_millis(self.timeout_ms);
        let provider = HttpProvider::new(client, target, self.kind, timeout);
        let days = u32::try_from(self.valid_days()).unwrap_or(u32::MAX);
        Ok(Service {
            name: self.name.clone(),
            kind: self.kind,
            countries: self.countries.clone(),
            register: self.register().map(str::to_owned),
            timeout,
            valid: DAY.saturating_mul(days),
            max_per_day: self.max_per_day,
            breaker_failures: self.breaker_failures,
            breaker_pause: Duration::from_secs(self.breaker_seconds),
            provider: Arc::new(provider),
        })
    }

    /// The register as which answers are filed.
    #[must_use]
    pub fn register(&self) -> Option<&str> {
        match (self.kind, self.register.as_deref()) {
            (ProviderKind::Reassigned, None) => Some(REASSIGNED_NUMBERS),
            (_, named) => named,
        }
    }

    /// The database is renewed once a month, and the strictest rule takes 31 days; a line may be ported, a suit filed, any day.
    fn valid_days(&self) -> u64 {
        self.valid_days.unwrap_or(match self.kind {
            ProviderKind::Reassigned => 30,
            ProviderKind::LineType => 14,
            ProviderKind::Litigator => 7,
        })
    }

    fn wrong_values(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut tell = |is_wrong: bool, problem: String| {
            if is_wrong {
                problems.push(problem);
            }
        };
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
        let is_name = (1..=NAME_MAX).contains(&self.name.len()) && self.name.chars().all(is_plain);
        tell(
            !is_name,
            format!(
                "name: `{}` is no name, write 1 to {NAME_MAX} of a-z, 0-9, `-` and `_`",
                self.name
            ),
        );
        tell(
            self.countries.is_empty(),
            "countries: is empty; name the ISO countries whose numbers it knows".to_owned(),
        );
        tell(
            self.kind == ProviderKind::Litigator && self.register.is_none(),
            "register: is missing; name the register that your rule about litigators asks"
                .to_owned(),
        );
        tell(
            self.kind == ProviderKind::LineType && self.register.is_some(),
            "register: a line type is filed in no register; leave it out".to_owned(),
        );
        let mut within = |key: &str, value: u64, least: u64, most: u64| {
            tell(
                !(least..=most).contains(&value),
                format!("{key}: is {value}, set {least} to {most}"),
            );
        };
        within("timeout_ms", self.timeout_ms, 50, 10_000);
        within("valid_days", self.valid_days(), 1, 365);
        within("breaker_failures", self.breaker_failures.into(), 1, 1_000);
        within("breaker_seconds", self.breaker_seconds, 1, 3_600);
        let max_per_day = u64::try_from(self.max_per_day).unwrap_or(0);
        within("max_per_day", max_per_day, 1, 1_000_000_000);
        problems
    }

    fn target(&self) -> Result<Target, String> {
        let target = Target::parse(&self.url).map_err(|problem| format!("url: {problem}"))?;
        let Some(path) = &self.credential_file else {
            return Ok(target);
        };
        let credential = secret::read("credential_file", path)?;
        if credential.is_empty() {
            return Err(format!("credential_file: `{}` is empty", path.display()));
        }
        target
            .with_credential(&credential)
            .map_err(|problem| format!("credential_file: `{}` {problem}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: ProviderKind, url: &str) -> ProviderConfig {
        ProviderConfig {
            name: "rnd".to_owned(),
            kind,
            countries: vec!["US".to_owned()],
            register: None,
            url: url.to_owned(),
            credential_file: None,
            timeout_ms: timeout_ms(),
            valid_days: None,
            max_per_day: max_per_day(),
            breaker_failures: breaker_failures(),
            breaker_seconds: breaker_seconds(),
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        let good = row(ProviderKind::Reassigned, "https://rnd.example/");
        let service = good.service().unwrap();
        assert_eq!(service.register.as_deref(), Some("us-rnd"));
        assert_eq!(service.valid, Duration::from_hours(30 * 24));
        let wrong = ProviderConfig {
            name: "Our RND".to_owned(),
            countries: Vec::new(),
            timeout_ms: 0,
            valid_days: Some(0),
            max_per_day: -1,
            breaker_failures: 0,
            breaker_seconds: 0,
            credential_file: Some("/nowhere/key".into()),
            ..row(ProviderKind::Litigator, "https://rnd.example/")
        };
        let problems = wrong.service().unwrap_err();
        let keys: Vec<&str> = problems
            .iter()
            .map(|each| each.split(':').next().unwrap())
            .collect();
        assert_eq!(
            keys,
            [
                "name",
                "countries",
                "register",
                "timeout_ms",
                "valid_days",
                "breaker_failures",
                "breaker_seconds",
                "max_per_day",
                "credential_file"
            ]
        );
        let open = row(ProviderKind::LineType, "http://rnd.example/").service();
        assert!(open.unwrap_err()[0].starts_with("url: is not encrypted"));
    }

    #[cfg(unix)]
    #[test]
    fn p21_a_credential_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("credential");
        std::fs::write(&path, "s3cret\n").unwrap();
        let with = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let row = ProviderConfig {
                credential_file: Some(path.clone()),
                ..row(ProviderKind::LineType, "https://rnd.example/")
            };
            row.service()
        };
        assert!(with(0o644).unwrap_err()[0].contains("chmod 600"));
        let service = with(0o600).unwrap();
        assert!(!format!("{service:?}").contains("s3cret"));
        std::fs::write(&path, "\n").unwrap();
        assert!(with(0o600).unwrap_err()[0].contains("is empty"));
    }
}
