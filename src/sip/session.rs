//! What is written to and read from one connection, through TLS where it has that. Nothing here waits.

use std::io::{ErrorKind, Read, Result, Write};
use std::task::{Context, Poll};

use rustls::ClientConnection;

use super::stream::ByteStream;

/// Enciphered bytes that may wait for the socket: some messages, and what the handshake needs.
const SEALED_BYTES_MAX: usize = 128 * 1024;

/// An open connection.
#[derive(Debug)]
pub(super) struct Session {
    wire: Wire,
    tls: Option<Box<ClientConnection>>,
}

impl Session {
    /// Plain if there is no `tls`.
    pub(super) fn new(stream: Box<dyn ByteStream>, tls: Option<ClientConnection>) -> Self {
        let tls = tls.map(|mut tls| {
            tls.set_buffer_limit(Some(SEALED_BYTES_MAX));
            Box::new(tls)
        });
        let wire = Wire { stream, given: 0 };
        Self { wire, tls }
    }

    /// Ready when there is something to be read, or to be written if that is `wanted`.
    pub(super) fn poll(&self, wanted: bool, context: &mut Context<'_>) -> Poll<()> {
        let wanted = wanted || self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        let stream = &self.wire.stream;
        if wanted && stream.poll_writable(context).is_ready() {
            return Poll::Ready(());
        }
        stream.poll_readable(context).map(|_| ())
    }

    /// Whether messages can pass.
    pub(super) fn is_ready(&self) -> bool {
        self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Readable bytes; nothing is the end, `WouldBlock` is nothing yet.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let wire = &mut self.wire;
        let Some(tls) = &mut self.tls else {
            return wire.read(buffer);
        };
        // A handshake begins with us.
        send_sealed(tls, wire).or_else(until_writable)?;
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                told => return told,
            }
            let ended = tls.read_tls(wire)? == 0;
            if let Err(error) = tls.process_new_packets() {
                // The far end is to hear why; what else was sealed goes before that.
                let _ = send_sealed(tls, wire);
                return Err(std::io::Error::new(ErrorKind::InvalidData, error));
            }
            send_sealed(tls, wire).or_else(until_writable)?;
            if ended {
                // Without a farewell it may have been cut by somebody else: an error, which the reader tells.
                return tls.reader().read(buffer);
            }
        }
    }

    /// Takes bytes, as many as it has room for; `WouldBlock` is none. What was sealed may still wait for [`Session::flush`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let wire = &mut self.wire;
        let Some(tls) = &mut self.tls else {
            return wire.write(bytes);
        };
        send_sealed(tls, wire)?;
        let taken = tls.writer().write(bytes)?;
        send_sealed(tls, wire).or_else(until_writable)?;
        match taken {
            0 => Err(ErrorKind::WouldBlock.into()),
            taken => Ok(taken),
        }
    }

    /// Whether the system has all that was taken; else `WouldBlock`.
    pub(super) fn flush(&mut self) -> Result<()> {
        match &mut self.tls {
            Some(tls) => send_sealed(tls, &mut self.wire),
            None => Ok(()),
        }
    }

    /// Whether nothing that was taken is still on this side of the network; else `WouldBlock`.
    pub(super) fn all_left(&mut self) -> Result<()> {
        self.flush()?;
        self.wire.stream.all_left()
    }

    /// How many bytes the stream has taken so far.
    pub(super) fn given(&self) -> u64 {
        self.wire.given
    }

    /// Whether so many of them have arrived; what cannot be told has not.
    pub(super) fn has_arrived(&self, given: u64) -> bool {
        let open = self.wire.stream.unacknowledged();
        open.is_ok_and(|open| self.wire.given.saturating_sub(open) >= given)
    }

    /// Whether what has not arrived is lost with it, were the process killed; else it leaves all the same.
    pub(super) fn reset_when_dropped(&self, reset: bool) -> Result<()> {
        self.wire.stream.reset_when_dropped(reset)
    }

    /// Says farewell, if there is room for it.
    pub(super) fn close(mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
            let _ = send_sealed(tls, &mut self.wire);
        }
    }

    /// Ends it so that nothing more leaves.
    pub(super) fn reset(self) {
        self.wire.stream.reset();
    }
}

fn send_sealed(tls: &mut ClientConnection, wire: &mut Wire) -> Result<()> {
    while tls.wants_write() {
        tls.write_tls(wire)?;
    }
    Ok(())
}

fn until_writable(error: std::io::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::WouldBlock => Ok(()),
        _ => Err(error),
    }
}

/// The stream, and how much it has taken; as `rustls` wants it.
#[derive(Debug)]
struct Wire {
    stream: Box<dyn ByteStream>,
    given: u64,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.stream.try_read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let taken = self.stream.try_write(bytes)?;
        self.given = self.given.saturating_add(taken as u64);
        Ok(taken)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
