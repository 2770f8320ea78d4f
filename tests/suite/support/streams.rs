//! A network without connections, for tests whose far end speaks by datagrams.

use std::net::SocketAddr;
use std::task::{Context, Poll};

use dialgate::sip::{ByteStream, Connecting, Streams};

/// A network that has datagrams alone.
#[derive(Debug)]
pub struct NoStreams;

impl Streams for NoStreams {
    fn connect(&self, _: SocketAddr) -> Connecting {
        Box::pin(std::future::ready(Err(
            std::io::ErrorKind::ConnectionRefused.into(),
        )))
    }

    fn poll_accept(
        &self,
        _: &mut Context<'_>,
    ) -> Poll<std::io::Result<(Box<dyn ByteStream>, SocketAddr)>> {
        Poll::Pending
    }
}
