//! Small messages in one plain write: the system call for several slices costs more than copying a head and a short body
//! into one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Up to this many bytes are copied together.
const SMALL_BYTES: usize = 1024;

/// As [`AsyncWrite::poll_write_vectored`], with few bytes sent as one slice.
pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    context: &mut Context<'_>,
    data: &[io::IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [only] = data {
        return Pin::new(stream).poll_write(context, only);
    }
    if data.iter().map(|slice| slice.len()).sum::<usize>() > SMALL_BYTES {
        return Pin::new(stream).poll_write_vectored(context, data);
    }
    let mut together = SmallVec::<[u8; SMALL_BYTES]>::new();
    for slice in data {
        together.extend_from_slice(slice);
    }
    Pin::new(stream).poll_write(context, &together)
}

/// A TCP stream to an upstream, which writes as [`poll_write`] does.
pub(crate) struct UpstreamTcp(pub(crate) TcpStream);

impl AsyncRead for UpstreamTcp {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(context, buffer)
    }
}

impl AsyncWrite for UpstreamTcp {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(context, data)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_write(&mut self.get_mut().0, context, data)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}
