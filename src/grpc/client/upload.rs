//! Content that is sent piece by piece: read where that holds nobody up, no faster than the server takes it.

use std::io;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces that were read and not sent yet.
const PIECES_WAITING: usize = 4;

/// A stream of the first message and of what `next` makes, until it makes nothing more; and the reader, whose failure
/// explains a stream that ended early. A server that wants no more ends it without a failure.
pub fn pieces<M: Send + 'static>(
    first: M,
    mut next: impl FnMut() -> io::Result<Option<M>> + Send + 'static,
) -> (ReceiverStream<M>, JoinHandle<io::Result<()>>) {
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let reader = tokio::task::spawn_blocking(move || {
        let mut message = Some(first);
        while let Some(piece) = message {
            if sender.blocking_send(piece).is_err() {
                break;
            }
            message = next()?;
        }
        Ok(())
    });
    (ReceiverStream::new(receiver), reader)
}
