//! Reads the files that hold secrets. A file that others may read is refused: what it holds is no secret any more.

use std::path::Path;

use zeroize::Zeroizing;

/// The text of a file that only its owner may read; the problem names the key of the configuration that names it.
pub fn read(key: &str, path: &Path) -> Result<Zeroizing<String>, String> {
    let text = std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| format!("{key}: cannot read `{}`: {error}", path.display()))?;
    refuse_loose_mode(key, path)?;
    let line = text.trim_end_matches(['\r', '\n']);
    Ok(Zeroizing::new(line.to_owned()))
}

#[cfg(unix)]
fn refuse_loose_mode(key: &str, path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let shown = path.display();
    let mode = std::fs::metadata(path)
        .map_err(|error| format!("{key}: cannot read `{shown}`: {error}"))?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!(
        "{key}: `{shown}` may be read by others (mode {:04o}): run `chmod 600 {shown}`",
        mode & 0o7777
    ))
}

#[cfg(not(unix))]
fn refuse_loose_mode(_key: &str, _path: &Path) -> Result<(), String> {
    Ok(())
}
