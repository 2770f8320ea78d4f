//! The section `[registry]`.

use std::path::PathBuf;

use serde::Deserialize;

/// Where snapshots of registers lie, and what an import may lose.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// Folder of the snapshots' files; made when the first is needed. Nodes may share it.
    pub folder: PathBuf,
    /// A list that has lost more of its numbers than this since the last one is refused unless somebody says that it may.
    pub shrink_max_percent: u8,
    /// A list of which more lines than this are no number is refused unless somebody says that it may: who stands on such a
    /// line counts as not listed.
    pub reject_max_percent: u8,
}

impl Default for RegistryConfig {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("registers"),
            shrink_max_percent: 5,
            reject_max_percent: 1,
        }
    }
}

impl RegistryConfig {
    /// Everything that is wrong with the section, each problem with its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.folder.as_os_str().is_empty() {
            problems.push("folder: is empty; name a folder for the snapshots' files".to_owned());
        }
        for (key, percent) in [
            ("shrink_max_percent", self.shrink_max_percent),
            ("reject_max_percent", self.reject_max_percent),
        ] {
            if percent > 100 {
                problems.push(format!("{key}: is {percent}, set 0 to 100"));
            }
        }
        problems
    }
}
