//! Lists that come compressed.

use std::io::{self, BufRead, Read};

/// The plain bytes of a list that may be compressed with gzip or Zstandard, as its first bytes tell. What is cut short
/// ends in an error after the last whole byte, never in silence.
///
/// A ZIP archive is refused: it may hold several files.
pub fn unpacked<'r>(mut packed: impl BufRead + 'r) -> io::Result<Box<dyn Read + 'r>> {
    const GZIP: &[u8] = b"\x1f\x8b";
    const ZSTANDARD: &[u8] = b"\x28\xb5\x2f\xfd";
    const ZIP: &[u8] = b"PK\x03\x04";
    // A list shorter than these is not compressed.
    let first = packed.fill_buf()?;
    if first.starts_with(ZIP) {
        let words = "is a ZIP archive: unpack it first, such as with `unzip -p`";
        return Err(io::Error::new(io::ErrorKind::InvalidData, words));
    }
    Ok(if first.starts_with(GZIP) {
        Box::new(flate2::bufread::MultiGzDecoder::new(packed))
    } else if first.starts_with(ZSTANDARD) {
        Box::new(zstd::stream::read::Decoder::with_buffer(packed)?)
    } else {
        Box::new(packed)
    })
}
