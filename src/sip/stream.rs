//! Streams as the endpoint's task uses them. Two things are one: the system's TCP, and the simulated network of the tests, in
//! which connections break by a seed.
//!
//! What a socket takes may lie in the system until the far end has room for it, and what has left is repeated by the system until
//! the far end acknowledges it: both may reach the wire when the permit for it is long over. So a stream tells when all that it took
//! has left, and how much of it has not arrived; and one that is reset lets nothing of the rest go, nor anything go again.

use std::fmt::Debug;
use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What the far end has not acknowledged after so long breaks the connection: it is gone, and calls need not wait for it. An INVITE
/// has less time, only as long as its permit.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(2);

/// A connection that is being made.
pub type Connecting = Pin<Box<dyn Future<Output = Result<Box<dyn ByteStream>>> + Send>>;

/// Makes and takes connections. One task polls it.
pub trait Streams: Send + Debug {
    /// Begins a connection; nothing is done before it is polled.
    fn connect(&self, to: SocketAddr) -> Connecting;

    /// Ready with a connection that somebody made to us.
    fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Box<dyn ByteStream>, SocketAddr)>>;
}

/// One connection, read and written without ever blocking.
pub trait ByteStream: Send + Debug {
    /// Ready when bytes may be there.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ready when bytes may be taken, or when some have left.
    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Takes what is there; nothing is the end, and `WouldBlock` is nothing yet.
    fn try_read(&self, buffer: &mut [u8]) -> Result<usize>;

    /// The bare system call: gives bytes to the network, or answers `WouldBlock`.
    fn try_write(&self, bytes: &[u8]) -> Result<usize>;

    /// Whether all that was taken has left; else `WouldBlock`, and it is writable again when some has.
    fn all_left(&self) -> Result<()>;

    /// How many of the bytes that were taken the far end has not acknowledged: they are sent again by themselves.
    fn unacknowledged(&self) -> Result<u64>;

    /// Whether it is to be reset if it is dropped or the process dies; else what was taken leaves all the same.
    fn reset_when_dropped(&self, reset: bool) -> Result<()>;

    /// Ends it at once. What has not left yet never will.
    fn reset(self: Box<Self>);
}

/// The system's TCP.
#[derive(Debug)]
pub(super) struct Tcp {
    listener: TcpListener,
    /// Connections are made from here, so that a far end sees the address that it may know us by.
    from: SocketAddr,
}

impl Tcp {
    /// Listens at this address too.
    pub(super) async fn listen(at: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let from = SocketAddr::new(at.ip(), 0);
        Ok(Self { listener, from })
    }
}

impl Streams for Tcp {
    fn connect(&self, to: SocketAddr) -> Connecting {
        let from = self.from;
        Box::pin(async move {
            let socket = match to {
                SocketAddr::V4(_) => TcpSocket::new_v4()?,
                SocketAddr::V6(_) => TcpSocket::new_v6()?,
            };
            if from.is_ipv4() == to.is_ipv4() && !from.ip().is_unspecified() {
                socket.bind(from)?;
            }
            let stream = socket.connect(to).await?;
            prepare(&stream)?;
            let stream: Box<dyn ByteStream> = Box::new(stream);
            Ok(stream)
        })
    }

    fn poll_accept(
        &self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(Box<dyn ByteStream>, SocketAddr)>> {
        self.listener.poll_accept(context).map(|taken| {
            let (stream, from) = taken?;
            prepare(&stream)?;
            let stream: Box<dyn ByteStream> = Box::new(stream);
            Ok((stream, from))
        })
    }
}

fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    {
        let socket = SockRef::from(stream);
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        // Writable is what has nothing unsent: [`ByteStream::all_left`] asks for just that.
        socket.set_tcp_notsent_lowat(1)?;
    }
    Ok(())
}

impl ByteStream for TcpStream {
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_read_ready(context)
    }

    fn poll_writable(&self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.poll_write_ready(context)
    }

    fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        Self::try_read(self, buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        Self::try_write(self, bytes)
    }

    fn all_left(&self) -> Result<()> {
        self.try_io(Interest::WRITABLE, || {
            let mut asked = [PollFd::new(self, PollFlags::OUT)];
            let at_once = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut asked, Some(&at_once))?;
            let [answer] = asked;
            match answer.revents() {
                told if told.intersects(PollFlags::ERR | PollFlags::HUP) => {
                    Err(ErrorKind::ConnectionReset.into())
                }
                told if told.contains(PollFlags::OUT) => Ok(()),
                _ => Err(ErrorKind::WouldBlock.into()),
            }
        })
    }

    #[cfg(target_os = "linux")]
    fn unacknowledged(&self) -> Result<u64> {
        use std::os::fd::AsFd as _;

        use rustix::ioctl::{Getter, Opcode, ioctl};

        /// SIOCOUTQ of tcp(7), which only four old architectures number otherwise, and there it is refused.
        const OUTPUT_QUEUE: Opcode = 0x5411;
        #[expect(
            unsafe_code,
            reason = "no crate at hand has a safe call for it, and an INVITE that the system may repeat cannot be told otherwise"
        )]
        // SAFETY: for a TCP socket the request writes one `int` and does nothing else.
        let bytes = unsafe { ioctl(self.as_fd(), Getter::<OUTPUT_QUEUE, i32>::new()) }?;
        u64::try_from(bytes).map_err(|_| ErrorKind::InvalidData.into())
    }

    #[cfg(not(target_os = "linux"))]
    fn unacknowledged(&self) -> Result<u64> {
        Err(ErrorKind::Unsupported.into())
    }

    fn reset_when_dropped(&self, reset: bool) -> Result<()> {
        SockRef::from(self).set_linger(reset.then_some(Duration::ZERO))
    }

    fn reset(self: Box<Self>) {
        if let Err(error) = self.reset_when_dropped(true) {
            let error: Error = error;
            tracing::warn!(%error, "a connection could not be reset; what it holds may still leave");
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    async fn pair() -> (Box<dyn ByteStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let streams = Tcp::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let near = streams.connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    #[tokio::test]
    async fn the_system_tells_what_has_not_arrived() {
        let (near, mut far) = pair().await;
        assert_eq!(near.unacknowledged().unwrap(), 0);
        let piece = [0; 65_536];
        let mut given = 0;
        while let Ok(taken) = near.try_write(&piece) {
            given += taken as u64;
            tokio::task::yield_now().await;
        }
        let open = near.unacknowledged().unwrap();
        assert!((1..=given).contains(&open), "{open} of {given}");
        let mut buffer = vec![0; usize::try_from(given).unwrap()];
        far.read_exact(&mut buffer).await.unwrap();
        while near.unacknowledged().unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn p03_a_connection_that_is_to_be_reset_when_dropped_delivers_nothing_more() {
        for reset in [false, true] {
            let (near, mut far) = pair().await;
            near.reset_when_dropped(true).unwrap();
            near.reset_when_dropped(reset).unwrap();
            let mut given = 0;
            while let Ok(taken) = near.try_write(&[0; 65_536]) {
                given += taken;
            }
            drop(near);
            let mut heard = Vec::new();
            let told = far.read_to_end(&mut heard).await;
            assert_eq!(told.is_err(), reset, "{told:?}");
            assert_eq!(heard.len() < given, reset, "{} of {given}", heard.len());
        }
    }
}
