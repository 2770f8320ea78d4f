//! The section `[audit]`.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::key::SigningPlace;
use super::witness::Witness;
use crate::audit::SigningKey;
use crate::http_client::{Courier, Guard, Network, system_lookup};

/// By which key the log is signed, and who else keeps its checkpoints.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Name of the log, given once, when it begins; absent = one is made up.
    pub origin: Option<String>,
    /// File of the signing key, made on first start; absent = beside the key file of the store.
    pub key_file: Option<PathBuf>,
    /// A file to which every checkpoint is added: on another machine's disk.
    pub witness_file: Option<PathBuf>,
    /// Where the latest checkpoint is posted: https, or http to `127.0.0.1` or `[::1]` if the networks below name it.
    pub witness_url: Option<String>,
    /// Networks of one's own in which that address may be.
    pub witness_networks: Vec<String>,
}

impl AuditConfig {
    /// Everything that is wrong with the section, each problem with its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = self.witness().err().unwrap_or_default();
        if let Some(origin) = &self.origin
            && SigningKey::generate(origin).is_err()
        {
            problems.push(format!(
                "origin: `{origin}` is no name of a log, write it like an address without scheme, `example.com/calls`"
            ));
        }
        problems
    }

    /// Who else keeps checkpoints; or what is wrong with how that is said.
    pub fn witness(&self) -> Result<Witness, Vec<String>> {
        let mut problems = Vec::new();
        let mut allowed: Vec<Network> = Vec::new();
        for named in &self.witness_networks {
            match named.parse() {
                Ok(network) => allowed.push(network),
                Err(problem) => problems.push(format!("witness_networks: `{named}` {problem}")),
            }
        }
        let courier = self.witness_url.as_ref().map(|url| {
            Courier::new(url, Guard::allowing(allowed), system_lookup())
                .map_err(|problem| {
                    problems.push(format!("witness_url: {}", problem.told("witness_networks")))
                })
                .ok()
        });
        if problems.is_empty() {
            return Ok(Witness::new(self.witness_file.clone(), courier.flatten()));
        }
        Err(problems)
    }

    /// Where the signing key is, of a node whose store has this key file.
    #[must_use]
    pub fn signing_place(&self, store_key_file: &Path) -> SigningPlace {
        let beside = || {
            let mut name = store_key_file.as_os_str().to_owned();
            name.push(".audit");
            PathBuf::from(name)
        };
        SigningPlace {
            path: self.key_file.clone().unwrap_or_else(beside),
            origin: self.origin.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_key() {
        assert!(AuditConfig::default().problems().is_empty());
        let place = AuditConfig::default().signing_place(Path::new("/etc/dialgate/store.key"));
        assert_eq!(place.path, Path::new("/etc/dialgate/store.key.audit"));
        let wrong = AuditConfig {
            origin: Some("our log".to_owned()),
            witness_url: Some("http://example.com/".to_owned()),
            witness_networks: vec!["8.8.8.0/24".to_owned()],
            ..AuditConfig::default()
        };
        let problems = wrong.problems();
        for (problem, key) in problems
            .iter()
            .zip(["witness_networks", "witness_url", "origin"])
        {
            assert!(problem.starts_with(key), "{problems:?}");
        }
        assert_eq!(problems.len(), 3);
        let here = |networks: &[&str]| AuditConfig {
            witness_url: Some("http://127.0.0.1:9/".to_owned()),
            witness_networks: networks.iter().map(|&network| network.to_owned()).collect(),
            ..AuditConfig::default()
        };
        let told = here(&[]).problems().join("\n");
        assert!(
            told.contains("`witness_networks`") && !told.contains("allowed"),
            "{told}"
        );
        assert!(here(&["127.0.0.1/32"]).problems().is_empty());
    }
}
