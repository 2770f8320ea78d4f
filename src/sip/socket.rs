//! The socket as the endpoint's task uses it. Two things are one: the system's UDP socket, and the simulated network of
//! the tests, in which datagrams are lost, doubled and delayed by a seed.

use std::io::Result;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::UdpSocket;

/// Sends and receives datagrams without ever blocking. One task polls it.
pub trait Datagrams: Send + Sync + std::fmt::Debug {
    /// The address that others send to.
    fn local_addr(&self) -> Result<SocketAddr>;

    /// Ready when a datagram may be there.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ready when a datagram may be taken.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Takes one datagram; `WouldBlock` if there is none.
    fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)>;

    /// The bare system call: gives one datagram to the network, or answers `WouldBlock`.
    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize>;
}

impl Datagrams for UdpSocket {
    fn local_addr(&self) -> Result<SocketAddr> {
        Self::local_addr(self)
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_recv_ready(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_send_ready(context)
    }

    fn try_recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Self::try_recv_from(self, buffer)
    }

    fn try_send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize> {
        Self::try_send_to(self, bytes, to)
    }
}
