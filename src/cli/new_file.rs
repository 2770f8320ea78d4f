//! Files that are written: packed as their names say, their owner's alone, and there only when they are whole.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

/// A file on its way, beside the place that it will take in one step.
pub struct NewFile {
    path: PathBuf,
    file: NamedTempFile,
}

impl NewFile {
    /// Begins it; dropped, nothing of it stays.
    pub fn begin(path: &Path) -> Result<(Self, Box<dyn Sink>)> {
        let place = || format!("cannot write `{}`", path.display());
        let folder = path.parent().filter(|each| !each.as_os_str().is_empty());
        let file = NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).with_context(place)?;
        let out = packed(path, file.reopen().with_context(place)?).with_context(place)?;
        let path = path.to_owned();
        Ok((Self { path, file }, out))
    }

    /// Sees all of it onto the disk and gives it its name.
    pub fn end(self, mut out: Box<dyn Sink>) -> Result<()> {
        let place = || format!("cannot write `{}`", self.path.display());
        out.flush().with_context(place)?;
        out.finish().with_context(place)?;
        let named = self.file.persist(&self.path);
        named.map_err(|error| error.error).with_context(place)?;
        Ok(())
    }
}

/// Something to write to that has an end of its own.
pub trait Sink: Write + Send {
    /// Writes what belongs behind everything.
    fn finish(self: Box<Self>) -> io::Result<()> {
        Ok(())
    }
}

impl Sink for BufWriter<io::Stdout> {}

impl Sink for BufWriter<std::fs::File> {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        self.flush()?;
        self.get_ref().sync_all()
    }
}

impl Sink for flate2::write::GzEncoder<std::fs::File> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.sync_all()
    }
}

impl Sink for zstd::stream::write::Encoder<'static, std::fs::File> {
    fn finish(self: Box<Self>) -> io::Result<()> {
        (*self).finish()?.sync_all()
    }
}

fn packed(name: &Path, file: std::fs::File) -> io::Result<Box<dyn Sink>> {
    let ending = name.extension().and_then(|ending| ending.to_str());
    Ok(match ending {
        Some("gz") => Box::new(flate2::write::GzEncoder::new(
            file,
            flate2::Compression::default(),
        )),
        Some("zst") => Box::new(zstd::stream::write::Encoder::new(file, 0)?),
        _ => Box::new(BufWriter::new(file)),
    })
}
