//! The way to a running server: address, TLS, credential. Every client command flattens [`Remote`] into its arguments
//! and gets its stubs from [`Client`].
//!
//! The credential comes from the environment or from a file and is never an argument: arguments are seen by everybody
//! on the machine. It is not sent over an unencrypted connection that leaves the machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use zeroize::Zeroizing;

use super::failure::{Advised, Usage};
use super::output::Output;
use crate::grpc::client::{Bearer, Client, Server};

/// Where the credential is looked for when no file is named.
pub const KEY_VARIABLE: &str = "DIALGATE_API_KEY";

const KEY_FILE_BYTES_MAX: u64 = 4096;

/// How to reach the server, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct Remote {
    /// Address of the server
    #[arg(
        long,
        value_name = "URL",
        env = "DIALGATE_SERVER",
        default_value = "http://127.0.0.1:50051",
        help_heading = "Connection"
    )]
    pub server: String,
    /// File that holds the API key; without it the key is taken from DIALGATE_API_KEY
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub key_file: Option<PathBuf>,
    /// Certificates (PEM) to trust for https:// instead of those of the system
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub ca: Option<PathBuf>,
    /// Print one JSON object a line instead of tables and sentences
    #[arg(long)]
    pub json: bool,
}

impl Remote {
    /// Opens the connection.
    pub async fn connect(&self) -> Result<Client> {
        let server = self.address()?;
        let bearer = self.credential()?;
        let client = server.connect(bearer).await.map_err(|source| Advised {
            problem: format!("cannot reach the server at `{}`", self.server),
            advice: "start it with `dialgate serve`, or name another with --server or DIALGATE_SERVER",
            source: Some(source.into()),
        })?;
        Ok(client)
    }

    /// Where this command's answers go.
    #[must_use]
    pub fn output(&self) -> Output {
        Output::new(self.json)
    }

    fn address(&self) -> Result<Server> {
        let read = |path: &PathBuf| {
            std::fs::read(path).with_context(|| format!("cannot read --ca `{}`", path.display()))
        };
        let certificates = self.ca.as_ref().map(read).transpose()?;
        Server::parse(&self.server, certificates.as_deref())
            .map_err(|problem| Usage(format!("--server `{}`: {problem}", self.server)).into())
    }

    /// The credential. None is allowed here: the server says what it wants.
    fn credential(&self) -> Result<Bearer> {
        let (key, place) = match &self.key_file {
            Some(path) => (read_key(path)?, format!("--key-file `{}`", path.display())),
            None => match std::env::var(KEY_VARIABLE) {
                Ok(key) => (Zeroizing::new(key), KEY_VARIABLE.to_owned()),
                Err(std::env::VarError::NotPresent) => return Ok(Bearer::default()),
                Err(std::env::VarError::NotUnicode(_)) => {
                    bail!(Usage(format!("{KEY_VARIABLE} is not text")))
                }
            },
        };
        Bearer::new(key.trim()).map_err(|problem| Usage(format!("{place}: {problem}")).into())
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<String>> {
    let place = || format!("cannot read --key-file `{}`", path.display());
    let length = std::fs::metadata(path).with_context(place)?.len();
    if length > KEY_FILE_BYTES_MAX {
        bail!(Usage(format!(
            "--key-file `{}` has {length} bytes, an API key is one short line",
            path.display()
        )));
    }
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .with_context(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_from_its_file_and_a_wrong_one_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        let remote = Remote {
            server: "http://127.0.0.1:50051".to_owned(),
            key_file: Some(file.clone()),
            ca: None,
            json: false,
        };
        let fails = || format!("{:#}", remote.credential().map(|_| ()).unwrap_err());
        assert!(fails().contains("cannot read --key-file"));

        std::fs::write(&file, "dg_00_11\n").unwrap();
        assert!(remote.credential().is_ok());
        for wrong in ["", "\n", "dg_secret\nrest", "dg_secret \u{1b}"] {
            std::fs::write(&file, wrong).unwrap();
            assert!(
                fails().contains("not an API key") && !fails().contains("secret"),
                "{}",
                fails()
            );
        }
        std::fs::write(&file, "x".repeat(5000)).unwrap();
        assert!(fails().contains("5000 bytes"));
    }
}
